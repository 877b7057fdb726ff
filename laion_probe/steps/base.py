"""What a step is, the batch that it judges, and the registry of kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, Protocol, TypeVar

import mmh3
import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from laion_probe.errors import SchemaError
from laion_probe.measures import WHITE_SPACE, row_keys
from laion_probe.registry import Registry

__all__ = ["STEPS", "Batch", "Outcome", "Role", "StepKind", "StepParams"]

T = TypeVar("T")
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
    last detection step said (None before one); ``set_key`` what a set step compares (None where it
    cannot be told). ``shared`` keeps measures of these rows, so that several recipes on the same
    rows compute each once; ``history`` names the rewrites so far, which are what a measure of the
    text depends on.
    """

    rows: pl.DataFrame
    rewritten: pl.Series | None = None
    language: pl.Series | None = None
    set_key: pl.Series | None = None
    history: tuple[str, ...] = ()
    shared: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False)

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

    def measured(self, name: str, measure: Callable[[pl.Series], T]) -> T:
        """``measure(text)``, computed once for these captions whoever asks.

        ``name`` says what is measured, parameters included.
        """
        key = (name, *self.history)
        if key not in self.shared:
            self.shared[key] = measure(self.text)
        return self.shared[key]  # type: ignore[no-any-return]

    def draws(self, seed: int, what: str) -> NDArray[np.float64]:
        """A number from [0, 1) for each row, by its URL and its caption as given.

        The same row draws the same number wherever it lies and in whatever batch; another ``what``
        draws independently. Exact duplicates draw alike.
        """
        if ("row ids",) not in self.shared:
            urls = self.column("url").fill_null("")
            columns = [urls.to_list(), self.column("text").to_list()]
            self.shared["row ids",] = row_keys(columns).view(np.uint64)
        return uniform(self.shared["row ids",], seed, what)

    def fork(self) -> Batch:
        """The same rows at the beginning of another recipe, with what was measured already."""
        return Batch(self.rows, shared=self.shared)


def uniform(ids: NDArray[np.uint64], seed: int, what: str) -> NDArray[np.float64]:
    """Numbers from [0, 1) that depend on (id, seed, what) alone: the finaliser of SplitMix64."""
    salt = np.uint64(mmh3.hash64(f"{seed}:{what}", signed=False)[0])
    with np.errstate(over="ignore"):
        z = (ids ^ salt) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


class StepParams(BaseModel):
    """Parameters of a step; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def needs(self) -> tuple[str, ...]:
        """The canonical columns that these parameters make the step read, beyond the kind's own."""
        return ()


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


def drop(mask: pl.Series | NDArray[np.bool_] | list[bool]) -> Outcomes:
    """DROP where true, NOT_EVALUABLE where null."""
    verdict = pl.Series(mask, dtype=pl.Boolean)
    assert (int(Outcome.KEEP), int(Outcome.DROP)) == (0, 1)
    return verdict.cast(pl.UInt8).fill_null(int(Outcome.NOT_EVALUABLE)).to_numpy(writable=True)


def unknown_where(unknown: pl.Series, otherwise: pl.Series) -> pl.Series:
    """``otherwise``, with null where ``unknown`` is true or null."""
    known = ~unknown.fill_null(True)
    return pl.select(pl.when(known).then(otherwise)).to_series()


def keep(n: int) -> Outcomes:
    """KEEP for every row."""
    return np.zeros(n, dtype=np.uint8)


def not_evaluable(n: int) -> Outcomes:
    """NOT_EVALUABLE for every row."""
    return np.full(n, Outcome.NOT_EVALUABLE, dtype=np.uint8)


def rewrite(batch: Batch, name: str, change: Callable[[pl.Series], pl.Series]) -> Outcomes:
    """Give the batch a new text; REWRITE where it differs, EMPTIED where no words are left.

    ``name`` says what the rewrite does, parameters included.
    """
    old = batch.text
    new = batch.measured(f"rewrite: {name}", change)
    changed = (new != old).to_numpy()
    out = np.where(changed, Outcome.REWRITE, Outcome.KEEP).astype(np.uint8)
    if changed.any():
        blank = [text.str.strip_chars(WHITE_SPACE) == "" for text in (old, new)]
        empty = blank[1] & ~blank[0]
        out[empty.to_numpy()] = Outcome.EMPTIED
        batch.rewritten, batch.history = new, (*batch.history, name)
    return out
