"""DALL·E mini's caption normaliser, stage by stage in its published order.

Facts from borisdayma/dalle-mini, ``src/dalle_mini/model/text.py`` at commit f698aa3, the version
that turns emoji into words (``setup.cfg`` at afad03e asks for the package). Before it, as at
2cd99ce, emoji were left to unidecode, which drops them, and an HTML tag left no space. Which of the
two a released model was trained with is not known to us.

What differs from the original:

- ``anyascii`` 0.3.3 takes the place of ``unidecode`` 1.4.0 unless asked otherwise, trimmed to what
  the latter knows (`transliteration`). On 2026-11-22 the two gave different words for 2 of 1 000
  captions of LAION-400M and 92 of 230 hand-written ones in some 60 scripts, mostly of South Asia
  ("mahila" is mhilaa or mhila), and emptied the same 19 of the 230 (N'Ko, Tifinagh, Javanese, …).
- Hashtags were split into words by a frequency list on the hub (``enwiki-words-frequency.txt``),
  which is not shipped. Without ``word_costs`` a tag is split where CamelCase or an underscore
  says so, and "#doctorwho" stays one word.
- The names of emoji come from whichever version of ``emoji`` is installed, here as there.
"""

from __future__ import annotations

import html
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.measures import clean_texts
from laion_probe.rewriting.transliteration import Transliteration, transliterator

__all__ = ["dalle_mini", "rank_costs"]

#: What a person is called, with the word counts in Wikipedia that serve as weights.
PERSON_WORDS = (("a person", 282265), ("someone", 121194), ("somebody", 12219))

# A mark in the place of a dot, quote or slash that is to survive. It is made of letters, as in the
# original, because the stages between see it as part of a word.
_DOT, _QUOTE, _SLASH = (f"xtokx{name}xtokx" for name in ("dot", "quote", "slash"))

_Stage = tuple[str, str]  # a regular expression of polars and what replaces it
_PEOPLE: tuple[_Stage, ...] = ((r"<person>(?:[,\s]*(?:and)*[,\s]*<person>)+", " people "),)
_UP_TO_HASHTAGS: tuple[_Stage, ...] = (
    (r"\A\s*\[\d+\]", ""),  # references of Wikipedia
    (r"\[\d+\]\s*\z", ""),
    (r"<[^<]+?>", " "),  # HTML tags
    (r"http\S+", ""),
    (r"(\d),(\d{3})", "${1}${2}"),  # once for thousands,
    (r"(\d),(\d{3})", "${1}${2}"),  # once more for millions: matches do not overlap
    (r"(\w)\.(\w)", f"${{1}}{_DOT}${{2}}"),
    (r"'([stdm]|ll|re|ve)\b", f"{_QUOTE}${{1}}"),
    (r"(\d)/(\d)", f"${{1}}{_SLASH}${{2}}"),
    (r"(\w)-(\w)", "${1} ${2}"),
    (r"([%&/$*])", " ${1} "),
)
_UP_TO_REPEATS: tuple[_Stage, ...] = (
    (r"[_#\\]", " "),
    (r"""['"`]""", ' " '),
    (r"[()\[\].,|:;?!=+~\-/{}]", ","),
    (_DOT, "."),
    (_QUOTE, "'"),
    (_SLASH, "/"),
)
_TO_THE_END: tuple[_Stage, ...] = (
    (r'(?:\s*"+\s*)+', ' " '),
    (r"(?:\s*,+\s*)+", ", "),
    (r"\s+", " "),
)

