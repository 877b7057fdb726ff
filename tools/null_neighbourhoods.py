"""How often a contrast of neighbourhoods finds what is not there, and what is: by simulation.

``python -m tools.null_neighbourhoods`` writes docs/neighbourhoods.md. Region and neighbourhood are
as in `laion_probe.estimators.neighbourhood_contrast`: the unit is a region of rows, made of cells
that each have log odds of their own. The row-level odds ratio is in the tables as the wrong method
that must fail.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The arrays are small: threads of the linear algebra would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from laion_probe.estimators.neighbourhood_contrast import ContrastOptions, neighbourhood_contrast

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "neighbourhoods.md"
SETS = 1000
MOST_RAISED = 65  # of 1000 null sets, by the bar
LEAST_FOUND = 0.8  # of planted odds ratios of 2, by the bar
POWER_TRIALS = 500
TRIALS = 2000
BAND = (1876, 1930)  # of 2000 at 95 %
CELLS = (1, 5, 10, 20, 25, 40)

#: The explanations' shares in a cell of average log odds.
RATES = np.array([0.03, 0.05, 0.08, 0.12, 0.17, 0.22, 0.28, 0.35, 0.42, 0.5])
NULL = (0.8, 1.25)
TOGETHER = ContrastOptions(together=len(RATES), null=NULL, direction="either")
ONE = ContrastOptions(direction="either")

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Design:
    """A region here and ``others`` elsewhere, each of ``cells`` that share its ``rows`` equally.

    ``sd`` is that of the cells' log odds, ``shared`` that of what all cells of a region have in
    common. With one cell, regions differ by ``sd``.
    """

    cells: int = 20
    rows: int = 1000
    others: int = 40
    sd: float = 0.5
    shared: float = 0.0


def draw(rng: np.random.Generator, design: Design, rates: Floats, odds_ratio: float = 1.0) -> Ints:
    """Hits (rates, others + 1) of ``design.rows`` rows; the first region is the one asked about.

    In the first, all cells' log odds are raised by as much as multiplies the odds of the region as
    a whole by ``odds_ratio``.
    """
    regions = (len(rates), design.others + 1)
    theta = logit(rates)[:, None, None] + design.shared * rng.standard_normal((*regions, 1))
    theta = theta + design.sd * rng.standard_normal((*regions, design.cells))
    if odds_ratio != 1:
        here = theta[:, 0]
        wanted = logit(expit(here).mean(axis=1)) + np.log(odds_ratio)
        for _ in range(20):
            here += (wanted - logit(expit(here).mean(axis=1)))[:, None]
    cell_rows = design.rows // design.cells
    return np.asarray(rng.binomial(cell_rows, expit(theta)).sum(axis=2))


def raised(hits: Ints, rows: int, options: ContrastOptions = TOGETHER) -> bool:
    """True where the contrast of hits (others + 1,), the first one here, is a finding.

    What is less than two empirical standard deviations beyond the null region is taken for none
    without working it out: to be a finding it would have to be 2.8 of them.
    """
    odds = logit((hits + 0.5) / (rows + 1))
    beyond = abs(odds[0] - odds[1:].mean()) - np.log(options.null[1])
    if options.together == TOGETHER.together and beyond < 2 * odds[1:].std():
        return False
    others = [(int(h), rows) for h in hits[1:]]
    return neighbourhood_contrast((int(hits[0]), rows), others, options).verdict == "supported"


def row_level(hits: Ints, rows: int, beyond: tuple[float, float] = NULL) -> Bools:
    """Findings of the wrong method for hits (..., others + 1): rows taken as independent.

    Woolf's (1955) interval of the odds ratio of here against all others pooled, at the level of
    `TOGETHER`; a finding lies outside ``beyond``.
    """
    a, c = hits[..., 0] + 0.5, hits[..., 1:].sum(axis=-1) + 0.5
    b, d = rows + 1 - a, rows * (hits.shape[-1] - 1) + 1 - c
    log = np.log(a * d / (b * c))
    half = ndtri(1 - (1 - TOGETHER.level) / (2 * TOGETHER.together)) * np.sqrt(
        1 / a + 1 / b + 1 / c + 1 / d
    )
    return np.asarray((log - half > np.log(beyond[1])) | (log + half < np.log(beyond[0])))


@dataclass(frozen=True)
class NullStudy:
    """Null sets, of all explanations each, that raise any finding: ours and the row-level one.

    ``row_excludes_1`` are those where a row-level interval lies on one side of 1.
    """

    design: Design
    sets: int
    ours: int
    row: int
    row_excludes_1: int


def null_study(design: Design, sets: int = SETS, seed: int = 0) -> NullStudy:
    """Sets in which nothing is planted."""
    rng = np.random.default_rng([seed, design.cells, round(100 * design.shared)])
    found = np.zeros(3, np.int64)
    for _ in range(sets):
        hits = draw(rng, design, RATES)
        found += (
            any(raised(h, design.rows) for h in hits),
            bool(row_level(hits, design.rows).any()),
            bool(row_level(hits, design.rows, (1, 1)).any()),
        )
    return NullStudy(design, sets, *(int(x) for x in found))


def power(design: Design, odds_ratio: float, trials: int = POWER_TRIALS, seed: int = 1) -> Floats:
    """The share (rates,) of planted odds ratios that are found, ``trials`` in all."""
    rng = np.random.default_rng([seed, design.cells, round(10 * odds_ratio)])
    found = [
        [raised(h, design.rows) for h in draw(rng, design, RATES, odds_ratio)]
        for _ in range(trials // len(RATES))
    ]
    return np.asarray(np.mean(found, axis=0))


def smallest(design: Design, rate: float = 0.2) -> float:
    """The odds ratio found with 80 % by arithmetic, if the spread were known.

    Its log is that of the null region's end plus (z_level + z_power) standard errors.
    """
    z = float(ndtri(1 - (1 - TOGETHER.level) / (2 * TOGETHER.together)) + ndtri(LEAST_FOUND))
    between = design.sd**2 / design.cells + design.shared**2
    log = np.log(2.0)
    for _ in range(50):  # the binomial noise depends on the share that is planted
        p = expit(logit(rate) + log)
        log = np.log(NULL[1]) + z * np.sqrt(between + 1 / (design.rows * p * (1 - p)))
    return float(np.exp(log))


def coverage(
    design: Design, rate: float, trials: int = TRIALS, odds_ratio: float = 2.0
) -> tuple[int, float]:
    """How many 95 % intervals hold the odds ratio planted, and the median ratio of their ends."""
    rng = np.random.default_rng([2, design.cells, design.others, round(10_000 * rate)])
    covered, widths = 0, []
    for _ in range(trials):
        hits = draw(rng, design, np.array([rate]), odds_ratio)[0]
        others = [(int(h), design.rows) for h in hits[1:]]
        odds = neighbourhood_contrast((int(hits[0]), design.rows), others, ONE).odds_ratio
        low, high = odds.low or 0.0, np.inf if odds.high is None else odds.high
        covered += low <= odds_ratio <= high
        widths.append(high / low if low else np.inf)
    return covered, float(np.median(widths))


HEAD = f"""# Neighbourhoods

