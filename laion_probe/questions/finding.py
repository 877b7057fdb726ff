"""The finding in words, each claim tied to the interval that supports or withholds it."""

from __future__ import annotations

from collections.abc import Callable

from laion_probe.attributes import Attribute
from laion_probe.attributes.reading import READERS
from laion_probe.config import ProbeConfig
from laion_probe.estimate import excludes_zero, is_full_count
from laion_probe.estimators.default import PPI
from laion_probe.questions.chain import Chain
from laion_probe.questions.concept import Pool
from laion_probe.questions.inputs import Inputs
from laion_probe.questions.outputs import Outputs
from laion_probe.results import (
    Claim,
    ConceptResult,
    Corrected,
    Estimate,
    Finding,
    Shift,
    Stage,
)
from laion_probe.runners import Failure

__all__ = ["cannot_say", "exchanged_sizes", "how_measured", "write_finding"]

CANNOT_TELL = "these data cannot tell"


def write_finding(
    inputs: Inputs, concept: ConceptResult, chain: Chain, outputs: Outputs | None
) -> Finding:
    """Two sentences: what the data hold after the recipe, and what the generator adds.

    A claim of a change is withheld, and reads "these data cannot tell", when its interval contains
    zero, or when the classifier's measured errors could explain it.
    """
    stages = {stage.id: stage for stage in chain.stages}
    found = concept.status == "found"
    claims: list[Claim] = []
    data: list[str] = []
    generated: list[str] = []
    for a in inputs.attributes:
        if found:
            data.append(_share(a, stages["neighbourhood"]))
            if inputs.recipe.deciding:
                claims.append(_recipe_claim(a, chain))
                data[-1] += _joined(claims[-1], "and")
        if "generated" in stages:
            generated.append(_share(a, stages["generated"]))
            if found:
                claims.append(_generator_claim(a, chain, outputs))
                generated[-1] += _joined(claims[-1])
    after = f" after {inputs.recipe.name}" if inputs.recipe.deciding else ""
    sentences = [f"Near “{concept.name}” in the data{after}, {'; '.join(data)}."]
    if not found:
        sentences = [concept.answer]
    if outputs is not None:
        sentences.append(f"In {_generated_from(outputs)}, {'; '.join(generated)}.")
    elif inputs.generated is not None:
        sentences.append(
            f"None of the generated pictures’ prompts names “{concept.name}”: none was compared."
        )
    elif found:
        sentences.append("No generated pictures were given to compare with.")
    return Finding(sentences=tuple(sentences), claims=tuple(claims))


def _generated_from(outputs: Outputs) -> str:
    n = outputs.summary.n_pictures
    if not outputs.summary.prompts:
        return f"{n} generated pictures (of a prompt that is not known)"
    prompt = outputs.summary.prompts[0]
    return f"{n} pictures generated from " + (f"“{prompt}”" if prompt else "the empty prompt")


def _joined(claim: Claim, word: str = "") -> str:
    """The claim as the end of a sentence that began with a share."""
    joint = word if claim.supported else "but"
    return f", {joint} {claim.text}" if joint else f", {claim.text}"


def _share(a: Attribute, stage: Stage) -> str:
    c = stage.compositions[a.name]
    pair = f"{a.contrast} or {a.against}"
    if c.corrected is not None and c.corrected.contrast.value is not None:
        return (
            f"{_percent(c.corrected.contrast)} of the pictures that raters would see as {pair} "
            f"would be seen as {a.contrast} ({_by(c.corrected, stage.n_pictures)}; "
            f"{_as_read(c.contrast)})"
        )
    if c.contrast.value is None:
        return f"no picture is read as {pair}"
    text = f"{_percent(c.contrast)} of the pictures read as {pair} are read as {a.contrast}"
    true = c.with_known_errors
    if true is None or true.low is None or true.high is None:
        return f"{text} ({c.labels})"
    allowed = f"{100 * true.low:.0f} to {100 * true.high:.0f} %"
    return f"{text} ({c.labels}; measured errors allow {allowed})"


