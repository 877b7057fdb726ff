"""Recipes: what ships against the facts as read, chains and what was passed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from shardmaker import frame, write

from laion_probe.errors import ConfigError
from laion_probe.recipes import Recipe, Step, known_recipes, load_recipe, recipes_table
from laion_probe.shards import list_shards, list_units
from laion_probe.steps import Outcome
from laion_probe.unit_scan import judge_unit

# The facts as read in the sources: recipe -> the parameters of its own steps in order, with those
# that nothing can replay as their ids. Written down from the sources, not from the TOMLs.
URLS = {"any_of": [".svg", ".gif", "data:image", "javascript:"], "ignore_case": False}
PRINTABLE = {"printable_only": True}
NSFW = {"any_of": ["teen", "kid", "child", "baby"]}
LATIN = {f"{c}-Latn": c for c in ("bg", "el", "hi", "ja", "ru", "zh")}
CLD3 = {"detector": "cld3-5-2000", "reliable_only": True, "rename": LATIN}
EN, PAIR = {"keep": ["en"]}, {"by": ["url", "text"]}
FASTTEXT = [{"detector": "fasttext"}, EN]
LAION5B = [URLS, {"max_characters": 60}, PRINTABLE, CLD3, {"min_characters": 5}]
LAION5B = [*LAION5B, {"max_characters": 2000}, {"by": ["url"]}]
SIMILAR, UNSAFE, MARK, BEAUTY = "similarity", "punsafe", "pwatermark", "aesthetic"
L14 = {"column": "similarity_l14", "share": 0.3}
PIXELS = {"max_pixels": 89_478_484}


def bound(column: str, **bounds: float) -> dict[str, Any]:
    return {"column": column, **bounds}


FACTS: dict[str, list[Any]] = {
    "none": [],
    "laion400m": [
        *({}, URLS, "blocked", {}, {"detector": "cld2"}, EN, {"min_characters": 5}, PAIR),
        *(PIXELS, bound(SIMILAR, at_least=0.3), NSFW),
    ],
    "laion5b-en": [
        *(*LAION5B, {"keep": ["en"], "others": "route"}, PIXELS),
        *(bound(SIMILAR, at_least=0.28), NSFW),
    ],
    "laion5b-multi": [
        *(*LAION5B, {"all_but": ["en", "und"], "others": "route"}, PIXELS),
        *(bound(SIMILAR, at_least=0.26), NSFW),
    ],
    "laion5b-nolang": [
        *(*LAION5B, {"keep": ["und"], "others": "route"}, PIXELS),
        *(bound(SIMILAR, at_least=0.26), NSFW),
    ],
    "laion5b": [
        *(*(p for p in LAION5B if p is not CLD3), PIXELS, bound(SIMILAR, at_least=0.26)),
        NSFW,
    ],
    "laion-highres": [{"min_pixels": 1024}],
    "laion-aesthetics-v1": [
        *(bound(UNSAFE, below=0.5), bound(MARK, below=0.8), bound(BEAUTY, above=7)),
    ],
    "laion-art": [bound(UNSAFE, below=0.5), bound(MARK, below=0.8), bound(BEAUTY, above=8)],
    "laion-aesthetics-v2-5plus": [bound(BEAUTY, at_least=5)],
    "laion-aesthetics-v2-6plus": [bound(BEAUTY, at_least=6)],
    "laion-aesthetics-v2-6.5plus": [bound(BEAUTY, at_least=6.5)],
    "relaion2b-research": ["links"],
    "relaion2b-safe": ["unsafe"],
    "sd-v1-1": ["first-phase"],
    "sd-v1-2": [{"min_pixels": 512}, bound(BEAUTY, above=5), bound(MARK, below=0.5)],
    "sd-v1-4": [{"probability": 0.1}],
    "sd-v2": [bound(UNSAFE, below=0.1), bound(BEAUTY, at_least=4.5), {"min_pixels": 512}],
    "sd-v2-1": [bound(UNSAFE, below=0.98), bound(BEAUTY, at_least=4.5), {"min_pixels": 512}],
    "cc3m": [
        *("format", {"min_pixels": 401}, {"max_ratio": 2}),
        *(*("grammar", "capitals", "rare-words", "profanity", "image-text"), {}),
    ],
    "cc12m": [
        *("format", {"min_pixels": 401}, {"max_ratio": 2.5}),
        {"min_words": 3, "max_words": 256},
        *("grammar", "repetition", "rare-words", "profanity", "image-text"),
        {"by": "<PERSON>"},
    ],
    "yfcc15m": ["english"],
    "dalle-mini": [{"transliteration": "anyascii"}, {"probability": 0}],
    "dalle2-mitigations": ["filter", {"by": "gender-words"}, "dedup"],
    "datacomp-basic": [
        *(*FASTTEXT, {"min_words": 3}, {"min_characters": 6}, {"min_pixels": 200}),
        {"max_ratio": 3},
    ],
    "datacomp-laion2b": [{"detector": "cld3-0-1000"}, EN, bound(SIMILAR, at_least=0.28)],
    "datacomp-text": [*FASTTEXT, "synset"],
    "datacomp-clip-l14-30": [L14],
    "datacomp-1b": [L14, *FASTTEXT, {"min_words": 2}, {"min_characters": 6}, "cluster"],
    "coyo700m": [
        *("bytes", {"max_ratio": 3}, {"min_pixels": 200}),
        *(bound("nsfw_score", at_most=0.5), "benchmarks", {"detector": "cld3-0-1000"}),
        *(EN, {}, {"min_characters": 6}, "noun", {"min_words": 3, "max_words": 256}),
        *({"max_characters": 1000}, {"max_times": 10}, "profanity", PAIR),
    ],
    "metaclip-400m": [*FASTTEXT, PAIR, {"t": 20_000}],
    "c4-ban-list": [{"lists": ["ldnoobw:en"]}],
    "captions-stripped": [{}, {"detector": "cld2"}, EN],
}


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_steps_are_the_facts(name: str) -> None:
    own = [s for s in load_recipe(name).step if not s.of]
    assert [s.id if s.kind == "not-simulated" else s.params for s in own] == FACTS[name]


def test_every_recipe_has_its_facts() -> None:
    assert set(known_recipes()) == set(FACTS)
    assert "multilingual" in load_recipe("laion5b-multi").step[-2].scorer


@pytest.mark.parametrize("name", known_recipes())
def test_every_recipe_is_cited_step_by_step(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.source
    assert recipe.confidence in {"verified", "secondary", "from memory", "hypothesis"}
    for step in recipe.step:
        assert step.source, step.id
        assert step.confidence != "user"
        assert step.simulated == "yes" or step.note, step.id
        assert (step.simulated == "no") == (step.kind == "not-simulated"), step.id
        assert "files" not in step.params
        if step.kind == "score":
            assert step.scorer, step.id


def test_what_is_not_read_in_the_source_itself_says_so() -> None:
    secondary = {n for n in known_recipes() if load_recipe(n).confidence == "secondary"}
    assert secondary == {
        *("cc3m", "cc12m", "dalle2-mitigations", "relaion2b-research", "relaion2b-safe"),
        *("laion-aesthetics-v2-5plus", "laion-aesthetics-v2-6plus"),
    }
    assert load_recipe("laion-aesthetics-v2-6.5plus").confidence == "from memory"
    assert load_recipe("captions-stripped").confidence == "hypothesis"
    length = next(s for s in load_recipe("laion400m").step if s.id == "length")
    assert length.confidence == "secondary"


# canonical columns of the test data
HELD = {"url", "text", "width", "height", "similarity", "nsfw", "punsafe"}


@pytest.mark.parametrize("name", known_recipes())
def test_every_recipe_judges_rows(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    unit = list_units(list_shards([str(write(tmp_path, frame(60), 1))]))[0]
    judged = judge_unit(unit, recipe)
    for i, step in enumerate(recipe.step):
        seen = {Outcome(o) for o in judged[f"outcome_{i}"].unique()}
        if step.simulated == "no":
            assert seen == {Outcome.NOT_EVALUABLE}
        elif set(step.needs) <= HELD and step.kind != "balance":
            assert seen != {Outcome.NOT_EVALUABLE}
        elif step.role == "drop":
            assert seen == {Outcome.NOT_EVALUABLE}, "a column is missing"


def test_a_chain_begins_with_the_steps_of_the_recipe_before() -> None:
    before, recipe = load_recipe("sd-v1-2"), load_recipe("sd-v1-4")
    assert load_recipe("laion5b-en").chain == ()
    assert before.chain == ("laion5b-en",)
    assert recipe.chain == ("laion5b-en", "sd-v1-2")
    assert [s.id for s in recipe.step[:-1]] == [s.id for s in before.step]
    assert [s.params for s in recipe.step[:11]] == [
        s.params for s in load_recipe("laion5b-en").step
    ]
    assert [s.of for s in recipe.step] == ["laion5b-en"] * 11 + ["sd-v1-2"] * 3 + [""]
    assert load_recipe("sd-v1-1").chain == ("laion5b", "laion-highres")


def mine(tmp_path: Path, body: str, name: str = "mine") -> Path:
    path = tmp_path / f"{name}.toml"
    path.write_text(f'name = "{name}"\ntitle = "t"\nsource = "s"\n{body}', encoding="utf-8")
    return path


def step_toml(kind: str, params: str = "", id: str = "a") -> str:
    more = f"params = {{ {params} }}\n" if params else ""
    return f'[[step]]\nid = "{id}"\nkind = "{kind}"\ntitle = "t"\n{more}'


def test_ids_that_clash_get_the_earlier_name_in_front(tmp_path: Path) -> None:
    first = mine(tmp_path, step_toml("clean-text", id="clean") + step_toml("clean-text", id="url"))
    body = f'after = "{first.name}"\n' + step_toml("clean-text", id="url")
    mine(tmp_path, body, "second")
    body = 'after = "second.toml"\n' + step_toml("clean-text", id="url")
    third = mine(tmp_path, body, "third")
    recipe = load_recipe(str(third))
    assert [s.id for s in recipe.step] == ["clean", "mine:url", "second:url", "url"]
    assert [s.of for s in recipe.step] == ["mine", "mine", "second", ""]
    assert recipe.chain == ("mine", "second")
    again = Recipe.model_validate(recipe.model_dump(mode="json"))
    assert again == recipe


def test_a_chain_may_not_be_too_long_nor_come_after_itself(tmp_path: Path) -> None:
    many = "".join(step_toml("clean-text", id=f"s{i}") for i in range(11))
    path = mine(tmp_path, 'after = "laion5b-en"\n' + many)
    with pytest.raises(
        ConfigError, match=r"line 4: 22 steps with those of 'laion5b-en'; at most 2"
    ):
        load_recipe(str(path))
    mine(tmp_path, 'after = "b.toml"\n', "a")
    mine(tmp_path, 'after = "a.toml"\n', "b")
    with pytest.raises(ConfigError, match=r"b\.toml, line 4: 'a\.toml' comes after this recipe"):
        load_recipe(str(tmp_path / "a.toml"))


def score(scorer: str = "", column: str = "similarity", **bounds: float) -> Step:
    params = {"column": column, **bounds}
    return Step(id="s", kind="score", title="t", scorer=scorer, params=params)


def of(*steps: Step) -> Recipe:
    named = [s.model_copy(update={"id": f"s{i}"}) for i, s in enumerate(steps)]
    return Recipe(name="r", title="t", source="s", step=tuple(named))


@pytest.mark.parametrize(
    ("been", "asked", "passed"),
    [
        ({"at_least": 0.3}, {"at_least": 0.28}, True),
        ({"at_least": 0.28}, {"at_least": 0.3}, False),
        ({"at_least": 0.3}, {"at_least": 0.3}, True),
        ({"above": 0.3}, {"at_least": 0.3}, True),
        ({"at_least": 0.3}, {"above": 0.3}, False),
        ({"below": 0.5}, {"at_most": 0.5}, True),
        ({"at_most": 0.5}, {"below": 0.5}, False),
        ({"at_most": 0.4}, {"below": 0.5}, True),
        ({"at_most": 0.4}, {"at_least": 0.1}, False),
        ({"at_least": 0.3}, {"at_least": 0.1, "at_most": 0.9}, False),
        ({"at_least": 0.3, "at_most": 0.5}, {"at_least": 0.1, "at_most": 0.9}, True),
    ],
)
def test_a_stricter_bound_implies_a_looser_one(
    been: dict[str, float], asked: dict[str, float], passed: bool
) -> None:
    assert of(score(**been)).passed(score(**asked)) is passed


def test_bounds_are_of_one_column_one_scorer_and_may_come_from_two_steps() -> None:
    high = of(score(at_least=0.9))
    assert not high.passed(score(column="aesthetic", at_least=0.1))
    assert of(score(at_least=0.2), score(at_most=0.4)).passed(score(at_least=0.1, at_most=0.5))
    one = of(score("v1", at_least=7.0))
    assert not one.passed(score("v2", at_least=5.0))
    assert one.passed(score(at_least=5.0))  # whichever scorer the data have
    assert one.passed(score("v1", at_least=5.0))


@pytest.mark.parametrize(
    ("kind", "strict", "loose"),
    [
        ("image-side", {"min_pixels": 1024}, {"min_pixels": 512}),
        ("image-pixels", {"max_pixels": 100}, {"max_pixels": 200}),
        ("aspect-ratio", {"max_ratio": 2.0}, {"max_ratio": 3.0}),
        ("caption-length", {"min_characters": 6}, {"min_characters": 5}),
        ("caption-length", {"max_characters": 99}, {"max_characters": 100}),
        ("word-count", {"min_words": 3, "max_words": 256}, {"min_words": 2}),
        ("domain-length", {"max_characters": 50}, {"max_characters": 60}),
        ("duplicates", {"by": ["url"]}, {"by": ["url", "text"]}),
    ],
)
def test_every_kind_knows_which_bound_is_stricter(
    kind: str, strict: dict[str, Any], loose: dict[str, Any]
) -> None:
    a = Step(id="a", kind=kind, title="t", params=strict)
    b = Step(id="b", kind=kind, title="t", params=loose)
    assert of(a).passed(b)
    assert not of(b).passed(a)
    assert of(a).passed(a)
    assert not of().passed(a)


def by_id(recipe: str, id: str) -> Step:
    return next(s for s in load_recipe(recipe).step if s.id == id)


def test_english_by_one_detector_is_not_english_by_another() -> None:
    laion5b, basic = load_recipe("laion5b-en"), load_recipe("datacomp-basic")
    english = by_id("datacomp-basic", "english")
    assert english.params == {"keep": ["en"]}
    assert not laion5b.passed(english)
    like = laion5b.selected_like(english)
    assert like is not None
    assert (like.id, like.detection["detector"]) == ("english", "cld3-5-2000")
    assert basic.passed(english)
    assert basic.selected_like(english) is None
    assert load_recipe("datacomp-1b").passed(english)
    # the same detector, but one asks for reliability
    assert not load_recipe("datacomp-laion2b").passed(by_id("laion5b-en", "english"))
    # the same detection, other languages kept
    assert not load_recipe("laion5b-nolang").passed(by_id("laion5b-en", "english"))
    assert load_recipe("sd-v2").passed(by_id("laion5b-en", "english"))


def test_what_laion_published_has_passed() -> None:
    laion400m, laion5b = load_recipe("laion400m"), load_recipe("laion5b-en")
    assert laion400m.passed(by_id("laion5b-en", "similarity"))
    assert not laion5b.passed(by_id("laion400m", "similarity"))
    assert laion5b.selected_like(by_id("laion400m", "similarity")) == by_id(
        "laion5b-en", "similarity"
    )
    assert not laion400m.passed(by_id("laion5b-multi", "similarity"))  # another model's score
    assert not load_recipe("laion-art").passed(by_id("sd-v1-2", "aesthetic"))
    assert load_recipe("laion-aesthetics-v1").passed(by_id("sd-v2-1", "punsafe"))
    assert load_recipe("laion-highres").passed(by_id("sd-v1-2", "side"))
    # pictures of every language
    assert not load_recipe("laion-highres").passed(by_id("laion5b-en", "english"))
    assert all(laion5b.passed(s) for s in load_recipe("sd-v1-4").step if s.of == "laion5b-en")
    assert not load_recipe("none").passed(by_id("laion5b-en", "url"))


def test_steps_that_nothing_can_replay_are_the_same_by_their_title() -> None:
    assert load_recipe("cc12m").passed(by_id("cc3m", "format"))
    assert not load_recipe("cc12m").passed(by_id("cc3m", "grammar"))
    assert load_recipe("cc12m").selected_like(by_id("cc3m", "grammar")) is None
    assert load_recipe("cc12m").selected_like(by_id("cc3m", "hypernyms")) is None


def test_a_step_says_what_it_reads() -> None:
    assert by_id("sd-v1-2", "aesthetic").needs == ("aesthetic",)
    assert by_id("datacomp-1b", "similarity-l14").needs == ("similarity_l14",)
    assert by_id("laion400m", "nsfw").needs == ("nsfw", "text")
    assert by_id("dalle2-mitigations", "reweight").groups == ("gender-words",)
    assert by_id("laion400m", "nsfw").groups == ()


DOC = ROOT / "docs" / "recipes.md"


def test_the_page_has_the_table_of_today() -> None:
    begin, end = "<!-- recipes_table() -->\n", "<!-- end -->"
    page = DOC.read_text(encoding="utf-8")
    shown = page.partition(begin)[2].partition(end)[0]
    assert shown.strip() == recipes_table().strip()
    assert all(f"`{name}`" in shown for name in known_recipes())


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    page = DOC.read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```toml\n(.*?)```", page, flags=re.S)
    (words,) = re.findall(r"```text\n(.*?)```", page, flags=re.S)
    (tmp_path / "my-words.txt").write_text(words, encoding="utf-8")
    path = tmp_path / "my-recipe.toml"
    path.write_text(recipe, encoding="utf-8")
    loaded = load_recipe(str(path))
    assert loaded.chain == ("laion5b-en",)
    texts = ["a photo of a doctor", "a watermark on a photo", "two\twords"]
    table = frame(3, TEXT=texts)
    unit = list_units(list_shards([str(write(tmp_path / "set", table, 1))]))[0]
    judged = judge_unit(unit, loaded)
    ids = [s.id for s in loaded.step]
    verdicts = {id: judged[f"outcome_{ids.index(id)}"].to_list() for id in ("my-words", "words")}
    keep, drop = int(Outcome.KEEP), int(Outcome.DROP)
    assert verdicts == {"my-words": [keep, drop, keep], "words": [keep, keep, drop]}
