"""The report, tables and curves of `neighbours` hold what the result holds, and nothing else."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fake_neighbours import FakeEmbedder, truth, vectors_of, write_folder
from fake_result import HOSTILE
from test_neighbours import FakeIndex, FakeRecall, rate
from test_render import Page, rows

from laion_probe.config import NeighboursConfig
from laion_probe.neighbours_result import NeighboursResult
from laion_probe.questions import neighbours_inputs, neighbours_search
from laion_probe.questions.neighbours import neighbours
from laion_probe.render.neighbours_report import neighbours_report_html, render_neighbours
from laion_probe.render.pointers import walk

SVG = "{http://www.w3.org/2000/svg}"
TABLES = [
    *("compositions", "concepts", "curves", "inputs", "recall", "shown", "similarity", "strata"),
]
CASES = ("rated", "index", "hostile", "many")
every_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, NeighboursResult]]:
    table = truth()
    root = tmp_path_factory.mktemp("reports")
    folder = write_folder(root / "emb", table, vectors_of(table))
    bare = write_folder(root / "=cmd() <b>x<i>", table, vectors_of(table), key=None)
    base: dict[str, Any] = {"concept": ("doctor", "nurse"), "embeddings": str(folder)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours_inputs, "load_embedder", lambda model, tag: FakeEmbedder())
        asked = NeighboursConfig(**base, sample=300)
        neighbours(asked, folder=root)
        sample = pl.read_parquet(root / "sample.parquet")
        path = rate(sample, "doctor", root / "r.parquet")
        index: Any = FakeIndex(folder, FakeRecall())
        patch.setattr(neighbours_search, "open_index", lambda path, embeddings: index)
        hostile = NeighboursConfig(
            **base | {"concept": (*HOSTILE[:3], "doctor"), "embeddings": str(bare)},
            data_note=HOSTILE[5],
            context=HOSTILE[2],
            harm=(f"erasing={HOSTILE[6]}",),
            sample=40,
        )
        many = tuple(f"concept {i}" for i in range(8))
        yield {
            "rated": neighbours(asked.model_copy(update={"ratings": (f"doctor={path}",)})),
            "index": neighbours(NeighboursConfig(**base, search="index", k=500)),
            "hostile": neighbours(hostile),
            "many": neighbours(NeighboursConfig(**base | {"concept": many}, threshold=0.05)),
        }


@pytest.fixture(scope="module")
def drawn(cases: dict[str, NeighboursResult]) -> dict[str, str]:
    return {name: neighbours_report_html(result) for name, result in cases.items()}


@every_case
def test_sections_tags_ids_and_headings_are_in_order(
    cases: dict[str, NeighboursResult], drawn: dict[str, str], case: str
) -> None:
    result, read = cases[case], Page(drawn[case])
    expected = ["finding", "concepts", *(f"concept-{i + 1}" for i in range(len(result.concepts)))]
    expected += ["recall"] if case == "index" else []
    expected += ["context", "method", "provenance"]
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
def test_every_pointer_leads_to_its_number(
    cases: dict[str, NeighboursResult], drawn: dict[str, str], case: str
) -> None:
    stored = json.loads(cases[case].to_json())
    shown = [a for _, a in Page(drawn[case]).tags if "data-pointer" in a]
    assert len(shown) > 20
    for a in shown:
        found = _at(stored, a["data-pointer"])
        if a["data-form"] in ("number", "percent"):
            assert float(a["data-value"]) == found, a
        else:
            expected = "" if found["value"] is None else repr(found["value"])
            assert a["data-value"] == expected, a


def test_what_raters_say_stands_beside_the_neighbourhood(
    cases: dict[str, NeighboursResult], drawn: dict[str, str]
) -> None:
    html = drawn["rated"]
    places = ("total", "share", "precision", "recall", "compositions/gender_presentation/contrast")
    for place in places:
        assert f'"/concepts/0/shown/{place}"' in html, place
        assert f'"/concepts/1/shown/{place}"' not in html
    assert '"/concepts/0/shown/compositions/gender_presentation/near_contrast"' in html
    assert html.count('"/concepts/0/compositions/gender_presentation/contrast"') >= 2
    words = Page(html).text
    assert "Rows that show it, wherever they lie" in words
    total = cases["rated"].concepts[0].shown
    assert total is not None
    assert total.total.value is not None
    said = f"300 of 300 pictures drawn from the whole set, an estimated {total.total.value:,.0f} of"
    assert said in words
    assert "of the drawn pictures were not rated" not in words


def test_a_full_count_has_no_brackets_and_labels_are_warned_of(drawn: dict[str, str]) -> None:
    page = Page(drawn["many"])
    notes = [a for a in page.of("p") if a.get("role") == "note"]
    assert len(notes) == 1
    assert "Uncorrected classifier labels. How often they are wrong is not known" in page.text
    share = re.search(
        r'data-pointer="/concepts/0/compositions/gender_presentation/contrast".*?</span></span>',
        drawn["many"],
        re.DOTALL,
    )
    assert share is None or 'class="ci"' not in share[0]
    assert "Perceived gender presentation and skin tone are not identity" in page.text
    assert drawn["many"].count("<details>") == 8
    assert "<details>" not in drawn["rated"]
    assert "Which model made the embeddings is not known for sure" in Page(drawn["hostile"]).text


def test_what_an_index_misses_is_on_the_page(drawn: dict[str, str]) -> None:
    words = Page(drawn["index"]).text
    assert "What the index misses" in words
    assert "Neighbours of group woman" in words
    assert "what the index misses allows" in words
    assert '"/concepts/0/missed/gender_presentation"' in drawn["index"]


def test_hostile_text_stays_text(
    cases: dict[str, NeighboursResult], drawn: dict[str, str], tmp_path: Path
) -> None:
    render_neighbours(cases["hostile"], tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    plain, attacked = Page(drawn["rated"]), Page(html)
    assert {tag for tag, _ in attacked.tags} <= {tag for tag, _ in plain.tags} | {"dl", "dt", "dd"}
    assert len(attacked.of("script")) == len(attacked.of("style")) == 1
    names = {name for _, attributes in attacked.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"style", "src", "srcset", "action", "data"}
    for words in HOSTILE[:3]:
        assert " ".join(words.split())[:40] in attacked.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", html)
    for path in (tmp_path / "figures").glob("*.svg"):
        assert re.fullmatch(r"\d{3}-[a-z0-9-]*-[a-z_]+\.svg", path.name)
        tags = {e.tag.removeprefix(SVG) for e in ET.parse(path).iter()}
        assert tags <= {
            *("svg", "title", "desc", "rect", "path", "circle", "text", "polygon", "polyline")
        }
    for name in TABLES:
        cells = [cell for row in rows(tmp_path, name) for cell in row.values()]
        assert not [c for c in cells if c.startswith(("=", "+", "@"))], name


@every_case
def test_two_renders_are_the_same_bytes_and_the_tables_hold_every_estimate(
    cases: dict[str, NeighboursResult], case: str, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        render_neighbours(cases[case], tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [f.stem for f in files if f.suffix == ".csv"] == TABLES
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    read = [
        r
        for name in ("compositions", "curves", "shown", "recall")
        for r in rows(tmp_path / "one", name)
    ]
    numbers = sorted([r["value"], r["low"], r["high"], r["n"]] for r in read)
    expected = sorted(
        ["" if x is None else repr(x) for x in (e.value, e.low, e.high, e.n)]
        for _, e in walk(cases[case])
    )
    assert numbers == expected


def test_the_curve_is_drawn_from_tight_to_loose(
    cases: dict[str, NeighboursResult], drawn: dict[str, str], tmp_path: Path
) -> None:
    render_neighbours(cases["rated"], tmp_path)
    doctor = cases["rated"].concepts[0]
    curve = doctor.curves["gender_presentation"]
    svg = (tmp_path / "figures/001-doctor-gender_presentation.svg").read_text(encoding="utf-8")
    assert "var(" not in svg
    assert "var(--data)" in drawn["rated"]
    root = ET.fromstring(svg)
    dots = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter(f"{SVG}circle")]
    with_share = [p for p in curve.points if p.share.value is not None]
    assert len(dots) == len(with_share)
    assert [x for x, _ in dots] == sorted(x for x, _ in dots)
    ticks = {(t.text or ""): float(t.attrib["y"]) for t in root.iter(f"{SVG}text")}
    height = ticks["0"] - ticks["100\u00a0%"]
    for (_, y), p in zip(dots, with_share, strict=True):
        assert p.share.value is not None
        assert ticks["0"] - 4 - y == pytest.approx(height * p.share.value, abs=0.2)
    assert [t.text for t in root.iter(f"{SVG}text")].count("threshold") == 1