_HASHTAG = re.compile(r"#(\w+)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_REPEATED = re.compile(r"(\D)\1{3,}")
# polars has no back reference: this finds the rows where `_REPEATED` may match
_MAY_REPEAT = "|".join(
    [
        *(f"{re.escape(c)}{{4,}}" for c in map(chr, range(0x21, 0x7F)) if not c.isdigit()),
        r"[^\x00-\x7f]",
    ]
)
# more digits than int() reads: no character, whatever they are
_ENDLESS_REFERENCE = re.compile(r"&#\d{4000,};?")


def dalle_mini(
    texts: pl.Series,
    seed_values: NDArray[np.float64],
    transliteration: Transliteration = "anyascii",
    emoji_to_words: bool = True,
    word_costs: Mapping[str, float] | None = None,
) -> pl.Series:
    """Captions as DALL·E mini's model read them: lower-case ASCII with a leading space.

    A caption without words comes back as one space, as in the original: an *emptied* row is one
    that strips to nothing. ``seed_values`` holds one uniform number in [0, 1) a row; it picks the
    word for the first ``<PERSON>``, and the ones after it follow from it. ``word_costs`` splits
    hashtags (`rank_costs`). Raises what `transliterator` raises.

    With ``transliteration="none"``, which was never published, other scripts stay as they are.

    >>> dalle_mini(pl.Series(["<PERSON>'s café: 1,000 cups!!"]), np.array([0.9])).item()
    " someone 's cafe, 1000 cups"
    """
    texts = _to_plain(texts, transliteration, emoji_to_words)
    if word_costs is None:
        texts = _where(texts, r"#\w*[a-z][A-Z]", _mark_camel_case)
    texts = _replaced(texts.str.to_lowercase(), _PEOPLE)
    named = texts.str.contains("<person>", literal=True).arg_true()
    if len(named):
        pairs = zip(texts.gather(named), seed_values[named.to_numpy()].tolist(), strict=True)
        texts = texts.clone().scatter(named, [_with_person_words(t, u) for t, u in pairs])
    texts = _replaced(texts, _UP_TO_HASHTAGS)
    if word_costs is None:
        texts = texts.str.replace_all(_HASHTAG.pattern, "${1}")
    else:
        texts = _where(texts, _HASHTAG.pattern, _HashtagSplitter(word_costs).in_text)
    texts = _replaced(texts, _UP_TO_REPEATS)
    texts = _where(texts, _MAY_REPEAT, lambda t: _REPEATED.sub(r"\1", t))
    texts = _replaced(texts, _TO_THE_END)
    texts = texts.str.strip_chars().str.strip_suffix(",").str.strip_prefix(",").str.strip_chars()
    return " " + texts


def rank_costs(words: Iterable[str]) -> dict[str, float]:
    """Costs for splitting hashtags: the logarithm of a word's rank, the most frequent word first.

    >>> rank_costs(["the", "of"])
    {'the': 0.0, 'of': 0.6931471805599453}
    """
    return {word: math.log(rank) for rank, word in enumerate(words, start=1)}


def _to_plain(texts: pl.Series, transliteration: Transliteration, emoji: bool) -> pl.Series:
    """ftfy, HTML unescaped twice, emoji to words, ASCII; plain captions stay in polars."""
    to_ascii = transliterator(transliteration)

    def plain(text: str) -> str:
        text = _unescape(_unescape(text))
        if text.isascii():
            return text
        return to_ascii(_demojize(text) if emoji else text)

    return _where(clean_texts(texts), r"[^\x00-\x7f]|&", plain)


def _where(texts: pl.Series, pattern: str, rewrite: Callable[[str], str]) -> pl.Series:
    """The captions that match rewritten one by one, the others as they are."""
    places = texts.str.contains(pattern).arg_true()
    if not len(places):
        return texts
    return texts.clone().scatter(
        places, pl.Series([rewrite(t) for t in texts.gather(places)], dtype=pl.String)
    )


def _replaced(texts: pl.Series, stages: tuple[_Stage, ...]) -> pl.Series:
    for pattern, value in stages:
        texts = texts.str.replace_all(pattern, value)
    return texts


def _unescape(text: str) -> str:
    return html.unescape(_ENDLESS_REFERENCE.sub("\ufffd", text))


def _demojize(text: str) -> str:
    import emoji

    return emoji.demojize(text)


def _mark_camel_case(text: str) -> str:
    return _HASHTAG.sub(lambda m: "#" + _CAMEL.sub("_", m.group(1)), text)


def _with_person_words(text: str, uniform: float) -> str:
    first, *rest = text.split("<person>")
    return first + "".join(
        f" {_person_word(_uniform(uniform, n))} {part}" for n, part in enumerate(rest)
    )


def _person_word(uniform: float) -> str:
    left = uniform * sum(weight for _, weight in PERSON_WORDS)
    for word, weight in PERSON_WORDS[:-1]:
        if left < weight:
            return word
        left -= weight
    return PERSON_WORDS[-1][0]


def _uniform(uniform: float, n: int) -> float:
    """The row's own number for n = 0, then SplitMix64 of its bits (Steele et al. 2014)."""
    if n == 0:
        return uniform
    mask = (1 << 64) - 1
    z = (struct.unpack("<Q", struct.pack("<d", uniform))[0] + n * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return float((z ^ (z >> 31)) >> 11) / (1 << 53)


class _HashtagSplitter:
    """Splits run-together words at the least total cost; unknown words cost infinitely much.

    Ties go to the shortest last word. Digits that were torn apart are put together again.
    """

    def __init__(self, costs: Mapping[str, float]) -> None:
        self._costs = costs
        self._longest = max(map(len, costs), default=1)

    def in_text(self, text: str) -> str:
        return _HASHTAG.sub(lambda m: self.split(m.group(1)), text)

    def split(self, tag: str) -> str:
        return " ".join(word for part in re.split(r"[\W_]+", tag) for word in self._words(part))

    def _words(self, part: str) -> list[str]:
        best: list[tuple[float, int]] = [(0.0, 0)]  # of the first i characters: cost, last length
        for end in range(1, len(part) + 1):
            lengths = range(1, min(end, self._longest) + 1)
            best.append(
                min((best[end - n][0] + self._cost(part[end - n : end]), n) for n in lengths)
            )
        words: list[str] = []
        end = len(part)
        while end:
            start = end - best[end][1]
            if words and part[end - 1].isdigit() and words[-1][0].isdigit():
                words[-1] = part[start:end] + words[-1]
            else:
                words.append(part[start:end])
            end = start
        return words[::-1]

    def _cost(self, word: str) -> float:
        return self._costs.get(word, math.inf)
