"""Plans of diversity fine-tuning: numbers, files, evaluation, report."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fake_compare import fake_cells, fake_compare
from fake_rated import rated_result
from fake_result import HOSTILE, fake_result
from test_blocked import OWN, _at
from test_dft_lists import GENDER_ONLY, HALVES, JOBS, jobs_file, of, plan, terms_file
from test_filters_report import Untied
from test_render import Page

from laion_probe.config import CompareConfig, load_config, make_config
from laion_probe.config.dft import DftConfig
from laion_probe.dft_result import DftResult
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.generating import Plan, read_prompts
from laion_probe.questions.dft_gaps import Measured
from laion_probe.questions.dft_lists import (
    folded,
)
from laion_probe.questions.generators import prompts_of
from laion_probe.questions.many import read_concepts
from laion_probe.render.compare_report import compare_report_html
from laion_probe.render.dft_report import dft_markdown, dft_report_html, render_dft
from laion_probe.results import Estimate


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compare run of made-up counts: the share of women falls from nurse to welder."""
    folder = tmp_path_factory.mktemp("compare")
    levels = ("woman", "man", "unknown")
    cells = fake_cells(JOBS, ("tiny",), levels[:2])
    cells["doctor", "tiny"] = {"woman": 250, "man": 250}  # no gap that data could tell
    result = fake_compare(cells, levels).model_copy(update={"attribute": "gender_presentation"})
    assert compare_report_html(result)
    (folder / "result.json").write_text(result.to_json(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def planned(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DftResult, Path]:
    folder = tmp_path_factory.mktemp("plan")
    result = plan(
        folder,
        folder=str(measured),
        professions=(jobs_file(folder),),
        axis=("gender", "ethnicity_brazil_2022"),
        target=HALVES,
        per_cell=10,
        held_out=0.25,
        seconds_per_picture=2.0,
    )
    return result, folder


# Numbers of a plan


def test_numbers_follow_the_gaps(planned: tuple[DftResult, Path]) -> None:
    result, _ = planned
    assert result.rule == "gap"
    for p in result.professions:
        (gap,) = p.gaps
        assert gap.generated.value is not None
        assert gap.target == 0.5
        if not gap.sure:
            assert gap.planned == gap.planned_low == gap.planned_high == 0.5
            continue
        assert (gap.planned > 0.5) is (gap.generated.value < 0.5)
        assert gap.planned == pytest.approx(1 - gap.generated.value)
        assert gap.planned_low <= gap.planned <= gap.planned_high
        if p.held_out:
            assert p.n_pictures == 0
            assert gap.realised is None
        else:
            assert gap.realised == pytest.approx(gap.planned, abs=1 / p.n_pictures)
    assert not of(result)["doctor"].gaps[0].sure
    assert sum(p.gaps[0].sure for p in result.professions) >= 5
    nonbinary = next(t for t in result.axes[0].terms if t.term == "nonbinary")
    assert nonbinary.n_pictures == 0  # halves to women and men leave nothing
    assert any("leaves no picture to nonbinary" in note for note in result.notes)
    assert "Furthest from it" in " ".join(result.finding)
    assert "2 of 3 words of gender (none for nonbinary)" in result.finding[0]
    # a gap that was measured under another of the profession's names is told by that name
    other = result.model_copy(
        update={
            "professions": tuple(
                p.model_copy(
                    update={
                        "gaps": tuple(g.model_copy(update={"concept": "x-ray"}) for g in p.gaps)
                    }
                )
                for p in result.professions
            )
        }
    )
    assert "measured as" in dft_report_html(other) and "x-ray" in dft_report_html(other)
    assert "measured as" not in dft_report_html(result)


def test_without_a_run_cells_are_equal_or_follow_the_target(tmp_path: Path) -> None:
    equal = plan(tmp_path / "a", **GENDER_ONLY, per_cell=3)
    assert equal.rule == "equal"
    assert {t.share for t in equal.axes[0].terms} == {1 / 3}
    assert [f.images for f in equal.prompt_files] == [3]
    aimed = plan(tmp_path / "b", **GENDER_ONLY, target=("gender:woman=0.5", "gender:man=0.25"))
    assert aimed.rule == "target"
    counted = {t.level: t.n_pictures for t in aimed.axes[0].terms}
    (path, _) = aimed.evaluation.configs
    config = load_config(tmp_path / "b" / path, {}, CompareConfig)
    assert (config.reported, config.reference) == (
        "woman",
        ("gender_presentation:target=0.666667",),
    )
    assert counted == pytest.approx({"woman": 348, "man": 174, "nonbinary": 174}, abs=30)
    assert sum(counted.values()) == aimed.n_pictures == 58 * 3 * 4


def test_a_run_needs_a_target_and_an_axis_that_stands_for_what_it_measured(
    measured: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"folder": str(measured), "professions": (jobs_file(tmp_path),)}
    with pytest.raises(ConfigError, match="none is taken by default"):
        plan(tmp_path, **asked, axis=("gender",))
    with pytest.raises(ConfigError, match="no axis with a target stands for it"):
        plan(tmp_path, **asked, axis=("age",), target=("age:parity",))
    asked["professions"] = (jobs_file(tmp_path, ("astronaut", "diver")),)
    with pytest.raises(ConfigError, match="measured no profession of the lists"):
        plan(tmp_path, **asked, axis=("gender",), target=HALVES)


def test_of_several_generators_one_is_named(tmp_path: Path) -> None:
    levels = ("woman", "man", "unknown")
    result = fake_compare(fake_cells(JOBS, ("one", "two"), levels[:2]), levels)
    result = result.model_copy(update={"attribute": "gender_presentation"})
    (tmp_path / "result.json").write_text(result.to_json(), encoding="utf-8")
    asked: dict[str, Any] = {
        "folder": str(tmp_path / "result.json"),
        "professions": (jobs_file(tmp_path),),
        "axis": ("gender",),
        "target": HALVES,
    }
    with pytest.raises(ConfigError, match=r"--generator .*one, two"):
        plan(tmp_path, **asked)
    with pytest.raises(UnknownName, match="did you mean two"):
        plan(tmp_path, **asked, generator="tow")
    assert plan(tmp_path, **asked, generator="two").rule == "gap"
    with pytest.raises(ConfigError, match="give the folder of that run"):
        plan(tmp_path, **{**asked, "folder": None}, generator="two")


def test_the_first_sentence_counts_what_is_planned(planned: tuple[DftResult, Path]) -> None:
    result, folder = planned
    manifest = pl.read_parquet(folder / "manifest.parquet")
    cells = manifest.select("profession", "gender", "ethnicity").n_unique()
    assert 0 < cells == result.n_cells - result.n_empty < result.n_cells
    assert result.finding[0] == (
        f"{len(manifest):,} training pictures of {manifest['prompt'].n_unique()} prompts, in "
        f"{cells} of {result.n_cells} cells: {manifest['profession'].n_unique()} professions × "
        f"{manifest['gender'].n_unique()} of 3 words of gender (none for nonbinary) × 5 words of "
        "ethnicity."
    )


def test_an_axis_for_which_nothing_was_named_is_told_wherever_the_plan_is_shown(
    planned: tuple[DftResult, Path],
) -> None:
    result, _ = planned
    gender, ethnicity = result.axes
    assert ethnicity.divided == "equal shares: nothing was named for this axis"
    assert f"ethnicity: {ethnicity.divided}." in result.finding  # which is what is printed
    shown = ethnicity.divided.capitalize()
    assert shown in Page(dft_report_html(result)).text
    assert f"### ethnicity\n\n{shown}." in dft_markdown(result)
    n = sum(p.gaps[0].sure for p in result.professions if not p.held_out)
    assert gender.divided == (
        "by the target: woman 50 %, man 50 %; nonbinary was not named, 0 %; measured gaps decide "
        f"for {n} professions"
    )


def test_the_numbers_say_from_which_point_of_the_interval_they_are_made(
    planned: tuple[DftResult, Path],
) -> None:
    result, _ = planned
    notes = " ".join(result.gap_notes)
    assert "95 % interval" in notes
    assert "made from the point value" in notes
    assert "whether there is a gap to mend" in notes and "doctor (gender)" in notes
    assert "about 5 % would be shown to differ" in notes
    labels = {gap.labels for p in result.professions for gap in p.gaps}
    assert ("uncorrected" in notes) is any("uncorrected" in words for words in labels)
    page = Page(dft_report_html(result)).text
    words = dft_markdown(result)
    for note in result.gap_notes:
        assert note in page
    assert "there may be no gap" in page and "there may be no gap" in words
    (row,) = [line for line in words.splitlines() if line.startswith("| doctor")]
    assert row.count("[") == 1  # the interval of the share, and no range of what is planned
    low, high = (f"{100 * x:.3g} %" for x in _ends(of(result)["doctor"].gaps[0].generated))
    assert low in row and high in row


def _ends(e: Estimate) -> tuple[float, float]:
    assert e.low is not None and e.high is not None
    return e.low, e.high


def test_a_plan_without_a_gap_that_data_can_tell_says_so(tmp_path: Path) -> None:
    levels = ("woman", "man", "unknown")
    cells = {(job, "tiny"): {"woman": 20, "man": 20} for job in JOBS[:3]}
    result = fake_compare(
        {(c, g): n for (c, g), n in fake_cells(JOBS[:3], ("tiny",), levels[:2]).items()} | cells,
        levels,
    ).model_copy(update={"attribute": "gender_presentation"})
    (tmp_path / "result.json").write_text(result.to_json(), encoding="utf-8")
    asked = plan(
        tmp_path,
        folder=str(tmp_path),
        professions=(jobs_file(tmp_path, JOBS[:3]),),
        axis=("gender",),
        target=HALVES,
    )
    assert not any(gap.sure for p in asked.professions for gap in p.gaps)
    assert any("the gap that this plan would mend may not be there" in s for s in asked.finding)
    assert not any("Furthest" in s for s in asked.finding)
    assert "no measured gap can be told" in Page(dft_report_html(asked)).text
    assert {p.gaps[0].realised for p in asked.professions if not p.held_out} == {0.5}


# Files


def test_generate_reads_the_prompts_and_the_manifest_has_each_picture(
    planned: tuple[DftResult, Path],
) -> None:
    result, folder = planned
    manifest = pl.read_parquet(folder / "manifest.parquet")
    assert len(manifest) == result.n_pictures == 6 * 3 * 5 * 10
    assert manifest["seed"].n_unique() == len(manifest)  # no picture is drawn twice
    for file in result.prompt_files:
        prompts = read_prompts(str(folder / file.path))
        assert len(prompts) == file.n_prompts
        drawn = Plan(prompts, file.images, file.seed)
        mine = manifest.filter(pl.col("folder") == file.folder)
        expected = {(p.prompt.text, p.number, p.seed) for p in drawn.part(0)}
        assert expected <= set(mine.select("prompt", "number", "seed").iter_rows())
        assert len(mine) == file.n_pictures == len(drawn)
        assert f"--seed {file.seed} --out {file.folder}" in file.command
    held_out = {p.term for p in result.professions if p.held_out}
    assert len(held_out) == 2
    assert not held_out & set(manifest["profession"])
    row = manifest.filter(pl.col("profession") == "baker").row(0, named=True)
    assert row["caption_neutral"] == "a photo of a baker"
    assert row["gender"] in row["caption_stated"]
    assert row["gender_level"] == {"female": "woman", "male": "man"}[row["gender"]]


def test_compare_reads_the_evaluation(planned: tuple[DftResult, Path]) -> None:
    result, folder = planned
    prompts = read_prompts(str(folder / result.evaluation.prompts))
    assert len(prompts) == len(JOBS)
    assert len(result.evaluation.configs) == 2
    seen: list[str] = []
    for path in result.evaluation.configs:
        head = re.findall(r"^# (.*)$", (folder / path).read_text(encoding="utf-8"), re.M)
        assert head[-1] == "with it."
        config = load_config(folder / path, {}, CompareConfig)
        assert config.attributes == ("gender_presentation",)
        assert config.reported == "woman"
        assert config.reference == ("gender_presentation:target=0.5",)
        assert config.generated == tuple(
            f"{x}={folder / 'evaluation' / x}" for x in ("before", "after")
        )
        concepts = read_concepts(config.concepts or "")
        texts = [p.text for p in prompts]
        assert all(len(prompts_of(c, texts, concepts)) == 1 for c in concepts)
        seen += concepts
    assert sorted(seen) == sorted(JOBS)


def test_a_profession_that_compare_would_skip_is_told(tmp_path: Path) -> None:
    jobs = terms_file(tmp_path, "profession", [{"term": "# of a list"}, {"term": "nurse"}])
    with pytest.raises(ConfigError, match="begins with #"):
        plan(tmp_path, professions=(jobs,), axis=("gender",), held_out=0)


def test_every_shipped_profession_is_told_apart_in_the_evaluation(tmp_path: Path) -> None:
    lists = ("profession_isco08", "profession_soc2018")
    result = plan(tmp_path, professions=lists, axis=("age",), per_cell=1)
    assert not any("compare will leave out" in note for note in result.notes)
    assert result.n_merged_prompts == 0


def test_held_out_professions_are_seeded_and_stay_as_the_list_grows(tmp_path: Path) -> None:
    def held(seed: int, jobs: tuple[str, ...] = JOBS) -> set[str]:
        result = plan(
            tmp_path, professions=(jobs_file(tmp_path, jobs),), axis=("gender",), seed=seed
        )
        return {p.term for p in result.professions if p.held_out}

    assert held(1) == held(1)
    assert len({frozenset(held(seed)) for seed in range(6)}) > 1
    assert len(held(1)) == 2  # 0.2 of 8
    assert len(held(1) & held(1, (*JOBS, "clerk"))) >= 1
    only = plan(tmp_path, professions=(jobs_file(tmp_path, ("nurse",)),), axis=("gender",))
    assert not only.professions[0].held_out
    assert any("No profession is held out" in s for s in only.finding)
    asked: dict[str, Any] = {"professions": (jobs_file(tmp_path, JOBS[:3]),), "axis": ("gender",)}
    most = plan(tmp_path, **asked, held_out=0.99)
    assert sum(p.held_out for p in most.professions) == 2
    assert "Held out: 2 of 3 and not the 3 that were asked for" in " ".join(most.notes)
    assert not any("Held out" in note for note in plan(tmp_path, **asked).notes)
    with pytest.raises(ConfigError, match=r"a share of the professions.*no number of them"):
        make_config({**asked, "held_out": "5"}, DftConfig)


def test_a_grid_too_large_is_told_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name fewer lists, or a smaller --per-cell"):
        plan(tmp_path, **GENDER_ONLY, per_cell=1_000_000)


# The report


def test_a_plan_comes_back_from_json_and_repeats_byte_for_byte(
    planned: tuple[DftResult, Path], measured: Path, tmp_path: Path
) -> None:
    result, folder = planned
    render_dft(result, tmp_path / "one")
    read = DftResult.from_json((tmp_path / "one" / "result.json").read_text(encoding="utf-8"))
    assert read == result
    render_dft(read, tmp_path / "two")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert str(folder) not in result.to_json()
    assert str(measured) not in result.to_json()


def test_the_page_shows_the_plan_and_nothing_else(planned: tuple[DftResult, Path]) -> None:
    result, _ = planned
    html = dft_report_html(result)
    read, stored = Page(html), json.loads(result.to_json())
    assert read.open == []
    expected = ["finding", "gaps", "words", "professions", "files", "context", "method"]
    assert [a["id"] for a in read.of("section") if "id" in a] == [*expected, "provenance"]
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(read.of("table")) == len(read.of("caption"))
    tied = [a for _, a in read.tags if "data-pointer" in a]
    assert len(tied) > 60
    for a in tied:
        found = _at(stored, a["data-pointer"])
        found = found["value"] if isinstance(found, dict) else found
        assert a["data-value"] == repr(found), a

    def numbers(text: str) -> set[str]:
        return {n.replace(",", "") for n in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}

    assert numbers(Untied(html).text) <= numbers(result.to_json()) | OWN
    assert "described here, not endorsed" in read.text


def test_tables_hold_every_gap_and_word(planned: tuple[DftResult, Path], tmp_path: Path) -> None:
    result, _ = planned
    render_dft(result, tmp_path)
    with (tmp_path / "tables" / "gaps.csv").open(encoding="utf-8", newline="") as file:
        gaps = {row["profession"]: row for row in csv.DictReader(file)}
    assert set(gaps) == set(JOBS)
    assert float(gaps["nurse"]["planned"]) == of(result)["nurse"].gaps[0].planned
    with (tmp_path / "tables" / "words.csv").open(encoding="utf-8", newline="") as file:
        words = list(csv.DictReader(file))
    assert [row["term"] for row in words] == [t.term for axis in result.axes for t in axis.terms]


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    nasty = [{"term": " ".join(x.split()).replace("{", "(").replace("}", ")")} for x in HOSTILE]
    terms = [t for t in nasty if 0 < len(t["term"]) < 200 and folded(t["term"])]
    terms = [t for t in terms if not re.search(r"[\x00-\x1f\x7f-\x9f]", t["term"])]
    assert len(terms) >= 4
    path = terms_file(tmp_path, "faith", terms, review="<b>read</b> [me](javascript:alert)")
    result = plan(tmp_path, professions=(jobs_file(tmp_path),), axis=(path,))
    read = Page(dft_report_html(result))
    assert len(read.of("script")) == 1
    assert not read.of("img")
    assert not [a for _, a in read.tags if any(key.startswith("on") for key in a)]
    words = dft_markdown(result)
    assert not re.search(r"(?<!\\)[<>\[]", re.sub(r"\n> About.*", "", words))
    assert "`faith.toml`:" in words, "nothing is escaped inside of code"


def test_the_plan_says_what_to_do_in_order(planned: tuple[DftResult, Path]) -> None:
    result, _ = planned
    words = dft_markdown(result)
    commands = [*result.evaluation.commands, *(f.command for f in result.prompt_files)]
    assert all(command in words for command in commands)
    assert words.index("evaluation/before") < words.index("training/all")
    assert words.index("training/all") < words.index("evaluation/after")
    assert result.price.hours == pytest.approx(
        2 * (result.n_pictures + result.evaluation.n_pictures) / 3600
    )
    assert "170 professions, 57 ethnicities" in result.published
    assert "from memory" not in result.to_json()


# A probe run


def test_a_probe_run_gives_the_gap_of_its_concept(tmp_path: Path) -> None:
    run = tmp_path / "result.json"
    run.write_text(fake_result().to_json(), encoding="utf-8")
    asked: dict[str, Any] = {"folder": str(run), "target": HALVES, "held_out": 0}
    jobs = ("profession_isco08",)
    result = plan(tmp_path, **asked, professions=jobs, axis=("gender",))
    with_gap = {p.term: p.gaps for p in result.professions if p.gaps}
    assert list(with_gap) == ["doctor"]
    (gap,) = with_gap["doctor"]
    drawn = fake_result().stage("generated").compositions["gender_presentation"]
    assert gap.generated == (drawn.corrected.contrast if drawn.corrected else drawn.contrast)
    assert gap.labels == drawn.labels
    assert gap.allowed == drawn.with_known_errors
    assert of(result)["nurse"].n_pictures == pytest.approx(12, abs=1)  # at the target
    run.write_text(fake_result(generated=False).to_json(), encoding="utf-8")
    with pytest.raises(ConfigError, match="no composition of generated pictures"):
        plan(tmp_path, **asked, professions=jobs, axis=("gender",))


def test_a_gap_that_measured_errors_could_make_alone_is_none(tmp_path: Path) -> None:
    share = Estimate(value=0.2, low=0.1, high=0.3, n=100, units=100, method="m")
    one = Measured("doctor", "gender_presentation", "woman", ("man",), share, "made up")
    assert one.differs(0.5) and not one.differs(0.25)
    for low, high, differs in ((0.05, 0.45, True), (0.05, 0.6, False), (0.6, 0.7, False)):
        allowed = share.model_copy(update={"low": low, "high": high})
        assert replace(one, allowed=allowed).differs(0.5) is differs
    no_end = share.model_copy(update={"low": None, "high": None})
    assert not replace(one, share=no_end).differs(0.5)
    # and a plan tells of it
    result = fake_result()
    run = tmp_path / "result.json"
    run.write_text(result.to_json(), encoding="utf-8")
    target = result.stage("generated").compositions["gender_presentation"].with_known_errors
    assert target is not None and target.high is not None
    asked: dict[str, Any] = {
        "folder": str(run),
        "professions": (jobs_file(tmp_path),),
        "axis": ("gender",),
        "held_out": 0,
    }
    woman = f"gender:woman={target.high - 0.01:.4f}"
    planned = plan(tmp_path, **asked, target=(woman, "gender:nonbinary=0"))
    (gap,) = of(planned)["doctor"].gaps
    assert gap.generated.high is not None and gap.generated.high < gap.target
    assert not gap.sure and gap.planned == gap.target
    assert "measured errors allow" in Page(dft_report_html(planned)).text
    assert any("what the classifier's measured errors allow" in n for n in planned.gap_notes)


def test_ratings_take_the_place_of_a_classifier(tmp_path: Path) -> None:
    result = rated_result()
    run = tmp_path / "result.json"
    run.write_text(result.to_json(), encoding="utf-8")
    corrected = result.stage("generated").compositions["gender_presentation"].corrected
    assert corrected is not None
    planned = plan(
        tmp_path,
        folder=str(run),
        target=HALVES,
        professions=(jobs_file(tmp_path, (result.concept.name, "nurse")),),
        axis=("gender",),
    )
    (gap,) = of(planned)[result.concept.name].gaps
    assert gap.generated == corrected.contrast
    assert gap.labels == f"raters ({corrected.estimator})"
