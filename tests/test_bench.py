"""The benchmark's own parts, on a few thousand rows, without the peers of .venv-bench."""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from tools.bench import bare, captions, data, filters, label_turns, labels, measure, peers
from tools.bench.figures import MIB, Figures, judge
from tools.bench.interleave import take_turns
from tools.bench.plan import Approach, Files
from tools.bench.report import lines_of
from tools.bench.turns import by_pandas, counted, language_step, native

ROOT = Path(__file__).parent.parent
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
         "--only", "scan", "--approach", "scan, one process"]
    )  # fmt: skip
    facts = json.loads((tmp_path / "benchmarks.json").read_text())
    page = (tmp_path / "benchmarks.md").read_text()
    assert code == 0 and facts["approaches"]["scan, one process"]["seconds"]["main"]
    assert page.splitlines() == lines_of(facts)
    assert "| not measured | | **missed** |" in page and "A short run" in page
    assert str(tmp_path) not in page + json.dumps(facts)
    facts["failed"] = {"DuckDB, main": "exit code 1"}
    assert "**Could not be measured: DuckDB, main**: exit code 1" in "\n".join(lines_of(facts))


@pytest.fixture(scope="module")
def distinct(corpus) -> pl.Series:
    if not data.SAMPLE.is_file():
        pytest.skip("the real sample of LAION-400M is not there")
    return captions.distinct_captions(corpus, ROWS)


@pytest.fixture(scope="module")
def rows(tmp_path_factory, corpus, distinct) -> pl.DataFrame:
    from laion_probe.shards import list_shards, list_units, read_unit

    path = tmp_path_factory.mktemp("captions") / "a.parquet"
    captions.write_captions(path, corpus, [distinct], 3_000)
    units = list_units(list_shards([str(path)]))
    assert [unit.n_rows for unit in units] == [3_000, 3_000]
    return pl.concat(read_unit(unit) for unit in units)


def test_captions_are_distinct_and_distributed_as_in_the_sample(corpus, distinct):
    assert len(distinct) == distinct.n_unique() == ROWS
    off = captions.off_by(distinct, corpus)
    assert set(off) == {"length", "script", "signs"} and max(off.values()) <= captions.MOST_OFF
    assert captions.off_by(distinct.str.slice(0, 20), corpus)["length"] > 0.5
    assert distinct.equals(captions.distinct_captions(corpus, ROWS))
    assert not set(distinct) <= set(corpus.texts)


def test_too_many_captions_are_an_error(corpus, distinct, monkeypatch):
    monkeypatch.setattr(captions, "_MOST_DRAWS", 1)
    monkeypatch.setattr(captions, "_DRAWN", 10_000)
    with pytest.raises(ValueError, match="of 20000 captions after 1 draws"):
        captions.distinct_captions(corpus, 20_000)


def test_ours_keeps_what_others_keep(rows):
    from laion_probe.recipes import load_recipe

    model = bare.fasttext_model()
    assert model.predict("a photograph of a doctor")[0] == ("__label__en",)
    times = take_turns(
        [
            *(make(name) for name in bare.DETECTORS for make in (native, language_step)),
            counted("datacomp-basic", load_recipe("datacomp-basic")),
            by_pandas("datacomp-basic by pandas, row by row", bare.datacomp_by_row),
            by_pandas("datacomp-basic by pandas, by column", bare.datacomp_by_column),
            counted("laion5b-en", load_recipe("laion5b-en")),
            counted("laion5b-en, sets kept", load_recipe("laion5b-en"), "keep"),
        ],
        [rows.head(2_000), rows.tail(2_000)],
    )
    found = filters.Found()
    found.take({name: asdict(t) for name, t in times.items()})
    assert found.differ == [] and len(found.kept) == len(times)
    assert all(0 < kept[0] < 4_000 for kept in found.kept.values())
    found.kept["datacomp-basic"][0] += 1
    assert len(found.differ) == 2


