"""Shares of two datasheets, level by level: none of those counted is 0, not measured is nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from laion_probe.data_result import ColumnFacts, DataResult, Domains
from laion_probe.datasheet_result import CompositionRow, DatasheetResult
from laion_probe.estimate import difference_independent
from laion_probe.exclusion import Design, share_of_units
from laion_probe.results import Estimate, Value

__all__ = ["ChangedShare", "changed_shares", "is_gone", "is_new"]

_APART = "both counted whole: no sampling error"
_NO_INTERVAL = "one of the two has no interval"
_BOUNDS = "from the least and the most that either can be"
_NONE = "counted whole, and there is none"
_UNLISTED = "not among the domains that are listed: no more than the last of them"
_EQUAL = "row groups taken to be of equal size"
_CAPTIONS = "what captions and addresses say"

#: Rows (or pictures) of a level, and those that its share is of.
_Count = tuple[int, int]


class ChangedShare(Value):
    """A share of the two sets; ``difference`` is after minus before.

    ``before`` or ``after`` is None where that datasheet did not measure the variable, or has no
    number of the level: that is not 0. A level that was counted and not found is 0, exactly so
    where everything was read. ``count_before`` and ``count_after`` are the rows (or pictures) of
    the level and those that its share is of, None where they were not counted.
    ``differs``: the difference is not zero and its interval, if sampling gives it one, leaves zero
    out, or rows were seen in the one and the other, counted whole, has none; None where these data
    cannot tell.
    """

    kind: str  # "composition", "missing" or "domain"
    concept: str
    stage: str
    attribute: str  # the column, of what is missing
    level: str
    labels: str
    before: Estimate | None
    after: Estimate | None
    count_before: tuple[int, int] | None = None
    count_after: tuple[int, int] | None = None
    difference: Estimate | None
    differs: bool | None

    @property
    def variable(self) -> tuple[str, str, str, str, str]:
        """What it is a level of: the shares of one variable belong into one table."""
        return self.kind, self.concept, self.stage, self.attribute, self.labels


@dataclass(frozen=True)
class _Level:
    share: Estimate
    count: _Count | None = None


@dataclass(frozen=True)
class _Measured:
    """A variable by level; ``absent`` is what a level has that is not listed (None: not known)."""

    levels: dict[str, _Level] = field(default_factory=dict)
    absent: _Level | None = None

    def of(self, level: str) -> _Level | None:
        return self.levels.get(level, self.absent)


_Variables = Mapping[tuple[str, str, str, str, str], _Measured]


def changed_shares(
    a: DatasheetResult,
    b: DatasheetResult,
    data: tuple[DataResult | None, DataResult | None],
) -> tuple[ChangedShare, ...]:
    """Every share of ``a`` and ``b``, and of what their shards hold; the largest changes first.

    What only one of the two measured comes last.
    """
    one, two = _variables(a, data[0]), _variables(b, data[1])
    found = []
    for key in dict.fromkeys((*one, *two)):
        if key[0] == "missing" and not (key in one and key in two):
            continue  # a column that only one of them has is named as such
        before, after = one.get(key, _Measured()), two.get(key, _Measured())
        for level in dict.fromkeys((*before.levels, *after.levels)):
            found.append(_changed(key, level, before.of(level), after.of(level)))
    return tuple(sorted(found, key=_size, reverse=True))


def is_gone(c: ChangedShare) -> bool:
    """Whether the level was there before, and is there no more for sure."""
    return bool(c.differs and c.after is not None and c.after.value == 0)


def is_new(c: ChangedShare) -> bool:
    """Whether the level was not there before for sure, and is now."""
    return bool(c.differs and c.before is not None and c.before.value == 0)


def _variables(sheet: DatasheetResult, data: DataResult | None) -> _Variables:
    found: dict[tuple[str, str, str, str, str], _Measured] = {}
    if data is not None:
        full, nobody = data.reading.full, _none(data)
        for c in data.columns:
            if c.missing is not None:
                key = ("missing", "", "all", c.serves or c.name, "counted")
                found.setdefault(key, _Measured({"missing": _missing(c, full)}))
        for group in data.groups:
            key = ("composition", "", "captions", group.name, _CAPTIONS)
            n = data.reading.n_rows_read
            levels = {x.level: _Level(_whole(x.share, full), (x.n, n)) for x in group.levels}
            found[key] = _Measured(levels, nobody)
        if data.domains is not None:
            key = ("domain", "", "addresses", "registered domain", data.domains.source)
            found[key] = _domains(data, data.domains, nobody)
    whole = {e.id: e.full for e in sheet.evidence if e.kind != "data"}
    runs: dict[tuple[str, str, str, str, str], list[CompositionRow]] = {}
    for row in sheet.compositions:
        key = ("composition", row.concept, row.stage, row.attribute, row.labels)
        rows = runs.setdefault(key, [])
        # of several runs that have the same, the first
        if row.evidence in whole and (not rows or rows[0].evidence == row.evidence):
            rows.append(row)
    for key, rows in runs.items():
        if rows:
            found.setdefault(key, _pictures(rows, full=whole[rows[0].evidence]))
    return found


def _missing(c: ColumnFacts, full: bool) -> _Level:
    assert c.missing is not None
    count = None if c.n_missing is None else (c.n_missing, c.n_rows)
    return _Level(_whole(c.missing, full), count)


def _none(data: DataResult) -> _Level:
    """A level that no row has: its share, with what a sample, or rows that failed, leave open."""
    reading, n = data.reading, data.reading.n_rows_read
    levels = [x.share.level for group in data.groups for x in group.levels]
    level = levels[0] if levels else 0.95
    if not reading.full:
        units = reading.n_units_tried - reading.n_units_failed
        sizes = np.full(units, n // max(1, units), dtype=np.int64)
        found = share_of_units(np.zeros_like(sizes), sizes, Design(reading.n_units, level))
        said = {"n": n, "method": f"{found.method}; {_EQUAL}"}
        return _Level(found.model_copy(update=said), (0, n))
    lost = reading.n_rows_failed if reading.n_units_failed else 0
    high = None if lost is None else lost / (n + lost)
    low = None if high is None else 0.0
    found = Estimate(value=0.0, low=low, high=high, level=level, n=n, units=1, method=_NONE)
    return _Level(found, (0, n))


def _domains(data: DataResult, domains: Domains, nobody: _Level) -> _Measured:
    """The listed domains; others have no row, or no more than the last that is listed."""
    full, n = data.reading.full, domains.n_rows
    levels = {x.domain: _Level(_whole(x.share, full), (x.n, n)) for x in domains.top}
    if domains.n_distinct is not None and domains.n_distinct <= len(domains.top):
        return _Measured(levels, nobody)
    lost = data.reading.n_rows_failed if data.reading.n_units_failed else 0
    ends: dict[str, float] = {}
    if full and lost is not None and domains.top:
        most = domains.top[-1].n + domains.missed + lost
        ends = {"low": 0.0, "high": min(1.0, most / (n + lost))}
    empty = Estimate(value=None, low=None, high=None, n=n, units=1, method=_UNLISTED)
    return _Measured(levels, _Level(empty.model_copy(update=ends)))


def _pictures(rows: list[CompositionRow], *, full: bool) -> _Measured:
    """A variable of one run. Where its shares are of the pictures counted, no picture is 0."""
    counts = [row.count for row in rows if row.count is not None]
    n = sum(counts)
    plain = len(counts) == len(rows) and all(
        row.share is not None and abs(row.share * n - (row.count or 0)) < 1e-6 * max(1, n)
        for row in rows
    )
    levels = {
        row.level: _Level(
            _whole(_estimate(row), full),
            (row.count or 0, n) if plain else None,
        )
        for row in rows
    }
    if not plain:
        return _Measured(levels)
    exact = all(x.share.low is not None and x.share.low == x.share.high for x in levels.values())
    end = 0.0 if exact else None
    zero = Estimate(value=0.0, low=end, high=end, n=n, units=0, method=_NONE)
    return _Measured(levels, _Level(zero, (0, n)))


def _estimate(row: CompositionRow) -> Estimate:
    return Estimate(
        value=row.share,
        low=row.low,
        high=row.high,
        level=row.interval_level,
        n=row.count or 0,
        units=0,
        method=row.labels,
    )


def _whole(estimate: Estimate, full: bool) -> Estimate:
    """A count of everything as an interval without width."""
    if full and estimate.low is None and estimate.value is not None:
        ends = {"low": estimate.value, "high": estimate.value}
        return estimate.model_copy(update=ends)
    return estimate


def _changed(
    key: tuple[str, str, str, str, str], level: str, before: _Level | None, after: _Level | None
) -> ChangedShare:
    kind, concept, stage, attribute, labels = key
    difference = _difference(before.share, after.share) if before and after else None
    differs: bool | None = None
    if difference is not None and difference.low is not None and difference.high is not None:
        differs = difference.low > 0 or difference.high < 0
    if before and after and (_only_in(before, after) or _only_in(after, before)):
        differs = True
    return ChangedShare(
        kind=kind,
        concept=concept,
        stage=stage,
        attribute=attribute,
        level=level,
        labels=labels,
        before=before.share if before else None,
        after=after.share if after else None,
        count_before=before.count if before else None,
        count_after=after.count if after else None,
        difference=difference,
        differs=differs,
    )


def _only_in(one: _Level, other: _Level) -> bool:
    """Whether rows of a level were seen in the one, and the other, counted whole, has none.

    That is certain, however few they are in a sample.
    """
    seen = one.count is not None and one.count[0] > 0
    return seen and other.share.value == other.share.low == other.share.high == 0


def _difference(before: Estimate, after: Estimate) -> Estimate:
    found = difference_independent(before, after)
    if found.value is not None:
        exact = before.low == before.high and after.low == after.high
        return found.model_copy(update={"method": _APART}) if exact else found
    if before.value is not None and after.value is not None:
        # one was sampled in so few units that it has no interval
        value = after.value - before.value
        return found.model_copy(update={"value": value, "method": _NO_INTERVAL})
    ends = (before.low, before.high, after.low, after.high)
    if ends[0] is None or ends[1] is None or ends[2] is None or ends[3] is None:
        return found
    bounds = {"low": ends[2] - ends[1], "high": ends[3] - ends[0], "method": _BOUNDS}
    return found.model_copy(update=bounds)


def _size(change: ChangedShare) -> tuple[bool, bool, float]:
    """Changes that are there for sure first, by size; last what only one has, by its share."""
    difference = change.difference
    if difference is None:
        return False, False, next(_values(change), 0.0)
    size = difference.value
    if size is None and change.differs:
        size = min(abs(difference.low or 0.0), abs(difference.high or 0.0))
    return bool(change.differs), True, abs(size or 0.0)


def _values(change: ChangedShare) -> Iterator[float]:
    for estimate in (change.before, change.after):
        if estimate is not None and estimate.value is not None:
            yield estimate.value
