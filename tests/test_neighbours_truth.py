"""The sample for raters against a planted truth: drawn anew, rated, estimated; and wrong ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from laion_probe.estimators.similarity_strata import (
    Shown,
    Similarities,
    StrataDesign,
    StrataRatings,
    design_strata,
    draw,
    estimate_shown,
)
from laion_probe.results import Estimate

N = 12_000
#: Of so many trials at 95 %: outside once in a hundred.
BAND = {200: (181, 197), 100: (89, 99)}
CUT, N_DRAWN = 0.25, 500


@dataclass(frozen=True)
class World:
    """Rows whose truth is known: those that show it lie near, those of women farther off."""

    cosine: np.ndarray
    shows: np.ndarray
    woman: np.ndarray
    design: StrataDesign

    @classmethod
    def make(cls) -> World:
        rng = np.random.default_rng(5)
        cosine = rng.normal(0.14, 0.06, N)
        shows = rng.random(N) < 0.04 + 0.9 / (1 + np.exp(-(cosine - 0.23) / 0.02))
        woman = rng.random(N) < np.where(cosine >= CUT, 0.25, 0.65)
        counts, edges = np.histogram(cosine, np.linspace(-1, 1, 401))
        rows = Similarities(counts.astype(np.int64), edges, np.sort(cosine)[::-1][:1000])
        return cls(cosine, shows, woman, design_strata(rows, N_DRAWN, CUT))

    @property
    def total(self) -> int:
        return int(self.shows.sum())

    @property
    def share(self) -> float:
        """Of women among the rows that show it."""
        return float(self.woman[self.shows].mean())

    def rated(self, seed: int, response: np.ndarray) -> tuple[Shown, np.ndarray]:
        """What raters say of a sample, and its rows; each row's picture is there by a chance."""
        drawn = draw(self.design, np.arange(N), self.cosine, seed)
        there = np.random.default_rng(seed).random(N)[drawn.row] < response[drawn.row]
        row, stratum = drawn.row[there], drawn.stratum[there]
        shows, label = self.shows[row].astype(np.int64), 1 - self.woman[row].astype(np.int64)
        said = StrataRatings(stratum, shows, label)
        return estimate_shown(self.design, said, ["woman", "man"], ("woman", "man")), row


@dataclass(frozen=True)
class Trials:
    """How often each interval held the truth, and each way's mean error."""

    covered: dict[str, int]
    error: dict[str, float]


def trials(world: World, response: np.ndarray, n_trials: int) -> Trials:
    covered: dict[str, int] = {}
    errors: dict[str, list[float]] = {}

    def told(name: str, e: Estimate, truth: float) -> None:
        assert e.low is not None and e.high is not None
        covered[name] = covered.get(name, 0) + (e.low <= truth <= e.high)
        if e.value is not None:
            errors.setdefault(name, []).append(e.value / truth - 1)

    for seed in range(n_trials):
        shown, row = world.rated(seed, response)
        told("total", shown.total, world.total)
        told("share", shown.share, world.total / N)
        told("composition", shown.composition.contrast, world.share)
        told("share, bounds", shown.bounds, world.total / N)
        told("composition, bounds", shown.composition.bounds, world.share)
        assert shown.composition_near is not None
        told("composition of the near", shown.composition_near.contrast, world.share)
        plain, n = world.shows[row].mean(), len(row)
        half = 1.96 * np.sqrt(plain * (1 - plain) / n)
        wrong = Estimate(value=plain, low=plain - half, high=plain + half, n=n, units=n, method="")
        told("unweighted share", wrong, world.total / N)
    return Trials(covered, {name: float(np.mean(e)) for name, e in errors.items()})


@pytest.fixture(scope="module")
def world() -> World:
    return World.make()


def test_total_share_and_composition_are_covered_and_short_cuts_are_not(world: World) -> None:
    found = trials(world, np.ones(N), 200)
    low, high = BAND[200]
    for name in ("total", "share", "composition"):
        assert low <= found.covered[name] <= high, (name, found.covered)
        assert abs(found.error[name]) < 0.03, name
    assert found.covered["composition of the near"] < 20
    assert found.covered["unweighted share"] == 0


def test_pictures_that_are_lost_by_chance_cost_width_and_nothing_else(world: World) -> None:
    """Up to half are gone, whatever they show, at another rate in each stratum."""
    stratum = world.design.stratum_of(world.cosine)
    found = trials(world, np.linspace(0.5, 0.9, len(world.design.sizes))[stratum], 100)
    low, high = BAND[100]
    for name in ("total", "share", "composition"):
        assert low <= found.covered[name] <= high, (name, found.covered)


def test_where_loss_depends_on_what_is_shown_the_bounds_hold_and_the_estimate_does_not(
    world: World,
) -> None:
    response = np.where(world.shows, np.where(world.woman, 0.3, 0.7), 0.9)
    found = trials(world, response, 100)
    assert found.covered["total"] < 50
    assert found.covered["composition"] < 50
    assert found.covered["share, bounds"] >= BAND[100][0]
    assert found.covered["composition, bounds"] >= BAND[100][0]
