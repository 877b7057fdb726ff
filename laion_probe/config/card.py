"""The options of ``laion-probe card``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from laion_probe.config.base import PATH, Options

__all__ = ["CardConfig", "Task"]

#: Tasks of huggingface.js (packages/tasks/src/pipelines.ts) that pairs of pictures and texts serve.
Task = Literal[
    "text-to-image",
    "image-to-text",
    "zero-shot-image-classification",
    "image-classification",
    "image-feature-extraction",
    "visual-question-answering",
    "image-to-image",
    "unconditional-image-generation",
    "none",
]


class CardConfig(Options):
    """The options of ``laion-probe card``: a datasheet as the cards that others ask for."""

    folder: Annotated[str, PATH] = Field(
        description="folder of a datasheet; the cards are written into it"
    )
    task: tuple[Task, ...] = Field(
        (),
        description="tasks that the set is for, by the Hub's names: text-to-image, image-to-text, "
        "zero-shot-image-classification, image-classification, image-feature-extraction, "
        "visual-question-answering, image-to-image, unconditional-image-generation; none takes "
        "back those given before (default: those of the card that is there, for no count can tell)",
    )
    replace: bool = Field(
        False, description="write over a README.md or model-card.md that was changed by hand"
    )
