"""Recipes: ordered lists of steps with a citation, one TOML file each.

A published recipe ships in this folder; a user's own is a path to a ``.toml`` file.
"""

from __future__ import annotations

from laion_probe.recipes.loading import known_recipes, load_recipe
from laion_probe.recipes.model import Confidence, Recipe, Simulated, Step
from laion_probe.recipes.table import recipes_table

__all__ = [
    "Confidence",
    "Recipe",
    "Simulated",
    "Step",
    "known_recipes",
    "load_recipe",
    "recipes_table",
]
