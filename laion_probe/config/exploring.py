"""The options of ``laion-probe explore``: sets of pictures side by side, without any label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from laion_probe.config.base import CHECKPOINT, LOCAL_DIR, MAYBE_NAMED, PATH
from laion_probe.config.pictures import InContext

__all__ = ["ExploreConfig"]


class ExploreConfig(InContext):
    """The options of ``laion-probe explore``."""

    sets: Annotated[tuple[str, ...], MAYBE_NAMED] = Field(
        (),
        description="sets of pictures, FOLDER or NAME=FOLDER: img2dataset's output, or generated "
        "pictures as `laion-probe generate` or others write them, zips too (default: the embedded "
        "demo data)",
    )
    concepts: Annotated[str | None, PATH] = Field(
        None,
        description="a text file with a concept a line (default: what the generated pictures' "
        "prompts name)",
    )
    by: Literal["caption", "near"] = Field(
        "caption",
        description="which pictures of a data set show a concept: those whose caption names it, or "
        "those near its prompts",
    )
    model: Annotated[str, LOCAL_DIR] = Field(
        "ViT-B-32", description="open_clip model name, or local-dir:FOLDER"
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    clusters: tuple[Annotated[int, Field(ge=2, le=512)], ...] = Field(
        (12, 24, 48),
        min_length=1,
        description="numbers of clusters; the middle one is shown picture by picture",
    )
    seeds: int = Field(5, ge=2, le=100, description="clusterings compared for stability")
    most: int = Field(
        2000, ge=20, description="pictures of a concept that are read a set (a sample above that)"
    )
    show: int = Field(
        240, ge=8, le=2000, description="pictures shown a set in the explorer (a seeded sample)"
    )
    nearest: int = Field(6, ge=1, le=24, description="nearest pictures shown from each set")
    cache: Annotated[str | None, PATH] = Field(
        None, description="where embeddings are kept for reuse"
    )
    max_failed_share: float = Field(
        0.01, ge=0, le=1, description="the run fails when more of a set's pictures than this failed"
    )
