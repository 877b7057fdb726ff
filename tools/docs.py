"""Build the site of the documentation: `python -m tools.docs ZENSICAL`, as `make docs` does.

The pages are copied to where they lie in the repository, with the files that they link to, so that
one link is right in both places; each executed notebook becomes a page too. The build is strict: a
link to a page, or to a place on a page, that is not there fails it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools import reference
from tools.notebook_pages import notebook_page, to_pages
from tools.notebooks import FOLDER as NOTEBOOKS

__all__ = ["PAGES", "configuration", "links", "main", "pages", "stage"]

ROOT = Path(__file__).parent.parent
SITE = ROOT / "site"
#: What the site is made of, relative to the repository.
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/demo/README.md", "docs/**/*.md")

_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z]+:")
#: The line of zensical.toml that the notebooks' pages stand for.
_NOTEBOOKS_HERE = re.compile(r"^( *)# the notebooks.*$", re.MULTILINE)


def main(zensical: str) -> None:
    """Write the reference, then the site, to the folder ``site``."""
    reference.main()
    # Not here: beside a site, zensical keeps a .cache of its own, and clears what is in it.
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "zensical.toml").write_text(configuration(), encoding="utf-8")
        stage(project / "pages")
        built = subprocess.run([zensical, "build", "--strict"], cwd=project, check=False)
        if built.returncode:
            sys.exit(built.returncode)
        shutil.rmtree(SITE, ignore_errors=True)
        shutil.move(project / "site", SITE)
    print(f"site: {SITE / 'index.html'} (its search: python3 -m http.server -d site)")


def pages() -> list[Path]:
    """The pages, as paths in the repository."""
    return sorted(path for pattern in PAGES for path in ROOT.glob(pattern))


def links(page: Path) -> Iterator[tuple[str, str]]:
    """The links of a page to this repository: the path as it is written, and the place on it."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if not _ELSEWHERE.match(target):
            path, _, place = target.partition("#")
            yield path, place


def configuration() -> str:
    """The site's configuration, zensical.toml, with the notebooks in its navigation."""
    text = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    stems = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    entries = [f'{{ "{stem.replace("_", " ")}" = "notebooks/{stem}.md" }},' for stem in stems]
    text, found = _NOTEBOOKS_HERE.subn(lambda m: "\n".join(m[1] + e for e in entries), text)
    if found != 1:
        raise ValueError(f"zensical.toml has {found} lines for the notebooks, not one")
    return text


def stage(folder: Path) -> None:
    """Write the pages and what they link to into a folder, each at its own place."""
    written = pages()
    for page in written:
        _write(folder, page, to_pages(page.read_text(encoding="utf-8")).encode())
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        made = notebook_page(path)
        page = path.with_suffix(".md")
        written.append(page)
        for name, content in {page.name: made.text.encode(), **made.pictures}.items():
            _write(folder, page.with_name(name), content)
    for page in written:
        _copy_linked(folder, page)


def _place(folder: Path, path: Path) -> Path:
    """Where a file of the repository stands in the folder of the pages."""
    return folder / Path(os.path.normpath(path)).relative_to(ROOT)


def _write(folder: Path, path: Path, content: bytes) -> None:
    """Write what stands for a file of the repository."""
    place = _place(folder, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def _copy_linked(folder: Path, page: Path) -> None:
    """Copy what a page links to, as it was written, if it is not there."""
    for path, _ in links(_place(folder, page)):
        linked = page.parent / path
        if linked.is_file() and not _place(folder, linked).exists():
            _write(folder, linked, linked.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1])
