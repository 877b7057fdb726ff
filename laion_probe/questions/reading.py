"""Reading units in a seeded random order, and knowing at every moment what they say of the rest."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laion_probe.config import DatasheetConfig, FiltersConfig, ScanConfig
from laion_probe.counts import Key, Tally, UnitCounts
from laion_probe.errors import ConfigError
from laion_probe.results import Estimate
from laion_probe.runners import Failure
from laion_probe.scan_result import Look
from laion_probe.sequence import SEQUENCES, START, Stream
from laion_probe.sequence import Sequence as ConfidenceSequence
from laion_probe.shards import Unit

__all__ = ["Limits", "Sample", "Share", "planned_units", "random_order", "rows_of"]

Floats = NDArray[np.float64]

_METHODS = {
    "": "no interval yet: too few row groups, or too few with a hit or with a miss",
    "asymptotic": "asymptotic confidence sequence of the ratio, by row group (Waudby-Smith et al. "
    "2021)",
    "betting": "betting confidence sequence of the ratio, by row group (Waudby-Smith and Ramdas "
    "2023)",
}
_ORDER = "row groups were read in a seeded random order"
_LARGE = "at least 30 row groups: it is valid as a central limit theorem is"
_FAILED = (
    "rows of row groups that failed may all be hits, or none; where a file does not say how many "
    "they are, that is guessed by its bytes and the other files"
)


def random_order(units: Sequence[Unit], seed: int) -> tuple[Unit, ...]:
    """The units in an order that depends on the seed and their content alone."""
    return tuple(
        sorted(
            units, key=lambda u: hashlib.sha256(f"{seed}:{u.id}".encode()).digest() + u.id.encode()
        )
    )


def rows_of(units: Sequence[Unit]) -> list[float]:
    """Rows of each unit; where a file does not say, a guess by its bytes and those of the others.

    A file that cannot be opened counts at least as the mean of the others, since it may have been
    cut off. Without any known rows, bytes take their place.
    """
    sound = [u for u in units if not u.shard.error]
    known = [u for u in sound if u.n_rows is not None]
    n_bytes = sum(u.n_bytes for u in known)
    per_byte = sum(u.n_rows or 0 for u in known) / n_bytes if n_bytes else 1.0
    guess = {id(u): u.n_bytes * per_byte if u.n_rows is None else float(u.n_rows) for u in units}
    n_sound = len({u.shard.file.url for u in sound})
    mean = sum(guess[id(u)] for u in sound) / n_sound if n_sound else 1.0
    return [max(guess[id(u)], mean) if u.shard.error else guess[id(u)] for u in units]


@dataclass(frozen=True)
class Share:
    """A share of rows: ``base`` chooses keys, and ``among`` chooses the hits among those."""

    name: str
    title: str
    base: Callable[[Key], bool]
    among: Callable[[Key], bool]

    def hit(self, key: Key) -> bool:
        """Whether rows with this key are hits."""
        return self.base(key) and self.among(key)


@dataclass(frozen=True)
class Limits:
    """Where to stop. What is planned for is known before the first unit is read."""

    until: float | None
    units: int | None  # the prefix that rows, bytes and units allow
    reason: str
    time_s: float | None
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls, config: ScanConfig, order: Sequence[Unit], n_bytes: Callable[[Unit], int]
    ) -> Limits:
        """The limits of a config on this order of units. At least one unit is read."""
        if config.max_rows is not None and any(
            u.n_rows is None and not u.shard.error for u in order
        ):
            raise ConfigError(
                "--max-rows must know beforehand how many rows there are, and some of these files "
                "do not say: use --max-bytes, --max-units or --max-time"
            )
        found: list[tuple[int, str]] = []
        sizes = {
            "max_rows": (config.max_rows, rows_of(order)),
            "max_bytes": (config.max_bytes, [float(n_bytes(u)) for u in order]),
            "max_units": (config.max_units, [1.0] * len(order)),
        }
        for name, (most, size) in sizes.items():
            if most is not None:
                fits = int(np.searchsorted(np.cumsum(size), most, side="right"))
                found.append((max(1, fits), f"--{name.replace('_', '-')} {most}"))
        units, reason = min(found, default=(None, ""))
        if units is not None and units >= len(order):
            units, reason = None, ""
        return cls(config.until, units, reason, config.max_time)

    @property
    def any(self) -> bool:
        """Whether the run may end before everything is read."""
        return any(x is not None for x in (self.until, self.units, self.time_s))

    def reached(self, tried: int, half_width: float | None) -> str:
        """Why to stop after so many units; '' to go on."""
        if self.units is not None and tried >= self.units:
            return self.reason
        if self.until is not None and half_width is not None and half_width <= self.until:
            return f"the share is known to within ±{100 * self.until:g} points"
        if self.time_s is not None and time.monotonic() - self.started >= self.time_s:
            return f"--max-time {self.time_s:g}"
        return ""


class _Pair:
    """Two sequences, one until a unit fails: its rows are misses in one and hits in the other."""

    def __init__(self, name: str, stream: Stream) -> None:
        self.name = name
        self.low: ConfidenceSequence = SEQUENCES[name](stream)
        self.high = self.low

    def add(self, hits: float, rows: float) -> None:
        self.low.add(hits, rows)
        if self.high is not self.low:
            self.high.add(hits, rows)

    def fail(self, rows: float) -> None:
        if self.high is self.low:
            self.high = copy.deepcopy(self.low)
        self.low.add(0, rows)
        self.high.add(rows, rows)


@dataclass
class Sample:
    """Units so far, in order: totals, the numbers of each unit, and the share that is followed.

    A failed unit counts with all its rows as misses in one sequence and as hits in the other, so
    that the interval from the lower end of the one to the upper end of the other allows for both.
    """

    share: Share
    stream: Stream
    sequence: str
    sampling: bool  # False: everything will be read, and nothing need be remembered by unit
    tally: Tally = field(default_factory=Tally)
    failed: list[tuple[Failure, float]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    frozen: dict[str, str] = field(default_factory=dict)  # by step: what a set step was decided by

    def __post_init__(self) -> None:
        self._pair = _Pair(self.sequence, self.stream)
        self._keys: dict[Key, int] = {}
        self._cells: list[tuple[int, int, int]] = []  # unit, key, rows
        self._lost: dict[int, float] = {}  # unit that failed, its rows
        self._hits = self._rows = 0
        self._guessed = 0.0  # what the read units were taken to hold, in rows or else in bytes
        self._waiting: list[tuple[Failure, float]] = []
        self._columns: tuple[int, NDArray[np.int64]] = (0, np.zeros((3, 0), dtype=np.int64))

    def add(self, counts: UnitCounts, guessed: float | None = None) -> None:
        """The next unit; ``guessed`` is what it was taken to hold, in rows or else in bytes."""
        hits = rows = 0
        place = self._place
        self.tally.add(counts)
        for group, level, mask, blind, n in counts.cells:
            key = Key(group, level, mask, blind)
            rows += n if self.share.base(key) else 0
            hits += n if self.share.hit(key) else 0
            if self.sampling:
                self._cells.append((place, self._keys.setdefault(key, len(self._keys)), n))
        self._hits += hits
        self._rows += rows
        self._guessed += counts.n_rows if guessed is None else guessed
        self._pair.add(hits, rows)
        waiting, self._waiting = self._waiting, []
        for failure, held in waiting:
            self.fail(failure, held)
        self.look()

    def fail(self, failure: Failure, guessed: float) -> None:
        """The next unit could not be read; it was taken to hold so much, in rows or else in bytes.

        By bytes, rows are reckoned from what was read so far; before anything is, it waits.
        """
        if not self._guessed:
            self._waiting.append((failure, guessed))
            self.look()
            return
        rows = guessed * self.tally.n_rows / self._guessed
        largest = self.stream.largest
        rows = rows if largest is None else min(rows, largest)
        self._lost[self._place] = rows
        self.failed.append((failure, rows))
        self._pair.fail(rows)
        self.look()

    @property
    def _place(self) -> int:
        """Of the next unit among those that count so far."""
        return self.tally.n_units + len(self.failed)

    @property
    def n_tried(self) -> int:
        """Units so far, failed ones included."""
        return self._place + len(self._waiting)

    @property
    def failures(self) -> list[Failure]:
        """The units that could not be read."""
        return [f for f, _ in (*self.failed, *self._waiting)]

    @property
    def rows_failed(self) -> float:
        """Rows of failed units."""
        return sum(rows for _, rows in self.failed)

    def estimate(self) -> Estimate:
        """The share that is followed, with an interval that holds whenever one looks."""
        if self.n_tried == self.stream.population:
            return self.of(self.share)
        return self._estimate(self._pair, self._hits, self._rows)

    def other(self) -> Estimate | None:
        """The other sequence's interval; None where there is no sampling error, or no other."""
        names = [n for n in SEQUENCES if n != self.sequence]
        if not self.sampling or self.n_tried == self.stream.population:
            return None
        return None if self.stream.largest is None else self.of(self.share, names[0])

    def concentration(self) -> float | None:
        """The part of the rarer (hits or misses) that the richest tenth of the units holds."""
        if not self.sampling or self.n_tried < START:
            return None
        hits, rows = self._by_unit(self.share.hit), self._by_unit(self.share.base)
        rarer = np.sort(hits if 2 * hits.sum() <= rows.sum() else rows - hits)[::-1]
        tenth = max(1, len(rarer) // 10)
        return float(rarer[:tenth].sum() / rarer.sum()) if rarer.sum() else None

    def half_width(self) -> float | None:
        """Of the interval so far; None while there is none to stop on."""
        now = self.estimate()
        if now.low is None or now.high is None or self.n_tried < START:
            return None
        return (now.high - now.low) / 2

    def of(self, share: Share, sequence: str = "") -> Estimate:
        """Any other share, from what is remembered; by the same sequence unless told."""
        hits, rows = self.tally.sum(share.hit), self.tally.sum(share.base)
        if rows == 0 or not self.sampling or self.n_tried == self.stream.population:
            return self._full(hits, rows)
        pair = _Pair(sequence or self.sequence, self.stream)
        ys, ns = self._by_unit(share.hit), self._by_unit(share.base)
        for unit, (y, n) in enumerate(zip(ys.tolist(), ns.tolist(), strict=True)):
            if unit in self._lost:
                pair.fail(self._lost[unit])
            else:
                pair.add(y, n)
        return self._estimate(pair, hits, rows)

    def _by_unit(self, chosen: Callable[[Key], bool]) -> Floats:
        """Rows with a chosen key in each unit so far."""
        wanted = np.array([chosen(key) for key in self._keys], dtype=bool)
        if self._columns[0] != len(self._cells):
            self._columns = len(self._cells), np.array(self._cells, dtype=np.int64).T
        unit, key, n = self._columns[1]
        sums = np.bincount(unit, weights=n * wanted[key], minlength=self.n_tried)
        return sums.astype(np.float64)

    def _estimate(self, pair: _Pair, hits: int, rows: int) -> Estimate:
        low, high = pair.low.interval(), pair.high.interval()
        by = list(dict.fromkeys((pair.low.by, pair.high.by)))
        assumptions = [_ORDER] + ([_LARGE] if "asymptotic" in by else [])
        return Estimate(
            value=hits / rows if rows else None,
            low=None if low is None or not rows else min(low[1], hits / rows),
            high=None if high is None or not rows else max(high[2], hits / rows),
            level=self.stream.level,
            n=rows,
            units=self.tally.n_units,
            method="; upper end: ".join(_METHODS[name] for name in by),
            assumptions=(*assumptions, *([_FAILED] if self.failed else [])),
        )

    def _full(self, hits: int, rows: int) -> Estimate:
        lost = self.rows_failed
        method = "full count: no sampling error" if rows else "share of no rows"
        if lost and rows:
            method = "full count of what could be read, bounds for the row groups that failed"
        return Estimate(
            value=hits / rows if rows else None,
            low=hits / (rows + lost) if rows else None,
            high=(hits + lost) / (rows + lost) if rows else None,
            level=self.stream.level,
            n=rows,
            units=self.tally.n_units,
            method=method,
            assumptions=(_FAILED,) if lost else (),
        )

    def look(self) -> None:
        """Remember about thirty looks a factor of ten, and always the last one."""
        now = self.estimate()
        look = Look(
            units=self.n_tried, rows=self.tally.n_rows, value=now.value, low=now.low, high=now.high
        )
        n = len(self.looks)
        if (n and self.looks[-1].units == look.units) or (
            n > 1 and math.log10(self.looks[-1].units / self.looks[-2].units) < 1 / 30
        ):
            self.looks[-1] = look
        else:
            self.looks.append(look)


def planned_units(config: FiltersConfig | DatasheetConfig, order: Sequence[Unit]) -> int:
    """How many units are read: settled before the first is, whatever their sizes in this order."""
    wanted = [len(order)]
    if config.max_units is not None:
        wanted.append(config.max_units)
    if config.max_rows is not None:
        if any(u.n_rows is None and not u.shard.error for u in order):
            raise ConfigError(
                "--max-rows must know beforehand how many rows there are, and some of these files "
                "do not say: use --max-units"
            )
        wanted.append(max(1, round(config.max_rows * len(order) / max(1.0, sum(rows_of(order))))))
    return min(wanted)
