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
from laion_probe.estimators.raking import cells_of
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

__all__ = ["labels_share", "predicted_share", "unseen"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FEW = "labels alone: few of the rarer kind were rated, by weight"
_UNCORRECTED = "sum of weights of classifier labels, uncorrected: no interval can say how wrong"


def predicted_share(
    data: Rated, weight: Floats, level: float = 0.95, chance: Floats | None = None
) -> Estimate:
    """The share of hits in the base by ``weight`` (N,), as raters would see it.

    Estimand: sum(weight * true_hit) / sum(weight * true_base) over these N rows; with ``chance``
    (N,), each row's chance of being in a subset, to which ``weight`` is then proportional, the
    share in the subset that is drawn, whoever that is. Wilson's interval with Satterthwaite's
    degrees of freedom; ratings alone, with Clopper-Pearson's, where lam would be fitted to fewer
    than 20 of the rarer kind by weight (or 30 effective labels). Neither end is nearer than the
    most errors to that side that all ratings would miss with a chance of 1 - ``level`` (`unseen`);
    rows of a kind that nobody rated count as all and as none. Assumes that rated rows were drawn
    from all N with the stated chances, and that weights do not depend on who was rated, nor on what
    raters said. Fails where hardly any rated row has a weight; None where fewer than two have.

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
    drawing = 0.0 if chance is None else _drawing(data, ratings, theta, base, chance)
    variance = spread.variance + drawing
    spread = replace(spread, variance=variance, at_least=variance)
    value = min(1.0, max(0.0, theta))
    ends = spread.interval(theta, level)
    name = "post-stratified" if found is None else f"PPI++ (lambda {found:.2f})"
    method = f"{name}, ratings weighted as the plan weights rows, Wilson on the effective size"
    half = float(ndtri(0.5 + level / 2))
    # lam fits a few ratings too well
    if found is not None and support.too_small(value):
        alone = hajek_share(part, sample, cautious=True)
        value = min(1.0, support.share if alone.value is None else alone.value)
        low, high = alone.low or 0.0, 1.0 if alone.high is None else alone.high
        # two independent parts, put together end by end (MOVER, Zou and Donner 2008)
        drawn = half * math.sqrt(drawing)
        ends = value - math.hypot(value - low, drawn), value + math.hypot(high - value, drawn)
        method = f"{_FEW}; {alone.method}"
    # what one row of the subset adds
    one = 0.0 if chance is None else 1 / (float(chance.sum()) * base)
    group = _groups(data, w, ratings)
    nobody = float(w[np.bincount(group, data.rated)[group] == 0].sum()) / len(w)
    off, widened = [], False
    added = _added(data, ratings, value, group)
    for usual, unlike in zip((value - ends[0], ends[1] - value), added, strict=True):
        add = w * unlike / (len(w) * base)
        most = unseen(add, data.rated, group, 1 - level)
        # of errors that no rating met, too, a subset draws more or fewer: of one of the three
        least = math.hypot(most, half * math.sqrt(drawing + one * most / UNSEEN))
        widened |= least > usual
        off.append(max(usual, least) + nobody / base)
    if widened:
        method += ", widened to errors that no rating may have met"
    said = ratings_assumptions(ratings, sample)
    if chance is not None:
        method += ", with the draw of the subset"
        said = (*said, "the subset is drawn at random, whatever raters said")
    if nobody > 0:
        method += f"; rows with {nobody:.1%} of the weight, of which none was rated: all or none"
    return Estimate(
        value=value,
        low=max(0.0, value - off[0]),
        high=min(1.0, value + off[1]),
        level=level,
        n=support.n,
        units=support.units,
        method=method,
        assumptions=said,
    )


def unseen(add: Floats, rated: NDArray[np.bool_], group: Ints, chance: float = 0.05) -> float:
    """The most that errors can add up to of which the ratings meet none, with ``chance``.

    ``add`` (N,) is what a row adds if it is in error, unlike those rated; rows of one ``group``
    were rated at random. All of M errors among N rows are missed by n ratings with a chance of
    about (1 - M / N')^n, N' = N - (n - 1) / 2 (hypergeometric; Wise 1954). Errors are where they
    add most: in the heaviest rows of a group, and in the groups where a rating stands for most.
    Groups without ratings are left out.

    >>> rated, group = np.arange(1000) < 100, np.zeros(1000, np.int64)
    >>> round(unseen(np.full(1000, 0.001), rated, group), 4)  # the rule of three, less 5 %
    0.0281
    """
    size, n = np.bincount(group).astype(float), np.bincount(group, rated)
    one = np.zeros(len(size))
    np.maximum.at(one, group, np.where(rated, 0.0, add))
    every = np.bincount(group, np.where(rated, 0.0, add))
    there = (n > 0) & (every > 0)
    if not there.any():
        return 0.0
    n, one, every = n[there], one[there], every[there]
    left = size[there] - (n - 1) / 2
    # a group's errors grow until one more, for what it takes of the chance, adds no more than price
    most, dearest = every / (one * left), one * left / n
    low, high = 0.0, float(dearest.max())
    for _ in range(40):
        price = (low + high) / 2
        shares = np.minimum(most, np.maximum(0.0, 1 - price / dearest))
        if -float(n @ np.log1p(-shares)) > -math.log(chance):
            low = price
        else:
            high = price
    return float((one * left) @ np.minimum(most, np.maximum(0.0, 1 - high / dearest)))


def labels_share(hit: Floats, base: Floats, weight: Floats) -> Estimate:
    """The weighted share as the machine reads it: exact for its labels, and only for them."""
    inside = float(weight @ base)
    n = int(((base > 0) & (weight > 0)).sum())
    value = float(weight @ hit) / inside if inside > 0 else None
    return Estimate(
        value=value, low=None, high=None, n=n, units=n, method=_UNCORRECTED, assumptions=()
    )


def _groups(data: Rated, w: Floats, ratings: Ratings) -> Ints:
    """A number for each row: by stratum, as the machine reads it, and weight within a factor of 2.

    Within a group, who was rated is chance, and errors are alike to the share.
    """
    kind = np.where(data.base > 0, np.where(2 * data.hit >= data.base, 2, 1), 0)
    octave = np.floor(np.log2(np.maximum(w, 1e-6))).astype(np.int64)
    return cells_of(
        np.array([ratings.stratum, kind, octave - octave.min()]),
        (int(ratings.stratum.max()) + 1, 3, int(np.ptp(octave)) + 1),
    )[2]


def _added(data: Rated, ratings: Ratings, theta: float, group: Ints) -> tuple[Floats, Floats]:
    """What each row takes from, and adds to, hit - theta * base if it is unlike its group's."""
    row = ratings.row
    said = ratings.weight * (data.true_hit[row] - theta * data.true_base[row])
    n = int(group.max()) + 1
    rated = np.bincount(group[row], ratings.weight, n)
    usual = np.bincount(group[row], said, n) / np.where(rated > 0, rated, 1)
    # it may turn out a hit (1 - theta), another of the base (-theta), or none of it (0)
    return np.maximum(0, usual + theta)[group], np.maximum(0, 1 - theta - usual)[group]


def _drawing(data: Rated, ratings: Ratings, theta: float, base: float, chance: Floats) -> float:
    """The variance that the draw of a subset adds: within cells, between raters' levels.

    ``base`` is the share of the subset that is expected in the base.
    """
    row = ratings.row
    said = np.asarray(data.true_hit[row] - theta * data.true_base[row], float)
    spread = ratings.weight * ratings.factor() * ratings.centred(said) ** 2
    left = chance[row] * (1 - chance[row])
    return len(chance) * float(spread @ left) / (float(chance.sum()) * base) ** 2