Made by `python -m tools.null_neighbourhoods`. `laion-probe outliers` contrasts a property of one
neighbourhood of the training data (captions that are short, emptied, in other languages, …) with
other neighbourhoods of like size and density. This page says how to read such an interval, and how
often it is wrong on simulated data.

## How to read an interval here

For example, "no caption: odds ratio 8 (2 to 31)" says: the odds here are 8 times those of *a
further neighbourhood drawn as the others were*, and the data allow for anything from 2 to 31 times.
It does not compare with the average of all rows.

- **The unit is the neighbourhood.** A thousand rows of one neighbourhood are alike (one shop, one
  language, one template), so that they count for far fewer. The interval holds the spread between
  neighbourhoods, which more rows do not narrow, and the doubt about that spread, which more
  neighbourhoods do.
- **Supported** means that the whole interval lies beyond odds ratios of {NULL[0]:g} to {NULL[1]:g},
  after the correction for all explanations weighed together (Bonferroni). **Contradicted** means
  that it lies below {NULL[1]:g} where "more often here" was claimed, or within the region where
  either side was. Anything else is **not decidable here**: a property may well be there.
- A *supported* explanation is an association. That it made a model draw what it draws would need an
  intervention: training with and without.
- "Elsewhere" is the share in a neighbourhood of average log odds. Of a property that a few
  neighbourhoods have and most have not, that is lower than the share of all their rows.
- Where no other neighbourhood has a hit, a ratio has no upper end. With fewer than 5 others there
  is no interval at all.
- The log odds of neighbourhoods are taken to be normal. A property that comes in lumps (absent from
  nearly all, large in one of forty) breaks that; the last line of the first table shows how far.
- The other neighbourhoods stand for the kind of place that the one asked about is. Where they
  resemble each other more than they resemble any other place, the spread is too small.

