"""The options of the questions that read captions and metadata alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from laion_probe.config.base import (
    SHARE_OF_TERMS,
    TERMS,
    TOML_FILE,
    DataConfig,
    quantity,
    seconds,
    share_or_percent,
)

__all__ = ["FiltersConfig", "OneRecipe", "PlanConfig", "ScanConfig"]


class OneRecipe(DataConfig):
    """A run that replays one recipe."""

    recipe: Annotated[str, TOML_FILE] = Field("none", description="pre-processing recipe to replay")


class ScanConfig(OneRecipe):
    """The options of ``laion-probe scan``; every field may also stand in a TOML file."""

    by: Annotated[tuple[str, ...], TERMS] = Field(
        (), description="groups to count by, as `laion-probe groups` lists them"
    )
    share: Annotated[str, SHARE_OF_TERMS] = Field(
        "kept",
        description="the share to follow: kept, removed:STEP, GROUP=LEVEL or kept:GROUP=LEVEL",
    )
    until: Annotated[float | None, BeforeValidator(share_or_percent)] = Field(
        None, gt=0, lt=0.5, description="stop when the share is known to plus or minus this: 0.5%%"
    )
    max_rows: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None, ge=1, description="stop after so many rows: 2000000, 2M"
    )
    max_bytes: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None, ge=1, description="stop after so many bytes of the needed columns: 500M, 20G"
    )
    max_units: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None, ge=1, description="stop after so many row groups"
    )
    max_time: Annotated[float | None, BeforeValidator(seconds)] = Field(
        None, gt=0, description="stop after so much time: 90, 10m, 2h"
    )
    sequence: str = Field(
        "asymptotic", description="interval that holds while one looks: asymptotic or betting"
    )


class PlanConfig(OneRecipe):
    """The options of ``laion-probe plan``."""

    by: Annotated[tuple[str, ...], TERMS] = Field((), description="groups to count by, as for scan")
    cores: tuple[int, ...] = Field((1, 16, 64), description="numbers of cores to plan for")


class FiltersConfig(DataConfig):
    """The options of ``laion-probe filters``; every field may also stand in a TOML file."""

    recipe: Annotated[tuple[str, ...], TOML_FILE] = Field(
        (), description="recipes to replay side by side, one at least: names, or TOML files"
    )
    by: Annotated[tuple[str, ...], TERMS] = Field(
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
    audit_captions: Annotated[int, BeforeValidator(quantity)] = Field(
        1000, ge=0, description="captions on which detectors are compared (0: none)"
    )
    examples: int = Field(5, ge=0, le=100, description="captions shown of each kind")
    min_count: int = Field(
        50, ge=1, description="levels with fewer rows than this are called too small"
    )
    flag: Annotated[float, BeforeValidator(share_or_percent)] = Field(
        0.05, ge=0, le=1, description="difference in removal from which a level is flagged: 5%%"
    )
    max_rows: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None, ge=1, description="read a random sample of row groups of about so many rows: 2M"
    )
    max_units: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None, ge=1, description="read a random sample of so many row groups"
    )
    write_kept: bool = Field(
        False, description="write the ids of the rows that each recipe keeps: npy and parquet"
    )
    write_rows: bool = Field(
        False,
        description="write the rows that each recipe keeps as shards, rows-RECIPE, with all their "
        "columns as they stand: what a recipe rewrites is not rewritten there",
    )
