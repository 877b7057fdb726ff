"""A datasheet's answers under the names of Croissant's vocabulary for responsible AI.

The properties are those of http://mlcommons.org/croissant/RAI/1.0 (mlcommons/croissant,
docs/croissant-rai-spec.md, "RAI property information"). A property that nobody has answered,
neither data nor a person, is left out: dataImputationProtocol, dataManipulationProtocol,
dataAnnotationPlatform and annotatorDemographics always, since no run knows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from laion_probe.datasheet_result import Answer, DatasheetResult, LineageStep
from laion_probe.questions.card import Card
from laion_probe.render import text
from laion_probe.render.card_errors import PERCEIVED, errors_words
from laion_probe.render.card_words import Group, compositions
from laion_probe.render.datasheet_blocks import attribute_words

__all__ = ["ANSWERS", "rai_properties", "removed_words"]

#: The answers of the datasheet that a property is made of; "person:" or "measured:" where only what
#: that one says belongs there. Of the first kind a property holds one text, of the second a list.
#: Where mlcroissant 1.1.1 reads one text and the specification has many (the maintenance plan), or
#: the other way round (the protocol of annotation), it is one, which is both.
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
#: Recipes of sets that were crawled from the web, by how their names begin: LAION's, those made
#: from them, and others whose sources say so. Sets from an API, as YFCC from Flickr's, are not.
_CRAWLED = ("laion", "relaion", "sd-v", "datacomp", "coyo", "cc3m", "cc12m", "metaclip")
_DAY = r"\d{4}(-\d\d(-\d\d)?)?"
_INTERVAL = re.compile(rf"{_DAY}(/{_DAY})?")

Property = str | list[str]


def rai_properties(card: Card) -> dict[str, Property]:
    """The properties that are known, by name; texts are cleaned, and none is empty."""
    sheet = card.datasheet
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
    if card.tasks:
        found["rai:dataUseCases"].append(f"Tasks, as stated: {', '.join(card.tasks)}.")
    if any(one.already and one.recipe.startswith(_CRAWLED) for one in sheet.lineage):
        found["rai:dataCollectionType"] = ["Web Scraping"]
    when = " ".join(_said(sheet, "person:collection-timeframe")).strip()
    if _INTERVAL.fullmatch(when):
        found["rai:dataCollectionTimeframe"] = [when]
    if sheet.compositions:
        found |= _labels(card)
    single = {*ONE, "rai:annotationsPerItem", "rai:dataAnnotationProtocol"}
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


def _labels(card: Card) -> dict[str, list[str]]:
    """How the labels behind the composition came about, and what is known of their errors."""
    groups = compositions(card.datasheet.compositions)
    kinds: dict[str, dict[str, None]] = {}
    for group in groups:
        kinds.setdefault(group.labels, {})[attribute_words(group.attribute)] = None
    said = "; ".join(f"{text.join(list(names))}: {labels}" for labels, names in kinds.items())
    return {
        "rai:dataAnnotationProtocol": [f"Labels behind the composition table, {said}.", PERCEIVED],
        "rai:annotationsPerItem": [_human(card, groups)],
        "rai:dataAnnotationAnalysis": [
            f"{attribute_words(group.attribute, group.concept)} ({group.labels}): "
            f"{errors_words(group, card.behind)}"
            for group in groups
        ],
        "rai:machineAnnotationTools": list(_tools(card)),
    }


def _human(card: Card, groups: Iterable[Group]) -> str:
    """How many labels people gave, which is all that the property asks for."""
    people = [g for g in groups if "rater" in g.labels or "rating" in g.labels]
    own = "How many labels people gave an item of the data set itself was not measured."
    if not people:
        return f"No label behind the composition table was given by a person. {own}"
    names = text.join(list(dict.fromkeys(text.attribute_name(g.attribute) for g in people)))
    raters = (
        f" Of {text.attribute_name(found.attribute)}, {text.count(found.n_raters)} raters labelled "
        f"pictures, {text.count(found.n_pictures)} of which two or more of them saw."
        for _, found in card.behind.agreement()
    )
    told = f"People labelled a part of the pictures behind the shares of {names}."
    return f"{told}{''.join(raters)} {own}"


def _tools(card: Card) -> Iterator[str]:
    """The programs, models and detectors whose labels the composition rests on."""
    labels = {row.labels for row in card.datasheet.compositions}
    if not any("classifier" in kind or "captions" in kind for kind in labels):
        return
    yield f"laion-probe {card.datasheet.version}"
    for run in dict.fromkeys(row.evidence for row in card.datasheet.compositions):
        model = card.behind.at(run, "/provenance/model")
        if isinstance(model, dict) and model:
            parts = ", ".join(f"{key} {value}" for key, value in model.items() if value)
            yield f"{run}: pictures read by prompts of a model ({parts})"
        if detector := card.behind.at(run, "/detector"):
            yield f"{run}: languages of captions by {detector}"
        for group in card.behind.at(run, "/groups") or []:
            if group.get("source"):
                yield f"{run}: {group['name']} by {group['source']}"
