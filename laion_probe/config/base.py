"""Shapes that every run's config shares, and quantities as people write them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from laion_probe.errors import ConfigError

__all__ = [
    "CHECKPOINT",
    "CSV_FILE",
    "LOCAL_DIR",
    "MAYBE_NAMED",
    "NAMED",
    "PATH",
    "SHARE_OF_TERMS",
    "TERMS",
    "TOML_FILE",
    "WHO_COMPUTES",
    "DataConfig",
    "HoldsPath",
    "Options",
    "RunConfig",
    "quantity",
    "seconds",
    "share_or_percent",
    "size_in_bytes",
]


@dataclass(frozen=True)
class HoldsPath:
    """Marks a field whose text, or each item of it, is a path or has one in it.

    The path is the group of ``pattern``; text that does not match as a whole has none. With
    ``or_whole``, text that is the path of something that is there is a path from end to end.
    """

    pattern: str
    or_whole: bool = False

    def changed(self, text: str, change: Callable[[str], str], folder: Path = Path()) -> str:
        """The text with its path changed; ``folder`` is where relative ones are looked for.

        >>> NAMED.changed("skin_tone=runs/a.csv", str.upper)
        'skin_tone=RUNS/A.CSV'
        """
        if self.or_whole and os.path.exists(folder / text):
            return change(text)
        match = re.fullmatch(self.pattern, text, re.DOTALL)
        if match is None:
            return text
        start, end = match.span(1)
        return text[:start] + change(text[start:end]) + text[end:]


PATH = HoldsPath("(.+)")
NAMED = HoldsPath("[^=]*=(.+)")
MAYBE_NAMED = HoldsPath("(?:[^=]*=)?(.+)", or_whole=True)
TOML_FILE = HoldsPath(r"(.+\.toml)")
CSV_FILE = HoldsPath(r"(.+\.csv)")
LOCAL_DIR = HoldsPath("local-dir:(.+)")
TERMS = HoldsPath("terms:(.+)")
SHARE_OF_TERMS = HoldsPath(r"(?:kept:)?terms:(.+\.toml)=.*")
#: A file of weights, or a tag of open_clip's, none of which has a slash.
CHECKPOINT = HoldsPath("(.*/.*)", or_whole=True)


def _scaled(value: Any, scales: dict[str, float], like: str) -> Any:
    """Text with a unit as a number; what is no text passes."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    unit = text[-1:] if text[-1:] in scales else ""
    try:
        return float(text.removesuffix(unit)) * scales.get(unit, 1)
    except ValueError:
        raise ValueError(f"'{value}' is no such quantity: write {like}") from None


def share_or_percent(value: Any) -> Any:
    """A share, or percent."""
    return _scaled(value, {"%": 0.01}, "0.5% or 0.005")


def quantity(value: Any) -> Any:
    """A number, or one with k, M, G or T."""
    return _scaled(value, {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}, "2000000, 500k, 2M or 20G")


def size_in_bytes(value: Any) -> Any:
    """Bytes, or a number with k, M, G or T (of 1024)."""
    return _scaled(
        value, {u: 1024.0 ** (i + 1) for i, u in enumerate("kmgt")}, "4G, 500M or 4294967296"
    )


def seconds(value: Any) -> Any:
    """Seconds, or a number with s, m or h."""
    return _scaled(value, {"s": 1, "m": 60, "h": 3600}, "90, 10m or 2h")


def _path_as_text(value: Any) -> Any:
    return os.fsdecode(value) if isinstance(value, os.PathLike) else value


class Options(BaseModel):
    """The options of a command: frozen, and a key that is not known is an error.

    A path object may stand for its text, and one item for a list of one, as on the command line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _as_on_the_command_line(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, list | tuple):
            return [_path_as_text(x) for x in value]
        value = _path_as_text(value)
        several = "tuple" in str(cls.model_fields[info.field_name or ""].annotation)
        one = isinstance(value, str | int) and not isinstance(value, bool)
        return (value,) if several and one else value


class RunConfig(Options):
    """What every run is asked: where it writes, its seed and the level of its intervals.

    `WHO_COMPUTES` names the fields that change no result: they are not part of it.
    """

    out: Annotated[str | None, PATH] = Field(
        None, description="folder of this run; it must not exist yet"
    )
    data_note: str = Field(
        "", description="what readers must know of the data, shown at the top (say: simulated)"
    )
    seed: int = Field(0, ge=0, description="seed of every random choice")
    level: float = Field(0.95, gt=0.5, lt=1, description="level of the intervals")


class DataConfig(RunConfig):
    """Which shards are read, and by whom."""

    shards: Annotated[tuple[str, ...], PATH] = Field(
        (),
        description="files, folders, globs, {000..127} ranges or URLs of shards, or lists of them",
    )
    column: tuple[str, ...] = Field(
        (), description="which column to read, NAME=COLUMN, such as text=ALT"
    )
    already: Annotated[str | None, TOML_FILE] = Field(
        None,
        description="recipe that the shards have already passed: its name or TOML file, or a "
        "public set's name; default: guessed, and said",
    )
    cache: Annotated[str | None, PATH] = Field(
        None, description="where embeddings and scans are kept for reuse"
    )
    max_failed_share: float = Field(
        0.01, ge=0, le=1, description="the run fails when more of its rows than this failed"
    )
    runner: Literal["auto", "serial", "processes", "ray"] = Field(
        "auto", description="who computes: this process, a pool of them, or a Ray cluster"
    )
    workers: int | None = Field(None, ge=1, description="processes at work (default: one a core)")
    ray_address: str | None = Field(
        None, description="address of a Ray cluster (default: one in this machine's cores)"
    )
    retries: int = Field(2, ge=0, description="times that a unit is tried again if its worker dies")

    @property
    def columns(self) -> dict[str, str]:
        """``column`` as a mapping; `ConfigError` where an item is not NAME=COLUMN."""
        found = {}
        for item in self.column:
            name, equals, source = item.partition("=")
            if not (name and equals and source):
                raise ConfigError(f"column '{item}' is not NAME=COLUMN, such as text=ALT")
            found[name] = source
        return found


WHO_COMPUTES = ("out", "cache", "runner", "workers", "ray_address", "retries")
