"""Names of people by list: a rule-based stand-in for the commercial tagger behind CC12M.

Given names and surnames come from Faker (MIT), ``faker.providers.person`` in about 80 locales.

The rule, conservative on purpose:

- Scripts with capitals (Latin, Cyrillic, Greek, Armenian): a listed given name, capitalised, then
  further given names, initials or particles (de, van, bin, …), then a surname: a listed one, or one
  that is capitalised and no ordinary English word. A listed surname is needed where the given name
  is also a word, a place or a brand (Will, Rose, Paris) or stands only in exhaustive registers
  (``en``, ``is_IS``) or among Chinese syllables. Titles (Dr., Mrs.) before the name and Jr. or III
  after it belong to it. A given name alone does not count, nor does a surname.
- Scripts without capitals (Devanagari, Tamil, Bengali, Arabic, Hebrew, …): two listed names in a
  row, at least one of them a given name; in Hangul, a word that is surname and given name in one.
- Han and Kana are left out: no space sets their names off, and the lists are short.

The lists are uneven (`NameLists.sizes`): 6 824 given names for ``en``, 335 for ``hi_IN``, 81 for
``mr_IN``, 40 for ``ig_NG``, none for most languages; Indian names mostly in Indian scripts only. So
is the rule: surname-first names (Xi Jinping) and inflected ones (Путина) are missed. Of 15
well-known names each in Latin letters it found 13 of Europe and of Latin America, 11 of the United
States and Britain, 9 of Africa and of the Arab world, Turkey and Iran, 4 of South Asia and 3 of
East Asia (2026-11-22). Some people's names are found, and removed, more often than others' by
construction, and a difference between groups measured with it is partly that.

Of 500 captions of LAION-400M that the rule had not been fitted to it marked 54, of which 7 name
nobody (read by one reader), and it found about two in three names; a few words were added since.
CC12M's tagger is said to have marked about a quarter of its captions.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources
from typing import NamedTuple
from unicodedata import normalize

import polars as pl
import regex

__all__ = ["NameLists", "mentions_name", "name_lists", "name_matches", "replace_names"]

_PARTICLES = frozenset(
    regex.findall(
        r"\w+",
        "de da do dos das del della di du des van von der den ter ten zu af la le los las y e "
        "bin binti bint ibn al el abu",
    )
)
# Vietnamese Thế without its accents, and the like; particles begin no name either (El Paso).
_NEVER_GIVEN = _PARTICLES | {"am", "an", "as", "in", "my", "or", "per", "the", "to", "us"}
_SON_OR_DAUGHTER_OF = frozenset({"bin", "binti", "bint", "ibn"})
_SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv"})
# Before a given name these make a place, a title or a work of it: San Francisco, Saint John.
_NOT_A_PERSON_AFTER = frozenset(
    regex.findall(
        r"\w+",
        "san santa santo são st saint ste lake mount mt port fort ft north south east west new old "
        "cape isle king queen prince princess",
    )
)
# Every name ever registered, and Chinese syllables: ordinary words among them.
_REGISTERS = frozenset({"en", "is_IS", "zh_CN", "zh_TW"})
# Ends of English words that few surnames share.
_WORD_END = regex.compile(r"(?:ing|tion|sion|ment|ness|less|ful|able|ible|ous|ware|wear|ship)s?\Z")
_SHAPE = regex.compile(r"(?:Mc|Mac|Fitz|De|Di|Du|La|Le|Van|\p{Lu}['’])?\p{Lu}[\p{Ll}\p{M}]{2,}")
_TITLE_BEFORE = regex.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|Sra?|Herr|Frau|Mme|Shri|Smt)\.?\s+\Z")
# Where a surname that is also a word may end: "Emma Stone at", not "Emma Stone Dress".
_ENDS = regex.compile(
    r"\s*(?:\Z|[^\p{L}\p{N}\s]|['’]s\b"
    r"|\s(?:a|an|and|are|arrives?|as|at|attends?|by|during|for|from|has|in|is|of|on|or|poses?|the"
    r"|to|was|who|with|vs)\b)"
)
# A possessive 's is no part of a name, other apostrophes and hyphens inside are.
_TOKEN = regex.compile(r"\p{L}[\p{L}\p{M}]*(?:(?:['’](?!s\b)|-)\p{L}[\p{L}\p{M}]*)*")
_GAP = regex.compile(r"[ \u00a0]+")
_GAP_AFTER_INITIAL = regex.compile(r"\.?[ \u00a0]*")
_MARKS = regex.compile("[\u0300-\u036f\u064b-\u0652\u0670]")  # accents; vowels of Arabic


@dataclass(frozen=True)
class NameLists:
    """Names without accents and in lower case (`_key`).

    ``given`` and ``surnames`` hold one word each, of all scripts; ``doubtful`` the given names that
    need a listed surname; ``words`` what is no surname unless listed; ``korean`` the full names,
    which are one word in Hangul. ``sizes`` has the number of given names and of surnames by Faker's
    locale.
    """

    given: frozenset[str]
    doubtful: frozenset[str]
    surnames: frozenset[str]
    words: frozenset[str]
    korean: frozenset[str]
    sizes: dict[str, tuple[int, int]]


@cache
def name_lists() -> NameLists:
    """The lists of all locales of the installed Faker, read once (about a second)."""
    given: set[str] = set()
    elsewhere: set[str] = set()
    surnames: set[str] = set()
    korean: set[str] = set()
    sizes = {}
    for locale, first, last in _by_locale():
        sizes[locale] = (len(first), len(last))
        if locale == "ko_KR":
            korean = {_key(s + g) for s in last for g in first}
        else:
            keys = set(_keys(first))
            given |= keys
            surnames.update(_keys(last))
            if locale not in _REGISTERS:
                elsewhere |= keys
    words = _ordinary_words()
    given -= _NEVER_GIVEN
    return NameLists(
        given=frozenset(given),
        doubtful=frozenset((given - elsewhere) | (given & words)),
        surnames=frozenset(surnames),
        words=words,
        korean=frozenset(korean),
        sizes=sizes,
    )


def _ordinary_words() -> frozenset[str]:
    """The hand-picked words, and what Faker has of English: filler text and names of jobs."""
    from faker.providers.job.en_US import Provider as Jobs
    from faker.providers.lorem.en_US import Provider as Filler

    lines = resources.files(__package__).joinpath("ordinary_words.txt").read_text("utf-8")
    picked = regex.sub(r"(?m)^#.*", "", lines).split()
    return frozenset(
        [*picked, *Filler.word_list, *regex.findall(r"[a-z]+", " ".join(Jobs.jobs).lower())]
    )


def _by_locale() -> Iterator[tuple[str, set[str], set[str]]]:
    """Locale, given names and surnames; the classes hold them, no generator is made."""
    from faker.providers import person

    for module in pkgutil.iter_modules(person.__path__):
        provider = import_module(f"{person.__name__}.{module.name}").Provider
        given, surname = r"first_names|middle_names", r"last_names"
        if module.name.startswith(("ja", "zh")):  # Han and Kana are left out, not Latin letters
            given, surname = r"first_romanized_names", r"last_romanized_names"
        first: set[str] = set()
        last: set[str] = set()
        for attribute, names in vars(provider).items():
            if isinstance(names, (tuple, list, dict)):
                if regex.match(given, attribute):
                    first.update(names)
                elif regex.search(surname, attribute):
                    last.update(names)
        yield module.name, first, last


def _keys(names: set[str]) -> Iterator[str]:
    for name in names:
        for word in name.split():
            if len(word) > 1 and not word.endswith("."):
                yield _key(word)


def _key(word: str) -> str:
    return word.lower() if word.isascii() else _MARKS.sub("", normalize("NFD", word)).lower()


class _Word(NamedTuple):
    start: int
    end: int
    text: str
    key: str


def mentions_name(texts: pl.Series) -> pl.Series:
    """Whether each caption (String, no nulls) holds a full name by the rule of this module.

    >>> mentions_name(pl.Series(["Salman Khan in Mumbai", "a red rose", "Rose"])).to_list()
    [True, False, False]
    """
    rows = _rows_to_search(texts)
    hits = [next(name_matches(t), None) is not None for t in texts.gather(rows)]
    nowhere = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    return nowhere.scatter(rows, pl.Series(hits, dtype=pl.Boolean))


def replace_names(texts: pl.Series, with_: str = "<PERSON>") -> pl.Series:
    """Full names replaced by ``with_``, as in CC12M; '' takes the space that they leave as well.

    >>> replace_names(pl.Series(["Dr. Maria de la Cruz's desk"])).item()
    "<PERSON>'s desk"
    """
    rows = _rows_to_search(texts)
    replaced = [_replace(t, with_) for t in texts.gather(rows)]
    return texts.clone().scatter(rows, pl.Series(replaced, dtype=pl.String))  # scatter is in place


def name_matches(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each full name, from left to right.

    >>> [("by Arthur Miller, 1949")[a:b] for a, b in name_matches("by Arthur Miller, 1949")]
    ['Arthur Miller']
    """
    words = [_Word(m.start(), m.end(), m.group(), _key(m.group())) for m in _TOKEN.finditer(text)]
    at = 0
    while at < len(words):
        start, last = words[at].start, _last_word(text, words, at)
        if last is None:
            at += 1
            continue
        title = _TITLE_BEFORE.search(text, max(0, start - 8), start)
        yield (title.start() if title else start), words[last].end
        at = last + 1


