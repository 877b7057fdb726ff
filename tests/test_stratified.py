"""Totals and ratios where hits may be rare: exact limits, coverage by simulation, wrong methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import hypergeom

from laion_probe.estimate import clopper_pearson
from laion_probe.estimators.stratified import (
    Stratified,
    ratio,
    ratio_bounds,
    ratio_ends,
    total,
    total_bounds,
    total_ends,
)

TRIALS = 2000
BAND = (1876, 1930)  # of 2000 at 95 %


@dataclass(frozen=True)
class World:
    """Strata of ``size`` rows, of which ``shown`` show the concept, and of those ``part`` are a."""

    size: list[int]
    shown: list[float]
    part: list[float]
    n: list[int]

    @property
    def design(self) -> Stratified:
        return Stratified(np.array(self.size), np.array(self.n))

    @property
    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        shown = np.round(np.array(self.size) * self.shown).astype(int)
        return np.round(shown * self.part).astype(int), shown

    def ratings(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rated rows of kinds a and b, (TRIALS, H) each."""
        rng = np.random.default_rng(seed)
        found = np.zeros((2, TRIALS, len(self.size)), int)
        for h, (a, shown) in enumerate(zip(*self.truth, strict=True)):
            kinds = [a, shown - a, self.size[h] - shown]
            drawn = rng.multivariate_hypergeometric(kinds, self.n[h], TRIALS, method="marginals")
            found[:, :, h] = drawn[:, :2].T
        return found[0], found[1]


MANY = World(
    [100, 900, 9000, 90_000], [0.9, 0.7, 0.4, 0.2], [0.9, 0.8, 0.7, 0.5], [50, 120, 300, 800]
)
FAR = {
    "a hit in a thousand": World(
        [100, 900, 9000, 90_000, 1_900_000],
        [0.95, 0.7, 0.3, 0.02, 0.001],
        [0.9, 0.8, 0.6, 0.4, 0.2],
        [20, 60, 120, 100, 100],
    ),
    "the far stratum has most": World(
        [100, 900, 9000, 90_000, 1_900_000],
        [0.95, 0.7, 0.3, 0.02, 0.03],
        [0.9, 0.8, 0.6, 0.4, 0.2],
        [20, 60, 120, 100, 100],
    ),
    "rare everywhere": World(
        [100, 900, 9000, 90_000], [0.3, 0.02, 0.001, 0.0005], [0.5] * 4, [20, 60, 120, 200]
    ),
    "few in many": World([1000] * 8, [0.05] * 8, [0.6] * 8, [12] * 8),
    "read in part": World([10, 40, 500, 2000], [0.9, 0.7, 0.3, 0.1], [0.5] * 4, [10, 40, 60, 60]),
}


def covered(ends: tuple[np.ndarray, np.ndarray], truth: float) -> int:
    return int(((ends[0] <= truth + 1e-9) & (truth <= ends[1] + 1e-9)).sum())


