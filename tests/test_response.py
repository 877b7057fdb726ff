"""Shares re-weighted for loss: they cover where loss is random given the levels, and only there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from laion_probe.errors import NotEnoughData
from laion_probe.estimate import Sample, share
from laion_probe.estimators.partial_identification import worst_case
from laion_probe.estimators.rao_scott import rao_scott
from laion_probe.estimators.response import Frame, drawn_share, fit_response, reweighted_share
from laion_probe.estimators.response_check import check_fit

TRIALS = 2000
#: Two-sided: 95 % of the trials, plus or minus 2.8 standard errors.
LOW, HIGH = 1876, 1930

REGIONS = np.array([0.4, 0.3, 0.2, 0.1])
SHARES = np.array([0.2, 0.4, 0.6, 0.7])
LOST = np.array([0.1, 0.2, 0.3, 0.6])
TRUTH = float(REGIONS @ SHARES)


@dataclass(frozen=True)
class Drawn:
    hit: NDArray[np.bool_]
    base: NDArray[np.bool_]
    came: NDArray[np.bool_]
    region: NDArray[np.int64]
    domain: NDArray[np.int64]

    @property
    def frame(self) -> Frame:
        return Frame(self.came, self.region[:, None], self.domain)


def draw(seed: int, *, dead: float = 0.5, own: float = 1.0, n_domains: int = 300) -> Drawn:
    """Domains of a region with pictures of a share of their own; a part of the loss is of domains.

    ``dead`` is the part of a region's loss that takes whole domains; ``own`` multiplies the loss
    of pictures that are hits.
    """
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 15, n_domains)
    region = rng.choice(4, n_domains, p=REGIONS)
    share_of = rng.beta(8 * SHARES[region], 8 * (1 - SHARES[region]))
    domain = np.repeat(np.arange(n_domains), size)
    n, of = len(domain), region[domain]
    hit, base = rng.random(n) < share_of[domain], rng.random(n) < 0.8
    gone = rng.random(n_domains) < dead * LOST[region]
    left = ((1 - dead) * LOST / (1 - dead * LOST))[of] * np.where(hit, own, 1.0)
    lost = gone[domain] | (rng.random(n) < left)
    return Drawn(hit & base, base, ~lost, of, domain)


def covers(low: float | None, high: float | None, truth: float) -> bool:
    assert low is not None
    assert high is not None
    return low <= truth <= high


def test_where_loss_depends_on_region_alone_the_reweighted_share_covers() -> None:
    reweighted = complete = fixed = 0
    for seed in range(TRIALS):
        d = draw(seed)
        sample = Sample(d.domain)
        e = reweighted_share(d.hit, d.base, fit_response(d.frame), d.frame, sample)
        reweighted += covers(e.low, e.high, TRUTH)
        # the wrong methods: those that came as they are, and rows taken for independent
        c = share(d.hit & d.came, d.base & d.came, sample)
        complete += covers(c.low, c.high, TRUTH)
        half = 1.96 * np.sqrt(e.value * (1 - e.value) / e.n)  # type: ignore[operator]
        fixed += abs(e.value - TRUTH) <= half  # type: ignore[operator]
    assert LOW <= reweighted <= HIGH, reweighted
    assert complete < 1500, complete
    assert fixed < LOW, fixed


def test_where_loss_depends_on_the_level_too_reweighting_misses_and_worst_case_bounds_cover() -> (
    None
):
    reweighted = bounds = 0
    for seed in range(600):
        d = draw(seed, own=1.5, dead=0.0)
        sample = Sample(d.domain)
        e = reweighted_share(d.hit, d.base, fit_response(d.frame), d.frame, sample)
        reweighted += covers(e.low, e.high, TRUTH)
        b = worst_case(d.hit, d.base, ~d.came, sample).interval
        bounds += covers(b.low, b.high, TRUTH)
    assert reweighted < 150, reweighted
    assert bounds == 600, bounds


@pytest.mark.slow
def test_it_covers_where_domains_are_lost_whole() -> None:
    covered = 0
    for seed in range(TRIALS):
        d = draw(seed, dead=1.0)
        e = reweighted_share(d.hit, d.base, fit_response(d.frame), d.frame, Sample(d.domain))
        covered += covers(e.low, e.high, TRUTH)
    assert LOW <= covered <= HIGH, covered


@pytest.mark.slow
@pytest.mark.parametrize(("dead", "trials"), [(1.0, TRIALS), (0.0, 500)])
def test_of_a_frame_that_is_everything_only_loss_is_chance(dead: float, trials: int) -> None:
    covered = 0
    for seed in range(trials):
        d = draw(seed, dead=dead)
        e = reweighted_share(d.hit, d.base, fit_response(d.frame), d.frame, Sample(d.domain, 1.0))
        covered += covers(e.low, e.high, float(d.hit.sum() / d.base.sum()))
    # exact where domains are lost whole, cautious where pictures are
    assert covered >= LOW / TRIALS * trials, covered
    if dead:
        assert covered <= HIGH, covered


def test_rows_drawn_by_strata_count_by_their_chance() -> None:
    """A region is tried six times as often as another; each row counts by 1 / that chance."""
    chance = np.array([0.15, 0.3, 0.6, 0.9])
    covered = of_lost = unweighted = 0
    for seed in range(600):
        d = draw(seed, n_domains=500)
        tried = np.random.default_rng(seed).random(len(d.hit)) < chance[d.region]
        hit, base, came, domain = (x[tried] for x in (d.hit, d.base, d.came, d.domain))
        region, sample = d.region[tried][:, None], Sample(domain)
        worth = 1 / chance[region[:, 0]]
        frame = Frame(came, region, domain, worth)
        e = reweighted_share(hit, base, fit_response(frame), frame, sample)
        covered += covers(e.low, e.high, TRUTH)
        e = drawn_share(~came, came | ~came, worth, sample)
        of_lost += covers(e.low, e.high, float(REGIONS @ LOST))
        # the wrong method: as if all had been drawn alike
        frame = Frame(came, region, domain)
        e = reweighted_share(hit, base, fit_response(frame), frame, sample)
        unweighted += covers(e.low, e.high, TRUTH)
    assert 555 <= covered <= 585, covered
    assert 555 <= of_lost <= 585, of_lost
    assert unweighted < 100, unweighted


def test_worth_is_by_any_factor_and_of_one_chance_changes_nothing() -> None:
    d = draw(3)
    sample, ones = Sample(d.domain), np.ones(len(d.came))
    plain = reweighted_share(d.hit, d.base, fit_response(d.frame), d.frame, sample)
    same = Frame(d.came, d.region[:, None], d.domain, 7 * ones)
    assert reweighted_share(d.hit, d.base, fit_response(same), same, sample) == plain
    bounds = worst_case(d.hit, d.base, ~d.came, sample)
    weighed = worst_case(d.hit, d.base, ~d.came, sample, 7 * ones)
    assert (weighed.low, weighed.high) == pytest.approx((bounds.low, bounds.high))
    assert weighed.interval.low == pytest.approx(bounds.interval.low, abs=0.005)
    again = rao_scott(~d.came, d.region, d.domain, 7 * ones)
    assert again.p_value == pytest.approx(rao_scott(~d.came, d.region, d.domain).p_value)
    with pytest.raises(ValueError, match="above 0"):
        Frame(d.came, d.region[:, None], d.domain, 0 * ones)


def test_few_domains_are_treated_with_caution() -> None:
    covered = 0
    for seed in range(500):
        d = draw(seed, n_domains=40)
        e = reweighted_share(d.hit, d.base, fit_response(d.frame), d.frame, Sample(d.domain))
        covered += covers(e.low, e.high, TRUTH)
    assert 461 <= covered <= 495, covered


def test_weights_give_back_the_margins_of_every_grouping() -> None:
    d = draw(1)
    by = np.stack([d.region, d.domain % 3, d.domain % 7], axis=1)
    fitted = fit_response(Frame(d.came, by, d.domain))
    for column in by.T:
        whole = np.bincount(column)
        assert np.bincount(column, fitted.weight) == pytest.approx(whole, rel=1e-4)
    assert fitted.imbalance < 1e-4
    assert (fitted.weight[d.came] >= 1).all()
    assert (fitted.weight[~d.came] == 0).all()
    assert fitted.n_trimmed == 0
    assert 0.5 * d.came.sum() < fitted.effective < d.came.sum()


def test_one_grouping_gives_post_stratification() -> None:
    d = draw(2)
    fitted = fit_response(d.frame)
    rate = np.bincount(d.region, d.came) / np.bincount(d.region)
    assert fitted.weight[d.came] == pytest.approx(1 / rate[d.region[d.came]], rel=1e-4)
    e = reweighted_share(d.hit, d.base, fitted, d.frame, Sample(d.domain))
    hits, base = (np.bincount(d.region, v & d.came) / rate for v in (d.hit, d.base))
    assert e.value == pytest.approx(hits.sum() / base.sum(), rel=1e-4)


def test_without_levels_or_loss_it_is_the_share_of_those_that_came() -> None:
    d = draw(3)
    bare = Frame(d.came, np.zeros((len(d.came), 0), np.int64), d.domain)
    e = reweighted_share(d.hit, d.base, fit_response(bare), bare, Sample(d.domain))
    assert e.value == pytest.approx((d.hit & d.came).sum() / (d.base & d.came).sum())
    everyone = Frame(np.ones(len(d.came), bool), d.region[:, None], d.domain)
    e = reweighted_share(d.hit, d.base, fit_response(everyone), everyone, Sample(d.domain))
    plain = share(d.hit, d.base, Sample(d.domain))
    assert (e.value, e.low, e.high) == pytest.approx(
        (plain.value, plain.low, plain.high), abs=0.003
    )


def test_heavy_weights_are_cut_and_said() -> None:
    rows = np.arange(40_000)
    level = (rows % 40 == 0).astype(np.int64)
    came = (level == 0) | (rows % 1600 == 0)  # one in forty of the rare level came
    frame = Frame(came, level[:, None], rows)
    fitted = fit_response(frame)
    assert fitted.n_trimmed == 25
    assert fitted.weight.max() == pytest.approx(20.0, rel=0.01)
    assert fitted.imbalance == pytest.approx(0.0125, rel=0.01)
    e = reweighted_share(level == 1, came | ~came, fitted, frame, Sample(rows))
    assert any("25 heavy weights were cut" in a for a in e.assumptions)


def test_levels_that_hardly_came_are_taken_together() -> None:
    rows = np.arange(2000)
    level = np.where(rows < 12, rows, 99)
    came = rows % 3 > 0
    fitted = fit_response(Frame(came, level[:, None], rows))
    assert fitted.n_together == 12
    assert len(fitted.effects) == 2  # eight of the twelve came: together they have an effect
    assert fit_response(Frame(came & (rows >= 8), level[:, None], rows)).effects.shape == (1,)


def test_hardly_a_picture_is_an_error() -> None:
    came = np.arange(100) < 3
    with pytest.raises(NotEnoughData, match="3 of 100 pictures came"):
        fit_response(Frame(came, np.zeros((100, 0), np.int64), np.arange(100)))


def test_the_check_on_held_out_domains_sees_a_good_and_an_overfitted_model() -> None:
    d = draw(4, dead=0.0, n_domains=1500)
    good = check_fit(d.frame)
    assert good.brier.value is not None
    assert good.brier.value < good.brier_of_rate
    assert covers(good.slope.low, good.slope.high, 1.0)
    assert covers(good.intercept.low, good.intercept.high, 0.0)
    assert good.auc.low is not None
    assert good.auc.low > 0.6
    assert good.calibration_error < 0.02
    assert sum(r.came.n for r in good.reliability) == len(d.came)
    # a level that is nearly the domain itself says nothing of other domains
    noise = np.random.default_rng(0).integers(0, 200, len(d.came))
    bad = check_fit(Frame(d.came, noise[:, None], d.domain))
    assert bad.slope.high is not None
    assert bad.slope.high < 0.6
    assert bad.auc.low is not None
    assert bad.auc.low < 0.53


def test_held_out_intervals_cover() -> None:
    """Of the intercept, whose truth is known: 0 in the mean over folds."""
    covered = 0
    for seed in range(300):
        found = check_fit(draw(seed, n_domains=200).frame, folds=2).slope
        covered += covers(found.low, found.high, 1.0)
    # the models of half the domains are themselves off, which the interval does not know
    assert 225 <= covered <= 295, covered


def test_too_few_clusters_cannot_be_held_out() -> None:
    came = np.arange(100) % 2 == 0
    with pytest.raises(NotEnoughData, match="5 clusters"):
        check_fit(Frame(came, np.zeros((100, 1), np.int64), np.arange(100) % 5))


def unrelated(seed: int) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Loss by domain, levels mostly by domain, and nothing between them."""
    rng = np.random.default_rng(seed)
    domain = np.repeat(np.arange(200), rng.integers(1, 20, 200))
    level = rng.choice(4, 200, p=REGIONS)[domain]
    level = np.where(rng.random(len(domain)) < 0.3, rng.integers(0, 4, len(domain)), level)
    return rng.random(len(domain)) < rng.beta(0.7, 2.3, 200)[domain], level, domain


