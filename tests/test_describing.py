"""A datasheet's pass over shards: every count against plain loops, whole and in samples."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardmaker import CAPTIONS, write

from laion_probe.config import make_config
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.counts import UnitCounts
from laion_probe.data_result import DataResult, Domains
from laion_probe.errors import ConfigError, ShardError, UnknownName
from laion_probe.questions import describing
from laion_probe.questions.counted import Counted
from laion_probe.questions.describing import describe
from laion_probe.questions.describing_facts import domains_of, repeated_of
from laion_probe.questions.describing_unit import (
    DOMAIN,
    NO_DOMAIN,
    ROWS,
    DescribePlan,
    DescribeWork,
    most_frequent,
)
from laion_probe.shards import list_shards, list_units

N = 60


def table(n: int = N) -> pl.DataFrame:
    """Rows with everything that a count could get wrong, and a column that nobody knows."""
    hosts = ("www.alpha.com", "img.alpha.com", "beta.co.uk", "10.0.0.1", "localhost")
    return pl.DataFrame(
        {
            "URL": [None if i == 5 else f"http://{hosts[i % 5]}/{i % 31}.jpg" for i in range(n)],
            "TEXT": [None if i == 7 else CAPTIONS[i % len(CAPTIONS)] for i in range(n)],
            "WIDTH": [None if i % 20 == 3 else 100 + i for i in range(n)],
            "punsafe": [float("nan") if i == 9 else (i % 10) / 10 for i in range(n)],
            "LICENSE": [None if i % 3 == 0 else "?" for i in range(n)],
        }
    )


def run(shards: Path | str, cache: Path, **values: Any) -> DataResult:
    quiet = {"by": ("length", "gender-words"), "detector": "none", "runner": "serial"}
    given = {"shards": (str(shards),), "cache": str(cache), "already": "none", **quiet, **values}
    return describe(make_config(given, DatasheetConfig))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> DataResult:
    return run(write(tmp_path_factory.mktemp("shards"), table()), cache)


def test_columns_and_what_is_missing_in_them(whole: DataResult) -> None:
    rows = table()
    blank = [not (t or "").strip() for t in rows["TEXT"]]
    want = {
        "URL": ("url", 1),
        "TEXT": ("text", sum(blank)),
        "WIDTH": ("width", rows["WIDTH"].null_count()),
        "punsafe": ("punsafe", 1),  # NaN is no score
        "LICENSE": ("", rows["LICENSE"].null_count()),
    }
    assert {c.name: (c.serves, c.n_missing) for c in whole.columns} == want
    assert {c.n_rows for c in whole.columns} == {N}
    for c in whole.columns:
        assert c.missing is not None
        assert c.n_missing is not None
        assert c.missing.value == c.n_missing / N
        assert c.missing.low is None, "a full count has no sampling error"
    assert "aesthetic" in whole.absent
    assert whole.reading.n_rows_read == N


def test_numbers_by_their_ranks(whole: DataResult) -> None:
    found = {x.name: x for x in whole.scores}
    punsafe = sorted(v for v in table()["punsafe"].to_list() if v == v)
    for percent, value in found["punsafe"].quantiles.items():
        rank = max(1, int(np.ceil(len(punsafe) * int(percent) / 100)))
        assert value == punsafe[rank - 1]
    high = sum(v >= 0.5 for v in punsafe)
    assert found["punsafe"].n_missing == 1
    (least,) = found["punsafe"].at_least
    assert (least.threshold, least.n, least.share.value) == (0.5, high, high / len(punsafe))
    lengths = sorted(len(t) for t in table()["TEXT"] if t and t.strip())
    assert found["characters"].quantiles["100"] == lengths[-1]
    assert found["characters"].n == len(lengths)


def test_repetitions_by_a_plain_count(whole: DataResult) -> None:
    rows = table()
    urls = [u for u in rows["URL"] if u]
    texts = [t for t in rows["TEXT"] if t and t.strip()]
    both = [(u, t or "") for u, t in rows.select("URL", "TEXT").iter_rows() if u]
    want = {"url": Counter(urls), "text": Counter(texts), "url and text": Counter(both)}
    assert [r.key for r in whole.repeated] == list(want)
    for r in whole.repeated:
        counts = want[r.key]
        n = sum(counts.values())
        assert (r.n_rows, r.n_distinct, r.most) == (n, len(counts), max(counts.values()))
        assert r.repeated.value == (n - len(counts)) / n


def test_domains_and_groups(whole: DataResult) -> None:
    assert whole.domains is not None
    found = {d.domain: d.n for d in whole.domains.top}
    urls = table()["URL"].to_list()
    want = Counter(
        "alpha.com" if "alpha" in u else "beta.co.uk"
        for u in urls
        if u and "a" in u.split("/")[2] and "local" not in u
    )
    assert found == dict(want)
    assert whole.domains.n_without == N - sum(want.values())
    assert (whole.domains.n_distinct, whole.domains.missed) == (2, 0)
    for group in whole.groups:
        assert sum(x.n for x in group.levels) == N
        assert [x.n for x in group.levels] == sorted((x.n for x in group.levels), reverse=True)


def test_any_split_counts_alike(whole: DataResult, tmp_path: Path, cache: Path) -> None:
    one = run(write(tmp_path / "one", table(), n_shards=1, group=60), cache)
    parts = ("columns", "scores", "repeated", "groups", "domains", "sizes")
    assert {p: getattr(one, p) for p in parts} == {p: getattr(whole, p) for p in parts}


def test_a_second_run_reads_nothing_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "shards", table())
    first = run(folder, tmp_path / "cache")

    def never(*args: object) -> None:
        raise AssertionError("what is kept is not read again")

    monkeypatch.setattr("laion_probe.questions.describing_unit.read_unit", never)
    assert run(folder, tmp_path / "cache").to_json() == first.to_json()


def test_a_sample_has_intervals_and_no_duplicates(tmp_path: Path, cache: Path) -> None:
    folder = write(tmp_path, table(600), n_shards=3, group=10)
    found = run(folder, cache, max_units=20)
    assert (found.reading.full, found.reading.n_units_tried, found.reading.n_rows) == (
        False,
        20,
        600,
    )
    assert found.repeated == ()
    assert "sample" in found.why_no_repeats
    license_ = next(c for c in found.columns if c.name == "LICENSE")
    assert license_.missing is not None
    assert license_.missing.low is not None
    assert license_.missing.high is not None
    assert license_.missing.low <= 1 / 3 <= license_.missing.high
    assert found.domains is not None
    assert all(d.share.low is not None for d in found.domains.top[:2])
    punsafe = next(x for x in found.scores if x.name == "punsafe")
    (least,) = punsafe.at_least
    assert least.share.value == least.n / punsafe.n
    assert least.share.low is not None
    assert least.share.low <= 0.5 <= (least.share.high or 0)


def test_many_keys_are_followed_in_part(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pl.DataFrame(
        {
            "URL": [f"http://a.com/{i % 3000}.jpg" for i in range(4000)],
            "TEXT": [f"caption number {i}" for i in range(4000)],
        }
    )
    folder = write(tmp_path, rows, group=500)
    monkeypatch.setattr(describing, "_KEYS_HELD", 1000)
    found = {r.key: r for r in run(folder, cache).repeated}
    url = found["url"]
    assert url.one_in == 4
    assert 600 < url.n_distinct < 900, "about a quarter of 3000"
    assert url.repeated.low is not None
    assert url.repeated.high is not None
    assert url.repeated.low <= 0.25 <= url.repeated.high
    assert url.repeated.high - url.repeated.low < 0.1
    assert found["text"].repeated.value == 0


def test_the_interval_of_followed_keys_covers() -> None:
    """On 400 sets of keys, of which one in eight is followed, 95 % intervals cover in 95 %."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        times = rng.geometric(0.6, 4000)
        truth = 1 - len(times) / times.sum()
        kept = times[rng.random(4000) < 1 / 8]
        e = repeated_of("url", kept, 8, 0.95).repeated
        assert e.low is not None
        assert e.high is not None
        covered += e.low <= truth <= e.high
    assert 366 <= covered <= 392  # central 99.8 % of a binomial of 0.95


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=30), max_size=8))
def test_frequent_ones_are_never_missed_by_more_than_said(units: list[list[str]]) -> None:
    """Misra and Gries, merged unit by unit, with room for three."""
    held: dict[str, int] = {}
    missed = 0
    for unit in units:
        mine, off = most_frequent(dict(Counter(unit)), 3)
        missed += off
        held, off = most_frequent(dict(Counter(held) + Counter(mine)), 3)
        missed += off
    true = Counter(x for unit in units for x in unit)
    assert len(held) <= 3
    for name, n in true.items():
        assert held.get(name, 0) <= n <= held.get(name, 0) + missed
    assert missed <= sum(true.values()) / 4, "n / (k + 1) in all"


