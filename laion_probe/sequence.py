"""Intervals that hold while one looks: a share estimated from units read in random order.

A data set of M units (row groups) of unequal sizes is read in a seeded random order, without
replacement. Unit i has n_i rows of the base and y_i hits; the target is R = Σy / Σn over *all* M
units, its estimate after t units r_t = Σy / Σn over those. One may look after every unit and stop
once the interval is narrow enough: all intervals of a sequence contain R at once with probability
``level``. Those for a fixed size (`estimate.share`), looked at again and again, do not.

The residuals e_i = y_i - R n_i sum to zero over the set; S_t, their sum over t units, is
(r_t - R) Σn. Given the past, the next has mean -S_t / (M - t): with f = t / M, S_t / (1 - f) is a
martingale. Its variance is σ² t / (1 - f) exactly, where σ² = Σe² / (M - 1) over the set: that of a
Brownian motion at τ = t / (1 - f). A boundary for the motion at τ, times (1 - f), is one for S_t.
A population without end has f = 0. A classifier's errors are in none of this.
`confseq` on PyPI is early, unmaintained and a source that needs Boost and a compiler: not used.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from laion_probe.errors import ConfigError
from laion_probe.registry import Registry

__all__ = [
    "SEQUENCES",
    "AsymptoticSequence",
    "BettingSequence",
    "Interval",
    "Sequence",
    "Stream",
]

Interval = tuple[float, float, float]  # value, low, high: shares in [0, 1]

START = 30  # units before the asymptotic sequence says anything
MIN_UNITS_WITH = 20  # units with a hit, and with a miss, before the residuals are believed
DEFAULT_PLAN = 300  # units at which to be narrowest, where no plan was given


@dataclass(frozen=True)
class Stream:
    """What is known before the first unit is read.

    ``population`` is the number M of units in the set, those without rows included (None: without
    end). ``planned`` is the number of units at which one expects to stop, ``half_width`` the
    half-width at which one will: either says where to be narrowest and costs nothing in validity.
    ``largest`` is a number of base rows that no unit of the set exceeds.
    """

    level: float = 0.95
    population: int | None = None
    planned: int | None = None
    half_width: float | None = None
    largest: float | None = None

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1:
            raise ConfigError(f"level is {self.level}: give one from 0.5 to below 1")
        for name in ("population", "planned", "half_width", "largest"):
            if (given := getattr(self, name)) is not None and not given > 0:
                raise ConfigError(f"{name} is {given}: give a positive number, or leave it out")


class Sequence(ABC):
    """A running interval for a share, after ``n_units`` units."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.n_units = 0
        self._y = self._n = self._yy = self._yn = self._nn = 0.0
        self._units = math.inf if stream.population is None else float(stream.population)

    def add(self, hits: float, rows: float) -> None:
        """Take in the next unit of the random order; ``0 <= hits <= rows``, 0 rows are legal."""
        if not 0 <= hits <= rows < math.inf:
            raise ValueError(f"a unit of {rows} rows cannot have {hits} hits")
        if self.n_units == self._units:
            raise ConfigError(f"more units than the population of {self.stream.population}")
        if self.stream.largest is not None and rows > self.stream.largest:
            raise ConfigError(f"a unit has {rows} rows: more than largest, {self.stream.largest}")
        self.n_units += 1
        self._y, self._n = self._y + hits, self._n + rows
        self._yy, self._nn = self._yy + hits * hits, self._nn + rows * rows
        self._yn += hits * rows

    def interval(self) -> Interval | None:
        """Value, low and high; the point when all units are read; None while nothing is said."""
        if self._n == 0:
            return None
        value = self._y / self._n
        ends = (value, value) if self.n_units == self._units else self._ends()
        return None if ends is None else (value, min(ends[0], value), max(ends[1], value))

    @property
    @abstractmethod
    def by(self) -> str:
        """The sequence that speaks now: "asymptotic", "betting", or "" while none can."""

    @abstractmethod
    def _ends(self) -> tuple[float, float] | None:
        """Low and high while units are unread and there are rows."""

    def _unread(self) -> float:
        """1 - f, the share of units that are still to come."""
        return 1 - self.n_units / self._units

    def _squares(self) -> float:
        """Σe² at r_t (r enters by these sums alone), or what it would be were rows independent."""
        r = self._y / self._n if self._n else 0.0
        return max(self._yy - 2 * r * self._yn + r * r * self._nn, r * (1 - r) * self._n)

    def _planned_clock(self) -> float:
        """τ at ``planned``, at most where nine tenths are read: beyond, the clock runs away."""
        planned = min(float(self.stream.planned or DEFAULT_PLAN), 0.9 * self._units)
        return planned / (1 - planned / self._units)


