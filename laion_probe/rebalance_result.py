"""What ``laion-probe rebalance`` found: margins, their price, and what no weight can mend."""

from __future__ import annotations

from laion_probe.compose_result import RunOf
from laion_probe.results import SCHEMA_VERSION, Claim, Document, Estimate, Harm, Value

__all__ = [
    "EmptyCell",
    "LevelPlan",
    "Predicted",
    "PredictedStage",
    "PriceOf",
    "RebalanceResult",
    "Subset",
    "VariablePlan",
]


class LevelPlan(Value):
    """One level under the plan, by the labels that the weights were made from.

    ``n`` rows have it; ``share`` is theirs before, ``target`` what is asked for (None where the
    variable has no target), ``share_after`` by weight, ``share_subset`` in the subset. ``weight``
    is the mean weight of its rows and ``effective`` what they are worth by their weights (Kish);
    ``few`` marks a level that has a target and fewer than 20 rows.
    """

    level: str
    n: int
    share: float
    target: float | None
    share_after: float
    share_subset: float
    weight: float
    effective: float
    few: bool


class VariablePlan(Value):
    """One variable, targeted or not, as labelled: ``asked`` are the targets in the user's words.

    ``asked_sum`` is what their shares sum to as they were given, where that is 1 but for rounding:
    they were scaled to it. None where nothing was scaled.
    """

    variable: str
    title: str
    labels: str  # whose labels: a classifier's, captions' words
    note: str  # what a reader of its labels must know
    asked: tuple[str, ...]
    levels: tuple[LevelPlan, ...]
    skipped: tuple[str, ...] = ()  # levels of the target that nobody has, left out as was asked
    asked_sum: float | None = None


class EmptyCell(Value):
    """Levels of two or more targeted variables that no row has together: no weight makes any."""

    levels: dict[str, str]


class PriceOf(Value):
    """What the weights cost over ``n`` rows.

    ``effective`` is Kish's effective sample size and ``design_effect`` n over it; ``largest`` and
    ``median`` weights are in units of the mean; ``n_without`` rows have weight 0; ``bound`` is the
    largest weight that was allowed (None: any). ``error`` is the largest distance of a margin's
    share from its target, after ``sweeps`` sweeps over ``n_cells`` cells. Where these were many,
    ``slow`` says so, and ``slow_margins`` are those without any one of which they would be few:
    they can only just be had together.
    """

    n: int
    n_cells: int
    n_without: int
    effective: float
    design_effect: float
    largest: float
    median: float
    bound: float | None
    error: float
    sweeps: int
    slow: bool = False
    slow_margins: tuple[str, ...] = ()


class Subset(Value):
    """A subset drawn by the weights.

    ``largest_exact`` is the most rows in which every chance is as its weight asks; ``exact`` says
    whether this is no more. ``n_certain`` rows are in whatever is drawn.
    """

    n: int
    largest_exact: int
    exact: bool
    n_certain: int
    seed: int


class PredictedStage(Value):
    """Shares of one attribute as raters would give them, at one stage of the plan.

    ``contrast`` is of the contrast's level among its two; ``read`` the same by uncorrected labels.
    """

    id: str  # "before", "weighted", "subset"
    title: str
    contrast: Estimate
    shares: dict[str, Estimate]
    read: float | None
    target: float | None = None  # of the contrast, where the attribute has a target


class Predicted(Value):
    """The composition of one attribute before and after the plan.

    ``corrected`` says that intervals carry the labels' errors, by ``n_rated`` ratings of a random
    sample. Otherwise they are uncorrected labels, without interval. ``warning`` says so, or what
    is to be doubted of the ratings; it may be empty.
    """

    attribute: str
    title: str
    contrast_level: str
    against_level: str
    parity: float
    labels: str
    corrected: bool
    warning: str
    n_rated: int
    stages: tuple[PredictedStage, ...]


class RebalanceResult(Document):
    """Everything that one run of ``rebalance`` found; its report is drawn from it.

    ``n`` rows may have weight, of ``what`` (pictures or rows). By their labels, nobody has the
    ``empty_levels``, nor the pairs of ``empty_cells`` (the first of ``n_empty_cells``).
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    context: str
    harms: tuple[Harm, ...]
    level: float
    what: str
    about: str
    n: int
    unknown: str
    variables: tuple[VariablePlan, ...]
    price: PriceOf
    subset: Subset
    predicted: tuple[Predicted, ...]
    empty_levels: tuple[EmptyCell, ...]
    empty_cells: tuple[EmptyCell, ...]
    n_empty_cells: int
    files: dict[str, str]
    finding: tuple[str, ...]
    claims: tuple[Claim, ...]
    how_measured: tuple[str, ...]
    cannot_say: tuple[str, ...]
    provenance: RunOf
