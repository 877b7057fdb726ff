"""What a datasheet says of shards: which rows each share is of, and what could not be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from shardmaker import write
from test_describing import run, table

from laion_probe.data_result import DataResult
from laion_probe.datasheet_result import Statement
from laion_probe.errors import ShardError
from laion_probe.questions import describing
from laion_probe.questions.datasheet_data import brief, of_data
from laion_probe.questions.datasheet_numbers import Source
from laion_probe.questions.describing_facts import repeated_of
from laion_probe.questions.describing_unit import DescribePlan, describe_rows
from laion_probe.shards import Unit, read_unit

GROUPS = ("script", "gender-words", "identity-religion", "region", "nsfw")


def rows(n: int = 60) -> pl.DataFrame:
    """A `table` in which captions, addresses and scores are missing in different rows."""
    return table(n).with_columns(
        pl.when(pl.int_range(n) % 9 == 4).then(None).otherwise(pl.col("punsafe")).alias("punsafe"),
        pl.when(pl.int_range(n) % 7 == 2).then(None).otherwise(pl.col("URL")).alias("URL"),
        pl.when(pl.int_range(n) % 2 == 0).then(pl.lit("NSFW")).alias("NSFW"),
    )


def said(found: DataResult) -> tuple[Source, list[Statement]]:
    source = Source("data", json.loads(found.to_json()))
    return source, [statement for _, statement in of_data(source, found)]


def lose(monkeypatch: pytest.MonkeyPatch, *groups: int) -> None:
    """These row groups of every file cannot be read."""

    def broken(unit: Unit, columns: Sequence[str]) -> pl.DataFrame:
        if unit.row_group in groups:
            raise ShardError(f"{unit.label}: cannot be read")
        return read_unit(unit, columns)

    monkeypatch.setattr("laion_probe.questions.describing_unit.read_unit", broken)


@pytest.mark.parametrize("failed", [False, True])
def test_every_share_says_which_rows_it_is_of(
    failed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words before or after a percentage, against the ``n`` of its estimate."""
    whole = rows()
    one, two = whole.head(30), whole.tail(30).drop("LICENSE")
    folder = write(tmp_path / "s", one, n_shards=1, group=10)
    other = write(tmp_path / "t", two, n_shards=1, group=10)
    (other / "part-00000.parquet").rename(folder / "part-00001.parquet")
    if failed:
        lose(monkeypatch, 1)
        one, two = (pl.concat([part.head(10), part.tail(10)]) for part in (one, two))
    read = pl.concat([one, two], how="diagonal")
    found = run(folder, tmp_path / "c", by=GROUPS, max_failed_share=0.9)
    means = {
        "of all rows": len(read),
        "of the rows with a caption": (read["TEXT"].str.strip_chars() != "").sum(),
        "of the rows with an address": read["URL"].is_not_null().sum(),
        "of the rows that have punsafe": read["punsafe"].fill_nan(None).is_not_null().sum(),
        "of the rows in files that have the column": len(one),
    }
    assert len(set(means.values())) == len(means), "or words could stand for another number"
    source, statements = said(found)
    used = set()
    for statement in statements:
        shares = [n for n in statement.numbers if "%" in n.shown]
        if not shares:
            assert "%" not in statement.text
            continue
        words = [w for w in means if w in statement.text.lower()]
        assert len(words) == 1, statement.plain()
        incomplete = "of all rows, by those read" in statement.text
        assert incomplete == (failed and words == ["of all rows"])
        assert {source.get(n.pointer)["n"] for n in shares} == {means[words[0]]}, statement.plain()
        used.update(words)
    assert used == {*means}


def test_rows_without_a_caption_are_not_taken_for_captions(tmp_path: Path) -> None:
    _, statements = said(run(write(tmp_path / "s", rows()), tmp_path / "c", by=GROUPS))
    blank = sum(not (t or "").strip() for t in rows()["TEXT"])
    words = [s.plain() for s in statements]
    groups = [
        w
        for w in words
        if w.endswith(f"(of all rows; the {blank} without a caption are in “none named”).")
    ]
    assert len(groups) == 1
    assert any(f"the {blank} without a caption are in “no letters”" in w for w in words)
    assert any("none was found" in w and f", {blank} of them without a" in w for w in words)
    captions = rows().drop_nulls("TEXT").filter(pl.col("TEXT").str.strip_chars() != "")
    full = run(write(tmp_path / "f", captions), tmp_path / "c", by=GROUPS)
    assert not any("without a caption are in" in s.plain() for s in said(full)[1])


