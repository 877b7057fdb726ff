"""What a list of terms is, and how it is read from TOML."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from laion_probe.errors import ConfigError, UnknownName

__all__ = ["Lexicon", "TermList", "known_lexicons", "load_lexicon"]

_SHIPPED = (
    "gender_words",
    "identity_ethnicity",
    "identity_gender",
    "identity_orientation",
    "identity_religion",
)


class TermList(BaseModel):
    """Terms of one language that name one level.

    Any case; a space or hyphen in a term stands for either. ``match`` is *words* for whole words,
    or *inside* for scripts without spaces. A term counts with any of ``prefixes`` and ``suffixes``
    joined to it (articles, plurals).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: str = Field(min_length=1)
    language: str = "en"
    source: str = ""
    match: Literal["words", "inside"] = "words"
    terms: tuple[str, ...] = ()
    terms_with_tell: tuple[str, ...] = ()
    terms_without_tell: tuple[str, ...] = ()
    terms_before_noun: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()

    @property
    def every_term(self) -> tuple[str, ...]:
        """All that the list counts, whatever it takes for it to count."""
        return self.terms + self.terms_with_tell + self.terms_without_tell + self.terms_before_noun


class Lexicon(BaseModel):
    """Lists of terms, and what keeps words that mean something else out of them.

    ``not_in`` (whole words) and ``not_inside`` are phrases in which no term counts. ``tells``
    (words) and ``tell_letters`` give away a caption in another language than English. ``nouns`` are
    the words before which a list's ``terms_before_noun`` count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    source: str
    note: str = ""
    tells: tuple[str, ...] = ()
    tell_letters: str = ""
    not_in: tuple[str, ...] = ()
    not_inside: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    list: tuple[TermList, ...] = Field(min_length=1, max_length=200)

    @property
    def levels(self) -> tuple[str, ...]:
        """What a caption can name, in the order of the file."""
        return tuple(dict.fromkeys(one.level for one in self.list))


def known_lexicons() -> tuple[str, ...]:
    """Names of the lists that ship with the package."""
    return _SHIPPED


def load_lexicon(name_or_path: str) -> Lexicon:
    """A shipped list by name, or a user's own by the path of a ``.toml`` file.

    Raises `UnknownName`, or `ConfigError` naming the file and the known keys.

    >>> load_lexicon("identity_religion").levels[:2]
    ('Muslim', 'Christian')
    """
    if name_or_path.endswith(".toml"):
        try:
            text = Path(name_or_path).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"terms {name_or_path}: {error.strerror}; give a TOML file") from None
        except UnicodeDecodeError:
            raise ConfigError(f"terms {name_or_path}: not UTF-8; save it as UTF-8") from None
        return _parse(text, name_or_path)
    if name_or_path not in _SHIPPED:
        raise UnknownName("list of terms", name_or_path, _SHIPPED)
    file = resources.files("laion_probe.lexicons") / f"{name_or_path}.toml"
    return _parse(file.read_text(encoding="utf-8"), name_or_path)


@functools.lru_cache(32)  # by what is in the file, which may change under its path
def _parse(text: str, where: str) -> Lexicon:
    try:
        lexicon = Lexicon.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"terms {where}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise ConfigError(f"terms {where}: '{key}': {first['msg']}") from None
        model = TermList if len(first["loc"]) > 1 else Lexicon
        known = ", ".join(model.model_fields)
        raise ConfigError(f"terms {where}: unknown key '{key}'; known keys: {known}") from None
    for one in lexicon.list:
        if not one.every_term or not all(term.strip() for term in one.every_term):
            raise ConfigError(f"terms {where}: level '{one.level}' has an empty list or term")
        if one.terms_before_noun and not lexicon.nouns:
            raise ConfigError(f"terms {where}: terms_before_noun needs 'nouns'; give them")
    return lexicon
