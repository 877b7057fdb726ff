"""``tables/*.csv`` of `filters`, by the conventions of `laion_probe.render.tables`.

Each table is in long form. What is not defined is an empty cell, and ``removal`` or ``reason`` says
why. ``level`` is the interval's level; ``level_name`` is the level of a group. Counts of a step
that the input had passed before are in the columns ``replay_*``: they are not what it removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from laion_probe.filters_result import FiltersResult, LevelAccount, RecipeAccount, StepRemoval
from laion_probe.render.filters_report import level_removal_words, step_removal_words
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.results import Estimate, StepEffect

__all__ = ["filters_tables", "write_filters_tables"]

_STEP = "kind title source confidence simulated observable note n_reached"
_COUNTS = ("alone", "only", "in_order")
_REMOVAL = " ".join((*_COUNTS, *(f"replay_{name}" for name in _COUNTS), "blind", "removal"))
_TOO_FEW = "too few rows (fewer than {})"


def write_filters_tables(result: FiltersResult, folder: Path) -> None:
    """Write one file a table into ``folder``; a table without rows keeps its header."""
    write_csv(filters_tables(result), folder)


def filters_tables(r: FiltersResult) -> Tables:
    """The tables of `filters`: name to columns and rows."""
    return {
        "recipes": ("recipe title source confidence chain n_rows n_kept" + ESTIMATE, _recipes(r)),
        "steps": (
            f"recipe step {_STEP} decided_by measure n_removed_here {_REMOVAL}{ESTIMATE}",
            _steps(r),
        ),
        "outcomes": ("recipe step outcome n_rows", _outcomes(r)),
        "groups": (
            "recipe group title source note level_name n_rows n_kept too_small flagged measure"
            " reason" + ESTIMATE,
            _groups(r),
        ),
        "removals": (
            f"recipe group level_name n_rows step {_REMOVAL} reason{ESTIMATE}",
            _removals(r),
        ),
        "shapley": ("recipe group level_name step value reason", _shapley(r)),
        "rewrites": (
            "recipe step title group level_name n_rows n_changed n_emptied n_kept_with"
            " n_kept_without n_only_with n_only_without",
            _rewrites(r),
        ),
        "overlaps": (
            "first second group level_name n_rows n_both n_only_first n_only_second n_neither",
            _overlaps(r),
        ),
        "detectors": (
            "measure detector other group level_name n_captions reason" + ESTIMATE,
            _detectors(r),
        ),
        "detector_languages": ("first second first_says second_says n_captions", _languages(r)),
        "examples": ("kind recipe step other title n_of text rewritten note", _examples(r)),
        "failed_units": ("unit n_rows reason", (f.model_dump() for f in r.failed_units)),
        "inputs": ("kind name fingerprint n_rows already note", (i.model_dump() for i in r.inputs)),
    }


def _recipes(r: FiltersResult) -> Iterator[Row]:
    for x in r.recipes:
        row: Row = {"recipe": x.name, "title": x.title, "source": x.source}
        row |= {"confidence": x.confidence, "chain": "; ".join(x.chain)}
        yield row | {"n_rows": x.n, "n_kept": x.n_kept} | estimate_row(x.kept)


def _steps(r: FiltersResult) -> Iterator[Row]:
    for x in r.recipes:
        totals = {total.step: total for total in x.totals}
        for step, left in zip(x.steps, x.survival, strict=True):
            total = totals.get(step.id)
            row: Row = {"recipe": x.name, "step": step.id}
            row |= step.model_dump(include=set(_STEP.split()))
            row |= {"decided_by": x.frozen.get(step.id)}
            why = step_removal_words(step, total)
            removed: Row = {"measure": "removed_share", "removal": why or "estimated"}
            removed |= {} if total is None else _removal(step, total, why)
            if not why:  # otherwise an empty cell and the reason, never a zero
                removed |= {"n_removed_here": step.n_removed_here}
                removed |= estimate_row(step.removed_share)
            yield row | removed
            yield row | {"measure": "survival"} | estimate_row(left)


def _removal(step: StepEffect, removal: StepRemoval, why: str) -> Row:
    """A removal's counts, in the columns that fit; none of them where nothing was judged."""
    row: Row = {"removal": why or "counted", "blind": removal.blind}
    if why and step.observable:
        return row
    prefix = "" if step.observable else "replay_"
    return row | {prefix + name: getattr(removal, name) for name in _COUNTS}


def _outcomes(r: FiltersResult) -> Iterator[Row]:
    for x in r.recipes:
        for step in x.steps:
            for outcome, n in step.outcomes.items():
                yield {"recipe": x.name, "step": step.id, "outcome": outcome, "n_rows": n}


