"""The scan as a question: exact counts, samples of row groups, failures as bounds, plans."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import ROOT
from shardmaker import frame, write
from test_scan import plain_laion400m

from laion_probe import cli
from laion_probe.config import PlanConfig, ScanConfig, make_config
from laion_probe.counts import ALL, UnitCounts
from laion_probe.errors import ConfigError, ShardError, UnknownName
from laion_probe.public_sets import PUBLIC_SETS
from laion_probe.questions.planning import plan
from laion_probe.questions.reading import Limits, Sample, Share, random_order, rows_of
from laion_probe.questions.scanning import scan
from laion_probe.runners import Failure
from laion_probe.scan_result import ScanResult
from laion_probe.sequence import Stream
from laion_probe.shards import list_shards, list_units

N = 600
TABLE = pl.concat([frame(N // 2), frame(N // 2).reverse()])  # every row twice


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """100 row groups of 6 rows."""
    return write(tmp_path / "shards", TABLE, 10, 6)


def run(folder: Path, **values: object) -> ScanResult:
    values = {"shards": [str(folder)], "cache": str(folder.parent / "cache"), **values}
    return scan(make_config({"recipe": "laion400m", "runner": "serial", **values}, ScanConfig))


def test_a_full_scan_counts_what_a_plain_loop_keeps(folder: Path) -> None:
    result = run(folder, by=["nsfw", "words:doctor"])
    kept = plain_laion400m(TABLE)
    assert result.share.estimate.value == len(kept) / N
    assert result.share.estimate.low == result.share.estimate.high == len(kept) / N
    assert result.survival[-1].value == len(kept) / N
    assert result.reading.full
    nsfw = result.groups[0]
    tags = TABLE["NSFW"].to_list()
    assert {level.level: (level.n, level.n_kept) for level in nsfw.levels} == {
        tag: (tags.count(tag), sum(tags[i] == tag for i in kept)) for tag in set(tags)
    }
    dedup = next(s for s in result.steps if s.id == "dedup")
    assert sum(dedup.outcomes.values()) == N
    assert dedup.outcomes["drop"] > 0
    assert result.steps[0].n_reached - result.steps[0].n_removed_here == result.steps[1].n_reached


@pytest.mark.parametrize("rows_in_memory", [50, 170])
def test_duplicates_are_the_same_when_they_are_spilled_to_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rows_in_memory: int
) -> None:
    whole = run(folder, by=["nsfw"]).to_json()
    monkeypatch.setattr("laion_probe.sets.ROWS_IN_MEMORY", rows_in_memory)
    assert run(folder, by=["nsfw"]).to_json() == whole
    assert not list((folder.parent / "cache").rglob("sets"))


def test_the_order_of_units_is_a_seeded_permutation(folder: Path) -> None:
    units = list_units(list_shards([str(folder)]))
    first, again, other = (random_order(units, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(u.id for u in first) == sorted(u.id for u in units)
    places = [units.index(u) for u in first]
    assert abs(np.corrcoef(places, range(len(places)))[0, 1]) < 0.3


def test_a_sample_says_what_it_read_and_what_it_cannot_judge(folder: Path) -> None:
    result = run(folder, max_units=40, by=["nsfw"])
    reading = result.reading
    assert (reading.n_units, reading.n_units_tried, reading.full) == (100, 40, False)
    assert reading.n_rows_read == 240
    assert reading.share == pytest.approx(0.4)
    assert reading.stopped_by == "--max-units 40"
    low, value, high = (getattr(result.share.estimate, k) for k in ("low", "value", "high"))
    assert 0 < low < value < high < 1
    dedup = next(s for s in result.steps if s.id == "dedup")
    assert "not estimable from a sample of row groups" in dedup.note
    assert set(dedup.outcomes) == {"not_evaluable"}
    assert "leaving out its step dedup" in result.share.title
    assert result.share.other is not None
    other = result.share.other
    assert result.share.price == pytest.approx((other.high - other.low) / (high - low))
    with pytest.raises(ConfigError, match="cannot be estimated from a sample of row groups"):
        run(folder, max_units=40, share="removed:dedup")


def test_until_stops_at_the_first_moment_it_may_whoever_computes(folder: Path) -> None:
    table = frame(4_000)
    many = write(folder.parent / "many", table, 4, 10)
    serial = run(many, until="4%", recipe="laion5b-en")
    assert serial.reading.n_units_tried < serial.reading.n_units == 400
    e = serial.share.estimate
    assert e.low is not None and e.high is not None
    assert (e.high - e.low) / 2 <= 0.04
    before = serial.share.looks[-2]
    assert before.high is None or (before.high - before.low) / 2 > 0.04  # type: ignore[operator]
    pool = run(
        many,
        until="4%",
        recipe="laion5b-en",
        runner="processes",
        workers=2,
        cache=str(folder.parent / "other"),
    )
    assert pool.to_json() == serial.to_json()


def test_limits_are_prefixes_known_beforehand(folder: Path) -> None:
    order = random_order(list_units(list_shards([str(folder)])), 0)

    def limit(**values: object) -> Limits:
        config = make_config({"shards": ["x"], **values}, ScanConfig)
        return Limits.of(config, order, lambda unit: 10)

    assert limit(max_rows=61).units == 10
    assert limit(max_rows="1").units == 1  # never nothing
    assert limit(max_bytes="200").units == 20
    assert limit(max_rows=6000).units is None  # all of it: no limit
    assert not limit(max_rows=6000).any
    assert limit(max_rows=60, max_units=3).reason == "--max-units 3"
    assert limit(max_time="1m").time_s == 60
    assert limit(until="0.5%").reached(50, 0.004) == "the share is known to within ±0.5 points"
    assert limit(until="0.5%").reached(50, 0.006) == ""
    with pytest.raises(ConfigError, match=r"'max_rows' 'many' is no such quantity: write 2000000"):
        limit(max_rows="many")


def share_of_all() -> Share:
    return Share("hits", "hits", lambda key: key.group == ALL, lambda key: key.hits == 1)


def counts(name: str, hits: int, rows: int) -> UnitCounts:
    return UnitCounts.of(name, [(ALL, "", 1, 0, hits), (ALL, "", 0, 0, rows - hits)])


def informative_failures(seed: int) -> tuple[float, Sample]:
    """A set whose worst units (few hits) fail more often than others; half of it is read."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(200, 800, 200)
    hits = rng.binomial(rows, np.clip(rng.normal(0.36, 0.1, 200), 0.01, 0.99))
    fails = rng.random(200) < np.where(hits / rows < 0.36, 0.3, 0.0)
    stream = Stream(population=200, planned=100)
    sample = Sample(share_of_all(), stream, "asymptotic", sampling=True)
    for i in rng.permutation(200)[:100]:
        if fails[i]:
            sample.fail(Failure(None, "lost"), float(rows[i]))  # type: ignore[arg-type]
        else:
            sample.add(counts(f"{i}", int(hits[i]), int(rows[i])))
    return float(hits.sum() / rows.sum()), sample