The study: {len(RATES)} explanations, of shares {RATES[0]:g} to {RATES[-1]:g}, weighed together at
95 %, a region here and 40 elsewhere. A region is made of equally large cells, each with log odds of
its own (standard deviation 0.5); "region effect" is the standard deviation of what its cells share.
A finding is an interval beyond the null region on either side. Seeds are fixed.
"""


#: The first is the neighbourhood of the bar, as one piece.
NULLS = (
    *(Design(cells) for cells in CELLS),
    Design(25, rows=2000),
    Design(25, rows=4000),
    Design(20, shared=0.3),
    Design(20, shared=0.5),
    Design(1, rows=150, others=15),
)
POWERS = (
    *(Design(cells) for cells in CELLS),
    Design(25, rows=2000),
    Design(25, rows=4000),
    Design(25, rows=4000, shared=0.3),
)
COVERED = (
    (Design(1), 0.2),
    (Design(1, others=12, rows=200), 0.2),
    (Design(1, others=6), 0.2),
    (Design(20), 0.1),
    (Design(1, sd=0.0, rows=200), 0.2),
    (Design(1, rows=500), 0.004),
)


def lumps(rng: np.random.Generator) -> Ints:
    """Null hits of 1000 rows: each region has none of a property, or, one in 41, three percent."""
    has = rng.random((len(RATES), 41)) < 1 / 41
    return np.asarray(rng.binomial(1000, 0.03 * has))


def null_table(sets: int) -> Iterator[str]:
    """Findings in sets where nothing is planted."""
    yield (
        f"| cells | rows | others | region effect | sets with a finding, of {sets} | rows as units "
        "| rows as units, beyond 1 |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for design in NULLS:
        found = null_study(design, sets)
        yield (f"| {_design(design)} | {found.ours} | {found.row} | {found.row_excludes_1} |")
    rng = np.random.default_rng(3)
    drawn = [lumps(rng) for _ in range(sets)]
    ours = sum(any(raised(h, 1000) for h in hits) for hits in drawn)
    rows, beyond = (sum(bool(row_level(h, 1000, b).any()) for h in drawn) for b in (NULL, (1, 1)))
    yield f"| lumps | 1000 | 40 | | {ours} | {rows} | {beyond} |"


def power_table(trials: int) -> Iterator[str]:
    """How often planted odds ratios are found."""
    yield (
        "| cells | rows | others | region effect | odds ratio 2 | rarest property | 4 | 8 "
        "| 80 % at |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for design in POWERS:
        two, four, eight = (
            power(design, x, n) for x, n in ((2, trials), (4, trials // 5), (8, trials // 5))
        )
        yield (
            f"| {_design(design)} | {two.mean():.0%} | {two[0]:.0%} | {four.mean():.0%} "
            f"| {eight.mean():.0%} | {smallest(design):.1f} |"
        )


def coverage_table(trials: int) -> Iterator[str]:
    """How often the interval of one explanation holds a planted odds ratio of 2."""
    yield "| cells | rows | others | sd | share | covered | high / low, median |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for design, rate in COVERED:
        covered, width = coverage(design, rate, trials)
        yield (
            f"| {design.cells} | {design.rows} | {design.others} | {design.sd:g} | {rate:g} "
            f"| {covered} of {trials} | {width:.1f} |"
        )


def page(sets: int = SETS, trials: int = POWER_TRIALS, covered: int = TRIALS) -> str:
    """The whole page."""
    return "\n".join(
        (
            HEAD,
            "## Nothing planted\n",
            f"The bar: at most {MOST_RAISED} of 1000 sets raise any finding, and rows as units "
            "(Woolf's interval, the same correction) must fail it. They fail by far where regions "
            "differ much. Where regions are of many cells and differ by 0.1 or so, few differ by "
            "as much as the null region is wide, so that rows as units pass the bar too, and fail "
            "only if a finding is what lies beyond 1 (last column). In the last line every "
            "property comes in lumps: the model is wrong there, and the bar is missed.\n",
            *null_table(sets),
            "\n## An odds ratio planted\n",
            "The odds of one region as a whole are multiplied. The bar is 80 % at an odds ratio of "
            "2; shares are means over the ten properties, and that of the rarest alone (0.03). "
            f"{trials} trials, a tenth of them a property; a fifth as many at 4 and 8. The "
            "last column is the odds ratio that the best of methods, told the spread, would find "
            "with 80 % (share 0.2). One cell alone, a neighbourhood that differs from the next by "
            "0.5, cannot meet the bar by any method that holds its level: the log of the odds "
            "ratio must pass log 1.25 and then 2.8 + 0.8 times 0.5. Regions of many cells differ "
            "less; then rows are what is short, most of all for rare properties.\n",
            *power_table(trials),
            "\n## Does the interval hold the truth?\n",
            f"95 % intervals, one explanation, odds ratio 2 planted. {BAND[0]} to {BAND[1]} of "
            f"{TRIALS} is what sampling allows an exact interval. Where regions do not differ at "
            "all (sd 0) it covers more: the spread cannot be known to be nothing. With two hits to "
            "a neighbourhood (the last line) it covers less than it says, 93 %.\n",
            *coverage_table(covered),
            "",
        )
    )


def main() -> int:
    """Write docs/neighbourhoods.md."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
    return 0


def _design(design: Design) -> str:
    return f"{design.cells} | {design.rows} | {design.others} | {design.shared:g}"


if __name__ == "__main__":
    sys.exit(main())
