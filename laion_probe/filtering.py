"""Several recipes on the same rows: who is removed by which step, counted unit by unit.

`filter_rows` judges a unit's rows by every recipe, each measure computed once for all of them, and
counts

- patterns (which steps remove the row, which cannot judge it) by recipe and group,
- which of the recipes keep the row, by group,
- for every rewrite, a paired rerun of the recipe without it on the rows that it changes,

and has examples and a comparison of detectors drawn (`laion_probe.drawing`). All of it depends on
the unit and the plan alone, and adds up. Counts carry their meaning in the name of their group, as
the functions below make it: `patterns_of` ...
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.counts import ALL, Cell, UnitCounts
from laion_probe.drawing import Compare, Draw, Found, compare_detectors, examples
from laion_probe.groups import group_key, load_group
from laion_probe.recipes import Recipe
from laion_probe.shards import Unit, read_unit
from laion_probe.steps import Batch, Outcome
from laion_probe.store import fingerprint, frame_bytes, read_frame, versions
from laion_probe.unit_scan import Judged, judge_rows, needed_columns

__all__ = [
    "FilterPlan",
    "FilterWork",
    "UnitFilter",
    "decode_filter",
    "encode_filter",
    "filter_rows",
    "outcomes_of",
    "overlap_of",
    "patterns_of",
    "recount",
    "rewrite_of",
]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_ROWS = "rows"
_UID = re.compile(r"[0-9a-fA-F]{32}")


def patterns_of(recipe: int, group: str) -> str:
    """Rows by level, ``hits`` and ``blind`` of one recipe; the group '' is all rows."""
    return f"patterns|{recipe}|{group}"


def outcomes_of(recipe: int, step: int) -> str:
    """Rows by `Outcome` (the level) of one step."""
    return f"outcomes|{recipe}|{step}"


def overlap_of(group: str) -> str:
    """Rows by level; bit r of ``hits`` is set where recipe r keeps the row."""
    return f"overlap|{group}"


def rewrite_of(recipe: int, step: int, group: str) -> str:
    """Rows by level; ``hits`` has the bits of `REWRITE_BITS`."""
    return f"rewrite|{recipe}|{step}|{group}"


#: Kept by the row-local steps with the rewrite; without it; changed by it; emptied by it.
REWRITE_BITS = (1, 2, 4, 8)


@dataclass(frozen=True)
class FilterPlan:
    """What is computed for each unit.

    ``sets`` as in `laion_probe.unit_scan.Plan`; ``ids`` asks for the rows' ids, to write
    them; ``rows`` that verdicts of each row are kept, to write the rows.
    ``audited`` is the share of captions that ``detectors`` are compared on; ``examples`` are drawn
    of each kind. ``observed`` has, by recipe, the bits of the steps that take part in what is kept
    (default: all that decide): not those that the input had passed before.
    """

    recipes: tuple[Recipe, ...]
    groups: tuple[str, ...] = ()
    sets: Literal["keep", "skip"] = "skip"
    ids: bool = False
    rows: bool = False
    detectors: tuple[str, ...] = ()
    audited: float = 0.0
    examples: int = 0
    seed: int = 0
    observed: tuple[int, ...] = ()

    def mask(self, recipe: int) -> int:
        """The bits of the steps that take part."""
        if self.observed:
            return self.observed[recipe]
        return sum(1 << i for i in self.recipes[recipe].deciding)

    @property
    def fingerprint(self) -> str:
        """Identifies the plan: partial results of another plan or version never mix with it."""
        recipes = [r.model_dump(mode="json") for r in self.recipes]
        sets = self.sets if self.has_sets else ""
        groups = [self.groups, *(group_key(name) for name in self.all_groups)]
        kept = (self.ids, self.rows)
        rest = [groups, sets, kept, self.detectors, self.audited, self.examples, self.seed]
        masks = [self.mask(r) for r in range(len(recipes))]
        return fingerprint([__version__, versions(), "filters", recipes, masks, *rest])

    @property
    def has_sets(self) -> bool:
        """Whether some step needs the whole set."""
        return any(s.role == "set" for r in self.recipes for s in r.step)

    @property
    def keeps_rows(self) -> bool:
        """Whether something must be kept of every row until all units are there."""
        return self.ids or self.rows or (self.has_sets and self.sets == "keep")

    @property
    def all_groups(self) -> tuple[str, ...]:
        """The groups to count by, and those that set steps decide by."""
        more = (g for r in self.recipes for s in r.step for g in s.groups)
        return tuple(dict.fromkeys((*self.groups, *more)))

    def columns(self, unit: Unit) -> tuple[str, ...]:
        """The canonical columns that must be read."""
        needed = needed_columns(self.recipes, self.all_groups) | {"text"}
        if self.ids or self.audited or self.examples:
            needed.add("url")  # draws and ids
        if self.ids and "uid" in unit.shard.columns.source:
            needed.add("uid")
        return tuple(sorted(needed))


@dataclass(frozen=True)
class UnitFilter:
    """A unit as filtered.

    ``rows`` (only where something must be kept of every row) has for recipe r ``hits_r``,
    ``blind_r`` and ``r:key_I``, the level of every group, and ``id_high`` and ``id_low``.
    """

    counts: UnitCounts
    examples: tuple[Found, ...] = ()
    rows: pl.DataFrame | None = None

    @property
    def n(self) -> int:
        """Rows of the unit."""
        return sum(cell[4] for cell in self.counts.cells if cell[0] == _ROWS)


@dataclass(frozen=True)
class FilterWork:
    """`filter_unit` as a value that can be sent to another process."""

    plan: FilterPlan

    def __call__(self, unit: Unit) -> UnitFilter:
        """The unit's counts, examples and rows."""
        return filter_rows(unit.id, read_unit(unit, self.plan.columns(unit)), self.plan)


