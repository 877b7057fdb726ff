"""Requests as clip-retrieval's client and front end send them (its ``clip_client.py``, clip-front).

Fields that are not known are passed over, as clip-retrieval does; a field of a wrong type is an
error in words. An empty text, and an empty ``aesthetic_score``, are none.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from laion_probe.questions.serving_search import Asked

__all__ = ["PostedIds", "PostedQuery"]


def _or_none(value: object) -> object:
    return None if value == "" else value


class PostedQuery(BaseModel):
    """The body of ``/knn-service``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: Annotated[str | None, BeforeValidator(_or_none)] = Field(None, max_length=10_000)
    image: Annotated[str | None, BeforeValidator(_or_none)] = None
    image_url: Annotated[str | None, BeforeValidator(_or_none)] = Field(None, max_length=8_192)
    embedding_input: list[float] | None = Field(None, min_length=1, max_length=16_384)
    modality: Literal["image", "text"] = "image"
    num_images: int = Field(100, ge=1)
    num_result_ids: int | None = Field(None, ge=1)
    indice_name: Annotated[str | None, BeforeValidator(_or_none)] = None
    use_mclip: bool = False
    deduplicate: bool = False
    use_safety_model: bool = False
    use_violence_detector: bool = False
    aesthetic_score: Annotated[float | None, BeforeValidator(_or_none)] = Field(None, ge=0, le=10)
    aesthetic_weight: Annotated[float | None, BeforeValidator(_or_none)] = Field(None, ge=0, le=1)

    @field_validator("embedding_input")
    @classmethod
    def _is_a_direction(cls, numbers: list[float] | None) -> list[float] | None:
        if numbers is not None and not (all(map(math.isfinite, numbers)) and any(numbers)):
            raise ValueError("must be finite numbers, not all of them 0")
        return numbers

    @property
    def asked(self) -> Asked:
        """What is asked of the hits. A weight of 0, or a score without a weight, asks nothing."""
        k = self.num_result_ids or self.num_images
        score, weight = self.aesthetic_score, self.aesthetic_weight
        return Asked(
            k=k,
            n=min(self.num_images, k),
            modality=self.modality,
            deduplicate=self.deduplicate,
            safety=self.use_safety_model,
            violence=self.use_violence_detector,
            mclip=self.use_mclip,
            aesthetic=None if score is None or not weight else (score, weight),
        )


class PostedIds(BaseModel):
    """The body of ``/metadata``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ids: list[int]
    indice_name: Annotated[str | None, BeforeValidator(_or_none)] = None
