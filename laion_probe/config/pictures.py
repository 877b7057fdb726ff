"""The options of the questions that look at pictures in shards."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from laion_probe.config.base import (
    CHECKPOINT,
    CSV_FILE,
    LOCAL_DIR,
    MAYBE_NAMED,
    NAMED,
    PATH,
    TOML_FILE,
    RunConfig,
)
from laion_probe.config.shards import OneRecipe
from laion_probe.errors import ConfigError
from laion_probe.results import Harm

__all__ = ["HARM_KINDS", "CompareConfig", "InContext", "PicturesConfig", "ProbeConfig"]

#: Katzman et al. 2023, "Taxonomizing and Measuring Representational Harms: A Look at Image Tagging"
HARM_KINDS = (
    "stereotyping",
    "demeaning",
    "erasing",
    "alienating",
    "denying-self-identification",
    "reifying-groups",
)


class InContext(RunConfig):
    """What a person says of the use and of the harms at stake there; it is never inferred."""

    context: str = Field(
        "", description="in which use these shares matter, and to whom; shown in the report"
    )
    harm: tuple[str, ...] = Field(
        (),
        description="a representational harm at stake in that context, KIND=WORDS; kinds: "
        f"{', '.join(HARM_KINDS)} (Katzman et al. 2023)",
    )

    @model_validator(mode="after")
    def _harms_are_of_a_kind(self) -> InContext:
        # A mistake here is said before anything long begins.
        _ = self.harms
        return self

    @property
    def harms(self) -> tuple[Harm, ...]:
        """``harm`` as values; `ConfigError` where an item is not KIND=WORDS."""
        found = []
        for item in self.harm:
            kind, _, words = item.partition("=")
            if kind not in HARM_KINDS or not words.strip():
                raise ConfigError(
                    f"harm '{item}' is not KIND=WORDS with a kind of {', '.join(HARM_KINDS)}"
                )
            found.append(Harm(kind=kind, words=words.strip()))
        return tuple(found)


class PicturesConfig(OneRecipe, InContext):
    """Pictures of rows, the model that reads them, attributes, and labels from elsewhere.

    Relative paths in a TOML file are relative to that file; on the command line and in Python, to
    the working directory.
    """

    images: Annotated[str | None, PATH] = Field(
        None, description="img2dataset output folder: tars and parquet"
    )
    model: Annotated[str, LOCAL_DIR] = Field(
        "ViT-B-32", description="open_clip model name, or local-dir:FOLDER"
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    embeddings: Annotated[str | None, PATH] = Field(
        None, description="folder of image embeddings that an earlier run filled, or to fill"
    )
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        ("gender_presentation", "skin_tone"), description="attributes to read from pictures"
    )
    scores: Annotated[tuple[str, ...], NAMED] = Field(
        (),
        description="labels that another model gave, ATTRIBUTE=FILE: a parquet or CSV of id, level "
        "and probability, read instead of zero-shot labels",
    )
    ratings: Annotated[tuple[str, ...], PATH] = Field(
        (),
        description="human ratings of a random sample of these pictures, as `laion-probe annotate` "
        "exports them, or a spreadsheet: CSV or parquet",
    )
    reference: Annotated[tuple[str, ...], CSV_FILE] = Field(
        (),
        description="further reference lines: ATTRIBUTE:LABEL=SHARE with a share from 0 to 1, or a "
        "CSV with the columns concept, level, share (percent with a %% sign) and reference",
    )


class ProbeConfig(PicturesConfig):
    """The options of ``laion-probe probe``; every field may also stand in a TOML file."""

    concept: str = Field(description="what to look for: 'doctor', 'a woman in a sari'")
    examples: Annotated[tuple[str, ...], PATH] = Field(
        (), description="image files that show the concept, used instead of prompts"
    )
    generated: Annotated[str | None, PATH] = Field(None, description="folder of generated pictures")
    prompt: str | None = Field(
        None, description="which generated prompt answers the concept (default: those naming it)"
    )
    threshold: float | None = Field(
        None, ge=-1, le=1, description="cosine from which a picture is near (default: by rule)"
    )
    show: int = Field(24, ge=1, le=200, description="pictures shown a set in the report")
    audit_captions: int = Field(
        1000, ge=0, description="captions on which all language detectors are compared"
    )
    preregistered: Annotated[str | None, PATH] = Field(
        None,
        description="file that `laion-probe preregister` wrote: the report says so, and how this "
        "run deviates from it",
    )


class CompareConfig(PicturesConfig):
    """The options of ``laion-probe compare``: from counts alone, or from pictures."""

    counts: Annotated[tuple[str, ...], PATH] = Field(
        (),
        description="counts alone: CSV files with the columns concept, source (data, or the name "
        "of a generator), level and n",
    )
    concepts: Annotated[str | None, PATH] = Field(
        None, description="from pictures: a text file with a concept a line (occupations.txt)"
    )
    generated: Annotated[tuple[str, ...], MAYBE_NAMED] = Field(
        (), description="from pictures: folders of generated pictures, FOLDER or NAME=FOLDER"
    )
    reported: str | None = Field(
        None, description="the level whose share is compared (default: the attribute's contrast)"
    )
    parity: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="the share called parity (default: from counts, one over the levels; from "
        "pictures, the attribute's)",
    )
    false_discovery_rate: float = Field(
        0.05, gt=0, lt=1, description="level of the Benjamini-Hochberg control over concepts"
    )
    draws: int = Field(2000, ge=200, le=100_000, description="bootstrap draws for each concept")
