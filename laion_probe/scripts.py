"""The dominant Unicode script of captions."""

from __future__ import annotations

import functools

import numpy as np
import polars as pl
import regex
from numpy.typing import NDArray

__all__ = ["MIXED", "NO_LETTERS", "OTHER_SCRIPT", "SCRIPTS", "dominant_scripts"]

#: No script has more than half of the letters.
MIXED = "mixed"
#: Digits, punctuation, emoji, nothing.
NO_LETTERS = "none"
#: A script that is in `SCRIPTS` by no name of its own.
OTHER_SCRIPT = "other script"

# Scripts in recommended and in limited modern use (Unicode Standard Annex 31, tables 5 and 7).
_NAMED = (
    *("Latin", "Han", "Hiragana", "Katakana", "Hangul", "Cyrillic", "Arabic", "Devanagari"),
    *("Bengali", "Tamil", "Telugu", "Gujarati", "Gurmukhi", "Kannada", "Malayalam", "Oriya"),
    *("Sinhala", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Greek", "Hebrew", "Armenian"),
    *("Georgian", "Ethiopic", "Thaana", "Bopomofo", "Mongolian", "Syriac", "Cherokee"),
    *("Canadian_Aboriginal", "Tifinagh", "Nko", "Adlam", "Javanese", "Balinese", "Sundanese"),
    *("Meetei_Mayek", "Ol_Chiki", "Yi", "Vai"),
)
_JAPANESE = "Japanese"
_KANA = ("Hiragana", "Katakana")

#: The levels of a caption, but for the three that name no script.
SCRIPTS = tuple(s.replace("_", " ") for s in (*_NAMED, _JAPANESE) if s not in _KANA)

_LAST = 0x110000
_CHUNK = 20_000  # captions; the table of counts has a column a script


def dominant_scripts(texts: pl.Series) -> pl.Series:
    """For captions (String, no nulls), the script that more than half of the letters are of.

    Letters are characters of the category L; those of no one script (Common, Inherited: a long
    vowel mark, mathematical letters) are not counted. As in the augmented script sets of Unicode
    Technical Standard 39, Han counts with kana as *Japanese* in a caption that has kana, and with
    Hangul as *Hangul* in one that has Hangul; else it is *Han*.

    >>> dominant_scripts(pl.Series(["a sari", "साड़ी", "着物の女性", "女性", "2024 !"])).to_list()
    ['Latin', 'Devanagari', 'Japanese', 'Han', 'none']
    """
    latin = texts.str.contains("[A-Za-z]")
    level = pl.select(
        pl.when(latin).then(pl.lit("Latin")).otherwise(pl.lit(NO_LETTERS)).alias("script")
    ).to_series()
    odd = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    for start in range(0, len(odd), _CHUNK):
        places = odd.slice(start, _CHUNK)
        level = level.scatter(places, _of_any(texts.gather(places)))
    return level


def _of_any(texts: pl.Series) -> pl.Series:
    table, names = _script_table()
    points = np.frombuffer("".join(texts.to_list()).encode("utf-32-le"), dtype=np.uint32)
    script = table[points]  # 0 where it is no letter of a script
    row = np.repeat(np.arange(len(texts)), texts.str.len_chars().to_numpy())
    cells = row * len(names) + script
    n = np.bincount(cells, minlength=len(texts) * len(names)).reshape(len(texts), len(names))
    n[:, 0] = 0
    han, hangul, japanese = (names.index(s) for s in ("Han", "Hangul", _JAPANESE))
    for with_han in (japanese, hangul):
        rows = n[:, with_han] > 0
        n[rows, with_han] += n[rows, han]
        n[rows, han] = 0
    best = n.argmax(axis=1)
    most, letters = n[np.arange(len(n)), best], n.sum(axis=1)
    words = np.array(names, dtype=object)[best]
    words[2 * most <= letters] = MIXED
    words[letters == 0] = NO_LETTERS
    return pl.Series(words, dtype=pl.String)


@functools.cache
def _script_table() -> tuple[NDArray[np.uint8], list[str]]:
    """Code point -> place in the list of names; place 0 is no letter of any script."""
    names = ["", *SCRIPTS, OTHER_SCRIPT]
    # no letters beyond plane 3; a surrogate cannot be in a text
    points = [*range(0xD800), *range(0xE000, 0x40000)]
    every = "".join(map(chr, points))
    place = np.array(points)
    table = np.zeros(_LAST, dtype=np.uint8)

    def mark(pattern: str, name: str) -> None:
        for found in regex.finditer(pattern, every):
            table[place[found.start() : found.end()]] = names.index(name)

    mark(r"(?V1)[\p{L}--\p{Script=Common}--\p{Script=Inherited}]+", OTHER_SCRIPT)
    for script in _NAMED:
        name = _JAPANESE if script in _KANA else script.replace("_", " ")
        mark(rf"(?V1)[\p{{L}}&&\p{{Script={script}}}]+", name)
    return table, names
