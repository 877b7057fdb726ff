"""What a recipe does to a data set of any size: exactly, or from a sample of its units."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import polars as pl

from laion_probe.config import DataConfig, ScanConfig
from laion_probe.counts import ALL
from laion_probe.errors import ConfigError, ShardError, UnknownName
from laion_probe.groups import load_group
from laion_probe.questions.accounting import account
from laion_probe.questions.domains import DOMAIN, name_domains
from laion_probe.questions.inputs import cache_folder
from laion_probe.questions.reading import Limits, Sample, random_order, rows_of
from laion_probe.questions.shares import named_share, needs_all
from laion_probe.recipes import load_recipe
from laion_probe.runners import Failure, RunOptions, Work, run_in_order
from laion_probe.scan_result import ScanResult
from laion_probe.sequence import SEQUENCES, Stream
from laion_probe.sets import SetRows, decide_sets, verdicts
from laion_probe.shards import Unit, list_shards, list_units
from laion_probe.steps import Outcome
from laion_probe.store import Partials
from laion_probe.unit_scan import (
    OUTCOMES,
    CountWork,
    Plan,
    UnitScan,
    by_pattern,
    decode_scan,
    encode_scan,
)

__all__ = ["Watch", "check_failed", "kept_rows", "run_options", "scan"]

H = TypeVar("H", bound="_HasRows")

#: Called after each unit with the sample so far and the number of all units.
Watch = Callable[[Sample, int], None]


def scan(config: ScanConfig, watch: Watch = lambda sample, n_units: None) -> ScanResult:
    """Run a recipe over shards and count who is left, with intervals where not all is read.

    With a limit (``until``, ``max_rows`` ...) row groups are read in a seeded random order, and the
    estimate uses the contiguous beginning of that order; without one everything is read. Finished
    units are kept under ``config.cache``, so that the same command goes on where it was ended.
    Raises a `LaionProbeError` that says what to do when an input cannot be used.
    """
    if config.sequence not in SEQUENCES:
        raise UnknownName("sequence", config.sequence, SEQUENCES)
    recipe = load_recipe(config.recipe)
    if len(set(config.by)) != len(config.by):
        raise ConfigError(f"a group is named twice: {', '.join(config.by)}")
    for name in config.by:
        if name != DOMAIN:  # its levels are not known yet
            load_group(name)
    named_share(config.share, recipe, config.by)  # a wrong name is said before anything is read
    shards = list_shards(config.shards, config.columns)
    units = list_units(shards)
    order = random_order(units, config.seed)
    config = config.model_copy(update={"by": name_domains(config.by, order)})
    plan = Plan(recipe, config.by, "skip")
    limits = Limits.of(config, order, lambda u: u.bytes_of(plan.columns(u)))
    share = named_share(config.share, recipe, config.by, sampling=limits.any)
    if not limits.any:
        plan = Plan(recipe, config.by, "keep")
    elif needs_all(config.share, recipe):
        raise ConfigError(
            f"share '{config.share}' needs every row and cannot be estimated from a sample of row "
            "groups: leave out --until and --max-…, or follow another share"
        )
    sizes = dict(zip((u.id for u in order), rows_of(order), strict=True))
    if limits.any and config.sequence == "betting" and not _known(order):
        raise ConfigError(
            "--sequence betting must know the rows of the largest row group, and some of these "
            "files do not say how many rows they hold: use the default sequence, or parquet"
        )
    sequence = config.sequence if limits.any else "asymptotic"  # a full scan only shows it live
    sample = Sample(share, _stream(config, order, limits), sequence, limits.any)
    kept: Partials[UnitScan] = Partials(
        cache_folder(config) / "scans" / plan.fingerprint, encode_scan, decode_scan
    )
    reason = ""
    work: Work[UnitScan] = CountWork(plan)
    results = run_in_order(order, work, run_options(config), kept)
    with contextlib.closing(results):
        for unit, result in results:
            if isinstance(result, Failure):
                sample.fail(result, sizes[unit.id])
            else:
                sample.add(result.counts, sizes[unit.id])
            watch(sample, len(order))
            reason = limits.reached(sample.n_tried, sample.half_width())
            if reason:
                break
    tried = order[: sample.n_tried]
    check_failed(sample.failures, [sizes[u.id] for u in tried], sizes, config)
    if plan.sets == "keep" and plan.set_steps:
        _decide_sets(sample, plan, units, kept)
    return account(config, recipe, shards, order, sample, reason)


def run_options(config: DataConfig) -> RunOptions:
    """Who computes, as the config says."""
    return RunOptions(
        runner=config.runner,
        workers=config.workers,
        ray_address=config.ray_address,
        retries=config.retries,
    )


def check_failed(
    failed: Sequence[Failure], tried: Sequence[float], sizes: dict[str, float], config: DataConfig
) -> None:
    """Raise a `ShardError` that lists the failures when they hold too large a share of the rows.

    ``tried`` has the rows of all units that were tried, failed ones included.
    """
    if not failed:
        return
    lost = sum(sizes[f.unit.id] for f in failed) / sum(tried) if sum(tried) else 1.0
    if lost > config.max_failed_share or len(failed) == len(tried):
        listed = "".join(f"\n  {f.reason}" for f in failed[:50])
        more = f"\n  … and {len(failed) - 50} more" if len(failed) > 50 else ""
        raise ShardError(
            f"{len(failed)} of {len(tried)} units failed, with about {lost:.1%} of the rows that "
            f"were tried; fetch their shards again, or allow it with --max-failed-share (finished "
            f"units are kept):{listed}{more}"
        )


class _HasRows(Protocol):
    @property
    def rows(self) -> pl.DataFrame | None: ...


def kept_rows(units: Sequence[Unit], kept: Partials[H]) -> Iterator[pl.DataFrame]:
    """What was kept of every row, unit by unit; a `ShardError` where it has gone."""
    for unit in units:
        found = kept.load(unit)
        if found is None or found.rows is None:
            raise ShardError(f"{unit.label}: what was kept of it has gone; run again")
        yield found.rows


def _known(units: Sequence[Unit]) -> bool:
    """Whether all files that can be opened say how many rows they hold."""
    return all(u.n_rows is not None for u in units if not u.shard.error)


def _stream(config: ScanConfig, order: Sequence[Unit], limits: Limits) -> Stream:
    sizes = rows_of(order)
    known = _known(order)
    return Stream(
        level=config.level,
        population=len(order),
        planned=limits.units,
        half_width=config.until,
        largest=max(sizes) if known and max(sizes) > 0 else None,
    )


def _decide_sets(
    sample: Sample, plan: Plan, units: Sequence[Unit], kept: Partials[UnitScan]
) -> None:
    """Decide the steps that need the whole set, and count the rows with these verdicts."""
    failed = {f.unit.id for f, _ in sample.failed}
    ready = [u for u in units if u.id not in failed]

    def frames() -> Iterator[pl.DataFrame]:
        return kept_rows(ready, kept)

    tally = sample.tally
    n_rows = tally.n_rows
    # counted again below, with the verdicts
    tally.counts = {k: n for k, n in tally.counts.items() if k.group not in (ALL, *plan.groups)}
    with verdicts(kept.folder, n_rows) as (hits, scratch):
        for place, frame in SetRows(frames, n_rows, scratch).read("hits"):
            hits[place] = frame["hits"].to_numpy()
        sample.frozen = decide_sets(plan.recipe, SetRows(frames, n_rows, scratch), hits)
        for place, frame in SetRows(frames, n_rows, scratch).read("blind", *plan.groups):
            decided = frame.with_columns(pl.Series("hits", hits[place]))
            tally.add_cells(by_pattern(decided, plan.groups))
            for step in plan.set_steps:
                again = int(((hits[place] >> step) & 1).sum())
                name = f"{OUTCOMES}{step}"
                tally.add_cells(
                    [
                        (name, Outcome.KEEP.name, 0, 0, -again),
                        (name, Outcome.DROP.name, 0, 0, again),
                    ]
                )
    sample.looks.clear()  # they were of the share before these steps
