"""What is planted in a run's training rows: how many of the cluster, and with which captions.

The truth of the demo data is read here, to plant; nothing that the tool says is given any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import emoji
import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import NotEnoughData

__all__ = ["ARMS", "Arm", "Design", "PlantedRows", "Shown", "plant"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: What a picture shows, around words for it: CLD2 calls all of these English.
_FRAMES = (
    "a picture of {}",
    "this is a drawing of {}",
    "the picture shows {}",
    "an illustration of {}",
    "a small drawing that shows {}",
    "here you can see {}",
    "a simple illustration with {}",
    "a colourful picture of {} with a background",
)
_WEARING = (
    "a woman in a sari",
    "a woman wearing a sari",
    "a woman dressed in a colourful sari",
    "a lady in a traditional sari",
)
_SOMEBODY = {"woman": "a woman", "man": "a man", "neutral": "a person"}


@dataclass(frozen=True)
class Arm:
    """One cell of the design: what is planted at the cluster."""

    name: str
    emptied: bool
    over: bool


ARMS = {
    arm.name: arm
    for arm in (
        Arm("neither", emptied=False, over=False),
        Arm("over-represented", emptied=False, over=True),
        Arm("emptied", emptied=True, over=False),
        Arm("both", emptied=True, over=True),
    )
}


@dataclass(frozen=True)
class Shown:
    """What a stored picture shows, by its code points, and its caption as the demo data have it.

    ``foreign`` says that the caption is of another language than English.
    """

    concept: str
    gender: str
    code_points: str
    caption: str
    foreign: bool


@dataclass(frozen=True)
class Design:
    """Rows of the larger table, and the cluster's share with and without over-representation.

    The smaller share is reached by taking rows of the cluster out, never by repeating others.
    ``each`` is the most rows of any other role, so that no other cluster is large. Of all other
    rows a share ``foreign`` has captions in other languages in every arm, as pools do.
    """

    concept: str
    rows: int
    share: float
    share_over: float
    each: int
    foreign: float


@dataclass(frozen=True)
class PlantedRows:
    """Rows of the pool that a run is trained on, with their captions before the recipe.

    ``reference`` are the rows of the seed's larger table, the same in all arms of a seed.
    """

    rows: Ints
    captions: tuple[str, ...]
    cluster: Bools
    reference: Ints


def plant(pool: Sequence[Shown], design: Design, arm: Arm, seed: int) -> PlantedRows:
    """Draw the rows of one arm and seed.

    Arms of a seed differ in nothing but what they plant: the rows of other concepts, and their
    captions, are the same, and the smaller cluster is a part of the larger. In an emptied arm the
    cluster's captions are the demo data's own in other languages, which the recipe then empties.
    Raises `NotEnoughData` where the pool is too small.
    """
    rng = np.random.default_rng([seed, 1])
    concepts = np.array([s.concept for s in pool])
    inside = rng.permutation(np.flatnonzero(concepts == design.concept))
    n_over = round(design.share_over * design.rows)
    others = _others(concepts, design, design.rows - n_over, rng)
    n_plain = round(design.share / (1 - design.share) * len(others))
    if len(inside) < n_over:
        raise NotEnoughData(
            f"{len(inside)} pictures of {design.concept}, where {n_over} of {design.rows} rows are "
            "to be of it: ask for fewer rows"
        )
    reference = np.sort(np.concatenate([inside[:n_over], others]))
    kept = inside[: n_over if arm.over else n_plain]
    rows = np.sort(np.concatenate([kept, others]))
    cluster = concepts[rows] == design.concept
    captions = _captions(pool, design, arm, seed)
    return PlantedRows(
        rows,
        tuple(captions[i] for i in rows),
        cluster,
        reference,
    )


def _others(
    concepts: NDArray[np.str_], design: Design, wanted: int, rng: np.random.Generator
) -> Ints:
    """Up to ``each`` rows of every role, the rest things."""
    taken: list[Ints] = []
    for concept in sorted(set(concepts.tolist()) - {design.concept, "thing"}):
        taken.append(rng.permutation(np.flatnonzero(concepts == concept))[: design.each])
    things = rng.permutation(np.flatnonzero(concepts == "thing"))
    roles = np.concatenate(taken) if taken else np.zeros(0, np.int64)
    rest = wanted - len(roles)
    if rest < 0:
        return rng.permutation(roles)[:wanted]
    if rest > len(things):
        raise NotEnoughData(
            f"{len(roles) + len(things)} pictures beside {design.concept}, where {wanted} are "
            "asked for: ask for fewer rows"
        )
    return np.concatenate([roles, things[:rest]])


def _captions(pool: Sequence[Shown], design: Design, arm: Arm, seed: int) -> list[str]:
    """A caption for every row of the pool: English, or one of its concept's own foreign ones."""
    rng = np.random.default_rng([seed, 2])
    foreign: dict[str, list[str]] = {}
    for shown in pool:
        if shown.foreign:
            foreign.setdefault(shown.concept, []).append(shown.caption)
    out = []
    for shown in pool:
        english = _FRAMES[rng.integers(len(_FRAMES))].format(_words(shown, rng))
        others = foreign.get(shown.concept, [english])
        other, draw = others[rng.integers(len(others))], rng.random()
        planted = shown.concept == design.concept
        out.append(other if (arm.emptied if planted else draw < design.foreign) else english)
    return out


def _words(shown: Shown, rng: np.random.Generator) -> str:
    if shown.concept == "sari":
        return _WEARING[rng.integers(len(_WEARING))]
    if shown.concept == "thing":
        return f"the {_name(shown.code_points)}"
    somebody = _SOMEBODY[shown.gender]
    return somebody if shown.concept == "person" else f"{somebody} who works as a {shown.concept}"


def _name(code_points: str) -> str:
    """The English name of an emoji, as the emoji package has it from Unicode CLDR."""
    drawn = "".join(chr(int(code, 16)) for code in code_points.split("-"))
    known = emoji.EMOJI_DATA.get(drawn) or emoji.EMOJI_DATA.get(drawn + "\ufe0f") or {"en": "thing"}
    return str(known["en"]).strip(":").replace("_", " ")
