"""Run a recipe over units: every step judged on every row, then counted.

`count_unit` gives a unit's table of integers: it depends on nothing but the unit and the plan, so
it can run anywhere, be kept and be merged. `judge_unit` keeps the verdicts row by row, for the few
rows that a question follows further, and `resolve` puts such units together. Steps that need the
whole set (duplicates) are decided in `laion_probe.sets`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.counts import ALL, Cell, UnitCounts
from laion_probe.groups import group_key, load_group
from laion_probe.recipes import Recipe
from laion_probe.records import swapped_sizes
from laion_probe.sets import SetRows, decide_sets
from laion_probe.shards import Unit, read_unit
from laion_probe.steps import Batch, Outcome
from laion_probe.store import fingerprint, frame_bytes, read_frame, versions

__all__ = [
    "OUTCOMES",
    "SIZES",
    "CountWork",
    "JudgeWork",
    "Judged",
    "Plan",
    "Scan",
    "UnitScan",
    "by_pattern",
    "count_rows",
    "count_unit",
    "decode_scan",
    "encode_scan",
    "judge_rows",
    "judge_unit",
    "needed_columns",
    "resolve",
]

#: Groups that every scan counts: the outcomes of step I are "outcome:I" ...
OUTCOMES = "outcome:"
#: ... and whether WIDTH and HEIGHT agree with the picture's own sizes, where both are there.
SIZES = "sizes"

_BITS, _MASK = 3, np.uint64(7)  # an outcome's place in a row's code
_REMOVES = (int(Outcome.DROP), int(Outcome.ROUTE))
_SIZE_COLUMNS = ("width", "height", "original_width", "original_height")


@dataclass(frozen=True)
class Plan:
    """What is computed for each unit.

    ``sets`` says what becomes of steps that need the whole set: "keep" their rows' keys, so that
    they can be decided when every unit is there, or "skip" them as not evaluable, since they cannot
    be estimated from a sample of units.
    """

    recipe: Recipe
    groups: tuple[str, ...] = ()
    sets: Literal["keep", "skip"] = "skip"

    @property
    def fingerprint(self) -> str:
        """Identifies the plan: partial results of another plan or version never mix with it."""
        recipe = self.recipe.model_dump(mode="json")
        groups = [self.groups, *(group_key(name) for name in self.all_groups)]
        return fingerprint(
            [__version__, versions(), recipe, groups, self.sets if self.set_steps else ""]
        )

    @property
    def set_steps(self) -> tuple[int, ...]:
        """Positions of the steps that need the whole set."""
        return tuple(i for i, s in enumerate(self.recipe.step) if s.role == "set")

    @property
    def all_groups(self) -> tuple[str, ...]:
        """The groups to count by, and those that set steps decide by."""
        more = (g for step in self.recipe.step for g in step.groups)
        return tuple(dict.fromkeys((*self.groups, *more)))

    def columns(self, unit: Unit) -> tuple[str, ...]:
        """The canonical columns that must be read."""
        needed = needed_columns([self.recipe], self.all_groups)
        source = unit.shard.columns.source
        sizes = [source.get(c) for c in _SIZE_COLUMNS]
        if None not in sizes and len(set(sizes)) == len(sizes):
            needed |= set(_SIZE_COLUMNS)
        return tuple(sorted(needed))


def needed_columns(recipes: Sequence[Recipe], groups: Sequence[str]) -> set[str]:
    """The canonical columns that steps and groups read."""
    needed = {c for recipe in recipes for step in recipe.step for c in step.needs}
    return needed | {c for name in groups for c in load_group(name).needs}


@dataclass(frozen=True)
class UnitScan:
    """A unit as scanned.

    ``rows`` (only where the plan keeps sets) has a row per input row: ``hits``, ``blind``,
    ``key_I`` for set step I, and the level of every group, by name. The steps that need the set
    are in neither: they keep every row for now.
    """

    counts: UnitCounts
    rows: pl.DataFrame | None = None


def count_unit(unit: Unit, plan: Plan) -> UnitScan:
    """Judge every row of a unit by every step and count patterns, by group."""
    return count_rows(unit.id, read_unit(unit, plan.columns(unit)), plan)


def count_rows(unit: str, rows: pl.DataFrame, plan: Plan) -> UnitScan:
    """`count_unit` of rows that were read already, with the columns that the plan needs."""
    recipe = plan.recipe
    batch = Batch(rows)
    judged = judge_rows(batch, recipe, plan.sets)
    wanted = plan.all_groups if judged.keys else plan.groups
    coded = pl.DataFrame({"code": judged.code}).with_columns(
        load_group(name).levels(batch).alias(name) for name in wanted
    )
    counts = UnitCounts.of(unit, [*_counted(coded, plan), *_sizes(batch.rows)])
    if not judged.keys:
        return UnitScan(counts)
    kept = pl.DataFrame({"hits": judged.hits(recipe), "blind": judged.blind(recipe)})
    keys = [key.alias(f"key_{i}") for i, key in judged.keys.items()]
    return UnitScan(counts, kept.with_columns(coded[name] for name in wanted).with_columns(keys))


@dataclass(frozen=True)
class Judged:
    """A batch as judged by a recipe.

    ``code`` (n,) holds `_BITS` bits a step, its `Outcome`; ``keys`` what set steps compare, by
    position, where they were asked for. `outcome` gives one step's verdicts.
    """

    code: NDArray[np.uint64]
    keys: dict[int, pl.Series]

    def outcome(self, step: int) -> NDArray[np.uint8]:
        """The `Outcome` of each row at one step."""
        return ((self.code >> np.uint64(_BITS * step)) & _MASK).astype(np.uint8)

    def hits(self, recipe: Recipe) -> NDArray[np.int64]:
        """Bit i where deciding step i removes the row."""
        return self._mask(recipe, _REMOVES)

    def blind(self, recipe: Recipe) -> NDArray[np.int64]:
        """Bit i where deciding step i cannot judge the row."""
        return self._mask(recipe, (int(Outcome.NOT_EVALUABLE),))

    def _mask(self, recipe: Recipe, outcomes: tuple[int, ...]) -> NDArray[np.int64]:
        mask = np.zeros(len(self.code), dtype=np.int64)
        for i in recipe.deciding:
            mask |= np.isin(self.outcome(i), outcomes).astype(np.int64) << i
        return mask


def judge_rows(batch: Batch, recipe: Recipe, sets: Literal["keep", "skip"]) -> Judged:
    """Judge every row by every step, in order, without looking at other rows.

    Steps that need the whole set keep every row that they can judge, for now; with ``sets`` "skip"
    they can judge none.
    """
    code = np.zeros(batch.n, dtype=np.uint64)
    keys: dict[int, pl.Series] = {}
    for i, step in enumerate(recipe.step):
        skipped = step.role == "set" and sets == "skip"
        if skipped:
            outcome = np.full(batch.n, Outcome.NOT_EVALUABLE, dtype=np.uint8)
        else:
            outcome = step.implementation.judge(batch, step.parsed())
        if step.role == "set" and not skipped:
            nothing = pl.Series([None] * batch.n, dtype=pl.Null)
            keys[i] = nothing if batch.set_key is None else batch.set_key
        if outcome.any():
            code |= outcome.astype(np.uint64) << np.uint64(_BITS * i)
    return Judged(code, keys)


def _counted(coded: pl.DataFrame, plan: Plan) -> list[Cell]:
    """The cells of a unit from its rows' ``code`` (`_BITS` bits a step) and levels.

    Rows of one unit have few different codes, so everything else is done on those.
    """
    names = [*plan.groups] or [ALL]
    out: list[Cell] = []
    for place, name in enumerate(names):
        by = ["code"] if name == ALL else ["code", name]
        for *found, n in coded.group_by(by).len("n").iter_rows():
            outcomes = [
                (found[0] >> (_BITS * i)) & int(_MASK) for i in range(len(plan.recipe.step))
            ]
            deciding = [(i, outcomes[i]) for i in plan.recipe.deciding]
            hits = sum(1 << i for i, o in deciding if o in _REMOVES)
            blind = sum(1 << i for i, o in deciding if o == Outcome.NOT_EVALUABLE)
            if name != ALL:
                out.append((name, found[1], hits, blind, n))
            if place == 0:  # whatever the groups, all rows are in each of them
                out.append((ALL, "", hits, blind, n))
                out += (
                    (f"{OUTCOMES}{i}", Outcome(o).name, 0, 0, n) for i, o in enumerate(outcomes)
                )
    return out


def by_pattern(rows: pl.DataFrame, groups: Sequence[str]) -> list[Cell]:
    """Counts by pattern of rows with ``hits`` and ``blind``: of all, and of each group's levels."""
    out: list[Cell] = [
        (ALL, "", hits, blind, n)
        for hits, blind, n in rows.group_by("hits", "blind").len("n").iter_rows()
    ]
    for name in groups:
        table = rows.group_by(name, "hits", "blind").len("n")
        out += ((name, level, hits, blind, n) for level, hits, blind, n in table.iter_rows())
    return out


