"""The canonical columns of an image-text row, and the names they carry in the wild.

A shard is read into these columns whatever it calls them; a column that is not there is null, and
a step that needs it says *not evaluable*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from laion_probe.errors import SchemaError

__all__ = ["CANONICAL", "ColumnMap", "guess_filters", "map_columns"]

#: Canonical column -> its type, as polars names it.
CANONICAL: Mapping[str, str] = MappingProxyType(
    {
        "url": "String",
        "text": "String",
        "width": "Int64",
        "height": "Int64",
        "similarity": "Float64",
        "punsafe": "Float64",
        "pwatermark": "Float64",
        "aesthetic": "Float64",
        "language": "String",
        "nsfw": "String",
    }
)

# Names seen in LAION-400M, laion2B-*-joined, relaion2B-*, DataComp, COYO, img2dataset and
# clip-retrieval; compared without regard to case.
_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "url": ("url", "image_url"),
        "text": ("text", "caption", "alt", "alt_text"),
        "width": ("width", "original_width"),
        "height": ("height", "original_height"),
        "similarity": ("similarity", "clip_b32_similarity_score", "clip_similarity_vitb32"),
        "punsafe": ("punsafe",),
        "pwatermark": ("pwatermark", "watermark_score"),
        "aesthetic": ("aesthetic", "aesthetic_score", "aesthetic_score_laion_v2"),
        "language": ("language",),
        "nsfw": ("nsfw",),
    }
)


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Which column of a file serves each canonical one; ``source[canonical] = name``."""

    source: Mapping[str, str]

    @property
    def missing(self) -> tuple[str, ...]:
        """Canonical columns that the file does not have."""
        return tuple(c for c in CANONICAL if c not in self.source)


def map_columns(names: Iterable[str], where: str) -> ColumnMap:
    """Map a file's column names to the canonical ones.

    Raises `SchemaError` when there is no caption column: without text no question can be asked.

    >>> map_columns(["URL", "TEXT", "HEIGHT"], "a.parquet").source["text"]
    'TEXT'
    """
    available = list(names)
    lower = {n.lower(): n for n in reversed(available)}
    source = {
        canonical: lower[alias]
        for canonical, aliases in _ALIASES.items()
        for alias in reversed(aliases)
        if alias in lower
    }
    needed = [c for c in ("url", "text") if c not in source]
    if needed:
        raise SchemaError(
            f"{where}: no column for {' and '.join(needed)} among "
            f"{', '.join(available) or 'none'}; "
            f"known names are {', '.join(a for c in needed for a in _ALIASES[c])} (any case); "
            "rename the column, or give shards of a LAION-like schema"
        )
    return ColumnMap(MappingProxyType(source))


def guess_filters(names: Iterable[str]) -> str:
    """Name the published filter that a schema suggests, or "unknown".

    A guess from names alone, to be said as such: a raw pool may borrow a filtered set's schema.

    >>> guess_filters(["SAMPLE_ID", "URL", "TEXT", "NSFW", "similarity", "LICENSE"])
    'laion400m'
    """
    have = {n.lower() for n in names}
    if {"sample_id", "license", "nsfw"} <= have:
        return "laion400m"
    if {"punsafe", "pwatermark", "hash"} <= have and "language" not in have:
        return "laion5b-en"
    return "unknown"
