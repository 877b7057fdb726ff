"""The options of ``laion-probe embed`` and ``laion-probe index``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from laion_probe.config.base import (
    CHECKPOINT,
    LOCAL_DIR,
    PATH,
    Options,
    quantity,
    seconds,
    size_in_bytes,
)

__all__ = ["EmbedConfig", "IndexConfig"]


class EmbedConfig(Options):
    """The options of ``laion-probe embed``: pictures to a folder of embeddings."""

    sources: Annotated[tuple[str, ...], PATH] = Field(
        description="img2dataset's output folder, WebDataset tars, folders of pictures, or parquet "
        "with a column of bytes"
    )
    out: Annotated[str, PATH] = Field(
        "embeddings", description="folder to fill; one that is begun is gone on with"
    )
    model: Annotated[str, LOCAL_DIR] = Field(
        "ViT-B-32", description="open_clip model name, or local-dir:FOLDER"
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    text: bool = Field(False, description="embed captions too, into text_emb/")
    device: str = Field(
        "auto", description="cpu, cuda, cuda:1, mps ...; auto: a GPU where there is one"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="arithmetic of the model; auto: bf16 on a GPU that has it, else fp32"
    )
    batch_size: int = Field(256, ge=1, description="pictures that go through the model at once")
    workers: int | None = Field(
        None, ge=1, description="threads that decode, and on a CPU embed (default: one a core)"
    )
    part_rows: Annotated[int, BeforeValidator(quantity)] = Field(
        10_000, ge=1, description="pictures a part, where the source has no shards of its own"
    )
    runner: Literal["serial", "ray"] = Field(
        "serial",
        description="who computes: this process, or the cores of a Ray cluster, a part a task",
    )
    ray_address: str | None = Field(
        None, description="address of a Ray cluster (default: one in this machine's cores)"
    )


class IndexConfig(Options):
    """The options of ``laion-probe index``: a FAISS index under a budget, with its recall."""

    embeddings: Annotated[str, PATH] = Field(description="folder of embeddings")
    out: Annotated[str | None, PATH] = Field(
        None, description="folder of the index (default: index/ in the folder of embeddings)"
    )
    of: Literal["image", "text"] = Field("image", description="whose vectors: image or text")
    max_memory: Annotated[float, BeforeValidator(size_in_bytes)] = Field(
        4 * 1024.0**3, gt=0, description="memory that a search may hold, such as 4G"
    )
    max_time: Annotated[float | None, BeforeValidator(seconds)] = Field(
        None, gt=0, description="time that building may take, such as 2h (default: no end)"
    )
    kind: Literal["auto", "flat", "ivf", "ivfpq", "fastscan", "on-disk"] = Field(
        "auto", description="kind of index; auto: chosen by the budget, and explained"
    )
    k: int = Field(1000, ge=1, description="neighbours for which recall is measured")
    queries: int = Field(200, ge=10, description="held-out rows by which recall is measured")
    recall: float = Field(
        0.98, gt=0, lt=1, description="mean recall for which the search is set, with its error"
    )
    group: str | None = Field(
        None, description="metadata column by whose values recall is told apart"
    )
    shard_rows: Annotated[int, BeforeValidator(quantity)] = Field(
        500_000, ge=1, description="rows that are indexed between two saves; a kill loses no more"
    )
    explain: bool = Field(False, description="say what would be built and why, and build nothing")
    threads: int | None = Field(None, ge=1, description="threads at work (default: one a core)")
    seed: int = Field(0, ge=0, description="seed of the training sample and of the queries")
