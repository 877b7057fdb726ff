"""What ``laion-probe probe`` found: one value that the whole report is drawn from."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from laion_probe.curve_result import CurveOf
from laion_probe.encoder_result import EncoderDefault
from laion_probe.preregistration import Preregistered
from laion_probe.results import (
    SCHEMA_VERSION,
    Amplification,
    ConceptResult,
    DetectorAudit,
    Document,
    Finding,
    GeneratedSummary,
    Harm,
    KnownError,
    PictureSet,
    Provenance,
    Shift,
    Stage,
    StepEffect,
    WordScore,
)

__all__ = ["ProbeResult"]


class ProbeResult(Document):
    """Everything that one run of ``probe`` found; the whole report is drawn from it.

    Example:
        >>> from pathlib import Path
        >>> result = ProbeResult.from_json(Path("result.json").read_text())  # doctest: +SKIP
        >>> result.stage("pool").compositions["gender_presentation"].contrast  # doctest: +SKIP
    """

    schema_version: int = SCHEMA_VERSION
    concept: ConceptResult
    recipe: str
    recipe_title: str
    recipe_source: str
    data_note: str = ""  # what readers must know of the input, in the words of who gave it
    context: str = ""  # in which use these shares matter, as a person says
    harms: tuple[Harm, ...] = ()
    finding: Finding
    preregistered: Preregistered | None = None
    stages: tuple[Stage, ...]
    shifts: tuple[Shift, ...]
    amplification: tuple[Amplification, ...]
    #: attribute -> the pictures before the recipe at every threshold, as the classifier reads
    curves: dict[str, CurveOf] = Field(default_factory=dict)
    steps: tuple[StepEffect, ...]
    pictures: tuple[PictureSet, ...]
    keyword_only: PictureSet | None
    words: tuple[WordScore, ...]
    audit: DetectorAudit | None
    languages: dict[str, dict[str, int]]  # stage id -> language as the recipe's detector reads it
    known_errors: tuple[KnownError, ...]
    encoder: tuple[EncoderDefault, ...] = ()
    generated: GeneratedSummary | None
    references: dict[str, dict[str, float]]  # attribute -> {label: share}; parity is always there
    how_measured: tuple[str, ...]
    sensitivity: tuple[str, ...] = ()  # what it would take to overturn the finding
    cannot_say: tuple[str, ...]
    provenance: Provenance

    def to_json(self) -> str:
        """The bytes of ``result.json``; only a run that was preregistered says so."""
        absent = {"preregistered"} if self.preregistered is None else None
        return self.model_dump_json(indent=2, exclude=absent) + "\n"

    def stage(self, stage_id: str) -> Stage:
        """The stage of that id; KeyError where the run has none."""
        found: Mapping[str, Stage] = {s.id: s for s in self.stages}
        return found[stage_id]
