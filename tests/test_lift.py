"""Lift: what comes with a concept, and how often its intervals cover."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from laion_probe.estimate import Sample
from laion_probe.estimators.lift import lift, moved

UNITS, SIZE = 80, 12
TRUE = (0.30, 0.12)


def _world(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Sample]:
    """Rows in units that differ, each with rows on both sides; shares are `TRUE` on average."""
    unit = np.repeat(np.arange(UNITS), SIZE)
    near = rng.random(len(unit)) < 0.5
    alike = 6.0  # a + b of the beta distribution that units' shares come from
    chance = [rng.beta(p * alike, (1 - p) * alike, UNITS) for p in TRUE]
    p = np.where(near, chance[0][unit], chance[1][unit])
    return rng.random(len(unit)) < p, near, Sample(unit)


def _covered(by_row: bool, trials: int = 2_000) -> int:
    rng = np.random.default_rng(20)
    count = 0
    for _ in range(trials):
        hit, near, sample = _world(rng)
        if by_row:
            sample = replace(sample, unit=np.arange(len(hit)))
        e = lift(hit, near, sample).ratio
        assert e.low is not None and e.high is not None
        count += e.low <= TRUE[0] / TRUE[1] <= e.high
    return count


def test_the_ratio_covers_as_often_as_it_says() -> None:
    assert 1_876 <= _covered(by_row=False) <= 1_930


def test_rows_taken_as_independent_cover_too_seldom() -> None:
    assert _covered(by_row=True) < 1_876


def test_together_all_of_them_hold() -> None:
    """Of 20 words without lift, in 95 % of trials or more none is called one."""
    rng = np.random.default_rng(5)
    alarms = [0, 0]
    for _ in range(200):
        unit = np.repeat(np.arange(60), 10)
        near = rng.random(600) < 0.4
        hits = rng.random((20, 600)) < 0.2
        for i, together in enumerate((1, 20)):
            lows = [lift(hit, near, Sample(unit), together).ratio.low for hit in hits]
            alarms[i] += any(low is not None and low > 1 for low in lows)
    assert alarms[1] <= 20  # 2.5 % expected, one side of 95 %
    assert alarms[0] >= 40  # one by one about four in ten


def test_a_level_is_told_as_the_one_that_holds_for_all() -> None:
    hit, near, sample = _world(np.random.default_rng(1))
    one, many = lift(hit, near, sample), lift(hit, near, sample, 40)
    assert one.ratio.level == many.ratio.level == 0.95
    assert many.ratio.low is not None and one.ratio.low is not None
    assert many.ratio.low < one.ratio.low
    assert "39 others" in many.ratio.method and "others" not in one.ratio.method
    assert many.ratio.high is not None and one.ratio.high is not None
    half = np.log(many.ratio.high / many.ratio.low) / np.log(one.ratio.high / one.ratio.low)
    assert half == pytest.approx(t.ppf(1 - 0.05 / 80, 40) / t.ppf(0.975, 40), rel=0.05)


def test_a_word_that_the_rest_never_has_is_bounded_below_alone() -> None:
    rows = np.arange(1_000)
    found = lift((rows < 30), rows < 100, Sample(rows))
    assert found.rest.value == 0 and found.ratio.value is None and found.ratio.high is None
    assert found.ratio.low is not None and 20 < found.ratio.low < 300


def test_few_hits_make_a_wider_interval_than_the_same_share_of_many() -> None:
    rows, more = np.arange(200), np.arange(20_000)
    few = lift(rows % 20 == 0, rows < 100, Sample(rows)).ratio
    many = lift(more % 20 == 0, more < 10_000, Sample(more)).ratio
    assert few.value == many.value == 1
    assert few.low < 0.4 < 0.8 < many.low  # type: ignore[operator]


@pytest.mark.parametrize("near", [np.zeros(50, bool), np.ones(50, bool)])
def test_a_side_without_rows_has_no_lift(near: np.ndarray) -> None:
    found = lift(np.arange(50) % 2 == 0, near, Sample(np.arange(50)))
    assert found.ratio.value is None and found.ratio.low is None and found.ratio.high is None


@given(st.integers(0, 60), st.integers(0, 60))
def test_ends_enclose_the_value(near_hits: int, rest_hits: int) -> None:
    rows = np.arange(120)
    near = rows < 60
    hit = (rows < near_hits) | ((rows >= 60) & (rows < 60 + rest_hits))
    e = lift(hit, near, Sample(rows // 2)).ratio
    if e.value is not None:
        assert e.low is not None and e.low <= e.value
        assert e.high is None or e.value <= e.high


def test_outputs_are_compared_by_batch() -> None:
    rows = np.arange(600)
    data = lift(rows % 10 == 0, rows < 300, Sample(rows)).beside
    alike = np.repeat(np.arange(40), 10)
    hit = alike < 20  # whole batches, or none of them
    by_batch, change = moved(data, hit, Sample(alike))
    by_row, row_change = moved(data, hit, Sample(np.arange(400)))
    assert by_batch.value == by_row.value == 0.5
    assert change.value == pytest.approx(0.4)
    assert change.high - change.low > 1.5 * (row_change.high - row_change.low)  # type: ignore[operator]
