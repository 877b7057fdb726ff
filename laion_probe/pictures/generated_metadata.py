"""What tables and members beside generated pictures say of them, whatever they call it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from laion_probe.errors import ShardError
from laion_probe.pictures.files import TarMember, escaped, metadata_rows

__all__ = ["Said", "read_members", "read_metadata"]

_PROMPTS = ("prompt", "caption", "text")
_COLUMNS = (*_PROMPTS, "batch", "generator", "group", "concept", "language", "seed", "blocked")
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")
_MOST_MEMBER = 1 << 20  # of a .json or .txt in a tar: larger ones are no notes


@dataclass(frozen=True)
class Said:
    """What is known of one picture; None where nothing is said."""

    prompt: str | None = None
    batch: str | None = None
    generator: str = ""
    group: str | None = None
    concept: str | None = None
    language: str | None = None
    seed: str | None = None
    blocked: bool | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Said:
        """What a row says: an empty prompt is one, other empty cells say nothing.

        >>> Said.of({"text": "", "batch": 3, "blocked": "false"}).blocked
        False
        """
        rest = {k: _text(row.get(k)) or None for k in ("batch", "group", "concept", "language")}
        return cls(
            prompt=next((_text(row[p]) for p in _PROMPTS if row.get(p) is not None), None),
            generator=_text(row.get("generator")) or "",
            seed=_text(row.get("seed")) or None,
            blocked=_flag(row.get("blocked")),
            **rest,
        )


def read_metadata(data: bytes, suffix: str) -> dict[str, Said]:
    """What ImageFolder metadata say of files, by ``file_name``; ValueError where they are not that.

    >>> read_metadata(b'{"file_name": "a.png", "prompt": ""}', ".jsonl")["a.png"].prompt
    ''
    """
    return {name: Said.of(row) for name, row in metadata_rows(data, suffix, _COLUMNS).items()}


def read_members(tar: Path, members: Sequence[TarMember]) -> dict[str, Said]:
    """What is said of a tar's pictures, by their names without suffix.

    By the parquet beside the tar where there is one, else by .json and .txt members. Raises
    `ShardError` where the parquet cannot be read.
    """
    beside = tar.with_suffix(".parquet")
    if beside.is_file():
        try:
            there = pl.read_parquet_schema(beside)
            wanted = ["key", *(c for c in _COLUMNS if c in there)]
            rows = pl.read_parquet(beside, columns=wanted).iter_rows(named=True)
            return {str(row["key"]): Said.of(row) for row in rows}
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ShardError(f"{beside}: not a table with a key a picture ({reason})") from None
    found: dict[str, dict[str, Any]] = {}
    for m in members:
        kind = m.path.suffix.lower()
        if kind in (".json", ".txt") and m.size <= _MOST_MEMBER:
            row = found.setdefault(str(m.path.with_suffix("")), {})
            text = m.read().decode("utf-8", "replace")
            row.update(_json(text) if kind == ".json" else {"text": text})
    return {key: Said.of(row) for key, row in found.items()}


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}  # notes that cannot be read say nothing; the picture is still there
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    return None if value is None else escaped(str(value))


def _flag(value: object) -> bool | None:
    word = str(value).strip().lower()
    return True if word in _YES else False if word in _NO else None
