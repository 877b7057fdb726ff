"""What an approximate search that misses neighbours could do to their composition.

An index finds a part of the true neighbours, its recall, and does not say which it missed. Recall
is measured on held-out queries against the exact search; the queries are what varies, so that the
neighbours of one query are one observation. Two questions differ: how high recall is on average (an
interval), and how low it may be for the next concept (a prediction limit, which is lower and does
not narrow with more queries). A bound on one concept's composition needs the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from laion_probe.estimate import (
    Clusters,
    clopper_pearson,
    wilson,
)
from laion_probe.results import Estimate

__all__ = [
    "Found",
    "recall_estimate",
    "recall_of_a_query",
    "worst_case",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_QUERIES = "held-out queries are a random sample of those that are asked"
_ALIKE = "this concept is as the held-out queries are (exchangeable)"


@dataclass(frozen=True)
class Found:
    """What an approximate search returned for one concept, as it was read.

    ``hits`` rows are of the level whose share is asked for, ``against`` of the other one,
    ``unknown`` may be of either, ``other`` are of neither. ``kind``: "threshold", every row found
    is truly near, and some that are near are missing; "top_k", as many were found as were wanted,
    some of them in the place of missed ones.
    """

    hits: int
    against: int
    unknown: int = 0
    kind: Literal["threshold", "top_k"] = "threshold"
    other: int = 0


def recall_estimate(hits: Ints, true: Ints, level: float = 0.95) -> Estimate:
    """The share of true neighbours that is found, over all queries; (Q,) counts of each.

    Linearised by query; Wilson's interval on the effective sample size, Clopper-Pearson's with
    under 20 queries that miss any (or find any) or under 30 queries. Queries without true
    neighbours say nothing. Fails for a single concept: see `recall_of_a_query`.

    >>> e = recall_estimate(np.full(50, 100), np.full(50, 100))
    >>> e.value, round(e.low, 2), e.units
    (1.0, 0.93, 50)
    """
    known = true > 0
    y, size = hits[known].astype(float), true[known].astype(float)
    n, m = int(size.sum()), len(size)
    name = "recall over queries"
    if n == 0:
        return Estimate(value=None, low=None, high=None, level=level, n=0, units=0, method=name)
    p = float(y.sum() / n)
    clusters = Clusters.of(y, size)
    n_eff = clusters.adjusted(_effective(y, size, p), level)
    interval = clopper_pearson if clusters.few or m < 2 else wilson
    low, high = interval(p * n_eff, n_eff, level)
    used = "Clopper-Pearson" if interval is clopper_pearson else "Wilson"
    return Estimate(
        value=p,
        low=min(p, low),
        high=max(p, high),
        level=level,
        n=n,
        units=m,
        method=f"{name}, {used} on the effective sample size, clustered by query",
        assumptions=(_QUERIES,),
    )


def recall_of_a_query(recall: Floats, level: float = 0.95) -> Estimate:
    """A limit that the recall of one more query stays above, with probability ``level``.

    ``recall`` (Q,) of held-out queries. An order statistic, whatever the distribution (Vovk,
    Gammerman, Shafer 2005): the floor((Q + 1)(1 - level))th lowest; 0 with too few queries (19 at
    95 %). ``value`` is the median; ``high`` is 1, since the limit is one-sided.

    >>> recall_of_a_query(np.arange(1, 100) / 100).low
    0.05
    """
    ordered = np.sort(recall)
    place = _place(len(ordered), 1 - level)
    return Estimate(
        value=float(np.median(ordered)) if len(ordered) else None,
        low=float(ordered[place - 1]) if place else 0.0,
        high=1.0,
        level=level,
        n=len(ordered),
        units=len(ordered),
        method="one-sided prediction limit for one query, order statistic",
        assumptions=(_ALIKE,),
    )


def worst_case(found: Found, recall_low: float, level: float = 0.95) -> Estimate:
    """The range of the share among all true neighbours, whatever the missed ones are.

    hits / (hits + against), if missed and unknown rows were all of one level or all of the other
    (Manski 1990). ``recall_low`` is what this concept's recall is not below: `recall_of_a_query`'s
    ``low``, and then the range holds with the same ``level``; the average's is too high for half
    of all concepts. No sampling is allowed for: all that was found was read. ``value`` is None.

    >>> e = worst_case(Found(hits=60, against=40), 0.8)
    >>> round(e.low, 2), round(e.high, 2)
    (0.48, 0.68)
    """
    returned = found.hits + found.against + found.unknown + found.other
    method = f"worst-case bounds: recall {recall_low:.3f}, missed rows are of one level or other"
    low, high = 0.0, 1.0
    if returned and recall_low > 0:
        if found.kind == "threshold":
            missed, wrong = returned * (1 - recall_low) / recall_low, 0.0
        else:
            missed = wrong = returned * (1 - recall_low)
        low = _least(found.hits, found.against + found.unknown + missed, wrong)
        high = 1 - _least(found.against, found.hits + found.unknown + missed, wrong)
    return Estimate(
        value=None,
        low=low,
        high=high,
        level=level,
        n=returned,
        units=returned,
        method=method,
        assumptions=("this concept's recall is not below that",),
    )


def _effective(y: Floats, size: Floats, p: float) -> float:
    """How many independent neighbours these are worth."""
    n, m = float(size.sum()), len(size)
    residual = y - p * size
    variance = m / (m - 1) * float(residual @ residual) / n**2 if m > 1 else 0.0
    return min(n, p * (1 - p) / variance) if variance > 0 and 0 < p < 1 else n


def _place(n: int, tail: float) -> int:
    """The order statistic (from 1) that one more value is below with at most ``tail``; 0: none."""
    return math.floor((n + 1) * tail + 1e-9)


def _least(kind: float, others: float, wrong: float) -> float:
    """The lowest share of a kind if ``wrong`` rows of it should not have been found."""
    kept = max(0.0, kind - wrong)
    return kept / (kept + others) if kept + others > 0 else 0.0
