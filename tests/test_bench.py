"""The benchmark's own parts, on a file of a few thousand rows, without its peers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from tools.bench import data, measure, peers
from tools.bench.figures import Figures, judge
from tools.bench.plan import Approach, Files
from tools.bench.report import lines_of

ROWS, GROUP = 6_000, 2_000


@pytest.fixture(scope="module")
def corpus() -> data.Corpus:
    return data.Corpus.load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, corpus) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    data.write_files({folder / "a.parquet": ROWS, folder / "b.parquet": 2_500}, corpus, GROUP)
    (folder / "bench.toml").write_text(data.RECIPE, encoding="utf-8")
    return folder


def test_rows_differ_and_lengths_keep_their_distribution(folder, corpus):
    rows = pl.read_parquet(folder / "a.parquet")
    assert rows.height == ROWS and rows["URL"].n_unique() == ROWS
    assert rows["TEXT"].n_unique() > 0.8 * ROWS
    assert rows.null_count().sum_horizontal().item() == 0
    given = pl.Series(["".join(p) for p in zip(*corpus.parts, strict=True)]).str.len_chars()
    made = rows["TEXT"].str.len_chars()
    for q in (0.1, 0.5, 0.9):
        assert made.quantile(q) == pytest.approx(given.quantile(q), rel=0.15, abs=3)


def test_a_small_file_is_the_beginning_of_a_large_one(folder):
    large, small = (pl.read_parquet(folder / f"{n}.parquet") for n in "ab")
    assert small.equals(large.head(2_500))
    file = pq.ParquetFile(folder / "a.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [GROUP] * 3


def test_the_scan_keeps_what_the_bare_filters_keep(folder, tmp_path):
    path = str(folder / "a.parquet")
    command = measure.our_command(
        "scan", path, str(folder / "bench.toml"), "serial", "1", str(tmp_path / "cache")
    )
    run = measure.run(command, tmp_path, memory=True)
    assert run.said["kept"] == peers.polars_streaming(path)() == peers.pyarrow_batches(path)()
    assert 0 < sum(run.said["kept"].values()) < ROWS and len(run.said["kept"]) == 3
    assert run.said["rows"] == ROWS and len(run.said["ticks_s"]) == ROWS // GROUP
    assert 0 < run.said["call_s"] < run.whole_s
    assert run.memory is not None
    assert 30e6 < run.memory.parent <= run.memory.together * 1.2


def test_a_process_that_fails_or_hangs_is_named_and_leaves_nothing(tmp_path):
    with pytest.raises(measure.TaskError, match="exit code 3: oh"):
        measure.run(
            [sys.executable, "-c", "import sys; print('oh', file=sys.stderr); sys.exit(3)"],
            tmp_path,
        )
    with pytest.raises(measure.TaskError, match=r"not done after 0\.3 s"):
        measure.run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, timeout_s=0.3)


def _figures(rates: dict[str, float], kept: dict[str, int]) -> Figures:
    """As if each approach had run on two files at a steady rate, with a start of one second."""
    files = Files.of(Path("d"), 5_000_000, 20_000_000)
    found = Figures(files)
    for name, rate in rates.items():
        kind = "scan" if name.startswith("scan") else "bare"
        approach = Approach(name, kind, files.pair, lambda path: [])
        found.add(approach)
        for path in files.pair:
            n = files.rows[path]
            ticks = [1 + (i + 1) * 1e5 / rate for i in range(n // 100_000)]
            said = {"call_s": 1 + n / rate, "ticks_s": ticks, "rows": n, "kept": kept}
            found.take(approach, path, measure.Run(2 + n / rate, said), kept)
    return found


def test_bars_are_met_or_missed_by_rates_without_the_start():
    kept = {"UNLIKELY": 3}
    rates = {
        "DuckDB": 10e6,
        "scan, pool of 1": 3e6,
        "scan, pool of 2": 6e6,
        "scan, Ray with 2 CPUs": 5e6,
    }
    bars = {bar.name: bar for bar in judge(_figures(rates, kept))}
    bare = bars["scan, pool of 2 to the fastest bare filter (DuckDB), steady"]
    assert bare.met and bare.value == pytest.approx(0.6)
    assert bars["pool of 2 to pool of 1, steady"].value == pytest.approx(2)
    ray = bars["Ray with 2 CPUs to pool of 2, steady"]
    assert not ray.met and ray.value == pytest.approx(5 / 6)
    unmeasured = bars["scan, pool of 2 to datatrove, steady"]
    assert not unmeasured.met and unmeasured.value is None


def test_files_of_one_size_have_no_slope():
    figures = _figures({}, {})
    files = figures.files
    files.rows[files.slow] = files.rows[files.small]
    check = Approach("check", "check", (files.slow, files.small), lambda path: [])
    figures.add(check)
    for path in check.files:
        figures.take(check, path, measure.Run(2.0, {"call_s": 0.5}), None)
    assert figures.steady("check") == [files.rows[files.small] / 0.5]


def test_other_counts_make_the_comparison_void():
    figures = _figures({"DuckDB": 1e6}, {"UNLIKELY": 3})
    other = Approach("scan, pool of 2", "scan", figures.files.pair, lambda path: [])
    figures.add(other)
    run = measure.Run(1.0, {"call_s": 1.0})
    figures.take(other, figures.files.main, run, {"UNLIKELY": 4})
    assert figures.differ == ["scan, pool of 2"]


def test_the_page_shows_missed_bars_and_failures(tmp_path, corpus):
    from tools.bench.__main__ import main

    code = main(
        ["--rows", "100000", "--runs", "1", "--skip-20m", "--skip-peers", "--out", str(tmp_path),
         "--only", "scan, one process"]
    )  # fmt: skip
    facts = json.loads((tmp_path / "benchmarks.json").read_text())
    page = (tmp_path / "benchmarks.md").read_text()
    assert code == 0 and facts["approaches"]["scan, one process"]["seconds"]["main"]
    assert page.splitlines() == lines_of(facts)
    assert "| not measured | | **missed** |" in page and "A short run" in page
    assert str(tmp_path) not in page + json.dumps(facts)
    facts["failed"] = {"DuckDB, main": "exit code 1"}
    assert "**Could not be measured: DuckDB, main**: exit code 1" in "\n".join(lines_of(facts))
