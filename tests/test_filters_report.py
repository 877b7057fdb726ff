"""The report, tables and figures of `filters` hold what the result holds, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from fake_filters import CASES, MIN_COUNT, UNDEFINED, fake_filters
from fake_result import HOSTILE
from test_render import Page, rows

from laion_probe.filters_result import FiltersResult
from laion_probe.render import render_filters
from laion_probe.render.filters_report import (
    _shown,
    filters_report_html,
    level_removal_words,
    step_removal_words,
)
from laion_probe.render.flow import Flow, FlowStep, flow_svg, flow_words
from laion_probe.render.pointers import walk
from laion_probe.render.text import NBSP, clean
from laion_probe.results import Estimate

every_case = pytest.mark.parametrize("case", CASES)

#: Numbers of the page that are not of the result: of its own explanations, and 95 % intervals.
OWN = {"1", "2", "5", "0", "95", "100"}
TABLES = [
    "detector_languages",
    "detectors",
    "examples",
    "failed_units",
    "groups",
    "inputs",
    "outcomes",
    "overlaps",
    "recipes",
    "removals",
    "rewrites",
    "shapley",
    "steps",
]


@cache
def drawn(case: str) -> str:
    """The report of a case: drawn once, since its templates are read anew each time."""
    return filters_report_html(CASES[case])


def text(result: FiltersResult) -> str:
    return Page(filters_report_html(result)).text


class Untied(Page):
    """The text of a page without the numbers that are tied to the result, and without ordinals."""

    def __init__(self, html: str) -> None:
        self.tied = 0
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        given = dict(attrs)
        starts = "data-pointer" in given or given.get("class") == "ordinal"
        if not self.tied and starts:
            self.tied = len(self.open)

    def handle_endtag(self, tag: str) -> None:
        if len(self.open) == self.tied:
            self.tied = 0
        super().handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        if not self.tied:
            super().handle_data(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("filters")
    render_filters(CASES["hostile"], out)
    return out


# The page


@every_case
def test_sections_tags_ids_and_headings_are_in_order(case: str) -> None:
    result = CASES[case]
    read = Page(drawn(case))
    expected = ["finding", "reading", "already", "how", "recipe-1", "recipe-2"]
    if result.detectors is not None:
        expected += ["overlaps", "detectors", "examples"]
    assert [a["id"] for a in read.of("section") if "id" in a] == [
        *expected,
        "limits",
        "provenance",
    ]
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
    assert all(a.get("scope") in ("col", "row", "rowgroup") for a in read.of("th"))


def test_hostile_text_stays_text(folder: Path) -> None:
    html = (folder / "report.html").read_text(encoding="utf-8")
    plain, attacked = Page(drawn("sample")), Page(html)
    assert {tag for tag, _ in attacked.tags} == {tag for tag, _ in plain.tags}
    assert len(attacked.of("script")) == len(attacked.of("style")) == 1
    names = {name for _, attributes in attacked.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"style", "srcset", "action", "data"}
    assert {a["src"].partition(",")[0] for a in attacked.of("img")} == {"data:image/svg+xml;base64"}
    assert all(a["href"].startswith("#") for a in attacked.of("a"))
    for words in (*HOSTILE[:3], "महिलाएँ", "نساء", "=cmd()", "डॉक्टर की तस्वीर"):
        assert " ".join(words.split()) in attacked.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", html)


def test_the_policy_names_the_hashes_of_the_page_itself() -> None:
    html = drawn("nothing asked")
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    for tag in ("style", "script"):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert inside
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]


@every_case
def test_every_pointer_leads_to_its_number(case: str) -> None:
    result = CASES[case]
    stored = json.loads(result.to_json())
    shown = re.findall(
        r'data-pointer="([^"]+)" data-form="([^"]+)" data-value="([^"]*)"',
        drawn(case),
    )
    assert len(shown) > 5
    for pointer, form, value in shown:
        found = stored
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found[key]
        if form in ("number", "percent"):
            assert float(value) == found, pointer
        else:
            expected = found["value"]
            assert value == ("" if expected is None else repr(expected)), pointer


@pytest.mark.parametrize("case", ["sample", "full", "small", "failed", "nothing asked"])
def test_no_other_number_is_on_the_page(case: str) -> None:
    words = Untied(drawn(case)).text
    counted = ("Which step does it: {}", "each of the {} steps", "{} drawn at random", "{} rarer")
    for said in counted:
        words = re.sub(said.format(r"\d+"), "", words)
    number = r"\d[\d,]*(?:\.\d+)?"
    known = re.findall(number, CASES[case].to_json() + clean("".join(HOSTILE)))
    assert set(re.findall(number, words)) <= {*known, *OWN}
    assert len(re.findall(number, Page(drawn(case)).text)) > len(re.findall(number, words))


def test_every_level_that_is_shown_has_all_of_its_numbers() -> None:
    result = CASES["sample"]
    html = drawn("sample")
    for i, recipe in enumerate(result.recipes):
        for j, group in enumerate(recipe.groups):
            for k, level in enumerate(group.levels):
                where = f'"/recipes/{i}/groups/{j}/levels/{k}'
                shown = [f'{where}/{x}"' in html for x in ("n", "share_before", "share_after")]
                risks = [f'{where}/{x}"' in html for x in ("kept", "difference", "ratio")]
                assert all(shown)
                assert set(risks) == {not level.too_small}, where
                assert (f'{where}/steps/0/alone"' in html) is not level.too_small


def test_too_few_rows_are_said_and_never_zero(tmp_path: Path) -> None:
    result = CASES["sample"]
    html = drawn("sample")
    small = [x for r in result.recipes for g in r.groups for x in g.levels if x.too_small]
    assert len(small) == 6
    cells = re.findall(r"<tr><th scope=\"row\"[^\n]*\n<td class=\"none\" colspan=\"3\">.*", html)
    assert len(cells) == len(small)
    for cell in cells:
        assert Page(f"<table>{cell}</table>").text.endswith(
            f"too few rows (fewer than {MIN_COUNT})"
        )
    render_filters(result, tmp_path)
    read = [r for r in rows(tmp_path, "groups") if r["too_small"] == "true"]
    risks = [r for r in read if r["measure"] in ("kept", "difference", "ratio", "odds_ratio")]
    assert len(risks) == 4 * len(small)
    assert {(r["value"], r["n"]) for r in risks} == {("", "")}
    assert {r["reason"] for r in risks} == {"too few rows (fewer than 50)"}
    removals = [r for r in rows(tmp_path, "removals") if r["n_rows"] == "7"]
    assert {r["value"] for r in removals} == {""}
    assert "" not in {r["reason"] for r in removals}


def test_what_has_no_number_says_why_and_is_never_zero(tmp_path: Path) -> None:
    result = CASES["sample"]
    recipe = result.recipes[0]
    totals = {t.step: t for t in recipe.totals}
    why = {s.id: step_removal_words(s, totals.get(s.id)).partition(":")[0] for s in recipe.steps}
    assert {name: words for name, words in why.items() if words} == {
        "clean": "removes nothing by itself",
        "names": "removes nothing by itself",
        "detect": "removes nothing by itself",
        "dedup": "needs every row",
        "similarity": "not observable",
        "nsfw": "not evaluable",
        "file": "not simulated",
    }
    html = drawn("sample")
    for i, step in enumerate(recipe.steps):
        shown = f'data-pointer="/recipes/0/steps/{i}/removed_share"' in html
        assert shown is (why[step.id] == ""), step.id
        assert f'data-pointer="/recipes/0/survival/{i}"' in html
    words = Page(html).text
    assert "Not observable: the input had passed this step before we saw it" in words
    assert "The replay removes, of rows that had passed it: 202 in order, 405 alone" in words
    render_filters(result, tmp_path)
    steps = {(r["recipe"], r["step"], r["measure"]): r for r in rows(tmp_path, "steps")}
    for name, reason in why.items():
        row = steps["laion5b-en", name, "removed_share"]
        if reason:
            assert row["removal"].startswith(reason)
            assert (row["value"], row["alone"], row["in_order"], row["n_removed_here"]) == ("",) * 4
    assert steps["laion5b-en", "similarity", "removed_share"]["replay_alone"] == "405"
    assert steps["laion5b-en", "english", "removed_share"]["alone"] == "18630"


def test_a_step_that_judged_no_row_of_a_level_removed_nobody_that_we_know_of() -> None:
    recipe = CASES["sample"].recipes[0]
    english = next(s for s in recipe.steps if s.id == "english")
    level = recipe.groups[0].levels[0]
    removal = next(x for x in level.steps if x.step == "english")
    assert level_removal_words(english, removal, level.n) == ""
    blind = removal.model_copy(update={"blind": level.n, "alone": 0})
    assert level_removal_words(english, blind, level.n).startswith("not evaluable: none of these")


def test_an_undefined_ratio_is_not_defined_and_the_page_says_where() -> None:
    words = Page(drawn("sample")).text
    assert words.count("not defined odds") == 6
    assert UNDEFINED in words


def test_marks_are_words_and_follow_the_sign() -> None:
    result = CASES["sample"]
    html = drawn("sample")
    flagged = [
        x.difference.value
        for r in result.recipes
        for g in r.groups
        for x in g.levels
        if x.flagged and x.difference is not None and x.difference.value is not None
    ]
    assert html.count(">removed more</span>") == sum(v > 0 for v in flagged) > 0
    assert html.count(">removed less</span>") == sum(v < 0 for v in flagged) > 0


def test_a_sample_has_intervals_a_full_count_none_and_a_small_one_says_so() -> None:
    sample, full, small = (Page(drawn(name)).text for name in ("sample", "full", "small"))
    assert "A sample: 0.15 % of the rows were read." in sample
    assert re.search(r"−18\.6 \[−20\.4, −16\.8\] removed less", sample)
    assert "95 % interval" in sample
    for words in (full, small):
        assert "95 % interval" not in words.partition("Language detectors This ranks")[0]
    assert "so that shares have intervals even though all rows were read" in full
    assert "Called English [95 % interval]" in full
    assert "(no interval)" not in full
    assert re.search(r"38\.\d+ % \(no interval\)", small)
    assert "too few row groups were read for them" in small
    assert "could not be read" in Page(drawn("failed")).text


@pytest.mark.parametrize(
    ("value", "low", "high", "form", "full", "said"),
    [
        (-0.186, -0.204, -0.168, "points", False, "−18.6 [−20.4, −16.8]"),
        (0.00004, None, None, "points", True, "+0.004"),
        (1.5, 1.2, None, "ratio", False, "1.50 [1.20, not bounded]"),
        (0.0004, None, None, "ratio", True, "0.0004"),
        (0.2, 0.2, 0.2, "share", True, "20.00 %"),
        (0.2, None, None, "share", False, "20.00 % (no interval)"),
        (None, None, None, "ratio", False, "not defined"),
    ],
)
def test_numbers_in_words(
    value: float | None, low: float | None, high: float | None, form: str, full: bool, said: str
) -> None:
    e = Estimate(value=value, low=low, high=high, n=5000, units=9, method="m")
    assert str(_shown(e, form, full)).replace(NBSP, " ") == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("already", "words"),
    [
        ("none", "what every step removes can be seen"),
        ("unknown", "it would look here as if nothing were removed"),
        ("laion5b-en", "which is not the same as no removal"),
    ],
)
def test_what_the_input_had_passed_before_is_said(already: str, words: str) -> None:
    result = CASES["nothing asked"].model_copy(update={"already": already})
    assert words in text(result)


def test_examples_say_how_they_were_drawn_and_warn() -> None:
    words = Page(drawn("sample")).text
    assert "Captions as they were found on the web. They may be offensive" in words
    assert "14 drawn at random by seed from 18,000 rows that laion5b-en removes by" in words
    assert "leaves empty" in words
    assert "rewritten: no text left" in words
    assert "0 drawn at random by seed from 0 rows on whose language two detectors" in words


def test_detectors_are_not_ranked_and_small_levels_are_said() -> None:
    words = Page(drawn("sample")).text
    assert "This ranks no detector" in words
    assert re.search(r"cld3 and lingua ?83\.0 % \[81\.2, 84\.8\]", words)
    assert "24 rarer pairs of languages" in words


def test_a_long_result_is_cut_on_the_page_and_whole_in_the_tables(tmp_path: Path) -> None:
    result = fake_filters(n_groups=8, n_levels=40)
    render_filters(result, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 1_500_000
    words = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert words.count("15 rarer levels are not shown here; they are in tables/groups.csv") == 16
    for recipe in result.recipes:
        kept = [r for r in rows(tmp_path, "groups") if r["recipe"] == recipe.name]
        assert len(kept) == 6 * sum(len(g.levels) for g in recipe.groups)
    assert len(rows(tmp_path, "removals")) == sum(
        len(x.steps) for r in result.recipes for g in r.groups for x in g.levels
    )


def test_a_recipe_without_steps_is_an_answer() -> None:
    words = text(CASES["nothing asked"])
    assert "This recipe has no steps: every row is kept." in words
    assert "No group was asked for." in words
    none = CASES["nothing asked"].model_copy(update={"recipes": ()})
    assert "No recipe was replayed." in text(none)


# Files


def test_two_renders_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    render_filters(CASES["hostile"], tmp_path)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert [f.stem for f in files if f.suffix == ".csv"] == TABLES
    assert len([f for f in files if f.suffix == ".svg"]) == 2
    for file in files:
        assert (folder / file).read_bytes() == (tmp_path / file).read_bytes(), file
    written = (folder / "result.json").read_text(encoding="utf-8")
    assert written == CASES["hostile"].to_json()
    read = FiltersResult.from_json(written)
    assert filters_report_html(read) == (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", ["sample", "full", "small"])
def test_tables_hold_every_estimate_to_the_last_digit(case: str, tmp_path: Path) -> None:
    result = CASES[case]
    render_filters(result, tmp_path)
    tables = ("recipes", "steps", "groups", "removals", "detectors")
    read = [r for name in tables for r in rows(tmp_path, name)]
    numbers = sorted([r["value"], r["low"], r["high"], r["n"]] for r in read if r["value"])
    recipes = result.recipes
    hidden = {
        f"/recipes/{i}/groups/{j}/levels/{k}/steps/{m}/difference"
        for i, recipe in enumerate(recipes)
        for j, group in enumerate(recipe.groups)
        for k, level in enumerate(group.levels)
        for m, x in enumerate(level.steps)
        for step in recipe.steps
        if step.id == x.step and level_removal_words(step, x, level.n)
    }
    expected = sorted(
        ["" if x is None else repr(x) for x in (e.value, e.low, e.high, e.n)]
        for where, e in walk(result)
        if e.value is not None and where not in hidden
    )
    assert numbers == expected
    values = [
        "" if x.value is None else repr(x.value)
        for r in recipes
        for g in r.groups
        for level in g.levels
        for x in level.shapley
    ]
    shapley = rows(tmp_path, "shapley")
    assert [r["value"] for r in shapley] == values
    assert all(bool(r["value"]) is (r["reason"] == "") for r in shapley)


def test_a_caption_is_not_a_formula_in_a_spreadsheet(folder: Path) -> None:
    for name in ("examples", "groups", "overlaps", "removals"):
        cells = [cell for row in rows(folder, name) for cell in row.values()]
        assert not [c for c in cells if c.startswith(("=", "+", "@"))], name
        assert any(c.startswith("'=HYPERLINK") for c in cells), name


# The figure


def test_the_flow_draws_what_is_left_and_hatches_what_leaves() -> None:
    steps = (
        FlowStep("first", 100, 60, "routed", "40 rows routed"),
        FlowStep("unseen", 60, 60, "gate", "not observable"),
        FlowStep("second", 60, 15, "dropped", "45 rows dropped"),
    )
    flow = Flow("a recipe", 100, steps, "15 rows, 15 %")
    svg = flow_svg(flow)
    assert svg == flow_svg(flow)
    root = ET.fromstring(svg)
    said = " ".join(root.itertext())
    for words in ("Pool: 100 rows", "40 rows routed", "not observable", "Kept: 15 rows, 15 %"):
        assert words in said
    # The band's pieces, by their width in the units of the page.
    fills = re.findall(r'<path d="M ([\d.]+) [\d.]+ \nL ([\d.]+) [^"]*" [^>]*fill: #b9c9dc', svg)
    widths = [abs(float(b) - float(a)) for a, b in fills]
    pool = widths[0]
    assert [round(w / pool, 3) for w in widths[:5]] == [1.0, 0.6, 0.6, 0.6, 0.15]
    assert svg.count("<pattern") == 3
    assert flow_words(flow) == (
        "Flow of rows through a recipe; pool: 100 rows; 1 first: 40 rows routed; "
        "2 unseen: not observable; 3 second: 45 rows dropped; kept: 15 rows, 15 %."
    )


def test_long_and_hostile_titles_are_wrapped_and_stay_text() -> None:
    steps = tuple(FlowStep(words, 100, 50, "dropped", words) for words in HOSTILE)
    root = ET.fromstring(flow_svg(Flow(HOSTILE[0], 0, steps, "0 rows, not defined")))
    tags = {e.tag.rpartition("}")[2] for e in root.iter()}
    assert not tags & {"script", "image", "foreignObject", "a"}
    lines = [e.text or "" for e in root.iter() if e.tag.endswith("}text")]
    assert max(map(len, lines)) < 80
    assert any("…" in line for line in lines)


def test_the_page_shows_the_figure_that_is_in_the_folder(tmp_path: Path) -> None:
    result = CASES["full"]
    render_filters(result, tmp_path)
    images = Page((tmp_path / "report.html").read_text(encoding="utf-8")).of("img")
    for recipe, image in zip(result.recipes, images, strict=True):
        file = tmp_path / "figures" / f"flow-{recipe.name}.svg"
        assert base64.b64decode(image["src"].partition(",")[2]) == file.read_bytes()
        assert f"pool: {recipe.n:,} rows" in image["alt"]
        assert f"kept: {recipe.n_kept:,} rows" in image["alt"]
        assert "rows routed, 46.00 % of those it could judge" in image["alt"]
        for step in recipe.steps:
            assert step.title in image["alt"]
