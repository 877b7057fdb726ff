"""A change is claimed on the side that the pictures show and that measured errors leave open."""

from __future__ import annotations

import pytest

from laion_probe.questions.finding import _decided
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
