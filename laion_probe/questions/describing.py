"""What shards hold: columns, missing values, scores, duplicates, domains, languages, groups."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.config import WHO_COMPUTES
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.counts import UnitCounts
from laion_probe.data_result import DataResult
from laion_probe.errors import ConfigError
from laion_probe.groups import load_group
from laion_probe.language import DETECTORS
from laion_probe.questions.counted import Counted
from laion_probe.questions.describing_facts import (
    columns_of,
    contacts_of,
    domains_of,
    groups_of,
    repeated_of,
    scores_of,
    sizes_of,
)
from laion_probe.questions.describing_unit import (
    DOMAIN,
    KEYS,
    MISSED,
    DescribePlan,
    DescribeWork,
    most_frequent,
    score_of,
)
from laion_probe.questions.inputs import (
    already_passed,
    cache_folder,
    note_beside,
    repeat_command,
    shard_records,
)
from laion_probe.questions.reading import planned_units, random_order, rows_of
from laion_probe.questions.repeating import without_folders
from laion_probe.questions.scanning import check_failed, run_options
from laion_probe.records import CANONICAL
from laion_probe.results import FailedUnit
from laion_probe.runners import Failure, run_in_order
from laion_probe.scan_result import Reading
from laion_probe.shards import Unit, list_shards, list_units
from laion_probe.store import Partials, versions
from laion_probe.unit_scan import UnitScan, decode_scan, encode_scan

__all__ = ["describe"]

#: Called after each unit with (units done, of, rows so far).
Watch = Callable[[int, int, int], None]

#: About so many keys of one kind are held at once, each with its rows: of more rows only those that
#: a hash chooses. A key takes one place for every row group that has it, however many rows it
#: stands on, so that one very frequent caption exceeds this by the number of row groups at most.
_KEYS_HELD = 8_000_000


@dataclass
class _Run:
    """What has come in so far; ``domains`` and ``missed`` as `most_frequent` has them.

    ``summed`` has what may take many values and is asked of all units together, even of a sample.
    """

    counted: Counted
    summed: Counted
    n_rows: int = 0
    ready: list[Unit] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    domains: dict[str, int] = field(default_factory=dict)
    missed: int = 0

    def add(self, unit: Unit, result: UnitScan | Failure) -> None:
        if isinstance(result, Failure):
            self.failures.append(result)
            return
        self.ready.append(unit)
        cells = result.counts.cells
        self.n_rows += sum(c[4] for c in cells if c[0] == "rows")
        # domains have no end, and are followed apart
        rest = [c for c in cells if c[0] not in (DOMAIN, MISSED)]
        values = score_of("")
        self.summed.add_cells(c for c in rest if c[0].startswith(values))
        by_unit = tuple(c for c in rest if not c[0].startswith(values))
        self.counted.add(UnitCounts(unit.id, by_unit))
        mine = Counter({c[1]: c[4] for c in cells if c[0] == DOMAIN})
        self.domains, off = most_frequent(dict(Counter(self.domains) + mine))
        self.missed += off + sum(c[4] for c in cells if c[0] == MISSED)


def describe(config: DatasheetConfig, watch: Watch = lambda done, of, rows: None) -> DataResult:
    """Count what the shards hold, in one pass, or in a random sample of their row groups.

    Duplicates need every row: of a sample they are not counted. Of more than eight million rows
    those of some keys are, by a hash. Finished units are kept under ``config.cache``. Raises a
    `LaionProbeError` that says what to do when an input cannot be used.

    >>> found = describe(DatasheetConfig(shards=("data/demo/shards",)))  # doctest: +SKIP
    >>> [x.name for x in found.scores][:2]  # doctest: +SKIP
    ['characters', 'words']
    """
    shards = list_shards(config.shards, config.columns)
    groups, left_out = _groups(config, {c for s in shards for c in s.columns.source})
    units = list_units(shards)
    order = random_order(units, config.seed)
    chosen = order[: planned_units(config, order)]
    sampled = len(chosen) < len(units)
    already, already_note = already_passed(config.already, shards)
    expected = sum(rows_of(units))
    plan = DescribePlan(groups, 0 if sampled else max(1, int(np.ceil(expected / _KEYS_HELD))))
    kept: Partials[UnitScan] = Partials(
        cache_folder(config) / "described" / plan.fingerprint, encode_scan, decode_scan
    )
    run = _Run(
        Counted(len(units), config.level, sampled=sampled),
        Counted(1, config.level, sampled=False),
    )
    results = run_in_order(chosen, DescribeWork(plan), run_options(config), kept)
    with contextlib.closing(results):
        for done, (unit, result) in enumerate(results, 1):
            run.add(unit, result)
            watch(done, len(chosen), run.n_rows)
    sizes = dict(zip((u.id for u in units), rows_of(units), strict=True))
    check_failed(run.failures, [sizes[u.id] for u in chosen], sizes, config)
    for failure in run.failures:
        run.counted.lose(sizes[failure.unit.id])
    repeated = (
        ()
        if sampled
        else tuple(
            repeated_of(
                key, _times(run.ready, kept, i), plan.one_in, config.level, run.counted.lost
            )
            for i, key in enumerate(KEYS)
        )
    )
    found = columns_of(run.counted, shards)
    behind = already.name if already else config.already or "unknown"
    in_sample = (found.counts for found in _kept(run.ready if sampled else (), kept))
    return DataResult(
        data_note=config.data_note or note_beside(shards),
        reading=_reading(config, units, chosen, sizes, run),
        already=behind,
        already_note=already_note,
        detector=config.detector,
        columns=found,
        absent=tuple(c for c in CANONICAL if not any(c in s.columns.source for s in shards)),
        n_files=len(shards),
        n_bytes=sum(s.file.size or 0 for s in shards),
        scores=scores_of(run.counted, run.summed, run.n_rows),
        sizes=sizes_of(run.counted),
        repeated=tuple(r for r in repeated if r.n_rows),
        why_no_repeats="a sample of row groups cannot tell how often a row occurs elsewhere"
        if sampled
        else "",
        domains=domains_of(run.counted, run.domains, run.missed, in_sample),
        groups=groups_of(run.counted, groups),
        contacts=contacts_of(run.counted),
        notes=(
            *dict.fromkeys(f"{s.name}: {n}" for s in shards for n in s.columns.notes),
            *(
                f"rows were not counted by {name}, since no file has its column"
                for name in left_out
            ),
        ),
        cannot_say=_cannot_say(behind == "unknown", run.failures),
        failed_units=tuple(
            FailedUnit(unit=f.unit.label, n_rows=f.unit.n_rows, reason=f.reason)
            for f in run.failures
        ),
        inputs=shard_records(shards, behind, already_note),
        version=__version__,
        command=repeat_command("datasheet", config),
        config=without_folders(config).model_dump(
            mode="json", exclude={*WHO_COMPUTES, "shards", "answers", "recipe"}
        ),
        packages=versions(),
    )


def _groups(config: DatasheetConfig, have: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The groups to count by, and those for which no file has a column.

    Beside what a detector reads, the rows' own language tags are counted where there are any.
    """
    if len(set(config.by)) != len(config.by):
        raise ConfigError(f"a group is named twice: {', '.join(config.by)}")
    named = config.by
    if config.detector != "none":
        DETECTORS[config.detector]
        tag = ("language-tag",) if "language" in have and "language-tag" not in named else ()
        named = (f"language:{config.detector}", *tag, *named)
    can = tuple(name for name in named if set(load_group(name).needs) <= {"text", *have})
    return can, tuple(name for name in named if name not in can)


