"""What a pass over shards says of groups of rows: by language, by words of captions, by place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from laion_probe.data_result import DataResult
from laion_probe.datasheet_result import Number, Statement
from laion_probe.groups import NONE_NAMED, UNKNOWN
from laion_probe.questions.datasheet_numbers import Source, say

__all__ = [
    "LEVELS",
    "Said",
    "brief",
    "has_intervals",
    "is_complete",
    "of_groups",
    "of_rows",
    "rows",
]

#: The id of a question, and a statement that answers it.
Said = tuple[str, Statement]

_LEVELS_SHOWN = 8
_NOTE_SHOWN = 220
_NOBODYS = "This is what captions say, by lists of words; it is nobody's identity."
_ONE_LEVEL = "Each row is in one level: a caption that names two of them is in “several”."
_TAG = "What the column says; who or what set it, and how well, is not known here."
#: How sentences of a group's note begin that say how captions were counted that no list can read.
_DECIDING = ("Captions in other languages", "Captions in further languages")
#: What levels of a kind of group are called, where they do not say it themselves.
LEVELS = {
    ("script", "none"): "no letters",
    ("language", "und"): "no language told (und)",
    ("gender-words", "no person named"): "no word for a person",
}
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
    "gender-words": "no word for a person",
    "person": "not found",
    "identity": NONE_NAMED,
    "terms": NONE_NAMED,
    "words": "not",
    "script": "no letters",
    "language:cld2": "no language told (und)",
}


def of_rows(r: DataResult) -> str:
    """What a share is of that is of no rows in particular: its brackets are of all of them.

    Where there are none, in a sample of one row group, it is of no others than those read.
    """
    if is_complete(r):
        return "of all rows"
    return "of all rows, by those read" if has_intervals(r) else "of the rows read alone"


def rows(r: DataResult, n: int = 2) -> str:
    """The word after a count."""
    return ("row" if n == 1 else "rows") + ("" if is_complete(r) else " read")


def has_intervals(r: DataResult) -> bool:
    """Whether what was read bounds what was not: one row group of a sample does not."""
    return r.reading.full or r.reading.n_units_tried - r.reading.n_units_failed > 1


def is_complete(r: DataResult) -> bool:
    """Whether every row was read."""
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
        elif kind == "language-tag":
            yield "composition-data", _listed(s, r, i, "By the rows' own language tag")
            yield from _tagged_english(s, r, i)
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
            if kind == "gender-words":
                yield from _name_only(s, r)
            if kind.startswith("identity-") and kind != "identity-gender":
                yield "composition-sensitive", _named(s, r, i)


def _english(s: Source, r: DataResult, i: int) -> Iterator[Said]:
    group = r.groups[i]
    detector = group.name.partition(":")[2]
    for j, x in enumerate(group.levels):
        where = ("groups", i, "levels", j)
        caution = brief(group.note, f"/groups/{i}/note")
        if x.level in ("en", "und"):
            read = "reads as English" if x.level == "en" else "names no language of (und)"
            text = f"Captions that {{}} {read}: {{}} {of_rows(r)}."
            share = s.share(*where, "share")
            yield "uses-impact", say(text, detector, share, caution=caution)
        if x.level == "en" and x.captioned is not None and _blanks(s, r):
            text = "Of the rows with a caption {} reads {} as English."
            share = s.share(*where, "captioned")
            yield "uses-impact", say(text, detector, share, caution=caution)


def _tagged_english(s: Source, r: DataResult, i: int) -> Iterator[Said]:
    for j, x in enumerate(r.groups[i].levels):
        if x.level.lower() in ("en", "eng", "english"):
            text = f"Rows whose own language tag says {{}}: {{}} {of_rows(r)}."
            share = s.share("groups", i, "levels", j, "share")
            yield "uses-impact", say(text, f"“{x.level}”", share, caution=_TAG)


def _name_only(s: Source, r: DataResult) -> Iterator[Said]:
    """Names are no words for a person: where the captions are that have a name alone."""
    for i, group in enumerate(r.groups):
        for j, x in enumerate(group.levels if group.name == "person" else ()):
            if x.level == "name only":
                yield (
                    "composition-subpopulations",
                    say(
                        f"“No word for a person” is not “no person”: {{}} {rows(r, x.n)} of it "
                        "have what a list takes for a name (“name only”, at the question whether "
                        "a person can be identified).",
                        s.count("groups", i, "levels", j, "n"),
                    ),
                )


def _blanks(s: Source, r: DataResult) -> Number | None:
    """How many rows have no caption, or a blank one; None where none is so, or it is not told."""
    for i, x in enumerate(r.scores):
        if x.name == "characters" and x.n_missing:
            return s.count("scores", i, "n_missing")
    return None


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
        numbers += [LEVELS.get((kind, level), level), s.share("groups", i, "levels", j, "share")]
    more = len(group.levels) - len(shown)
    rest = f"; and {more} more" if more else ""
    blank = _BLANK.get(kind, _BLANK.get(group.name))
    of, blanks = of_rows(r), _blanks(s, r)
    if blank is not None and blanks is not None:
        of += f"; the {{}} without a caption are in “{blank}”"
        numbers.append(blanks)
    text = f"{{}}: {'; '.join('{} {}' for _ in shown)}{rest} ({of})."
    caution = brief(group.note, f"/groups/{i}/note")
    if kind in ("identity", "terms"):
        caution = f"{caution.rstrip('.')}. {_ONE_LEVEL}".removeprefix(". ")
    return say(text, words, *numbers, caution=caution)


def brief(note: str, pointer: str) -> str:
    """The first sentences of a long note, those that say how it counts, and where all of it is."""
    if len(note) <= _NOTE_SHOWN:
        return note
    sentences = re.split(r"(?<=[.;]) ", note)
    n = len(sentences)
    deciding = {k for k, said in enumerate(sentences) if said.startswith(_DECIDING)}
    kept: list[int] = []
    for k in range(n):
        if kept and sum(len(sentences[i]) for i in (*kept, k)) > _NOTE_SHOWN:
            break
        kept.append(k)
    shown = sorted({*kept, *deciding})
    if len(shown) == n:
        return note
    said = sentences[0]
    for before, k in pairwise(shown):
        said += f" {'' if k == before + 1 else '… '}{sentences[k]}"
    return f"{said}{'' if shown[-1] == n - 1 else ' …'} (all of it: {pointer})"


def _named(s: Source, r: DataResult, i: int) -> Statement:
    """How many captions name a level at all."""
    group = r.groups[i]
    beside = (NONE_NAMED, UNKNOWN)
    named = [(j, x) for j, x in enumerate(group.levels) if x.level not in beside]
    words = group.title[:1].upper() + group.title[1:]
    if not named:
        looked = next((j for j, x in enumerate(group.levels) if x.level == NONE_NAMED), None)
        if looked is None or not _any_caption(r):
            text = (
                "{}: not looked for, since no caption is of a language that the list has words of."
            )
            return say(text, words)
        tail, also = _beside(s, r)
        return say(
            f"{{}}: none was found. A list of words was looked for in {{}} {rows(r)}{tail}.",
            words,
            s.count("groups", i, "levels", looked, "n"),
            *also,
            caution=f"{_NOBODYS} Other words and other languages than the list's are missed."
            + _read_as_english(group.note),
        )
    numbers: list[Number | str] = []
    for j, x in named[:_LEVELS_SHOWN]:
        numbers += [x.level, s.count("groups", i, "levels", j, "n")]
    more = len(named) - _LEVELS_SHOWN
    rest = f", and {more} more" if more > 0 else ""
    text = f"{{}}, {rows(r)} that name one: {', '.join('{} {}' for _ in numbers[::2])}{rest}."
    caution = f"{_NOBODYS} {_ONE_LEVEL}{_read_as_english(group.note)}"
    for j, x in enumerate(group.levels):
        if x.level == NONE_NAMED:
            tail, also = _beside(s, r)
            text += f" A list of words was looked for, and none found, in {{}} more{tail}."
            numbers += [s.count("groups", i, "levels", j, "n"), *also]
    return say(text, words, *numbers, caution=caution)


def _beside(s: Source, r: DataResult) -> tuple[str, list[Number | str]]:
    """What tells rows in which English words were looked for from captions in English."""
    parts: list[str] = []
    numbers: list[Number | str] = []
    blanks = _blanks(s, r)
    if blanks is not None:
        parts.append("{} of them without a caption")
        numbers.append(blanks)
    for i, group in enumerate(r.groups):
        for j, x in enumerate(group.levels):
            if group.name.startswith("language:") and x.level == "en":
                parts.append(f"while {{}} calls {{}} {rows(r, x.n)} English")
                detector = group.name.partition(":")[2]
                numbers += [detector, s.count("groups", i, "levels", j, "n")]
    return "".join(f", {part}" for part in parts), numbers


def _read_as_english(note: str) -> str:
    """The sentence of a note that says which captions were read as if they were English."""
    found = [x for x in re.split(r"(?<=[.;]) ", note) if x.startswith(_DECIDING)]
    return "".join(f" {sentence}" for sentence in found)


def _any_caption(r: DataResult) -> bool:
    """Whether any row that was read has one."""
    return any(c.serves == "text" and c.n_missing != c.n_rows for c in r.columns)
