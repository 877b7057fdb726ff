"""Execute the notebooks in place: `make notebooks`. A cell that fails fails the command.

A number in the prose stands between marks, ``<!--=share-->56.0 %<!--/-->``, which no page shows. It
is what a cell printed as ``share = 56.0 %``, and is written anew whenever the notebook is executed;
docs/notebooks.md says ``<!--=02:share-->`` for a number of the second notebook.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient

__all__ = ["FOLDER", "MARKED", "PAGE", "execute", "fill", "told", "told_by_all"]

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
PAGE = ROOT / "docs" / "notebooks.md"
MARKED = re.compile(r"<!--=([\w:]+)-->(.*?)<!--/-->", re.DOTALL)
_TOLD = re.compile(r"^(\w+) = (.+)$", re.MULTILINE)


def execute(path: Path) -> None:
    """Run every cell from a fresh kernel in the repository root and keep outputs, not timings."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    )
    client.execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # warnings of other packages name paths of the machine
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    numbers = told(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, numbers, path.name)
    notebook.metadata = nbformat.NotebookNode(
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"}
    )
    nbformat.write(notebook, path)


def told(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """What the cells printed as ``name = value``, a line each; a name twice is a `ValueError`."""
    found: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            for name, value in _TOLD.findall(output.get("text", "")):
                if found.setdefault(name, value) != value:
                    raise ValueError(f"{name} is told twice: {found[name]} and {value}")
    return found


def told_by_all() -> dict[str, str]:
    """What all notebooks tell, as they lie on disk: ``02:share`` is the second one's."""
    return {
        f"{path.name[:2]}:{name}": value
        for path in sorted(FOLDER.glob("*.ipynb"))
        for name, value in told(nbformat.read(path, as_version=4)).items()
    }


def fill(text: str, numbers: Mapping[str, str], where: str) -> str:
    """The text with its marked numbers as told; one that nothing tells is a `ValueError`.

    >>> fill("about <!--=share-->?<!--/--> of them", {"share": "56.0 %"}, "a page")
    'about <!--=share-->56.0 %<!--/--> of them'
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in numbers:
            raise ValueError(f"{where}: nothing tells {name}; there are {', '.join(numbers)}")
        return f"<!--={name}-->{numbers[name]}<!--/-->"

    return MARKED.sub(value, text)


def main() -> int:
    """Execute all notebooks, or those named, and write their numbers into the page about them."""
    paths = [Path(p) for p in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    if not paths:
        print("no notebooks found", file=sys.stderr)
        return 1
    for path in paths:
        print(f"executing {path.name}", flush=True)
        execute(path)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(fill(page, told_by_all(), PAGE.name), encoding="utf-8", newline="\n")
    print(f"{len(paths)} notebook(s) executed without an error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
