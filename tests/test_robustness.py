"""A finding under other choices: on made-up data whose claim hinges on where near ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from laion_probe import cli
from laion_probe.config import ProbeConfig, beside
from laion_probe.config.preregister import PreregisterConfig
from laion_probe.config.robustness import RobustnessConfig
from laion_probe.errors import ConfigError
from laion_probe.estimate import Sample, share
from laion_probe.pictures import PictureFile
from laion_probe.preregistration import Preregistered
from laion_probe.probe_result import ProbeResult
from laion_probe.questions import preregistering
from laion_probe.questions.chain import build_chain
from laion_probe.questions.finding import write_finding
from laion_probe.questions.outputs import Outputs
from laion_probe.questions.probe import probe
from laion_probe.questions.robustness import robustness
from laion_probe.questions.robustness_choices import Listed
from laion_probe.questions.robustness_curves import Reruns, curve
from laion_probe.questions.robustness_reruns import Again, Opened, open_again
from laion_probe.ratings.table import RATING_SCHEMA, Ratings
from laion_probe.render.robustness_report import render_robustness, robustness_report_html
from laion_probe.results import GeneratedSummary, KnownError
from laion_probe.robustness_result import AXES, ByChoice, Choice, ClaimCurve, RobustnessResult

KEY = {"model": "made-up", "pretrained": "", "weights_sha256": "0" * 64,
       "preprocess": "none", "precision": "fp32"}  # fmt: skip
ATTRIBUTE = (
    'name = "dress"\ntitle = "dress"\nabout = "x"\ncontrast = "red"\nagainst = "blue"\n'
    'parity = 0.5\n[[level]]\nname = "red"\nprompts = ["a red dress"]\n'
    '[[level]]\nname = "blue"\nprompts = ["a blue dress"]\n'
)
RECIPE = (
    'name = "mine"\ntitle = "mine"\nsource = "me"\n'
    '[[step]]\nid = "detect"\nkind = "detect-language"\ntitle = "language"\nsource = "me"\n'
    'params = { detector = "cld2" }\n'
    '[[step]]\nid = "english"\nkind = "keep-language"\ntitle = "English"\nsource = "me"\n'
    'params = { keep = ["en"] }\n'
    '[[step]]\nid = "score"\nkind = "score"\ntitle = "a score"\nsource = "me"\n'
    'params = { column = "similarity", at_least = 0.5 }\n'
)
CHOICES = {"detectors": ("run", "cld3-0-1000"), "thresholds": ("run", "half", "double", "0.99"),
           "prompts": ("run", "bare", "dress")}  # fmt: skip
CAPTION = "a photograph of a doctor who stands in the ward of a hospital"


@dataclass(frozen=True)
class Words:
    """Reads a text as a place: the doctor, red or blue, anything else."""

    key: dict[str, str] = field(default_factory=lambda: KEY)
    logit_scale: float = 100.0

    def texts(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        at = {"doctor": (1, 0, 0), "red": (0, 1, 0), "blue": (0, -1, 0)}
        found = [next((v for k, v in at.items() if k in p), (0, 0, 1)) for p in prompts]
        return np.array(found, dtype=np.float32)


def rows(seed: int = 0) -> pl.DataFrame:
    """The nearest 400 pictures lose the red ones to the recipe, the next 400 the blue ones."""
    rng = np.random.default_rng(seed)
    n = 1600
    near = np.repeat([0, 1, 2, 2], n // 4)
    red = rng.random(n) < 0.5
    cosine = np.array([0.8, 0.45, -0.3])[near] + rng.uniform(-0.1, 0.1, n)
    lost = np.where(near == 2, 0.5, np.where((near == 0) == red, 0.7, 0.2))
    side = np.sqrt(1 - cosine**2)
    order = rng.permutation(n)
    return pl.DataFrame(
        {
            "URL": [f"http://a.example/{i}" for i in range(n)],
            "TEXT": [CAPTION] * n,
            "similarity": np.where(rng.random(n) < lost, 0.1, 0.9),
            "cosine": cosine,
            "colour": np.where(red, 1, -1) * side * 0.8,
            "rest": side * 0.6,
        }
    )[order]


def embedded(folder: Path, table: pl.DataFrame) -> None:
    """Vectors of every other row, in clip-retrieval's layout: a sample has intervals."""
    some = table.gather_every(2)
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    vectors = some.select("cosine", "colour", "rest").to_numpy().astype(np.float16)
    np.save(folder / "img_emb" / "img_emb_0.npy", vectors)
    some.select(url="URL", caption="TEXT").write_parquet(folder / "metadata/metadata_0.parquet")
    (folder / "key.json").write_text(json.dumps(KEY))


