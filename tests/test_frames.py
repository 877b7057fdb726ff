"""Frames hold what the CSV files of a run hold, with types."""

from __future__ import annotations

import csv
import tempfile
import types
import typing
from functools import cache
from itertools import count
from pathlib import Path

import fake_compare
import fake_outliers
import polars as pl
import pytest
import test_blocked
import test_compose_report
import test_datasheet
import test_dft
import test_drift_report
import test_nonresponse_report
from fake_datasheet import fake_datasheet
from fake_filters import fake_filters
from fake_rated import rated_result
from fake_result import HOSTILE, fake_result
from fake_scan import fake_scan

import laion_probe
from laion_probe.data_result import DataResult
from laion_probe.questions.opening_runs import KINDS
from laion_probe.render.frames import TABLES, frames
from laion_probe.render.tables import ESTIMATE, columns, write_csv
from laion_probe.render.text import clean
from laion_probe.results import Document, Estimate, Value

#: Keys of dictionaries that are columns of a table.
KEYS = {"choices": ("detector", "threshold"), "said": ("neither", "both")}


def filled(kind: typing.Any, numbers: count[int], name: str = "") -> typing.Any:
    """A value of that type: of a result, every field, with texts that are hostile.

    What holds several holds two, so that 0 and 1 are places in it; what may be None is so at times.
    ``name`` is the field's, by which the keys of a dictionary are known.
    """
    i = next(numbers)
    of, inside = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Value):
        fields = kind.model_fields.items()
        return kind(**{name: filled(field.annotation, numbers, name) for name, field in fields})
    if of is tuple and inside[-1] is ...:
        return tuple(filled(inside[0], numbers) for _ in range(2))
    if of is tuple:
        return tuple(filled(part, numbers) for part in inside)
    if of is dict:
        keys = typing.get_args(inside[0])[:2] or KEYS.get(name, ("1", "2"))
        return {key: filled(inside[1], numbers) for key in keys}
    if of in (typing.Union, types.UnionType):
        known = [part for part in inside if part is not type(None)]
        return None if len(known) < len(inside) and i % 3 == 0 else filled(known[0], numbers)
    if of is typing.Literal:
        return inside[i % len(inside)]
    simple = {bool: i % 2 == 0, int: i % 2, float: i / 7, str: HOSTILE[i % len(HOSTILE)]}
    return simple.get(kind, i)  # an object may be anything


#: Kinds without a fake of their own.
FILLED = ["explore", "rebalance", "robustness", "testbed"]


@cache
def cases() -> dict[str, Document]:
    """Results of several kinds, some with hostile texts; read back from JSON as files are."""
    made: dict[str, Document] = {
        "probe": fake_result(hostile=True),
        "probe, rated": rated_result(),
        "filters": fake_filters(),
        "scan": fake_scan(),
        "compare": fake_compare.CASES["hostile"],
        "datasheet": fake_datasheet(),
        "outliers": next(iter(fake_outliers.cases().values())),
        "compose": next(iter(test_compose_report.cases().values())),
        "nonresponse": next(iter(test_nonresponse_report.cases().values())),
    }
    with tempfile.TemporaryDirectory() as folder:
        made["neighbours"] = test_datasheet._neighbours()
        made["drift"] = test_drift_report.only_levels(Path(folder))
        rows = test_blocked.planted()
        made["dft"] = test_dft.plan(Path(folder) / "dft", **test_dft.GENDER_ONLY, per_cell=3)
        made["blocked"] = test_blocked.run(test_blocked.folder(Path(folder) / "made", rows))
    made |= {name: filled(KINDS[name], count()) for name in FILLED}
    return {name: type(r).from_json(r.to_json()) for name, r in made.items()}


CASES = ["probe", "probe, rated", "filters", "scan", "compare", "outliers"]
CASES += ["compose", "nonresponse", "neighbours", "drift", "dft", "blocked", "datasheet"]
CASES += FILLED


