"""Datasheets: each statement stands on its evidence, and a page shows both."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fake_compare
import polars as pl
import pytest
import test_nonresponse
from fake_filters import fake_filters
from fake_rated import rated_result
from fake_result import HOSTILE, composition, fake_result, share
from fake_scan import fake_scan
from shardmaker import frame, write

from laion_probe.blocked_result import BlockedResult, Passed
from laion_probe.compose_result import RunOf
from laion_probe.config import ComposeConfig, make_config
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.datasheet_result import DatasheetResult, Statement
from laion_probe.errors import ConfigError, ShardError
from laion_probe.neighbours_result import (
    ConceptNeighbours,
    ModelCheck,
    NeighboursResult,
    SearchedBy,
)
from laion_probe.neighbours_result import RunOf as NeighboursRun
from laion_probe.questions.composing import compose
from laion_probe.questions.datasheet import datasheet, datasheet_folder, told, unanswered
from laion_probe.questions.datasheet_files import read_datasheet
from laion_probe.questions.datasheet_numbers import Source, say
from laion_probe.questions.opening_runs import KINDS, open_result
from laion_probe.render.datasheet_blocks import blocks
from laion_probe.render.datasheet_markdown import datasheet_markdown
from laion_probe.render.datasheet_report import datasheet_html, render_datasheet
from laion_probe.results import Document, Shift
from laion_probe.shards import Unit, read_unit


def make(out: Path, *inputs: Path | str, **values: Any) -> DatasheetResult:
    quiet = {"by": ("gender-words", "region"), "detector": "none", "runner": "serial"}
    given = {"shards": [str(i) for i in inputs], "out": str(out), "already": "none", **quiet}
    return datasheet(make_config({**given, **values}, DatasheetConfig))


def _neighbours() -> NeighboursResult:
    concept = ConceptNeighbours(
        name="doctor",
        prompts=("a doctor",),
        keywords=("doctor",),
        status="found",
        answer="",
        threshold=0.3,
        threshold_rule="",
        n_near=90,
        n_near_is_all=True,
        n_kept=90,
        n_captions=0,
        n_named=0,
        n_named_near=0,
        n_histogram=0,
        bin_width=0.1,
        histogram=(),
        compositions={"gender": composition("gender", ("woman", "man"), (30, 50, 10))},
        curves={},
        missed={},
        strata=(),
        strata_rule="",
        shown=None,
    )
    return NeighboursResult(
        data_note="",
        context="",
        harms=(),
        level=0.95,
        n_rows=900,
        n_unreadable=0,
        n_broken=0,
        dim=8,
        titles={},
        abouts={},
        parity={},
        model=ModelCheck(basis="key", sentence=""),
        searched=SearchedBy(kind="exact", why="", index="", recall=None),
        concepts=(concept,),
        finding=("90 of 900 lie near “doctor”.",),
        how_measured=(),
        cannot_say=("Who they are.",),
        provenance=NeighboursRun(
            version="0",
            command="laion-probe neighbours e",
            config={},
            inputs=(),
            model={},
            packages={},
        ),
    )


def _blocked() -> BlockedResult:
    c = composition("gender", ("woman", "man"), (30, 50, 10))
    shift = Shift(
        attribute="gender",
        contrast_level="woman",
        from_stage="a",
        to_stage="b",
        difference=share(1, 9),
        ratio=share(1, 9),
        paired=True,
    )
    passed = Passed(attribute="gender", title="t", parity=0.5, before=c, after=c, shift=shift)
    return BlockedResult(
        data_note="", context="", harms=(), level=0.95, generators=("tiny",), simulated=False,
        n_pictures=90, n_prompts=3, n_batches=9, n_not_checked=0, n_unreadable=0, n_compared=0,
        blocked=share(9, 90), by=(), passed=(passed,), finding=("Blocked: some.",), claims=(),
        how_measured=(), cannot_say=(),
        provenance=RunOf(version="0", command="laion-probe blocked g", config={}, inputs=()),
    )  # fmt: skip


def _compose(folder: Path) -> Document:
    file = folder / "ratings.csv"
    rows = [
        {"picture": f"p{i}", "rater": r, "gender_presentation": "woman" if i % 3 else "man"}
        for i in range(30)
        for r in ("anna", "ben")
    ]
    pl.DataFrame(rows).write_csv(file)
    return compose(make_config({"ratings": (str(file),)}, ComposeConfig))


def _nonresponse(folder: Path) -> Document:
    rows = test_nonresponse.planted(1200)
    images = test_nonresponse.write_folder(folder / "images", rows)
    scores = test_nonresponse.write_scores(folder / "gender.csv", images, rows)
    return test_nonresponse.run(images, scores, population=1200)


_ROWS = ("filters", "scan")  # these have rows, and a lineage
RESULTS: dict[str, Callable[[Path], Document]] = {
    "probe": lambda folder: fake_result(),
    "probe, rated": lambda folder: rated_result(),
    "probe, hostile": lambda folder: fake_result(hostile=True),
    "filters": lambda folder: fake_filters(),
    "filters, hostile": lambda folder: fake_filters("full", hostile=True),
    "scan": lambda folder: fake_scan(),
    "compare": lambda folder: fake_compare._everything(),
    "compose": _compose,
    "nonresponse": _nonresponse,
    "neighbours": lambda folder: _neighbours(),
    "blocked": lambda folder: _blocked(),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of finished runs of every kind that is read more of than its finding."""
    root = tmp_path_factory.mktemp("runs")
    found = {}
    for i, (name, result) in enumerate(RESULTS.items()):
        found[name] = root / str(i)
        found[name].mkdir()
        text = result(found[name]).to_json()
        (found[name] / "result.json").write_text(text, encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shards"), frame())


def at(raw: Any, pointer: str) -> Any:
    """RFC 6901, written once more."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        raw = raw[int(key)] if isinstance(raw, list) else raw[key]
    return raw


def statements(sheet: DatasheetResult) -> list[Statement]:
    return [m for s in sheet.sections for a in s.answers for m in a.measured]


class TestEvidence:
    @pytest.mark.parametrize("kind", RESULTS)
    def test_every_number_stands_where_it_says(
        self, kind: str, runs: dict[str, Path], tmp_path: Path
    ) -> None:
        sheet = make(tmp_path / "d", runs[kind])
        (evidence,) = sheet.evidence
        file = tmp_path / "d" / evidence.file
        assert file.read_bytes() == (runs[kind] / "result.json").read_bytes()
        raw = json.loads(file.read_text(encoding="utf-8"))
        assert statements(sheet)
        numbers = [n for m in statements(sheet) for n in m.numbers]
        assert numbers
        for n in numbers:
            found = at(raw, n.pointer)
            assert (found["value"] if isinstance(found, dict) else found) == n.value
        for row in sheet.compositions:
            found = at(raw, row.pointer)
            assert (found["value"], found["low"], found["high"]) == (row.share, row.low, row.high)
        for one in sheet.lineage:
            for step in one.steps:
                assert at(raw, step.pointer)

    @pytest.mark.parametrize("kind", [k for k in RESULTS if k.partition(",")[0] not in _ROWS])
    def test_labelled_sets_have_a_composition(
        self, kind: str, runs: dict[str, Path], tmp_path: Path
    ) -> None:
        sheet = make(tmp_path / "d", runs[kind])
        assert sheet.compositions
        corrected = "corrected by raters" in {r.labels for r in sheet.compositions}
        assert corrected == (kind == "probe, rated")

    def test_a_number_is_shown_with_its_interval(self) -> None:
        raw = {
            "a": {"value": 0.3625, "low": 0.298, "high": 0.425},
            "b": {"value": 0.0004},
            "c": {"value": None, "low": None, "high": None},
        }
        raw["b"] |= {"low": None, "high": None}
        source = Source("x", raw)
        assert source.share("a").shown == "36.2\N{NBSP}%\N{NBSP}[29.8,\N{NBSP}42.5]"
        assert source.share("b").shown == "0.040\N{NBSP}%", "never 0 % where there is some"
        assert source.share("c").shown == "not defined"
        with pytest.raises(KeyError):
            source.share("d")

    def test_kinds_of_runs_open_as_what_they_are(self, runs: dict[str, Path]) -> None:
        for name, folder in runs.items():
            kind, result = open_result(folder)
            assert kind == name.partition(",")[0]
            assert isinstance(result, KINDS[kind])
            assert open_result(folder / "result.json") == (kind, result)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("not json", "no JSON"),
            ('{"a": 1}', "names no command"),
            ('{"command": "laion-probe ponder x"}', "'ponder'"),
            ('{"command": "laion-probe filters x"}', "finding"),
        ],
    )
    def test_what_is_no_result_is_said(self, text: str, says: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no finished run"):
            open_result(tmp_path)
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(ConfigError, match=says):
            open_result(tmp_path)

    def test_changed_evidence_is_refused(self, small: Path, tmp_path: Path) -> None:
        make(tmp_path / "d", small, cache=str(tmp_path / "c"))
        file = tmp_path / "d" / "evidence" / "data.json"
        file.write_text(file.read_text().replace('"n_rows": 40', '"n_rows": 41'))
        with pytest.raises(ConfigError, match="was changed"):
            make(tmp_path / "d", tmp_path / "d")

    def test_evidence_outside_of_the_folder_is_refused(self, small: Path, tmp_path: Path) -> None:
        cache = str(tmp_path / "c")
        make(tmp_path / "d", small, cache=cache)
        mine = tmp_path / "mine.json"
        mine.write_text("{}")
        file = tmp_path / "d" / "datasheet.json"
        written = file.read_text()
        for place in ("../mine.json", str(mine), "javascript:alert(1)", "evidence/../../mine.json"):
            file.write_text(written.replace("evidence/data.json", place))
            with pytest.raises(ConfigError, match="outside of its folder"):
                make(tmp_path / "e", tmp_path / "d")
            make(tmp_path / "d", small, cache=cache)
            assert mine.is_file(), "what a datasheet names is not removed for that"
            assert file.read_text() == written


class TestFolder:
    def test_one_of_another_version_is_made_anew(self, small: Path, tmp_path: Path) -> None:
        out, cache = tmp_path / "d", str(tmp_path / "c")
        sheet = make(out, small, cache=cache)
        (out / "datasheet.json").write_text('{"version": "0.1"}')
        with pytest.raises(ConfigError, match="make it again"):
            make(out, out)
        (out / "datasheet.json").write_text("{")
        with pytest.raises(ConfigError, match=r"of laion-probe \(invalid json"):
            make(out, out)
        assert make(out, small, cache=cache) == sheet

    def test_a_second_making_writes_the_same(self, small: Path, tmp_path: Path) -> None:
        sheets = []
        for name in ("a", "b"):
            sheet = make(tmp_path / name, small, cache=str(tmp_path / name / ".c"))
            render_datasheet(sheet, tmp_path / name)
            shutil.rmtree(tmp_path / name / ".c")
            files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
            sheets.append([(p.name, p.read_bytes()) for p in files])
        assert sheets[0] == sheets[1]
        assert [n for n, _ in sheets[0]] == [
            "answers.toml", "datasheet.html", "datasheet.json", "datasheet.md", "data.json",
        ]  # fmt: skip

    def test_evidence_that_is_not_used_goes(
        self, small: Path, runs: dict[str, Path], tmp_path: Path
    ) -> None:
        out = tmp_path / "d"
        make(out, runs["probe"], runs["filters"])
        (out / "evidence" / "mine.txt").write_text("a note of mine")
        sheet = make(out, runs["filters"])
        kept = sorted(p.name for p in (out / "evidence").iterdir())
        assert kept == [Path(sheet.evidence[0].file).name, "mine.txt"]

    def test_a_new_run_takes_the_place_of_its_older_self(
        self, runs: dict[str, Path], tmp_path: Path
    ) -> None:
        out, again = tmp_path / "d", tmp_path / "again"
        make(out, runs["probe"])
        again.mkdir()
        newer = fake_result().model_copy(update={"data_note": "newer"})
        (again / "result.json").write_text(newer.to_json(), encoding="utf-8")
        sheet = make(out, out, again)
        assert len(sheet.evidence) == 1
        assert sheet.data_note == "newer"
        both = make(tmp_path / "e", runs["probe"], again)
        assert [e.id for e in both.evidence] == ["probe-doctor", "probe-doctor-2"]

    def test_what_readers_must_know_is_kept(self, runs: dict[str, Path], tmp_path: Path) -> None:
        out = tmp_path / "d"
        assert make(out, runs["filters"], data_note="Made up.").data_note == "Made up."
        assert make(out, out).data_note.startswith("Made up.")
        (tmp_path / "n").mkdir()
        noted = fake_filters().model_copy(update={"data_note": "Simulated."})
        (tmp_path / "n" / "result.json").write_text(noted.to_json(), encoding="utf-8")
        sheet = make(out, out, tmp_path / "n")
        assert sheet.data_note.startswith("Made up. ")
        assert make(out, out).data_note == sheet.data_note, "said once, however often it is made"

    def test_where_it_goes(self, small: Path, tmp_path: Path) -> None:
        make(tmp_path / "d", small, cache=str(tmp_path / "c"))
        config = DatasheetConfig(shards=(str(tmp_path / "d"),))
        assert datasheet_folder(config) == tmp_path / "d"
        assert datasheet_folder(DatasheetConfig(shards=("x",))) == Path("datasheet")
        with pytest.raises(ConfigError, match="something else"):
            datasheet_folder(DatasheetConfig(shards=("x",), out=str(small)))
        with pytest.raises(ConfigError, match="nothing to make"):
            make(tmp_path / "e")
        for place in (tmp_path / "e", tmp_path / "d" / "datasheet.json"):
            with pytest.raises(ConfigError, match="holds no datasheet"):
                read_datasheet(place)

    def test_recipes_are_replayed_on_shards(self, small: Path, tmp_path: Path) -> None:
        cache = str(tmp_path / "c")
        sheet = make(tmp_path / "d", small, cache=cache, recipe=("laion5b-en",))
        assert [e.id for e in sheet.evidence] == ["data", "filters-laion5b-en"]
        (one,) = sheet.lineage
        assert (one.recipe, one.already, one.n_before) == ("laion5b-en", False, 40)
        assert one.n_after is not None
        assert one.n_after + sum(s.n_removed or 0 for s in one.steps) == 40
        behind = make(tmp_path / "e", small, cache=cache, already="laion5b-en")
        (passed,) = behind.lineage
        assert (passed.already, passed.n_before, passed.n_after) == (True, None, 40)
        assert {s.n_removed for s in passed.steps} == {None}, "not observable is not zero"
        with pytest.raises(ConfigError, match="on shards"):
            make(tmp_path / "f", tmp_path / "d", recipe=("laion5b-en",))

    @pytest.mark.parametrize("sample", [None, 4])
    def test_rows_of_the_set_are_also_those_that_were_not_read(
        self, sample: int | None, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(unit: Unit, columns: Sequence[str]) -> pl.DataFrame:
            if unit.row_group == 1:
                raise ShardError(f"{unit.label}: cannot be read")
            return read_unit(unit, columns)

        monkeypatch.setattr("laion_probe.questions.describing_unit.read_unit", broken)
        given = {"max_failed_share": 0.9, "max_units": sample, "already": "laion5b-en"}
        sheet = make(tmp_path / "d", small, cache=str(tmp_path / "c"), **given)
        evidence, passed = sheet.evidence[0], sheet.lineage[0]
        assert evidence.n_rows is not None
        assert evidence.n_rows < 40
        assert (sheet.n_rows, passed.n_after) == (40, 40)
        words = [m.plain() for m in statements(sheet)]
        assert any(w.startswith("There are 40 rows in 2 files") for w in words)
        unread = next(w for w in words if w.startswith("Row groups that could not be read"))
        assert ("not in shares" in unread) == (sample is not None)


class _Page(HTMLParser):
    """Links to evidence, and every element's name and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[dict[str, str | None]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if found.get("class") == "fact":
            self.facts.append(found)


class TestPages:
    def test_numbers_link_to_their_evidence(self, runs: dict[str, Path], tmp_path: Path) -> None:
        sheet = make(tmp_path / "d", runs["probe"], runs["filters"])
        render_datasheet(sheet, tmp_path / "d")
        page = _Page()
        page.feed((tmp_path / "d" / "datasheet.html").read_text(encoding="utf-8"))
        numbers = [n for m in statements(sheet) for n in m.numbers]
        assert len(page.facts) == len(numbers)
        for link, n in zip(page.facts, numbers, strict=True):
            assert (link["data-pointer"], link["data-evidence"]) == (n.pointer, n.evidence)
            assert (tmp_path / "d" / str(link["href"])).is_file()
        figures = [x for x in page.elements if x[0] == "svg"]
        assert len(figures) >= len(sheet.sections)

    def test_hostile_text_stays_text(self, runs: dict[str, Path], tmp_path: Path) -> None:
        rows = frame().rename({"NSFW": "<script>alert(1)</script>|*x*", "punsafe": "{0} {x}"})
        folder = write(tmp_path / "s", rows)
        sheet = make(
            tmp_path / "d", folder, runs["probe, hostile"], runs["filters, hostile"],
            cache=str(tmp_path / "c"), data_note=HOSTILE[0],
        )  # fmt: skip
        html = datasheet_html(sheet)
        page = _Page()
        page.feed(html)
        assert [t for t, _ in page.elements].count("script") == 1
        assert not [a for _, attrs in page.elements for a in attrs if a.startswith("on")]
        hrefs = [str(a["href"]) for _, a in page.elements if "href" in a]
        assert all(h.startswith(("#", "evidence/")) for h in hrefs)
        assert "{0} {x}" in html
        markdown = datasheet_markdown(sheet)
        ours = r"/?sub>|/?details>|/?summary>"
        assert not re.search(rf"(?<!\\)<(?!{ours})", re.sub(r"`[^`]*`", "", markdown))

    def test_what_is_unanswered_is_listed_with_its_key(self, small: Path, tmp_path: Path) -> None:
        sheet = make(tmp_path / "d", small, cache=str(tmp_path / "c"))
        markdown, html = datasheet_markdown(sheet), datasheet_html(sheet)
        for a in unanswered(sheet):
            assert f"`{a.id}`" in markdown
            assert a.question.replace("'", "&#39;") in html
        n = [s.n_answered for s in sheet.sections]
        assert f"{sum(n)} of 57 are answered" in markdown
        part = sheet.sections[1].n_in_part
        assert 0 < part < n[1]
        assert f"| 2 Composition | 16 | {n[1] - part} | {part} | 0 | {16 - n[1]} |" in markdown

    def test_no_sentence_has_a_hole(self, runs: dict[str, Path], tmp_path: Path) -> None:
        sheet = make(tmp_path / "d", *[f for k, f in runs.items() if "hostile" not in k])
        for m in statements(sheet):
            words = m.plain()
            assert "{" not in words
            assert "None" not in words
            assert "  " not in words
            assert words.endswith((".", ")", "?")), words

    def test_every_composition_says_what_its_shares_are_of(
        self, small: Path, runs: dict[str, Path], tmp_path: Path
    ) -> None:
        sheet = make(tmp_path / "d", small, *runs.values(), cache=str(tmp_path / "c"))
        n = len(blocks(sheet))
        assert n > 8
        assert all(block.of for block in blocks(sheet))
        markdown, html = datasheet_markdown(sheet), datasheet_html(sheet)
        assert "Shares are of all rows that were read (40)." in markdown
        for page in (markdown, html):
            assert page.count("Shares are of ") >= n

    def test_rows_are_counted_once(
        self, small: Path, runs: dict[str, Path], tmp_path: Path
    ) -> None:
        for inputs, words in (
            ((runs["probe"], runs["filters"]), "There are "),
            ((runs["filters"], small), "There are 40 rows in 2 files (6 row groups, "),
        ):
            out = tmp_path / str(len(words))
            sheet = make(out, *inputs, cache=str(tmp_path / "c"))
            by_id = {a.id: a for s in sheet.sections for a in s.answers}
            (found,) = by_id["composition-count"].measured
            assert found.plain().startswith(words)
            lines = list(told(sheet))
            part = sum(a.in_part for s in sheet.sections for a in s.answers)
            done = f"{57 - len(unanswered(sheet))} of 57 questions are answered"
            assert lines[0] == f"{done}, {part} of them in part, by data:"
            composition = sheet.sections[1]
            in_part = f", {composition.n_in_part} in part" if composition.n_in_part else ""
            assert lines[2] == f"  Composition: {composition.n_answered} of 16{in_part}"

    def test_words_with_braces_stay_as_they_are(self) -> None:
        assert say("{} and {}", "a {0} b", "{{c}}").plain() == "a {0} b and {{c}}"
