"""The kinds of step that a recipe is made of.

A step judges every row at its place in the recipe, whatever earlier steps decided (nothing is
short-circuited); its verdict is one `Outcome` a row. There are five roles:

- ``drop``: keep, drop, route or not evaluable, from the row alone
- ``set``: the same, but from the rows that survive earlier steps (duplicates)
- ``rewrite``: gives a new text; rows are rewritten or *emptied*
- ``measure``: writes the language at its place; decides nothing
- ``context``: documents what cannot be replayed from metadata; decides nothing

A new kind is one class with a `Params` model and a `judge`, registered in `STEPS`; it is then
tested by the contract tests like all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from laion_probe.language import NO_LANGUAGE, make_detector
from laion_probe.measures import clean_text, domain, row_keys
from laion_probe.registry import Registry

__all__ = ["STEPS", "Batch", "Outcome", "Role", "StepKind", "StepParams"]

Role = Literal["drop", "set", "rewrite", "measure", "context"]
Outcomes = NDArray[np.uint8]


class Outcome(IntEnum):
    """What a step would do with a row. Only DROP and ROUTE remove it from this data set."""

    KEEP = 0
    DROP = 1
    ROUTE = 2  # goes to another published subset (laion5b-multi, laion5b-nolang)
    NOT_EVALUABLE = 3  # the column or score is not there: never passed in silence, never dropped
    REWRITE = 4
    EMPTIED = 5  # the rewrite left no text


@dataclass
class Batch:
    """Rows on their way through a recipe.

    ``rows`` holds the canonical columns; ``text`` the captions as rewritten so far; ``language``
    what the last detection step said (None before one); ``set_key`` what a set step compares.
    """

    rows: pl.DataFrame
    text: list[str]
    language: list[str] | None = None
    set_key: NDArray[np.int64] | None = None

    @property
    def n(self) -> int:
        """Rows in the batch."""
        return len(self.text)

    def column(self, name: str) -> pl.Series:
        """A canonical column, null where the input lacks it."""
        return self.rows[name]


class StepParams(BaseModel):
    """Parameters of a step; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StepKind(Protocol):
    """A kind of step. ``judge`` may change ``batch.text`` (rewrite) or ``.language`` (measure)."""

    @property
    def role(self) -> Role:
        """What the step may do with a row."""

    @property
    def Params(self) -> type[StepParams]:  # noqa: N802
        """The model of its parameters."""

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        """One `Outcome` a row."""


STEPS: Registry[StepKind] = Registry("step kind")


def _drop(mask: pl.Series | NDArray[np.bool_] | list[bool], unknown: Any = None) -> Outcomes:
    out = np.where(np.asarray(mask, dtype=bool), Outcome.DROP, Outcome.KEEP).astype(np.uint8)
    if unknown is not None:
        out[np.asarray(unknown, dtype=bool)] = Outcome.NOT_EVALUABLE
    return out


def _keep(n: int) -> Outcomes:
    return np.zeros(n, dtype=np.uint8)


class CaptionPresent:
    """Drops rows whose caption is missing or only white space."""

    role: ClassVar[Role] = "drop"
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return _drop([not t.strip() for t in batch.text])


class UrlSubstrings:
    """Drops rows whose URL contains one of the substrings, compared in lower case."""

    role: ClassVar[Role] = "drop"

    class Params(StepParams):
        any_of: tuple[str, ...]

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        urls = batch.column("url").str.to_lowercase()
        return _drop(urls.str.contains_any(list(params.any_of)).to_numpy())


class DomainLength:
    """Drops rows whose host name is longer than ``max_characters``."""

    role: ClassVar[Role] = "drop"

    class Params(StepParams):
        max_characters: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        return _drop([len(domain(u)) > params.max_characters for u in batch.column("url")])


class CleanText:
    """Rewrites captions as the crawler did: ftfy, newline to space, strip."""

    role: ClassVar[Role] = "rewrite"
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return _rewrite(batch, [clean_text(t) for t in batch.text])


class Truncate:
    """Rewrites captions to their first ``max_characters`` characters."""

    role: ClassVar[Role] = "rewrite"

    class Params(StepParams):
        max_characters: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        return _rewrite(batch, [t[: params.max_characters] for t in batch.text])


