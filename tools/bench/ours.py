"""Our side: run as a module, it does one task once, in a fresh process, and prints a line of JSON.

What is slow to import is imported by the task: workers import this module as well.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def scan(path: str, recipe: str, runner: str, workers: str, cache: str) -> dict[str, Any]:
    """A scan with an empty cache, everything included; when each unit's result was there."""
    from laion_probe.config import ScanConfig
    from laion_probe.questions.scanning import scan

    config = ScanConfig(
        shards=(path,),
        recipe=recipe,
        by=("nsfw",),
        cache=cache,
        runner=runner,  # type: ignore[arg-type]
        workers=int(workers),
    )
    ticks: list[float] = []
    start = time.perf_counter()
    result = scan(config, lambda sample, n_units: ticks.append(time.perf_counter()))
    end = time.perf_counter()
    if len(ticks) != result.reading.n_units:
        raise SystemExit(f"{len(ticks)} ticks for {result.reading.n_units} units")
    return {
        "call_s": end - start,
        "ticks_s": [t - start for t in ticks],
        "rows": result.reading.n_rows_read,
        "kept": kept_of(result),
    }


def kept_of(result: Any) -> dict[str, int]:
    """Rows kept, by NSFW, as the bare filter gives them."""
    (group,) = result.groups
    return {level.level: level.n_kept for level in group.levels if level.n_kept}


def kept(path: str) -> dict[str, Any]:
    """The same from the ``result.json`` of a run of the command line."""
    from laion_probe.scan_result import ScanResult

    return {"kept": kept_of(ScanResult.from_json(Path(path).read_text(encoding="utf-8")))}


def recipe(path: str, name: str, cache: str) -> dict[str, Any]:
    """A scan with a published recipe, in one process."""
    from laion_probe.config import ScanConfig
    from laion_probe.questions.scanning import scan

    config = ScanConfig(shards=(path,), recipe=name, cache=cache, runner="serial")
    start = time.perf_counter()
    result = scan(config)
    return {"call_s": time.perf_counter() - start, "rows": result.reading.n_rows_read}


def filters(path: str, recipe: str, cache: str) -> dict[str, Any]:
    """What `laion-probe filters` does before its report, in one process."""
    from laion_probe.config import FiltersConfig
    from laion_probe.questions.filters import filters

    config = FiltersConfig(
        shards=(path,),
        recipe=(recipe,),
        by=("script", "length"),
        detectors=(),
        cache=cache,
        runner="serial",
    )
    rows = 0

    def watch(done: int, of: int, so_far: int) -> None:
        nonlocal rows
        rows = so_far

    start = time.perf_counter()
    filters(config, watch)
    return {"call_s": time.perf_counter() - start, "rows": rows}


def detector(path: str, name: str, n: str) -> dict[str, Any]:
    """A language detector on the first captions, after a few that load its model."""
    import polars as pl

    from laion_probe.language import make_detector

    texts = pl.scan_parquet(path).select("TEXT").head(int(n)).collect()["TEXT"].to_list()
    detect = make_detector(name)
    detect(texts[:20])
    start = time.perf_counter()
    detect(texts)
    return {"call_s": time.perf_counter() - start, "rows": len(texts)}


TASKS = {"scan": scan, "kept": kept, "recipe": recipe, "filters": filters, "detector": detector}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
