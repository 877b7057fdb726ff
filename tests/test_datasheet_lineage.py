"""What a step removed, as a datasheet tells it; and that a datasheet is of one set."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from fake_scan import fake_scan
from shardmaker import frame, write
from test_datasheet import make

from laion_probe.config import DatasheetConfig
from laion_probe.errors import ConfigError
from laion_probe.questions.datasheet import datasheet
from laion_probe.questions.datasheet_numbers import _shown_share
from laion_probe.questions.datasheet_tables import _steps
from laion_probe.render.datasheet_markdown import datasheet_markdown
from laion_probe.render.datasheet_report import datasheet_html
from laion_probe.results import Estimate, StepEffect


def effect(outcomes: dict[str, int], *, observable: bool = True, reached: int = 90) -> StepEffect:
    none = Estimate(value=None, low=None, high=None, n=0, units=0, method="made up")
    return StepEffect(
        id="a",
        kind="score",
        title="a step",
        source="made up",
        confidence="user",
        simulated="yes",
        note="",
        observable=observable,
        outcomes=outcomes,
        n_reached=reached,
        n_removed_here=outcomes.get("drop", 0),
        removed_share=none,
    )


@pytest.mark.parametrize(
    ("step", "reached", "removed"),
    [
        (effect({"keep": 80, "drop": 20}), 90, 20),
        (effect({"keep": 99, "not_evaluable": 1}), 90, 0),
        (effect({"keep": 70, "rewrite": 30}), 90, 0),  # a rewrite removes nothing, and that is 0
        (effect({"not_evaluable": 100}), 90, None),  # no row could be judged: that is not 0
        (effect({"keep": 100}, observable=False), None, None),
        (effect({"not_evaluable": 0}, reached=0), 0, 0),
    ],
)
def test_what_could_not_be_judged_is_not_zero(
    step: StepEffect, reached: int | None, removed: int | None
) -> None:
    (line,) = _steps("filters", (step,), ("recipes", 0, "steps"))
    assert (line.n_reached, line.n_removed) == (reached, removed)


def test_an_end_that_is_as_good_as_none_has_no_row_of_zeros() -> None:
    assert _shown_share(None, 2.6e-12, 0.142).replace("\N{NO-BREAK SPACE}", " ") == (
        "between 0 and 14.2 %"
    )
    # a rare level is still no level that nobody has
    assert _shown_share(1e-7, None, None).replace("\N{NO-BREAK SPACE}", " ") == "0.000010 %"


def test_two_sets_are_not_one_datasheet(tmp_path: Path) -> None:
    for name, words in (("a", "one"), ("b", "two")):
        shard = tmp_path / f"{name}.parquet"
        rows = {"URL": [f"http://{words}.example/{i}.jpg" for i in range(9)], "TEXT": [words] * 9}
        pl.DataFrame(rows).write_parquet(shard)
        datasheet(DatasheetConfig(shards=(str(shard),), out=str(tmp_path / name), by=()))
    both = tuple(str(tmp_path / name) for name in "ab")
    with pytest.raises(ConfigError, match="a datasheet is of one set: name one of them"):
        datasheet(DatasheetConfig(shards=both, out=str(tmp_path / "c")))
    assert not (tmp_path / "c").exists()


def test_counts_of_a_sample_are_told_as_those_of_a_sample(tmp_path: Path) -> None:
    shards = write(tmp_path / "s", frame(400), n_shards=2, group=20)
    given = {"cache": str(tmp_path / "c"), "recipe": ("laion5b-en",), "max_units": 8}
    sheet = make(tmp_path / "d", shards, **given)
    (one,), (sample,) = sheet.lineage, sheet.samples
    assert one.n_before == sample.n_read == 160
    assert sample.n_rows == sheet.n_rows == 400
    raw = json.loads((tmp_path / "d" / "evidence" / f"{sample.evidence}.json").read_text())
    kept = raw["recipes"][0]["kept"]
    assert sample.pointer == "/recipes/0/kept"
    assert (sample.kept, sample.low, sample.high) == (kept["value"], kept["low"], kept["high"])
    assert sample.low is not None
    assert sample.high is not None
    assert (sample.n_left_low, sample.n_left_high) == (
        round(400 * sample.low),
        round(400 * sample.high),
    )
    assert sheet.sample_of(one) == sample
    assert sample.left_out == ("duplicates of the URL",)
    (step,) = [s for s in one.steps if s.title == "duplicates of the URL"]
    assert step.n_removed is None, "it was not run on a sample: that is not 0"
    (run,) = [e for e in sheet.evidence if e.kind == "filters"]
    assert not run.full
    said = f"160 rows sampled of 400, {one.n_after} of which are left."
    for page in (datasheet_markdown(sheet), datasheet_html(sheet)):
        assert f"Replayed on a random sample of row groups: {said}" in page
        assert "Left out, since it needs every row: duplicates of the URL." in page
        assert f"about {sample.n_left} rows [{sample.n_left_low}," in page
        assert "replayed on a sample of these rows" in page
        assert "Sampled rows that reach it" in page
        assert "rows before," not in page
    by_id = {a.id: a for s in sheet.sections for a in s.answers}
    words = [m.plain() for m in by_id["preprocessing-done"].measured]
    assert any(w.startswith("Replayed on a random sample of 160 rows, not done") for w in words)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("sample", "Of all rows 29.0 % [28.2, 29.8] are left, about 7,634,250 rows [7,423,650, "),
        ("small", "That is 29.0 % of them; what it is of all rows has no interval."),
    ],
)
def test_a_scan_that_stopped_early_says_so(kind: str, says: str, tmp_path: Path) -> None:
    result = fake_scan(kind)
    (tmp_path / "result.json").write_text(result.to_json(), encoding="utf-8")
    sheet = make(tmp_path / "d", tmp_path / "result.json")
    (one,), (sample,) = sheet.lineage, sheet.samples
    assert sample.pointer == f"/survival/{len(result.survival) - 1}"
    assert (one.n_before, sample.n_read) == (result.reading.n_rows_read,) * 2
    assert (sample.n_rows, sheet.n_rows) == (result.reading.n_rows,) * 2
    for page in (datasheet_markdown(sheet), datasheet_html(sheet)):
        plain = page.replace("\N{NO-BREAK SPACE}", " ")
        assert f"{sample.n_read:,} rows sampled of {sample.n_rows:,}. {says}" in plain


def test_counts_of_everything_are_told_as_before(tmp_path: Path) -> None:
    shards = write(tmp_path / "s", frame(400), n_shards=2, group=20)
    sheet = make(tmp_path / "d", shards, cache=str(tmp_path / "c"), recipe=("laion5b-en",))
    assert sheet.samples == ()
    for page in (datasheet_markdown(sheet), datasheet_html(sheet)):
        assert f"400 rows before, {sheet.lineage[0].n_after} after." in page
        assert "ampled rows" not in page
