"""The range that measured classifier errors allow: simulated from both sides."""

from __future__ import annotations

import numpy as np
import pytest

from laion_probe.estimate import Sample, share
from laion_probe.known_error import adjust, difference_range, for_concept, share_range
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
        one = adjust(label, LEVELS, PAIR, [table("far")], sample, trial)
        both = adjust(label, LEVELS, PAIR, [table("near"), table("far")], sample, trial)
        assert one is not None
        assert both is not None
        a, b = share_range(one), share_range(both)
        right += (a.low or 0) <= SHARE <= (a.high or 1)
        enclosed += (b.low or 0) <= SHARE <= (b.high or 1)
        plain = share(label == 0, label < 2, sample)
        as_read += (plain.low or 0) <= SHARE <= (plain.high or 1)
    assert BAND[0] <= right <= BAND[1]
    assert enclosed >= right
    assert as_read < BAND[0]


def test_a_range_has_no_middle_and_names_what_it_takes_for_granted() -> None:
    label = read(np.random.default_rng(1), "near", 300)
    adjusted = adjust(label, LEVELS, PAIR, [table("near")], Sample(np.arange(300)), 0)
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
    a, b = (adjust(x, LEVELS, PAIR, tables, sample, i) for i, x in enumerate(labels))
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
    assert for_concept(both, " Doctor ").by_group == {" Doctor ": near.confusion}
    assert for_concept(both, "welder").by_group == groups
    label, sample = read(np.random.default_rng(4), "near", 2000), Sample(np.arange(2000))
    ranges = []
    for concept in ("doctor", "welder"):
        a = adjust(label, LEVELS, PAIR, [for_concept(both, concept)], sample, 0)
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
    assert adjust(label, LEVELS, PAIR, [], Sample(np.arange(5)), 0) is None
    empty = Sample(np.zeros(0, np.int64))
    assert adjust(label[:0], LEVELS, PAIR, [table("near")], empty, 0) is None


def test_a_full_scan_leaves_only_the_uncertainty_of_the_errors() -> None:
    label = read(np.random.default_rng(3), "near", 300)
    widths = []
    for sampled in (0.0, 1.0):
        a = adjust(label, LEVELS, PAIR, [table("near")], Sample(np.arange(300), sampled), 0)
        assert a is not None
        e = share_range(a)
        widths.append((e.high or 0) - (e.low or 0))
    assert 0 < widths[1] < widths[0] / 2
