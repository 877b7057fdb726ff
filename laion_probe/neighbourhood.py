"""From a concept to the rows that are about it: prompts, keywords and a threshold.

The threshold is set by a documented rule, never by hand. Where at least 20 captions of pictures
name the concept, it is the one that maximises recall² / (share selected) over these pictures (Lee
and Liu 2003): for positives labelled at random among all positives this is proportional to
precision times recall, and needs no negatives. Otherwise it is the similarity that the median
picture has with its own caption, so "near" means "as near as captions usually are".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.errors import ConfigError
from laion_probe.measures import words

__all__ = [
    "MIN_NAMED",
    "Threshold",
    "choose_threshold",
    "keywords",
    "mean_direction",
    "names_concept",
    "prompts",
]

#: So many pictures must be named by their caption for the threshold to be set by captions.
MIN_NAMED = 20

#: Selecting by the threshold must beat selecting everything by this factor, or the model does not
#: know the concept.
MIN_GAIN = 1.5

_STOP = frozenset(
    [
        *("a", "an", "the", "his", "her", "its", "their", "or", "and", "who", "is"),
        *("at", "by", "for", "from", "in", "into", "near", "of", "on", "to", "with"),
        *("photo", "photograph", "picture", "image", "portrait", "drawing", "illustration"),
    ]
)
_TEMPLATES = (
    "{}",
    "a photo of {}",
    "a picture of {}",
    "a portrait of {}",
    "an illustration of {}",
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where the neighbourhood ends. ``value`` is None when nothing belongs to it."""

    value: float | None
    rule: str


def keywords(concept: str) -> tuple[str, ...]:
    """The content words of a concept; all must stand in a caption for it to name the concept.

    >>> keywords("a woman in a sari")
    ('woman', 'sari')
    """
    if not concept.strip():
        raise ConfigError("the concept is empty: give words, such as 'doctor'")
    found = tuple(dict.fromkeys(w for w in words(concept) if w not in _STOP))
    return found or tuple(dict.fromkeys(words(concept)))


def prompts(concept: str) -> tuple[str, ...]:
    """The prompt ensemble of a concept: bare, and in a few templates with an article.

    >>> prompts("engineer")[1]
    'a photo of an engineer'
    """
    name = concept.strip()
    first = name.split()[0].lower()
    if first not in {"a", "an", "the", "two", "three", "some", "many", "people", "no"}:
        with_article = f"{'an' if first[0] in 'aeiou' else 'a'} {name}"
    else:
        with_article = name
    return tuple(t.format(name if t == "{}" else with_article) for t in _TEMPLATES)


def names_concept(texts: pl.Series, wanted: Sequence[str]) -> pl.Series:
    """Whether each caption holds all ``wanted`` words, as whole words, in any case.

    A final s, es or possessive counts as the same word. Captions in other languages than the
    concept's are not found: that is a property of the words, and is said in the report.
    """
    lower = texts.str.to_lowercase()
    mask = pl.repeat(bool(wanted), len(texts), dtype=pl.Boolean, eager=True)
    for word in wanted:
        # not \b: underscores and digits also end a word, as in the file name "doctor_01.jpg"
        pattern = rf"(^|[^\p{{L}}\p{{M}}]){pl.escape_regex(word)}(es|s|['’]s)?([^\p{{L}}\p{{M}}]|$)"
        mask = mask & lower.str.contains(pattern)
    return mask


def mean_direction(vectors: Floats) -> Floats:
    """The unit-length mean of unit-length vectors."""
    mean = vectors.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def choose_threshold(
    similarity: Floats, named: NDArray[np.bool_], own_caption: Floats
) -> Threshold:
    """Choose where the neighbourhood ends.

    ``similarity`` (n,) of every picture with the concept; ``named`` (n,) whether its caption names
    the concept; ``own_caption`` similarities of pictures with their own captions.
    """
    n = len(similarity)
    if int(named.sum()) >= MIN_NAMED:
        order = np.argsort(-similarity, kind="stable")
        recall = np.cumsum(named[order]) / named.sum()
        selected = np.arange(1, n + 1) / n
        score = recall**2 / selected
        # A handful of pictures can have a high score by chance: at least as many as are named / 4.
        start = max(1, int(named.sum()) // 4)
        best = start + int(score[start:].argmax()) if n > start else n - 1
        if score[best] < MIN_GAIN:
            return Threshold(
                None,
                "captions name the concept, but the model does not place their pictures nearer to "
                f"it than others (recall² / share selected reaches only {score[best]:.2f})",
            )
        value = float(similarity[order[best]])
        return Threshold(
            value,
            "maximises recall² / share selected over the pictures whose captions name the concept "
            f"(Lee and Liu 2003; {int(named.sum())} such pictures, recall {recall[best]:.2f}, "
            f"share selected {selected[best]:.3f})",
        )
    if len(own_caption) == 0:
        return Threshold(None, "no picture has a caption to set a threshold by")
    value = float(np.median(own_caption))
    if not bool((similarity >= value).any()):
        return Threshold(
            None,
            "no picture is as similar to it as the median picture is to its own caption "
            f"({float(similarity.max()):.2f} at most, against {value:.2f})",
        )
    rule = (
        f"the median similarity of {len(own_caption)} pictures with their own captions, since "
        f"fewer than {MIN_NAMED} pictures have a caption that names the concept"
    )
    return Threshold(value, rule)
