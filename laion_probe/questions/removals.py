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
from laion_probe.questions.effects import no_removal, passed_before, players
from laion_probe.questions.shares import check_levels
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

    def players(self, recipe: Recipe) -> tuple[int, ...]:
        """The deciding steps that take part: what the input has passed removes nothing here."""
        return players(recipe, self.already)


def recipe_account(
    place: int, recipe: Recipe, counted: Counted, rules: Rules, frozen: dict[str, str]
) -> RecipeAccount:
    """The account of the recipe at a place in the run."""
    everything = counted.cells(patterns_of(place, ALL))
    every = np.ones(len(everything.n), dtype=bool)
    kept = _alive(everything, rules.players(recipe), len(recipe.step))
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
            _share(everything, _alive(everything, rules.players(recipe), i + 1), every, counted)
            for i in range(len(recipe.step))
        ),
        left_out=tuple(s.id for s in recipe.step if s.role == "set" and rules.skipped),
        totals=tuple(_totals(recipe, everything, rules)),
        groups=tuple(_group(name, place, recipe, counted, rules) for name in rules.groups),
        rewrites=tuple(
            _rewrite(i, place, recipe, counted, rules)
            for i, step in enumerate(recipe.step)
            if step.role == "rewrite"
        ),
        frozen=frozen,
    )


def _share(cells: Cells, hit: Bools, base: Bools, counted: Counted) -> Estimate:
    return counted.share(cells.by_unit(hit & base), cells.by_unit(base))


def _alive(cells: Cells, players: Sequence[int], before: int) -> Bools:
    """Cells that no player earlier than position ``before`` removes."""
    mask = sum(1 << i for i in players if i < before)
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
    hit, blind = _bit(cells.hits, i), _bit(cells.blind, i)
    reached = _alive(cells, rules.players(recipe), i)
    here = cells.total(reached & hit)
    observable = not decides or i in rules.players(recipe)
    notes = [step.note, frozen.get(step.id, "")]
    n_blind = cells.total(blind) if decides else 0
    if step.role == "set" and rules.skipped:
        notes.append("needs every row: not estimable from a sample of row groups")
    elif n_blind:
        notes.append(f"not evaluable on {n_blind} rows: the column or score is missing")
    if rules.already and not observable:
        notes += passed_before(rules.already, step, here)
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
            none_left = cells.total(reached) == 0 and cells.total(~blind) > 0
            removed = _none("no row reaches it" if none_left else "not evaluable on any row")
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


def _totals(recipe: Recipe, cells: Cells, rules: Rules) -> list[StepRemoval]:
    zeros = np.zeros_like(cells.level)
    return [x[0] for x in _removals(recipe, cells, _patterns(cells, zeros), rules)]


def _removals(
    recipe: Recipe, cells: Cells, table: PatternCounts, rules: Rules
) -> list[list[StepRemoval]]:
    """Of every deciding step, the removal at each row of the table (a level, or everything)."""
    players = rules.players(recipe)
    effects = pattern_effects(players, table)
    alive = _alive(cells, players, len(recipe.step))
    out = []
    for i in recipe.deciding:
        step, hit, blind = recipe.step[i].id, _bit(cells.hits, i), _bit(cells.blind, i)
        rows = []
        for k in range(len(table.counts)):
            mine = cells.level == k if len(table.counts) > 1 else np.ones(len(hit), dtype=bool)
            if i in players:
                p = players.index(i)
                alone, only, in_order = (
                    int(n[p, k]) for n in (effects.alone, effects.only, effects.in_order)
                )
            else:  # what the replay removes of rows that had passed the step
                alone = cells.total(mine & hit)
                only = cells.total(mine & hit & alive)
                in_order = cells.total(mine & hit & _alive(cells, players, i))
            blind_rows = cells.total(mine & blind)
            rows.append(
                StepRemoval(step=step, alone=alone, only=only, in_order=in_order, blind=blind_rows)
            )
        out.append(rows)
    return out


def _group(name: str, place: int, recipe: Recipe, counted: Counted, rules: Rules) -> GroupAccount:
    group = load_group(name)
    cells = counted.cells(patterns_of(place, name))
    check_levels(name, len(cells.levels))
    table = _patterns(cells, cells.level)
    removals = _removals(recipe, cells, table, rules) if cells.levels else []
    values, note = _shapley(rules.players(recipe), table)
    accounts = []
    for k, level in enumerate(cells.levels):
        mine = cells.level == k
        account = _level(level, mine, recipe, cells, counted, rules)
        steps, shapley = [], []
        for p, i in enumerate(recipe.deciding):
            removal, difference = removals[p][k], None
            judged = ~_bit(cells.blind, i)
            seen = i in rules.players(recipe)
            among = judged & _known(cells, level)
            sides = [cells.total(among & side) for side in (mine, ~mine)]
            if seen and not account.too_small and min(sides) >= rules.min_count:
                counts = cells.exclusion(mine & judged, _bit(cells.hits, i), among)
                difference = counted.compare(risk_difference, counts)
            steps.append(removal.model_copy(update={"difference": difference}))
            value = values.get(i) if values is not None else None
            share = None if value is None or math.isnan(value[k]) else float(value[k])
            shapley.append(Attributed(step=removal.step, value=share))
        accounts.append(
            account.model_copy(update={"steps": tuple(steps), "shapley": tuple(shapley)})
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


def _shapley(
    players: Sequence[int], table: PatternCounts
) -> tuple[dict[int, NDArray[np.float64]] | None, str]:
    """The values of each player by level, or why there are none."""
    masks = table.masks[:, None] >> np.array(players, dtype=np.int64)
    n_active = int((masks & 1).astype(bool).any(axis=0).sum())
    if n_active > MAX_PLAYERS:
        return None, f"no Shapley values: {n_active} steps remove rows, {MAX_PLAYERS} is the most"
    if not table.counts.any():
        return None, ""
    found = shapley_of_shares(players, table)
    note = ""
    if len(found.undefined):
        note = (
            f"no Shapley values: {len(found.undefined)} combinations of steps keep nothing, and a "
            "share of nothing is undefined"
        )
    return dict(zip(players, found.values, strict=True)), note


def _level(
    level: str, mine: Bools, recipe: Recipe, cells: Cells, counted: Counted, rules: Rules
) -> LevelAccount:
    removed = ~_alive(cells, rules.players(recipe), len(recipe.step))
    every = np.ones(len(mine), dtype=bool)
    n = cells.total(mine)
    few = n < rules.min_count
    counts = cells.exclusion(mine, removed, _known(cells, level))
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


def _known(cells: Cells, level: str) -> Bools:
    """The rows that a level is compared with: of known levels, unless it is the unknown one."""
    if level == UNKNOWN or UNKNOWN not in cells.levels:
        return np.ones(len(cells.level), dtype=bool)
    return np.asarray(cells.level != cells.levels.index(UNKNOWN), dtype=bool)


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
