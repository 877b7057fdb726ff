"""Predicted shares: intervals that cover the truth after a plan, and what errors may be unseen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import hypergeom

from laion_probe.estimate import Sample
from laion_probe.estimators.ppi import ppi_share
from laion_probe.estimators.predicted import labels_share, predicted_share, unseen
from laion_probe.estimators.raking import Margin, Problem, Raked, cells_of
from laion_probe.estimators.raking_feasibility import solve
from laion_probe.estimators.subset_plan import chances, draw_subset
from laion_probe.estimators.weighted import Rated, hajek_share
from laion_probe.results import Estimate

Floats = NDArray[np.float64]


def rated_pool(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Labels and truth, with a machine that misses a tenth of one kind."""
    true = (rng.random(n) < 0.4).astype(float)
    read = np.where((true == 1) & (rng.random(n) < 0.15), 0.0, true)
    return read, true


def test_with_equal_weights_it_is_the_unweighted_estimate() -> None:
    rng = np.random.default_rng(2)
    read, true = rated_pool(2000, rng)
    rated, every = rng.random(2000) < 0.2, np.ones(2000)
    data = Rated(read, every, rated, true, every, 0.2 * every, np.zeros(2000, np.int64))
    mine = predicted_share(data, 3 * every)
    theirs = ppi_share(data, Sample(np.arange(2000), 1.0))
    assert (mine.value, mine.low, mine.high) == pytest.approx(
        (theirs.value, theirs.low, theirs.high), abs=1e-12
    )


def test_with_every_row_rated_it_is_the_truth() -> None:
    rng = np.random.default_rng(4)
    read, true = rated_pool(500, rng)
    weight, every = np.where(read == 1, 1.6, 0.7), np.ones(500)
    data = Rated(read, every, every > 0, true, every, every, read.astype(np.int64))
    e = predicted_share(data, weight)
    assert e.value == pytest.approx(float(weight @ true / weight.sum()))
    assert e.low is not None
    assert e.high is not None
    assert e.high - e.low < 1e-9
    assert labels_share(read, every, weight).low is None


@pytest.mark.parametrize("subset", [None, 600])
def test_predicted_shares_cover_and_labels_alone_do_not(subset: int | None) -> None:
    """A short run, on data made here, of what docs/rebalance.md has 2 000 of."""
    rng = np.random.default_rng(102)
    n, trials = 3000, 800
    read, true = rated_pool(n, rng)
    stratum, every = read.astype(np.int64), np.ones(n)
    level, rows, cell = cells_of(stratum[None], (2,))
    margin = Margin("kind", ("no", "yes"), np.array([0.5, 0.5]))
    found = solve(Problem((margin,), level, rows.astype(float)))
    assert isinstance(found, Raked)
    weight = found.weight[cell]
    chance = None if subset is None else chances(weight, subset)
    probability = np.full(n, 0.1)
    covered = wrong = 0
    for _ in range(trials):
        drawn_ = np.zeros(n, bool)
        for c in range(2):
            mine = np.flatnonzero(cell == c)
            k = round(len(mine) * 0.1)
            drawn_[rng.choice(mine, k, replace=False)] = True
            probability[mine] = k / len(mine)
        holds = weight
        if chance is not None:
            holds = np.zeros(n)
            holds[draw_subset(chance, cell, rng)] = 1
        truth = float(holds @ true / holds.sum())
        e = predicted_share(
            Rated(read, every, drawn_, true, every, probability, stratum), weight, chance=chance
        )
        assert e.low is not None
        assert e.high is not None
        covered += e.low <= truth <= e.high
        wrong += abs(float(holds @ read / holds.sum()) - truth) < 0.01
    assert 0.93 * trials <= covered <= 0.98 * trials
    assert wrong < 0.1 * trials


