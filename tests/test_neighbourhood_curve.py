"""The composition at every threshold: nested intervals, a band for all, and what they support."""

from __future__ import annotations

import numpy as np
import pytest

from laion_probe.estimate import Sample, difference_independent, share
from laion_probe.estimators.neighbourhood_curve import (
    Near,
    curve,
    default_thresholds,
    sensitivity,
)
from laion_probe.results import Estimate

TRIALS = 2000
BAND = (1876, 1930)  # of 2000 at 95 %
LEVELS = ["man", "woman", "other"]
CUTS = np.array([0.75, 0.5, 0.25, 0.0])


def covers(e: Estimate, truth: float) -> bool:
    assert e.low is not None and e.high is not None
    return e.low <= truth <= e.high


def rows(
    rng: np.random.Generator, n: int, slope: float = 0.4, sampled: float = 0.0, units: int = 0
) -> Near:
    """The share of men is 0.3 + slope * similarity, which is uniform; 10 % are unknown.

    ``units``: rows come in so many, which share a part of their similarity and of their level.
    """
    unit = np.sort(rng.integers(0, units, n)) if units else np.arange(n)
    own = rng.random(unit.max() + 1)
    similarity = np.where(rng.random(n) < 0.1 * (units > 0), own[unit], rng.random(n))
    tilt = (rng.random(unit.max() + 1) - 0.5) * 0.4 * (units > 0)
    man = rng.random(n) < 0.3 + slope * similarity + tilt[unit]
    label = np.where(rng.random(n) < 0.1, -1, np.where(man, 0, 1))
    return Near(similarity, label, LEVELS, ("man", "woman"), Sample(unit, sampled))


def truth(cut: float, slope: float = 0.4) -> float:
    return 0.3 + slope * (1 + cut) / 2


def test_a_full_scan_has_no_interval_and_says_what_is_left() -> None:
    near = rows(np.random.default_rng(0), 2000, sampled=1.0)
    found = curve(near, CUTS)
    assert [p.threshold for p in found.points] == CUTS.tolist()
    for p in found.points:
        inside = near.similarity >= p.threshold
        men, women = ((near.label[inside] == k).sum() for k in (0, 1))
        assert p.share.value == p.share.low == p.share.high == men / (men + women)
        assert p.band.low == p.band.high
        unknown = (near.label[inside] == -1).sum()
        assert p.counts == {"man": men, "woman": women, "other": 0, "unknown": unknown}
        assert sum(p.counts.values()) == p.n_rows == inside.sum()
        ends = men / p.n_rows, (men + unknown) / p.n_rows
        assert (p.bounds.low, p.bounds.high) == pytest.approx(ends)
    assert found.change.low == found.change.high
    assert "no sampling error" in found.note and "labels err" in found.note
    assert found.changes.endswith("as read, of every row.")


def test_rows_of_other_levels_are_counted_and_in_no_share() -> None:
    label = np.array([0, 0, 1, 2, 2, -1] * 20)
    near = Near(np.linspace(1, 0, 120), label, LEVELS, ("man", "woman"), Sample(np.arange(120)))
    point = curve(near, np.array([0.0])).points[0]
    assert point.counts == {"man": 40, "woman": 20, "other": 40, "unknown": 20}
    assert point.share.value == pytest.approx(2 / 3)
    assert point.share.n == 60


@pytest.fixture(scope="module")
def held() -> dict[str, int]:
    """How often intervals of 900 rows in 90 units held, of `TRIALS`; of rows alone, of 200."""
    rng, cuts = np.random.default_rng(1), np.array([0.7, 0.35, 0.0])
    count = dict.fromkeys(("band", "points", "rows alone", "change", "unpaired"), 0)
    change = truth(cuts[0]) - truth(cuts[-1])
    for trial in range(TRIALS):
        near = rows(rng, 900, units=90)
        found = curve(near, cuts, seed=trial)
        count["band"] += all(covers(p.band, truth(p.threshold)) for p in found.points)
        count["points"] += all(covers(p.share, truth(p.threshold)) for p in found.points)
        count["change"] += covers(found.change, change)
        tight, loose = found.points[0].share, found.points[-1].share
        count["unpaired"] += covers(difference_independent(loose, tight), change)
        if trial < 200:
            alone = Near(near.similarity, near.label, LEVELS, near.contrast, Sample(np.arange(900)))
            bands = (p.band for p in curve(alone, cuts).points)
            count["rows alone"] += all(
                covers(b, truth(c)) for b, c in zip(bands, cuts, strict=True)
            )
    return count


def test_the_band_holds_at_all_thresholds_at_once_and_the_points_do_not(
    held: dict[str, int],
) -> None:
    assert BAND[0] <= held["band"] <= BAND[1]
    assert held["points"] < BAND[0]
    assert held["rows alone"] < 0.92 * 200  # as if no row resembled another


def test_the_change_is_covered_and_unpaired_is_too_wide(held: dict[str, int]) -> None:
    assert BAND[0] <= held["change"] <= BAND[1]
    assert held["unpaired"] > BAND[1]


