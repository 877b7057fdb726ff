"""Vectors of a probe's pictures, computed once and kept in a folder of embeddings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.embed.folder import EmbeddingFolder
from laion_probe.embed.model import Embedder, unit_length
from laion_probe.embed.parts import Pace, Source, cores, embed_parts
from laion_probe.errors import EmbedderMismatch, ShardError
from laion_probe.pictures import OpenedShard, PicturePart

__all__ = ["Vectors", "embed_all"]

_COLUMNS = ("id", "caption", "url", "error")


@dataclass(frozen=True)
class Vectors:
    """Unit-length image vectors and the rows they belong to.

    ``image`` has shape (n, d), float32; ``rows`` has n rows with ``id``, ``caption``, ``url`` and
    ``error`` ('' or why the picture could not be read; its vector is then all zero).
    """

    image: NDArray[np.float32]
    rows: pl.DataFrame


def embed_all(
    parts: Sequence[PicturePart],
    embedder: Embedder,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Vectors:
    """Embed what has no embedding in ``folder`` yet and return all vectors, in order.

    Each part is one file of the layout: a part that is there already is not computed again, so a
    killed run resumes at the part where it was. Raises `EmbedderMismatch` when the folder holds
    vectors of another model, or of other pictures.
    """
    kept = EmbeddingFolder(folder)
    kept.claim(embedder.key, "sha256", [part.sha256 for part in parts])
    missing = [
        Source(n, functools.partial(OpenedShard, p.files), {"sha256": p.sha256})
        for n, p in enumerate(parts)
        if p.files and not kept.finished(n)
    ]
    n_done = len(parts) - len(missing)
    for done in embed_parts(missing, embedder, kept, Pace(workers=cores())):
        if done.error:
            raise ShardError(done.error)
        n_done += 1
        progress(n_done, len(parts))
    images, rows = [], []
    for number, part in enumerate(parts):
        if not part.files:
            continue
        frame = pl.read_parquet(kept.metadata(number), columns=list(_COLUMNS))
        if frame["id"].to_list() != [f.id for f in part.files]:
            raise EmbedderMismatch(
                f"{kept.metadata(number)} is not of the pictures of {part.name}; give another "
                "--embeddings folder, or none"
            )
        images.append(np.load(kept.vectors(number)).astype(np.float32))
        rows.append(frame)
    if not images:
        empty = pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String))
        return Vectors(np.zeros((0, 1), np.float32), empty)
    return Vectors(unit_length(np.concatenate(images)), pl.concat(rows))
