"""Nearest vectors by cosine, exactly, with FAISS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["similarities", "top_k"]

Floats = NDArray[np.float32]


def top_k(vectors: Floats, query: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """Rows of the ``k`` largest inner products with ``query`` and these products, best first.

    ``vectors`` is (n, d) and ``query`` (d,), both of unit length. Ties are broken by the lower row,
    so that the order does not depend on FAISS's heap.
    """
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    # One more than asked for would do for ties in most data; exact search is cheap, so take all.
    scores, rows = index.search(np.ascontiguousarray(query[None]), len(vectors))
    order = np.lexsort((rows[0], -scores[0]))[:k]
    return rows[0][order].astype(np.int64), scores[0][order].astype(np.float32)


def similarities(vectors: Floats, query: Floats) -> Floats:
    """The cosine of every row with ``query``, in row order."""
    rows, scores = top_k(vectors, query, len(vectors))
    out = np.empty(len(vectors), dtype=np.float32)
    out[rows] = scores
    return out
