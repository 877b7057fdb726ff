"""Which captions name which level of a list of terms."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from laion_probe.lexicons.reading import Lexicon, TermList

__all__ = ["find_levels", "has_tell"]

# Words end where letters, marks and digits end: "doctor_01.jpg" is a doctor, part "MR9Q2" no Mr.
_LETTER = r"\p{L}\p{M}\p{N}"
_ASCII_LETTER = "a-z0-9"
# ASCII, so that a term with an apostrophe is one of the terms for plain captions too
_APOSTROPHE = r"'\x{2019}"
_NEVER = r"[^\s\S]"


@dataclass(frozen=True)
class _Level:
    """Patterns of one level; ``other`` are longer terms of other levels, which win."""

    name: str
    always: str
    with_tell: str
    without_tell: str
    other: str


@dataclass(frozen=True)
class _Patterns:
    """Patterns in lower case; ``any_plain`` is for captions in ASCII, where it says the same."""

    any: str
    any_plain: str
    not_in: str
    not_inside: str
    tell: str
    levels: tuple[_Level, ...]


def find_levels(texts: pl.Series, lexicon: Lexicon) -> pl.DataFrame:
    """For captions (String, no nulls), one Boolean column a level: whether it is named.

    Where terms overlap the longer one counts: "native american" is not "american".

    >>> from laion_probe.lexicons import load_lexicon
    >>> find_levels(pl.Series(["a Sikh wedding"]), load_lexicon("identity_religion"))["Sikh"].item()
    True
    """
    patterns = _patterns(lexicon)
    lower = texts.str.to_lowercase()
    odd = lower.str.len_bytes() != lower.str.len_chars()
    hit = lower.str.contains(patterns.any_plain)
    if odd.any():
        places = odd.arg_true()
        # composed and decomposed letters are one (the nukta of लड़की is written both ways)
        normal = lower.gather(places).str.normalize("NFC")
        lower = lower.scatter(places, normal)
        hit = hit.scatter(places, normal.str.contains(patterns.any))
    places = hit.arg_true()
    found = lower.gather(places)
    tell = found.str.contains(patterns.tell)
    found = _without(found, patterns.not_in).str.replace_all(patterns.not_inside, " ")
    columns = []
    for level in patterns.levels:
        rest = _without(found, level.other)
        named = rest.str.contains(level.always)
        named |= tell & rest.str.contains(level.with_tell)
        named |= ~tell & rest.str.contains(level.without_tell)
        everywhere = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
        columns.append(everywhere.scatter(places, named).alias(level.name))
    return pl.DataFrame(columns)


def has_tell(texts: pl.Series, lexicon: Lexicon) -> pl.Series:
    """For captions (String, no nulls), whether a tell of the lexicon is in them (Boolean).

    >>> from laion_probe.lexicons import load_lexicon
    >>> has_tell(pl.Series(["Frau mit Hut"]), load_lexicon("gender_words")).item()
    True
    """
    lower = texts.str.to_lowercase()
    odd = (lower.str.len_bytes() != lower.str.len_chars()).arg_true()
    lower = lower.scatter(odd, lower.gather(odd).str.normalize("NFC"))
    return lower.str.contains(_patterns(lexicon).tell)


def _without(texts: pl.Series, pattern: str) -> pl.Series:
    if pattern == _NEVER:
        return texts
    # A match takes the spaces around it: two blanks keep neighbours whole for a second round.
    once = texts.str.replace_all(pattern, "  ")
    return once.str.replace_all(pattern, "  ")


@functools.cache
def _patterns(lexicon: Lexicon) -> _Patterns:
    every = [p for one in lexicon.list for p in _forms(one, lexicon)]
    ascii_only = [(p, inside) for p, inside in every if p.isascii()]
    tells = _words([_term(t) for t in lexicon.tells])
    if lexicon.tell_letters:
        tells += f"|[{re.escape(_normal(lexicon.tell_letters))}]"
    return _Patterns(
        any=_either(every, _LETTER),
        any_plain=_either(ascii_only, _ASCII_LETTER),
        not_in=_words([_term(t) for t in lexicon.not_in]),
        not_inside=_either([(_term(t), True) for t in lexicon.not_inside], _LETTER),
        tell=tells,
        levels=tuple(_level(name, lexicon) for name in lexicon.levels),
    )


def _level(name: str, lexicon: Lexicon) -> _Level:
    lists = [one for one in lexicon.list if one.level == name]
    own = [f" {t} " for one in lists for t in _plain_terms(one)]
    others = [t for one in lexicon.list if one.level != name for t in _plain_terms(one)]
    longer = [t for t in others if any(o in f" {t} " and o != f" {t} " for o in own)]
    return _Level(
        name=name,
        always=_either([p for one in lists for p in _always(one, lexicon)], _LETTER),
        with_tell=_either([p for one in lists for p in _of(one, one.terms_with_tell)], _LETTER),
        without_tell=_either(
            [p for one in lists for p in _of(one, one.terms_without_tell)], _LETTER
        ),
        other=_words([_term(t) for t in longer]),
    )


def _plain_terms(one: TermList) -> list[str]:
    if one.match != "words":
        return []
    return [re.sub(r"[\s-]+", " ", _normal(t)) for t in one.every_term]


def _forms(one: TermList, lexicon: Lexicon) -> list[tuple[str, bool]]:
    return [*_always(one, lexicon), *_of(one, one.terms_with_tell + one.terms_without_tell)]


def _always(one: TermList, lexicon: Lexicon) -> list[tuple[str, bool]]:
    """Regexes of what always counts, and whether each counts inside words."""
    before = [_term(t) for t in one.terms_before_noun]
    if not before:
        return _of(one, one.terms)
    nouns = "|".join(_term(n) for n in lexicon.nouns)
    start, end = rf"(?:^|[^{_LETTER}])", rf"(?:$|[^{_LETTER}{_APOSTROPHE}])"
    # with bounds of its own: "black men's shoes" are black shoes
    phrase = rf"{start}(?:{'|'.join(before)})[\s-]+(?:{nouns}){end}"
    return [*_of(one, one.terms), (phrase, True)]


def _of(one: TermList, terms: Iterable[str]) -> list[tuple[str, bool]]:
    def optional(parts: tuple[str, ...]) -> str:
        return f"(?:{'|'.join(_term(p) for p in parts)})?" if parts else ""

    around = optional(one.prefixes), optional(one.suffixes)
    return [(f"{around[0]}{_term(t)}{around[1]}", one.match == "inside") for t in terms]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


def _term(text: str) -> str:
    """A term as a regex: blanks and hyphens stand for each other, as do apostrophes."""
    parts = re.split(r"[\s-]+", _normal(text).strip())
    escaped = (re.sub("['’]", lambda _: f"[{_APOSTROPHE}]", re.escape(part)) for part in parts)
    return r"[\s-]+".join(escaped)


def _either(forms: Iterable[tuple[str, bool]], letter: str) -> str:
    whole = [p for p, inside in forms if not inside]
    anywhere = [p for p, inside in forms if inside]
    found = [*anywhere, *([_words(whole, letter)] if whole else [])]
    return "|".join(found) or _NEVER


def _words(forms: Iterable[str], letter: str = _LETTER) -> str:
    joined = "|".join(forms)
    return rf"(?:^|[^{letter}])(?:{joined})(?:$|[^{letter}])" if joined else _NEVER
