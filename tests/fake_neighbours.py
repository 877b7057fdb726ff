"""A small folder of embeddings whose truth is known, and a model without weights that fits it.

A word has a fixed random direction; a text is the mean of its words', and a picture that of what it
shows, with noise. So a picture of a doctor lies near "a photo of a doctor", whoever it shows.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.measures import words

DIM = 64
KEY = {
    "model": "fake",
    "pretrained": "",
    "weights_sha256": "f" * 64,
    "preprocess": "none",
    "precision": "fp32",
}
_PALE = {"a", "an", "of", "the", "photo", "picture", "portrait", "illustration"}

Floats = NDArray[np.float32]


def _unit(vectors: NDArray[Any]) -> Floats:
    v = np.asarray(vectors, np.float32)
    return np.asarray(v / np.linalg.norm(v, axis=-1, keepdims=True), np.float32)


def direction(word: str) -> Floats:
    """The direction of a word, the same every time."""
    return _unit(np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIM))


class FakeEmbedder:
    """What `neighbours` asks of an `Embedder`: texts to vectors, a scale and a key."""

    def __init__(self, dim: int = DIM, **key: str) -> None:
        self.dim, self.key = dim, {**KEY, **key}
        self.logit_scale = 30.0

    def texts(self, prompts: Sequence[str]) -> Floats:
        """Unit-length vectors, (len(prompts), dim)."""
        rows = [
            sum((0.1 if w in _PALE else 1.0) * direction(w) for w in (words(p) or ["nothing"]))
            for p in prompts
        ]
        return _unit(np.stack(rows))[:, : self.dim]


def truth(n: int = 1_500, seed: int = 3) -> pl.DataFrame:
    """What rows show: ``concept`` and ``gender``, and a ``caption`` that often says so."""
    rng = np.random.default_rng(seed)
    concept = rng.choice(["doctor", "nurse", "horse"], n, p=[0.2, 0.15, 0.65])
    woman = rng.random(n) < np.where(concept == "doctor", 0.35, 0.8)
    gender = np.where(concept == "horse", "none", np.where(woman, "woman", "man"))
    said = rng.random(n) < 0.7
    captions = [
        f"{g if g != 'none' else 'brown'} {c} {i % 97}" if s else f"stock {i}"
        for i, (c, g, s) in enumerate(zip(concept, gender, said, strict=True))
    ]
    return pl.DataFrame({"concept": concept, "gender": gender, "caption": captions})


def vectors_of(rows: pl.DataFrame, seed: int = 4) -> Floats:
    """A vector a row: of what it shows, with noise."""
    rng = np.random.default_rng(seed)
    out = []
    for concept, gender in rows.select("concept", "gender").iter_rows():
        person = direction(gender) if gender != "none" else direction("object")
        out.append(direction(concept) + 0.8 * person + 0.08 * rng.normal(size=DIM))
    return _unit(np.stack(out))


def write_folder(
    folder: Path,
    rows: pl.DataFrame,
    vectors: NDArray[Any],
    sizes: Sequence[int] = (),
    key: dict[str, str] | None = KEY,
) -> Path:
    """Write a folder of embeddings in files of these sizes (default: one of all rows)."""
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    start = 0
    for number, size in enumerate(sizes or (len(rows),)):
        part = slice(start, start + size)
        np.save(folder / f"img_emb/img_emb_{number}.npy", vectors[part].astype(np.float16))
        meta = rows[part].select(
            pl.format("id-{}", pl.int_range(start, start + size)).alias("id"),
            "caption",
            pl.format("http://example.test/{}.jpg", pl.int_range(start, start + size)).alias("url"),
        )
        meta.write_parquet(folder / f"metadata/metadata_{number}.parquet")
        start += size
    if key is not None:
        (folder / "key.json").write_text(json.dumps(key), encoding="utf-8")
    return folder
