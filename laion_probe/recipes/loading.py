"""Recipes from TOML: shipped ones by name, a user's own by path, with what is wrong by line."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from laion_probe.errors import ConfigError, LaionProbeError, UnknownName
from laion_probe.language import DETECTORS
from laion_probe.lexicons.banlists import ban_list_names
from laion_probe.recipes.lines import line_of
from laion_probe.recipes.model import MAX_STEPS, Recipe, Step
from laion_probe.steps import STEPS

__all__ = ["CHECKS", "known_recipes", "load_recipe"]

#: What else a step must pass, by modules that recipes know nothing of: each raises a
#: `LaionProbeError`, to which `load_recipe` adds the file and the line.
CHECKS: list[Callable[[Step], None]] = []

# Fields that a recipe fills in.
_FILLED = ("of", "detection")


def known_recipes() -> tuple[str, ...]:
    """Names of the recipes that ship with the package."""
    files = resources.files("laion_probe.recipes").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or a user's own by the path of a ``.toml`` file.

    A recipe ``after`` another begins with the steps of that one; where ids clash, the earlier one's
    get its name in front ("laion5b-en:url"). The lines of ``files`` in a step's parameters, which
    lie beside the TOML, are added to its ``words``, and their base names alone are kept.

    Raises `UnknownName`, or `ConfigError` naming the file, the line and the known keys.
    """
    return _source(name, ()).recipe()


def _source(name: str, chain: tuple[str, ...]) -> _Source:
    if name.endswith(".toml"):
        path = Path(name)
        try:
            text = _read(path)
        except ConfigError as error:
            raise ConfigError(f"recipe {error}; known: {', '.join(known_recipes())}") from None
        return _Source(name, text, path.parent, (*chain, str(path.resolve())))
    if name not in known_recipes():
        raise UnknownName("recipe", name, known_recipes())
    file = resources.files("laion_probe.recipes") / f"{name}.toml"
    return _Source(name, file.read_text(encoding="utf-8"), Path(), (*chain, name))


