"""What changed between two datasheets: what a filter did, or a new release."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from laion_probe import __version__
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.data_result import DataResult
from laion_probe.datasheet_result import Answer, DatasheetResult
from laion_probe.errors import ConfigError
from laion_probe.groups import NONE_NAMED, UNKNOWN
from laion_probe.questions.datasheet_changes import (
    ChangedShare,
    changed_shares,
    is_gone,
    is_new,
)
from laion_probe.questions.datasheet_files import as_given, read_datasheet
from laion_probe.questions.opening_runs import open_result
from laion_probe.results import Document, Estimate, Value
from laion_probe.scripts import MIXED, NO_LETTERS

__all__ = [
    "ChangedAnswer",
    "ChangedCount",
    "DatasheetDiff",
    "datasheet_diff",
    "is_diff",
]

_WORD = "diff"
_TOLD = 8  # changes that are printed
_GONE = 20  # levels of one variable that are printed as gone


#: Levels of captions that name nobody, or of which nothing can be told.
_RESTS = (UNKNOWN, NONE_NAMED, "no person named", "not found", "und")
_NO_LEVEL = (("script", NO_LETTERS), ("script", MIXED))
#: Variables that have many levels and are of no people.
_PLACES = ("language", "script", "tld", "registered domain")


class ChangedCount(Value):
    """A number of the two sets; None where one does not have it."""

    what: str
    before: int | None
    after: int | None


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
        shares=changed_shares(a, b, data),
        answers=answers,
        finding=(),
        cannot_say=(
            "Why a share changed: two datasheets say that it did.",
            "Whether there is none at all: a level at 0 % was looked for by the same lists and "
            "detectors, and found in none of the rows that were read.",
            "Differences have intervals as if the two were drawn independently; where the one is "
            "part of the other these are wider than need be.",
        ),
        version=__version__,
        command=shlex.join(
            ["laion-probe", "datasheet", _WORD, as_given(str(before)), as_given(str(after))]
        ),
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
    yield from _gone_or_new(d)
    sure = [c for c in d.shares if c.differs]
    others = [c for c in sure if not ((is_gone(c) or is_new(c)) and _is_told(c))]
    for share in others[:_TOLD]:
        yield _told(share)
    if len(others) > _TOLD:
        yield f"{len(others) - _TOLD} more shares differ"
    if not sure:
        yield "no share is shown to differ"
    for when, only in (
        ("after", [c for c in d.shares if c.after is None and c.before]),
        ("before", [c for c in d.shares if c.before is None and c.after]),
    ):
        if only:
            yield f"not measured {when}, which is not zero: {_listed(_variables(only))}"
    told = [a.id for a in d.answers if "unanswered" in (a.before, a.after)]
    if told:
        yield f"answered in one of the two only: {_listed(told)}"


def _gone_or_new(d: DatasheetDiff) -> Iterator[str]:
    """What was erased altogether, and what is there for the first time: a line a variable.

    However small their shares were, no change is larger for those whom it erases. Groups of people
    come before languages and places; what names nobody is left to the table.
    """
    for what, told, mine, other in _WENT_OR_CAME:
        by: dict[str, list[ChangedShare]] = {}
        for c in d.shares:
            if told(c) and _is_told(c):
                by.setdefault(_variable(c), []).append(c)
        for variable in sorted(by, key=lambda v: v.startswith(_PLACES)):
            levels = sorted(by[variable], key=lambda c: -_share(c, mine))
            names = [f"“{c.level}” {_counted(c, mine)}" for c in levels]
            listed = _listed(names, _TOLD if variable.startswith(_PLACES) else _GONE)
            ends = [_of(levels[0], when) for when in (mine, other)]
            yield f"{what}, of {variable}: {listed}{ends[0]}; none{ends[1]}"


def _is_told(c: ChangedShare) -> bool:
    """Whether a level is somebody or something: not what is missing, nor those who named none."""
    return c.kind != "missing" and c.level not in _RESTS and (c.attribute, c.level) not in _NO_LEVEL


def _is_unseen(c: ChangedShare) -> bool:
    """Whether a level that was there was not found afterwards, where it may still be."""
    here = c.before is not None and bool(c.before.value)
    return here and not c.differs and c.count_after is not None and c.count_after[0] == 0


#: What a line begins with, of which shares, and which of the two has them and which has none.
_WENT_OR_CAME: tuple[tuple[str, Callable[[ChangedShare], bool], str, str], ...] = (
    ("gone altogether", is_gone, "before", "after"),
    ("new", is_new, "after", "before"),
    ("not found after, but rows that were not read may have it", _is_unseen, "before", "after"),
)


def _share(c: ChangedShare, when: str) -> float:
    found: Estimate | None = getattr(c, when)
    return 0.0 if found is None else found.value or 0.0


def _counted(c: ChangedShare, when: str) -> str:
    """How many there were, else their share."""
    count: tuple[int, int] | None = getattr(c, f"count_{when}")
    return f"{100 * _share(c, when):.1f} %" if count is None else f"{count[0]:,}"


def _of(c: ChangedShare, when: str) -> str:
    """Of how many, and when."""
    count: tuple[int, int] | None = getattr(c, f"count_{when}")
    return f" {when}" if count is None else f" of {count[1]:,} {when}"


def _variable(c: ChangedShare) -> str:
    """What a level is of, in words."""
    of = f" of “{c.concept}”" if c.concept else ""
    return c.attribute if c.kind == "domain" else f"{c.attribute} ({c.stage}{of})"


def _variables(shares: Sequence[ChangedShare]) -> list[str]:
    """The attributes, and at how many stages each."""
    stages: dict[tuple[str, str], set[str]] = {}
    for c in shares:
        stages.setdefault((c.attribute, c.concept), set()).add(c.stage)
    return [
        attribute
        + (f" of “{concept}”" if concept else "")
        + (f" ({len(at)} stages)" if len(at) > 1 else "")
        for (attribute, concept), at in stages.items()
    ]


def _listed(names: Sequence[str], most: int = _TOLD) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _told(c: ChangedShare) -> str:
    """A share that differs, in words; a difference of bounds has no middle."""
    of = f"missing {c.attribute}" if c.kind == "missing" else f"{c.attribute} “{c.level}”"
    where = f", {c.stage}" if c.kind == "composition" else ""
    where += f" of “{c.concept}”" if c.concept else ""
    assert c.difference is not None
    ends = [100 * end for end in (c.difference.low or 0.0, c.difference.high or 0.0)]
    if c.difference.value is None:
        said = f"by {ends[0]:+.1f} to {ends[1]:+.1f} points".replace("-", "−")
        return f"{of}{where}: changed {said}"
    interval = f" [{ends[0]:+.1f}, {ends[1]:+.1f}]" if ends[0] < ends[1] else ""
    points = f"{100 * c.difference.value:+.1f} points{interval}".replace("-", "−")
    values = [100 * _share(c, when) for when in ("before", "after")]
    return f"{of}{where}: {values[0]:.1f} % before, {values[1]:.1f} % after ({points})"
