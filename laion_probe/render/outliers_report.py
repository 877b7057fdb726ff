"""``report.html`` of `outliers`: what is drawn too often, and which explanations the data support.

Every number stands in ``result.json``, to which it is tied by a JSON pointer; what is arranged here
is order, words and the places of marks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from markupsafe import Markup

from laion_probe.outliers_result import (
    BroughtAlong,
    Explanation,
    ExplanationKind,
    NullRegion,
    OutlierCluster,
    OutliersResult,
    RecipeWeighed,
    Verdict,
)
from laion_probe.render.geometry import percent
from laion_probe.render.html import environment, page, tied, write_report
from laion_probe.render.outliers_tables import write_outliers_tables
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.text import NBSP, Form, Shown, clean, count, join, number, show
from laion_probe.render.view import Method, methods_of
from laion_probe.results import Composition, Estimate, PictureSet, WordScore

__all__ = ["LogAxis", "outliers_report_html", "render_outliers"]

#: Clusters after these stand folded, and recipes after the first.
_OPEN = 3
_WORDS_SHOWN = 12
_HITS_SHOWN = 12
_ENDS = (4, 16, 64)  # of the axis of odds ratios: squares, so that their roots are ticks


@dataclass(frozen=True)
class Whisker:
    """A mark and its interval in percent of an axis; ends that go on past it are cut.

    There is no mark where the data define no middle, or where it lies past the axis.
    """

    mark: str | None
    low: str
    high: str
    cut_low: bool
    cut_high: bool


@dataclass(frozen=True)
class LogAxis:
    """A logarithmic axis of ratios from ``1 / end`` to ``end``.

    Examples:
        >>> axis = LogAxis(16)
        >>> axis.place(1.0), axis.place(4.0), axis.place(0.0)
        ('50.00%', '75.00%', '0.00%')
    """

    end: int

    def place(self, ratio: float) -> str:
        """Where a ratio of 0 or more stands; what lies outside stays at the edge."""
        if ratio <= 0:
            return percent(0.0)
        return percent(0.5 + 0.5 * math.log(ratio) / math.log(self.end))

    @property
    def ticks(self) -> tuple[tuple[str, str], ...]:
        """Place and label of each tick."""
        root = math.isqrt(self.end)
        labels = (f"1/{self.end}", f"1/{root}", "1", f"{root}", f"{self.end}")
        return tuple((percent(i / 4), label) for i, label in enumerate(labels))

    def band(self, null: NullRegion) -> tuple[str, str]:
        """Left edge and width of the null region."""
        left, right = (float(self.place(x)[:-1]) for x in (null.low, null.high))
        return f"{left:.2f}%", f"{right - left:.2f}%"

    def whisker(self, e: Estimate) -> Whisker | None:
        """The marks of an estimate; None where the data define neither it nor an end."""
        if not _defined(e):
            return None
        low = e.value if e.low is None and e.high is None else e.low
        high = e.value if e.low is None and e.high is None else e.high
        return Whisker(
            mark=self.place(e.value) if e.value is not None and self._holds(e.value) else None,
            low=percent(0) if low is None else self.place(low),
            high=percent(1) if high is None else self.place(high),
            cut_low=low is None or low * self.end < 1,
            cut_high=high is None or high > self.end,
        )

    def _holds(self, ratio: float) -> bool:
        return 1 / self.end <= ratio <= self.end


@dataclass(frozen=True)
class ShownExplanation:
    """An explanation beside its place; ``hits`` are the most frequent, ``n_more`` the others."""

    at: str
    e: Explanation
    whisker: Whisker | None
    measured: bool
    hits: list[tuple[str, str, int]]
    n_more: int


@dataclass(frozen=True)
class ShownRecipe:
    """A recipe's explanations of one cluster; ``verdicts`` counts them in words."""

    at: str
    w: RecipeWeighed
    verdicts: str
    rows: list[ShownExplanation]
    together: list[str]


@dataclass(frozen=True)
class MatrixRow:
    """An explanation under every recipe: the verdict, or None where it was not weighed."""

    title: str
    verdicts: list[Verdict | None]


@dataclass(frozen=True)
class Read:
    """What was read of one side's pictures, "outputs" or "data"."""

    side: str
    at: str
    c: Composition


@dataclass(frozen=True)
class AttributeView:
    """One attribute of one cluster, on every side where it was read."""

    title: str
    about: str
    sides: list[Read]
    levels: list[str]


@dataclass(frozen=True)
class ClusterView:
    """One cluster as the page shows it."""

    number: int
    at: str
    c: OutlierCluster
    folded: bool
    ratio_defined: bool
    sets: list[tuple[str, PictureSet]]
    axis: LogAxis
    matrix: list[MatrixRow]
    recipes: list[ShownRecipe]
    attributes: list[AttributeView]
    words: list[tuple[str, WordScore]]
    more_words: list[tuple[str, WordScore]]
    words_end: float


