"""``tables/*.csv`` of a scan, by the conventions of `laion_probe.render.tables`.

Each table is in long form, one row an estimate. ``level`` is the interval's level; ``level_name``
is the level of a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from laion_probe.render.scan_report import scan_removal_words
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.scan_result import ScanResult

__all__ = ["scan_tables", "write_scan_tables"]

_STEP = "kind title source confidence simulated observable note n_reached"


def write_scan_tables(result: ScanResult, folder: Path) -> None:
    """Write one file a table into ``folder``; a table without rows keeps its header."""
    write_csv(scan_tables(result), folder)


def scan_tables(r: ScanResult) -> Tables:
    """The tables of `scan`: name to columns and rows."""
    return {
        "share": ("name title measure price" + ESTIMATE, _share(r)),
        "looks": ("units rows value low high", (look.model_dump() for look in r.share.looks)),
        "steps": (f"step {_STEP} measure n_removed_here removal{ESTIMATE}", _steps(r)),
        "outcomes": (
            "step outcome n_rows",
            (
                {"step": s.id, "outcome": o, "n_rows": n}
                for s in r.steps
                for o, n in s.outcomes.items()
            ),
        ),
        "groups": ("group title level_name n_rows n_kept measure" + ESTIMATE, _groups(r)),
        "failed_units": ("unit n_rows reason", (f.model_dump() for f in r.failed_units)),
        "inputs": ("kind name fingerprint n_rows already note", (i.model_dump() for i in r.inputs)),
    }


def _share(r: ScanResult) -> Iterator[Row]:
    row: Row = {"name": r.share.name, "title": r.share.title}
    yield row | {"measure": "estimate"} | estimate_row(r.share.estimate)
    if r.share.other is not None:
        other: Row = {"measure": "other", "price": r.share.price}
        yield row | other | estimate_row(r.share.other)


def _steps(r: ScanResult) -> Iterator[Row]:
    for step, left in zip(r.steps, r.survival, strict=True):
        row: Row = {"step": step.id} | step.model_dump(include=set(_STEP.split()))
        removed: Row = {"measure": "removed_share"}
        if why := scan_removal_words(step):  # an empty cell and the reason, never a zero
            yield row | removed | {"removal": why}
        else:
            removed |= {"removal": "estimated", "n_removed_here": step.n_removed_here}
            yield row | removed | estimate_row(step.removed_share)
        yield row | {"measure": "survival"} | estimate_row(left)


def _groups(r: ScanResult) -> Iterator[Row]:
    for group in r.groups:
        for x in group.levels:
            row: Row = {"group": group.name, "title": group.title, "level_name": x.level}
            row |= {"n_rows": x.n, "n_kept": x.n_kept}
            yield row | {"measure": "share"} | estimate_row(x.share)
            yield row | {"measure": "share_of_kept"} | estimate_row(x.share_of_kept)
            yield row | {"measure": "kept"} | estimate_row(x.kept)
