"""Whether a yes-or-no outcome depends on a group, when rows come in clusters.

Pearson's chi-square takes rows for independent; rows of one domain are lost together, so that it
finds dependence everywhere. Rao and Scott (1981, 1984) divide it by the mean of the design effects
that the clusters give it, and take the degrees of freedom from their spread; the F form is Thomas
and Rao's (1987), the default of R's ``survey::svychisq``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

__all__ = ["Dependence", "rao_scott"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Rows, and expected rows with and without the outcome, below which a level joins the others.
_MIN_ROWS, _MIN_EXPECTED = 20, 5.0
#: Effective clusters, Kish's (1965), below which a level joins the others, and below which no
#: p-value is given: with fewer of uneven size the test finds dependence twice as often as it says.
_MIN_CLUSTERS = 10.0


@dataclass(frozen=True)
class Dependence:
    """The test of one group: ``p_value`` None where ``why_not`` says so.

    ``chi_square`` is Pearson's and ``f`` the corrected one; ``design_effect`` the mean one that
    clusters give. ``n_together`` rare levels were taken as one.
    """

    p_value: float | None
    chi_square: float | None
    f: float | None
    df: tuple[float, float] | None
    design_effect: float | None
    clusters: int
    n_together: int
    why_not: str = ""


def rao_scott(
    outcome: Bools, level: Ints, cluster: Ints, worth: Floats | None = None
) -> Dependence:
    """Test that ``outcome`` (N,) is as frequent in every ``level`` (N,), with rows in clusters.

    Levels with under 20 rows, under 10 effective clusters, or where under 5 with or without the
    outcome are expected, are taken as one. The denominator has as many degrees of freedom as the
    levels have effective clusters in the mean, times the numerator's. Assumes clusters are
    independent; fails with few of them (none is given with under 10 effective ones). ``worth`` (N,)
    is what each row counts for where that differs, such as 1 / its chance to be drawn.

    >>> rows = np.arange(4000)
    >>> lost = rows % 10 < 1 + rows // 2000  # 10 % of the first level, 20 % of the second
    >>> found = rao_scott(lost, rows // 2000, rows // 10)
    >>> found.p_value < 0.001
    True
    """
    _, unit = np.unique(cluster, return_inverse=True)
    n, m = len(unit), int(unit.max(initial=-1)) + 1
    code, n_together = _joined(outcome, level, unit)
    n_levels = int(code.max(initial=-1)) + 1
    in_all = float(_effective(np.zeros(n, np.int64), unit)[0]) if n else 0.0

    def without(why: str) -> Dependence:
        return Dependence(None, None, None, None, None, m, n_together, why)

    if not 0 < int(outcome.sum()) < n:
        return without("every row has the same outcome")
    if in_all < _MIN_CLUSTERS:
        return without(
            f"most rows are in a few of {m} clusters: too few to tell what is chance among them"
        )
    if n_levels < 2:
        return without("fewer than two levels have enough rows in enough clusters")
    effective = min(in_all, float(_effective(code, unit).mean()))
    # a cell is a level and an outcome; shares of all rows by cell, and by cluster
    cell = 2 * code + outcome
    counts = np.ones(n) if worth is None else worth / worth.mean()
    share = np.bincount(cell, counts, minlength=2 * n_levels) / n
    expected = np.outer(share[::2] + share[1::2], [share[::2].sum(), share[1::2].sum()]).ravel()
    chi_square = n * float(((share - expected) ** 2 / expected).sum())
    contrast = _contrast(n_levels)
    # linear in the cells: each row's value is that of its cell
    by_cell = contrast / expected[:, None]
    total = np.zeros((m, n_levels - 1))
    for k in range(n_levels - 1):
        centred = by_cell[:, k] - float(by_cell[:, k] @ share)
        total[:, k] = np.bincount(unit, counts * centred[cell], minlength=m) / n
    clustered = m / (m - 1) * total.T @ total
    alone = (contrast.T / expected) @ contrast / n
    effects = np.linalg.solve(alone, clustered)
    trace, of_squares = float(np.trace(effects)), float(np.trace(effects @ effects))
    if trace <= 0:
        return without("clusters do not differ")
    df = trace**2 / of_squares
    f, below = chi_square / trace, df * (min(m, effective) - 1)
    return Dependence(
        p_value=float(fdtrc(df, below, f)),
        chi_square=chi_square,
        f=f,
        df=(df, below),
        design_effect=trace / (n_levels - 1),
        clusters=m,
        n_together=n_together,
    )


def _joined(outcome: Bools, level: Ints, unit: Ints) -> tuple[Ints, int]:
    """Numbers of the levels from 0, rare ones as one; and how many those are."""
    levels, code = np.unique(level, return_inverse=True)
    n = np.bincount(code, minlength=len(levels)).astype(np.float64)
    p = float(outcome.mean()) if len(outcome) else 0.0

    def rare(n: Floats, effective: Floats) -> Bools:
        few = (n < _MIN_ROWS) | (n * min(p, 1 - p) < _MIN_EXPECTED)
        return np.asarray(few | (effective < _MIN_CLUSTERS))

    joins = rare(n, _effective(code, unit))
    while joins.any() and not joins.all():  # the next rarest joins them until they are enough
        together = joins[code]
        size = np.array([together.sum()], float)
        if not rare(size, _effective(np.zeros(int(size[0]), np.int64), unit[together]))[0]:
            break
        joins[np.argmin(np.where(joins, len(code) + 1, n))] = True
    number = np.where(joins, -1, np.arange(len(levels)))
    _, joined = np.unique(number[code], return_inverse=True)
    return joined.astype(np.int64), int(joins.sum())


def _effective(code: Ints, unit: Ints) -> Floats:
    """How many clusters of one size the rows of each level, (levels,), lie in: Kish (1965)."""
    n_units = int(unit.max()) + 1 if len(unit) else 1
    pair, size = np.unique(code * n_units + unit, return_counts=True)
    n, squares = (np.bincount(pair // n_units, x) for x in (size, size.astype(float) ** 2))
    return np.asarray(n**2 / np.maximum(squares, 1e-300))


def _contrast(n_levels: int) -> Floats:
    """What is left of the cells beside both margins, (2 * levels, levels - 1)."""
    by_level = np.vstack([np.eye(n_levels - 1), -np.ones(n_levels - 1)])
    return np.asarray(np.kron(by_level, np.array([[1.0], [-1.0]])))