def test_a_column_that_serves_two_is_missing_once(tmp_path: Path, cache: Path) -> None:
    found = run(write(tmp_path, table().rename({"WIDTH": "original_width"})), cache)
    (column,) = (c for c in found.columns if c.name == "original_width")
    assert {x.name for x in found.scores} >= {"width", "original_width"}
    assert (column.n_rows, column.n_missing) == (N, table()["WIDTH"].null_count())


def test_what_the_count_of_a_domain_may_have_missed_is_inside_its_share() -> None:
    counted = Counted(1, 0.95, sampled=False)
    counted.add(UnitCounts.of("u", [(ROWS, "", 0, 0, 200), (NO_DOMAIN, "", 0, 0, 0)]))
    (one,) = domains(counted, {"a.com": 50}, 10).top
    assert (one.share.value, one.share.low, one.share.high) == (0.25, 0.25, 0.3)
    (one,) = domains(counted, {"a.com": 50}, 0).top
    assert (one.share.value, one.share.low) == (0.25, None), "it is exact"


def test_in_a_sample_too() -> None:
    counts = [
        UnitCounts.of(
            str(i), [(ROWS, "", 0, 0, 50), (NO_DOMAIN, "", 0, 0, 0), (DOMAIN, "a.com", 0, 0, n)]
        )
        for i, n in enumerate((10, 12, 9, 14))
    ]
    counted = Counted(40, 0.95, sampled=True)
    for unit in counts:
        counted.add(unit)
    ends = []
    for missed in (0, 20):
        found = domains_of(counted, {"a.com": 41}, missed, counts)
        assert found is not None
        (one,) = found.top
        assert (one.n, one.share.value) == (45, 45 / 200), "what its units counted"
        ends.append((one.share.low, one.share.high))
    assert ends[0][0] == ends[1][0]
    assert ends[1][1] == pytest.approx((ends[0][1] or 0) + 20 / 200)


