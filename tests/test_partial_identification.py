"""Worst-case bounds and what lies between them and loss at random."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from test_response import TRUTH, covers, draw

from laion_probe.estimate import Sample
from laion_probe.estimators.partial_identification import (
    critical_value,
    odds_between,
    sensitivity_curve,
    worst_case,
)
from laion_probe.estimators.response import Frame, fit_response, reweighted_share

TRIALS, LOW, HIGH = 2000, 1876, 1930


@given(st.floats(0, 30), st.floats(0.6, 0.99))
@settings(deadline=None)
def test_the_critical_value_solves_its_equation(width: float, level: float) -> None:
    c = critical_value(width, level)
    assert ndtr(c + width) - ndtr(-c) == pytest.approx(level, abs=1e-6)
    assert ndtri(level) - 1e-6 <= c <= ndtri(0.5 + level / 2) + 1e-6


def test_a_negative_width_is_an_error() -> None:
    with pytest.raises(ValueError, match="above"):
        critical_value(-0.1)


def at_edge(seed: int, lost_share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent rows of which 40 % are hits; rows are lost, all of them hits."""
    rng = np.random.default_rng(seed)
    hit = rng.random(1500) < 0.4
    return hit, hit & (rng.random(1500) < lost_share / 0.4), np.arange(1500)


@pytest.mark.parametrize("lost_share", [0.2, 0.01, 0.0])
def test_the_interval_covers_a_share_at_the_edge_of_what_is_possible(lost_share: float) -> None:
    """The upper bound is the truth; at 0.01 the bounds are as near as their own error."""
    covered = two_sided = 0
    for seed in range(TRIALS):
        hit, lost, unit = at_edge(seed, lost_share)
        found = worst_case(hit, np.ones(1500, bool), lost, Sample(unit))
        covered += covers(found.interval.low, found.interval.high, 0.4)
        # the wrong method for one share: the usual two-sided margin at each end
        assert found.high is not None
        two_sided += found.high + 1.96 * np.sqrt(0.24 / 1500) >= 0.4
    assert LOW <= covered <= HIGH, covered
    if lost_share == 0.2:
        assert two_sided > HIGH, two_sided


def test_a_share_inside_is_covered_more_often() -> None:
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        hit, lost = rng.random(1500) < 0.4, rng.random(1500) < 0.2
        found = worst_case(hit, np.ones(1500, bool), lost, Sample(np.arange(1500))).interval
        covered += covers(found.low, found.high, 0.4)
    assert covered == 300


def test_bounds_by_hand_with_lost_rows_and_unknown_levels() -> None:
    rows = np.arange(100)
    hit, base = rows < 20, rows < 50  # 20 of one, 30 of the other, 10 of neither
    unknown, lost = (rows >= 60) & (rows < 70), rows >= 70
    found = worst_case(hit, base, unknown | lost, Sample(rows, 1.0))
    assert (found.low, found.high) == (20 / 90, 60 / 90)
    assert (found.interval.low, found.interval.high) == (20 / 90, 60 / 90)
    assert found.interval.value is None
    marked = worst_case(hit | lost, base | lost, unknown | lost, Sample(rows, 1.0))
    assert marked.low == found.low  # what an open row is marked as says nothing
    group = rows % 2 == 0
    part = worst_case(hit[group], base[group], (unknown | lost)[group], Sample(rows[group]))
    assert (part.low, part.high) == (10 / 45, 30 / 45)


def test_no_open_rows_leave_one_share_and_nothing_leaves_none() -> None:
    rows = np.arange(200)
    found = worst_case(rows < 80, rows >= 0, rows < 0, Sample(rows))
    assert found.low == found.high == 0.4
    assert found.critical == pytest.approx(1.96, abs=0.01)
    nothing = worst_case(rows < 80, rows < 0, rows < 0, Sample(rows))
    assert nothing.low is None
    assert nothing.interval.value is None


def test_the_curve_goes_through_loss_at_random_and_reaches_what_was_planted() -> None:
    """A hit is lost 1.5 times as often: odds of 1.6 to 6 among those lost, by region."""
    below = above = 0
    for seed in range(100):
        d = draw(seed, own=1.5, dead=0.0, n_domains=600)
        fitted, sample = fit_response(d.frame), Sample(d.domain)
        low, random, high, far = sensitivity_curve(
            d.hit, d.base, fitted, d.frame, sample, (0.25, 1.0, 1.5, 6.0)
        )
        assert random == reweighted_share(d.hit, d.base, fitted, d.frame, sample)
        assert low.value < random.value < high.value < far.value  # type: ignore[operator]
        below += high.value < TRUTH  # type: ignore[operator]
        above += far.value > TRUTH  # type: ignore[operator]
    assert below > 90, below
    assert above > 90, above


def test_a_sensitivity_of_the_right_odds_covers() -> None:
    """Lost rows have three times the odds of those that came, in one group: a pattern mixture."""
    covered = wrong = 0
    rng = np.random.default_rng(6)
    truth = 0.7 * 0.3 + 0.3 * (0.3 * 3 / (0.7 + 0.3 * 3))
    rows = np.arange(1200)
    for _ in range(1000):
        came = rng.random(1200) < 0.7
        hit = rng.random(1200) < np.where(came, 0.3, 0.9 / 1.6)
        frame = Frame(came, np.zeros((1200, 1), np.int64), rows)
        fitted = fit_response(frame)
        at_random, right = sensitivity_curve(
            hit, rows >= 0, fitted, frame, Sample(rows), (1.0, 3.0)
        )
        covered += covers(right.low, right.high, truth)
        wrong += covers(at_random.low, at_random.high, truth)
    assert 930 <= covered <= 970, covered
    assert wrong < 100, wrong


def test_a_limit_on_the_odds_lies_between_loss_at_random_and_the_worst_case() -> None:
    d = draw(7)
    fitted, sample = fit_response(d.frame), Sample(d.domain)
    curve = sensitivity_curve(d.hit, d.base, fitted, d.frame, sample, (0.5, 1.0, 2.0))
    limited = odds_between((curve[0], curve[2]), 2.0)
    worst = worst_case(d.hit, d.base, ~d.came, sample).interval
    assert worst.low < limited.low < curve[1].low  # type: ignore[operator]
    assert curve[1].high < limited.high < worst.high  # type: ignore[operator]
    assert limited.value is None
    assert "at most 2 times the odds" in limited.assumptions[0]
