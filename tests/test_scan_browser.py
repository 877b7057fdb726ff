"""A scan's report in a real Chromium: silent, offline, readable, and equal to ``result.json``."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import test_report_browser as probe
from fake_scan import CASES

from laion_probe.render import render_scan

pytestmark = pytest.mark.browser
browser = probe.browser
Opened = probe.Opened
every_case = pytest.mark.parametrize("case", CASES)

OPEN_ALL = "for (const d of document.querySelectorAll('details')) d.open = true"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("scans")
    folders = {name: root / str(i) for i, name in enumerate(CASES)}
    for name, result in CASES.items():
        render_scan(result, folders[name])
    return folders


@every_case
def test_the_report_is_silent_and_asks_for_nothing(
    case: str, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs[case]) as opened:
        page = opened.page
        for control in page.locator("button:visible").all():
            control.click()
        page.locator("summary:visible").first.click()
        page.evaluate(OPEN_ALL)
        assert opened.said == []
        assert opened.asked == [(runs[case] / "report.html").as_uri()]
        assert page.evaluate("window.pwned") is None


@every_case
def test_every_number_on_the_page_equals_result_json(
    case: str, browser: Any, runs: dict[str, Path]
) -> None:
    result = json.loads((runs[case] / "result.json").read_text(encoding="utf-8"))
    with Opened(browser, runs[case]) as opened:
        shown = opened.page.eval_on_selector_all(
            "[data-pointer]",
            "all => all.map(e => [e.dataset.pointer, e.dataset.form, e.dataset.value, "
            "e.textContent.replace(/\\s+/g, ' ').trim()])",
        )
    assert len(shown) > 50
    assert {form for _, form, _, _ in shown} <= {"number", "percent", "share", "exact"}
    for pointer, form, value, text in shown:
        stored = probe._at(result, pointer)
        numbers = re.findall(r"\d[\d,]*(?:\.\d+)?", text)
        if form in ("number", "percent"):
            assert float(value) == stored, pointer
            expected = [stored]
        elif stored["value"] is None:
            assert (value, text) == ("", "not defined"), pointer
            continue
        else:
            assert value == repr(stored["value"]), pointer
            # Inside an interval a comma parts two numbers; thousands are only in counts.
            numbers = [n for number in numbers for n in number.split(",") if n]
            ends = [] if form == "exact" else [stored["low"], stored["high"]]
            expected = [n for n in [stored["value"], *ends] if n is not None]
            if form == "exact":
                assert stored["low"] == stored["value"] == stored["high"], pointer
        assert len(numbers) == len(expected), (pointer, text)
        for number, true in zip(numbers, expected, strict=True):
            scale = 1 if form == "number" else 100
            assert probe._agrees(number, scale * true), (pointer, text, true)


@every_case
def test_no_width_scrolls_sideways(case: str, browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs[case]) as opened:
        page = opened.page
        for folded in (True, False):
            if not folded:
                page.evaluate(OPEN_ALL)
            for width in (320, 360, 640, 800, 1100, 1280):
                page.set_viewport_size({"width": width, "height": 740})
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (width, folded)


@pytest.mark.parametrize("width", [360, 1280])
def test_no_cell_runs_over_its_edge(width: int, browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["sample"], viewport={"width": width, "height": 740}) as opened:
        over = opened.page.evaluate(
            """() => [...document.querySelectorAll("th, td")]
                .filter(e => e.scrollWidth > e.clientWidth + 1 && !e.matches(".plot"))
                .map(e => e.textContent)"""
        )
        assert over == []
        wide = opened.page.evaluate(
            """() => [...document.querySelectorAll("main table")]
                .filter(e => e.checkVisibility() && !e.closest(".scroll"))
                .filter(e => e.getBoundingClientRect().right
                    > e.closest("main").getBoundingClientRect().right + 1)
                .map(e => e.caption.textContent)"""
        )
        assert wide == []


def test_bars_and_marks_stand_where_the_numbers_say(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["sample"]) as opened:
        places = opened.page.evaluate(
            """() => [...document.querySelectorAll(".survival tbody tr, .levels tbody tr")]
                .filter(row => row.checkVisibility()).map(row => {
                const axis = row.querySelector("line.axis").getBoundingClientRect();
                const bar = row.querySelector("svg.left rect, circle.mark").getBoundingClientRect();
                const isBar = row.closest("table").matches(".survival");
                const end = isBar ? bar.right : bar.left + bar.width / 2;
                const shown = row.querySelectorAll("[data-form=share]");
                return [(end - axis.left) / axis.width,
                        Number(shown[shown.length - 1].dataset.value)];
            })"""
        )
    assert len(places) == 7 + 26 + 2
    for place, value in places:
        assert place == pytest.approx(value, abs=0.012)


def test_the_figure_ends_at_the_estimate_and_holds_its_band(
    browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["sample"]) as opened:
        box, mark, interval, band = opened.page.evaluate(
            """() => ["svg.curve", "svg.curve > circle.mark", "svg.curve > line.interval",
                "svg.curve polygon.band"].map(s => {
                const b = document.querySelector(s).getBoundingClientRect();
                return [b.left, b.top, b.right, b.bottom];
            })"""
        )
        labels = opened.page.locator("svg.rows-read text").all_text_contents()
    assert (mark[0] + mark[2]) / 2 == pytest.approx(box[2], abs=1)
    middle = (interval[1] + interval[3]) / 2
    assert (mark[1] + mark[3]) / 2 == pytest.approx(middle, abs=1.5)
    assert box[1] <= band[1] < interval[1]  # it was wider before
    assert interval[3] < band[3] <= box[3]
    assert band[2] == pytest.approx(box[2], abs=1)
    assert labels == ["1,000", "10,000"] or len(labels) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_themes_follow_the_system_and_the_button(
    scheme: str, browser: Any, runs: dict[str, Path]
) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    sticky = "getComputedStyle(document.querySelector('.levels tbody th')).backgroundColor"
    colors = {"light": "rgb(253, 252, 249)", "dark": "rgb(21, 23, 26)"}
    other = {"light": "dark", "dark": "light"}[scheme]
    with Opened(browser, runs["sample"], color_scheme=scheme) as opened:
        page = opened.page
        assert page.evaluate(paper) == page.evaluate(sticky) == colors[scheme]
        page.locator("#theme").click()
        assert page.evaluate(paper) == page.evaluate(sticky) == colors[other]


def test_a_sample_is_seen_without_scrolling(browser: Any, runs: dict[str, Path]) -> None:
    for width, height in ((360, 740), (1280, 800)):
        with Opened(browser, runs["sample"], viewport={"width": width, "height": height}) as opened:
            banner = opened.page.get_by_role("note").filter(has_text="A sample: 0.15")
            assert banner.bounding_box()["y"] + banner.bounding_box()["height"] < height


def test_a_level_stays_in_view_while_its_numbers_scroll(
    browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["sample"], viewport={"width": 360, "height": 740}) as opened:
        region = opened.page.locator("#groups .scroll").first
        region.evaluate("e => { e.scrollLeft = 200; }")
        assert region.evaluate("e => e.scrollLeft") == 200
        level = region.locator("tbody th").first
        assert level.bounding_box()["x"] >= 0


def test_without_scripts_nothing_is_lost(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["sample"], java_script_enabled=False) as opened:
        assert opened.page.locator("#theme, #copy").locator("visible=true").count() == 0
        assert opened.page.locator("svg.curve").is_visible()
        opened.page.get_by_text("35 more levels").click()
        assert opened.page.get_by_role("rowheader", name="l59").is_visible()


def test_the_command_can_be_copied_and_the_config_has_its_lines(
    browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["sample"]) as opened:
        opened.page.locator("#copy").click()
        opened.page.locator("#copied", has_text="Copied.").wait_for(timeout=3000)
        assert opened.page.locator("#command").text_content() == CASES["sample"].command
        config = opened.page.locator("pre.config").text_content()
    assert json.loads(config) == CASES["sample"].config
    assert config.count("\n") == 4


@every_case
def test_headings_and_landmarks_read_in_order(
    case: str, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs[case]) as opened:
        page = opened.page
        levels = page.eval_on_selector_all(
            "h1, h2, h3, h4, h5, h6", "all => all.map(e => Number(e.tagName[1]))"
        )
        assert levels.count(1) == 1 == levels[0]
        assert all(b - a <= 1 for a, b in pairwise(levels))
        for role in ("banner", "navigation", "main", "contentinfo"):
            assert page.get_by_role(role).count() == 1
        for picture in page.get_by_role("img").all():
            assert picture.get_attribute("aria-label")


@pytest.mark.parametrize("width", [360, 1280])
def test_stacked_tables_are_still_tables_to_a_screen_reader(
    width: int, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["sample"], viewport={"width": width, "height": 740}) as opened:
        table = opened.page.get_by_role("table", name=re.compile("steps of A recipe made up"))
        assert table.get_by_role("columnheader", name="Removed here").count() == 1
        header = opened.page.get_by_role("rowheader", name="What english decides")
        row = table.get_by_role("row").filter(has=header)
        assert row.get_by_role("cell").count() == 4


def test_the_keyboard_reaches_every_control_and_the_focus_is_seen(
    browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["sample"]) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = probe.tabbed(page)
        assert {"theme", "copy", "command", "scroll"} <= {name for name, _ in reached}
        assert all(outline == "solid" for name, outline in reached if name != "BODY")


def test_printing_opens_what_is_folded_and_uses_paper(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["sample"], color_scheme="dark") as opened:
        page = opened.page
        page.emulate_media(media="print", color_scheme="dark")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        assert page.locator("button:visible").count() == 0
