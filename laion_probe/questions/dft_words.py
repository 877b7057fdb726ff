"""What a plan of diversity fine-tuning says of itself, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from laion_probe.config.dft import DftConfig
from laion_probe.dft_result import AxisPlan, EvaluationPlan, Price, ProfessionPlan
from laion_probe.results import Estimate

__all__ = ["CANNOT_SAY", "PUBLISHED", "finding", "how_planned"]

#: The abstract of arXiv 2310.06904 was read; the numbers of the grid are from memory.
PUBLISHED = (
    "The design follows a published one: Esposito, Atighehchian, Germanidis and Ghadiyaram (2023), "
    "“Mitigating stereotypical biases in text to image generative systems”, arXiv 2310.06904 "
    "(Runway): a generator is fine-tuned on synthetic pictures of prompts that combine "
    "ethnicities, genders, professions and age groups; 170 professions, 57 ethnicities and about "
    "990,000 pictures (these three numbers from memory). It is described here, not endorsed: "
    "which words, which numbers and whether at all are the choice of whoever runs this."
)

CANNOT_SAY = (
    "Whether fine-tuning on these pictures brings a model to the target: the numbers are "
    "arithmetic of pictures, and models do not learn in proportion. Only the evaluation tells, "
    "and there the professions that were held out.",
    "Whether the pictures show what was asked for: a generator answers words for people with its "
    "own stereotypes, and training on its pictures teaches them again. Look at them, or have them "
    "rated, before training (`laion-probe compose`, `laion-probe annotate`).",
    "Anything about ethnicity in pictures: a word of a prompt says what was asked, and ethnicity "
    "is never read from a picture, nor from skin tone.",
    "Who is missing: groups that no list names are in no prompt, and two levels of a perceived "
    "attribute leave out everybody who is seen as neither.",
    "Whether the words are right: no list was reviewed by the people whom it names unless its "
    "review note says so.",
    "What else changes: fine-tuning on generated pictures can cost quality and variety, which is "
    "not measured here.",
)


def finding(
    professions: Sequence[ProfessionPlan], axes: Sequence[AxisPlan], price: Price, n_prompts: int
) -> tuple[str, ...]:
    """The plan in a few sentences."""
    trained = [p for p in professions if not p.held_out]
    crossed = " × ".join(f"{len(axis.terms)} words of {axis.name}" for axis in axes)
    said = [
        f"{price.n_training:,} training pictures of {n_prompts:,} prompts: "
        f"{_count(len(trained), 'profession')} × {crossed}.",
        f"{_count(len(professions) - len(trained), 'profession')} held out of training, for the "
        "evaluation.",
    ]
    measured = [p for p in professions if p.gaps]
    if measured:
        gaps = [gap for p in measured for gap in p.gaps]
        sure = sum(gap.sure for gap in gaps)
        said.append(
            f"A measured gap for {len(measured):,} of {_count(len(professions), 'profession')}: "
            f"{sure:,} of {len(gaps):,} are shown to differ from the target, and are planned as "
            f"far beyond it; the others, and professions that were not measured, at the target."
        )
        worst = max(
            ((p, gap) for p in measured for gap in p.gaps if gap.sure),
            key=lambda pair: abs((pair[1].generated.value or 0) - pair[1].target),
            default=None,
        )
        if worst is not None:
            p, gap = worst
            said.append(
                f"Furthest from it: “{p.term}”{_measured_as(p.term, gap.concept)}, drawn as "
                f"{gap.level} in {_percent(gap.generated)} "
                f"({gap.labels}) with a target of {100 * gap.target:.3g} %; planned "
                f"{100 * gap.planned:.3g} %, {100 * gap.planned_low:.3g} to "
                f"{100 * gap.planned_high:.3g} % over that interval."
            )
    hours = "" if price.hours is None else f", {price.hours:,.1f} hours of drawing"
    said.append(
        f"Price: {price.n_training + price.n_evaluation:,} pictures with the evaluation{hours}; "
        "training is not in it."
    )
    return tuple(said)


def _measured_as(term: str, concept: str) -> str:
    """What was drawn and measured, where that is another name of the profession."""
    return "" if term.casefold() == concept.casefold() else f" (measured as “{concept}”)"


def how_planned(
    rule: str, axes: Sequence[AxisPlan], evaluation: EvaluationPlan, config: DftConfig
) -> tuple[str, ...]:
    """The rules behind the numbers."""
    return tuple(_how(rule, axes, evaluation, config))


def _how(
    rule: str, axes: Sequence[AxisPlan], evaluation: EvaluationPlan, config: DftConfig
) -> Iterator[str]:
    yield (
        f"{config.per_cell:,} pictures of a cell on average; axes are crossed as if independent; "
        "whole numbers by largest remainder, within each profession axis by axis, those with a "
        "target first; ties by a seeded draw."
    )
    for axis in axes:
        if axis.target is None:
            yield f"{axis.name}: no target was named, so every word has the same share."
        else:
            shares = ", ".join(f"{level} {100 * x:.4g} %" for level, x in axis.target.items())
            yield f"{axis.name}: the target that was named is {shares}."
        if not axis.attribute:
            yield f"{axis.name}: no attribute reads it from pictures, so no gap of it is measured."
    if rule == "gap":
        yield (
            "Gaps: the training pictures get the share w of a level at which they and what the "
            "generator draws, share g, have the target t together: (g + r w) / (1 + r) = t, with "
            "r = 1 or the least above it that keeps w from 0 to 1. A profession has r times the "
            "pictures. Where the interval of g contains t, w is t."
        )
    yield (
        "Held out, by name: the professions whose hash with the seed is smallest, so that adding "
        "professions changes few of them; one that is trained on may be near to them in meaning. "
        "None of their pictures is in the training set; neutral prompts of all professions are "
        "drawn before and after, from the same seeds."
    )
    yield (
        f"{evaluation.images:,} pictures of a profession tell its share to about ± "
        f"{100 * evaluation.half_width:.0f} points (Wilson, at one half, all of known level)."
    )


def _percent(e: Estimate) -> str:
    if e.value is None or e.low is None or e.high is None:
        return "an unknown share"
    return f"{100 * e.value:.3g} % [{100 * e.low:.3g}, {100 * e.high:.3g}]"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
