"""``datasheet.md`` and ``datasheet.html``: a datasheet as people read it.

Everything is drawn from the `DatasheetResult`. Each number is followed to the file and the place
that it stands at; nothing is estimated here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from laion_probe.datasheet_result import (
    CompositionRow,
    DatasheetResult,
    Evidence,
    Section,
    Statement,
)
from laion_probe.questions.datasheet_files import write_file
from laion_probe.render.datasheet_markdown import datasheet_markdown
from laion_probe.render.geometry import axis_end
from laion_probe.render.html import environment, page
from laion_probe.render.text import attribute_name, clean, show
from laion_probe.results import Estimate

__all__ = ["datasheet_html", "render_datasheet"]

_ROWS_SHOWN = 60  # of a block of compositions
_LINK_SHOWN = 60  # characters of a number, or of words, that are a link


@dataclass(frozen=True)
class ShownSection:
    """A section with how its questions were answered, in percent of them."""

    section: Section
    number: int
    n_measured: int
    n_person: int  # only by a person
    bars: tuple[tuple[str, str, str], ...]  # class, x and width


@dataclass(frozen=True)
class Block:
    """The compositions of one attribute in one run: each row with its interval."""

    title: str
    evidence: str
    file: str
    labels: tuple[str, ...]
    end: float  # of the axis
    rows: list[tuple[CompositionRow, Estimate, str]]  # with its share in words
    n_more: int


def render_datasheet(result: DatasheetResult, folder: Path) -> None:
    """Write ``datasheet.md`` and ``datasheet.html`` into the folder of a datasheet.

    The same result gives the same bytes every time.
    """
    result = DatasheetResult.from_json(result.to_json())
    markdown, html = datasheet_markdown(result), datasheet_html(result)
    write_file(folder / "datasheet.md", markdown)
    write_file(folder / "datasheet.html", html)


def datasheet_html(result: DatasheetResult) -> str:
    """The datasheet as one HTML page that asks the network for nothing."""
    files = {e.id: e.file for e in result.evidence}
    env = environment()
    env.globals.update(said=lambda statement: _said(statement, files))
    values = {
        "r": result,
        "name": result.about.title or result.about.name or "An image-text data set",
        "sections": [_shown(i, s) for i, s in enumerate(result.sections, 1)],
        "blocks": _blocks(result),
        "files": files,
    }
    return page(env, "datasheet.html.j2", values)


def _said(statement: Statement, files: dict[str, str]) -> Markup:
    """A statement whose numbers are links to the file that they stand in."""
    parts = re.split(r"(\{\d+\}|\{\{|\}\})", statement.text)
    return Markup("").join(_part(part, statement, files) for part in parts)


def _part(part: str, statement: Statement, files: dict[str, str]) -> Markup:
    if part in ("{{", "}}"):
        return escape(part[0])
    if not re.fullmatch(r"\{\d+\}", part):
        return escape(clean(part))
    number = statement.numbers[int(part[1:-1])]
    file, shown = files[number.evidence], clean(number.shown)
    before, link = Markup(""), shown
    if len(shown) > _LINK_SHOWN:  # a sentence
        before, link = escape(shown) + " ", f"[{number.evidence}]"
    return before + Markup(
        '<a class="fact" href="{}" title="{}#{}" data-pointer="{}" data-evidence="{}">{}</a>'
    ).format(file, file, clean(number.pointer), number.pointer, number.evidence, link)


def _shown(number: int, section: Section) -> ShownSection:
    status = [a.status for a in section.answers]
    measured = sum(s in ("measured", "both") for s in status)
    person = status.count("person")
    n = len(status)
    widths = (("measured", 0, measured), ("person", measured, person))
    return ShownSection(
        section=section,
        number=number,
        n_measured=measured,
        n_person=person,
        bars=tuple((c, f"{100 * x / n:.2f}%", f"{100 * w / n:.2f}%") for c, x, w in widths if w),
    )


def _blocks(result: DatasheetResult) -> list[Block]:
    """Compositions by run, concept and attribute, in the order of the result."""
    evidence = {e.id: e for e in result.evidence}
    found: dict[tuple[str, str, str], list[CompositionRow]] = {}
    for row in result.compositions:
        found.setdefault((row.evidence, row.concept, row.attribute), []).append(row)
    return [_block(key, rows, evidence[key[0]]) for key, rows in found.items()]


def _block(key: tuple[str, str, str], rows: Sequence[CompositionRow], evidence: Evidence) -> Block:
    _, concept, attribute = key
    of = f", concept “{concept}”" if concept else ""
    name, _, how = attribute.partition(":")
    said = attribute_name(name).replace("-", " ") + (f" ({how})" if how else "")
    return Block(
        title=f"{said[:1].upper()}{said[1:]}{of}",
        evidence=evidence.id,
        file=evidence.file,
        labels=tuple(dict.fromkeys(r.labels for r in rows)),
        end=axis_end([r.high if r.high is not None else r.share for r in rows]),
        rows=[(r, _estimate(r), _share(r, evidence.full)) for r in rows[:_ROWS_SHOWN]],
        n_more=max(0, len(rows) - _ROWS_SHOWN),
    )


def _share(row: CompositionRow, full: bool) -> str:
    """A share in words; of a count of everything nothing is said of an interval."""
    if row.share is None:
        return "not defined"
    shown = show(_estimate(row), "share")
    exact = row.low == row.high and (full or row.low is not None)
    return shown.value if exact else f"{shown.value} {shown.interval}".strip()


def _estimate(row: CompositionRow) -> Estimate:
    """A row as the estimate that it was copied from, for the macros of reports."""
    return Estimate(
        value=row.share,
        low=row.low,
        high=row.high,
        level=row.interval_level,
        n=row.count or 0,
        units=0,
        method=row.labels,
    )
