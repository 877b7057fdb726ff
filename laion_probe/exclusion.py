"""Whom a step excludes: a group's removed share against the rest's, from counts by unit.

The target is a finite data set of U units (row groups). If all were read, the numbers are what they
are, without an interval. If u were, drawn as a simple random sample without replacement of a
planned size: rows of one unit resemble each other, so the unit is what varies, and group and rest
share it. The difference of the two ratios, of their logs or of their logits is linearised by unit
(Särndal, Swensson and Wretman 1992, ch. 5.5 to 5.7) with residuals as leaving a unit out gives them
(Wolter 2007, ch. 4); its variance has the correction 1 - u/U. Student's t has the degrees of
freedom that Satterthwaite (1946) gives to a sum over units of such sizes: u - 1 if they are equal,
fewer if few units hold most rows.

That covers too little where few units carry what is counted. With fewer than 30 units, or where the
removed or the kept rows of either side spread over an effective number of units below 20 (Kish's
(Σx)² / Σx²), each share gets Clopper-Pearson limits on an effective number of rows (Korn and
Graubard 1998) instead, with that spread less one as degrees of freedom and no correction for the
units read. The number is never below the effective number of units, for which it stands when each
unit is removed or kept whole; where no row is removed, or none kept, it is that, since nothing was
seen of how such rows cluster. The sides' limits are combined by MOVER (Zou and Donner 2008); a
covariance of the sides enters only where it widens. These intervals are wide on purpose.

None of this is for a sample that stopped when its interval was narrow enough (see `sequence`), or
knows that rows may be given to the wrong group, or helps where one unread unit holds most rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from laion_probe.estimate import MIN_UNITS, clopper_pearson
from laion_probe.results import Estimate

__all__ = [
    "Design",
    "Exclusion",
    "odds_ratio",
    "risk_difference",
    "risk_ratio",
    "share_of_units",
]

#: Effective units with removed rows, and with kept ones, before linearisation is believed.
MIN_SPREAD = 20

FULL = "full count: no sampling error"
ASSUMED = (
    "the units read are a simple random sample, without replacement, of a planned size",
    "no unread unit holds a large part of the rows",
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Limits = tuple[float | None, float | None]


@dataclass(frozen=True)
class Exclusion:
    """Rows of a group and of the rest, and how many of them a step removes, by unit: (u,) each.

    A unit that was read but has no such rows is listed with zeros: it is part of the sample.
    """

    removed: Ints
    n: Ints
    removed_rest: Ints
    n_rest: Ints


@dataclass(frozen=True)
class Design:
    """How many units the data set has, read or not, and the level of the intervals."""

    n_units_population: int
    level: float = 0.95


@dataclass(frozen=True)
class _Scale:
    """How two shares are compared: ``value`` (None: not finite) and the scale of its interval."""

    value: Callable[[float, float], float | None]
    g: Callable[[float], float]
    slope: Callable[[float], float]
    back: Callable[[float], float]
    name: str
    not_finite: str


def _log(p: float) -> float:
    return math.log(p) if p > 0 else -math.inf


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _odds_ratio(p: float, rest: float) -> float | None:
    below = (1 - p) * rest
    return p * (1 - rest) / below if below > 0 else None


_DIFFERENCE = _Scale(
    value=lambda p, rest: p - rest,
    g=lambda p: p,
    slope=lambda p: 1.0,
    back=lambda x: max(-1.0, min(1.0, x)),
    name="difference",
    not_finite="",
)
_RATIO = _Scale(
    value=lambda p, rest: p / rest if rest > 0 else None,
    g=_log,
    slope=lambda p: 1 / p,
    back=_exp,
    name="log ratio",
    not_finite="no row of the rest was removed: the ratio is not finite",
)
_ODDS = _Scale(
    value=_odds_ratio,
    g=lambda p: float(logit(p)),
    slope=lambda p: 1 / (p * (1 - p)),
    back=_exp,
    name="log odds ratio",
    not_finite="no row of the rest was removed, or none of the group kept: "
    "the odds ratio is not finite",
)


class _Side:
    """One ratio Σ hits / Σ rows over the units read."""

    def __init__(self, hits: Ints, rows: Ints, who: str) -> None:
        if hits.shape != rows.shape or hits.ndim != 1:
            raise ValueError("counts by unit have one shape, (u,)")
        if ((hits < 0) | (hits > rows)).any():
            raise ValueError("a unit cannot have more rows removed than it has")
        self.who = who
        self.n = int(rows.sum())
        self.n_units = int((rows > 0).sum())
        self.p = int(hits.sum()) / self.n if self.n else math.nan
        self.weight: Floats = rows / max(1, self.n)
        self.hits, self.rows = hits, rows

    def residuals(self) -> Floats:
        """By how much each unit moves the ratio: without it, the ratio is less by that. (u,)."""
        return (self.hits - self.p * self.rows) / self.n / (1 - self.weight)

    def spread(self) -> float:
        """The effective number of units with hits, or with misses: the smaller."""
        return min(_effective(self.hits), _effective(self.rows - self.hits))


def _effective(x: Ints) -> float:
    """Kish's effective number of terms of a sum; 0 of nothing."""
    most = float(x.max(initial=0))
    return float((x / most).sum() ** 2 / ((x / most) ** 2).sum()) if most > 0 else 0.0


