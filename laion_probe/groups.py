"""Groups of rows that a scan counts by: each gives every row one level, *unknown* included.

A group is chosen with ``--by``: a name in `GROUPS`, or one of

- ``words:WORDS``: the captions that name something
- ``terms:PATH.toml``: the levels of a list of terms of one's own (see `laion_probe.lexicons`)
- ``domain:a.com,b.org``: these registered domains, and the others
- ``language:DETECTOR``: the language by a reference detector

Levels are what captions and addresses say, counted in captions. None is the identity of a person.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from laion_probe.errors import ConfigError
from laion_probe.language import DETECTORS, guess_frame
from laion_probe.lexicons import Lexicon, find_levels, has_tell, known_lexicons, load_lexicon
from laion_probe.neighbourhood import keywords, names_concept
from laion_probe.recipes.loading import CHECKS
from laion_probe.recipes.model import Step
from laion_probe.registry import Registry
from laion_probe.scripts import MIXED, NO_LETTERS, dominant_scripts
from laion_probe.steps import Batch
from laion_probe.webplaces import among_domains, regions, registered_domains, tlds

__all__ = ["GROUPS", "NONE_NAMED", "SEVERAL", "UNKNOWN", "Group", "group_key", "load_group"]

#: The level of rows of which the group cannot be told.
UNKNOWN = "unknown"
#: The level of captions that name no level of a list of terms.
NONE_NAMED = "none named"
#: The level of captions that name more than one.
SEVERAL = "several"

_OTHER_DOMAIN = "other"


@dataclass(frozen=True)
class Group:
    """A way to divide rows: ``levels`` maps a batch to a level a row (String).

    Captions are as given (``batch.column("text")``), not as rewritten. ``source`` says where the
    division is from, ``note`` what a reader of its counts must know.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    levels: Callable[[Batch], pl.Series]
    source: str = ""
    note: str = ""


GROUPS: Registry[Group] = Registry("group")

_LENGTHS = ((0, "empty"), (4, "1 to 4"), (20, "5 to 20"), (80, "21 to 80"), (300, "81 to 300"))
_WORDS = (
    *((0, "none"), (1, "1"), (3, "2 to 3"), (7, "4 to 7"), (15, "8 to 15"), (31, "16 to 31")),
)


def load_group(name: str) -> Group:
    """The group of that name or form (see the module). Raises `UnknownName` or `ConfigError`."""
    kind, colon, rest = name.partition(":")
    if colon and kind in _FORMS:
        return _FORMS[kind](name, rest)
    return GROUPS[name]


def group_key(name: str) -> str:
    """What identifies the group in a fingerprint: its name, and the text of a list of one's own."""
    kind, _, path = name.partition(":")
    if kind != "terms":
        return name
    load_group(name)  # an error names the file
    return f"{name}#{hashlib.sha256(Path(path).read_bytes()).hexdigest()}"


def _words_group(name: str, rest: str) -> Group:
    wanted = keywords(rest)
    if not wanted:
        raise ConfigError(f"group '{name}' has no letters or digits: give words")

    def levels(batch: Batch) -> pl.Series:
        return _either(names_concept(_text(batch), wanted), "named", "not")

    return Group(name, f"captions that name “{rest.strip()}”", ("text",), levels)


def _terms_group(name: str, path: str) -> Group:
    if not path.endswith(".toml"):
        raise ConfigError(f"group '{name}' names no list: write terms:PATH.toml")
    lexicon = load_lexicon(path)
    clash = {UNKNOWN, NONE_NAMED, SEVERAL} & set(lexicon.levels)
    if clash:
        raise ConfigError(f"terms {path}: the level '{clash.pop()}' has a meaning here; rename it")
    return _named_group(name, lexicon)


def _domain_group(name: str, rest: str) -> Group:
    domains = tuple(dict.fromkeys(d.strip().lower() for d in rest.split(",") if d.strip()))
    if not domains:
        raise ConfigError(f"group '{name}' names no domain: write domain:example.com,example.org")
    registered = registered_domains(pl.Series([f"http://{d}" for d in domains]))
    for given, found in zip(domains, registered, strict=True):
        if given != found:
            near = f"; did you mean '{found}'?" if found else ""
            raise ConfigError(f"group '{name}': '{given}' is no registered domain{near}")

    def levels(batch: Batch) -> pl.Series:
        return among_domains(batch.column("url"), domains, _OTHER_DOMAIN).fill_null(UNKNOWN)

    return Group(name, "registered domain", ("url",), levels, _SUFFIX_LIST)


