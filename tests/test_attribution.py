"""Shapley values of steps: every order replayed on rows as oracle, axioms, wrong methods."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from laion_probe.attribution import (
    MAX_PLAYERS,
    Attribution,
    PatternCounts,
    pattern_effects,
    shapley_of_shares,
)
from laion_probe.errors import ConfigError


def random_table(rng: np.random.Generator, n_bits: int, levels: int = 3) -> PatternCounts:
    """All masks of that many bits in random order, and a few twice; some rows pass every step."""
    masks = rng.permutation(np.append(np.arange(1 << n_bits), rng.integers(0, 1 << n_bits, 5)))
    counts = rng.integers(0, 30, (levels, len(masks)))
    counts[:, masks == 0] += 1
    return PatternCounts(masks.astype(np.int64), counts)


def tables(n_bits: int) -> st.SearchStrategy[PatternCounts]:
    size = st.integers(1, 12)
    return st.tuples(size, st.integers(1, 4)).flatmap(
        lambda shape: st.builds(
            PatternCounts,
            hnp.arrays(np.int64, shape[0], elements=st.integers(0, (1 << n_bits) - 1)),
            hnp.arrays(np.int64, (shape[1], shape[0]), elements=st.integers(0, 40)),
        )
    )


def shares_kept(table: PatternCounts, steps: tuple[int, ...]) -> np.ndarray:
    """Every level's share after the steps, row by row; NaN where nothing is kept."""
    kept = [0] * len(table.counts)
    for level, counts in enumerate(table.counts.tolist()):
        for mask, n in zip(table.masks.tolist(), counts, strict=True):
            if all(not mask & (1 << step) for step in steps):
                kept[level] += n
    return np.array([n / sum(kept) if sum(kept) else math.nan for n in kept])


def sequential(players: tuple[int, ...], table: PatternCounts) -> np.ndarray:
    """The change in the shares when the steps are added in the order given: (k, levels)."""
    after = [shares_kept(table, players[: i + 1]) for i in range(-1, len(players))]
    return np.diff(np.array(after), axis=0)


def every_order(players: tuple[int, ...], table: PatternCounts) -> np.ndarray:
    total = np.zeros((len(players), len(table.counts)))
    orders = list(itertools.permutations(players))
    for order in orders:
        for player, change in zip(order, sequential(order, table), strict=True):
            total[players.index(player)] += change
    return total / len(orders)


def leave_one_out(players: tuple[int, ...], table: PatternCounts) -> np.ndarray:
    full = shares_kept(table, players)
    others = [tuple(q for q in players if q != p) for p in players]
    return np.array([full - shares_kept(table, rest) for rest in others])


def efficient(values: np.ndarray, result: Attribution) -> bool:
    return bool(np.allclose(values.sum(axis=0), result.after - result.before, rtol=0, atol=1e-12))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_values_are_the_mean_over_every_order(k: int) -> None:
    table = random_table(np.random.default_rng(k), n_bits=k)
    players = tuple(int(p) for p in np.random.default_rng(k).permutation(k))
    result = shapley_of_shares(players, table)
    np.testing.assert_allclose(result.values, every_order(players, table), rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.after, shares_kept(table, players), rtol=0, atol=1e-15)


@settings(max_examples=60, deadline=None)
@given(tables(n_bits=6), st.permutations(range(6)), st.integers(0, 4))
def test_any_table_equals_every_order_and_leaves_other_bits_alone(
    table: PatternCounts, bits: list[int], k: int
) -> None:
    players = tuple(bits[:k])
    result = shapley_of_shares(players, table)
    brute = every_order(players, table)
    missing = [p for p in players if not (table.masks >> p & 1)[table.counts.any(axis=0)].any()]
    null = [players.index(p) for p in missing]
    if table.counts.any():
        assert (result.values[null] == 0).all()
        brute[null] = 0.0  # undefined minus undefined, where everything is removed
    np.testing.assert_allclose(result.values, brute, rtol=0, atol=1e-12)
    everything = tuple(p for p in players if p not in missing)
    undefined = {
        sum(1 << p for p in s)
        for n in range(len(everything) + 1)
        for s in itertools.combinations(everything, n)
        if np.isnan(shares_kept(table, s)).all()
    }
    assert set(result.undefined.tolist()) == undefined
    assert len(result.undefined) == len(undefined)


def test_efficiency_holds_and_leave_one_out_is_not_an_attribution() -> None:
    for seed in range(20):
        table = random_table(np.random.default_rng(seed), n_bits=5)
        players = (0, 1, 2, 3, 4)
        result = shapley_of_shares(players, table)
        assert efficient(result.values, result)
        assert efficient(sequential(players, table), result)
        assert not efficient(leave_one_out(players, table), result)


def test_steps_that_remove_the_same_rows_get_the_same_and_one_order_is_not_an_attribution() -> None:
    rng = np.random.default_rng(7)
    table = random_table(rng, n_bits=3)
    twins = PatternCounts(table.masks | (table.masks & 1) << 3, table.counts)  # bit 3 copies bit 0
    players = (0, 1, 2, 3)
    values = shapley_of_shares(players, twins).values
    np.testing.assert_allclose(values[0], values[3], rtol=0, atol=1e-14)
    assert np.abs(values[0]).max() > 0.001
    in_order = sequential(players, twins)
    assert np.abs(in_order[0] - in_order[3]).max() > 0.001
    assert (leave_one_out(players, twins)[[0, 3]] == 0).all()  # each hides what the other does


