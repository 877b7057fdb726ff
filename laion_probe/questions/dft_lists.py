"""Lists of professions and of words for people, as a plan of diversity fine-tuning crosses them.

They are TOML files that a user copies and edits; each word for people has a source and a review
note, without which a list is refused. No list is taken unless it is named.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from laion_probe.attributes import UNKNOWN, load_attribute
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.questions.many import read_concepts
from laion_probe.store import fingerprint

__all__ = [
    "PROFESSION",
    "Axis",
    "Term",
    "TermList",
    "folded",
    "known_lists",
    "list_fingerprint",
    "load_list",
    "open_axes",
    "open_professions",
]

#: The axis whose words are what a prompt is about.
PROFESSION = "profession"
_FOLDER = resources.files("laion_probe.lexicons") / "dft"
_MOST_BYTES = 4 << 20
#: Columns of the manifest, and what a template calls all axes.
_TAKEN = frozenset(
    [
        "terms",
        "folder",
        "prompt",
        "number",
        "seed",
        "group",
        "caption_stated",
        "caption_neutral",
        "profession_code",
    ]
)


class Term(BaseModel):
    """A word or two as they stand in a prompt.

    ``code`` is its place in the classification and ``title`` what that calls it, ``level`` the
    attribute's level that it asks for ('' for none: the word itself is then its level), ``also``
    further names of a profession, ``article`` a or an where the first letter does not tell.
    ``source`` and ``review`` are the list's where the word has none of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    term: str = Field(min_length=1, max_length=200)
    code: str = ""
    title: str = ""
    level: str = ""
    also: tuple[str, ...] = ()
    article: str = Field("", pattern="^(a|an|)$")
    source: str = ""
    review: str = ""

    @property
    def stands_for(self) -> str:
        """The level that it asks for, or its own words."""
        return self.level or self.term


