"""Prompts with the groups that they stand for: of a file, or of the command line."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laion_probe.errors import ConfigError

__all__ = ["Prompt", "read_prompts"]

_KEYS = ("prompt", "group", "concept", "language")
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Prompt:
    """A prompt, the group that it stands for, its concept, and its language (a BCP 47 tag).

    All may be empty: ``text`` is then the empty prompt, the others are not known.
    """

    text: str
    group: str = ""
    concept: str = ""
    language: str = ""


def read_prompts(path: str | None, more: Iterable[str] = ()) -> tuple[Prompt, ...]:
    """The prompts of a file, then ``more``, which stand for no group.

    A file is CSV or TSV with a header, JSONL, or TOML with a ``[[prompt]]`` each; the columns are
    prompt, group, concept and language, of which the first must be there. Raises `ConfigError`
    where there is no prompt, or the same one twice.

    >>> read_prompts(None, ["a doctor", ""])[0].text
    'a doctor'
    """
    found = [] if path is None else _of_file(Path(path))
    found += [Prompt(text) for text in more]
    if not found:
        where = f"{path} holds no prompt" if path else "no prompt given"
        raise ConfigError(f"{where}: give --prompt, or --prompts with a file ('' is a prompt too)")
    seen: set[Prompt] = set()
    for prompt in found:
        if prompt in seen:
            raise ConfigError(
                f"the prompt {prompt.text!r} is given twice in the same group, concept and "
                "language: give it once, and more --images"
            )
        seen.add(prompt)
    return tuple(found)


def _of_file(path: Path) -> list[Prompt]:
    kind = path.suffix.lower()
    if kind not in (".toml", ".csv", ".tsv", ".jsonl"):
        raise ConfigError(f"prompts {path}: give a .toml, .csv, .tsv or .jsonl file")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"prompts {path}: larger than {_MOST_BYTES >> 20} MB; split it")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"prompts {path}: {error.strerror}; give a file of prompts") from None
    except UnicodeDecodeError:
        raise ConfigError(f"prompts {path}: not UTF-8 text; save it as UTF-8") from None
    try:
        if kind == ".toml":
            return [_prompt(row, f"{path}, prompt {n}") for n, row in enumerate(_toml(text), 1)]
        if kind == ".jsonl":
            # Only a line feed ends a line: other separators may stand in a prompt.
            lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
            return [_prompt(json.loads(line), f"{path}, line {n}") for n, line in lines]
        # Quoted cells may hold line ends, so that the reader takes the text as it is.
        reader = csv.DictReader(
            io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",", strict=True
        )
        return [_prompt(row, f"{path}, line {reader.line_num}") for row in reader]
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"prompts {path}: not valid {kind[1:].upper()} ({error})") from None


def _toml(text: str) -> list[Any]:
    raw = tomllib.loads(text)
    rows = raw.pop("prompt", [])
    if raw or not isinstance(rows, list):
        raise ValueError("write a [[prompt]] each, with prompt, group, concept and language")
    return rows


def _prompt(row: Any, where: str) -> Prompt:
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where}: not a row of {', '.join(_KEYS)}")
    unknown = [str(key) for key in row if key not in _KEYS]
    if unknown:
        raise ConfigError(f"{where}: unknown column {unknown[0]!r}; known: {', '.join(_KEYS)}")
    if not isinstance(row.get("prompt"), str):
        raise ConfigError(f"{where}: no prompt; the empty prompt is written ''")
    rest = [row.get(key) for key in _KEYS[1:]]
    if any(value is not None and not isinstance(value, str) for value in rest):
        raise ConfigError(f"{where}: group, concept and language are texts")
    return Prompt(row["prompt"], *(str(value or "").strip() for value in rest))
