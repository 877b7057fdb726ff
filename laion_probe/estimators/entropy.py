"""How evenly pictures spread over clusters, and how far two sets of them spread differently.

Shares of few pictures look less even than the process that they come from: the plug-in entropy is
too low by about the sum of Var(share) / share over clusters, halved (Miller 1955 and Madow, for
independent pictures), and a distance between two sets too high. Pictures of one batch are alike,
which makes both worse; so batches, not pictures, are left out and counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit, xlogy

from laion_probe.estimate import clopper_pearson
from laion_probe.results import Estimate

__all__ = ["Distance", "Spread", "distance", "entropy", "entropy_difference"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: A standard error below this is rounding.
_NOTHING = 1e-12


@dataclass(frozen=True)
class Spread:
    """Pictures by batch and cluster: ``counts`` (batches, clusters), every batch with pictures.

    ``assumes`` says what makes the batches a sample.
    """

    counts: Ints
    level: float = 0.95
    assumes: str = "batches are exchangeable"

    @classmethod
    def of(cls, cluster: Ints, batch: Ints, n_clusters: int, level: float = 0.95) -> Spread:
        """From the cluster (0, 1, ...) and the batch (any numbers) of each picture.

        >>> Spread.of(np.array([0, 1, 1]), np.array([7, 7, 9]), 2).counts.tolist()
        [[1, 1], [0, 1]]
        """
        names, unit = np.unique(batch, return_inverse=True)
        counts = np.zeros((len(names), n_clusters), np.int64)
        np.add.at(counts, (unit, cluster), 1)
        return cls(counts, level)

    @property
    def n(self) -> int:
        """Pictures."""
        return int(self.counts.sum())

    def units(self) -> tuple[Floats, bool]:
        """Counts by batch, or by picture where there is one batch only, which is said as True."""
        if len(self.counts) > 1:
            return self.counts.astype(np.float64), False
        cluster = np.repeat(np.arange(self.counts.shape[1]), self.counts.sum(axis=0))
        return np.eye(self.counts.shape[1])[cluster], True

    def assumptions(self, by_picture: bool) -> tuple[str, ...]:
        """What an interval takes for granted."""
        if by_picture:
            return ("pictures are independent (there is one batch only)",)
        return (self.assumes,)


@dataclass(frozen=True)
class Distance:
    """Total variation between two spreads: as the shares are, and corrected, with its interval."""

    raw: float | None
    corrected: Estimate


def entropy(spread: Spread) -> Estimate:
    """The entropy of the shares over the clusters, over its maximum: 0 one cluster, 1 all alike.

    - Estimand: of the process that the batches are drawn from, for these clusters.
    - Corrected by the delete-one-batch jackknife (Quenouille 1956; for entropy Zahl 1977); Student
      t with batches - 1 degrees of freedom on the jackknife's standard error.
    - Checked: 50 batches of 4 in 12 clusters cover 94 to 95 %, with batches alike or not. Shares
      that are all alike cover 97 to 99 %, since the maximum cannot be passed.
    - Fails: where most clusters hold few pictures. 200 pictures in 48 clusters cover 90 to 94 %.
    - Nothing is defined for no picture, no interval for one. Pictures that are all of one cluster
      leave what an exact 0 of so many batches leaves.

    >>> entropy(Spread(np.tile([3, 0, 0], (20, 1)))).value
    0.0
    >>> rng = np.random.default_rng(0)
    >>> e = entropy(Spread(rng.multinomial(4, [0.5, 0.25, 0.25], size=50)))
    >>> e.low < 0.946 < e.high
    True
    """
    k = spread.counts.shape[1]
    if k < 2:
        raise ValueError("an entropy is over two clusters or more")
    found = _jackknife(spread)
    if found is None:
        return _estimate((None, None, None), spread, "entropy of no picture", False)
    value, error, m, by_picture = found
    most = math.log(k)
    name = "entropy over its maximum, delete-one-batch jackknife, Student's t"
    if m < 2:
        return _estimate((value / most, None, None), spread, name, by_picture)
    half = float(stdtrit(m - 1, 0.5 + spread.level / 2)) * error
    low, high = value - half, value + half
    if error < _NOTHING:
        high = max(high, _with_rest(_unseen(spread, m), k))
    ends = (float(np.clip(x / most, 0.0, 1.0)) for x in (value, low, high))
    at, low, high = ends
    return _estimate((at, min(low, at), max(high, at)), spread, name, by_picture)


def entropy_difference(first: Spread, second: Spread) -> Estimate:
    """``second`` - ``first``, of entropies over the same clusters' maximum, independent sets.

    Each end is as far from the difference as the ends of both are from theirs, in quadrature
    (MOVER, Newcombe 1998).

    >>> few, many = (Spread(np.tile(row, (30, 1))) for row in ([4, 0, 0, 0], [1, 1, 1, 1]))
    >>> entropy_difference(few, many).value
    1.0
    """
    a, b = entropy(first), entropy(second)
    name = "difference of entropies, each corrected by the jackknife (MOVER)"
    joined = {
        "level": a.level,
        "n": a.n + b.n,
        "units": a.units + b.units,
        "method": name,
        "assumptions": tuple(dict.fromkeys((*a.assumptions, *b.assumptions))),
    }
    if a.value is None or b.value is None:
        return Estimate.model_validate({**joined, "value": None, "low": None, "high": None})
    d = b.value - a.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate.model_validate({**joined, "value": d, "low": None, "high": None})
    low = max(-1.0, d - math.hypot(b.value - b.low, a.high - a.value))
    high = min(1.0, d + math.hypot(b.high - b.value, a.value - a.low))
    return Estimate.model_validate({**joined, "value": d, "low": low, "high": high})


def distance(first: Spread, second: Spread) -> Distance:
    """Total variation of two independent sets over the same clusters: half the summed differences.

    The least share of pictures that would have to lie in another cluster for the sets to be alike.
    Differences of shares are taken as normal with the variance between batches; what that adds to
    their absolute values is subtracted, for differences drawn towards zero the more the better
    chance explains them. The interval reaches from the lesser of the raw and the corrected value to
    the greater, and beyond by a normal quantile of the standard error, with half of the correction
    in quadrature.

    - Checked: 96 to 100 % of intervals cover for 12 to 48 clusters; 99 % or more near zero, so that
      one that does not reach 0 is seldom by chance.

    >>> same = Spread(np.tile([2, 1, 1], (40, 1)))
    >>> other = Spread(np.tile([0, 2, 2], (40, 1)))
    >>> round(distance(same, other).corrected.value, 2)
    0.5
    """
    if first.counts.shape[1] != second.counts.shape[1]:
        raise ValueError("both spreads are over the same clusters")
    level = first.level
    assumes = tuple(dict.fromkeys(x for s in (first, second) for x in s.assumptions(s.units()[1])))

    def estimate(value: float | None, low: float | None, high: float | None) -> Estimate:
        return Estimate(
            value=value,
            low=low,
            high=high,
            level=level,
            n=first.n + second.n,
            units=len(first.counts) + len(second.counts),
            method="total variation distance, corrected for chance; variance between batches",
            assumptions=assumes,
        )

    if not first.n or not second.n:
        return Distance(None, estimate(None, None, None))
    (p, s1, m1), (q, s2, m2) = _shares(first), _shares(second)
    d, cov = p - q, s1 + s2
    raw = float(np.abs(d).sum() / 2)
    if min(m1, m2) < 2:
        return Distance(raw, estimate(raw, None, None))
    error = np.sqrt(np.diag(cov))
    vary = error > _NOTHING
    if not vary.any():
        room = _unseen(first, m1) + _unseen(second, m2)
        return Distance(raw, estimate(raw, max(0.0, raw - room), min(1.0, raw + room)))
    df = max(1, int(vary.sum()) - 1)
    x2 = float((d[vary] ** 2 / error[vary] ** 2).mean()) * df
    # as in `total_variation`: none of a deviation is believed up to AIC's X² = 2 df
    kept = max(0.0, 1 - (2 * df / max(x2, _NOTHING)) ** 2)
    excess = (kept * _folded(kept * d, error) + (1 - kept) * _folded(0 * d, error)).sum() / 2
    corrected = max(0.0, raw - float(excess))
    sign = np.sign(d) / 2
    spread = math.hypot(math.sqrt(max(0.0, float(sign @ cov @ sign))), float(excess) / 2)
    half = float(ndtri(0.5 + level / 2)) * spread
    low, high = max(0.0, min(raw, corrected) - half), min(1.0, max(raw, corrected) + half)
    return Distance(raw, estimate(corrected, low, high))


def _plain(counts: Floats) -> Floats:
    """The plug-in entropy in nats of counts (..., clusters)."""
    n = counts.sum(axis=-1)
    return np.asarray(np.log(n) - xlogy(counts, counts).sum(axis=-1) / n)


def _jackknife(spread: Spread) -> tuple[float, float, int, bool] | None:
    """Entropy in nats without its bias, standard error, units, pictures-as-units; None of none."""
    units, by_picture = spread.units()
    m, total = len(units), units.sum(axis=0)
    if not total.any():
        return None
    plain = float(_plain(total))
    if m < 2:
        return plain, 0.0, m, by_picture
    without = _plain(total - units)
    value = m * plain - (m - 1) * float(without.mean())
    error = math.sqrt((m - 1) / m * float(((without - without.mean()) ** 2).sum()))
    return min(max(value, 0.0), math.log(len(total))), error, m, by_picture


def _shares(spread: Spread) -> tuple[Floats, Floats, int]:
    """Shares (K,), their covariance (K, K) linearised by unit, and how many units."""
    units, _ = spread.units()
    m, n = len(units), float(units.sum())
    p = units.sum(axis=0) / n
    residual = (units - units.sum(axis=1, keepdims=True) * p) / n
    return p, m / max(1, m - 1) * residual.T @ residual, m


def _unseen(spread: Spread, m: int) -> float:
    """The largest share of what none of ``m`` units has shown."""
    return clopper_pearson(0, m, spread.level)[1]


def _with_rest(u: float, k: int) -> float:
    """The entropy in nats of one cluster and a share ``u`` spread over the others."""
    u = min(u, 1 - 1 / k)
    return float(-xlogy(1 - u, 1 - u) - xlogy(u, u / (k - 1)))


def _folded(d: Floats, error: Floats) -> Floats:
    """E|N(d, error²)| - |d|."""
    safe = np.where(error > 0, error, 1.0)
    z = np.abs(d) / safe
    excess = safe * math.sqrt(2 / math.pi) * np.exp(-z * z / 2) - 2 * np.abs(d) * ndtr(-z)
    return np.where(error > 0, excess, 0.0)


def _estimate(
    ends: tuple[float | None, float | None, float | None],
    spread: Spread,
    method: str,
    by_picture: bool,
) -> Estimate:
    return Estimate(
        value=ends[0],
        low=ends[1],
        high=ends[2],
        level=spread.level,
        n=spread.n,
        units=spread.n if by_picture else len(spread.counts),
        method=method,
        assumptions=spread.assumptions(by_picture),
    )
