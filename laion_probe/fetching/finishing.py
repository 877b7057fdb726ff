"""A shard as img2dataset leaves it, made the same bytes every time.

img2dataset writes rows in the order in which they came, with the time of writing. Here they stand
in the order of the plan, without times, under the address as it was given; the columns of the plan
are added, and a row that img2dataset lost on its way is there too. When a shard was fetched is in
its ``_stats.json``.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from laion_probe.errors import ShardError
from laion_probe.fetching.answers import NOT_DECODED
from laion_probe.fetching.gate import NO_ANSWER, REFUSED
from laion_probe.store import atomic_file

__all__ = ["PLAN", "finish_shard", "is_finished", "read_plan", "read_stats", "shard_name"]

#: What is planned of each row: its address and caption, where it stands (the id of its unit and
#: its row there), the hash that its bytes should have ("sha256:HEX" or null), and its chance to be
#: here, in which stratum. ``ask`` is what img2dataset asks for.
PLAN = {
    "ask": pl.String,
    "url": pl.String,
    "text": pl.String,
    "unit": pl.String,
    "row": pl.Int64,
    "hash": pl.String,
    "stratum": pl.String,
    "probability": pl.Float64,
}
_FOUND = {
    "key": pl.String,
    "status": pl.String,
    "error_message": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "original_width": pl.Int32,
    "original_height": pl.Int32,
    "sha256": pl.String,
}
_OF_GATE = rf"^HTTP Error \d+: ((?:{REFUSED}|{NO_ANSWER}).*)$"
_BY_HTTP = r"^HTTP Error \d+: "
_LOST = "lost by img2dataset"


def shard_name(number: int) -> str:
    """As img2dataset names it."""
    return f"{number:05d}"


def is_finished(folder: Path, name: str) -> bool:
    """Whether the shard is whole: its statistics are written last."""
    return (folder / f"{name}_stats.json").exists()


def read_plan(folder: Path, name: str) -> pl.DataFrame:
    """The rows of a shard (`PLAN`), in order."""
    path = folder / "plan" / f"{name}.parquet"
    try:
        return pl.read_parquet(path, columns=list(PLAN))
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ShardError(
            f"{path}: cannot be read ({reason}); remove {folder} and begin anew"
        ) from error


def read_stats(path: Path) -> dict[str, Any] | None:
    """A shard's statistics; None while they are not (wholly) there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def finish_shard(work: Path, folder: Path, number: int, shard_rows: int) -> None:
    """Turn img2dataset's shard in ``work`` into the shard in ``folder``, and remove the former.

    A shard appears whole: the tar, then its table, then its statistics. Killed in between, it is
    made again. Raises `ShardError` where the gate was not asked for every row: a picture that
    nobody asked for is not lost.
    """
    name, plan = shard_name(number), read_plan(folder, shard_name(number))
    raw = pl.read_parquet(work / f"{name}.parquet")
    unasked = raw.filter(
        pl.col("status") == "failed_to_download",
        ~pl.col("error_message").str.contains(_BY_HTTP),
    )
    if unasked.height:
        raise ShardError(
            f"shard {name}: {unasked.height} rows did not get through to the gate "
            f"({unasked['error_message'][0]}): run again, with fewer --processes or --threads"
        )
    rows = _outcomes(plan, raw, _keys(number, plan.height, math.ceil(math.log10(shard_rows))))
    with atomic_file(folder / f"{name}.tar") as scratch:
        _write_tar(work / f"{name}.tar", scratch, rows)
    with atomic_file(folder / f"{name}.parquet") as scratch:
        rows.write_parquet(scratch, compression="zstd", statistics=False)
    stats = read_stats(work / f"{name}_stats.json") or {}
    status = Counter(rows["status"].to_list())
    reasons = Counter(rows["error_message"].fill_null("success").to_list())
    said = {
        "count": rows.height,
        "successes": status["success"],
        "failed_to_download": status["failed_to_download"],
        "failed_to_resize": status["failed_to_resize"],
        **{when: stats.get(when) for when in ("duration", "start_time", "end_time")},
        "status_dict": dict(sorted(reasons.items())),
    }
    with atomic_file(folder / f"{name}_stats.json") as scratch:
        scratch.write_text(json.dumps(said, indent=4), encoding="utf-8")
    for suffix in (".tar", ".parquet"):
        (work / f"{name}{suffix}").unlink()


def _keys(number: int, n_rows: int, digits: int) -> list[str]:
    """img2dataset's keys: the shard's number, then the row's in so many digits."""
    width = digits + len(shard_name(0))
    return [f"{number * 10**digits + i:0{width}d}" for i in range(n_rows)]


def _outcomes(plan: pl.DataFrame, raw: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """A row for each of the plan, in its order: what img2dataset says became of it."""
    found = raw.select(pl.col("url").alias("ask"), *(pl.col(c).cast(t) for c, t in _FOUND.items()))
    rows = plan.join(found, on="ask", how="left", maintain_order="left")
    lost = pl.col("status").is_null()
    said = pl.col("error_message").str.replace_all(r"\s+", " ").str.replace(_OF_GATE, "${1}")
    rows = rows.with_columns(
        status=pl.col("status").fill_null("failed_to_resize"),
        error_message=pl.when(lost).then(pl.lit(_LOST)).otherwise(said),
    )
    undecoded = pl.col("error_message").is_in([f"{REFUSED}{why}" for why in sorted(NOT_DECODED)])
    return rows.select(
        "url",
        pl.col("text").alias("caption"),
        pl.Series("key", keys, dtype=pl.String),
        pl.when(undecoded).then(pl.lit("failed_to_resize")).otherwise("status").alias("status"),
        *(c for c in _FOUND if c not in ("key", "status")),
        *(c for c in PLAN if c not in ("ask", "url", "text")),
    )


def _write_tar(source: Path, target: Path, rows: pl.DataFrame) -> None:
    """Pictures, captions and metadata in the order of ``rows``, with nothing of their writing."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as new:
        members = {m.name: m for m in old if m.isfile()}
        for row in rows.filter(pl.col("status") == "success").iter_rows(named=True):
            picture = old.extractfile(members[f"{row['key']}.jpg"])
            assert picture is not None, "a plain file"
            about = json.dumps(row, indent=4, ensure_ascii=False)
            for suffix, data in (
                ("jpg", picture.read()),
                ("txt", (row["caption"] or "").encode()),
                ("json", about.encode()),
            ):
                member = tarfile.TarInfo(f"{row['key']}.{suffix}")
                member.size, member.mode = len(data), 0o444
                new.addfile(member, io.BytesIO(data))
