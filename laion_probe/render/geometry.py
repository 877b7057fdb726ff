"""Where a mark stands on its axis: percentages for the report's inline SVG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Bar", "Histogram", "axis_end", "histogram", "percent"]

_ENDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)


def percent(value: float, end: float = 1.0) -> str:
    """The place of ``value`` on an axis from 0 to ``end``; what lies outside stays at the edge.

    Examples:
        >>> percent(0.362), percent(0.3, end=0.2)
        ('36.20%', '100.00%')
    """
    return f"{100 * min(max(value / end, 0.0), 1.0):.2f}%"


def axis_end(highs: Iterable[float | None]) -> float:
    """A round end for an axis from 0 that holds all of these shares."""
    largest = max((high for high in highs if high is not None), default=0.0)
    return next((end for end in _ENDS if largest <= end), 1.0)


@dataclass(frozen=True)
class Bar:
    """One bin: its edges as numbers, its place and heights as percentages of the plot."""

    left: float
    right: float
    n: int
    n_keyword: int
    x: str
    width: str
    all: tuple[str, str]  # top and height of the bar
    keyword: tuple[str, str]


@dataclass(frozen=True)
class Histogram:
    """The similarity histogram with its threshold on the same axis."""

    bars: tuple[Bar, ...]
    low: float
    high: float
    threshold: str | None
    most: int
    most_keyword: int


def histogram(
    bins: tuple[tuple[float, int, int], ...], threshold: float | None
) -> Histogram | None:
    """The histogram's geometry, each series on its own height; None without any picture."""
    if not any(n for _, n, _ in bins):
        return None
    edges = [left for left, _, _ in bins]
    # Left edges only are stored: the last bin is as wide as the one before it.
    width = edges[-1] - edges[-2] if len(edges) > 1 else 0.01
    edges.append(edges[-1] + width)
    low, high = edges[0], edges[-1]
    most = max(n for _, n, _ in bins)
    most_keyword = max(n for _, _, n in bins)
    span = high - low
    bars = tuple(
        Bar(
            left=left,
            right=right,
            n=n,
            n_keyword=n_keyword,
            x=percent(left - low, span),
            width=percent(right - left, span),
            all=_upright(n, most),
            keyword=_upright(n_keyword, max(most_keyword, 1)),
        )
        for (left, n, n_keyword), right in zip(bins, edges[1:], strict=True)
    )
    inside = threshold is not None and low <= threshold <= high
    place = percent(threshold - low, span) if threshold is not None and inside else None
    return Histogram(bars, low, high, place, most, most_keyword)


def _upright(n: int, most: int) -> tuple[str, str]:
    """Top and height of a bar that stands on the axis; SVG counts from above."""
    return percent(most - n, most), percent(n, most)
