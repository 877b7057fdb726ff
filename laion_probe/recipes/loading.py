"""Recipes from TOML: shipped ones by name, a user's own by path, with what is wrong by line."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from laion_probe.errors import ConfigError, UnknownName
from laion_probe.language import DETECTORS
from laion_probe.lexicons.banlists import ban_list_names
from laion_probe.recipes.lines import line_of
from laion_probe.recipes.model import MAX_STEPS, Recipe, Step
from laion_probe.steps import STEPS

__all__ = ["known_recipes", "load_recipe"]

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
    return _load(name, ())


def _load(name: str, chain: tuple[str, ...]) -> Recipe:
    if name.endswith(".toml"):
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            known = ", ".join(known_recipes())
            raise ConfigError(f"recipe {name}: {error.strerror}; known: {known}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"recipe {name}: not UTF-8 text; save it as UTF-8") from None
        return _Source(name, text, path.parent, (*chain, str(path.resolve()))).recipe()
    if name not in known_recipes():
        raise UnknownName("recipe", name, known_recipes())
    file = resources.files("laion_probe.recipes") / f"{name}.toml"
    return _Source(name, file.read_text(encoding="utf-8"), Path(), (*chain, name)).recipe()


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
        except tomllib.TOMLDecodeError as error:  # which says the line
            raise ConfigError(f"recipe {self.name}: not valid TOML: {error}") from None
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
            step = f", step '{values['id']}'" if isinstance(values.get("id"), str) else ""
        return ConfigError(f"recipe {self.name}, line {line}{step}: {what}")

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
        if step.kind == "detect-language" and params.detector not in DETECTORS:
            unknown = UnknownName(DETECTORS.kind, params.detector, DETECTORS)
            raise self._error(str(unknown), "detector", i)
        for name in params.lists if step.kind == "ban-list" else ():
            if name not in ban_list_names():
                unknown = UnknownName("ban list", name, ban_list_names())
                raise self._error(str(unknown), "lists", i)
        return self._with_words(step, i, getattr(params, "files", ()))

    def _with_words(self, step: Step, i: int, files: tuple[str, ...]) -> Step:
        if not files:
            return step
        words = list(step.params.get("words", ()))
        for name in files:
            try:
                lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
            except OSError as error:
                what = f"{self.folder / name}: {error.strerror}; files lie beside the recipe"
                raise self._error(what, "files", i) from None
            except UnicodeDecodeError:
                what = f"{self.folder / name}: not UTF-8 text; save it as UTF-8"
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
        if (str(Path(name).resolve()) if name.endswith(".toml") else name) in self.chain:
            raise self._error(f"'{recipe.after}' comes after this recipe itself", "after")
        try:
            earlier = _load(name, self.chain)
        except UnknownName as unknown:
            raise self._error(str(unknown), "after") from None
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
    got = repr(error["input"])
    return f"'{key}': {message}, not {got if len(got) <= 60 else got[:59] + '…'}"
