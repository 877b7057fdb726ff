"""``datasheet.md``: a datasheet in Markdown that GitHub and Hugging Face show alike.

What comes from data is escaped; what a person wrote is Markdown too, made safe for the outline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from laion_probe.datasheet_result import (
    Answer,
    CompositionRow,
    DatasheetResult,
    Section,
    Statement,
)
from laion_probe.render.card_markdown import code, md
from laion_probe.render.datasheet_answers import answer_markdown
from laion_probe.render.datasheet_blocks import (
    blocks,
    brackets_words,
    left_words,
    level_of,
    size_words,
    stage_of,
)
from laion_probe.render.text import count

__all__ = ["datasheet_markdown"]

_ROWS_OPEN = 12  # of a table; the others are folded
_POINTERS_SHOWN = 3  # beside a statement; all of them are folded below


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
        yield answer_markdown(about.description)
        yield ""
    n = sum(len(s.answers) for s in r.sections)
    answered = sum(s.n_answered for s in r.sections)
    part = sum(s.n_in_part for s in r.sections)
    yield (
        f"The questions are those of Gebru et al. (2021), “Datasheets for Datasets”: {answered} of "
        f"{n} are answered{f', {part} of them in part, by data alone' if part else ''}. What was "
        "measured names the file and the place of its numbers (a JSON pointer); what a person says "
        f"is marked so. {brackets_words(r)}"
    )
    yield ""
    yield "| Section | Questions | By data | In part, by data | By a person alone | Unanswered |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
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
        yield from _open(i, section, files)
    yield from _compositions(r, files)
    yield from _lineage(r)
    if r.cannot_say:
        yield "## What this datasheet cannot say"
        yield ""
        yield from (f"- {md(line)}" for line in r.cannot_say)
        yield ""
    yield from _provenance(r)


def _completeness(i: int, s: Section) -> str:
    n, whole = len(s.answers), s.n_measured - s.n_in_part
    counts = (n, whole, s.n_in_part, s.n_person, n - s.n_answered)
    return f"| {i} {s.title} | {' | '.join(map(str, counts))} |"


def _answer(place: str, answer: Answer, files: dict[str, str]) -> Iterator[str]:
    yield f"### {place} {answer.question}"
    yield ""
    if answer.person:
        yield "**A person says:**"
        yield ""
        yield answer_markdown(answer.person)
        yield ""
    if answer.in_part:
        yield "**In part, by data:**"
        yield ""
    elif answer.measured and answer.person:
        yield "**Measured:**"
        yield ""
    for k, statement in enumerate(answer.measured):
        following = answer.measured[k + 1].caution if k + 1 < len(answer.measured) else ""
        yield f"- {_statement(statement, files)}"
        if statement.caution and statement.caution != following:
            yield f"  *{md(statement.caution).rstrip('.')}.*"
    if answer.measured:
        yield ""
    if any(len(m.numbers) > _POINTERS_SHOWN for m in answer.measured):
        yield "<details><summary>Where all of these numbers stand</summary>"
        yield ""
        for number in (n for m in answer.measured for n in m.numbers):
            place = f"[{number.evidence}]({files[number.evidence]}) {code(number.pointer)}"
            yield f"- {place}: {md(number.shown)}"
        yield ""
        yield "</details>"
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


def _open(i: int, section: Section, files: dict[str, str]) -> Iterator[str]:
    """The questions that a person is asked, those that data answer in part among them."""
    asked = [(j, a) for j, a in enumerate(section.answers, 1) if a.is_open]
    if not asked:
        return
    yield f"**Open to a person in {section.title.lower()}** (`answers.toml`):"
    yield ""
    for j, a in asked:
        hint = f" *({a.hint})*" if a.hint else ""
        part = " Answered in part, by data." if a.in_part else " Unanswered."
        yield f"- {i}.{j} {a.question}{hint} `{a.id}`.{part}"
        for statement in a.beside:
            caution = f" *{md(statement.caution).rstrip('.')}.*" if statement.caution else ""
            yield f"  - A hint from data: {_statement(statement, files)}{caution}"
    yield ""


def _compositions(r: DatasheetResult, files: dict[str, str]) -> Iterator[str]:
    found = blocks(r)
    if not found:
        return
    yield "## Composition"
    yield ""
    yield (
        "Shares at every stage that was measured, *unknown* included. Labels say what captions "
        "say, or what pictures look like to whoever labelled them, never who somebody is."
    )
    yield ""
    for block in found:
        yield f"### {md(block.title)}"
        yield ""
        labels = ", ".join(block.labels)
        labels = labels[:1].upper() + labels[1:]
        of = " ".join(block.of)
        yield f"{md(labels)}; from [{block.evidence}]({files[block.evidence]}). {md(of)}"
        yield ""
        several = len(block.labels) > 1
        rows = [_row(row, words, several=several) for row, _, words in block.rows]
        yield from _folded(("Level", "Stage", "Share", "Count"), rows)


def _row(row: CompositionRow, share: str, *, several: bool) -> tuple[str, str, str, str]:
    stage = stage_of(row) + (f", {row.labels}" if several else "")
    count_ = "estimated" if row.count is None else count(row.count)
    return md(level_of(row.attribute, row.level)), md(stage), share, count_


def _folded(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose rows beyond the first are folded; numbers are in the last two columns."""
    parts = [rows[:_ROWS_OPEN], rows[_ROWS_OPEN:]]
    if len(parts[1]) <= _ROWS_OPEN // 3:
        parts = [rows, []]
    rule = ["---"] * (len(head) - 2) + ["---:"] * 2
    for i, part in enumerate(parts):
        if not part:
            continue
        if i:
            yield f"<details><summary>{count(len(part))} more</summary>"
            yield ""
        yield from (f"| {' | '.join(row)} |" for row in (head, rule, *part))
        yield ""
        if i:
            yield "</details>"
            yield ""


def _lineage(r: DatasheetResult) -> Iterator[str]:
    if not r.lineage:
        return
    yield "## Filters"
    yield ""
    for one in r.lineage:
        sample = r.sample_of(one)
        on = "these rows" if sample is None else "a sample of these rows"
        what = "passed before these rows were seen" if one.already else f"replayed on {on}"
        yield f"### {md(one.title)} ({md(one.recipe)}), {what}"
        yield ""
        if one.source:
            yield f"Source: {md(one.source)}"
            yield ""
        if words := left_words(one, sample):
            yield words
            yield ""
        if not one.steps:
            continue
        yield "Steps in order; each counts the rows that the steps before it leave."
        yield ""
        rows = "Rows" if sample is None else "Sampled rows"
        yield f"| Step | {rows} that reach it | Of these it removes | Known from |"
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
        part = "" if e.full else " (a sample)"
        yield f"| [{e.id}]({e.file}) | {md(e.title)}{part} | {size_words(e)} | `{e.sha256}` |"
    yield ""
    yield f"Made by laion-probe {r.version}: {code(r.command)}. A person’s answers stay in"
    yield "`answers.toml`; making the datasheet again keeps them."
    if r.earlier_commands:
        listed = ", ".join(map(code, r.earlier_commands))
        yield f"Datasheets whose evidence was taken over were made by {listed}."
    yield ""
