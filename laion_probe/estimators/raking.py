"""Weights that give rows the margins that somebody asked for: iterative proportional fitting.

Of all weights with these margins, raking takes those nearest to the weights at the start in
Kullback-Leibler divergence (Deming and Stephan 1940; Ireland and Kullback 1968). With a largest
weight it is the truncated form of Deville and Särndal (1992, JASA 87, case 7): the same divergence
under the bound, by coordinate ascent on its dual. Rows of the same levels get the same weight, so
all is done on cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Cost",
    "Margin",
    "Problem",
    "Raked",
    "Watch",
    "cells_of",
    "cost",
    "margins_after",
    "rake",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Told the sweeps that are done and the error that is left.
Watch = Callable[[int, float], None]

#: Below so many possible cells they are counted in a table, not by sorting rows.
_TABLE = 1 << 24
#: Sweeps between two looks at the progress, and the part of the error that must then be left.
_LOOK, _PROGRESS = 100, 0.8
#: Where the bound keeps a target out of reach, factors grow without end.
_HUGE = 1e100


@dataclass(frozen=True)
class Margin:
    """What share each level of one variable is to have: ``target`` (L,), which sums to 1."""

    name: str
    levels: tuple[str, ...]
    target: Floats


@dataclass(frozen=True)
class Problem:
    """C cells of rows and the margins that they are to have.

    ``level[v, c]`` is the level of margin v that cell c has; ``n[c]`` the rows of the cell, or the
    sum of the weights that they start from. ``most`` bounds every weight, in units of the mean.
    """

    margins: tuple[Margin, ...]
    level: Ints
    n: Floats
    most: float = math.inf

    def __post_init__(self) -> None:
        if self.level.shape != (len(self.margins), len(self.n)):
            raise ValueError("level must have shape (margins, cells)")
        if any(abs(float(m.target.sum()) - 1) > 1e-9 or (m.target < 0).any() for m in self.margins):
            raise ValueError("the targets of a margin must be shares that sum to 1")
        if (self.n < 0).any() or self.n.sum() <= 0:
            raise ValueError("cells must hold rows")


@dataclass(frozen=True)
class Raked:
    """``weight[c]`` of each row of cell c, 1 on average over rows.

    ``error`` is the largest distance of a margin's share from its target after ``sweeps`` sweeps;
    ``reached`` says whether it is within the tolerance.
    """

    weight: Floats
    error: float
    sweeps: int
    reached: bool


@dataclass(frozen=True)
class Cost:
    """What weights cost, over the rows that they are of.

    ``effective`` is Kish's (1965) (sum w)² / sum w²: so many rows of equal weight tell as much
    about what the weights do not depend on. ``largest`` and ``median`` are in units of the mean;
    ``n_without`` rows have weight 0.
    """

    n: int
    effective: float
    largest: float
    median: float
    n_without: int

    @property
    def design_effect(self) -> float:
        """What variances are multiplied by: n / effective."""
        return self.n / self.effective


def cells_of(codes: Ints, sizes: Sequence[int]) -> tuple[Ints, Ints, Ints]:
    """The cells of N rows with ``codes`` (V, N), levels of V variables with ``sizes`` levels.

    Gives the levels of C cells (V, C), the rows in each (C,), and each row's cell (N,).

    >>> level, n, cell = cells_of(np.array([[0, 1, 0], [1, 1, 1]]), (2, 2))
    >>> level.tolist(), n.tolist(), cell.tolist()
    ([[0, 1], [1, 1]], [2, 1], [0, 1, 0])
    """
    cell, n_cells = np.zeros(codes.shape[1], np.int64), 1
    level = np.zeros((0, 1), np.int64)
    # numbered anew with each variable: all possible cells may be more than 2^63
    for code, size in zip(codes, sizes, strict=True):
        there, cell = _numbered(cell * size + code, n_cells * size)
        level = np.vstack([level[:, there // size], there % size])
        n_cells = len(there)
    return level, np.bincount(cell, minlength=n_cells), cell


def _numbered(number: Ints, possible: int) -> tuple[Ints, Ints]:
    """The numbers that occur, rising, of those below ``possible``; and each one's place in them."""
    if possible > max(_TABLE, 4 * len(number)):
        there, place = np.unique(number, return_inverse=True)
        return there, place
    there = np.flatnonzero(np.bincount(number, minlength=possible))
    place_of = np.zeros(possible, np.int64)
    place_of[there] = np.arange(len(there))
    return there, place_of[number]


