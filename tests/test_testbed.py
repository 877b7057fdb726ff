"""The parts of the testbed: tokens, words, what is planted, reading, effects; and a smoke run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from laion_probe.config import OutliersConfig
from laion_probe.config.testbed import TestbedConfig
from laion_probe.errors import ConfigError, NotEnoughData
from laion_probe.questions import testbed as question
from laion_probe.questions import testbed_tool
from laion_probe.questions.testbed_runs import Runs, recipe_captions
from laion_probe.recipes import load_recipe
from laion_probe.render.testbed_report import render_testbed
from laion_probe.testbed import Codebook, learn_codebook, learn_vocabulary
from laion_probe.testbed.effects import EFFECTS, contrast, log_odds, mean_between
from laion_probe.testbed.planting import ARMS, Design, PlantedRows, Shown, plant
from laion_probe.testbed.reading import ReadOut, read_out
from laion_probe.testbed_result import TestbedResult
from laion_probe.vectors import open_embeddings

DESIGN = Design("sari", rows=200, share=0.05, share_over=0.2, each=30, foreign=0.1)


def pool() -> list[Shown]:
    roles = ["doctor", "nurse", "judge", "cook"]
    shown = [
        Shown(roles[i % 4], "woman", "1f469", "Ärztin bei der Arbeit", True) for i in range(200)
    ]
    shown += [Shown("sari", "woman", "1f469", "साड़ी पहने महिला", True) for _ in range(60)]
    return shown + [Shown("thing", "none", "1f34e", "apple", False) for _ in range(120)]


# Tokens and words


def test_a_codebook_draws_again_what_it_holds_and_keeps_places() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (5, 2 * 2 * 3)).astype(np.float32)
    book = Codebook(codes, patch=2)
    tokens = rng.integers(0, 5, (7, 9))
    drawn = book.decode(tokens)
    assert drawn.shape == (7, 6, 6, 3)
    assert (book.encode(drawn) == tokens).all()
    # the second token is the patch to the right of the first, row by row
    assert (drawn[0, :2, 2:4].ravel() == codes[tokens[0, 1]]).all()
    assert (drawn[0, 2:4, :2].ravel() == codes[tokens[0, 3]]).all()


def test_codes_are_learned_and_nearer_than_random_ones() -> None:
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (6, 3))
    pictures = colours[rng.integers(0, 6, (40, 2, 2))].repeat(4, axis=1).repeat(4, axis=2)
    pictures = pictures.astype(np.uint8)
    book = learn_codebook(pictures, 12, 4, seed=0)
    assert (book.decode(book.encode(pictures)) == pictures).mean() > 0.9
    again = learn_codebook(pictures, 12, 4, seed=0)
    assert (again.codes == book.codes).all()


def test_the_empty_caption_is_zeros_and_no_other_is() -> None:
    words = learn_vocabulary(["a woman in a sari", "a man", "a woman"], places=4)
    coded = words.encode(["", "a man in a red sari", "  ", "?"])
    assert not coded[[0, 2, 3]].any()
    assert coded[1].all()
    assert coded.max() < words.size


# What is planted


@pytest.mark.parametrize("seed", [0, 1])
def test_arms_of_a_seed_differ_in_nothing_but_what_they_plant(seed: int) -> None:
    shown = pool()
    planted = {name: plant(shown, DESIGN, arm, seed) for name, arm in ARMS.items()}
    for name, arm in ARMS.items():
        p = planted[name]
        share = p.cluster.mean()
        assert share == pytest.approx(0.2 if arm.over else 0.05, abs=0.005)
        assert len(set(p.rows.tolist())) == len(p.rows)  # rows are taken out, never repeated
        assert set(p.rows) <= set(p.reference)
        assert (p.reference == planted["both"].rows).all()
        said = dict(zip(p.rows.tolist(), p.captions, strict=True))
        both = planted["both"]
        others = dict(zip(both.rows.tolist(), both.captions, strict=True))
        for row, inside in zip(p.rows.tolist(), p.cluster, strict=True):
            if not inside:
                assert said[row] == others[row]
            else:
                assert (said[row] == "साड़ी पहने महिला") is arm.emptied
    small, large = planted["emptied"].rows, planted["both"].rows
    assert set(small) < set(large)


def test_a_pool_that_is_too_small_says_so() -> None:
    with pytest.raises(NotEnoughData, match="fewer rows"):
        plant(pool(), Design("sari", 400, 0.05, 0.2, 30, 0.0), ARMS["both"], 0)
    with pytest.raises(NotEnoughData, match="beside sari"):
        plant(pool(), Design("sari", 320, 0.05, 0.1, 10, 0.0), ARMS["both"], 0)


def test_the_recipe_empties_planted_captions_and_leaves_english_ones() -> None:
    recipe = load_recipe("captions-stripped")
    for name in ("both", "over-represented"):
        planted = plant(pool(), DESIGN, ARMS[name], 3)
        rows = pl.DataFrame(
            {"url": [f"https://a.example/{i}" for i in planted.rows], "text": planted.captions}
        )
        captions, emptied = recipe_captions(rows, recipe)
        assert emptied[planted.cluster].all() == (name == "both")
        assert not emptied[planted.cluster].any() or name == "both"
        assert 0 < emptied[~planted.cluster].mean() < 0.25  # the background
        assert [not c for c in captions] == emptied.tolist()
    _, untouched = recipe_captions(rows, load_recipe("none"))
    assert not untouched.any()


# Reading and effects


def test_reading_is_by_the_nearest_that_is_another() -> None:
    reference = np.eye(3, dtype=np.float32)
    inside = np.array([True, False, False])
    near = np.array([[0.9, 0.1, 0], [0.1, 0.2, 0.9]], np.float32)
    assert read_out(near, reference, inside).tolist() == [True, False]
    own = read_out(reference, reference + 0.01, inside, np.array([0, -1, 2]))
    assert own.tolist() == [False, False, True]
    assert read_out(near[:0], reference, inside).tolist() == []


def test_the_corrected_share_undoes_the_error_it_knows() -> None:
    read = ReadOut(200, 170, 1000, 30)
    for true in (0.0, 0.1, 0.6, 1.0):
        assert read.corrected(true * 0.85 + (1 - true) * 0.03) == pytest.approx(true)
    assert read.corrected(0.01) == 0.0
    assert ReadOut(10, 1, 10, 2).corrected(0.5) is None
    assert ReadOut(0, 0, 10, 2).corrected(0.5) is None


def test_effects_are_those_of_a_linear_model_with_a_block_for_each_seed() -> None:
    rng = np.random.default_rng(2)
    emptied, over = np.array([0, 0, 1, 1.0]), np.array([0, 1, 0, 1.0])
    values = 0.1 + 0.3 * emptied + 0.1 * over + 0.2 * emptied * over
    values = values + rng.normal(0, 0.05, (6, 1)) + rng.normal(0, 0.02, (6, 4))
    e, o = np.tile(emptied, 6), np.tile(over, 6)
    design = np.column_stack([e - 0.5, o - 0.5, (e - 0.5) * (o - 0.5), np.eye(6).repeat(4, axis=0)])
    fitted = sm.OLS(values.ravel(), design).fit().params
    for i, (name, signs) in enumerate(EFFECTS.items()):
        found = contrast(values, signs, 0.9)
        assert found.value == pytest.approx(fitted[i]), name
        test = ttest_1samp(values @ np.array(signs), 0).confidence_interval(0.9)
        assert (found.low, found.high) == pytest.approx((test.low, test.high))


def test_intervals_between_seeds_cover_and_taking_pictures_for_runs_does_not() -> None:
    rng = np.random.default_rng(3)
    good = pictures = 0
    for _ in range(2000):
        own = np.clip(rng.normal(0.3, 0.06, 6), 0, 1)
        hits = rng.binomial(400, own)
        e = mean_between(hits / 400, 0.95)
        assert e.low is not None
        assert e.high is not None
        good += e.low <= 0.3 <= e.high
        p = hits.sum() / 2400
        half = float(student.ppf(0.975, 2399)) * np.sqrt(p * (1 - p) / 2400)
        pictures += p - half <= 0.3 <= p + half
    assert 1876 <= good <= 1930
    assert pictures < 1500


def test_one_seed_has_no_interval_and_none_and_all_have_odds() -> None:
    one = mean_between(np.array([0.4]), 0.95)
    assert (one.value, one.low, one.high) == (0.4, None, None)
    assert mean_between(np.array([]), 0.95).value is None
    ends = log_odds(np.array([0.0, 50.0, 100.0]), np.full(3, 100.0))
    assert ends[0] == -ends[2]
    assert ends[1] == 0


# Options


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"arms": ("both", "neiter")}, "no arm"),
        ({"arms": ("both", "both")}, "twice"),
        ({"side": 25}, "no multiple"),
        ({"share": 0.2}, "not below"),
    ],
)
def test_options_that_cannot_be_are_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TestbedConfig.model_validate(given)


def test_a_folder_without_the_demo_data_and_an_unknown_concept_are_said(
    tmp_path: Path, demo: Path
) -> None:
    with pytest.raises(ConfigError, match="has no images"):
        question.testbed(TestbedConfig(demo=str(tmp_path)))
    with pytest.raises(ConfigError, match=r"concept 'saree' is not in .* sari"):
        question.testbed(TestbedConfig(demo=str(demo), concept="saree", codes=2))


# The whole


@pytest.fixture(scope="module")
def small(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TestbedResult, Path]:
    """A testbed of models that learned nothing, to see that all is there."""
    folder = tmp_path_factory.mktemp("testbed")
    part = folder / "demo"
    (part / "images").mkdir(parents=True)
    for file in demo.glob("images/00000*"):  # a tenth of the pictures
        (part / "images" / file.name).symlink_to(file)
    for name in ("truth.parquet", "clip"):
        (part / name).symlink_to(demo / name)
    config = TestbedConfig(
        demo=str(part),
        cache=str(folder / "cache"),
        seeds=2,
        rows=150,
        share_over=0.15,
        each=4,
        codes=32,
        steps=2,
        samples=20,
        asked=4,
        fit_steps=0,
        no_verdicts=True,
        workers=1,
    )
    return question.testbed(config, folder=folder / "out"), folder


def test_every_arm_is_there_and_runs_are_kept(small: tuple[TestbedResult, Path]) -> None:
    result, folder = small
    assert result.n_runs == 8
    assert [a.arm for a in result.arms] == list(ARMS)
    assert {e.name for e in result.effects} == set(EFFECTS)
    expected = {a.arm: a.expected for a in result.arms}
    assert expected["neither"] < expected["over-represented"] < expected["both"]
    assert expected["neither"] < expected["emptied"] < expected["both"]
    kept = list((folder / "cache" / "testbed").glob("*/*/run.json"))
    assert len(kept) == 8
    assert len(list((folder / "out" / "samples").glob("*.webp"))) == 8
    data = open_embeddings(kept[0].parent / "data")
    assert data.n_rows in {r.n_rows for r in result.runs}
    assert set(data.columns) == {"id", "url", "caption"}


def test_a_finished_run_is_not_trained_again(
    small: tuple[TestbedResult, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, folder = small
    config = TestbedConfig.model_validate(
        {
            **result.provenance.config,
            "demo": str(folder / "demo"),
            "cache": str(folder / "cache"),
        }
    )
    monkeypatch.setattr(Runs, "_job", None)  # nothing is left to do
    again = question.testbed(config.model_copy(update={"workers": 1}))
    assert again.to_json() == result.to_json()
    with pytest.raises(TypeError):
        question.testbed(config.model_copy(update={"seeds": 3, "workers": 1}))


def test_the_report_shows_every_arm_and_is_the_same_twice(
    small: tuple[TestbedResult, Path], tmp_path: Path
) -> None:
    result, _ = small
    render_testbed(result, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    for arm in result.arms:
        assert repr(arm.drawn.value) in html
    assert html.count('class="sheet"') == 4
    assert "What the tool said" not in html  # verdicts were not asked for
    assert TestbedResult.from_json((tmp_path / "result.json").read_text("utf-8")) == result
    runs = pl.read_csv(tmp_path / "tables" / "runs.csv")
    assert runs["drawn"].to_list() == [r.drawn for r in result.runs]


# What the tool said


def described(ids: list[int], n_outputs: int, verdicts: dict[str, str]) -> SimpleNamespace:
    """A cluster as `outliers` describes it, as far as it is looked at."""
    pictures = [SimpleNamespace(id=str(i)) for i in ids]
    explanations = [SimpleNamespace(kind=k, verdict=v) for k, v in verdicts.items()]
    return SimpleNamespace(
        n_outputs=n_outputs,
        pictures=[SimpleNamespace(id="training-nearest", pictures=pictures)],
        weighed=[SimpleNamespace(explanations=explanations)] if verdicts else [],
    )


@pytest.mark.parametrize(
    ("arm", "verdicts", "right"),
    [
        ("both", {"over-represented": "supported", "emptied": "supported"}, True),
        ("both", {"over-represented": "not decidable here", "emptied": "supported"}, False),
        ("emptied", {"over-represented": "not decidable here", "emptied": "supported"}, True),
        ("emptied", {"over-represented": "supported", "emptied": "supported"}, False),
        ("neither", {"over-represented": "contradicted", "survives": "supported"}, True),
        ("neither", {"emptied": "supported"}, False),
        ("over-represented", {}, False),
    ],
)
def test_the_command_is_right_where_exactly_what_was_planted_is_supported(
    arm: str, verdicts: dict[str, str], right: bool
) -> None:
    inside = described([1, 2, 3, 9], 40, verdicts)
    # another cluster, larger, about which all is supported, is not the planted one
    beside = described([7, 8, 9, 1], 90, {"over-represented": "supported", "emptied": "supported"})
    found = testbed_tool._at_the_planted([beside, inside], arm, {"1", "2", "3"})
    assert (found.found, found.right) == (True, right)
    nowhere = testbed_tool._at_the_planted([beside, inside], arm, {"4"})
    assert (nowhere.found, nowhere.supported, nowhere.right) == (False, (), arm == "neither")


def test_a_run_is_asked_of_both_ways(small: tuple[TestbedResult, Path], demo: Path) -> None:
    _, folder = small
    run = next((folder / "cache" / "testbed").glob("*/both-0"))
    cluster = pl.read_parquet(run / "data" / "metadata")["caption"].str.contains(r"\p{Latin}")
    planted = PlantedRows(np.arange(len(cluster)), (), ~cluster.to_numpy(), np.arange(0))
    asked = OutliersConfig(
        model=f"local-dir:{demo / 'clip'}",
        recipe=("captions-stripped",),
        attributes=(),
        cache=str(folder / "embedded"),
    )
    said = testbed_tool.tool_said(run, "both", planted, asked)
    assert [s.how for s in said] == ["command", "pointed"]
    assert all(s.planted == ("over-represented", "emptied") for s in said)
    # a model that learned nothing draws nothing that is drawn too often
    assert not said[0].supported


@pytest.mark.slow
def test_smoke_emptied_captions_are_drawn_more_often(demo: Path, tmp_path: Path) -> None:
    """A minute of training: the arm with emptied captions must draw the cluster more often."""
    config = TestbedConfig(
        demo=str(demo),
        cache=str(tmp_path / "cache"),
        arms=("neither", "both"),
        seeds=1,
        steps=350,
        samples=400,
        asked=0,
        fit_steps=150,
        no_verdicts=True,
        workers=2,
    )
    result = question.testbed(config)
    drawn = {r.arm: r.n_hits for r in result.runs}
    assert drawn["both"] > 1.5 * drawn["neither"]
