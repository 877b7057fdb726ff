"""Raking against plain references, what cannot be reached, and subsets."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize

from laion_probe.estimators import raking_feasibility
from laion_probe.estimators.raking import (
    Margin,
    Problem,
    Raked,
    cells_of,
    cost,
    margins_after,
    rake,
)
from laion_probe.estimators.raking_feasibility import (
    MOST_SWEEPS,
    SLOW,
    Conflict,
    held_up,
    solve,
)
from laion_probe.estimators.subset_plan import chances, draw_subset, largest_exact

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def plain_rake(codes: Ints, margins: tuple[Margin, ...], sweeps: int = 3000) -> Floats:
    """Row by row, margin by margin, level by level, as the textbooks have it."""
    weight = np.ones(codes.shape[1])
    for _ in range(sweeps):
        for margin, code in zip(margins, codes, strict=True):
            for level, target in enumerate(margin.target):
                mine = code == level
                if mine.any():
                    weight[mine] *= target * codes.shape[1] / weight[mine].sum()
    return weight


def drawn(
    rng: np.random.Generator, n: int, sizes: tuple[int, ...]
) -> tuple[Ints, tuple[Margin, ...]]:
    """Rows of dependent variables, and targets that can be reached: those of other weights."""
    one = rng.integers(0, sizes[0], n)
    rest = [np.where(rng.random(n) < 0.5, one % k, rng.integers(0, k, n)) for k in sizes[1:]]
    codes = np.array([one, *rest])
    other = rng.gamma(2.0, size=n)
    margins = tuple(
        Margin(f"v{v}", tuple(map(str, range(k))), np.bincount(c, other, minlength=k) / other.sum())
        for v, (c, k) in enumerate(zip(codes, sizes, strict=True))
    )
    return codes, margins


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), n=st.integers(30, 200))
def test_raking_equals_the_plain_reference(seed: int, n: int) -> None:
    codes, margins = drawn(np.random.default_rng(seed), n, (3, 4, 2))
    level, rows, cell = cells_of(codes, (3, 4, 2))
    found = solve(Problem(margins, level, rows.astype(float)))
    assert isinstance(found, Raked)
    assert found.reached
    weight = found.weight[cell]
    assert weight.mean() == pytest.approx(1, abs=1e-8)
    assert weight == pytest.approx(plain_rake(codes, margins, 300), abs=1e-5)
    problem = Problem(margins, level, rows.astype(float))
    for margin, after in zip(margins, margins_after(problem, found.weight), strict=True):
        assert after == pytest.approx(margin.target, abs=1e-6)


def test_a_million_rows_and_four_margins_take_seconds_and_converge() -> None:
    rng = np.random.default_rng(5)
    codes, margins = drawn(rng, 1_000_000, (6, 5, 8, 3))
    start = time.process_time()
    level, rows, cell = cells_of(codes, (6, 5, 8, 3))
    problem = Problem(margins, level, rows.astype(float))
    found = rake(problem)
    assert time.process_time() - start < 5
    assert found.error <= 1e-6
    # sweep for sweep what the plain reference does to the very same rows
    few = rake(problem, tolerance=0, sweeps=4).weight[cell]
    assert np.abs(few - plain_rake(codes, margins, 4)).max() < 1e-9


def test_a_bound_gives_the_nearest_weights_under_it() -> None:
    rng = np.random.default_rng(3)
    codes, margins = drawn(rng, 400, (3, 3))
    level, rows, _ = cells_of(codes, (3, 3))
    # the sparse half is to have most: plain weights pass the bound
    margins = (Margin("a", ("0", "1", "2"), np.array([0.6, 0.2, 0.2])), margins[1])
    problem = Problem(margins, level, rows.astype(float))
    free = rake(problem)
    bound = 0.9 * float(free.weight.max())
    found = solve(Problem(margins, level, rows.astype(float), bound))
    assert isinstance(found, Raked)
    assert found.weight.max() <= bound * (1 + 1e-9)
    mass = rows / rows.sum()

    def divergence(w: Floats) -> float:
        return float(mass @ (w * np.log(np.maximum(w, 1e-12)) - w))

    holds = [
        {"type": "eq", "fun": lambda w, lv=lv, m=m: np.bincount(lv, mass * w)[:-1] - m.target[:-1]}
        for lv, m in zip(level, margins, strict=True)
    ]
    holds.append({"type": "eq", "fun": lambda w: mass @ w - 1})
    best = minimize(
        divergence,
        np.ones(len(mass)),
        bounds=[(1e-9, bound)] * len(mass),
        constraints=holds,
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert best.success
    assert found.weight == pytest.approx(best.x, abs=2e-3)
    assert divergence(found.weight) <= divergence(best.x) + 1e-6
    assert divergence(found.weight) > divergence(free.weight)


GENDER = ("woman", "man")
TONE = ("lighter", "darker")


def two(gender: float, tone: float, n: tuple[float, float, float, float]) -> Problem:
    """Women and men by tone: n of (woman lighter, woman darker, man lighter, man darker)."""
    level = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    there = np.array(n) > 0
    margins = (
        Margin("gender", GENDER, np.array([gender, 1 - gender])),
        Margin("tone", TONE, np.array([tone, 1 - tone])),
    )
    return Problem(margins, level[:, there], np.array(n, float)[there])


def test_a_level_that_nobody_has_is_named() -> None:
    found = solve(two(0.5, 0.5, (0, 0, 30, 10)))
    assert isinstance(found, Conflict)
    assert found.kind == "nobody"
    assert [(w.margin, w.level, w.target) for w in found.wanted] == [("gender", "woman", 0.5)]


def test_contradictory_margins_are_named_with_what_can_be_had() -> None:
    # all women are lighter: with 70 % women, darker is 30 % at the most
    found = solve(two(0.7, 0.5, (40, 0, 40, 20)))
    assert isinstance(found, Conflict)
    assert found.kind == "contradiction"
    assert {w.margin for w in found.wanted} == {"gender", "tone"}
    last = found.wanted[-1]
    assert (found.low, found.high) == pytest.approx(
        (0.7, 1.0) if last.level == "lighter" else (0.0, 0.3), abs=1e-6
    )
    # within that range it can be had
    assert isinstance(solve(two(0.7, 0.75, (40, 0, 40, 20))), Raked)


def test_margins_that_do_not_contradict_are_left_out_of_the_conflict() -> None:
    problem = two(0.7, 0.5, (40, 0, 40, 20))
    third = Margin("place", ("here", "there"), np.array([0.5, 0.5]))
    level = np.repeat(problem.level, 2, axis=1)
    level = np.vstack([level, np.tile([0, 1], level.shape[1] // 2)])
    found = solve(Problem((third, *problem.margins), level[[2, 0, 1]], np.repeat(problem.n, 2)))
    assert isinstance(found, Conflict)
    assert {w.margin for w in found.wanted} == {"gender", "tone"}


def test_margins_that_leave_a_cell_no_weight_are_reached_all_the_same() -> None:
    # women are lighter; 50 % women and 50 % lighter leaves men who are lighter none
    found = solve(two(0.5, 0.5, (40, 0, 40, 20)))
    assert isinstance(found, Raked)
    assert found.reached
    assert found.error <= 1e-6
    assert found.weight == pytest.approx([1.25, 0, 2.5], abs=1e-5)
    assert rake(two(0.5, 0.5, (40, 0, 40, 20)), sweeps=300).error > 1e-6  # plain fitting is slow


def test_the_bound_is_kept_where_cells_get_no_weight() -> None:
    # as above, women are lighter, and men who are lighter get none; a third margin leaves a choice
    level = np.array([[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1], [0, 1, 0, 1, 0, 1]])
    margins = tuple(
        Margin(name, ("a", "b"), np.array([0.5, 0.5])) for name in ("gender", "tone", "place")
    )
    n = np.array([30.0, 10, 20, 20, 15, 5])
    free = solve(Problem(margins, level, n))
    assert isinstance(free, Raked)
    assert free.weight.max() == pytest.approx(5)
    bound = solve(Problem(margins, level, n, 4.0))
    assert isinstance(bound, Raked)
    assert bound.reached
    assert bound.weight.max() == pytest.approx(4)
    assert float(n @ bound.weight) == pytest.approx(n.sum())


@pytest.mark.parametrize(("n", "gender"), [((40, 0, 40, 20), 1.0), ((40, 0, 0, 20), 0.0)])
def test_what_can_be_had_may_be_one_share_only(
    n: tuple[float, float, float, float], gender: float
) -> None:
    found = solve(two(gender, 0.5, n))
    assert isinstance(found, Conflict)
    only = gender if found.wanted[-1].level == "lighter" else 1 - gender
    assert (found.low, found.high) == pytest.approx((only, only), abs=1e-6)


def test_the_smallest_bound_that_would_do_is_told() -> None:
    problem = two(0.5, 0.5, (10, 10, 40, 40))
    tight = solve(Problem(problem.margins, problem.level, problem.n, 2.0))
    assert isinstance(tight, Conflict)
    assert tight.kind == "bound"
    assert [w.level for w in tight.wanted] in (["woman"], ["man"])  # tone needs no weight at all
    assert tight.least == pytest.approx(2.5, abs=1e-6)
    enough = solve(Problem(problem.margins, problem.level, problem.n, tight.least + 1e-6))
    assert isinstance(enough, Raked)
    assert enough.error <= 1e-6


def test_of_many_levels_the_conflict_is_the_same_and_takes_few_programmes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """120 places as they nearly are, and a bound under which 10 % of one kind cannot be had."""
    rng = np.random.default_rng(0)
    codes = np.array([rng.random(20_000) < 0.5, rng.integers(0, 120, 20_000)]).astype(np.int64)
    level, n, _ = cells_of(codes, (2, 120))
    place = Margin("place", tuple(f"p{i}" for i in range(120)), np.full(120, 1 / 120))
    kind = Margin("kind", ("woman", "man"), np.array([0.1, 0.9]))
    programmes = []

    def counted(*given: Any, **options: Any) -> Any:
        programmes.append(1)
        return linprog(*given, **options)

    monkeypatch.setattr(raking_feasibility, "linprog", counted)
    found = solve(Problem((kind, place), level, n.astype(float), 1.5))
    assert isinstance(found, Conflict)
    assert [(w.margin, w.level) for w in found.wanted] == [("kind", "woman")]
    assert len(programmes) < 30


def test_cells_are_the_same_counted_or_sorted() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (3, 500))
    level, n, cell = cells_of(codes, (4, 4, 4))
    wide_level, wide_n, wide_cell = cells_of(codes, (4, 5000, 5000))
    assert (level == wide_level).all()
    assert (n == wide_n).all()
    assert (cell == wide_cell).all()
    assert (level[:, cell] == codes).all()


def test_more_possible_cells_than_numbers_are_told_apart() -> None:
    """Of 2^72 possible cells, whose plain numbering would wrap around."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 8, (24, 300))
    codes[1:, :200] = codes[1:, :1]  # these differ in the first variable alone
    level, n, cell = cells_of(codes, (8,) * 24)
    assert (level[:, cell] == codes).all()
    rows = {tuple(row) for row in codes.T.tolist()}
    assert len(n) == len(rows) == 108
    assert sorted(map(tuple, level.T.tolist())) == list(map(tuple, level.T.tolist()))
    assert (n == np.bincount(cell)).all()


