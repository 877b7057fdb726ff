"""The options of ``laion-probe neighbours``: concepts in a folder of embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from laion_probe.config.base import CHECKPOINT, LOCAL_DIR, MAYBE_NAMED, PATH, TOML_FILE
from laion_probe.config.pictures import InContext

__all__ = ["NeighboursConfig"]


class NeighboursConfig(InContext):
    """The options of ``laion-probe neighbours``."""

    embeddings: Annotated[str, PATH] = Field(
        description="folder of embeddings: as `laion-probe embed` or clip-retrieval writes it, "
        "LAION's published ones, or DataComp's npz"
    )
    concept: tuple[str, ...] = Field(
        (), description="what to look for: doctor, 'a woman in a sari'"
    )
    concepts: Annotated[str | None, PATH] = Field(
        None, description="a text file with a concept a line"
    )
    model: Annotated[str, LOCAL_DIR] = Field(
        "ViT-B-32", description="open_clip model that made the embeddings, or local-dir:FOLDER"
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    npz: str | None = Field(None, description="array in DataComp's .npz, such as b32_img")
    k: int = Field(1000, ge=1, description="neighbours to keep of each concept")
    search: Literal["auto", "exact", "index"] = Field(
        "auto", description="how to search: every row, or an index; auto: by size"
    )
    index: Annotated[str | None, PATH] = Field(
        None, description="folder of the index (default: index/ in the folder of embeddings)"
    )
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        ("gender_presentation", "skin_tone"), description="attributes to read from the embeddings"
    )
    threshold: float | None = Field(
        None, ge=-1, le=1, description="cosine from which a row is near (default: by rule)"
    )
    sample: int = Field(
        0, ge=0, description="rows to draw for raters, by strata of similarity, of each concept"
    )
    ratings: Annotated[tuple[str, ...], MAYBE_NAMED] = Field(
        (),
        description="ratings of such a sample, as `laion-probe annotate` exports them: FILE, or "
        "CONCEPT=FILE where there are several concepts",
    )
    runner: Literal["auto", "serial", "processes", "ray"] = Field(
        "auto", description="who computes: this process, a pool of them, or a Ray cluster"
    )
    workers: int | None = Field(None, ge=1, description="processes at work (default: one a core)")
    ray_address: str | None = Field(
        None, description="address of a Ray cluster (default: one in this machine's cores)"
    )
