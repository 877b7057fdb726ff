"""The notebooks as they are committed: run, small, true to their outputs; and their pages."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import nbformat
import polars as pl
import pytest
from conftest import ROOT

from tools import docs
from tools.notebook_pages import notebook_page, to_pages
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
def test_no_paragraph_begins_with_a_mark(path: Path) -> None:
    """A line that begins with a comment is HTML to Markdown: links in it would not be links."""
    text = prose(nbformat.read(path, as_version=4))
    assert re.findall(r"^\s*(?:[-*>] |\d+\. )?<!--.*", text, flags=re.MULTILINE) == []


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


# Their pages on the site


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("staged")
    docs.stage(folder)
    return folder


@by_notebook
def test_its_page_has_all_of_it(path: Path, staged: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    page = (staged / "notebooks" / path.with_suffix(".md").name).read_text(encoding="utf-8")
    assert not MACHINE.search(page)
    assert "<!--" not in page
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert page.count("\n```python\n") == len(code)
    data = [o.get("data", {}) for c in code for o in c.outputs]
    figures = re.findall(r"^!\[(.{30,})\]\((\S+)\)$", page, flags=re.MULTILINE)
    assert len(figures) == sum(any(kind.startswith("image/") for kind in d) for d in data)
    begins = {".png": b"\x89PNG", ".jpg": b"\xff\xd8\xff", ".svg": b"<"}
    for _, name in figures:
        content = (staged / "notebooks" / name).read_bytes()
        assert content.startswith(begins[Path(name).suffix])
    assert page.count("<table>") == sum("text/html" in d for d in data)
    for value in told(notebook).values():
        assert value.replace("<", "&lt;") in page


@by_notebook
def test_links_of_its_page_lead_somewhere(path: Path, staged: Path) -> None:
    page = staged / "notebooks" / path.with_suffix(".md").name
    found = list(docs.links(page))
    assert (path.name, "") in found  # to be had as it is
    for target, where in found:
        there = page.parent / target
        assert there.is_file(), target
        headings = re.findall(r"^#+ (.*)", there.read_text("utf-8"), re.MULTILINE) if where else ()
        assert not where or where in [h.lower().replace(" ", "-") for h in headings], target
        assert there.suffix != ".ipynb" or target == path.name


def test_the_pages_are_reached_from_the_page_about_them_and_from_the_navigation(
    staged: Path,
) -> None:
    about = staged / "docs" / "notebooks.md"
    reached = {path for path, _ in docs.links(about)}
    navigation = str(tomllib.loads(docs.configuration())["project"]["nav"])
    for path in NOTEBOOKS:
        assert f"../notebooks/{path.stem}.md" in reached
        assert f"'notebooks/{path.stem}.md'" in navigation


def written(tmp_path: Path, code: str, output: nbformat.NotebookNode) -> Path:
    """A notebook of a heading and a cell that showed something."""
    cell = nbformat.v4.new_code_cell(code, outputs=[output], execution_count=1)
    heading = nbformat.v4.new_markdown_cell("# One\n\nSee [two](two.ipynb): <!--=n-->1<!--/-->.")
    path = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[heading, cell]), path)
    return path


def test_a_page_is_prose_code_and_what_was_printed(tmp_path: Path) -> None:
    output = nbformat.v4.new_output("stream", text="1 < 2\n\n- a | b\n")
    page = notebook_page(written(tmp_path, "print(1)", output))
    assert page.pictures == {}
    title, where, *rest = page.text.split("\n\n")
    assert title == "# One"
    assert "(one.ipynb)" in where
    assert "\n\n".join(rest) == (
        "See [two](two.md): 1.\n\n```python\nprint(1)\n```\n\n"
        '<pre><code style="white-space: pre-wrap">1 &lt; 2\n\n- a | b</code></pre>\n'
    )


def test_a_frame_is_a_table_with_numbers_to_the_right(tmp_path: Path) -> None:
    frame = pl.DataFrame({"who": ["a <b>", 'say "c"', "d" * 40], "rows": [1, 23, 4]})
    output = nbformat.v4.new_output("execute_result", {"text/html": frame._repr_html_()})
    text = notebook_page(written(tmp_path, "frame", output)).text
    assert text.endswith(
        '<table><thead><tr><th>who</th><th align="right">rows</th></tr></thead><tbody>\n'
        '<tr><td>a &lt;b&gt;</td><td align="right">1</td></tr>\n'
        '<tr><td>say &quot;c&quot;</td><td align="right">23</td></tr>\n'
        f'<tr><td>{"d" * 30}…</td><td align="right">4</td></tr>\n'
        "</tbody></table>\n"
    )


def test_a_picture_is_told_by_the_comment_that_its_cell_begins_with(tmp_path: Path) -> None:
    output = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0K"})
    page = notebook_page(written(tmp_path, "# What is\n# shown [here].\nshow()", output))
    assert page.text.endswith("\n![What is shown (here).](one-1.png)\n")
    assert page.pictures == {"one-1.png": b"\x89PNG\r\n"}
    with pytest.raises(ValueError, match="one: a cell shows a picture and no comment says of what"):
        notebook_page(written(tmp_path, "show()", output))


def test_only_links_to_notebooks_of_this_repository_become_links_to_pages() -> None:
    elsewhere = "[a](https://example.org/a.ipynb) and `b.ipynb`"
    assert to_pages(elsewhere) == elsewhere
    assert to_pages("[a](../notebooks/a.ipynb), [b](b.ipynb)") == (
        "[a](../notebooks/a.md), [b](b.md)"
    )
