"""How small, good and fast an index is: ours and autofaiss' default choice, at the same memory.

Vectors are those of `tools.bench.clustered`; queries are drawn as its rows are, and are none of
them. autofaiss runs in an environment of its own, since it needs an older numpy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laion_probe.config.embedding import IndexConfig
from laion_probe.index.ann import AnnIndex
from laion_probe.index.build import build_index
from laion_probe.index.exact import SearchOptions, search
from laion_probe.index.opening import open_index
from laion_probe.index.recall import Found, found_of, measured_recall
from laion_probe.vectors import Embeddings, open_embeddings
from tools.bench import measure as processes
from tools.bench.clustered import DESCRIBED, GROUPS, clustered_queries, write_clustered

__all__ = ["Size", "measure"]

Floats = NDArray[np.float32]

#: Bytes of the flat float32 vectors for one of the index.
SMALLER = 8
_K, _QUERIES, _TIMED = 1000, 200, 100
_SEED = 0
_PEER_TIMEOUT_S = 3600.0
_PEER = """
import json, sys, time
import faiss
from autofaiss import build_index
rotation = faiss.OPQMatrix  # newer FAISS takes no keywords here, which autofaiss gives
faiss.OPQMatrix = lambda d, M=1, d2=-1: rotation(d, M, d2)
folder, index, memory = sys.argv[1:]
begun = time.monotonic()
build_index(folder + "/img_emb", index_path=index + "/knn.index",
            index_infos_path=index + "/index_infos.json", max_index_memory_usage=memory,
            current_memory_available="8G", metric_type="ip", verbose=30)
print(json.dumps({"seconds": time.monotonic() - begun}))
"""


@dataclass(frozen=True)
class Size:
    """How large the set is."""

    rows: int = 2_000_000
    dim: int = 512
    part_rows: int = 100_000


def measure(
    scratch: Path,
    size: Size | None = None,
    peer: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Figures of ours and, where ``peer`` is a Python that has autofaiss, of its default choice.

    Both are given an eighth of the bytes of the flat float32 vectors.
    """
    size = size or Size()
    folder = scratch / "clustered"
    if not folder.is_dir():
        say(f"writing {size.rows} × {size.dim}")
        write_clustered(folder, size.rows, size.dim, _SEED, size.part_rows)
    embeddings = open_embeddings(folder)
    flat = 4 * size.rows * size.dim
    queries = clustered_queries(_QUERIES, size.rows, size.dim, _SEED)
    exact = search(embeddings, queries, SearchOptions(k=_K, histogram=False))
    true = exact.rows, exact.scores
    config = IndexConfig(
        embeddings=str(folder),
        out=str(scratch / "ours"),
        max_memory=flat / SMALLER,
        group="group",
        k=_K,
    )
    say("building ours")
    begun = time.monotonic()
    record = build_index(config).record
    ours = open_index(scratch / "ours", embeddings)
    facts: dict[str, Any] = {
        "set": DESCRIBED,
        "rows": size.rows,
        "dim": size.dim,
        "k": _K,
        "queries": _QUERIES,
        "most_bytes": flat // SMALLER,
        "ours": {
            "factory": record.plan.factory,
            "n_probes": record.search.n_probes,
            "factor": record.search.factor,
            "build_s": time.monotonic() - begun,
            "bytes": record.n_bytes,
            "stored_recall": record.recall and record.recall.mean.value,
            **_figures(ours, embeddings, queries, true),
        },
    }
    if peer is not None:
        say("building autofaiss' choice")
        path = scratch / "theirs" / "knn.index"
        path.parent.mkdir(exist_ok=True)
        theirs: dict[str, Any] = {}
        if not path.is_file():  # a folder that is kept may have it from an earlier run
            memory = f"{flat // SMALLER // 2**20}M"
            words = [str(peer), "-c", _PEER, str(folder), str(path.parent), memory]
            theirs["build_s"] = processes.run(words, scratch, timeout_s=_PEER_TIMEOUT_S).said[
                "seconds"
            ]
        theirs["bytes"] = path.stat().st_size
        facts["autofaiss"] = theirs | _figures(open_index(path), embeddings, queries, true)
        rescored = _figures(open_index(path, embeddings), embeddings, queries, true)
        facts["autofaiss_scored_anew"] = rescored
    return facts


def _figures(
    index: AnnIndex, embeddings: Embeddings, queries: Floats, true: tuple[NDArray[np.int64], Floats]
) -> dict[str, Any]:
    """Recall with its worst tenth and groups, and the time of one query at a time."""
    hit = found_of(true, index.search(queries, _K))
    distinct, where = np.unique(true[0], return_inverse=True)
    column = embeddings.metadata(distinct, ["group"])["group"].to_numpy()
    names = tuple(GROUPS)
    group = np.searchsorted(sorted(names), column)[where].reshape(true[0].shape)
    kind = np.full(len(queries), "image")
    recall = measured_recall(
        Found(hit, true[0], kind, group, tuple(sorted(names))), _SEED, 0.97, True
    )
    times = []
    for query in queries[:_TIMED]:
        begun = time.perf_counter()
        index.search(query[None], _K)
        times.append(time.perf_counter() - begun)
    return {
        "recall": recall.mean.value,
        "recall_interval": (recall.mean.low, recall.mean.high),
        "worst_tenth": recall.worst_tenth.value,
        "by_group": {name: e.value for name, e in recall.by_group.items()},
        "gap": recall.gap and recall.gap.value,
        "p50_s": statistics.median(times),
        "p95_s": float(np.quantile(times, 0.95)),
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=Size.rows)
    parser.add_argument("--peer", type=Path, default=None, help="a Python that has autofaiss")
    parser.add_argument("--dir", type=Path, default=None, help="where the set is made, and kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.dir or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(folder, Size(rows=args.rows), args.peer)))


if __name__ == "__main__":
    main()
