"""``tables/*.csv`` of `drift`, by the conventions of `laion_probe.render.tables`.

Each table is in long form. ``level`` is the interval's level; ``read_as`` is the level of an
attribute. Changes of colour are in L*, degrees (ITA) and CIEDE2000, as ``measure`` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from laion_probe.drift_result import DriftResult
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv

__all__ = ["drift_tables", "write_drift_tables"]

_PAIR = "pair before after unit prompt group generator control"


def write_drift_tables(result: DriftResult, folder: Path) -> None:
    """Write one file a table into ``folder``; a table without rows keeps its header."""
    write_csv(drift_tables(result), folder)


def drift_tables(r: DriftResult) -> Tables:
    """The tables of `drift`: name to columns and rows."""
    return {
        "claims": ("claim text supported estimate", _claims(r)),
        "transitions": ("attribute read_as_before read_as_after n_pairs" + ESTIMATE, _cells(r)),
        "levels": (
            "attribute read_as labels measure n_gained n_lost" + ESTIMATE,
            _levels(r),
        ),
        "tests": (
            "attribute read_as n_units_gained n_units_lost p test" + ESTIMATE,
            _tests(r),
        ),
        "colour": ("measure statistic" + ESTIMATE, _colour(r)),
        "refused": ("reason n_pairs", _refused(r)),
        "slices": ("by value_of n_pairs measure attribute read_as" + ESTIMATE, _slices(r)),
        "control": ("measure attribute read_as" + ESTIMATE, _control(r)),
        "pairs": (
            _PAIR + " unreadable refused l_before a_before b_before l_after a_after b_after"
            " ita_before ita_after delta_lightness delta_ita delta_e",
            _pairs(r),
        ),
        "pair_levels": ("pair attribute read_as_before read_as_after", _pair_levels(r)),
    }


def _claims(r: DriftResult) -> Iterator[Row]:
    for c in r.finding.claims:
        yield {"claim": c.id, "text": c.text, "supported": c.supported, "estimate": c.estimate}


def _cells(r: DriftResult) -> Iterator[Row]:
    for a in r.attributes:
        for before, row in a.counts.items():
            for after, n in row.items():
                cell: Row = {"attribute": a.attribute, "read_as_before": before}
                cell |= {"read_as_after": after, "n_pairs": n}
                share = a.row_shares[before].get(after)
                yield cell | (estimate_row(share) if share is not None else {})


def _levels(r: DriftResult) -> Iterator[Row]:
    for a in r.attributes:
        for d in a.drifts:
            row: Row = {"attribute": a.attribute, "read_as": d.level, "labels": a.labels}
            yield row | {"measure": "share_before"} | estimate_row(d.share_before)
            yield row | {"measure": "share_after"} | estimate_row(d.share_after)
            change: Row = {"measure": "difference", "n_gained": d.n_gained, "n_lost": d.n_lost}
            yield row | change | estimate_row(d.difference)


def _tests(r: DriftResult) -> Iterator[Row]:
    for a in r.attributes:
        row: Row = {"attribute": a.attribute, "read_as": a.headline, "p": a.p, "test": a.test}
        row |= {"n_units_gained": a.n_units_gained, "n_units_lost": a.n_units_lost}
        yield row | estimate_row(a.bounds)


def _colour(r: DriftResult) -> Iterator[Row]:
    if r.colour is None:
        return
    for measure in ("lightness", "ita", "delta_e"):
        change = getattr(r.colour, measure)
        for statistic in ("mean", "median"):
            row: Row = {"measure": measure, "statistic": statistic}
            yield row | estimate_row(getattr(change, statistic))


def _refused(r: DriftResult) -> Iterator[Row]:
    for reason, n in (r.colour.refused if r.colour else {}).items():
        yield {"reason": reason, "n_pairs": n}


def _slices(r: DriftResult) -> Iterator[Row]:
    headline = {a.attribute: a.headline for a in r.attributes}
    for s in r.slices:
        row: Row = {"by": s.by, "value_of": s.value, "n_pairs": s.n_pairs}
        for name, e in s.differences.items():
            level: Row = {"measure": "share", "attribute": name, "read_as": headline[name]}
            yield row | level | estimate_row(e)
        for measure, colour in (("lightness", s.lightness), ("ita", s.ita)):
            if colour is not None:
                yield row | {"measure": measure} | estimate_row(colour)


def _control(r: DriftResult) -> Iterator[Row]:
    if r.control is None:
        return
    headline = {a.attribute: a.headline for a in r.attributes}
    for name, e in r.control.differences.items():
        row: Row = {"measure": "share", "attribute": name, "read_as": headline[name]}
        yield row | estimate_row(e)
    for measure, colour in (("lightness", r.control.lightness), ("ita", r.control.ita)):
        if colour is not None:
            only: Row = {"measure": measure}
            yield only | estimate_row(colour)


def _pairs(r: DriftResult) -> Iterator[Row]:
    for p in r.pairs:
        row: Row = {"pair": p.row} | p.model_dump(include=set(_PAIR.split()[1:]))
        row |= {"unreadable": p.unreadable, "refused": p.refused}
        if p.colour is not None:
            for side in ("before", "after"):
                lab = getattr(p.colour, f"lab_{side}")
                row |= {f"{c}_{side}": x for c, x in zip("lab", lab, strict=True)}
            row |= p.colour.model_dump(exclude={"lab_before", "lab_after"})
        yield row


def _pair_levels(r: DriftResult) -> Iterator[Row]:
    for p in r.pairs:
        for name, (before, after) in p.levels.items():
            row: Row = {"pair": p.row, "attribute": name}
            yield row | {"read_as_before": before, "read_as_after": after}
