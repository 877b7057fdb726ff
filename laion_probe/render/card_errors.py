"""What is known of the errors of the labels that shares rest on: where they were measured, if so.

A share is of what somebody, or something, read in a picture or a caption. Whether that was checked
on these pictures, on others, or not at all is said wherever a card shows shares.
"""

from __future__ import annotations

from laion_probe.questions.card_evidence import Behind, Headline
from laion_probe.render import text
from laion_probe.render.card_checked import right_in_brief, used_words
from laion_probe.render.card_words import Group

__all__ = ["PERCEIVED", "errors_in_brief", "errors_words", "headlines"]

PERCEIVED = (
    "Perceived gender presentation and skin tone are what a classifier or a rater sees in a "
    "picture, or what a caption says: not identity, and not what the person would say; nobody's "
    "ethnicity follows from a skin tone."
)
_CAPTIONS = "captions"
_PEOPLE = ("rater", "rating")


def headlines(group: Group, runs: Behind) -> dict[str, Headline]:
    """The headline share at each stage of a group that has one."""
    found = ((stage, runs.headline(row)) for (stage, _), row in group.cells.items())
    return {stage: headline for stage, headline in found if headline is not None}


def _kind(group: Group) -> str:
    """By what the labels were given: "captions", "people", "both", "classifier" or ""."""
    if set(group.stages) == {_CAPTIONS}:
        return "captions"
    people = any(word in group.labels for word in _PEOPLE)
    if people:
        return "both" if "corrected" in group.labels else "people"
    return "classifier" if "classifier" in group.labels else ""


def errors_words(group: Group, runs: Behind) -> str:
    """What is known of the errors of a group's labels, in sentences."""
    kind = _kind(group)
    if kind == "captions":
        return (
            "Words of captions and addresses, by lists and by a detector of languages: how often "
            "these are wrong was not measured."
        )
    if kind == "people":
        return (
            "Labels that people gave: what these raters say is what is measured. "
            + _agreement(group, runs)
        ).strip()
    rated = _rated(group, runs)
    if kind == "both":
        return (
            f"Errors were measured on these pictures: {rated or 'some'} of a stage were also rated "
            "by people, and shares are corrected to what these raters would say. "
            + _agreement(group, runs)
        ).strip()
    if kind == "classifier":
        first = next(iter(headlines(group, runs).values()), None)
        if rated:
            return (
                f"Errors were measured on these pictures: {rated} of a stage were also rated by "
                "people. The shares here are without that; those that are corrected to what these "
                "raters would say stand apart."
            )
        if runs.checked(group.evidence, group.attribute, group.concept):
            used = used_words(group, first, runs)
            return (
                f"Errors were measured on other pictures, and not on these: {used}. "
                "Whether it errs as often on these pictures is not known; the range with measured "
                "errors holds if it errs here as it did in one of those sets."
            )
        return (
            "How often the classifier is wrong was not measured, neither on these pictures nor on "
            "others: these are shares of what it reads, and may be far from what people see."
        )
    return "How often these labels are wrong does not stand in the run."


def errors_in_brief(group: Group, runs: Behind) -> str:
    """The same in a few words, for a caption."""
    kind = _kind(group)
    if kind == "classifier" and _rated(group, runs):
        return "errors measured on these pictures, and not corrected here"
    if kind == "classifier":
        first = next(iter(headlines(group, runs).values()), None)
        return right_in_brief(group, first, runs) or "its errors are not measured"
    return {
        "captions": "lists of words and a detector, not checked",
        "people": "what these raters say",
        "both": "errors measured on these pictures",
    }.get(kind, "errors not known")


def _rated(group: Group, runs: Behind) -> str:
    """How many pictures of a stage people rated, as a number or a range; empty where none."""
    known = {h.n_rated for h in headlines(group, runs).values() if h.n_rated}
    ends = sorted({min(known), max(known)}) if known else []
    return " to ".join(map(text.count, ends))


def _agreement(group: Group, runs: Behind) -> str:
    """How far raters agree, where the run says so."""
    for run, found in runs.agreement():
        if run == group.evidence and found.attribute == group.attribute:
            if found.alpha.value is None:
                break
            return (
                f"Of {text.count(found.n_pictures)} pictures that two or more of "
                f"{text.count(found.n_raters)} raters saw, they agree by Krippendorff's alpha of "
                f"{text.show(found.alpha, 'ratio')}."
            )
    return "How far raters agree is not known here."
