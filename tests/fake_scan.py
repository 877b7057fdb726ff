"""Made-up `ScanResult` values, as a run of ``scan`` would give them, for tests of its report.

Nothing here was measured.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from fake_result import HOSTILE

from laion_probe.results import Estimate, FailedUnit, InputRecord, StepEffect
from laion_probe.scan_result import (
    GroupCounts,
    LevelCounts,
    Look,
    NamedShare,
    Reading,
    ScanResult,
)

ASYMPTOTIC = "asymptotic confidence sequence of the ratio by unit"
BETTING = "betting confidence sequence of the ratio by unit"
ORDER = "units were read in a seeded random order"


def estimate(value: float, n: int, units: int, *, wide: float | None = 0.01) -> Estimate:
    """A share; ``wide`` is its half-width, 0 that of a count, None where there is no interval."""
    full = wide == 0
    return Estimate(
        value=value,
        low=None if wide is None else max(0.0, value - wide),
        high=None if wide is None else min(1.0, value + wide),
        n=n,
        units=units,
        method="full count: no sampling error" if full else ASYMPTOTIC,
        assumptions=() if full else (ORDER,),
    )


def no_estimate(method: str) -> Estimate:
    return Estimate(value=None, low=None, high=None, n=0, units=0, method=method)


def _step(name: str, reached: int, removed: Estimate, **fields: Any) -> StepEffect:
    k = round((removed.value or 0) * removed.n)
    given: dict[str, Any] = {
        "id": name,
        "kind": f"kind-of-{name}",
        "title": f"what {name} decides",
        "source": "a paper, section 3",
        "confidence": "verified",
        "simulated": "yes",
        "note": "",
        "observable": True,
        "outcomes": {"keep": reached - k, "drop": k},
        "n_reached": reached,
        "n_removed_here": k,
        "removed_share": removed,
    }
    return StepEffect(**{**given, **fields})


def _steps(n: int, units: int, wide: float | None) -> tuple[StepEffect, ...]:
    none = no_estimate("not evaluable on any row")
    blind = {"outcomes": {"not_evaluable": n}}
    needs = "needs every row: not estimable from a sample of row groups"
    rewrites = no_estimate("a rewrite or measure removes nothing")
    rewritten = {"keep": n - 561, "rewrite": 561}
    return (
        _step("alt-text", n, estimate(0.05, n, units, wide=wide)),
        _step("clean", n - 675, rewrites, outcomes=rewritten, confidence="secondary"),
        _step(
            "english",
            n - 675,
            estimate(0.57, n - 675, units, wide=wide),
            outcomes={"keep": 5000, "route:multi": n - 5000},
        ),
        _step("dedup", 5515, none, note=needs, **blind)
        if wide != 0
        else _step("dedup", 5515, estimate(0.02, 5515, units, wide=0)),
        _step(
            "similarity",
            5515,
            no_estimate("removal not observable"),
            observable=False,
            note="removal not observable: the input has passed laion5b-en before; yet 7 rows fail",
        ),
        _step("nsfw", 5515, none, simulated="partly", note="needs the NSFW tag", **blind),
        _step("size", 5515, none, simulated="no", outcomes={}, confidence="from memory"),
    )


def _levels(names: dict[str, int], n: int, units: int, wide: float | None) -> list[LevelCounts]:
    kept = {name: k // 3 for name, k in names.items()}
    return [
        LevelCounts(
            level=name,
            n=k,
            n_kept=kept[name],
            share=estimate(k / n, n, units, wide=wide),
            share_of_kept=estimate(kept[name] / sum(kept.values()), n // 3, units, wide=wide),
            kept=estimate(kept[name] / k, k, units, wide=wide),
        )
        for name, k in names.items()
    ]


def _looks(units: int, wide: float | None, value: float) -> tuple[Look, ...]:
    looks = []
    for k in range(1, units + 1):
        at = value + 0.03 * math.cos(k) / k
        half = None if wide is None or k < 30 else wide * math.sqrt(units / k)
        low, high = (None, None) if half is None else (max(at - half, 0), min(at + half, 1))
        looks.append(Look(units=k, rows=450 * k, value=at, low=low, high=high))
    return tuple(looks)


def fake_scan(kind: str = "sample", *, hostile: bool = False, n_levels: int = 60) -> ScanResult:
    """A made-up result: a "sample", a "full" read, or a "small" sample without intervals."""
    units, of = {"sample": (90, 58500), "full": (48, 48), "small": (20, 48)}[kind]
    wide = {"sample": 0.008, "full": 0.0, "small": None}[kind]
    n, full = 450 * units, kind == "full"
    followed = estimate(0.2827, n, units, wide=wide)
    betting = Estimate(value=0.2827, low=0.21, high=0.36, n=n, units=units, method=BETTING)
    languages = {"unknown": 31, **{f"l{i:02}": 700 - 11 * i for i in range(n_levels)}}
    words = HOSTILE if hostile else ("a title", "a note", "a level")
    tags = {"UNLIKELY": 5000, "unknown": 3000}
    steps = _steps(n, units, wide)
    survival = [estimate(v, n, units, wide=wide) for v in (0.95, 0.95, 0.41, 0.41, 0.29, 0.29)]
    groups = {
        ("language", "language as the recipe's detector reads it"): languages,
        ("nsfw", words[0]): tags | {w: 100 - i for i, w in enumerate(HOSTILE) if hostile},
    }
    if hostile:
        step = {"title": HOSTILE[1], "note": HOSTILE[2], "id": HOSTILE[3], "source": HOSTILE[5]}
        steps = (steps[0].model_copy(update=step), *steps[1:])
    return ScanResult(
        finding=("Rows that fake keeps: 28.27%.", f"{units} of {of} row groups were read."),
        recipe=words[0] if hostile else "fake",
        recipe_title=words[1] if hostile else "A recipe made up",
        recipe_source=words[2],
        data_note=words[6] if hostile else "",
        reading=Reading(
            n_units=of,
            n_units_tried=units,
            n_units_failed=0,
            n_rows=450 * of,
            n_rows_read=n,
            n_rows_failed=0,
            share=units / of,
            full=full,
            stopped_by="everything was read" if full else "--max-units 90",
            assumptions=() if full else ("row groups were read in the random order of seed 7",),
        ),
        share=NamedShare(
            name="kept",
            title=words[1] if hostile else "rows that fake keeps",
            estimate=followed,
            other=None if full else betting,
            price=9.375 if kind == "sample" else None,
            looks=_looks(units, wide, 0.2827),
        ),
        steps=steps,
        survival=(*survival, survival[-1]),
        groups=tuple(
            GroupCounts(name=g, title=title, levels=tuple(_levels(counts, n, units, wide)))
            for (g, title), counts in groups.items()
        ),
        notes=(words[1],),
        cannot_say=(words[2],),
        failed_units=(),
        inputs=tuple(
            InputRecord(
                kind="shard",
                name=words[0] if hostile else f"part-{i:05}.parquet",
                fingerprint=hashlib.sha256(bytes([i])).hexdigest(),
                n_rows=None if i == 2 else 1800,
                already=words[3] if hostile else "unknown",
                note=f"mapped from column {i % 2}",
            )
            for i in range(30)
        ),
        version="0.1.0",
        command=f"laion-probe scan SHARDS --recipe fake --data-note '{words[0]}'",
        config={"recipe": "fake", "seed": 7, "data_note": words[0]},
        packages={"polars": "2.1.0"},
    )


def with_failed(result: ScanResult, words: str = "HTTP 503") -> ScanResult:
    """The same with two row groups that failed, one of unknown size."""
    failed = (
        FailedUnit(unit="part-00001.parquet:3", n_rows=450, reason=words),
        FailedUnit(unit="part-00002.parquet", n_rows=None, reason="truncated"),
    )
    fields = {"n_units_failed": 2, "n_rows_failed": None, "n_rows": None}
    bounds = result.share.estimate.model_copy(update={"low": 0.25, "high": 0.31})
    return result.model_copy(
        update={
            "failed_units": failed,
            "reading": result.reading.model_copy(update=fields),
            "share": result.share.model_copy(update={"estimate": bounds}),
        }
    )


#: One of each kind of result that a report must be able to show.
CASES = {
    "sample": fake_scan(),
    "full": fake_scan("full"),
    "small": fake_scan("small"),
    "hostile": fake_scan(hostile=True),
    "failed": with_failed(fake_scan(), HOSTILE[0]),
    "full, failed": with_failed(fake_scan("full")),
    "nothing asked": fake_scan("full").model_copy(
        update={"steps": (), "survival": (), "groups": (), "notes": (), "inputs": ()}
    ),
}