def _read(path: Path) -> str:
    """The text of a file, without the byte order mark that some editors begin it with."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except ValueError:
        raise ConfigError(f"{path}: no name of a file") from None  # a null character


class _Source:
    """The text of one recipe; ``chain`` names the recipes being loaded, this one last."""

    def __init__(self, name: str, text: str, folder: Path, chain: tuple[str, ...]) -> None:
        self.name = name
        self.text = text
        self.folder = folder
        self.chain = chain

    def recipe(self) -> Recipe:
        try:
            values = tomllib.loads(self.text)
        except ValueError as error:  # which says the line, but for a number of too many digits
            raise ConfigError(f"recipe {self.name}: not valid TOML: {error}") from None
        except RecursionError:
            raise ConfigError(f"recipe {self.name}: not valid TOML: nested too deep") from None
        try:
            recipe = Recipe.model_validate(values)
        except ValidationError as error:
            raise self._invalid(error) from None
        seen: dict[str, int] = {}
        for i, step in enumerate(recipe.step):
            for key in _FILLED:
                if key in values["step"][i]:
                    raise self._error(f"unknown key '{key}'; {_known(Step)}", key, i)
            if step.id in seen:
                first = line_of(self.text, "id", seen[step.id])
                raise self._error(
                    f"the id is taken by the step on line {first}; rename one", "id", i
                )
            seen[step.id] = i
        own = tuple(self._checked(step, i) for i, step in enumerate(recipe.step))
        return self._chained(recipe.model_copy(update={"step": own}))

    def _error(self, what: str, key: str = "", i: int | None = None) -> ConfigError:
        line = line_of(self.text, key, i)
        step = ""
        if i is not None:
            values = tomllib.loads(self.text)["step"][i]
            id = values.get("id") if isinstance(values, dict) else None
            step = f", step '{id}'" if isinstance(id, str) else ""
        message = f"recipe {self.name}, line {line}{step}: {what}"
        # keys and names may hold line breaks
        return ConfigError("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))

    def _invalid(self, error: ValidationError) -> ConfigError:
        """What pydantic says first, of the recipe or of a step in it."""
        first = error.errors()[0]
        place = first["loc"]
        if len(place) > 1 and place[0] == "step" and isinstance(place[1], int):
            names = [str(p) for p in place[2:]]
            return self._error(_said(first, names, Step), names[0] if names else "", place[1])
        names = [str(p) for p in place]
        return self._error(_said(first, names, Recipe), names[0] if names else "")

    def _checked(self, step: Step, i: int) -> Step:
        """The step with sound parameters and the words of its files."""
        if step.kind not in STEPS:
            raise self._error(str(UnknownName("step kind", step.kind, STEPS)), "kind", i)
        try:
            params: Any = step.parsed()
        except ValidationError as error:
            first = error.errors()[0]
            names = [str(p) for p in first["loc"]]
            what = _said(first, names, step.implementation.Params)
            raise self._error(what, names[0] if names else "params", i) from None
        self._check_numbers(step, params, i)
        if step.kind == "detect-language" and params.detector not in DETECTORS:
            unknown = UnknownName(DETECTORS.kind, params.detector, DETECTORS)
            raise self._error(str(unknown), "detector", i)
        for name in params.lists if step.kind == "ban-list" else ():
            if name not in ban_list_names():
                unknown = UnknownName("ban list", name, ban_list_names())
                raise self._error(str(unknown), "lists", i)
        for check in CHECKS:
            try:
                check(step)
            except LaionProbeError as error:
                raise self._error(str(error), "params", i) from None
        return self._with_words(step, i, getattr(params, "files", ()))

    def _check_numbers(self, step: Step, params: Any, i: int) -> None:
        """Refuses true and false for a number, and numbers that are none or too large."""
        for key, given in step.params.items():
            if isinstance(given, bool) and not isinstance(getattr(params, key), bool):
                raise self._error(f"'{key}': give a number, not {str(given).lower()}", key, i)
            for value in _numbers(getattr(params, key)):
                if isinstance(value, float) and not math.isfinite(value):
                    raise self._error(f"'{key}': give a finite number, not {value}", key, i)
                if abs(value) >= 2**63:
                    raise self._error(f"'{key}': give a number of at most 63 bits", key, i)

    def _with_words(self, step: Step, i: int, files: tuple[str, ...]) -> Step:
        if not files:
            return step
        words = list(step.params.get("words", ()))
        for name in files:
            try:
                lines = _read(self.folder / name).splitlines()
            except ConfigError as error:
                what = f"{error}; files lie beside the recipe"
                raise self._error(what, "files", i) from None
            found = [w for line in lines if (w := line.strip()) and not w.startswith("#")]
            if not found:
                what = f"{self.folder / name}: holds no words; write one a line"
                raise self._error(what, "files", i)
            words += found
        # Content goes into fingerprints, places do not.
        names = [Path(name).name for name in files]
        return step.model_copy(update={"params": {**step.params, "words": words, "files": names}})

    def _chained(self, recipe: Recipe) -> Recipe:
        if not recipe.after:
            return recipe
        name = recipe.after
        if name.endswith(".toml"):
            name = str(self.folder / name)
        try:
            source = _source(name, self.chain)
        except (UnknownName, ConfigError) as error:
            raise self._error(str(error), "after") from None
        if source.chain[-1] in self.chain:
            raise self._error(f"'{recipe.after}' comes after this recipe itself", "after")
        earlier = source.recipe()
        own = {s.id for s in recipe.step}
        steps = []
        for step in earlier.step:
            of = step.of or earlier.name
            new_id = f"{of}:{step.id}" if step.id in own else step.id
            steps.append(step.model_copy(update={"id": new_id, "of": of}))
        steps += recipe.step
        if len(steps) > MAX_STEPS:
            what = f"{len(steps)} steps with those of '{earlier.name}'; at most {MAX_STEPS}"
            raise self._error(f"{what}: leave some out", "after")
        return Recipe.model_validate({**dict(recipe), "step": steps})


def _numbers(value: Any) -> Iterator[int | float]:
    """Numbers in a parameter, however deep."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)


def _known(model: type[Any]) -> str:
    keys = [k for k in model.model_fields if k not in _FILLED]
    return f"known keys: {', '.join(keys) or 'none'}"


def _said(error: Any, names: list[str], model: type[Any]) -> str:
    """One line of what pydantic found wrong with a key."""
    key = ".".join(names)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {_known(model)}"
    if error["type"] == "missing":
        return f"'{key}' is missing; {_known(model)}"
    if not key:
        return f"{message}; {_known(model)}"
    try:
        got = repr(error["input"])
    except (RecursionError, ValueError):  # tables too deep, hexadecimal numbers too long
        got = "this"
    return f"'{key}': {message}, not {got if len(got) <= 60 else got[:59] + '…'}"
