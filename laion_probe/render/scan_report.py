"""``report.html`` of a scan: what was read, who is left after each step, and how sure that is.

Every number stands in ``result.json``, to which it is tied by a JSON pointer; what is arranged here
is order, words and the places of marks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from laion_probe.groups import UNKNOWN
from laion_probe.render import text
from laion_probe.render.geometry import percent
from laion_probe.render.html import environment, page, tied
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.view import Method, methods_of
from laion_probe.results import Estimate, InputRecord, StepEffect
from laion_probe.scan_result import GroupCounts, LevelCounts, Look, ScanResult

__all__ = ["estimate_digits", "scan_removal_words", "scan_report_html", "share_digits"]

_LEVELS_SHOWN = 25
_INPUTS_SHOWN = 25
_NEEDS_ALL = "needs every row"  # how a step's note begins where a sample cannot tell of it
_TICKS_SHOWN = 5


def scan_report_html(result: ScanResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    env.globals.update(est=_est, digits=share_digits)
    values = {
        "r": result,
        "v": _view(result),
        # By line, since a line feed in a text would be cleaned away.
        "config": json.dumps(result.config, ensure_ascii=False, indent=2).split("\n"),
    }
    return page(env, "scan.html.j2", values)


def scan_removal_words(step: StepEffect) -> str:
    """Why a step's removal has no number, or an empty string where it has one.

    As `text.removal_words`, which cannot tell a step that a sample of rows does not suffice for.
    """
    if step.observable and _NEEDS_ALL in step.note:
        return f"{_NEEDS_ALL}: not estimable from a sample of row groups"
    return text.removal_words(step)


# Numbers


def _est(estimate: Estimate, where: str) -> Markup:
    """A share with its interval; one that has no width is a count, and shows no brackets."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None:
        return tied(estimate, where, "share", text.show(estimate, "share"))
    digits = estimate_digits(estimate)
    said = f"{text.number(100 * value, digits)}{text.NBSP}%"
    if low is None or high is None:
        return tied(estimate, where, "share", text.Shown(said, "(no interval)"))
    if low == value == high:
        return tied(estimate, where, "exact", text.Shown(said, ""))
    ends = [text.number(100 * end, digits) for end in (low, high)]
    interval = f"[{ends[0]},{text.NBSP}{ends[1]}]"
    return tied(estimate, where, "share", text.Shown(said, interval))


