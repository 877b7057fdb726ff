"""``report.html``, tables and the chart of a composition from labelled pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markupsafe import Markup

from laion_probe.compose_result import Agreement, Cell, ComposeResult, Measured
from laion_probe.render.forest import PAGE, PAPER, Palette
from laion_probe.render.html import environment, page, tied
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.render.text import NBSP, Form, clean, level_name, show
from laion_probe.render.view import Method, Reference, methods_of
from laion_probe.results import Estimate

__all__ = ["compose_report_html", "compose_tables", "write_compose_figures", "write_compose_tables"]

#: Levels that are said after what describes them: a darker woman.
_NOUNS, _TONES = ("woman", "man"), ("lighter", "darker")


@dataclass(frozen=True)
class View:
    """What the template loops over, each beside its place in the result."""

    attributes: list[tuple[str, Measured]]
    references: dict[str, list[Reference]]
    cells: list[tuple[str, Cell]]
    methods: list[Method]
    chart: Markup


def compose_report_html(result: ComposeResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    env.globals.update(cell_name=cell_name, either=_either)
    return page(env, "compose.html.j2", {"r": result, "v": _view(result)})


def _either(e: Estimate, where: str) -> Markup:
    """A share, or the ends of a range that has no middle, tied to its place."""
    form = _form(e)
    return tied(e, where, form, show(e, form))


def _form(e: Estimate) -> Form:
    return "share" if e.value is not None or e.low is None else "range"


def _view(r: ComposeResult) -> View:
    return View(
        attributes=[(pointer("attributes", i), m) for i, m in enumerate(r.attributes)],
        references={
            name: [
                Reference(label, share, pointer("references", name, label))
                for label, share in lines.items()
            ]
            for name, lines in r.references.items()
        },
        # an empty cell beside the four says nothing
        cells=[
            (pointer("intersections", i), cell)
            for i, cell in enumerate(r.intersections)
            if cell.reference is not None or cell.n or cell.share.value
        ],
        methods=methods_of(e for _, e in walk(r) if e.value is not None or e.low is not None),
        # Markup, since the chart escapes and cleans every text that it writes.
        chart=Markup(_chart_svg(r, PAGE)),
    )


def cell_name(levels: tuple[str, str]) -> str:
    """What a cell is called in words.

    Examples:
        >>> cell_name(("woman", "darker")), cell_name(("outdoors", "formal clothes"))
        ('darker woman', 'outdoors, formal clothes')
    """
    first, second = (level_name(level) for level in levels)
    if first in _NOUNS and second in _TONES:
        return f"{second} {first}"
    if first in _TONES and second in _NOUNS:
        return f"{first} {second}"
    return f"{first}, {second}"


# The chart


@dataclass(frozen=True)
class _Bar:
    """A share, its place in ``result.json``, and what parity would be."""

    label: str
    at: str
    estimate: Estimate
    parity: float


_WIDTH, _LEFT, _RIGHT, _EDGE = 720, 190, 560, 10
_ROW, _HEAD, _GAP, _TICKS = 26, 34, 12, 22
_SHOWN = 30
_TEXT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'


def write_compose_figures(result: ComposeResult, folder: Path) -> None:
    """``figures/composition.svg``: bars with intervals and parity lines, cells below levels."""
    folder.mkdir(parents=True, exist_ok=True)
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    svg = head + _chart_svg(result, PAPER) + "\n"
    (folder / "composition.svg").write_text(svg, encoding="utf-8", newline="\n")


def _groups(r: ComposeResult) -> Iterator[tuple[str, list[_Bar]]]:
    """What stands under one heading: two levels of an attribute, or four cells of two."""
    for i, m in enumerate(r.attributes):
        pair = f"{level_name(m.contrast_level)} or {level_name(m.against_level)}"
        at = pointer("attributes", i)
        warned = " (uncorrected)" if m.basis == "classifier" else ""
        yield (
            f"{m.title}: of those labelled {pair}{warned}",
            [
                _Bar(level_name(m.contrast_level), at + "/headline", m.headline, m.parity),
                _Bar(level_name(m.against_level), at + "/other", m.other, 1 - m.parity),
            ],
        )
    titles = {m.attribute: m.title for m in r.attributes}
    for pair_of in dict.fromkeys(cell.attributes for cell in r.intersections):
        bars = [
            _Bar(cell_name(c.levels), pointer("intersections", i, "among"), c.among, c.reference)
            for i, c in enumerate(r.intersections)
            if c.attributes == pair_of and c.among is not None and c.reference is not None
        ]
        yield f"{titles[pair_of[0]]} and {titles[pair_of[1]]}: of those in one of the four", bars


def _chart_svg(r: ComposeResult, palette: Palette) -> str:
    """The chart as an SVG element; the same result gives the same text."""
    groups = list(_groups(r))
    height = _EDGE + sum(_HEAD + _GAP + _ROW * len(bars) for _, bars in groups) + _TICKS + _EDGE
    said = f"Composition of {r.n_pictures} pictures"
    about = (
        "Shares as bars with their intervals; a dashed line across each group is parity, which is "
        "no target."
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_safe(said)}" '
            f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" {_TEXT} '
            f'font-size="13" fill="{palette.ink}">',
            f"<title>{_safe(said)}</title><desc>{_safe(about)}</desc>",
            f'<rect width="{_WIDTH}" height="{height}" fill="{palette.background}"/>',
            *_drawn(groups, palette),
            "</svg>",
        ]
    )


def _drawn(groups: list[tuple[str, list[_Bar]]], p: Palette) -> Iterator[str]:
    y = _EDGE
    for words, bars in groups:
        heading = words[:1].upper() + words[1:]
        yield (
            f'<text x="{_EDGE}" y="{y + 16}" font-weight="600">{_safe(_cut(heading, 96))}</text>'
        )
        y += _HEAD
        first = y
        for bar in bars:
            yield from _bar(bar, y, p)
            y += _ROW
        for parity in dict.fromkeys(bar.parity for bar in bars):
            x = _x(parity)
            yield (
                f'<path class="parity" d="M{x:.1f} {first - 4}V{y}" stroke="{p.parity}" '
                f'stroke-width="1.4" stroke-dasharray="5 3"/>'
            )
            yield (
                f'<text x="{x + 4:.1f}" y="{first - 2}" font-size="11" fill="{p.muted}">parity '
                f"{100 * parity:g}{NBSP}%</text>"
            )
        y += _GAP
    yield f'<path d="M{_LEFT} {y}H{_RIGHT}" stroke="{p.rule}"/>'
    for part in (0, 0.25, 0.5, 0.75, 1):
        unit = f"{NBSP}%" if part == 1 else ""
        yield (
            f'<text x="{_x(part):.1f}" y="{y + 15}" text-anchor="middle" font-size="11" '
            f'fill="{p.muted}">{100 * part:g}{unit}</text>'
        )


def _bar(bar: _Bar, y: float, p: Palette) -> Iterator[str]:
    e, middle = bar.estimate, y + _ROW / 2
    yield (
        f'<text x="{_LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end">'
        f"{_safe(_cut(bar.label, _SHOWN))}</text>"
    )
    if e.value is not None:
        yield (
            f'<rect class="bar" x="{_LEFT}" y="{y + 4}" width="{_x(e.value) - _LEFT:.1f}" '
            f'height="{_ROW - 8}" fill="{p.data}" fill-opacity="0.3"/>'
        )
    if e.low is not None and e.high is not None:
        ends = f"M{_x(e.low):.1f} {middle:.1f}H{_x(e.high):.1f}"
        yield f'<path class="interval" d="{ends}" stroke="{p.data}" stroke-width="2.2"/>'
    if e.value is not None:
        yield f'<circle cx="{_x(e.value):.1f}" cy="{middle:.1f}" r="4" fill="{p.data}"/>'
    form = _form(e)
    value = "" if e.value is None else repr(e.value)
    yield (
        f'<text x="{_RIGHT + 14}" y="{middle + 4:.1f}" font-size="12" data-pointer="{bar.at}" '
        f'data-form="{form}" data-value="{value}">{_safe(str(show(e, form)))}</text>'
    )


def _x(share: float) -> float:
    return _LEFT + min(max(share, 0.0), 1.0) * (_RIGHT - _LEFT)


def _safe(words: str) -> str:
    return escape(clean(words))


def _cut(words: str, most: int) -> str:
    words = clean(words)
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


# Tables


def write_compose_tables(result: ComposeResult, folder: Path) -> None:
    """``tables/*.csv``: every number of the result, an estimate a row."""
    write_csv(compose_tables(result), folder)


def compose_tables(result: ComposeResult) -> Tables:
    """The tables of `compose`: name to columns and rows."""
    return {
        "claims": (
            "claim text supported estimate",
            [
                {"claim": c.id, "text": c.text, "supported": c.supported, "estimate": c.estimate}
                for c in result.claims
            ],
        ),
        "shares": (
            "attribute basis measure read_as against estimator n_read n_rated labels" + ESTIMATE,
            [row for m in result.attributes for row in _shares(m)],
        ),
        "intersections": (
            "attribute level_of_it other_attribute level_of_other basis estimator n_pictures"
            " independent reference small measure" + ESTIMATE,
            [row for cell in result.intersections for row in _cell(cell)],
        ),
        "agreement": (
            "attribute measure n_raters n_pictures n_disagreements n_adjudicated n_tied" + ESTIMATE,
            [row for a in result.agreement for row in _agreement(a)],
        ),
        "labels_wanted": (
            "attribute half_width n_labels note",
            [
                {"attribute": m.attribute} | w.model_dump()
                for m in result.attributes
                for w in m.wanted
            ],
        ),
        "references": (
            "attribute reference share",
            [
                {"attribute": name, "reference": label, "share": share}
                for name, lines in result.references.items()
                for label, share in lines.items()
            ],
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in result.provenance.inputs],
        ),
    }


def _shares(m: Measured) -> Iterator[Row]:
    row: Row = {"attribute": m.attribute, "basis": m.basis, "labels": m.labels}
    pair: Row = {"read_as": m.contrast_level, "against": m.against_level}
    swapped: Row = {"read_as": m.against_level, "against": m.contrast_level}
    by: Row = {"estimator": m.estimator}
    yield row | pair | by | {"measure": "headline"} | estimate_row(m.headline)
    yield row | swapped | by | {"measure": "other"} | estimate_row(m.other)
    yield row | pair | {"measure": "bounds"} | estimate_row(m.bounds)
    if m.as_read is not None:
        yield row | pair | {"measure": "as read"} | estimate_row(m.as_read)
    for estimator, levels in {"": m.shares, **m.by_estimator}.items():
        for level, e in levels.items():
            of: Row = {
                "read_as": level,
                "measure": "beside" if estimator else "share",
                "estimator": estimator or m.estimator,
                "n_read": m.read.get(level),
                "n_rated": m.rated.get(level),
            }
            yield row | of | estimate_row(e)


def _cell(cell: Cell) -> Iterator[Row]:
    row: Row = {
        "attribute": cell.attributes[0],
        "level_of_it": cell.levels[0],
        "other_attribute": cell.attributes[1],
        "level_of_other": cell.levels[1],
        "basis": cell.basis,
        "estimator": cell.estimator,
        "n_pictures": cell.n,
        "independent": cell.independent,
        "reference": cell.reference,
        "small": cell.small,
    }
    yield row | {"measure": "share"} | estimate_row(cell.share)
    if cell.among is not None:
        yield row | {"measure": "among"} | estimate_row(cell.among)


def _agreement(a: Agreement) -> Iterator[Row]:
    row: Row = a.model_dump(exclude={"alpha", "kappa"})
    for name, e in (("alpha", a.alpha), ("kappa", a.kappa)):
        if e is not None:
            yield row | {"measure": name} | estimate_row(e)