def _replace(text: str, with_: str) -> str:
    parts: list[str] = []
    done = 0
    for start, end in name_matches(text):
        parts += [text[done:start], with_]
        done = end
    if not parts:
        return text
    replaced = "".join([*parts, text[done:]])
    return replaced if with_ else " ".join(replaced.split())


def _rows_to_search(texts: pl.Series) -> pl.Series:
    """Rows with a given name of the lists, or a word of Hangul that is a name."""
    lists = name_lists()
    words = texts.str.extract_all(
        r"[\p{Lu}\p{Lo}\p{Georgian}][\p{L}\p{M}]*(?:['’-]\p{L}[\p{L}\p{M}]*)*"
    )
    found = pl.DataFrame({"row": pl.int_range(len(texts), eager=True), "word": words})
    found = found.explode("word").drop_nulls("word")
    unique = found["word"].unique()
    keys = map(_key, unique)
    listed = unique.filter(
        pl.Series([_is_given(k) or k in lists.korean for k in keys], dtype=pl.Boolean)
    )
    return found.filter(pl.col("word").is_in(listed.implode()))["row"].unique().sort()


def _last_word(text: str, words: list[_Word], at: int) -> int | None:
    """The index of the last word of the full name that begins at ``at``; None if none does."""
    letter = words[at].text[0]
    if letter.isupper():
        return _last_cased(text, words, at)
    if letter.islower() and not "ა" <= letter <= "ჿ":  # Georgian is called lower case, but has none
        return None
    return _last_uncased(text, words, at)


