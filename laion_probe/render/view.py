"""What the templates loop over: parts of a result beside their place in it, never computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from laion_probe.curve_result import CurveOf
from laion_probe.probe_result import ProbeResult
from laion_probe.render import geometry, text
from laion_probe.render.forest import PAGE
from laion_probe.render.neighbours_curve import curve_svg
from laion_probe.render.pointers import estimate_at, pointer, walk
from laion_probe.results import (
    Amplification,
    Claim,
    Composition,
    Estimate,
    KnownError,
    LevelRemoval,
    PictureSet,
    Shift,
    Stage,
    StepEffect,
    WordScore,
)

__all__ = ["View", "raster", "view"]

_LANGUAGES_SHOWN = 12
_WORDS_SHOWN = 25
_IMAGES = tuple(f"data:image/{kind};base64," for kind in ("png", "jpeg", "webp", "gif"))


@dataclass(frozen=True)
class Link:
    """One stage in one attribute's chain; ``composition`` is None where it was not read."""

    stage: Stage
    composition: Composition | None
    at: str


@dataclass(frozen=True)
class Reference:
    """A line that shares are compared with; none is a target."""

    label: str
    share: float
    at: str


@dataclass(frozen=True)
class Chain:
    """One attribute from pool to output."""

    attribute: str
    references: list[Reference]
    first: Composition
    levels: list[str]
    known_errors: bool
    corrected: bool
    asked: bool  # whether people rated anything: then why a stage is not corrected is said
    links: list[Link]
    shifts: list[tuple[str, Shift]]
    amplification: list[tuple[str, Amplification]]
    curve: CurveOf | None
    chart: Markup


@dataclass(frozen=True)
class StepRemovals:
    """What one step removed by the levels of one attribute, or why that has no number."""

    number: int
    step: StepEffect
    why_not: str
    rows: list[tuple[str, LevelRemoval]]


@dataclass(frozen=True)
class Removals:
    """All steps' removals for one attribute, on one axis."""

    attribute: str
    end: float
    steps: list[StepRemovals]


@dataclass(frozen=True)
class ShownClaim:
    """A claim with the estimate that it points to, where that exists, and what that is about."""

    claim: Claim
    about: str
    estimate: Estimate | None


@dataclass(frozen=True)
class Method:
    """One way in which intervals were made, with what it assumes."""

    name: str
    assumptions: tuple[str, ...]
    levels: list[float]


def methods_of(estimates: Iterable[Estimate]) -> list[Method]:
    """The methods of these numbers in order of appearance, each with what it assumes."""
    found: dict[tuple[str, tuple[str, ...]], set[float]] = {}
    for e in estimates:
        found.setdefault((e.method, e.assumptions), set()).add(e.level)
    return [Method(*key, levels=sorted(levels)) for key, levels in found.items()]


@dataclass(frozen=True)
class View:
    """Everything that the report arranges, in the order in which it shows it."""

    chains: list[Chain]
    labels: list[str]
    claims: list[ShownClaim]
    removals: list[Removals]
    averages: list[tuple[str, PictureSet, str]]
    words: list[tuple[str, WordScore]]
    more_words: list[tuple[str, WordScore]]
    words_end: float
    errors: list[tuple[str, KnownError, list[str]]]
    languages: list[str]
    more_languages: list[str]
    methods: list[Method]
    histogram: geometry.Histogram | None
    titles: dict[str, str]
    interval: str


def view(result: ProbeResult) -> View:
    """Arrange a result for the page."""
    words = sorted(enumerate(result.words), key=lambda pair: -pair[1].z)
    placed = [(pointer("words", index), word) for index, word in words]
    languages = _languages(result)
    return View(
        chains=_chains(result),
        labels=list(
            dict.fromkeys(c.labels for s in result.stages for c in s.compositions.values())
        ),
        claims=[
            ShownClaim(c, _about(result, c.estimate), estimate_at(result, c.estimate))
            for c in result.finding.claims
        ],
        removals=_removals(result),
        averages=_averages(result),
        words=placed[:_WORDS_SHOWN],
        more_words=placed[_WORDS_SHOWN:],
        words_end=max((abs(word.log_odds) for word in result.words), default=0.0) or 1.0,
        errors=_errors(result),
        languages=languages[:_LANGUAGES_SHOWN],
        more_languages=languages[_LANGUAGES_SHOWN:],
        methods=methods_of(e for _, e in walk(result)),
        histogram=geometry.histogram(result.concept.similarity_histogram, result.concept.threshold),
        titles={stage.id: stage.title for stage in result.stages},
        interval=_interval(result),
    )


def raster(uri: str) -> str:
    """The ``data:`` URI of a raster picture; anything else in that field is not shown."""
    return uri if uri.startswith(_IMAGES) else ""


def _about(result: ProbeResult, where: str) -> str:
    """What a claim's estimate compares, since its sentence may lean on the one before."""
    titles = {stage.id: stage.title for stage in result.stages}
    for index, shift in enumerate(result.shifts):
        if where.startswith(pointer("shifts", index) + "/"):
            ends = [titles.get(end, end) for end in (shift.from_stage, shift.to_stage)]
            return f"{text.attribute_name(shift.attribute)}, {ends[0]} to {ends[1]}"
    return ""


