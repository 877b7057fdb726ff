"""The explorer in a real Chromium: silent, offline, by mouse and keyboard, true to its JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import test_report_browser as probe
from fake_result import HOSTILE
from test_explore import CASES, at, every_case, place, results
from test_filters_browser import FAINT, OPEN_ALL

from laion_probe.explore_result import ExploreResult
from laion_probe.render.explore_report import render_explore

pytestmark = pytest.mark.browser
browser = probe.browser
__all__ = ["place", "results"]  # fixtures of the other file

TIED = """() => [...document.querySelectorAll("[data-pointer]")].filter(e => e.checkVisibility())
    .map(e => [e.dataset.pointer, e.dataset.form, e.dataset.value, e.textContent])"""


class Opened(probe.Opened):
    """The explorer of a run, beside which its report is."""

    def __init__(self, browser: Any, folder: Path, **context: Any) -> None:
        super().__init__(browser, folder, **context)
        self.asked.clear()
        self.page.goto((folder / "explorer.html").as_uri())


@pytest.fixture(scope="module")
def runs(
    results: dict[str, ExploreResult], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("explorer")
    for name in CASES:
        render_explore(results[name], root / name)
    return {name: root / name for name in CASES}


@every_case
def test_both_pages_are_silent_ask_for_nothing_and_fit(
    case: str, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs[case]) as opened:
        page = opened.page
        page.locator("#left .grid button").first.click()
        for width in (320, 400, 800, 1280):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        asked = [u for u in opened.asked if not u.startswith("data:")]
        assert asked == [(runs[case] / "explorer.html").as_uri()]
        page.goto((runs[case] / "report.html").as_uri())
        page.evaluate(OPEN_ALL)
        for width in (320, 400, 1280):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.said == []
        assert page.evaluate("window.pwned") is None


@every_case
def test_every_number_equals_result_json(case: str, browser: Any, runs: dict[str, Path]) -> None:
    stored = json.loads((runs[case] / "result.json").read_text(encoding="utf-8"))
    with Opened(browser, runs[case]) as opened:
        opened.page.locator("#right .grid button").last.click()
        shown = opened.page.evaluate(TIED)
    assert len(shown) > 10
    for pointer, form, value, text in shown:
        found = at(stored, pointer)
        if form == "number":
            assert float(value) == found
            assert probe._agrees(text, found), (pointer, text)
            continue
        assert value == ("" if found["value"] is None else repr(found["value"]))
        scale = 1 if form == "ratio" else 100
        numbers = re.findall(r"[−+]?\d+(?:\.\d+)?", text)
        expected = [x for x in (found["value"], found["low"], found["high"]) if x is not None]
        assert len(numbers) == len(expected), (pointer, text)
        for number, true in zip(numbers, expected, strict=True):
            assert probe._agrees(number, scale * true), (pointer, text, true)


def test_two_concepts_and_two_sets_are_put_side_by_side(
    browser: Any, runs: dict[str, Path]
) -> None:
    result = ExploreResult.from_json((runs["two"] / "result.json").read_text(encoding="utf-8"))
    with Opened(browser, runs["two"]) as opened:
        page = opened.page
        assert "Distance" in page.locator("#between").inner_text()
        page.get_by_label("Concept").nth(1).select_option(label="(empty prompt)")
        assert page.locator("#between").inner_text() == ""
        n = sum(1 for p in result.pictures if (p.set, p.group) == (1, 2))
        assert page.locator("#right .grid img").count() == n
        assert page.locator("#right .average").get_attribute("alt") == (
            "Average picture of (empty prompt) in outputs (simulated)"
        )
        # the data have no such concept: the side goes to one that it has
        page.get_by_label("Set").nth(1).select_option(label="data")
        assert page.get_by_label("Concept").nth(1).input_value() == "0"
        facts = page.locator("#right dl").inner_text()
        assert "domains" in facts
        assert "Colourfulness" in facts


def test_a_picture_leads_to_its_nearest_and_they_lead_on(
    browser: Any, runs: dict[str, Path]
) -> None:
    result = ExploreResult.from_json((runs["two"] / "result.json").read_text(encoding="utf-8"))
    with Opened(browser, runs["two"]) as opened:
        page = opened.page
        assert page.locator("#near").is_hidden()
        first = page.locator("#left .grid button").first
        number = int(first.get_attribute("data-picture"))
        first.click()
        for s, rows in enumerate(result.pictures[number].nearest):
            there = page.locator("#near .near").nth(s).locator("button")
            shown = [int(b.get_attribute("data-picture")) for b in there.all()]
            assert shown == [n.picture for n in rows]
        assert page.evaluate("document.activeElement.id") == "h-near"
        assert first.get_attribute("aria-pressed") == "true"
        next_one = page.locator("#near .near").nth(1).locator("button").first
        picture = result.pictures[int(next_one.get_attribute("data-picture"))]
        next_one.click()
        about = page.locator("#near .asked").inner_text()
        assert result.groups[picture.group] in about
        assert f"cluster {picture.cluster}" in about


def test_it_is_used_by_keyboard_alone(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["two"]) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = []
        for _ in range(8):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id"))
            if page.evaluate("document.activeElement.className") == "pick":
                break
        assert {"theme", "left-set", "left-group"} <= set(reached)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Enter")
        assert page.locator("#near").is_visible()
        page.locator("#back").focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.className") == "pick"


def test_every_picture_says_what_it_is(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["hostile"]) as opened:
        page = opened.page
        page.locator("#left .grid button").first.click()
        alts = page.eval_on_selector_all("img:not([hidden])", "all => all.map(i => i.alt)")
        assert alts
        assert all(
            re.match("(Picture|Average picture) of .+ in .+", alt, re.DOTALL) for alt in alts
        )
        options = page.locator("#left-group option").all_inner_texts()
        assert any(HOSTILE[0][:30] in words for words in options)
        assert page.locator("script").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_in_both_themes(
    scheme: str, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["two"], color_scheme=scheme) as opened:
        opened.page.locator("#left .grid button").first.click()
        assert opened.page.evaluate(FAINT) == []
        opened.page.locator("#theme").click()
        assert opened.page.evaluate(FAINT) == []
        opened.page.goto((runs["two"] / "report.html").as_uri())
        opened.page.evaluate(OPEN_ALL)
        assert opened.page.evaluate(FAINT) == []


def test_without_scripts_the_reader_is_sent_to_the_report(
    browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["two"], java_script_enabled=False) as opened:
        assert opened.page.get_by_text("This page needs its script").is_visible()
        assert opened.page.locator("select").locator("visible=true").count() == 0
        opened.page.get_by_role("link", name="report").first.click()
        assert opened.page.url.endswith("report.html")
