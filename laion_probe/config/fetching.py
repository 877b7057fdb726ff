"""The options of ``laion-probe fetch``: pictures of rows, by img2dataset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from laion_probe.config.base import (
    PATH,
    TERMS,
    Options,
    quantity,
    seconds,
    size_in_bytes,
)

__all__ = ["FetchConfig"]


class FetchConfig(Options):
    """The options of ``laion-probe fetch``."""

    source: Annotated[tuple[str, ...], PATH] = Field(
        description="a run of `laion-probe neighbours`, or shards with URLs and captions"
    )
    out: Annotated[str, PATH] = Field(
        "images", description="folder to fill; one that is begun is gone on with"
    )
    column: tuple[str, ...] = Field(
        (), description="which column to read, NAME=COLUMN, such as text=ALT"
    )
    sample: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None, ge=1, description="rows to draw at random (default: all)"
    )
    strata: Annotated[str | None, TERMS] = Field(
        None, description="draw the sample by strata: a group, as `laion-probe groups` lists them"
    )
    seed: int = Field(0, ge=0, description="seed of the sample")
    image_size: int = Field(256, ge=1, description="side of the pictures that are kept, in pixels")
    resize_mode: Literal["keep_ratio_largest", "keep_ratio", "center_crop", "border", "no"] = Field(
        "keep_ratio_largest",
        description="img2dataset's resize_mode; 'no' keeps their size. None is made larger",
    )
    shard_rows: Annotated[int, BeforeValidator(quantity)] = Field(
        10_000, ge=1, description="rows a shard"
    )
    processes: int = Field(1, ge=1, description="processes at work")
    threads: int = Field(32, ge=1, description="requests at a time of each process")
    timeout_s: float = Field(
        10, gt=0, description="seconds to wait for a server, and between bytes"
    )
    max_time: Annotated[float, BeforeValidator(seconds)] = Field(
        60, gt=0, description="longest that one picture may take, tries included: 60, 2m"
    )
    retries: int = Field(1, ge=0, description="times that a failure that may pass is tried again")
    max_bytes: Annotated[float, BeforeValidator(size_in_bytes)] = Field(
        20 * 1024.0**2, ge=1, description="largest file that is taken, such as 20M"
    )
    max_pixels: Annotated[int, BeforeValidator(quantity)] = Field(
        89_478_484, ge=1, description="most pixels of a picture that is decoded"
    )
    any_hash: bool = Field(
        False,
        description="take pictures whose hash is not the one in the source's column sha256 or md5",
    )
    ports: tuple[int, ...] = Field((), description="ports that may be asked beside 80 and 443")
    allow_private: tuple[str, ...] = Field(
        (),
        description="hosts, HOST or HOST:PORT, that may be asked though their address is this "
        "machine's or a private one; others are refused",
    )
