"""What a run found, as files: a report to read, a JSON to compute with, tables and figures.

Everything is drawn from one `ProbeResult`; nothing is estimated here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from laion_probe.compare_result import CompareResult
from laion_probe.compose_result import ComposeResult
from laion_probe.drift_result import DriftResult
from laion_probe.filters_result import FiltersResult
from laion_probe.probe_result import ProbeResult
from laion_probe.registry import Registry
from laion_probe.render.blocked_report import render_blocked
from laion_probe.render.compare_report import compare_report_html, write_forests
from laion_probe.render.compare_tables import write_compare_tables
from laion_probe.render.compose_report import (
    compose_report_html,
    write_compose_figures,
    write_compose_tables,
)
from laion_probe.render.datasheet_diff_report import render_datasheet_diff
from laion_probe.render.datasheet_report import render_datasheet
from laion_probe.render.dft_report import render_dft
from laion_probe.render.drift_report import drift_report_html
from laion_probe.render.drift_tables import write_drift_tables
from laion_probe.render.explore_report import render_explore
from laion_probe.render.figures import write_figures
from laion_probe.render.filters_report import filters_report_html, write_flows
from laion_probe.render.filters_tables import write_filters_tables
from laion_probe.render.html import report_html, write_report
from laion_probe.render.neighbours_report import render_neighbours
from laion_probe.render.nonresponse_report import render_nonresponse
from laion_probe.render.outliers_report import render_outliers
from laion_probe.render.rebalance_report import render_rebalance
from laion_probe.render.robustness_report import render_robustness
from laion_probe.render.scan_report import scan_report_html
from laion_probe.render.scan_tables import write_scan_tables
from laion_probe.render.tables import write_tables
from laion_probe.render.testbed_report import render_testbed
from laion_probe.scan_result import ScanResult

__all__ = [
    "RENDERERS",
    "render_blocked",
    "render_compare",
    "render_compose",
    "render_datasheet",
    "render_datasheet_diff",
    "render_dft",
    "render_drift",
    "render_explore",
    "render_filters",
    "render_neighbours",
    "render_nonresponse",
    "render_outliers",
    "render_rebalance",
    "render_robustness",
    "render_run",
    "render_scan",
    "render_testbed",
    "report_html",
    "write_figures",
    "write_tables",
]

#: Each writes files of its own into the folder of a run, and estimates nothing.
RENDERERS: Registry[Callable[[ProbeResult, Path], None]] = Registry("renderer")


def render_run(result: ProbeResult, out: Path) -> None:
    """Run every renderer: ``report.html``, ``result.json``, ``tables/*.csv``, ``figures/*.svg``.

    The same result gives the same bytes every time. All are drawn from the JSON text, read back, so
    that none can show a number that the JSON does not hold.
    """
    result = ProbeResult.from_json(result.to_json())
    out.mkdir(parents=True, exist_ok=True)
    for name in RENDERERS:
        RENDERERS[name](result, out)


def render_scan(result: ScanResult, out: Path) -> None:
    """Write what `scan` found: ``report.html``, ``result.json``, ``tables/*.csv``."""
    result = ScanResult.from_json(result.to_json())
    write_report(out, scan_report_html(result), result)
    write_scan_tables(result, out / "tables")


def render_filters(result: FiltersResult, out: Path) -> None:
    """Write what `filters` found: what `render_run` writes, in the same places."""
    result = FiltersResult.from_json(result.to_json())
    write_report(out, filters_report_html(result), result)
    write_filters_tables(result, out / "tables")
    write_flows(result, out / "figures")


def render_compose(result: ComposeResult, out: Path) -> None:
    """Write what `compose` found: what `render_run` writes, in the same places."""
    result = ComposeResult.from_json(result.to_json())
    write_report(out, compose_report_html(result), result)
    write_compose_tables(result, out / "tables")
    write_compose_figures(result, out / "figures")


def render_compare(result: CompareResult, out: Path) -> None:
    """Write what `compare` found: what `render_run` writes, in the same places."""
    result = CompareResult.from_json(result.to_json())
    write_report(out, compare_report_html(result), result)
    write_compare_tables(result, out / "tables")
    write_forests(result, out / "figures")


def render_drift(result: DriftResult, out: Path) -> None:
    """Write what `drift` found: ``report.html``, ``result.json``, ``tables/*.csv``."""
    result = DriftResult.from_json(result.to_json())
    write_report(out, drift_report_html(result), result)
    write_drift_tables(result, out / "tables")


def _write_json(result: ProbeResult, out: Path) -> None:
    (out / "result.json").write_text(result.to_json(), encoding="utf-8", newline="\n")


def _write_html(result: ProbeResult, out: Path) -> None:
    (out / "report.html").write_text(report_html(result), encoding="utf-8", newline="\n")


RENDERERS.add("json", _write_json)
RENDERERS.add("html", _write_html)
RENDERERS.add("tables", lambda result, out: write_tables(result, out / "tables"))
RENDERERS.add("figures", lambda result, out: write_figures(result, out / "figures"))
