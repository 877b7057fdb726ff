"""Captions as numbers: one a word, of the words that the training captions have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Vocabulary", "learn_vocabulary"]

Tokens = NDArray[np.int64]

#: The numbers of no word, and of a word that is not known.
NOTHING, UNKNOWN = 0, 1
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Vocabulary:
    """The number of each word; a caption has ``places`` places, and loses what is beyond them."""

    numbers: dict[str, int]
    places: int

    @property
    def size(self) -> int:
        """Numbers in use, those of no word and of unknown ones included."""
        return len(self.numbers) + 2

    def encode(self, captions: Sequence[str]) -> Tokens:
        """Numbers (n, places), filled up with zeros: the empty caption is zeros alone.

        >>> learn_vocabulary(["a red sari", "a sari"], places=4).encode(["a blue sari", ""])
        array([[2, 1, 3, 0],
               [0, 0, 0, 0]])
        """
        out = np.full((len(captions), self.places), NOTHING, dtype=np.int64)
        for row, caption in zip(out, captions, strict=True):
            words = _words(caption)[: self.places]
            row[: len(words)] = [self.numbers.get(word, UNKNOWN) for word in words]
        return out


def learn_vocabulary(captions: Sequence[str], places: int) -> Vocabulary:
    """Words that come at least twice, the frequent first."""
    counts = Counter(word for caption in captions for word in _words(caption))
    kept = sorted((w for w, n in counts.items() if n > 1), key=lambda w: (-counts[w], w))
    return Vocabulary({word: i + 2 for i, word in enumerate(kept)}, places)


def _words(caption: str) -> list[str]:
    return _WORD.findall(caption.lower())
