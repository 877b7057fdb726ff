"""Shards of pictures to parts of a folder of embeddings: read, decode, embed, write.

Each worker is a thread that takes a batch from the file to its vectors. On a CPU every worker
computes on one core, which is faster than several cores on one product, and gives the same bytes
whatever the number of workers; on a GPU one batch at a time goes through the model while the other
workers decode. Pillow and torch let other threads run while they work.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.embed.decoding import Unreadable, decode_first
from laion_probe.embed.folder import EmbeddingFolder
from laion_probe.embed.model import Embedder
from laion_probe.errors import ShardError
from laion_probe.pictures import OWN_COLUMNS, OpenedShard, PictureFile

__all__ = ["Pace", "PartDone", "Source", "cores", "embed_parts"]

Halves = NDArray[np.float16]

#: Pictures that a core takes at once: more do not make it faster, and take memory.
_CPU_BATCH = 32
_AHEAD = 2  # batches in hand for each worker


@dataclass(frozen=True)
class Pace:
    """Pictures that go through the model at once, and threads at work."""

    batch_size: int = 256
    workers: int = 1


@dataclass(frozen=True)
class Source:
    """What becomes a part: its number, and ``digests`` of its pictures for the part's file."""

    number: int
    open: Callable[[], OpenedShard]
    digests: dict[str, str]


@dataclass(frozen=True)
class PartDone:
    """A part that is written, or why it is not: ``error``, or no rows."""

    number: int
    n_rows: int = 0
    error: str = ""


@dataclass(frozen=True)
class _Batch:
    """Vectors of the pictures that could be read, their places, and a row for every picture."""

    vectors: NDArray[np.float32] | None
    places: list[int]
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class _Piece:
    """Some of a part's pictures, or its end."""

    source: Source
    batch: Future[_Batch] | None = None
    end: OpenedShard | None = None
    error: str = ""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def embed_parts(
    sources: Iterable[Source], embedder: Embedder, folder: EmbeddingFolder, pace: Pace
) -> Iterator[PartDone]:
    """Write the part of each source, in order. A source that is broken has no part, and an error.

    A picture that cannot be read has a row with the reason, and a vector of zeros.
    """
    gathered: list[_Batch] = []
    with contextlib.closing(_pieces(sources, embedder, pace)) as pieces:
        for piece in pieces:
            if piece.batch is not None:
                gathered.append(piece.batch.result())
                continue
            number, rows = piece.source.number, [r for b in gathered for r in b.rows]
            if piece.end is not None and rows:
                digests = piece.source.digests | (
                    {"sha256": piece.end.sha256} if piece.end.sha256 else {}
                )
                schema = {**OWN_COLUMNS, **piece.end.columns}
                frame = pl.DataFrame(rows, schema=schema, strict=False)
                folder.write(number, _stacked(gathered, len(rows), embedder), frame, digests)
            gathered = []
            yield PartDone(number, 0 if piece.error else len(rows), piece.error)


def _pieces(
    sources: Iterable[Source], embedder: Embedder, pace: Pace
) -> Generator[_Piece, None, None]:
    """Pieces in order, while workers are some batches ahead, also in the next sources."""
    on_cpu = embedder.device == "cpu"
    size = min(pace.batch_size, _CPU_BATCH) if on_cpu else pace.batch_size
    turn = contextlib.nullcontext() if on_cpu else threading.Lock()
    waiting: deque[_Piece] = deque()
    n_batches = 0
    with (
        _one_core_each() if on_cpu else contextlib.nullcontext(),
        _no_warnings(),
        ThreadPoolExecutor(pace.workers) as pool,
    ):

        def submit(files: list[PictureFile]) -> Future[_Batch]:
            return pool.submit(_embed_batch, files, embedder, turn)

        try:
            for piece in _cut(sources, size, submit):
                waiting.append(piece)
                n_batches += piece.batch is not None
                while n_batches > pace.workers * _AHEAD:
                    first = waiting.popleft()
                    n_batches -= first.batch is not None
                    yield first
            yield from waiting
        finally:
            for left in waiting:
                if left.batch is not None:
                    left.batch.cancel()


def _cut(
    sources: Iterable[Source], size: int, submit: Callable[[list[PictureFile]], Future[_Batch]]
) -> Iterator[_Piece]:
    for source in sources:
        try:
            opened = source.open()
            files = iter(opened.files)
            while some := list(islice(files, size)):
                yield _Piece(source, batch=submit(some))
            yield _Piece(source, end=opened)
        except (ShardError, OSError) as error:
            yield _Piece(source, error=str(error))


def _embed_batch(
    files: list[PictureFile],
    embedder: Embedder,
    turn: contextlib.AbstractContextManager[Any],
) -> _Batch:
    import torch

    tensors, places, rows = [], [], []
    for place, file in enumerate(files):
        row = {
            "image_path": file.path or file.id,
            "caption": file.caption,
            "url": file.url,
            "id": file.id,
            "key": file.key or file.id,
            "width": None,
            "height": None,
            "status": "success",
            "error": "",
            **file.more,
        }
        try:
            found = decode_first(_read(file))
            row |= {"width": found.width, "height": found.height}
            if found.animated:
                row["status"] = "first_frame"
            tensors.append(embedder.preprocess(found.picture))
            places.append(place)
        except Unreadable as reason:
            row |= {"status": reason.status, "error": str(reason)}
        rows.append(row)
    if not tensors:
        return _Batch(None, [], rows)
    with turn:
        return _Batch(embedder.images(torch.stack(tensors)), places, rows)


def _read(file: PictureFile) -> bytes:
    try:
        return file.read()
    except OSError as error:
        raise Unreadable("missing", f"not readable ({error.strerror or error})") from error


def _stacked(batches: Iterable[_Batch], n_rows: int, embedder: Embedder) -> Halves:
    out: Halves | None = None
    first = 0
    for b in batches:
        if b.vectors is not None:
            if out is None:
                out = np.zeros((n_rows, b.vectors.shape[1]), np.float16)
            out[first + np.array(b.places)] = b.vectors
        first += len(b.rows)
    return np.zeros((n_rows, embedder.dim), np.float16) if out is None else out


@contextlib.contextmanager
def _one_core_each() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Pillow warns of much that strangers' pictures have; filters belong to all threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
