"""Totals and ratios of a stratified sample in which what is looked for may be rare.

A stratum of two million rows of which thirty were rated, none a hit, may still hold a quarter of a
million hits: a variance estimated from it is zero, and so are the usual intervals. Here each
stratum has the exact hypergeometric limits of its own (Clopper and Pearson 1934; for finite sets,
Buonaccorsi 1987), and the strata's distances from estimate to limit are added in quadrature (MOVER:
Zou and Donner 2008; Zou, Huang, Zhang 2009), so that a stratum without a hit widens the interval by
what it may hide. Where many strata have a few hits each, quadrature of exact limits is too narrow
(each is skewed, their sum less so), so each end is at least as far out as Clopper-Pearson's on the
effective sample size (Korn and Graubard 1998). A ratio of two totals is MOVER's with correlation
(Donner and Zou 2012). A stratum of which nothing was rated may hold no hit, or hits alone.

All functions take counts of shape (..., H) for H strata: leading axes are repetitions.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaln

from laion_probe.results import Estimate

__all__ = [
    "Stratified",
    "ratio",
    "ratio_bounds",
    "ratio_ends",
    "total",
    "total_bounds",
    "total_ends",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Strata that can have rows of kind a, and of kind b, (H,) each.
Possible = tuple[Bools, Bools]

#: Up to this sampling fraction a stratum is taken as endless: binomial limits, wider if anything.
_ENDLESS = 0.01

_DRAWN = "rated rows were drawn at random within strata of known size"
_PANEL = "true is what this panel of raters would say"
_TOTAL = "stratified total, exact limits of strata added in quadrature (MOVER)"
_RATIO = "ratio of stratified totals, exact limits of strata (MOVER with correlation)"
_WORST = "worst-case bounds for unknown, each end"


@dataclass(frozen=True)
class Stratified:
    """The design: ``size`` (H,) rows of each stratum, of which ``n`` (H,) were rated.

    ``drawn`` (H,) rows were drawn, where some of them could not be rated; None where all were.
    Estimates take those that are missing to be like the rated ones of their stratum; bounds do not.
    """

    size: Ints
    n: Ints
    level: float = 0.95
    drawn: Ints | None = None

    def __post_init__(self) -> None:
        if len(self.size) != len(self.n) or (self.n > self.size).any() or (self.n < 0).any():
            raise ValueError("a stratum cannot have more rated rows than rows")
        if self.drawn is not None and ((self.drawn < self.n) | (self.drawn > self.size)).any():
            raise ValueError("a stratum has as many drawn rows as rated ones, or more, up to all")

    def only(self, keep: Bools) -> Stratified:
        """The design of some strata alone."""
        drawn = None if self.drawn is None else self.drawn[keep]
        return Stratified(self.size[keep], self.n[keep], self.level, drawn)

    @property
    def missing(self) -> Ints:
        """Rows that were drawn and not rated, (H,)."""
        return np.zeros_like(self.n) if self.drawn is None else self.drawn - self.n

    @property
    def as_drawn(self) -> Stratified:
        """The design of all rows that were drawn, rated or not."""
        return self if self.drawn is None else Stratified(self.size, self.drawn, self.level)

    @property
    def rated(self) -> bool:
        """True where every stratum with rows has a rating: totals have a point estimate."""
        return bool((self.n[self.size > 0] > 0).all())

    @property
    def full(self) -> bool:
        """True where every row was rated."""
        return bool((self.n == self.size).all())

    def blown_up(self, x: Ints) -> Floats:
        """The hits of each stratum that ``x`` (..., H) rated hits stand for; 0 where none rated."""
        return np.asarray(self.size * x / np.maximum(self.n, 1), float)


def total(x: Ints, design: Stratified) -> Estimate:
    """The number of rows that are hits, of which ``x`` (H,) were found among the rated.

    The value is None where a stratum has no ratings. Assumes simple random sampling in each
    stratum. Fails on the cautious side: with few hits the interval covers more than its level.

    >>> far = Stratified(np.array([100, 2_000_000]), np.array([100, 30]))
    >>> e = total(np.array([80, 0]), far)
    >>> e.value, e.low, round(e.high)
    (80.0, 80.0, 231487)
    """
    low, high = total_ends(x, design)
    value = float(design.blown_up(x).sum()) if design.rated else None
    return _estimate(value, (float(low), float(high)), design, _TOTAL)


def total_bounds(x: Ints, may: Ints, design: Stratified) -> Estimate:
    """The range of `total` if none or all of ``may`` (H,), which nobody could tell, were hits.

    So it is with rows that were drawn and not rated, for whatever reason. Worst-case bounds (Manski
    1990) that enclose sampling as well; the value is None.
    """
    drawn, may = design.as_drawn, may + design.missing
    low, high = total_ends(x, drawn)[0], total_ends(x + may, drawn)[1]
    return _estimate(None, (float(low), float(high)), drawn, f"{_WORST} {_TOTAL}")


def total_ends(x: Ints, design: Stratified) -> tuple[Floats, Floats]:
    """Both ends of `total` for ``x`` (..., H): two arrays (...)."""
    high = int(design.size.sum()) - _total_low(design.n - x, design)
    return _total_low(x, design), np.asarray(high, float)


def ratio(a: Ints, b: Ints, design: Stratified, can: Possible | None = None) -> Estimate:
    """The share of rows of kind a among those of kinds a and b, in the whole set.

    ``a``, ``b`` (H,) count the rated rows of either kind (no row is of both; others are of
    neither); ``can`` says which strata can have a, and which b, where not all can have both. Not
    defined where none of either was found, for the interval then is all of [0, 1]. A stratum that
    can have a kind and has none of it among its rated rows widens the interval by as many as it may
    hide. Fails on the cautious side where a kind is rare.

    >>> design = Stratified(np.array([1000, 100_000]), np.array([100, 100]))
    >>> e = ratio(np.array([45, 0]), np.array([30, 0]), design)
    >>> round(e.value, 2), round(e.low, 2), round(e.high, 2)
    (0.6, 0.1, 0.93)
    """
    found = int((a + b).sum())
    if not found:
        return _nothing(design)
    low, high = ratio_ends(a, b, design, can)
    parts = [float(design.blown_up(kind).sum()) for kind in (a, b)]
    rated = design if can is None else design.only(can[0] | can[1])
    value = parts[0] / sum(parts) if rated.rated else None
    e = _estimate(value, (float(low), float(high)), rated, _RATIO)
    return e.model_copy(update={"n": found, "units": found})


def ratio_bounds(
    kinds: tuple[Ints, Ints],
    may: tuple[Ints, Ints],
    design: Stratified,
    can: Possible | None = None,
) -> Estimate:
    """The range of `ratio` if rows that nobody could tell were of one kind or other, or of neither.

    ``may`` (a, b) count the rated rows that may be of kind a and those that may be of kind b: a row
    that may be either is in both. Rows that were drawn and not rated may be of any kind that their
    stratum can have. Encloses sampling as well; the value is None.
    """
    (a, b), drawn = kinds, design.as_drawn
    everywhere = np.ones(len(design.size), bool)
    may_a, may_b = (
        some + design.missing * there
        for some, there in zip(may, can or (everywhere, everywhere), strict=True)
    )
    found = int((a + b + np.maximum(may_a, may_b)).sum())
    if not found:
        return _nothing(design)
    low = ratio_ends(a, b + may_b, drawn, can)[0]
    high = ratio_ends(a + may_a, b, drawn, can)[1]
    part = drawn if can is None else drawn.only(can[0] | can[1])
    e = _estimate(None, (float(low), float(high)), part, f"{_WORST} {_RATIO}")
    return e.model_copy(update={"n": found, "units": found})


def ratio_ends(
    a: Ints, b: Ints, design: Stratified, can: Possible | None = None
) -> tuple[Floats, Floats]:
    """Both ends of `ratio` for counts (..., H): two arrays (...)."""
    everywhere = np.ones(len(design.size), bool)
    can_a, can_b = can or (everywhere, everywhere)
    low, less = _ratio_low(a, b, design, can_b), _ratio_low(b, a, design, can_a)
    return low, np.asarray(1.0 - less, float)


def _total_low(x: Ints, design: Stratified) -> Floats:
    """The lower limit of the total; strata without ratings hold no hit."""
    found = design.blown_up(x)
    below = _below(x, design)
    mover = found.sum(axis=-1) - np.sqrt(np.square(below).sum(axis=-1))
    low = np.minimum(mover, _effective_low(x, design))
    return np.asarray(np.maximum(low, x.sum(axis=-1)), float)


def _ratio_low(a: Ints, b: Ints, design: Stratified, can_b: Bools) -> Floats:
    """The lower limit of A / (A + B): of odds t = A / B first, the smaller root of a quadratic.

    (A - tB)² = (A - low A)² + t² (high B - B)² - 2t C, where C (0 or less) is what a and b of the
    same stratum covary by. Strata without ratings are of b alone, if they can be.
    """
    total_a = design.blown_up(a).sum(axis=-1)
    spread_a = total_a - _total_low(a, design)
    rated = can_b & (design.n > 0)
    part, of_b = design.only(rated), b[..., rated]
    total_b = design.blown_up(b).sum(axis=-1)
    spread_b = np.maximum(total_ends(of_b, part)[1] - total_b, 0)
    total_b = total_b + int(design.size[can_b & ~rated].sum())
    share_a, share_b = (kind / np.maximum(design.n, 1) for kind in (a, b))
    odds = share_a * share_b / np.maximum((1 - share_a) * (1 - share_b), 1e-300)
    up = _below(design.n - b, design)  # from B to its upper limit, by stratum
    c = -(np.minimum(1.0, np.sqrt(odds)) * _below(a, design) * up).sum(axis=-1)
    # q t² - 2 m t + k = 0; t = k / (m + root) is the smaller root, so that q may be 0 or less
    q, m = total_b**2 - spread_b**2, total_a * total_b - c
    k = np.maximum(total_a**2 - spread_a**2, 0)
    rest = np.maximum(m + np.sqrt(np.maximum(m * m - q * k, 0)), 0)
    return np.asarray(k / np.maximum(k + rest, 1e-300), float)


def _below(x: Ints, design: Stratified) -> Floats:
    """How far each stratum's exact lower limit is below its estimate, (..., H); 0 where none."""
    limits = np.zeros(x.shape)
    for h, (n, size) in enumerate(zip(design.n.tolist(), design.size.tolist(), strict=True)):
        if n:
            if x.ndim == 1:  # no repetitions
                limits[h] = _exact_low(int(x[h]), n, size, design.level)
                continue
            values, where = np.unique(x[..., h], return_inverse=True)
            exact = [_exact_low(int(v), n, size, design.level) for v in values]
            limits[..., h] = np.array(exact)[where].reshape(x.shape[:-1])
    return np.maximum(design.blown_up(x) - limits, 0)


