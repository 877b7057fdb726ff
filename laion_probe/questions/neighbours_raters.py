"""Rows that show a concept, wherever they lie: estimated from ratings of a stratified sample."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute
from laion_probe.errors import ConfigError
from laion_probe.estimators.similarity_strata import (
    UNKNOWN,
    Composed,
    Shown,
    StrataDesign,
    StrataDraw,
    StrataRatings,
    estimate_shown,
)
from laion_probe.estimators.threshold import calibrate_threshold
from laion_probe.neighbours_result import (
    CalibratedThreshold,
    ShownRows,
    ShownWith,
    StratumOf,
)
from laion_probe.questions.annotating_sample import SHOWS
from laion_probe.questions.neighbours_tables import unit_rows
from laion_probe.ratings.table import Ratings, panel
from laion_probe.vectors import Embeddings

__all__ = [
    "RatedRows",
    "as_stated",
    "calibrated",
    "check_drawn",
    "rated_rows",
    "shown_rows",
    "strata_of",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_PICTURE = re.compile(r"row-(\d+)")
#: Another machine's last digit can move a cosine, and a threshold told to four decimals.
_SLACK = 2e-4
#: By so many rows, or this share of its rank, a boundary may then have moved.
_ROWS, _SHARE = 2, 0.01
_RANKS = re.compile(r"ranks (\d+) to (\d+)")
_SHOWS = {"shows": 1, "does not show": 0}


@dataclass(frozen=True)
class RatedRows:
    """Rated rows, aligned: stratum, whether they show the concept, and each attribute's level.

    ``label[a]`` indexes the attribute's levels but *unknown*, which is -1; attributes that nobody
    rated are left out.
    """

    rows: Ints
    similarity: NDArray[np.float64]
    stratum: Ints
    shows: Ints
    label: dict[str, Ints]

    def of(self, attribute: str | None) -> StrataRatings:
        """The ratings in the form that estimators take, with one attribute's levels."""
        unread = np.full(len(self.rows), UNKNOWN, np.int64)
        label = unread if attribute is None else self.label[attribute]
        return StrataRatings(self.stratum, self.shows, label)


def as_stated(design: StrataDesign, ratings: Ratings) -> StrataDesign:
    """The design with strata as large as the ratings say that they were when rows were drawn.

    Another machine rounds otherwise, so that a row or two near a boundary change sides: the chances
    are those of the run that drew. The design itself comes back where ratings do not say, or say
    something else altogether, which `rated_rows` refuses.
    """
    reach = np.append(0, np.cumsum(design.sizes))
    now = reach.copy()
    stated: set[int] = set()
    for name, size in _stated(ratings):
        ranks = _RANKS.fullmatch(name or "")
        if ranks is None or int(ranks[2]) - int(ranks[1]) + 1 != size:
            return design
        first = int(np.abs(reach - (int(ranks[1]) - 1)).argmin())
        ends = {first: int(ranks[1]) - 1, first + 1: int(ranks[2])}
        if first + 1 == len(reach) or any(
            abs(reach[i] - end) > max(_ROWS, _SHARE * reach[i])
            or (i in stated and now[i] != end)
            or (i in (0, len(reach) - 1) and reach[i] != end)
            for i, end in ends.items()
        ):
            return design
        stated |= ends.keys()
        now[list(ends)] = list(ends.values())
    sizes = np.diff(now)
    return replace(design, sizes=sizes, planned=np.minimum(design.planned, sizes))


def _stated(ratings: Ratings) -> list[tuple[str, int]]:
    """Strata and their sizes as the ratings state them."""
    return ratings.frame.select("stratum", "stratum_size").drop_nulls().unique().rows()


def rated_rows(
    ratings: Ratings,
    attributes: Sequence[Attribute],
    design: StrataDesign,
    embeddings: Embeddings,
    query: Floats,
) -> RatedRows:
    """Lay ratings beside the rows that they are of.

    Raises `ConfigError` where a rated picture is none of these rows, or was drawn from other strata
    than this run's.
    """
    said = panel(ratings, SHOWS).sort("picture")
    rows = _rows_of(said["picture"], embeddings.n_rows)
    vectors, _, n_zero, n_broken = unit_rows(embeddings.vectors(rows))
    if n_zero or n_broken:
        raise ConfigError(
            f"{n_zero + n_broken} rated rows have no usable vector here: the ratings are of other "
            "embeddings"
        )
    similarity = (vectors @ query).astype(np.float64)
    stratum = _strata(ratings, said, similarity, design)
    label = {}
    for a in attributes:
        levels = panel(ratings, a.name).select("picture", level="level")
        if not len(levels):
            continue
        place = {name: i for i, name in enumerate(a.levels[:-1])}
        joined = said.select("picture").join(levels, on="picture", how="left")
        label[a.name] = (
            joined["level"].replace_strict(place, default=UNKNOWN, return_dtype=pl.Int64).to_numpy()
        )
    shows = said["level"].replace_strict(_SHOWS, default=UNKNOWN, return_dtype=pl.Int64).to_numpy()
    return RatedRows(rows, similarity, stratum, shows, label)