class AsymptoticSequence(Sequence):
    """The default: narrow, and valid as a central limit theorem is.

    The boundary is Robbins' normal mixture, as in Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
    (2021, Theorem 2.2): |S_t| <= (1 - f) s √(2 (τρ² + 1) / ρ² · log(√(τρ² + 1) / α)), for all τ.
    s² = Σ(y_i - R n_i)² / (t - 1) is taken at the candidate R, not at r_t, so that a large |S_t|
    speaks for a large variance as well: the ends solve a quadratic (as Fieller's do), further out
    where units are few or sizes skewed. With s² at r_t simulated sequences covered too rarely.

    ρ² = (-2 log α + log(-2 log α) + 1) / τ* makes it narrowest at the planned stop τ*. Where a
    half-width is wanted, τ* is predicted once, from the first 30 units, then frozen: a function of
    their residual variance, of which S_30 is independent for Gaussian residuals; for others the
    tests check by simulation. By τ* one reads 2.4 times what a fixed size needs (2.8 at τ* < 60).

    s² is never below that of independent rows, as in `estimate.share`: units of equal shares make
    no interval of no width. Until 20 units have a hit and 20 a miss the residuals know too little
    of the rarer: the interval is then that of the `BettingSequence`, which needs ``largest``, or
    else all of [0, 1]. None before 30 units. The limit theorem fails the last units as it does the
    first: when 30 are left the interval stays (but grows to contain the value), when all are read
    it is the point. It is not to be trusted where a few units hold most of the rows or hits.

    >>> sequence = AsymptoticSequence(Stream(population=1000, half_width=0.01))
    >>> for i in range(60):
    ...     sequence.add(hits=360 + 20 * (i % 3), rows=1000 + 10 * (i % 7))
    >>> tuple(round(x, 3) for x in sequence.interval())
    (0.369, 0.362, 0.377)
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._n_with_hits, self._n_with_misses, self._few = 0, 0, True
        two_log = -2 * math.log(1 - stream.level)
        self._odds = two_log + math.log(two_log) + 1  # τ*ρ², whatever τ* is
        self._rho2 = self._odds / self._planned_clock()
        self._aim = stream.half_width  # None once it has been planned for
        self._betting = BettingSequence(stream) if stream.largest is not None else None
        self._last = max(START, self._units - START)
        self._held: tuple[float, float] | None = None

    def add(self, hits: float, rows: float) -> None:
        """Take in the next unit."""
        super().add(hits, rows)
        if self._betting is not None:
            self._betting.add(hits, rows)
        if self.n_units <= self._last:
            self._n_with_hits += hits > 0
            self._n_with_misses += hits < rows
        self._few = min(self._n_with_hits, self._n_with_misses) < MIN_UNITS_WITH
        if self._few or self.n_units == self._units:
            return
        self._betting = None  # the counts only grow: it is not asked again
        if self.n_units >= START and self._aim is not None:
            self._rho2, self._aim = self._odds / self._predicted_clock(self._aim), None
        if self.n_units == self._last:
            self._held = self._solved()

    @property
    def by(self) -> str:
        """Betting's, while too few units have a hit or a miss."""
        if self.n_units < START or (self._few and self._betting is None):
            return ""
        return "betting" if self._few else "asymptotic"

    def _ends(self) -> tuple[float, float] | None:
        if self.n_units < START:
            return None
        if self._few:
            return (0.0, 1.0) if self._betting is None else self._betting._ends()
        return self._held or self._solved()

    def _solved(self) -> tuple[float, float]:
        """The r with (Σy - r Σn)² <= z² (1 - f) t / (t - 1) · Σ(y - r n)², cut to [0, 1].

        In d = r_t - r that is (Σn)² d² - b (Σe² + 2 d Σen + d² Σn²) <= 0, with e at r_t.
        """
        t, r, unread = self.n_units, self._y / self._n, self._unread()
        b = self._boundary2(self._rho2 * t / unread) * unread * t / (t - 1)
        a, half_b = self._n**2 - b * self._nn, b * (self._yn - r * self._nn)
        if a <= 0:
            return 0.0, 1.0  # too early for what is planned
        half = math.sqrt(b * self._squares() * a + half_b**2) / a
        return max(0.0, r - half_b / a - half), min(1.0, r - half_b / a + half)

    def _boundary2(self, odds: float) -> float:
        """The square of the boundary, in standard errors, where τρ² is ``odds``."""
        return 2 * (odds + 1) / odds * (0.5 * math.log1p(odds) - math.log(1 - self.stream.level))

    def _predicted_clock(self, half_width: float) -> float:
        """τ* at which it is reached: an error is s t / Σn / √τ; the 1 is for s² at R."""
        t = self.n_units
        error2 = self._squares() / (t - 1) * (t / self._n) ** 2  # times τ
        clock = self._boundary2(self._odds) * (error2 / half_width**2 + 1)
        return min(max(clock, t / self._unread()), 9 * self._units)  # as in _planned_clock


