"""`rebalance` from end to end: targets in words, files that run, and reports of what was found."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from shardmaker import write

from laion_probe.config import ScanConfig, make_config
from laion_probe.config.rebalance import RebalanceConfig
from laion_probe.errors import ConfigError, LaionProbeError
from laion_probe.questions.rebalancing import rebalance
from laion_probe.questions.scanning import scan
from laion_probe.ratings.sampling import draw
from laion_probe.rebalance_result import RebalanceResult
from laion_probe.render.rebalance_report import rebalance_report_html, render_rebalance
from laion_probe.render.scan_report import scan_report_html

GENDER, TONE = "gender_presentation", "skin_tone"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Labels of 1 000 pictures, a tenth of the men read as women, and ratings of 300."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    ids = [f"p{i:04d}" for i in range(1000)]
    true = rng.choice(["woman", "man", "unknown"], 1000, p=[0.3, 0.6, 0.1])
    read = np.where((true == "man") & (rng.random(1000) < 0.1), "woman", true)
    tone = rng.choice(["lighter", "darker"], 1000, p=[0.7, 0.3])
    pl.DataFrame({"id": ids, "level": read}).write_csv(folder / "gender.csv")
    pl.DataFrame({"id": ids, "level": tone}).write_csv(folder / "tone.csv")
    frame = pl.DataFrame(
        {
            "picture": ids,
            "source": "data",
            "stratum": [f"{r}, {t}" for r, t in zip(read, tone, strict=True)],
        }
    )
    at = {name: i for i, name in enumerate(ids)}
    drawn = draw(frame, 300, seed=1)
    drawn.select("picture", "stratum", "stratum_size", "probability").with_columns(
        pl.Series(GENDER, [true[at[p]] for p in drawn["picture"]]),
        pl.Series(TONE, [tone[at[p]] for p in drawn["picture"]]),
        rater=pl.lit("a"),
    ).write_csv(folder / "ratings.csv")
    pl.DataFrame({"id": ids, "level": true}).write_csv(folder / "truth.csv")
    return {name: folder / f"{name}.csv" for name in ("gender", "tone", "ratings", "truth")}


def config(tables: dict[str, Path], *target: str, **options: Any) -> RebalanceConfig:
    scores = (f"{GENDER}={tables['gender']}", f"{TONE}={tables['tone']}")
    values = {"scores": scores, "ratings": (str(tables["ratings"]),), "target": target}
    return make_config(values | options, RebalanceConfig)


def level(r: RebalanceResult, variable: str, name: str) -> Any:
    v = next(v for v in r.variables if v.variable == variable)
    return next(x for x in v.levels if x.level == name)


def test_labels_get_their_margins_and_raters_see_others(tables: dict[str, Path]) -> None:
    r = rebalance(config(tables, f"{GENDER}:parity", f"{TONE}:darker=40%"))
    assert level(r, GENDER, "woman").share_after == pytest.approx(
        level(r, GENDER, "man").share_after, abs=1e-6
    )
    # unknown keeps its share
    unknown = level(r, GENDER, "unknown")
    assert unknown.share_after == pytest.approx(unknown.share, abs=1e-6)
    assert level(r, TONE, "darker").share_after == pytest.approx(0.4, abs=1e-6)
    weighted = r.predicted[0].stages[1]
    assert weighted.read == pytest.approx(0.5, abs=1e-6)
    read, true = (pl.read_csv(tables[name])["level"] for name in ("gender", "truth"))
    weight = {x.level: x.weight for x in r.variables[0].levels}
    w = np.array([weight[x] for x in read])
    women, both = (true == "woman").to_numpy(), true.is_in(["woman", "man"]).to_numpy()
    truth = float(w @ women / (w @ both))
    assert truth < 0.45  # what labels hide
    e = weighted.contrast
    assert e.low is not None
    assert e.high is not None
    assert e.low <= truth <= e.high < 0.5
    subset = r.predicted[0].stages[2].contrast
    assert subset.low is not None
    assert subset.high is not None
    assert subset.high - subset.low > e.high - e.low  # it is drawn as well
    missed, met = (next(c for c in r.claims if c.id == f"target:{x}") for x in (GENDER, TONE))
    assert missed.supported
    assert "is below the target of 50.0 % woman: 3" in missed.text
    # an interval that holds the target is no proof that it is reached
    assert not met.supported
    assert met.text.startswith("these data cannot tell whether")
    assert any("is missed, since labels err" in line for line in r.finding)


def test_without_ratings_shares_are_uncorrected_and_say_so(tables: dict[str, Path]) -> None:
    r = rebalance(config(tables, f"{GENDER}:parity", ratings=()))
    found = r.predicted[0]
    assert not found.corrected
    assert "uncorrected" in found.warning
    assert found.stages[1].contrast.value == pytest.approx(0.5, abs=1e-6)
    assert found.stages[1].contrast.low is None
    assert not r.claims[0].supported
    assert r.claims[0].text.startswith("labels alone cannot tell")


def test_ratings_of_other_pictures_are_refused(tables: dict[str, Path], tmp_path: Path) -> None:
    drawn = pl.read_csv(tables["ratings"]).drop("stratum_size")
    path = str(tmp_path / "other.csv")
    drawn.with_columns(pl.col("probability") / 10).write_csv(path)
    r = rebalance(config(tables, f"{GENDER}:parity", ratings=(path,)))
    assert not r.predicted[0].corrected
    assert "stand for about" in r.predicted[0].warning


def test_ratings_that_were_picked_are_refused(tables: dict[str, Path], tmp_path: Path) -> None:
    # only pictures that are read as women were rated, which nobody tells
    read = pl.read_csv(tables["gender"]).rename({"id": "picture"})
    drawn = pl.read_csv(tables["ratings"]).drop("probability", "stratum", "stratum_size")
    path = str(tmp_path / "picked.csv")
    drawn.join(read.filter(level="woman"), on="picture", how="semi").write_csv(path)
    r = rebalance(config(tables, f"{GENDER}:parity", ratings=(path,)))
    assert not r.predicted[0].corrected
    assert "no random sample" in r.predicted[0].warning


def test_ratings_without_chances_are_used_with_a_warning(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    path = str(tmp_path / "plain.csv")
    drawn = pl.read_csv(tables["ratings"]).drop("probability", "stratum", "stratum_size")
    drawn.write_csv(path)
    r = rebalance(config(tables, f"{GENDER}:parity", ratings=(path,)))
    assert r.predicted[0].corrected
    assert "simple random sample" in r.predicted[0].warning
    assert "simple random sample" in rebalance_report_html(r)


def test_dropped_unknown_rows_have_no_weight(tables: dict[str, Path], tmp_path: Path) -> None:
    r = rebalance(config(tables, f"{GENDER}:woman=0.5", unknown="drop"), folder=tmp_path)
    assert level(r, GENDER, "unknown").share_after == 0
    assert r.price.n_without == level(r, GENDER, "unknown").n > 0
    weights = pl.read_parquet(tmp_path / "weights.parquet")
    assert weights["weight"].mean() == pytest.approx(1)
    assert (weights["weight"] == 0).sum() == r.price.n_without


def test_a_reference_table_and_levels_in_parity(tables: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "census.csv"
    path.write_text("level,share\nlighter,25%\ndarker,75%\n", encoding="utf-8")
    r = rebalance(config(tables, f"{TONE}={path}", f"{GENDER}:woman,man=parity"))
    assert level(r, TONE, "darker").share_after == pytest.approx(0.75, abs=1e-6)
    assert level(r, GENDER, "woman").share_after == pytest.approx(0.45, abs=0.02)
    assert r.provenance.command.count("census.csv") == 1
    assert str(tmp_path) not in r.to_json()


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ((), {}, r"no target given, and none is assumed, parity neither.*gender_presentation:par"),
        ((f"{GENDER}:womn=0.5",), {}, r"unknown level of gender_presentation 'womn'.*woman"),
        (("gendr:parity",), {}, r"unknown attribute or group 'gendr'"),
        ((f"{GENDER}=0.5",), {}, r"none of the forms"),
        ((f"{GENDER}:woman=1.5",), {}, r"none of the forms"),
        (
            (f"{GENDER}:neutral=10%",),
            {},
            r"gender_presentation:neutral = 9.0 % \(now 0.0 %\) cannot be reached \(asked for: "
            r"gender_presentation:neutral=10%;.*no row has that level.*Add rows.*--skip-empty",
        ),
        ((f"{GENDER}:woman=0.7", f"{GENDER}:man=0.7"), {}, r"sum to 140.0 %, more than all"),
        ((f"{GENDER}:woman=0.7", f"{GENDER}:woman=0.7"), {}, r"has a target already"),
        ((f"{GENDER}:unknown=0.2",), {}, r"--unknown keep or drop"),
        ((f"{GENDER}:before",), {}, r"nothing says what gender_presentation was before"),
        (
            (f"{GENDER}:woman=0.9",),
            {"max_weight": 1.5},
            r"gender_presentation:woman = 8\d.\d % \(now 3\d.\d %\) cannot be reached with "
            r"--max-weight 1.5 \(asked for: gender_presentation:woman=0.9;.*some weight must be "
            r"2.\d+ or more",
        ),
        ((f"{GENDER}:parity",), {"subset": 5000}, r"only 1000 pictures have a weight; the most"),
        (("gender-words:woman,man=parity",), {}, r"pictures of tables have no captions"),
        (("clothing:parity",), {}, r"clothing: that is read from pictures.*--scores clothing=FILE"),
    ],
)
def test_what_cannot_be_had_says_why_and_what_to_do(
    tables: dict[str, Path], target: tuple[str, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(LaionProbeError) as error:
        rebalance(config(tables, *target, **options))
    assert re.search(said, str(error.value), re.DOTALL), str(error.value)


def test_many_levels_that_contradict_are_counted_and_what_can_be_asked_is_told(
    tmp_path: Path,
) -> None:
    """Ten places, and women in the first only: half in all means half there, and the rest share."""
    n = 1000
    place = [f"l{i % 10}" for i in range(n)]
    kind = ["woman" if p == "l0" and i < 500 else "man" for i, p in enumerate(place)]
    names = {GENDER: kind, "place": place}
    for name, levels in names.items():
        frame = pl.DataFrame({"id": [f"p{i:04d}" for i in range(n)], "level": levels})
        frame.write_csv(tmp_path / f"{name}.csv")
    listed = "".join(f'[[level]]\nname = "l{i}"\nprompts = ["place {i}"]\n' for i in range(10))
    (tmp_path / "place.toml").write_text(
        'name = "place"\ntitle = "place"\nabout = "x"\ncontrast = "l0"\nagainst = "l1"\n'
        f"parity = 0.5\n{listed}"
    )
    asked = RebalanceConfig(
        scores=tuple(f"{name}={tmp_path / name}.csv" for name in names),
        attributes=(GENDER, str(tmp_path / "place.toml")),
        target=("place:l0=20%", f"{GENDER}:woman=50%"),
    )
    with pytest.raises(ConfigError) as error:
        rebalance(asked)
    said = str(error.value)
    assert "contradict one another" in said
    assert f"all other targets as asked, {GENDER}:woman can only have from 0 % to 20 %" in said
    assert rebalance(asked.model_copy(update={"target": ("place:l0=20%", f"{GENDER}:woman=20%")}))
    # the other way round, what l0 must have is told as --target counts: the nine others follow
    turned = asked.model_copy(update={"target": tuple(reversed(asked.target))})
    with pytest.raises(ConfigError, match=r"place:l0 can only have from 50 % to 100 %"):
        rebalance(turned)


def test_the_smallest_weight_that_is_told_does(tables: dict[str, Path]) -> None:
    asked = config(tables, f"{GENDER}:woman=0.9", f"{TONE}:darker=0.45", max_weight=1.5)
    with pytest.raises(ConfigError) as error:
        rebalance(asked)
    (least,) = re.findall(r"some weight must be ([\d.]+) or more", str(error.value))
    r = rebalance(asked.model_copy(update={"max_weight": float(least)}))
    assert r.price.largest <= float(least) + 1e-9


def test_the_range_is_of_known_rows_as_targets_are(tables: dict[str, Path], tmp_path: Path) -> None:
    # nobody who is darker is a woman, and a tenth is unknown: a target counts the others
    gender, tone = (pl.read_csv(tables[name]) for name in ("gender", "tone"))
    gender = gender.with_columns(
        level=pl.when((tone["level"] == "darker") & (pl.col("level") == "woman"))
        .then(pl.lit("man"))
        .otherwise("level")
    )
    gender.write_csv(tmp_path / "gender.csv")
    asked = config(
        tables | {"gender": tmp_path / "gender.csv"},
        f"{TONE}:darker=0.5",
        f"{GENDER}:woman=0.9",
        ratings=(),
    )
    with pytest.raises(ConfigError) as error:
        rebalance(asked)
    can_be = (
        f"{GENDER}:woman can only have from 0 % to ([\\d.]+) %, of the rows whose level is known"
    )
    found = re.search(can_be, str(error.value))
    assert found is not None, str(error.value)
    woman = float(found[1])
    assert 50 < woman < 60
    for share, can in ((woman, True), (woman + 0.2, False)):
        again = asked.model_copy(update={"target": (asked.target[0], f"{GENDER}:woman={share}%")})
        if can:
            assert rebalance(again).price.error <= 1e-6
        else:
            with pytest.raises(ConfigError, match="contradict one another"):
                rebalance(again)


def test_contradictory_targets_are_named_with_the_range(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    # nobody is a darker woman
    gender, tone = (pl.read_csv(tables[name]) for name in ("gender", "tone"))
    lighter = tone.with_columns(
        level=pl.when(gender["level"] == "woman").then(pl.lit("lighter")).otherwise("level")
    )
    lighter.write_csv(tmp_path / "tone.csv")
    asked = config(
        tables | {"tone": tmp_path / "tone.csv"},
        f"{GENDER}:woman=0.8",
        f"{TONE}:darker=0.5",
        ratings=(),
    )
    with pytest.raises(ConfigError) as error:
        rebalance(asked)
    said = str(error.value)
    assert "contradict one another" in said
    assert f"{GENDER}:woman = " in said
    assert re.search(rf"{TONE}:\w+ = 50.0 % \(now", said)
    low, high = map(float, re.findall(r"from ([\d.]+) % to ([\d.]+) %", said)[0])
    assert low == 0 or high == 100
    assert "ask for what can be had" in said
    # what it says can be had can be had, and the empty pair is told
    darker = (high if low == 0 else 100 - low) - 1
    r = rebalance(
        asked.model_copy(update={"target": (asked.target[0], f"{TONE}:darker={darker}%")})
    )
    assert {"woman", "darker"} in [set(c.levels.values()) for c in r.empty_cells]


def test_levels_that_nobody_has_can_be_skipped_and_are_named(tables: dict[str, Path]) -> None:
    r = rebalance(config(tables, f"{GENDER}:neutral=10%", skip_empty=True))
    assert r.variables[0].skipped == ("neutral",)
    assert {GENDER: "neutral"} in [c.levels for c in r.empty_levels]
    # what it would have had goes to known levels: unknown rows keep theirs
    unknown = level(r, GENDER, "unknown")
    assert unknown.share_after == pytest.approx(unknown.share, abs=1e-6)
    with pytest.raises(ConfigError, match="no row has any level that is to have a share"):
        rebalance(config(tables, f"{GENDER}:neutral=100%", skip_empty=True))
    assert any("no weight can mend" in line for line in r.finding)


def test_a_level_of_few_and_much_weight_is_told(tables: dict[str, Path], tmp_path: Path) -> None:
    gender = pl.read_csv(tables["gender"]).with_row_index()
    rare = pl.when(pl.col("index") < 7).then(pl.lit("neutral")).otherwise("level")
    gender.with_columns(level=rare).drop("index").write_csv(tmp_path / "gender.csv")
    moved = tables | {"gender": tmp_path / "gender.csv"}
    r = rebalance(config(moved, f"{GENDER}:neutral=20%", ratings=()))
    assert any(f"{GENDER}:neutral (7 pictures, 18." in line for line in r.finding)


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
    # a filter that removes all of them
    np.save(tmp_path / "kept.npy", ids[kept["i"].to_numpy() % 4 > 0])
    with pytest.raises(ConfigError, match=r"gender-words:woman = 25.0 % \(now 0.0 %\) cannot be"):
        rebalance(asked)
    r = rebalance(asked.model_copy(update={"skip_empty": True}))
    assert r.variables[0].skipped == ("woman",)


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


def test_the_report_shows_every_number_at_its_place(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    asked = config(tables, f"{GENDER}:woman=0.5", f"{TONE}:parity", data_note="<b>made up</b>")
    r = rebalance(asked, folder=tmp_path)
    render_rebalance(r, tmp_path)
    assert RebalanceResult.from_json((tmp_path / "result.json").read_text("utf-8")) == r
    html = (tmp_path / "report.html").read_text("utf-8")
    assert html == rebalance_report_html(r)
    assert "<b>made up</b>" not in html
    told = json.loads(r.to_json())
    pointers = re.findall(r'data-pointer="([^"]+)" data-form="[^"]+" data-value="([^"]*)"', html)
    assert len(pointers) > 60
    for where, value in pointers:
        parts = [p.replace("~1", "/").replace("~0", "~") for p in where.split("/")[1:]]
        there = reduce(lambda x, p: x[int(p)] if isinstance(x, list) else x[p], parts, told)
        number = there["value"] if isinstance(there, dict) else there
        assert (number is None and value == "") or float(value) == number, where
    margins = pl.read_csv(tmp_path / "tables" / "margins.csv")
    assert margins.filter(variable=TONE, name="darker")["share_after"][0] == pytest.approx(0.5)
    predicted = pl.read_csv(tmp_path / "tables" / "predicted.csv")
    assert set(predicted["stage"]) == {"before", "weighted", "subset"}
