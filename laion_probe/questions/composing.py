"""Shares from labelled pictures alone: human ratings, a classifier's labels, or both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import UNKNOWN, Attribute
from laion_probe.attributes.monk import MONK
from laion_probe.compose_result import Agreement, Cell, ComposeResult, Measured, Wanted
from laion_probe.config import ComposeConfig
from laion_probe.errors import ConfigError
from laion_probe.estimate import count_share
from laion_probe.estimators.agreement import Bootstrap, RaterAgreement, rater_agreement
from laion_probe.estimators.catalogue import load_estimator
from laion_probe.estimators.power import (
    LabelPlan,
    classifier_correlation,
    labels_needed,
    smallest_difference,
)
from laion_probe.estimators.sensitivity import error_to_overturn, missing_to_overturn
from laion_probe.questions.compose_estimates import Asked, beside, bounds, cells, check_estimator
from laion_probe.questions.compose_inputs import Tables, open_tables, provenance, sample_of
from laion_probe.questions.compose_pools import Pool
from laion_probe.questions.compose_words import cannot_say, claim, how_measured, sentence
from laion_probe.questions.inputs import references_of
from laion_probe.ratings.labels import ADJUDICATED
from laion_probe.results import Estimate
from laion_probe.shifts import effective_size

__all__ = ["compose"]

_HALF_WIDTHS = (0.1, 0.05, 0.03)
_ENDLESS = 10**12  # pictures of a process, as a set
_POWER = 0.8  # with which a difference is to be seen


def compose(config: ComposeConfig) -> ComposeResult:
    """Estimate the shares of every attribute's levels among the pictures of the tables.

    Raises a `LaionProbeError` that says what to do when a table cannot be used.
    """
    load_estimator(config.estimator)
    harms = config.harms
    tables = open_tables(config)
    references = references_of(config.reference, tables.attributes)
    measured = tuple(_measure(config, tables, pool) for pool in tables.pools.values())
    found, left_out = _intersections(config, tables)
    return ComposeResult(
        data_note=config.data_note,
        context=config.context,
        harms=harms,
        level=config.level,
        n_pictures=len(tables.unit),
        n_rated=tables.n_rated,
        n_units=len({*tables.unit.values()}),
        attributes=measured,
        intersections=found,
        agreement=tuple(
            told
            for pool in tables.pools.values()
            for told in _agreement(config, tables, pool.attribute)
        ),
        references={name: references[name] for name in tables.pools},
        finding=tuple(sentence(m) for m in measured),
        claims=tuple(claim(i, m) for i, m in enumerate(measured)),
        how_measured=how_measured(config, tables, measured),
        cannot_say=cannot_say(tables, measured, left_out),
        provenance=provenance(config, tables),
    )


def _measure(config: ComposeConfig, tables: Tables, pool: Pool) -> Measured:
    a, sample = pool.attribute, sample_of(config, tables, pool.ids)
    asked = Asked.of(pool, sample, config.units is not None, config.estimator)
    check_estimator(config.estimator, pool, asked)
    pair = (a.contrast, a.against)
    chosen = asked.levels(pool, (a.contrast,), pair)
    headline = chosen.estimate
    if config.estimator != "default" and headline.value is None and headline.high is None:
        default = asked.by("default").levels(pool, (a.contrast,), pair)
        if default.estimate.value is not None:
            raise ConfigError(
                f"--estimator {config.estimator} cannot tell the share of {a.contrast} among "
                f"{' and '.join(pair)} ({headline.method}): leave the choice to the default"
            )
    as_read = None
    if pool.basis == "both":
        alone = _unrated(pool)
        uncorrected = Asked.of(alone, sample, asked.units, "default")
        as_read = uncorrected.levels(alone, (a.contrast,), pair).estimate
    return Measured(
        attribute=a.name,
        title=a.title,
        about=a.about,
        basis=pool.basis,
        labels="imported scores, corrected by human ratings"
        if pool.basis == "both"
        else pool.labels,
        levels=a.levels,
        contrast_level=a.contrast,
        against_level=a.against,
        n_pictures=len(pool.ids),
        n_rated=int(pool.rated.sum()),
        n_not_rated=pool.n_not_rated,
        read={} if pool.read is None else {x: int(pool.is_read((x,)).sum()) for x in a.levels},
        rated={x: int(pool.is_said((x,)).sum()) for x in a.levels} if pool.rated.any() else {},
        shares={x: asked.levels(pool, (x,), a.levels).estimate for x in a.levels},
        headline=headline,
        other=_complement(headline),
        as_read=as_read,
        bounds=bounds(asked, pool),
        estimator=chosen.estimator,
        why=chosen.why,
        warning=chosen.warning,
        parity=a.parity,
        side=_side(headline, a.parity, chosen.warning, sample.sampled),
        by_estimator=beside(asked, pool),
        sensitivity=_sensitivity(pool, asked, headline),
        wanted=_wanted(config, pool, asked, headline),
    )


def _unrated(pool: Pool) -> Pool:
    """The pool as the classifier alone reads it."""
    return replace(pool, said=np.full(len(pool.ids), -1, dtype=np.int64), declared=False)


def _complement(e: Estimate) -> Estimate:
    """The share of the rest, when ``e`` is that of one of two levels."""
    ends = {"value": e.value, "low": e.high, "high": e.low}
    return e.model_copy(update={k: None if x is None else 1 - x for k, x in ends.items()})


def _side(
    e: Estimate, parity: float, warning: str, sampled: float
) -> Literal["above", "below", ""]:
    """Where the share lies for sure; '' where its interval, or its labels, cannot tell.

    An interval without width from a sample is an estimator's failure, and tells nothing.
    """
    if warning or e.low is None or e.high is None or (e.low == e.high and sampled < 1):
        return ""
    return "above" if e.low > parity else "below" if e.high < parity else ""


def _sensitivity(pool: Pool, asked: Asked, headline: Estimate) -> tuple[str, ...]:
    """How wrong labels, or how unlike the others unknown pictures, would have to be.

    And, of labels whose errors are known, which difference another sample would show.
    """
    parity = pool.attribute.parity
    who = "the classifier" if pool.basis == "classifier" else "raters"
    if headline.value is None:
        return ()
    said = [error_to_overturn(headline, parity, who).sentence]
    unknown = pool.is_read((UNKNOWN,)) if pool.basis == "classifier" else pool.is_said((UNKNOWN,))
    n_missing = int(unknown.sum()) + (pool.n_not_rated if pool.basis == "raters" else 0)
    # by weight they may stand for more, or fewer: the bounds say what is possible then
    if n_missing and not asked.weighted:
        said.append(missing_to_overturn(headline, n_missing, parity).sentence)
    if pool.basis != "classifier" and (difference := _difference_seen(headline)):
        said.append(difference)
    return tuple(dict.fromkeys(said))  # there may be nothing to overturn, twice


def _difference_seen(e: Estimate) -> str:
    """Which differences from another sample would be seen; '' where this one has no width."""
    size = effective_size(e)
    if e.value is None or math.isinf(size) or round(size) < 1:
        return ""
    found = smallest_difference(size, size, e.value, _POWER, e.level)
    ways = [
        f"{100 * difference:.1f} points {way}"
        for difference, way in ((found.higher, "higher"), (found.lower, "lower"))
        if difference is not None
    ]
    if not ways:
        return "No difference from another sample as precise as this one would be seen reliably."
    return (
        "Between this and another sample as precise, a difference is seen with "
        f"{100 * _POWER:.0f} % power from {' or '.join(ways)}; a smaller one may go unseen."
    )


def _wanted(
    config: ComposeConfig, pool: Pool, asked: Asked, headline: Estimate
) -> tuple[Wanted, ...]:
    """Labels for a narrower interval, at the share that was found."""
    if headline.value is None or not 0 < headline.value < 1:
        return ()
    a, pair = pool.attribute, (pool.attribute.contrast, pool.attribute.against)
    plan, note = LabelPlan(population=config.population), ""
    if pool.basis == "both":
        told = pool.rated & pool.is_said(pair) & pool.is_read(pair)
        hits, others = told & pool.is_said((a.contrast,)), told & pool.is_said((a.against,))
        if hits.any() and others.any():
            read = pool.is_read((a.contrast,))
            right = float(read[hits].mean()), float(1 - read[others].mean())
            rho = classifier_correlation(headline.value, *right)
            plan = LabelPlan(correlation=rho, scored=len(pool.ids), population=config.population)
            note = (
                f"with this classifier, right for {100 * right[0]:.0f} % of {a.contrast} and "
                f"{100 * right[1]:.0f} % of {a.against}; "
            )
    elif pool.basis == "raters" and (asked.units or asked.weighted) and asked.sample.sampled < 1:
        n = headline.n
        each_alone = count_share(
            round(n * headline.value), n, config.population or _ENDLESS, config.level
        )
        size = effective_size(headline)
        effect = max(1.0, effective_size(each_alone) / size) if size else 1.0
        plan = LabelPlan(population=config.population, design_effect=effect)
        note = f"drawn as these were, each tells as much as {1 / effect:.2f}; "
    found = [
        (h, labels_needed(h, headline.value, level=config.level, plan=plan)) for h in _HALF_WIDTHS
    ]
    return tuple(Wanted(half_width=h, n_labels=f.n, note=note + f.method) for h, f in found)


def _intersections(
    config: ComposeConfig, tables: Tables
) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """Every pair of attributes, cell by cell, and why pairs are left out."""
    found: list[Cell] = []
    left_out = []
    pools = list(tables.pools.values())
    for one, other in ((x, y) for i, x in enumerate(pools) for y in pools[i + 1 :]):
        names = f"{one.attribute.title} and {other.attribute.title}"
        there = {*other.ids}
        ids = [i for i in one.ids if i in there]
        first, second = one.take(ids), other.take(ids)
        rated = first.rated & second.rated
        if first.basis != second.basis:
            left_out.append(f"{names}: their labels are not of the same kind.")
        elif not ids or (first.basis == "both" and rated.sum() < 2):
            left_out.append(f"{names}: hardly any picture has labels of both.")
        elif config.estimator == "manski-bounds":
            left_out.append(f"{names}: manski-bounds gives no share of a cell.")
        else:
            probability = first.probability
            if first.basis == "both" and not first.declared:
                probability = np.full(len(ids), float(rated.mean()))
            sample = sample_of(config, tables, ids)
            units = config.units is not None
            found += cells(
                first,
                second,
                Asked(
                    basis=first.basis,
                    sample=sample,
                    rated=rated,
                    probability=probability,
                    stratum=first.stratum,
                    units=units,
                    estimator=config.estimator,
                ),
            )
    return tuple(found), tuple(left_out)


def _agreement(config: ComposeConfig, tables: Tables, a: Attribute) -> Iterator[Agreement]:
    """How far raters agree on the attribute, and on its Monk tones by rank; of two or more."""
    if tables.ratings is None:
        return
    frame = tables.ratings.frame.filter(pl.col("attribute") == a.name)
    said = frame.filter(pl.col("rater") != ADJUDICATED)
    settled = frame.filter(pl.col("rater") == ADJUDICATED)["picture"].unique()
    if said["rater"].n_unique() < 2:
        return
    plan = Bootstrap(seed=config.seed, level=config.level)
    k, place = len(a.levels), {name: i for i, name in enumerate(a.levels)}
    level = pl.col("level").replace_strict(place, return_dtype=pl.Int64)
    codes, pictures = _codes(said.with_columns(code=level))
    votes = np.sort([(codes == i).sum(axis=0) for i in range(k)], axis=0)
    tied = (votes[-1] == votes[-2]) & ~pictures.is_in(settled.to_list()).to_numpy()
    yield _told(a.name, rater_agreement(codes, k, bootstrap=plan), len(settled), int(tied.sum()))
    toned = said.filter(pl.col("monk").is_not_null()).with_columns(code=pl.col("monk") - 1)
    if toned["rater"].n_unique() < 2:
        return
    codes, pictures = _codes(toned)
    found = rater_agreement(codes, len(MONK), "ordinal", plan)
    yield _told(f"{a.name} (Monk tone)", found, int(settled.is_in(pictures.to_list()).sum()), 0)


def _codes(said: pl.DataFrame) -> tuple[NDArray[np.int64], pl.Series]:
    """The column ``code`` by rater and picture, -1 where there is none, and the pictures."""
    wide = said.pivot(on="rater", index="picture", values="code", sort_columns=True)
    return wide.drop("picture").fill_null(-1).to_numpy().T, wide["picture"]


def _told(name: str, found: RaterAgreement, n_adjudicated: int, n_tied: int) -> Agreement:
    return Agreement(
        attribute=name,
        n_raters=found.n_raters,
        n_pictures=found.n_items,
        alpha=found.alpha,
        kappa=found.kappa,
        n_disagreements=found.n_disagreements,
        n_adjudicated=n_adjudicated,
        n_tied=n_tied,
    )
