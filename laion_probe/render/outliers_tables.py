"""``tables/*.csv`` of `outliers`, by the conventions of `laion_probe.render.tables`.

Each table is in long form, an estimate a row; what is not defined is an empty cell. ``cluster`` is
a cluster's name, ``level`` the level of an interval, ``read_as`` that of an attribute.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from laion_probe.outliers_result import BroughtAlong, Explanation, OutlierCluster, OutliersResult
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv

__all__ = ["outliers_tables", "write_outliers_tables"]

_CONTRASTS = ("here", "elsewhere", "risk_difference", "risk_ratio", "odds_ratio")


def write_outliers_tables(result: OutliersResult, folder: Path) -> None:
    """Write one file a table into ``folder``; a table without rows keeps its header."""
    write_csv(outliers_tables(result), folder)


def outliers_tables(result: OutliersResult) -> Tables:
    """The tables of `outliers`: name to columns and rows."""
    clusters = result.clusters
    return {
        "clusters": (
            "cluster n_outputs n_data over_represented picked stability n_seeds n_far measure"
            + ESTIMATE,
            [row for c in clusters for row in _cluster(c)],
        ),
        "recipes": (
            "cluster recipe title n_rows n_kept notes measure" + ESTIMATE,
            [row for c in clusters for row in _recipes(c)],
        ),
        "explanations": (
            "cluster recipe explanation title verdict reason decided_by of n_hits n_rows"
            " n_neighbourhoods between measure" + ESTIMATE,
            [row for c in clusters for row in _explanations(c)],
        ),
        "hits": (
            "cluster recipe explanation of n_hits",
            [row for c in clusters for row in _hits(c)],
        ),
        "words": (
            "cluster word z log_odds n_near n_rest",
            [{"cluster": c.name} | word.model_dump() for c in clusters for word in c.words],
        ),
        "compositions": (
            "cluster side attribute measure read_as against count labels" + ESTIMATE,
            [row for c in clusters for row in _compositions(c)],
        ),
        "pictures": (
            "cluster set rule picture caption url similarity flagged_unsafe attribute read_as",
            [row for c in clusters for row in _pictures(c)],
        ),
        "brought": (
            "what kind measure" + ESTIMATE,
            [row for b in result.brought for row in _brought(b)],
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in result.provenance.inputs],
        ),
    }


def _cluster(c: OutlierCluster) -> Iterator[Row]:
    row: Row = {"cluster": c.name, "n_outputs": c.n_outputs, "n_data": c.n_data}
    row |= {"over_represented": c.over_represented, "picked": c.picked}
    row |= {"stability": c.stability, "n_seeds": c.n_seeds, "n_far": c.n_far}
    for measure in ("output_share", "data_share", "ratio", "local_ratio"):
        yield row | {"measure": measure} | estimate_row(getattr(c, measure))


def _recipes(c: OutlierCluster) -> Iterator[Row]:
    for w in c.weighed:
        row: Row = {"cluster": c.name, "recipe": w.recipe, "title": w.title}
        row |= {"n_rows": w.n_rows, "n_kept": w.n_kept, "notes": "; ".join(w.notes)}
        yield row | {"measure": "data_share"} | estimate_row(w.data_share)


def _explanations(c: OutlierCluster) -> Iterator[Row]:
    for w in c.weighed:
        for e in w.explanations:
            row: Row = {"cluster": c.name, "recipe": w.recipe, "explanation": e.kind}
            row |= _said(e)
            for measure in _CONTRASTS:
                yield row | {"measure": measure} | estimate_row(getattr(e, measure))


def _said(e: Explanation) -> Row:
    return {
        "title": e.title,
        "verdict": e.verdict,
        "reason": e.reason,
        "decided_by": e.decided_by,
        "of": e.of,
        "n_hits": e.n_hits,
        "n_rows": e.n_rows,
        "n_neighbourhoods": e.n_neighbourhoods,
        "between": e.between,
    }


def _hits(c: OutlierCluster) -> Iterator[Row]:
    for w in c.weighed:
        for e in w.explanations:
            for name, n in e.by.items():
                row: Row = {"cluster": c.name, "recipe": w.recipe, "explanation": e.kind}
                yield row | {"of": name, "n_hits": n}


def _compositions(c: OutlierCluster) -> Iterator[Row]:
    for side, read in c.compositions.items():
        for attribute, of in read.items():
            row: Row = {"cluster": c.name, "side": side, "attribute": attribute}
            row |= {"labels": of.labels}
            pair: Row = {"read_as": of.contrast_level, "against": of.against_level}
            yield row | pair | {"measure": "contrast"} | estimate_row(of.contrast)
            yield row | pair | {"measure": "bounds"} | estimate_row(of.bounds)
            if of.with_known_errors is not None:
                said: Row = {"measure": "with_known_errors"}
                yield row | pair | said | estimate_row(of.with_known_errors)
            for level, share in of.shares.items():
                said = {"measure": "share", "read_as": level, "count": of.counts[level]}
                yield row | said | estimate_row(share)


def _pictures(c: OutlierCluster) -> Iterator[Row]:
    for shown in c.pictures:
        for p in shown.pictures:
            row: Row = {"cluster": c.name, "set": shown.id, "rule": shown.rule, "picture": p.id}
            row |= {"caption": p.caption, "url": p.url, "similarity": p.similarity}
            row |= {"flagged_unsafe": p.flagged_unsafe}
            if not p.labels:
                yield row
            for attribute, level in p.labels.items():
                yield row | {"attribute": attribute, "read_as": level}


def _brought(b: BroughtAlong) -> Iterator[Row]:
    for measure in ("data", "rest", "lift", "outputs", "difference"):
        if (e := getattr(b, measure)) is not None:
            row: Row = {"what": b.what, "kind": b.kind, "measure": measure}
            yield row | estimate_row(e)