def shown(cell: object) -> str:
    """A cell as a CSV file has it."""
    if isinstance(cell, bool):
        return str(cell).lower()
    return "" if cell is None else clean(cell) if isinstance(cell, str) else repr(cell)


@pytest.mark.parametrize("case", CASES)
def test_frames_hold_what_the_csv_files_hold(case: str, tmp_path: Path) -> None:
    result = cases()[case]
    got = frames(result)
    write_csv(TABLES[type(result)](result), tmp_path)
    assert sorted(got) == sorted(path.stem for path in tmp_path.iterdir())
    for name, frame in got.items():
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert frame.columns == header
        assert frame.height == len(rows)
        for column, cells in zip(header, zip(*rows, strict=True), strict=False):
            if frame[column].dtype.is_numeric():
                assert frame[column].to_list() == [float(c) if c else None for c in cells]
            else:
                # a text that a spreadsheet would take for a formula has a quote before it there
                texts = [shown(cell) for cell in frame[column]]
                assert [c.removeprefix("'") for c in cells] == [t.removeprefix("'") for t in texts]


@pytest.mark.parametrize("case", CASES)
def test_a_columns_type_does_not_hang_on_what_is_in_it(case: str) -> None:
    for name, frame in frames(cases()[case]).items():
        estimates = frame.columns[-8:] == ESTIMATE.split()
        for column, dtype in frame.schema.items():
            if column == "n_near_is_all":
                assert dtype == pl.Boolean
            elif column.startswith("n_") or (estimates and column in ("n", "units")):
                assert dtype == pl.Int64, (name, column)
            if estimates and column in ("value", "low", "high", "level"):
                assert dtype == pl.Float64, (name, column)
        # a table of one run goes under that of another
        assert pl.concat([frame, frame.clear()], how="vertical_relaxed").height == frame.height


def test_an_estimate_can_be_found_and_reckoned_with() -> None:
    result = cases()["probe"]
    assert isinstance(result, laion_probe.ProbeResult)
    got = laion_probe.frames(result)["shifts"].filter(measure="difference")
    assert got["value"].to_list() == [s.difference.value for s in result.shifts]
    wide = got.select(pl.col("high") - pl.col("low")).to_series()
    known: list[Estimate] = [s.difference for s in result.shifts if s.difference.low is not None]
    assert wide.drop_nulls().len() == len(known)


def test_what_is_not_defined_is_null_and_texts_are_as_they_were() -> None:
    result = cases()["probe"]
    assert isinstance(result, laion_probe.ProbeResult)
    pictures = laion_probe.frames(result)["pictures"]
    captions = {p.caption for shown in result.pictures for p in shown.pictures}
    assert captions <= set(pictures["caption"])
    assert any(caption.startswith("=") for caption in captions)  # not made safe for a spreadsheet
    steps = laion_probe.frames(result)["steps"]
    hidden = steps.filter(pl.col("removal") != "estimated")
    assert hidden.height
    assert hidden["value"].null_count() == hidden.height


def test_every_kind_has_a_case() -> None:
    assert sorted(cases()) == sorted(CASES)
    assert {type(result) for result in cases().values()} == set(TABLES)
    assert all(table.height for name in FILLED for table in frames(cases()[name]).values())


def test_every_public_question_has_tables() -> None:
    for name in laion_probe.__all__:
        if name.endswith("Result"):
            assert getattr(laion_probe, name) in TABLES, name
    assert {*KINDS.values()} - {*TABLES} == {DataResult}  # what a datasheet counted, beside it
    for model, function in TABLES.items():
        of = next(iter(typing.get_type_hints(function).values()))
        assert of is model


def test_two_columns_of_one_name_are_refused() -> None:
    assert columns("a b" + ESTIMATE)[:3] == ["a", "b", "value"]
    with pytest.raises(ValueError, match="two columns of one name: level value"):
        columns("level" + ESTIMATE)  # a group's level would be lost under the interval's


def test_what_is_no_report_has_no_tables() -> None:
    with pytest.raises(TypeError, match="a Document has no tables"):
        frames(Document())
