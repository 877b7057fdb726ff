"""Conceptual Captions' hypernyms, as far as rules go without a tagger.

Sharma et al. 2018 (ACL), section 3: modifiers such as proper nouns, numbers and units were removed,
then dates, durations and locations behind a preposition; named entities were replaced by their
hypernyms from Google's Knowledge Graph ("actor" for an actor's name), and "actor and actor" became
"actors". The paper's tagger, its entity linker and the graph are not available, so here

- people's full names become "person" (`laion_probe.lexicons.names`), several in a row "people",
  and a role before the name stays alone: "actor Salman Khan" is "actor";
- dates, years, durations, numbers and their units are removed;

and these are *not* done: places, organisations and brands stay; who is an actor without being
called one stays "person"; roles are not put in the plural; numbers in words stay; no caption is
discarded for having become too short (the paper dropped about a fifth).
"""

from __future__ import annotations

import re

import polars as pl

from laion_probe.lexicons.names import replace_names

__all__ = ["hypernyms"]

_ROLES = (
    "actor|actress|artist|athlete|author|boxer|businessman|businesswoman|coach|comedian|composer|"
    "cricketer|dancer|designer|director|driver|drummer|footballer|goalkeeper|guitarist|journalist|"
    "lawyer|model|musician|novelist|painter|photographer|player|poet|politician|president|"
    "prime minister|rapper|senator|singer|songwriter|striker|swimmer|writer"
)
_MONTHS = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\\.?"
)
_PREPOSITION = "(?:on|in|since|from|until|circa|around|by|for)"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = r"(?:1[5-9]|20)\d\d"
_UNITS = (
    "mm|cm|m|km|inch(?:es)?|ft|feet|yards?|miles?|mph|kmh|px|pixels?|mg|g|kg|oz|lbs?|ml|cl|l|"
    "litres?|liters?|kb|mb|gb|tb|w|watts?|v|mah|hz|khz|mhz|ghz|k|ct|pcs|degrees"
)
_NUMBER = r"[#№$€£¥₹]?\s?\d+(?:[.,]\d+)*"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{_DAY}\s+(?:of\s+)?{_MONTHS}(?:,?\s+{_YEAR})?(?!\w)",
        rf"\b{_MONTHS}\s+{_DAY}(?:,?\s+{_YEAR})?(?!\w)",
        rf"\b{_MONTHS},?\s+{_YEAR}\b",
        rf"\b{_PREPOSITION}\s+{_MONTHS}(?!\w)",
    )
)
_YEARS_AND_DURATIONS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<!\w)\d{1,4}([/.-])\d{1,2}\1\d{2,4}(?!\w)",
        rf"(?<![\w.,]){_YEAR}(?:s|'s|\s?[-–]\s?(?:{_YEAR}|\d\d)s?)?(?![\w.,]\w|\w)",
        r"(?<!\w)\d+(?:\.\d+)?[\s-]?(?:second|minute|hour|day|week|month|year)s?"
        r"(?:[\s-]old)?\b",
    )
)
_NUMBER_AND_UNIT = re.compile(
    rf"(?<!\w){_NUMBER}(?:\s?[x×]\s?\d+(?:[.,]\d+)*)*"
    rf"(?:\s?-?(?:{_UNITS})\b|in\b|\s?[%\"″′°])?(?!\w)",  # "40 in London" is no length
    re.IGNORECASE,
)
_MONTH = re.compile(rf"\b{_MONTHS}", re.IGNORECASE)
# Whatever is removed starts with a digit or names a month.
_MAY_CHANGE = rf"(?i)\d|\b{_MONTHS}"

# What stands for a date or number until the preposition before it is gone as well.
_GAP = "\x00"
# What removals and replacements leave behind, put right by polars.
_TIDY = (
    (
        rf"(?i)(?:\b{_PREPOSITION}\s+(?:the\s+)?(?:early\s+|mid-?\s?|late\s+)?)?{_GAP}",
        " ",
    ),
    (r"[(\[]\s*[)\]]", " "),
    (r"\s+([,.;:!?)])", "${1}"),
    (r"([,;:])(?:\s*[,;:])+", "${1}"),
    (r"[,;:]\s*([)\]])", "${1}"),
    (r"\s+", " "),
    (r"\A[\s,;:|–-]+|[\s,;:|–-]+\z", ""),
)


def hypernyms(texts: pl.Series) -> pl.Series:
    """Captions with people's names generalised and dates and numbers removed; case is kept.

    >>> hypernyms(pl.Series(["actor Salman Khan in Mumbai on 3 May 2019"])).item()
    'actor in Mumbai'
    """
    texts = replace_names(texts, "person")
    texts = texts.str.replace_all(
        r"\bperson(?:\s*,\s*person)*\s*,?\s*(?:\band|&)\s+person\b", "people"
    )
    texts = texts.str.replace_all(rf"(?i)\b({_ROLES})\s+person\b", "${1}")
    rows = texts.str.contains(_MAY_CHANGE).arg_true()
    shorter = pl.Series([_without_numbers(t) for t in texts.gather(rows)], dtype=pl.String)
    texts = texts.clone().scatter(rows, shorter)
    for pattern, value in _TIDY:
        texts = texts.str.replace_all(pattern, value)
    return texts


def _without_numbers(text: str) -> str:
    if _MONTH.search(text):
        for pattern in _DATES:
            text = pattern.sub(_GAP, text)
    for pattern in _YEARS_AND_DURATIONS:
        text = pattern.sub(_GAP, text)
    return _NUMBER_AND_UNIT.sub(" ", text)
