"""A result as polars frames: the tables of ``tables/*.csv``, with types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from laion_probe.blocked_result import BlockedResult
from laion_probe.compare_result import CompareResult
from laion_probe.compose_result import ComposeResult
from laion_probe.datasheet_result import (
    CompositionRow,
    DatasheetResult,
    Evidence,
    LineageStep,
)
from laion_probe.dft_result import DftResult
from laion_probe.drift_result import DriftResult
from laion_probe.explore_result import ExploreResult
from laion_probe.filters_result import FiltersResult
from laion_probe.neighbours_result import NeighboursResult
from laion_probe.nonresponse_result import NonresponseResult
from laion_probe.outliers_result import OutliersResult
from laion_probe.probe_result import ProbeResult
from laion_probe.rebalance_result import RebalanceResult
from laion_probe.render.blocked_report import blocked_tables
from laion_probe.render.compare_tables import compare_tables
from laion_probe.render.compose_report import compose_tables
from laion_probe.render.dft_report import dft_tables
from laion_probe.render.drift_tables import drift_tables
from laion_probe.render.explore_report import explore_tables
from laion_probe.render.filters_tables import filters_tables
from laion_probe.render.neighbours_tables import neighbours_tables
from laion_probe.render.nonresponse_report import nonresponse_tables
from laion_probe.render.outliers_tables import outliers_tables
from laion_probe.render.rebalance_report import rebalance_tables
from laion_probe.render.robustness_report import robustness_tables
from laion_probe.render.scan_tables import scan_tables
from laion_probe.render.tables import ESTIMATE, Cell, Row, Tables, columns, probe_tables
from laion_probe.render.testbed_report import testbed_tables
from laion_probe.results import Document
from laion_probe.robustness_result import RobustnessResult
from laion_probe.scan_result import ScanResult
from laion_probe.testbed_result import TestbedResult

__all__ = ["TABLES", "datasheet_tables", "frames"]


def datasheet_tables(r: DatasheetResult) -> Tables:
    """The tables of a datasheet: its answers, the numbers they name, and what they rest on."""
    return {
        "answers": (
            "section answer question status person n_measured",
            (
                {
                    "section": section.id,
                    "answer": answer.id,
                    "question": answer.question,
                    "status": answer.status,
                    "person": answer.person,
                    "n_measured": len(answer.measured),
                }
                for section in r.sections
                for answer in section.answers
            ),
        ),
        "statements": ("answer statement text caution", _statements(r)),
        "numbers": ("answer statement shown evidence pointer value", _numbers(r)),
        "compositions": (
            " ".join(CompositionRow.model_fields),
            (c.model_dump() for c in r.compositions),
        ),
        "lineage": (
            "recipe title source already n_before n_after",
            (x.model_dump(exclude={"steps"}) for x in r.lineage),
        ),
        "lineage_steps": (
            "recipe " + " ".join(LineageStep.model_fields),
            ({"recipe": x.recipe} | s.model_dump() for x in r.lineage for s in x.steps),
        ),
        "evidence": (" ".join(Evidence.model_fields), (e.model_dump() for e in r.evidence)),
    }


def _statements(r: DatasheetResult) -> Iterator[Row]:
    for section in r.sections:
        for answer in section.answers:
            for i, said in enumerate(answer.measured):
                row: Row = {"answer": answer.id, "statement": i, "text": said.plain()}
                yield row | {"caution": said.caution}


def _numbers(r: DatasheetResult) -> Iterator[Row]:
    """A number's value is its place's in the evidence, where that is a number; else null."""
    for section in r.sections:
        for answer in section.answers:
            for i, said in enumerate(answer.measured):
                for number in said.numbers:
                    row: Row = {"answer": answer.id, "statement": i}
                    row |= number.model_dump(exclude={"value"})
                    yield row | {"value": None if isinstance(number.value, str) else number.value}


#: What gives the tables of a result: the CSV files of its run are written from the same.
TABLES: Mapping[type[Document], Callable[[Any], Tables]] = {
    BlockedResult: blocked_tables,
    CompareResult: compare_tables,
    ComposeResult: compose_tables,
    DatasheetResult: datasheet_tables,
    DftResult: dft_tables,
    DriftResult: drift_tables,
    ExploreResult: explore_tables,
    FiltersResult: filters_tables,
    NeighboursResult: neighbours_tables,
    NonresponseResult: nonresponse_tables,
    OutliersResult: outliers_tables,
    ProbeResult: probe_tables,
    RebalanceResult: rebalance_tables,
    RobustnessResult: robustness_tables,
    ScanResult: scan_tables,
    TestbedResult: testbed_tables,
}

_NUMBERS = ("value", "low", "high", "level")
_TYPES: dict[type, pl.DataType] = {
    bool: pl.Boolean(),
    int: pl.Int64(),
    float: pl.Float64(),
    str: pl.String(),
}


def frames(result: Document) -> dict[str, pl.DataFrame]:
    """Every number of a result in long form: the tables of its run folder by name, as frames.

    One row an estimate, in the columns ``value low high level n units method assumptions``; what is
    not defined is null, never zero. Texts are as the data have them (in the CSV files they are
    cleaned for spreadsheets). A column of which nothing is known has polars' type ``Null``, but for
    counts (``n_...``) and the columns of an estimate.

    Raises `TypeError` for a result that has no tables.

    >>> from laion_probe import frames, open_result
    >>> kind, result = open_result("runs/doctor")  # doctest: +SKIP
    >>> frames(result)["shifts"].filter(measure="difference")  # doctest: +SKIP
    """
    if not isinstance(result, Document):  # a folder, or both values of `open_result`
        raise TypeError(
            f"frames() takes a result, not {type(result).__name__}: of a run's folder, "
            "laion_probe.frames(laion_probe.open_result(folder)[1])"
        )
    if type(result) not in TABLES:
        raise TypeError(f"a {type(result).__name__} has no tables")
    tables = TABLES[type(result)](result)
    return {name: _frame(header, rows) for name, (header, rows) in tables.items()}


def _frame(header: str, rows: Iterable[Row]) -> pl.DataFrame:
    rows = list(rows)
    names = columns(header)
    of_estimates = header.endswith(ESTIMATE)
    cells = {name: [row.get(name) for row in rows] for name in names}
    return pl.DataFrame(
        [pl.Series(name, cells[name], _type(name, cells[name], of_estimates)) for name in names]
    )


def _type(name: str, cells: list[Cell], of_estimates: bool) -> pl.DataType:
    """The type of a column: by its name where that settles it, otherwise by what is in it."""
    if of_estimates and name in _NUMBERS:
        return pl.Float64()
    counts = name.startswith("n_") and "_is_" not in name  # n_near_is_all is no count
    if counts or (of_estimates and name in ("n", "units")):
        return pl.Int64()
    found = {type(cell) for cell in cells if cell is not None}
    if found == {int, float}:
        return pl.Float64()
    return pl.Null() if not found else _TYPES[found.pop()]
