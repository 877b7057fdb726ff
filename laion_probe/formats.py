"""The formats that shards come in: what is in a file, and how one part of it is read.

Every reader gives the same thing, a frame of the file's own columns; which of them is the caption
is decided elsewhere (`records`). Parquet has a module of its own; here are lines (TSV, CSV, JSONL,
also gzipped) and WebDataset tars. In lines and tars all cells are strings, to be cast later.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import polars as pl
import pyarrow as pa

from laion_probe import parquet
from laion_probe.errors import SchemaError
from laion_probe.lines import (
    cells_of,
    delimiter_of,
    first_lines,
    is_gzip,
    lines_of,
    opened,
    plain_tsv,
    quoted,
)
from laion_probe.records import CANONICAL, is_url, known_columns
from laion_probe.remote import ReadError
from laion_probe.sources import File, Part, kind_of, open_file

__all__ = ["ERRORS", "Layout", "look", "read"]

#: What readers raise beside OSError and ValueError for a file that is not sound.
ERRORS: tuple[type[BaseException], ...] = (
    pa.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    tarfile.TarError,
    zlib.error,
    EOFError,
)

#: A line of headerless TSV or of JSONL belongs to the range of so many bytes in which it starts.
RANGE_BYTES = 32 << 20

_ENDS = 1 << 16  # of both ends of a file, for its digest
_N_SAMPLES = 200
_N_SAMPLES_TAR = 8  # each costs a few requests where the tar is remote
_TAR_BUFFER = 8192  # holds a caption and the headers around it, and little of the pictures

Samples = Mapping[str, Sequence[Any]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """What is in a file: its kind, columns and parts, and a ``digest`` of size and some bytes.

    ``sample(names)`` gives some values of those of the columns that hold text;
    ``require(columns)`` raises `SchemaError` when captions or URLs are of another type.
    """

    kind: str
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    digest: str
    sample: Callable[[Sequence[str]], Samples]
    require: Callable[[Mapping[str, str]], None]


def look(file: File) -> Layout:
    """Open a file's footer or its first lines. Raises `ReadError`, `SchemaError` or `ERRORS`."""
    kind = kind_of(file.name)
    if kind in ("", "parquet"):  # what has no known ending may be parquet, and else says so
        footer = parquet.footer_of(file)
        return Layout(
            "parquet",
            footer.names,
            parquet.parts_of(footer),
            footer.digest,
            lambda names: parquet.sampled(file, footer, names),
            lambda columns: parquet.require_text(footer, columns),
        )
    if not file.size:
        raise ReadError("is empty (0 bytes)")
    if kind == "tar":
        rows = list(_tar_rows(file, limit=_N_SAMPLES_TAR))
        return _layout(file, kind, _names_of(rows) or ("txt",), rows)
    with opened(file, _ENDS) as stream:
        lines = first_lines(stream)
    if kind == "jsonl":
        rows = _json_head(lines)
        return _layout(file, kind, _names_of(rows), rows, ranged=not is_gzip(file))
    records = cells_of(lines, delimiter_of(file), quoted=False)
    header = _has_header(records, kind)
    if header or kind == "csv":
        records = cells_of(lines, delimiter_of(file), quoted=True)
    numbered = [f"column_{i + 1}" for i in range(len(records[0]))]
    names = tuple(records[0] if header else numbered)
    rows = [dict(zip(names, r, strict=False)) for r in records[header:]]
    ranged = kind == "tsv" and not header and not is_gzip(file)
    return _layout(file, kind, names, rows, ranged=ranged)


def read(
    file: File,
    kind: str,
    names: tuple[str, ...],
    parts: tuple[Part, ...],
    index: int,
    columns: Mapping[str, str],
) -> pl.DataFrame:
    """The rows of part ``index``, in the columns that ``columns`` (canonical -> name) names.

    Raises `ReadError`, which names the line where there is one, or `ERRORS`.
    """
    wanted = list(dict.fromkeys(columns.values()))
    if kind == "parquet":
        return parquet.read_group(file, index, wanted)
    if kind == "tar":
        found = (_strings(row, columns, row["__key__"]) for row in _tar_rows(file))
        return _framed(list(found), wanted)
    if kind == "jsonl":
        return _framed(list(_json_rows(file, parts, index, columns)), wanted)
    if kind == "tsv" and names[0] == "column_1":
        return plain_tsv(file, parts, index, names, wanted)
    return quoted(file, names, wanted)


