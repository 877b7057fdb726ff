"""What ``laion-probe blocked`` found: what a safety checker keeps back, and whom that falls on."""

from __future__ import annotations

from laion_probe.compose_result import RunOf
from laion_probe.results import (
    SCHEMA_VERSION,
    Claim,
    Composition,
    Document,
    Estimate,
    Harm,
    Shift,
    Value,
)

__all__ = ["BlockedBy", "BlockedLevel", "BlockedResult", "Passed"]


class BlockedLevel(Value):
    """Of the ``n`` pictures of a level, the checker blocks ``n_blocked``.

    ``blocked`` is that share, with an interval of its own; ``difference`` and ``ratio`` compare it
    with the share of all other pictures, with intervals that hold for all levels of the run
    together. ``few`` marks under 20 pictures.
    """

    level: str
    n: int
    n_blocked: int
    blocked: Estimate
    difference: Estimate
    ratio: Estimate
    few: bool


class BlockedBy(Value):
    """Blocking by one property of the prompts, or by an attribute as the pictures are read."""

    by: str  # "group", "concept", "language", "prompt", or an attribute
    title: str
    labels: str = ""  # whose labels, of an attribute
    levels: tuple[BlockedLevel, ...]


class Passed(Value):
    """One attribute among all pictures, and among those that the checker lets pass."""

    attribute: str
    title: str
    parity: float
    before: Composition
    after: Composition
    shift: Shift


class BlockedResult(Document):
    """Everything that one run of ``blocked`` found; its report is drawn from it.

    ``n_not_checked`` pictures have no word of a checker, ``n_unreadable`` cannot be read; neither
    is among the ``n_pictures``. ``n_compared`` levels are compared with their rest together.
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    context: str
    harms: tuple[Harm, ...]
    level: float
    generators: tuple[str, ...]
    simulated: bool
    n_pictures: int
    n_prompts: int
    n_batches: int
    n_not_checked: int
    n_unreadable: int
    n_compared: int
    blocked: Estimate
    by: tuple[BlockedBy, ...]
    passed: tuple[Passed, ...]
    finding: tuple[str, ...]
    claims: tuple[Claim, ...]
    how_measured: tuple[str, ...]
    cannot_say: tuple[str, ...]
    provenance: RunOf
