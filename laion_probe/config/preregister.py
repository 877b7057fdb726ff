"""The options of ``laion-probe preregister``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from laion_probe.config.base import PATH
from laion_probe.config.pictures import ProbeConfig

__all__ = ["PreregisterConfig"]


class PreregisterConfig(ProbeConfig):
    """The options of ``laion-probe preregister``: those of the probe that it is the plan of."""

    out: Annotated[str | None, PATH] = Field(
        None,
        description="TOML file to write; it must not exist yet (default: preregistration-CONCEPT"
        ".toml)",
    )
    expect: tuple[str, ...] = Field(
        (),
        description="what you expect of a claim: CLAIM=higher, CLAIM=lower or CLAIM=no change, "
        "with words of your own after a colon; the report holds it against the outcome",
    )
