"""Intervals for shares and their changes: pure functions of arrays.

The target is the finite data set that was given, unless a docstring says otherwise. Pictures that
could be read are taken as a random sample of the rows; ``sampled`` is the share of rows that they
are, and the finite-population correction ``1 - sampled`` narrows the interval to nothing when every
row was read. Rows of one unit (a row group, a seed batch) resemble each other, so the unit is what
varies: variances are linearised by unit (Särndal, Swensson, Wretman 1992, ch. 5.6 and 8).

None of these intervals knows that a classifier can err: they are about sampling alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri, stdtrit

from laion_probe.results import Estimate

__all__ = [
    "Clusters",
    "Sample",
    "bounds_with_unknown",
    "clopper_pearson",
    "count_share",
    "difference_independent",
    "difference_nested",
    "excludes_zero",
    "is_full_count",
    "negate",
    "not_defined",
    "ratio_independent",
    "ratio_nested",
    "share",
    "wilson",
]

Bools = NDArray[np.bool_]

_ALL_READ = "every row was read: no sampling error"

#: Below either, the interval switches to Clopper-Pearson on the effective sample size. A minority
#: counts by the units that hold it: twenty rows of one unit are one.
MIN_MINORITY = 20
MIN_UNITS = 30

_APART = "as if independent (MOVER), wider than it need be"


@dataclass(frozen=True)
class Sample:
    """The design behind a set of rows.

    ``unit[i]`` is the unit (0, 1, …) of row i; ``sampled`` in [0, 1] is the share of the finite
    population that was observed (0 for a process without end, such as a generator); ``assumes``
    says in words what makes the rows a sample.
    """

    unit: NDArray[np.int64]
    sampled: float = 0.0
    level: float = 0.95
    assumes: str = "units are exchangeable"

    def assumptions(self) -> tuple[str, ...]:
        """What an interval from this sample takes for granted."""
        if self.sampled >= 1:
            return (_ALL_READ,)
        return (self.assumes,)


@dataclass(frozen=True)
class Clusters:
    """How ``n`` rows, hits or not, lie in units.

    ``units`` have rows; ``minority`` of them hold the rarer kind (the fewer of those with a hit and
    those with a miss); ``alike`` is what the rows are worth if all of a unit agree, Kish's (1965)
    n² / sum(size²): the number of units where all are of one size.
    """

    n: int
    units: int
    minority: int
    alike: float

    @classmethod
    def of(cls, hits: NDArray[np.float64], size: NDArray[np.float64]) -> Clusters:
        """The clusters of units with that many ``hits`` (U,) among ``size`` (U,) rows, above 0."""
        minority = min(int((hits > 0).sum()), int((hits < size).sum()))
        n = float(size.sum())
        return cls(int(n), len(size), minority, n * n / float(size @ size))

    @property
    def few(self) -> bool:
        """True where a normal interval is not to be trusted."""
        return self.minority < MIN_MINORITY or self.units < MIN_UNITS

    def adjusted(self, size: float, level: float) -> float:
        """The effective sample size that is left when its own uncertainty is allowed for.

        Korn and Graubard (1998) multiply ``size``, p(1 - p) / variance, by (t_n / t_units)². The
        variance rests on the units that hold the minority, so that their number takes the place of
        that of all units; but units that agree entirely leave ``alike``, so this goes no lower.
        Without a minority the variance is unknown, and ``alike`` is what remains.
        """
        if self.minority == 0:
            return min(float(self.n), self.alike)
        t_rows = _t(self.n, level)
        usual = size * (t_rows / _t(self.units, level)) ** 2
        fewer = size * (t_rows / _t(self.minority, level)) ** 2
        return max(fewer, min(usual, self.alike))


def wilson(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Wilson 1927); ``k`` and ``n`` may be fractional.

    >>> tuple(round(x, 3) for x in wilson(80, 221))
    (0.301, 0.427)
    """
    if n <= 0:
        raise ValueError("wilson needs n > 0")
    z = float(ndtri(0.5 + level / 2))
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # exact where rounding would leave 1e-17
    low = 0.0 if k <= 0 else max(0.0, centre - half)
    high = 1.0 if k >= n else min(1.0, centre + half)
    return low, high