def _language_group(name: str, detector: str) -> Group:
    unsure = DETECTORS[detector].unsure

    def levels(batch: Batch) -> pl.Series:
        # as a recipe that asks the same detector of the same captions
        given = batch.fork()
        return given.measured(
            f"language: {detector}", lambda t: guess_frame(detector, t.fill_null(""))
        )["code"]

    title = f"language of the caption as given, as {detector} reads it"
    return Group(name, title, ("text",), levels, note=f"one guess for each caption; {unsure}")


_FORMS: dict[str, Callable[[str, str], Group]] = {
    "words": _words_group,
    "terms": _terms_group,
    "domain": _domain_group,
    "language": _language_group,
}


def _text(batch: Batch) -> pl.Series:
    return batch.column("text").fill_null("")


def _column(name: str) -> Callable[[Batch], pl.Series]:
    return lambda batch: batch.column(name).fill_null(UNKNOWN)


def _either(mask: pl.Series, yes: str, no: str) -> pl.Series:
    return pl.select(pl.when(mask).then(pl.lit(yes)).otherwise(pl.lit(no))).to_series()


def _language(batch: Batch) -> pl.Series:
    if batch.language is None:
        return pl.repeat(UNKNOWN, batch.n, dtype=pl.String, eager=True)
    return batch.language


def _bucket(n: pl.Series, buckets: tuple[tuple[int, str], ...], last: str) -> pl.Series:
    level = pl.lit(last)
    for most, label in reversed(buckets):
        level = pl.when(n <= most).then(pl.lit(label)).otherwise(level)
    return pl.select(level).to_series()


def _length(batch: Batch) -> pl.Series:
    return _bucket(_text(batch).str.len_chars(), _LENGTHS, "over 300")


def _word_count(batch: Batch) -> pl.Series:
    return _bucket(_text(batch).str.count_matches(r"\S+"), _WORDS, "over 31")


def _script(batch: Batch) -> pl.Series:
    # as other groups that ask for it
    return batch.fork().measured("script", lambda t: dominant_scripts(t.fill_null("")))


@functools.cache
def _scripts_read(lexicon: Lexicon) -> list[str]:
    """Levels of `_script` of captions that the terms could be found in; empty: any caption."""
    terms = [t for one in lexicon.list for t in one.every_term]
    found = set(dominant_scripts(pl.Series(terms))) - {NO_LETTERS, MIXED}
    if not found:
        return []
    if found & {"Han", "Japanese"}:  # the same words stand in captions with kana and without
        found |= {"Han", "Japanese"}
    if found != {"Latin"}:  # Latin letters stand in captions of every language
        found.add(MIXED)
    return sorted({*found, NO_LETTERS})


def _unread(batch: Batch, lexicon: Lexicon) -> pl.Series:
    """Captions whose letters are mostly of a script of no list: what they name is not known.

    They are unknown even with a term, since the others of their language are: with the filters of
    a language, a level would else differ from the rest by the language of its captions alone.
    """
    read = _scripts_read(lexicon)
    if not read:
        return pl.repeat(False, batch.n, dtype=pl.Boolean, eager=True)
    return ~_script(batch).is_in(read)


def _not_english(batch: Batch) -> pl.Series:
    return batch.fork().measured(
        "tell of another language than English", lambda t: has_tell(t.fill_null(""), _WORDS_OF)
    )


def _gender_words(batch: Batch) -> pl.Series:
    named = find_levels(_text(batch), _WORDS_OF)
    woman, man = named["woman"], named["man"]
    return pl.select(
        pl.when(_unread(batch, _WORDS_OF))
        .then(pl.lit(UNKNOWN))
        .when(woman & man)
        .then(pl.lit("both"))
        .when(woman)
        .then(pl.lit("woman"))
        .when(man)
        .then(pl.lit("man"))
        .when(named["person"])
        .then(pl.lit("person, gender not stated"))
        .otherwise(pl.lit("no person named"))
    ).to_series()


