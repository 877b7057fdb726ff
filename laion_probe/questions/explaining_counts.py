"""Counts of each explanation, in a neighbourhood of the data and in others like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.outliers_result import ExplanationKind, NullRegion
from laion_probe.questions.explaining_rows import ReadRows, Replayed, blank, n_words, read_rows
from laion_probe.questions.inputs import Progress
from laion_probe.recipes import Recipe
from laion_probe.regions import Neighbourhoods, near_duplicates
from laion_probe.vectors import Embeddings
from laion_probe.webplaces import hosts, registered_domains

__all__ = [
    "ALL",
    "CAPTIONS",
    "KEPT",
    "Counts",
    "ExplainOptions",
    "Places",
    "count",
    "find_places",
    "on_top_domains",
]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Hits = tuple[int, int]

#: Which rows an explanation looks at.
KEPT = "rows that the recipe keeps"
CAPTIONS = "captions that the recipe keeps"
ALL = "all rows"

#: So many rows are replayed one and all ...
WHOLE = 100_000
#: ... and of more, so many at random.
SAMPLED = 50_000

_TOP = 5  # domains
_NULL = NullRegion()
_HALVINGS = 20


@dataclass(frozen=True)
class ExplainOptions:
    """A caption of ``short_words`` or fewer is short; ``near_duplicate`` is a cosine.

    ``already`` is a recipe that the data have passed, whose removal cannot be seen any more. Odds
    ratios within ``null`` are called no difference.
    """

    short_words: int = 3
    near_duplicate: float = 0.985
    level: float = 0.95
    seed: int = 0
    already: Recipe | None = None
    null: NullRegion = _NULL


@dataclass(frozen=True)
class Counts:
    """(hits, rows) of one explanation: here, and in each other neighbourhood.

    ``everywhere`` counts all rows that were read; it is (0, 0) for what only a neighbourhood has.
    ``by`` divides the hits here, the most first; of domains it has the five most frequent ones.
    """

    here: Hits
    others: tuple[Hits, ...]
    of: str
    by: dict[str, int]
    everywhere: Hits = (0, 0)


@dataclass(frozen=True)
class Places:
    """A neighbourhood and the others, with what does not depend on recipes.

    ``at`` are the places of their rows in what was ``read``, the neighbourhood asked about first;
    ``drawn`` those of rows that stand for all of the data. ``alike`` tells rows with a
    near-duplicate in their neighbourhood, and ``vectors`` are those rows'. ``domains`` has a name
    for every row read, null where its address has no host.
    """

    hoods: Neighbourhoods
    read: ReadRows
    options: ExplainOptions
    at: tuple[Ints, ...]
    drawn: Ints
    alike: tuple[Bools, ...]
    vectors: tuple[NDArray[np.float32], ...]
    domains: pl.Series


def find_places(
    hoods: Neighbourhoods, data: Embeddings, options: ExplainOptions, progress: Progress
) -> Places:
    """Read the rows of all neighbourhoods, and look for near-duplicates and hosts.

    All of the data are read where they have at most `WHOLE` rows, else `SAMPLED` at random beside
    the neighbourhoods. Hosts stand for registered domains where there are none, as for the reserved
    names of examples. Raises `ShardError` where a part of data with metadata has none.
    """
    rows = (hoods.here, *hoods.others)
    drawn = np.arange(data.n_rows)
    if data.n_rows > WHOLE:
        rng = np.random.default_rng(options.seed)
        drawn = np.sort(rng.choice(data.n_rows, SAMPLED, replace=False, shuffle=False))
    read = read_rows(data, np.unique(np.concatenate([drawn, *rows])))
    alike, vectors = [], []
    for done, mine in enumerate(rows, 1):
        found = data.vectors(mine)
        flags = near_duplicates(found, options.near_duplicate)
        alike.append(flags)
        vectors.append(found[flags])
        progress("compare pictures within neighbourhoods", done, len(rows))
    urls = read.batch.column("url")
    domains = pl.select(pl.coalesce(registered_domains(urls), hosts(urls))).to_series()
    return Places(
        hoods=hoods,
        read=read,
        options=options,
        at=tuple(read.at(mine) for mine in rows),
        drawn=read.at(drawn),
        alike=tuple(alike),
        vectors=tuple(vectors),
        domains=domains,
    )


def count(kind: ExplanationKind, places: Places, replayed: Replayed) -> Counts:
    """Count one explanation at every place.

    Shares that grow with the rows looked at (near-duplicates, few domains) are counted on about as
    many kept rows everywhere: at most so many as here, or as at the median other place, whichever
    is less, drawn at random.
    """
    kept, read, hoods = replayed.kept, places.read, places.hoods
    none = np.zeros(len(kept), dtype=bool)
    match kind:
        case "over-represented":
            return _mass(places, kept, hoods.mass, hoods.masses)
        case "over-represented-deduplicated":
            return _mass(places, kept, hoods.mass_deduplicated, hoods.masses_deduplicated)
        case "short-captions":
            there = kept & ~blank(replayed.text)
            short = (n_words(replayed.text) <= places.options.short_words).to_numpy()
            return _rows(places, there, short, CAPTIONS, {})
        case "no-caption":
            return _rows(places, kept, ~read.captioned, KEPT, {})
        case "emptied":
            hit = read.captioned & blank(replayed.text)
            return _rows(places, kept, hit, KEPT, replayed.emptied)
        case "other-languages":
            language = replayed.language
            foreign = (language != "en").to_numpy()
            found = _rows(places, kept & read.captioned, foreign, CAPTIONS, {})
            mine = language.gather(places.at[0]).filter(
                pl.Series((kept & read.captioned & foreign)[places.at[0]])
            )
            return replace(found, by=_tally(mine))
        case "words-removed":
            hit = np.logical_or.reduce([none, *replayed.worded.values()])
            return _rows(places, ~none, hit, ALL, replayed.worded)
        case "survives":
            return _rows(places, ~none, kept, ALL, {})
        case "near-duplicates":
            return _near(places, kept)
        case "few-domains":
            return _domains(places, kept & places.domains.is_not_null().to_numpy())


def on_top_domains(domain: Ints, rng: np.random.Generator) -> int:
    """How many rows lie on the five domains that are most frequent among *other* rows.

    ``domain`` (n,) numbers each row's domain. The rows are halved at random, the five found in one
    half and the rows on them counted in the other, both ways, on average over `_HALVINGS`. Among
    rows of domains that are all different there are always five that are "most frequent": counted
    on the same rows, they would make any few rows look concentrated.

    >>> on_top_domains(np.arange(100), np.random.default_rng(0))
    0
    >>> on_top_domains(np.zeros(100, int), np.random.default_rng(0))
    100
    """
    hits, k = 0, int(domain.max(initial=0)) + 1
    for _ in range(_HALVINGS):
        first = rng.permutation(len(domain)) < len(domain) // 2
        counts = np.array([np.bincount(domain[half], minlength=k) for half in (first, ~first)])
        for found, counted in (counts, counts[::-1]):
            top = np.argsort(-found, kind="stable")[:_TOP]
            hits += int(counted[top][found[top] > 0].sum())
    return round(hits / _HALVINGS)


def _rows(places: Places, base: Bools, hit: Bools, of: str, by: dict[str, Bools]) -> Counts:
    """Counts of ``hit`` among ``base``, both over the rows read."""
    inside = hit & base
    found = [(int(inside[at].sum()), int(base[at].sum())) for at in places.at]
    here = places.at[0]
    parts = {title: int((mask & inside)[here].sum()) for title, mask in by.items()}
    everywhere = int(inside.sum()), int(base.sum())
    return Counts(found[0], tuple(found[1:]), of, _ordered(parts), everywhere)


def _mass(places: Places, kept: Bools, mass: Hits, masses: Sequence[Hits]) -> Counts:
    """Rows near each place, times the share of the place's sampled rows that the recipe keeps.

    Survival at the places that ``masses`` counts was not looked at: they get the shares kept in the
    other neighbourhoods, in a random order.
    """
    shares = [float(kept[at].mean()) if len(at) else 0.0 for at in places.at]
    in_all = float(kept[places.drawn].mean())
    order = np.random.default_rng(places.options.seed).permutation(len(masses))
    others = shares[1:] or [in_all]
    found = [
        _scaled(m, others[int(place) % len(others)], in_all)
        for m, place in zip(masses, order, strict=True)
    ]
    return Counts(_scaled(mass, shares[0], in_all), tuple(found), KEPT, {})


def _scaled(mass: Hits, share: float, in_all: float) -> Hits:
    rows = round(mass[1] * in_all)
    return min(rows, round(mass[0] * share)), rows


def _near(places: Places, kept: Bools) -> Counts:
    found = []
    for chosen, alike, vectors in zip(
        _thinned(places, kept), places.alike, places.vectors, strict=True
    ):
        # a row without a near-duplicate among all has none among these
        among = vectors[chosen[alike]]
        again = near_duplicates(among, places.options.near_duplicate).sum() if len(among) else 0
        found.append((int(again), int(chosen.sum())))
    return Counts(found[0], tuple(found[1:]), KEPT, {})


def _domains(places: Places, base: Bools) -> Counts:
    found, by = [], {}
    for i, (chosen, at) in enumerate(zip(_thinned(places, base), places.at, strict=True)):
        names = places.domains.gather(at[chosen])
        rng = np.random.default_rng([places.options.seed, i])
        number = names.rank("dense").to_numpy().astype(np.int64) - 1
        found.append((on_top_domains(number, rng), len(names)))
        if i == 0:
            by = dict(list(_tally(names).items())[:_TOP])
    return Counts(found[0], tuple(found[1:]), KEPT, by)


def _thinned(places: Places, base: Bools) -> list[Bools]:
    """Which rows of each place are looked at: ``base`` ones, about as many everywhere."""
    masks = [base[at] for at in places.at]
    n = [int(mask.sum()) for mask in masks]
    most = min(n[0], int(np.median(n[1:]))) if len(n) > 1 else n[0]
    out = []
    for i, mask in enumerate(masks):
        if n[i] > most:
            rng = np.random.default_rng([places.options.seed, i])
            chosen = rng.choice(np.flatnonzero(mask), most, replace=False)
            mask = np.zeros(len(mask), dtype=bool)
            mask[chosen] = True
        out.append(mask)
    return out


def _tally(names: pl.Series) -> dict[str, int]:
    return _ordered(dict(names.alias("name").value_counts().iter_rows()))


def _ordered(parts: dict[str, int]) -> dict[str, int]:
    """The most first, ties by name; parts without hits left out."""
    found = sorted(parts.items(), key=lambda part: (-part[1], part[0]))
    return {name: n for name, n in found if n}
