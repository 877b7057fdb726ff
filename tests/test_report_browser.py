"""The report in a real Chromium: silent, offline, readable, and equal to ``result.json``."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_result import Status, fake_result

from laion_probe.render import render_run

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CASES: dict[str, dict[str, Any]] = {
    "found": {},
    "hostile": {"hostile": True},
    "thirty steps": {"n_steps": 30},
    "no steps, nothing generated": {"n_steps": 0, "generated": False},
    "no match": {"status": "no match"},
    "no pictures": {"status": "no pictures"},
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def _chromium() -> str | None:
    named = os.environ.get("LAION_PROBE_CHROMIUM")
    known = ("chromium", "chromium-browser", "google-chrome")
    return named or next((path for name in known if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=_chromium(), args=FLAGS)
        except sync_api.Error as error:
            pytest.skip(f"no Chromium could be started: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("reports")
    folders = {}
    for i, (name, how) in enumerate(CASES.items()):
        status: Status = how.get("status", "found")
        folders[name] = root / str(i)
        render_run(
            fake_result(status, **{k: v for k, v in how.items() if k != "status"}), folders[name]
        )
    return folders


class Opened:
    """One report in one page, with everything that it said and asked for."""

    def __init__(self, browser: Any, folder: Path, **context: Any) -> None:
        self.folder = folder
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **context}
        )
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto((folder / "report.html").as_uri())

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize("case", CASES)
def test_the_report_is_silent_and_asks_for_nothing(
    case: str, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs[case]) as opened:
        page = opened.page
        for control in page.locator("button:visible").all():
            control.click()
        page.locator("summary:visible").first.click()
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        assert opened.said == []
        asked = [url for url in opened.asked if not url.startswith("data:")]
        assert asked == [(runs[case] / "report.html").as_uri()]
        assert page.evaluate("window.pwned") is None


def _at(result: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        result = result[int(key)] if isinstance(result, list) else result[key]
    return result


def _agrees(shown: str, value: float) -> bool:
    """Whether a number as printed is ``value`` rounded to the decimals that are printed."""
    plain = shown.replace(",", "").replace("−", "-").replace("+", "")
    decimals = len(plain.partition(".")[2])
    return abs(float(plain) - value) <= 0.5 * 10**-decimals + 1e-9


@pytest.mark.parametrize("case", CASES)
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
    for pointer, form, value, text in shown:
        stored = _at(result, pointer)
        numbers = re.findall(r"[−+]?\d[\d,]*(?:\.\d+)?", text)
        scale = 1 if form in ("number", "ratio") else 100
        if form in ("number", "percent"):
            assert float(value) == stored, pointer
            expected = [stored]
        elif form.endswith("range"):
            expected = [stored["low"], stored["high"]]
        else:
            assert value == ("" if stored["value"] is None else repr(stored["value"])), pointer
            expected = [stored["value"], stored["low"], stored["high"]]
        # Inside an interval a comma parts two numbers; thousands are only in counts.
        if form != "number":
            numbers = [n for number in numbers for n in number.split(",") if n]
        if not form.endswith("range") and expected[0] is None:
            assert text == "not defined", pointer
            continue
        expected = [number for number in expected if number is not None]
        assert len(numbers) == len(expected), (pointer, text)
        for number, true in zip(numbers, expected, strict=True):
            assert _agrees(number, scale * true), (pointer, text, true)


def test_the_page_shows_every_headline_estimate(browser: Any, runs: dict[str, Path]) -> None:
    result = json.loads((runs["found"] / "result.json").read_text(encoding="utf-8"))
    expected = {
        f"/stages/{i}/compositions/{attribute}/{part}"
        for i, stage in enumerate(result["stages"])
        for attribute in stage["compositions"]
        for part in ("contrast", "bounds", "with_known_errors")
    } | {
        f"/shifts/{i}/{part}"
        for i in range(len(result["shifts"]))
        for part in ("difference", "ratio")
    }
    with Opened(browser, runs["found"]) as opened:
        shown = set(
            opened.page.eval_on_selector_all(
                "[data-pointer]", "all => all.map(e => e.dataset.pointer)"
            )
        )
    assert expected <= shown


@pytest.mark.parametrize("case", CASES)
def test_no_width_scrolls_sideways(case: str, browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs[case]) as opened:
        page = opened.page
        for folded in (True, False):
            page.evaluate(
                "open => document.querySelectorAll('details').forEach(d => { d.open = open; })",
                not folded,
            )
            for width in (320, 360, 640, 800, 1100, 1280):
                page.set_viewport_size({"width": width, "height": 740})
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (width, folded)


def test_marks_stand_where_the_numbers_say(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["found"]) as opened:
        places = opened.page.evaluate(
            """() => [...document.querySelectorAll("#chain table.chain tbody tr")].map(row => {
                const mark = row.querySelector("svg.row circle.mark");
                if (!mark) return null;
                const axis = row.querySelector("line.axis").getBoundingClientRect();
                const box = mark.getBoundingClientRect();
                return [(box.left + box.width / 2 - axis.left) / axis.width,
                        Number(row.querySelector("[data-form=share]").dataset.value)];
            }).filter(Boolean)"""
        )
    assert len(places) > 8
    for place, value in places:
        assert place == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_themes_follow_the_system_and_the_button(
    scheme: str, browser: Any, runs: dict[str, Path]
) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    colors = {"light": "rgb(253, 252, 249)", "dark": "rgb(21, 23, 26)"}
    other = {"light": "dark", "dark": "light"}[scheme]
    with Opened(browser, runs["found"], color_scheme=scheme) as opened:
        page = opened.page
        assert page.evaluate(paper) == colors[scheme]
        button = page.locator("#theme")
        assert button.text_content() == f"{other.capitalize()} theme"
        button.click()
        assert page.evaluate(paper) == colors[other]
        button.press("Enter")
        assert page.evaluate(paper) == colors[scheme]


@pytest.mark.parametrize("how", ["mouse", "Enter", "Space"])
def test_a_flagged_picture_is_blurred_until_asked_for(
    how: str, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["found"]) as opened:
        veil = opened.page.locator("button.veil").first
        picture = opened.page.locator(".shot:has(button.veil) img").first

        def blur() -> str:
            return str(picture.evaluate("e => getComputedStyle(e).filter"))

        def ask() -> None:
            if how == "mouse":
                veil.click()
            else:
                veil.focus()
                opened.page.keyboard.press(how)

        assert "blur" in blur()
        assert veil.get_attribute("aria-pressed") == "false"
        ask()
        assert blur() == "none"
        assert veil.get_attribute("aria-pressed") == "true"
        ask()
        assert "blur" in blur()


def test_without_scripts_nothing_is_lost_and_flagged_pictures_stay_blurred(
    browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["found"], java_script_enabled=False) as opened:
        veiled = opened.page.locator(".veiled img")
        assert veiled.count() > 0
        assert opened.page.locator("#theme, #copy").locator("visible=true").count() == 0
        assert opened.page.locator(".sentence").first.is_visible()


def test_the_command_can_be_copied_from_a_page_on_disk(browser: Any, runs: dict[str, Path]) -> None:
    result = json.loads((runs["hostile"] / "result.json").read_text(encoding="utf-8"))
    with Opened(browser, runs["hostile"]) as opened:
        opened.page.locator("#copy").click()
        opened.page.locator("#copied", has_text="Copied.").wait_for(timeout=3000)
        shown = opened.page.locator("#command").text_content()
    assert result["provenance"]["command"].partition("<")[0] in shown


def test_headings_landmarks_and_pictures_read_in_order(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["found"]) as opened:
        page = opened.page
        levels = page.eval_on_selector_all(
            "h1, h2, h3, h4, h5, h6", "all => all.map(e => Number(e.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))
        for role in ("banner", "navigation", "main", "contentinfo"):
            assert page.get_by_role(role).count() == 1
        pictures = page.locator("img")
        assert pictures.count() > 20
        assert all(picture.get_attribute("alt") for picture in pictures.all())
        assert all(picture.evaluate("e => e.naturalWidth") > 0 for picture in pictures.all())


@pytest.mark.parametrize("width", [360, 1280])
def test_stacked_tables_are_still_tables_to_a_screen_reader(
    width: int, browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["found"], viewport={"width": width, "height": 740}) as opened:
        table = opened.page.get_by_role("table", name=re.compile("Pictures read as woman"))
        assert table.get_by_role("columnheader", name="Stage").count() == 1
        row = table.get_by_role("row").filter(has=opened.page.get_by_role("rowheader", name="Pool"))
        assert row.get_by_role("cell").count() == 4


def tabbed(page: Any) -> list[list[str]]:
    """What has the focus as Tab goes through the page: its name, and the style of its outline."""
    n = page.locator("a[href]:visible, button:visible, summary:visible, [tabindex='0']").count()
    reached = []
    for _ in range(n + 5):
        reached.append(
            page.evaluate(
                "(() => { const e = document.activeElement; return [e.id || e.className || "
                "e.tagName, getComputedStyle(e).outlineStyle]; })()"
            )
        )
        page.keyboard.press("Tab")
    return reached


def test_the_keyboard_reaches_every_control_and_the_focus_is_seen(
    browser: Any, runs: dict[str, Path]
) -> None:
    with Opened(browser, runs["found"]) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = tabbed(page)
        names = [name for name, _ in reached]
        assert {"theme", "copy", "veil", "command", "scroll"} <= set(names)
        assert all(outline == "solid" for name, outline in reached if name != "BODY")


def test_printing_opens_what_is_folded_and_uses_paper(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["found"], color_scheme="dark") as opened:
        page = opened.page
        page.emulate_media(media="print", color_scheme="dark")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        assert page.locator("button:visible").count() == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 0
