"""Measure speed as ratios to named peers in one run: `make bench` writes docs/benchmarks.md.

Each figure is the median of several runs in this process; the peer is what the data can be read at
with nothing of ours in the way.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from laion_probe.language import DETECTORS, make_detector
from laion_probe.recipes import load_recipe
from laion_probe.scan import resolve, scan_unit
from laion_probe.shards import list_shards, list_units

ROOT = Path(__file__).parent.parent
COPIES = 5
RUNS = 3


def median_s(work: Callable[[], object]) -> float:
    """Median seconds of RUNS runs, after one that does not count."""
    work()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def make_shards(folder: Path) -> int:
    """The demo shards COPIES times, with distinct URLs, and how many rows these are."""
    rows = 0
    for copy in range(COPIES):
        for path in sorted((ROOT / "data" / "demo" / "shards").glob("*.parquet")):
            table = pl.read_parquet(path).with_columns(pl.format("{}?copy={}", "URL", copy))
            table.write_parquet(folder / f"{copy}-{path.name}", row_group_size=10_000)
            rows += len(table)
    return rows


def bare_filter(folder: Path) -> int:
    """Polars alone: read five columns and apply the row-local thresholds of laion400m."""
    lazy = pl.scan_parquet(folder / "*.parquet").select(
        "URL", "TEXT", "WIDTH", "HEIGHT", "similarity"
    )
    kept = lazy.filter(
        (pl.col("TEXT").str.len_chars() >= 5)
        & (pl.col("WIDTH") * pl.col("HEIGHT") <= 89_478_484)
        & (pl.col("similarity") >= 0.3)
    )
    return len(kept.collect())


def scan(folder: Path, recipe: str) -> int:
    """Our scan, in one process, without its cache."""
    plan = load_recipe(recipe)
    units = list_units(list_shards([str(folder)]))
    return resolve(plan, units, [scan_unit(u, plan) for u in units]).counts.n_rows


def main() -> int:
    """Write docs/benchmarks.md and, for machines, docs/benchmarks.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = make_shards(folder)
        texts = [t or "" for t in pl.read_parquet(folder / "0-*.parquet")["TEXT"].to_list()][
            :20_000
        ]
        found = {"polars, bare filter": rows / median_s(lambda: bare_filter(folder))}
        for recipe in ("none", "laion400m", "laion5b-en"):
            found[f"scan, {recipe}"] = rows / median_s(lambda r=recipe: scan(folder, r))
        for detector in DETECTORS:
            some = texts[:300] if detector == "langdetect" else texts
            detect = make_detector(detector)
            found[f"detector, {detector}"] = len(some) / median_s(lambda d=detect, s=some: d(s))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    best = found["polars, bare filter"]
    lines = [
        "# Benchmarks\n",
        f"`make bench`, one process, {rows} rows of the demo shards ({COPIES} copies), medians of "
        f"{RUNS} runs on {platform.machine()} with Python {platform.python_version()}. Rows or "
        f"captions a second, and the ratio to polars' bare filter of the same columns in the same "
        f"run. Peak memory of the whole run: {peak:.0f} MiB.\n",
        "| what | per second | ratio |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {k} | {v:,.0f} | {v / best:.4f} |" for k, v in found.items()]
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    facts = {"rows": rows, "peak_rss_mib": round(peak), "per_second": found}
    (ROOT / "docs" / "benchmarks.json").write_text(json.dumps(facts, indent=2) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
