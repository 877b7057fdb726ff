"""Strata of all rows by similarity with a concept, and the rows of each that raters are to see.

Rows are cut by their cosine, finely where it is in doubt whether they show the concept, and a hash
draws the same rows whatever order they are read in.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from laion_probe.errors import ConfigError, NotEnoughData
from laion_probe.store import fingerprint

__all__ = [
    "Similarities",
    "StrataDesign",
    "StrataDraw",
    "design_strata",
    "draw",
    "merge_draws",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Ranks at which strata are cut are this far apart, and this factor lies around the threshold.
_APART = 10
_AROUND = 3
_FIRST = 100
#: Cosines closer than this may change places where sums are added up in another order.
_EQUAL = 2e-6
#: Rows to rate in a stratum, if so many strata allow; never fewer than two.
_WANTED = 10
_AT_LEAST = 2
#: The working model: P(shows) of the farthest and of the nearest rows.
_FAR, _NEAREST = 0.0005, 0.95
#: The rank that stands for the threshold in the working model where there is none.
_RANK = 1000


@dataclass(frozen=True)
class Similarities:
    """The cosines of all usable rows with one concept: a histogram, and the best of them exactly.

    ``counts[i]`` rows have edges[i] <= cosine < edges[i + 1]; ``top`` are the highest cosines, best
    first (may be empty). ``n_unscored`` rows have no usable vector: they are in no stratum.
    """

    counts: Ints
    edges: Floats
    top: NDArray[np.floating]
    n_unscored: int = 0

    @property
    def n(self) -> int:
        """Rows with a cosine."""
        return int(self.counts.sum())

    def at_rank(self, rank: int) -> tuple[float, int]:
        """A cosine that about ``rank`` rows reach, and how many do; ties are not parted."""
        apart = np.flatnonzero(self.top[rank - 1 : -1] - self.top[rank:] > _EQUAL)
        if len(apart):
            last = rank - 1 + int(apart[0])
            # half way to the next row, so that the last digit moves no row across
            return float(self.top[last] + self.top[last + 1]) / 2, last + 1
        above = self._above
        i = int(np.abs(np.log(np.maximum(above[:-1], 0.5)) - np.log(rank)).argmin())
        return float(self.edges[i]), int(above[i])

    def at_cosine(self, cosine: float) -> tuple[float, int]:
        """The nearest cosine of which it is known how many rows reach it, and how many do."""
        if len(self.top) and cosine > self.top[-1]:
            return cosine, int((self.top >= cosine).sum())
        i = int(np.abs(self.edges[:-1] - cosine).argmin())
        return float(self.edges[i]), int(self._above[i])

    def mean_between(self, low: float, high: float) -> float:
        """The mean cosine of rows with low <= cosine < high, by the middles of the bins."""
        middle = (self.edges[1:] + self.edges[:-1]) / 2
        inside = self.counts * ((middle >= low) & (middle < high))
        if not inside.sum():
            return float(np.clip((low + high) / 2, self.edges[0], self.edges[-1]))
        return float(inside @ middle / inside.sum())

    @functools.cached_property
    def _above(self) -> Ints:
        """Rows at or above each edge, (bins + 1,)."""
        return np.append(np.cumsum(self.counts[::-1])[::-1], 0).astype(np.int64)


@dataclass(frozen=True)
class StrataDesign:
    """Strata by similarity, best first, and how many rows of each raters are to see.

    ``floor`` (H,) is the lowest cosine of each (inclusive; the last has no floor), ``sizes`` (H,)
    its rows, ``planned`` (H,) those to draw, ``expected`` (H,) the working model's P(shows), by
    which rows were shared out and on which no estimate rests. ``near`` (H,) marks the strata at or
    above ``threshold``, which is always a boundary.
    """

    floor: Floats
    sizes: Ints
    planned: Ints
    expected: Floats
    near: Bools
    threshold: float | None
    n_unscored: int
    rule: str

    @property
    def probability(self) -> Floats:
        """The chance with which each row of a stratum is drawn, (H,)."""
        return np.asarray(self.planned / self.sizes, float)

    @property
    def names(self) -> tuple[str, ...]:
        """What the strata are called, by the ranks of their rows."""
        last = np.cumsum(self.sizes)
        first = last - self.sizes + 1
        return tuple(f"ranks {a} to {b}" for a, b in zip(first, last, strict=True))

    def stratum_of(self, similarity: NDArray[np.floating]) -> Ints:
        """The stratum of rows with these cosines, (m,)."""
        rising = -self.floor[:-1]
        return np.searchsorted(rising, -np.asarray(similarity, float), side="left").astype(np.int64)


@dataclass(frozen=True)
class StrataDraw:
    """Drawn rows, by stratum and hash; ``probability`` is the design's, by stratum."""

    row: Ints
    similarity: Floats
    stratum: Ints
    key: NDArray[np.uint64]


