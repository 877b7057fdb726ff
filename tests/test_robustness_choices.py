"""Which other choices there are, which specifications they make, and on which an answer turns."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laion_probe.config.robustness import RobustnessConfig
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.questions.robustness_choices import (
    choices_of,
    list_specifications,
    prompts_of,
    ratings_by,
    with_detector,
)
from laion_probe.questions.robustness_overlap import nearby_of
from laion_probe.questions.robustness_words import hinge
from laion_probe.ratings.table import Ratings
from laion_probe.recipes import load_recipe
from laion_probe.robustness_result import VERDICTS, ByChoice, Choice, Verdict


def test_where_no_choice_matters_no_axis_is_named() -> None:
    def of(axis: str, choice: str, lower: int, failed: int = 0) -> ByChoice:
        said: dict[Verdict, int] = {"lower": lower, "failed": failed}
        said["cannot tell"] = 10 - lower - failed
        counts = {v: said.get(v, 0) for v in VERDICTS}
        return ByChoice(axis=axis, choice=choice, n=10, counts=counts, median=None)

    even = [of("detector", "run", 9), of("detector", "cld2", 8), of("threshold", "run", 9)]
    assert hinge(even, "lower") == ""
    some = [*even, of("raters", "run", 9), of("raters", "none", 3)]
    assert "whose labels count: lower in 9 of 10 with the run's own" in hinge(some, "lower")
    # A run that cannot tell: what turns is whether data can tell, and what failed tells nothing.
    told = hinge(some, "cannot tell")
    assert "these data can tell in 9 of 10 with the run's own, in 3 of 10" in told
    none = [of("threshold", "run", 0), of("threshold", "0.9", 0, failed=10)]
    assert hinge(none, "cannot tell") == ""


def counted(axis: str, higher: dict[str, int], n: int = 9, failed: str = "") -> list[ByChoice]:
    """The choices of an axis by how many of ``n`` are higher; those of ``failed`` all failed."""
    found = []
    for name, k in higher.items():
        rest: Verdict = "failed" if name == failed else "cannot tell"
        counts = dict.fromkeys(VERDICTS, 0) | {"higher": k, rest: n - k}
        found.append(ByChoice(axis=axis, choice=name, n=n, counts=counts, median=None))
    return found


def test_axes_that_differ_alike_are_all_named() -> None:
    by_detector = counted("detector", {"run": 5, "cld2": 5, "fasttext": 1})
    by_threshold = counted("threshold", {"run": 1, "half": 5, "double": 5})
    said = hinge([*by_detector, *by_threshold], "higher")
    assert said == (
        "It turns alike on the language detector (higher in 5 of 9 with the run's own, in 1 of 9 "
        "with fasttext) and on where near ends (higher in 5 of 9 with half, in 1 of 9 with the "
        "run's own)."
    )


@pytest.mark.parametrize("n_detectors", [3, 4])
def test_a_combination_is_told_where_all_that_say_it_share_choices(n_detectors: int) -> None:
    """Only the run's own detector with the run's own threshold says it, in 3 specifications."""
    others = {f"other{i}": 0 for i in range(1, n_detectors)}
    by_detector = counted("detector", {"run": 3} | others)
    by_threshold = counted("threshold", {"run": 3, "half": 0, "double": 0}, n=3 * n_detectors)
    by_prompts = counted("prompts", {"run": 1, "bare": 1, "photo": 1}, n=3 * n_detectors)
    said = hinge([*by_detector, *by_threshold, *by_prompts], "higher")
    assert said.startswith("It turns on several choices together: on the language detector (higher")
    assert "(higher in 3 of 9 with the run's own, in 0 of 9 with other1)" in said
    assert f"where near ends (higher in 3 of {3 * n_detectors} with the run's own, in 0 of" in said
    assert said.endswith(
        "All 3 that say so have these: the language detector (the run's own) and where near ends "
        "(the run's own)."
    )
    assert "asked for" not in said


def test_an_axis_whose_others_all_failed_is_no_part_of_a_combination() -> None:
    by_threshold = counted("threshold", {"run": 4, "double": 0})
    by_prompts = counted("prompts", {"run": 4, "dress": 0}, failed="dress")
    said = hinge([*by_threshold, *by_prompts], "higher")
    assert said.startswith("It turns alike on where near ends (")
    assert said.endswith("in 0 of 9 with dress (9 not computed)).")


def test_prompts_that_find_other_pictures_are_told_where_it_turns_on_them() -> None:
    by_prompts = counted("prompts", {"run": 0, "a GP": 8})
    assert "in 8 of 9 with a GP, which finds other pictures, in 0 of 9 with the run's own" in hinge(
        by_prompts, "cannot tell", {"a GP"}
    )
    by_threshold = [b.model_copy(update={"axis": "threshold"}) for b in by_prompts]
    assert "other pictures" not in hinge(by_threshold, "cannot tell", {"a GP"})


BOOLS = st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=30)


@given(rows=BOOLS)
def test_an_overlap_counts_pictures(rows: list[tuple[bool, bool, bool]]) -> None:
    own, near, like = np.array([(True, True, True), *rows]).T
    found = nearby_of(own, near, like)
    assert found.n_run == own.sum()
    assert found.n == near.sum()
    both = sum(a and b for a, b in zip(own, near, strict=True))
    assert found.n_both == both
    assert found.share_of_run == pytest.approx(both / found.n_run)
    assert found.jaccard == pytest.approx(both / (found.n_run + found.n - both))
    assert found.n_like == sum(a and b for a, b in zip(own, like, strict=True))
    assert found.other_pictures == (3 * found.n_like < 2 * found.n_run)
    none = nearby_of(own, None, like)
    assert (none.n, none.n_both, none.share_of_run, none.jaccard) == (None,) * 4
    assert none.n_like == found.n_like
    same = nearby_of(own, own, own)
    assert (same.share_of_run, same.jaccard, same.other_pictures) == (1, 1, False)


def test_rules_of_raters_are_listed_where_they_differ() -> None:
    columns = {"picture": ["a", "a", "b"], "source": ["data"] * 3, "rater": ["A", "B", "A"],
               "attribute": ["dress"] * 3, "level": ["red", "blue", "red"]}  # fmt: skip
    two = Ratings(pl.DataFrame(columns), 3)
    recipe = load_recipe("laion400m")
    config = RobustnessConfig(folder="x")

    def names(ratings: Ratings | None, **more: object) -> list[str]:
        asked = config.model_copy(update=more)
        found = choices_of(asked, recipe, "doctor", ratings)
        return [c.name for c in found if c.axis == "raters"]

    assert names(None) == ["run"]
    assert names(two) == ["run", "unanimous", "rater:A", "rater:B", "none"]
    one = ratings_by("rater:A", two)
    assert names(one) == ["run", "none"]
    with pytest.raises(UnknownName, match="unknown rater 'C'"):
        names(two, raters=("rater:C",))
    with pytest.raises(UnknownName, match="rater rule"):
        names(two, raters=("most",))
    unanimous = ratings_by("unanimous", two)
    assert unanimous is not None
    assert unanimous.frame["level"].to_list() == ["unknown", "unknown", "red"]
    assert one is not None
    assert one.frame["picture"].to_list() == ["a", "b"]
    assert ratings_by("none", two) is None
    assert ratings_by("run", two) is two


def test_a_detector_that_changes_nothing_is_no_choice() -> None:
    recipe = load_recipe("laion400m")
    assert with_detector(recipe, "cld2") == recipe
    other = with_detector(recipe, "fasttext:reliable")
    changed = [s for s, t in zip(other.step, recipe.step, strict=True) if s != t]
    assert [s.kind for s in changed] == ["detect-language", "keep-language"]
    assert changed[0].params == {"detector": "fasttext", "reliable_only": True}
    assert with_detector(load_recipe("none"), "fasttext") == load_recipe("none")
    with pytest.raises(UnknownName, match="did you mean cld2"):
        with_detector(recipe, "cld22")
    with pytest.raises(ConfigError, match="NAME or NAME:reliable"):
        with_detector(recipe, "cld2:unsure")


@pytest.mark.parametrize("threshold", ["most", "top:0", "top:x", "1.5", "x:0.3", "nan"])
def test_what_is_no_threshold_is_told(threshold: str) -> None:
    config = RobustnessConfig(folder="x", thresholds=(threshold,))
    with pytest.raises(ConfigError, match="is not run, half, double"):
        choices_of(config, load_recipe("none"), "doctor", None)


def test_prompts_of_ones_own_may_be_an_ensemble() -> None:
    assert prompts_of("portrait", "doctor") == ("a portrait of a doctor",)
    assert prompts_of("a physician | a GP", "doctor") == ("a physician", "a GP")
    with pytest.raises(ConfigError, match="empty one"):
        prompts_of(" | ", "doctor")


def choice(axis: str, *names: str) -> list[Choice]:
    return [Choice(axis=axis, name=name, about="") for name in names]


def test_all_are_listed_when_few_and_each_at_most_once_when_many() -> None:
    choices = [
        *choice("detector", "run", "a"),
        *choice("threshold", "run", "b", "c"),
        *choice("prompts", "run", "d"),
        *choice("raters", "run"),
    ]
    listed = list_specifications(choices, 12, seed=0)
    assert (len(listed.specifications), listed.n_possible, listed.sampled) == (12, 12, False)
    assert all(listed.listed)
    assert set(listed.specifications[0].values()) == {"run"}
    seen: set[tuple[str, ...]] = set()
    for seed in range(40):
        drawn = list_specifications(choices, 4, seed)
        assert drawn.sampled
        assert sum(drawn.listed) == 4
        keys = [tuple(one.values()) for one in drawn.specifications]
        assert len(set(keys)) == len(keys)
        assert keys[0] == ("run",) * 4
        seen |= {k for k, is_listed in zip(keys, drawn.listed, strict=True) if is_listed}
    assert len(seen) == 12  # each can be drawn, the run's own too


def test_where_run_is_no_choice_the_runs_own_is_beside() -> None:
    choices = [
        *choice("detector", "a"),
        *choice("threshold", "run", "b"),
        *choice("prompts", "run"),
        *choice("raters", "run"),
    ]
    listed = list_specifications(choices, 10, seed=0)
    assert listed.listed == (False, True, True)
    assert (listed.n_possible, listed.sampled) == (2, False)