def _by(c: Corrected, n_pictures: int) -> str:
    """Whose labels a corrected share rests on."""
    if c.estimator == PPI:
        return f"the classifier’s labels of {n_pictures}, corrected by ratings of {c.n_rated}"
    return f"ratings of {c.n_rated} alone" if c.n_rated < n_pictures else f"all {c.n_rated} rated"


def _as_read(e: Estimate) -> str:
    if e.value is None:
        return "the classifier reads none of them so"
    return f"as the classifier reads them: {100 * e.value:.0f} %"


def _recipe_claim(a: Attribute, chain: Chain) -> Claim:
    index, shift = _find(chain, a, "pool", "neighbourhood")
    supported, by = _decided(shift)
    if _unchanged(shift, by):
        text = "the recipe does not change this"
        return _claim("recipe", a, text, index, True, "difference")
    if supported:
        quoted = _quoted(shift, by)
        word = "raises" if (quoted.value or 0) > 0 else "lowers"
        text = f"the recipe {word} this by {_points(quoted)}{_allowing(shift, by, _sizes)}"
    else:
        text = f"{CANNOT_TELL} whether the recipe changes this: {_withheld(shift, by)}"
    return _claim("recipe", a, text, index, supported, by)


def _generator_claim(a: Attribute, chain: Chain, outputs: Outputs | None) -> Claim:
    index, shift = _find(chain, a, "neighbourhood", "generated")
    supported, by = _decided(shift)
    if not supported:
        text = f"{CANNOT_TELL} whether this differs from the data: {_withheld(shift, by)}"
        return _claim("generator", a, text, index, supported, by)
    quoted = _quoted(shift, by)
    word = "higher" if (quoted.value or 0) > 0 else "lower"
    text = f"{_points(quoted)} {word} than in the data{_allowing(shift, by, _sizes)}"
    amplified = next(
        x for x in chain.amplification if (x.attribute, x.data_stage) == (a.name, "neighbourhood")
    )
    value = amplified.signed.value if amplified.signed is not None else None
    if value is not None and outputs is not None and outputs.names_concept:
        text += f", {'further to' if value > 0 else 'away from'} the side that the data favour"
    return _claim("generator", a, text, index, supported, by)


def _decided(shift: Shift) -> tuple[bool, str]:
    """Whether a change may be claimed, and the name of the estimate that decides it."""
    if shift.corrected is not None and shift.corrected.value is not None:
        return excludes_zero(shift.corrected), "corrected"
    read, known = excludes_zero(shift.difference), shift.with_known_errors
    # of a full count the reading is sure of itself, even at zero: errors may still move it
    if known is None or not (read or is_full_count(shift.difference)):
        return read, "difference"
    # A range on the other side of zero than what was read contradicts it: no side can be claimed.
    same_side = ((known.low or 0) > 0) == ((shift.difference.low or 0) > 0)
    return read and excludes_zero(known) and same_side, "with_known_errors"


def _unchanged(shift: Shift, by: str) -> bool:
    """Whether a full count finds no change, and what decides (raters, measured errors) none too."""
    e = shift.corrected if by == "corrected" else shift.with_known_errors
    sure = e is None or (e.low == 0 and e.high == 0)
    return sure and shift.difference.value == 0 and is_full_count(shift.difference)


def _quoted(shift: Shift, by: str) -> Estimate:
    """The difference in the sentence: the raters', or that as read."""
    return shift.corrected if by == "corrected" and shift.corrected else shift.difference


def _allowing(shift: Shift, by: str, shown: Callable[[Estimate], str]) -> str:
    if by == "corrected":
        return " (by raters)"
    if by == "difference" or shift.with_known_errors is None:
        return ""
    return f" ({shown(shift.with_known_errors)} allowing for the classifier’s measured errors)"