def _person(batch: Batch) -> pl.Series:
    from laion_probe.lexicons.names import mentions_name  # reads lists of names: only when asked

    texts, unread = _text(batch), _unread(batch, _WORDS_OF)
    named = find_levels(texts, _WORDS_OF)
    word = named["woman"] | named["man"] | named["person"]
    level = _either(unread, UNKNOWN, "person word")
    rest = (~word & ~unread).arg_true()
    return level.scatter(rest, _either(mentions_name(texts.gather(rest)), "name only", "not found"))


def _named_group(name: str, lexicon: Lexicon, *, english: bool = False) -> Group:
    """``english``: a caption that shows a tell of another language is unknown too."""

    def levels(batch: Batch) -> pl.Series:
        named = find_levels(_text(batch), lexicon)
        unread = _unread(batch, lexicon)
        if english:
            unread |= _not_english(batch)
        n_named = pl.select(pl.sum_horizontal(*named)).to_series()
        level = pl.lit(NONE_NAMED)
        for column in named:
            level = pl.when(column).then(pl.lit(column.name)).otherwise(level)
        level = pl.when(n_named > 1).then(pl.lit(SEVERAL)).otherwise(level)
        return pl.select(pl.when(unread).then(pl.lit(UNKNOWN)).otherwise(level)).to_series()

    title = f"captions by the {lexicon.title}"
    note = f"{lexicon.note} {_UNREAD_ENGLISH if english else _UNREAD}".strip()
    return Group(name, title, ("text",), levels, lexicon.source, note)


def _by_address(of: Callable[[pl.Series], pl.Series]) -> Callable[[Batch], pl.Series]:
    return lambda batch: of(batch.column("url")).fill_null(UNKNOWN)


_SUFFIX_LIST = "the ICANN part of the public suffix list (publicsuffix.org)"
_M49 = "sub-regions of UN M49 as in CLDR; country codes in generic use by Google Search Central"
_NOT_A_PLACE = "a top-level domain is a registry: not where people in the picture live"
_WORDS_OF = load_lexicon("gender_words")
_UNREAD = (
    "Unknown, whatever they name: captions whose letters are mostly of a script of no list. "
    "Captions in further languages of the lists' scripts are read as if they named nothing else."
)
_UNREAD_ENGLISH = (
    "Unknown, whatever they name: captions that are not mostly in Latin letters, and those with a "
    "frequent word or a letter of another language (und, ø). Captions in other languages without "
    "such a tell are read as if they were English."
)

for _group in (
    Group("nsfw", "the input's own NSFW tag", ("nsfw",), _column("nsfw")),
    Group("language-tag", "the input's own language tag", ("language",), _column("language")),
    Group("language", "language as the recipe's detector reads it", (), _language),
    Group("length", "characters of the caption as given", ("text",), _length),
    Group("words", "words of the caption as given, parted by white space", ("text",), _word_count),
    Group(
        "script",
        "script of more than half of the caption's letters",
        ("text",),
        _script,
        "Unicode's Script property; scripts in modern use by Unicode Standard Annex 31",
        "Han beside kana counts as Japanese, beside Hangul as Hangul; mixed where none has half",
    ),
    Group(
        "gender-words",
        "captions by their words for women and men",
        ("text",),
        _gender_words,
        _WORDS_OF.source,
        f"{_WORDS_OF.note} {_UNREAD}",
    ),
    Group(
        "person",
        "captions by what names a person (“not found” is not “no person”)",
        ("text",),
        _person,
        f"{_WORDS_OF.source}; given names and surnames of Faker's locales",
        "a person word, else a name by lists that find far more names of Europe and the Americas "
        "than of South and East Asia; pictures of people with other captions are not found. "
        f"{_UNREAD}",
    ),
    Group(
        "region",
        "region of the address's top-level domain, not of the people in the picture",
        ("url",),
        _by_address(regions),
        _M49,
        _NOT_A_PLACE,
    ),
    Group("tld", "top-level domain", ("url",), _by_address(tlds), _SUFFIX_LIST, _NOT_A_PLACE),
    *(
        _named_group(_name.replace("_", "-"), load_lexicon(_name), english=True)
        for _name in known_lexicons()
        if _name.startswith("identity_")
    ),
):
    GROUPS.add(_group.name, _group)


def _check_groups(step: Step) -> None:
    """A step decides by groups that exist and are the same whatever recipe it is in."""
    for name in step.groups:
        if name == "language":
            raise ConfigError("a step cannot decide by language: write by = 'language:DETECTOR'")
        load_group(name)


CHECKS.append(_check_groups)
