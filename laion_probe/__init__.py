"""laion-probe measures where the bias of an image-text data set comes from, stage by stage.

Every question is a function of a config that gives a result; `frames` turns a result into tables.
`run` does what the command does, report and run folder included, and `open_result` opens the result
of such a folder.

>>> import laion_probe
>>> config = laion_probe.ProbeConfig(
...     concept="doctor",
...     shards=("data/demo/shards",),
...     images="data/demo/images",
...     model="local-dir:data/demo/clip",
... )
>>> result = laion_probe.probe(config)  # doctest: +SKIP
>>> laion_probe.frames(result)["compositions"].filter(measure="contrast")  # doctest: +SKIP

Importing this package loads neither torch, faiss, open_clip nor matplotlib; they are imported by
the function that first needs them.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laion_probe.blocked_result import BlockedResult
    from laion_probe.commands import run
    from laion_probe.compare_result import CompareResult
    from laion_probe.compose_result import ComposeResult
    from laion_probe.config import (
        BlockedConfig,
        CompareConfig,
        ComposeConfig,
        DatasheetConfig,
        DftConfig,
        DriftConfig,
        ExploreConfig,
        FiltersConfig,
        NeighboursConfig,
        NonresponseConfig,
        OutliersConfig,
        ProbeConfig,
        RebalanceConfig,
        RobustnessConfig,
        ScanConfig,
    )
    from laion_probe.datasheet_result import DatasheetResult
    from laion_probe.dft_result import DftResult
    from laion_probe.drift_result import DriftResult
    from laion_probe.explore_result import ExploreResult
    from laion_probe.filters_result import FiltersResult
    from laion_probe.neighbours_result import NeighboursResult
    from laion_probe.nonresponse_result import NonresponseResult
    from laion_probe.outliers_result import OutliersResult
    from laion_probe.probe_result import ProbeResult
    from laion_probe.questions.blocked import blocked
    from laion_probe.questions.comparing import compare
    from laion_probe.questions.composing import compose
    from laion_probe.questions.datasheet import datasheet
    from laion_probe.questions.dft import dft_plan
    from laion_probe.questions.drift import drift
    from laion_probe.questions.exploring import explore
    from laion_probe.questions.filters import filters
    from laion_probe.questions.neighbours import neighbours
    from laion_probe.questions.nonresponse import nonresponse
    from laion_probe.questions.opening_runs import open_result
    from laion_probe.questions.outliers import outliers
    from laion_probe.questions.probe import probe
    from laion_probe.questions.rebalancing import rebalance
    from laion_probe.questions.robustness import robustness
    from laion_probe.questions.scanning import scan
    from laion_probe.rebalance_result import RebalanceResult
    from laion_probe.render.frames import frames
    from laion_probe.robustness_result import RobustnessResult
    from laion_probe.scan_result import ScanResult

__version__ = "0.3.0"

__all__ = [
    "BlockedConfig",
    "BlockedResult",
    "CompareConfig",
    "CompareResult",
    "ComposeConfig",
    "ComposeResult",
    "DatasheetConfig",
    "DatasheetResult",
    "DftConfig",
    "DftResult",
    "DriftConfig",
    "DriftResult",
    "ExploreConfig",
    "ExploreResult",
    "FiltersConfig",
    "FiltersResult",
    "NeighboursConfig",
    "NeighboursResult",
    "NonresponseConfig",
    "NonresponseResult",
    "OutliersConfig",
    "OutliersResult",
    "ProbeConfig",
    "ProbeResult",
    "RebalanceConfig",
    "RebalanceResult",
    "RobustnessConfig",
    "RobustnessResult",
    "ScanConfig",
    "ScanResult",
    "__version__",
    "blocked",
    "compare",
    "compose",
    "datasheet",
    "dft_plan",
    "drift",
    "explore",
    "filters",
    "frames",
    "neighbours",
    "nonresponse",
    "open_result",
    "outliers",
    "probe",
    "rebalance",
    "robustness",
    "run",
    "scan",
]

#: The module of each question; configs are in `config`, a result in ``<name>_result``.
_QUESTIONS = {
    "blocked": "questions.blocked",
    "compare": "questions.comparing",
    "compose": "questions.composing",
    "datasheet": "questions.datasheet",
    "dft_plan": "questions.dft",
    "drift": "questions.drift",
    "explore": "questions.exploring",
    "filters": "questions.filters",
    "neighbours": "questions.neighbours",
    "nonresponse": "questions.nonresponse",
    "outliers": "questions.outliers",
    "probe": "questions.probe",
    "rebalance": "questions.rebalancing",
    "robustness": "questions.robustness",
    "scan": "questions.scanning",
}
_OTHERS = {
    "frames": "render.frames",
    "open_result": "questions.opening_runs",
    "run": "commands",
}


if not TYPE_CHECKING:  # so that a checker of types sees a misspelt name

    def __getattr__(name: str) -> object:
        """Import the public names on first use (PEP 562), so that importing stays cheap."""
        if name not in __all__:
            raise AttributeError(f"module 'laion_probe' has no attribute '{name}'")
        if name in _QUESTIONS:
            return _question(name)
        if name.endswith("Config"):
            return _named("config", name)
        if name.endswith("Result"):
            return _named(f"{name.removesuffix('Result').lower()}_result", name)
        return _named(_OTHERS[name], name)


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return __all__


def _named(module: str, name: str) -> Any:
    """A name of a module that only this loads: written as an import it would break the layers."""
    return getattr(importlib.import_module(f"laion_probe.{module}"), name)


@functools.cache
def _question(name: str) -> object:
    """The function of that name, which refuses all but its config and says what to pass."""
    ask = _named(_QUESTIONS[name], name)
    kind: type = _named("config", ask.__annotations__["config"])

    @functools.wraps(ask)
    def question(*args: object, **options: object) -> object:
        given = args[0] if args else options.get("config")
        if not isinstance(given, kind):
            raise TypeError(_what_to_pass(name, kind.__name__, given))
        return ask(*args, **options)

    question.__module__ = __name__  # it can be pickled, for a pool of processes
    return question


def _what_to_pass(name: str, config: str, given: object) -> str:
    """What a question takes, with what was given in its place where that can be told."""
    commands = (*_named("commands", "COMMANDS"), *_named("commands", "JOBS"))
    command = next(c for c in commands if c.config.__name__ == config)
    value = repr(str(given)) if isinstance(given, str | os.PathLike) else "..."
    if "tuple" in str(command.config.model_fields[command.argument].annotation):
        value = f"({value},)"
    instead = "" if given is None else f", not {type(given).__name__}"
    return (
        f"{name}() takes a {config}{instead}: laion_probe.{name}(laion_probe.{config}("
        f"{command.argument}={value})); its fields are the options of `laion-probe "
        f"{command.name} --help`"
    )
