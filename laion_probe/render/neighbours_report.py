"""``report.html`` and the curves of neighbourhoods in a folder of embeddings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from laion_probe.curve_result import CurveOf
from laion_probe.neighbours_result import ConceptNeighbours, NeighboursResult
from laion_probe.render.forest import PAGE, PAPER
from laion_probe.render.geometry import Histogram, histogram
from laion_probe.render.html import environment, page, tied, write_report
from laion_probe.render.neighbours_curve import curve_svg
from laion_probe.render.neighbours_tables import write_neighbours_tables
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.text import Shown, level_name, number, show
from laion_probe.render.view import Method, Reference, methods_of
from laion_probe.results import Composition, Estimate

__all__ = ["neighbours_report_html", "render_neighbours", "write_neighbours_figures"]

#: With more concepts than this, each stands folded.
_OPEN = 6


@dataclass(frozen=True)
class AttributeView:
    """One attribute of one concept, beside its places in the result."""

    name: str
    title: str
    about: str
    at: str
    composition: Composition
    references: list[Reference]
    curve: CurveOf | None
    curve_at: str
    chart: Markup
    missed: Estimate | None
    missed_at: str


@dataclass(frozen=True)
class ConceptView:
    """One concept as the page shows it."""

    number: int
    at: str
    c: ConceptNeighbours
    attributes: list[AttributeView]
    histogram: Histogram | None


@dataclass(frozen=True)
class View:
    """What the template loops over."""

    concepts: list[ConceptView]
    folded: bool
    unknown_errors: list[str]
    methods: list[Method]


def render_neighbours(result: NeighboursResult, out: Path) -> None:
    """Write ``report.html``, ``result.json``, ``tables/*.csv`` and ``figures/*.svg``.

    All are drawn from the JSON text, read back.
    """
    result = NeighboursResult.from_json(result.to_json())
    write_report(out, neighbours_report_html(result), result)
    write_neighbours_tables(result, out / "tables")
    write_neighbours_figures(result, out / "figures")


def neighbours_report_html(result: NeighboursResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    env.globals.update(full=_full, rows_of=_rows)
    return page(env, "neighbours_report.html.j2", {"r": result, "v": _view(result)})


def write_neighbours_figures(result: NeighboursResult, folder: Path) -> None:
    """``figures/NN-CONCEPT-ATTRIBUTE.svg``: each curve of composition by threshold."""
    folder.mkdir(parents=True, exist_ok=True)
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    for i, c in enumerate(result.concepts, 1):
        slug = re.sub(r"[^a-z0-9]+", "-", c.name.lower()).strip("-")[:40]
        for name, curve in c.curves.items():
            svg = head + curve_svg(curve, _said(c, name), result.parity[name], _rows_near(c), PAPER)
            path = folder / f"{i:03d}-{slug}-{name}.svg"
            path.write_text(svg + "\n", encoding="utf-8", newline="\n")


def _said(c: ConceptNeighbours, name: str) -> str:
    of = c.compositions[name]
    pair = f"{level_name(of.contrast_level)} among {level_name(of.contrast_level)}"
    return f"{c.name}: share of {pair} or {level_name(of.against_level)}, by nearest rows"


def _rows_near(c: ConceptNeighbours) -> int | None:
    return c.n_near if c.threshold is not None and c.n_near else None


def _full(e: Estimate, where: str) -> Markup:
    """A share; of a full count without brackets, since nothing was sampled."""
    shown = show(e, "share" if e.value is not None or e.low is None else "range")
    if e.value is not None and e.low == e.value == e.high:
        shown = Shown(shown.value, "")
    return tied(e, where, "share", shown)


def _rows(e: Estimate, where: str) -> Markup:
    """A number of rows with its interval."""
    if e.value is None:
        return tied(e, where, "rows", Shown("not defined", ""))
    interval = ""
    if e.low is not None and e.high is not None:
        interval = f"[{_count(e.low)}, {_count(e.high)}]"
    return tied(e, where, "rows", Shown(_count(e.value), interval))


def _count(value: float) -> str:
    return f"{round(value):,}" if value >= 1 or value == 0 else number(value, 2)


def _view(r: NeighboursResult) -> View:
    known = {
        name
        for c in r.concepts
        for name, of in c.compositions.items()
        if of.with_known_errors is not None
    }
    found = any(c.status == "found" for c in r.concepts)
    return View(
        concepts=[_concept(r, i, c) for i, c in enumerate(r.concepts)],
        folded=len(r.concepts) > _OPEN,
        unknown_errors=[t for name, t in r.titles.items() if found and name not in known],
        methods=methods_of(e for _, e in walk(r) if e.value is not None or e.low is not None),
    )


def _concept(r: NeighboursResult, i: int, c: ConceptNeighbours) -> ConceptView:
    at = pointer("concepts", i)
    attributes = []
    for name, of in c.compositions.items():
        curve = c.curves.get(name)
        chart = ""
        if curve is not None:
            chart = curve_svg(curve, _said(c, name), r.parity[name], _rows_near(c), PAGE)
        attributes.append(
            AttributeView(
                name=name,
                title=r.titles[name],
                about=r.abouts[name],
                at=at + pointer("compositions", name),
                composition=of,
                references=[Reference("parity", r.parity[name], pointer("parity", name))],
                curve=curve,
                curve_at=at + pointer("curves", name),
                chart=Markup(chart),  # the chart escapes and cleans every text that it writes
                missed=c.missed.get(name),
                missed_at=at + pointer("missed", name),
            )
        )
    return ConceptView(
        number=i + 1,
        at=at,
        c=c,
        attributes=attributes,
        histogram=histogram(c.histogram, c.threshold),
    )
