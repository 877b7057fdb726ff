"""The best k of each query so far: a place in an order that has no ties, and a rising threshold."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

__all__ = ["Best"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_LOW = 0xFFFFFFFF
_EMPTY = np.iinfo(np.int64).min


class Best:
    """Scores and rows as one integer each: the score's bits above, so that integers sort as pairs.

    ``least`` (q,) is what a product must reach to be looked at: the k-th best score so far less
    ``error``, and -2 until there are k. It only rises, so an old copy of it is safe. Rows are below
    2^32. Threads may add at the same time.
    """

    def __init__(self, n_queries: int, k: int, error: np.float32) -> None:
        self.k, self.error = k, error
        room = k + max(k // 2, 256)
        self.keys = np.full((n_queries, room), _EMPTY, np.int64)
        self.filled = np.zeros(n_queries, np.int64)
        self.least = np.full(n_queries, -2, np.float32)
        self.lock = threading.Lock()

    def add(self, query: Ints, row: Ints, score: Floats) -> None:
        """Add pairs, in the order of ``query``."""
        keys = _keys(score, row)
        n = np.bincount(query, minlength=len(self.keys))
        starts = np.cumsum(n) - n
        with self.lock:
            total = self.filled + n
            bounded = self.least > -2
            full = (total > self.keys.shape[1]) | (~bounded & (total >= self.k))
            for q in np.flatnonzero(full & (n > 0)):
                self._compact(int(q), keys[starts[q] : starts[q] + n[q]])
            some = ~full[query]
            place = self.filled[query] + np.arange(len(query)) - starts[query]
            self.keys[query[some], place[some]] = keys[some]
            self.filled[~full] = total[~full]

    def _compact(self, q: int, new: Ints) -> None:
        """Keep the best k of what is there and what is new."""
        both = np.concatenate([self.keys[q, : self.filled[q]], new])
        at = len(both) - self.k
        best = np.partition(both, at)[at:]
        self.keys[q, : self.k] = best
        self.filled[q] = self.k
        self.least[q] = _scores(best[:1])[0] - self.error

    def sorted(self, k: int, first: int) -> tuple[Ints, Floats]:
        """Rows counted from ``first``, and scores, (q, k) best first; -1 and -inf for none."""
        rows = np.full((len(self.keys), k), -1, np.int64)
        scores = np.full((len(self.keys), k), -np.inf, np.float32)
        for q, n in enumerate(self.filled):
            best = np.sort(self.keys[q, :n])[::-1][: self.k]
            rows[q, : len(best)] = first + _LOW - (best & _LOW)
            scores[q, : len(best)] = _scores(best)
        return rows, scores


def _keys(score: Floats, row: Ints) -> Ints:
    # -0.0 is 0.0; of negative numbers the bits after the sign count the other way
    bits = (score + np.float32(0)).view(np.int32).astype(np.int64)
    keys: Ints = (np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32) | (_LOW - row)
    return keys


def _scores(keys: Ints) -> Floats:
    bits = keys >> 32
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int32).view(np.float32)
