"""A change is claimed on the side that the pictures show and that measured errors leave open."""

from __future__ import annotations

import numpy as np
import pytest

from laion_probe.attributes import load_attribute
from laion_probe.estimate import Sample, difference_nested
from laion_probe.questions.chain import Chain
from laion_probe.questions.finding import _decided, _recipe_claim, _unchanged
from laion_probe.questions.robustness_verdict import told
from laion_probe.results import Estimate, Shift


def estimate(value: float | None, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=100, units=10, method="made up")


def shift(read: Estimate, known: Estimate | None) -> Shift:
    return Shift(
        attribute="gender_presentation",
        contrast_level="woman",
        from_stage="neighbourhood",
        to_stage="generated",
        difference=read,
        ratio=estimate(1.0, 0.5, 2.0),
        paired=False,
        with_known_errors=known,
    )


@pytest.mark.parametrize(
    ("low", "high", "claimed"),
    [
        (0.02, 0.30, True),
        (-0.05, 0.30, False),
        # errors turn what was read round: neither side can be told
        (-0.30, -0.02, False),
    ],
)
def test_a_rise_is_claimed_only_where_errors_leave_a_rise(
    low: float, high: float, claimed: bool
) -> None:
    read, known = estimate(0.15, 0.03, 0.26), estimate(None, low, high)
    assert _decided(shift(read, known)) == (claimed, "with_known_errors")
    # and the same of a fall
    fall, turned = estimate(-0.15, -0.26, -0.03), estimate(None, -high, -low)
    assert _decided(shift(fall, turned)) == (claimed, "with_known_errors")


def test_without_measured_errors_the_reading_decides() -> None:
    assert _decided(shift(estimate(0.15, 0.03, 0.26), None)) == (True, "difference")
    assert _decided(shift(estimate(0.15, -0.03, 0.26), estimate(None, 0.1, 0.2))) == (
        False,
        "difference",
    )


ALL = np.ones(8, bool)
#: A full count of two rows in four that are hits, before and after half of the rows were removed.
SAME = difference_nested(
    np.arange(8) % 2 == 0, ALL, np.arange(8) < 4, Sample(np.arange(8), sampled=1.0)
)


@pytest.mark.parametrize(
    ("known", "raters", "by", "unchanged"),
    [
        (None, None, "difference", True),
        # errors, or raters, may still know of a change that the labels do not show
        ((-0.02, 0.03), None, "with_known_errors", False),
        ((-0.03, -0.02), None, "with_known_errors", False),
        ((None, None), None, "with_known_errors", False),
        ((0.0, 0.0), None, "with_known_errors", True),
        (None, (-0.04, 0.02), "corrected", False),
        (None, (0.01, 0.04), "corrected", False),
        (None, (0.0, 0.0), "corrected", True),
    ],
)
def test_labels_that_count_no_change_leave_the_answer_to_what_knows_their_errors(
    known: tuple[float | None, float | None] | None,
    raters: tuple[float, float] | None,
    by: str,
    unchanged: bool,
) -> None:
    assert SAME.value == 0
    found = shift(
        SAME,
        None
        if known is None
        else Estimate(value=None, low=known[0], high=known[1], n=8, units=8, method="made up"),
    )
    if raters is not None:
        found = found.model_copy(update={"corrected": estimate(sum(raters) / 2, *raters)})
    supported, decides = _decided(found)
    assert decides == by
    assert _unchanged(found, by) is unchanged
    # by labels alone nothing is claimed in either direction
    assert supported is (raters == (0.01, 0.04))
    found = found.model_copy(update={"from_stage": "pool", "to_stage": "neighbourhood"})
    chain = Chain((), (found,), (), {}, {}, {})
    claim = _recipe_claim(load_attribute("gender_presentation"), chain)
    assert claim.supported is (unchanged or supported)
    answer = "no change" if unchanged else "higher" if supported else "cannot tell"
    assert told(claim, [found]).verdict == answer
    assert (claim.text == "the recipe does not change this") is unchanged


def test_of_a_sample_an_exact_zero_is_no_full_count() -> None:
    drawn = SAME.model_copy(update={"assumptions": ("units are exchangeable",)})
    assert not _unchanged(shift(drawn, None), "difference")
