"""Where a neighbourhood ends, by captions: a documented rule over rows whose captions are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.embed import Embedder
from laion_probe.language import make_detector
from laion_probe.neighbourhood import (
    Threshold,
    choose_threshold,
    keywords,
    names_concept,
)
from laion_probe.questions.gallery import seeded_sample
from laion_probe.questions.inputs import Progress
from laion_probe.questions.neighbours_tables import EDGES, bin_of, unit_rows
from laion_probe.vectors import Embeddings

__all__ = ["CaptionsRead", "Look", "SaidOf", "caption_rows", "read_captions", "texts_of"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: So many captions are read at most: concepts that fewer than 1 in 10 000 name are not found.
MOST_CAPTIONS = 250_000

_GIVEN = "given by the user"
_STRETCH = 4_096
_BLOCK = 16_384
_OWN_CAPTIONS, _LOOKED_AT = 500, 5_000


@dataclass(frozen=True)
class Look:
    """What is looked for: ``queries`` (concepts, d); ``given`` is the user's own threshold."""

    embeddings: Embeddings
    embedder: Embedder
    concepts: Sequence[str]
    queries: Floats
    given: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class SaidOf:
    """What captions say of one concept.

    ``reason`` says in words why there is no threshold. ``n_named`` rows have a caption that names
    it; ``named_bins`` (bins,) counts them by similarity, ``all_bins`` all rows whose captions were
    read.
    """

    threshold: Threshold
    reason: str
    n_named: int
    n_named_near: int
    named_bins: Ints
    all_bins: Ints


@dataclass(frozen=True)
class CaptionsRead:
    """What the captions of ``n_rows`` rows say of each concept."""

    n_rows: int
    of: tuple[SaidOf, ...]


def caption_rows(embeddings: Embeddings, most: int, seed: int) -> Ints:
    """Rows whose captions are read: all, or stretches of 4 096 drawn at random up to ``most``.

    Empty where the metadata have no captions. Rows of one stretch share a file, so they may
    resemble each other: good enough to set a threshold by, and nothing is estimated from them.
    """
    if "text" not in embeddings.canonical():
        return np.zeros(0, np.int64)
    starts = [
        (p.first + start, p.first + min(start + _STRETCH, p.n_rows))
        for p in embeddings.parts
        if p.metadata is not None
        for start in range(0, p.n_rows, _STRETCH)
    ]
    total = sum(stop - start for start, stop in starts)
    if total > most:
        order = np.random.default_rng(seed).permutation(len(starts))
        sizes = np.cumsum([starts[i][1] - starts[i][0] for i in order])
        starts = sorted(starts[i] for i in order[: max(1, int((sizes <= most).sum()))])
    rows = [np.arange(*ends, dtype=np.int64) for ends in starts]
    return np.concatenate(rows) if rows else np.zeros(0, np.int64)


def texts_of(embeddings: Embeddings, rows: Ints) -> list[str]:
    """The captions of these rows, '' where a row has none."""
    column = embeddings.canonical()["text"]
    texts = embeddings.metadata(rows, [column])[column].cast(pl.String).fill_null("")
    return [str(text) for text in texts]


def read_captions(look: Look, progress: Progress) -> CaptionsRead:
    """Read captions, and set each concept's threshold by `laion_probe.neighbourhood`'s rule."""
    embeddings = look.embeddings
    rows = caption_rows(embeddings, MOST_CAPTIONS, look.seed)
    texts: list[str] = []
    kept, similarity = [], []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        vectors, where, _, _ = unit_rows(embeddings.vectors(block))
        said = texts_of(embeddings, block)
        texts += [said[i] for i in where.tolist()]
        kept.append(block[where])
        similarity.append(vectors @ look.queries.T)
        progress("read captions", min(start + _BLOCK, len(rows)), len(rows))
    if not any(text.strip() for text in texts):
        return _without(look)
    near, usable = np.concatenate(similarity), np.concatenate(kept)
    own = np.zeros(0, np.float32)
    if look.given is None:
        own = _own_captions(embeddings, look.embedder, usable, texts, look.seed)
    series = pl.Series("text", texts, pl.String)
    found = [_of_concept(look, c, near[:, c], series, own) for c in range(len(look.concepts))]
    return CaptionsRead(len(texts), tuple(found))


def _without(look: Look) -> CaptionsRead:
    """There are no captions: what the user gave is all there is."""
    empty = np.zeros(len(EDGES) - 1, np.int64)
    threshold, reason = Threshold(look.given, _GIVEN), ""
    if look.given is None:
        threshold = Threshold(None, "not set: there are no captions")
        reason = (
            "the embeddings have no captions to set a threshold by (a threshold of your own, or "
            "ratings of a sample, would set one)"
        )
    said = SaidOf(threshold, reason, 0, 0, empty, empty)
    return CaptionsRead(0, (said,) * len(look.concepts))


def _of_concept(look: Look, c: int, similarity: Floats, texts: pl.Series, own: Floats) -> SaidOf:
    named = names_concept(texts, keywords(look.concepts[c])).to_numpy()
    threshold, reason = Threshold(look.given, _GIVEN), ""
    if look.given is None:
        threshold, reason = _threshold(similarity, named, own)
    value = math.inf if threshold.value is None else threshold.value
    place, bins = bin_of(similarity), len(EDGES) - 1
    return SaidOf(
        threshold=threshold,
        reason=reason,
        n_named=int(named.sum()),
        n_named_near=int((named & (similarity >= np.float32(value))).sum()),
        named_bins=np.bincount(place[named], minlength=bins),
        all_bins=np.bincount(place, minlength=bins),
    )


def _threshold(similarity: Floats, named: NDArray[np.bool_], own: Floats) -> tuple[Threshold, str]:
    """Where the neighbourhood ends and, if nowhere, why, in words for the answer."""
    if not named.any():
        return (
            Threshold(None, "not set: no caption that was read names the concept"),
            "no caption that was read names it, so nothing in these data can confirm what the "
            "nearest pictures show, and no share is given (other words, a threshold of your own, "
            "or ratings of a sample would give one)",
        )
    chosen = choose_threshold(similarity, named, own)
    if chosen.value is None:
        return chosen, chosen.rule
    # Down to four decimals, as it is told: the row that it was taken from then stays inside.
    value = math.floor(chosen.value * 1e4) / 1e4
    return Threshold(value, f"{chosen.rule}; of {len(named)} rows whose captions were read"), ""


def _own_captions(
    embeddings: Embeddings, embedder: Embedder, rows: Ints, texts: Sequence[str], seed: int
) -> Floats:
    """Similarity of a seeded sample of pictures with their own English captions."""
    looked = seeded_sample(len(texts), _LOOKED_AT, seed, range(len(texts)))
    codes = make_detector("cld2")([texts[i] for i in looked]).codes
    english = [i for i, code in zip(looked, codes, strict=True) if code == "en"]
    chosen = sorted(english[:_OWN_CAPTIONS])
    if not chosen:
        return np.zeros(0, np.float32)
    captions = embedder.texts([texts[i] for i in chosen])
    vectors, where, _, _ = unit_rows(embeddings.vectors(rows[chosen]))
    return np.asarray((vectors * captions[where]).sum(axis=1), dtype=np.float32)
