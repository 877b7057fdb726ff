"""What a run found: plain frozen values that round-trip through JSON.

Everything that a report shows is drawn from one `ProbeResult`. Nothing in here estimates and
nothing renders; timings, host and paths are in ``run.json``, so that ``result.json`` is the same
bytes every time.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

__all__ = [
    "SCHEMA_VERSION",
    "Amplification",
    "Claim",
    "Composition",
    "ConceptResult",
    "Corrected",
    "DetectorAudit",
    "Document",
    "Estimate",
    "FailedUnit",
    "Finding",
    "GeneratedSummary",
    "Harm",
    "InputRecord",
    "KnownError",
    "LevelRemoval",
    "Picture",
    "PictureSet",
    "Provenance",
    "Shift",
    "Stage",
    "StepEffect",
    "Value",
    "WordScore",
]

#: Raised whenever a field is renamed, removed or changes its meaning.
SCHEMA_VERSION = 3


class Value(BaseModel):
    """A frozen value; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Document(Value):
    """A value that is a run's ``result.json``."""

    def to_json(self) -> str:
        """The bytes of ``result.json``: fixed key order, two spaces, a final newline."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote."""
        return cls.model_validate_json(text)


class Estimate(Value):
    """One number with its uncertainty, and how it was come by.

    ``value``, ``low`` and ``high`` are None where the data do not define them (a share of nothing):
    never a silent zero. ``n`` counts the pictures or rows behind the number, ``units`` the
    independent groups (row groups of a shard, seed batches of a generator) that the interval treats
    as exchangeable.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float = 0.95
    n: int
    units: int
    method: str
    assumptions: tuple[str, ...] = ()


class Corrected(Value):
    """Shares as a panel of raters would give them, from their ratings of a random sample.

    ``contrast`` is the headline share and ``shares`` are those of each level among all pictures, as
    in `Composition`; ``bounds`` are for what the raters could not tell. ``estimator`` names the
    method that was chosen and ``why`` says by which rule; ``n_rated`` counts the rated pictures of
    this stage. "True" means: what this panel would say.
    """

    estimator: str
    why: str
    warning: str = ""
    n_rated: int
    contrast: Estimate
    shares: dict[str, Estimate]
    bounds: Estimate


class Composition(Value):
    """How the pictures of one stage divide over the levels of one attribute.

    ``counts`` holds every level, *unknown* included; ``shares`` is each level's share of all
    pictures. ``contrast`` is the headline: the share of ``contrast_level`` among pictures read as
    either ``contrast_level`` or ``against_level``; ``bounds`` is the range of that share if every
    *unknown* picture belonged to the one or to the other, sampling included (Manski 1990).
    ``with_known_errors`` is the range of the *true* share that the classifier's measured errors
    allow (no middle is claimed), or None where none were measured. ``corrected`` is the share as
    raters would give it, or None, and ``not_corrected`` then says why not.
    """

    attribute: str
    levels: tuple[str, ...]
    counts: dict[str, int]
    shares: dict[str, Estimate]
    contrast_level: str
    against_level: str
    contrast: Estimate
    bounds: Estimate
    labels: str  # "uncorrected classifier labels", "raters", ...
    with_known_errors: Estimate | None = None
    corrected: Corrected | None = None
    not_corrected: str = ""


class Stage(Value):
    """One link of the chain from pool to output.

    ``n_rows`` counts the rows of the whole input that reach this stage (None for generated
    pictures), ``n_concept_rows`` those whose caption names the concept, ``n_pictures`` the pictures
    on which the compositions rest: those near the concept, but for "all" (whatever they show) and
    "generated".
    """

    id: str  # "all", "pool", "step:<step id>", "neighbourhood", "matched", "generated"
    kind: Literal["pool", "step", "neighbourhood", "matched", "generated"]
    title: str
    note: str = ""
    n_rows: int | None
    n_concept_rows: int | None = None
    n_pictures: int
    compositions: dict[str, Composition] = {}


class Shift(Value):
    """The change of a headline share from one stage to another.

    ``difference`` is ``to`` minus ``from`` (a share, so 0.05 is five points); ``ratio`` is ``to``
    over ``from``. ``paired`` says that the later stage is a subset of the earlier one and that the
    interval uses it. ``with_known_errors`` is the range of the difference when the two stages'
    pictures may have different errors (data and generated ones), each as measured somewhere; for
    nested stages, when both have the same. None where no errors were measured. ``corrected`` is
    the difference as raters would give it, or None where either stage has no ratings of its own.
    """

    attribute: str
    contrast_level: str
    from_stage: str
    to_stage: str
    difference: Estimate
    ratio: Estimate
    paired: bool
    with_known_errors: Estimate | None = None
    corrected: Estimate | None = None


class Amplification(Value):
    """How far generated pictures lie towards the side of parity that the data favour.

    ``data_stage`` is the stage of the data that is compared. ``signed`` is the change of the share
    towards ``toward``, the level that the data favour: negative beyond the distance of the data
    from parity, the generated pictures are on the other side. Both are None where the interval of
    the data's share contains parity ("side not determined"). ``raw`` is the change of the distance
    from parity, biased near it, and ``corrected`` the same without that bias. ``p_value`` is of
    equal shares. ``by_raters`` says that all rest on shares as raters give them.
    """

    attribute: str
    data_stage: str = "neighbourhood"
    parity: float
    by_raters: bool = False
    toward: str | None
    signed: Estimate | None
    raw: Estimate | None = None
    corrected: Estimate | None = None
    p_value: float | None = None
    note: str


class LevelRemoval(Value):
    """Of the concept's pictures read as ``level`` that reach a step, how many it removes."""

    attribute: str
    level: str
    n_before: int
    n_removed: int
    rate: Estimate


