"""The cards of a datasheet, written into its folder.

``README.md`` (Hugging Face dataset card), ``croissant.json``, ``tables/``, ``summary.png`` and
``summary.pdf``, and ``model-card.md`` where a generator was compared. Nothing is estimated here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from laion_probe.errors import ConfigError
from laion_probe.questions.card import README, Card
from laion_probe.questions.datasheet_files import write_file
from laion_probe.render.card_croissant import croissant_json
from laion_probe.render.card_model import model_card
from laion_probe.render.card_readme import dataset_card
from laion_probe.render.card_summary import summary_page
from laion_probe.render.card_tables import card_tables, write_card_tables
from laion_probe.store import atomic_file

__all__ = ["write_card"]

CROISSANT, MODEL = "croissant.json", "model-card.md"

_SEAL = re.compile(r"\n<!-- laion-probe card; sha256 of what is above: ([0-9a-f]{64}) -->\n\Z")


def write_card(card: Card) -> Iterator[str]:
    """Write all cards, and give lines to print; the same datasheet gives the same bytes.

    Raises `ConfigError`, before anything is written, where a person has changed a card by hand.
    """
    folder = card.folder
    texts = {README: dataset_card(card), MODEL: model_card(card)}
    for name, said in texts.items():
        file = folder / name
        if said and file.exists() and not (card.replace or _is_ours(file)):
            raise ConfigError(
                f"{file} was written or changed by hand: move it away, or give --replace to write "
                "over it (what people say of the data set belongs into answers.toml)"
            )
    tables = card_tables(card)
    try:
        write_card_tables(tables, folder)
        for name, content in summary_page(card).items():
            with atomic_file(folder / name) as scratch:
                scratch.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror or error}") from error
    write_file(folder / CROISSANT, croissant_json(card, tables))
    for name, said in texts.items():
        if said:
            write_file(folder / name, _sealed(said))
        elif _is_ours(folder / name):  # of a datasheet that had a generator
            (folder / name).unlink()
    yield from _lines(card, [name for name, said in texts.items() if said])


def _sealed(said: str) -> str:
    """The text with its hash at the end, by which a change by hand is seen."""
    digest = hashlib.sha256(said.encode()).hexdigest()
    return f"{said}\n<!-- laion-probe card; sha256 of what is above: {digest} -->\n"


def _is_ours(file: Path) -> bool:
    """Whether the file is as it was written here."""
    if not file.is_file():
        return False
    said = file.read_text(encoding="utf-8", errors="replace")
    seal = _SEAL.search(said)
    return seal is not None and _sealed(said[: seal.start()]) == said


def _lines(card: Card, texts: list[str]) -> Iterator[str]:
    names = [*texts, CROISSANT, "summary.png", "summary.pdf", "tables/"]
    yield f"{card.folder}: {', '.join(names)}"
    if card.missing:
        yield (
            f"nobody has stated {', '.join(card.missing)}: the cards say so; fill in [about] of "
            "answers.toml, run `laion-probe datasheet` again, and then this"
        )
    if card.required:
        yield (
            f"note: Croissant 1.1 requires {', '.join(card.required)}; mlcroissant reads "
            f"{CROISSANT} without"
        )
    yield from (f"note: {said}" for said in card.refused)
