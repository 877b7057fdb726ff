"""Searching a FAISS index: candidates by codes, then scored anew from the raw embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laion_probe.index.exact import cosines
from laion_probe.index.plan import IndexPlan
from laion_probe.index.recall import Recall
from laion_probe.results import Value
from laion_probe.vectors import Embeddings

__all__ = ["AnnIndex", "IndexRecord", "SearchSettings", "unit_rows", "usable"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Candidates beyond ``factor * k``: equal scores at the end are then in order of rows.
_SPARE = 32
#: Queries whose candidates are asked for at once.
_TOGETHER = 64


class SearchSettings(Value):
    """How an index is searched: lists that a query looks at (0: as the index has it), candidates.

    ``factor`` times as many candidates as neighbours are scored anew.
    """

    n_probes: int = 0
    factor: int = 1


class IndexRecord(Value):
    """What ``index.json`` says of the index beside it.

    ``fingerprint`` is of the embeddings and ``key`` names their model (None: not known). Rows that
    are all zeros (``n_unreadable``) or not finite (``n_broken``) are not in the index.
    """

    made_by: str
    faiss: str
    of: str
    plan: IndexPlan
    fingerprint: str
    key: Mapping[str, str] | None
    n_rows: int
    dim: int
    n_indexed: int
    n_unreadable: int
    n_broken: int
    n_bytes: int
    seed: int
    search: SearchSettings
    recall: Recall | None


@dataclass(frozen=True)
class AnnIndex:
    """A FAISS index that is open, with the embeddings that it is of where they are there.

    ``record`` is None for an index that another tool made; ``notes`` are sentences that whoever
    reads its answers must know. ``order`` is of an index that took the files in another order: the
    number that each file's first row has in the index, rising, and the one that it has here.
    """

    index: Any
    embeddings: Embeddings | None
    settings: SearchSettings
    record: IndexRecord | None = None
    notes: tuple[str, ...] = ()
    order: tuple[Rows, Rows] | None = None

    @property
    def key(self) -> Mapping[str, str] | None:
        """The model that made the vectors; None where it is not known."""
        if self.record is not None:
            return self.record.key
        return None if self.embeddings is None else self.embeddings.key

    @property
    def recall(self) -> Recall | None:
        """What was measured when the index was built; None for another tool's."""
        return None if self.record is None else self.record.recall

    @property
    def n_rows(self) -> int:
        """Rows that the index holds."""
        return int(self.index.ntotal)

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.index.d)

    def search(
        self, queries: Floats, k: int, settings: SearchSettings | None = None
    ) -> tuple[Rows, Floats]:
        """The ``k`` nearest rows of each query (q, d), and their cosines, both (q, k), best first.

        Ties are broken by the lower row. Where fewer are found, rows are -1 and scores -inf. With
        raw embeddings the scores are theirs; without, they are the index's own, and approximate.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"queries of shape {queries.shape} for an index of {self.dim} numbers")
        chosen = settings or self.settings
        given = _unit(queries)
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        candidates = self._candidates(given.astype(np.float32), k, chosen)
        for number, (found, near) in enumerate(candidates):
            if self.embeddings is not None:
                found = np.sort(found)
                near = _scores(self.embeddings, found, given[number])
                there = np.isfinite(near)
                found, near = found[there], near[there]
            best = np.lexsort((found, -near))[:k]
            rows[number, : len(best)] = found[best]
            scores[number, : len(best)] = near[best]
        return rows, scores

    def _candidates(
        self, queries: Floats, k: int, settings: SearchSettings
    ) -> Iterator[tuple[Rows, Floats]]:
        """Rows and approximate cosines of each query's candidates; none is -1."""
        faiss = _faiss()
        factor = settings.factor if self.embeddings is not None else 1
        wanted = min(self.n_rows, factor * k + _SPARE)
        if not wanted:
            yield from ((np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries)
            return
        params = _parameters(self.index, settings.n_probes, wanted)
        for start in range(0, len(queries), _TOGETHER):
            block = np.ascontiguousarray(queries[start : start + _TOGETHER])
            near, rows = self.index.search(block, wanted, params=params)
            if self.index.metric_type == faiss.METRIC_L2:
                near = 1 - near / 2
            for found, score in zip(rows, near, strict=True):
                there = (found >= 0) & np.isfinite(score)
                yield self._rows(found[there]), score[there]

    def _rows(self, found: Rows) -> Rows:
        if self.order is None:
            return found
        starts, firsts = self.order
        part = np.searchsorted(starts, found, side="right") - 1
        return np.asarray(found - starts[part] + firsts[part])


def _parameters(index: Any, n_probes: int, wanted: int) -> Any:
    """FAISS's parameters of one search; None where the index's own are meant."""
    faiss = _faiss()
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        inner = _parameters(index.index, n_probes, wanted)
        return inner and faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIVF) and n_probes:
        coarse = _parameters(index.quantizer, 0, n_probes)
        return faiss.SearchParametersIVF(nprobe=n_probes, quantizer_params=coarse)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=max(wanted, index.hnsw.efSearch))
    return None


def _faiss() -> Any:
    import faiss  # its stubs do not know its constructors

    return faiss


def _scores(embeddings: Embeddings, rows: Rows, query: Doubles) -> Floats:
    """The cosine of each row as an exact search gives it; not finite where it has none."""
    vectors = embeddings.vectors(rows)
    with np.errstate(all="ignore"):
        return cosines(vectors, np.broadcast_to(query, vectors.shape))


def usable(vectors: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]:
    """Which rows can be indexed, which of the others are broken (not finite), and all lengths."""
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    finite = np.isfinite(lengths)
    return finite & (lengths > 0), ~finite, lengths


def unit_rows(vectors: Floats) -> Floats:
    """The vectors at unit length; those of no length stay as they are."""
    return _unit(vectors).astype(np.float32)


def _unit(vectors: Floats) -> Doubles:
    given = vectors.astype(np.float64)
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    return np.asarray(given / np.where(lengths > 0, lengths, 1))
