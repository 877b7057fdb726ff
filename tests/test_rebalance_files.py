"""`rebalance` of rows of shards: kept lists, back to before a filter, and files that run."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from shardmaker import write

from laion_probe.config import FiltersConfig, ScanConfig, make_config
from laion_probe.config.rebalance import RebalanceConfig
from laion_probe.errors import ConfigError
from laion_probe.questions.filters import filters
from laion_probe.questions.rebalancing import rebalance
from laion_probe.questions.rebalancing_files import write_sampler
from laion_probe.questions.scanning import scan
from laion_probe.rebalance_result import RebalanceResult
from laion_probe.render.scan_report import scan_report_html


def level(r: RebalanceResult, variable: str, name: str) -> Any:
    v = next(v for v in r.variables if v.variable == variable)
    return next(x for x in v.levels if x.level == name)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 captions: women in a quarter of them, men in half."""
    words = ["a woman at work", "a man at work", "a man outside", "a red car"]
    table = pl.DataFrame(
        {
            "URL": [f"http://site{i % 9}.example/{i}.jpg" for i in range(400)],
            "TEXT": [words[i % 4] for i in range(400)],
            "uid": [f"{i * 7919:032x}" for i in range(400)],
        }
    )
    return write(tmp_path_factory.mktemp("shards"), table, group=100)


def test_rows_by_words_of_captions_with_a_subset_of_ids(shards: Path, tmp_path: Path) -> None:
    asked = RebalanceConfig(shards=(str(shards),), target=("gender-words:woman,man=parity",))
    noted = asked.model_copy(update={"data_note": "Made up for a test."})
    r = rebalance(noted, folder=tmp_path)
    assert (tmp_path / "DATA_NOTE.txt").read_text(encoding="utf-8") == "Made up for a test.\n"
    assert level(r, "gender-words", "woman").share_after == pytest.approx(0.375, abs=1e-6)
    assert level(r, "gender-words", "no person named").share_after == pytest.approx(0.25, abs=1e-6)
    assert r.subset.n == r.subset.largest_exact == 266  # 400 over the largest weight, 1.5
    subset = pl.read_parquet(tmp_path / "subset.parquet")
    assert subset.columns == ["url", "caption", "weight", "id"]
    assert (subset["caption"] == "a woman at work").sum() == pytest.approx(0.375 * 266, abs=1)
    ids = np.load(tmp_path / "kept-subset.npy")
    assert ids.dtype == np.dtype("u8,u8")
    assert (np.sort(ids, order=("f0", "f1")) == ids).all()
    assert {f"{h:016x}{x:016x}" for h, x in ids.tolist()} == set(subset["id"])
    assert any("words and addresses" in line for line in r.cannot_say)
    assert rebalance(noted) == r.model_copy(update={"files": {}})


def test_back_to_before_a_filter(shards: Path, tmp_path: Path) -> None:
    """The weight of a level is its share before over its share after, as DALL·E 2's were."""
    counted = scan(
        ScanConfig(
            shards=(str(shards),),
            recipe="none",
            by=("gender-words",),
            cache=str(tmp_path / "cache"),
            runner="serial",
        )
    )
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "result.json").write_text(counted.to_json(), encoding="utf-8")
    assert scan_report_html(counted)
    # a filter that keeps a quarter of the women
    kept = pl.DataFrame({"i": range(400)}).filter((pl.col("i") % 4 > 0) | (pl.col("i") % 16 == 0))
    ids = np.zeros(len(kept), np.dtype("u8,u8"))
    ids["f1"] = kept["i"].to_numpy() * 7919
    np.save(tmp_path / "kept.npy", ids)
    asked = RebalanceConfig(
        shards=(str(shards),),
        kept=str(tmp_path / "kept.npy"),
        before=str(tmp_path / "before"),
        target=("gender-words:before",),
    )
    r = rebalance(asked)
    assert r.n == 325
    for name, before, after in (("woman", 100, 25), ("man", 200, 200)):
        x = level(r, "gender-words", name)
        assert x.n == after
        assert x.weight == pytest.approx((before / 400) / (after / 325))
    assert not any(line.startswith("Every weight is 1") for line in r.finding)
    # without --kept nothing was filtered, which is told
    (line,) = (
        line
        for line in rebalance(asked.model_copy(update={"kept": None})).finding
        if line.startswith("Every weight is 1")
    )
    assert "as if nothing had been filtered; of shards, --kept names" in line
    (tmp_path / "before" / "run.json").write_text('{"config": {}, "working_directory": "."}')
    with pytest.raises(ConfigError, match=r"the run of `scan`, which has no pictures.*--before"):
        rebalance(RebalanceConfig(run=str(tmp_path / "before"), target=asked.target))
    # a filter that removes all of them
    np.save(tmp_path / "kept.npy", ids[kept["i"].to_numpy() % 4 > 0])
    with pytest.raises(ConfigError, match=r"gender-words:woman = 25.0 % \(now 0.0 %\) cannot be"):
        rebalance(asked)
    r = rebalance(asked.model_copy(update={"skip_empty": True}))
    assert r.variables[0].skipped == ("woman",)


