"""Steps that need the whole set: each only writes what `laion_probe.sets` decides by.

They are decided when every unit is there, from the rows that survive the steps before.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import Field

from laion_probe.measures import row_keys
from laion_probe.steps.base import (
    Batch,
    Outcomes,
    Role,
    StepKind,
    StepParams,
    drop,
    keep,
    not_evaluable,
    unknown_where,
)
from laion_probe.steps.words import Word

__all__ = ["KINDS"]


class Duplicates:
    """Keeps the first (lowest shard and row) of the surviving rows with equal ``by`` columns.

    Exact duplicates by a 64-bit key.
    """

    role: ClassVar[Role] = "set"
    needs: ClassVar[tuple[str, ...]] = ("url", "text")

    class Params(StepParams):
        by: tuple[Literal["url", "text"], ...] = Field(min_length=1)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        urls = batch.column("url")
        columns = {"url": urls.fill_null(""), "text": batch.text}
        keys = pl.Series(row_keys([columns[c].to_list() for c in params.by]))
        # a row without an address is no duplicate of another one
        blind = urls.is_null() if "url" in params.by else pl.repeat(False, batch.n, eager=True)
        batch.set_key = unknown_where(blind, keys)
        return drop(unknown_where(blind, pl.repeat(False, batch.n, eager=True)))


class CaptionFrequency:
    """Drops every row whose caption occurs more than ``max_times`` among the surviving rows."""

    role: ClassVar[Role] = "set"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        max_times: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        batch.set_key = pl.Series(row_keys([batch.text.to_list()]))
        return keep(batch.n)


class TopShare:
    """Keeps the ``share`` of the surviving rows with the highest score.

    The threshold is the k-th highest score of the n surviving rows that have one, k = ⌈share · n⌉;
    rows that tie with it are kept, so a little more than the share may be. Rows without a score
    are not evaluable.
    """

    role: ClassVar[Role] = "set"
    needs: ClassVar[tuple[str, ...]] = ()

    class Params(StepParams):
        column: Literal["similarity", "similarity_l14", "aesthetic"]
        share: float = Field(gt=0, le=1)

        @property
        def needs(self) -> tuple[str, ...]:
            return (self.column,)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        score = batch.column(params.column).fill_nan(None)
        batch.set_key = score
        return drop(unknown_where(score.is_null(), pl.repeat(False, batch.n, eager=True)))


class Balance:
    """MetaCLIP's balancing: keeps rows so that no metadata entry is matched much above ``t`` times.

    A caption matches an entry where it has it as words, between spaces or punctuation (case counts,
    as published). Each match keeps its row with
    probability min(1, t / n), n the surviving rows that match the entry; a row without a match is
    dropped (Xu et al. 2024, algorithm 1). ``entries`` come from ``files`` beside the recipe's
    TOML, since the published 500 000 entries may not be shipped here (CC BY-NC): without any, the
    step is not evaluable.
    """

    role: ClassVar[Role] = "set"
    needs: ClassVar[tuple[str, ...]] = ("text", "url")

    class Params(StepParams):
        t: int = Field(gt=0)
        words: tuple[Word, ...] = ()
        files: tuple[str, ...] = ()
        seed: int = 0

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        batch.set_key = None
        if not params.words:
            return not_evaluable(batch.n)
        entries = [f" {entry} " for entry in params.words]
        texts = " " + batch.measured("spaced", _spaced) + " "
        found = texts.str.extract_many(entries, overlapping=True).list.unique()
        places = {entry: i for i, entry in enumerate(entries)}
        place = pl.element().replace_strict(places, return_dtype=pl.Int32)
        matched = found.list.eval(place).alias("entry")
        ids = pl.Series("id", (batch.draws(params.seed, "balance") * 2.0**53).astype("int64"))
        batch.set_key = pl.DataFrame([ids, matched]).to_struct()
        return keep(batch.n)


def _spaced(texts: pl.Series) -> pl.Series:
    """MetaCLIP's `spacing`: a space around punctuation, and for every other white space."""
    return texts.str.replace_all(r"([,.;:?!`])", " $1 ").str.replace_all(r"[\t\n\r]", " ")


class Reweight:
    """Thins the surviving rows at random, so that a group's shares are again those of all rows.

    A level whose share grew by the steps before is thinned the most. This is how a published
    mitigation undid the shift that its filters had made (DALL·E 2), there with the levels of an
    image classifier.
    """

    role: ClassVar[Role] = "set"
    needs: ClassVar[tuple[str, ...]] = ("text", "url")

    class Params(StepParams):
        by: str
        seed: int = 0

        @property
        def groups(self) -> tuple[str, ...]:
            """The groups whose levels `laion_probe.sets` decides by."""
            return (self.by,)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        batch.set_key = pl.Series(batch.draws(params.seed, f"reweight {params.by}"))
        return keep(batch.n)


KINDS: dict[str, StepKind] = {
    "duplicates": Duplicates(),
    "caption-frequency": CaptionFrequency(),
    "top-share": TopShare(),
    "balance": Balance(),
    "reweight": Reweight(),
}
