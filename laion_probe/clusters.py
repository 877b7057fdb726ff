"""Which of the data's own clusters a generator draws too often, and the training rows beside them.

Clusters come from the data alone (spherical k-means on a random sample of rows), and every row and
every output goes to its nearest centre, in one pass over the data. Cells that are drawn too often
and lie beside each other are one finding. How much hangs on where k-means put its borders is
measured twice: by other seeds, and by matched neighbourhoods of single outputs without any cluster.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from laion_probe.errors import ConfigError, EmbedderMismatch, NotEnoughData
from laion_probe.estimators.over_representation import (
    ClusterShare,
    local_ratio,
    over_representation,
    share_ratio,
)
from laion_probe.index.best import Best
from laion_probe.index.exact import cosines
from laion_probe.results import Estimate
from laion_probe.vectors import Embeddings

__all__ = ["ClusterOptions", "FoundCluster", "FoundClusters", "Outputs", "find_clusters"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Progress = Callable[[str, int, int], None]

MIN_OUTPUTS, MIN_ROWS = 20, 100
#: Clusters, where the number is left to the rows: enough to tell subjects apart, and few enough
#: that each is looked at with some power.
_LEAST_K, _MOST_K, _ROWS_A_CELL = 8, 256, 4
#: Rows drawn to learn clusters and to estimate what is typical; and those that a centre gets.
_SAMPLE, _ROWS_A_CENTRE, _ROUNDS = 1 << 15, 64, 12
#: Rows of a block of the pass over the data.
_BLOCK = 1 << 15
#: Pairs of an output and a row that are compared at most (some seconds); beyond, an output is
#: compared with the rows of the cells nearest to it, and of at least so many.
_PAIRS, _LEAST_CELLS = 250_000_000, 8
#: Training rows whose distance to the nearest other one says what is far, and the share of them
#: that is further from it. Rows nearer than ``_SAME`` are copies, which say nothing of distances.
_PROBES, _FAR_SHARE, _SAME = 1000, 0.01, 1 - 1e-5
#: The share of outputs that may be far before there is nothing to compare.
_MOST_FAR = 0.9
#: Cells are one subject where this share of the links of one's outputs ends in the other: on
#: data/demo women in saris are one finding then with 16, 32, 64 and 128 clusters, doctors up to 32.
_LINKS_ACROSS = 0.05
_JACCARD = 0.5


@dataclass(frozen=True, eq=False)
class Outputs:
    """Embedded outputs: ``vectors`` (n, d) of unit length and the ``batch`` (n,) of each."""

    vectors: Floats
    batch: Ints


@dataclass(frozen=True)
class ClusterOptions:
    """How clusters are found.

    ``k`` clusters (0: by the number of rows); ``seeds`` further clusterings say how stable a
    finding is; ``linked`` nearest training rows of each output are kept. Simultaneous intervals
    are of this ``level``.
    """

    k: int = 0
    seeds: int = 10
    linked: int = 10
    seed: int = 0
    level: float = 0.95


@dataclass(frozen=True, eq=False)
class FoundCluster:
    """Outputs of one cell of the data, or of several over-represented ones that are one subject.

    ``members`` are rows of the outputs, ``nearest`` (members, linked) the training rows nearest to
    each, best first (-1 where there are fewer) and ``linked`` the same rows once each, less those
    of far outputs. ``centre`` (d,) is their mean direction. ``n_data`` rows of all data are in the
    ``cells``. ``ratio`` is the output's share over the data's, its interval simultaneous over all
    cells; ``local_ratio`` the mean density of outputs over that of training rows around members.
    ``stability`` is the share of other clusterings in which an over-represented cluster has about
    these members (Jaccard at least a half).
    """

    members: Ints
    cells: Ints
    centre: Floats
    linked: Ints
    nearest: Ints
    n_data: int
    output_share: Estimate
    data_share: Estimate
    ratio: Estimate
    local_ratio: Estimate
    over_represented: bool
    stability: float
    n_far: int


@dataclass(frozen=True, eq=False)
class FoundClusters:
    """Every cluster that has an output: over-represented first, then by share of the outputs.

    ``n_clusters`` cells were looked at. ``far`` (n,) marks outputs that are further from every
    training row (below ``far_cosine``) than 99 % of training rows are from their nearest other
    one. ``compared`` is the share of the cells whose rows each output was compared with: at 1 the
    nearest rows are exact. ``n_rows`` of the data had a vector. ``picked`` are the outputs that
    were named, as one cluster: its ``n_data`` rows lie nearer to one of them than to another
    output, and nothing was tested.
    """

    clusters: tuple[FoundCluster, ...]
    n_clusters: int
    far: Bools
    far_cosine: float
    compared: float
    n_rows: int
    picked: FoundCluster | None = None


def find_clusters(
    outputs: Outputs,
    data: Embeddings,
    options: ClusterOptions | None = None,
    progress: Progress = lambda what, done, of: None,
    picked: Bools | None = None,
) -> FoundClusters:
    """Clusters of the data, how many outputs and rows each has, and the rows nearest to outputs.

    ``picked`` (n,) marks outputs that are a cluster of their own beside these.

    The same arguments give the same clusters. Data of any size are read once, block by block, after
    a random sample. Raises `EmbedderMismatch` for another dimension, `ConfigError` for more
    clusters than half the rows, and `NotEnoughData` for fewer than 20 outputs, outputs that are all
    alike, fewer than 100 rows, or outputs of which nine in ten are far from every row.

    - Assumes: outputs and data were embedded by one model; exchangeable batches.
    - Fails: where what generated pictures have in common (blur, grain) weighs more in an embedding
      than what they show: then many are far, and the others gather where data look so too.

    >>> found = find_clusters(outputs, open_embeddings("embeddings"))  # doctest: +SKIP
    >>> found.clusters[0].ratio.value  # doctest: +SKIP
    8.2
    """
    options = options or ClusterOptions()
    _check(outputs, data)
    drawn, sample = _sample(data, options.seed)
    k = _number(options.k, data.n_rows)
    centres, *others = _clusterings(sample, k, options)
    n = len(outputs.vectors)
    pass_ = _Pass(data, centres, min(options.linked, len(sample) // 2))
    seen = pass_.run(np.concatenate([outputs.vectors, sample[:_PROBES]]), progress)
    far_cosine = _far_cosine(seen, n, drawn)
    far = seen.scores[:n, 0] < far_cosine
    if (n_same := int((seen.scores[:n, 0] > _SAME).sum())) > n / 2:
        raise NotEnoughData(
            f"{n_same} of {n} outputs are rows of the training data, to this model: the same "
            "pictures on both sides explain nothing; give generated pictures first, and with "
            "--data what their generator was trained on"
        )
    if far.mean() > _MOST_FAR:
        raise NotEnoughData(
            f"{int(far.sum())} of {n} outputs have no training neighbours (cosine below "
            f"{far_cosine:.3f} to every row, where 99 % of rows have a nearer one): embed both "
            "with one model, or give the data that the generator was trained on"
        )
    links = _Links.of(data, seen.rows[:n])
    cell = _nearest_centre(outputs.vectors, centres)
    shares = over_representation(cell, outputs.batch, seen.counts, options.level)
    groups = _groups(cell, [s.over_represented for s in shares], links.cells(centres))
    again = [_over(outputs, sample, links, c, options.level) for c in others]
    build = _Build(outputs, sample, links, seen.counts, shares, far, options.level)
    found = [build.cluster(np.isin(cell, cells), cells, again) for cells in groups]
    return FoundClusters(
        tuple(sorted(found, key=_first)),
        k,
        far,
        far_cosine,
        pass_.compared(n),
        seen.n_rows,
        None if picked is None else build.picked(picked, cell),
    )


def _first(cluster: FoundCluster) -> tuple[bool, float, int]:
    """Over-represented by ratio x share, others by share."""
    share, ratio = cluster.output_share.value or 0.0, cluster.ratio.value or 0.0
    weight = share * ratio if cluster.over_represented else share
    return not cluster.over_represented, -weight, int(cluster.cells[0])


def _check(outputs: Outputs, data: Embeddings) -> None:
    vectors = outputs.vectors
    if vectors.ndim != 2 or vectors.shape[1] != data.dim:
        raise EmbedderMismatch(
            f"outputs of shape {vectors.shape}, embeddings of {data.dim} numbers: embed the "
            "outputs with the model that made the embeddings"
        )
    if len(vectors) < MIN_OUTPUTS:
        raise NotEnoughData(
            f"{len(vectors)} outputs: give at least {MIN_OUTPUTS}, better some hundreds, in batches"
        )
    if data.n_rows < MIN_ROWS:
        raise NotEnoughData(f"{data.n_rows} rows of training data: give at least {MIN_ROWS}")
    if float((vectors @ vectors[0]).min()) > _SAME:
        raise NotEnoughData(
            f"the {len(vectors)} outputs are all the same picture: give outputs of several seeds"
        )


def _number(k: int, n_rows: int) -> int:
    if k > n_rows // 2:
        raise ConfigError(f"{k} clusters of {n_rows} rows: give at most {n_rows // 2}, or 0")
    by_rows = round(math.sqrt(n_rows / _ROWS_A_CELL))
    return k or min(_MOST_K, max(_LEAST_K, by_rows))


def _sample(data: Embeddings, seed: int) -> tuple[Ints, Floats]:
    """Random rows in random order, and their vectors of unit length; unreadable ones left out."""
    rng = np.random.default_rng((seed, 11))
    drawn = rng.permutation(rng.choice(data.n_rows, min(_SAMPLE, data.n_rows), replace=False))
    vectors, usable = _unit(data.vectors(drawn))
    if usable.sum() < MIN_ROWS:
        raise NotEnoughData(
            f"{int(usable.sum())} of {len(drawn)} rows of the data that were drawn have a vector: "
            "embed the data again"
        )
    return drawn[usable], vectors[usable]


def _unit(vectors: NDArray[np.float16] | Floats) -> tuple[Floats, Bools]:
    """Vectors of unit length, and which are usable; zeros and not-finite ones become zeros."""
    out = vectors.astype(np.float32)
    length = np.sqrt(np.einsum("ij,ij->i", out, out))
    usable = np.isfinite(length) & (length > 0)
    if not usable.all():
        out[~usable], length[~usable] = 0, 1
    out /= length[:, None]
    return out, usable


def _clusterings(sample: Floats, k: int, options: ClusterOptions) -> list[Floats]:
    """Centres (k, d) of unit length: the clustering, then ``seeds`` others.

    Side by side, each by one thread: sums are in the same order on any number of cores.
    """
    import faiss

    def trained(seed: int) -> Floats:
        rng = np.random.default_rng((seed, 12))
        some = rng.choice(len(sample), min(len(sample), _ROWS_A_CENTRE * k), replace=False)
        means = faiss.Kmeans(
            sample.shape[1],
            k,
            niter=_ROUNDS,
            spherical=True,
            seed=seed,
            min_points_per_centroid=1,
            max_points_per_centroid=_ROWS_A_CENTRE,
        )
        means.train(np.ascontiguousarray(sample[some]))
        centres: Floats = means.centroids
        return centres

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(trained, range(options.seed, options.seed + 1 + options.seeds)))


def _nearest_centre(vectors: Floats, centres: Floats) -> Ints:
    return np.asarray((vectors @ centres.T).argmax(axis=1), np.int64)


@dataclass(frozen=True, eq=False)
class _Seen:
    """Rows in each cell (k,), the nearest rows of each query (q, linked) with their cosines."""

    counts: Ints
    rows: Ints
    scores: Floats
    n_rows: int


@dataclass(frozen=True, eq=False)
class _Pass:
    """One pass over the data: each row to its cell, and to the queries that look there."""

    data: Embeddings
    centres: Floats
    linked: int

    def compared(self, n_queries: int) -> float:
        """The share of cells in which a query looks for its nearest rows."""
        k, n = len(self.centres), max(1, self.data.n_rows)
        cells = max(_LEAST_CELLS, math.ceil(4 * self.linked * k / n), _PAIRS * k // (n * n_queries))
        return min(k, cells) / k

    def run(self, queries: Floats, progress: Progress) -> _Seen:
        k, n = len(self.centres), self.data.n_rows
        looks = round(self.compared(len(queries)) * k)
        near = np.argpartition(-(queries @ self.centres.T), looks - 1, axis=1)[:, :looks]
        asks = [np.flatnonzero((near == c).any(axis=1)) for c in range(k)]
        best = Best(len(queries), self.linked, np.float32(1e-6))
        counts, done = np.zeros(k, np.int64), 0
        for first, block in self.data.blocks(_BLOCK):
            vectors, usable = _unit(block)
            cell = np.where(usable, _nearest_centre(vectors, self.centres), k)
            in_cell = np.bincount(cell, minlength=k + 1)
            counts += in_cell[:k]
            order = np.argsort(cell, kind="stable")
            ends = np.cumsum(in_cell)
            found = []
            for c in np.flatnonzero(in_cell[:k]):
                inside, query = order[ends[c] - in_cell[c] : ends[c]], asks[c]
                if len(query):
                    found.append(self._near(queries[query], vectors[inside], best.least[query]))
                    found[-1] = (query[found[-1][0]], first + inside[found[-1][1]], found[-1][2])
            if found:
                query, row, score = (np.concatenate(part) for part in zip(*found, strict=True))
                by_query = np.argsort(query, kind="stable")
                best.add(query[by_query], row[by_query], score[by_query])
            done += len(block)
            progress("compare outputs with the data", done, n)
        rows, scores = self._exact(queries, best.sorted(self.linked, 0)[0])
        return _Seen(counts, rows, scores, int(counts.sum()))

    def _near(self, queries: Floats, rows: Floats, least: Floats) -> tuple[Ints, Ints, Floats]:
        """Places of queries and rows whose product is at least ``least``, and these products."""
        products = queries @ rows.T
        unbounded = least <= -2
        if unbounded.any() and len(rows) > self.linked:
            at = len(rows) - self.linked
            least[unbounded] = np.partition(products[unbounded], at, axis=1)[:, at]
        query, row = np.nonzero(products >= least[:, None])
        return query, row, products[query, row]

    def _exact(self, queries: Floats, rows: Ints) -> tuple[Ints, Floats]:
        """The rows of each query anew in order of their cosines in float64, ties by row."""
        scores = np.full(rows.shape, -np.inf, np.float32)
        for start in range(0, len(rows), 1000):
            query, place = np.nonzero(rows[start : start + 1000] >= 0)
            query += start
            vectors = self.data.vectors(rows[query, place])
            scores[query, place] = cosines(vectors, queries[query].astype(np.float64))
        order = np.lexsort((rows, -scores), axis=1)
        return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)


def _far_cosine(seen: _Seen, n: int, drawn: Ints) -> float:
    """The cosine below which one row in a hundred has its nearest other row that is no copy."""
    rows, scores = seen.rows[n:], seen.scores[n:]
    itself = rows == drawn[: len(rows), None]
    other = np.where(itself | (scores >= _SAME) | (rows < 0), -np.inf, scores).max(axis=1)
    known = other[np.isfinite(other)]
    # where all rows have copies only, nothing is said to be far
    return float(np.quantile(known, _FAR_SHARE)) if len(known) else -1.0


@dataclass(frozen=True, eq=False)
class _Links:
    """The nearest training rows of outputs: ``rows[at]`` is (n, linked), -1 for none."""

    nearest: Ints
    rows: Ints
    vectors: Floats

    @classmethod
    def of(cls, data: Embeddings, nearest: Ints) -> _Links:
        rows = np.unique(nearest[nearest >= 0])
        return cls(nearest, rows, _unit(data.vectors(rows))[0])

    def cells(self, centres: Floats) -> Ints:
        """The cell of each linked row, (n, linked)."""
        cell = _nearest_centre(self.vectors, centres)
        at = np.searchsorted(self.rows, self.nearest)
        return np.where(self.nearest >= 0, cell[np.minimum(at, len(cell) - 1)], -1)


def _groups(cell: Ints, over: list[bool], linked: Ints) -> list[Ints]:
    """Cells with outputs; those over-represented together where they are one subject.

    Two are when a twentieth of the links of either's outputs end in the other: a border runs
    through a crowd then. Between different subjects hardly any do.
    """
    k = len(over)
    links = np.zeros((k, k))
    np.add.at(links, (np.repeat(cell, linked.shape[1]), linked.ravel()), linked.ravel() >= 0)
    across = links / np.maximum(links.sum(axis=1, keepdims=True), 1) >= _LINKS_ACROSS
    across &= np.outer(over, over)
    _, group = connected_components(coo_array(across | across.T), directed=False)
    some = np.bincount(cell, minlength=k) > 0
    return [np.flatnonzero(some & (group == g)) for g in np.unique(group[some])]


def _over(
    outputs: Outputs, sample: Floats, links: _Links, centres: Floats, level: float
) -> list[Bools]:
    """The over-represented clusters of another clustering, as masks (n,) of outputs.

    Shares of the sample stand for those of all rows.
    """
    cell = _nearest_centre(outputs.vectors, centres)
    counts = np.bincount(_nearest_centre(sample, centres), minlength=len(centres))
    shares = over_representation(cell, outputs.batch, counts, level)
    over = [s.over_represented for s in shares]
    return [np.isin(cell, g) for g in _groups(cell, over, links.cells(centres)) if over[g[0]]]


@dataclass(frozen=True, eq=False)
class _Build:
    """What a cluster is made from."""

    outputs: Outputs
    sample: Floats
    links: _Links
    counts: Ints
    shares: tuple[ClusterShare, ...]
    far: Bools
    level: float

    def cluster(self, inside: Bools, cells: Ints, again: list[list[Bools]]) -> FoundCluster:
        n_data = int(self.counts[cells].sum())
        found = self.shares[cells[0]]
        if len(cells) > 1:
            data = n_data, int(self.counts.sum())
            found = share_ratio(inside, self.outputs.batch, data, (self.level, len(self.counts)))
        # each of the cells is over-represented, so the whole is
        over = self.shares[cells[0]].over_represented
        stability = float(np.mean([any(_alike(inside, g) for g in one) for one in again]))
        return self._found(inside, cells, (n_data, found), (over, stability))

    def picked(self, inside: Bools, cell: Ints) -> FoundCluster:
        """Outputs that were named; rows of the sample stand for those of all data."""
        nearest = np.concatenate(
            [
                (self.sample[start : start + _BLOCK] @ self.outputs.vectors.T).argmax(axis=1)
                for start in range(0, len(self.sample), _BLOCK)
            ]
        )
        data = int(inside[nearest].sum()), len(self.sample)
        found = share_ratio(inside, self.outputs.batch, data, (self.level, 1))
        n_data = round(data[0] / data[1] * int(self.counts.sum()))
        return self._found(inside, np.unique(cell[inside]), (n_data, found), (False, 0.0))

    def _found(
        self, inside: Bools, cells: Ints, data: tuple[int, ClusterShare], kept: tuple[bool, float]
    ) -> FoundCluster:
        """``data`` are its rows and shares, ``kept`` over-representation and stability."""
        members = np.flatnonzero(inside)
        near = members[~self.far[members]] if not self.far[members].all() else members
        linked = np.unique(self.links.nearest[near])
        linked = linked[linked >= 0]
        mean = self.links.vectors[np.searchsorted(self.links.rows, linked)].mean(axis=0)
        n_data, found = data
        return FoundCluster(
            members=members,
            cells=cells,
            centre=(mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32),
            linked=linked,
            nearest=self.links.nearest[members],
            n_data=n_data,
            output_share=found.output_share,
            data_share=found.data_share,
            ratio=found.ratio,
            local_ratio=local_ratio(
                (self.outputs.vectors, self.outputs.batch), members, self.sample, self.level
            ),
            over_represented=kept[0],
            stability=kept[1],
            n_far=int(self.far[members].sum()),
        )


def _alike(a: Bools, b: Bools) -> bool:
    return float((a & b).sum()) >= _JACCARD * float((a | b).sum())
