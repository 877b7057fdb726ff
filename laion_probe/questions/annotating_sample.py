"""The rater page of a neighbours run: the sample by similarity that it drew for one concept.

The rows of the sample come from anywhere in the embeddings, so that most of their pictures have to
be fetched first. Those that did not come cannot be rated: they stay in the counts of what was
drawn, and the estimate says how many they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from laion_probe.errors import ConfigError
from laion_probe.pictures import PictureFile, list_downloads
from laion_probe.ratings.sampling import SAMPLE_SCHEMA
from laion_probe.ratings.store import FILE, RatingStore
from laion_probe.store import fingerprint

__all__ = ["SHOWS", "ConceptSample", "concept_sample", "is_of_neighbours", "sample_store"]

#: The attribute by which raters say whether a picture shows the concept.
SHOWS = "shows"
#: What a neighbours run writes where it draws a sample.
SAMPLE = "sample.parquet"


@dataclass(frozen=True)
class ConceptSample:
    """One concept's sample: ``rows`` has the columns of `SAMPLE_SCHEMA`, ``url`` and ``id``."""

    concept: str
    rows: pl.DataFrame
    folder: Path

    @property
    def store_path(self) -> Path:
        """Where its ratings are kept."""
        return self.folder / FILE


def is_of_neighbours(values: Mapping[str, Any]) -> bool:
    """Whether a run's config is that of `laion-probe neighbours`."""
    return "embeddings" in values and "k" in values


def concept_sample(run: Path, concept: str | None) -> ConceptSample:
    """The sample that the run drew for ``concept``, which may be left out where there is one."""
    path = run / SAMPLE
    if not path.is_file():
        raise ConfigError(
            f"{run} drew no sample: run its `laion-probe neighbours` again with --sample 300, say"
        )
    rows = pl.read_parquet(path)
    known = rows["concept"].unique(maintain_order=True).to_list()
    if concept is None and len(known) == 1:
        concept = known[0]
    if concept is None or concept not in known:
        given = "say which with --concept" if concept is None else f"'{concept}' is none of them"
        raise ConfigError(f"{run} has samples of {', '.join(known)}: {given}")
    slug = re.sub(r"[^\w]+", "-", concept.lower()).strip("-")[:60]
    where = run / "ratings" / f"{slug}-{fingerprint(concept)[:6]}"
    return ConceptSample(concept, rows.filter(pl.col("concept") == concept), where)


def sample_store(
    sample: ConceptSample, images: str | None
) -> tuple[RatingStore, Sequence[PictureFile]]:
    """The ratings of a sample, begun where there are none, and the pictures to be rated.

    Raises `ConfigError` where no picture of the sample was fetched.
    """
    path = sample.store_path
    store = RatingStore.open(path) if path.is_file() else None
    images = images or (store.recall("images") if store else None)
    if images is None:
        raise ConfigError(
            f"the sample of “{sample.concept}” has to be fetched first: `laion-probe fetch "
            f"{path.parents[2]} --out images`, then say --images images"
        )
    files = _files_of(sample, images)
    if store is None:
        if not files:
            raise ConfigError(
                f"none of the {sample.rows.height} rows of the sample has a picture in {images} "
                "(compared by URL): give the folder that `laion-probe fetch` filled from this run"
            )
        there = {f.id for f in files}
        kept = sample.rows.filter(pl.col("picture").is_in(there)).sort("order")
        numbered = kept.with_columns(order=pl.int_range(pl.len(), dtype=pl.Int64))
        told = fingerprint([sample.concept, *sample.rows["picture"].sort().to_list()])
        drawn = numbered.select(*SAMPLE_SCHEMA)
        store = RatingStore.create(path, told, drawn, sample.rows.height, 0)
    store.remember("images", str(Path(images).resolve()))
    return store, files


def _files_of(sample: ConceptSample, images: str) -> list[PictureFile]:
    """The pictures that came, each under the name that it has in the sample."""
    by_url = {f.url: f for part in list_downloads(images).parts for f in part.files if f.url}
    found = []
    for picture, url in sample.rows.select("picture", "url").iter_rows():
        if (file := by_url.get(url)) is not None:
            found.append(PictureFile(picture, file.read, file.caption, url))
    return found
