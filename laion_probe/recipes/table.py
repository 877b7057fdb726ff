"""The table of recipes for the documentation, from the recipes themselves."""

from __future__ import annotations

import re

from laion_probe.recipes.loading import known_recipes, load_recipe

__all__ = ["recipes_table"]


def recipes_table() -> str:
    """A Markdown table of the shipped recipes: a recipe's own steps in order, and their sources.

    Of each step: what it does, how well that is known, and whether it is replayed.
    """
    lines = [
        "| recipe | after | step | what it does | read | replayed | source |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in known_recipes():
        recipe = load_recipe(name)
        head = [f"`{name}`", f"`{recipe.after}`" if recipe.after else ""]
        own = [s for s in recipe.step if not s.of]
        if not own:
            lines.append(_row([*head, "", recipe.title, "", "", recipe.source]))
        for step in own:
            read = step.confidence or recipe.confidence
            source = step.source or recipe.source
            cells = [*head, f"`{step.id}`", step.title, read, step.simulated, source]
            lines.append(_row(cells))
            head = ["", ""]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(re.sub(r"([|<])", r"\\\1", c) for c in cells) + " |"