def test_langdetect_s_rule_is_laion_s(rows):
    few = rows.head(60)
    by_langdetect = bare.laion5b_en_by_langdetect()(few.to_dicts())
    english = bare.laion5b_en_by_langdetect()(
        [{**row, "text": "a photograph of a doctor in a hospital"} for row in few.to_dicts()]
    )
    fits = few.filter(pl.col("similarity") >= 0.28).height
    assert 0 < by_langdetect < english == fits


def test_a_round_s_ratio_is_the_median_of_its_turns():
    found = filters.Found()
    for slow in (1.0, 100.0, 1.0):  # a turn that something else disturbed
        turns = {"rows": [10, 10, 10], "cpu_s": [1.0, 1.0, 1.0], "kept": [1, 1, 1]}
        found.take(
            {
                "cld2, our step": {**turns, "wall_s": [1.0, slow, 1.0]},
                "cld2, alone": {**turns, "wall_s": [0.9, 0.9, 0.9]},
            }
        )
    found.peaks = {240_000: [100.0, 100.0], 2_000_000: [105.0, 150.0]}
    bars = {bar["name"]: bar for bar in filters._bars(found)}
    step = bars["cld2, our step, to cld2, alone"]
    assert step["met"] and step["value"] == step["spread"][0] == pytest.approx(0.9)
    growth = bars["growth of peak memory from 240,000 to 2,000,000 rows"]
    assert growth["value"] == pytest.approx(27.5) and not growth["met"]
    assert not bars["rules without a detector"]["met"]


