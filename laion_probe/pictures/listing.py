"""What a probe lists: img2dataset's tars, and single pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from laion_probe.errors import ConfigError, ShardError
from laion_probe.pictures.files import SUFFIXES, PictureFile, tar_members
from laion_probe.pictures.generated import PicturePart
from laion_probe.shards import file_sha256

__all__ = ["Downloads", "list_downloads", "list_files"]


@dataclass(frozen=True)
class Downloads:
    """The output of img2dataset: pictures, and what became of every URL that was tried.

    ``attempts`` has a row per URL tried: ``url``, ``status``, and the picture's own
    ``original_width`` and ``original_height`` (null where it did not come, or was not measured).
    """

    parts: tuple[PicturePart, ...]
    attempts: pl.DataFrame


def list_downloads(folder: str) -> Downloads:
    """List an img2dataset output folder: webdataset tars, each beside its parquet of metadata."""
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(
            f"images folder {folder} does not exist: give img2dataset's output folder"
        )
    tars = sorted(root.glob("*.tar"))
    if not tars:
        raise ConfigError(
            f"images folder {folder} holds no .tar: give an img2dataset output folder made with "
            "output_format=webdataset"
        )
    parts, attempts = [], []
    for tar in tars:
        table = _metadata(tar)
        by_key = {r["key"]: r for r in table.iter_rows(named=True)}
        parts.append(PicturePart(tar.name, file_sha256(tar), tuple(_tar_files(tar, by_key))))
        attempts.append(table.select("url", "status", *_SIZES))
    return Downloads(tuple(parts), pl.concat(attempts))


def list_files(paths: Sequence[str]) -> tuple[PictureFile, ...]:
    """Single picture files, such as examples of a concept."""
    for path in paths:
        if not Path(path).is_file():
            raise ConfigError(f"example picture {path} does not exist")
    return tuple(PictureFile(Path(p).name, Path(p).read_bytes) for p in paths)


_SIZES = ("original_width", "original_height")


def _metadata(tar: Path) -> pl.DataFrame:
    path = tar.with_suffix(".parquet")
    if not path.is_file():
        raise ShardError(
            f"{tar}: its metadata {path.name} is missing; keep img2dataset's files together"
        )
    try:
        there = pl.read_parquet_schema(path)
        columns = ["key", "url", "caption", "status", *(c for c in _SIZES if c in there)]
        return pl.read_parquet(path, columns=columns).with_columns(
            pl.col("caption").fill_null(""),
            *(
                (pl.col(c) if c in there else pl.lit(None)).cast(pl.Int64, strict=False).alias(c)
                for c in _SIZES
            ),
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ShardError(f"{path}: not img2dataset metadata ({reason})") from error


def _tar_files(tar: Path, by_key: dict[str, dict[str, str]]) -> list[PictureFile]:
    files = []
    for m in tar_members(tar):
        if m.path.suffix.lower() in SUFFIXES:
            row = by_key.get(m.path.stem, {})
            name = f"{tar.stem}/{m.path.stem}"
            files.append(PictureFile(name, m.read, row.get("caption", ""), row.get("url", "")))
    return files
