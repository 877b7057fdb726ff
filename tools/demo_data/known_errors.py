"""The checkpoint's known errors as the product reads them: ``clip/known_errors.json``.

The product's own reader is measured, abstention included, on fresh labelled scenes that neither
training nor the demo data contain, of the renderings seen in training and of the one held out.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from laion_probe.attributes import load_attribute, zero_shot
from laion_probe.embed import load_embedder
from laion_probe.estimate import count_share
from laion_probe.results import KnownError
from tools.demo_data.batches import Catalogue
from tools.demo_data.evaluate import sample, stored
from tools.demo_data.sprites import HELD_OUT, SEEN, Sprites

FILE = "known_errors.json"
#: Enough that each concept has about a hundred pictures a level.
N = 16_000
TRUE_LEVEL = {"gender_presentation": "gender", "skin_tone": "binary"}
DOMAINS = {
    "renderings seen in training (Noto, Twemoji, Fluent flat)": SEEN,
    "rendering held out of training (Fluent 3D)": (HELD_OUT,),
}


def measure(folder: Path, catalogue: Catalogue, sprites: Sprites, seed: int) -> list[KnownError]:
    """Confusions of the checkpoint in ``folder``, an attribute and a domain each."""
    embedder = load_embedder(f"local-dir:{folder}", None)
    found = []
    for domain, renderings in DOMAINS.items():
        drawn = sample(seed, N, renderings, catalogue)
        pictures = [stored(d.scene, sprites) for d in drawn]
        parts = [embedder.images(pictures[i : i + 128]) for i in range(0, N, 128)]
        vectors = np.concatenate(parts)
        for name, column in TRUE_LEVEL.items():
            attribute = load_attribute(name)
            read = zero_shot(vectors, attribute, embedder)
            true = [getattr(d, column) for d in drawn]
            concepts = [d.concept for d in drawn]
            names = [attribute.levels[r] for r in read]
            pair = (attribute.contrast, attribute.against)
            both = [(t, r) for t, r in zip(true, names, strict=True) if t in pair]
            right = sum(t == r for t, r in both)
            found.append(
                KnownError(
                    attribute=name,
                    domain=domain,
                    confusion=confusion(true, names, attribute.levels),
                    by_group={
                        group: confusion(
                            [t for t, c in zip(true, concepts, strict=True) if c == group],
                            [r for r, c in zip(names, concepts, strict=True) if c == group],
                            attribute.levels,
                        )
                        for group in sorted(set(concepts) - {"none"})
                    },
                    accuracy=count_share(right, len(both), 10**9),
                    note=f"{N} fresh scenes (seed {seed}); accuracy among true "
                    f"{' and '.join(pair)}, unknown and other levels counted as wrong",
                )
            )
    return found


def confusion(
    true: list[str], read: list[str], levels: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Counts by true level, then by the level read."""
    counts = {level: dict.fromkeys(levels, 0) for level in sorted(set(true))}
    for t, r in zip(true, read, strict=True):
        counts[t][r] += 1
    return counts


def write(folder: Path, catalogue: Catalogue, sprites: Sprites, seed: int) -> None:
    """Measure, and write the file beside the checkpoint."""
    values = [e.model_dump(mode="json") for e in measure(folder, catalogue, sprites, seed)]
    (folder / FILE).write_text(json.dumps(values) + "\n", encoding="utf-8")
