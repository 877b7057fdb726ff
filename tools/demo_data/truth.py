"""truth.parquet: the true level of every attribute, for tests and never for the analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tools.demo_data import shards, web_captions
from tools.demo_data.generated import Picture
from tools.demo_data.pool import Row

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("shard", pa.int32()),
        ("row", pa.int32()),
        ("row_group", pa.int32()),
        ("url", pa.string()),
        ("hash", pa.int64()),
        ("concept", pa.string()),
        ("gender", pa.string()),
        ("tone", pa.string()),
        ("monk", pa.int32()),
        ("tone_binary", pa.string()),
        ("rendering", pa.string()),
        ("code_points", pa.string()),
        ("scene", pa.string()),
        ("region", pa.string()),
        ("language", pa.string()),
        ("caption_style", pa.string()),
        ("caption_states_gender", pa.bool_()),
        ("near_miss", pa.bool_()),
        ("near_miss_of", pa.string()),
        ("duplicate_of", pa.int32()),
        ("banlist_hit", pa.bool_()),
        ("url_fault", pa.string()),
        ("attempted", pa.bool_()),
        ("planned_outcome", pa.string()),
        ("expected_status", pa.string()),
        ("path", pa.string()),
        ("prompt", pa.string()),
        ("seed", pa.int32()),
        ("batch", pa.int32()),
    ]
)


def expected_status(row: Row) -> str:
    """img2dataset's own `status` for this row."""
    if row.url_fault == "javascript":
        return "failed_to_download"
    if row.url_fault == "data":
        return "failed_to_resize"
    if row.outcome == "not_an_image" or (row.outcome == "success" and row.url_fault == "svg"):
        return "failed_to_resize"
    return "success" if row.outcome == "success" else "failed_to_download"


def _pool_line(
    number: int, row: Row, n_rows: int, monk: dict[tuple[str, str], int]
) -> dict[str, Any]:
    shard, place, group = shards.place_of(number, n_rows)
    person = row.person
    return {
        "kind": "pool",
        "shard": shard,
        "row": place,
        "row_group": group,
        "url": row.url,
        "hash": row.hash,
        "concept": row.concept,
        "gender": person.gender if person else "none",
        "tone": person.tone if person else "none",
        "monk": monk.get((row.scene.rendering, person.code)) if person else None,
        "tone_binary": row.binary_tone(monk),
        "rendering": row.scene.rendering,
        "code_points": row.code,
        "scene": f"{row.scene.layout}/{row.scene.background}",
        "region": row.region,
        "language": row.written.language or "none",
        "caption_style": row.written.style,
        "caption_states_gender": row.written.states_gender,
        "near_miss": bool(row.near_miss_of),
        "near_miss_of": row.near_miss_of or None,
        "duplicate_of": row.duplicate_of if row.duplicate_of >= 0 else None,
        "banlist_hit": web_captions.banned_words(row.written.text),
        "url_fault": row.url_fault or None,
        "attempted": row.attempted,
        "planned_outcome": row.outcome,
        "expected_status": expected_status(row),
    }


def _generated_line(picture: Picture, monk: dict[tuple[str, str], int]) -> dict[str, Any]:
    person = picture.person
    return {
        "kind": "generated",
        "concept": picture.concept,
        "gender": person.gender if person else "none",
        "tone": person.tone if person else "none",
        "monk": monk.get((picture.scene.rendering, person.code)) if person else None,
        "tone_binary": picture.binary_tone(monk),
        "rendering": picture.scene.rendering,
        "code_points": person.code if person else picture.thing,
        "scene": f"{picture.scene.layout}/{picture.scene.background}",
        "path": picture.path,
        "prompt": picture.prompt,
        "seed": picture.seed,
        "batch": picture.batch,
    }


def write(
    rows: list[Row], pictures: list[Picture], monk: dict[tuple[str, str], int], path: Path
) -> None:
    """One table for both; columns that do not apply are null."""
    lines = [_pool_line(number, row, len(rows), monk) for number, row in enumerate(rows)]
    lines += [_generated_line(picture, monk) for picture in pictures]
    table = pa.Table.from_pylist(lines, schema=SCHEMA)
    pq.write_table(table, path, compression="zstd", compression_level=19)


def write_ban_list(path: Path) -> None:
    path.write_text("\n".join(web_captions.BAN_LIST) + "\n", "utf-8")
