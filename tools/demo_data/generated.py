"""Generated pictures, by a simulator and not by a model: it amplifies known shares.

For each prompt the simulator takes the pool's composition of that concept, multiplies
its log odds (woman against man, darker against lighter) by `AMPLIFICATION`, and draws
people in the rendering that the encoder never saw. Pictures come in batches of four
that share a leaning, as seeds of one batch do, which plants a small correlation.
"""

from __future__ import annotations

import io
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tools.demo_data import facts
from tools.demo_data.codes import (
    PLAIN_VARIANTS,
    ROLE_PROPS,
    ROLES,
    SARI_VARIANTS,
    THING_KIND,
    TONES,
    Person,
)
from tools.demo_data.monk import binary
from tools.demo_data.pool import Row
from tools.demo_data.scenes import Scene, draw, person_scene, thing_scene
from tools.demo_data.sprites import HELD_OUT, Sprites

GENERATOR = "laion-probe demo simulator (not a real model)"
AMPLIFICATION = 2.0
UNCHANGED = ("teacher",)
BATCH = 4
BATCH_CORRELATION = 0.05
WITHOUT_PERSON = 0.02
PER_PROMPT = 200
EMPTY_PROMPT = 400
EMPTY_SARI_DARKER = 0.60
SIDE = 96
MAX_BYTES = 1500
PROMPTS = {
    "doctor": "a photo of a doctor",
    "nurse": "a photo of a nurse",
    "teacher": "a photo of a teacher",
    "judge": "a photo of a judge",
    "firefighter": "a photo of a firefighter",
    "farmer": "a photo of a farmer",
    "technologist": "a photo of a software developer",
    "scientist": "a photo of a scientist",
}
Monk = dict[tuple[str, str], int]
Rng = np.random.Generator


@dataclass(frozen=True)
class Shares:
    """Composition to draw from: woman among woman and man, neutral, darker, unspecified."""

    woman: float
    neutral: float
    darker: float
    unspecified: float


@dataclass(frozen=True)
class Picture:
    """One picture of the simulator: where it comes from and what is true of it."""

    prompt: str
    concept: str
    seed: int
    batch: int
    path: str
    scene: Scene
    person: Person | None
    thing: str = ""

    def binary_tone(self, monk: Monk) -> str:
        """`lighter`, `darker`, `unspecified`, or `none` without a person."""
        if self.person is None:
            return "none"
        return binary(self.person.tone, monk.get((self.scene.rendering, self.person.code)))


def amplified(share: float, factor: float) -> float:
    """The share whose log odds are `factor` times those of `share`."""
    if share in (0.0, 1.0):
        return share
    return 1 / (1 + math.exp(-factor * math.log(share / (1 - share))))


def pool_shares(rows: list[Row], concept: str, monk: Monk) -> Shares:
    people = [row for row in rows if row.concept == concept and row.person]
    genders = [row.person.gender for row in people if row.person]
    tones = [row.binary_tone(monk) for row in people]
    woman, man = genders.count("woman"), genders.count("man")
    darker, lighter = tones.count("darker"), tones.count("lighter")
    return Shares(
        woman=woman / (woman + man),
        neutral=genders.count("neutral") / len(people),
        darker=darker / (darker + lighter),
        unspecified=tones.count("unspecified") / len(people),
    )


def target_shares(pool: Shares, concept: str) -> Shares:
    """What the simulator draws from; neutral and unspecified keep the pool's shares."""
    factor = 1.0 if concept in UNCHANGED else AMPLIFICATION
    return Shares(
        amplified(pool.woman, factor), pool.neutral, amplified(pool.darker, factor),
        pool.unspecified,
    )  # fmt: skip


def _batch_level(rng: Rng, share: float) -> float:
    """A batch's own share: a beta draw whose intra-batch correlation is the planted one."""
    if share in (0.0, 1.0):
        return share
    strength = 1 / BATCH_CORRELATION - 1
    return float(rng.beta(share * strength, (1 - share) * strength))


def _tone(rng: Rng, darker: bool, concept_gender: tuple[str, str], monk: Monk) -> str:
    """A tone whose drawing in this rendering is darker, or lighter, by its Monk level."""
    concept, gender = concept_gender
    fitting = [
        tone
        for tone in TONES
        if (binary(tone, monk[(HELD_OUT, Person(concept, gender, tone).code)]) == "darker")
        == darker
    ]
    return fitting[int(rng.integers(len(fitting)))]


