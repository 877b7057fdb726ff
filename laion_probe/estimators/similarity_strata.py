"""How many rows of the whole set show a concept, from ratings of a sample by similarity.

The nearest rows are not the rows that show a concept: some of them do not, and some that do are far
down. Rows are cut into strata by their cosine with the concept, finely where it is in doubt whether
they show it, and raters see a random sample of every stratum, the far ones included. What they say
is weighted up to all rows (Särndal, Swensson, Wretman 1992, ch. 3.7; Lohr 2010, ch. 3).

Far strata are large: one rated row may stand for ten thousand. Then the number of rows that show
the concept, and what they are composed of, can only be known within wide limits, and the intervals
of `laion_probe.estimators.stratified` say so. What lies above the threshold is known far better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from laion_probe.estimators.strata_design import (
    Similarities,
    StrataDesign,
    StrataDraw,
    design_strata,
    draw,
    merge_draws,
)
from laion_probe.estimators.stratified import (
    Stratified,
    ratio,
    ratio_bounds,
    total,
    total_bounds,
    total_ends,
)
from laion_probe.results import Estimate

__all__ = [
    "UNKNOWN",
    "Composed",
    "Shown",
    "Similarities",
    "StrataDesign",
    "StrataDraw",
    "StrataRatings",
    "design_strata",
    "draw",
    "estimate_shown",
    "merge_draws",
]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: Raters could not tell.
UNKNOWN = -1

#: A rated row that stands for more than this share of an estimated total is named.
_HEAVY = 0.1


@dataclass(frozen=True)
class StrataRatings:
    """What the panel said of each rated row; all arrays (m,).

    ``shows`` is 1, 0 or `UNKNOWN`; ``label`` indexes the levels or is `UNKNOWN`, and is not read
    where ``shows`` is 0. Rows that the design planned and that are not here were not rated, as are
    those whose picture is gone: estimates take them to be missing by chance, bounds do not.
    """

    stratum: Ints
    shows: Ints
    label: Ints


@dataclass(frozen=True)
class Composed:
    """How the rows that show the concept divide over levels.

    ``shares`` has every level and "unknown"; ``contrast`` is the one level's share of both,
    ``bounds`` its range if all that nobody could tell were of one or of the other.
    """

    shares: dict[str, Estimate]
    contrast: Estimate
    bounds: Estimate


@dataclass(frozen=True)
class Shown:
    """How many rows of the whole set show the concept, and what the threshold makes of them.

    ``share`` and ``cannot_tell`` are of all rows with a cosine; ``bounds`` are of the share of all
    rows, those without a usable vector included. ``precision`` is the share that shows it of rows
    at or above the threshold, ``recall`` the share of rows that show it that are there, by level
    in ``recall_by_level``: where levels differ, the search itself is biased. Each has its bounds
    for what raters could not tell, and for ``n_unrated`` rows that were drawn and not rated.
    ``notes`` are sentences that belong beside the figures.
    """

    total: Estimate
    share: Estimate
    cannot_tell: Estimate
    bounds: Estimate
    precision: Estimate | None
    precision_bounds: Estimate | None
    recall: Estimate | None
    recall_bounds: Estimate | None
    recall_by_level: dict[str, Estimate]
    recall_bounds_by_level: dict[str, Estimate]
    composition: Composed
    composition_near: Composed | None
    n_unrated: int
    notes: tuple[str, ...]


def estimate_shown(
    design: StrataDesign,
    ratings: StrataRatings,
    levels: Sequence[str],
    contrast: tuple[str, str] | None,
    level: float = 0.95,
) -> Shown:
    """Rows of the whole set that show the concept, their composition, and what the threshold does.

    ``levels`` are those of the attribute without "unknown"; ``contrast`` names the level whose
    share of both is asked for, or is None. Strata without ratings leave estimates without a value
    and carry all their rows into the interval. Estimates fail where rated rows are no random part
    of those drawn (links rot by host and country); bounds hold whatever the others show, as long
    as the design's ``planned`` rows are those that were drawn. Raises ValueError for more ratings
    than rows.

    >>> rows = Similarities(np.array([90, 10]), np.array([0.0, 0.2, 0.4]), np.zeros(0))
    >>> design = design_strata(rows, 20, 0.2)
    >>> stratum = np.repeat([0, 1], [10, 30])
    >>> said = StrataRatings(stratum, (stratum == 0).astype(int), np.zeros(40, int))
    >>> shown = estimate_shown(design, said, ["old", "young"], ("old", "young"))
    >>> shown.total.value, shown.total.low, shown.total.high, shown.precision.value
    (10.0, 10.0, 18.0, 1.0)
    """
    said = _Said(ratings, len(design.sizes))
    drawn = np.clip(design.planned, said.n, np.maximum(design.sizes, said.n))
    sample = Stratified(design.sizes, said.n, level, drawn)
    n_rows, near = int(design.sizes.sum()), design.near
    found = total(said.yes, sample)
    shown = Shown(
        total=found,
        share=_over(found, n_rows),
        cannot_tell=_over(total(said.may, sample), n_rows),
        bounds=_of_all(total_bounds(said.yes, said.may, sample), n_rows, design.n_unscored),
        precision=None,
        precision_bounds=None,
        recall=None,
        recall_bounds=None,
        recall_by_level={},
        recall_bounds_by_level={},
        composition=_composed(said, (levels, contrast), sample, np.ones(len(near), bool)),
        composition_near=None,
        n_unrated=int(sample.missing.sum()),
        notes=_notes(design, said.yes, sample),
    )
    if not near.any():
        return shown
    above, n_near = sample.only(near), int(design.sizes[near].sum())
    inside, outside = near.astype(np.int64), (~near).astype(np.int64)

    def recall(kind: Ints) -> Estimate:
        return ratio(kind * inside, kind * outside, sample, (near, ~near))

    def recall_bounds(kind: Ints, may: Ints) -> Estimate:
        kinds, some = ((x * inside, x * outside) for x in (kind, may))
        return ratio_bounds(kinds, some, sample, (near, ~near))

    return replace(
        shown,
        precision=_over(total(said.yes[near], above), n_near),
        precision_bounds=_over(total_bounds(said.yes[near], said.may[near], above), n_near),
        recall=recall(said.yes),
        recall_bounds=recall_bounds(said.yes, said.may),
        recall_by_level={name: recall(said.of(i)) for i, name in enumerate(levels)},
        recall_bounds_by_level={
            name: recall_bounds(said.of(i), said.may_be(i)) for i, name in enumerate(levels)
        },
        composition_near=_composed(said, (levels, contrast), sample, near),
    )


class _Said:
    """Counts by stratum of what the panel said, each (H,)."""

    def __init__(self, ratings: StrataRatings, n_strata: int) -> None:
        self._ratings, self._n_strata = ratings, n_strata
        shows = ratings.shows
        self.n = self._count(np.ones(len(shows), bool))
        self.yes, self.may = self._count(shows == 1), self._count(shows == UNKNOWN)

    def of(self, label: int) -> Ints:
        """Rated rows that show the concept and have this label."""
        return self._count((self._ratings.shows == 1) & (self._ratings.label == label))

    def may_be(self, label: int) -> Ints:
        """Rated rows that may show the concept with this label; not those that surely do."""
        shows, said = self._ratings.shows, self._ratings.label
        possible = (shows != 0) & ((said == label) | (said == UNKNOWN))
        return self._count(possible & ~((shows == 1) & (said == label)))

    def _count(self, which: Bools) -> Ints:
        strata = self._ratings.stratum[which]
        return np.bincount(strata, minlength=self._n_strata).astype(np.int64)


def _composed(
    said: _Said,
    asked: tuple[Sequence[str], tuple[str, str] | None],
    sample: Stratified,
    keep: Bools,
) -> Composed:
    """The composition of rows that show the concept in the strata to keep."""
    levels, contrast = asked
    part, yes = sample.only(keep), said.yes[keep]

    def share(label: int) -> Estimate:
        found = said.of(label)[keep]
        return ratio(found, yes - found, part)

    shares = {name: share(i) for i, name in enumerate(levels)} | {"unknown": share(UNKNOWN)}
    if contrast is None:
        nobody = np.zeros_like(yes)
        return Composed(shares, ratio(nobody, nobody, part), ratio(nobody, nobody, part))
    first, second = (list(levels).index(name) for name in contrast)
    a, b, may_a, may_b = (
        counts[keep]
        for counts in (
            *(said.of(first), said.of(second)),
            *(said.may_be(first), said.may_be(second)),
        )
    )
    return Composed(shares, ratio(a, b, part), ratio_bounds((a, b), (may_a, may_b), part))


def _notes(design: StrataDesign, yes: Ints, sample: Stratified) -> tuple[str, ...]:
    notes = []
    if missing := int(sample.missing.sum()):
        notes.append(
            f"{missing} of {int(sample.as_drawn.n.sum())} drawn rows were not rated: estimates "
            "take them to be like the rated rows of their stratum, which they need not be where "
            "pictures are lost; the bounds let each show it or not, whatever its level"
        )
    none = (yes == 0) & (sample.n > 0) & (sample.n < sample.size)
    if none.any():
        hidden = sample.only(none)
        most = float(total_ends(yes[none], hidden)[1])
        notes.append(
            f"in {int(none.sum())} strata none of {int(hidden.n.sum())} rated rows shows it; of "
            f"their {int(hidden.size.sum())} rows up to {most:.0f} may still show it"
        )
    blank = sample.n == 0
    if blank.any():
        notes.append(
            f"{int(sample.size[blank].sum())} rows are in strata of which nothing was rated: they "
            "may all show it, or none"
        )
    each = np.where(yes > 0, sample.size / np.maximum(sample.n, 1), 0)
    share = float(each.max() / max(1.0, sample.blown_up(yes).sum()))
    if share > _HEAVY:
        heaviest = int(each.argmax())
        notes.append(
            f"one rated row of {design.names[heaviest]} stands for {each[heaviest]:.0f} rows, "
            f"{share:.0%} of the estimated total"
        )
    if design.n_unscored:
        notes.append(f"{design.n_unscored} rows have no usable vector: they count in the bounds")
    return tuple(notes)


def _over(estimate: Estimate, n: int) -> Estimate:
    """A number of rows as a share of ``n``."""
    ends = {
        name: None if (x := getattr(estimate, name)) is None else x / n
        for name in ("value", "low", "high")
    }
    return estimate.model_copy(update={**ends, "method": f"{estimate.method}, over {n} rows"})


def _of_all(bounds: Estimate, n_rows: int, n_unscored: int) -> Estimate:
    """Bounds of a number of rows as a share of all, those that may be hits unseen included."""
    assert bounds.high is not None
    most = bounds.model_copy(update={"high": bounds.high + n_unscored})
    return _over(most, n_rows + n_unscored)
