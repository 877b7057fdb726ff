"""Measures: what is computed once a row, so that many steps can decide on it cheaply."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import ftfy
import mmh3
import numpy as np
import polars as pl
import regex
from numpy.typing import NDArray

__all__ = ["WHITE_SPACE", "clean_text", "clean_texts", "domain", "row_key", "row_keys", "words"]

#: What Python's ``str.strip`` strips; polars' own idea of white space is a little smaller.
WHITE_SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace())

# ftfy leaves such text as it is (tested against ftfy itself), unless it has an entity; most English
# captions are such.
_PLAIN, _ENTITY = r"\A[ -~]*\z", r"&#?[0-9A-Za-z]{1,24};"
_PLAIN_TEXT = regex.compile(r"[ -~]*")
_ENTITY_IN = regex.compile(_ENTITY)
_WORD = regex.compile(r"[\p{L}\p{N}\p{M}]+(?:['’][\p{L}\p{N}\p{M}]+)*")


def clean_text(text: str, *, printable_only: bool = False) -> str:
    r"""The crawlers' cleaning: newline to space, ftfy, strip.

    With ``printable_only``, as LAION-5B's, every character that Python does not call printable is
    then removed: control characters, and no-break spaces and joiners too.

    >>> clean_text(" caf\u00c3\u00a9 &amp; bar\n")
    'café & bar'
    """
    if _PLAIN_TEXT.fullmatch(text) and not _ENTITY_IN.search(text):
        return text.strip()
    fixed = ftfy.fix_text(text.replace("\n", " ")).strip()
    if printable_only and not fixed.isprintable():
        return "".join(filter(str.isprintable, fixed))
    return fixed


def clean_texts(texts: pl.Series, *, printable_only: bool = False) -> pl.Series:
    """`clean_text` of every caption (String, no nulls), plain ones without leaving polars."""
    plain = texts.str.contains(_PLAIN) & ~texts.str.contains(_ENTITY)
    # in plain text the only white space is the space
    cleaned = texts.str.strip_chars(" ")
    if plain.all():
        return cleaned
    fixed = [clean_text(t, printable_only=printable_only) for t in texts.filter(~plain)]
    odd = pl.Series(fixed, dtype=pl.String)
    return cleaned.scatter(np.flatnonzero(~plain.to_numpy()), odd)


def domain(url: str) -> str:
    """The host of a URL in lower case; '' where there is none.

    >>> domain("https://Img.Example/a.jpg")
    'img.example'
    """
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def row_key(parts: Sequence[str]) -> int:
    """64-bit key of a row as in LAION's ``hash`` column: mmh3.hash64 of the parts joined."""
    return int(mmh3.hash64("".join(parts).encode("utf-8", "surrogatepass"))[0])


def row_keys(columns: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """`row_key` of every row; ``columns`` are equally long."""
    return np.array([row_key(parts) for parts in zip(*columns, strict=True)], dtype=np.int64)


def words(text: str) -> list[str]:
    """Words in lower case: runs of letters, marks and digits of any script, apostrophes inside.

    Scripts without spaces (Chinese, Japanese, Thai) are not segmented.

    >>> words("A doctor's desk, 2 pens")
    ['a', "doctor's", 'desk', '2', 'pens']
    """
    return list(_WORD.findall(text.lower()))
