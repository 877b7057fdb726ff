"""What a cluster of outputs looks like: pictures, words of captions, and how people are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute
from laion_probe.attributes.zero_shot import ZERO_SHOT_LABELS
from laion_probe.clusters import FoundCluster
from laion_probe.estimate import Sample
from laion_probe.known_error import for_concept
from laion_probe.neighbourhood import keywords
from laion_probe.pictures import PictureFile
from laion_probe.questions.gallery import average_image, seeded_sample, thumbnail
from laion_probe.questions.neighbours_captions import MOST_CAPTIONS, caption_rows, texts_of
from laion_probe.questions.neighbours_tables import lookup_of, read_levels, unit_rows
from laion_probe.questions.outliers_inputs import Opened
from laion_probe.questions.shown import UNSAFE
from laion_probe.results import Composition, Picture, PictureSet, WordScore
from laion_probe.shifts import Labelled, compose, word_scores

__all__ = ["Describer"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Describer:
    """Describes clusters of the outputs; labels and captions are read once for all of them."""

    opened: Opened

    def pictures(self, cluster: FoundCluster) -> tuple[PictureSet, ...]:
        """Medoids and random ones of its outputs, and the training pictures nearest to them."""
        o, show = self.opened, self.opened.config.show
        vectors = o.asked.vectors[cluster.members]
        typical = vectors @ vectors.mean(axis=0)
        medoids = cluster.members[np.argsort(-typical, kind="stable")[:show]]
        seed = o.config.seed
        random = seeded_sample(0, show, seed, cluster.members.tolist())
        average, n = average_image([o.asked.files[i] for i in cluster.members], seed)
        return (
            PictureSet(
                id="medoids",
                title="outputs, most typical",
                rule=f"the {len(medoids)} outputs of this cluster with the highest mean cosine to "
                "its others",
                pictures=tuple(self._output(int(i)) for i in medoids),
                average=average,
                n_average=n,
            ),
            PictureSet(
                id="outputs-random",
                title="outputs, random",
                rule=f"{len(random)} outputs of this cluster at random (seed {seed})",
                pictures=tuple(self._output(i) for i in random),
            ),
            *self._training(cluster),
        )

    def words(self, cluster: FoundCluster) -> tuple[WordScore, ...]:
        """Words that set captions of the linked training rows apart; none without captions."""
        rows, texts = self._captions
        if not len(rows):
            return ()
        apart = ~np.isin(rows, cluster.linked)
        near = texts_of(self.opened.data, cluster.linked)
        return word_scores(near, texts.filter(pl.Series(apart)))

    def compositions(self, cluster: FoundCluster, here: Ints) -> dict[str, dict[str, Composition]]:
        """How the outputs, and the training rows ``here``, are read; by side, then attribute."""
        o = self.opened
        chosen = np.zeros(len(o.asked.vectors), bool)
        chosen[cluster.members] = True
        level = o.config.level
        drawn = Sample(o.asked.batch, 0.0, level, "batches of outputs are exchangeable")
        found: dict[str, dict[str, Composition]] = {"outputs": {}}
        for a in o.attributes:
            label = self._outputs_read[a.name]
            found["outputs"][a.name] = compose(self._labelled(a, label, drawn), chosen)
        if len(here):
            counted = Sample(np.arange(len(here)), 1.0, level)
            read = self._read(o.data.vectors(here))
            everything = np.ones(len(here), bool)
            found["data"] = {
                a.name: compose(self._labelled(a, read[a.name], counted), everything)
                for a in o.attributes
            }
        return found

    @cached_property
    def _outputs_read(self) -> dict[str, Ints]:
        return self._read(self.opened.asked.vectors)

    @cached_property
    def _captions(self) -> tuple[Ints, pl.Series]:
        data = self.opened.data
        rows = caption_rows(data, MOST_CAPTIONS, self.opened.config.seed)
        return rows, pl.Series("text", texts_of(data, rows) if len(rows) else [], pl.String)

    def _labelled(self, a: Attribute, label: Ints, sample: Sample) -> Labelled:
        prompt = self.opened.asked.prompt
        wanted = keywords(prompt) if prompt else ()
        known = (e for e in self.opened.known_errors if e.attribute == a.name)
        errors = tuple(for_concept(e, wanted) for e in known)
        return Labelled(a, label, sample, ZERO_SHOT_LABELS, errors)

    def _read(self, vectors: Floats) -> dict[str, Ints]:
        """Each attribute's level of each row; a row without a vector is unknown."""
        unit, where, _, _ = unit_rows(vectors)
        found = {}
        for a in self.opened.attributes:
            found[a.name] = np.full(len(vectors), a.unknown_at, np.int64)
            found[a.name][where] = read_levels(unit, lookup_of(a, self.opened.embedder))
        return found

    def _output(self, i: int) -> Picture:
        o = self.opened
        labels = {a.name: a.levels[int(self._outputs_read[a.name][i])] for a in o.attributes}
        file = o.asked.files[i]
        return Picture(
            id=file.id,
            caption=o.asked.said[i],
            similarity=None,
            labels=labels,
            image=thumbnail(file),
        )

    def _training(self, cluster: FoundCluster) -> tuple[PictureSet, ...]:
        o, show = self.opened, self.opened.config.show
        if not len(cluster.linked):
            return ()
        vectors = o.data.vectors(cluster.linked)
        cosine = unit_rows(vectors)[0] @ cluster.centre  # linked rows have a vector
        order = np.argsort(-cosine, kind="stable")[:show]
        rows, labels = cluster.linked[order], self._read(vectors[order])
        table = self._metadata(rows)
        average, n = average_image(
            self._files(self._metadata(cluster.linked)["id"].to_list()), o.config.seed
        )
        pictures = tuple(
            Picture(
                id=row["id"],
                caption=row["text"],
                url=row["url"],
                similarity=round(float(cosine[at]), 4),
                labels={a.name: a.levels[int(labels[a.name][i])] for a in o.attributes},
                flagged_unsafe=row["punsafe"] is not None and row["punsafe"] >= UNSAFE,
                image=thumbnail(o.pictures[row["id"]]) if row["id"] in o.pictures else "",
            )
            for i, (at, row) in enumerate(zip(order, table.iter_rows(named=True), strict=True))
        )
        return (
            PictureSet(
                id="training-nearest",
                title="training pictures, nearest",
                rule=f"of the {len(cluster.linked)} training pictures among the "
                f"{o.config.linked} nearest to an output of this cluster, the {len(rows)} nearest "
                "to their mean",
                pictures=pictures,
                average=average,
                n_average=n,
            ),
        )

    def _files(self, ids: Sequence[str]) -> list[PictureFile]:
        return [self.opened.pictures[i] for i in ids if i in self.opened.pictures]

    def _metadata(self, rows: Ints) -> pl.DataFrame:
        """``id``, ``text``, ``url`` and ``punsafe`` of rows, as far as they are known."""
        data = self.opened.data
        bare = any(part.metadata is None for part in data.parts)
        known = {} if bare else data.canonical()
        named = {"id": "id" if "id" in data.columns and not bare else None} | {
            name: known.get(name) for name in ("text", "url", "punsafe")
        }
        there = pl.DataFrame({"row": rows})
        if not bare:
            there = data.metadata(rows, [c for c in named.values() if c is not None])
        number = pl.format("row-{}", pl.col("row"))
        columns = {
            name: pl.lit(None) if column is None else pl.col(column)
            for name, column in named.items()
        }
        return there.select(
            columns["id"].cast(pl.String).fill_null(number).alias("id"),
            columns["text"].cast(pl.String).fill_null("").alias("text"),
            columns["url"].cast(pl.String).fill_null("").alias("url"),
            columns["punsafe"].cast(pl.Float64).alias("punsafe"),
        )
