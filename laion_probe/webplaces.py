"""Where a picture was hosted: registered domains, top-level domains and their regions.

A domain is a registration. It says neither where a server stands nor where people in a picture
live.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import tldextract

__all__ = [
    "GENERIC_CODE_REGION",
    "GENERIC_REGION",
    "OTHER_TLD",
    "among_domains",
    "frequent_domains",
    "hosts",
    "known_regions",
    "known_tlds",
    "regions",
    "registered_domains",
    "tlds",
]

#: Region of domains of no country.
GENERIC_REGION = "generic (.com, .org …)"
#: Region of country codes that anyone registers, whatever the country.
GENERIC_CODE_REGION = "generic use of a country code (.io, .tv …)"
#: Level of the many further generic top-level domains.
OTHER_TLD = "other generic"

# The oldest generic ones (RFC 920, RFC 1591, ICANN 2000) and the regional two.
_GENERIC_TLDS = ("com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "eu", "asia")

# scheme, optional user, host; an IPv6 address in brackets is no registered name
_HOST = r"^[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@\\]*@)?([^/?#:@\\\[\]\s]+)"


def hosts(urls: pl.Series) -> pl.Series:
    """The host of each URL in lower case, without final dots; null where there is none.

    >>> hosts(pl.Series(["https://Img.Example.in:80/a.jpg", "no-host", None])).to_list()
    ['img.example.in', None, None]
    """
    found = urls.str.extract(_HOST).str.to_lowercase().str.strip_chars_end(".")
    return found.set(found == "", None)


def registered_domains(urls: pl.Series) -> pl.Series:
    """The registered domain (public suffix and one label) of each URL; null where there is none.

    By the ICANN part of the public suffix list as it was when the installed tldextract was made: no
    network, no cache on disk.

    >>> urls = pl.Series(["http://a.b.example.co.in/x.jpg", "http://10.0.0.1/x.jpg", None])
    >>> registered_domains(urls).to_list()
    ['example.co.in', None, None]
    """
    return _registered(hosts(urls))


def frequent_domains(urls: pl.Series, k: int) -> tuple[str, ...]:
    """The ``k`` registered domains with most URLs, the most frequent first, ties by name."""
    named = registered_domains(urls).drop_nulls().alias("domain")
    counted = named.value_counts().sort(["count", "domain"], descending=[True, False])
    return tuple(counted["domain"].head(k))


def among_domains(urls: pl.Series, domains: Sequence[str], other: str) -> pl.Series:
    """Which of the registered ``domains`` each URL is of, else ``other``; null without a host.

    The public suffix list is asked only about hosts that end like one of them.
    """
    names = hosts(urls)
    ends = "|".join(re.escape(d) for d in domains)
    near = names.str.contains(rf"(?:^|\.)(?:{ends})$").fill_null(False).arg_true()
    found = _registered(names.gather(near))
    level = pl.select(pl.when(names.is_not_null()).then(pl.lit(other))).to_series()
    return level.scatter(near, found.set(~found.is_in(list(domains)), other).fill_null(other))


def tlds(urls: pl.Series) -> pl.Series:
    """The level of each URL's top-level domain, one of `known_tlds`; null where there is none.

    A country code in another script is its two letters (भारत is ``in``).
    """
    return _by_last_label(urls, {label: place.tld for label, place in _places().items()})


def regions(urls: pl.Series) -> pl.Series:
    """The region of each URL's top-level domain, one of `known_regions`; null where there is none.

    >>> regions(pl.Series(["http://a.co.in/x", "http://a.io/x", "http://a.com/x"])).to_list()[:1]
    ['Southern Asia']
    """
    return _by_last_label(urls, {label: place.region for label, place in _places().items()})


def known_tlds() -> tuple[str, ...]:
    """All levels that `tlds` gives."""
    return tuple(sorted({place.tld for place in _places().values()}))


def known_regions() -> tuple[str, ...]:
    """All levels that `regions` gives: sub-regions of UN M49, Antarctica, two generic ones."""
    return tuple(sorted({place.region for place in _places().values()}))


@dataclass(frozen=True, slots=True)
class _Place:
    tld: str
    region: str


def _by_last_label(urls: pl.Series, level: dict[str, str]) -> pl.Series:
    last = hosts(urls).str.extract(r"([^.]+)$")
    return last.replace_strict(level, default=None, return_dtype=pl.String)


def _registered(names: pl.Series) -> pl.Series:
    extract = _extractor()
    unique = names.drop_nulls().unique()
    found = [extract(name).top_domain_under_public_suffix or None for name in unique]
    table = dict(zip(unique, found, strict=True))
    if not table:
        return pl.repeat(None, len(names), dtype=pl.String, eager=True)
    return names.replace_strict(table, default=None, return_dtype=pl.String)


@functools.cache
def _extractor() -> tldextract.TLDExtract:
    import tldextract  # slow to import, and few runs ask for it

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


@functools.cache
def _places() -> dict[str, _Place]:
    """Top-level label, in Unicode and as on the wire -> level and region."""
    file = resources.files("laion_probe.lexicons") / "regions.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    places = {
        label: _Place(label if label in _GENERIC_TLDS else OTHER_TLD, GENERIC_REGION)
        for label in _extractor().tlds
        if "." not in label
    }
    places |= {label: _Place(label, GENERIC_REGION) for label in _GENERIC_TLDS}
    for region, codes in table["region"].items():
        places |= {code: _Place(code, region) for code in codes.split()}
    places |= {
        code: _Place(code, GENERIC_CODE_REGION) for code in table["generic"]["codes"].split()
    }
    for code, labels in table["internationalized"].items():
        places |= dict.fromkeys(labels.split(), places[code])
    return places | {
        label.encode("idna").decode(): place
        for label, place in places.items()
        if not label.isascii()
    }
