"""The chain from pool to output: stages, their compositions, and the shifts between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from laion_probe.attributes import ZERO_SHOT_LABELS, zero_shot
from laion_probe.compare import (
    Labelled,
    adjusted,
    amplification,
    compose,
    shift_independent,
    shift_nested,
)
from laion_probe.config import ProbeConfig
from laion_probe.estimate import Sample
from laion_probe.known_error import for_concept
from laion_probe.neighbourhood import keywords
from laion_probe.questions.concept import Pool
from laion_probe.questions.inputs import Inputs
from laion_probe.questions.outputs import Outputs
from laion_probe.results import Amplification, KnownError, Shift, Stage
from laion_probe.scan import Scan

__all__ = ["Chain", "build_chain"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Chain:
    """Stages in order; ``masks`` are the pictures of each stage of the data set."""

    stages: tuple[Stage, ...]
    shifts: tuple[Shift, ...]
    amplification: tuple[Amplification, ...]
    masks: dict[str, Bools]
    labelled: dict[str, Labelled]
    output_labels: dict[str, Labelled]


@dataclass(frozen=True)
class _Link:
    """A stage before it is measured: which rows are left at it, up to which step."""

    id: str
    kind: str
    title: str
    step: int  # position of the last step applied, -1 before any
    concept_only: bool = True


def build_chain(
    inputs: Inputs,
    config: ProbeConfig,
    scan: Scan,
    pool: Pool,
    near: Bools,
    outputs: Outputs | None,
) -> Chain:
    """Compose every stage and compare each with the one before it."""
    links = _links(inputs, config, scan)
    wanted = keywords(config.concept)
    # Pictures of everything, and of a prompt that does not name the concept, may have any errors.
    for_this = tuple(for_concept(e, wanted) for e in inputs.known_errors)
    for_any = inputs.known_errors
    removed_at = pool.pictured["removed_at"].to_numpy()
    masks = {
        link.id: (near if link.concept_only else np.ones(len(near), dtype=bool))
        & (removed_at > link.step)
        for link in links
    }
    labelled = _label(
        inputs,
        pool.vectors,
        for_this,
        Sample(
            pool.pictured["unit"].to_numpy(),
            pool.sampled,
            config.level,
            "the readable pictures are a random sample of the rows",
        ),
    )
    named = pool.rows["named"].to_numpy()
    stages = [
        Stage(
            id=link.id,
            kind=link.kind,
            title=link.title,
            n_rows=int((scan.removed_at > link.step).sum()),
            n_concept_rows=int((named & (scan.removed_at > link.step)).sum()),
            n_pictures=int(masks[link.id].sum()),
            compositions={
                name: compose(
                    d if link.concept_only else replace(d, known_errors=_of(name, for_any)),
                    masks[link.id],
                )
                for name, d in labelled.items()
            },
        )
        for link in links
    ]
    shifts = _nested_shifts(labelled, masks) if near.any() else []
    output_labels: dict[str, Labelled] = {}
    amplified: list[Amplification] = []
    if outputs is not None:
        output_labels = _label(
            inputs,
            outputs.vectors,
            for_this if outputs.names_concept else for_any,
            Sample(outputs.unit, 0.0, config.level, "seed batches are exchangeable"),
        )
        everything = np.ones(len(outputs.vectors), dtype=bool)
        generated = Stage(
            id="generated",
            kind="generated",
            title="generated pictures",
            note=outputs.summary.note,
            n_rows=None,
            n_pictures=len(outputs.vectors),
            compositions={name: compose(d, everything) for name, d in output_labels.items()},
        )
        final = stages[-1]
        stages.append(generated)
        for name, d in labelled.items():
            if not near.any():
                break
            shift = shift_independent(
                (final.id, final.compositions[name]),
                (generated.id, generated.compositions[name]),
                (
                    adjusted(d, masks[final.id], config.seed),
                    adjusted(output_labels[name], everything, config.seed + 1),
                ),
            )
            shifts.append(shift)
            amplified.append(amplification(d.attribute, final.compositions[name], shift))
    return Chain(tuple(stages), tuple(shifts), tuple(amplified), masks, labelled, output_labels)


def _links(inputs: Inputs, config: ProbeConfig, scan: Scan) -> list[_Link]:
    """All stages of the data; a step that could be judged on no row makes none."""
    name = config.concept.strip()
    steps = inputs.recipe.step
    judged = [i for i in inputs.recipe.deciding if set(scan.outcomes(i)) != {"not_evaluable"}]
    return [
        _Link("all", "pool", "everything in the input, whatever it shows", -1, concept_only=False),
        _Link("pool", "pool", f"near “{name}”, before the recipe", -1),
        *(_Link(f"step:{steps[i].id}", "step", f"after: {steps[i].title}", i) for i in judged),
        _Link(
            "neighbourhood",
            "neighbourhood",
            f"near “{name}”, after the recipe {inputs.recipe.name}",
            len(steps) - 1,
        ),
    ]


def _of(attribute: str, errors: tuple[KnownError, ...]) -> tuple[KnownError, ...]:
    return tuple(e for e in errors if e.attribute == attribute)


def _label(
    inputs: Inputs,
    vectors: NDArray[np.float32],
    errors: tuple[KnownError, ...],
    sample: Sample,
) -> dict[str, Labelled]:
    if inputs.embedder is None or len(vectors) == 0:
        return {}
    return {
        a.name: Labelled(
            a,
            zero_shot(vectors, a, inputs.embedder),
            sample,
            ZERO_SHOT_LABELS,
            _of(a.name, errors),
        )
        for a in inputs.attributes
    }


def _nested_shifts(labelled: dict[str, Labelled], masks: dict[str, Bools]) -> list[Shift]:
    """From each stage near the concept to the next, then from the first to the last."""
    order = [s for s in masks if s not in ("all", "neighbourhood")]
    pairs = [*itertools.pairwise(order), ("pool", "neighbourhood")]
    return [
        shift_nested(data, (first, masks[first]), (second, masks[second]))
        for data in labelled.values()
        for first, second in pairs
    ]