def _sizes(rows: pl.DataFrame) -> list[Cell]:
    if not set(_SIZE_COLUMNS) <= set(rows.columns):
        return []
    agree, exchanged = swapped_sizes(*(rows[c] for c in _SIZE_COLUMNS))
    return [(SIZES, "agree", 0, 0, agree), (SIZES, "exchanged", 0, 0, exchanged)]


def encode_scan(scan: UnitScan) -> bytes:
    """A unit's counts, and its rows if any, for `laion_probe.store.Partials`."""
    counts = scan.counts.to_json()
    rows = b"" if scan.rows is None else frame_bytes(scan.rows)
    return len(counts).to_bytes(8, "little") + counts + rows


def decode_scan(unit: Unit, data: bytes) -> UnitScan:
    """What `encode_scan` wrote."""
    end = 8 + int.from_bytes(data[:8], "little")
    rows = read_frame(data[end:]) if end < len(data) else None
    return UnitScan(UnitCounts.from_json(unit.id, data[8:end]), rows)


@dataclass(frozen=True)
class CountWork:
    """`count_unit` as a value that can be sent to another process."""

    plan: Plan

    def __call__(self, unit: Unit) -> UnitScan:
        """The unit's counts."""
        return count_unit(unit, self.plan)


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

    def outcomes(self, step: int) -> dict[str, int]:
        """Rows by what this step would do with them, whatever earlier steps decided."""
        codes = self.rows[f"outcome_{step}"].to_numpy()
        tally = np.bincount(codes, minlength=len(Outcome))
        return {o.name.lower(): int(tally[o]) for o in Outcome if tally[o]}


