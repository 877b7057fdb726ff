"""The peers: the same bare filter, written well, in libraries that many use.

Run as a script, in an environment of its own, it does one of `TASKS` once and prints a line of
JSON. It imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

COLUMNS = ["TEXT", "WIDTH", "HEIGHT", "similarity", "NSFW"]
MIN_CHARACTERS = 5
MAX_PIXELS = 1_500_000
MIN_SIMILARITY = 0.3

Kept = dict[str, int]  # rows kept, by NSFW


def polars_streaming(path: str) -> Callable[[], Kept]:
    """The streaming engine."""
    import polars as pl

    def work() -> Kept:
        kept = pl.scan_parquet(path).filter(
            pl.col("TEXT").str.len_chars() >= MIN_CHARACTERS,
            pl.col("WIDTH") * pl.col("HEIGHT") <= MAX_PIXELS,
            pl.col("similarity") >= MIN_SIMILARITY,
        )
        counts = kept.group_by("NSFW").len().collect(engine="streaming")
        return dict(counts.iter_rows())

    return work


def duckdb(path: str) -> Callable[[], Kept]:
    """One query."""
    import duckdb

    query = f"""
        SELECT NSFW, count(*) FROM read_parquet(?)
        WHERE length(TEXT) >= {MIN_CHARACTERS} AND WIDTH * HEIGHT <= {MAX_PIXELS}
          AND similarity >= {MIN_SIMILARITY}
        GROUP BY NSFW
    """
    return lambda: dict(duckdb.execute(query, [path]).fetchall())


def pyarrow_batches(path: str) -> Callable[[], Kept]:
    """Batches of the five columns, NSFW read as a dictionary, compute kernels on each."""
    import pyarrow.parquet as pq

    def work() -> Kept:
        with pq.ParquetFile(path, read_dictionary=["NSFW"], pre_buffer=True) as file:
            return _kept_of_batches(file.iter_batches(100_000, columns=COLUMNS, use_threads=True))

    return work


def _kept_of_batches(batches: Iterable[Any]) -> Kept:
    """Of Arrow record batches or tables."""
    import pyarrow.compute as pc

    counts: Counter[str] = Counter()
    for batch in batches:
        keep = pc.and_(
            pc.greater_equal(pc.utf8_length(batch.column("TEXT")), MIN_CHARACTERS),
            pc.and_(
                pc.less_equal(
                    pc.multiply(batch.column("WIDTH"), batch.column("HEIGHT")), MAX_PIXELS
                ),
                pc.greater_equal(batch.column("similarity"), MIN_SIMILARITY),
            ),
        )
        for found in pc.value_counts(batch.column("NSFW").filter(keep)).to_pylist():
            counts[found["values"]] += found["counts"]
    return dict(counts)


def _stream(path: str) -> Any:
    from datasets import load_dataset

    return load_dataset("parquet", data_files=path, split="train", streaming=True, columns=COLUMNS)


def datasets_rows(path: str) -> Callable[[], Kept]:
    """A loop over the rows of a streamed data set, with the conditions in plain Python."""
    import datasets  # noqa: F401

    def work() -> Kept:
        counts: Counter[str] = Counter()
        for row in _stream(path):
            if _keep(row["TEXT"], row):
                counts[row["NSFW"]] += 1
        return dict(counts)

    return work


def datasets_batches(path: str) -> Callable[[], Kept]:
    """The Arrow tables of a streamed data set, with compute kernels."""
    import datasets  # noqa: F401

    return lambda: _kept_of_batches(_stream(path).with_format("arrow").iter(100_000))


def datatrove(path: str) -> Callable[[], Kept]:
    """ParquetReader into LambdaFilter, with the conditions in plain Python."""
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.readers import ParquetReader

    folder, _, name = path.rpartition("/")

    def work() -> Kept:
        reader = ParquetReader(folder, glob_pattern=name, text_key="TEXT", id_key="URL")
        keep = LambdaFilter(lambda document: _keep(document.text, document.metadata))
        counts: Counter[str] = Counter()
        for document in keep.run(reader.run()):
            counts[document.metadata["NSFW"]] += 1
        return dict(counts)

    return work


def _keep(text: str, row: Any) -> bool:
    return (
        len(text) >= MIN_CHARACTERS
        and row["WIDTH"] * row["HEIGHT"] <= MAX_PIXELS
        and row["similarity"] >= MIN_SIMILARITY
    )


TASKS: dict[str, Callable[[str], Callable[[], Kept]]] = {
    "polars": polars_streaming,
    "duckdb": duckdb,
    "pyarrow": pyarrow_batches,
    "datasets-rows": datasets_rows,
    "datasets-batches": datasets_batches,
    "datatrove": datatrove,
}


def main(task: str, *rest: str) -> None:
    """Do a task on a file, or say the versions of packages."""
    if task == "versions":
        print(json.dumps({name: metadata.version(name) for name in rest}))
        return
    work = TASKS[task](*rest)  # imports
    start = time.perf_counter()
    kept = work()
    print(json.dumps({"call_s": time.perf_counter() - start, "kept": kept}))


if __name__ == "__main__":
    main(*sys.argv[1:])
