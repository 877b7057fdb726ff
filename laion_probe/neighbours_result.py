"""What ``laion-probe neighbours`` found: rows near each concept, and what they look like."""

from __future__ import annotations

from typing import Literal

from laion_probe.curve_result import CurveOf
from laion_probe.results import (
    SCHEMA_VERSION,
    Composition,
    Document,
    Estimate,
    Harm,
    InputRecord,
    Value,
)

__all__ = [
    "CalibratedThreshold",
    "ConceptNeighbours",
    "ModelCheck",
    "NeighboursResult",
    "RecallOf",
    "RunOf",
    "SearchedBy",
    "ShownRows",
    "ShownWith",
    "StratumOf",
]


class RecallOf(Value):
    """What an index finds of the true neighbours, as measured when it was built.

    ``mean`` is over held-out queries, ``worst_tenth`` over the tenth of them that fared worst;
    ``least`` is what a concept's recall is taken not to be below: the limit that one more query
    stays above with a probability of 95 % or, with under 19 queries, the lower end of the former.
    ``by_query`` is by what queries are vectors of, ``by_group`` by the group of the neighbours,
    ``gap`` the largest difference between two groups; empty and None where not measured.
    """

    k: int
    n_queries: int
    mean: Estimate
    worst_tenth: Estimate
    least: float
    by_query: dict[str, Estimate]
    by_group: dict[str, Estimate]
    gap: Estimate | None


class SearchedBy(Value):
    """How rows were searched, why so, and, of an index, what it misses."""

    kind: Literal["exact", "index"]
    why: str
    index: str  # the kind of index, '' for an exact scan
    recall: RecallOf | None
    notes: tuple[str, ...] = ()


class ModelCheck(Value):
    """Whether the embeddings were made by the model that reads them.

    ``basis`` is what is known: the "key" stored beside them, "captions" (no key: pictures lie
    nearer to their own captions than to others', by ``p_value`` of a permutation test over ``n``
    rows), or "word" alone (no key, and no captions to check by). ``own`` and ``others`` are mean
    cosines, None where nothing was compared.
    """

    basis: Literal["key", "captions", "word"]
    sentence: str
    n: int = 0
    own: float | None = None
    others: float | None = None
    p_value: float | None = None


class StratumOf(Value):
    """A stratum of similarity that rows were drawn from for raters."""

    name: str
    floor: float | None  # the lowest cosine in it; None for the last one, which has no end
    near: bool
    n_rows: int
    n_drawn: int
    probability: float
    n_rated: int = 0
    n_shows: int = 0


class ShownWith(Value):
    """Composition, by raters, of the rows that show the concept, wherever they lie.

    ``near`` is of those at or above the threshold alone: the neighbourhood's figure, as raters see
    it; ``recall`` the share of the rows with a level that lie there. All are of what raters say;
    bounds allow for what they could not tell and for rows that were drawn and not rated.
    """

    shares: dict[str, Estimate]
    contrast: Estimate
    bounds: Estimate
    near_contrast: Estimate | None
    near_bounds: Estimate | None
    recall: dict[str, Estimate]
    recall_bounds: dict[str, Estimate]


class CalibratedThreshold(Value):
    """The threshold that ratings would set, with what it would be worth on other ratings."""

    threshold: float | None
    precision: Estimate
    recall: Estimate
    rule: str


class ShownRows(Value):
    """How many rows of the whole set show the concept, by raters of a stratified sample.

    ``n_drawn`` rows were to be rated; what those show that were not, often since their picture is
    gone, is not known. ``total`` counts rows and ``share`` is of all of them; ``precision`` is the
    share of near rows that show it, ``recall`` that of the rows showing it that are near. Bounds
    allow for what raters could not tell, and for rows that were drawn and not rated.
    ``compositions`` are by attribute.
    """

    n_rated: int
    n_drawn: int
    total: Estimate
    share: Estimate
    cannot_tell: Estimate
    bounds: Estimate
    precision: Estimate | None
    precision_bounds: Estimate | None
    recall: Estimate | None
    recall_bounds: Estimate | None
    compositions: dict[str, ShownWith]
    calibrated: CalibratedThreshold | None
    notes: tuple[str, ...]


class ConceptNeighbours(Value):
    """One concept: where its neighbourhood ends, how many rows it has, and what they look like.

    ``n_near`` counts rows at or above ``threshold``: all of them (``n_near_is_all``), or those
    that the index found among the ``n_kept`` nearest. ``compositions`` are of the near rows as the
    model reads them from the embeddings. ``missed`` is, by attribute, the range of the headline
    share if what the index misses were all one level or all the other; empty for an exact scan.
    ``histogram`` holds (left edge, rows, rows whose caption names the concept) of ``n_histogram``
    rows; captions were read of ``n_captions`` rows, ``n_named`` of which name the concept.
    """

    name: str
    prompts: tuple[str, ...]
    keywords: tuple[str, ...]
    status: Literal["found", "no match", "no threshold"]
    answer: str
    threshold: float | None
    threshold_rule: str
    n_near: int
    n_near_is_all: bool
    n_kept: int
    n_captions: int
    n_named: int
    n_named_near: int
    n_histogram: int
    bin_width: float
    histogram: tuple[tuple[float, int, int], ...]
    compositions: dict[str, Composition]
    curves: dict[str, CurveOf]
    missed: dict[str, Estimate]
    strata: tuple[StratumOf, ...]
    strata_rule: str
    shown: ShownRows | None


class RunOf(Value):
    """What it takes to repeat the run."""

    version: str
    command: str
    config: dict[str, object]
    inputs: tuple[InputRecord, ...]
    model: dict[str, str]
    packages: dict[str, str]


class NeighboursResult(Document):
    """Everything that one run of ``neighbours`` found; its report is drawn from it.

    ``n_rows`` are in the folder, ``n_unreadable`` of them pictures that could not be read and
    ``n_broken`` vectors that are not finite; both are None where no scan counted them.
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    context: str
    harms: tuple[Harm, ...]
    level: float
    n_rows: int
    n_unreadable: int | None
    n_broken: int | None
    dim: int
    titles: dict[str, str]
    abouts: dict[str, str]
    parity: dict[str, float]
    model: ModelCheck
    searched: SearchedBy
    concepts: tuple[ConceptNeighbours, ...]
    finding: tuple[str, ...]
    how_measured: tuple[str, ...]
    cannot_say: tuple[str, ...]
    provenance: RunOf
