"""WebDataset tars: img2dataset's beside their parquet, and others with .txt and .json members."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from laion_probe.pictures.files import LISTED, PictureFile, TarMember, tar_members
from laion_probe.pictures.opened import OpenedShard, read_table
from laion_probe.shards import file_sha256

__all__ = ["open_tar"]

#: Larger captions and notes in a tar are not read.
_MOST_BYTES = 1 << 20


def open_tar(path: Path, name: str) -> OpenedShard:
    """The pictures of a tar. Raises `ShardError` where the tar, or its parquet, is not whole."""
    members = tar_members(path)
    sha256 = file_sha256(path)
    beside = path.with_suffix(".parquet")
    if not beside.is_file():
        return OpenedShard(tuple(_by_members(members, name)), sha256)
    table = read_table(beside)
    files = [
        table.file(name, _key(m.path), PictureFile("", m.read, path=_key(m.path)))
        for m in members
        if m.path.suffix.lower() in LISTED
    ]
    return OpenedShard(files, sha256, table.columns)


def _by_members(members: Sequence[TarMember], name: str) -> Iterator[PictureFile]:
    """WebDataset's rule: members whose names are the same up to the first dot are one sample."""
    said: dict[str, dict[str, Any]] = {}
    for m in members:
        if m.path.suffix.lower() in (".txt", ".json") and m.size <= _MOST_BYTES:
            said.setdefault(_sample(m.path), {}).update(_read(m))
    for m in members:
        if m.path.suffix.lower() in LISTED:
            key = _key(m.path)
            row = said.get(_sample(m.path), {})
            caption, url = (str(row.get(c) or "") for c in ("caption", "url"))
            yield PictureFile(f"{name}/{key}", m.read, caption, url, key, key)


def _key(path: PurePosixPath) -> str:
    return str(path.with_suffix(""))


def _sample(path: PurePosixPath) -> str:
    return str(path.with_name(path.name.partition(".")[0] or path.name))


def _read(member: TarMember) -> dict[str, Any]:
    text = member.read().decode("utf-8", "replace")
    if member.path.suffix.lower() == ".txt":
        return {"caption": text}
    try:
        found = json.loads(text)
    except ValueError:
        return {}  # notes that cannot be read say nothing; the picture is still there
    if not isinstance(found, dict):
        return {}
    caption = found.get("caption") or found.get("text")
    return {k: v for k, v in (("caption", caption), ("url", found.get("url"))) if v}
