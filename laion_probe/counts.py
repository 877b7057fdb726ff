"""Mergeable partial counts: what a scan adds up.

Rows are counted by *pattern*: the set of steps that would remove the row and the set of steps that
cannot be evaluated on it, both as bit masks. Everything about survival is a sum over patterns, so a
scan needs to keep nothing else about the rows that it has passed. Each declared group (the levels
of a tag, say) is counted by pattern too; groups are not crossed with each other.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from laion_probe.errors import MergeConflict

__all__ = ["ALL", "SCHEMA", "Key", "Tally", "UnitCounts"]

#: The group that every row is in.
ALL = ""
#: Columns of the table of one unit.
SCHEMA = {
    "group": pl.String,
    "level": pl.String,
    "hits": pl.Int64,
    "blind": pl.Int64,
    "n": pl.Int64,
}


class Key(NamedTuple):
    """What rows are counted by.

    Bit i of ``hits``: step i removes the row; of ``blind``: step i cannot be evaluated on it.
    """

    group: str
    level: str
    hits: int
    blind: int


@dataclass(frozen=True)
class UnitCounts:
    """The table of integers of one unit: `SCHEMA`, sorted, each key once."""

    unit: str
    table: pl.DataFrame
    known_digest: bytes = b""

    @classmethod
    def of(cls, unit: str, table: pl.DataFrame) -> UnitCounts:
        """Sums equal keys and puts the rows into their one order."""
        keys = list(SCHEMA)[:-1]
        summed = table.cast(SCHEMA).group_by(keys).agg(pl.col("n").sum()).sort(keys)  # type: ignore[arg-type]
        return cls(unit, summed)

    @property
    def n_rows(self) -> int:
        """Rows of the unit."""
        return int(self.table.filter(pl.col("group") == ALL)["n"].sum())

    def digest(self) -> bytes:
        """Eight bytes that differ where the numbers do: of the table as an Arrow file."""
        if self.known_digest:
            return self.known_digest[:8]
        out = io.BytesIO()
        self.table.write_ipc(out)
        return hashlib.sha256(out.getvalue()).digest()[:8]


@dataclass
class Tally:
    """The sum of many units: totals, and a digest of each unit.

    A union of units: adding is associative, commutative and idempotent, and a unit that comes again
    with other numbers is a `MergeConflict`.

    >>> table = pl.DataFrame({"group": [""], "level": [""], "hits": [1], "blind": [0], "n": [3]})
    >>> tally = Tally()
    >>> tally.add(UnitCounts.of("u", table))
    >>> tally.add(UnitCounts.of("u", table))
    >>> tally.n_rows
    3
    """

    digests: dict[str, bytes] = field(default_factory=dict)
    counts: dict[Key, int] = field(default_factory=dict)
    n_units: int = 0

    def add(self, unit: UnitCounts) -> None:
        """Take in one unit."""
        digest = unit.digest()
        known = self.digests.setdefault(unit.unit, digest)
        if known != digest:
            raise MergeConflict(
                f"unit {unit.unit} was counted twice with different numbers; "
                "delete the cache folder of this run and scan again"
            )
        if len(self.digests) > self.n_units:  # it is new
            self.n_units += 1
            self.add_table(unit.table)

    def add_table(self, table: pl.DataFrame) -> None:
        """Take in counts that belong to no one unit."""
        for group, level, hits, blind, n in table.iter_rows():
            self.add_key(Key(group, level, hits, blind), n)

    def add_key(self, key: Key, n: int) -> None:
        """Take in rows of one key."""
        self.counts[key] = self.counts.get(key, 0) + n

    def total(self) -> dict[Key, int]:
        """Rows by key over all units, in a fixed order."""
        return {key: self.counts[key] for key in sorted(self.counts)}

    def sum(self, chosen: Callable[[Key], bool]) -> int:
        """Rows with a chosen key."""
        return sum(n for key, n in self.counts.items() if chosen(key))

    @property
    def n_rows(self) -> int:
        """All rows counted."""
        return self.sum(lambda key: key.group == ALL)
