"""Steps that drop rows by URL, size, score or tag."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import AfterValidator, Field, model_validator

from laion_probe.measures import domain
from laion_probe.steps.base import (
    Batch,
    Outcome,
    Outcomes,
    Role,
    StepKind,
    StepParams,
    drop,
    unknown_where,
)

__all__ = ["KINDS"]


# A longer one may not compile.
_LONG_PATTERN = 1000


# The empty one is in every text.
_Substring = Annotated[str, Field(min_length=1)]


def _host_name(given: str) -> str:
    """Refuses what no URL has as its host: a whole URL, a port, a wildcard."""
    if re.fullmatch(r"\.?[^\s.\[\]/\\:@?#*,;]+(\.[^\s.\[\]/\\:@?#*,;]+)*\.?", given):
        return given
    host = domain(given if "//" in given else f"//{given}").removeprefix("*.")
    example = host if re.fullmatch(r"[\w-]+(\.[\w-]+)+", host) else "example.com"
    raise ValueError(f"no host name: write one without scheme, port or slash, such as {example}")


_Host = Annotated[str, AfterValidator(_host_name)]


def _parsed(urls: pl.Series) -> pl.Series:
    """Without what parsing a URL leaves out of it."""
    return urls.str.replace_all(r"[\t\r\n]", "")


class UrlSubstrings:
    """Drops rows whose URL contains one of the substrings, by default in whatever case."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("url",)

    class Params(StepParams):
        any_of: tuple[_Substring, ...] = Field(min_length=1)
        ignore_case: bool = True

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        urls, wanted = batch.column("url"), params.any_of
        if params.ignore_case:
            urls, wanted = urls.str.to_lowercase(), [s.lower() for s in wanted]
        return drop(urls.str.contains("|".join(map(pl.escape_regex, wanted))))


class DomainLength:
    """Drops rows whose host name is longer than ``max_characters``."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("url",)

    class Params(StepParams):
        max_characters: int = Field(gt=0, le=1_000_000_000)  # of the 32 bits that polars has

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        urls = batch.column("url")
        # A host cannot be longer than its URL, nor than the run without "/" after "//" that holds
        # it: few URLs are worth parsing.
        long = urls.str.len_bytes() > params.max_characters
        if params.max_characters < _LONG_PATTERN:
            run = rf"//[^/?#]{{{params.max_characters + 1}}}"
            long = long & _parsed(urls).str.contains(run)
        out = drop(long)
        out[out == Outcome.DROP] = [
            Outcome.DROP if len(domain(u)) > params.max_characters else Outcome.KEEP
            for u in urls.filter(long)
        ]
        return out


class Domains:
    """Drops rows whose host is one of ``any_of``, or a part of it (``www.a.com`` of ``a.com``)."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("url",)

    class Params(StepParams):
        any_of: tuple[_Host, ...] = Field(min_length=1)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        urls = batch.column("url")
        banned = [d.lower().strip(".") for d in params.any_of]
        ends = tuple(f".{d}" for d in banned)
        suspect = _parsed(urls).str.to_lowercase().str.contains_any(banned)
        out = drop(suspect)
        out[out == Outcome.DROP] = [
            Outcome.DROP if f".{domain(u)}".endswith(ends) else Outcome.KEEP
            for u in urls.filter(suspect)
        ]
        return out


class ImagePixels:
    """Drops pictures of more than ``max_pixels``; width and height are the metadata's claim."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("width", "height")

    class Params(StepParams):
        max_pixels: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        # as floats, since the product of two wrong sizes need not fit into 64 bits
        width, height = (batch.column(c).cast(pl.Float64) for c in ("width", "height"))
        return drop(width * height > params.max_pixels)


class ImageSide:
    """Drops pictures whose shorter side has fewer than ``min_pixels``."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("width", "height")

    class Params(StepParams):
        min_pixels: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        small = [batch.column(c) < params.min_pixels for c in ("width", "height")]
        # one side that is known to be too short suffices
        return drop(small[0] | small[1])


class AspectRatio:
    """Drops pictures whose longer side is more than ``max_ratio`` times the shorter one."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("width", "height")

    class Params(StepParams):
        max_ratio: float = Field(ge=1)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        width, height = (batch.column(c).cast(pl.Float64) for c in ("width", "height"))
        ratio, r = width / height, params.max_ratio
        # a side of 0 is no size
        known = (width > 0) & (height > 0)
        return drop(unknown_where(~known, (ratio > r) | (1 / ratio > r)))


class Score:
    """Drops rows by a stored score: what is kept is at least / above / at most / below a number.

    ``similarity`` (CLIP ViT-B/32), ``similarity_l14``, ``punsafe``, ``pwatermark``, ``aesthetic``,
    ``nsfw_score`` (OpenNSFW2).
    """

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ()  # which one it is, the parameters say

    class Params(StepParams):
        column: Literal[
            "similarity", "similarity_l14", "punsafe", "pwatermark", "aesthetic", "nsfw_score"
        ]
        at_least: float | None = None
        above: float | None = None
        at_most: float | None = None
        below: float | None = None

        @model_validator(mode="after")
        def _one_bound(self) -> Any:
            if self.at_least is self.above is self.at_most is self.below is None:
                raise ValueError("give at_least, above, at_most or below")
            low = max(x for x in (self.at_least, self.above, -math.inf) if x is not None)
            high = min(x for x in (self.at_most, self.below, math.inf) if x is not None)
            if low > high or (low == high and (low == self.above or high == self.below)):
                raise ValueError("no score can meet all of these bounds: change one")
            return self

        @property
        def needs(self) -> tuple[str, ...]:
            return (self.column,)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        # NaN is no score: comparing it would keep the row in silence
        score = batch.column(params.column).fill_nan(None)
        failed = pl.repeat(False, batch.n, dtype=pl.Boolean, eager=True)
        if params.at_least is not None:
            failed = failed | (score < params.at_least)
        if params.above is not None:
            failed = failed | (score <= params.above)
        if params.at_most is not None:
            failed = failed | (score > params.at_most)
        if params.below is not None:
            failed = failed | (score >= params.below)
        return drop(failed)


class NsfwTag:
    """Drops rows whose own NSFW tag is one of ``any_of``; rows without a tag are not evaluable."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("nsfw",)

    class Params(StepParams):
        any_of: tuple[str, ...] = Field(min_length=1)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        tag = batch.column("nsfw")
        return drop(unknown_where(tag.is_null(), tag.is_in(list(params.any_of))))


class NsfwSubstrings:
    """LAION's underage rule: a row not tagged UNLIKELY that contains a substring is dropped.

    Case-sensitive substrings, so "canteen" contains "teen". Rows without a tag, and tagged rows
    without the substring (their category scores were never published), are not evaluable.
    """

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("nsfw", "text")

    class Params(StepParams):
        any_of: tuple[_Substring, ...] = Field(min_length=1)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        suspect = batch.column("nsfw") != "UNLIKELY"  # null where there is no tag
        wanted = list(params.any_of)
        hit = batch.measured(f"substrings: {wanted}", lambda t: t.str.contains_any(wanted))
        # without the substring false stays, and true becomes unknown
        return drop(unknown_where(~hit & suspect, suspect))


KINDS: dict[str, StepKind] = {
    "url-substrings": UrlSubstrings(),
    "domain-length": DomainLength(),
    "domains": Domains(),
    "image-pixels": ImagePixels(),
    "image-side": ImageSide(),
    "aspect-ratio": AspectRatio(),
    "score": Score(),
    "nsfw-tag": NsfwTag(),
    "nsfw-substrings": NsfwSubstrings(),
}
