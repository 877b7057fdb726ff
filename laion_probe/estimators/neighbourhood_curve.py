"""Composition as a function of the threshold: how far a finding hangs on where one cuts.

Neighbourhoods at falling thresholds are nested, so that their shares are much alike by chance: a
change from one to the next is judged by the rows that were added (paired), and one band for all
thresholds at once is narrower than Bonferroni's. Its critical value is the quantile of the largest
of correlated normal deviates (sup-t: Montiel Olea and Plagborg-Møller 2019), the correlations by
linearisation over units.

Where every row was read there is no sampling error and no interval: what remains is that labels err
and that nobody knows the right threshold. A curve that is flat says that the second matters little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from laion_probe.estimate import (
    Sample,
    bounds_with_unknown,
    difference_nested,
    not_defined,
    share,
)
from laion_probe.results import Estimate

__all__ = [
    "Curve",
    "CurvePoint",
    "Near",
    "Sensitivity",
    "curve",
    "default_thresholds",
    "sensitivity",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Rows of either level that the tightest of the two neighbourhoods compared must have.
_TIGHT = 20
_DRAWS = 10_000
#: A share that a threshold moves by less hardly depends on it.
_MATTERS = 0.02

_FULL = (
    "every row was read: the shares have no sampling error, and the curve is as it is; that the "
    "labels err, and what they would be if they did not, is not in it"
)
_SAMPLED = "intervals are about which rows were sampled; that the labels err is not in them"


@dataclass(frozen=True)
class Near:
    """Rows by their similarity with a concept, and what was read of them; arrays (n,).

    ``label`` indexes ``levels`` or is -1 (unknown). ``contrast`` names the level whose share is
    asked for, and the other one. ``sample`` is the design (``sampled`` 1: every row was read). All
    rows from ``complete_from`` on are here: of a list of the k nearest, the last one's similarity;
    None where no row is missing.
    """

    similarity: Floats
    label: Ints
    levels: Sequence[str]
    contrast: tuple[str, str]
    sample: Sample
    complete_from: float | None = None

    def above(self, threshold: float) -> Bools:
        """Rows at or above the threshold."""
        return np.asarray(self.similarity >= threshold)


@dataclass(frozen=True)
class CurvePoint:
    """The neighbourhood at one threshold.

    ``counts`` has every level and "unknown"; ``share`` is contrast[0] of both levels, with an
    interval for this threshold alone, ``band`` the same with one that holds at all thresholds of
    the curve at once, ``bounds`` the range if unknown rows were all of one level or of the other.
    """

    threshold: float
    n_rows: int
    counts: dict[str, int]
    share: Estimate
    bounds: Estimate
    band: Estimate


@dataclass(frozen=True)
class Curve:
    """Points from the tightest threshold to the loosest, and whether the composition changes.

    ``change`` is the share at ``tight`` (the first threshold with at least 20 rows of the two
    levels) less that at ``loose`` (the last). ``changes`` says in words what it supports; ``note``
    what the intervals are about.
    """

    points: tuple[CurvePoint, ...]
    tight: float
    loose: float
    change: Estimate
    changes: str
    note: str


@dataclass(frozen=True)
class Sensitivity:
    """The range of the share over ``n_points`` thresholds, None where none of them has a share.

    ``n_rows`` are the fewest and the most rows that reach one of them.
    """

    low: float | None
    high: float | None
    n_points: int
    n_rows: tuple[int, int]
    sentence: str

    @property
    def depends(self) -> bool:
        """Whether the choice among these thresholds moves the share by two points or more."""
        return self.low is not None and self.high is not None and self.high - self.low >= _MATTERS


def default_thresholds(similarity: Floats, n: int = 20) -> Floats:
    """At most ``n`` thresholds, highest first: geometric in rank, from 20 rows to all.

    >>> default_thresholds(np.linspace(0, 1, 1001), 3).round(3).tolist()
    [0.981, 0.86, 0.0]
    """
    rows = len(similarity)
    if rows == 0:
        return np.zeros(0)
    ranks = np.geomspace(min(_TIGHT, rows), rows, n).round().astype(int)
    return np.unique(np.sort(similarity)[::-1][ranks - 1])[::-1].astype(float)


def curve(near: Near, thresholds: Floats | None = None, seed: int = 0) -> Curve:
    """The composition at each threshold, and whether it changes between a tight and a loose one.

    ``thresholds`` None takes `default_thresholds` of the rows that are complete; ValueError for
    none, or for one below ``complete_from``, where rows are missing. ``seed`` is of the band's
    critical value. Fails, as `laion_probe.estimate.share` does, where units are not exchangeable.

    >>> similarity, label = np.linspace(1, 0, 400), (np.arange(400) >= 200).astype(int)
    >>> rows = Near(similarity, label, ["a", "b"], ("a", "b"), Sample(np.arange(400)))
    >>> found = curve(rows, np.array([0.5, 0.0]))
    >>> [p.share.value for p in found.points], found.change.value
    ([1.0, 0.5], 0.5)
    """
    lowest = -np.inf if near.complete_from is None else near.complete_from
    if thresholds is None:
        thresholds = default_thresholds(near.similarity[near.similarity >= lowest])
    cuts = np.unique(np.asarray(thresholds, float))[::-1]
    if len(cuts) == 0:
        raise ValueError("a curve needs a threshold: there are no rows to set one by")
    if cuts[-1] < lowest:
        raise ValueError(
            f"below {lowest:.4f} rows are missing from the list: a threshold of {cuts[-1]:.4f} "
            "needs more neighbours"
        )
    hit, base, unknown = _read(near)
    at_once = replace(near.sample, level=_simultaneous(near, cuts, seed))
    points = []
    for cut in cuts:
        stage = near.above(float(cut))
        band = share(hit & stage, base & stage, at_once)
        points.append(
            CurvePoint(
                threshold=float(cut),
                n_rows=int(stage.sum()),
                counts=_counts(near, stage),
                share=share(hit & stage, base & stage, near.sample),
                bounds=bounds_with_unknown(hit & stage, base & stage, unknown & stage, near.sample),
                band=_as_band(band, near.sample, len(cuts)),
            )
        )
    read = [int((base & near.above(float(cut))).sum()) for cut in cuts]
    tight = float(next((c for c, k in zip(cuts, read, strict=True) if k >= _TIGHT), cuts[-1]))
    loose = float(cuts[-1])
    change = not_defined("one threshold: nothing to compare", near.sample)
    if tight > loose:
        change = difference_nested(
            hit, base & near.above(loose), base & near.above(tight), near.sample
        )
    note = _FULL if near.sample.sampled >= 1 else _SAMPLED
    return Curve(tuple(points), tight, loose, change, _changes(near, (tight, loose), change), note)


def sensitivity(found: Curve, n_rows: tuple[int, int]) -> Sensitivity:
    """The range of the share over the thresholds that n_rows[0] to n_rows[1] rows reach.

    In rows and not in cosine, whose scale is the model's. Of point estimates: it says what the
    choice of threshold does, not what sampling does.

    >>> similarity, label = np.linspace(1, 0, 400), (np.arange(400) >= 200).astype(int)
    >>> rows = Near(similarity, label, ["a", "b"], ("a", "b"), Sample(np.arange(400)))
    >>> sensitivity(curve(rows, np.array([0.5, 0.25, 0.0])), (100, 300)).sentence
    'It depends on the threshold: cut at 200 to 300 rows, the share is 66.7 % to 100.0 %.'
    """
    inside = [p for p in found.points if n_rows[0] <= p.n_rows <= n_rows[1]]
    values = [p.share.value for p in inside if p.share.value is not None]
    if not values:
        sentence = (
            f"No threshold that {n_rows[0]:,} to {n_rows[1]:,} rows reach has a share: what it "
            "hangs on is not known."
        )
        return Sensitivity(None, None, len(inside), n_rows, sentence)
    least, most = min(p.n_rows for p in inside), max(p.n_rows for p in inside)
    ends = Sensitivity(min(values), max(values), len(inside), (least, most), "")
    sentence = (
        f"It {'depends' if ends.depends else 'hardly depends'} on the threshold: cut at "
        f"{least:,} to {most:,} rows, the share is {100 * min(values):.1f} % to "
        f"{100 * max(values):.1f} %."
    )
    return replace(ends, sentence=sentence)


def _read(near: Near) -> tuple[Bools, Bools, Bools]:
    """Rows of contrast[0], rows of either level, and unknown rows."""
    levels = list(near.levels)
    first, second = (near.label == levels.index(name) for name in near.contrast)
    return np.asarray(first), np.asarray(first | second), np.asarray(near.label < 0)


def _counts(near: Near, stage: Bools) -> dict[str, int]:
    counts = np.bincount(near.label[stage] + 1, minlength=len(near.levels) + 1)
    named = {name: int(counts[i + 1]) for i, name in enumerate(near.levels)}
    return {**named, "unknown": int(counts[0])}


def _as_band(band: Estimate, sample: Sample, n_points: int) -> Estimate:
    if sample.sampled >= 1 or band.value is None:
        return band.model_copy(update={"level": sample.level})
    method = f"{band.method}; simultaneous for {n_points} thresholds (sup-t)"
    return band.model_copy(update={"level": sample.level, "method": method})


def _simultaneous(near: Near, cuts: Floats, seed: int) -> float:
    """The level of each interval at which all hold at once with the sample's level.

    Points with under 20 rows of a level have Clopper-Pearson's intervals; they count all the same.
    """
    sample = near.sample
    if sample.sampled >= 1:
        return sample.level
    hit, base, _ = _read(near)
    unit = sample.unit
    if len(unit) and bool((unit == unit[0]).all()):
        unit = np.arange(len(unit))  # as `share` does
    columns = []
    for cut in cuts:
        stage = base & near.above(float(cut))
        if stage.any():
            p = float(hit[stage].mean())
            added = np.bincount(unit, stage * (hit - p))
            if (norm := float(np.sqrt(added @ added))) > 0:
                columns.append(added / norm)
    if len(columns) < 2:
        return sample.level
    vectors = np.stack(columns)  # deviates of the points are these times independent normal ones
    values, basis = np.linalg.eigh(vectors @ vectors.T)
    root = basis * np.sqrt(np.maximum(values, 0))
    normal = np.random.default_rng(seed).standard_normal((_DRAWS, len(columns)))
    largest = np.abs(normal @ root.T).max(axis=1)
    critical = max(float(np.quantile(largest, sample.level)), float(ndtri(0.5 + sample.level / 2)))
    return float(2 * ndtr(critical) - 1)


def _changes(near: Near, cuts: tuple[float, float], change: Estimate) -> str:
    tight, loose = cuts
    if change.value is None or change.low is None or change.high is None:
        return "There is one threshold: whether the composition changes with it is not known."
    points = f"{100 * change.value:+.1f} points"
    between = f"of {near.contrast[0]} at {tight:.4f} against {loose:.4f}"
    if near.sample.sampled >= 1:
        return f"The share {between}: {points}, as read, of every row."
    interval = f"({100 * change.low:+.1f} to {100 * change.high:+.1f})"
    if change.low > 0 or change.high < 0:
        return f"The composition changes with the threshold: {points} {interval} {between}."
    return (
        f"Whether the composition changes with the threshold these data cannot tell: {points} "
        f"{interval} {between}."
    )
