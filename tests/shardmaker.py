"""Small real shards on disk for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

CAPTIONS = (
    "a photograph of a doctor in a hospital",
    "médecin avec un stéthoscope dans un hôpital",
    "एक महिला डॉक्टर अस्पताल में",
    "",
    "cat",
    "the canteen of the old school, with many people",
    "Doctor Who box set, series one",
    " a doctor &amp; a nurse\nin the ward of a hospital ",
)


def frame(n: int = 40, **columns: Any) -> pl.DataFrame:
    """A laion2B-multi-like frame of n rows with some of everything in it."""
    data: dict[str, Any] = {
        "URL": [f"http://site{i % 7}.example/{i % 23}.jpg" for i in range(n)],
        "TEXT": [CAPTIONS[i % len(CAPTIONS)] for i in range(n)],
        "WIDTH": [100 + i for i in range(n)],
        "HEIGHT": [200 for _ in range(n)],
        "similarity": [0.25 + 0.01 * (i % 10) for i in range(n)],
        "punsafe": [0.1] * n,
        "NSFW": ["UNLIKELY" if i % 3 else "UNSURE" for i in range(n)],
    }
    data.update(columns)
    return pl.DataFrame({k: v for k, v in data.items() if v is not None})


def write(folder: Path, table: pl.DataFrame, n_shards: int = 2, group: int = 7) -> Path:
    """Split a frame into shards of several row groups."""
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-len(table) // n_shards)
    for i in range(n_shards):
        part = table.slice(i * size, size)
        part.write_parquet(folder / f"part-{i:05d}.parquet", row_group_size=group, use_pyarrow=True)
    return folder
