"""What a plan of diversity fine-tuning says of itself, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from laion_probe.config.dft import DftConfig
from laion_probe.dft_result import AxisPlan, EvaluationPlan, Gap, Price, ProfessionPlan
from laion_probe.results import Estimate

__all__ = ["CANNOT_SAY", "PUBLISHED", "Size", "divided", "finding", "gap_notes", "how_planned"]

_NAMED = 12  # levels or professions that a sentence names
_FEW = 3

#: The abstract of arXiv 2310.06904 was read, and of the video a public summary with its highlights.
PUBLISHED = (
    "The design follows a published one: Esposito, Atighehchian, Germanidis and Ghadiyaram (2023), "
    "“Mitigating stereotypical biases in text to image generative systems”, arXiv 2310.06904 "
    "(Runway): a generator is fine-tuned on synthetic pictures of prompts that combine "
    "ethnicities, genders, professions and age groups. Runway's video “Bias in AI and How to Fix "
    "It” (2 February 2024, as a public summary has it) tells of 170 professions, 57 ethnicities "
    "and close to 990,000 pictures. It is described here, not endorsed: "
    "which words, which numbers and whether at all are the choice of whoever runs this."
)

CANNOT_SAY = (
    "Whether fine-tuning on these pictures brings a model to the target: the numbers are "
    "arithmetic of pictures, and models do not learn in proportion. Only the evaluation tells, "
    "and there the professions that were held out.",
    "Whether the pictures show what was asked for: a generator answers words for people with its "
    "own stereotypes, and training on its pictures teaches them again. Look at them, or have them "
    "rated, before training (laion-probe compose, laion-probe annotate).",
    "Anything about ethnicity in pictures: a word of a prompt says what was asked, and ethnicity "
    "is never read from a picture, nor from skin tone.",
    "Who is missing: groups that no list names are in no prompt, and two levels of a perceived "
    "attribute leave out everybody who is seen as neither.",
    "Whether the words are right: no list was reviewed by the people whom it names unless its "
    "review note says so.",
    "What else changes: fine-tuning on generated pictures can cost quality and variety, which is "
    "not measured here.",
)


@dataclass(frozen=True)
class Size:
    """Prompts, cells of the training grid, and how many of these get no picture."""

    n_prompts: int
    n_cells: int
    n_empty: int


def divided(target: Mapping[str, float] | None, left: Sequence[str], n_changed: int) -> str:
    """How an axis's pictures are divided; ``left`` are levels that nobody named a share for.

    ``n_changed`` counts professions for which a measured gap decides instead.

    >>> divided(None, (), 0)
    'equal shares: nothing was named for this axis'
    >>> divided({"woman": 0.5, "man": 0.25, "nonbinary": 0.25}, ("man", "nonbinary"), 0)
    'by the target: woman 50 %; man, nonbinary were not named, 25 % each'
    """
    if target is None:
        return "equal shares: nothing was named for this axis"
    said = "by the target: "
    if len(set(target.values())) == 1 and len(target) > _NAMED:
        said += f"{_share(next(iter(target.values())))} to each of {len(target):,} levels"
    else:
        named = [level for level in target if level not in left]
        said += ", ".join(f"{level} {_share(target[level])}" for level in named)
    if left:
        who = ", ".join(left) if len(left) <= _NAMED else f"{len(left):,} others"
        was = "was not named," if len(left) == 1 else "were not named,"
        said += f"; {who} {was} {_share(target[left[0]])}{' each' if len(left) > 1 else ''}"
    if n_changed:
        said += f"; measured gaps decide for {_count(n_changed, 'profession')}"
    return said


def finding(
    professions: Sequence[ProfessionPlan], axes: Sequence[AxisPlan], price: Price, size: Size
) -> tuple[str, ...]:
    """The plan in a few sentences; what is crossed is counted where pictures are planned."""
    return tuple(_finding(professions, axes, price, size))


def _finding(
    professions: Sequence[ProfessionPlan], axes: Sequence[AxisPlan], price: Price, size: Size
) -> Iterator[str]:
    trained = [p for p in professions if not p.held_out]
    drawn = sum(p.n_pictures > 0 for p in trained)
    of = f"{drawn:,} of " if drawn < len(trained) else ""
    crossed = [f"{of}{_count(len(trained), 'profession')}", *(_words(axis) for axis in axes)]
    cells = f"{_count(size.n_cells - size.n_empty, 'cell')}"
    if size.n_empty:
        cells = f"{size.n_cells - size.n_empty:,} of {_count(size.n_cells, 'cell')}"
    yield (
        f"{price.n_training:,} training pictures of {_count(size.n_prompts, 'prompt')}, in "
        f"{cells}: {' × '.join(crossed)}."
    )
    for axis in axes:
        if axis.target is None or "not named" in axis.divided:
            yield f"{axis.name}: {axis.divided}."
    n_held = len(professions) - len(trained)
    yield (
        f"{_count(n_held, 'profession')} held out of training, for the evaluation."
        if n_held
        else "No profession is held out of training: the evaluation has only those trained on."
    )
    yield from _of_gaps(professions)
    hours = "" if price.hours is None else f", {price.hours:,.1f} hours of drawing"
    yield (
        f"Price: {price.n_training + price.n_evaluation:,} pictures with the evaluation{hours}; "
        "training is not in it."
    )


def _words(axis: AxisPlan) -> str:
    none = [t.term for t in axis.terms if t.n_pictures == 0]
    if not none:
        return f"{_count(len(axis.terms), 'word')} of {axis.name}"
    names = f" (none for {', '.join(none)})" if len(none) <= _FEW else ""
    drawn = len(axis.terms) - len(none)
    return f"{drawn:,} of {_count(len(axis.terms), 'word')} of {axis.name}{names}"


def _of_gaps(professions: Sequence[ProfessionPlan]) -> Iterator[str]:
    measured = [p for p in professions if p.gaps]
    if not measured:
        return
    out = sum(p.held_out for p in measured)
    held = f", {out:,} of them held out" if out else ""
    head = f"The run measured {len(measured):,} of {_count(len(professions), 'profession')}{held}"
    pairs = [(p, gap) for p in measured for gap in p.gaps if not p.held_out]
    sure = [(p, gap) for p, gap in pairs if gap.sure]
    if not sure:
        yield (f"{head}. {_none_told(len(pairs))}. Pictures are planned at the target.")
        return
    rest = ""
    if len(sure) < len(pairs):
        rest = (
            f"; for {len(pairs) - len(sure):,} these data cannot tell, the gap may not be there, "
            "and the target itself is planned"
        )
    if len(measured) < len(professions):
        rest += "; professions that were not measured are planned at the target"
    yield (
        f"{head}. Of the {_count(len(pairs), 'share')} of those trained on, {len(sure):,} "
        f"{'is' if len(sure) == 1 else 'are'} shown to differ from the target and planned as far "
        f"beyond it{rest}."
    )
    p, gap = max(sure, key=lambda pair: abs((pair[1].generated.value or 0) - pair[1].target))
    yield (
        f"Furthest from it: “{p.term}”{_measured_as(p.term, gap.concept)}, drawn as {gap.level} in "
        f"{_percent(gap.generated)} ({gap.labels}) with a target of {_share(gap.target)}; planned "
        f"{_share(gap.planned)} from that point value, {100 * gap.planned_low:.3g} to "
        f"{_share(gap.planned_high)} over its {_share(gap.generated.level)} interval."
    )


def _none_told(n_trained: int) -> str:
    """That no measured share is shown to differ from the target; or that all are held out."""
    if not n_trained:
        return "What it measured is not trained on, so that no gap decides a number"
    of = "the share" if n_trained == 1 else f"any of the {n_trained:,} shares"
    return (
        f"These data cannot tell {of} of those trained on from the target: the gap that this plan "
        "would mend may not be there"
    )


def gap_notes(professions: Sequence[ProfessionPlan]) -> tuple[str, ...]:
    """What the intervals of the measured gaps mean for the numbers; () without a gap."""
    return tuple(_gap_notes([(p, gap) for p in professions for gap in p.gaps]))


def _gap_notes(pairs: Sequence[tuple[ProfessionPlan, Gap]]) -> Iterator[str]:
    if not pairs:
        return
    level = pairs[0][1].generated.level
    yield (
        f"Each share was measured with the {_share(level)} interval that stands beside it. Numbers "
        "of pictures are made from the point value; the range beside a planned share is what the "
        "ends of the interval would have planned, and changes no number."
    )
    unsure = [f"{p.term} ({gap.axis})" for p, gap in pairs if not gap.sure]
    if unsure:
        more = f" and {len(unsure) - _NAMED:,} more" if len(unsure) > _NAMED else ""
        yield (
            "The interval, or what the classifier's measured errors allow, has the target in it: "
            "these data cannot tell whether there is a gap to mend, and the target itself is "
            f"planned, for {', '.join(unsure[:_NAMED])}{more}."
        )
    if len(pairs) > 1:
        yield (
            f"Each interval is of one share alone: of many that are at the target, about "
            f"{_share(1 - level)} would be shown to differ from it all the same."
        )
    if any("uncorrected" in gap.labels and gap.allowed is None for _, gap in pairs):
        yield (
            "Labels of a classifier are uncorrected: how often it errs is in no interval here, and "
            "a gap may be its error. Ratings of a sample correct it (laion-probe annotate, and a "
            "probe run with --ratings)."
        )


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
        f"{config.per_cell:,} pictures of a cell on average, those without any counted; "
        "axes are crossed as if independent; whole numbers by largest remainder, within each "
        "profession axis by axis, those with a target first; the share of a level evenly over "
        "its words; ties by a seeded draw."
    )
    for axis in axes:
        yield f"{axis.name}: {axis.divided}."
        if not axis.attribute:
            yield f"{axis.name}: no attribute reads it from pictures, so no gap of it is measured."
    if rule == "gap":
        yield (
            "Gaps: the training pictures get the share w of a level at which they and what the "
            "generator draws, share g, have the target t together: (g + r w) / (1 + r) = t, with "
            "r = 1 or the least above it that keeps w from 0 to 1. A profession has r times the "
            "pictures. g is the point value; where its interval, or what the classifier's measured "
            "errors allow, contains t, w is t."
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


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