class DetectLanguage:
    """Measures the caption's language; ``reliable_only`` turns unreliable guesses to 'und'."""

    role: ClassVar[Role] = "measure"

    class Params(StepParams):
        detector: str
        reliable_only: bool = False
        rename: dict[str, str] = {}

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        guesses = make_detector(params.detector)(batch.text)
        batch.language = [
            NO_LANGUAGE
            if params.reliable_only and not g.reliable
            else params.rename.get(g.code, g.code)
            for g in guesses
        ]
        return _keep(batch.n)


class KeepLanguage:
    """Keeps rows of the given languages; the others are dropped, or routed to another subset."""

    role: ClassVar[Role] = "drop"

    class Params(StepParams):
        keep: tuple[str, ...]
        others: Literal["drop", "route"] = "drop"

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        if batch.language is None:
            return np.full(batch.n, Outcome.NOT_EVALUABLE, dtype=np.uint8)
        out = Outcome.ROUTE if params.others == "route" else Outcome.DROP
        kept = np.array([code in params.keep for code in batch.language], dtype=bool)
        return np.where(kept, Outcome.KEEP, out).astype(np.uint8)


class CaptionLength:
    """Drops captions shorter than ``min_characters`` (after the rewrites so far)."""

    role: ClassVar[Role] = "drop"

    class Params(StepParams):
        min_characters: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        return _drop([len(t) < params.min_characters for t in batch.text])


class Duplicates:
    """Keeps the first (lowest shard and row) of the surviving rows with equal ``by`` columns.

    Exact duplicates by a 64-bit key; the decision is taken over the whole set after the row-local
    steps, so `judge` only writes the key.
    """

    role: ClassVar[Role] = "set"

    class Params(StepParams):
        by: tuple[Literal["url", "text"], ...] = Field(min_length=1)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        columns = {"url": batch.column("url").to_list(), "text": batch.text}
        batch.set_key = row_keys([columns[c] for c in params.by])
        return _keep(batch.n)


class ImagePixels:
    """Drops pictures of more than ``max_pixels``; width and height are the metadata's claim."""

    role: ClassVar[Role] = "drop"

    class Params(StepParams):
        max_pixels: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        pixels = batch.column("width") * batch.column("height")
        return _drop((pixels > params.max_pixels).fill_null(False), pixels.is_null())


class MinSimilarity:
    """Drops rows whose stored CLIP similarity is below ``at_least``."""

    role: ClassVar[Role] = "drop"

    class Params(StepParams):
        at_least: float

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        score = batch.column("similarity")
        return _drop((score < params.at_least).fill_null(False), score.is_null())


class NsfwSubstrings:
    """LAION's underage rule: a row not tagged UNLIKELY that contains a substring is dropped.

    Case-sensitive substrings, so "canteen" contains "teen". Rows without a tag, and tagged rows
    without the substring (their category scores were never published), are not evaluable.
    """

    role: ClassVar[Role] = "drop"

    class Params(StepParams):
        any_of: tuple[str, ...]

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        tag = batch.column("nsfw")
        unlikely = (tag == "UNLIKELY").fill_null(False).to_numpy()
        hit = np.array([any(s in t for s in params.any_of) for t in batch.text], dtype=bool)
        tagged = tag.is_not_null().to_numpy()
        return _drop(tagged & ~unlikely & hit, ~tagged | (~unlikely & ~hit))


class NotSimulated:
    """Documents a step that cannot be replayed from captions and metadata."""

    role: ClassVar[Role] = "context"
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return np.full(batch.n, Outcome.NOT_EVALUABLE, dtype=np.uint8)


def _rewrite(batch: Batch, new: list[str]) -> Outcomes:
    out = _keep(batch.n)
    for i, (old, now) in enumerate(zip(batch.text, new, strict=True)):
        if now != old:
            out[i] = Outcome.EMPTIED if old and not now else Outcome.REWRITE
    batch.text = new
    return out


STEPS.add("caption-present", CaptionPresent())
STEPS.add("url-substrings", UrlSubstrings())
STEPS.add("domain-length", DomainLength())
STEPS.add("clean-text", CleanText())
STEPS.add("truncate", Truncate())
STEPS.add("detect-language", DetectLanguage())
STEPS.add("keep-language", KeepLanguage())
STEPS.add("caption-length", CaptionLength())
STEPS.add("duplicates", Duplicates())
STEPS.add("image-pixels", ImagePixels())
STEPS.add("min-similarity", MinSimilarity())
STEPS.add("nsfw-substrings", NsfwSubstrings())
STEPS.add("not-simulated", NotSimulated())
