"""What other choices do to a finding, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from laion_probe.probe_result import ProbeResult
from laion_probe.questions.inputs import Inputs
from laion_probe.questions.robustness_choices import Listed
from laion_probe.robustness_result import AXES, ByChoice, Choice, ClaimCurve

__all__ = ["cannot_say", "finding_of", "hinge", "how_measured", "title_of"]

#: Shares of two choices that differ by less are no hinge.
_HINGE = 0.25

_NAMES = {
    "detector": "the language detector",
    "threshold": "where near ends",
    "prompts": "how the concept is asked for",
    "raters": "whose labels count",
}

_ANSWERS = {
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


def hinge(by_choice: Sequence[ByChoice]) -> str:
    """The axis whose choices differ most in how often they say what the run says; '' if by little.

    Failed specifications do not say it.

    >>> said = {"run": (8, 8), "double": (0, 8)}
    >>> hinge([
    ...     ByChoice(axis="threshold", choice=c, n=n, n_same=k, n_opposite=0, n_cannot_tell=n - k,
    ...         n_failed=0, median=None) for c, (k, n) in said.items()])
    'It turns most on where near ends: the same in 8 of 8 with run, in 0 of 8 with double.'
    """
    best: tuple[float, str] = (0.0, "")
    for axis in AXES:
        shares = [(b.n_same / b.n, b) for b in by_choice if b.axis == axis and b.n]
        if len(shares) < 2:
            continue
        (least, few), (most, many) = (
            min(shares, key=lambda pair: pair[0]),
            max(shares, key=lambda pair: pair[0]),
        )
        if most - least > best[0]:
            words = (
                f"It turns most on {_NAMES[axis]}: the same in {many.n_same} of {many.n} with "
                f"{many.choice}, in {few.n_same} of {few.n} with {few.choice}"
                f"{f' ({few.n_failed} not computed)' if few.n_failed else ''}."
            )
            best = (most - least, words)
    return best[1] if best[0] >= _HINGE else ""


def finding_of(claims: Sequence[ClaimCurve], listed: Listed, reproduced: bool) -> Iterator[str]:
    """A sentence a claim."""
    if not reproduced:
        yield (
            "The run's own choices no longer give the run's numbers: its inputs, its ratings or "
            "laion-probe are not what they were. What follows is of what is there now."
        )
    drawn = f" (drawn from {listed.n_possible})" if listed.sampled else ""
    for c in claims:
        is_open = c.verdict == "cannot tell"
        another = c.n - c.n_same - c.n_opposite - c.n_failed - (0 if is_open else c.n_cannot_tell)
        parts = [
            f"the opposite in {c.n_opposite}" if c.verdict in ("higher", "lower") else "",
            f"these data cannot tell in {c.n_cannot_tell}" if not is_open else "",
            f"a change in {another}" if another else "",
            f"not to be computed in {c.n_failed}" if c.n_failed else "",
        ]
        said = ", ".join(part for part in parts if part)
        yield (
            f"{c.title} (the run: {_ANSWERS[c.verdict]}): the same in {c.n_same} of {c.n} "
            f"specifications{drawn}{f'; {said}' if said else ''}."
            + (f" {c.hinges}" if c.hinges else "")
        )


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
        "“The same” is the run's own answer: a change in the same direction, none, or that these "
        "data cannot tell. A specification that could not be computed counts as not saying it."
    )
    yield (
        "Ratings stay a sample of what the run itself took for near: a specification that takes "
        "other pictures than were rated has no correction, and is told as not computed."
    )
    if run.preregistered is not None:
        yield (
            f"The run was preregistered (hash {run.preregistered.hash[:12]}…): its own "
            "specification is the one that was chosen before anything was looked at."
        )


def cannot_say(inputs: Inputs, reproduced: bool) -> Iterator[str]:
    """What a specification curve cannot say."""
    yield (
        "The share of specifications is no probability and no p-value: they share their pictures, "
        "and what is among the choices was chosen too. Many poor choices can outvote a good one."
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
