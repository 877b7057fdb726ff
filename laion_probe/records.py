"""The canonical columns of an image-text row, and the names they carry in the wild.

A shard is read into these columns whatever it calls them; a column that is not there is null, and
a step that needs it says *not evaluable*. Where names do not settle which column is which, sampled
values do; where those do not either, it is an error, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from laion_probe.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "CANONICAL",
    "ColumnMap",
    "guess_filters",
    "is_url",
    "known_columns",
    "map_columns",
    "names_settle",
    "swapped_sizes",
]

#: Canonical column -> its type, as polars names it.
CANONICAL: Mapping[str, str] = MappingProxyType(
    {
        "url": "String",
        "text": "String",
        "width": "Int64",
        "height": "Int64",
        "original_width": "Int64",
        "original_height": "Int64",
        "similarity": "Float64",
        "similarity_l14": "Float64",
        "punsafe": "Float64",
        "pwatermark": "Float64",
        "aesthetic": "Float64",
        "nsfw_score": "Float64",
        "language": "String",
        "nsfw": "String",
        "uid": "String",
    }
)

# Names seen in LAION-400M, laion2B-*-joined, relaion2B-*, DataComp, COYO, img2dataset,
# clip-retrieval and WebDatasets (a .txt member); compared without regard to case, first one first.
_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "url": ("url", "image_url", "img_url"),
        "text": ("text", "caption", "alt", "alt_text", "txt"),
        "width": ("width", "original_width"),
        "height": ("height", "original_height"),
        "original_width": ("original_width",),
        "original_height": ("original_height",),
        "similarity": ("similarity", "clip_b32_similarity_score", "clip_similarity_vitb32"),
        "similarity_l14": ("clip_l14_similarity_score", "clip_similarity_vitl14"),
        "punsafe": ("punsafe",),
        "pwatermark": ("pwatermark", "watermark_score"),
        "aesthetic": ("aesthetic", "aesthetic_score", "aesthetic_score_laion_v2"),
        "nsfw_score": ("nsfw_score_opennsfw2",),
        "language": ("language", "lang"),
        "nsfw": ("nsfw",),
        "uid": ("uid",),
    }
)

_URL = re.compile(r"(?:https?|ftp|s3|gs|data)://\S+|data:image/\S+", re.IGNORECASE)
_WORDS = re.compile(r"\w\S*\s+\S*\w")  # two words
_WORD_OF_ANY_SCRIPT = re.compile(r"[^\W\d_]*[^\W\d_\x00-\x7f][^\W\d_]*")  # for unspaced scripts


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Which column of a file serves each canonical one; ``source[canonical] = name``.

    ``notes`` says, in a sentence each, what was decided by content and not by name.
    """

    source: Mapping[str, str] = field(hash=False)
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Canonical columns that the file does not have."""
        return tuple(c for c in CANONICAL if c not in self.source)


def map_columns(
    names: Iterable[str],
    where: str,
    override: Mapping[str, str] = MappingProxyType({}),
    samples: Mapping[str, Sequence[Any]] | None = None,
) -> ColumnMap:
    """Map a file's column names to the canonical ones.

    ``where`` opens the messages of errors, unless it is empty.
    ``override`` (canonical -> name in the file) comes first, then known names, then, where
    ``samples`` (some values of each string column) are given, content: a text or url column of an
    unknown name is found by its values, and a text column that holds URLs gives way to the one
    that holds captions. Raises `ConfigError` for an override of an unknown canonical column, and
    `SchemaError` when there is no caption column, when several could be it, or when an override
    names a column that is not there. A url column is not required.

    >>> map_columns(["URL", "TEXT", "HEIGHT"], "a.parquet").source["text"]
    'TEXT'
    >>> map_columns(["a", "b"], "a.tsv", {"text": "b"}).source
    {'text': 'b'}
    """
    available = list(names)
    fixed = _overridden(available, where, override)
    source = {**known_columns(available), **fixed}
    notes: list[str] = []
    if samples is not None:
        _by_content(source, fixed, _kinds(samples), notes, where)
    if "text" not in source:
        raise SchemaError(
            f"{_at(where)}no column for text among {', '.join(available) or 'none'}; "
            f"known names are {', '.join(_ALIASES['text'])} (any case); "
            "name the one that holds captions with --column text=NAME"
        )
    return ColumnMap({c: source[c] for c in CANONICAL if c in source}, tuple(notes))


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def names_settle(names: Iterable[str], override: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Whether names alone say which columns hold captions and URLs, so that no value is needed."""
    have = known_columns(names).keys() | override.keys()
    return {"text", "url"} <= have


