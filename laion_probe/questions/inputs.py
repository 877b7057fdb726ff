"""Open and check everything that a probe reads, before anything long begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import TypeAdapter, ValidationError

from laion_probe.attributes import Attribute, load_attribute
from laion_probe.attributes.scores import read_scores
from laion_probe.config import DataConfig, PicturesConfig, ProbeConfig
from laion_probe.embed import Embedder, Vectors, embed_all, load_embedder
from laion_probe.errors import ConfigError, ShardError, UnknownName
from laion_probe.neighbourhood import keywords
from laion_probe.notes import note_in
from laion_probe.pictures import (
    Downloads,
    Generated,
    PictureFile,
    PicturePart,
    list_downloads,
    list_files,
    list_generated,
)
from laion_probe.public_sets import PUBLIC_SETS
from laion_probe.questions.counts_file import read_references
from laion_probe.questions.repeating import command
from laion_probe.ratings.table import Ratings, read_ratings
from laion_probe.recipes import Recipe, known_recipes, load_recipe
from laion_probe.records import guess_filters
from laion_probe.results import InputRecord, KnownError
from laion_probe.shards import Shard, file_sha256, list_shards
from laion_probe.store import fingerprint

__all__ = [
    "Inputs",
    "Progress",
    "already_passed",
    "cache_folder",
    "check_generated",
    "embed_parts",
    "input_records",
    "known_errors_of",
    "model_record",
    "note_beside",
    "open_inputs",
    "open_ratings",
    "open_scores",
    "references_of",
    "repeat_command",
    "shard_records",
    "table_records",
]

#: Called with (what, done, of); the library itself prints nothing.
Progress = Callable[[str, int, int], None]

_DEFAULT_CACHE = Path(".cache") / "laion-probe"


@dataclass(frozen=True)
class Inputs:
    """Opened inputs. ``embedder`` is None when there is nothing to embed."""

    recipe: Recipe
    already: Recipe | None
    already_note: str
    attributes: tuple[Attribute, ...]
    shards: tuple[Shard, ...]
    downloads: Downloads | None
    generated: Generated | None
    examples: tuple[PictureFile, ...]
    references: dict[str, dict[str, float]]
    embedder: Embedder | None
    known_errors: tuple[KnownError, ...]
    cache: Path
    scores: dict[str, pl.DataFrame]  # by attribute: labels that another model gave
    ratings: Ratings | None


def open_inputs(config: ProbeConfig) -> Inputs:
    """Check every name and path of the config, cheapest first, and open what it names."""
    if not keywords(config.concept) and not config.examples:
        raise ConfigError(f"the concept {config.concept!r} has no letters or digits: give words")
    if config.examples and not (config.images or config.embeddings):
        raise ConfigError("--examples are compared with pictures: give --images too")
    if len(set(config.attributes)) != len(config.attributes):
        raise ConfigError(f"an attribute is named twice: {', '.join(config.attributes)}")
    recipe = load_recipe(config.recipe)
    attributes = tuple(load_attribute(name) for name in config.attributes)
    if not attributes:
        raise ConfigError("no attributes given: name at least one, such as gender_presentation")
    references = references_of(config.reference, attributes, config.concept)
    scores = open_scores(config.scores, attributes)
    attributes = tuple(
        a.model_copy(update={"reader": "scores"}) if a.name in scores else a for a in attributes
    )
    ratings = open_ratings(config.ratings, attributes)
    shards = list_shards(config.shards, config.columns)
    already, note = already_passed(config.already, shards)
    examples = list_files(config.examples)
    downloads = list_downloads(config.images) if config.images else None
    generated = list_generated(config.generated) if config.generated else None
    if config.embeddings and not downloads and not Path(config.embeddings).is_dir():
        raise ConfigError(
            f"embeddings folder {config.embeddings} does not exist: give one that holds "
            "embeddings, or --images with pictures to fill it from"
        )
    needs_model = bool(downloads or generated or config.embeddings)
    return Inputs(
        recipe=recipe,
        already=already,
        already_note=note,
        attributes=attributes,
        shards=shards,
        downloads=downloads,
        generated=generated,
        examples=examples,
        references=references,
        embedder=load_embedder(config.model, config.pretrained) if needs_model else None,
        known_errors=known_errors_of(config.model, attributes) if needs_model else (),
        cache=cache_folder(config),
        scores=scores,
        ratings=ratings,
    )


def open_scores(items: Sequence[str], attributes: Sequence[Attribute]) -> dict[str, pl.DataFrame]:
    """Imported labels by attribute, from ATTRIBUTE=FILE items."""
    by_name = {a.name: a for a in attributes}
    found: dict[str, pl.DataFrame] = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals or name not in by_name or name in found:
            raise ConfigError(
                f"scores '{item}' is not ATTRIBUTE=FILE, once for one of the attributes "
                f"{', '.join(by_name)}"
            )
        found[name] = read_scores(path, by_name[name])
    return found


def open_ratings(paths: Sequence[str], attributes: Sequence[Attribute]) -> Ratings | None:
    """The ratings of all files together; None where none are given."""
    if not paths:
        return None
    tables = [read_ratings(path, attributes) for path in paths]
    frame = pl.concat([t.frame for t in tables])
    said = ("picture", "source", "rater", "attribute")
    twice = frame.filter(frame.select(said).is_duplicated())
    if len(twice):
        picture, _, rater, attribute = twice.select(said).row(0)
        raise ConfigError(
            f"{' and '.join(paths)} both hold the rating of {picture!r} ({attribute}) by "
            f"{rater!r}: give each rating once, or name the raters apart"
        )
    ignored = tuple(dict.fromkeys(name for t in tables for name in t.ignored))
    return Ratings(frame, sum(t.n_rows for t in tables), ignored)


def cache_folder(config: DataConfig) -> Path:
    """Where finished work is kept for the next run."""
    return Path(config.cache) if config.cache else _DEFAULT_CACHE


def embed_parts(
    inputs: Inputs,
    parts: tuple[PicturePart, ...],
    what: str,
    progress: Progress,
    folder: str | None = None,
) -> Vectors:
    """Vectors of ``parts``, from ``folder`` or the cache as far as they are there already."""
    if inputs.embedder is None:
        raise ConfigError("there is no model to embed with")
    content = fingerprint([inputs.embedder.key, [p.sha256 for p in parts]])
    target = Path(folder) if folder else inputs.cache / "embeddings" / content
    return embed_all(
        parts, inputs.embedder, target, lambda done, of: progress(f"embed {what}", done, of)
    )


def check_generated(vectors: Vectors, max_failed_share: float) -> int:
    """How many generated pictures cannot be read; a `ShardError` when they are too many."""
    broken = vectors.rows.filter(vectors.rows["error"] != "")
    if len(broken) > max_failed_share * len(vectors.rows):
        first = broken.row(0, named=True)
        raise ShardError(
            f"{len(broken)} of {len(vectors.rows)} generated pictures cannot be used, first "
            f"{first['id']}: {first['error']}; remove them, or allow it with --max-failed-share"
        )
    return len(broken)


def input_records(inputs: Inputs, config: ProbeConfig) -> tuple[InputRecord, ...]:
    """Every input by name and content hash, with the filters already behind it."""
    already = inputs.already.name if inputs.already else (config.already or "unknown")
    records = list(shard_records(inputs.shards, already, inputs.already_note))
    if inputs.downloads:
        records += [
            InputRecord(
                kind="images", name=p.name, fingerprint=p.sha256, n_rows=len(p.files), already=""
            )
            for p in inputs.downloads.parts
        ]
    if inputs.generated:
        digest = fingerprint([p.sha256 for p in inputs.generated.parts])
        records.append(
            InputRecord(
                kind="generated",
                name=Path(config.generated or "").name,
                fingerprint=digest,
                n_rows=len(inputs.generated.rows),
                already="",
                note="hash over the hashes of all pictures",
            )
        )
    if inputs.embedder:
        records.append(model_record(inputs.embedder.key))
    return (*records, *table_records(config))


def model_record(key: Mapping[str, str]) -> InputRecord:
    """The model that embedded, by its name and the hash of its weights."""
    return InputRecord(
        kind="model",
        name=key["model"],
        fingerprint=key["weights_sha256"],
        n_rows=None,
        already="",
    )


def table_records(config: PicturesConfig) -> tuple[InputRecord, ...]:
    """The tables of ratings, scores and references by name and content hash."""
    paths = [
        *config.ratings,
        *(item.partition("=")[2] for item in config.scores),
        *(item for item in config.reference if item.endswith(".csv")),
    ]
    return tuple(
        InputRecord(
            kind="table",
            name=Path(path).name,
            fingerprint=file_sha256(Path(path)),
            n_rows=None,
            already="",
        )
        for path in paths
    )


def shard_records(shards: tuple[Shard, ...], already: str, note: str) -> tuple[InputRecord, ...]:
    """Every shard by name and fingerprint, with the filters behind it and how it was mapped."""
    return tuple(
        InputRecord(
            kind="shard",
            name=s.name,
            fingerprint=s.fingerprint,
            n_rows=s.n_rows,
            already=already,
            note="; ".join([note, *s.columns.notes]) if not s.error else s.error,
        )
        for s in shards
    )


def note_beside(shards: tuple[Shard, ...]) -> str:
    """What ``DATA_NOTE.txt`` in the folders of local shards says that readers must know of them."""
    return note_in(s.file.url for s in shards)


def repeat_command(name: str, config: DataConfig, argument: str = "shards") -> str:
    """The command that repeats a run; shards stand as SHARDS, since they may lie elsewhere."""
    shards = ("SHARDS",) if config.shards else ()
    asked = config.model_copy(update={"shards": shards})
    return command(name, asked, argument, folders=False)


def known_errors_of(model: str, attributes: tuple[Attribute, ...]) -> tuple[KnownError, ...]:
    """The classifier's measured errors, where a checkpoint's folder has ``known_errors.json``.

    A list of `KnownError` values, as its maker measured them on labelled pictures.
    """
    if not model.startswith("local-dir:"):
        return ()
    path = Path(model.removeprefix("local-dir:")) / "known_errors.json"
    if not path.is_file():
        return ()
    try:
        errors = TypeAdapter(tuple[KnownError, ...]).validate_json(path.read_bytes())
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path} does not hold known errors ({reason}); remove it") from None
    for a in attributes:
        for e in errors:
            levels = {name for row in e.confusion.values() for name in row}
            if e.attribute == a.name and not (
                levels <= set(a.levels) and {a.contrast, a.against} <= set(e.confusion)
            ):
                raise ConfigError(
                    f"{path}: levels of {a.name} are not those of the attribute, "
                    f"{', '.join(a.levels)}; measure the errors again, or remove the file"
                )
    return tuple(e for e in errors if e.attribute in {a.name for a in attributes})


def references_of(
    given: Sequence[str], attributes: Sequence[Attribute], concept: str = ""
) -> dict[str, dict[str, float]]:
    """Parity for every attribute, and what the user gave.

    That is ATTRIBUTE:LABEL=SHARE, or the CSV of shares by concept that `compare` takes: of those,
    the shares of each attribute's contrast for ``concept``.
    """
    found = {a.name: {"parity": a.parity} for a in attributes}
    for text in given:
        if text.endswith(".csv"):
            _add_table(found, text, attributes, concept)
            continue
        name, _, rest = text.partition(":")
        label, _, number = rest.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if name not in found or not label or not 0 <= share <= 1:
            raise ConfigError(
                f"reference '{text}' is not ATTRIBUTE:LABEL=SHARE with a share from 0 to 1 and one "
                f"of the attributes {', '.join(found)}; such as {next(iter(found))}:census=0.4; "
                "nor a .csv file of concept, level, share"
            )
        found[name][label] = share
    return found


def _add_table(
    found: dict[str, dict[str, float]],
    path: str,
    attributes: Sequence[Attribute],
    concept: str,
) -> None:
    if not concept:
        raise ConfigError(f"reference {path}: a table is by concept, and there is none here")
    shares, _ = read_references(path, None)
    own = [s for s in shares if s.concept == concept.strip()]
    for a in attributes:
        found[a.name] |= {s.reference: s.share for s in own if s.level == a.contrast}
    if not any(s.level == a.contrast for s in own for a in attributes):
        known = sorted({s.concept for s in shares})
        raise UnknownName(f"concept with a reference in {path}", concept.strip(), known)


def already_passed(declared: str | None, shards: tuple[Shard, ...]) -> tuple[Recipe | None, str]:
    """The recipe behind the shards, as declared or guessed, and in words which of the two."""
    if declared is not None:
        if declared in ("none", "unknown"):
            return None, "declared by the user"
        if declared.endswith(".toml"):
            return load_recipe(declared), "declared by the user"
        sets = {name.lower(): facts.already for name, facts in PUBLIC_SETS.items()}
        if declared not in known_recipes() and declared.lower() not in sets:
            raise UnknownName("filter", declared, (*known_recipes(), *sets, "unknown"))
        return load_recipe(sets.get(declared.lower(), declared)), "declared by the user"
    guesses = {guess_filters(s.names) for s in shards if not s.error}
    if len(guesses) == 1 and (guess := guesses.pop()) != "unknown":
        return load_recipe(guess), "guessed from the column names; declare it with --already"
    return None, "not declared and not to be guessed from the columns: use --already"
