"""How many pictures each cell of the grid gets."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laion_probe.dft_result import Gap
from laion_probe.questions.dft_gaps import Measured, beyond, fewest
from laion_probe.questions.dft_lists import Axis, Term, folded

__all__ = ["Cell", "Grid", "Planned", "apportion", "plan_profession", "spread"]


@dataclass(frozen=True)
class Cell:
    """One cell: words of every axis for one profession, and its pictures."""

    profession: Term
    terms: tuple[Term, ...]
    n_pictures: int


@dataclass(frozen=True)
class Planned:
    """What is planned for one profession.

    ``shares[axis]`` has the share of each level of it among its pictures (an axis without a target
    has none); ``weight`` is how many times as many pictures it gets as a profession without a gap.
    """

    shares: Mapping[str, Mapping[str, float]]
    weight: float = 1.0
    gaps: tuple[Gap, ...] = field(default=())


@dataclass(frozen=True)
class Grid:
    """What is crossed, what is aimed at, and what was measured of each profession."""

    professions: Axis
    axes: tuple[Axis, ...]
    targets: Mapping[str, Mapping[str, float]]
    measured: Mapping[str, list[Measured]]
    held_out: frozenset[str]

    def of(self, term: Term) -> Planned:
        """Shares and weight of one profession."""
        names = (folded(words) for words in (term.term, *term.also))
        found = next((self.measured[name] for name in names if name in self.measured), [])
        return plan_profession(self.axes, self.targets, found)


def plan_profession(
    axes: Sequence[Axis], targets: Mapping[str, Mapping[str, float]], measured: Sequence[Measured]
) -> Planned:
    """Shares and weight of one profession from its targets and what was measured of it.

    A gap counts where an axis with a target stands for the attribute and has words for the level
    and for another one of the comparison.
    """
    open_gaps = list(_gaps(axes, targets, measured))
    weight = max([1.0, *(fewest(g, t) for _, m, g, t, _ in open_gaps if m.differs(t))])
    shares = {axis: dict(of) for axis, of in targets.items()}
    gaps = []
    for axis, m, g, t, pair in open_gaps:
        sure = m.differs(t)
        plan = beyond(g, t, weight).share if sure else t
        ends = [
            beyond(end, t, weight).share if sure and end is not None else plan
            for end in (m.share.high, m.share.low)
        ]
        others = sum(targets[axis.name][level] for level in pair[1:])
        whole = targets[axis.name][m.level] + others
        shares[axis.name][m.level] = plan * whole
        for level in pair[1:]:
            of_rest = targets[axis.name][level] / others if others else 1 / len(pair[1:])
            shares[axis.name][level] = (1 - plan) * whole * of_rest
        gaps.append(
            Gap(
                concept=m.concept,
                axis=axis.name,
                attribute=m.attribute,
                level=m.level,
                others=tuple(pair[1:]),
                labels=m.labels,
                generated=m.share,
                allowed=m.allowed,
                target=t,
                sure=sure,
                planned=plan,
                planned_low=min(ends),
                planned_high=max(ends),
                weight=weight,
                realised=None,
            )
        )
    return Planned(shares, weight, tuple(gaps))


def _gaps(
    axes: Sequence[Axis], targets: Mapping[str, Mapping[str, float]], measured: Sequence[Measured]
) -> list[tuple[Axis, Measured, float, float, list[str]]]:
    """Axis, measurement, drawn share, target among the pair, and the pair's levels."""
    found = []
    for axis in axes:
        for m in measured:
            if m.attribute != axis.attribute or axis.name not in targets or m.share.value is None:
                continue
            pair = [m.level, *(x for x in m.others if x in axis.levels)]
            if m.level not in axis.levels or len(pair) < 2:
                continue
            whole = sum(targets[axis.name][level] for level in pair)
            if whole > 0:
                t = targets[axis.name][m.level] / whole
                found.append((axis, m, float(m.share.value), t, pair))
    return found


def spread(
    axes: Sequence[Axis],
    professions: Sequence[tuple[Term, Planned]],
    n_pictures: int,
    seed: int,
) -> tuple[Cell, ...]:
    """All cells of these professions with ``n_pictures`` divided over them.

    A profession's part goes by its weight, and is divided over the words of one axis after the
    other, those with a target first: so its shares of their levels are met to within one picture.
    A level's share is divided evenly over its words; axes are crossed as if independent.
    """
    rng = np.random.default_rng(seed)
    order = sorted(
        range(len(axes)),
        key=lambda i: not any(axes[i].name in planned.shares for _, planned in professions),
    )
    back = np.argsort(order)
    of_each = apportion(np.array([p.weight for _, p in professions]), n_pictures, rng)
    grid = list(itertools.product(*(axis.terms for axis in axes)))
    cells: list[Cell] = []
    for (profession, planned), n in zip(professions, of_each, strict=True):
        parts = [np.array(_parts(axes[i], planned.shares.get(axes[i].name))) for i in order]
        counts = _divided(int(n), parts, rng).transpose(back).ravel()
        cells += [Cell(profession, terms, int(k)) for terms, k in zip(grid, counts, strict=True)]
    return tuple(cells)


def _divided(
    n: int, parts: Sequence[NDArray[np.float64]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """``n`` over the first axis, each of these over the next: an array with a dimension an axis."""
    if not parts:
        return np.array(n, dtype=np.int64)
    first = apportion(parts[0], n, rng)
    return np.stack([_divided(int(k), parts[1:], rng) for k in first])


def _parts(axis: Axis, shares: Mapping[str, float] | None) -> list[float]:
    """The share of each word of an axis; all alike where no target is named."""
    if shares is None:
        return [1 / len(axis.terms)] * len(axis.terms)
    n = {level: sum(t.stands_for == level for t in axis.terms) for level in axis.levels}
    return [shares[t.stands_for] / n[t.stands_for] for t in axis.terms]


def apportion(weights: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``n`` whole things in proportion to ``weights``, by largest remainder (Hamilton).

    Ties go by a draw, so that no word wins for standing first in its list.

    >>> apportion(np.array([1.0, 1.0, 2.0]), 8, np.random.default_rng(0)).tolist()
    [2, 2, 4]
    """
    total = float(weights.sum())
    if total <= 0 or n <= 0:
        return np.zeros(len(weights), dtype=np.int64)
    exact = np.round(weights / total * n, 9)
    counts = np.floor(exact).astype(np.int64)
    # Nothing goes to a weight of 0.
    order = np.lexsort((rng.permutation(len(weights)), counts - exact, weights <= 0))
    counts[order[: n - int(counts.sum())]] += 1
    return counts