@dataclass(frozen=True)
class View:
    """What the template loops over, each beside its place in the result."""

    clusters: list[ClusterView]
    uncorrected: list[str]
    brought: list[tuple[str, str, list[tuple[str, BroughtAlong]]]]  # kind, title, rows
    methods: list[Method]


def render_outliers(result: OutliersResult, out: Path) -> None:
    """Write what `outliers` found: ``report.html``, ``result.json``, ``tables/*.csv``.

    All are drawn from the JSON text, read back; the same result gives the same bytes every time.
    """
    result = OutliersResult.from_json(result.to_json())
    write_report(out, outliers_report_html(result), result)
    write_outliers_tables(result, out / "tables")


def outliers_report_html(result: OutliersResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    env.globals.update(share=_share, points=_points, ratio=_ratio, two_lines=_two_lines, hit=_hit)
    return page(env, "outliers.html.j2", {"r": result, "v": _view(result)})


# Numbers


def _shown_share(e: Estimate) -> Shown:
    form: Form = "share" if e.value is not None or e.low is None else "range"
    shown = show(e, form)
    # nothing was sampled for a full count
    exact = e.value is not None and e.low == e.value == e.high
    return Shown(shown.value, "") if exact else shown


def _shown_points(e: Estimate) -> Shown:
    form: Form = "points" if e.value is not None or e.low is None else "points-range"
    shown = show(e, form)
    return Shown(shown.value.removesuffix(f"{NBSP}points"), shown.interval)


def _shown_ratio(e: Estimate) -> Shown:
    low, high = (None if end is None else _figures(end) for end in (e.low, e.high))
    if e.value is not None:
        if low is None and high is None:
            return Shown(_figures(e.value), "(no interval)")
        return Shown(
            _figures(e.value),
            f"[{low or 'no lower end'},{NBSP}{high or f'no{NBSP}upper{NBSP}end'}]",
        )
    if low is None and high is None:
        return Shown("not defined", "")
    if high is None and e.low == 0:
        return Shown("open:", f"from 0,{NBSP}with no upper end")
    if low is None:
        return Shown(f"at most {high}", "")
    return Shown(f"at least {low}" if high is None else f"{low} to {high}", "")


def _figures(ratio: float) -> str:
    """A ratio with two or three figures, and never a zero that is none."""
    if ratio == 0 or ratio >= 100:
        return count(round(ratio))
    if ratio < 1e-4:
        return "under 0.0001"
    return number(ratio, 1 if ratio >= 10 else max(2, 1 - math.floor(math.log10(ratio))))


def _share(e: Estimate, where: str) -> Markup:
    """A share; of a full count without brackets."""
    return tied(e, where, "share", _shown_share(e))


def _points(e: Estimate, where: str) -> Markup:
    """A difference of which the head of the column says the unit."""
    return tied(e, where, "points", _shown_points(e))


def _ratio(e: Estimate, where: str) -> Markup:
    """A ratio with as many decimals as its size asks for."""
    return tied(e, where, "ratio", _shown_ratio(e))


def _two_lines(e: Estimate, where: str, form: str) -> Markup:
    """An estimate with its interval on a line of its own, for tables of many columns."""
    shown = {"share": _shown_share, "points": _shown_points, "ratio": _shown_ratio}[form](e)
    interval = Markup('<span class="ci behind">{}</span>').format(shown.interval)
    return Markup(
        '<span class="est" data-pointer="{}" data-form="{}" data-value="{}">'
        '<span class="value">{}</span>{}</span>'
    ).format(
        where,
        form,
        "" if e.value is None else repr(e.value),
        shown.value,
        interval if shown.interval else "",
    )


def _hit(n: int, where: str) -> Markup:
    """A count by a name from the data: one with control characters cannot be pointed at."""
    if clean(where) != where:
        return Markup.escape(count(n))
    return Markup(
        '<span class="num" data-pointer="{}" data-form="number" data-value="{}">{}</span>'
    ).format(where, n, count(n))


# What the templates loop over


def _defined(e: Estimate) -> bool:
    """Whether the data define the number, or an end of it."""
    return (e.value, e.low, e.high) != (None, None, None)


def _view(r: OutliersResult) -> View:
    read = [c for x in r.clusters for side in x.compositions.values() for c in side.values()]
    placed = [(pointer("brought", i), b) for i, b in enumerate(r.brought)]
    kinds = (("tag", "Things seen in pictures"), ("word", "Words of captions"))
    return View(
        clusters=[_cluster(r, i, c) for i, c in enumerate(r.clusters)],
        uncorrected=list(
            dict.fromkeys(
                r.titles.get(c.attribute, c.attribute) for c in read if "uncorrected" in c.labels
            )
        ),
        brought=[
            (kind, title, rows)
            for kind, title in kinds
            if (rows := [pair for pair in placed if pair[1].kind == kind])
        ],
        methods=methods_of(e for _, e in walk(r) if e.value is not None or e.low is not None),
    )


def _cluster(r: OutliersResult, i: int, c: OutlierCluster) -> ClusterView:
    at = pointer("clusters", i)
    axis = LogAxis(_end(e.odds_ratio for w in c.weighed for e in w.explanations))
    words = [(at + pointer("words", j), word) for j, word in enumerate(c.words)]
    return ClusterView(
        number=i + 1,
        at=at,
        c=c,
        folded=i >= _OPEN,
        ratio_defined=_defined(c.ratio),
        sets=_sets(r, at, c),
        axis=axis,
        matrix=_matrix(c.weighed),
        recipes=[_recipe(at + pointer("weighed", j), w, axis) for j, w in enumerate(c.weighed)],
        attributes=list(_attributes(r, at, c)),
        words=words[:_WORDS_SHOWN],
        more_words=words[_WORDS_SHOWN:],
        words_end=max((abs(word.log_odds) for word in c.words), default=0.0) or 1.0,
    )


def _sets(r: OutliersResult, at: str, c: OutlierCluster) -> list[tuple[str, PictureSet]]:
    """Sets with an average first, so that both sides' stand beside each other.

    An output has no caption but what was asked for, and "no caption" would be read as a finding.
    """
    placed = []
    for i, shown in enumerate(c.pictures):
        pictures = tuple(
            p.model_copy(update={"caption": "the empty prompt"})
            if r.prompt == "" and p.similarity is None and not p.caption.strip()
            else p
            for p in shown.pictures
        )
        where = at + pointer("pictures", i)
        placed.append((where, shown.model_copy(update={"pictures": pictures})))
    return sorted(placed, key=lambda pair: not pair[1].average)


def _end(ratios: Iterable[Estimate]) -> int:
    """An end that holds every mark and bounded end, or the furthest that there is."""
    far = 1.0
    for e in ratios:
        for x in (e.value, e.low, e.high):
            if x is not None and x > 0:
                far = max(far, x, 1 / x)
    return next((end for end in _ENDS if far <= end), _ENDS[-1])


def _matrix(weighed: Sequence[RecipeWeighed]) -> list[MatrixRow]:
    said = [{e.kind: e.verdict for e in w.explanations} for w in weighed]
    titles: dict[ExplanationKind, str] = {}
    for w in weighed:
        for e in w.explanations:
            titles.setdefault(e.kind, e.title)
    return [MatrixRow(title, [of.get(kind) for of in said]) for kind, title in titles.items()]


def _recipe(at: str, w: RecipeWeighed, axis: LogAxis) -> ShownRecipe:
    said = Counter(e.verdict for e in w.explanations)
    return ShownRecipe(
        at=at,
        w=w,
        verdicts=join([f"{said[v]} {v}" for v in get_args(Verdict) if said[v]])
        or "nothing weighed",
        rows=[
            _explanation(at + pointer("explanations", k), e, axis)
            for k, e in enumerate(w.explanations)
        ],
        together=[e.title for e in w.explanations if e.kind in w.together],
    )


def _explanation(at: str, e: Explanation, axis: LogAxis) -> ShownExplanation:
    hits = sorted(e.by.items(), key=lambda pair: (-pair[1], pair[0]))
    contrasts = (e.here, e.elsewhere, e.risk_difference, e.risk_ratio, e.odds_ratio)
    return ShownExplanation(
        at=at,
        e=e,
        whisker=axis.whisker(e.odds_ratio),
        measured=any(_defined(x) for x in contrasts),
        hits=[(name, at + pointer("by", name), n) for name, n in hits[:_HITS_SHOWN]],
        n_more=max(0, len(hits) - _HITS_SHOWN),
    )


def _attributes(r: OutliersResult, at: str, c: OutlierCluster) -> Iterable[AttributeView]:
    names = dict.fromkeys(name for side in c.compositions.values() for name in side)
    for name in names:
        sides = [
            Read(side, at + pointer("compositions", side, name), read[name])
            for side, read in c.compositions.items()
            if name in read
        ]
        levels = list(dict.fromkeys(level for side in sides for level in side.c.levels))
        yield AttributeView(r.titles.get(name, name), r.abouts.get(name, ""), sides, levels)
