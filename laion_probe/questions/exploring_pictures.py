"""What is shown of explored sets: averages, colourfulness, thumbnails and nearest pictures."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import stdtrit

from laion_probe.appearance import Box, average_picture, colourfulness
from laion_probe.config.exploring import ExploreConfig
from laion_probe.embed import decode
from laion_probe.explore_result import ExploredPicture, Near, Seen
from laion_probe.questions.exploring_clusters import Clustered
from laion_probe.questions.exploring_sets import ReadSet, Sets
from laion_probe.questions.gallery import seeded_sample, thumbnail
from laion_probe.questions.inputs import Progress
from laion_probe.results import Estimate

__all__ = ["Shown", "choose_shown", "mean_by_unit", "medoids", "see", "show_pictures"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Pictures of a concept and set that are averaged; a seeded sample above that.
_READ = 400
_CAPTION = 300
_MEDOIDS = 2


@dataclass(frozen=True)
class Shown:
    """Pictures that are shown: the ``set`` of each and its ``row`` in it, sets in order."""

    set: Ints
    row: Ints


def choose_shown(sets: Sequence[ReadSet], config: ExploreConfig) -> Shown:
    """A seeded sample of at most ``show`` pictures a set, as many of each concept as can be."""
    of, rows = [], []
    for number, one in enumerate(sets):
        left = {
            int(g): list(
                np.random.default_rng((config.seed, int(g))).permutation(
                    np.flatnonzero(one.group == g)
                )
            )
            for g in np.unique(one.group)
        }
        chosen: list[int] = []
        while len(chosen) < config.show and any(left.values()):
            for g in left:
                if left[g] and len(chosen) < config.show:
                    chosen.append(int(left[g].pop()))
        rows += sorted(chosen)
        of += [number] * len(chosen)
    return Shown(np.array(of, np.int64), np.array(rows, np.int64))


def show_pictures(
    sets: Sets, shown: Shown, label: Sequence[Ints], config: ExploreConfig, progress: Progress
) -> tuple[ExploredPicture, ...]:
    """The pictures with their clusters (``label`` by set) and the nearest of each set."""
    vectors = np.stack([sets.sets[s].vectors[r] for s, r in zip(shown.set, shown.row, strict=True)])
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    found = []
    for i, (s, r) in enumerate(zip(shown.set.tolist(), shown.row.tolist(), strict=True)):
        one = sets.sets[s]
        found.append(
            ExploredPicture(
                id=one.files[r].id,
                set=s,
                group=int(one.group[r]),
                cluster=int(label[s][r]) + 1,
                caption=one.captions[r][:_CAPTION],
                image=thumbnail(one.files[r]),
                nearest=tuple(
                    _nearest(similar[i], np.flatnonzero(shown.set == other), config.nearest)
                    for other in range(len(sets.sets))
                ),
            )
        )
        if i % 50 == 0:
            progress("thumbnails", i, len(shown.row))
    return tuple(found)


def medoids(shown: Shown, sets: Sets, found: Clustered, label: Sequence[Ints]) -> list[list[int]]:
    """By cluster: the shown pictures nearest to its centre, up to two of each set."""
    near: list[list[int]] = []
    for c in range(found.k):
        mine: list[int] = []
        for number, one in enumerate(sets.sets):
            among = [
                i
                for i in np.flatnonzero(shown.set == number).tolist()
                if label[number][shown.row[i]] == c
            ]
            cosine = {i: float(one.vectors[shown.row[i]] @ found.centre[c]) for i in among}
            mine += sorted(among, key=lambda i: -cosine[i])[:_MEDOIDS]
        near.append(mine)
    return near


def _nearest(similar: Floats, among: Ints, most: int) -> tuple[Near, ...]:
    order = among[np.argsort(-similar[among], kind="stable")][:most]
    return tuple(
        Near(picture=int(j), cosine=round(float(similar[j]), 4))
        for j in order
        if np.isfinite(similar[j])
    )


def see(sets: Sets, config: ExploreConfig, progress: Progress) -> tuple[Seen, ...]:
    """The average and the colourfulness of each concept in each set."""
    asked = [(s, int(g)) for s, one in enumerate(sets.sets) for g in np.unique(one.group)]
    found = []
    for done, (s, g) in enumerate(asked):
        progress("averages", done, len(asked))
        found.append(_seen(sets.sets[s], s, g, config))
    return tuple(found)


def _seen(one: ReadSet, s: int, g: int, config: ExploreConfig) -> Seen:
    mine = np.flatnonzero(one.group == g)
    chosen = seeded_sample(0, _READ, config.seed, mine.tolist())
    colours, units = [], []

    def pictures() -> Iterator[tuple[Image.Image, Box | None]]:
        for i in chosen:
            try:
                picture = decode(one.files[i].read())
            except ValueError:
                continue
            colours.append(colourfulness(picture))
            units.append(one.unit[i])
            yield picture, one.boxes[i]

    average = average_picture(pictures())
    return Seen(
        set=s,
        group=g,
        n=len(mine),
        n_units=len(np.unique(one.unit[mine])),
        average="" if average.picture is None else _uri(average.picture),
        n_average=average.n,
        aligned=average.aligned,
        n_left_out=average.n_left_out,
        colourfulness=mean_by_unit(np.array(colours), np.array(units), config.level),
    )


def mean_by_unit(values: Floats, unit: Ints, level: float) -> Estimate:
    """The mean with Student's t on the variance between units; one unit gives no interval.

    >>> mean_by_unit(np.array([1.0, 2.0, 3.0]), np.arange(3), 0.95).value
    2.0
    """
    n = len(values)
    if not n:
        return Estimate(value=None, low=None, high=None, level=level, n=0, units=0, method="none")
    mean = float(values.mean())
    names, place = np.unique(unit, return_inverse=True)
    m = len(names)
    low = high = None
    if m > 1:
        residual = np.bincount(place, weights=values - mean) / n
        error = math.sqrt(m / (m - 1) * float(residual @ residual))
        half = float(stdtrit(m - 1, 0.5 + level / 2)) * error
        low, high = max(0.0, mean - half), mean + half
    return Estimate(
        value=mean,
        low=low,
        high=high,
        level=level,
        n=n,
        units=m,
        method="mean, variance between batches, Student's t",
        assumptions=("batches are exchangeable",),
    )


def _uri(picture: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=80, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