def rake(
    problem: Problem,
    tolerance: float = 1e-9,
    sweeps: int = 20_000,
    progress: float = _PROGRESS,
    watch: Watch = lambda sweep, error: None,
) -> Raked:
    """Weights of the cells by which every margin has its target, as near as may be to equal ones.

    Ends where all margins are within ``tolerance`` (of shares), or where a hundred sweeps leave
    more than ``progress`` of the error: then ``reached`` is False, and
    `laion_probe.estimators.raking_feasibility` says why. ``watch`` is told the sweeps and the error
    every hundred sweeps. A level of target 0 gets weight 0. Weights do not depend on the order of
    the margins where it is reached.

    >>> sex = Margin("sex", ("w", "m"), np.array([0.5, 0.5]))
    >>> found = rake(Problem((sex,), np.array([[0, 1]]), np.array([10.0, 30.0])))
    >>> found.weight.round(3).tolist(), found.reached
    ([2.0, 0.667], True)
    """
    mass = problem.n / problem.n.sum()
    factor = np.ones(len(mass))
    for margin, level in zip(problem.margins, problem.level, strict=True):
        factor[margin.target[level] == 0] = 0
    error, before, sweep = _error(problem, mass, factor), math.inf, 0
    while error > tolerance and sweep < sweeps:
        for margin, level in zip(problem.margins, problem.level, strict=True):
            by = _scale(margin.target, level, mass, factor, problem.most)
            factor = np.minimum(factor * by[level], _HUGE)
        sweep += 1
        error = _error(problem, mass, factor)
        if sweep % _LOOK == 0:
            watch(sweep, error)
            if error > progress * before:
                break
            before = error
    weight = np.minimum(factor, problem.most)
    return Raked(weight, error, sweep, error <= tolerance)


def margins_after(problem: Problem, weight: Floats) -> list[Floats]:
    """The share of each level of each margin, by these weights of the cells."""
    mass = problem.n / problem.n.sum() * weight
    return [
        np.asarray(np.bincount(level, mass, minlength=len(margin.levels)) / mass.sum())
        for margin, level in zip(problem.margins, problem.level, strict=True)
    ]


def cost(weight: Floats, n: Ints | None = None) -> Cost:
    """What these weights cost; ``n`` rows have each (default: one).

    >>> cost(np.array([2.0, 2 / 3]), np.array([10, 30])).effective
    30.0
    """
    rows = np.ones(len(weight), np.int64) if n is None else n
    total = float(rows @ weight)
    order = np.argsort(weight, kind="stable")
    reached = np.cumsum(rows[order])
    mean = total / float(rows.sum())
    return Cost(
        n=int(rows.sum()),
        effective=round(total**2 / float(rows @ (weight * weight)), 9),
        largest=float(weight[rows > 0].max()) / mean,
        median=float(weight[order][np.searchsorted(reached, rows.sum() / 2)]) / mean,
        n_without=int(rows[weight == 0].sum()),
    )


def _error(problem: Problem, mass: Floats, factor: Floats) -> float:
    """The largest distance of a level's share from its target; weights need not sum to 1 yet."""
    now = mass * np.minimum(factor, problem.most)
    return max(
        float(np.abs(np.bincount(level, now, minlength=len(m.levels)) - m.target).max())
        for m, level in zip(problem.margins, problem.level, strict=True)
    )


def _scale(target: Floats, level: Ints, mass: Floats, factor: Floats, most: float) -> Floats:
    """What each level's factors are multiplied by, so that the bounded weights sum to its target.

    Without a bound, target over sum. With one, cells that would pass it are held at it and the
    others take the rest; more may then pass, so it is done again until none does.
    """
    size = len(target)
    total = np.bincount(level, mass * factor, minlength=size)
    by = np.divide(target, total, out=np.ones(size), where=total > 0)
    if math.isinf(most):
        return by
    held = np.zeros(len(factor), bool)
    while True:
        over = (factor * by[level] > most) & ~held
        if not over.any():
            return by
        held |= over
        free = np.bincount(level, np.where(held, 0, mass * factor), minlength=size)
        left = target - most * np.bincount(level, np.where(held, mass, 0), minlength=size)
        # where nothing is free, or nothing is left for it, the level is at the bound as a whole
        by = np.divide(left, free, out=by, where=(free > 0) & (left > 0))
