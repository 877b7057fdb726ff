"""Numbers of a run's JSON as a statement shows them: each is looked up at its own pointer.

A `Source` is one result as JSON. What it gives is never computed here: a number that does not stand
at the pointer cannot be shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from laion_probe.datasheet_result import Number, Statement
from laion_probe.scan_result import Reading

__all__ = ["Source", "at", "say", "size_field"]

_NBSP = "\N{NO-BREAK SPACE}"
#: Decimals of a percentage, at most: one row in ten million still shows.
_DIGITS = 6
_MINUS = "\N{MINUS SIGN}"


def at(*parts: str | int) -> str:
    """The JSON pointer (RFC 6901) of these steps from the root.

    >>> at("stages", 0, "compositions", "a/b")
    '/stages/0/compositions/a~1b'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def size_field(reading: Reading) -> str:
    """The field that says how many rows there are: those of row groups that failed are some.

    Where files do not say it beforehand, it is the rows that were read, if everything was tried.
    """
    return "n_rows_read" if reading.full and reading.n_rows is None else "n_rows"


def say(text: str, *numbers: Number | str, caution: str = "") -> Statement:
    """A statement; each ``{}`` of ``text`` is a number, or words that may hold anything.

    >>> say("{} of {}", "a {brace}", Number(shown="3", evidence="data", pointer="/n", value=3)).text
    'a {{brace}} of {0}'
    """
    kept = tuple(n for n in numbers if isinstance(n, Number))
    place = iter(range(len(kept)))
    filled = (
        f"{{{next(place)}}}" if isinstance(n, Number) else n.replace("{", "{{").replace("}", "}}")
        for n in numbers
    )
    return Statement(text=text.format(*filled), numbers=kept, caution=caution)


@dataclass(frozen=True)
class Source:
    """A result as JSON, under the id of its evidence."""

    id: str
    raw: Any

    def get(self, pointer: str) -> Any:
        """What stands there; KeyError or IndexError where nothing does."""
        found = self.raw
        for part in pointer.split("/")[1:]:
            step = part.replace("~1", "/").replace("~0", "~")
            found = found[int(step)] if isinstance(found, list) else found[step]
        return found

    def count(self, *parts: str | int) -> Number:
        """A whole number, such as 21,600."""
        return self._number(parts, lambda v: f"{v:,}".replace("-", _MINUS))

    def plain(self, *parts: str | int) -> Number:
        """A number in four digits at most."""
        return self._number(parts, lambda v: f"{v:,}" if isinstance(v, int) else f"{v:.4g}")

    def words(self, *parts: str | int) -> Number:
        """A text as it stands."""
        return self._number(parts, str)

    def percent(self, *parts: str | int) -> Number:
        """A plain share in percent."""
        return self._number(parts, lambda v: f"{_percent(v)}{_NBSP}%")

    def as_points(self, *parts: str | int) -> Number:
        """A plain share as a difference of shares: 5 points."""
        return self._number(parts, lambda v: f"{100 * v:.3g}{_NBSP}points")

    def p_value(self, *parts: str | int) -> Number:
        """A p-value in three decimals, under 0.001 as that."""
        return self._number(parts, lambda v: "under 0.001" if v < 0.001 else f"{v:.3f}")

    def share(self, *parts: str | int) -> Number:
        """An `Estimate` of a share, with its interval: 36.2 % [29.8, 42.5]."""
        return self._estimate(parts, _shown_share)

    def points(self, *parts: str | int) -> Number:
        """An `Estimate` of a difference of shares: +7.1 points [+2.0, +12.2]."""
        return self._estimate(parts, _shown_points)

    def more_kept(self, *parts: str | int) -> Number:
        """An `Estimate` of how much more is removed, told as what is kept: 15.1 points more."""
        return self._estimate(parts, _shown_kept)

    def ratio(self, *parts: str | int) -> Number:
        """An `Estimate` of a ratio, in two decimals."""
        return self._estimate(parts, _shown_ratio)

    def _number(self, parts: tuple[str | int, ...], show: Callable[[Any], str]) -> Number:
        pointer = at(*parts)
        value = self.get(pointer)
        shown = "not known" if value is None else show(value)
        return Number(shown=shown, evidence=self.id, pointer=pointer, value=value)

    def _estimate(
        self,
        parts: tuple[str | int, ...],
        show: Callable[[float | None, float | None, float | None], str],
    ) -> Number:
        pointer = at(*parts)
        found = self.get(pointer)
        value = found["value"]
        shown = show(value, found["low"], found["high"])
        return Number(shown=shown, evidence=self.id, pointer=pointer, value=value)


def _shown_share(value: float | None, low: float | None, high: float | None) -> str:
    if low is None or high is None or low == high == value:
        return "not defined" if value is None else f"{_percent(value)}{_NBSP}%"
    ends = f"{_percent(low)},{_NBSP}{_percent(high)}"
    if value is None:  # bounds claim no middle
        return f"between {_percent(low)} and {_percent(high)}{_NBSP}%"
    return f"{_percent(value)}{_NBSP}%{_NBSP}[{ends}]"


def _shown_points(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "not defined"
    said = f"{_signed(100 * value, 1)}{_NBSP}points"
    if low is None or high is None or low == high:
        return said
    return f"{said}{_NBSP}[{_signed(100 * low, 1)},{_NBSP}{_signed(100 * high, 1)}]"


def _shown_kept(value: float | None, low: float | None, high: float | None) -> str:
    """Of a difference of shares removed: the difference of shares kept, in words."""
    if value is None:
        return "not defined"
    fewer = value > 0 and round(100 * value, 1) > 0
    said = f"{100 * abs(value):.1f}{_NBSP}points {'fewer' if fewer else 'more'}"
    if low is None or high is None or low == high:
        return said
    return f"{said} [{_signed(-100 * high, 1)},{_NBSP}{_signed(-100 * low, 1)}]"


def _shown_ratio(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "not defined"
    if low is None or low == high:
        return f"{value:.2f}"
    top = "no end" if high is None else f"{high:.2f}"
    return f"{value:.2f}{_NBSP}[{low:.2f},{_NBSP}{top}]"


def _signed(value: float, digits: int) -> str:
    said = f"{abs(value):.{digits}f}"
    sign = "" if float(said) == 0 else "+" if value > 0 else _MINUS
    return sign + said


def _percent(share: float) -> str:
    """In percent, with as many decimals as keep few from reading as none, and most as all."""
    if share in (0, 1):
        return f"{100 * share:.0f}"
    digits = 1
    while digits < 9 and round(100 * share, digits) in (0, 100):
        digits += 1
    if 0 < share < 0.01:
        digits = max(digits, 1 - math.floor(math.log10(100 * share)))
    if digits > _DIGITS:  # an end of an interval that is as good as none or all
        return f"{100 * share:.0f}"
    return f"{100 * share:.{digits}f}"
