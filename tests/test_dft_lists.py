"""Lists, targets, gaps, numbers and prompts of a plan of diversity fine-tuning."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_result import fake_result
from hypothesis import given
from hypothesis import strategies as st

from laion_probe.attributes import load_attribute
from laion_probe.config.dft import DftConfig
from laion_probe.dft_result import DftResult, ProfessionPlan
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.generating import read_prompts
from laion_probe.questions.dft import dft_plan
from laion_probe.questions.dft_files import layers
from laion_probe.questions.dft_gaps import beyond, targets_of, unnamed
from laion_probe.questions.dft_lists import (
    PROFESSION,
    Term,
    folded,
    known_lists,
    load_list,
    open_axes,
    open_professions,
)
from laion_probe.questions.dft_numbers import apportion
from laion_probe.questions.dft_prompts import check_template, fill
from laion_probe.questions.dft_words import divided
from laion_probe.render.dft_report import dft_markdown

GENDER_ONLY: dict[str, Any] = {"professions": ("profession_soc2018",), "axis": ("gender",)}
HALVES = ("gender:woman=0.5", "gender:man=0.5")
JOBS = ("nurse", "doctor", "baker", "pilot", "judge", "tailor", "plumber", "welder")


def plan(out: Path, **asked: Any) -> DftResult:
    return dft_plan(DftConfig(**asked), folder=out)


def of(result: DftResult) -> dict[str, ProfessionPlan]:
    return {p.term: p for p in result.professions}


def terms_file(folder: Path, axis: str, terms: list[dict[str, str]], **head: str) -> str:
    """A list of a user's own."""
    said = {"axis": axis, "title": "own", "source": "own", "review": "read by us", **head}
    lines = [f"{key} = {json.dumps(value)}" for key, value in said.items()]
    for term in terms:
        lines += ["[[term]]", *(f"{key} = {json.dumps(value)}" for key, value in term.items())]
    path = folder / f"{axis}.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def jobs_file(folder: Path, jobs: tuple[str, ...] = JOBS) -> str:
    path = folder / "jobs.txt"
    path.write_text("\n".join(jobs), encoding="utf-8")
    return str(path)


# Lists


@pytest.mark.parametrize("name", known_lists())
def test_each_shipped_list_has_a_source_and_a_review_note_of_every_word(name: str) -> None:
    one = load_list(name)
    axis = open_professions([name]) if one.axis == PROFESSION else open_axes([name])[0]
    assert all(term.source and term.review for term in axis.terms)
    assert len(axis.terms) == len(one.term), "a word stands twice in the list"
    if one.attribute:
        levels = load_attribute(one.attribute).levels
        assert {t.level for t in one.term if t.level} <= set(levels)
    else:
        assert not any(t.level for t in one.term)
    if one.axis == "ethnicity":
        assert not one.attribute
        assert "no attribute here reads ethnicity" in " ".join(one.note.split())


def test_codes_of_occupations_are_written_as_the_classifications_write_them() -> None:
    isco, soc = load_list("profession_isco08").term, load_list("profession_soc2018").term
    assert all(re.fullmatch(r"[0-9]\d{3}", term.code) for term in isco)
    assert all(re.fullmatch(r"\d\d-\d{4}", term.code) for term in soc)
    assert len(isco) >= 170
    assert all(term.title for term in soc)
    assert len({term.code for term in soc}) == len(soc)
    for term in soc:
        # each word of the term is one of the title, or the source says that it is ours
        title = folded(term.title)
        ours = [w for w in folded(term.term).split() if w not in title]
        assert bool(ours) is ("the word is ours" in term.source), term.term


def test_the_page_of_documentation_names_every_list_with_its_words() -> None:
    page = Path(__file__).parent.parent / "docs" / "dft-plan.md"
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", page.read_text(encoding="utf-8"), re.M)
    assert {name: int(n) for name, n in rows} == {
        name: len(load_list(name).term) for name in known_lists()
    }


