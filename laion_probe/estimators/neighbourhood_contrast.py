"""Whether one neighbourhood of the data goes beyond what other neighbourhoods show anyway.

Rows of one neighbourhood are alike, so that the neighbourhood is the unit, not the row. With n rows
read in each, its hits are binomial about its own log odds, and the log odds of neighbourhoods are
normal: ``theta_g ~ N(mu, tau²)``. The contrast is between the neighbourhood asked about and *a
further one drawn as the others were*: its uncertainty is the binomial noise here, tau² and the
error of mu. tau is estimated from few others, and its own uncertainty is carried, which gives the
interval tails like Student's t.

Everything is integrated on grids, nothing drawn: the random-effects binomial likelihood of mu and
tau (as in Hamza, van Houwelingen, Stijnen 2008, J Clin Epidemiol 61), with the weak priors of
`_PRIORS`, then the predictive distribution of a further neighbourhood (Higgins, Thompson,
Spiegelhalter 2009, J R Stat Soc A 172). How often the intervals cover, and how seldom null data
raise a finding, is simulated in docs/neighbourhoods.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import expit, logit, ndtr

from laion_probe.estimate import Sample, not_defined, wilson
from laion_probe.outliers_result import Verdict
from laion_probe.results import Estimate

__all__ = [
    "MIN_OTHERS",
    "ContrastOptions",
    "NeighbourhoodContrast",
    "neighbourhood_contrast",
]

Floats = NDArray[np.float64]

#: With fewer other neighbourhoods their spread is anyone's guess.
MIN_OTHERS = 5

_PRIORS = (
    "tau half-Cauchy with scale 1; the typical share and the share here as after half a hit and "
    "half a miss (Jeffreys)"
)
_ASSUMES = (
    "the log odds of neighbourhoods are normally distributed, and without what is asked about this "
    "one would be one of them",
    _PRIORS,
)
_METHOD = "against a further neighbourhood, binomial-logit-normal, by quadrature"

_TAU = (0.005, 8.0)  # below, tau is nothing beside the binomial noise
_COARSE, _FINE = 17, 18  # nodes of log tau
#: Nodes of mu, out to 18 standard deviations about its mode: few hits leave long tails.
_MU_NODES = np.linspace(-3.6, 3.6, 21)
_DROP = 11.0  # nodes of tau with less log posterior than this below the best are left out


@dataclass(frozen=True)
class ContrastOptions:
    """How to judge: ``together`` explanations at a joint ``level`` (Bonferroni).

    Odds ratios within ``null`` are called no difference. ``direction`` is what was claimed: that
    the property is more frequent here ("more"), or that it differs ("either").
    """

    level: float = 0.95
    together: int = 1
    null: tuple[float, float] = (0.8, 1.25)
    direction: Literal["more", "either"] = "more"


@dataclass(frozen=True)
class NeighbourhoodContrast:
    """One property, here and elsewhere.

    ``elsewhere`` is the share in a neighbourhood of average log odds; ``between`` the posterior
    median of the standard deviation of the others' log odds beyond binomial noise. The intervals of
    ``here`` and ``elsewhere`` hold one by one, those of the three contrasts for all explanations
    together. An end that the data leave open is None (an odds ratio's upper end, where no other
    neighbourhood has a hit), and so is a ratio to none.
    """

    here: Estimate
    elsewhere: Estimate
    between: float | None
    risk_difference: Estimate
    risk_ratio: Estimate
    odds_ratio: Estimate
    verdict: Verdict
    reason: str


_DEFAULT = ContrastOptions()


def neighbourhood_contrast(
    here: tuple[int, int],
    others: Sequence[tuple[int, int]],
    options: ContrastOptions = _DEFAULT,
) -> NeighbourhoodContrast:
    """Contrast (hits, rows) here with those of other neighbourhoods of like size and density.

    Others without rows are left out. With fewer than `MIN_OTHERS`, or no rows here, the contrast is
    not defined. The verdict is *supported* where the interval of the odds ratio lies beyond
    ``options.null``, on the side that was claimed; *contradicted* where it lies within, or, when
    "more" was claimed, below the upper end; otherwise *not decidable here*.

    >>> others = [(h, 200) for h in (6, 9, 12, 5, 8, 10, 7, 9, 11, 4, 8, 13)]
    >>> found = neighbourhood_contrast((50, 200), others)
    >>> found.verdict, round(found.odds_ratio.value, 1)
    ('supported', 7.6)
    >>> neighbourhood_contrast((11, 200), others).verdict
    'not decidable here'
    """
    hits, rows = here
    counts = np.array([o for o in others if o[1] > 0], np.float64).reshape(-1, 2)
    if not 0 <= hits <= rows or (counts[:, 0] > counts[:, 1]).any() or (counts < 0).any():
        raise ValueError("hits are between 0 and the rows of their neighbourhood")
    n = rows + int(counts[:, 1].sum())
    sample = Sample(np.arange(0), level=options.level)
    nothing = not_defined(_METHOD, sample)
    share_here = not_defined("share of no rows", sample)
    if rows:
        share_here = _estimate(
            hits / rows,
            wilson(hits, rows, options.level),
            nothing.model_copy(update={"n": rows, "units": 1, "method": "Wilson"}),
            ("rows here are a sample of rows that would lie here",),
        )
    if rows == 0 or len(counts) < MIN_OTHERS:
        why = (
            "no row of this neighbourhood can be judged"
            if rows == 0
            else f"{len(counts)} other neighbourhoods, fewer than {MIN_OTHERS}"
        )
        return NeighbourhoodContrast(
            share_here, nothing, None, nothing, nothing, nothing, "not decidable here", why
        )
    spread = _fit(counts[:, 0], counts[:, 1])
    shape = nothing.model_copy(update={"n": n, "units": len(counts) + 1})
    elsewhere = _elsewhere(spread, counts, shape)
    contrasts = _contrasts((hits, rows), (spread, counts), (share_here, elsewhere), options)
    difference, ratio, odds = (
        _estimate(value, ends, shape, (*_ASSUMES, _together(options))) for value, ends in contrasts
    )
    verdict, reason = _verdict(odds, options)
    return NeighbourhoodContrast(
        share_here, elsewhere, spread.between, difference, ratio, odds, verdict, reason
    )


@dataclass(frozen=True)
class _Spread:
    """The posterior of the others' distribution on a grid: (tau,), and (tau, nodes) of mu."""

    tau: Floats
    mu: Floats
    weight: Floats  # sums to 1

    @property
    def between(self) -> float:
        """The median of tau, between nodes of log tau."""
        below = self.weight.sum(axis=1).cumsum() - self.weight.sum(axis=1) / 2
        return float(np.exp(np.interp(0.5, below, np.log(self.tau))))

    def typical(self, quantiles: Floats) -> Floats:
        """Quantiles of mu."""
        order = np.argsort(self.mu, axis=None)
        weight = self.weight.ravel()[order]
        return np.interp(quantiles, weight.cumsum() - weight / 2, self.mu.ravel()[order])

    def further(self) -> tuple[Floats, Floats]:
        """Log odds, ascending, and the probability that a further neighbourhood has less."""
        kept = self.weight > 1e-8
        mu, weight = self.mu[kept], self.weight[kept] / self.weight[kept].sum()
        tau = np.broadcast_to(self.tau[:, None], self.mu.shape)[kept]
        centre = float(weight @ mu)
        sd = math.sqrt(float(weight @ (tau**2 + (mu - centre) ** 2)))
        low, high = float((mu - 6 * tau).min()), float((mu + 6 * tau).max())
        x = np.linspace(np.arcsinh((low - centre) / sd), np.arcsinh((high - centre) / sd), 161)
        theta = centre + sd * np.sinh(x)
        return theta, ndtr((theta[:, None] - mu) / tau) @ weight