def _kept(units: Sequence[Unit], kept: Partials[UnitScan]) -> Iterator[UnitScan]:
    """What was kept of these units, one after the other."""
    for unit in units:
        found = kept.load(unit)
        if found is None:
            raise ConfigError(f"{unit.label}: what was kept of it has gone; run again")
        yield found


def _times(units: Sequence[Unit], kept: Partials[UnitScan], kind: int) -> NDArray[np.int64]:
    """How many rows of these units each key of one kind stands on, (k,), in no order."""
    parts = [
        found.rows.filter(pl.col("kind") == kind).select("key", "rows")
        for found in _kept(units, kept)
        if found.rows is not None
    ]
    if not parts:
        return np.zeros(0, dtype=np.int64)
    summed = pl.concat(parts).group_by("key").agg(pl.col("rows").cast(pl.Int64).sum())
    return summed["rows"].to_numpy()


def _reading(
    config: DatasheetConfig,
    units: Sequence[Unit],
    chosen: Sequence[Unit],
    sizes: dict[str, float],
    run: _Run,
) -> Reading:
    full = len(chosen) == len(units)
    known = [u.n_rows for u in units]
    lost = [f.unit.n_rows for f in run.failures]
    total = sum(sizes.values())
    assumptions: tuple[str, ...] = ()
    if not full:
        assumptions = (
            f"the row groups that were read are the first {len(chosen)} of the random order of "
            f"seed {config.seed}, a number that was settled beforehand: a simple random sample",
            "intervals are by row group, since rows of one group resemble each other",
        )
    return Reading(
        n_units=len(units),
        n_units_tried=len(chosen),
        n_units_failed=len(run.failures),
        n_rows=None if None in known else sum(n for n in known if n is not None),
        n_rows_read=run.n_rows,
        n_rows_failed=None if None in lost else sum(n for n in lost if n is not None),
        share=1.0 if full else sum(sizes[u.id] for u in chosen) / total if total else 0.0,
        full=full,
        stopped_by="every row group was tried" if full else "the sample was of this size",
        assumptions=assumptions,
    )


def _cannot_say(unknown: bool, failures: Sequence[Failure]) -> tuple[str, ...]:
    said = [
        "What the pictures of the rows show: shards were counted by captions, addresses and "
        "scores, and no picture was looked at for that.",
        "Who a person is: captions name people by words that are on our lists, and one that names "
        "nobody may belong to a picture of somebody.",
        "Near-duplicates: only exact repetitions of addresses and captions were counted.",
        "Which personal data the rows hold: captions and addresses were searched for what is "
        "written like an e-mail address or a telephone number, and not for home addresses, account "
        "numbers or faces; a name is found only where a list has it.",
    ]
    if unknown:
        said.append("Which filters the rows had passed before: that is not in the files.")
    if failures:
        said.append(f"What is in the {len(failures)} row groups that could not be read.")
    return tuple(said)
