"""The shares of rows that a scan can be asked for, by name, and those that it always reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from laion_probe.counts import ALL, Key
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.groups import load_group
from laion_probe.questions.reading import Share
from laion_probe.recipes import Recipe

__all__ = ["check_levels", "kept_by", "named_share", "needs_all", "removed_by", "survivors"]


#: Levels of a group: there are some 200 languages, and each takes several estimates.
_MOST_LEVELS = 400


def check_levels(group: str, n: int) -> None:
    """Refuse a group of more levels than can be reported."""
    if n > _MOST_LEVELS:
        raise ConfigError(
            f"group {group} has {n} levels, at most {_MOST_LEVELS} are reported: is its column the "
            "right one (--column)?"
        )


def kept_by(recipe: Recipe) -> Callable[[Key], bool]:
    """Whether rows with a key are removed by no step that could be judged."""
    mask = sum(1 << i for i in recipe.deciding)
    return lambda key: not key.hits & mask


def _position(recipe: Recipe, name: str) -> int:
    step = name.partition(":")[2]
    ids = [s.id for i, s in enumerate(recipe.step) if i in recipe.deciding]
    if step not in ids:
        raise UnknownName(f"deciding step of {recipe.name}", step, ids)
    return [s.id for s in recipe.step].index(step)


def named_share(
    name: str, recipe: Recipe, groups: Sequence[str], *, sampling: bool = False
) -> Share:
    """The share of that name: kept, removed:STEP, GROUP=LEVEL or kept:GROUP=LEVEL.

    When ``sampling``, the title says which steps are left out, since they need every row.
    """
    without = [s.id for s in recipe.step if s.role == "set"] if sampling else []
    keeps = (
        f"rows that {recipe.name} keeps" if recipe.step else "rows kept where nothing is removed"
    )
    if without:
        keeps += f" (leaving out its step {' and '.join(without)}, which needs every row)"
    kept = kept_by(recipe)
    if name == "kept":
        return Share(name, keeps, lambda key: key.group == ALL, kept)
    if name.startswith("removed:"):
        removed = removed_by(recipe, _position(recipe, name))
        title = (
            f"rows that the step “{removed.title}” removes, of those that reach it and that it can "
            "judge"
        )
        return Share(name, title, removed.base, removed.among)
    of_kept = name.startswith("kept:")
    group, equals, level = name.removeprefix("kept:").rpartition("=")
    if not equals or not level:
        raise ConfigError(
            f"share '{name}' is not kept, removed:STEP, GROUP=LEVEL or kept:GROUP=LEVEL, such as "
            "kept:nsfw=UNLIKELY"
        )
    if group not in groups:
        raise ConfigError(f"share '{name}' needs its group to be counted: give --by {group}")
    where = f"the {keeps}" if of_kept else "all rows"
    return Share(
        name,
        f"{load_group(group).title}: {level}, among {where}",
        lambda key: key.group == group and (kept(key) or not of_kept),
        lambda key: key.level == level,
    )


def needs_all(name: str, recipe: Recipe) -> bool:
    """Whether the share of that name is of a step that must see every row."""
    if not name.startswith("removed:"):
        return False
    return recipe.step[_position(recipe, name)].role == "set"


def removed_by(recipe: Recipe, step: int) -> Share:
    """Of the rows that reach a step and can be judged by it, those that it removes."""
    before = sum(1 << i for i in recipe.deciding if i < step)
    bit = 1 << step
    return Share(
        recipe.step[step].id,
        recipe.step[step].title,
        lambda key: key.group == ALL and not key.hits & before and not key.blind & bit,
        lambda key: bool(key.hits & bit),
    )


def survivors(recipe: Recipe, step: int) -> Share:
    """Of all rows, those that are left after a step."""
    mask = sum(1 << i for i in recipe.deciding if i <= step)
    return Share("", "", lambda key: key.group == ALL, lambda key: not key.hits & mask)
