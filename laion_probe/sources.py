"""Find and open the files that sources name: local, ``s3://``, ``gs://``, ``hf://``, ``http(s)://``.

A remote file is read by ranges, each retried when the failure may pass (503, reset, timeout), and
knows its *version*, so that a file that is written anew while it is read is noticed.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit

from laion_probe.errors import ShardError
from laion_probe.remote import (
    ReadError,
    fetched_bytes,
    filesystem,
    is_local,
    open_local,
    open_remote,
    reason,
    retried,
    shown,
    stat_remote,
    version_of,
)

__all__ = [
    "KINDS",
    "File",
    "Part",
    "current_version",
    "fetched_bytes",
    "in_threads",
    "kind_of",
    "list_files",
    "open_file",
    "stated",
]

T = TypeVar("T")
U = TypeVar("U")
THREADS = 16

#: What a file's name ends in -> how it is read; all but parquet and tar also as ``.gz``.
KINDS = {
    ".parquet": "parquet",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tar": "tar",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file that is read as one: a row group, a range of lines, or all of it.

    ``n_rows`` is None where it is not known until read. ``n_bytes`` is what all columns take, as
    stored (compressed); ``column_bytes``, in the order of the file's columns, where it is known.
    """

    n_rows: int | None
    n_bytes: int
    column_bytes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file that a source names, as it was when it was listed.

    ``url`` is what fsspec opens (a local one is a plain path), ``name`` is for people, ``version``
    changes when the file is written anew (and with the place it lies). ``error`` says why the file
    cannot be looked at; then ``size`` may be None.
    """

    url: str
    name: str
    size: int | None
    version: str
    error: str = ""


def list_files(sources: Iterable[str]) -> tuple[File, ...]:
    """All files that ``sources`` name, sorted by url, each once.

    A source is a file, a folder (its files of a known kind), a glob, a brace range
    (``{00000..00127}.parquet``), a URL of one of these, or a ``.txt`` file of sources, one a line.
    Where an img2dataset ``.tar`` has its metadata ``.parquet`` beside it, a folder means the
    latter. Raises `ShardError` for a source that names nothing.
    """
    given = list(sources)
    if not given:
        raise ShardError("no shards given: use --shards with parquet files, a folder or a glob")
    found: dict[str, File] = {}
    for source in given:
        for file in _expand(source):
            found.setdefault(os.path.realpath(file.url) if is_local(file.url) else file.url, file)
    files = sorted(found.values(), key=lambda f: f.url)
    files = in_threads(lambda f: f if f.version or f.error else stated(f), files)
    names = _names([f.url for f in files])
    return tuple(replace(f, name=names[f.url]) for f in files)


def open_file(file: File) -> BinaryIO:
    """A seekable binary file; a remote one fetches exactly the ranges that are read, no more.

    Its reads raise `ReadError` when the file cannot be had.
    """
    if file.error:
        raise ReadError(file.error)
    if is_local(file.url):
        return open_local(file.url)
    if file.size is None:
        raise ReadError("the server does not say how large it is; fetch the file and give that")
    return open_remote(file.url, file.size)


def current_version(file: File) -> str:
    """The file's version as it is now, asked anew. Raises `ReadError` if it is gone."""
    now = stated(file)
    if now.error:
        raise ReadError(now.error)
    return now.version


def in_threads(work: Callable[[T], U], items: list[T]) -> list[U]:
    """``work`` on all items at once, the results in the items' order."""
    if len(items) < 2:
        return [work(i) for i in items]
    with ThreadPoolExecutor(min(THREADS, len(items))) as pool:
        return list(pool.map(work, items))


# -- from sources to files


def _expand(source: str, *, in_list: bool = False) -> Iterator[File]:
    if source.startswith("file://"):
        source = unquote(source.removeprefix("file://"))
    many = [source]
    if "{" in source and not (is_local(source) and os.path.exists(source)):
        from braceexpand import braceexpand

        try:
            many = list(braceexpand(source, escape=False))
        except ValueError:  # unbalanced: not a range
            many = [source]
    n_found = 0
    for one in many:
        for file in _expand_one(one, in_list=in_list, is_only=len(many) == 1):
            n_found += 1
            yield file
    if len(many) > 1 and all(is_local(o) and not os.path.exists(o) for o in many):
        n_found = 0 if not any(glob.has_magic(o) for o in many) else n_found
    if not n_found:
        raise ShardError(_nothing_at(source))


def _expand_one(source: str, *, in_list: bool, is_only: bool) -> Iterator[File]:
    if urlsplit(source).path.lower().endswith(".txt"):
        if in_list:
            raise ShardError(f"{shown(source)}: a list of sources inside a list; name it directly")
        yield from _from_list(source)
    elif is_local(source):
        yield from _expand_local(source, is_only=is_only)
    else:
        yield from _expand_remote(source)


