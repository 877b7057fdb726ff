"""The range that measured classifier errors allow: simulated from both sides."""

from __future__ import annotations

import numpy as np
import pytest

from laion_probe.estimate import Sample, difference_nested, share
from laion_probe.known_error import (
    Adjusted,
    Labels,
    difference_range,
    for_concept,
    paired_range,
    share_range,
)
from laion_probe.known_error import adjust as adjust_labels
from laion_probe.results import Estimate, KnownError

LEVELS = ("woman", "man", "neutral", "unknown")
TRUE = ("woman", "man", "neutral", "none")
PAIR = ("woman", "man")
MEASURED = {
    "near": [[880, 10, 20, 10], [10, 720, 40, 10], [15, 35, 240, 10], [0, 0, 0, 400]],
    "far": [[840, 20, 70, 40], [30, 500, 230, 40], [20, 60, 170, 20], [0, 0, 0, 360]],
}
TRUTH = np.array([0.32, 0.56, 0.10, 0.02])
SHARE = 0.32 / 0.88
TRIALS = 400
BAND = (366, 393)  # of 400 at 95 %: 380 plus or minus three standard errors


def table(domain: str) -> KnownError:
    rows = MEASURED[domain]
    nothing = Estimate(value=None, low=None, high=None, n=0, units=0, method="")
    return KnownError(
        attribute="gender_presentation",
        domain=domain,
        confusion={
            t: dict(zip(LEVELS, row, strict=True)) for t, row in zip(TRUE, rows, strict=True)
        },
        accuracy=nothing,
        note="",
    )


def adjust(label, tables, sample, seed, stage=None) -> Adjusted | None:
    if stage is None:
        stage = np.ones(len(label), dtype=bool)
    return adjust_labels(Labels(label, stage, LEVELS, PAIR, sample), tables, seed)


def read(rng: np.random.Generator, domain: str, n: int) -> np.ndarray:
    """Labels of n pictures of TRUTH's composition, with the errors of ``domain``."""
    p = np.array(MEASURED[domain], dtype=float)
    p /= p.sum(axis=1, keepdims=True)
    return np.array([rng.choice(4, p=p[t]) for t in rng.choice(4, n, p=TRUTH)])


@pytest.mark.slow
def test_the_right_domain_covers_the_truth_and_reading_labels_as_truth_does_not() -> None:
    rng = np.random.default_rng(0)
    right = enclosed = as_read = 0
    for trial in range(TRIALS):
        label, sample = read(rng, "far", 200), Sample(np.arange(200))
        one = adjust(label, [table("far")], sample, trial)
        both = adjust(label, [table("near"), table("far")], sample, trial)
        assert one is not None
        assert both is not None
        # the draws themselves: the range also encloses the interval as read
        low, high = np.quantile(one.draws[0], [0.025, 0.975])
        right += low <= SHARE <= high
        b = share_range(both)
        enclosed += (b.low or 0) <= SHARE <= (b.high or 1)
        plain = share(label == 0, label < 2, sample)
        as_read += (plain.low or 0) <= SHARE <= (plain.high or 1)
    assert BAND[0] <= right <= BAND[1]
    assert enclosed >= right
    assert as_read < BAND[0]


def test_a_range_has_no_middle_and_names_what_it_takes_for_granted() -> None:
    label = read(np.random.default_rng(1), "near", 300)
    adjusted = adjust(label, [table("near")], Sample(np.arange(300)), 0)
    assert adjusted is not None
    e = share_range(adjusted)
    assert e.value is None
    assert e.n == 300
    assert "errors depend on the true level alone" in e.assumptions[0]


def test_the_difference_takes_every_pair_of_domains() -> None:
    rng = np.random.default_rng(2)
    labels = [read(rng, d, 400) for d in ("near", "far")]
    tables = [table("near"), table("far")]
    sample = Sample(np.arange(400))
    a, b = (adjust(x, tables, sample, i) for i, x in enumerate(labels))
    assert a is not None
    assert b is not None
    e = difference_range(a, b)
    assert e.low is not None
    assert e.high is not None
    assert e.low < 0 < e.high  # the same composition, read with different errors
    spread = [b.point[j] - a.point[i] for i in range(2) for j in range(2)]
    assert e.low < min(spread) < max(spread) < e.high


