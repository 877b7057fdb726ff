"""A shard of pictures that was opened, and the tables that say what its pictures are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from polars.datatypes import DataTypeClass

from laion_probe.errors import ShardError
from laion_probe.pictures.files import PictureFile
from laion_probe.records import known_columns

__all__ = ["OWN_COLUMNS", "OpenedShard", "Table", "read_table", "scalars"]

#: What embeddings' metadata say of each row; other columns of a source are carried beside them.
OWN_COLUMNS: Mapping[str, DataTypeClass] = {
    "image_path": pl.String,
    "caption": pl.String,
    "url": pl.String,
    "id": pl.String,
    "key": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "status": pl.String,
    "error": pl.String,
}
#: img2dataset's columns that say nothing of a picture that came, or that are long.
_LEFT_OUT = ("error_message", "exif", "txt", "json")


@dataclass(frozen=True)
class OpenedShard:
    """The pictures of a shard, in its order, to be gone through once.

    ``sha256`` is of a tar's bytes, '' for other sources; ``columns`` are the types of what
    `PictureFile.more` holds. Going through ``files`` may raise `ShardError`.
    """

    files: Iterable[PictureFile]
    sha256: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """img2dataset's rows by key, with the columns that are carried."""

    rows: Mapping[str, Mapping[str, Any]]
    columns: Mapping[str, Any]

    def file(self, shard: str, key: str, picture: PictureFile) -> PictureFile:
        """The picture with what the table says of it."""
        row = self.rows.get(key, {})
        return PictureFile(
            id=f"{shard}/{key}",
            read=picture.read,
            caption=str(row.get("caption") or picture.caption),
            url=str(row.get("url") or picture.url),
            key=key,
            path=picture.path,
            more={c: row.get(c) for c in self.columns},
        )


def read_table(path: Path) -> Table:
    """img2dataset's metadata of a shard. Raises `ShardError` where it is not that."""
    try:
        schema = pl.read_parquet_schema(path)
        carried = scalars(schema)
        known = known_columns(schema)
        named = {"caption": known.get("text"), "url": known.get("url")}
        wanted = {c: n for c, n in named.items() if n is not None}
        frame = pl.read_parquet(path, columns=list({"key", *carried, *wanted.values()}))
        rows = frame.select(
            "key", *(pl.col(n).alias(c) for c, n in wanted.items()), *carried
        ).iter_rows(named=True)
        return Table({str(r["key"]): r for r in rows}, carried)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ShardError(f"{path}: not img2dataset metadata ({reason})") from error


def scalars(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a source that are carried: single values that we have no name for.

    >>> scalars({"punsafe": pl.Float32(), "url": pl.String(), "jpg": pl.Binary()})
    {'punsafe': Float32}
    """
    known = known_columns(schema)
    own = {*OWN_COLUMNS, *_LEFT_OUT, known.get("text"), known.get("url")}
    return {
        name: kind
        for name, kind in schema.items()
        if name not in own
        and name.lower() not in OWN_COLUMNS
        and (kind.is_numeric() or kind in (pl.String, pl.Boolean))
    }
