"""The report and tables of `nonresponse` hold what the result holds, and nothing else."""

from __future__ import annotations

import json
import re
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fake_result import HOSTILE
from test_filters_report import Untied
from test_nonresponse import planted, run, write_folder, write_scores
from test_render import Page, rows

from laion_probe.nonresponse_result import NonresponseResult
from laion_probe.render.nonresponse_report import nonresponse_report_html, render_nonresponse
from laion_probe.render.pointers import walk
from laion_probe.render.text import clean

#: Numbers of the page that are not of the result: of axes and of how to read them, of sha256.
OWN = {"0", "1", "25", "50", "75", "100", "0.5", "0.001", "2", "95", "2023", "256"}
SECTIONS = ["finding", "coverage", "loss", "weights", "shares", "context", "method", "provenance"]
TABLES = [
    *("claims", "coverage", "fit", "inputs", "loss", "lost", "reasons", "reliability", "shares"),
    "tests",
]
ESTIMATES = ("fit", "loss", "lost", "reliability", "shares")


def _hostile(folder: Path) -> NonresponseResult:
    table = planted(400).with_columns(
        pl.Series("error_message", [HOSTILE[i % 9] for i in range(400)]),
        pl.Series("caption", [HOSTILE[(i + 1) % 10] for i in range(400)]),
        pl.Series("LANGUAGE", [HOSTILE[i % 3] for i in range(400)]),
    )
    images = write_folder(folder / "=cmd() <b>x<i>", table)
    return run(
        images,
        write_scores(folder / "=1+1.csv", images, table),
        groups=("domain", "language-tag", "gender-words"),
        response_by=("language-tag",),
        data_note=HOSTILE[5],
        context=HOSTILE[2],
        harm=(f"erasing={HOSTILE[6]}",),
    )


@cache
def cases() -> dict[str, NonresponseResult]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = planted(3000)
        images = write_folder(folder / "images", table)
        scores = write_scores(folder / "gender.csv", images, table)
        all_came = planted(200).with_columns(pl.lit("success").alias("status"))
        none_came = planted(200).with_columns(pl.lit("failed_to_resize").alias("status"))
        whole = write_folder(folder / "whole", all_came)
        return {
            "labels": run(images, scores, groups=("domain", "tld", "region", "gender-words")),
            "bare": run(images, level=0.9),
            "whole": run(whole, write_scores(folder / "w.csv", whole, all_came)),
            "nothing": run(write_folder(folder / "nothing", none_came)),
            "hostile": _hostile(folder),
        }


CASES = ("labels", "bare", "whole", "nothing", "hostile")
every_case = pytest.mark.parametrize("case", CASES)


@cache
def drawn(case: str) -> str:
    """The report of a case: drawn once."""
    return nonresponse_report_html(cases()[case])


