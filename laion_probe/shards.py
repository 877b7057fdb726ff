"""List the shards of a data set and stream their units.

A *unit* is one row group of a parquet file, or a range of lines of a text file: the piece that is
read, counted, cached and, if it fails, named as failed. A file that cannot be opened is one unit
that will fail; the rest goes on without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import polars as pl

from laion_probe import formats
from laion_probe.errors import (
    ConfigError,
    LaionProbeError,
    MissingExtra,
    SchemaError,
    ShardError,
    UnknownName,
)
from laion_probe.records import CANONICAL, ColumnMap, map_columns, names_settle
from laion_probe.remote import ReadError, is_local, shown
from laion_probe.sources import File, Part, in_threads, kind_of, list_files, open_file, stated

__all__ = [
    "File",
    "Part",
    "Shard",
    "Unit",
    "file_sha256",
    "list_shards",
    "list_units",
    "read_own_columns",
    "read_unit",
]

_DTYPES: Mapping[str, type[pl.DataType]] = {
    "String": pl.String,
    "Int64": pl.Int64,
    "Float64": pl.Float64,
}
_FAILURES: tuple[type[BaseException], ...] = (
    OSError,
    ValueError,
    MemoryError,
    LaionProbeError,
    *formats.ERRORS,
)
_NO_OVERRIDE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Shard:
    """A file that was opened once: its parts are listed and its columns are known.

    ``kind`` is parquet, tsv, csv, jsonl or tar. ``fingerprint`` (hex) is the same for the same
    bytes wherever the file lies. ``names`` are the file's own columns, ``columns`` says which of
    them serves each canonical one. ``error`` is why the file cannot be used, without its name;
    then there is exactly one part, and no columns.
    """

    file: File
    kind: str
    fingerprint: str
    parts: tuple[Part, ...]
    names: tuple[str, ...] = ()
    columns: ColumnMap = field(default_factory=lambda: ColumnMap({}))
    error: str = ""

    @property
    def name(self) -> str:
        """For people: the file's name."""
        return self.file.name

    @property
    def n_rows(self) -> int | None:
        """Rows, or None where some part's are not known until read."""
        counts = [p.n_rows for p in self.parts]
        return None if None in counts else sum(n for n in counts if n is not None)


@dataclass(frozen=True, slots=True)
class Unit:
    """One part of one shard; for parquet, the row group of that number."""

    shard: Shard
    row_group: int

    @property
    def id(self) -> str:
        """Content hash of the shard and number of the part."""
        return f"{self.shard.fingerprint[:16]}-{self.row_group}"

    @property
    def label(self) -> str:
        """For people: file name and number of the part."""
        return f"{self.shard.name}#{self.row_group}"

    @property
    def part(self) -> Part:
        """Rows and bytes."""
        return self.shard.parts[self.row_group]

    @property
    def n_rows(self) -> int | None:
        """Rows by the footer, or None where they are not known until read."""
        return self.part.n_rows

    @property
    def n_bytes(self) -> int:
        """Bytes of all columns, as stored."""
        return self.part.n_bytes

    def bytes_of(self, columns: Iterable[str]) -> int:
        """Bytes of these canonical columns, as stored; those of all where they lie together."""
        sizes = self.part.column_bytes
        if not sizes:
            return self.n_bytes
        source = self.shard.columns.source
        wanted = {source[c] for c in columns if c in source}
        return sum(n for name, n in zip(self.shard.names, sizes, strict=True) if name in wanted)


def list_shards(
    sources: Iterable[str], columns: Mapping[str, str] = _NO_OVERRIDE
) -> tuple[Shard, ...]:
    """Open what ``sources`` name (see `laion_probe.sources.list_files`), sorted by url, each once.

    ``columns`` (canonical -> name in the file) says what neither names nor content do. A file that
    cannot be used becomes a shard with an ``error``. Raises `ShardError` for an empty listing,
    for shards without rows and for two files of the same bytes, `ConfigError` for an unknown
    canonical column, and the first file's error when none can be used.
    """
    unknown = [c for c in columns if c not in CANONICAL]
    if unknown:
        map_columns((), "", columns)  # says so
    opened = in_threads(lambda f: _open(f, columns), list(list_files(sources)))
    broken = [(s, e) for s, e in opened if e is not None]
    if len(broken) == len(opened):
        shard, error = broken[0]
        kind = SchemaError if isinstance(error, SchemaError) else ShardError
        more = f" (and {len(broken) - 1} more that cannot be used)" if len(broken) > 1 else ""
        raise kind(f"{shown(shard.file.url)}: {shard.error}{more}") from error
    shards = _told_apart([s for s, _ in opened])
    if all(s.error or s.n_rows == 0 for s in shards):
        raise ShardError(f"no rows in {', '.join(s.name for s in shards)}: give shards with rows")
    return shards


def list_units(shards: Iterable[Shard]) -> tuple[Unit, ...]:
    """All units, in the order of shards and parts; an unusable shard is one unit, which fails."""
    return tuple(Unit(s, g) for s in shards for g in range(len(s.parts)))


