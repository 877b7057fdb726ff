"""``report.html`` and tables of `rebalance`: margins, their price, and what raters would see."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from laion_probe.rebalance_result import (
    LevelPlan,
    Predicted,
    PredictedStage,
    RebalanceResult,
    VariablePlan,
)
from laion_probe.render.html import environment, page, write_report
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.render.view import Method, Reference, methods_of

__all__ = [
    "rebalance_report_html",
    "rebalance_tables",
    "render_rebalance",
    "write_rebalance_tables",
]

_LEVELS_SHOWN = 24


@dataclass(frozen=True)
class ShownLevel:
    """A level at its place, with its target as a line to draw."""

    at: str
    level: LevelPlan
    lines: list[Reference]


@dataclass(frozen=True)
class ShownVariable:
    """A variable at its place with the levels that are shown: ``n_more`` are in the CSV only."""

    at: str
    variable: VariablePlan
    levels: list[ShownLevel]
    n_more: int


@dataclass(frozen=True)
class ShownStage:
    """A stage of the prediction at its place, with the target as a line to draw."""

    at: str
    stage: PredictedStage
    lines: list[Reference]


@dataclass(frozen=True)
class ShownPrediction:
    """An attribute's prediction at its place."""

    at: str
    predicted: Predicted
    stages: list[ShownStage]


@dataclass(frozen=True)
class View:
    """What the template loops over, each beside its place in the result.

    ``asked`` are all targets as they were given; ``within`` is what no share is further off its
    target than, in words.
    """

    asked: list[str]
    within: str
    variables: list[ShownVariable]
    predictions: list[ShownPrediction]
    methods: list[Method]


def render_rebalance(result: RebalanceResult, out: Path) -> None:
    """Write what `rebalance` found: ``report.html``, ``result.json``, ``tables/*.csv``.

    The same result gives the same bytes every time; weights and the subset are the question's.
    """
    result = RebalanceResult.from_json(result.to_json())
    write_report(out, rebalance_report_html(result), result)
    write_rebalance_tables(result, out / "tables")


def rebalance_report_html(result: RebalanceResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    return page(environment(), "rebalance.html.j2", {"r": result, "v": _view(result)})


def _view(r: RebalanceResult) -> View:
    return View(
        asked=[item for v in r.variables for item in v.asked],
        within=_within(r.price.error),
        variables=[_variable(i, v) for i, v in enumerate(r.variables)],
        predictions=[_prediction(i, p) for i, p in enumerate(r.predicted)],
        methods=methods_of(e for _, e in walk(r) if e.value is not None or e.low is not None),
    )


def _variable(i: int, v: VariablePlan) -> ShownVariable:
    """The levels with the largest target or share first."""
    order = sorted(
        range(len(v.levels)), key=lambda j: -max(v.levels[j].target or 0, v.levels[j].share)
    )
    shown = []
    for j in sorted(order[:_LEVELS_SHOWN]):
        at, level = pointer("variables", i, "levels", j), v.levels[j]
        lines = [] if level.target is None else [_line(level.target, at)]
        shown.append(ShownLevel(at, level, lines))
    return ShownVariable(pointer("variables", i), v, shown, max(0, len(v.levels) - _LEVELS_SHOWN))


def _prediction(i: int, p: Predicted) -> ShownPrediction:
    stages = []
    for j, s in enumerate(p.stages):
        at = pointer("predicted", i, "stages", j)
        lines = [] if s.target is None else [_line(s.target, at)]
        stages.append(ShownStage(at, s, lines))
    return ShownPrediction(pointer("predicted", i), p, stages)


def _within(error: float) -> str:
    """An error of a share rounded up to a power of ten, in points.

    >>> _within(3e-10)
    '0.0000001 points'
    """
    digits = math.floor(-math.log10(max(100 * error, 1e-12)))
    return f"{10.0**-digits:.{max(0, digits)}f} points"


def _line(share: float, at: str) -> Reference:
    return Reference("target", share, f"{at}/target")


def write_rebalance_tables(result: RebalanceResult, folder: Path) -> None:
    """``tables/*.csv``: every number of the result, an estimate a row."""
    write_csv(rebalance_tables(result), folder)


def rebalance_tables(result: RebalanceResult) -> Tables:
    """The tables of `rebalance`: name to columns and rows."""
    return {
        "claims": (
            "claim text supported estimate",
            [
                {"claim": c.id, "text": c.text, "supported": c.supported, "estimate": c.estimate}
                for c in result.claims
            ],
        ),
        "margins": (
            "variable name n share target share_after share_subset weight effective few labels",
            [
                {"variable": v.variable, "name": x.level, "labels": v.labels}
                | x.model_dump(exclude={"level"})
                for v in result.variables
                for x in v.levels
            ],
        ),
        "predicted": (
            "attribute stage measure read_as against read target labels n_rated" + ESTIMATE,
            [row for p in result.predicted for row in _predicted(p)],
        ),
        "price": (
            "n n_cells n_without effective design_effect largest median bound error sweeps slow "
            "slow_margins",
            [result.price.model_dump() | {"slow_margins": ", ".join(result.price.slow_margins)}],
        ),
        "nobody": (
            "variable name other_variable other_name",
            [
                dict(
                    zip(
                        ("variable", "name", "other_variable", "other_name"),
                        [x for pair in cell.levels.items() for x in pair],
                        strict=False,
                    )
                )
                for cell in (*result.empty_levels, *result.empty_cells)
            ],
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in result.provenance.inputs],
        ),
    }


def _predicted(p: Predicted) -> Iterator[Row]:
    row: Row = {"attribute": p.attribute, "labels": p.labels, "n_rated": p.n_rated}
    for s in p.stages:
        of: Row = {
            "measure": "contrast",
            "read_as": p.contrast_level,
            "against": p.against_level,
            "read": s.read,
            "target": s.target,
        }
        yield row | {"stage": s.id} | of | estimate_row(s.contrast)
        for level, e in s.shares.items():
            yield row | {"stage": s.id, "measure": "share", "read_as": level} | estimate_row(e)
