"""The fourth part of the benchmark: exact search, indexes, embedding and serving.

Each is measured by a module of its own, in a process of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench import measure
from tools.bench.figures import Bar

#: What is measured: each by a command line that prints JSON. "beside" is the index on fewer rows,
#: where autofaiss can build its own in a quarter of an hour.
PARTS = {
    "exact": ("retrieval_exact",),
    "index": ("retrieval_index",),
    "beside": ("retrieval_index", "--rows", "200000"),
    "embed": ("retrieval_embed",),
    "serve": ("retrieval_serve",),
}
_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Peer:
    """A Python that has autofaiss, and a folder where what it builds is kept."""

    python: Path
    folder: Path


def run_retrieval(
    scratch: Path, peer: Peer | None, only: Sequence[str], say: Callable[[str], None]
) -> dict[str, Any]:
    """Everything, as facts for machines; what failed is named."""
    started = time.monotonic()
    facts: dict[str, Any] = {"failed": {}}
    for name in only:
        say(f"retrieval: {name}, {time.monotonic() - started:.0f} s so far")
        module, *words = PARTS[name]
        words = [sys.executable, "-m", f"tools.bench.{module}", *words]
        if name == "beside":
            if peer is None:
                continue
            words += ["--peer", str(peer.python), "--dir", str(peer.folder)]
        try:
            facts[name] = measure.run(words, scratch, timeout_s=_TIMEOUT_S).said
        except measure.TaskError as error:
            facts["failed"][name] = str(error)
    facts["seconds"] = round(time.monotonic() - started)
    facts["bars"] = [vars(bar) for bar in _bars(facts)]
    return facts


def _bars(facts: dict[str, Any]) -> list[Bar]:
    out = []
    if exact := facts.get("exact"):
        wanted = {
            "times as fast as faiss.knn": "at least 1.2",
            "times the bare product": "at most 2",
        }
        for name, (value, limit, met) in exact["bars"].items():
            said = wanted.get(name, f"under {limit:g}")
            unit = " GiB" if "GiB" in name else "×"
            out.append(
                Bar(f"exact search: {name.removesuffix(', GiB')}", said, value, None, met, unit)
            )
    if index := facts.get("index"):
        out += _of_index(index)
    out += _of_peer(facts.get("beside"))
    for model in facts.get("embed", ()):
        low, high = min(model["ratios"]), max(model["ratios"])
        out.append(Bar(model["name"], model["wanted"], model["value"], (low, high), model["met"]))
    if served := facts.get("serve"):
        n = sum(served["errors"].values())
        name = f"serve: errors of {served['clients']} clients in {served['seconds']:.0f} s"
        out.append(Bar(name, "none", float(n), None, n == 0, ""))
    return out


def _of_index(facts: dict[str, Any]) -> list[Bar]:
    ours = facts["ours"]
    size = ours["bytes"] / facts["most_bytes"] / 8
    gap, recall = abs(ours["gap"] or 0.0), ours["recall"]
    return [
        Bar("index: size, of the flat fp32 one", "at most 0.125", size, None, size <= 1 / 8),
        Bar("index: recall@1000", "at least 0.97", recall, None, recall >= 0.97, ""),
        Bar(
            "index: recall in the worst tenth",
            "at least 0.90",
            ours["worst_tenth"],
            None,
            ours["worst_tenth"] >= 0.9,
            "",
        ),
        Bar("index: gap of groups", "at most 1 point", 100 * gap, None, gap <= 0.01, " points"),
        Bar("index: p50 of one query", "under 20 ms", 1000 * ours["p50_s"], None,
            ours["p50_s"] < 0.02, " ms"),
    ]  # fmt: skip


def _of_peer(facts: dict[str, Any] | None) -> list[Bar]:
    name = "index: recall@1000 beyond autofaiss' default choice"
    if facts is None:
        return [Bar(name, "above 0", None, None, False, "")]
    ours, theirs = facts["ours"], facts["autofaiss"]
    better = ours["recall"] - theirs["recall"]
    faster = theirs["p50_s"] / ours["p50_s"]
    of = f"{facts['rows']:,} rows"
    return [
        Bar(f"{name}, {of}", "above 0", 100 * better, None, better > 0, " points"),
        Bar(f"index: p50 beside autofaiss' choice, {of}", "above 1", faster, None, faster > 1),
    ]


def retrieval_lines(facts: dict[str, Any]) -> list[str]:
    """The section of the page."""
    lines = [
        "## Retrieval",
        "",
        "| what | wanted | measured | |",
        "| --- | --- | ---: | --- |",
        *(_line(bar) for bar in facts["bars"]),
        "",
        "Missed bars stand as missed.",
        "",
    ]
    for name, why in facts["failed"].items():
        lines += [f"**Could not be measured: {name}**: {why[:300]}", ""]
    if exact := facts.get("exact"):
        of = exact["of"]
        lines += [
            f"### Exact search: {of['queries']} queries, {of['k']:,} nearest of {of['rows']:,} × "
            f"{of['dim']}",
            "",
            "| what | seconds, by turn |",
            "| --- | ---: |",
            *(
                f"| {name} | {', '.join(f'{s:.2f}' for s in seconds)} |"
                for name, seconds in exact["seconds"].items()
            ),
            f"| ours, files not in the page cache | {exact['cold_s']:.2f} |",
            "",
            "*Ours* reads float16 files in a process of its own; peers have the vectors in memory, "
            f"in float32. Scores are at most {exact['most_apart']:.1g} from faiss.knn's; "
            f"{100 * exact['in_common']:.2f} % of hits are the same. Our process held "
            f"{exact['peak_bytes'] / 2**30:.2f} GiB at most, "
            f"{exact['start_bytes'] / 2**30:.2f} GiB of it before the first search. "
            f"The set: {exact['described']}",
            "",
        ]
    if index := facts.get("index"):
        lines += _index_lines(index)
    if beside := facts.get("beside"):
        lines += _index_lines(beside)
        lines += [
            "autofaiss was told the same memory; what it chose was built by one thread at low "
            "priority, with a shim for a keyword that newer FAISS does not take.",
            "",
        ]
    if embed := facts.get("embed"):
        lines += [
            "### Embedding",
            "",
            "| model | bare loop, pictures/s | ours |",
            "| --- | ---: | ---: |",
        ]
        for model in embed:
            rates = {
                k: ", ".join(f"{r:,.0f}" for r in v) for k, v in model["pictures_per_s"].items()
            }
            lines.append(f"| {model['name']} | {rates['bare']} | {rates['ours']} |")
        lines += ["", "A ViT-B-32 has random weights here: the time is the same.", ""]
    if served := facts.get("serve"):
        lines += [
            f"### Serving: {served['clients']} clients, exact search of {served['rows']:,} rows",
            "",
            f"{served['answers']:,} answers in {served['seconds']:.0f} s, "
            f"{served['answers_a_second']:.0f} a second; p50 {served['p50_ms']:,.0f} ms, "
            f"p95 {served['p95_ms']:,.0f} ms, p99 {served['p99_ms']:,.0f} ms; errors: "
            f"{json.dumps(served['errors']) if served['errors'] else 'none'}. Clients and server "
            "share the machine.",
            "",
        ]
    return lines


def _index_lines(facts: dict[str, Any]) -> list[str]:
    lines = [
        f"### Indexes of {facts['rows']:,} × {facts['dim']}, at most "
        f"{facts['most_bytes'] / 2**20:,.0f} MiB",
        "",
        "| index | MiB | built in s | recall@1000 | worst tenth | gap, points | p50 ms | p95 ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    named = {
        "ours": f"ours: {facts['ours']['factory']}",
        "autofaiss": "autofaiss' default choice",
        "autofaiss_scored_anew": "the same, opened and scored anew by ours",
    }
    for key, name in named.items():
        if (f := facts.get(key)) is not None:
            size = f"{f['bytes'] / 2**20:,.0f}" if "bytes" in f else "the same"
            built = f"{f['build_s']:,.0f}" if "build_s" in f else "–"
            gap = "–" if f["gap"] is None else f"{100 * abs(f['gap']):.2f}"
            recall = f"{f['recall']:.4f} | {f['worst_tenth']:.4f}"
            times = f"{1000 * f['p50_s']:.1f} | {1000 * f['p95_s']:.1f}"
            lines.append(f"| {name} | {size} | {built} | {recall} | {gap} | {times} |")
    return [*lines, "", f"{facts['queries']} queries, drawn as rows are and none of them.", ""]


def _line(bar: dict[str, Any]) -> str:
    met = "met" if bar["met"] else "**missed**"
    value = "not measured" if bar["value"] is None else f"{bar['value']:,.3g}{bar['unit']}"
    return f"| {bar['name']} | {bar['wanted']} | {value} | {met} |"
