"""What can go wrong, and the one place where it is named.

::

    LaionProbeError
    ├── ConfigError        an option, a TOML key or a folder is not usable as given
    ├── UnknownName        no recipe, detector, attribute or model of that name
    ├── SchemaError        a file was read, but the columns are not what the question needs
    ├── ShardError         a file could not be read (named, with the unit)
    ├── MergeConflict      two partial results claim the same unit with different numbers
    ├── EmbedderMismatch   vectors were made by another model than the one asked for
    ├── NotEnoughData      the question is well posed, but the data cannot answer it
    └── MissingExtra       an optional dependency is not installed

Every message says what happened, where, and what to do, in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "EmbedderMismatch",
    "LaionProbeError",
    "MergeConflict",
    "MissingExtra",
    "NotEnoughData",
    "SchemaError",
    "ShardError",
    "UnknownName",
]


class LaionProbeError(Exception):
    """The base of every error that the library raises on purpose."""


class ConfigError(LaionProbeError):
    """An option, a TOML key or a folder is not usable as given."""


class UnknownName(LaionProbeError):
    """Nothing is registered under that name; the message lists the nearest known names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else ""
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        super().__init__(f"unknown {kind} '{name}': {hint or f'known: {shown}'}")
        self.kind = kind
        self.name = name
        self.known = tuple(names)
        self.nearest = tuple(near)


class SchemaError(LaionProbeError):
    """A file was read, but its columns are not what the question needs."""


class ShardError(LaionProbeError):
    """A shard, or one of its units, could not be read."""


class MergeConflict(LaionProbeError):
    """Two partial results claim the same unit with different numbers."""


class EmbedderMismatch(LaionProbeError):
    """Stored vectors were made by another model, or another preprocessing, than asked for."""


class NotEnoughData(LaionProbeError):
    """The question is well posed, but the data at hand cannot answer it."""


class MissingExtra(LaionProbeError):
    """An optional dependency is not installed; the message says which extra to install."""
