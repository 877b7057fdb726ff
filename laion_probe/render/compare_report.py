"""``report.html`` of `compare`: data beside generators and references, for many concepts at once.

Every number stands in ``result.json``, to which it is tied by a JSON pointer. What is chosen here
is order, words and how many concepts are shown: all of them are in ``tables/*.csv``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from markupsafe import Markup

from laion_probe.compare_result import (
    Compared,
    CompareInput,
    CompareResult,
    ConceptComparison,
    FromReference,
    GeneratorCell,
    SourceCell,
    Summary,
)
from laion_probe.groups import UNKNOWN
from laion_probe.render import text
from laion_probe.render.forest import (
    PAGE,
    PAPER,
    Forest,
    ForestPoint,
    ForestRow,
    Palette,
    Series,
    forest_svg,
)
from laion_probe.render.html import environment, page, tied
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.view import Method, methods_of
from laion_probe.results import Claim, Estimate

__all__ = ["compare_report_html", "write_forests"]

#: Rows of the page's plots and table; a longer list is whole in the CSV and cut here.
_ROWS_SHOWN = 400
_REFERENCE_ROWS = 200
_NOTES_SHOWN = 8

#: Below it a p-value is only said to be so.
_TINY = 0.0001

_POINTS = ("difference", "raw", "corrected", "signed", "bias_amp", "directional")

#: What each kind of harm is, in our words, after Katzman et al. 2023.
_HARMS: dict[str, str] = {
    "stereotyping": "oversimplified beliefs about a group are repeated",
    "demeaning": "a group is shown as of lower standing than others",
    "erasing": "a group, or what belongs to it, is not there or not recognised",
    "alienating": "that belonging to a group matters to what is shown is not acknowledged",
    "denying-self-identification": "people are assigned to groups without a say of their own",
    "reifying-groups": "the division of people into these groups is taken for natural",
}


def compare_report_html(result: CompareResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    toward = partial(_toward, result)
    env.globals.update(
        est=_est,
        harm_about=_HARMS,
        toward=toward,
        in_points=_in_points,
        p_value=_p_value,
        points=_points,
    )
    values = {
        "r": result,
        "v": _view(result),
        # By line, since a line feed in a text would be cleaned away.
        "config": json.dumps(result.config, ensure_ascii=False, indent=2).split("\n"),
    }
    return page(env, "compare.html.j2", values)


def write_forests(result: CompareResult, folder: Path) -> None:
    """Write ``forest.svg``, by the data's share, and ``forest-amplification.svg``, by that.

    The second is there if there is a generator. Both show every concept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = {"forest": _shares(result, None), "forest-amplification": _amplified(result, None)}
    for name, forest in plots.items():
        if forest is not None:
            head = '<?xml version="1.0" encoding="utf-8"?>\n'
            svg = head + forest_svg(forest, PAPER) + "\n"
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8", newline="\n")


# Numbers


def _est(estimate: Estimate, where: str) -> Markup:
    """An estimate in the form of its field, tied to its place; the head of a column has units."""
    form: text.Form = "points" if _in_points(where) else "share"
    if where.endswith("/ratio"):
        form = "ratio"
    if where.startswith("/summaries/") and estimate.value is not None:
        return tied(estimate, where, form, _fine(estimate, signed=form == "points"))
    shown = text.show(estimate, form)
    value = shown.value.removesuffix(f"{text.NBSP}points").removesuffix(f"{text.NBSP}%")
    return tied(estimate, where, form, text.Shown(value, shown.interval))


def _fine(e: Estimate, *, signed: bool) -> text.Shown:
    """A mean over concepts, which is known to more decimals than what it is the mean of."""
    said = [
        "not bounded" if x is None else text.number(100 * x, 2, signed=signed)
        for x in (e.value, e.low, e.high)
    ]
    return text.Shown(said[0], f"[{said[1]},{text.NBSP}{said[2]}]")


