"""Recipes: ordered lists of steps with a citation, one TOML file each.

A published recipe ships in this folder; a user's own is a path to a ``.toml`` file.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from laion_probe.errors import ConfigError, UnknownName
from laion_probe.steps import STEPS, Role, StepKind, StepParams

__all__ = ["Recipe", "Step", "known_recipes", "load_recipe"]

Confidence = Literal["verified", "secondary", "from memory", "user"]


class Step(BaseModel):
    """One step: a kind with parameters, and where it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    kind: str
    title: str
    source: str = ""
    confidence: Confidence | None = None
    simulated: Literal["yes", "partly", "no"] = "yes"
    note: str = ""
    params: dict[str, Any] = {}

    @property
    def implementation(self) -> StepKind:
        """The registered kind."""
        return STEPS[self.kind]

    @property
    def role(self) -> Role:
        """What the step may do with a row."""
        return self.implementation.role

    def parsed(self) -> StepParams:
        """The parameters, validated by the kind."""
        return self.implementation.Params.model_validate(self.params)


class Recipe(BaseModel):
    """An ordered list of steps with a citation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    source: str
    confidence: Confidence = "user"
    step: tuple[Step, ...] = Field((), max_length=21)  # a row's outcomes fit in 64 bits

    @property
    def deciding(self) -> tuple[int, ...]:
        """Positions of the steps that can remove a row."""
        return tuple(i for i, s in enumerate(self.step) if s.role in ("drop", "set"))

    def same_as(self, step: Step) -> bool:
        """Whether this recipe has a step of the same kind and parameters."""
        return any(s.kind == step.kind and s.params == step.params for s in self.step)


def known_recipes() -> tuple[str, ...]:
    """Names of the recipes that ship with the package."""
    files = resources.files("laion_probe.recipes").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or a user's own by the path of a ``.toml`` file.

    Raises `UnknownName`, or `ConfigError` naming the file, the step and the known keys.
    """
    if name.endswith(".toml"):
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"recipe {name}: {error.strerror}; known: {_known()}") from None
        return _parse(text, name)
    if name not in known_recipes():
        raise UnknownName("recipe", name, known_recipes())
    text = (resources.files("laion_probe.recipes") / f"{name}.toml").read_text(encoding="utf-8")
    return _parse(text, name)


def _known() -> str:
    return ", ".join(known_recipes())


def _parse(text: str, where: str) -> Recipe:
    try:
        recipe = Recipe.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"recipe {where}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"recipe {where}: {_first(error, tuple(Step.model_fields))}") from None
    seen: set[str] = set()
    for step in recipe.step:
        if step.id in seen:
            raise ConfigError(f"recipe {where}: two steps have the id '{step.id}'; rename one")
        seen.add(step.id)
        try:
            step.parsed()
        except ValidationError as error:
            keys = tuple(step.implementation.Params.model_fields)
            raise ConfigError(f"recipe {where}, step '{step.id}': {_first(error, keys)}") from None
    return recipe


def _first(error: ValidationError, keys: tuple[str, ...]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; known keys: {', '.join(keys) or 'none'}"
    return f"'{key}': {first['msg']}"