def test_unknown_is_shown_however_rare(tmp_path: Path) -> None:
    hosts = ("a.de", "a.fr", "a.in", "a.jp", "a.br", "a.za", "a.us", "a.au", "a.com", "a.eg")
    urls = [f"http://{h}/{i}.jpg" for h in hosts for i in range(2)] + ["http://10.0.0.1/x.jpg"]
    table = pl.DataFrame({"URL": urls, "TEXT": ["x"] * len(urls)})
    _, statements = said(run(write(tmp_path / "s", table), tmp_path / "c", by=("region",)))
    (region,) = (s.plain() for s in statements if s.plain().startswith("Region"))
    assert "unknown (no known top-level domain) 4.8" in region
    assert region.count("%") == 8


def beside(folder: Path, table: pl.DataFrame, name: str = "part-00001.parquet") -> Path:
    """One more shard of a folder."""
    table.write_parquet(folder / name)
    return folder


def test_a_column_of_some_files_is_no_column_of_each_row(tmp_path: Path) -> None:
    """And one that is read in some files alone is not counted: nulls may be in the others."""
    some = rows(20).with_columns(pl.lit("x").alias("kind"), pl.lit(1).alias("rank"))
    folder = write(tmp_path / "s", some, n_shards=1, group=20)
    lists = rows(20).with_columns(pl.Series("kind", [[1], None] * 10))
    found = run(beside(folder, lists), tmp_path / "c", by=())
    columns = {c.name: c for c in found.columns}
    assert (columns["kind"].n_rows, columns["kind"].n_missing) == (40, None)
    assert (columns["rank"].n_rows, columns["rank"].n_missing) == (20, 0)
    words = [s.plain() for s in said(found)[1]]
    (listed,) = (w for w in words if w.startswith("The files have"))
    assert listed.startswith("The files have, in all, 8 columns: ")
    assert "rank (int32; not in every file)" in listed
    assert listed.count("not in every file") == 1
    assert not any("Each row holds" in w for w in words)
    assert "Nothing is missing in rank (of the rows in files that have it)." in words
    assert "Not counted: kind." in words
    assert not any("Nothing is missing" in w and "kind" in w for w in words)


def test_a_number_without_end_is_none_and_zero_has_one_sign(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {"TEXT": ["a"] * 4, "similarity": [float("inf"), float("-inf"), -0.0, 0.0]}
    )
    found = run(write(tmp_path / "s", table, n_shards=1), tmp_path / "c", by=())
    (score,) = (x for x in found.scores if x.name == "similarity")
    (column,) = (c for c in found.columns if c.name == "similarity")
    assert score.n_missing == column.n_missing == 2
    assert {str(q) for q in score.quantiles.values()} == {"0.0"}


def test_without_a_caption_nothing_was_looked_for(tmp_path: Path) -> None:
    urls = [f"http://a.com/{i}.jpg" for i in range(4)]
    table = pl.DataFrame({"URL": urls, "TEXT": [None, "", " ", None]})
    found = run(write(tmp_path / "s", table, n_shards=1), tmp_path / "c", by=GROUPS)
    words = [s.plain() for s in said(found)[1]]
    (religion,) = (w for w in words if "religion" in w and "%" not in w)
    assert religion.endswith(
        "not looked for, since no caption is of a language that the list has words of."
    )
    assert not any("none was found" in w or "not defined" in w for w in words)
    assert any(w.startswith("Of the rows with an address, 0") for w in words)
    assert any("are of 1 registered domain; the most frequent: a.com" in w for w in words)


def test_what_was_read_of_a_sample_is_not_told_of_all(tmp_path: Path) -> None:
    table = rows().with_columns(pl.int_range(60).alias("hash"))
    folder = write(tmp_path / "s", table, n_shards=1, group=10)
    for n_units, of in ((3, "of all rows, by those read"), (1, "of the rows read alone")):
        found = run(folder, tmp_path / "c", by=GROUPS, max_units=n_units)
        words = [s.plain() for s in said(found)[1]]
        (script,) = (w for w in words if w.startswith("Captions by script"))
        assert f"({of}" in script
        assert ("[" in script) == (n_units > 1), "of one row group there is no interval"
        assert not any(of in w for w in words if "[" in w and n_units == 1)
        assert any(w.startswith("The others that were read are of ") for w in words)
        assert any(" on at least " in w for w in words)
        (whole,) = (w for w in words if w.startswith("Nothing is missing"))
        assert whole.endswith("(of the rows read).")
        cautions = [s.caution for s in said(found)[1]]
        assert any("One row group gives no interval" in c for c in cautions) == (n_units == 1)


