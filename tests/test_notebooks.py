"""The notebooks as they are committed: run, small, fit to publish, and true to their outputs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

from tools.notebooks import FOLDER, MARKED, PAGE, fill, told, told_by_all

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_BYTES = 300_000
#: Where files of a machine lie; a notebook names paths inside the repository only.
MACHINE = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|usr|work|Users|private|mnt|opt)/|[A-Z]:\\\\")

PUBLIC = {"laion_probe", "laion_probe.errors"}

by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def prose(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def test_there_are_notebooks() -> None:
    assert {path.name[:2] for path in NOTEBOOKS} >= {"01", "02", "03", "04"}


@by_notebook
def test_every_cell_ran_in_order_and_none_failed(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    outputs = [o for c in code for o in c.outputs]
    assert {o.output_type for o in outputs} <= {"stream", "execute_result", "display_data"}
    assert all(o.get("name") != "stderr" for o in outputs)


@by_notebook
def test_it_is_small_and_names_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert not MACHINE.search(text)
    assert str(ROOT) not in text


def test_a_path_of_a_machine_would_be_found() -> None:
    assert MACHINE.search('"text": "/home/somebody/laion-probe/data"')
    assert not MACHINE.search("see https://example.org/home/page and data/demo/shards")


@by_notebook
def test_the_prose_says_what_the_cells_told(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    marked = MARKED.findall(prose(notebook))
    assert len(marked) >= 5
    numbers = told(notebook)
    assert [(name, value) for name, value in marked if numbers[name] != value] == []


@by_notebook
def test_shares_and_points_in_the_prose_are_marked(path: Path) -> None:
    unmarked = MARKED.sub("", prose(nbformat.read(path, as_version=4)))
    assert re.findall(r"[\d.,]+ (?:%|points)", unmarked) == []


@by_notebook
def test_it_uses_the_public_interface_and_links_that_are_there(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert {n for n in names if n.startswith("laion_probe")} <= PUBLIC
    for target in re.findall(r"\]\(([^()\s#]+)\)", prose(notebook)):
        assert target.startswith("https:") or (FOLDER / target).is_file(), target


def test_the_page_says_what_the_notebooks_told() -> None:
    page, numbers = PAGE.read_text(encoding="utf-8"), told_by_all()
    assert len(MARKED.findall(page)) >= 10
    assert fill(page, numbers, PAGE.name) == page
    assert re.findall(r"[\d.,]+ (?:%|points)", MARKED.sub("", page)) == []
    assert all(f"../notebooks/{path.name}" in page for path in NOTEBOOKS)


def notebook_of(*texts: str) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=t) for t in texts]
    return nbformat.v4.new_notebook(cells=[cell])


def test_numbers_are_told_a_line_each_and_filled_in() -> None:
    numbers = told(notebook_of("a sentence\nshare = 56.0 % [50.5, 61.4]\nrows = 4,090\n"))
    assert numbers == {"share": "56.0 % [50.5, 61.4]", "rows": "4,090"}
    stale = "of <!--=rows-->1<!--/--> rows <!--=share-->2 %\nor so<!--/-->"
    assert fill(stale, numbers, "a page") == (
        "of <!--=rows-->4,090<!--/--> rows <!--=share-->56.0 % [50.5, 61.4]<!--/-->"
    )


def test_a_number_that_nothing_tells_or_that_is_told_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a page: nothing tells share; there are rows"):
        fill("<!--=share-->1<!--/-->", {"rows": "2"}, "a page")
    with pytest.raises(ValueError, match=r"rows is told twice: 1 and 2"):
        told(notebook_of("rows = 1\n", "rows = 2\n"))
