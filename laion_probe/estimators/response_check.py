"""Whether a model of response predicts who comes among rows that it has not seen.

Clusters, not rows, are held out: another picture of the same domain is no news. Each row is
predicted once, by a model of the other folds. A good fit here says that the model describes loss by
what it knows of the rows; **it is no evidence that loss is random beyond that**, since a cause of
loss that no level carries leaves no trace in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from laion_probe.errors import NotEnoughData
from laion_probe.estimate import Sample, share
from laion_probe.estimators.response import Frame, fit_response
from laion_probe.results import Estimate

__all__ = ["FitCheck", "Reliability", "check_fit", "predict_held_out"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EDGE = 1e-4  # predictions are kept so far from 0 and 1 for their logits


@dataclass(frozen=True)
class Reliability:
    """Rows of like prediction: how many, the mean prediction, and the share that came."""

    predicted: float
    came: Estimate


@dataclass(frozen=True)
class FitCheck:
    """How predictions of held-out rows fared; intervals are by cluster, given the predictions.

    ``brier`` is the mean squared error, ``brier_of_rate`` that of the folds' plain rates.
    ``intercept`` and ``slope`` are of a logistic regression of having come on the predicted logit
    (0 and 1 where the model is calibrated; Cox 1958). ``auc`` is the chance that a row that came is
    predicted above one that did not. ``calibration_error`` is the mean distance of the reliability
    table's two columns, by rows; it has no interval, since it is above 0 by chance alone.
    """

    folds: int
    brier: Estimate
    brier_of_rate: float
    auc: Estimate
    intercept: Estimate
    slope: Estimate
    calibration_error: float
    reliability: tuple[Reliability, ...]


def predict_held_out(frame: Frame, folds: int = 5, seed: int = 0) -> tuple[Floats, Floats]:
    """The chance of each row by a model of the other folds' clusters; and those folds' plain rate.

    Raises `NotEnoughData` where there are fewer clusters than folds, or too few pictures.
    """
    names, unit = np.unique(frame.cluster, return_inverse=True)
    if len(names) < 2 * folds:
        raise NotEnoughData(
            f"{len(names)} clusters of rows are too few to hold out one in {folds}: the model of "
            "response cannot be checked"
        )
    fold = (np.random.default_rng(seed).permutation(len(names)) % folds)[unit]
    chance, rate = np.zeros(len(unit)), np.zeros(len(unit))
    for k in range(folds):
        out, rest = fold == k, fold != k
        worth = None if frame.worth is None else frame.worth[rest]
        part = Frame(frame.came[rest], frame.by[rest], frame.cluster[rest], worth)
        chance[out] = fit_response(part).chance_of(frame.by[out])
        rate[out] = frame.came[rest].mean()
    return chance, rate


def check_fit(
    frame: Frame, folds: int = 5, seed: int = 0, bins: int = 10, level: float = 0.95
) -> FitCheck:
    """Check the model of response on held-out clusters.

    >>> rng = np.random.default_rng(1)
    >>> by, cluster = np.arange(3000) % 3, np.arange(3000) // 3
    >>> came = rng.random(3000) < np.array([0.4, 0.6, 0.8])[by]
    >>> found = check_fit(Frame(came, by[:, None], cluster))
    >>> found.auc.low > 0.6, found.slope.low < 1 < found.slope.high
    (True, True)
    """
    chance, rate = predict_held_out(frame, folds, seed)
    came = frame.came.astype(float)
    _, unit = np.unique(frame.cluster, return_inverse=True)
    of = _Clustered(unit, level)
    wrong = (came - chance) ** 2
    slope, intercept = _calibration(came, chance, of)
    table = _reliability(frame.came, chance, unit, bins, level)
    gaps = [r.came.n * abs((r.came.value or 0.0) - r.predicted) for r in table]
    return FitCheck(
        folds=folds,
        brier=of.estimate(
            float(wrong.mean()), wrong - wrong.mean(), "Brier score of held-out rows"
        ),
        brier_of_rate=float(((came - rate) ** 2).mean()),
        auc=_auc(frame.came, chance, of),
        intercept=intercept,
        slope=slope,
        calibration_error=sum(gaps) / len(came),
        reliability=table,
    )


@dataclass(frozen=True)
class _Clustered:
    unit: Ints
    level: float

    def estimate(self, value: float, added: Floats, name: str) -> Estimate:
        """A mean over rows, or what behaves like one: each row adds ``added / N``."""
        total = np.bincount(self.unit, added) / len(added)
        m = len(total)
        error = math.sqrt(m / max(1, m - 1) * float(total @ total))
        half = float(stdtrit(max(1, m - 1), 0.5 + self.level / 2)) * error
        return Estimate(
            value=value,
            low=value - half,
            high=value + half,
            level=self.level,
            n=len(added),
            units=m,
            method=f"{name}, linearised by cluster, Student's t",
            assumptions=("the predictions are taken as given",),
        )


def _auc(came: Bools, chance: Floats, of: _Clustered) -> Estimate:
    """By placements (DeLong, DeLong and Clarke-Pearson 1988), clustered (Obuchowski 1997)."""
    values, at = np.unique(chance, return_inverse=True)
    n_came, n_lost = (np.bincount(at, x, minlength=len(values)) for x in (came, ~came))
    lost_below = np.cumsum(n_lost) - n_lost / 2
    came_above = n_came.sum() - np.cumsum(n_came) + n_came / 2
    if not (n_came.sum() and n_lost.sum()):
        raise NotEnoughData("every picture came, or none did: there is nothing to predict")
    beats, beaten = lost_below / n_lost.sum(), came_above / n_came.sum()
    auc = float(n_came @ beats / n_came.sum())
    n = len(came)
    added = np.where(
        came, (beats[at] - auc) * n / n_came.sum(), (beaten[at] - auc) * n / n_lost.sum()
    )
    found = of.estimate(auc, added, "area under the ROC curve of held-out rows")
    assert found.low is not None
    assert found.high is not None
    return found.model_copy(update={"low": max(0.0, found.low), "high": min(1.0, found.high)})


def _calibration(came: Floats, chance: Floats, of: _Clustered) -> tuple[Estimate, Estimate]:
    """Slope and intercept of having come on the predicted logit; the latter at slope 1."""
    x = logit(np.clip(chance, _EDGE, 1 - _EDGE))
    name = "of having come on the predicted logit, held-out rows"
    shift = np.ones((len(x), 1))
    a = _logistic(shift, came, x)
    at_one = of.estimate(float(a[0][0]), a[1][:, 0], f"calibration intercept {name}")
    if np.ptp(x) < 1e-9:  # one prediction for all has no slope
        none = at_one.model_copy(
            update={
                "value": None,
                "low": None,
                "high": None,
                "method": "one prediction for all: no slope",
            }
        )
        return none, at_one
    b = _logistic(np.stack([np.ones(len(x)), x], axis=1), came, np.zeros(len(x)))
    return of.estimate(float(b[0][1]), b[1][:, 1], f"calibration slope {name}"), at_one


def _logistic(design: Floats, y: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Coefficients of a logistic regression, and what each row adds to them (times N)."""
    b = np.zeros(design.shape[1])
    for _ in range(50):
        p = expit(design @ b + offset)
        bend = (design.T * (p * (1 - p) + 1e-12)) @ design
        step = np.linalg.solve(bend, design.T @ (y - p))
        b += np.clip(step, -2, 2)
        if float(np.abs(step).max()) < 1e-10:
            break
    scores = design * (y - expit(design @ b + offset))[:, None]
    return b, len(y) * np.linalg.solve(bend, scores.T).T


def _reliability(
    came: Bools, chance: Floats, unit: Ints, bins: int, level: float
) -> tuple[Reliability, ...]:
    """Rows by tenths of their prediction; rows of one prediction stay together."""
    edges = np.unique(np.quantile(chance, np.arange(1, bins) / bins))
    at = np.searchsorted(edges, chance, side="left")
    sample = Sample(unit, 0.0, level, "clusters are a random sample of those like them")
    return tuple(
        Reliability(float(chance[at == k].mean()), share(came, at == k, sample))
        for k in np.unique(at)
    )
