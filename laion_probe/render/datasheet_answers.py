"""A person's answer as Markdown inside a datasheet: its own markup stays, the outline is ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["answer_markdown"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
#: A heading, also within a list or a quotation.
_HEADING = re.compile(r"^(\s*(?:(?:[-*+>]|\d+[.)])\s+|>)*)(#{1,6})(?=\s|$)")
_UNDERLINE = re.compile(r"^([\s>]*)(=+|-+)(\s*)$")
#: What opens a tag, a comment or a declaration; an address between angles is a link.
_TAG = re.compile(r"<(?=[A-Za-z/!?])(?!(?:https?://|mailto:)[^\s<>]*>)")
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_BELOW, _DEEPEST = 3, 6  # a question is a heading of the third level


def answer_markdown(said: str) -> str:
    r"""Markdown that is shown as it is meant, and ends within its answer.

    Headings stand below that of the question, tags are shown as text, a block of code is closed.

    >>> print(answer_markdown("# Why\nFor <b>tests</b>, see `<b>`."))
    #### Why
    For &lt;b>tests&lt;/b>, see `<b>`.
    """
    lines, kept, fence = said.splitlines(), list[str](), ""
    found: list[str] = []
    for line in lines:
        marks = _FENCE.fullmatch(line)
        if fence:
            found.append(line)
            closes = marks and marks[1].startswith(fence) and not marks[2].strip()
            fence = "" if closes else fence
        elif marks and not (marks[1][0] == "`" and "`" in marks[2]):
            found += [*_written(kept), line]
            kept, fence = [], marks[1]
        else:
            kept.append(line)
    return "\n".join([*found, *_written(kept), *([fence] if fence else [])])


def _written(lines: list[str]) -> Iterator[str]:
    """Lines outside of blocks of code."""
    before = ""
    for line in _without_tags("\n".join(lines)).split("\n") if lines else []:
        shown = _HEADING.sub(_deeper, line)
        if before.strip():  # a line of === or --- below one of text makes that a heading
            shown = _UNDERLINE.sub(r"\1\\\2\3", shown)
        yield shown
        before = line


def _deeper(found: re.Match[str]) -> str:
    return found[1] + "#" * min(_DEEPEST, len(found[2]) + _BELOW)


def _without_tags(text: str) -> str:
    """Text in which what would open a tag is shown, but for code, which shows it anyway."""
    parts, last = [], 0
    for code in _CODE.finditer(text):
        parts += [_TAG.sub("&lt;", text[last : code.start()]), code[0]]
        last = code.end()
    return "".join([*parts, _TAG.sub("&lt;", text[last:])])
