"""One claim under all specifications: what each says, counted, and by choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from laion_probe.estimate import Sample, share
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.robustness_choices import NONE, Listed
from laion_probe.questions.robustness_overlap import other_pictures
from laion_probe.questions.robustness_reruns import Said
from laion_probe.questions.robustness_verdict import told
from laion_probe.questions.robustness_words import hinge
from laion_probe.results import Claim, Estimate
from laion_probe.robustness_result import (
    VERDICTS,
    ByChoice,
    Choice,
    ClaimCurve,
    Outcome,
    Verdict,
)

__all__ = ["Reruns", "curve", "reproduced"]


_NOT_MADE = Said(None, reason="what is there now makes no such claim: the inputs have changed")


@dataclass(frozen=True)
class Reruns:
    """What the specifications ``listed`` say of the claims of ``run``, by id; '' is of all claims.

    ``level`` is that of the interval of a share of specifications, where they were drawn.
    """

    run: ProbeResult
    listed: Listed
    choices: Sequence[Choice]
    said: Sequence[Mapping[str, Said]]
    level: float


def reproduced(run: ProbeResult, said: Mapping[str, Said]) -> bool:
    """Whether the run's own choices give the run's own numbers."""
    for claim in run.finding.claims:
        again = said.get(claim.id)
        if again is None or again.claim is None or again.claim.supported != claim.supported:
            return False
        was = told(claim, run.shifts)
        if again.by != was.by or not _same(was.estimate, again.estimate):
            return False
    return True


def _same(a: Estimate | None, b: Estimate | None) -> bool:
    """The same numbers, or both undefined."""
    if a is None or b is None or a.value is None or b.value is None:
        return (a is None or a.value is None) == (b is None or b.value is None)
    numbers = [(x.value, x.low, x.high) for x in (a, b)]
    return all(
        x == y or (x is not None and y is not None and abs(x - y) < 1e-9)
        for x, y in zip(*numbers, strict=True)
    )


def curve(reruns: Reruns, claim: Claim, title: str) -> ClaimCurve:
    """A claim of the run under every specification, counted by what each says of it."""
    listed = reruns.listed
    said = [s.get(claim.id) or s.get("") or _NOT_MADE for s in reruns.said]
    by_raters = said[0].by == "corrected"
    outcomes = [
        _outcome(i, s, by_raters and listed.specifications[i]["raters"] != NONE)
        for i, s in enumerate(said)
    ]
    own = told(claim, reruns.run.shifts)
    counted = [o for o, is_listed in zip(outcomes, listed.listed, strict=True) if is_listed]
    by_choice = tuple(
        _by_choice(c, [o for o in counted if _choice(listed, o.specification, c.axis) == c.name])
        for c in reruns.choices
    )
    return ClaimCurve(
        id=claim.id,
        title=title,
        attribute=own.shift.attribute,
        contrast_level=own.shift.contrast_level,
        text=claim.text,
        verdict=own.verdict,
        n=len(counted),
        counts=_counts(counted),
        shares=_shares(counted, listed, reruns.level),
        by_choice=by_choice,
        hinges=hinge(by_choice, own.verdict, {c.name for c in other_pictures(reruns.choices)}),
        outcomes=tuple(sorted(outcomes, key=_place)),
    )


def _choice(listed: Listed, specification: int, axis: str) -> str:
    return listed.specifications[specification][axis]


def _place(o: Outcome) -> tuple[bool, float, int]:
    """Sorted by the change; what could not be computed comes last."""
    value = o.estimate.value if o.estimate is not None else None
    return value is None, value or 0.0, o.specification


def _outcome(i: int, said: Said, needs_ratings: bool) -> Outcome:
    if said.claim is None or said.estimate is None or said.estimate.value is None:
        return Outcome(specification=i, verdict="failed", by="", estimate=None, reason=said.reason)
    if needs_ratings and said.by != "corrected":
        reason = f"not corrected by raters: {said.reason or 'too few ratings'}"
        return Outcome(specification=i, verdict="failed", by="", estimate=None, reason=reason)
    return Outcome(
        specification=i,
        verdict=said.verdict,
        by=said.by,
        estimate=said.estimate,
        range=said.range,
    )


def _counts(outcomes: Sequence[Outcome]) -> dict[Verdict, int]:
    said = [o.verdict for o in outcomes]
    return {verdict: said.count(verdict) for verdict in VERDICTS}


def _by_choice(choice: Choice, outcomes: Sequence[Outcome]) -> ByChoice:
    changes = [o.estimate.value for o in outcomes if o.estimate and o.estimate.value is not None]
    return ByChoice(
        axis=choice.axis,
        choice=choice.name,
        n=len(outcomes),
        counts=_counts(outcomes),
        median=median(changes) if changes else None,
    )


def _shares(outcomes: Sequence[Outcome], listed: Listed, level: float) -> dict[Verdict, Estimate]:
    """The share of specifications that says each; an interval only where they were drawn."""
    n = len(outcomes)
    said = np.array([o.verdict for o in outcomes])
    if listed.sampled:
        design = Sample(
            np.arange(n),
            n / listed.n_possible,
            level,
            "specifications were drawn by seed from all that are possible",
        )
        return {v: share(said == v, np.ones(n, dtype=bool), design) for v in VERDICTS}
    return {
        v: Estimate(
            value=float((said == v).mean()),
            low=None,
            high=None,
            level=level,
            n=n,
            units=n,
            method="all specifications, counted: a share of choices has no interval",
        )
        for v in VERDICTS
    }
