"""``summary.png`` and ``summary.pdf``: the datasheet on one page, drawn by matplotlib.

One page of facts for somebody who decides whether to use a data set, as the Data Nutrition Project
(https://datanutrition.org) proposes; the design is our own. What nobody stated stands there as
"not stated".
"""

from __future__ import annotations

import io
import warnings
from itertools import zip_longest

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from laion_probe.datasheet_result import DatasheetResult, Lineage
from laion_probe.questions.card import ASKED, Card
from laion_probe.render import text
from laion_probe.render.card_errors import PERCEIVED
from laion_probe.render.card_pen import INK, MEASURED, MUTED, WARN, Pen
from laion_probe.render.card_shares import draw_shares
from laion_probe.render.card_words import kept_share, kept_words, languages_words, published_words
from laion_probe.render.figures import STYLE

__all__ = ["summary_page"]

_BOTH, _PERSON, _OPEN = "#5b7ea6", "#b9c9dc", "#ffffff"
_PART = "part"  # half a square
_NOT_STATED = "not stated"
#: What is said to be missing on top of the page, and not again below.
_ABOVE = frozenset(words for key, words in ASKED.items() if key != "citation")

# Inches of A4: margins, where the right-hand column begins, heights of a recipe and of what else
# comes below the shares.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _HALF = 8.27, 11.69, 0.6, 7.67, 4.35
_RECIPE, _BELOW = 0.4, 3.1
_RECIPES_SHOWN = 4


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


def _draw(card: Card) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(_HEIGHT, 0)
    axes.set_axis_off()
    top = Pen(axes, _LEFT, _RIGHT, 0.5)
    _heading(top, card)
    left = Pen(axes, _LEFT, _HALF - 0.25, top.y)
    _facts(left, card)
    right = Pen(axes, _HALF, _RIGHT, top.y)
    _answered(right, card.datasheet)
    below = Pen(axes, _LEFT, _RIGHT, max(left.y, right.y))
    recipes = min(len(card.datasheet.lineage), _RECIPES_SHOWN)
    draw_shares(below, card, _HEIGHT - _BELOW - _RECIPE * recipes)
    _filters(below, card)
    _limits(below, card)
    _foot(axes, card)
    return figure


def _heading(pen: Pen, card: Card) -> None:
    pen.write(_title(card), size=17, lines=2, bold=True)
    about = card.datasheet.about.description
    pen.write(about or "Nobody has described it.", size=9, lines=3, color=INK if about else WARN)
    if card.datasheet.data_note:
        pen.write(card.datasheet.data_note, size=9, lines=2, color=WARN, bold=True)


def _facts(pen: Pen, card: Card) -> None:
    about, sheet = card.datasheet.about, card.datasheet
    pen.head("What it is")
    rows = "not known" if sheet.n_rows is None else text.count(sheet.n_rows)
    facts = (
        ("Rows", rows),
        ("Licence", card.licence.given if card.licence else _NOT_STATED),
        ("Made by", ", ".join(maker.name for maker in card.creators) or _NOT_STATED),
        ("Languages", languages_words(card) or _NOT_STATED),
        ("Version", about.version.strip() or _NOT_STATED),
        ("Published", published_words(card) or _NOT_STATED),
        ("Homepage", card.url or _NOT_STATED),
        ("Runs behind it", _runs(sheet)),
    )
    for name, value in facts:
        beside = Pen(pen.axes, pen.x + 1.15, pen.right, pen.y)
        pen.write(name, color=MUTED)
        beside.write(value, lines=3, color=WARN if value == _NOT_STATED else INK)
        pen.y = max(pen.y, beside.y)


def _runs(sheet: DatasheetResult) -> str:
    sampled = sum(not run.full for run in sheet.evidence)
    kinds = ", ".join(dict.fromkeys(run.kind for run in sheet.evidence))
    of_samples = f", {sampled} of samples" if sampled else ""
    return f"{len(sheet.evidence)} ({kinds}{of_samples})" if sheet.evidence else "none"


def _answered(pen: Pen, sheet: DatasheetResult) -> None:
    """A square for each question, by who answered it."""
    pen.head("Questions of its datasheet")
    faces = {
        "measured": MEASURED,
        "part": _PART,
        "both": _BOTH,
        "person": _PERSON,
        "unanswered": _OPEN,
    }
    most = max((len(section.answers) for section in sheet.sections), default=1)
    step = min(0.125, (pen.right - pen.x - 1.65) / max(1, most))
    for section in sheet.sections:
        name = text.clean(section.id.capitalize())[:16]
        pen.axes.text(pen.x, pen.y, name, fontsize=8.5, va="top", color=MUTED)
        for place, answer in enumerate(section.answers):
            x = pen.x + 1.05 + place * step
            status = "part" if answer.in_part else answer.status
            _square(pen.axes, x, pen.y + 0.02, step - 0.015, faces[status])
        whole = section.n_answered - section.n_in_part
        pen.axes.text(
            pen.right,
            pen.y,
            f"{whole} of {len(section.answers)}",
            fontsize=8.5,
            va="top",
            ha="right",
            color=INK if whole else WARN,
        )
        pen.y += 0.2
    pen.y += 0.05
    words = {
        "measured": "by data",
        "part": "in part",
        "both": "by both",
        "person": "by a person",
        "unanswered": "open",
    }
    x = pen.x
    for state, said in words.items():
        _square(pen.axes, x, pen.y + 0.015, 0.11, faces[state])
        pen.axes.text(x + 0.15, pen.y, said, fontsize=7.5, va="top", color=MUTED)
        x += 0.25 + 0.056 * len(said)
    pen.y += 0.2


