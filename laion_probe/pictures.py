"""Pictures where they lie: img2dataset's tars, and folders of generated pictures.

Listing reads names and metadata only; a picture's bytes are read when asked for.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from laion_probe.errors import ConfigError, ShardError
from laion_probe.shards import file_sha256

__all__ = [
    "Downloads",
    "Generated",
    "PictureFile",
    "PicturePart",
    "list_downloads",
    "list_files",
    "list_generated",
]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
_PART = 512


@dataclass(frozen=True)
class PictureFile:
    """Where one picture's bytes are, without reading them."""

    id: str
    read: Callable[[], bytes]
    caption: str = ""
    url: str = ""


@dataclass(frozen=True)
class PicturePart:
    """Pictures that are embedded, and cached, together; ``sha256`` is of their content."""

    name: str
    sha256: str
    files: tuple[PictureFile, ...]


@dataclass(frozen=True)
class Downloads:
    """The output of img2dataset: pictures, and what became of every URL that was tried.

    ``attempts`` has a row per URL tried: ``url``, ``status``, and the picture's own
    ``original_width`` and ``original_height`` (null where it did not come, or was not measured).
    """

    parts: tuple[PicturePart, ...]
    attempts: pl.DataFrame


@dataclass(frozen=True)
class Generated:
    """Generated pictures with what is known of how they were made.

    ``rows`` has a row per picture, in the order of the parts' files: ``file_name``, ``prompt``
    (null where unknown), ``batch`` (null where unknown), ``generator``.
    """

    parts: tuple[PicturePart, ...]
    rows: pl.DataFrame


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


def list_generated(folder: str) -> Generated:
    """List a folder of generated pictures, with Hugging Face ImageFolder metadata if it is there.

    ``metadata.jsonl`` or ``metadata.csv`` gives ``file_name`` and, as far as known, ``prompt``,
    ``batch`` and ``generator``; without it, prompts are unknown.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"generated folder {folder} does not exist: give a folder of pictures")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not paths:
        raise ConfigError(f"generated folder {folder} holds no pictures ({_known_suffixes()})")
    meta = _image_folder_metadata(root)
    names = [p.relative_to(root).as_posix() for p in paths]
    known = [meta.get(n, {}) for n in names]
    rows = pl.DataFrame(
        {
            "file_name": names,
            "prompt": [_text(k.get("prompt")) for k in known],
            "batch": [_text(k.get("batch")) or None for k in known],
            "generator": [_text(k.get("generator")) or "" for k in known],
        },
        schema=dict.fromkeys(("file_name", "prompt", "batch", "generator"), pl.String),
    )
    return Generated(tuple(_file_parts(paths, names)), rows)


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
    try:
        with tarfile.open(tar) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if member.isfile() and name.suffix.lower() in _SUFFIXES:
                    row = by_key.get(name.stem, {})
                    read = functools.partial(_read_range, tar, member.offset_data, member.size)
                    files.append(
                        PictureFile(
                            f"{tar.stem}/{name.stem}",
                            read,
                            row.get("caption", ""),
                            row.get("url", ""),
                        )
                    )
    except (tarfile.TarError, OSError) as error:
        raise ShardError(f"{tar}: not a readable tar ({error}); fetch it again") from error
    return files


def _read_range(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _file_parts(paths: list[Path], names: list[str]) -> list[PicturePart]:
    parts = []
    for start in range(0, len(paths), _PART):
        digest = hashlib.sha256()
        files = []
        for path, name in zip(
            paths[start : start + _PART], names[start : start + _PART], strict=True
        ):
            digest.update(f"{name}\0{file_sha256(path)}\0".encode())
            files.append(PictureFile(name, path.read_bytes))
        parts.append(PicturePart(names[start], digest.hexdigest(), tuple(files)))
    return parts


def _image_folder_metadata(root: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    try:
        if (root / "metadata.jsonl").is_file():
            lines = (root / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
        elif (root / "metadata.csv").is_file():
            with (root / "metadata.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        else:
            return {}
        for row in rows:
            found[str(row["file_name"])] = row
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{root}: metadata is not ImageFolder metadata with a file_name a row ({error!r})"
        ) from error
    return found


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _known_suffixes() -> str:
    return ", ".join(sorted(_SUFFIXES))
