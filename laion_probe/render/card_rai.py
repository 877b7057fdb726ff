"""A datasheet's answers under the names of Croissant's vocabulary for responsible AI.

The properties are those of http://mlcommons.org/croissant/RAI/1.0. A property that nobody has
answered, neither data nor a person, is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from laion_probe.datasheet_result import Answer, DatasheetResult, LineageStep
from laion_probe.render import text

__all__ = ["ANSWERS", "rai_properties", "removed_words"]

#: The answers of the datasheet that a property is made of; "person:" or "measured:" where only what
#: that one says belongs there. Of the first kind a property holds one text, of the second a list
#: (as mlcroissant reads it).
ONE: dict[str, tuple[str, ...]] = {
    "rai:dataCollection": (
        "collection-acquired",
        "collection-mechanisms",
        "collection-sampling",
        "collection-people",
        "collection-timeframe",
        "collection-source",
        "collection-notified",
        "collection-consent",
        "collection-revoke",
    ),
    "rai:dataCollectionMissingData": ("composition-missing",),
    "rai:dataCollectionRawData": ("preprocessing-raw",),
    "rai:dataSocialImpact": ("person:uses-impact", "person:collection-impact"),
    "rai:dataReleaseMaintenancePlan": (
        "maintenance-who",
        "maintenance-updates",
        "maintenance-retention",
        "maintenance-versions",
        "maintenance-erratum",
    ),
}
MANY: dict[str, tuple[str, ...]] = {
    "rai:dataBiases": ("composition-subpopulations", "measured:uses-impact"),
    "rai:dataLimitations": ("composition-errors", "composition-external", "uses-not-for"),
    "rai:dataPreprocessingProtocol": ("preprocessing-done", "preprocessing-software"),
    "rai:dataUseCases": ("motivation-purpose", "uses-used", "uses-tasks"),
    "rai:personalSensitiveInformation": (
        "composition-confidential",
        "composition-offensive",
        "composition-identifiable",
        "composition-sensitive",
    ),
}
ANSWERS = ONE | MANY

#: Commands that replay filters: what they removed is no part of how the data set was made.
_REPLAY = frozenset({"filters", "scan", "probe"})

Property = str | list[str]


def rai_properties(sheet: DatasheetResult) -> dict[str, Property]:
    """The properties that are known, by name; texts are cleaned, and none is empty."""
    found = {
        name: [words for key in keys for words in _said(sheet, key)]
        for name, keys in ANSWERS.items()
    }
    found["rai:dataPreprocessingProtocol"] += _passed(sheet)
    found["rai:dataLimitations"] = [
        *([sheet.data_note] if sheet.data_note else []),
        *found["rai:dataLimitations"],
        *sheet.cannot_say,
    ]
    if sheet.compositions:
        found |= _labels(sheet)
    single = {*ONE, "rai:annotationsPerItem"}
    return {
        name: " ".join(texts) if name in single else texts
        for name, said in sorted(found.items())
        if (texts := _unique(said))
    }


def _unique(texts: Iterable[str]) -> list[str]:
    """Each once, in order: an RDF list of literals holds none twice."""
    cleaned = (text.clean(said).strip() for said in texts)
    return list(dict.fromkeys(said for said in cleaned if said))


def _said(sheet: DatasheetResult, key: str) -> Iterator[str]:
    """What an answer says, or the part of it that ``key`` asks for."""
    who, _, name = key.rpartition(":")
    answers = (a for section in sheet.sections for a in section.answers if a.id == name)
    for answer in answers:
        if who != "person":
            yield from _measured(sheet, answer)
        if who != "measured":
            yield answer.person


def _measured(sheet: DatasheetResult, answer: Answer) -> Iterator[str]:
    replays = {run.id for run in sheet.evidence if run.kind in _REPLAY}
    for statement in answer.measured:
        replayed = any(number.evidence in replays for number in statement.numbers)
        if not (replayed and answer.id == "preprocessing-done"):
            caution = f" Caution: {statement.caution}" if statement.caution else ""
            yield statement.plain() + caution


def _passed(sheet: DatasheetResult) -> Iterator[str]:
    """The steps of the recipes that the rows had passed; a simulated one did nothing to them."""
    for recipe in sheet.lineage:
        if not recipe.already:
            continue
        head = f"{recipe.title} ({recipe.recipe}; {recipe.source})"
        if not recipe.steps:
            yield f"{head}."
        for step in recipe.steps:
            yield f"{head}: {step.title}{removed_words(step)}."


def removed_words(step: LineageStep) -> str:
    """What a step removed, as the end of a sentence; never 0 where it cannot be seen."""
    if not step.observable:
        return "; how many it removed cannot be seen"
    if step.n_removed is None or step.n_reached is None:
        return ""
    return f"; it removed {text.count(step.n_removed)} of {text.count(step.n_reached)} rows"


def _labels(sheet: DatasheetResult) -> dict[str, list[str]]:
    """How the labels behind the composition came about: whose they are, of how many rows of it."""
    kinds = Counter(row.labels for row in sheet.compositions)
    said = "; ".join(f"{labels}: {text.count(n)} rows" for labels, n in kinds.items())
    table = f"Labels behind the composition table, by its rows: {said}."
    found = {
        "rai:dataAnnotationProtocol": [
            table + " Labels of people are of how they are perceived, not of who they are."
        ],
        "rai:annotationsPerItem": [
            table + " How many people labelled an item of the data set itself was not measured."
        ],
    }
    if any("classifier" in labels for labels in kinds):
        found["rai:machineAnnotationTools"] = [f"laion-probe {sheet.version}"]
    return found
