"""Embeddings read block by block into buffers, not mapped: what is read is not held."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import ShardError
from laion_probe.vectors import EmbeddingPart, Embeddings

__all__ = ["Stretch", "divide", "read_into"]

Buffer = NDArray[np.float16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows ``start`` to ``stop`` of part number ``part``."""

    part: int
    start: int
    stop: int


def divide(embeddings: Embeddings, task_rows: int, block_rows: int) -> list[tuple[Stretch, ...]]:
    """All rows, in order, in tasks of about ``task_rows``.

    Parts are cut at multiples of ``block_rows`` only, so that blocks are the same in any division.
    """
    task_rows = max(1, task_rows // block_rows) * block_rows
    tasks: list[tuple[Stretch, ...]] = []
    open_task: list[Stretch] = []
    room = task_rows
    for number, part in enumerate(embeddings.parts):
        start = 0
        while start < part.n_rows:
            stop = min(part.n_rows, start + max(block_rows, room // block_rows * block_rows))
            open_task.append(Stretch(number, start, stop))
            room -= stop - start
            start = stop
            if room < block_rows:
                tasks.append(tuple(open_task))
                open_task, room = [], task_rows
    return [*tasks, tuple(open_task)] if open_task else tasks


@contextlib.contextmanager
def read_into(embeddings: Embeddings, stretch: Stretch) -> Iterator[Any]:
    """A function that fills a buffer (rows, dim) with the next rows of the stretch.

    Raises `ShardError` where the file ends before its header says.
    """
    part = embeddings.parts[stretch.part]
    at = stretch.start
    with _opened(part) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0
        _, by_column, dtype = (
            header(file) if version == (1, 0) else np.lib.format.read_array_header_2_0(file)
        )
        file.seek(file.tell() + stretch.start * embeddings.dim * dtype.itemsize)

        def fill(buffer: Buffer) -> None:
            nonlocal at
            if by_column or dtype != buffer.dtype:
                buffer[:] = embeddings.part(stretch.part)[at : at + len(buffer)]
            else:
                _fill(file, part, buffer)
            at += len(buffer)

        yield fill


@contextlib.contextmanager
def _opened(part: EmbeddingPart) -> Iterator[Any]:
    if not part.member:
        with part.vectors.open("rb", buffering=0) as file:
            yield file
    else:
        with zipfile.ZipFile(part.vectors) as archive, archive.open(f"{part.member}.npy") as member:
            yield member


def _fill(file: Any, part: EmbeddingPart, buffer: Buffer) -> None:
    room = memoryview(buffer.data).cast("B")
    filled = 0
    while filled < len(room):
        n = file.readinto(room[filled:])
        if not n:
            raise ShardError(
                f"{part.vectors}: ends before its {part.n_rows} rows do; fetch or make it again"
            )
        filled += n
