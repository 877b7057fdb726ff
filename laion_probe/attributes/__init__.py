"""Attributes: what is read from a picture, one TOML file each, and the zero-shot reader.

An attribute has levels with prompts, two levels that make its headline contrast, and a level
*unknown* with prompts of its own ("no person"): a picture whose best level is unknown, or whose
best probability is too low, is counted as unknown, never dropped.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from laion_probe.embed import Embedder
from laion_probe.errors import ConfigError, UnknownName

__all__ = ["UNKNOWN", "Attribute", "known_attributes", "load_attribute", "zero_shot"]

#: The name of the level that every attribute has.
UNKNOWN = "unknown"

#: What zero-shot labels are, in the words that stand beside every share made from them.
ZERO_SHOT_LABELS = "uncorrected classifier labels"


class Level(BaseModel):
    """One level and the prompts whose mean vector stands for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w -]+$")
    prompts: tuple[str, ...] = Field(min_length=1)


class Unknown(BaseModel):
    """Prompts of pictures that show nothing to read the attribute from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: tuple[str, ...] = ()


class Attribute(BaseModel):
    """The definition of an attribute, as its TOML file gives it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    about: str
    contrast: str
    against: str
    parity: float = Field(0.5, gt=0, lt=1)
    min_probability: float = Field(0.5, ge=0, lt=1)
    level: tuple[Level, ...] = Field(min_length=2)
    unknown: Unknown = Unknown()

    @model_validator(mode="after")
    def _names_agree(self) -> Attribute:
        names = [level.name for level in self.level]
        if UNKNOWN in names:
            raise ValueError(f"'{UNKNOWN}' is a level of every attribute; do not list it")
        if len(set(names)) != len(names):
            raise ValueError("two levels have the same name")
        for name in (self.contrast, self.against):
            if name not in names:
                raise ValueError(f"'{name}' is not among the levels {', '.join(names)}")
        return self

    @property
    def levels(self) -> tuple[str, ...]:
        """All levels, *unknown* last."""
        return (*(level.name for level in self.level), UNKNOWN)


def known_attributes() -> tuple[str, ...]:
    """Names of the attributes that ship with the package."""
    files = resources.files("laion_probe.attributes").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load_attribute(name: str) -> Attribute:
    """A shipped attribute by name, or a user's own by the path of a ``.toml`` file."""
    if name.endswith(".toml"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"attribute {name}: {error.strerror}; give a TOML file") from None
    elif name in known_attributes():
        folder = resources.files("laion_probe.attributes")
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise UnknownName("attribute", name, known_attributes())
    try:
        return Attribute.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"attribute {name}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(Attribute.model_fields)
        raise ConfigError(f"attribute {name}: {key} {first['msg']}; known keys: {known}") from None


def zero_shot(
    vectors: NDArray[np.float32], attribute: Attribute, embedder: Embedder
) -> NDArray[np.int64]:
    """The level of each picture, as an index into ``attribute.levels``.

    ``vectors`` is (n, d) of unit length; a zero vector (unreadable picture) is *unknown*. Each
    prompt competes at the model's own temperature and a level's probability is the sum over its
    prompts' share (Radford et al. 2021, section 3.1.4, ensembles in embedding space per level).
    """
    groups: list[Sequence[str]] = [level.prompts for level in attribute.level]
    unknown_at = len(groups)
    classes = [_mean_vector(embedder.texts(prompts)) for prompts in groups]
    # Reasons to be unknown differ (no person; a drawing without a skin tone), so each stands alone.
    classes += list(embedder.texts(attribute.unknown.prompts) if attribute.unknown.prompts else [])
    logits = embedder.logit_scale * (vectors @ np.stack(classes).T)
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    known = p[:, :unknown_at]
    best = known.argmax(axis=1)
    best_known = known.max(axis=1)
    unknown = p[:, unknown_at:].sum(axis=1)
    abstain = (unknown > best_known) | (best_known < attribute.min_probability * (1 - unknown))
    abstain |= ~vectors.any(axis=1)
    return np.where(abstain, unknown_at, best).astype(np.int64)


def _mean_vector(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = vectors.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)
