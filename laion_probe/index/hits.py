"""The nearest rows of each query and the distribution of all cosines, as partials that merge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import MergeConflict

__all__ = ["BINS", "EDGES", "Hits", "merge"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Spans = tuple[tuple[int, int], ...]

#: Bins of the histograms; their edges are every 0.005 from -1 to 1.
BINS = 400
EDGES: NDArray[np.float64] = np.round(np.linspace(-1, 1, BINS + 1), 3)
EDGES.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Hits:
    """The nearest rows of q queries among the rows of ``spans`` (first, and one after the last).

    ``rows`` (q, k) and their cosines ``scores`` (q, k), best first, ties by the lower row; -1 and
    -inf where there are fewer than k. ``histogram`` (q, bins) counts the cosines of all usable rows
    between ``edges`` (a score that is an edge in float32 counts above it), or is None where it was
    not asked for. Of ``n_rows``, ``n_unreadable`` are all zeros (the picture could
    not be read) and ``n_broken`` hold a NaN or an infinity: neither is ever a hit.
    """

    rows: Ints
    scores: Floats
    histogram: Ints | None
    n_rows: int
    n_unreadable: int
    n_broken: int
    spans: Spans

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins of the histogram, (bins + 1,)."""
        return EDGES

    @property
    def n_usable(self) -> int:
        """Rows that were compared."""
        return self.n_rows - self.n_unreadable - self.n_broken

    def above(self, threshold: float) -> Ints:
        """How many rows have a cosine of at least ``threshold``, (q,).

        Exact where the list of hits goes below the threshold or the threshold is an edge; between
        two edges the rows of that bin are taken as evenly spread. Raises `ValueError` where only a
        histogram could tell and there is none.

        >>> rows, scores = np.array([[5, 2]]), np.array([[0.9, 0.3]], np.float32)
        >>> Hits(rows, scores, None, 9, 0, 0, ((0, 9),)).above(0.5).tolist()
        [1]
        """
        listed: Ints = (self.scores >= np.float32(threshold)).sum(axis=1)
        settled = (listed < self.rows.shape[1]) | (listed == self.n_usable)
        if settled.all():
            return listed
        if self.histogram is None:
            raise ValueError(f"more than {self.rows.shape[1]} rows are above {threshold}")
        counts = np.zeros((len(self.rows), BINS + 1))
        counts[:, :-1] = self.histogram[:, ::-1].cumsum(axis=1)[:, ::-1]
        where = np.interp(threshold, self.edges, np.arange(BINS + 1.0))
        at = int(where)
        if 1e-6 < where - at < 1 - 1e-6:
            within = counts[:, at] + (where - at) * (counts[:, at + 1] - counts[:, at])
        else:
            within = counts[:, round(where)]
        found = np.where(settled, listed, np.maximum(np.round(within), listed))
        return np.asarray(found, np.int64)


def merge(a: Hits, b: Hits) -> Hits:
    """Hits of the rows of both: the same in any order and however the rows are divided.

    What was merged already changes nothing; rows that overlap otherwise raise `MergeConflict`, as
    do hits of different queries or numbers of hits.
    """
    if a.rows.shape != b.rows.shape or (a.histogram is None) != (b.histogram is None):
        raise MergeConflict(
            f"hits of {a.rows.shape} and of {b.rows.shape} (queries, hits): not of one search"
        )
    if not b.spans or _same(a, b):
        return a
    if not a.spans:
        return b
    spans = _joined(a.spans, b.spans)
    rows = np.concatenate([a.rows, b.rows], axis=1)
    scores = np.concatenate([a.scores, b.scores], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, : a.rows.shape[1]]
    both = a.histogram is not None and b.histogram is not None
    return Hits(
        rows=np.take_along_axis(rows, order, axis=1),
        scores=np.take_along_axis(scores, order, axis=1),
        histogram=a.histogram + b.histogram if both else None,  # type: ignore[operator]
        n_rows=a.n_rows + b.n_rows,
        n_unreadable=a.n_unreadable + b.n_unreadable,
        n_broken=a.n_broken + b.n_broken,
        spans=spans,
    )


def _same(a: Hits, b: Hits) -> bool:
    counts = [(h.spans, h.n_rows, h.n_unreadable, h.n_broken) for h in (a, b)]
    return (
        counts[0] == counts[1]
        and np.array_equal(a.rows, b.rows)
        and np.array_equal(a.scores, b.scores)
        and (a.histogram is None or np.array_equal(a.histogram, b.histogram))  # type: ignore[arg-type]
    )


def _joined(a: Spans, b: Spans) -> Spans:
    """Both, in order, those that touch as one."""
    out: list[tuple[int, int]] = []
    for first, end in sorted(a + b):
        if out and first < out[-1][1]:
            raise MergeConflict(
                f"rows {first} to {min(end, out[-1][1])} are in both partial results: search again"
            )
        if out and first == out[-1][1]:
            out[-1] = (out[-1][0], end)
        else:
            out.append((first, end))
    return tuple(out)
