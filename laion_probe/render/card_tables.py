"""``tables/``: what a card's numbers are read from, as CSV for people and as parquet.

Croissant's records are read from the parquet: pandas, which mlcroissant reads CSV with, changes the
last digit of some floats and takes a level that is called None or NA for a missing one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from laion_probe.datasheet_result import CompositionRow, DatasheetResult
from laion_probe.questions.card import Card
from laion_probe.questions.card_evidence import is_sampled
from laion_probe.questions.neighbours_files import write_parquet
from laion_probe.render.tables import Row, write_csv

__all__ = ["FOLDER", "CardTable", "Column", "card_tables", "write_card_tables"]

FOLDER = "tables"

Kind = Literal["Text", "Integer", "Float", "Boolean"]
_POLARS = {"Text": pl.String, "Integer": pl.Int64, "Float": pl.Float64, "Boolean": pl.Boolean}


@dataclass(frozen=True)
class Column:
    """A column, its type by schema.org's name, and what it holds."""

    name: str
    kind: Kind
    about: str


@dataclass(frozen=True)
class CardTable:
    """A table by name; a cell is None where the number is not defined."""

    name: str
    about: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


_EVIDENCE = Column("evidence", "Text", "the run that the number stands in: evidence/id")
_POINTER = Column("pointer", "Text", "its place in that run's result.json (RFC 6901)")

_COMPOSITION = (
    _EVIDENCE,
    _POINTER,
    Column("concept", "Text", "the concept that was looked for, or empty: all rows"),
    Column("stage", "Text", "the link of the chain from the pool to generated pictures"),
    Column("attribute", "Text", "what was read of a picture or a caption; of people, as perceived"),
    Column("level", "Text", "the level of the attribute; unknown is one of them"),
    Column(
        "count",
        "Integer",
        "pictures or rows of that level among those that the run read; missing of shares that "
        "raters corrected",
    ),
    Column("share", "Float", "their share; missing where it is not defined"),
    Column("low", "Float", "lower end of the interval; missing where there is none"),
    Column("high", "Float", "upper end of the interval; missing where there is none"),
    Column("interval_level", "Float", "level of the interval, such as 0.95"),
    Column("labels", "Text", "whose labels the share rests on"),
    Column("of", "Text", "what the share is of"),
    Column("n", "Integer", "pictures or rows behind the share; missing where the run does not say"),
    Column("units", "Integer", "independent groups that the interval treats as exchangeable"),
    Column("method", "Text", "how the share and its interval were come by"),
)
_LINEAGE = (
    Column("recipe", "Text", "the recipe's name"),
    Column("title", "Text", "what the recipe is"),
    Column("source", "Text", "where the recipe is described"),
    Column("already", "Boolean", "true: the rows had passed it; false: it was simulated on them"),
    Column(
        "of_sample",
        "Boolean",
        "true: the counts are of rows that a run sampled, and not of the whole set (samples has "
        "what they say of it)",
    ),
    Column("n_before", "Integer", "rows before the recipe; missing where they cannot be seen"),
    Column("n_after", "Integer", "rows after it; missing where they cannot be seen"),
    Column("step", "Text", "the step's name; missing where no step is known"),
    Column("step_title", "Text", "what the step does"),
    Column("step_source", "Text", "where the step is described"),
    Column("confidence", "Text", "how sure it is that the step ran as described"),
    Column("observable", "Boolean", "false: what the step removed cannot be seen, which is not 0"),
    Column("n_reached", "Integer", "rows that reached the step; missing where not observable"),
    Column(
        "n_removed", "Integer", "rows that it removed; missing where that cannot be seen or judged"
    ),
    _EVIDENCE,
    _POINTER,
)
_SAMPLES = (
    Column("recipe", "Text", "the recipe that was replayed on a random sample of row groups"),
    Column("n_read", "Integer", "rows of the sample"),
    Column("n_rows", "Integer", "rows of the whole set; missing where the files do not say"),
    Column("kept", "Float", "share of all rows that the recipe keeps, as the sample tells"),
    Column("low", "Float", "lower end of its interval; missing where there is none"),
    Column("high", "Float", "upper end of its interval; missing where there is none"),
    Column("interval_level", "Float", "level of the interval, such as 0.95"),
    Column("n_left", "Integer", "what that is of the rows of the whole set"),
    Column("n_left_low", "Integer", "the same of the lower end"),
    Column("n_left_high", "Integer", "the same of the upper end"),
    Column("left_out", "Text", "steps that need every row, which no number here has"),
    _EVIDENCE,
    _POINTER,
)
_RUNS = (
    Column("id", "Text", "what the run is called here"),
    Column("kind", "Text", "the command that measured"),
    Column("title", "Text", "what was measured"),
    Column("file", "Text", "its result, beside this description"),
    Column("sha256", "Text", "checksum of that file"),
    Column("n_rows", "Integer", "rows or pictures that the run read; missing where not known"),
    Column("full", "Boolean", "whether it read everything, or a sample"),
    Column("n_pictures", "Integer", "rows whose picture the run read; missing where not told"),
)


def card_tables(card: Card) -> tuple[CardTable, ...]:
    """The tables of a card's datasheet, in the order of its JSON; a table may have no rows."""
    sheet = card.datasheet
    return (
        _table(
            "composition",
            "The shares of each level of each attribute at each stage, with intervals. Labels of "
            "people are of how they are perceived, not of who they are.",
            _COMPOSITION,
            (_composition(card, row) for row in sheet.compositions),
        ),
        _table(
            "lineage",
            "What filters did: those that the rows had passed, and those simulated on them.",
            _LINEAGE,
            _lineage(sheet),
        ),
        _table(
            "samples",
            "What replays on a sample of the rows say of the whole set.",
            _SAMPLES,
            (s.model_dump() | {"left_out": "; ".join(s.left_out)} for s in sheet.samples),
        ),
        _table(
            "evidence",
            "The runs that all numbers are read from.",
            _RUNS,
            (run.model_dump() for run in sheet.evidence),
        ),
    )


def _table(name: str, about: str, columns: tuple[Column, ...], rows: Iterable[Row]) -> CardTable:
    """The columns that are described, of rows that may hold more or less."""
    cells = tuple({column.name: row.get(column.name) for column in columns} for row in rows)
    return CardTable(name, about, columns, cells)


def _composition(card: Card, row: CompositionRow) -> Row:
    """A row of the datasheet, with what its run says beside the share."""
    found = card.behind.estimate(row)
    known = {"n": found.n, "units": found.units, "method": found.method} if found else {}
    return {**row.model_dump(), "of": card.behind.base(row), **known}


def _lineage(sheet: DatasheetResult) -> Iterator[Row]:
    for recipe in sheet.lineage:
        head = recipe.model_dump(exclude={"steps"}) | {"of_sample": is_sampled(sheet, recipe)}
        if not recipe.steps:
            yield head
        for step in recipe.steps:
            own = step.model_dump(exclude={"id", "title", "source"})
            yield (
                head
                | own
                | {
                    "step": step.id,
                    "step_title": step.title,
                    "step_source": step.source,
                }
            )


def write_card_tables(tables: tuple[CardTable, ...], folder: Path) -> None:
    """Write each as ``folder/tables/NAME.csv`` and ``.parquet``, also those without rows."""
    out = folder / FOLDER
    write_csv({t.name: (" ".join(c.name for c in t.columns), t.rows) for t in tables}, out)
    for table in tables:
        schema = {column.name: _POLARS[column.kind] for column in table.columns}
        write_parquet(pl.DataFrame(list(table.rows), schema=schema), out / f"{table.name}.parquet")