def domains(counted: Counted, found: dict[str, int], missed: int) -> Domains:
    result = domains_of(counted, found, missed, ())
    assert result is not None
    return result


def test_exchanged_sizes_are_seen(tmp_path: Path, cache: Path) -> None:
    rows = (
        table()
        .drop("WIDTH")
        .with_columns(
            pl.lit(640).alias("HEIGHT"),
            pl.lit(480).alias("WIDTH"),
            pl.lit(640).alias("original_width"),
            pl.lit(480).alias("original_height"),
        )
    )
    sizes = run(write(tmp_path, rows), cache).sizes
    assert sizes is not None
    assert (sizes.n_agree, sizes.n_exchanged) == (0, N)


def test_a_file_that_cannot_be_read_is_listed(tmp_path: Path, cache: Path) -> None:
    folder = write(tmp_path / "s", table())
    (folder / "part-00009.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(ShardError, match="max-failed-share"):
        run(folder, cache)
    found = run(folder, cache, max_failed_share=0.9)
    assert [f.unit for f in found.failed_units] == ["part-00009.parquet#0"]
    assert any("could not be read" in words for words in found.cannot_say)


def test_wrong_names_are_said(tmp_path: Path, cache: Path) -> None:
    folder = write(tmp_path, table())
    with pytest.raises(UnknownName, match="gender-words"):
        run(folder, cache, by=("gender-word",))
    with pytest.raises(UnknownName, match="cld2"):
        run(folder, cache, detector="cld4")
    with pytest.raises(ConfigError, match="twice"):
        run(folder, cache, by=("length", "length"))
    found = run(folder, cache, by=("nsfw", "length"))
    assert [g.name for g in found.groups] == ["length"]
    assert found.notes == ("rows were not counted by nsfw, since no file has its column",)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "captions"])