def test_no_change_is_found_in_one_of_twenty_and_a_change_is_found() -> None:
    rng = np.random.default_rng(3)
    flat = [curve(rows(rng, 900, slope=0.0), np.array([0.4, 0.0])) for _ in range(400)]
    said = [found.changes.startswith("The composition changes") for found in flat]
    assert 8 <= sum(said) <= 34  # 20 of 400; four standard errors
    steep = curve(rows(rng, 4000), CUTS)
    assert steep.changes.startswith("The composition changes with the threshold: +1")
    assert "these data cannot tell" in flat[said.index(False)].changes


def test_a_sample_of_a_part_has_narrower_intervals() -> None:
    near = rows(np.random.default_rng(4), 900)
    part = Near(near.similarity, near.label, LEVELS, ("man", "woman"), Sample(np.arange(900), 0.75))
    wide, narrow = (curve(x, CUTS).points[-1].share for x in (near, part))
    ratio = ((narrow.high or 0) - (narrow.low or 0)) / ((wide.high or 0) - (wide.low or 0))
    assert ratio == pytest.approx(0.5, abs=0.02)


def test_the_tight_threshold_has_twenty_rows_that_were_read() -> None:
    near = rows(np.random.default_rng(5), 400)
    found = curve(near)
    first = next(p for p in found.points if p.threshold == found.tight)
    assert first.counts["man"] + first.counts["woman"] >= 20
    assert found.points[0].n_rows == 20  # of which some are unknown
    assert found.points[0].threshold > found.tight > found.loose == found.points[-1].threshold


def test_thresholds_are_geometric_in_rank() -> None:
    values = np.random.default_rng(6).random(10_000)
    cuts = default_thresholds(values)
    ranks = [(values >= c).sum() for c in cuts]
    assert len(cuts) == 20
    assert (ranks[0], ranks[-1]) == (20, 10_000)
    assert np.diff(np.log(ranks)) == pytest.approx(np.log(500) / 19, abs=0.05)
    assert default_thresholds(values[:5]).tolist() == [values[:5].min()]
    assert len(default_thresholds(np.ones(50))) == 1


def test_a_threshold_below_what_is_listed_is_refused() -> None:
    near = rows(np.random.default_rng(7), 400)
    top = Near(near.similarity, near.label, LEVELS, ("man", "woman"), near.sample, 0.4)
    assert min(p.threshold for p in curve(top).points) >= 0.4
    with pytest.raises(ValueError, match="rows are missing from the list"):
        curve(top, np.array([0.5, 0.3]))
    with pytest.raises(ValueError, match="needs a threshold"):
        curve(
            Near(np.zeros(0), np.zeros(0, int), LEVELS, ("man", "woman"), Sample(np.zeros(0, int)))
        )


def test_one_threshold_has_no_change() -> None:
    found = curve(rows(np.random.default_rng(8), 400), np.array([0.5]))
    assert found.change.value is None
    assert found.changes.startswith("There is one threshold")


def test_nobody_read_is_no_share() -> None:
    label = np.full(100, -1)
    near = Near(np.linspace(1, 0, 100), label, LEVELS, ("man", "woman"), Sample(np.arange(100)))
    found = curve(near, CUTS)
    assert all(p.share.value is None and p.band.value is None for p in found.points)
    assert (found.points[0].bounds.low, found.points[0].bounds.high) == (0, 1)
    blank = sensitivity(found, (0, 100))
    assert (blank.low, blank.high, blank.n_points) == (None, None, 4)
    assert "not known" in blank.sentence


def test_the_sensitivity_is_the_range_over_plausible_thresholds() -> None:
    found = curve(rows(np.random.default_rng(9), 20_000, sampled=1.0), CUTS)
    n_rows = {p.threshold: p.n_rows for p in found.points}
    some = sensitivity(found, (n_rows[0.5], n_rows[0.25]))
    assert (some.low, some.high) == pytest.approx((truth(0.25), truth(0.5)), abs=0.02)
    assert (some.n_points, some.depends) == (2, True)
    assert some.sentence.startswith("It depends on the threshold: cut at ")
    one = sensitivity(found, (n_rows[0.5], n_rows[0.5]))
    assert (one.n_points, one.depends) == (1, False)
    assert one.sentence.startswith("It hardly depends")
    none = sensitivity(found, (1, 2))
    assert (none.low, none.n_points, none.depends) == (None, 0, False)
    assert none.sentence.startswith("No threshold that 1 to 2 rows reach has a share")


def test_the_band_is_narrower_than_bonferroni() -> None:
    near = rows(np.random.default_rng(10), 4000)
    cuts = default_thresholds(near.similarity)
    for p in curve(near, cuts).points[5:]:
        inside = near.similarity >= p.threshold
        sample = Sample(near.sample.unit, level=1 - 0.05 / len(cuts))
        each = share((near.label == 0) & inside, (near.label >= 0) & inside, sample)
        assert p.band.low is not None and each.low is not None and p.share.low is not None
        assert each.low < p.band.low < p.share.low
