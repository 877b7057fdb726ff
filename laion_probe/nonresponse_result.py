"""What ``laion-probe nonresponse`` found: whose pictures are lost, and what that does to shares."""

from __future__ import annotations

from laion_probe.compose_result import RunOf
from laion_probe.results import SCHEMA_VERSION, Claim, Document, Estimate, Harm, Value

__all__ = [
    "AtOdds",
    "Composed",
    "Covered",
    "Fit",
    "LossBy",
    "LossLevel",
    "NonresponseResult",
    "Predicted",
    "Reason",
    "Weighting",
]


class Covered(Value):
    """Of ``of`` rows, ``n`` have something; ``share`` is n / of, None of no rows."""

    id: str  # "tried", "came", "embedding", "label:<attribute>"
    what: str
    n: int
    of: int
    share: float | None


class Reason(Value):
    """Why pictures did not come, in img2dataset's words without their numbers and addresses."""

    status: str
    reason: str
    n: int
    share: float  # of all rows tried


class LossLevel(Value):
    """Of the ``n`` rows of a level, ``n_lost`` have no picture.

    ``difference`` and ``ratio`` compare that share with the share of all other rows; intervals are
    by domain. ``domains`` counts those with rows. ``few`` marks under 20 rows.
    """

    level: str
    n: int
    n_lost: int
    domains: int
    lost: Estimate
    difference: Estimate
    ratio: Estimate
    few: bool


class LossBy(Value):
    """Loss by one group. ``p_value`` is of no dependence (Rao and Scott 1984, by domain).

    None where ``why_not`` says why; ``adjusted`` is over all groups (Benjamini and Hochberg 1995),
    ``depends`` says that it is at most the rate asked for. ``design_effect`` is by how much a test
    of independent rows would overstate.
    """

    group: str
    title: str
    note: str
    source: str
    levels: tuple[LossLevel, ...]
    p_value: float | None
    adjusted: float | None
    f: float | None
    df: tuple[float, float] | None
    design_effect: float | None
    n_together: int
    why_not: str
    depends: bool


class Predicted(Value):
    """Held-out rows of like prediction: its mean, and the share that came."""

    predicted: float
    came: Estimate


class Fit(Value):
    """How the model predicts rows of domains that it has not seen.

    ``slope`` 1 and ``intercept`` 0 are a calibrated model; ``auc`` 0.5 is one that knows nothing.
    """

    folds: int
    brier: Estimate
    brier_of_rate: float
    auc: Estimate
    intercept: Estimate
    slope: Estimate
    calibration_error: float
    reliability: tuple[Predicted, ...]


class Weighting(Value):
    """The model of response and the weights that it gives to the pictures that came.

    ``effective`` is how many of equal weight they are worth; ``imbalance`` the largest part of all
    rows by which a level's weighted count is off. ``n_together`` levels had too few that came.
    """

    by: tuple[str, ...]
    n_effects: int
    n_together: int
    effective: float
    heaviest: float
    n_trimmed: int
    imbalance: float
    fit: Fit | None
    why_not_checked: str


class AtOdds(Value):
    """The headline share with ``odds`` times the odds, among those lost, of those that came."""

    odds: float
    share: Estimate


class Composed(Value):
    """The headline share of one attribute, under less and less that is assumed.

    ``complete`` is of the pictures that came, ``reweighted`` by the model of response, ``limited``
    its range with odds among those lost from 1 / ``most_odds`` to ``most_odds`` times those of
    pictures like them, ``possible`` all that lost and unknown rows leave open, and ``worst`` the
    same with sampling. ``counts`` are the labels of those that came; ``complete_shares`` and
    ``reweighted_shares`` are each level's among all pictures. ``parity`` is a line, no target.
    """

    attribute: str
    title: str
    about: str
    labels: str
    levels: tuple[str, ...]
    contrast_level: str
    against_level: str
    parity: float
    counts: dict[str, int]
    complete: Estimate
    reweighted: Estimate
    limited: Estimate
    most_odds: float
    possible: Estimate
    worst: Estimate
    curve: tuple[AtOdds, ...]
    complete_shares: dict[str, Estimate]
    reweighted_shares: dict[str, Estimate]
    notes: tuple[str, ...]


class NonresponseResult(Document):
    """Everything that one run of ``nonresponse`` found; its report is drawn from it.

    ``fetched`` is the first and the last day on which links were tried, ``crawled`` those of the
    crawl; None where not known. ``by_chance`` says that rows count by one over their chance to be
    tried, since those differ. ``weighting`` is None where too few pictures came.
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    context: str
    harms: tuple[Harm, ...]
    level: float
    false_discovery_rate: float
    n_tried: int
    n_came: int
    n_domains: int
    by_chance: bool
    fetched: tuple[str, str] | None
    crawled: tuple[str, str] | None
    lost: Estimate
    coverage: tuple[Covered, ...]
    reasons: tuple[Reason, ...]
    loss: tuple[LossBy, ...]
    weighting: Weighting | None
    why_not_weighted: str
    composed: tuple[Composed, ...]
    finding: tuple[str, ...]
    claims: tuple[Claim, ...]
    how_measured: tuple[str, ...]
    cannot_say: tuple[str, ...]
    provenance: RunOf
