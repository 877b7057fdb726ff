"""``model-card.md``: a section for the model card of the generator that a run compared.

It follows "Bias, Risks, and Limitations" of the Hugging Face Hub's model cards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape
from urllib.parse import quote

from laion_probe.estimate import excludes_zero
from laion_probe.questions.card import Card
from laion_probe.questions.card_evidence import Headline
from laion_probe.render import text
from laion_probe.render.card_errors import PERCEIVED, errors_words, headlines
from laion_probe.render.card_left_out import left_out, left_out_words
from laion_probe.render.card_markdown import md, table
from laion_probe.render.card_words import (
    Group,
    compositions,
    data_stages,
    is_generated,
    level_words,
    range_words,
    share_words,
    stage_title,
    stage_words,
)
from laion_probe.results import Estimate

__all__ = ["model_card", "verdict_words"]


def model_card(card: Card) -> str:
    """The section as Markdown, or empty where no generator was compared."""
    sheet = card.datasheet
    if not sheet.generators:
        return ""
    names = text.join([md(name) for name in sheet.generators])
    data = md(card.title) or "a data set that has no name"
    shown = [
        group
        for group in compositions(sheet.compositions)
        if any(is_generated(stage) for stage in group.stages)
    ]
    parts = [
        "## Bias, Risks, and Limitations",
        f"> {md(sheet.data_note)}" if sheet.data_note else "",
        f"Pictures that {names} drew, beside pictures of {data}.",
        f"{md(PERCEIVED)} Shares of two tables below are of different pictures and do not compare: "
        "each table says what its shares are of. Brackets hold intervals, which are of sampling "
        "alone: errors of the labels come on top, as far as they are known. That shares differ "
        "does not say which part of the data, or of the training, makes them differ. Links lead "
        "to the runs, in the folder of the datasheet.",
        *(part for group in shown for part in _group(card, group)),
    ]
    if not shown:
        parts.append("No composition of generated pictures stands in this datasheet.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _group(card: Card, group: Group) -> Iterator[str]:
    """What was generated beside the pictures of its data: the headline, then every level."""
    name = text.attribute_name(group.attribute)
    yield f"### {md(f'{group.concept}: {name}' if group.concept else name)} ({md(group.labels)})"
    yield md(errors_words(group, card.behind))
    ours = [stage for stage in group.stages if is_generated(stage)]
    stages = (*data_stages(group), *ours)
    rows = {stage: row for (stage, _), row in group.cells.items() if stage in stages}
    titles = {stage_words(s): stage_title(card, row) for s, row in rows.items()}
    named = [f"{words} is {title}" for words, title in titles.items() if title != words]
    if named:
        yield md(f"Of what: {'; '.join(named)}.")
    found = headlines(group, card.behind)
    known = [stage for stage in stages if stage in found]
    if known:
        first, shown = found[known[0]], {stage: found[stage] for stage in known}
        yield (
            f"Read as {md(level_words(first.level))}, **of the pictures read as "
            f"{md(level_words(first.level))} or {md(level_words(first.against))}**:"
        )
        yield _headline_table(card, group, shown)
        if said := left_out_words(group, shown, card.behind):
            yield f"**{md(said)}**"
        yield from _differences(card, group, known)
        if any(h.errors is not None for h in shown.values()):
            yield _RANGES
    bases = dict.fromkeys(card.behind.base(row) for row in group.cells.values())
    alone = ", by labels alone" if any(h.errors is not None for h in found.values()) else ""
    yield f"Every level, unknown included, **of {md(text.join(list(bases)))}**{alone}:"
    yield _level_table(card, group, stages)
    levels = sorted({100 * row.interval_level for row in group.cells.values()})
    ends = text.join([f"{level:g} %" for level in levels])
    signs = _signs(card, group)
    how = "; ".join(
        f"with {sign}: {md(name)}" if sign else md(name) for name, sign in signs.items()
    )
    yield f"In brackets: {ends} intervals" + (f" ({how})." if how else ", where there are any.")


def _signs(card: Card, group: Group) -> dict[str, str]:
    """The methods of a group's intervals, the most frequent first, with the signs they have."""
    found = [card.behind.estimate(row) for row in group.cells.values()]
    found += [h.share for h in headlines(group, card.behind).values()]
    methods = Counter(one.method for one in found if one is not None)
    return {name: "†" * i for i, (name, _) in enumerate(methods.most_common())}


_RANGES = (
    "Quote the range that allows for measured errors, not the share by labels alone, which is what "
    "the classifier reads. The range always encloses the interval by labels alone, as the "
    "classifier may err less here than where it was measured; an end that is the same in both says "
    "that the errors, as measured, move the share less than chance may among these pictures."
)


