"""What `filters` found: who is removed, by which step of which recipe. Plain frozen values.

Rows are counted, so most numbers are integers; shares and their differences are `Estimate`s, with
an interval where only a sample of row groups was read, and without one in a full scan.
"""

from __future__ import annotations

from typing import Literal

from laion_probe.results import Document, Estimate, FailedUnit, InputRecord, StepEffect, Value
from laion_probe.scan_result import Reading

__all__ = [
    "Attributed",
    "DetectorPair",
    "Detectors",
    "Example",
    "Examples",
    "FiltersResult",
    "GroupAccount",
    "GroupAgreement",
    "LevelAccount",
    "LevelOverlap",
    "LevelRewrite",
    "Overlap",
    "RecipeAccount",
    "RewriteEffect",
    "StepRemoval",
]

#: Raised whenever a field is renamed, removed or changes its meaning.
SCHEMA_VERSION = 1


class StepRemoval(Value):
    """What one deciding step does to some rows, counted in three ways.

    ``alone``: rows that it would remove if it were the only step. ``only``: rows that no other step
    would remove. ``in_order``: rows that reach it in the recipe's order and leave. ``blind``: rows
    that it cannot judge (they count as kept). Where the step is not observable (``StepEffect``) the
    counts say what the replay removes of rows that had passed the original step already.
    ``difference`` is the risk difference: the share of this level's rows that it would remove
    alone, minus that share among the other rows, both of rows that it can judge and whose level is
    known; None where it is not given (all rows; too few).
    """

    step: str
    alone: int
    only: int
    in_order: int
    blind: int
    difference: Estimate | None = None


class Attributed(Value):
    """A step's exact Shapley value in the change of a level's share of what is kept.

    ``value`` is a share (-0.02: the step lowers the level's share by two points, averaged over all
    orders of the recipe's deciding steps), None where some coalition of steps keeps nothing. It is
    conditional on the recipe's rewrites and on the tables of set steps as they are.
    """

    step: str
    value: float | None


class LevelAccount(Value):
    """One level of a group under one recipe.

    ``kept`` is the share of the level's rows that the recipe keeps. ``difference``, ``ratio`` and
    ``odds_ratio`` compare the risk of removal of the level with that of the other rows whose level
    is known (difference: level minus rest); *unknown* itself is compared with all others. All four
    are None where the level is ``too_small``: then it has fewer rows than the run's minimum, which
    is not zero. ``flagged`` says that the difference is at least the run's ``flag`` in size, and
    that its interval, if any, excludes zero.
    """

    level: str
    n: int
    n_kept: int
    too_small: bool
    share_before: Estimate
    share_after: Estimate
    kept: Estimate | None
    difference: Estimate | None
    ratio: Estimate | None
    odds_ratio: Estimate | None
    flagged: bool
    steps: tuple[StepRemoval, ...]
    shapley: tuple[Attributed, ...]


class GroupAccount(Value):
    """A group by level, *unknown* included. ``shapley_note`` says why values are missing, or ''."""

    name: str
    title: str
    source: str
    note: str
    levels: tuple[LevelAccount, ...]
    shapley_note: str = ""


class LevelRewrite(Value):
    """What a rewrite did to the rows of one level: as `RewriteEffect`."""

    group: str
    level: str
    n: int
    n_changed: int
    n_emptied: int
    n_kept_with: int
    n_kept_without: int


class RewriteEffect(Value):
    """A rewrite step, and a paired rerun of the recipe without it on the same rows.

    ``n_changed`` captions differ after it, ``n_emptied`` of them have no text left.
    ``n_kept_with`` and ``n_kept_without`` count the rows that the recipe's row-local steps keep
    with and without it; ``n_only_with`` and ``n_only_without`` those that are kept in one case
    only. Steps that need the whole set are left out of both.
    """

    step: str
    title: str
    n_changed: int
    n_emptied: int
    n_kept_with: int
    n_kept_without: int
    n_only_with: int
    n_only_without: int
    levels: tuple[LevelRewrite, ...]


