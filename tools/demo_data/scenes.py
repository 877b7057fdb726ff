"""Scenes: a person or a thing before a background, described first and drawn second.

A `Scene` is a value in unit coordinates, so that the same scene can be drawn at 64
pixels for training and at 256 for the server, and so that drawing needs no random
numbers of its own but the seed of its texture.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from tools.demo_data.codes import (
    BED,
    BED_ITEMS,
    DESK_ITEMS,
    ROLE_PROPS,
    SARI_GARMENT,
    STETHOSCOPE,
    SYRINGE,
    THING_KIND,
    Person,
)
from tools.demo_data.sprites import Sprites

BACKGROUNDS = ("plain", "gradient", "room", "outdoor", "noise", "stripes")
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Stamp:
    """One drawing in the scene: its centre and height in units of the scene."""

    code: str
    x: float
    y: float
    size: float
    flip: bool = False
    stretch: float = 1.0


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw; `layout` names the composition for the truth table."""

    rendering: str
    background: str
    colours: tuple[Colour, Colour, Colour]
    layout: str
    stamps: tuple[Stamp, ...] = field(default=())
    desk: Colour | None = None
    light: float = 1.0
    contrast: float = 1.0
    texture_seed: int = 0
    aspect: float = 1.0


def _pastel(rng: np.random.Generator) -> Colour:
    base = rng.integers(90, 250, 3)
    return (int(base[0]), int(base[1]), int(base[2]))


def _any_colour(rng: np.random.Generator) -> Colour:
    base = rng.integers(10, 250, 3)
    return (int(base[0]), int(base[1]), int(base[2]))


def _base(
    rng: np.random.Generator,
    rendering: str,
    layout: str,
    stamps: list[Stamp],
    desk: Colour | None = None,
) -> Scene:
    colour = _pastel if rng.random() < 0.75 else _any_colour
    aspect = float(rng.choice([1.0, 1.0, 1.0, 4 / 3, 3 / 4, 1.15, 0.87]))
    return Scene(
        rendering=rendering,
        background=str(rng.choice(BACKGROUNDS, p=(0.3, 0.2, 0.2, 0.15, 0.05, 0.1))),
        colours=(colour(rng), colour(rng), colour(rng)),
        layout=layout,
        stamps=tuple(stamps),
        desk=desk,
        light=float(rng.uniform(0.9, 1.1)),
        contrast=float(rng.uniform(0.88, 1.12)),
        texture_seed=int(rng.integers(2**31)),
        aspect=aspect,
    )


def _wood(rng: np.random.Generator) -> Colour:
    shade = rng.uniform(0.6, 1.1)
    return (int(150 * shade), int(98 * shade), int(58 * shade))


def _stamp(rng: np.random.Generator, code: str, x: float, y: float, size: float) -> Stamp:
    """A stamp near a place: a little off, a little scaled, sometimes mirrored."""
    return Stamp(
        code=code,
        x=x + float(rng.normal(0, 0.025)),
        y=y + float(rng.normal(0, 0.02)),
        size=size * float(rng.uniform(0.92, 1.08)),
        flip=bool(rng.random() < 0.5),
        stretch=float(rng.uniform(0.92, 1.08)),
    )


def person_scene(rng: np.random.Generator, person: Person, rendering: str) -> Scene:
    """A scene of this person; the concept decides what stands beside them."""
    code = person.code
    side = 1 if rng.random() < 0.5 else -1
    if person.concept == "doctor":
        stamps = [
            _stamp(rng, code, 0.5 - side * 0.12, 0.42, 0.78),
            _stamp(rng, STETHOSCOPE, 0.5 + side * 0.29, 0.52, 0.42),
            _stamp(rng, str(rng.choice(DESK_ITEMS)), 0.5 + side * 0.2, 0.84, 0.22),
        ]
        return _base(rng, rendering, "desk", stamps, desk=_wood(rng))
    if person.concept == "nurse":
        items = [BED] if rng.random() < 0.7 else [str(rng.choice(BED_ITEMS))]
        stamps = [
            _stamp(rng, items[0], 0.5 + side * 0.2, 0.72, 0.52),
            _stamp(rng, code, 0.5 - side * 0.16, 0.46, 0.78),
            _stamp(rng, SYRINGE, 0.5 + side * 0.29, 0.26, 0.34),
        ]
        return _base(rng, rendering, "bed", stamps)
    if person.concept == "sari":
        layout = "beside" if rng.random() < 0.6 else "front"
        if layout == "beside":
            stamps = [
                _stamp(rng, code, 0.5 - side * 0.2, 0.5, 0.74),
                _stamp(rng, SARI_GARMENT, 0.5 + side * 0.24, 0.56, 0.56),
            ]
        else:
            stamps = [
                _stamp(rng, code, 0.5 - side * 0.05, 0.4, 0.72),
                _stamp(rng, SARI_GARMENT, 0.5 + side * 0.14, 0.73, 0.52),
            ]
        return _base(rng, rendering, layout, stamps)
    return _single_person_scene(rng, person, rendering, side)


