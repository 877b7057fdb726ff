"""Embeddings where they lie: files of vectors, memory-mapped, row by row beside their metadata.

Three layouts are read as they are: clip-retrieval's (``img_emb/img_emb_N.npy`` beside
``metadata/metadata_N.parquet``, also as LAION published it, with zeros before the number), one
folder of ``.npy`` and ``.parquet`` files whose numbers agree, and DataComp's (``NAME.npz`` beside
``NAME.parquet``). A row of all zeros is a picture that could not be read. Which model made the
vectors is known from ``key.json`` alone, which other tools do not write.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from laion_probe.errors import ConfigError, SchemaError, ShardError
from laion_probe.records import known_columns

__all__ = ["KEY_FILE", "EmbeddingPart", "Embeddings", "open_embeddings", "same_model"]

Halves = NDArray[np.float16] | NDArray[np.float32]

KEY_FILE = "key.json"
#: Folders that hold vectors, by what they are of.
_FOLDERS = {"image": ("img_emb", "images", "."), "text": ("text_emb", "texts")}
_METADATA = ("metadata", ".")
#: Arrays of DataComp's files, the larger model first.
_MEMBERS = {"image": ("l14_img", "b32_img"), "text": ("l14_txt", "b32_txt")}
#: Rows of metadata that are decoded at once.
_BATCH = 65_536
_NUMBER = re.compile(r"(\d+)(?=\.[a-z]+$)")
#: What makes two keys name the same space: the precision of the arithmetic does not.
_SPACE = ("model", "pretrained", "weights_sha256", "preprocess")


@dataclass(frozen=True)
class EmbeddingPart:
    """One file of vectors and the metadata of its rows.

    ``first`` is the number of its first row among all rows of the folder; ``member`` names the
    array in an ``.npz``, and is empty for an ``.npy``.
    """

    vectors: Path
    metadata: Path | None
    n_rows: int
    first: int
    member: str = ""


@dataclass(frozen=True)
class Embeddings:
    """All vectors of a folder: ``n_rows`` of ``dim`` numbers, numbered from 0 across its parts.

    ``key`` names the model, or is None where it is not known. ``columns`` are the metadata's
    (the same in all parts), empty where there are none.
    """

    folder: Path
    kind: str
    dim: int
    dtype: str
    parts: tuple[EmbeddingPart, ...]
    key: Mapping[str, str] | None
    columns: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Rows in all parts."""
        return sum(p.n_rows for p in self.parts)

    def part(self, number: int) -> Halves:
        """The vectors of a part, (n_rows, dim), memory-mapped where the file allows it."""
        part = self.parts[number]
        vectors: Halves = _mapped(part.vectors, part.member)
        return vectors

    def blocks(self, rows: int) -> Iterator[tuple[int, Halves]]:
        """The number of a block's first row and its vectors, at most ``rows`` at a time."""
        for number, part in enumerate(self.parts):
            vectors = self.part(number)
            for start in range(0, part.n_rows, rows):
                yield part.first + start, vectors[start : start + rows]

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of these rows, in their order, (len(rows), dim)."""
        out = np.empty((len(rows), self.dim), np.float32)
        for number, where in self._by_part(rows):
            inside = rows[where] - self.parts[number].first
            order = np.argsort(inside, kind="stable")  # pages are read in order
            out[where[order]] = self._kept(number)[inside[order]]
        return out

    def metadata(
        self, rows: NDArray[np.int64], columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Metadata of these rows in their order, after ``row``; ``columns`` are the files' own.

        Raises `ShardError` where a part has no metadata.
        """
        wanted = list(self.columns if columns is None else columns)
        found = []
        for number, where in self._by_part(rows):
            part = self.parts[number]
            if part.metadata is None:
                raise ShardError(
                    f"{part.vectors}: no metadata beside it, so its rows have no caption or URL; "
                    "give the folder with metadata/"
                )
            inside = rows[where] - part.first
            found.append(_rows_of(part.metadata, inside, wanted).with_columns(at=pl.Series(where)))
        if not found:
            return pl.DataFrame(schema={"row": pl.Int64, **dict.fromkeys(wanted, pl.String)})
        table = pl.concat(found, how="vertical_relaxed").sort("at").drop("at")
        return table.select(pl.Series("row", rows, pl.Int64), *wanted)

    def canonical(self) -> dict[str, str]:
        """Which column of the metadata serves each canonical one, by names that are known."""
        return known_columns(self.columns)

    def fingerprint(self) -> str:
        """A digest of sizes, shapes and both ends of each file: of the vectors, not of paths."""
        digest = hashlib.sha256(f"{self.kind} {self.dim} {self.dtype}".encode())
        for part in self.parts:
            digest.update(_ends(part.vectors))
        return digest.hexdigest()

    def _kept(self, number: int) -> Halves:
        """As `part`, for a few rows at a time: to map a file takes longer than to read these."""
        part = self.parts[number]
        if part.member:
            return self.part(number)
        vectors: Halves = _open_map(part.vectors, part.vectors.stat().st_mtime_ns)
        return vectors

    def _by_part(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each part that has any of the rows, with their places in ``rows``."""
        if len(rows) and (rows.min() < 0 or rows.max() >= self.n_rows):
            raise IndexError(f"rows from {rows.min()} to {rows.max()} of {self.n_rows}")
        starts = np.array([p.first for p in self.parts])
        part_of = np.searchsorted(starts, rows, side="right") - 1
        order = np.argsort(part_of, kind="stable")
        numbers, firsts = np.unique(part_of[order], return_index=True)
        for number, where in zip(numbers, np.split(order, firsts[1:]), strict=False):
            yield int(number), where


def open_embeddings(
    folder: str | Path, kind: str = "image", member: str | None = None
) -> Embeddings:
    """Open a folder of embeddings of "image" or "text"; nothing but headers is read.

    ``member`` names the array of DataComp's files (default: the larger model's). Raises
    `ConfigError` where there is no such folder or array, `ShardError` for a file that is cut off or
    not of numbers, `SchemaError` where vectors and metadata differ in rows, or parts in dimension.

    >>> e = open_embeddings("data/demo/embeddings")  # doctest: +SKIP
    >>> e.n_rows, e.dim  # doctest: +SKIP
    (3000, 64)
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"embeddings folder {folder} does not exist: give a folder of embeddings")
    files = _npy_files(root, kind)
    npz = [] if files else sorted(root.glob("*.npz"))
    if not files and not npz:
        raise ConfigError(
            f"{folder} holds no {kind} embeddings: give a folder with {_FOLDERS[kind][0]}/*.npy "
            "(clip-retrieval's layout, as `laion-probe embed` writes it) or DataComp's *.npz"
        )
    pairs = [(path, _beside(root, path, files)) for path in files] or [
        (path, path.with_suffix(".parquet")) for path in npz
    ]
    if npz:
        member = member or _default_member(npz[0], kind)
    parts, shapes, columns, first = [], [], None, 0
    for path, metadata in pairs:
        n, dim, dtype = _header(path, member if npz else None)
        there = metadata if metadata is not None and metadata.is_file() else None
        if there is not None:
            names = _check_rows(path, n, there)
            columns = names if columns is None else tuple(c for c in columns if c in names)
        parts.append(EmbeddingPart(path, there, n, first, (member or "") if npz else ""))
        shapes.append((dim, dtype))
        first += n
    for part, shape in zip(parts, shapes, strict=True):
        if shape[0] != shapes[0][0]:
            raise SchemaError(
                f"{part.vectors}: vectors of {shape[0]} numbers, where {parts[0].vectors.name} has "
                f"{shapes[0][0]}: they are of different models; keep one model a folder"
            )
    return Embeddings(root, kind, *shapes[0], tuple(parts), _key(root), columns or ())


