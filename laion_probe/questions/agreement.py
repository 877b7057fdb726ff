"""How language detectors agree on one random sample of the captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import FiltersConfig
from laion_probe.drawing import ENGLISH, agreement_of, pair_of
from laion_probe.estimate import count_share
from laion_probe.exclusion import Design, share_of_units
from laion_probe.filtering import FilterPlan
from laion_probe.filters_result import DetectorPair, Detectors, GroupAgreement
from laion_probe.language import primary
from laion_probe.questions.counted import Cells, Counted
from laion_probe.results import Estimate

__all__ = ["detectors"]

Bools = NDArray[np.bool_]

_CELLS = 40  # of a matrix of languages
_LENGTH = "length"
#: Captions of a sample of row groups are themselves sampled: no row group is read in full.
_MANY = 10**9


def detectors(
    config: FiltersConfig, plan: FilterPlan, counted: Counted, n_rows: int
) -> Detectors | None:
    """The comparison, or None where none was asked for or no caption fell into the sample."""
    english = counted.cells(ENGLISH)
    if not english.levels:
        return None
    compare = _Compare(config, plan, counted)
    names = plan.detectors
    return Detectors(
        names=names,
        n=english.total(english.level == 0),
        note="captions as given, before any cleaning, empty ones left out, chosen one by one by a "
        f"hash of the row ({plan.audited:.2%} of {n_rows:,} rows). Codes of one language agree: iw "
        "and he, zh-Hant and zh",
        english={
            name: compare.share(english, english.hits == 1, english.level == k)
            for k, name in enumerate(english.levels)
        },
        pairs=tuple(
            compare.pair(first, second)
            for i, first in enumerate(names)
            for second in names[i + 1 :]
        ),
    )


@dataclass(frozen=True)
class _Compare:
    config: FiltersConfig
    plan: FilterPlan
    counted: Counted

    def share(self, cells: Cells, hit: Bools, base: Bools) -> Estimate:
        """Of the captions in ``base``, those with ``hit``."""
        if self.counted.sampled:
            design = Design(_MANY, self.config.level)
            return share_of_units(cells.by_unit(hit & base), cells.by_unit(base), design)
        n = cells.total(base)
        # captions were chosen one by one, whatever row group they lie in
        population = max(n, round(n / self.plan.audited))
        return count_share(cells.total(hit & base), n, population, self.config.level)

    def pair(self, first: str, second: str) -> DetectorPair:
        """Two detectors."""
        cells = self.counted.cells(pair_of(first, second))
        pairs = [level.split(">") for level in cells.levels]
        counts = [cells.total(cells.level == k) for k in range(len(pairs))]
        matrix = sorted(
            ((a, b, n) for (a, b), n in zip(pairs, counts, strict=True)),
            key=lambda m: (-m[2], m[0], m[1]),
        )
        first_codes, second_codes = (
            pl.Series([p[i] for p in pairs], dtype=pl.String) for i in (0, 1)
        )
        same = primary(first_codes) == primary(second_codes)
        alike = np.isin(cells.level, same.arg_true().to_numpy())
        return DetectorPair(
            first=first,
            second=second,
            agree=self.share(cells, alike, np.ones(len(alike), dtype=bool)),
            matrix=tuple(matrix[:_CELLS]),
            n_left_out=sum(m[2] for m in matrix[_CELLS:]),
            levels=tuple(
                level
                for name in dict.fromkeys((_LENGTH, *self.plan.groups))
                for level in self._levels(first, second, name)
            ),
        )

    def _levels(self, first: str, second: str, group: str) -> list[GroupAgreement]:
        cells = self.counted.cells(agreement_of(first, second, group))
        out = []
        for k, level in enumerate(cells.levels):
            mine = cells.level == k
            n = cells.total(mine)
            few = n < self.config.min_count
            agree = None if few else self.share(cells, cells.hits == 1, mine)
            out.append(GroupAgreement(group=group, level=level, n=n, agree=agree))
        return out
