"""The options of ``laion-probe datasheet``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from laion_probe.config.base import PATH, TERMS, TOML_FILE, DataConfig, quantity

__all__ = ["DatasheetConfig"]


class DatasheetConfig(DataConfig):
    """The options of ``laion-probe datasheet``; every field may also stand in a TOML file.

    ``shards`` may also name finished runs and earlier datasheets; ``diff A B`` compares two.
    """

    shards: Annotated[tuple[str, ...], PATH] = Field(
        (),
        description="finished runs, earlier datasheets and shards to be counted; or: diff A B, two "
        "datasheets to be compared",
    )
    out: Annotated[str | None, PATH] = Field(
        None,
        description="folder of the datasheet; one that is there is made anew, a person's answers "
        "stay (default: that of a datasheet that is named, else datasheet)",
    )
    answers: Annotated[str | None, PATH] = Field(
        None, description="TOML file of a person's answers, as an earlier datasheet's answers.toml"
    )
    recipe: Annotated[tuple[str, ...], TOML_FILE] = Field(
        (), description="recipes to replay on the shards, to say whom they would remove"
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
            "nsfw",
        ),
        description="groups of rows to count, as `laion-probe groups` lists them",
    )
    detector: str = Field("cld2", description="language detector; none: languages are not counted")
    max_rows: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None, ge=1, description="read a random sample of row groups of about so many rows: 2M"
    )
    max_units: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None, ge=1, description="read a random sample of so many row groups"
    )
