"""What a run is asked to do: frozen shapes only. Names are resolved by the question."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from laion_probe.errors import ConfigError

__all__ = [
    "WHO_COMPUTES",
    "DataConfig",
    "FiltersConfig",
    "ProbeConfig",
    "ScanConfig",
    "load_config",
    "make_config",
]


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


def _share(value: Any) -> Any:
    return _scaled(value, {"%": 0.01}, "0.5% or 0.005")


def _quantity(value: Any) -> Any:
    return _scaled(value, {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}, "2000000, 500k, 2M or 20G")


def _seconds(value: Any) -> Any:
    return _scaled(value, {"s": 1, "m": 60, "h": 3600}, "90, 10m or 2h")


class DataConfig(BaseModel):
    """Which data are read, and by whom: shared by all questions.

    `WHO_COMPUTES` names the fields that change no result: they are not part of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: tuple[str, ...] = Field(
        (),
        description="files, folders, globs, {000..127} ranges or URLs of shards, or lists of them",
    )
    column: tuple[str, ...] = Field(
        (), description="which column to read, NAME=COLUMN, such as text=ALT"
    )
    already: str | None = Field(
        None,
        description="recipe that the shards have already passed: its name or TOML file, or a "
        "public set's name; default: guessed, and said",
    )
    data_note: str = Field(
        "", description="what readers must know of the data, shown at the top (say: simulated)"
    )
    out: str | None = Field(None, description="folder of this run; it must not exist yet")
    cache: str | None = Field(None, description="where embeddings and scans are kept for reuse")
    seed: int = Field(0, ge=0, description="seed of every random choice")
    level: float = Field(0.95, gt=0.5, lt=1, description="level of the intervals")
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


class _OneRecipe(DataConfig):
    """A run that replays one recipe."""

    recipe: str = Field("none", description="pre-processing recipe to replay")


class ScanConfig(_OneRecipe):
    """The options of ``laion-probe scan``; every field may also stand in a TOML file."""

    by: tuple[str, ...] = Field(
        (), description="groups to count by, as `laion-probe groups` lists them"
    )
    share: str = Field(
        "kept",
        description="the share to follow: kept, removed:STEP, GROUP=LEVEL or kept:GROUP=LEVEL",
    )
    until: Annotated[float | None, BeforeValidator(_share)] = Field(
        None, gt=0, lt=0.5, description="stop when the share is known to plus or minus this: 0.5%%"
    )
    max_rows: Annotated[int | None, BeforeValidator(_quantity)] = Field(
        None, ge=1, description="stop after so many rows: 2000000, 2M"
    )
    max_bytes: Annotated[int | None, BeforeValidator(_quantity)] = Field(
        None, ge=1, description="stop after so many bytes of the needed columns: 500M, 20G"
    )
    max_units: Annotated[int | None, BeforeValidator(_quantity)] = Field(
        None, ge=1, description="stop after so many row groups"
    )
    max_time: Annotated[float | None, BeforeValidator(_seconds)] = Field(
        None, gt=0, description="stop after so much time: 90, 10m, 2h"
    )
    sequence: str = Field(
        "asymptotic", description="interval that holds while one looks: asymptotic or betting"
    )


class PlanConfig(_OneRecipe):
    """The options of ``laion-probe plan``."""

    by: tuple[str, ...] = Field((), description="groups to count by, as for scan")
    cores: tuple[int, ...] = Field((1, 16, 64), description="numbers of cores to plan for")


