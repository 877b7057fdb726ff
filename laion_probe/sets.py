"""Steps that need the whole set: decided from the rows that survive the steps before.

Within a unit only keys can be computed (`laion_probe.steps.whole_set`). When every unit is there, a
first pass over the kept keys prepares a table (which rows come first, a threshold, how often an
entry is matched, the shares of levels), and a second one looks each row up in it. Every row is
judged, also those that earlier steps remove: for them the question is what this step would do.

Verdicts are bits of ``hits``, one number a row in the order of the data set; that array may be a
file (`numpy.memmap`). Keys are read unit by unit, so that memory does not grow with the rows; exact
duplicates are divided by key into pieces that fit in memory.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from laion_probe.recipes import Recipe
from laion_probe.steps.base import uniform

__all__ = ["ROWS_IN_MEMORY", "SetRows", "decide_sets", "duplicates", "verdicts"]

#: So many rows are held at once; about 60 bytes each.
ROWS_IN_MEMORY = 4_000_000

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SetRows:
    """All rows of a data set, in order, read as often as asked.

    ``frames()`` gives the rows, unit by unit, with a column ``{prefix}key_I`` for set step I and
    one for each group that a step asks for; ``n`` is how many rows there are in all.
    """

    frames: Callable[[], Iterator[pl.DataFrame]]
    n: int
    scratch: Path
    prefix: str = ""

    def read(self, *columns: str) -> Iterator[tuple[slice, pl.DataFrame]]:
        """The columns of each frame, and the place of its rows in the order of the data set."""
        start = 0
        for frame in self.frames():
            yield slice(start, start + len(frame)), frame.select(columns)
            start += len(frame)


@dataclass(frozen=True)
class _Case:
    """A set step that is to be decided: its bit, its key, and who is alive when it comes."""

    rows: SetRows
    hits: Ints
    step: int
    before: int
    params: Any

    @property
    def key(self) -> str:
        return f"{self.rows.prefix}key_{self.step}"

    def keyed(self, *columns: str) -> Iterator[tuple[slice, pl.DataFrame, Bools]]:
        """Keys (and further columns) of each unit that has keys, with which rows are alive."""
        for place, frame in self.rows.read(self.key, *columns):
            if frame[self.key].dtype != pl.Null:
                yield place, frame, (self.hits[place] & self.before) == 0

    def drop(self, place: slice | Ints, dropped: Bools) -> None:
        """Set this step's bit."""
        self.hits[place] |= dropped.astype(np.int64) << self.step


def decide_sets(recipe: Recipe, rows: SetRows, hits: Ints, mask: int = -1) -> dict[str, str]:
    """Set the bits of the recipe's set steps in ``hits`` (n,), in order.

    ``hits`` has the bits of the row-local steps; those that are not in ``mask`` remove nothing.
    What comes back says, by step id, which table the step was decided by.
    """
    frozen = {}
    for i, step in enumerate(recipe.step):
        if step.role == "set":
            before = sum(1 << j for j in recipe.deciding if j < i) & mask
            case = _Case(rows, hits, i, before, step.parsed())
            frozen[step.id] = _DECIDE[step.kind](case)
    return frozen


