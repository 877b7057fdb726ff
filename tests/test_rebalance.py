"""`rebalance` from end to end: targets in words, files that run, and reports of what was found."""

from __future__ import annotations

import json
import re
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from laion_probe.config import make_config
from laion_probe.config.rebalance import RebalanceConfig
from laion_probe.errors import ConfigError, LaionProbeError
from laion_probe.questions.rebalancing import rebalance
from laion_probe.questions.rebalancing_inputs import Variable
from laion_probe.questions.rebalancing_targets import aim_of, read_targets
from laion_probe.ratings.sampling import draw
from laion_probe.rebalance_result import RebalanceResult
from laion_probe.render.rebalance_report import rebalance_report_html, render_rebalance

GENDER, TONE = "gender_presentation", "skin_tone"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Labels of 1 000 pictures, a tenth of the men read as women, and ratings of 300."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    ids = [f"p{i:04d}" for i in range(1000)]
    true = rng.choice(["woman", "man", "unknown"], 1000, p=[0.3, 0.6, 0.1])
    read = np.where((true == "man") & (rng.random(1000) < 0.1), "woman", true)
    tone = rng.choice(["lighter", "darker"], 1000, p=[0.7, 0.3])
    pl.DataFrame({"id": ids, "level": read}).write_csv(folder / "gender.csv")
    pl.DataFrame({"id": ids, "level": tone}).write_csv(folder / "tone.csv")
    frame = pl.DataFrame(
        {
            "picture": ids,
            "source": "data",
            "stratum": [f"{r}, {t}" for r, t in zip(read, tone, strict=True)],
        }
    )
    at = {name: i for i, name in enumerate(ids)}
    drawn = draw(frame, 300, seed=1)
    drawn.select("picture", "stratum", "stratum_size", "probability").with_columns(
        pl.Series(GENDER, [true[at[p]] for p in drawn["picture"]]),
        pl.Series(TONE, [tone[at[p]] for p in drawn["picture"]]),
        rater=pl.lit("a"),
    ).write_csv(folder / "ratings.csv")
    pl.DataFrame({"id": ids, "level": true}).write_csv(folder / "truth.csv")
    return {name: folder / f"{name}.csv" for name in ("gender", "tone", "ratings", "truth")}


def config(tables: dict[str, Path], *target: str, **options: Any) -> RebalanceConfig:
    scores = (f"{GENDER}={tables['gender']}", f"{TONE}={tables['tone']}")
    values = {"scores": scores, "ratings": (str(tables["ratings"]),), "target": target}
    return make_config(values | options, RebalanceConfig)


def level(r: RebalanceResult, variable: str, name: str) -> Any:
    v = next(v for v in r.variables if v.variable == variable)
    return next(x for x in v.levels if x.level == name)


def test_labels_get_their_margins_and_raters_see_others(tables: dict[str, Path]) -> None:
    r = rebalance(config(tables, f"{GENDER}:parity", f"{TONE}:darker=40%"))
    assert level(r, GENDER, "woman").share_after == pytest.approx(
        level(r, GENDER, "man").share_after, abs=1e-6
    )
    # unknown keeps its share
    unknown = level(r, GENDER, "unknown")
    assert unknown.share_after == pytest.approx(unknown.share, abs=1e-6)
    assert level(r, TONE, "darker").share_after == pytest.approx(0.4, abs=1e-6)
    weighted = r.predicted[0].stages[1]
    assert weighted.read == pytest.approx(0.5, abs=1e-6)
    read, true = (pl.read_csv(tables[name])["level"] for name in ("gender", "truth"))
    weight = {x.level: x.weight for x in r.variables[0].levels}
    w = np.array([weight[x] for x in read])
    women, both = (true == "woman").to_numpy(), true.is_in(["woman", "man"]).to_numpy()
    truth = float(w @ women / (w @ both))
    assert truth < 0.45  # what labels hide
    e = weighted.contrast
    assert e.low is not None
    assert e.high is not None
    assert e.low <= truth <= e.high < 0.5
    subset = r.predicted[0].stages[2].contrast
    assert subset.low is not None
    assert subset.high is not None
    assert subset.high - subset.low > e.high - e.low  # it is drawn as well
    missed, met = (next(c for c in r.claims if c.id == f"target:{x}") for x in (GENDER, TONE))
    assert missed.supported
    assert "is below the target of 50.0 % woman: 3" in missed.text
    # an interval that holds the target is no proof that it is reached
    assert not met.supported
    assert met.text.startswith("these data cannot tell whether")
    assert any("is missed, since labels err" in line for line in r.finding)


