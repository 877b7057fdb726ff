"""The kinds of step that a recipe is made of.

A step judges every row at its place in the recipe, whatever earlier steps decided (nothing is
short-circuited); its verdict is one `Outcome` a row. There are five roles:

- ``drop``: keep, drop, route or not evaluable, from the row alone
- ``set``: the same, but from the rows that survive earlier steps (duplicates)
- ``rewrite``: gives a new text; rows are rewritten or *emptied*
- ``measure``: writes the language at its place; decides nothing
- ``context``: documents what cannot be replayed from metadata; decides nothing

A new kind is one class with a `Params` model, the columns that it ``needs`` and a `judge`,
registered in `STEPS`; it is then tested by the contract tests like all others. Only the columns
that some step needs are read from the shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from laion_probe.errors import SchemaError
from laion_probe.language import NO_LANGUAGE, make_detector
from laion_probe.measures import WHITE_SPACE, clean_texts, domain, row_keys
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

    ``rows`` holds the canonical columns that were asked for; ``text`` (String, no nulls) starts as
    the column of that name and holds the captions as rewritten so far; ``language`` is what the
    last detection step said (None before one); ``set_key`` what a set step compares.
    """

    rows: pl.DataFrame
    rewritten: pl.Series | None = None
    language: pl.Series | None = None
    set_key: NDArray[np.int64] | None = None

    @property
    def n(self) -> int:
        """Rows in the batch."""
        return len(self.rows)

    @property
    def text(self) -> pl.Series:
        """The captions at this place in the recipe."""
        return self.column("text") if self.rewritten is None else self.rewritten

    def column(self, name: str) -> pl.Series:
        """A canonical column, null where the input lacks it; only what the step ``needs``."""
        if name not in self.rows.columns:
            raise SchemaError(
                f"a step reads the column '{name}' without naming it in `needs`; add it there"
            )
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
    def needs(self) -> tuple[str, ...]:
        """The canonical columns that it reads ("text" for the captions)."""

    @property
    def Params(self) -> type[StepParams]:  # noqa: N802
        """The model of its parameters."""

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        """One `Outcome` a row."""


STEPS: Registry[StepKind] = Registry("step kind")


def _drop(mask: pl.Series | NDArray[np.bool_] | list[bool]) -> Outcomes:
    """DROP where true, NOT_EVALUABLE where null."""
    verdict = pl.Series(mask, dtype=pl.Boolean)
    assert (int(Outcome.KEEP), int(Outcome.DROP)) == (0, 1)
    return verdict.cast(pl.UInt8).fill_null(int(Outcome.NOT_EVALUABLE)).to_numpy(writable=True)


def _keep(n: int) -> Outcomes:
    return np.zeros(n, dtype=np.uint8)


class CaptionPresent:
    """Drops rows whose caption is missing or only white space."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("text",)
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return _drop(batch.text.str.strip_chars(WHITE_SPACE) == "")


class UrlSubstrings:
    """Drops rows whose URL contains one of the substrings, compared in lower case."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("url",)

    class Params(StepParams):
        any_of: tuple[str, ...]

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        urls = batch.column("url").str.to_lowercase()
        return _drop(urls.str.contains_any(list(params.any_of)))


class DomainLength:
    """Drops rows whose host name is longer than ``max_characters``."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("url",)

    class Params(StepParams):
        max_characters: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        urls = batch.column("url")
        # A host cannot be longer than its URL: few URLs are worth parsing.
        long = urls.str.len_chars() > params.max_characters
        out = _drop(long)
        out[out == Outcome.DROP] = [
            Outcome.DROP if len(domain(u)) > params.max_characters else Outcome.KEEP
            for u in urls.filter(long)
        ]
        return out


class CleanText:
    """Rewrites captions as the crawler did: ftfy, newline to space, strip."""

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text",)
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return _rewrite(batch, clean_texts(batch.text))


class Truncate:
    """Rewrites captions to their first ``max_characters`` characters."""

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        max_characters: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        return _rewrite(batch, batch.text.str.slice(0, params.max_characters))


class DetectLanguage:
    """Measures the caption's language; ``reliable_only`` turns unreliable guesses to 'und'."""

    role: ClassVar[Role] = "measure"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        detector: str
        reliable_only: bool = False
        rename: dict[str, str] = {}

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        guesses = make_detector(params.detector)(batch.text.to_list())
        codes = [
            NO_LANGUAGE
            if params.reliable_only and not g.reliable
            else params.rename.get(g.code, g.code)
            for g in guesses
        ]
        batch.language = pl.Series("language", codes, dtype=pl.String)
        return _keep(batch.n)


