"""From ranked rows to an answer: what is left out, in which order, and what was applied.

Nothing bends the order unless it was asked for: as it comes, the order is that of the cosine. What
was asked for and could not be done is said as such. Removed rows are left out in any case, and not
counted in an answer: how many there are near a query is nobody's to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laion_probe.questions.serving import Collection, Space

__all__ = [
    "NEAR_IDENTICAL",
    "SAFE_BELOW",
    "Answer",
    "Applied",
    "Asked",
    "answer",
    "metadata_of",
    "n_to_search",
]

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

#: Rows whose pictures' vectors are nearer than this are taken for the same picture.
NEAR_IDENTICAL = 0.96
#: Rows with this punsafe or more are left out where safety is asked for.
SAFE_BELOW = 0.5
_BLOCK = 512
#: Rows of a removal list that make a search look further, so that an answer is as long as asked.
_MORE = 1000


@dataclass(frozen=True)
class Asked:
    """What a caller asks of the hits: ``n`` rows with metadata, of ``k`` altogether.

    ``aesthetic`` is the score wished for, 0 to 10, and its weight, 0 to 1.
    """

    k: int
    n: int
    modality: str = "image"
    deduplicate: bool = False
    safety: bool = False
    violence: bool = False
    mclip: bool = False
    aesthetic: tuple[float, float] | None = None


@dataclass(frozen=True)
class Applied:
    """One thing that bends an answer: whether it was done, and how or why not."""

    name: str
    done: bool
    note: str
    n_left_out: int = 0


@dataclass(frozen=True)
class Answer:
    """Rows as mappings, best first, and what was applied to get them."""

    rows: list[dict[str, Any]]
    applied: tuple[Applied, ...]


def n_to_search(asked: Asked, collection: Collection) -> int:
    """Hits to search for, so that enough are left without removed rows."""
    return min(asked.k + min(len(collection.removed), _MORE), collection.n_rows)


def answer(collection: Collection, asked: Asked, rows: Rows, scores: Floats) -> Answer:
    """What is answered of these hits, best first.

    ``similarity`` is always the cosine, also where the order is another. Only the first ``n`` rows
    have metadata: the others' is asked for later, by their id.
    """
    keep = ~_is_removed(collection, rows)
    rows, scores = rows[keep][: asked.k], scores[keep][: asked.k]
    space = collection.spaces[asked.modality]
    applied = [Applied("search", True, space.how)]
    if len(collection.removed):
        applied.append(Applied("removal-list", True, "listed rows never come back"))
    for step in (_safe, _distinct, _by_aesthetic):
        rows, scores, said = step(collection, space, asked, rows, scores)
        applied += said
    if asked.violence:
        applied.append(Applied("violence-detector", False, "there is none here"))
    if asked.mclip:
        applied.append(Applied("mclip", False, "there is none here: the collection's own encoder"))
    found = collection.rows.rows(rows[: asked.n])
    found += [{} for _ in range(len(rows) - len(found))]
    return Answer(
        [
            {**known, "id": int(row), "similarity": float(score)}
            for known, row, score in zip(found, rows, scores, strict=True)
        ],
        tuple(applied),
    )


def metadata_of(collection: Collection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """``id`` and ``metadata`` of these rows; removed rows, and those that are not, are left out."""
    rows = np.array([i for i in ids if 0 <= i < collection.n_rows], np.int64)
    rows = rows[~_is_removed(collection, rows)]
    found = collection.rows.rows(rows)
    return [{"id": int(r), "metadata": m} for r, m in zip(rows, found, strict=True)]


def _is_removed(collection: Collection, rows: Rows) -> NDArray[np.bool_]:
    # A list may be long, and is in order: looking up is cheaper than sorting it anew.
    removed = collection.removed
    at = np.searchsorted(removed, rows)
    found: NDArray[np.bool_] = np.zeros(len(rows), bool)
    there = at < len(removed)
    found[there] = removed[at[there]] == rows[there]
    return found


Step = tuple[Rows, Floats, list[Applied]]


def _safe(collection: Collection, space: Space, asked: Asked, rows: Rows, scores: Floats) -> Step:
    if not asked.safety:
        return rows, scores, []
    if "punsafe" not in collection.rows.names:
        return rows, scores, [Applied("safety", False, "no column punsafe, and no safety model")]
    punsafe = _numbers(collection, rows, "punsafe")
    keep = punsafe < SAFE_BELOW  # an unknown one is not
    unknown = int(np.isnan(punsafe).sum())
    note = f"punsafe under {SAFE_BELOW} of the metadata; {unknown} left out for want of it"
    return rows[keep], scores[keep], [Applied("safety", True, note, int((~keep).sum()))]


def _distinct(
    collection: Collection, space: Space, asked: Asked, rows: Rows, scores: Floats
) -> Step:
    if not asked.deduplicate:
        return rows, scores, []
    keep = distinct(rows, space.embeddings.vectors(rows))
    note = f"cosine over {NEAR_IDENTICAL} with a row of a lower number"
    return rows[keep], scores[keep], [Applied("deduplicate", True, note, int((~keep).sum()))]


def distinct(rows: Rows, vectors: Floats) -> NDArray[np.bool_]:
    """Which rows are kept: by number, each that is not near-identical to one kept before it.

    >>> distinct(np.array([9, 4]), np.array([[1, 0], [1, 0.1]], np.float32)).tolist()
    [False, True]
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    order = np.argsort(rows, kind="stable")
    keep = np.zeros(len(rows), bool)
    kept = np.zeros((0, vectors.shape[1]), np.float32)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        free = ((unit[block] @ kept.T) <= NEAR_IDENTICAL).all(axis=1)
        block = block[free]
        same = (unit[block] @ unit[block].T) > NEAR_IDENTICAL
        alive = np.ones(len(block), bool)
        for i in range(len(block)):
            if alive[i]:
                alive[i + 1 :] &= ~same[i, i + 1 :]
        keep[block[alive]] = True
        kept = np.concatenate([kept, unit[block[alive]]])
    return keep


def _by_aesthetic(
    collection: Collection, space: Space, asked: Asked, rows: Rows, scores: Floats
) -> Step:
    if asked.aesthetic is None:
        return rows, scores, []
    wished, weight = asked.aesthetic
    if "aesthetic" not in collection.rows.names:
        return rows, scores, [Applied("aesthetic", False, "no column of aesthetic scores")]
    far = np.abs(_numbers(collection, rows, "aesthetic") - wished)
    far = np.where(np.isnan(far), np.inf, far)
    # Ranks, since the two have no common unit; ties keep the order of the cosine.
    rank = (1 - weight) * np.arange(len(rows)) + weight * np.argsort(
        np.argsort(far, kind="stable"), kind="stable"
    )
    order = np.argsort(rank, kind="stable")
    note = (
        f"these {len(rows)} re-ranked: {1 - weight:g} of the rank by cosine, {weight:g} of that by "
        f"nearness of the metadata's score to {wished:g}"
    )
    return rows[order], scores[order], [Applied("aesthetic", True, note)]


def _numbers(collection: Collection, rows: Rows, name: str) -> NDArray[np.float64]:
    """A column of numbers, NaN where there is none."""
    return np.array([_number(row.get(name)) for row in collection.rows.rows(rows)], np.float64)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
