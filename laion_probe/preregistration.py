"""Preregistrations: what will be measured, written down and hashed before it is measured.

A preregistration is a TOML file that people can read. Its hash is of all its content, the inputs'
fingerprints and the date included, and of nothing that was found. It shows that the file is still
the one of that hash; it cannot show when that was made: anybody can write another file with
another hash and another date. So the hash is to be deposited where a date is vouched for (a
registry of preregistrations, a public commit, a dated message) before the probe is run.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from laion_probe.errors import ConfigError
from laion_probe.results import Estimate, Value

__all__ = [
    "ClaimOutcome",
    "Deviation",
    "Direction",
    "Expectation",
    "Outcome",
    "Preregistered",
    "Registered",
    "RegisteredAttribute",
    "RegisteredClaim",
    "RegisteredInput",
    "RegisteredRecipe",
    "content_hash",
    "deviations",
    "made_since",
    "read_preregistration",
    "to_toml",
]

#: What may be expected of a change.
Direction = Literal["higher", "lower", "no change"]
#: What came of it.
Outcome = Literal[
    "as expected", "the opposite", "otherwise", "cannot tell", "not measured", "not compared"
]
Option = bool | int | float | str | tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = 12  # characters of a fingerprint
#: Of more inputs of a kind that differ in the same way, the number is told.
_MOST = 6
_HEAD = (
    "What `laion-probe probe` will measure. The command that wrote this looked at no caption,",
    "picture, label or rating; whether anybody did before, in an earlier run say, it cannot know.",
    "Do not edit: the hash is of all that follows. Deposit it where its date is vouched for.",
)


class RegisteredInput(Value):
    """An input by the hash of its content; '' where it was still to be made."""

    kind: str  # "shard", "images", "generated", "ratings", "scores", "reference", ...
    name: str
    fingerprint: str


class RegisteredClaim(Value):
    """A claim that will be made or withheld, by its id in the finding, and what it is of."""

    id: str
    about: str


class RegisteredRecipe(Value):
    """The recipe, its steps in order; the fingerprint is of every parameter of theirs."""

    name: str
    title: str
    steps: tuple[str, ...]
    fingerprint: str


class RegisteredAttribute(Value):
    """An attribute and how it is read; the fingerprint is of its whole definition."""

    name: str
    title: str
    reader: str
    contrast: str
    against: str
    prompts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    fingerprint: str


class Registered(Value):
    """What was registered.

    ``options`` are those that change a result, but for the inputs, which go by their content.
    ``expected`` is what somebody expects, as they wrote it: CLAIM=ANSWER: WORDS, or, in plans of
    version 0.3.0, words alone. ``hash`` is of all the rest.
    """

    hash: str = ""
    written: str  # UTC, ISO 8601
    version: str
    expected: tuple[str, ...] = ()
    keywords: tuple[str, ...]
    prompts: tuple[str, ...]  # empty where example pictures show the concept
    threshold_rule: str
    estimator: tuple[str, ...]
    decision: str
    options: dict[str, Option]
    recipe: RegisteredRecipe
    attributes: tuple[RegisteredAttribute, ...]
    claims: tuple[RegisteredClaim, ...]
    inputs: tuple[RegisteredInput, ...]
    model: dict[str, str] = Field(default_factory=dict)
    packages: dict[str, str] = Field(default_factory=dict)

    def sealed(self) -> Registered:
        """The same with its hash."""
        return self.model_copy(update={"hash": content_hash(_content(self))})


class Deviation(Value):
    """One thing that is otherwise than registered."""

    of: Literal["option", "definition", "input", "version"]
    what: str
    registered: str
    used: str


class ClaimOutcome(Value):
    """A claim of the plan or of the run: whether it was registered, and what became of it."""

    id: str
    about: str
    registered: bool
    outcome: Literal["supported", "withheld", "not made"]


class Expectation(Value):
    """What was expected of a claim, and what the run says of it.

    ``outcome`` goes by the interval by which the claim is supported or withheld: "otherwise" is a
    change where none was expected, or, of a full count, none where one was. "not compared" is of
    words that name no claim. ``estimate`` is the change as the finding quotes it, ``range`` the one
    that decides where it is another; ``reason`` says why there is none.
    """

    words: str
    claim: str = ""
    about: str = ""
    expected: Direction | None = None
    outcome: Outcome
    estimate: Estimate | None = None
    range: Estimate | None = None
    reason: str = ""


class Preregistered(Value):
    """How a run keeps to its preregistration. ``made_since`` are inputs that were not there yet."""

    hash: str
    written: str
    expectations: tuple[Expectation, ...] = ()
    deviations: tuple[Deviation, ...]
    made_since: tuple[str, ...]
    claims: tuple[ClaimOutcome, ...]
    sentence: str


def content_hash(content: Mapping[str, object]) -> str:
    """The hash of a preregistration's content, whatever the order of its keys.

    Raises `ConfigError` for text that is not Unicode.

    >>> content_hash({"a": 1, "b": "x"}) == content_hash({"b": "x", "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(_encoded(text)).hexdigest()


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"an option or a name is not Unicode text: {error.reason}; write it as UTF-8, or give "
            "the file another name"
        ) from None


def read_preregistration(path: Path) -> Registered:
    """The preregistration in a file. Raises `ConfigError` where its content is not of its hash."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"preregistration {path}: {error.strerror}; give the file that "
            "`laion-probe preregister` wrote"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"preregistration {path} is not valid TOML: {error}") from None
    stated = raw.get("hash")
    if not isinstance(stated, str):
        raise ConfigError(
            f"{path} is no preregistration (it has no hash): give the file that "
            "`laion-probe preregister` wrote"
        )
    try:
        found = content_hash({key: value for key, value in raw.items() if key != "hash"})
    except TypeError:  # a bare date: nothing that we write
        found = "none"
    if found != stated:
        raise ConfigError(
            f"preregistration {path} was changed after it was written: its content has the hash "
            f"{found[:_SHOWN]}, it states {stated[:_SHOWN]}; give the file as it was written, or "
            "run without --preregistered"
        )
    try:
        return Registered.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"preregistration {path} was written by another version of laion-probe "
            f"({raw.get('version', 'not said')}): {where}: {first['msg']}; use that version"
        ) from None


def to_toml(registered: Registered) -> str:
    """The file of a sealed preregistration. Raises `ConfigError` for text that is not Unicode."""
    content = {"hash": registered.hash} | _content(registered)
    text = "".join(f"# {line}\n" for line in _HEAD) + "\n".join(_table(content, ())) + "\n"
    return _encoded(text).decode()


def _content(registered: Registered) -> dict[str, object]:
    return registered.model_dump(mode="json", exclude={"hash"})


def _table(table: Mapping[str, object], path: tuple[str, ...]) -> Iterator[str]:
    """A TOML table: its values first, then the tables in it."""
    inner = {k: v for k, v in table.items() if isinstance(v, dict)}
    rows = {k: v for k, v in table.items() if isinstance(v, list) and v and isinstance(v[0], dict)}
    for key, value in table.items():
        if key not in inner and key not in rows:
            yield f"{_key(key)} = {_text(value)}"
    for key, value in inner.items():
        yield f"\n[{'.'.join(map(_key, (*path, key)))}]"
        yield from _table(value, (*path, key))
    for key, items in rows.items():
        for item in items:
            yield f"\n[[{'.'.join(map(_key, (*path, key)))}]]"
            yield from _table(item, (*path, key))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    # JSON's strings, numbers and truth values are TOML's, but for the character DEL.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")


# What differs


def deviations(registered: Registered, used: Registered) -> tuple[Deviation, ...]:
    """What of ``used`` is otherwise than registered: options, definitions, inputs, versions.

    What was expected, and when either was written, is no deviation.

    >>> from laion_probe.preregistration import Registered, RegisteredRecipe
    >>> none = RegisteredRecipe(name="none", title="none", steps=(), fingerprint="0")
    >>> plan = Registered(
    ...     written="", version="1", keywords=(), prompts=(), threshold_rule="", estimator=(),
    ...     decision="", options={"seed": 0}, recipe=none, attributes=(), claims=(), inputs=())
    >>> [d.what for d in deviations(plan, plan.model_copy(update={"options": {"seed": 1}}))]
    ['seed']
    """
    found = [
        Deviation(of="option", what=key, registered=was, used=now)
        for key, was, now in _different(registered.options, used.options)
    ]
    changed = {d.what for d in found}
    found += _definitions(registered, used, changed)
    found += _inputs(registered.inputs, used.inputs)
    versions = [("laion-probe", registered.version, used.version)]
    versions = [v for v in versions if v[1] != v[2]]
    versions += _different(registered.packages, used.packages)
    found += [Deviation(of="version", what=w, registered=a, used=b) for w, a, b in versions]
    return tuple(found)


def made_since(registered: Registered, used: Registered) -> tuple[str, ...]:
    """The inputs used that were registered by name, before they were there."""
    to_come = {(i.kind, i.name) for i in registered.inputs if not i.fingerprint}
    return tuple(f"{i.kind} {i.name}" for i in used.inputs if (i.kind, i.name) in to_come)


def _different(
    first: Mapping[str, object], second: Mapping[str, object]
) -> list[tuple[str, str, str]]:
    keys = dict.fromkeys((*first, *second))
    return [(k, _said(first, k), _said(second, k)) for k in keys if first.get(k) != second.get(k)]


def _said(options: Mapping[str, object], key: str) -> str:
    value = options.get(key)
    if value is None:
        return "not given"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _definitions(
    registered: Registered, used: Registered, changed: Iterable[str]
) -> Iterator[Deviation]:
    """Where the same name, or the same options, now mean something else."""
    was, now = registered.recipe, used.recipe
    if was.fingerprint != now.fingerprint:
        yield _definition("recipe", (was.name, was.fingerprint), (now.name, now.fingerprint))
    before = {a.name: a for a in registered.attributes}
    after = {a.name: a for a in used.attributes}
    for name in dict.fromkeys((*before, *after)):
        one, two = before.get(name), after.get(name)
        if one is None or two is None:
            said = [a.name if a else "not among them" for a in (one, two)]
            yield Deviation(of="definition", what="attribute", registered=said[0], used=said[1])
        elif one.fingerprint != two.fingerprint:
            yield _definition(
                f"attribute {name}", (one.reader, one.fingerprint), (two.reader, two.fingerprint)
            )
    for key, a, b in _different(registered.model, used.model):
        if key not in ("model", "pretrained"):  # names: the hash of the weights tells
            yield Deviation(
                of="definition", what=f"model, {key}", registered=a[:_SHOWN], used=b[:_SHOWN]
            )
    # What follows from an option that is told already is not told again.
    follows = {
        "keywords": "concept",
        "prompts": "concept",
        "threshold_rule": "threshold",
        "estimator": "level",
        "decision": "level",
    }
    for key, option in follows.items():
        one_of, two_of = getattr(registered, key), getattr(used, key)
        if one_of != two_of and option not in changed:
            a, b = (_said({key: x}, key) or "none" for x in (one_of, two_of))
            yield Deviation(of="definition", what=key.replace("_", " "), registered=a, used=b)


def _definition(what: str, was: tuple[str, str], now: tuple[str, str]) -> Deviation:
    a, b = (f"{name} ({fingerprint[:_SHOWN]})" for name, fingerprint in (was, now))
    return Deviation(of="definition", what=what, registered=a, used=b)


def _inputs(
    registered: Sequence[RegisteredInput], used: Sequence[RegisteredInput]
) -> Iterator[Deviation]:
    """Inputs whose content is not the registered one; what they are called is no matter."""
    for kind in dict.fromkeys(i.kind for i in (*registered, *used)):
        left = [i for i in used if i.kind == kind]
        missing = []
        for i in registered:
            if i.kind != kind:
                continue
            same = [
                x
                for x in left
                if x.fingerprint == i.fingerprint or (not i.fingerprint and x.name == i.name)
            ]
            if same:
                left.remove(same[0])
            else:
                missing.append(i)
        told = []
        for i in missing:
            namesake = next((x for x in left if x.name == i.name), None)
            if namesake is None:
                told.append((i.name, i.fingerprint[:_SHOWN] or "to be made", "not read"))
            else:
                left.remove(namesake)
                told.append((i.name, i.fingerprint[:_SHOWN], namesake.fingerprint[:_SHOWN]))
        told += [(x.name, "not registered", x.fingerprint[:_SHOWN]) for x in left]
        if len(told) > _MOST:
            n = len([i for i in registered if i.kind == kind])
            told = [(f"{len(told)} differ", f"{n} in all", f"first {told[0][0]}")]
        for name, was, now in told:
            yield Deviation(of="input", what=f"{kind} {name}", registered=was, used=now)
