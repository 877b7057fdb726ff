"""The pictures that a report shows, and average images: picked by rule, never by hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageOps

from laion_probe.embed import decode
from laion_probe.pictures import PictureFile

__all__ = ["average_image", "seeded_sample", "thumbnail"]

_SIDE = 96
_AVERAGE_OF = 400


def thumbnail(file: PictureFile) -> str:
    """The picture, re-encoded small, as a ``data:`` URI; '' when it cannot be read.

    Re-encoded, so that no byte of a downloaded file gets into the report.
    """
    try:
        picture = decode(file.read())
    except ValueError:
        return ""
    picture.thumbnail((_SIDE, _SIDE))
    return _data_uri(picture)


def average_image(files: Sequence[PictureFile], seed: int) -> tuple[str, int]:
    """The pixel-wise mean of up to 400 pictures (a seeded sample above that), and how many."""
    chosen = [files[i] for i in seeded_sample(len(files), _AVERAGE_OF, seed)]
    total = np.zeros((_SIDE, _SIDE, 3))
    n = 0
    for file in chosen:
        try:
            picture = decode(file.read())
        except ValueError:
            continue
        total += np.asarray(ImageOps.fit(picture, (_SIDE, _SIDE)), dtype=np.float64)
        n += 1
    if n == 0:
        return "", 0
    return _data_uri(Image.fromarray((total / n).round().astype(np.uint8))), n


def seeded_sample(n: int, size: int, seed: int, among: Iterable[int] | None = None) -> list[int]:
    """Up to ``size`` of the numbers below ``n`` (or of ``among``), without replacement, sorted."""
    pool = np.arange(n) if among is None else np.array(sorted(among), dtype=np.int64)
    if len(pool) <= size:
        return [int(i) for i in pool]
    rng = np.random.default_rng(seed)
    return sorted(int(i) for i in rng.choice(pool, size=size, replace=False))


def _data_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=75, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
