"""Shares when only a part of the pictures came: re-weighted by a model of who came.

Of N rows that were tried, those that ``came`` have a picture and so a label; of all N something is
known (``by``: levels such as a top-level domain or a language). The model is a logistic regression
of having come on those levels, fitted not by likelihood but so that the weights 1 / chance give
back the margins: the rows that came, weighted, count as many of every level as all N rows do. That
is calibration weighting for non-response (Deville 2000; Kott and Liao 2012, Survey Research Methods
6), or entropy balancing of those lost by those that came (Hainmueller 2012). Its criterion is
convex and has a small ridge; levels with too few that came are taken together first, since their
weights would be noise. Shares are Hájek's (1971).

The interval knows that the weights were estimated: the share is linearised with the residuals of a
regression on the levels, as calibration estimators are (Deville and Särndal 1992; Kott and Liao
2012), by cluster, since a domain that dies takes all its pictures along.

**All of it rests on loss being random given ``by``** (missing at random, Rubin 1976). Nothing in
the data can show that: those lost have no labels. `laion_probe.estimators.partial_identification`
says what is left without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import NotEnoughData
from laion_probe.estimate import MIN_UNITS, Clusters, Sample, clopper_pearson, not_defined
from laion_probe.estimators.weighted import Numbers, Spread
from laion_probe.results import Estimate

__all__ = [
    "MIN_CAME",
    "RANDOM_LOSS",
    "Frame",
    "Response",
    "drawn_share",
    "fit_response",
    "reweighted_share",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Rows that came, and rows at all, which a level needs for an effect of its own.
MIN_CAME = 5
_MIN_ROWS = 30
#: A weight above so many times the median one is cut down to that.
_HEAVIEST = 20.0
#: Pulls every effect a little towards none, so that there is a solution whatever the data.
_RIDGE = 1e-3
#: No cluster is taken to carry more than this part of a level's weights.
_MOST_PULL = 0.75
_STEPS, _CLOSE = 200, 1e-12
_STEEPEST = 30.0  # logits beyond are the same to a double

_METHOD = "re-weighted by the model of response (Hájek, calibrated)"

#: What every re-weighted share takes for granted.
RANDOM_LOSS = (
    "loss is random given what the weights use (missing at random), which no data can show"
)


@dataclass(frozen=True)
class Frame:
    """All N rows that were tried.

    ``came`` is (N,); ``by`` (N, K) holds the number of each row's level in K groupings (K may be
    0: then only the rate is known); ``cluster`` (N,) says which rows are lost together, 0, 1, ….
    ``worth`` (N,), above 0, is what a row counts for: 1 / its chance to be tried, by any factor.
    None where all had the same chance.
    """

    came: Bools
    by: Ints
    cluster: Ints
    worth: Floats | None = None

    def __post_init__(self) -> None:
        if self.by.ndim != 2 or not len(self.came) == len(self.by) == len(self.cluster):
            raise ValueError("came (N,), by (N, K) and cluster (N,) have one length")
        if self.worth is not None and not (
            len(self.worth) == len(self.came) and (self.worth > 0).all()
        ):
            raise ValueError("worth (N,) is above 0")

    @property
    def counts(self) -> Floats:
        """``worth`` with mean 1."""
        if self.worth is None:
            return np.ones(len(self.came))
        return np.asarray(self.worth / self.worth.mean())


@dataclass(frozen=True)
class Coding:
    """Which levels have an effect of their own: ``own[k]`` are those of grouping k.

    All others of it are one; the first of ``own[k]``, the most frequent, is what the others are
    measured against. ``pooled[k]`` says whether the others together have an effect.
    """

    own: tuple[Ints, ...]
    pooled: tuple[bool, ...]

    @classmethod
    def of(cls, by: Ints, came: Bools) -> Coding:
        """The coding that rows with these levels, of which some came, can carry."""
        own, pooled = [], []
        for column in by.T:
            levels, code = np.unique(column, return_inverse=True)
            n, n_came = np.bincount(code), np.bincount(code, came)
            enough = np.flatnonzero((n_came >= MIN_CAME) & (n >= _MIN_ROWS))
            order = enough[np.argsort(-n[enough], kind="stable")]
            own.append(levels[order])
            pooled.append(bool(n_came.sum() - n_came[enough].sum() >= MIN_CAME and len(order)))
        return cls(tuple(own), tuple(pooled))

    def design(self, by: Ints) -> Floats:
        """A column of ones and one for each effect, (len(by), 1 + effects)."""
        columns = [np.ones(len(by))]
        for levels, pooled, column in zip(self.own, self.pooled, by.T, strict=True):
            columns += [(column == level).astype(float) for level in levels[1:]]
            if pooled:
                columns.append((~np.isin(column, levels)).astype(float))
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Response:
    """The fitted model. ``chance`` (N,) is of every row, ``weight`` (N,) of those that came, or 0.

    ``weight`` is for loss alone, beside what a row counts for (``counts``, of mean 1).
    ``pattern`` (N,) numbers the rows of ``design`` (P, effects). ``n_trimmed`` rows have a weight
    that was cut; ``imbalance`` is the largest part of all N rows by which a level's weighted count
    is off because of that, or of the ridge. ``n_together`` levels have no effect of their own.
    """

    coding: Coding
    effects: Floats
    pattern: Ints
    design: Floats
    chance: Floats
    weight: Floats
    counts: Floats
    n_trimmed: int
    n_together: int
    imbalance: float

    @property
    def effective(self) -> float:
        """How many rows of equal weight vary as little as those that came do: Kish (1965)."""
        w = self.counts * self.weight / self.weight.max()
        return float(w.sum() ** 2 / (w @ w))

    def chance_of(self, by: Ints) -> Floats:
        """The chance to come of rows with these levels, seen before or not, in (0, 1)."""
        patterns, pattern = _patterns(by)
        return _chance(self.coding.design(patterns) @ self.effects)[pattern]


def fit_response(frame: Frame) -> Response:
    """The model of who came. Raises `NotEnoughData` where fewer than `MIN_CAME` rows did.

    >>> came = np.arange(400) % 4 > 0
    >>> came[:200] = np.arange(200) % 2 > 0  # half of the first level came, of the second 3 of 4
    >>> by = (np.arange(400) >= 200).astype(np.int64)[:, None]
    >>> fitted = fit_response(Frame(came, by, np.arange(400)))
    >>> [round(float(x), 3) for x in (fitted.chance[0], fitted.chance[-1], fitted.weight.sum())]
    [0.5, 0.75, 400.0]
    """
    came = frame.came
    if int(came.sum()) < MIN_CAME:
        raise NotEnoughData(
            f"{int(came.sum())} of {len(came)} pictures came: too few to say anything of the "
            f"others (at least {MIN_CAME} are needed)"
        )
    coding = Coding.of(frame.by, came)
    patterns, pattern = _patterns(frame.by)
    design = coding.design(patterns)
    counts = frame.counts
    n_came, n_lost = (
        np.asarray(np.bincount(pattern, counts * x, minlength=len(design)), float)
        for x in (came, ~came)
    )
    effects = _balance(design, n_came, n_lost)
    chance = _chance(design @ effects)
    weight = np.where(came, 1 / chance[pattern], 0.0)
    most = _HEAVIEST * float(np.median(weight[came]))
    heavy = weight > most
    weight = np.minimum(weight, most)
    gap = np.bincount(pattern, counts * weight, minlength=len(design)) - n_came - n_lost
    n_levels = sum(len(np.unique(column)) for column in frame.by.T)
    return Response(
        coding=coding,
        effects=effects,
        pattern=pattern,
        design=design,
        chance=chance[pattern],
        weight=weight,
        counts=counts,
        n_trimmed=int(heavy.sum()),
        n_together=n_levels - sum(len(levels) for levels in coding.own),
        imbalance=float(np.abs(design.T @ gap).max()) / len(came),
    )


def reweighted_share(
    hit: Numbers,
    base: Numbers,
    response: Response,
    frame: Frame,
    sample: Sample,
    odds: float = 1.0,
) -> Estimate:
    """The share of hits in the base among all N rows, from those that came, re-weighted.

    ``hit`` and ``base`` are (N,), ignored where the row did not come. Estimand: sum(hit) /
    sum(base) over the population of ``sample``, of which the N rows are a random sample, or all
    (``sampled`` 1: then only which of them came is chance). ``sample.unit`` are the clusters.

    With ``odds`` other than 1 loss depends on the level itself: the odds of a hit among those lost
    are so many times what pictures like them that came have (a pattern mixture, Little 1993;
    Rotnitzky, Robins and Scharfstein 1998): the model is then right but for that.

    Assumes `RANDOM_LOSS` but for ``odds``, a logistic model without interactions, and that
    clusters are lost, or keep their pictures, independently. Of a frame that is everything, the
    interval is right where domains are lost as a whole, and wider than need be where each
    picture is lost by itself. Fails with few clusters: with 60, of which 6 have the level that
    is lost most and are lost whole, it covers 90 % of such frames (and 96 % where the frame is
    a sample). Wilson's interval on the effective sample size, Clopper-Pearson's where
    `laion_probe.estimate.share` would switch.
    """
    inside = frame.came & (np.asarray(base, float) > 0)
    method = _METHOD
    if not inside.any():
        return not_defined(method, sample)
    y, x = (np.where(frame.came, v, 0).astype(float) for v in (hit, base))
    extra = np.where(frame.came, response.weight - 1, 0.0)
    counts = response.counts
    theta, of_came, of_lost = _tilted(counts * y, counts * x, extra, odds)
    rows, residual = _linearised(of_came, of_lost, extra, response, frame, sample.unit)
    unit, f = sample.unit, min(1.0, sample.sampled)
    between, chance_alone = (_by_unit(v, unit) for v in (rows, residual))
    m = len(between)
    grow = m / max(1, m - 1)
    ultimate = grow * float(between @ between)
    variance = (1 - f) * ultimate + f * grow * float(chance_alone @ chance_alone)
    clusters = _clusters(y, x, counts * response.weight, unit)
    kept = clusters.n
    if variance <= 0 and f >= 1 and frame.came.all():
        low, high, name = theta, theta, "every row came"
    elif clusters.few or clusters.alike < MIN_UNITS:
        size = theta * (1 - theta) / ultimate if ultimate > 0 else float(kept)
        scale = variance / ultimate if ultimate > 0 else 1.0
        n_eff = clusters.adjusted(min(float(kept), size), sample.level) / max(scale, 1e-12)
        low, high = clopper_pearson(theta * n_eff, n_eff, sample.level)
        name = "Clopper-Pearson on the effective sample size, clustered"
    else:
        df = _df((1 - f) * between**2 + f * chance_alone**2, m - 1)
        low, high = Spread(variance, df, variance, m - 1).interval(theta, sample.level)
        name = "Wilson on the effective sample size, linearised, clustered"
    return Estimate(
        value=theta,
        low=min(low, theta),
        high=max(high, theta),
        level=sample.level,
        n=kept,
        units=clusters.units,
        method=f"{method}, {name}",
        assumptions=_assumptions(response, sample, odds),
    )


def drawn_share(hit: Numbers, base: Numbers, worth: Floats, sample: Sample) -> Estimate:
    """The share of hits in the base where rows were drawn with chances that differ (Hájek 1971).

    ``worth`` (N,) is 1 / a row's chance, by any factor. The interval is `reweighted_share`'s, of
    rows that all came.

    >>> yes, all_in = np.arange(400) < 100, np.ones(400, bool)
    >>> worth = np.where(yes, 3.0, 1.0)  # a hit was drawn a third as often
    >>> round(drawn_share(yes, all_in, worth, Sample(np.arange(400))).value, 3)
    0.5
    """
    n = len(worth)
    frame = Frame(np.ones(n, bool), np.zeros((n, 0), np.int64), sample.unit, worth)
    found = reweighted_share(hit, base, fit_response(frame), frame, sample)
    if found.value is None:
        return not_defined("share of no rows", sample)
    return found.model_copy(
        update={
            "method": found.method.replace(_METHOD, "weighted by 1 / chance to be tried (Hájek)"),
            "assumptions": ("rows were tried with the chances stated", *sample.assumptions()),
        }
    )


def _assumptions(response: Response, sample: Sample, odds: float) -> tuple[str, ...]:
    said = [
        RANDOM_LOSS
        if odds == 1
        else f"among those lost the odds are {odds:g} times those of pictures like them that came",
        "the logistic model of response holds",
        "clusters are lost independently of each other",
    ]
    if sample.sampled < 1:
        said.append(sample.assumes)
    if response.n_trimmed:
        said.append(f"{response.n_trimmed} heavy weights were cut: their rows count too little")
    return tuple(said)


# The fit


def _patterns(by: Ints) -> tuple[Ints, Ints]:
    """The different rows of levels, (P, K), and which of them each row is."""
    code = np.zeros(len(by), np.int64)
    for column in by.T:
        levels, mine = np.unique(column, return_inverse=True)
        _, code = np.unique(code * len(levels) + mine, return_inverse=True)
    first = np.zeros(int(code.max(initial=-1)) + 1, np.int64)
    first[code] = np.arange(len(by))
    return by[first], code


def _chance(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -_STEEPEST, _STEEPEST))))


def _balance(design: Floats, n_came: Floats, n_lost: Floats) -> Floats:
    """Effects at which those that came, by 1 / chance - 1, count as those lost do, level by level.

    The minimum of sum(came * exp(-x'b)) + sum(lost * x'b) and a ridge, by Newton's method.
    """
    n, lost = n_came.sum() + n_lost.sum(), design.T @ n_lost
    ridge = np.full(design.shape[1], _RIDGE)
    b = np.zeros(design.shape[1])
    b[0] = math.log((n_came.sum() + 0.5) / (n_lost.sum() + 0.5))

    def weights(b: Floats) -> Floats:
        return np.asarray(n_came * np.exp(-np.clip(design @ b, -_STEEPEST, _STEEPEST)))

    def loss(b: Floats) -> float:
        return float(weights(b).sum() + lost @ b + (ridge * b) @ b / 2)

    now = loss(b)
    for _ in range(_STEPS):
        extra = weights(b)
        slope = lost - design.T @ extra + ridge * b
        bend = (design.T * extra) @ design + np.diag(ridge)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while (then := loss(b - size * step)) > now and size > _CLOSE:
            size /= 2
        if then > now or float(slope @ step) < _CLOSE * n:
            break
        b, now = b - size * step, then
    return b


# The share


def _tilted(y: Floats, x: Floats, extra: Floats, odds: float) -> tuple[float, Floats, Floats]:
    """The share, and its derivatives: of what came, and of what stands for those lost, by row.

    ``extra`` are the weights by which rows that came stand for those lost.
    """
    hits, of = float(y.sum()), float(x.sum())
    lost_hits, lost = float(extra @ y), float(extra @ x)
    q = lost_hits / lost if lost > 0 else 0.0
    below = 1 - q + odds * q
    tilted, steep = odds * q / below, odds / below**2
    total = of + lost
    theta = (hits + lost * tilted) / total
    of_came = (y - theta * x) / total
    of_lost = (steep * y + (tilted - steep * q - theta) * x) / total
    return min(1.0, max(0.0, theta)), of_came, of_lost


def _linearised(
    of_came: Floats, of_lost: Floats, extra: Floats, response: Response, frame: Frame, unit: Ints
) -> tuple[Floats, Floats]:
    """What each row adds to the share, and which part of it hangs on whether that row came.

    Both allow for the weights having been fitted to these rows. A cluster that a level's weights
    rest on pulls them towards itself: its residuals are as leaving it out would give them (HC3 of
    MacKinnon and White 1985, by cluster).
    """
    pattern, design, came = response.pattern, response.design, frame.came
    p, counts = len(design), response.counts
    odds_lost = np.where(came, 1 / response.chance - 1, 0.0)  # before any weight was cut
    whole = np.isclose(extra, odds_lost)
    stood_for = counts * odds_lost
    bend = (design.T * np.bincount(pattern, stood_for, minlength=p)) @ design
    bend += _RIDGE * np.eye(design.shape[1])
    moved = design.T @ np.bincount(pattern, np.where(whole, extra * of_lost, 0.0), minlength=p)
    fitted = counts * (design @ np.linalg.solve(bend, moved))[pattern]
    pull = np.einsum("pk,kp->p", design, np.linalg.solve(bend, design.T))[pattern]
    of_cluster = np.minimum(_MOST_PULL, np.bincount(unit, stood_for * pull))[unit]
    residual = np.where(came, of_came + extra * of_lost - (odds_lost + 1) * fitted, 0.0)
    residual /= 1 - of_cluster
    return fitted + residual, np.sqrt(1 - response.chance) * residual


def _by_unit(values: Floats, unit: Ints) -> Floats:
    return np.asarray(np.bincount(unit, values)[np.bincount(unit) > 0], float)


def _clusters(y: Floats, x: Floats, weight: Floats, unit: Ints) -> Clusters:
    """How the base's rows that came lie in clusters; and, by weight, what they are worth."""
    n, hits, weighed = (np.bincount(unit, v) for v in (x, y, weight * x))
    there = n > 0
    size, hits, weighed = n[there], hits[there], weighed[there]
    share = weighed / weighed.max()
    return Clusters(
        n=round(float(size.sum())),
        units=len(size),
        minority=min(int((hits > 0).sum()), int((hits < size).sum())),
        alike=float(share.sum() ** 2 / (share @ share)),
    )


def _df(squares: Floats, most: int) -> float:
    """Satterthwaite's (1946) degrees of freedom of a sum of such squares."""
    total, fourth = float(squares.sum()), float(squares @ squares)
    if total <= 0 or fourth <= 0:
        return float(max(1, most))
    spread = fourth / total**2 - 1 / len(squares)
    return float(min(most, max(1.0, 2 / spread))) if spread > 0 else float(most)
