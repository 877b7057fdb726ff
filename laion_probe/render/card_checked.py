"""How a classifier read labelled pictures: the errors that a range with measured errors rests on.

They are counted by concept, since a classifier that is right about nurses may be wrong about
guards: of a concept that was measured the range uses its own errors, else those of any concept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from laion_probe.questions.card_evidence import Behind, Checked, Headline
from laion_probe.questions.datasheet_numbers import at
from laion_probe.render import text
from laion_probe.render.card_words import Group, is_generated, level_words, share_words

__all__ = ["MANY", "Labelled", "labelled", "right_in_brief", "used_words"]

#: From this share on, what is read wrongly or left out is told of.
MANY = 0.1


@dataclass(frozen=True)
class Labelled:
    """Labelled pictures of one domain and concept: ``rows[true][read]`` of a headline's levels.

    ``concept`` is empty of those of all concepts.
    """

    checked: Checked
    concept: str
    rows: Mapping[str, Mapping[str, int]]

    @property
    def n(self) -> int:
        """How many pictures these are."""
        return sum(sum(row.values()) for row in self.rows.values())

    @property
    def right(self) -> float:
        """The share of them that were read as what they are."""
        return sum(row.get(level, 0) for level, row in self.rows.items()) / self.n

    @property
    def words(self) -> str:
        """That share with its number of pictures."""
        return f"{text.number(100 * self.right, 1)} % of {text.count(self.n)}"


def labelled(group: Group, headline: Headline, runs: Behind) -> tuple[Labelled, ...]:
    """What the range of a group's headline rests on, by domain and concept.

    Of all concepts together where errors were not measured by concept.
    """
    return tuple(
        Labelled(checked, concept, rows)
        for checked in runs.checked(group.evidence, group.attribute, group.concept)
        for concept, confusion in sorted(
            (checked.table.by_group or {"": checked.table.confusion}).items()
        )
        if (rows := _rows(confusion, headline))
    )


def _rows(
    confusion: Mapping[str, Mapping[str, int]], headline: Headline
) -> dict[str, Mapping[str, int]]:
    """The pictures of the two levels, where there are any."""
    levels = (headline.level, headline.against)
    return {level: confusion[level] for level in levels if any(confusion.get(level, {}).values())}


def used_words(group: Group, headline: Headline | None, runs: Behind) -> str:
    """How often the classifier was right, in clauses: first where the range takes its errors."""
    checked = runs.checked(group.evidence, group.attribute, group.concept)
    over_all = "; ".join(map(_accuracy, checked))
    found = [one for one in labelled(group, headline, runs) if one.concept] if headline else []
    if not found:
        return f"{over_all}. The range with measured errors uses these"
    own = [one for one in found if one.checked.own]
    if own:
        said = "; ".join(map(_own_words, own))
        return (
            f"{said}. The range with measured errors uses these{_besides(group, runs)}. Over all "
            f"concepts: {over_all}"
        )
    least, most = _ends(found)
    n = len({one.concept for one in found})
    return (
        f"{over_all}. By concept, right on {least.words} ({least.concept}; "
        f"{least.checked.table.domain}) to {most.words} ({most.concept}; "
        f"{most.checked.table.domain}): the range with measured errors draws from the errors of "
        f"these {n} concepts"
    )


def _own_words(one: Labelled) -> str:
    levels = ", ".join(_level_words(level, row) for level, row in one.rows.items())
    place = one.checked.pointer + at("by_group", one.concept)
    return (
        f"right on {one.words} labelled pictures of “{one.concept}” ({one.checked.table.domain}: "
        f"{levels}; {place} of the run)"
    )


def _level_words(level: str, row: Mapping[str, int]) -> str:
    """How many of a level were read so, and as what most others where these are many."""
    n, right = sum(row.values()), row.get(level, 0)
    said = f"{text.count(right)} of {text.count(n)} {level_words(level)}"
    if n - right <= MANY * n:
        return said
    wrong = max(row.keys() - {level}, key=lambda other: (row[other], other))
    return f"{said}, {text.count(row[wrong])} read as {level_words(wrong)}"


def _besides(group: Group, runs: Behind) -> str:
    if not any(map(is_generated, group.stages)) or runs.names_concept(group.evidence):
        return ""
    return " (of generated pictures, whose prompt does not name the concept, those of any concept)"


def _accuracy(one: Checked) -> str:
    error = one.table
    where = "; ".join(filter(None, (error.domain, error.note))).rstrip(".")
    return (
        f"right on {share_words(error.accuracy)} of {text.count(error.accuracy.n)} labelled "
        f"pictures ({where})"
    )


def _ends(found: Iterable[Labelled]) -> tuple[Labelled, Labelled]:
    ordered = sorted(found, key=lambda one: (one.right, one.concept))
    return ordered[0], ordered[-1]


def right_in_brief(group: Group, headline: Headline | None, runs: Behind) -> str:
    """How often it was right on other pictures, in a few words; empty where that is not known."""
    checked = runs.checked(group.evidence, group.attribute, group.concept)
    over_all = _to(e for one in checked if (e := one.table.accuracy.value) is not None)
    found = [one for one in labelled(group, headline, runs) if one.concept] if headline else []
    by_concept = _to(one.right for one in found)
    if any(one.checked.own for one in found):
        return f"right on {by_concept} of other pictures of {group.concept}, not checked on these"
    if not over_all:
        return ""
    among = f" ({by_concept} by concept)" if by_concept else ""
    return f"right on {over_all} of other pictures{among}, not checked on these"


def _to(shares: Iterable[float]) -> str:
    """From the least share to the largest; empty where there is none."""
    known = sorted(100 * share for share in shares)
    ends = dict.fromkeys(text.number(known[i], 1) for i in (0, -1)) if known else ()
    return f"{' to '.join(ends)} %" if known else ""
