"""How a concept spreads over clusters in each set, how two sets differ, and when that is shown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from laion_probe.estimators.entropy import Spread, distance, entropy_difference
from laion_probe.explore_result import Differs
from laion_probe.results import Estimate

__all__ = ["Placed", "Spreads", "differences", "ends", "spreads"]

Ints = NDArray[np.int64]
#: By set and concept.
Spreads = dict[tuple[int, int], Spread]


@dataclass(frozen=True)
class Placed:
    """The pictures of a set: ``cluster``, from 0, ``group`` (the concept) and ``unit`` of each."""

    cluster: Ints
    group: Ints
    unit: Ints


def spreads(sets: Sequence[Placed], level: float) -> Spreads:
    """How each concept of each set spreads over the clusters that all sets share.

    >>> one = Placed(np.array([0, 1, 1]), np.array([0, 0, 0]), np.arange(3))
    >>> spreads([one], 0.95)[0, 0].counts.sum(axis=0).tolist()
    [1, 2]
    """
    k = max(2, 1 + max(int(s.cluster.max()) for s in sets if len(s.cluster)))
    found = {}
    for s, one in enumerate(sets):
        for g in np.unique(one.group).tolist():
            mine = one.group == g
            found[s, g] = Spread.of(one.cluster[mine], one.unit[mine], k, level)
    return found


def differences(shown: Spreads, others: Sequence[Spreads], level: float) -> tuple[Differs, ...]:
    """Each pair of sets for each concept that both have, intervals at once (Bonferroni).

    ``others`` are of clusterings from other seeds. An interval holds for one clustering as it is;
    so it is counted in how many of them it leaves out zero, and only what does in all is shown.
    """
    pairs = [
        (g, a, b)
        for a, b in itertools.combinations(sorted({s for s, _ in shown}), 2)
        for g in sorted({g for _, g in shown})
        if (a, g) in shown and (b, g) in shown
    ]
    at_once = 1 - (1 - level) / max(1, len(pairs))
    found = []
    for g, a, b in pairs:
        both = [[replace(one[s, g], level=at_once) for s in (a, b)] for one in (shown, *others)]
        evenness = [entropy_difference(*x) for x in both]
        apart = [distance(*x) for x in both]
        found.append(
            Differs(
                group=g,
                first=a,
                second=b,
                entropy=evenness[0],
                distance=apart[0].corrected,
                raw_distance=apart[0].raw or 0.0,
                entropy_over_seeds=ends(e.value for e in evenness[1:]),
                distance_over_seeds=ends(d.corrected.value for d in apart[1:]),
                n_less=sum(_below(e) for e in evenness),
                n_more=sum(_above(e) for e in evenness),
                n_apart=sum(_above(d.corrected) for d in apart),
            )
        )
    return tuple(found)


def ends(values: Iterable[float | None]) -> tuple[float, float]:
    """The least and the greatest of those that are known."""
    known = [v for v in values if v is not None]
    return min(known), max(known)


def _below(e: Estimate) -> bool:
    return e.high is not None and e.high < 0


def _above(e: Estimate) -> bool:
    return e.low is not None and e.low > 0