def test_failed_units_enter_as_bounds_and_leaving_them_out_would_mislead() -> None:
    with_bounds, left_out = 0, 0
    n = 60
    for seed in range(n):
        truth, sample = informative_failures(seed)
        e = sample.estimate()
        assert e.low is not None and e.high is not None
        with_bounds += e.low <= truth <= e.high
        only = Sample(share_of_all(), Stream(population=100, planned=50), "asymptotic", True)
        for place in range(100):
            if place not in sample._lost:
                cells = [c for c in sample._cells if c[0] == place]
                keys = list(sample._keys)
                y = sum(c[2] for c in cells if keys[c[1]].hits)
                only.add(counts(f"u{place}", y, sum(c[2] for c in cells)))
        half = (e.high - e.low) / 2
        read = only.estimate()
        assert read.value is not None and read.low is not None and read.high is not None
        left_out += read.low <= truth <= read.high
        assert half > (read.high - read.low) / 2
        assert sample.of(share_of_all()) == e  # the same from memory as on the way
    assert with_bounds >= 0.94 * n
    assert left_out < 0.94 * n


def test_in_a_full_scan_failed_units_are_bounds_without_sampling() -> None:
    sample = Sample(share_of_all(), Stream(population=2, largest=100.0), "asymptotic", False)
    sample.add(counts("a", 30, 100))
    sample.fail(Failure(None, "lost"), 100.0)  # type: ignore[arg-type]
    e = sample.estimate()
    assert (e.value, e.low, e.high) == (0.3, 0.15, 0.65)
    assert "bounds for the row groups that failed" in e.method


