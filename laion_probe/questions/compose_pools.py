"""The pictures that each attribute's shares are of, with a classifier's labels and raters'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from laion_probe.attributes import Attribute
from laion_probe.attributes.reading import Pictures, Reading, read
from laion_probe.compose_result import Basis
from laion_probe.errors import ConfigError
from laion_probe.questions.raters import panel_of, strata
from laion_probe.ratings.table import Ratings
from laion_probe.shifts import Panel

__all__ = ["HUMAN", "Pool", "pools_of"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: What labels are that people gave.
HUMAN = "human ratings"


@dataclass(frozen=True)
class Pool:
    """The n pictures that shares of one attribute are of, and their labels; arrays have length n.

    ``read[i]`` is the classifier's level of picture i, or None where there is no classifier;
    ``said[i]`` the raters', -1 where picture i was not rated. ``probability`` is the chance with
    which a rated picture was drawn (``declared`` or taken as equal): from this pool where there is
    a classifier, else from a set that is not here. ``n_not_rated`` pictures of the ratings have a
    blank for this attribute, ``n_outside`` rated ones have no score; neither are in the pool.
    """

    attribute: Attribute
    ids: tuple[str, ...]
    labels: str
    read: Ints | None
    said: Ints
    probability: NDArray[np.float64]
    stratum: Ints
    declared: bool
    n_not_rated: int = 0
    n_outside: int = 0

    @property
    def basis(self) -> Basis:
        """Whose labels there are."""
        if self.read is None:
            return "raters"
        return "both" if self.rated.any() else "classifier"

    @cached_property
    def rated(self) -> Bools:
        """Which pictures raters saw."""
        return np.asarray(self.said >= 0)

    def take(self, ids: Sequence[str]) -> Pool:
        """These of its pictures, in this order."""
        place = {picture: i for i, picture in enumerate(self.ids)}
        at = np.array([place[picture] for picture in ids], dtype=np.int64)
        return replace(
            self,
            ids=tuple(ids),
            read=None if self.read is None else self.read[at],
            said=self.said[at],
            probability=self.probability[at],
            stratum=self.stratum[at],
        )

    def is_read(self, names: Sequence[str]) -> Bools:
        """Which pictures the classifier puts in one of these levels; without one, raters do."""
        return np.isin(self.said if self.read is None else self.read, self._places(names))

    def is_said(self, names: Sequence[str]) -> Bools:
        """Which pictures raters put in one of these levels."""
        return np.isin(self.said, self._places(names))

    def _places(self, names: Sequence[str]) -> list[int]:
        return [self.attribute.levels.index(name) for name in names]


def pools_of(
    attributes: Sequence[Attribute],
    scores: Mapping[str, pl.DataFrame],
    ratings: Ratings | None,
) -> dict[str, Pool]:
    """The pool of each attribute that a table labels, by name, in the order of the attributes."""
    read_by = dict(_readings(attributes, scores))
    same = len({frozenset(ids) for ids, _ in read_by.values()}) == 1
    by_name = {a.name: a for a in attributes}
    drawn_by = strata(
        {n: [by_name[n].levels[i] for i in r.label] for n, (_, r) in read_by.items()}
        if same
        else {}
    )
    found = {}
    for a in attributes:
        if a.name in read_by:
            ids, reading = read_by[a.name]
            found[a.name] = _scored(a, ids, reading, ratings, drawn_by or [""] * len(ids))
        elif ratings is not None and (pool := _rated(a, ratings)) is not None:
            found[a.name] = pool
    return found


def _readings(
    attributes: Sequence[Attribute], scores: Mapping[str, pl.DataFrame]
) -> Iterator[tuple[str, tuple[tuple[str, ...], Reading]]]:
    """The classifier's labels by attribute; pictures in one order where the files hold the same."""
    first: tuple[str, ...] = ()
    for a in attributes:
        if a.name not in scores:
            continue
        ids = tuple(scores[a.name]["id"].unique(maintain_order=True))
        if not ids:
            raise ConfigError(f"the scores of {a.name} hold no picture: give at least one row")
        first = first or ids
        ids = first if {*ids} == {*first} else ids
        pictures = Pictures(ids, ("",) * len(ids), None, _no_picture)
        by_scores = a.model_copy(update={"reader": "scores"})
        yield a.name, (ids, read(pictures, by_scores, scores=scores[a.name]))


def _no_picture(number: int) -> Image.Image:
    raise ValueError("tables hold no pictures")


def _panel(
    ratings: Ratings, a: Attribute, ids: Sequence[str], drawn_by: Sequence[str]
) -> Panel | None:
    """The raters' levels; a `ConfigError` where chances are given for some pictures only."""
    source = next(iter(ratings.frame["source"]), "")
    panel = panel_of(ratings, a, ids, source, drawn_by)
    given = ratings.frame.group_by("picture").agg(pl.col("probability").first())["probability"]
    if 0 < (n := given.null_count()) < len(given):
        raise ConfigError(
            f"{n} of {len(given)} rated pictures have no probability: fill it in for all of them, "
            "or leave the column out if all had the same chance of being rated"
        )
    return panel


def _rated(a: Attribute, ratings: Ratings) -> Pool | None:
    """The pictures that people rated for the attribute; None where there are none."""
    of = ratings.frame.filter(pl.col("attribute") == a.name)["picture"]
    ids = tuple(of.unique(maintain_order=True))
    panel = _panel(ratings, a, ids, [""] * len(ids))
    if panel is None:
        return None
    chance = panel.probability
    if np.ptp(chance) <= 1e-9:
        chance = np.ones(len(ids))  # of equal chances, it does not matter which
    return Pool(
        attribute=a,
        ids=ids,
        labels=HUMAN,
        read=None,
        said=panel.level,
        probability=chance,
        stratum=np.zeros(len(ids), dtype=np.int64),
        declared=panel.declared,
        n_not_rated=ratings.frame["picture"].n_unique() - len(ids),
    )


def _scored(
    a: Attribute,
    ids: tuple[str, ...],
    reading: Reading,
    ratings: Ratings | None,
    drawn_by: Sequence[str],
) -> Pool:
    """The pictures that a classifier labelled, with the ratings of those that were rated."""
    nobody = np.full(len(ids), -1, dtype=np.int64)
    alone = Pool(
        attribute=a,
        ids=ids,
        labels=reading.labels,
        read=reading.label,
        said=nobody,
        probability=np.ones(len(ids)),
        stratum=np.zeros(len(ids), dtype=np.int64),
        declared=False,
    )
    if ratings is None:
        return alone
    of = ratings.frame.filter(pl.col("attribute") == a.name)["picture"].unique()
    panel = _panel(ratings, a, ids, drawn_by)
    if panel is None and len(of):
        raise ConfigError(
            f"none of the {len(of)} pictures rated for {a.name} is among the {len(ids)} of its "
            f"scores (rated: {of.sort()[0]!r}; scored: {ids[0]!r}): name pictures alike in both"
        )
    if panel is None:
        return alone
    chance = panel.probability
    if not panel.declared:
        chance = np.full(len(ids), float((panel.level >= 0).mean()))
    return Pool(
        attribute=a,
        ids=ids,
        labels=reading.labels,
        read=reading.label,
        said=panel.level,
        probability=chance,
        stratum=panel.stratum,
        declared=panel.declared,
        n_not_rated=ratings.frame["picture"].n_unique() - len(of),
        n_outside=int((~of.is_in(list(ids))).sum()),
    )
