"""Thresholds calibrated by ratings: the rules, and that the judges are not those who chose."""

from __future__ import annotations

import numpy as np
import pytest

from laion_probe.errors import ConfigError
from laion_probe.estimators.similarity_strata import UNKNOWN, StrataDesign, StrataRatings
from laion_probe.estimators.stratified import Stratified, ratio_ends
from laion_probe.estimators.threshold import Calibrated, calibrate_threshold

TRIALS = 2000
SIZE = np.array([10_000, 90_000])
DESIGN = StrataDesign(
    np.array([0.8, -np.inf]), SIZE, np.array([60, 60]), SIZE, SIZE < 50_000, 0.8, 0, ""
)


def calibrated(cosine: np.ndarray, shows: np.ndarray, target: str, seed: int = 0) -> Calibrated:
    stratum = DESIGN.stratum_of(cosine)
    return calibrate_threshold(
        DESIGN, StrataRatings(stratum, shows, np.zeros(len(shows), int)), cosine, target, seed
    )


def test_the_lowest_threshold_of_a_precision_and_the_best_f1() -> None:
    cosine = np.tile(np.linspace(1, 0, 101), 4)
    shows = ((cosine >= 0.9) | ((cosine >= 0.5) & (np.arange(404) % 2 == 0))).astype(int)
    strict, half = (calibrated(cosine, shows, f"precision>={p}") for p in (0.99, 0.5))
    assert strict.threshold == pytest.approx(0.9, abs=0.02)
    assert half.threshold is not None and half.threshold < 0.8
    assert strict.precision.value is not None and strict.precision.value > 0.9
    assert strict.recall.value is not None and half.recall.value is not None
    assert strict.recall.value < half.recall.value
    best = calibrated(cosine, shows, "max F1")
    assert best.threshold == pytest.approx(0.5, abs=0.03)
    assert best.rule == "the best F1 by the estimate of 202 ratings; 202 others judge it"


def test_no_threshold_meets_the_target() -> None:
    cosine = np.tile(np.linspace(1, 0, 101), 4)
    found = calibrated(cosine, (np.arange(404) % 3 == 0).astype(int), "precision>=0.9")
    assert found.threshold is None
    assert (found.precision.value, found.recall.value) == (None, None)
    assert "meets precision>=0.9" in found.rule


def test_rows_that_raters_could_not_tell_do_not_count_as_shown() -> None:
    cosine = np.tile(np.linspace(1, 0.01, 100), 4)
    shows = np.where(cosine < 0.8, 0, np.where(np.arange(400) % 2 == 0, 1, UNKNOWN))
    found = calibrated(cosine, shows, "max F1")
    assert found.precision.value == pytest.approx(0.5, abs=0.1)
    assert any("could not tell" in a for a in found.precision.assumptions)


@pytest.mark.parametrize("target", ["precision>=90", "recall>=0.9", "", "precision>=0"])
def test_a_target_that_is_none_is_an_error(target: str) -> None:
    with pytest.raises(ConfigError, match="neither"):
        calibrated(np.ones(20), np.ones(20, dtype=int), target)


def chosen_on_all(cosine: np.ndarray, shows: np.ndarray, least: float) -> float | None:
    """The wrong method: every rating chooses, and is asked again afterwards."""
    order = np.argsort(-cosine)
    weight = np.where(cosine[order] >= 0.8, 1000, 9000)
    precision = np.cumsum(weight * shows[order]) / np.cumsum(weight)
    meets = np.flatnonzero(precision >= least)
    meets = meets[meets >= 9]
    return float(cosine[order][meets[-1]]) if len(meets) else None


def test_judges_cover_what_was_chosen() -> None:
    """Precision falls with the threshold, by a straight line; exact limits cover a little more."""
    rng = np.random.default_rng(4)
    covered, widths = 0, []
    for _ in range(TRIALS // 2):
        cosine = np.concatenate([rng.uniform(0.8, 1, 60), rng.uniform(0, 0.8, 60)])
        shows = rng.random(120) < 5 * (cosine - 0.8)
        found = calibrated(cosine, shows.astype(int), "precision>=0.6", int(rng.integers(10**9)))
        if found.threshold is None or found.precision.value is None:
            continue
        low, high = found.precision.low, found.precision.high
        assert low is not None and high is not None
        truth = 0.5 + 5 * (found.threshold - 0.8) / 2
        covered += low <= truth <= high
        widths.append(high - low)
    assert len(widths) > 0.45 * TRIALS
    assert 0.938 * len(widths) <= covered <= 0.99 * len(widths)
    assert np.mean(widths) < 0.5


def test_those_who_chose_do_not_cover() -> None:
    """Rows of 0.8 or more show it in 40 of 100 cases, wherever one cuts: 75 % is luck.

    The wrong method has twice the ratings to judge by, and misses always.
    """
    rng = np.random.default_rng(5)
    reach = np.array([True, False])
    judged, again = [], []
    for _ in range(TRIALS):
        cosine = np.concatenate([rng.uniform(0.8, 1, 60), rng.uniform(0, 0.8, 60)])
        shows = rng.random(120) < np.where(cosine >= 0.8, 0.4, 0.05)
        found = calibrated(cosine, shows.astype(int), "precision>=0.75", int(rng.integers(10**9)))
        low, high = found.precision.low, found.precision.high
        if found.threshold is not None and low is not None and high is not None:
            judged.append(low <= 0.4 <= high)
        threshold = chosen_on_all(cosine, shows, 0.75)
        if threshold is not None:
            stratum, above = DESIGN.stratum_of(cosine), cosine >= threshold
            a, b = (np.bincount(stratum[above & kind], minlength=2) for kind in (shows, ~shows))
            ends = ratio_ends(a, b, Stratified(SIZE, DESIGN.planned), (reach, reach))
            again.append(bool(ends[0] <= 0.4 <= ends[1]))
    assert min(len(judged), len(again)) > 20
    assert np.mean(judged) > 0.85  # of few trials: the test above has the others
    assert np.mean(again) < 0.1
