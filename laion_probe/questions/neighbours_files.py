"""The rows near each concept, and those to be rated, as parquet files in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute
from laion_probe.estimators.similarity_strata import StrataDesign, StrataDraw
from laion_probe.ratings.sampling import SAMPLE_SCHEMA
from laion_probe.store import atomic_file, fingerprint
from laion_probe.vectors import Embeddings

__all__ = ["Nearest", "nearest_table", "sample_table", "write_parquet"]

Ints = NDArray[np.int64]

#: Columns of metadata that name a row, ours first; then clip-retrieval's and DataComp's.
_IDS = ("id", "key", "uid", "sample_id", "image_path", "hash")


@dataclass(frozen=True)
class Nearest:
    """The nearest rows of a concept, best first; the first ``n_near`` of them are near.

    ``label`` holds each attribute's level of each row, by name.
    """

    concept: str
    rows: Ints
    similarity: NDArray[np.float32]
    n_near: int
    label: Mapping[str, Ints]


def nearest_table(
    embeddings: Embeddings, found: Sequence[Nearest], attributes: Sequence[Attribute]
) -> pl.DataFrame:
    """A row a concept and neighbour, with what the metadata say of it."""
    parts = []
    for of in found:
        n = len(of.rows)
        said = _metadata(embeddings, of.rows)
        frame = pl.DataFrame(
            {
                "concept": [of.concept] * n,
                "rank": np.arange(1, n + 1),
                "row": of.rows,
                "similarity": of.similarity,
                **said,
                "near": np.arange(n) < of.n_near,
            },
            schema_overrides=dict.fromkeys(("concept", "id", "url", "text"), pl.String),
        )
        levels = {a.name: [a.levels[i] for i in of.label[a.name].tolist()] for a in attributes}
        parts.append(
            frame.with_columns(**{k: pl.Series(v, dtype=pl.String) for k, v in levels.items()})
        )
    return pl.concat(parts)


def sample_table(
    embeddings: Embeddings, concept: str, design: StrataDesign, drawn: StrataDraw, seed: int
) -> pl.DataFrame:
    """The rows to be rated for a concept: ``concept``, the columns of a sample, and metadata."""
    names, stratum = design.names, drawn.stratum
    n = len(drawn.row)
    taken = np.bincount(stratum, minlength=len(names))
    rng = np.random.default_rng(int(fingerprint([seed, "order", concept]), 16))
    said = _metadata(embeddings, drawn.row)
    frame = pl.DataFrame(
        {
            "concept": [concept] * n,
            "order": rng.permutation(n),
            "picture": [f"row-{row}" for row in drawn.row.tolist()],
            "source": ["data"] * n,
            "stratum": [names[s] for s in stratum.tolist()],
            "stratum_size": design.sizes[stratum],
            "stratum_drawn": taken[stratum],
            "probability": (taken / design.sizes)[stratum],
            "row": drawn.row,
            "similarity": drawn.similarity,
            "url": said["url"],
            "text": said["text"],
        },
        schema_overrides={
            **dict.fromkeys(("concept", "url", "text"), pl.String),
            **SAMPLE_SCHEMA,
        },
    )
    return frame.sort("order")


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a table in one step, so that none is ever half there."""
    with atomic_file(path) as scratch:
        frame.write_parquet(scratch)


def _metadata(embeddings: Embeddings, rows: Ints) -> dict[str, list[str | None]]:
    """``id``, ``url`` and ``text`` of rows; an id is the row's number where there is none."""
    known = embeddings.canonical()
    lower = {name.lower(): name for name in reversed(embeddings.columns)}
    columns = {
        "id": next((lower[name] for name in _IDS if name in lower), None),
        "url": known.get("url"),
        "text": known.get("text"),
    }
    numbers: list[str | None] = [f"row-{row}" for row in rows.tolist()]
    out: dict[str, list[str | None]] = {"id": numbers}
    bare = any(part.metadata is None for part in embeddings.parts)
    asked = sorted({c for c in columns.values() if c is not None}) if not bare else []
    there = embeddings.metadata(rows, asked) if asked else pl.DataFrame()
    for name, column in columns.items():
        if column is not None and asked:
            out[name] = there[column].cast(pl.String).to_list()
        else:
            out.setdefault(name, [None] * len(rows))
    return out
