"""``tables/*.csv``: every number of a result in long form, one row an estimate.

UTF-8, commas, LF. A number is written so that reading it back gives the same float; an undefined
one is an empty cell. ``level`` is the interval's level; ``read_as`` is the level of an attribute.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from laion_probe.probe_result import ProbeResult
from laion_probe.ratings.cells import defuse
from laion_probe.render.text import clean, removal_words
from laion_probe.results import Estimate

__all__ = [
    "ESTIMATE",
    "Cell",
    "Row",
    "Tables",
    "columns",
    "estimate_row",
    "probe_tables",
    "write_csv",
    "write_tables",
]

Cell = str | int | float | bool | None
Row = dict[str, Cell]
#: Tables by name: the columns (words of a text) and the rows.
Tables = dict[str, tuple[str, Iterable[Row]]]


def write_tables(result: ProbeResult, folder: Path) -> None:
    """Write one file a table into ``folder``; a table without rows keeps its header."""
    write_csv(probe_tables(result), folder)


def write_csv(tables: Tables, folder: Path) -> None:
    """Write one file a table; hostile cells are cleaned."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (header, rows) in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns(header), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def columns(header: str) -> list[str]:
    """The names of a table's columns; two of one name would lose what the first holds."""
    names = header.split()
    if len(set(names)) < len(names):
        raise ValueError(f"two columns of one name: {header}")
    return names


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    return defuse(clean(value))


ESTIMATE = " value low high level n units method assumptions"


def estimate_row(e: Estimate) -> Row:
    """The cells of an estimate, for the columns of `ESTIMATE`."""
    numbers: Row = {"value": e.value, "low": e.low, "high": e.high, "level": e.level}
    return numbers | {
        "n": e.n,
        "units": e.units,
        "method": e.method,
        "assumptions": "; ".join(e.assumptions),
    }


def probe_tables(r: ProbeResult) -> Tables:
    """The tables of a probe: name to columns and rows."""
    return {
        "claims": ("claim text supported estimate", _claims(r)),
        "stages": ("stage kind title note n_rows n_concept_rows n_pictures", _stages(r)),
        "compositions": (
            "stage attribute measure read_as against count labels" + ESTIMATE,
            _compositions(r),
        ),
        "shifts": (
            "attribute read_as from_stage to_stage measure paired" + ESTIMATE,
            _shifts(r),
        ),
        "amplification": (
            "attribute data_stage measure parity by_raters toward p_value note" + ESTIMATE,
            _amplification(r),
        ),
        "steps": (
            "step kind title source confidence simulated observable note n_reached n_removed_here"
            " removal" + ESTIMATE,
            _steps(r),
        ),
        "outcomes": (
            "step outcome n_rows",
            (
                {"step": s.id, "outcome": o, "n_rows": n}
                for s in r.steps
                for o, n in s.outcomes.items()
            ),
        ),
        "removals": (
            "step attribute read_as n_before n_removed" + ESTIMATE,
            _removals(r),
        ),
        "words": ("word log_odds z n_near n_rest", (w.model_dump() for w in r.words)),
        "pictures": (
            "set rule picture caption url similarity flagged_unsafe attribute read_as",
            _pictures(r),
        ),
        "similarity": ("left_edge n_pictures n_keyword_pictures", _similarity(r)),
        "known_errors": ("attribute domain true read_as count", _confusions(r)),
        "accuracy": ("attribute domain note" + ESTIMATE, _accuracy(r)),
        "detectors": ("detector measure" + ESTIMATE, _detectors(r)),
        "encoder_texts": ("attribute text read_as nearest cosine probability", _texts(r)),
        "encoder_pictures": (
            "attribute labels text read_as against effect_size d_low d_high p_value" + ESTIMATE,
            _associations(r),
        ),
        "encoder_confusion": ("attribute group true few" + ESTIMATE, _recall(r)),
        "languages": (
            "stage language n_rows",
            (
                {"stage": stage, "language": language, "n_rows": n}
                for stage, languages in r.languages.items()
                for language, n in languages.items()
            ),
        ),
        "references": (
            "attribute reference share",
            (
                {"attribute": attribute, "reference": label, "share": share}
                for attribute, references in r.references.items()
                for label, share in references.items()
            ),
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            (i.model_dump() for i in r.provenance.inputs),
        ),
        "failed_units": (
            "unit n_rows reason",
            (f.model_dump() for f in r.provenance.failed_units),
        ),
    }


def _claims(r: ProbeResult) -> Iterator[Row]:
    for c in r.finding.claims:
        row: Row = {"claim": c.id, "text": c.text, "supported": c.supported}
        yield row | {"estimate": c.estimate}


def _stages(r: ProbeResult) -> Iterator[Row]:
    for s in r.stages:
        yield {
            "stage": s.id,
            "kind": s.kind,
            "title": s.title,
            "note": s.note,
            "n_rows": s.n_rows,
            "n_concept_rows": s.n_concept_rows,
            "n_pictures": s.n_pictures,
        }


def _compositions(r: ProbeResult) -> Iterator[Row]:
    for stage in r.stages:
        for attribute, c in stage.compositions.items():
            row: Row = {"stage": stage.id, "attribute": attribute, "labels": c.labels}
            for level, share in c.shares.items():
                of_level: Row = {"measure": "share", "read_as": level}
                yield row | of_level | {"count": c.counts.get(level)} | estimate_row(share)
            row |= {"read_as": c.contrast_level, "against": c.against_level}
            yield row | {"measure": "contrast"} | estimate_row(c.contrast)
            yield row | {"measure": "bounds"} | estimate_row(c.bounds)
            if c.with_known_errors is not None:
                yield row | {"measure": "with_known_errors"} | estimate_row(c.with_known_errors)
            if c.corrected is not None:
                by_raters: Row = {"count": c.corrected.n_rated, "labels": c.corrected.estimator}
                row |= by_raters
                yield row | {"measure": "corrected contrast"} | estimate_row(c.corrected.contrast)
                yield row | {"measure": "corrected bounds"} | estimate_row(c.corrected.bounds)
                for level, share in c.corrected.shares.items():
                    of_level = {"measure": "corrected share", "read_as": level, "against": None}
                    yield row | of_level | estimate_row(share)


