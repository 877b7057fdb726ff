"""The files of a datasheet's folder: the JSON, its evidence, and a person's answers.

A person's ``answers.toml`` is written once, as a form, and never written over: what is added later
are questions that it does not ask yet, at its end.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from laion_probe.datasheet_result import About, DatasheetResult, Evidence
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.store import atomic_file

__all__ = [
    "ANSWERS",
    "DATASHEET",
    "EVIDENCE",
    "Answers",
    "Asked",
    "AskedSection",
    "agreed_answers",
    "as_given",
    "asked_sections",
    "is_datasheet",
    "keep_answers",
    "read_answers",
    "read_datasheet",
    "read_evidence",
    "write_file",
]

DATASHEET, ANSWERS, EVIDENCE = "datasheet.json", "answers.toml", "evidence"

_TABLES = ("about", "answers")
#: Where an absolute path lies is not told.
_ELSEWHERE = "PATH/TO"
_INSIDE = re.compile(rf"{EVIDENCE}/[^/\\]+\.json")
_MARK = "\ufeff"  # that some editors begin a file with
_HEAD = """\
# What people say of this data set, for its datasheet. This file is yours: making the datasheet
# again reads it and never writes over it (questions that it does not ask yet are added at its end).
# Empty answers count as unanswered. Long ones go between three quotes.
"""
_ABOUT = {
    "name": "short name, letters and digits: what Croissant and a comparison call it",
    "title": "the name as people write it",
    "description": "a sentence or two",
    "license": "SPDX or Hugging Face id, such as cc-by-4.0",
    "url": "where it is found",
    "version": "such as 1.0.0",
    "date_published": "such as 2026-11-22",
    "creators": 'names of people or institutions: ["A. Person", "An Institute"]',
    "languages": 'ISO 639-1 codes: ["en", "fr"]',
    "citation": "how it is cited",
}


@dataclass(frozen=True)
class Asked:
    """A question; ``id`` begins with its section's, ``by_data`` is how far data can answer it."""

    id: str
    question: str
    hint: str
    by_data: Literal["whole", "in part", "not"]


@dataclass(frozen=True)
class AskedSection:
    """A section of the paper with its questions, in the paper's order."""

    id: str
    title: str
    in_paper: str
    questions: tuple[Asked, ...]


@dataclass(frozen=True)
class Answers:
    """What a person said: of the set as a whole, and by question."""

    about: About = field(default_factory=About)
    said: Mapping[str, str] = field(default_factory=dict)


def asked_sections() -> tuple[AskedSection, ...]:
    """All questions, by section.

    >>> [len(s.questions) for s in asked_sections()]
    [4, 16, 12, 4, 6, 7, 8]
    """
    file = resources.files("laion_probe") / "datasheet_questions.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return tuple(
        AskedSection(
            s["id"],
            s["title"],
            s["in_paper"],
            tuple(
                Asked(
                    f"{s['id']}-{q['id']}",
                    q["question"],
                    q.get("hint", ""),
                    q.get("by_data", "whole"),
                )
                for q in s["question"]
            ),
        )
        for s in table["section"]
    )


def as_given(path: str) -> str:
    """A path as a command names it that runs from this folder, and that tells no other.

    A relative one stays. An absolute one is made relative where it lies below this folder;
    elsewhere its own name is all that is told of it.

    >>> as_given("runs/doctor"), as_given("/home/me/runs/doctor")
    ('runs/doctor', 'PATH/TO/doctor')
    """
    given = Path(path)
    if not given.is_absolute():
        return path
    here = Path.cwd()
    if given.is_relative_to(here):
        return str(given.relative_to(here))
    return f"{_ELSEWHERE}/{given.name}"


def is_datasheet(folder: Path) -> bool:
    """Whether a folder is one of a datasheet."""
    return (folder / DATASHEET).is_file()


