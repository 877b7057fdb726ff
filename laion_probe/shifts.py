"""Compare stages and groups: compositions, shifts, amplification, and the words of a concept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from laion_probe import estimate
from laion_probe.attributes import UNKNOWN, Attribute
from laion_probe.estimate import Sample
from laion_probe.estimators import amplification as amplified
from laion_probe.estimators.default import PPI, Chosen, check_frame, choose
from laion_probe.estimators.disparity import Counts
from laion_probe.estimators.ppi import Rated, ppi_difference
from laion_probe.known_error import (
    Adjusted,
    Labels,
    adjust,
    difference_range,
    paired_range,
    share_range,
)
from laion_probe.measures import words
from laion_probe.results import (
    Amplification,
    Composition,
    Corrected,
    Estimate,
    KnownError,
    Shift,
    Stage,
    WordScore,
)

__all__ = [
    "Labelled",
    "Panel",
    "adjusted",
    "amplification",
    "check_drawn",
    "compose",
    "corrected",
    "effective_size",
    "rated",
    "shift_independent",
    "shift_nested",
    "word_scores",
]

Bools = NDArray[np.bool_]

_FEWEST, _MOST = math.log(0.01), math.log(1e15)
_UNDECLARED = (
    "no chances of being drawn came with the ratings: they are taken as a simple random sample of "
    "these pictures, and the interval is wrong if they were picked in any other way"
)
_MAY_DIFFER = 0.02
_ALL = 1e9  # a full count has no sampling error: a billion pictures stand for no end


@dataclass(frozen=True)
class Panel:
    """What raters say of a random sample of the pictures that a `Labelled` holds.

    ``level[i]`` indexes the attribute's levels, -1 where picture i was not rated;
    ``probability[i]`` is the probability with which a rated picture was drawn and ``stratum[i]``
    the part of the set that it was drawn in (both are read where rated).
    """

    level: NDArray[np.int64]
    probability: NDArray[np.float64]
    stratum: NDArray[np.int64]
    declared: bool = True  # False: no probabilities came with the ratings, they are taken as equal
    sizes: Mapping[int, int] = field(default_factory=dict)  # pictures by stratum, where stated
    refused: str = ""  # why these ratings cannot have been drawn from these pictures


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
    panel: Panel | None = None
    picture: NDArray[np.int64] | None = None  # which picture each row has, where rows share some

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


def rated(data: Labelled, stage: Bools, hit: Sequence[str], base: Sequence[str]) -> Rated | None:
    """The machine's and the raters' view of a share of levels in ``stage``; None without ratings.

    ``hit`` and ``base`` name levels: the share asked for is of ``hit`` among ``base``.
    """
    panel = data.panel
    if panel is None:
        return None
    of_hit, of_base = (
        [data.attribute.levels.index(name) for name in names] for names in (hit, base)
    )
    label, said = data.label[stage], panel.level[stage]
    # Without stated chances, ratings are taken as a simple random sample of these very pictures.
    chance = panel.probability[stage] if panel.declared else np.full(len(said), (said >= 0).mean())
    return Rated(
        hit=np.isin(label, of_hit).astype(float),
        base=np.isin(label, of_base).astype(float),
        rated=said >= 0,
        true_hit=np.isin(said, of_hit).astype(float),
        true_base=np.isin(said, of_base).astype(float),
        probability=chance,
        stratum=panel.stratum[stage],
    )


def _by_picture(data: Labelled, stage: Bools, view: Rated) -> tuple[Rated, Sample]:
    """The same with an entry a picture, that counts as many times as there are rows with it.

    Raters' pictures are drawn, not rows: rows that share one are rated together or not at all.
    """
    sample = replace(data.sample, unit=data.sample.unit[stage])
    if data.picture is None:
        return view, sample
    _, first, counts = np.unique(data.picture[stage], return_index=True, return_counts=True)
    if len(first) == len(view.hit):
        return view, sample
    rows = counts.astype(np.float64)
    once = Rated(
        hit=rows * view.hit[first],
        base=rows * view.base[first],
        rated=view.rated[first],
        true_hit=rows * view.true_hit[first],
        true_base=rows * view.true_base[first],
        probability=view.probability[first],
        stratum=view.stratum[first],
    )
    return once, replace(sample, unit=sample.unit[first])


def corrected(data: Labelled, stage: Bools) -> tuple[Corrected | None, str]:
    """The composition of ``stage`` as raters would give it, or None and why not."""
    a = data.attribute
    if data.panel is None or not stage.any():
        return None, ""
    if data.panel.refused:
        return None, data.panel.refused

    def look(hit: str, base: Sequence[str]) -> tuple[Rated, Sample]:
        found = rated(data, stage, [hit], base)
        assert found is not None
        return _by_picture(data, stage, found)

    def ask(hit: str, base: Sequence[str]) -> Chosen:
        return choose(*look(hit, base))

    view, _ = look(a.contrast, a.levels)
    if not view.rated.any():
        return None, "none of these pictures was rated"
    if reason := check_frame(view):
        return None, reason
    headline = ask(a.contrast, (a.contrast, a.against))
    return (
        Corrected(
            estimator=headline.estimator,
            why=headline.why,
            warning=headline.warning if data.panel.declared or view.rated.all() else _UNDECLARED,
            n_rated=int(view.rated.sum()),
            contrast=headline.estimate,
            shares={name: ask(name, a.levels).estimate for name in a.levels},
            bounds=_rated_bounds(data, stage),
        ),
        "",
    )


def effective_size(e: Estimate) -> float:
    """How many independent pictures give an interval this wide at this share, by Wilson's.

    Infinite for an interval without width, 0 for an undefined one.
    """
    if e.value is None or e.low is None or e.high is None:
        return 0.0
    value, width = e.value, e.high - e.low
    if width <= 0:
        return math.inf

    def too_wide(log_n: float) -> float:
        n = math.exp(log_n)
        low, high = estimate.wilson(value * n, n, e.level)
        return high - low - width

    # From a hundredth of a picture to more than there are.
    if too_wide(_FEWEST) <= 0:
        return math.exp(_FEWEST)
    return float(math.exp(brentq(too_wide, _FEWEST, _MOST)))


def _rated_bounds(data: Labelled, stage: Bools) -> Estimate:
    """The headline share if all that raters could not tell were hits, or none (Manski 1990)."""
    a = data.attribute
    base = (a.contrast, a.against, UNKNOWN)
    ends = []
    for hit in ((a.contrast,), (a.contrast, UNKNOWN)):
        view = rated(data, stage, hit, base)
        assert view is not None
        ends.append(choose(*_by_picture(data, stage, view)).estimate)
    least, most = ends
    method = f"worst-case bounds for what raters could not tell, each end {least.method}"
    return least.model_copy(update={"value": None, "high": most.high, "method": method})


def check_drawn(data: Labelled, frame: Bools) -> Labelled:
    """The same, its ratings refused where they cannot have been drawn from the rows ``frame``.

    A stratum's size as stated when its sample was drawn must be what is there now; a difference of
    up to a fiftieth in all passes (another machine may place a few pictures elsewhere).
    """
    panel = data.panel
    if panel is None or not panel.sizes:
        return data
    picture = np.arange(len(frame)) if data.picture is None else data.picture
    _, first = np.unique(picture[frame], return_index=True)
    now = np.bincount(panel.stratum[frame][first], minlength=max(panel.sizes) + 1)
    stated = sum(panel.sizes.values())
    apart = sum(abs(int(now[code]) - size) for code, size in panel.sizes.items())
    if apart <= _MAY_DIFFER * stated:
        return data
    found = sum(int(now[code]) for code in panel.sizes)
    why = (
        f"the ratings were drawn from {stated} pictures, where {found} are now ({apart} in or out "
        "of their strata): give the options of the run that was rated, or rate these"
    )
    return replace(data, panel=replace(panel, refused=why))


def compose(data: Labelled, stage: Bools) -> Composition:
    """The composition of the pictures in ``stage``."""
    a = data.attribute
    known = adjusted(data, stage)
    by_raters, why_not = corrected(data, stage)
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
        corrected=by_raters,
        not_corrected=why_not,
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
        corrected=_corrected_change(data, before[1], after[1]),
    )


def _corrected_change(data: Labelled, before: Bools, after: Bools) -> Estimate | None:
    """The change between nested stages as raters would give it; None without ratings of both.

    Paired where both shares rest on the machine corrected by ratings. Where either has switched to
    ratings alone, as if they were independent: they share rows, so that is too wide, not too
    narrow.
    """
    a = data.attribute
    first, second = corrected(data, before)[0], corrected(data, after)[0]
    view = rated(data, before, [a.contrast], [a.contrast, a.against])
    if first is None or second is None or view is None:
        return None
    if (before == after).all():
        same = estimate.difference_nested(
            data.hit, before & data.base, after & data.base, data.sample
        )
        return same.model_copy(update={"method": "the same pictures"})
    if (first.estimator, second.estimator) != (PPI, PPI):
        apart = estimate.difference_independent(first.contrast, second.contrast)
        method = f"{apart.method}, as if independent: wider than it need be"
        return apart.model_copy(update={"method": method})
    once, sample = _by_picture(data, before, view)
    kept = after[before].astype(float)
    if len(once.hit) < len(kept) and data.picture is not None:
        _, picture = np.unique(data.picture[before], return_inverse=True)
        kept = np.bincount(picture, kept) / np.bincount(picture)  # of its rows, the share kept
    return ppi_difference(once, kept, sample)


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
        corrected=_corrected_difference(before[1].corrected, after[1].corrected),
    )


def _corrected_difference(first: Corrected | None, second: Corrected | None) -> Estimate | None:
    """Of independent samples, each with ratings of its own: errors are not carried over."""
    if first is None or second is None:
        return None
    return estimate.difference_independent(first.contrast, second.contrast)


def amplification(
    attribute: Attribute, data: Stage, generated: Stage, shift: Shift
) -> Amplification:
    """How the distance from parity changes from ``data`` to ``generated``, raw, corrected, signed.

    From shares as raters give them where both stages have ratings of their own, else as read. Where
    the interval of the data's share contains parity (or, as read, where the classifier's measured
    errors would allow it), the side is not determined and ``signed`` is None.
    """
    parity = attribute.parity
    first, second = (stage.compositions[attribute.name] for stage in (data, generated))
    shares, by_raters = (first.contrast, second.contrast), False
    if first.corrected is not None and second.corrected is not None:
        shares, by_raters = (first.corrected.contrast, second.corrected.contrast), True
    change = amplified.amplification(
        _counts(shares[0]), _counts(shares[1]), parity, shares[0].level
    )[0]
    share, known = shares[0], None if by_raters else first.with_known_errors
    unsure = share.low is None or share.high is None or share.low <= parity <= share.high
    if known is not None:
        unsure |= known.low is None or known.high is None or known.low <= parity <= known.high
    above = not unsure and share.low is not None and share.low > parity
    difference = shift.corrected if by_raters else shift.difference
    note = "above zero is further to that side, below zero away from it"
    if unsure:
        note = "side not determined: the data's share may be parity, by its interval" + (
            "" if by_raters else " or by the classifier's measured errors"
        )
    elif not by_raters and _may_be_zero(shift.with_known_errors):
        note += "; as read: the classifier's measured errors could turn it round"
    return Amplification(
        attribute=attribute.name,
        data_stage=data.id,
        parity=parity,
        by_raters=by_raters,
        toward=None if unsure else attribute.contrast if above else attribute.against,
        signed=None
        if unsure or difference is None
        else difference
        if above
        else estimate.negate(difference),
        raw=change.raw if change.raw.value is not None else None,
        corrected=change.corrected if change.corrected.value is not None else None,
        p_value=change.p_value,
        note=note,
    )


def _may_be_zero(reach: Estimate | None) -> bool:
    if reach is None:
        return False
    return reach.low is None or reach.high is None or reach.low <= 0 <= reach.high


def _counts(e: Estimate) -> Counts:
    """A share as counts of as many independent pictures as tell as much."""
    n = min(effective_size(e), _ALL)
    return Counts.of([(e.value or 0.0) * n], [n])


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
