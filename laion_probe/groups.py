"""Groups of rows that a scan counts by: each gives every row one level, *unknown* included.

A group is chosen with ``--by``: a name, or ``words:WORDS`` for the captions that name something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from laion_probe.errors import ConfigError
from laion_probe.neighbourhood import keywords, names_concept
from laion_probe.registry import Registry
from laion_probe.steps import Batch

__all__ = ["GROUPS", "UNKNOWN", "Group", "load_group"]

#: The level of rows of which the group cannot be told.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Group:
    """A way to divide rows: ``levels`` maps a batch, after all steps, to a level a row (String).

    Captions are as given (``batch.column("text")``), not as rewritten.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    levels: Callable[[Batch], pl.Series]


GROUPS: Registry[Group] = Registry("group")

_LENGTHS = ((0, "empty"), (4, "1 to 4"), (20, "5 to 20"), (80, "21 to 80"), (300, "81 to 300"))


def load_group(name: str) -> Group:
    """The group of that name, or ``words:WORDS``. Raises `UnknownName` or `ConfigError`."""
    kind, colon, rest = name.partition(":")
    if kind == "words" and colon:
        wanted = keywords(rest)
        if not wanted:
            raise ConfigError(f"group '{name}' has no letters or digits: give words")

        def levels(batch: Batch) -> pl.Series:
            named = names_concept(batch.column("text"), wanted)
            return pl.select(
                pl.when(named).then(pl.lit("named")).otherwise(pl.lit("not"))
            ).to_series()

        return Group(name, f"captions that name “{rest.strip()}”", ("text",), levels)
    return GROUPS[name]


def _column(name: str) -> Callable[[Batch], pl.Series]:
    return lambda batch: batch.column(name).fill_null(UNKNOWN)


def _language(batch: Batch) -> pl.Series:
    if batch.language is None:
        return pl.repeat(UNKNOWN, batch.n, dtype=pl.String, eager=True)
    return batch.language


def _length(batch: Batch) -> pl.Series:
    n = batch.column("text").str.len_chars()
    level = pl.lit("over 300")
    for most, label in reversed(_LENGTHS):
        level = pl.when(n <= most).then(pl.lit(label)).otherwise(level)
    return pl.select(level).to_series()


for _group in (
    Group("nsfw", "the input's own NSFW tag", ("nsfw",), _column("nsfw")),
    Group("language-tag", "the input's own language tag", ("language",), _column("language")),
    Group("language", "language as the recipe's detector reads it", (), _language),
    Group("length", "characters of the caption as given", ("text",), _length),
):
    GROUPS.add(_group.name, _group)