def _withheld(shift: Shift, by: str) -> str:
    as_read = _difference(_quoted(shift, by))
    if by == "corrected":
        return f"{as_read}{_allowing(shift, by, _range)}"
    return as_read if by == "difference" else f"{as_read} as read{_allowing(shift, by, _range)}"


def _claim(name: str, a: Attribute, text: str, index: int, supported: bool, by: str) -> Claim:
    return Claim(
        id=f"{name}:{a.name}", text=text, supported=supported, estimate=f"/shifts/{index}/{by}"
    )


def _range(e: Estimate) -> str:
    if e.low is None or e.high is None:
        return "anything"
    return "(all counted)" if is_full_count(e) else f"[{_signed(e.low)}, {_signed(e.high)}]"


def _signed(share: float) -> str:
    """Points with a sign, and a true minus."""
    return f"{100 * share:+.1f}".replace("-", "−")


def _find(chain: Chain, a: Attribute, first: str, second: str) -> tuple[int, Shift]:
    for index, shift in enumerate(chain.shifts):
        if (shift.attribute, shift.from_stage, shift.to_stage) == (a.name, first, second):
            return index, shift
    raise KeyError((a.name, first, second))


def _percent(e: Estimate) -> str:
    assert e.value is not None and e.low is not None and e.high is not None
    if is_full_count(e):
        return f"{100 * e.value:.0f} % (all {e.n} counted)"
    return f"{100 * e.value:.0f} % [{100 * e.low:.0f}, {100 * e.high:.0f}]"


def _points(e: Estimate) -> str:
    """The size of a change in points, without its sign."""
    assert e.value is not None and e.low is not None and e.high is not None
    size = f"{100 * abs(e.value):.1f} points"
    return f"{size} (all counted)" if is_full_count(e) else f"{size} {_sizes(e)}"


def _sizes(e: Estimate) -> str:
    """The ends of a change on one side of zero, without their sign: the words tell the side."""
    assert e.low is not None and e.high is not None
    low, high = sorted((abs(e.low), abs(e.high)))
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _difference(e: Estimate) -> str:
    return "too few pictures" if e.value is None else f"{_signed(e.value)} points {_range(e)}"


def exchanged_sizes(agree: int, exchanged: int) -> str:
    """The warning that WIDTH and HEIGHT stand the wrong way round."""
    return (
        f"WIDTH and HEIGHT look exchanged: {exchanged} rows agree with the picture's own sizes "
        f"only the other way round, {agree} as they stand (LAION's raw releases have them so)."
    )


def how_measured(
    inputs: Inputs, config: ProbeConfig, concept: ConceptResult, pool: Pool, chain: Chain
) -> tuple[str, ...]:
    """The method, a sentence a part."""
    out = [
        f"Shards: {len(pool.rows)} rows in "
        f"{sum(len(s.parts) for s in inputs.shards)} row groups were read"
        + (
            f"; every step of {inputs.recipe.name} was judged on every row."
            if inputs.recipe.step
            else ", without pre-processing."
        )
    ]
    if inputs.downloads:
        n_files = len({f.id for f in pool.files})
        failures = ", ".join(f"{n} {reason}" for reason, n in pool.failed.items())
        out.append(
            f"Pictures: {pool.attempted} rows' pictures were asked for, {len(pool.pictured)} rows "
            f"({100 * pool.sampled:.1f} % of all) have a readable one, of "
            f"{n_files} different pictures (rows with the same URL share "
            "one)" + (f"; not obtained: {failures}." if failures else ".")
        )
    if pool.note:
        out.append(pool.note)
    agree, exchanged = pool.sizes
    if exchanged > agree:
        out.append(exchanged_sizes(agree, exchanged))
    if inputs.embedder:
        out.append(
            f"Neighbourhood: pictures whose cosine with the concept is at least the threshold, by "
            f"{inputs.embedder.key['model']} through open_clip and FAISS; {concept.threshold_rule}."
        )
        for a in inputs.attributes:
            labels = {d[a.name].labels for d in (chain.labelled, chain.output_labels) if d}
            out.append(
                f"{a.title[0].upper()}{a.title[1:]}, read by {READERS[a.reader].about}: {a.about}; "
                f"levels {', '.join(a.levels)}; {'; '.join(sorted(labels))}."
            )
        out += chain.notes
        if inputs.ratings is not None:
            raters = inputs.ratings.frame["rater"].n_unique()
            out.append(
                f"Ratings: {inputs.ratings.frame['picture'].n_unique()} pictures by {raters} "
                f"{'rater' if raters == 1 else 'raters'}. Shares are corrected by the "
                "ratings of a stage's own pictures; those of the data are not carried over to "
                "generated pictures, which need ratings of their own."
                + (
                    f" Columns that say nothing known here: {', '.join(inputs.ratings.ignored)}."
                    if inputs.ratings.ignored
                    else ""
                )
            )
        out.append(
            "Headline share: of the pictures read as one of the two named levels; unknown and "
            "other levels are counted beside it, and the bounds show what unknown could change."
        )
        out.append(
            f"Intervals: {100 * config.level:g} %, about sampling of pictures only. Data: the "
            "pictures are taken as a random sample of this finite data set, clustered by row "
            "group, with the finite-population correction. Generated: a sample of what the "
            "generator would draw, clustered by seed batch. Differences of nested stages are "
            "paired."
        )
    return tuple(out)


