"""A filters report in a real Chromium: silent, offline, readable, and equal to ``result.json``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import test_report_browser as probe
from fake_filters import CASES

from laion_probe.render import render_filters

pytestmark = pytest.mark.browser
browser = probe.browser
Opened = probe.Opened
every_case = pytest.mark.parametrize("case", CASES)

OPEN_ALL = "for (const d of document.querySelectorAll('details')) d.open = true"

#: Texts whose colour stands out less from what is behind them than WCAG 2.2 asks for (4.5 to 1).
FAINT = """() => {
    const parts = c => c.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = parts(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c;
        }
        return [255, 255, 255];
    };
    const faint = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || e.closest("svg, script") || !e.checkVisibility())
            continue;
        const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
        if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5)
            faint.push(e.textContent);
    }
    return faint;
}"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("filters")
    folders = {name: root / str(i) for i, name in enumerate(CASES)}
    for name, result in CASES.items():
        render_filters(result, folders[name])
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
        asked = [url for url in opened.asked if not url.startswith("data:image/svg+xml")]
        assert asked == [(runs[case] / "report.html").as_uri()]
        assert page.evaluate("window.pwned") is None
        drawn = page.eval_on_selector_all(
            "img", "all => all.map(e => e.complete && e.naturalWidth > 300 && e.alt !== '')"
        )
        assert drawn == [True for recipe in CASES[case].recipes if recipe.steps]


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
    assert {form for _, form, _, _ in shown} <= {
        "number",
        "percent",
        "share",
        "points",
        "ratio",
        "exact",
    }
    for pointer, form, value, text in shown:
        stored = probe._at(result, pointer)
        ratio = pointer.endswith("ratio")
        numbers = re.findall(r"[−+]?\d[\d,]*(?:\.\d+)?", text)
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
        assert len(numbers) == len(expected), (pointer, text)
        for number, true in zip(numbers, expected, strict=True):
            scale = 1 if form == "number" or ratio else 100
            assert probe._agrees(number, scale * true), (pointer, text, true)


@every_case
def test_no_width_scrolls_sideways(case: str, browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs[case]) as opened:
        page = opened.page
        for folded in (True, False):
            if not folded:
                page.evaluate(OPEN_ALL)
            for width in (320, 360, 800, 1280):
                page.set_viewport_size({"width": width, "height": 740})
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (width, folded)


@pytest.mark.parametrize("width", [360, 1280])
def test_no_cell_runs_over_its_edge(width: int, browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["sample"], viewport={"width": width, "height": 740}) as opened:
        opened.page.evaluate(OPEN_ALL)
        over = opened.page.evaluate(
            """() => [...document.querySelectorAll("th, td")]
                .filter(e => e.scrollWidth > e.clientWidth + 1)
                .map(e => e.textContent)"""
        )
        assert over == []


def test_marks_stand_where_the_numbers_say(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["sample"]) as opened:
        places = opened.page.evaluate(
            """() => [...document.querySelectorAll(".levels td svg")]
                .filter(svg => svg.checkVisibility()).map(svg => {
                const axis = svg.querySelector("line.axis").getBoundingClientRect();
                const place = e => {
                    const box = e.getBoundingClientRect();
                    return (box.left + box.width / 2 - axis.left) / axis.width;
                };
                return [place(svg.querySelector("circle.mark")),
                        Number(svg.closest("td").querySelector("[data-form]").dataset.value),
                        place(svg.querySelector("line.parity"))];
            })"""
        )
    kept = [r.kept.value for r in CASES["sample"].recipes for _ in range(18)]
    assert len(places) == len(kept)
    for (mark, value, line), of_all in zip(places, kept, strict=True):
        assert mark == pytest.approx(value, abs=0.015)
        assert line == pytest.approx(of_all, abs=0.015)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_all_text_stands_out_in_both_themes(
    scheme: str, width: int, browser: Any, runs: dict[str, Path]
) -> None:
    viewport = {"width": width, "height": 740}
    with Opened(browser, runs["sample"], color_scheme=scheme, viewport=viewport) as opened:
        opened.page.evaluate(OPEN_ALL)
        assert opened.page.evaluate(FAINT) == []
        opened.page.locator("#theme").click()
        assert opened.page.evaluate(FAINT) == []


def test_without_scripts_nothing_is_lost(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["sample"], java_script_enabled=False) as opened:
        page = opened.page
        assert page.locator("#theme, #copy").locator("visible=true").count() == 0
        page.get_by_text("Which step does it").first.click()
        assert page.get_by_text("the replay removes").first.is_visible()


def test_the_contents_lead_to_every_recipe_and_group(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["sample"]) as opened:
        page = opened.page
        page.get_by_role("navigation").get_by_text("Recipe: laion400m").click()
        assert page.evaluate("location.hash") == "#recipe-2"
        page.locator("#recipe-2 > p a").filter(has_text="region").click()
        assert page.evaluate("location.hash") == "#recipe-2-group-2"
        assert page.locator("#recipe-2-group-2").bounding_box()["y"] < 100


@pytest.mark.parametrize("width", [360, 1280])
def test_stacked_tables_are_still_tables_to_a_screen_reader(
    width: int, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["sample"], viewport={"width": width, "height": 740}) as opened:
        table = opened.page.get_by_role("table", name=re.compile("each of the 13 steps"))
        assert table.get_by_role("columnheader", name="Removed alone").count() == 1
        header = opened.page.get_by_role("rowheader", name="Detector says English")
        row = table.get_by_role("row").filter(has=header)
        assert row.get_by_role("cell").count() == 5


def test_the_keyboard_reaches_every_control_and_the_focus_is_seen(
    browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["full"]) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = probe.tabbed(page)
        names = [name for name, _ in reached]
        assert {"theme", "copy", "command", "scroll", "SUMMARY"} <= set(names)
        assert names.count("SUMMARY") >= page.locator("summary:visible").count()
        assert all(outline == "solid" for name, outline in reached if name != "BODY")
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details").first.get_attribute("open") is not None


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