class Example(Value):
    """One caption, as given, as rewritten (where it was), and what was said of it."""

    text: str
    rewritten: str | None
    note: str


class Examples(Value):
    """Captions drawn at random by seed from the rows of one kind, never picked by hand.

    ``kind``: removed (by ``step`` of ``recipe``, in its order), rewritten, emptied, kept-by-one
    (``recipe`` keeps what ``other`` drops), or disagree (two detectors).
    """

    kind: Literal["removed", "rewritten", "emptied", "kept-by-one", "disagree"]
    recipe: str
    step: str
    other: str
    title: str
    n_of: int
    rows: tuple[Example, ...]


class RecipeAccount(Value):
    """One recipe on these rows.

    ``survival`` aligns with ``steps``. ``totals`` has the removal of every deciding step over all
    rows. Steps that the input had passed remove nothing from ``kept`` and what follows from it, and
    neither do those in ``left_out``, which need every row where only a sample was read. ``frozen``
    says, for each step that needs the whole set, the table it was decided by (a
    threshold, the weights of levels).
    """

    name: str
    title: str
    source: str
    confidence: str
    chain: tuple[str, ...]
    n: int
    n_kept: int
    kept: Estimate
    left_out: tuple[str, ...]
    steps: tuple[StepEffect, ...]
    survival: tuple[Estimate, ...]
    totals: tuple[StepRemoval, ...]
    groups: tuple[GroupAccount, ...]
    rewrites: tuple[RewriteEffect, ...]
    frozen: dict[str, str]


class LevelOverlap(Value):
    """Rows of one level by which of two recipes keeps them."""

    group: str
    level: str
    n: int
    n_both: int
    n_only_first: int
    n_only_second: int


class Overlap(Value):
    """Two recipes side by side: what the first keeps and the second drops, and the other way."""

    first: str
    second: str
    n_both: int
    n_only_first: int
    n_only_second: int
    n_neither: int
    levels: tuple[LevelOverlap, ...]


class GroupAgreement(Value):
    """How often two detectors name the same language, among the captions of one level."""

    group: str
    level: str
    n: int
    agree: Estimate | None  # None where the level is too small


class DetectorPair(Value):
    """Two detectors: agreement, and the matrix of languages.

    ``matrix`` holds (first's code, second's code, captions), most frequent first; ``n_left_out``
    captions are in cells that are not listed.
    """

    first: str
    second: str
    agree: Estimate
    matrix: tuple[tuple[str, str, int], ...]
    n_left_out: int
    levels: tuple[GroupAgreement, ...]


class Detectors(Value):
    """Language detectors on one random sample of captions: of all rows, chosen by a hash.

    ``english`` is the share that each calls English. ``n`` captions were compared. This ranks no
    detector: nobody knows the true language of these captions.
    """

    names: tuple[str, ...]
    n: int
    note: str
    english: dict[str, Estimate]
    pairs: tuple[DetectorPair, ...]


class FiltersResult(Document):
    """Everything that one run of ``filters`` found; the report is drawn from it.

    ``min_count`` is the number of rows under which a level is called too small, ``flag`` the
    difference from which a level is flagged (0.05: five points). No host, path or timing is in it.
    """

    schema_version: int = SCHEMA_VERSION
    finding: tuple[str, ...]
    data_note: str
    reading: Reading
    already: str  # name of the recipe behind the input, or none or unknown
    already_note: str
    min_count: int
    flag: float
    recipes: tuple[RecipeAccount, ...]
    overlaps: tuple[Overlap, ...]
    detectors: Detectors | None
    examples: tuple[Examples, ...]
    notes: tuple[str, ...]
    cannot_say: tuple[str, ...]
    failed_units: tuple[FailedUnit, ...]
    inputs: tuple[InputRecord, ...]
    version: str
    command: str
    config: dict[str, object]
    packages: dict[str, str]
