"""From what a datasheet's pass has counted to the facts that its result holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from laion_probe.counts import UnitCounts
from laion_probe.data_result import (
    AtLeast,
    ColumnFacts,
    Contact,
    DomainCount,
    Domains,
    GroupLevel,
    GroupShares,
    Repeated,
    ScoreFacts,
    SizesAgree,
)
from laion_probe.groups import load_group
from laion_probe.questions.counted import Cells, Counted
from laion_probe.questions.describing_contacts import FORMS
from laion_probe.questions.describing_unit import (
    COLUMN,
    DOMAIN,
    FOLLOWED,
    NO_ADDRESS,
    NO_DOMAIN,
    NOT_WEB,
    ROWS,
    SIZES,
    THRESHOLDS,
    captioned_of,
    contact_of,
    group_of,
    known_of,
    least_of,
    missing_of,
    score_of,
)
from laion_probe.results import Estimate
from laion_probe.shards import Shard

__all__ = [
    "columns_of",
    "contacts_of",
    "domains_of",
    "groups_of",
    "repeated_of",
    "scores_of",
    "sizes_of",
]

_PERCENTS = (0, 1, 5, 25, 50, 75, 95, 99, 100)
_SHOWN = 50  # domains
_FULL = "full count: no sampling error"
_READ = "full count of the row groups that could be read"
_MISSED = "bounds for what the count of a domain may have missed"
_BY_HASH = "a random sample of keys by a hash, linearised by key"
_NONE_HEAVY = (
    "no key that was not followed stands on a large part of the rows: a key is in the count with "
    "all of its rows or none"
)
_SUFFIXES = "the ICANN part of the public suffix list (publicsuffix.org)"

#: What a number is, and where that is from.
_SCORES = {
    "characters": ("characters of a caption that is not blank", ""),
    "words": ("words of a caption that is not blank, parted by white space", ""),
    "width": ("width that the row gives, in pixels", ""),
    "height": ("height that the row gives, in pixels", ""),
    "original_width": ("width of the picture as it came, in pixels", "img2dataset"),
    "original_height": ("height of the picture as it came, in pixels", "img2dataset"),
    "similarity": (
        "cosine similarity of picture and caption, as the row gives it",
        "in LAION-400M, LAION-5B and DataComp, that of CLIP ViT-B/32",
    ),
    "similarity_l14": (
        "cosine similarity of picture and caption, as the row gives it",
        "in DataComp, that of CLIP ViT-L/14",
    ),
    "punsafe": (
        "probability of unsafe content, as the row gives it",
        "in LAION-5B, LAION's CLIP-based NSFW classifier, Schuhmann et al. 2022",
    ),
    "pwatermark": (
        "probability of a watermark, as the row gives it",
        "in LAION-5B, LAION's watermark classifier, Schuhmann et al. 2022",
    ),
    "aesthetic": (
        "aesthetic score, as the row gives it",
        "in LAION-5B, LAION's aesthetic predictor, Schuhmann et al. 2022",
    ),
    "nsfw_score": ("NSFW score, as the row gives it", "in COYO-700M, OpenNSFW2"),
}


def columns_of(counted: Counted, shards: Sequence[Shard]) -> tuple[ColumnFacts, ...]:
    """Every column of the files, in the order of the first file that has it."""
    serves: dict[str, str] = {}
    for shard in shards:
        for name in shard.names:
            serves.setdefault(name, "")
        for canonical, name in shard.columns.source.items():
            serves[name] = serves.get(name, "") or canonical
    types: dict[str, dict[str, int]] = {}
    for level, n in _sums(counted.cells(COLUMN)).items():
        name, kind = json.loads(level)
        types.setdefault(name, {})[kind] = n
    found = []
    for name in serves:
        if name not in types:  # only in files of which nothing was read
            continue
        cells = counted.cells(missing_of(name))
        missing = _mask(cells, "missing")
        there = cells.by_unit(np.ones(len(cells.n), dtype=bool))
        n_rows = sum(types[name].values())
        # a column may be of a kind that is read in some files, and of another in others
        was_read = bool(len(cells.n)) and int(there.sum()) == n_rows
        found.append(
            ColumnFacts(
                name=name,
                types=tuple(sorted(types[name])),
                serves=serves[name],
                n_rows=n_rows,
                n_missing=cells.total(missing) if was_read else None,
                missing=counted.share(cells.by_unit(missing), there) if was_read else None,
            )
        )
    return tuple(found)


def scores_of(counted: Counted, summed: Counted, n_rows: int) -> tuple[ScoreFacts, ...]:
    """The numbers that at least one row has; ``summed`` has their values, over all units."""
    found = []
    for name, (title, source) in _SCORES.items():
        cells = summed.cells(score_of(name))
        if not len(cells.n):
            continue
        values = np.array([float(level) for level in cells.levels])
        n = np.bincount(cells.level, weights=cells.n, minlength=len(values)).astype(np.int64)
        order = np.argsort(values)
        values, up_to = values[order], np.cumsum(n[order])
        ranks = [max(1, int(np.ceil(up_to[-1] * p / 100))) for p in _PERCENTS]
        places = np.searchsorted(up_to, ranks).tolist()
        known = counted.cells(known_of(name))
        everyone = known.by_unit(np.ones(len(known.n), dtype=bool))
        high = {t: counted.cells(least_of(name, t)) for t in THRESHOLDS.get(name, ())}
        found.append(
            ScoreFacts(
                name=name,
                title=title,
                source=source,
                n=int(up_to[-1]),
                n_missing=n_rows - int(up_to[-1]),
                quantiles={
                    str(p): float(values[k]) for p, k in zip(_PERCENTS, places, strict=True)
                },
                at_least=tuple(
                    AtLeast(
                        threshold=t,
                        n=int(c.n.sum()),
                        share=counted.share(c.by_unit(np.ones(len(c.n), dtype=bool)), everyone),
                    )
                    for t, c in high.items()
                ),
            )
        )
    return tuple(found)


def groups_of(counted: Counted, names: Sequence[str]) -> tuple[GroupShares, ...]:
    """Every group by level, the most frequent first."""
    n_rows = _everything(counted)
    found = []
    for name in names:
        group, cells = load_group(name), counted.cells(group_of(name))
        some = counted.cells(captioned_of(name))
        written = some.by_unit(np.ones(len(some.n), dtype=bool))
        levels = [
            GroupLevel(
                level=level,
                n=cells.total(cells.level == i),
                share=counted.share(cells.by_unit(cells.level == i), n_rows),
                captioned=counted.share(some.by_unit(_mask(some, level)), written)
                if level in some.levels
                else None,
            )
            for i, level in enumerate(cells.levels)
        ]
        levels.sort(key=lambda x: (-x.n, x.level))
        found.append(
            GroupShares(
                name=name,
                title=group.title,
                source=group.source,
                note=group.note,
                levels=tuple(levels),
            )
        )
    return tuple(found)


def contacts_of(counted: Counted) -> tuple[Contact, ...]:
    """Captions, and addresses where there are any, that hold a way to reach somebody."""
    found = []
    for column in ("text", "url"):
        for form in FORMS:
            cells = counted.cells(contact_of(column, form.name))
            if not len(cells.n):
                continue
            held = _mask(cells, "held")
            found.append(
                Contact(
                    column=column,
                    name=form.name,
                    title=form.title,
                    words=form.words,
                    pattern=form.pattern,
                    n=cells.total(held),
                    share=counted.share(
                        cells.by_unit(held), cells.by_unit(np.ones(len(cells.n), dtype=bool))
                    ),
                )
            )
    return tuple(found)


def sizes_of(counted: Counted) -> SizesAgree | None:
    """Whether WIDTH and HEIGHT agree with the picture's own sizes, where files have both."""
    found = _sums(counted.cells(SIZES))
    if not found:
        return None
    return SizesAgree(n_agree=found.get("agree", 0), n_exchanged=found.get("exchanged", 0))