@pytest.fixture(scope="module")
def model() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("laion_probe.questions.inputs.load_embedder", lambda *_: Words())
        yield


@pytest.fixture(scope="module")
def run(model: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a probe whose recipe lowers the share of red ones among the nearest."""
    root = tmp_path_factory.mktemp("robust")
    table = rows()
    (root / "shards").mkdir()
    table.select("URL", "TEXT", "similarity").write_parquet(
        root / "shards" / "part-0.parquet", row_group_size=40, use_pyarrow=True
    )
    embedded(root / "emb", table)
    (root / "dress.toml").write_text(ATTRIBUTE)
    (root / "mine.toml").write_text(RECIPE)
    argv = ["probe", "doctor", "--shards", "shards", "--recipe", "mine.toml", "--embeddings", "emb",
            "--attributes", "dress.toml", "--threshold", "0.6", "--already", "none",
            "--audit-captions", "0", "--runner", "serial", "--cache", "cache",
            "--out", "run", "--quiet"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert cli.main(argv) == 0
    return root / "run"


@pytest.fixture(scope="module")
def found(run: Path) -> RobustnessResult:
    return robustness(RobustnessConfig(folder=str(run), **CHOICES))


def by(curve: ClaimCurve, axis: str) -> dict[str, ByChoice]:
    return {b.choice: b for b in curve.by_choice if b.axis == axis}


def test_the_runs_own_choices_give_the_runs_own_numbers(found: RobustnessResult, run: Path) -> None:
    assert found.reproduced
    told = json.loads((run / "result.json").read_text())
    (curve,) = found.claims
    claim = told["finding"]["claims"][0]
    node = told
    for part in claim["estimate"].strip("/").split("/"):
        node = node[int(part)] if isinstance(node, list) else node[part]
    own = next(o for o in curve.outcomes if found.specifications[o.specification].is_run)
    assert own.estimate is not None
    assert own.estimate.model_dump(mode="json") == node
    assert claim["supported"]
    assert (curve.id, curve.verdict, own.verdict) == ("recipe:dress", "lower", "lower")


def test_a_claim_that_hinges_on_the_threshold_is_shown_to(found: RobustnessResult) -> None:
    (curve,) = found.claims
    threshold = by(curve, "threshold")
    assert threshold["run"].counts["lower"] == threshold["half"].counts["lower"] == 4
    assert threshold["double"].counts["lower"] == 0
    assert threshold["double"].counts["cannot tell"] == 4
    assert {b.counts["lower"] for b in by(curve, "detector").values()} == {4}
    assert [by(curve, "prompts")[name].counts["lower"] for name in ("run", "bare")] == [4, 4]
    assert curve.hinges.startswith("It turns most on where near ends: lower in 4 of 6 with the run")
    assert found.finding[0] == (
        "Dress, after the recipe against before. The run: lower. Of 24 specifications: lower in 8, "
        f"higher in none, these data cannot tell in 4, not computed in 12. {curve.hinges}"
    )


def test_what_fails_is_counted_and_says_why(found: RobustnessResult) -> None:
    (curve,) = found.claims
    assert found.n_possible == curve.n == 24
    assert not found.sampled
    assert curve.counts == {
        "higher": 0, "lower": 8, "no change": 0, "cannot tell": 4, "failed": 12
    }  # fmt: skip
    failed = [o for o in curve.outcomes if o.verdict == "failed"]
    assert len(failed) == curve.counts["failed"]
    assert curve.outcomes[-12:] == tuple(failed)
    for o in failed:
        assert o.reason
        assert o.estimate is None
        choices = found.specifications[o.specification].choices
        assert choices["threshold"] == "0.99" or choices["prompts"] == "dress"
        assert found.specifications[o.specification].n_pictures is None
    lower = curve.shares["lower"]
    assert lower.value == pytest.approx(8 / 24)
    assert (lower.low, lower.high) == (None, None)
    values = [o.estimate.value for o in curve.outcomes if o.estimate and o.estimate.value]
    assert values == sorted(values)


def test_how_far_a_choice_finds_the_runs_pictures_is_told(
    found: RobustnessResult, run: Path, tmp_path: Path
) -> None:
    nearby = {(c.axis, c.name): c.nearby for c in found.choices}
    stages = json.loads((run / "result.json").read_text())["stages"]
    n_run = next(s["n_pictures"] for s in stages if s["id"] == "pool")
    for axis in ("threshold", "prompts"):
        own = nearby[axis, "run"]
        assert own is not None
        assert (own.n, own.n_both, own.n_like, own.n_run) == (n_run,) * 4
        assert (own.share_of_run, own.jaccard, own.other_pictures) == (1, 1, False)
    half, double, none = (nearby["threshold", name] for name in ("half", "double", "0.99"))
    assert half is not None
    assert double is not None
    assert none is not None
    assert half.n == half.n_both == n_run // 2
    assert half.jaccard == half.share_of_run == pytest.approx(half.n / n_run)
    assert (double.n_both, double.share_of_run) == (n_run, 1)
    assert double.jaccard == pytest.approx(1 / 2)
    assert (none.n, none.jaccard, none.n_like) == (None, None, n_run)
    other = nearby["prompts", "dress"]
    assert other is not None
    assert (other.n, other.n_like) == (None, 0)
    assert [c.name for c in found.choices if c.nearby and c.nearby.other_pictures] == ["dress"]
    assert nearby["detector", "run"] is None
    assert found.finding[-1] == (
        f"With “dress” the encoder finds other pictures: of the {n_run} nearest, none are among "
        f"the run's {n_run}. These prompts may ask for something else."
    )
    render_robustness(found, tmp_path)
    table = pl.read_csv(tmp_path / "tables" / "choices.csv")
    (row,) = table.filter(axis="prompts", name="dress").to_dicts()
    assert (row["n_near"], row["n_run"], row["n_like"]) == (None, n_run, 0)
    assert row["other_pictures"]
    html = (tmp_path / "report.html").read_text()
    assert html.count("this choice may ask for something else") == 1


def test_a_random_part_is_drawn_by_seed_and_its_share_has_an_interval(run: Path) -> None:
    def ask(seed: int) -> RobustnessResult:
        given = CHOICES | {"detectors": ("run",)}
        return robustness(RobustnessConfig(folder=str(run), most=5, seed=seed, **given))

    one, same, other = ask(3), ask(3), ask(4)
    assert one.to_json() == same.to_json()
    assert one.specifications != other.specifications
    for result in (one, other):
        (curve,) = result.claims
        assert result.sampled
        assert result.n_possible == 12
        assert curve.n == sum(s.listed for s in result.specifications) == 5
        assert result.specifications[0].is_run
        assert sum(curve.counts.values()) == 5
        lower = curve.shares["lower"]
        assert lower.low is not None
        assert lower.high is not None
        assert lower.low < lower.high
        assert "drawn from 12" in result.finding[0]


def test_inputs_that_changed_since_the_run_are_told(run: Path, model: None) -> None:
    root = run.parent
    embedded(root / "emb", rows().with_columns(colour=-pl.col("colour")))
    try:
        result = robustness(RobustnessConfig(folder=str(run), detectors=("run",)))
    finally:
        embedded(root / "emb", rows())
    assert not result.reproduced
    assert "no longer give the run's numbers" in result.finding[0]
    curve = result.claims[0]
    assert curve.verdict == "lower"
    assert curve.counts["higher"] > 0
    assert "higher, the opposite" in robustness_report_html(result)


def test_a_claim_that_is_no_longer_made_is_told(run: Path) -> None:
    told = json.loads((run / "result.json").read_text())
    first = told["finding"]["claims"][0]
    gone = first | {"id": "generator:dress"}  # its pictures no longer name the concept
    result = ProbeResult.model_validate(told | {"finding": told["finding"] | {"claims": [gone]}})
    own = dict.fromkeys(AXES, "run")
    listed = Listed((own,), (True,), 1)
    choices = [Choice(axis=axis, name="run", about="") for axis in AXES]
    found = curve(Reruns(result, listed, choices, [{}], 0.95), result.finding.claims[0], "x")
    assert (found.n, found.counts["failed"], found.counts["lower"]) == (1, 1, 0)
    assert "inputs have changed" in found.outcomes[0].reason


def test_the_report_shows_every_claim_choice_and_failure(
    found: RobustnessResult, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        render_robustness(found, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert {str(f) for f in files} >= {
        "report.html", "result.json", "tables/outcomes.csv", "tables/specifications.csv",
        "figures/specifications-recipe-dress.svg",
    }  # fmt: skip
    html = (tmp_path / "a" / "report.html").read_text()
    assert "No p-value." in html
    assert "Not reproduced" not in html
    for words in (*found.finding, *{o.reason for o in found.claims[0].outcomes if o.reason}):
        assert words.replace("'", "&#39;") in html
    told = json.loads((tmp_path / "a" / "result.json").read_text())
    tied = re.findall(r'data-pointer="([^"]+)"[^>]*data-value="([^"]*)"', html)
    assert len(tied) > 40
    for where, value in tied:
        node = told
        for part in where.strip("/").split("/"):
            node = node[int(part)] if isinstance(node, list) else node[part]
        assert float(value) == (node["value"] if isinstance(node, dict) else node)
    svg = (tmp_path / "a" / "figures" / "specifications-recipe-dress.svg").read_text()
    assert svg.count("<circle") == 12 + 3  # an estimate each, and the legend
    assert svg.count(">×</text>") == 12 + 1
    outcomes = pl.read_csv(tmp_path / "a" / "tables" / "outcomes.csv")
    assert len(outcomes) == 24


def test_what_a_user_asks_for_is_escaped(run: Path, tmp_path: Path) -> None:
    asked = ("run", "<script>doctor</script>")
    file = run / "result.json"  # the run's folder may be named by the file in it
    config = RobustnessConfig(folder=str(file), detectors=("run",), prompts=asked)
    result = robustness(config)
    assert result.claims[0].counts["failed"] == 0
    render_robustness(result, tmp_path)
    for file in (tmp_path / "report.html", *(tmp_path / "figures").iterdir()):
        text = file.read_text()
        assert "&lt;script&gt;doctor" in text
        assert "<script>doctor" not in text


def test_a_run_without_claims_or_of_another_kind_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no finished run"):
        robustness(RobustnessConfig(folder=str(tmp_path)))
    told = json.loads((run / "result.json").read_text())
    told["finding"]["claims"] = []
    told["concept"]["status"] = "no match"
    (tmp_path / "result.json").write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"no run\.json"):
        robustness(RobustnessConfig(folder=str(tmp_path)))
    (tmp_path / "run.json").write_text((run / "run.json").read_text())
    with pytest.raises(ConfigError, match=r"makes no claim \(no match\)"):
        robustness(RobustnessConfig(folder=str(tmp_path)))


def test_a_run_on_embeddings_keeps_to_its_plan_until_they_change(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = run.parent
    monkeypatch.chdir(root)
    monkeypatch.setattr(preregistering, "load_embedder", lambda *_: Words())
    values = json.loads((run / "run.json").read_text())["config"]
    expect = ("recipe:dress=lower: red ones go",)
    for name, embeddings in (("there.toml", "emb"), ("to-come.toml", "later/emb")):
        asked = values | {"out": name, "embeddings": embeddings, "expect": expect}
        preregistering.preregister(PreregisterConfig.model_validate(asked))

    def held(plan: str) -> Preregistered:
        asked = values | {"out": None, "preregistered": plan, "show": 1}
        found = probe(ProbeConfig.model_validate(asked)).preregistered
        assert found is not None
        return found

    assert held("there.toml").deviations == ()
    assert held("to-come.toml").deviations == ()
    assert held("to-come.toml").made_since == ("embeddings emb",)
    as_planned = held("there.toml")
    assert [(c.id, c.outcome) for c in as_planned.claims] == [("recipe:dress", "supported")]
    (expected,) = as_planned.expectations
    assert (expected.expected, expected.outcome) == ("lower", "as expected")
    told = json.loads((run / "result.json").read_text())
    index = told["finding"]["claims"][0]["estimate"].split("/")[2]
    assert expected.estimate is not None
    assert expected.estimate.model_dump(mode="json") == told["shifts"][int(index)]["difference"]
    assert as_planned.sentence.endswith("Of 1 expectation: as expected in 1.")
    embedded(root / "emb", rows(seed=1))
    try:
        changed = held("there.toml")
    finally:
        embedded(root / "emb", rows())
    assert [(d.of, d.what) for d in changed.deviations] == [("input", "embeddings emb")]


# Raters


def rated(again: Again, chosen: NDArray[np.int64]) -> Ratings:
    """Of the near pictures ``chosen``: Ann as the classifier reads, Bea says red half as often."""
    rows_ = []
    d = again.data["dress"]
    near = again.o.concept.near
    chance = float(len(chosen) / near.sum())
    for k, i in enumerate(chosen):
        level = d.attribute.levels[d.label[i]]
        bea = "blue" if level == "red" and k % 2 else level
        for rater, said in (("Ann", level), ("Bea", bea)):
            picture = again.o.pool.files[i].id
            rows_.append((picture, "data", rater, "dress", said, None, None, chance, None, None))
    return Ratings(pl.DataFrame(rows_, schema=RATING_SCHEMA, orient="row"), len(rows_))


@pytest.fixture(scope="module")
def opened(run: Path) -> Opened:
    values = json.loads((run / "run.json").read_text())["config"]
    values = beside(run.parent, values, ProbeConfig) | {"cache": str(run.parent / "cache")}
    return open_again(ProbeConfig.model_validate(values), lambda *_: None)


OWN = dict.fromkeys(("detector", "threshold", "prompts", "raters"), "run")


def drawn(n: int = 120) -> Outputs:
    """Generated pictures, two thirds of them red, in batches of four."""
    red = np.arange(n) % 3 > 0
    vectors = np.array([(0.6, 0.64 if r else -0.64, 0.48) for r in red], dtype=np.float32)
    files = tuple(PictureFile(f"{i}.png", lambda: b"", "a doctor", "") for i in range(n))
    prompt = "a photo of a doctor"
    summary = GeneratedSummary(
        n_pictures=n, prompts=(prompt,), generator="x", simulated=False, n_unreadable=0, note=""
    )
    return Outputs(summary, vectors, files, (prompt,) * n, np.arange(n) // 4, names_concept=True)


@pytest.mark.parametrize("with_errors", [False, True])
@pytest.mark.parametrize("with_ratings", [False, True])
def test_the_runs_own_specification_is_the_chain_of_a_probe(
    opened: Opened, with_errors: bool, with_ratings: bool
) -> None:
    """With generated pictures, measured errors and ratings: the same claims, number by number."""
    o = replace(opened, outputs=drawn())
    if with_errors:
        confusion = {"red": {"red": 80, "blue": 20}, "blue": {"red": 10, "blue": 90}}
        accuracy = share(np.arange(200) < 170, np.ones(200, bool), Sample(np.arange(200)))
        error = KnownError(
            attribute="dress", domain="x", confusion=confusion, accuracy=accuracy, note=""
        )
        o = replace(o, inputs=replace(o.inputs, known_errors=(error,)))
    if with_ratings:
        near = np.flatnonzero(o.concept.near)
        ratings = rated(Again(o, lambda *_: None), near)
        o = replace(o, inputs=replace(o.inputs, ratings=ratings))
    found, n = Again(o, lambda *_: None).says(OWN)
    chain = build_chain(o.inputs, o.config, o.ran.scan, o.pool, o.concept, o.outputs)
    finding = write_finding(o.inputs, o.concept.result, chain, o.outputs)
    assert [c.id for c in finding.claims] == list(found) == ["recipe:dress", "generator:dress"]
    assert n == chain.masks["neighbourhood"].sum()
    for claim in finding.claims:
        again = found[claim.id]
        index, by = claim.estimate.split("/")[2:]
        shift = chain.shifts[int(index)]
        assert again.claim is not None
        assert again.claim.text == claim.text
        assert again.by == by
        assert again.estimate == (shift.corrected if by == "corrected" else shift.difference)
        assert again.range == (shift.with_known_errors if by == "with_known_errors" else None)
    assert (found["recipe:dress"].by == "corrected") == with_ratings
    assert (found["generator:dress"].by == "with_known_errors") == with_errors


def test_rater_rules_are_reruns_and_pictures_nobody_rated_fail(opened: Opened) -> None:
    first = Again(opened, lambda *_: None)
    near = np.flatnonzero(opened.concept.near)
    ratings = rated(first, near)
    again = Again(replace(opened, inputs=replace(opened.inputs, ratings=ratings)), lambda *_: None)
    said = {
        rule: again.says(OWN | {"raters": rule})[0]["recipe:dress"]
        for rule in ("run", "unanimous", "rater:Ann", "rater:Bea", "none")
    }
    assert {rule: s.by for rule, s in said.items()} == {
        "run": "corrected", "unanimous": "corrected", "rater:Ann": "corrected",
        "rater:Bea": "corrected", "none": "difference",
    }  # fmt: skip
    values = {rule: s.estimate.value for rule, s in said.items() if s.estimate}
    assert values["rater:Ann"] == pytest.approx(values["none"])  # all rated, as the classifier
    assert abs((values["rater:Bea"] or 0) - (values["rater:Ann"] or 0)) > 0.01
    assert values["unanimous"] == pytest.approx(values["run"])  # two raters: a tie is unknown
    double = again.says(OWN | {"threshold": "double"})[0]["recipe:dress"]
    assert double.by != "corrected"
    assert "outside of what the ratings were drawn from" in double.reason
    half = again.says(OWN | {"threshold": "half"})[0]["recipe:dress"]
    assert half.by == "corrected"
