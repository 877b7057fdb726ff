"""Which FAISS index fits a budget of memory and time, and why.

Sizes follow FAISS's storage: a row of an inverted list is its code and a number of 8 bytes, a list
has a centroid of 4 bytes a dimension, and 4-bit codes lie in blocks of 32 rows (facebookresearch/
faiss, ``invlists/``; André, Kermarrec, Le Scouarnec 2017 for the fast scan). Times follow counted
multiplications at a stated rate, so that the same request gives the same plan on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from laion_probe.errors import ConfigError
from laion_probe.results import Value

__all__ = ["KINDS", "Budget", "IndexPlan", "plan_index"]

KINDS = ("flat", "ivf", "ivfpq", "fastscan", "on-disk")

#: Stated rates: products of float32 by one thread, and what a thread reads from memory.
FLOPS_A_THREAD = 40e9
BYTES_A_THREAD_S = 6e9
#: One query by an index whose vectors are whole may take so long.
_QUICK_S = 0.005
#: Share of the rows that a query is expected to look at in an IVF index.
_PROBED = 1 / 16
#: Rows of the training sample for a list, the usual and the least that FAISS takes as enough.
_POINTS, _LEAST_POINTS = 50, 39
#: Fewer cannot train 8-bit codes well, says FAISS.
_LEAST_CODED = 256 * _LEAST_POINTS
#: Rounds of k-means, of fitting a rotation, and the rows that codes and rotation are fitted to.
ITERATIONS = 8
ROTATION_ROUNDS = 8
CODED = 16_384
#: What fitting codes of few dimensions each reaches of the stated rate, as 1 / share.
_NARROW = 20
#: Above so many lists the nearest are found by a graph (HNSW), not one by one.
_MOST_FLAT_LISTS = 16_384
_MOST_LISTS = 262_144
_LINKS = 32
_GRAPH_DISTANCES = 2_000
_BLOCK = 32


@dataclass(frozen=True)
class Budget:
    """What an index may take: bytes while it is searched, seconds to build (None: no end).

    ``kind`` is one of `KINDS`, or "auto".
    """

    max_memory: float
    max_time_s: float | None = None
    threads: int = 1
    kind: str = "auto"


class IndexPlan(Value):
    """An index that fits: FAISS's factory string, what it will take, and why it was chosen.

    ``n_bytes`` is its expected size on disk, ``n_memory`` what a search holds of it, ``seconds``
    the expected time of building at the stated rates. ``exact`` codes are the vectors themselves.
    """

    kind: str
    factory: str
    n_rows: int
    dim: int
    n_lists: int
    n_training: int
    n_bytes: int
    n_memory: int
    seconds: float
    exact: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Option:
    """One way to index; ``code`` bytes a row beside its number, ``effort`` products a row."""

    kind: str
    factory: str
    n_lists: int
    n_training: int
    code: float
    extra: float
    training: float
    effort: float
    what: str

    def size(self, n: int, dim: int) -> float:
        if not self.n_lists:
            return n * self.code
        links = 2 * _LINKS * 4 * 1.1 if self.n_lists > _MOST_FLAT_LISTS else 0
        padding = _BLOCK / 2 * self.code if self.kind == "fastscan" else 0
        lists = self.n_lists * (4 * dim + links + padding)
        return n * (self.code + 8) + lists + self.extra

    def memory(self, n: int, dim: int) -> float:
        in_lists = n * (self.code + 8) if self.kind == "on-disk" else 0
        return self.size(n, dim) - in_lists

    def seconds(self, n: int, dim: int, threads: int) -> float:
        nearest = min(self.n_lists, _MOST_FLAT_LISTS) * 2 * dim
        if self.n_lists > _MOST_FLAT_LISTS:
            nearest = _GRAPH_DISTANCES * 2 * dim
        means = ITERATIONS * self.n_training * self.n_lists * 2 * dim
        work = means + self.training + n * (nearest + self.effort)
        # read once to index, once to measure the recall of some 200 queries
        return (work + n * 200 * 2 * dim) / (FLOPS_A_THREAD * threads) + 2 * n * dim * 4 / 1e9


def plan_index(n_rows: int, dim: int, budget: Budget) -> IndexPlan:
    """The first kind of index that fits the budget, in the order of how sure its results are.

    Whole vectors where a scan of them is quick (all of them, or those of some lists), then 4-bit
    codes at 2 bits or 1 bit a dimension, then 8-bit product codes, shorter and shorter, then codes
    that stay on disk. Candidates by codes are scored anew from the raw embeddings. Where time is
    short, fewer rows are trained on, then fewer lists made. Raises `ConfigError` where nothing
    fits, with the numbers.

    >>> plan = plan_index(2_000_000, 512, Budget(512 * 2**20, threads=2))
    >>> plan.kind, plan.factory, plan.n_bytes // 2**20
    ('fastscan', 'IVF4096,PQ256x4fsr', 275)
    """
    if budget.kind not in ("auto", *KINDS):
        raise ConfigError(f"no kind of index '{budget.kind}': give one of {', '.join(KINDS)}")
    refused: list[str] = []
    for option in _options(n_rows, dim, budget.kind):
        reason: str | None = "too little memory to train"
        for tried in _hastened(option, dim, budget):
            reason = _too_much(tried, n_rows, dim, budget)
            if reason is None:
                return _plan(tried, n_rows, dim, budget, refused)
        refused.append(f"{option.what} ({option.factory}): {reason}.")
    if not refused:
        raise ConfigError(
            f"{n_rows} rows of {dim} numbers are too few for --kind {budget.kind}, whose lists and "
            "codes are trained on them: give --kind flat, or auto"
        )
    raise ConfigError(
        f"no index of {n_rows} × {dim} fits: {' '.join(refused)} "
        "Give more --max-memory or --max-time, or another --kind"
    )


def _options(n: int, dim: int, kind: str) -> Iterator[_Option]:
    """What may be built, best first."""
    n_lists = _lists(n)
    quick = BYTES_A_THREAD_S * _QUICK_S / (4 * dim)
    if kind == "flat" or (kind == "auto" and (n <= quick or n_lists < 4)):
        yield _Option(
            "flat", "IDMap,Flat", 0, 0, 4 * dim + 8, 0, 0, 0, "all vectors, compared one by one"
        )
    if n_lists < 4:
        return
    coarse = f"IVF{n_lists}" + (f"_HNSW{_LINKS}" if n_lists > _MOST_FLAT_LISTS else "")
    n_training = min(n, _POINTS * n_lists)

    def option(kind: str, code: str, size: float, what: str, rotated: int = 0) -> _Option:
        centroids = 16 if kind == "fastscan" else 256
        coded = code != "Flat"
        rotation = 4.0 * dim * dim if rotated else 0.0
        fitted = min(n_training, CODED)
        fitting = coded * fitted * centroids * 2.0 * dim * ITERATIONS * _NARROW
        turned = ROTATION_ROUNDS * (fitting / 2 + fitted * 4.0 * dim * dim) if rotated else 0.0
        return _Option(
            kind,
            f"OPQ{rotated}_{dim},{coarse},{code}" if rotated else f"{coarse},{code}",
            n_lists,
            n_training,
            size,
            coded * centroids * dim * 4.0 + rotation,
            fitting + turned,
            coded * centroids * 2.0 * dim + (2.0 * dim * dim if rotated else 0.0),
            what,
        )

    if kind == "ivf" or (kind == "auto" and n * _PROBED <= quick):
        yield option("ivf", "Flat", 4 * dim, "whole vectors in lists")
    if kind in ("auto", "fastscan"):
        for part in (2, 4):
            pieces = _divisor(dim, dim // part)
            if pieces:
                what = f"4-bit codes of {4 * pieces / dim:.2g} bits a dimension, scanned in blocks"
                code = f"PQ{pieces}x4fsr"
                yield option("fastscan", code, math.ceil(pieces / 2), what)
    if n_training < _LEAST_CODED:
        return
    if kind in ("auto", "ivfpq"):
        for part in (4, 8, 16, 32):
            if kind == "auto" and part == 4:
                continue  # as long as the longest 4-bit codes, and slower
            pieces = _divisor(dim, dim // part)
            if pieces:
                what = f"8-bit product codes of {8 * pieces / dim:.2g} bits a dimension, rotated"
                yield option("ivfpq", f"PQ{pieces}x8", pieces, what, rotated=pieces)
    if kind in ("auto", "on-disk"):
        pieces = _divisor(dim, dim // 4) or dim
        what = f"8-bit product codes of {8 * pieces / dim:.2g} bits a dimension that stay on disk"
        yield option("on-disk", f"PQ{pieces}x8", pieces, what)


def _lists(n: int) -> int:
    """A power of two near 4 √n, with enough rows a list to train on."""
    if n < 4 * _LEAST_POINTS:
        return 0
    wanted = 2 ** round(math.log2(4 * math.sqrt(n)))
    most = 2 ** int(math.log2(n / _LEAST_POINTS))
    return int(min(wanted, most, _MOST_LISTS))


def _divisor(dim: int, most: int) -> int:
    """The largest divisor of ``dim`` that is at most ``most``; 0 where it is under half of that."""
    found = max((m for m in range(1, most + 1) if dim % m == 0), default=0)
    return found if 2 * found >= most else 0


def _hastened(option: _Option, dim: int, budget: Budget) -> Iterator[_Option]:
    """The option, then what is quicker of its like: fewer rows to train on, then fewer lists."""
    if not option.n_lists:
        yield option
        return
    most = max(int(budget.max_memory / (4 * dim)), _LEAST_POINTS)
    name = f"IVF{option.n_lists}"
    for halved in (1, 2, 4, 8):
        n_lists = option.n_lists // halved
        if n_lists < 4:
            return
        factory = option.factory.replace(name, f"IVF{n_lists}")
        if n_lists <= _MOST_FLAT_LISTS:
            factory = factory.replace(f"_HNSW{_LINKS}", "")
        for points in (_POINTS, _LEAST_POINTS):
            n_training = min(option.n_training, points * n_lists, most)
            if n_training >= n_lists:
                yield replace(option, factory=factory, n_lists=n_lists, n_training=n_training)


def _too_much(option: _Option, n: int, dim: int, budget: Budget) -> str | None:
    memory, seconds = option.memory(n, dim), option.seconds(n, dim, budget.threads)
    if memory > budget.max_memory:
        return f"{_bytes(memory)} do not fit in {_bytes(budget.max_memory)}"
    if budget.max_time_s is not None and seconds > budget.max_time_s:
        return f"some {seconds:.0f} s to build, where {budget.max_time_s:.0f} s are given"
    return None


def _plan(option: _Option, n: int, dim: int, budget: Budget, refused: list[str]) -> IndexPlan:
    size, memory = option.size(n, dim), option.memory(n, dim)
    seconds = option.seconds(n, dim, budget.threads)
    flat = 4.0 * n * dim
    asked = "as asked for" if budget.kind != "auto" else "the first that fits"
    reasons = [
        *refused,
        f"Chosen, {asked}: {option.what} ({option.factory}).",
        f"{n:,} rows of {dim} numbers are {_bytes(flat)} in float32; this index is "
        f"{_bytes(size)}, {size / max(1, n):.0f} bytes a row"
        + (f" and 1/{flat / size:.1f} of that" if flat > 1.05 * size else "")
        + f", and a search holds {_bytes(memory)} of {_bytes(budget.max_memory)}.",
        f"Building takes some {seconds:.0f} s by {budget.threads} threads, at "
        f"{FLOPS_A_THREAD / 1e9:.0f} GFLOP/s each.",
    ]
    if option.n_lists:
        reasons.append(
            f"{option.n_lists} lists of {n / option.n_lists:.0f} rows on average, their centres "
            f"from {option.n_training:,} rows"
            + (
                f" (fewer than {_POINTS} a list, for want of time, memory or rows)."
                if option.n_training < _POINTS * option.n_lists
                else "."
            )
        )
    whole = option.kind in ("flat", "ivf")
    if not whole:
        reasons.append("Codes only nominate: candidates are scored anew from the raw embeddings.")
    return IndexPlan(
        kind=option.kind,
        factory=option.factory,
        n_rows=n,
        dim=dim,
        n_lists=option.n_lists,
        n_training=option.n_training,
        n_bytes=round(size),
        n_memory=round(memory),
        seconds=round(seconds, 1),
        exact=whole,
        reasons=tuple(reasons),
    )


def _bytes(n: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.3g} {unit}" if n < 100 else f"{n:.0f} {unit}"
        n /= 1024
    return f"{n:.3g} TiB"