def test_an_index_of_pandas_is_no_data(tmp_path: Path) -> None:
    table = rows().with_columns(
        pl.int_range(60).alias("__index_level_0__"), pl.int_range(60).alias("hash")
    )
    _, statements = said(run(write(tmp_path / "s", table), tmp_path / "c"))
    words = [s.plain() for s in statements]
    assert any("__index_level_0__ (int64; an index that pandas wrote" in w for w in words)
    (whole,) = (w for w in words if w.startswith("Nothing is missing in"))
    assert whole == "Nothing is missing in hash."
    assert "an index that pandas" not in " ".join(
        s.plain() for s in said(run(write(tmp_path / "t", rows()), tmp_path / "c"))[1]
    )


def test_contacts_say_what_was_not_searched_for(tmp_path: Path) -> None:
    found = run(write(tmp_path / "s", rows()), tmp_path / "c")
    person = found.groups[0].model_copy(update={"name": "person"})
    named = found.model_copy(update={"groups": (person,)})
    for one, names in ((found, "Names, home addresses"), (named, "Names were looked")):
        texts, urls = (s.plain() for s in said(one)[1] if "telephone" in s.text)
        assert texts.startswith("Of the rows with a caption, 0\N{NBSP}% (0 rows) hold")
        assert names in texts
        assert "NNN-NNN-NNNN" in texts
        assert urls.startswith("Of the rows with an address, 0\N{NBSP}% (0 rows) hold")


class TestFailed:
    def test_in_a_sample_they_are_bounds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = write(tmp_path / "s", rows(600), n_shards=3, group=10)
        sound = run(folder, tmp_path / "c1", max_units=20)
        lose(monkeypatch, 1, 2, 3)
        found = run(folder, tmp_path / "c2", max_units=20, max_failed_share=0.9)
        lost = 10 * found.reading.n_units_failed
        assert lost
        n = found.reading.n_rows_read
        assert n == 200 - lost
        for before, after in zip(sound.columns, found.columns, strict=True):
            assert before.missing is not None
            assert after.missing is not None
            assert after.n_missing is not None
            e = after.missing
            assert e.value == after.n_missing / n
            assert e.low is not None
            assert e.high is not None
            assert e.low <= after.n_missing / (n + lost)
            assert e.high >= (after.n_missing + lost) / (n + lost)
            assert before.missing.low is not None
            assert before.missing.high is not None
            assert e.low <= before.missing.low
            assert e.high >= before.missing.high
            assert "failed" in e.method
        _, statements = said(found)
        words = f"Row groups that could not be read: {found.reading.n_units_failed}, with {lost} "
        (one,) = (s.plain() for s in statements if s.plain().startswith(words))
        assert "brackets hold what those could be with them" in one

    def test_they_may_repeat_others_or_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        e = repeated_of("url", np.array([2, 1]), 1, 0.95, lost=1).repeated
        assert (e.value, e.low, e.high) == (1 / 3, 1 / 4, 2 / 4)
        folder = write(tmp_path / "s", rows(), group=10)
        truth = run(folder, tmp_path / "c1")
        lose(monkeypatch, 1)
        found = run(folder, tmp_path / "c2", max_failed_share=0.9)
        for one, all_ in zip(found.repeated, truth.repeated, strict=True):
            assert one.repeated.low is not None
            assert one.repeated.high is not None
            assert all_.repeated.value is not None
            assert one.repeated.low <= all_.repeated.value <= one.repeated.high


