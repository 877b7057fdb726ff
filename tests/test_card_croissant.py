"""``croissant.json`` as mlcroissant reads it: valid, and its records those of the datasheet."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import mlcroissant as mlc
import pandas as pd
import pytest
from fake_datasheet import fake_datasheet, write_evidence
from fake_result import fake_result
from mlcroissant._src.core import dataclasses as mlc_dataclasses

from laion_probe.config.card import CardConfig
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.datasheet_result import (
    About,
    DatasheetResult,
    LineageSample,
    Number,
    Statement,
)
from laion_probe.questions.card import card, card_of
from laion_probe.questions.datasheet import datasheet
from laion_probe.questions.datasheet_files import asked_sections
from laion_probe.recipes import known_recipes
from laion_probe.render.card_croissant import croissant_json
from laion_probe.render.card_rai import _CRAWLED, ANSWERS, ONE, rai_properties
from laion_probe.render.card_tables import card_tables, write_card_tables

# rdflib says this of itself, whatever mlcroissant reads with it.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")


_STAGE = "all pictures of the stage"


def _written(sheet: DatasheetResult, folder: Path) -> Path:
    """The description and its tables, without what only people read."""
    write_evidence(folder)
    one = card_of(sheet, CardConfig(folder=str(folder)))
    tables = card_tables(one)
    write_card_tables(tables, folder)
    file = folder / "croissant.json"
    file.write_text(croissant_json(one, tables), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description of the datasheet that has everything."""
    return _written(fake_datasheet(), tmp_path_factory.mktemp("card"))


def _records(file: Path, name: str) -> list[dict[str, Any]]:
    """The records as Python values, in the order of their file."""
    found = mlc.Dataset(file).records(name)
    return [
        {
            key.removeprefix(f"{name}/"): value.decode() if isinstance(value, bytes) else value
            for key, value in record.items()
        }
        for record in found
    ]