def check_drawn(rated: RatedRows, drawn: StrataDraw) -> None:
    """Refuse ratings of rows that were not drawn: picked ones are no random sample of anything.

    A row or two may differ where another machine rounds otherwise.
    """
    strange = rated.rows[~np.isin(rated.rows, drawn.row)]
    if len(strange) > max(_ROWS, _SHARE * len(rated.rows)):
        raise ConfigError(
            f"{len(strange)} of {len(rated.rows)} rated rows were not drawn by this run (row-"
            f"{strange[0]}, say), so they are no random sample of it: give ratings of its "
            "sample.parquet, and the --seed and --sample that drew it"
        )


def _rows_of(pictures: pl.Series, n_rows: int) -> Ints:
    found = []
    for picture in pictures:
        match = _PICTURE.fullmatch(picture)
        if match is None or int(match[1]) >= n_rows:
            raise ConfigError(
                f"rated picture {picture!r} is none of the {n_rows} rows here, which are called "
                "row-0, row-1 …: give ratings of the sample that `neighbours --sample` drew"
            )
        found.append(int(match[1]))
    return np.array(found, dtype=np.int64)


def _strata(
    ratings: Ratings, said: pl.DataFrame, similarity: NDArray[np.float64], design: StrataDesign
) -> Ints:
    """The stratum of each rated row: the one it was drawn from, which must be one of this run's."""
    sizes = dict(zip(design.names, design.sizes.tolist(), strict=True))
    place = {name: i for i, name in enumerate(design.names)}
    least, now, most = (design.stratum_of(similarity + d) for d in (_SLACK, 0.0, -_SLACK))
    drawn = said["stratum"].replace_strict(place, default=-1, return_dtype=pl.Int64).to_numpy()
    drawn = np.where(said["stratum"].is_null().to_numpy(), now, drawn)
    moved = int(((drawn < least) | (drawn > most)).sum())
    more = (np.bincount(drawn[drawn >= 0], minlength=len(sizes)) > design.planned + _ROWS).any()
    if moved or more or any(sizes.get(name) != size for name, size in _stated(ratings)):
        raise ConfigError(
            f"the ratings were drawn from other strata than this run's ({moved} of {len(now)} "
            "rows lie elsewhere): give the embeddings, --sample, --k, --threshold and --seed of "
            "the run that was rated"
        )
    return np.asarray(drawn, dtype=np.int64)


def calibrated(design: StrataDesign, rated: RatedRows, seed: int) -> CalibratedThreshold:
    """The threshold at which ratings make F1 greatest, to four decimals; None if none does."""
    found = calibrate_threshold(design, rated.of(None), rated.similarity, "max F1", seed)
    cut = found.threshold
    return CalibratedThreshold(
        # down, so that the row that it was taken from stays inside
        threshold=None if cut is None else math.floor(cut * 1e4) / 1e4,
        precision=found.precision,
        recall=found.recall,
        rule=found.rule,
    )


def shown_rows(
    design: StrataDesign,
    rated: RatedRows,
    attributes: Sequence[Attribute],
    by_ratings: CalibratedThreshold | None,
    level: float,
) -> ShownRows:
    """How many rows show the concept, and their composition, from all rows."""
    found: dict[str, Shown] = {
        a.name: estimate_shown(
            design, rated.of(a.name), a.levels[:-1], (a.contrast, a.against), level
        )
        for a in attributes
        if a.name in rated.label
    }
    one = next(iter(found.values()), None) or estimate_shown(
        design, rated.of(None), (), None, level
    )
    return ShownRows(
        n_rated=len(rated.rows),
        n_drawn=len(rated.rows) + one.n_unrated,
        total=one.total,
        share=one.share,
        cannot_tell=one.cannot_tell,
        bounds=one.bounds,
        precision=one.precision,
        precision_bounds=one.precision_bounds,
        recall=one.recall,
        recall_bounds=one.recall_bounds,
        compositions={name: _with(s.composition, s) for name, s in found.items()},
        calibrated=by_ratings,
        notes=tuple(dict.fromkeys(n for s in (found.values() or (one,)) for n in s.notes)),
    )


def _with(composed: Composed, shown: Shown) -> ShownWith:
    near = shown.composition_near
    return ShownWith(
        shares=composed.shares,
        contrast=composed.contrast,
        bounds=composed.bounds,
        near_contrast=None if near is None else near.contrast,
        near_bounds=None if near is None else near.bounds,
        recall=shown.recall_by_level,
        recall_bounds=shown.recall_bounds_by_level,
    )


def strata_of(
    design: StrataDesign, drawn: Sequence[int], rated: RatedRows | None
) -> tuple[StratumOf, ...]:
    """The strata as the report shows them; ``drawn`` rows of each."""
    out = []
    for s, name in enumerate(design.names):
        floor = float(design.floor[s])
        inside = None if rated is None else rated.stratum == s
        out.append(
            StratumOf(
                name=name,
                floor=floor if np.isfinite(floor) else None,
                near=bool(design.near[s]),
                n_rows=int(design.sizes[s]),
                n_drawn=drawn[s],
                probability=float(design.probability[s]),
                n_rated=0 if inside is None else int(inside.sum()),
                n_shows=0
                if rated is None or inside is None
                else int((rated.shows[inside] == 1).sum()),
            )
        )
    return tuple(out)
