"""Exclusion of a group: oracles for formulas, coverage by simulation, wrong methods that fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import ndtr, stdtrit
from scipy.stats import beta, ttest_rel

from laion_probe.estimate import clopper_pearson, difference_independent, ratio_independent
from laion_probe.exclusion import (
    Design,
    Exclusion,
    odds_ratio,
    risk_difference,
    risk_ratio,
    share_of_units,
)
from laion_probe.results import Estimate

TRIALS = 2000
BAND = (1876, 1930)  # of 2000 at 95 %
MEASURES = (risk_difference, risk_ratio, odds_ratio)
ENDLESS = 10**12  # units of a data set of which a sample is nothing
FEW = "few units"


def exclusion(removed: object, n: object, removed_rest: object, n_rest: object) -> Exclusion:
    return Exclusion(*(np.array(x, np.int64) for x in (removed, n, removed_rest, n_rest)))


def random_units(rng: np.random.Generator, u: int, n: object, n_rest: object) -> Exclusion:
    """Units whose own rates scatter; ``n`` and ``n_rest`` are their rows, or one size for all."""
    sizes = np.broadcast_to(n, u).astype(np.int64), np.broadcast_to(n_rest, u).astype(np.int64)
    return Exclusion(
        rng.binomial(sizes[0], rng.beta(3, 7, u)),
        sizes[0],
        rng.binomial(sizes[1], rng.beta(2, 8, u)),
        sizes[1],
    )


def group_share(counts: Exclusion, design: Design) -> Estimate:
    return share_of_units(counts.removed, counts.n, design)


def half_width(e: Estimate, *, log: bool = False) -> float:
    assert e.low is not None
    assert e.high is not None
    return float(np.log(e.high / e.low) if log else e.high - e.low) / 2


# Values and what is undefined


def test_by_hand_and_a_full_count_has_no_interval() -> None:
    # 3 of 10 removed against 10 of 100
    counts, all_read = exclusion([2, 1], [4, 6], [5, 5], [50, 50]), Design(2)
    values = [f(counts, all_read).value for f in MEASURES]
    assert values == pytest.approx([0.2, 3.0, (3 / 7) / (10 / 90)], rel=1e-15)
    share = group_share(counts, all_read)
    assert share.value == 0.3
    for e in (share, *(f(counts, all_read) for f in MEASURES)):
        assert (e.low, e.high, e.assumptions) == (None, None, ())
        assert e.method == "full count: no sampling error"
        assert e.units == 2
    assert risk_ratio(counts, all_read).n == 110


@pytest.mark.parametrize("design", [Design(2), Design(50)])
def test_a_side_without_rows_has_no_value(design: Design) -> None:
    nobody = exclusion([0, 0], [0, 0], [5, 5], [50, 50])
    no_rest = exclusion([5, 5], [50, 50], [0, 0], [0, 0])
    for measure in MEASURES:
        e = measure(nobody, design)
        assert (e.value, e.low, e.high, e.method) == (None, None, None, "no rows of the group")
        assert measure(no_rest, design).method == "no rows of the rest"
    share = group_share(nobody, design)
    assert (share.value, share.low, share.high, share.n) == (None, None, None, 0)


@pytest.mark.parametrize("design", [Design(2), Design(50)])
def test_a_ratio_to_nothing_is_not_finite_and_says_so(design: Design) -> None:
    counts = exclusion([2, 1], [40, 60], [0, 0], [50, 50])
    for measure in (risk_ratio, odds_ratio):
        e = measure(counts, design)
        assert (e.value, e.low, e.high) == (None, None, None)
        assert "not finite" in e.method
    assert risk_difference(counts, design).value == pytest.approx(0.03)
    all_gone = exclusion([40, 60], [40, 60], [1, 3], [50, 50])
    assert odds_ratio(all_gone, design).value is None
    assert risk_ratio(all_gone, design).value == pytest.approx(25)


def test_none_removed_is_a_ratio_of_zero_with_an_upper_limit() -> None:
    rng = np.random.default_rng(1)
    some = random_units(rng, 40, 50, 50)
    none = replace(some, removed=np.zeros(40, np.int64))
    for measure in (risk_ratio, odds_ratio):
        e = measure(none, Design(200))
        assert (e.value, e.low) == (0.0, 0.0)
        assert e.high is not None
        assert 0.1 < e.high < 2
        assert FEW in e.method
    all_of_rest = replace(some, removed_rest=some.n_rest)
    e = odds_ratio(all_of_rest, Design(200))
    assert (e.value, e.low) == (0.0, 0.0)
    assert e.high is not None


def test_a_rest_that_may_be_zero_leaves_the_ratios_unbounded() -> None:
    one = np.zeros(40, np.int64)
    one[3] = 1
    counts = replace(random_units(np.random.default_rng(2), 40, 30, 30), removed_rest=one)
    for measure in (risk_ratio, odds_ratio):
        e = measure(counts, Design(200))
        assert e.value is not None
        assert e.low is not None
        assert 1 < e.low < e.value
        assert e.high is None
        assert e.method.endswith("unbounded above")
    assert risk_difference(counts, Design(200)).high is not None
    # none of the group removed, one row of the rest: the ratio may be anything
    e = risk_ratio(replace(counts, removed=np.zeros(40, np.int64)), Design(200))
    assert (e.value, e.low, e.high) == (0.0, 0.0, None)


def test_too_few_units_have_no_interval_and_say_so() -> None:
    one = exclusion([3], [10], [5], [50])
    in_one = exclusion([3, 0, 0], [10, 0, 0], [5, 6, 7], [50, 50, 50])
    for counts, why in ((one, "fewer than 2 units"), (in_one, "rows of the group")):
        for e in (
            *(f(counts, Design(100)) for f in MEASURES),
            group_share(counts, Design(100)),
        ):
            assert e.value is not None
            assert (e.low, e.high) == (None, None)
            assert why in e.method
            assert "no interval" in e.method


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="more rows removed"):
        risk_ratio(exclusion([3], [2], [1], [2]), Design(9))
    with pytest.raises(ValueError, match="one shape"):
        risk_ratio(exclusion([3, 1], [4], [1], [2]), Design(9))
    with pytest.raises(ValueError, match="3 units read of 2"):
        risk_ratio(exclusion([1] * 3, [2] * 3, [1] * 3, [2] * 3), Design(2))


# Formulas


def test_with_units_of_one_size_it_is_the_paired_t_interval() -> None:
    counts = random_units(np.random.default_rng(3), 50, 40, 90)
    e = risk_difference(counts, Design(ENDLESS))
    t = ttest_rel(counts.removed / 40, counts.removed_rest / 90).confidence_interval(0.95)
    assert (e.low, e.high) == pytest.approx((t.low, t.high), abs=1e-9)
    corrected = risk_difference(counts, Design(200))
    assert half_width(corrected) == pytest.approx(half_width(e) * np.sqrt(0.75), rel=1e-9)


def test_the_errors_equal_statsmodels_clustered_by_unit() -> None:
    u, n, n_rest = 60, 12, 28
    counts = random_units(np.random.default_rng(4), u, n, n_rest)
    y = np.concatenate(
        [np.arange(n) < k for k in counts.removed]
        + [np.arange(n_rest) < k for k in counts.removed_rest]
    ).astype(float)
    x = np.repeat([1.0, 0.0], [u * n, u * n_rest])
    unit = np.concatenate([np.repeat(np.arange(u), n), np.repeat(np.arange(u), n_rest)])
    design = sm.add_constant(x)
    models = (
        sm.OLS(y, design),
        sm.GLM(y, design, family=sm.families.Poisson()),
        sm.GLM(y, design, family=sm.families.Binomial()),
    )
    for measure, model in zip(MEASURES, models, strict=True):
        by_unit = {"groups": unit, "use_correction": False}
        fit = model.fit(cov_type="cluster", cov_kwds=by_unit)
        error = fit.bse[1] * np.sqrt(u / (u - 1))
        e = measure(counts, Design(ENDLESS))
        log = measure is not risk_difference
        assert e.value == pytest.approx(np.exp(fit.params[1]) if log else fit.params[1], rel=1e-6)
        assert half_width(e, log=log) == pytest.approx(stdtrit(u - 1, 0.975) * error, rel=1e-6)


def test_with_unequal_units_the_error_is_that_of_leaving_units_out() -> None:
    rng = np.random.default_rng(5)
    u = 80
    counts = random_units(rng, u, rng.integers(5, 60, u), rng.integers(50, 300, u))

    def difference(read: np.ndarray) -> float:
        k, n, k_rest, n_rest = (
            int(x[read].sum())
            for x in (counts.removed, counts.n, counts.removed_rest, counts.n_rest)
        )
        return k / n - k_rest / n_rest

    left_out = np.array([difference(np.arange(u) != i) for i in range(u)])
    full = difference(np.ones(u, bool))
    error = np.sqrt((u - 1) / u * ((left_out - full) ** 2).sum())
    e = risk_difference(counts, Design(ENDLESS))
    assert e.value == pytest.approx(full, abs=1e-15)
    quantile = half_width(e) / error
    assert stdtrit(u - 1, 0.975) < quantile < stdtrit(u / 2, 0.975)


def test_limits_of_few_are_combined_as_independent_ones_are() -> None:
    # 20 units: too few to be believed; group and rest move together, which must not narrow
    rate = np.linspace(0.1, 0.5, 20)
    n, n_rest = np.full(20, 50), np.full(20, 90)
    counts = Exclusion((rate * n).astype(int), n, (rate * n_rest / 2).astype(int), n_rest)
    design = Design(100)
    group = group_share(counts, design)
    rest = share_of_units(counts.removed_rest, counts.n_rest, design)
    for measure, combined in (
        (risk_difference, difference_independent(rest, group)),
        (risk_ratio, ratio_independent(rest, group)),
    ):
        e = measure(counts, design)
        assert FEW in e.method
        assert (e.low, e.high) == pytest.approx((combined.low, combined.high), rel=1e-12)
        # against each other, it must widen
        turned = measure(replace(counts, removed_rest=counts.removed_rest[::-1]), design)
        assert half_width(turned) > 1.2 * half_width(e)


@pytest.mark.parametrize("u", [12, 60])
def test_exchanging_group_and_rest_turns_the_interval_around(u: int) -> None:
    counts = random_units(np.random.default_rng(6), u, 50, 50)
    turned = Exclusion(counts.removed_rest, counts.n_rest, counts.removed, counts.n)
    a, b = risk_difference(counts, Design(100)), risk_difference(turned, Design(100))
    assert (a.low, a.high) == pytest.approx((-b.high, -b.low), rel=1e-12)
    for measure in (risk_ratio, odds_ratio):
        a, b = measure(counts, Design(100)), measure(turned, Design(100))
        assert (a.low, a.high) == pytest.approx((1 / b.high, 1 / b.low), rel=1e-12)


def test_no_removed_row_counts_units_and_not_rows() -> None:
    zeros, n = np.zeros(40, np.int64), np.full(40, 10_000)
    e = share_of_units(zeros, n, Design(200))
    assert (e.value, e.low) == (0.0, 0.0)
    assert e.high == pytest.approx(1 - 0.025 ** (1 / 40), rel=1e-9)


def test_units_removed_whole_count_as_units() -> None:
    whole = np.zeros(40, np.int64)
    whole[7] = 500
    e = share_of_units(whole, np.full(40, 500), Design(200))
    assert (e.low, e.high) == pytest.approx(clopper_pearson(1, 40), rel=1e-9)


def test_the_effective_number_of_rows_by_hand() -> None:
    removed, n, m = np.array([10, 30] * 8), np.full(16, 100), 16
    of_units = ((removed / 100 - 0.2) ** 2).sum() / (m - 1) / m  # variance of the mean of shares
    spread = removed.sum() ** 2 / (removed**2).sum()
    n_eff = 0.16 / of_units * (stdtrit(1599, 0.975) / stdtrit(spread - 1, 0.975)) ** 2
    e = share_of_units(removed, n, Design(20))
    assert (e.low, e.high) == pytest.approx(clopper_pearson(0.2 * n_eff, n_eff), rel=1e-9)


@pytest.mark.parametrize("removed", [[0, 3, 0, 1], [20, 9, 11, 1], [7, 20, 20, 20]])
def test_removed_and_kept_rows_are_treated_alike(removed: list[int]) -> None:
    k, n = np.array(removed), np.full(4, 20)
    a, b = share_of_units(k, n, Design(9)), share_of_units(n - k, n, Design(9))
    assert b.low is not None
    assert b.high is not None
    assert (a.low, a.high) == pytest.approx((1 - b.high, 1 - b.low), abs=1e-12)


def test_linearisation_begins_at_thirty_units() -> None:
    counts = random_units(np.random.default_rng(8), 30, 400, 400)
    fewer = Exclusion(counts.removed[1:], counts.n[1:], counts.removed_rest[1:], counts.n_rest[1:])
    for measure in (*MEASURES, group_share):
        assert "linearised by unit" in measure(counts, Design(90)).method
        assert FEW in measure(fewer, Design(90)).method


def test_a_difference_stays_within_one() -> None:
    e = risk_difference(exclusion([8, 9], [9, 9], [1, 0], [9, 9]), Design(9))
    assert e.high == 1.0
    assert e.low is not None
    assert -1 <= e.low < 0


# Coverage


def population(
    rng: np.random.Generator,
    rows: np.ndarray,
    group_share: float,
    rates: tuple[float, float],
    alike: float,
    together: float = 0.5,
) -> np.ndarray:
    """Counts (4, U) of a finite set: units' rates are beta, of that intra-class correlation.

    ``together`` is the share of what moves a unit's two rates that they have in common; with a
    minus they move against each other.
    """
    both, own, own_rest = rng.standard_normal((3, len(rows)))
    common, rest = np.sqrt(abs(together)), np.sqrt(1 - abs(together))
    z = common * both + rest * own, np.sign(together) * common * both + rest * own_rest
    k = 1 / alike - 1
    p, q = (beta.ppf(ndtr(zi), r * k, (1 - r) * k) for zi, r in zip(z, rates, strict=True))
    n = rng.binomial(rows, group_share)
    return np.array([rng.binomial(n, p), n, rng.binomial(rows - n, q), rows - n])


class Coverage:
    """How often samples of ``u`` units cover: each measure, the share, and wrong methods."""

    def __init__(self, everyone: np.ndarray, u: int, rng: np.random.Generator) -> None:
        n_units = everyone.shape[1]
        design = Design(n_units)
        whole = Exclusion(*everyone)
        self.estimates: dict[str, list[Estimate]] = {}
        self.truth: dict[str, float] = {}
        self.without_correction = self.plain_t = self.rows_independent = 0
        for f in (*MEASURES, group_share):
            value = f(whole, design).value
            assert value is not None
            self.truth[f.__name__], self.estimates[f.__name__] = value, []
        truth = self.truth["risk_difference"]
        for _ in range(TRIALS):
            counts = Exclusion(*everyone[:, rng.permutation(n_units)[:u]])
            for f in (*MEASURES, group_share):
                self.estimates[f.__name__].append(f(counts, design))
            endless = risk_difference(counts, Design(ENDLESS))
            self.without_correction += holds(endless, truth)
            self.wrong(counts, n_units, truth)

    def wrong(self, counts: Exclusion, n_units: int, truth: float) -> None:
        """Two-proportion z on rows; and plain linearisation with t, however few carry it."""
        n, n_rest, u = counts.n.sum(), counts.n_rest.sum(), len(counts.n)
        p, q = counts.removed.sum() / n, counts.removed_rest.sum() / n_rest
        miss = abs(p - q - truth)
        self.rows_independent += miss <= 1.96 * np.sqrt(p * (1 - p) / n + q * (1 - q) / n_rest)
        z = (counts.removed - p * counts.n) / n - (counts.removed_rest - q * counts.n_rest) / n_rest
        variance = (1 - u / n_units) * u / (u - 1) * (z @ z)
        self.plain_t += miss <= stdtrit(u - 1, 0.975) * np.sqrt(variance)

    def covered(self) -> dict[str, int]:
        return {
            name: sum(holds(e, self.truth[name]) for e in found)
            for name, found in self.estimates.items()
        }

    def few(self, name: str = "risk_difference") -> float:
        """The share of samples in which too few units carried it for linearisation."""
        return float(np.mean([FEW in e.method for e in self.estimates[name]]))

    def excess(self, name: str) -> float:
        """The median width over that of the middle 95 % of estimates, which no method can know."""
        found = self.estimates[name]
        width = np.median([np.inf if e.high is None else 2 * half_width(e) for e in found])
        low, high = np.quantile([e.value for e in found], (0.025, 0.975))
        return float(width / (high - low))


def holds(e: Estimate, truth: float) -> bool:
    """An unbounded interval ends nowhere; no interval covers nothing."""
    return e.low is not None and e.low <= truth and (e.high is None or truth <= e.high)


@pytest.mark.parametrize("u", [40, 60])
def test_units_of_one_size_are_covered_and_wrong_methods_are_not(u: int) -> None:
    rng = np.random.default_rng(u)
    c = Coverage(population(rng, np.full(200, 500), 0.1, (0.3, 0.2), 0.05), u, rng)
    assert c.few() == 0
    for name, covered in c.covered().items():
        assert BAND[0] <= covered <= BAND[1], name
    assert c.rows_independent < BAND[0]
    if u == 60:  # of 200: a part that is large enough to be noticed
        assert c.without_correction > BAND[1]


@pytest.mark.parametrize("together", [0.5, -0.8])
def test_unequal_units_are_covered(together: float) -> None:
    rng = np.random.default_rng(7)
    rows = rng.lognormal(6, 0.6, 200).astype(int) + 20
    c = Coverage(population(rng, rows, 0.1, (0.3, 0.2), 0.05, together), 60, rng)
    assert c.few() < 0.05
    for name, covered in c.covered().items():
        assert BAND[0] <= covered <= BAND[1], name
    assert c.rows_independent < BAND[0]


def scattered(rng: np.random.Generator, present: float, rates: tuple[float, float]) -> np.ndarray:
    """Unequal units, of which only that share has rows of the group."""
    rows = rng.lognormal(6, 0.6, 200).astype(int) + 20
    everyone = population(rng, rows, 0.1, rates, 0.1)
    everyone[:2, rng.random(200) > present] = 0
    return everyone


@pytest.mark.parametrize(
    ("present", "rates", "u", "most"),
    [(0.15, (0.3, 0.2), 60, 2.5), (1.0, (0.02, 0.03), 40, 3.0), (1.0, (0.3, 0.2), 10, 2.5)],
    ids=["a group in few units", "few removed rows, in clusters", "few units read"],
)
def test_where_few_units_carry_it_the_interval_is_wide_but_covers(
    present: float, rates: tuple[float, float], u: int, most: float
) -> None:
    """Conservative: nothing above the band is a failure, but width is.

    ``most`` is how many times wider than the estimates scatter it may be in the median.
    """
    rng = np.random.default_rng(u)
    c = Coverage(scattered(rng, present, rates), u, rng)
    assert c.few() > 0.9
    for name, covered in c.covered().items():
        assert covered >= BAND[0], name
        assert c.excess(name) < most, name
    assert c.rows_independent < BAND[0]
    assert c.plain_t < BAND[0]
