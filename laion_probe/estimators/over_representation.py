"""Which clusters of the data are drawn too often: shares of outputs over shares of training rows.

Clusters are learnt on the data alone and every row is assigned, so that a cluster's share of the
data is a count and not an estimate, and outputs are looked at once: nothing is chosen by them that
is then measured on them. Outputs of one batch (a seed, a grid) resemble each other; the batch is
the unit. Looking at K clusters gives K chances to be surprised: intervals of the ratio hold for all
K at once (Bonferroni).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from laion_probe.estimate import Clusters, Sample, clopper_pearson, share
from laion_probe.results import Estimate

__all__ = ["ClusterShare", "local_ratio", "over_representation", "share_ratio"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: Local neighbourhoods: training rows in each, outputs that have one, rows that they are among.
_LOCAL_ROWS, _LOCAL_OUTPUTS, _LOCAL_SAMPLE = 10, 256, 10_000
_ASSUMES = "batches of outputs are exchangeable"
_METHOD = "Clopper-Pearson on the effective sample size, clustered by batch"
_CENSUS = "every row of the data was assigned: no sampling error"


@dataclass(frozen=True)
class ClusterShare:
    """A cluster's share of the outputs and of the data, and the first over the second.

    The interval of ``ratio`` holds for all clusters looked at together, that of ``output_share``
    for this one alone. ``ratio`` is None where the cluster has no row of the data.
    ``over_represented`` says that the whole interval of the ratio is above 1.
    """

    output_share: Estimate
    data_share: Estimate
    ratio: Estimate
    over_represented: bool


def over_representation(
    outputs: Ints, batch: Ints, data_counts: Ints, level: float = 0.95
) -> tuple[ClusterShare, ...]:
    """Each cluster's share of the outputs beside its share of the data.

    ``outputs`` (n,) is the cluster of each output and ``batch`` (n,) its batch; ``data_counts``
    (K,) are the rows of all the data in each cluster. The interval of the ratio is Clopper and
    Pearson's on the effective sample size by batch (`Clusters`): far out in the tails, where
    simultaneous intervals end, Wilson's is too narrow (32 clusters of equal size, 400 independent
    outputs: 7 % of null sets have one that is called over-represented instead of 2.5). With one
    batch alone, outputs take the place of batches, which the assumptions say.

    - Estimand: the share of the generator's outputs in the cluster over the share of these data.
    - Assumes: exchangeable batches; clusters that were learnt without the outputs.
    - Fails: where outputs and data are embedded by different models, or drawn so differently that
      style decides the nearest centre.
    - Source: Korn and Graubard 1998; Bonferroni over clusters.

    >>> rows = np.arange(400)
    >>> first, second = over_representation(rows % 4 // 3, rows // 10, np.array([900, 100]))
    >>> second.ratio.value, second.over_represented, first.over_represented
    (2.5, True, False)
    """
    k = len(data_counts)
    return tuple(
        share_ratio(outputs == c, batch, (int(data_counts[c]), int(data_counts.sum())), (level, k))
        for c in range(k)
    )


def share_ratio(
    inside: NDArray[np.bool_], batch: Ints, data: tuple[int, int], at: tuple[float, int]
) -> ClusterShare:
    """One cluster: ``inside`` (n,) marks its outputs, ``data`` are its rows and all rows.

    ``at`` is the level, and how many clusters were looked at.
    """
    level, k = at
    units = np.unique(batch, return_inverse=True)[1]
    own = share(inside, np.ones(len(inside), dtype=bool), Sample(units, 0.0, level, _ASSUMES))
    low, high = _limits(inside, units, 1 - (1 - level) / k)
    count, n = data
    part = count / n
    of_data = Estimate(
        value=part,
        low=part,
        high=part,
        level=level,
        n=n,
        units=n,
        method="share of all rows",
        assumptions=(_CENSUS,),
    )
    ends = [None if count == 0 or x is None else x / part for x in (own.value, low, high)]
    ratio = Estimate(
        value=ends[0],
        low=ends[1],
        high=ends[2],
        level=level,
        n=own.n,
        units=own.units,
        method=f"share of outputs / share of all rows; {_METHOD}; Bonferroni over {k} clusters",
        assumptions=own.assumptions,
    )
    return ClusterShare(own, of_data, ratio, ratio.low is not None and ratio.low > 1)


def local_ratio(
    outputs: tuple[Floats, Ints], members: Ints, rows: Floats, level: float = 0.95
) -> Estimate:
    """Mean density of outputs over that of training rows in balls around some outputs.

    ``outputs`` are unit vectors (n, d) and batches (n,), ``members`` (m,) those of them that balls
    are around (256 at most), ``rows`` (s, d) a random sample of the data in random order. A ball
    reaches to the 10th nearest of up to 10 000 of these; outputs of the member's own batch do not
    count. Where densities have a ratio r, the expected number of others is r x 10 x n / s. The
    interval is a delete-a-batch jackknife on the log, Student's t with as many degrees of freedom
    as batches have members, less one; 0 to None where that is not defined.

    - Estimand: the mean over these outputs of the local ratio. Where it varies this is more than
      the ratio of shares, since outputs are where it is high.
    - Assumes: outputs no more alike in style than the data are.
    - Source: Loftsgaarden and Quesenberry 1965; Quenouille 1956.

    >>> x = np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32)
    >>> x /= np.linalg.norm(x, axis=1, keepdims=True)
    >>> e = local_ratio((x[:1000], np.arange(1000) // 10), np.arange(200), x[1000:])
    >>> e.low < 1 < e.high
    True
    """
    vectors, batch = outputs
    batch = np.unique(batch, return_inverse=True)[1]
    one = int(batch.max()) == 0
    n = len(batch)
    if one:
        batch = np.arange(n)
    if len(members) > _LOCAL_OUTPUTS:
        members = members[np.linspace(0, len(members) - 1, _LOCAL_OUTPUTS).astype(np.int64)]
    rows = rows[: min(_LOCAL_SAMPLE, max(2000, 10 * n))]
    at, own, size = vectors[members], batch[members], np.bincount(batch)
    tenth = len(rows) - _LOCAL_ROWS
    radius = np.partition(at @ rows.T, tenth, axis=1)[:, tenth, None]
    table = np.zeros((len(size), len(members)))
    np.add.at(table, batch, (at @ vectors.T >= radius).T)
    each = np.arange(len(members))
    table[own, each] = 0
    near, others, scale = table.sum(axis=0), n - size[own], len(rows) / _LOCAL_ROWS
    value = float((near / others).mean()) * scale
    # without a batch: neither its members nor its outputs
    rest = (near - table) / np.maximum(others - size[:, None], 1)
    rest[own, each] = 0
    there = np.bincount(own, minlength=len(size))
    m = int((there > 0).sum())
    low, high = 0.0, None
    if m > 1 and (rest.sum(axis=1) > 0).all():
        logs = np.log(rest.sum(axis=1) / (len(members) - there))
        b = len(logs)
        error = math.sqrt((b - 1) / b * float(((logs - logs.mean()) ** 2).sum()))
        half = float(stdtrit(m - 1, 0.5 + level / 2)) * error
        low, high = value * math.exp(-half), value * math.exp(half)
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        n=len(members),
        units=m,
        method=f"outputs of other batches within the {_LOCAL_ROWS} nearest of {len(rows)} rows; "
        "delete-a-batch jackknife on the log",
        assumptions=(
            "outputs are independent (there is one batch only)" if one else _ASSUMES,
            "outputs are no more alike in style than the data are, else the ratio is above 1 "
            "everywhere",
        ),
    )


def _limits(inside: NDArray[np.bool_], unit: Ints, level: float) -> tuple[float, float]:
    """Limits of the share of the outputs that are ``inside``, far out in the tails."""
    n, p = len(inside), float(inside.mean())
    if unit.max() == 0:
        unit = np.arange(n)  # one batch says nothing of the spread between batches
    size = np.bincount(unit).astype(np.float64)
    y = np.bincount(unit, weights=inside).astype(np.float64)
    residual, m = y - p * size, len(size)
    variance = m / max(1, m - 1) * float(residual @ residual) / n**2
    effective = min(float(n), p * (1 - p) / variance) if variance > 0 else float(n)
    worth = Clusters.of(y, size).adjusted(effective, level)
    return clopper_pearson(p * worth, worth, level)
