"""Stages against each other, groups against each other, and the words of a concept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from laion_probe.attributes import UNKNOWN, Attribute, known_attributes, load_attribute
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.estimate import Sample, wilson
from laion_probe.results import Amplification, Estimate, Stage
from laion_probe.shifts import (
    Labelled,
    Panel,
    amplification,
    compose,
    effective_size,
    shift_independent,
    shift_nested,
    word_scores,
)


def labelled(counts: dict[str, int], sampled: float = 0.0) -> Labelled:
    a = load_attribute("gender_presentation")
    label = np.concatenate([np.full(n, a.levels.index(name)) for name, n in counts.items()])
    return Labelled(a, label.astype(np.int64), Sample(np.arange(len(label)), sampled), "labels")


def test_a_composition_counts_every_level_and_its_shares_add_up() -> None:
    data = labelled({"woman": 30, "man": 60, "neutral": 5, UNKNOWN: 5})
    c = compose(data, np.ones(100, dtype=bool))
    assert c.counts == {"woman": 30, "man": 60, "neutral": 5, UNKNOWN: 5}
    assert sum(e.value or 0 for e in c.shares.values()) == pytest.approx(1)
    assert c.contrast.value == pytest.approx(30 / 90)
    assert c.contrast.n == 90
    assert c.bounds.low is not None
    assert c.bounds.high is not None
    assert c.bounds.low < 30 / 95 < 35 / 95 < c.bounds.high


def stage(name: str, counts: dict[str, int], panel: Panel | None = None) -> Stage:
    data = replace(labelled(counts), panel=panel)
    everything = np.ones(len(data.label), dtype=bool)
    return Stage(
        id=name,
        kind="pool",
        title=name,
        n_rows=None,
        n_pictures=len(data.label),
        compositions={"gender_presentation": compose(data, everything)},
    )


def change(first: Stage, second: Stage) -> Amplification:
    a = load_attribute("gender_presentation")
    ends = [(s.id, s.compositions[a.name]) for s in (first, second)]
    return amplification(a, first, second, shift_independent(ends[0], ends[1]))


def test_amplification_needs_a_side() -> None:
    lean = stage("d", {"woman": 100, "man": 300})
    even = stage("d", {"woman": 200, "man": 200})
    more = stage("g", {"woman": 40, "man": 360})
    toward = change(lean, more)
    assert toward.toward == "man"
    assert toward.signed is not None
    assert toward.signed.value == pytest.approx(0.15)
    assert toward.signed.low is not None
    assert toward.signed.low > 0
    assert toward.raw is not None
    assert toward.raw.value == pytest.approx(0.15)
    assert toward.corrected is not None
    assert toward.corrected.value == pytest.approx(0.15, abs=0.005)
    assert toward.p_value is not None
    assert toward.p_value < 1e-6
    unclear = change(even, more)
    assert (unclear.toward, unclear.signed) == (None, None)
    assert "side not determined" in unclear.note
    assert unclear.raw is not None
    assert unclear.raw.value == pytest.approx(0.4)


def raters(n: int, women: int) -> Panel:
    """Every picture rated: so many women, the others men."""
    a = load_attribute("gender_presentation")
    level = np.full(n, a.levels.index("man"))
    level[:women] = a.levels.index("woman")
    return Panel(level, np.ones(n), np.zeros(n, dtype=np.int64))


def test_what_raters_say_goes_before_what_a_classifier_reads() -> None:
    read = {"woman": 100, "man": 300}
    # Read as leaning to men, rated as leaning to women: the raters' side is the side.
    rated = change(stage("d", read, raters(400, 300)), stage("g", read, raters(400, 360)))
    assert (rated.by_raters, rated.toward) == (True, "woman")
    assert rated.signed is not None
    assert rated.signed.value == pytest.approx(0.15)
    # Generated pictures without ratings of their own: the data's are not carried over.
    alone = change(stage("d", read, raters(400, 300)), stage("g", read))
    assert (alone.by_raters, alone.toward) == (False, "man")


@pytest.mark.parametrize("n", [7, 60, 400])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.36, 0.5, 1.0])
def test_an_effective_size_gives_back_the_number_behind_wilsons_interval(
    n: int, share: float
) -> None:
    k = round(share * n)
    low, high = wilson(k, n)
    e = Estimate(value=k / n, low=low, high=high, n=n, units=n, method="")
    assert effective_size(e) == pytest.approx(n, rel=1e-6)
    none = e.model_copy(update={"value": None, "low": None, "high": None})
    assert effective_size(none) == 0
    assert effective_size(e.model_copy(update={"low": 0.5, "high": 0.5})) == float("inf")


def test_a_nested_shift_of_the_same_stage_is_exactly_zero() -> None:
    data = labelled({"woman": 30, "man": 60})
    mask = np.ones(90, dtype=bool)
    shift = shift_nested(data, ("a", mask), ("b", mask))
    assert (shift.difference.value, shift.difference.low, shift.difference.high) == (0, 0, 0)
    assert shift.ratio.value == 1
    empty = shift_nested(data, ("a", mask), ("b", ~mask))
    assert empty.difference.value is None
    assert empty.ratio.value is None


def test_words_that_set_captions_apart_come_first() -> None:
    near = ["a doctor with a stethoscope"] * 30 + ["a doctor with a dog"] * 3
    rest = ["a dog with a ball"] * 300
    found = word_scores(near, rest, leave_out=("doctor",))
    assert found[0].word == "stethoscope"
    assert found[0].n_near == 30
    assert "doctor" not in {w.word for w in found}
    assert all(w.z > 0 for w in found)
    assert word_scores([], rest) == ()


def test_a_caption_counts_a_word_once() -> None:
    found = word_scores(["spam " * 50] + ["ham eggs"] * 9, ["eggs"] * 50)
    assert {w.word for w in found} == {"ham"}


@pytest.mark.parametrize("name", known_attributes())
def test_every_attribute_says_what_it_is_and_ends_in_unknown(name: str) -> None:
    a = load_attribute(name)
    assert a.name == name
    assert a.levels[-1] == UNKNOWN
    assert len(a.about) > 20
    of_people = ("gender_presentation", "skin_tone", "age_group")
    assert a.title.startswith("perceived") == (name in of_people)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contrast": "tall"}, "'tall' is not among the levels"),
        ({"level": ({"name": "unknown", "prompts": ["x"]},) * 2}, "do not list it"),
        ({"mistake": 1}, "known keys: name, title"),
    ],
)
def test_an_attribute_file_that_is_not_sound_says_so(tmp_path, change, message) -> None:
    import json

    base = load_attribute("skin_tone").model_dump(mode="json")
    base["level"] = tuple(base["level"])
    values = {**base, **change}
    lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if k not in ("level", "unknown")]
    for level in values["level"]:
        lines += ["[[level]]", f"name = {json.dumps(level['name'])}", "prompts = ['x']"]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=message):
        load_attribute(str(path))


def test_an_unknown_attribute_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean skin_tone"):
        load_attribute("skintone")
    with pytest.raises(ConfigError, match="No such file"):
        load_attribute("nowhere.toml")


def test_attribute_is_a_value() -> None:
    assert load_attribute("skin_tone") == load_attribute("skin_tone")
    assert isinstance(load_attribute("skin_tone"), Attribute)