class KeepLanguage:
    """Keeps rows of the given languages; the others are dropped, or routed to another subset."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ()

    class Params(StepParams):
        keep: tuple[str, ...]
        others: Literal["drop", "route"] = "drop"

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        if batch.language is None:
            return np.full(batch.n, Outcome.NOT_EVALUABLE, dtype=np.uint8)
        out = Outcome.ROUTE if params.others == "route" else Outcome.DROP
        kept = batch.language.is_in(list(params.keep)).to_numpy()
        return np.where(kept, Outcome.KEEP, out).astype(np.uint8)


class CaptionLength:
    """Drops captions shorter than ``min_characters`` (after the rewrites so far)."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        min_characters: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        # A character has one to four bytes, and bytes need not be counted one by one.
        n_bytes = batch.text.str.len_bytes()
        short = n_bytes < params.min_characters
        doubt = ~short & (n_bytes < 4 * params.min_characters)
        if doubt.any():
            places = doubt.arg_true()
            exact = batch.text.gather(places).str.len_chars() < params.min_characters
            short = short.scatter(places, exact)
        return _drop(short)


class Duplicates:
    """Keeps the first (lowest shard and row) of the surviving rows with equal ``by`` columns.

    Exact duplicates by a 64-bit key; the decision is taken over the whole set after the row-local
    steps, so `judge` only writes the key.
    """

    role: ClassVar[Role] = "set"
    needs: ClassVar[tuple[str, ...]] = ("url", "text")

    class Params(StepParams):
        by: tuple[Literal["url", "text"], ...] = Field(min_length=1)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        columns = {"url": batch.column("url"), "text": batch.text}
        batch.set_key = None
        if "url" in params.by and columns["url"].null_count():
            return np.full(batch.n, Outcome.NOT_EVALUABLE, dtype=np.uint8)
        batch.set_key = row_keys([columns[c].to_list() for c in params.by])
        return _keep(batch.n)


class ImagePixels:
    """Drops pictures of more than ``max_pixels``; width and height are the metadata's claim."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("width", "height")

    class Params(StepParams):
        max_pixels: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        return _drop(batch.column("width") * batch.column("height") > params.max_pixels)


class MinSimilarity:
    """Drops rows whose stored CLIP similarity is below ``at_least``."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("similarity",)

    class Params(StepParams):
        at_least: float

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        # NaN is no score: comparing it would keep the row in silence
        return _drop(batch.column("similarity").fill_nan(None) < params.at_least)


class NsfwSubstrings:
    """LAION's underage rule: a row not tagged UNLIKELY that contains a substring is dropped.

    Case-sensitive substrings, so "canteen" contains "teen". Rows without a tag, and tagged rows
    without the substring (their category scores were never published), are not evaluable.
    """

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("nsfw", "text")

    class Params(StepParams):
        any_of: tuple[str, ...]

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        tag = batch.column("nsfw")
        suspect = tag != "UNLIKELY"  # null where there is no tag
        hit = batch.text.str.contains_any(list(params.any_of))
        without = suspect & pl.lit(None, dtype=pl.Boolean)  # false stays, true becomes unknown
        return _drop(pl.select(pl.when(hit).then(suspect).otherwise(without)).to_series())


class NotSimulated:
    """Documents a step that cannot be replayed from captions and metadata."""

    role: ClassVar[Role] = "context"
    needs: ClassVar[tuple[str, ...]] = ()
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return np.full(batch.n, Outcome.NOT_EVALUABLE, dtype=np.uint8)


def _rewrite(batch: Batch, new: pl.Series) -> Outcomes:
    old, batch.rewritten = batch.text, new
    out = np.where((new != old).to_numpy(), Outcome.REWRITE, Outcome.KEEP).astype(np.uint8)
    out[((new == "") & (old != "")).to_numpy()] = Outcome.EMPTIED
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