class StepEffect(Value):
    """What one step of the recipe did: to all rows, and to whom among the concept's pictures.

    ``outcomes`` counts all rows by what this step would do with them at its place in the recipe,
    whatever earlier steps decided; ``n_removed_here`` counts rows that reached the step and left,
    ``removed_share`` is their share of the rows that reached it and could be judged.
    ``observable`` is False where the input had passed this step before we saw it: what it removed
    cannot be seen, which is not zero.
    """

    id: str
    kind: str
    title: str
    source: str
    confidence: Literal["verified", "secondary", "from memory", "hypothesis", "user"]
    simulated: Literal["yes", "partly", "no"]
    note: str
    observable: bool
    outcomes: dict[str, int]
    n_reached: int
    n_removed_here: int
    removed_share: Estimate
    removals: tuple[LevelRemoval, ...] = ()


class Picture(Value):
    """One picture as the report shows it. ``image`` is a small ``data:`` URI, or empty."""

    id: str
    caption: str
    url: str = ""
    similarity: float | None
    labels: dict[str, str]
    flagged_unsafe: bool = False
    image: str = ""


class PictureSet(Value):
    """Pictures shown side by side, with the rule by which they were picked (never by hand)."""

    id: str
    title: str
    rule: str
    pictures: tuple[Picture, ...]
    average: str = ""  # data URI of the average image of the whole set it was drawn from
    n_average: int = 0


class WordScore(Value):
    """A caption word's log-odds in the neighbourhood against the rest.

    z-score by the informative Dirichlet prior of Monroe, Colaresi and Quinn (2008).
    """

    word: str
    z: float
    log_odds: float
    n_near: int
    n_rest: int


class ConceptResult(Value):
    """The concept, how it was looked for, and what was found."""

    name: str
    prompts: tuple[str, ...]
    keywords: tuple[str, ...]
    n_examples: int
    status: Literal["found", "no match", "no pictures"]
    answer: str
    threshold: float | None
    threshold_rule: str
    n_pictures: int  # pictures searched
    n_neighbours: int
    n_keyword_rows: int
    n_keyword_pictures: int
    n_keyword_not_near: int
    similarity_histogram: tuple[tuple[float, int, int], ...]  # (left edge, all, keyword matches)


class DetectorAudit(Value):
    """What each language detector calls English on one seeded subsample of captions."""

    n: int
    english: dict[str, Estimate]
    agree_with_recipe: dict[str, Estimate]
    note: str


class KnownError(Value):
    """Measured confusion of the classifier on labelled pictures of one domain.

    ``confusion[true][read]`` are counts; ``by_group`` divides them by the concept that the pictures
    show, since a classifier that is right about doctors may be wrong about guards.
    """

    attribute: str
    domain: str
    confusion: dict[str, dict[str, int]]
    accuracy: Estimate
    note: str
    by_group: dict[str, dict[str, dict[str, int]]] = {}


class Claim(Value):
    """One sentence of the finding, with the interval that supports it or withholds it."""

    id: str
    text: str
    supported: bool
    estimate: str  # JSON pointer into the result, e.g. "/shifts/3/difference"


class Finding(Value):
    """The finding in two sentences; unsupported claims read "these data cannot tell"."""

    sentences: tuple[str, ...]
    claims: tuple[Claim, ...]


class Harm(Value):
    """A representational harm at stake, in the words of the person who named it; never inferred.

    ``kind`` is one of Katzman et al.'s (2023, "Taxonomizing and Measuring Representational Harms").
    """

    kind: str
    words: str


class GeneratedSummary(Value):
    """Which generated pictures were read. ``simulated`` is said wherever they are shown."""

    n_pictures: int
    prompts: tuple[str, ...]
    generator: str
    simulated: bool
    n_unreadable: int
    note: str


class InputRecord(Value):
    """One input with a hash of its content and the filters that it has already passed."""

    kind: Literal["shard", "images", "generated", "embeddings", "model", "examples", "table"]
    name: str
    fingerprint: str  # sha256 of the content; of a shard: of its size and footer (or both ends)
    n_rows: int | None
    already: str
    note: str = ""


class FailedUnit(Value):
    """A unit that could not be read: counted, named, and carried into the result."""

    unit: str
    n_rows: int | None
    reason: str


class Provenance(Value):
    """What it takes to repeat the run."""

    version: str
    command: str
    config: dict[str, object]
    seed: int
    inputs: tuple[InputRecord, ...]
    failed_units: tuple[FailedUnit, ...]
    n_units: int
    model: dict[str, str]
    packages: dict[str, str]
