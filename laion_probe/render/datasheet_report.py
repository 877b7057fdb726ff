"""``datasheet.md`` and ``datasheet.html``: a datasheet as people read it.

Everything is drawn from the `DatasheetResult`. Each number is followed to the file and the place
that it stands at; nothing is estimated here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from laion_probe.datasheet_result import DatasheetResult, Section, Statement
from laion_probe.questions.datasheet_files import write_file
from laion_probe.render.datasheet_blocks import (
    blocks,
    brackets_words,
    left_words,
    level_of,
    size_words,
    stage_of,
)
from laion_probe.render.datasheet_markdown import datasheet_markdown
from laion_probe.render.html import environment, page
from laion_probe.render.text import clean

__all__ = ["datasheet_html", "render_datasheet"]

_LINK_SHOWN = 60  # characters of a number, or of words, that are a link


@dataclass(frozen=True)
class ShownSection:
    """A section with how its questions were answered, in percent of them."""

    section: Section
    number: int
    bars: tuple[tuple[str, str, str], ...]  # class, x and width


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
    env.globals.update(
        said=lambda statement: _said(statement, files),
        left=lambda one: left_words(one, result.sample_of(one)),
        sample_of=result.sample_of,
        stage_of=stage_of,
        size_words=size_words,
        level_of=level_of,
    )
    values = {
        "r": result,
        "name": result.about.title or result.about.name or "An image-text data set",
        "sections": [_shown(i, s) for i, s in enumerate(result.sections, 1)],
        "blocks": blocks(result),
        "brackets": brackets_words(result),
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
    whole, part = section.n_measured - section.n_in_part, section.n_in_part
    n = len(section.answers)
    widths = (
        ("measured", 0, whole),
        ("part", whole, part),
        ("person", whole + part, section.n_person),
    )
    return ShownSection(
        section=section,
        number=number,
        bars=tuple((c, f"{100 * x / n:.2f}%", f"{100 * w / n:.2f}%") for c, x, w in widths if w),
    )
