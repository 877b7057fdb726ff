"""Shares of two datasheets, level by level: none of those counted is 0, not measured is nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from laion_probe.data_result import ColumnFacts, DataResult, Domains
from laion_probe.datasheet_result import CompositionRow, DatasheetResult
from laion_probe.estimate import difference_independent
from laion_probe.exclusion import Design, share_of_units
from laion_probe.groups import UNKNOWN
from laion_probe.questions.datasheet_tables import CAPTIONS, counted_rows
from laion_probe.results import Estimate, Value

__all__ = [
    "ChangedShare",
    "changed_shares",
    "has_interval",
    "is_gone",
    "is_new",
    "is_of_unknown",
]

_APART = "both counted whole: no sampling error"
_NO_INTERVAL = "one of the two has no interval"
_BOUNDS = "from the least and the most that either can be"
_NONE = "counted whole, and there is none"
_UNLISTED = "not among the domains that are listed: no more than the last of them"
_EQUAL = "row groups taken to be of equal size"
_KNOWN = "of those whose level is known; where sampled, from the ends of both intervals"
#: What rows whose key another row before them has too are called.
_REPEATS = {
    "url": "rows that repeat an address",
    "text": "rows that repeat a caption",
    "url and text": "rows that repeat both address and caption",
}
#: What it is that holds a contact, by its column.
_HOLDERS = {"text": "captions", "url": "addresses"}

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
    cannot tell. The ``known_`` ones are of the rows whose level is known, where in one of the two
    some are not: a share of all rows rises if nothing but *unknown* drops out.
    """

    kind: str  # "composition", "domain", "missing", "repeated", "at least" or "contact"
    concept: str
    stage: str
    attribute: str  # the column, of what is missing; in words, of what else was counted
    level: str
    labels: str
    before: Estimate | None
    after: Estimate | None
    count_before: tuple[int, int] | None = None
    count_after: tuple[int, int] | None = None
    difference: Estimate | None
    differs: bool | None
    known_before: Estimate | None = None
    known_after: Estimate | None = None
    known_difference: Estimate | None = None

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
            change = _changed(key, level, before.of(level), after.of(level))
            found.append(_of_known(change, before, after))
    return tuple(sorted(found, key=_size, reverse=True))


def is_gone(c: ChangedShare) -> bool:
    """Whether the level was there before, and is there no more for sure."""
    return bool(c.differs and c.after is not None and c.after.value == 0)


def is_new(c: ChangedShare) -> bool:
    """Whether the level was not there before for sure, and is now."""
    return bool(c.differs and c.before is not None and c.before.value == 0)


def is_of_unknown(c: ChangedShare) -> bool:
    """Whether the share differs only since *unknown* does: among those known it does not."""
    known = c.known_difference
    if not c.differs or known is None or known.value is None:
        return False
    if known.low is None or known.high is None:
        return known.value == 0
    return known.low <= 0 <= known.high


def has_interval(c: ChangedShare) -> bool:
    """Whether sampling gives the difference an interval: bounds are none."""
    found = c.difference
    return found is not None and found.value is not None and found.low != found.high


def _variables(sheet: DatasheetResult, data: DataResult | None) -> _Variables:
    found: dict[tuple[str, str, str, str, str], _Measured] = {}
    if data is not None:
        full, nobody = data.reading.full, _none(data)
        for c in data.columns:
            if c.missing is not None:
                key = ("missing", "", "all", c.serves or c.name, "counted")
                found.setdefault(key, _Measured({"missing": _missing(c, full)}))
        found.update(_counted(data))
        for group in data.groups:
            key = ("composition", "", "captions", group.name, CAPTIONS)
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


