"""Build the site of the documentation: `python -m tools.docs ZENSICAL`, as `make docs` does.

The pages are copied as they lie in the repository, with the files that they link to, so that one
link is right in both places. The build is strict: a link to a page, or to a place on a page, that
is not there fails it.
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

__all__ = ["PAGES", "links", "main", "stage"]

ROOT = Path(__file__).parent.parent
SITE = ROOT / "site"
#: What the site is made of, relative to the repository.
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/demo/README.md", "docs/**/*.md")

_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z]+:")


def main(zensical: str) -> None:
    """Write the reference, then the site, to the folder ``site``."""
    reference.main()
    # Not here: beside a site, zensical keeps a .cache of its own, and clears what is in it.
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        shutil.copyfile(ROOT / "zensical.toml", project / "zensical.toml")
        stage(project / "pages")
        built = subprocess.run([zensical, "build", "--strict"], cwd=project, check=False)
        if built.returncode:
            sys.exit(built.returncode)
        shutil.rmtree(SITE, ignore_errors=True)
        shutil.move(project / "site", SITE)
    print(f"site: {SITE / 'index.html'}")


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


def stage(folder: Path) -> None:
    """Copy the pages and what they link to into a folder, each at its own place."""
    for page in pages():
        for path in (page, *(page.parent / path for path, _ in links(page) if path)):
            if path.is_file():
                copy = folder / Path(os.path.normpath(path)).relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


if __name__ == "__main__":
    main(sys.argv[1])
