"""``model-card.md``: a section for the model card of the generator that a run compared.

It follows "Bias, Risks, and Limitations" of the Hugging Face Hub's model cards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import quote

from laion_probe.datasheet_result import DatasheetResult
from laion_probe.questions.card import Card
from laion_probe.render import text
from laion_probe.render.card_markdown import md, table
from laion_probe.render.card_words import (
    Group,
    compositions,
    data_stages,
    is_generated,
    level_words,
    share_words,
    stage_words,
)

__all__ = ["model_card"]


def model_card(card: Card) -> str:
    """The section as Markdown, or empty where no generator was compared."""
    sheet = card.datasheet
    if not sheet.generators:
        return ""
    names = text.join([md(name) for name in sheet.generators])
    data = md(card.title) or "the data set of this datasheet"
    shown = [
        group
        for group in compositions(sheet.compositions)
        if any(is_generated(stage) for stage in group.stages)
    ]
    parts = [
        "## Bias, Risks, and Limitations",
        f"> {md(sheet.data_note)}" if sheet.data_note else "",
        f"What {names} drew was compared with pictures of {data}. Attributes of people are how "
        "they are perceived, not who they are; intervals are of sampling alone unless the line "
        "above a table names raters. That shares differ does not say which part of the data, or of "
        "the training, makes them differ. Links are relative to the folder of the datasheet.",
        *_tables(sheet, shown),
    ]
    if not shown:
        parts.append("No composition of generated pictures stands in this datasheet.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(sheet: DatasheetResult, groups: Iterable[Group]) -> Iterator[str]:
    """Of each group what was generated, beside the pictures of its data."""
    for group in groups:
        name = text.attribute_name(group.attribute)
        yield f"### {md(f'{group.concept}: {name}' if group.concept else name)}"
        levels = sorted({100 * row.interval_level for row in group.cells.values()})
        ends = text.join([f"{level:g} %" for level in levels])
        yield f"Labels: {md(group.labels)}. In brackets: {ends} intervals, where there are any."
        yield _table(group, sheet)


def _table(group: Group, sheet: DatasheetResult) -> str:
    """Levels by stages, each share a link to the run that it stands in."""
    ours = [stage for stage in group.stages if is_generated(stage)]
    shown = (*data_stages(group), *ours)
    files = {run.id: run.file for run in sheet.evidence}

    def cell(stage: str, level: str) -> str:
        row = group.cells.get((stage, level))
        if row is None:
            return ""
        said = _link(share_words(row), files.get(row.evidence, ""), row.pointer)
        return said if row.count is None else f"{said}, n = {text.count(row.count)}"

    return table(
        ("", *(md(stage_words(stage)) for stage in shown)),
        ((md(level_words(lv)), *(cell(stage, lv) for stage in shown)) for lv in group.levels),
    )


def _link(shown: str, file: str, pointer: str) -> str:
    """A number as a link to the file that it stands in, with its place there as the title."""
    if not file:
        return md(shown)
    where = escape(text.clean(pointer)).replace("\\", "&#92;").replace("|", "&#124;")
    return f'[{md(shown)}]({quote(file)} "{where}")'
