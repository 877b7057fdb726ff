"""Write what is kept: ids as DataComp does (sorted pairs of 64-bit integers), or the rows."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from laion_probe.notes import pass_on
from laion_probe.shards import Unit, read_own_columns

__all__ = ["KeptIds", "KeptRows", "file_stem"]

#: Ids are divided by their highest bits, so that each part can be sorted in memory: of 2 billion
#: rows a part is 125 MB.
_PARTS = 256
_ID = np.dtype("u8,u8")


def file_stem(recipe: str) -> str:
    """What files of a recipe are called."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", recipe).lower()


class KeptIds:
    """``kept-NAME.npy`` and ``kept-NAME.parquet`` in a folder, sorted by id.

    The npy file is a one-dimensional array of dtype ``u8,u8`` (the high and the low half of a
    128-bit id), which DataComp's resharder reads; the parquet has the ids in hexadecimal. Ids that
    occur twice are there twice.
    """

    def __init__(self, folder: Path, name: str, scratch: Path) -> None:
        stem = file_stem(name)
        self.npy, self.parquet = (folder / f"kept-{stem}.{end}" for end in ("npy", "parquet"))
        self._scratch_parent = scratch
        self.n = 0

    def __enter__(self) -> KeptIds:
        self._scratch = Path(tempfile.mkdtemp(prefix="ids-", dir=self._scratch_parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def add(self, ids: pl.DataFrame) -> None:
        """More rows: ``id_high`` and ``id_low`` (UInt64)."""
        pairs = np.empty(len(ids), dtype=_ID)
        pairs["f0"], pairs["f1"] = ids["id_high"].to_numpy(), ids["id_low"].to_numpy()
        part = (pairs["f0"] >> np.uint64(56)).astype(np.int64)
        by_part = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[by_part], np.arange(_PARTS + 1))
        for number in np.unique(part).tolist():
            chosen = pairs[by_part[ends[number] : ends[number + 1]]]
            with (self._scratch / str(number)).open("ab") as file:
                file.write(chosen.tobytes())
        self.n += len(ids)

    def _finish(self) -> None:
        if self.n == 0:
            np.save(self.npy, np.zeros(0, dtype=_ID))
            pq.write_table(_table(np.zeros(0, dtype=_ID)), self.parquet)
            return
        out = np.lib.format.open_memmap(self.npy, mode="w+", dtype=_ID, shape=(self.n,))
        start = 0
        with pq.ParquetWriter(self.parquet, _table(out[:0]).schema) as writer:
            for number in range(_PARTS):
                path = self._scratch / str(number)
                if path.exists():
                    part = np.sort(np.fromfile(path, dtype=_ID), order=("f0", "f1"))
                    out[start : start + len(part)] = part
                    writer.write_table(_table(part))
                    start += len(part)
        out.flush()


class KeptRows:
    """``rows-NAME`` in a folder: a parquet file a shard, with the rows that are kept of it.

    They have the columns of their shard, in its order; a note that lies beside the data goes along.
    """

    def __init__(self, folder: Path, name: str, places: Sequence[str]) -> None:
        self.folder = folder / f"rows-{file_stem(name)}"
        self._places = places
        self._writer: pq.ParquetWriter | None = None
        self._shard = ""
        self._stems: set[str] = set()

    def __enter__(self) -> KeptRows:
        self.folder.mkdir()
        pass_on(self._places, self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, unit: Unit, kept: pl.Series) -> None:
        """The rows of a unit, of which ``kept`` says which are; units of a shard come together."""
        if not kept.any():
            return
        table = read_own_columns(unit).filter(kept).to_arrow()
        if unit.shard.file.url != self._shard:
            self._close()
            self._shard = unit.shard.file.url
            self._writer = pq.ParquetWriter(self.folder / self._name(unit), table.schema)
        assert self._writer is not None
        self._writer.write_table(table.cast(self._writer.schema))

    def _name(self, unit: Unit) -> str:
        stem = re.sub(r"[^\w.-]+", "-", Path(unit.shard.name).stem)
        name, again = stem, 1
        while name in self._stems:
            again += 1
            name = f"{stem}-{again}"
        self._stems.add(name)
        return f"{name}.parquet"

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def _table(ids: NDArray[np.void]) -> pa.Table:
    text = [f"{high:016x}{low:016x}" for high, low in ids.tolist()]
    return pa.table({"uid": pa.array(text, pa.string())})