def normal(world: World, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The textbook interval of a stratified total (Cochran 1977, 5.4)."""
    size, n = world.design.size, world.design.n
    p = x / n
    left = size * (size - n) * p * (1 - p) / np.maximum(n - 1, 1)
    middle, half = (size * p).sum(axis=1), 1.96 * np.sqrt(left.sum(axis=1))
    return middle - half, middle + half


def linearised(world: World, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The textbook interval of a ratio, its variance by linearisation."""
    size, n = world.design.size, world.design.n
    both = (size * (a + b) / n).sum(axis=1)
    p = (size * a / n).sum(axis=1) / both
    mean = (a * (1 - p)[:, None] - b * p[:, None]) / n
    square = (a * (1 - p)[:, None] ** 2 + b * p[:, None] ** 2) / n
    left = size * (size - n) * (square - mean**2) / np.maximum(n - 1, 1)
    half = 1.96 * np.sqrt(left.sum(axis=1)) / both
    return p - half, p + half


def bonferroni(world: World, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each stratum's limits at a level of its own, added: always valid, and wide."""
    design, strata = world.design, range(len(world.size))
    each = 1 - 0.05 / len(strata)
    ends = [
        total_ends(x[:, [h]], Stratified(design.size[[h]], design.n[[h]], each)) for h in strata
    ]
    return sum(e[0] for e in ends), sum(e[1] for e in ends)


def quadrature(world: World, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each stratum's exact limits added in quadrature, and nothing else."""
    design = world.design
    found = design.size * x / design.n
    sides = []
    for h in range(len(world.size)):
        sides.append(total_ends(x[:, [h]], Stratified(design.size[[h]], design.n[[h]])))
    low, high = (np.stack([s[i] for s in sides], axis=1) for i in (0, 1))
    middle = found.sum(axis=1)
    return (
        middle - np.sqrt(((found - low) ** 2).sum(axis=1)),
        middle + np.sqrt(((high - found) ** 2).sum(axis=1)),
    )


def test_one_large_stratum_is_clopper_pearson() -> None:
    for x in (0, 1, 7, 30):
        e = total(np.array([x]), Stratified(np.array([10**9]), np.array([30])))
        low, high = clopper_pearson(x, 30)
        assert e.low is not None and e.high is not None
        assert (e.low / 1e9, e.high / 1e9) == pytest.approx((low, high), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("size", "n"), [(40, 30), (60, 12), (25, 3)])
def test_the_limits_of_a_small_stratum_are_exact(size: int, n: int) -> None:
    """They hold for every number of hits, and a hit fewer would be too implausible."""
    design = Stratified(np.array([size]), np.array([n]))
    low, high = total_ends(np.arange(n + 1)[:, None], design)
    for hits in range(size + 1):
        chance = hypergeom(size, hits, n).pmf(np.arange(n + 1))
        assert chance[(low <= hits) & (hits <= high)].sum() >= 0.95
    x = n // 2
    assert hypergeom(size, int(low[x]), n).sf(x - 1) > 0.025
    assert hypergeom(size, int(low[x]) - 1, n).sf(x - 1) <= 0.025


def test_a_total_is_covered_where_hits_are_many() -> None:
    a, b = MANY.ratings(1)
    truth = MANY.truth[1].sum()
    assert BAND[0] <= covered(total_ends(a + b, MANY.design), truth) <= BAND[1]
    assert not BAND[0] <= covered(bonferroni(MANY, a + b), truth) <= BAND[1]
    k, n, rows = (a + b).sum(axis=1), MANY.design.n.sum(), MANY.design.size.sum()
    half = 1.96 * np.sqrt(k / n * (1 - k / n) / n)
    assert covered((rows * (k / n - half), rows * (k / n + half)), truth) < BAND[0]


def test_a_ratio_is_covered_where_hits_are_many() -> None:
    a, b = MANY.ratings(2)
    parts, shown = MANY.truth
    truth = parts.sum() / shown.sum()
    assert BAND[0] <= covered(ratio_ends(a, b, MANY.design), truth) <= BAND[1]
    shares = a.sum(axis=1) / (a + b).sum(axis=1)
    half = 1.96 * np.sqrt(shares * (1 - shares) / (a + b).sum(axis=1))
    assert covered((shares - half, shares + half), truth) < BAND[0]  # as if drawn alike


@pytest.mark.parametrize("name", FAR)
def test_a_total_is_covered_where_hits_are_rare(name: str) -> None:
    """Exact limits of few hits cover more than their level: the other side is bounded by width."""
    world = FAR[name]
    a, b = world.ratings(3)
    truth, ends = world.truth[1].sum(), total_ends(a + b, world.design)
    assert covered(ends, truth) >= BAND[0]
    assert covered(normal(world, a + b), truth) < BAND[0]
    cautious = bonferroni(world, a + b)
    assert np.mean(ends[1] - ends[0]) < 0.75 * np.mean(cautious[1] - cautious[0])


@pytest.mark.parametrize("name", FAR)
def test_a_ratio_is_covered_where_hits_are_rare(name: str) -> None:
    world = FAR[name]
    a, b = world.ratings(4)
    some = (a + b).sum(axis=1) > 0
    a, b = a[some], b[some]
    parts, shown = world.truth
    truth = parts.sum() / shown.sum()
    least = BAND[0] * some.mean()
    assert covered(ratio_ends(a, b, world.design), truth) >= least
    assert covered(linearised(world, a, b), truth) < least


def test_few_hits_in_many_strata_need_more_than_quadrature() -> None:
    world = FAR["few in many"]
    a, b = world.ratings(5)
    assert covered(quadrature(world, a + b), world.truth[1].sum()) < BAND[0]


def test_where_all_shows_it_the_ratio_is_the_strata_s_own_interval() -> None:
    """One stratum, all of it a or b: what they covary by makes it Clopper-Pearson's."""
    e = ratio(np.array([20]), np.array([40]), Stratified(np.array([10**8]), np.array([60])))
    assert (e.low, e.high) == pytest.approx(clopper_pearson(20, 60), abs=1e-6)


def test_a_stratum_without_a_hit_widens_the_interval_by_what_it_may_hide() -> None:
    near = Stratified(np.array([1000]), np.array([100]))
    both = Stratified(np.array([1000, 2_000_000]), np.array([100, 30]))
    alone, with_far = total(np.array([50]), near), total(np.array([50, 0]), both)
    assert alone.value == with_far.value == 500
    assert alone.high is not None and with_far.high is not None
    assert alone.high < 610
    assert with_far.high == pytest.approx(2_000_000 * clopper_pearson(0, 30)[1], rel=0.01)
    assert with_far.low == alone.low  # it cannot lower the total
    share = ratio(np.array([30, 0]), np.array([20, 0]), both)
    assert share.low is not None and share.high is not None
    assert share.high - share.low > 0.95


def test_strata_rated_in_full_have_no_sampling_error() -> None:
    design = Stratified(np.array([50, 20]), np.array([50, 20]))
    e = total(np.array([30, 1]), design)
    assert (e.low, e.value, e.high) == (31, 31, 31)
    share = ratio(np.array([10, 0]), np.array([20, 1]), design)
    assert (share.low, share.value, share.high) == pytest.approx((10 / 31,) * 3)
    assert e.assumptions[0] == "every row was rated: no sampling error"


def test_strata_that_agree_within_are_not_taken_for_ignorance() -> None:
    e = total(np.array([60, 0]), Stratified(np.array([900, 10**6]), np.array([60, 2000])))
    assert e.low is not None
    assert e.low > 800


def test_a_stratum_that_nobody_rated_may_hold_anything() -> None:
    design = Stratified(np.array([100, 900]), np.array([100, 0]))
    e = total(np.array([80, 0]), design)
    assert (e.value, e.low, e.high) == (None, 80, 980)
    share = ratio(np.array([60, 0]), np.array([20, 0]), design)
    assert share.value is None
    assert (share.low, share.high) == pytest.approx((60 / 980, 960 / 980))
    assert e.assumptions[-1] == "1 strata without ratings may hold anything"
    empty = Stratified(np.array([100, 0]), np.array([100, 0]))
    assert total(np.array([80, 0]), empty).value == 80  # there was nothing to rate


def test_what_nobody_could_tell_is_carried_into_the_bounds() -> None:
    design = Stratified(np.array([1000, 1000]), np.array([1000, 1000]))
    yes, may = np.array([400, 100]), np.array([50, 10])
    bounds = total_bounds(yes, may, design)
    assert (bounds.value, bounds.low, bounds.high) == (None, 500, 560)
    share = ratio_bounds((yes, yes), (may, may), design)
    assert (share.low, share.high) == pytest.approx((500 / 1060, 560 / 1060))
    sampled = Stratified(np.array([10**5, 10**5]), np.array([1000, 1000]))
    wider, point = ratio_bounds((yes, yes), (may, may), sampled), ratio(yes, yes, sampled)
    assert wider.low is not None and point.low is not None
    assert wider.low < min(500 / 1060, point.low)


def test_what_a_stratum_cannot_have_it_does_not_hide() -> None:
    """Near strata alone have a, far ones alone b: two independent totals."""
    design = Stratified(np.array([1000, 2_000_000]), np.array([100, 30]))
    a, b = np.array([50, 0]), np.array([0, 3])
    can = np.array([True, False]), np.array([False, True])
    told, untold = ratio(a, b, design, can), ratio(a, b, design)
    assert told.high is not None and untold.high is not None
    assert told.high < 0.05 < untold.high
    assert told.value == untold.value == pytest.approx(500 / 200_500)
    only_a = ratio(a, 0 * b, design.only(can[0] | can[1]), (can[0], can[0] & can[1]))
    assert only_a.low == only_a.value == only_a.high == 1
    unrated = Stratified(np.array([1000, 2_000_000]), np.array([100, 0]))
    assert ratio(a, 0 * b, unrated, (can[0], can[0])).value == 1


def test_a_recall_is_covered() -> None:
    """The share of what is shown that is in the nearest strata: a ratio of independent totals."""
    size, n = np.array([1000, 9000, 90_000]), np.array([200, 300, 500])
    shown = np.array([800, 3000, 9000])
    rng = np.random.default_rng(7)
    x = rng.hypergeometric(shown, size - shown, n, (TRIALS, 3))
    near = np.array([True, True, False])
    a, b, design = x * near, x * ~near, Stratified(size, n)
    truth = 3800 / 12_800
    assert BAND[0] <= covered(ratio_ends(a, b, design, (near, ~near)), truth) <= BAND[1]
    p = x[:, :2].sum(axis=1) / x.sum(axis=1)
    assert covered((p - 0.05, p + 0.05), truth) < BAND[0]  # unweighted


def test_nothing_found_is_no_share() -> None:
    none, design = np.zeros(2, int), Stratified(np.array([10, 10]), np.array([5, 5]))
    e = ratio(none, none, design)
    assert (e.value, e.low, e.high, e.n) == (None, None, None, 0)
    assert ratio_bounds((none, none), (none, none), design).low is None
    assert ratio_bounds((none, none), (none + 1, none + 1), design).n == 2


def test_the_ends_of_a_total_and_of_its_complement_agree() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        size = rng.integers(2, 10**5, 4)
        n = np.minimum(size, rng.integers(1, 50, 4))
        x = rng.integers(0, n + 1)
        design = Stratified(size, n)
        (low, high), (less, more) = total_ends(x, design), total_ends(n - x, design)
        assert low + more == pytest.approx(size.sum())
        assert high + less == pytest.approx(size.sum())
        assert x.sum() <= low <= high <= size.sum() - (n - x).sum()
        a = rng.integers(0, x + 1)
        least, most = ratio_ends(a, x - a, design)
        assert 0 <= least <= most <= 1


def test_more_rated_than_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="more rated rows than rows"):
        Stratified(np.array([10]), np.array([11]))
