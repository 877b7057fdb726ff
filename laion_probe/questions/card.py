"""``laion-probe card``: what a datasheet's cards can say, and what only a person could add.

Nothing is invented: what nobody has stated is listed as missing, and what was stated but cannot go
where a card would have it is said.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, replace
from pathlib import Path

from laion_probe.config.card import CardConfig
from laion_probe.datasheet_result import About, DatasheetResult
from laion_probe.questions.card_hub import Licence, hub_languages, licence, size_category
from laion_probe.questions.datasheet_files import ANSWERS, Answers, read_answers, read_datasheet

__all__ = ["Card", "Creator", "card", "card_of"]

#: What a card asks of a person: the key of ``[about]``, and what it is called in a sentence.
ASKED = {
    "name": "a name",
    "description": "a description",
    "license": "a licence",
    "creators": "who made it",
    "url": "a homepage",
    "version": "a version",
    "date_published": "a date of publication",
    "languages": "languages",
    "citation": "how to cite it",
}

#: As mlcroissant reads a version: of Semantic Versioning, minor and patch may be missing.
_VERSION = re.compile(
    r"(0|[1-9]\d*)(\.(0|[1-9]\d*)(\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)?)?"
)
_PERSON = re.compile(r"(.*\S)\s*\((person|organisation|organization)\)", re.IGNORECASE)


@dataclass(frozen=True)
class Creator:
    """Who made the set; an organisation, unless "(person)" stands behind the name."""

    name: str
    is_person: bool


@dataclass(frozen=True)
class Card:
    """A datasheet with what a person said of it in the forms that cards take.

    ``url`` and ``published`` are empty where none was given that a machine can read; ``missing``
    are words for what nobody gave, ``refused`` sentences on what could not be taken as given.
    """

    folder: Path
    datasheet: DatasheetResult
    title: str
    licence: Licence | None
    languages: tuple[str, ...]
    creators: tuple[Creator, ...]
    url: str
    published: str
    size: str | None
    tasks: tuple[str, ...]
    replace: bool
    missing: tuple[str, ...]
    refused: tuple[str, ...]


def card(config: CardConfig) -> Card:
    """The card of a datasheet's folder; `ConfigError` where none is there.

    >>> card(CardConfig(folder="datasheet")).missing  # doctest: +SKIP
    ('a licence', 'how to cite it')
    """
    folder = Path(config.folder)
    made = card_of(read_datasheet(folder), config)
    answers = folder / ANSWERS
    if answers.is_file() and _says_more(read_answers(answers), made.datasheet):
        late = (
            f"{ANSWERS} was changed after the datasheet was made: run `laion-probe datasheet "
            f"{folder}` again, and then this"
        )
        made = replace(made, refused=(late, *made.refused))
    return made


def _says_more(answers: Answers, sheet: DatasheetResult) -> bool:
    """Whether a person's answers hold what the datasheet was made without."""
    known = {a.id: a.person for section in sheet.sections for a in section.answers}
    given = answers.about.model_dump(exclude_defaults=True)
    return any(getattr(sheet.about, key) != getattr(answers.about, key) for key in given) or any(
        words.strip() and known.get(question, "").strip() != words.strip()
        for question, words in answers.said.items()
    )


def card_of(datasheet: DatasheetResult, config: CardConfig) -> Card:
    """The card of a datasheet that was read already."""
    about = datasheet.about
    languages, unknown = hub_languages(about.languages)
    named = licence(about.license)
    url = about.url.strip() if re.fullmatch(r"\s*https?://[^\s<>\"]+\s*", about.url) else ""
    published = about.date_published.strip() if _is_date(about.date_published.strip()) else ""
    refused = [
        f"language '{code}' is no ISO 639 code of two or three letters, such as en; the cards "
        "leave it out"
        for code in unknown
    ]
    if named and named.hub == "other":
        refused.append(
            f"licence '{named.given}' is not on the Hub's list: the card calls it other, with the "
            f"name {named.name}"
            + ("" if named.link else "; put its text in a file LICENSE beside README.md")
        )
    if about.url.strip() and not url:
        refused.append("url in [about] is no address that begins with http:// or https://")
    if about.date_published.strip() and not published:
        refused.append("date_published in [about] is no date such as 2024-08-30")
    if about.version.strip() and not _VERSION.fullmatch(about.version.strip()):
        refused.append(
            f"version '{about.version}' is not of the form MAJOR.MINOR.PATCH that Croissant "
            "recommends: it is kept, and mlcroissant warns of it"
        )
    return Card(
        folder=Path(config.folder),
        datasheet=datasheet,
        title=about.title.strip() or about.name.strip(),
        licence=named,
        languages=languages,
        creators=tuple(_creator(name) for name in about.creators if name.strip()),
        url=url,
        published=published,
        size=size_category(datasheet.n_rows),
        tasks=config.task,
        replace=config.replace,
        missing=tuple(words for key, words in ASKED.items() if not _given(about, key)),
        refused=tuple(refused),
    )


def _given(about: About, key: str) -> bool:
    value = getattr(about, key) or (about.title if key == "name" else "")
    return any(item.strip() for item in ((value,) if isinstance(value, str) else value))


def _creator(name: str) -> Creator:
    match = _PERSON.fullmatch(name.strip())
    if match is None:
        return Creator(name.strip(), is_person=False)
    return Creator(match[1], is_person=match[2].lower() == "person")


def _is_date(text: str) -> bool:
    """Whether it is a day, a month or a year of ISO 8601."""
    if not re.fullmatch(r"\d{4}(-\d\d){0,2}", text):
        return False
    try:
        datetime.date.fromisoformat(text + "-01" * (2 - text.count("-")))
    except ValueError:
        return False
    return True
