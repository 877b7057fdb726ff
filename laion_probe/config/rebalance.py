"""The options of ``laion-probe rebalance``: weights and a subset that have named margins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from laion_probe.config.base import NAMED, PATH, TOML_FILE, HoldsPath, quantity
from laion_probe.config.pictures import InContext
from laion_probe.errors import ConfigError

__all__ = ["RebalanceConfig"]

#: The file of a target NAME=FILE.csv, or of the list in terms:FILE.toml:...
_TARGET_FILE = HoldsPath(r"(?:terms:(?=[^=]*\.toml:)|[^=]*=)(.+?)(?:(?<=\.csv)|(?<=\.toml):.*)")


class RebalanceConfig(InContext):
    """The options of ``laion-probe rebalance``."""

    run: Annotated[str | None, PATH] = Field(
        None, description="the folder of a finished probe run, whose pictures are weighted"
    )
    target: Annotated[tuple[str, ...], _TARGET_FILE] = Field(
        (),
        description="a margin to reach, once or more; none is a target unless it is named here. "
        "NAME:LEVEL=SHARE, NAME:LEVEL,LEVEL=parity (equal shares, their sum kept), NAME:parity (of "
        "an attribute's two named levels), NAME:before (as before the filters), or NAME=FILE.csv "
        "with the columns level and share (of one by concept: the rows of the run's). NAME is an "
        "attribute, or a group as `laion-probe groups` lists them",
    )
    unknown: Literal["keep", "drop"] = Field(
        "keep",
        description="rows of unknown level: keep them at their share (targets are of the others), "
        "or give them no weight",
    )
    skip_empty: bool = Field(
        False, description="leave out of the targets, and name, levels that no row has"
    )
    max_weight: float | None = Field(
        None, gt=1, description="no weight above this many times the mean (default: no bound)"
    )
    subset: Annotated[int | None, BeforeValidator(quantity)] = Field(
        None,
        ge=1,
        description="rows of the subset that is drawn (default: the most that keep the targets)",
    )
    stage: str = Field(
        "neighbourhood",
        description="of a probe run: the stage whose pictures get weights, as its report names it",
    )
    shards: Annotated[tuple[str, ...], PATH] = Field(
        (), description="without a run: shards whose rows are weighted by groups of captions"
    )
    column: tuple[str, ...] = Field(
        (), description="which column of the shards to read, NAME=COLUMN, such as text=ALT"
    )
    kept: Annotated[str | None, PATH] = Field(
        None,
        description="of the shards, only these rows: ids as `laion-probe filters --write-kept` "
        "writes them (kept-RECIPE.npy)",
    )
    before: Annotated[str | None, PATH] = Field(
        None,
        description="run of `filters` or `scan` that counted the groups before any filter, for "
        "targets NAME:before",
    )
    scores: Annotated[tuple[str, ...], NAMED] = Field(
        (),
        description="without a run: a classifier's labels of all pictures, ATTRIBUTE=FILE: parquet "
        "or CSV of id, level and probability",
    )
    ratings: Annotated[tuple[str, ...], PATH] = Field(
        (),
        description="human ratings of a random sample of these pictures, by which the composition "
        "after the plan is predicted (default: those of the run)",
    )
    attributes: Annotated[tuple[str, ...], TOML_FILE] = Field(
        ("gender_presentation", "skin_tone"), description="attributes of the scores"
    )
    cache: Annotated[str | None, PATH] = Field(
        None, description="where embeddings are kept for reuse (default: the run's)"
    )

    @property
    def columns(self) -> dict[str, str]:
        """``column`` as a mapping; `ConfigError` where an item is not NAME=COLUMN."""
        found = dict(item.partition("=")[::2] for item in self.column)
        if not all(name and source for name, source in found.items()):
            raise ConfigError("--column takes NAME=COLUMN, such as text=ALT")
        return found
