"""Average pictures and colourfulness, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from laion_probe.appearance import Box, average_picture, colourfulness, largest_box

SIDE = 100


def _face(size: tuple[int, int], box: Box) -> Image.Image:
    """Grey, with a red "face" that fills the box."""
    picture = Image.new("RGB", size, (128, 128, 128))
    x0, y0, x1, y1 = (round(v * size[i % 2]) for i, v in enumerate(box))
    ImageDraw.Draw(picture).rectangle((x0, y0, x1 - 1, y1 - 1), fill=(255, 0, 0))
    return picture


def test_colourfulness_is_the_published_formula() -> None:
    assert colourfulness(Image.new("RGB", (5, 5), (90, 90, 90))) == 0
    # red: rg = 255, yb = 127.5, and nothing varies
    assert colourfulness(Image.new("RGB", (5, 5), (255, 0, 0))) == pytest.approx(
        0.3 * math.hypot(255, 127.5)
    )
    half = Image.new("RGB", (2, 1), (255, 0, 0))
    half.putpixel((1, 0), (0, 0, 255))
    # rg = 255, 0: mean and deviation 127.5; yb = 127.5, -255: mean -63.75, deviation 191.25
    expected = math.hypot(127.5, 191.25) + 0.3 * math.hypot(127.5, 63.75)
    assert colourfulness(half) == pytest.approx(expected)


def test_faces_of_any_place_and_size_come_to_lie_on_each_other() -> None:
    boxes: list[Box] = [(0.1, 0.1, 0.3, 0.3), (0.5, 0.4, 0.9, 0.8), (0.3, 0.5, 0.5, 0.7)]
    sizes = [(200, 200), (120, 120), (400, 400)]
    pictures = [(_face(size, box), box) for size, box in zip(sizes, boxes, strict=True)]
    average = average_picture([*pictures, (Image.new("RGB", (50, 50)), None)], SIDE)
    assert (average.n, average.aligned, average.n_left_out) == (3, True, 1)
    assert average.picture is not None
    red = (average.picture == (255, 0, 0)).all(axis=-1)
    rows, columns = np.nonzero(red)
    assert 40 <= rows.max() - rows.min() + 1 <= 46
    assert 40 <= columns.max() - columns.min() + 1 <= 46
    assert (rows.min() + rows.max()) / 2 == pytest.approx(42, abs=1.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(49.5, abs=1.5)
    plain = average_picture([(picture, None) for picture, _ in pictures], SIDE)
    assert plain.picture is not None
    assert not (plain.picture == (255, 0, 0)).all(axis=-1).any()


def test_a_pixel_is_the_mean_of_those_that_reach_it() -> None:
    # the face fills the picture, so that it reaches the middle only
    whole = (0.0, 0.0, 1.0, 1.0)
    average = average_picture([(_face((64, 64), whole), whole)], SIDE)
    assert average.picture is not None
    assert average.picture[42, 50].tolist() == [255, 0, 0]
    assert average.picture[95, 95].tolist() == [255, 255, 255]


def test_without_enough_faces_the_average_is_plain() -> None:
    dark, light = Image.new("RGB", (30, 60), "black"), Image.new("RGB", (60, 30), "white")
    tiny: Box = (0.5, 0.5, 0.51, 0.51)
    average = average_picture([(dark, None), (light, tiny), (light, (0.2, 0.2, 0.6, 0.6))], SIDE)
    assert (average.n, average.aligned, average.n_left_out) == (3, False, 0)
    assert average.picture is not None
    assert average.picture[3, 3].tolist() == [170, 170, 170]
    assert average_picture([]).picture is None


@pytest.mark.parametrize(
    "boxes",
    [None, "0.1 0.1 0.2 0.2", [], [[0.4, 0.1, 0.2, 0.3]], [["a", 0, 1, 1]], [3], [[0, 0, 1]]],
)
def test_boxes_that_say_nothing_are_no_boxes(boxes: object) -> None:
    assert largest_box(boxes) is None


def test_of_several_faces_the_largest_is_taken_and_kept_inside() -> None:
    assert largest_box([[0.1, 0.1, 0.2, 0.2], [-0.1, 0.5, 0.6, 1.2]]) == (0.0, 0.5, 0.6, 1.0)
