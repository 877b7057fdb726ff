"""What other choices do to a finding, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from laion_probe.probe_result import ProbeResult
from laion_probe.questions.inputs import Inputs
from laion_probe.questions.robustness_choices import RUN, Listed
from laion_probe.questions.robustness_overlap import LIKE
from laion_probe.robustness_result import (
    AXES,
    VERDICTS,
    ByChoice,
    Choice,
    ClaimCurve,
    Verdict,
)

__all__ = ["cannot_say", "finding_of", "hinge", "how_measured", "title_of"]

#: What data can tell.
_TELLING: tuple[Verdict, ...] = ("higher", "lower", "no change")
#: Shares of two choices that differ by less are no hinge.
_HINGE = 0.25
#: Differences of shares that differ by no more than rounding.
_ALIKE = 1e-9

_NAMES = {
    "detector": "the language detector",
    "threshold": "where near ends",
    "prompts": "how the concept is asked for",
    "raters": "whose labels count",
}

_ANSWERS: dict[Verdict, str] = {
    "higher": "higher",
    "lower": "lower",
    "no change": "no change",
    "cannot tell": "these data cannot tell",
    "failed": "not computed",
}


def title_of(claim: str, attribute: str) -> str:
    """What a claim is of, by its id and the attribute's title.

    >>> title_of("recipe:gender_presentation", "perceived gender presentation")
    'Perceived gender presentation, after the recipe against before'
    """
    kinds = {"recipe": "after the recipe against before", "generator": "generated against data"}
    kind = claim.partition(":")[0]
    return f"{attribute[:1].upper()}{attribute[1:]}, {kinds.get(kind, kind)}"


def hinge(by_choice: Sequence[ByChoice], own: Verdict, other: Set[str] = frozenset()) -> str:
    """The axes whose choices differ most in how often they say it; '' if by little.

    It is what the run says, ``own``; of a run that cannot tell, anything that data can tell. Failed
    specifications do not say it. Axes that differ alike are all named, and what all that say it
    have in common. ``other`` are prompts that find other pictures than the run's.

    >>> def of(choice: str, lower: int) -> ByChoice:
    ...     counts = {v: 0 for v in VERDICTS} | {"lower": lower, "cannot tell": 8 - lower}
    ...     return ByChoice(axis="threshold", choice=choice, n=8, counts=counts, median=None)
    >>> hinge([of("run", 8), of("double", 0)], "lower")
    'It turns most on where near ends: lower in 8 of 8 with the run's own, in 0 of 8 with double.'
    """
    says = _TELLING if own == "cannot tell" else (own,)
    words = "these data can tell" if own == "cannot tell" else _ANSWERS[own]
    axes = [a for a in (_axis(by_choice, axis, says) for axis in AXES) if a is not None]
    most = max((a.apart for a in axes), default=0.0)
    if most < _HINGE:
        return ""
    common = [a for a in axes if a.only is not None]
    if not any(a.apart > most - _ALIKE for a in common):
        common = []
    named = [a for a in axes if a.apart > most - _ALIKE or a in common]
    if len(named) == 1:
        return f"It turns most on {_NAMES[named[0].name]}: {words} {_ends(named[0], says, other)}."
    parts = [f"{_NAMES[a.name]} ({words} {_ends(a, says, other)})" for a in named]
    how = "It turns on several choices together:" if len(common) > 1 else "It turns alike"
    said = f"{how} on {' and on '.join(parts)}."
    if len(common) < 2:
        return said
    n = sum(_n(b, says) for b in by_choice if b.axis == common[0].name)
    who = f"All {n} that say so have" if n > 1 else "The only one that says so has"
    at = " and ".join(f"{_NAMES[a.name]} ({_choice(a.only)})" for a in common if a.only)
    return f"{said} {who} these: {at}."


@dataclass(frozen=True)
class _Axis:
    """The choices of an axis that say something most and least often, ``apart`` as shares.

    ``only`` is the one choice that says it at all, where another could be computed and does not.
    """

    name: str
    many: ByChoice
    few: ByChoice
    apart: float
    only: ByChoice | None


def _axis(by_choice: Sequence[ByChoice], axis: str, says: Sequence[Verdict]) -> _Axis | None:
    """None where there is no choice on it."""
    of_axis = [b for b in by_choice if b.axis == axis and b.n]
    if len(of_axis) < 2:
        return None
    share = {b.choice: _n(b, says) / b.n for b in of_axis}
    few = min(of_axis, key=lambda b: share[b.choice])
    many = max(of_axis, key=lambda b: share[b.choice])
    do = [b for b in of_axis if _n(b, says)]
    could = any(b.counts["failed"] < b.n for b in of_axis if b not in do)
    only = do[0] if len(do) == 1 and could else None
    return _Axis(axis, many, few, share[many.choice] - share[few.choice], only)


def _ends(a: _Axis, says: Sequence[Verdict], other: Set[str]) -> str:
    def said(b: ByChoice) -> str:
        is_other = b.axis == "prompts" and b.choice in other
        finds = ", which finds other pictures" if is_other else ""
        return f"in {_n(b, says)} of {b.n} with {_choice(b)}{finds}"

    failed = a.few.counts["failed"]
    return f"{said(a.many)}, {said(a.few)}{f' ({failed} not computed)' if failed else ''}"


def _choice(b: ByChoice) -> str:
    return "the run's own" if b.choice == RUN else b.choice


def _n(b: ByChoice, says: Iterable[Verdict]) -> int:
    return sum(b.counts[verdict] for verdict in says)


def finding_of(
    claims: Sequence[ClaimCurve], listed: Listed, reproduced: bool, other: Sequence[Choice] = ()
) -> Iterator[str]:
    """A sentence a claim: what the run says, and beside it what the specifications say.

    ``other`` are prompts that find other pictures than the run's: each is told, and every claim
    is also counted without them.
    """
    if not reproduced:
        yield (
            "The run's own choices no longer give the run's numbers: its inputs, its ratings or "
            "laion-probe are not what they were. What follows is of what is there now."
        )
    for claim in claims:
        drawn = f" (drawn from {listed.n_possible})" if listed.sampled else ""
        said = [
            f"{claim.title}. The run: {_ANSWERS[claim.verdict]}.",
            _counted(claim, drawn),
            _without(claim, {c.name for c in other}),
            claim.hinges,
        ]
        yield " ".join(part for part in said if part)
    for c in other:
        if (near := c.nearby) is not None:
            yield (
                f"With “{c.name}” the encoder finds other pictures: of the {near.n_run} nearest, "
                f"{near.n_like or 'none'} {'is' if near.n_like == 1 else 'are'} among the run's "
                f"{near.n_run}. These prompts may ask for something else."
            )


def _without(c: ClaimCurve, other: Set[str]) -> str:
    """The counts without prompts that find other pictures; '' where none is left, or none is out.

    A specification has one choice of prompts, so that theirs can be taken off. Prompts of which
    nothing could be computed say nothing, and stay in.
    """
    out = [b for b in c.by_choice if b.axis == "prompts" and b.choice in other]
    out = [b for b in out if b.counts["failed"] < b.n]
    n = c.n - sum(b.n for b in out)
    if not out or not n:
        return ""
    left = {v: c.counts[v] - sum(b.counts[v] for b in out) for v in VERDICTS}
    said = _counted(c.model_copy(update={"n": n, "counts": left}), "")
    names = " and ".join(f"“{b.choice}”" for b in out)
    return f"Without {names}, {said[0].lower()}{said[1:]}"


def _counted(c: ClaimCurve, drawn: str) -> str:
    """What the specifications say; they are never called as the run where none can tell."""
    of = f"Of {c.n} specification{'s' * (c.n != 1)}{drawn}"
    failed = c.counts["failed"]
    if failed == c.n:
        return f"{of}: none could be computed."
    if not any(c.counts[v] for v in _TELLING):
        rest = f", {failed} could not be computed" if failed else ""
        return (
            f"No specification{' that was drawn' if drawn else ''} can tell: {of.lower()}, "
            f"{c.counts['cannot tell']} cannot{rest}. "
            "That is no evidence that nothing changes."
        )
    parts = [f"{v} in {c.counts[v] or 'none'}" for v in ("higher", "lower")]
    if c.verdict == "lower":
        parts.reverse()
    if "no change" in (c.verdict, *(v for v in VERDICTS if c.counts[v])):
        parts.append(f"no change in {c.counts['no change'] or 'none'}")
    parts.append(f"these data cannot tell in {c.counts['cannot tell'] or 'none'}")
    if failed:
        parts.append(f"not computed in {failed}")
    return f"{of}: {', '.join(parts)}."


def how_measured(
    choices: Sequence[Choice], listed: Listed, seed: int, run: ProbeResult
) -> Iterator[str]:
    """The method, a sentence a part."""
    sizes = [sum(c.axis == axis for c in choices) for axis in AXES]
    product = " × ".join(map(str, sizes))
    n = sum(listed.listed)
    yield (
        f"Specifications: {product} choices on {len(AXES)} axes make {listed.n_possible}; "
        + (f"{n} were drawn by seed {seed}." if listed.sampled else "all were run.")
        + ("" if listed.listed[0] else " The run's own is shown beside, and not counted.")
    )
    yield (
        "Each is the run again with these choices and nothing else changed: the same rows, "
        "pictures, generated pictures, estimators and rule by which a claim is supported or "
        "withheld."
    )
    yield (
        "Every specification is counted once: higher or lower, where the interval that decides "
        "lies on that side of zero; these data cannot tell, where zero is in it; not computed, "
        "with the reason; and, of a full count alone, no change. These add up to the "
        "specifications. The run's own answer is told beside them: a run that cannot tell claims "
        "nothing that they could support."
    )
    if sum(c.axis == "prompts" for c in choices) > 1:
        yield (
            "How far prompts find the same pictures is told of as many of the nearest as the run "
            f"took; fewer than {LIKE:.0%} of the run's, a convention, are told as other pictures. "
            "Such specifications stay in, and each claim is counted without them too."
        )
    yield (
        "Ratings stay a sample of what the run itself took for near: a specification that takes "
        "other pictures than were rated has no correction, and is told as not computed."
    )
    if (plan := run.preregistered) is not None:
        n = len(plan.deviations)
        yield f"The run was preregistered (hash {plan.hash[:12]}…)" + (
            f", and deviates from its plan in {n} thing{'s' * (n > 1)}: its own specification is "
            "not the one that was registered."
            if n
            else ": its own specification is the one that was registered."
        )


def cannot_say(inputs: Inputs, reproduced: bool) -> Iterator[str]:
    """What a specification curve cannot say."""
    yield (
        "Specifications are no sample of anything: what is among the choices was chosen too, and "
        "they share their pictures. How many of them say something is no probability and no "
        "p-value, and many poor choices can outvote a good one."
    )
    yield (
        "Which choice is right. Where the answer turns on one, that choice is to be argued for; "
        "the count does not settle it."
    )
    yield (
        "Whether prompts that find other pictures ask for something else, or for the same in words "
        "that the encoder reads otherwise; nor that prompts which find the same pictures mean the "
        "same to people."
    )
    yield (
        "That nothing changes, where no specification can tell: what these data cannot tell, with "
        "whatever choice, may still be so."
    )
    yield (
        "An interval of one specification is about sampling alone, as in the run; the spread over "
        "specifications is no interval."
    )
    yield (
        "All specifications use the same embedding model"
        + (f" ({inputs.embedder.key['model']})" if inputs.embedder else "")
        + ": what it misreads, all of them misread."
    )
    if not reproduced:
        yield "Whether the run itself was right: its own numbers could not be reproduced."