def test_a_measured_concept_takes_its_own_errors_and_another_takes_anyones() -> None:
    near, far = table("near"), table("far")
    groups = {"doctor": near.confusion, "guard": far.confusion}
    both = far.model_copy(update={"by_group": groups})
    assert for_concept(both, ("doctor",)).by_group == {"doctor": near.confusion}
    assert for_concept(both, ("woman", "doctor")).by_group == {"doctor": near.confusion}
    assert for_concept(both, ("welder",)).by_group == groups
    label, sample = read(np.random.default_rng(4), "near", 2000), Sample(np.arange(2000))
    ranges = []
    for concept in (("doctor",), ("welder",)):
        a = adjust(label, [for_concept(both, concept)], sample, 0)
        assert a is not None
        ranges.append(share_range(a))
    own, anyones = ranges
    assert own.low is not None
    assert own.high is not None
    assert anyones.low is not None
    assert anyones.high is not None
    assert own.low < SHARE < own.high
    assert anyones.low <= own.low + 0.02
    assert anyones.high - anyones.low > 1.2 * (own.high - own.low)


def test_without_tables_or_pictures_there_is_no_range() -> None:
    label = np.zeros(5, dtype=np.int64)
    assert adjust(label, [], Sample(np.arange(5)), 0) is None
    empty = Sample(np.zeros(0, np.int64))
    assert adjust(label[:0], [table("near")], empty, 0) is None


def test_a_full_scan_leaves_only_the_uncertainty_of_the_errors() -> None:
    label = read(np.random.default_rng(3), "near", 300)
    widths = []
    for sampled in (0.0, 1.0):
        a = adjust(label, [table("near")], Sample(np.arange(300), sampled), 0)
        assert a is not None
        e = share_range(a)
        widths.append((e.high or 0) - (e.low or 0))
    assert 0 < widths[1] < widths[0]


def test_a_step_that_drops_only_neutral_pictures_changes_nothing_that_may_be_claimed() -> None:
    rng = np.random.default_rng(5)
    p = np.array(MEASURED["far"], dtype=float)
    p /= p.sum(axis=1, keepdims=True)
    true = np.repeat([0, 1, 2], 1500)
    label = np.array([rng.choice(4, p=p[t]) for t in true])
    sample, everything, kept = Sample(np.arange(4500)), np.ones(4500, bool), true != 2
    read_as = [label == 0, (label < 2)]
    as_read = difference_nested(read_as[0], read_as[1], read_as[1] & kept, sample)
    assert as_read.low is not None
    assert as_read.low > 0  # reading labels as truth would claim a change
    a = adjust(label, [table("far")], sample, 0, everything)
    b = adjust(label, [table("far")], sample, 0, kept)
    assert a is not None
    assert b is not None
    e = paired_range(a, b, as_read)
    assert e.low is not None
    assert e.low < 0


@pytest.mark.parametrize("units", [1, 4, 40])
@pytest.mark.parametrize("hits", [0, 20, 40])
def test_the_range_is_never_narrower_than_the_interval_as_read(units: int, hits: int) -> None:
    perfect = table("near").model_copy(
        update={"confusion": {t: {r: 10_000 * (t == r) for r in LEVELS} for t in LEVELS}}
    )
    label = (np.arange(40) >= hits).astype(np.int64)
    sample = Sample(np.arange(40) % units)
    a = adjust(label, [perfect], sample, 0)
    assert a is not None
    e, plain = share_range(a), share(label == 0, label < 2, sample)
    assert e.low is not None
    assert e.high is not None
    assert plain.low is not None
    assert plain.high is not None
    assert e.low <= plain.low + 1e-12
    assert e.high >= plain.high - 1e-12
