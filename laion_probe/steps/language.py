"""Steps that measure a caption's language, and decide by it."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import AfterValidator, Field, model_validator

from laion_probe.language import NO_LANGUAGE, guess_frame
from laion_probe.steps.base import (
    Batch,
    Outcome,
    Outcomes,
    Role,
    StepKind,
    StepParams,
    keep,
    not_evaluable,
    rewrite,
)

__all__ = ["KINDS"]


def _as_detectors_write(code: str) -> str:
    """Codes are compared letter by letter, so that "EN" would never be found."""
    shape = "[a-z]{2,3}(-[A-Za-z0-9]+)*"
    if re.fullmatch(shape, code):
        return code
    near = "-".join([code.lower().replace("_", "-").partition("-")[0], *re.split("[-_]", code)[1:]])
    hint = f"write '{near}'" if re.fullmatch(shape, near) else "write one such as en, zh-Latn, und"
    raise ValueError(f"detectors give codes in lower case: {hint}")


_Code = Annotated[str, AfterValidator(_as_detectors_write)]


class DetectLanguage:
    """Measures the caption's language; ``reliable_only`` turns unreliable guesses to 'und'."""

    role: ClassVar[Role] = "measure"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        detector: str
        reliable_only: bool = False
        rename: dict[_Code, _Code] = Field(default_factory=dict)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        guesses = batch.measured(
            f"language: {params.detector}", lambda texts: guess_frame(params.detector, texts)
        )
        codes = guesses["code"]
        if params.rename:
            codes = codes.replace(params.rename)
        if params.reliable_only:
            codes = guesses.select(
                pl.when("reliable").then(codes).otherwise(pl.lit(NO_LANGUAGE))
            ).to_series()
        batch.language = codes.alias("language")
        return keep(batch.n)


class KeepLanguage:
    """Keeps rows of the languages in ``keep``, or of all but those in ``all_but``.

    The others are dropped, or routed to another subset.
    """

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ()

    class Params(StepParams):
        keep: tuple[_Code, ...] = ()
        all_but: tuple[_Code, ...] = ()
        others: Literal["drop", "route"] = "drop"

        @model_validator(mode="after")
        def _one_of_them(self) -> Any:
            if bool(self.keep) == bool(self.all_but):
                raise ValueError("give keep or all_but, one of them")
            return self

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        if batch.language is None:
            return not_evaluable(batch.n)
        out = Outcome.ROUTE if params.others == "route" else Outcome.DROP
        kept = batch.language.is_in([*params.keep, *params.all_but]).to_numpy()
        kept = ~kept if params.all_but else kept
        return np.where(kept, Outcome.KEEP, out).astype(np.uint8)


class EmptyOtherLanguages:
    """Empties captions of other languages than those in ``keep``; their rows stay."""

    role: ClassVar[Role] = "rewrite"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        keep: tuple[_Code, ...] = Field(min_length=1)

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        language = batch.language
        if language is None:
            return not_evaluable(batch.n)
        kept = language.is_in(params.keep)
        # What is left depends on what the detector said, which the captions alone do not tell.
        said = hashlib.sha256(kept.to_numpy().tobytes()).hexdigest()[:16]
        return rewrite(
            batch,
            f"empty-other-languages {said}",
            lambda texts: texts.zip_with(kept, pl.Series([""]).new_from_index(0, len(texts))),
        )


KINDS: dict[str, StepKind] = {
    "detect-language": DetectLanguage(),
    "empty-other-languages": EmptyOtherLanguages(),
    "keep-language": KeepLanguage(),
}