class TermList(BaseModel):
    """One list of words of one axis; ``attribute`` reads the axis from pictures ('' for none)."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    axis: str = Field(pattern=r"^[a-z][a-z_]*$")
    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    note: str = ""
    review: str = ""
    attribute: str = ""
    term: tuple[Term, ...] = Field(min_length=1, max_length=5000)


@dataclass(frozen=True)
class Axis:
    """The words of one axis, each once, with the name of the list that each is from.

    ``opened`` has the lists with their names, which differ; ``merged[name]`` counts the words of a
    list that stood there already, in an earlier one or in itself.
    """

    name: str
    attribute: str
    terms: tuple[Term, ...]
    of: tuple[str, ...]
    opened: tuple[tuple[str, TermList], ...]
    merged: dict[str, int]

    @property
    def levels(self) -> tuple[str, ...]:
        """What the words stand for, in their order."""
        return tuple(dict.fromkeys(term.stands_for for term in self.terms))


def known_lists() -> tuple[str, ...]:
    """Names of the lists that are shipped.

    >>> known_lists()[:2]
    ('age', 'ethnicity_brazil_2022')
    """
    found = (file.name for file in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def load_list(name_or_path: str) -> TermList:
    """A shipped list by name, a user's TOML file, or a text file with a profession a line.

    Raises `UnknownName`, or `ConfigError` naming the file and what is wrong in it.

    >>> load_list("gender").attribute
    'gender_presentation'
    """
    if name_or_path.endswith(".txt"):
        name = Path(name_or_path).name
        terms = [{"term": words} for words in read_concepts(name_or_path)]
        source = f"the user's file {name}"
        own: dict[str, object] = {
            "axis": PROFESSION,
            "title": name,
            "source": source,
            "term": terms,
        }
        return _checked(own, name_or_path)
    if name_or_path.endswith(".toml"):
        try:
            if Path(name_or_path).stat().st_size > _MOST_BYTES:
                raise ConfigError(f"list {name_or_path}: larger than {_MOST_BYTES >> 20} MB")
            return _parse(Path(name_or_path).read_text(encoding="utf-8"), name_or_path)
        except OSError as error:
            raise ConfigError(f"list {name_or_path}: {error.strerror}; give a TOML file") from None
        except UnicodeDecodeError:
            raise ConfigError(f"list {name_or_path}: not UTF-8; save it as UTF-8") from None
    if name_or_path not in known_lists():
        raise UnknownName("list", name_or_path, known_lists())
    return _parse((_FOLDER / f"{name_or_path}.toml").read_text(encoding="utf-8"), name_or_path)


def _parse(text: str, where: str) -> TermList:
    try:
        return _checked(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"list {where}: not valid TOML: {error}") from None


def _checked(raw: dict[str, object], where: str) -> TermList:
    try:
        found = TermList.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise ConfigError(f"list {where}: '{key}': {first['msg']}") from None
        model = Term if len(first["loc"]) > 1 else TermList
        keys = ", ".join(model.model_fields)
        raise ConfigError(f"list {where}: unknown key '{key}'; known keys: {keys}") from None
    known = {*load_attribute(found.attribute).levels} - {UNKNOWN} if found.attribute else set()
    if found.axis in _TAKEN or found.axis.endswith("_level"):
        raise ConfigError(f"list {where}: an axis cannot be called {found.axis}: the manifest does")
    for term in found.term:
        if not folded(term.term):
            raise ConfigError(f"list {where}: a term without letters or digits")
        if any(sign in term.term for sign in "{}\n\0"):
            raise ConfigError(f"list {where}: {term.term!r} has a brace or a line end in it")
        if found.attribute and term.level and term.level not in known:
            raise UnknownName(f"level of {found.attribute} in list {where}", term.level, known)
        if found.axis != PROFESSION and not (term.review or found.review):
            raise ConfigError(
                f"list {where}: {term.term!r} has no review note: say in 'review' who has read it "
                "and what to mind, for the word or for the list"
            )
    return found


def folded(words: str) -> str:
    """Words as they are compared: no case, no doubled spaces, hyphens as spaces.

    >>> folded("Middle-Aged ")
    'middle aged'
    """
    plain = unicodedata.normalize("NFKC", words).casefold().replace("-", " ")
    return " ".join(plain.split())


def open_professions(names: Sequence[str]) -> Axis:
    """The professions of all named lists; one that goes by a name of an earlier one is that.

    Raises `ConfigError` where none is named, or a list is of another axis.
    """
    if not names:
        raise ConfigError(
            "no list of professions is taken by default: name one with --professions, such as "
            f"{_of_axis(professions=True)}, or give a file of your own"
        )
    lists = [(name, _professions(name)) for name in names]
    for name, one in lists:
        if one.axis != PROFESSION:
            raise ConfigError(
                f"list {name} is of {one.axis}, not of professions: give it to --axis"
            )
    return _together(PROFESSION, lists)


def _professions(name: str) -> TermList:
    """`load_list`, for those who name a profession where a list of them is meant."""
    try:
        return load_list(name)
    except UnknownName as error:
        if error.kind != "list":
            raise
        raise ConfigError(
            f"{error}; a profession is no list: write yours into a text file, one a line, and "
            "give that (--professions jobs.txt)"
        ) from None


def open_axes(names: Sequence[str]) -> tuple[Axis, ...]:
    """The axes of all named lists, in the order in which each is first named.

    Raises `ConfigError` where none is named, a list is of professions, or lists of one axis say
    that different attributes read it.
    """
    if not names:
        raise ConfigError(
            "no words are crossed with the professions by default: name lists with --axis, such "
            f"as {_of_axis(professions=False)}, or give files of your own"
        )
    lists: dict[str, list[tuple[str, TermList]]] = {}
    for name in names:
        one = load_list(name)
        if one.axis == PROFESSION:
            raise ConfigError(f"list {name} is of professions: give it to --professions")
        lists.setdefault(one.axis, []).append((name, one))
    return tuple(_together(axis, of) for axis, of in lists.items())


def _of_axis(*, professions: bool) -> str:
    shipped = (
        name for name in known_lists() if (load_list(name).axis == PROFESSION) is professions
    )
    return ", ".join(shipped)


def _together(axis: str, lists: Sequence[tuple[str, TermList]]) -> Axis:
    attributes = {one.attribute for _, one in lists if one.attribute}
    if len(attributes) > 1:
        raise ConfigError(
            f"lists of {axis} are read by different attributes ({', '.join(sorted(attributes))}): "
            "give one of them another axis"
        )
    terms: list[Term] = []
    of: list[str] = []
    merged: dict[str, int] = {}
    names: set[str] = set()
    opened = []
    for given, one in lists:
        name = Path(given).name
        if name in merged:
            raise ConfigError(
                f"two lists of {axis} are called {name}: name it once, or rename one of them; the "
                "plan tells lists apart by their names"
            )
        opened.append((name, one))
        merged[name] = 0
        for term in one.term:
            own = {folded(words) for words in (term.term, *term.also)}
            if own & names:
                merged[name] += 1
                continue
            names |= own
            said = {"source": term.source or one.source, "review": term.review or one.review}
            terms.append(term.model_copy(update=said))
            of.append(name)
    return Axis(axis, next(iter(attributes), ""), tuple(terms), tuple(of), tuple(opened), merged)


def list_fingerprint(one: TermList) -> str:
    """A digest of all that the list says."""
    return fingerprint(one.model_dump(mode="json"))
