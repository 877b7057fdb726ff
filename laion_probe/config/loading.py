"""Configs from TOML files and options, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from laion_probe.config.base import HoldsPath, Options
from laion_probe.errors import ConfigError

__all__ = ["beside", "change_paths", "load_config", "make_config"]

C = TypeVar("C", bound=Options)


def load_config(path: Path, overrides: dict[str, Any], kind: type[C], *, shared: bool = False) -> C:
    """Read a config from TOML; ``overrides`` (not None) win over the file.

    A ``shared`` file serves several questions: keys that this one does not have are left out.

    Raises `ConfigError` naming the file, the key and the known keys.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"config file {path} does not exist: give the path of a TOML file"
        ) from None
    except OSError as error:
        raise ConfigError(f"config file {path}: {error.strerror}; give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    if shared:
        raw = {key: value for key, value in raw.items() if key in kind.model_fields}
    raw = beside(path.parent, raw, kind)
    raw.update({k: v for k, v in overrides.items() if v is not None})
    return make_config(raw, kind, where=str(path))


def beside(folder: Path, values: dict[str, Any], kind: type[Options]) -> dict[str, Any]:
    """The values of a config whose relative paths are relative to ``folder``."""
    # An absolute path stays as it is when it is joined.
    return change_paths(kind, values, lambda path: str(folder / path), folder)


def make_config(values: dict[str, Any], kind: type[C], where: str = "options") -> C:
    """Validate ``values``; a wrong one is a one-line `ConfigError`."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            raise ConfigError(f"{where}: unknown key '{key}'; known keys: {known}") from None
        if first["type"] == "missing":
            raise ConfigError(f"{where}: '{key}' is missing; give it") from None
        reason = first["msg"].removeprefix("Value error, ")
        of = f"'{key}' " if key else ""
        if first["type"] == "literal_error":  # of several, which one
            of = f"'{first['loc'][0]}' has '{first['input']}': "
        raise ConfigError(f"{where}: {of}{reason[0].lower()}{reason[1:]}") from None


def change_paths(
    kind: type[Options],
    values: Mapping[str, Any],
    change: Callable[[str], str],
    folder: Path = Path(),
) -> dict[str, Any]:
    """The values of a config with each path in them changed, as its fields are marked.

    Paths that may also be names are looked for from ``folder``. URLs stay as they are.
    """

    def changed(mark: HoldsPath, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(changed(mark, item) for item in value)
        return mark.changed(value, local, folder) if isinstance(value, str) else value

    def local(path: str) -> str:
        return path if "://" in path else change(path)

    marks = {
        name: mark
        for name, field in kind.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, HoldsPath)
    }
    return {k: changed(marks[k], v) if k in marks else v for k, v in values.items()}