def design_strata(similarities: Similarities, n: int, threshold: float | None) -> StrataDesign:
    """Cut rows into strata by cosine and share out ``n`` rows to rate.

    Cuts are at ranks 100, 1 000, … and at the threshold and three times nearer and farther; fewer
    where that would leave under ten rows to rate in each. Rows are shared out by the square root of
    size times standard deviation of "shows" (a power allocation, Bankier 1988, between Neyman's,
    which serves the total alone and would send nearly all raters to the far rows, and an equal one)
    under a working model: P(shows) falls from 0.95 to 0.0005 as a logistic curve of cosine, half
    way at the threshold. Every stratum has at least two. A wrong model costs precision, not
    validity. Raises `NotEnoughData` without rows, `ConfigError` for n under 1.

    >>> rows = Similarities(np.array([9000, 900, 100]), np.array([0.0, 0.1, 0.2, 0.3]), np.zeros(0))
    >>> design = design_strata(rows, 200, 0.2)
    >>> design.sizes.tolist(), int(design.planned.sum()), design.near.tolist()
    ([100, 900, 9000], 200, [True, False, False])
    """
    if n < 1:
        raise ConfigError(f"cannot draw {n} rows to rate: give 1 or more")
    if similarities.n == 0:
        raise NotEnoughData("no row has a usable vector: there is nothing to draw from")
    cuts = _cuts(similarities, n, threshold)
    at = None if threshold is None else similarities.at_cosine(threshold)
    near_to = 0 if at is None else at[1]
    reach = np.array([*(count for _, count in cuts), similarities.n])
    floor = np.array([*(cosine for cosine, _ in cuts), -np.inf])
    sizes = np.diff(reach, prepend=0)
    expected = _expected(similarities, floor, None if at is None else at[0])
    wanted = np.sqrt(sizes * np.sqrt(expected * (1 - expected)))
    moved = ""
    if at is not None and threshold is not None and abs(at[0] - threshold) > 1e-9:
        moved = f"; the threshold {threshold:.4f} was moved to {at[0]:.4f}, where rows are counted"
    return StrataDesign(
        floor=floor,
        sizes=sizes.astype(np.int64),
        planned=_share_out(wanted, sizes, n),
        expected=expected,
        near=(reach <= near_to),
        threshold=None if at is None else at[0],
        n_unscored=similarities.n_unscored,
        rule=(
            f"{len(sizes)} strata by cosine, cut at ranks {_FIRST}, {_FIRST * _APART}, ... and "
            "around the threshold; rows to rate by the square root of size times the standard "
            "deviation that a logistic curve of cosine gives, two at least in each" + moved
        ),
    )


def draw(
    design: StrataDesign,
    rows: Ints,
    similarity: NDArray[np.floating],
    seed: int,
    name: str = "",
) -> StrataDraw:
    """The planned number of rows of each stratum: those of the lowest hash of (seed, name, row).

    A simple random sample of each stratum, whatever order rows come in: draw from each block of
    rows and join with `merge_draws`. Rows have to be all rows, or be chosen by the same hash.

    >>> rows = Similarities(np.array([90, 10]), np.array([0.0, 0.2, 0.4]), np.zeros(0))
    >>> design = design_strata(rows, 20, 0.2)
    >>> drawn = draw(design, np.arange(100), np.where(np.arange(100) < 10, 0.3, 0.1), seed=0)
    >>> np.bincount(drawn.stratum).tolist() == design.planned.tolist()
    True
    """
    found = StrataDraw(
        np.asarray(rows, np.int64),
        np.asarray(similarity, float),
        design.stratum_of(similarity),
        _hash(rows, seed, name),
    )
    return merge_draws(design, [found])


