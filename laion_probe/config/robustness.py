"""The options of ``laion-probe robustness``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from laion_probe.config.base import PATH, RunConfig

__all__ = ["RobustnessConfig"]


class RobustnessConfig(RunConfig):
    """The options of ``laion-probe robustness``; "run" is everywhere what the run itself chose."""

    folder: Annotated[str, PATH] = Field(description="folder of a finished probe run")
    detectors: tuple[str, ...] = Field(
        ("run", "cld2", "cld3-0-1000", "fasttext"),
        description="language detectors in place of the recipe's; with :reliable, unsure guesses "
        "are no language",
    )
    thresholds: tuple[str, ...] = Field(
        ("run", "half", "double"),
        description="where near ends: run, half or double as many pictures, top:N, or a cosine",
    )
    prompts: tuple[str, ...] = Field(
        ("run", "bare", "photo"),
        description="how the concept is asked for: run, bare, photo, picture, portrait, "
        "illustration, or prompts of your own (several of one ensemble with | between)",
    )
    raters: tuple[str, ...] = Field(
        ("run", "unanimous", "each", "none"),
        description="whose labels count, of a rated run: run (most raters), unanimous, each rater "
        "alone, rater:NAME, or none (the classifier alone)",
    )
    most: int = Field(
        200,
        ge=2,
        le=20_000,
        description="run all specifications up to this number, else a random sample of so many",
    )
