"""Clusters of all sets together, each set counting alike; by number only, never by a name."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import NotEnoughData

__all__ = ["Clustered", "Together", "adjusted_rand", "cluster_together", "usable_numbers"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Pictures for each cluster that there must be; fewer make clusters of single pictures.
_EACH = 4
_ROUNDS = 30
_BEGINNINGS = 3


@dataclass(frozen=True)
class Together:
    """Unit-length vectors (n, d) of all sets, and what each picture counts (n,), 1 on average."""

    vectors: NDArray[np.float32]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class Clustered:
    """``label`` (n,) from 0, the heaviest cluster first; ``centre`` (k, d) of unit length.

    ``others`` are the labels that other seeds give, ``agreement`` the mean adjusted Rand index with
    them, ``stability`` (k,) the mean over them of the best Jaccard overlap with one cluster.
    """

    label: Ints
    centre: NDArray[np.float32]
    others: tuple[Ints, ...]
    agreement: float
    stability: Floats

    @property
    def k(self) -> int:
        """Clusters with a picture in them."""
        return len(self.centre)


def usable_numbers(wanted: tuple[int, ...], vectors: NDArray[np.float32]) -> tuple[int, ...]:
    """The numbers of clusters that these pictures are enough for, or one that they are.

    Raises `NotEnoughData` where there are under 8 pictures, or where all are the same.
    """
    n = len(vectors)
    if n < 2 * _EACH:
        raise NotEnoughData(
            f"{n} picture{'s' * (n != 1)} of the concepts in all sets together: clusters need "
            f"{2 * _EACH} or more"
        )
    n_apart = len(np.unique(vectors.round(4), axis=0))
    if n_apart < 2:
        raise NotEnoughData(f"all {n} pictures have the same vector, so there is one cluster only")
    most = min(n // _EACH, n_apart)
    fit = tuple(sorted({k for k in wanted if k <= most}))
    return fit or (max(2, most),)


def cluster_together(data: Together, k: int, seeds: int, seed: int) -> Clustered:
    """Spherical k-means of the pictures from ``seeds`` seeds; the first one is what is kept.

    Clusters are those of the encoder's space: neither persons nor identities.

    >>> corners = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    >>> found = cluster_together(Together(corners, np.ones(30, np.float32)), 3, 2, 0)
    >>> found.k, found.agreement
    (3, 1.0)
    """
    label, centre = _ordered(*_k_means(data, k, seed), data.weight)
    others = tuple(
        _ordered(*_k_means(data, k, seed + 1 + i), data.weight)[0] for i in range(seeds - 1)
    )
    overlap = [_overlap(label, other, len(centre)) for other in others]
    return Clustered(
        label,
        centre,
        others,
        float(np.mean([adjusted_rand(label, other) for other in others])),
        np.mean(overlap, axis=0),
    )


def adjusted_rand(first: Ints, second: Ints) -> float:
    """How far two clusterings agree beyond chance, 1 where they are the same (Hubert, Arabie 1985).

    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2]))
    1.0
    """
    table = _table(first, second)
    n = int(table.sum())

    def pairs(x: Ints) -> float:
        return float((x * (x - 1)).sum()) / 2

    rows, columns = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(1, math.comb(n, 2))
    most = (rows + columns) / 2
    return 1.0 if most == expected else (pairs(table) - expected) / (most - expected)


def _k_means(data: Together, k: int, seed: int) -> tuple[Ints, NDArray[np.float32]]:
    import faiss

    n, d = data.vectors.shape
    means = faiss.Kmeans(
        d,
        k,
        niter=_ROUNDS,
        nredo=_BEGINNINGS,
        seed=seed,
        spherical=True,
        max_points_per_centroid=n,
        min_points_per_centroid=1,
    )
    x = np.ascontiguousarray(data.vectors, np.float32)
    # Small products: threads that wait for each other take many times as long as one.
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        means.train(x, weights=np.ascontiguousarray(data.weight, np.float32))
        label = means.index.search(x, 1)[1][:, 0].astype(np.int64)
    finally:
        faiss.omp_set_num_threads(threads)
    return label, np.asarray(means.centroids, np.float32)


def _ordered(
    label: Ints, centre: NDArray[np.float32], weight: NDArray[np.float32]
) -> tuple[Ints, NDArray[np.float32]]:
    """Numbered from the heaviest, without empty ones."""
    mass = np.bincount(label, weights=weight, minlength=len(centre))
    order = [int(i) for i in np.argsort(-mass, kind="stable") if mass[i] > 0]
    number = np.full(len(centre), -1)
    number[order] = np.arange(len(order))
    return number[label].astype(np.int64), centre[order]


def _table(first: Ints, second: Ints) -> Ints:
    table = np.zeros((int(first.max()) + 1, int(second.max()) + 1), np.int64)
    np.add.at(table, (first, second), 1)
    return table


def _overlap(first: Ints, second: Ints, k: int) -> Floats:
    """For each of the first clusters, the best Jaccard overlap with one of the second."""
    table = _table(first, second)[:k]
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
    return np.asarray((table / np.maximum(union, 1)).max(axis=1), np.float64)