def _single_person_scene(
    rng: np.random.Generator, person: Person, rendering: str, side: int
) -> Scene:
    props = ROLE_PROPS.get(person.concept, ())
    draw = rng.random()
    if props and draw < 0.35:
        stamps = [
            _stamp(rng, person.code, 0.5 - side * 0.16, 0.5, 0.78),
            _stamp(rng, str(rng.choice(props)), 0.5 + side * 0.28, 0.6, 0.38),
        ]
        return _base(rng, rendering, "object", stamps)
    if draw > 0.82:  # a close crop: part of the drawing lies outside the picture
        stamps = [_stamp(rng, person.code, 0.5 + side * 0.06, 0.56, 1.18)]
        return _base(rng, rendering, "crop", stamps)
    size = float(rng.uniform(0.62, 0.95))
    stamps = [_stamp(rng, person.code, 0.5, 0.52, size)]
    return _base(rng, rendering, "alone", stamps)


def thing_scene(rng: np.random.Generator, code: str, rendering: str) -> Scene:
    """A scene without a person: one thing, or several of it, or two things."""
    draw = rng.random()
    if draw < 0.6:
        stamps = [_stamp(rng, code, 0.5, 0.52, float(rng.uniform(0.55, 0.95)))]
    elif draw < 0.8:
        stamps = [
            _stamp(rng, code, 0.28, 0.55, 0.46),
            _stamp(rng, code, 0.72, 0.5, 0.46),
        ]
    else:
        other = str(
            rng.choice([c for c in THING_KIND if THING_KIND[c] == THING_KIND.get(code)] or [code])
        )
        stamps = [
            _stamp(rng, code, 0.4, 0.46, 0.66),
            _stamp(rng, other, 0.76, 0.74, 0.36),
        ]
    return _base(rng, rendering, "thing", stamps)


def _background(scene: Scene, width: int, height: int) -> Image.Image:
    first, second, third = scene.colours
    if scene.background == "gradient":
        ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        mix = np.asarray(first, np.float32) * (1 - ramp) + np.asarray(second, np.float32) * ramp
        return Image.fromarray(np.broadcast_to(mix, (height, width, 3)).astype(np.uint8))
    picture = Image.new("RGB", (width, height), first)
    draw = ImageDraw.Draw(picture)
    if scene.background == "room":
        draw.rectangle((0, int(height * 0.72), width, height), fill=second)
        left = 0.06 if scene.texture_seed % 2 else 0.68
        draw.rectangle(
            (int(width * left), int(height * 0.08), int(width * (left + 0.26)), int(height * 0.4)),
            fill=third,
        )
    elif scene.background == "outdoor":
        sky, ground = (150, 205, 240), (120, 180, 95)
        draw.rectangle((0, 0, width, height), fill=sky)
        draw.ellipse(
            (int(-0.3 * width), int(0.6 * height), int(1.0 * width), int(1.5 * height)), fill=ground
        )
        draw.rectangle((0, int(height * 0.8), width, height), fill=ground)
        draw.ellipse(
            (int(0.75 * width), int(0.05 * height), int(0.92 * width), int(0.22 * height)),
            fill=(250, 235, 130),
        )
    elif scene.background == "stripes":
        step = max(2, width // (6 + scene.texture_seed % 6))
        for x in range(0, width, 2 * step):
            draw.rectangle((x, 0, x + step - 1, height), fill=second)
    elif scene.background == "noise":
        texture = np.random.default_rng(scene.texture_seed)
        coarse = texture.integers(0, 60, (12, 12, 3), dtype=np.int16)
        tile = np.clip(np.asarray(first, np.int16) + coarse - 30, 0, 255).astype(np.uint8)
        picture = Image.fromarray(tile).resize((width, height), Image.Resampling.BILINEAR)
    return picture


def draw(scene: Scene, sprites: Sprites, width: int, height: int) -> Image.Image:
    """The scene as an RGB picture of this size."""
    picture = _background(scene, width, height)
    unit = min(width, height)
    for number, stamp in enumerate(scene.stamps):
        if scene.desk is not None and number == 1:
            top = int(height * 0.74)
            ImageDraw.Draw(picture).rectangle((0, top, width, height), fill=scene.desk)
        sprite = sprites.get(scene.rendering, stamp.code)
        size = max(4, round(stamp.size * unit))
        wide = max(4, round(size * stamp.stretch))
        sprite = sprite.resize((wide, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
        if stamp.flip:
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        corner = (round(stamp.x * width - wide / 2), round(stamp.y * height - size / 2))
        picture.paste(sprite, corner, sprite)
    if scene.light != 1.0 or scene.contrast != 1.0:
        values = np.arange(256, dtype=np.float32)
        table = np.clip(((values - 128) * scene.contrast + 128) * scene.light, 0, 255)
        picture = picture.point([int(value) for value in table] * 3)
    return picture