def _from_list(source: str) -> Iterator[File]:
    with open_file(stated(File(_absolute(source), source, None, ""))) as listing:
        try:
            lines = listing.read().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise ShardError(f"{shown(source)}: not a text file of sources, one a line") from None
    for line in (text.strip() for text in lines):
        if line and not line.startswith("#"):
            beside = os.path.join(os.path.dirname(source), line)
            # As written, seen from the working directory; else beside the list it stands in.
            moved = (
                is_local(source) and is_local(line) and not _is_there(line) and _is_there(beside)
            )
            yield from _expand(beside if moved else line, in_list=True)


def _is_there(source: str) -> bool:
    return os.path.exists(source) or bool(glob.glob(source))


def _expand_local(source: str, *, is_only: bool) -> Iterator[File]:
    if os.path.isdir(source):
        paths = [os.path.join(source, name) for name in _of_folder(os.listdir(source))]
    elif os.path.isfile(source):
        paths = [source]
    else:
        paths = glob.glob(source, recursive=True)
    yield from (File(_absolute(p), p, None, "") for p in paths if os.path.isfile(p))
    if not paths and not is_only and not glob.has_magic(source):
        yield File(_absolute(source), source, None, "", error="there is no such file")


def _expand_remote(source: str) -> Iterator[File]:
    protocol, _, _ = source.partition("://")
    is_http = protocol in ("http", "https")
    says_all = protocol in ("s3", "s3a", "gs", "gcs")  # a listing has the version of a single look
    pattern = "*[" if is_http else "*?["
    path = source.partition("?")[0] if is_http else source
    if any(c in path for c in pattern):
        found = _listing(source, lambda fs: fs.glob(source, detail=True))
        infos = list(found.values())
    elif path.endswith("/") or (not is_http and not kind_of(path) and _is_folder(source)):
        infos = _listing(source, lambda fs: fs.ls(source, detail=True))
        keep = set(_of_folder([i["name"].rpartition("/")[2] for i in infos]))
        infos = [i for i in infos if i["name"].rpartition("/")[2] in keep]
    else:
        yield File(source, source, None, "")
        return
    for info in infos:
        if info.get("type") != "directory":
            name = info["name"]
            url = name if "://" in name else f"{protocol}://{name}"
            yield File(url, url, info.get("size"), version_of(info) if says_all else "")


def _listing(source: str, ask: Callable[[Any], Any]) -> Any:
    try:
        return retried(lambda: ask(filesystem(source.partition("://")[0])), source)
    except ReadError as error:
        raise ShardError(f"{shown(source)}: {error}") from error


def _is_folder(source: str) -> bool:
    return bool(_listing(source, lambda fs: fs.isdir(source)))


def _of_folder(names: list[str]) -> list[str]:
    # A .tar and its metadata .parquet hold the same rows: of the two the latter.
    known = [n for n in names if kind_of(n) and not n.startswith(".")]
    return [n for n in known if not (n.endswith(".tar") and f"{n[:-4]}.parquet" in known)]


def kind_of(name: str) -> str:
    """The kind that a file's name says, or ""."""
    stem = name.lower().removesuffix(".gz")
    kind = KINDS.get(os.path.splitext(stem)[1], "")
    return "" if kind in ("parquet", "tar") and name.lower().endswith(".gz") else kind


def _nothing_at(source: str) -> str:
    seen = ""
    if is_local(source) and os.path.isdir(source) and (names := sorted(os.listdir(source))):
        seen = f" (a folder of {len(names)} other files, such as {names[0]})"
    if is_local(source) and not glob.has_magic(source) and not os.path.exists(source):
        seen = " (it does not exist)"
    return (
        f"no parquet shard at '{shown(source)}'{seen}: give a .parquet file, a folder of them or "
        "a glob; .tsv, .csv, .jsonl and .tar are read too"
    )


def _absolute(path: str) -> str:
    return os.path.abspath(path) if is_local(path) else path


def _names(urls: list[str]) -> dict[str, str]:
    """File names, with as many folders in front as it takes to tell them apart."""
    parts = {u: [unquote(p) for p in urlsplit(shown(u)).path.split("/") if p] or [u] for u in urls}
    if any(is_local(u) for u in urls):  # '?' and '#' are legal in a path
        parts |= {u: [p for p in u.split(os.sep) if p] for u in urls if is_local(u)}
    names = {u: p[-1] for u, p in parts.items()}
    for n in range(2, max((len(p) for p in parts.values()), default=0) + 1):
        counts = Counter(names.values())
        shared = {v for v, count in counts.items() if count > 1}
        if not shared:
            break
        names = {u: "/".join(parts[u][-n:]) if v in shared else v for u, v in names.items()}
    return names


def stated(file: File) -> File:
    """The file with its size and version as they are now, or with the ``error`` that hides them."""
    try:
        if is_local(file.url):
            stat = os.stat(file.url)
            size, version = stat.st_size, f"{stat.st_mtime_ns}-{stat.st_ino}"
            return replace(file, size=size, version=version)
        remote_size, version = stat_remote(file.url)
        return replace(file, size=remote_size, version=version)
    except ReadError as error:
        return replace(file, error=str(error))
    except OSError as error:
        return replace(file, error=reason(error, file.url))
