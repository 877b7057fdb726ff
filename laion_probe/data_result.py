"""What shards hold, as a datasheet's own pass over them counted it. Plain frozen values.

Shares are `Estimate`s, whose ``n`` is the number of rows that they are of: without an interval
where every row group was read, with one by row group where a random sample of them was. Row groups
that could not be read are bounds of both.
"""

from __future__ import annotations

from laion_probe.results import Document, Estimate, FailedUnit, InputRecord, Value
from laion_probe.scan_result import Reading

__all__ = [
    "AtLeast",
    "ColumnFacts",
    "Contact",
    "DataResult",
    "DomainCount",
    "Domains",
    "GroupLevel",
    "GroupShares",
    "Repeated",
    "ScoreFacts",
    "SizesAgree",
]

#: Raised whenever a field is renamed, removed or changes its meaning.
SCHEMA_VERSION = 1


class ColumnFacts(Value):
    """A column as the files call it, and which canonical one it serves ('' where none).

    ``types`` is as in parquet's schema, several where files differ. Of the ``n_rows`` rows of files
    that have it, ``n_missing`` are null, texts that are blank, or no finite number; None where it
    was not read, or not in all of them.
    """

    name: str
    types: tuple[str, ...]
    serves: str
    n_rows: int
    n_missing: int | None
    missing: Estimate | None


class AtLeast(Value):
    """The share of rows with a score that is ``threshold`` or more, among rows that have one."""

    threshold: float
    n: int
    share: Estimate


class ScoreFacts(Value):
    """How a number is distributed over the rows that have it.

    ``quantiles`` go by percent, 0 being the least value and 100 the largest; values were rounded to
    three significant digits before they were counted. ``n_missing`` rows have none.
    """

    name: str
    title: str
    source: str
    n: int
    n_missing: int
    quantiles: dict[str, float]
    at_least: tuple[AtLeast, ...] = ()


class Repeated(Value):
    """Rows whose key another row before them has too: what exact duplicates add.

    ``n_rows`` rows have a key, with ``n_distinct`` different ones; ``most`` rows share the most
    frequent one. A row without an address has no key "url" nor "url and text", one without a
    caption no key "text". With ``one_in`` above 1 only every so many-th key was followed, by a
    hash of it, so that the counts are of those and ``repeated`` has an interval.
    """

    key: str  # "url", "text", "url and text"
    one_in: int
    n_rows: int
    n_distinct: int
    most: int
    repeated: Estimate


class DomainCount(Value):
    """A registered domain, with at least ``n`` rows and at most ``n`` + ``missed``.

    The share is of all rows that were read, those without a domain included.
    """

    domain: str
    n: int
    share: Estimate


class Domains(Value):
    """The registered domains with most rows.

    ``missed`` is how many rows of each the count may have missed (0: exact): more than
    ``n_followed`` domains cannot be followed at once. ``n_distinct`` is None then.
    ``n_without`` rows have an address without a registered domain, or none; ``n_no_address`` of
    them have none, ``n_no_domain`` have one. ``n_not_web`` addresses begin with another scheme than
    http or https (data:, javascript:). All are of the rows that were read: of a sample,
    ``n_distinct`` is at least as large in the whole. What an earlier version did not count is None.
    """

    n_rows: int
    n_without: int
    n_distinct: int | None
    missed: int
    n_followed: int
    source: str
    top: tuple[DomainCount, ...]
    n_no_address: int | None = None
    n_no_domain: int | None = None
    n_not_web: int | None = None


class GroupLevel(Value):
    """One level of a group, *unknown* included; the share is of all rows that were read.

    ``captioned`` is, of a language by a detector, the share of the rows with a caption that is not
    blank; None of other groups, and where no such row has the level.
    """

    level: str
    n: int
    share: Estimate
    captioned: Estimate | None = None


class GroupShares(Value):
    """A group of rows by level, the most frequent first; none is anybody's identity."""

    name: str
    title: str
    source: str
    note: str
    levels: tuple[GroupLevel, ...]


class Contact(Value):
    """Captions or addresses (``column``: text, url) that hold a way to reach somebody.

    ``pattern`` is what was looked for, ``words`` says it. ``n`` of the ``share.n`` rows whose
    caption or address is not blank hold it; what they hold is kept nowhere.
    """

    column: str
    name: str  # "email", "phone"
    title: str
    words: str
    pattern: str
    n: int
    share: Estimate


class SizesAgree(Value):
    """Rows that can tell whether WIDTH and HEIGHT are those of the picture, or exchanged."""

    n_agree: int
    n_exchanged: int


class DataResult(Document):
    """What the shards hold; no host, path or timing is in it.

    ``why_no_repeats`` says why duplicates were not counted, or is empty. ``contacts`` is empty of
    what an earlier version counted.
    """

    schema_version: int = SCHEMA_VERSION
    data_note: str
    reading: Reading
    already: str  # name of the recipe behind the shards, or none or unknown
    already_note: str
    detector: str
    columns: tuple[ColumnFacts, ...]
    absent: tuple[str, ...]  # canonical columns that no file has
    n_files: int
    n_bytes: int
    scores: tuple[ScoreFacts, ...]
    sizes: SizesAgree | None
    repeated: tuple[Repeated, ...]
    why_no_repeats: str
    domains: Domains | None
    groups: tuple[GroupShares, ...]
    contacts: tuple[Contact, ...] = ()
    notes: tuple[str, ...]
    cannot_say: tuple[str, ...]
    failed_units: tuple[FailedUnit, ...]
    inputs: tuple[InputRecord, ...]
    version: str
    command: str
    config: dict[str, object]
    packages: dict[str, str]
