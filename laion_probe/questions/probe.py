"""The main question: how a concept's composition changes from the pool to the output."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from laion_probe import __version__
from laion_probe.config import WHO_COMPUTES, ProbeConfig
from laion_probe.preregistration import read_preregistration
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.captions import audit, language_counts
from laion_probe.questions.concept import Concept, Pool
from laion_probe.questions.curves import probe_curves
from laion_probe.questions.effects import step_effects
from laion_probe.questions.encoding import encoder_defaults
from laion_probe.questions.finding import cannot_say, how_measured, write_finding
from laion_probe.questions.inputs import Progress, input_records, note_beside
from laion_probe.questions.measuring import Measured, measure
from laion_probe.questions.overturning import overturning
from laion_probe.questions.registered_plan import held_to, package_versions, plan_of
from laion_probe.questions.repeating import command, without_folders
from laion_probe.questions.shown import data_sets, keyword_only, output_sets
from laion_probe.results import FailedUnit, Provenance, WordScore
from laion_probe.shifts import word_scores

__all__ = ["probe"]


def probe(config: ProbeConfig, progress: Progress = lambda what, done, of: None) -> ProbeResult:
    """Follow a concept from the pool through a recipe to generated pictures.

    Reads the shards that ``config`` names, replays the recipe on every row, embeds pictures that
    have no embedding yet (kept under ``config.cache``) and returns one `ProbeResult`; it writes no
    report. Raises a `LaionProbeError` that says what to do when an input cannot be used.

    Example:
        >>> import laion_probe
        >>> config = laion_probe.ProbeConfig(concept="saree", shards=("part-0.parquet",))
        >>> laion_probe.probe(config).concept.answer  # doctest: +SKIP
    """
    # A file that was changed is refused before anything long begins.
    registered = read_preregistration(Path(config.preregistered)) if config.preregistered else None
    m = measure(config, progress)
    finding = write_finding(m.inputs, m.concept.result, m.chain, m.outputs)
    preregistered = None
    if registered is not None:
        preregistered = held_to(registered, plan_of(config, m.inputs), finding, m.chain.shifts)
        said = (*finding.sentences, preregistered.sentence)
        finding = finding.model_copy(update={"sentences": said})
    return ProbeResult(
        concept=m.concept.result,
        recipe=m.inputs.recipe.name,
        recipe_title=m.inputs.recipe.title,
        recipe_source=m.inputs.recipe.source,
        data_note=config.data_note or note_beside(m.inputs.shards),
        context=config.context,
        harms=config.harms,
        finding=finding,
        preregistered=preregistered,
        stages=m.chain.stages,
        shifts=m.chain.shifts,
        amplification=m.chain.amplification,
        steps=step_effects(m.inputs, m.ran.scan, m.pool, m.concept.near, m.chain.labelled),
        pictures=(
            *data_sets(config, m.pool, m.concept, m.chain.masks["neighbourhood"], m.chain.labelled),
            *output_sets(config, m.outputs, m.concept, m.chain.output_labels),
        ),
        keyword_only=keyword_only(config, m.pool, m.concept, m.chain.labelled),
        curves=probe_curves(m.concept, m.chain, config.seed),
        words=_words(m.pool, m.concept),
        audit=audit(config, m.pool.rows, m.inputs.recipe, m.inputs.cache),
        languages=language_counts(m.pool, m.concept.near, m.chain.masks, m.inputs.recipe),
        known_errors=m.inputs.known_errors,
        encoder=encoder_defaults(m.inputs, config, m.pool, m.chain),
        generated=m.outputs.summary if m.outputs else None,
        references=m.inputs.references,
        how_measured=how_measured(m.inputs, config, m.concept.result, m.pool, m.chain),
        sensitivity=overturning(m.inputs.attributes, m.chain, m.pool),
        cannot_say=cannot_say(m.inputs, m.concept.result, m.pool, m.outputs, m.ran.failed),
        provenance=_provenance(m, config),
    )


def _words(pool: Pool, concept: Concept) -> tuple[WordScore, ...]:
    """Words of the captions near the concept; without pictures, of those that name it."""
    if concept.near.any():
        texts, mask = pool.pictured["text"], pl.Series(concept.near)
    else:
        texts, mask = pool.rows["text"], pool.rows["named"]
    return word_scores(texts.filter(mask), texts.filter(~mask), concept.result.keywords)


def _provenance(m: Measured, config: ProbeConfig) -> Provenance:
    left_out = {*WHO_COMPUTES, *(() if config.preregistered else ("preregistered",))}
    asked = without_folders(config).model_dump(mode="json", exclude=left_out)
    return Provenance(
        version=__version__,
        command=command_line(config),
        config=asked,
        seed=config.seed,
        inputs=(*input_records(m.inputs, config), *m.pool.records),
        failed_units=tuple(
            FailedUnit(unit=f.unit.label, n_rows=f.unit.n_rows, reason=f.reason)
            for f in m.ran.failed
        ),
        n_units=len(m.ran.units) + len(m.ran.failed),
        model=dict(m.inputs.embedder.key) if m.inputs.embedder else {},
        packages=package_versions(),
    )


def command_line(config: ProbeConfig) -> str:
    """The command that repeats a run from the folder where its inputs lie."""
    return command("probe", config, "concept", folders=False)
