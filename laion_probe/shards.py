"""List the shards of a data set and stream their units.

A *unit* is one row group of one parquet file: the piece that is read, counted, cached and, if it
fails, named as failed.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from laion_probe.errors import SchemaError, ShardError
from laion_probe.records import CANONICAL, ColumnMap, map_columns

__all__ = ["Shard", "Unit", "file_sha256", "list_shards", "list_units", "read_unit"]

_DTYPES: Mapping[str, type[pl.DataType]] = {
    "String": pl.String,
    "Int64": pl.Int64,
    "Float64": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Shard:
    """A parquet file that was opened once: its footer is sound and its columns are known."""

    path: Path
    name: str
    sha256: str
    row_groups: tuple[int, ...]  # rows in each
    columns: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        """Rows by the footer."""
        return sum(self.row_groups)


@dataclass(frozen=True, slots=True)
class Unit:
    """One row group of one shard."""

    shard: Shard
    row_group: int

    @property
    def id(self) -> str:
        """Content hash of the shard and number of the row group."""
        return f"{self.shard.sha256[:16]}-{self.row_group}"

    @property
    def label(self) -> str:
        """For people: file name and row group."""
        return f"{self.shard.name}#{self.row_group}"

    @property
    def n_rows(self) -> int:
        """Rows by the footer."""
        return self.shard.row_groups[self.row_group]


def list_shards(sources: Iterable[str]) -> tuple[Shard, ...]:
    """Open the footers of all parquet files that ``sources`` (files, folders, globs) name.

    Sorted by path, each file once. Raises `ShardError` for an empty listing, a path that is not
    there, or a file that is not parquet.
    """
    paths: set[Path] = set()
    for source in sources:
        found = _expand(source)
        if not found:
            raise ShardError(
                f"no parquet shard at '{source}': give a .parquet file, a folder of them or a glob"
            )
        paths |= found
    if not paths:
        raise ShardError("no shards given: use --shards with parquet files, a folder or a glob")
    ordered = sorted(paths)
    names = _short_names(ordered)
    shards = tuple(_open(path, names[path]) for path in ordered)
    seen: dict[str, Shard] = {}
    for shard in shards:
        if shard.sha256 in seen:
            raise ShardError(
                f"{shard.path} and {seen[shard.sha256].path} are the same, byte for byte: give one"
            )
        seen[shard.sha256] = shard
    if not any(shard.n_rows for shard in shards):
        raise ShardError(f"no rows in {', '.join(s.name for s in shards)}: give shards with rows")
    return shards


def list_units(shards: Iterable[Shard]) -> tuple[Unit, ...]:
    """All units, in the order of shards and row groups."""
    return tuple(Unit(s, g) for s in shards for g in range(len(s.row_groups)))


def read_unit(unit: Unit) -> pl.DataFrame:
    """The unit's rows in canonical columns, in file order, plus ``row`` (index in the shard).

    Columns that the file does not have are null; null captions and URLs are empty strings, since
    a row is never dropped for being broken. Raises `ShardError` when the row group cannot be read.
    """
    columns = map_columns(unit.shard.columns, unit.shard.name)
    try:
        with pq.ParquetFile(unit.shard.path) as file:
            table = file.read_row_group(
                unit.row_group, columns=sorted(set(columns.source.values()))
            )
        return _canonical(pl.DataFrame(pl.from_arrow(table)), columns, unit)
    except (OSError, pa.ArrowException, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ShardError(f"{unit.label}: cannot be read: {reason}") from error


def _canonical(frame: pl.DataFrame, columns: ColumnMap, unit: Unit) -> pl.DataFrame:
    exprs = []
    for name, kind in CANONICAL.items():
        dtype = _DTYPES[kind]
        source = columns.source.get(name)
        exprs.append(
            (pl.lit(None) if source is None else pl.col(source))
            .cast(dtype, strict=False)
            .alias(name)
        )
    start = sum(unit.shard.row_groups[: unit.row_group])
    return frame.select(
        pl.int_range(start, start + pl.len(), dtype=pl.Int64).alias("row"), *exprs
    ).with_columns(pl.col("url").fill_null(""), pl.col("text").fill_null(""))


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expand(source: str) -> set[Path]:
    path = Path(source)
    if path.is_dir():
        return set(path.glob("*.parquet"))
    if path.is_file():
        return {path}
    return {Path(p) for p in glob.glob(source, recursive=True) if Path(p).is_file()}


def _short_names(paths: list[Path]) -> dict[Path, str]:
    """File names, with the folder in front where two files share a name."""
    names = [p.name for p in paths]
    return {p: p.name if names.count(p.name) == 1 else f"{p.parent.name}/{p.name}" for p in paths}


def _open(path: Path, name: str) -> Shard:
    try:
        with pq.ParquetFile(path) as file:
            meta = file.metadata
            groups = tuple(meta.row_group(i).num_rows for i in range(meta.num_row_groups))
            schema = file.schema_arrow
            columns = tuple(schema.names)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ShardError(
            f"{path}: not a readable parquet file ({reason}); leave it out, or fetch it again"
        ) from error
    if not columns:
        raise SchemaError(f"{path}: has no columns")
    source = map_columns(columns, str(path)).source
    for column in (source["url"], source["text"]):
        if columns.count(column) > 1:
            n = columns.count(column)
            raise SchemaError(f"{path}: has {n} columns named {column}; keep one")
        kind = schema.field(column).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise SchemaError(f"{path}: column {column} is {kind}, not text; convert it to string")
    return Shard(path, name, file_sha256(path), groups, columns)
