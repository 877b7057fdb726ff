"""Building a FAISS index under a budget: trained on a hash sample, in shards, merged, measured.

Every stage ends in a file that appears whole or not at all, and what a stage reads is either the
embeddings or the files before it. A build that was killed goes on from the last of them, and ends
with the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.config.embedding import IndexConfig
from laion_probe.errors import ConfigError, NotEnoughData
from laion_probe.index.ann import AnnIndex, IndexRecord, SearchSettings, unit_rows, usable
from laion_probe.index.held_out import hashed, held_out, held_out_above, settle
from laion_probe.index.lists import write_mapped
from laion_probe.index.opening import RECORD_FILE, index_file, read_faiss, read_record
from laion_probe.index.plan import (
    CODED,
    ITERATIONS,
    ROTATION_ROUNDS,
    Budget,
    IndexPlan,
    plan_index,
)
from laion_probe.store import atomic_file, fingerprint
from laion_probe.vectors import Embeddings, open_embeddings

__all__ = ["BuiltIndex", "build_index", "planned"]

Floats = NDArray[np.float32]
Progress = Callable[[str, int, int], None]

#: Rows that are read and added at once.
_BLOCK = 16_384
#: Fewer rows than this are nothing to search.
_LEAST_USABLE = 2


@dataclass(frozen=True)
class BuiltIndex:
    """An index that is on disk; ``begun_before`` is of shards that an earlier run left."""

    folder: Path
    record: IndexRecord
    n_shards: int
    begun_before: int


def planned(config: IndexConfig) -> tuple[Embeddings, IndexPlan]:
    """The embeddings, and the index that `build_index` would make of them."""
    embeddings = open_embeddings(config.embeddings, config.of)
    if not embeddings.n_rows:
        raise NotEnoughData(f"{config.embeddings} holds no rows: there is nothing to index")
    budget = Budget(config.max_memory, config.max_time, _threads(config), config.kind)
    return embeddings, plan_index(embeddings.n_rows, embeddings.dim, budget)


def build_index(
    config: IndexConfig, progress: Progress = lambda what, done, of: None
) -> BuiltIndex:
    """Build ``OUT/image.index`` and ``OUT/index.json``, or go on with what a killed run left.

    A finished index of the same embeddings and options is left as it is. Raises `ConfigError` where
    the folder holds another index, or nothing fits the budget; `NotEnoughData` where no row can be
    indexed.
    """
    import faiss

    embeddings, plan = planned(config)
    out = Path(config.out) if config.out else embeddings.folder / "index"
    asked = config.model_dump(exclude={"embeddings", "out", "explain", "max_memory", "max_time"})
    request = [asked, plan.model_dump(), embeddings.fingerprint(), faiss.__version__, __version__]
    work = out / f".building-{fingerprint(request)}"
    if (out / RECORD_FILE).is_file():
        record = read_record(out)
        if record.made_by == _made_by(request):
            shutil.rmtree(work, ignore_errors=True)  # killed between the last two steps
            return BuiltIndex(out, record, 0, 0)
        raise ConfigError(
            f"{out} holds an index of other embeddings or options: give another --out, or remove it"
        )
    if not work.is_dir() and index_file(out, config.of) is not None:
        raise ConfigError(
            f"{out} holds an index that another tool made, or that was begun with other options: "
            "give another --out, or remove it"
        )
    for left in out.glob(".building-*"):
        if left != work:
            shutil.rmtree(left, ignore_errors=True)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(_threads(config))
    try:
        work.mkdir(parents=True, exist_ok=True)
        return _Build(config, embeddings, plan, out, work, _made_by(request)).run(progress)
    except OSError as error:
        raise ConfigError(
            f"building an index in {out} failed: {error.strerror or error}; give --out with a "
            "folder that you may write to, with space: what is finished is kept"
        ) from error
    finally:
        faiss.omp_set_num_threads(threads)


@dataclass(frozen=True)
class _Build:
    config: IndexConfig
    embeddings: Embeddings
    plan: IndexPlan
    out: Path
    work: Path
    made_by: str

    @property
    def trained(self) -> Path:
        return self.work / "trained.index"

    @property
    def index(self) -> Path:
        return self.out / f"{self.config.of}.index"

    def run(self, progress: Progress) -> BuiltIndex:
        if not self.trained.is_file():
            progress("training", 0, 1)
            with atomic_file(self.trained) as path:
                _write(self.train(), path)
            progress("training", 1, 1)
        starts = range(0, self.embeddings.n_rows, self.config.shard_rows)
        shards = [self.work / f"shard-{number:06d}.index" for number in range(len(starts))]
        before = sum(_counts(shard).is_file() for shard in shards)
        for start, shard in zip(starts, shards, strict=True):
            if not _counts(shard).is_file():
                self.add(start, shard)
            progress("indexing", self.rows(start)[1], self.n_rows)
        counts = [json.loads(_counts(shard).read_text()) for shard in shards]
        if sum(n["indexed"] for n in counts) < _LEAST_USABLE:
            raise NotEnoughData(
                f"{self.config.embeddings}: hardly any row of {self.n_rows} is a vector that can "
                "be indexed: the others are all zeros or not finite"
            )
        if not self.index.is_file():
            self.merge(shards, progress)
        record = self.measure(counts, progress)
        scratch = self.work / RECORD_FILE
        scratch.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        scratch.replace(self.out / RECORD_FILE)
        shutil.rmtree(self.work)
        return BuiltIndex(self.out, record, len(shards), before)

    @property
    def n_rows(self) -> int:
        return self.embeddings.n_rows

    def rows(self, start: int) -> tuple[int, int]:
        return start, min(start + self.config.shard_rows, self.n_rows)

    def train(self) -> Any:
        """An empty index whose centroids and codebooks are of a hash sample of usable rows."""
        import faiss

        # 4-bit codes are packed into blocks at the end: shards then merge as any others
        factory = self.plan.factory.replace("x4fsr", "x4")
        index = faiss.index_factory(self.embeddings.dim, factory, faiss.METRIC_INNER_PRODUCT)
        if not self.plan.n_training:
            return index
        sample = self.sample()
        least = max(self.plan.n_lists, 256 if self.plan.factory.endswith("x8") else 16)
        if len(sample) < least:
            raise NotEnoughData(
                f"{self.config.embeddings}: {len(sample)} usable rows to train on, fewer than the "
                f"{least} that {self.plan.factory} needs: give --kind flat"
            )
        outer = faiss.downcast_index(index)
        if isinstance(outer, faiss.IndexPreTransform):
            rotation = faiss.downcast_VectorTransform(outer.chain.at(0))
            rotation.niter = rotation.niter_pq_0 = ROTATION_ROUNDS
            rotation.max_train_points = CODED
            rotation.train(sample)
            sample = rotation.apply(sample)
        ivf = faiss.downcast_index(faiss.extract_index_ivf(index))
        if hasattr(ivf, "pq"):
            ivf.do_polysemous_training = False  # for a search that is not done here; slow
            ivf.pq.cp.niter = ITERATIONS
            ivf.pq.cp.min_points_per_centroid = 1  # what FAISS prints of few rows is in the plan
            ivf.pq.cp.max_points_per_centroid = CODED // ivf.pq.ksub
        _place_centroids(ivf, sample, self.config.seed)
        ivf.train(sample)
        index.is_trained = True
        return index

    def sample(self) -> Floats:
        """Usable rows by their hash, at unit length; they are held once."""
        above = held_out_above(self.n_rows, self.config.queries)
        share = min(above, self.plan.n_training / self.n_rows)
        chosen = [rows[hashed(rows, self.config.seed) < share] for rows in _numbers(self.n_rows)]
        taken = np.empty((sum(map(len, chosen)), self.embeddings.dim), np.float32)
        n_taken = 0
        for rows in chosen:
            vectors = self.embeddings.vectors(rows)
            vectors = vectors[usable(vectors)[0]]
            taken[n_taken : n_taken + len(vectors)] = unit_rows(vectors)
            n_taken += len(vectors)
        return taken[:n_taken]

    def add(self, start: int, shard: Path) -> None:
        """Index the rows of a shard, each under its number, and count those that cannot be."""
        index = read_faiss(self.trained)
        counts = {"indexed": 0, "unreadable": 0, "broken": 0}
        for first, block in _between(self.embeddings, *self.rows(start)):
            vectors = np.asarray(block, np.float32)
            good, broken, lengths = usable(vectors)
            rows = first + np.flatnonzero(good)
            counts["indexed"] += len(rows)
            counts["broken"] += int(broken.sum())
            counts["unreadable"] += int((~good & ~broken).sum())
            unit = np.ascontiguousarray(vectors[good] / lengths[good, None])
            index.add_with_ids(unit, rows)
        with atomic_file(shard) as path:
            _write(index, path)
        with atomic_file(_counts(shard)) as path:
            path.write_text(json.dumps(counts))

    def merge(self, shards: list[Path], progress: Progress) -> None:
        """One index of all shards; of lists that stay on disk none is ever held."""
        import faiss

        index = read_faiss(self.trained)
        scratch = self.work / "merged.index"
        if self.plan.kind == "on-disk":
            write_mapped(index, shards, scratch)
        else:
            whole = faiss.extract_index_ivf(index) if self.plan.n_lists else index
            for number, shard in enumerate(shards, 1):
                part = read_faiss(shard, mapped=True)
                whole.merge_from(faiss.extract_index_ivf(part) if self.plan.n_lists else part, 0)
                index.ntotal = whole.ntotal
                progress("merging", number, len(shards))
            packed = index  # which must outlive it: they share the centroids
            if self.plan.kind == "fastscan":
                packed = faiss.IndexIVFPQFastScan(faiss.downcast_index(whole))
            _write(packed, scratch)
        scratch.replace(self.index)

    def measure(self, counts: list[dict[str, int]], progress: Progress) -> IndexRecord:
        """Settle how the index is searched, and its recall, on rows that it was not trained on."""
        config = self.config
        record = IndexRecord(
            made_by=self.made_by,
            faiss=_faiss_version(),
            of=config.of,
            plan=self.plan,
            fingerprint=self.embeddings.fingerprint(),
            key=None if self.embeddings.key is None else dict(self.embeddings.key),
            n_rows=self.n_rows,
            dim=self.embeddings.dim,
            n_indexed=sum(n["indexed"] for n in counts),
            n_unreadable=sum(n["unreadable"] for n in counts),
            n_broken=sum(n["broken"] for n in counts),
            n_bytes=self.index.stat().st_size,
            seed=config.seed,
            search=SearchSettings(factor=1),
            recall=None,
        )
        k = min(config.k, record.n_indexed)
        held = held_out(self.embeddings, config.queries, k, config.group, config.seed, progress)
        if held is None:
            return record
        index = AnnIndex(
            read_faiss(self.index, mapped=True), self.embeddings, record.search, record
        )
        settings, recall = settle(index, held, config.recall, config.seed)
        recall = recall.model_copy(update={"column": config.group})
        return record.model_copy(update={"search": settings, "recall": recall})


def _place_centroids(ivf: Any, sample: Floats, seed: int) -> None:
    """k-means by its own seed; a graph over the centroids is linked by one thread, in order."""
    import faiss

    means = faiss.Clustering(ivf.d, ivf.nlist)
    means.niter, means.seed, means.spherical = ITERATIONS, 1 + seed % 2**30, True
    means.min_points_per_centroid, means.max_points_per_centroid = 1, 1 << 30
    means.train(sample, faiss.IndexFlatIP(ivf.d))
    centroids = faiss.vector_to_array(means.centroids).reshape(ivf.nlist, ivf.d)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        ivf.quantizer.add(np.ascontiguousarray(centroids))
    finally:
        faiss.omp_set_num_threads(threads)


def _between(embeddings: Embeddings, start: int, stop: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Blocks of the rows from ``start`` to before ``stop``, with the number of their first."""
    for number, part in enumerate(embeddings.parts):
        low, high = max(start, part.first), min(stop, part.first + part.n_rows)
        if low >= high:
            continue
        vectors = embeddings.part(number)
        for first in range(low, high, _BLOCK):
            yield first, vectors[first - part.first : min(first + _BLOCK, high) - part.first]


def _numbers(n_rows: int) -> Iterator[NDArray[np.int64]]:
    """The numbers of all rows, block by block."""
    for start in range(0, n_rows, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, n_rows))


def _counts(shard: Path) -> Path:
    return shard.with_suffix(".json")


def _write(index: Any, path: Path) -> None:
    """FAISS's own writer does not say when the disk is full at the very end."""
    import faiss

    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))


def _threads(config: IndexConfig) -> int:
    import faiss

    return config.threads or int(faiss.omp_get_max_threads())


def _faiss_version() -> str:
    import faiss

    return str(faiss.__version__)


def _made_by(request: list[Any]) -> str:
    return f"laion-probe {__version__}, request {fingerprint(request)}"
