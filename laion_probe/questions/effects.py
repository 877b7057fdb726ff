"""What each step of the recipe removed, and from whom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laion_probe.estimate import share
from laion_probe.questions.concept import Pool
from laion_probe.questions.inputs import Inputs
from laion_probe.recipes import Recipe, Step
from laion_probe.results import Estimate, LevelRemoval, StepEffect
from laion_probe.shifts import Labelled
from laion_probe.steps import Outcome
from laion_probe.unit_scan import Scan

__all__ = ["REMOVES_AGAIN", "no_removal", "passed_before", "players", "step_effects"]

Bools = NDArray[np.bool_]


def step_effects(
    inputs: Inputs, scan: Scan, pool: Pool, near: Bools, labelled: dict[str, Labelled]
) -> tuple[StepEffect, ...]:
    """One `StepEffect` a step, in recipe order, rewrites and measures included as context."""
    recipe = inputs.recipe
    effects = []
    for i, step in enumerate(recipe.step):
        observable = inputs.already is None or not inputs.already.passed(step)
        decides = i in recipe.deciding
        reached = scan.removed_at >= i
        here = scan.removed_at == i if decides else np.zeros(len(reached), dtype=bool)
        blind = (scan.rows[f"outcome_{i}"] == int(Outcome.NOT_EVALUABLE)).to_numpy()
        judged = int((reached & ~blind).sum())
        removed = _not_observable(judged) if not observable else _removed(int(here.sum()), judged)
        notes = [step.note]
        if blind.any() and decides:
            notes.append(
                f"not evaluable on {int(blind.sum())} rows: the column or score is missing"
            )
        if not observable and inputs.already:
            notes += passed_before(inputs.already, step, int(here.sum()))
        effects.append(
            StepEffect(
                id=step.id,
                kind=step.kind,
                title=step.title,
                source=step.source or recipe.source,
                confidence=step.confidence or recipe.confidence,
                simulated=step.simulated,
                note="; ".join(n for n in notes if n),
                observable=observable,
                outcomes=scan.outcomes(i),
                n_reached=int(reached.sum()),
                n_removed_here=int(here.sum()),
                removed_share=removed if decides else _not_a_decision(step),
                removals=_removals(i, pool, near, labelled)
                if decides and observable and judged
                else (),
            )
        )
    return tuple(effects)


#: Steps that remove rows again from what they have left: failing them says nothing of the input.
REMOVES_AGAIN = ("balance", "reweight", "top-share")


def passed_before(already: Recipe, step: Step, n_failing: int) -> list[str]:
    """Why the removal of a step cannot be seen, and whether the rows bear that out."""
    notes = [f"removal not observable: the input has passed {already.name} before"]
    if n_failing and step.kind not in REMOVES_AGAIN:
        notes.append(
            f"yet {n_failing} rows fail it, so the input has not passed this step as it is "
            "replayed here"
        )
    return notes


def _removals(
    step: int, pool: Pool, near: Bools, labelled: dict[str, Labelled]
) -> tuple[LevelRemoval, ...]:
    """Of the concept's pictures of each level that reach the step, how many it removes."""
    removed_at = pool.pictured["removed_at"].to_numpy()
    reached = near & (removed_at >= step)
    gone = near & (removed_at == step)
    out = []
    for data in labelled.values():
        for level in data.attribute.levels:
            mine = data.level(level)
            out.append(
                LevelRemoval(
                    attribute=data.attribute.name,
                    level=level,
                    n_before=int((mine & reached).sum()),
                    n_removed=int((mine & gone).sum()),
                    rate=share(gone, mine & reached, data.sample),
                )
            )
    return tuple(out)


def _removed(k: int, n: int) -> Estimate:
    if n == 0:
        return Estimate(
            value=None, low=None, high=None, n=0, units=0, method="not evaluable on any row"
        )
    return Estimate(
        value=k / n, low=None, high=None, n=n, units=0, method="full count: no sampling error"
    )


def _not_observable(n: int) -> Estimate:
    return Estimate(value=None, low=None, high=None, n=n, units=0, method="removal not observable")


def _not_a_decision(step: Step) -> Estimate:
    return Estimate(value=None, low=None, high=None, n=0, units=0, method=no_removal(step))


def players(recipe: Recipe, already: Recipe | None) -> tuple[int, ...]:
    """The deciding steps whose removal can be seen: not those that the input has passed."""
    return tuple(
        i for i in recipe.deciding if already is None or not already.passed(recipe.step[i])
    )


def no_removal(step: Step) -> str:
    """Why a step that decides nothing has no removal."""
    if step.role == "context":
        return "not simulated"
    return "a rewrite or measure removes nothing"
