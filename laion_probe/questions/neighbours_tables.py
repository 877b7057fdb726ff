"""One pass over all vectors: how similar each row is to each concept, and as what it is read.

Nothing is kept of a row but a count: rows by bin of similarity, and by bin and level of each
attribute. So compositions at any threshold are of all rows, not of the nearest alone, in memory
that does not grow with the rows. The same pass draws the rows for raters, by a hash.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laion_probe.attributes import Attribute
from laion_probe.attributes.zero_shot import choose, zero_shot_logits
from laion_probe.embed import Embedder
from laion_probe.estimators.similarity_strata import (
    StrataDesign,
    StrataDraw,
    draw,
    merge_draws,
)
from laion_probe.index.blocks import Stretch, divide, read_into
from laion_probe.questions.inputs import Progress
from laion_probe.tasks import TaskOptions, run_tasks
from laion_probe.vectors import Embeddings

__all__ = [
    "EDGES",
    "Lookup",
    "Plan",
    "Tables",
    "bin_of",
    "lookup_of",
    "read_levels",
    "tabulate",
    "unit_rows",
]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: Similarities are counted in bins of 0.005.
EDGES: NDArray[np.float64] = np.linspace(-1, 1, 401)

_BLOCK = 16_384
_TASK_ROWS = 1_000_000


@dataclass(frozen=True)
class Lookup:
    """An attribute as columns to multiply vectors with: (d, levels, then prompts of *unknown*).

    The columns hold the model's scale and the attribute's temperature; it can be sent to a worker,
    which then needs no model.
    """

    columns: Floats
    n_known: int
    min_probability: float


@dataclass(frozen=True)
class Plan:
    """What the pass counts; ``thresholds`` (q,) hold NaN where a concept has none.

    ``designs`` are those of the samples for raters, one a concept, or there are none.
    """

    embeddings: Embeddings
    queries: Floats
    thresholds: NDArray[np.float64]
    lookups: tuple[Lookup, ...]
    names: tuple[str, ...] = ()
    designs: tuple[StrataDesign, ...] = ()
    seed: int = 0


@dataclass
class Tables:
    """Counts over all usable rows; tables of separate rows add up.

    ``rows`` (q, bins); ``levels[a]`` (q, bins, levels) of attribute a; ``near[a]`` (q, levels) of
    the rows at or above the threshold; ``drawn[c]`` rows that
    the sample of concept c may hold.
    """

    rows: Ints
    levels: list[Ints]
    near: list[Ints]
    n_near: Ints
    n_unreadable: int = 0
    n_broken: int = 0
    drawn: list[list[StrataDraw]] = field(default_factory=list)

    @classmethod
    def empty(cls, plan: Plan) -> Tables:
        """Nothing counted yet."""
        q, bins = len(plan.queries), len(EDGES) - 1
        sizes = [look.n_known + 1 for look in plan.lookups]
        return cls(
            rows=np.zeros((q, bins), np.int64),
            levels=[np.zeros((q, bins, n), np.int64) for n in sizes],
            near=[np.zeros((q, n), np.int64) for n in sizes],
            n_near=np.zeros(q, np.int64),
            drawn=[[] for _ in range(q)],
        )

    def add(self, other: Tables) -> None:
        """Add the counts of other rows."""
        self.rows += other.rows
        self.n_near += other.n_near
        for mine, theirs in zip(
            (*self.levels, *self.near), (*other.levels, *other.near), strict=True
        ):
            mine += theirs
        self.n_unreadable += other.n_unreadable
        self.n_broken += other.n_broken
        for ours, drawn in zip(self.drawn, other.drawn, strict=True):
            ours += drawn

    @property
    def n_usable(self) -> int:
        """Rows with a vector that says something."""
        return int(self.rows[0].sum()) if len(self.rows) else 0


def lookup_of(attribute: Attribute, embedder: Embedder) -> Lookup:
    """What it takes to read the attribute from vectors, zero-shot."""
    dim = embedder.texts(attribute.level[0].prompts).shape[1]
    columns = zero_shot_logits(np.eye(dim, dtype=np.float32), attribute, embedder)
    scaled = np.asarray(columns / np.float32(attribute.temperature), dtype=np.float32)
    return Lookup(scaled, attribute.unknown_at, attribute.min_probability)


def read_levels(vectors: Floats, lookup: Lookup) -> Ints:
    """The level of each vector of unit length, as `laion_probe.attributes.zero_shot` reads it."""
    return _levels(vectors @ lookup.columns, lookup)


def _levels(logits: Floats, lookup: Lookup) -> Ints:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    n = lookup.n_known
    return choose(np.column_stack([p[:, :n], p[:, n:].sum(axis=1)]), lookup.min_probability)


def unit_rows(block: NDArray[np.float16] | Floats) -> tuple[Floats, Ints, int, int]:
    """The usable vectors of a block at unit length, their places, and how many are not usable.

    A vector of zeros is a picture that could not be read; one with NaN or infinity is broken.
    """
    vectors = np.asarray(block, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    sound = np.isfinite(norms)
    usable = sound & (norms > 0)
    n_broken, n_zero = int((~sound).sum()), int((sound & (norms == 0)).sum())
    where = np.flatnonzero(usable)
    if len(where) == len(vectors):
        return vectors / norms[:, None], where, 0, 0
    return vectors[where] / norms[where, None], where, n_zero, n_broken


def tabulate(plan: Plan, options: TaskOptions, progress: Progress) -> Tables:
    """Count every row; the same counts whoever computes."""
    tasks = divide(plan.embeddings, _TASK_ROWS, _BLOCK)
    total = Tables.empty(plan)
    work = functools.partial(_count, plan)
    for done, (_, table) in enumerate(run_tasks(work, tasks, options), 1):
        total.add(table)
        _merge_drawn(plan, total)
        progress("read attributes", done, len(tasks))
    return total


def _count(plan: Plan, task: tuple[Stretch, ...]) -> Tables:
    table, embeddings = Tables.empty(plan), plan.embeddings
    columns = np.concatenate([plan.queries.T, *(look.columns for look in plan.lookups)], axis=1)
    for stretch in task:
        first = embeddings.parts[stretch.part].first
        with read_into(embeddings, stretch) as fill:
            for start in range(stretch.start, stretch.stop, _BLOCK):
                size = min(_BLOCK, stretch.stop - start)
                block = np.empty((size, embeddings.dim), embeddings.dtype)
                fill(block)
                vectors, where, n_zero, n_broken = unit_rows(block)
                table.n_unreadable += n_zero
                table.n_broken += n_broken
                _count_block(plan, vectors @ columns, first + start + where, table)
    _merge_drawn(plan, table)
    return table


def _merge_drawn(plan: Plan, table: Tables) -> None:
    """Keep of what was drawn of each concept no more than its sample can hold."""
    for c, design in enumerate(plan.designs):
        table.drawn[c] = [merge_draws(design, table.drawn[c])]


def _count_block(plan: Plan, products: Floats, rows: Ints, table: Tables) -> None:
    q, bins = len(plan.queries), len(EDGES) - 1
    labels, at = [], q
    for look in plan.lookups:
        labels.append(_levels(products[:, at : at + look.columns.shape[1]], look))
        at += look.columns.shape[1]
    for c in range(q):
        similarity = products[:, c]
        place = bin_of(similarity)
        table.rows[c] += np.bincount(place, minlength=bins)
        # a comparison with NaN is false: without a threshold nothing is near
        near = similarity >= np.float32(plan.thresholds[c])
        table.n_near[c] += int(near.sum())
        for a, (label, look) in enumerate(zip(labels, plan.lookups, strict=True)):
            n = look.n_known + 1
            both = np.bincount(place * n + label, minlength=bins * n)
            table.levels[a][c] += both.reshape(bins, n)
            table.near[a][c] += np.bincount(label[near], minlength=n)
        if plan.designs:
            cosines = similarity.astype(np.float64)
            table.drawn[c].append(draw(plan.designs[c], rows, cosines, plan.seed, plan.names[c]))


def bin_of(similarity: Floats) -> Ints:
    """The bin of each similarity; what rounding puts beyond 1 is in the last."""
    bins = len(EDGES) - 1
    place = np.floor((similarity.astype(np.float64) + 1) * (bins / 2) + 1e-9).astype(np.int64)
    return np.clip(place, 0, bins - 1)
