"""Parquet files with pictures in a column: img2dataset's bytes, Hugging Face's struct of bytes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from laion_probe.errors import ConfigError, ShardError
from laion_probe.pictures.files import PictureFile
from laion_probe.pictures.opened import OpenedShard, scalars
from laion_probe.records import known_columns

__all__ = ["bytes_column", "open_parquet"]

#: Names that tell a column of pictures from other bytes.
_NAMES = ("image", "jpg", "jpeg", "png", "webp", "picture", "img", "bytes")
_ROWS = 64  # read at a time: bytes of pictures are large


def bytes_column(path: Path) -> str | None:
    """The column that holds pictures; None where a file of URLs has none.

    Raises `ConfigError` where it cannot be told, `ShardError` where the file cannot be read.
    """
    schema = _schema(path)
    found = [str(f.name) for f in schema if _holds_bytes(f.type)]
    named = [n for n in found if n.lower() in _NAMES]
    if len(found) > 1 and len(named) != 1:
        raise ConfigError(
            f"{path}: {', '.join(found)} could all hold the pictures; keep one column of bytes"
        )
    if found:
        return (named or found)[0]
    if "url" in known_columns(schema.names):
        return None
    raise ConfigError(
        f"{path} has no column of bytes (it has {', '.join(schema.names)}): give parquet with "
        "pictures in it, a folder of tars or of pictures"
    )


def open_parquet(path: Path, name: str) -> OpenedShard:
    """The pictures of a parquet file, read as they are gone through."""
    column = bytes_column(path)
    if column is None:
        raise ShardError(f"{path}: no column of bytes")
    carried = scalars(pl.read_parquet_schema(path))
    return OpenedShard(_files(path, name, column, tuple(carried)), "", carried)


def _files(path: Path, name: str, column: str, carried: Sequence[str]) -> Iterator[PictureFile]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            known = known_columns(there)
            also = {n for n in ("key", "status", known.get("text"), known.get("url")) if n in there}
            for batch in file.iter_batches(_ROWS, columns=[column, *also, *carried]):
                for row in batch.to_pylist():
                    made = _file(row, f"{name}/{row.get('key') or number}", column, known, carried)
                    number += 1
                    if made is not None:
                        yield made
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ShardError(f"{path}: not readable as parquet ({reason}); fetch it again") from error


def _file(
    row: Mapping[str, Any],
    whole_id: str,
    column: str,
    known: Mapping[str, str],
    carried: Sequence[str],
) -> PictureFile | None:
    """None for a row of img2dataset's whose picture did not come."""
    value: Any = row[column]
    path = ""
    if isinstance(value, dict):
        value, path = value.get("bytes"), str(value.get("path") or "")
    if value is None and row.get("status") not in (None, "success"):
        return None
    return PictureFile(
        id=whole_id,
        read=functools.partial(_given, value or b""),
        caption=str(row.get(known.get("text", "")) or ""),
        url=str(row.get(known.get("url", "")) or ""),
        key=str(row.get("key") or ""),
        path=path,
        more={c: row[c] for c in carried},
    )


def _given(data: bytes) -> bytes:
    return data


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(f.name == "bytes" and _holds_bytes(f.type) for f in kind)
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ShardError(f"{path}: not readable as parquet ({reason}); fetch it again") from error
