"""From what a scan has counted to its result: steps, groups, notes and the finding."""

from __future__ import annotations

import math
from collections.abc import Sequence

from laion_probe import __version__
from laion_probe.config import WHO_COMPUTES, ScanConfig
from laion_probe.counts import ALL, Key, Tally
from laion_probe.groups import UNKNOWN, load_group
from laion_probe.questions.effects import no_removal, passed_before
from laion_probe.questions.finding import exchanged_sizes
from laion_probe.questions.inputs import (
    already_passed,
    note_beside,
    repeat_command,
    shard_records,
)
from laion_probe.questions.reading import Sample, Share, rows_of
from laion_probe.questions.repeating import without_folders
from laion_probe.questions.shares import check_levels, kept_by, removed_by, survivors
from laion_probe.recipes import Recipe
from laion_probe.results import Estimate, FailedUnit, StepEffect
from laion_probe.scan_result import GroupCounts, LevelCounts, NamedShare, Reading, ScanResult
from laion_probe.shards import Shard, Unit
from laion_probe.steps import Outcome
from laion_probe.store import versions
from laion_probe.unit_scan import OUTCOMES, SIZES

__all__ = ["account"]


def account(
    config: ScanConfig,
    recipe: Recipe,
    shards: tuple[Shard, ...],
    order: Sequence[Unit],
    sample: Sample,
    reason: str,
) -> ScanResult:
    """Everything that is reported, from the sample and why it ended."""
    already, note = already_passed(config.already, shards)
    reading = _reading(config, order, sample, reason)
    named = _named(sample)
    steps = tuple(_effect(i, recipe, sample, already, reading) for i in range(len(recipe.step)))
    records = shard_records(shards, already.name if already else config.already or "unknown", note)
    notes = _notes(sample.tally, shards)
    return ScanResult(
        finding=_finding(recipe, steps, sample, named, reading),
        recipe=recipe.name,
        recipe_title=recipe.title,
        recipe_source=recipe.source,
        data_note=config.data_note or note_beside(shards),
        reading=reading,
        share=named,
        steps=steps,
        survival=tuple(sample.of(survivors(recipe, i)) for i in range(len(recipe.step))),
        groups=tuple(_group(name, recipe, sample) for name in config.by),
        notes=notes,
        cannot_say=_cannot_say(recipe, steps, sample, reading),
        failed_units=tuple(
            FailedUnit(unit=f.unit.label, n_rows=f.unit.n_rows, reason=f.reason)
            for f, _ in sample.failed
        ),
        inputs=records,
        version=__version__,
        command=_command(config, reading),
        config=without_folders(config).model_dump(
            mode="json", exclude={*WHO_COMPUTES, "shards", "max_time"}
        ),
        packages=versions(),
    )


def _named(sample: Sample) -> NamedShare:
    sample.look()
    estimate, other = sample.estimate(), sample.other()
    price = None
    if other is not None and other.method == estimate.method:
        other = None  # too few hits for the asymptotic one: betting speaks in its place
    if other is not None and sample.half_width():
        pair = sorted((estimate, other), key=lambda e: "betting" in e.method)
        narrow, wide = ((e.high or 0) - (e.low or 0) for e in pair)
        price = wide / narrow if narrow else None
    return NamedShare(
        name=sample.share.name,
        title=sample.share.title,
        estimate=estimate,
        other=other,
        price=price,
        looks=tuple(sample.looks),
    )


def _reading(config: ScanConfig, order: Sequence[Unit], sample: Sample, reason: str) -> Reading:
    tried = sample.n_tried
    full = tried == len(order)
    sizes = rows_of(order)
    known = [u.n_rows for u in order]
    lost = [f.unit.n_rows for f, _ in sample.failed]
    assumptions: tuple[str, ...] = ()
    if not full:
        assumptions = (
            f"row groups were read in the random order of seed {config.seed}, and the first "
            f"{tried} of that order count, whichever came back first: they stand for the others",
            "intervals are by row group, since rows of one group resemble each other, and hold at "
            "every moment at which one could have stopped",
        )
    return Reading(
        n_units=len(order),
        n_units_tried=tried,
        n_units_failed=len(sample.failed),
        n_rows=None if None in known else sum(n for n in known if n is not None),
        n_rows_read=sample.tally.n_rows,
        n_rows_failed=None if None in lost else sum(n for n in lost if n is not None),
        share=1.0 if full else sum(sizes[:tried]) / sum(sizes),
        full=full,
        stopped_by=reason if reason and not full else "every row group was tried",
        assumptions=assumptions,
    )


