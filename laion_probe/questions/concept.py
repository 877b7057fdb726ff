"""The pool of rows with pictures, and which of them are about the concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import ProbeConfig
from laion_probe.embed import decode
from laion_probe.errors import ConfigError
from laion_probe.index import similarities
from laion_probe.language import make_detector
from laion_probe.neighbourhood import (
    MIN_NAMED,
    Threshold,
    choose_threshold,
    keywords,
    mean_direction,
    names_concept,
    prompts,
)
from laion_probe.pictures import PictureFile
from laion_probe.questions.gallery import seeded_sample
from laion_probe.questions.inputs import Inputs, Progress
from laion_probe.questions.pool_vectors import pool_vectors
from laion_probe.questions.reading import rows_of
from laion_probe.records import swapped_sizes
from laion_probe.results import ConceptResult, InputRecord
from laion_probe.shards import Unit, list_units, read_unit
from laion_probe.unit_scan import Scan

__all__ = ["Concept", "Pool", "build_pool", "find_concept", "name_rows"]

_OWN_CAPTIONS = 500
_BINS = 40

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pool:
    """All rows of the input, and those whose picture could be read.

    ``rows``: ``unit``, ``row``, ``url``, ``text``, ``punsafe``, ``language``, ``removed_at``,
    ``named`` (the caption names the concept). ``pictured`` is the subset with a picture,
    row-aligned with ``vectors`` and ``files``; ``sampled`` is its share of all rows. ``attempted``
    counts rows whose picture was asked for, ``failed`` by reason those that did not come.
    """

    rows: pl.DataFrame
    pictured: pl.DataFrame
    vectors: Floats
    files: tuple[PictureFile, ...]
    attempted: int
    failed: dict[str, int]
    n_unread: int = 0  # rows of units that failed
    #: rows whose WIDTH and HEIGHT agree with the picture's own, and that do so only if exchanged
    sizes: tuple[int, int] = (0, 0)
    #: where the vectors are from, if from a folder of embeddings
    note: str = ""
    records: tuple[InputRecord, ...] = ()

    @property
    def sampled(self) -> float:
        """Share of all rows, those of failed units included, with a readable picture."""
        n = len(self.rows) + self.n_unread
        return len(self.pictured) / n if n else 0.0


@dataclass(frozen=True)
class Concept:
    """What was found for the concept; ``near`` and ``similarity`` align with ``pool.pictured``."""

    result: ConceptResult
    near: NDArray[np.bool_]
    similarity: Floats
    query: Floats | None


def name_rows(pool: Pool, concept: str) -> Pool:
    """The same pool, with ``named`` for another concept."""
    wanted = keywords(concept)
    rows, pictured = (
        frame.with_columns(names_concept(frame["text"], wanted).alias("named"))
        for frame in (pool.rows, pool.pictured)
    )
    return replace(pool, rows=rows, pictured=pictured)


def build_pool(
    inputs: Inputs, config: ProbeConfig, units: Sequence[Unit], scan: Scan, progress: Progress
) -> Pool:
    """Join scanned rows with captions and pictures (by URL)."""
    columns = ["row", "url", "text", "punsafe", "width", "height"]
    captions = [read_unit(u, columns[1:]).select(columns) for u in units]
    rows = pl.concat(captions).with_columns(
        scan.rows["unit"],
        scan.rows["language"],
        pl.Series("removed_at", scan.removed_at),
    )
    rows = rows.with_columns(names_concept(rows["text"], keywords(config.concept)).alias("named"))
    found = pool_vectors(inputs, config, rows["url"], progress)
    if found is None:
        empty = np.zeros((0, 1), dtype=np.float32)
        return Pool(rows, rows.clear(), empty, (), 0, {})
    places = pl.DataFrame({"url": found.url, "picture": np.arange(len(found.files))})
    readable = places.filter(found.error == "")
    first = readable.unique("url", keep="first", maintain_order=True)
    joined = rows.join(first, on="url", how="left", maintain_order="left")
    pictured = joined.filter(pl.col("picture").is_not_null())
    if len(pictured) == 0:
        raise ConfigError(
            f"none of the {len(found.files)} pictures in {config.images or config.embeddings} "
            "belongs to a row of the shards (compared by URL); give the images that were "
            "downloaded from these shards"
        )
    chosen = pictured["picture"].to_numpy()
    asked, reasons, sizes = _asked_for(inputs, rows)
    undecodable = len(places) - len(readable)
    if undecodable:
        reasons["cannot be decoded" if inputs.downloads else "no usable embedding"] = undecodable
    return Pool(
        rows,
        pictured.drop("picture"),
        found.image[chosen],
        tuple(found.files[i] for i in chosen),
        asked if inputs.downloads else len(pictured),
        reasons,
        _n_unread(inputs, len(rows)),
        sizes,
        found.note,
        found.records,
    )


def _asked_for(inputs: Inputs, rows: pl.DataFrame) -> tuple[int, dict[str, int], tuple[int, int]]:
    """Rows whose picture was asked for, how many failed by reason, and how sizes agree."""
    if inputs.downloads is None:
        return 0, {}, (0, 0)
    attempts = inputs.downloads.attempts
    tried = rows.select("url", "width", "height").join(
        attempts.unique("url", keep="first"), on="url", how="inner"
    )
    failed = tried.filter(pl.col("status") != "success")["status"].value_counts(sort=True)
    reasons = {
        str(k): int(v) for k, v in failed.sort("count", "status", descending=True).iter_rows()
    }
    sizes = ("width", "height", "original_width", "original_height")
    return len(tried), reasons, swapped_sizes(*(tried[c] for c in sizes))


def _n_unread(inputs: Inputs, n_read: int) -> int:
    """Rows of units that failed: the files' own word or, where they give none, by their bytes."""
    return max(0, round(sum(rows_of(list_units(inputs.shards)))) - n_read)


