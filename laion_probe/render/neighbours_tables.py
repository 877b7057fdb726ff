"""``tables/*.csv`` of neighbourhoods: every number of the result, an estimate a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from laion_probe.neighbours_result import ConceptNeighbours, NeighboursResult, ShownRows
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv

__all__ = ["neighbours_tables", "write_neighbours_tables"]


def write_neighbours_tables(result: NeighboursResult, folder: Path) -> None:
    """Write one file a table into ``folder``; a table without rows keeps its header."""
    write_csv(neighbours_tables(result), folder)


def neighbours_tables(result: NeighboursResult) -> Tables:
    """The tables of `neighbours`: name to columns and rows."""
    concepts = result.concepts
    return {
        "concepts": (
            "concept status threshold threshold_rule n_near n_near_is_all n_kept n_captions n_named"
            " n_named_near n_histogram",
            [_concept(c) for c in concepts],
        ),
        "compositions": (
            "concept attribute measure read_as against count labels" + ESTIMATE,
            [row for c in concepts for row in _compositions(c)],
        ),
        "curves": (
            "concept attribute threshold n_rows n_unknown measure read_as" + ESTIMATE,
            [row for c in concepts for row in _curves(c)],
        ),
        "similarity": (
            "concept left_edge n_rows n_named",
            [
                {"concept": c.name, "left_edge": left, "n_rows": n, "n_named": named}
                for c in concepts
                for left, n, named in c.histogram
            ],
        ),
        "strata": (
            "concept stratum floor near n_rows n_drawn probability n_rated n_shows",
            [
                {"concept": c.name, "stratum": s.name} | s.model_dump(exclude={"name"})
                for c in concepts
                for s in c.strata
            ],
        ),
        "shown": (
            "concept attribute measure read_as n_rated n_drawn" + ESTIMATE,
            [row for c in concepts if c.shown is not None for row in _shown(c.name, c.shown)],
        ),
        "recall": ("measure group k n_queries" + ESTIMATE, list(_recall(result))),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in result.provenance.inputs],
        ),
    }


def _concept(c: ConceptNeighbours) -> Row:
    return {
        "concept": c.name,
        "status": c.status,
        "threshold": c.threshold,
        "threshold_rule": c.threshold_rule,
        "n_near": c.n_near,
        "n_near_is_all": c.n_near_is_all,
        "n_kept": c.n_kept,
        "n_captions": c.n_captions,
        "n_named": c.n_named,
        "n_named_near": c.n_named_near,
        "n_histogram": c.n_histogram,
    }


def _compositions(c: ConceptNeighbours) -> Iterator[Row]:
    for name, of in c.compositions.items():
        row: Row = {"concept": c.name, "attribute": name, "labels": of.labels}
        pair: Row = {"read_as": of.contrast_level, "against": of.against_level}
        yield row | pair | {"measure": "headline"} | estimate_row(of.contrast)
        yield row | pair | {"measure": "bounds"} | estimate_row(of.bounds)
        if of.with_known_errors is not None:
            yield row | pair | {"measure": "known errors"} | estimate_row(of.with_known_errors)
        if name in c.missed:
            yield row | pair | {"measure": "missed by the index"} | estimate_row(c.missed[name])
        for level, e in of.shares.items():
            said: Row = {"measure": "share", "read_as": level, "count": of.counts[level]}
            yield row | said | estimate_row(e)


def _curves(c: ConceptNeighbours) -> Iterator[Row]:
    for name, curve in c.curves.items():
        level = c.compositions[name].contrast_level
        row: Row = {"concept": c.name, "attribute": name, "read_as": level}
        yield row | {"measure": "change from tight to loose"} | estimate_row(curve.change)
        for p in curve.points:
            at: Row = {
                "threshold": p.threshold,
                "n_rows": p.n_rows,
                "n_unknown": p.counts["unknown"],
            }
            for measure, e in (("share", p.share), ("bounds", p.bounds), ("band", p.band)):
                yield row | at | {"measure": measure} | estimate_row(e)


def _shown(concept: str, s: ShownRows) -> Iterator[Row]:
    row: Row = {"concept": concept, "n_rated": s.n_rated, "n_drawn": s.n_drawn}
    for measure in ("total", "share", "cannot_tell", "bounds"):
        yield row | {"measure": measure} | estimate_row(getattr(s, measure))
    for measure in ("precision", "precision_bounds", "recall", "recall_bounds"):
        if (e := getattr(s, measure)) is not None:
            yield row | {"measure": measure} | estimate_row(e)
    if s.calibrated is not None:
        yield row | {"measure": "calibrated precision"} | estimate_row(s.calibrated.precision)
        yield row | {"measure": "calibrated recall"} | estimate_row(s.calibrated.recall)
    for name, of in s.compositions.items():
        by: Row = row | {"attribute": name}
        yield by | {"measure": "headline"} | estimate_row(of.contrast)
        yield by | {"measure": "headline bounds"} | estimate_row(of.bounds)
        for measure, near in (("near", of.near_contrast), ("near bounds", of.near_bounds)):
            if near is not None:
                yield by | {"measure": measure} | estimate_row(near)
        for level, e in of.shares.items():
            yield by | {"measure": "share", "read_as": level} | estimate_row(e)
        for level, e in of.recall.items():
            yield by | {"measure": "recall", "read_as": level} | estimate_row(e)
        for level, e in of.recall_bounds.items():
            yield by | {"measure": "recall bounds", "read_as": level} | estimate_row(e)


def _recall(r: NeighboursResult) -> Iterator[Row]:
    found = r.searched.recall
    if found is None:
        return
    row: Row = {"k": found.k, "n_queries": found.n_queries}
    yield row | {"measure": "mean"} | estimate_row(found.mean)
    yield row | {"measure": "worst tenth"} | estimate_row(found.worst_tenth)
    for kind, e in found.by_query.items():
        yield row | {"measure": "queries", "group": kind} | estimate_row(e)
    for group, e in found.by_group.items():
        yield row | {"measure": "group", "group": group} | estimate_row(e)
    if found.gap is not None:
        yield row | {"measure": "gap"} | estimate_row(found.gap)
