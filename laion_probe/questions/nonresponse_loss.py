"""Loss by reason and by group, and whether it depends on the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import NonresponseConfig
from laion_probe.errors import ConfigError
from laion_probe.estimators.multiple import benjamini_hochberg
from laion_probe.estimators.rao_scott import Dependence, rao_scott
from laion_probe.exclusion import (
    ASSUMED,
    Design,
    Exclusion,
    risk_difference,
    risk_ratio,
    share_of_units,
)
from laion_probe.groups import UNKNOWN, Group, load_group
from laion_probe.nonresponse_result import LossBy, LossLevel, Reason
from laion_probe.questions.domains import DOMAIN
from laion_probe.questions.nonresponse_reading import CRAWLED, Tried
from laion_probe.results import Estimate
from laion_probe.steps import Batch

__all__ = ["Levels", "levels_of", "loss_by", "overall", "reasons"]

Ints = NDArray[np.int64]

_DOMAINS = 15
_OTHER_DOMAIN = "other domains"
_REASONS = 20
_FEW = 20
#: What a row counts for is taken to this part of the mean, so that counts are whole numbers.
_GRAIN = 1e-4
#: Domains are taken as drawn from many more like them: loss is a process that goes on.
_ENDLESS = 2**62
ASSUMES = (
    "domains are lost independently of each other, and are like many others that were not tried",
    "no domain holds a large part of the rows",
)


@dataclass(frozen=True)
class Levels:
    """One group: the level of each row, (N,), as a number among ``names``."""

    group: Group
    code: Ints
    names: tuple[str, ...]


def levels_of(config: NonresponseConfig, tried: Tried) -> dict[str, Levels]:
    """The levels of every group that is counted by or weighted by, in that order."""
    for what, names in (("--groups", config.groups), ("--response-by", config.response_by)):
        if len(set(names)) != len(names):
            raise ConfigError(f"{what} names a group twice: {', '.join(names)}")
    batch = Batch(tried.rows.select(pl.exclude("id", "status", "said", "reason", CRAWLED)))
    found = {}
    for name in dict.fromkeys((*config.groups, *config.response_by)):
        group = _group(name, tried)
        levels = group.levels(batch.fork()).fill_null(UNKNOWN)
        counts = (
            levels.alias("level").value_counts().sort(["count", "level"], descending=[True, False])
        )
        order = {level: i for i, level in enumerate(counts["level"].to_list())}
        code = levels.replace_strict(order, return_dtype=pl.Int64).to_numpy()
        found[name] = Levels(group, code, tuple(order))
    return found


def _group(name: str, tried: Tried) -> Group:
    if name == CRAWLED:
        year = tried.rows[CRAWLED].str.extract(r"^(\d{4})")
        if year.is_null().all():
            raise ConfigError(
                "the group crawled needs the date of each row's crawl: name its column with "
                "--crawled"
            )
        return Group(CRAWLED, "year of the crawl", (), lambda batch: year)
    if name == DOMAIN:
        counts = tried.domains.drop_nulls().alias("domain").value_counts()
        most = counts.sort(["count", "domain"], descending=[True, False])["domain"].head(_DOMAINS)
        named = tried.domains.set(~tried.domains.is_in(most.implode()), _OTHER_DOMAIN)
        return Group(
            DOMAIN,
            "registered domain",
            ("url",),
            lambda batch: named,
            note=f"the {len(most)} with most rows; the host where a domain is not registered",
        )
    return load_group(name)


def overall(tried: Tried, level: float) -> Estimate:
    """The share of rows tried that have no picture, with domains as clusters."""
    whole = np.ones(len(tried.came), bool)
    lost, n = _by_domain(~tried.came, tried), _by_domain(whole, tried)
    return _assuming(share_of_units(lost, n, Design(_ENDLESS, level)), len(whole))


def reasons(tried: Tried) -> tuple[Reason, ...]:
    """Why pictures did not come, the most frequent first; rarer ones as one."""
    lost = tried.rows.filter(~pl.Series(tried.came)).with_columns(
        pl.col("reason").fill_null("no reason given")
    )
    counted = lost.group_by("status", "reason").len("n")
    counted = counted.sort(["n", "status", "reason"], descending=[True, False, False])
    total = len(tried.came)
    found = [
        Reason(status=status, reason=reason, n=n, share=n / total)
        for status, reason, n in counted.head(_REASONS).iter_rows()
    ]
    if rest := int(counted["n"].slice(_REASONS).sum()):
        found.append(Reason(status="", reason="other reasons", n=rest, share=rest / total))
    return tuple(found)


def loss_by(
    config: NonresponseConfig, tried: Tried, levels: dict[str, Levels]
) -> tuple[LossBy, ...]:
    """Loss by every group of ``config.groups``, with tests that are adjusted over all of them."""
    lost = ~tried.came
    tests = [_test(name, levels[name], tried) for name in config.groups]
    p_values = [np.nan if t.p_value is None else t.p_value for t in tests]
    adjusted = benjamini_hochberg(p_values)
    found = []
    for name, test, p in zip(config.groups, tests, adjusted.tolist(), strict=True):
        mine = levels[name]
        none = test.p_value is None
        found.append(
            LossBy(
                group=name,
                title=mine.group.title,
                note=mine.group.note,
                source=mine.group.source,
                levels=tuple(_levels(mine, tried, lost, config.level)),
                p_value=test.p_value,
                adjusted=None if none else p,
                f=test.f,
                df=test.df,
                design_effect=test.design_effect,
                n_together=test.n_together,
                why_not=test.why_not,
                depends=not none and p <= config.false_discovery_rate,
            )
        )
    return tuple(found)


def _test(name: str, mine: Levels, tried: Tried) -> Dependence:
    found = rao_scott(~tried.came, mine.code, tried.cluster, tried.worth)
    if name.partition(":")[0] != DOMAIN:
        return found
    why = "a domain is lost or kept as a whole, so that nothing is left to compare it with"
    return Dependence(None, None, None, None, None, found.clusters, 0, why)


def _levels(
    mine: Levels, tried: Tried, lost: NDArray[np.bool_], level: float
) -> Sequence[LossLevel]:
    """Every level against all other rows, domain by domain."""
    design = Design(_ENDLESS, level)
    n_all = _by_domain(np.ones(len(lost), bool), tried)
    lost_all = _by_domain(lost, tried)
    found = []
    for code, name in enumerate(mine.names):
        inside = mine.code == code
        n, gone = _by_domain(inside, tried), _by_domain(inside & lost, tried)
        counts = Exclusion(gone, n, lost_all - gone, n_all - n)
        n_rows = int(inside.sum())
        found.append(
            LossLevel(
                level=name,
                n=n_rows,
                n_lost=int((inside & lost).sum()),
                domains=int((n > 0).sum()),
                lost=_assuming(share_of_units(gone, n, design), n_rows),
                difference=_assuming(risk_difference(counts, design), len(lost)),
                ratio=_assuming(risk_ratio(counts, design), len(lost)),
                few=n_rows < _FEW,
            )
        )
    return found


def _by_domain(mask: NDArray[np.bool_], tried: Tried) -> Ints:
    """Rows of the mask by domain; whole multiples of `_GRAIN` where chances to be tried differ."""
    n = int(tried.cluster.max()) + 1
    if tried.worth is None:
        return np.bincount(tried.cluster[mask], minlength=n).astype(np.int64)
    counts = np.rint(tried.worth / tried.worth.mean() / _GRAIN)[mask]  # sums of these are exact
    return np.bincount(tried.cluster[mask], counts, minlength=n).astype(np.int64)


def _assuming(e: Estimate, n: int) -> Estimate:
    """The same numbers, of ``n`` rows; here units are domains, and none was drawn."""
    said: dict[str, object] = {
        "method": e.method.replace("units", "domains").replace("unit", "domain"),
        "n": n,
    }
    if e.assumptions == ASSUMED:
        return e.model_copy(update={**said, "assumptions": ASSUMES})
    return e.model_copy(update=said)
