"""Several recipes on the same rows: who is removed by which step, counted unit by unit.

`filter_unit` judges a unit's rows by every recipe, each measure computed once for all of them, and
counts

- patterns (which steps remove the row, which cannot judge it) by recipe and group,
- which of the recipes keep the row, by group,
- for every rewrite, a paired rerun of the recipe without it on the rows that it changes,
- what several language detectors say of a random sample of the captions,

and draws examples. All of it depends on the unit and the plan alone, and adds up. Counts carry
their meaning in the name of their group, as the functions below make it: `patterns_of` ...
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.counts import ALL, Cell, UnitCounts
from laion_probe.groups import group_key, load_group
from laion_probe.language import NO_LANGUAGE, guess_frame
from laion_probe.recipes import Recipe
from laion_probe.scan import Judged, judge_rows, needed_columns
from laion_probe.shards import Unit, read_unit
from laion_probe.steps import Batch, Outcome
from laion_probe.store import fingerprint, frame_bytes

__all__ = [
    "ENGLISH",
    "FilterPlan",
    "FilterWork",
    "Found",
    "UnitFilter",
    "agreement_of",
    "decode_filter",
    "encode_filter",
    "filter_rows",
    "outcomes_of",
    "overlap_of",
    "pair_of",
    "patterns_of",
    "recount",
    "rewrite_of",
]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: Captions that each detector calls English: the level is the detector, hits is 1 where it does.
ENGLISH = "english"
_ROWS = "rows"
#: Agreement is always counted by caption length.
_LENGTH = "length"
#: A detector whose own unreliable guesses count as no language; its name ends so.
RELIABLE = ":reliable"
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


def pair_of(first: str, second: str) -> str:
    """Captions by what two detectors say: the level is "code>code"."""
    return f"pair|{first}|{second}"


def agreement_of(first: str, second: str, group: str) -> str:
    """Captions by level; ``hits`` is 1 where two detectors name the same language."""
    return f"agree|{first}|{second}|{group}"


class Found(NamedTuple):
    """An example: what of, its place in the random order, the caption, and what was made of it."""

    cell: str  # "removed|recipe|step", "rewritten|…", "emptied|…", "kept|recipe|other", or
    # what `pair_of` gives and "|code>code"
    draw: float
    text: str
    rewritten: str | None
    note: str


@dataclass(frozen=True)
class FilterPlan:
    """What is computed for each unit.

    ``sets`` as in `laion_probe.scan.Plan`; ``ids`` asks for the rows' ids, to write what is kept.
    ``audited`` is the share of captions that ``detectors`` are compared on; ``examples`` are drawn
    of each kind.
    """

    recipes: tuple[Recipe, ...]
    groups: tuple[str, ...] = ()
    sets: Literal["keep", "skip"] = "skip"
    ids: bool = False
    detectors: tuple[str, ...] = ()
    audited: float = 0.0
    examples: int = 0
    seed: int = 0

    @property
    def fingerprint(self) -> str:
        """Identifies the plan: partial results of another plan or version never mix with it."""
        recipes = [r.model_dump(mode="json") for r in self.recipes]
        sets = self.sets if self.has_sets else ""
        groups = [group_key(name) for name in self.groups]
        rest = [groups, sets, self.ids, self.detectors, self.audited, self.examples, self.seed]
        return fingerprint([__version__, "filters", recipes, *rest])

    @property
    def has_sets(self) -> bool:
        """Whether some step needs the whole set."""
        return any(s.role == "set" for r in self.recipes for s in r.step)

    @property
    def keeps_rows(self) -> bool:
        """Whether something must be kept of every row until all units are there."""
        return self.ids or (self.has_sets and self.sets == "keep")

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
    columns = [load_group(name).levels(after[0]).alias(name) for name in plan.all_groups]
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
    found = list(_drawn(start, after, judged, plan)) if plan.examples else []
    if plan.audited and plan.detectors:
        more, pairs = _audit(start, table, plan)
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
        for r, recipe in enumerate(plan.recipes):
            mask = sum(1 << i for i in recipe.deciding)
            kept = kept + ((pl.col(f"hits_{r}") & mask) == 0).cast(pl.Int64) * (1 << r)
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
    recipe = plan.recipes[r]
    kept_with = _kept_locally(judged, recipe)
    for i, step in enumerate(recipe.step):
        if step.role != "rewrite":
            continue
        outcome = judged.outcome(i)
        changed = outcome != Outcome.KEEP
        kept_without = kept_with.copy()
        if changed.any():
            rows = start.rows.filter(pl.Series(changed))
            shorter = recipe.model_copy(update={"step": (*recipe.step[:i], *recipe.step[i + 1 :])})
            kept_without[changed] = _kept_locally(judge_rows(Batch(rows), shorter, "skip"), shorter)
        flags = [kept_with, kept_without, changed, outcome == Outcome.EMPTIED]
        bits = sum(f.astype(np.int64) * b for f, b in zip(flags, REWRITE_BITS, strict=True))
        flagged = pl.DataFrame({"bits": bits}).with_columns(table[g] for g in plan.groups)
        for name in (ALL, *plan.groups):
            by = ["bits", *([name] if name else [])]
            for hits, *level, n in flagged.group_by(by).len("n").iter_rows():
                yield rewrite_of(r, i, name), level[0] if level else "", hits, 0, n


def _kept_locally(judged: Judged, recipe: Recipe) -> Bools:
    """Rows that no row-local step removes."""
    hits = judged.hits(recipe)
    mask = sum(1 << i for i in recipe.deciding if recipe.step[i].role == "drop")
    return np.asarray((hits & mask) == 0, dtype=bool)


def _drawn(
    start: Batch, after: Sequence[Batch], judged: Sequence[Judged], plan: FilterPlan
) -> Iterator[Found]:
    """Examples of every kind: of each, the rows with the lowest draws."""
    draws = start.draws(plan.seed, "examples")
    given = start.column("text")
    kept = []
    for r, (recipe, batch, done) in enumerate(zip(plan.recipes, after, judged, strict=True)):
        hits = done.hits(recipe)
        local = [i for i in recipe.deciding if recipe.step[i].role == "drop"]
        alive = np.ones(start.n, dtype=bool)
        for i in local:
            here = alive & ((hits >> i) & 1).astype(bool)
            alive &= ~here
            for row in _lowest(draws, here, plan.examples):
                said = None if batch.language is None else batch.language[row]
                note = f"language: {said}" if said is not None else ""
                yield _found(f"removed|{r}|{i}", draws[row], given[row], batch.text[row], note)
        kept.append(alive)
        for i, step in enumerate(recipe.step):
            if step.role == "rewrite":
                outcome = done.outcome(i)
                for kind, code in (("rewritten", Outcome.REWRITE), ("emptied", Outcome.EMPTIED)):
                    for row in _lowest(draws, outcome == code, plan.examples):
                        cell = f"{kind}|{r}|{i}"
                        # as the whole recipe leaves it
                        yield Found(cell, float(draws[row]), given[row], batch.text[row], "")
    for a, first in enumerate(kept):
        for b, second in enumerate(kept):
            if a != b:
                for row in _lowest(draws, first & ~second, plan.examples):
                    why = _first_remover(plan.recipes[b], int(judged[b].hits(plan.recipes[b])[row]))
                    yield _found(f"kept|{a}|{b}", draws[row], given[row], after[b].text[row], why)


def _found(cell: str, draw: float, text: str, rewritten: str, note: str) -> Found:
    return Found(cell, float(draw), text, rewritten if rewritten != text else None, note)


def _first_remover(recipe: Recipe, hits: int) -> str:
    """The first row-local step of a recipe that removes a row."""
    for i in recipe.deciding:
        if recipe.step[i].role == "drop" and (hits >> i) & 1:
            return f"dropped by: {recipe.step[i].title}"
    return ""


def _lowest(draws: NDArray[np.float64], chosen: Bools, k: int) -> list[int]:
    rows = np.flatnonzero(chosen)
    if len(rows) > k:
        rows = rows[np.argpartition(draws[rows], k)[:k]]
    return [int(row) for row in rows[np.argsort(draws[rows], kind="stable")]]


def _audit(start: Batch, table: pl.DataFrame, plan: FilterPlan) -> tuple[list[Cell], list[Found]]:
    """What detectors say of a random part of the captions as given; empty captions are left out."""
    draws = start.draws(plan.seed, "detectors")
    filled = (start.column("text").str.strip_chars() != "").to_numpy()
    chosen = pl.Series(filled & (draws < plan.audited))
    part = Batch(start.rows.filter(chosen))
    if part.n == 0:
        return [], []
    said: dict[str, pl.Series] = {}
    for name in plan.detectors:
        frame = guess_frame(name.removesuffix(RELIABLE), part.text)
        if name.endswith(RELIABLE):
            unsure = pl.lit(NO_LANGUAGE)
            frame = frame.select(pl.when("reliable").then("code").otherwise(unsure).alias("code"))
        said[name] = frame["code"]
    names = tuple(dict.fromkeys((_LENGTH, *plan.groups)))
    levels = pl.DataFrame({_LENGTH: load_group(_LENGTH).levels(part)}).with_columns(
        table[name].filter(chosen) for name in plan.groups
    )
    cells: list[Cell] = []
    for name, codes in said.items():
        english = int((codes == "en").sum())
        cells += [(ENGLISH, name, 1, 0, english), (ENGLISH, name, 0, 0, part.n - english)]
    found: list[Found] = []
    order = draws[chosen.to_numpy()]
    for a, first in enumerate(plan.detectors):
        for second in plan.detectors[a + 1 :]:
            both = said[first] + ">" + said[second]
            pair = pair_of(first, second)
            cells += [(pair, level, 0, 0, n) for level, n in both.value_counts().iter_rows()]
            same = (said[first] == said[second]).cast(pl.Int64).alias("same")
            for name in names:
                counted = levels.select(name).with_columns(same).group_by("same", name).len("n")
                agree = agreement_of(first, second, name)
                cells += [(agree, level, hit, 0, n) for hit, level, n in counted.iter_rows()]
            for cell in both.filter(same == 0).unique():
                for row in _lowest(order, (both == cell).to_numpy(), plan.examples):
                    found.append(
                        Found(f"{pair}|{cell}", float(order[row]), part.text[row], None, "")
                    )
    return cells, found


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
        pl.read_ipc(data[second:]) if second < len(data) else None,
    )
