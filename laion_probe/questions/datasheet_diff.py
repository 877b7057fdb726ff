"""What changed between two datasheets: what a filter did, or a new release."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from laion_probe import __version__
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.data_result import ColumnFacts, DataResult
from laion_probe.datasheet_result import Answer, CompositionRow, DatasheetResult
from laion_probe.errors import ConfigError
from laion_probe.estimate import difference_independent
from laion_probe.questions.datasheet_files import read_datasheet
from laion_probe.questions.opening_runs import open_result
from laion_probe.results import Document, Estimate, Value

__all__ = [
    "ChangedAnswer",
    "ChangedCount",
    "ChangedShare",
    "DatasheetDiff",
    "datasheet_diff",
    "is_diff",
]

_WORD = "diff"
_TOLD = 8  # changes that are printed
_APART = "both counted whole: no sampling error"
_NO_INTERVAL = "one of the two has no interval"


class ChangedCount(Value):
    """A number of the two sets; None where one does not have it."""

    what: str
    before: int | None
    after: int | None


class ChangedShare(Value):
    """A share of the two sets; ``difference`` is after minus before.

    ``differs``: the difference is not zero and its interval, if sampling gives it one, leaves zero
    out; None where these data cannot tell, or one of the sets does not have the share.
    """

    kind: str  # "composition" or "missing"
    concept: str
    stage: str
    attribute: str  # the column, of what is missing
    level: str
    labels: str
    before: Estimate | None
    after: Estimate | None
    difference: Estimate | None
    differs: bool | None


class ChangedAnswer(Value):
    """A question that the two answer in different ways, or with different words of a person."""

    id: str
    question: str
    before: str  # measured, person, both, unanswered
    after: str


class DatasheetDiff(Document):
    """What changed from one datasheet to another; the largest changes of shares come first."""

    before: str
    after: str
    data_note: str
    counts: tuple[ChangedCount, ...]
    only_before: tuple[str, ...]  # columns
    only_after: tuple[str, ...]
    filters_before: tuple[str, ...]  # recipes that the rows had passed
    filters_after: tuple[str, ...]
    shares: tuple[ChangedShare, ...]
    answers: tuple[ChangedAnswer, ...]
    finding: tuple[str, ...]
    cannot_say: tuple[str, ...]
    version: str
    command: str


def is_diff(config: DatasheetConfig) -> bool:
    """Whether ``laion-probe datasheet diff A B`` was asked for.

    Raises `ConfigError` where there are not two.

    >>> is_diff(DatasheetConfig(shards=("diff", "old", "new")))
    True
    """
    if config.shards[:1] != (_WORD,):
        return False
    if len(config.shards) != 3:
        raise ConfigError("datasheet diff compares two datasheets: name the folders of both")
    return True


def datasheet_diff(before: Path, after: Path) -> DatasheetDiff:
    """Compare the datasheets of two folders.

    Shares are matched by concept, stage, attribute, level and labels. Where both were sampled, the
    interval of a difference is that of independent samples; where the one set is part of the other
    it is wider than need be. Raises `ConfigError` where a folder holds no datasheet.

    >>> datasheet_diff(Path("before"), Path("after")).finding[0]  # doctest: +SKIP
    'rows: 1,800 before, 205 after (−88.6 %)'
    """
    a, b = read_datasheet(before), read_datasheet(after)
    data = _data(before, a), _data(after, b)
    shares = [*_missing(*data), *_compositions(a, b)]
    shares.sort(key=_size, reverse=True)
    counts = tuple(_counts(a, b, data))
    columns = [{c.name for c in d.columns} if d else set() for d in data]
    answers = tuple(_answers(a, b))
    only = [tuple(sorted(x - y)) for x, y in (columns, columns[::-1])]
    names = _name(before, a), _name(after, b)
    passed = [tuple(one.recipe for one in x.lineage if one.already) for x in (a, b)]
    result = DatasheetDiff(
        before=names[0],
        after=names[1],
        data_note=" ".join(dict.fromkeys(n for n in (a.data_note, b.data_note) if n)),
        counts=counts,
        only_before=only[0],
        only_after=only[1],
        filters_before=passed[0],
        filters_after=passed[1],
        shares=tuple(shares),
        answers=answers,
        finding=(),
        cannot_say=(
            "Why a share changed: two datasheets say that it did.",
            "Differences have intervals as if the two were drawn independently; where the one is "
            "part of the other these are wider than need be.",
        ),
        version=__version__,
        command=shlex.join(["laion-probe", "datasheet", _WORD, before.name, after.name]),
    )
    return result.model_copy(update={"finding": tuple(_finding(result))})


def _name(folder: Path, sheet: DatasheetResult) -> str:
    return sheet.about.name or folder.resolve().name


def _data(folder: Path, sheet: DatasheetResult) -> DataResult | None:
    """What the shards of a datasheet hold, where they were counted."""
    for evidence in sheet.evidence:
        if evidence.kind == "data":
            file = folder / evidence.file
            _, found = open_result(file)
            if isinstance(found, DataResult):
                return found
            raise ConfigError(f"{file} is no count of shards: make the datasheet of {folder} anew")
    return None


def _counts(
    a: DatasheetResult, b: DatasheetResult, data: tuple[DataResult | None, DataResult | None]
) -> Iterator[ChangedCount]:
    yield ChangedCount(what="rows", before=a.n_rows, after=b.n_rows)
    one, two = data
    for what, field in (("files", "n_files"), ("bytes", "n_bytes")):
        yield ChangedCount(
            what=what,
            before=getattr(one, field) if one else None,
            after=getattr(two, field) if two else None,
        )
    domains = [d.domains.n_distinct if d and d.domains else None for d in data]
    yield ChangedCount(what="registered domains", before=domains[0], after=domains[1])
    answered = [sum(s.n_answered for s in x.sections) for x in (a, b)]
    yield ChangedCount(what="questions answered", before=answered[0], after=answered[1])


def _missing(a: DataResult | None, b: DataResult | None) -> Iterator[ChangedShare]:
    """Missing values, by column."""
    if a is None or b is None:
        return

    def known(found: DataResult) -> dict[str, ColumnFacts]:
        return {c.serves or c.name: c for c in found.columns if c.missing is not None}

    one, two = known(a), known(b)
    for name in [n for n in one if n in two]:
        x, y = one[name].missing, two[name].missing
        if x is not None and y is not None:
            key = ("missing", "", "all", name, "missing", "counted")
            yield _changed(key, _whole(x, a.reading.full), _whole(y, b.reading.full))


_Key = tuple[str, str, str, str, str, str]


def _compositions(a: DatasheetResult, b: DatasheetResult) -> Iterator[ChangedShare]:
    one, two = _rows(a), _rows(b)
    for key in dict.fromkeys((*one, *two)):
        yield _changed(key, one.get(key), two.get(key))


def _rows(sheet: DatasheetResult) -> dict[_Key, Estimate]:
    """Composition rows by what they are of; the first where several runs have the same."""
    full = {e.id: e.full for e in sheet.evidence}
    found: dict[_Key, Estimate] = {}
    for row in sheet.compositions:
        key = ("composition", row.concept, row.stage, row.attribute, row.level, row.labels)
        found.setdefault(key, _whole(_estimate(row), full[row.evidence]))
    return found


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


def _changed(key: _Key, before: Estimate | None, after: Estimate | None) -> ChangedShare:
    kind, concept, stage, attribute, level, labels = key
    difference = _difference(before, after) if before and after else None
    differs: bool | None = None
    if difference is not None and difference.value is not None:
        low, high = difference.low, difference.high
        if low is not None and high is not None:
            differs = low > 0 or high < 0
    return ChangedShare(
        kind=kind,
        concept=concept,
        stage=stage,
        attribute=attribute,
        level=level,
        labels=labels,
        before=before,
        after=after,
        difference=difference,
        differs=differs,
    )


def _difference(before: Estimate, after: Estimate) -> Estimate:
    found = difference_independent(before, after)
    if found.value is not None:
        exact = before.low == before.high and after.low == after.high
        return found.model_copy(update={"method": _APART}) if exact else found
    if before.value is None or after.value is None:
        return found
    # one was sampled in so few units that it has no interval
    value = after.value - before.value
    return found.model_copy(update={"value": value, "method": _NO_INTERVAL})


def _size(change: ChangedShare) -> tuple[bool, float]:
    """Changes that are there for sure first, by size; then what only one has, by its share."""
    one = change.difference or change.before or change.after
    return bool(change.differs), abs(one.value or 0.0) if one else 0.0


def _answers(a: DatasheetResult, b: DatasheetResult) -> Iterator[ChangedAnswer]:
    one, two = ({x.id: x for s in sheet.sections for x in s.answers} for sheet in (a, b))
    for id, x in one.items():
        y = two.get(id)
        if y is not None and (x.status != y.status or x.person != y.person):
            yield ChangedAnswer(id=id, question=x.question, before=x.status, after=_after(x, y))


def _after(x: Answer, y: Answer) -> str:
    """The later status, and that its words are others where the status is the same."""
    return y.status if x.status != y.status else f"{y.status}, in other words"


def _finding(d: DatasheetDiff) -> Iterator[str]:
    for c in d.counts:
        if c.before is not None and c.after is not None and c.before != c.after:
            more = f" ({100 * (c.after / c.before - 1):+.1f} %)" if c.before else ""
            yield f"{c.what}: {c.before:,} before, {c.after:,} after{more.replace('-', '−')}"
    for what, names in (("only before", d.only_before), ("only after", d.only_after)):
        if names:
            yield f"columns {what}: {', '.join(names)}"
    if d.filters_before != d.filters_after:
        before, after = (", ".join(f) or "none known" for f in (d.filters_before, d.filters_after))
        yield f"filters that the rows had passed: {before} before, {after} after"
    sure = [share for share in d.shares if share.differs]
    for share in sure[:_TOLD]:
        yield _told(share)
    if len(sure) > _TOLD:
        yield f"{len(sure) - _TOLD} more shares differ"
    if not sure:
        yield "no share is shown to differ"
    for when, only in (
        ("before", [c for c in d.shares if c.after is None and c.before]),
        ("after", [c for c in d.shares if c.before is None and c.after]),
    ):
        if only:
            levels = [f"{c.attribute} “{c.level}”" for c in only]
            yield f"{len(only)} levels only {when}: {_listed(levels)}"
    told = [a.id for a in d.answers if "unanswered" in (a.before, a.after)]
    if told:
        yield f"answered in one of the two only: {_listed(told)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _told(c: ChangedShare) -> str:
    before, after, difference = c.before, c.after, c.difference
    assert before is not None and after is not None and difference is not None
    values = [100 * (e.value or 0.0) for e in (before, after, difference)]
    of = f"{c.attribute} “{c.level}”" if c.kind == "composition" else f"missing {c.attribute}"
    where = "" if c.kind == "missing" else f", {c.stage}"
    where += f" of “{c.concept}”" if c.concept else ""
    interval = ""
    low, high = difference.low, difference.high
    if low is not None and high is not None and low < high:
        interval = f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    said = f"{values[2]:+.1f} points{interval}".replace("-", "−")
    return f"{of}{where}: {values[0]:.1f} % before, {values[1]:.1f} % after ({said})"