def test_the_test_of_dependence_keeps_its_level_and_the_plain_one_does_not() -> None:
    rejected = naive = 0
    for seed in range(TRIALS):
        lost, level, domain = unrelated(seed)
        p = rao_scott(lost, level, domain).p_value
        assert p is not None
        rejected += p < 0.05
        table = np.zeros((4, 2))
        np.add.at(table, (level, lost.astype(int)), 1)
        naive += chi2_contingency(table)[1] < 0.05
    assert TRIALS - HIGH <= rejected <= TRIALS - LOW, rejected
    assert naive > 500, naive


def test_the_test_of_dependence_keeps_its_level_where_few_domains_hold_most_rows() -> None:
    """Sizes by Pareto: a few domains hold most rows of some levels, which then are joined."""
    rejected = given = naive = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        size = np.minimum(np.ceil(4 * rng.pareto(1.2, 300) + 1).astype(int), 20_000)
        domain = np.repeat(np.arange(300), size)
        level = rng.integers(0, 3, 300)[domain]
        level = np.where(rng.random(len(domain)) < 0.3, rng.integers(0, 3, len(domain)), level)
        lost = rng.random(len(domain)) < rng.beta(0.7, 2.3, 300)[domain]
        p = rao_scott(lost, level, domain).p_value
        given += p is not None
        rejected += p is not None and p < 0.05
        table = np.zeros((3, 2))
        np.add.at(table, (level, lost.astype(int)), 1)
        naive += chi2_contingency(table)[1] < 0.05
    assert 300 <= given <= 450, given
    # 5 %, plus or minus 2.8 standard errors
    assert 0.018 * given <= rejected <= 0.082 * given, (rejected, given)
    assert naive > 350, naive


