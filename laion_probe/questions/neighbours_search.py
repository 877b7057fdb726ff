"""The rows nearest to each concept: by a scan of every row, or by an index where that pays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laion_probe.attributes import UNKNOWN, Attribute
from laion_probe.config import NeighboursConfig
from laion_probe.estimators.ann_bounds import (
    Found,
    recall_estimate,
    recall_of_a_query,
    worst_case,
)
from laion_probe.index.exact import SearchOptions, search
from laion_probe.index.opening import open_index
from laion_probe.index.recall import Recall
from laion_probe.neighbours_result import RecallOf, SearchedBy
from laion_probe.questions.inputs import Progress
from laion_probe.questions.neighbours_inputs import Opened
from laion_probe.results import Estimate

__all__ = ["EXACT_ROWS", "Searched", "missed_range", "search_concepts"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: Up to so many rows every one is looked at, even where an index is there.
EXACT_ROWS = 20_000_000


@dataclass(frozen=True)
class Searched:
    """Rows (q, k) of each concept, best first, -1 where there are fewer; scores are cosines.

    ``histogram`` (q, bins) counts all usable rows between ``edges``, or is None of an index, as are
    the numbers of rows that could not be used.
    """

    by: SearchedBy
    rows: Ints
    scores: Floats
    histogram: Ints | None = None
    edges: NDArray[np.float64] | None = None
    n_unreadable: int | None = None
    n_broken: int | None = None

    def of(self, concept: int) -> tuple[Ints, Floats]:
        """The rows found of a concept, and their cosines."""
        there = self.rows[concept] >= 0
        return self.rows[concept][there], self.scores[concept][there]


def search_concepts(opened: Opened, config: NeighboursConfig, progress: Progress) -> Searched:
    """Search by the way that is asked for, or else by size, and say which and why."""
    folder, why = _index_to_use(opened, config)
    if folder is not None:
        index = open_index(folder, opened.embeddings)
        progress("search the index", 0, 1)
        rows, scores = index.search(opened.queries, config.k)
        progress("search the index", 1, 1)
        kind = "another tool's" if index.record is None else index.record.plan.kind
        recall = None if index.recall is None else _recall(index.recall)
        by = SearchedBy(kind="index", why=why, index=kind, recall=recall, notes=index.notes)
        return Searched(by, rows, scores)
    options = SearchOptions(
        k=config.k,
        runner="serial" if config.runner == "auto" else config.runner,
        workers=config.workers,
        ray_address=config.ray_address,
    )
    hits = search(opened.embeddings, opened.queries, options, progress)
    return Searched(
        by=SearchedBy(kind="exact", why=why, index="", recall=None),
        rows=hits.rows,
        scores=hits.scores,
        histogram=hits.histogram,
        edges=hits.edges,
        n_unreadable=hits.n_unreadable,
        n_broken=hits.n_broken,
    )


def _index_to_use(opened: Opened, config: NeighboursConfig) -> tuple[Path | None, str]:
    """The folder of the index to search, or None for a scan of every row; and why."""
    n = opened.embeddings.n_rows
    folder = Path(config.index) if config.index else opened.embeddings.folder / "index"
    if config.search == "exact":
        return None, f"every one of {n:,} rows was compared, as asked"
    if config.search == "index":
        return folder, f"the index in the folder {folder.name} was searched, as asked"
    if config.sample:
        return None, (
            f"every one of {n:,} rows was compared, since a sample for raters is drawn from all"
        )
    if config.index:
        return folder, f"the index in the folder {folder.name} was searched, since it was given"
    if n <= EXACT_ROWS:
        return None, (
            f"every one of {n:,} rows was compared: up to {EXACT_ROWS:,} that is quick, and misses "
            "nothing"
        )
    if folder.is_dir():
        return folder, (
            f"the index beside the embeddings was searched: there are {n:,} rows, over "
            f"{EXACT_ROWS:,} (--search exact compares every one)"
        )
    return None, (
        f"every one of {n:,} rows was compared, since no index is there (`laion-probe index` "
        "builds one)"
    )


def _recall(measured: Recall) -> RecallOf:
    """What was measured of the index when it was built."""
    mean = measured.mean
    if measured.query_true:
        mean = recall_estimate(np.array(measured.query_hits), np.array(measured.query_true))
    return RecallOf(
        k=measured.k,
        n_queries=mean.units,
        mean=mean,
        worst_tenth=measured.worst_tenth,
        least=_least(measured),
        by_query=dict(measured.by_query),
        by_group=dict(measured.by_group),
        gap=measured.gap,
    )


def _least(measured: Recall) -> float:
    """What the recall of one more concept stays above: a concept is a text, so by texts if any.

    Where there are too few queries for such a limit, the lower end of the worst tenth's, or of a
    kind of query's.
    """
    kinds = np.array(measured.query_kind)
    chosen = kinds == "text" if (kinds == "text").any() else np.ones(len(kinds), dtype=bool)
    true = np.array(measured.query_true, dtype=np.float64)[chosen]
    if len(true):
        limit = recall_of_a_query(np.array(measured.query_hits)[chosen] / true).low
        if limit:
            return limit
    return min(e.low or 0.0 for e in (measured.worst_tenth, *measured.by_query.values()))


def missed_range(
    by: SearchedBy, near: Ints, attribute: Attribute, complete: bool, level: float
) -> Estimate | None:
    """The headline share if all that the index misses were one level, or the other.

    ``complete`` says that the threshold was reached before the list of neighbours ended. None of an
    exact scan, and where nothing was measured.
    """
    if by.recall is None or not near.sum():
        return None
    counts = dict(zip(attribute.levels, near.tolist(), strict=True))
    pair = (attribute.contrast, attribute.against)
    found = Found(
        hits=counts[attribute.contrast],
        against=counts[attribute.against],
        unknown=counts[UNKNOWN],
        kind="threshold" if complete else "top_k",
        other=int(near.sum()) - sum(counts[x] for x in (*pair, UNKNOWN)),
    )
    return worst_case(found, by.recall.least, level)