def _last_uncased(text: str, words: list[_Word], at: int) -> int | None:
    lists = name_lists()
    if words[at].key in lists.korean:
        return at
    end = at
    while (
        end < len(words)
        and len(words[end].key) > 2  # shorter ones are too often words: Hindi एक is "one"
        and (words[end].key in lists.given or words[end].key in lists.surnames)
        and (end == at or _adjacent(text, words[end - 1], words[end]))
    ):
        end += 1
    named = any(word.key in lists.given for word in words[at:end])
    return end - 1 if named and end - at > 1 else None


def _last_cased(text: str, words: list[_Word], at: int) -> int | None:
    first = words[at]
    if not _is_given(first.key):
        return None
    if at and words[at - 1].key in _NOT_A_PERSON_AFTER and _adjacent(text, words[at - 1], first):
        return None
    here = at + 1
    while _follows(text, words, here):
        word = words[here]
        between = word.key in _PARTICLES or (len(word.text) == 1 and word.text.isupper())
        if not between and not _is_middle_name(text, words, here):
            break
        here += 1
    if not _follows(text, words, here) or not _is_surname(text, first, words[here]):
        return None
    while more := _more_surname(text, words, here):
        here += more
    return here


def _is_middle_name(text: str, words: list[_Word], at: int) -> bool:
    """Whether a given name stands between another and a surname: Sarah *Jessica* Parker."""
    if not _is_given(words[at].key) or not _follows(text, words, at + 1):
        return False
    if _is_listed_surname(words[at + 1]):
        return True
    return words[at].key not in name_lists().surnames and _is_surname(
        text, words[at], words[at + 1]
    )


def _more_surname(text: str, words: list[_Word], last: int) -> int:
    """How many words go on with the surname: a suffix, a second surname, or "bin Khalifa"."""
    if not _follows(text, words, last + 1):
        return 0
    word = words[last + 1]
    if word.key in _SUFFIXES and word.text[0].isupper():
        return 1
    if _is_listed_surname(word) and word.text.isupper() == words[last].text.isupper():
        return 1
    father = _follows(text, words, last + 2) and words[last + 2].text[0].isupper()
    return 2 if word.text in _SON_OR_DAUGHTER_OF and father else 0


def _is_surname(text: str, given: _Word, word: _Word) -> bool:
    """Whether ``word``, behind a given name, ends a full name."""
    lists = name_lists()
    doubtful = given.key in lists.doubtful
    if not word.text[0].isupper() or len(word.key) < (3 if doubtful else 2):
        return False
    listed = _listed(word.key, lists.surnames) or word.key in lists.given
    if word.key in lists.words:
        return listed and not doubtful and bool(_ENDS.match(text, word.end))
    if doubtful or given.text.isupper():
        # Matt Damon: a given name stands in the surname's place
        instead = (
            word.key in lists.given
            and word.key not in lists.doubtful
            and given.key not in lists.words
        )
        return _is_listed_surname(word) or instead
    return listed or (
        all(_SHAPE.fullmatch(part) for part in word.text.split("-"))
        and not _WORD_END.search(word.key)
    )


def _is_given(key: str) -> bool:
    """Whether it is a given name of the lists; of a hyphened one the first part will do."""
    lists, head = name_lists(), key.partition("-")[0]
    return key in lists.given or (head in lists.given and head not in lists.doubtful)


def _is_listed_surname(word: _Word) -> bool:
    """Whether it is a surname of the lists, capitalised, and no ordinary word."""
    return (
        word.text[0].isupper()
        and _listed(word.key, name_lists().surnames)
        and word.key not in name_lists().words
    )


def _listed(key: str, names: frozenset[str]) -> bool:
    """Whether the word, or each part of a hyphened one, is among ``names``."""
    return key in names or all(part in names for part in key.split("-"))


def _follows(text: str, words: list[_Word], at: int) -> bool:
    """Whether there is a word ``at``, behind the one before it with only space between."""
    return at < len(words) and _adjacent(text, words[at - 1], words[at])


def _adjacent(text: str, before: _Word, after: _Word) -> bool:
    gap = _GAP_AFTER_INITIAL if len(before.text) == 1 else _GAP
    return gap.fullmatch(text, before.end, after.start) is not None