def test_slow_margins_are_watched_and_named() -> None:
    # with hardly any lighter man, 60 % of each only just goes; the third margin is no reason
    problem = two(0.5, 0.5 + 1e-4, (4000, 4000, 0.01, 4000))
    place = Margin("place", ("here", "there"), np.array([0.4, 0.6]))
    level = np.vstack([np.repeat(problem.level, 2, axis=1), np.tile([0, 1], len(problem.n))])
    seen: list[tuple[int, float]] = []
    margins = (*problem.margins, place)
    slow = Problem(margins, level, np.repeat(problem.n, 2))
    found = solve(slow, lambda sweep, error: seen.append((sweep, error)))
    assert isinstance(found, Raked)
    assert found.reached
    assert found.sweeps > SLOW
    assert held_up(slow) == ("gender", "tone")
    sweeps, errors = zip(*seen, strict=True)
    assert list(sweeps) == sorted(set(sweeps))
    assert sweeps[-1] <= found.sweeps < sweeps[-1] + 100
    assert errors[-1] < errors[0]
    assert found.sweeps < MOST_SWEEPS


def test_the_cost_is_kishs() -> None:
    weight, n = np.array([2.0, 0.5, 0.0]), np.array([10, 40, 5])
    rows = np.repeat(weight, n)
    found = cost(weight, n)
    assert found.effective == pytest.approx(rows.sum() ** 2 / (rows**2).sum())
    assert found == cost(rows)
    assert found.n_without == 5
    assert found.largest == pytest.approx(2.0 / rows.mean())


