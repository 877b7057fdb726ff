"""The removal list of a server: which rows never come back.

A line is a URL, the sha256 of a URL (64 hex digits, as data sets publish them so as not to name the
URL), ``id:ID`` (the row's own ``uid``, ``id`` or ``key``) or ``row:NAME:NUMBER`` (a row of a
collection). Empty lines, and lines that begin with #, say nothing. URLs are compared without their
scheme, fragment and the case of their host. All rows are looked through once, when the server
starts: from then on a removed row is left out of every answer, whatever was asked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from laion_probe.errors import ConfigError
from laion_probe.vectors import Embeddings

__all__ = ["RemovalList", "plain_url", "read_removal_list"]

#: Columns by which ``id:`` finds a row.
_IDS = ("uid", "id", "key")
_HASH = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S+")
_BATCH = 1 << 17


@dataclass(frozen=True)
class RemovalList:
    """What is removed; ``urls`` are plain (see `plain_url`), ``rows`` by collection."""

    urls: frozenset[str] = frozenset()
    url_hashes: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    rows: dict[str, frozenset[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return (
            len(self.urls)
            + len(self.url_hashes)
            + len(self.ids)
            + sum(map(len, self.rows.values()))
        )

    def rows_of(self, name: str, embeddings: Embeddings) -> NDArray[np.int64]:
        """The collection's removed rows, ascending.

        Raises `ConfigError` where the list names URLs or ids and no column holds them: a list that
        cannot be honoured must not look as if it were.
        """
        found = set(self.rows.get(name, ()))
        if wrong := [row for row in found if not 0 <= row < embeddings.n_rows]:
            raise ConfigError(f"removal list: collection {name} has no row {min(wrong)}")
        url = embeddings.canonical().get("url")
        ids = [c for c in embeddings.columns if c.lower() in _IDS]
        by_url = bool(self.urls or self.url_hashes)
        lacking = "column of URLs" if by_url and url is None else ""
        lacking = "column uid, id or key" if self.ids and not ids else lacking
        if lacking:
            raise ConfigError(
                f"removal list: collection {name} has no {lacking}, by which rows are listed; "
                f"name its rows as row:{name}:NUMBER"
            )
        columns = [*([url] if url and by_url else []), *(ids if self.ids else [])]
        for first, frame in _columns(embeddings, columns):
            is_removed = np.zeros(frame.height, bool)
            if url in frame.columns:
                is_removed |= self._url_is_removed(frame[url].cast(pl.String))
            for column in ids if self.ids else ():
                is_removed |= (
                    frame[column].cast(pl.String).is_in(list(self.ids)).fill_null(False).to_numpy()
                )
            found.update((first + np.flatnonzero(is_removed)).tolist())
        return np.array(sorted(found), np.int64)

    def _url_is_removed(self, urls: pl.Series) -> NDArray[np.bool_]:
        removed = np.zeros(len(urls), bool)
        if self.urls:
            removed |= _plain(urls).is_in(list(self.urls)).fill_null(False).to_numpy()
        if self.url_hashes:
            removed |= np.array(
                [u is not None and _sha256(u) in self.url_hashes for u in urls.to_list()], bool
            )
        return removed


def read_removal_list(path: str | Path) -> RemovalList:
    """Read a removal list. Raises `ConfigError` naming a line that is none of the kinds."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"removal list {path}: {reason}; give a text file") from None
    urls, hashes, ids = set(), set(), set()
    rows: dict[str, set[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        row = re.fullmatch(r"row:(.+):(\d{1,18})", entry)
        if not entry or entry.startswith("#"):
            continue
        if row:
            rows.setdefault(row[1], set()).add(int(row[2]))
        elif entry.startswith("id:") and len(entry) > 3:
            ids.add(entry[3:])
        elif found := _HASH.fullmatch(entry):
            hashes.add(found[1].lower())
        elif _URL.fullmatch(entry):
            urls.add(plain_url(entry))
        else:
            raise ConfigError(
                f"removal list {path}, line {number}: not a URL, a sha256 of one, id:ID or "
                "row:NAME:NUMBER; correct it, since a line that is passed over removes nothing"
            )
    return RemovalList(
        frozenset(urls),
        frozenset(hashes),
        frozenset(ids),
        {name: frozenset(numbers) for name, numbers in rows.items()},
    )


def plain_url(url: str) -> str:
    """A URL without its scheme and fragment, its host in lower case.

    >>> plain_url("HTTPS://Example.org/A.jpg#top")
    'example.org/A.jpg'
    """
    return str(_plain(pl.Series([url]))[0])


def _plain(urls: pl.Series) -> pl.Series:
    bare = urls.str.strip_chars().str.replace(r"^[a-zA-Z][a-zA-Z0-9+.-]*://", "")
    bare = bare.str.replace(r"#.*$", "")
    host = bare.str.extract(r"^([^/?]*)").str.to_lowercase()
    return host + bare.str.replace(r"^[^/?]*", "")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _columns(embeddings: Embeddings, columns: Iterable[str]) -> Iterator[tuple[int, pl.DataFrame]]:
    """The number of a batch's first row, and its values of these columns."""
    wanted = list(columns)
    if not wanted:
        return
    for part in embeddings.parts:
        if part.metadata is None:
            raise ConfigError(
                f"removal list: {part.vectors} has no metadata beside it, so that no URL or id of "
                "its rows is known; name them by row:NAME:NUMBER"
            )
        first = part.first
        with pq.ParquetFile(part.metadata) as file:
            for batch in file.iter_batches(_BATCH, columns=wanted):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield first, frame
                first += frame.height
