"""A neighbourhood of the data and others of like size and density: what contrasts are made of.

The unit of inference is the neighbourhood, not the row: rows of one neighbourhood are alike, so
that a thousand of them say little more than one about what a place in the data is like. Others are
built as this one is, from random rows, and matched on density alone, never on what is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import ConfigError, EmbedderMismatch, NotEnoughData
from laion_probe.index.exact import SearchOptions, search
from laion_probe.index.hits import Hits
from laion_probe.vectors import Embeddings

__all__ = ["Neighbourhoods", "RegionOptions", "near_duplicates", "neighbourhoods"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Progress = Callable[[str, int, int], None]

#: Other neighbourhoods that are kept if there are so many, however far their density is off.
_LEAST_KEPT = 12
#: Fewer others than this say nothing of how neighbourhoods vary.
_LEAST_OTHERS = 3
#: Random rows tried for each neighbourhood that may be kept.
_TRIED = 4
#: The centre of a neighbourhood is the mean of a tenth of its rows, and of at least ten.
_CORE, _LEAST_CORE = 10, 10
#: A neighbourhood's rows are among so many times its size nearest to its centre, so that what is
#: left over between others is none. As many nearest to the centre asked for are in no other: they
#: may be of the same subject.
_REACH = 2
#: Rows that are multiplied with each other at once.
_BLOCK = 2048


@dataclass(frozen=True)
class RegionOptions:
    """Neighbourhoods of ``size`` rows, ``most`` others at most.

    ``near_duplicate`` is the cosine from which two pictures are near-duplicates.
    """

    size: int
    most: int = 40
    near_duplicate: float = 0.985
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Rows of the data around a centre, and around other places.

    ``here`` are the ``size`` rows nearest to the centre, best first; ``others`` are as many each,
    disjoint, and those most like it in ``density`` (the length of the mean of unit vectors; theirs
    are ``densities``). ``mass`` counts all rows as near to the centre as the furthest of ``here``,
    and all rows; ``masses`` the same at other places, whatever their density: centres of all that
    were tried, no two of them within that distance, so that a subject counts once however many rows
    it has. A place with less than a tenth of ``size`` within it (or ten) has no such neighbourhood
    and is left out, else rows that resemble no others would pass for rare subjects. A subject whose
    pictures are much alike has more of them within a distance, which is part of how places vary. Of
    very many subjects the larger are likelier to be tried, which makes this one stand out less.
    ``mass_deduplicated`` and ``masses_deduplicated`` count near-duplicates once. ``note`` says how
    many were tried.
    """

    here: Ints
    others: tuple[Ints, ...]
    density: float
    densities: NDArray[np.float64]
    mass: tuple[int, int]
    masses: tuple[tuple[int, int], ...]
    mass_deduplicated: tuple[int, int]
    masses_deduplicated: tuple[tuple[int, int], ...]
    note: str