def _effective_low(x: Ints, design: Stratified) -> Floats:
    """Clopper-Pearson's lower limit of the total on the effective sample size.

    Strata that were rated in full are added as they are. All rows where fewer than two strata vary.
    """
    part = design.n < design.size
    whole = np.where(part, 0, x).sum(axis=-1)
    size = float(design.size[part].sum())
    if size == 0:
        return np.asarray(whole, float)
    share = np.where(part, x / np.maximum(design.n, 1), 0)
    left = np.where(part, design.size.astype(float) * (design.size - design.n), 0)
    variance = (left * share * (1 - share) / np.maximum(design.n - 1, 1)).sum(axis=-1)
    p = design.blown_up(np.where(part, x, 0)).sum(axis=-1) / size
    n_eff = p * (1 - p) * size**2 / np.where(variance > 0, variance, 1)
    k = np.maximum(p * n_eff, 1e-12)
    low = betaincinv(k, np.maximum(n_eff - k + 1, 1e-12), (1 - design.level) / 2)
    # where no two strata vary, quadrature has the exact limit of the one that does
    several = (part & (x > 0) & (x < design.n)).sum(axis=-1) > 1
    return np.asarray(whole + np.where(several, size * low, size), float)


@functools.lru_cache(maxsize=65536)
def _exact_low(x: int, n: int, size: int, level: float) -> float:
    """The fewest hits among ``size`` rows that leave ``x`` or more of ``n`` this plausible."""
    tail = (1 - level) / 2
    if x == 0:
        return 0.0
    if n <= _ENDLESS * size:
        return max(float(x), size * float(betaincinv(x, n - x + 1, tail)))
    # bisection on integers: P(X >= x) rises with the number of hits
    too_few, enough = x - 1, size - (n - x)
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if _at_least(x, n, size, middle) > tail:
            enough = middle
        else:
            too_few = middle
    return float(enough)