def test_a_subset_has_its_size_its_chances_and_its_cells() -> None:
    rng = np.random.default_rng(1)
    weight = rng.gamma(2.0, size=300)
    cell = rng.integers(0, 5, 300)
    n = largest_exact(weight)
    chance = chances(weight, n)
    assert chance.sum() == pytest.approx(n)
    assert chance == pytest.approx(weight * n / weight.sum())
    times = np.zeros(300)
    for _ in range(2000):
        place = draw_subset(chance, cell, rng)
        assert len(place) == len(set(place.tolist())) == n
        assert np.abs(np.bincount(cell[place]) - np.bincount(cell, chance)).max() <= 1
        times[place] += 1
    assert np.abs(times / 2000 - chance).max() < 5 * 0.5 / np.sqrt(2000)


def test_a_subset_that_is_too_large_has_rows_that_are_in_for_certain() -> None:
    weight = np.array([10.0, 1, 1, 1, 1, 0])
    assert largest_exact(weight) == 1
    chance = chances(weight, 3)
    assert chance == pytest.approx([1, 0.5, 0.5, 0.5, 0.5, 0])
    with pytest.raises(ValueError, match="5 rows have weight"):
        chances(weight, 6)


@pytest.mark.parametrize("rare", [1.0, 0.01])
def test_margins_that_can_hardly_be_reached_are_reached(rare: float) -> None:
    # hardly any man is lighter, and nearly all women would have to be darker
    found = solve(two(0.5, 0.501, (4000, 4000, rare, 4000)))
    assert isinstance(found, Raked)
    assert found.error <= 1e-6
    found = solve(two(0.5, 0.6, (4000, 10, rare, 4000)))
    assert isinstance(found, Raked)
    assert found.error <= 1e-6
