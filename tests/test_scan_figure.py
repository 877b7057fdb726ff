"""The figure of a scan's report: how the estimate tightened, drawn where its numbers say."""

from __future__ import annotations

import pytest

from laion_probe.render.scan_report import _curve, _row_ticks, _share_ticks
from laion_probe.scan_result import Look


def test_the_figure_draws_every_look_where_its_numbers_say() -> None:
    looks = (
        Look(units=1, rows=100, value=0.4, low=None, high=None),
        Look(units=10, rows=1000, value=0.3, low=0.2, high=0.4),
        Look(units=100, rows=10000, value=0.3, low=0.28, high=0.32),
    )
    curve = _curve(looks)
    assert curve is not None
    line = [tuple(map(float, p.split(","))) for p in curve.line.split()]
    band = [tuple(map(float, p.split(","))) for p in curve.band.split()]
    before = [tuple(map(float, p.split(","))) for p in curve.before.split()]
    assert [x for x, _ in line] == [50.0, 100.0]
    assert [x for x, _ in band] == [50.0, 100.0, 100.0, 50.0]
    assert [x for x, _ in before] == [0.0, 50.0]
    # the widest interval is within the reach of the narrowest: all is drawn, with some room
    top, bottom = 0.4 + 0.08 * 0.2, 0.2 - 0.08 * 0.2
    for (_, y), share in zip(band, (0.4, 0.32, 0.28, 0.2), strict=True):
        assert y == pytest.approx(100 * (top - share) / (top - bottom), abs=0.01)
    assert curve.last["x"] == "100.00%"
    assert float(curve.last["value"][:-1]) == pytest.approx(line[-1][1], abs=0.01)
    assert [t.label for t in curve.x_ticks] == ["100", "1,000", "10,000"]
    assert [(t.at, t.anchor) for t in curve.x_ticks][::2] == [
        ("0.00%", "start"),
        ("100.00%", "end"),
    ]


def test_the_figure_shows_the_end_even_where_it_began_with_everything() -> None:
    looks = tuple(
        Look(units=k, rows=k, value=0.3, low=max(0, 0.3 - 1 / k), high=min(1, 0.3 + 1 / k))
        for k in (1, 10, 100, 1000)
    )
    curve = _curve(looks)
    assert curve is not None
    assert curve.clipped
    low, high = (float(curve.last[end][:-1]) for end in ("low", "high"))
    assert low - high > 5  # percent of the height, SVG counting from above


@pytest.mark.parametrize(
    "looks",
    [
        (),
        (Look(units=1, rows=9, value=0.3, low=0.3, high=0.3),),
        tuple(Look(units=k, rows=9 * k, value=0.3, low=None, high=None) for k in (1, 2, 3)),
        tuple(Look(units=k, rows=0, value=None, low=0, high=1) for k in (1, 2, 3)),
        tuple(Look(units=k, rows=9, value=0.3, low=0, high=1) for k in (1, 2)),
    ],
)
def test_there_is_no_figure_of_nothing(looks: tuple[Look, ...]) -> None:
    assert _curve(looks) is None


@pytest.mark.parametrize(("value", "half"), [(0.0, 0.0), (1.0, 0.0), (0.0, 0.3), (1.0, 1e-6)])
def test_the_figure_stays_in_its_frame_at_the_ends(value: float, half: float) -> None:
    looks = tuple(
        Look(
            units=k, rows=450 * k, value=value, low=max(0, value - half), high=min(1, value + half)
        )
        for k in (1, 2, 3)
    )
    curve = _curve(looks)
    assert curve is not None
    assert all(0 <= float(p.split(",")[1]) <= 100 for p in curve.line.split())
    assert 2 <= len(curve.y_ticks) <= 8


def test_ticks_are_round_and_few() -> None:
    for first, last in ((450, 13500), (1, 10**9), (1000, 1001), (700, 900), (5, 40), (1, 10**4)):
        ticks = _row_ticks(first, last)
        assert 1 <= len(ticks) <= 5, (first, last)
        assert all(0 <= float(t.at[:-1]) <= 100 for t in ticks)
    assert [t.label.replace("\xa0", " ") for t in _row_ticks(10**5, 10**9)] == [
        "100,000",
        "1 million",
        "10 million",
        "100 million",
        "1 billion",
    ]
    for bottom, top in ((0.0, 1.0), (0.273, 0.292), (0.0, 0.001), (0.999, 1.0), (0.28, 0.2805)):
        labels = [t.label for t in _share_ticks(bottom, top)]
        assert 3 <= len(labels) <= 8, (bottom, top, labels)
        assert len(set(labels)) == len(labels)
        numbers = [float(label.replace("\xa0%", "")) for label in labels]
        assert all(100 * bottom - 1e-9 <= x <= 100 * top + 1e-9 for x in numbers)