def find_concept(inputs: Inputs, config: ProbeConfig, pool: Pool) -> Concept:
    """Place the concept among the pictures: prompts or examples, similarity, threshold."""
    wanted = keywords(config.concept)
    texts = prompts(config.concept)
    named = pool.pictured["named"].to_numpy()
    nothing = np.zeros(len(pool.pictured), dtype=np.float32)
    n_keyword_rows = int(pool.rows["named"].sum())
    if inputs.embedder is None or len(pool.pictured) == 0:
        status = "no pictures"
        threshold = Threshold(None, "there are no pictures to compare with the concept")
        answer = (
            "No pictures of the data were given, so no composition of the data is measured: "
            f"{n_keyword_rows} of {len(pool.rows)} captions name “{config.concept}”."
        )
        similarity, query = nothing, None
        near = np.zeros(len(named), dtype=bool)
    else:
        query = _query(inputs, texts)
        similarity = similarities(pool.vectors, query)
        threshold, reason = _threshold(inputs, config, pool, similarity)
        near = (
            similarity >= threshold.value
            if threshold.value is not None
            else np.zeros(len(named), dtype=bool)
        )
        found = bool(near.any())
        status = "found" if found else "no match"
        answer = (
            f"{int(near.sum())} of {len(near)} pictures lie near “{config.concept}”."
            if found
            else f"No match for “{config.concept}”: "
            f"{reason or 'no picture reaches the threshold'}; "
            f"{n_keyword_rows} of {len(pool.rows)} captions name it."
        )
    result = ConceptResult(
        name=config.concept.strip(),
        prompts=() if inputs.examples else texts,
        keywords=wanted,
        n_examples=len(inputs.examples),
        status=status,
        answer=answer,
        threshold=None if threshold.value is None else round(threshold.value, 4),
        threshold_rule=threshold.rule,
        n_pictures=len(pool.pictured),
        n_neighbours=int(near.sum()),
        n_keyword_rows=n_keyword_rows,
        n_keyword_pictures=int(named.sum()),
        n_keyword_not_near=int((named & ~near).sum()),
        similarity_histogram=_histogram(similarity, named) if query is not None else (),
    )
    return Concept(result, near, similarity, query)


def _query(inputs: Inputs, texts: Sequence[str]) -> Floats:
    assert inputs.embedder is not None
    if not inputs.examples:
        return mean_direction(inputs.embedder.texts(texts))
    pictures = []
    for file in inputs.examples:
        try:
            pictures.append(decode(file.read()))
        except ValueError as error:
            raise ConfigError(f"example picture {file.id}: {error}; give another one") from None
    return mean_direction(inputs.embedder.images(pictures))


def _own_caption(inputs: Inputs, config: ProbeConfig, pool: Pool) -> Floats:
    """Similarity of a seeded sample of pictures with their own English captions."""
    assert inputs.embedder is not None
    texts = pool.pictured["text"].to_list()
    codes = make_detector("cld2")(texts).codes
    english = [i for i, code in enumerate(codes) if code == "en"]
    chosen = seeded_sample(len(texts), _OWN_CAPTIONS, config.seed, english)
    if not chosen:
        return np.zeros(0, dtype=np.float32)
    vectors = inputs.embedder.texts([texts[i] for i in chosen])
    return np.asarray((pool.vectors[chosen] * vectors).sum(axis=1), dtype=np.float32)


def _threshold(
    inputs: Inputs, config: ProbeConfig, pool: Pool, similarity: Floats
) -> tuple[Threshold, str]:
    """Where the neighbourhood ends and, if there is none, why, in words for the answer."""
    named = pool.pictured["named"].to_numpy()
    if config.threshold is not None:
        return Threshold(config.threshold, "given by the user"), ""
    own = _own_caption(inputs, config, pool)
    chosen = choose_threshold(similarity, named, own)
    by_captions = int(named.sum()) >= MIN_NAMED
    if inputs.examples and not by_captions:
        # Picture-to-picture cosines are on another scale than picture-to-text ones.
        middle = float(np.median(similarity))
        spread = float(np.median(np.abs(similarity - middle))) * 1.4826
        value = middle + 3 * spread
        rule = "median plus three robust standard deviations of the similarity with the examples"
        return Threshold(value, rule), ""
    if not by_captions and not pool.rows["named"].any() and chosen.value is not None:
        n = int((similarity >= chosen.value).sum())
        reason = (
            f"the model would place {n} pictures near it, but no caption names it, so nothing in "
            "these data can confirm what they show, and nothing is measured (other words, "
            "--examples, or a --threshold of your own would measure it)"
        )
        return Threshold(None, "not set: no caption names the concept"), reason
    return chosen, "" if chosen.value is not None else chosen.rule


def _histogram(similarity: Floats, named: NDArray[np.bool_]) -> tuple[tuple[float, int, int], ...]:
    low, high = float(similarity.min()), float(similarity.max())
    edges = np.linspace(low, high if high > low else low + 1e-3, _BINS + 1)
    everything, _ = np.histogram(similarity, edges)
    by_word, _ = np.histogram(similarity[named], edges)
    return tuple(
        (round(float(e), 4), int(a), int(b))
        for e, a, b in zip(edges[:-1], everything, by_word, strict=True)
    )
