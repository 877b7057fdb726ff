"""What a step removed, as a datasheet tells it; and that a datasheet is of one set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from fake_result import fake_result
from fake_scan import fake_scan
from shardmaker import frame, write
from test_datasheet import make

from laion_probe.config import DatasheetConfig
from laion_probe.errors import ConfigError
from laion_probe.questions.datasheet import datasheet
from laion_probe.questions.datasheet_numbers import Source, _shown_share
from laion_probe.questions.datasheet_tables import _steps, level_title
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


def test_women_and_men_are_always_told_of_and_kept_is_no_double_negative(tmp_path: Path) -> None:
    captions = (
        ["a woman at work"] * 3 + ["a man at work"] * 2 + ["a red bus", "врач в больнице сегодня"]
    )
    rows = frame(700, TEXT=captions * 100, URL=[f"http://a.com/{i}.jpg" for i in range(700)])
    shards = write(tmp_path / "s", rows, group=100)
    given = {"cache": str(tmp_path / "c"), "recipe": ("laion5b-en",)}
    sheet = make(tmp_path / "d", shards, by=("gender-words", "script"), **given)
    raw = json.loads((tmp_path / "d" / "evidence" / "filters-laion5b-en.json").read_text())
    levels = {x["level"]: x for g in raw["recipes"][0]["groups"] for x in g["levels"]}
    by_id = {a.id: a for s in sheet.sections for a in s.answers}
    words = [
        m.plain().replace("\N{NO-BREAK SPACE}", " ") for m in by_id["preprocessing-done"].measured
    ]
    told = [w for w in words if "would keep" in w and "of level" in w]
    assert [re.search("“(.*?)”", w)[1] for w in told][:2] == ["woman", "man"]  # type: ignore[index]
    for w, level in zip(told, ("woman", "man"), strict=False):
        of = levels[level]
        rest = of["kept"]["value"] + of["difference"]["value"]
        side = "fewer" if of["difference"]["value"] > 0 else "more"
        assert f"{100 * abs(of['kept']['value'] - rest):.1f} points {side} than of the other" in w
    assert not any(w.startswith("laion5b-en keeps") for w in words), "said once, in as many digits"
    assert not any("flagged" in w or "differs by −" in w for w in words)
    (cyrillic,) = (w for w in told if "“Cyrillic”" in w)
    assert "would keep 0 % of the 100 rows" in cyrillic
    assert "points fewer than" in cyrillic
    flagged = [
        level_title(g["name"], x["level"])
        for g in raw["recipes"][0]["groups"]
        for x in g["levels"]
        if x["flagged"] and x["difference"] is not None
    ]
    assert "no word for a person" in flagged
    missing = [title for title in flagged if not any(f"“{title}”" in w for w in words)]
    assert missing == [], "each level that is flagged is told of, also one that names nobody"


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (-0.151, None, None, "15.1 points more"),
        (0.02, 0.01, 0.03, "2.0 points fewer [−3.0, −1.0]"),
        (0.02, -0.01, 0.05, "2.0 points fewer [−5.0, +1.0]"),
        (0.0001, None, None, "0.0 points more"),
    ],
)
def test_what_is_removed_more_is_kept_less(
    value: float, low: float | None, high: float | None, shown: str
) -> None:
    source = Source("x", {"d": {"value": value, "low": low, "high": high}})
    assert source.more_kept("d").shown.replace("\N{NO-BREAK SPACE}", " ") == shown


def test_a_step_is_told_of_the_rows_that_it_can_judge(tmp_path: Path) -> None:
    result = fake_result()
    (tmp_path / "result.json").write_text(result.to_json(), encoding="utf-8")
    sheet = make(tmp_path / "d", tmp_path / "result.json")
    by_id = {a.id: a for s in sheet.sections for a in s.answers}
    words = [m.plain() for m in by_id["preprocessing-done"].measured]
    judged = [x for x in result.steps if x.observable and x.removed_share.value is not None]
    assert judged
    for w, step in zip(words, judged, strict=True):
        n = f"{step.removed_share.n:,}"
        assert f" of the {n} rows that reach it and that it can judge." in w


def test_a_probe_says_of_how_many_rows_it_read_the_pictures(tmp_path: Path) -> None:
    result = fake_result()
    first = result.stages[0]
    sampled = "the readable pictures are a random sample of the rows"
    compositions = {
        name: c.model_copy(
            update={"contrast": c.contrast.model_copy(update={"assumptions": (sampled,)})}
        )
        for name, c in first.compositions.items()
    }
    everything = first.model_copy(
        update={"id": "all", "n_rows": 900, "n_pictures": 70, "compositions": compositions}
    )
    how = "Pictures: 90 rows' pictures were asked for, 70 rows have a readable one."
    found = result.model_copy(
        update={"stages": (everything, *result.stages), "how_measured": ("By words.", how)}
    )
    (tmp_path / "result.json").write_text(found.to_json(), encoding="utf-8")
    sheet = make(tmp_path / "d", tmp_path / "result.json")
    said = [m for s in sheet.sections for a in s.answers for m in a.measured]
    (read,) = (m for m in said if "read the pictures of" in m.text)
    assert "read the pictures of 70 of 900 rows: of those whose picture had been" in read.plain()
    assert "take these rows for a random sample of all" in read.caution
    assert how in [m.plain() for m in said]
    assert sheet.evidence[0].n_pictures == 70
    for page in (datasheet_markdown(sheet), datasheet_html(sheet)):
        assert ", with 70 rows" in page
        assert "“Unknown”: none of the levels was read" in page
