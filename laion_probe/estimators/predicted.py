"""What a weighted set, or a subset drawn by the weights, holds as raters would see it.

The weights are fixed functions of what a machine read (or a caption says), so they are exact for
the machine's labels and carry every error of these. What raters would see is estimated from those
that were rated at random, each counted by its weight: the difference estimator of a domain ratio
(Särndal, Swensson, Wretman 1992, ch. 5 and 9), with PPI++'s lam (Angelopoulos, Duchi, Zrnic 2023)
where the machine's labels tell more than the strata do. The set is finite and known: what is
uncertain is the rating, and, of a subset, which rows are drawn.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from laion_probe.estimate import Sample, not_defined
from laion_probe.estimators.ppi import share_lambda
from laion_probe.estimators.weighted import (
    UNSEEN,
    Rated,
    Ratings,
    Support,
    hajek_share,
    ratings_assumptions,
    two_phase,
)
from laion_probe.results import Estimate

__all__ = ["labels_share", "predicted_share"]

Floats = NDArray[np.float64]

_FEW = "labels alone: few of the rarer kind were rated, by weight"
_UNCORRECTED = "sum of weights of classifier labels, uncorrected: no interval can say how wrong"


def predicted_share(
    data: Rated, weight: Floats, level: float = 0.95, chance: Floats | None = None
) -> Estimate:
    """The share of hits in the base by ``weight`` (N,), as raters would see it.

    Estimand: sum(weight * true_hit) / sum(weight * true_base) over these N rows; with ``chance``
    (N,), each row's chance of being in a subset, to which ``weight`` is then proportional, the
    share in the subset that is drawn, whoever that is. Wilson's interval with Satterthwaite's
    degrees of freedom, never narrower than three errors that no rating has met, at the weight of
    the stratum where one weighs most; rows heavier than every rated one count as all and as none.
    Assumes that rated rows were drawn from all N with the stated chances, and that weights do not
    depend on who was rated, nor on what raters said. With fewer than 20 of the rarer kind by
    weight, or 30 effective labels, ratings stand alone with Clopper-Pearson's interval. Fails where
    hardly any rated row has a weight; None where fewer than two have.

    >>> machine = np.arange(1000) % 10 < 5
    >>> truth = np.arange(1000) % 10 < 4
    >>> drawn, all_in = np.arange(1000) % 9 == 0, np.ones(1000)
    >>> data = Rated(machine, all_in, drawn, truth, all_in, all_in / 9, np.zeros(1000, np.int64))
    >>> round(predicted_share(data, np.where(machine, 1.5, 0.5)).value, 3)
    0.603
    """
    sample = Sample(np.arange(len(weight)), 1.0, level)
    w = weight / float(weight.mean())
    part = replace(
        data,
        hit=data.hit * w,
        base=data.base * w,
        true_hit=data.true_hit * w,
        true_base=data.true_base * w,
    )
    if int((data.rated & (weight > 0)).sum()) < 2:
        return not_defined("fewer than two rated rows have a weight", sample)
    ratings = Ratings.of(data)
    support = Support.of(part, ratings, sample)
    if support.share is None or support.n < 2:
        return not_defined("fewer than two ratings in the weighted base", sample)
    found = share_lambda(part, ratings)
    lam = 0.0 if found is None else found
    row = ratings.row
    y, x = part.true_hit[row] - lam * part.hit[row], part.true_base[row] - lam * part.base[row]
    base = lam * float(part.base.mean()) + float(ratings.weight @ x)
    if base <= 0:
        return not_defined("the machine and the ratings leave no base", sample)
    theta = (lam * float(part.hit.mean()) + float(ratings.weight @ y)) / base
    residual = np.asarray(y - theta * x, float) / base
    spread = two_phase(np.zeros(len(w)), residual, ratings, sample)
    # the floor of `two_phase` takes an error as one row; here it is the row's weight over the base
    one = ratings.weight**2 * (1 - ratings.fraction) * (w[row] / base) ** 2
    floor = UNSEEN * float(np.max(np.bincount(ratings.within, one) / np.bincount(ratings.within)))
    drawing = 0.0 if chance is None else _drawing(data, ratings, theta, base, chance)
    spread = replace(
        spread,
        variance=spread.variance + drawing,
        at_least=max(spread.variance, floor) + drawing,
    )
    said = ratings_assumptions(ratings, sample)
    if chance is not None:
        said = (*said, "the subset is drawn at random, whatever raters said")
    few = support.too_small(min(1.0, max(0.0, theta)))
    if few:
        alone = hajek_share(part, sample, cautious=True)
        value = alone.value if alone.value is not None else support.share
        low, high = alone.low or 0.0, 1.0 if alone.high is None else alone.high
        # two independent parts, put together end by end (MOVER, Zou and Donner 2008)
        half = float(ndtri(0.5 + level / 2)) * math.sqrt(drawing)
        low = max(0.0, value - math.hypot(value - low, half))
        high = min(1.0, value + math.hypot(high - value, half))
        method = f"{_FEW}; {alone.method}"
    else:
        value = min(1.0, max(0.0, theta))
        low, high = spread.interval(theta, level)
        name = "post-stratified" if found is None else f"PPI++ (lambda {found:.2f})"
        method = f"{name}, ratings weighted as the plan weights rows, Wilson on the effective size"
    if chance is not None:
        method += ", with the draw of the subset"
    # a level of few rows and much weight, none of them rated: no rating bears on it
    unmet = float(w[w > float(w[row].max()) * (1 + 1e-9)].sum()) / len(w)
    if unmet > 0:
        low, high = max(0.0, low - unmet), min(1.0, high + unmet)
        method += f"; the heaviest rows, {unmet:.1%} of the weight, have no rating: all or none"
    return Estimate(
        value=value,
        low=min(value, low),
        high=max(value, high),
        level=level,
        n=support.n,
        units=support.units,
        method=method,
        assumptions=said,
    )


def labels_share(hit: Floats, base: Floats, weight: Floats) -> Estimate:
    """The weighted share as the machine reads it: exact for its labels, and only for them."""
    inside = float(weight @ base)
    n = int(((base > 0) & (weight > 0)).sum())
    value = float(weight @ hit) / inside if inside > 0 else None
    return Estimate(
        value=value, low=None, high=None, n=n, units=n, method=_UNCORRECTED, assumptions=()
    )


def _drawing(data: Rated, ratings: Ratings, theta: float, base: float, chance: Floats) -> float:
    """The variance that the draw of a subset adds: within cells, between raters' levels.

    ``base`` is the share of the subset that is expected in the base.
    """
    row = ratings.row
    said = np.asarray(data.true_hit[row] - theta * data.true_base[row], float)
    spread = ratings.weight * ratings.factor() * ratings.centred(said) ** 2
    left = chance[row] * (1 - chance[row])
    return len(chance) * float(spread @ left) / (float(chance.sum()) * base) ** 2
