"""What readers of numbers must know of data, as it lies beside them (that they are simulated)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from laion_probe.store import atomic_file

__all__ = ["NOTE_FILE", "note_in", "pass_on"]

#: The name of the file.
NOTE_FILE = "DATA_NOTE.txt"


def note_in(places: Iterable[str | Path]) -> str:
    """The notes of these folders, or of the folders of these files, as one line; '' if none.

    >>> note_in(["data/demo/images/00000.tar"])[:19]
    'Simulated demo data'
    """
    return " ".join(" ".join(_texts(places)).split())


def pass_on(places: Iterable[str | Path], folder: Path) -> None:
    """Write the notes of these places into ``folder``, made of their data; none, if it has one."""
    texts = _texts(places)
    if not texts or (folder / NOTE_FILE).exists():
        return
    with atomic_file(folder / NOTE_FILE) as scratch:
        scratch.write_text("".join(texts), encoding="utf-8")


def _texts(places: Iterable[str | Path]) -> list[str]:
    """Each note once. Of URLs nothing is asked."""
    local = [Path(p) for p in places if "://" not in str(p)]
    folders = dict.fromkeys(p if p.is_dir() else p.parent for p in local)
    files = [f / NOTE_FILE for f in folders]
    found = [f.read_text(encoding="utf-8", errors="replace") for f in files if f.is_file()]
    return list(dict.fromkeys(found))
