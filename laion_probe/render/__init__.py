"""What a run found, as files: a report to read, a JSON to compute with, tables and figures.

Everything is drawn from one `ProbeResult`; nothing is estimated here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from laion_probe.filters_result import FiltersResult
from laion_probe.registry import Registry
from laion_probe.render.figures import write_figures
from laion_probe.render.filters_report import filters_report_html, write_flows
from laion_probe.render.filters_tables import write_filters_tables
from laion_probe.render.html import report_html
from laion_probe.render.scan_report import scan_report_html
from laion_probe.render.scan_tables import write_scan_tables
from laion_probe.render.tables import write_tables
from laion_probe.results import ProbeResult
from laion_probe.scan_result import ScanResult

__all__ = [
    "RENDERERS",
    "render_filters",
    "render_run",
    "render_scan",
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
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(scan_report_html(result), encoding="utf-8", newline="\n")
    write_scan_tables(result, out / "tables")
    (out / "result.json").write_text(result.to_json(), encoding="utf-8", newline="\n")


def render_filters(result: FiltersResult, out: Path) -> None:
    """Write what `filters` found: what `render_run` writes, in the same places."""
    result = FiltersResult.from_json(result.to_json())
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(filters_report_html(result), encoding="utf-8", newline="\n")
    write_filters_tables(result, out / "tables")
    write_flows(result, out / "figures")
    (out / "result.json").write_text(result.to_json(), encoding="utf-8", newline="\n")


def _write_json(result: ProbeResult, out: Path) -> None:
    (out / "result.json").write_text(result.to_json(), encoding="utf-8", newline="\n")


def _write_html(result: ProbeResult, out: Path) -> None:
    (out / "report.html").write_text(report_html(result), encoding="utf-8", newline="\n")


RENDERERS.add("json", _write_json)
RENDERERS.add("html", _write_html)
RENDERERS.add("tables", lambda result, out: write_tables(result, out / "tables"))
RENDERERS.add("figures", lambda result, out: write_figures(result, out / "figures"))