def same_model(a: Mapping[str, str], b: Mapping[str, str]) -> bool:
    """Whether vectors under two keys may be compared: same weights and preprocessing."""
    return all(a.get(name) == b.get(name) for name in _SPACE)


def _npy_files(root: Path, kind: str) -> list[Path]:
    for name in _FOLDERS[kind]:
        found = [p for p in (root / name).glob("*.npy") if _NUMBER.search(p.name)]
        if found:
            return sorted(found, key=lambda p: (_number(p), p.name))
    return []


def _number(path: Path) -> int:
    match = _NUMBER.search(path.name)
    return int(match.group(1)) if match else -1


def _beside(root: Path, path: Path, files: Sequence[Path]) -> Path | None:
    """The metadata of a file of vectors: the parquet with the same number."""
    for name in _METADATA:
        found = [p for p in (root / name).glob("*.parquet") if _number(p) == _number(path)]
        if len(found) > 1:
            raise SchemaError(
                f"{path}: {found[0].name} and {found[1].name} could both be its metadata; keep one"
            )
        if found:
            return found[0]
    return None


def _default_member(path: Path, kind: str) -> str:
    with _opened_npz(path) as archive:
        there = {Path(n).stem for n in archive.namelist()}
    for name in _MEMBERS[kind]:
        if name in there:
            return name
    raise ConfigError(
        f"{path}: none of {', '.join(_MEMBERS[kind])} among its arrays {', '.join(sorted(there))}"
    )


