"""How long the geometry takes that `outliers` rests on.

5 000 outputs against a million embeddings of 512 numbers in float16 on disk: clusters, nearest
training rows and neighbourhoods. Data are synthetic (`tools.bench.clustered`), a third of the
outputs from one place of them, and deleted afterwards. What is timed is the two calls, in a process
of its own whose peak memory is its own; recall is that of the nearest rows of 200 outputs against
exact search. Beside it the limit: the bare product of every output with every row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from laion_probe.clusters import ClusterOptions, Outputs, find_clusters
from laion_probe.index.exact import SearchOptions, search
from laion_probe.regions import RegionOptions, neighbourhoods
from laion_probe.vectors import Embeddings, open_embeddings
from tools.bench.clustered import DESCRIBED, clustered_queries, write_clustered
from tools.bench.filters_report import where

__all__ = ["main", "measure", "outliers_lines", "product", "run_outliers"]

_SEED = 7
_ROWS, _DIM, _BLOCK = 1_000_000, 512, 16_384
_BAR_S = 60.0
#: Outputs of a batch, and outputs whose nearest rows are searched for exactly too.
_BATCH, _CHECKED = 25, 200


def measure(folder: Path, n_outputs: int, size: int) -> dict[str, float]:
    """Seconds of both calls, peak memory, and the recall of the nearest rows, in this process."""
    data = open_embeddings(folder)
    outputs = _outputs(data, n_outputs)
    at, cpu = time.perf_counter(), time.process_time()
    found = find_clusters(outputs, data, ClusterOptions())
    between = time.perf_counter()
    hoods = neighbourhoods(data, found.clusters[0].centre, RegionOptions(size))
    end, cpu = time.perf_counter(), time.process_time() - cpu
    peak = _peak_bytes()
    first = found.clusters[0]
    nearest = np.empty((n_outputs, first.nearest.shape[1]), np.int64)
    for cluster in found.clusters:
        nearest[cluster.members] = cluster.nearest
    some = np.random.default_rng(_SEED).choice(n_outputs, min(n_outputs, _CHECKED), replace=False)
    exact = search(data, outputs.vectors[some], SearchOptions(nearest.shape[1], False)).rows
    return {
        "rows": data.n_rows,
        "dim": data.dim,
        "outputs": n_outputs,
        "size": size,
        "clusters": found.n_clusters,
        "find_clusters_s": round(between - at, 1),
        "neighbourhoods_s": round(end - between, 1),
        "cpu_s": round(cpu, 1),
        "peak_mib": round(peak / 2**20),
        "compared": found.compared,
        "recall": float(
            np.mean([np.isin(*both).mean() for both in zip(exact, nearest[some], strict=True)])
        ),
        "first_over_represented": float(first.over_represented),
        "first_stability": first.stability,
        "others": len(hoods.others),
        "places": len(hoods.masses),
    }


def product(folder: Path, n_outputs: int) -> dict[str, float]:
    """Seconds of the bare limit: every output times every row, blocks read and thrown away."""
    data = open_embeddings(folder)
    vectors = _outputs(data, n_outputs).vectors
    at = time.perf_counter()
    best = np.full(n_outputs, -np.inf, np.float32)
    for _, block in data.blocks(_BLOCK):
        np.maximum(best, (vectors @ block.astype(np.float32).T).max(axis=1), out=best)
    return {"product_s": round(time.perf_counter() - at, 1)}


def run_outliers(scratch: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """What is measured, each in a process of its own; the data are deleted with ``scratch``."""
    say("outliers: writing embeddings")
    folder = write_clustered(scratch / "outliers", _ROWS, _DIM, _SEED, 250_000)
    found: dict[str, Any] = {"data": DESCRIBED, "failed": {}}
    for what in ("measure", "product"):
        say(f"outliers: {what}")
        words = [sys.executable, "-m", "tools.bench.outliers", what, str(folder)]
        ended = subprocess.run(words, check=False, capture_output=True, text=True)
        if ended.returncode:
            found["failed"][what] = (ended.stderr or "no word of why").strip()[-300:]
        else:
            found |= json.loads(ended.stdout)
    return found


def outliers_lines(facts: dict[str, Any]) -> list[str]:
    """The section of the page."""
    lines = ["## Outliers", "", where(facts), ""]
    for name, why in facts["failed"].items():
        lines += [f"**Could not be measured: {name}**: {why}", ""]
    if facts["failed"]:
        return lines
    seconds = facts["find_clusters_s"] + facts["neighbourhoods_s"]
    met = "met" if seconds < _BAR_S else "**missed**"
    return [
        *lines,
        f"{facts['outputs']:,} outputs beside {facts['rows']:,} embeddings of {facts['dim']} "
        f"numbers in half precision, on disk; {facts['data']}.",
        "",
        "| what | seconds |",
        "| --- | ---: |",
        f"| clusters, over-representation, links, {facts['clusters']} cells, 11 clusterings "
        f"| {facts['find_clusters_s']} |",
        f"| neighbourhoods of {facts['size']} rows, {facts['others']} others | "
        f"{facts['neighbourhoods_s']} |",
        f"| both (bar: under {_BAR_S:g} on two cores: {met}) | {seconds:.1f} |",
        f"| the bare product of every output with every row | {facts['product_s']} |",
        "",
        f"That is {seconds / facts['product_s']:.2f} times the bare product. Peak memory "
        f"{facts['peak_mib']:,} MiB, pages of the mapped files included. Of the 10 nearest rows of "
        f"{_CHECKED} outputs {100 * facts['recall']:.1f} % are found, by comparing "
        f"{100 * facts['compared']:.0f} % of the cells.",
        "",
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure one thing in this process and print it as JSON."""
    p = argparse.ArgumentParser(prog="python -m tools.bench.outliers", description=__doc__)
    p.add_argument("what", choices=("measure", "product"))
    p.add_argument("folder", type=Path, help="embeddings")
    p.add_argument("--outputs", type=int, default=5_000)
    p.add_argument("--size", type=int, default=500, help="rows of a neighbourhood")
    args = p.parse_args(argv)
    if args.what == "measure":
        found = measure(args.folder, args.outputs, args.size)
    else:
        found = product(args.folder, args.outputs)
    print(json.dumps(found))
    return 0


def _outputs(data: Embeddings, n: int) -> Outputs:
    """Two in three as the data are, the others from one cluster of theirs."""
    vectors = clustered_queries(n, data.n_rows, data.dim, _SEED)
    near = search(data, vectors[:1], SearchOptions(max(10, n // 20), False)).rows[0]
    rng = np.random.default_rng(_SEED)
    copies = data.vectors(rng.choice(near, n // 3))
    copies += rng.normal(0, 0.15 / np.sqrt(data.dim), copies.shape)
    vectors[: n // 3] = copies
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Outputs(rng.permutation(vectors), np.arange(n) // _BATCH)


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    sys.exit(main())
