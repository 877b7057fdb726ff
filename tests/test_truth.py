"""Estimates against the demo data's known truth, which only tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.coverage import Line, Run, lines, run

#: Two-sided band for 500 re-simulations at 95 %: 475 plus or minus three standard errors.
LOW, HIGH = 460, 490


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth-cache")


@pytest.fixture(scope="module", params=["doctor", "teacher"])
def probed(request: pytest.FixtureRequest, cache: Path, demo: Path) -> tuple[Run, list[Line]]:
    r = run(request.param, cache)
    return r, lines(r, request.param)


@pytest.mark.slow
def test_intervals_cover_what_they_claim_and_uncorrected_labels_do_not_cover_the_truth(
    probed: tuple[Run, list[Line]],
) -> None:
    _, table = probed
    assert {x.stage for x in table} >= {"pool", "neighbourhood", "generated"}
    for x in table:
        assert x.sampling >= LOW, x
    # From above, over the lines together: a line alone is noisy, and the effective sample size is
    # never taken above the number of pictures, which covers a little more where units are alike.
    big = [x for x in table if x.n >= 200 and 40 <= x.value * x.n <= x.n - 40]
    assert sum(x.sampling for x in big) / len(big) <= HIGH
    # the control: as intervals for the truth, the same intervals must be seen to fail somewhere
    assert min(x.truth for x in table) < LOW


def test_the_neighbourhood_is_mostly_the_concept(probed: tuple[Run, list[Line]]) -> None:
    r, table = probed
    concept = table[0].concept
    near = r.pictured.filter(r.chain.masks["pool"].tolist())
    right = (near["concept"] == concept).mean()
    found = (near["concept"] == concept).sum() / (r.pictured["concept"] == concept).sum()
    assert isinstance(right, float)
    assert right > 0.6
    assert found > 0.6


def test_the_classifier_reads_better_than_chance_and_worse_than_truth(
    probed: tuple[Run, list[Line]],
) -> None:
    r, _ = probed
    data = r.chain.labelled["gender_presentation"]
    true = r.pictured["gender"]
    hit, base = data.hit, data.base
    known = base & true.is_in(["woman", "man"]).to_numpy()
    right = (hit == (true == "woman").to_numpy())[known].mean()
    assert 0.75 < right < 0.995
