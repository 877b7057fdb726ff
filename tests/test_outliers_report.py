"""The report and tables of `outliers` hold what the result holds, and nothing else."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_outliers import NOTHING, VERDICTS, cases
from fake_result import HOSTILE
from test_filters_report import Untied
from test_render import Page, rows

from laion_probe.outliers_result import NullRegion, OutliersResult
from laion_probe.render.outliers_report import LogAxis, outliers_report_html, render_outliers
from laion_probe.render.pointers import walk
from laion_probe.render.text import clean
from laion_probe.results import Estimate

TABLES = [
    *("brought", "clusters", "compositions", "explanations", "hits", "inputs", "pictures"),
    *("recipes", "words"),
]
ESTIMATES = ("brought", "clusters", "compositions", "explanations", "recipes")
#: Numbers of the page that are not of the result: of axes, of how to read them and of a source.
OWN = {"0", "1", "2", "4", "8", "16", "25", "50", "64", "75", "100", "2008", "2023", "95"}

CASES = ("full", "doctor", "many", "bare", "empty", "hostile")
every_case = pytest.mark.parametrize("case", CASES)


@cache
def drawn(case: str) -> str:
    """The report of a case: drawn once."""
    return outliers_report_html(cases()[case])


@cache
def page(case: str) -> Page:
    """The report of a case, read."""
    return Page(drawn(case))


@every_case
def test_sections_tags_ids_and_headings_are_in_order(case: str) -> None:
    result, read = cases()[case], page(case)
    expected = ["finding", "context", "clusters"]
    expected += [f"cluster-{i + 1}" for i in range(len(result.clusters))]
    expected += ["brought"] if result.brought else []
    assert [a["id"] for a in read.of("section") if "id" in a] == [*expected, "method", "provenance"]
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


class Tied(Page):
    """Every number that is tied to the result, with its words."""

    def __init__(self, html: str) -> None:
        self.found: list[tuple[dict[str, str], list[str]]] = []
        self.depth = 0
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if "data-pointer" in self.tags[-1][1]:
            self.found.append((self.tags[-1][1], []))
            self.depth = len(self.open)

    def handle_endtag(self, tag: str) -> None:
        super().handle_endtag(tag)
        self.depth = self.depth if len(self.open) >= self.depth else 0

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if self.depth:
            self.found[-1][1].append(data)


@every_case
def test_every_pointer_leads_to_the_number_that_is_shown(case: str) -> None:
    stored = json.loads(cases()[case].to_json())
    shown = Tied(drawn(case)).found
    assert len(shown) > (5 if case == "empty" else 20)
    for a, words in shown:
        found = _at(stored, a["data-pointer"])
        scale = 1 if a["data-form"] in ("number", "ratio") else 100
        if a["data-form"] in ("number", "percent"):
            assert float(a["data-value"]) == found, a
            numbers = [found]
        else:
            value = found["value"]
            assert a["data-value"] == ("" if value is None else repr(value)), a
            numbers = [x for x in (value, found["low"], found["high"]) if x is not None]
        said = "".join(words).replace("\u2212", "-").replace(",\u00a0", "; ").replace(",", "")
        read = re.findall(r"-?\d+(?:\.\d+)?", said)
        assert len(read) == len(numbers), (a, said)
        for text, number in zip(read, numbers, strict=True):
            room = 0.5 * 10.0 ** -len(text.partition(".")[2])
            assert float(text) == pytest.approx(scale * number, abs=room + 1e-9), (a, said)


@every_case
def test_no_other_number_is_on_the_page(case: str) -> None:
    words, result = Untied(drawn(case)).text, cases()[case]

    def numbers(text: str) -> set[str]:
        found = re.findall(r"\d[\d,]*(?:\.\d+)?", text)
        return {number.strip(",").replace(",", "") for number in found}

    known = numbers(result.to_json() + clean(" ".join(HOSTILE)))
    told = {(e.method, e.assumptions) for _, e in walk(result) if (e.value, e.low) != (None, None)}
    kept = [f"{n}" for n in range(1, 4)]  # verdicts that are alike, and words or hits that are more
    assert numbers(words) - known - OWN <= {str(len(told)), *kept}
    assert len(numbers(page(case).text)) > len(numbers(words))


@every_case
def test_every_estimate_that_was_measured_is_shown(case: str) -> None:
    html = drawn(case)
    for where, e in walk(cases()[case]):
        word = "/brought/" in where and where.rpartition("/")[2] in ("outputs", "difference")
        if e.value is not None and not word:
            assert f'data-pointer="{where}"' in html, where


def test_verdicts_are_words_and_the_matrix_holds_each_recipe() -> None:
    text, html, result = page("full").text, drawn("full"), cases()["full"]
    matrix = text.partition("What these data say to each explanation")[2].partition("Of 4,090")[0]
    first = result.clusters[0]
    for verdict in VERDICTS:
        n = sum(e.verdict == verdict for w in first.weighed for e in w.explanations)
        assert matrix.count(verdict) == n
    assert matrix.count("not weighed") == 4  # the tenth was weighed under the first recipe alone
    row = re.search(r'role="rowheader">Short captions</th>(.*?)</tr>', html)
    assert row is not None
    said = [w.explanations[2].verdict for w in first.weighed]
    assert re.findall("|".join(VERDICTS), row[1]) == said
    for w in first.weighed:
        for e in w.explanations:
            assert clean(e.reason).capitalize() in text
    assert text.count("An odds ratio from 0.81 to 1.26 is called no difference. Supported:") == 2
    assert "that it is the cause is for an intervention to show" in text
    assert text.count("clusters and recipes are not corrected for one another") == 2
    assert text.count("Corrected together: over represented, ") == 10  # of each recipe


def test_an_explanation_without_numbers_is_said_in_a_word() -> None:
    row = re.search(
        r'role="rowheader">Emptied<span class="note">.*?</tr>',
        drawn("doctor"),
        re.DOTALL,
    )
    assert row is not None
    assert 'colspan="4"' in row[0]
    assert "Not observable" in row[0] or "Not in this recipe" in row[0]
    assert "data-pointer" not in row[0]


def test_marks_stand_on_a_logarithmic_axis() -> None:
    axis = LogAxis(16)
    null = NullRegion(low=0.5, high=2.0)
    assert axis.band(null) == ("37.50%", "25.00%")
    assert axis.ticks[1] == ("25.00%", "1/4")
    e = Estimate(value=4.0, low=1.0, high=None, n=9, units=9, method="m")
    one = axis.whisker(e)
    assert one is not None
    assert (one.mark, one.low, one.high) == ("75.00%", "50.00%", "100.00%")
    assert (one.cut_low, one.cut_high) == (False, True)
    end = axis.whisker(e.model_copy(update={"value": None, "low": 0.0, "high": 0.25}))
    assert end is not None
    assert (end.mark, end.low, end.high, end.cut_low) == (None, "0.00%", "25.00%", True)
    assert axis.whisker(NOTHING) is None
    alone = axis.whisker(e.model_copy(update={"low": None}))
    assert alone is not None
    assert alone.low == alone.high == alone.mark
    # 140 is past the last end: an arrow says so, and no mark stands at the edge
    assert "axis from 1/64 to 64, logarithmic" in page("full").text
    assert "M6 0-2-5V5Z" in drawn("full")
    past = LogAxis(64).whisker(e.model_copy(update={"value": 140.0, "low": 80.0}))
    assert past is not None
    assert (past.mark, past.low, past.cut_high) == (None, "100.00%", True)


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (8.123, 3.4, 19.51, "8.12 [3.40, 19.5]"),
        (0.0042, 0.0, 0.051, "0.0042 [0, 0.051]"),
        (2.0, 1.1, None, "2.00 [1.10, no upper end]"),
        (2.0, None, 2.9, "2.00 [no lower end, 2.90]"),
        (None, 3.2, None, "at least 3.20"),
        (None, 0.0, None, "open: from 0, with no upper end"),
        (None, None, 0.4, "at most 0.40"),
        (None, 0.4, 3.2, "0.40 to 3.20"),
        (2.0, None, None, "2.00 (no interval)"),
        (None, None, None, "not defined"),
        (1234.5, 1e-9, 2e4, "1,234 [under 0.0001, 20,000]"),
    ],
)
def test_a_ratio_keeps_its_figures(
    value: float | None, low: float | None, high: float | None, said: str
) -> None:
    e = Estimate(value=value, low=low, high=high, n=200, units=9, method="m")
    result = cases()["bare"]
    clusters = [result.clusters[0].model_copy(update={"ratio": e})]
    html = outliers_report_html(result.model_copy(update={"clusters": tuple(clusters)}))
    shown = [words for a, words in Tied(html).found if a["data-pointer"] == "/clusters/0/ratio"]
    assert len(shown) == (2 if said == "not defined" else 3)
    for words in shown[1:]:  # the first is on two lines
        assert "".join(words).replace("\u00a0", " ") == said


def test_labels_are_named_for_what_they_are() -> None:
    text = page("full").text
    assert "Perceived gender presentation and perceived skin tone are as a classifier reads" in text
    assert "not anyone’s identity" in text
    assert text.count("As a classifier reads it from a picture, not identity") == 4
    assert text.count("(uncorrected classifier labels)") == 4
    top = text.partition("The finding")[0]
    assert "Uncorrected classifier labels." in top
    assert "About the data. These pictures and captions are simulated." in top
    assert "Uncorrected" not in page("empty").text


def test_what_is_not_there_is_said_in_its_place() -> None:
    bare, empty = page("bare").text, page("empty").text
    for said in (
        "None of these is shown to be over-represented",
        "No pictures are shown.",
        "No word sets these captions apart.",
        "No explanation was weighed under this recipe.",
        "not shown to be over-represented",
        "Nobody has named a harm at stake",
    ):
        assert said in bare, said
    assert "No cluster of outputs was found to describe, of 33 that were looked at." in empty
    assert "Nothing is said of one." in empty
    assert "Brought along" not in empty
    assert "The empty prompt" in empty
    assert "“doctor” and what is drawn more often" in page("doctor").text
    assert "All outputs and what is drawn more often" in page("many").text


def test_what_the_prompt_brings_along_is_told_by_kind() -> None:
    text = page("doctor").text.partition("What “doctor” brings along")[2]
    things, _, words = text.partition("Words of captions, in the data")
    for name in ("stethoscope", "desk", "tie"):
        assert name in things
    for name in ("hospital", "coat", "ward"):
        assert name in words
    assert things.count("not read") == 2
    assert "not read" not in words.partition("How it was measured")[0]


def test_both_sides_stand_beside_each_other_and_outputs_have_no_captions() -> None:
    text = page("full").text
    first, second, third = (
        text.index(title) for title in ("Outputs shown", "Nearest training", "Random shown")
    )
    assert first < second < third
    assert 'data-pointer="/clusters/0/pictures/2/n_average"' in drawn("full")
    assert text[first:second].count("the empty prompt") == 6
    shown = page("doctor").text
    shown = shown[shown.index("Outputs shown") : shown.index("How much is drawn")]
    assert "the empty prompt" not in shown


def test_later_clusters_and_recipes_are_folded() -> None:
    assert drawn("many").count("<summary>Pictures, shares, words and explanations") == 17
    assert page("many").text.count("Recipe dalle-mini: 1 supported, 2 contradicted, 2 not") == 20
    assert page("full").text.count("Recipe cc12m: ") == 2
    hits = page("doctor").text
    assert "2 rarer ones are in tables/hits.csv" in hits


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    render_outliers(cases()["hostile"], tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    attacked = Page(html)
    plain = {tag for case in ("full", "doctor") for tag, _ in page(case).tags}
    assert {tag for tag, _ in attacked.tags} <= plain
    assert len(attacked.of("script")) == len(attacked.of("style")) == 1
    names = {name for _, attributes in attacked.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"style", "srcset", "action", "data"}
    assert all(a["src"].startswith("data:image/png;base64,") for a in attacked.of("img"))
    for words in HOSTILE[:3]:
        assert " ".join(words.split())[:50] in attacked.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", html)
    for name in TABLES:
        cells = [cell for row in rows(tmp_path, name) for cell in row.values()]
        assert not [c for c in cells if c.startswith(("=", "+", "@"))], name


@every_case
def test_two_renders_are_the_same_bytes_and_tables_hold_every_estimate(
    case: str, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        render_outliers(cases()[case], tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [f.stem for f in files if f.suffix == ".csv"] == TABLES
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    read = OutliersResult.from_json((tmp_path / "one/result.json").read_text(encoding="utf-8"))
    assert read == cases()[case]
    found = [r for name in ESTIMATES for r in rows(tmp_path / "one", name)]
    numbers = sorted([r["value"], r["low"], r["high"], r["n"]] for r in found)
    expected = sorted(
        ["" if x is None else repr(x) for x in (e.value, e.low, e.high, e.n)]
        for _, e in walk(cases()[case])
    )
    assert numbers == expected


def test_each_table_says_whose_numbers_they_are(tmp_path: Path) -> None:
    render_outliers(cases()["doctor"], tmp_path)
    c = cases()["doctor"].clusters[0]
    e = c.weighed[0].explanations[2]
    told = {
        r["measure"]: r
        for r in rows(tmp_path, "explanations")
        if (r["recipe"], r["explanation"]) == ("none", e.kind)
    }
    assert told["odds_ratio"]["value"] == repr(e.odds_ratio.value)
    assert told["risk_difference"]["low"] == repr(e.risk_difference.low)
    assert told["here"]["verdict"] == e.verdict
    assert told["here"]["n_hits"] == str(e.n_hits)
    hits = {r["of"]: r["n_hits"] for r in rows(tmp_path, "hits") if r["explanation"] == e.kind}
    assert hits == {name: str(n) for name, n in e.by.items()}
    lift = [r for r in rows(tmp_path, "brought") if r["measure"] == "lift"]
    assert [r["what"] for r in lift] == [b.what for b in cases()["doctor"].brought]
    words = rows(tmp_path, "words")
    assert [w["log_odds"] for w in words] == [repr(w.log_odds) for w in c.words]


@pytest.mark.browser
def test_in_a_browser_no_width_scrolls_and_marks_stand_where_the_numbers_say(
    tmp_path: Path,
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    known = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in known if (path := shutil.which(name))), None)
    render_outliers(cases()["full"], tmp_path)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("LAION_PROBE_CHROMIUM") or found,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page, said, asked = browser.new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        for width in (320, 400, 640, 705, 800, 1100):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        places = page.evaluate(
            """() => [...document.querySelectorAll("td.plot:has(rect)")].map(cell => {
                const mark = cell.querySelector("circle.mark");
                if (!mark) return null;
                const axis = cell.querySelector("line.axis").getBoundingClientRect();
                const box = mark.getBoundingClientRect();
                return [(box.left + box.width / 2 - axis.left) / axis.width,
                        Number(cell.nextElementSibling.querySelector("[data-value]").dataset.value)]
            }).filter(Boolean)"""
        )
        browser.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [
        (tmp_path / "report.html").as_uri()
    ]
    assert len(places) > 40
    for place, ratio in places:
        assert place == pytest.approx(0.5 + math.log(ratio) / math.log(64) / 2, abs=0.01)
