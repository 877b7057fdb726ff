"""Open any run's ``result.json`` as the value that its command wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from laion_probe.blocked_result import BlockedResult
from laion_probe.compare_result import CompareResult
from laion_probe.compose_result import ComposeResult
from laion_probe.data_result import DataResult
from laion_probe.datasheet_result import DatasheetResult
from laion_probe.dft_result import DftResult
from laion_probe.drift_result import DriftResult
from laion_probe.errors import ConfigError
from laion_probe.explore_result import ExploreResult
from laion_probe.filters_result import FiltersResult
from laion_probe.neighbours_result import NeighboursResult
from laion_probe.nonresponse_result import NonresponseResult
from laion_probe.outliers_result import OutliersResult
from laion_probe.probe_result import ProbeResult
from laion_probe.rebalance_result import RebalanceResult
from laion_probe.results import Document
from laion_probe.robustness_result import RobustnessResult
from laion_probe.scan_result import ScanResult
from laion_probe.testbed_result import TestbedResult

__all__ = ["KINDS", "open_result", "opened", "result_file"]

#: The command that writes a result -> the value that it writes; a datasheet writes two.
KINDS: Mapping[str, type[Document]] = MappingProxyType(
    {
        "blocked": BlockedResult,
        "compare": CompareResult,
        "compose": ComposeResult,
        "data": DataResult,
        "datasheet": DatasheetResult,
        "dft-plan": DftResult,
        "drift": DriftResult,
        "explore": ExploreResult,
        "filters": FiltersResult,
        "neighbours": NeighboursResult,
        "nonresponse": NonresponseResult,
        "outliers": OutliersResult,
        "probe": ProbeResult,
        "rebalance": RebalanceResult,
        "robustness": RobustnessResult,
        "scan": ScanResult,
        "testbed": TestbedResult,
    }
)
_FILES = ("result.json", "datasheet.json")


def open_result(place: str | Path) -> tuple[str, Document]:
    """The command that wrote a run and the result, from its folder or from its ``result.json``.

    Raises `ConfigError` where there is none, or one that another version wrote.

    >>> kind, found = open_result("runs/probe-doctor")  # doctest: +SKIP
    >>> kind  # doctest: +SKIP
    'probe'
    """
    file = result_file(Path(place))
    if file is None:
        raise ConfigError(
            f"{place} is no finished run: there is no result.json in it; give the folder that a "
            "command printed as `report:`"
        )
    try:
        return opened(file.read_bytes(), str(file))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}; give a finished run") from None


def result_file(place: Path) -> Path | None:
    """The JSON of a run's folder, or ``place`` itself where it is one; None where there is none."""
    if place.is_file():
        return place if place.suffix == ".json" else None
    return next((place / name for name in _FILES if (place / name).is_file()), None)


def opened(data: bytes, where: str) -> tuple[str, Document]:
    """`open_result` of the bytes of a file; ``where`` names it in errors."""
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"{where} is no JSON ({error}); make the run again") from None
    kind = _kind(raw)
    if kind not in KINDS:
        known = ", ".join(KINDS)
        told = f"of '{kind}'" if kind else "that names no command"
        raise ConfigError(f"{where} is a result {told}, which is not read here; known: {known}")
    try:
        return kind, KINDS[kind].model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        at = "/".join(map(str, first["loc"]))
        raise ConfigError(
            f"{where} is no result of this version of laion-probe ({at}: {first['msg'].lower()}); "
            "make the run again"
        ) from None


def _kind(raw: object) -> str:
    """The command that a result names; of a datasheet's two, which."""
    if not isinstance(raw, dict):
        return ""
    provenance = raw.get("provenance")
    command = raw.get("command", provenance.get("command") if isinstance(provenance, dict) else "")
    words = str(command).split()
    kind = words[1] if len(words) > 1 and words[0] == "laion-probe" else ""
    return "data" if kind == "datasheet" and "sections" not in raw else kind