def _effect(
    i: int, recipe: Recipe, sample: Sample, already: Recipe | None, reading: Reading
) -> StepEffect:
    step, tally = recipe.step[i], sample.tally
    bit, before = 1 << i, sum(1 << j for j in recipe.deciding if j < i)
    decides = i in recipe.deciding
    observable = already is None or not already.passed(step)
    blind = tally.sum(lambda k: k.group == ALL and bool(k.blind & bit)) if decides else 0
    here = tally.sum(lambda k: k.group == ALL and not k.hits & before and bool(k.hits & bit))
    notes = [step.note, sample.frozen.get(step.id, "")]
    if blind and step.role == "set" and sample.sampling:
        notes.append("needs every row: not estimable from a sample of row groups")
        if reading.full:
            notes.append(
                "all were read in the end, but that was not known before: leave out the "
                "limit to decide it"
            )
    elif blind:
        notes.append(f"not evaluable on {blind} rows: the column or score is missing")
    if not observable and already:
        notes += passed_before(already, step, here)
    if not decides:
        removed = _no_estimate(no_removal(step))
    elif not observable:
        removed = _no_estimate("removal not observable")
    else:
        removed = sample.of(removed_by(recipe, i))
        if removed.n == 0:
            removed = _no_estimate("not evaluable on any row")
    outcomes = {
        o.name.lower(): tally.counts.get(Key(f"{OUTCOMES}{i}", o.name, 0, 0), 0) for o in Outcome
    }
    return StepEffect(
        id=step.id,
        kind=step.kind,
        title=step.title,
        source=step.source or recipe.source,
        confidence=step.confidence or recipe.confidence,
        simulated=step.simulated,
        note="; ".join(n for n in notes if n),
        observable=observable,
        outcomes={name: n for name, n in outcomes.items() if n},
        n_reached=tally.sum(lambda k: k.group == ALL and not k.hits & before),
        n_removed_here=here if decides else 0,
        removed_share=removed,
    )


def _group(name: str, recipe: Recipe, sample: Sample) -> GroupCounts:
    kept = kept_by(recipe)
    counts: dict[str, list[int]] = {}
    for key, n in sample.tally.counts.items():
        if key.group == name:
            row = counts.setdefault(key.level, [0, 0])
            row[0] += n
            row[1] += n if kept(key) else 0
    levels = sorted(counts, key=lambda level: (level == UNKNOWN, -counts[level][0], level))
    check_levels(name, len(levels))

    def one(level: str) -> LevelCounts:
        def mine(key: Key) -> bool:
            return key.level == level

        return LevelCounts(
            level=level,
            n=counts[level][0],
            n_kept=counts[level][1],
            share=sample.of(Share("", "", lambda key: key.group == name, mine)),
            share_of_kept=sample.of(
                Share("", "", lambda key: key.group == name and kept(key), mine)
            ),
            kept=sample.of(Share("", "", lambda key: key.group == name and mine(key), kept)),
        )

    return GroupCounts(
        name=name, title=load_group(name).title, levels=tuple(one(level) for level in levels)
    )


def _no_estimate(method: str) -> Estimate:
    return Estimate(value=None, low=None, high=None, n=0, units=0, method=method)


def _notes(tally: Tally, shards: tuple[Shard, ...]) -> tuple[str, ...]:
    notes = dict.fromkeys(f"{s.name}: {note}" for s in shards for note in s.columns.notes)
    agree = tally.counts.get(Key(SIZES, "agree", 0, 0), 0)
    exchanged = tally.counts.get(Key(SIZES, "exchanged", 0, 0), 0)
    if exchanged > agree:
        notes[exchanged_sizes(agree, exchanged)] = None
    return tuple(notes)


