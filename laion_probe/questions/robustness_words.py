"""What other choices do to a finding, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from laion_probe.probe_result import ProbeResult
from laion_probe.questions.inputs import Inputs
from laion_probe.questions.robustness_choices import RUN, Listed
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


def hinge(by_choice: Sequence[ByChoice], own: Verdict) -> str:
    """The axis whose choices differ most in how often they say it; '' if by little.

    It is what the run says, ``own``; of a run that cannot tell, anything that data can tell. Failed
    specifications do not say it.

    >>> def of(choice: str, lower: int) -> ByChoice:
    ...     counts = {v: 0 for v in VERDICTS} | {"lower": lower, "cannot tell": 8 - lower}
    ...     return ByChoice(axis="threshold", choice=choice, n=8, counts=counts, median=None)
    >>> hinge([of("run", 8), of("double", 0)], "lower")
    'It turns most on where near ends: lower in 8 of 8 with the run's own, in 0 of 8 with double.'
    """
    best: tuple[float, str] = (0.0, "")
    says: tuple[Verdict, ...] = (own,)
    words = _ANSWERS[own]
    if own == "cannot tell":
        says, words = _TELLING, "these data can tell"
    for axis in AXES:
        of_axis = [(_n(b, says) / b.n, b) for b in by_choice if b.axis == axis and b.n]
        if len(of_axis) < 2:
            continue
        least, few = min(of_axis, key=lambda pair: pair[0])
        most, many = max(of_axis, key=lambda pair: pair[0])
        if most - least > best[0]:
            failed = few.counts["failed"]
            said = (
                f"It turns most on {_NAMES[axis]}: {words} in {_n(many, says)} of {many.n} with "
                f"{_choice(many)}, in {_n(few, says)} of {few.n} with {_choice(few)}"
                f"{f' ({failed} not computed)' if failed else ''}."
            )
            best = (most - least, said)
    return best[1] if best[0] >= _HINGE else ""


def _choice(b: ByChoice) -> str:
    return "the run's own" if b.choice == RUN else b.choice


def _n(b: ByChoice, says: Iterable[Verdict]) -> int:
    return sum(b.counts[verdict] for verdict in says)


def finding_of(claims: Sequence[ClaimCurve], listed: Listed, reproduced: bool) -> Iterator[str]:
    """A sentence a claim: what the run says, and beside it what the specifications say."""
    if not reproduced:
        yield (
            "The run's own choices no longer give the run's numbers: its inputs, its ratings or "
            "laion-probe are not what they were. What follows is of what is there now."
        )
    for c in claims:
        drawn = f" (drawn from {listed.n_possible})" if listed.sampled else ""
        said = [f"{c.title}. The run: {_ANSWERS[c.verdict]}.", _counted(c, drawn), c.hinges]
        yield " ".join(part for part in said if part)


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