def test_mlcroissant_has_nothing_to_say(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        issues = mlc.Dataset(file).metadata.issues
    assert issues.report() == ""
    assert caplog.records == []


def test_the_composition_reads_back_exactly(file: Path) -> None:
    nothing = {"n": None, "units": None, "method": None}  # that this evidence says
    bases = {"data": "rows that were read"}
    wanted = [
        {**row.model_dump(), "of": bases.get(row.evidence, _STAGE), **nothing}
        for row in fake_datasheet().compositions
    ]
    # repr tells 1.0 from 1, None from NaN and every last digit.
    assert repr(_records(file, "composition")) == repr(wanted)


def test_records_are_what_stands_in_the_runs_own_json(tmp_path: Path) -> None:
    run = tmp_path / "run" / "result.json"
    run.parent.mkdir()
    run.write_text(fake_result().to_json(), encoding="utf-8")
    folder = tmp_path / "sheet"
    datasheet(DatasheetConfig(shards=(str(run.parent),), out=str(folder)))
    found = card(CardConfig(folder=str(folder)))
    tables = card_tables(found)
    write_card_tables(tables, folder)
    file = folder / "croissant.json"
    file.write_text(croissant_json(found, tables), encoding="utf-8")
    rows = _records(file, "composition")
    assert len(rows) == len(found.datasheet.compositions) > 40
    raw = json.loads(run.read_text(encoding="utf-8"))
    for row in rows:
        estimate = raw
        for step in row["pointer"].split("/")[1:]:
            estimate = estimate[int(step)] if isinstance(estimate, list) else estimate[step]
        wanted = [estimate[key] for key in ("value", "low", "high", "level")]
        assert repr([row[k] for k in ("share", "low", "high", "interval_level")]) == repr(wanted)
        behind = [estimate[key] for key in ("n", "units", "method")]
        assert repr([row[k] for k in ("n", "units", "method")]) == repr(behind)
        assert row["of"] == _STAGE
    pool = next(stage["n_rows"] for stage in raw["stages"] if stage["id"] == "pool")
    assert [run["n_rows"] for run in _records(file, "evidence")] == [pool]


def test_counts_read_back_exactly(file: Path) -> None:
    sheet = fake_datasheet()
    wanted = [run.model_dump() for run in sheet.evidence]
    assert repr(_records(file, "evidence")) == repr(wanted)
    steps = _records(file, "lineage")
    assert [(s["recipe"], s["step"], s["n_reached"], s["n_removed"]) for s in steps] == [
        ("laion5b-en", "step-1", None, None),
        ("laion5b-en", "step-2", None, None),
        ("dalle2", "step-1", 4000, 40),
        ("dalle2", "step-2", 4000, 80),
        ("mine", None, None, None),
    ]
    assert [(s["already"], s["n_before"], s["n_after"]) for s in steps[::2]] == [
        (True, None, 4090),
        (False, 4090, 3000),
        (True, None, None),
    ]


def test_counts_of_a_sample_are_not_those_of_the_set(tmp_path: Path) -> None:
    sheet = fake_datasheet()
    told = LineageSample(
        evidence="data",
        recipe="dalle2",
        pointer="/recipes/0/kept",
        n_read=4000,
        n_rows=80_000,
        kept=1 / 3,
        low=0.3,
        high=0.1 + 0.2 + 0.1,
        interval_level=0.95,
        n_left=26_667,
        n_left_low=24_000,
        n_left_high=32_000,
        left_out=("a", "b"),
    )
    runs = tuple(run.model_copy(update={"full": run.id != "data"}) for run in sheet.evidence)
    file = _written(sheet.model_copy(update={"evidence": runs, "samples": (told,)}), tmp_path)
    wanted = told.model_dump() | {"left_out": "a; b"}
    (found,) = _records(file, "samples")
    assert repr(sorted(found.items())) == repr(sorted(wanted.items()))
    steps = _records(file, "lineage")
    assert {(s["recipe"], s["of_sample"]) for s in steps} == {
        ("laion5b-en", False),  # its count is of the whole set
        ("dalle2", True),
        ("mine", False),
    }
    assert mlc.Dataset(file).metadata.issues.report() == ""


def test_the_same_table_as_csv_would_not_read_back(file: Path) -> None:
    read = pd.read_csv(file.parent / "tables" / "composition.csv")
    wanted = fake_datasheet().compositions
    assert len(read) == len(wanted)
    assert read["level"].isna().sum() > 0  # levels that are called None and NA
    assert all(row.level is not None for row in wanted)


def test_checksums_are_of_the_files(file: Path) -> None:
    distribution = json.loads(file.read_text(encoding="utf-8"))["distribution"]
    assert len(distribution) == 8
    for item in distribution:
        content = (file.parent / item["contentUrl"]).read_bytes()
        assert item["sha256"] == hashlib.sha256(content).hexdigest()


def test_what_nobody_stated_is_what_mlcroissant_asks_for(tmp_path: Path) -> None:
    file = _written(fake_datasheet(About()), tmp_path)
    issues = mlc.Dataset(file).metadata.issues
    assert issues.errors == set()
    asked = {"citeAs", "datePublished", "license", "version"}
    assert len(issues.warnings) == len(asked)
    assert all("is recommended, but does not exist" in said for said in issues.warnings)
    described = json.loads(file.read_text(encoding="utf-8"))
    assert not (asked | {"name", "creator", "url", "inLanguage"}) & set(described)
    assert described["description"].startswith("A datasheet of a data set of 4,090 rows, measured")


def test_a_datasheet_that_knows_nothing_is_valid(tmp_path: Path) -> None:
    file = _written(fake_datasheet(About(), bare=True), tmp_path)
    assert mlc.Dataset(file).metadata.issues.errors == set()
    described = json.loads(file.read_text(encoding="utf-8"))
    assert described["recordSet"] == []
    assert [key for key in described if key.startswith(("rai:", "prov:"))] == []


def test_hostile_words_of_a_person_stay_valid(tmp_path: Path) -> None:
    about = About(
        name="a b\x00 <c>",
        title="\u202e",
        description='"}],\n"license": "mit',
        license="our own <terms>",
        url="https://a.org/ b",
        version="1.0\n",
        date_published="yesterday",
        creators=(" (person)", "B (organisation)"),
        languages=("en", "no language"),
        citation="{{",
    )
    file = _written(fake_datasheet(about), tmp_path)
    metadata = mlc.Dataset(file).metadata
    assert metadata.issues.errors == set()
    assert metadata.license == ["our own <terms>"]
    assert metadata.description.startswith('"}], "license": "mit Simulated')
    assert metadata.date_published is None
    assert metadata.in_language == ["en"]
    assert {type(maker).__name__ for maker in metadata.creators} == {"Organization"}


# The vocabulary for responsible AI


def test_answers_are_questions_that_are_asked() -> None:
    asked = {question.id for section in asked_sections() for question in section.questions}
    assert {key.rpartition(":")[2] for keys in ANSWERS.values() for key in keys} <= asked


#: Cardinalities of the RAI specification 1.0 (mlcommons/croissant, docs/croissant-rai-spec.md).
_SPECIFIED = {
    "annotationsPerItem": "ONE",
    "dataAnnotationAnalysis": "MANY",
    "dataAnnotationProtocol": "ONE",
    "dataBiases": "MANY",
    "dataCollection": "ONE",
    "dataCollectionMissingData": "ONE",
    "dataCollectionRawData": "ONE",
    "dataCollectionTimeframe": "MANY",
    "dataCollectionType": "MANY",
    "dataLimitations": "MANY",
    "dataPreprocessingProtocol": "MANY",
    "dataReleaseMaintenancePlan": "MANY",
    "dataSocialImpact": "ONE",
    "dataUseCases": "MANY",
    "machineAnnotationTools": "MANY",
    "personalSensitiveInformation": "MANY",
}
#: Where mlcroissant 1.1.1 reads one text and the specification has many, or has another name.
_ONE_HERE, _NOT_READ = {"dataReleaseMaintenancePlan"}, {"dataCollectionTimeframe"}


def _rai(sheet: DatasheetResult, **options: object) -> dict[str, str | list[str]]:
    config = CardConfig.model_validate({"folder": "none", **options})
    return rai_properties(card_of(sheet, config))


def _everything() -> DatasheetResult:
    """A datasheet whose every question a person has answered."""
    sheet = fake_datasheet()
    for section in asked_sections():
        for asked in section.questions:
            when = "2014/2022-08" if asked.id == "collection-timeframe" else f"Of {asked.id}."
            sheet = _answered(sheet, asked.id, Statement(text="Measured."), when)
    return sheet


def test_properties_are_those_of_the_specification_and_of_mlcroissant(file: Path) -> None:
    known = {
        str(field.url).rpartition("/")[2]: field.cardinality
        for field in mlc_dataclasses.jsonld_fields(mlc.Metadata)
        if "/RAI/" in str(field.url)
    }
    found = _rai(_everything(), task=("text-to-image",))
    assert {name.removeprefix("rai:") for name in found} == set(_SPECIFIED)
    for name, value in found.items():
        short = name.removeprefix("rai:")
        assert isinstance(value, str | list)
        if _SPECIFIED[short] == "ONE" or short in _ONE_HERE:
            assert isinstance(value, str), name
        if short not in _NOT_READ:
            assert known[short] == "MANY" or isinstance(value, str), name
    assert {name for name in ONE if known[name.removeprefix("rai:")] != "ONE"} == set()
    assert not _NOT_READ & set(known)
    read = mlc.Dataset(file).metadata
    plain = _rai(fake_datasheet())
    assert sorted(read.data_biases) == sorted(plain["rai:dataBiases"])
    assert read.data_annotation_protocol == [plain["rai:dataAnnotationProtocol"]]
    assert sorted(read.data_annotation_analysis) == sorted(plain["rai:dataAnnotationAnalysis"])
    assert read.data_limitations is not None
    assert set(read.data_limitations) >= {"Simulated data <b>for tests</b>."}


def test_how_and_when_data_were_collected_is_only_what_is_known() -> None:
    sheet = fake_datasheet()
    found = _rai(sheet)
    assert found["rai:dataCollectionType"] == ["Web Scraping"]  # they had passed laion5b-en
    assert "rai:dataCollectionTimeframe" not in found
    replayed = tuple(one.model_copy(update={"already": False}) for one in sheet.lineage)
    assert "rai:dataCollectionType" not in _rai(sheet.model_copy(update={"lineage": replayed}))
    for said, kept in (("2021-02/2021-08", True), ("2021", True), ("in spring", False)):
        one = _answered(sheet, "collection-timeframe", Statement(text=""), said)
        assert (_rai(one).get("rai:dataCollectionTimeframe") == [said]) is kept
    assert (
        "Tasks, as stated: image-to-text."
        in _rai(sheet, task=("image-to-text",))["rai:dataUseCases"]
    )


def test_recipes_of_crawled_sets_are_known_by_name() -> None:
    crawled = [name for name in known_recipes() if name.startswith(_CRAWLED)]
    assert {"laion5b-en", "relaion2b-safe", "sd-v1-4", "datacomp-1b", "cc12m"} <= set(crawled)
    assert not {"none", "yfcc15m", "dalle2-mitigations", "captions-stripped"} & set(crawled)
    for start in _CRAWLED:
        assert any(name.startswith(start) for name in crawled), start


def test_replays_and_findings_are_not_taken_for_what_was_done_or_what_people_say() -> None:
    sheet = fake_datasheet()
    number = Number(shown="7", evidence="probe-doctor", pointer="/x", value=7)
    replayed = Statement(text="Replayed, it removes {0}.", numbers=(number,))
    found = _rai(_answered(sheet, "preprocessing-done", replayed, "We blurred faces."))
    protocol = " ".join(found["rai:dataPreprocessingProtocol"])
    assert "We blurred faces." in protocol
    assert "Replayed" not in protocol
    found = _rai(_answered(sheet, "uses-impact", replayed, "Harm is done."))
    assert found["rai:dataSocialImpact"] == "Harm is done."
    assert "Replayed, it removes 7." in found["rai:dataBiases"]


def _answered(sheet: DatasheetResult, name: str, said: Statement, person: str) -> DatasheetResult:
    """The datasheet with another answer to one question."""
    change = {"measured": (said,), "person": person}
    sections = tuple(
        section.model_copy(
            update={
                "answers": tuple(
                    a.model_copy(update=change) if a.id == name else a for a in section.answers
                )
            }
        )
        for section in sheet.sections
    )
    return sheet.model_copy(update={"sections": sections})


def test_labels_are_said_to_be_whose_they_are() -> None:
    sheet = fake_datasheet()
    found = _rai(sheet)
    assert "Perceived gender presentation: uncorrected classifier labels" in str(
        found["rai:dataAnnotationProtocol"]
    )
    people = str(found["rai:annotationsPerItem"])
    assert people.startswith("No label behind the composition table was given by a person.")
    assert found["rai:machineAnnotationTools"] == ["laion-probe 0.0"]
    rows = tuple(row.model_copy(update={"labels": "human ratings"}) for row in sheet.compositions)
    found = _rai(sheet.model_copy(update={"compositions": rows}))
    assert str(found["rai:annotationsPerItem"]).startswith("People labelled a part")
    assert "rai:machineAnnotationTools" not in found


def test_only_what_the_rows_had_passed_made_them(file: Path) -> None:
    described = json.loads(file.read_text(encoding="utf-8"))
    passed = described["prov:wasGeneratedBy"]
    assert [recipe["name"] for recipe in passed] == ["laion5b-en", "mine"]
    steps = passed[0]["dct:hasPart"]
    assert all("cannot be seen" in step["description"] for step in steps)
    assert [step["@id"] for step in steps] == ["recipe/laion5b-en/1", "recipe/laion5b-en/2"]
    assert [step.get("prov:wasInformedBy") for step in steps] == [None, {"@id": steps[0]["@id"]}]
    protocol = " ".join(described["rai:dataPreprocessingProtocol"])
    assert "LAION-5B, English" in protocol
    assert "DALL-E" not in protocol
    assert described["recordSet"][0]["prov:wasDerivedFrom"] == [
        {"@id": "evidence/data.json"},
        {"@id": "evidence/probe-doctor.json"},
    ]