def _headline_table(card: Card, group: Group, found: dict[str, Headline]) -> str:
    """One row a stage: what the labels' errors allow, the share as read, and what it leaves out."""
    errors = any(h.errors is not None for h in found.values())
    rated = any(h.n_rated is not None for h in found.values())
    labels = "By corrected labels" if group.labels.startswith("corrected") else "By labels alone"
    head = (
        ("",)
        + ("Allowing for measured errors",) * errors
        + (labels, "Pictures read as either", "Left out, read as neither")
        + ("Rated",) * rated
    )
    signs = _signs(card, group)

    def cells(stage: str, h: Headline) -> Iterator[str]:
        yield md(stage_words(stage))
        if errors:
            place = h.pointer.rpartition("/")[0] + "/with_known_errors"
            said = "not measured" if h.errors is None else range_words(h.errors)
            link = said if h.errors is None else _link(card, said, group.evidence, place)
            yield f"**{link}**"
        share = _link(card, share_words(h.share), group.evidence, h.pointer)
        yield share + signs.get(h.share.method, "")
        yield text.count(h.share.n)
        yield md(left_out(group, stage, h))
        if rated:
            yield "none" if h.n_rated is None else text.count(h.n_rated)

    return table(head, (cells(stage, h) for stage, h in found.items()))


def _differences(card: Card, group: Group, stages: list[str]) -> Iterator[str]:
    """What was generated minus each stage of its data, as the run compares them."""
    name = "corrected" if group.labels.startswith("corrected") else "difference"
    runs = card.behind
    pairs = [(a, b) for b in stages if is_generated(b) for a in stages if not is_generated(a)]
    for before, after in pairs:
        place = runs.difference(group.evidence, group.attribute, (before, after))
        found = runs.estimate_at(group.evidence, f"{place}/{name}") if place else None
        if found is None:
            continue
        said = f"{stage_words(after).capitalize()} minus {stage_words(before)}: "
        where = f"{place}/with_known_errors"
        errors = runs.estimate_at(group.evidence, where) if name == "difference" else None
        if errors is not None:
            shown = str(text.show(errors, "points-range"))
            said += f"allowing for measured errors **{_link(card, shown, group.evidence, where)}**"
            said += "; by labels alone "
        shown = str(text.show(found, "points"))
        said += _link(card, shown, group.evidence, f"{place}/{name}")
        verdict = verdict_words(found, errors)
        if errors is None and name == "difference":
            verdict += " (nothing is known of these labels’ errors)"
        yield f"{said}: {verdict}."


def verdict_words(found: Estimate, errors: Estimate | None) -> str:
    """What may be said of a difference, by the rule of the run's finding: both sides must agree."""
    sides = {_side(e) for e in (found, errors) if e is not None}
    if len(sides) > 1 or None in sides:
        return "**these data cannot tell whether it differs**"
    return f"**{sides.pop()}**"


def _side(e: Estimate) -> str | None:
    """The side of zero on which the whole interval lies."""
    if not excludes_zero(e):
        return None
    return "higher" if (e.low or 0) > 0 else "lower"


def _level_table(card: Card, group: Group, stages: tuple[str, ...]) -> str:
    """Levels by stages, each share a link to the run that it stands in."""
    signs = _signs(card, group)

    def column(stage: str) -> str:
        rows = (row for (at, _), row in group.cells.items() if at == stage)
        sizes = {e.n for e in map(card.behind.estimate, rows) if e is not None}
        of = f", of {text.count(sizes.pop())}" if len(sizes) == 1 else ""
        return md(stage_words(stage)) + of

    def cell(stage: str, level: str) -> str:
        row = group.cells.get((stage, level))
        if row is None:
            return ""
        said = _link(card, share_words(row), row.evidence, row.pointer)
        found = card.behind.estimate(row)
        said += signs.get(found.method, "") if found else ""
        of = "picture" if row.count == 1 else "pictures"
        return said if row.count is None else f"{said}, {text.count(row.count)} {of}"

    return table(
        ("", *map(column, stages)),
        ((md(level_words(lv)), *(cell(stage, lv) for stage in stages)) for lv in group.levels),
    )


def _link(card: Card, shown: str, evidence: str, pointer: str) -> str:
    """A number as a link to the file that it stands in, with its place there as the title."""
    file = next((run.file for run in card.datasheet.evidence if run.id == evidence), "")
    if not file:
        return md(shown)
    where = escape(text.clean(pointer)).replace("\\", "&#92;").replace("|", "&#124;")
    return f'[{md(shown)}]({quote(file)} "{where}")'
