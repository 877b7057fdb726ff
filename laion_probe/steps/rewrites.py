"""Steps that rewrite captions, or stand for what cannot be replayed."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from laion_probe import rewriting
from laion_probe.lexicons.names import replace_names
from laion_probe.measures import clean_texts
from laion_probe.steps.base import (
    Batch,
    Outcomes,
    Role,
    StepKind,
    StepParams,
    not_evaluable,
    rewrite,
)

__all__ = ["KINDS"]


class CleanText:
    """Rewrites captions as the crawlers did: newline to space, ftfy, strip.

    ``printable_only``: LAION-5B's then removed whatever Python does not call printable.
    """

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        printable_only: bool = False

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        only = params.printable_only
        return rewrite(
            batch, f"clean-text {only}", lambda texts: clean_texts(texts, printable_only=only)
        )


class CollapseWhiteSpace:
    """Rewrites runs of white space to one space, and strips."""

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text",)
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return rewrite(batch, "collapse-white-space", rewriting.collapse_white_space)


class Truncate:
    """Rewrites captions to their first ``max_characters`` characters."""

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        max_characters: int = Field(gt=0)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        most = params.max_characters
        return rewrite(batch, f"truncate {most}", lambda texts: texts.str.slice(0, most))


class ReplaceNames:
    """Rewrites person names, as far as a list of names finds them, to ``by`` ("" removes them).

    The list covers names of some origins better than others, so what this step does is unequal by
    construction: see `laion_probe.lexicons.names`.
    """

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        by: str = ""

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        by = params.by
        return rewrite(batch, f"replace-names {by!r}", lambda texts: replace_names(texts, by))


class Hypernyms:
    """Rewrites captions somewhat like CC3M: names to "person", numbers and dates removed."""

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text",)
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return rewrite(batch, "hypernyms", rewriting.hypernyms)


class DalleMini:
    """Rewrites captions by DALL·E mini's normaliser; what it reduces to nothing is emptied.

    ``transliteration``: "anyascii" (default), "unidecode" (as published; GPL, installed by the
    user) or "none".
    """

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text", "url")

    class Params(StepParams):
        transliteration: Literal["anyascii", "unidecode", "none"] = "anyascii"
        seed: int = 0

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        draws = batch.draws(params.seed, "dalle-mini")
        how = params.transliteration
        return rewrite(
            batch,
            f"dalle-mini {how} {params.seed}",
            lambda texts: rewriting.dalle_mini(texts, draws, how),
        )


class DropCaptions:
    """Blanks captions at random, with ``probability``; the same rows for the same seed."""

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text", "url")

    class Params(StepParams):
        probability: float = Field(ge=0, le=1)
        seed: int = 0

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        draws = batch.draws(params.seed, "drop-captions")
        return rewrite(
            batch,
            f"drop-captions {params.probability} {params.seed}",
            lambda texts: rewriting.drop_captions(texts, draws, params.probability),
        )


class NotSimulated:
    """Documents a step that cannot be replayed from captions and metadata."""

    role: ClassVar[Role] = "context"
    needs: ClassVar[tuple[str, ...]] = ()
    Params: ClassVar[type[StepParams]] = StepParams

    def judge(self, batch: Batch, params: StepParams) -> Outcomes:
        return not_evaluable(batch.n)


KINDS: dict[str, StepKind] = {
    "clean-text": CleanText(),
    "collapse-white-space": CollapseWhiteSpace(),
    "truncate": Truncate(),
    "replace-names": ReplaceNames(),
    "hypernyms": Hypernyms(),
    "dalle-mini": DalleMini(),
    "drop-captions": DropCaptions(),
    "not-simulated": NotSimulated(),
}
