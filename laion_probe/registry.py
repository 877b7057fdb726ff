"""One small table per kind of part: how steps, detectors, attributes and renderers are added.

An unknown name is an `UnknownName` that lists the nearest known ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from laion_probe.errors import UnknownName

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """A named table of parts of one kind.

    >>> shapes: Registry[int] = Registry("shape")
    >>> shapes.add("square", 4)
    >>> shapes["square"]
    4
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, T] = {}

    def add(self, name: str, part: T) -> None:
        """Register ``part``; a second part of the same name is a mistake, not an update."""
        if name in self._parts:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._parts[name] = part

    def register(self, name: str) -> Callable[[T], T]:
        """As a decorator."""

        def wrap(part: T) -> T:
            self.add(name, part)
            return part

        return wrap

    def __getitem__(self, name: str) -> T:
        try:
            return self._parts[name]
        except KeyError:
            raise UnknownName(self.kind, name, self._parts) from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._parts))

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __len__(self) -> int:
        return len(self._parts)