def read_datasheet(folder: Path) -> DatasheetResult:
    """The datasheet of a folder. Raises `ConfigError` where there is none that can be read.

    >>> read_datasheet(Path("datasheet")).n_rows  # doctest: +SKIP
    21600
    """
    file = folder / DATASHEET
    try:
        found = DatasheetResult.from_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{folder} holds no datasheet ({DATASHEET} is not there): name the folder of one, or "
            "make one with `laion-probe datasheet`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        at = "/".join(map(str, first["loc"])) + ": " if first["loc"] else ""
        raise ConfigError(
            f"{file} is no datasheet of this version of laion-probe ({at}{first['msg'].lower()});"
            " make it again with `laion-probe datasheet`"
        ) from None
    # Evidence is read, linked to and, once it is of no use, removed.
    if outside := [e.file for e in found.evidence if not _INSIDE.fullmatch(e.file)]:
        raise ConfigError(
            f"{file} names evidence outside of its folder ({outside[0]!r}), which no datasheet "
            "does: make it anew from the runs"
        )
    return found


def read_evidence(folder: Path, evidence: Evidence) -> bytes:
    """The result that statements rest on, as the datasheet of the folder was made of it.

    Raises `ConfigError` where it is gone, or was changed since.
    """
    file = folder / evidence.file
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; make the datasheet anew") from None
    if hashlib.sha256(data).hexdigest() != evidence.sha256:
        raise ConfigError(
            f"{file} is not what the datasheet was made of: it was changed; make the datasheet "
            "anew from the runs"
        )
    return data


def read_answers(file: Path) -> Answers:
    """What a person wrote into ``file``; the file is only read.

    Raises `ConfigError` where it is no TOML or a value is of the wrong kind, `UnknownName` where a
    key is none.
    """
    table = _loaded(_text_of(file), str(file))
    for name in table:
        if name not in _TABLES:
            raise UnknownName(f"table of {file}", name, _TABLES)
    return Answers(_about(table.get("about", {}), file), _said(table.get("answers", {}), file))


def agreed_answers(mine: Sequence[Path], others: Sequence[Path]) -> Answers:
    """What all files say: ``others`` where ``mine`` say nothing.

    Raises as `read_answers`, and `ConfigError` where two of mine, or two of the others, differ.
    """
    said = _agreed(others) | _agreed(mine)
    about = {key: said.pop(key) for key in About.model_fields if key in said}
    return Answers(About.model_validate(about), said)


def _agreed(files: Sequence[Path]) -> dict[str, Any]:
    """Keys of ``[about]`` and ``[answers]`` (no two are alike) to what is said, if it is."""
    found: dict[str, tuple[Any, Path]] = {}
    for file in files:
        given = read_answers(file)
        for key, value in (dict(given.about) | dict(given.said)).items():
            known, where = found.setdefault(key, (value, file)) if value else (value, file)
            if known != value:
                raise ConfigError(
                    f"{file} and {where} answer {key} differently: edit the one, and leave it out "
                    "of the other"
                )
    return {key: value for key, (value, _) in found.items()}


def _text_of(file: Path) -> str:
    """The text with the line ends that it has."""
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"answers {file}: {reason}; give a TOML file") from None


def _loaded(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix(_MARK))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{where} is not valid TOML: {error}; mend it and run again, nothing was changed (long "
            'answers go between """ and """)'
        ) from None


def _about(given: Any, file: Path) -> About:
    if not isinstance(given, dict):
        raise ConfigError(f"{file}: [about] is not a table")
    for name in given:
        if name not in About.model_fields:
            raise UnknownName(f"key in [about] of {file}", name, About.model_fields)
    return About.model_validate({key: _about_value(key, v, file) for key, v in given.items()})


