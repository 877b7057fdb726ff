"""The options of ``laion-probe dft-plan``: what a generator would be fine-tuned on."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from laion_probe.config.base import PATH, TOML_FILE, HoldsPath, share_or_percent
from laion_probe.config.pictures import InContext

__all__ = ["DftConfig"]

_LIST_FILE = HoldsPath(r"(.+\.(?:toml|txt))")


def _of_professions(share: float) -> float:
    """A share that leaves a profession to train on."""
    if not 0 <= share < 1:
        raise ValueError("is a share of the professions, from 0 to under 1, and no number of them")
    return share


class DftConfig(InContext):
    """The options of ``laion-probe dft-plan``; no list, axis or target is taken by default."""

    folder: Annotated[str | None, PATH] = Field(
        None,
        description="folder of a finished probe or compare run whose measured gaps decide the "
        "numbers (default: none; every cell has the same number, or its share of --target)",
    )
    professions: Annotated[tuple[str, ...], _LIST_FILE] = Field(
        (),
        description="lists of professions: names of shipped ones, TOML files, or text files with "
        "a profession a line",
    )
    axis: Annotated[tuple[str, ...], TOML_FILE] = Field(
        (),
        description="lists of words that are crossed with the professions, in the order of the "
        "prompt: names of shipped ones, or TOML files; lists of one axis are put together",
    )
    template: tuple[str, ...] = Field(
        ("a photo of a {terms} {profession}",),
        description="prompts, with {profession} and either {terms} (all axes) or each axis by its "
        "name; articles before them are put right; a cell's pictures are spread over all",
    )
    target: tuple[str, ...] = Field(
        (),
        description="what the plan aims at: AXIS:parity, or AXIS:LEVEL=SHARE; levels of the axis "
        "that are not named share what is left",
    )
    generator: str | None = Field(
        None, description="which generator of a compare run, where it has several"
    )
    per_cell: int = Field(4, ge=1, description="pictures of a cell of the grid, on average")
    held_out: Annotated[
        float, BeforeValidator(share_or_percent), AfterValidator(_of_professions)
    ] = Field(0.2, description="share of the professions kept out of training, for evaluation")
    evaluate: int = Field(
        50, ge=1, description="pictures of each profession in the evaluation, before and after"
    )
    seconds_per_picture: float | None = Field(
        None, gt=0, description="what the generator takes for a picture, for the price in hours"
    )
