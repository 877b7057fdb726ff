"""The options of ``laion-probe testbed``: a small model trained with what we planted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from laion_probe.config.base import PATH, TOML_FILE, RunConfig

__all__ = ["TestbedConfig"]

_ARMS = ("neither", "over-represented", "emptied", "both")


class TestbedConfig(RunConfig):
    """The options of ``laion-probe testbed``."""

    __test__ = False  # its name begins like a test's

    demo: Annotated[str, PATH] = Field(
        "data/demo", description="the demo data: images/, truth.parquet and clip/"
    )
    concept: str = Field("sari", description="the concept of the demo data that is planted")
    recipe: Annotated[str, TOML_FILE] = Field(
        "captions-stripped", description="recipe that the captions pass before training"
    )
    arms: tuple[str, ...] = Field(
        _ARMS, min_length=1, description=f"what is planted, of: {', '.join(_ARMS)}"
    )
    seeds: int = Field(6, ge=1, le=1000, description="runs of each arm, each trained anew")
    rows: int = Field(2000, ge=100, description="training rows where the cluster is large")
    share: float = Field(0.033, gt=0, lt=0.5, description="the cluster's share where it is small")
    share_over: float = Field(0.125, gt=0, lt=0.5, description="its share where it is large")
    each: int = Field(60, ge=1, description="most training rows of any other role")
    foreign: float = Field(
        0.05, ge=0, lt=1, description="share of all other rows with captions in other languages"
    )
    side: int = Field(24, ge=8, description="pixels of a picture's side")
    patch: int = Field(4, ge=1, description="pixels of a patch's side, which becomes one token")
    codes: int = Field(512, ge=2, le=16384, description="patches that the codebook knows")
    steps: int = Field(1500, ge=1, description="training steps of a run")
    batch_size: int = Field(64, ge=1, description="rows of a training step")
    dropped: float = Field(
        0.1, ge=0, lt=1, description="share of captions dropped at random in training"
    )
    rate: float = Field(5e-3, gt=0, description="highest learning rate")
    samples: int = Field(1000, ge=10, description="pictures drawn for the empty prompt, a run")
    asked: int = Field(64, ge=0, description="pictures drawn for the concept by name, a run")
    guidance: float = Field(3.0, ge=0, description="guidance of the prompt that names the concept")
    temperature: float = Field(1.0, gt=0, description="temperature of sampling")
    top_k: int = Field(
        32, ge=0, description="each token is drawn from so many of the likeliest (0: from all)"
    )
    fit_steps: int = Field(
        1000, ge=0, description="steps in which the encoder learns the style of the codebook"
    )
    no_verdicts: bool = Field(
        False, description="do not ask `outliers` of each run, nor compare it with what is true"
    )
    cache: Annotated[str | None, PATH] = Field(
        None, description="where finished runs are kept: a run that is there is not trained again"
    )
    workers: int | None = Field(
        None, ge=1, description="runs trained at once, each on one core (default: one a core)"
    )

    @field_validator("arms")
    @classmethod
    def _arms_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in _ARMS:
                raise ValueError(f"'{name}' is no arm: write {', '.join(_ARMS)}")
        if len(set(value)) < len(value):
            raise ValueError("an arm is named twice")
        return value

    @model_validator(mode="after")
    def _numbers_fit(self) -> TestbedConfig:
        if self.side % self.patch:
            raise ValueError(f"side {self.side} is no multiple of patch {self.patch}")
        if self.share >= self.share_over:
            raise ValueError(f"share {self.share} is not below share_over {self.share_over}")
        return self
