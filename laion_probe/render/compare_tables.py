"""``tables/*.csv`` of `compare`, by the conventions of `laion_probe.render.tables`.

Each table is in long form. What is not defined is an empty cell, and ``reason`` says why.
``level`` is the interval's level, ``level_name`` is the level that pictures were read as.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from laion_probe.compare_result import Compared, CompareResult, SourceCell
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.results import Estimate

__all__ = ["compare_tables", "write_compare_tables"]

_MEANS = ("data_share", "generated_share", "difference", "raw", "corrected", "signed")
_BIAS_AMP = ("bias_amp", "directional")
_COUNTED = {"n_concepts", "n_undetermined", "n_differing", "n_explained", "n_small"}
_CHANGES = ("difference", "ratio", "raw", "corrected", "signed")


def write_compare_tables(result: CompareResult, folder: Path) -> None:
    """Write one file a table into ``folder``; a table without rows keeps its header."""
    write_csv(compare_tables(result), folder)


def compare_tables(r: CompareResult) -> Tables:
    """The tables of `compare`: name to columns and rows."""
    return {
        "claims": ("claim text supported estimate", _claims(r)),
        "summaries": (
            "generator against n_concepts n_undetermined n_differing n_explained n_small measure"
            " reason" + ESTIMATE,
            _summaries(r),
        ),
        "counts": ("concept source level_name n_pictures", _counts(r)),
        "concepts": (
            "concept source reported n_known small unknown_low unknown_high measure reason"
            + ESTIMATE,
            _concepts(r),
        ),
        "comparisons": (
            "concept generator against reported toward note reads_if_equal p_value p_adjusted"
            " differs explained measure reason" + ESTIMATE,
            _comparisons(r),
        ),
        "references": (
            "concept reference reported share source reason" + ESTIMATE,
            _references(r),
        ),
        "reference_names": (
            "name source n_concepts n_unused",
            (x.model_dump() for x in r.references),
        ),
        "sources": (
            "name kind labels n_concepts n_pictures n_unknown",
            (x.model_dump() for x in r.sources),
        ),
        "harms": ("kind words", (x.model_dump() for x in r.harms)),
        "inputs": ("kind name fingerprint n_rows note", (x.model_dump() for x in r.inputs)),
    }


def _given(e: Estimate | None, absent: str) -> Row:
    """An estimate's cells, or why they are empty."""
    if e is None:
        return {"reason": absent}
    return estimate_row(e) | {"reason": "not defined" if e.value is None else ""}


def _claims(r: CompareResult) -> Iterator[Row]:
    for c in r.finding.claims:
        yield {"claim": c.id, "text": c.text, "supported": c.supported, "estimate": c.estimate}


def _summaries(r: CompareResult) -> Iterator[Row]:
    for s in r.summaries:
        row: Row = {"generator": s.generator, "against": s.against}
        row |= s.model_dump(include=_COUNTED)
        for name in (*_MEANS, *_BIAS_AMP):
            yield row | {"measure": name} | _given(getattr(s, name), "")


def _cells(r: CompareResult) -> Iterator[tuple[str, str, SourceCell]]:
    for concept in r.concepts:
        yield concept.name, "data", concept.data
        if concept.matched is not None:
            yield concept.name, "data:matched", concept.matched
        for cell in concept.generators:
            yield concept.name, cell.generator, cell


def _counts(r: CompareResult) -> Iterator[Row]:
    for concept, source, cell in _cells(r):
        for level, n in cell.counts.items():
            yield {"concept": concept, "source": source, "level_name": level, "n_pictures": n}


def _concepts(r: CompareResult) -> Iterator[Row]:
    for concept, source, cell in _cells(r):
        row: Row = {"concept": concept, "source": source, "reported": r.reported}
        row |= {"n_known": cell.n_known, "small": cell.small}
        if cell.bounds is not None:
            row |= {"unknown_low": cell.bounds.low, "unknown_high": cell.bounds.high}
        yield row | {"measure": "share"} | _given(cell.share, "")
        yield row | {"measure": "gap"} | _given(cell.gap, "")


def _comparisons(r: CompareResult) -> Iterator[Row]:
    for concept in r.concepts:
        for cell in concept.generators:
            for against, c in (("data", cell.against_data), ("matched", cell.against_matched)):
                if c is not None:
                    row: Row = {"concept": concept.name, "generator": cell.generator}
                    row |= {"against": against, "reported": r.reported}
                    yield from _compared(row, c)


def _compared(row: Row, c: Compared) -> Iterator[Row]:
    row |= {"toward": c.toward, "note": c.note, "reads_if_equal": c.reads_if_equal}
    row |= {"p_value": c.p_value, "p_adjusted": c.p_adjusted, "differs": c.differs}
    row |= {"explained": c.explained}
    for name in _CHANGES:
        yield row | {"measure": name} | _given(getattr(c, name), c.note)
    if c.variation is not None:
        of_all = c.variation
        numbers: Row = {"toward": None, "note": "", "p_adjusted": None, "differs": None}
        numbers |= {"explained": None}
        numbers |= {"reads_if_equal": of_all.reads_if_equal, "p_value": of_all.p_value}
        distance: Row = {"measure": "total_variation", "value": of_all.distance}
        distance |= {"reason": "not defined" if of_all.distance is None else ""}
        yield row | numbers | distance
        yield row | numbers | {"measure": "variation_raw"} | _given(of_all.raw, "")
        yield row | numbers | {"measure": "variation_corrected"} | _given(of_all.corrected, "")


def _references(r: CompareResult) -> Iterator[Row]:
    for concept in r.concepts:
        for x in concept.references:
            row: Row = {"concept": concept.name, "reference": x.reference}
            row |= {"reported": r.reported, "share": x.share}
            yield row | {"source": "data"} | _given(x.data, "")
            if x.matched is not None:
                yield row | {"source": "data:matched"} | _given(x.matched, "")
            for generator, e in x.generators.items():
                yield row | {"source": generator} | _given(e, "")
