"""``summary.png`` and ``summary.pdf``: the datasheet on one page, drawn by matplotlib.

One page of facts for somebody who decides whether to use a data set, as the Data Nutrition Project
(https://datanutrition.org) proposes; the design is our own. What nobody stated stands there as
"not stated".
"""

from __future__ import annotations

import io
import textwrap
import warnings
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from laion_probe.datasheet_result import CompositionRow, DatasheetResult, Lineage
from laion_probe.questions.card import Card
from laion_probe.render import text
from laion_probe.render.card_words import (
    Group,
    compositions,
    data_stages,
    is_generated,
    kept_words,
    level_words,
    share_words,
    stage_words,
)
from laion_probe.render.figures import STYLE

__all__ = ["summary_page"]

_INK, _MUTED, _LINE, _WARN = "#1d1c1a", "#5d5a53", "#d8d4cc", "#a03c14"
_MEASURED, _BOTH, _PERSON, _OPEN = "#1f4f82", "#5b7ea6", "#b9c9dc", "#ffffff"
_NOT_STATED = "not stated"

# Inches of A4: margins, where the right-hand column begins, heights of a line and of what comes
# below the shares.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _HALF = 8.27, 11.69, 0.6, 7.67, 4.35
_SCALE = (3.2, 5.7)  # where 0 and 100 % are
_ROW, _RECIPE, _BELOW = 0.175, 0.4, 3.0
_LEVELS_SHOWN, _RECIPES_SHOWN, _LIMITS_SHOWN = 4, 4, 6


def summary_page(card: Card) -> dict[str, bytes]:
    """The page as the contents of ``summary.png`` and ``summary.pdf``.

    The same datasheet gives the same bytes. Scripts that matplotlib's typeface lacks are boxes.
    """
    with matplotlib.rc_context({**STYLE, "pdf.fonttype": 42}):
        figure = _draw(card)
        return {
            "summary.png": _saved(figure, "png", {"Software": None}),
            "summary.pdf": _saved(
                figure,
                "pdf",
                {"CreationDate": None, "Creator": None, "Producer": None, "Title": _title(card)},
            ),
        }