def _shifts(r: ProbeResult) -> Iterator[Row]:
    for s in r.shifts:
        row: Row = {
            "attribute": s.attribute,
            "read_as": s.contrast_level,
            "from_stage": s.from_stage,
            "to_stage": s.to_stage,
            "paired": s.paired,
        }
        yield row | {"measure": "difference"} | estimate_row(s.difference)
        yield row | {"measure": "ratio"} | estimate_row(s.ratio)
        if s.with_known_errors is not None:
            yield row | {"measure": "with_known_errors"} | estimate_row(s.with_known_errors)
        if s.corrected is not None:
            yield row | {"measure": "corrected"} | estimate_row(s.corrected)


def _amplification(r: ProbeResult) -> Iterator[Row]:
    for a in r.amplification:
        row: Row = {"attribute": a.attribute, "data_stage": a.data_stage, "parity": a.parity}
        row |= {"by_raters": a.by_raters, "toward": a.toward, "note": a.note, "p_value": a.p_value}
        yield row | {"measure": "signed"} | (estimate_row(a.signed) if a.signed else {})
        for measure, e in (("raw", a.raw), ("corrected", a.corrected)):
            if e is not None:
                yield row | {"measure": measure} | estimate_row(e)


def _steps(r: ProbeResult) -> Iterator[Row]:
    for s in r.steps:
        row: Row = {
            "step": s.id,
            "kind": s.kind,
            "title": s.title,
            "source": s.source,
            "confidence": s.confidence,
            "simulated": s.simulated,
            "observable": s.observable,
            "note": s.note,
            "n_reached": s.n_reached,
        }
        if why := removal_words(s):  # an empty cell and the reason, never a zero
            yield row | {"removal": why}
        else:
            row |= {"removal": "estimated", "n_removed_here": s.n_removed_here}
            yield row | estimate_row(s.removed_share)


def _removals(r: ProbeResult) -> Iterator[Row]:
    for step in r.steps:
        for removal in () if removal_words(step) else step.removals:
            row: Row = {
                "step": step.id,
                "attribute": removal.attribute,
                "read_as": removal.level,
                "n_before": removal.n_before,
                "n_removed": removal.n_removed,
            }
            yield row | estimate_row(removal.rate)


def _pictures(r: ProbeResult) -> Iterator[Row]:
    for shown in (*r.pictures, *([r.keyword_only] if r.keyword_only else [])):
        for p in shown.pictures:
            row: Row = {
                "set": shown.id,
                "rule": shown.rule,
                "picture": p.id,
                "caption": p.caption,
                "url": p.url,
                "similarity": p.similarity,
                "flagged_unsafe": p.flagged_unsafe,
            }
            if not p.labels:
                yield row
            for attribute, level in p.labels.items():
                yield row | {"attribute": attribute, "read_as": level}


def _similarity(r: ProbeResult) -> Iterator[Row]:
    for left, n_all, n_keyword in r.concept.similarity_histogram:
        yield {"left_edge": left, "n_pictures": n_all, "n_keyword_pictures": n_keyword}


def _confusions(r: ProbeResult) -> Iterator[Row]:
    for error in r.known_errors:
        for true, reads in error.confusion.items():
            for read_as, n in reads.items():
                row: Row = {"attribute": error.attribute, "domain": error.domain, "true": true}
                yield row | {"read_as": read_as, "count": n}


def _accuracy(r: ProbeResult) -> Iterator[Row]:
    for error in r.known_errors:
        row: Row = {"attribute": error.attribute, "domain": error.domain, "note": error.note}
        yield row | estimate_row(error.accuracy)


def _texts(r: ProbeResult) -> Iterator[Row]:
    for e in r.encoder:
        for u in e.unspecified:
            for level, cosine in u.similarities.items():
                row: Row = {"attribute": e.attribute, "text": u.prompt, "read_as": level}
                row |= {"nearest": level == u.nearest, "cosine": cosine}
                yield row | {"probability": u.probabilities.get(level)}


def _associations(r: ProbeResult) -> Iterator[Row]:
    """A row a level's mean cosine; the test of two levels stands with the first of them."""
    for e in r.encoder:
        for i in e.associations:
            t = i.association
            test: Row = {"against": i.against, "effect_size": t.effect_size, "p_value": t.p_value}
            test |= {"d_low": t.low, "d_high": t.high}
            for level, cosine in i.mean_cosine.items():
                row: Row = {"attribute": e.attribute, "labels": i.labels, "text": i.prompt}
                row |= {"read_as": level} | (test if level == i.level else {})
                yield row | estimate_row(cosine)


def _recall(r: ProbeResult) -> Iterator[Row]:
    for e in r.encoder:
        for c in e.confusion:
            for level, share in c.recall.items():
                row: Row = {"attribute": e.attribute, "group": c.group, "true": level}
                yield row | {"few": level in c.few} | estimate_row(share)


def _detectors(r: ProbeResult) -> Iterator[Row]:
    if r.audit is None:
        return
    for measure, by_detector in (
        ("english", r.audit.english),
        ("agree_with_recipe", r.audit.agree_with_recipe),
    ):
        for detector, estimate in by_detector.items():
            row: Row = {"detector": detector, "measure": measure}
            yield row | estimate_row(estimate)
