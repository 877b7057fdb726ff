"""Writes the pool as parquet in the columns of laion2B-multi-joined."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tools.demo_data import facts
from tools.demo_data.languages import LANGUAGES
from tools.demo_data.pool import Row

SCHEMA = pa.schema(
    [
        ("URL", pa.string()),
        ("TEXT", pa.string()),
        ("WIDTH", pa.int32()),
        ("HEIGHT", pa.int32()),
        ("similarity", pa.float32()),
        ("hash", pa.int64()),
        ("punsafe", pa.float32()),
        ("pwatermark", pa.float32()),
        ("LANGUAGE", pa.string()),
    ]
)
Value = str | int | float | None


def _crawler_language(rng: np.random.Generator, row: Row) -> str:
    """What a crawler would write down: the language of the words, or an error."""
    true = row.written.language.split("-")[0]
    if rng.random() < facts.CRAWLER_LANGUAGE_WRONG:
        wrong = LANGUAGES[int(rng.integers(len(LANGUAGES)))].code.split("-")[0]
        return str(rng.choice(["en", "nolang", wrong]))
    return true or "nolang"


def _similarity(rng: np.random.Generator, row: Row) -> float:
    if row.near_miss_of:
        mean, spread = 0.255, 0.035
    elif row.written.language == "en":
        mean, spread = 0.32, 0.03
    elif row.written.language:
        mean, spread = 0.29, 0.035
    else:
        mean, spread = 0.20, 0.04
    return round(float(np.clip(rng.normal(mean, spread), 0.02, 0.6)), 4)


def values(rng: np.random.Generator, row: Row) -> list[Value]:
    """One row of the shards; the scores are simulated, the sizes are real."""
    width: Value = row.width
    height: Value = row.height
    draw = rng.random()
    if draw < facts.MISSING_SIZE:
        width = height = None
    elif draw < facts.MISSING_SIZE + facts.WRONG_SIZE:
        width, height = row.height * 2, row.width * 2
    scores: list[Value] = [
        _similarity(rng, row),
        round(float(rng.beta(0.35, 9.0)), 4),
        round(float(rng.beta(0.6, 2.2)), 4),
    ]
    scores = [None if rng.random() < facts.MISSING_SCORE else score for score in scores]
    language = _crawler_language(rng, row)
    return [
        row.url, row.written.text, width, height, scores[0], row.hash, *scores[1:], language,
    ]  # fmt: skip


def place_of(number: int, n_rows: int) -> tuple[int, int, int]:
    """Shard, row in the shard, row group of the row with this number."""
    size = -(-n_rows // facts.N_SHARDS)
    shard, row = divmod(number, size)
    return shard, row, row // -(-size // facts.ROW_GROUPS)


#: What every report on these shards says at its top.
DATA_NOTE = (
    "Simulated demo data: scenes composed of emoji; captions, addresses, scores and download "
    "failures are\nmade up. They say nothing about the web.\n"
)


def write(rows: list[Row], seed: int, folder: Path) -> None:
    """All shards at once: the folder is replaced when the last one is written."""
    staging = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    size = -(-len(rows) // facts.N_SHARDS)
    for shard in range(facts.N_SHARDS):
        lines = [
            values(np.random.default_rng([seed, 20, shard * size + k]), row)
            for k, row in enumerate(rows[shard * size : (shard + 1) * size])
        ]
        columns = [
            pa.array(list(column), type=field.type)
            for column, field in zip(zip(*lines, strict=True), SCHEMA, strict=True)
        ]
        pq.write_table(
            pa.table(columns, schema=SCHEMA),
            staging / f"part-{shard:05d}.parquet",
            compression="zstd",
            compression_level=15,
            row_group_size=-(-size // facts.ROW_GROUPS),
        )
    (staging / "DATA_NOTE.txt").write_text(DATA_NOTE, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
