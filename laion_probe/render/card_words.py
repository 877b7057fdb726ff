"""Numbers of a composition in words, and its rows in the groups in which cards show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from laion_probe.datasheet_result import CompositionRow, Lineage
from laion_probe.questions.card import Card
from laion_probe.questions.card_evidence import is_sampled
from laion_probe.questions.datasheet_numbers import Source
from laion_probe.render import text
from laion_probe.results import Estimate

__all__ = [
    "Group",
    "compositions",
    "data_stages",
    "is_generated",
    "kept_share",
    "kept_words",
    "languages_words",
    "level_words",
    "percent_words",
    "published_words",
    "range_words",
    "share_words",
    "stage_title",
    "stage_words",
]

_NEAR = ("neighbourhood", "matched")
_STAGES = {
    "all": "all pictures",
    "pool": "pool",
    "captions": "captions",
    "neighbourhood": "near the concept",
    "matched": "matched by caption",
    "generated": "generated",
}


@dataclass(frozen=True)
class Group:
    """The rows of one run, concept and attribute that rest on labels of one kind.

    ``stages`` and ``levels`` are in the order of the rows; ``cells`` has the row of each pair that
    is there.
    """

    evidence: str
    concept: str
    attribute: str
    labels: str
    stages: tuple[str, ...]
    levels: tuple[str, ...]
    cells: dict[tuple[str, str], CompositionRow]


def compositions(rows: Iterable[CompositionRow]) -> tuple[Group, ...]:
    """The rows by run, concept, attribute and labels, in the order in which these first occur."""
    found: dict[tuple[str, str, str, str], list[CompositionRow]] = {}
    for row in rows:
        key = (row.evidence, row.concept, row.attribute, row.labels)
        found.setdefault(key, []).append(row)
    return tuple(
        Group(
            *key,
            stages=tuple(dict.fromkeys(row.stage for row in group)),
            levels=tuple(dict.fromkeys(row.level for row in group)),
            cells={(row.stage, row.level): row for row in group},
        )
        for key, group in found.items()
    )


def is_generated(stage: str) -> bool:
    """Whether a stage is of generated pictures."""
    return stage.startswith("generated")


def data_stages(group: Group) -> tuple[str, ...]:
    """The stages of the data to be shown beside what was generated: near the concept, or the last.

    They are empty where all of it is generated.
    """
    data = [stage for stage in group.stages if not is_generated(stage)]
    near = [stage for stage in data if stage in _NEAR]
    return tuple(near or data[-1:])


def stage_words(stage: str) -> str:
    """What a stage is called.

    >>> stage_words("neighbourhood"), stage_words("step:english")
    ('near the concept', 'after english')
    """
    return _STAGES.get(stage, stage.replace("step:", "after ", 1))


def stage_title(card: Card, row: CompositionRow) -> str:
    """What the run calls the stage of a row, or else what it is called here."""
    return card.behind.title(row) or stage_words(row.stage)


def level_words(level: str) -> str:
    """What a level is called; one without a name is said to have none."""
    return text.level_name(level).strip() or "(no name)"


def share_words(row: CompositionRow | Estimate) -> str:
    """The share in percent with its interval.

    Where there is no interval, or one without a width as of a full count, there are no brackets.

    >>> share_words(Estimate(value=0.362, low=0.298, high=0.425, n=221, units=9, method="Wilson"))
    '36.2 % [29.8, 42.5]'
    """
    share = row.value if isinstance(row, Estimate) else row.share
    if share is None:
        return "not defined"
    said = percent_words(share)
    if row.low == row.high:
        return said
    low, high = ("not bounded" if end is None else _percent(end) for end in (row.low, row.high))
    return f"{said} [{low}, {high}]"


def range_words(bounds: Estimate) -> str:
    """The ends of a range in percent, as those of an interval; it claims no middle.

    >>> range_words(Estimate(value=None, low=0.0401, high=0.37, n=9, units=9, method="bounds"))
    '4.0 to 37.0 %'
    """
    if bounds.low is None or bounds.high is None:
        return "not defined"
    return f"{_percent(bounds.low)} to {_percent(bounds.high)} %"


def percent_words(share: float) -> str:
    """A share in percent as a datasheet has it; what few digits would make none or all is told.

    >>> percent_words(0.0063), percent_words(1e-12)
    ('0.63 %', 'below 0.00001 %')
    """
    said = f"{_percent(share)} %"
    if share in (0, 1) or said not in ("0 %", "100 %"):
        return said
    return "below 0.00001 %" if share < 0.5 else "above 99.9999 %"


def _percent(share: float) -> str:
    """The number alone, in the decimals that datasheets have."""
    return Source("", share).percent().shown.removesuffix(f"{text.NBSP}%")


def languages_words(card: Card) -> str:
    """The languages that a person stated, with what the Hub has for them, or why it has nothing."""
    found = card.languages
    mapped = [f"{given} is {language} on the Hub" for given, language in found.mapped]
    beside = [*mapped, *(f"{code} has no ISO 639 code" for code in found.unknown)]
    words = ", ".join(card.datasheet.about.languages)
    return words + (f" ({'; '.join(beside)})" if beside else "")


def published_words(card: Card) -> str:
    """The date of publication as stated, and that it is none where no machine can read it."""
    said = text.clean(card.datasheet.about.date_published).strip()
    return card.published or (f"{said} (as stated; no date)" if said else "")


def kept_share(card: Card, recipe: Lineage) -> float | None:
    """The share of rows that a recipe kept: of all, or as a sample says of all; None if unknown."""
    sample = card.datasheet.sample_of(recipe)
    if sample is not None:
        return sample.kept
    if not recipe.n_before or recipe.n_after is None or is_sampled(card.datasheet, recipe):
        return None
    return recipe.n_after / recipe.n_before


def kept_words(card: Card, recipe: Lineage) -> str:
    """What a recipe kept, or why that has no number; of a sample, with its interval."""
    sample, share = card.datasheet.sample_of(recipe), kept_share(card, recipe)
    if sample is not None and share is not None:
        of = "" if sample.n_rows is None else f" of {text.count(sample.n_rows)}"
        rows = f"a random sample of {text.count(sample.n_read)}{of} rows"
        said = f"keeps {text.number(100 * share, 1)} %"
        if sample.low is None or sample.high is None:
            said += f" of {rows}; what that is of all rows has no interval"
        else:
            ends = ", ".join(text.number(100 * end, 1) for end in (sample.low, sample.high))
            said += f" [{ends}] of all rows, as {rows} tells"
        return said + (" (steps that need every row are left out)" if sample.left_out else "")
    if is_sampled(card.datasheet, recipe):
        return "replayed on a sample, which does not say what it would keep of all rows"
    if recipe.n_before is None or recipe.n_after is None:
        return "what it removed cannot be seen" if recipe.already else "not measured"
    percent = "" if share is None else f" ({text.number(100 * share, 1)} %)"
    return f"{text.count(recipe.n_after)} of {text.count(recipe.n_before)} rows kept{percent}"
