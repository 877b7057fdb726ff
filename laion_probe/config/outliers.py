"""The options of ``laion-probe outliers``: what is drawn too often, and why."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from laion_probe.config.base import CHECKPOINT, LOCAL_DIR, PATH, TOML_FILE
from laion_probe.config.pictures import InContext

__all__ = ["OutliersConfig"]


class OutliersConfig(InContext):
    """The options of ``laion-probe outliers``."""

    generated: Annotated[str | None, PATH] = Field(
        None,
        description="generated pictures: a folder, a zip, a Hugging Face ImageFolder or "
        "WebDataset tars",
    )
    data: Annotated[str | None, PATH] = Field(
        None,
        description="the training data: a folder of embeddings as `laion-probe embed` writes it, "
        "img2dataset's output folder, or the folder of an earlier run that read one",
    )
    prompt: str | None = Field(
        None,
        description="look at the outputs of this prompt (default: of the empty prompt where there "
        "are some, else all)",
    )
    recipe: Annotated[tuple[str, ...], TOML_FILE] = Field(
        ("none",), description="recipes that the data may have passed on the way to the model"
    )
    already: Annotated[str | None, TOML_FILE] = Field(
        None,
        description="recipe that the data have already passed: its name or TOML file, or a public "
        "set's name",
    )
    model: Annotated[str, LOCAL_DIR] = Field(
        "ViT-B-32", description="open_clip model name, or local-dir:FOLDER"
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        ("gender_presentation", "skin_tone"), description="attributes to read from pictures"
    )
    clusters: int = Field(
        0, ge=0, le=4096, description="clusters of the data to look at (default, 0: by their size)"
    )
    seeds: int = Field(10, ge=2, le=100, description="clusterings compared for stability")
    describe: int = Field(3, ge=1, le=20, description="clusters of outputs that are explained")
    others: bool = Field(
        False,
        description="describe and explain the largest clusters of outputs too, though they are no "
        "larger than in the data",
    )
    picked: Annotated[str | None, PATH] = Field(
        None,
        description="a text file of outputs that somebody noticed, a file name a line: they are "
        "described and explained first, and not tested for being drawn too often",
    )
    linked: int = Field(10, ge=1, le=1000, description="nearest training rows of each output")
    neighbourhood: int = Field(
        0, ge=0, description="training rows of a neighbourhood (default, 0: by the cluster's size)"
    )
    short_words: int = Field(3, ge=1, description="a caption of so many words or fewer is short")
    near_duplicate: float = Field(
        0.985, gt=0, le=1, description="cosine from which two pictures are near-duplicates"
    )
    tags: Annotated[str | None, PATH] = Field(
        None,
        description="a text file of things to look for in pictures, one a line (default: a list "
        "of everyday things and places)",
    )
    cache: Annotated[str | None, PATH] = Field(
        None, description="where embeddings are kept for reuse"
    )
    max_failed_share: float = Field(
        0.01, ge=0, le=1, description="the run fails when more of its pictures than this failed"
    )
    show: int = Field(12, ge=1, le=100, description="pictures shown a set in the report")
