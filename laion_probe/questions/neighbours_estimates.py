"""Compositions of the rows near a concept, from counts: at its threshold, and at any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from laion_probe.attributes import UNKNOWN, Attribute
from laion_probe.attributes.zero_shot import ZERO_SHOT_LABELS
from laion_probe.curve_result import CurveOf
from laion_probe.estimate import Sample
from laion_probe.estimators.neighbourhood_curve import (
    Curve,
    CurvePoint,
    Near,
    curve,
    default_thresholds,
)
from laion_probe.known_error import Labels, adjust, share_range
from laion_probe.questions.curves import curve_result
from laion_probe.questions.neighbours_tables import EDGES
from laion_probe.results import Composition, Estimate, KnownError

__all__ = ["Counted", "compose_counts", "curve_of", "full_share"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

FULL = "full count: no sampling error"
FOUND = "count of what the index found"
_NEARBY = 0.02
_RATIO = 1.35  # rows of one point of the curve over those of the point before
_MOST = 1_000_000
_AS_READ = ("labels are the classifier's, uncorrected",)


@dataclass(frozen=True)
class Counted:
    """Rows of a concept as they are read: the best exactly, and all of them by bin.

    ``similarity`` and ``label`` (k,) are of the best rows; ``bins`` (bins, levels) counts all rows,
    or is None where an index was searched; ``near`` (levels,) counts those at or above
    ``threshold``.
    """

    similarity: Floats
    label: Ints
    bins: Ints | None
    near: Ints
    threshold: float | None
    level: float


def full_share(hits: int, base: int, method: str, level: float) -> Estimate:
    """A share of counts: nothing was sampled, so its ends are the share; None of no rows.

    >>> full_share(1, 4, FULL, 0.95).high
    0.25
    """
    p = hits / base if base else None
    return Estimate(
        value=p,
        low=p,
        high=p,
        level=level,
        n=base,
        units=base,
        method=method if base else "share of no rows",
        assumptions=_AS_READ if base else (),
    )


def bounds_of(hits: int, base: int, unknown: int, method: str, level: float) -> Estimate:
    """The share of hits in the base if all unknown were hits, or none (Manski 1990)."""
    least, most = (
        full_share(h, base + unknown, method, level).value for h in (hits, hits + unknown)
    )
    return Estimate(
        value=None,
        low=least,
        high=most,
        level=level,
        n=base + unknown,
        units=base + unknown,
        method=f"worst-case bounds for unknown, each end {method}",
    )


def compose_counts(
    counts: Ints, attribute: Attribute, known: Sequence[KnownError], method: str, level: float
) -> Composition:
    """The composition of rows counted by level, *unknown* last; every row was read.

    ``known`` are the classifier's measured confusions, from which the range of the true share is.
    """
    by_name = dict(zip(attribute.levels, counts.tolist(), strict=True))
    n, hits = int(counts.sum()), by_name[attribute.contrast]
    base = hits + by_name[attribute.against]
    return Composition(
        attribute=attribute.name,
        levels=attribute.levels,
        counts=by_name,
        shares={name: full_share(k, n, method, level) for name, k in by_name.items()},
        contrast_level=attribute.contrast,
        against_level=attribute.against,
        contrast=full_share(hits, base, method, level),
        bounds=bounds_of(hits, base, by_name[UNKNOWN], method, level),
        labels=ZERO_SHOT_LABELS,
        with_known_errors=_with_known_errors(counts, attribute, known, level),
    )


def _with_known_errors(
    counts: Ints, a: Attribute, known: Sequence[KnownError], level: float
) -> Estimate | None:
    mine = [e for e in known if e.attribute == a.name]
    n = int(counts.sum())
    if not mine or not n:
        return None
    # Only shares matter where nothing was sampled: millions of rows are scaled down to one.
    scaled = counts if n <= _MOST else np.round(counts * (_MOST / n)).astype(np.int64)
    label = np.repeat(np.arange(len(counts)), scaled)
    everything = np.ones(len(label), dtype=bool)
    sample = Sample(np.arange(len(label)) % 2, sampled=1.0, level=level)
    found = adjust(Labels(label, everything, a.levels, (a.contrast, a.against), sample), mine, 0)
    if found is None:
        return None
    reach = share_range(found)
    return reach.model_copy(update={"n": n, "units": n})


def curve_of(counted: Counted, attribute: Attribute, seed: int) -> CurveOf | None:
    """The composition at thresholds from the tightest to the loosest; None of no rows.

    The tight end is of the best rows, at thresholds geometric in rank. Where all rows were counted
    it goes on, by bins, to all of them.
    """
    if not len(counted.similarity):
        return None
    named = attribute.levels[:-1]
    similarity = counted.similarity.astype(np.float64)
    last = float(similarity.min())
    thresholds = [float(t) for t in default_thresholds(similarity)]
    if counted.threshold is not None:
        close = EDGES[np.abs(EDGES - counted.threshold) <= _NEARBY]
        thresholds += [t for t in (counted.threshold, *close.tolist()) if last <= t]
    thresholds = [t for t in thresholds if t <= float(similarity.max())]
    near = Near(
        similarity=similarity,
        label=np.where(counted.label == attribute.unknown_at, -1, counted.label),
        levels=named,
        contrast=(attribute.contrast, attribute.against),
        sample=Sample(np.arange(len(similarity)), sampled=1.0, level=counted.level),
        complete_from=last,
    )
    found = curve(near, np.unique(thresholds)[::-1], seed)
    if counted.bins is not None:
        found = _extended(found, counted, attribute, last)
    return curve_result(found, None if counted.threshold is None else int(counted.near.sum()))


def _extended(found: Curve, counted: Counted, a: Attribute, last: float) -> Curve:
    """The curve with looser points, down to all rows, counted by bins of similarity."""
    assert counted.bins is not None
    below = np.cumsum(counted.bins[::-1], axis=0)[::-1]  # rows at or above each left edge
    points, reached = [], found.points[-1].n_rows if found.points else 0
    candidates = [(float(EDGES[i]), below[i]) for i in range(len(below) - 1, -1, -1)]
    if counted.threshold is not None:
        candidates.append((counted.threshold, counted.near))
    total = int(below[0].sum())
    for threshold, counts in sorted(candidates, key=lambda pair: -pair[0]):
        n = int(counts.sum())
        chosen = counted.threshold is not None and abs(threshold - counted.threshold) <= _NEARBY
        if threshold >= last or n <= reached or not (chosen or n >= _RATIO * reached or n == total):
            continue
        reached = n
        points.append(_counted_point(threshold, counts, a, counted.level))
    if not points:
        return found
    loose, tight = points[-1], _at(found, found.tight)
    first, second = tight.share, loose.share
    gap = None
    if first.value is not None and second.value is not None:
        gap = first.value - second.value
    change = first.model_copy(
        update={"value": gap, "low": gap, "high": gap, "n": loose.n_rows, "units": loose.n_rows}
        | {"method": f"difference of shares, {FULL}"}
    )
    return replace(
        found,
        points=(*found.points, *points),
        loose=loose.threshold,
        change=change,
        changes=_changes(tight, loose, a),
    )


def _at(found: Curve, threshold: float) -> CurvePoint:
    return min(found.points, key=lambda p: abs(p.threshold - threshold))


def _counted_point(threshold: float, counts: Ints, a: Attribute, level: float) -> CurvePoint:
    by_name = dict(zip(a.levels, counts.tolist(), strict=True))
    hits = by_name[a.contrast]
    base = hits + by_name[a.against]
    share = full_share(hits, base, FULL, level)
    return CurvePoint(
        threshold=threshold,
        n_rows=int(counts.sum()),
        counts=by_name,
        share=share,
        bounds=bounds_of(hits, base, by_name[UNKNOWN], FULL, level),
        band=share,
    )


def _changes(tight: CurvePoint, loose: CurvePoint, a: Attribute) -> str:
    first, second = tight.share.value, loose.share.value
    if first is None or second is None:
        return "Too few rows are read as either level to compare the nearest rows with all."
    return (
        f"As read, {a.contrast} is {100 * first:.1f} % of {a.contrast} or {a.against} among the "
        f"{tight.n_rows:,} nearest rows, and {100 * second:.1f} % among all {loose.n_rows:,}, "
        "whatever they show."
    )
