"""What a pass over shards says of groups of rows: by language, by words of captions, by place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from laion_probe.data_result import DataResult, GroupShares
from laion_probe.datasheet_result import Number, Statement
from laion_probe.groups import NONE_NAMED, UNKNOWN
from laion_probe.questions.datasheet_numbers import Source, say

__all__ = ["Said", "brief", "of_groups", "of_rows", "rows"]

#: The id of a question, and a statement that answers it.
Said = tuple[str, Statement]

_LEVELS_SHOWN = 8
_NOTE_SHOWN = 220
_NOBODYS = "This is what captions say, by lists of words; it is nobody's identity."
_LEVELS = {("script", "none"): "no letters", ("language", "und"): "no language told (und)"}
#: What *unknown* means: of groups by words, that captions may name what a list cannot find in them.
_UNKNOWN = {
    "gender-words": "a script that has no list",
    "person": "a script that has no list",
    "terms": "a script that has no list",
    "identity": "another script or language",
    "region": "no known top-level domain",
    "tld": "no known top-level domain",
    "domain": "no host",
    "nsfw": "no tag",
    "language-tag": "no tag",
}
#: The level in which rows without a caption are counted.
_BLANK = {
    "gender-words": "no person named",
    "person": "not found",
    "identity": NONE_NAMED,
    "terms": NONE_NAMED,
    "words": "not",
    "script": "no letters",
    "language:cld2": "no language told (und)",
}


def of_rows(r: DataResult) -> str:
    """What a share is of that is of no rows in particular: its brackets are of all of them."""
    return "of all rows" if _complete(r) else "of all rows, by those read"


def rows(r: DataResult, n: int = 2) -> str:
    """The word after a count."""
    return ("row" if n == 1 else "rows") + ("" if _complete(r) else " read")


def _complete(r: DataResult) -> bool:
    return r.reading.full and not r.reading.n_units_failed


def of_groups(s: Source, r: DataResult) -> Iterator[Said]:
    """Every group, each at the question that it answers."""
    if any(group.name.startswith("identity-") for group in r.groups):
        yield (
            "composition-sensitive",
            say("Health, political opinions and where people live were not looked for."),
        )
    for i, group in enumerate(r.groups):
        kind = group.name.partition(":")[0]
        words = group.title[:1].upper() + group.title[1:]
        if kind == "language":
            yield "composition-data", _listed(s, r, i, "Captions by language")
            yield from _english(s, r, i)
        elif kind == "nsfw":
            if any(x.level != UNKNOWN for x in group.levels):
                yield "composition-offensive", _listed(s, r, i, "By the rows' own NSFW tag")
        elif kind in ("region", "tld", "domain"):
            if any(x.level != UNKNOWN for x in group.levels):
                yield "composition-external", _listed(s, r, i, words)
        elif kind == "script":
            yield "composition-data", _listed(s, r, i, "Captions by script")
        elif kind == "person":
            yield "composition-identifiable", _listed(s, r, i, words)
        else:
            yield "composition-subpopulations", _listed(s, r, i, words)
            if kind.startswith("identity-") and kind != "identity-gender":
                yield "composition-sensitive", _named(s, r, i)


def _english(s: Source, r: DataResult, i: int) -> Iterator[Said]:
    group = r.groups[i]
    for j, x in enumerate(group.levels):
        if x.level == "en":
            yield (
                "uses-impact",
                say(
                    f"Captions that {{}} reads as English: {{}} {of_rows(r)}.",
                    group.name.partition(":")[2],
                    s.share("groups", i, "levels", j, "share"),
                    caution=brief(group.note, f"/groups/{i}/note"),
                ),
            )


def _listed(s: Source, r: DataResult, i: int, words: str) -> Statement:
    """The most frequent levels of a group with their shares, and *unknown* wherever it comes."""
    group = r.groups[i]
    kind = "identity" if group.name.startswith("identity-") else group.name.partition(":")[0]
    shown = list(range(min(len(group.levels), _LEVELS_SHOWN)))
    for j, x in enumerate(group.levels):
        if x.level == UNKNOWN and j >= _LEVELS_SHOWN:
            shown[-1] = j
    numbers: list[Number | str] = []
    for j in shown:
        level = group.levels[j].level
        if level == UNKNOWN and kind in _UNKNOWN:
            level = f"{UNKNOWN} ({_UNKNOWN[kind]})"
        numbers += [_LEVELS.get((kind, level), level), s.share("groups", i, "levels", j, "share")]
    more = len(group.levels) - len(shown)
    rest = f"; and {more} more" if more else ""
    blank = _BLANK.get(kind, _BLANK.get(group.name))
    if blank is not None and any(c.serves == "text" and c.n_missing for c in r.columns):
        of = f"{of_rows(r)}; those without a caption are in “{blank}”"
    else:
        of = of_rows(r)
    text = f"{{}}: {'; '.join('{} {}' for _ in shown)}{rest} ({of})."
    return say(text, words, *numbers, caution=brief(group.note, f"/groups/{i}/note"))


def brief(note: str, pointer: str) -> str:
    """The first sentences of a long note, and where all of it stands."""
    if len(note) <= _NOTE_SHOWN:
        return note
    kept = ""
    for sentence in re.split(r"(?<=[.;]) ", note):
        if kept and len(kept) + len(sentence) > _NOTE_SHOWN:
            break
        kept += sentence + " "
    return f"{kept.strip()} … (all of it: {pointer})"


def _named(s: Source, r: DataResult, i: int) -> Statement:
    """How many captions name a level at all."""
    group = r.groups[i]
    beside = (NONE_NAMED, UNKNOWN)
    named = [(j, x) for j, x in enumerate(group.levels) if x.level not in beside]
    words = group.title[:1].upper() + group.title[1:]
    if not named:
        return say(
            f"{{}}: none was found. A list of words was looked for in {{}} {rows(r)} (those "
            "without a caption, if any, among them).",
            words,
            _looked_in(s, i, group),
            caution=f"{_NOBODYS} Other words and other languages than the list's are missed.",
        )
    numbers: list[Number | str] = []
    for j, x in named[:_LEVELS_SHOWN]:
        numbers += [x.level, s.count("groups", i, "levels", j, "n")]
    more = len(named) - _LEVELS_SHOWN
    rest = f", and {more} more" if more > 0 else ""
    text = f"{{}}, {rows(r)} that name one: {', '.join('{} {}' for _ in numbers[::2])}{rest}."
    return say(text, words, *numbers, caution=_NOBODYS)


def _looked_in(s: Source, i: int, group: GroupShares) -> Number | str:
    """The number of rows that name none: all that the list could be read on."""
    for j, x in enumerate(group.levels):
        if x.level == NONE_NAMED:
            return s.count("groups", i, "levels", j, "n")
    return "no"