def _person(rng: Rng, concept: str, shares: Shares, monk: Monk) -> Person:
    if rng.random() < shares.neutral:
        gender = "neutral"
    else:
        gender = "woman" if rng.random() < shares.woman else "man"
    if rng.random() < shares.unspecified:
        return Person(concept, gender, "unspecified")
    return Person(
        concept, gender, _tone(rng, bool(rng.random() < shares.darker), (concept, gender), monk)
    )


def _slug(prompt: str) -> str:
    return prompt.replace(" ", "-") or "empty-prompt"


def _picture(
    rng: Rng, prompt: str, concept: str, numbers: tuple[int, int], person: Person | None
) -> Picture:
    seed, batch = numbers
    path = f"{_slug(prompt)}/{seed:05d}.webp"
    if person is not None:
        scene = person_scene(rng, person, HELD_OUT)
        return Picture(prompt, concept, seed, batch, path, scene, person)
    props = ROLE_PROPS.get(concept, tuple(sorted(THING_KIND)))
    thing = props[int(rng.integers(len(props)))]
    return Picture(
        prompt, concept, seed, batch, path, thing_scene(rng, thing, HELD_OUT), None, thing
    )


def simulate(rows: list[Row], monk: Monk, seed: int) -> list[Picture]:
    """All pictures, prompt by prompt, in batches of four."""
    pictures = []
    for place, (concept, prompt) in enumerate(PROMPTS.items()):
        target = target_shares(pool_shares(rows, concept, monk), concept)
        for number in range(PER_PROMPT // BATCH):
            rng = np.random.default_rng([seed, 30, place, number])
            leaning = Shares(
                _batch_level(rng, target.woman), target.neutral,
                _batch_level(rng, target.darker), target.unspecified,
            )  # fmt: skip
            for member in range(BATCH):
                empty = rng.random() < WITHOUT_PERSON
                person = None if empty else _person(rng, concept, leaning, monk)
                numbers = (number * BATCH + member, number)
                pictures.append(_picture(rng, prompt, concept, numbers, person))
    return pictures + _empty_prompt(monk, seed)


def _empty_prompt(monk: Monk, seed: int) -> list[Picture]:
    """No prompt: mostly women in saris, of darker tone, as reported of real models."""
    pictures = []
    for number in range(EMPTY_PROMPT // BATCH):
        rng = np.random.default_rng([seed, 31, number])
        sari = _batch_level(rng, EMPTY_SARI_DARKER)
        for member in range(BATCH):
            draw_kind = rng.random()
            person: Person | None
            concept = "thing"
            if draw_kind < sari:
                concept = "sari"
                tone = _tone(rng, True, ("person", "woman"), monk)
                person = Person(concept, "woman", tone, str(rng.choice(SARI_VARIANTS)))
            elif draw_kind < sari + (1 - sari) * 0.75:
                concept = str(rng.choice(("person", *ROLES)))
                gender = "woman" if rng.random() < 0.4 else "man"
                tone = str(rng.choice(facts.TONE_ORDER))
                variant = str(rng.choice(PLAIN_VARIANTS)) if concept == "person" else ""
                person = Person(concept, gender, tone, variant)
            else:
                person = None
            numbers = (number * BATCH + member, number)
            pictures.append(_picture(rng, "", concept, numbers, person))
    return pictures


def _encode(image: Image.Image) -> bytes:
    for quality in (60, 45, 30, 20, 10):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()


def write(pictures: list[Picture], sprites: Sprites, folder: Path) -> None:
    """WebP files by prompt, and metadata.jsonl as Hugging Face's ImageFolder reads it."""
    staging = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    lines = []
    for picture in pictures:
        target = staging / picture.path
        target.parent.mkdir(parents=True, exist_ok=True)
        image = draw(picture.scene, sprites, 256, 256)
        target.write_bytes(_encode(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
        line = {
            "file_name": picture.path,
            "prompt": picture.prompt,
            "seed": picture.seed,
            "batch": picture.batch,
            "generator": GENERATOR,
        }
        lines.append(json.dumps(line))
    (staging / "metadata.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
