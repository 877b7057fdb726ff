"""Post-filtering: what a safety checker blocks, by group, and what that does to a composition."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fake_result import HOSTILE
from PIL import Image
from test_filters_report import Untied
from test_render import Page

from laion_probe.blocked_result import BlockedResult
from laion_probe.config.generating import BlockedConfig
from laion_probe.errors import ConfigError, NotEnoughData, ShardError
from laion_probe.estimate import Sample
from laion_probe.questions import blocked as question
from laion_probe.questions.blocked import blocked
from laion_probe.render.blocked_report import blocked_report_html, render_blocked
from laion_probe.render.pointers import walk
from laion_probe.render.text import clean

DEMO = Path(__file__).parent.parent / "data" / "demo"
#: Numbers of the page that are not of the result: of axes, of words, of sha256.
OWN = {"0", "1", "5", "10", "20", "25", "50", "75", "100", "2.5", "7.5", "95", "2023", "256"}


def png(colour: object = (9, 9, 9)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(out, "PNG")  # type: ignore[arg-type]
    return out.getvalue()


def folder(root: Path, rows: list[dict[str, Any]]) -> Path:
    """A folder of as many pictures as rows."""
    root.mkdir(parents=True)
    named = [{"file_name": f"{i:04}.png", **row} for i, row in enumerate(rows)]
    for row in named:
        (root / row["file_name"]).write_bytes(png())
    (root / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in named))
    return root


def planted(n: int = 120) -> list[dict[str, Any]]:
    """Two groups of two languages; three in ten of one group are blocked, one in 30 of the other.

    Every picture is a batch of its own.
    """
    return [
        {
            "prompt": f"{group} {language}",
            "group": group,
            "language": language,
            "batch": f"{group} {language} {i}",
            "generator": "tiny",
            "blocked": i % 10 < 3 if group == "x" else i % 30 == 0,
        }
        for group in ("x", "y")
        for language in ("en", "fr")
        for i in range(n)
    ]


def run(generated: Path, **given: Any) -> BlockedResult:
    return blocked(BlockedConfig(generated=str(generated), **given))


def of(r: BlockedResult, by: str) -> dict[str, Any]:
    return {x.level: x for b in r.by if b.by == by for x in b.levels}


def test_shares_by_group_are_those_planted(tmp_path: Path) -> None:
    r = run(folder(tmp_path / "x", planted()))
    assert (r.n_pictures, r.n_prompts, r.n_batches, r.n_compared) == (480, 4, 480, 4)
    assert [b.by for b in r.by] == ["group", "language"]
    x, y = of(r, "group").values()
    assert (x.n_blocked, y.n_blocked) == (72, 8)
    assert x.difference.value == pytest.approx(0.3 - 1 / 30)
    assert x.difference.low > 0.15
    assert x.ratio.value == pytest.approx(9)
    assert y.difference.value == pytest.approx(-x.difference.value)
    assert "Bonferroni over 4 levels" in x.difference.method
    assert "“x” 30.0 %" in r.finding[1]
    assert "points [" in r.finding[1]
    assert "more than of the rest" in r.finding[1]
    assert r.finding[2] == (
        "These data cannot tell whether blocking differs by language of the prompt."
    )
    assert [(c.id, c.supported) for c in r.claims] == [
        ("blocked:group", True),
        ("blocked:language", False),
    ]
    assert BlockedResult.from_json(r.to_json()) == r


def test_all_groups_that_surely_differ_are_named(tmp_path: Path) -> None:
    groups = ("a", "b", "c", "d", "e")
    rows = [
        {"prompt": g, "group": g, "blocked": i % 10 < (6 if g in "ab" else 0)}
        for g in groups
        for i in range(100)
    ]
    r = run(folder(tmp_path / "x", rows))
    assert "“a” 60.0 %" in r.finding[1]
    assert r.finding[1].endswith("too: “b”, “c”, “d”, “e”.")


def test_pictures_of_one_batch_are_one_unit(tmp_path: Path) -> None:
    """All of a batch agree, also over prompts: 8 batches are worth 8 pictures."""
    rows = [{**row, "batch": i % 8, "blocked": i % 8 < 2} for i, row in enumerate(planted(40))]
    r = run(folder(tmp_path / "x", rows))
    assert r.n_batches == r.blocked.units == 8
    alone = run(folder(tmp_path / "y", [{**row, "batch": None} for row in rows]))
    assert alone.n_batches == 160
    assert r.blocked.value == alone.blocked.value == 0.25

    def width(x: BlockedResult) -> float:
        return x.blocked.high - x.blocked.low  # type: ignore[operator]

    assert width(r) > 3 * width(alone)


def test_under_the_null_few_runs_find_anything() -> None:
    """Six groups that do not differ; batches of four that resemble each other."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(6), 80)
    unit = np.arange(480) // 4
    n_found = n_by_row = 0
    for _ in range(300):
        rate = rng.beta(1, 3, 120)[unit]
        hit = rng.random(480) < rate
        names = [str(i) for i in range(6)]
        p = question._Property("group", "group", names, group)
        sample = Sample(unit)
        n_found += any(
            x.difference.low > 0 or x.difference.high < 0
            for x in question._by(p, hit, sample, 6).levels
        )
        by_row = replace(sample, unit=np.arange(480))
        n_by_row += any(
            x.difference.low > 0 or x.difference.high < 0
            for x in question._by(p, hit, by_row, 1).levels
        )
    assert n_found <= 27, "5 % of 300, with three standard deviations"
    assert n_by_row > 60, "rows as units, each at its own level, must fail the same test"


