"""The main question: how a concept's composition changes from the pool to the output."""

from __future__ import annotations

import shlex
from importlib import metadata

import polars as pl

from laion_probe import __version__
from laion_probe.compare import word_scores
from laion_probe.config import WHO_COMPUTES, ProbeConfig
from laion_probe.questions.captions import audit, language_counts
from laion_probe.questions.chain import build_chain
from laion_probe.questions.concept import Concept, Pool, build_pool, find_concept
from laion_probe.questions.effects import step_effects
from laion_probe.questions.finding import cannot_say, how_measured, write_finding
from laion_probe.questions.inputs import Inputs, Progress, input_records, note_beside, open_inputs
from laion_probe.questions.judging import Judged, judge
from laion_probe.questions.outputs import embed_outputs
from laion_probe.questions.shown import data_sets, keyword_only, output_sets
from laion_probe.results import FailedUnit, ProbeResult, Provenance, WordScore

__all__ = ["probe"]

_PACKAGES = ("faiss-cpu", "ftfy", "numpy", "open_clip_torch", "polars", "pyarrow", "scipy", "torch")


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
    inputs = open_inputs(config)
    ran = judge(inputs, config, progress)
    scan = ran.scan
    pool = build_pool(inputs, config, ran.units, scan, progress)
    concept = find_concept(inputs, config, pool)
    outputs = embed_outputs(inputs, config, concept.result.keywords, progress)
    chain = build_chain(inputs, config, scan, pool, concept.near, outputs)
    return ProbeResult(
        concept=concept.result,
        recipe=inputs.recipe.name,
        recipe_title=inputs.recipe.title,
        recipe_source=inputs.recipe.source,
        data_note=config.data_note or note_beside(inputs.shards),
        finding=write_finding(inputs, concept.result, chain, outputs),
        stages=chain.stages,
        shifts=chain.shifts,
        amplification=chain.amplification,
        steps=step_effects(inputs, scan, pool, concept.near, chain.labelled),
        pictures=(
            *data_sets(config, pool, concept, chain.masks["neighbourhood"], chain.labelled),
            *output_sets(config, outputs, concept, chain.output_labels),
        ),
        keyword_only=keyword_only(config, pool, concept, chain.labelled),
        words=_words(pool, concept),
        audit=audit(config, pool.rows, inputs.recipe, inputs.cache),
        languages=language_counts(pool, concept.near, chain.masks, inputs.recipe),
        known_errors=inputs.known_errors,
        generated=outputs.summary if outputs else None,
        references=inputs.references,
        how_measured=how_measured(inputs, config, concept.result, pool),
        cannot_say=cannot_say(inputs, concept.result, pool, outputs, ran.failed),
        provenance=_provenance(inputs, config, ran),
    )


def _words(pool: Pool, concept: Concept) -> tuple[WordScore, ...]:
    """Words of the captions near the concept; without pictures, of those that name it."""
    if concept.near.any():
        texts, mask = pool.pictured["text"], pl.Series(concept.near)
    else:
        texts, mask = pool.rows["text"], pool.rows["named"]
    return word_scores(texts.filter(mask), texts.filter(~mask), concept.result.keywords)


def _provenance(inputs: Inputs, config: ProbeConfig, ran: Judged) -> Provenance:
    asked = config.model_dump(mode="json", exclude=set(WHO_COMPUTES))
    return Provenance(
        version=__version__,
        command=command_line(config),
        config=asked,
        seed=config.seed,
        inputs=input_records(inputs, config),
        failed_units=tuple(
            FailedUnit(unit=f.unit.label, n_rows=f.unit.n_rows, reason=f.reason) for f in ran.failed
        ),
        n_units=len(ran.units) + len(ran.failed),
        model=dict(inputs.embedder.key) if inputs.embedder else {},
        packages={name: metadata.version(name) for name in _PACKAGES},
    )


def command_line(config: ProbeConfig) -> str:
    """The command that repeats a run, with every option that differs from its default."""
    parts = ["laion-probe", "probe", config.concept]
    for name, field in ProbeConfig.model_fields.items():
        value = getattr(config, name)
        if name in ("concept", *WHO_COMPUTES) or value == field.default:
            continue
        flag = "--" + name.replace("_", "-")
        parts += [flag, *(value if isinstance(value, tuple) else [str(value)])]
    return shlex.join(parts)