def _fit(hits: Floats, rows: Floats) -> _Spread:
    """The posterior of mu and tau given hits (G,) of rows (G,)."""
    counts = hits[:, None, None], rows[:, None, None]
    tau = np.geomspace(*_TAU, _COARSE)
    middle = np.full((_COARSE, 1), logit((hits.sum() + 0.5) / (rows.sum() + 1)))
    for _ in range(12):
        slope, bend = _slope(counts, middle, tau[:, None])
        p = expit(middle)
        bend = bend + p * (1 - p)
        step = np.clip((slope + 0.5 - p) / bend, -2, 2)
        middle = middle + step
        if (np.abs(step) < 0.1 * bend**-0.5).all():
            break
    # Laplace's approximation in mu, to see which tau count
    rough = _likelihood(counts, middle, tau[:, None]) + _prior(middle) - np.log(bend) / 2
    rough = rough[:, 0] + _prior_tau(tau)
    near = np.flatnonzero(rough > rough.max() - _DROP)
    ends = tau[max(0, near[0] - 1)], tau[min(_COARSE - 1, near[-1] + 1)]
    fine = np.geomspace(*ends, _FINE)
    centre = np.interp(np.log(fine), np.log(tau), middle[:, 0])[:, None]
    sd = np.interp(np.log(fine), np.log(tau), bend[:, 0] ** -0.5)[:, None]
    mu = centre + sd * np.sinh(_MU_NODES)
    log = _likelihood(counts, mu, fine[:, None]) + _prior(mu) + _prior_tau(fine)[:, None]
    x = np.linspace(_MU_NODES[0], _MU_NODES[-1], 3 * len(_MU_NODES) - 2)
    log = PchipInterpolator(_MU_NODES, log, axis=1)(x) + np.log(sd * np.cosh(x))
    weight = np.exp(log - log.max())
    weight[[0, -1]] /= 2  # the trapezoid's ends
    return _Spread(fine, centre + sd * np.sinh(x), weight / weight.sum())


