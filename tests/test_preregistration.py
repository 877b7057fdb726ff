"""What a preregistration is: a file that shows when it was changed, and what a deviation is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laion_probe.errors import ConfigError
from laion_probe.preregistration import (
    Registered,
    RegisteredAttribute,
    RegisteredInput,
    RegisteredRecipe,
    content_hash,
    deviations,
    made_since,
    read_preregistration,
    to_toml,
)

SHARDS = tuple(
    RegisteredInput(kind="shard", name=f"part-{i}.parquet", fingerprint=f"{i:064d}")
    for i in range(9)
)
WOMAN = RegisteredAttribute(
    name="gender_presentation",
    title="perceived gender presentation",
    reader="zero-shot",
    contrast="woman",
    against="man",
    prompts={"woman": ("a photo of a woman",), "a man's": ("“man”",)},
    fingerprint="a" * 24,
)


def plan(**changes: object) -> Registered:
    return Registered(
        written="2026-01-02T03:04:05Z",
        version="0.8.0",
        keywords=("doctor",),
        prompts=("doctor", "a photo of a doctor"),
        threshold_rule="by rule",
        estimator=("clustered by unit",),
        decision="leaves out zero",
        options={"concept": "doctor", "seed": 0, "level": 0.95},
        recipe=RegisteredRecipe(name="laion400m", title="x", steps=("a: b",), fingerprint="b" * 24),
        attributes=(WOMAN,),
        claims=(),
        inputs=SHARDS[:2],
        packages={"numpy": "2.4.0"},
    ).model_copy(update=changes)


def written(folder: Path, registered: Registered) -> Path:
    path = folder / "plan.toml"
    path.write_text(to_toml(registered.sealed()), encoding="utf-8", newline="\n")
    return path


@given(
    words=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4),
    options=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.one_of(
            st.booleans(),
            st.integers(-(2**53), 2**53),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(exclude_categories=["Cs"])),
        ),
        max_size=4,
    ),
)
def test_what_is_written_is_read_back_whatever_the_words(
    words: list[str], options: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = plan(expected=tuple(words), options=options)
    found = read_preregistration(written(tmp_path_factory.mktemp("plan"), said))
    assert found == said.sealed()


def test_the_hash_is_of_everything_but_itself() -> None:
    hashes = {
        plan(**change).sealed().hash
        for change in (
            {},
            {"written": "2026-01-02T03:04:06Z"},
            {"inputs": SHARDS[:3]},
            {"expected": ("more women",)},
            {"options": {"concept": "doctor", "seed": 1, "level": 0.95}},
        )
    }
    assert len(hashes) == 5
    assert plan(hash="of another").sealed() == plan().sealed()


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("seed = 0", "seed = 1"),
        ('written = "2026-01-02', 'written = "2025-01-02'),
        ('version = "0.8.0"', 'version = "0.8.0"\nmore = "x"'),
        ('name = "part-1.parquet"', 'name = "part-2.parquet"'),
        ('numpy = "2.4.0"', "numpy = 2026-01-01"),
    ],
)
def test_a_file_that_was_changed_says_so(was: str, now: str, tmp_path: Path) -> None:
    path = written(tmp_path, plan())
    text = path.read_text(encoding="utf-8")
    assert was in text
    path.write_text(text.replace(was, now), encoding="utf-8")
    with pytest.raises(ConfigError, match="was changed after it was written"):
        read_preregistration(path)


def test_comments_and_the_order_of_lines_are_no_change(tmp_path: Path) -> None:
    path = written(tmp_path, plan())
    text = re.sub("^# .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text("# mine\n" + text.replace("seed = 0\nlevel = 0.95", "level = 0.95\nseed = 0"))
    assert read_preregistration(path) == plan().sealed()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = ", "is not valid TOML"),
        ("a = 1", "it has no hash"),
        (None, "give the file that"),
    ],
)
def test_what_is_no_preregistration_is_told(text: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_preregistration(path)


def test_a_plan_of_another_shape_names_the_version(tmp_path: Path) -> None:
    content = {"version": "0.8.0", "written": "2026-01-02T03:04:05Z"}
    path = tmp_path / "plan.toml"
    lines = [f'{key} = "{value}"' for key, value in content.items()]
    path.write_text("\n".join([f'hash = "{content_hash(content)}"', *lines]), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"another version of laion-probe \(0.8.0\)"):
        read_preregistration(path)


def test_text_that_is_not_unicode_is_an_error() -> None:
    for step in (to_toml, Registered.sealed):
        with pytest.raises(ConfigError, match="not Unicode"):
            step(plan(expected=("\udc80",)))


# Deviations


def told(used: Registered, registered: Registered | None = None) -> list[tuple[str, str, str, str]]:
    found = deviations(registered or plan(), used)
    return [(d.of, d.what, d.registered, d.used) for d in found]


def test_the_same_plan_has_none_whenever_and_whatever_was_expected() -> None:
    assert told(plan(written="later", expected=("x",), hash="other")) == []


def test_options_are_told_one_by_one_and_what_follows_from_them_only_once() -> None:
    used = plan(
        options={"concept": "a nurse", "seed": 0, "level": 0.9, "threshold": 0.3},
        prompts=("a nurse",),
        keywords=("nurse",),
        threshold_rule="given: 0.3",
        decision="90 %",
    )
    assert told(used) == [
        ("option", "concept", "doctor", "a nurse"),
        ("option", "level", "0.95", "0.9"),
        ("option", "threshold", "not given", "0.3"),
    ]


def test_what_follows_from_no_option_is_told() -> None:
    assert told(plan(prompts=("doctor",))) == [
        ("definition", "prompts", "doctor, a photo of a doctor", "doctor")
    ]


def test_a_name_that_means_something_else_is_told() -> None:
    used = plan(
        recipe=plan().recipe.model_copy(update={"fingerprint": "c" * 24}),
        attributes=(
            WOMAN.model_copy(update={"fingerprint": "d" * 24}),
            WOMAN.model_copy(update={"name": "skin_tone"}),
        ),
    )
    assert [t[1] for t in told(used)] == [
        "recipe",
        "attribute gender_presentation",
        "attribute",
    ]


def test_inputs_go_by_content_not_by_name_or_order() -> None:
    one, two = SHARDS[:2]
    renamed = two.model_copy(update={"name": "moved.parquet"})
    assert told(plan(inputs=(renamed, one))) == []
    changed = two.model_copy(update={"fingerprint": "f" * 64})
    assert told(plan(inputs=(one, changed))) == [
        ("input", "shard part-1.parquet", "0" * 12, "f" * 12)
    ]
    assert told(plan(inputs=(one, SHARDS[5]))) == [
        ("input", "shard part-1.parquet", "0" * 12, "not read"),
        ("input", "shard part-5.parquet", "not registered", "0" * 12),
    ]


def test_the_same_file_twice_is_not_the_file_once() -> None:
    one = SHARDS[0]
    assert told(plan(inputs=(one, one)), plan(inputs=(one,)))[0][2] == "not registered"


def test_many_inputs_of_a_kind_are_told_by_their_number() -> None:
    found = told(plan(inputs=()), plan(inputs=SHARDS))
    assert found == [("input", "shard 9 differ", "9 in all", "first part-0.parquet")]


def test_what_was_still_to_be_made_is_no_deviation_once_it_is_there() -> None:
    to_come = RegisteredInput(kind="ratings", name="r.csv", fingerprint="")
    there = to_come.model_copy(update={"fingerprint": "e" * 64})
    before = plan(inputs=(*SHARDS[:2], to_come))
    after = plan(inputs=(*SHARDS[:2], there))
    assert told(after, before) == []
    assert made_since(before, after) == ("ratings r.csv",)
    assert made_since(after, after) == ()
    assert told(plan(), before) == [("input", "ratings r.csv", "to be made", "not read")]
    other = there.model_copy(update={"name": "other.csv"})
    assert len(told(plan(inputs=(*SHARDS[:2], other)), before)) == 2


def test_other_versions_are_told() -> None:
    used = plan(version="0.9.0", packages={"numpy": "2.5.0"})
    assert told(used) == [
        ("version", "laion-probe", "0.8.0", "0.9.0"),
        ("version", "numpy", "2.4.0", "2.5.0"),
    ]