def test_a_level_of_few_domains_joins_another() -> None:
    rows = np.arange(3000)
    domain = np.where(rows < 1000, rows // 200, rows // 10)  # five domains in the first level
    found = rao_scott(rows % 3 == 0, rows // 1000, domain)
    assert found.n_together == 2
    assert found.p_value is not None
    only = rao_scott(rows % 3 == 0, (rows >= 1000).astype(np.int64), domain)
    assert only.p_value is None
    assert "enough rows in enough clusters" in only.why_not


def test_of_rows_that_are_independent_it_is_pearsons() -> None:
    rng = np.random.default_rng(5)
    level = rng.integers(0, 3, 3000)
    lost = rng.random(3000) < 0.2
    found = rao_scott(lost, level, np.arange(3000))
    table = np.zeros((3, 2))
    np.add.at(table, (level, lost.astype(int)), 1)
    plain = chi2_contingency(table)
    assert found.chi_square == pytest.approx(plain[0])
    assert found.p_value == pytest.approx(plain[1], abs=0.01)
    assert found.design_effect == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("lost", "level", "cluster", "why"),
    [
        (np.zeros(400, bool), np.arange(400) % 2, np.arange(400), "same outcome"),
        (np.arange(400) % 3 == 0, np.zeros(400, int), np.arange(400), "fewer than two levels"),
        (np.arange(400) % 3 == 0, np.arange(400) % 2, np.arange(400) % 4, "too few to tell"),
    ],
)
def test_where_there_is_no_test_it_says_why(lost, level, cluster, why: str) -> None:
    found = rao_scott(lost, level, cluster)
    assert found.p_value is None
    assert why in found.why_not