def test_of_copies_as_many_rows_come_back_as_were_kept(tmp_path: Path) -> None:
    """By a filter of duplicates for real: one row a copy, and the first, as the filter has it."""
    words = ("a woman at work in the office", "a man at work in the office", "two men and a woman")
    i = np.arange(240)
    table = pl.DataFrame(
        {
            "URL": [f"http://site{k % 5}.example/{k % 90}.jpg" for k in i],
            "TEXT": [words[k % 3] for k in i],  # 90 is a multiple of 3: copies of both
        }
    )
    folder = write(tmp_path / "shards", table, group=50)
    recipe = tmp_path / "dedup.toml"
    recipe.write_text(
        'name = "dedup"\ntitle = "x"\nsource = "x"\nconfidence = "secondary"\n[[step]]\n'
        'id = "copies"\nkind = "duplicates"\ntitle = "copies"\nsource = "x"\n'
        'confidence = "secondary"\nparams = { by = ["url"] }\n'
    )
    (tmp_path / "out").mkdir()
    asked = {"shards": (str(folder),), "recipe": (str(recipe),), "write_kept": True}
    asked |= {"cache": str(tmp_path / "cache"), "runner": "serial"}
    counted = filters(make_config(asked, FiltersConfig), folder=tmp_path / "out")
    kept = tmp_path / "out" / "kept-dedup.npy"
    assert len(np.load(kept)) == counted.recipes[0].n_kept == 90
    plan = RebalanceConfig(shards=(str(folder),), target=("gender-words:woman,man=parity",))
    assert rebalance(plan, folder=tmp_path / "all").n == 240
    ids = [int(x, 16) for x in pl.read_parquet(tmp_path / "all" / "weights.parquet")["id"]]
    every = tmp_path / "every.npy"  # as a filter that keeps all copies writes it
    np.save(every, np.array([divmod(x, 2**64) for x in sorted(ids)], dtype="u8,u8"))
    for npy, n in ((kept, 90), (every, 240)):
        listed = plan.model_copy(update={"kept": str(npy)})
        r = rebalance(listed, folder=tmp_path / f"plan {n}")
        assert r.n == n
        assert f"that {npy.stem} lists" in r.about
        weights = pl.read_parquet(tmp_path / f"plan {n}" / "weights.parquet")
        assert weights.select("url", "text").equals(
            table.head(n).select(pl.col("URL").alias("url"), pl.col("TEXT").alias("text"))
        )
    # a list of more rows than these shards have says so
    (tmp_path / "part").mkdir()
    (folder / "part-00000.parquet").rename(tmp_path / "part" / "part-00000.parquet")
    moved = listed.model_copy(update={"shards": (str(tmp_path / "part"),)})
    r = rebalance(moved)
    assert r.n == 120
    assert "120 more rows that it lists are not in these shards" in r.about