def test_without_ratings_shares_are_uncorrected_and_say_so(tables: dict[str, Path]) -> None:
    r = rebalance(config(tables, f"{GENDER}:parity", ratings=()))
    found = r.predicted[0]
    assert not found.corrected
    assert "uncorrected" in found.warning
    assert found.stages[1].contrast.value == pytest.approx(0.5, abs=1e-6)
    assert found.stages[1].contrast.low is None
    assert not r.claims[0].supported
    assert r.claims[0].text.startswith("labels alone cannot tell")


def test_ratings_of_other_pictures_are_refused(tables: dict[str, Path], tmp_path: Path) -> None:
    drawn = pl.read_csv(tables["ratings"]).drop("stratum_size")
    path = str(tmp_path / "other.csv")
    drawn.with_columns(pl.col("probability") / 10).write_csv(path)
    r = rebalance(config(tables, f"{GENDER}:parity", ratings=(path,)))
    assert not r.predicted[0].corrected
    assert "stand for about" in r.predicted[0].warning


def test_ratings_that_were_picked_are_refused(tables: dict[str, Path], tmp_path: Path) -> None:
    # only pictures that are read as women were rated, which nobody tells
    read = pl.read_csv(tables["gender"]).rename({"id": "picture"})
    drawn = pl.read_csv(tables["ratings"]).drop("probability", "stratum", "stratum_size")
    path = str(tmp_path / "picked.csv")
    drawn.join(read.filter(level="woman"), on="picture", how="semi").write_csv(path)
    r = rebalance(config(tables, f"{GENDER}:parity", ratings=(path,)))
    assert not r.predicted[0].corrected
    assert "no random sample" in r.predicted[0].warning