class BettingSequence(Sequence):
    """Valid for any data from the first unit on, and wider for it.

    The hedged capital process of Waudby-Smith and Ramdas (2023, "Estimating means of bounded random
    variables by betting", JRSSB; section 5 without replacement). For a candidate r the
    x_i = (y_i - r n_i) / largest + r lie in [0, 1] and, if r = R, have mean
    m_i = r - S_{i-1}(r) / (largest (M - i + 1)) given the past. One gambler bets λ that x_i is
    above m_i, one that it is below; r is out for good when either has 2/α times the stake.

    λ uses the past alone and is the same for all r but for the truncation at c/m and c/(1-m), with
    c = 3/4. Either capital is then monotone in r: the factor 1 + λ (x - m) because x - m falls with
    r, the truncated one, 1 - c + c x/m, because x/m does. So the candidates left are an interval,
    nothing hides between the points of a grid (even in arcsin √r), and the ends are the nearest
    that are out. However alike units are, it reaches about log(2/α) / (c t) · largest / (mean n) to
    either side. A unit larger than ``largest`` would make it invalid: `add` raises.

    >>> sequence = BettingSequence(Stream(population=1000, largest=1100))
    >>> for i in range(500):
    ...     sequence.add(hits=360 + 20 * (i % 3), rows=1000 + 10 * (i % 7))
    >>> tuple(round(x, 3) for x in sequence.interval())
    (0.369, 0.366, 0.374)
    """

    MOST = 0.75  # c: the share of the capital that one unit may cost
    STEPS = 2000  # points of the grid, less one

    def __init__(self, stream: Stream) -> None:
        if stream.largest is None:
            raise ConfigError("a betting sequence needs largest, the rows of the largest unit")
        super().__init__(stream)
        self._largest = float(stream.largest)
        self._grid = np.sin(np.linspace(0, np.pi / 2, self.STEPS + 1)) ** 2
        self._above = np.zeros_like(self._grid)  # log capital of the bets that R is above r
        self._below = np.zeros_like(self._grid)
        self._low, self._high = 0, self.STEPS
        self._enough = math.log(2 / (1 - stream.level))

    def add(self, hits: float, rows: float) -> None:
        """Take in the next unit."""
        y, n, to_come = self._y, self._n, self._units - self.n_units
        bet = self._bet() if to_come else 0.0  # before the unit is known
        super().add(hits, rows)
        if self._low >= self._high:
            return  # all are out: one of the sequences that fail
        left = slice(self._low, self._high + 1)
        r = self._grid[left]
        mean = r + (r * n - y) / (self._largest * to_come)
        low_out, high_out = mean < 0, mean > 1  # what is to come could not make up for it
        mean = np.clip(mean, 0, 1)
        gain = (hits - r * rows) / self._largest + r - mean
        up, down = (np.minimum(bet, self.MOST / np.maximum(m, 1e-300)) for m in (mean, 1 - mean))
        self._above[left] += np.log1p(up * gain)
        self._below[left] += np.log1p(-down * gain)
        low_out |= self._above[left] >= self._enough
        high_out |= self._below[left] >= self._enough
        if high_out.any():
            self._high = self._low + int(np.flatnonzero(high_out)[0])
        if low_out.any():
            self._low += int(np.flatnonzero(low_out)[-1])

    @property
    def by(self) -> str:
        """Always itself."""
        return "betting"

    def _ends(self) -> tuple[float, float]:
        return float(self._grid[self._low]), float(self._grid[self._high])

    def _bet(self) -> float:
        """λ before truncation: what pays best against Gaussian residuals of the variance so far."""
        # half_width is not used: mostly truncation decides. The variance starts at the paper's 1/4;
        # without replacement a wrong r shows 1 / (1 - f) times as much.
        t, unread = self.n_units + 1, self._unread()
        variance = (0.25 + self._squares() / self._largest**2) / t
        growing = t / unread * math.log1p(t / unread)
        horizon = growing if self.stream.planned is None else self._planned_clock()
        return math.sqrt(2 * self._enough / (variance * horizon)) / unread


SEQUENCES: Registry[Callable[[Stream], Sequence]] = Registry("confidence sequence")
SEQUENCES.add("asymptotic", AsymptoticSequence)
SEQUENCES.add("betting", BettingSequence)