@pytest.fixture(scope="module")
def sampled(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a plan, and a tar of all its rows."""
    folder = tmp_path_factory.mktemp("sampled")
    asked = RebalanceConfig(shards=(str(shards),), target=("gender-words:woman,man=parity",))
    rebalance(asked, folder=folder)
    table = pl.read_parquet(folder / "weights.parquet")
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for i, (url, text) in enumerate(table.select("url", "text").iter_rows()):
            for end, data in (("json", json.dumps({"url": url})), ("txt", text)):
                info = tarfile.TarInfo(f"{i:08d}.{end}")
                info.size = len(data.encode())
                tar.addfile(info, io.BytesIO(data.encode()))
    return folder


def run_in(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_sampler_runs_and_draws_by_weight(sampled: Path) -> None:
    told = run_in(sampled, "sampler.py", "weights.parquet", "00000.tar")
    assert told.endswith("of 400 samples\n")
    assert int(told.split()[0]) == pytest.approx(400 / 1.5, abs=40)
    names: dict[str, Any] = {"__name__": "sampler"}
    exec((sampled / "sampler.py").read_text(encoding="utf-8"), names)
    stage = names["weighted"](sampled / "weights.parquet", seed=3)
    every = list(names["samples_of"]([str(sampled / "00000.tar")]))
    passes = [[sample["txt"] for sample in stage(every)] for _ in range(5)]
    texts = [text for one in passes for text in one]
    women = sum(b"woman" in text for text in texts)
    assert women / len(texts) == pytest.approx(0.375, abs=0.05)
    assert len({tuple(one) for one in passes}) == 5  # anew in every pass
    assert names["chance_of"]({"__key__": "none", "json": b"{}"}, {}) == 0.0


def test_the_sampler_tells_captions_of_one_address_apart(tmp_path: Path) -> None:
    url = "http://site.example/same.jpg"
    rows = {"id": ["a", "b", "c"], "url": [url, url, ""], "text": ["a woman", "a man", None]}
    pl.DataFrame(rows).with_columns(weight=pl.Series([2.0, 0.5, 1.0])).write_parquet(
        tmp_path / "weights.parquet"
    )
    write_sampler(tmp_path)
    names: dict[str, Any] = {"__name__": "sampler"}
    exec((tmp_path / "sampler.py").read_text(encoding="utf-8"), names)
    chance = names["read_weights"](tmp_path / "weights.parquet")

    def of(**sample: Any) -> float:
        found = names["chance_of"]({"__key__": "k"} | sample, chance)
        assert isinstance(found, float)
        return found

    facts = json.dumps({"url": url}).encode()
    assert of(json=facts, txt=b"a woman") == 1.0
    assert of(json=facts, txt="a man") == 0.25
    assert of(json={"url": url, "caption": "a man"}) == 0.25
    assert of(json=facts, txt=b"another caption") == 0.625  # by the address alone: the mean
    assert of(json=facts) == 0.625
    assert of(json={"uid": "b", "url": url}, txt=b"a woman") == 0.25
    assert names["chance_of"]({"__key__": "c", "__url__": "x.tar"}, {"x/c": 0.5}) == 0.5
    assert of(json=b"{}") == 0.0


@pytest.mark.slow
def test_the_sampler_is_a_stage_of_webdataset(sampled: Path) -> None:
    told = run_in(
        sampled,
        "-c",
        "import webdataset\n"
        "from sampler import weighted\n"
        "data = webdataset.WebDataset('00000.tar', shardshuffle=False)\n"
        "data = data.compose(weighted('weights.parquet', seed=0))\n"
        "texts = [sample['txt'] for _ in range(4) for sample in data]\n"
        "print(len(texts), sum(b'woman' in text for text in texts))\n",
    )
    n, women = map(int, told.split())
    assert n / 4 == pytest.approx(400 / 1.5, abs=40)
    assert women / n == pytest.approx(0.375, abs=0.06)
