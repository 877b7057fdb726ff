"""The recipe's verdict on every row, kept row by row: for the sets that a concept is sought in."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from laion_probe.config import ProbeConfig
from laion_probe.questions.inputs import Inputs, Progress
from laion_probe.questions.reading import rows_of
from laion_probe.questions.scanning import check_failed, run_options
from laion_probe.runners import Failure, run_in_order
from laion_probe.shards import Unit, list_units
from laion_probe.store import Partials, fingerprint, frame_bytes, read_frame
from laion_probe.unit_scan import JudgeWork, Plan, Scan, resolve

__all__ = ["Judged", "judge"]


@dataclass(frozen=True)
class Judged:
    """Units that could be read, in order, their rows' verdicts, and the failures."""

    units: tuple[Unit, ...]
    scan: Scan
    failed: tuple[Failure, ...]


def judge(inputs: Inputs, config: ProbeConfig, progress: Progress) -> Judged:
    """Run the recipe over all shards. Finished units are kept, so that a run goes on."""
    units = list_units(inputs.shards)
    plan = Plan(inputs.recipe)
    folder = inputs.cache / "scans" / fingerprint(["rows", plan.fingerprint])
    kept: Partials[pl.DataFrame] = Partials(
        folder, frame_bytes, lambda unit, data: read_frame(data)
    )
    work = JudgeWork(inputs.recipe)
    done: list[Unit] = []
    frames: list[pl.DataFrame] = []
    failed: list[Failure] = []
    for unit, result in run_in_order(units, work, run_options(config), kept):
        if isinstance(result, Failure):
            failed.append(result)
        else:
            done.append(unit)
            frames.append(result)
        progress("scan shards", len(done) + len(failed), len(units))
    sizes = dict(zip((u.id for u in units), rows_of(units), strict=True))
    check_failed(failed, list(sizes.values()), sizes, config)
    return Judged(tuple(done), resolve(inputs.recipe, frames), tuple(failed))
