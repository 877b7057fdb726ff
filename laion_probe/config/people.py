"""The options of the questions that start from labelled pictures, and of the rater page."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from laion_probe.config.base import (
    CHECKPOINT,
    CSV_FILE,
    LOCAL_DIR,
    NAMED,
    PATH,
    TOML_FILE,
    RunConfig,
)
from laion_probe.config.pictures import InContext

__all__ = ["AnnotateConfig", "ComposeConfig", "DriftConfig"]


class ComposeConfig(InContext):
    """The options of ``laion-probe compose``: shares from a table of labelled pictures."""

    ratings: Annotated[tuple[str, ...], PATH] = Field(
        (), description="human labels: CSV or parquet, a row a picture or a row a rating"
    )
    scores: Annotated[tuple[str, ...], NAMED] = Field(
        (),
        description="a classifier's labels of all pictures, ATTRIBUTE=FILE: parquet or CSV of id, "
        "level and probability",
    )
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        ("gender_presentation", "skin_tone"), description="attributes to estimate"
    )
    source: Literal["data", "generated"] | None = Field(
        None, description="which ratings: of data or of generated pictures, if both are there"
    )
    units: str | None = Field(
        None, description="column that names what was drawn together (a seed batch, a prompt)"
    )
    population: int | None = Field(
        None, ge=1, description="pictures in the set that these were drawn from (default: no end)"
    )
    estimator: str = Field(
        "default", description="the estimator, as `laion-probe estimators` lists them"
    )
    reference: Annotated[tuple[str, ...], CSV_FILE] = Field(
        (), description="further reference lines, ATTRIBUTE:LABEL=SHARE with a share from 0 to 1"
    )


class DriftConfig(RunConfig):
    """The options of ``laion-probe drift``: pictures before and after an edit."""

    pairs: Annotated[str, PATH] = Field(
        description="CSV with the columns before and after: picture files (relative to it); or "
        "levels that are known already: ATTRIBUTE_before and ATTRIBUTE_after"
    )
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        ("gender_presentation", "skin_tone"),
        description="attributes to read before and after; without a model, only skin_tone_colour "
        "is read from pictures",
    )
    model: Annotated[str, LOCAL_DIR] = Field(
        "ViT-B-32", description="open_clip model name, or local-dir:FOLDER"
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    show: int = Field(12, ge=0, le=200, description="pairs shown in the report")


class AnnotateConfig(RunConfig):
    """The options of ``laion-probe annotate``: the rater page of a run."""

    folder: Annotated[str, PATH] = Field(
        description="the folder of a probe run, or of a neighbours run made with --sample"
    )
    concept: str | None = Field(
        None, description="of a neighbours run: the concept whose sample is rated"
    )
    images: Annotated[str | None, PATH] = Field(
        None, description="of a neighbours run: the pictures that `laion-probe fetch RUN` fetched"
    )
    n: int = Field(200, ge=1, description="pictures to draw from the data, and from generated ones")
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        (), description="attributes to rate (default: those of the run)"
    )
    port: int = Field(0, ge=0, le=65535, description="port on this machine (default: a free one)")
    export: Annotated[str | None, PATH] = Field(
        None, description="write ratings.csv, ratings.parquet and agreement here, and serve nothing"
    )
    import_ratings: Annotated[str | None, PATH] = Field(
        None, description="take in ratings of these pictures made elsewhere: CSV or parquet"
    )
    guidance: Annotated[str | None, PATH] = Field(
        None, description="text file that raters are shown (default: what is shipped)"
    )
