"""Run a recipe over units: every step judged on every row, then counted.

`scan_unit` is the row-local part: it depends on nothing but the unit and the recipe, so it can run
anywhere and be cached. `resolve` puts units together, decides the set steps (duplicates) on the
rows that survive the steps before them, and counts patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.counts import PatternCounts
from laion_probe.recipes import Recipe
from laion_probe.shards import Unit, read_unit
from laion_probe.steps import Batch, Outcome
from laion_probe.store import atomic_file, fingerprint

__all__ = ["Scan", "plan_fingerprint", "resolve", "scan_unit", "scan_unit_cached"]

_REMOVES = (Outcome.DROP, Outcome.ROUTE)


@dataclass(frozen=True)
class Scan:
    """The verdicts of a recipe on all rows.

    ``rows`` has a row per input row: ``unit`` (index), ``row`` (index in its shard), ``language``
    (as the recipe's detector reads it, or null) and ``outcome_I`` for step I. ``removed_at`` is the
    position of the first step that removes the row, or the number of steps when it survives.
    """

    recipe: Recipe
    rows: pl.DataFrame
    removed_at: NDArray[np.int64]
    counts: PatternCounts

    def outcomes(self, step: int) -> dict[str, int]:
        """Rows by what this step would do with them, whatever earlier steps decided."""
        codes = self.rows[f"outcome_{step}"].to_numpy()
        tally = np.bincount(codes, minlength=len(Outcome))
        return {o.name.lower(): int(tally[o]) for o in Outcome if tally[o]}


def plan_fingerprint(recipe: Recipe) -> str:
    """Identifies what `scan_unit` computes: another recipe or version never mixes with this one."""
    return fingerprint([__version__, recipe.model_dump(mode="json")])


def scan_unit(unit: Unit, recipe: Recipe) -> pl.DataFrame:
    """Judge every row of a unit by every step, in order, without looking at other units.

    Returns ``row``, ``language`` and, for each step I, ``outcome_I`` (uint8) and, for set steps,
    ``key_I`` (int64).
    """
    rows = read_unit(unit)
    batch = Batch(rows, rows["text"].to_list())
    columns: dict[str, pl.Series] = {"row": rows["row"]}
    for i, step in enumerate(recipe.step):
        outcome = step.implementation.judge(batch, step.parsed())
        columns[f"outcome_{i}"] = pl.Series(outcome, dtype=pl.UInt8)
        if step.role == "set" and batch.set_key is not None:
            columns[f"key_{i}"] = pl.Series(batch.set_key, dtype=pl.Int64)
    language: list[str | None] = list(batch.language) if batch.language else [None] * batch.n
    columns["language"] = pl.Series(language, dtype=pl.String)
    return pl.DataFrame(columns)


def scan_unit_cached(unit: Unit, recipe: Recipe, cache: Path) -> pl.DataFrame:
    """`scan_unit`, kept under a fingerprint of plan and unit content, so that a run resumes."""
    path = cache / plan_fingerprint(recipe) / f"{unit.id}.parquet"
    if path.exists():
        return pl.read_parquet(path)
    frame = scan_unit(unit, recipe)
    with atomic_file(path) as scratch:
        frame.write_parquet(scratch)
    return frame


def resolve(recipe: Recipe, units: Sequence[Unit], frames: Sequence[pl.DataFrame]) -> Scan:
    """Put scanned units together (in the given order, which settles who is first of duplicates)."""
    rows = pl.concat(
        [f.with_columns(pl.lit(i, dtype=pl.Int64).alias("unit")) for i, f in enumerate(frames)]
    )
    removed_at = np.full(len(rows), len(recipe.step), dtype=np.int64)
    for i, step in enumerate(recipe.step):
        name = f"outcome_{i}"
        if step.role == "set":
            alive = removed_at == len(recipe.step)
            verdict = _duplicates(rows[f"key_{i}"].to_numpy(), alive)
            rows = rows.with_columns(pl.Series(name, verdict, dtype=pl.UInt8))
        if i in recipe.deciding:
            removes = np.isin(rows[name].to_numpy(), _REMOVES)
            removed_at[removes & (removed_at == len(recipe.step))] = i
    return Scan(recipe, rows, removed_at, _patterns(recipe, units, rows))


def _duplicates(keys: NDArray[np.int64], alive: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """DROP for each row whose key a *surviving* earlier row has; judged on every row."""
    order = np.flatnonzero(alive)
    first_keys, position = np.unique(keys[order], return_index=True)
    out = np.zeros(len(keys), dtype=np.uint8)
    if len(first_keys) == 0:
        return out
    where = np.minimum(np.searchsorted(first_keys, keys), len(first_keys) - 1)
    known = first_keys[where] == keys
    keeper = order[position[where]]
    out[known & (keeper != np.arange(len(keys)))] = Outcome.DROP
    return out


def _patterns(recipe: Recipe, units: Sequence[Unit], rows: pl.DataFrame) -> PatternCounts:
    hits = np.zeros(len(rows), dtype=np.int64)
    blind = np.zeros(len(rows), dtype=np.int64)
    for i in recipe.deciding:
        codes = rows[f"outcome_{i}"].to_numpy()
        hits |= np.isin(codes, _REMOVES).astype(np.int64) << i
        blind |= (codes == Outcome.NOT_EVALUABLE).astype(np.int64) << i
    table = (
        pl.DataFrame({"unit": rows["unit"], "hits": hits, "blind": blind})
        .group_by("unit", "hits", "blind")
        .len()
        .sort("unit", "hits", "blind")
    )
    by_unit: dict[str, dict[tuple[int, int], int]] = {u.id: {} for u in units}
    for index, hit, ne, n in table.iter_rows():
        by_unit[units[index].id][(hit, ne)] = n
    return PatternCounts(by_unit)
