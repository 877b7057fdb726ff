"""What a filter run has counted, in the shape in which questions are put to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.counts import Cell, UnitCounts
from laion_probe.exclusion import Design, Exclusion, share_of_units
from laion_probe.results import Estimate

__all__ = ["Cells", "Counted"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_READ = "full count of the row groups that could be read"
_NOT_IN = "row groups that could not be read are not in it"
_FAILED = "rows of row groups that could not be read may all be hits, or none"
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

    def exclusion(self, mine: Bools, removed: Bools, among: Bools) -> Exclusion:
        """Rows of ``mine`` that are removed, against the others ``among`` which they are."""
        rest = ~mine & among
        return Exclusion(
            removed=self.by_unit(mine & removed),
            n=self.by_unit(mine),
            removed_rest=self.by_unit(rest & removed),
            n_rest=self.by_unit(rest),
        )


class Counted:
    """All cells of a run, by group; ``design`` is what intervals are reckoned by.

    In a full scan all units are summed up, and nothing has a sampling error. ``lost`` is how many
    rows lie in units that could not be read, or a guess; of a sample, they are among those drawn.
    """

    def __init__(self, n_units_population: int, level: float, *, sampled: bool) -> None:
        self.sampled = sampled
        self.design = Design(n_units_population if sampled else 1, level)
        self._lost: list[float] = []
        self._units: list[dict[str, _Sums]] = [] if sampled else [{}]

    def add(self, counts: UnitCounts) -> None:
        """The next unit."""
        if self.sampled:
            self._units.append({})
        self.add_cells(counts.cells)

    def add_cells(self, cells: Iterable[Cell]) -> None:
        """Counts of the last unit."""
        groups = self._units[-1]
        for group, level, hits, blind, n in cells:
            sums, key = groups.setdefault(group, {}), (level, hits, blind)
            sums[key] = sums.get(key, 0) + n

    def lose(self, n_rows: float) -> None:
        """One more unit that could not be read, of about so many rows."""
        self._lost.append(n_rows)

    @property
    def lost(self) -> float:
        """Rows of all units that could not be read."""
        return sum(self._lost)

    def share(self, hits: Ints, n: Ints) -> Estimate:
        """The share of ``hits`` among ``n`` rows, (u,) each; lost rows enter as bounds.

        In a sample the interval is the hull of three: of what was read, and with the lost rows all
        misses and all hits.
        """
        found = share_of_units(hits, n, self.design)
        if not self._lost or found.value is None:
            return found
        if self.sampled:
            return self._with_lost(found, hits, n)
        k, of = int(hits.sum()), int(n.sum()) + self.lost
        ends = {"low": k / of, "high": (k + self.lost) / of}
        return found.model_copy(update=ends | {"method": f"{_READ}, bounds for those that failed"})

    def _with_lost(self, found: Estimate, hits: Ints, n: Ints) -> Estimate:
        lost = np.array([max(1, round(n)) for n in self._lost], dtype=np.int64)
        rows = np.concatenate([n, lost])
        three = [found] + [
            share_of_units(np.concatenate([hits, of_lost]), rows, self.design)
            for of_lost in (np.zeros_like(lost), lost)
        ]
        lows, highs = [e.low for e in three], [e.high for e in three]
        ends = {
            "low": None if None in lows else min(x for x in lows if x is not None),
            "high": None if None in highs else max(x for x in highs if x is not None),
        }
        said = {
            "method": f"{found.method}; bounds for row groups that failed",
            "assumptions": (*found.assumptions, _FAILED),
        }
        return found.model_copy(update=ends | said)

    def compare(self, how: Callable[[Exclusion, Design], Estimate], counts: Exclusion) -> Estimate:
        """A difference or ratio of risks of removal."""
        found = how(counts, self.design)
        if not self.lost or found.value is None:
            return found
        if self.sampled:
            return found.model_copy(update={"method": f"{found.method}; {_NOT_IN}"})
        return found.model_copy(update={"method": f"{_READ}; those that failed are not in it"})

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
