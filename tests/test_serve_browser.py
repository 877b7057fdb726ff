"""The search page in a real Chromium, and clip-retrieval's own front end against our server."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import test_report_browser as probe
from fake_serving import (
    FACE,
    HOSTILE,
    SCENE,
    N,
    collection,
    metadata,
    served_here,
    vectors,
    write_folder,
)
from servers import HttpServer, serving
from test_filters_browser import FAINT
from test_serve_client import CLIENT

pytestmark = pytest.mark.browser
browser = probe.browser
sync_api = probe.sync_api

FRONT = CLIENT.parent.parent / "lib"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("embeddings"))


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with served_here([collection(folder, "it's"), collection(folder, "no", encoder=None)]) as url:
        yield url


class Visit:
    """A browser at the page, with all that it said and asked for."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **context}
        )
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def search(self, words: str) -> None:
        self.page.locator("#text").fill(words)
        self.page.keyboard.press("Enter")
        self.says("60 rows")

    def says(self, text: str) -> None:
        sync_api.expect(self.page.locator("#status")).to_contain_text(text)

    def put(self, selector: str, text: str) -> None:
        self.page.locator(selector).fill(text)


def test_hostile_rows_are_shown_as_text_and_nothing_else_is_asked(browser: Any, url: str) -> None:
    with Visit(browser, url) as visit:
        visit.search("a cat")
        page = visit.page
        rows = page.locator("#rows > li")
        assert rows.count() == N
        captions = page.locator(".caption").evaluate_all("all => all.map(e => e.textContent)")
        assert set(captions) >= set(HOSTILE)
        assert page.locator("#rows script, #rows img, #rows svg, #rows a").count() == 0
        assert visit.said == []
        assert all(asked.startswith(url) for asked in visit.asked)
        assert "exact search. Nothing was re-ranked" in page.locator("#applied").inner_text()
        assert page.evaluate("document.activeElement.id") == "found-title"


def test_filters_are_of_the_rows_that_were_found(browser: Any, url: str) -> None:
    with Visit(browser, url) as visit:
        visit.search("a cat")
        visit.page.locator("#filters summary").click()
        rows = metadata().with_columns(pl.col("caption").fill_null(""))
        for words in ("picture 1", "PICTURE 9", "nowhere"):
            visit.put("#words", words)
            n = sum(all(w in c for w in words.lower().split()) for c in rows["caption"])
            visit.says(f"{n} of 60 rows pass")
        visit.put("#words", "")
        safe = rows.filter(pl.col("punsafe").is_not_nan() & (pl.col("punsafe") <= 0.1))
        visit.put("#unsafe", "0.1")
        visit.says(f"{safe.height} of 60 rows pass")
        visit.page.locator("#language").select_option("fr")
        visit.says(f"{safe.filter(LANGUAGE='fr').height} of 60 rows pass")
        visit.put("#least", "1")
        visit.says("0 of 60 rows pass")


def test_pictures_and_embeddings_are_searched_by_too(
    browser: Any, url: str, tmp_path: Path
) -> None:
    with Visit(browser, url) as visit:
        page = visit.page
        page.get_by_label("Picture", exact=True).check()
        for name, data, said in (("a.png", SCENE, "60 rows"), ("b.png", FACE, "docs/ethics.md")):
            (tmp_path / name).write_bytes(data)
            page.locator("#file").set_input_files(tmp_path / name)
            page.locator("#go").click()
            visit.says(said)
        page.get_by_label("Embedding", exact=True).check()
        for text, said in (
            ("not JSON", "is not JSON"),
            ('{"a": 1}', "not a list of numbers"),
            ("[1, 2]", "needs 8"),
            (json.dumps(vectors()[4].tolist()), "60 rows"),
        ):
            visit.put("#embedding", text)
            page.locator("#go").click()
            visit.says(said)
        assert page.locator(".similarity").first.inner_text().startswith("1.0000 · row 4")
        page.locator("#probe summary").click()
        assert "words" in page.locator("#probe-text").inner_text()
        assert not page.locator("#command").is_visible()


@pytest.mark.parametrize("words", ["a cat", *HOSTILE, "-x --help", "two\nlines\\'"])
def test_the_command_that_is_offered_holds_the_words_and_no_more(
    browser: Any, url: str, folder: Path, words: str
) -> None:
    with Visit(browser, url) as visit:
        visit.search(words)
        visit.page.locator("#probe summary").click()
        command = visit.page.locator("#command").inner_text()
    assert "\n" not in command
    program, verb, where, concept, flag, model = shlex.split(command)
    assert (program, verb, where, flag, model) == (
        "laion-probe", "neighbours", str(folder), "--model", "MODEL",
    )  # fmt: skip
    line = "".join(c if c.isprintable() or c == "\u202e" else " " for c in words.strip())
    assert concept.split() == f"--concept={line}".split()


