"""The chain from pool to output: stages, their compositions, and the shifts between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute
from laion_probe.attributes.reading import Pictures, read
from laion_probe.config import ProbeConfig
from laion_probe.embed import decode
from laion_probe.estimate import Sample
from laion_probe.estimators.transport import ErrorCounts, transport_check
from laion_probe.known_error import for_concept
from laion_probe.neighbourhood import keywords
from laion_probe.pictures import PictureFile
from laion_probe.questions.concept import Concept, Pool
from laion_probe.questions.inputs import Inputs
from laion_probe.questions.matching import Matched, like_prompt
from laion_probe.questions.outputs import Outputs
from laion_probe.questions.raters import check_used, panel_of, strata
from laion_probe.results import Amplification, KnownError, Shift, Stage
from laion_probe.shifts import (
    Labelled,
    adjusted,
    amplification,
    check_drawn,
    compose,
    shift_independent,
    shift_nested,
)
from laion_probe.unit_scan import Scan

__all__ = ["Chain", "ToRead", "build_chain", "error_counts", "label_pictures"]

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
    notes: tuple[str, ...] = ()  # what the readers of attributes say of their labels


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
    concept: Concept,
    outputs: Outputs | None,
) -> Chain:
    """Compose every stage and compare each with the one before it."""
    near = concept.near
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
    captions = pool.pictured["text"].fill_null("")
    labelled, notes = label_pictures(
        inputs,
        ToRead("data", pool.files, tuple(captions.to_list()), pool.vectors),
        for_this,
        Sample(
            pool.pictured["unit"].to_numpy(),
            pool.sampled,
            config.level,
            "the readable pictures are a random sample of the rows",
        ),
    )
    # Raters' samples are drawn near the concept, before the recipe.
    labelled = {name: check_drawn(d, masks["pool"]) for name, d in labelled.items()}
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
                    d
                    if link.concept_only
                    # Ratings are drawn near the concept: they say nothing of everything else.
                    else replace(d, known_errors=_of(d.attribute, for_any), panel=None),
                    masks[link.id],
                )
                for name, d in labelled.items()
            },
        )
        for link in links
    ]
    shifts = _nested_shifts(labelled, masks) if near.any() else []
    if outputs is None:
        check_used(inputs.ratings, labelled, masks["pool"], {})
        return Chain(tuple(stages), tuple(shifts), (), masks, labelled, {}, notes)
    everything = np.ones(len(outputs.vectors), dtype=bool)
    output_labels, more = label_pictures(
        inputs,
        ToRead("generated", outputs.files, outputs.prompts, outputs.vectors),
        for_this if outputs.names_concept else for_any,
        Sample(outputs.unit, 0.0, config.level, "seed batches are exchangeable"),
    )
    output_labels = {name: check_drawn(d, everything) for name, d in output_labels.items()}
    check_used(inputs.ratings, labelled, masks["pool"], output_labels)
    final = masks["neighbourhood"]
    matched = _matched(inputs, captions, final, outputs)
    if matched is not None:
        masks["matched"] = matched.mask
        stages.append(_matched_stage(matched, labelled))
        shifts += [
            shift_nested(d, ("neighbourhood", final), ("matched", matched.mask))
            for d in labelled.values()
        ]
    carried = {name: _not_carried(labelled.get(name), d) for name, d in output_labels.items()}
    generated = Stage(
        id="generated",
        kind="generated",
        title="generated pictures",
        note=outputs.summary.note,
        n_rows=None,
        n_pictures=len(outputs.vectors),
        compositions={
            name: compose(d, everything).model_copy(update={"not_corrected": carried[name]})
            if d.panel is None
            else compose(d, everything)
            for name, d in output_labels.items()
        },
    )
    amplified: list[Amplification] = []
    for stage in stages:
        if stage.kind not in ("neighbourhood", "matched") or not near.any():
            continue
        for name, d in labelled.items():
            shift = shift_independent(
                (stage.id, stage.compositions[name]),
                (generated.id, generated.compositions[name]),
                (
                    adjusted(d, masks[stage.id], config.seed),
                    adjusted(output_labels[name], everything, config.seed + 1),
                ),
            )
            shifts.append(shift)
            amplified.append(amplification(d.attribute, stage, generated, shift))
    stages.append(generated)
    notes = tuple(dict.fromkeys((*notes, *more, *_carrying(labelled, output_labels))))
    return Chain(
        tuple(stages), tuple(shifts), tuple(amplified), masks, labelled, output_labels, notes
    )


def _not_carried(data: Labelled | None, outputs: Labelled) -> str:
    """Why ratings of the data do not correct generated pictures; '' where neither is rated."""
    if data is None or data.panel is None or outputs.panel is not None:
        return ""
    read = outputs.base.sum()
    share = float(outputs.hit.sum() / read) if read else 0.0
    why = transport_check(error_counts(data), None, share).reason
    return f"the ratings of the data are not carried over to generated pictures: {why}"


def _carrying(data: dict[str, Labelled], outputs: dict[str, Labelled]) -> Iterator[str]:
    """What the data's errors would have done to generated pictures, where both were rated."""
    for name, d in data.items():
        other = outputs.get(name)
        if d.panel is None or other is None or other.panel is None:
            continue
        read = other.base.sum()
        share = float(other.hit.sum() / read) if read else 0.0
        check = transport_check(error_counts(d), error_counts(other), share)
        yield (
            f"{d.attribute.title.capitalize()}: generated pictures are corrected by ratings of "
            f"their own. Had the data's errors been carried over: {check.reason}."
        )


