"""What was expected of a claim, held against what a run says of it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardmaker import frame, write

from laion_probe.config import ProbeConfig
from laion_probe.config.preregister import PreregisterConfig
from laion_probe.errors import ConfigError
from laion_probe.preregistration import (
    Direction,
    Expectation,
    Preregistered,
    Registered,
    RegisteredClaim,
    RegisteredRecipe,
    read_preregistration,
    to_toml,
)
from laion_probe.questions.preregistered_expectations import (
    check_expected,
    compared,
    counted,
    parse_expected,
)
from laion_probe.questions.preregistering import preregister
from laion_probe.questions.probe import probe
from laion_probe.questions.registered_plan import held_to
from laion_probe.render import report_html
from laion_probe.results import Claim, Estimate, Finding, Shift

RECIPE, GENERATOR = "recipe:dress", "generator:dress"
CLAIMS = (
    RegisteredClaim(id=RECIPE, about="the share of red after the recipe less before it"),
    RegisteredClaim(id=GENERATOR, about="the share of red of generated pictures less of the data"),
)

#: As version 0.3.0 wrote it: what is expected is words alone.
OLD = """\
# What `laion-probe probe` will measure, written before anything was looked at.
# Do not edit: the hash is of all that follows. Deposit it where its date is vouched for.
hash = "b2929b3a8224270143c30ffa5c5c4d5e66a6a34da88c30801c1deeb549c4ce26"
written = "2026-01-02T03:04:05Z"
version = "0.3.0"
expected = ["fewer women after the recipe", "it was seen before"]
keywords = ["doctor"]
prompts = ["doctor", "a photo of a doctor"]
threshold_rule = "by rule"
estimator = ["clustered by unit"]
decision = "leaves out zero"
claims = []
inputs = []

[options]
concept = "doctor"
seed = 0
level = 0.95

[recipe]
name = "laion400m"
title = "x"
steps = ["a: b"]
fingerprint = "bbbbbbbbbbbbbbbbbbbbbbbb"

[model]

[packages]
numpy = "2.4.0"

[[attributes]]
name = "gender_presentation"
title = "perceived gender presentation"
reader = "zero-shot"
contrast = "woman"
against = "man"
fingerprint = "aaaaaaaaaaaaaaaaaaaaaaaa"

