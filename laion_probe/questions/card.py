"""``laion-probe card``: what a datasheet's cards can say, and what only a person could add.

Nothing is invented: what nobody has stated is listed as missing, and what was stated but cannot go
where a card would have it is said.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from laion_probe.config.card import CardConfig, Task
from laion_probe.datasheet_result import About, DatasheetResult
from laion_probe.questions.card_evidence import Behind, behind
from laion_probe.questions.card_hub import (
    Languages,
    Licence,
    hub_languages,
    licence,
    size_category,
)
from laion_probe.questions.datasheet_files import ANSWERS, Answers, read_answers, read_datasheet

__all__ = ["ASKED", "README", "Card", "Creator", "card", "card_of"]

README = "README.md"

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
#: Of these, what Croissant 1.1 requires; mlcroissant takes a description without it.
REQUIRED = ("name", "license", "creators", "url", "date_published")

#: As mlcroissant reads a version: of Semantic Versioning, minor and patch may be missing.
_VERSION = re.compile(
    r"(0|[1-9]\d*)(\.(0|[1-9]\d*)(\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)?)?"
)
_FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?\n)---", re.DOTALL)
#: A list of YAML, on the line of its key or on those below it.
_TASKS = re.compile(r"^task_categories:((?:.*\n)(?:[ -].*\n)*)", re.MULTILINE)
_PERSON = re.compile(r"(.*\S)\s*\((person|organisation|organization)\)", re.IGNORECASE)


@dataclass(frozen=True)
class Creator:
    """Who made the set; an organisation, unless "(person)" stands behind the name."""

    name: str
    is_person: bool


@dataclass(frozen=True)
class Card:
    """A datasheet with what a person said of it in the forms that cards take.

    ``behind`` has what its runs say of each share. ``url`` and ``published`` are empty where none
    was given that a machine can read; ``missing`` are words for what nobody gave, ``required``
    those of them that Croissant asks for, ``refused`` sentences on what could not be taken as
    given.
    """

    folder: Path
    datasheet: DatasheetResult
    behind: Behind
    title: str
    licence: Licence | None
    languages: Languages
    creators: tuple[Creator, ...]
    url: str
    published: str
    size: str | None
    tasks: tuple[str, ...]
    replace: bool
    missing: tuple[str, ...]
    required: tuple[str, ...]
    refused: tuple[str, ...]


def card(config: CardConfig) -> Card:
    """The card of a datasheet's folder, with the tasks of a card that is there already.

    Raises `ConfigError` where there is no datasheet, or its evidence is not what it was made of.

    >>> card(CardConfig(folder="datasheet")).missing  # doctest: +SKIP
    ('a licence', 'how to cite it')
    """
    folder = Path(config.folder)
    sheet = read_datasheet(folder)
    if not config.task:
        config = config.model_copy(update={"task": _tasks(folder / README)})
    made = card_of(sheet, config, behind(folder, sheet))
    answers = folder / ANSWERS
    if answers.is_file() and _says_more(read_answers(answers), made.datasheet):
        late = (
            f"{ANSWERS} was changed after the datasheet was made: run `laion-probe datasheet "
            f"{folder}` again, and then this"
        )
        made = replace(made, refused=(late, *made.refused))
    return made


def _tasks(readme: Path) -> tuple[str, ...]:
    """The tasks that the front matter of a card names; none where there is no card."""
    if not readme.is_file():
        return ()
    said = readme.read_text(encoding="utf-8", errors="replace")
    front = _FRONT.match(said)
    named = _TASKS.search(front[1]) if front else None
    known = {*get_args(Task)} - {"none"}
    words = re.findall(r"[a-z][a-z-]*", named[1]) if named else []
    return tuple(dict.fromkeys(word for word in words if word in known))


def _says_more(answers: Answers, sheet: DatasheetResult) -> bool:
    """Whether a person's answers hold what the datasheet was made without."""
    known = {a.id: a.person for section in sheet.sections for a in section.answers}
    given = answers.about.model_dump(exclude_defaults=True)
    return any(getattr(sheet.about, key) != getattr(answers.about, key) for key in given) or any(
        words.strip() and known.get(question, "").strip() != words.strip()
        for question, words in answers.said.items()
    )


def card_of(datasheet: DatasheetResult, config: CardConfig, runs: Behind | None = None) -> Card:
    """The card of a datasheet that was read already; without ``runs`` it knows shares alone."""
    about = datasheet.about
    url = about.url.strip() if re.fullmatch(r"\s*https?://[^\s<>\"]+\s*", about.url) else ""
    published = about.date_published.strip() if _is_date(about.date_published.strip()) else ""
    missing = tuple(key for key in ASKED if not _given(about, key))
    unread = {"url": about.url.strip() and not url}
    unread["date_published"] = about.date_published.strip() and not published
    return Card(
        folder=Path(config.folder),
        datasheet=datasheet,
        behind=runs or Behind({run.id: run.kind for run in datasheet.evidence}),
        title=about.title.strip() or about.name.strip(),
        licence=licence(about.license),
        languages=hub_languages(about.languages),
        creators=tuple(_creator(name) for name in about.creators if name.strip()),
        url=url,
        published=published,
        size=size_category(datasheet.n_rows),
        tasks=tuple(task for task in config.task if task != "none"),
        replace=config.replace,
        missing=tuple(ASKED[key] for key in missing),
        required=tuple(ASKED[key] for key in REQUIRED if key in missing or unread.get(key)),
        refused=tuple(_refused(about, url, published)),
    )


def _refused(about: About, url: str, published: str) -> Iterator[str]:
    """What could not be taken as it was given, and what stands in its place."""
    languages = hub_languages(about.languages)
    for code in languages.unknown:
        yield (
            f"language '{code}' is no ISO 639 code of two or three letters, such as en; the cards "
            "list it as one without a code"
        )
    for code, language in languages.mapped:
        regional = (
            f"language '{code}' has a script or a region, which language_bcp47 and Croissant take "
            f"and language in the front matter does not: there it is {language}"
        )
        withdrawn = (
            f"language '{code}' is a code that ISO 639 has withdrawn: the cards give {language}"
        )
        yield regional if "-" in code or "_" in code else withdrawn
    named = licence(about.license)
    if named and named.hub == "other":
        yield (
            f"licence '{named.given}' is not on the Hub's list: the card calls it other, with the "
            f"name {named.name}"
            + ("" if named.link else "; put its text in a file LICENSE beside README.md")
        )
    if about.url.strip() and not url:
        yield "url in [about] is no address that begins with http:// or https://"
    if about.date_published.strip() and not published:
        yield "date_published in [about] is no date such as 2024-08-30"
    version = about.version.strip()
    if version and not _VERSION.fullmatch(version):
        yield (
            f"version '{about.version}' is not of the form MAJOR.MINOR.PATCH that Croissant "
            "recommends: it is kept, and mlcroissant warns of it"
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
