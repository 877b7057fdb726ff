"""What ``laion-probe explore`` found: clusters, averages and neighbours of several sets."""

from __future__ import annotations

from typing import Literal

from laion_probe.results import (
    SCHEMA_VERSION,
    Claim,
    Document,
    Estimate,
    Harm,
    InputRecord,
    Value,
)

__all__ = [
    "ClusterOf",
    "Clustering",
    "Differs",
    "ExploreResult",
    "ExploreRun",
    "ExploredPicture",
    "ExploredSet",
    "Near",
    "Seen",
    "SpreadOf",
]


class ExploredSet(Value):
    """A set of pictures: ``n_pictures`` were listed, ``n_unreadable`` of them could not be read.

    ``n_used`` show one of the concepts and are compared; ``n_several`` name more than one and are
    left out, ``n_other`` name none. ``n_units`` are the independent batches (of a data set:
    domains). ``weight`` is what each picture counts in the clustering, so that all sets count
    alike.
    """

    name: str
    kind: Literal["data", "generated"]
    generator: str
    simulated: bool
    n_pictures: int
    n_unreadable: int
    n_used: int
    n_several: int
    n_other: int
    n_units: int
    weight: float


class Near(Value):
    """A near picture: its place among ``pictures``, and the cosine."""

    picture: int
    cosine: float


class ExploredPicture(Value):
    """A picture as the explorer shows it; ``image`` is a small ``data:`` URI.

    ``set`` and ``group`` are places in ``sets`` and ``groups``; ``cluster`` is its number in the
    clustering shown. ``nearest`` holds the nearest pictures shown of each set, in the order of
    sets.
    """

    id: str
    set: int
    group: int
    cluster: int
    caption: str
    image: str
    nearest: tuple[tuple[Near, ...], ...]


class Seen(Value):
    """What the pictures of one concept in one set look like.

    ``average`` is the URI of the mean of ``n_average`` pictures, aligned by face or plain;
    ``colourfulness`` is the mean of Hasler and Süsstrunk's (2003) over ``n_read`` pictures.
    """

    set: int
    group: int
    n: int
    n_units: int
    average: str
    n_average: int
    aligned: bool
    n_left_out: int
    colourfulness: Estimate


class ClusterOf(Value):
    """A cluster: its number, pictures by set, and its medoids among ``pictures`` shown.

    ``share`` is of all sets, each counting alike. ``stability`` is the mean over other seeds of the
    best overlap (Jaccard) with one of their clusters.
    """

    number: int
    n: tuple[int, ...]
    share: float
    stability: float
    medoids: tuple[int, ...]


class SpreadOf(Value):
    """How one concept of one set spreads over the clusters.

    ``counts`` are by cluster, ``shares`` of those that have any. ``entropy`` is over its maximum,
    0 to 1; ``over_seeds`` are its least and greatest value when the clustering is begun from
    another seed.
    """

    set: int
    group: int
    counts: tuple[int, ...]
    shares: dict[str, Estimate]
    entropy: Estimate
    over_seeds: tuple[float, float]


class Differs(Value):
    """One concept in two sets: ``second`` against ``first``.

    ``entropy`` is the difference of entropies over their maximum; ``distance`` the total variation
    distance corrected for chance, ``raw_distance`` as the shares are. Intervals hold together for
    all concepts and pairs of a clustering. ``entropy_over_seeds`` and ``distance_over_seeds`` are
    the least and the greatest value when the clustering is begun from another seed. ``n_less``,
    ``n_more`` and ``n_apart`` count the clusterings, this one among them, whose interval leaves out
    zero: of the entropy below and above it, and of the distance.
    """

    group: int
    first: int
    second: int
    entropy: Estimate
    distance: Estimate
    raw_distance: float
    entropy_over_seeds: tuple[float, float]
    distance_over_seeds: tuple[float, float]
    n_less: int
    n_more: int
    n_apart: int


class Clustering(Value):
    """One number of clusters.

    ``agreement`` is the mean adjusted Rand index with clusterings from other seeds (Hubert and
    Arabie 1985): 1 the same, 0 as by chance. ``n_seeds`` clusterings were made, with this one.
    """

    k: int
    n_seeds: int
    agreement: float
    clusters: tuple[ClusterOf, ...]
    spreads: tuple[SpreadOf, ...]
    differences: tuple[Differs, ...]


class ExploreRun(Value):
    """What it takes to repeat the run."""

    version: str
    command: str
    config: dict[str, object]
    inputs: tuple[InputRecord, ...]
    model: dict[str, str]


class ExploreResult(Document):
    """Everything that one run of ``explore`` found; report and explorer are drawn from it.

    ``groups`` are the concepts or prompts; ``shown`` is the place of the clustering that pictures
    carry. ``show`` is the most pictures a set among ``pictures``.
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    context: str
    harms: tuple[Harm, ...]
    level: float
    groups: tuple[str, ...]
    sets: tuple[ExploredSet, ...]
    shown: int
    show: int
    clusterings: tuple[Clustering, ...]
    seen: tuple[Seen, ...]
    pictures: tuple[ExploredPicture, ...]
    finding: tuple[str, ...]
    claims: tuple[Claim, ...]
    how_measured: tuple[str, ...]
    cannot_say: tuple[str, ...]
    provenance: ExploreRun
