"""Generated pictures, however others keep them, with what is known of how they were made.

A folder of pictures, with Hugging Face ImageFolder metadata or without; a zip of one, read where it
lies; a file of metadata; WebDataset tars with .json and .txt members, or a parquet beside each, as
``laion-probe generate`` writes them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import polars as pl

from laion_probe.errors import ConfigError
from laion_probe.pictures.files import METADATA, SUFFIXES, PictureFile, escaped, tar_members
from laion_probe.pictures.generated_metadata import Said, read_members, read_metadata
from laion_probe.pictures.zipped import safe_name, zip_entries
from laion_probe.shards import file_sha256

__all__ = ["Generated", "PicturePart", "list_generated"]

_PART = 512
#: A larger file is no picture that a model drew: it is listed, and never read.
_MOST_BYTES = 200_000_000
_END = 65_536
_ROW = {
    **dict.fromkeys(("file_name", "prompt", "batch", "generator"), pl.String),
    **dict.fromkeys(("group", "concept", "language", "seed"), pl.String),
    "blocked": pl.Boolean,
}


@dataclass(frozen=True)
class PicturePart:
    """Pictures that are embedded, and cached, together; ``sha256`` is of their content."""

    name: str
    sha256: str
    files: tuple[PictureFile, ...]


@dataclass(frozen=True)
class Generated:
    """Generated pictures with what is known of how they were made.

    ``rows`` has a row per picture, in the order of the parts' files: ``file_name``, ``prompt``
    (null where unknown, '' for the empty one), ``batch`` (null where unknown), ``generator``, and,
    null where unknown, ``group``, ``concept``, ``language``, ``seed`` and ``blocked`` (what a
    safety checker said). ``unreadable`` are pictures that are listed, but never read, and why.
    """

    parts: tuple[PicturePart, ...]
    rows: pl.DataFrame
    unreadable: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Found:
    """A picture before it has a part: where it is, and what is said of it."""

    name: str
    size: int
    read: Callable[[], bytes]
    said: Said
    unreadable: str = ""
    path: Path | None = None

    @property
    def why_not(self) -> str:
        """Why it is never read; '' where it is."""
        if self.size > _MOST_BYTES:
            return f"{self.size / 1e6:,.0f} MB, over the limit of {_MOST_BYTES / 1e6:.0f} MB"
        return self.unreadable

    @property
    def file(self) -> PictureFile:
        """The picture; to read one that is not read raises OSError with the reason."""
        return PictureFile(
            self.name, functools.partial(_refuse, self.why_not) if self.why_not else self.read
        )


def list_generated(folder: str) -> Generated:
    """List generated pictures: of a folder, a zip, a file of metadata, or WebDataset tars.

    ``metadata.jsonl``, ``metadata.csv`` or ``metadata.parquet`` in a folder, or the members or the
    parquet of a tar, give ``file_name`` and, as far as known, ``prompt`` (or ``caption``,
    ``text``), ``batch`` and ``generator``; without them, prompts are unknown. A picture of more
    than 200 MB is listed as unreadable. Raises `ConfigError` where there are no pictures, or where
    a name leads out of its zip or tar.

    >>> list_generated("data/demo/generated").rows["prompt"][0]  # doctest: +SKIP
    'a photo of a doctor'
    """
    path = Path(folder)
    if path.is_dir():
        tars = sorted(path.glob("*.tar"))
        return _of_tars(tars, path) if tars else _of_folder(path)
    if not path.is_file():
        raise ConfigError(f"generated folder {folder} does not exist: give a folder of pictures")
    kind = path.suffix.lower()
    if kind == ".zip":
        return _of_zip(path)
    if kind == ".tar":
        return _of_tars([path], path)
    if kind in METADATA:
        return _of_metadata(path)
    raise ConfigError(
        f"generated {folder} is neither a folder of pictures, a .zip, a .tar (not compressed) nor "
        f"a file of metadata ({', '.join(METADATA)})"
    )


def _pictures_in(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _of_folder(root: Path) -> Generated:
    paths = _pictures_in(root)
    if not paths:
        there = sorted(p.name for p in root.glob("*.zip"))
        hint = f"; it holds {there[0]}: give that" if there else ""
        raise ConfigError(
            f"generated folder {root} holds no pictures ({', '.join(sorted(SUFFIXES))}){hint}"
        )
    meta = _metadata(
        {
            p.relative_to(root).as_posix(): (p.stat().st_size, p.read_bytes)
            for p in sorted(root.rglob("metadata.*"))
            if p.is_file()
        },
        root,
    )
    names = [escaped(p.relative_to(root).as_posix()) for p in paths]
    found = [
        _Found(name, p.stat().st_size, p.read_bytes, meta.get(name, Said()), path=p)
        for name, p in zip(names, paths, strict=True)
    ]
    return _listed(found, _file_digest)


def _of_metadata(path: Path) -> Generated:
    """The pictures that a file of metadata names, from its own folder."""
    meta = _metadata({path.name: (path.stat().st_size, path.read_bytes)}, path)
    found = []
    for name, said in sorted(meta.items()):
        one = path.parent / safe_name(name, path)
        there = one.is_file()
        why = "" if there else "not there"
        if there and one.suffix.lower() not in SUFFIXES:
            why = f"not one of {', '.join(sorted(SUFFIXES))}"
        size = one.stat().st_size if there else 0
        found.append(_Found(name, size, one.read_bytes, said, why, one if there else None))
    if not any(f.path for f in found):
        raise ConfigError(f"{path} names no picture that lies beside it")
    return _listed(found, _file_digest)


def _of_zip(path: Path) -> Generated:
    entries = zip_entries(path)
    meta = _metadata({e.name: (e.size, e.read) for e in entries if not e.unreadable}, path)
    found = [
        _Found(escaped(e.name), e.size, e.read, meta.get(e.name, Said()), e.unreadable)
        for e in entries
        if PurePosixPath(e.name).suffix.lower() in SUFFIXES
    ]
    if not found:
        raise ConfigError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    whole = file_sha256(path)
    return _listed(found, lambda f: whole)


def _of_tars(tars: Sequence[Path], where: Path) -> Generated:
    if where.is_dir() and (loose := _pictures_in(where)):
        raise ConfigError(
            f"generated folder {where} holds tars and loose pictures ({loose[0].name}): keep one "
            "of the two there, so that none counts twice"
        )
    parts: list[PicturePart] = []
    everything: list[_Found] = []
    for tar in tars:
        members = tar_members(tar)
        meta = read_members(tar, members)
        found = []
        for m in members:
            name = safe_name(str(m.path), tar)
            if m.path.suffix.lower() in SUFFIXES:
                key = str(PurePosixPath(name).with_suffix(""))
                said = meta.get(key, Said())
                found.append(_Found(escaped(f"{tar.stem}/{key}"), m.size, m.read, said))
        if found:
            parts.append(PicturePart(tar.name, file_sha256(tar), tuple(f.file for f in found)))
        everything += found
    if not parts:
        raise ConfigError(f"no picture in {', '.join(t.name for t in tars[:5])} of {where}")
    return Generated(tuple(parts), _rows(everything), _unreadable(everything))


def _metadata(files: Mapping[str, tuple[int, Callable[[], bytes]]], where: Path) -> dict[str, Said]:
    """What the metadata among these files say, by pictures' names; one file of metadata a folder.

    The names in it are relative to where it lies.
    """
    found: dict[str, Said] = {}
    chosen: dict[PurePosixPath, PurePosixPath] = {}
    alone = len(files) == 1 and where.is_file() and where.name in files
    for suffix in METADATA:
        for name in files:
            path = PurePosixPath(name)
            if path.suffix.lower() == suffix and (alone or path.stem == "metadata"):
                chosen.setdefault(path.parent, path)
    for folder, path in chosen.items():
        size, read = files[str(path)]
        if size > _MOST_BYTES:
            raise ConfigError(
                f"{where}: {path} has {size / 1e6:,.0f} MB, too much for metadata; split the "
                "pictures over several folders"
            )
        try:
            rows = read_metadata(read(), path.suffix.lower())
        except (ValueError, OSError) as error:
            raise ConfigError(
                f"{where}: {path.name} is not ImageFolder metadata with a file_name a row ({error})"
            ) from None
        for name, said in rows.items():
            found[escaped(str(folder / name))] = said
    return found


def _listed(found: Sequence[_Found], digest_of: Callable[[_Found], str]) -> Generated:
    parts = []
    for start in range(0, len(found), _PART):
        some = found[start : start + _PART]
        digest = hashlib.sha256()
        for f in some:
            digest.update(f"{f.name}\0{digest_of(f)}\0".encode())
        parts.append(PicturePart(some[0].name, digest.hexdigest(), tuple(f.file for f in some)))
    return Generated(tuple(parts), _rows(found), _unreadable(found))


def _file_digest(f: _Found) -> str:
    """The sha256 of a file; of one that is not read, its size and both ends."""
    if f.path is None:
        return "missing"
    if not f.why_not:
        return file_sha256(f.path)
    with f.path.open("rb") as file:
        digest = hashlib.sha256(f"{f.size}\0".encode() + file.read(_END))
        file.seek(max(0, f.size - _END))
        digest.update(file.read(_END))
    return f"unread:{digest.hexdigest()}"


def _rows(found: Sequence[_Found]) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {"file_name": [f.name for f in found]}
    for name in list(_ROW)[1:]:
        columns[name] = [getattr(f.said, name) for f in found]
    return pl.DataFrame(columns, schema=_ROW)


def _unreadable(found: Sequence[_Found]) -> tuple[tuple[str, str], ...]:
    return tuple((f.name, f.why_not) for f in found if f.why_not)


def _refuse(reason: str) -> NoReturn:
    raise OSError(reason)