def domains_of(
    counted: Counted, domains: dict[str, int], missed: int, units: Iterable[UnitCounts]
) -> Domains | None:
    """The domains with most rows; ``units`` are those of a sample, for its intervals.

    What a count may have missed is inside the ends of its share.
    """
    without = counted.cells(NO_DOMAIN)
    if not len(without.n):
        return None
    n_rows = _everything(counted)
    address, web = counted.cells(NO_ADDRESS), counted.cells(NOT_WEB)
    top = sorted(domains.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    names = {domain for domain, _ in top}
    by_unit = [
        {c[1]: c[4] for c in unit.cells if c[0] == DOMAIN and c[1] in names} for unit in units
    ]
    found = []
    for domain, n in top:
        hits = np.array([unit.get(domain, 0) for unit in by_unit] or [n], dtype=np.int64)
        share = counted.share(hits, n_rows)
        if missed and share.value is not None:
            low, high = (share.value if x is None else x for x in (share.low, share.high))
            ends = {"low": low, "high": min(1.0, high + missed / int(n_rows.sum()))}
            method = f"{share.method}; {_MISSED}"
            share = share.model_copy(update=ends | {"method": method})
        found.append(DomainCount(domain=domain, n=int(hits.sum()), share=share))
    return Domains(
        n_rows=int(n_rows.sum()),
        n_without=int(without.n.sum()),
        n_no_address=int(address.n.sum()) if len(address.n) else None,
        n_no_domain=int(without.n.sum() - address.n.sum()) if len(address.n) else None,
        n_not_web=int(web.n.sum()) if len(web.n) else None,
        n_distinct=None if missed else len(domains),
        missed=missed,
        n_followed=FOLLOWED,
        source=_SUFFIXES,
        top=tuple(found),
    )


def repeated_of(
    key: str, times: NDArray[np.int64], one_in: int, level: float, lost: float = 0.0
) -> Repeated:
    """Exact repetitions among rows with a key, of which every ``one_in``-th was followed.

    ``times`` (k,) is how many rows each followed key stands on, in any order; ``lost`` rows could
    not be read, and may all repeat others or none. The share is a ratio of sums over keys, which
    are a random sample of all of them: its interval is linearised by key. It is exact, but for
    collisions of 64 bits, where all were followed.

    >>> found = repeated_of("url", np.array([2, 1]), 1, 0.95)
    >>> found.n_rows, found.n_distinct, found.most, round(found.repeated.value, 3)
    (3, 2, 2, 0.333)
    """
    times = np.sort(times)  # so that sums are the same in whatever order keys came
    n, k = int(times.sum()), len(times)
    share = (n - k) / n if n else None
    low = high = None
    method = _FULL
    assumptions: tuple[str, ...] = ()
    if one_in > 1 and share is not None and k > 1:
        rest = (times - 1) - share * times
        spread = float(np.sqrt((1 - 1 / one_in) * k / (k - 1) * np.sum(rest**2))) / n
        half = float(norm.ppf((1 + level) / 2)) * spread
        low, high = max(0.0, share - half), min(1.0, share + half)
        method, assumptions = _BY_HASH, (_NONE_HEAVY,)
    if lost and share is not None:
        unread = lost / one_in
        low = (share if low is None else low) * n / (n + unread)
        high = ((share if high is None else high) * n + unread) / (n + unread)
        method = f"{_READ if one_in == 1 else method}, bounds for those that failed"
    return Repeated(
        key=key,
        one_in=one_in,
        n_rows=n,
        n_distinct=k,
        most=int(times.max()) if k else 0,
        repeated=Estimate(
            value=share,
            low=low,
            high=high,
            level=level,
            n=n,
            units=k,
            method=method,
            assumptions=assumptions,
        ),
    )


def _everything(counted: Counted) -> NDArray[np.int64]:
    """Rows by unit."""
    cells = counted.cells(ROWS)
    return cells.by_unit(np.ones(len(cells.n), dtype=bool))


def _mask(cells: Cells, level: str) -> NDArray[np.bool_]:
    return np.array([cells.levels[i] == level for i in cells.level], dtype=bool)


def _sums(cells: Cells) -> dict[str, int]:
    return {level: cells.total(cells.level == i) for i, level in enumerate(cells.levels)}
