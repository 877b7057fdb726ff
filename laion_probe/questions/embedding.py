"""``laion-probe embed``: pictures to a folder of embeddings, resumable part by part."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from laion_probe.config import EmbedConfig
from laion_probe.embed import (
    Embedder,
    EmbeddingFolder,
    Pace,
    PartDone,
    Source,
    cores,
    embed_parts,
    load_embedder,
)
from laion_probe.errors import ConfigError, EmbedderMismatch, ShardError
from laion_probe.notes import pass_on
from laion_probe.pictures import PictureShard, list_picture_shards
from laion_probe.questions.inputs import Progress
from laion_probe.tasks import TaskOptions, run_tasks

__all__ = ["Embedded", "embed"]

_SHOWN = 5
_TEXTS = 256
_IN_WORDS = {
    "first_frame": "animated, of which the first frame was taken",
    "too_large": "too large",
    "not_a_picture": "of no known picture format",
    "broken": "broken",
    "missing": "not to be read from disk",
}


@dataclass(frozen=True)
class Embedded:
    """What lies in the folder, and what could not be embedded.

    ``statuses`` counts the rows of all parts: success, first_frame (of an animated picture), and,
    where the vector is zeros, too_large, not_a_picture, broken or missing. ``failed`` are shards
    without a part, and why; they are tried again by the next run. ``n_resumed`` parts were there.
    """

    folder: Path
    key: Mapping[str, str]
    n_parts: int
    n_resumed: int
    n_rows: int
    statuses: Mapping[str, int]
    failed: tuple[tuple[str, str], ...]
    empty: tuple[str, ...]

    @property
    def n_pictures(self) -> int:
        """Rows with a vector."""
        return sum(self.statuses.get(s, 0) for s in ("success", "first_frame"))

    @property
    def sentences(self) -> tuple[str, ...]:
        """For people."""
        said = [
            f"{self.n_pictures:,} pictures embedded by {self.key['model']} "
            f"({self.key['precision']}), in {self.n_parts:,} parts in {self.folder}"
            + (f", of which {self.n_resumed:,} were there already." if self.n_resumed else ".")
        ]
        if kinds := [s for s in _IN_WORDS if self.statuses.get(s)]:
            listed = "; ".join(f"{self.statuses[s]:,} {_IN_WORDS[s]}" for s in kinds)
            said.append(f"Of {self.n_rows:,} rows: {listed}. Those without a vector hold zeros.")
        if self.failed:
            first = "; ".join(why for _, why in self.failed[:_SHOWN])
            said.append(f"{len(self.failed):,} shards have no part, and are tried again: {first}.")
        if self.empty:
            said.append(f"No picture in {', '.join(self.empty[:_SHOWN])}.")
        return tuple(said)


def embed(config: EmbedConfig, progress: Progress = lambda what, done, of: None) -> Embedded:
    """Fill a folder with the embeddings of all pictures; parts that are there are kept.

    Raises `ConfigError` where sources hold no pictures or the folder cannot be written,
    `EmbedderMismatch` where it is of another model or of other pictures, `ShardError` where no
    shard at all can be read.

    >>> done = embed(EmbedConfig(sources=("images/",), out="embeddings"))  # doctest: +SKIP
    >>> done.n_pictures  # doctest: +SKIP
    4090
    """
    out = Path(config.out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give --out with a folder to fill")
    config = _named_device(config)
    shards = list_picture_shards(config.sources, config.part_rows)
    embedder = load_embedder(config.model, config.pretrained, config.device, config.precision)
    folder = EmbeddingFolder(out, "--out")
    folder.claim(embedder.key, "stamp", [s.stamp for s in shards])
    folder.clear_killed()
    pass_on(config.sources, out)
    missing = [n for n in range(len(shards)) if not _finished(folder, n, config.text)]
    done, n_done = [], len(shards) - len(missing)
    progress("embed", n_done, len(shards))
    for part in _computed(missing, shards, embedder, config):
        done.append(part)
        n_done += 1
        progress("embed", n_done, len(shards))
    return _embedded(folder, embedder, shards, sorted(done, key=lambda d: d.number))


def _named_device(config: EmbedConfig) -> EmbedConfig:
    """On Ray each task has a core, and no GPU."""
    if config.runner != "ray":
        return config
    if config.device not in ("auto", "cpu"):
        raise ConfigError(
            f"--runner ray computes on the cluster's cores, not on {config.device}; leave "
            "--device out, or run serially on a machine with a GPU, a share of the sources each"
        )
    return config.model_copy(update={"device": "cpu"})


def _finished(folder: EmbeddingFolder, number: int, text: bool) -> bool:
    return folder.finished(number) and (not text or folder.vectors(number, "text").exists())


def _computed(
    missing: Sequence[int], shards: Sequence[PictureShard], embedder: Embedder, config: EmbedConfig
) -> Iterator[PartDone]:
    if config.runner == "serial":
        pace = Pace(config.batch_size, config.workers or cores())
        tasks = [(n, shards[n]) for n in missing]
        yield from _parts(tasks, embedder, EmbeddingFolder(Path(config.out)), pace, config.text)
        return
    model, folder = _elsewhere(config.model), Path(config.out).absolute()
    changed = {"model": model, "pretrained": _elsewhere(config.pretrained), "out": str(folder)}
    work = functools.partial(_task, config.model_copy(update=changed), embedder.key)
    options = TaskOptions("ray", config.workers, config.ray_address)
    for _, part in run_tasks(work, [(n, shards[n]) for n in missing], options):
        yield part


def _elsewhere(path: str | None) -> str | None:
    """A model's path as another process finds it."""
    if path is None:
        return None
    kind, colon, rest = path.rpartition(":")
    there = Path(rest)
    return f"{kind}{colon}{there.absolute()}" if there.exists() else path