def test_other_files_are_counted_too(kind: str, tmp_path: Path, cache: Path) -> None:
    rows = table().fill_nan(None)
    match kind:
        case "csv":
            rows.write_csv(tmp_path / "a.csv")
        case "jsonl":
            rows.write_ndjson(tmp_path / "a.jsonl")
        case _:
            rows.select("TEXT", "LICENSE").write_parquet(tmp_path / "a.parquet")
    found = run(tmp_path, cache)
    assert found.reading.n_rows_read == N
    columns = {c.name: c for c in found.columns}
    blank = sum(not (t or "").strip() for t in rows["TEXT"])
    assert columns["TEXT"].n_missing == blank
    if kind == "captions":
        assert found.domains is None
        assert [r.key for r in found.repeated] == ["text"]
        assert columns["LICENSE"].n_missing == rows["LICENSE"].null_count()
        return
    assert columns["WIDTH"].n_missing == rows["WIDTH"].null_count()
    assert columns["LICENSE"].n_missing is None, "not read, so not counted"
    assert found.domains is not None
    assert [d.domain for d in found.domains.top] == ["alpha.com", "beta.co.uk"]


def test_the_work_can_be_sent_to_another_process(tmp_path: Path) -> None:
    (shard,) = list_shards([str(write(tmp_path, table(), n_shards=1))])
    unit = list_units([shard])[0]
    work = DescribeWork(DescribePlan(("length",), 1))
    sent = pickle.loads(pickle.dumps(work))
    assert sent(unit).counts == work(unit).counts
    assert sent.plan.fingerprint == work.plan.fingerprint
    assert DescribePlan(("length",), 2).fingerprint != work.plan.fingerprint


def test_addresses_that_are_none_of_the_web(tmp_path: Path) -> None:
    urls = [
        None, " ", "http://a.com/b.jpg", "HTTPS://a.com/b.jpg", "data:image/png;base64,AA",
        "JavaScript:void(0)", "//a.com/b", "localhost:80/b", "http://10.0.0.1/b", "b.jpg",
    ]  # fmt: skip
    folder = write(tmp_path / "s", pl.DataFrame({"URL": urls, "TEXT": ["x"] * len(urls)}))
    d = run(folder, tmp_path / "c").domains
    assert d is not None
    assert (d.n_rows, d.n_no_address, d.n_not_web) == (10, 2, 2)
    assert d.n_no_domain is not None
    assert d.n_without == 2 + d.n_no_domain
    assert sum(x.n for x in d.top) == d.n_rows - d.n_without


def test_languages_of_rows_with_a_caption_and_their_own_tags(tmp_path: Path) -> None:
    texts = ["a photograph of a doctor in a hospital", "", None, "एक महिला डॉक्टर अस्पताल में"] * 5
    tags = (["en"] * 3 + ["hi"]) * 5
    rows = pl.DataFrame({"TEXT": texts, "LANGUAGE": tags})
    found = run(write(tmp_path / "s", rows), tmp_path / "c", detector="cld2", by=("length",))
    detected, tagged, _ = found.groups
    assert (detected.name, tagged.name) == ("language:cld2", "language-tag")
    levels = {x.level: x for x in detected.levels}
    assert levels["en"].captioned is not None
    assert (levels["en"].share.value, levels["en"].captioned.value) == (5 / 20, 5 / 10)
    assert levels["und"].captioned is None, "those without a caption are in it, and no other"
    assert {x.level: x.n for x in tagged.levels} == {"en": 15, "hi": 5}
    assert all(x.captioned is None for x in tagged.levels)
    quiet = run(tmp_path / "s", tmp_path / "c", by=("length",))
    assert [g.name for g in quiet.groups] == ["length"]
