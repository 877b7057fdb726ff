"""Composition as a function of the threshold, as SVG written by hand.

The same chart stands in the page, in its colours, and in ``figures/``, in plain ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from html import escape

from laion_probe.curve_result import CurveOf, PointOf
from laion_probe.render.forest import Palette
from laion_probe.render.text import NBSP, clean, count

__all__ = ["HEIGHT", "WIDTH", "curve_svg"]

WIDTH, HEIGHT = 520, 244
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 508, 26, 200
_TEXT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'
_FEW = 20


def curve_svg(
    curve: CurveOf, said: str, parity: float, threshold_rows: int | None, palette: Palette
) -> str:
    """The curve as an SVG element; ``said`` names what its share is of.

    From the nearest rows on the left to the loosest threshold on the right, by the number of rows,
    on a logarithmic axis. ``threshold_rows`` is how many are near, None where nothing is cut.
    Points of fewer than twenty rows are hollow.
    """
    points = [p for p in curve.points if p.n_rows > 0]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_safe(said)}" '
            f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" {_TEXT} '
            f'font-size="12" fill="{palette.ink}">',
            f"<title>{_safe(said)}</title>",
            "<desc>Share by number of nearest rows, from few to many; the band is what unknown "
            "rows could make of it, the dashed line parity, which is no target.</desc>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{palette.background}"/>',
            *_drawn(points, parity, threshold_rows, palette),
            "</svg>",
        ]
    )


def _drawn(
    points: list[PointOf], parity: float, threshold_rows: int | None, p: Palette
) -> Iterator[str]:
    if not points:
        return
    least, most = points[0].n_rows, max(points[-1].n_rows, points[0].n_rows + 1)

    def x(n: int) -> float:
        part = (math.log(n) - math.log(least)) / (math.log(most) - math.log(least))
        return _LEFT + min(max(part, 0.0), 1.0) * (_RIGHT - _LEFT)

    yield from _axes(least, most, x, p)
    band = [q for q in points if q.bounds.low is not None and q.bounds.high is not None]
    if band:
        there = [f"{x(q.n_rows):.1f},{_y(q.bounds.high or 0.0):.1f}" for q in band]
        back = [f"{x(q.n_rows):.1f},{_y(q.bounds.low or 0.0):.1f}" for q in reversed(band)]
        yield (f'<polygon points="{" ".join(there + back)}" fill="{p.data}" fill-opacity="0.14"/>')
    yield (
        f'<path class="parity" d="M{_LEFT} {_y(parity):.1f}H{_RIGHT}" stroke="{p.parity}" '
        'stroke-width="1.3" stroke-dasharray="5 3"/>'
    )
    if threshold_rows is not None and least <= threshold_rows <= most:
        at = x(threshold_rows)
        anchor = "start" if at < (_LEFT + _RIGHT) / 2 else "end"
        yield (
            f'<path class="cut" d="M{at:.1f} {_TOP - 10}V{_BOTTOM}" '
            f'stroke="{p.generators[0]}" stroke-width="1.4"/>'
        )
        yield (
            f'<text x="{at + (5 if anchor == "start" else -5):.1f}" y="{_TOP - 3}" '
            f'text-anchor="{anchor}" fill="{p.generators[0]}">threshold</text>'
        )
    shares = [(x(q.n_rows), q) for q in points if q.share.value is not None]
    line = " ".join(f"{at:.1f},{_y(q.share.value or 0.0):.1f}" for at, q in shares)
    # The fill is said here too: the page's style for lines is not in the file.
    yield f'<polyline points="{line}" fill="none" stroke="{p.data}" stroke-width="1.8"/>'
    for at, q in shares:
        low, high = q.share.low, q.share.high
        if low is not None and high is not None and low < high:  # rows are a sample
            yield (
                f'<path d="M{at:.1f} {_y(low):.1f}V{_y(high):.1f}" stroke="{p.data}" '
                'stroke-width="1.3"/>'
            )
        fill = p.background if q.share.n < _FEW else p.data
        yield (
            f'<circle cx="{at:.1f}" cy="{_y(q.share.value or 0.0):.1f}" r="3.2" fill="{fill}" '
            f'stroke="{p.data}" stroke-width="1.3"/>'
        )


def _axes(least: int, most: int, x: Callable[[int], float], p: Palette) -> Iterator[str]:
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        unit = f"{NBSP}%" if part == 1 else ""
        yield f'<path d="M{_LEFT} {_y(part):.1f}H{_RIGHT}" stroke="{p.rule}"/>'
        yield (
            f'<text x="{_LEFT - 6}" y="{_y(part) + 4:.1f}" text-anchor="end" font-size="11" '
            f'fill="{p.muted}">{100 * part:g}{unit}</text>'
        )
    for power in range(13):
        n = 10**power
        if least <= n <= most:
            yield f'<path d="M{x(n):.1f} {_BOTTOM}v4" stroke="{p.parity}"/>'
            yield (
                f'<text x="{x(n):.1f}" y="{_BOTTOM + 17}" text-anchor="middle" font-size="11" '
                f'fill="{p.muted}">{count(n)}</text>'
            )
    yield (
        f'<text x="{_LEFT}" y="{_BOTTOM + 38}" font-size="11" fill="{p.muted}">nearest rows '
        "(tight)</text>"
    )
    yield (
        f'<text x="{_RIGHT}" y="{_BOTTOM + 38}" text-anchor="end" font-size="11" '
        f'fill="{p.muted}">more rows (loose)</text>'
    )


def _y(share: float) -> float:
    return _BOTTOM - min(max(share, 0.0), 1.0) * (_BOTTOM - _TOP)


def _safe(words: str) -> str:
    return escape(clean(words))