def judge_unit(unit: Unit, recipe: Recipe) -> pl.DataFrame:
    """Judge every row of a unit by every step, in order, without looking at other units.

    Returns ``row``, ``language``, for each step I ``outcome_I`` (uint8), and what set steps decide
    by: ``key_I`` and the levels of groups.
    """
    plan = Plan(recipe, sets="keep")
    batch = Batch(read_unit(unit, plan.columns(unit)))
    judged = judge_rows(batch, recipe, "keep")
    columns = [batch.rows["row"]]
    columns += [pl.Series(f"outcome_{i}", judged.outcome(i)) for i in range(len(recipe.step))]
    columns += [key.alias(f"key_{i}") for i, key in judged.keys.items()]
    columns += [load_group(name).levels(batch).alias(name) for name in plan.all_groups]
    none = pl.Series([None] * batch.n, dtype=pl.String)
    language = none if batch.language is None else batch.language
    return pl.DataFrame([*columns, language.alias("language")])


@dataclass(frozen=True)
class JudgeWork:
    """`judge_unit` as a value that can be sent to another process."""

    recipe: Recipe

    def __call__(self, unit: Unit) -> pl.DataFrame:
        """The unit's verdicts, row by row."""
        return judge_unit(unit, self.recipe)


def resolve(recipe: Recipe, frames: Sequence[pl.DataFrame]) -> Scan:
    """Put judged units together (in the given order, which settles who is first of duplicates)."""
    rows = pl.concat(
        [f.with_columns(pl.lit(i, dtype=pl.Int64).alias("unit")) for i, f in enumerate(frames)],
        how="diagonal_relaxed",
    )
    hits = np.zeros(len(rows), dtype=np.int64)
    for i in recipe.deciding:
        hits |= np.isin(rows[f"outcome_{i}"].to_numpy(), _REMOVES).astype(np.int64) << i
    # everything is in memory here, so that nothing is spilled
    with tempfile.TemporaryDirectory() as scratch:
        decide_sets(recipe, SetRows(lambda: iter([rows]), len(rows), Path(scratch)), hits)
    removed_at = np.full(len(rows), len(recipe.step), dtype=np.int64)
    for i in recipe.deciding:
        removes = ((hits >> i) & 1).astype(bool)
        if recipe.step[i].role == "set":
            dropped = pl.when(pl.Series(removes)).then(int(Outcome.DROP))
            rows = rows.with_columns(
                dropped.otherwise(pl.col(f"outcome_{i}")).alias(f"outcome_{i}")
            )
        removed_at[removes & (removed_at == len(recipe.step))] = i
    return Scan(recipe, rows, removed_at)