def test_what_is_not_known_is_a_level_and_prompts_stand_in(tmp_path: Path) -> None:
    rows = planted(20)
    for row in rows[:10]:
        del row["group"]
    rows[11]["blocked"] = None
    r = run(folder(tmp_path / "x", rows))
    assert of(r, "group")["unknown"].n == 10
    assert of(r, "group")["unknown"].few
    assert r.n_not_checked == 1
    assert "1 pictures have no word of a checker" in r.cannot_say[-1]
    bare = [{k: row[k] for k in ("prompt", "blocked")} for row in planted(20)]
    assert [b.by for b in run(folder(tmp_path / "y", bare)).by] == ["prompt"]
    same = [{"prompt": "", "blocked": i < 3} for i in range(30)]
    one = run(folder(tmp_path / "z", same))
    assert one.by == ()
    assert one.blocked.value == 0.1


def test_a_folder_without_a_checkers_word_is_refused(tmp_path: Path) -> None:
    rows = [{"prompt": "a"}] * 3
    with pytest.raises(NotEnoughData, match="generate with --safety flag"):
        run(folder(tmp_path / "x", rows))


def test_black_and_broken_pictures_cannot_be_read_for_attributes(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", planted(10))
    model = {"model": f"local-dir:{DEMO / 'clip'}", "cache": str(tmp_path / "cache")}
    with pytest.raises(ConfigError, match="named twice"):
        run(root, attributes=("skin_tone", "skin_tone"), **model)
    (root / "0001.png").write_bytes(b"no picture")
    with pytest.raises(ShardError, match=r"1 of 40 generated pictures cannot be used"):
        run(root, attributes=("gender_presentation",), **model)
    (root / "0000.png").write_bytes(png("black"))
    with pytest.raises(ConfigError, match=r"0000\.png was blacked out"):
        run(root, attributes=("gender_presentation",), **model)


@cache
def demo_rows() -> pl.DataFrame:
    return (
        pl.read_ndjson(DEMO / "generated" / "metadata.jsonl")
        .filter(pl.col("prompt").is_in(["a photo of a doctor", "a photo of a farmer"]))
        .filter(pl.int_range(pl.len()).over("prompt") < 40)
        .with_columns(group=pl.col("prompt").str.split(" ").list.last())
    )


def demo(root: Path, rows: pl.DataFrame) -> Path:
    for name in rows["file_name"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((DEMO / "generated" / name).read_bytes())
    rows.write_ndjson(root / "metadata.jsonl")
    return root


def test_the_composition_after_is_that_of_the_pictures_that_pass(tmp_path: Path) -> None:
    """Read from all pictures and blocked, or from a folder of the passed ones: the same."""
    rows = demo_rows().with_columns(blocked=pl.int_range(pl.len()) % 3 == 0)
    given = {
        "attributes": ("gender_presentation",),
        "model": f"local-dir:{DEMO / 'clip'}",
        "cache": str(tmp_path / "cache"),
    }
    r = run(demo(tmp_path / "all", rows), **given)
    passed = rows.filter(~pl.col("blocked"))
    alone = run(demo(tmp_path / "passed", passed), **given)
    (p,) = r.passed
    assert p.after.counts == alone.passed[0].before.counts
    assert p.after.contrast == alone.passed[0].before.contrast
    assert p.before.contrast.n > p.after.contrast.n > 0
    change = p.after.contrast.value - p.before.contrast.value  # type: ignore[operator]
    assert p.shift.difference.value == pytest.approx(change)
    assert alone.passed[0].shift.difference.value == 0
    assert [b.by for b in r.by] == ["group", "gender_presentation"]
    assert r.by[1].labels == "uncorrected classifier labels"
    assert sum(x.n_blocked for x in r.by[1].levels) == rows["blocked"].sum()
    assert r.simulated
    html = blocked_report_html(r)
    assert "simulated" in Page(html).text
    _check_page(r)


@cache
def cases(case: str) -> BlockedResult:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if case == "planted":
            return run(folder(root / "x", planted(30)), level=0.9)
        if case == "one prompt":
            return run(folder(root / "x", [{"prompt": "", "blocked": i < 3} for i in range(30)]))
        rows = [
            {**row, "prompt": HOSTILE[i % 10], "group": HOSTILE[i % 7], "generator": HOSTILE[0]}
            for i, row in enumerate(planted(30))
        ]
        return run(
            folder(root / "=cmd() <b>", rows),
            data_note=HOSTILE[5],
            context=HOSTILE[2],
            harm=(f"erasing={HOSTILE[6]}",),
        )


CASES = ("planted", "one prompt", "hostile")


def _at(stored: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        stored = stored[int(key)] if isinstance(stored, list) else stored[key]
    return stored


def _check_page(r: BlockedResult) -> None:
    """Sections in order, every number tied to the result, and no other one."""
    html = blocked_report_html(r)
    read, stored = Page(html), json.loads(r.to_json())
    assert read.open == []
    expected = ["finding", "blocked", *["passed"] * bool(r.passed), "context", "method"]
    assert [a["id"] for a in read.of("section") if "id" in a] == [*expected, "provenance"]
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(read.of("table")) == len(read.of("caption"))
    for a in (a for _, a in read.tags if "data-pointer" in a):
        found = _at(stored, a["data-pointer"])
        if a["data-form"] in ("number", "percent"):
            assert float(a["data-value"]) == found, a
        else:
            assert a["data-value"] == ("" if found["value"] is None else repr(found["value"])), a
    for i, by in enumerate(r.by):
        for j in range(len(by.levels)):
            assert f'"/by/{i}/levels/{j}/difference"' in html

    def numbers(text: str) -> set[str]:
        return {n.replace(",", "") for n in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}

    methods = len({(e.method, e.assumptions) for _, e in walk(r)})
    known = numbers(r.to_json() + clean(" ".join(HOSTILE))) | OWN | {str(methods), "90"}
    assert numbers(Untied(html).text) <= known


@pytest.mark.parametrize("case", CASES)
def test_the_page_shows_the_result_and_nothing_else(case: str) -> None:
    _check_page(cases(case))


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    render_blocked(cases("hostile"), tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    plain, attacked = Page(blocked_report_html(cases("planted"))), Page(html)
    # only the tables of harms and of a context are more
    assert {tag for tag, _ in attacked.tags} <= {tag for tag, _ in plain.tags}
    assert len(attacked.of("script")) == len(attacked.of("style")) == 1
    names = {name for _, attributes in attacked.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert " ".join(HOSTILE[0].split())[:50] in attacked.text
    for path in (tmp_path / "tables").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [c for c in cells if c.startswith(("=", "+", "@"))], path


def test_tables_hold_every_estimate_and_bytes_stay(tmp_path: Path) -> None:
    r = cases("planted")
    for name in ("one", "two"):
        render_blocked(r, tmp_path / name)
    tables = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [f.stem for f in tables if f.suffix == ".csv"] == [
        *("blocked", "claims", "compositions", "inputs")
    ]
    for name in tables:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with (tmp_path / "one" / "tables" / "blocked.csv").open(encoding="utf-8") as file:
        values = [row["value"] for row in csv.DictReader(file)]
    assert values == [repr(e.value) for _, e in walk(r)]
