"""Compositions in the blocks in which a datasheet's pages show them, and what shares are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from laion_probe.datasheet_result import (
    CompositionRow,
    DatasheetResult,
    Evidence,
    Lineage,
    LineageSample,
)
from laion_probe.groups import UNKNOWN
from laion_probe.questions.datasheet_numbers import Source
from laion_probe.questions.datasheet_tables import RATERS, counted_rows, level_title
from laion_probe.render import text
from laion_probe.render.card_words import level_words, stage_words
from laion_probe.render.geometry import axis_end
from laion_probe.results import Estimate

__all__ = [
    "Block",
    "attribute_words",
    "blocks",
    "brackets_words",
    "left_words",
    "level_of",
    "share_of",
    "shown_share",
    "size_words",
    "stage_of",
]

_KNOWN = "of those known"
#: By stage, where what a share is of does not follow from what the stage is called.
_OF = {
    "captions": "all rows that were read",
    "addresses": "all rows that were read",
    "came": "the pictures that came",
    "tried, re-weighted": "all addresses that were tried, as estimated from the pictures that came",
    "not blocked": "the generated pictures that are not blocked",
}
#: What a group of rows is read from, where that is no caption.
_READ_FROM = {
    "domain": "addresses",
    "language-tag": "tags",
    "nsfw": "tags",
    "region": "addresses",
    "tld": "addresses",
}
#: What groups of captions and addresses are called, as far as their names do not say it.
_GROUPS = {
    "language-tag": "the rows' own language tag",
    "gender-words": "words for women and men",
    "identity-ethnicity": "ethnicity or nationality that captions name",
    "identity-gender": "gender identity that captions name",
    "identity-orientation": "sexual orientation that captions name",
    "identity-religion": "religion that captions name",
    "nsfw": "the input's own NSFW tag",
    "person": "what names a person in captions",
    "region": "region of the address's top-level domain",
    "script": "script of the caption",
    "tld": "top-level domain of the address",
}


@dataclass(frozen=True)
class Block:
    """The compositions of one attribute in one run: each row with its interval.

    ``of`` are sentences that say what the shares are of; ``end`` is that of the axis.
    """

    title: str
    evidence: str
    file: str
    labels: tuple[str, ...]
    of: tuple[str, ...]
    end: float
    rows: tuple[tuple[CompositionRow, Estimate, str], ...]  # with its share in words


def blocks(result: DatasheetResult) -> tuple[Block, ...]:
    """Compositions by run, concept and attribute, in the order of the result."""
    evidence = {e.id: e for e in result.evidence}
    found: dict[tuple[str, str, str], list[CompositionRow]] = {}
    for row in result.compositions:
        found.setdefault((row.evidence, row.concept, row.attribute), []).append(row)
    return tuple(_block(rows, evidence[key[0]]) for key, rows in found.items())


def attribute_words(attribute: str, concept: str = "") -> str:
    """What a table of an attribute is called.

    >>> attribute_words("language:cld2"), attribute_words("skin", "doctor")
    ('Language (cld2)', 'Perceived skin tone, concept “doctor”')
    """
    name, _, how = attribute.partition(":")
    said = _GROUPS.get(name) or text.attribute_name(name).replace("-", " ")
    said += f" ({how})" if how else ""
    of = f", concept “{concept}”" if concept else ""
    return f"{said[:1].upper()}{said[1:]}{of}"


def level_of(attribute: str, level: str) -> str:
    """What a level of an attribute is called.

    >>> level_of("script", "none"), level_of("gender", "non_binary")
    ('no letters', 'non binary')
    """
    return level_words(level_title(attribute, level))


def shown_share(share: Estimate, *, full: bool = False) -> str:
    """A share in percent as the sentences of a datasheet have it, with its interval.

    Of ``full``, a count of everything, nothing is said of an interval.

    >>> few = Estimate(value=0.006, low=None, high=None, n=12, units=1, method="counted")
    >>> shown_share(few).replace(text.NBSP, " ")
    '0.60 % (no interval)'
    """
    if share.value is None:
        return "not defined"
    shown = Source("", share.model_dump()).share().shown
    return shown if full or share.low is not None else f"{shown} (no interval)"


def stage_of(row: CompositionRow) -> str:
    """What the stage of a row is called: levels of addresses and tags are read from no caption."""
    if row.stage == "captions":
        return _READ_FROM.get(row.attribute.partition(":")[0], stage_words(row.stage))
    return stage_words(row.stage)


def brackets_words(result: DatasheetResult) -> str:
    """What brackets hold, and what is without them."""
    levels = [f"{100 * level:.4g}" for level in result.interval_levels]
    of = f"{text.join(levels)}{text.NBSP}% " if levels else ""
    return (
        f"Brackets hold {of}intervals; a share without them is a count of everything that was read."
    )


def size_words(evidence: Evidence) -> str:
    """Rows or pictures that a run read; '' where that does not apply."""
    if evidence.n_rows is None:
        return ""
    pictures = evidence.n_pictures
    of = "" if pictures is None else f", with {text.count(pictures)} rows' pictures"
    return f"{text.count(evidence.n_rows)}{of}"


def share_of(stage: str, labels: str) -> str:
    """What the shares of a stage are of, in words.

    >>> share_of("neighbourhood", "raters")
    'all pictures of the stage, unknown included'
    """
    if stage.endswith(_KNOWN):
        return "the pictures of which the attribute is known"
    if labels == RATERS:
        return "all pictures of the stage, as estimated from those that were rated"
    return _OF.get(stage, "all pictures of the stage, unknown included")


def left_words(one: Lineage, sample: LineageSample | None) -> str:
    """How many rows a recipe leaves; of a sample, what that says of all rows. '' if not known."""
    if sample is None:
        if one.n_before is None or one.n_after is None:
            return ""
        return f"{text.count(one.n_before)} rows before, {text.count(one.n_after)} after."
    rows = f"{text.count(sample.n_read)} rows sampled"
    whole = "" if sample.n_rows is None else f" of {text.count(sample.n_rows)}"
    counted = "" if one.n_after is None else f", {text.count(one.n_after)} of which are left"
    said = f"Replayed on a random sample of row groups: {rows}{whole}{counted}. "
    if sample.kept is None:
        return f"{said}How many of all rows are left cannot be told from it."
    if sample.left_out:
        said += f"Left out, since it needs every row: {text.join(sample.left_out)}. "
    share = f"{text.number(100 * sample.kept, 1)}{text.NBSP}%"
    if sample.low is None or sample.high is None:
        return f"{said}That is {share} of them; what it is of all rows has no interval."
    ends = [text.number(100 * end, 1) for end in (sample.low, sample.high)]
    of = "Without it, of all rows" if sample.left_out else "Of all rows"
    said += f"{of} {share} [{ends[0]},{text.NBSP}{ends[1]}] are left"
    if sample.n_left is None or sample.n_left_low is None or sample.n_left_high is None:
        return f"{said}."
    least, most = text.count(sample.n_left_low), text.count(sample.n_left_high)
    return f"{said}, about {text.count(sample.n_left)} rows [{least},{text.NBSP}{most}]."


def _block(rows: Sequence[CompositionRow], evidence: Evidence) -> Block:
    return Block(
        title=attribute_words(rows[0].attribute, rows[0].concept),
        evidence=evidence.id,
        file=evidence.file,
        labels=tuple(dict.fromkeys(r.labels for r in rows)),
        of=(*_of(rows), *_unknown(rows)),
        end=axis_end([r.high if r.high is not None else r.share for r in rows]),
        rows=tuple((r, r.estimate, shown_share(r.estimate, full=evidence.full)) for r in rows),
    )


def _unknown(rows: Sequence[CompositionRow]) -> Iterator[str]:
    """What *unknown* is where a classifier read pictures."""
    if any(row.level == UNKNOWN and "classifier" in row.labels for row in rows):
        yield "“Unknown”: none of the levels was read, as where no person is to be seen."


def _of(rows: Sequence[CompositionRow]) -> Iterator[str]:
    """What the shares are of, with how many these are where all of them were counted."""
    stages: dict[tuple[str, str], list[CompositionRow]] = {}
    for row in rows:
        stages.setdefault((row.stage, row.labels), []).append(row)
    found: dict[tuple[str, str], list[str]] = {}
    for (stage, labels), levels in stages.items():
        whose = "Shares corrected by raters" if labels == RATERS else "Shares"
        n = counted_rows(levels)
        counted = "" if n is None else text.count(n)
        named = f"{stage_words(stage)} {counted}" if counted and len(stages) > 1 else counted
        counts = found.setdefault((whose, share_of(stage, labels)), [])
        counts += [named] if named else []
    for (whose, of), counts in found.items():
        counted = f" ({', '.join(counts)})" if counts else ""
        yield f"{whose} are of {of}{counted}."
