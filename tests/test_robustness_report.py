"""What is counted of made-up specifications, and what the report makes of the counts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laion_probe import frames
from laion_probe.compose_result import RunOf
from laion_probe.config.robustness import RobustnessConfig
from laion_probe.errors import ConfigError
from laion_probe.preregistration import Deviation, Preregistered
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.robustness import robustness
from laion_probe.questions.robustness_choices import Listed
from laion_probe.questions.robustness_curves import Reruns, curve
from laion_probe.questions.robustness_reruns import Said
from laion_probe.questions.robustness_verdict import told
from laion_probe.questions.robustness_words import cannot_say, finding_of, how_measured
from laion_probe.render.robustness_curve import specification_svg
from laion_probe.render.robustness_report import render_robustness, robustness_report_html
from laion_probe.results import Claim, Estimate, Shift
from laion_probe.robustness_result import (
    AXES,
    VERDICTS,
    ByChoice,
    Choice,
    ClaimCurve,
    Nearby,
    RobustnessResult,
    Specification,
)

#: Intervals of a change, and what they say.
HIGHER, LOWER, OPEN = (0.02, 0.1), (-0.1, -0.02), (-0.05, 0.04)
Interval = tuple[float, float] | None


def estimate(low: float, high: float, method: str = "made up") -> Estimate:
    value = (low + high) / 2
    return Estimate(value=value, low=low, high=high, n=90, units=9, method=method)


def claimed(interval: tuple[float, float]) -> tuple[Claim, Shift]:
    """A claim of the change in an interval; [0, 0] is of a full count."""
    low, high = interval
    change = estimate(low, high)
    shift = Shift(
        attribute="dress", contrast_level="red", from_stage="pool", to_stage="neighbourhood",
        difference=change, ratio=change, paired=True,
    )  # fmt: skip
    supported = low > 0 or high < 0 or low == high == 0
    return Claim(
        id="recipe:dress", text="x", supported=supported, estimate="/shifts/0/difference"
    ), shift


def said(interval: Interval) -> dict[str, Said]:
    if interval is None:
        return {"": Said(None, reason="no picture is near")}
    claim, shift = claimed(interval)
    found = told(claim, [shift])
    return {claim.id: Said(claim, found.verdict, found.by, found.estimate)}


def made_up(
    run: tuple[float, float], others: Sequence[Interval], possible: int = 0, *, listed: bool = True
) -> RobustnessResult:
    """A result of these specifications; with ``possible``, they were drawn from so many."""
    claim, shift = claimed(run)
    names = ["run", *(f"top:{i + 1}" for i in range(len(others)))]
    specifications = tuple(dict.fromkeys(AXES, "run") | {"threshold": name} for name in names)
    all_listed = Listed(
        specifications, (listed, *(True for _ in others)), possible or len(others) + listed
    )
    choices = [Choice(axis="threshold", name=name, about="") for name in names[not listed :]]
    others_of = [Choice(axis=axis, name="run", about="") for axis in AXES if axis != "threshold"]
    reruns = Reruns(
        ProbeResult.model_construct(shifts=(shift,)),
        all_listed,
        choices + others_of,
        [said(interval) for interval in (run, *others)],
        0.95,
    )
    found = curve(reruns, claim, "Dress, after the recipe against before")
    return RobustnessResult(
        data_note="", concept="doctor", recipe="mine", level=0.95,
        n_possible=all_listed.n_possible, sampled=all_listed.sampled, reproduced=True,
        choices=tuple(choices + others_of),
        specifications=tuple(
            Specification(choices=one, is_run=i == 0, listed=is_listed, n_pictures=90)
            for i, (one, is_listed) in enumerate(
                zip(all_listed.specifications, all_listed.listed, strict=True)
            )
        ),
        claims=(found,), finding=tuple(finding_of([found], all_listed, reproduced=True)),
        how_measured=(), cannot_say=(),
        provenance=RunOf(version="0", command="laion-probe robustness x", config={}, inputs=()),
    )  # fmt: skip


ANY = st.sampled_from([HIGHER, LOWER, OPEN, (0.0, 0.0), None])


@given(run=st.sampled_from([HIGHER, LOWER, OPEN, (0.0, 0.0)]), others=st.lists(ANY, max_size=9))
def test_every_specification_is_counted_exactly_once(
    run: tuple[float, float], others: list[Interval]
) -> None:
    (found,) = made_up(run, others).claims
    assert sum(found.counts.values()) == found.n == len(others) + 1
    assert set(found.counts) == set(found.shares) == set(VERDICTS)
    assert sum(e.value or 0 for e in found.shares.values()) == pytest.approx(1)
    for verdict, n in found.counts.items():
        assert n == [o.verdict for o in found.outcomes].count(verdict)
        for axis in AXES:
            assert n == sum(b.counts[verdict] for b in found.by_choice if b.axis == axis)
    for b in found.by_choice:
        assert sum(b.counts.values()) == b.n


def words(result: RobustnessResult) -> str:
    """The text of the page, without its style and script."""
    html = re.sub(r"(?s)<(style|script)>.*?</\1>", "", robustness_report_html(result))
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_what_no_specification_can_tell_is_never_told_as_holding() -> None:
    result = made_up(OPEN, [OPEN] * 25 + [None])
    (found,) = result.claims
    assert (found.verdict, found.counts["cannot tell"], found.counts["failed"]) == (
        "cannot tell", 26, 1
    )  # fmt: skip
    assert result.finding == (
        "Dress, after the recipe against before. The run: these data cannot tell. No specification "
        "can tell: of 27 specifications, 26 cannot, 1 could not be computed. That is no evidence "
        "that nothing changes.",
    )
    page = words(result)
    assert "as the run" not in page
    assert "the same" not in page
    assert "robust" not in page.replace("laion-probe robustness", "")


def test_a_run_that_cannot_tell_beside_specifications_that_do() -> None:
    result = made_up(OPEN, [HIGHER, HIGHER, LOWER, OPEN])
    assert (
        "Of 5 specifications: higher in 2, lower in 1, these data cannot tell in 2."
        in (result.finding[0])
    )
    page = words(result)
    assert "as the run" not in page
    assert "the opposite" not in page


@pytest.mark.parametrize(
    ("run", "others", "says"),
    [
        (LOWER, [LOWER, HIGHER, OPEN],
         "The run: lower. Of 4 specifications: lower in 2, higher in 1, these data cannot tell "
         "in 1."),
        (HIGHER, [HIGHER, HIGHER],
         "The run: higher. Of 3 specifications: higher in 3, lower in none, these data cannot "
         "tell in none."),
        (HIGHER, [(0.0, 0.0), None],
         "The run: higher. Of 3 specifications: higher in 1, lower in none, no change in 1, these "
         "data cannot tell in none, not computed in 1."),
        (LOWER, [],
         "The run: lower. Of 1 specification: lower in 1, higher in none, these data cannot tell "
         "in none."),
        ((0.0, 0.0), [HIGHER],
         "The run: no change. Of 2 specifications: higher in 1, lower in none, no change in 1, "
         "these data cannot tell in none."),
    ],
)  # fmt: skip
def test_the_finding_tells_each_answer_beside_the_runs_own(
    run: tuple[float, float], others: list[Interval], says: str
) -> None:
    assert says in made_up(run, others).finding[0]


def test_where_nothing_could_be_computed_nothing_is_said_of_the_change() -> None:
    result = made_up(OPEN, [None, None], listed=False)
    assert result.finding[0].endswith("Of 2 specifications: none could be computed.")


def test_a_drawn_part_has_shares_with_intervals_and_the_run_beside_is_not_counted() -> None:
    result = made_up(LOWER, [LOWER, LOWER, OPEN, HIGHER], possible=40, listed=False)
    (found,) = result.claims
    assert (found.n, found.counts["lower"]) == (4, 2)
    assert found.shares["lower"].low is not None
    assert "Of 4 specifications (drawn from 40)" in result.finding[0]
    assert "Share of all 40 possible" in words(result)
    assert "Share of all" not in words(made_up(LOWER, [LOWER]))


def test_a_claim_is_counted_without_prompts_that_find_other_pictures() -> None:
    """All that is higher is with "a GP"; the specification stays in, and is told."""
    (claim,) = made_up(OPEN, [OPEN, HIGHER, HIGHER, HIGHER]).claims
    known = Nearby(n=9, n_run=9, n_both=9, share_of_run=1, jaccard=1, n_like=9)
    gp = known.model_copy(update={"n_both": 2, "n_like": 1, "other_pictures": True})
    choices = [Choice(axis="prompts", name="run", about="", nearby=known),
               Choice(axis="prompts", name="a GP", about="", nearby=gp)]  # fmt: skip
    run, other = (dict.fromkeys(VERDICTS, 0) | said for said in ({"cannot tell": 2}, {"higher": 3}))
    by_choice = (
        ByChoice(axis="prompts", choice="run", n=2, counts=run, median=0.1),
        ByChoice(axis="prompts", choice="a GP", n=3, counts=other, median=0.2),
    )
    claim = claim.model_copy(update={"by_choice": by_choice})
    own = Listed((dict.fromkeys(AXES, "run"),), (True,), 1)
    first, last = finding_of([claim], own, reproduced=True, other=choices[1:])
    assert "Of 5 specifications: higher in 3, lower in none, these data cannot tell in 2." in first
    assert "Without “a GP”, no specification can tell: of 2 specifications, 2 cannot." in first
    assert last.startswith("With “a GP” the encoder finds other pictures: of the 9 nearest, 1 is")
    # Nothing is left without it, or nothing of it was computed: there is no such count.
    for left in (by_choice[1:], by_choice[:1]):
        only = claim.model_copy(update={"by_choice": left, "n": 3})
        assert "Without" not in next(iter(finding_of([only], own, True, choices[1:])))
    failed = by_choice[1].model_copy(update={"counts": dict.fromkeys(VERDICTS, 0) | {"failed": 3}})
    gone = claim.model_copy(update={"by_choice": (by_choice[0], failed)})
    assert "Without" not in next(iter(finding_of([gone], own, True, choices[1:])))


def test_results_of_older_versions_without_overlaps_are_read() -> None:
    told = json.loads(made_up(LOWER, [LOWER]).to_json())
    for choice in told["choices"]:
        del choice["nearby"]
    old = RobustnessResult.from_json(json.dumps(told))
    assert all(c.nearby is None for c in old.choices)
    assert "Jaccard" not in words(old)


def test_why_specifications_failed_is_told_of_those_that_are_counted() -> None:
    """The run's own, beside a drawn part, is no longer computed either: it counts nowhere."""
    result = made_up(LOWER, [LOWER, None, None], possible=40, listed=False)
    (found,) = result.claims
    own = next(o for o in found.outcomes if o.specification == 0)
    gone = own.model_copy(update={"verdict": "failed", "estimate": None, "reason": "it is gone"})
    outcomes = tuple(gone if o is own else o for o in found.outcomes)
    claim = found.model_copy(update={"outcomes": outcomes})
    page = words(result.model_copy(update={"claims": (claim,)}))
    assert "Why 2 could not be computed 2: no picture is near" in page
    assert "it is gone" not in page


