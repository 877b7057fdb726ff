"""A specification curve as SVG, written by hand: sorted changes above, the choices below.

Each column is a specification. The same chart stands in the page, in its colours, and in
``figures/``, in plain ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from laion_probe.render.forest import PAPER, Palette
from laion_probe.render.text import MINUS, clean, level_name
from laion_probe.robustness_result import AXES, Choice, ClaimCurve, Outcome, Specification, Verdict

__all__ = ["answers", "specification_svg"]

_WIDTH, _LEFT, _RIGHT, _EDGE = 900, 225, 880, 10
_TOP, _HEIGHT, _STEP, _GAP = 40, 200, 17, 10
_TEXT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'
_SHOWN = 34
_OPPOSITE: dict[Verdict, Verdict] = {"higher": "lower", "lower": "higher"}


def answers(curve: ClaimCurve) -> list[tuple[Verdict, str]]:
    """What specifications may say of a claim, the run's own direction first, and what it is called.

    "No change", which only a full count can say, is there only where one does.
    """
    own = curve.verdict
    order: list[Verdict] = ["lower", "higher"] if own == "lower" else ["higher", "lower"]
    if own == "no change" or curve.counts["no change"]:
        order.append("no change")
    order += ["cannot tell", "failed"]
    names: dict[Verdict, str] = {v: v for v in order} | {"failed": "not computed"}
    if own in _OPPOSITE:
        names[_OPPOSITE[own]] += ", the opposite"
    if own != "cannot tell":  # a claim that is withheld holds nowhere
        names[own] += ", as the run"
    return [(v, names[v]) for v in order]


def specification_svg(
    curve: ClaimCurve,
    specifications: tuple[Specification, ...],
    choices: tuple[Choice, ...],
    palette: Palette = PAPER,
) -> str:
    """The curve of one claim as an SVG element; the same result gives the same text.

    Axes on which there is one choice only are left out.
    """
    shown = [c for c in choices if sum(x.axis == c.axis for x in choices) > 1]
    return "\n".join(_Plot(curve, specifications, shown, palette).lines())


class _Plot:
    """The places of one chart's parts."""

    def __init__(
        self,
        curve: ClaimCurve,
        specifications: tuple[Specification, ...],
        choices: list[Choice],
        palette: Palette,
    ) -> None:
        self.c, self.specs, self.choices, self.p = curve, specifications, choices, palette
        self.width = (_RIGHT - _LEFT) / max(1, len(curve.outcomes))
        self.bottom = _TOP + _HEIGHT
        axes = [a for a in AXES if any(c.axis == a for c in choices)]
        self.tops: dict[str, float] = {}
        y = self.bottom + 2.0 * _GAP
        for axis in axes:
            self.tops[axis] = y
            y += _STEP * (1 + sum(c.axis == axis for c in choices)) + _GAP
        self.height = int(y) + _EDGE
        ends = [
            value
            for o in curve.outcomes
            for e in (o.estimate, o.range)
            if e is not None
            for value in (e.low, e.high)
            if value is not None
        ]
        self.most = max((abs(x) for x in ends), default=0.1) * 1.05
        # A tick is a round number of points, and there are two or more on either side.
        steps = (base * 10.0**power for power in range(1, -4, -1) for base in (5, 2.5, 1))
        self.tick = next((s / 100 for s in steps if 2 * s / 100 <= self.most), self.most)

    def lines(self) -> Iterator[str]:
        c, p = self.c, self.p
        said = f"{c.title}: the change under {len(c.outcomes)} specifications"
        about = (
            "Specifications sorted by their change, with intervals; below, a dot a choice. "
            "Filled points are higher or lower, hollow ones cannot tell, crosses were not computed."
        )
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_safe(said)}" '
            f'width="{_WIDTH}" height="{self.height}" viewBox="0 0 {_WIDTH} {self.height}" '
            f'{_TEXT} font-size="12" fill="{p.ink}">'
        )
        yield f"<title>{_safe(said)}</title><desc>{about}</desc>"
        yield f'<rect width="{_WIDTH}" height="{self.height}" fill="{p.background}"/>'
        yield from self._legend()
        yield from self._axis()
        for i, o in enumerate(c.outcomes):
            yield from self._outcome(i, o)
        yield from self._matrix()
        yield "</svg>"

    def _x(self, i: int) -> float:
        return _LEFT + (i + 0.5) * self.width

    def _y(self, value: float) -> float:
        part = min(max(value / self.most, -1.0), 1.0)
        return _TOP + _HEIGHT / 2 - part * _HEIGHT / 2

    def _legend(self) -> Iterator[str]:
        """What the marks mean, and how many specifications there are of each."""
        p, x = self.p, float(_EDGE)
        for verdict, name in answers(self.c):
            words = f"{name}: {self.c.counts[verdict]}"
            color, fill = self._look(verdict)
            if verdict == "failed":
                yield f'<text x="{x + 1:.0f}" y="22" fill="{color}">×</text>'
            else:
                yield f'<circle cx="{x + 5:.0f}" cy="18" r="3.7" fill="{fill}" stroke="{color}"/>'
            yield f'<text x="{x + 14:.0f}" y="22">{words}</text>'
            x += 34 + 6.6 * len(words)
        yield f'<path d="M{x + 4:.0f} 12V24" stroke="{p.ink}" stroke-dasharray="2 2"/>'
        yield f'<text x="{x + 14:.0f}" y="22">the run</text>'

    def _axis(self) -> Iterator[str]:
        most = int(self.most / self.tick)
        for part in range(-most, most + 1):
            value = part * self.tick
            y = self._y(value)
            dashed = f'stroke="{self.p.parity}" stroke-width="1.4" stroke-dasharray="5 3"'
            look = f'stroke="{self.p.rule}"' if part else dashed
            yield f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" {look}/>'
            said = f"{100 * value:+g}".replace("-", MINUS) if part else "0"
            yield (
                f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" font-size="11" '
                f'fill="{self.p.muted}">{said}</text>'
            )
        name = level_name(self.c.contrast_level)
        yield (
            f'<text x="{_EDGE}" y="{_TOP + _HEIGHT / 2 - 6:.0f}" font-size="11" '
            f'fill="{self.p.muted}">{_safe(_cut("share of " + name, 26))},</text>'
        )
        yield (
            f'<text x="{_EDGE}" y="{_TOP + _HEIGHT / 2 + 8:.0f}" font-size="11" '
            f'fill="{self.p.muted}">change in points</text>'
        )

    def _outcome(self, i: int, o: Outcome) -> Iterator[str]:
        p, x = self.p, self._x(i)
        if self.specs[o.specification].is_run:
            yield (
                f'<path d="M{x:.1f} {_TOP}V{self.height - _EDGE}" stroke="{p.ink}" '
                'stroke-dasharray="2 2"/>'
            )
        if o.estimate is None or o.estimate.value is None:
            yield (
                f'<text x="{x:.1f}" y="{self._y(0) + 4:.1f}" text-anchor="middle" '
                f'fill="{self._look(o.verdict)[0]}">×</text>'
            )
            return
        color, fill = self._look(o.verdict)
        thick = min(1.8, max(0.5, self.width / 3))
        if o.range is not None and o.range.low is not None and o.range.high is not None:
            yield (
                f'<path d="M{x:.1f} {self._y(o.range.low):.1f}V{self._y(o.range.high):.1f}" '
                f'stroke="{color}" stroke-width="{thick / 2:.2f}" stroke-opacity="0.6"/>'
            )
        if o.estimate.low is not None and o.estimate.high is not None:
            yield (
                f'<path d="M{x:.1f} {self._y(o.estimate.low):.1f}'
                f'V{self._y(o.estimate.high):.1f}" stroke="{color}" stroke-width="{thick:.2f}"/>'
            )
        radius = min(3.7, max(1.0, self.width / 2))
        yield (
            f'<circle cx="{x:.1f}" cy="{self._y(o.estimate.value):.1f}" r="{radius:.2f}" '
            f'fill="{fill}" stroke="{color}"/>'
        )

    def _look(self, verdict: Verdict) -> tuple[str, str]:
        """The colour of an answer, and what its mark is filled with."""
        p, own = self.p, self.c.verdict
        if verdict == "cannot tell":
            return p.muted, p.background
        if verdict == "no change":
            return p.muted, p.muted
        if verdict == "failed":
            return p.generators[1], p.background
        first = own if own in _OPPOSITE else "higher"
        color = p.data if verdict == first else p.generators[0]
        return color, color

    def _matrix(self) -> Iterator[str]:
        p = self.p
        for axis, top in self.tops.items():
            yield f'<text x="{_EDGE}" y="{top + 12:.0f}" fill="{p.muted}">{axis}</text>'
            names = [c.name for c in self.choices if c.axis == axis]
            for row, name in enumerate(names):
                y = top + _STEP * (row + 1) + _STEP / 2
                if row % 2 == 0:
                    yield (
                        f'<rect x="{_EDGE}" y="{y - _STEP / 2:.1f}" '
                        f'width="{_WIDTH - 2 * _EDGE}" height="{_STEP}" fill="{p.band}"/>'
                    )
                yield (
                    f'<text x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">'
                    f"{_safe(_cut(name, _SHOWN))}</text>"
                )
                for i, o in enumerate(self.c.outcomes):
                    if self.specs[o.specification].choices[axis] == name:
                        color = self._look(o.verdict)[0]
                        wide = min(5.0, max(0.8, self.width * 0.6))
                        yield (
                            f'<rect x="{self._x(i) - wide / 2:.1f}" y="{y - 5:.1f}" '
                            f'width="{wide:.1f}" height="10" fill="{color}"/>'
                        )


def _cut(words: str, most: int) -> str:
    words = " ".join(words.split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def _safe(words: str) -> str:
    return escape(clean(words))