[attributes.prompts]
woman = ["a photo of a woman"]
"""


def plan(*expected: str, **changes: object) -> Registered:
    return Registered(
        written="2026-01-02T03:04:05Z",
        version="0.3.0",
        expected=expected,
        keywords=("doctor",),
        prompts=("doctor",),
        threshold_rule="by rule",
        estimator=(),
        decision="",
        options={"concept": "doctor", "seed": 0},
        recipe=RegisteredRecipe(name="mine", title="x", steps=(), fingerprint="b"),
        attributes=(),
        claims=CLAIMS,
        inputs=(),
    ).model_copy(update=changes)


def estimate(low: float, high: float) -> Estimate:
    value = (low + high) / 2
    return Estimate(value=value, low=low, high=high, n=90, units=9, method="made up")


def found(**intervals: tuple[float, float]) -> tuple[list[Claim], list[Shift]]:
    """The claims of a run by their kind, from the intervals of their changes."""
    claims, shifts = [], []
    for i, (kind, (low, high)) in enumerate(intervals.items()):
        change = estimate(low, high)
        shifts.append(
            Shift(
                attribute="dress", contrast_level="red", from_stage="a", to_stage="b",
                difference=change, ratio=change, paired=False,
                with_known_errors=estimate(low - 0.01, high + 0.01),
            )
        )  # fmt: skip
        supported = low > 0 or high < 0 or low == high == 0
        by = "with_known_errors" if kind == "generator" else "difference"
        claims.append(
            Claim(id=f"{kind}:dress", text="x", supported=supported, estimate=f"/shifts/{i}/{by}")
        )
    return claims, shifts


@pytest.mark.parametrize(
    ("expected", "interval", "outcome"),
    [
        ("lower", (-0.1, -0.02), "as expected"),
        ("lower", (0.02, 0.1), "the opposite"),
        ("lower", (-0.1, 0.01), "cannot tell"),
        ("lower", (0.0, 0.0), "otherwise"),
        ("higher", (0.02, 0.1), "as expected"),
        ("higher", (-0.1, -0.02), "the opposite"),
        ("no change", (0.0, 0.0), "as expected"),
        ("no change", (0.02, 0.1), "otherwise"),
        ("no change", (-0.01, 0.01), "cannot tell"),
    ],
)
def test_the_outcome_goes_by_the_interval_of_the_claim(
    expected: str, interval: tuple[float, float], outcome: str
) -> None:
    made = plan(f"{RECIPE}={expected}: since I think so")
    (one,) = compared(made, made, *found(recipe=interval))
    assert one.outcome == outcome
    assert (one.claim, one.expected, one.words) == (RECIPE, expected, "since I think so")
    assert one.about == CLAIMS[0].about
    assert one.estimate == estimate(*interval)
    assert one.range is None


def test_the_range_that_decides_is_told_beside_what_is_quoted() -> None:
    made = plan(f"{GENERATOR}=higher")
    (one,) = compared(made, made, *found(recipe=(-0.1, -0.02), generator=(0.05, 0.1)))
    assert one.outcome == "as expected"
    assert (one.estimate, one.range) == (estimate(0.05, 0.1), estimate(0.04, 0.11))


def test_a_claim_that_the_run_does_not_make_is_not_measured() -> None:
    made = plan(f"{GENERATOR}=higher", f"{RECIPE}=lower")
    one, other = compared(made, made, *found(recipe=(-0.1, -0.02)))
    assert (one.outcome, one.reason) == ("not measured", "the run makes no such claim")
    assert one.estimate is None
    assert other.outcome == "as expected"


def test_a_claim_of_the_same_name_about_something_else_is_not_measured() -> None:
    made = plan(f"{RECIPE}=lower")
    nurse = plan(options={"concept": "nurse", "seed": 0})
    (one,) = compared(made, nurse, *found(recipe=(-0.1, -0.02)))
    assert (one.outcome, one.reason) == ("not measured", "the run is of another concept: nurse")
    about = "the share of blue after the recipe less before it"
    blue = plan(claims=(RegisteredClaim(id=RECIPE, about=about),))
    (one,) = compared(made, blue, *found(recipe=(-0.1, -0.02)))
    assert one.outcome == "not measured"
    assert about in one.reason
    same = plan(options={"concept": "Doctor", "seed": 1})
    (one,) = compared(made, same, *found(recipe=(-0.1, -0.02)))
    assert one.outcome == "as expected"  # another seed is a deviation, and the same claim


def test_how_many_came_out_how_stands_in_the_sentence() -> None:
    made = plan(f"{RECIPE}=higher", f"{GENERATOR}=higher").sealed()
    claims, shifts = found(recipe=(-0.1, -0.02), generator=(-0.1, 0.1))
    finding = Finding(sentences=(), claims=tuple(claims))
    kept = held_to(made, made, finding, shifts)
    assert kept.sentence.endswith(
        "Of 2 expectations: the opposite in 1, these data cannot tell in 1."
    )
    assert held_to(plan(), plan(), finding, shifts).sentence.endswith("are those registered.")
    assert counted([]) == ""


# As it is written


@given(
    claim=st.text("abc:_-. é", min_size=1).filter(lambda x: x == x.strip()),
    answer=st.sampled_from(get_args(Direction)),
    words=st.text().filter(lambda x: x == x.strip()),
)
def test_an_expectation_is_read_as_it_was_written(claim: str, answer: str, words: str) -> None:
    one = parse_expected(f"{claim}={answer}: {words}")
    assert one is not None
    assert (one.claim, one.answer, one.words) == (claim, answer, words)


@pytest.mark.parametrize(
    "text",
    ["", "fewer women", "recipe:dress", "recipe:dress=", "recipe:dress=less", "=higher",
     "recipe:dress=higher but why", "recipe:dress: higher"],
)  # fmt: skip
def test_words_that_name_no_claim_are_refused_with_what_can_be_named(text: str) -> None:
    assert parse_expected(text) is None
    with pytest.raises(ConfigError, match=r"is not CLAIM=higher.*recipe:dress \(the share of red"):
        check_expected([text], CLAIMS)


def test_what_cannot_be_expected_of_a_plan_is_told() -> None:
    check_expected([f"{RECIPE}=Higher", f"{GENERATOR} = no  change: x=y: z"], CLAIMS)
    with pytest.raises(ConfigError, match=r"no claim 'recipe:hat'; it makes: recipe:dress"):
        check_expected(["recipe:hat=higher"], CLAIMS)
    with pytest.raises(ConfigError, match="twice"):
        check_expected([f"{RECIPE}=higher", f"{RECIPE}=lower"], CLAIMS)
    with pytest.raises(ConfigError, match="makes no claim, since there is nothing to compare"):
        check_expected([f"{RECIPE}=higher"], ())
    check_expected([], ())


def test_nothing_is_written_where_an_expectation_names_no_claim(tmp_path: Path) -> None:
    write(tmp_path / "shards", frame(20))
    config = PreregisterConfig(
        concept="doctor",
        shards=(str(tmp_path / "shards"),),
        out=str(tmp_path / "plan.toml"),
        expect=("fewer women",),
        cache=str(tmp_path / "cache"),
    )
    with pytest.raises(ConfigError, match="this plan makes no claim"):
        preregister(config)
    assert not (tmp_path / "plan.toml").exists()


# Plans of version 0.3.0


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.toml"
    path.write_text(OLD, encoding="utf-8", newline="\n")
    return path


def test_a_plan_of_version_0_3_0_is_read_and_its_words_are_not_compared(old: Path) -> None:
    registered = read_preregistration(old)
    assert registered.expected == ("fewer women after the recipe", "it was seen before")
    written, old_lines = to_toml(registered).splitlines(), OLD.splitlines()
    assert [x for x in written if x[:1] != "#"] == [x for x in old_lines if x[:1] != "#"]
    # What nobody can know is no longer claimed; the lines are no part of the hash.
    head = " ".join(x for x in written if x[:1] == "#")
    assert "before anything was looked at" not in head
    assert "whether anybody did before, in an earlier run say, it cannot know" in head
    told = compared(registered, registered, *found(recipe=(-0.1, -0.02)))
    assert [(e.words, e.outcome) for e in told] == [
        ("fewer women after the recipe", "not compared"),
        ("it was seen before", "not compared"),
    ]
    assert counted(told) == "Of 2 expectations: not compared in 2."


def test_the_words_of_a_plan_are_shown_and_the_number_is_tied(tmp_path: Path) -> None:
    write(tmp_path / "shards", frame(20))
    result = probe(
        ProbeConfig(
            concept="doctor",
            shards=(str(tmp_path / "shards"),),
            cache=str(tmp_path / "cache"),
            runner="serial",
            audit_captions=0,
        )
    )
    expectations = (
        Expectation(
            words="<b>", claim=RECIPE, about="the share of red", expected="lower",
            outcome="the opposite", estimate=estimate(0.02, 0.1), range=estimate(0.01, 0.11),
        ),
        Expectation(words="fewer women", outcome="not compared", reason="names no claim"),
        Expectation(
            words="", claim=GENERATOR, about="y", expected="no change", outcome="otherwise",
            estimate=estimate(0.02, 0.1),
        ),
    )  # fmt: skip
    kept = Preregistered(
        hash="0" * 64, written="2026-01-02", expectations=expectations, deviations=(),
        made_since=(), claims=(), sentence="x",
    )  # fmt: skip
    html = report_html(result.model_copy(update={"preregistered": kept}))
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "the opposite" in html
    assert "otherwise: a change" in html
    assert "fewer women" in html
    assert 'data-pointer="/preregistered/expectations/0/estimate"' in html
    assert 'data-pointer="/preregistered/expectations/0/range"' in html
    assert "speaks neither for what was expected nor against it" in html
