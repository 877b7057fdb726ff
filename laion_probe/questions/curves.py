"""How a composition depends on where *near* ends, for a result."""

from __future__ import annotations

import numpy as np

from laion_probe.curve_result import CurveOf, PointOf
from laion_probe.estimators.neighbourhood_curve import (
    Curve,
    CurvePoint,
    Near,
    curve,
    default_thresholds,
    sensitivity,
)
from laion_probe.questions.chain import Chain
from laion_probe.questions.concept import Concept
from laion_probe.shifts import Labelled

__all__ = ["curve_result", "probe_curves"]


def curve_result(found: Curve, n_near: int | None) -> CurveOf:
    """The curve as a result holds it; ``n_near`` rows are near, None without a threshold."""
    nearby, around, around_rows = "", None, None
    if n_near:
        reach = sensitivity(found, (n_near // 2, 2 * n_near))
        nearby = reach.sentence
        if reach.low is not None and reach.high is not None:
            around, around_rows = (reach.low, reach.high), reach.n_rows
    return CurveOf(
        points=tuple(_point(p) for p in found.points),
        tight=found.tight,
        loose=found.loose,
        change=found.change,
        changes=found.changes,
        nearby=nearby,
        around=around,
        around_rows=around_rows,
        note=found.note,
    )


def probe_curves(concept: Concept, chain: Chain, seed: int) -> dict[str, CurveOf]:
    """By attribute: the pictures of a probe before the recipe, at every threshold.

    Labels are the classifier's, also where raters correct the shares: they rated what is near.
    """
    if concept.query is None or concept.result.threshold is None:
        return {}
    return {name: _of(concept, data, seed) for name, data in chain.labelled.items()}


def _of(concept: Concept, data: Labelled, seed: int) -> CurveOf:
    a = data.attribute
    similarity = concept.similarity.astype(np.float64)
    threshold = similarity[concept.near].min()
    thresholds = np.unique([*default_thresholds(similarity), threshold])[::-1]
    near = Near(
        similarity=similarity,
        label=np.where(data.label == a.unknown_at, -1, data.label),
        levels=a.levels[:-1],
        contrast=(a.contrast, a.against),
        sample=data.sample,
    )
    return curve_result(curve(near, thresholds, seed), int(concept.near.sum()))


def _point(p: CurvePoint) -> PointOf:
    return PointOf(
        threshold=p.threshold,
        n_rows=p.n_rows,
        counts=p.counts,
        share=p.share,
        bounds=p.bounds,
        band=p.band,
    )
