"""Shares of outputs over shares of rows: null sets, coverage, and methods that must fail."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from laion_probe.estimators.over_representation import local_ratio, over_representation

Ints = NDArray[np.int64]

K, BATCHES, SIZE = 12, 40, 10
COUNTS = np.round(20_000 / np.arange(2, K + 2)).astype(np.int64)


def draw(rng: np.random.Generator, shares: NDArray[np.float64], alike: float) -> tuple[Ints, Ints]:
    """Clusters and batches of outputs; each batch has a mixture of its own about ``shares``."""
    mixtures = rng.dirichlet(shares * alike, size=BATCHES)
    clusters = np.concatenate([rng.choice(K, SIZE, p=m) for m in mixtures])
    return clusters, np.repeat(np.arange(BATCHES), SIZE)


def alarms(alike: float, trials: int, seed: int, by_batch: bool = True) -> int:
    """Null sets in which some cluster is called over-represented."""
    rng = np.random.default_rng(seed)
    raised = 0
    for _ in range(trials):
        outputs, batch = draw(rng, COUNTS / COUNTS.sum(), alike)
        units = batch if by_batch else np.arange(len(outputs))
        raised += any(c.over_represented for c in over_representation(outputs, units, COUNTS))
    return raised


def test_null_sets_raise_an_alarm_in_at_most_65_of_a_thousand() -> None:
    assert alarms(alike=20, trials=400, seed=1) <= 26


def test_independent_outputs_raise_no_more_and_some_alarm() -> None:
    assert 1 <= alarms(alike=1e6, trials=500, seed=2) <= 32


def test_a_method_without_batches_fails_the_same_test() -> None:
    assert alarms(alike=5, trials=150, seed=1, by_batch=False) > 30
    assert alarms(alike=5, trials=150, seed=1) <= 9


def test_one_ratio_covers_its_truth_as_often_as_it_says() -> None:
    """Two clusters, so that the simultaneous level is 97.5 % each."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        part = rng.beta(0.3 * 20, 0.7 * 20, size=100)
        outputs = (rng.random((100, 10)) < part[:, None]).astype(np.int64).ravel()
        found = over_representation(outputs, np.repeat(np.arange(100), 10), np.array([850, 150]))
        low, high = found[1].ratio.low, found[1].ratio.high
        assert low is not None
        assert high is not None
        covered += low <= 2 <= high
    assert 965 <= covered <= 995


def test_a_cluster_that_is_drawn_four_times_too_often_is_found() -> None:
    shares = COUNTS / COUNTS.sum()
    shares[4] *= 4
    shares /= shares.sum()
    outputs, batch = draw(np.random.default_rng(4), shares, 20)
    found = over_representation(outputs, batch, COUNTS)
    assert [c.over_represented for c in found].count(True) == 1
    assert found[4].over_represented
    share, ratio = found[4].output_share, found[4].ratio
    assert share.units == BATCHES
    assert share.n == BATCHES * SIZE
    assert ratio.value == pytest.approx((share.value or 0) / (COUNTS[4] / COUNTS.sum()))
    assert f"{K} clusters" in ratio.method


def test_the_data_share_is_a_count_of_all_rows() -> None:
    found = over_representation(np.zeros(40, np.int64), np.arange(40), np.array([30, 70]))
    data = found[0].data_share
    assert (data.value, data.low, data.high, data.n) == (0.3, 0.3, 0.3, 100)
    assert "all rows" in data.method
    assert found[1].ratio.value == 0.0
    assert found[1].ratio.low == 0.0


def test_looking_at_more_clusters_widens_each_interval() -> None:
    outputs = np.arange(400) % 10 // 7
    few = over_representation(outputs, np.arange(400) // 10, np.array([900, 100]))[1].ratio
    empty = np.array([900, 100, *[50] * 30])
    many = over_representation(outputs, np.arange(400) // 10, empty)[1].ratio
    assert few.low is not None
    assert few.value is not None
    assert many.low is not None
    assert many.value is not None
    assert many.low / many.value < few.low / few.value


def test_a_cluster_without_rows_has_no_ratio_and_is_not_called() -> None:
    found = over_representation(np.ones(40, np.int64), np.arange(40), np.array([100, 0]))[1]
    assert found.ratio.value is None
    assert found.ratio.low is None
    assert not found.over_represented


def test_one_batch_alone_is_said() -> None:
    found = over_representation(np.arange(40) % 2, np.zeros(40, np.int64), np.array([50, 50]))
    assert "rows are independent" in " ".join(found[0].ratio.assumptions)


def ball(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    x = rng.standard_normal((n, 6))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def test_local_ratios_of_outputs_like_the_data_cover_one() -> None:
    """Batches share a direction, so that outputs of a batch lie together."""
    covered, values = 0, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        lean = np.repeat(ball(rng, 40), 10, axis=0)
        x = ball(rng, 400) + 0.6 * lean
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        found = local_ratio((x, np.arange(400) // 10), np.arange(400), ball(rng, 2000))
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1 <= found.high
        values.append(found.value)
    assert 0.93 < np.mean(values) < 1.07
    assert covered >= 53


def test_counting_ones_own_batch_would_not_be_one() -> None:
    rng = np.random.default_rng(0)
    lean = np.repeat(ball(rng, 40), 10, axis=0)
    x = ball(rng, 400) + 2 * lean
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rows = ball(rng, 2000)
    by_batch = local_ratio((x, np.arange(400) // 10), np.arange(400), rows).value
    alone = local_ratio((x, np.arange(400)), np.arange(400), rows).value
    assert by_batch is not None
    assert alone is not None
    assert alone > 1.5 * by_batch


def test_a_local_ratio_is_that_of_densities() -> None:
    """Half of the sphere has outputs three times as dense as the other half."""
    values = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = ball(rng, 6000)
        x = x[(x[:, 0] > 0) | (rng.random(6000) < 1 / 3)][:2000]
        inside = np.flatnonzero(x[:, 0] > 0.4)
        values.append(local_ratio((x, np.arange(2000) // 20), inside, ball(rng, 8000)).value)
    # half the data, and three in four of the outputs
    assert np.mean([v for v in values if v is not None]) == pytest.approx(1.5, rel=0.05)
