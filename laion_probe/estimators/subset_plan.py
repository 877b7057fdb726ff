"""A subset of a given size by weights: systematic sampling with unequal chances.

Rows of one cell lie together, in random order, and every 1/n of the weight one is taken (Madow
1949; Särndal, Swensson, Wretman 1992, ch. 3.6): the size is exact, each row has the chance that its
weight asks for, and each cell has its number up to one row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["chances", "draw_subset", "largest_exact"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def largest_exact(weight: Floats) -> int:
    """The most rows that a subset can have in which every row's chance is as its weight asks.

    With more, the heaviest rows are all in, and their levels fall behind their targets.

    >>> largest_exact(np.array([2.0, 1.0, 1.0]))
    2
    """
    return int(weight.sum() / weight.max() * (1 + 1e-12))


def chances(weight: Floats, n: int) -> Floats:
    """Each row's chance of being among ``n``: in proportion to weight, and never above 1.

    Rows whose share would be more than 1 are certain, and the others share what is left. ValueError
    where fewer than ``n`` rows have any weight.
    """
    if int((weight > 0).sum()) < n or n < 1:
        raise ValueError(f"{int((weight > 0).sum())} rows have weight: a subset of {n} needs more")
    chance = np.zeros(len(weight))
    free = weight > 0
    while True:
        left = n - int((~free & (weight > 0)).sum())
        chance[free] = weight[free] * (left / float(weight[free].sum()))
        over = free & (chance >= 1)
        chance[over] = 1.0
        if not over.any():
            return chance
        free &= ~over
        if not free.any():
            return chance


def draw_subset(chance: Floats, cell: Ints, rng: np.random.Generator) -> Ints:
    """The places of the rows that are drawn, rising; as many as the chances sum to.

    >>> place = draw_subset(np.full(10, 0.4), np.arange(10) // 5, np.random.default_rng(0))
    >>> len(place), int((place < 5).sum())
    (4, 2)
    """
    order = np.lexsort((rng.random(len(chance)), cell))
    n = round(float(chance.sum()))
    ends = np.cumsum(chance[order])
    ends *= n / ends[-1]  # sums of chances are off by rounding
    # a row is taken where a point u, u + 1, ... lies in its part of the line; u is below 1
    taken = np.searchsorted(ends, rng.random() + np.arange(n), side="right")
    return np.sort(order[np.minimum(taken, len(order) - 1)])