def test_a_small_subset_is_predicted_by_the_cells_that_were_drawn() -> None:
    """Fifteen of ten cells: a machine that hardly errs, so that the cells' numbers matter most."""
    rng = np.random.default_rng(7)
    n, trials = 2000, 400
    kind = (rng.random(n) < 0.3).astype(np.int64)
    true = np.where(rng.random(n) < 0.02, 1 - kind, kind).astype(float)
    codes = np.array([kind, rng.choice(5, n, p=[0.4, 0.3, 0.2, 0.07, 0.03])])
    level, rows, cell = cells_of(codes, (2, 5))
    margins = tuple(Margin(f"v{k}", tuple(map(str, range(k))), np.full(k, 1 / k)) for k in (2, 5))
    found = solve(Problem(margins, level, rows.astype(float)))
    assert isinstance(found, Raked)
    chance, every = chances(found.weight[cell], 15), np.ones(n)
    members = [np.flatnonzero(cell == c) for c in range(len(rows))]
    covered = anyhow = 0
    for _ in range(trials):
        drawn_ = np.zeros(n, bool)
        for mine in members:
            drawn_[rng.choice(mine, len(mine) // 2, replace=False)] = True
        data = Rated(kind.astype(float), every, drawn_, true, every, (rows // 2 / rows)[cell], cell)
        chosen = draw_subset(chance, cell, rng)
        given = (np.bincount(cell[chosen], minlength=len(rows)) / rows)[cell]
        truth = float(true[chosen].mean())
        for weight in (given, chance):
            e = predicted_share(data, weight, chance=weight)
            assert e.low is not None
            assert e.high is not None
            holds = e.low - 1e-9 <= truth <= e.high + 1e-9
            covered += holds and weight is given
            anyhow += holds and weight is chance
    assert 0.93 * trials <= covered <= 0.99 * trials
    assert anyhow < 0.93 * trials  # whatever the numbers: too narrow


def test_rows_of_much_weight_that_nobody_rated_are_all_or_none() -> None:
    """Twenty rows get half of the weight; a few ratings of a thousand may meet none of them."""
    rng = np.random.default_rng(8)
    n, trials, k = 1000, 300, 40
    read = (np.arange(n) < 20).astype(float)
    true = np.where(read == 1, np.arange(n) % 2, 0.0)
    weight, every, one = np.where(read == 1, 25, 500 / 980), np.ones(n), np.zeros(n, np.int64)
    truth, covered, unmet = float(weight @ true / weight.sum()), 0, 0
    assert truth == pytest.approx(0.25)
    for _ in range(trials):
        drawn_ = np.zeros(n, bool)
        drawn_[rng.choice(n, k, replace=False)] = True
        data = Rated(read, every, drawn_, true, every, np.full(n, k / n), one)
        e = predicted_share(data, weight)
        assert e.low is not None
        assert e.high is not None
        covered += e.low <= truth <= e.high
        if not read[drawn_].any():
            unmet += 1
            assert "50.0% of the weight, of which none was rated: all or none" in e.method
            assert e.high > 0.5
    assert unmet > 0.3 * trials
    assert covered >= 0.93 * trials


def width(e: Estimate) -> float:
    """Of an estimate with an interval."""
    assert e.low is not None
    assert e.high is not None
    return e.high - e.low


def holds(e: Estimate, truth: float) -> bool:
    """Whether the truth is in the interval, up to rounding."""
    assert e.low is not None
    assert e.high is not None
    return e.low - 1e-9 <= truth <= e.high + 1e-9


def missed(size: int, n: int, errors: int) -> float:
    """The chance that n ratings of so many rows meet none of the errors."""
    return float(hypergeom.pmf(0, size, errors, n))


@pytest.mark.parametrize(("size", "n"), [(1000, 100), (60, 10), (12, 6), (5, 2), (9, 9)])
def test_unseen_errors_are_those_of_the_hypergeometric_law(size: int, n: int) -> None:
    most = max(m for m in range(size - n + 1) if missed(size, n, m) >= 0.05)
    found = size * unseen(np.full(size, 1 / size), np.arange(size) < n, np.zeros(size, np.int64))
    assert most - 0.05 <= found < most + 1
    assert found <= size - n + 1e-9


def test_unseen_errors_lie_where_they_add_most() -> None:
    """Over two groups: as much as the worst pair of numbers of errors, found by trying all."""
    sizes, n, each = (200, 80), (20, 5), (1.0, 2.0)
    group = np.repeat([0, 1], sizes)
    rated = np.concatenate([np.arange(k) < m for k, m in zip(sizes, n, strict=True)])
    add = np.array(each)[group]
    chance = [[missed(k, m, e) for e in range(k - m + 1)] for k, m in zip(sizes, n, strict=True)]
    worst = max(
        each[0] * i + each[1] * j
        for i, p in enumerate(chance[0])
        for j, q in enumerate(chance[1])
        if p * q >= 0.05
    )
    assert worst <= unseen(add, rated, group) + 0.05 * worst
    assert unseen(add, rated, group) < worst + sum(each)
    alone = [
        unseen(add[group == g], rated[group == g], np.zeros(k, int)) for g, k in enumerate(sizes)
    ]
    assert unseen(add, rated, group) < sum(alone)  # not three in each
    assert unseen(add, rated, group) >= max(alone) - 1e-9
    assert unseen(add, group == 0, group) == 0  # all of one rated, none of the other


@pytest.mark.parametrize(("rate", "n_rated"), [(0.06, 120), (0.15, 120), (0.04, 300)])
def test_errors_in_the_heaviest_stratum_alone_are_covered(rate: float, n_rated: int) -> None:
    """Often no rating meets any of them: an interval that trusts what it met fails."""
    rng = np.random.default_rng([n_rated, round(1000 * rate)])
    sizes, trials = np.array([900, 900, 200]), 400
    cell = np.repeat(np.arange(3), sizes)
    read = np.where(cell == 1, 0.0, 1.0)
    weight = np.array([0.5, 1.0, 4.0])[cell]
    true = read.copy()
    true[rng.choice(np.flatnonzero(cell == 2), round(rate * 200), replace=False)] = 0
    k = n_rated * sizes // sizes.sum()
    every, truth = np.ones(len(cell)), float(weight @ true / weight.sum())
    covered = trusting = 0
    for _ in range(trials):
        drawn = np.concatenate([rng.permutation(s) < m for s, m in zip(sizes, k, strict=True)])
        data = Rated(read, every, drawn, true, every, (k / sizes)[cell], cell)
        covered += holds(predicted_share(data, weight), truth)
        trusting += bool((read != true)[drawn].any())
    assert covered >= 0.938 * trials
    assert trusting < 0.938 * trials


@pytest.mark.parametrize("heavy_errors", [1.0, 4.0])
@pytest.mark.parametrize("light", [0.0, 0.7])
def test_errors_that_weigh_more_and_strata_of_two_ratings_are_covered(
    heavy_errors: float, light: float
) -> None:
    """Weights vary within strata, with the errors; the rarest stratum has two ratings."""
    rng = np.random.default_rng([int(heavy_errors), int(10 * light)])
    sizes, k, trials = np.array([800, 800, 30]), np.array([80, 80, 2]), 300
    cell = np.repeat(np.arange(3), sizes)
    read = np.where(cell == 1, 0.0, 1.0)
    wrong = rng.random(len(cell)) < np.array([0.06, 0.06, 0.3])[cell]
    true = np.where(wrong, 1 - read, read)
    weight = np.array([1.0, 0.5, 6.0])[cell] * np.where(wrong, heavy_errors, 1.0)
    weight *= np.where(rng.random(len(cell)) < 0.4, light, 1.0)  # light 0: rows without any
    every, truth, covered, wide = np.ones(len(cell)), float(weight @ true / weight.sum()), 0, 0.0
    for _ in range(trials):
        drawn = np.concatenate([rng.permutation(s) < m for s, m in zip(sizes, k, strict=True)])
        e = predicted_share(Rated(read, every, drawn, true, every, (k / sizes)[cell], cell), weight)
        covered += holds(e, truth)
        wide += width(e) / trials
    assert covered >= 0.938 * trials
    assert wide < 0.6  # and it tells something


def test_an_interval_holds_its_value_whatever_the_pool() -> None:
    """Sums of weights are off by rounding: a share of 1 + 2e-16 would lie beyond its interval."""
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(600):
        n = int(rng.integers(4, 40))
        every, rated = np.ones(n), rng.random(n) < rng.choice([0.3, 0.6, 1.0])
        read = (rng.random(n) < rng.choice([0.1, 0.5])).astype(float)
        true = (rng.random(n) < rng.choice([0.0, 0.5, 1.0])).astype(float)
        weight = np.exp(rng.choice([1, 4]) * rng.normal(size=n)) * (rng.random(n) < 0.8) + 1e-9
        stratum, chance = rng.integers(0, 3, n), np.full(n, max(0.1, rated.mean()))
        e = predicted_share(Rated(read, every, rated, true, every, chance, stratum), weight)
        if e.value is not None:
            assert e.low is not None
            assert e.high is not None
            assert 0 <= e.low <= e.value <= e.high <= 1
            found += 1
    assert found > 400


def test_a_few_ratings_of_good_labels_tell_more_than_ratings_alone() -> None:
    rng = np.random.default_rng(9)
    read, true = rated_pool(3000, rng)
    weight, every, stratum = np.where(read == 1, 1.5, 0.7), np.ones(3000), read.astype(np.int64)
    drawn = np.zeros(3000, bool)
    for h in range(2):
        mine = np.flatnonzero(stratum == h)
        drawn[rng.choice(mine, round(len(mine) / 50), replace=False)] = True
    data = Rated(read, every, drawn, true, every, np.full(3000, 0.02), stratum)
    part = Rated(read * weight, weight, drawn, true * weight, weight, data.probability, stratum)
    e, alone = predicted_share(data, weight), hajek_share(part, Sample(stratum, 1.0), cautious=True)
    assert holds(e, float(weight @ true / weight.sum()))
    assert width(e) < 0.7 * width(alone)
