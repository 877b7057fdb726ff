"""The options of ``laion-probe generate`` and ``laion-probe blocked``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from laion_probe.config.base import (
    CHECKPOINT,
    LOCAL_DIR,
    PATH,
    TOML_FILE,
    HoldsPath,
    Options,
    quantity,
)
from laion_probe.config.pictures import InContext

__all__ = ["BlockedConfig", "GenerateConfig"]

#: A folder where there is one of that name; else a name on the hub, which may have a slash.
_FOLDER_OR_NAME = HoldsPath(r"local-dir:(.+)", or_whole=True)


class GenerateConfig(Options):
    """The options of ``laion-probe generate``: prompts to a folder of pictures."""

    model: Annotated[str, _FOLDER_OR_NAME] = Field(
        description="diffusers pipeline: its folder, or its name on the Hugging Face hub"
    )
    revision: str | None = Field(None, description="commit, branch or tag of a model on the hub")
    variant: str | None = Field(None, description="variant of the weights' files, such as fp16")
    prompts: Annotated[str | None, PATH] = Field(
        None,
        description="TOML, CSV, TSV or JSONL of prompt, group, concept and language; the last "
        "three may be missing",
    )
    prompt: tuple[str, ...] = Field(
        (), description="prompts beside those of the file; '' is the empty prompt"
    )
    out: Annotated[str, PATH] = Field(
        "generated", description="folder to fill; one that is begun is gone on with"
    )
    images: int = Field(4, ge=1, description="pictures of each prompt")
    scheduler: str | None = Field(
        None, description="sampler by its name in diffusers, such as PNDM (default: the model's)"
    )
    steps: int = Field(50, ge=1, le=1000, description="denoising steps")
    guidance: float = Field(7.5, ge=0, le=100, description="scale of classifier-free guidance")
    negative_prompt: str = Field("", description="what guidance leads away from")
    seed: int = Field(0, ge=0, lt=1 << 53, description="from it each picture has a seed of its own")
    same_seeds: bool = Field(
        False,
        description="picture 1 of every prompt begins with the same noise, and so on: prompts are "
        "then compared in pairs",
    )
    height: int | None = Field(None, ge=8, description="pixels (default: the model's)")
    width: int | None = Field(None, ge=8, description="pixels (default: the model's)")
    safety: Literal["off", "flag", "on"] = Field(
        "flag",
        description="safety checker: not asked; asked, and what it would block is kept and "
        "flagged; or blacked out as the model's pipeline does, and flagged",
    )
    device: str = Field(
        "auto", description="cpu, cuda, cuda:1, mps ...; auto: a GPU where there is one"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="arithmetic of the model; auto: bf16 on a GPU that has it, else fp32"
    )
    batch_size: int = Field(
        4, ge=1, description="pictures computed at once: none of them depends on it"
    )
    part_rows: Annotated[int, BeforeValidator(quantity)] = Field(
        256, ge=1, description="pictures a part; a kill loses no more"
    )

    @model_validator(mode="after")
    def _does_what_it_says(self) -> GenerateConfig:
        if (self.height is None) != (self.width is None):  # diffusers would ignore the one
            raise ValueError("give --height and --width, or neither")
        if self.negative_prompt and self.guidance <= 1:
            raise ValueError(
                f"a negative prompt does nothing at a guidance of {self.guidance:g}: give "
                "--guidance above 1, or no --negative-prompt"
            )
        return self


class BlockedConfig(InContext):
    """The options of ``laion-probe blocked``: what the safety checker would keep back."""

    generated: Annotated[str, PATH] = Field(
        description="pictures of `laion-probe generate --safety flag`, or others whose metadata "
        "have a column blocked"
    )
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        (), description="attributes to read from the pictures, before and after blocking"
    )
    model: Annotated[str, LOCAL_DIR] = Field(
        "ViT-B-32", description="open_clip model that reads them, or local-dir:FOLDER"
    )
    pretrained: Annotated[str | None, CHECKPOINT] = Field(
        None, description="open_clip weights tag, or a checkpoint file"
    )
    cache: Annotated[str | None, PATH] = Field(
        None, description="where embeddings are kept for reuse"
    )
    max_failed_share: float = Field(
        0.01, ge=0, le=1, description="the run fails when more of its pictures than this failed"
    )