def test_the_figure_counts_every_mark_in_its_legend() -> None:
    result = made_up(LOWER, [LOWER, HIGHER, OPEN, None])
    svg = specification_svg(result.claims[0], result.specifications, result.choices)
    for name in ("lower, as the run: 2", "higher, the opposite: 1", "cannot tell: 1",
                 "not computed: 1", "the run"):  # fmt: skip
        assert f">{name}</text>" in svg
    assert "no change" not in svg
    full = made_up(HIGHER, [(0.0, 0.0)])
    assert ">no change: 1</text>" in specification_svg(
        full.claims[0], full.specifications, full.choices
    )
    # The legend stays in the figure, however many there are.
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="22"', svg)]
    assert max(places) + 6.6 * len("the run") < 900


def test_the_tables_hold_the_same_counts(tmp_path: Path) -> None:
    result = made_up(LOWER, [LOWER, HIGHER, OPEN, OPEN, None])
    render_robustness(result, tmp_path)
    columns = [f"n_{v.replace(' ', '_')}" for v in VERDICTS]
    for name in ("claims", "by_choice"):
        table = pl.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert (
            table.select(pl.sum_horizontal(columns))
            .to_series()
            .equals(table["n"], check_dtypes=False, check_names=False)
        )
        assert frames(result)[name].select(columns).equals(table.select(columns))
    claims = pl.read_csv(tmp_path / "tables" / "claims.csv")
    assert claims.select(columns).row(0) == (1, 2, 0, 2, 1)
    shares = pl.read_csv(tmp_path / "tables" / "shares.csv")
    np.testing.assert_allclose(shares["value"], np.array([1, 2, 0, 2, 1]) / 6)


