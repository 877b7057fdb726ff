"""Pictures as a few tokens: each patch by the nearest of a small learned codebook.

DALL·E mini wrote VQGAN tokens (Dayma et al. 2021, 16 384 codes, 16 by 16 a picture); here the
codes are the centres of k-means over patches (Lloyd 1982), which needs no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Codebook", "learn_codebook"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Tokens = NDArray[np.int64]

_SAMPLE = 60_000  # patches that codes are learned from
_ROUNDS = 15
_BLOCK = 8192


@dataclass(frozen=True)
class Codebook:
    """``codes`` (K, patch * patch * 3) are patches of RGB from 0 to 255, row by row."""

    codes: Floats
    patch: int

    def encode(self, pictures: Pixels) -> Tokens:
        """The tokens of square pictures (n, side, side, 3), row by row: (n, (side / patch) ** 2).

        ``side`` is a multiple of ``patch``.
        """
        return _nearest(_patches(pictures, self.patch), self.codes).reshape(len(pictures), -1)

    def decode(self, tokens: Tokens) -> Pixels:
        """Square pictures (n, side, side, 3) of tokens (n, t), t a square number."""
        across = round(tokens.shape[1] ** 0.5)
        grid = self.codes[tokens].reshape(-1, across, across, self.patch, self.patch, 3)
        side = across * self.patch
        pictures = grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side, side, 3)
        return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)


def learn_codebook(pictures: Pixels, n_codes: int, patch: int, seed: int) -> Codebook:
    """K-means over the patches of pictures (n, side, side, 3); labels are not looked at.

    A code that loses all its patches begins again at a random one. The same seed gives the same
    codes on the same machine.

    >>> grey = np.repeat(np.arange(0, 256, 8, dtype=np.uint8), 48).reshape(-1, 4, 4, 3)
    >>> book = learn_codebook(grey, 4, 4, seed=0)
    >>> book.encode(grey).shape, book.decode(book.encode(grey)).shape
    ((32, 1), (32, 4, 4, 3))
    """
    rng = np.random.default_rng(seed)
    patches = _patches(pictures, patch)
    if len(patches) > _SAMPLE:
        patches = patches[rng.choice(len(patches), _SAMPLE, replace=False)]
    codes = patches[rng.choice(len(patches), n_codes, replace=len(patches) < n_codes)]
    for _ in range(_ROUNDS):
        nearest = _nearest(patches, codes)
        sums = np.zeros_like(codes)
        np.add.at(sums, nearest, patches)
        sizes = np.bincount(nearest, minlength=n_codes)[:, None]
        anew = patches[rng.choice(len(patches), n_codes)]
        codes = np.where(sizes > 0, sums / np.maximum(sizes, 1), anew).astype(np.float32)
    return Codebook(codes, patch)


def _patches(pictures: Pixels, patch: int) -> Floats:
    """Every patch as a row of numbers, picture by picture."""
    n, side = pictures.shape[:2]
    across = side // patch
    grid = pictures.reshape(n, across, patch, across, patch, 3).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(-1, patch * patch * 3).astype(np.float32)


def _nearest(patches: Floats, codes: Floats) -> Tokens:
    size = (codes**2).sum(axis=1)
    found = [
        (size - 2 * patches[start : start + _BLOCK] @ codes.T).argmin(axis=1)
        for start in range(0, len(patches), _BLOCK)
    ]
    return np.concatenate(found)