def test_the_first_plan_of_the_page_of_documentation_is_what_it_says(tmp_path: Path) -> None:
    page = Path(__file__).parent.parent / "docs" / "dft-plan.md"
    said = " ".join(page.read_text(encoding="utf-8").split())
    result = plan(
        tmp_path,
        professions=(jobs_file(tmp_path, ("doctor", "nurse", "firefighter")),),
        axis=("age", "ethnicity_brazil_2022", "gender"),
        target=HALVES,
    )
    assert f"{result.n_empty} of {result.n_cells} cells get nothing" in said
    assert sum(p.held_out for p in result.professions) == 1
    texts = {p.text for p in read_prompts(str(tmp_path / "prompts" / "all.csv"))}
    (prompt,) = re.findall(r"\*(a photo of [^*]+)\*", said)
    assert prompt in texts
    assert [a.name for a in result.axes if a.target is None] == ["age", "ethnicity"]


@pytest.mark.parametrize("axis", ["prompt", "terms", "gender_level"])
def test_an_axis_cannot_take_a_name_of_the_manifest(tmp_path: Path, axis: str) -> None:
    path = terms_file(tmp_path, axis, [{"term": "a"}])
    with pytest.raises(ConfigError, match=f"cannot be called {axis}"):
        open_axes([path])


