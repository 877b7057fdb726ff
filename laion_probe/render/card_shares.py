"""The shares of a composition on the summary's page: dots with intervals, and what they are of."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from laion_probe.datasheet_result import CompositionRow
from laion_probe.questions.card import Card
from laion_probe.questions.card_evidence import Headline
from laion_probe.render import text
from laion_probe.render.card_checked import MANY
from laion_probe.render.card_errors import errors_in_brief, headlines
from laion_probe.render.card_left_out import left_out_share
from laion_probe.render.card_pen import LINE, MEASURED, MUTED, WARN, Pen
from laion_probe.render.card_words import (
    Group,
    compositions,
    data_stages,
    is_generated,
    level_words,
    percent_words,
    range_words,
    share_words,
    stage_title,
)
from laion_probe.render.datasheet_blocks import attribute_words, level_of

__all__ = ["draw_shares"]

_ROW, _LEVELS_SHOWN = 0.18, 4
_BETWEEN = 0.3  # of two columns
_BAND = {"o": "#c3d3e4", "D": "#efcdbf"}


@dataclass(frozen=True)
class _Mark:
    """A share to be drawn; ``band`` is the range that measured errors allow, where there is one."""

    share: float | None
    low: float | None
    high: float | None
    said: str
    generated: bool
    band: tuple[float, float] | None = None


def draw_shares(pen: Pen, card: Card, bottom: float) -> None:
    """As many groups as the page takes above ``bottom``, of pictures before captions."""
    sheet = card.datasheet
    groups = sorted(compositions(sheet.compositions), key=lambda g: g.stages == ("captions",))
    if not groups:
        return
    pen.head("Composition, as measured")
    half = (pen.right - pen.x - _BETWEEN) / 2
    n, n_groups = 0, len(groups)
    while groups:
        beside = [g for g in groups[:2] if len(_stages(g)) == 1]
        row = beside if len(beside) == 2 else groups[:1]
        pens = [Pen(pen.axes, pen.x, pen.right, pen.y) for _ in row]
        if len(row) == 2:
            pens[0].right, pens[1].x = pen.x + half, pen.right - half
        heights = [_height(own, card, group) for own, group in zip(pens, row, strict=True)]
        if n and pen.y + max(heights) > bottom:
            break
        n += sum(_draw(own, card, group) for own, group in zip(pens, row, strict=True))
        pen.y = max(own.y for own in pens)
        groups = groups[len(row) :]
    if n < len(sheet.compositions):
        total = text.count(len(sheet.compositions))
        said = (
            f"Here: {n} of {total} shares (all: tables/composition.csv), the largest of "
            f"{n_groups - len(groups)} of {n_groups} groups."
        )
        left = dict.fromkeys(attribute_words(g.attribute, g.concept) for g in groups)
        said += f" Not on this page: {'; '.join(left)}." if left else ""
        note = Pen(pen.axes, pen.x, pen.right - 0.4, pen.y)  # a name may be wider than most words
        note.write(said, size=7.5, lines=4, color=MUTED)
        pen.y = note.y


def _height(pen: Pen, card: Card, group: Group) -> float:
    """How much of the page a group takes in the pen's column, in inches: it is drawn aside."""
    aside = Pen(Figure().add_axes((0, 0, 1, 1)), pen.x, pen.right, 0)
    _draw(aside, card, group)
    return aside.y


def _draw(pen: Pen, card: Card, group: Group) -> int:
    """A group at the pen; gives the number of shares that are shown."""
    stages = _stages(group)
    found = {s: h for s, h in headlines(group, card.behind).items() if s in stages}
    _heading(pen, card, group, stages)
    n = 0
    for level in _largest(group, stages[0]):
        rows = [group.cells[s, level] for s in stages if (s, level) in group.cells]
        _row(pen, level_of(group.attribute, level), [_mark(row) for row in rows], len(stages))
        n += len(rows)
    if found:
        _headlines(pen, group, found, len(stages))
    for x, said in zip(_scale(pen), ("0 %", "100 %"), strict=True):
        pen.axes.text(x, pen.y - 0.03, said, fontsize=7, va="top", ha="center", color=MUTED)
    pen.y += 0.17
    return n


