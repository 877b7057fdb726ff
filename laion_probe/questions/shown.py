"""The sets of pictures that a report shows, each with the rule by which it was picked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laion_probe.config import ProbeConfig
from laion_probe.index import similarities, top_k
from laion_probe.questions.concept import Concept, Pool
from laion_probe.questions.gallery import average_image, seeded_sample, thumbnail
from laion_probe.questions.outputs import Outputs
from laion_probe.results import Picture, PictureSet
from laion_probe.shifts import Labelled

__all__ = ["data_sets", "keyword_only", "output_sets"]

#: A picture is blurred until clicked from this probability on (LAION's own default).
UNSAFE = 0.5


def data_sets(
    config: ProbeConfig,
    pool: Pool,
    concept: Concept,
    final: NDArray[np.bool_],
    labelled: dict[str, Labelled],
) -> tuple[PictureSet, ...]:
    """The data set's neighbours after the recipe: the nearest, and a seeded random sample."""
    if concept.query is None or not final.any():
        return ()
    among = np.flatnonzero(final)
    best, _ = top_k(pool.vectors[among], concept.query, config.show)
    average, n = average_image([pool.files[i] for i in among], config.seed)
    random = seeded_sample(0, config.show, config.seed, among.tolist())

    def show(numbers: list[int]) -> tuple[Picture, ...]:
        return tuple(_data_picture(pool, concept, labelled, i) for i in numbers)

    return (
        PictureSet(
            id="data-nearest",
            title="data set, nearest",
            rule=f"the {config.show} neighbours most similar to the concept, after the recipe",
            pictures=show([int(among[i]) for i in best]),
            average=average,
            n_average=n,
        ),
        PictureSet(
            id="data-random",
            title="data set, random",
            rule=f"{config.show} neighbours at random (seed {config.seed}), after the recipe",
            pictures=show(random),
        ),
    )


def output_sets(
    config: ProbeConfig, outputs: Outputs | None, concept: Concept, labelled: dict[str, Labelled]
) -> tuple[PictureSet, ...]:
    """Generated pictures: the nearest to the concept, and a seeded random sample."""
    if outputs is None:
        return ()
    n = len(outputs.files)
    random = seeded_sample(n, config.show, config.seed)
    average, n_average = average_image(outputs.files, config.seed)
    scores = None if concept.query is None else similarities(outputs.vectors, concept.query)

    def show(numbers: list[int]) -> tuple[Picture, ...]:
        return tuple(
            Picture(
                id=outputs.files[i].id,
                caption=outputs.prompts[i],
                similarity=None if scores is None else round(float(scores[i]), 4),
                labels=_labels(labelled, i),
                image=thumbnail(outputs.files[i]),
            )
            for i in numbers
        )

    sets = [
        PictureSet(
            id="generated-random",
            title="generated, random",
            rule=f"{config.show} generated pictures at random (seed {config.seed})",
            pictures=show(random),
            average=average,
            n_average=n_average,
        )
    ]
    if scores is not None:
        nearest = [int(i) for i in np.argsort(-scores, kind="stable")[: config.show]]
        sets.insert(
            0,
            PictureSet(
                id="generated-nearest",
                title="generated, nearest",
                rule=f"the {config.show} generated pictures most similar to the concept",
                pictures=show(nearest),
            ),
        )
    return tuple(sets)


def keyword_only(
    config: ProbeConfig, pool: Pool, concept: Concept, labelled: dict[str, Labelled]
) -> PictureSet | None:
    """Pictures whose caption names the concept but which do not lie near it."""
    mask = pool.pictured["named"].to_numpy() & ~concept.near
    if not mask.any():
        return None
    chosen = seeded_sample(0, config.show, config.seed, np.flatnonzero(mask).tolist())
    return PictureSet(
        id="keyword-only",
        title="captions that name the concept, pictures that are not near it",
        rule=f"up to {config.show} of {int(mask.sum())} at random (seed {config.seed})",
        pictures=tuple(_data_picture(pool, concept, labelled, i) for i in chosen),
    )


def _data_picture(pool: Pool, concept: Concept, labelled: dict[str, Labelled], i: int) -> Picture:
    row = pool.pictured.row(i, named=True)
    return Picture(
        id=pool.files[i].id,
        caption=row["text"],
        url=row["url"],
        similarity=round(float(concept.similarity[i]), 4),
        labels=_labels(labelled, i),
        flagged_unsafe=row["punsafe"] is not None and row["punsafe"] >= UNSAFE,
        image=thumbnail(pool.files[i]),
    )


def _labels(labelled: dict[str, Labelled], i: int) -> dict[str, str]:
    return {name: d.attribute.levels[int(d.label[i])] for name, d in labelled.items()}
