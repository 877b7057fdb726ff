"""Held-out queries, their exact neighbours, and the smallest search that finds enough of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.errors import ConfigError
from laion_probe.index.ann import AnnIndex, SearchSettings, unit_rows, usable
from laion_probe.index.exact import SearchOptions, search
from laion_probe.index.recall import Found, Recall, found_of, measured_recall
from laion_probe.vectors import Embeddings, open_embeddings

__all__ = ["HeldOut", "hashed", "held_out", "settle"]

Floats = NDArray[np.float32]
Progress = Callable[[str, int, int], None]

#: Besides the mean: what the worst tenth must reach, and how far groups may be apart.
WORST_TENTH = 0.90
GAP = 0.01
_FACTORS = (2, 4, 8)
_MOST_GROUPS = 12
_SPARE = 4
_REST = "all others"
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class HeldOut:
    """Queries (q, dim) of unit length, what each is a vector of, and their exact neighbours."""

    queries: Floats
    kind: NDArray[np.str_]
    rows: NDArray[np.int64]
    scores: Floats
    group: NDArray[np.int64] | None
    groups: tuple[str, ...]

    def found(self, index: AnnIndex, settings: SearchSettings, part: slice) -> Found:
        """What the index finds of the neighbours of a part of the queries."""
        got = index.search(self.queries[part], self.rows.shape[1], settings)
        hit = found_of((self.rows[part], self.scores[part]), got)
        group = None if self.group is None else self.group[part]
        return Found(hit, self.rows[part], self.kind[part], group, self.groups)


def hashed(rows: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each row, always the same for a seed (splitmix64, Steele et al. 2014).

    >>> bool(0.45 < hashed(np.arange(10_000), 7).mean() < 0.55)
    True
    """
    with np.errstate(over="ignore"):
        x = rows.astype(np.uint64) + np.uint64(seed % 2**32) * np.uint64(0xD1B54A32D192ED03)
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def held_out_above(n_rows: int, n_queries: int) -> float:
    """Rows hashed at or above this are never trained on: some times as many as there are queries.

    No more than a quarter of the rows.
    """
    return 1 - min(0.25, _SPARE * (n_queries + 16) / max(1, n_rows))


def held_out(
    embeddings: Embeddings, n: int, k: int, group: str | None, seed: int, progress: Progress
) -> HeldOut | None:
    """``n`` rows that are not trained on, and as many captions where ``text_emb/`` is beside them.

    None where no row is left for it. Raises `ConfigError` where there is no such metadata column.
    """
    if group is not None and group not in embeddings.columns:
        known = ", ".join(embeddings.columns) or "none"
        raise ConfigError(f"no metadata column '{group}' to tell recall by: there are {known}")
    above = held_out_above(embeddings.n_rows, n)
    rows = np.concatenate(list(_rows_above(embeddings.n_rows, above, seed)))
    rows = rows[np.argsort(-hashed(rows, seed), kind="stable")]
    vectors = embeddings.vectors(rows)
    rows, vectors = rows[usable(vectors)[0]][:n], vectors[usable(vectors)[0]][:n]
    if len(rows) < 2:
        return None
    kinds = [np.full(len(rows), embeddings.kind)]
    other = _captions(embeddings)
    if other is not None:
        captions = other.vectors(rows)
        captions = captions[usable(captions)[0]]
        vectors = np.concatenate([vectors, captions])
        kinds.append(np.full(len(captions), other.kind))
    queries = unit_rows(vectors)
    exact = search(embeddings, queries, SearchOptions(k=k, histogram=False), progress)
    true, scores = exact.rows, exact.scores
    codes, names = _groups(embeddings, true, group)
    return HeldOut(queries, np.concatenate(kinds), true, scores, codes, names)


def settle(
    index: AnnIndex, held: HeldOut, target: float, seed: int
) -> tuple[SearchSettings, Recall]:
    """The smallest search that meets the target on one half of the queries; recall on the other.

    Lists are doubled until the mean, less its error, is at least ``target``, the worst tenth 0.90
    and groups at most a point apart, for every kind of query; then the fewest candidates are taken
    that do. Where nothing does, all lists are searched with the most candidates.
    """
    n_lists = index.record.plan.n_lists if index.record else 0
    exact = bool(index.record and index.record.plan.exact)
    chosen, met = None, True
    for settings in _smaller_first(n_lists, exact, lambda s: _meets(index, held, s, target, seed)):
        chosen = settings
        break
    if chosen is None:
        chosen, met = SearchSettings(n_probes=n_lists, factor=1 if exact else _FACTORS[-1]), False
    checked = held.found(index, chosen, slice(1, None, 2))
    return chosen, measured_recall(checked, seed, target, met)


def _smaller_first(
    n_lists: int, exact: bool, meets: Callable[[SearchSettings], bool]
) -> Iterator[SearchSettings]:
    """Settings that meet what is asked, the smallest first; none where none does."""
    factors = (1,) if exact else _FACTORS
    probes = [0] if not n_lists else [2**i for i in range(n_lists.bit_length()) if 2**i <= n_lists]
    for n_probes in probes:
        if not meets(SearchSettings(n_probes=n_probes, factor=factors[-1])):
            continue
        # a few more lists cost less than candidates, which are read from the raw embeddings
        twice = min(2 * n_probes, n_lists)
        for factor in factors:
            for tried in dict.fromkeys((n_probes, twice)):
                settings = SearchSettings(n_probes=tried, factor=factor)
                if meets(settings):
                    yield settings


def _meets(
    index: AnnIndex, held: HeldOut, settings: SearchSettings, target: float, seed: int
) -> bool:
    recall = measured_recall(held.found(index, settings, slice(0, None, 2)), seed, target, True)
    means = [e.low for e in recall.by_query.values()]
    worst, gap = recall.worst_tenth.value, recall.gap
    return (
        all(low is not None and low >= target for low in means)
        and worst is not None
        and worst >= WORST_TENTH
        and (gap is None or gap.value is None or gap.value <= GAP)
    )


def _rows_above(n_rows: int, above: float, seed: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, n_rows, 2**22):
        rows = np.arange(start, min(start + 2**22, n_rows))
        yield rows[hashed(rows, seed) >= above]


def _captions(embeddings: Embeddings) -> Embeddings | None:
    """The vectors of the captions, where they are of the same rows and in the same space."""
    if embeddings.kind != "image" or not (embeddings.folder / "text_emb").is_dir():
        return None
    other = open_embeddings(embeddings.folder, "text")
    alike = (other.n_rows, other.dim) == (embeddings.n_rows, embeddings.dim)
    return other if alike else None


def _groups(
    embeddings: Embeddings, rows: NDArray[np.int64], column: str | None
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """The group of each neighbour, by name; the rarest groups are one."""
    if column is None:
        return None, ()
    distinct, where = np.unique(rows[rows >= 0], return_inverse=True)
    values = embeddings.metadata(distinct, [column])[column].cast(pl.String).fill_null(_UNKNOWN)
    of = values.gather(pl.Series(where))
    counts = of.value_counts().sort(["count", column], descending=[True, False])
    names = counts[column].to_list()
    if len(names) > _MOST_GROUPS:
        names = [*names[: _MOST_GROUPS - 1], _REST]
    number = {name: i for i, name in enumerate(names)}
    codes = np.full(rows.shape, -1, np.int64)
    codes[rows >= 0] = [number.get(v, len(names) - 1) for v in of.to_list()]
    return codes, tuple(names)
