"""How a run is repeated: its command, and what it was asked, wherever the files lie."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TypeVar

from laion_probe.config import WHO_COMPUTES, RunConfig
from laion_probe.config.loading import change_paths

__all__ = ["command", "without_folders"]

C = TypeVar("C", bound=RunConfig)


def command(name: str, config: RunConfig, argument: str, *, folders: bool = True) -> str:
    """The command line that asks for what ``config`` asks for.

    ``argument`` is the field that the command takes without a flag ('' for none). Left out are
    options at their defaults and `WHO_COMPUTES`; without ``folders``, files go by their names
    (`without_folders`).

    >>> from laion_probe.config import CompareConfig
    >>> command("compare", CompareConfig(counts=("a/counts.csv",), draws=500), "counts")
    'laion-probe compare a/counts.csv --draws 500'
    """
    asked = config if folders else without_folders(config)
    options: list[str] = []
    for field, facts in type(asked).model_fields.items():
        value = getattr(asked, field)
        if field in (argument, *WHO_COMPUTES) or value == facts.default:
            continue
        flag = "--" + field.replace("_", "-")
        words = _words(value)
        # What begins with a dash reads as an option, unless it is tied to its own.
        tied = any(word.startswith("-") for word in words)
        options += [f"{flag}={word}" for word in words] if tied else [flag, *words]
    words = _words(getattr(asked, argument)) if argument else []
    if any(word.startswith("-") for word in words):
        return shlex.join(["laion-probe", name, *options, "--", *words])
    return shlex.join(["laion-probe", name, *words, *options])


def without_folders(config: C) -> C:
    """The config with each file and folder by its own name: where it lies is no part of a result.

    The path in NAME=PATH, ``local-dir:`` and ``terms:`` is named likewise; URLs stay.

    >>> from laion_probe.config import DriftConfig
    >>> without_folders(DriftConfig(pairs="/home/me/pairs.csv", model="local-dir:nets/clip")).model
    'local-dir:clip'
    """
    given = dict(config)
    named = change_paths(type(config), given, lambda path: Path(path).name or path)
    return config.model_copy(update={k: v for k, v in named.items() if v != given[k]})


def _words(value: object) -> list[str]:
    """A value as words of a command line; a flag that is set, or nothing at all, needs none."""
    if value is True or value is None:
        return []
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
