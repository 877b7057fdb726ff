"""The report, tables and figures hold what the result holds, and nothing that data can inject."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from fake_result import HOSTILE, fake_result

from laion_probe.estimate import count_share
from laion_probe.probe_result import ProbeResult
from laion_probe.render import render_run, report_html
from laion_probe.render.geometry import axis_end, histogram, percent
from laion_probe.render.pointers import estimate_at, walk
from laion_probe.render.text import NBSP, clean, count, number, removal_words, show
from laion_probe.results import Estimate

SECTIONS = [
    "finding",
    "chain",
    "encoder",
    "steps",
    "neighbours",
    "average",
    "words",
    "context",
    "method",
    "provenance",
]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag that opens closes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).replace(NBSP, " ").split())

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(result: ProbeResult) -> Page:
    return Page(report_html(result))


def changed(result: ProbeResult, **fields: object) -> ProbeResult:
    return ProbeResult.model_validate({**result.model_dump(), **fields})


def estimate(value: float | None, low: float | None, high: float | None, n: int = 200) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=n, units=9, method="m")


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    render_run(fake_result(hostile=True), out)
    return out


# Numbers and words


@pytest.mark.parametrize(
    ("e", "form", "words"),
    [
        (estimate(0.362, 0.298, 0.425), "share", "36.2 % [29.8, 42.5]"),
        (estimate(0.362, 0.298, 0.425, n=40), "share", "36 % [30, 42]"),
        (estimate(0.0004, 0.0001, 0.0009), "share", "0.04 % [0.01, 0.09]"),
        (estimate(0.9998, 0.99, 1.0), "share", "99.98 % [99.00, 100.00]"),
        (estimate(0.0, 0.0, 0.018), "share", "0.0 % [0.0, 1.8]"),
        (estimate(-0.206, -0.276, -0.0001), "points", "−20.6 points [−27.6, 0.0]"),
        (estimate(0.071, 0.02, 0.122), "points", "+7.1 points [+2.0, +12.2]"),
        (estimate(0.79, 0.58, None), "ratio", "0.79 [0.58, not bounded]"),
        (estimate(0.5, None, None), "share", "50.0 % (no interval)"),
        (estimate(0.0, 0.0, 0.0), "points", "0.0 points [0.0, 0.0]"),
        (count_share(6, 12, 12), "share", "50 % (all counted)"),
        (estimate(None, None, None, n=0), "share", "not defined"),
        (estimate(None, 0.262, 0.449), "range", "26.2 to 44.9 %"),
        (estimate(None, None, 0.449), "range", "not defined"),
        (estimate(None, -0.28, 0.045), "points-range", "−28.0 to +4.5 points"),
    ],
)
def test_an_estimate_is_shown_with_its_interval(e: Estimate, form: str, words: str) -> None:
    assert str(show(e, form)).replace(NBSP, " ") == words  # type: ignore[arg-type]


def test_numbers_are_set_for_reading() -> None:
    assert count(1228961) == "1,228,961"
    assert number(-1.25, 1) == "−1.2"
    assert number(-0.001, 1, signed=True) == "0.0"


def test_clean_makes_every_control_visible_and_keeps_scripts() -> None:
    assert clean("a\x00b\x1b\x7f\x85") == "a␀b␛␡⟨U+0085⟩"
    assert clean("\u202ea\u2066b\u2069") == "⟨U+202E⟩a⟨U+2066⟩b⟨U+2069⟩"
    assert clean("\ud800\ufffe") == "��"
    kept = "طبيبة क्‍ष 👩🏽‍⚕️ 医者 é"
    assert clean(kept) == kept


def test_axes_hold_what_they_show() -> None:
    assert percent(1.7) == "100.00%"
    assert percent(-1) == "0.00%"
    assert axis_end([0.011, None, 0.19]) == 0.2
    assert axis_end([0.51]) == 1.0
    assert axis_end([]) == 0.001
    assert histogram((), 0.2) is None
    assert histogram(((0.1, 0, 0),), 0.2) is None
    one = histogram(((0.1, 5, 0),), 0.2)
    assert one is not None
    assert one.threshold is None


def test_pointers_name_every_estimate_where_the_json_has_it() -> None:
    result = fake_result()
    plain = json.loads(result.to_json())
    found = list(walk(result))
    assert len(found) > 100
    for where, e in found:
        node = plain
        for part in where.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) else node[key]
        assert node == json.loads(e.model_dump_json())
    assert estimate_at(result, "/nowhere") is None


# The page


def test_sections_come_in_the_order_of_the_reader() -> None:
    for result in (fake_result(), fake_result("no match"), fake_result("no pictures")):
        sections = [a["id"] for a in page(result).of("section") if "id" in a]
        assert sections == SECTIONS


@pytest.mark.parametrize("hostile", [False, True])
def test_tags_balance_ids_are_unique_and_headings_step_by_one(hostile: bool) -> None:
    read = page(fake_result(hostile=hostile))
    assert read.open == []
    ids = [a["id"] for _, a in read.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in read.tags:
        for name in ("aria-labelledby", "aria-controls"):
            assert attributes.get(name, ids[0]) in ids
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_hostile_text_stays_text() -> None:
    plain, attacked = page(fake_result()), page(fake_result(hostile=True))
    assert len(attacked.of("script")) == 1
    assert len(attacked.of("style")) == 1
    assert {tag for tag, _ in attacked.tags} == {tag for tag, _ in plain.tags}
    names = {name for _, attributes in attacked.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert "style" not in names
    for caption in HOSTILE[:3]:
        assert " ".join(caption.split()) in attacked.text
    assert "49" not in attacked.text[attacked.text.index("{{ 7 * 7 }}") :][:12]
    html = report_html(fake_result(hostile=True))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", html)


def test_addresses_from_data_are_never_links_and_nothing_is_fetched() -> None:
    read = page(fake_result(hostile=True))
    assert all(a["href"].startswith("#") for a in read.of("a"))
    for _, attributes in read.tags:
        assert attributes.get("src", "data:image/png").startswith("data:image/")
        assert not attributes.keys() & {"srcset", "action", "poster", "data", "background"}
    assert not read.of("link")


def test_only_raster_data_uris_become_pictures() -> None:
    result = fake_result().model_dump()
    bad = ("https://tracker.example/x.png", "data:image/svg+xml;base64,AA", "javascript:alert(1)")
    for picture, uri in zip(result["pictures"][0]["pictures"], bad, strict=False):
        picture["image"] = uri
    html = report_html(ProbeResult.model_validate(result))
    assert not [uri for uri in bad if uri in html]


def test_the_policy_names_the_hashes_of_the_page_itself() -> None:
    html = report_html(fake_result())
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    for tag in ("style", "script"):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert inside
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]


def test_the_finding_says_what_the_data_cannot_tell() -> None:
    result = fake_result()
    read = page(result)
    for sentence in result.finding.sentences:
        assert " ".join(sentence.split()) in read.text
    told, withheld = result.finding.claims
    cannot = read.text.index("What these data cannot tell")
    behind = read.text.index("The numbers behind these sentences")
    assert cannot < read.text.index(withheld.text) < behind < read.text.index(told.text)
    claims = [claim.model_copy(update={"supported": True}) for claim in result.finding.claims]
    sure = changed(result, finding={"sentences": ["Sure."], "claims": claims})
    assert "What these data cannot tell" not in page(sure).text


def test_labels_are_called_what_they_are() -> None:
    text = page(fake_result()).text
    finding = text[: text.index("What each step removed, and from whom")]
    assert (
        "Perceived gender presentation and perceived skin tone are what a classifier reads from a "
        "picture, not anyone’s identity. The labels are uncorrected classifier labels." in finding
    )
    rated = fake_result().to_json().replace("uncorrected classifier labels", "raters")
    assert "uncorrected" not in page(ProbeResult.from_json(rated)).text


def test_simulated_is_said_wherever_generated_pictures_are_shown() -> None:
    result = fake_result()
    read = page(result)
    assert "Simulated. The generated pictures in this report were drawn by a simulator" in read.text
    # the rows, two chains, two sets, an average image, the provenance
    assert read.text.count("simulated ") + read.text.count(" simulated") >= 7
    assert result.generated
    real = result.generated.model_copy(update={"simulated": False})
    text = page(changed(result, generated=real.model_dump())).text
    assert "drawn by a simulator" not in text


def test_without_generated_pictures_the_chain_ends_at_the_data() -> None:
    text = page(fake_result(generated=False)).text
    assert "No generated pictures were given: the chain ends at the data." in text
    assert "simulator" not in text


def test_what_was_not_seen_is_said_in_words_and_never_as_zero(run: Path) -> None:
    result = fake_result(n_steps=6)
    html = report_html(result)
    text = Page(html).text
    words = {step.id: removal_words(step) for step in result.steps}
    assert words["alt-text"].startswith("not observable")
    assert words["file-size"].startswith("not simulated")
    assert words["aesthetic"].startswith("not evaluable")
    assert words["language"] == ""
    for index, step in enumerate(result.steps):
        shown = f'data-pointer="/steps/{index}/removed_share"' in html
        assert shown is not bool(words[step.id])
        assert (f'data-pointer="/steps/{index}/n_removed_here"' in html) is shown
        if words[step.id]:
            assert words[step.id] in text
    assert (
        "0.0 %" not in text[text.index("What each step removed, and") : text.index("Neighbours A")]
    )
    table = {row["step"]: row for row in rows(run, "steps")}
    assert table["alt-text"]["value"] == table["alt-text"]["n_removed_here"] == ""
    assert table["alt-text"]["removal"].startswith("not observable")
    assert not [row for row in rows(run, "removals") if row["step"] in ("alt-text", "file-size")]


def test_a_stage_without_an_attribute_and_an_undefined_rate_are_words() -> None:
    text = page(fake_result()).text
    assert "not read at this stage" in text
    assert "not defined 0 of 0" in text


def test_a_rewrite_has_no_rate_and_no_row_among_the_removals() -> None:
    result = fake_result().model_dump()
    step = result["steps"][1]
    step["removed_share"] |= {"value": None, "low": None, "high": None, "method": "it rewrites"}
    rewritten = ProbeResult.model_validate(result)
    text = page(rewritten).text
    assert removal_words(rewritten.steps[1]) == "no rate: it rewrites"
    assert text.count("No rate: it rewrites") == 1
    assert "no rate" not in text


def test_what_known_errors_allow_stands_beside_each_share_or_is_not_named() -> None:
    result = fake_result()
    html = report_html(result)
    for where, _ in walk(result):
        if where.endswith("/with_known_errors"):
            assert f'data-pointer="{where}"' in html
    assert "with known errors −40.6 to −0.6 points" in Page(html).text
    plain = result.model_dump()
    for part in [c for s in plain["stages"] for c in s["compositions"].values()] + list(
        plain["shifts"]
    ):
        part["with_known_errors"] = None
    assert "with known errors" not in page(ProbeResult.model_validate(plain)).text


def test_unknown_is_shown_at_every_stage() -> None:
    html = report_html(fake_result())
    for index, stage in enumerate(fake_result().stages):
        for attribute in stage.compositions:
            where = f"/stages/{index}/compositions/{attribute}"
            assert f'data-pointer="{where}/counts/unknown"' in html
            assert f'data-pointer="{where}/shares/unknown"' in html
            assert f'data-pointer="{where}/bounds"' in html


def test_no_match_is_an_answer_and_not_an_empty_plot(tmp_path: Path) -> None:
    result = fake_result("no match")
    read = page(result)
    assert result.concept.answer in read.text
    assert "No picture lies near enough to this concept" in read.text
    assert not [a for a in read.of("svg") if "row" in a.get("class", "")]
    assert not read.of("img")
    render_run(result, tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["similarity.svg"]


def test_no_pictures_says_what_captions_say(tmp_path: Path) -> None:
    result = fake_result("no pictures")
    read = page(result)
    assert f"Captions only. {result.concept.answer}" in read.text
    assert "the input holds captions only" in read.text
    for where in ("/steps/1/removed_share", "/words/0/z", "/languages/pool/en"):
        assert f'data-pointer="{where}"' in report_html(result)
    render_run(result, tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["words.svg"]


@pytest.mark.parametrize("n_steps", [0, 1, 30])
def test_any_number_of_steps(n_steps: int, tmp_path: Path) -> None:
    result = fake_result(n_steps=n_steps)
    render_run(result, tmp_path)
    text = page(result).text
    assert ("has no steps: nothing was removed" in text) is (n_steps == 0)
    assert len(rows(tmp_path, "steps")) == n_steps


def test_pictures_flagged_unsafe_start_blurred() -> None:
    result = fake_result()
    veiled = [a for a in page(result).of("div") if "veiled" in a.get("class", "").split()]
    shown = [*result.pictures, result.keyword_only]
    flagged = [p for s in shown if s for p in s.pictures if p.flagged_unsafe and p.image]
    assert len(veiled) == len(flagged) > 0


def test_every_picture_has_words_and_every_table_a_caption() -> None:
    read = page(fake_result(hostile=True))
    assert read.of("img")
    assert all(a["alt"].strip() for a in read.of("img"))
    assert len(read.of("table")) == len(read.of("caption"))
    assert all(a.get("scope") in ("col", "row", "rowgroup") for a in read.of("th"))


def test_text_has_contrast_in_both_themes() -> None:
    css = (Path(report_html.__code__.co_filename).parent / "templates/report.css").read_text()
    themes = re.findall(r"--bg:.*?--focus: #\w+;", css, re.DOTALL)
    assert len(themes) == 3
    assert themes[1].split() == themes[2].split()

    def luminance(color: str) -> float:
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for theme in themes:
        color = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))
        pairs = [
            *((ink, paper) for ink in ("ink", "muted", "data") for paper in ("bg", "panel")),
            ("notice-ink", "notice"),
        ]
        for ink, paper in pairs:
            light, dark = sorted((luminance(color[ink]), luminance(color[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)
        for mark in ("parity", "generated", "data"):
            light, dark = sorted((luminance(color[mark]), luminance(color["bg"])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, mark


# Files


def test_two_renders_are_the_same_bytes(run: Path, tmp_path: Path) -> None:
    render_run(fake_result(hostile=True), tmp_path)
    files = sorted(p.relative_to(run) for p in run.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) > 20
    for file in files:
        assert (run / file).read_bytes() == (tmp_path / file).read_bytes(), file


def test_result_json_is_what_the_page_was_drawn_from(run: Path) -> None:
    text = (run / "result.json").read_text(encoding="utf-8")
    assert text == fake_result(hostile=True).to_json()
    assert report_html(ProbeResult.from_json(text)) == (run / "report.html").read_text("utf-8")


def test_tables_hold_every_number_of_the_result(run: Path) -> None:
    result = fake_result(hostile=True)
    expected = [
        ("contrast", s.id, a, c.contrast) for s in result.stages for a, c in s.compositions.items()
    ]
    read = [row for row in rows(run, "compositions") if row["measure"] == "contrast"]
    assert len(read) == len(expected)
    for row, (_, stage, attribute, e) in zip(read, expected, strict=True):
        assert (row["stage"], row["attribute"]) == (stage, attribute)
        for field in ("value", "low", "high", "level"):
            number = getattr(e, field)
            assert row[field] == ("" if number is None else repr(number))
        assert (row["n"], row["units"], row["method"]) == (str(e.n), str(e.units), e.method)
    n_estimates = sum(
        "value" in row for t in (run / "tables").iterdir() for row in rows(run, t.stem)
    )
    hidden = [r for s in result.steps if removal_words(s) for r in s.removals]
    undetermined = [a for a in result.amplification if a.signed is None]
    assert n_estimates == len(list(walk(result))) - len(hidden) + len(undetermined)
    assert [float(row["z"]) for row in rows(run, "words")] == [w.z for w in result.words]
    assert [row["fingerprint"] for row in rows(run, "inputs")] == [
        i.fingerprint for i in result.provenance.inputs
    ]


def test_a_caption_is_not_a_formula_in_a_spreadsheet(run: Path) -> None:
    captions = {row["caption"] for row in rows(run, "pictures")}
    assert not [caption for caption in captions if caption.startswith(("=", "+", "-", "@"))]
    assert any(caption.startswith("'=HYPERLINK") for caption in captions)


def test_figures_are_svg_with_words_for_those_who_cannot_see_them(run: Path) -> None:
    figures = sorted((run / "figures").iterdir())
    assert [path.stem for path in figures] == [
        "chain-gender_presentation",
        "chain-skin_tone",
        "removals-gender_presentation",
        "removals-skin_tone",
        "similarity",
        "words",
    ]
    space = "{http://www.w3.org/2000/svg}"
    for path in figures:
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        assert root.attrib["role"] == "img"
        title, about = root.find(f"{space}title"), root.find(f"{space}desc")
        assert title is not None
        assert about is not None
        assert title.text
        assert about.text
        assert not list(root.iter(f"{space}script"))


def test_figures_leave_the_style_of_others_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    render_run(fake_result("no match"), tmp_path)
    assert dict(matplotlib.rcParams) == before