def _at_least(x: int, n: int, size: int, hits: int) -> float:
    """P(X >= x) of the hypergeometric distribution."""
    i = np.arange(max(x, n - (size - hits)), min(n, hits) + 1)
    log = _log_choose(hits, i) + _log_choose(size - hits, n - i) - _log_choose(size, np.array(n))
    return float(np.exp(log).sum())


def _log_choose(n: int, k: Ints) -> Floats:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), float)


def _nothing(design: Stratified) -> Estimate:
    method = f"{_RATIO}: none was found among the rated rows"
    return Estimate(
        value=None, low=None, high=None, level=design.level, n=0, units=0, method=method
    )


def _estimate(
    value: float | None, ends: tuple[float, float], design: Stratified, method: str
) -> Estimate:
    low, high = ends
    if value is not None:
        low, high = min(low, value), max(high, value)
    blank = int(((design.n == 0) & (design.size > 0)).sum())
    said = [_DRAWN, _PANEL]
    if design.full:
        said = ["every row was rated: no sampling error", _PANEL]
    if missing := int(design.missing.sum()):
        said.append(f"{missing} rows that were drawn and not rated are like those of their stratum")
    if blank:
        said.append(f"{blank} strata without ratings may hold anything")
    n = int(design.n.sum())
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=design.level,
        n=n,
        units=n,
        method=method,
        assumptions=tuple(said),
    )