def filter_rows(unit: str, rows: pl.DataFrame, plan: FilterPlan) -> UnitFilter:
    """Judge a unit's rows by every recipe and count; ``rows`` has the columns that it needs."""
    start = Batch(rows)
    judged: list[Judged] = []
    after: list[Batch] = []
    for recipe in plan.recipes:
        batch = start.fork()
        judged.append(judge_rows(batch, recipe, plan.sets))
        after.append(batch)
    # before any recipe, so that no recipe's account depends on another one beside it
    columns = [load_group(name).levels(start).alias(name) for name in plan.all_groups]
    for r, (recipe, done) in enumerate(zip(plan.recipes, judged, strict=True)):
        columns.append(pl.Series(f"hits_{r}", done.hits(recipe)))
        columns.append(pl.Series(f"blind_{r}", done.blind(recipe)))
    table = pl.DataFrame(columns)
    cells: list[Cell] = [(_ROWS, "", 0, 0, start.n)]
    if not plan.keeps_rows:
        cells += recount(table, plan)
    for r, done in enumerate(judged):
        cells += _outcomes(r, done, len(plan.recipes[r].step))
        cells += _rewrites(r, start, done, table, plan)
    found: list[Found] = []
    if plan.examples:
        masks = [plan.mask(r) for r in range(len(judged))]
        draw = Draw(start, plan.recipes, after, judged, masks, plan.examples, plan.seed)
        more, found = examples(draw)
        cells += more
    if plan.audited and plan.detectors:
        compare = Compare(plan.detectors, plan.audited, plan.groups, plan.examples, plan.seed)
        more, pairs = compare_detectors(start, table, compare)
        cells += more
        found += pairs
    kept = None
    if plan.keeps_rows:
        kept = table.with_columns(
            key.alias(f"{r}:key_{i}")
            for r, done in enumerate(judged)
            for i, key in done.keys.items()
        )
        if plan.ids:
            kept = kept.with_columns(row_ids(start))
    return UnitFilter(UnitCounts.of(unit, cells), tuple(found), kept)


def recount(table: pl.DataFrame, plan: FilterPlan) -> list[Cell]:
    """Patterns by recipe and group, and overlaps, from ``hits_r``, ``blind_r`` and levels."""
    cells: list[Cell] = []
    names = [ALL, *plan.groups]
    for r in range(len(plan.recipes)):
        for name in names:
            by = [f"hits_{r}", f"blind_{r}", *([name] if name else [])]
            group = patterns_of(r, name)
            for hits, blind, *level, n in table.group_by(by).len("n").iter_rows():
                cells.append((group, level[0] if level else "", hits, blind, n))
    if len(plan.recipes) > 1:
        kept = pl.lit(0)
        for r in range(len(plan.recipes)):
            kept = kept + ((pl.col(f"hits_{r}") & plan.mask(r)) == 0).cast(pl.Int64) * (1 << r)
        table = table.with_columns(kept.alias("kept by"))
        for name in names:
            by = ["kept by", *([name] if name else [])]
            for hits, *level, n in table.group_by(by).len("n").iter_rows():
                cells.append((overlap_of(name), level[0] if level else "", hits, 0, n))
    return cells