#: Nodes of a neighbourhood's own log odds, in standard deviations about its mode, and log weights.
_NODES = np.sinh(np.linspace(-3, 3, 11))
_LOG_STEP = np.log(0.6 * np.cosh(np.linspace(-3, 3, 11)))


def _likelihood(counts: tuple[Floats, Floats], mu: Floats, tau: Floats) -> Floats:
    """Log likelihood of ``mu`` (T, M) and ``tau`` (T, 1), but for a constant."""
    _, log, sd = _integrand(counts, mu, tau)
    top = log.max(axis=-1)
    log -= top[..., None]
    total = np.exp(log, out=log).sum(axis=-1)
    return np.asarray((np.log(total * sd / tau) + top).sum(axis=0))


def _slope(counts: tuple[Floats, Floats], mu: Floats, tau: Floats) -> tuple[Floats, Floats]:
    """The slope of `_likelihood` in ``mu``, and about its curvature with the sign turned.

    The curvature is that of normal noise about each mode: the exact one is a difference of numbers
    that grow with the rows.
    """
    theta, log, sd = _integrand(counts, mu, tau)
    part = np.exp(log - log.max(axis=-1, keepdims=True))
    part /= part.sum(axis=-1, keepdims=True)
    slope = ((part * theta).sum(axis=-1) - mu) / tau**2
    # sd**-2 is the noise's precision + tau**-2
    precise = np.maximum(sd**-2 - tau**-2, 1e-12)
    return slope.sum(axis=0), (1 / (tau**2 + 1 / precise)).sum(axis=0)


def _integrand(
    counts: tuple[Floats, Floats], mu: Floats, tau: Floats
) -> tuple[Floats, Floats, Floats]:
    """Each neighbourhood's log odds at nodes, their log weights, and the nodes' scale.

    Nodes (G, T, M, nodes) lie about the mode given mu and tau, for the trapezoid rule.
    """
    hits, rows = counts
    noise = 1 / (hits + 0.5) + 1 / (rows - hits + 0.5)
    apart = np.log((hits + 0.5) / (rows - hits + 0.5))
    precision = tau**-2
    mode = (apart / noise + mu * precision) / (1 / noise + precision)
    for _ in range(3):
        p = expit(mode)
        bend = rows * p * (1 - p) + precision
        mode = mode + np.clip((hits - rows * p - (mode - mu) * precision) / bend, -2, 2)
    sd = bend**-0.5
    theta = mode[..., None] + sd[..., None] * _NODES
    # rows x log(1 + exp(theta)), without overflow
    log = hits[..., None] * theta - rows[..., None] * (
        np.maximum(theta, 0) + np.log1p(np.exp(-np.abs(theta)))
    )
    log -= (theta - mu[..., None]) ** 2 * (precision / 2)[..., None]
    log += _LOG_STEP
    return theta, log, sd


def _prior(mu: Floats) -> Floats:
    """Log density: that of the log odds of a Beta(1/2, 1/2) share."""
    return -np.abs(mu) / 2 - np.log1p(np.exp(-np.abs(mu)))


def _prior_tau(tau: Floats) -> Floats:
    """Log density of log tau."""
    return np.log(tau) - np.log1p(tau**2)


