"""What ``laion-probe outliers`` found: what is drawn too often, and which explanations hold."""

from __future__ import annotations

from typing import Literal

from laion_probe.results import (
    SCHEMA_VERSION,
    Composition,
    Document,
    Estimate,
    Harm,
    InputRecord,
    PictureSet,
    Value,
    WordScore,
)

__all__ = [
    "BroughtAlong",
    "Explanation",
    "ExplanationKind",
    "NullRegion",
    "OutlierCluster",
    "OutliersResult",
    "OutliersRun",
    "RecipeWeighed",
    "Verdict",
]

Verdict = Literal[
    "supported",
    "contradicted",
    "not decidable here",
    "not observable",
    "not in this recipe",
]

ExplanationKind = Literal[
    "over-represented",
    "over-represented-deduplicated",
    "short-captions",
    "no-caption",
    "emptied",
    "other-languages",
    "words-removed",
    "near-duplicates",
    "few-domains",
    "survives",
]


class NullRegion(Value):
    """Odds ratios that are called no difference."""

    low: float = 0.8
    high: float = 1.25


class Explanation(Value):
    """One explanation, measured at a cluster's neighbourhood and at others like it.

    ``n_hits`` of ``n_rows`` are the neighbourhood's; ``elsewhere`` is the share in a typical other
    neighbourhood and ``between`` the standard deviation of the log odds of such neighbourhoods,
    beyond what sampling rows explains. Intervals of the three contrasts hold for all explanations
    that were weighed together; those of ``here`` and ``elsewhere`` one by one. ``of`` says which
    rows are looked at: those that the recipe keeps, or all. ``by`` divides the hits: by step, by
    language as the detector called it, by domain. ``decided_by`` says what would decide it, where
    these data cannot.
    """

    kind: ExplanationKind
    title: str
    verdict: Verdict
    reason: str
    of: str
    n_hits: int
    n_rows: int
    n_neighbourhoods: int
    here: Estimate
    elsewhere: Estimate
    between: float | None
    risk_difference: Estimate
    risk_ratio: Estimate
    odds_ratio: Estimate
    by: dict[str, int] = {}  # noqa: RUF012 - pydantic copies it
    decided_by: str = ""


class RecipeWeighed(Value):
    """The explanations of one cluster under one recipe.

    ``n_kept`` of ``n_rows`` rows of all the data are what a model would have been trained on;
    ``data_share`` is the cluster's share of those. Intervals of contrasts, and verdicts that rest
    on them, hold for the explanations of ``together`` at once; not for other recipes or clusters.
    """

    recipe: str
    title: str
    n_rows: int
    n_kept: int
    data_share: Estimate
    explanations: tuple[Explanation, ...]
    together: tuple[ExplanationKind, ...] = ()
    notes: tuple[str, ...] = ()


class OutlierCluster(Value):
    """Outputs that lie together in the data's own clusters, and the training rows beside them.

    ``ratio`` is the share of outputs over the share of training rows, its interval simultaneous
    over all clusters looked at; ``local_ratio`` the same from matched neighbourhoods of single
    outputs, without clusters. ``stability`` is the share of seeds of the clustering in which the
    same outputs (Jaccard at least a half) are found over-represented again. ``far`` outputs lie
    further from every training row than ``far_cosine`` allows. ``compositions`` are by "outputs"
    and "data", then by attribute. Of outputs that a person ``picked``, ``n_data`` counts the
    training rows that lie nearer to one of them than to another output; nothing is tested, since
    they were chosen for what they show. ``alike`` is then the share of random draws of as many
    outputs of the run whose mean cosine to one another is lower: small where the picked ones have
    little in common, to the model.
    """

    name: str
    n_outputs: int
    output_share: Estimate
    n_data: int
    data_share: Estimate
    ratio: Estimate
    local_ratio: Estimate
    over_represented: bool
    picked: bool = False
    alike: float | None = None
    stability: float
    n_seeds: int
    n_far: int
    pictures: tuple[PictureSet, ...]
    words: tuple[WordScore, ...]
    compositions: dict[str, dict[str, Composition]]
    weighed: tuple[RecipeWeighed, ...]


class BroughtAlong(Value):
    """A word or thing that comes with the prompt: in the data, in the outputs, and the difference.

    ``lift`` is the share beside the concept over the share in the rest of the data. ``outputs`` is
    None for words, since outputs have no captions of their own. Intervals are simultaneous over
    the list.
    """

    what: str
    kind: Literal["word", "tag"]
    data: Estimate
    rest: Estimate
    lift: Estimate
    outputs: Estimate | None
    difference: Estimate | None


class OutliersRun(Value):
    """What it takes to repeat the run."""

    version: str
    command: str
    config: dict[str, object]
    inputs: tuple[InputRecord, ...]
    model: dict[str, str]
    packages: dict[str, str]


class OutliersResult(Document):
    """Everything that one run of ``outliers`` found; its report is drawn from it.

    ``prompt`` is what the outputs answer (None: all of them); ``n_outputs`` of them were read and
    ``n_unreadable`` could not be; ``n_batches`` are the independent batches that intervals treat as
    units. ``n_data`` training rows have a vector. ``clusters`` come with the most over-represented
    first; ``n_clusters`` were looked at. ``brought`` is empty unless a prompt was named.
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    context: str
    harms: tuple[Harm, ...]
    level: float
    prompt: str | None
    generator: str
    n_outputs: int
    n_unreadable: int
    n_batches: int
    n_far: int
    far_cosine: float
    n_data: int
    n_clusters: int
    null: NullRegion = NullRegion()
    clusters: tuple[OutlierCluster, ...]
    brought: tuple[BroughtAlong, ...]
    titles: dict[str, str]
    abouts: dict[str, str]
    finding: tuple[str, ...]
    how_measured: tuple[str, ...]
    cannot_say: tuple[str, ...]
    would_need: tuple[str, ...]
    provenance: OutliersRun