def _points(value: float, where: str) -> Markup:
    """A change in points with its sign, tied to its place in ``result.json``."""
    return Markup(
        '<span class="num" data-pointer="{}" data-form="percent" data-value="{}">{}</span>'
    ).format(where, repr(value), text.number(100 * value, 1, signed=True))


def _p_value(p: float, where: str) -> Markup:
    """A p-value tied to its place; a tiny one is never shown as zero."""
    said = f"<{text.NBSP}{_TINY}" if p < _TINY else text.number(p, 4 if p < 0.1 else 2)
    return Markup(
        '<span class="num" data-pointer="{}" data-form="p" data-value="{}">{}</span>'
    ).format(where, repr(p), said)


def _in_points(where: str) -> bool:
    """Whether the estimate at that pointer is a difference, with a sign."""
    return where.rpartition("/")[2] in _POINTS or "/references/" in where


def _toward(r: CompareResult, c: Compared) -> str:
    """Which side of parity the data favour, in words."""
    others = [level for level in r.levels if level not in (r.reported, UNKNOWN)]
    if len(others) > 1:
        return f"{c.toward} parity"
    return text.level_name(r.reported if c.toward == "above" else others[0])


def _known(r: CompareResult) -> str:
    """Which pictures a share is of, in words."""
    if r.base == tuple(level for level in r.levels if level != UNKNOWN):
        return "pictures whose level is known"
    return f"pictures read as {' or '.join(text.level_name(level) for level in r.base)}"


# What the templates loop over


@dataclass(frozen=True)
class ShownSide:
    """A row of the table: the data, all or those with matched captions, and how they compare."""

    note: str
    data: SourceCell | None
    data_at: str
    compared: Compared | None
    at: str


@dataclass(frozen=True)
class ShownCell:
    """One generator's rows of a concept; ``shared`` is how many the concept has, 0 but once."""

    concept: ConceptComparison
    shared: int
    cell: GeneratorCell | None
    cell_at: str
    sides: list[ShownSide]


@dataclass(frozen=True)
class ShownSummary:
    """A column of the table of means."""

    at: str
    title: str
    note: str
    summary: Summary


@dataclass(frozen=True)
class ShownReference:
    """A concept's reference share, and how far each source is from it, by the sources' names."""

    at: str
    concept: str
    found: FromReference
    differences: list[tuple[str, Estimate] | None]


@dataclass(frozen=True)
class ShownClaim:
    """A claim of the finding with its estimate, or None where it is about a count."""

    claim: Claim
    estimate: Estimate | None


@dataclass(frozen=True)
class CompareView:
    """Everything that the report arranges, in the order in which it shows it."""

    generators: list[str]
    matched: bool
    uncorrected: bool
    explained: bool
    interval: str
    known: str  # which pictures a share is of
    many_levels: bool
    columns: int  # of the table of concepts: how one row's data compare
    summaries: list[ShownSummary]
    forest: Markup
    amplified: Markup | None
    cells: list[ShownCell]
    n_more: int
    reference_sources: list[str]
    reference_rows: list[ShownReference]
    n_more_references: int
    claims: list[ShownClaim]
    methods: list[Method]
    inputs: list[tuple[str, CompareInput]]
    notes_shown: int  # the others are folded


