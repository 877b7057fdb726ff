"""The measured figures as JSON, and the same as a page."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from laion_probe import __version__
from tools.bench.data import GROUP_ROWS, Corpus
from tools.bench.figures import MIB, Bar, Figures, spread
from tools.bench.filters_report import filter_lines, where
from tools.bench.labels_report import label_lines
from tools.bench.outliers import outliers_lines
from tools.bench.peers import MAX_PIXELS, MIN_CHARACTERS, MIN_SIMILARITY
from tools.bench.plan import RUNNERS
from tools.bench.retrieval import retrieval_lines

_OURS = ("polars", "pyarrow", "ray")


def facts_of(
    f: Figures, corpus: Corpus, data: dict[str, float], args: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    """Everything, for machines: no host, path or date."""
    return {
        "machine": machine(),
        "versions": {
            "ours": {name: version_of(name) for name in ("laion-probe", *_OURS)},
            "peers": f.versions,
        },
        "data": {
            "rows": {path.stem: n for path, n in f.files.rows.items()},
            "row_group_rows": GROUP_ROWS,
            "how": corpus.describe(),
            **{k: round(v, 3) for k, v in data.items()},
        },
        "runs": args.runs,
        "seconds": round(seconds),
        "approaches": {name: _approach(f, name) for name in f.kinds},
        "memory": {name: _memory(f, name) for name in RUNNERS if f.peaks(name, f.files.small)},
        "kept": {path.stem: next(iter(k.values())) for path, k in f.kept.items()},
        "kept_differs": f.differ,
        "failed": {f"{name}, {path.stem}": why for (name, path), why in f.failed.items()},
        "bars": [asdict(bar) for bar in f.bars],
    }


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "architecture": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
    }


def version_of(name: str) -> str:
    """Of a package in this environment."""
    if name == "laion-probe":
        return __version__  # an editable installation may be of another one
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _approach(f: Figures, name: str) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": f.kinds[name], "seconds": {}, "rows_per_s": {}}
    for path in f.files.rows:
        if (found := f.of(name, path)) is not None:
            out["seconds"][path.stem] = {
                "whole_process": _rounded(found.whole_s),
                "call": _rounded(found.call_s),
            }
    rates = {"whole_process": f.whole(name), "steady": f.steady(name), "late_units": f.late(name)}
    out["rows_per_s"] = {k: [round(x) for x in v] for k, v in rates.items() if v}
    return out


def _memory(f: Figures, name: str) -> dict[str, Any]:
    out = {}
    for path in dict.fromkeys((f.files.small, f.files.large)):
        found = f.of(f"memory of {name}", path)
        if found is not None:
            out[path.stem] = [
                {
                    "together_mib": round(m.together / MIB),
                    "parent_mib": round(m.parent / MIB),
                    "workers_mib": [round(n / MIB) for n in m.others],
                }
                for m in found.memory
            ]
    return out


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(v, 3) for v in values]


def lines_of(facts: dict[str, Any]) -> list[str]:
    """The page; a part that was never measured is left out."""
    lines = ["# Benchmarks", "", "Written by `make bench`.", ""]
    if "approaches" in facts:
        lines += _scan_lines(facts)
    if facts.get("filters"):
        lines += filter_lines(facts["filters"])
    if facts.get("labels"):
        lines += label_lines(facts["labels"])
    if facts.get("retrieval"):
        lines += retrieval_lines(facts["retrieval"])
    if facts.get("outliers"):
        lines += outliers_lines(facts["outliers"])
    return lines


def _scan_lines(facts: dict[str, Any]) -> list[str]:
    rows, n = facts["data"]["rows"], facts["runs"]
    return [
        "## Scans",
        "",
        where(facts),
        "",
        *_warnings(facts),
        "### Bars",
        "",
        "| what | wanted | measured | lowest to highest | |",
        "| --- | --- | ---: | ---: | --- |",
        *(_bar_line(Bar(**bar)) for bar in facts["bars"]),
        "",
        f"Ratios are of runs of the same round; medians of {n}. Missed bars stand as missed.",
        "",
        f"### The same filter and count, {rows['main']:,} rows",
        "",
        "| what | whole process, s | rows/s, whole process | rows/s, steady |",
        "| --- | ---: | ---: | ---: |",
        *_rate_lines(facts, ("bare", "scan", "cli", "stream")),
        "",
        *_method(facts),
        "### Recipes and detectors",
        "",
        f"One process; the first {rows['slow']:,} rows for recipes, 20,000 captions (300 for "
        "langdetect) for detectors, whose models are loaded before the clock starts. Every step is "
        "judged on every row. Rows or captions a second.",
        "",
        "| what | per second | lowest to highest |",
        "| --- | ---: | ---: |",
        *_plain_lines(facts, ("recipe", "detector")),
        "",
        *_memory_lines(facts),
    ]


def _warnings(facts: dict[str, Any]) -> list[str]:
    out = []
    for name, why in facts["failed"].items():
        out += [f"**Could not be measured: {name}**: {why[:200]}", ""]
    if facts["kept_differs"]:
        names = ", ".join(facts["kept_differs"])
        out += [f"**The comparison is void: {names} kept other rows than the first.**", ""]
    if facts["runs"] < 3:
        out += ["**A short run, with fewer than three repetitions: not to be quoted.**", ""]
    if "large" not in facts["data"]["rows"]:
        out += ["**Without the large file: steady rates are less sure.**", ""]
    return out


def _bar_line(bar: Bar) -> str:
    if bar.value is None or bar.spread is None:
        return f"| {bar.name} | {bar.wanted} | not measured | | **missed** |"
    unit, digits = bar.unit, 2 if bar.unit == "×" and bar.value < 10 else 0
    if bar.unit == " %":
        digits = 1
    ends = " to ".join(f"{x:.{digits}f}" for x in bar.spread)
    met = "met" if bar.met else "**missed**"
    return f"| {bar.name} | {bar.wanted} | {bar.value:.{digits}f}{unit} | {ends} | {met} |"


def _rate_lines(facts: dict[str, Any], kinds: Sequence[str]) -> list[str]:
    out = []
    for name, a in facts["approaches"].items():
        if a["kind"] not in kinds or not a["seconds"]:
            continue
        file = "main" if "main" in a["seconds"] else "slow"
        note = "" if file == "main" else f" ({facts['data']['rows'][file]:,} rows)"
        whole = a["seconds"][file]["whole_process"]
        rows = facts["data"]["rows"][file]
        cells = [_spread(whole, 2), _spread([rows / s for s in whole], 0)]
        cells.append(_spread(a["rows_per_s"].get("steady", []), 0))
        out.append(f"| {name}{note} | " + " | ".join(cells) + " |")
    return out


def _plain_lines(facts: dict[str, Any], kinds: Sequence[str]) -> list[str]:
    out = []
    for name, a in facts["approaches"].items():
        if a["kind"] in kinds and (rates := a["rows_per_s"].get("steady")):
            middle, low, high = spread(rates)
            out.append(f"| {name} | {middle:,.0f} | {low:,.0f} to {high:,.0f} |")
    return out


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    middle, low, high = spread(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def _method(facts: dict[str, Any]) -> list[str]:
    rows, data = facts["data"]["rows"], facts["data"]
    small, large = ("main", "large") if "large" in rows else ("small", "main")
    return [
        f"**The data.** {data['how']} Parquet, snappy, row groups of "
        f"{data['row_group_rows']:,} rows, the columns URL, TEXT, WIDTH, HEIGHT, similarity and "
        f"NSFW. Captions have {data['mean_characters']:.0f} characters ({data['mean_bytes']:.0f} "
        f"bytes) on average; {data['distinct_share']:.0%} of them are distinct. Smaller files are "
        "the beginning of larger ones, and all are in the page cache: nothing waits for a disk.",
        "",
        f"**The filter.** Captions of at least {MIN_CHARACTERS} characters, at most "
        f"{MAX_PIXELS:,} pixels, similarity of at least {MIN_SIMILARITY}; five columns are read, "
        "and what is kept is counted by NSFW. "
        + (
            "The counts of all approaches are the same. "
            if not facts["kept_differs"]
            else "**The counts differ.** "
        )
        + "A scan does more: it judges every step on every row, counts the patterns of steps by "
        "group, keeps each row group's counts on disk and follows the share that is kept. Its "
        "cache is empty each time. The line with the report is the command line as a user starts "
        "it, figures and HTML included.",
        "",
        f"**Times.** Each figure is of a fresh process; approaches take turns, {facts['runs']} "
        "runs each; medians, with the lowest and the highest. *Whole process* is from before the "
        "process starts to its end: interpreter, imports, the start of workers or of Ray. *Steady* "
        f"leaves out what is paid once: the slope of the call's own time between {rows[small]:,} "
        f"and {rows[large]:,} rows ({rows['small']:,} and {rows['main']:,} for `datasets` by Arrow "
        f"batches, {rows['tiny']:,} and {rows['slow']:,} for `datasets` by rows and `datatrove`). "
        "Ratios between runners (two processes to one, Ray to the pool) take the "
        "rows between the result of the middle and of the last row group of the largest file, so "
        "that the start of workers is not in them. Thread counts are left at the libraries' "
        "defaults: peers may use all cores, and the bare filters do. `datasets` by rows is a plain "
        "loop over the stream, `datatrove` its ParquetReader and LambdaFilter without the "
        f"executor; both read {rows['slow']:,} rows and are compared per row. They use one core, "
        "our pool two.",
        "",
    ]


def _memory_lines(facts: dict[str, Any]) -> list[str]:
    out = [
        "### Memory",
        "",
        "Peak resident memory in MiB, sampled every 20 ms over the process and all its "
        "descendants. *Together* is the highest sum at one moment: pages that processes share "
        "(libraries) count once in each, so it is an upper bound. *Parent* and *each worker* are "
        "each process's own peak as the kernel keeps it. Medians; these runs are not timed.",
        "",
        "| what | rows | together | parent | each worker |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, by_file in facts["memory"].items():
        for stem, runs in by_file.items():
            rows = facts["data"]["rows"][stem]
            together = _spread([r["together_mib"] for r in runs], 0)
            parent = _spread([r["parent_mib"] for r in runs], 0)
            # multiprocessing starts a small helper beside the workers
            workers = [w for r in runs for w in r["workers_mib"] if w > 64]
            out.append(f"| {name} | {rows:,} | {together} | {parent} | {_spread(workers, 0)} |")
    return [*out, ""]
