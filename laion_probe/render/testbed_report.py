"""``report.html``, tables and sheets of samples of a testbed."""

from __future__ import annotations

from pathlib import Path

from laion_probe.render.html import environment, page, write_report
from laion_probe.render.pointers import walk
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.render.view import methods_of
from laion_probe.testbed_result import TestbedResult

__all__ = ["render_testbed", "testbed_report_html", "testbed_tables"]

#: What the arms, and what the tool supported, are called on the page.
_SAID = {
    "neither": "neither",
    "over-represented": "over-represented",
    "emptied": "captions emptied",
    "both": "both",
}

_ASKED = {
    "command": "Asked as a user would",
    "pointed": "Pointed to its outputs",
}


def render_testbed(result: TestbedResult, out: Path) -> None:
    """Write ``report.html``, ``result.json`` and ``tables/*.csv``, all from the JSON read back."""
    result = TestbedResult.from_json(result.to_json())
    write_report(out, testbed_report_html(result), result)
    write_csv(testbed_tables(result), out / "tables")


def testbed_report_html(result: TestbedResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    env.globals.update(said=_SAID, asked=_ASKED)
    shown = methods_of(e for _, e in walk(result) if e.value is not None)
    return page(env, "testbed.html.j2", {"r": result, "methods": shown})


def testbed_tables(r: TestbedResult) -> Tables:
    """The tables of `testbed`: arms, effects, runs, and what the tool said."""
    arms: list[Row] = []
    for a in r.arms:
        cell: Row = {
            "arm": a.arm,
            "n_runs": a.n_runs,
            "data_share": a.data_share,
            "expected": a.expected,
        }
        for measure in ("drawn", "corrected", "asked"):
            arms.append(cell | {"measure": measure} | estimate_row(getattr(a, measure)))
    effects: list[Row] = []
    for e in r.effects:
        on: Row = {"effect": e.name, "measure": "difference", "expected": e.expected_difference}
        effects.append(on | estimate_row(e.difference))
        on = {"effect": e.name, "measure": "odds ratio", "expected": e.expected_odds_ratio}
        effects.append(on | estimate_row(e.odds_ratio))
    runs: list[Row] = []
    tool: list[Row] = []
    for run in r.runs:
        runs.append(run.model_dump(exclude={"tool"}))
        for answer in run.tool:
            of: Row = {"arm": run.arm, "seed": run.seed, "supported": " ".join(answer.supported)}
            tool.append(of | answer.model_dump(include={"how", "found", "right", "note"}))
    confusion: list[Row] = [
        {"how": c.how, "planted": c.arm, "n_runs": c.n_runs, "n_right": c.n_right, **c.said}
        for c in r.confusion
    ]
    return {
        "arms": ("arm n_runs data_share expected measure" + ESTIMATE, arms),
        "effects": ("effect measure expected" + ESTIMATE, effects),
        "runs": (
            "arm seed n_rows n_cluster n_emptied expected n_drawn n_hits drawn corrected asked"
            " loss",
            runs,
        ),
        "tool": ("arm seed how supported found right note", tool),
        "confusion": (
            "how planted n_runs n_right neither over-represented emptied both",
            confusion,
        ),
    }
