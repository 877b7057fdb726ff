"""A probe's claims again, under one specification after another.

What does not depend on a choice is done once: pictures are embedded and read, generated pictures
composed, and the recipe judged once a detector (kept in the run's cache).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import ProbeConfig
from laion_probe.errors import LaionProbeError, NotEnoughData, ShardError
from laion_probe.estimate import Sample
from laion_probe.index import similarities
from laion_probe.known_error import Adjusted, for_concept
from laion_probe.neighbourhood import MIN_NAMED, choose_threshold, keywords, mean_direction
from laion_probe.questions.chain import Chain, ToRead, label_pictures
from laion_probe.questions.concept import Concept, Pool, build_pool, find_concept
from laion_probe.questions.finding import write_finding
from laion_probe.questions.inputs import Inputs, Progress, open_inputs
from laion_probe.questions.judging import Judged, judge
from laion_probe.questions.outputs import Outputs, embed_outputs
from laion_probe.questions.raters import panel_of, strata
from laion_probe.questions.robustness_choices import (
    RUN,
    prompts_of,
    ratings_by,
    with_detector,
)
from laion_probe.questions.robustness_verdict import told
from laion_probe.results import Claim, Composition, Estimate, Shift, Stage
from laion_probe.robustness_result import Verdict
from laion_probe.shifts import (
    Labelled,
    adjusted,
    amplification,
    check_drawn,
    compose,
    shift_independent,
    shift_nested,
)

__all__ = ["Again", "Bools", "Opened", "Said", "nearest", "open_again"]

#: Of the pictures near here, so many may lie outside of what the run's raters were shown.
_OUTSIDE = 0.02
_NOT_RATED = (
    f"more than {100 * _OUTSIDE:g} % of these pictures lie outside of what the ratings were drawn "
    "from (the run's own neighbourhood)"
)

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Opened:
    """What a run was made of, opened again. ``outputs`` is None without generated pictures."""

    config: ProbeConfig
    inputs: Inputs
    ran: Judged
    pool: Pool
    concept: Concept
    outputs: Outputs | None


@dataclass(frozen=True)
class Said:
    """A claim as one specification has it: its answer and estimates, or why there are none."""

    claim: Claim | None
    verdict: Verdict = "failed"
    by: str = ""
    estimate: Estimate | None = None
    range: Estimate | None = None
    reason: str = ""


def open_again(config: ProbeConfig, progress: Progress) -> Opened:
    """Open the inputs of a run and find its concept, as the run did."""
    inputs = open_inputs(config)
    ran = judge(inputs, config, progress)
    pool = build_pool(inputs, config, ran.units, ran.scan, progress)
    concept = find_concept(inputs, config, pool)
    outputs = embed_outputs(inputs, config, concept.result.keywords, progress)
    return Opened(config, inputs, ran, pool, concept, outputs)


class Again:
    """Reruns of one probe: `says` gives what a specification says of every claim."""

    def __init__(self, opened: Opened, progress: Progress) -> None:
        self.o, self.progress = opened, progress
        captions = tuple(opened.pool.pictured["text"].fill_null("").to_list())
        wanted = keywords(opened.config.concept)
        errors = tuple(for_concept(e, wanted) for e in opened.inputs.known_errors)
        self.data, _ = label_pictures(
            opened.inputs,
            ToRead("data", opened.pool.files, captions, opened.pool.vectors),
            errors,
            Sample(
                opened.pool.pictured["unit"].to_numpy(),
                opened.pool.sampled,
                opened.config.level,
                "the readable pictures are a random sample of the rows",
            ),
        )
        outputs = opened.outputs
        self.drawn: dict[str, Labelled] = {}
        if outputs is not None:
            self.drawn, _ = label_pictures(
                opened.inputs,
                ToRead("generated", outputs.files, outputs.prompts, outputs.vectors),
                errors if outputs.names_concept else opened.inputs.known_errors,
                Sample(outputs.unit, 0.0, opened.config.level, "seed batches are exchangeable"),
            )
        # Each is made once; what fails is not kept, and fails again with the same reason.
        self.near = functools.cache(self._near)
        self.kept = functools.cache(self._kept)
        self.similarity = functools.cache(self._similarity)
        self.labels = functools.cache(self._labels)
        self.generated = functools.cache(self._generated)

    def says(self, choices: Mapping[str, str]) -> tuple[dict[str, Said], int | None]:
        """By the claim's id, and the pictures near the concept after the recipe.

        Where the specification finds no such picture, every claim of it has that as its reason.
        """
        try:
            near = self.near(choices["prompts"], choices["threshold"])
            left = near & self.kept(choices["detector"])
            if not left.any():
                raise NotEnoughData("the recipe leaves no picture near the concept")
            chain, why_not = self._chain(near, left, choices["raters"])
        except LaionProbeError as error:
            return {"": Said(None, reason=str(error))}, None
        o = self.o
        found = write_finding(o.inputs, o.concept.result, chain, o.outputs)
        return {c.id: _said(c, chain, why_not) for c in found.claims}, int(left.sum())

    def _chain(self, near: Bools, left: Bools, rule: str) -> tuple[Chain, dict[str, str]]:
        """The two or three stages that claims are of, and why raters correct none of them."""
        data, _ = self.labels(rule)
        if (near & ~self.o.concept.near).sum() > _OUTSIDE * near.sum():
            data = {name: _refused(d) for name, d in data.items()}
        stages = [_stage("neighbourhood", left, {n: compose(d, left) for n, d in data.items()})]
        shifts = []
        if self.o.inputs.recipe.deciding:
            shifts = [
                shift_nested(d, ("pool", near), ("neighbourhood", left)) for d in data.values()
            ]
        amplified = []
        if self.o.outputs is not None:
            compositions, errors = self.generated(rule)
            stages.append(
                _stage("generated", np.ones(len(self.o.outputs.vectors), bool), compositions)
            )
            for name, d in data.items():
                ends = (("neighbourhood", stages[0].compositions[name]),
                        ("generated", compositions[name]))  # fmt: skip
                known = (adjusted(d, left, self.o.config.seed), errors[name])
                shift = shift_independent(*ends, known)
                shifts.append(shift)
                amplified.append(amplification(d.attribute, stages[0], stages[1], shift))
        why_not = {
            name: c.not_corrected or "these pictures have no ratings"
            for stage in stages
            for name, c in stage.compositions.items()
            if c.corrected is None
        }
        chain = Chain(tuple(stages), tuple(shifts), tuple(amplified), {}, data, {})
        return chain, why_not

    def _labels(self, rule: str) -> tuple[dict[str, Labelled], dict[str, Labelled]]:
        """Labels of the data and of generated pictures, with the ratings as the rule takes them.

        Ratings were drawn from what the run itself took for near, whatever is near here.
        """
        o = self.o
        if o.inputs.ratings is None:
            return self.data, self.drawn
        data_ids = [file.id for file in o.pool.files]
        drawn_ids = [file.id for file in o.outputs.files] if o.outputs else []
        frame = np.ones(len(drawn_ids), dtype=bool)
        return (
            self._with_panel(self.data, rule, (data_ids, "data"), o.concept.near),
            self._with_panel(self.drawn, rule, (drawn_ids, "generated"), frame),
        )

    def _with_panel(
        self,
        labelled: Mapping[str, Labelled],
        rule: str,
        pictures: tuple[list[str], str],
        frame: Bools,
    ) -> dict[str, Labelled]:
        ratings = ratings_by(rule, self.o.inputs.ratings)
        ids, source = pictures
        by = strata({n: [d.attribute.levels[i] for i in d.label] for n, d in labelled.items()})
        return {
            name: check_drawn(
                replace(d, panel=panel_of(ratings, d.attribute, ids, source, by)), frame
            )
            for name, d in labelled.items()
        }

    def _generated(self, rule: str) -> tuple[dict[str, Composition], dict[str, Adjusted | None]]:
        """Compositions of generated pictures, and their shares under measured errors."""
        _, drawn = self.labels(rule)
        everything = {n: np.ones(len(d.label), dtype=bool) for n, d in drawn.items()}
        return (
            {n: compose(d, everything[n]) for n, d in drawn.items()},
            {n: adjusted(d, everything[n], self.o.config.seed + 1) for n, d in drawn.items()},
        )

    # Choices

    def _kept(self, detector: str) -> Bools:
        """Which pictures' rows the recipe keeps with this detector."""
        o = self.o
        scan = o.ran.scan
        if detector != RUN:
            recipe = with_detector(o.inputs.recipe, detector)
            ran = judge(replace(o.inputs, recipe=recipe), o.config, self.progress)
            if [u.id for u in ran.units] != [u.id for u in o.ran.units]:
                raise ShardError("other row groups could be read than with the run's detector")
            scan = ran.scan
        last = len(o.inputs.recipe.step) - 1
        verdicts = o.pool.rows.select("unit", "row").with_columns(
            kept=pl.Series(np.asarray(scan.removed_at > last))
        )
        mine = o.pool.pictured.select("unit", "row")
        joined = mine.join(verdicts, on=("unit", "row"), how="left", maintain_order="left")
        return np.asarray(joined["kept"].to_numpy(), dtype=bool)

    def _similarity(self, name: str) -> Floats:
        o = self.o
        if name == RUN:
            return o.concept.similarity
        if o.inputs.embedder is None:
            raise NotEnoughData("there is no model to read prompts with")
        query = mean_direction(o.inputs.embedder.texts(prompts_of(name, o.config.concept)))
        return similarities(o.pool.vectors, query)

    def _near(self, name: str, threshold: str) -> Bools:
        """Which pictures are near the concept; `NotEnoughData` where none is, and why."""
        similarity = self.similarity(name)
        kind, _, number = threshold.rpartition(":")
        if kind == "top":
            return nearest(similarity, int(number))
        if threshold in (RUN, "half", "double"):
            near = self._by_rule(name, similarity)
            n = int(near.sum())
            if threshold == RUN:
                return near
            return nearest(similarity, max(1, n // 2) if threshold == "half" else 2 * n)
        near = similarity >= float(threshold)
        if not near.any():
            raise NotEnoughData(f"no picture reaches a cosine of {float(threshold):g}")
        return np.asarray(near)

    def _by_rule(self, name: str, similarity: Floats) -> Bools:
        """What the run's rule takes for near, by these prompts."""
        o = self.o
        value: float | None
        if name == RUN:
            return o.concept.near
        if o.config.threshold is not None:
            value = o.config.threshold
        elif o.pool.pictured["named"].sum() >= MIN_NAMED:
            named = o.pool.pictured["named"].to_numpy()
            chosen = choose_threshold(similarity, named, np.zeros(0, dtype=np.float32))
            if chosen.value is None:
                raise NotEnoughData(f"no match: {chosen.rule}")
            value = chosen.value
        elif o.inputs.examples:
            raise NotEnoughData("the run's rule is for example pictures, not for prompts")
        else:  # pictures with their own captions: no prompt is in it
            found = o.concept.result.threshold
            if found is None:
                raise NotEnoughData("the run found no picture near the concept")
            value = found
        near = similarity >= value
        if not near.any():
            raise NotEnoughData(f"no picture reaches the rule's cosine of {value:.3f}")
        return np.asarray(near)


def nearest(similarity: Floats, n: int) -> Bools:
    """The ``n`` most similar, or all; with what is as similar as the last of them."""
    least = np.sort(similarity)[-min(n, len(similarity))]
    return np.asarray(similarity >= least)


def _refused(d: Labelled) -> Labelled:
    """The same, with ratings that say nothing of these pictures."""
    return d if d.panel is None else replace(d, panel=replace(d.panel, refused=_NOT_RATED))


def _stage(name: str, mask: Bools, compositions: dict[str, Composition]) -> Stage:
    return Stage.model_validate(
        {"id": name, "kind": name, "title": name, "n_rows": None, "n_pictures": int(mask.sum())}
        | {"compositions": compositions}
    )


def _said(claim: Claim, chain: Chain, why_not: Mapping[str, str]) -> Said:
    """The claim with the estimates that it quotes and that decide it."""
    t = told(claim, chain.shifts)
    if t.estimate is None or t.estimate.value is None:
        reason = "too few pictures: the change is not defined"
        return Said(claim, by=t.by, reason=reason)
    return Said(claim, t.verdict, t.by, t.estimate, t.range, _uncorrected(t.shift, why_not))


def _uncorrected(shift: Shift, why_not: Mapping[str, str]) -> str:
    return "" if shift.corrected is not None else why_not.get(shift.attribute, "")
