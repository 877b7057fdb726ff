"""Single pictures where they lie, and the members of a tar; bytes are read when asked for."""

from __future__ import annotations

import csv
import functools
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from laion_probe.errors import ConfigError, ShardError

__all__ = [
    "LISTED",
    "METADATA",
    "SUFFIXES",
    "PictureFile",
    "TarMember",
    "escaped",
    "image_folder_metadata",
    "metadata_rows",
    "tar_members",
]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
#: Suffixes of what is said to be a picture, also where it is not read.
LISTED = SUFFIXES | {".svg", ".tif", ".tiff", ".avif", ".heic", ".jfif", ".ico"}
#: Kinds of metadata files; of several in a folder the first counts.
METADATA = (".jsonl", ".csv", ".parquet")
_BLOCK = 512  # of a tar


@dataclass(frozen=True)
class PictureFile:
    """Where one picture's bytes are, without reading them.

    ``key`` names it in its shard and ``path`` in its source, where that is not the ``id``; ``more``
    holds what else its source says of it. What is no UTF-8 is escaped in all of them.
    """

    id: str
    read: Callable[[], bytes]
    caption: str = ""
    url: str = ""
    key: str = ""
    path: str = ""
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("id", "caption", "url", "key", "path"):
            object.__setattr__(self, name, escaped(getattr(self, name) or ""))


def escaped(text: str) -> str:
    r"""The text with halves of surrogate pairs escaped, which no file of tables can hold.

    File names that are no UTF-8 have them, and JSON of strangers may.

    >>> escaped("caf\xe9 \udcff")
    'café \\udcff'
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


@dataclass(frozen=True)
class TarMember:
    """A file in a tar."""

    path: PurePosixPath
    size: int
    read: Callable[[], bytes]


def tar_members(tar: Path) -> list[TarMember]:
    """The files in a tar that is not compressed. Raises `ShardError` where it is not whole."""
    members = []
    try:
        with tarfile.open(tar, "r:") as archive:
            for m in archive:
                if m.isfile():
                    read = functools.partial(_read_range, tar, m.offset_data, m.size)
                    members.append(TarMember(PurePosixPath(m.name), m.size, read))
            # A header that is damaged looks like the end to tarfile; the true end is zeros.
            mark = _read_range(tar, archive.offset, _BLOCK)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ShardError(f"{tar}: not a readable tar ({error}); fetch it again") from error
    if len(mark) < _BLOCK or any(mark):
        what = "cut off" if len(mark) < _BLOCK else "damaged"
        raise ShardError(
            f"{tar}: not a readable tar ({what} after {len(members)} files); fetch it again"
        )
    return members


def _read_range(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def metadata_rows(
    data: bytes, suffix: str, columns: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """The rows of ImageFolder metadata (.jsonl, .csv, .parquet) by their ``file_name``.

    Of parquet, ``columns`` alone are read beside it, those that are there. Raises ValueError where
    they are not that.

    >>> metadata_rows(b'{"file_name": "a.png", "text": "a cat"}', ".jsonl")["a.png"]["text"]
    'a cat'
    """
    rows: Sequence[Any]
    if suffix == ".parquet":
        try:
            there = pl.read_parquet_schema(io.BytesIO(data))
            wanted = ["file_name", *(there if columns is None else columns)]
            wanted = [c for c in dict.fromkeys(wanted) if c in there or c == "file_name"]
            rows = pl.read_parquet(io.BytesIO(data), columns=wanted).to_dicts()
        except pl.exceptions.PolarsError as error:
            raise ValueError(str(error).splitlines()[0]) from None
    elif suffix == ".csv":
        # Quoted cells may hold line ends.
        try:
            rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        except csv.Error as error:
            raise ValueError(str(error)) from None
    else:
        # Only a line feed ends a line: other separators may stand in a prompt.
        lines = data.decode("utf-8-sig").split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
    if not all(isinstance(row, dict) and isinstance(row.get("file_name"), str) for row in rows):
        raise ValueError("no file_name in a row")
    return {row["file_name"]: row for row in rows}


def image_folder_metadata(root: Path) -> dict[str, dict[str, Any]]:
    """What ImageFolder metadata in a folder say of its files, by their names; {} without any."""
    for suffix in METADATA:
        path = root / f"metadata{suffix}"
        if path.is_file():
            try:
                return metadata_rows(path.read_bytes(), suffix)
            except ValueError as error:
                raise ConfigError(
                    f"{root}: metadata is not ImageFolder metadata with a file_name a row ({error})"
                ) from error
    return {}
