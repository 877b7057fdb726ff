"""`make bench`: measure everything in one run and write docs/benchmarks.md and .json."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.bench import data, measure
from tools.bench.figures import Figures, judge
from tools.bench.filters import ROWS, run_filters
from tools.bench.filters_report import OF_FILTERS
from tools.bench.labels import run_labels
from tools.bench.labels_report import OF_LABELS, PEERS_OF_LABELS
from tools.bench.outliers import run_outliers
from tools.bench.plan import Approach, Files, approaches, memory_approaches
from tools.bench.report import facts_of, lines_of, machine, version_of
from tools.bench.retrieval import PARTS as RETRIEVAL
from tools.bench.retrieval import Peer, run_retrieval

ROOT = data.ROOT
PARTS = ("scan", "filters", "labels", "retrieval", "outliers")
#: Free bytes a row that the files need, with room to spare.
_BYTES_A_ROW = 220
#: No further round is begun that would end after so much time.
_MOST_S = 690.0


def main(argv: list[str] | None = None) -> int:
    """Measure; the exit code is 1 where something could not be measured or counts differ."""
    args = _arguments(argv)
    path = args.out / "benchmarks.json"
    # a part that is not measured keeps its last table
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    with tempfile.TemporaryDirectory(prefix="lp", dir=args.dir) as name:
        if "scan" in args.only:
            others = {part: facts[part] for part in PARTS[1:] if part in facts}
            facts = {**_scan_part(args, Path(name)), **others}
        if "filters" in args.only:
            facts["filters"] = _filters_part(args, Path(name))
        if "labels" in args.only:
            facts["labels"] = _labels_part(Path(name))
        if "retrieval" in args.only:
            facts["retrieval"] = _retrieval_part(args, Path(name))
        if "outliers" in args.only:
            facts["outliers"] = _outliers_part(Path(name))
    lines = lines_of(facts)
    print("\n".join(lines))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "benchmarks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    measured = [facts] if "scan" in args.only else []
    measured += [facts[part] for part in PARTS[1:] if part in args.only]
    wrong = ("failed", "kept_differs", "answers_differ")
    return int(any(part.get(what) for part in measured for what in wrong))


def _scan_part(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    started = time.monotonic()
    files = Files.of(scratch, args.rows, args.large_rows)
    free = shutil.disk_usage(scratch).free
    if free < _BYTES_A_ROW * sum(files.rows.values()):
        sys.exit(f"bench: {free >> 20} MiB free, too few for the files; give another --dir")
    (scratch / "bench.toml").write_text(data.RECIPE, encoding="utf-8")
    corpus = data.Corpus.load()
    _say("writing the files")
    facts = data.write_files(files.rows, corpus)
    found = Figures(files)
    args.runs = _measure(found, scratch, args, started)
    facts["distinct_share"] = _distinct_share(files.main)
    found.bars = judge(found)
    for path in files.rows:
        path.unlink()
    return facts_of(found, corpus, facts, args, time.monotonic() - started)


def _filters_part(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    peers = None if args.skip_peers else args.peers
    facts = run_filters(scratch, peers, args.filter_rows, _say)
    ours = {name: version_of(name) for name in OF_FILTERS}
    theirs: dict[str, str] = {}
    if peers is not None:
        words = ("versions", "datatrove", "py-data-juicer", "fasttext-numpy2-wheel")
        theirs = measure.run(measure.peer_command(peers, *words), scratch).said
    return {"machine": machine(), "versions": {"ours": ours, "peers": theirs}, **facts}


def _labels_part(scratch: Path) -> dict[str, Any]:
    facts = run_labels(scratch, _say)
    names = {"ours": OF_LABELS, "peers": PEERS_OF_LABELS}
    versions = {who: {name: version_of(name) for name in them} for who, them in names.items()}
    return {"machine": machine(), "versions": versions, **facts}


def _retrieval_part(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    peer = None
    if args.retrieval_peer is not None:
        peer = Peer(args.retrieval_peer, args.retrieval_dir or scratch / "beside")
    facts = run_retrieval(scratch, peer, args.retrieval, _say)
    names = ("laion-probe", "faiss-cpu", "numpy", "torch", "open_clip_torch")
    versions = {"ours": {name: version_of(name) for name in names}}
    return {"machine": machine(), "versions": versions, **facts}


def _outliers_part(scratch: Path) -> dict[str, Any]:
    facts = run_outliers(scratch, _say)
    versions = {"ours": {name: version_of(name) for name in ("laion-probe", "faiss-cpu", "numpy")}}
    return {"machine": machine(), "versions": versions, **facts}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    p.add_argument("--rows", type=int, default=5_000_000, help="rows of the main file")
    p.add_argument("--large-rows", type=int, help="rows of the large file (default: 4 × --rows)")
    p.add_argument("--runs", type=int, default=3, help="runs of each figure, in turns")
    p.add_argument("--skip-20m", action="store_true", help="no large file: slopes are less sure")
    p.add_argument("--skip-peers", action="store_true", help="only what needs no .venv-bench")
    p.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts alone")
    p.add_argument("--approach", nargs="+", default=[], metavar="WORD", help="of the scan part")
    p.add_argument("--filter-rows", type=int, default=ROWS, help="captions of the filters part")
    p.add_argument(
        "--retrieval",
        nargs="+",
        choices=tuple(RETRIEVAL),
        default=tuple(RETRIEVAL),
        help="of the retrieval part",
    )
    p.add_argument("--retrieval-peer", type=Path, help="a Python that has autofaiss")
    p.add_argument("--retrieval-dir", type=Path, help="where autofaiss' index is, and is kept")
    p.add_argument("--dir", type=Path, help="where to put the files (default: the system's)")
    p.add_argument("--out", type=Path, default=ROOT / "docs", help="where to write the tables")
    peers = ROOT / ".venv-bench" / "bin" / "python"
    p.add_argument("--peers", type=Path, default=peers, help="the Python that has the peers")
    args = p.parse_args(argv)
    if args.large_rows is None:
        args.large_rows = 4 * args.rows
    if args.skip_20m:
        args.large_rows = 0
    if args.rows < data.GROUP_ROWS or args.runs < 1:
        p.error(f"--rows from {data.GROUP_ROWS} and --runs from 1")
    elsewhere = {"scan", "filters"} & set(args.only)  # the peers of labels are in this environment
    if elsewhere and not args.skip_peers and not args.peers.exists():
        p.error("no .venv-bench: run `make bench`, or give --skip-peers")
    return args


def _measure(found: Figures, scratch: Path, args: argparse.Namespace, started: float) -> int:
    """Everything, in turns: one run of each, then again. How many rounds there was time for."""
    todo = approaches(found.files, scratch, None if args.skip_peers else args.peers)
    todo += memory_approaches(found.files, scratch)
    if args.approach:
        todo = [a for a in todo if any(w in a.name for w in args.approach)]
    for a in todo:
        found.add(a)
    done, longest = 0, 0.0
    while done < args.runs and (not done or time.monotonic() - started + longest < _MOST_S):
        begun = time.monotonic()
        for a in todo:
            for path in a.files:
                _once(found, a, path, done, scratch)
        done += 1
        longest = max(longest, time.monotonic() - begun)
    if done < args.runs:
        _say(f"time was up after {done} of {args.runs} runs")
    if not args.skip_peers:
        words = ("versions", "datasets", "datatrove", "duckdb", "polars", "pyarrow")
        found.versions = measure.run(measure.peer_command(args.peers, *words), scratch).said
    return done


def _once(found: Figures, a: Approach, path: Path, number: int, scratch: Path) -> None:
    if (a.name, path) in found.failed:
        return
    cache, out = scratch / "cache", scratch / "out"
    for attempt in range(2):
        for folder in (cache, out):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            run = measure.run(a.command(path), scratch, memory=a.memory)
            kept = run.said.get("kept")
            if a.kept_from is not None:
                kept = measure.run(a.kept_from, scratch).said["kept"]
            break
        except measure.TaskError as error:
            if attempt:
                found.failed[(a.name, path)] = str(error)
                _say(f"{a.name}: {error}")
                return
    found.take(a, path, run, kept)
    rows = found.files.rows[path]
    _say(f"run {number + 1}, {a.name}, {rows} rows: {run.whole_s:.2f} s")


def _distinct_share(path: Path) -> float:
    import polars as pl

    texts = pl.scan_parquet(path).select(
        pl.col("TEXT").approx_n_unique().alias("n"), pl.len().alias("rows")
    )
    n, rows = texts.collect(engine="streaming").row(0)
    return min(1.0, n / rows)


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
