"""What pictures look like together: their average, aligned by faces, and how colourful they are.

The average faces and the colourfulness of the Stable Bias project (Luccioni et al. 2023,
arXiv:2303.11408), for any set of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

__all__ = ["Average", "Box", "average_picture", "colourfulness", "largest_box"]

Floats = NDArray[np.float64]

#: x0, y0, x1, y1 as shares of width and height, as in DataComp's face_bboxes.
Box = tuple[float, float, float, float]

#: Where a face comes to lie, in shares of the side: its middle, and its height.
_MIDDLE = (0.5, 0.42)
_HEIGHT = 0.45
#: A face of a smaller share of the picture's height is a blur of a few pixels.
_SMALLEST = 0.04


@dataclass(frozen=True)
class Average:
    """The mean of ``n`` pictures, ``picture`` (side, side, 3), None of none.

    ``aligned`` says that each was moved and scaled so that its face lies at a standard place; then
    those without a face box, ``n_left_out``, are not in it.
    """

    picture: NDArray[np.uint8] | None
    n: int
    aligned: bool
    n_left_out: int


def average_picture(pictures: Iterable[tuple[Image.Image, Box | None]], side: int = 128) -> Average:
    """The pixel-wise mean of RGB pictures, each with the box of its face where it has one.

    Aligned by face where at least half of the pictures have a box that is usable, else plain: each
    cut to a square about its middle. A pixel is the mean of those pictures that reach it.

    >>> white = Image.new("RGB", (64, 64), "white")
    >>> average_picture([(white, None), (Image.new("RGB", (9, 30)), None)]).picture[0, 0].tolist()
    [128, 128, 128]
    """
    plain, faces = _Sum(side), _Sum(side)
    for picture, box in pictures:
        rgb = picture.convert("RGB")
        fitted = ImageOps.fit(rgb, (side, side))
        plain.add(np.asarray(fitted, np.float64), np.ones((side, side)))
        if box is not None and box[3] - box[1] >= _SMALLEST:
            faces.add(*_placed(rgb, box, side))
    if faces.n and 2 * faces.n >= plain.n:
        return Average(faces.mean(), faces.n, True, plain.n - faces.n)
    return Average(plain.mean(), plain.n, False, 0)


def colourfulness(picture: Image.Image) -> float:
    """Hasler and Süsstrunk's (2003) M3 of an sRGB picture: 0 is grey, 109 extremely colourful.

    With rg = R - G and yb = (R + G) / 2 - B over the pixels: the root of their summed variances,
    and 0.3 times the length of their means. They tie 15 to "slightly", 33 to "moderately", 45 to
    "averagely", 59 to "quite", 82 to "highly" (their table 2).

    >>> round(colourfulness(Image.new("RGB", (4, 4), (255, 0, 0))), 3)
    85.53
    """
    r, g, b = np.moveaxis(np.asarray(picture.convert("RGB"), np.float64), -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    return math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean())


def largest_box(boxes: object) -> Box | None:
    """The largest of the boxes that metadata hold; None where there is none that is usable.

    >>> largest_box([[0.1, 0.1, 0.2, 0.2], [0.3, 0.2, 0.7, 0.8], [5, 1, 2]])
    (0.3, 0.2, 0.7, 0.8)
    """
    found: list[Box] = []
    for box in boxes if isinstance(boxes, list | tuple) else ():
        try:
            x0, y0, x1, y1 = (float(x) for x in box)
        except (TypeError, ValueError):
            continue
        x0, y0, x1, y1 = max(0.0, x0), max(0.0, y0), min(1.0, x1), min(1.0, y1)
        if x0 < x1 and y0 < y1:
            found.append((x0, y0, x1, y1))
    return max(found, key=lambda b: (b[2] - b[0]) * (b[3] - b[1]), default=None)


class _Sum:
    """Pictures added up, with how many reach each pixel."""

    def __init__(self, side: int) -> None:
        self.total = np.zeros((side, side, 3))
        self.reach = np.zeros((side, side))
        self.n = 0

    def add(self, picture: Floats, reach: Floats) -> None:
        self.total += picture * reach[..., None]
        self.reach += reach
        self.n += 1

    def mean(self) -> NDArray[np.uint8] | None:
        if not self.n:
            return None
        shown = self.total / np.maximum(self.reach, 1)[..., None]
        shown[self.reach == 0] = 255
        return np.asarray((shown + 0.5).astype(np.uint8))


def _placed(picture: Image.Image, box: Box, side: int) -> tuple[Floats, Floats]:
    """The picture, moved and scaled so that the box is at its place, and the pixels it reaches."""
    width, height = picture.size
    x0, y0, x1, y1 = box
    scale = _HEIGHT * side / ((y1 - y0) * height)
    # Only what comes to lie in the square is resampled: a small face enlarges all the rest.
    left = (x0 + x1) / 2 * width - _MIDDLE[0] * side / scale
    top = (y0 + y1) / 2 * height - _MIDDLE[1] * side / scale
    inside = (
        max(0.0, left),
        max(0.0, top),
        min(float(width), left + side / scale),
        min(float(height), top + side / scale),
    )
    at = (round((inside[0] - left) * scale), round((inside[1] - top) * scale))
    size = (
        max(1, round((inside[2] - inside[0]) * scale)),
        max(1, round((inside[3] - inside[1]) * scale)),
    )
    canvas, reach = Image.new("RGB", (side, side)), Image.new("L", (side, side))
    canvas.paste(picture.resize(size, Image.Resampling.BILINEAR, box=inside), at)
    reach.paste(255, (at[0], at[1], at[0] + size[0], at[1] + size[1]))
    return np.asarray(canvas, np.float64), (np.asarray(reach) > 0).astype(np.float64)