def share_of_units(hits: Ints, n: Ints, design: Design) -> Estimate:
    """The share of ``hits`` among ``n`` rows, both (u,) by unit read; linearised on the logit.

    >>> full = share_of_units(np.array([1, 0]), np.array([4, 6]), Design(2))
    >>> full.value, full.low, full.method
    (0.1, None, 'full count: no sampling error')
    """
    side = _Side(hits, n, "the group")
    if side.n == 0:
        return _estimate(None, "share of no rows", (side,), len(n), design)
    if why := _why_no_interval((side,), len(n), design):
        return _estimate(side.p, why, (side,), len(n), design)
    if _trusted((side,), len(n)):
        at, half = _ODDS.g(side.p), _half_width(((side, _ODDS.slope(side.p)),), design)
        limits = float(expit(at - half)), float(expit(at + half))
        method = "logit linearised by unit, Student's t"
    else:
        limits = _limits_of_few(side, design)
        method = "few units with it: Clopper-Pearson on an effective number of rows"
    return _estimate(side.p, method, (side,), len(n), design, limits)


def risk_difference(counts: Exclusion, design: Design) -> Estimate:
    """The group's removed share minus the rest's.

    >>> counts = Exclusion(*np.array([[2, 1], [4, 6], [5, 5], [50, 50]]))
    >>> round(risk_difference(counts, Design(2)).value, 3)
    0.2
    """
    return _compare(counts, design, _DIFFERENCE)


def risk_ratio(counts: Exclusion, design: Design) -> Estimate:
    """The group's removed share over the rest's; ``high`` None: unbounded."""
    return _compare(counts, design, _RATIO)


def odds_ratio(counts: Exclusion, design: Design) -> Estimate:
    """The odds of removal of the group over those of the rest; ``high`` None: unbounded."""
    return _compare(counts, design, _ODDS)


def _compare(counts: Exclusion, design: Design, scale: _Scale) -> Estimate:
    group = _Side(counts.removed, counts.n, "the group")
    rest = _Side(counts.removed_rest, counts.n_rest, "the rest")
    sides, units = (group, rest), len(counts.n)
    for side in sides:
        if side.n == 0:
            return _estimate(None, f"no rows of {side.who}", sides, units, design)
    value = scale.value(group.p, rest.p)
    if value is None:
        return _estimate(None, scale.not_finite, sides, units, design)
    if why := _why_no_interval(sides, units, design):
        return _estimate(value, why, sides, units, design)
    if _trusted(sides, units):
        terms = ((group, scale.slope(group.p)), (rest, -scale.slope(rest.p)))
        at, half = scale.g(group.p) - scale.g(rest.p), _half_width(terms, design)
        method = f"{scale.name} linearised by unit, Student's t"
        limits: Limits = scale.back(at - half), scale.back(at + half)
    else:
        limits = _mover(group, rest, design, scale)
        method = (
            "few units with removed or with kept rows: Clopper-Pearson on an effective number of "
            f"rows on each side, MOVER of the {scale.name}"
        )
        if limits[1] is None:
            method += ", unbounded above"
    return _estimate(value, method, sides, units, design, limits)


