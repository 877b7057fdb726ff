"""What a scan would read and take, from a few row groups or from what is known of a public set."""

from __future__ import annotations

import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from scipy.special import stdtrit

from laion_probe.config import PlanConfig
from laion_probe.errors import ConfigError, ShardError
from laion_probe.groups import load_group
from laion_probe.public_sets import BYTES_PER_ROW, PUBLIC_SETS
from laion_probe.questions.reading import random_order, rows_of
from laion_probe.recipes import load_recipe
from laion_probe.shards import list_shards, list_units
from laion_probe.sources import fetched_bytes
from laion_probe.unit_scan import Plan, count_rows, count_unit

__all__ = ["ScanPlan", "plan"]

#: Row groups that are measured, and rows of made-up captions where there is no shard to measure.
_MEASURED, _BUILT_IN = 6, 20_000
#: Bytes a row that are kept on disk for the steps that need every row.
_BYTES_KEPT = 30
_MORE_CORES = "more cores are taken to be as fast as this one, disks and network to keep up"
_CAPTIONS = (
    "a photograph of a doctor in a hospital",
    "Wooden dining table with six chairs, oak, 180 cm",
    "Salman Khan at the premiere of his new film in Mumbai",
    "médecin avec un stéthoscope dans un hôpital",
    "Vintage 1960s poster, 24 x 36 in, free shipping &amp; returns",
    "एक महिला साड़ी में",
    "IMG_2041.jpg",
    "Kücheneinrichtung in Weiß mit Holzplatte und Insel",
    "red running shoes for women | size 7",
    "日本の庭園の写真",
    "How to tie a scarf: twelve ways, with pictures, for every season of the year and any coat",
    "Casa en venta en la playa, 3 habitaciones",
)


@dataclass(frozen=True)
class ScanPlan:
    """Rows and bytes are counts (``exact``) or estimates; seconds are of one core of this machine.

    ``seconds_error`` is half of a 95 % interval of ``seconds``; ``memory`` is the peak of a worker
    in bytes; ``fetch_s`` the seconds of fetching that are part of ``seconds`` (0 for local files).
    """

    name: str
    n_units: int | None
    n_rows: float
    exact: bool
    n_bytes: float
    seconds: float
    seconds_error: float
    memory: int
    cores: tuple[int, ...]
    keeps: float  # bytes on disk for steps that need every row
    basis: str
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """For a terminal."""
        about = "" if self.exact else "about "
        groups = "" if self.n_units is None else f" in {self.n_units:,} row groups"
        out = [
            f"{self.name}: {about}{self.n_rows:,.0f} rows{groups}",
            f"  to fetch: {about}{_bytes(self.n_bytes)} (only the needed columns)",
            f"  memory:   {_bytes(self.memory)} a worker",
            *(
                f"  time:     {_time(self.seconds / n)} ± {_time(self.seconds_error / n)} on "
                f"{n} core{'s' if n > 1 else ''}" + (", as many as here" if n == _CORES else "")
                for n in sorted({*self.cores, _CORES})
            ),
        ]
        if self.keeps:
            out.append(f"  on disk:  {_bytes(self.keeps)} for the steps that need every row")
        return [*out, f"  measured: {self.basis}", *(f"  note:     {n}" for n in self.notes)]


_CORES = os.cpu_count() or 1


def plan(config: PlanConfig) -> ScanPlan:
    """Measure a scan on a few row groups, or on built-in captions for a public set by name."""
    recipe = load_recipe(config.recipe)
    for name in config.by:
        load_group(name)
    for cores in config.cores:
        if cores < 1:
            raise ConfigError(f"cores is {cores}: give numbers from 1 up")
    work = Plan(recipe, config.by, "keep")
    public = {name.lower(): name for name in PUBLIC_SETS}
    if len(config.shards) == 1 and config.shards[0].lower() in public:
        return _from_facts(public[config.shards[0].lower()], work, config.cores)
    return _from_units(config, work)


