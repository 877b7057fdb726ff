"""Metadata of a few rows at a time, as answers hold them; row groups that were read are kept."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from laion_probe.vectors import Embeddings

__all__ = ["RowReader", "open_rows"]

Rows = NDArray[np.int64]

#: Canonical columns that answers may hold, by the names that clip-retrieval's clients read.
_ANSWERED = {
    "url": "url",
    "text": "caption",
    "nsfw": "NSFW",
    "punsafe": "punsafe",
    "language": "language",
    "aesthetic": "aesthetic",
    "uid": "uid",
}
_AS_THEY_ARE = ("image_path",)
_KEEP_BYTES = 512 << 20


@dataclass
class RowReader:
    """Reads rows of metadata; at most 512 MiB of row groups are kept, the latest used.

    ``columns`` are the names in answers, by the file's own.
    """

    embeddings: Embeddings
    columns: dict[str, str]
    _kept: OrderedDict[tuple[int, int], pa.Table] = field(default_factory=OrderedDict)
    _starts: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def names(self) -> tuple[str, ...]:
        """What an answer may hold of a row."""
        return tuple(self.columns.values())

    def rows(self, rows: Rows) -> list[dict[str, Any]]:
        """A mapping a row, in order. What is missing in the data is missing here.

        A caption is there in any case where there are captions, if need be empty: clients measure
        its length.
        """
        out: list[dict[str, Any]] = [{} for _ in range(len(rows))]
        if not self.columns:
            return out
        firsts = np.array([part.first for part in self.embeddings.parts])
        number = np.searchsorted(firsts, rows, side="right") - 1
        for part in np.unique(number).tolist():
            where = np.flatnonzero(number == part)
            inside = rows[where] - self.embeddings.parts[part].first
            self._fill(out, part, where, inside)
        return out

    def _fill(
        self, out: list[dict[str, Any]], part: int, where: NDArray[np.int64], inside: Rows
    ) -> None:
        if self.embeddings.parts[part].metadata is None:
            return
        starts = self._starts_of(part)
        group = np.searchsorted(starts, inside, side="right") - 1
        for one in np.unique(group).tolist():
            there = np.flatnonzero(group == one)
            table = self._group(part, one).take(pa.array(inside[there] - starts[one]))
            for place, row in zip(where[there].tolist(), table.to_pylist(), strict=True):
                out[place] = {
                    name: value
                    for column, name in self.columns.items()
                    if (value := _value(row[column], name)) is not None
                }

    def _starts_of(self, part: int) -> NDArray[np.int64]:
        if part not in self._starts:
            with pq.ParquetFile(self.embeddings.parts[part].metadata) as file:
                sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            self._starts[part] = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        return self._starts[part]

    def _group(self, part: int, group: int) -> pa.Table:
        key = (part, group)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with pq.ParquetFile(self.embeddings.parts[part].metadata) as file:
            table = _as_bytes(file.read_row_group(group, columns=list(self.columns)))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = table
                self._bytes += table.nbytes
            while self._bytes > _KEEP_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return table


def open_rows(embeddings: Embeddings) -> RowReader:
    """A reader of the columns that answers may hold, of those that there are."""
    known = embeddings.canonical()
    columns = {known[name]: shown for name, shown in _ANSWERED.items() if name in known}
    columns |= {c: c for c in embeddings.columns if c in _AS_THEY_ARE}
    return RowReader(embeddings, columns)


def _as_bytes(table: pa.Table) -> pa.Table:
    """Strings as bytes: what is not UTF-8 in one of them must not fail all answers that hold it."""
    kinds = [
        pa.field(f.name, pa.binary() if pa.types.is_string(f.type) else pa.large_binary())
        if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
        else f
        for f in table.schema
    ]
    return table.cast(pa.schema(kinds))


def _value(value: Any, name: str) -> Any:
    """As JSON can hold it, or None where there is none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        value = None
    if value is None and name == "caption":
        return ""
    return value if isinstance(value, str | int | float | bool) else None
