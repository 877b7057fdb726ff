"""Entropies and distances of spreads: checked by hand, by simulation, and against wrong methods."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import stdtrit, xlogy
from scipy.stats import entropy as scipy_entropy

from laion_probe.estimators.entropy import Spread, distance, entropy, entropy_difference

Shares = NDArray[np.float64]

K, BATCHES, EACH, TRIALS = 12, 50, 4, 2000
LEAST, MOST = 1876, 1930  # of 2 000 at 95 %
GEOMETRIC = np.array(0.7 ** np.arange(K) / (0.7 ** np.arange(K)).sum())


def _drawn(p: Shares, alike: float | None, rng: np.random.Generator) -> Spread:
    """Batches whose pictures are alike: each has shares of its own, around ``p``."""
    if alike is None:
        return Spread(rng.multinomial(EACH, p, size=BATCHES))
    own = rng.dirichlet(p * alike, size=BATCHES)
    return Spread(rng.multinomial(EACH, own / own.sum(axis=1, keepdims=True)))


def _covered(interval: Callable[[Spread], tuple[float, float]], alike: float | None) -> int:
    rng = np.random.default_rng(7)
    true = float(scipy_entropy(GEOMETRIC)) / math.log(K)
    ends = (interval(_drawn(GEOMETRIC, alike, rng)) for _ in range(TRIALS))
    return sum(low <= true <= high for low, high in ends)


def _ours(spread: Spread) -> tuple[float, float]:
    e = entropy(spread)
    assert e.low is not None
    assert e.high is not None
    return e.low, e.high


def _by_picture(spread: Spread) -> tuple[float, float]:
    """The same, but every picture a batch of its own."""
    cluster = np.repeat(np.arange(K), spread.counts.sum(axis=0))
    return _ours(Spread.of(cluster, np.arange(len(cluster)), K))


def _uncorrected(spread: Spread) -> tuple[float, float]:
    """The plug-in entropy about its own linearised error by batch."""
    n, p = spread.n, spread.counts.sum(axis=0) / spread.n
    value = float(scipy_entropy(p))
    residual = (spread.counts - spread.counts.sum(axis=1, keepdims=True) * p) / n
    slope = np.where(p > 0, -np.log(np.where(p > 0, p, 1)) - 1, 0)
    error = math.sqrt(BATCHES / (BATCHES - 1) * float(((residual @ slope) ** 2).sum()))
    half = float(stdtrit(BATCHES - 1, 0.975)) * error
    return (value - half) / math.log(K), (value + half) / math.log(K)


def test_intervals_cover_with_batches_that_are_alike_and_wrong_methods_do_not() -> None:
    assert LEAST <= _covered(_ours, None) <= MOST
    assert LEAST <= _covered(_ours, 5.0) <= MOST
    assert _covered(_uncorrected, None) < LEAST
    assert _covered(_uncorrected, 5.0) < LEAST
    assert _covered(_by_picture, 5.0) < LEAST


def test_a_distance_covers_where_sets_are_the_same_and_where_they_differ() -> None:
    rng = np.random.default_rng(3)
    other = np.roll(GEOMETRIC, 3)
    for q, least in ((GEOMETRIC, 490), (other, 475)):
        true = np.abs(GEOMETRIC - q).sum() / 2
        covered = plain = 0
        for _ in range(500):
            d = distance(_drawn(GEOMETRIC, 5.0, rng), _drawn(q, None, rng))
            assert d.raw is not None
            covered += d.corrected.low <= true <= d.corrected.high  # type: ignore[operator]
            plain += d.raw <= true
        assert covered >= least
        if true == 0:
            assert plain == 0  # as the shares are, two sets of one process always differ


def test_the_jackknife_is_that_of_its_definition() -> None:
    spread = _drawn(GEOMETRIC, 5.0, np.random.default_rng(1))
    total = spread.counts.sum(axis=0)
    without = [float(scipy_entropy(total - row)) for row in spread.counts]
    mean = sum(without) / BATCHES
    value = BATCHES * float(scipy_entropy(total)) - (BATCHES - 1) * mean
    error = math.sqrt((BATCHES - 1) / BATCHES * sum((x - mean) ** 2 for x in without))
    e = entropy(spread)
    assert e.value == pytest.approx(value / math.log(K))
    assert e.high == pytest.approx((value + stdtrit(BATCHES - 1, 0.975) * error) / math.log(K))
    assert e.units == BATCHES
    assert e.n == BATCHES * EACH


def test_one_cluster_leaves_room_for_what_was_not_seen() -> None:
    e = entropy(Spread(np.tile([5, 0, 0], (20, 1))))
    assert (e.value, e.low) == (0.0, 0.0)
    u = 1 - 0.025 ** (1 / 20)
    rest = -xlogy(1 - u, 1 - u) - xlogy(u, u / 2)
    assert e.high == pytest.approx(rest / math.log(3))
    d = distance(Spread(np.tile([5, 0, 0], (20, 1))), Spread(np.tile([0, 5, 0], (20, 1))))
    assert d.raw == d.corrected.value == d.corrected.high == 1.0
    assert d.corrected.low == pytest.approx(1 - 2 * u)


def test_few_pictures_have_no_interval_and_none_has_no_value() -> None:
    nothing, one = Spread(np.zeros((0, 3), np.int64)), Spread(np.array([[0, 1, 0]]))
    assert entropy(nothing).value is None
    assert (entropy(one).value, entropy(one).low) == (0.0, None)
    many = Spread(np.tile([1, 1, 1], (9, 1)))
    assert entropy_difference(nothing, many).value is None
    assert entropy_difference(one, many).value == pytest.approx(1)
    assert entropy_difference(one, many).high is None
    assert distance(nothing, many).corrected.value is None
    assert distance(one, many).corrected.low is None
    with pytest.raises(ValueError, match="two clusters"):
        entropy(Spread(np.array([[3]])))
    with pytest.raises(ValueError, match="same clusters"):
        distance(one, Spread(np.array([[1, 2]])))


def test_one_batch_is_taken_picture_by_picture_and_says_so() -> None:
    e = entropy(Spread(np.array([[30, 20, 10]])))
    assert e.units == 60
    assert "only" in e.assumptions[0]


@given(st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=1, max_size=8))
def test_everything_stays_within_its_range_and_turns_about(rows: list[list[int]]) -> None:
    counts = np.array([row for row in rows if sum(row)] or [[1, 0, 0]])
    a, b = Spread(counts), Spread(counts[:, ::-1].copy())
    e = entropy(a)
    assert e.value == pytest.approx(entropy(b).value)
    assert 0 <= e.value <= 1
    if e.low is not None:
        assert 0 <= e.low <= e.value <= e.high <= 1
    there, back = distance(a, b).corrected, distance(b, a).corrected
    assert there.value == pytest.approx(back.value)
    assert 0 <= there.value <= 1
    difference = entropy_difference(a, b)
    assert difference.value == pytest.approx(0)
