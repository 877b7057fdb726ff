"""Where a probe's vectors come from: pictures embedded here, or a folder of embeddings.

A folder that an earlier run of the same pictures filled is gone on with. Any other one (made by
``laion-probe embed``, by clip-retrieval, published by LAION or DataComp) is joined by URL, and may
stand alone: a composition needs vectors, not pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import PicturesConfig
from laion_probe.errors import ConfigError, EmbedderMismatch, SchemaError
from laion_probe.pictures import PictureFile
from laion_probe.questions.inputs import Inputs, Progress, embed_parts
from laion_probe.questions.model_check import check_model
from laion_probe.questions.neighbours_tables import unit_rows
from laion_probe.results import InputRecord
from laion_probe.vectors import open_embeddings

__all__ = ["PoolVectors", "pool_vectors"]

Floats = NDArray[np.float32]

_NO_PICTURES = "only its embedding was given, no picture"


@dataclass(frozen=True)
class PoolVectors:
    """Vectors (n, d) of unit length with a URL and a file each.

    ``error`` is '' or why there is no vector; ``note`` says where the vectors are from, and
    ``records`` name that folder, where they were not computed here.
    """

    image: Floats
    url: pl.Series
    error: pl.Series
    files: tuple[PictureFile, ...]
    note: str = ""
    records: tuple[InputRecord, ...] = ()


def pool_vectors(
    inputs: Inputs, config: PicturesConfig, urls: pl.Series, progress: Progress
) -> PoolVectors | None:
    """Vectors for rows of these URLs; None where neither pictures nor embeddings were given."""
    if inputs.downloads is None:
        return None if config.embeddings is None else _joined(inputs, config.embeddings, urls)
    parts = inputs.downloads.parts
    try:
        vectors = embed_parts(inputs, parts, "pictures", progress, config.embeddings)
    except EmbedderMismatch:
        if config.embeddings is None:
            raise
        # not of just these pictures; of another model it is refused below, in words
        return _joined(inputs, config.embeddings, urls)
    files = tuple(file for part in parts for file in part.files)
    return PoolVectors(vectors.image, vectors.rows["url"], vectors.rows["error"], files)


def _joined(inputs: Inputs, folder: str, urls: pl.Series) -> PoolVectors:
    """The embeddings of these URLs, the first row of each, with pictures as far as there are."""
    assert inputs.embedder is not None
    e = open_embeddings(folder)
    checked = check_model(e, inputs.embedder)
    column = e.canonical().get("url")
    if column is None:
        raise SchemaError(
            f"embeddings in {e.folder}: no column of URLs among {', '.join(e.columns) or 'none'}, "
            "so no row of the shards can be found in them; `laion-probe neighbours` needs none"
        )
    wanted = urls.unique()
    found = []
    for part in e.parts:
        rows = np.arange(part.first, part.first + part.n_rows, dtype=np.int64)
        there = e.metadata(rows, [column]).rename({column: "url"})
        found.append(there.filter(pl.col("url").is_in(wanted.implode())))
    table = pl.concat(found).unique("url", keep="first", maintain_order=True)
    if not len(table):
        raise ConfigError(
            f"none of the {e.n_rows} rows of {e.folder} has the URL of a row of the shards: give "
            "embeddings of these shards' pictures"
        )
    unit, where, _, _ = unit_rows(e.vectors(table["row"].to_numpy()))
    image = np.zeros((len(table), e.dim), np.float32)
    image[where] = unit
    by_url = {}
    if inputs.downloads is not None:
        by_url = {f.url: f for part in inputs.downloads.parts for f in part.files}
    files = tuple(
        by_url.get(url) or PictureFile(f"row-{row}", _unreadable, "", url)
        for row, url in table.select("row", "url").iter_rows()
    )
    why = np.full(len(table), "its embedding is empty or not finite", dtype=object)
    why[where] = ""
    error = pl.Series("error", why, pl.String)
    note = (
        f"Vectors are those of the folder {e.folder.name} ({e.n_rows} rows), found by URL: "
        f"{len(table)} of {len(wanted)} different URLs have one. {checked.sentence}"
    )
    if without := len(by_url.keys() & set(wanted)) - len(by_url.keys() & set(table["url"])):
        note += f" {without} pictures that were downloaded have no embedding there: left out."
    record = InputRecord(
        kind="embeddings",
        name=e.folder.name,
        fingerprint=e.fingerprint(),
        n_rows=e.n_rows,
        already="",
        note="hash over sizes and both ends of each file of vectors",
    )
    return PoolVectors(image, table["url"], error, files, note, (record,))


def _unreadable() -> bytes:
    raise ValueError(_NO_PICTURES)
