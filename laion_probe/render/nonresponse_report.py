"""``report.html`` and tables of `nonresponse`: what is lost, and what shares can still say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from laion_probe.groups import UNKNOWN
from laion_probe.nonresponse_result import Composed, LossBy, LossLevel, NonresponseResult
from laion_probe.render.html import environment, page, tied, write_report
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.render.text import NBSP, Form, Shown, number, show
from laion_probe.render.view import Method, Reference, methods_of
from laion_probe.results import Estimate

__all__ = [
    "nonresponse_report_html",
    "nonresponse_tables",
    "render_nonresponse",
    "write_nonresponse_tables",
]

_LEVELS_SHOWN = 16


@dataclass(frozen=True)
class ShownLoss:
    """A group with the levels that the page shows: ``n_more`` are in the CSV only."""

    at: str
    by: LossBy
    levels: list[tuple[str, LossLevel]]
    n_more: int


@dataclass(frozen=True)
class Line:
    """One way to give a share, what it assumes, and the share at its place."""

    name: str
    assumes: str
    at: str
    estimate: Estimate


@dataclass(frozen=True)
class ShownShare:
    """An attribute: from those that came to what is possible at all."""

    at: str
    share: Composed
    lines: list[Line]
    curve: list[Line]
    references: list[Reference]


@dataclass(frozen=True)
class View:
    """What the template loops over, each beside its place in the result."""

    loss: list[ShownLoss]
    end: float  # of the axis of loss
    shares: list[ShownShare]
    methods: list[Method]


def render_nonresponse(result: NonresponseResult, out: Path) -> None:
    """Write what `nonresponse` found: ``report.html``, ``result.json``, ``tables/*.csv``.

    The same result gives the same bytes every time.
    """
    result = NonresponseResult.from_json(result.to_json())
    write_report(out, nonresponse_report_html(result), result)
    write_nonresponse_tables(result, out / "tables")


def nonresponse_report_html(result: NonresponseResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    env.globals.update(either=_either, points=_points, p_value=_p_value)
    return page(env, "nonresponse.html.j2", {"r": result, "v": _view(result)})


def _either(e: Estimate, where: str, form: Form | None = None) -> Markup:
    """A share, or the ends of a range that has no middle, tied to its place."""
    kind: Form = form or ("share" if e.value is not None or e.low is None else "range")
    return tied(e, where, kind, show(e, kind))


def _points(e: Estimate, where: str) -> Markup:
    """A difference of which the head of the column says the unit, tied to its place."""
    shown = show(e, "points")
    plain = Shown(shown.value.removesuffix(f"{NBSP}points"), shown.interval)
    return tied(e, where, "points", plain)


def _p_value(p: float, where: str) -> Markup:
    """A p-value, tied to its place; a small one by what it is under."""
    shown = "under 0.001" if p < 0.001 else number(p, 3)
    return Markup(
        '<span class="num" data-pointer="{}" data-form="p" data-value="{}">{}</span>'
    ).format(where, repr(p), shown)


def _view(r: NonresponseResult) -> View:
    most = max((x.lost.high or x.lost.value or 0 for b in r.loss for x in b.levels), default=1.0)
    return View(
        loss=[_loss(i, by) for i, by in enumerate(r.loss)],
        end=1.0 if most > 0.5 else 0.5,
        shares=[_share(i, c) for i, c in enumerate(r.composed)],
        methods=methods_of(e for _, e in walk(r) if e.value is not None or e.low is not None),
    )


def _loss(i: int, by: LossBy) -> ShownLoss:
    """The most frequent levels, then *unknown*."""
    at = pointer("loss", i)
    placed = [(at + pointer("levels", j), level) for j, level in enumerate(by.levels)]
    known = [pair for pair in placed if pair[1].level != UNKNOWN]
    unknown = [pair for pair in placed if pair[1].level == UNKNOWN]
    return ShownLoss(at, by, [*known[:_LEVELS_SHOWN], *unknown], max(0, len(known) - _LEVELS_SHOWN))


def _share(i: int, c: Composed) -> ShownShare:
    at = pointer("composed", i)
    odds = f"{c.most_odds:g}"
    lines = [
        Line("As they came", "loss is random altogether", at + "/complete", c.complete),
        Line(
            "Re-weighted",
            "loss is random given what the weights use",
            at + "/reweighted",
            c.reweighted,
        ),
        Line(
            f"Odds up to {odds} times",
            f"those lost have at most {odds} times the odds of pictures like them, and at least "
            f"one over {odds}",
            at + "/limited",
            c.limited,
        ),
        Line("Anything", "nothing of those lost or unknown", at + "/worst", c.worst),
    ]
    curve = [
        Line(
            number(x.odds, 2).rstrip("0").rstrip("."),
            "",
            at + pointer("curve", j, "share"),
            x.share,
        )
        for j, x in enumerate(c.curve)
    ]
    return ShownShare(at, c, lines, curve, [Reference("parity", c.parity, at + "/parity")])


# Tables


def write_nonresponse_tables(result: NonresponseResult, folder: Path) -> None:
    """``tables/*.csv``: every number of the result, an estimate a row."""
    write_csv(nonresponse_tables(result), folder)


def nonresponse_tables(result: NonresponseResult) -> Tables:
    """The tables of `nonresponse`: name to columns and rows."""
    w = result.weighting
    fit = None if w is None else w.fit
    return {
        "claims": (
            "claim text supported estimate",
            [
                {"claim": c.id, "text": c.text, "supported": c.supported, "estimate": c.estimate}
                for c in result.claims
            ],
        ),
        "lost": ("measure" + ESTIMATE, [{**estimate_row(result.lost), "measure": "lost"}]),
        "coverage": ("id what n of share", [c.model_dump() for c in result.coverage]),
        "reasons": ("status reason n share", [x.model_dump() for x in result.reasons]),
        "loss": (
            "group level_name n_rows n_lost domains few measure" + ESTIMATE,
            [row for by in result.loss for level in by.levels for row in _level(by, level)],
        ),
        "tests": (
            "group title p_value adjusted depends f df below design_effect n_together why_not",
            [_test(by) for by in result.loss],
        ),
        "fit": (
            "measure" + ESTIMATE,
            []
            if fit is None
            else [
                {**estimate_row(e), "measure": name}
                for name, e in (
                    ("brier", fit.brier),
                    ("auc", fit.auc),
                    ("intercept", fit.intercept),
                    ("slope", fit.slope),
                )
            ],
        ),
        "reliability": (
            "predicted" + ESTIMATE,
            []
            if fit is None
            else [{**estimate_row(x.came), "predicted": x.predicted} for x in fit.reliability],
        ),
        "shares": (
            "attribute read_as against measure odds count labels" + ESTIMATE,
            [row for c in result.composed for row in _shares(c)],
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in result.provenance.inputs],
        ),
    }


def _level(by: LossBy, x: LossLevel) -> Iterator[Row]:
    row: Row = {"group": by.group, "level_name": x.level, "n_rows": x.n, "n_lost": x.n_lost}
    row |= {"domains": x.domains, "few": x.few}
    for measure, e in (("lost", x.lost), ("difference", x.difference), ("ratio", x.ratio)):
        yield row | {"measure": measure} | estimate_row(e)


def _test(by: LossBy) -> Row:
    df, below = by.df or (None, None)
    return {
        "group": by.group,
        "title": by.title,
        "p_value": by.p_value,
        "adjusted": by.adjusted,
        "depends": by.depends,
        "f": by.f,
        "df": df,
        "below": below,
        "design_effect": by.design_effect,
        "n_together": by.n_together,
        "why_not": by.why_not,
    }


def _shares(c: Composed) -> Iterator[Row]:
    pair: Row = {"attribute": c.attribute, "read_as": c.contrast_level, "labels": c.labels}
    pair |= {"against": c.against_level}
    for measure in ("complete", "reweighted", "limited", "possible", "worst"):
        yield pair | {"measure": measure} | estimate_row(getattr(c, measure))
    for x in c.curve:
        yield pair | {"measure": "at odds", "odds": x.odds} | estimate_row(x.share)
    for measure, shares in (
        ("complete share", c.complete_shares),
        ("reweighted share", c.reweighted_shares),
    ):
        for level, e in shares.items():
            of: Row = {"attribute": c.attribute, "read_as": level, "labels": c.labels}
            of |= {"measure": measure, "count": c.counts[level]}
            yield of | estimate_row(e)
