"""What ``laion-probe dft-plan`` planned: one value that its report and ``plan.md`` are drawn from.

::

    DftResult
    ├── lists          each list that was named, with source and review note
    ├── axes           the words that are crossed, each with its source, review note and pictures
    ├── professions    pictures of each, or held out; gaps that were measured
    ├── prompt_files   what `generate` draws, file by file
    └── evaluation     what is drawn before and after, and what `compare` reads
"""

from __future__ import annotations

from typing import Literal

from laion_probe.compose_result import RunOf
from laion_probe.results import SCHEMA_VERSION, Document, Estimate, Harm, Value

__all__ = [
    "AxisPlan",
    "DftResult",
    "EvaluationPlan",
    "Gap",
    "ListUsed",
    "Price",
    "ProfessionPlan",
    "PromptsFile",
    "TermPlan",
]


class ListUsed(Value):
    """A list that was named: ``n_terms`` of it are used, ``n_merged`` stood in another already."""

    name: str
    axis: str
    title: str
    source: str
    note: str
    review: str
    n_terms: int
    n_merged: int


class TermPlan(Value):
    """A word of an axis: ``level`` is what it stands for, ``share`` its part of all pictures."""

    term: str
    level: str
    code: str
    list: str
    source: str
    review: str
    n_pictures: int
    share: float


class AxisPlan(Value):
    """One axis: ``attribute`` reads its levels from pictures, '' where nothing does.

    ``target`` has the share of each level that was aimed at; None where nobody named one, and every
    word then counts alike. ``divided`` says so in words.
    """

    name: str
    attribute: str
    divided: str
    target: dict[str, float] | None
    terms: tuple[TermPlan, ...]


class Gap(Value):
    """How far what the generator draws of a profession is from the target, and what is planned.

    ``generated`` is the measured share of ``level`` among it and ``others``, ``target`` that aimed
    at. ``allowed`` is the range of the true share that the classifier's measured errors allow, None
    where the run has none. ``planned`` is the share of the training pictures that with ``weight``
    times as many drawn ones comes to the target, its ends those of the measured interval; where the
    interval or what is allowed contains the target (``sure`` is False) it is the target itself.
    ``realised`` is the share among the planned pictures as counted, None for a profession that is
    held out, for which ``planned`` is what would be. ``concept`` is what was measured: the
    profession, or another name by which its list knows it.
    """

    concept: str
    axis: str
    attribute: str
    level: str
    others: tuple[str, ...]
    labels: str
    generated: Estimate
    allowed: Estimate | None
    target: float
    sure: bool
    planned: float
    planned_low: float
    planned_high: float
    weight: float
    realised: float | None


class ProfessionPlan(Value):
    """One profession; ``also`` are other names by which a run's concept is known as it.

    ``code`` and ``title`` are those of the classification, '' where the list gives none.
    """

    term: str
    also: tuple[str, ...]
    code: str
    title: str
    list: str
    source: str
    held_out: bool
    n_pictures: int
    gaps: tuple[Gap, ...]


class PromptsFile(Value):
    """One file of prompts: ``images`` of each, drawn with ``seed`` into ``folder``."""

    path: str
    folder: str
    n_prompts: int
    images: int
    n_pictures: int
    seed: int
    command: str


class EvaluationPlan(Value):
    """Before and after: ``configs`` are what `compare` reads, ``half_width`` what it can tell.

    That is half of the 95 % interval of one profession's share at one half, from ``images``
    pictures that are independent, all of known level.
    """

    prompts: str
    n_held_out: int
    n_trained: int
    images: int
    n_pictures: int
    half_width: float
    configs: tuple[str, ...]
    commands: tuple[str, ...]


class Price(Value):
    """What is drawn in all; ``hours`` are None where nobody said what a picture takes."""

    n_training: int
    n_evaluation: int
    hours: float | None


class DftResult(Document):
    """A plan of diversity fine-tuning; nothing has been drawn or trained.

    ``rule`` says how pictures are divided over cells: all *equal*, in proportion to a *target*, or
    by a measured *gap*. ``n_cells`` counts cells of the training grid, ``n_empty`` those that the
    rule gives no picture, ``n_merged_prompts`` prompts that came out in the same words as another.
    ``gap_notes`` say what the intervals of measured gaps mean for the numbers; () without a run.
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    context: str
    harms: tuple[Harm, ...]
    published: str
    rule: Literal["equal", "target", "gap"]
    templates: tuple[str, ...]
    n_cells: int
    n_empty: int
    n_prompts: int
    n_merged_prompts: int
    n_pictures: int
    lists: tuple[ListUsed, ...]
    axes: tuple[AxisPlan, ...]
    professions: tuple[ProfessionPlan, ...]
    gap_notes: tuple[str, ...]
    prompt_files: tuple[PromptsFile, ...]
    evaluation: EvaluationPlan
    price: Price
    finding: tuple[str, ...]
    how_planned: tuple[str, ...]
    notes: tuple[str, ...]
    cannot_say: tuple[str, ...]
    provenance: RunOf
