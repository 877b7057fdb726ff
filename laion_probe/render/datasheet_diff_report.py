"""``diff.md`` and ``diff.html`` of two datasheets, drawn from what `datasheet_diff` found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from laion_probe.questions.datasheet_diff import ChangedShare, DatasheetDiff
from laion_probe.questions.datasheet_files import write_file
from laion_probe.render import text
from laion_probe.render.card_markdown import md
from laion_probe.render.html import environment, page
from laion_probe.results import Estimate

__all__ = ["diff_html", "diff_markdown", "render_datasheet_diff"]

_SHOWN = 80


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
    env.globals.update(shown=_shown, points=_points, of=_of, said=_differs)
    more = max(0, len(_both(result)) - _SHOWN)
    values = {"r": result, "shares": _both(result)[:_SHOWN], "n_more": more}
    return page(env, "datasheet_diff.html.j2", values)


def diff_markdown(result: DatasheetDiff) -> str:
    """The same as Markdown."""
    return "\n".join(_lines(result)) + "\n"


def _both(r: DatasheetDiff) -> list[ChangedShare]:
    """The shares that both datasheets have."""
    return [c for c in r.shares if c.difference is not None]


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
        ends = ["" if n is None else text.count(n) for n in (c.before, c.after)]
        yield f"| {c.what} | {ends[0]} | {ends[1]} |"
    yield ""
    yield "## Shares"
    yield ""
    yield "| Of what | Labels | Before | After | Difference | Differs |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    for s in _both(r)[:_SHOWN]:
        yield (
            f"| {md(_of(s))} | {md(s.labels)} | {_shown(s.before)} | {_shown(s.after)} "
            f"| {_points(s.difference)} | {_differs(s)} |"
        )
    yield ""
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


def _of(c: ChangedShare) -> str:
    if c.kind == "missing":
        return f"missing {c.attribute}"
    of = f" of “{c.concept}”" if c.concept else ""
    return f"{text.attribute_name(c.attribute)}: {c.level} ({c.stage}{of})"


def _shown(e: Estimate | None) -> str:
    if e is None or e.value is None:
        return "not defined"
    said = f"{text.number(100 * e.value, 1)}{text.NBSP}%"
    if e.low is None or e.high is None or e.low == e.high:
        return said
    return f"{said} [{text.number(100 * e.low, 1)}, {text.number(100 * e.high, 1)}]"


def _points(e: Estimate | None) -> str:
    if e is None or e.value is None:
        return "not defined"
    said = text.number(100 * e.value, 1, signed=True)
    if e.low is None or e.high is None or e.low == e.high:
        return said
    ends = [text.number(100 * end, 1, signed=True) for end in (e.low, e.high)]
    return f"{said} [{ends[0]}, {ends[1]}]"


def _differs(c: ChangedShare) -> str:
    if c.differs is None:
        return "these data cannot tell"
    if c.differs:
        return "yes"
    sampled = c.difference is not None and c.difference.low != c.difference.high
    return "these data cannot tell" if sampled else "no"
