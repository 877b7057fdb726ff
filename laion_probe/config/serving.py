"""The options of ``laion-probe serve``: clip-retrieval's interface over folders of embeddings."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from laion_probe.config.base import CHECKPOINT, LOCAL_DIR, MAYBE_NAMED, PATH, Options

__all__ = ["ServeConfig"]

#: It may stand in an address, and nobody guesses it.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,200}")
_ORIGIN = re.compile(r"https?://[^/\s?#@]+")


class ServeConfig(Options):
    """The options of ``laion-probe serve``."""

    embeddings: Annotated[tuple[str, ...], MAYBE_NAMED] = Field(
        min_length=1,
        description="folders of embeddings, FOLDER or NAME=FOLDER, each with its index if it has "
        "one; also clip-retrieval's folders with image.index",
    )
    model: Annotated[str | None, LOCAL_DIR] = Field(
        None,
        description="open_clip model that made the embeddings, or local-dir:FOLDER (default: none, "
        "and only embeddings can be searched by)",
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    search: Literal["auto", "exact"] = Field(
        "auto", description="how to search: by a folder's index where it has one, or every row"
    )
    npz: str | None = Field(None, description="array in DataComp's .npz, such as b32_img")
    host: str = Field(
        "127.0.0.1",
        description="address to listen on; another than this machine's own needs --token",
    )
    port: int = Field(1234, ge=0, le=65535, description="port to listen on (0: a free one)")
    token: str | None = Field(
        None,
        description="what callers must send as a Bearer token, or begin the address's path with",
    )
    allow_origin: tuple[str, ...] = Field(
        (),
        description="pages of other addresses that may ask, such as http://127.0.0.1:1235 for "
        "clip-retrieval's front end",
    )
    image_queries: Literal["scenes", "uploads", "off"] = Field(
        "scenes",
        description="search by picture: of scenes (pictures that look like mostly one face are "
        "refused), the same but without fetching image_url, or off",
    )
    removed: Annotated[str | None, PATH] = Field(
        None,
        description="removal list: a file with a URL, a sha256 of one, id:ID or row:NAME:NUMBER "
        "a line; these rows never come back",
    )
    allow_private: tuple[str, ...] = Field(
        (),
        description="hosts, HOST or HOST:PORT, that image_url may name though their address is "
        "this machine's or a private one; others are refused",
    )
    max_request_mb: float = Field(4, gt=0, description="largest request, in MB")
    max_results: int = Field(10_000, ge=1, description="most rows that one request may ask for")
    rate: float = Field(20, gt=0, description="requests a second that one address may make")
    at_once: int = Field(2, ge=1, description="searches, and other work, that run at once")
    thumbnails: bool = Field(
        False,
        description="show pictures on the search page: the browser fetches them from their sites",
    )

    @field_validator("token")
    @classmethod
    def _token_is_long(cls, token: str | None) -> str | None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise ValueError("must be 16 to 200 letters, digits, '.', '_', '~' or '-'")
        return token

    @field_validator("allow_origin")
    @classmethod
    def _origins_are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"'{origin}' is not SCHEME://HOST[:PORT] without a path")
        return origins

    @model_validator(mode="after")
    def _others_need_a_token(self) -> ServeConfig:
        if not self.is_local and self.token is None:
            raise ValueError(f"host {self.host} can be reached by others: give --token as well")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address that is listened on."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
