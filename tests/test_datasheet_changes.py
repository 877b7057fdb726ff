"""Two datasheets compared: what is counted beside shares, and shares that *unknown* moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fake_datasheet import fake_datasheet
from shardmaker import write

from laion_probe.config import make_config
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.datasheet_result import DatasheetResult
from laion_probe.questions.datasheet import datasheet
from laion_probe.questions.datasheet_changes import ChangedShare, changed_shares, is_of_unknown
from laion_probe.questions.datasheet_diff import DatasheetDiff, datasheet_diff
from laion_probe.questions.datasheet_diff_words import share_lines
from laion_probe.questions.datasheet_numbers import Source
from laion_probe.questions.datasheet_tables import level_title
from laion_probe.render.datasheet_blocks import blocks
from laion_probe.render.datasheet_diff_report import diff_html, diff_markdown
from laion_probe.render.datasheet_markdown import datasheet_markdown
from laion_probe.render.datasheet_report import datasheet_html

WOMAN, MAN, NOBODY = "a photo of a woman", "a photo of a man", "a photo of a cat"
CHILD, GEORGIAN = "a photo of a child", "კატის და ძაღლის ფოტო"


def make(out: Path, shards: Path, cache: Path, *by: str, max_units: int = 0) -> Path:
    given: dict[str, Any] = {"shards": (str(shards),), "out": str(out), "cache": str(cache)}
    given |= {"max_units": max_units} if max_units else {}
    quiet = {"by": by, "runner": "serial", "already": "none", "detector": "none"}
    datasheet(make_config({**given, **quiet}, DatasheetConfig))
    return out


def words(folder: Path, captions: dict[str, int], n_groups: int = 4) -> Path:
    """Shards of so many captions each, in two files of so many row groups in all."""
    text = [caption for caption, n in captions.items() for _ in range(n)]
    urls = [f"http://{caption.split()[-1]}s.org/{i}.jpg" for i, caption in enumerate(text)]
    rows = pl.DataFrame({"URL": urls, "TEXT": text}).sample(fraction=1, shuffle=True, seed=1)
    return write(folder, rows, n_shards=2, group=max(1, len(rows) // n_groups))


def share(diff: DatasheetDiff, attribute: str, level: str) -> ChangedShare:
    return next(c for c in diff.shares if (c.attribute, c.level) == (attribute, level))


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Datasheets of 400 captions, half in another script, and of those in English alone.

    Of the latter the share of women is the same; men are 50 of 200 in the one, 30 in the other.
    """
    root = tmp_path_factory.mktemp("lost")
    english = {WOMAN: 50, NOBODY: 80}
    before = words(root / "a", {**english, MAN: 50, CHILD: 20, GEORGIAN: 200})
    after = words(root / "b", {**english, MAN: 30, CHILD: 40})
    by = ("gender-words", "script", "identity-religion")
    sheets = [make(root / f"d-{f.name}", f, root / "c", *by) for f in (before, after)]
    return sheets[0], sheets[1]


def test_a_share_that_rises_since_unknown_drops_out_is_no_change(lost: tuple[Path, Path]) -> None:
    diff = datasheet_diff(*lost)
    women, men = (share(diff, "gender-words", level) for level in ("woman", "man"))
    assert (women.count_before, women.count_after) == ((50, 400), (50, 200))
    assert women.differs
    assert women.known_before is not None
    assert women.known_difference is not None
    assert (women.known_before.value, women.known_before.n) == (0.25, 200)
    assert women.known_difference.value == 0
    assert is_of_unknown(women)
    assert men.known_difference is not None
    assert men.difference is not None
    assert men.difference.value == pytest.approx(0.15 - 50 / 400)
    assert men.known_difference.value == pytest.approx(0.15 - 0.25), "the other way"
    assert not is_of_unknown(men)
    unknown = share(diff, "gender-words", "unknown")
    assert unknown.known_difference is None
    groups = [c.level for c in diff.shares if c.attribute == "gender-words"]
    assert groups.index("person, gender not stated") < groups.index("man"), "falls, and rises"
    assert groups[-1] == "unknown"
    said = [line for line in diff.finding if "identity-religion" in line]
    assert said == [], "nothing but unknown changed"
    assert "4 more shares differ only by rows of which the level is not known" in diff.finding
    page, markdown = diff_html(diff), diff_markdown(diff).replace("\N{NO-BREAK SPACE}", " ")
    for words_ in ("only by rows whose level is not known", "yes; the other way among those known"):
        assert words_ in page
        assert words_ in markdown
    (row,) = [line for line in markdown.splitlines() if line.startswith("| woman |")]
    assert "| +12.5; of those known 0.0, 25.0 % to 25.0 % |" in row