def cannot_say(
    inputs: Inputs,
    concept: ConceptResult,
    pool: Pool,
    outputs: Outputs | None,
    failed: tuple[Failure, ...] = (),
) -> tuple[str, ...]:
    """What these data and this method cannot say."""
    out = []
    if failed:
        out.append(
            f"{len(failed)} row groups with about {pool.n_unread} rows could not be read (listed "
            "below): every number is of the rest."
        )
    if inputs.embedder:
        corrected = inputs.ratings is not None
        out.append(
            (
                "Where no ratings correct it, a share is a classifier's reading: the intervals do "
                "not "
                if corrected
                else "Labels are a classifier's reading, not corrected for its errors: the "
                "intervals do not "
            )
            + "contain them, and errors may differ between groups and between data and generator. "
            + (
                "The ranges with known errors allow for those that were measured, and hold only if "
                "the errors on these pictures are like one of the measured sets."
                if inputs.known_errors
                else "No errors of this classifier were measured on labelled pictures: a "
                "difference between data and generator may be its doing."
            )
        )
        out.append(
            "Perceived gender presentation and skin tone are not identity, and no ethnicity is "
            "inferred from skin tone."
        )
        out.append(
            "The neighbourhood is where this model sees the concept: what it misses, it misses in "
            "every stage."
        )
    if pool.failed:
        out.append(
            f"The pictures of {sum(pool.failed.values())} rows did not download or decode; if they "
            "differ from the others, so do the shares (non-response). Rows that share an address "
            "are likelier to have a picture than others."
        )
    if inputs.already is not None:
        out.append(
            f"The input had passed {inputs.already.name} before ({inputs.already_note}): what that "
            "removed cannot be observed here."
        )
    elif inputs.already_note.startswith("not declared"):
        out.append("Which filters the input had passed before is not known; it was not declared.")
    missing = [s.title for s in inputs.recipe.step if s.simulated != "yes"]
    if missing:
        out.append("Steps replayed only in part, or not at all: " + "; ".join(missing) + ".")
    if concept.keywords:
        out.append(
            "Captions in other languages than the concept's own words are not counted as naming it."
        )
    if outputs is None and inputs.generated is not None:
        prompts = sorted({p for p in inputs.generated.rows["prompt"].to_list() if p is not None})
        out.append(
            f"None of the generated pictures' prompts names “{concept.name}” (there are: "
            + ", ".join(f"“{p}”" for p in prompts[:12])
            + "); choose one with --prompt to compare."
        )
    if outputs is not None and outputs.summary.simulated:
        out.append(
            "The generated pictures are simulated: they say what the tool measures, and nothing "
            "about any real model."
        )
    return tuple(out)
