"""Recipes of one's own: words from files, and what is wrong said by file and line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_recipes import mine, step_toml
from test_scan import EXAMPLES

from laion_probe.errors import ConfigError, UnknownName
from laion_probe.groups import load_group
from laion_probe.recipes import Recipe, Step, load_recipe, loading
from laion_probe.recipes.lines import line_of
from laion_probe.steps import STEPS


def test_words_come_from_files_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "mine.txt").write_text("# a comment\n  zwei Worte \n\nłajdak\n", "utf-8")
    path = mine(tmp_path, step_toml("ban-list", 'words = ["one"], files = ["lists/mine.txt"]'))
    (step,) = load_recipe(str(path)).step
    assert step.params == {"words": ["one", "zwei Worte", "łajdak"], "files": ["mine.txt"]}
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "lists").rename(moved / "lists")
    again = load_recipe(str(path.rename(moved / path.name)))
    assert again.step == (step,)  # content, not places
    for file in (moved / path.name, moved / "lists" / "mine.txt"):  # as Windows may save it
        file.write_text(file.read_text("utf-8"), "utf-8-sig")
    assert load_recipe(str(moved / path.name)).step == (step,)
    (moved / "lists" / "mine.txt").write_text("other\n")
    assert load_recipe(str(moved / path.name)).step != (step,)


@pytest.mark.parametrize(
    "content", [None, b"\n# only a comment\n", b"\xff\xfe", b"", b"\xef\xbb\xbf \n"]
)
def test_a_file_of_words_that_cannot_serve_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = mine(tmp_path, step_toml("balance", 't = 5, files = ["gone.txt"]'))
    if content is not None:
        (tmp_path / "gone.txt").write_bytes(content)
    said = {None: "No such file", b"\xff\xfe": "not UTF-8"}.get(content, "holds no words")
    with pytest.raises(ConfigError, match=rf"mine\.toml, line 8, step 'a': .*gone\.txt: {said}"):
        load_recipe(str(path))


WRONG: tuple[tuple[str, str], ...] = (
    ("[[step]\n", r"not valid TOML: .*line 4"),
    (f"step = {'[' * 5000}", "not valid TOML: nested too deep"),
    ('sourse = "x"\n', r"line 4: unknown key 'sourse'; known keys: name,"),
    ('"sou\\nrse" = "x"\n', r"line 1: unknown key 'sou\\nrse'"),
    ("after = 5\n", r"line 4: 'after': .* valid string, not 5"),
    ('after = "laion5b-eng"\n', r"line 4: .*did you mean laion5b-en"),
    ('after = "no.toml"\n', r"line 4: recipe .*no\.toml: No such file"),
    ('after = "\\u0000.toml"\n', r"line 4: .*no name of a file"),
    ("step = 5\n", r"line 4: 'step': "),
    ("step = [1, 2]\n", r"line 4: .* valid dictionary"),
    ('step = [{ id = "a" }]\n', r"line 4, step 'a': 'kind' is missing"),
    (
        step_toml("clean-text") + 'tittle = "x"\n',
        r"line 8, step 'a': unknown key 'tittle'; known keys: id, kind, title, .*params$",
    ),
    (step_toml("clean-text") + 'of = "x"\n', r"line 8, step 'a': unknown key 'of'; .*params$"),
    ('[[step]]\nid = "a"\nkind = "clean-text"\n', r"line 4, step 'a': 'title' is missing"),
    (step_toml("clean-text", id="A b"), r"line 5, step 'A b': 'id': .*not 'A b'"),
    (step_toml("clean-txt"), r"line 6, step 'a': .*did you mean clean-text"),
    (step_toml("min-similarity"), r"line 6, step 'a': unknown step kind"),
    (
        step_toml("truncate") + "[step.params]\nmax_characters = 9\nmistake = 1\n",
        r"line 10, step 'a': unknown key 'mistake'",
    ),
    (
        step_toml("truncate") + "params.max_characters = 9\nparams.mistake = 1\n",
        r"line 9, step 'a': unknown key 'mistake'",
    ),
    (step_toml("truncate"), r"line 4, step 'a': 'max_characters' is missing; known keys: max_char"),
    (
        step_toml("clean-text") + step_toml("truncate", "max_characters = 9"),
        r"line 9, step 'a': the id is taken by the step on line 5; rename one",
    ),
)
# kind, parameters -> what is said of line 8
WRONG_PARAMS: tuple[tuple[str, str, str], ...] = (
    ("truncate", "max_characters = 9, mistake = 1", "unknown key 'mistake'; known keys: max_char"),
    ("truncate", 'max_characters = "nine"', "'max_characters': .*valid integer.*, not 'nine'"),
    ("truncate", f"max_characters = 0x{'f' * 5000}", "'max_characters': .* at most 63 bits"),
    ("word-count", f"min_words = 0x{'f' * 5000}", "'min_words': .* equal to 1000000000, not this"),
    ("word-count", "min_words = true", "'min_words': give a number, not true"),
    ("word-count", "min_words = 5, max_words = 4", "min_words is above max_words"),
    ("caption-length", "min_characters = 3, max_characters = 2", "min_characters is above max_cha"),
    ("score", 'column = "similarity"', "give at_least, .* or below; known keys: column"),
    ("score", 'column = "similarity", at_least = nan', "'at_least': give a finite number, not nan"),
    ("score", 'column = "similarity", below = inf', "'below': give a finite number, not inf"),
    ("score", 'column = "similarity", at_least = 0.5, below = 0.3', "no score can meet all"),
    ("score", 'column = "similarity", above = 0.5, at_most = 0.5', "no score can meet all"),
    ("drop-captions", "probability = true", "'probability': give a number, not true"),
    ("detect-language", 'detector = "cld4"', "unknown language detector 'cld4': did you mean"),
    ("detect-language", 'detector = "cld2", rename = { EN = "en" }', "write 'en', not 'EN'"),
    ("keep-language", 'keep = ["en", "EN"]', "'keep.1': .*in lower case: write 'en', not 'EN'"),
    ("keep-language", 'all_but = ["ZH_Latn"]', "write 'zh-Latn', not 'ZH_Latn'"),
    ("keep-language", 'keep = ["English"]', "write one such as en, zh-Latn, und, not 'English'"),
    ("ban-list", 'lists = ["ldnoobw:en", "ldnoobw:xx"]', "unknown ban list 'ldnoobw:xx': did you"),
    ("ban-list", 'words = ["a", ""]', "'words.1': no word: leave it out, not ''"),
    ("balance", 't = 5, words = [" \\t"]', "'words.0': no word"),
    ("url-substrings", 'any_of = [".svg", ""]', "'any_of.1': .* at least 1 character"),
    ("nsfw-substrings", 'any_of = [""]', "'any_of.0': .* at least 1 character"),
    *(
        ("domains", f'any_of = ["b.org", "{d}"]', f"'any_of.1': no host name: .* as {near}, not")
        for d, near in {
            **dict.fromkeys(("https://a1.com", "a1.com/", "a1.com:80", "*.a1.com"), r"a1\.com"),
            **dict.fromkeys(("", ".", " ", "a 1.com", "a..b"), r"example\.com"),
        }.items()
    ),
)


@pytest.mark.parametrize(
    ("body", "said"),
    [*WRONG, *((step_toml(k, p), f"line 8, step 'a': .*{said}") for k, p, said in WRONG_PARAMS)],
)
def test_errors_say_file_line_and_what_is_known(body: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(str(mine(tmp_path, body)))
    message = str(caught.value)
    assert re.search(f"mine\\.toml.*{said}", message), message
    assert message.isprintable()


SCALARS = ("1", "-1.5", "nan", "true", '""', '"a\\u0000\\n"', "1979-05-27", "07:32:00")
VALUES = (*SCALARS, "[]", "[1]", "[[]]", '[""]', "{}", "{ a = nan }", "[{ a = 1 }]", "inf", "2e999")


@pytest.mark.parametrize("value", VALUES)
def test_no_value_in_any_place_is_a_traceback(value: str, tmp_path: Path) -> None:
    bodies = [f"{key} = {value}\n" for key in ("after", "confidence", "step", "other")]
    bodies += [f"[[step]]\n{key} = {value}\n" for key in Step.model_fields]
    bodies += [step_toml("truncate") + f"params = {value}\n"]
    for kind in STEPS:
        given = EXAMPLES.get(kind, {})
        for key in STEPS[kind].Params.model_fields:
            rest = [f"{k} = {json.dumps(v)}" for k, v in given.items() if k != key]
            bodies.append(step_toml(kind, ", ".join([*rest, f"{key} = {value}"])))
    said = []
    for body in bodies:
        try:
            load_recipe(str(mine(tmp_path, body)))
        except ConfigError as error:
            said.append(str(error))
    assert len(said) > len(bodies) / 3
    for message in said:
        assert re.match(r"recipe \S+mine\.toml, line [4-9]", message), message
        assert message.isprintable()


def test_a_name_can_name_files(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    for name in ("a", "My recipe 2.1+b"):
        mine(tmp_path, step_toml("clean-text"), name)
        after = f'after = "{name}.toml"\n' + step_toml("clean-text")
        recipe = load_recipe(str(mine(tmp_path, after, "r")))
        assert [s.id for s in recipe.step] == [f"{name}:a", "a"]
        assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    for name in ("", "a/b", "a ", " a", "a\\nb", ".a"):
        path.write_text(f'title = "t"\nname = "{name}"\nsource = "s"\n', "utf-8")
        with pytest.raises(ConfigError, match=r"r\.toml, line 2: 'name': use letters .*, not '"):
            load_recipe(str(path))


def test_other_modules_check_steps_at_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "CHECKS", [lambda step: [load_group(g) for g in step.groups]])
    path = mine(tmp_path, step_toml("clean-text", id="b") + step_toml("reweight", 'by = "gendr"'))
    with pytest.raises(ConfigError, match=r"mine\.toml, line 12, step 'a': unknown group 'gendr'"):
        load_recipe(str(path))
    assert load_recipe(str(mine(tmp_path, step_toml("reweight", 'by = "script"')))).step


def test_a_recipe_that_is_not_known_or_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean laion5b"):
        load_recipe("laion5b-e")
    with pytest.raises(ConfigError, match="No such file"):
        load_recipe(str(tmp_path / "no.toml"))
    (tmp_path / "bytes.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_recipe(str(tmp_path / "bytes.toml"))


def test_lines_are_found_past_strings_of_several_lines() -> None:
    text = 'name = "n"\ntitle = """\n[[step]]\nid = "no"\n"""\n\n[[ step ]]\nid = "a" # id = "b"\n'
    assert line_of(text, "id", 0) == 8
    assert line_of(text, "title") == 2
    assert line_of(text, "nothing", 0) == 7
    assert line_of(text, "nothing") == 1
