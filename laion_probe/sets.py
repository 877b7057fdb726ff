"""Steps that need the whole set: which rows repeat a surviving earlier row.

Within a unit only keys can be computed. When every unit is there, rows are divided by key into
pieces that fit in memory (spilled to disk where they are many), and each piece is decided alone:
equal keys always lie in the same piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["ROWS_IN_MEMORY", "decide_duplicates", "duplicates"]

#: So many rows are held at once; about 60 bytes each.
ROWS_IN_MEMORY = 4_000_000

Bools = NDArray[np.bool_]


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


def decide_duplicates(
    frames: Iterable[pl.DataFrame], step: int, before: int, n_rows: int, scratch: Path
) -> Iterator[pl.DataFrame]:
    """Rows with bit ``step`` of ``hits`` set where they repeat a surviving earlier row.

    ``frames`` hold ``order`` (place in the data set), ``hits`` and ``key_STEP``; ``before`` is the
    mask of the steps that come earlier. What comes back are the same rows in another order, in
    pieces of about `ROWS_IN_MEMORY`.
    """
    key = f"key_{step}"
    n_pieces = math.ceil(n_rows / ROWS_IN_MEMORY)
    for piece in _pieces(frames, key, n_pieces, scratch / f"step-{step}"):
        rows = piece.sort("order")
        alive = (rows["hits"].to_numpy() & before) == 0
        again = duplicates(rows[key], alive)
        yield rows.with_columns(pl.col("hits") | pl.Series(again.astype(np.int64) << step)).drop(
            key
        )


def _pieces(
    frames: Iterable[pl.DataFrame], key: str, n_pieces: int, scratch: Path
) -> Iterator[pl.DataFrame]:
    """The rows, divided by key."""
    if n_pieces <= 1:
        everything = list(frames)
        if everything:
            yield pl.concat(everything)
        return
    scratch.mkdir(parents=True)
    writers: dict[int, pq.ParquetWriter] = {}

    def spill(held: list[pl.DataFrame]) -> None:
        rows = pl.concat(held).with_columns((pl.col(key).fill_null(0) % n_pieces).alias("piece"))
        for (number,), part in rows.partition_by("piece", as_dict=True, include_key=False).items():
            table = part.to_arrow()
            if number not in writers:
                writers[number] = pq.ParquetWriter(scratch / f"{number}.parquet", table.schema)
            writers[number].write_table(table)

    held: list[pl.DataFrame] = []
    try:
        for frame in frames:
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
