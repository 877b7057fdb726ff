"""The Monk level of every drawing, measured on the drawing itself.

The truth of a tone is the Fitzpatrick modifier among the code points; what a foundry
painted for it is another thing, and is measured: the pixels that are skin are those
that change when the modifier changes and that come closest to the skin of the same
foundry's raised hand (U+270B) with the same modifier, which is skin and little else.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.demo_data.codes import TONE_CODE, TONES, Person, all_people
from tools.demo_data.sprites import HELD_OUT, SEEN, Sprites

MONK_HEX = (
    "f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96",
    "a07e56", "825c43", "604134", "3a312a", "292420",
)  # fmt: skip
FIRST_DARKER = 6
MEASURED_AT = 128
RAISED_HAND = "270b"
Floats = NDArray[np.float64]


def lab(rgb: NDArray[np.uint8]) -> Floats:
    """CIELAB (D65, 2 degrees) of 8-bit sRGB; the last axis is the channel."""
    unit = rgb.astype(np.float64) / 255.0
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    cube = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness = 116 * cube[..., 1] - 16
    a = 500 * (cube[..., 0] - cube[..., 1])
    b = 200 * (cube[..., 1] - cube[..., 2])
    return np.stack([lightness, a, b], axis=-1)


_MONK_LAB = lab(
    np.array([[int(h[i : i + 2], 16) for i in (0, 2, 4)] for h in MONK_HEX], dtype=np.uint8)
)


def nearest_monk(colour: Floats) -> int:
    """1 to 10: the Monk tone at the smallest CIELAB distance (L* is not monotone)."""
    return int(np.argmin(np.linalg.norm(_MONK_LAB - colour, axis=1))) + 1


def _pixels(sprites: Sprites, rendering: str, code: str) -> NDArray[np.uint8]:
    return np.asarray(sprites.get(rendering, code))


def _hand(sprites: Sprites, rendering: str, tone: str) -> Floats:
    rgba = _pixels(sprites, rendering, f"{RAISED_HAND}-{TONE_CODE[tone]}")
    return np.median(lab(rgba[rgba[..., 3] > 250][:, :3]), axis=0)


def skin_colour(sprites: Sprites, rendering: str, person: Person) -> NDArray[np.uint8]:
    """Median RGB of the skin of a drawing whose person has one of the five tones."""
    own = _pixels(sprites, rendering, person.code)
    changed = np.zeros(own.shape[:2], dtype=bool)
    for tone in TONES:
        if tone != person.tone:
            other = Person(person.concept, person.gender, tone, person.variant)
            pixels = _pixels(sprites, rendering, other.code).astype(np.int16)
            changed |= np.abs(pixels[..., :3] - own[..., :3].astype(np.int16)).max(axis=-1) > 12
    rows, columns = np.mgrid[0 : own.shape[0], 0 : own.shape[1]] / own.shape[0]
    face = (columns > 0.2) & (columns < 0.8) & (rows < 0.85)
    skin = own[changed & face & (own[..., 3] > 250)][:, :3]
    if len(skin) < 20:
        skin = own[own[..., 3] > 250][:, :3]
    distance = np.linalg.norm(lab(skin) - _hand(sprites, rendering, person.tone), axis=1)
    close = distance <= np.quantile(distance, 0.25)
    colour: NDArray[np.uint8] = np.median(skin[close], axis=0).astype(np.uint8)
    return colour


def measure(sprites: Sprites) -> list[dict[str, str | int]]:
    """One line a drawing: rendering, code points, tone, skin colour, Monk level."""
    lines: list[dict[str, str | int]] = []
    seen: set[tuple[str, str]] = set()
    for rendering in (*SEEN, HELD_OUT):
        for person in all_people():
            key = (rendering, person.code)
            if person.tone == "unspecified" or key in seen:
                continue
            seen.add(key)
            colour = skin_colour(sprites, rendering, person)
            lines.append(
                {
                    "rendering": rendering,
                    "code_points": person.code,
                    "tone": person.tone,
                    "skin_hex": "#" + "".join(f"{int(part):02x}" for part in colour),
                    "monk": nearest_monk(lab(colour[None, :])[0]),
                }
            )
    return lines


def write_table(sprites: Sprites, path: Path) -> None:
    lines = measure(sprites)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def read_table(path: Path) -> dict[tuple[str, str], int]:
    """Monk level by (rendering, code points)."""
    with path.open(encoding="utf-8", newline="") as handle:
        return {
            (line["rendering"], line["code_points"]): int(line["monk"])
            for line in csv.DictReader(handle)
        }


def binary(tone: str, monk: int | None) -> str:
    """`lighter`, `darker`, or the tone itself where there is no Monk level."""
    if monk is None:
        return tone
    return "darker" if monk >= FIRST_DARKER else "lighter"
