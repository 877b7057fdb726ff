"""Two datasheets compared: what a filter changed is found, and noise is not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fake_datasheet import fake_datasheet
from fake_result import fake_result
from shardmaker import write

from laion_probe.config import FiltersConfig, make_config
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.errors import ConfigError, ShardError
from laion_probe.filtering import row_ids
from laion_probe.questions.datasheet import datasheet
from laion_probe.questions.datasheet_changes import ChangedShare, changed_shares, is_gone, is_new
from laion_probe.questions.datasheet_diff import DatasheetDiff, datasheet_diff, is_diff
from laion_probe.questions.datasheet_files import read_datasheet
from laion_probe.questions.filters import filters
from laion_probe.render.datasheet_diff_report import diff_html, diff_markdown, render_datasheet_diff
from laion_probe.shards import Unit, list_shards, list_units, read_unit
from laion_probe.steps import Batch


def make(out: Path, shards: Path | str, cache: Path, **values: Any) -> Path:
    quiet = {"by": ("gender-words", "region"), "runner": "serial", "already": "none"}
    given = {"shards": (str(shards),), "out": str(out), "cache": str(cache), **quiet, **values}
    datasheet(make_config(given, DatasheetConfig))
    return out


def share(diff: DatasheetDiff, attribute: str, level: str) -> ChangedShare:
    return next(c for c in diff.shares if (c.attribute, c.level) == (attribute, level))


@pytest.fixture(scope="module")
def filtered(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Datasheets of a part of the demo data and of what laion5b-en keeps of it, and that part."""
    root = tmp_path_factory.mktemp("filtered")
    before, cache = root / "before", root / "cache"
    before.mkdir()
    part = demo / "shards" / "part-00000.parquet"
    (before / part.name).write_bytes(part.read_bytes())
    given = {"shards": (str(before),), "recipe": ("laion5b-en",), "by": (), "cache": str(cache)}
    quiet = {"detectors": (), "examples": 0, "audit_captions": 0, "already": "none"}
    filters(make_config({**given, **quiet, "write_kept": True}, FiltersConfig), folder=root)
    ids = np.load(root / "kept-laion5b-en.npy")
    (shard,) = list_shards([str(before)])
    rows = pl.concat([read_unit(u, ("url", "text")) for u in list_units([shard])])
    high, low = row_ids(Batch(rows))
    mine = np.empty(len(rows), dtype=ids.dtype)
    mine["f0"], mine["f1"] = high.to_numpy(), low.to_numpy()
    kept = pl.read_parquet(part).filter(pl.Series(np.isin(mine, ids)))
    after = write(root / "after", kept, n_shards=1, group=200)
    sheets = [make(root / f"sheet-{f.name}", f, cache) for f in (before, after)]
    return sheets[0], sheets[1], before


def test_what_laion5b_en_changed(filtered: tuple[Path, Path, Path]) -> None:
    diff = datasheet_diff(*filtered[:2])
    a, b = (read_datasheet(f) for f in filtered[:2])
    rows = diff.counts[0]
    assert (rows.what, rows.before, rows.after) == ("rows", a.n_rows, b.n_rows)
    assert b.n_rows is not None
    assert a.n_rows is not None
    assert 0 < b.n_rows < a.n_rows / 2
    english = share(diff, "language:cld2", "en")
    assert english.before is not None
    assert english.after is not None
    assert english.difference is not None
    assert english.differs
    counts = {
        x.evidence: x.share
        for sheet in (a, b)
        for x in sheet.compositions
        if (x.attribute, x.level) == ("language:cld2", "en")
    }
    assert english.after.value == counts["data"]
    assert english.difference.value == english.after.value - (english.before.value or 0)
    assert english.difference.low == english.difference.high, "both were counted whole"
    assert "no sampling error" in english.difference.method
    blank = next(c for c in diff.shares if c.kind == "missing" and c.attribute == "text")
    assert blank.after is not None
    assert blank.after.value == 0, "laion5b-en keeps no blank caption"
    assert not [c for c in diff.shares if c.after is None], "all was measured in both"
    levels = {c.level for c in diff.shares if c.attribute == "language:cld2" and is_gone(c)}
    kept = {x.level for x in b.compositions if x.attribute == "language:cld2"}
    assert levels == {x.level for x in a.compositions if x.attribute == "language:cld2"} - kept
    assert len(levels) > 20
    assert diff.finding[0].startswith(f"rows: {a.n_rows:,} before, {b.n_rows:,} after (−")
    assert any(line.startswith("language:cld2 “English (en)”, captions: ") for line in diff.finding)


