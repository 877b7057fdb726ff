"""Why margins cannot be reached: a level that nobody has, margins that contradict, or the bound.

Answered by linear programmes over the cells (HiGHS through scipy; Huangfu and Hall 2018). Margins
that contradict are narrowed to an irreducible set by a deletion filter (Chinneck and Dravnieks
1991): without any one of them, the others could be reached.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, vstack

from laion_probe.estimators.raking import Problem, Raked, Watch, rake

__all__ = ["MOST_SWEEPS", "SLOW", "Conflict", "Wanted", "attainable", "held_up", "solve"]

Floats = NDArray[np.float64]

#: What the targets may be missed by for them to count as reached by a linear programme.
_SLACK = 1e-7
_TOLERANCE = 1e-6
#: Sweeps where they bring little each: margins that hardly can be reached.
_PATIENT = 30_000
#: The most sweeps of `solve`: 20 000 of plain fitting, and the patient ones.
MOST_SWEEPS = 20_000 + _PATIENT
#: So many sweeps are many: margins that can be had easily take tens.
SLOW = 100


@dataclass(frozen=True)
class Wanted:
    """One level's target: what was asked, and the share that it has."""

    margin: str
    level: str
    target: float
    share: float


@dataclass(frozen=True)
class Conflict:
    """Why targets cannot be reached together.

    ``nobody``: no row has the level. ``bound``: all can be, with a largest weight of ``least`` or
    more; ``wanted`` need more than was allowed. ``contradiction``: ``wanted`` cannot hold together,
    whatever the weights; with the others, the share of the last is from ``low`` to ``high``. In
    both, without any one of ``wanted`` the others could be had.
    """

    kind: Literal["nobody", "bound", "contradiction"]
    wanted: tuple[Wanted, ...]
    least: float = math.inf
    low: float = 0.0
    high: float = 1.0


def solve(problem: Problem, watch: Watch = lambda sweep, error: None) -> Raked | Conflict:
    """`rake`, or why it cannot be done.

    Where the margins leave some cells no weight at all, these get none; weights are then found for
    the others, which plain fitting only comes near to. Reached means within 1e-6 of a share.
    ``watch`` is `rake`'s; ``sweeps`` are all that were made, also those that came to nothing.

    >>> from laion_probe.estimators.raking import Margin
    >>> tone = Margin("tone", ("light", "dark"), np.array([0.5, 0.5]))
    >>> found = solve(Problem((tone,), np.array([[0]]), np.array([9.0])))
    >>> found.kind, found.wanted[0].level
    ('nobody', 'dark')
    """
    if nobody := _levels(problem, 1e-300, 0.0):
        return Conflict("nobody", nobody)
    found = rake(problem, watch=watch)
    if found.reached:
        return found
    if conflict := _conflict(problem):
        return conflict
    some = _support(problem)
    n = problem.n[some]
    # the bound is in units of the mean over all rows, of which those left are a part
    most = problem.most * float(n.sum() / problem.n.sum())
    rest = replace(problem, level=problem.level[:, some], n=n, most=most)
    part = rake(
        rest,
        _TOLERANCE / 10,
        _PATIENT,
        1.0,
        lambda sweep, error: watch(found.sweeps + sweep, error),
    )
    return _spread(problem, some, replace(part, sweeps=found.sweeps + part.sweeps))


def held_up(problem: Problem) -> tuple[str, ...]:
    """The margins that make fitting slow: without any one of them the others take few sweeps.

    Such targets can only just be had together: hardly any weight is left for some cells. Empty
    where no single margin is the reason.

    >>> from laion_probe.estimators.raking import Margin
    >>> half = np.array([0.5, 0.5])
    >>> margins = Margin("sex", ("w", "m"), half), Margin("tone", ("light", "dark"), half)
    >>> held_up(Problem(margins, np.array([[0, 1, 1], [0, 0, 1]]), np.array([4.0, 4.0, 2.0])))
    ('sex', 'tone')
    """
    found = []
    for v, margin in enumerate(problem.margins):
        margins = problem.margins[:v] + problem.margins[v + 1 :]
        rest = replace(problem, margins=margins, level=np.delete(problem.level, v, axis=0))
        if margins and rake(rest, _TOLERANCE, SLOW).reached:
            found.append(margin.name)
    return tuple(found)


