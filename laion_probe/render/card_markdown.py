"""Markdown that holds text from a data set: escaped, so that none of it is markup.

Of GitHub's flavour, as the Hugging Face Hub shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from laion_probe.render.text import clean

__all__ = ["code", "fenced", "md", "table"]

_SPECIAL = re.compile(r"[\\`*\[\]|~#$!]|(?<![^\W_])_|_(?![^\W_])")
#: What makes a line an item of a list, a rule or a heading.
_BEGINS = re.compile(r"^(\d+)(?=[.)](\s|$))|^(?=[-+](\s|$)|-+$|=+$)")


def md(text: str) -> str:
    r"""Text on one line as itself: no markup, no HTML, and no link of an address.

    >>> print(md("<b>5 * 3</b> [x](https://a.b/c_d)"))
    &lt;b&gt;5 \* 3&lt;/b&gt; \[x\](https&#58;//a.b/c_d)
    """
    line = " ".join(clean(text).split())
    line = _SPECIAL.sub(lambda m: "\\" + m[0], line)
    line = _BEGINS.sub(lambda m: f"{m[1] or ''}\\", line)
    return escape(line, quote=False).replace("://", "&#58;//").replace("www.", "www&#46;")


def code(text: str) -> str:
    """Text as code within a line, whatever ticks are in it.

    >>> code("a`b")
    '`` a`b ``'
    """
    words = clean(text)
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", words)), default=0))
    return f"{ticks}{words}{ticks}" if len(ticks) == 1 else f"{ticks} {words} {ticks}"


def fenced(text: str, language: str = "") -> str:
    """Text as a block of code that nothing in it can end."""
    lines = [clean(line) for line in text.strip().splitlines()]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence + language, *lines, fence])


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown already."""
    head = list(header)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
