"""What a run is asked to do: frozen shapes only. Names are resolved by the question."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from laion_probe.errors import ConfigError

__all__ = ["ProbeConfig", "load_config", "make_config"]


class ProbeConfig(BaseModel):
    """The options of ``laion-probe probe``; every field may also stand in a TOML file.

    Relative paths in a TOML file are relative to that file; on the command line and in Python, to
    the working directory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    concept: str = Field(description="what to look for: 'doctor', 'a woman in a sari'")
    examples: tuple[str, ...] = Field(
        (), description="image files that show the concept, used instead of prompts"
    )
    shards: tuple[str, ...] = Field((), description="parquet files, folders or globs")
    images: str | None = Field(None, description="img2dataset output folder: tars and parquet")
    generated: str | None = Field(None, description="folder of generated pictures")
    prompt: str | None = Field(
        None, description="which generated prompt answers the concept (default: those naming it)"
    )
    threshold: float | None = Field(
        None, ge=-1, le=1, description="cosine from which a picture is near (default: by rule)"
    )
    recipe: str = Field("none", description="pre-processing recipe to replay")
    already: str | None = Field(
        None, description="recipe that the shards have already passed; default: guessed, and said"
    )
    data_note: str = Field(
        "", description="what readers must know of the data, shown at the top (say: simulated)"
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
    out: str | None = Field(None, description="folder of this run; it must not exist yet")
    cache: str | None = Field(None, description="where embeddings and scans are kept for reuse")
    seed: int = Field(0, ge=0, description="seed of every random choice")
    level: float = Field(0.95, gt=0.5, lt=1, description="level of the intervals")
    show: int = Field(24, ge=1, le=200, description="pictures shown a set in the report")
    audit_captions: int = Field(
        1000, ge=0, description="captions on which all language detectors are compared"
    )
    max_failed_share: float = Field(
        0.01, ge=0, le=1, description="the run fails when more of its units than this failed"
    )


def load_config(path: Path, overrides: dict[str, Any]) -> ProbeConfig:
    """Read a `ProbeConfig` from TOML; ``overrides`` (not None) win over the file.

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
    if isinstance(raw.get("model"), str) and raw["model"].startswith("local-dir:"):
        folder = raw["model"].removeprefix("local-dir:")
        raw["model"] = f"local-dir:{_relative_to(base, folder)}"
    raw.update({k: v for k, v in overrides.items() if v is not None})
    return make_config(raw, where=str(path))


def make_config(values: dict[str, Any], where: str = "options") -> ProbeConfig:
    """Validate ``values``; a wrong one is a one-line `ConfigError`."""
    try:
        return ProbeConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(ProbeConfig.model_fields)
            raise ConfigError(f"{where}: unknown key '{key}'; known keys: {known}") from None
        if first["type"] == "missing":
            raise ConfigError(f"{where}: '{key}' is missing; give it") from None
        raise ConfigError(f"{where}: '{key}' {first['msg'].lower()}") from None


def _relative_to(base: Path, text: str) -> str:
    if "://" in text or Path(text).is_absolute():
        return text
    return str(base / text)
