"""Human ratings laid beside the pictures that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute
from laion_probe.errors import ConfigError
from laion_probe.ratings.table import Ratings, panel
from laion_probe.shifts import Labelled, Panel

__all__ = ["check_known", "check_used", "panel_of", "strata"]


def strata(labels: Mapping[str, Sequence[str]]) -> list[str]:
    """The stratum of each picture: the machine's levels of all attributes, in their order.

    Raters' samples are drawn by these strata, so an analysis by the same model finds them again.
    """
    return [", ".join(levels) for levels in zip(*labels.values(), strict=True)]


def panel_of(
    ratings: Ratings | None,
    attribute: Attribute,
    ids: Sequence[str],
    source: str,
    strata: Sequence[str],
) -> Panel | None:
    """The raters' levels of the pictures ``ids`` (of ``source``: data or generated), aligned.

    ``strata`` are the pictures' strata as this run sees them. Where they are those that the ratings
    were drawn by, they are used; otherwise weights alone undo unequal chances. A picture that
    stands for several rows has its rating at each of them. None where no picture of this source was
    rated for the attribute.
    """
    if ratings is None:
        return None
    # Tables that leave the source out speak of the same pictures as those that name it.
    mine = ratings.frame.filter(pl.col("source").is_in([source, ""]))
    mine = mine.with_columns(source=pl.lit(source))
    said = panel(replace(ratings, frame=mine), attribute.name)
    there = pl.DataFrame({"picture": list(ids)}, schema={"picture": pl.String})
    joined = there.join(said, on="picture", how="left", maintain_order="left")
    is_rated = joined["level"].is_not_null().to_numpy()
    if not is_rated.any():
        return None
    place = {name: i for i, name in enumerate(attribute.levels)}
    level = joined["level"].replace_strict(place, default=-1, return_dtype=pl.Int64).to_numpy()
    declared = bool(joined.filter(is_rated)["probability"].is_not_null().all())
    drawn_by = joined.with_columns(pl.Series("now", strata)).filter(is_rated)
    same = bool((drawn_by["stratum"].fill_null("") == drawn_by["now"]).all())
    number = {name: i for i, name in enumerate(dict.fromkeys(strata))}
    stated = mine.select("stratum", "stratum_size").drop_nulls().unique().rows() if same else []
    return Panel(
        level=level,
        probability=joined["probability"].fill_null(1.0).to_numpy(),
        stratum=np.array([number[name] if same else 0 for name in strata], dtype=np.int64),
        declared=declared,
        sizes={number[name]: size for name, size in stated if name in number},
    )


def check_known(ratings: Ratings | None, ids: Sequence[str], where: str) -> None:
    """A `ConfigError` when no rated picture is among those that there are: the wrong file."""
    if ratings is None:
        return
    rated = ratings.frame["picture"].unique()
    if len(rated) and not rated.is_in(list(ids)).any():
        raise ConfigError(
            f"none of the {len(rated)} rated pictures is among the pictures {where} (rated: "
            f"{rated.sort()[0]!r}; there: {next(iter(ids), 'none')!r}): ratings name pictures as "
            "`laion-probe annotate` does, TAR/KEY for data and the file name for generated ones"
        )


def check_used(
    ratings: Ratings | None,
    labelled: Mapping[str, Labelled],
    near: NDArray[np.bool_],
    outputs: Mapping[str, Labelled],
) -> None:
    """A `ConfigError` when no rating is of a picture of the concept: they are of another one."""
    if ratings is None:
        return
    of_data = any(
        d.panel is not None and (d.panel.level[near] >= 0).any() for d in labelled.values()
    )
    if not of_data and all(d.panel is None for d in outputs.values()):
        n = ratings.frame["picture"].n_unique()
        raise ConfigError(
            f"none of the {n} rated pictures is near this concept, or generated from its prompt: "
            "give the ratings of a run of this concept, or none"
        )
