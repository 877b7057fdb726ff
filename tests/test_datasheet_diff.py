"""Two datasheets compared: what a filter changed is found, and noise is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from shardmaker import write

from laion_probe.config import FiltersConfig, make_config
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.errors import ConfigError
from laion_probe.filtering import row_ids
from laion_probe.questions.datasheet import datasheet
from laion_probe.questions.datasheet_diff import (
    ChangedShare,
    DatasheetDiff,
    datasheet_diff,
    is_diff,
)
from laion_probe.questions.datasheet_files import read_datasheet
from laion_probe.questions.filters import filters
from laion_probe.render.datasheet_diff_report import diff_html, diff_markdown, render_datasheet_diff
from laion_probe.shards import list_shards, list_units, read_unit
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
    gone = [c for c in diff.shares if c.after is None]
    assert gone, "languages that are gone are listed"
    assert all(c.differs is None for c in gone)
    assert diff.finding[0].startswith(f"rows: {a.n_rows:,} before, {b.n_rows:,} after (−")
    assert any(line.startswith("language:cld2 “en”, captions: ") for line in diff.finding)


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
