"""``report.html`` of `drift`: what an edit does to pictures of people, pair by pair.

Every number stands in ``result.json``, to which it is tied by a JSON pointer; what is arranged here
is order, words and the places of marks.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from markupsafe import Markup

from laion_probe.drift_result import AttributeDrift, DriftResult, PairReading, Slice
from laion_probe.render import text
from laion_probe.render.geometry import percent
from laion_probe.render.html import environment, page, tied
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.view import Method, methods_of, raster
from laion_probe.results import Claim, Estimate

__all__ = ["drift_report_html"]

_UNKNOWN = "unknown"
_STRIPS = 150  # pairs that a plot can show apart
_PAIRS_LISTED = 200
_LABEL = 2.8  # the width of a character of a tick label, in percent of a plot on a narrow phone
_GAP = 3.0  # between the levels of a flow, in percent of its height
_COLOUR_UNITS = {"lightness": f"{text.NBSP}L*", "ita": "°", "delta_e": ""}


def drift_report_html(result: DriftResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    env.globals.update(est=_est, raster=raster, side_alt=_side_alt, p_value=_p_value)
    values = {
        "r": result,
        "v": _view(result),
        # By line, since a line feed in a text would be cleaned away.
        "config": json.dumps(result.config, ensure_ascii=False, indent=2).split("\n"),
    }
    return page(env, "drift.html.j2", values)


# Numbers


def _est(estimate: Estimate, where: str) -> Markup:
    """An estimate with its interval, in the form of its field."""
    name = next((part for part in where.split("/") if part in _COLOUR_UNITS), "")
    if name:
        return tied(estimate, where, "colour", _colour(estimate, name))
    parts = where.split("/")
    form: text.Form = "share"
    if parts[-1] == "bounds":
        form = "points-range"
    elif {"difference", "differences"} & set(parts):
        form = "points"
    return tied(estimate, where, form, text.show(estimate, form))


def _colour(e: Estimate, name: str) -> text.Shown:
    """A change in its own unit; a distance has no sign."""
    signed = name != "delta_e"
    if e.value is None:
        return text.Shown("not defined", "")
    value = text.number(e.value, 1, signed=signed) + _COLOUR_UNITS[name]
    if e.low is None or e.high is None:
        return text.Shown(value, "(no interval)")
    low, high = (text.number(end, 1, signed=signed) for end in (e.low, e.high))
    return text.Shown(value, f"[{low},{text.NBSP}{high}]")


def _p_value(p: float, where: str) -> Markup:
    """A p-value that never reads as zero."""
    shown = "< 0.0001" if p < 1e-4 else f"= {text.number(p, 4)}"
    return Markup(
        '<span class="num" data-pointer="{}" data-form="p" data-value="{}">p {}</span>'
    ).format(where, repr(p), shown)


def _side_alt(side: str, pair: PairReading) -> str:
    """What a screen reader says of one side of a pair."""
    at = 0 if side == "before" else 1
    read = [text.level_name(levels[at]) for levels in pair.levels.values()]
    said = f"Picture {side} the edit, pair of row {pair.row}"
    return f"{said}; read as {text.join(read)}" if read else said


# What the templates loop over


@dataclass(frozen=True)
class Ribbon:
    """Pairs that go from one level to another, as a polygon of a plot of 100 by 100."""

    points: str
    kind: str  # "same", "changed" or "unknown"


@dataclass(frozen=True)
class Block:
    """A level on one side of the flow: its name, pairs, top and height as percentages."""

    level: str
    n: int
    top: str
    height: str
    middle: str


@dataclass(frozen=True)
class Flow:
    """How the pairs go from level to level."""

    before: list[Block]
    after: list[Block]
    ribbons: list[Ribbon]


@dataclass(frozen=True)
class ShownAttribute:
    """One attribute with its place; ``rows`` and ``columns`` are the levels that occur."""

    id: str
    at: str
    drift: AttributeDrift
    rows: list[str]
    columns: list[str]
    flow: Flow | None
    drifts: list[tuple[str, object]]


@dataclass(frozen=True)
class Strip:
    """One pair on the plot of the typology angle: places in percent; ``up`` is lighter."""

    x: str
    before: str
    after: str
    up: bool


@dataclass(frozen=True)
class Strips:
    """The plot of the typology angle before and after, right of a margin for its tick labels."""

    strips: list[Strip]
    ticks: list[tuple[str, str]]  # (place, label), from the lowest angle up
    margin: str
    width: str
    n_left_out: int


@dataclass(frozen=True)
class DriftView:
    """Everything that the report arranges, in the order in which it shows it."""

    interval: str
    claims: list[tuple[Claim, Estimate]]
    attributes: list[ShownAttribute]
    strips: Strips | None
    slices: list[tuple[str, list[tuple[str, Slice]]]]
    unreadable: list[PairReading]
    n_more_unreadable: int
    methods: list[Method]


def _view(result: DriftResult) -> DriftView:
    estimates = dict(walk(result))
    levels = {e.level for e in estimates.values()}
    unreadable = [p for p in result.pairs if p.unreadable]
    return DriftView(
        interval=f"{100 * levels.pop():g}{text.NBSP}% interval" if len(levels) == 1 else "interval",
        claims=[(c, estimates[c.estimate]) for c in result.finding.claims],
        attributes=[_attribute(i, a) for i, a in enumerate(result.attributes)],
        strips=_strips(result),
        slices=_slices(result),
        unreadable=unreadable[:_PAIRS_LISTED],
        n_more_unreadable=len(unreadable[_PAIRS_LISTED:]),
        methods=methods_of(e for e in estimates.values() if e.low is not None),
    )


def _attribute(index: int, a: AttributeDrift) -> ShownAttribute:
    before = {x: sum(row.values()) for x, row in a.counts.items()}
    after = {y: sum(row[y] for row in a.counts.values()) for y in a.levels}
    at = pointer("attributes", index)
    return ShownAttribute(
        id=f"attribute-{index + 1}",
        at=at,
        drift=a,
        rows=[x for x in a.levels if before[x]],
        columns=[y for y in a.levels if after[y]],
        flow=_flow(a, before, after) if a.n_pairs else None,
        drifts=[(at + pointer("drifts", i), d) for i, d in enumerate(a.drifts)],
    )


def _flow(a: AttributeDrift, before: dict[str, int], after: dict[str, int]) -> Flow:
    left, right = _tops(before, a.n_pairs), _tops(after, a.n_pairs)
    scale = [_scale(before), _scale(after)]
    used = [dict.fromkeys(a.levels, 0), dict.fromkeys(a.levels, 0)]
    ribbons = []
    for x in a.levels:
        for y in a.levels:
            n = a.counts[x][y]
            if not n:
                continue
            y1 = left[x] + used[0][x] * scale[0] / a.n_pairs
            y2 = right[y] + used[1][y] * scale[1] / a.n_pairs
            h1, h2 = n * scale[0] / a.n_pairs, n * scale[1] / a.n_pairs
            used[0][x] += n
            used[1][y] += n
            ribbons.append(Ribbon(_ribbon((y1, h1), (y2, h2)), _kind(x, y)))
    # What changed is drawn over what stayed.
    ribbons.sort(key=lambda r: ("unknown", "same", "changed").index(r.kind))
    return Flow(
        before=_blocks(before, left, scale[0], a.n_pairs),
        after=_blocks(after, right, scale[1], a.n_pairs),
        ribbons=ribbons,
    )


def _kind(x: str, y: str) -> str:
    if _UNKNOWN in (x, y):
        return "unknown"
    return "same" if x == y else "changed"


def _scale(sizes: dict[str, int]) -> float:
    """What is left of the height for pairs, with gaps between the levels that occur."""
    return 100 - _GAP * (sum(1 for n in sizes.values() if n) - 1)


def _tops(sizes: dict[str, int], n: int) -> dict[str, float]:
    tops, at = {}, 0.0
    for level, size in sizes.items():
        tops[level] = at
        at += size * _scale(sizes) / n + (_GAP if size else 0)
    return tops


def _ribbon(left: tuple[float, float], right: tuple[float, float]) -> str:
    """Two smooth edges from left to right, as the corners of a polygon."""
    steps = [i / 12 for i in range(13)]
    ease = [(t, (1 - math.cos(math.pi * t)) / 2) for t in steps]
    top = [(100 * t, left[0] + s * (right[0] - left[0])) for t, s in ease]
    bottom = [
        (100 * t, left[0] + left[1] + s * (right[0] + right[1] - left[0] - left[1]))
        for t, s in ease
    ]
    return " ".join(f"{x:.1f},{y:.2f}" for x, y in [*top, *reversed(bottom)])


def _blocks(sizes: dict[str, int], tops: dict[str, float], scale: float, n: int) -> list[Block]:
    return [
        Block(
            level=level,
            n=size,
            top=percent(tops[level], 100),
            height=percent(size * scale / n, 100),
            middle=percent(tops[level] + size * scale / n / 2, 100),
        )
        for level, size in sizes.items()
        if size
    ]


def _strips(result: DriftResult) -> Strips | None:
    """The pairs of the edit, ordered by the angle before; evenly thinned where there are many."""
    found = [p.colour for p in result.pairs if p.colour is not None and not p.control]
    if not found:
        return None
    found.sort(key=lambda c: (c.ita_before, c.ita_after))
    shown = found[:: math.ceil(len(found) / _STRIPS)]
    angles = [x for c in shown for x in (c.ita_before, c.ita_after)]
    step = next(s for s in (5, 10, 20, 30, 60) if (max(angles) - min(angles)) / s <= 7)
    low, high = step * math.floor(min(angles) / step), step * math.ceil(max(angles) / step)
    high = max(high, low + step)

    ticks = [(t, f"{text.number(t, 0)}°") for t in range(low, high + 1, step)]
    margin = _LABEL * max(len(label) for _, label in ticks)

    def y(angle: float) -> str:
        return percent(high - angle, high - low)

    return Strips(
        strips=[
            Strip(
                x=percent(i + 0.5, len(shown)),
                before=y(c.ita_before),
                after=y(c.ita_after),
                up=c.ita_after >= c.ita_before,
            )
            for i, c in enumerate(shown)
        ],
        ticks=[(y(t), label) for t, label in ticks],
        margin=percent(margin, 100),
        width=percent(100 - margin, 100),
        n_left_out=len(found) - len(shown),
    )


def _slices(result: DriftResult) -> list[tuple[str, list[tuple[str, Slice]]]]:
    found: dict[str, list[tuple[str, Slice]]] = {}
    for i, s in enumerate(result.slices):
        found.setdefault(s.by, []).append((pointer("slices", i), s))
    return list(found.items())
