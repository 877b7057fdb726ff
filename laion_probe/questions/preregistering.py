"""The plan of a probe, written and hashed without a look at what it is to measure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from laion_probe.attributes import load_attribute
from laion_probe.config import ProbeConfig
from laion_probe.config.preregister import PreregisterConfig
from laion_probe.embed import load_embedder
from laion_probe.errors import ConfigError
from laion_probe.neighbourhood import keywords
from laion_probe.pictures import list_downloads, list_files, list_generated
from laion_probe.preregistration import Registered, read_preregistration, to_toml
from laion_probe.questions.inputs import (
    Inputs,
    Progress,
    already_passed,
    cache_folder,
    known_errors_of,
    references_of,
)
from laion_probe.questions.preregistered_expectations import check_expected, parse_expected
from laion_probe.questions.registered_plan import plan_of, planned_claims
from laion_probe.questions.repeating import command
from laion_probe.recipes import load_recipe
from laion_probe.shards import list_shards
from laion_probe.store import atomic_file

__all__ = ["preregister"]


def preregister(
    config: PreregisterConfig, progress: Progress = lambda what, done, of: None
) -> tuple[str, ...]:
    """Write the plan of the probe that ``config`` asks for; the lines to print.

    Shards, pictures, tables and weights are opened for their fingerprints alone: no caption is
    counted, no picture decoded, no label or rating read. Generated pictures, ratings and scores
    that are not there yet are registered by their names. Raises `ConfigError` where the file
    exists already, an input cannot be used, or an expectation names no claim of the plan.

    Example:
        >>> from laion_probe.config.preregister import PreregisterConfig
        >>> config = PreregisterConfig(concept="doctor", shards=("part-0.parquet",))
        >>> preregister(config)  # doctest: +SKIP
    """
    if config.preregistered is not None:
        raise ConfigError("--preregistered is for the probe that follows: leave it out here")
    slug = re.sub(r"[^\w]+", "-", config.concept.lower()).strip("-")[:60]
    path = Path(config.out or f"preregistration-{slug or 'probe'}.toml")
    _check_new(path)
    progress("taking fingerprints", 0, 1)
    inputs = _unread(config)
    check_expected(config.expect, planned_claims(config, inputs))
    written = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    plan = plan_of(config, inputs, written)
    sealed = plan.model_copy(update={"expected": config.expect}).sealed()
    text = to_toml(sealed)
    try:
        with atomic_file(path) as scratch:
            scratch.write_text(text, encoding="utf-8", newline="\n")
            _check_new(path)  # fingerprints of much data take long
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; give another --out") from error
    progress("taking fingerprints", 1, 1)
    return tuple(_lines(config, read_preregistration(path), path))


def _check_new(path: Path) -> None:
    if path.exists():
        raise ConfigError(
            f"{path} exists already, and a preregistration is not written over: give another --out"
        )


def _unread(config: ProbeConfig) -> Inputs:
    """The inputs as they are opened, but for tables of labels and ratings: these are outcomes."""
    if not keywords(config.concept) and not config.examples:
        raise ConfigError(f"the concept {config.concept!r} has no letters or digits: give words")
    if not config.attributes or len(set(config.attributes)) != len(config.attributes):
        raise ConfigError("name each attribute once, and one at least")
    attributes = tuple(load_attribute(name) for name in config.attributes)
    by_scores = {item.partition("=")[0] for item in config.scores}
    if unknown := by_scores - {a.name for a in attributes}:
        raise ConfigError(f"scores of {', '.join(sorted(unknown))}: not among the attributes")
    shards = list_shards(config.shards, config.columns)
    already, note = already_passed(config.already, shards)
    made = bool(config.generated and Path(config.generated).exists())
    needs_model = bool(config.images or config.generated or config.embeddings)
    return Inputs(
        recipe=load_recipe(config.recipe),
        already=already,
        already_note=note,
        attributes=tuple(
            a.model_copy(update={"reader": "scores"}) if a.name in by_scores else a
            for a in attributes
        ),
        shards=shards,
        downloads=list_downloads(config.images) if config.images else None,
        generated=list_generated(config.generated or "") if made else None,
        examples=list_files(config.examples),
        references=references_of(config.reference, attributes, config.concept),
        embedder=load_embedder(config.model, config.pretrained) if needs_model else None,
        known_errors=known_errors_of(config.model, attributes) if needs_model else (),
        cache=cache_folder(config),
        scores={},
        ratings=None,
    )


def _lines(config: PreregisterConfig, plan: Registered, path: Path) -> Iterator[str]:
    n = len(plan.claims)
    yield (
        f"{path}: {n} claim{'s' * (n != 1)} to be made or withheld, {len(plan.inputs)} inputs by "
        "fingerprint; no more of them was read here"
    )
    if to_come := [f"{i.kind} {i.name}" for i in plan.inputs if not i.fingerprint]:
        yield f"not there yet, registered by name: {', '.join(to_come)}"
    for one in filter(None, map(parse_expected, plan.expected)):
        yield f"expected: {one.claim} {one.answer}"
    yield f"hash: {plan.hash}"
    yield (
        "deposit the file or its hash where the date is vouched for: the hash alone proves no date"
    )
    fields = {name: getattr(config, name) for name in ProbeConfig.model_fields}
    asked = ProbeConfig(**fields | {"out": None, "preregistered": str(path)})
    yield f"then: {command('probe', asked, 'concept')}"