def _counted(data: DataResult) -> _Variables:
    """Exact duplicates, scores at the thresholds of LAION, and ways to reach somebody."""
    full = data.reading.full
    found: dict[tuple[str, str, str, str, str], _Measured] = {}
    for x in data.repeated:
        # of keys that were followed one in so many, the counts are not those of rows
        count = (x.n_rows - x.n_distinct, x.n_rows) if x.one_in == 1 else None
        key = ("repeated", "", "all", _REPEATS.get(x.key, f"rows that repeat {x.key}"), "counted")
        found[key] = _Measured({"repeated": _Level(_whole(x.repeated, full), count)})
    for score in data.scores:
        for y in score.at_least:
            level = f"{y.threshold:g} or more"
            key = ("at least", "", "all", f"{score.name} of {level}", "counted")
            found[key] = _Measured({level: _Level(_whole(y.share, full), (y.n, score.n))})
    for z in data.contacts:
        holder = _HOLDERS.get(z.column, z.column)
        key = ("contact", "", "all", f"{holder} with {z.title}", "counted")
        found[key] = _Measured({z.title: _Level(_whole(z.share, full), (z.n, z.share.n))})
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
    n = counted_rows(rows)
    levels = {
        row.level: _Level(_whole(row.estimate, full), None if n is None else (row.count or 0, n))
        for row in rows
    }
    if n is None:
        return _Measured(levels)
    exact = all(x.share.low is not None and x.share.low == x.share.high for x in levels.values())
    end = 0.0 if exact else None
    zero = Estimate(value=0.0, low=end, high=end, n=n, units=0, method=_NONE)
    return _Measured(levels, _Level(zero, (0, n)))


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


def _of_known(c: ChangedShare, before: _Measured, after: _Measured) -> ChangedShare:
    """The change with its shares of the rows whose level is known, if some rows' is not."""
    unknown = _unknown(c)
    if c.kind != "composition" or c.level == unknown:
        return c
    both = before.of(unknown), after.of(unknown)
    if not any(level is not None and level.share.value for level in both):
        return c
    shares = _known(before.of(c.level), both[0]), _known(after.of(c.level), both[1])
    found = {"known_before": shares[0], "known_after": shares[1]}
    if shares[0] is not None and shares[1] is not None:
        found["known_difference"] = _difference(shares[0], shares[1])
    return c.model_copy(update=found)


def _unknown(c: ChangedShare) -> str:
    """The level of those of which nothing can be told."""
    return "und" if c.attribute.startswith("language:") else UNKNOWN


def _known(one: _Level | None, unknown: _Level | None) -> Estimate | None:
    """A share among those whose level is known; None where none is, or it was not measured."""
    if one is None or unknown is None or one.share.value is None or unknown.share.value is None:
        return None
    if unknown.share.value >= 1:
        return None
    n = one.share.n
    value = min(1.0, one.share.value / (1 - unknown.share.value))
    if one.count is not None and unknown.count is not None:
        n = one.count[1] - unknown.count[0]
        value = one.count[0] / n
    ends: list[float | None] = []
    for share, other in ((one.share.low, unknown.share.low), (one.share.high, unknown.share.high)):
        if share is None or other is None:
            ends.append(None)
        else:
            ends.append(min(1.0, share / (1 - other)) if other < 1 else 1.0)
    if one.share.low == one.share.high and unknown.share.low == unknown.share.high:
        ends = [value if end is not None else None for end in ends]
    update = {"value": value, "low": ends[0], "high": ends[1], "n": n, "method": _KNOWN}
    return one.share.model_copy(update=update)


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


def _size(change: ChangedShare) -> tuple[bool, bool, bool, float]:
    """Changes that are there for sure first, by size; last what only one has, by its share.

    Where the level of some rows is not known, a change is as large as both say that it is: of all
    rows, and of those known. What is not known itself comes after that.
    """
    difference = change.difference
    told = change.level != _unknown(change)
    if difference is None:
        return False, False, told, next(_values(change), 0.0)
    size = difference.value
    if size is None and change.differs:
        size = min(abs(difference.low or 0.0), abs(difference.high or 0.0))
    size = size or 0.0
    if change.known_difference is not None and change.known_difference.value is not None:
        known = change.known_difference.value
        size = min(abs(size), abs(known)) if size * known > 0 else 0.0
    return bool(change.differs), True, told, abs(size)


def _values(change: ChangedShare) -> Iterator[float]:
    for estimate in (change.before, change.after):
        if estimate is not None and estimate.value is not None:
            yield estimate.value
