"""What recall below 1 could change: intervals by query, prediction limits, worst cases."""

from __future__ import annotations

import numpy as np
import pytest

from laion_probe.estimate import wilson
from laion_probe.estimators.ann_bounds import (
    Found,
    recall_estimate,
    recall_of_a_query,
    worst_case,
)
from laion_probe.results import Estimate

TRIALS = 2000
BAND = (1876, 1930)  # of 2000 at 95 %


def covers(e: Estimate, truth: float) -> bool:
    assert e.low is not None and e.high is not None
    return e.low <= truth <= e.high


def test_average_recall_is_covered_and_neighbours_are_not_independent() -> None:
    rng = np.random.default_rng(1)
    good = wrong = 0
    for _ in range(TRIALS):
        true = rng.integers(50, 150, 80)
        hits = rng.binomial(true, rng.beta(9, 1, 80))
        good += covers(recall_estimate(hits, true), 0.9)
        low, high = wilson(float(hits.sum()), float(true.sum()))
        wrong += low <= 0.9 <= high
    assert BAND[0] <= good <= BAND[1]
    assert wrong < BAND[0]


def test_nothing_missed_in_a_few_queries_is_no_proof() -> None:
    all_found = np.full(20, 1000)
    e = recall_estimate(all_found, all_found)
    assert (e.value, e.high, e.units) == (1, 1, 20)
    assert e.low == pytest.approx(0.025 ** (1 / 20), abs=0.005)  # twenty queries, not 20 000 rows
    assert "Clopper-Pearson" in e.method
    assert recall_estimate(np.array([5]), np.array([5])).low == pytest.approx(0.025, abs=1e-6)


def test_queries_without_true_neighbours_say_nothing() -> None:
    hits, true = np.array([5, 0, 4]), np.array([5, 0, 5])
    assert recall_estimate(hits, true).units == 2
    assert recall_estimate(hits[1:2], true[1:2]).value is None


def test_one_more_query_is_above_the_limit_and_the_average_s_interval_is_not_for_it() -> None:
    rng = np.random.default_rng(2)
    above = wrong = 0
    for _ in range(TRIALS):
        recall = rng.beta(18, 1, 200)
        hits = np.round(recall[1:] * 1000).astype(int)
        above += recall[0] >= (recall_of_a_query(recall[1:]).low or 0)
        average = recall_estimate(hits, np.full(199, 1000))
        wrong += recall[0] >= (average.low or 0)
    assert BAND[0] <= above <= BAND[1]
    assert wrong < BAND[0]


def test_too_few_queries_limit_nothing() -> None:
    assert recall_of_a_query(np.ones(18)).low == 0
    assert recall_of_a_query(np.ones(19)).low == 1
    assert recall_of_a_query(np.zeros(0)).value is None


def test_the_worst_case_encloses_every_way_of_missing() -> None:
    """All true neighbours, listed; what is missed is chosen by every pair of counts."""
    a, b = 60, 40
    for missed in range(31):
        recall = 1 - missed / 100
        for of_a in range(missed + 1):
            left_a, left_b = a - of_a, b - (missed - of_a)
            e = worst_case(Found(left_a, left_b), recall)
            assert e.low is not None and e.high is not None
            assert e.low - 1e-9 <= 0.6 <= e.high + 1e-9
            # as many rows of neither truth in their place
            for wrong_a in (0, missed // 2, missed):
                found = Found(left_a + wrong_a, left_b + missed - wrong_a, kind="top_k")
                e = worst_case(found, recall)
                assert e.low is not None and e.high is not None
                assert e.low - 1e-9 <= 0.6 <= e.high + 1e-9


def test_the_worst_case_is_reached() -> None:
    e = worst_case(Found(hits=50, against=30), 0.8)
    assert (e.low, e.high) == pytest.approx((0.5, 0.7))
    e = worst_case(Found(hits=50, against=30, unknown=10, other=10), 1.0)
    assert (e.low, e.high) == pytest.approx((50 / 90, 60 / 90))
    e = worst_case(Found(hits=60, against=40, kind="top_k"), 0.9)
    assert (e.low, e.high) == pytest.approx((0.5, 0.7))
    for nothing in (worst_case(Found(5, 5), 0.0), worst_case(Found(0, 0), 0.9)):
        assert (nothing.value, nothing.low, nothing.high) == (None, 0, 1)


def test_the_bound_of_one_concept_holds_by_its_prediction_limit() -> None:
    """An adversary misses only the one level: the bound holds as often as the limit does."""
    rng = np.random.default_rng(5)
    held = wrong = 0
    for _ in range(TRIALS):
        recall = rng.beta(18, 1, 200)
        missed = 1000 * (1 - recall[0])
        found = Found(round(600 - min(missed, 600)), 400)
        average = recall_estimate(np.round(1000 * recall[1:]).astype(int), np.full(199, 1000))
        for low, kind in ((recall_of_a_query(recall[1:]).low, 0), (average.low, 1)):
            e = worst_case(found, low or 0)
            assert e.high is not None
            inside = e.high >= 0.6 - 5e-4  # rounded to rows
            held, wrong = held + (inside and kind == 0), wrong + (inside and kind == 1)
    assert BAND[0] <= held <= BAND[1]
    assert wrong < BAND[0]
