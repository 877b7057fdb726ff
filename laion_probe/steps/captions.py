"""Steps that drop rows by how their caption looks: present, long enough, of enough words."""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl
from pydantic import Field, model_validator

from laion_probe.measures import WHITE_SPACE
from laion_probe.steps.base import Batch, Outcomes, Role, StepKind, StepParams, drop

__all__ = ["KINDS"]


# Four bytes a character still fit into the 32 bits that polars counts bytes in.
_MOST = 1_000_000_000


class _Range(StepParams):
    """At least one end of a range; the fields are its lower and its upper end."""

    @model_validator(mode="after")
    def _one_end(self) -> _Range:
        low, high = type(self).model_fields
        least, most = getattr(self, low), getattr(self, high)
        if least is most is None:
            raise ValueError(f"give {low} or {high}")
        if least is not None and most is not None and least > most:
            raise ValueError(f"{low} is above {high}, which no caption can meet: swap them")
        return self


class CaptionPresent:
    """Drops rows whose caption is missing or only white space."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("text",)
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return drop(batch.text.str.strip_chars(WHITE_SPACE) == "")


class CaptionLength:
    """Drops captions with fewer or more characters than given (after the rewrites so far)."""

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(_Range):
        min_characters: int | None = Field(None, gt=0, le=_MOST)
        max_characters: int | None = Field(None, gt=0, le=_MOST)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        least, most = params.min_characters, params.max_characters
        n_bytes = batch.measured("bytes", lambda texts: texts.str.len_bytes())
        # A character has one to four bytes, and bytes need not be counted one by one.
        out = pl.repeat(False, batch.n, dtype=pl.Boolean, eager=True)
        doubt = out
        if least is not None:
            out = out | (n_bytes < least)
            doubt = doubt | (n_bytes < 4 * least)
        if most is not None:
            out = out | (n_bytes > 4 * most)
            doubt = doubt | (n_bytes > most)
        doubt = doubt & ~out
        if doubt.any():
            places = doubt.arg_true()
            n = batch.text.gather(places).str.len_chars()
            wrong = n < (least or 0)
            out = out.scatter(places, wrong if most is None else wrong | (n > most))
        return drop(out)


class WordCount:
    """Drops captions with fewer or more words than given; words are what white space divides.

    So `len(text.split())` counts them; a Chinese or Japanese sentence is one word.
    """

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(_Range):
        min_words: int | None = Field(None, gt=0, le=_MOST)
        max_words: int | None = Field(None, gt=0, le=_MOST)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        out = pl.repeat(False, batch.n, dtype=pl.Boolean, eager=True)
        if params.min_words is not None:
            out = out | ~_at_least(batch.text, params.min_words)
        if params.max_words is not None:
            out = out | _at_least(batch.text, params.max_words + 1)
        return drop(out)


# In a longer pattern the repetition may not compile.
_LONG_PATTERN = 64


def _at_least(texts: pl.Series, n: int) -> pl.Series:
    """Whether ``len(text.split()) >= n``; words are not counted further than that."""
    if n <= _LONG_PATTERN:
        word, space = f"[^{WHITE_SPACE}]", f"[{WHITE_SPACE}]"
        return texts.str.contains(f"(?:{word}+{space}+){{{n - 1}}}{word}")
    # n words and the space between them have so many bytes
    long = texts.str.len_bytes() >= 2 * n - 1
    many = pl.Series([len(t.split()) >= n for t in texts.filter(long)], dtype=pl.Boolean)
    return long.scatter(long.arg_true(), many)


KINDS: dict[str, StepKind] = {
    "caption-present": CaptionPresent(),
    "caption-length": CaptionLength(),
    "word-count": WordCount(),
}
