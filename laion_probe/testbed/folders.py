"""A run as folders that the tool reads like anyone's: training data, and generated pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from laion_probe.vectors import KEY_FILE

__all__ = ["GENERATOR", "write_samples", "write_training_data"]

#: Never "simulated": a model was trained.
GENERATOR = "laion-probe testbed: a small model trained on data/demo"
_BATCH = 8


def write_training_data(
    folder: Path, vectors: NDArray[np.float32], rows: pl.DataFrame, key: Mapping[str, str]
) -> None:
    """Training rows in clip-retrieval's layout: vectors, and ``rows`` of url, caption and more."""
    (folder / "img_emb").mkdir(parents=True, exist_ok=True)
    (folder / "metadata").mkdir(exist_ok=True)
    np.save(folder / "img_emb" / "img_emb_0.npy", vectors.astype(np.float16))
    rows.write_parquet(folder / "metadata" / "metadata_0.parquet")
    (folder / KEY_FILE).write_text(json.dumps(dict(key), indent=2) + "\n", encoding="utf-8")


def write_samples(folder: Path, pixels: NDArray[np.uint8], prompt: str, seed: int) -> None:
    """Pictures (n, side, side, 3) as WebP without loss, beside Hugging Face's metadata.jsonl.

    Each is an independent draw of one model; batches of eight are what the file says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, picture in enumerate(pixels):
        name = f"{i:04d}.webp"
        Image.fromarray(picture).save(folder / name, lossless=True)
        row = {
            "file_name": name,
            "prompt": prompt,
            "seed": seed,
            "batch": i // _BATCH,
            "generator": GENERATOR,
        }
        lines.append(json.dumps(row))
    text = "".join(f"{line}\n" for line in lines)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
