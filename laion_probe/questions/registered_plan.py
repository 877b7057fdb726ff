"""What a probe is going to do, as a preregistration holds it, and how a run keeps to that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from laion_probe import __version__
from laion_probe.attributes import Attribute
from laion_probe.config import WHO_COMPUTES, ProbeConfig
from laion_probe.errors import ConfigError
from laion_probe.neighbourhood import MIN_NAMED, keywords, prompts
from laion_probe.preregistration import (
    ClaimOutcome,
    Deviation,
    Preregistered,
    Registered,
    RegisteredAttribute,
    RegisteredClaim,
    RegisteredInput,
    RegisteredRecipe,
    deviations,
    made_since,
)
from laion_probe.questions.inputs import Inputs, model_record, shard_records
from laion_probe.questions.preregistered_expectations import compared, counted
from laion_probe.questions.repeating import without_folders
from laion_probe.results import Finding, Shift
from laion_probe.shards import file_sha256
from laion_probe.store import fingerprint
from laion_probe.vectors import open_embeddings

__all__ = ["held_to", "package_versions", "plan_of", "planned_claims"]

_PACKAGES = ("faiss-cpu", "ftfy", "numpy", "open_clip_torch", "polars", "pyarrow", "scipy", "torch")

#: Words about a run, and how much of it is shown: they change no number.
_SHOWN_ONLY = ("data_note", "context", "harm", "show", "preregistered")
#: Registered by content, not by what they are called or where they lie.
_BY_CONTENT = (
    *("shards", "images", "embeddings", "generated", "examples", "ratings", "scores"),
    *("model", "pretrained", "recipe", "attributes", "reference", "already"),
)

_BY_RULE = (
    f"by rule: where at least {MIN_NAMED} captions of pictures name the concept, the cosine that "
    "maximises recall² / share selected over these pictures (Lee and Liu 2003); with example "
    "pictures, otherwise the median plus three robust standard deviations; without, otherwise the "
    "median cosine of pictures with their own captions, and no match where no caption names it"
)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a probe computes with."""
    return {name: metadata.version(name) for name in _PACKAGES}


def plan_of(config: ProbeConfig, inputs: Inputs, written: str = "") -> Registered:
    """The plan that these options and inputs come to, by content: no outcome is in it."""
    level = f"{100 * config.level:g} %"
    return Registered(
        written=written,
        version=__version__,
        keywords=keywords(config.concept),
        prompts=() if config.examples else prompts(config.concept),
        threshold_rule=_BY_RULE
        if config.threshold is None
        else f"given: a cosine of at least {config.threshold:g}",
        estimator=(
            f"shares: {level} intervals clustered by unit (row group of the data, seed batch of "
            "the generator), Wilson's on the effective sample size, Clopper-Pearson's where few "
            "units hold the rarer kind; of the data with the finite-population correction",
            "changes: paired where one set is part of the other, else of independent sets",
            "with ratings: the machine's labels corrected by them (PPI++), or the ratings alone "
            "where they are too few, by the rules of `laion-probe estimators`",
        ),
        decision=f"supported where the {level} interval of the difference leaves out zero: the "
        "raters' where both sets are rated; else the classifier's, and then also its range under "
        "the classifier's measured errors where there are any; or where a full count finds no "
        "change at all, and what knows the labels' errors none either; withheld otherwise",
        options=_options(config, inputs),
        recipe=RegisteredRecipe(
            name=inputs.recipe.name,
            title=inputs.recipe.title,
            steps=tuple(f"{s.id}: {s.title}" for s in inputs.recipe.step),
            fingerprint=fingerprint(inputs.recipe.model_dump(mode="json")),
        ),
        attributes=tuple(_attribute(a) for a in inputs.attributes),
        claims=planned_claims(config, inputs),
        inputs=tuple(_inputs(config, inputs)),
        model=dict(inputs.embedder.key) if inputs.embedder else {},
        packages=package_versions(),
    )


def _options(config: ProbeConfig, inputs: Inputs) -> dict[str, bool | int | float | str]:
    """Options that change a result, where they are given; lists as text."""
    left_out = {*WHO_COMPUTES, *_SHOWN_ONLY, *_BY_CONTENT}
    asked = without_folders(config).model_dump(mode="json", include=_fields() - left_out)
    asked["concept"] = config.concept.strip()
    asked["reference"] = [item for item in config.reference if not item.endswith(".csv")]
    asked["already"] = config.already
    if inputs.already is not None and (config.already or "").endswith(".toml"):
        content = fingerprint(inputs.already.model_dump(mode="json"))
        asked["already"] = f"{inputs.already.name} ({content})"
    asked = {k: ", ".join(v) if isinstance(v, list) else v for k, v in asked.items()}
    return {k: v for k, v in asked.items() if v is not None and (v != "" or k == "prompt")}