def test_the_page_says_what_counts_of_choices_cannot_say() -> None:
    assert "How many of them say something is no probability" in words(made_up(LOWER, [LOWER]))
    opened = type("Opened", (), {"embedder": None})()
    told_ = " ".join(cannot_say(opened, reproduced=True))
    for part in ("no sample of anything", "no p-value", "Which choice is right"):
        assert part in told_


@pytest.mark.parametrize(
    ("deviations", "says"),
    [
        ((), "…): its own specification is the one that was registered."),
        ((Deviation(of="option", what="seed", registered="0", used="1"),),
         "…), and deviates from its plan in 1 thing: its own specification is not the one"),
    ],
)  # fmt: skip
def test_a_preregistered_run_is_the_registered_choice_only_where_it_kept_to_its_plan(
    deviations: tuple[Deviation, ...], says: str
) -> None:
    plan = Preregistered(
        hash="0" * 64, written="", deviations=deviations, made_since=(), claims=(), sentence=""
    )
    own = Listed((dict.fromkeys(AXES, "run"),), (True,), 1)
    run = ProbeResult.model_construct(preregistered=plan)
    assert says in " ".join(how_measured([], own, 0, run))


def test_a_run_of_another_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    render_robustness(made_up(LOWER, [LOWER]), tmp_path)
    with pytest.raises(ConfigError, match="is a run of robustness: give the folder of a probe run"):
        robustness(RobustnessConfig(folder=str(tmp_path)))
    with pytest.raises(ConfigError, match="no finished run"):
        robustness(RobustnessConfig(folder=str(tmp_path / "not-there")))


def test_curves_of_one_result_round_trip() -> None:
    result = made_up(HIGHER, [LOWER, None])
    again = RobustnessResult.from_json(result.to_json())
    assert again == result
    assert isinstance(again.claims[0], ClaimCurve)
