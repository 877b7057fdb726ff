"""Whether a picture that is searched by is mostly one face: a zero-shot guess, not a detector.

There is no face recogniser here, and none is wanted. The encoder itself is asked: is the picture
clearly nearer to one of the prompts for a face than to those for scenes and things? What it gets
wrong is measured on the demo's drawings (docs/ethics.md); for another encoder it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["FACE_PROMPTS", "OTHER_PROMPTS", "face_margins"]

Floats = NDArray[np.float32]

FACE_PROMPTS = (
    "a close-up photo of a person's face",
    "a portrait of a person",
    "a portrait of a woman",
    "a portrait of a man",
    "a headshot of a person",
)
OTHER_PROMPTS = (
    "a photo of a person at work",
    "a photo of a worker in a uniform",
    "a photo of people in a street",
    "a group of people",
    "a photo of an animal",
    "a photo of food",
    "a photo of an object",
    "a landscape",
    "a building",
    "a photo of clothing",
    "a drawing of a thing",
    "text on a page",
    "a photo of a doctor",
    "a photo of a nurse",
    "a photo of a teacher",
    "a photo of a police officer",
    "a photo of a cook",
    "a photo of a farmer",
    "a photo of a student",
    "a photo of a singer on a stage",
    "a photo of an artist at work",
    "a photo of a firefighter",
    "a photo of a woman in a dress",
    "a photo of a scientist",
    "a photo of a pilot",
    "a photo of a mechanic",
)
#: How clearly a face prompt must win, as a share of its lead over the mean other prompt: encoders
#: differ in how far apart cosines lie. Chosen on the demo's drawings, for close-ups and few scenes.
_CLEARLY = 0.15


class Texts(Protocol):
    """What encodes prompts to unit-length vectors, (n, d)."""

    def texts(self, prompts: Sequence[str]) -> Floats:
        """Vectors of prompts."""


def face_margins(encoder: Texts, pictures: Floats) -> Floats:
    """By how much a face prompt wins, in cosine: above 0, a picture (n, d) is taken for a face.

    The nearest face prompt must beat the second nearest other prompt, by a share of its lead over
    their mean. Not the nearest: somebody at work is near to two of them, work and their own, while
    "a person at work" alone is near to any person.
    """
    face = (pictures @ encoder.texts(FACE_PROMPTS).T).max(axis=1)
    others = np.sort(pictures @ encoder.texts(OTHER_PROMPTS).T, axis=1)
    return np.asarray(face - others[:, -2] - _CLEARLY * (face - others.mean(axis=1)))
