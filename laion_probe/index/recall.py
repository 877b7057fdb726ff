"""What an index misses: recall against the exact scan, measured on held-out queries.

Recall@k is the share of a query's k nearest rows that the index returns. A row that is as near as
the k-th (a copy of a picture) may stand for another such row. The mean is told with its worst tenth
of queries, and by group of the neighbours: of the true neighbours that belong to a group, the share
that is found, since an index may miss more of one group than of another. Intervals are
bootstraps of the queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.results import Estimate, Value

__all__ = ["Found", "Recall", "found_of", "measured_recall"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

_DRAWS = 1_000
_LEVEL = 0.95
#: Cosines so near are equal: float32 sums in another order differ by less.
_EQUAL = 2e-6
_ASSUMES = "queries to come are like the held-out ones"


class Recall(Value):
    """Recall@``k`` on queries by which nothing was chosen.

    ``worst_tenth`` is the mean of the tenth of the queries with the lowest recall. ``by_group`` is
    by the neighbours' group, ``gap`` its largest difference (None with fewer than two groups),
    ``by_query`` by what the queries are vectors of. ``met`` says whether the target was met, its
    error included, by the other half of the queries, which settled how the index is searched.
    Query by query, in one order: what it is a vector of, how many of its true neighbours were found
    (``query_hits``), and how many there are (``query_true``).
    """

    k: int
    target: float
    met: bool
    mean: Estimate
    worst_tenth: Estimate
    by_query: Mapping[str, Estimate]
    by_group: Mapping[str, Estimate]
    gap: Estimate | None
    column: str | None = None
    query_kind: tuple[str, ...] = ()
    query_hits: tuple[int, ...] = ()
    query_true: tuple[int, ...] = ()


@dataclass(frozen=True)
class Found:
    """Which of the true neighbours were found: ``hit`` and ``true`` are (q, k); -1 is no row.

    ``group`` is the group of each true neighbour as an index into ``groups``; ``kind`` says what
    each query (q,) is a vector of.
    """

    hit: NDArray[np.bool_]
    true: Rows
    kind: NDArray[np.str_]
    group: Rows | None = None
    groups: Sequence[str] = ()


def found_of(
    true: tuple[Rows, NDArray[np.float32]], got: tuple[Rows, NDArray[np.float32]]
) -> NDArray[np.bool_]:
    """Which of the ``true`` rows (q, k) are among those that a search ``got`` (q, k).

    Both are rows with scores, best first. True rows that tie with the last count as found up to the
    number of other such rows that are there instead.

    >>> one = np.array([[0, 1]]), np.array([[0.9, 0.5]], np.float32)
    >>> other = np.array([[0, 7]]), np.array([[0.9, 0.5]], np.float32)
    >>> found_of(one, other).tolist()
    [[True, True]]
    """
    out = np.zeros(true[0].shape, bool)
    for i in range(len(out)):
        rows, scores = true[0][i], true[1][i]
        out[i] = np.isin(rows, got[0][i]) & (rows >= 0)
        if not (rows >= 0).any():
            continue
        last = scores[rows >= 0][-1]
        tied = np.flatnonzero((rows >= 0) & (np.abs(scores - last) <= _EQUAL) & ~out[i])
        instead = (got[0][i] >= 0) & (np.abs(got[1][i] - last) <= _EQUAL)
        instead &= ~np.isin(got[0][i], rows)
        out[i, tied[: int(instead.sum())]] = True
    return out


def measured_recall(found: Found, seed: int, target: float, met: bool) -> Recall:
    """Recall of all queries, of the worst tenth, by kind of query and by group of neighbour."""
    n = len(found.hit)
    rng = np.random.default_rng((seed, 97))
    draws = np.vstack([np.arange(n), rng.integers(n, size=(_DRAWS, n))])
    hits, of = found.hit.sum(axis=1), (found.true >= 0).sum(axis=1)
    recall = hits / np.maximum(of, 1)
    worst = max(1, n // 10)
    lowest = np.sort(recall[draws], axis=1)[:, :worst].mean(axis=1)
    by_query = {}
    for kind in np.unique(found.kind):
        mine = recall[found.kind == kind]
        again = np.random.default_rng((seed, 98)).integers(len(mine), size=(_DRAWS, len(mine)))
        shares = np.concatenate([[mine.mean()], mine[again].mean(axis=1)])
        by_query[str(kind)] = _estimate(shares, len(mine) * found.hit.shape[1], len(mine))
    by_group, gap = _groups(found, draws)
    return Recall(
        k=found.hit.shape[1],
        target=target,
        met=met,
        mean=_estimate(recall[draws].mean(axis=1), int(of.sum()), n),
        worst_tenth=_estimate(lowest, int(np.sort(of)[:worst].sum()), n),
        by_query=by_query,
        by_group=by_group,
        gap=gap,
        query_kind=tuple(found.kind.tolist()),
        query_hits=tuple(hits.tolist()),
        query_true=tuple(of.tolist()),
    )


def _groups(found: Found, draws: Rows) -> tuple[dict[str, Estimate], Estimate | None]:
    """By group of the neighbours, and the largest difference between any two of them."""
    if found.group is None:
        return {}, None
    by_group, shares = {}, []
    for number, name in enumerate(found.groups):
        member = (found.group == number) & (found.true >= 0)
        of = member.sum(axis=1)
        if not of.any():
            continue
        n_found = (member & found.hit).sum(axis=1)
        with np.errstate(invalid="ignore"):
            share = n_found[draws].sum(axis=1) / of[draws].sum(axis=1)
        by_group[name] = _estimate(share, int(of.sum()), int((of > 0).sum()))
        shares.append(share)
    if len(shares) < 2:
        return by_group, None
    table = np.vstack(shares)
    gaps = table.max(axis=0) - table.min(axis=0)
    n = sum(e.n for e in by_group.values())
    return by_group, _estimate(gaps, n, len(found.hit))


def _estimate(draws: Floats, n: int, units: int) -> Estimate:
    """The first is the value; the others are its bootstrap."""
    tail = 50 * (1 - _LEVEL)
    low, high = np.nanpercentile(draws[1:], [tail, 100 - tail])
    value = float(draws[0])
    return Estimate(
        value=value,
        low=min(value, float(low)),
        high=max(value, float(high)),
        level=_LEVEL,
        n=n,
        units=units,
        method="bootstrap of the queries",
        assumptions=(_ASSUMES,),
    )
