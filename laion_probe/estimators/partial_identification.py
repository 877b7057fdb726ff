"""What a share can be when some rows have no label, and nothing is assumed of them.

Worst-case bounds (Manski 1990; 2003, ch. 1): every open row, lost or *unknown*, may be a hit, or a
miss, or outside the base. The interval for the share itself, which lies somewhere between the
bounds, is Imbens and Manski's (2004): where the bounds are far apart, the share can be near one of
them only, and a one-sided margin at each end is enough; where they meet, it is the usual two-sided
one. Stoye (2009) showed that this needs the width to be known far better than the bounds are when
it is near 0. That holds here (his Lemma 3): the upper bound is above the lower one in every sample,
by construction, and the width's own error goes to 0 with the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from laion_probe.estimate import Sample, not_defined, share
from laion_probe.estimators.response import (
    Frame,
    Response,
    drawn_share,
    reweighted_share,
)
from laion_probe.estimators.weighted import Numbers
from laion_probe.results import Estimate

__all__ = ["Identified", "critical_value", "odds_between", "sensitivity_curve", "worst_case"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Identified:
    """``low`` to ``high``: all that these rows leave possible, without any sampling error.

    ``interval`` covers the share in the population with the level's chance; it has no value.
    ``critical`` is the number of standard errors at each end.
    """

    low: float | None
    high: float | None
    interval: Estimate
    critical: float | None


def critical_value(width: float, level: float = 0.95) -> float:
    """Imbens and Manski's (2004) C: ndtr(C + width) - ndtr(-C) = level.

    ``width`` is the distance of the bounds in standard errors, those of the less certain bound.

    >>> round(critical_value(0.0), 2), round(critical_value(10.0), 2)
    (1.96, 1.64)
    """
    if width < 0:
        raise ValueError("the upper bound is above the lower one")
    one_sided, two_sided = float(ndtri(level)), float(ndtri(0.5 + level / 2))
    if width == 0:
        return two_sided
    if width > 40:  # ndtr is 1 by then
        return one_sided

    def missed(c: float) -> float:
        return float(ndtr(c + width) - ndtr(-c)) - level

    return float(brentq(missed, one_sided - 1e-9, two_sided + 1e-9))


def worst_case(
    hit: Bools, base: Bools, open_rows: Bools, sample: Sample, worth: Floats | None = None
) -> Identified:
    """The bounds of the share of ``hit`` in ``base`` if ``open_rows`` may be anything, (N,) each.

    Lost rows and those of an *unknown* level are open alike; what they are marked as is ignored.
    Of a population that the rows are all of (``sampled`` 1) the interval is the bounds themselves.
    Each end is `laion_probe.estimate.share`'s interval, at the level that Imbens and Manski's
    critical value stands for. Assumes nothing of the open rows; of the others, that labels are
    right. For the share of a group, give the group's rows alone. ``worth`` (N,) is 1 / each row's
    chance to be tried where those differ (`laion_probe.estimators.response.drawn_share`).

    >>> yes, all_in, lost = np.arange(100) < 30, np.ones(100, bool), np.arange(100) >= 80
    >>> found = worst_case(yes, all_in, lost, Sample(np.arange(100)))
    >>> found.low, found.high
    (0.3, 0.5)
    """
    closed = ~open_rows
    hit, base = hit & base & closed, base & closed
    both = base | open_rows
    if not both.any():
        return Identified(None, None, not_defined("share of no rows", sample), None)
    most_hit = hit | open_rows
    counts = np.ones(len(both)) if worth is None else worth
    n = float(counts[both].sum())
    low, high = float(counts[hit].sum()) / n, float(counts[most_hit].sum()) / n
    error = max(_error(x, both, counts, sample) for x in (hit, most_hit))
    c = critical_value((high - low) / error if error > 0 else math.inf, sample.level)
    if sample.sampled >= 1:
        c = 0.0
    ends = Sample(sample.unit, sample.sampled, float(2 * ndtr(c) - 1) or 0.5, sample.assumes)
    least, most = (
        share(x, both, ends) if worth is None else drawn_share(x, both, worth, ends)
        for x in (hit, most_hit)
    )
    interval = least.model_copy(
        update={
            "value": None,
            "high": most.high,
            "level": sample.level,
            "method": f"worst-case bounds for lost and unknown rows (Manski), {_NAME}, each end "
            f"{least.method}",
        }
    )
    return Identified(low, high, interval, c)


_NAME = "interval for the share (Imbens and Manski 2004)"


def sensitivity_curve(
    hit: Numbers,
    base: Numbers,
    response: Response,
    frame: Frame,
    sample: Sample,
    odds: Sequence[float],
) -> tuple[Estimate, ...]:
    """`reweighted_share` if the odds of a hit among those lost are so many times those expected.

    Expected are those of pictures like them that came; 1 is loss at random. What part of those lost
    is in the base stays as expected.
    """
    return tuple(reweighted_share(hit, base, response, frame, sample, x) for x in odds)


def odds_between(curve: Sequence[Estimate], most: float) -> Estimate:
    """The range of the share if those lost have ``1 / most`` to ``most`` times the expected odds.

    ``curve`` holds the share at the two ends, in this order. Each end has its own margin, so that
    the range covers at least as often as its level says.
    """
    first, last = curve
    return first.model_copy(
        update={
            "value": None,
            "high": last.high,
            "method": f"{first.method}; odds among those lost from {1 / most:.3g} to {most:.3g} "
            "times those expected",
            "assumptions": (
                f"those lost have at most {most:g} times the odds of pictures like them that came, "
                "and at least one over that",
                *first.assumptions[1:],
            ),
        }
    )


def _error(hit: Bools, base: Bools, counts: Floats, sample: Sample) -> float:
    """The standard error of a share, linearised by unit."""
    size, y = (np.bincount(sample.unit, counts * x).astype(np.float64) for x in (base, hit))
    there = size > 0
    if int(there.sum()) == 1:  # rows take the place of the only unit
        size, y = counts * base, counts * hit
        there = size > 0
    n, m = float(size.sum()), int(there.sum())
    residual = (y - y.sum() / n * size)[there]
    left = 1 - min(1.0, sample.sampled)
    return math.sqrt(left * m / max(1, m - 1) * float(residual @ residual)) / n