@every_case
def test_sections_tags_ids_and_headings_are_in_order(case: str) -> None:
    result, read = cases()[case], Page(drawn(case))
    there = {"shares": bool(result.composed)}
    expected = [name for name in SECTIONS if there.get(name, True)]
    assert [a["id"] for a in read.of("section") if "id" in a] == expected
    assert read.open == []
    ids = [a["id"] for _, a in read.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in read.tags:
        assert attributes.get("aria-labelledby", ids[0]) in ids
        if attributes.get("href"):
            assert attributes["href"].removeprefix("#") in ids
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(read.of("table")) == len(read.of("caption"))


def _at(stored: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        stored = stored[int(key)] if isinstance(stored, list) else stored[key]
    return stored


@every_case
def test_every_pointer_leads_to_its_number(case: str) -> None:
    stored = json.loads(cases()[case].to_json())
    shown = [a for _, a in Page(drawn(case)).tags if "data-pointer" in a]
    assert len(shown) > 10
    for a in shown:
        found = _at(stored, a["data-pointer"])
        if a["data-form"] in ("number", "percent", "p"):
            assert float(a["data-value"]) == found, a
        else:
            expected = "" if found["value"] is None else repr(found["value"])
            assert a["data-value"] == expected, a


@every_case
def test_no_other_number_is_on_the_page(case: str) -> None:
    words, result = Untied(drawn(case)).text, cases()[case]

    def numbers(text: str) -> set[str]:
        found = re.findall(r"\d[\d,]*(?:\.\d+)?", text)
        return {number.replace(",", "") for number in found}

    known = numbers(result.to_json() + clean(" ".join(HOSTILE)))
    counted = {len(result.provenance.inputs), result.n_tried - result.n_came}
    counted |= {len(by.levels) - 16 for by in result.loss}
    counted |= {len({(e.method, e.assumptions) for _, e in walk(result)}), 90}
    assert numbers(words) - known - OWN <= {str(n) for n in counted} | _methods(result)
    assert len(numbers(Page(drawn(case)).text)) > len(numbers(words))


def _methods(result: NonresponseResult) -> set[str]:
    """How many ways of making intervals there are."""
    told = {(e.method, e.assumptions) for _, e in walk(result) if (e.value, e.low) != (None, None)}
    return {str(len(told))}


@every_case
def test_every_estimate_that_matters_is_shown(case: str) -> None:
    html, result = drawn(case), cases()[case]
    for i, by in enumerate(result.loss):
        for j, level in enumerate(by.levels):
            if j < 16 or level.level == "unknown":
                for place in ("lost", "difference"):
                    assert f'"/loss/{i}/levels/{j}/{place}"' in html
    for i, c in enumerate(result.composed):
        places = ["complete", "reweighted", "limited", "worst", "possible"]
        places += [f"curve/{j}/share" for j in range(len(c.curve))]
        places += [f"reweighted_shares/{level}" for level in c.levels]
        for place in places:
            assert f'"/composed/{i}/{place}"' in html, place


def test_what_reweighting_assumes_stands_at_the_top_and_at_the_fit() -> None:
    top = Page(drawn("labels")).text.partition("The finding")[0]
    assert "loss is random given what is observed" in top
    assert "A good fit on held-out rows is no evidence for that" in top
    assert "no evidence that loss is random beyond that" in Page(drawn("labels")).text
    bare = Page(drawn("bare")).text.partition("The finding")[0]
    assert "What re-weighting assumes" not in bare


def test_what_is_not_there_is_said_in_its_place() -> None:
    whole, nothing = Page(drawn("whole")).text, Page(drawn("nothing")).text
    assert "Every picture came." in whole
    assert "could not be checked" in whole
    assert "No weights: 0 of 200 pictures came" in nothing
    assert "No test: every row has the same outcome" in nothing
    assert "Nobody has said in which use these shares matter" in whole


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    render_nonresponse(cases()["hostile"], tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    plain, attacked = Page(drawn("labels")), Page(html)
    assert {tag for tag, _ in attacked.tags} <= {tag for tag, _ in plain.tags}
    assert len(attacked.of("script")) == len(attacked.of("style")) == 1
    names = {name for _, attributes in attacked.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"style", "src", "srcset", "action", "data"}
    for words in (HOSTILE[0], HOSTILE[2]):
        assert " ".join(words.split())[:50] in attacked.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", html)
    for name in TABLES:
        cells = [cell for row in rows(tmp_path, name) for cell in row.values()]
        assert not [c for c in cells if c.startswith(("=", "+", "@"))], name


@every_case
def test_two_renders_are_the_same_bytes(case: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        render_nonresponse(cases()[case], tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [f.stem for f in files if f.suffix == ".csv"] == TABLES
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    read = NonresponseResult.from_json((tmp_path / "one/result.json").read_text(encoding="utf-8"))
    assert read == cases()[case]


@every_case
def test_tables_hold_every_estimate_to_the_last_digit(case: str, tmp_path: Path) -> None:
    render_nonresponse(cases()[case], tmp_path)
    read = [r for name in ESTIMATES for r in rows(tmp_path, name)]
    numbers = sorted([r["value"], r["low"], r["high"], r["n"]] for r in read)
    expected = sorted(
        ["" if x is None else repr(x) for x in (e.value, e.low, e.high, e.n)]
        for _, e in walk(cases()[case])
    )
    assert numbers == expected
