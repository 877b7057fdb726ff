"""Which domains a run counts by, where its user named none."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from laion_probe.errors import NotEnoughData, SchemaError, ShardError
from laion_probe.shards import Unit, read_unit
from laion_probe.webplaces import frequent_domains

__all__ = ["DOMAIN", "name_domains"]

#: The group that stands for ``domain:`` with the most frequent ones.
DOMAIN = "domain"
_DOMAINS, _UNITS = 15, 3


def name_domains(by: tuple[str, ...], order: Sequence[Unit]) -> tuple[str, ...]:
    """``by``, with "domain" as ``domain:A,B…``: those most frequent in the first readable units.

    ``order`` is a seeded random one. The levels of a group must be known before counting begins; a
    domain that is frequent elsewhere only is counted with all others, and that is what it says.
    """
    if DOMAIN not in by:
        return by
    found: list[pl.Series] = []
    for unit in order:
        try:
            found.append(read_unit(unit, ("url",))["url"])
        except (ShardError, SchemaError):
            continue  # the run itself will say so
        if len(found) == _UNITS:
            break
    urls = pl.concat(found) if found else pl.Series([], dtype=pl.String)
    names = frequent_domains(urls, _DOMAINS)
    if not names:
        raise NotEnoughData(
            f"no registered domain in the addresses of the first {len(found)} row groups: leave "
            "out --by domain, or name some: --by domain:a.com,b.org"
        )
    spec = f"{DOMAIN}:{','.join(sorted(names))}"
    return tuple(spec if name == DOMAIN else name for name in by)
