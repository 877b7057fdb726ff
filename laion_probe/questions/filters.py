"""Who gets filtered out, by which step: several recipes on the same rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from laion_probe.config import FiltersConfig
from laion_probe.drawing import RELIABLE, Found
from laion_probe.errors import ConfigError
from laion_probe.filtering import (
    FilterPlan,
    FilterWork,
    UnitFilter,
    decode_filter,
    encode_filter,
    recount,
)
from laion_probe.filters_result import FiltersResult
from laion_probe.groups import load_group
from laion_probe.language import DETECTORS
from laion_probe.questions.counted import Counted
from laion_probe.questions.domains import DOMAIN, name_domains
from laion_probe.questions.effects import players
from laion_probe.questions.inputs import already_passed, cache_folder
from laion_probe.questions.kept import KeptIds, KeptRows, file_stem
from laion_probe.questions.reading import planned_units, random_order, rows_of
from laion_probe.questions.scanning import check_failed, kept_rows, run_options
from laion_probe.questions.verdict import Account, verdict
from laion_probe.recipes import Recipe, load_recipe
from laion_probe.runners import Failure, run_in_order
from laion_probe.sets import SetRows, decide_sets, verdicts
from laion_probe.shards import Unit, list_shards, list_units
from laion_probe.store import Partials

__all__ = ["filters"]

#: The group that is as each recipe's own detector reads it.
RECIPES_OWN = "language"

#: Called after each unit with (units done, of, rows so far).
Watch = Callable[[int, int, int], None]


def filters(
    config: FiltersConfig,
    watch: Watch = lambda done, of, rows: None,
    folder: Path | None = None,
) -> FiltersResult:
    """Run recipes over shards and account for who is removed, by which step.

    Everything is read, or, with ``max_units`` or ``max_rows``, a simple random sample of row groups
    of a size that is settled beforehand; intervals are then by row group. With ``write_kept`` and
    ``write_rows``, the ids and the rows of what each recipe keeps are written into ``folder``.
    Finished units are kept under ``config.cache``. Raises a `LaionProbeError` that says what to do
    when an input cannot be used.
    """
    recipes = _recipes(config)
    _check_names(config)
    shards = list_shards(config.shards, config.columns)
    units = list_units(shards)
    order = random_order(units, config.seed)
    config = config.model_copy(update={"by": name_domains(config.by, order)})
    chosen = order[: planned_units(config, order)]
    sampled = len(chosen) < len(units)
    for name in ("write_kept", "write_rows"):
        flag = "--" + name.replace("_", "-")
        if getattr(config, name) and sampled:
            raise ConfigError(f"{flag} needs every row: leave out --max-units and --max-rows")
        if getattr(config, name) and folder is None:
            raise ConfigError(f"{flag} needs a folder to write into: laion_probe.run(config)")
    already, already_note = already_passed(config.already, shards)
    n_rows = sum(rows_of(chosen))
    plan = FilterPlan(
        recipes=recipes,
        groups=config.by,
        sets="skip" if sampled else "keep",
        ids=config.write_kept,
        rows=config.write_rows,
        detectors=config.detectors,
        audited=min(1.0, config.audit_captions / n_rows) if n_rows and config.detectors else 0.0,
        examples=config.examples,
        seed=config.seed,
        observed=tuple(sum(1 << i for i in players(r, already)) for r in recipes),
    )
    kept: Partials[UnitFilter] = Partials(
        cache_folder(config) / "filters" / plan.fingerprint, encode_filter, decode_filter
    )
    run = _Run(config, plan, Counted(len(units), config.level, sampled=sampled))
    results = run_in_order(chosen, FilterWork(plan), run_options(config), kept)
    with contextlib.closing(results):
        for done, (unit, result) in enumerate(results, 1):
            run.add(unit, result)
            watch(done, len(chosen), run.n_rows)
    sizes = dict(zip((u.id for u in units), rows_of(units), strict=True))
    check_failed(run.failures, [sizes[u.id] for u in chosen], sizes, config)
    for failure in run.failures:
        run.counted.lose(sizes[failure.unit.id])
    ready = [u for u in units if u.id in run.ready]
    frozen: list[dict[str, str]] = [{} for _ in recipes]
    if plan.keeps_rows:
        frozen = _decide(run, ready, kept, folder)
    account = Account(
        config=config,
        plan=plan,
        shards=shards,
        units=units,
        chosen=chosen,
        sizes=sizes,
        already=already,
        already_note=already_note,
        counted=run.counted,
        found=run.found,
        failures=run.failures,
        frozen=frozen,
    )
    return verdict(account)


def _recipes(config: FiltersConfig) -> tuple[Recipe, ...]:
    if not config.recipe:
        raise ConfigError(
            "no recipe given: use --recipe, once or more; `laion-probe recipes` lists"
        )
    recipes = tuple(load_recipe(name) for name in config.recipe)
    names = [r.name for r in recipes]
    stems = [file_stem(n) for n in names]
    if twice := {n for n, stem in zip(names, stems, strict=True) if stems.count(stem) > 1}:
        raise ConfigError(
            f"two recipes have the name {' or '.join(sorted(twice))}, which would be one file: "
            "rename one"
        )
    return recipes


def _check_names(config: FiltersConfig) -> None:
    """A wrong name is said before anything is read."""
    for kind, names in (("group", config.by), ("detector", config.detectors)):
        if len(set(names)) != len(names):
            raise ConfigError(f"a {kind} is named twice: {', '.join(names)}")
    if RECIPES_OWN in config.by:
        raise ConfigError(
            f"--by {RECIPES_OWN} is as the recipe's detector reads it, and recipes differ: use "
            f"{RECIPES_OWN}:DETECTOR, such as {RECIPES_OWN}:cld2"
        )
    for name in config.by:
        if name != DOMAIN:  # its levels are not known yet
            load_group(name)
    for name in config.detectors:
        DETECTORS[name.removesuffix(RELIABLE)]


@dataclass
class _Run:
    """What has come in so far."""

    config: FiltersConfig
    plan: FilterPlan
    counted: Counted
    n_rows: int = 0
    found: dict[str, list[Found]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    ready: set[str] = field(default_factory=set)

    def add(self, unit: Unit, result: UnitFilter | Failure) -> None:
        if isinstance(result, Failure):
            self.failures.append(result)
            return
        self.ready.add(unit.id)
        self.counted.add(result.counts)
        self.n_rows += result.n
        for example in result.examples:
            best = self.found.setdefault(example.cell, [])
            if any(known.text == example.text and known.draw <= example.draw for known in best):
                continue
            best[:] = [known for known in best if known.text != example.text]
            best.append(example)
            best.sort(key=lambda e: (e.draw, e.text))
            del best[self.plan.examples :]


def _decide(
    run: _Run, ready: Sequence[Unit], kept: Partials[UnitFilter], folder: Path | None
) -> list[dict[str, str]]:
    """Decide the steps that need the whole set, and count the rows with these verdicts."""
    plan = run.plan

    def frames() -> Iterator[pl.DataFrame]:
        return kept_rows(ready, kept)

    frozen = []
    with contextlib.ExitStack() as stack:
        files_of = [stack.enter_context(verdicts(kept.folder, run.n_rows)) for _ in plan.recipes]
        hits = [mine for mine, _ in files_of]
        everything = SetRows(frames, run.n_rows, Path())
        for place, frame in everything.read(*(f"hits_{r}" for r in range(len(hits)))):
            for r, mine in enumerate(hits):
                mine[place] = frame[f"hits_{r}"].to_numpy()
        for r, (recipe, (mine, scratch)) in enumerate(zip(plan.recipes, files_of, strict=True)):
            rows = SetRows(frames, run.n_rows, scratch, f"{r}:")
            frozen.append(decide_sets(recipe, rows, mine, plan.mask(r)))
        columns = [*plan.groups, *(f"blind_{r}" for r in range(len(hits)))]
        ids = ["id_high", "id_low"] if plan.ids else []
        with contextlib.ExitStack() as files:
            writers = [
                (
                    files.enter_context(KeptIds(folder, recipe.name, kept.folder))
                    if folder and run.config.write_kept
                    else None,
                    files.enter_context(KeptRows(folder, recipe.name, run.config.shards))
                    if folder and run.config.write_rows
                    else None,
                )
                for recipe in plan.recipes
            ]
            for unit, (place, frame) in zip(ready, everything.read(*columns, *ids), strict=True):
                table = frame.with_columns(
                    pl.Series(f"hits_{r}", mine[place]) for r, mine in enumerate(hits)
                )
                run.counted.add_cells(recount(table, plan))
                for r, (of_ids, of_rows) in enumerate(writers):
                    kept_ones = pl.Series((hits[r][place] & plan.mask(r)) == 0)
                    if of_ids is not None:
                        of_ids.add(frame.select(ids).filter(kept_ones))
                    if of_rows is not None:
                        of_rows.add(unit, kept_ones)
    return frozen
