"""Names of things in every CLDR locale, and the catalogue that training draws from."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from tools.demo_data.batches import Catalogue
from tools.demo_data.codes import THING_KIND
from tools.demo_data.monk import read_table
from tools.demo_data.sprites import SEEN

_PARENT = {"es-419": "es", "pt-PT": "pt"}


def _read(folder: Path, locale: str, top: str) -> dict[str, str]:
    path = folder / locale / "annotations.json"
    if not path.exists():
        return {}
    entries = json.loads(path.read_text("utf-8"))[top]["annotations"]
    names = {}
    for characters, entry in entries.items():
        if entry.get("tts"):
            code = "-".join(f"{ord(c):04x}" for c in characters if c != "\ufe0f")
            names["-".join(part.lstrip("0") for part in code.split("-"))] = entry["tts"][0]
    return names


@cache
def names_of(cldr: Path, cldr_derived: Path, locale: str) -> dict[str, str]:
    """Short name by code points (lower-case hexadecimal, no U+FE0F) in one locale.

    A regional locale holds only what differs from its language, which fills the rest.
    """
    parent = _PARENT.get(locale)
    inherited = names_of(cldr, cldr_derived, parent) if parent else {}
    plain = _read(cldr / "annotations", locale, "annotations")
    derived = _read(cldr_derived / "annotationsDerived", locale, "annotationsDerived")
    return {**inherited, **derived, **plain}


def catalogue(packages: dict[str, Path], monk_table: Path) -> Catalogue:
    english = names_of(packages["cldr"], packages["cldr-derived"], "en")
    things = {code: english[code] for code in THING_KIND}
    return Catalogue(things=things, monk=read_table(monk_table), renderings=SEEN)
