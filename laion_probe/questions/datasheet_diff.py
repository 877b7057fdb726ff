"""What changed between two datasheets: what a filter did, or a new release."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from laion_probe import __version__
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.data_result import DataResult
from laion_probe.datasheet_result import Answer, DatasheetResult
from laion_probe.errors import ConfigError
from laion_probe.questions.datasheet_changes import ChangedShare, changed_shares, has_interval
from laion_probe.questions.datasheet_data_groups import is_complete
from laion_probe.questions.datasheet_diff_words import listed, only_in_one, share_lines
from laion_probe.questions.datasheet_files import as_given, read_datasheet, read_evidence
from laion_probe.questions.datasheet_scores import ChangedScore, changed_scores, median_words
from laion_probe.questions.opening_runs import opened
from laion_probe.results import Document, Value

__all__ = [
    "ChangedAnswer",
    "ChangedCount",
    "DatasheetDiff",
    "datasheet_diff",
    "is_diff",
]

_WORD = "diff"
_ANSWERED = "questions answered"
_ALWAYS = (
    "Why a share changed: two datasheets say that it did.",
    "Whether there is none at all: a level at 0 % was looked for by the same lists and "
    "detectors, and found in none of the rows that were read.",
)
_APART = (
    "Differences have intervals as if the two were drawn independently; where the one is "
    "part of the other these are wider than need be."
)
_NO_MEDIAN = (
    "How quantiles differ: one of the two was read in part, and quantiles of a sample have no "
    "interval."
)


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
    scores: tuple[ChangedScore, ...] = ()
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
    answers = tuple(_answers(a, b))
    only = _columns(*data)
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
        scores=changed_scores(*data),
        answers=answers,
        finding=(),
        cannot_say=(),
        version=__version__,
        command=shlex.join(
            ["laion-probe", "datasheet", _WORD, as_given(str(before)), as_given(str(after))]
        ),
    )
    said = {"finding": tuple(_finding(result)), "cannot_say": tuple(_cannot_say(result))}
    return result.model_copy(update=said)


def _columns(a: DataResult | None, b: DataResult | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of the one alone and of the other; none where only one of the two was counted."""
    if a is None or b is None:
        return (), ()
    one, two = ({c.name for c in d.columns} for d in (a, b))
    return tuple(sorted(one - two)), tuple(sorted(two - one))


def _name(folder: Path, sheet: DatasheetResult) -> str:
    return sheet.about.name or folder.resolve().name


def _data(folder: Path, sheet: DatasheetResult) -> DataResult | None:
    """What the shards of a datasheet hold, where they were counted."""
    for evidence in sheet.evidence:
        if evidence.kind == "data":
            file = folder / evidence.file
            _, found = opened(read_evidence(folder, evidence), str(file))
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
    # of a part of the rows it counts fewer than there are, and is no number of the set
    domains = [d.domains.n_distinct if d and d.domains and is_complete(d) else None for d in data]
    yield ChangedCount(what="registered domains", before=domains[0], after=domains[1])
    answered = [sum(s.n_answered for s in x.sections) for x in (a, b)]
    yield ChangedCount(what=_ANSWERED, before=answered[0], after=answered[1])


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
            relative = c.before and c.what != _ANSWERED
            more = f" ({100 * (c.after / c.before - 1):+.1f} %)" if relative else ""
            yield f"{c.what}: {c.before:,} before, {c.after:,} after{more.replace('-', '−')}"
    for what, names in (("only before", d.only_before), ("only after", d.only_after)):
        if names:
            yield f"columns {what}: {', '.join(names)}"
    if d.filters_before != d.filters_after:
        before, after = (", ".join(f) or "none known" for f in (d.filters_before, d.filters_after))
        yield f"filters that the rows had passed: {before} before, {after} after"
    yield from share_lines(d.shares)
    if medians := list(median_words(d.scores)):
        yield f"medians: {'; '.join(medians)}"
    yield from only_in_one(d.shares)
    told = [a.id for a in d.answers if "unanswered" in (a.before, a.after)]
    if told:
        yield f"answered in one of the two only: {listed(told)}"


def _cannot_say(d: DatasheetDiff) -> Iterator[str]:
    yield from _ALWAYS
    if any(has_interval(c) and c.difference and c.difference.low is not None for c in d.shares):
        yield _APART
    if any(s.before and s.after and not s.whole for s in d.scores):
        yield _NO_MEDIAN