def _from_units(config: PlanConfig, work: Plan) -> ScanPlan:
    units = list_units(list_shards(config.shards, config.columns))
    order = random_order(units, config.seed)
    rates: list[tuple[int, float]] = []
    failed: list[str] = []
    n_rows_measured = n_bytes_measured = 0
    before = fetched_bytes()
    for unit in order:
        if len(rates) == _MEASURED:
            break
        if unit.n_rows == 0:
            continue
        started = time.perf_counter()
        try:
            counts = count_unit(unit, work).counts
        except ShardError as error:
            failed.append(str(error))
            continue
        rates.append((counts.n_rows, time.perf_counter() - started))
        n_rows_measured += counts.n_rows
        n_bytes_measured += unit.n_bytes
    if not rates:
        raise ShardError(f"no row group could be read: {failed[0]}")
    # the first one loads models and warms caches
    used = rates[1:] or rates
    n_bytes = sum(u.bytes_of(work.columns(u)) for u in units)
    n_rows = sum(rows_of(units))
    if unknown := sum(u.n_bytes for u in units if u.n_rows is None):
        n_rows = sum(u.n_rows or 0 for u in units) + unknown * n_rows_measured / n_bytes_measured
    notes = [f"{len(failed)} row groups failed on the way, first: {failed[0]}"] if failed else []
    fetched = fetched_bytes() - before
    basis = f"{len(rates)} row groups, {n_rows_measured:,} rows, {_bytes(fetched)} fetched"
    return _extrapolate(
        f"{len({u.shard.file.url for u in units})} files",
        len(units),
        n_rows,
        all(u.n_rows is not None for u in units),
        n_bytes,
        used,
        work,
        config.cores,
        basis,
        notes,
    )


def _from_facts(name: str, work: Plan, cores: tuple[int, ...]) -> ScanPlan:
    facts = PUBLIC_SETS[name]
    needed = {c for s in work.recipe.step for c in s.needs}
    needed |= {c for g in work.groups for c in load_group(g).needs}
    missing = sorted(needed & set(facts.lacks))
    texts = [f"{_CAPTIONS[i % len(_CAPTIONS)]} {i}" for i in range(_BUILT_IN)]
    rows = pl.DataFrame(
        {
            "url": [f"https://site{i % 997}.example/img/{i}.jpg" for i in range(_BUILT_IN)],
            "text": texts,
            "width": [400 + i % 900 for i in range(_BUILT_IN)],
            "height": [300 + i % 700 for i in range(_BUILT_IN)],
            "similarity": [0.25 + (i % 100) / 500 for i in range(_BUILT_IN)],
            **{c: [0.1] * _BUILT_IN for c in ("punsafe", "pwatermark", "aesthetic")},
            "language": ["en"] * _BUILT_IN,
            "nsfw": ["UNLIKELY"] * _BUILT_IN,
        }
    )
    rates = []
    for start in range(0, _BUILT_IN, _BUILT_IN // _MEASURED):
        part = rows.slice(start, _BUILT_IN // _MEASURED)
        started = time.perf_counter()
        count_rows("built-in", part, work)
        rates.append((len(part), time.perf_counter() - started))
    notes = [
        f"from built-in facts ({facts.confidence}), without the network: {facts.n_files} parquet "
        "files; name the shards themselves to measure them",
        "time is of computing alone: fetching at 100 MB/s would take "
        + _time(facts.n_rows * _row_bytes(needed, facts.lacks) / 1e8),
    ]
    if missing:
        notes.append(f"not evaluable, since its metadata lack them: {', '.join(missing)}")
    if facts.already:
        notes.append(f"it has passed {facts.already}: what that removed cannot be observed")
    basis = f"{_BUILT_IN:,} made-up captions of about 40 characters, on this machine"
    n_bytes = facts.n_rows * _row_bytes(needed, facts.lacks)
    return _extrapolate(
        name, None, facts.n_rows, False, n_bytes, rates[1:], work, cores, basis, notes
    )


def _row_bytes(needed: set[str], lacks: Sequence[str]) -> float:
    return sum(BYTES_PER_ROW.get(c, 0.0) for c in needed - set(lacks))


def _extrapolate(
    name: str,
    n_units: int | None,
    n_rows: float,
    exact: bool,
    n_bytes: float,
    rates: Sequence[tuple[int, float]],
    work: Plan,
    cores: tuple[int, ...],
    basis: str,
    notes: Sequence[str],
) -> ScanPlan:
    """Seconds by the ratio of seconds to rows, with the error of that ratio."""
    rows, seconds = sum(n for n, _ in rates), sum(s for _, s in rates)
    each = seconds / rows
    error = math.inf
    m = len(rates)
    if m > 1:
        spread = statistics.fmean((s - each * n) ** 2 for n, s in rates) * m / (m - 1)
        error = float(stdtrit(m - 1, 0.975)) * math.sqrt(spread * m) / rows * n_rows
    scale = 1 if sys.platform == "darwin" else 1024
    return ScanPlan(
        name=name,
        n_units=n_units,
        n_rows=n_rows,
        exact=exact,
        n_bytes=n_bytes,
        seconds=each * n_rows,
        seconds_error=error,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale,
        cores=cores,
        keeps=_BYTES_KEPT * n_rows if work.set_steps else 0.0,
        basis=basis,
        notes=(
            *notes,
            _MORE_CORES,
        ),
    )


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


def _time(seconds: float) -> str:
    if math.isinf(seconds):
        return "unknown"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
