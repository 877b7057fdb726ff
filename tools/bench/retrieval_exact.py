"""Exact search from disk beside `faiss.knn` in memory and the bare matrix product, in one run.

``python -m tools.bench.retrieval_exact`` prints what `measure` found. Contenders take turns: ours
in a process of its own that reads float16 files, peers in another that holds the same vectors, of
unit length, in float32. What is timed is the call alone; our process is watched as a whole.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from laion_probe.index.exact import SearchOptions, search
from laion_probe.vectors import open_embeddings
from tools.bench.clustered import DESCRIBED, clustered_queries, write_clustered
from tools.bench.measure import resident

__all__ = ["Measured", "Set", "measure"]

GIB = 1 << 30
_SEED = 7
#: Rows that are multiplied at once by the bare product.
_BLOCK = 4096


@dataclass(frozen=True)
class Set:
    """What is searched: ``rows`` of ``dim`` numbers, in parts, by ``queries`` for ``k`` each."""

    rows: int = 2_000_000
    dim: int = 512
    queries: int = 153
    k: int = 1000
    part_rows: int = 500_000


@dataclass(frozen=True)
class Measured:
    """Seconds by contender, a turn each, and what else the bars are about.

    ``cold_s`` is ours after the files were dropped from the page cache; ``peak_bytes`` the most
    that our process held (VmHWM), ``start_bytes`` what it held before the first search (libraries).
    ``most_apart`` is the largest difference of a score at the same rank from `faiss.knn`'s,
    ``in_common`` the share of hits that both found.
    """

    of: Set
    described: str
    seconds: dict[str, list[float]]
    cold_s: float
    start_bytes: int
    peak_bytes: int
    most_apart: float
    in_common: float

    def least(self, name: str) -> float:
        """The quickest turn."""
        return min(self.seconds[name])

    def bars(self) -> dict[str, tuple[float, float, bool]]:
        """Each bar with the value measured, the value wanted, and whether it is met.

        Ratios are of the quickest turns: other work on the machine only ever adds.
        """
        bare = min(self.least("torch.mm"), self.least("numpy.matmul"))
        faster = self.least("faiss.knn") / self.least("ours")
        over = self.least("ours") / bare
        peak = self.peak_bytes / GIB
        return {
            "times as fast as faiss.knn": (faster, 1.2, faster >= 1.2),
            "times the bare product": (over, 2.0, over <= 2.0),
            "peak RSS, GiB": (peak, 1.5, peak < 1.5),
        }


def measure(given: Set | None = None, turns: int = 3, folder: Path | None = None) -> Measured:
    """Make the set in a temporary folder (under ``folder``), let all take turns, and remove it."""
    given = given or Set()
    with tempfile.TemporaryDirectory(prefix="lp-exact", dir=folder) as name:
        data = write_clustered(Path(name) / "set", given.rows, given.dim, _SEED, given.part_rows)
        queries = clustered_queries(given.queries, given.rows, given.dim, _SEED)
        with (
            _Contender(_ours, data, queries, given) as ours,
            _Contender(_peers, data, queries, given) as peers,
        ):
            start_bytes = resident(ours.pid)[1]
            asked = {
                "ours": ours,
                "ours, no histogram": ours,
                "faiss.knn": peers,
                "torch.mm": peers,
                "numpy.matmul": peers,
            }
            seconds: dict[str, list[float]] = {n: [] for n in asked}
            names = list(asked)
            for turn in range(turns):
                for n in (*names[turn % len(names) :], *names[: turn % len(names)]):
                    seconds[n].append(asked[n].ask(n))
            mine, theirs = ours.ask("hits"), peers.ask("hits")
            _drop_from_cache(data)
            cold_s = ours.ask("ours")
            peak_bytes = resident(ours.pid)[1]
    in_common = [len(np.intersect1d(a, b)) for a, b in zip(mine[0], theirs[0], strict=True)]
    return Measured(
        of=given,
        described=DESCRIBED,
        seconds=seconds,
        cold_s=cold_s,
        start_bytes=start_bytes,
        peak_bytes=peak_bytes,
        most_apart=float(np.abs(mine[1] - theirs[1]).max()),
        in_common=sum(in_common) / mine[0].size,
    )


class _Contender:
    """A process that answers by name: the seconds that its work took, or the last hits."""

    def __init__(self, work: Callable[..., Any], *given: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, *given), daemon=True)

    def __enter__(self) -> _Contender:
        self.process.start()
        self.pipe.recv()
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.terminate()
        self.process.join()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def ask(self, name: str) -> Any:
        """The answer, once it is there."""
        self.pipe.send(name)
        return self.pipe.recv()


def _serve(pipe: Connection, work: Callable[..., Any], *given: Any) -> None:
    contenders = work(*given)
    hits: Any = None
    pipe.send("ready")
    while True:
        name = pipe.recv()
        if name == "hits":
            pipe.send(hits)
            continue
        started = time.perf_counter()
        found = contenders[name]()
        pipe.send(time.perf_counter() - started)
        hits = found or hits


def _ours(data: Path, queries: Any, given: Set) -> dict[str, Callable[[], Any]]:
    import faiss  # noqa: F401 - what a search imports is there before it is timed
    import torch  # noqa: F401

    embeddings = open_embeddings(data)

    def run(histogram: bool) -> Any:
        hits = search(embeddings, queries, SearchOptions(given.k, histogram))
        return hits.rows, hits.scores

    return {"ours": lambda: run(True), "ours, no histogram": lambda: run(False)}


def _peers(data: Path, queries: Any, given: Set) -> dict[str, Callable[[], Any]]:
    import faiss
    import torch

    embeddings = open_embeddings(data)
    vectors = np.empty((given.rows, given.dim), np.float32)
    for first, block in embeddings.blocks(50_000):
        rows = block.astype(np.float32)
        vectors[first : first + len(rows)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    out = np.empty((given.queries, _BLOCK), np.float32)
    blocks = [vectors[i : i + _BLOCK] for i in range(0, given.rows, _BLOCK)]
    tensors, asked = [torch.from_numpy(b) for b in blocks], torch.from_numpy(queries)

    def knn() -> Any:
        scores, rows = faiss.knn(queries, vectors, given.k, metric=faiss.METRIC_INNER_PRODUCT)
        return rows, scores

    def by_torch() -> None:
        for block in tensors:
            torch.mm(asked, block.T, out=torch.from_numpy(out)[:, : len(block)])

    def by_numpy() -> None:
        for block in blocks:
            np.matmul(queries, block.T, out=out[:, : len(block)])

    return {"faiss.knn": knn, "torch.mm": by_torch, "numpy.matmul": by_numpy}


def _drop_from_cache(folder: Path) -> None:
    for path in folder.rglob("*.npy"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Measure, and print seconds, bars and the rest as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=Set.rows)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=None, help="where the set is made")
    args = parser.parse_args()
    found = measure(Set(rows=args.rows), args.turns, args.dir)
    middle = {n: round(statistics.median(s), 2) for n, s in found.seconds.items()}
    print(json.dumps({**asdict(found), "median_s": middle, "bars": found.bars()}))


if __name__ == "__main__":
    main()
