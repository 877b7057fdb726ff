"""What an account must not claim: of steps it cannot see or judge, of other recipes, of names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from shardmaker import frame, write

from laion_probe.config import FiltersConfig, make_config
from laion_probe.drawing import MOST_CHARACTERS
from laion_probe.errors import ConfigError
from laion_probe.filters_result import FiltersResult
from laion_probe.language import primary
from laion_probe.questions.filters import filters

TOP = (
    'name = "top"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "best"\nkind = "top-share"\n'
    'title = "the best"\nparams = { column = "similarity", share = 0.3 }\n'
)


def run(shards: Path, *recipes: str, cache: Path, **values: Any) -> FiltersResult:
    quiet = {"by": ("script",), "audit_captions": 0, "examples": 0, "runner": "serial"}
    given = {"shards": (str(shards),), "recipe": recipes, "cache": str(cache), **quiet, **values}
    return filters(make_config(given, FiltersConfig))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write(tmp_path / "s", frame(600), 3, 10)


def recipe(tmp_path: Path, text: str, name: str = "mine") -> str:
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    return str(path)


def test_an_account_does_not_depend_on_what_runs_beside_it(shards: Path, tmp_path: Path) -> None:
    thin = (
        'name = "thin"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "words"\nkind = "word-count"\n'
        'title = "w"\nparams = { min_words = 3 }\n[[step]]\nid = "even"\nkind = "reweight"\n'
        'title = "e"\nparams = { by = "script" }\n'
    )
    mine = recipe(tmp_path, thin)
    alone = run(shards, mine, cache=tmp_path / "a").recipes[0]
    last = run(shards, "laion400m", "datacomp-basic", mine, cache=tmp_path / "b").recipes[2]
    first = run(shards, mine, "laion400m", cache=tmp_path / "c").recipes[0]
    assert alone == last == first
    assert 0 < alone.n_kept < alone.n


def test_the_recipes_own_language_is_no_group_of_several_recipes(
    shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="use language:DETECTOR"):
        run(shards, "laion400m", "none", cache=tmp_path / "c", by=("language",))
    by = ("language:cld2",)
    result = run(shards, "datacomp-basic", "laion400m", cache=tmp_path / "c", by=by)
    counts = [{x.level: x.n for x in r.groups[0].levels} for r in result.recipes]
    assert counts[0] == counts[1]


def test_a_sample_says_which_steps_it_leaves_out(shards: Path, tmp_path: Path) -> None:
    top = recipe(tmp_path, TOP)
    whole = run(shards, top, cache=tmp_path / "c")
    assert whole.recipes[0].left_out == ()
    assert whole.recipes[0].n_kept < 300
    part = run(shards, top, "laion400m", cache=tmp_path / "c", max_units=40)
    assert part.recipes[0].left_out == ("best",)
    assert any(s.startswith("top: none of its steps could be judged") for s in part.finding)
    assert not any("top keeps 100" in s for s in part.finding)
    assert any("leaving out dedup, which needs every row" in s for s in part.finding)


def test_steps_that_the_input_has_passed_make_no_headline(shards: Path, tmp_path: Path) -> None:
    result = run(shards, "laion5b-en", "laion400m", cache=tmp_path / "c", already="laion5b-en")
    passed, other = result.recipes
    # the replay would remove rows here, since these had not passed it: none of that is its removal
    assert sum(t.alone for t in passed.totals) > 0
    assert passed.n_kept == passed.n
    assert any("the input had passed all of its steps before" in s for s in result.finding)
    for level in passed.groups[0].levels:
        assert not level.flagged
        assert level.n_kept == level.n
    assert any("has this input really passed laion5b-en?" in s for s in result.finding)
    clean = next(s for s in passed.steps if s.id == "clean")
    assert clean.observable, "a rewrite removes nothing, seen or not"
    url = next(s for s in other.steps if s.id == "url")
    english = next(s for s in other.steps if s.id == "english")
    assert (url.observable, english.observable) == (False, True)
    assert any("leaving out the steps that the input had passed" in s for s in result.finding)


def test_an_own_recipe_can_be_declared_as_passed(shards: Path, tmp_path: Path) -> None:
    mine = recipe(
        tmp_path,
        'name = "mine"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "w"\nkind = "word-count"\n'
        'title = "w"\nparams = { min_words = 4 }\n',
    )
    result = run(shards, "datacomp-basic", cache=tmp_path / "c", already=mine)
    words = next(s for s in result.recipes[0].steps if s.kind == "word-count")
    assert result.already == "mine"
    assert not words.observable, "four words at least imply three"


def test_what_no_step_could_judge_is_no_finding(shards: Path, tmp_path: Path) -> None:
    result = run(shards, "datacomp-clip-l14-30", cache=tmp_path / "c")
    assert result.finding[0].startswith("datacomp-clip-l14-30: none of its steps could be judged")
    result = run(shards, "coyo700m", cache=tmp_path / "c")
    assert any("Rows that a step cannot judge count as kept" in s for s in result.finding)


def test_rows_without_an_address_are_not_evaluable_by_steps_that_read_it(tmp_path: Path) -> None:
    urls = [None if i % 2 else f"http://h.example/{i}.jpg" for i in range(200)]
    table = frame(200, URL=pl.Series(urls, dtype=pl.String))
    folder = write(tmp_path / "s", table, 2, 30)
    account = run(folder, "laion5b-en", cache=tmp_path / "c").recipes[0]
    steps = {s.id: s.outcomes for s in account.steps}
    assert steps["url"] == {"keep": 100, "not_evaluable": 100}
    assert steps["domain"] == {"keep": 100, "not_evaluable": 100}
    assert steps["dedup"] == {"keep": 100, "not_evaluable": 100}


def test_a_steps_difference_is_of_rows_that_it_can_judge(tmp_path: Path) -> None:
    # Devanagari captions lack the score; of the others half fail: no difference can be told
    texts = ["a doctor", "डॉक्टर"] * 100
    scores = [0.1 if i % 4 == 0 else 0.9 if i % 2 == 0 else None for i in range(200)]
    table = frame(200, TEXT=texts, similarity=pl.Series(scores, dtype=pl.Float64))
    folder = write(tmp_path / "s", table, 1, 300)
    mine = recipe(
        tmp_path,
        'name = "mine"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "s"\nkind = "score"\n'
        'title = "s"\nparams = { column = "similarity", at_least = 0.5 }\n',
    )
    levels = {
        x.level: x for x in run(folder, mine, cache=tmp_path / "c").recipes[0].groups[0].levels
    }
    for level in ("Latin", "Devanagari"):
        difference = levels[level].steps[0].difference
        assert difference is None, "one side has no row that the step can judge"


@pytest.mark.parametrize("recipe_name", ["laion400m", "datacomp-basic"])
def test_an_english_filter_is_no_kindness_to_those_whom_english_captions_name(
    recipe_name: str, tmp_path: Path
) -> None:
    texts = [
        *["A Muslim family is having dinner together at home in the evening"] * 100,
        *["A red door and a window of the old house in the evening"] * 300,
        *["मुस्लिम परिवार शाम को घर पर साथ में खाना खा रहा है"] * 100,
        *["पुराने घर का लाल दरवाज़ा और खिड़की शाम को"] * 300,
    ]
    table = frame(
        800,
        TEXT=[f"{t} {i}" for i, t in enumerate(texts)],
        similarity=[0.4] * 800,
        WIDTH=[300] * 800,
    )
    folder = write(tmp_path / "s", table, 1, 100)
    result = run(folder, recipe_name, cache=tmp_path / "c", by=("identity-religion",))
    levels = {x.level: x for x in result.recipes[0].groups[0].levels}
    assert levels["unknown"].n == 400, "the list is English: of Hindi captions it cannot tell"
    difference = levels["Muslim"].difference
    assert difference is not None
    assert difference.value == pytest.approx(0, abs=0.02)
    assert not levels["Muslim"].flagged
    assert levels["unknown"].flagged, "and this is what the filter does"


def test_examples_say_what_they_were_drawn_from(tmp_path: Path) -> None:
    texts = [f"a doctor in house {i % 3}" for i in range(90)] + ["x" * 5000 + "!"] * 10
    folder = write(tmp_path / "s", frame(100, TEXT=texts), 2, 20)
    mine = recipe(
        tmp_path,
        'name = "mine"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "no"\nkind = "ban-list"\n'
        'title = "no doctors"\nparams = { words = ["doctor"] }\n[[step]]\nid = "once"\n'
        'kind = "duplicates"\ntitle = "d"\nparams = { by = ["text"] }\n',
    )
    result = run(folder, mine, "none", cache=tmp_path / "c", examples=5)
    removed = next(e for e in result.examples if e.kind == "removed")
    assert removed.n_of == 90
    assert len({row.text for row in removed.rows}) == len(removed.rows) == 3
    assert not removed.title.endswith("row)"), "no set step comes before it"
    both = next(e for e in result.examples if e.kind == "kept-by-one" and e.other == "mine")
    assert both.n_of == 90
    assert both.title.endswith("(before steps that need every row)")
    assert not any(e.recipe == "mine" and e.kind == "kept-by-one" for e in result.examples)
    assert all(len(r.text) <= MOST_CHARACTERS + 1 for e in result.examples for r in e.rows)


def test_recipes_that_would_share_a_file_are_refused(shards: Path, tmp_path: Path) -> None:
    first = recipe(tmp_path, TOP.replace('"top"', '"a b"'), "one")
    second = recipe(tmp_path, TOP.replace('"top"', '"a-b"'), "two")
    with pytest.raises(ConfigError, match="would be one file"):
        run(shards, first, second, cache=tmp_path / "c")


def test_codes_of_one_language_agree(tmp_path: Path) -> None:
    codes = pl.Series(["iw", "he", "zh-Hant", "zh-cn", "ja-Latn", "und", "en", None])
    assert primary(codes).to_list() == ["he", "he", "zh", "zh", "ja", "und", "en", None]
    hebrew = ["תמונה של רופאה בבית החולים בירושלים עם מטופל"] * 80
    folder = write(tmp_path / "s", frame(80, TEXT=[f"{t} {i}" for i, t in enumerate(hebrew)]), 1)
    result = run(
        folder,
        "none",
        cache=tmp_path / "c",
        audit_captions=80,
        detectors=("cld2", "fasttext"),
        examples=3,
    )
    assert result.detectors is not None
    (pair,) = result.detectors.pairs
    assert pair.matrix[0][:2] == ("iw", "he"), "as each says it"
    assert pair.agree.value == 1
    assert not [e for e in result.examples if e.kind == "disagree"]


def test_levels_without_end_are_refused(tmp_path: Path) -> None:
    table = frame(600).with_columns(pl.Series("LANGUAGE", [f"x{i}" for i in range(600)]))
    folder = write(tmp_path / "s", table, 1, 700)
    with pytest.raises(ConfigError, match="group language-tag has 600 levels, at most 400"):
        run(folder, "none", cache=tmp_path / "c", by=("language-tag",))


def test_an_edited_list_that_a_step_decides_by_is_another_run(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", frame(400), 2, 50)
    words = tmp_path / "words.toml"
    mine = recipe(
        tmp_path,
        'name = "mine"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "w"\nkind = "word-count"\n'
        'title = "w"\nparams = { min_words = 4 }\n[[step]]\nid = "even"\nkind = "reweight"\n'
        f'title = "e"\nparams = {{ by = "terms:{words}" }}\n',
    )
    weights = []
    for word in ("doctor", "school"):
        words.write_text(f'title = "t"\nsource = "me"\n[[list]]\nlevel = "x"\nterms = ["{word}"]\n')
        weights.append(run(folder, mine, cache=tmp_path / "c").recipes[0].frozen["even"])
    assert weights[0] != weights[1]


def test_a_step_that_removes_again_is_no_reason_for_doubt(tmp_path: Path) -> None:
    top = recipe(tmp_path, TOP)
    best = frame(300, similarity=[0.3 + i / 1000 for i in range(300)]).tail(90)
    folder = write(tmp_path / "s", best, 1, 30)
    result = run(folder, top, "none", cache=tmp_path / "c", already=top)
    assert not any("really passed" in s for s in result.finding)
    assert not any("top keeps" in s or "top drops" in s for s in result.finding)
    assert "yet" not in result.recipes[0].steps[0].note


def test_a_step_that_no_row_reaches_is_not_called_blind(tmp_path: Path) -> None:
    mine = recipe(
        tmp_path,
        'name = "mine"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "all"\nkind = "word-count"\n'
        'title = "w"\nparams = { min_words = 900 }\n[[step]]\nid = "late"\n'
        'kind = "caption-present"\ntitle = "c"\n',
    )
    folder = write(tmp_path / "s", frame(40), 1)
    late = run(folder, mine, cache=tmp_path / "c").recipes[0].steps[1]
    assert late.removed_share.method == "no row reaches it"