def test_women_and_men_are_always_told(lost: tuple[Path, Path]) -> None:
    told = [
        line.split(",")[0] for line in datasheet_diff(*lost).finding if "gender-words “" in line
    ]
    assert told[:2] in (
        ["gender-words “woman”", "gender-words “man”"],
        ["gender-words “man”", "gender-words “woman”"],
    )


def test_women_and_men_who_do_not_differ_are_told_as_such(
    lost: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = words(tmp_path / "s", {WOMAN: 300, MAN: 300, NOBODY: 600}, n_groups=30)
    sample = make(tmp_path / "d", folder, tmp_path / "c", "gender-words", max_units=20)
    diff = datasheet_diff(lost[1], sample)
    women = share(diff, "gender-words", "woman")
    assert women.differs is False
    (said,) = [line for line in diff.finding if line.startswith("gender-words “woman”")]
    assert said.endswith("; not shown to differ")


def test_women_of_nobody_are_no_line(lost: tuple[Path, Path]) -> None:
    women = share(datasheet_diff(*lost), "gender-words", "woman")
    empty = {"value": None, "low": None, "high": None}
    assert women.before is not None
    assert women.difference is not None
    nobody = women.model_copy(
        update={
            "before": women.before.model_copy(update=empty),
            "difference": women.difference.model_copy(update=empty),
            "differs": None,
        }
    )
    assert list(share_lines([nobody])) == ["no share is shown to differ"]
    assert len(list(share_lines([women]))) == 1


def test_known_shares_of_a_sample_have_the_ends_of_both_intervals() -> None:
    sheet = fake_datasheet()
    doctors = [r for r in sheet.compositions if (r.concept, r.stage) == ("doctor", "all")]
    assert [r.level for r in doctors] == ["woman", "man", "unknown"]

    def of(*shares: tuple[float, float | None, float | None]) -> DatasheetResult:
        rows = [
            r.model_copy(update={"share": p, "low": low, "high": high, "count": round(200 * p)})
            for r, (p, low, high) in zip(doctors, shares, strict=True)
        ]
        return sheet.model_copy(update={"compositions": tuple(rows)})

    before = of((0.3, 0.2, 0.4), (0.5, 0.4, 0.6), (0.2, 0.1, 0.3))
    after = of((0.36, 0.24, 0.48), (0.6, None, None), (0.04, 0.02, 0.06))
    found = {c.level: c for c in changed_shares(before, after, (None, None))}
    women, men = found["woman"], found["man"]
    assert women.known_before is not None
    assert women.known_after is not None
    ends = (women.known_before.value, women.known_before.low, women.known_before.high)
    assert ends == pytest.approx((0.3 / 0.8, 0.2 / 0.9, 0.4 / 0.7))
    assert women.known_after.value == pytest.approx(0.36 / 0.96)
    assert women.known_difference is not None
    assert women.known_difference.value == pytest.approx(0)
    assert not is_of_unknown(women), "it is not shown to differ at all"
    assert is_of_unknown(women.model_copy(update={"differs": True}))
    assert men.known_after is not None
    assert (men.known_after.low, men.known_after.high) == (None, None)
    assert found["unknown"].known_difference is None
    everybody = of((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    nobody = changed_shares(before, everybody, (None, None))
    assert {c.known_after for c in nobody} == {None}, "of none known there is no share"


def test_duplicates_thresholds_contacts_and_medians_are_compared(tmp_path: Path) -> None:
    mail, long_ = "write to someone@example.org now", "a photo of a man on a very long road " * 3
    sheets = []
    for name, captions, unsafe in (
        ("a", [MAN] * 30 + [WOMAN] * 10, [0.7] * 4 + [0.1] * 36),
        ("b", [f"{long_}{i}" for i in range(38)] + [mail] * 2, [0.1] * 40),
    ):
        urls = [f"http://x.org/{name}{i}.jpg" for i in range(40)]
        rows = pl.DataFrame({"URL": urls, "TEXT": captions, "punsafe": unsafe})
        folder = write(tmp_path / f"s-{name}", rows, n_shards=1, group=20)
        sheets.append(make(tmp_path / name, folder, tmp_path / "c"))
    diff = datasheet_diff(*sheets)
    found = {c.attribute: (c.count_before, c.count_after, c.differs) for c in diff.shares}
    assert found["rows that repeat a caption"] == ((38, 40), (1, 40), True)
    assert found["rows that repeat an address"] == ((0, 40), (0, 40), False)
    assert found["punsafe of 0.5 or more"] == ((4, 40), (0, 40), True)
    assert found["captions with an e-mail address"] == ((0, 40), (2, 40), True)
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in diff.finding]
    said = "rows that repeat a caption 95.0 % before, 2.5 % after (−92.5 points)"
    assert f"exact duplicates: {said}" in lines
    said = "scores: punsafe of 0.5 or more 10.0 % before, 0 % after (−10.0 points)"
    assert said in lines
    assert any(line.startswith("ways to reach somebody: captions with an e-mail") for line in lines)
    medians = {s.name: s.medians for s in diff.scores}
    assert medians["words"] == (5.0, 31.0)
    assert medians["punsafe"] == (0.1, 0.1)
    (said,) = [line for line in lines if line.startswith("medians: ")]
    assert "words of a caption that is not blank 5 before, 31 after" in said
    assert "punsafe" not in said
    page, markdown = diff_html(diff), diff_markdown(diff)
    for words_ in ("Exact duplicates", "Scores at the thresholds of LAION", "Sizes and scores"):
        assert words_ in page
        assert words_ in markdown
    assert "| words of a caption that is not blank | 5 (of 40 rows) | 31 (of 40 rows) |" in markdown


def test_intervals_are_told_of_where_there_are_some(
    lost: tuple[Path, Path], tmp_path: Path
) -> None:
    told = "Differences have intervals"
    whole = datasheet_diff(*lost)
    assert not any(line.startswith(told) for line in whole.cannot_say)
    assert "Brackets hold" not in diff_markdown(whole) + diff_html(whole)
    folder = words(tmp_path / "s", {WOMAN: 100, MAN: 100}, n_groups=20)
    sample = make(tmp_path / "d", folder, tmp_path / "c", "gender-words", max_units=12)
    diff = datasheet_diff(lost[0], sample)
    assert sum(line.startswith(told) for line in diff.cannot_say) == 1
    assert any("quantiles of a sample have no interval" in line for line in diff.cannot_say)
    assert not any(line.startswith("medians") for line in diff.finding)
    for said in (diff_markdown(diff), diff_html(diff)):
        assert "Brackets hold 95\N{NO-BREAK SPACE}% intervals." in said


def test_what_is_gone_is_told_by_the_number_of_rows(tmp_path: Path) -> None:
    many = {GEORGIAN: 40, "a woman and a man": 2, MAN: 60}
    by = ("gender-words", "script")
    sheets = [
        make(tmp_path / f"d-{name}", words(tmp_path / name, captions), tmp_path / "c", *by)
        for name, captions in (("a", many), ("b", {MAN: 60}))
    ]
    gone = [line for line in datasheet_diff(*sheets).finding if line.startswith("gone")]
    of = [line.partition(", of ")[2].partition(" ")[0] for line in gone]
    assert of.index("script") < of.index("gender-words"), "40 rows, and 2"
    assert of[-1] == "registered", "addresses are last, though more of their rows are gone"


def test_an_earlier_comparison_is_read(lost: tuple[Path, Path]) -> None:
    raw = json.loads(datasheet_diff(*lost).to_json())
    del raw["scores"]
    for c in raw["shares"]:
        for field in ("known_before", "known_after", "known_difference"):
            del c[field]
    old = DatasheetDiff.from_json(json.dumps(raw))
    assert old.scores == ()
    assert {c.known_difference for c in old.shares} == {None}
    assert "Sizes and scores" not in diff_html(old)


@pytest.mark.parametrize(
    ("level", "called"),
    [
        ("hi", "Hindi (hi)"),
        ("zh-Hant", "Chinese, traditional script (zh-Hant)"),
        ("und", "no language told (und)"),
        ("xx-Deva", "xx-Deva"),
        ("tlh", "tlh"),
    ],
)
def test_languages_are_named(level: str, called: str) -> None:
    assert level_title("language:cld2", level) == called
    assert level_title("script", level) == level


@pytest.mark.parametrize("share_", [0.006, 0.047, 0.043, 0.5, 1e-4, 0.9999, 0.0, 1.0])
def test_shares_of_a_table_read_as_those_of_the_sentences(share_: float) -> None:
    """A count of 12 has as many digits as one of 12,000: it is of all rows."""
    sheet = fake_datasheet()
    (row, *_) = sheet.compositions
    small = row.model_copy(update={"share": share_, "count": 12, "low": None, "high": None})
    result = sheet.model_copy(update={"compositions": (small,)})
    said = Source("", {"value": share_, "low": None, "high": None}).share().shown
    (block,) = blocks(result)
    assert [words_ for _, _, words_ in block.rows] == [said]
    assert f"| {said} | 12 |" in datasheet_markdown(result)
    assert f">{said}<" in datasheet_html(result)
    wide = small.model_copy(update={"low": share_ / 2, "high": (1 + share_) / 2})
    ends = {"value": share_, "low": wide.low, "high": wide.high}
    (block,) = blocks(sheet.model_copy(update={"compositions": (wide,)}))
    assert block.rows[0][2] == Source("", ends).share().shown
