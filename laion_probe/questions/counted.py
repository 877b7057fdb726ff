"""What a filter run has counted, in the shape in which questions are put to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.counts import Cell, UnitCounts
from laion_probe.exclusion import Design, Exclusion

__all__ = ["Cells", "Counted"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_Sums = dict[tuple[str, int, int], int]  # (level, hits, blind) -> rows


@dataclass(frozen=True)
class Cells:
    """The cells of one group: arrays of shape (c,); ``levels`` names what ``level`` indexes.

    ``unit`` numbers the units that were read, ``n_units`` of them: one in all in a full scan, where
    nothing depends on how rows lie in units.
    """

    levels: tuple[str, ...]
    level: Ints
    hits: Ints
    blind: Ints
    n: Ints
    unit: Ints
    n_units: int

    def by_unit(self, chosen: Bools) -> Ints:
        """Rows in the chosen cells, (u,)."""
        sums = np.bincount(self.unit[chosen], weights=self.n[chosen], minlength=self.n_units)
        return sums.astype(np.int64)

    def total(self, chosen: Bools) -> int:
        """Rows in the chosen cells."""
        return int(self.n[chosen].sum())

    def exclusion(self, mine: Bools, removed: Bools) -> Exclusion:
        """Rows of ``mine`` that are removed, against the others."""
        return Exclusion(
            removed=self.by_unit(mine & removed),
            n=self.by_unit(mine),
            removed_rest=self.by_unit(~mine & removed),
            n_rest=self.by_unit(~mine),
        )


class Counted:
    """All cells of a run, by group; ``design`` is what intervals are reckoned by.

    In a full scan all units are summed up, and nothing has a sampling error.
    """

    def __init__(self, n_units_population: int, level: float, *, sampled: bool) -> None:
        self.sampled = sampled
        self.design = Design(n_units_population if sampled else 1, level)
        self.n_read = 0
        self._units: list[dict[str, _Sums]] = [] if sampled else [{}]

    def add(self, counts: UnitCounts) -> None:
        """The next unit."""
        self.n_read += 1
        if self.sampled:
            self._units.append({})
        self.add_cells(counts.cells)

    def add_cells(self, cells: Iterable[Cell]) -> None:
        """Counts of the last unit."""
        groups = self._units[-1]
        for group, level, hits, blind, n in cells:
            sums, key = groups.setdefault(group, {}), (level, hits, blind)
            sums[key] = sums.get(key, 0) + n

    def cells(self, group: str) -> Cells:
        """The cells of one group, in a fixed order."""
        found = sorted(
            (*key, n, unit)
            for unit, groups in enumerate(self._units)
            for key, n in groups.get(group, {}).items()
        )
        levels = tuple(sorted({f[0] for f in found}))
        place = {level: i for i, level in enumerate(levels)}
        rows = [(place[level], *rest) for level, *rest in found]
        level, hits, blind, n, unit = np.array(rows, dtype=np.int64).reshape(-1, 5).T
        return Cells(levels, level, hits, blind, n, unit, len(self._units))
