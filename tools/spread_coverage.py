"""How far `explore`'s intervals and its word "shown" can be trusted: by simulation.

``python -m tools.spread_coverage`` writes the tables between the marks of docs/explore.md. What is
called shown is tried through the very functions that `explore` uses: clusters of all pictures,
spreads by batch, and the same from other seeds.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# The arrays are small: threads of the linear algebra would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit, xlogy

from laion_probe.estimators.entropy import Spread, distance, entropy
from laion_probe.explore_result import Differs
from laion_probe.questions.exploring_clusters import Together, cluster_together
from laion_probe.questions.exploring_differences import Placed, differences, spreads

PAGE = Path(__file__).parent.parent / "docs" / "explore.md"
MARKS = ("<!-- spread_coverage -->", "<!-- end -->")
TRIALS = 2000  # of intervals
SETS = 200  # pairs of sets, of what is shown
BATCHES, EACH = 50, 4
CLUSTERS = (12, 24, 48)
ALIKE = 5.0  # of a Dirichlet: batches' shares scatter as if a batch had 6 kinds of pictures
CONCEPTS = 3
SEEDS = 5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Interval = Callable[[Spread], tuple[float, float]]


@dataclass(frozen=True)
class Design:
    """Two sets of ``CONCEPTS`` concepts: pictures of 16 kinds, in ``batches`` of ``each``.

    ``style`` is how far all pictures of the second set are moved, as if drawn otherwise;
    ``other`` the share of one concept's pictures that are of one kind in the second set alone.
    ``alike`` is the part of a picture's scatter that its batch shares.
    """

    name: str
    batches: int = 25
    each: int = 4
    alike: float = 0.3
    style: float = 0.0
    other: float = 0.0


DESIGNS = (
    Design("the same process"),
    Design("the same process, batches of 2", batches=50, each=2),
    Design("the same process, pictures independent", batches=100, each=1),
    Design("the same process, batches hardly scatter within", alike=0.8),
    Design("a third of one concept's pictures are of one kind", other=1 / 3),
    Design("the same contents, another drawing style", style=1.0),
)


def shares(k: int) -> Floats:
    """A share a cluster, the last about a hundredth of the first."""
    p = 0.7 ** (12 * np.arange(k) / k)
    return np.asarray(p / p.sum())


def drawn(p: Floats, alike: bool, rng: np.random.Generator) -> Spread:
    """Batches of pictures; where they are ``alike`` each has shares of its own, around ``p``."""
    if not alike:
        return Spread(rng.multinomial(EACH, p, size=BATCHES))
    own = rng.dirichlet(p * ALIKE, size=BATCHES)
    return Spread(rng.multinomial(EACH, own / own.sum(axis=1, keepdims=True)))


def jackknife(spread: Spread) -> tuple[float, float]:
    """What `explore` reports."""
    e = entropy(spread)
    assert e.low is not None
    assert e.high is not None
    return e.low, e.high


def by_picture(spread: Spread) -> tuple[float, float]:
    """A wrong method: the same, but every picture a batch of its own."""
    k = spread.counts.shape[1]
    cluster = np.repeat(np.arange(k), spread.counts.sum(axis=0))
    return jackknife(Spread.of(cluster, np.arange(len(cluster)), k))


def plug_in(spread: Spread) -> tuple[float, float]:
    """A wrong method: the entropy of the shares as they are, with its linearised error by batch."""
    m, k = spread.counts.shape
    n, p = spread.n, spread.counts.sum(axis=0) / spread.n
    residual = (spread.counts - spread.counts.sum(axis=1, keepdims=True) * p) / n
    slope = np.where(p > 0, -np.log(np.where(p > 0, p, 1)) - 1, 0)
    half = float(stdtrit(m - 1, 0.975)) * math.sqrt(
        m / (m - 1) * float(((residual @ slope) ** 2).sum())
    )
    value = -float(xlogy(p, p).sum())
    return (value - half) / math.log(k), (value + half) / math.log(k)


def entropy_covered(method: Interval, k: int, alike: bool, trials: int) -> float:
    """The share of intervals that hold the entropy of the process."""
    rng, p = np.random.default_rng([7, k]), shares(k)
    true = -float(xlogy(p, p).sum()) / math.log(k)
    ends = (method(drawn(p, alike, rng)) for _ in range(trials))
    return sum(low <= true <= high for low, high in ends) / trials


def distance_covered(k: int, turned: int, trials: int) -> float:
    """The same for the distance to shares that are ``turned`` by so many clusters."""
    rng, p = np.random.default_rng([3, k, turned]), shares(k)
    q = np.roll(p, turned)
    true = float(np.abs(p - q).sum()) / 2
    covered = 0
    for _ in range(trials):
        e = distance(drawn(p, True, rng), drawn(q, False, rng)).corrected
        assert e.low is not None
        assert e.high is not None
        covered += e.low - 1e-12 <= true <= e.high + 1e-12
    return covered / trials


def pair(design: Design, k: int, rng: np.random.Generator) -> tuple[Differs, ...]:
    """What `explore` finds of two sets, of clusters that it makes of them itself."""
    kinds, d = 16, 32
    centre = rng.normal(size=(kinds, d))
    style = rng.normal(size=d) * design.style
    vectors: tuple[list[Floats], list[Floats]] = ([], [])
    group: tuple[list[Ints], list[Ints]] = ([], [])
    unit: tuple[list[Ints], list[Ints]] = ([], [])
    for g in range(CONCEPTS):
        p = rng.dirichlet(np.full(kinds, 0.5))
        for s in range(2):
            batch = np.repeat(np.arange(design.batches), design.each)
            own = rng.dirichlet(p * ALIKE + 1e-3, size=design.batches)
            kind = np.array([rng.choice(kinds, p=own[b]) for b in batch])
            if s == 1 and g == 0:
                kind[rng.random(len(kind)) < design.other] = int(p.argmin())
            noise = math.sqrt(1 - design.alike) * rng.normal(size=(len(batch), d))
            noise += math.sqrt(design.alike) * rng.normal(size=(design.batches, d))[batch]
            x = centre[kind] + 0.7 * noise + (style if s else 0)
            vectors[s].append(x / np.linalg.norm(x, axis=1, keepdims=True))
            group[s].append(np.full(len(x), g))
            unit[s].append(g * design.batches + batch)
    together = np.concatenate(vectors[0] + vectors[1]).astype(np.float32)
    weight = np.ones(len(together), np.float32)
    found = cluster_together(Together(together, weight), k, SEEDS, int(rng.integers(1 << 30)))
    every = []
    for label in (found.label, *found.others):
        cluster = np.split(label, 2)  # both sets have as many pictures
        placed = [
            Placed(cluster[s], np.concatenate(group[s]), np.concatenate(unit[s])) for s in range(2)
        ]
        every.append(spreads(placed, 0.95))
    return differences(every[0], every[1:], 0.95)


def shown(design: Design, k: int, sets: int) -> dict[str, float]:
    """The share of pairs of sets for which any concept's entropies or distance are shown.

    "by one" is by the interval of one clustering, "by all" by those of all seeds, as `explore` has
    it.
    """
    rng = np.random.default_rng([5, k])
    found = [pair(design, k, rng) for _ in range(sets)]
    rules: dict[str, Callable[[Differs], bool]] = {
        "entropy by one": lambda d: (d.entropy.low or 0) > 0 or (d.entropy.high or 0) < 0,
        "entropy by all": lambda d: SEEDS in (d.n_less, d.n_more),
        "distance by one": lambda d: (d.distance.low or 0) > 0,
        "distance by all": lambda d: d.n_apart == SEEDS,
    }
    return {name: sum(any(map(rule, ds)) for ds in found) / sets for name, rule in rules.items()}


def interval_lines(trials: int) -> Iterator[str]:
    """Coverage of entropies and distances; wrong methods are named so."""
    yield f"Nominal 95 %, {BATCHES} batches of {EACH}, {trials} trials with a fixed seed:"
    yield ""
    yield "| what | pictures of a batch | " + " | ".join(f"{k} clusters" for k in CLUSTERS) + " |"
    yield "| --- | --- |" + " ---: |" * len(CLUSTERS)
    methods = {
        "entropy": jackknife,
        "entropy as the shares are (wrong)": plug_in,
        "entropy, as if pictures were independent (wrong)": by_picture,
    }
    for name, method in methods.items():
        for alike in (False, True):
            found = [entropy_covered(method, k, alike, trials) for k in CLUSTERS]
            yield _line(name, "alike" if alike else "independent", found)
    for turned, name in ((0, "distance of 0"), (3, "distance, shares moved by 3 clusters")):
        found = [distance_covered(k, turned, trials) for k in CLUSTERS]
        yield _line(name, "alike in one set", found)


def shown_lines(sets: int) -> Iterator[str]:
    """How often anything is shown, where there is nothing and where there is."""
    yield (
        f"Two simulated sets of {CONCEPTS} concepts with 100 pictures each, through the clustering "
        f"and the comparison that `explore` uses, {SEEDS} seeds; the share of {sets} runs in which "
        "any concept's difference is shown (in brackets: if the interval of a single clustering "
        "were enough):"
    )
    yield ""
    heads = [f"{what}, {k} clusters" for what in ("entropy", "distance") for k in CLUSTERS[:2]]
    yield "| the second set is | " + " | ".join(heads) + " |"
    yield "| --- |" + " ---: |" * len(heads)
    for design in DESIGNS:
        found = [shown(design, k, sets) for k in CLUSTERS[:2]]
        cells = [
            f"{100 * f[f'{what} by all']:.1f} % ({100 * f[f'{what} by one']:.1f})"
            for what in ("entropy", "distance")
            for f in found
        ]
        yield f"| {design.name} | " + " | ".join(cells) + " |"


def _line(name: str, batches: str, found: list[float]) -> str:
    return f"| {name} | {batches} | " + " | ".join(f"{100 * x:.1f} %" for x in found) + " |"


def write(page: Path, trials: int = TRIALS, sets: int = SETS) -> None:
    """Put the tables between the page's marks."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise SystemExit(f"{page} has no {MARKS[0]} with {MARKS[1]} after it")
    lines = [*interval_lines(trials), "", *shown_lines(sets)]
    text = "\n".join((f"{before}{begin}", "", *lines, "", f"{end}{after}"))
    page.write_text(text, encoding="utf-8")


def main() -> int:
    """Write the tables of docs/explore.md."""
    write(PAGE)
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