def merge_draws(design: StrataDesign, draws: Sequence[StrataDraw]) -> StrataDraw:
    """The draw from all rows, from draws of its parts; parts may overlap and come in any order."""
    row = np.concatenate([d.row for d in draws])
    row, first = np.unique(row, return_index=True)
    similarity, stratum, key = (
        np.concatenate([getattr(d, field) for d in draws])[first]
        for field in ("similarity", "stratum", "key")
    )
    order = np.lexsort((row, key, stratum))
    ordered = stratum[order]
    place = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    keep = order[place < design.planned[ordered]]
    return StrataDraw(row[keep], similarity[keep], stratum[keep], key[keep])


def _cuts(similarities: Similarities, n: int, threshold: float | None) -> list[tuple[float, int]]:
    """Cosines at which to cut, best first, and how many rows reach each; rows on both sides."""
    n_rows = similarities.n
    at_threshold = [] if threshold is None else [similarities.at_cosine(threshold)]
    middle = at_threshold[0][1] if at_threshold else 0
    around = [middle // _AROUND, middle * _AROUND] if middle else []
    ranks, rank = [], _FIRST
    while rank < n_rows:
        if not any(rank / 2 < x < rank * 2 for x in (middle, *around)):
            ranks.append(rank)
        rank *= _APART
    # in the order in which they are given up last
    wanted = [*at_threshold, *(similarities.at_rank(r) for r in (*around, *ranks) if r >= 1)]
    most = max(len(at_threshold), min(n // _WANTED, n // _AT_LEAST) - 1)
    cuts: dict[int, float] = {}
    for cosine, count in wanted:
        if 0 < count < n_rows and count not in cuts and len(cuts) < most:
            cuts[count] = cosine
    return [(cuts[count], count) for count in sorted(cuts)]


def _expected(similarities: Similarities, floor: Floats, middle: float | None) -> Floats:
    """The working model's P(shows) of each stratum."""
    edges, counts = similarities.edges, similarities.counts
    best = float(similarities.top[0] if len(similarities.top) else edges[1:][counts > 0].max())
    if middle is None:
        middle = similarities.at_rank(min(_RANK, max(1, similarities.n // 10)))[0]
    high = np.append(np.inf, floor[:-1])
    mean = [
        similarities.mean_between(max(low, edges[0]), min(up, best + 1e-6))
        for low, up in zip(floor, high, strict=True)
    ]
    # three scales from the middle to the best row
    scale = max((best - middle) / 3, 0.01)
    return np.asarray(_FAR + (_NEAREST - _FAR) * expit((np.array(mean) - middle) / scale), float)


def _share_out(wanted: Floats, sizes: Ints, n: int) -> Ints:
    """``n`` rows over strata in proportion to ``wanted``: two (or all) of each at least.

    A row more goes to the stratum furthest behind (Sainte-Laguë's rule).
    """
    planned = np.minimum(sizes, _AT_LEAST)
    behind = [
        (-float(w) / (2 * int(k) + 1), h)
        for h, (w, k, size) in enumerate(zip(wanted, planned, sizes, strict=True))
        if k < size
    ]
    heapq.heapify(behind)
    for _ in range(min(n, int(sizes.sum())) - int(planned.sum())):
        _, h = heapq.heappop(behind)
        planned[h] += 1
        if planned[h] < sizes[h]:
            heapq.heappush(behind, (-float(wanted[h]) / (2 * int(planned[h]) + 1), h))
    return planned.astype(np.int64)


def _hash(rows: Ints, seed: int, name: str) -> NDArray[np.uint64]:
    """Splitmix64's finaliser (Steele, Lea, Flood 2014) of row and salt: as good as random."""
    salt = np.uint64(int(fingerprint([seed, "strata", name])[:16], 16))
    with np.errstate(over="ignore"):
        z = (np.asarray(rows, np.int64).astype(np.uint64) ^ salt) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)
