"""What a card says beside a share: of what it is, of how many, by whom, and how sure that is."""

from __future__ import annotations

import json
import re

import pytest
from fake_datasheet import fake_datasheet
from fake_result import fake_result
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from laion_probe.config.card import CardConfig
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.datasheet_result import CompositionRow, DatasheetResult, LineageSample
from laion_probe.errors import ConfigError
from laion_probe.questions.card import Card, card, card_of
from laion_probe.questions.card_evidence import Behind
from laion_probe.questions.datasheet import datasheet
from laion_probe.questions.datasheet_numbers import Source
from laion_probe.render import text
from laion_probe.render.card_errors import errors_in_brief, errors_words, headlines
from laion_probe.render.card_model import model_card
from laion_probe.render.card_pen import Pen
from laion_probe.render.card_readme import dataset_card
from laion_probe.render.card_shares import draw_shares
from laion_probe.render.card_words import Group, compositions, kept_share, kept_words, share_words
from laion_probe.results import Corrected, Estimate


def _card(sheet: DatasheetResult) -> Card:
    return card_of(sheet, CardConfig(folder="none"))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """The card of a datasheet of a run of probe, with its evidence."""
    run = tmp_path_factory.mktemp("run") / "result.json"
    result = fake_result()
    shift = result.shifts[1].model_copy(update={"from_stage": "neighbourhood"})
    result = result.model_copy(update={"shifts": (*result.shifts, shift)})
    run.write_text(result.to_json(), encoding="utf-8")
    folder = tmp_path_factory.mktemp("measured")
    datasheet(DatasheetConfig(shards=(str(run),), out=str(folder)))
    return card(CardConfig(folder=str(folder)))


def test_every_number_of_a_model_card_stands_where_it_says(measured: Card) -> None:
    said = model_card(measured)
    links = re.findall(r'\[((?:[^\[\]\\]|\\.)*)\]\(([^ )]+) "([^"]+)"\)', said)
    assert len(links) == 2 * 2 * 2 + 2 * 2 * 3 + 2
    for shown, file, pointer in links:
        found = json.loads((measured.folder / file).read_text(encoding="utf-8"))
        for step in pointer.split("/")[1:]:
            found = found[int(step)] if isinstance(found, list) else found[step]
        one = Estimate.model_validate(found)
        wanted = share_words(one)
        if "known_errors" in pointer or "shifts" in pointer:
            ranges = "points-range" if "shifts" in pointer else "range"
            wanted = str(text.show(one, ranges if "known_errors" in pointer else "points"))
        plain = shown.replace("\\", "")
        assert plain.replace(text.NBSP, " ") == wanted.replace(text.NBSP, " "), pointer


def test_a_headline_says_of_how_many_and_what_errors_allow(measured: Card) -> None:
    said = model_card(measured).replace(text.NBSP, " ")
    stage = fake_result().stage("generated").compositions["gender_presentation"]
    assert stage.with_known_errors is not None
    of_either = share_words(stage.contrast), text.show(stage.with_known_errors, "range")
    plain = re.sub(r"\[((?:[^\[\]\\]|\\.)*)\]\([^)]*\)", r"\1", said).replace("\\", "")
    row = f"| generated | {of_either[0]} | {stage.contrast.n} | {of_either[1]} |"
    assert row.replace(text.NBSP, " ") in plain
    assert "Generated minus near the concept: −20.6 points [−27.6, −13.6]; with meas" in plain
    assert "Of what: near the concept is Neighbourhood; generated is Generated pictures." in said
    assert "**of the pictures read as woman or man**" in said
    assert f"| generated, of {stage.shares['woman'].n} |" in said
    assert stage.contrast.n != stage.shares["woman"].n
    assert "Wilson score interval on effective counts" in said
    assert "Errors were measured on other pictures, and not on these: right on 85.7 % " in said
    assert (
        "of 1,000 labelled pictures (a rendering held out of training; Balanced over tones;" in said
    )
    readme = dataset_card(measured)
    assert "- **perceived gender presentation**: of all pictures of the stage" in readme
    assert "- **perceived skin tone**" in readme
    assert "not identity, and not what the person would say" in readme


@pytest.mark.parametrize(
    ("labels", "stage", "words", "brief"),
    [
        ("uncorrected classifier labels", "all", "not measured, neither", "not measured"),
        ("what captions say", "captions", "Words of captions", "not checked"),
        ("human ratings", "all", "Labels that people gave", "what these raters say"),
        ("corrected by raters", "all", "measured on these pictures", "on these pictures"),
        ("somebody's table", "all", "does not stand in the run", "not known"),
    ],
)
def test_errors_are_known_of_these_pictures_of_others_or_not(
    labels: str, stage: str, words: str, brief: str
) -> None:
    row = fake_datasheet().compositions[0].model_copy(update={"labels": labels, "stage": stage})
    group = compositions([row])[0]
    assert words in errors_words(group, Behind({"data": "data"}))
    assert brief in errors_in_brief(group, Behind({"data": "data"}))


