"""What ``laion-probe robustness`` found: a probe's claims under other choices than its own."""

from __future__ import annotations

from typing import Literal, get_args

from laion_probe.compose_result import RunOf
from laion_probe.results import SCHEMA_VERSION, Document, Estimate, Value

__all__ = [
    "AXES",
    "VERDICTS",
    "ByChoice",
    "Choice",
    "ClaimCurve",
    "Nearby",
    "Outcome",
    "RobustnessResult",
    "Specification",
    "Verdict",
]

#: What is chosen in a specification, in the order in which it is chosen.
AXES = ("detector", "threshold", "prompts", "raters")

#: What a specification says of a claim: the interval of the change lies above zero, or below it;
#: the change is exactly zero (of a full count); these data cannot tell (zero is in the interval);
#: or the specification could not be computed.
Verdict = Literal["higher", "lower", "no change", "cannot tell", "failed"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class Nearby(Value):
    """How far the pictures near the concept by a choice are those that the run took.

    All else as the run chose, before the recipe. ``n`` are near by the choice (None where its rule
    finds none), ``n_run`` by the run, ``n_both`` by both: ``share_of_run`` of the run's and
    ``jaccard`` of those near by either. At the run's size, ``n_like`` of the ``n_run`` nearest by
    the choice are the run's; ``other_pictures``: too few for prompts of the same thing.
    """

    n: int | None
    n_run: int
    n_both: int | None
    share_of_run: float | None
    jaccard: float | None
    n_like: int
    other_pictures: bool = False


class Choice(Value):
    """One choice on an axis; "run" is the run's own.

    ``nearby`` is of a threshold or of prompts; None elsewhere, and where nothing could be read.
    """

    axis: str
    name: str
    about: str
    nearby: Nearby | None = None


class Specification(Value):
    """A choice on every axis. ``listed`` says that shares count it: the run's own may be beside."""

    choices: dict[str, str]  # axis -> the name of a choice
    is_run: bool
    listed: bool
    n_pictures: int | None  # near the concept after the recipe; None where nothing was found


class Outcome(Value):
    """What a specification (by its place) says of a claim.

    ``estimate`` is the change as the finding quotes it and ``by`` the estimate that decides:
    "difference", "corrected" (raters') or "with_known_errors", whose range is ``range``. ``reason``
    says why there is none.
    """

    specification: int
    verdict: Verdict
    by: str
    estimate: Estimate | None
    range: Estimate | None = None
    reason: str = ""


class ByChoice(Value):
    """The ``n`` listed specifications with one choice, counted by what each says of a claim.

    Every one is in exactly one of ``counts``, which has every `Verdict`.
    """

    axis: str
    choice: str
    n: int
    counts: dict[Verdict, int]
    median: float | None  # of the changes, of those that could be computed


class ClaimCurve(Value):
    """A claim of the run under every specification, sorted by the change; failed ones last.

    Each of the ``n`` listed specifications is in exactly one of ``counts``, which has every
    `Verdict`; ``shares`` are the same as shares of them, with intervals where they were drawn.
    ``verdict`` is the run's own, told beside: it is counted only as one specification.
    ``hinges`` says on which axis the answer turns most, or ''.
    """

    id: str
    title: str
    attribute: str
    contrast_level: str
    text: str  # of the run
    verdict: Verdict  # of the run
    n: int
    counts: dict[Verdict, int]
    shares: dict[Verdict, Estimate]
    by_choice: tuple[ByChoice, ...]
    hinges: str
    outcomes: tuple[Outcome, ...]


class RobustnessResult(Document):
    """Everything that one run of ``robustness`` found; its report is drawn from it.

    ``n_possible`` specifications follow from the choices; ``sampled`` says that only a random part
    of them was run. ``reproduced`` says that the run's own choices gave the run's own numbers.
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    concept: str
    recipe: str
    level: float
    n_possible: int
    sampled: bool
    reproduced: bool
    choices: tuple[Choice, ...]
    specifications: tuple[Specification, ...]
    claims: tuple[ClaimCurve, ...]
    finding: tuple[str, ...]
    how_measured: tuple[str, ...]
    cannot_say: tuple[str, ...]
    provenance: RunOf
