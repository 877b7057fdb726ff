"""The options of ``laion-probe nonresponse``: whose pictures no longer download."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from laion_probe.config.base import (
    CHECKPOINT,
    LOCAL_DIR,
    NAMED,
    PATH,
    TERMS,
    TOML_FILE,
    quantity,
)
from laion_probe.config.pictures import InContext

__all__ = ["NonresponseConfig"]


class NonresponseConfig(InContext):
    """The options of ``laion-probe nonresponse``."""

    images: Annotated[str, PATH] = Field(
        description="img2dataset's output folder, or that of `laion-probe fetch`: its parquet "
        "files say what became of every URL. All rows are held in memory, about 1.5 GB for 2 "
        "million; of more than fit, fetch a sample"
    )
    shards: Annotated[tuple[str, ...], PATH] = Field(
        (),
        description="the shards whose URLs were tried: they are the pool, and have columns that "
        "img2dataset dropped",
    )
    column: tuple[str, ...] = Field(
        (), description="which column of the shards to read, NAME=COLUMN, such as text=ALT"
    )
    groups: Annotated[tuple[str, ...], TERMS] = Field(
        ("domain", "tld", "region", "language:cld2", "gender-words"),
        description="groups by which loss is counted, as `laion-probe groups` lists them; "
        "'domain' names the most frequent ones, 'crawled' is the year of the crawl",
    )
    response_by: Annotated[tuple[str, ...], TERMS] = Field(
        ("region", "language:cld2", "gender-words"),
        description="groups that the model of response uses: loss is taken as random given these",
    )
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        ("gender_presentation", "skin_tone"), description="attributes whose shares are estimated"
    )
    scores: Annotated[tuple[str, ...], NAMED] = Field(
        (),
        description="labels of the pictures that came, ATTRIBUTE=FILE: a parquet or CSV of id "
        "(SHARD/KEY, such as 00000/000000017), level and probability",
    )
    model: Annotated[str | None, LOCAL_DIR] = Field(
        None, description="open_clip model that reads the pictures, or local-dir:FOLDER"
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    embeddings: Annotated[str | None, PATH] = Field(
        None, description="folder of embeddings that an earlier run filled, or to fill"
    )
    cache: Annotated[str | None, PATH] = Field(
        None, description="where embeddings are kept for reuse"
    )
    crawled: str | None = Field(
        None,
        description="date of the crawl, YYYY-MM-DD, or img2dataset's column that holds it",
    )
    fetched: str | None = Field(
        None, description="date of the download, YYYY-MM-DD (default: as img2dataset noted it)"
    )
    population: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None,
        ge=1,
        description="rows of the set that the tried ones are a random sample of; their own number "
        "where they are all of it (default: no end)",
    )
    folds: int = Field(
        5, ge=2, le=50, description="parts into which domains fall, each predicted from the others"
    )
    false_discovery_rate: float = Field(
        0.05, gt=0, lt=1, description="level of the Benjamini-Hochberg control over groups"
    )