def error_counts(data: Labelled) -> ErrorCounts:
    """What rated pictures of the contrast are read as: of its level or not."""
    assert data.panel is not None
    a, said = data.attribute, data.panel.level
    true = said == a.levels.index(a.contrast)
    other = said == a.levels.index(a.against)
    hit = data.hit
    return ErrorCounts(
        int((true & hit).sum()),
        int((true & ~hit).sum()),
        int((other & hit).sum()),
        int((other & ~hit).sum()),
    )


def _matched(inputs: Inputs, captions: pl.Series, final: Bools, outputs: Outputs) -> Matched | None:
    """Rows with captions like the prompt, where there is one prompt and it is not empty."""
    if inputs.embedder is None or len(outputs.summary.prompts) != 1:
        return None
    return like_prompt(captions, final, outputs.summary.prompts[0], inputs.embedder)


def _matched_stage(matched: Matched, labelled: dict[str, Labelled]) -> Stage:
    return Stage(
        id="matched",
        kind="matched",
        title="after the recipe, captions like the prompt",
        note=matched.rule,
        n_rows=None,
        n_pictures=int(matched.mask.sum()),
        compositions={name: compose(d, matched.mask) for name, d in labelled.items()},
    )


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


def _of(attribute: Attribute, errors: tuple[KnownError, ...]) -> tuple[KnownError, ...]:
    """The measured errors of an attribute's reader: of zero-shot, since others make their own."""
    if attribute.reader != "zero-shot":
        return ()
    return tuple(e for e in errors if e.attribute == attribute.name)


@dataclass(frozen=True)
class ToRead:
    """Pictures of one source, to be read for every attribute."""

    source: str
    files: tuple[PictureFile, ...]
    captions: tuple[str, ...]
    vectors: NDArray[np.float32]


def label_pictures(
    inputs: Inputs, pictures: ToRead, errors: tuple[KnownError, ...], sample: Sample
) -> tuple[dict[str, Labelled], tuple[str, ...]]:
    """Labels by attribute, and what the readers say of them."""
    if inputs.embedder is None or len(pictures.vectors) == 0:
        return {}, ()
    ids = tuple(file.id for file in pictures.files)
    to_read = Pictures(
        ids, pictures.captions, pictures.vectors, lambda i: decode(pictures.files[i].read())
    )
    readings = {
        a.name: read(to_read, a, embedder=inputs.embedder, scores=inputs.scores.get(a.name))
        for a in inputs.attributes
    }
    levels = {a.name: [a.levels[i] for i in readings[a.name].label] for a in inputs.attributes}
    drawn_by = strata(levels)
    found = {
        a.name: Labelled(
            a,
            readings[a.name].label,
            sample,
            readings[a.name].labels,
            _of(a, errors),
            panel_of(inputs.ratings, a, ids, pictures.source, drawn_by),
            np.unique(np.array(ids), return_inverse=True)[1],
        )
        for a in inputs.attributes
    }
    return found, tuple(note for reading in readings.values() for note in reading.notes)


def _nested_shifts(labelled: dict[str, Labelled], masks: dict[str, Bools]) -> list[Shift]:
    """From each stage near the concept to the next, then from the first to the last."""
    order = [s for s in masks if s not in ("all", "neighbourhood", "matched")]
    pairs = [*itertools.pairwise(order), ("pool", "neighbourhood")]
    return [
        shift_nested(data, (first, masks[first]), (second, masks[second]))
        for data in labelled.values()
        for first, second in pairs
    ]