def test_rows_of_units_that_do_not_say_are_guessed_by_bytes(tmp_path: Path) -> None:
    folder = write(tmp_path, frame(40), 2, 10)
    (folder / "part-00002.parquet").write_bytes(b"not parquet" * 100)
    units = list_units(list_shards([str(folder)]))
    sizes = dict(zip((u.label for u in units), rows_of(units), strict=True))
    assert sizes["part-00000.parquet#0"] == 10
    assert sizes["part-00002.parquet#0"] == 20  # it may have been cut off: as the other files
    read = [u for u in units if u.n_rows is not None]
    per_byte = 40 / sum(u.n_bytes for u in read)
    (folder / "part-00002.parquet").write_bytes(b"not parquet" * 2000)
    sizes = rows_of(list_units(list_shards([str(folder)])))
    assert max(sizes) == pytest.approx(22_000 * per_byte)


def test_a_file_that_was_cut_off_counts_as_the_others_do(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", frame(2000), 10, 50)
    path = folder / "part-00004.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 30])
    with pytest.raises(ShardError, match=r"1 of 37 units failed, with about 10\.0% of the rows"):
        run(folder)
    e = run(folder, max_failed_share=0.2).share.estimate
    assert e.value is not None and e.low is not None and e.high is not None
    assert e.low == pytest.approx(0.9 * e.value)
    assert e.high == pytest.approx(0.9 * e.value + 0.1)


def test_files_that_do_not_say_their_rows_are_reckoned_by_what_was_read(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for i in range(20):
        frame(30).with_columns(URL=pl.lit(f"http://s.example/{i}")).write_csv(
            folder / f"{i:02}.csv"
        )
    (folder / "07.csv").write_bytes((folder / "07.csv").read_bytes()[:900] + b'"broken,\n')
    e = run(folder, max_failed_share=0.2).share.estimate
    assert e.value is not None and e.low is not None and e.high is not None
    assert e.high - e.low == pytest.approx(1 / 20, rel=0.9)
    with pytest.raises(ConfigError, match="--max-rows must know beforehand"):
        run(folder, max_rows=50)
    with pytest.raises(ConfigError, match="--sequence betting must know the rows"):
        run(folder, max_units=5, sequence="betting")
    (folder / "07.csv").unlink()
    found = plan(make_config({"shards": [str(folder)], "recipe": "none"}, PlanConfig))
    assert found.n_rows == pytest.approx(570, rel=0.05)


class TestBroken:
    """One shard in five is broken, each in a way of its own."""

    @pytest.fixture
    def broken(self, tmp_path: Path) -> Path:
        folder = write(tmp_path / "shards", frame(500), 25, 20)
        paths = sorted(folder.iterdir())
        data = paths[0].read_bytes()
        paths[0].write_bytes(data[: len(data) // 2])  # truncated
        paths[5].write_bytes(b"NOPE" + paths[5].read_bytes()[4:-4] + b"NOPE")  # wrong magic
        pl.DataFrame({"size": [1, 2]}).write_parquet(paths[10])  # no captions
        pl.DataFrame({"URL": ["u"], "TEXT": [[1]]}).write_parquet(paths[15])  # re-typed
        data = bytearray(paths[20].read_bytes())
        data[10:400] = b"\xff" * 390  # damaged pages under a sound footer
        paths[20].write_bytes(bytes(data))
        return folder

    def argv(self, broken: Path, *more: str) -> list[str]:
        out = broken.parent / "out"
        shutil.rmtree(out, ignore_errors=True)
        cache = str(broken.parent / "cache")
        recipe = ["--recipe", "laion400m", "--runner", "serial"]
        return ["scan", str(broken), "--out", str(out), "--cache", cache, *recipe, *more]

    def test_the_run_fails_with_the_list(
        self, broken: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(self.argv(broken)) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("laion-probe: 5 of 25 units failed, with about ")
        assert "--max-failed-share" in lines[0]
        assert [line.split(":")[0].strip().split("#")[0] for line in lines[1:]] and len(lines) == 6
        for number in (0, 5, 10, 15, 20):
            assert any(f"part-{number:05d}.parquet" in line for line in lines[1:])
        assert not (broken.parent / "out").exists()

    def test_allowed_they_are_named_in_the_result(
        self, broken: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(self.argv(broken, "--max-failed-share", "0.5")) == 0
        result = ScanResult.from_json((broken.parent / "out" / "result.json").read_text())
        assert len(result.failed_units) == 5
        assert result.reading.n_units_failed == 5
        assert result.reading.n_rows_read == 400
        reasons = " ".join(f.reason for f in result.failed_units)
        for words in ("no column for text", "not text"):
            assert words in reasons
        e = result.share.estimate
        assert e.low is not None and e.high is not None
        assert e.value is not None
        # about a fifth of the rows are lost, and may all be kept or none
        assert e.low == pytest.approx(e.value * 0.8, rel=0.2)
        assert e.high == pytest.approx(e.value * 0.8 + 0.2, rel=0.2)
        assert capsys.readouterr().err.count("failed: ") == 5

    def test_all_of_them_fail_whatever_is_allowed(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "s", frame(20), 1)
        path = next(folder.iterdir())
        data = bytearray(path.read_bytes())
        data[4:-300] = b"\xff" * (len(data) - 304)
        path.write_bytes(bytes(data))
        with pytest.raises(ShardError):
            run(folder, max_failed_share=1.0)


def test_another_column_is_another_partial(folder: Path) -> None:
    table = TABLE.with_columns(ALT=pl.lit("the same long English caption of a house"))
    two = write(folder.parent / "two", table, 2, 50)
    by_name = run(two, share="removed:english")
    other = run(two, share="removed:english", column=["text=ALT"])
    assert by_name.share.estimate.value != other.share.estimate.value == 0


@pytest.mark.parametrize(
    "values",
    [{"recipe": "none"}, {"share": "removed:length"}, {"share": "words:zebra=named"}],
)
def test_a_share_of_nothing_or_of_all_in_a_sample_has_an_interval(folder, values) -> None:
    result = run(folder, by=["words:zebra"], max_units=40, **values)
    e = result.share.estimate
    assert e.value in (0, 1, None)
    assert result.share.other is None
    if e.value is not None and "levels seen" not in result.finding[0]:
        assert e.low is not None and e.high is not None and e.low < e.high
        assert "betting" in e.method


def test_a_level_that_no_row_has_is_no_zero(folder: Path) -> None:
    result = run(folder, by=["nsfw"], share="nsfw=UNLIKLEY")
    assert result.finding[0] == (
        "No row that was read has the level “UNLIKLEY” of nsfw; levels seen: UNLIKELY, UNSURE."
    )


def test_what_could_not_be_judged_stands_in_the_finding(folder: Path) -> None:
    table = TABLE.drop("similarity")
    result = run(write(folder.parent / "blind", table, 2, 50))
    assert any("count as kept by it" in s and "similarity of at least" in s for s in result.finding)
    assert not any("count as kept" in s for s in run(folder).finding[:2])


def test_the_command_repeats_the_row_groups_that_the_clock_allowed(folder: Path) -> None:
    result = run(folder, max_time="0.000001s")
    n = result.reading.n_units_tried
    assert n < 100
    assert result.command.endswith(f"--max-units {n}")
    again = run(folder, max_units=n)
    assert again.share.estimate.value == result.share.estimate.value


def test_betting_is_used_for_every_share_when_asked_for(folder: Path) -> None:
    result = run(folder, by=["nsfw"], max_units=20, sequence="betting")
    for e in (*result.survival, result.groups[0].levels[0].kept):
        assert "betting" in e.method
        assert e.low is not None


def test_a_second_set_step_that_cannot_be_judged_does_not_borrow_a_key(tmp_path: Path) -> None:
    recipe = tmp_path / "two.toml"
    steps = [
        f'[[step]]\nid = "{c}"\nkind = "duplicates"\ntitle = "t"\nparams = {{ by = ["{c}"] }}\n'
        for c in ("text", "url")
    ]
    recipe.write_text('name = "two"\ntitle = "t"\nsource = "s"\n' + "".join(steps))
    table = frame(20).select("TEXT", "WIDTH")
    result = run(write(tmp_path / "s", table, 2, 5), recipe=str(recipe))
    assert result.steps[0].outcomes == {"keep": 8, "drop": 12}
    assert result.steps[1].outcomes == {"not_evaluable": 20}
    assert result.survival[1].value == 8 / 20


def test_small_shares_do_not_vanish_in_words(folder: Path) -> None:
    table = frame(30_000, TEXT=["a long English caption"] * 29_999 + [""])
    recipe = folder.parent / "there.toml"
    recipe.write_text(
        'name = "there"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "there"\n'
        'kind = "caption-present"\ntitle = "captions are there"\n'
    )
    large = write(folder.parent / "large", table, 1, 10_000)
    found = run(large, recipe=str(recipe), share="removed:there").finding[0]
    assert "0.0033 % (a full count)" in found
    assert "of those that reach it" in found
    assert "99.9967 %" in run(large, recipe=str(recipe)).finding[0]


def test_hits_that_sit_in_few_row_groups_are_warned_of() -> None:
    sample = Sample(share_of_all(), Stream(population=500, planned=100), "asymptotic", True)
    for i in range(60):
        sample.add(counts(f"{i}", 300 if i % 12 == 0 else 2, 1000))
    assert sample.concentration() == pytest.approx(1508 / 1610, rel=0.01)
    even = Sample(share_of_all(), Stream(population=500, planned=100), "asymptotic", True)
    for i in range(60):
        even.add(counts(f"{i}", 300, 1000))
    assert even.concentration() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"share": "kept:nsfw=NSFW"}, ConfigError, "give --by nsfw"),
        ({"share": "lost"}, ConfigError, "is not kept, removed:STEP, GROUP=LEVEL"),
        ({"share": "removed:englsh"}, UnknownName, "did you mean english"),
        ({"by": ["nfsw"]}, UnknownName, "did you mean nsfw"),
        ({"by": ["nsfw", "nsfw"]}, ConfigError, "named twice"),
        ({"by": ["words:!!!"]}, ConfigError, "no letters or digits"),
        ({"sequence": "beting"}, UnknownName, "did you mean betting"),
        ({"column": ["text"]}, ConfigError, "is not NAME=COLUMN"),
        ({"until": "50%"}, ConfigError, "'until' input should be less than 0.5"),
        ({"shards": []}, ShardError, "no shards given"),
    ],
)
def test_wrong_options_say_what_to_do(
    folder: Path, values: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(folder, **values)


def test_exchanged_sizes_are_said(tmp_path: Path) -> None:
    table = frame(60).with_columns(
        pl.col("HEIGHT").alias("original_width"), pl.col("WIDTH").alias("original_height")
    )
    result = run(write(tmp_path / "s", table, 1))
    assert any("WIDTH and HEIGHT look exchanged: 60 rows" in n for n in result.notes)
    right = table.rename({"original_width": "original_height", "original_height": "original_width"})
    assert run(write(tmp_path / "t", right, 1)).notes == ()


def test_what_readers_must_know_of_the_data_stands_beside_them(folder: Path) -> None:
    assert run(folder).data_note == ""
    (folder / "DATA_NOTE.txt").write_text("Made up,\nall of it.\n", encoding="utf-8")
    assert run(folder).data_note == "Made up, all of it."
    assert run(folder, data_note="mine").data_note == "mine"
    assert "Simulated" in (ROOT / "data" / "demo" / "shards" / "DATA_NOTE.txt").read_text()


def test_a_result_holds_no_place_and_no_time(folder: Path) -> None:
    text = run(folder, max_units=40).to_json()
    assert str(folder.parent) not in text
    assert json.loads(text)["command"] == (
        "laion-probe scan SHARDS --recipe laion400m --max-units 40"
    )
    moved = folder.parent / "elsewhere"
    shutil.move(folder, moved)
    assert run(moved, max_units=40).to_json() == text


class TestPlan:
    """Rows, bytes, time and memory beforehand."""

    def test_of_shards(self, folder: Path) -> None:
        config = {"shards": [str(folder)], "recipe": "laion400m", "cores": [4]}
        found = plan(make_config(config, PlanConfig))
        units = list_units(list_shards([str(folder)]))
        assert (found.n_rows, found.n_units, found.exact) == (N, 100, True)
        needed = ("url", "text", "width", "height", "similarity", "nsfw")
        assert found.n_bytes == sum(u.bytes_of(needed) for u in units)
        assert 0 < found.seconds < 60
        lines = "\n".join(found.lines())
        assert "600 rows in 100 row groups" in lines
        assert "on 4 cores" in lines

    @pytest.mark.parametrize("name", sorted(PUBLIC_SETS))
    def test_of_a_public_set_offline(self, name: str) -> None:
        config = make_config({"shards": [name], "recipe": "laion5b-en"}, PlanConfig)
        found = plan(config)
        assert found.n_rows == PUBLIC_SETS[name].n_rows
        assert not found.exact
        assert found.seconds > 600
        text = "\n".join(found.lines())
        assert "from built-in facts" in text
        assert f"on disk:  {found.keeps / 1e9:.3g} GB" in text

    def test_from_the_command_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["plan", "laion2b-en", "--recipe", "laion5b-en"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("laion2B-en: about 2,320,000,000 rows")
        assert "it has passed laion5b-en: what that removed cannot be observed" in out
