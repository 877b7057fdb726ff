"""What the pictures that came show: labels of a file, or of a model that reads the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from laion_probe.attributes import Attribute, load_attribute
from laion_probe.attributes.reading import Pictures, read
from laion_probe.config import NonresponseConfig
from laion_probe.embed import Embedder, Vectors, decode, embed_all, load_embedder
from laion_probe.errors import ConfigError
from laion_probe.pictures import PictureFile, list_downloads
from laion_probe.questions.inputs import Progress, model_record, open_scores
from laion_probe.questions.nonresponse_reading import Tried
from laion_probe.results import InputRecord
from laion_probe.shards import file_sha256
from laion_probe.store import fingerprint

__all__ = ["Labelled", "read_labels"]

_CACHE = Path(".cache") / "laion-probe"


@dataclass(frozen=True)
class Labelled:
    """Levels of one attribute: ``label`` (N,) is an index into its levels, of rows that came."""

    attribute: Attribute
    label: NDArray[np.int64]
    labels: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """All that was read: ``embedded`` (N,) says which rows have a vector, None where none was made.

    ``no_labels`` are attributes that neither a file nor a model labels.
    """

    of: tuple[Labelled, ...]
    no_labels: tuple[str, ...]
    embedded: NDArray[np.bool_] | None
    inputs: tuple[InputRecord, ...]


def read_labels(config: NonresponseConfig, tried: Tried, progress: Progress) -> Labels:
    """The labels of the pictures that came. Raises a `LaionProbeError` that says what to do."""
    if len(set(config.attributes)) != len(config.attributes):
        raise ConfigError(f"an attribute is named twice: {', '.join(config.attributes)}")
    if config.embeddings is not None and config.model is None:
        raise ConfigError("--embeddings are of a model: name it with --model")
    attributes = tuple(load_attribute(name) for name in config.attributes)
    scores = open_scores(config.scores, attributes)
    if config.model is None and "attributes" not in config.model_fields_set:
        attributes = tuple(a for a in attributes if a.name in scores or _needs_none(a))
    row = np.flatnonzero(tried.came)
    if not len(row) or not attributes:
        return Labels((), tuple(a.name for a in attributes), None, _records(config, None))
    embedder, vectors, files = _embedded(config, tried, attributes, scores, progress)
    came = tried.rows[row.tolist()]
    pictures = Pictures(
        ids=tuple(came["id"].to_list()),
        captions=tuple(came["text"].to_list()),
        vectors=None if vectors is None else vectors[row],
        open=_opener(came["id"].to_list(), files),
    )
    found, without = [], []
    for a in attributes:
        mine = a.model_copy(update={"reader": "scores"}) if a.name in scores else a
        if a.name not in scores and config.model is None and not _needs_none(a):
            without.append(a.name)
            continue
        reading = read(pictures, mine, embedder=embedder, scores=scores.get(a.name))
        label = np.full(len(tried.came), a.unknown_at, np.int64)
        label[row] = reading.label
        found.append(Labelled(a, label, reading.labels, reading.notes))
    embedded = None if vectors is None else (vectors != 0).any(axis=1) & tried.came
    return Labels(tuple(found), tuple(without), embedded, _records(config, embedder))


def _needs_none(a: Attribute) -> bool:
    """Whether captions are enough to read it."""
    return a.reader == "captions"


def _embedded(
    config: NonresponseConfig,
    tried: Tried,
    attributes: tuple[Attribute, ...],
    scores: Mapping[str, pl.DataFrame],
    progress: Progress,
) -> tuple[Embedder | None, NDArray[np.float32] | None, dict[str, PictureFile]]:
    """The model, a vector a row (zeros without one), and the pictures by id."""
    if config.model is None:
        return None, None, {}
    downloads = list_downloads(config.images)
    files = {file.id: file for part in downloads.parts for file in part.files}
    embedder = load_embedder(config.model, config.pretrained)
    target = Path(config.cache or _CACHE) / "embeddings"
    target /= fingerprint([embedder.key, [part.sha256 for part in downloads.parts]])
    if config.embeddings is not None:
        target = Path(config.embeddings)
    found: Vectors = embed_all(
        downloads.parts,
        embedder,
        target,
        lambda done, of: progress("embed pictures", done, of),
    )
    at = {picture: i for i, picture in enumerate(found.rows["id"].to_list())}
    vectors = np.zeros((len(tried.came), found.image.shape[1]), np.float32)
    for i, picture in enumerate(tried.rows["id"].to_list()):
        if picture in at and tried.came[i]:
            vectors[i] = found.image[at[picture]]
    return embedder, vectors, files


def _opener(ids: list[str], files: Mapping[str, PictureFile]) -> Callable[[int], Image.Image]:
    def opened(i: int) -> Image.Image:
        file = files.get(ids[i])
        if file is None:
            raise ValueError("its picture is not in the tar beside the table")
        return decode(file.read())

    return opened


def _records(config: NonresponseConfig, embedder: Embedder | None) -> tuple[InputRecord, ...]:
    found = []
    for item in config.scores:
        path = Path(item.partition("=")[2])
        found.append(
            InputRecord(
                kind="table",
                name=path.name,
                fingerprint=file_sha256(path),
                n_rows=None,
                already="",
                note="labels of pictures",
            )
        )
    if embedder is not None:
        found.append(model_record(embedder.key))
    return tuple(found)
