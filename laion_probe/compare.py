"""Compare stages and groups: compositions, shifts, amplification, and the words of a concept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe import estimate
from laion_probe.attributes import UNKNOWN, Attribute
from laion_probe.estimate import Sample
from laion_probe.known_error import (
    Adjusted,
    Labels,
    adjust,
    difference_range,
    paired_range,
    share_range,
)
from laion_probe.measures import words
from laion_probe.results import Amplification, Composition, KnownError, Shift, WordScore

__all__ = [
    "Labelled",
    "adjusted",
    "amplification",
    "compose",
    "shift_independent",
    "shift_nested",
    "word_scores",
]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Labelled:
    """Labels of an attribute over a fixed list of pictures, with their sampling design.

    ``label[i]`` indexes ``attribute.levels``; stages are boolean masks over the same pictures.
    """

    attribute: Attribute
    label: NDArray[np.int64]
    sample: Sample
    labels: str
    known_errors: tuple[KnownError, ...] = ()

    def level(self, name: str) -> Bools:
        """Which pictures are read as ``name``."""
        return np.asarray(self.label == self.attribute.levels.index(name))

    @property
    def hit(self) -> Bools:
        """Pictures of the contrast level."""
        return self.level(self.attribute.contrast)

    @property
    def base(self) -> Bools:
        """Pictures of either level of the contrast."""
        return self.hit | self.level(self.attribute.against)


def adjusted(data: Labelled, stage: Bools, seed: int = 0) -> Adjusted | None:
    """The headline share of ``stage`` under each measured confusion; None where none is known."""
    a = data.attribute
    labels = Labels(data.label, stage, a.levels, (a.contrast, a.against), data.sample)
    return adjust(labels, data.known_errors, seed)


def compose(data: Labelled, stage: Bools) -> Composition:
    """The composition of the pictures in ``stage``."""
    a = data.attribute
    known = adjusted(data, stage)
    return Composition(
        attribute=a.name,
        levels=a.levels,
        counts={name: int((data.level(name) & stage).sum()) for name in a.levels},
        shares={name: estimate.share(data.level(name), stage, data.sample) for name in a.levels},
        contrast_level=a.contrast,
        against_level=a.against,
        contrast=estimate.share(data.hit, data.base & stage, data.sample),
        bounds=estimate.bounds_with_unknown(
            data.hit & stage, data.base & stage, data.level(UNKNOWN) & stage, data.sample
        ),
        labels=data.labels,
        with_known_errors=None if known is None else share_range(known),
    )


def shift_nested(data: Labelled, before: tuple[str, Bools], after: tuple[str, Bools]) -> Shift:
    """The change of the headline share between nested stages, given as (id, mask)."""
    first, second = before[1] & data.base, after[1] & data.base
    difference = estimate.difference_nested(data.hit, first, second, data.sample)
    one, two = adjusted(data, before[1]), adjusted(data, after[1])
    return Shift(
        attribute=data.attribute.name,
        contrast_level=data.attribute.contrast,
        from_stage=before[0],
        to_stage=after[0],
        difference=difference,
        ratio=estimate.ratio_nested(data.hit, first, second, data.sample),
        paired=True,
        with_known_errors=None
        if one is None or two is None
        else paired_range(one, two, difference),
    )


def shift_independent(
    before: tuple[str, Composition],
    after: tuple[str, Composition],
    known: tuple[Adjusted | None, Adjusted | None] = (None, None),
) -> Shift:
    """The change of the headline share between independent samples, given as (id, composition).

    ``known`` are both shares adjusted for measured errors (with different seeds).
    """
    first, second = before[1].contrast, after[1].contrast
    one, two = known
    return Shift(
        attribute=before[1].attribute,
        contrast_level=before[1].contrast_level,
        from_stage=before[0],
        to_stage=after[0],
        difference=estimate.difference_independent(first, second),
        ratio=estimate.ratio_independent(first, second),
        paired=False,
        with_known_errors=None if one is None or two is None else difference_range(one, two),
    )


def amplification(attribute: Attribute, data: Composition, shift: Shift) -> Amplification:
    """The change towards the side of parity that the data favour, which may pass beyond it.

    Where the interval of the data's share contains parity, the side is not determined and no
    number is given: |g - 1/2| - |t - 1/2| is biased upwards there.
    """
    share = data.contrast
    parity = attribute.parity
    true = data.with_known_errors
    unsure = share.low is None or share.high is None or share.low <= parity <= share.high
    if true is not None:
        unsure |= true.low is None or true.high is None or true.low <= parity <= true.high
    if unsure or share.low is None:
        return Amplification(
            attribute=attribute.name,
            parity=parity,
            toward=None,
            signed=None,
            note="side not determined: the data's share may be parity, by its interval or by the "
            "classifier's measured errors",
        )
    above = share.low > parity
    note = "above zero is further to that side, below zero away from it"
    known = shift.with_known_errors
    if known is not None and (
        known.low is None or known.high is None or known.low <= 0 <= known.high
    ):
        note += "; as read: the classifier's measured errors could turn it round"
    return Amplification(
        attribute=attribute.name,
        parity=parity,
        toward=attribute.contrast if above else attribute.against,
        signed=shift.difference if above else estimate.negate(shift.difference),
        note=note,
    )


def word_scores(
    near: Iterable[str], rest: Iterable[str], leave_out: Iterable[str] = (), top: int = 20
) -> tuple[WordScore, ...]:
    """The words that set captions near a concept apart from the rest.

    Each caption counts a word once. Log-odds with an informative Dirichlet prior, the prior being
    the words' frequency in both (Monroe, Colaresi and Quinn 2008, eq. 16, 19, 22), strongest
    z-scores first, positive ones only. ``leave_out`` names words not to list (the concept's own).
    """
    a = Counter(w for text in near for w in set(words(text)))
    b = Counter(w for text in rest for w in set(words(text)))
    na, nb = sum(a.values()), sum(b.values())
    if not na or not nb:
        return ()
    total, prior = na + nb, 500.0
    skip = set(leave_out)
    scores = []
    for word, count in a.items():
        if word in skip or count < 3 or len(word) < 2:
            continue
        alpha = prior * (count + b[word]) / total
        ya, yb = count + alpha, b[word] + alpha
        delta = math.log(ya / (na + prior - ya)) - math.log(yb / (nb + prior - yb))
        z = delta / math.sqrt(1 / ya + 1 / yb)
        if z > 0:
            scores.append(WordScore(word=word, z=z, log_odds=delta, n_near=count, n_rest=b[word]))
    return tuple(sorted(scores, key=lambda s: (-s.z, s.word))[:top])
