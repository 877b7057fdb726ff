"""``datasheet.md``: a datasheet in Markdown that GitHub and Hugging Face show alike.

What comes from data is escaped; what a person wrote stands as it is, since it is Markdown too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from laion_probe.datasheet_result import (
    Answer,
    CompositionRow,
    DatasheetResult,
    Lineage,
    Section,
    Statement,
)
from laion_probe.render.card_markdown import code, md
from laion_probe.render.text import attribute_name, count, number

__all__ = ["datasheet_markdown"]

_ROWS_SHOWN = 60
_POINTERS_SHOWN = 3


def datasheet_markdown(result: DatasheetResult) -> str:
    """The whole datasheet; the same result gives the same text."""
    return "\n".join(_lines(result)).rstrip("\n") + "\n"


def _lines(r: DatasheetResult) -> Iterator[str]:
    about = r.about
    yield f"# Datasheet: {md(about.title or about.name or 'an image-text data set')}"
    yield ""
    if r.data_note:
        yield f"> **About the data.** {md(r.data_note)}"
        yield ""
    if about.description:
        yield about.description
        yield ""
    n = sum(len(s.answers) for s in r.sections)
    answered = sum(s.n_answered for s in r.sections)
    yield (
        f"The questions are those of Gebru et al. (2021), “Datasheets for Datasets”: {answered} of "
        f"{n} are answered. What was measured names the file and the place of its numbers (a JSON "
        "pointer); what a person says is marked so. Brackets hold intervals; a share without them "
        "is a count of everything that was read."
    )
    yield ""
    yield "| Section | Questions | Measured | By a person alone | Unanswered |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for i, s in enumerate(r.sections, 1):
        yield _completeness(i, s)
    yield ""
    files = {e.id: e.file for e in r.evidence}
    for i, section in enumerate(r.sections, 1):
        yield f"## {i} {section.title}"
        yield ""
        for j, answer in enumerate(section.answers, 1):
            if answer.status != "unanswered":
                yield from _answer(f"{i}.{j}", answer, files)
        yield from _open(i, section)
    yield from _compositions(r, files)
    yield from _lineage(r.lineage)
    if r.cannot_say:
        yield "## What this datasheet cannot say"
        yield ""
        yield from (f"- {md(line)}" for line in r.cannot_say)
        yield ""
    yield from _provenance(r)


def _completeness(i: int, s: Section) -> str:
    measured = sum(a.status in ("measured", "both") for a in s.answers)
    person = sum(a.status == "person" for a in s.answers)
    n = len(s.answers)
    return f"| {i} {s.title} | {n} | {measured} | {person} | {n - measured - person} |"


def _answer(place: str, answer: Answer, files: dict[str, str]) -> Iterator[str]:
    yield f"### {place} {answer.question}"
    yield ""
    if answer.person:
        yield "**A person says:**"
        yield ""
        yield answer.person
        yield ""
    if answer.measured and answer.person:
        yield "**Measured:**"
        yield ""
    last = ""
    for k, statement in enumerate(answer.measured):
        following = answer.measured[k + 1].caution if k + 1 < len(answer.measured) else ""
        yield f"- {_statement(statement, files)}"
        if statement.caution and statement.caution != following:
            yield f"  *{md(statement.caution).rstrip('.')}.*"
        last = statement.caution
    if answer.measured or last:
        yield ""


def _statement(statement: Statement, files: dict[str, str]) -> str:
    """The sentence, and where its numbers stand."""
    shown = [md(n.shown) for n in statement.numbers]
    parts = re.split(r"(\{\d+\}|\{\{|\}\})", statement.text)
    text = "".join(
        shown[int(p[1:-1])]
        if re.fullmatch(r"\{\d+\}", p)
        else md(p[0])
        if p in ("{{", "}}")
        else _kept_blanks(p)
        for p in parts
    )
    if not statement.numbers:
        return text
    first = statement.numbers[0].evidence
    places = [code(n.pointer) for n in statement.numbers[:_POINTERS_SHOWN]]
    more = "" if len(statement.numbers) <= _POINTERS_SHOWN else " …"
    return f"{text} <sub>[{first}]({files[first]}) {', '.join(places)}{more}</sub>"


def _kept_blanks(part: str) -> str:
    """As `md`, with the blanks at both ends."""
    inside = md(part)
    before = " " if part[:1].isspace() else ""
    after = " " if part[-1:].isspace() and inside else ""
    return before + inside + after


def _open(i: int, section: Section) -> Iterator[str]:
    unanswered = [(j, a) for j, a in enumerate(section.answers, 1) if a.status == "unanswered"]
    if not unanswered:
        return
    yield f"**Unanswered in {section.title.lower()}** (`answers.toml`):"
    yield ""
    for j, a in unanswered:
        hint = f" *({a.hint})*" if a.hint else ""
        yield f"- {i}.{j} {a.question}{hint} `{a.id}`"
    yield ""


def _compositions(r: DatasheetResult, files: dict[str, str]) -> Iterator[str]:
    rows = [c for c in r.compositions if c.stage != "captions"]
    if not rows:
        return
    yield "## Composition table"
    yield ""
    yield (
        "Shares are of all pictures of the stage, *unknown* included, unless the stage says "
        "otherwise. Labels say what pictures look like to whoever labelled them, never who "
        "somebody is."
    )
    yield ""
    yield "| Concept | Stage | Attribute | Level | Share | Labels | Place |"
    yield "| --- | --- | --- | --- | ---: | --- | --- |"
    for c in rows[:_ROWS_SHOWN]:
        yield (
            f"| {md(c.concept)} | {md(c.stage)} | {md(attribute_name(c.attribute))} "
            f"| {md(c.level)} | {_share(c)} | {md(c.labels)} "
            f"| [{c.evidence}]({files[c.evidence]}) |"
        )
    yield ""
    if len(rows) > _ROWS_SHOWN:
        yield f"{count(len(rows) - _ROWS_SHOWN)} more rows are in `datasheet.json`."
        yield ""


def _share(c: CompositionRow) -> str:
    if c.share is None:
        return "not defined"
    said = f"{number(100 * c.share, 1)} %"
    if c.low is None or c.high is None or c.low == c.high:
        return said
    return f"{said} [{number(100 * c.low, 1)}, {number(100 * c.high, 1)}]"


def _lineage(lineage: tuple[Lineage, ...]) -> Iterator[str]:
    if not lineage:
        return
    yield "## Filters"
    yield ""
    for one in lineage:
        what = "passed before these rows were seen" if one.already else "replayed on these rows"
        yield f"### {md(one.title)} ({md(one.recipe)}), {what}"
        yield ""
        if one.source:
            yield f"Source: {md(one.source)}"
            yield ""
        if one.n_before is not None and one.n_after is not None:
            yield f"{count(one.n_before)} rows before, {count(one.n_after)} after."
            yield ""
        if not one.steps:
            continue
        yield "| Step | Rows that reach it | Removes | Known from |"
        yield "| --- | ---: | ---: | --- |"
        for step in one.steps:
            reached = "not observable" if step.n_reached is None else count(step.n_reached)
            removed = (
                ("cannot be judged" if step.observable else "not observable")
                if step.n_removed is None
                else count(step.n_removed)
            )
            known = md(step.source or step.confidence)
            yield f"| {md(step.title)} | {reached} | {removed} | {known} |"
        yield ""


def _provenance(r: DatasheetResult) -> Iterator[str]:
    yield "## Where this is from"
    yield ""
    yield "| Evidence | What it is | Rows or pictures | sha256 |"
    yield "| --- | --- | ---: | --- |"
    for e in r.evidence:
        n = "" if e.n_rows is None else count(e.n_rows)
        part = "" if e.full else " (a sample)"
        yield f"| [{e.id}]({e.file}) | {md(e.title)}{part} | {n} | `{e.sha256[:16]}…` |"
    yield ""
    yield f"Made by laion-probe {r.version}: {code(r.command)}. A person’s answers stay in"
    yield "`answers.toml`; making the datasheet again keeps them."
    yield ""
