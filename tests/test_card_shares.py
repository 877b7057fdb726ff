"""What a card says beside a share: of what it is, of how many, by whom, and how sure that is."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from fake_datasheet import fake_datasheet
from fake_result import fake_result
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

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
from laion_probe.render.card_left_out import left_out, left_out_words
from laion_probe.render.card_model import model_card, verdict_words
from laion_probe.render.card_pen import Pen
from laion_probe.render.card_readme import dataset_card
from laion_probe.render.card_shares import draw_shares
from laion_probe.render.card_summary import _answered, _in_turn
from laion_probe.render.card_words import (
    Group,
    compositions,
    kept_share,
    kept_words,
    range_words,
    share_words,
)
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
        if "shifts" in pointer:
            wanted = str(text.show(one, "points-range" if "known_errors" in pointer else "points"))
        elif "known_errors" in pointer:
            wanted = range_words(one)
        plain = shown.replace("\\", "")
        assert plain.replace(text.NBSP, " ") == wanted.replace(text.NBSP, " "), pointer


def test_a_headline_says_of_how_many_and_what_errors_allow(measured: Card) -> None:
    said = model_card(measured).replace(text.NBSP, " ")
    stage = fake_result().stage("generated").compositions["gender_presentation"]
    assert stage.with_known_errors is not None
    share, errors = share_words(stage.contrast), range_words(stage.with_known_errors)
    plain = re.sub(r"\[((?:[^\[\]\\]|\\.)*)\]\([^)]*\)", r"\1", said).replace("\\", "")
    out = "8.0 % (unknown 8.0 %)"
    assert f"| generated | **{errors}** | {share} | {stage.contrast.n} | {out} |" in plain
    assert "Many pictures are left out" not in said  # it is less than a tenth
    difference = "by labels alone −20.6 points [−27.6, −13.6]: **lower**."
    assert re.search(rf"Generated minus .*: allowing for .*; {re.escape(difference)}", plain)
    assert "The range always encloses the interval by labels alone" in plain
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
    gender = "- **Perceived gender presentation, concept “doctor”**: of all pictures of the stage"
    assert gender in readme
    assert "- **Perceived skin tone, concept “doctor”**" in readme
    assert "not identity, and not what the person would say" in readme


@pytest.mark.parametrize(
    ("labels", "errors", "said"),
    [
        ((0.1, 0.3), (0.05, 0.4), "**higher**"),
        ((-0.3, -0.1), (-0.4, -0.05), "**lower**"),
        ((0.1, 0.3), (-0.1, 0.4), "**these data cannot tell whether it differs**"),
        ((0.1, 0.3), (-0.4, -0.1), "**these data cannot tell whether it differs**"),
        ((-0.1, 0.3), (0.1, 0.4), "**these data cannot tell whether it differs**"),
        ((0.0, 0.3), None, "**these data cannot tell whether it differs**"),
        ((None, None), None, "**these data cannot tell whether it differs**"),
        ((0.1, 0.3), None, "**higher**"),
    ],
)
def test_a_difference_is_claimed_where_labels_and_their_errors_agree(
    labels: tuple[float | None, float | None], errors: tuple[float, float] | None, said: str
) -> None:
    def made(ends: tuple[float | None, float | None]) -> Estimate:
        return Estimate(value=0.2, low=ends[0], high=ends[1], n=9, units=9, method="m")

    assert verdict_words(made(labels), None if errors is None else made(errors)) == said


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


_READ = {
    "doctor": {"woman": {"woman": 90, "other": 10}, "man": {"man": 40, "woman": 5, "other": 55}},
    "nurse": {"woman": {"woman": 100}, "man": {"man": 100}},
    "guard": {"woman": {"woman": 10, "man": 90}, "man": {"man": 100}},
}


def _generated(share: float, concept: str) -> Group:
    """Generated pictures of a concept, so many of which are read as neither woman nor man."""
    shares = {"woman": 0.2, "man": 0.8 - share, "other": share}
    base = fake_datasheet().compositions[-1].model_copy(update={"evidence": "probe"})
    return compositions(
        base.model_copy(
            update={
                "concept": concept,
                "attribute": "gender_presentation",
                "stage": "generated",
                "labels": "uncorrected classifier labels",
                "pointer": f"/stages/0/compositions/gender_presentation/shares/{level}",
                "level": level,
                "share": value,
            }
        )
        for level, value in shares.items()
    )[0]


def _runs(prompt: str = "a doctor of doctors", **read: dict[str, dict[str, int]]) -> Behind:
    """A run about doctors whose classifier's errors were measured by concept."""
    result = fake_result()
    error = result.known_errors[0].model_copy(update={"by_group": read})
    generated = result.generated
    assert generated is not None
    result = result.model_copy(
        update={
            "known_errors": (error,),
            "stages": (result.stage("generated"),),
            "generated": generated.model_copy(update={"prompts": (prompt,)}),
        }
    )
    return Behind({"probe": "probe"}, {"probe": Source("probe", json.loads(result.to_json()))})