def read_unit(unit: Unit, columns: Iterable[str] | None = None) -> pl.DataFrame:
    """The unit's rows in the asked canonical columns (or all), in file order, after ``row``.

    ``row`` is the index in the shard for parquet, else in the unit. Columns that the file does not
    have are null; null captions and URLs of a column that it has are empty strings, since a row is
    never dropped for being broken. Raises `ShardError`, named by the unit, when it cannot be read
    or the file is not the one that was listed.
    """
    asked = tuple(CANONICAL) if columns is None else tuple(columns)
    for name in asked:
        if name not in CANONICAL:
            raise UnknownName("column", name, CANONICAL)
    source = {c: unit.shard.columns.source[c] for c in asked if c in unit.shard.columns.source}
    return _read(unit, source, lambda raw: _canonical(raw, asked, unit))


def read_own_columns(unit: Unit) -> pl.DataFrame:
    """The unit's rows as they stand in the file, in file order, with all columns of a parquet file.

    Of other kinds, those that serve a canonical one. Raises as `read_unit` does.
    """
    shard = unit.shard
    own = {name: name for name in shard.names} if shard.kind == "parquet" else shard.columns.source
    return _read(unit, own, lambda raw: raw)


def _read(
    unit: Unit, source: Mapping[str, str], made: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """What is made of the file's columns; a `ShardError` for a file that is broken or changed."""
    shard = unit.shard
    if shard.error:
        raise ShardError(f"{unit.label}: cannot be read: {shard.error}")
    problem: BaseException | None = None
    try:
        frame = made(
            formats.read(shard.file, shard.kind, shard.names, shard.parts, unit.row_group, source)
        )
    except MissingExtra:
        raise
    except _FAILURES as error:
        problem = error
    if changed := _changed(shard.file):
        raise ShardError(f"{unit.label}: changed while it was read: {changed}") from problem
    if problem is not None:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ShardError(f"{unit.label}: cannot be read: {reason}") from problem
    return frame


def _open(file: File, override: Mapping[str, str]) -> tuple[Shard, BaseException | None]:
    try:
        if file.error:
            raise ReadError(file.error)
        layout = formats.look(file)
        names = layout.names
        # Names first: values of a remote file are fetched only where names do not settle it.
        samples = None
        is_near = is_local(file.url) or layout.kind != "parquet"
        if is_near or not names_settle(names, override):
            samples = layout.sample(names)
        columns = map_columns(names, "", override, samples)
        layout.require(columns.source)
    except (MissingExtra, ConfigError):
        raise
    except _FAILURES as error:
        digest = hashlib.sha256(f"unusable\0{file.name}".encode()).hexdigest()
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = kind_of(file.name) or "parquet"
        parts = (Part(None, file.size or 0),)
        return Shard(file, kind, digest, parts, error=reason), error
    return Shard(file, layout.kind, layout.digest, layout.parts, names, columns), None


def _told_apart(shards: list[Shard]) -> tuple[Shard, ...]:
    """Shards of one fingerprint are compared whole: the same is an error, others get their own."""
    by_print: dict[str, list[Shard]] = {}
    for shard in shards:
        by_print.setdefault(shard.fingerprint, []).append(shard)
    whole: dict[str, str] = {}
    for alike in by_print.values():
        seen: dict[str, Shard] = {}
        for shard in alike if len(alike) > 1 else ():
            digest = _content_sha256(shard.file)
            if digest in seen:
                raise ShardError(
                    f"{shown(shard.file.url)} and {shown(seen[digest].file.url)} are the same, "
                    "byte for byte: give one"
                )
            seen[digest] = shard
            folded = f"{shard.fingerprint}\0{digest}".encode()
            whole[shard.file.url] = hashlib.sha256(folded).hexdigest()
    return tuple(
        replace(s, fingerprint=whole[s.file.url]) if s.file.url in whole else s for s in shards
    )


def _content_sha256(file: File) -> str:
    digest = hashlib.sha256()
    try:
        with open_file(file) as handle:
            while piece := handle.read(1 << 24):
                digest.update(piece)
    except ReadError as error:
        raise ShardError(f"{shown(file.url)}: {error}") from error
    return digest.hexdigest()


def _changed(file: File) -> str:
    """How the file differs from the one that was listed; "" if not, or if that cannot be asked."""
    now = stated(file)
    if now.error:
        return f"{now.error}; run again"
    if now.size != file.size:
        return f"it has {now.size} bytes and had {file.size} when it was listed; run again"
    if now.version != file.version:
        return "it was written anew after it was listed; run again"
    return ""


def _canonical(raw: pl.DataFrame, asked: tuple[str, ...], unit: Unit) -> pl.DataFrame:
    source = unit.shard.columns.source
    exprs = []
    for name in asked:
        dtype = _DTYPES[CANONICAL[name]]
        if name not in source:
            exprs.append(pl.lit(None, dtype=dtype).alias(name))
            continue
        column, held = pl.col(source[name]), raw.schema[source[name]]
        if isinstance(held, (pl.Categorical, pl.Enum)):  # dictionary-encoded strings
            column, held = column.cast(pl.String), pl.String()
        if dtype == pl.Int64 and held == pl.String:
            column = column.cast(pl.Float64, strict=False)  # "640.0", as pandas writes it
        column = column.cast(dtype, strict=False)
        exprs.append((column.fill_null("") if name == "text" else column).alias(name))
    if "text" in asked and "text" not in source:
        raise SchemaError("has no text column")
    is_parquet = unit.shard.kind == "parquet"
    start = sum(p.n_rows or 0 for p in unit.shard.parts[: unit.row_group]) if is_parquet else 0
    rows = raw.with_columns(
        pl.int_range(start, start + raw.height, dtype=pl.Int64, eager=True).alias("\0row")
    )
    return rows.select(pl.col("\0row").alias("row"), *exprs)


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