def _elsewhere(spread: _Spread, counts: Floats, shape: Estimate) -> Estimate:
    """The share in a neighbourhood of average log odds; of none or all, none or all."""
    tail = (1 - shape.level) / 2
    low, value, high = (float(x) for x in expit(spread.typical(np.array([tail, 0.5, 1 - tail]))))
    hits, rows = counts.sum(axis=0)
    if hits == 0:
        low = value = 0.0
    if hits == rows:
        value = high = 1.0
    own = {"n": int(rows), "units": len(counts)}
    return _estimate(value, (low, high), shape.model_copy(update=own), _ASSUMES)


def _contrasts(
    here: tuple[int, int],
    others: tuple[_Spread, Floats],
    shares: tuple[Estimate, Estimate],
    options: ContrastOptions,
) -> list[tuple[float | None, tuple[float | None, float | None]]]:
    """Value and ends of the risk difference, the risk ratio and the odds ratio."""
    hits, rows = here
    spread, counts = others
    none, all_hits = counts[:, 0].sum() == 0, bool((counts[:, 0] == counts[:, 1]).all())
    own, weight = _own(hits, rows)
    theta, below = spread.further()
    share = expit(own)

    def ends(level_with: Callable[[float], Floats], top: float) -> tuple[float, float]:
        """Quantiles of a contrast; ``level_with(x)`` is the log odds elsewhere that make it x."""
        tail = (1 - options.level) / (2 * options.together)

        def solve(target: float) -> float:
            low, high = -top, top
            for _ in range(45):
                middle = (low + high) / 2
                beyond = np.interp(level_with(middle), theta, below, left=0.0, right=1.0)
                low, high = (low, middle) if weight @ (1 - beyond) >= target else (middle, high)
            return (low + high) / 2

        return solve(tail), solve(1 - tail)

    def minus(x: float) -> Floats:
        return np.asarray(logit(np.clip(share - x, 0, 1)))

    def over(x: float) -> Floats:
        return np.asarray(logit(np.minimum(share * math.exp(-x), 1)))

    p, q = shares[0].value or 0.0, shares[1].value or 0.0
    ratio = None if q == 0 else p / q
    odds = None if q in (0, 1) or p == 1 else p * (1 - q) / ((1 - p) * q)
    found: list[tuple[float | None, tuple[float | None, float | None]]] = [
        (p - q, ends(minus, 1.0))
    ]
    for value, level_with, no_low, no_high in (
        (ratio, over, hits == 0, none),
        (odds, lambda x: own - x, hits == 0 or all_hits, none or hits == rows),
    ):
        low, high = (math.exp(x) for x in ends(level_with, 100.0))
        found.append((value, (0.0 if no_low else low, None if no_high else high)))
    return found


def _own(hits: int, rows: int) -> tuple[Floats, Floats]:
    """Log odds here and their posterior weights: Beta(hits + 1/2, misses + 1/2)."""
    a, b = hits + 0.5, rows - hits + 0.5
    theta = math.log(a / b) + math.sqrt(1 / a + 1 / b) * np.sinh(np.linspace(-4, 4, 121))
    log = a * theta - (a + b) * np.logaddexp(0, theta) + np.log(np.cosh(np.linspace(-4, 4, 121)))
    weight = np.exp(log - log.max())
    return theta, weight / weight.sum()


def _verdict(odds: Estimate, options: ContrastOptions) -> tuple[Verdict, str]:
    """What the odds ratio's interval says of the claim, and why."""
    no_less, no_more = options.null
    low, high = odds.low or 0.0, math.inf if odds.high is None else odds.high
    if low > no_more:
        return "supported", "more than elsewhere"
    if high < no_less:
        if options.direction == "either":
            return "supported", "less than elsewhere"
        return "contradicted", "the other way round"
    if high < no_more and (options.direction == "more" or low > no_less):
        return "contradicted", "no more than elsewhere"
    return "not decidable here", "the interval reaches into and out of what is no difference"


def _together(options: ContrastOptions) -> str:
    return (
        f"the interval holds for {options.together} explanations together (Bonferroni)"
        if options.together > 1
        else "one explanation was weighed"
    )


def _estimate(
    value: float | None,
    ends: tuple[float | None, float | None],
    like: Estimate,
    assumptions: tuple[str, ...],
) -> Estimate:
    return like.model_copy(
        update={"value": value, "low": ends[0], "high": ends[1], "assumptions": assumptions}
    )