def test_no_list_is_taken_by_default(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--professions, such as profession_isco08"):
        plan(tmp_path)
    with pytest.raises(ConfigError, match=r"--axis, such as age, ethnicity_brazil_2022"):
        plan(tmp_path, professions=("profession_soc2018",))
    assert DftConfig().professions == DftConfig().axis == DftConfig().target == ()


def test_lists_of_one_axis_are_put_together_and_a_word_counts_once() -> None:
    (axis,) = open_axes(["ethnicity_uk_2021", "ethnicity_canada_2021"])
    words = [folded(t.term) for t in axis.terms]
    assert len(words) == len(set(words))
    assert axis.merged == {"ethnicity_uk_2021": 0, "ethnicity_canada_2021": 2}  # Chinese, Arab
    both = open_professions(["profession_isco08", "profession_soc2018"])
    assert "registered nurse" not in [t.term for t in both.terms]  # another name of the nurse


@pytest.mark.parametrize(
    ("terms", "head", "says"),
    [
        ([{"term": "a"}], {"review": ""}, "no review note"),
        ([{"term": "a", "revue": "x"}], {}, "unknown key 'term.0.revue'; known keys: term, code"),
        ([{"term": "a {b}"}], {}, "brace"),
        ([{"term": "--"}], {}, "without letters"),
        ([{"term": "a"}], {"title": ""}, "'title'"),
        ([], {}, "'term'"),
        ([{"term": "x" * 201}], {}, "at most 200"),
        ([{"term": "a", "level": "women"}], {"attribute": "gender_presentation"}, "mean woman"),
        # what nobody can read is no level that a word asks for
        (
            [{"term": "a", "level": "unknown"}],
            {"attribute": "gender_presentation"},
            "unknown level of gender_presentation",
        ),
        ([{"term": "a"}], {"attribute": "gender"}, "unknown attribute"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(
    tmp_path: Path, terms: list[dict[str, str]], head: dict[str, str], says: str
) -> None:
    path = terms_file(tmp_path, "faith", terms, **head)
    with pytest.raises((ConfigError, UnknownName), match=says):
        open_axes([path])


def test_a_list_that_is_named_twice_or_says_a_word_twice_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two lists of gender are called gender: name it once"):
        open_axes(["gender", "age", "gender"])
    path = terms_file(tmp_path, "faith", [{"term": "Sikh"}, {"term": "sikh"}, {"term": "Jain"}])
    result = plan(tmp_path, professions=(jobs_file(tmp_path),), axis=(path,))
    assert [t.term for t in result.axes[0].terms] == ["Sikh", "Jain"]
    assert any("faith.toml: 1 of its words stood there already" in n for n in result.notes)
    assert result.axes[0].divided == "equal shares: nothing was named for this axis"


def test_what_was_not_named_of_an_axis_is_told() -> None:
    (gender,) = open_axes(["gender"])
    assert unnamed(["gender_presentation:woman=40%"], gender) == ("man", "nonbinary")
    assert unnamed(["gender:parity"], gender) == unnamed(["age:parity"], gender) == ()
    some = ["gender:woman=0.4", "gender:man=0.3", "gender:nonbinary=0.3"]
    assert unnamed(some, gender) == ()
    many = {str(i): 1 / 40 for i in range(40)}
    assert divided(many, (), 0) == "by the target: 2.5 % to each of 40 levels"
    part = {"a": 0.5} | {str(i): 0.5 / 40 for i in range(40)}
    assert divided(part, [str(i) for i in range(40)], 1) == (
        "by the target: a 50 %; 40 others were not named, 1.25 % each; measured gaps decide for 1 "
        "profession"
    )


def test_wrong_places_for_lists_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has a brace"):
        open_professions([jobs_file(tmp_path, ("nurse {x}",))])
    with pytest.raises(ConfigError, match="give it to --professions"):
        open_axes(["profession_isco08"])
    with pytest.raises(ConfigError, match="give it to --axis"):
        open_professions(["gender"])
    with pytest.raises(UnknownName, match="did you mean gender"):
        open_axes(["gendre"])
    with pytest.raises(ConfigError, match="No such file"):
        open_axes(["missing.toml"])


def test_a_profession_in_the_place_of_a_list_is_told_where_it_goes() -> None:
    with pytest.raises(ConfigError, match=r"'doctor'.*a text file, one a line.*--professions jobs"):
        open_professions(["doctor", "nurse"])
    with pytest.raises(ConfigError, match=r"did you mean profession_isco08"):
        open_professions(["profession_isco8"])


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = DftConfig(**GENDER_ONLY)
    result = dft_plan(asked)
    assert list(tmp_path.iterdir()) == []
    assert result == dft_plan(asked, folder=tmp_path / "plan")
    assert (tmp_path / "plan" / "manifest.parquet").is_file()
    # what could not be read back is told all the same
    words = terms_file(tmp_path, "faith", [{"term": "Sikh\u2028"}])
    with pytest.raises(ConfigError):
        dft_plan(DftConfig(professions=("profession_soc2018",), axis=(words, words)))


# Targets and gaps


def test_a_run_of_one_of_three_professions_is_told_without_a_contradiction(tmp_path: Path) -> None:
    run = tmp_path / "result.json"
    run.write_text(fake_result().to_json(), encoding="utf-8")
    jobs = (jobs_file(tmp_path, ("doctor", "nurse", "firefighter")),)
    asked: dict[str, Any] = {"folder": str(run), "professions": jobs, "axis": ("gender",)}
    (gap,) = of(plan(tmp_path, **asked, target=HALVES, held_out=0))["doctor"].gaps
    drawn = gap.generated.value
    assert drawn is not None
    at_it = (f"gender:woman={drawn}", f"gender:man={1 - drawn}")  # its interval has this in it
    result = plan(tmp_path, **asked, target=at_it, held_out=0)
    (line,) = (words for words in result.finding if words.startswith("The run measured"))
    assert line == (
        "The run measured 1 of 3 professions. These data cannot tell the share of those trained on "
        "from the target: the gap that this plan would mend may not be there. Pictures are planned "
        "at the target."
    )
    assert f"{result.provenance.command} --out FOLDER" in dft_markdown(result)


def test_targets_name_levels_and_the_rest_is_shared() -> None:
    axes = open_axes(["gender", "age"])
    assert targets_of(["gender_presentation:woman=40%"], axes) == {
        "gender": {"woman": 0.4, "man": 0.3, "nonbinary": 0.3}
    }
    assert targets_of(["age:parity"], axes)["age"]["older adult"] == pytest.approx(1 / 3)
    assert targets_of([], axes) == {}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["gender"], "not AXIS:parity or AXIS:LEVEL=SHARE"),
        (["gender:woman=lots"], "share from 0 to 1"),
        (["gender:woman=nan"], "share from 0 to 1"),
        (["gender:woman=0.7", "gender:man=0.7"], "add up to 1.4"),
        (["gender:woman=0.2", "gender:man=0.2", "gender:nonbinary=0.2"], "make it 1"),
        (["gender:parity", "gender:man=0.5"], "contradict each other"),
        (["gender:man=0.5", "gender:man=0.4"], "given twice"),
        (["gender:women=0.5"], "did you mean woman"),
        (["ethnicity:parity"], "unknown axis of a target"),
    ],
)
def test_a_target_that_cannot_be_meant_is_told(asked: list[str], says: str) -> None:
    with pytest.raises((ConfigError, UnknownName), match=says):
        targets_of(asked, open_axes(["gender"]))


@given(st.floats(0, 1), st.floats(0.001, 0.999))
def test_drawn_and_training_pictures_come_to_the_target_together(drawn: float, t: float) -> None:
    found = beyond(drawn, t)
    assert 0 <= found.share <= 1 <= found.weight
    together = (drawn + found.weight * found.share) / (1 + found.weight)
    assert together == pytest.approx(t, abs=1e-6)
    fewer = found.weight * 0.99
    if found.weight > 1.001:  # it is the least: with fewer, a share would be needed that is none
        needed = ((1 + fewer) * t - drawn) / fewer
        assert needed < 0 or needed > 1


# Numbers


@given(st.lists(st.floats(0, 5), min_size=1, max_size=30), st.integers(0, 500), st.integers(0, 9))
def test_whole_numbers_add_up_and_are_within_one(w: list[float], n: int, seed: int) -> None:
    weights = np.array(w)
    counts = apportion(weights, n, np.random.default_rng(seed))
    if weights.sum() == 0:
        assert counts.sum() == 0
        return
    assert counts.sum() == n
    assert np.abs(counts - weights / weights.sum() * n).max() < 1 + 1e-6
    assert not counts[weights == 0].any()


def test_no_word_wins_for_standing_first() -> None:
    first = [apportion(np.ones(10), 5, np.random.default_rng(i))[0] for i in range(200)]
    assert 60 < sum(first) < 140


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_layers_add_up_to_the_numbers(counts: list[int]) -> None:
    found = layers(counts)
    total = [0] * len(counts)
    for images, which in found:
        for i in which:
            total[i] += images
    assert total == counts
    assert len(found) <= 1 + max(counts).bit_length()


# Prompts


@pytest.mark.parametrize(
    ("terms", "job", "prompt"),
    [
        (("Irish", "male"), "actor", "a photo of an Irish male actor"),
        ((), "actor", "a photo of an actor"),
        ((), "urban planner", "a photo of an urban planner"),
        ((), "university professor", "a photo of a university professor"),
        (("European",), "cook", "a photo of a European cook"),
        (("Uyghur",), "cook", "a photo of a Uyghur cook"),
        (("Ukrainian",), "cook", "a photo of a Ukrainian cook"),
        (("Inuk",), "nurse", "a photo of an Inuk nurse"),
        ((), "IT support technician", "a photo of an IT support technician"),
        ((), "usher", "a photo of an usher"),
        (("honest",), "judge", "a photo of an honest judge"),
    ],
)
def test_articles_are_put_right(terms: tuple[str, ...], job: str, prompt: str) -> None:
    axes = {f"axis {i}": Term(term=term) for i, term in enumerate(terms)}
    assert fill("a photo of a {terms} {profession}", Term(term=job), axes) == prompt


def test_a_word_says_its_own_article_and_templates_may_name_axes() -> None:
    job = Term(term="MP", article="an")
    assert fill("a photo of a {terms} {profession}", job, {}) == "a photo of an MP"
    named = {"gender": Term(term="female"), "age": Term(term="older")}
    template = "An {age} {profession}, {gender}"
    assert fill(template, Term(term="nurse"), named) == "An older nurse, female"
    assert fill("A {age} {profession}", Term(term="usher"), {}) == "An usher"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("a photo of a {profession}", "needs {terms}"),
        ("a {terms}", "needs {profession} once"),
        ("a {terms} {gender} {profession}", "needs {terms}"),
        ("a {terms} {job}", "unknown place {job}"),
        ("a {terms} {profession} {", "brace without its pair"),
        ("{0.__class__} {profession}", "unknown place"),
    ],
)
def test_a_template_that_cannot_be_filled_is_told(template: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        check_template(template, open_axes(["gender"]))


def test_prompts_in_the_same_words_are_drawn_as_one(tmp_path: Path) -> None:
    one = terms_file(tmp_path, "faith", [{"term": "old"}, {"term": "old catholic"}])
    two = terms_file(tmp_path, "branch", [{"term": "catholic"}, {"term": "roman"}])
    jobs = terms_file(tmp_path, "profession", [{"term": "catholic priest"}, {"term": "priest"}])
    asked: dict[str, Any] = {"professions": (jobs,), "axis": (one, two), "held_out": 0}
    result = plan(tmp_path, **asked, per_cell=5)
    # "old catholic" + "catholic" + "priest", and "old" + "catholic" + "catholic priest"
    texts = [p.text for p in read_prompts(str(tmp_path / "prompts" / "all.csv"))]
    assert len({folded(t) for t in texts}) == len(texts) == result.n_prompts
    assert result.n_merged_prompts == result.n_cells - result.n_prompts > 0
    assert sum(f.n_pictures for f in result.prompt_files) == result.n_pictures == 40
