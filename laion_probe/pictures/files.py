"""Single pictures where they lie, and the members of a tar; bytes are read when asked for."""

from __future__ import annotations

import csv
import functools
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from laion_probe.errors import ConfigError, ShardError

__all__ = [
    "LISTED",
    "SUFFIXES",
    "PictureFile",
    "TarMember",
    "escaped",
    "image_folder_metadata",
    "tar_members",
]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
#: Suffixes of what is said to be a picture, also where it is not read.
LISTED = SUFFIXES | {".svg", ".tif", ".tiff", ".avif", ".heic", ".jfif", ".ico"}
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


def image_folder_metadata(root: Path) -> dict[str, dict[str, object]]:
    """What ImageFolder metadata in a folder say of its files, by their names; {} without any."""
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