def _outcomes(recipe: int, judged: Judged, n_steps: int) -> Iterator[Cell]:
    codes, counts = np.unique(judged.code, return_counts=True)
    few = Judged(codes, {})
    for i in range(n_steps):
        for outcome, n in zip(few.outcome(i).tolist(), counts.tolist(), strict=True):
            yield outcomes_of(recipe, i), Outcome(outcome).name, 0, 0, n


def _rewrites(
    r: int, start: Batch, judged: Judged, table: pl.DataFrame, plan: FilterPlan
) -> Iterator[Cell]:
    """The paired rerun of every rewrite: only rows that it changes can be judged otherwise."""
    recipe, mask = plan.recipes[r], plan.mask(r)
    kept_with = _kept_locally(judged, recipe, mask)
    for i, step in enumerate(recipe.step):
        if step.role != "rewrite":
            continue
        outcome = judged.outcome(i)
        changed = outcome != Outcome.KEEP
        kept_without = kept_with.copy()
        if changed.any():
            rows = start.rows.filter(pl.Series(changed))
            shorter = recipe.model_copy(update={"step": (*recipe.step[:i], *recipe.step[i + 1 :])})
            # without step i, later ones have moved up by one place
            moved = (mask & ((1 << i) - 1)) | ((mask >> (i + 1)) << i)
            again = judge_rows(Batch(rows), shorter, "skip")
            kept_without[changed] = _kept_locally(again, shorter, moved)
        flags = [kept_with, kept_without, changed, outcome == Outcome.EMPTIED]
        bits = sum(f.astype(np.int64) * b for f, b in zip(flags, REWRITE_BITS, strict=True))
        flagged = pl.DataFrame({"bits": bits}).with_columns(table[g] for g in plan.groups)
        for name in (ALL, *plan.groups):
            by = ["bits", *([name] if name else [])]
            for hits, *level, n in flagged.group_by(by).len("n").iter_rows():
                yield rewrite_of(r, i, name), level[0] if level else "", hits, 0, n


def _kept_locally(judged: Judged, recipe: Recipe, mask: int) -> Bools:
    """Rows that no row-local step that takes part removes."""
    local = sum(1 << i for i in recipe.deciding if recipe.step[i].role == "drop")
    return np.asarray((judged.hits(recipe) & local & mask) == 0, dtype=bool)


def row_ids(batch: Batch) -> list[pl.Series]:
    """128 bits a row, as two columns: DataComp's uid, or the crawler's md5 of URL and caption."""
    uids = batch.rows["uid"].to_list() if "uid" in batch.rows.columns else [None] * batch.n
    urls, texts = batch.column("url").fill_null(""), batch.column("text")
    hexes = [
        uid
        if uid is not None and _UID.fullmatch(uid)
        else hashlib.md5(f"{url}{text}".encode(), usedforsecurity=False).hexdigest()
        for uid, url, text in zip(uids, urls, texts, strict=True)
    ]
    high = np.array([int(h[:16], 16) for h in hexes], dtype=np.uint64)
    low = np.array([int(h[16:], 16) for h in hexes], dtype=np.uint64)
    return [pl.Series("id_high", high), pl.Series("id_low", low)]


def encode_filter(unit: UnitFilter) -> bytes:
    """A unit's counts, examples and rows if any, for `laion_probe.store.Partials`."""
    counts = unit.counts.to_json()
    examples = json.dumps(unit.examples, ensure_ascii=False).encode("utf-8", "surrogatepass")
    rows = b"" if unit.rows is None else frame_bytes(unit.rows)
    sizes = b"".join(len(part).to_bytes(8, "little") for part in (counts, examples))
    return sizes + counts + examples + rows


def decode_filter(unit: Unit, data: bytes) -> UnitFilter:
    """What `encode_filter` wrote."""
    first = 16 + int.from_bytes(data[:8], "little")
    second = first + int.from_bytes(data[8:16], "little")
    listed: list[Any] = json.loads(data[first:second].decode("utf-8", "surrogatepass"))
    return UnitFilter(
        UnitCounts.from_json(unit.id, data[16:first]),
        tuple(Found(*item) for item in listed),
        read_frame(data[second:]) if second < len(data) else None,
    )
