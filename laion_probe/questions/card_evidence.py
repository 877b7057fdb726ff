"""What the runs behind a datasheet say of its shares: of what they are, by what, how sure.

Nothing is computed: each value stands in a run's result.json, at the place that the datasheet names
or beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from pydantic import ValidationError

from laion_probe.compose_result import Agreement
from laion_probe.datasheet_result import CompositionRow, DatasheetResult, Lineage
from laion_probe.errors import ConfigError
from laion_probe.groups import UNKNOWN
from laion_probe.known_error import for_concept
from laion_probe.neighbourhood import names_concept
from laion_probe.questions.datasheet_files import read_evidence
from laion_probe.questions.datasheet_numbers import Source, at
from laion_probe.results import Estimate, KnownError, Value

__all__ = ["Behind", "Checked", "Headline", "behind", "is_sampled"]

_SHARES, _CORRECTED = "/shares/", "/corrected"

Kind = TypeVar("Kind", bound=Value)


@dataclass(frozen=True)
class Headline:
    """The share of ``level`` among the pictures read as ``level`` or ``against``, at one stage.

    ``share.n`` counts those pictures. ``errors`` is the range that errors of the labels which were
    measured elsewhere allow, None where none were measured; ``n_rated`` counts pictures of the
    stage that people rated as well, None where nobody did.
    """

    pointer: str
    level: str
    against: str
    share: Estimate
    errors: Estimate | None
    n_rated: int | None


@dataclass(frozen=True)
class Checked:
    """How a classifier read labelled pictures of one domain: what a range of errors rests on.

    ``table`` has only those concepts under ``by_group`` that the range draws from: ``own`` where
    these are the concept itself, else every one that was measured.
    """

    pointer: str
    table: KnownError
    own: bool


@dataclass(frozen=True)
class Behind:
    """The results behind a datasheet by the id of their evidence, and the commands they are of.

    A result that was not read is not known: what is asked of it is None, or empty.
    """

    kinds: Mapping[str, str]
    sources: Mapping[str, Source] = field(default_factory=dict)

    def at(self, evidence: str, pointer: str) -> Any:
        """What stands at a JSON pointer of a run, or None."""
        source = self.sources.get(evidence)
        try:
            return None if source is None else source.get(pointer)
        except (KeyError, IndexError, TypeError, ValueError):
            return None

    def estimate(self, row: CompositionRow) -> Estimate | None:
        """The share as its run has it: with n, the units of its interval, and the method."""
        return self.estimate_at(row.evidence, row.pointer)

    def estimate_at(self, evidence: str, pointer: str) -> Estimate | None:
        """The estimate at a JSON pointer of a run, or None."""
        found = self.at(evidence, pointer)
        return _read(Estimate, found, evidence) if isinstance(found, dict) else None

    def base(self, row: CompositionRow) -> str:
        """What a share is of, such as "all pictures of the stage" (*unknown* is one of its levels).

        >>> row = CompositionRow(evidence="data", pointer="/a", concept="", stage="captions",
        ...     attribute="script", level="Latin", count=3, share=0.5, low=None, high=None,
        ...     interval_level=0.95, labels="what captions and addresses say")
        >>> Behind({"data": "data"}).base(row)
        'rows that were read'
        """
        kind = self.kinds.get(row.evidence)
        if kind == "data":
            return "rows that were read"
        if kind == "nonresponse":
            return "pictures that came" if row.stage == "came" else "rows tried, re-weighted"
        if kind == "compare":
            of, levels = (self.at(row.evidence, f"/{name}") or [] for name in ("base", "levels"))
            told = " or ".join(of) if {*of} != {*levels} - {UNKNOWN} else ""
            return f"pictures read as {told}" if told else "pictures whose level is known"
        return "all pictures of the stage"

    def title(self, row: CompositionRow) -> str:
        """What the run calls the stage of a row; empty where it has no name for it."""
        _, _, under = row.pointer.partition("/stages/")
        found = self.at(row.evidence, f"/stages/{under.partition('/')[0]}/title") if under else ""
        return found if isinstance(found, str) else ""

    def headline(self, row: CompositionRow) -> Headline | None:
        """The headline share of the composition that a row is of; None where it has none."""
        place, _, level = row.pointer.rpartition(_SHARES)
        found = self.at(row.evidence, place) if level else None
        whole = self.at(row.evidence, place.removesuffix(_CORRECTED))
        if not isinstance(found, dict) or not isinstance(whole, dict):
            return None
        name = "headline" if "headline" in found else "contrast"
        share = self.estimate_at(row.evidence, f"{place}/{name}")
        if share is None:
            return None
        rated = found if "n_rated" in found else found.get("corrected") or {}
        return Headline(
            pointer=f"{place}/{name}",
            level=whole["contrast_level"],
            against=whole["against_level"],
            share=share,
            errors=self.estimate_at(row.evidence, f"{place}/with_known_errors"),
            n_rated=rated.get("n_rated") or None,
        )

    def difference(self, evidence: str, attribute: str, stages: tuple[str, str]) -> str:
        """The place of the run's own comparison of two stages' headlines; empty without one."""
        for i, found in enumerate(self.at(evidence, "/shifts") or []):
            if (found["attribute"], found["from_stage"], found["to_stage"]) == (attribute, *stages):
                return f"/shifts/{i}"
        return ""

    def checked(self, evidence: str, attribute: str, concept: str) -> tuple[Checked, ...]:
        """What the ranges of a concept's shares rest on; an empty concept: pictures of anything."""
        wanted = (self.at(evidence, "/concept/keywords") or ()) if concept else ()
        tables = enumerate(self.at(evidence, "/known_errors") or [])
        found = ((i, _read(KnownError, e, evidence)) for i, e in tables)
        used = ((i, e, for_concept(e, wanted)) for i, e in found if e.attribute == attribute)
        return tuple(Checked(at("known_errors", i), one, own=one is not e) for i, e, one in used)

    def names_concept(self, evidence: str) -> bool:
        """Whether the run's prompt names its concept: else errors of any concept may be its."""
        prompts = self.at(evidence, "/generated/prompts") or []
        wanted = self.at(evidence, "/concept/keywords") or []
        return all(names_concept(pl.Series(prompts, dtype=pl.String), wanted))

    def agreement(self) -> tuple[tuple[str, Agreement], ...]:
        """How far the raters of each run agree, by the id of its evidence."""
        return tuple(
            (run, _read(Agreement, found, run))
            for run, kind in self.kinds.items()
            if kind == "compose"
            for found in self.at(run, "/agreement") or []
        )


def _read(kind: type[Kind], found: object, evidence: str) -> Kind:
    try:
        return kind.model_validate(found)
    except ValidationError:
        raise ConfigError(
            f"evidence {evidence} is of another version of laion-probe: make that run again, and "
            "then the datasheet"
        ) from None


def behind(folder: Path, sheet: DatasheetResult) -> Behind:
    """The results of a datasheet's folder.

    Raises `ConfigError` where one is gone, or is not what the datasheet was made of.
    """
    sources = {
        run.id: Source(run.id, json.loads(read_evidence(folder, run))) for run in sheet.evidence
    }
    return Behind({run.id: run.kind for run in sheet.evidence}, sources)


def is_sampled(sheet: DatasheetResult, recipe: Lineage) -> bool:
    """Whether a recipe's counts are of rows that a run sampled: they are then not the set's."""
    parts = {run.id for run in sheet.evidence if not run.full}
    return not recipe.already and any(step.evidence in parts for step in recipe.steps)
