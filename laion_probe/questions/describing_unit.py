"""What a datasheet's pass counts in one unit: it depends on the unit and the plan alone.

Counts are cells of `laion_probe.counts`; the name of a cell's group says what was counted, by the
functions below. Of duplicates a unit keeps hashes, since only all units together can tell them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from laion_probe import __version__, formats
from laion_probe.counts import Cell, UnitCounts
from laion_probe.errors import LaionProbeError, ShardError
from laion_probe.groups import group_key, load_group
from laion_probe.parquet import footer_of
from laion_probe.questions.describing_contacts import contact_cells
from laion_probe.records import CANONICAL, swapped_sizes
from laion_probe.shards import Unit, read_unit
from laion_probe.steps import Batch
from laion_probe.store import fingerprint, versions
from laion_probe.unit_scan import UnitScan, needed_columns
from laion_probe.webplaces import registered_domains

__all__ = [
    "COLUMN",
    "DOMAIN",
    "FOLLOWED",
    "KEYS",
    "MISSED",
    "NOT_WEB",
    "NO_ADDRESS",
    "NO_DOMAIN",
    "ROWS",
    "SIZES",
    "THRESHOLDS",
    "DescribePlan",
    "DescribeWork",
    "captioned_of",
    "contact_of",
    "describe_rows",
    "group_of",
    "known_of",
    "least_of",
    "missing_of",
    "most_frequent",
    "score_of",
]

ROWS, COLUMN, SIZES = "rows", "column", "sizes"
DOMAIN, MISSED, NO_DOMAIN = "domain", "domain missed", "no domain"
NO_ADDRESS, NOT_WEB = "no address", "not of the web"
#: Domains that are followed at once, in a unit and over all of them.
FOLLOWED = 4096
#: What exact duplicates may share.
KEYS = ("url", "text", "url and text")
#: From where on a score is counted as high: those that LAION's own tools and releases name.
THRESHOLDS = {"punsafe": (0.5,), "pwatermark": (0.8,), "nsfw_score": (0.5,)}

_LENGTHS = ("characters", "words")  # of captions
_SIZE_COLUMNS = ("width", "height", "original_width", "original_height")
_FAILURES: tuple[type[BaseException], ...] = (
    OSError,
    ValueError,
    MemoryError,
    LaionProbeError,
    *formats.ERRORS,
)
# one without a scheme (//a.com/b) is taken for one of the web; a number is a port, localhost:80
_SCHEME, _WEB = r"^\s*([A-Za-z][A-Za-z0-9+-]*):(?:[^0-9]|$)", ("http", "https")
_PLAIN = ("string", "large_string", "int", "uint", "float", "double", "bool", "dictionary")


def missing_of(column: str) -> str:
    """Rows whose file has ``column`` (as it calls it), by "missing" or "there"."""
    return f"missing|{column}"


def score_of(name: str) -> str:
    """Rows by a number's value in three significant digits."""
    return f"score|{name}"


def known_of(name: str) -> str:
    """Rows that have a number."""
    return f"known|{name}"


def least_of(name: str, threshold: float) -> str:
    """Rows whose number is ``threshold`` or more."""
    return f"least|{name}|{threshold}"


def group_of(name: str) -> str:
    """Rows by level of a group."""
    return f"group|{name}"


def captioned_of(name: str) -> str:
    """Rows with a caption that is not blank, by level of a group."""
    return f"captioned|{name}"


def contact_of(column: str, form: str) -> str:
    """Texts of a column that are not blank, by "held" or "rest"."""
    return f"contact|{column}|{form}"


@dataclass(frozen=True)
class DescribePlan:
    """What is counted. Of the keys of duplicates every ``one_in``-th is kept; none where 0."""

    groups: tuple[str, ...]
    one_in: int

    @property
    def fingerprint(self) -> str:
        """Identifies the plan: partial results of another plan or version never mix with it."""
        groups = [self.groups, *(group_key(name) for name in self.groups)]
        return fingerprint([__version__, versions(), "describe", 5, groups, self.one_in])

    def columns(self, unit: Unit) -> tuple[str, ...]:
        """The canonical columns that are read: all that the file has, and those of groups."""
        return tuple(sorted({*unit.shard.columns.source, *needed_columns([], self.groups), "text"}))


