"""What `laion-probe serve` answers from: folders of embeddings, opened, with search and encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from laion_probe.config.serving import ServeConfig
from laion_probe.embed import Embedder, load_embedder
from laion_probe.errors import ConfigError, SchemaError
from laion_probe.questions.model_check import check_model
from laion_probe.questions.serving_metadata import RowReader, open_rows
from laion_probe.questions.serving_removed import RemovalList, read_removal_list
from laion_probe.vectors import Embeddings, open_embeddings

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Collection", "Encoder", "Search", "Space", "open_collections"]

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Search = Callable[[Floats, int], tuple[Rows, Floats]]


class Encoder(Protocol):
    """What makes unit-length vectors, (n, d), of prompts and of pictures."""

    def texts(self, prompts: Sequence[str]) -> Floats:
        """Vectors of prompts that come again and again."""

    def captions(self, texts: Sequence[str]) -> Floats:
        """Vectors of texts that do not; nothing of them is kept."""

    def images(self, pictures: Sequence[Image.Image]) -> Floats:
        """Vectors of decoded pictures."""


@dataclass(frozen=True)
class Space:
    """Embeddings of pictures or of captions and how they are searched, which ``how`` says.

    ``search(queries, k)`` takes unit-length queries (q, d) and gives rows and their cosines, both
    (q, k), best first; rows are -1 where fewer were found.
    """

    embeddings: Embeddings
    search: Search
    how: str


@dataclass(frozen=True)
class Collection:
    """One folder as callers see it.

    ``spaces`` are by modality, "image" and perhaps "text", of the same rows; ``removed`` are rows
    that never come back, ascending; ``encoder`` is None where the model is not at hand;
    ``model_check`` says how far it is known that it made the vectors, where no key does.
    """

    name: str
    spaces: Mapping[str, Space]
    rows: RowReader
    encoder: Encoder | None
    removed: Rows
    model_check: str = ""

    @property
    def n_rows(self) -> int:
        """Rows of the folder, removed ones too."""
        return next(iter(self.spaces.values())).embeddings.n_rows


def open_collections(config: ServeConfig) -> list[Collection]:
    """Open the folders that a config names, in its order.

    Raises `ConfigError` for a name that is given twice, a folder without rows, or a removal list
    that cannot be honoured; `EmbedderMismatch` where the vectors are of another model than the
    config's; `SchemaError` where those of pictures and of captions are not of the same rows.
    """
    folders = _named(config.embeddings)
    embedder = load_embedder(config.model, config.pretrained) if config.model else None
    removal = read_removal_list(config.removed) if config.removed else RemovalList()
    if unknown := set(removal.rows) - set(folders):
        raise ConfigError(
            f"removal list {config.removed}: no collection is named {min(unknown)}; there are "
            f"{', '.join(folders)}"
        )
    return [
        _opened(
            name,
            open_embeddings(folder, "image", config.npz),
            embedder,
            removal,
            config.search == "auto",
        )
        for name, folder in folders.items()
    ]


def _named(given: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for item in given:
        name, equals, path = item.partition("=")
        folder = Path(path) if equals and not Path(item).exists() else Path(item)
        if not equals or Path(item).exists():
            name = folder.resolve().name
        if name in found:
            raise ConfigError(f"two folders are named {name}: name one, as in other={folder}")
        found[name] = folder
    return found


def _opened(
    name: str, images: Embeddings, embedder: Embedder | None, removal: RemovalList, may_index: bool
) -> Collection:
    folder = images.folder
    if not images.n_rows:
        raise ConfigError(f"{folder} holds no rows: give a folder of embeddings that has some")
    checked = check_model(images, embedder) if embedder is not None else None
    spaces = {"image": _space(images, may_index)}
    try:
        # of DataComp's arrays, the same model's
        member = images.parts[0].member.replace("_img", "_txt") or None
        texts = open_embeddings(folder, "text", member)
    except ConfigError:
        texts = None  # most folders have none
    if texts is not None:
        if (texts.n_rows, texts.dim) != (images.n_rows, images.dim):
            raise SchemaError(
                f"{folder}: {texts.n_rows} text embeddings of {texts.dim} numbers, where those of "
                f"pictures are {images.n_rows} of {images.dim}: they are not of the same rows and "
                "model; make both again, or take the text embeddings out"
            )
        spaces["text"] = _space(texts, may_index)
    removed = removal.rows_of(name, images) if len(removal) else np.zeros(0, np.int64)
    said = checked.sentence if checked is not None and checked.basis != "key" else ""
    return Collection(name, spaces, open_rows(images), embedder, removed, said)


def _space(embeddings: Embeddings, may_index: bool) -> Space:
    from laion_probe.index.exact import SearchOptions, search
    from laion_probe.index.opening import index_file, open_index

    folders = (embeddings.folder / "index", embeddings.folder) if may_index else ()
    folder = next((f for f in folders if index_file(f, embeddings.kind) is not None), None)
    if folder is not None:
        index = open_index(folder, embeddings)
        how = "index of unknown recall"
        if index.recall is not None:
            how = f"index with recall@{index.recall.k} of {index.recall.mean.value:.3f}"
        return Space(embeddings, lambda queries, k: index.search(queries, k), how)

    def exact(queries: Floats, k: int) -> tuple[Rows, Floats]:
        hits = search(embeddings, queries, SearchOptions(k=k, histogram=False))
        return hits.rows, hits.scores

    return Space(embeddings, exact, "exact")