def estimate_digits(estimate: Estimate) -> int:
    """Decimals of a percentage: two figures of the half-width, or as many as ``n`` can carry."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None or low is None or high is None or low == high:
        least = 0 if estimate.n < 50 else 1 if estimate.n < 1000 else 2
    else:
        least = min(max(1 - math.floor(math.log10(50 * (high - low))), 1), 6)
    return least if value is None else share_digits(value, least)


def share_digits(share: float, least: int = 2) -> int:
    """Decimals with which a share in percent reads neither as 0 % nor as 100 % unless it is."""
    digits = least
    while digits < 9 and share not in (0, 1) and round(100 * share, digits) in (0, 100):
        digits += 1
    return digits


# What the templates loop over


@dataclass(frozen=True)
class ShownStep:
    """A step, why its removal has no number if so, and what is left after it."""

    at: str
    step: StepEffect
    why: str
    counted: bool  # whether what it removes is missing from ``left``
    left: Estimate
    left_at: str


@dataclass(frozen=True)
class ShownGroup:
    """A group by level: the most frequent ones, then *unknown*; the others are folded."""

    group: GroupCounts
    levels: list[tuple[str, LevelCounts]]
    more: list[tuple[str, LevelCounts]]


@dataclass(frozen=True)
class Tick:
    """A place on an axis, its label, and how the label is set so that it stays on the page."""

    at: str
    label: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Curve:
    """How the share tightened: points of a plot of 100 by 100, and marks in percent of it.

    ``before`` is the share while it had no interval. Rows are on a logarithmic axis.
    """

    before: str
    line: str
    band: str
    last: dict[str, str]  # x, and y of value, low and high
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    clipped: bool


@dataclass(frozen=True)
class ScanView:
    """Everything that the report arranges, in the order in which it shows it."""

    interval: str
    sample: bool
    bare_share: bool  # the share that was followed has no interval
    bare: bool  # the other shares have none
    curve: Curve | None
    steps: list[ShownStep]
    groups: list[ShownGroup]
    methods: list[Method]
    inputs: list[tuple[str, InputRecord]]
    more_inputs: list[tuple[str, InputRecord]]
    alike: InputRecord | None  # any of them, where all have passed the same and are noted the same


def _view(result: ScanResult) -> ScanView:
    reading, followed = result.reading, result.share.estimate
    inputs = [(pointer("inputs", i), record) for i, record in enumerate(result.inputs)]
    alike = len(inputs) > 1 and len({(i.already, i.note) for i in result.inputs}) == 1
    others = [e for where, e in walk(result) if not where.startswith("/share/")]
    bare = any(e.value is not None and e.low is None for e in others)
    interval = "" if bare else f"{100 * followed.level:g}{text.NBSP}% interval"
    if reading.full:
        interval = "bounds" if reading.n_units_failed else ""
    return ScanView(
        interval=interval,
        sample=not reading.full,
        bare_share=followed.value is not None and followed.low is None,
        bare=bare,
        curve=_curve(result.share.looks),
        steps=list(_steps(result)),
        groups=[_group(i, group) for i, group in enumerate(result.groups)],
        methods=methods_of(e for _, e in walk(result) if e.value is not None),
        inputs=inputs[:_INPUTS_SHOWN],
        more_inputs=inputs[_INPUTS_SHOWN:],
        alike=result.inputs[0] if alike else None,
    )


def _steps(result: ScanResult) -> Iterator[ShownStep]:
    for i, (step, left) in enumerate(zip(result.steps, result.survival, strict=True)):
        why = scan_removal_words(step)
        counted = not why.startswith(("not evaluable", "not simulated", _NEEDS_ALL))
        yield ShownStep(pointer("steps", i), step, why, counted, left, pointer("survival", i))


def _group(index: int, group: GroupCounts) -> ShownGroup:
    placed = [(pointer("groups", index, "levels", i), x) for i, x in enumerate(group.levels)]
    known = [pair for pair in placed if pair[1].level != UNKNOWN]
    known.sort(key=lambda pair: (-pair[1].n, pair[1].level))
    unknown = [pair for pair in placed if pair[1].level == UNKNOWN]
    return ShownGroup(group, [*known[:_LEVELS_SHOWN], *unknown], known[_LEVELS_SHOWN:])


# The figure


def _curve(looks: tuple[Look, ...]) -> Curve | None:
    """The figure's geometry; None where there are not two looks, or none with an interval."""
    shown = [look for look in looks if look.rows and look.value is not None]
    sure = [(k, *ends) for k in shown if (ends := _ends(k)) is not None]
    if not sure or shown[0].rows == shown[-1].rows:
        return None
    first, last = math.log(shown[0].rows), math.log(shown[-1].rows)
    bottom, top = _range(sure)

    def x(look: Look) -> float:
        return 100 * (math.log(look.rows) - first) / (last - first)

    def y(value: float) -> float:
        return 100 * (top - value) / (top - bottom)

    def points(places: list[tuple[float, float]]) -> str:
        return " ".join(f"{across:.2f},{down:.2f}" for across, down in places)

    line = [(x(k), y(value)) for k, value, _, _ in sure]
    upper = [(x(k), y(high)) for k, _, _, high in sure]
    lower = [(x(k), y(low)) for k, _, low, _ in sure]
    before = [(x(k), y(k.value)) for k in shown if k.low is None and k.value is not None]
    before += line[:1] if before and before[-1][0] <= line[0][0] else []
    return Curve(
        before=points(before),
        line=points(line),
        band=points([*upper, *reversed(lower)]),
        last={"x": percent(line[-1][0], 100)}
        | {
            name: percent(y(v), 100)
            for name, v in zip(("value", "low", "high"), sure[-1][1:], strict=True)
        },
        x_ticks=_row_ticks(shown[0].rows, shown[-1].rows),
        y_ticks=_share_ticks(bottom, top),
        clipped=any(low < bottom or high > top for _, _, low, high in sure)
        or any(not 0 <= down <= 100 for _, down in before),
    )


def _ends(look: Look) -> tuple[float, float, float] | None:
    if look.value is None or look.low is None or look.high is None:
        return None
    return look.value, look.low, look.high


def _range(sure: list[tuple[Look, float, float, float]]) -> tuple[float, float]:
    """The part of [0, 1] that is drawn: so much that the narrowest interval can still be seen."""
    value = sure[-1][1]
    halves = [(high - low) / 2 for _, _, low, high in sure if high > low]
    reach = max(8 * min(halves, default=0.001), *(abs(v - value) for _, v, _, _ in sure))
    low = max(min(low for _, _, low, _ in sure), value - reach, 0.0)
    high = min(max(high for _, _, _, high in sure), value + reach, 1.0)
    room = 0.08 * (high - low) or 0.001
    return max(low - room, 0.0), min(high + room, 1.0)


def _row_ticks(first: int, last: int) -> list[Tick]:
    """Powers of ten where there are enough of them, else 1, 2, 5 and so on."""
    tens = [10**k for k in range(len(str(first)) - 1, len(str(last)) + 1)]
    few = [n for n in tens if first <= n <= last]
    if len(few) < 3:
        few = [m * n for n in tens for m in (1, 2, 5) if first <= m * n <= last] or [first, last]
    few = few[:: math.ceil(len(few) / _TICKS_SHOWN)]
    span = math.log(last / first)
    ticks = []
    for n in few:
        place = math.log(n / first) / span
        anchor = "start" if place < 0.04 else "end" if place > 0.96 else "middle"
        ticks.append(Tick(percent(place), _short_count(n), anchor))
    return ticks


def _short_count(n: int) -> str:
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if n >= size:
            return f"{n / size:g}{text.NBSP}{word}"
    return text.count(n)


def _share_ticks(bottom: float, top: float) -> list[Tick]:
    """Round percentages, three to six of them."""
    span = 100 * (top - bottom)
    scale = 10 ** math.floor(math.log10(span / 3))
    step = next(m * scale for m in (5, 2, 1) if span / (m * scale) >= 3)
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(100 * bottom / step - 1e-9), math.floor(100 * top / step + 1e-9)
    return [
        Tick(
            percent(100 * top - i * step, span),
            f"{text.number(i * step, digits)}{text.NBSP}%",
        )
        for i in range(first, last + 1)
    ]