def _levels(r: FiltersResult) -> Iterator[tuple[RecipeAccount, Row, LevelAccount]]:
    for x in r.recipes:
        for group in x.groups:
            for level in group.levels:
                row: Row = {"recipe": x.name, "group": group.name, "level_name": level.level}
                yield x, row, level


def _groups(r: FiltersResult) -> Iterator[Row]:
    about = {(x.name, g.name): g for x in r.recipes for g in x.groups}
    for x, row, level in _levels(r):
        group = about[x.name, str(row["group"])]
        row |= {"title": group.title, "source": group.source, "note": group.note}
        row |= {"n_rows": level.n, "n_kept": level.n_kept}
        row |= {"too_small": level.too_small, "flagged": level.flagged}
        for measure, estimate in (
            ("share_before", level.share_before),
            ("share_after", level.share_after),
            ("kept", level.kept),
            ("difference", level.difference),
            ("ratio", level.ratio),
            ("odds_ratio", level.odds_ratio),
        ):
            yield row | {"measure": measure} | _given(estimate, level.too_small, r.min_count)


def _given(estimate: Estimate | None, too_small: bool, min_count: int) -> Row:
    """An estimate's cells, or why they are empty."""
    if estimate is not None:
        why = estimate.method if estimate.value is None else ""
        return estimate_row(estimate) | {"reason": why}
    return {"reason": _TOO_FEW.format(min_count) if too_small else "not given"}


def _removals(r: FiltersResult) -> Iterator[Row]:
    for x, row, level in _levels(r):
        steps = {step.id: step for step in x.steps}
        for removal in level.steps:
            step = steps[removal.step]
            why = level_removal_words(step, removal, level.n)
            cells = _removal(step, removal, why)
            if why:
                cells |= {"reason": why}
            else:
                cells |= _given(removal.difference, level.too_small, r.min_count)
            yield row | {"n_rows": level.n, "step": removal.step} | cells


def _shapley(r: FiltersResult) -> Iterator[Row]:
    notes = {(x.name, g.name): g.shapley_note for x in r.recipes for g in x.groups}
    hidden = {(x.name, s.id) for x in r.recipes for s in x.steps if not s.observable}
    for x, row, level in _levels(r):
        note = notes[x.name, str(row["group"])] or "not defined"
        for value in level.shapley:
            none = "not observable" if (x.name, value.step) in hidden else note
            reason = none if value.value is None else ""
            yield row | {"step": value.step, "value": value.value, "reason": reason}


def _rewrites(r: FiltersResult) -> Iterator[Row]:
    for x in r.recipes:
        for effect in x.rewrites:
            row: Row = {"recipe": x.name, "step": effect.step, "title": effect.title}
            yield row | {"n_rows": x.n} | effect.model_dump(exclude={"levels"})
            for level in effect.levels:
                counts = level.model_dump(exclude={"level", "n"})
                yield row | {"level_name": level.level, "n_rows": level.n} | counts


def _overlaps(r: FiltersResult) -> Iterator[Row]:
    for x in r.overlaps:
        yield x.model_dump(exclude={"levels"})
        for level in x.levels:
            row: Row = {"first": x.first, "second": x.second, "level_name": level.level}
            yield row | {"n_rows": level.n} | level.model_dump(exclude={"level", "n"})


def _detectors(r: FiltersResult) -> Iterator[Row]:
    if r.detectors is None:
        return
    for name, estimate in r.detectors.english.items():
        row: Row = {"measure": "english", "detector": name, "n_captions": r.detectors.n}
        yield row | _given(estimate, False, r.min_count)
    for pair in r.detectors.pairs:
        row = {"measure": "agree", "detector": pair.first, "other": pair.second}
        yield row | {"n_captions": r.detectors.n} | _given(pair.agree, False, r.min_count)
        for x in pair.levels:
            row |= {"group": x.group, "level_name": x.level, "n_captions": x.n}
            yield row | _given(x.agree, x.agree is None, r.min_count)


def _languages(r: FiltersResult) -> Iterator[Row]:
    for pair in r.detectors.pairs if r.detectors is not None else ():
        row: Row = {"first": pair.first, "second": pair.second}
        for first, second, n in pair.matrix:
            yield row | {"first_says": first, "second_says": second, "n_captions": n}
        if pair.n_left_out:
            left_out: Row = {"first_says": "(not listed)", "second_says": "(not listed)"}
            yield row | left_out | {"n_captions": pair.n_left_out}


def _examples(r: FiltersResult) -> Iterator[Row]:
    for x in r.examples:
        row: Row = x.model_dump(exclude={"rows"})
        for example in x.rows:
            yield row | example.model_dump()
