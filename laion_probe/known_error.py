"""What measured classifier errors could do to a share: a range, not a correction.

A classifier's confusion was measured on labelled pictures of one or several *domains* (renderings,
photographs of one kind). Which of them is like the pictures at hand is not known, so the share is
adjusted under each of them and the results are enclosed in one range. This assumes that errors
depend on the true level alone and that at least one of the domains is like these pictures; it does
not assume which. Per domain: maximum likelihood of the true levels' shares given the confusion, by
EM (Saerens, Latinne, Decaestecker 2002), with a bootstrap of units and of the confusion's rows.

Errors differ between concepts too. Where the confusion was measured by group (concept) and the
concept is one of them, its own is used; for another concept each draw takes the confusion of one
group at random, so the range is of what is plausible for a concept like those measured, and not for
their average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.estimate import Sample
from laion_probe.results import Estimate, KnownError

__all__ = ["Adjusted", "adjust", "difference_range", "for_concept", "share_range"]

Floats = NDArray[np.float64]

DRAWS = 400
_ITERATIONS = 200
_PRIOR = 30.0
_ASSUMES = (
    "errors depend on the true level alone, and are as measured in one of the domains (which one "
    "is not assumed), for this concept or, where it was not measured, for some other"
)


@dataclass(frozen=True)
class Adjusted:
    """Bootstrap draws of a contrast share under each domain; ``draws[i]`` has shape (DRAWS,)."""

    point: Floats  # (domains,)
    draws: Floats  # (domains, DRAWS)
    n: int
    units: int
    level: float


def for_concept(table: KnownError, concept: str) -> KnownError:
    """The table with the concept's own group alone, where that was measured."""
    own = table.by_group.get(concept.strip().lower())
    return table if own is None else table.model_copy(update={"by_group": {concept: own}})


def adjust(
    label: NDArray[np.int64],
    levels: Sequence[str],
    contrast: tuple[str, str],
    tables: Sequence[KnownError],
    sample: Sample,
    seed: int,
) -> Adjusted | None:
    """Adjust the share of contrast[0] among both levels of ``contrast`` under each table.

    ``label[i]`` indexes ``levels``, aligned with ``sample.unit``. None without tables or pictures.
    """
    if not len(tables) or not len(label):
        return None
    rng = np.random.default_rng(seed)
    _, unit = np.unique(sample.unit, return_inverse=True)
    units = int(unit.max()) + 1
    counts = np.zeros((units, len(levels)))
    np.add.at(counts, (unit, label), 1)
    # The finite-population correction shrinks the spread of the draws about the observed counts.
    weights = rng.multinomial(units, np.full(units, 1 / units), size=DRAWS)
    weights = 1 + (weights - 1) * np.sqrt(max(0.0, 1 - sample.sampled))
    read = np.vstack([counts.sum(axis=0), np.maximum(weights @ counts, 0)])
    points, draws = [], []
    for table in tables:
        true = list(table.confusion)
        pooled = _matrix(table.confusion, true, levels)
        groups = [_matrix(g, true, levels) for _, g in sorted(table.by_group.items())]
        shares = _em(read, _confusions(pooled, groups or [pooled], rng))
        a, b = (shares[:, true.index(name)] for name in contrast)
        with np.errstate(invalid="ignore"):
            share = a / (a + b)
        points.append(share[0])
        draws.append(share[1:])
    return Adjusted(np.array(points), np.array(draws), len(label), units, sample.level)


def share_range(adjusted: Adjusted) -> Estimate:
    """The range of the adjusted share over all domains, sampling included."""
    return _range(adjusted.draws, adjusted.n, adjusted.units, adjusted.level)


def difference_range(first: Adjusted, second: Adjusted) -> Estimate:
    """The range of ``second`` - ``first`` over all pairs of domains: neither side's is assumed."""
    pairs = second.draws[None, :, :] - first.draws[:, None, :]
    draws = pairs.reshape(-1, pairs.shape[-1])
    return _range(draws, first.n + second.n, first.units + second.units, first.level)


def _range(draws: Floats, n: int, units: int, level: float) -> Estimate:
    tail = (1 - level) / 2
    sound = draws[:, np.isfinite(draws).all(axis=0)]
    low, high = (
        (None, None)
        if sound.shape[1] < DRAWS // 2
        else (
            float(np.quantile(sound, tail, axis=1).min()),
            float(np.quantile(sound, 1 - tail, axis=1).max()),
        )
    )
    return Estimate(
        value=None,
        low=low,
        high=high,
        level=level,
        n=n,
        units=units,
        method=f"range over measured confusions ({DRAWS} bootstrap draws of units and confusions)",
        assumptions=(_ASSUMES,),
    )


def _matrix(
    confusion: Mapping[str, Mapping[str, int]], true: Sequence[str], levels: Sequence[str]
) -> Floats:
    """Counts, shape (true, read)."""
    return np.array([[confusion.get(t, {}).get(name, 0) for name in levels] for t in true], float)


def _confusions(pooled: Floats, groups: Sequence[Floats], rng: np.random.Generator) -> Floats:
    """P(read | true), shape (1 + DRAWS, true, read): pooled, then each of a group drawn at random.

    A group's counts are joined by a prior of _PRIOR pictures with the pooled errors: groups are
    small, and a level that a group does not have (no person, say) must come from somewhere.
    """
    prior = _PRIOR * pooled / np.maximum(pooled.sum(axis=1, keepdims=True), 1)
    counts = np.stack([g + prior for g in groups])
    chosen = counts[rng.integers(0, len(counts), DRAWS)]
    # A quarter count keeps what was never seen possible (Jeffreys-like).
    drawn = rng.standard_gamma(chosen + 0.25)  # normalised, these are Dirichlet draws
    all_draws = np.concatenate([(pooled + 0.25)[None], drawn])
    return np.asarray(all_draws / all_draws.sum(axis=2, keepdims=True))


def _em(read: Floats, confusion: Floats) -> Floats:
    """Shares of the true levels, shape (draws, true), given counts (draws, read) of labels."""
    n_true = confusion.shape[1]
    share = np.full((len(read), n_true), 1 / n_true)
    observed = read / read.sum(axis=1, keepdims=True)
    for _ in range(_ITERATIONS):
        joint = share[:, :, None] * confusion
        posterior = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
        share = (posterior * observed[:, None, :]).sum(axis=2)
    return share
