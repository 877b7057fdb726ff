"""Open what ``neighbours`` reads, and check that model and embeddings belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute, load_attribute
from laion_probe.config import NeighboursConfig
from laion_probe.embed import Embedder, load_embedder
from laion_probe.errors import ConfigError
from laion_probe.neighbourhood import keywords, mean_direction, prompts
from laion_probe.neighbours_result import ModelCheck
from laion_probe.questions.annotating_sample import SHOWS
from laion_probe.questions.inputs import known_errors_of, open_ratings
from laion_probe.questions.model_check import check_model
from laion_probe.ratings.table import Ratings
from laion_probe.results import KnownError
from laion_probe.vectors import Embeddings, open_embeddings

__all__ = ["Opened", "open_neighbours", "read_concepts"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Opened:
    """Inputs that can be used; ``queries`` is (concepts, d) of unit length."""

    embeddings: Embeddings
    embedder: Embedder
    attributes: tuple[Attribute, ...]
    concepts: tuple[str, ...]
    queries: Floats
    check: ModelCheck
    known_errors: tuple[KnownError, ...]
    ratings: Mapping[str, Ratings]


def open_neighbours(config: NeighboursConfig) -> Opened:
    """Check every name and path, cheapest first, and open what the config names."""
    concepts = read_concepts(config)
    if len(set(config.attributes)) != len(config.attributes):
        raise ConfigError(f"an attribute is named twice: {', '.join(config.attributes)}")
    attributes = tuple(load_attribute(name) for name in config.attributes)
    if not attributes:
        raise ConfigError("no attributes given: name at least one, such as gender_presentation")
    for a in attributes:
        if a.reader != "zero-shot":
            raise ConfigError(
                f"attribute {a.name} is read by '{a.reader}', which needs more than embeddings: "
                "name attributes that are read zero-shot, such as gender_presentation"
            )
    ratings = _ratings(config, concepts, attributes)
    if (config.sample or ratings) and config.search == "index":
        raise ConfigError(
            "a sample for raters is drawn from all rows, which an index does not look at: leave "
            "--search index out"
        )
    if ratings and not config.sample:
        raise ConfigError(
            "--ratings are of a sample: give its --sample N too, with the options that it was "
            "drawn by, so that it is found again"
        )
    embeddings = open_embeddings(config.embeddings, "image", config.npz)
    if not embeddings.n_rows:
        raise ConfigError(f"{config.embeddings} holds no vectors: there is nothing to search")
    embedder = load_embedder(config.model, config.pretrained)
    queries = np.stack([mean_direction(embedder.texts(prompts(c))) for c in concepts])
    check = check_model(embeddings, embedder, config.seed)
    return Opened(
        embeddings=embeddings,
        embedder=embedder,
        attributes=attributes,
        concepts=concepts,
        queries=queries,
        check=check,
        known_errors=known_errors_of(config.model, attributes),
        ratings=ratings,
    )


def read_concepts(config: NeighboursConfig) -> tuple[str, ...]:
    """The concepts of the command line and of the file, once each, in their order.

    In the file, empty lines and those that begin with # are passed over.
    """
    given = list(config.concept)
    if config.concepts is not None:
        try:
            text = Path(config.concepts).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(
                f"concepts {config.concepts}: {reason}; give a text file with a concept a line"
            ) from None
        given += [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = tuple(dict.fromkeys(" ".join(c.split()) for c in given if c.strip()))
    if not found:
        raise ConfigError("no concept given: name one with --concept doctor, or --concepts FILE")
    for concept in found:
        if not keywords(concept):
            raise ConfigError(f"the concept {concept!r} has no letters or digits: give words")
    return found


def _ratings(
    config: NeighboursConfig, concepts: tuple[str, ...], attributes: tuple[Attribute, ...]
) -> dict[str, Ratings]:
    """Ratings by concept, of CONCEPT=FILE items, or of a FILE where there is one concept."""
    by_concept: dict[str, list[str]] = {}
    for item in config.ratings:
        name, equals, path = item.partition("=")
        if Path(item).exists() or not equals:
            name, path = (concepts[0] if len(concepts) == 1 else ""), item
        name = " ".join(name.split())
        if name not in concepts:
            raise ConfigError(
                f"ratings '{item}' do not say of which concept they are: give CONCEPT=FILE with "
                f"one of {', '.join(concepts[:8])}"
            )
        by_concept.setdefault(name, []).append(path)
    asked = (load_attribute(SHOWS), *attributes)
    found = {}
    for name, paths in by_concept.items():
        ratings = open_ratings(paths, asked)
        assert ratings is not None
        if not len(ratings.frame.filter(pl.col("attribute") == SHOWS)):
            raise ConfigError(
                f"{', '.join(paths)}: nobody said whether a picture shows “{name}” (a column "
                f"'{SHOWS}' with shows, does not show or cannot tell): rate that too"
            )
        found[name] = ratings
    return found