def _task(config: EmbedConfig, key: Mapping[str, str], task: tuple[int, PictureShard]) -> PartDone:
    """One part, in a process of Ray's."""
    embedder = _loaded(config.model, config.pretrained, config.precision)
    if embedder.key != key:
        raise EmbedderMismatch(
            f"a worker loaded {config.model} with other weights or preprocessing than this "
            "machine; give all of them the same checkpoint and version of open_clip"
        )
    folder, pace = EmbeddingFolder(Path(config.out)), Pace(config.batch_size)
    (part,) = _parts([task], embedder, folder, pace, config.text)
    return part


@functools.lru_cache(maxsize=1)
def _loaded(model: str, pretrained: str | None, precision: str) -> Embedder:
    return load_embedder(model, pretrained, "cpu", precision)


def _parts(
    tasks: Sequence[tuple[int, PictureShard]],
    embedder: Embedder,
    folder: EmbeddingFolder,
    pace: Pace,
    text: bool,
) -> Iterator[PartDone]:
    """Pictures where they are missing; then captions, from the part's own metadata."""
    there = [PartDone(n) for n, _ in tasks if folder.finished(n)]
    sources = (
        Source(n, shard.open, {"stamp": shard.stamp})
        for n, shard in tasks
        if not folder.finished(n)
    )
    for parts in (there, embed_parts(sources, embedder, folder, pace)):
        for part in parts:
            if text and folder.finished(part.number):
                _embed_captions(part.number, embedder, folder)
            yield part


def _embed_captions(number: int, embedder: Embedder, folder: EmbeddingFolder) -> None:
    """Rows without a caption get zeros."""
    captions = pl.read_parquet(folder.metadata(number), columns=["caption"])["caption"]
    vectors = np.zeros((len(captions), embedder.dim), np.float16)
    given = captions.str.strip_chars().str.len_chars().gt(0).arg_true().to_numpy()
    for start in range(0, len(given), _TEXTS):
        rows = given[start : start + _TEXTS]
        vectors[rows] = embedder.captions(captions.gather(rows).to_list())
    folder.write_vectors(number, vectors, "text")


def _embedded(
    folder: EmbeddingFolder,
    embedder: Embedder,
    shards: Sequence[PictureShard],
    done: Sequence[PartDone],
) -> Embedded:
    failed = tuple((shards[d.number].name, d.error) for d in done if d.error)
    parts = [n for n in range(len(shards)) if folder.finished(n)]
    empty = [
        s.name
        for n, s in enumerate(shards)
        if n not in {*parts, *(d.number for d in done if d.error)}
    ]
    if not parts and failed:
        raise ShardError(f"no shard can be read, first {failed[0][1]}")
    if not parts:
        raise ConfigError(
            f"no picture in {', '.join(empty[:_SHOWN])}: give tars, parquet or folders with "
            "pictures in them"
        )
    statuses: Counter[str] = Counter()
    for n in parts:
        counts = pl.read_parquet(folder.metadata(n), columns=["status"])["status"].value_counts()
        statuses.update(dict(counts.iter_rows()))
    return Embedded(
        folder=folder.root,
        key=embedder.key,
        n_parts=len(parts),
        n_resumed=len(parts) - sum(1 for d in done if d.n_rows),
        n_rows=sum(statuses.values()),
        statuses=dict(sorted(statuses.items())),
        failed=failed,
        empty=tuple(empty),
    )
