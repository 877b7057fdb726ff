"""What a run is asked to do: frozen shapes only. Names are resolved by the question."""

from __future__ import annotations

from laion_probe.config.base import WHO_COMPUTES, DataConfig, Options, RunConfig
from laion_probe.config.embedding import EmbedConfig, IndexConfig
from laion_probe.config.fetching import FetchConfig
from laion_probe.config.loading import beside, load_config, make_config
from laion_probe.config.neighbours import NeighboursConfig
from laion_probe.config.nonresponse import NonresponseConfig
from laion_probe.config.people import AnnotateConfig, ComposeConfig, DriftConfig
from laion_probe.config.pictures import CompareConfig, InContext, PicturesConfig, ProbeConfig
from laion_probe.config.serving import ServeConfig
from laion_probe.config.shards import FiltersConfig, OneRecipe, PlanConfig, ScanConfig

__all__ = [
    "WHO_COMPUTES",
    "AnnotateConfig",
    "CompareConfig",
    "ComposeConfig",
    "DataConfig",
    "DriftConfig",
    "EmbedConfig",
    "FetchConfig",
    "FiltersConfig",
    "InContext",
    "IndexConfig",
    "NeighboursConfig",
    "NonresponseConfig",
    "OneRecipe",
    "Options",
    "PicturesConfig",
    "PlanConfig",
    "ProbeConfig",
    "RunConfig",
    "ScanConfig",
    "ServeConfig",
    "beside",
    "load_config",
    "make_config",
]
