"""The demo's stored pictures as the model sees them: small, and in tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageOps

from laion_probe.embed import Embedder, decode
from laion_probe.pictures import list_downloads
from laion_probe.testbed.codebook import Codebook, learn_codebook
from laion_probe.testbed.planting import Shown

__all__ = ["Stored", "embed_drawn", "embed_originals", "read_stored"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_AT_ONCE = 256
_HELD_OUT = 5
#: Pixels that a cut may be shifted by, and where cuts begin.
_MARGIN = 2
_MIDDLE = (1, 1)
_CORNERS = ((0, 0), (2, 1), (1, 2))


@dataclass(frozen=True)
class Stored:
    """n pictures: where each lies, what it shows, and its tokens.

    ``tokens`` (n, 8, t) are of eight cuts of each picture: the first is the plain one, others are
    shifted or mirrored, for training alone. ``held_out`` (n,) marks a fifth, at random, that the
    encoder is not fitted to: on these the reading is tested.
    """

    urls: tuple[str, ...]
    shown: tuple[Shown, ...]
    tokens: NDArray[np.int64]
    book: Codebook
    held_out: NDArray[np.bool_]
    fingerprint: str


def read_stored(demo: Path, sizes: tuple[int, int, int]) -> Stored:
    """Read every stored picture once; ``sizes`` are side, patch and codes.

    Left out are rows whose address came before (their pictures are copies, which would be
    near-duplicates) and near misses of a concept. Pictures are cut to squares about their middle.
    In training each is cut in one of eight ways: a model that knows its pictures by heart draws
    what goes with a background, and no longer what goes with an empty caption.
    """
    side, patch, codes = sizes
    truth = pl.read_parquet(demo / "truth.parquet").filter(pl.col("kind") == "pool")
    by_url = {row["url"]: row for row in truth.iter_rows(named=True)}
    urls, shown, pictures = [], [], []
    for part in list_downloads(str(demo / "images")).parts:
        for file in part.files:
            row = by_url.pop(file.url, None)
            if row is None or row["near_miss"]:
                continue
            foreign = row["language"] not in ("en", "none", None) and bool(file.caption.strip())
            known = (row["concept"], row["gender"], row["code_points"])
            shown.append(Shown(*known, file.caption, foreign))
            urls.append(file.url)
            whole = (side + _MARGIN, side + _MARGIN)
            square = ImageOps.fit(decode(file.read()), whole, Image.Resampling.BOX)
            pictures.append(np.asarray(square.convert("RGB")))
    pixels = np.stack(pictures)
    book = learn_codebook(_cut(pixels, side, _MIDDLE), codes, patch, seed=0)
    tokens = np.stack([book.encode(cut) for cut in _cuts(pixels, side)], axis=1)
    held_out = np.zeros(len(pixels), bool)
    held_out[np.random.default_rng(0).permutation(len(pixels))[: len(pixels) // _HELD_OUT]] = True
    digest = hashlib.sha256(pixels.tobytes() + "\n".join(urls).encode()).hexdigest()
    return Stored(tuple(urls), tuple(shown), tokens, book, held_out, digest)


def _cuts(pixels: Pixels, side: int) -> list[Pixels]:
    """The plain cut, three that are shifted, and the mirror images of the four."""
    plain = [_cut(pixels, side, at) for at in (_MIDDLE, *_CORNERS)]
    return [*plain, *(cut[:, :, ::-1] for cut in plain)]


def _cut(pixels: Pixels, side: int, at: tuple[int, int]) -> Pixels:
    return pixels[:, at[0] : at[0] + side, at[1] : at[1] + side]


def embed_drawn(pixels: Pixels, embedder: Embedder) -> Floats:
    """Unit vectors (n, d) of pictures (n, side, side, 3)."""
    return _embedded([Image.fromarray(p) for p in pixels], embedder)


def embed_originals(demo: Path, stored: Stored, embedder: Embedder) -> Floats:
    """Unit vectors (n, d) of the stored pictures as they are."""
    files = {f.url: f for part in list_downloads(str(demo / "images")).parts for f in part.files}
    return _embedded([decode(files[url].read()) for url in stored.urls], embedder)


def _embedded(pictures: Sequence[Image.Image], embedder: Embedder) -> Floats:
    found = [
        embedder.images(pictures[start : start + _AT_ONCE])
        for start in range(0, len(pictures), _AT_ONCE)
    ]
    return np.concatenate(found) if found else np.zeros((0, embedder.dim), np.float32)