def _fields() -> set[str]:
    return set(ProbeConfig.model_fields)


def _attribute(a: Attribute) -> RegisteredAttribute:
    return RegisteredAttribute(
        name=a.name,
        title=a.title,
        reader=a.reader,
        contrast=a.contrast,
        against=a.against,
        prompts={x.name: x.prompts for x in a.level if x.prompts and a.reader == "zero-shot"},
        fingerprint=fingerprint(a.model_dump(mode="json")),
    )


def planned_claims(config: ProbeConfig, inputs: Inputs) -> tuple[RegisteredClaim, ...]:
    """The claims that the finding makes or withholds, if the concept is found."""
    claims = []
    has_pictures = bool(config.images or config.embeddings)
    for a in inputs.attributes:
        share = f"the share of {a.contrast} among {a.contrast} or {a.against}, near the concept,"
        if has_pictures and inputs.recipe.deciding:
            about = f"{share} after the recipe {inputs.recipe.name} less before it"
            claims.append(RegisteredClaim(id=f"recipe:{a.name}", about=about))
        if has_pictures and config.generated:
            about = f"{share} of generated pictures less of the data"
            claims.append(RegisteredClaim(id=f"generator:{a.name}", about=about))
    return tuple(claims)


def _inputs(config: ProbeConfig, inputs: Inputs) -> Iterator[RegisteredInput]:
    """Every input by its content; what is not there yet by its name alone."""
    for record in shard_records(inputs.shards, "", ""):
        yield _input("shard", record.name, record.fingerprint)
    for part in inputs.downloads.parts if inputs.downloads else ():
        yield _input("images", part.name, part.sha256)
    if config.generated:
        parts = inputs.generated.parts if inputs.generated else ()
        digest = fingerprint([p.sha256 for p in parts]) if parts else ""
        yield _input("generated", Path(config.generated).name, digest)
    if inputs.embedder:
        record = model_record(inputs.embedder.key)
        yield _input("model", record.name, record.fingerprint)
    errors = Path(config.model.removeprefix("local-dir:")) / "known_errors.json"
    if inputs.known_errors:
        yield _input("known errors", errors.name, file_sha256(errors))
    if config.embeddings:  # it may be there already, or be filled from the pictures
        folder = Path(config.embeddings)
        is_there = folder.is_dir() and any(folder.rglob("*.np[yz]"))
        content = open_embeddings(config.embeddings).fingerprint() if is_there else ""
        yield _input("embeddings", folder.name, content)
    for kind, paths in (("example", config.examples), ("ratings", config.ratings)):
        for path in paths:
            yield _table(kind, path)
    for item in config.scores:
        name, _, path = item.partition("=")
        yield _table(f"scores of {name}", path)
    for path in config.reference:
        if path.endswith(".csv"):
            yield _table("reference", path)


def _input(kind: str, name: str, content: str) -> RegisteredInput:
    return RegisteredInput(kind=kind, name=name, fingerprint=content)


def _table(kind: str, path: str) -> RegisteredInput:
    file = Path(path)
    try:
        content = file_sha256(file) if file.exists() else ""
    except OSError as error:
        raise ConfigError(f"{kind} {path}: {error.strerror}; give a file") from None
    return _input(kind, file.name, content)


def held_to(
    registered: Registered, used: Registered, finding: Finding, shifts: Sequence[Shift]
) -> Preregistered:
    """How a run that did what ``used`` says keeps to what was registered, and to what expected."""
    found = deviations(registered, used)
    expectations = compared(registered, used, finding.claims, shifts)
    made = {c.id: c for c in finding.claims}
    planned = {c.id: c.about for c in registered.claims}
    about = {c.id: c.about for c in used.claims} | planned
    claims = []
    for claim in dict.fromkeys((*planned, *made)):
        outcome = made.get(claim)
        claims.append(
            ClaimOutcome(
                id=claim,
                about=about.get(claim, ""),
                registered=claim in planned,
                outcome="not made"
                if outcome is None
                else "supported"
                if outcome.supported
                else "withheld",
            )
        )
    return Preregistered(
        hash=registered.hash,
        written=registered.written,
        expectations=expectations,
        deviations=found,
        made_since=made_since(registered, used),
        claims=tuple(claims),
        sentence=" ".join(filter(None, (_sentence(registered, found), counted(expectations)))),
    )


def _sentence(registered: Registered, found: tuple[Deviation, ...]) -> str:
    day = registered.written[:10]
    said = f"Preregistered on {day} (hash {registered.hash[:12]}…)"
    if not found:
        return f"{said}: options, inputs and versions are those registered."
    things = "; ".join(f"{d.what}: {d.registered} → {d.used}" for d in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{said}, with {len(found)} deviation{'s' * (len(found) > 1)}: {things}{more}."