def _why_no_interval(sides: tuple[_Side, ...], units: int, design: Design) -> str:
    """Why the sample has no interval, or nothing."""
    if units > design.n_units_population:
        raise ValueError(f"{units} units read of {design.n_units_population}")
    if units == design.n_units_population:
        return FULL
    for side in sides:
        if side.n_units < 2:
            return f"fewer than 2 units with rows of {side.who} were read: no interval"
    return ""


def _trusted(sides: tuple[_Side, ...], units: int) -> bool:
    """Whether there is enough for linearisation."""
    return units >= MIN_UNITS and all(side.spread() >= MIN_SPREAD for side in sides)


def _half_width(terms: tuple[tuple[_Side, float], ...], design: Design) -> float:
    """Half the interval of Σ slope * p over (side, slope)."""
    z: Floats = np.sum([slope * side.residuals() for side, slope in terms], axis=0)
    u = len(z)
    # what each unit would add to the variance if its rows were all alike
    of_unit = [slope**2 * side.p * (1 - side.p) * side.weight**2 for side, slope in terms]
    share: Floats = np.sum(of_unit, axis=0)
    df = float(share.sum() ** 2 / (share @ share)) - 1
    left = 1 - u / design.n_units_population
    return _t(df, design.level) * math.sqrt(left * (u - 1) / u * float(z @ z))


def _limits_of_few(side: _Side, design: Design) -> tuple[float, float]:
    """Clopper-Pearson limits of a share that few units say something about."""
    n_eff = least = _effective(side.rows)
    spread = side.spread()
    if spread > 0:
        z, m = side.residuals(), side.n_units
        variance = (m - 1) / m * float(z @ z)
        n_eff = float(side.n)
        if variance > 0:
            n_eff = min(n_eff, side.p * (1 - side.p) / variance)
        n_eff *= (_t(side.n - 1, design.level) / _t(spread - 1, design.level)) ** 2
    n_eff = max(n_eff, least)
    hits = side.p * n_eff
    low, high = clopper_pearson(hits, n_eff, design.level)
    # less than one effective row does not tell a share from none, or from all
    return low if hits >= 1 else 0.0, high if n_eff - hits >= 1 else 1.0


def _mover(group: _Side, rest: _Side, design: Design, scale: _Scale) -> Limits:
    """Limits of g(group) - g(rest), on the scale of the value, from the limits of each side."""
    low1, high1 = (scale.g(p) for p in _limits_of_few(group, design))
    low2, high2 = (scale.g(p) for p in _limits_of_few(rest, design))
    g1, g2 = scale.g(group.p), scale.g(rest.p)
    if math.isinf(g1 - g2):  # the value is 0
        high = scale.back(high1 - low2)
        return 0.0, None if math.isinf(high) else high
    z1, z2 = group.residuals(), rest.residuals()
    size = math.sqrt(float(z1 @ z1) * float(z2 @ z2))
    against = max(0.0, -float(z1 @ z2) / size) if size > 0 else 0.0
    low = scale.back(g1 - g2 - _length(g1 - low1, high2 - g2, against))
    high = scale.back(g1 - g2 + _length(high1 - g1, g2 - low2, against))
    return low, None if math.isinf(high) else high


def _length(a: float, b: float, against: float) -> float:
    """The length of two added errors whose correlation is ``against``."""
    if math.isinf(a) or math.isinf(b):
        return math.inf
    return math.sqrt(a * a + b * b + 2 * against * a * b)


def _t(df: float, level: float) -> float:
    return float(stdtrit(max(1.0, df), 0.5 + level / 2))


def _estimate(
    value: float | None,
    method: str,
    sides: tuple[_Side, ...],
    units: int,
    design: Design,
    limits: Limits = (None, None),
) -> Estimate:
    low, high = limits
    sampled = low is not None or high is not None
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=design.level,
        n=sum(s.n for s in sides),
        units=units,
        method=method,
        assumptions=ASSUMED if sampled else (),
    )
