"""A LAION-like parquet file of any size: real captions, recombined by a seed.

Every row group is made from its own seed, so that a small file is the beginning of a large one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tools.bench.peers import COLUMNS, MAX_PIXELS, MIN_CHARACTERS, MIN_SIMILARITY

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT.parent / "shared" / "data" / "laion400m-sample-1000.parquet"
GROUP_ROWS = 100_000
SEED = 400

_PARTS = 4
SCHEMA = pa.schema(
    [
        ("URL", pa.string()),
        ("TEXT", pa.string()),
        ("WIDTH", pa.int64()),
        ("HEIGHT", pa.int64()),
        ("similarity", pa.float64()),
        ("NSFW", pa.string()),
    ]
)
_NSFW = (("UNLIKELY", 0.93), ("UNSURE", 0.05), ("NSFW", 0.02))

#: The same steps as the bare filter of `tools.bench.peers`.
RECIPE = f"""\
name = "bench"
title = "caption length, picture size and similarity"
source = "the benchmark of this project"

[[step]]
id = "length"
kind = "caption-length"
title = "caption of at least {MIN_CHARACTERS} characters"
params = {{ min_characters = {MIN_CHARACTERS} }}

[[step]]
id = "pixels"
kind = "image-pixels"
title = "at most {MAX_PIXELS} pixels"
params = {{ max_pixels = {MAX_PIXELS} }}

[[step]]
id = "similarity"
kind = "score"
title = "similarity of at least {MIN_SIMILARITY}"
params = {{ column = "similarity", at_least = {MIN_SIMILARITY} }}
"""


@dataclass(frozen=True)
class Corpus:
    """Real captions, sorted by length and cut into parts; ``origin`` says where they are from."""

    origin: str
    parts: tuple[pl.Series, ...]
    urls: pl.Series

    @property
    def n(self) -> int:
        """Captions."""
        return len(self.urls)

    @property
    def texts(self) -> pl.Series:
        """The captions as they are in the sample."""
        return pl.select(pl.concat_str(self.parts).alias("TEXT")).to_series()

    @classmethod
    def load(cls) -> Corpus:
        """The public sample of LAION-400M where it is there, else the captions of the demo data."""
        if SAMPLE.is_file():
            origin, rows = "a public sample of LAION-400M", pl.read_parquet(SAMPLE)
        else:
            shards = ROOT / "data" / "demo" / "shards" / "*.parquet"
            origin, rows = "the demo data of this project", pl.read_parquet(shards)
        rows = rows.select("URL", "TEXT").drop_nulls().unique(maintain_order=True)
        rows = rows.sort(pl.col("TEXT").str.len_chars(), maintain_order=True)
        cuts = [_cut(text) for text in rows["TEXT"]]
        parts = tuple(pl.Series([c[k] for c in cuts], dtype=pl.String) for k in range(_PARTS))
        return cls(origin, parts, rows["URL"])

    def describe(self) -> str:
        """How a row comes about, for the report."""
        return (
            f"Captions are recombined from {self.n} of {self.origin}: each row takes a caption at "
            f"random and swaps {_PARTS - 1} of its {_PARTS} parts, cut between words, for those of "
            "captions of nearly the same length, so that lengths keep their distribution and lines "
            "differ. One caption in a hundred is cut to 0 to 8 characters. URLs are real ones with "
            "the row's number, so that no row comes twice. Sizes are log-normal, similarities "
            "normal about 0.32, NSFW one of three tags; no value is null."
        )


def _cut(text: str) -> list[str]:
    """The caption in parts of about equal length, cut after a space where it has any."""
    ends = [0]
    for k in range(1, _PARTS):
        at = len(text) * k // _PARTS
        space = text.find(" ", at) if " " in text else at - 1
        ends.append(max(ends[-1], len(text) if space < 0 else space + 1))
    ends.append(len(text))
    return [text[a:b] for a, b in pairwise(ends)]


def recombined(corpus: Corpus, rng: np.random.Generator, n: int, near: int) -> pl.Series:
    """Captions, each with the parts of captions whose place by length is at most ``near`` off."""
    first = rng.integers(corpus.n, size=n)
    texts = {"0": corpus.parts[0].gather(first)}
    for k in range(1, _PARTS):
        other = np.clip(first + rng.integers(-near, near + 1, size=n), 0, corpus.n - 1)
        texts[str(k)] = corpus.parts[k].gather(other)
    return pl.DataFrame(texts).select(pl.concat_str(pl.all()).alias("TEXT")).to_series()


def with_metadata(
    corpus: Corpus, rng: np.random.Generator, texts: pl.Series, first: int
) -> pl.DataFrame:
    """The captions as rows of a file; the first is row number ``first``."""
    n = len(texts)
    width = np.exp(rng.normal(6.4, 0.6, n))
    height = width * np.exp(rng.normal(0, 0.35, n))
    nsfw = rng.choice(len(_NSFW), size=n, p=[share for _, share in _NSFW])
    row = pl.int_range(first, first + n, dtype=pl.Int64, eager=True).cast(pl.String)
    urls = corpus.urls.gather(rng.integers(corpus.n, size=n))
    return pl.DataFrame({"url": urls, "TEXT": texts, "row": row}).select(
        pl.concat_str("url", pl.lit("?row="), "row").alias("URL"),
        "TEXT",
        pl.Series("WIDTH", width.astype(np.int64)),
        pl.Series("HEIGHT", height.astype(np.int64)),
        pl.Series("similarity", rng.normal(0.32, 0.03, n)),
        pl.Series([tag for tag, _ in _NSFW]).gather(nsfw).alias("NSFW"),
    )


def make_group(corpus: Corpus, number: int, n: int) -> pl.DataFrame:
    """Row group ``number`` with ``n`` rows: always the same."""
    rng = np.random.default_rng((SEED, number))
    texts = recombined(corpus, rng, n, max(1, corpus.n // 25))
    keep = np.where(rng.random(n) < 0.01, rng.integers(0, 9, n), 1 << 30)
    frame = with_metadata(corpus, rng, texts.str.slice(0, pl.Series(keep)), number * n)
    assert set(COLUMNS) < set(frame.columns)
    return frame


def write_files(
    files: Mapping[Path, int], corpus: Corpus, group_rows: int = GROUP_ROWS
) -> dict[str, float]:
    """Write files of so many rows, each the beginning of the next; returns facts of the largest."""
    lengths = np.zeros(2, dtype=np.int64)  # characters, bytes
    n_groups = -(-max(files.values()) // group_rows)
    with ExitStack() as stack:
        writers = {
            path: stack.enter_context(pq.ParquetWriter(path, SCHEMA, compression="snappy"))
            for path in files
        }
        for number in range(n_groups):
            frame = make_group(corpus, number, group_rows)
            table = frame.to_arrow().cast(SCHEMA)
            for path, rows in files.items():
                here = min(group_rows, rows - number * group_rows)
                if here > 0:
                    writers[path].write_table(table.slice(0, here), row_group_size=group_rows)
            text = frame["TEXT"]
            lengths += (text.str.len_chars().sum(), text.str.len_bytes().sum())
    rows = n_groups * group_rows
    return {"mean_characters": lengths[0] / rows, "mean_bytes": lengths[1] / rows}
