"""``report.html``, tables and figures of `robustness`: a finding under other choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from laion_probe.render.figures import file_name
from laion_probe.render.forest import PAGE
from laion_probe.render.html import environment, page, write_report
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.robustness_curve import answers, specification_svg
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.render.view import Method, methods_of
from laion_probe.robustness_result import (
    AXES,
    ByChoice,
    Choice,
    ClaimCurve,
    RobustnessResult,
    Specification,
    Verdict,
)

__all__ = [
    "render_robustness",
    "robustness_report_html",
    "robustness_tables",
    "write_robustness_tables",
]

#: The columns of `_counts`.
_COUNTS = " n_higher n_lower n_no_change n_cannot_tell n_failed"

#: The columns of `Nearby`.
_NEARBY = " n_near n_run n_both share_of_run jaccard n_like other_pictures"


@dataclass(frozen=True)
class ShownClaim:
    """A claim's curve at its place, with its chart, and why specifications failed, and how often.

    ``answers`` are what a specification may say, by their keys and in words; ``axes`` are those
    on which there is a choice.
    """

    at: str
    curve: ClaimCurve
    answers: list[tuple[Verdict, str]]
    chart: Markup
    axes: list[tuple[str, list[tuple[str, ByChoice]]]]
    failures: list[tuple[str, int]]


@dataclass(frozen=True)
class View:
    """What the template loops over, each beside its place in the result; choices by axis."""

    claims: list[ShownClaim]
    choices: list[tuple[str, list[tuple[str, Choice]]]]
    methods: list[Method]


def render_robustness(result: RobustnessResult, out: Path) -> None:
    """Write what `robustness` found: ``report.html``, ``result.json``, tables and figures.

    The same result gives the same bytes every time.
    """
    result = RobustnessResult.from_json(result.to_json())
    write_report(out, robustness_report_html(result), result)
    write_robustness_tables(result, out / "tables")
    figures = out / "figures"
    figures.mkdir(exist_ok=True)
    for curve in result.claims:
        svg = specification_svg(curve, result.specifications, result.choices)
        name = f"specifications-{file_name(curve.id)}.svg"
        (figures / name).write_text(svg, encoding="utf-8", newline="\n")


def robustness_report_html(result: RobustnessResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    return page(environment(), "robustness.html.j2", {"r": result, "v": _view(result)})


def _view(r: RobustnessResult) -> View:
    placed = [(pointer("choices", i), c) for i, c in enumerate(r.choices)]
    return View(
        claims=[_shown(i, curve, r) for i, curve in enumerate(r.claims)],
        choices=[(axis, [pair for pair in placed if pair[1].axis == axis]) for axis in AXES],
        methods=methods_of(e for _, e in walk(r)),
    )


def _shown(i: int, curve: ClaimCurve, r: RobustnessResult) -> ShownClaim:
    placed = [(pointer("claims", i, "by_choice", j), b) for j, b in enumerate(curve.by_choice)]
    by_axis = [(axis, [pair for pair in placed if pair[1].axis == axis]) for axis in AXES]
    counted = (o for o in curve.outcomes if r.specifications[o.specification].listed)
    reasons = Counter(o.reason for o in counted if o.verdict == "failed")
    return ShownClaim(
        at=pointer("claims", i),
        curve=curve,
        answers=answers(curve),
        # the chart escapes and cleans every text that it writes
        chart=Markup(specification_svg(curve, r.specifications, r.choices, PAGE)),
        axes=[(axis, pairs) for axis, pairs in by_axis if len(pairs) > 1],
        failures=reasons.most_common(),
    )


def write_robustness_tables(result: RobustnessResult, folder: Path) -> None:
    """``tables/*.csv``: every specification and what it says of every claim."""
    write_csv(robustness_tables(result), folder)


def robustness_tables(r: RobustnessResult) -> Tables:
    """The tables of `robustness`: name to columns and rows."""
    return {
        "choices": ("axis name about" + _NEARBY, [_about(c) for c in r.choices]),
        "specifications": (
            "specification " + " ".join(AXES) + " is_run listed n_pictures",
            [_specification(i, s) for i, s in enumerate(r.specifications)],
        ),
        "claims": (
            "claim attribute read_as text verdict n" + _COUNTS + " hinges",
            [_claim(c) for c in r.claims],
        ),
        "shares": (
            "claim verdict" + ESTIMATE,
            [
                estimate_row(e) | {"claim": c.id, "verdict": verdict}
                for c in r.claims
                for verdict, e in c.shares.items()
            ],
        ),
        "by_choice": (
            "claim axis choice n" + _COUNTS + " median",
            [_choice(c, b) for c in r.claims for b in c.by_choice],
        ),
        "outcomes": (
            "claim specification verdict by measure reason" + ESTIMATE,
            [row for c in r.claims for row in _outcomes(c)],
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in r.provenance.inputs],
        ),
    }


def _about(c: Choice) -> Row:
    row: Row = {"axis": c.axis, "name": c.name, "about": c.about}
    if c.nearby is not None:
        row |= {"n_near": c.nearby.n} | c.nearby.model_dump(exclude={"n"})
    return row


def _specification(i: int, s: Specification) -> Row:
    row: Row = {"specification": i, "is_run": s.is_run, "listed": s.listed}
    return row | s.choices | {"n_pictures": s.n_pictures}


def _claim(c: ClaimCurve) -> Row:
    row: Row = {"claim": c.id, "attribute": c.attribute, "read_as": c.contrast_level}
    row |= {"text": c.text, "verdict": c.verdict, "n": c.n, "hinges": c.hinges}
    return row | _counts(c.counts)


def _choice(c: ClaimCurve, b: ByChoice) -> Row:
    row: Row = {"claim": c.id, "axis": b.axis, "choice": b.choice, "n": b.n, "median": b.median}
    return row | _counts(b.counts)


def _counts(counts: Mapping[Verdict, int]) -> Row:
    return {f"n_{verdict.replace(' ', '_')}": n for verdict, n in counts.items()}


def _outcomes(c: ClaimCurve) -> Iterator[Row]:
    for o in c.outcomes:
        row: Row = {"claim": c.id, "specification": o.specification, "verdict": o.verdict}
        row |= {"by": o.by, "reason": o.reason}
        if o.estimate is None:
            yield row
            continue
        yield row | {"measure": "change"} | estimate_row(o.estimate)
        if o.range is not None:
            yield row | {"measure": "with_known_errors"} | estimate_row(o.range)