def test_raters_of_some_of_the_pictures_are_told_beside_the_classifier() -> None:
    result = fake_result()
    generated = result.stage("generated")
    plain = generated.compositions["gender_presentation"]
    corrected = Corrected(
        estimator="ppi",
        why="",
        n_rated=40,
        contrast=plain.contrast,
        shares=plain.shares,
        bounds=plain.bounds,
    )
    raw = {"c": plain.model_copy(update={"corrected": corrected}).model_dump()}
    runs = Behind({"probe": "probe"}, {"probe": Source("probe", raw)})

    def group(labels: str, place: str) -> Group:
        row = CompositionRow(
            evidence="probe",
            pointer=f"{place}/shares/woman",
            concept="doctor",
            stage="generated",
            attribute="gender_presentation",
            level="woman",
            count=None,
            share=0.4,
            low=0.3,
            high=0.5,
            interval_level=0.95,
            labels=labels,
        )
        return compositions([row])[0]

    read, said = group(plain.labels, "/c"), group("corrected by raters", "/c/corrected")
    assert "40 of a stage were also rated" in errors_words(read, runs)
    assert "shares are corrected to what these raters would say" in errors_words(said, runs)
    assert headlines(said, runs)["generated"].pointer == "/c/corrected/contrast"
    assert headlines(said, runs)["generated"].errors is None
    assert headlines(read, runs)["generated"].errors == plain.with_known_errors


def test_evidence_of_another_version_is_said_to_be_so() -> None:
    row = fake_datasheet().compositions[0].model_copy(update={"pointer": "/share"})
    runs = Behind({"data": "data"}, {"data": Source("data", {"share": {"mean": 0.5}})})
    with pytest.raises(ConfigError, match="evidence data is of another version"):
        runs.estimate(row)
    assert runs.estimate(row.model_copy(update={"pointer": "/gone"})) is None


def test_what_a_share_is_of_depends_on_its_run() -> None:
    raw = {"base": ["woman", "man"], "levels": ["woman", "man", "other", "unknown"]}
    kinds = dict.fromkeys(("probe", "nonresponse", "compare"), "") | {"data": "data"}
    runs = Behind({k: k for k in kinds}, {"compare": Source("compare", raw)})
    row = fake_datasheet().compositions[0]

    def base(kind: str, stage: str = "all") -> str:
        return runs.base(row.model_copy(update={"evidence": kind, "stage": stage}))

    assert base("data", "captions") == "rows that were read"
    assert base("probe") == "all pictures of the stage"
    assert base("nonresponse", "came") == "pictures that came"
    assert base("nonresponse", "tried, re-weighted") == "rows tried, re-weighted"
    assert base("compare") == "pictures read as woman or man"
    raw["base"] = ["woman", "man", "other"]
    assert base("compare") == "pictures whose level is known"


def test_a_sample_is_not_the_set() -> None:
    sheet = fake_datasheet()
    replay = sheet.lineage[1]
    one = _card(sheet)
    assert kept_words(one, replay) == "3,000 of 4,090 rows kept (73.3 %)"
    runs = tuple(run.model_copy(update={"full": run.id != "data"}) for run in sheet.evidence)
    part = _card(sheet.model_copy(update={"evidence": runs}))
    assert "does not say what it would keep of all rows" in kept_words(part, replay)
    assert kept_share(part, replay) is None
    told = LineageSample(
        evidence="data",
        recipe="dalle2",
        pointer="/recipes/0/kept",
        n_read=4090,
        n_rows=80_000,
        kept=0.733,
        low=0.7,
        high=0.76,
        interval_level=0.95,
        n_left=58_640,
        n_left_low=56_000,
        n_left_high=60_800,
        left_out=("duplicates",),
    )
    known = _card(sheet.model_copy(update={"evidence": runs, "samples": (told,)}))
    said = kept_words(known, replay)
    assert said.startswith("keeps 73.3 % [70.0, 76.0] of all rows, as a random sample of 4,090 of")
    assert said.endswith("80,000 rows tells (steps that need every row are left out)")
    assert kept_share(known, replay) == 0.733
    assert kept_words(known, sheet.lineage[0]) == "what it removed cannot be seen"


def test_the_page_draws_headlines_over_what_errors_allow(measured: Card) -> None:
    figure = Figure(figsize=(8.27, 11.69), dpi=72)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 8.27)
    axes.set_ylim(11.69, 0)
    pen = Pen(axes, 0.6, 7.67, 1.0)
    draw_shares(pen, measured, bottom=11.0)
    said = " ".join(one.get_text() for one in axes.texts)
    for words in (
        "woman, of the 190 and 184 read as woman or man",
        "Of all pictures of the stage (Neighbourhood: 207, dots; Generated pictures: 200,",
        "right on 85.7 % of other pictures, not checked on these",
        "its errors are not measured",  # of the other attribute
    ):
        assert words in said, words
    start, end = next(line.get_xdata() for line in axes.lines[1:] if line.get_zorder() == 1)
    bands = [
        tuple((edge - start) / (end - start) for edge in (p.get_x(), p.get_x() + p.get_width()))
        for p in axes.patches
    ]
    for stage, band in zip(("neighbourhood", "generated"), bands, strict=False):
        errors = fake_result().stage(stage).compositions["gender_presentation"].with_known_errors
        assert errors is not None
        assert band == pytest.approx((errors.low, errors.high))
    renderer = FigureCanvasAgg(figure).get_renderer()
    edges = [one.get_window_extent(renderer).x1 / 72 for one in axes.texts]
    assert max(edges) < 7.7
    assert pen.y < 11.0
