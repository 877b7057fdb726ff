"""Mergeable partial counts: what a scan adds up.

Rows are counted by *pattern*: the set of steps that would remove the row and the set of steps that
cannot be evaluated on it, both as bit masks. Everything about survival is a sum over patterns, so a
scan needs to keep nothing else about the rows that it has passed. Each declared group (the levels
of a tag, say) is counted by pattern too; groups are not crossed with each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from laion_probe.errors import MergeConflict

__all__ = ["ALL", "Cell", "Key", "Tally", "UnitCounts"]

#: The group that every row is in.
ALL = ""


class Key(NamedTuple):
    """What rows are counted by.

    Bit i of ``hits``: step i removes the row; of ``blind``: step i cannot be evaluated on it.
    """

    group: str
    level: str
    hits: int
    blind: int


#: A key and the number of rows that have it.
Cell = tuple[str, str, int, int, int]


@dataclass(frozen=True)
class UnitCounts:
    """The table of integers of one unit: cells in their one order, each key once."""

    unit: str
    cells: tuple[Cell, ...]

    @classmethod
    def of(cls, unit: str, cells: Iterable[Cell]) -> UnitCounts:
        """Sums equal keys and puts them into order."""
        sums: dict[tuple[str, str, int, int], int] = {}
        for group, level, hits, blind, n in cells:
            key = (group, level, hits, blind)
            sums[key] = sums.get(key, 0) + n
        return cls(unit, tuple((*key, sums[key]) for key in sorted(sums)))

    @property
    def n_rows(self) -> int:
        """Rows of the unit."""
        return sum(cell[4] for cell in self.cells if cell[0] == ALL)

    def digest(self) -> bytes:
        """Eight bytes that differ where the numbers do."""
        return hashlib.sha256(self.to_json()).digest()[:8]

    def to_json(self) -> bytes:
        """The cells as JSON."""
        return json.dumps(self.cells, ensure_ascii=False).encode("utf-8", "surrogatepass")

    @classmethod
    def from_json(cls, unit: str, data: bytes) -> UnitCounts:
        """What `to_json` gave."""
        cells = json.loads(data.decode("utf-8", "surrogatepass"))
        return cls(unit, tuple((g, level, h, b, n) for g, level, h, b, n in cells))


@dataclass
class Tally:
    """The sum of many units: totals, and a digest of each unit.

    A union of units: adding is associative, commutative and idempotent, and a unit that comes again
    with other numbers is a `MergeConflict`.

    >>> tally = Tally()
    >>> tally.add(UnitCounts.of("u", [("", "", 1, 0, 3)]))
    >>> tally.add(UnitCounts.of("u", [("", "", 1, 0, 3)]))
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
            self.add_cells(unit.cells)

    def add_cells(self, cells: Iterable[Cell]) -> None:
        """Take in counts that belong to no one unit."""
        for group, level, hits, blind, n in cells:
            key = Key(group, level, hits, blind)
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
