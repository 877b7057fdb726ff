"""What a drawn picture shows, by the nearest training picture: the experiment's own read-out.

It knows the truth of the training rows, which the tool does not. Its error is measured on stored
pictures that the encoder was not fitted to, drawn by the codebook like all others, each read by
the nearest of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReadOut", "read_out"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ReadOut:
    """Held-out pictures of the cluster, and others, and how many of each are read as of it."""

    n_cluster: int
    n_cluster_read: int
    n_others: int
    n_others_read: int

    def corrected(self, share: float) -> float | None:
        """The share that would be read as ``share`` (Rogan and Gladen 1978); None if undefined.

        >>> round(ReadOut(100, 80, 1000, 20).corrected(0.41), 2)
        0.5
        """
        if not self.n_cluster or not self.n_others:
            return None
        found = self.n_cluster_read / self.n_cluster
        wrong = self.n_others_read / self.n_others
        if found <= wrong:
            return None
        return min(1.0, max(0.0, (share - wrong) / (found - wrong)))


def read_out(vectors: Floats, reference: Floats, inside: Bools, own: Ints | None = None) -> Bools:
    """Whether the nearest of ``reference`` (m, d) to each of ``vectors`` (n, d) is ``inside`` (m,).

    All vectors are of unit length. ``own`` (n,) is each vector's own place in the reference, which
    is no neighbour of it, or -1.
    """
    if not len(vectors):
        return np.zeros(0, bool)
    cosines = vectors @ reference.T
    if own is not None:
        there = np.flatnonzero(own >= 0)
        cosines[there, own[there]] = -1
    return np.asarray(inside[cosines.argmax(axis=1)], bool)
