"""Pictures to embed, shard by shard: listed lazily, whatever img2dataset or others wrote.

A shard is one tar (img2dataset's webdataset output beside its parquet, or any WebDataset tar), one
parquet file with a column of bytes (img2dataset's, or Hugging Face's struct of bytes and path), one
subfolder of img2dataset's files output, or some pictures of a folder. It becomes one part of a
folder of embeddings; until it is opened, only its name, size and the ends of its file are read.
"""

from __future__ import annotations

import functools
import glob
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from laion_probe.errors import ConfigError, ShardError
from laion_probe.pictures.bytes_in_parquet import bytes_column, open_parquet
from laion_probe.pictures.files import LISTED, PictureFile, image_folder_metadata
from laion_probe.pictures.opened import OpenedShard, read_table
from laion_probe.pictures.webdataset import open_tar
from laion_probe.sources import in_threads

__all__ = ["PictureShard", "list_picture_shards"]

_END = 65536


@dataclass(frozen=True)
class PictureShard:
    """Pictures that become one part; ``stamp`` changes when they do.

    ``open`` may be called in another process. It raises `ShardError` where the shard is broken.
    """

    name: str
    stamp: str
    open: Callable[[], OpenedShard]


@dataclass(frozen=True)
class _Found:
    """A shard before it has a name: ``paths`` are its pictures, or its one file."""

    kind: str  # tar, parquet, files or folder
    paths: tuple[Path, ...]
    root: Path  # names of pictures are relative to it


def list_picture_shards(sources: Sequence[str], part_rows: int) -> tuple[PictureShard, ...]:
    """The shards of all sources, in the order given, those of a folder by name.

    A source is a tar, a parquet file, a glob of these, or a folder of tars, of parquet, of
    img2dataset's subfolders, or of pictures (``part_rows`` a shard). Raises `ConfigError` where a
    source holds no pictures, or URLs alone.

    >>> [s.name for s in list_picture_shards(["data/demo/images"], 1000)][:2]  # doctest: +SKIP
    ['00000', '00001']
    """
    if not sources:
        raise ConfigError("no pictures given: name a folder, tars or parquet files")
    found = [f for source in sources for f in _of_source(source, part_rows)]
    twice = [p for p, n in Counter(f.paths[0].resolve() for f in found).items() if n > 1]
    if twice:
        raise ConfigError(f"{twice[0]} is given twice: name each source once")
    stamps = in_threads(_stamp, found)
    return tuple(
        PictureShard(name, stamp, _opener(f, name))
        for f, name, stamp in zip(found, _names(found), stamps, strict=True)
    )


def _of_source(source: str, part_rows: int) -> Iterator[_Found]:
    if "://" in source:
        raise ConfigError(
            f"{source}: pictures are read from this machine's files alone; copy them here, or "
            "fetch URLs with `laion-probe fetch`"
        )
    path = Path(source)
    if path.is_dir():
        yield from _of_folder(path.absolute(), part_rows)
        return
    paths = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(source))]
    if not paths:
        raise ConfigError(f"{source} does not exist: give a folder, tars or parquet files")
    for one in paths:
        if one.suffix.lower() == ".tar":
            yield _file_shard(one.absolute(), "tar")
        elif one.suffix.lower() == ".parquet":
            if one.with_suffix(".tar") not in paths:  # else it says what is in the tar
                yield _parquet(one.absolute())
        else:
            raise ConfigError(
                f"{one} is no source of pictures: give a folder, tars (.tar, not compressed) or "
                ".parquet files"
            )


def _of_folder(root: Path, part_rows: int) -> Iterator[_Found]:
    tars = sorted(root.glob("*.tar"))
    if tars:
        yield from (_file_shard(t, "tar") for t in tars)
        return
    tables = sorted(root.glob("*.parquet"))
    beside = [t for t in tables if t.with_suffix("").is_dir()]
    if beside:
        yield from (_Found("files", (t,), root) for t in beside)
        return
    if tables:
        yield from (_parquet(t) for t in tables)
        return
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in LISTED and p.is_file())
    if not paths:
        raise ConfigError(
            f"{root} holds no pictures: no .tar, no .parquet, none of {', '.join(sorted(LISTED))}"
        )
    for start in range(0, len(paths), part_rows):
        yield _Found("folder", tuple(paths[start : start + part_rows]), root)


def _file_shard(path: Path, kind: str) -> _Found:
    return _Found(kind, (path,), path.parent)


def _parquet(path: Path) -> _Found:
    try:
        if bytes_column(path) is None:
            raise ConfigError(
                f"{path} holds URLs, not pictures: run `laion-probe fetch` first, and embed "
                "what it fetched"
            )
    except ShardError:
        pass  # broken: it fails when it is opened, and the others go on
    return _file_shard(path, "parquet")


def _names(found: Sequence[_Found]) -> list[str]:
    """File names without suffix; where two are the same, with as much of the path as is needed."""
    names = []
    for f in found:
        first = f.paths[0]
        shard = first if f.kind != "folder" else first.relative_to(f.root.parent)
        names.append(shard.with_suffix(""))
    for n_parts in range(1, max(len(n.parts) for n in names) + 1):
        short = ["/".join(n.parts[-n_parts:]) for n in names]
        if len(set(short)) == len(short):
            return short
    return [str(f.paths[0]) for f in found]  # differ by suffix alone


def _stamp(found: _Found) -> str:
    digest = hashlib.sha256(found.kind.encode())
    if found.kind in ("tar", "parquet"):
        (path,) = found.paths
        for one in (path, path.with_suffix(".parquet")):
            if one.is_file():
                size = one.stat().st_size
                with one.open("rb") as file:
                    digest.update(f"\0{one.name}\0{size}\0".encode() + file.read(_END))
                    file.seek(max(0, size - _END))
                    digest.update(file.read(_END))
        return digest.hexdigest()
    for one in _pictures(found):
        name = one.relative_to(found.root).as_posix()
        digest.update(f"{name}\0{one.stat().st_size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _pictures(found: _Found) -> Iterable[Path]:
    if found.kind == "folder":
        return found.paths
    folder = found.paths[0].with_suffix("")
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in LISTED)


def _opener(found: _Found, name: str) -> Callable[[], OpenedShard]:
    path = found.paths[0]
    if found.kind == "tar":
        return functools.partial(open_tar, path, name)
    if found.kind == "parquet":
        return functools.partial(open_parquet, path, name)
    if found.kind == "files":
        return functools.partial(_open_files, found, name)
    return functools.partial(_open_folder, found)


def _open_files(found: _Found, name: str) -> OpenedShard:
    table = read_table(found.paths[0])
    files = [
        table.file(
            name, p.stem, PictureFile("", p.read_bytes, path=p.relative_to(found.root).as_posix())
        )
        for p in _pictures(found)
    ]
    return OpenedShard(files, "", table.columns)


def _open_folder(found: _Found) -> OpenedShard:
    """Captions are of a .txt beside a picture, as clip-retrieval has them, or ImageFolder's."""
    said = image_folder_metadata(found.root)
    files = []
    for path in found.paths:
        name = path.relative_to(found.root).as_posix()
        row = said.get(name, {})
        caption = next((row[c] for c in ("text", "caption", "prompt") if row.get(c)), "")
        beside = path.with_suffix(".txt")
        if not caption and beside.is_file():
            caption = beside.read_text(encoding="utf-8", errors="replace")
        files.append(
            PictureFile(name, path.read_bytes, str(caption), str(row.get("url") or ""), path=name)
        )
    return OpenedShard(files)
