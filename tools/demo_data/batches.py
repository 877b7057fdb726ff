"""Training pairs drawn on the fly: each batch depends on the seed and its number only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from tools.demo_data import prompts
from tools.demo_data.codes import (
    GENDERS,
    PLAIN_VARIANTS,
    ROLES,
    SARI_VARIANTS,
    THING_KIND,
    TONE_CODE,
    TONES,
    Person,
)
from tools.demo_data.monk import binary
from tools.demo_data.names import GIVEN_NAMES
from tools.demo_data.scenes import Scene, draw, person_scene, thing_scene
from tools.demo_data.sprites import Sprites
from tools.demo_data.tower import IMAGE_SIZE

Pixels = NDArray[np.uint8]
THING_CODES = tuple(sorted(THING_KIND))
_SYLLABLES = ("ka", "lo", "mi", "zu", "ter", "van", "do", "shi", "pre", "ox", "ul", "wen", "gra")


@dataclass(frozen=True)
class Catalogue:
    """What scenes and captions are made of."""

    things: dict[str, str]
    monk: dict[tuple[str, str], int]
    renderings: tuple[str, ...]


def noise_words(seed: int) -> tuple[str, ...]:
    """Words that mean nothing here: invented ones, given names, numbers."""
    rng = np.random.default_rng([seed, 77])
    made = {
        "".join(_SYLLABLES[int(k)] for k in rng.integers(len(_SYLLABLES), size=n))
        for n in rng.integers(2, 5, size=400)
    }
    numbers = [str(int(n)) for n in rng.integers(1, 9999, size=60)]
    return tuple(sorted(made)) + GIVEN_NAMES + tuple(numbers)


def person_facts(person: Person, rendering: str, monk: dict[tuple[str, str], int]) -> prompts.Facts:
    level = monk.get((rendering, person.code))
    tone = TONES.index(person.tone) if person.tone in TONES else prompts.NOT_STATED
    return prompts.Facts(
        person=1,
        concept=prompts.CONCEPTS.index(person.concept),
        gender=GENDERS.index(person.gender),
        tone=tone,
        binary=prompts.BINARY.index(binary(person.tone, level)),
    )


def thing_facts(code: str) -> prompts.Facts:
    none = prompts.NOT_STATED
    return prompts.Facts(0, none, none, none, none, THING_CODES.index(code))


def random_person(rng: np.random.Generator) -> Person:
    """A person of a random role, with role, gender and tone independent of each other."""
    gender = str(rng.choice(GENDERS, p=(0.42, 0.42, 0.16)))
    tone = str(rng.choice(list(TONE_CODE)))
    pick = rng.random()
    if pick < 0.12:
        return Person("person", gender, tone, str(rng.choice(PLAIN_VARIANTS)))
    if pick < 0.19:
        return Person("sari", "woman", tone, str(rng.choice(SARI_VARIANTS)))
    if pick < 0.35:
        return Person(str(rng.choice(["doctor", "nurse"])), gender, tone)
    return Person(str(rng.choice(ROLES)), gender, tone)


def random_pair(
    rng: np.random.Generator, catalogue: Catalogue, noise: tuple[str, ...]
) -> tuple[Scene, prompts.Facts, prompts.Caption]:
    rendering = str(rng.choice(catalogue.renderings))
    if rng.random() < 0.24:
        code = str(rng.choice(THING_CODES))
        facts = thing_facts(code)
        name, kind = catalogue.things[code], THING_KIND[code]
        caption = prompts.thing_caption(rng, name, kind, facts, noise)
        return thing_scene(rng, code, rendering), facts, caption
    person = random_person(rng)
    facts = person_facts(person, rendering, catalogue.monk)
    return person_scene(rng, person, rendering), facts, prompts.person_caption(rng, facts)


def caption_corpus(seed: int, catalogue: Catalogue, n: int) -> list[str]:
    """Captions to learn the merges on."""
    rng = np.random.default_rng([seed, 3])
    noise = noise_words(seed)
    return [random_pair(rng, catalogue, noise)[2].text for _ in range(n)]


def degrade(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """Light noise, as lossy compression and resizing leave behind."""
    noise = rng.normal(0, float(rng.uniform(0, 6)), pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


class Batches(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Batch number -> images, tokens, facts of the images, statements of the captions."""

    def __init__(
        self,
        catalogue: Catalogue,
        packages: dict[str, Path],
        tokenize: Callable[[list[str]], torch.Tensor],
        plan: tuple[int, int, int],
    ) -> None:
        self.catalogue = catalogue
        self.sprites = Sprites(packages, 80)
        self.tokenize = tokenize
        self.seed, self.n_batches, self.batch = plan
        self.noise = noise_words(self.seed)

    def __len__(self) -> int:
        return self.n_batches

    def __getitem__(
        self, number: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self.seed, 1, number])
        images = np.empty((self.batch, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        facts: list[tuple[int, ...]] = []
        states: list[tuple[int, ...]] = []
        texts: list[str] = []
        for place in range(self.batch):
            scene, fact, caption = random_pair(rng, self.catalogue, self.noise)
            picture = draw(scene, self.sprites, IMAGE_SIZE, IMAGE_SIZE)
            images[place] = degrade(rng, np.asarray(picture))
            facts.append(fact.row())
            states.append(caption.states)
            texts.append(caption.text)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        return pixels, self.tokenize(texts), torch.tensor(facts), torch.tensor(states)
