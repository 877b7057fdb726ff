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
    n = len(vectors)
    wanted = min(k + 1, n)
    while True:
        scores, rows = index.search(np.ascontiguousarray(query[None]), wanted)
        # Ties at the end may lie outside: search on until the last score is below the k-th.
        if wanted == n or scores[0][-1] < scores[0][min(k, n) - 1]:
            break
        wanted = min(2 * wanted, n)
    order = np.lexsort((rows[0], -scores[0]))[:k]
    return rows[0][order].astype(np.int64), scores[0][order].astype(np.float32)


def similarities(vectors: Floats, query: Floats) -> Floats:
    """The cosine of every row with ``query``, in row order."""
    return np.asarray(vectors @ query, dtype=np.float32)