def test_without_the_sample_the_filters_are_skipped_with_a_reason(tmp_path, monkeypatch):
    from tools.bench.__main__ import main

    monkeypatch.setattr(data, "SAMPLE", tmp_path / "none.parquet")
    (tmp_path / "benchmarks.json").write_text("{}")
    assert main(["--only", "filters", "--skip-peers", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "benchmarks.md").read_text()
    assert "Not measured: the real sample none.parquet is not there." in page
    assert "## Scans" not in page


@pytest.mark.parametrize(
    ("task", "size", "calls"),
    [("zero-shot", "3000", 1), ("compare", "12", 1), ("ratings", "2000", 20)],
)
def test_labels_and_comparisons_are_those_of_the_peers(task, size, calls):
    with warnings.catch_warnings():  # ppi_py turns warnings off for the whole process
        warnings.simplefilter("error")
        said = label_turns.times(task, size, "2")
    assert list(said["times"]) == list(label_turns.TASKS[task].makers)
    for times in said["times"].values():
        assert times["rows"] == times["kept"] == [calls, calls]
        assert all(s > 0 for s in (*times["wall_s"], *times["cpu_s"]))
    found = labels.Found()
    found.take(said)
    assert found.differ == [] and found.apart
    for name, (gap, most) in said["apart"].items():
        said["apart"][name] = (gap + 2 * most, most)
    found.take(said)
    assert found.differ == list(said["apart"])


def test_labels_that_the_product_does_not_give_are_noticed():
    task = label_turns.TASKS["zero-shot"]
    (vectors,) = task.inputs(500, 0)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    given, *products = (make().call(vectors) for make in task.makers.values())
    assert [len(set(label.tolist())) for label in given] == [4, 3]  # every level, and unknown
    assert [len(products), *(c.shape[1] for c in products[0])] == [2, 5, 5]
    ((_, gap, most),) = task.apart(given, *products)
    assert gap <= most
    given[0][given[0] < 2] ^= 1
    ((_, gap, most),) = task.apart(given, *products)
    assert gap > 0.2 > most


def _said_of(command, scratch, *, memory, env):
    """As if a process had said it: ours takes 0.5 s at first, then 3 s, others 1 s."""
    kind, task, *_ = command[3:]
    assert memory == (kind == "once") and bool(env) == (task == "ratings")
    if memory:
        seen = measure.Memory(own={7: 300 * MIB}, root=7)
        return measure.Run(1.0, {"before": 200 * MIB}, seen)
    if task == "compare":
        raise measure.TaskError("exit code 1: no such level")
    times = {}
    for at, name in enumerate(label_turns.TASKS[task].makers):
        seconds = [1.0, 1.0, 1.0] if at else [0.5, 3.0, 3.0]
        times[name] = {"rows": [1] * 3, "wall_s": seconds, "cpu_s": seconds, "kept": [1] * 3}
    return measure.Run(1.0, {"times": times, "apart": {f"{task} and its peer": (0.5, 0.1)}})


@pytest.fixture
def label_facts(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "run", _said_of)
    return labels.run_labels(tmp_path, lambda text: None)


def test_bars_of_labels_are_of_medians_and_of_first_calls(label_facts):
    bars = {bar["name"]: bar for bar in label_facts["bars"]}
    steady = bars["zero_shot, two attributes, 100,000 embeddings"]
    first = bars["zero_shot, two attributes, 100,000 embeddings, first of a process"]
    assert (steady["value"], steady["met"], steady["wanted"]) == (3.0, False, "under 1 s")
    assert (first["value"], first["met"]) == (0.5, True)
    unmeasured = bars["compare_counts, two levels, 153 concepts from counts"]
    assert unmeasured["value"] is None and not unmeasured["met"]
    assert label_facts["ratios"]["ppi_share, to ppi_py.ppi_mean_ci"]["wall"] == [0.3333] * 3
    memory = label_facts["memory"]["compare_counts, two levels"]
    assert memory == {"peak_mib": [300] * 3, "before_mib": [200] * 3}
    assert label_facts["failed"] == {"compare": "exit code 1: no such level"}
    assert label_facts["answers_differ"] == ["zero-shot and its peer", "ratings and its peer"]


def test_parts_that_are_not_measured_keep_their_last_table(label_facts, tmp_path, monkeypatch):
    from tools.bench import __main__ as bench

    monkeypatch.setattr(bench, "run_labels", lambda scratch, say: label_facts)
    (tmp_path / "benchmarks.json").write_text('{"filters": {"skipped": "no sample"}}')
    words = ["--out", str(tmp_path), "--peers", str(tmp_path / "none")]
    assert bench.main(["--only", "labels", *words]) == 1  # a task failed
    page = (tmp_path / "benchmarks.md").read_text()
    assert "Not measured: no sample." in page and "## Labels and comparisons" in page
    assert "**Could not be measured: compare**: exit code 1: no such level" in page
    assert "**The comparison is void: ratings and its peer: 0.5 apart, at most 0.1.**" in page
    assert (
        "| zero_shot, two attributes | 3,000 | 3,000 to 3,000 | 3,000 | 500 | 300 | 200 |" in page
    )
    monkeypatch.setattr(bench, "_scan_part", lambda args, scratch: {"kept_differs": []})
    assert bench.main(["--only", "scan", "--skip-peers", *words]) == 0
    assert (tmp_path / "benchmarks.md").read_text() == page
    with pytest.raises(SystemExit):  # scans have peers elsewhere
        bench.main(["--only", "scan", *words])


def test_memory_is_of_one_approach_in_a_process_of_its_own(tmp_path):
    words = ("once", "compare", "153", "compare_counts, three levels")
    command = [sys.executable, "-m", "tools.bench.label_turns", *words]
    run = measure.run(command, tmp_path, memory=True)
    assert run.memory is not None
    assert 30e6 < run.said["before"] < run.memory.parent


def test_thread_counts_are_the_libraries_own_unless_they_are_given(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "7")
    told = "import json, os; print(json.dumps({'n': os.environ.get('OMP_NUM_THREADS')}))"
    command = [sys.executable, "-c", told]
    assert measure.run(command, tmp_path).said == {"n": None}
    assert measure.run(command, tmp_path, env=labels.ENV["ratings"]).said == {"n": "1"}


def test_parts_without_a_peer_have_a_page_too() -> None:
    facts = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert "peers" not in facts["outliers"]["versions"]
    assert "\n".join(lines_of(facts)).strip() == page.strip()
