"""Strata by similarity: the design, the draw, and what ratings say of all rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from laion_probe.errors import ConfigError, NotEnoughData
from laion_probe.estimators.similarity_strata import (
    UNKNOWN,
    Shown,
    Similarities,
    StrataDesign,
    StrataRatings,
    design_strata,
    draw,
    estimate_shown,
    merge_draws,
)
from laion_probe.estimators.stratified import Stratified, total_ends
from laion_probe.results import Estimate

EDGES = np.linspace(-1, 1, 401)
LEVELS = ["old", "young", "other"]


def cosines(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, 0.05, n).clip(-1, 1)


def histogram(values: np.ndarray, top: int = 1000, n_unscored: int = 0) -> Similarities:
    counts, _ = np.histogram(values, EDGES)
    best = np.sort(values)[::-1][:top]
    return Similarities(counts.astype(np.int64), EDGES, best, n_unscored)


def by_hand(sizes: list[int], n_near: int = 1, n_unscored: int = 0) -> StrataDesign:
    size, h = np.array(sizes), np.arange(len(sizes))
    floor = np.where(h == len(sizes) - 1, -np.inf, 0.5 - h / 10)
    near, drawn = h < n_near, np.zeros_like(size)  # as many as are rated
    return StrataDesign(floor, size, drawn, size / 2, near, 0.5, n_unscored, "by hand")


def rated(*strata: tuple[int, int, list[int]]) -> StrataRatings:
    """Of each stratum: how many do not show it, how many may, and the labels of those that do."""
    rows = [
        (h, shows, label)
        for h, (no, may, labels) in enumerate(strata)
        for shows, label in [(0, 0)] * no + [(UNKNOWN, UNKNOWN)] * may + [(1, x) for x in labels]
    ]
    return StrataRatings(*(np.array(column) for column in zip(*rows, strict=True)))


def ends(e: Estimate | None) -> tuple[float, float]:
    assert e is not None and e.low is not None and e.high is not None
    return e.low, e.high


@pytest.mark.parametrize("n", [400, 40, 5])
def test_the_sizes_are_those_of_the_rows(n: int) -> None:
    values = cosines(200_000)
    design = design_strata(histogram(values), n, 0.2)
    assert design.sizes.tolist() == np.bincount(design.stratum_of(values)).tolist()
    assert design.planned.sum() == n
    assert (design.planned >= 2).all()
    assert (design.planned <= design.sizes).all()
    threshold = design.threshold
    assert threshold is not None
    assert design.sizes[design.near].sum() == (values >= threshold).sum()
    assert threshold in design.floor
    assert (np.diff(design.floor) < 0).all()


def test_the_strata_are_cut_by_rank_and_around_the_threshold() -> None:
    values = cosines(200_000)
    design = design_strata(histogram(values), 400, 0.2)
    reach = np.cumsum(design.sizes)
    at = int((values >= 0.2).sum())
    for rank in (100, at, at // 3, 3 * at):
        assert np.abs(np.log(reach / rank)).min() < 0.15, rank
    assert design.names[0] == "ranks 1 to 100"
    assert design.names[-1].endswith("200000")
    assert len(set(design.names)) == len(design.names)
    assert design.threshold == pytest.approx(0.2)
    # the far rows have most raters, and a rated row there still stands for the most
    assert design.planned[-2:].sum() > 200
    assert design.probability.argmin() == len(design.sizes) - 1
    assert (np.diff(design.expected) < 0).all()


def test_a_threshold_between_counted_cosines_is_moved_and_says_so() -> None:
    values = cosines(200_000)
    moved = design_strata(histogram(values, top=100), 400, 0.1519)
    assert moved.threshold == pytest.approx(0.15)
    assert "0.1519 was moved to 0.1500" in moved.rule
    exact = design_strata(histogram(values), 400, 0.2519)  # among the best, where all are known
    assert exact.threshold == 0.2519
    assert "moved" not in exact.rule


def test_fewer_rows_to_rate_make_fewer_strata() -> None:
    rows = histogram(cosines(200_000))
    few, many = (len(design_strata(rows, n, 0.2).sizes) for n in (30, 400))
    assert few == 3
    assert many >= 6
    assert len(design_strata(rows, 1, None).sizes) == 1


def test_a_small_set_is_drawn_whole() -> None:
    values = cosines(48)
    design = design_strata(histogram(values), 400, 0.1)
    assert design.planned.sum() == 48
    assert (design.probability == 1).all()
    assert len(draw(design, np.arange(48), values, seed=0).row) == 48


def test_ties_are_not_parted() -> None:
    values = np.repeat([0.3, 0.2, 0.1], [500, 700, 9000])
    design = design_strata(histogram(values), 100, 0.2)
    assert design.sizes.tolist() == np.bincount(design.stratum_of(values)).tolist()
    assert design.sizes[design.near].sum() == 1200


def test_nothing_above_the_threshold_leaves_no_near_stratum() -> None:
    design = design_strata(histogram(cosines(1000)), 100, 0.9)
    assert not design.near.any()
    shown = estimate_shown(design, rated((50, 0, [0])), LEVELS, None)
    assert shown.precision is None and shown.recall is None and shown.composition_near is None


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="give 1 or more"):
        design_strata(histogram(cosines(10)), 0, None)
    with pytest.raises(NotEnoughData, match="usable vector"):
        design_strata(histogram(np.zeros(0)), 10, None)


def test_the_draw_is_the_same_in_any_blocks_and_order() -> None:
    values = cosines(20_000)
    design = design_strata(histogram(values), 300, 0.2)
    rows = np.arange(20_000)
    whole = draw(design, rows, values, 7, "doctor")
    assert np.bincount(whole.stratum).tolist() == design.planned.tolist()
    mixed = np.random.default_rng(1).permutation(rows)
    parts = [draw(design, p, values[p], 7, "doctor") for p in np.array_split(mixed, 6)]
    joined = merge_draws(design, [*parts[::-1], parts[2]])  # one of them twice
    assert joined.row.tolist() == whole.row.tolist()
    assert joined.similarity.tolist() == values[whole.row].tolist()
    other, seeded = (draw(design, rows, values, s, c) for s, c in ((7, "nurse"), (8, "doctor")))
    assert set(other.row) != set(whole.row) != set(seeded.row)


def test_every_row_of_a_stratum_has_the_stated_chance() -> None:
    """Over 2 000 seeds; rows that follow each other are drawn together as often as by chance."""
    design = by_hand([40])
    design = StrataDesign(
        design.floor, design.sizes, np.array([8]), design.expected, design.near, 0.5, 0, ""
    )
    rows, values = np.arange(40) + 10**9, np.zeros(40)
    drawn = np.zeros((2000, 40))
    for seed in range(2000):
        drawn[seed, draw(design, rows, values, seed).row - 10**9] = 1
    expected = 2000 * 8 / 40
    assert 39 * 0.45 < (np.square(drawn.sum(axis=0) - expected) / (expected * 0.8)).sum() < 39 * 1.8
    together = (drawn[:, 1:] * drawn[:, :-1]).mean()
    assert together == pytest.approx(8 / 40 * 7 / 39, rel=0.05)


def test_totals_are_estimated_without_bias_and_the_top_alone_is_not_enough() -> None:
    """Drawn by hash, 60 seeds: rows that show it lie mostly below the threshold."""
    values = cosines(20_000)
    rng = np.random.default_rng(2)
    shows = rng.random(20_000) < 0.02 + 0.9 / (1 + np.exp(-(values - 0.22) / 0.015))
    label = (rng.random(20_000) < np.where(values > 0.2, 0.9, 0.4)).astype(np.int64)
    design = design_strata(histogram(values), 400, 0.22)
    found, inside = np.zeros((60, 4)), 0
    for seed in range(60):
        drawn = draw(design, np.arange(20_000), values, seed)
        said = StrataRatings(drawn.stratum, shows[drawn.row].astype(int), label[drawn.row])
        shown = estimate_shown(design, said, ["no", "yes"], ("yes", "no"))
        whole, recall, precision = shown.total, shown.recall, shown.precision
        share = shown.composition.contrast
        assert whole.value and recall and recall.value and precision and precision.value
        found[seed] = whole.value, recall.value, precision.value, share.value or 0
        low, high = ends(whole)
        inside += low <= shows.sum() <= high
    near = values >= 0.22
    truth = shows.sum(), (shows & near).sum() / shows.sum(), shows[near].mean()
    error = found.std(axis=0) / np.sqrt(60)
    assert abs(found[:, 0].mean() - truth[0]) < 4 * error[0]
    assert abs(found[:, 2].mean() - truth[2]) < 4 * error[2]
    assert found[:, 1].mean() == pytest.approx(truth[1], rel=0.2)  # a ratio: biased by its curve
    assert found[:, 3].mean() == pytest.approx(label[shows].mean(), abs=0.03)
    assert label[shows & near].mean() - label[shows].mean() > 0.2  # what the top alone says
    assert inside >= 54


def test_what_the_panel_said_is_weighted_up() -> None:
    design = by_hand([100, 10_000])
    said = rated((10, 0, [0] * 30 + [1] * 10), (95, 0, [1, 1, 1, 0, 2]))
    shown = estimate_shown(design, said, LEVELS, ("old", "young"))
    assert shown.total.value == pytest.approx(80 + 500)
    assert shown.share.value == pytest.approx(580 / 10_100)
    assert shown.precision is not None and shown.precision.value == pytest.approx(0.8)
    assert shown.recall is not None and shown.recall.value == pytest.approx(80 / 580)
    assert shown.composition.contrast.value == pytest.approx((60 + 100) / (80 + 400))
    shares = shown.composition.shares
    assert set(shares) == {*LEVELS, "unknown"}
    assert shares["other"].value == pytest.approx(100 / 580)
    assert sum(e.value or 0 for e in shares.values()) == pytest.approx(1)
    assert shown.composition_near is not None
    assert shown.composition_near.contrast.value == pytest.approx(0.75)
    by_level = {name: e.value for name, e in shown.recall_by_level.items()}
    assert by_level == pytest.approx({"old": 60 / 160, "young": 20 / 320, "other": 0})


def test_what_lies_above_the_threshold_is_known_far_better() -> None:
    design = by_hand([100, 2_000_000])
    shown = estimate_shown(design, rated((10, 0, [0, 1] * 20), (30, 0, [])), LEVELS, LEVELS[:2])
    assert shown.composition_near is not None
    near, everywhere = ends(shown.composition_near.contrast), ends(shown.composition.contrast)
    assert near[1] - near[0] < 0.35
    assert everywhere[1] - everywhere[0] > 0.99
    assert ends(shown.total)[1] > 200_000
    assert ends(shown.recall)[0] < 0.001
    assert shown.notes == (
        "in 1 strata none of 30 rated rows shows it; of their 2000000 rows up to 231407 may still "
        "show it",
    )


def test_what_raters_could_not_tell_is_carried_into_bounds() -> None:
    design = by_hand([50, 100], n_unscored=50)
    said = rated((10, 10, [0] * 20 + [1] * 5 + [UNKNOWN] * 5), (100, 0, []))
    shown = estimate_shown(design, said, LEVELS, ("old", "young"))
    assert ends(shown.share) == (30 / 150, 30 / 150)
    assert shown.cannot_tell.value == pytest.approx(10 / 150)
    assert ends(shown.bounds) == pytest.approx((30 / 200, (30 + 10 + 50) / 200))
    assert ends(shown.precision_bounds) == pytest.approx((0.6, 0.8))
    assert ends(shown.recall_bounds) == pytest.approx((1, 1))
    assert shown.composition.contrast.value == pytest.approx(0.8)
    assert shown.composition.shares["unknown"].value == pytest.approx(5 / 30)
    assert ends(shown.composition.bounds) == pytest.approx((20 / 40, 35 / 40))
    assert shown.notes[-1] == "50 rows have no usable vector: they count in the bounds"


def test_a_known_label_of_a_row_that_may_show_it_counts_for_that_level_alone() -> None:
    design = by_hand([40], n_near=0)
    said = StrataRatings(
        np.zeros(40, int),
        np.repeat([1, 1, UNKNOWN, 0], 10),
        np.repeat([0, 1, 0, 0], 10),
    )
    shown = estimate_shown(design, said, LEVELS, ("old", "young"))
    assert ends(shown.composition.bounds) == pytest.approx((10 / 20, 20 / 30))


def test_far_rows_in_doubt_bound_the_recall() -> None:
    shown = estimate_shown(by_hand([50, 50]), rated((0, 0, [0] * 50), (30, 20, [])), LEVELS, None)
    assert ends(shown.recall) == (1, 1)
    assert ends(shown.recall_bounds) == pytest.approx((50 / 70, 1))
    assert shown.composition.contrast.value is None


def test_strata_without_ratings_may_hold_anything() -> None:
    shown = estimate_shown(by_hand([100, 900]), rated((20, 0, [0] * 80)), LEVELS, None)
    assert shown.total.value is None
    assert ends(shown.total) == (80, 980)
    assert shown.precision is not None and shown.precision.value == pytest.approx(0.8)
    assert shown.notes == (
        "900 rows are in strata of which nothing was rated: they may all show it, or none",
    )


def test_one_row_that_stands_for_many_is_named() -> None:
    shown: Shown = estimate_shown(
        by_hand([100, 100_000]), rated((20, 0, [0] * 80), (99, 0, [1])), LEVELS, None
    )
    assert shown.notes == (
        "one rated row of ranks 101 to 100100 stands for 1000 rows, 93% of the estimated total",
    )


def test_drawn_rows_that_nobody_rated_are_in_the_bounds_alone() -> None:
    half = by_hand([100, 1000])
    drawn = replace(half, planned=np.array([100, 50]))
    said = rated((10, 0, [0] * 30 + [1] * 10), (38, 0, [0, 1]))
    rest, shown = (estimate_shown(d, said, LEVELS, ("old", "young")) for d in (half, drawn))
    assert (rest.n_unrated, shown.n_unrated) == (0, 60)
    # estimates and their intervals are of the rated rows, as if those were all
    for of in ("total", "share", "precision", "recall", "recall_by_level"):
        assert _ends(getattr(shown, of)) == _ends(getattr(rest, of)), of
    assert any(
        "60 rows that were drawn and not rated are like" in a for a in shown.total.assumptions
    )
    assert shown.notes[0].startswith("60 of 150 drawn rows were not rated")
    # near: 40 show it of 50 rated, and 50 more were drawn, out of 100 in all
    assert ends(shown.precision_bounds) == pytest.approx((0.4, 0.9))
    assert shown.composition_near is not None
    assert ends(shown.composition_near.bounds) == pytest.approx((30 / 90, 80 / 90))
    assert ends(rest.precision_bounds) == pytest.approx(ends(rest.precision))
    far = Stratified(np.array([1000]), np.array([50]))
    low, high = (total_ends(np.array([x]), far)[i] for i, x in enumerate((2, 12)))
    whole = shown.bounds.low, shown.bounds.high
    assert whole[0] is not None and whole[1] is not None
    assert whole[0] * 1100 == pytest.approx(40 + low, rel=0.1)
    assert whole[1] * 1100 == pytest.approx(90 + high, rel=0.1)
    of = shown.recall_bounds_by_level["old"]
    assert of.low is not None and of.high == pytest.approx(1, abs=0.05)
    assert of.low < ends(shown.recall_by_level["old"])[0]
    for name in ("composition", "composition_near"):
        inner, outer = getattr(rest, name).bounds, getattr(shown, name).bounds
        assert outer.low < inner.low < inner.high < outer.high


def _ends(of: object) -> object:
    if isinstance(of, dict):
        return {name: _ends(e) for name, e in of.items()}
    assert isinstance(of, Estimate)
    return of.value, of.low, of.high


def test_the_last_digit_moves_no_row_across_a_boundary() -> None:
    values = cosines(5000)
    design = design_strata(histogram(values), 100, None)
    for shift in (-5e-7, 5e-7):
        inside = np.bincount(design.stratum_of(values + shift))
        assert np.abs(np.cumsum(inside)[0] - design.sizes[0]) == 0
    copies = np.sort(values)[::-1].copy()
    copies[99:104] = copies[99] - np.arange(5) * 1e-7  # copies of a picture: not parted
    assert design_strata(histogram(copies), 100, None).sizes[0] == 104
