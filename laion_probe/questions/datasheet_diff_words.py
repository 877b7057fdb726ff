"""What changed between two datasheets in lines: who is gone, women and men, the largest changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from laion_probe.groups import NONE_NAMED, UNKNOWN
from laion_probe.questions.datasheet_changes import (
    ChangedShare,
    has_interval,
    is_gone,
    is_new,
    is_of_unknown,
)
from laion_probe.questions.datasheet_numbers import Source
from laion_probe.questions.datasheet_tables import level_title
from laion_probe.results import Estimate
from laion_probe.scripts import MIXED, NO_LETTERS

__all__ = ["listed", "only_in_one", "points_words", "share_lines"]

_TOLD = 8  # changes that are printed
_GONE = 20  # levels of one variable that are printed as gone
_DIGITS = 4  # of a difference in points, at most
_MINUS = "\N{MINUS SIGN}"

#: Levels of captions that name nobody, or of which nothing can be told.
_RESTS = (UNKNOWN, NONE_NAMED, "no person named", "not found", "und")
_NO_LEVEL = (("script", NO_LETTERS), ("script", MIXED))
#: Variables that have many levels and are of no people.
_PLACES = ("language", "script", "tld", "registered domain")
#: Those that are of addresses.
_ADDRESSES = ("tld", "registered domain")
#: Groups by gender, and the stage at which they are of everything.
_GENDERS = (("gender-words", "captions"), ("gender", "all"), ("gender_presentation", "all"))
_WOMEN_AND_MEN = ("woman", "man")
#: What has a line of its own, whose shares are few: what it begins with.
_LINES = {
    "repeated": "exact duplicates",
    "at least": "scores",
    "contact": "ways to reach somebody",
}


def share_lines(shares: Sequence[ChangedShare]) -> Iterator[str]:
    """What differs, in lines: who is gone or new, women and men, duplicates, the largest changes.

    >>> list(share_lines(()))
    ['no share is shown to differ']
    """
    yield from _gone_or_new(shares)
    sure = [c for c in shares if c.differs]
    others = [c for c in sure if not ((is_gone(c) or is_new(c)) and _is_told(c))]
    people = [c for c in shares if _is_of_women_or_men(c) and (c in others or c not in sure)]
    for c in people:
        if sure or (c.difference is not None and c.difference.value):
            yield _told(c) + ("" if c.differs else "; not shown to differ")
    for kind, words in _LINES.items():
        if told := [_told(c) for c in others if c.kind == kind]:
            yield f"{words}: {'; '.join(told)}"
    others = [c for c in others if c not in people and c.kind not in _LINES]
    real = [c for c in others if not (is_of_unknown(c) or c.level == UNKNOWN)]
    for c in real[:_TOLD]:
        yield _told(c)
    if len(real) > _TOLD:
        yield f"{len(real) - _TOLD} more shares differ"
    if less := len(others) - len(real):
        verb = "share differs" if less == 1 else "shares differ"
        yield f"{less} more {verb} only by rows of which the level is not known"
    if not sure:
        yield "no share is shown to differ"


def only_in_one(shares: Sequence[ChangedShare]) -> Iterator[str]:
    """What only one of the two measured.

    >>> list(only_in_one(()))
    []
    """
    for when, only in (
        ("after", [c for c in shares if c.after is None and c.before]),
        ("before", [c for c in shares if c.before is None and c.after]),
    ):
        if only:
            yield f"not measured {when}, which is not zero: {listed(_variables(only))}"


def _is_of_women_or_men(c: ChangedShare) -> bool:
    """Whether it is the share of women or of men in everything, with a number in both."""
    here = (c.attribute, c.stage) in _GENDERS and not c.concept and c.level in _WOMEN_AND_MEN
    return here and all(e is not None and e.value is not None for e in (c.before, c.after))


def _gone_or_new(shares: Sequence[ChangedShare]) -> Iterator[str]:
    """What was erased altogether, and what is there for the first time: a line a variable.

    However small their shares were, no change is larger for those whom it erases. The lines are in
    the order of their rows, addresses last; what names nobody is left to the table.
    """
    for what, told, mine, other in _WENT_OR_CAME:
        by: dict[str, list[ChangedShare]] = {}
        for c in shares:
            if told(c) and _is_told(c):
                by.setdefault(_variable(c), []).append(c)
        for variable in sorted(by, key=lambda v: (v.startswith(_ADDRESSES), -_rows(by[v], mine))):
            levels = sorted(by[variable], key=lambda c: -_share(c, mine))
            names = [f"“{_level(c)}” {_counted(c, mine)}" for c in levels]
            most = _TOLD if variable.startswith(_PLACES) else _GONE
            ends = [_of(levels[0], when) for when in (mine, other)]
            yield f"{what}, of {variable}: {listed(names, most)}{ends[0]}; none{ends[1]}"


def _rows(levels: Sequence[ChangedShare], when: str) -> int:
    """How many rows or pictures levels had in all, as far as they were counted."""
    counts: list[tuple[int, int] | None] = [getattr(c, f"count_{when}") for c in levels]
    return sum(count[0] for count in counts if count is not None)


def _is_told(c: ChangedShare) -> bool:
    """Whether a level is somebody or something: not what is missing, nor those who named none."""
    if c.kind not in ("composition", "domain"):
        return False
    return c.level not in _RESTS and (c.attribute, c.level) not in _NO_LEVEL


def _is_unseen(c: ChangedShare) -> bool:
    """Whether a level that was there was not found afterwards, where it may still be."""
    here = c.before is not None and bool(c.before.value)
    return here and not c.differs and c.count_after is not None and c.count_after[0] == 0


#: What a line begins with, of which shares, and which of the two has them and which has none.
_WENT_OR_CAME: tuple[tuple[str, Callable[[ChangedShare], bool], str, str], ...] = (
    ("gone altogether", is_gone, "before", "after"),
    ("new", is_new, "after", "before"),
    ("not found after, but rows that were not read may have it", _is_unseen, "before", "after"),
)


def _share(c: ChangedShare, when: str) -> float:
    found: Estimate | None = getattr(c, when)
    return 0.0 if found is None else found.value or 0.0


def _counted(c: ChangedShare, when: str) -> str:
    """How many there were, else their share."""
    count: tuple[int, int] | None = getattr(c, f"count_{when}")
    return _percent(_share(c, when)) if count is None else f"{count[0]:,}"


def _of(c: ChangedShare, when: str) -> str:
    """Of how many, and when."""
    count: tuple[int, int] | None = getattr(c, f"count_{when}")
    return f" {when}" if count is None else f" of {count[1]:,} {when}"


def _level(c: ChangedShare) -> str:
    return level_title(c.attribute, c.level)


def _variable(c: ChangedShare) -> str:
    """What a level is of, in words."""
    of = f" of “{c.concept}”" if c.concept else ""
    return c.attribute if c.kind == "domain" else f"{c.attribute} ({c.stage}{of})"


def _variables(shares: Sequence[ChangedShare]) -> list[str]:
    """The attributes, and at how many stages each."""
    stages: dict[tuple[str, str], set[str]] = {}
    for c in shares:
        stages.setdefault((c.attribute, c.concept), set()).add(c.stage)
    return [
        attribute
        + (f" of “{concept}”" if concept else "")
        + (f" ({len(at)} stages)" if len(at) > 1 else "")
        for (attribute, concept), at in stages.items()
    ]


def listed(names: Sequence[str], most: int = _TOLD) -> str:
    """The first of many names, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _told(c: ChangedShare) -> str:
    """A share and how it differs, in words; a difference of bounds has no middle."""
    of = f"missing {c.attribute}" if c.kind == "missing" else f"{c.attribute} “{_level(c)}”"
    of, colon = (c.attribute, "") if c.kind in _LINES else (of, ":")
    where = f", {c.stage}" if c.kind == "composition" else ""
    where += f" of “{c.concept}”" if c.concept else ""
    assert c.difference is not None
    ends = [points_words(end or 0.0) for end in (c.difference.low, c.difference.high)]
    if c.difference.value is None:
        return f"{of}{where}{colon} changed by {ends[0]} to {ends[1]} points"
    sampled = has_interval(c) and None not in (c.difference.low, c.difference.high)
    interval = f" [{ends[0]}, {ends[1]}]" if sampled else ""
    points = f"{points_words(c.difference.value)} points{interval}"
    values = [_percent(_share(c, when)) for when in ("before", "after")]
    known = _known(c)
    return f"{of}{where}{colon} {values[0]} before, {values[1]} after ({points}{known})"


def _known(c: ChangedShare) -> str:
    """The same shares among the rows whose level is known, where that is another number."""
    if c.known_before is None or c.known_after is None:
        return ""
    if c.known_before.value is None or c.known_after.value is None:
        return ""
    values = [_percent(e.value) for e in (c.known_before, c.known_after) if e.value is not None]
    return f"; of those known {values[0]} before, {values[1]} after"


def _percent(share: float) -> str:
    return Source("", share).percent().shown


def points_words(difference: float) -> str:
    """In points, signed; below one point in two significant digits, so that few is not none.

    >>> points_words(0.047), points_words(-0.0014), points_words(0.0)
    ('+4.7', '−0.14', '0.0')
    """
    points = 100 * difference
    digits = 1
    if 0 < abs(points) < 1:
        digits = min(_DIGITS, 1 - math.floor(math.log10(abs(points))))
    said = f"{points:+.{digits}f}"
    return "0.0" if not float(said) else said.replace("-", _MINUS)