def clopper_pearson(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval (Clopper and Pearson 1934); never covers less than ``level``.

    Fractional ``k`` and ``n`` are allowed, as Korn and Graubard (1998) use them.

    >>> tuple(round(x, 3) for x in clopper_pearson(0, 10))
    (0.0, 0.308)
    """
    if n <= 0:
        raise ValueError("clopper_pearson needs n > 0")
    tail = (1 - level) / 2
    low = 0.0 if k <= 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k >= n else float(betaincinv(k + 1, n - k, 1 - tail))
    return low, high


def not_defined(method: str, sample: Sample) -> Estimate:
    """A share of nothing: None, not zero."""
    return Estimate(
        value=None, low=None, high=None, level=sample.level, n=0, units=0, method=method
    )


def share(hit: Bools, base: Bools, sample: Sample) -> Estimate:
    """The share of ``hit`` among ``base`` rows, with an interval clustered by unit.

    ``hit`` and ``base`` are boolean arrays over the same rows; hits outside the base do not count.
    The variance of the ratio is linearised by unit; the interval is Wilson's on the effective
    sample size with Korn and Graubard's (1998) degrees-of-freedom adjustment (`Clusters`), or
    Clopper-Pearson's when fewer than 20 units hold the minority or fewer than 30 have rows. Where
    there is no minority, units are taken to agree: none in 40 units of 10 leaves 9 %. Where all
    rows are in one unit, rows take the place of units, which is said in the assumptions.
    """
    inside = hit & base
    n, k = int(base.sum()), int(inside.sum())
    if n == 0:
        return not_defined("share of no rows", sample)
    y, size, one_unit = _by_unit(inside, base, sample)
    p, m = k / n, len(size)
    if sample.sampled >= 1:
        return _estimate(p, (p, p), n, m, "full scan", sample)
    clusters = Clusters.of(y, size)
    n_eff = clusters.adjusted(_effective_size(y, size, p, n), sample.level) / (1 - sample.sampled)
    interval = clopper_pearson if clusters.few else wilson
    low, high = interval(p * n_eff, n_eff, sample.level)
    name = "Clopper-Pearson" if clusters.few else "Wilson"
    method = f"{name} on the effective sample size, clustered by unit"
    return _estimate(p, (low, high), n, m, method, sample, one_unit)


def bounds_with_unknown(hit: Bools, base: Bools, unknown: Bools, sample: Sample) -> Estimate:
    """The range of ``share(hit, base)`` if unknown rows were all hits, or none (Manski 1990).

    ``low`` and ``high`` enclose sampling as well; ``value`` is None, since bounds have no middle.
    """
    both = base | unknown
    if not both.any():
        return not_defined("share of no rows", sample)
    least = share(hit & base, both, sample)
    most = share((hit & base) | unknown, both, sample)
    return least.model_copy(
        update={
            "value": None,
            "high": most.high,
            "method": f"worst-case bounds for unknown, each end {least.method}",
        }
    )


def difference_nested(hit: Bools, before: Bools, after: Bools, sample: Sample) -> Estimate:
    """share(hit, after) - share(hit, before), where ``after`` is a subset of ``before``.

    Paired: linearised residuals of both ratios are subtracted within units; Student's t with
    (units - 1) degrees of freedom. Where either stage would switch (`share`), the change is the
    part removed times the difference between kept and removed rows, which are other rows: MOVER of
    those, as if independent (rows of a unit resemble each other, so that this covers more than its
    level, not less). Identical stages differ by exactly 0.
    """
    n1, n2 = int(before.sum()), int(after.sum())
    if n1 == 0 or n2 == 0:
        return not_defined("difference with a share of no rows", sample)
    value, error, units, one = _nested(hit, before, after, sample)
    half = _t(units, sample.level) * error
    low, high = max(-1.0, value - half), min(1.0, value + half)
    method = "full scan" if sample.sampled >= 1 else "paired linearisation by unit, Student's t"
    if _switches(hit, before, after, sample):
        parts = _parts(hit, before, after, sample)
        apart = _interval(difference_independent(parts.gone, parts.kept))
        if apart is not None:
            low, high = _scaled(parts.removed, *apart)
            low, high = max(-1.0, low), min(1.0, high)
        method = f"part removed x (kept - removed rows), {_APART}"
    return _estimate(value, (low, high), n1, units, method, sample, one)


def ratio_nested(hit: Bools, before: Bools, after: Bools, sample: Sample) -> Estimate:
    """share(hit, after) / share(hit, before) for nested stages, on the log scale.

    Switches where `difference_nested` does; there the upper limit can be None (unbounded).
    """
    k1, k2 = int((hit & before).sum()), int((hit & after).sum())
    if k1 == 0 or k2 == 0:
        return not_defined("ratio with an empty share", sample)
    p1, p2 = k1 / int(before.sum()), k2 / int(after.sum())
    _, error, units, one = _nested(hit, before, after, sample, log=True)
    half = _t(units, sample.level) * error
    value = p2 / p1
    method = "full scan" if sample.sampled >= 1 else "paired linearisation of the log ratio by unit"
    interval = (value * math.exp(-half), value * math.exp(half))
    if _switches(hit, before, after, sample):
        # before / after = 1 + part removed x (removed / kept - 1)
        parts = _parts(hit, before, after, sample)
        other = ratio_independent(parts.kept, parts.gone)
        ends = [
            math.inf if end is None else end - 1 for end in (other.value, other.low, other.high)
        ]
        low, high = _scaled(parts.removed, *ends)
        low = max(low, -(parts.removed.high or 0.0))  # the ratio within is not negative
        interval = (1 / (1 + high), 1 / (1 + low) if low > -1 else math.inf)
        method = f"1 / (1 + part removed x (removed / kept rows - 1)), {_APART}"
    found = _estimate(value, interval, int(before.sum()), units, method, sample, one)
    return found.model_copy(update={"high": None}) if math.isinf(interval[1]) else found


def difference_independent(first: Estimate, second: Estimate) -> Estimate:
    """``second`` - ``first`` for independent samples: Newcombe's (1998) method 10 (MOVER)."""
    method = "difference of independent shares (MOVER, Newcombe 1998)"
    a, b = _interval(first), _interval(second)
    if a is None or b is None:
        return _combined(None, (None, None), first, second, method)
    (p1, l1, u1), (p2, l2, u2) = a, b
    d = p2 - p1
    low = d - math.hypot(p2 - l2, u1 - p1)
    high = d + math.hypot(u2 - p2, p1 - l1)
    return _combined(d, (max(-1.0, low), min(1.0, high)), first, second, method)


def ratio_independent(first: Estimate, second: Estimate) -> Estimate:
    """``second`` / ``first`` for independent samples, MOVER on the logs (Zou and Donner 2008).

    The upper limit is None (unbounded) where the first interval reaches zero.
    """
    method = "ratio of independent shares (MOVER on logs, Zou and Donner 2008)"
    a, b = _interval(first), _interval(second)
    if a is None or b is None or a[0] == 0:
        return _combined(None, (None, None), first, second, method)
    (p1, l1, u1), (p2, l2, u2) = a, b
    value = p2 / p1
    if p2 == 0:
        return _combined(0.0, (0.0, u2 / l1 if l1 > 0 else None), first, second, method)
    down = math.hypot(math.log(p2 / l2) if l2 > 0 else math.inf, math.log(u1 / p1))
    up = math.hypot(math.log(u2 / p2), math.log(p1 / l1) if l1 > 0 else math.inf)
    high = None if math.isinf(up) else value * math.exp(up)
    return _combined(value, (value * math.exp(-down), high), first, second, method)


def excludes_zero(estimate: Estimate) -> bool:
    """Whether the whole interval lies on one side of zero; one without both ends does not.

    >>> excludes_zero(Estimate(value=0.2, low=0.1, high=0.3, n=9, units=9, method="made up"))
    True
    """
    if estimate.low is None or estimate.high is None:
        return False
    return estimate.low > 0 or estimate.high < 0


def is_full_count(estimate: Estimate) -> bool:
    """Whether an interval has no width because every row was read, and not by its method.

    >>> is_full_count(count_share(6, 12, 12)), is_full_count(count_share(6, 12, 100))
    (True, False)
    """
    if estimate.low is None or estimate.high is None or _ALL_READ not in estimate.assumptions:
        return False
    return estimate.high - estimate.low < 1e-12


def negate(estimate: Estimate) -> Estimate:
    """The same estimate with its sign turned."""
    flip = [None if x is None else -x for x in (estimate.value, estimate.high, estimate.low)]
    return estimate.model_copy(update=dict(zip(("value", "low", "high"), flip, strict=True)))


def count_share(k: int, n: int, population: int, level: float = 0.95) -> Estimate:
    """K of n in a simple random sample from ``population`` rows: Wilson with the correction.

    ``population == n`` is a full count, without sampling error.
    """
    sampled = n / population if population else 0.0
    sample = Sample(np.arange(n), sampled, level, "a simple random sample of the rows")
    hit = np.arange(n) < k
    return share(hit, np.ones(n, dtype=bool), sample)


def _by_unit(
    inside: Bools, base: Bools, sample: Sample
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Hits and sizes of the units that have base rows."""
    unit = sample.unit
    size = np.bincount(unit, weights=base)
    one_unit = int((size > 0).sum()) == 1
    if one_unit:
        unit = np.arange(len(unit))
        size = np.bincount(unit, weights=base)
    y = np.bincount(unit, weights=inside)
    present = size > 0
    return y[present].astype(np.float64), size[present].astype(np.float64), one_unit


def _effective_size(y: NDArray[np.float64], size: NDArray[np.float64], p: float, n: int) -> float:
    """The size of a simple random sample of an endless population with the same variance, <= n."""
    m = len(size)
    if m > 1 and 0 < p < 1:
        residual = y - p * size
        variance = m / (m - 1) * float(residual @ residual) / n**2
        if variance > 0:
            return min(float(n), p * (1 - p) / variance)
    return float(n)


@dataclass(frozen=True)
class _Parts:
    """Kept and removed rows of nested stages: the share of hits in each, and the part removed."""

    kept: Estimate
    gone: Estimate
    removed: Estimate


def _parts(hit: Bools, before: Bools, after: Bools, sample: Sample) -> _Parts:
    gone = before & ~after
    return _Parts(share(hit, after, sample), share(hit, gone, sample), share(gone, before, sample))


def _switches(hit: Bools, before: Bools, after: Bools, sample: Sample) -> bool:
    """True where the paired interval of two different stages is not to be trusted."""
    if sample.sampled >= 1 or int(before.sum()) == int(after.sum()):
        return False
    stages = (_by_unit(hit & stage, stage, sample)[:2] for stage in (before, after))
    return any(Clusters.of(y, size).few for y, size in stages)


def _scaled(part: Estimate, value: float, low: float, high: float) -> tuple[float, float]:
    """The interval of part x effect, of an effect with these limits, as if independent (MOVER)."""
    g = part.value or 0.0
    less, more = g - (part.low or 0.0), (part.high or 0.0) - g
    smaller, larger = (less, more) if value >= 0 else (more, less)
    down = math.hypot(g * (value - low), value * smaller)
    up = math.hypot(g * (high - value), value * larger)
    return g * value - down, g * value + up


def _nested(
    hit: Bools, before: Bools, after: Bools, sample: Sample, *, log: bool = False
) -> tuple[float, float, int, bool]:
    """The difference, the standard error of it (or of the log ratio), units, rows-as-units."""
    y1, size1, one = _by_unit(hit & before, before, sample)
    unit = np.arange(len(sample.unit)) if one else sample.unit
    present = np.bincount(unit, weights=before) > 0
    y2 = np.bincount(unit, weights=hit & after)[present]
    size2 = np.bincount(unit, weights=after)[present]
    n1, n2 = size1.sum(), size2.sum()
    p1, p2 = y1.sum() / n1, y2.sum() / n2
    e1, e2 = (y1 - p1 * size1) / n1, (y2 - p2 * size2) / n2
    e = e2 / p2 - e1 / p1 if log else e2 - e1
    m = len(e)
    variance = (1 - min(1.0, sample.sampled)) * (m / (m - 1) if m > 1 else 1.0) * float(e @ e)
    return float(p2 - p1), math.sqrt(variance), m, one


def _t(units: int, level: float) -> float:
    return float(stdtrit(max(1, units - 1), 0.5 + level / 2))


def _interval(e: Estimate) -> tuple[float, float, float] | None:
    if e.value is None or e.low is None or e.high is None:
        return None
    return e.value, e.low, e.high


def _combined(
    value: float | None,
    interval: tuple[float | None, float | None],
    first: Estimate,
    second: Estimate,
    method: str,
) -> Estimate:
    return Estimate(
        value=value,
        low=interval[0],
        high=interval[1],
        level=first.level,
        n=first.n + second.n,
        units=first.units + second.units,
        method=method,
        assumptions=tuple(dict.fromkeys(first.assumptions + second.assumptions)),
    )


def _estimate(
    value: float,
    interval: tuple[float, float],
    n: int,
    units: int,
    method: str,
    sample: Sample,
    one_unit: bool = False,
) -> Estimate:
    extra = ("rows are independent (there is one unit only)",) if one_unit else ()
    return Estimate(
        value=value,
        low=min(interval[0], value),
        high=max(interval[1], value),
        level=sample.level,
        n=n,
        units=units,
        method=method,
        assumptions=sample.assumptions() + extra,
    )
