"""Mergeable partial counts: what a scan adds up.

Rows are counted by *pattern*: the set of drop steps that would remove the row and the set of steps
that cannot be evaluated on it, both as bit masks. Everything about survival is a sum over patterns,
so a scan needs to keep nothing else about the rows that it has passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from laion_probe.errors import MergeConflict

__all__ = ["Pattern", "PatternCounts"]

Pattern = tuple[int, int]  # (bit i: step i removes the row, bit i: step i is not evaluable)


@dataclass(frozen=True)
class PatternCounts:
    """Counts of rows by pattern, kept by unit so that merging twice changes nothing.

    ``merge`` is associative, commutative and idempotent; the same unit with other numbers is a
    `MergeConflict`.

    >>> a = PatternCounts({"u1": {(0, 0): 3}})
    >>> b = PatternCounts({"u2": {(0, 0): 1, (1, 0): 2}})
    >>> a.merge(b).total()
    {(0, 0): 4, (1, 0): 2}
    """

    by_unit: Mapping[str, Mapping[Pattern, int]] = field(default_factory=dict)

    def merge(self, other: PatternCounts) -> PatternCounts:
        """The union of both."""
        for unit in self.by_unit.keys() & other.by_unit.keys():
            if dict(self.by_unit[unit]) != dict(other.by_unit[unit]):
                raise MergeConflict(
                    f"unit {unit} was counted twice with different numbers; "
                    "delete the cache folder of this run and scan again"
                )
        return PatternCounts({**self.by_unit, **other.by_unit})

    def total(self) -> dict[Pattern, int]:
        """Rows by pattern over all units, in a fixed order."""
        sums: Counter[Pattern] = Counter()
        for counts in self.by_unit.values():
            sums.update(counts)
        return {p: sums[p] for p in sorted(sums)}

    def survivors(self, steps: Iterable[int]) -> int:
        """Rows that none of ``steps`` (bit positions) removes."""
        mask = sum(1 << s for s in steps)
        return sum(n for (hits, _), n in self.total().items() if not hits & mask)

    @property
    def n_rows(self) -> int:
        """All rows counted."""
        return sum(self.total().values())