def test_ratings_without_chances_are_used_with_a_warning(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    path = str(tmp_path / "plain.csv")
    drawn = pl.read_csv(tables["ratings"]).drop("probability", "stratum", "stratum_size")
    drawn.write_csv(path)
    r = rebalance(config(tables, f"{GENDER}:parity", ratings=(path,)))
    assert r.predicted[0].corrected
    assert "simple random sample" in r.predicted[0].warning
    assert "simple random sample" in rebalance_report_html(r)


def test_dropped_unknown_rows_have_no_weight(tables: dict[str, Path], tmp_path: Path) -> None:
    r = rebalance(config(tables, f"{GENDER}:woman=0.5", unknown="drop"), folder=tmp_path)
    assert level(r, GENDER, "unknown").share_after == 0
    assert r.price.n_without == level(r, GENDER, "unknown").n > 0
    weights = pl.read_parquet(tmp_path / "weights.parquet")
    assert weights["weight"].mean() == pytest.approx(1)
    assert (weights["weight"] == 0).sum() == r.price.n_without


def test_a_reference_table_and_levels_in_parity(tables: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "census.csv"
    path.write_text("level,share\nlighter,25%\ndarker,75%\n", encoding="utf-8")
    r = rebalance(config(tables, f"{TONE}={path}", f"{GENDER}:woman,man=parity"))
    assert level(r, TONE, "darker").share_after == pytest.approx(0.75, abs=1e-6)
    assert level(r, GENDER, "woman").share_after == pytest.approx(0.45, abs=0.02)
    assert r.provenance.command.count("census.csv") == 1
    assert str(tmp_path) not in r.to_json()


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ((), {}, r"no target given, and none is assumed, parity neither.*gender_presentation:par"),
        ((f"{GENDER}:womn=0.5",), {}, r"unknown level of gender_presentation 'womn'.*woman"),
        (("gendr:parity",), {}, r"unknown attribute or group 'gendr'"),
        ((f"{GENDER}=0.5",), {}, r"none of the forms"),
        ((f"{GENDER}:woman=1.5",), {}, r"'1.5' is no share from 0 to 1, nor from 0% to 100%"),
        ((f"{GENDER}:woman=-0.1",), {}, r"'-0.1' is no share from 0 to 1"),
        ((f"{GENDER}:woman=nan",), {}, r"'nan' is no share from 0 to 1"),
        (
            (f"{GENDER}:neutral=10%",),
            {},
            r"gender_presentation:neutral = 9.0 % \(now 0.0 %\) cannot be reached \(asked for: "
            r"gender_presentation:neutral=10%;.*no row has that level.*Add rows.*--skip-empty",
        ),
        ((f"{GENDER}:neutral=0.01%",), {}, r"neutral = 0.009\d* % \(now 0.0 %\) cannot be reached"),
        ((f"{GENDER}:woman=0.7", f"{GENDER}:man=0.7"), {}, r"sum to 140 %, more than all"),
        ((f"{GENDER}:woman=0.7", f"{GENDER}:woman=0.7"), {}, r"has a target already"),
        ((f"{GENDER}:unknown=0.2",), {}, r"--unknown keep or drop"),
        ((f"{GENDER}:before",), {}, r"nothing says what gender_presentation was before"),
        (
            (f"{GENDER}:woman=0.9",),
            {"max_weight": 1.5},
            r"gender_presentation:woman = 8\d.\d % \(now 3\d.\d %\) cannot be reached with "
            r"--max-weight 1.5 \(asked for: gender_presentation:woman=0.9;.*some weight must be "
            r"2.\d+ or more",
        ),
        ((f"{GENDER}:parity",), {"subset": 5000}, r"only 1000 pictures have a weight; the most"),
        (("gender-words:woman,man=parity",), {}, r"pictures of tables have no captions"),
        (("clothing:parity",), {}, r"clothing: that is read from pictures.*--scores clothing=FILE"),
    ],
)
def test_what_cannot_be_had_says_why_and_what_to_do(
    tables: dict[str, Path], target: tuple[str, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(LaionProbeError) as error:
        rebalance(config(tables, *target, **options))
    assert re.search(said, str(error.value), re.DOTALL), str(error.value)


def shares_of(path: Path, **shares: str) -> str:
    """A target's CSV of the tone's levels."""
    lines = "".join(f"{name},{share}\n" for name, share in shares.items())
    path.write_text(f"level,share\n{lines}", encoding="utf-8")
    return f"{TONE}={path}"


@pytest.mark.parametrize(
    ("lighter", "darker", "total"),
    [
        ("33.3%", "66.6%", 0.999),
        ("33.4%", "66.7%", 1.001),
        ("0.333", "0.668", 1.001),
        ("33%", "66%", 0.99),
        ("25%", "75.0%", None),
    ],
)
def test_rounded_tables_are_scaled_and_the_report_says_so(
    tables: dict[str, Path], tmp_path: Path, lighter: str, darker: str, total: float | None
) -> None:
    target = shares_of(tmp_path / "t.csv", lighter=lighter, darker=darker)
    r = rebalance(config(tables, target, ratings=()))
    (v,) = (v for v in r.variables if v.variable == TONE)
    assert v.asked_sum == (None if total is None else pytest.approx(total))
    first, second = (float(x.rstrip("%")) for x in (lighter, darker))
    assert level(r, TONE, "darker").share_after == pytest.approx(second / (first + second))
    html = rebalance_report_html(r)
    assert ("taken as rounded, and scaled to 100" in html) == (total is not None)


@pytest.mark.parametrize(
    ("lighter", "darker", "said"),
    [
        ("33.3%", "66.4%", r"sum to 99.7 %, and no row of another known level"),
        ("33.4%", "66.8%", r"sum to 100.2 %, more than all, and by more than rounding"),
        ("0.5", "0.6", r"sum to 110 %, more than all"),
        ("33.33%", "66.7%", r"sum to 100.03 %, more than all"),
        ("50", "50%", r"t.csv, row 1: give a level and a share from 0 to 1, or a percentage"),
    ],
)
def test_tables_that_are_off_by_more_than_rounding_are_refused(
    tables: dict[str, Path], tmp_path: Path, lighter: str, darker: str, said: str
) -> None:
    target = shares_of(tmp_path / "t.csv", lighter=lighter, darker=darker)
    with pytest.raises(ConfigError, match=said):
        rebalance(config(tables, target, ratings=()))


def test_shares_given_one_by_one_leave_what_they_do_not_name(tables: dict[str, Path]) -> None:
    # a table's 99.9 % is meant as all; two shares on the command line leave neutral its part
    tenth = config(tables, f"{GENDER}:woman=49.9%", f"{GENDER}:man=50.0%", ratings=())
    with pytest.raises(ConfigError, match="gender_presentation:neutral = "):
        rebalance(tenth.model_copy(update={"target": (*tenth.target, f"{GENDER}:neutral=0.1%")}))
    r = rebalance(tenth)  # nobody else is there: all that is known is named
    assert r.variables[0].asked_sum == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "level;share\nlighter;1\n",
            r"has the columns 'level;share': give a CSV, parted by commas",
        ),
        ("level,share\n", r"has no rows"),
        ("level,share\nlighter,50%\nlighter,50%\n", r"row 2: 'lighter' has a share already"),
        ("level,share\nlight,100%\n", r"unknown level of skin_tone 'light'.*lighter"),
    ],
)
def test_a_table_that_cannot_be_read_says_what_it_has(
    tables: dict[str, Path], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(LaionProbeError, match=said):
        rebalance(config(tables, f"{TONE}={tmp_path / 't.csv'}", ratings=()))


def test_margins_that_only_just_go_say_which_and_how_long_it_took(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    gender, tone = (pl.read_csv(tables[name]).head(900) for name in ("gender", "tone"))
    # no woman is darker: half of each leaves lighter men hardly any weight
    kind = np.where(np.arange(900) % 3 == 0, "woman", "man")
    shade = np.where(kind == "woman", "lighter", np.where(np.arange(900) % 2, "lighter", "darker"))
    gender.with_columns(level=pl.Series(kind)).write_csv(tmp_path / "gender.csv")
    tone.with_columns(level=pl.Series(shade)).write_csv(tmp_path / "tone.csv")
    moved = {name: tmp_path / f"{name}.csv" for name in ("gender", "tone")} | {
        "ratings": tables["ratings"]
    }
    told: list[tuple[str, int, int]] = []
    r = rebalance(
        config(moved, f"{GENDER}:woman=0.5", f"{TONE}:darker=49.9%", ratings=()),
        lambda what, done, of: told.append((what, done, of)),
    )
    assert r.price.slow
    assert r.price.slow_margins == (GENDER, TONE)
    assert r.price.error <= 1e-6
    (line,) = (line for line in r.finding if line.startswith("Raking took"))
    assert f"{r.price.sweeps:,} sweeps" in line
    assert f"{GENDER} and {TONE} can only just be had together" in line
    raking = [done for what, done, _ in told if what == "raking"]
    assert len(raking) > 5
    assert raking == sorted(raking)
    assert "every share within 0.0" in rebalance_report_html(r)
    quick = rebalance(config(tables, f"{GENDER}:parity", ratings=()))
    assert not quick.price.slow
    assert not any(line.startswith("Raking took") for line in quick.finding)


def test_many_levels_that_contradict_are_counted_and_what_can_be_asked_is_told(
    tmp_path: Path,
) -> None:
    """Ten places, and women in the first only: half in all means half there, and the rest share."""
    n = 1000
    place = [f"l{i % 10}" for i in range(n)]
    kind = ["woman" if p == "l0" and i < 500 else "man" for i, p in enumerate(place)]
    names = {GENDER: kind, "place": place}
    for name, levels in names.items():
        frame = pl.DataFrame({"id": [f"p{i:04d}" for i in range(n)], "level": levels})
        frame.write_csv(tmp_path / f"{name}.csv")
    listed = "".join(f'[[level]]\nname = "l{i}"\nprompts = ["place {i}"]\n' for i in range(10))
    (tmp_path / "place.toml").write_text(
        'name = "place"\ntitle = "place"\nabout = "x"\ncontrast = "l0"\nagainst = "l1"\n'
        f"parity = 0.5\n{listed}"
    )
    asked = RebalanceConfig(
        scores=tuple(f"{name}={tmp_path / name}.csv" for name in names),
        attributes=(GENDER, str(tmp_path / "place.toml")),
        target=("place:l0=20%", f"{GENDER}:woman=50%"),
    )
    with pytest.raises(ConfigError) as error:
        rebalance(asked)
    said = str(error.value)
    assert "contradict one another" in said
    assert f"all other targets as asked, {GENDER}:woman can only have from 0 % to 20 %" in said
    assert rebalance(asked.model_copy(update={"target": ("place:l0=20%", f"{GENDER}:woman=20%")}))
    # the other way round, what l0 must have is told as --target counts: the nine others follow
    turned = asked.model_copy(update={"target": tuple(reversed(asked.target))})
    with pytest.raises(ConfigError, match=r"place:l0 can only have from 50 % to 100 %"):
        rebalance(turned)


def test_the_smallest_weight_that_is_told_does(tables: dict[str, Path]) -> None:
    asked = config(tables, f"{GENDER}:woman=0.9", f"{TONE}:darker=0.45", max_weight=1.5)
    with pytest.raises(ConfigError) as error:
        rebalance(asked)
    (least,) = re.findall(r"some weight must be ([\d.]+) or more", str(error.value))
    r = rebalance(asked.model_copy(update={"max_weight": float(least)}))
    assert r.price.largest <= float(least) + 1e-9


def test_the_range_is_of_known_rows_as_targets_are(tables: dict[str, Path], tmp_path: Path) -> None:
    # nobody who is darker is a woman, and a tenth is unknown: a target counts the others
    gender, tone = (pl.read_csv(tables[name]) for name in ("gender", "tone"))
    gender = gender.with_columns(
        level=pl.when((tone["level"] == "darker") & (pl.col("level") == "woman"))
        .then(pl.lit("man"))
        .otherwise("level")
    )
    gender.write_csv(tmp_path / "gender.csv")
    asked = config(
        tables | {"gender": tmp_path / "gender.csv"},
        f"{TONE}:darker=0.5",
        f"{GENDER}:woman=0.9",
        ratings=(),
    )
    with pytest.raises(ConfigError) as error:
        rebalance(asked)
    can_be = (
        f"{GENDER}:woman can only have from 0 % to ([\\d.]+) %, of the rows whose level is known"
    )
    found = re.search(can_be, str(error.value))
    assert found is not None, str(error.value)
    woman = float(found[1])
    assert 50 < woman < 60
    for share, can in ((woman, True), (woman + 0.2, False)):
        again = asked.model_copy(update={"target": (asked.target[0], f"{GENDER}:woman={share}%")})
        if can:
            assert rebalance(again).price.error <= 1e-6
        else:
            with pytest.raises(ConfigError, match="contradict one another"):
                rebalance(again)


def test_contradictory_targets_are_named_with_the_range(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    # nobody is a darker woman
    gender, tone = (pl.read_csv(tables[name]) for name in ("gender", "tone"))
    lighter = tone.with_columns(
        level=pl.when(gender["level"] == "woman").then(pl.lit("lighter")).otherwise("level")
    )
    lighter.write_csv(tmp_path / "tone.csv")
    asked = config(
        tables | {"tone": tmp_path / "tone.csv"},
        f"{GENDER}:woman=0.8",
        f"{TONE}:darker=0.5",
        ratings=(),
    )
    with pytest.raises(ConfigError) as error:
        rebalance(asked)
    said = str(error.value)
    assert "contradict one another" in said
    assert f"{GENDER}:woman = " in said
    assert re.search(rf"{TONE}:\w+ = 50.0 % \(now", said)
    low, high = map(float, re.findall(r"from ([\d.]+) % to ([\d.]+) %", said)[0])
    assert low == 0 or high == 100
    assert "ask for what can be had" in said
    # what it says can be had can be had, and the empty pair is told
    darker = (high if low == 0 else 100 - low) - 1
    r = rebalance(
        asked.model_copy(update={"target": (asked.target[0], f"{TONE}:darker={darker}%")})
    )
    assert {"woman", "darker"} in [set(c.levels.values()) for c in r.empty_cells]


def test_levels_that_nobody_has_can_be_skipped_and_are_named(tables: dict[str, Path]) -> None:
    r = rebalance(config(tables, f"{GENDER}:neutral=10%", skip_empty=True))
    assert r.variables[0].skipped == ("neutral",)
    assert {GENDER: "neutral"} in [c.levels for c in r.empty_levels]
    # what it would have had goes to known levels: unknown rows keep theirs
    unknown = level(r, GENDER, "unknown")
    assert unknown.share_after == pytest.approx(unknown.share, abs=1e-6)
    with pytest.raises(ConfigError, match="no row has any level that is to have a share"):
        rebalance(config(tables, f"{GENDER}:neutral=100%", skip_empty=True))
    assert any("no weight can mend" in line for line in r.finding)


def test_a_level_of_few_and_much_weight_is_told(tables: dict[str, Path], tmp_path: Path) -> None:
    gender = pl.read_csv(tables["gender"]).with_row_index()
    rare = pl.when(pl.col("index") < 7).then(pl.lit("neutral")).otherwise("level")
    gender.with_columns(level=rare).drop("index").write_csv(tmp_path / "gender.csv")
    moved = tables | {"gender": tmp_path / "gender.csv"}
    r = rebalance(config(moved, f"{GENDER}:neutral=20%", ratings=()))
    assert any(f"{GENDER}:neutral (7 pictures, 18." in line for line in r.finding)


def test_the_report_shows_every_number_at_its_place(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    asked = config(tables, f"{GENDER}:woman=0.5", f"{TONE}:parity", data_note="<b>made up</b>")
    r = rebalance(asked, folder=tmp_path)
    render_rebalance(r, tmp_path)
    assert RebalanceResult.from_json((tmp_path / "result.json").read_text("utf-8")) == r
    html = (tmp_path / "report.html").read_text("utf-8")
    assert html == rebalance_report_html(r)
    assert "<b>made up</b>" not in html
    told = json.loads(r.to_json())
    pointers = re.findall(r'data-pointer="([^"]+)" data-form="[^"]+" data-value="([^"]*)"', html)
    assert len(pointers) > 60
    for where, value in pointers:
        parts = [p.replace("~1", "/").replace("~0", "~") for p in where.split("/")[1:]]
        there = reduce(lambda x, p: x[int(p)] if isinstance(x, list) else x[p], parts, told)
        number = there["value"] if isinstance(there, dict) else there
        assert (number is None and value == "") or float(value) == number, where
    margins = pl.read_csv(tmp_path / "tables" / "margins.csv")
    assert margins.filter(variable=TONE, name="darker")["share_after"][0] == pytest.approx(0.5)
    predicted = pl.read_csv(tmp_path / "tables" / "predicted.csv")
    assert set(predicted["stage"]) == {"before", "weighted", "subset"}


@pytest.mark.parametrize(
    "shares", [("0.7", "0.2", "0.1"), ("0.1", "0.2", "0.7"), ("70%", "20%", "10%")]
)
def test_shares_of_one_whole_leave_nothing_to_others_whatever_their_order(
    shares: tuple[str, ...],
) -> None:
    """In floating point, 0.7 + 0.2 + 0.1 is less than 1: a weight of 1e-16 is not none."""
    code = np.repeat(np.arange(4), (50, 30, 15, 5))
    v = Variable("x", "x", ("a", "b", "c", "d"), code, "")
    (asked,) = read_targets([f"x:{k}={s}" for k, s in zip("abc", shares, strict=True)])
    aim = aim_of(asked, v, np.ones(100, bool), "keep", False)
    assert aim.margin.target[3] == 0
    assert aim.margin.target.sum() == pytest.approx(1, abs=1e-15)
    assert aim.asked_sum is None
