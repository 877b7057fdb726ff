"""What a scan found: plain frozen values that round-trip through JSON, as in `results`."""

from __future__ import annotations

from laion_probe.results import Document, Estimate, FailedUnit, InputRecord, StepEffect, Value

__all__ = ["GroupCounts", "LevelCounts", "Look", "NamedShare", "Reading", "ScanResult"]

#: Raised whenever a field is renamed, removed or changes its meaning.
SCHEMA_VERSION = 1


class Look(Value):
    """The share that is followed, as it stood after some units of the random order."""

    units: int
    rows: int
    value: float | None
    low: float | None
    high: float | None


class NamedShare(Value):
    """The share that the run followed.

    ``estimate`` holds at every moment that one could have looked. ``other`` is the interval by the
    other method, for the same rows, and ``price`` how many times as wide the betting one is as the
    asymptotic one (None in a full scan). ``looks`` shows how the estimate tightened.
    """

    name: str
    title: str
    estimate: Estimate
    other: Estimate | None
    price: float | None
    looks: tuple[Look, ...]


class Reading(Value):
    """What part of the data was read, and why it ended there.

    ``n_units`` row groups are in the data; the first ``n_units_tried`` of the random order of
    ``seed`` count, of which ``n_units_failed`` could not be read. Rows are None where the files do
    not say how many they hold before they are read.
    """

    n_units: int
    n_units_tried: int
    n_units_failed: int
    n_rows: int | None
    n_rows_read: int
    n_rows_failed: int | None
    share: float  # of all rows, or of all bytes where rows are not known
    full: bool
    stopped_by: str
    assumptions: tuple[str, ...]


class LevelCounts(Value):
    """One level of a group: its share of all rows, of the rows kept, and how much of it is kept."""

    level: str
    n: int
    n_kept: int
    share: Estimate
    share_of_kept: Estimate
    kept: Estimate


class GroupCounts(Value):
    """A group of rows by level; *unknown* is a level."""

    name: str
    title: str
    levels: tuple[LevelCounts, ...]


class ScanResult(Document):
    """Everything that one run of ``scan`` found; the report is drawn from it.

    ``survival`` aligns with ``steps``: the share of all rows that is left after each. No host, path
    or timing is in it: the same data give the same bytes wherever they lie and whoever computed.
    """

    schema_version: int = SCHEMA_VERSION
    finding: tuple[str, ...]
    recipe: str
    recipe_title: str
    recipe_source: str
    data_note: str = ""
    reading: Reading
    share: NamedShare
    steps: tuple[StepEffect, ...]
    survival: tuple[Estimate, ...]
    groups: tuple[GroupCounts, ...]
    notes: tuple[str, ...]  # what was seen of the input on the way
    cannot_say: tuple[str, ...]
    failed_units: tuple[FailedUnit, ...]
    inputs: tuple[InputRecord, ...]
    version: str
    command: str
    config: dict[str, object]
    packages: dict[str, str]