class TestManyKeys:
    def test_a_caption_on_all_rows_takes_one_place_a_row_group(self) -> None:
        n = 5000
        same = pl.DataFrame({"url": [f"http://a.com/{i}" for i in range(n)], "text": ["x"] * n})
        kept = describe_rows("u", same, {"url": "URL", "text": "TEXT"}, DescribePlan((), 1)).rows
        assert kept is not None
        captions = kept.filter(pl.col("kind") == 1)
        assert captions["rows"].to_list() == [n]
        assert kept.filter(pl.col("kind") == 0).height == n

    def test_statements_say_that_some_are_followed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = pl.DataFrame({"TEXT": [f"caption {i % 300}" for i in range(900)]})
        monkeypatch.setattr(describing, "_KEYS_HELD", 300)
        found = run(write(tmp_path / "s", table, group=100), tmp_path / "c")
        (repeated,) = found.repeated
        assert (repeated.one_in, repeated.most) == (3, 3)
        assert repeated.repeated.n == repeated.n_rows == 3 * repeated.n_distinct < 900
        (one,) = (s for s in said(found)[1] if "repeat the caption" in s.text)
        assert "of the rows with a caption repeat the caption" in one.plain()
        assert "on the rows of one in 3 captions" in one.plain()
        assert "the most frequent of these stands on 3 rows" in one.plain()
        assert "with all of them, or not at all" in one.caution


def test_names_are_no_words_for_a_person(tmp_path: Path) -> None:
    captions = ["Angela Merkel", "a red bus", "", "a woman in a park"] * 3
    table = pl.DataFrame({"TEXT": captions})
    found = run(write(tmp_path / "s", table), tmp_path / "c", by=("gender-words", "person"))
    words = [s.plain() for s in said(found)[1]]
    (by_words,) = (w for w in words if w.startswith("Captions by their words"))
    assert "no word for a person 75.0" in by_words
    assert "no person named" not in " ".join(words)
    (names,) = (w for w in words if w.startswith("“No word for a person”"))
    (level,) = (x for g in found.groups for x in g.levels if x.level == "name only")
    assert level.n >= 3
    assert f" {level.n} rows of it have what a list takes for a name" in names


def test_the_sentence_that_decides_a_count_is_not_cut_off() -> None:
    note = "English. " + "Of words. " * 40 + "Captions in other languages are read as if English."
    shown = brief(note, "/groups/4/note")
    assert shown.startswith("English. Of words. ")
    assert "… Captions in other languages are read as if English. (all of it: /g" in shown
    assert len(shown) < 330
    assert brief(note[:200], "/x") == note[:200]


def test_english_is_told_of_all_and_of_captions_and_beside_the_tag(tmp_path: Path) -> None:
    texts = ["a photograph of a doctor in a hospital", "", "एक महिला डॉक्टर अस्पताल में", None] * 5
    rows = pl.DataFrame({"TEXT": texts, "LANGUAGE": ["en", "en", "hi", "en"] * 5})
    given = {"detector": "cld2", "by": ("identity-religion",)}
    found = run(write(tmp_path / "s", rows), tmp_path / "c", **given)
    source = Source("data", json.loads(found.to_json()))
    words = [
        s.plain().replace("\N{NO-BREAK SPACE}", " ")
        for question, s in of_data(source, found)
        if question == "uses-impact"
    ]
    assert words == [
        "Captions that cld2 names no language of (und): 50.0 % of all rows.",
        "Captions that cld2 reads as English: 25.0 % of all rows.",
        "Of the rows with a caption cld2 reads 50.0 % as English.",
        "Rows whose own language tag says “en”: 75.0 % of all rows.",
    ]
    (none,) = (s for s in said(found)[1] if "none was found" in s.text)
    assert "in 15 rows, 10 of them without a caption, while cld2 calls 5 rows" in none.plain()
    assert none.caution.endswith("without such a tell are read as if they were English.")


def test_rows_without_an_address_are_told_apart(tmp_path: Path) -> None:
    urls = ["http://10.0.0.1/a", None, "data:image/png;base64,A", "http://b.com/a"] * 2
    table = pl.DataFrame({"URL": urls, "TEXT": ["a", ""] * 4})
    folder = write(tmp_path / "s", table, n_shards=1)
    words = [s.plain() for s in said(run(folder, tmp_path / "c"))[1]]
    assert any("Of 8 rows 2 have no address, 4 have one without a registered" in w for w in words)
    assert any(w.startswith("In 2 rows the address is none of the web") for w in words)
    found = run(folder, tmp_path / "c")
    assert found.domains is not None
    older = found.domains.model_copy(update={"n_no_domain": None})
    words += [s.plain() for s in said(found.model_copy(update={"domains": older}))[1]]
    assert any("Of 8 rows 6 have none, or one without a registered domain" in w for w in words)
    assert any("that have no caption count as alike" in w for w in words)