@dataclass(frozen=True)
class DescribeWork:
    """`describe_rows` as a value that can be sent to another process."""

    plan: DescribePlan

    def __call__(self, unit: Unit) -> UnitScan:
        """The unit's counts, and the hashes of its keys."""
        rows = read_unit(unit, self.plan.columns(unit))
        found = describe_rows(unit.id, rows, dict(unit.shard.columns.source), self.plan)
        cells = [*found.counts.cells, *_columns(unit, rows)]
        return UnitScan(UnitCounts.of(unit.id, cells), found.rows)


def describe_rows(
    unit: str, rows: pl.DataFrame, source: dict[str, str], plan: DescribePlan
) -> UnitScan:
    """Count canonical ``rows``; ``source`` says which column of the file serves each."""
    cells: list[Cell] = [(ROWS, "", 0, 0, rows.height)]
    first = {name: canonical for canonical, name in reversed(source.items())}
    for canonical, name in source.items():
        column = rows[canonical]
        if first[name] == canonical:  # one column may serve two: original_width width as well
            missing = _missing(column)
            cells += [
                (missing_of(name), "missing", 0, 0, missing),
                (missing_of(name), "there", 0, 0, rows.height - missing),
            ]
        if CANONICAL[canonical] != "String":
            cells += _numbers(canonical, column)
    texts = rows["text"]
    written = texts.filter(texts.str.strip_chars() != "")
    cells += _numbers(_LENGTHS[0], written.str.len_chars())
    cells += _numbers(_LENGTHS[1], written.str.count_matches(r"\S+"))
    if set(_SIZE_COLUMNS) <= source.keys() and len({source[c] for c in _SIZE_COLUMNS}) == 4:
        agree, exchanged = swapped_sizes(*(rows[c] for c in _SIZE_COLUMNS))
        cells += [(SIZES, "agree", 0, 0, agree), (SIZES, "exchanged", 0, 0, exchanged)]
    if "url" in source:
        cells += _domains(rows["url"])
        cells += _contacts("url", rows["url"])
    cells += _contacts("text", texts)
    batch = Batch(rows)
    for name in plan.groups:
        levels = load_group(name).levels(batch).alias("level")
        cells += [(group_of(name), level, 0, 0, n) for level, n in _counted(levels)]
        if name.startswith("language:"):  # what a detector calls a blank differs between them
            some = _counted(levels.filter(texts.str.strip_chars() != ""))
            cells += [(captioned_of(name), level, 0, 0, n) for level, n in some]
    keys = _keys(rows, "url" in source, plan.one_in) if plan.one_in else None
    return UnitScan(UnitCounts.of(unit, cells), keys)


def most_frequent(counts: dict[str, int], most: int = FOLLOWED) -> tuple[dict[str, int], int]:
    """The ``most`` largest counts, each less what it may share with those left out, and that.

    Misra and Gries's (1982) summary, which merges (Agarwal et al. 2012): what comes back for a name
    is at most its count, and at least its count less all that was taken off on the way.

    >>> most_frequent({"a": 5, "b": 3, "c": 1}, most=2)
    ({'a': 4, 'b': 2}, 1)
    """
    if len(counts) <= most:
        return counts, 0
    off = sorted(counts.values(), reverse=True)[most]
    return {name: n - off for name, n in counts.items() if n > off}, off


def _missing(column: pl.Series) -> int:
    """Nulls, numbers that are none or have no end, and blank texts."""
    n = column.null_count()
    if column.dtype == pl.String:
        return n + int((column.str.strip_chars() == "").sum())
    return n + int((~column.is_finite()).sum()) if column.dtype.is_float() else n


