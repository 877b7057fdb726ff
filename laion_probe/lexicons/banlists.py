"""Ban lists that published pipelines used, by name."""

from __future__ import annotations

import functools
from importlib import resources

from laion_probe.errors import UnknownName

__all__ = ["UNSPACED", "ban_list", "ban_list_names"]

#: Languages written without spaces: their entries count inside other words, as in C4.
UNSPACED = ("ja", "th", "zh")
_LDNOOBW = "ldnoobw"


@functools.cache
def ban_list(name: str) -> dict[str, tuple[str, ...]]:
    """Language -> entries: of ``ldnoobw:LANGUAGE``, or of every language of ``ldnoobw``.

    The *List of Dirty, Naughty, Obscene, and Otherwise Bad Words* (CC BY 4.0), version 1.2.0 of its
    npm package.

    >>> len(ban_list("ldnoobw:en")["en"])
    403
    """
    if name not in ban_list_names():
        raise UnknownName("ban list", name, ban_list_names())
    _, _, language = name.partition(":")
    wanted = [language] if language else [n.partition(":")[2] for n in ban_list_names()[1:]]
    folder = resources.files("laion_probe.lexicons") / _LDNOOBW
    return {
        code: tuple((folder / f"{code}.txt").read_text(encoding="utf-8").splitlines())
        for code in wanted
    }


@functools.cache
def ban_list_names() -> tuple[str, ...]:
    """The names that `ban_list` knows."""
    folder = resources.files("laion_probe.lexicons") / _LDNOOBW
    codes = sorted(f.name.removesuffix(".txt") for f in folder.iterdir() if f.name.endswith(".txt"))
    return (_LDNOOBW, *(f"{_LDNOOBW}:{code}" for code in codes))
