"""A recipe as a flow of rows, drawn from top to bottom by matplotlib without pyplot.

The band is as wide as the rows that are left; what a step removes leaves it to the right, hatched
by what becomes of it. A step whose removal has no number is a grey gate without a width.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from laion_probe.render.figures import STYLE, svg_text
from laion_probe.render.text import NBSP, clean, count

__all__ = ["Flow", "FlowStep", "flow_svg", "flow_words"]

How = Literal["dropped", "routed", "dropped or routed", "gate", "rewrite"]

_INK, _MUTED, _BAND, _GONE, _GATE = "#1d1c1a", "#5d5a53", "#b9c9dc", "#a03c14", "#e8e6e1"
_HATCHES: dict[How, str] = {"dropped": "////", "routed": "---", "dropped or routed": "xx"}

# Inches: the band, and the words beside it, which begin early enough to be seen on a phone.
_WIDTH, _BAND_AT, _BAND_WIDTH, _WORDS_AT = 5.1, 0.1, 1.3, 1.95
_SLANT, _LINE, _ROOM, _HEAD = 0.25, 0.16, 0.26, 0.4
_CHARACTERS, _LINES = 42, 4  # of a title, and of the words


@dataclass(frozen=True)
class FlowStep:
    """One step: rows before and after it, what becomes of the rest, and how that is said.

    ``words`` hold the number and its unit, or for a gate why there is none.
    """

    title: str
    n_before: int
    n_after: int
    how: How
    words: str


@dataclass(frozen=True)
class Flow:
    """A recipe from the pool of ``n`` rows to those kept; ``kept`` says how many these are."""

    title: str
    n: int
    steps: tuple[FlowStep, ...]
    kept: str


def flow_words(flow: Flow) -> str:
    """What the figure shows, as a text alternative: every number of it, step by step."""
    steps = [f"{i} {s.title}: {s.words}" for i, s in enumerate(flow.steps, 1)]
    said = [f"Flow of rows through {flow.title}", f"pool: {count(flow.n)} rows", *steps]
    return clean("; ".join([*said, f"kept: {flow.kept}"])).replace(NBSP, " ") + "."


def flow_svg(flow: Flow) -> str:
    """The figure as an SVG; the same flow gives the same text."""
    with matplotlib.rc_context(STYLE):
        return svg_text(_draw(flow), clean(flow.title), flow_words(flow))


def _draw(flow: Flow) -> Figure:
    rows = [(_lines(f"{i} {s.title}"), _lines(s.words)) for i, s in enumerate(flow.steps, 1)]
    heights = [_LINE * sum(map(len, row)) + _ROOM for row in rows]
    below = _HEAD + sum(heights)
    hows = {step.how for step in flow.steps}
    height = below + _HEAD + 0.22 * (1 + len(hows & {*_HATCHES, "gate"})) + 0.1
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.add_patch(Rectangle((0, 0), _WIDTH, height, facecolor="none", edgecolor="none"))
    _write(axes, _BAND_AT, _HEAD / 2, [f"Pool: {count(flow.n)} rows"], weight="bold")
    top = _HEAD
    for step, (title, words), tall in zip(flow.steps, rows, heights, strict=True):
        _step(axes, step, flow.n, top, tall)
        middle = top + tall / 2
        _write(axes, _WORDS_AT, middle - _LINE * len(words) / 2, title)
        _write(axes, _WORDS_AT, middle + _LINE * len(title) / 2, words, color=_MUTED)
        top += tall
    _write(axes, _BAND_AT, below + _HEAD / 2, _lines(f"Kept: {flow.kept}", 60), weight="bold")
    _legend(axes, below + _HEAD + 0.11, hows)
    return figure


def _step(axes: Axes, step: FlowStep, n: int, top: float, tall: float) -> None:
    """The band beside one step: straight through, or narrower with a branch."""
    before, after = (_BAND_WIDTH * rows / max(n, 1) for rows in (step.n_before, step.n_after))
    branches, bends = top + 0.3 * tall, top + 0.78 * tall
    if step.how in _HATCHES:
        _band(axes, before, top, branches)
        _band(axes, after, branches, top + tall)
    else:
        _band(axes, before, top, top + tall)
    middle = top + tall / 2
    if step.how in _HATCHES and step.n_before > step.n_after:
        left, right = _BAND_AT + after, _BAND_AT + before
        corners = [(left, branches), (right, branches), (right + _SLANT, bends)]
        axes.add_patch(
            Polygon(
                [*corners, (left + _SLANT, bends)],
                facecolor="white",
                edgecolor=_GONE,
                hatch=_HATCHES[step.how],
                linewidth=0.8,
                zorder=3,
            )
        )
        start = right + _SLANT * (middle - branches) / (bends - branches)
        axes.plot([start + 0.04, _WORDS_AT - 0.08], [middle] * 2, color=_MUTED, linewidth=0.6)
    elif step.how == "gate":
        axes.add_patch(
            Rectangle(
                (_BAND_AT - 0.08, middle - 0.09),
                _BAND_WIDTH + 0.16,
                0.18,
                facecolor=_GATE,
                edgecolor=_MUTED,
                hatch="||||",
                linewidth=0.8,
                linestyle="--",
                zorder=4,
            )
        )
    elif step.how == "rewrite":
        ends = [_BAND_AT - 0.08, _BAND_AT + _BAND_WIDTH + 0.08]
        axes.plot(ends, [middle] * 2, color=_MUTED, linewidth=1, linestyle=":", zorder=4)


def _band(axes: Axes, width: float, top: float, bottom: float) -> None:
    # An edge of the same colour, so that neighbours leave no seam and few rows still show.
    axes.add_patch(
        Rectangle(
            (_BAND_AT, top), width, bottom - top, facecolor=_BAND, edgecolor=_BAND, linewidth=0.5
        )
    )


def _write(
    axes: Axes, x: float, y: float, lines: list[str], *, weight: str = "normal", color: str = _INK
) -> None:
    axes.text(
        x,
        y,
        "\n".join(lines),
        va="center",
        color=color,
        fontsize=8.5,
        fontweight=weight,
        linespacing=1.3,
    )


def _lines(words: str, width: int = _CHARACTERS) -> list[str]:
    """Words over a few lines; what does not fit is cut, with a sign that it is."""
    # A no-break space is no place to break for a reader; textwrap knows only the plain one.
    lines = textwrap.wrap(clean(words), width, max_lines=_LINES, placeholder=" …")
    return lines or [""]


def _legend(axes: Axes, y: float, hows: set[How]) -> None:
    """What the hatches mean, of those that are drawn, one under the other."""
    meanings: list[tuple[str, str, str, str]] = [(_BAND, _BAND, "", "rows left")]
    meanings += [("white", _GONE, hatch, how) for how, hatch in _HATCHES.items() if how in hows]
    if "gate" in hows:
        meanings.append((_GATE, _MUTED, "||||", "no number, so nothing is drawn as removed"))
    for face, edge, hatch, said in meanings:
        axes.add_patch(
            Rectangle((_BAND_AT, y - 0.07), 0.3, 0.14, facecolor=face, edgecolor=edge, hatch=hatch)
        )
        _write(axes, _BAND_AT + 0.4, y, [said], color=_MUTED)
        y += 0.22