def _counted(values: pl.Series) -> Iterable[tuple[str, int]]:
    return values.value_counts(name="rows").iter_rows()


def _numbers(name: str, values: pl.Series) -> Iterator[Cell]:
    """Finite values, in all and by their rounded ones, and how many are high."""
    known = values.drop_nulls().cast(pl.Float64)
    known = known.filter(known.is_finite())
    yield known_of(name), "", 0, 0, len(known)
    rounded = known.round_sig_figs(3).alias("value")
    for value, n in _counted(rounded):
        yield score_of(name), repr(float(value) + 0.0), 0, 0, n  # -0.0 is 0.0
    for threshold in THRESHOLDS.get(name, ()):
        yield least_of(name, threshold), "", 0, 0, int((known >= threshold).sum())


def _domains(urls: pl.Series) -> Iterator[Cell]:
    written = urls.filter((urls.str.strip_chars() != "").fill_null(False))
    scheme = written.str.extract(_SCHEME).str.to_lowercase()
    yield NO_ADDRESS, "", 0, 0, len(urls) - len(written)
    yield NOT_WEB, "", 0, 0, int((~scheme.is_in(_WEB)).sum())
    named = registered_domains(urls)
    yield NO_DOMAIN, "", 0, 0, named.null_count()
    found, missed = most_frequent(dict(_counted(named.drop_nulls().alias("domain"))))
    yield MISSED, "", 0, 0, missed
    for domain, n in found.items():
        yield DOMAIN, domain, 0, 0, n


def _contacts(column: str, texts: pl.Series) -> Iterator[Cell]:
    for form, held, n in contact_cells(texts, urls=column == "url"):
        yield contact_of(column, form), "held" if held else "rest", 0, 0, n


def _keys(rows: pl.DataFrame, has_url: bool, one_in: int) -> pl.DataFrame:
    """Hashes (u64) of what rows may share, each once, with its rows and the number of its kind.

    Blanks have none. A key takes one place on however many rows it stands.
    """
    text = rows["text"]
    written = text.str.strip_chars() != ""
    kinds: list[pl.Series] = [pl.Series([], dtype=pl.UInt64), text.filter(written).hash(1)]
    if has_url:
        url = rows["url"]
        there = (url.str.strip_chars() != "").fill_null(False)
        both = pl.select(pl.concat_str([url, text.fill_null("")], separator="\0")).to_series()
        kinds = [url.filter(there).hash(1), kinds[1], both.filter(there).hash(1)]
    return pl.concat(
        key.filter(key % one_in == 0)
        .alias("key")
        .value_counts(name="rows")
        .sort("key")
        .with_columns(pl.lit(i, dtype=pl.UInt8).alias("kind"))
        for i, key in enumerate(kinds)
    )


def _columns(unit: Unit, rows: pl.DataFrame) -> Iterator[Cell]:
    """Every column of the file with its type; of a parquet file's others, what is missing."""
    shard = unit.shard
    if shard.kind != "parquet":  # values of any kind and number: those of no use stay unread
        for name in shard.names:
            yield COLUMN, json.dumps([name, shard.kind]), 0, 0, rows.height
        return
    schema = footer_of(shard.file).schema
    types = {name: str(schema.field(name).type) for name in shard.names}
    for name, kind in types.items():
        yield COLUMN, json.dumps([name, kind]), 0, 0, rows.height
    served = set(shard.columns.source.values())
    others = [n for n, kind in types.items() if n not in served and kind.startswith(_PLAIN)]
    if not others:
        return
    asked = {name: name for name in others}
    try:
        frame = formats.read(
            shard.file, shard.kind, shard.names, shard.parts, unit.row_group, asked
        )
    except _FAILURES as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ShardError(f"{unit.label}: cannot be read: {reason}") from error
    for name in others:
        missing = _missing(frame[name])
        yield missing_of(name), "missing", 0, 0, missing
        yield missing_of(name), "there", 0, 0, rows.height - missing