def _saved(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def _title(card: Card) -> str:
    return text.clean(card.title) or "A data set without a name"


@dataclass
class _Pen:
    """Writes down a column; ``y`` is where the next line goes, in inches from the top."""

    axes: Axes
    x: float
    right: float
    y: float

    def write(
        self,
        words: str,
        *,
        size: float = 8.5,
        lines: int = 1,
        color: str = _INK,
        bold: bool = False,
    ) -> None:
        """Words over so many lines at most; what does not fit is cut with a sign that it is."""
        wide = (0.64 if bold else 0.53) * size / 72
        fits = max(8, int((self.right - self.x) / wide))
        for line in textwrap.wrap(
            text.clean(words), fits, max_lines=lines, placeholder=" …", break_on_hyphens=False
        ):
            self.axes.text(
                self.x,
                self.y,
                line,
                fontsize=size,
                color=color,
                va="top",
                fontweight="bold" if bold else "normal",
            )
            self.y += 1.42 * size / 72
        self.y += 0.02

    def head(self, words: str) -> None:
        """A heading with a rule above it."""
        self.y += 0.14
        self.axes.plot([self.x, self.right], [self.y, self.y], color=_INK, linewidth=0.8)
        self.y += 0.07
        self.write(words, size=10, bold=True)
        self.y += 0.04


def _draw(card: Card) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(_HEIGHT, 0)
    axes.set_axis_off()
    top = _Pen(axes, _LEFT, _RIGHT, 0.5)
    _heading(top, card)
    left = _Pen(axes, _LEFT, _HALF - 0.25, top.y)
    _facts(left, card)
    right = _Pen(axes, _HALF, _RIGHT, top.y)
    _answered(right, card.datasheet)
    below = _Pen(axes, _LEFT, _RIGHT, max(left.y, right.y))
    _shares(below, card.datasheet)
    _filters(below, card.datasheet)
    _limits(below, card)
    _foot(axes, card)
    return figure


def _heading(pen: _Pen, card: Card) -> None:
    pen.write(_title(card), size=17, lines=2, bold=True)
    about = card.datasheet.about.description
    pen.write(about or "Nobody has described it.", size=9, lines=3, color=_INK if about else _WARN)
    if card.datasheet.data_note:
        pen.write(card.datasheet.data_note, size=9, lines=2, color=_WARN, bold=True)


def _facts(pen: _Pen, card: Card) -> None:
    about, sheet = card.datasheet.about, card.datasheet
    pen.head("What it is")
    rows = "not known" if sheet.n_rows is None else text.count(sheet.n_rows)
    facts = (
        ("Rows", rows),
        ("Licence", card.licence.given if card.licence else _NOT_STATED),
        ("Made by", ", ".join(maker.name for maker in card.creators) or _NOT_STATED),
        ("Languages", ", ".join(card.languages) or _NOT_STATED),
        ("Version", about.version.strip() or _NOT_STATED),
        ("Published", about.date_published.strip() or _NOT_STATED),
        ("Homepage", card.url or _NOT_STATED),
        ("Runs behind it", _runs(sheet)),
    )
    for name, value in facts:
        beside = _Pen(pen.axes, pen.x + 1.15, pen.right, pen.y)
        pen.write(name, color=_MUTED)
        beside.write(value, lines=2, color=_WARN if value == _NOT_STATED else _INK)
        pen.y = max(pen.y, beside.y)


def _runs(sheet: DatasheetResult) -> str:
    sampled = sum(not run.full for run in sheet.evidence)
    kinds = ", ".join(dict.fromkeys(run.kind for run in sheet.evidence))
    of_samples = f", {sampled} of samples" if sampled else ""
    return f"{len(sheet.evidence)} ({kinds}{of_samples})" if sheet.evidence else "none"


def _answered(pen: _Pen, sheet: DatasheetResult) -> None:
    """A square for each question, by who answered it."""
    pen.head("Questions of its datasheet")
    faces = {"measured": _MEASURED, "both": _BOTH, "person": _PERSON, "unanswered": _OPEN}
    most = max((len(section.answers) for section in sheet.sections), default=1)
    step = min(0.125, (pen.right - pen.x - 1.65) / max(1, most))
    for section in sheet.sections:
        name = text.clean(section.id.capitalize())[:16]
        pen.axes.text(pen.x, pen.y, name, fontsize=8.5, va="top", color=_MUTED)
        for place, answer in enumerate(section.answers):
            x = pen.x + 1.05 + place * step
            _square(pen.axes, x, pen.y + 0.02, step - 0.015, faces[answer.status])
        pen.axes.text(
            pen.right,
            pen.y,
            f"{section.n_answered} of {len(section.answers)}",
            fontsize=8.5,
            va="top",
            ha="right",
            color=_INK if section.n_answered else _WARN,
        )
        pen.y += 0.2
    pen.y += 0.05
    words = {
        "measured": "by data",
        "both": "by both",
        "person": "by a person",
        "unanswered": "open",
    }
    for place, (status, said) in enumerate(words.items()):
        x = pen.x + 0.86 * place
        _square(pen.axes, x, pen.y + 0.015, 0.11, faces[status])
        pen.axes.text(x + 0.16, pen.y, said, fontsize=7.5, va="top", color=_MUTED)
    pen.y += 0.2


def _square(axes: Axes, x: float, y: float, side: float, face: str) -> None:
    axes.add_patch(Rectangle((x, y), side, side, facecolor=face, edgecolor=_MUTED, linewidth=0.6))


def _shares(pen: _Pen, sheet: DatasheetResult) -> None:
    """Dots with intervals, of pictures before captions, as many as the page takes."""
    groups = sorted(compositions(sheet.compositions), key=lambda g: g.stages == ("captions",))
    if not groups:
        return
    pen.head("Composition, as measured")
    bottom = _HEIGHT - _BELOW - _RECIPE * min(len(sheet.lineage), _RECIPES_SHOWN)
    n = 0
    for group in groups:
        rows = _largest(group)
        if n and pen.y + _ROW * (len(rows) + 1.5) > bottom:
            break
        _group(pen, group, rows)
        n += len(rows)
    for x, said in zip(_SCALE, ("0 %", "100 %"), strict=True):
        pen.axes.text(x, pen.y - 0.06, said, fontsize=7.5, va="top", ha="center", color=_MUTED)
    pen.y += 0.12
    if n < len(sheet.compositions):
        pen.write(
            f"{n} of {text.count(len(sheet.compositions))} shares, of each group the largest; all "
            "of them: tables/composition.csv.",
            size=7.5,
            color=_MUTED,
        )


def _largest(group: Group) -> list[CompositionRow]:
    """The largest levels at one stage of the data, each beside what was generated."""
    drawn = tuple(stage for stage in group.stages if is_generated(stage))
    stages = data_stages(group)[:1] + drawn[:1]

    def size(level: str) -> float:
        row = group.cells.get((stages[0], level))
        return -1 if row is None or row.share is None else row.share

    levels = sorted(group.levels, key=size, reverse=True)[:_LEVELS_SHOWN]
    cells = (group.cells.get((stage, level)) for level in levels for stage in stages)
    return [row for row in cells if row is not None]


def _group(pen: _Pen, group: Group, rows: list[CompositionRow]) -> None:
    stages = {row.stage for row in rows} - {"captions"}
    name = text.attribute_name(group.attribute)
    head = [f"{group.concept}: {name}" if group.concept else name]
    head += [stage_words(stage) for stage in stages if len(stages) == 1]
    pen.write(f"{', '.join(head)} ({group.labels})", bold=True)
    for row in rows:
        said = level_words(row.level)
        if len(stages) > 1:
            said += f", {stage_words(row.stage)}"
        _share(pen, row, said)
    pen.y += 0.06


def _share(pen: _Pen, row: CompositionRow, said: str) -> None:
    start, end = _SCALE
    middle = pen.y + 0.07
    _Pen(pen.axes, pen.x, start - 0.1, pen.y).write(said, size=8, color=_MUTED)
    pen.axes.plot([start, end], [middle, middle], color=_LINE, linewidth=0.8, zorder=1)
    color = _WARN if is_generated(row.stage) else _MEASURED
    if row.low is not None and row.high is not None:
        ends = [start + (end - start) * min(1, max(0, x)) for x in (row.low, row.high)]
        pen.axes.plot(ends, [middle, middle], color=color, linewidth=2.2, zorder=2)
    if row.share is not None:
        x = start + (end - start) * row.share
        mark = "D" if is_generated(row.stage) else "o"
        pen.axes.plot([x], [middle], mark, color=color, markersize=4.5, zorder=3)
    pen.axes.text(pen.right, pen.y, share_words(row), fontsize=8, va="top", ha="right")
    pen.y += _ROW


def _filters(pen: _Pen, sheet: DatasheetResult) -> None:
    if not sheet.lineage:
        return
    pen.head("Filters")
    for recipe in sheet.lineage[:_RECIPES_SHOWN]:
        _recipe(pen, recipe)
    if len(sheet.lineage) > _RECIPES_SHOWN:
        pen.write(
            f"{len(sheet.lineage) - _RECIPES_SHOWN} more: tables/lineage.csv.",
            size=7.5,
            color=_MUTED,
        )


def _recipe(pen: _Pen, recipe: Lineage) -> None:
    """What is kept as a bar; where nothing can be seen, a hatched one of no length."""
    start, end, y = pen.x, pen.x + 1.2, pen.y + 0.02
    known = recipe.n_before and recipe.n_after is not None
    pen.axes.add_patch(
        Rectangle(
            (start, y),
            end - start,
            0.11,
            facecolor="none",
            edgecolor=_MUTED,
            linewidth=0.6,
            hatch="" if known else "////",
        )
    )
    if recipe.n_before and recipe.n_after is not None:
        kept = (end - start) * recipe.n_after / recipe.n_before
        pen.axes.add_patch(Rectangle((start, y), kept, 0.11, facecolor=_MEASURED, linewidth=0))
    how = "these rows had passed it" if recipe.already else "simulated on these rows"
    beside = _Pen(pen.axes, end + 0.15, pen.right, pen.y)
    beside.write(f"{recipe.title} ({how}): {kept_words(recipe)}", lines=2)
    pen.y = max(beside.y, pen.y + 0.2)


def _limits(pen: _Pen, card: Card) -> None:
    sheet = card.datasheet
    cautions = (s.caution for x in sheet.sections for a in x.answers for s in a.measured)
    said = list(dict.fromkeys(words for words in (*sheet.cannot_say, *cautions) if words))
    if not (said or card.missing):
        return
    pen.head("What this does not say")
    if card.missing:
        pen.write(f"Nobody has stated {text.join(list(card.missing))}.", lines=2, color=_WARN)
    for words in said[:_LIMITS_SHOWN]:
        if pen.y > _HEIGHT - 0.95:
            break
        pen.axes.text(pen.x, pen.y, "–", fontsize=8.5, va="top", color=_MUTED)
        beside = _Pen(pen.axes, pen.x + 0.15, pen.right, pen.y)
        beside.write(words, lines=2)
        pen.y = beside.y


def _foot(axes: Axes, card: Card) -> None:
    sheet = card.datasheet
    levels = sorted({100 * row.interval_level for row in sheet.compositions})
    lines = (
        f"Lines: {text.join([f'{x:g} %' for x in levels])} intervals, where there are any; "
        "diamonds: generated. "
    )
    pen = _Pen(axes, _LEFT, _RIGHT, _HEIGHT - 0.62)
    pen.write(
        (lines if levels else "")
        + "Attributes of people are how they are perceived, not who they are. Drawn by laion-probe "
        f"{sheet.version} from datasheet.json.",
        size=7.5,
        lines=2,
        color=_MUTED,
    )
