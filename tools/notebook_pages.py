"""A notebook as a page of the site: its prose, its code, what the cells printed, its pictures.

The page stands on the site where the notebook lies in the repository, so that links in the prose
are right in both places; links to other notebooks lead to their pages.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from tools.notebooks import MARKED

__all__ = ["NotebookPage", "notebook_page", "to_pages"]

#: Pictures that a cell may show, the better first, and how their files end.
_PICTURES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_NOTEBOOK = re.compile(r"(\]\([^():\s]+)\.ipynb\)")


@dataclass
class NotebookPage:
    """A page's Markdown, and the pictures that it shows: file name to content."""

    text: str = ""
    pictures: dict[str, bytes] = field(default_factory=dict)


def notebook_page(path: Path) -> NotebookPage:
    """The page of a notebook as it was executed.

    Numbers in the prose lose their marks. A cell that shows a picture begins with a comment that
    says what it shows, which stands for it where it is not seen. Raises `ValueError` where a cell
    does not.
    """
    page = NotebookPage()
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(to_pages(MARKED.sub(r"\2", cell.source)))
        else:
            parts.append(f"```python\n{cell.source}\n```")
            parts += [_shown(output, cell.source, page, path.stem) for output in cell.outputs]
    title, _, rest = parts[0].partition("\n")
    where = (
        f"*This page is [a notebook]({path.name}) as it was executed;"
        " [all of them](../docs/notebooks.md) read the embedded demo data.*"
    )
    page.text = "\n\n".join([title, where, rest.strip(), *parts[1:]]) + "\n"
    return page


def to_pages(text: str) -> str:
    """Markdown whose links to notebooks of this repository lead to their pages.

    >>> to_pages("see [the second](../notebooks/02_saris.ipynb)")
    'see [the second](../notebooks/02_saris.md)'
    """
    return _NOTEBOOK.sub(r"\1.md)", text)


def _shown(output: nbformat.NotebookNode, code: str, page: NotebookPage, stem: str) -> str:
    """One output as Markdown; its picture, if it is one, is added to the page's."""
    data = output.get("data", {})
    for kind, ending in _PICTURES.items():
        if kind in data:
            if not code.startswith("# "):
                raise ValueError(f"{stem}: a cell shows a picture and no comment says of what")
            name = f"{stem}-{len(page.pictures) + 1}.{ending}"
            content: str = data[kind]
            page.pictures[name] = content.encode() if ending == "svg" else base64.b64decode(content)
            lines = iter(code.splitlines())
            said = " ".join(_comment(lines)).replace("[", "(").replace("]", ")")
            return f"![{said}]({name})"
    if "text/html" in data:
        return _table(data["text/html"])
    text = html.escape(output.get("text") or data["text/plain"], quote=False).strip("\n")
    # Sentences are printed as well as tables: lines that are too long go on below.
    return f'<pre><code style="white-space: pre-wrap">{text}</code></pre>'


def _comment(lines: Iterator[str]) -> Iterator[str]:
    """The comment that code begins with, without its marks."""
    for line in lines:
        if not line.startswith("# "):
            return
        yield line.removeprefix("# ")


def _table(shown: str) -> str:
    """A frame as polars shows it, less its types and quotes, numbers to the right."""
    rows = [
        re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", shown)
    ]
    names, types, *body = rows
    sides = ["" if kind == "str" else ' align="right"' for kind in types]
    head = "".join(f"<th{side}>{name}</th>" for side, name in zip(sides, names, strict=True))
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    for row in body:
        # a long text is cut off, with the quote that would end it
        cells = (re.sub(r"^&quot;(.*?)(&quot;)?$", r"\1", cell) for cell in row)
        line = "".join(f"<td{side}>{cell}</td>" for side, cell in zip(sides, cells, strict=True))
        lines.append(f"<tr>{line}</tr>")
    return "\n".join([*lines, "</tbody></table>"])