def attainable(
    problem: Problem, margin: str, level: str, following: Sequence[str]
) -> tuple[float, float] | None:
    """The least and the most share that a level can have with all other margins as asked.

    Of its own margin, the levels ``following`` share what it leaves as they share the rows; others
    have their targets. Weights may be of any size. None where the other margins contradict, or
    nobody has a following level.

    >>> from laion_probe.estimators.raking import Margin
    >>> half = np.array([0.5, 0.5])
    >>> margins = Margin("sex", ("w", "m"), half), Margin("tone", ("light", "dark"), half)
    >>> women_are_light = Problem(margins, np.array([[0, 1, 1], [0, 0, 1]]), np.ones(3))
    >>> attainable(women_are_light, "tone", "dark", ["light"])
    (0.0, 0.5)
    """
    rows = _Rows.of(problem)
    place = {(w.margin, w.level): i for i, w in enumerate(rows.wanted)}
    at, free = place[margin, level], [place[margin, x] for x in following]
    share = np.array([rows.wanted[i].share for i in free])
    if share.sum() <= 0:
        return None
    # one more variable: the level's share, which takes from the others what they have of the rest
    whole = float(rows.target[at] + rows.target[free].sum())
    column, b = np.zeros((len(rows.target), 1)), rows.target.copy()
    column[at], b[at] = -1, 0
    column[free, 0] = share / share.sum()
    b[free] = column[free, 0] * whole
    a = hstack([rows.matrix, csr_array(column)], format="csr")
    ends = []
    for sign in (1.0, -1.0):
        cost = np.append(np.zeros(len(rows.mass)), sign)
        found = linprog(cost, A_eq=a, b_eq=b, bounds=(0, 1))
        if found.status != 0:
            return None
        ends.append(min(whole, max(0.0, sign * float(found.fun))))
    return ends[0], ends[1]


def _spread(problem: Problem, some: NDArray[np.bool_], part: Raked) -> Raked:
    """Weights of some of the cells as those of all, 1 on average."""
    weight = np.zeros(len(problem.n))
    weight[some] = part.weight * float(problem.n.sum() / problem.n[some].sum())
    return replace(part, weight=weight, reached=part.error <= _TOLERANCE)


def _levels(problem: Problem, least: float, most: float) -> tuple[Wanted, ...]:
    """Levels with a target of ``least`` or more whose share is at most ``most``."""
    mass = problem.n / problem.n.sum()
    found = []
    for margin, level in zip(problem.margins, problem.level, strict=True):
        share = np.bincount(level, mass, minlength=len(margin.levels))
        for name, target, there in zip(margin.levels, margin.target, share, strict=True):
            if target >= least and there <= most:
                found.append(Wanted(margin.name, name, float(target), float(there)))
    return tuple(found)


@dataclass(frozen=True)
class _Rows:
    """The constraints as a matrix (K, C) over shares of cells, with what each must sum to."""

    wanted: tuple[Wanted, ...]
    matrix: csr_array
    target: Floats
    mass: Floats

    @classmethod
    def of(cls, problem: Problem) -> _Rows:
        mass = problem.n / problem.n.sum()
        there = np.arange(len(mass))
        matrix = vstack(
            [
                csr_array((np.ones(len(mass)), (level, there)), (len(m.levels), len(mass)))
                for m, level in zip(problem.margins, problem.level, strict=True)
            ],
            format="csr",
        )
        return cls(
            _levels(problem, 0.0, 1.0),
            matrix,
            np.concatenate([m.target for m in problem.margins]),
            mass,
        )

    def change(self, i: int) -> float:
        """How far a level's target is from its share."""
        return round(abs(self.wanted[i].target - self.wanted[i].share), 9)

    def optimum(self, some: Sequence[int], cost: Floats, most: float) -> float | None:
        """The least cost @ x with the chosen constraints, sum(x) = 1; None where there is no x."""
        limit = np.where(np.isinf(most), 1.0, np.minimum(1.0, most * self.mass))
        a = vstack([self.matrix[list(some)], np.ones((1, len(self.mass)))], format="csr")
        b = np.append(self.target[list(some)], 1.0)
        found = linprog(cost, A_eq=a, b_eq=b, bounds=np.column_stack([np.zeros_like(limit), limit]))
        return float(found.fun) if found.status == 0 else None

    def holds(self, some: Sequence[int], most: float) -> bool:
        """Whether these constraints can hold together."""
        return self.optimum(some, np.zeros(len(self.mass)), most) is not None


