"""The error of the demo encoder, measured on scenes of seeds that training never used.

Prompts are those of the product. Labels come from code points, predictions from the
checkpoint as saved, pictures from lossy files of the size that img2dataset stores.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tools.demo_data import tower
from tools.demo_data.batches import THING_CODES, Catalogue, random_person
from tools.demo_data.codes import GENDERS, ROLES, TONE_CODE, Person
from tools.demo_data.monk import binary
from tools.demo_data.scenes import Scene, draw, person_scene, thing_scene
from tools.demo_data.sprites import HELD_OUT, SEEN, Sprites

GENDER_PROMPTS = {
    "woman": ("a photo of a woman", "a woman"),
    "man": ("a photo of a man", "a man"),
    "neutral": ("a gender-neutral person",),
    "none": ("no person", "an object without a person"),
}
TONE_PROMPTS = {
    "lighter": ("a person with light skin", "a person with lighter skin tone"),
    "darker": ("a person with dark skin", "a person with darker skin tone"),
    "unspecified": ("a yellow cartoon person without a skin tone",),
    "none": ("no person", "an object without a person"),
}
PROFESSIONS = (
    "doctor", "nurse", "teacher", "judge", "firefighter", "farmer", "technologist", "scientist",
)  # fmt: skip
PROFESSION_PROMPT = {name: f"a photo of a {name}" for name in PROFESSIONS}
PROFESSION_PROMPT["technologist"] = "a photo of a software developer"
STORED_SIZE = 96
QUALITY = 50
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Drawn:
    """A picture of the evaluation and what is true of it."""

    scene: Scene
    concept: str
    gender: str
    tone: str
    binary: str


def sample(seed: int, n: int, renderings: tuple[str, ...], catalogue: Catalogue) -> list[Drawn]:
    """Scenes with role, gender and tone independent; one in six without a person."""
    rng = np.random.default_rng([seed, 991, len(renderings)])
    drawn = []
    for _ in range(n):
        rendering = str(rng.choice(renderings))
        if rng.random() < 1 / 6:
            scene = thing_scene(rng, str(rng.choice(THING_CODES)), rendering)
            drawn.append(Drawn(scene, "none", "none", "none", "none"))
            continue
        person = random_person(rng)
        drawn.append(_person(rng, person, rendering, catalogue))
    return drawn


def _person(
    rng: np.random.Generator, person: Person, rendering: str, catalogue: Catalogue
) -> Drawn:
    level = catalogue.monk.get((rendering, person.code))
    return Drawn(
        person_scene(rng, person, rendering),
        person.concept,
        person.gender,
        person.tone,
        binary(person.tone, level),
    )


def stored(scene: Scene, sprites: Sprites) -> Image.Image:
    """The scene as the data set would store it: small and lossy."""
    buffer = io.BytesIO()
    picture = draw(scene, sprites, 256, 256)
    picture.resize((STORED_SIZE, STORED_SIZE), Image.Resampling.LANCZOS).save(
        buffer, "WEBP", quality=QUALITY
    )
    return Image.open(buffer).convert("RGB")


class Encoder:
    """Unit vectors of pictures and prompts."""

    def __init__(self, folder: Path) -> None:
        self.model, self.preprocess, self.tokenize = tower.load(folder)

    @torch.no_grad()
    def images(self, pictures: list[Image.Image]) -> Floats:
        """One unit vector a picture."""
        parts = []
        for start in range(0, len(pictures), 256):
            batch = torch.stack([self.preprocess(p) for p in pictures[start : start + 256]])
            parts.append(self.model.encode_image(batch, normalize=True).numpy())
        return np.concatenate(parts)

    @torch.no_grad()
    def prompt(self, texts: tuple[str, ...]) -> Floats:
        """The unit vector of the mean of these prompts."""
        vectors = self.model.encode_text(self.tokenize(list(texts)), normalize=True)
        mean = vectors.mean(dim=0)
        unit: Floats = (mean / mean.norm()).numpy()
        return unit


def classify(vectors: Floats, encoder: Encoder, levels: dict[str, tuple[str, ...]]) -> list[str]:
    """The level whose averaged prompts are nearest."""
    names = list(levels)
    matrix = np.stack([encoder.prompt(levels[name]) for name in names])
    return [names[int(k)] for k in (vectors @ matrix.T).argmax(axis=1)]


def table(truth: list[str], guess: list[str], keep: list[bool]) -> dict[str, dict[str, int]]:
    """Counts by truth, then by prediction."""
    counts: dict[str, dict[str, int]] = {}
    for true, predicted, kept in zip(truth, guess, keep, strict=True):
        if kept:
            line = counts.setdefault(true, {})
            line[predicted] = line.get(predicted, 0) + 1
    return {key: dict(sorted(counts[key].items())) for key in sorted(counts)}


def balanced(counts: dict[str, dict[str, int]], levels: tuple[str, ...]) -> float | None:
    """Mean recall over the levels, among predictions that are one of them."""
    recalls = []
    for level in levels:
        line = {k: v for k, v in counts.get(level, {}).items() if k in levels}
        if not line:
            return None
        recalls.append(line.get(level, 0) / sum(line.values()))
    return round(float(np.mean(recalls)), 4)


def measure(drawn: list[Drawn], vectors: Floats, encoder: Encoder) -> dict[str, Any]:
    """Everything published about one set of pictures."""
    gender_forced = classify(vectors, encoder, {k: GENDER_PROMPTS[k] for k in ("woman", "man")})
    gender_all = classify(vectors, encoder, GENDER_PROMPTS)
    tone_forced = classify(vectors, encoder, {k: TONE_PROMPTS[k] for k in ("lighter", "darker")})
    tone_all = classify(vectors, encoder, TONE_PROMPTS)
    gender, tone = [d.gender for d in drawn], [d.binary for d in drawn]
    pair, shades = ("woman", "man"), ("lighter", "darker")
    binary_people = [g in pair for g in gender]
    toned = [t in shades for t in tone]
    everyone = [True] * len(drawn)

    def by(group: list[str], levels: tuple[str, ...]) -> dict[str, Any]:
        out = {}
        for level in levels:
            keep = [k and g == level for k, g in zip(binary_people, group, strict=True)]
            counts = table(gender, gender_forced, keep)
            out[level] = {"balanced_accuracy": balanced(counts, pair), "counts": counts}
        return out

    gender_counts = table(gender, gender_forced, binary_people)
    tone_counts = table(tone, tone_forced, toned)
    return {
        "n": len(drawn),
        "gender_woman_man": {
            "balanced_accuracy": balanced(gender_counts, pair), "counts": gender_counts,
        },
        "gender_all_levels": {"counts": table(gender, gender_all, everyone)},
        "gender_by_tone": by([d.tone for d in drawn], tuple(TONE_CODE)),
        "gender_by_tone_binary": by(tone, (*shades, "unspecified")),
        "gender_by_concept": by([d.concept for d in drawn], ("person", *ROLES)),
        "tone_lighter_darker": {
            "balanced_accuracy": balanced(tone_counts, shades), "counts": tone_counts,
        },
        "tone_all_levels": {"counts": table(tone, tone_all, everyone)},
        "tone_by_gender": {
            level: table(tone, tone_forced, [t and g == level for t, g in zip(toned, gender,
                                                                           strict=True)])
            for level in GENDERS
        },
        "precision_at_20": _precision(drawn, vectors, encoder),
    }  # fmt: skip


def _precision(drawn: list[Drawn], vectors: Floats, encoder: Encoder) -> dict[str, float]:
    out = {}
    for name in PROFESSIONS:
        query = encoder.prompt((PROFESSION_PROMPT[name],))
        top = np.argsort(-(vectors @ query), kind="stable")[:20]
        out[name] = round(sum(drawn[int(k)].concept == name for k in top) / 20, 3)
    out["mean"] = round(float(np.mean([out[name] for name in PROFESSIONS])), 4)
    return out


def evaluate(
    folder: Path, catalogue: Catalogue, packages: dict[str, Path], plan: tuple[int, int]
) -> dict[str, Any]:
    """Seen renderings and the held-out one; `plan` is the seed and the number of scenes."""
    seed, n = plan
    encoder = Encoder(folder)
    sprites = Sprites(packages, 192)
    report: dict[str, Any] = {
        "prompts": {"gender": GENDER_PROMPTS, "tone": TONE_PROMPTS, "retrieval": PROFESSION_PROMPT}
    }
    for name, renderings in (("seen", SEEN), ("held_out", (HELD_OUT,))):
        drawn = sample(seed, n, renderings, catalogue)
        vectors = encoder.images([stored(d.scene, sprites) for d in drawn])
        report[name] = {"renderings": list(renderings), **measure(drawn, vectors, encoder)}
    return report


def write(report: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def headline(report: dict[str, Any]) -> str:
    lines = []
    for name in ("seen", "held_out"):
        part = report[name]
        spread = {key: value["balanced_accuracy"] for key, value in part["gender_by_tone"].items()}
        lines.append(
            f"{name}: gender {part['gender_woman_man']['balanced_accuracy']} "
            f"tone {part['tone_lighter_darker']['balanced_accuracy']} "
            f"P@20 {part['precision_at_20']} by tone {spread}"
        )
    return "\n".join(lines)