def _headlines(pen: Pen, group: Group, found: dict[str, Headline], n_stages: int) -> None:
    """First the range that errors allow, then the share as read, and what that leaves out."""
    first = next(iter(found.values()))
    level = level_words(first.level)
    of = text.join([text.count(h.share.n) for h in found.values()])
    shares = [left_out_share(group, s, h) for s, h in found.items()]
    out = text.join(["not known" if x is None else percent_words(x) for x in shares])
    pen.write(
        f"Of the {of} read as {level} or {level_words(first.against)} (neither: {out})",
        size=7.5,
        lines=3,
        color=WARN if any(x is None or x > MANY for x in shares) else MUTED,
    )
    if any(h.errors is not None for h in found.values()):
        ranges = [_range(stage, h) for stage, h in found.items()]
        _row(pen, f"{level}: errors allow", ranges, n_stages)
    read = [_headline(stage, h) for stage, h in found.items()]
    _row(pen, f"{level}: labels alone", read, n_stages)


def _scale(pen: Pen) -> tuple[float, float]:
    """Where 0 and 100 % are: narrower in a column of two."""
    wide = pen.right - pen.x
    return (pen.x + 1.75, pen.right - 2.75) if wide > 5 else (pen.x + 1.3, pen.right - 1.15)


def _stages(group: Group) -> tuple[str, ...]:
    """One stage of the data, and what was generated, where it was."""
    return data_stages(group)[:1] + tuple(s for s in group.stages if is_generated(s))[:1]


def _largest(group: Group, stage: str) -> list[str]:
    """The levels with the largest shares at a stage."""

    def size(level: str) -> float:
        row = group.cells.get((stage, level))
        return -1 if row is None or row.share is None else row.share

    return sorted(group.levels, key=size, reverse=True)[:_LEVELS_SHOWN]


def _heading(pen: Pen, card: Card, group: Group, stages: tuple[str, ...]) -> None:
    """What was read, and below it of how many pictures and by whom."""
    pen.write(attribute_words(group.attribute, group.concept), lines=2, bold=True)
    rows = {stage: row for (stage, _), row in group.cells.items() if stage in stages}
    sizes = []
    for stage, row in rows.items():
        found = card.behind.estimate(row)
        mark = ("diamonds" if is_generated(stage) else "dots") if len(rows) > 1 else ""
        beside = [] if found is None else [text.count(found.n)]
        beside += [mark] if mark else []
        sizes.append(": ".join(filter(None, (stage_title(card, row), ", ".join(beside)))))
    base = card.behind.base(next(iter(rows.values())))
    pen.write(
        f"Of {base} ({'; '.join(sizes)}). By {group.labels}; "
        f"{errors_in_brief(group, card.behind)}.",
        size=7.5,
        lines=4,
        color=MUTED,
    )


def _mark(row: CompositionRow) -> _Mark:
    return _Mark(row.share, row.low, row.high, share_words(row), is_generated(row.stage))


def _headline(stage: str, h: Headline) -> _Mark:
    said = share_words(h.share)
    return _Mark(h.share.value, h.share.low, h.share.high, said, is_generated(stage))


def _range(stage: str, h: Headline) -> _Mark:
    """What errors allow, as a band without a middle."""
    if h.errors is None or h.errors.low is None or h.errors.high is None:
        return _Mark(None, None, None, "not measured", is_generated(stage))
    band = h.errors.low, h.errors.high
    return _Mark(None, None, None, range_words(h.errors), is_generated(stage), band)


def _row(pen: Pen, said: str, marks: list[_Mark], n_stages: int) -> None:
    """A line with its marks; those of two stages stand a little apart."""
    start, end = _scale(pen)
    label = Pen(pen.axes, pen.x, start - 0.1, pen.y)
    label.write(said, size=8, lines=4, color=MUTED)
    middle = pen.y + 0.07
    pen.axes.plot([start, end], [middle, middle], color=LINE, linewidth=0.8, zorder=1)

    def at(share: float) -> float:
        return start + (end - start) * min(1, max(0, share))

    for mark in marks:
        second = n_stages > 1 and mark.generated
        y = middle + (0.03 if second else -0.03 if n_stages > 1 else 0)
        shape, color = ("D", WARN) if mark.generated else ("o", MEASURED)
        if mark.band is not None:
            left, right = map(at, mark.band)
            pen.axes.add_patch(
                Rectangle((left, y - 0.03), right - left, 0.06, facecolor=_BAND[shape], linewidth=0)
            )
        if mark.low is not None and mark.high is not None:
            ends = [at(mark.low), at(mark.high)]
            pen.axes.plot(ends, [y, y], color=color, linewidth=1.8, zorder=2)
        if mark.share is not None:
            pen.axes.plot([at(mark.share)], [y], shape, color=color, markersize=4, zorder=3)
        x = pen.right if second or n_stages == 1 else pen.right - 1.35
        pen.axes.text(
            x, pen.y, mark.said, fontsize=8, va="top", ha="right", color=WARN if second else None
        )
    pen.y = max(pen.y + _ROW, label.y)