def _conflict(problem: Problem) -> Conflict | None:
    rows = _Rows.of(problem)
    every = range(len(rows.wanted))
    if rows.holds(every, problem.most):
        return None
    if rows.holds(every, math.inf):
        tight = _irreducible(rows, problem, problem.most)
        return Conflict("bound", tuple(rows.wanted[i] for i in tight), least=_least_bound(rows))
    kept = _irreducible(rows, problem, math.inf)
    # told of last: of the margin that was named last, the level that is to change most
    of_last = [i for i in kept if rows.wanted[i].margin == rows.wanted[kept[-1]].margin]
    last = max(of_last, key=rows.change)
    others = [i for i in kept if i != last]
    pointing = np.asarray(rows.matrix[[last]].toarray()[0], float)
    low = rows.optimum(others, pointing, math.inf)
    high = rows.optimum(others, -pointing, math.inf)
    return Conflict(
        "contradiction",
        tuple(rows.wanted[i] for i in (*others, last)),
        low=0.0 if low is None else max(0.0, low),
        high=1.0 if high is None else min(1.0, max(0.0, -high)),
    )


def _irreducible(rows: _Rows, problem: Problem, most: float) -> list[int]:
    """Constraints that cannot hold together with no weight above ``most``, none of them needlessly.

    Whole margins are left out first.
    """
    starts = np.cumsum([0, *(len(m.levels) for m in problem.margins)])
    blocks = [list(range(a, b)) for a, b in itertools.pairwise(starts.tolist())]
    for block in list(blocks):
        rest = [i for other in blocks if other is not block for i in other]
        if rest and not rows.holds(rest, most):
            blocks.remove(block)
    kept = [i for block in blocks for i in block]
    # what was asked to change is told of, so that it stays; the smallest changes go first
    parts = [sorted(kept, key=lambda i: (rows.change(i), -i))]
    while parts:  # what can go one by one can go at once: so many levels take few programmes
        part = parts.pop()
        rest = [k for k in kept if k not in part]
        if rest and not rows.holds(rest, most):
            kept = rest
        elif len(part) > 1:
            half = len(part) // 2
            parts += [part[half:], part[:half]]
    return kept


def _least_bound(rows: _Rows) -> float:
    """The smallest largest weight with which the margins can be reached: a programme of its own."""
    n = len(rows.mass)
    # x_c <= M mass_c, where M is the last variable
    upper = csr_array(
        (
            np.concatenate([np.ones(n), -rows.mass]),
            (np.tile(np.arange(n), 2), np.concatenate([np.arange(n), np.full(n, n)])),
        ),
        (n, n + 1),
    )
    equal = csr_array(
        (rows.matrix.data, rows.matrix.indices, rows.matrix.indptr),
        (rows.matrix.shape[0], n + 1),
    )
    found = linprog(
        np.append(np.zeros(n), 1.0), A_ub=upper, b_ub=np.zeros(n), A_eq=equal, b_eq=rows.target
    )
    return float(found.fun) if found.status == 0 else math.inf


def _support(problem: Problem) -> NDArray[np.bool_]:
    """Cells that can have any weight at all: sum(min(x, a little)) is made as large as it can be.

    A point inside the set of all solutions has a little in each such cell, and none in the others.
    """
    rows = _Rows.of(problem)
    n, little = len(rows.mass), 1e-3 / len(rows.mass)
    scale = 1 / little  # in units of a little, so that the solver's own slack is small beside it
    limit = np.where(np.isinf(problem.most), 1.0, np.minimum(1.0, problem.most * rows.mass))
    ahead = csr_array(
        (
            np.concatenate([np.ones(n), -np.ones(n)]),
            (np.tile(np.arange(n), 2), np.concatenate([np.arange(n, 2 * n), np.arange(n)])),
        ),
        (n, 2 * n),
    )
    equal = csr_array(
        (rows.matrix.data, rows.matrix.indices, rows.matrix.indptr), (rows.matrix.shape[0], 2 * n)
    )
    found = linprog(
        np.concatenate([np.zeros(n), -np.ones(n)]),
        A_ub=ahead,
        b_ub=np.zeros(n),
        A_eq=equal,
        b_eq=rows.target * scale,
        bounds=np.vstack(
            [
                np.column_stack([np.zeros(n), limit * scale]),
                np.column_stack([np.zeros(n), np.ones(n)]),
            ]
        ),
    )
    if found.status != 0:
        return np.ones(n, bool)
    return np.asarray(found.x[n:] > _SLACK)
