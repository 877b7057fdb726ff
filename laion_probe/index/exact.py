"""The nearest rows of many queries by cosine, exactly, in one pass over embeddings on disk.

Blocks of rows are read into buffers that are used again, multiplied with all queries in float32,
and what may be among the best k is kept: a row whose product is below the k-th best cosine so far
by more than the product can be wrong never is. What is kept is multiplied once more in float64;
that cosine, rounded to float32, is its score. So scores and order are the same however rows are
divided into blocks, threads, processes or Ray tasks. So are histograms: a product near the edge of
a bin is counted by its score.
"""

from __future__ import annotations

import functools
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import ConfigError, EmbedderMismatch
from laion_probe.index.best import Best
from laion_probe.index.blocks import Stretch, divide, read_into
from laion_probe.index.hits import BINS, EDGES, Hits, merge
from laion_probe.tasks import TaskOptions, run_tasks
from laion_probe.vectors import Embeddings

__all__ = ["Progress", "SearchOptions", "cosines", "search"]

Progress = Callable[[str, int, int], None]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_SEARCH = "search every row"
#: Rows a task of processes or Ray at most; each begins without a threshold, which costs.
_TASK_ROWS = 2_000_000
_LEAST_TASK_ROWS = 65_536
#: Rows of one process: a row's place must fit in 32 bits.
_MOST_ROWS = 1 << 31
#: Products that a block may have, so that memory is bounded with many queries too.
_BLOCK_PRODUCTS = 1 << 23
#: Fewer rows are multiplied as so many: products of very few are summed in another order.
_LEAST_COLUMNS = 256
#: Pairs that are multiplied in float64 at once: they stay in a core's cache.
_PAIRS = 256
#: Products this near to an edge of the histogram are counted by their score. They are off by less
#: (at most 4e-7 in 6 million of 512 numbers): what rounding could add up to at worst is `_State`'s
#: ``error``, and would have 3 % of all pairs multiplied twice.
_NEAR_EDGE = 2e-6
#: No cosine: rows that are unreadable, broken or not there.
_NONE = -4.0
#: Lengths that float32 squares without loss; others are brought near 1 first.
_PLAIN = (1e-12, 1e12)
_EDGES = EDGES.astype(np.float32)


@dataclass(frozen=True)
class SearchOptions:
    """What to find, and who computes, which changes no score and no order.

    ``k`` rows of each query; ``histogram``: count the cosines of all rows too; ``block_rows`` are
    multiplied at once (fewer where there are very many queries). ``runner`` is "serial" (threads
    of this process), "processes" or "ray"; ``workers`` the threads or processes (default: one a
    core); ``task_rows`` the rows that a worker gets at once.
    """

    k: int = 1000
    histogram: bool = True
    block_rows: int = 4096
    runner: str = "serial"
    workers: int | None = None
    ray_address: str | None = None
    task_rows: int | None = None


