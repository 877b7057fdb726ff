"""Lines of text files: which belong to a part, and TSV and CSV made of them.

A headerless TSV (CC3M, CC12M) is plain: a tab is a tab and a quote is a quote. What has a header is
read as the programs that write headers do it: with quotes, over several lines if need be.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, cast

import polars as pl
import pyarrow as pa

from laion_probe.remote import ReadError
from laion_probe.sources import File, Part, kind_of, open_file

__all__ = [
    "cells_of",
    "delimiter_of",
    "first_lines",
    "is_gzip",
    "lines_of",
    "opened",
    "plain_tsv",
    "quoted",
]

_HEAD = 1 << 16  # bytes; the least that is looked at


def is_gzip(file: File) -> bool:
    """Whether the name says that the file is gzipped."""
    return file.name.lower().endswith(".gz")


def opened(file: File, buffer: int = 1 << 20) -> IO[bytes]:
    """The file's bytes, unpacked."""
    raw = cast(io.RawIOBase, open_file(file))
    if is_gzip(file):
        return cast(BinaryIO, _Gunzipped(raw, buffer))
    return cast(BinaryIO, raw)


class _Gunzipped(gzip.GzipFile):
    """Closes the file beneath as well."""

    def __init__(self, raw: io.RawIOBase, buffer: int) -> None:
        self._beneath = io.BufferedReader(raw, buffer)
        super().__init__(fileobj=self._beneath, mode="rb")

    def close(self) -> None:
        super().close()
        self._beneath.close()


def first_lines(stream: IO[bytes]) -> list[str]:
    """At least one whole line, and as many as the first 64 KiB hold."""
    data, size = stream.read(_HEAD), _HEAD
    while len(data) == size and data.count(b"\n") < 2:
        data += stream.read(size)
        size *= 2
    whole = data if len(data) < size else data[: data.rindex(b"\n") + 1]
    lines = [x for x in whole.decode("utf-8-sig", "replace").split("\n") if x.rstrip("\r")]
    if not lines:
        raise ReadError("has no lines but empty ones")
    return lines


def _bytes_of(file: File, parts: tuple[Part, ...], index: int) -> tuple[bytes, int]:
    """The lines that start in a part, and the byte of the file that the part starts at."""
    if len(parts) == 1:
        with opened(file) as stream:
            return stream.read(), 0
    start = sum(p.n_bytes for p in parts[:index])
    stop = start + parts[index].n_bytes
    with open_file(file) as handle:
        # One byte before tells whether a line starts right at the range's first.
        before = max(0, start - 1)
        handle.seek(before)
        data = handle.read(stop - before)
        first = 0 if start == 0 else data.find(b"\n") + 1
        if start and not first:
            return b"", start  # within one line from end to end
        if not data.endswith(b"\n"):
            pieces = [data]
            while piece := handle.read(1 << 20):
                end = piece.find(b"\n")
                pieces.append(piece if end < 0 else piece[: end + 1])
                if end >= 0:
                    break
            data = b"".join(pieces)
    return data[first:], start


def lines_of(file: File, parts: tuple[Part, ...], index: int) -> Iterator[tuple[str, str]]:
    """Each line that is not empty, after words that say where it is."""
    data, start = _bytes_of(file, parts, index)
    after = f" after byte {start}" if start else ""
    try:
        text = data.decode("utf-8" if start else "utf-8-sig")
    except UnicodeDecodeError as error:
        n = data.count(b"\n", 0, error.start) + 1
        raise ReadError(f"line {n}{after} is not UTF-8 ({error.reason})") from error
    for n, line in enumerate(text.split("\n"), 1):
        if line := line.removesuffix("\r"):
            yield f"line {n}{after}", line


# -- TSV and CSV


def delimiter_of(file: File) -> str:
    """What stands between cells."""
    return "\t" if kind_of(file.name) == "tsv" else ","


def cells_of(lines: list[str], delimiter: str, *, quoted: bool) -> list[list[str]]:
    """The records of the first lines; those that are not sound are for the reader to refuse."""
    if not quoted:
        return [line.removesuffix("\r").split(delimiter) for line in lines]
    one = re.compile(rf'(?:"((?:[^"]++|"")*+)"|([^{delimiter}]*))({delimiter}|$)')
    records, pending = [], ""
    for line in lines:
        pending = f"{pending}\n{line}" if pending else line
        if pending.count('"') % 2:
            continue  # the line ends inside quotes
        cells, at, record = [], 0, pending.removesuffix("\r")
        while (found := one.match(record, at)) is not None:
            inside, bare, end = found.groups()
            cells.append(inside.replace('""', '"') if inside is not None else bare)
            at = found.end()
            if not end:
                break
        records.append(cells)
        pending = ""
    if not records:
        raise ReadError("line 1 opens a quote that the next lines do not close")
    return records


def plain_tsv(
    file: File, parts: tuple[Part, ...], index: int, names: tuple[str, ...], wanted: list[str]
) -> pl.DataFrame:
    """The wanted columns of a headerless TSV, as strings. Raises `ReadError` with the line."""
    at = [names.index(n) for n in wanted]
    columns: list[list[str]] = [[] for _ in at]
    n_rows = 0
    for where, line in lines_of(file, parts, index):
        cells = line.split("\t")
        if len(cells) != len(names):
            raise ReadError(f"{where} has {len(cells)} cells, and the first has {len(names)}")
        for column, i in zip(columns, at, strict=True):
            column.append(cells[i])
        n_rows += 1
    if not wanted:
        return pl.DataFrame(height=n_rows)
    return pl.DataFrame(
        dict(zip(wanted, columns, strict=True)), schema=dict.fromkeys(wanted, pl.String)
    )


def quoted(file: File, names: tuple[str, ...], wanted: list[str]) -> pl.DataFrame:
    """The wanted columns of a CSV (or TSV with a header), as strings.

    Raises pyarrow's ArrowInvalid with the row's number for what does not parse.
    """
    import pyarrow.csv as csv

    with opened(file) as stream:
        data = stream.read()
    head = data[:_HEAD].decode("utf-8-sig", "replace").split("\n")
    try:
        header = tuple(cells_of(head, delimiter_of(file), quoted=True)[0]) == names
    except ReadError:  # its first record is longer than any header
        header = False
    keep = wanted or [names[0]]

    def parsed(data: bytes) -> Any:
        return csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(
                use_threads=False,  # else no row numbers in errors
                block_size=min(max(len(data), 1), (1 << 31) - 1),
                column_names=list(names),
                skip_rows_after_names=int(header),
            ),
            csv.ParseOptions(delimiter=delimiter_of(file), newlines_in_values=True),
            csv.ConvertOptions(
                include_columns=keep, column_types=dict.fromkeys(keep, pa.large_string())
            ),
        )

    frame = pl.from_arrow(parsed(data))
    assert isinstance(frame, pl.DataFrame)
    if data.count(b'"') % 2:  # a stray quote, or one that is open at the end, which passes
        more = data + b"\n" + delimiter_of(file).join("x" * len(names)).encode() + b"\n"
        if parsed(more).num_rows != frame.height + 1:
            raise ReadError(f"row {frame.height + header} opens a quote that is never closed")
    return frame if wanted else pl.DataFrame(height=frame.height)
