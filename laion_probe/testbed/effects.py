"""Effects of a 2 by 2 design whose unit is the seed: contrasts within seeds, Student's t.

All arms of a seed share their other rows, so that a seed is a block. An effect is formed within
each seed from its four runs, and its interval is Student's over seeds: the linear model with a
block for each seed and, for the four cells, variances and correlations that may be any (which
takes degrees of freedom: seeds - 1). Pictures of one run are never taken for runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from laion_probe.results import Estimate

__all__ = ["EFFECTS", "contrast", "log_odds", "mean_between", "share_between"]

#: Signs of (neither, over-represented, emptied, both) in each effect, in halves for main effects.
EFFECTS: Mapping[str, tuple[float, float, float, float]] = {
    "emptied": (-0.5, -0.5, 0.5, 0.5),
    "over-represented": (-0.5, 0.5, -0.5, 0.5),
    "interaction": (1.0, -1.0, -1.0, 1.0),
}

_ASSUMES = ("seeds are exchangeable, and their contrasts about normal",)


def contrast(values: NDArray[np.float64], signs: Sequence[float], level: float) -> Estimate:
    """The mean over seeds of ``values`` (seeds, cells) times ``signs``, with Student's interval.

    Two seeds or more. The same number in every seed gives an interval of no width.

    >>> e = contrast(np.array([[1.0, 2.0], [1.0, 4.0]]), (-1, 1), 0.95)
    >>> e.value, e.units
    (2.0, 2)
    """
    return mean_between(values @ np.asarray(signs, dtype=np.float64), level, "contrast within")


def mean_between(values: NDArray[np.float64], level: float, what: str = "mean of") -> Estimate:
    """The mean of one number a seed, with Student's interval; of one seed, no interval."""
    n = len(values)
    mean = float(values.mean()) if n else None
    low = high = None
    if n > 1 and mean is not None:
        half = float(stdtrit(n - 1, 0.5 + level / 2)) * float(values.std(ddof=1)) / math.sqrt(n)
        low, high = mean - half, mean + half
    return Estimate(
        value=mean,
        low=low,
        high=high,
        level=level,
        n=n,
        units=n,
        method=f"{what} seeds, Student's t over seeds",
        assumptions=_ASSUMES,
    )


def share_between(values: NDArray[np.float64], level: float) -> Estimate:
    """As `mean_between` of shares, whose interval ends where shares do.

    >>> e = share_between(np.array([0.9, 1.0]), 0.95)
    >>> e.value, e.high
    (0.95, 1.0)
    """
    e = mean_between(values, level)
    if e.low is None or e.high is None:
        return e
    return e.model_copy(update={"low": max(0.0, e.low), "high": min(1.0, e.high)})


def log_odds(hits: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """The empirical log odds (Cox 1970): half a count is added, so that none and all have some."""
    return np.log((hits + 0.5) / (n - hits + 0.5))
