"""What a run is asked to do: frozen shapes only. Names are resolved by the question."""

from __future__ import annotations

from laion_probe.config.base import WHO_COMPUTES, DataConfig, Options, RunConfig
from laion_probe.config.card import CardConfig
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.config.dft import DftConfig
from laion_probe.config.embedding import EmbedConfig, IndexConfig
from laion_probe.config.exploring import ExploreConfig
from laion_probe.config.fetching import FetchConfig
from laion_probe.config.generating import BlockedConfig, GenerateConfig
from laion_probe.config.loading import beside, load_config, make_config
from laion_probe.config.neighbours import NeighboursConfig
from laion_probe.config.nonresponse import NonresponseConfig
from laion_probe.config.outliers import OutliersConfig
from laion_probe.config.people import AnnotateConfig, ComposeConfig, DriftConfig
from laion_probe.config.pictures import CompareConfig, InContext, PicturesConfig, ProbeConfig
from laion_probe.config.preregister import PreregisterConfig
from laion_probe.config.rebalance import RebalanceConfig
from laion_probe.config.robustness import RobustnessConfig
from laion_probe.config.serving import ServeConfig
from laion_probe.config.shards import FiltersConfig, OneRecipe, PlanConfig, ScanConfig
from laion_probe.config.testbed import TestbedConfig

__all__ = [
    "WHO_COMPUTES",
    "AnnotateConfig",
    "BlockedConfig",
    "CardConfig",
    "CompareConfig",
    "ComposeConfig",
    "DataConfig",
    "DatasheetConfig",
    "DftConfig",
    "DriftConfig",
    "EmbedConfig",
    "ExploreConfig",
    "FetchConfig",
    "FiltersConfig",
    "GenerateConfig",
    "InContext",
    "IndexConfig",
    "NeighboursConfig",
    "NonresponseConfig",
    "OneRecipe",
    "Options",
    "OutliersConfig",
    "PicturesConfig",
    "PlanConfig",
    "PreregisterConfig",
    "ProbeConfig",
    "RebalanceConfig",
    "RobustnessConfig",
    "RunConfig",
    "ScanConfig",
    "ServeConfig",
    "TestbedConfig",
    "beside",
    "load_config",
    "make_config",
]