def _overridden(available: list[str], where: str, override: Mapping[str, str]) -> dict[str, str]:
    lower = {n.lower(): n for n in reversed(available)}
    fixed = {}
    for canonical, name in override.items():
        if canonical not in CANONICAL:
            raise ConfigError(
                f"--column {canonical}={name}: unknown column '{canonical}': "
                f"known: {', '.join(CANONICAL)}"
            )
        found = name if name in available else lower.get(name.lower())
        if found is None:
            raise SchemaError(
                f"{_at(where)}no column {name} (--column {canonical}={name}) among "
                f"{', '.join(available) or 'none'}"
            )
        fixed[canonical] = found
    return fixed


def known_columns(available: Iterable[str]) -> dict[str, str]:
    """Canonical -> name, for those of the names that are known without looking at values."""
    available = list(available)
    lower = {n.lower(): n for n in reversed(available)}
    return {
        canonical: lower[alias]
        for canonical, aliases in _ALIASES.items()
        for alias in reversed(aliases)
        if alias in lower
    }


def _kinds(samples: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """For each sampled column "url", "caption" or "": what most of its values look like."""
    kinds = {}
    for name, values in samples.items():
        n_urls = sum(isinstance(v, str) and is_url(v) for v in values)
        n_captions = sum(isinstance(v, str) and _is_caption(v) for v in values)
        half = len(values) / 2
        kinds[name] = "url" if n_urls > half else "caption" if n_captions > half else ""
    return kinds


def is_url(value: str) -> bool:
    """Whether a value is one URL, from end to end."""
    return _URL.fullmatch(value.strip()) is not None


def _is_caption(value: str) -> bool:
    value = value[:500].strip()
    if not value or value[0] in "{[" or is_url(value):
        return False
    return bool(_WORDS.search(value) or _WORD_OF_ANY_SCRIPT.search(value))


def _by_content(
    source: dict[str, str],
    fixed: Mapping[str, str],
    kinds: Mapping[str, str],
    notes: list[str],
    where: str,
) -> None:
    """Fill or correct text, then url, in ``source`` by what the columns hold."""
    others = {n for c, n in source.items() if c not in ("text", "url")}
    text = source.get("text")
    if "text" not in fixed and (text is None or kinds.get(text) == "url"):
        taken = others | {fixed[c] for c in fixed}
        found = _only(kinds, "caption", taken, "text", where)
        if found is not None:
            why = "no column has a known name" if text is None else f"{text} holds mostly URLs"
            notes.append(f"text is read from {found} by its content: {why}")
            source["text"] = found
        elif text is not None:
            notes.append(f"text is read from {text} by its name, though it holds mostly URLs")
    url = source.get("url")
    if "url" not in fixed and (url is None or url == source.get("text")):
        source.pop("url", None)
        taken = others | {source[c] for c in ("text",) if c in source}
        found = _only(kinds, "url", taken, "url", where)
        if found is not None:
            why = "no column has a known name" if url is None else f"{url} holds captions"
            notes.append(f"url is read from {found} by its content: {why}")
            source["url"] = found


def _only(
    kinds: Mapping[str, str], kind: str, taken: set[str], canonical: str, where: str
) -> str | None:
    found = [name for name, k in kinds.items() if k == kind and name not in taken]
    if len(found) > 1:
        raise SchemaError(
            f"{_at(where)}{canonical} could be {' or '.join(found)}, by their content; "
            f"say which with --column {canonical}=NAME"
        )
    return found[0] if found else None


def swapped_sizes(
    width: pl.Series, height: pl.Series, original_width: pl.Series, original_height: pl.Series
) -> tuple[int, int]:
    """How many rows' two sizes agree as they are, and how many agree only when exchanged.

    LAION's raw releases carry WIDTH and HEIGHT swapped; beside sizes measured on the pictures that
    shows. Squares cannot tell and rows with a null are not evaluable: both are ignored.

    >>> import polars as pl
    >>> w, h = pl.Series([640, 5, 7]), pl.Series([480, 5, 9])
    >>> swapped_sizes(h, w, w, h)
    (0, 2)
    """
    tells = (width != height) & (original_width != original_height)
    same = (width == original_width) & (height == original_height) & tells
    exchanged = (width == original_height) & (height == original_width) & tells
    return int(same.sum()), int(exchanged.sum())


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
