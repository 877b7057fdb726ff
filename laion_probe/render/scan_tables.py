"""``tables/*.csv`` of a scan, by the conventions of `laion_probe.render.tables`.

Each table is in long form, one row an estimate. ``level`` is the interval's level; ``level_name``
is the level of a group.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from laion_probe.render.scan_report import scan_removal_words
from laion_probe.render.tables import _ESTIMATE, Row, _cell, _estimate
from laion_probe.scan_result import ScanResult

__all__ = ["write_scan_tables"]

_STEP = "kind title source confidence simulated observable note n_reached"


def write_scan_tables(result: ScanResult, folder: Path) -> None:
    """Write one file a table into ``folder``; a table without rows keeps its header."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (header, rows) in _tables(result).items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, header.split(), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def _tables(r: ScanResult) -> dict[str, tuple[str, Iterable[Row]]]:
    return {
        "share": ("name title measure price" + _ESTIMATE, _share(r)),
        "looks": ("units rows value low high", (look.model_dump() for look in r.share.looks)),
        "steps": (f"step {_STEP} measure n_removed_here removal{_ESTIMATE}", _steps(r)),
        "outcomes": (
            "step outcome n_rows",
            (
                {"step": s.id, "outcome": o, "n_rows": n}
                for s in r.steps
                for o, n in s.outcomes.items()
            ),
        ),
        "groups": ("group title level_name n_rows n_kept measure" + _ESTIMATE, _groups(r)),
        "failed_units": ("unit n_rows reason", (f.model_dump() for f in r.failed_units)),
        "inputs": ("kind name fingerprint n_rows already note", (i.model_dump() for i in r.inputs)),
    }


def _share(r: ScanResult) -> Iterator[Row]:
    row: Row = {"name": r.share.name, "title": r.share.title}
    yield row | {"measure": "estimate"} | _estimate(r.share.estimate)
    if r.share.other is not None:
        other: Row = {"measure": "other", "price": r.share.price}
        yield row | other | _estimate(r.share.other)


def _steps(r: ScanResult) -> Iterator[Row]:
    for step, left in zip(r.steps, r.survival, strict=True):
        row: Row = {"step": step.id} | step.model_dump(include=set(_STEP.split()))
        removed: Row = {"measure": "removed_share"}
        if why := scan_removal_words(step):  # an empty cell and the reason, never a zero
            yield row | removed | {"removal": why}
        else:
            removed |= {"removal": "estimated", "n_removed_here": step.n_removed_here}
            yield row | removed | _estimate(step.removed_share)
        yield row | {"measure": "survival"} | _estimate(left)


def _groups(r: ScanResult) -> Iterator[Row]:
    for group in r.groups:
        for x in group.levels:
            row: Row = {"group": group.name, "title": group.title, "level_name": x.level}
            row |= {"n_rows": x.n, "n_kept": x.n_kept}
            yield row | {"measure": "share"} | _estimate(x.share)
            yield row | {"measure": "share_of_kept"} | _estimate(x.share_of_kept)
            yield row | {"measure": "kept"} | _estimate(x.kept)
