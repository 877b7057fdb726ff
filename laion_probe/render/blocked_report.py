"""``report.html`` and tables of `blocked`: what a safety checker keeps back, and from whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from laion_probe.attributes import UNKNOWN
from laion_probe.blocked_result import BlockedBy, BlockedLevel, BlockedResult, Passed
from laion_probe.render.geometry import axis_end
from laion_probe.render.html import environment, page, write_report
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.render.view import Method, Reference, methods_of

__all__ = ["blocked_report_html", "blocked_tables", "render_blocked", "write_blocked_tables"]

_LEVELS_SHOWN = 24


@dataclass(frozen=True)
class ShownBy:
    """A property with the levels that the page shows: ``n_more`` are in the CSV only."""

    by: BlockedBy
    levels: list[tuple[str, BlockedLevel]]
    n_more: int


@dataclass(frozen=True)
class ShownPassed:
    """An attribute before and after, at its place."""

    at: str
    passed: Passed
    references: list[Reference]


@dataclass(frozen=True)
class View:
    """What the template loops over, each beside its place in the result."""

    by: list[ShownBy]
    end: float  # of the axis of blocked shares
    passed: list[ShownPassed]
    methods: list[Method]


def render_blocked(result: BlockedResult, out: Path) -> None:
    """Write what `blocked` found: ``report.html``, ``result.json``, ``tables/*.csv``.

    The same result gives the same bytes every time.
    """
    result = BlockedResult.from_json(result.to_json())
    write_report(out, blocked_report_html(result), result)
    write_blocked_tables(result, out / "tables")


def blocked_report_html(result: BlockedResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    return page(environment(), "blocked.html.j2", {"r": result, "v": _view(result)})


def _view(r: BlockedResult) -> View:
    shares = [r.blocked, *(x.blocked for b in r.by for x in b.levels)]
    return View(
        by=[_shown(i, by) for i, by in enumerate(r.by)],
        end=axis_end([e.high for e in shares]),
        passed=[
            ShownPassed(
                pointer("passed", i), p, [Reference("parity", p.parity, f"/passed/{i}/parity")]
            )
            for i, p in enumerate(r.passed)
        ],
        methods=methods_of(e for _, e in walk(r) if e.value is not None or e.low is not None),
    )


def _shown(i: int, by: BlockedBy) -> ShownBy:
    """The levels most often blocked, then *unknown*."""
    placed = [(pointer("by", i, "levels", j), x) for j, x in enumerate(by.levels)]
    known = [pair for pair in placed if pair[1].level != UNKNOWN]
    known.sort(key=lambda pair: -(pair[1].blocked.value or 0.0))
    unknown = [pair for pair in placed if pair[1].level == UNKNOWN]
    return ShownBy(by, [*known[:_LEVELS_SHOWN], *unknown], max(0, len(known) - _LEVELS_SHOWN))


def write_blocked_tables(result: BlockedResult, folder: Path) -> None:
    """``tables/*.csv``: every number of the result, an estimate a row."""
    write_csv(blocked_tables(result), folder)


def blocked_tables(result: BlockedResult) -> Tables:
    """The tables of `blocked`: name to columns and rows."""
    return {
        "claims": (
            "claim text supported estimate",
            [
                {"claim": c.id, "text": c.text, "supported": c.supported, "estimate": c.estimate}
                for c in result.claims
            ],
        ),
        "blocked": (
            "by name n_pictures n_blocked few labels measure" + ESTIMATE,
            [
                {
                    "by": "all",
                    "n_pictures": result.n_pictures,
                    "measure": "blocked",
                    **estimate_row(result.blocked),
                },
                *(row for by in result.by for x in by.levels for row in _level(by, x)),
            ],
        ),
        "compositions": (
            "attribute stage measure read_as count labels" + ESTIMATE,
            [row for p in result.passed for row in _compositions(p)],
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in result.provenance.inputs],
        ),
    }


def _level(by: BlockedBy, x: BlockedLevel) -> Iterator[Row]:
    row: Row = {"by": by.by, "name": x.level, "n_pictures": x.n, "n_blocked": x.n_blocked}
    row |= {"few": x.few, "labels": by.labels}
    for measure, e in (("blocked", x.blocked), ("difference", x.difference), ("ratio", x.ratio)):
        yield row | {"measure": measure} | estimate_row(e)


def _compositions(p: Passed) -> Iterator[Row]:
    for stage, c in (("generated", p.before), ("passed", p.after)):
        row: Row = {"attribute": p.attribute, "stage": stage, "labels": c.labels}
        for level, e in c.shares.items():
            of: Row = {"measure": "share", "read_as": level, "count": c.counts[level]}
            yield row | of | estimate_row(e)
        row |= {"read_as": c.contrast_level}
        yield row | {"measure": "contrast"} | estimate_row(c.contrast)
        yield row | {"measure": "bounds"} | estimate_row(c.bounds)
    row = {"attribute": p.attribute, "stage": "passed", "read_as": p.before.contrast_level}
    for measure, e in (("difference", p.shift.difference), ("ratio", p.shift.ratio)):
        yield row | {"measure": measure, "labels": p.before.labels} | estimate_row(e)
