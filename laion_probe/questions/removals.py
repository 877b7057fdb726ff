"""One recipe's account: who is removed, by which step, and what its rewrites change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.attribution import MAX_PLAYERS, PatternCounts, pattern_effects, shapley_of_shares
from laion_probe.counts import ALL
from laion_probe.exclusion import odds_ratio, risk_difference, risk_ratio
from laion_probe.filtering import REWRITE_BITS, outcomes_of, patterns_of, rewrite_of
from laion_probe.filters_result import (
    Attributed,
    GroupAccount,
    LevelAccount,
    LevelRewrite,
    RecipeAccount,
    RewriteEffect,
    StepRemoval,
)
from laion_probe.groups import UNKNOWN, load_group
from laion_probe.questions.counted import Cells, Counted
from laion_probe.questions.effects import no_removal, passed_before
from laion_probe.recipes import Recipe
from laion_probe.results import Estimate, StepEffect
from laion_probe.steps import Outcome

__all__ = ["Rules", "recipe_account"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """What an account goes by: the filters behind the input, and what is too few or worth a flag.

    ``skipped`` says that set steps were left out, since only a sample was read.
    """

    already: Recipe | None
    groups: tuple[str, ...]
    min_count: int
    flag: float
    skipped: bool


def recipe_account(
    place: int, recipe: Recipe, counted: Counted, rules: Rules, frozen: dict[str, str]
) -> RecipeAccount:
    """The account of the recipe at a place in the run."""
    everything = counted.cells(patterns_of(place, ALL))
    mask = sum(1 << i for i in recipe.deciding)
    every = np.ones(len(everything.n), dtype=bool)
    kept = (everything.hits & mask) == 0
    steps = tuple(
        _effect(i, place, recipe, counted, rules, everything, frozen)
        for i in range(len(recipe.step))
    )
    return RecipeAccount(
        name=recipe.name,
        title=recipe.title,
        source=recipe.source,
        confidence=recipe.confidence,
        chain=recipe.chain,
        n=everything.total(every),
        n_kept=everything.total(kept),
        kept=_share(everything, kept, every, counted),
        steps=steps,
        survival=tuple(
            _share(everything, _alive(everything, recipe, i + 1), every, counted)
            for i in range(len(recipe.step))
        ),
        totals=tuple(_totals(recipe, everything)),
        groups=tuple(_group(name, place, recipe, counted, rules, steps) for name in rules.groups),
        rewrites=tuple(
            _rewrite(i, place, recipe, counted, rules)
            for i, step in enumerate(recipe.step)
            if step.role == "rewrite"
        ),
        frozen=frozen,
    )


def _share(cells: Cells, hit: Bools, base: Bools, counted: Counted) -> Estimate:
    return counted.share(cells.by_unit(hit & base), cells.by_unit(base))


def _alive(cells: Cells, recipe: Recipe, before: int) -> Bools:
    """Cells that no deciding step earlier than position ``before`` removes."""
    mask = sum(1 << i for i in recipe.deciding if i < before)
    return np.asarray((cells.hits & mask) == 0, dtype=bool)


def _bit(masks: NDArray[np.int64], step: int) -> Bools:
    return np.asarray((masks >> step) & 1, dtype=bool)


def _effect(
    i: int,
    place: int,
    recipe: Recipe,
    counted: Counted,
    rules: Rules,
    cells: Cells,
    frozen: dict[str, str],
) -> StepEffect:
    step, decides = recipe.step[i], i in recipe.deciding
    reached, hit, blind = _alive(cells, recipe, i), _bit(cells.hits, i), _bit(cells.blind, i)
    here = cells.total(reached & hit)
    observable = rules.already is None or not rules.already.passed(step)
    notes = [step.note, frozen.get(step.id, "")]
    n_blind = cells.total(blind) if decides else 0
    if step.role == "set" and rules.skipped:
        notes.append("needs every row: not estimable from a sample of row groups")
    elif n_blind:
        notes.append(f"not evaluable on {n_blind} rows: the column or score is missing")
    if rules.already and not observable:
        notes += passed_before(rules.already, here)
    elif rules.already and (like := rules.already.selected_like(step)):
        notes.append(
            f"the input was selected by another rule of this kind before ({like.title}, of "
            f"{rules.already.name}): what this step would have done to the rest cannot be seen"
        )
    if not decides:
        removed = _none(no_removal(step))
    elif not observable:
        removed = _none("removal not observable")
    else:
        removed = _share(cells, hit, reached & ~blind, counted)
        if removed.n == 0:
            removed = _none("not evaluable on any row")
    outcomes = counted.cells(outcomes_of(place, i))
    tally = {
        level.lower(): outcomes.total(outcomes.level == k)
        for k, level in enumerate(outcomes.levels)
    }
    if step.role == "set" and n_blind < cells.total(np.ones(len(cells.n), dtype=bool)):
        # they were counted before the step could be decided
        tally = {"keep": cells.total(~hit & ~blind), "drop": cells.total(hit)}
        tally |= {"not_evaluable": n_blind} if n_blind else {}
    return StepEffect(
        id=step.id,
        kind=step.kind,
        title=step.title,
        source=step.source or recipe.source,
        confidence=step.confidence or recipe.confidence,
        simulated=step.simulated,
        note="; ".join(n for n in notes if n),
        observable=observable,
        outcomes={
            o.name.lower(): tally[o.name.lower()] for o in Outcome if tally.get(o.name.lower())
        },
        n_reached=cells.total(reached),
        n_removed_here=here if decides else 0,
        removed_share=removed,
    )


def _none(method: str) -> Estimate:
    return Estimate(value=None, low=None, high=None, n=0, units=0, method=method)


def _patterns(cells: Cells, rows: NDArray[np.int64]) -> PatternCounts:
    """Counts by (row of the table, pattern), over all units."""
    masks, where = np.unique(cells.hits, return_inverse=True)
    counts = np.zeros((int(rows.max(initial=0)) + 1, len(masks)), dtype=np.int64)
    np.add.at(counts, (rows, where), cells.n)
    return PatternCounts(masks, counts)


def _totals(recipe: Recipe, cells: Cells) -> list[StepRemoval]:
    effects = pattern_effects(recipe.deciding, _patterns(cells, np.zeros_like(cells.level)))
    return [
        StepRemoval(
            step=recipe.step[i].id,
            alone=int(effects.alone[k, 0]),
            only=int(effects.only[k, 0]),
            in_order=int(effects.in_order[k, 0]),
            blind=cells.total(_bit(cells.blind, i)),
        )
        for k, i in enumerate(recipe.deciding)
    ]


def _group(
    name: str,
    place: int,
    recipe: Recipe,
    counted: Counted,
    rules: Rules,
    steps: Sequence[StepEffect],
) -> GroupAccount:
    group = load_group(name)
    cells = counted.cells(patterns_of(place, name))
    table = _patterns(cells, cells.level)
    effects = pattern_effects(recipe.deciding, table)
    n_active = sum(bool(effects.alone[k].any()) for k in range(len(recipe.deciding)))
    values, note = None, ""
    if n_active > MAX_PLAYERS:
        note = f"no Shapley values: {n_active} steps remove rows, and {MAX_PLAYERS} is the most"
    elif len(cells.levels):
        found = shapley_of_shares(recipe.deciding, table)
        values = found.values
        if len(found.undefined):
            note = (
                f"no Shapley values: {len(found.undefined)} combinations of steps keep nothing, "
                "and a share of nothing is undefined"
            )
    hidden = {s.id for s in steps if not s.observable}
    replayed = [
        recipe.step[i].id
        for k, i in enumerate(recipe.deciding)
        if recipe.step[i].id in hidden and effects.alone[k].any()
    ]
    if replayed and not note:
        note = (
            "the values do not sum to the whole change: the replay of steps that the input had "
            f"passed removes rows too ({', '.join(replayed)}), which is not their effect"
        )
    accounts = []
    for k, level in enumerate(cells.levels):
        mine = cells.level == k
        account = _level(level, mine, recipe, cells, counted, rules)
        removals, shapley = [], []
        for p, i in enumerate(recipe.deciding):
            hit, blind, step = _bit(cells.hits, i), _bit(cells.blind, i), recipe.step[i].id
            judged = None
            if not account.too_small and step not in hidden and cells.total(~blind):
                judged = counted.compare(risk_difference, cells.exclusion(mine, hit))
            removals.append(
                StepRemoval(
                    step=step,
                    alone=int(effects.alone[p, k]),
                    only=int(effects.only[p, k]),
                    in_order=int(effects.in_order[p, k]),
                    blind=cells.total(mine & blind),
                    difference=judged,
                )
            )
            value = None
            if values is not None and step not in hidden and not math.isnan(values[p, k]):
                value = float(values[p, k])
            shapley.append(Attributed(step=step, value=value))
        accounts.append(
            account.model_copy(update={"steps": tuple(removals), "shapley": tuple(shapley)})
        )
    accounts.sort(key=lambda a: (a.level == UNKNOWN, -a.n, a.level))
    return GroupAccount(
        name=name,
        title=group.title,
        source=group.source,
        note=group.note,
        levels=tuple(accounts),
        shapley_note=note,
    )


def _level(
    level: str, mine: Bools, recipe: Recipe, cells: Cells, counted: Counted, rules: Rules
) -> LevelAccount:
    mask = sum(1 << i for i in recipe.deciding)
    removed = np.asarray((cells.hits & mask) != 0, dtype=bool)
    every = np.ones(len(mine), dtype=bool)
    n = cells.total(mine)
    few = n < rules.min_count
    counts = cells.exclusion(mine, removed)
    difference = None if few else counted.compare(risk_difference, counts)
    return LevelAccount(
        level=level,
        n=n,
        n_kept=cells.total(mine & ~removed),
        too_small=few,
        share_before=_share(cells, mine, every, counted),
        share_after=_share(cells, mine, ~removed, counted),
        kept=None if few else _share(cells, ~removed, mine, counted),
        difference=difference,
        ratio=None if few else counted.compare(risk_ratio, counts),
        odds_ratio=None if few else counted.compare(odds_ratio, counts),
        flagged=difference is not None and _flagged(difference, rules.flag),
        steps=(),
        shapley=(),
    )


def _flagged(difference: Estimate, flag: float) -> bool:
    if difference.value is None or abs(difference.value) < flag:
        return False
    if difference.low is None or difference.high is None:
        # a full count has no interval; a sample without one cannot tell
        return difference.method.startswith("full count") and difference.value != 0
    return difference.low > 0 or difference.high < 0


def _rewrite(i: int, place: int, recipe: Recipe, counted: Counted, rules: Rules) -> RewriteEffect:
    def flags(cells: Cells) -> tuple[Bools, Bools, Bools, Bools]:
        kept_with, kept_without, changed, emptied = (
            np.asarray(cells.hits & bit, dtype=bool) for bit in REWRITE_BITS
        )
        return kept_with, kept_without, changed, emptied

    cells = counted.cells(rewrite_of(place, i, ALL))
    kept_with, kept_without, changed, emptied = flags(cells)
    levels = []
    for name in rules.groups:
        part = counted.cells(rewrite_of(place, i, name))
        w, wo, ch, em = flags(part)
        for k, level in enumerate(part.levels):
            mine = part.level == k
            if part.total(mine & ch):
                levels.append(
                    LevelRewrite(
                        group=name,
                        level=level,
                        n=part.total(mine),
                        n_changed=part.total(mine & ch),
                        n_emptied=part.total(mine & em),
                        n_kept_with=part.total(mine & w),
                        n_kept_without=part.total(mine & wo),
                    )
                )
    return RewriteEffect(
        step=recipe.step[i].id,
        title=recipe.step[i].title,
        n_changed=cells.total(changed),
        n_emptied=cells.total(emptied),
        n_kept_with=cells.total(kept_with),
        n_kept_without=cells.total(kept_without),
        n_only_with=cells.total(kept_with & ~kept_without),
        n_only_without=cells.total(kept_without & ~kept_with),
        levels=tuple(levels),
    )