def _finding(
    recipe: Recipe, steps: Sequence[StepEffect], sample: Sample, share: NamedShare, reading: Reading
) -> tuple[str, ...]:
    out = [_headline(sample, share, reading), _what_was_read(reading)]
    if reading.n_units_failed:
        out.append(
            f"{reading.n_units_failed} row groups could not be read; what stands in brackets "
            "allows for all or none of their rows."
        )
    blind = [s.title for s in steps if _blind_share(s) > 0.01 and s.simulated != "no"]
    if blind and share.name.startswith("kept"):
        out.append(
            "Rows that a step cannot judge count as kept by it; it cannot judge some or all at: "
            f"{'; '.join(blind)}."
        )
    deciding = {recipe.step[i].id for i in recipe.deciding}
    passed = [s.title for s in steps if not s.observable and s.id in deciding]
    if passed and share.name.startswith("kept"):
        out.append(
            "Steps that the input had passed before are replayed in this share all the same, "
            f"though what the replay removes is not what they removed: {'; '.join(passed)}."
        )
    return tuple(out)


def _headline(sample: Sample, share: NamedShare, reading: Reading) -> str:
    e = share.estimate
    title = f"{share.title[0].upper()}{share.title[1:]}"
    group, equals, level = share.name.removeprefix("kept:").rpartition("=")
    if equals:
        seen = sorted({k.level for k in sample.tally.counts if k.group == group})
        if level not in seen:
            known = ", ".join(seen[:12]) or "none"
            return f"No row that was read has the level “{level}” of {group}; levels seen: {known}."
    if e.value is None:
        return f"No rows to say anything of: {share.title}."
    if e.low is None or e.high is None:
        more = ", or --sequence betting" if sample.stream.largest is not None else ""
        return f"{title}: {_percent(e.value)} (no interval yet: read more row groups{more})."
    if e.low == e.high:
        return f"{title}: {_percent(e.value)} (a full count)."
    kind = "bounds" if reading.full else f"{100 * e.level:g} % interval"
    return f"{title}: {_percent(e.value)} ({kind} {_percent(e.low)} to {_percent(e.high)})."


def _what_was_read(reading: Reading) -> str:
    rows = f"{reading.n_rows_read:,} rows"
    if reading.full:
        n_read = reading.n_units - reading.n_units_failed
        if n_read == reading.n_units:
            return f"All {reading.n_units:,} row groups were read, {rows}."
        return f"{n_read:,} of {reading.n_units:,} row groups could be read, {rows}."
    return (
        f"{reading.n_units_tried:,} of {reading.n_units:,} row groups were read in a random order, "
        f"{rows}, {_percent(reading.share)} of the data; ended by: {reading.stopped_by}."
    )


def _percent(share: float) -> str:
    """With so many digits that a small share, or a small rest, does not vanish."""
    rest = min(share, 1 - share)
    digits = 2 if rest <= 0 else min(8, max(2, math.ceil(-math.log10(rest)) - 1))
    return f"{100 * share:.{digits}f} %"


def _blind_share(step: StepEffect) -> float:
    return step.outcomes.get("not_evaluable", 0) / max(1, sum(step.outcomes.values()))


def _cannot_say(
    recipe: Recipe, steps: Sequence[StepEffect], sample: Sample, reading: Reading
) -> tuple[str, ...]:
    out = []
    hidden = [s.title for s in steps if not s.observable]
    if hidden:
        out.append(f"What these steps removed before we saw the data: {', '.join(hidden)}.")
    blind = [
        f"{s.title} ({_percent(_blind_share(s))} of the rows)" for s in steps if _blind_share(s)
    ]
    if blind:
        out.append(
            "What these steps would remove of the rows that they cannot judge: "
            f"{'; '.join(blind)}. Rows kept are those that no step that could be judged removes."
        )
    held = sample.concentration()
    if held is not None and held > 0.4 and not reading.full and sample.sequence != "betting":
        out.append(
            f"A tenth of the row groups holds {_percent(held)} of the rarer rows (hits or misses "
            "of the share that is followed). The default interval can then be too narrow at some "
            "moments; --sequence betting does not depend on it."
        )
    if reading.n_units_failed:
        out.append("Whether the row groups that could not be read are like the others.")
    return tuple(out)


def _command(config: ScanConfig, reading: Reading) -> str:
    """The command that repeats the run; shards stand as SHARDS, since they may lie elsewhere.

    The clock is not repeated, but the row groups that were read by it are.
    """
    if config.max_time is not None and not reading.full:
        config = config.model_copy(update={"max_units": reading.n_units_tried})
    return repeat_command("scan", config.model_copy(update={"max_time": None}))
