"""The finding of `outliers` in words: short whatever was weighed, and open ends said to be so."""

from __future__ import annotations

import pytest
from fake_outliers import cases

from laion_probe.outliers_result import Explanation, OutliersResult, RecipeWeighed, Verdict
from laion_probe.questions.explaining_words import odds_in_words
from laion_probe.questions.outliers_finding import finding
from laion_probe.results import Estimate


def estimate(value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=900, units=13, method="m")


def weighed(recipe: str, *verdicts: Verdict) -> RecipeWeighed:
    """Explanations one, two ... with these verdicts."""
    like = cases()["full"].clusters[0].weighed[0]
    explanations = tuple(
        Explanation.model_validate(
            e.model_dump()
            | {
                "title": f"reason {i}",
                "verdict": v,
                "here": estimate(0.25, 0.2, 0.3).model_dump(),
                "elsewhere": estimate(0.04, 0.03, 0.05).model_dump(),
                "odds_ratio": estimate(8.0, 3.0, None).model_dump(),
            }
        )
        for i, (e, v) in enumerate(zip(like.explanations, verdicts, strict=False), 1)
    )
    return like.model_copy(update={"recipe": recipe, "explanations": explanations})


def told(*recipes: RecipeWeighed) -> tuple[str, ...]:
    result: OutliersResult = cases()["full"]
    cluster = result.clusters[0].model_copy(update={"weighed": recipes})
    return finding(result.model_copy(update={"clusters": (cluster,)}), simulated=True)


def test_many_recipes_take_no_more_sentences_than_one() -> None:
    yes: Verdict = "supported"
    no: Verdict = "contradicted"
    open_: Verdict = "not decidable here"
    many = [weighed(f"r{i}", yes, no if i % 2 else open_, open_) for i in range(9)]
    said = told(*many, weighed("last", no, no, "not in this recipe"))
    assert len(said) == len(told(many[0])) == 6
    first = said[3]
    assert first.startswith("With “r0”, “r1”")
    assert first.count("25.0 %") == 1  # numbers once
    assert first.endswith("With “last”: none of the explanations weighed.")
    assert "reason 2 (with 5 of 10 recipes)" in said[4]
    open_ones = (
        "Not decidable here: reason 2 (with 5 of 10 recipes); reason 3 (with 9 of 10 recipes)."
    )
    assert said[4].endswith(open_ones)
    assert sum(map(len, said)) < 1_600


def test_of_picked_outputs_it_is_said_and_the_association_once() -> None:
    result: OutliersResult = cases()["full"]
    cluster = result.clusters[0].model_copy(update={"weighed": (weighed("none", "supported"),)})
    picked = cluster.model_copy(
        update={"picked": True, "over_represented": False, "name": "the picked outputs"}
    )
    said = finding(result.model_copy(update={"clusters": (picked, cluster)}), simulated=False)
    mine = [s for s in said if s.startswith("Of the picked outputs: With the recipe “none”")]
    assert len(mine) == 1
    assert sum(s.startswith("With the recipe “none”") for s in said) == 1
    assert sum("is an association" in s for s in said) == 1
    assert said[-1].startswith("What is supported is an association")


@pytest.mark.parametrize("n", [3, 4])
def test_many_others_are_told_by_their_range(n: int) -> None:
    result: OutliersResult = cases()["full"]
    first = result.clusters[0].model_copy(update={"weighed": (weighed("none", "contradicted"),)})
    others = [
        first.model_copy(
            update={
                "name": f"cluster {i}",
                "over_represented": False,
                "output_share": estimate(i / 100, None, None),
            }
        )
        for i in (2, 5, 1, 3)[:n]
    ]
    said = finding(result.model_copy(update={"clusters": (first, *others)}), simulated=False)
    (one,) = (s for s in said if s.startswith("Asked for (--others)"))
    named = "cluster 2 (2.0 %), cluster 5 (5.0 %), cluster 1 (1.0 %)."
    assert one.endswith(
        named if n == 3 else "4 clusters, with from 1.0 % to 5.0 % of the outputs each."
    )


def test_patterns_that_are_many_stand_in_the_table() -> None:
    kinds: tuple[Verdict, ...] = ("supported", "contradicted")
    all_of = [weighed(f"r{i}", *(kinds[i >> j & 1] for j in range(3))) for i in range(8)]
    assert told(*all_of)[3].endswith("The table below has the other recipes.")
    assert "r3" not in told(*all_of)[3]


def test_what_had_been_passed_before_is_named() -> None:
    said = told(weighed("none", "not observable", "not in this recipe"))
    assert said[3].startswith("With the recipe “none” (the rows as given), supported by these data")
    assert said[4] == "Not observable, since the data had passed it before: reason 1."
    assert len(said) == 5  # nothing is supported, so that nothing is called an association


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (7.92, 3.18, 20.7, "odds ratio 7.9 [3.2, 21]"),
        (3.9, 0.0058, 2637.0, "odds ratio 3.9 [0.0058, over 1,000]"),
        (0.0, 0.0, 351.0, "odds ratio 0 [0, 351]"),
        (None, 1.92, None, "odds ratio of 1.9 or more, with no upper end"),
        (8.0, 3.0, None, "odds ratio 8.0, 3.0 or more, with no upper end"),
        (None, 0.0, None, "odds ratio open at both ends"),
        (None, 0.0, 0.3, "odds ratio [0, 0.30]"),
        (1e-5, 1e-7, 0.999, "odds ratio under 0.001 [under 0.001, 1.00]"),
    ],
)
def test_odds_are_told_without_powers_and_with_their_ends(
    value: float | None, low: float | None, high: float | None, said: str
) -> None:
    assert odds_in_words(estimate(value, low, high)) == said