class FiltersConfig(DataConfig):
    """The options of ``laion-probe filters``; every field may also stand in a TOML file."""

    recipe: tuple[str, ...] = Field(
        (), description="recipes to replay side by side, one at least: names, or TOML files"
    )
    by: tuple[str, ...] = Field(
        (
            "script",
            "gender-words",
            "person",
            "identity-gender",
            "identity-orientation",
            "identity-religion",
            "identity-ethnicity",
            "region",
            "length",
        ),
        description="groups to count by, as `laion-probe groups` lists them",
    )
    detectors: tuple[str, ...] = Field(
        ("cld2", "cld3-0-1000", "cld3-5-2000:reliable", "fasttext", "langdetect"),
        description="language detectors to compare; with :reliable, unsure guesses are no language",
    )
    audit_captions: Annotated[int, BeforeValidator(_quantity)] = Field(
        1000, ge=0, description="captions on which detectors are compared (0: none)"
    )
    examples: int = Field(5, ge=0, le=100, description="captions shown of each kind")
    min_count: int = Field(
        50, ge=1, description="levels with fewer rows than this are called too small"
    )
    flag: Annotated[float, BeforeValidator(_share)] = Field(
        0.05, ge=0, le=1, description="difference in removal from which a level is flagged: 5%%"
    )
    max_rows: Annotated[int | None, BeforeValidator(_quantity)] = Field(
        None, ge=1, description="read a random sample of row groups of about so many rows: 2M"
    )
    max_units: Annotated[int | None, BeforeValidator(_quantity)] = Field(
        None, ge=1, description="read a random sample of so many row groups"
    )
    write_kept: bool = Field(
        False, description="write the ids of the rows that each recipe keeps: npy and parquet"
    )


class ProbeConfig(_OneRecipe):
    """The options of ``laion-probe probe``; every field may also stand in a TOML file.

    Relative paths in a TOML file are relative to that file; on the command line and in Python, to
    the working directory.
    """

    concept: str = Field(description="what to look for: 'doctor', 'a woman in a sari'")
    examples: tuple[str, ...] = Field(
        (), description="image files that show the concept, used instead of prompts"
    )
    images: str | None = Field(None, description="img2dataset output folder: tars and parquet")
    generated: str | None = Field(None, description="folder of generated pictures")
    prompt: str | None = Field(
        None, description="which generated prompt answers the concept (default: those naming it)"
    )
    threshold: float | None = Field(
        None, ge=-1, le=1, description="cosine from which a picture is near (default: by rule)"
    )
    model: str = Field("ViT-B-32", description="open_clip model name, or local-dir:FOLDER")
    pretrained: str | None = Field(None, description="open_clip weights tag, or a checkpoint file")
    embeddings: str | None = Field(
        None, description="folder of image embeddings that an earlier run filled, or to fill"
    )
    attributes: tuple[str, ...] = Field(
        ("gender_presentation", "skin_tone"), description="attributes to read from pictures"
    )
    reference: tuple[str, ...] = Field(
        (), description="further reference lines, ATTRIBUTE:LABEL=SHARE with a share from 0 to 1"
    )
    show: int = Field(24, ge=1, le=200, description="pictures shown a set in the report")
    audit_captions: int = Field(
        1000, ge=0, description="captions on which all language detectors are compared"
    )


C = TypeVar("C", bound=DataConfig)


def load_config(path: Path, overrides: dict[str, Any], kind: type[C]) -> C:
    """Read a config from TOML; ``overrides`` (not None) win over the file.

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
    base = path.parent
    for key in ("shards", "examples"):
        if isinstance(raw.get(key), list):
            raw[key] = [_relative_to(base, str(item)) for item in raw[key]]
    for key in ("images", "generated", "embeddings", "out", "cache"):
        if isinstance(raw.get(key), str):
            raw[key] = _relative_to(base, raw[key])
    if isinstance(raw.get("by"), list):
        raw["by"] = [_group(base, str(item)) for item in raw["by"]]
    for key in ("recipe", "already"):
        if isinstance(raw.get(key), list):
            raw[key] = [_recipe(base, str(item)) for item in raw[key]]
        elif key in raw:
            raw[key] = _recipe(base, str(raw[key]))
    if isinstance(raw.get("model"), str) and raw["model"].startswith("local-dir:"):
        folder = raw["model"].removeprefix("local-dir:")
        raw["model"] = f"local-dir:{_relative_to(base, folder)}"
    raw.update({k: v for k, v in overrides.items() if v is not None})
    return make_config(raw, kind, where=str(path))


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
        raise ConfigError(f"{where}: '{key}' {reason[0].lower()}{reason[1:]}") from None


def _group(base: Path, name: str) -> str:
    kind, _, path = name.partition(":")
    return f"terms:{_relative_to(base, path)}" if kind == "terms" else name


def _recipe(base: Path, name: str) -> str:
    return _relative_to(base, name) if name.endswith(".toml") else name


def _relative_to(base: Path, text: str) -> str:
    if "://" in text or Path(text).is_absolute():
        return text
    return str(base / text)
