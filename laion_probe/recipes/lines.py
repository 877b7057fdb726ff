"""On which line of a recipe's TOML something stands; the parser does not say."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["line_of"]

_STEP = re.compile(r"\s*\[\[\s*[\"']?step[\"']?\s*\]\]")
_FENCE = re.compile(r'"""|\'\'\'')


def line_of(text: str, key: str = "", step: int | None = None) -> int:
    r"""The line (from 1) of ``key`` in the n-th [[step]] (from 0), or above all steps.

    Where the key is not found, the line at which the step, or the file, begins; for a step that is
    written inline, that of ``step``.

    >>> line_of('name = "a"\n[[step]]\nid = "b"\n', "id", 0)
    3
    """
    part, first = -1, 1
    loose = 0
    for number, line in _code(text):
        if _STEP.match(line):
            part += 1
            if part == step:
                first = number
        elif key and part == (-1 if step is None else step):
            name = rf"[\"']?{re.escape(key)}[\"']?\s*[=.\]]"
            if re.match(rf"\s*(?:\[?\s*\w+\.)?{name}", line):
                return number
            if not loose and re.search(rf"(?<![\w-]){name}", line):
                loose = number  # in an inline table
    if step is not None and part < step:
        return line_of(text, "step")
    return loose or first


def _code(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, without those that begin inside a multi-line string."""
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if not inside:
            yield number, line
        inside ^= len(_FENCE.findall(line)) % 2 == 1