def test_a_set_beside_itself_has_not_changed(filtered: tuple[Path, Path, Path]) -> None:
    diff = datasheet_diff(filtered[0], filtered[0])
    assert diff.finding == ("no share is shown to differ",)
    assert not any(c.differs for c in diff.shares)
    assert diff.answers == ()


def test_two_samples_of_one_set_do_not_differ(
    filtered: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    rows = pl.read_parquet(filtered[2])
    folder = write(tmp_path / "s", pl.concat([rows] * 3), n_shards=2, group=90)
    sheets = [
        make(tmp_path / f"d{seed}", folder, tmp_path / "c", max_units=24, seed=seed)
        for seed in (1, 2)
    ]
    diff = datasheet_diff(*sheets)
    compared = [c for c in diff.shares if c.differs is not None]
    common = [c for c in compared if c.before and c.before.n >= 300]
    assert len(common) >= 4
    assert not [c.level for c in common if c.differs]
    words = share(diff, "gender-words", "woman")
    assert words.difference is not None
    assert words.difference.low is not None
    assert words.difference.high is not None
    assert words.difference.low < 0 < words.difference.high
    assert "these data cannot tell" in diff_markdown(diff)


def test_a_sample_without_intervals_cannot_tell(
    filtered: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """One row group says nothing of the others, which is not the same as no difference."""
    sample = make(tmp_path / "d", filtered[2], tmp_path / "c", max_units=1)
    diff = datasheet_diff(filtered[0], sample)
    assert {c.differs for c in diff.shares} == {None}
    assert "no share is shown to differ" in diff.finding
    assert not any(line.startswith(("gone", "new")) for line in diff.finding)
    assert any(line.startswith("not found after, but rows that were not") for line in diff.finding)


WOMAN, MAN, NOBODY = "a photo of a woman", "a photo of a man", "a photo of a cat"


def words(folder: Path, captions: dict[str, int]) -> Path:
    """Shards of so many captions each, two row groups a shard."""
    text = [caption for caption, n in captions.items() for _ in range(n)]
    urls = [f"http://{caption.split()[-1]}s.org/{i}.jpg" for i, caption in enumerate(text)]
    rows = pl.DataFrame({"URL": urls, "TEXT": text}).sample(fraction=1, shuffle=True, seed=1)
    return write(folder, rows, n_shards=2, group=max(1, len(rows) // 4))


@pytest.fixture(scope="module")
def erased(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Datasheets of 400 captions, 4 of which name a woman, and of 200 of which none does."""
    root = tmp_path_factory.mktemp("erased")
    before = words(root / "a", {WOMAN: 4, MAN: 196, NOBODY: 200})
    after = words(root / "b", {MAN: 196, "a photo of a person": 4})
    sheets = [make(root / f"sheet-{f.name}", f, root / "c") for f in (before, after)]
    return sheets[0], sheets[1]


def test_who_was_erased_altogether_stands_in_the_table_and_in_the_headline(
    erased: tuple[Path, Path],
) -> None:
    diff = datasheet_diff(*erased)
    women = share(diff, "gender-words", "woman")
    assert women.before is not None
    assert women.after is not None
    assert women.difference is not None
    assert (women.before.value, women.after.value) == (0.01, 0.0)
    assert (women.count_before, women.count_after) == ((4, 400), (0, 200))
    assert (women.difference.value, women.differs) == (-0.01, True)
    assert women.difference.low == women.difference.high, "both were counted whole"
    assert is_gone(women)
    men = share(diff, "gender-words", "man")
    assert men.difference is not None
    assert abs(men.difference.value or 0) > 0.4, "a larger change by far"
    assert not is_gone(men)
    (said,) = [line for line in diff.finding if line.startswith("gone altogether, of gender-words")]
    assert said.endswith(": “woman” 4 of 400 before; none of 200 after"), "and not who named nobody"
    first = next(i for i, line in enumerate(diff.finding) if "gender-words “man”" in line)
    assert diff.finding.index(said) < first
    row = "| woman | 1.0 % (4 of 400) | 0 % (0 of 200) | −1.0 | yes: none left |"
    page = diff_html(diff)
    assert row in diff_markdown(diff).replace("\N{NO-BREAK SPACE}", " ")
    for words_ in ("yes: none left", "(0 of 200)"):
        assert words_ in page


def test_who_is_there_for_the_first_time_is_new(erased: tuple[Path, Path]) -> None:
    diff = datasheet_diff(*reversed(erased))
    women = share(diff, "gender-words", "woman")
    assert is_new(women)
    assert not is_gone(women)
    assert women.count_before == (0, 200)
    (said,) = [line for line in diff.finding if line.startswith("new, of gender-words")]
    assert said.endswith(": “woman” 4 of 400 after; none of 200 before")


def test_what_was_not_measured_is_not_zero(erased: tuple[Path, Path], tmp_path: Path) -> None:
    words_ = words(tmp_path / "s", {MAN: 200})
    other = make(tmp_path / "d", words_, tmp_path / "c", by=("region",), detector="none")
    diff = datasheet_diff(erased[0], other)
    women = share(diff, "gender-words", "woman")
    assert (women.after, women.count_after, women.difference) == (None, None, None)
    assert women.differs is None
    assert not [c for c in diff.shares if c.attribute == "gender-words" and c.after is not None]
    assert not any("gone" in line and "gender-words" in line for line in diff.finding)
    (said,) = [line for line in diff.finding if line.startswith("not measured after")]
    assert said == "not measured after, which is not zero: language:cld2, gender-words"
    markdown = diff_markdown(diff).replace("\N{NO-BREAK SPACE}", " ")
    assert "| woman | 1.0 % (4 of 400) | not measured |  | not measured after |" in markdown
    back = datasheet_diff(other, erased[0])
    assert share(back, "gender-words", "woman").before is None
    assert any(line.startswith("not measured before") for line in back.finding)


def test_none_in_a_sample_is_not_none_at_all(erased: tuple[Path, Path], tmp_path: Path) -> None:
    folder = words(tmp_path / "s", {MAN: 300, NOBODY: 300})
    groups = 12
    rows = pl.concat([pl.read_parquet(f) for f in sorted(folder.iterdir())])
    folder = write(tmp_path / "t", rows, n_shards=1, group=len(rows) // groups)
    sample = make(tmp_path / "d", folder, tmp_path / "c", max_units=6)
    diff = datasheet_diff(erased[0], sample)
    women = share(diff, "gender-words", "woman")
    assert women.after is not None
    assert (women.after.value, women.after.low) == (0.0, 0.0)
    assert women.after.high is not None
    # nobody in six row groups that may agree in everything
    assert women.after.high == pytest.approx(1 - 0.025 ** (1 / 6), rel=1e-6)
    assert women.differs is False
    assert not is_gone(women)
    said = next(line for line in diff.finding if line.startswith("not found after, but"))
    assert ", of gender-words (captions): “woman” 4 of 400 before; none of 300 after" in said
    assert "these data cannot tell" in next(
        line for line in diff_markdown(diff).splitlines() if line.startswith("| woman |")
    )


def test_who_was_seen_in_a_sample_and_is_not_in_a_whole_set_is_gone(
    erased: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = words(tmp_path / "s", {WOMAN: 4, MAN: 196, NOBODY: 200})
    sample = make(tmp_path / "d", folder, tmp_path / "c", max_units=3)
    women = share(datasheet_diff(sample, erased[1]), "gender-words", "woman")
    assert women.before is not None
    assert women.difference is not None
    assert women.count_before is not None
    assert women.count_before[0] > 0
    assert women.before.low == 0, "too few for an interval without 0"
    assert is_gone(women)
    assert is_new(share(datasheet_diff(erased[1], sample), "gender-words", "woman"))


def test_none_in_what_could_be_read_is_not_none_at_all(
    erased: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(unit: Unit, columns: Sequence[str]) -> pl.DataFrame:
        if unit.row_group == 1 and "part-00001" in unit.label:
            raise ShardError(f"{unit.label}: cannot be read")
        return read_unit(unit, columns)

    monkeypatch.setattr("laion_probe.questions.describing_unit.read_unit", broken)
    folder = words(tmp_path / "s", {MAN: 200})
    diff = datasheet_diff(
        erased[0], make(tmp_path / "d", folder, tmp_path / "c", max_failed_share=0.9)
    )
    women = share(diff, "gender-words", "woman")
    assert women.after is not None
    assert (women.after.value, women.after.low, women.after.high) == (0.0, 0.0, 0.25)
    assert women.count_after == (0, 150)
    assert women.differs is False
    assert not is_gone(women)


@pytest.mark.parametrize("full", [True, False])
def test_a_level_of_pictures_that_is_gone(full: bool) -> None:
    """Where all pictures were counted, none is 0; of a sample the number has no interval."""
    sheet = fake_datasheet()
    ends = {"low": None, "high": None} if full else {}
    everyone = [r for r in sheet.compositions if (r.concept, r.stage) == ("doctor", "all")]
    rows = tuple(r.model_copy(update=ends) for r in everyone)
    assert [r.level for r in rows] == ["woman", "man", "unknown"]
    evidence = tuple(e.model_copy(update={"full": full}) for e in sheet.evidence)
    before = sheet.model_copy(update={"compositions": rows, "evidence": evidence})
    man = rows[1].model_copy(update={"count": 190, "share": 0.95})
    after = before.model_copy(update={"compositions": (man, rows[2])})
    (women,) = [c for c in changed_shares(before, after, (None, None)) if c.level == "woman"]
    assert women.after is not None
    assert (women.after.value, women.count_before, women.count_after) == (0.0, (82, 200), (0, 200))
    assert (women.after.high, women.differs) == ((0.0, True) if full else (None, None))
    assert is_gone(women) is full
    corrected = tuple(r.model_copy(update={"count": None}) for r in (man, rows[2]))
    after = before.model_copy(update={"compositions": corrected})
    (women,) = [c for c in changed_shares(before, after, (None, None)) if c.level == "woman"]
    assert women.after is None, "what was estimated counts nobody, and not nobody"


def test_domains_that_are_gone(erased: tuple[Path, Path]) -> None:
    diff = datasheet_diff(*erased)
    cats = share(diff, "registered domain", "cats.org")
    assert (cats.count_before, cats.count_after) == ((200, 400), (0, 200))
    assert is_gone(cats)
    assert any(
        line.startswith("gone altogether, of registered domain: “cats.org”")
        for line in diff.finding
    )


def test_a_domain_that_is_not_listed_is_not_gone(erased: tuple[Path, Path], tmp_path: Path) -> None:
    """Only the most frequent domains are listed: the others have some rows, but no more."""
    many = {f"a photo of a man from place{i}": 3 for i in range(60)}
    folder = words(tmp_path / "s", {**many, "a photo of a town": 17, NOBODY: 1})
    diff = datasheet_diff(erased[0], make(tmp_path / "d", folder, tmp_path / "c"))
    cats = share(diff, "registered domain", "cats.org")
    assert cats.after is not None
    assert (cats.after.value, cats.after.low, cats.count_after) == (None, 0.0, None)
    assert cats.after.high == 3 / 198
    assert cats.difference is not None
    assert (cats.difference.low, cats.difference.high) == (-0.5, 3 / 198 - 0.5)
    assert cats.differs
    assert not is_gone(cats)
    assert "| at most 1.5 % | −50.0 to −48.5 | yes |" in diff_markdown(diff).replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_every_table_says_what_its_shares_are_of(erased: tuple[Path, Path]) -> None:
    diff = datasheet_diff(*erased)
    markdown, page = diff_markdown(diff), diff_html(diff)
    n = sum(line.startswith("### ") for line in markdown.splitlines())
    assert n >= 5
    for said in (markdown, page):
        assert said.count("Shares are of ") == n
        assert "Shares are of all rows that were read (400 before, 200 after)." in said
        assert "Shares are of the rows of files that have the column." in said
    assert markdown.count("\n| woman |") == 1


def test_long_tables_are_folded_and_not_cut(filtered: tuple[Path, Path, Path]) -> None:
    diff = datasheet_diff(*filtered[:2])
    languages = [c for c in diff.shares if c.attribute == "language:cld2"]
    assert len(languages) > 40
    markdown, page = diff_markdown(diff), diff_html(diff)
    for said in (markdown, page):
        assert said.count("<details>") == said.count("</details>") > 0
    rows = [line for line in markdown.splitlines() if line.count(" |") == 5]
    levels = [row for row in rows if not row.startswith(("| Level |", "| --- |"))]
    assert len(levels) == len(diff.shares)
    assert page.count('data-label="Differs"') == len(diff.shares)


def test_the_command_runs_from_where_it_was_given(
    erased: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(erased[0].parent)
    for folders in (erased, [Path(f.name) for f in erased]):
        diff = datasheet_diff(*folders)
        assert diff.command == "laion-probe datasheet diff sheet-a sheet-b"
    (erased[0].parent / "elsewhere").mkdir()
    monkeypatch.chdir(erased[0].parent / "elsewhere")
    near = [Path("..") / f.name for f in erased]
    assert datasheet_diff(*near).command.endswith("diff ../sheet-a ../sheet-b")
    said = datasheet_diff(*erased).command
    assert said == "laion-probe datasheet diff PATH/TO/sheet-a PATH/TO/sheet-b"


def test_answers_and_columns(filtered: tuple[Path, Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "d"
    rows = pl.read_parquet(filtered[2]).drop("hash").with_columns(pl.lit("x").alias("new"))
    folder = write(tmp_path / "s", rows, n_shards=1, group=500)
    make(other, folder, tmp_path / "c")
    form = other / "answers.toml"
    form.write_text(form.read_text().replace('uses-used = ""', 'uses-used = "For tests."'))
    make(other, other, tmp_path / "c")
    diff = datasheet_diff(filtered[0], other)
    assert (diff.only_before, diff.only_after) == (("hash",), ("new",))
    (answer,) = diff.answers
    assert (answer.id, answer.before, answer.after) == ("uses-used", "unanswered", "person")
    assert "answered in one of the two only: uses-used" in diff.finding


def test_what_only_one_counted_is_no_change(
    filtered: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Columns of a datasheet without shards are not known, domains of a sample not all of them."""
    runs = tmp_path / "runs"
    (tmp_path / "result.json").write_text(fake_result().to_json(), encoding="utf-8")
    datasheet(DatasheetConfig(shards=(str(tmp_path / "result.json"),), out=str(runs)))
    for diff in (datasheet_diff(filtered[0], runs), datasheet_diff(runs, filtered[0])):
        assert (diff.only_before, diff.only_after) == ((), ())
        assert not any(line.startswith("columns") for line in diff.finding)
    sample = make(tmp_path / "d", filtered[2], tmp_path / "c", max_units=3)
    diff = datasheet_diff(sample, filtered[0])
    (domains,) = (c for c in diff.counts if c.what == "registered domains")
    assert domains.before is None
    assert domains.after is not None
    assert not any(line.startswith("registered domains") for line in diff.finding)


def test_evidence_that_was_changed_is_not_compared(
    erased: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "d"
    shutil.copytree(erased[0], other)
    data = other / "evidence" / "data.json"
    data.write_text(data.read_text().replace("400", "401"))
    with pytest.raises(ConfigError, match="it was changed; make the datasheet anew"):
        datasheet_diff(erased[1], other)
    data.unlink()
    with pytest.raises(ConfigError, match="No such file or directory; make the datasheet anew"):
        datasheet_diff(other, erased[1])


def test_levels_are_called_what_the_pages_call_them(tmp_path: Path) -> None:
    sheets = [
        make(
            tmp_path / name,
            words(tmp_path / f"s-{name}", {caption: 40}),
            tmp_path / "c",
            by=("script",),
            detector="none",
        )
        for name, caption in (("a", "1234"), ("b", MAN))
    ]
    finding = datasheet_diff(*sheets).finding
    assert any(
        line.startswith("script “no letters”, captions: 100\N{NO-BREAK SPACE}%") for line in finding
    )


def test_pages(filtered: tuple[Path, Path, Path], tmp_path: Path) -> None:
    diff = datasheet_diff(*filtered[:2])
    hostile = diff.model_copy(update={"before": "<script>*x*|", "data_note": "a | <b>"})
    render_datasheet_diff(hostile, tmp_path)
    assert DatasheetDiff.from_json((tmp_path / "diff.json").read_text()) == hostile
    page = (tmp_path / "diff.html").read_text()
    assert page == diff_html(hostile)
    assert page.count("<script>") == 1, "our own"
    markdown = (tmp_path / "diff.md").read_text()
    assert r"&lt;script&gt;\*x\*\|" in markdown
    table = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len(table) > 20
    for c in diff.answers:
        assert c.question in page


def test_a_folder_that_cannot_be_written_to_is_said(
    filtered: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="give an --out"):
        render_datasheet_diff(datasheet_diff(*filtered[:2]), file)
    assert file.read_text() == "mine"


def test_what_was_asked_for() -> None:
    assert not is_diff(DatasheetConfig(shards=("a", "b")))
    with pytest.raises(ConfigError, match="two datasheets"):
        is_diff(DatasheetConfig(shards=("diff", "a")))
    with pytest.raises(ConfigError, match="holds no datasheet"):
        datasheet_diff(Path("nowhere"), Path("nowhere"))
