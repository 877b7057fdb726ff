"""``report.html``, ``plan.md`` and tables of a plan of diversity fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from laion_probe.dft_result import DftResult, Gap, ProfessionPlan
from laion_probe.render.card_markdown import code, fenced, md
from laion_probe.render.html import environment, page, write_report
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.render.view import Method, Reference, methods_of

__all__ = ["dft_markdown", "dft_report_html", "dft_tables", "render_dft"]

_GAPS_SHOWN = 40
_TERMS_SHOWN = 100
_PROFESSIONS_SHOWN = 100
_RULES = {
    "equal": "every cell has the same number of pictures",
    "target": "cells have pictures in proportion to the target that was named",
    "gap": "measured gaps from the target that was named decide the numbers",
}
#: A run was given, and none of its gaps can be told from nothing.
_NO_GAP = "no measured gap can be told from the target that was named, and that decides the numbers"


@dataclass(frozen=True)
class ShownGap:
    """A gap at its place, beside its profession and the line of its target."""

    at: str
    profession_at: str
    profession: ProfessionPlan
    gap: Gap
    references: list[Reference]


@dataclass(frozen=True)
class View:
    """What the template loops over, each beside its place in the result."""

    rule: str
    gaps: list[ShownGap]
    n_more_gaps: int
    terms_shown: int
    professions_shown: int
    sources: dict[str, str]  # of the lists: a word is shown with its own, where it has one
    methods: list[Method]


def render_dft(result: DftResult, out: Path) -> None:
    """Write a plan: ``report.html``, ``plan.md``, ``result.json``, ``tables/*.csv``.

    The same result gives the same bytes every time.
    """
    result = DftResult.from_json(result.to_json())
    write_report(out, dft_report_html(result), result)
    (out / "plan.md").write_text(dft_markdown(result), encoding="utf-8", newline="\n")
    write_csv(dft_tables(result), out / "tables")


def dft_report_html(result: DftResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    return page(environment(), "dft.html.j2", {"r": result, "v": _view(result)})


def _view(r: DftResult) -> View:
    gaps = [
        ShownGap(
            at := pointer("professions", i, "gaps", j),
            pointer("professions", i),
            p,
            gap,
            [Reference("target", gap.target, f"{at}/target")],
        )
        for i, p in enumerate(r.professions)
        for j, gap in enumerate(p.gaps)
    ]
    gaps.sort(key=lambda g: -abs((g.gap.generated.value or 0.0) - g.gap.target))
    return View(
        rule=_rule(r),
        gaps=gaps[:_GAPS_SHOWN],
        n_more_gaps=max(0, len(gaps) - _GAPS_SHOWN),
        terms_shown=_TERMS_SHOWN,
        professions_shown=_PROFESSIONS_SHOWN,
        sources=_sources(r),
        methods=methods_of(e for _, e in walk(r)),
    )


def _rule(r: DftResult) -> str:
    gaps = [gap for p in r.professions for gap in p.gaps]
    return _NO_GAP if gaps and not any(gap.sure for gap in gaps) else _RULES[r.rule]


def _sources(r: DftResult) -> dict[str, str]:
    return {one.name: one.source for one in r.lists}


def dft_tables(result: DftResult) -> Tables:
    """``tables/*.csv`` by name: the columns, and a row each."""
    return {
        "lists": (
            "name axis title source note review n_terms n_merged",
            [one.model_dump() for one in result.lists],
        ),
        "words": (
            "axis term level code list source review n_pictures share",
            [{"axis": axis.name, **t.model_dump()} for axis in result.axes for t in axis.terms],
        ),
        "professions": (
            "term also code title list source held_out n_pictures",
            [
                {
                    **p.model_dump(exclude={"gaps", "also"}),
                    "also": "; ".join(p.also),
                }
                for p in result.professions
            ],
        ),
        "gaps": (
            "profession concept held_out axis attribute read_as others labels target sure planned "
            "planned_low planned_high weight realised allowed_low allowed_high" + ESTIMATE,
            list(_gap_rows(result)),
        ),
        "axes": (
            "name attribute divided",
            [axis.model_dump(exclude={"target", "terms"}) for axis in result.axes],
        ),
        "prompt_files": (
            "path folder n_prompts images n_pictures seed command",
            [file.model_dump() for file in result.prompt_files],
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in result.provenance.inputs],
        ),
    }


def _gap_rows(result: DftResult) -> Iterator[Row]:
    for p in result.professions:
        for gap in p.gaps:
            row: Row = gap.model_dump(exclude={"generated", "allowed", "level", "others"})
            if gap.allowed is not None:
                row |= {"allowed_low": gap.allowed.low, "allowed_high": gap.allowed.high}
            row |= {"profession": p.term, "held_out": p.held_out, "read_as": gap.level}
            yield row | {"others": "; ".join(gap.others)} | estimate_row(gap.generated)


def dft_markdown(result: DftResult) -> str:
    """``plan.md``: what to do in which order, and what to know before."""
    return "\n".join(_lines(result)) + "\n"


def _lines(r: DftResult) -> Iterator[str]:
    yield "# A plan of diversity fine-tuning"
    yield ""
    if r.data_note:
        yield f"> About the data: {md(r.data_note)}"
        yield ""
    for sentence in r.finding:
        yield f"- {md(sentence)}"
    yield ""
    yield f"How numbers are divided: {_rule(r)}."
    yield ""
    yield md(r.published)
    yield ""
    yield from _gaps(r)
    yield "## Before anything is drawn"
    yield ""
    yield "Read each word, its source and its review note, and strike what should not be asked for."
    sources = _sources(r)
    for axis in r.axes:
        yield ""
        yield f"### {md(axis.name)}"
        yield ""
        yield f"{md(axis.divided[:1].upper() + axis.divided[1:])}."
        yield ""
        for one in r.lists:
            if one.axis == axis.name:
                review = f" Review: {md(one.review)}." if one.review else ""
                yield f"{code(one.name)}: {md(one.source)}.{review}"
                yield ""
        yield "| word | pictures | source | review note |"
        yield "| --- | ---: | --- | --- |"
        for t in axis.terms:
            own = t.source if t.source != sources.get(t.list) else f"{t.list} {t.code}".strip()
            said = (t.term, f"{t.n_pictures:,}", own, t.review)
            yield "| " + " | ".join(md(words) for words in said) + " |"
    yield ""
    yield "## What to do"
    yield ""
    yield (
        "In this folder, the one that `plan.md` lies in; MODEL is what is to be fine-tuned. What "
        "the plan was made from need not lie here."
    )
    yield ""
    yield "1. Draw the evaluation before training:"
    yield from _block(r.evaluation.commands[:1])
    yield "2. Draw the training pictures:"
    yield from _block([file.command for file in r.prompt_files])
    yield (
        "3. Look at them, or have a sample rated, and strike what does not show what was asked. "
        "`manifest.parquet` has a row a picture: folder, prompt and number find it; "
        "`caption_stated` and `caption_neutral` are two captions to train on."
    )
    yield "4. Fine-tune, with whichever trainer; laion-probe does not train."
    yield "5. Draw the evaluation again:"
    yield from _block(r.evaluation.commands[1:2])
    yield "6. Compare before and after, held-out professions apart from those trained on:"
    yield from _block(r.evaluation.commands[2:])
    held_out = ", ".join(md(p.term) for p in r.professions if p.held_out)
    yield f"Held out: {held_out or 'none'}."
    yield ""
    for title, lines in (
        ("How it was planned", r.how_planned),
        ("Notes", r.notes),
        ("What it cannot say", r.cannot_say),
    ):
        if lines:
            yield f"## {title}"
            yield ""
            yield from (f"- {md(line)}" for line in lines)
            yield ""
    yield (
        f"Repeat it, from where your lists and runs lie: "
        f"{code(r.provenance.command + ' --out FOLDER')}"
    )


def _gaps(r: DftResult) -> Iterator[str]:
    """The measured gaps as a table, with what their intervals mean."""
    gaps = [(p, gap) for p in r.professions for gap in p.gaps]
    if not gaps:
        return
    yield "## Measured gaps"
    yield ""
    for line in r.gap_notes:
        yield f"- {md(line)}"
    yield ""
    yield "| profession | share of | drawn | target | planned | pictures |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for p, gap in gaps[:_GAPS_SHOWN]:
        e = gap.generated
        said = (
            p.term,
            f"{gap.level} ({gap.labels})",
            f"{_percent(e.value)} [{_percent(e.low)}, {_percent(e.high)}]",
            _percent(gap.target),
            _planned(p, gap),
            f"{p.n_pictures:,}",
        )
        yield "| " + " | ".join(md(words) for words in said) + " |"
    if len(gaps) > _GAPS_SHOWN:
        yield ""
        yield f"{len(gaps) - _GAPS_SHOWN:,} more in `tables/gaps.csv`."
    yield ""


def _planned(p: ProfessionPlan, gap: Gap) -> str:
    said = "none: held out" if p.held_out else _percent(gap.planned)
    if not gap.sure:
        return f"{said}; there may be no gap"
    if p.held_out:
        return said
    return f"{said} [{_percent(gap.planned_low)}, {_percent(gap.planned_high)}]"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.3g} %"


def _block(commands: Iterable[str]) -> Iterator[str]:
    """Commands as a block of code in a list."""
    yield ""
    yield from (f"   {line}" for line in fenced("\n".join(commands)).splitlines())
    yield ""