def test_the_accuracy_that_is_told_is_that_behind_the_range() -> None:
    doctors, anything = _generated(0.39, "doctor"), _generated(0.39, "")
    own = errors_words(doctors, _runs(**_READ))
    assert "not on these: right on 65.0 % of 200 labelled pictures of “doctor” (a render" in own
    assert "90 of 100 woman, 40 of 100 man, 55 read as other; /known_errors/0/by_group" in own
    assert "uses these. Over all concepts: right on 85.7 %" in own
    assert "of generated pictures, whose" in errors_words(doctors, _runs("a person", **_READ))
    brief = errors_in_brief(doctors, _runs(**_READ))
    assert brief == "right on 65.0 % of other pictures of doctor, not checked on these"
    every = errors_words(anything, _runs(**_READ))
    assert "right on 55.0 % of 200 (guard; a rendering held out of training) to 100.0 %" in every
    assert "draws from the errors of these 3 concepts" in every
    assert "85.7 % of other pictures (55.0 to 100.0 % by concept)" in errors_in_brief(
        anything, _runs(**_READ)
    )
    alone = errors_words(doctors, _runs())
    assert "tones; web pictures may differ). The range with measured errors uses these." in alone


def test_what_a_headline_leaves_out_is_told_where_it_is_much() -> None:
    many, runs = _generated(0.39, "doctor"), _runs(**_READ)
    found = headlines(many, runs)
    assert left_out(many, "generated", found["generated"]) == "39.0 % (other 39.0 %)"
    said = left_out_words(many, found, runs)
    assert "read as neither woman nor man: generated 39.0 %." in said
    assert "10 of 100 woman and 55 of 100 man were read as neither" in said
    assert said.endswith("the labels alone give woman too large a share.")
    alike = left_out_words(many, found, _runs(doctor=_READ["nurse"]))
    assert alike.endswith("woman nor man: generated 39.0 %.")
    assert left_out_words(_generated(0.09, "doctor"), found, runs) == ""


def test_brackets_of_two_methods_are_told_apart(measured: Card) -> None:
    raw = json.loads(json.dumps(measured.behind.sources["probe-doctor"].raw))
    place = "/stages/7/compositions/gender_presentation/shares/unknown"
    Source("", raw).get(place)["method"] = "Clopper-Pearson"
    sources = {"probe-doctor": Source("probe-doctor", raw)}
    behind = replace(measured.behind, sources=sources)
    said = model_card(replace(measured, behind=behind))
    assert re.findall(r'"([^"]+)"\)†', said) == [place]
    assert "(Wilson score interval on effective counts; with †: Clopper-Pearson)" in said


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
    alone = told.model_copy(update={"low": None, "high": None, "left_out": ()})
    one_group = _card(sheet.model_copy(update={"evidence": runs, "samples": (alone,)}))
    assert kept_words(one_group, replay) == (
        "keeps 73.3 % of a random sample of 4,090 of 80,000 rows; what that is of all rows has no "
        "interval"
    )
    assert kept_words(known, sheet.lineage[0]) == "what it removed cannot be seen"


def test_the_page_says_what_it_leaves_out_and_which_run_says_what(measured: Card) -> None:
    pen = Pen(Figure().add_axes((0, 0, 1, 1)), 0.6, 7.67, 1.0)
    draw_shares(pen, measured, bottom=0)
    said = " ".join(one.get_text() for one in pen.axes.texts)
    assert "largest of 1 of 2 groups. Not on this page: Perceived skin tone, concept" in said
    sheet = fake_datasheet()
    lines = ("data: a", "data: b", "probe-doctor: c", "d")
    told = _in_turn(sheet.model_copy(update={"cannot_say": lines}))
    assert told == ["data: a", "probe-doctor: c", "d", "data: b"]


def test_a_question_that_data_answer_in_part_is_half_a_square() -> None:
    sheet = fake_datasheet()
    found = next(s for s in sheet.sections if s.n_answered > s.n_person)
    answers = (a.model_copy(update={"by_data": "in part"}) for a in found.answers)
    one = found.model_copy(update={"answers": tuple(answers)})
    assert one.n_in_part
    pen = Pen(Figure().add_axes((0, 0, 1, 1)), 0.6, 7.67, 1.0)
    _answered(pen, sheet.model_copy(update={"sections": (one,)}))
    halves = [p for p in pen.axes.patches if isinstance(p, Polygon)]
    assert len(halves) == one.n_in_part + 1  # that of the legend
    whole = one.n_answered - one.n_in_part
    assert f"{whole} of {len(one.answers)}" in [t.get_text() for t in pen.axes.texts]


def test_the_page_draws_headlines_over_what_errors_allow(measured: Card) -> None:
    figure = Figure(figsize=(8.27, 11.69), dpi=72)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 8.27)
    axes.set_ylim(11.69, 0)
    pen = Pen(axes, 0.6, 7.67, 1.0)
    draw_shares(pen, measured, bottom=11.0)
    said = " ".join(one.get_text() for one in axes.texts)
    for words in (
        "Of the 190 and 184 read as woman or man (neither: 8.2 % and 8.0 %)",
        "woman: errors allow",
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
