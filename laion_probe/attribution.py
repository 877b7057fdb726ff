"""Which step moved a group's share of what is kept: exact Shapley values of filter steps.

The game: steps are players; under a coalition of steps a row is kept where none of them would
remove it. A level's worth is its *share* of what is kept, a ratio: it is formed after the counts of
a coalition are summed, and where a coalition keeps nothing it is undefined, not zero. A step's
value is the mean over all orders of the steps of the change in the share when the step is added
(Shapley 1953); the values of a level sum to the change from no step to all steps.

The values are conditional: rewrites stay as they were in the scan (they are context, not players),
and steps that depend on the set (duplicates, thresholds over all rows) keep the tables that were
frozen when they were prepared. Without a step, a real run of the others might have made other
tables. A value describes the counted rows; it has no sampling interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import ConfigError

__all__ = [
    "MAX_PLAYERS",
    "Attribution",
    "PatternCounts",
    "PatternEffects",
    "pattern_effects",
    "shapley_of_shares",
]

#: Steps that remove rows, in one game: 2 ** 12 coalitions.
MAX_PLAYERS = 12

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class PatternCounts:
    """Rows by level and by the set of steps that would remove them.

    ``masks`` (p,) holds bit masks: bit i is set where step i removes the row, each step judged on
    every row; a mask may come more than once. ``counts`` (levels, p) holds whole numbers of rows.
    Every row that counts in the denominator is in exactly one level, *unknown* included.
    """

    masks: Ints
    counts: Ints

    def __post_init__(self) -> None:
        if self.masks.ndim != 1 or self.counts.ndim != 2:
            raise ValueError("masks have the shape (p,), counts (levels, p)")
        if self.counts.shape[1] != len(self.masks):
            raise ValueError(f"{len(self.masks)} masks, but {self.counts.shape[1]} columns")
        if self.masks.dtype.kind != "i" or self.counts.dtype.kind != "i":
            raise ValueError("masks and counts are signed integers")
        if (self.counts < 0).any() or (self.masks < 0).any():
            raise ValueError("masks and counts are not negative")


@dataclass(frozen=True)
class Attribution:
    """Shapley values of k players for each level's share of what is kept.

    ``values`` (k, levels) is in shares, so 0.05 is five points; positive: the step raises the
    level's share. ``before`` and ``after`` (levels,) are the shares with no player and with all.
    NaN where undefined. ``undefined`` holds the coalitions that keep nothing, as masks over the
    bits of `PatternCounts.masks`, players that remove no row left out. Every value needs every
    coalition, and what all players keep is the least: so if ``undefined`` is not empty, ``after``
    and the values of all players that remove a row are NaN.
    """

    players: tuple[int, ...]
    values: Floats
    before: Floats
    after: Floats
    undefined: Ints

    def value(self, player: int, level: int) -> float | None:
        """The value of one player (its bit) for one level (its index); None where undefined."""
        value = float(self.values[self.players.index(player), level])
        return None if math.isnan(value) else value


@dataclass(frozen=True)
class PatternEffects:
    """Rows that each player removes: counts of shape (k, levels), in the order of ``players``.

    ``alone``: its bit is set, whatever the others do. ``only``: no other player's bit is set, so
    the rows would be kept without it. ``in_order``: no earlier player's bit is set.
    ``surviving``: rows left after this player in order. ``rows`` (levels,) is all rows.
    """

    players: tuple[int, ...]
    rows: Ints
    alone: Ints
    only: Ints
    in_order: Ints
    surviving: Ints


def shapley_of_shares(players: Sequence[int], table: PatternCounts) -> Attribution:
    """The exact Shapley value of each player in every level's share of what is kept.

    ``players`` are bit positions in the masks; bits of other steps are ignored, so rows that those
    steps remove stay in unless the caller left them out of ``table``. A player that removes no row
    is a null player: its value is exactly 0, and it is not among the `MAX_PLAYERS` allowed. More
    raise `ConfigError`. Takes O(levels k 2^k) time for the k players that remove rows.

    >>> table = PatternCounts(np.array([0, 1, 3]), np.array([[4, 4, 0], [4, 0, 2]]))
    >>> shapley_of_shares([0, 1], table).values.round(3)
    array([[-0.119,  0.119],
           [ 0.048, -0.048]])
    """
    hit = _hit(players, table)
    active = np.flatnonzero((hit & (table.counts.sum(axis=0) > 0)).any(axis=1))
    k = len(active)
    if k > MAX_PLAYERS:
        raise ConfigError(
            f"{k} steps remove rows, exact Shapley values take at most {MAX_PLAYERS}: "
            "name fewer steps as players and leave out the rows that the others remove"
        )
    kept = _kept(hit[active], table.counts)
    total = kept.sum(axis=1, keepdims=True)
    nothing = np.flatnonzero(total == 0)
    share = np.full(kept.shape, np.nan)
    np.divide(kept, total, out=share, where=total > 0)
    # without a single row no share exists, and no player is told from another
    values = np.full((len(players), kept.shape[1]), 0.0 if total[0, 0] > 0 else np.nan)
    values[active] = _shapley(share, k)
    bits = np.array([1 << int(players[int(i)]) for i in active], dtype=np.int64)
    undefined = ((nothing[:, None] >> np.arange(k) & 1) * bits).sum(axis=1, dtype=np.int64)
    return Attribution(tuple(players), values, share[0], share[-1], undefined)


def pattern_effects(players: Sequence[int], table: PatternCounts) -> PatternEffects:
    """What each player removes of each level: alone, as the only one, and in the order given.

    >>> effects = pattern_effects([0, 1], PatternCounts(np.array([0, 1, 3]), np.array([[4, 4, 2]])))
    >>> effects.alone.tolist(), effects.only.tolist(), effects.surviving.tolist()
    ([[6], [2]], [[4], [0]], [[4], [4]])
    """
    hit = _hit(players, table)
    single = hit.sum(axis=0) == 1
    first = hit & (np.cumsum(hit, axis=0) == 1)
    rows = table.counts.sum(axis=1)
    in_order = _count(first, table)
    return PatternEffects(
        players=tuple(players),
        rows=rows,
        alone=_count(hit, table),
        only=_count(hit & single, table),
        in_order=in_order,
        surviving=rows - np.cumsum(in_order, axis=0),
    )


def _hit(players: Sequence[int], table: PatternCounts) -> Bools:
    """Whether each player (k) removes the rows of each pattern (p)."""
    if len(set(players)) < len(players) or not all(0 <= bit < 63 for bit in players):
        raise ValueError(f"players {list(players)} are not distinct bits from 0 to 62")
    bits = np.array(players, dtype=np.int64)
    return (table.masks >> bits[:, None] & 1).astype(np.bool_)


def _count(chosen: Bools, table: PatternCounts) -> Ints:
    """Rows of the chosen patterns: (k, p) and (levels, p) to (k, levels)."""
    return chosen.astype(np.int64) @ table.counts.T


def _kept(hit: Bools, counts: Ints) -> Ints:
    """Rows kept under each coalition: (2^k, levels), bit j of the first index for player j.

    A coalition keeps the patterns that are subsets of its complement: sums over subsets, one
    player at a time (Yates 1937).
    """
    k = len(hit)
    pattern = (hit * (1 << np.arange(k))[:, None]).sum(axis=0, dtype=np.int64)
    sums = np.zeros((1 << k, len(counts)), dtype=np.int64)
    np.add.at(sums, pattern, counts.T)
    for j in range(k):
        by_j = sums.reshape(-1, 2, 1 << j, len(counts))  # a view: without player j, with it
        by_j[:, 1] += by_j[:, 0]
    return sums[::-1]


def _shapley(share: Floats, k: int) -> Floats:
    """Values (k, levels) from the share in every coalition (2^k, levels); NaN spreads to all."""
    sizes = np.array([s.bit_count() for s in range(1 << k)])
    weights = np.array([1 / (k * math.comb(k - 1, s)) for s in range(k)])
    values = np.empty((k, share.shape[1]))
    for j in range(k):
        by_j = share.reshape(-1, 2, 1 << j, share.shape[1])
        weight = weights[sizes.reshape(-1, 2, 1 << j)[:, 0]]
        values[j] = np.einsum("ab,abl->l", weight, by_j[:, 1] - by_j[:, 0])
    return values
