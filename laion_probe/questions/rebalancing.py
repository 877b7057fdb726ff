"""Weights, and a subset, by which rows have the margins that somebody asks for; and their price."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.attributes import known_attributes
from laion_probe.compose_result import RunOf
from laion_probe.config import WHO_COMPUTES
from laion_probe.config.rebalance import RebalanceConfig
from laion_probe.errors import ConfigError
from laion_probe.estimators.default import check_frame
from laion_probe.estimators.predicted import labels_share, predicted_share
from laion_probe.estimators.raking import Margin, Problem, Raked, cells_of, cost
from laion_probe.estimators.raking_feasibility import MOST_SWEEPS, SLOW, Conflict, held_up, solve
from laion_probe.estimators.subset_plan import chances, draw_subset, largest_exact
from laion_probe.estimators.weighted import Rated
from laion_probe.notes import NOTE_FILE
from laion_probe.questions.inputs import Progress
from laion_probe.questions.rebalancing_files import write_plan
from laion_probe.questions.rebalancing_inputs import (
    Panel,
    Rows,
    Variable,
    concept_of,
    open_rows,
)
from laion_probe.questions.rebalancing_targets import (
    Aim,
    Targets,
    aim_of,
    read_targets,
    refuse,
)
from laion_probe.questions.rebalancing_words import cannot_say, claims, finding, how_measured
from laion_probe.questions.repeating import command, without_folders
from laion_probe.rebalance_result import (
    EmptyCell,
    LevelPlan,
    Predicted,
    PredictedStage,
    PriceOf,
    RebalanceResult,
    Subset,
    VariablePlan,
)
from laion_probe.results import Estimate

__all__ = ["rebalance"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FEW = 20
#: How near every margin must be to its target.
_NEAR = 1e-6
_CELLS_SHOWN = 50


@dataclass(frozen=True)
class _Plan:
    """Weights of all N rows (0 outside, 1 on average inside), and the subset that was drawn.

    ``chance`` is each row's of being drawn; ``drawn`` the same once the numbers of the cells are
    known: that of the row's cell in the subset, over the cell's size.
    """

    targets: tuple[Targets, ...]
    aims: tuple[Aim, ...]
    weight: Floats
    raked: Raked
    slow_margins: tuple[str, ...]
    n_cells: int
    chance: Floats
    chosen: Ints
    drawn: Floats
    subset: Subset

    def target_of(self, name: str) -> Margin | None:
        """The margin of that variable, if it has one."""
        return next((a.margin for a in self.aims if a.margin.name == name), None)


def rebalance(
    config: RebalanceConfig,
    progress: Progress = lambda what, done, of: None,
    folder: Path | None = None,
) -> RebalanceResult:
    """Weigh rows so that they have the margins of ``config.target``, and say what that costs.

    With ``folder``, weights, a subset and a sampler are written into it. Raises `ConfigError` where
    nothing is asked for, and where what is asked cannot be had: then it names the level, the
    attribute, the target and what to do.

    >>> config = RebalanceConfig(run="runs/doctor", target=("gender_presentation:parity",))
    >>> rebalance(config).finding  # doctest: +SKIP
    """
    harms = config.harms
    targets = read_targets(config.target, concept_of(config))
    if not targets:
        raise ConfigError(
            "no target given, and none is assumed, parity neither: name one with --target, such as "
            "gender_presentation:parity or skin_tone:darker=40%. Attributes are "
            f"{', '.join(known_attributes())}; groups of captions are in `laion-probe groups`"
        )
    rows = open_rows(config, [t.variable for t in targets], progress)
    plan = _plan(config, rows, targets, progress)
    note = config.data_note or rows.note
    files = {}
    if folder is not None:
        files = write_plan(folder, rows, plan.weight, plan.chosen, plan.chance)
        if note:  # who reads the subset must know it too
            (folder / NOTE_FILE).write_text(note + "\n", encoding="utf-8", newline="\n")
    empty = _empty_cells(rows, plan)
    shown = dict(zip(config.target, without_folders(config).target, strict=True))
    for t in targets:
        tables = (item for item in t.asked if t.concept and item.endswith(".csv"))
        shown.update({item: f"{shown[item]} (its rows of “{t.concept}”)" for item in tables})
    result = RebalanceResult(
        data_note=note,
        context=config.context,
        harms=harms,
        level=config.level,
        what=rows.what,
        about=rows.about,
        n=int(rows.inside.sum()),
        unknown=config.unknown,
        variables=tuple(_variable(v, rows, plan, shown) for v in rows.variables.values()),
        price=_price(config, rows, plan),
        subset=plan.subset,
        predicted=tuple(
            _predicted(v, rows, plan, config.level) for v in rows.variables.values() if v.pair
        ),
        empty_levels=tuple(
            EmptyCell(levels={t.variable: level})
            for t in targets
            for level in _empty_levels(rows, t.variable)
        ),
        empty_cells=tuple(empty[:_CELLS_SHOWN]),
        n_empty_cells=len(empty),
        files=files,
        finding=(),
        claims=(),
        how_measured=(),
        cannot_say=(),
        provenance=RunOf(
            version=__version__,
            command=command("rebalance", config, "run" if config.run else "", folders=False),
            config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
            inputs=rows.records,
        ),
    )
    refused = {v.name: v.refused for v in rows.variables.values() if v.refused}
    return result.model_copy(
        update={
            "finding": finding(result),
            "claims": claims(result),
            "how_measured": how_measured(result),
            "cannot_say": cannot_say(result, refused),
        }
    )


def _plan(
    config: RebalanceConfig, rows: Rows, targets: Sequence[Targets], progress: Progress
) -> _Plan:
    inside = np.flatnonzero(rows.inside)
    variables = [rows.variables[t.variable] for t in targets]
    aims = tuple(
        aim_of(t, v, rows.inside, config.unknown, config.skip_empty)
        for t, v in zip(targets, variables, strict=True)
    )
    codes = np.array([v.code[inside] for v in variables])
    level, n, cell = cells_of(codes, [len(v.levels) for v in variables])
    most = math.inf if config.max_weight is None else config.max_weight
    problem = Problem(tuple(a.margin for a in aims), level, n.astype(float), most)
    progress("raking", 0, MOST_SWEEPS)
    raked = solve(problem, lambda sweep, error: progress("raking", sweep, MOST_SWEEPS))
    progress("raking", MOST_SWEEPS, MOST_SWEEPS)
    if isinstance(raked, Conflict):
        raise refuse(raked, problem, targets, variables)
    slow_margins = held_up(problem) if raked.sweeps > SLOW else ()
    if raked.error > _NEAR:
        raise ConfigError(
            f"after {raked.sweeps:,} sweeps some share is still {100 * raked.error:.2g} points off "
            f"{', '.join(config.target)}: "
            + (f"{' and '.join(slow_margins)} can" if slow_margins else "these can")
            + " hardly be had together in these rows; ask for a little less, or leave one out"
        )
    weight = np.zeros(len(rows.inside))
    weight[inside] = raked.weight[cell]
    exact = largest_exact(weight)
    size = config.subset or exact
    if size > int((weight > 0).sum()):
        raise ConfigError(
            f"--subset {size}: only {int((weight > 0).sum())} {rows.what} have a weight; the most "
            f"that keep the targets are {exact}: ask for that or fewer"
        )
    chance = chances(weight, size)
    of_cell = np.full(len(weight), -1)
    of_cell[inside] = cell
    chosen = draw_subset(chance, of_cell, np.random.default_rng(config.seed))
    drawn = np.zeros(len(weight))
    drawn[inside] = (np.bincount(of_cell[chosen], minlength=len(n)) / n)[cell]
    return _Plan(
        targets=tuple(targets),
        aims=aims,
        weight=weight,
        raked=raked,
        slow_margins=slow_margins,
        n_cells=len(n),
        chance=chance,
        chosen=chosen,
        drawn=drawn,
        subset=Subset(
            n=size,
            largest_exact=exact,
            exact=size <= exact,
            n_certain=int((chance >= 1).sum()),
            seed=config.seed,
        ),
    )


def _price(config: RebalanceConfig, rows: Rows, plan: _Plan) -> PriceOf:
    paid = cost(plan.weight[rows.inside])
    return PriceOf(
        n=paid.n,
        n_cells=plan.n_cells,
        n_without=paid.n_without,
        effective=paid.effective,
        design_effect=paid.design_effect,
        largest=paid.largest,
        median=paid.median,
        bound=config.max_weight,
        error=plan.raked.error,
        sweeps=plan.raked.sweeps,
        slow=plan.raked.sweeps > SLOW,
        slow_margins=plan.slow_margins,
    )


def _variable(v: Variable, rows: Rows, plan: _Plan, shown: Mapping[str, str]) -> VariablePlan:
    """What the plan does to one variable; ``shown`` are the targets without folders."""
    code, weight = v.code[rows.inside], plan.weight[rows.inside]
    size, aim = len(v.levels), next((a for a in plan.aims if a.margin.name == v.name), None)
    margin = None if aim is None else aim.margin
    n = np.bincount(code, minlength=size)
    mass, square = (np.bincount(code, w, minlength=size) for w in (weight, weight * weight))
    drawn = np.bincount(v.code[plan.chosen], minlength=size) / len(plan.chosen)
    return VariablePlan(
        variable=v.name,
        title=v.title,
        labels=v.labels,
        note=v.note,
        asked=() if aim is None else tuple(shown[item] for item in aim.asked),
        skipped=() if aim is None else aim.skipped,
        asked_sum=None if aim is None else aim.asked_sum,
        levels=tuple(
            LevelPlan(
                level=level,
                n=int(n[i]),
                share=float(n[i] / len(code)),
                target=None if margin is None else float(margin.target[i]),
                share_after=float(mass[i] / mass.sum()),
                share_subset=float(drawn[i]),
                weight=float(mass[i] / n[i]) if n[i] else 0.0,
                effective=float(mass[i] ** 2 / square[i]) if square[i] > 0 else 0.0,
                few=margin is not None and bool(margin.target[i] > 0) and n[i] < _FEW,
            )
            for i, level in enumerate(v.levels)
        ),
    )


def _predicted(v: Variable, rows: Rows, plan: _Plan, level: float) -> Predicted:
    """Before, by weight and in the subset, corrected by ratings where they allow it."""
    panel, warning = v.panel, v.refused
    every = range(len(v.levels))
    if panel is not None:
        checked = (check_frame(_view(v, panel, [i], every)) for i in every)
        warning = next(filter(None, checked), "")
    corrected = panel is not None and not warning
    if not corrected:
        warning = warning or (
            "classifier labels, uncorrected: the plan is exact for them and may be off for what "
            "people see; have a random part rated (laion-probe annotate) and give --ratings"
        )
    elif panel is not None and not panel.declared:
        warning = (
            "no chances of being drawn came with the ratings: they are taken as a simple random "
            "sample of these pictures, and the intervals are wrong if they were picked otherwise"
        )
    before = rows.inside.astype(float)
    stages: tuple[tuple[str, str, Floats, Floats | None], ...] = (
        ("before", "as they are", before, None),
        ("weighted", "by weight", plan.weight, None),
        ("subset", "the subset drawn", plan.drawn, plan.drawn),
    )
    margin = plan.target_of(v.name)
    pair = [v.levels.index(x) for x in v.pair]
    found = []
    for name, title, weight, chance in stages:
        read = weight
        if chance is not None:
            read = np.zeros(len(weight))
            read[plan.chosen] = 1.0

        def of(
            hit: Sequence[int],
            base: Sequence[int],
            weight: Floats = weight,
            chance: Floats | None = chance,
            read: Floats = read,
        ) -> Estimate:
            if corrected and panel is not None:
                return predicted_share(_view(v, panel, hit, base), weight, level, chance)
            hits, bases = (np.isin(v.code, list(x)).astype(float) for x in (hit, base))
            return labels_share(hits, bases, read).model_copy(update={"level": level})

        masks = [np.isin(v.code, x).astype(float) for x in (pair[:1], pair)]
        target = None
        if margin is not None and name != "before":
            asked = float(margin.target[pair].sum())
            target = float(margin.target[pair[0]]) / asked if asked > 0 else None
        found.append(
            PredictedStage(
                id=name,
                title=title,
                contrast=of(pair[:1], pair),
                shares={x: of([i], every) for i, x in enumerate(v.levels)},
                read=labels_share(masks[0], masks[1], read).value,
                target=target,
            )
        )
    return Predicted(
        attribute=v.name,
        title=v.title,
        contrast_level=v.pair[0],
        against_level=v.pair[1],
        parity=v.parity,
        labels="corrected by human ratings" if corrected else v.labels,
        corrected=corrected,
        warning=warning,
        n_rated=0 if panel is None else int((panel.said >= 0).sum()),
        stages=tuple(found),
    )


def _view(v: Variable, panel: Panel, hit: Sequence[int], base: Sequence[int]) -> Rated:
    """Hits and base as read and as raters say."""
    levels = list(base)
    chance = panel.probability
    if not panel.declared:
        chance = np.full(len(v.code), float((panel.said >= 0).mean()))
    return Rated(
        hit=np.isin(v.code, list(hit)).astype(float),
        base=np.isin(v.code, levels).astype(float),
        rated=panel.said >= 0,
        true_hit=np.isin(panel.said, list(hit)).astype(float),
        true_base=np.isin(panel.said, levels).astype(float),
        probability=chance,
        stratum=panel.stratum,
    )


def _empty_levels(rows: Rows, name: str) -> list[str]:
    v = rows.variables[name]
    there = np.bincount(v.code[rows.inside], minlength=len(v.levels))
    return [x for x, n in zip(v.levels, there, strict=True) if not n and x not in v.unknown]


def _empty_cells(rows: Rows, plan: _Plan) -> list[EmptyCell]:
    """Pairs of levels of two targeted variables that nobody has together, unknown left out."""
    found = []
    for one, other in itertools.combinations([t.variable for t in plan.targets], 2):
        first, second = rows.variables[one], rows.variables[other]
        sizes = (len(first.levels), len(second.levels))
        counts = np.zeros(sizes, np.int64)
        np.add.at(counts, (first.code[rows.inside], second.code[rows.inside]), 1)
        there = counts.sum(axis=1) > 0, counts.sum(axis=0) > 0
        for i, j in np.argwhere(counts == 0).tolist():
            x, y = first.levels[i], second.levels[j]
            if there[0][i] and there[1][j] and x not in first.unknown and y not in second.unknown:
                found.append(EmptyCell(levels={one: x, other: y}))
    return found