def test_the_order_of_players_and_the_names_of_bits_do_not_matter() -> None:
    table = random_table(np.random.default_rng(8), n_bits=4)
    values = shapley_of_shares((0, 1, 2, 3), table).values
    turned = shapley_of_shares((2, 0, 3, 1), table).values
    np.testing.assert_allclose(turned, values[[2, 0, 3, 1]], rtol=0, atol=1e-14)
    high = PatternCounts(table.masks << 58, table.counts)
    moved = shapley_of_shares((58, 59, 60, 61), high).values
    np.testing.assert_array_equal(moved, values)


def test_a_step_that_removes_no_row_has_exactly_zero_and_is_not_a_player() -> None:
    table = random_table(np.random.default_rng(9), n_bits=4)
    # bit 40 is set in a pattern that no row has
    masks, counts = np.append(table.masks, 1 << 40), np.pad(table.counts, ((0, 0), (0, 1)))
    players = (0, 1, 2, 3, *range(20, 41))
    result = shapley_of_shares(players, PatternCounts(masks, counts))
    assert (result.values[4:] == 0).all()
    np.testing.assert_array_equal(result.values[:4], shapley_of_shares((0, 1, 2, 3), table).values)
    assert result.value(40, 0) == 0.0


def test_a_step_that_removes_every_level_alike_moves_no_share() -> None:
    table = PatternCounts(np.array([0, 1]), np.array([[60, 30], [20, 10]]))
    result = shapley_of_shares([0], table)
    np.testing.assert_allclose(result.values, 0, atol=1e-16)
    assert result.before.tolist() == [0.75, 0.25]


def test_by_hand() -> None:
    # kept of (A, B): none (8, 6), step 0 (4, 4), step 1 (8, 4), both (4, 4)
    table = PatternCounts(np.array([0, 1, 3]), np.array([[4, 4, 0], [4, 0, 2]]))
    result = shapley_of_shares([0, 1], table)
    none, first, second, both = 8 / 14, 1 / 2, 2 / 3, 1 / 2
    assert result.value(0, 0) == pytest.approx((first - none + both - second) / 2, abs=1e-15)
    assert result.value(1, 0) == pytest.approx((second - none + both - first) / 2, abs=1e-15)


def test_what_keeps_nothing_is_undefined_and_not_zero() -> None:
    # together, and only together, steps 1 and 4 remove all; step 2 removes nothing
    table = PatternCounts(np.array([2, 16]), np.array([[5, 1], [2, 3]]))
    result = shapley_of_shares([1, 2, 4], table)
    assert result.undefined.tolist() == [2 | 16]
    assert np.isnan(result.values[[0, 2]]).all()
    assert result.value(1, 0) is None
    assert result.value(2, 0) == 0.0
    assert np.isnan(result.after).all()
    assert result.before.tolist() == [6 / 11, 5 / 11]


def test_without_rows_nothing_is_defined() -> None:
    result = shapley_of_shares([0], PatternCounts(np.array([1]), np.zeros((2, 1), np.int64)))
    assert np.isnan(result.values).all()
    assert np.isnan(result.before).all()
    assert result.undefined.tolist() == [0]


def test_a_level_that_is_all_removed_is_defined() -> None:
    result = shapley_of_shares([0], PatternCounts(np.array([0, 1]), np.array([[0, 5], [5, 0]])))
    assert result.value(0, 0) == -0.5
    assert result.value(0, 1) == 0.5


def test_twelve_players_run_and_thirteen_say_what_to_do() -> None:
    table = random_table(np.random.default_rng(10), n_bits=MAX_PLAYERS + 1, levels=20)
    players = tuple(range(MAX_PLAYERS))
    result = shapley_of_shares(players, table)
    assert efficient(result.values, result)
    assert np.allclose(result.values.sum(axis=1), 0, atol=1e-12)  # shares sum to one
    with pytest.raises(ConfigError, match=r"13 steps remove rows.* at most 12: name fewer"):
        shapley_of_shares((*players, MAX_PLAYERS), table)


@settings(max_examples=60, deadline=None)
@given(tables(n_bits=5), st.permutations(range(5)), st.integers(0, 5))
def test_effects_equal_a_plain_loop(table: PatternCounts, bits: list[int], k: int) -> None:
    players = tuple(bits[:k])
    effects = pattern_effects(players, table)
    for level, counts in enumerate(table.counts.tolist()):
        rows = [m for m, n in zip(table.masks.tolist(), counts, strict=True) for _ in range(n)]
        assert effects.rows[level] == len(rows)
        alive = rows
        for i, p in enumerate(players):
            others = [q for q in players if q != p]
            hit = [m for m in rows if m >> p & 1]
            assert effects.alone[i, level] == len(hit)
            assert effects.only[i, level] == sum(not any(m >> q & 1 for q in others) for m in hit)
            assert effects.in_order[i, level] == sum(m >> p & 1 for m in alive)
            alive = [m for m in alive if not m >> p & 1]
            assert effects.surviving[i, level] == len(alive)


def test_counts_beyond_a_float_stay_exact() -> None:
    n = 2**53 + 1
    effects = pattern_effects([0], PatternCounts(np.array([0, 1]), np.array([[n, n]])))
    assert int(effects.surviving[0, 0]) == int(effects.alone[0, 0]) == n


def test_unusable_tables_and_players_are_refused() -> None:
    masks, counts = np.array([0, 1]), np.ones((2, 2), np.int64)
    with pytest.raises(ValueError, match="3 columns"):
        PatternCounts(masks, np.ones((2, 3), np.int64))
    with pytest.raises(ValueError, match="shape"):
        PatternCounts(masks, np.ones(2, np.int64))
    with pytest.raises(ValueError, match="integers"):
        PatternCounts(masks, counts / 2)
    with pytest.raises(ValueError, match="not negative"):
        PatternCounts(masks, -counts)
    for players in ([0, 0], [-1], [63]):
        with pytest.raises(ValueError, match="distinct bits"):
            shapley_of_shares(players, PatternCounts(masks, counts))