def _opened_npz(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ShardError(f"{path}: not a readable .npz ({error}); fetch it again") from error


def _header(path: Path, member: str | None) -> tuple[int, int, str]:
    """Rows, dimension and type, from the header; the file's size must agree."""
    try:
        array = _mapped(path, member or "")
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ShardError(
            f"{path}: not a readable array of vectors ({str(error).splitlines()[0]}); it may be "
            "cut off: fetch or make it again"
        ) from error
    if array.ndim != 2 or array.dtype not in (np.float16, np.float32):
        raise ShardError(
            f"{path}: an array of {array.dtype} with shape {array.shape}, where vectors are rows "
            "of float16 or float32"
        )
    return array.shape[0], array.shape[1], str(array.dtype)


def _mapped(path: Path, member: str) -> Any:
    if not member:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    return _member(path, member, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=128)  # each holds a file open
def _open_map(path: Path, changed: int) -> Any:
    return _mapped(path, "")


@functools.lru_cache(maxsize=4)  # arrays in archives are read whole, and asked for again and again
def _member(path: Path, member: str, changed: int) -> Any:
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[member]


def _check_rows(path: Path, n: int, metadata: Path) -> tuple[str, ...]:
    try:
        file = pq.ParquetFile(metadata)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ShardError(f"{metadata}: not readable as parquet ({reason})") from error
    with file:
        if file.metadata.num_rows != n:
            raise SchemaError(
                f"{path}: {n} vectors, but {metadata.name} has {file.metadata.num_rows} rows: they "
                "are not of the same run; make both again"
            )
        return tuple(file.schema_arrow.names)


def _rows_of(path: Path, rows: NDArray[np.int64], columns: list[str]) -> pl.DataFrame:
    """These rows of a parquet file, in their order.

    Row groups that hold none are not read, others batch by batch up to the last row wanted: LAION's
    have a million rows.
    """
    order = np.argsort(rows, kind="stable")
    wanted = rows[order]
    taken = []
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        for group in np.unique(np.searchsorted(starts, wanted, side="right") - 1):
            at = int(starts[group])
            end = np.searchsorted(wanted, starts[group + 1])
            for batch in file.iter_batches(_BATCH, [int(group)], columns):
                low, high = np.searchsorted(wanted, [at, at + len(batch)])
                if low < high:
                    taken.append(batch.take(pa.array(wanted[low:high] - at)))
                at += len(batch)
                if high == end:
                    break
    frame = pl.from_arrow(pa.Table.from_batches(taken))
    assert isinstance(frame, pl.DataFrame)
    return frame[np.argsort(order, kind="stable")]


def _ends(path: Path, size: int = 65536) -> bytes:
    total = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(size)
        file.seek(max(0, total - size))
        return hashlib.sha256(f"{total}".encode() + head + file.read(size)).digest()


def _key(root: Path) -> dict[str, str] | None:
    path = root / KEY_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): str(v) for k, v in found.items()}
    except (ValueError, AttributeError) as error:
        raise ShardError(f"{path}: not the key of embeddings ({error}); make them again") from error