def _square(axes: Axes, x: float, y: float, side: float, face: str) -> None:
    """A square of one colour; of ``_PART``, half of one."""
    whole = _OPEN if face == _PART else face
    if face == _PART:
        half = [(x, y), (x, y + side), (x + side, y + side)]
        axes.add_patch(Polygon(half, facecolor=MEASURED, linewidth=0, zorder=2))
    axes.add_patch(Rectangle((x, y), side, side, facecolor=whole, edgecolor=MUTED, linewidth=0.6))


def _filters(pen: Pen, card: Card) -> None:
    sheet = card.datasheet
    if not sheet.lineage:
        return
    pen.head("Filters")
    for recipe in sheet.lineage[:_RECIPES_SHOWN]:
        _recipe(pen, card, recipe)
    if len(sheet.lineage) > _RECIPES_SHOWN:
        pen.write(
            f"{len(sheet.lineage) - _RECIPES_SHOWN} more: tables/lineage.csv.",
            size=7.5,
            color=MUTED,
        )


def _recipe(pen: Pen, card: Card, recipe: Lineage) -> None:
    """What is kept as a bar; where nothing can be seen, a hatched one of no length."""
    start, end, y = pen.x, pen.x + 1.2, pen.y + 0.02
    share = kept_share(card, recipe)
    pen.axes.add_patch(
        Rectangle(
            (start, y),
            end - start,
            0.11,
            facecolor="none",
            edgecolor=MUTED,
            linewidth=0.6,
            hatch="////" if share is None else "",
        )
    )
    if share is not None:
        kept = (end - start) * share
        pen.axes.add_patch(Rectangle((start, y), kept, 0.11, facecolor=MEASURED, linewidth=0))
    how = "these rows had passed it" if recipe.already else "simulated on these rows"
    beside = Pen(pen.axes, end + 0.15, pen.right, pen.y)
    beside.write(f"{recipe.title} ({how}): {kept_words(card, recipe)}", lines=3)
    pen.y = max(beside.y, pen.y + 0.2)


def _limits(pen: Pen, card: Card) -> None:
    """What else nobody stated, and of each run in turn what it cannot say, as the page takes it."""
    said = _in_turn(card.datasheet)
    missing = [words for words in card.missing if words not in _ABOVE]
    if not (said or missing):
        return
    pen.head("What this does not say")
    if missing:
        pen.write(f"Nobody has stated {text.join(missing)}.", lines=2, color=WARN)
    for n, words in enumerate(said):
        if pen.y > _HEIGHT - 1.25:
            more = f"{len(said) - n} more of these are in the datasheet."
            pen.write(more, size=7.5, color=MUTED)
            break
        pen.axes.text(pen.x, pen.y, "–", fontsize=8.5, va="top", color=MUTED)
        beside = Pen(pen.axes, pen.x + 0.15, pen.right, pen.y)
        beside.write(words, lines=2)
        pen.y = beside.y


def _in_turn(sheet: DatasheetResult) -> list[str]:
    """What the runs cannot say, each with its run: the first of each before the second of any."""
    runs = {run.id for run in sheet.evidence}
    by_run: dict[str, list[str]] = {}
    for words in sheet.cannot_say:
        run = words.partition(": ")[0]
        by_run.setdefault(run if run in runs else "", []).append(words)
    turns = zip_longest(*by_run.values(), fillvalue="")
    return list(dict.fromkeys(words for turn in turns for words in turn if words))


def _foot(axes: Axes, card: Card) -> None:
    sheet = card.datasheet
    levels = sorted({100 * row.interval_level for row in sheet.compositions})
    lines = (
        f"Lines: {text.join([f'{x:g} %' for x in levels])} intervals of sampling, where there are "
        "any; pale bands, “errors allow”: what errors of the labels, as measured, allow. "
        f"{PERCEIVED} "
    )
    pen = Pen(axes, _LEFT, _RIGHT, _HEIGHT - 0.76)
    pen.write(
        (lines if levels else "") + f"Drawn by laion-probe {sheet.version} from datasheet.json.",
        size=7,
        lines=4,
        color=MUTED,
    )
