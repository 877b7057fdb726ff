"""How often `rebalance`'s predicted composition covers the truth of data/demo: by simulation.

``python -m tools.rebalance_coverage`` labels the demo's pictures by its own classifier, makes plans
from these labels, draws pictures to rate 2 000 times as `laion-probe annotate` does, rates them by
``truth.parquet``, and counts how often the interval of what raters would see holds the truth. The
table goes between the marks of docs/rebalance.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# The arrays are small: threads of the linear algebra would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from laion_probe.estimate import wilson
from laion_probe.estimators.predicted import predicted_share
from laion_probe.estimators.raking import Margin, Problem, cells_of, cost
from laion_probe.estimators.raking_feasibility import Conflict, solve
from laion_probe.estimators.subset_plan import chances, draw_subset
from laion_probe.estimators.weighted import Rated
from laion_probe.questions.measuring import measure
from laion_probe.ratings.sampling import allocate
from laion_probe.results import Estimate
from tools.truth_ratings import TRUTH_COLUMN, config_of, seen, truth_of_pictures

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "rebalance.md"
MARKS = ("<!-- rebalance_coverage -->", "<!-- end -->")
TRIALS = 2000
BAND = (1876, 1930)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """One attribute of N pictures: as the classifier reads them and as they are, both coded."""

    name: str
    levels: tuple[str, ...]
    read: Ints
    true: Ints


@dataclass(frozen=True)
class Design:
    """A plan, how many pictures are rated, and the subset that is drawn, if any.

    ``shares`` are the targets of each attribute's first level among its first two.
    """

    name: str
    shares: tuple[float, float]
    n_rated: int
    subset: int | None = None


#: The first two are those of the bar, settled by a pilot of other draws.
DESIGNS = (
    Design("woman 70 %, darker 50 %", (0.7, 0.5), 400),
    Design("woman 70 %, darker 50 %", (0.7, 0.5), 600),
    Design("woman 70 %, darker 50 %", (0.7, 0.5), 200),
    Design("woman 70 %, darker 50 %", (0.7, 0.5), 60),
    Design("woman 75 %, darker 80 %", (0.75, 0.8), 400),
    Design("woman 70 %, darker 50 %, a subset of 1 000", (0.7, 0.5), 400, 1000),
    Design("woman 70 %, darker 50 %, a subset of 1 000", (0.7, 0.5), 60, 1000),
)


@dataclass(frozen=True)
class Asked:
    """A share that is asked for: of level ``hit`` among levels ``base`` of attribute ``of``."""

    name: str
    of: int
    hit: int
    base: tuple[int, ...]


@dataclass(frozen=True)
class Counted:
    """How a design came out for one share.

    ``covered`` of ``trials`` intervals held the truth; ``wide`` is their mean width. ``read`` is
    the share by uncorrected labels, ``as_sample`` its interval as if pictures were a sample (Wilson
    on Kish's effective size); ``n_as_sample`` and ``n_unweighted`` count how often that interval,
    and one that forgets the plan's weights of the rated pictures, held the truth.
    """

    trials: int
    covered: int
    wide: float
    truth: float
    read: float
    n_exact: int
    n_as_sample: int
    n_unweighted: int


def demo_labels(cache: Path) -> tuple[Labels, ...]:
    """Every readable picture of the demo, once, by its classifier and by ``truth.parquet``.

    Levels stand in the order contrast, against, others.
    """
    m = measure(config_of("doctor", cache))
    truth = truth_of_pictures(m)
    ids = [f.id for f in m.pool.files]
    _, first = np.unique(np.array(ids), return_index=True)
    found = []
    for name, d in m.chain.labelled.items():
        a = d.attribute
        rest = [x for x in a.levels if x not in (a.contrast, a.against)]
        levels = (a.contrast, a.against, *rest)
        place = np.array([levels.index(x) for x in a.levels])
        true = [seen(a, truth["data", ids[i]][TRUTH_COLUMN[name]]) for i in first]
        found.append(
            Labels(name, levels, place[d.label[first]], np.array([levels.index(x) for x in true]))
        )
    return tuple(found)


def asked_of(labels: Sequence[Labels]) -> tuple[Asked, ...]:
    """The contrasts of both attributes, and one level's share of all."""
    first, second = labels
    return (
        Asked(f"{first.levels[0]} of {first.levels[0]} or {first.levels[1]}", 0, 0, (0, 1)),
        Asked(f"{first.levels[1]} of all", 0, 1, tuple(range(len(first.levels)))),
        Asked(f"{second.levels[0]} of {second.levels[0]} or {second.levels[1]}", 1, 0, (0, 1)),
    )


def count(labels: Sequence[Labels], design: Design, trials: int, seed: int = 0) -> list[Counted]:
    """Draw, rate and predict ``trials`` times; what came out for each share of `asked_of`."""
    codes = np.array([x.read for x in labels])
    level, n, cell = cells_of(codes, [len(x.levels) for x in labels])
    margins = tuple(_margin(x, share) for x, share in zip(labels, design.shares, strict=True))
    raked = solve(Problem(margins, level, n.astype(float)))
    assert not isinstance(raked, Conflict)
    weight, total = raked.weight[cell], len(cell)
    size = allocate(n.tolist(), design.n_rated)
    members = [np.flatnonzero(cell == c) for c in range(len(n))]
    probability = (np.array(size) / n)[cell]
    chance = None if design.subset is None else chances(weight, design.subset)
    rng = np.random.default_rng([seed, design.n_rated, design.subset or 0])
    shares = asked_of(labels)
    masks = [
        [
            np.isin(x, levels).astype(float)
            for x in (labels[q.of].read, labels[q.of].true)
            for levels in ((q.hit,), q.base)
        ]
        for q in shares
    ]
    effective = cost(weight).effective
    wilsons = []
    for hit, base, _, _ in masks:
        part = effective * float(weight @ base) / total
        wilsons.append(wilson(float(weight @ hit) / float(weight @ base) * part, part))
    sums = np.zeros((len(shares), 4))
    wide = np.zeros(len(shares))
    for _ in range(trials):
        rated = np.zeros(total, bool)
        for where, k in zip(members, size, strict=True):
            rated[rng.choice(where, k, replace=False)] = True
        holds, plan, drawn = weight, weight, None
        if chance is not None:
            chosen = draw_subset(chance, cell, rng)
            holds = np.zeros(total)
            holds[chosen] = 1.0
            plan = drawn = (np.bincount(cell[chosen], minlength=len(n)) / n)[cell]
        for i, (hit, base, true_hit, true_base) in enumerate(masks):
            data = Rated(hit, base, rated, true_hit, true_base, probability, cell)
            e = predicted_share(data, plan, chance=drawn)
            truth = float(holds @ true_hit) / float(holds @ true_base)
            assert e.low is not None
            assert e.high is not None
            sums[i] += (
                e.low <= truth <= e.high,
                abs(float(holds @ hit) / float(holds @ base) - truth) < 1e-9,
                wilsons[i][0] <= truth <= wilsons[i][1],
                _holds(predicted_share(data, np.ones(total)), truth),
            )
            wide[i] += (e.high - e.low) / trials
    return [
        Counted(
            trials=trials,
            covered=int(sums[i, 0]),
            wide=float(wide[i]),
            truth=float(weight @ true_hit) / float(weight @ true_base),
            read=float(weight @ hit) / float(weight @ base),
            n_exact=int(sums[i, 1]),
            n_as_sample=int(sums[i, 2]),
            n_unweighted=int(sums[i, 3]),
        )
        for i, (hit, base, true_hit, true_base) in enumerate(masks)
    ]


def _holds(e: Estimate, truth: float) -> bool:
    return e.low is not None and e.high is not None and e.low <= truth <= e.high


def _margin(labels: Labels, share: float) -> Margin:
    """The target: ``share`` of the first level among the first two, whose sum is kept."""
    now = np.bincount(labels.read, minlength=len(labels.levels)) / len(labels.read)
    both = now[0] + now[1]
    target = np.array([both * share, both * (1 - share), *now[2:]])
    return Margin(labels.name, labels.levels, target / target.sum())


def lines(labels: Sequence[Labels], trials: int) -> Iterator[str]:
    """The table, a line a design and share, and how many of them are in the band."""
    n = len(labels[0].read)
    found = [
        (design, q, c)
        for design in DESIGNS
        for q, c in zip(asked_of(labels), count(labels, design, trials), strict=True)
    ]
    above, below = (sum(x) for x in zip(*(_outside(c) for _, _, c in found), strict=True))
    yield (
        f"{n:,} pictures of data/demo, {trials:,} seeded repetitions, nominal 95 % (two-sided band "
        f"{BAND[0]:,} to {BAND[1]:,} of 2 000). Of the {len(found)} lines, "
        f"{len(found) - above - below} are in the band, {above} above it, {below} below it. "
        "Covered, by:"
    )
    yield ""
    yield (
        "| plan | rated | share | truth | labels say | predicted | width, points | labels as they "
        "are | labels as a sample | plan's weights forgotten |"
    )
    yield "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for design, q, c in found:
        yield (
            f"| {design.name} | {design.n_rated} | {q.name} | {100 * c.truth:.1f} % | "
            f"{100 * c.read:.1f} % | {c.covered} | {100 * c.wide:.1f} | {c.n_exact} | "
            f"{c.n_as_sample} | {c.n_unweighted} |"
        )


def _outside(c: Counted) -> tuple[bool, bool]:
    """Whether more, or fewer, intervals held the truth than the band has, which is of 2 000."""
    part = c.covered * TRIALS / c.trials
    return part > BAND[1], part < BAND[0]


def write(page: Path, labels: Sequence[Labels], trials: int = TRIALS) -> None:
    """Put the table between the page's marks."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise SystemExit(f"{page} has no {MARKS[0]} with {MARKS[1]} after it")
    text = "\n".join((f"{before}{begin}", "", *lines(labels, trials), "", f"{end}{after}"))
    page.write_text(text, encoding="utf-8")


def main() -> int:
    """Write the table of docs/rebalance.md."""
    write(PAGE, demo_labels(ROOT / ".cache" / "laion-probe"))
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