def _layout(
    file: File, kind: str, names: tuple[str, ...], rows: list[Row], *, ranged: bool = False
) -> Layout:
    size = file.size or 0
    with open_file(file) as handle:
        ends = handle.read(min(size, _ENDS))
        if size > _ENDS:
            handle.seek(max(_ENDS, size - _ENDS))
            ends += handle.read(_ENDS)
    step = RANGE_BYTES if ranged else size
    parts = tuple(Part(None, min(step, size - at)) for at in range(0, size, step))
    digest = hashlib.sha256(f"{size}\0".encode() + ends).hexdigest()

    def sample(asked: Sequence[str]) -> Samples:
        values = {n: [r.get(n) for r in rows[:_N_SAMPLES]] for n in asked}
        return {n: v for n, v in values.items() if any(isinstance(x, str) for x in v)}

    def require(columns: Mapping[str, str]) -> None:
        for name in columns.values():
            if (n := names.count(name)) > 1:
                raise SchemaError(f"has {n} columns named {name}; keep one")
        for canonical in {"text", "url"} & columns.keys():
            values = [v for r in rows if (v := r.get(columns[canonical])) is not None]
            if values and not any(isinstance(v, str) for v in values):
                _string(values[0], canonical, columns[canonical], SchemaError)

    return Layout(kind, names, parts, digest, sample, require)


def _has_header(records: list[list[str]], kind: str) -> bool:
    first, rest = records[0], records[1:]
    if any(is_url(cell) for cell in first):
        return False
    if known_columns(first):
        return True
    n_urls = [sum(len(r) > i and is_url(r[i]) for r in rest) for i in range(len(first))]
    return kind == "csv" or any(n > len(rest) / 2 for n in n_urls)


def _names_of(rows: list[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for row in rows for n in row if n != "__key__"))


# -- JSON lines and tars: rows of named values


def _json_head(lines: list[str]) -> list[Row]:
    rows = []
    for n, line in enumerate(lines, 1):
        try:
            rows.append(_parsed(line, f"line {n}"))
        except ReadError:
            if n == 1:
                raise  # later ones fail their unit
    return rows


def _parsed(text: str, where: str) -> Row:
    try:
        row = json.loads(text)
        if "\\u" in text:
            json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except UnicodeEncodeError as error:
        raise ReadError(f"{where} holds an invalid surrogate") from error
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise ReadError(f"{where} is not a JSON object but a {type(row).__name__}")
    return row


def _json_rows(
    file: File, parts: tuple[Part, ...], index: int, columns: Mapping[str, str]
) -> Iterator[list[str | None]]:
    for where, line in lines_of(file, parts, index):
        yield _strings(_parsed(line, where), columns, where)


def _strings(row: Row, columns: Mapping[str, str], where: str) -> list[str | None]:
    found: dict[str, str | None] = {}
    for canonical, name in columns.items():
        try:
            found[name] = _string(row.get(name), canonical, name, ReadError)
        except ReadError as error:
            raise ReadError(f"{where}: {error}") from None
    return list(found.values())


def _string(value: Any, canonical: str, name: str, problem: type[Exception]) -> str | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None or isinstance(value, str):
        return value
    if canonical in ("text", "url"):
        raise problem(f"column {name} is {type(value).__name__}, not text")
    if CANONICAL[canonical] != "String" and not is_number:
        raise problem(f"column {name} is {type(value).__name__}, not a number")
    return str(value)


def _framed(rows: list[list[str | None]], wanted: list[str]) -> pl.DataFrame:
    if not wanted:
        return pl.DataFrame(height=len(rows))
    return pl.DataFrame(rows, schema=dict.fromkeys(wanted, pl.String), orient="row")


def _tar_rows(file: File, limit: int | None = None) -> Iterator[Row]:
    """A row per key: the fields of its .json, and its .txt as ``txt``; pictures are skipped."""
    rows: dict[str, Row] = {}
    with (
        io.BufferedReader(cast(io.RawIOBase, open_file(file)), _TAR_BUFFER) as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        while (member := tar.next()) is not None:
            cast(Any, tar).members.clear()  # else all are kept
            if not member.isfile():
                continue
            if member.offset_data + member.size > (file.size or 0):
                raise ReadError(f"ends within {member.name}; fetch it again")
            folder, _, base = member.name.rpartition("/")
            stem, _, ending = base.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            if key not in rows and len(rows) == limit:
                break
            row = rows.setdefault(key, {"__key__": key})
            if ending.lower() in ("json", "txt"):
                row.update(_tar_member(tar, member, ending.lower()))
        else:
            stream.seek(tar.offset)
            if stream.read(512).strip(b"\0") or tar.offset + 512 > (file.size or 0):
                raise ReadError(f"is broken or cut off at byte {tar.offset}; fetch it again")
    yield from rows.values()


def _tar_member(tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> Row:
    data = cast(IO[bytes], tar.extractfile(member)).read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(f"{member.name} is not UTF-8 ({error.reason})") from error
    if ending == "txt":
        return {"txt": text}
    return {k: v for k, v in _parsed(text, member.name).items() if k != "__key__"}
