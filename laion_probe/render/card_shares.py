"""The shares of a composition on the summary's page: dots with intervals, and what they are of."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.patches import Rectangle

from laion_probe.datasheet_result import CompositionRow
from laion_probe.questions.card import Card
from laion_probe.questions.card_evidence import Headline
from laion_probe.render import text
from laion_probe.render.card_errors import errors_in_brief, headlines
from laion_probe.render.card_pen import LINE, MEASURED, MUTED, WARN, Pen
from laion_probe.render.card_words import (
    Group,
    compositions,
    data_stages,
    is_generated,
    level_words,
    share_words,
    stage_title,
)

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
    n = 0
    while groups:
        beside = [g for g in groups[:2] if len(_stages(g)) == 1]
        row = beside if len(beside) == 2 else groups[:1]
        if n and pen.y + max(_height(card, group, len(row)) for group in row) > bottom:
            break
        pens = [Pen(pen.axes, pen.x, pen.right, pen.y) for _ in row]
        if len(row) == 2:
            pens[0].right, pens[1].x = pen.x + half, pen.right - half
        n += sum(_draw(own, card, group) for own, group in zip(pens, row, strict=True))
        pen.y = max(own.y for own in pens)
        groups = groups[len(row) :]
    if n < len(sheet.compositions):
        total = text.count(len(sheet.compositions))
        said = f"{n} of {total} shares, of each group the largest; all: tables/composition.csv."
        pen.write(said, size=7.5, color=MUTED)


def _height(card: Card, group: Group, n_columns: int) -> float:
    """About how much of the page a group takes, in inches."""
    rows = len(_largest(group, _stages(group)[0])) + bool(headlines(group, card.behind)) + 1
    return _ROW * rows + (1.1 if n_columns == 2 else 0.65)


def _draw(pen: Pen, card: Card, group: Group) -> int:
    """A group at the pen; gives the number of shares that are shown."""
    stages = _stages(group)
    found = {s: h for s, h in headlines(group, card.behind).items() if s in stages}
    _heading(pen, card, group, stages)
    n = 0
    for level in _largest(group, stages[0]):
        rows = [group.cells[s, level] for s in stages if (s, level) in group.cells]
        _row(pen, level_words(level), [_mark(row) for row in rows], len(stages))
        n += len(rows)
    if found:
        first = next(iter(found.values()))
        of = text.join([text.count(h.share.n) for h in found.values()])
        either = f"{level_words(first.level)} or {level_words(first.against)}"
        said = f"{level_words(first.level)}, of the {of} read as {either}"
        _row(pen, said, [_headline(s, h) for s, h in found.items()], len(stages))
    for x, said in zip(_scale(pen), ("0 %", "100 %"), strict=True):
        pen.axes.text(x, pen.y - 0.03, said, fontsize=7, va="top", ha="center", color=MUTED)
    pen.y += 0.17
    return n


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
    name = text.attribute_name(group.attribute)
    pen.write(f"{group.concept}: {name}" if group.concept else name, bold=True)
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
    ends = (h.errors.low, h.errors.high) if h.errors else (None, None)
    band = None if ends[0] is None or ends[1] is None else (ends[0], ends[1])
    said = share_words(h.share)
    return _Mark(h.share.value, h.share.low, h.share.high, said, is_generated(stage), band)


def _row(pen: Pen, said: str, marks: list[_Mark], n_stages: int) -> None:
    """A line with its marks; those of two stages stand a little apart."""
    start, end = _scale(pen)
    label = Pen(pen.axes, pen.x, start - 0.1, pen.y)
    label.write(said, size=8, lines=3, color=MUTED)
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