def _chart(result: ProbeResult, attribute: str, first: Composition) -> Markup:
    """The curve of an attribute; '' where there is none."""
    curve = result.curves.get(attribute)
    if curve is None:
        return Markup("")
    level, against = (text.level_name(x) for x in (first.contrast_level, first.against_level))
    said = f"{result.concept.name}: share of {level} among {level} or {against}, by nearest rows"
    parity = result.references.get(attribute, {}).get("parity", 0.5)
    n_near = result.concept.n_neighbours or None
    # the chart escapes and cleans every text that it writes
    return Markup(curve_svg(curve, said, parity, n_near, PAGE))


def _chains(result: ProbeResult) -> list[Chain]:
    if result.concept.status != "found":
        return []  # the pool alone says nothing about a concept that is not in it
    attributes = dict.fromkeys(
        key
        for stage in result.stages
        for key, composition in stage.compositions.items()
        if any(composition.counts.values())  # an empty plot answers nothing
    )
    chains = []
    for attribute in attributes:
        links = [
            Link(
                stage,
                stage.compositions.get(attribute),
                pointer("stages", index, "compositions", attribute),
            )
            for index, stage in enumerate(result.stages)
        ]
        read = [link.composition for link in links if link.composition is not None]
        chains.append(
            Chain(
                attribute=attribute,
                references=_references(result, attribute),
                first=read[0],
                levels=list(dict.fromkeys(level for c in read for level in c.levels)),
                known_errors=any(c.with_known_errors is not None for c in read),
                corrected=any(c.corrected is not None for c in read),
                asked=any(c.corrected is not None or c.not_corrected for c in read),
                links=links,
                curve=result.curves.get(attribute),
                chart=_chart(result, attribute, read[0]),
                shifts=[
                    (pointer("shifts", index), shift)
                    for index, shift in enumerate(result.shifts)
                    if shift.attribute == attribute
                ],
                amplification=[
                    (pointer("amplification", index), amplification)
                    for index, amplification in enumerate(result.amplification)
                    if amplification.attribute == attribute
                ],
            )
        )
    return chains


def _references(result: ProbeResult, attribute: str) -> list[Reference]:
    """Each reference line, parity first."""
    known = result.references.get(attribute, {})
    lines = [
        Reference(label, share, pointer("references", attribute, label))
        for label, share in known.items()
    ]
    if "parity" not in known:
        lines += [
            Reference("parity", a.parity, pointer("amplification", index, "parity"))
            for index, a in enumerate(result.amplification)
            if a.attribute == attribute
        ][:1]
    return sorted(lines, key=lambda line: line.label != "parity")


def _removals(result: ProbeResult) -> list[Removals]:
    observed = [step for step in result.steps if not text.removal_words(step)]
    attributes = dict.fromkeys(r.attribute for step in observed for r in step.removals)
    found = []
    for attribute in attributes:
        steps = [
            StepRemovals(
                number=index + 1,
                step=step,
                why_not=text.removal_words(step),
                rows=[
                    (pointer("steps", index, "removals", i), removal)
                    for i, removal in enumerate(step.removals)
                    if removal.attribute == attribute
                ],
            )
            for index, step in enumerate(result.steps)
            if not text.removal_words(step).startswith("no rate")  # said once, with all steps
        ]
        shown = [removal.rate for s in steps if not s.why_not for _, removal in s.rows]
        end = geometry.axis_end([*(e.high for e in shown), *(e.value for e in shown)])
        found.append(Removals(attribute, end, steps))
    return found


def _averages(result: ProbeResult) -> list[tuple[str, PictureSet, str]]:
    """Each average image once: sets drawn from the same pictures share theirs."""
    averages: dict[str, tuple[str, PictureSet, str]] = {}
    for index, shown in enumerate(result.pictures):
        if uri := raster(shown.average):
            averages.setdefault(uri, (pointer("pictures", index), shown, uri))
    return list(averages.values())


def _errors(result: ProbeResult) -> list[tuple[str, KnownError, list[str]]]:
    return [
        (
            pointer("known_errors", index),
            error,
            list(dict.fromkeys(read for row in error.confusion.values() for read in row)),
        )
        for index, error in enumerate(result.known_errors)
    ]


def _languages(result: ProbeResult) -> list[str]:
    """Languages by their largest count at any stage."""
    most: dict[str, int] = {}
    for counts in result.languages.values():
        for language, n in counts.items():
            most[language] = max(n, most.get(language, 0))
    return sorted(most, key=lambda language: (-most[language], language))


def _interval(result: ProbeResult) -> str:
    """What the brackets hold, with its level where all intervals share one."""
    levels = {estimate.level for _, estimate in walk(result)}
    return f"{100 * levels.pop():g}{text.NBSP}% interval" if len(levels) == 1 else "interval"