def _about_value(key: str, given: Any, file: Path) -> str | list[str]:
    """What stands at a key of ``[about]``; a list may be one text, a date stand without quotes."""
    if isinstance(given, datetime.date) and key == "date_published":
        return str(given)
    if About.model_fields[key].annotation is str:
        if isinstance(given, str):
            return given
        raise ConfigError(
            f'{file}: {key} in [about] is not text: put it between quotes, such as {key} = "..."'
        )
    items = given
    if isinstance(given, str):  # a comma may be part of a name, and of no code of a language
        parts = given.split(",") if key == "languages" else [given]
        items = [part.strip() for part in parts if part.strip()]
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        example = _ABOUT[key].partition(": ")[2]
        raise ConfigError(f"{file}: {key} in [about] is no list of texts: write {key} = {example}")
    return items


def _said(given: Any, file: Path) -> dict[str, str]:
    if not isinstance(given, dict):
        raise ConfigError(f"{file}: [answers] is not a table")
    known = [q.id for s in asked_sections() for q in s.questions]
    for name, value in given.items():
        if name not in known:
            raise UnknownName(f"question in [answers] of {file}", name, known)
        if not isinstance(value, str):
            raise ConfigError(f"{file}: the answer to {name} is not text: put it between quotes")
    return {name: value.strip() for name, value in given.items()}


def keep_answers(file: Path, taken: Sequence[Path] = (), known: Answers | None = None) -> None:
    """Write the form where there is none, or one that nobody wrote into; else add new questions.

    It is a copy of the one file that answers were ``taken`` from; of several, a form with all that
    is ``known``. What a person wrote stays byte for byte. Where a person has moved the tables about
    so that nothing can be added safely, nothing is.
    """
    taken = [other for other in taken if other != file]
    # A blank form has nobody's words: left blank, the next making would lose what is taken now.
    if not file.exists() or (taken and _text_of(file) == _form(Answers())):
        copied = _text_of(taken[0]) if len(taken) == 1 else _form(known or Answers())
        write_file(file.resolve(), copied)
    text = _text_of(file)
    before = _loaded(text, str(file))
    asked = before.get("answers", {})
    new = [(s, q) for s in asked_sections() for q in s.questions if q.id not in asked]
    if not new:
        return
    lines = "\n".join(_asking(q) for _, q in new)
    head = "" if "answers" in before else "\n[answers]\n"
    after = {**before, "answers": {**asked, **{q.id: "" for _, q in new}}}
    longer = text + ("" if text.endswith("\n") else "\n") + head + lines
    try:
        if tomllib.loads(longer.removeprefix(_MARK)) == after:
            write_file(file.resolve(), longer)  # it may be a link to a file elsewhere
    except tomllib.TOMLDecodeError:
        return


def _form(known: Answers) -> str:
    """The form with what is known."""
    about = [
        f"# {hint}\n{name} = {_value(getattr(known.about, name))}" for name, hint in _ABOUT.items()
    ]
    parts = [_HEAD, "[about]", *about, "", "[answers]"]
    for section in asked_sections():
        parts += ["", f"# {section.title}", ""]
        parts += [_asking(q, known.said.get(q.id, "")) for q in section.questions]
    return "\n".join(parts)


def _asking(asked: Asked, answer: str = "") -> str:
    hint = f"# ({asked.hint})\n" if asked.hint else ""
    return f"# {asked.question}\n{hint}{asked.id} = {_value(answer)}\n"


def _value(said: str | tuple[str, ...]) -> str:
    """Text, or a list of it, as TOML; text of several lines stays on as many."""
    if isinstance(said, tuple):
        return f"[{', '.join(map(_value, said))}]"
    # JSON's strings are TOML's, but for the character DEL.
    lines = [json.dumps(line, ensure_ascii=False)[1:-1] for line in said.split("\n")]
    ends = '"' if len(lines) == 1 else '"""'
    begin = "" if len(lines) == 1 else "\n"
    return f"{ends}{begin}" + "\n".join(lines).replace("\x7f", "\\u007f") + ends


def write_file(file: Path, text: str) -> None:
    """Write a file so that it appears whole or not at all. Raises `ConfigError`."""
    try:
        with atomic_file(file) as scratch:
            scratch.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(
            f"cannot write {file}: {error.strerror or error}; give an --out in a folder that you "
            "may write to"
        ) from error