def _view(r: CompareResult) -> CompareView:
    generators = [s.name for s in r.sources if s.kind == "generator"]
    matched = any(s.kind == "matched" for s in r.sources)
    each = max(len(generators), 1)
    order = _order(r, _by_data_share)
    shown = order[: max(_ROWS_SHOWN // each, 1)]
    references = list(_references(r, generators, matched))
    amplified = _amplified(r, _ROWS_SHOWN)
    many = len([level for level in r.levels if level != UNKNOWN]) > 2
    estimates = dict(walk(r))
    return CompareView(
        generators=generators,
        matched=matched,
        uncorrected=any(s.labels.startswith("uncorrected") for s in r.sources),
        explained=any(s.n_explained for s in r.summaries),
        interval=f"{100 * r.level:g}{text.NBSP}%",
        known=_known(r),
        many_levels=many,
        columns=3 + 2 * many,
        summaries=list(_summaries(r)),
        forest=_drawn(_shares(r, _ROWS_SHOWN)),
        amplified=None if amplified is None else _drawn(amplified),
        cells=[cell for i in shown for cell in _cells(r, i, matched=matched)],
        n_more=len(order) - len(shown),
        reference_sources=["data", *(["matched"] if matched else []), *generators],
        reference_rows=references[:_REFERENCE_ROWS],
        n_more_references=len(references[_REFERENCE_ROWS:]),
        claims=[ShownClaim(c, estimates.get(c.estimate)) for c in r.finding.claims],
        methods=methods_of(e for _, e in walk(r) if e.value is not None),
        inputs=[(pointer("inputs", i), record) for i, record in enumerate(r.inputs)],
        notes_shown=_NOTES_SHOWN,
    )


def _drawn(forest: Forest, palette: Palette = PAGE) -> Markup:
    # Markup, since the plot escapes and cleans every text that it writes.
    return Markup(forest_svg(forest, palette))


def _summaries(r: CompareResult) -> Iterator[ShownSummary]:
    for i, summary in enumerate(r.summaries):
        note = "against all of the data"
        if summary.against == "matched":
            note = "against the data whose captions are like the prompts"
        yield ShownSummary(pointer("summaries", i), summary.generator, note, summary)


def _cells(r: CompareResult, i: int, *, matched: bool) -> Iterator[ShownCell]:
    concept, at = r.concepts[i], pointer("concepts", i)
    cells: list[GeneratorCell | None] = list(concept.generators) or [None]
    for j, cell in enumerate(cells):
        where = "" if cell is None else at + pointer("generators", j)
        raw = None if cell is None else cell.against_data
        note = "all captions" if matched else ""
        sides = [ShownSide(note, concept.data, at + "/data", raw, where + "/against_data")]
        if matched:
            like = None if cell is None else cell.against_matched
            note = "captions like the prompt"
            place = at + "/matched"
            sides.append(ShownSide(note, concept.matched, place, like, where + "/against_matched"))
        yield ShownCell(concept, len(cells) * len(sides) if j == 0 else 0, cell, where, sides)


def _references(r: CompareResult, generators: list[str], matched: bool) -> Iterator[ShownReference]:
    for i in _order(r, _by_data_share):
        for j, found in enumerate(r.concepts[i].references):
            at = pointer("concepts", i, "references", j)
            cells: list[tuple[str, Estimate] | None] = [(at + "/data", found.data)]
            if matched:
                told = found.matched
                cells.append(None if told is None else (at + "/matched", told))
            for name in generators:
                by = found.generators.get(name)
                cells.append(None if by is None else (at + pointer("generators", name), by))
            yield ShownReference(at, r.concepts[i].name, found, cells)


# Plots


def _order(r: CompareResult, key: Callable[[ConceptComparison], float | None]) -> list[int]:
    """Places of the concepts by falling ``key``, those without one last, then by name."""

    def rank(i: int) -> tuple[bool, float, str]:
        value = key(r.concepts[i])
        return value is None, -(value or 0.0), r.concepts[i].name

    return sorted(range(len(r.concepts)), key=rank)


def _by_data_share(concept: ConceptComparison) -> float | None:
    return concept.data.share.value


def _by_amplification(concept: ConceptComparison) -> float | None:
    """Of the first generator."""
    return concept.generators[0].against_data.corrected.value if concept.generators else None


def _shares(r: CompareResult, most: int | None) -> Forest:
    """Shares of every source, sorted by the data's."""
    order = _order(r, _by_data_share)[:most]
    names = [s.name for s in r.sources if s.kind == "generator"]
    series = [Series(_source_words(s.name), s.kind) for s in r.sources]
    matched = any(s.kind == "matched" for s in r.sources)
    references = [ref.name for ref in r.references]
    level = text.level_name(r.reported)
    return Forest(
        title=f"Share of {level} by concept",
        about=f"For each of {len(order)} concepts, the share of {level} among {_known(r)}, in "
        f"{text.join([s.name for s in series])}, with intervals; parity"
        + (f" and {text.join(references)}" if references else "")
        + f" marked; sorted by the data's share; {r.labels}.",
        axis=f"share of {level} ({text.attribute_name(r.attribute)}; {r.labels})",
        series=tuple(series),
        rows=tuple(_share_row(r, i, names, references, matched) for i in order),
        parity=r.parity,
        parity_label="parity",
        references=tuple(references),
    )


def _share_row(
    r: CompareResult, i: int, names: list[str], references: list[str], matched: bool
) -> ForestRow:
    concept, at = r.concepts[i], pointer("concepts", i)
    points: list[ForestPoint | None] = []
    points.append(_point(concept.data.share, concept.data, at + "/data"))
    if matched:
        told = concept.matched
        points.append(None if told is None else _point(told.share, told, at + "/matched"))
    drew = {cell.generator: (j, cell) for j, cell in enumerate(concept.generators)}
    for name in names:
        j, cell = drew.get(name, (0, None))
        where = at + pointer("generators", j)
        points.append(None if cell is None else _point(cell.share, cell, where))
    shares = {found.reference: found.share for found in concept.references}
    return ForestRow(concept.name, tuple(points), tuple(shares.get(name) for name in references))


def _amplified(r: CompareResult, most: int | None) -> Forest | None:
    """Bias-corrected amplification of every generator, sorted by the first one's; None without."""
    names = [s.name for s in r.sources if s.kind == "generator"]
    if not names:
        return None
    matched = any(s.kind == "matched" for s in r.sources)
    rows, ends = [], [0.1]
    for i in _order(r, _by_amplification)[:most]:
        points: list[ForestPoint | None] = []
        drew = {cell.generator: (j, cell) for j, cell in enumerate(r.concepts[i].generators)}
        for name in names:
            at = pointer("concepts", i)
            j, cell = drew.get(name, (0, None))
            here = at + pointer("generators", j)
            sides = [(None if cell is None else cell.against_data, r.concepts[i].data, "/data")]
            if matched:
                other = None if cell is None else cell.against_matched
                sides.append((other, r.concepts[i].matched or r.concepts[i].data, "/matched"))
            for compared, data, place in sides:
                if cell is None or compared is None:
                    points.append(None)
                    continue
                few, where = min((cell, here), (data, at + place), key=lambda x: x[0].n_known)
                e = compared.corrected
                points.append(_point(e, few, where))
                ends += [abs(end) for end in (e.value, e.low, e.high) if end is not None]
        rows.append(ForestRow(r.concepts[i].name, tuple(points)))
    series = []
    for name in names:
        series.append(Series(name, "generator"))
        if matched:
            series.append(Series(f"captions matched: {name}", "beside matched"))
    end = next(x for x in (0.1, 0.2, 0.3, 0.4, 0.5, 1.0) if max(ends) <= x or x == 1.0)
    return Forest(
        title="Amplification by concept",
        about=f"For each of {len(rows)} concepts, by how many points generated pictures are "
        "further from parity than the data's, corrected for bias, with intervals; sorted by it; "
        f"{r.labels}.",
        axis="change of the distance from parity, in points, bias-corrected; to the right: further",
        series=tuple(series),
        rows=tuple(rows),
        parity=0.0,
        parity_label="as far from parity as the data",
        low=-end,
        high=end,
        signed=True,
    )


def _point(e: Estimate, cell: SourceCell, at: str) -> ForestPoint:
    return ForestPoint(e.value, e.low, e.high, cell.n_known, at + "/n_known", cell.small)


def _source_words(name: str) -> str:
    return {"data": "the data", "data:matched": "the data, captions matched"}.get(name, name)
