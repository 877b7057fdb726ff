"""Rebalancing on the demo data: coverage, a plan checked by probing again, and what fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from laion_probe.config.rebalance import RebalanceConfig
from laion_probe.questions.measuring import measure
from laion_probe.questions.rebalancing import rebalance
from tools.rebalance_coverage import BAND, DESIGNS, MARKS, PAGE, TRIALS, Labels, asked_of, count
from tools.truth_ratings import config_of

GENDER, TONE = "gender_presentation", "skin_tone"


@pytest.mark.slow
def test_a_probe_of_the_subset_finds_what_the_plan_says(tmp_path: Path) -> None:
    probed = config_of("doctor", tmp_path / "cache")
    probed = probed.model_copy(update={"recipe": "none", "generated": None})
    m = measure(probed)
    threshold = m.concept.result.threshold
    run = tmp_path / "run"
    run.mkdir()
    kept = probed.model_copy(update={"threshold": threshold}).model_dump(mode="json")
    told = {"config": kept, "working_directory": str(Path.cwd())}
    (run / "run.json").write_text(json.dumps(told), encoding="utf-8")
    asked = RebalanceConfig(run=str(run), target=(f"{GENDER}:parity", f"{TONE}:darker=40%"))
    r = rebalance(asked, folder=tmp_path / "plan")
    assert r.n == np.unique([f.id for f in np.array(m.pool.files)[m.chain.masks["pool"]]]).size
    subset = str(tmp_path / "plan" / "subset.parquet")
    again = measure(probed.model_copy(update={"shards": (subset,), "threshold": threshold}))
    near = again.chain.masks["neighbourhood"]
    assert near.sum() == r.subset.n
    for v in r.variables:
        d = again.chain.labelled[v.variable]
        for i, x in enumerate(v.levels):
            assert float((d.label[near] == i).mean()) == pytest.approx(x.share_subset)
            assert x.target is not None
            assert x.share_subset == pytest.approx(x.target, abs=2.5 / r.subset.n)


def from_the_table() -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition(MARKS[0])[2].partition(MARKS[1])[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| w")]
    assert len(rows) == 3 * len(DESIGNS)
    return rows


def test_the_table_of_2000_has_the_bar_and_the_wrong_methods_fail_it() -> None:
    assert TRIALS == 2000
    bar = [row for row in from_the_table()[:6] if row[2].startswith("woman")]
    assert [row[1] for row in bar] == ["400", "600"]
    for row in bar:
        covered, *wrong = (int(row[i]) for i in (5, 7, 8, 9))
        assert BAND[0] <= covered <= BAND[1]
        assert max(wrong) < BAND[0]
    # where a line is outside, the interval is too wide, never too narrow
    covered_by_line = [int(row[5]) for row in from_the_table()]
    assert min(covered_by_line) >= BAND[0]
    inside = sum(n <= BAND[1] for n in covered_by_line)
    assert f"Of the {len(covered_by_line)} lines, {inside} are in the band" in PAGE.read_text(
        "utf-8"
    )


def test_a_short_run_of_the_table_on_labels_that_err_as_the_demos_do(demo: Path) -> None:
    """Without the encoder: the truth of data/demo, read with the errors measured on its model."""
    truth = pl.read_parquet(demo / "truth.parquet").filter(pl.col("kind") == "pool").head(4000)
    rng = np.random.default_rng(11)
    found = []
    for name, column, levels, flips in (
        (GENDER, "gender", ("woman", "man", "neutral", "none"), (0.01, 0.08)),
        (TONE, "tone_binary", ("darker", "lighter", "unspecified", "none"), (0.02, 0.02)),
    ):
        true = np.array([levels.index(x) for x in truth[column].fill_null("none")])
        read, u = true.copy(), rng.random(len(true))
        read[(true == 0) & (u < flips[0])] = 2
        read[(true == 1) & (u < flips[1])] = 2  # men read as neutral
        read[(true == 2) & (u < 0.2)] = 1
        found.append(Labels(name, levels, read, true))
    counted = count(found, DESIGNS[0], 200, seed=4)
    assert len(counted) == len(asked_of(found))
    of_men = counted[1]
    assert of_men.covered >= 0.9 * 200
    assert of_men.n_exact == 0  # labels as they are never hold the truth
    assert of_men.n_as_sample == 0
    assert of_men.wide < 0.06