def neighbourhoods(
    data: Embeddings,
    centre: Floats,
    options: RegionOptions,
    progress: Progress = lambda what, done, of: None,
) -> Neighbourhoods:
    """The neighbourhood of ``centre`` (d,), and others like it elsewhere in the data.

    Each other one starts at a random row: its centre is the mean direction of the rows nearest to
    that one (a tenth of ``size``, at least ten), its rows are the ``size`` nearest to the centre
    that no earlier one has. Places whose centre is within the neighbourhood's own radius are the
    same place, and left out. Two passes over the data, of any size. The same arguments give the
    same rows. Raises `NotEnoughData` where fewer than three others fit.

    >>> found = neighbourhoods(data, centre, RegionOptions(size=200))  # doctest: +SKIP
    >>> len(found.here), len(found.others)  # doctest: +SKIP
    (200, 17)
    """
    _check(data, centre, options)
    size, n = options.size, data.n_rows
    rng = np.random.default_rng((options.seed, 21))
    tried = min(n, max(_TRIED * options.most, 4 * _LEAST_KEPT))
    anchors = rng.permutation(rng.choice(n, tried, replace=False))
    vectors = data.vectors(anchors)
    usable = np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1) > 0)
    anchors, vectors = anchors[usable], vectors[usable]
    core = search(data, vectors, SearchOptions(_core(size), False), progress)
    centres = np.stack([centre, *(_mean(data, _listed(core, i)) for i in range(len(anchors)))])
    near = search(data, centres, SearchOptions(_REACH * size, True), progress)
    here = _listed(near, 0)[:size]
    if len(here) < size:
        raise NotEnoughData(_too_few(near.n_usable, size, 0))
    radius = float(near.scores[0, size - 1])
    elsewhere = centres @ centre < radius
    elsewhere[0] = False
    regions = _disjoint(near, anchors, np.flatnonzero(elsewhere), size)
    if len(regions) < _LEAST_OTHERS:
        raise NotEnoughData(_too_few(near.n_usable, size, len(regions)))
    density = _density(data, here)
    densities = np.array([_density(data, rows) for rows in regions])
    keep = min(options.most, max(_LEAST_KEPT, len(regions) // 2))
    kept = np.sort(np.argsort(np.abs(densities - density), kind="stable")[:keep])
    total = near.n_usable
    within = near.above(radius)
    peopled = np.flatnonzero(elsewhere & (within >= _core(size)))
    places = [0, *_apart(centres, peopled, radius)]
    masses = within[places]
    unique = [_unique_share(data, near, p, radius, options) for p in places]
    once = np.round(masses * np.array(unique)).astype(np.int64)
    return Neighbourhoods(
        here=here,
        others=tuple(regions[i] for i in kept),
        density=density,
        densities=densities[kept],
        mass=(int(masses[0]), total),
        masses=tuple((int(m), total) for m in masses[1:]),
        mass_deduplicated=(int(once[0]), total),
        masses_deduplicated=tuple((int(m), total) for m in once[1:]),
        note=f"{len(kept)} of {len(regions)} disjoint neighbourhoods of {size} rows, those nearest "
        f"in density; {len(masses) - 1} places of that radius (cosine {radius:.3f}) for the mass",
    )


def near_duplicates(vectors: Floats, cosine: float) -> Bools:
    """Which of ``vectors`` (n, d), of any length, have another one at that cosine or above.

    >>> near_duplicates(np.array([[1, 0], [1, 0.01], [0, 1]], np.float32), 0.985).tolist()
    [True, True, False]
    """
    found = np.zeros(len(vectors), bool)
    for start, products in _products(vectors):
        products[np.arange(len(products)), start + np.arange(len(products))] = -1
        found[start : start + len(products)] = (products >= cosine).any(axis=1)
    return found


def _check(data: Embeddings, centre: Floats, options: RegionOptions) -> None:
    if centre.shape != (data.dim,):
        raise EmbedderMismatch(
            f"a centre of shape {centre.shape}, embeddings of {data.dim} numbers: both must be of "
            "one model"
        )
    if options.size < 2 or options.most < 1:
        raise ConfigError(
            f"neighbourhoods of {options.size} rows, {options.most} others at most: give at least "
            "2 rows and 1 other"
        )


def _too_few(n: int, size: int, found: int) -> str:
    return (
        f"{found} other neighbourhoods of {size} rows in {n} rows of data, where at least "
        f"{_LEAST_OTHERS} are needed: give smaller neighbourhoods or more data"
    )


def _core(size: int) -> int:
    return max(_LEAST_CORE, size // _CORE)


def _listed(hits: Hits, query: int) -> Ints:
    rows = hits.rows[query]
    return np.asarray(rows[rows >= 0])


def _mean(data: Embeddings, rows: Ints) -> Floats:
    """The mean direction of rows; of rows that cancel out, the first."""
    vectors = _unit(data.vectors(rows))
    mean = vectors.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length > 1e-6 else vectors[0], np.float32)


def _density(data: Embeddings, rows: Ints) -> float:
    return float(np.linalg.norm(_unit(data.vectors(rows)).mean(axis=0, dtype=np.float64)))


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def _disjoint(near: Hits, anchors: Ints, some: Ints, size: int) -> list[Ints]:
    """Neighbourhoods of ``some`` centres (centre i + 1 is anchor i's), in turn, sharing no row.

    An anchor that another has already stands for the same place.
    """
    taken = [_listed(near, 0)]
    for i in some:
        before = np.concatenate(taken)
        if anchors[i - 1] in before:
            continue
        rows = _listed(near, int(i))
        free = rows[~np.isin(rows, before)]
        if len(free) >= size:
            taken.append(free[:size])
    return taken[1:]


def _apart(centres: Floats, some: Ints, radius: float) -> list[int]:
    """Those of ``some`` centres, in turn, that are not within ``radius`` of an earlier one."""
    kept: list[int] = []
    for i in some:
        if not kept or float((centres[kept] @ centres[i]).max()) < radius:
            kept.append(int(i))
    return kept


def _unique_share(
    data: Embeddings, near: Hits, place: int, radius: float, options: RegionOptions
) -> float:
    """The share of rows within the radius that is left when near-duplicates count once.

    Of the ``size`` nearest of these rows, where there are more. The lower row of a pair stays.
    """
    rows = _listed(near, place)
    rows = np.sort(rows[near.scores[place, : len(rows)] >= radius][: options.size])
    if not len(rows):
        return 1.0
    left = np.ones(len(rows), bool)
    for start, products in _products(_unit(data.vectors(rows))):
        for i, alike in enumerate(products >= options.near_duplicate, start):
            if left[i]:
                left[i + 1 :] &= ~alike[i + 1 :]
    return float(left.mean())


def _products(vectors: Floats) -> Iterator[tuple[int, Floats]]:
    """The cosines of a block of rows with all, and the number of the first."""
    unit = _unit(vectors)
    for start in range(0, len(unit), _BLOCK):
        yield start, unit[start : start + _BLOCK] @ unit.T