def test_a_collection_without_its_model_offers_embeddings_alone(browser: Any, url: str) -> None:
    with Visit(browser, url) as visit:
        visit.page.locator("#collection").select_option("no")
        assert visit.page.get_by_label("Text", exact=True).is_disabled()
        assert visit.page.locator("#embedding").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_is_readable_and_fits(browser: Any, url: str, theme: str, width: int) -> None:
    with Visit(browser, url, color_scheme=theme, viewport={"width": width, "height": 740}) as visit:
        visit.search("a cat")
        for name in ("filters", "probe"):
            visit.page.locator(f"#{name} summary").click()
        assert visit.page.evaluate(FAINT) == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        names = visit.page.locator("input:visible, select:visible, textarea:visible")
        assert names.evaluate_all("all => all.filter(e => !e.labels.length).length") == 0


def test_thumbnails_come_when_asked_for_without_a_referrer_and_blurred(
    browser: Any, folder: Path
) -> None:
    referrers: list[str | None] = []

    def picture(route: Any, request: Any) -> None:
        referrers.append(request.headers.get("referer"))
        route.fulfill(body=SCENE, content_type="image/png")

    with served_here([collection(folder)], thumbnails=True) as url, Visit(browser, url) as visit:
        visit.context.route("https://pictures.example/**", picture)
        visit.search("a cat")
        page = visit.page
        page.locator("#rows > li").nth(8).scroll_into_view_if_needed()
        page.wait_for_function("[...document.images].filter(i => i.naturalWidth).length > 5")
        assert set(referrers) == {None}
        assert page.locator(".picture").count() == N - 1  # one row has no address
        blurred = page.locator(".picture.blurred").count()
        page.locator("#blurring summary").click()
        page.locator("#blur-unknown").uncheck()
        assert page.locator(".picture.blurred").count() < blurred
        page.locator(".picture.blurred button").first.click()
        page.locator("#blur").fill("0")
        assert page.locator(".picture:not(.blurred)").count() == 11  # those unknown


@pytest.fixture
def front() -> Iterator[HttpServer]:
    built = next(FRONT.glob("python3*/site-packages/front/build"), None)
    if built is None:
        pytest.skip("no .venv-client: make .venv-client/.ready, which holds clip-retrieval's front")
    with serving(built) as server:
        yield server


def test_clip_retrievals_front_end_works_against_it(
    browser: Any, folder: Path, front: HttpServer
) -> None:
    with (
        served_here([collection(folder, "demo")], allow_origin=(front.url,)) as url,
        served_here([collection(folder, "demo")]) as closed,
    ):
        page_of = f"{front.url}/index.html?index=demo&back="
        with Visit(browser, page_of + url.rstrip("/")) as visit:
            page = visit.page
            visit.context.route("https://pictures.example/**", lambda route: route.abort())
            options = page.locator("select").first.locator("option")
            sync_api.expect(options).to_have_text(["demo"])
            page.locator("#searchBar").fill("a cat")
            with page.expect_response("**/knn-service") as answer:
                page.locator("#textSearch").click()
            sent = json.loads(answer.value.request.post_data)
            rows = answer.value.json()
            assert sent["num_result_ids"] == 3000
            assert len(rows) > 15
            applied = answer.value.headers["x-applied"]  # it asks for what is safe by itself
            assert "safety;applied=?1;left-out=" in applied
            assert "deduplicate;applied=?1;" in applied
            assert "aesthetic" not in applied
            page.locator("figcaption").first.wait_for(state="attached")
            shown = page.locator("figcaption").all_inner_texts()
            assert any(text.strip().startswith("picture") for text in shown)
            with page.expect_response("**/knn-service") as answer:
                page.locator("#filechooser").set_input_files(
                    {"name": "a.png", "mimeType": "image/png", "buffer": SCENE}
                )
            assert base64.b64decode(json.loads(answer.value.request.post_data)["image"]) == SCENE
            assert len(answer.value.json()) > 15
            assert np.all(np.diff([row["similarity"] for row in answer.value.json()]) <= 0)
        # Where its address was not named, it gets nothing.
        with Visit(browser, page_of + closed.rstrip("/")) as visit:
            visit.page.wait_for_timeout(300)
            assert any("CORS policy" in said for said in visit.said)