@contextlib.contextmanager
def verdicts(folder: Path, n_rows: int) -> Iterator[tuple[Ints, Path]]:
    """An array of ``n_rows`` zeros that lies in a file, and a scratch folder; both vanish after."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="sets-", dir=folder))  # another run has its own
    try:
        if n_rows == 0:
            yield np.zeros(0, dtype=np.int64), scratch
            return
        hits = np.memmap(scratch / "hits", dtype=np.int64, mode="w+", shape=(n_rows,))
        yield hits, scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def duplicates(key: pl.Series, alive: Bools) -> Bools:
    """Whether each row repeats the key of a *surviving* row before it; judged on every row.

    ``key`` (n,) may be null: such rows repeat nothing. ``alive`` (n,) rows that survive the steps
    before. The first surviving row of a key is kept; rows that are not alive count as repeating it
    wherever they stand, since the question for them is what this step would do.
    """
    frame = pl.DataFrame({"key": key, "alive": alive}).with_row_index("row")
    keepers = (
        frame.lazy()
        .filter(pl.col("alive") & pl.col("key").is_not_null())
        .group_by("key")
        .agg(pl.col("row").min().alias("keeper"))
    )
    found = (
        frame.lazy()
        .join(keepers, on="key", how="left", maintain_order="left")
        .select((pl.col("keeper") != pl.col("row")).fill_null(False))
        .collect()
    )
    return np.asarray(found.to_series().to_numpy(), dtype=bool)


def _duplicates(case: _Case) -> str:
    n_dropped = 0
    for piece in _pieces(case):
        alive = piece["alive"].to_numpy()
        again = duplicates(piece["key"], alive)
        case.drop(piece["order"].to_numpy(), again)
        n_dropped += int((again & alive).sum())
    return f"{n_dropped:,} rows repeat an earlier surviving one"


def _frequency(case: _Case) -> str:
    n_keys = 0
    for piece in _pieces(case):
        many = (
            piece.lazy()
            .filter("alive")
            .group_by("key")
            .len("n")
            .filter(pl.col("n") > case.params.max_times)
            .collect()["key"]
        )
        case.drop(piece["order"].to_numpy(), piece["key"].is_in(many.implode()).to_numpy())
        n_keys += len(many)
    return f"{n_keys:,} captions occur more than {case.params.max_times} times"


def _top_share(case: _Case) -> str:
    """The exact threshold in two passes: a histogram of high bits, then the values of one bin."""
    shift = np.uint64(44)  # 2 ** 20 bins
    bins = np.zeros(1 << 20, dtype=np.int64)
    for _, frame, alive in case.keyed():
        bins += np.bincount(_ordered(frame, alive) >> shift, minlength=len(bins)).astype(np.int64)
    n = int(bins.sum())
    if n == 0:
        return "no surviving row has a score"
    k = math.ceil(Fraction(repr(case.params.share)) * n)  # 0.28 of 25 is 7, whatever floats say
    above = np.cumsum(bins[::-1])
    place = int(np.searchsorted(above, k))  # the first bin, from the top, that reaches k
    chosen = len(bins) - 1 - place
    rest = k - (int(above[place - 1]) if place else 0)
    found = []
    for _, frame, alive in case.keyed():
        values = _ordered(frame, alive)
        found.append(values[(values >> shift) == chosen])
    values = np.sort(np.concatenate(found))
    threshold = _from_ordered(values[-rest])
    n_kept = 0
    for place_, frame, alive in case.keyed():
        score = frame.to_series()
        dropped = (score < threshold).fill_null(False).to_numpy()
        case.drop(place_, dropped)
        n_kept += int((alive & ~dropped & score.is_not_null().to_numpy()).sum())
    return (
        f"threshold {threshold:.6g}, the {k:,}th highest of {n:,} scores; {n_kept - k:,} rows more "
        "tie with it and are kept"
    )


def _ordered(frame: pl.DataFrame, alive: Bools) -> NDArray[np.uint64]:
    """Scores of rows that are alive, as integers in the same order (IEEE 754)."""
    score = frame.to_series().cast(pl.Float64)
    bits = score.filter(pl.Series(alive)).drop_nulls().to_numpy().view(np.int64)
    top = np.int64(-(2**63))
    return np.where(bits < 0, ~bits, bits ^ top).view(np.uint64)


def _from_ordered(value: np.uint64) -> float:
    bits = np.array([value]).view(np.int64)
    top = np.int64(-(2**63))
    return float(np.where(bits < 0, bits ^ top, ~bits).view(np.float64)[0])


def _balance(case: _Case) -> str:
    counts = np.zeros(len(case.params.words), dtype=np.int64)
    for _, frame, alive in case.keyed():
        entries = frame.to_series().struct.field("entry").filter(pl.Series(alive)).explode()
        counts += np.bincount(entries.drop_nulls().to_numpy(), minlength=len(counts))
    keep = np.minimum(1.0, case.params.t / np.maximum(counts, 1))
    for place, frame, _ in case.keyed():
        key = frame.to_series()
        flat = pl.DataFrame(
            {
                "row": np.arange(len(frame)),
                "id": key.struct.field("id"),
                "entry": key.struct.field("entry"),
            }
        ).explode("entry")
        flat = flat.drop_nulls("entry")
        entry = flat["entry"].to_numpy()
        # a number for each (row, entry): the row's own one, salted by the entry
        mixed = flat["id"].to_numpy().view(np.uint64) ^ (entry.astype(np.uint64) << np.uint64(40))
        lucky = uniform(mixed, case.params.seed, "balance") < keep[entry]
        kept = np.zeros(len(frame), dtype=bool)
        kept[flat["row"].to_numpy()[lucky]] = True
        case.drop(place, ~kept)
    return (
        f"{int((counts > 0).sum()):,} of {len(counts):,} entries are matched, "
        f"{int((counts > case.params.t).sum()):,} of them more than {case.params.t:,} times"
    )


def _reweight(case: _Case) -> str:
    group = case.params.by
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for _, frame, alive in case.keyed(group):
        for table, part in ((before, frame), (after, frame.filter(pl.Series(alive)))):
            for level, n in part[group].value_counts().iter_rows():
                table[level] = table.get(level, 0) + n
    # how much rarer a level became; the one that lost most keeps all its rows
    loss = {level: before[level] / n for level, n in after.items()}
    most = max(loss.values(), default=1.0)
    weights = {level: loss[level] / most for level in sorted(loss)}
    for place, frame, _ in case.keyed(group):
        level = frame[group].replace_strict(weights, default=1.0, return_dtype=pl.Float64)
        case.drop(place, frame[case.key].to_numpy() >= level.to_numpy())
    return "share of surviving rows kept: " + ", ".join(
        f"{level} {weight:.4f}" for level, weight in weights.items()
    )


_DECIDE: dict[str, Callable[[_Case], str]] = {
    "duplicates": _duplicates,
    "caption-frequency": _frequency,
    "top-share": _top_share,
    "balance": _balance,
    "reweight": _reweight,
}


def _pieces(case: _Case) -> Iterator[pl.DataFrame]:
    """The rows (``order``, ``key``, ``alive``) in order, divided by key where they are many."""

    def frames() -> Iterator[pl.DataFrame]:
        for place, frame, alive in case.keyed():
            order = np.arange(place.start, place.stop)
            key = frame.to_series().alias("key")
            yield pl.DataFrame([pl.Series("order", order), key, pl.Series("alive", alive)])

    n_pieces = math.ceil(case.rows.n / ROWS_IN_MEMORY)
    if n_pieces <= 1:
        everything = list(frames())
        if everything:
            yield pl.concat(everything)
        return
    scratch = case.rows.scratch / f"{case.rows.prefix}step-{case.step}"
    scratch.mkdir(parents=True)
    writers: dict[int, pq.ParquetWriter] = {}

    def spill(held: list[pl.DataFrame]) -> None:
        rows = pl.concat(held).with_columns((pl.col("key").fill_null(0) % n_pieces).alias("piece"))
        parts = rows.partition_by("piece", as_dict=True, include_key=False, maintain_order=True)
        for (number,), part in parts.items():
            table = part.to_arrow()
            if number not in writers:
                writers[number] = pq.ParquetWriter(scratch / f"{number}.parquet", table.schema)
            writers[number].write_table(table)

    held: list[pl.DataFrame] = []
    try:
        for frame in frames():
            held.append(frame)
            if sum(map(len, held)) >= ROWS_IN_MEMORY // 4:
                spill(held)
                held = []
        if held:
            spill(held)
    finally:
        for writer in writers.values():
            writer.close()
    for number in sorted(writers):
        path = scratch / f"{number}.parquet"
        yield pl.read_parquet(path)
        path.unlink()
