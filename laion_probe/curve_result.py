"""Composition as a function of the threshold, as results hold it."""

from __future__ import annotations

from laion_probe.results import Estimate, Value

__all__ = ["CurveOf", "PointOf"]


class PointOf(Value):
    """The composition of the rows at or above a threshold.

    ``share`` is of the contrast level among both named levels, ``bounds`` its range if every
    unknown row were one or the other, ``band`` an interval that holds at all points at once.
    """

    threshold: float
    n_rows: int
    counts: dict[str, int]
    share: Estimate
    bounds: Estimate
    band: Estimate


class CurveOf(Value):
    """Composition as a function of the threshold, the tightest first.

    ``change`` is the share at ``tight`` minus that at ``loose``, which ``changes`` says in words.
    ``nearby`` says whether the threshold matters, ``around`` the share's range, over thresholds
    that ``around_rows`` reach: half as many rows as are near to twice as many, as far as they are
    known (both None without a threshold). ``note`` is on sampling.
    """

    points: tuple[PointOf, ...]
    tight: float
    loose: float
    change: Estimate
    changes: str
    nearby: str
    around: tuple[float, float] | None
    around_rows: tuple[int, int] | None
    note: str
