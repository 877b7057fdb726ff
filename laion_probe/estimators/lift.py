"""What comes with a concept: the share of rows with a word or a thing, beside it and elsewhere.

Rows of one unit (a domain's pictures, a seed batch) are alike, so units are what varies; a unit may
hold rows of both sides. The data are taken as a sample of what such data could be: the question is
what a concept goes with, not what these very rows hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from laion_probe.estimate import (
    MIN_MINORITY,
    Sample,
    difference_independent,
    ratio_independent,
    share,
)
from laion_probe.results import Estimate

__all__ = ["Lift", "lift", "moved"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lift:
    """The share of hits beside the concept, in the rest, and the one over the other."""

    beside: Estimate
    rest: Estimate
    ratio: Estimate


def lift(hit: Bools, near: Bools, sample: Sample, together: int = 1) -> Lift:
    """How much more often rows ``near`` a concept are hits than the others.

    ``hit`` and ``near`` are (n,) over the same rows. The log of the ratio is linearised by unit, so
    that what a unit adds to both sides cancels (Särndal, Swensson, Wretman 1992, ch. 5.6), with
    Student's t on the units that hold hits, the fewer of the two sides'. Where fewer than 20 hold
    them on either side, both shares are taken as if independent (MOVER), which is wider. Of no hit
    in the rest the ratio has a lower end alone. Intervals hold for ``together`` of them at the
    sample's level (Bonferroni); they know nothing of a classifier's errors.

    >>> rows = np.arange(400)
    >>> found = lift(rows % 4 == 0, rows < 0, Sample(rows))
    >>> found.beside.value is None, found.rest.value
    (True, 0.25)
    """
    each = replace(sample, level=1 - (1 - sample.level) / together)
    beside, rest = share(hit, near, each), share(hit, ~near, each)
    ratio = _paired(hit, near, each)
    if ratio is None:
        ratio = ratio_independent(rest, beside)
        if rest.value == 0 and beside.low and rest.high:
            ratio = ratio.model_copy(
                update={
                    "low": beside.low / rest.high,
                    "n": beside.n + rest.n,
                    "method": "least end beside over greatest end in the rest: no hit there",
                }
            )
    return Lift(*(_told(e, sample.level, together) for e in (beside, rest, ratio)))


def moved(data: Estimate, hit: Bools, sample: Sample, together: int = 1) -> tuple[Estimate, ...]:
    """The share of hits among outputs, and that share less ``data``'s.

    ``data`` comes from `lift` with the same level and ``together``; outputs are another sample.

    >>> rows = np.arange(400)
    >>> data = lift(rows % 4 == 0, rows < 200, Sample(rows)).beside
    >>> [e.value for e in moved(data, rows % 2 == 0, Sample(rows))]
    [0.5, 0.25]
    """
    each = replace(sample, level=1 - (1 - sample.level) / together)
    outputs = share(hit, np.ones(len(hit), bool), each)
    change = difference_independent(data, outputs)
    return tuple(_told(e, sample.level, together) for e in (outputs, change))


def _paired(hit: Bools, near: Bools, sample: Sample) -> Estimate | None:
    """The ratio linearised by unit; None where too few units hold hits."""
    found = [_by_unit(hit, side, sample) for side in (near, ~near)]
    units = int(((found[0][1] > 0) | (found[1][1] > 0)).sum())
    holding = min(int((hits > 0).sum()) for hits, _ in found)
    if holding < MIN_MINORITY:
        return None
    shares = [float(hits.sum() / size.sum()) for hits, size in found]
    residual = np.zeros(len(found[0][0]))
    for sign, (hits, size), p in zip((1, -1), found, shares, strict=True):
        residual += sign * (hits - p * size) / hits.sum()
    error = math.sqrt(units / (units - 1) * float(residual @ residual))
    half = float(stdtrit(holding - 1, 0.5 + sample.level / 2)) * error
    value = shares[0] / shares[1]
    return Estimate(
        value=value,
        low=value * math.exp(-half),
        high=value * math.exp(half),
        level=sample.level,
        n=len(hit),
        units=units,
        method="log ratio linearised by unit, Student's t",
        assumptions=sample.assumptions(),
    )


def _by_unit(hit: Bools, side: Bools, sample: Sample) -> tuple[Floats, Floats]:
    size = np.bincount(sample.unit, weights=side).astype(np.float64)
    return np.bincount(sample.unit, weights=hit & side).astype(np.float64), size


def _told(e: Estimate, level: float, together: int) -> Estimate:
    """The estimate at the level that holds for all of them."""
    if together == 1 or (e.low is None and e.high is None):
        return e.model_copy(update={"level": level})
    method = f"{e.method}; together with {together - 1} others (Bonferroni)"
    return e.model_copy(update={"level": level, "method": method})
