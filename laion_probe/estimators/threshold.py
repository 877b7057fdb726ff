"""A threshold calibrated by ratings, and judged by others.

The threshold that looks best on some ratings looks better on them than it is: where there are many
to choose from, one is lucky. So half of the ratings choose and the other half judge; the judges'
interval holds for the threshold that was chosen, whatever chose it. Without ratings there is
`laion_probe.neighbourhood.choose_threshold`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import ConfigError
from laion_probe.estimators.similarity_strata import StrataDesign, StrataRatings
from laion_probe.estimators.stratified import Stratified, ratio
from laion_probe.results import Estimate

__all__ = ["Calibrated", "calibrate_threshold"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: So many rated rows that choose must lie at or above a threshold for it to be eligible.
_ENOUGH = 10
_HALF = "half of the ratings chose the threshold, the other half judge it"
_TOLD = "rows of which raters could not tell whether they show it count as not showing it"


@dataclass(frozen=True)
class Calibrated:
    """A threshold, and its precision and recall by ratings that had no part in choosing it.

    ``threshold`` is None where none meets the target; then neither estimate is defined.
    """

    threshold: float | None
    precision: Estimate
    recall: Estimate
    rule: str
    n_choosing: int
    n_judging: int


def calibrate_threshold(
    design: StrataDesign,
    ratings: StrataRatings,
    similarity: Floats,
    target: str,
    seed: int = 0,
) -> Calibrated:
    """The lowest threshold of a precision ("precision>=0.9"), or the one of best F1 ("max F1").

    ``similarity`` (m,) are the rated rows' cosines, which the thresholds are picked from. The
    target is met by the estimate of the half that chooses, not by a limit: what the judges say of
    it may be under it. At least ten rated rows must lie at or above a threshold. Raises
    `ConfigError` for a target that is none.

    >>> floor, size = np.array([0.5, -np.inf]), np.array([1000, 9000])
    >>> design = StrataDesign(floor, size, size, size, size < 2000, 0.5, 0, "")
    >>> cosine = np.tile(np.linspace(1, 0, 100), 4)
    >>> shows, label = (cosine > 0.7).astype(int), np.zeros(400, int)
    >>> rated = StrataRatings(design.stratum_of(cosine), shows, label)
    >>> found = calibrate_threshold(design, rated, cosine, "precision>=0.9")
    >>> found.n_choosing, found.n_judging, 0.6 < found.threshold < 0.75
    (200, 200, True)
    """
    wanted = _target(target)
    choosing = _half(ratings.stratum, seed)
    n_strata = len(design.sizes)
    halves = [
        Stratified(design.sizes, np.bincount(ratings.stratum[part], minlength=n_strata))
        for part in (choosing, ~choosing)
    ]
    yes = ratings.shows == 1
    weight = (design.sizes / np.maximum(halves[0].n, 1))[ratings.stratum] * choosing
    chosen = _choose(similarity[choosing], yes[choosing], weight[choosing], wanted)
    judges = halves[1]

    def counts(which: Bools) -> Ints:
        strata = ratings.stratum[which & ~choosing]
        return np.bincount(strata, minlength=n_strata).astype(np.int64)

    if chosen is None:
        none = np.zeros(n_strata, np.int64)
        estimates = ratio(none, none, judges), ratio(none, none, judges)
    else:
        above = similarity >= chosen
        ceiling = np.append(np.inf, design.floor[:-1])
        # cosines are known of all rows: no row hides on the wrong side of the threshold
        over, under = ceiling > chosen, design.floor < chosen
        estimates = (
            ratio(counts(yes & above), counts(~yes & above), judges, (over, over)),
            ratio(counts(yes & above), counts(yes & ~above), judges, (over, under)),
        )
    precision, recall = (
        e.model_copy(update={"assumptions": (*e.assumptions, _HALF, _TOLD)}) for e in estimates
    )
    n = int(choosing.sum())
    if chosen is None:
        rule = f"no threshold with {_ENOUGH} of {n} rated rows above it meets {target}"
    else:
        best = "the best F1" if wanted is None else f"the lowest of precision {wanted:g} or more"
        rule = f"{best} by the estimate of {n} ratings; {len(yes) - n} others judge it"
    return Calibrated(chosen, precision, recall, rule, n, len(yes) - n)


def _target(target: str) -> float | None:
    """The precision that is asked for; None for the best F1."""
    if target.strip().lower() == "max f1":
        return None
    found = re.fullmatch(r"\s*precision\s*>=\s*(0?\.\d+|1(?:\.0+)?)\s*", target)
    if not found or not 0 < float(found[1]) <= 1:
        raise ConfigError(f"target '{target}' is neither 'precision>=0.9', say, nor 'max F1'")
    return float(found[1])


def _half(stratum: Ints, seed: int) -> Bools:
    """A random half of each stratum, the smaller one where the number is odd."""
    order = np.lexsort((np.random.default_rng(seed).random(len(stratum)), stratum))
    ordered = stratum[order]
    place = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    half = np.zeros(len(stratum), bool)
    half[order] = place < (np.bincount(stratum)[ordered] // 2)
    return half


def _choose(similarity: Floats, yes: Bools, weight: Floats, wanted: float | None) -> float | None:
    """The threshold by weighted counts; thresholds are cosines of rated rows."""
    order = np.argsort(-similarity, kind="stable")
    cosine, shown = similarity[order], np.cumsum((weight * yes)[order])
    selected = np.cumsum(weight[order])
    # rows of one cosine are above a threshold together
    last = np.append(cosine[:-1] > cosine[1:], True)
    eligible = np.flatnonzero(last & (np.arange(1, len(cosine) + 1) >= _ENOUGH))
    if len(eligible) == 0 or shown[-1] == 0:
        return None
    if wanted is None:
        f1 = 2 * shown / (selected + shown[-1])
        return float(cosine[eligible[f1[eligible].argmax()]])
    meets = eligible[shown[eligible] / selected[eligible] >= wanted]
    return float(cosine[meets[-1]]) if len(meets) else None
