"""Synthetic embeddings of any size that are clustered as pictures are, in clip-retrieval's layout.

A row is one direction that all share, plus the centre of its cluster, plus noise, of unit length.
Up to 20 000 clusters (one a hundred rows) have sizes by a power law; their centres are themselves
clustered. Three quarters of the noise lie in 128 directions with falling variance, the rest in all
directions alike. Rows of group "wide" (three in ten, in all clusters) have more noise than those of
group "narrow". Two rows have a cosine of 0.4 on average, two of a cluster 0.7 to 0.8: about what
CLIP's picture embeddings have.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.vectors import KEY_FILE

__all__ = ["DESCRIBED", "GROUPS", "clustered_queries", "write_clustered"]

Floats = NDArray[np.float32]

#: The set in one sentence, for reports.
DESCRIBED = (
    "unit vectors in float16 around up to 20 000 cluster centres (one a hundred rows, sizes by a "
    "power law, centres themselves clustered), noise of falling variance, three rows in ten with "
    "more of it"
)
#: The noise's length beside a centre's of 0.55 and the shared direction's of 0.6; share of rows.
GROUPS = {"narrow": (0.42, 0.7), "wide": (0.62, 0.3)}
_SHARED, _CENTRE = 0.6, 0.55
_MOST_CLUSTERS, _ROWS_A_CLUSTER = 20_000, 100
_LEADING, _LEADING_SHARE = 128, 0.75
#: Rows that are made at once, each such block from a seed of its own.
_BLOCK = 20_000


@dataclass(frozen=True)
class _Space:
    """What all blocks share: centres (clusters, dim), their odds, and the leading directions."""

    centres: Floats
    odds: NDArray[np.float64]
    leading: Floats


@functools.lru_cache(maxsize=2)
def _space(clusters: int, dim: int, seed: int) -> _Space:
    rng = np.random.default_rng((seed, 0))
    above = _unit(rng.standard_normal((max(1, clusters // 100), dim), np.float32))
    own = _unit(rng.standard_normal((clusters, dim), np.float32))
    centres = _unit(above[rng.integers(len(above), size=clusters)] + own)
    shared = _unit(rng.standard_normal((1, dim), np.float32))
    odds = 1.0 / (10 + np.arange(clusters))
    wide = min(_LEADING, dim)
    directions = np.linalg.qr(rng.standard_normal((dim, wide)))[0].T
    scale = (1.0 + np.arange(wide)) ** -0.35
    leading = directions * (scale / np.sqrt((scale**2).sum()))[:, None] * np.sqrt(_LEADING_SHARE)
    return _Space(
        (_SHARED * shared + _CENTRE * centres).astype(np.float32),
        odds / odds.sum(),
        leading.astype(np.float32),
    )


def write_clustered(folder: Path, n: int, dim: int, seed: int, part_rows: int) -> Path:
    """Write ``n`` embeddings with metadata (url, caption, group) in parts; returns ``folder``.

    The same arguments give the same files. 2M × 512 are 2.05 GB and some 25 s on two cores.
    """
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    space = _space(_clusters(n), dim, seed)
    digits = len(str(max(0, -(-n // part_rows) - 1)))
    for number, first in enumerate(range(0, n, part_rows)):
        name = str(number).zfill(digits)
        rows = min(part_rows, n - first)
        groups = []
        with (folder / "img_emb" / f"img_emb_{name}.npy").open("wb") as file:
            header = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, rows, _BLOCK):
                rng = np.random.default_rng((seed, 1, number, start))
                vectors, wide = _rows(space, rng, min(_BLOCK, rows - start))
                vectors.astype(np.float16).tofile(file)
                groups.append(wide)
        row = pl.int_range(first, first + rows, eager=True).cast(pl.String)
        wide_rows = pl.Series("wide", np.concatenate(groups))
        pl.DataFrame({"row": row, "wide": wide_rows}).select(
            pl.format("https://pictures.example/{}.jpg", "row").alias("url"),
            pl.format("picture number {}", "row").alias("caption"),
            pl.when("wide").then(pl.lit("wide")).otherwise(pl.lit("narrow")).alias("group"),
        ).write_parquet(folder / "metadata" / f"metadata_{name}.parquet")
    space_of = {"model": "clustered synthetic", "pretrained": f"seed {seed}"}
    key = {**space_of, "weights_sha256": f"{seed:064x}", "preprocess": "none"}
    (folder / KEY_FILE).write_text(json.dumps(key) + "\n", encoding="utf-8")
    return folder


def clustered_queries(n: int, of: int, dim: int, seed: int) -> Floats:
    """``n`` unit vectors of the space of `write_clustered` with ``of`` rows that are none of them.

    As rows are drawn, so that large clusters are asked for more often, but from a seed of its own.
    """
    vectors, _ = _rows(_space(_clusters(of), dim, seed), np.random.default_rng((seed, 2)), n)
    return vectors


def _rows(space: _Space, rng: np.random.Generator, n: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Vectors, and which are of group "wide"."""
    dim = space.centres.shape[1]
    wide = rng.random(n) < GROUPS["wide"][1]
    length = np.where(wide, GROUPS["wide"][0], GROUPS["narrow"][0]).astype(np.float32)
    vectors = rng.standard_normal((n, dim), np.float32)
    vectors *= np.float32(np.sqrt((1 - _LEADING_SHARE) / dim))
    vectors += rng.standard_normal((n, len(space.leading)), np.float32) @ space.leading
    vectors *= length[:, None]
    vectors += space.centres[rng.choice(len(space.odds), size=n, p=space.odds)]
    return _unit(vectors), wide


def _clusters(n: int) -> int:
    return max(1, min(_MOST_CLUSTERS, n // _ROWS_A_CLUSTER))


def _unit(vectors: Floats) -> Floats:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
