"""``diff.md`` and ``diff.html`` of two datasheets, drawn from what `datasheet_diff` found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from laion_probe.questions.datasheet_changes import ChangedShare, is_gone, is_new, is_of_unknown
from laion_probe.questions.datasheet_diff import DatasheetDiff
from laion_probe.questions.datasheet_diff_words import points_words
from laion_probe.questions.datasheet_files import write_file
from laion_probe.questions.datasheet_scores import quantile_words, score_words, shown
from laion_probe.render import text
from laion_probe.render.card_markdown import md
from laion_probe.render.card_words import stage_words
from laion_probe.render.datasheet_blocks import (
    attribute_words,
    level_of,
    share_of,
    shown_share,
)
from laion_probe.render.html import environment, page
from laion_probe.results import Estimate

__all__ = ["diff_html", "diff_markdown", "render_datasheet_diff"]

_OPEN = 12  # rows of a table; the others are folded
#: What is counted of rows beside compositions, in one table a kind, and what the shares are of.
_COUNTED = {
    "missing": ("Missing values", "the rows of files that have the column"),
    "repeated": ("Exact duplicates", "the rows that have the address or the caption"),
    "at least": ("Scores at the thresholds of LAION", "the rows that have the score"),
    "contact": ("Ways to reach somebody", "the captions or addresses that are not blank"),
}


@dataclass(frozen=True)
class Compared:
    """The shares of one variable: ``open`` rows, and those that are folded below them."""

    title: str
    of: str  # what the shares are of
    labels: str
    only: str  # which of the two did not measure it, or ''
    open: tuple[ChangedShare, ...]
    folded: tuple[ChangedShare, ...]


def render_datasheet_diff(result: DatasheetDiff, folder: Path) -> None:
    """Write ``diff.md``, ``diff.html`` and ``diff.json``; the same result gives the same bytes.

    Raises `ConfigError` where the folder cannot be written to.
    """
    result = DatasheetDiff.from_json(result.to_json())
    write_file(folder / "diff.md", diff_markdown(result))
    write_file(folder / "diff.html", diff_html(result))
    write_file(folder / "diff.json", result.to_json())


def diff_html(result: DatasheetDiff) -> str:
    """The page, which asks the network for nothing."""
    env = environment()
    env.globals.update(shown=_shown, counted=_counted, points=_points, said=_differs, level=_level)
    env.globals.update(known=_known, score=score_words, quantile=quantile_words, plain=_plain)
    values = {"r": result, "tables": _tables(result), "brackets": _brackets(result)}
    return page(env, "datasheet_diff.html.j2", values)


def diff_markdown(result: DatasheetDiff) -> str:
    """The same as Markdown."""
    return "\n".join(_lines(result)) + "\n"


def _tables(r: DatasheetDiff) -> list[Compared]:
    """A table a variable: the one with the largest change first, what only one has last."""
    found: dict[tuple[str, ...], list[ChangedShare]] = {}
    for c in r.shares:
        key = (c.kind,) if c.kind in _COUNTED else c.variable
        found.setdefault(key, []).append(c)
    tables = [_table(shares) for shares in found.values()]
    return sorted(tables, key=lambda table: bool(table.only))


def _table(shares: list[ChangedShare]) -> Compared:
    one = shares[0]
    if one.kind in _COUNTED:
        title, of = _COUNTED[one.kind]
    else:
        stage = "" if one.stage in ("captions", "addresses") else f", {stage_words(one.stage)}"
        title = attribute_words(one.attribute, one.concept) + stage
        of = share_of(one.stage, one.labels)
    n = [
        next((count[1] for count in counts if count is not None), None)
        for counts in ([c.count_before for c in shares], [c.count_after for c in shares])
    ]
    if one.kind not in _COUNTED and (n[0] is not None or n[1] is not None):
        ends = [
            "" if k is None else f"{text.count(k)} {when}"
            for k, when in zip(n, ("before", "after"), strict=True)
        ]
        of += f" ({', '.join(end for end in ends if end)})"
    only = "after" if all(c.after is None for c in shares) else ""
    only = "before" if all(c.before is None for c in shares) else only
    n_open = len(shares) if len(shares) <= _OPEN + _OPEN // 3 else _OPEN
    return Compared(
        title=title,
        of=f"Shares are of {of}.",
        labels="" if one.kind in _COUNTED else one.labels,
        only=only,
        open=() if only else tuple(shares[:n_open]),
        folded=tuple(shares if only else shares[n_open:]),
    )


def _lines(r: DatasheetDiff) -> Iterator[str]:
    yield f"# Datasheets compared: {md(r.before)} and {md(r.after)}"
    yield ""
    if r.data_note:
        yield f"> **About the data.** {md(r.data_note)}"
        yield ""
    yield from (f"- {md(line)}" for line in r.finding)
    yield ""
    yield "| Number | Before | After |"
    yield "| --- | ---: | ---: |"
    for c in r.counts:
        ends = ["not counted" if n is None else text.count(n) for n in (c.before, c.after)]
        yield f"| {c.what} | {ends[0]} | {ends[1]} |"
    yield ""
    yield "## Shares"
    yield ""
    yield (
        f"Differences are in points, those that are there for sure first. {_brackets(r)}A share "
        "without brackets is a count of everything that was read. *Not measured* is not 0."
    )
    yield ""
    for table in _tables(r):
        yield from _compared(table)
    yield from _scores(r)
    if r.answers:
        yield "## Questions"
        yield ""
        yield "| Question | Before | After |"
        yield "| --- | --- | --- |"
        yield from (f"| {md(a.question)} | {a.before} | {a.after} |" for a in r.answers)
        yield ""
    yield "## What this cannot say"
    yield ""
    yield from (f"- {md(line)}" for line in r.cannot_say)


def _scores(r: DatasheetDiff) -> Iterator[str]:
    """The medians, and all quantiles folded."""
    if not r.scores:
        return
    yield "## Sizes and scores"
    yield ""
    yield "Medians of the rows that have the number; values have three significant digits."
    yield ""
    yield "| Median | Before | After |"
    yield "| --- | ---: | ---: |"
    for s in r.scores:
        ends = [
            "not measured" if n is None else f"{_plain(value)} (of {text.count(n)} rows)".strip()
            for value, n in zip(s.medians, (s.n_before, s.n_after), strict=True)
        ]
        yield f"| {md(score_words(s))} | {ends[0]} | {ends[1]} |"
    yield ""
    for s in r.scores:
        yield f"<details><summary>All quantiles: {md(score_words(s))}</summary>"
        yield ""
        yield "| Quantile | Before | After |"
        yield "| --- | ---: | ---: |"
        for percent, before, after in s.quantiles:
            yield f"| {quantile_words(percent)} | {_plain(before)} | {_plain(after)} |"
        yield ""
        yield "</details>"
        yield ""


def _plain(value: float | None) -> str:
    return "" if value is None else shown(value)


def _brackets(r: DatasheetDiff) -> str:
    """Of which level the intervals are, where there are any, with a blank after it."""
    levels = {
        e.level
        for c in r.shares
        for e in (c.before, c.after)
        if e is not None and e.value is not None and e.low is not None and e.low != e.high
    }
    if not levels:
        return ""
    percent = text.join([f"{100 * level:g}{text.NBSP}%" for level in sorted(levels)])
    return f"Brackets hold {percent} intervals. "


def _compared(table: Compared) -> Iterator[str]:
    yield f"### {md(table.title)}"
    yield ""
    labels = f"{table.labels[:1].upper()}{table.labels[1:]}. " if table.labels else ""
    only = f" **Not measured {table.only}.**" if table.only else ""
    yield f"{md(labels + table.of)}{only}"
    yield ""
    for rows in (table.open, table.folded):
        if not rows:
            continue
        if rows is table.folded:
            more = "more" if table.open else "levels" if len(rows) > 1 else "level"
            yield f"<details><summary>{text.count(len(rows))} {more}</summary>"
            yield ""
        yield "| Level | Before | After | Difference | Differs |"
        yield "| --- | ---: | ---: | ---: | --- |"
        for c in rows:
            before, after = (
                " ".join(part for part in (_shown(e), _counted(n)) if part)
                for e, n in ((c.before, c.count_before), (c.after, c.count_after))
            )
            points = _points(c.difference) + (f"; {known}" if (known := _known(c)) else "")
            yield f"| {md(_level(c))} | {before} | {after} | {points} | {_differs(c)} |"
        yield ""
        if rows is table.folded:
            yield "</details>"
            yield ""


def _level(c: ChangedShare) -> str:
    return c.attribute if c.kind in _COUNTED else level_of(c.attribute, c.level)


def _shown(e: Estimate | None) -> str:
    """A share with its interval; bounds, which claim no middle, by their ends."""
    if e is None:
        return "not measured"
    if e.value is None:
        if e.high is None:
            return "not defined"
        most = e.model_copy(update={"value": e.high, "low": None, "high": None})
        return f"at most {shown_share(most, full=True)}"
    return shown_share(e)


def _known(c: ChangedShare) -> str:
    """The difference among the rows whose level is known, with both shares.

    '' where all rows' level is known, and of a level that is gone or new, which it is there too.
    """
    if is_gone(c) or is_new(c):
        return ""
    before, after = c.known_before, c.known_after
    if before is None or after is None or before.value is None or after.value is None:
        return ""
    ends = [
        shown_share(e.model_copy(update={"low": None, "high": None}), full=True)
        for e in (before, after)
    ]
    return f"of those known {_points(c.known_difference)}, {ends[0]} to {ends[1]}"


def _counted(count: tuple[int, int] | None) -> str:
    return "" if count is None else f"({text.count(count[0])} of {text.count(count[1])})"


def _points(e: Estimate | None) -> str:
    """A difference in points with its interval; bounds by their ends."""
    if e is None:
        return ""
    ends = ["" if end is None else points_words(end) for end in (e.low, e.high)]
    if e.value is None:
        return f"{ends[0]} to {ends[1]}" if all(ends) else "not defined"
    if not all(ends) or e.low == e.high:
        return points_words(e.value)
    return f"{points_words(e.value)} [{ends[0]}, {ends[1]}]"


def _differs(c: ChangedShare) -> str:
    if c.before is None or c.after is None:
        return f"not measured {'before' if c.before is None else 'after'}"
    if c.differs and c.kind in _COUNTED:
        return "yes"
    if is_of_unknown(c):
        return "only by rows whose level is not known"
    if c.differs and _turns(c):
        return "yes; the other way among those known"
    if c.differs:
        return "yes: none left" if is_gone(c) else "yes: none before" if is_new(c) else "yes"
    sampled = c.difference is not None and c.difference.low != c.difference.high
    return "these data cannot tell" if sampled or c.differs is None else "no"


def _turns(c: ChangedShare) -> bool:
    """Whether a share rises of all rows and falls of those whose level is known, or reversed."""
    known = c.known_difference
    if known is None or known.value is None or c.difference is None or c.difference.value is None:
        return False
    return known.value * c.difference.value < 0