def search(
    embeddings: Embeddings,
    queries: Floats,
    options: SearchOptions | None = None,
    progress: Progress = lambda what, done, of: None,
) -> Hits:
    """The ``k`` nearest rows of each query (q, dim) by cosine, of all rows.

    Neither rows nor queries need be of unit length. Raises `ConfigError` for a query that has no
    direction, `EmbedderMismatch` where queries have another dimension than the embeddings,
    `ShardError` for a file that is cut off.

    >>> search(open_embeddings("data/demo/embeddings"), queries)  # doctest: +SKIP
    """
    options = options or SearchOptions()
    if options.k < 1 or options.block_rows < 1:
        raise ConfigError("k and block_rows must be at least 1")
    given = _unit(embeddings, queries)
    block_rows = max(1, min(options.block_rows, _BLOCK_PRODUCTS // max(1, len(given))))
    serial = options.runner == "serial"
    threads = (options.workers or os.cpu_count() or 1) if serial else 1
    scan = _Scan(embeddings, given, options.k, options.histogram, block_rows, threads)
    n = embeddings.n_rows
    rows = _MOST_ROWS if serial else min(_TASK_ROWS, max(_LEAST_TASK_ROWS, n // 16))
    tasks = divide(embeddings, min(_MOST_ROWS, options.task_rows or rows), block_rows)
    found = scan.run(())
    progress(_SEARCH, 0, n)
    if serial:
        for task in tasks:
            so_far = functools.partial(_further, progress, found.n_rows, n)
            found = merge(found, scan.run(task, so_far))
        return found
    runner = TaskOptions(options.runner, options.workers, options.ray_address)
    for _, hits in run_tasks(scan.run, tasks, runner):
        found = merge(found, hits)
        progress(_SEARCH, found.n_rows, n)
    return found


def _further(progress: Progress, before: int, of: int, done: int) -> None:
    progress(_SEARCH, before + done, of)


def cosines(vectors: NDArray[Any], queries: Doubles) -> Floats:
    """The cosine of each row (m, dim) with the unit query beside it (m, dim): what scores are."""
    every = np.arange(len(vectors))
    return _scores(vectors, queries, every, every)


def _scores(vectors: NDArray[Any], queries: Doubles, row: Ints, query: Ints) -> Floats:
    """The cosine of each pair of a row of ``vectors`` and one of ``queries``, by their numbers."""
    out = np.empty(len(row), np.float32)
    for start in range(0, len(row), _PAIRS):
        some = slice(start, start + _PAIRS)
        rows = vectors.take(row[some], 0).astype(np.float64)
        dots = np.einsum("ij,ij->i", rows, queries.take(query[some], 0))
        out[some] = dots / np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return out


def _unit(embeddings: Embeddings, queries: Floats) -> Doubles:
    if queries.ndim != 2 or queries.shape[1] != embeddings.dim:
        raise EmbedderMismatch(
            f"queries of shape {queries.shape}, embeddings of {embeddings.dim} numbers: embed "
            "the queries with the model that made the embeddings"
        )
    given = queries.astype(np.float64)
    length = np.linalg.norm(given, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length) & (length > 0)))
    if len(bad):
        raise ConfigError(f"query {bad[0]} is all zeros or not finite: it has no direction")
    return np.asarray(given / length)


@dataclass(frozen=True)
class _Scan:
    """What a task needs; picklable."""

    embeddings: Embeddings
    queries: Doubles
    k: int
    histogram: bool
    block_rows: int
    threads: int

    def run(
        self, task: Sequence[Stretch], progress: Callable[[int], None] = lambda done: None
    ) -> Hits:
        """The hits of some stretches, which follow each other."""
        parts = self.embeddings.parts
        first = parts[task[0].part].first + task[0].start if task else 0
        n = sum(s.stop - s.start for s in task)
        state = _State(self, n)
        blocks = self._blocks(task, first, state.free)
        with _single_threads(self.threads) as pool:
            done = 0
            for n_block in _in_flight(pool, state.add, blocks, self.threads + 1):
                done += n_block
                progress(done)
        rows, scores = state.best.sorted(self.k, first)
        return Hits(
            rows=rows,
            scores=scores,
            histogram=state.histogram if self.histogram else None,
            n_rows=n,
            n_unreadable=state.n_unreadable,
            n_broken=state.n_broken,
            spans=((first, first + n),) if n else (),
        )

    def _blocks(
        self, task: Sequence[Stretch], first: int, free: queue.SimpleQueue[NDArray[Any]]
    ) -> Iterator[tuple[NDArray[Any], int, int]]:
        """A buffer, how many rows it holds, and the place of the first in the task."""
        for stretch in task:
            base = self.embeddings.parts[stretch.part].first - first
            with read_into(self.embeddings, stretch) as fill:
                for start in range(stretch.start, stretch.stop, self.block_rows):
                    n = min(self.block_rows, stretch.stop - start)
                    buffer = free.get()
                    fill(buffer[:n])
                    yield buffer, n, base + start


class _State:
    """What threads share, and the buffers that each has of its own."""

    def __init__(self, scan: _Scan, n_rows: int) -> None:
        import torch

        self.scan = scan
        n_queries, dim = scan.queries.shape
        # The product in float32, in any order of summing, is off by at most dim · 2^-24 (Higham
        # 2002, ch. 3.1), as are lengths; the rest is for rounding queries, lengths and results.
        self.error = np.float32((2 * dim + 16) * 2.0**-24)
        self.best = Best(n_queries, min(scan.k, max(1, n_rows)), self.error)
        self.given = torch.from_numpy(scan.queries.astype(np.float32))
        self.histogram = np.zeros((n_queries, BINS), np.int64)
        self.n_unreadable = self.n_broken = 0
        self.lock = threading.Lock()
        self.own = threading.local()
        self.free: queue.SimpleQueue[NDArray[Any]] = queue.SimpleQueue()
        shape = (min(scan.block_rows, max(1, n_rows)), dim)
        for _ in range(2 * scan.threads + 1):
            self.free.put(np.empty(shape, scan.embeddings.dtype))

    def add(self, block: tuple[NDArray[Any], int, int]) -> int:
        """Compare a block with all queries, and give its buffer back; returns its rows."""
        import torch

        buffer, n, place = block
        own = self._buffers(len(buffer))
        columns = max(n, min(_LEAST_COLUMNS, len(own.vectors)))
        vectors = own.vectors[:columns]
        vectors[:n].copy_(torch.from_numpy(buffer[:n]))
        vectors[n:].zero_()
        self.free.put(buffer)
        inverse, unreadable, broken = _inverse_lengths(vectors)
        n_queries = len(self.given)
        flat = own.products[: n_queries * columns]
        products = torch.mm(self.given, vectors.T, out=flat.view(n_queries, columns))
        products.mul_(torch.from_numpy(inverse))
        unusable = torch.from_numpy(np.flatnonzero(inverse == 0))
        if len(unusable):
            products[:, unusable] = _NONE
        self._keep(products.numpy(), vectors.numpy(), place)
        counts = (
            self._counts(products, vectors.numpy(), unusable, own) if self.scan.histogram else 0
        )
        with self.lock:
            self.n_unreadable += unreadable - (columns - n)
            self.n_broken += broken
            self.histogram += counts
        return n

    def _buffers(self, rows: int) -> _Buffers:
        if not hasattr(self.own, "buffers"):
            self.own.buffers = _Buffers(
                len(self.given), max(rows, _LEAST_COLUMNS), self.given.shape[1]
            )
        found: _Buffers = self.own.buffers
        return found

    def _keep(self, products: Floats, vectors: Floats, place: int) -> None:
        """Give `Best` every pair that may be among the best, with its cosine."""
        least = self.best.least.copy()
        k, columns = self.best.k, products.shape[1]
        # Without k hits so far, the k-th best of this block is a bound.
        unbounded = np.flatnonzero(least <= -2)
        if len(unbounded) and k <= columns:
            kth = np.partition(products[unbounded], columns - k, axis=1)[:, columns - k]
            least[unbounded] = np.maximum(least[unbounded], kth - 2 * self.error)
        found = np.flatnonzero(products >= least[:, None])
        if not len(found):
            return
        query, row = np.divmod(found, columns)
        scores = _scores(vectors, self.scan.queries, row, query)
        if np.abs(scores - products.ravel()[found]).max() > self.error:
            raise ConfigError(
                "torch multiplies with less than float32 here, so that hits could be missed: call "
                "torch.set_float32_matmul_precision('highest')"
            )
        self.best.add(query, row + place, scores)

    def _counts(self, products: Any, vectors: Floats, unusable: Any, own: _Buffers) -> Ints:
        """The histogram of a block; its products are lost."""
        import faiss
        import torch

        count: Any = faiss.ivec_hist
        n_queries, columns = products.shape
        bins = own.bins[: n_queries * columns].view(n_queries, columns)
        bins.copy_(products.mul_(BINS / 2).add_(BINS / 2))  # cut off towards 0
        # The places within bins, from -0.5 to 0.5; of those near an edge, the score says which bin.
        within = products.sub_(bins).sub_(0.5).abs_()
        if len(unusable):
            bins[:, unusable] = BINS + 1
            within[:, unusable] = 0
        near = np.flatnonzero(within.numpy() > 0.5 - _NEAR_EDGE * BINS / 2)
        query, row = np.divmod(near, columns)
        scores = _scores(vectors, self.scan.queries, row, query)
        exact = np.searchsorted(_EDGES, scores, side="right") - 1
        bins.numpy()[query, row] = np.clip(exact, 0, BINS - 1)
        # Each query has a cell more for a cosine of 1, and one for rows that are not usable.
        cells = BINS + 2
        bins.add_(torch.arange(n_queries, dtype=torch.int32)[:, None], alpha=cells)
        counts = np.empty((n_queries, cells), np.int32)
        count(bins.numel(), faiss.swig_ptr(bins.numpy()), counts.size, faiss.swig_ptr(counts))
        counts[:, BINS - 1] += counts[:, BINS]
        return counts[:, :BINS].astype(np.int64)


class _Buffers:
    """What a thread writes into, block after block."""

    def __init__(self, n_queries: int, rows: int, dim: int) -> None:
        import torch

        self.vectors = torch.empty((rows, dim))
        self.products = torch.empty(n_queries * rows)
        self.bins = torch.empty(n_queries * rows, dtype=torch.int32)


def _inverse_lengths(vectors: Any) -> tuple[Floats, int, int]:
    """1 / length of each row, 0 where it has none, and how many are all zeros, and not finite.

    ``vectors`` changes: rows that are not finite become zeros, very short or long ones are brought
    near unit length by a power of two.
    """
    import torch

    lengths = torch.linalg.vector_norm(vectors, dim=1).numpy()
    odd = np.flatnonzero(~((lengths >= _PLAIN[0]) & (lengths <= _PLAIN[1])))
    unreadable = broken = 0
    if len(odd):
        held = vectors.numpy()
        rows = held[odd]
        finite = np.isfinite(rows).all(axis=1)
        rows[~finite] = 0
        _, exponent = np.frexp(np.abs(rows).max(axis=1))
        held[odd] = rows = np.ldexp(rows, -exponent[:, None])
        lengths[odd] = np.linalg.norm(rows.astype(np.float64), axis=1)
        broken = int((~finite).sum())
        unreadable = int((lengths[odd] == 0).sum()) - broken
    with np.errstate(divide="ignore"):
        inverse = np.where(lengths > 0, np.float32(1) / lengths, np.float32(0))
    return inverse.astype(np.float32), unreadable, broken


@contextmanager
def _single_threads(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in which torch uses one each; it is as before afterwards."""
    import torch

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def _in_flight(
    pool: ThreadPoolExecutor,
    work: Callable[[tuple[NDArray[Any], int, int]], int],
    items: Iterator[tuple[NDArray[Any], int, int]],
    most: int,
) -> Iterator[int]:
    """The results, as they are ready; at most ``most`` are under way at once."""
    waiting: set[Future[int]] = set()
    for item in items:
        waiting.add(pool.submit(work, item))
        if len(waiting) >= most:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (f.result() for f in done)
    yield from (f.result() for f in waiting)
