"""What a headline share leaves out: pictures that are read as neither of its two levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from laion_probe.datasheet_result import CompositionRow
from laion_probe.questions.card_evidence import Behind, Headline
from laion_probe.render import text
from laion_probe.render.card_checked import MANY, Labelled, labelled
from laion_probe.render.card_words import Group, level_words, percent_words, stage_words

__all__ = ["left_out", "left_out_share", "left_out_words"]


def left_out_share(group: Group, stage: str, headline: Headline) -> float | None:
    """The share of a stage's pictures that are read as neither level; None if not known."""
    shares = [row.share for row in _others(group, stage, headline)]
    known = [share for share in shares if share is not None]
    return sum(known) if len(known) == len(shares) else None


def left_out(group: Group, stage: str, headline: Headline) -> str:
    """That share in percent, with the levels that it is made of."""
    share = left_out_share(group, stage, headline)
    if share is None:
        return "not known"
    levels = (
        f"{level_words(row.level)} {percent_words(row.share or 0)}"
        for row in _others(group, stage, headline)
    )
    return f"{percent_words(share)} ({', '.join(levels)})"


def left_out_words(group: Group, found: Mapping[str, Headline], runs: Behind) -> str:
    """Of which stages over a tenth is left out, and how that may move the headline; else empty."""
    many = {
        stage: share
        for stage, headline in found.items()
        if (share := left_out_share(group, stage, headline) or 0) > MANY
    }
    if not many:
        return ""
    first = next(iter(found.values()))
    stages = "; ".join(
        f"{stage_words(stage)} {percent_words(share)}" for stage, share in many.items()
    )
    either = f"{level_words(first.level)} nor {level_words(first.against)}"
    said = f"Many pictures are left out of these shares, read as neither {either}: {stages}."
    return f"{said} {_why(group, first, runs)}".strip()


def _others(group: Group, stage: str, headline: Headline) -> Iterator[CompositionRow]:
    for (at, level), row in group.cells.items():
        if at == stage and level not in (headline.level, headline.against):
            yield row


def _why(group: Group, headline: Headline, runs: Behind) -> str:
    """Where labelled pictures of one level were left out far more than those of the other."""
    both = [one for one in labelled(group, headline, runs) if len(one.rows) == 2]
    used = [one for one in both if one.checked.own or not one.concept]
    if not used:
        return ""
    most = max(used, key=lambda one: abs(_gap(one, headline)))
    gap = _gap(most, headline)
    if abs(gap) <= MANY:
        return ""
    kept = headline.against if gap > 0 else headline.level
    counts = text.join(
        [
            f"{text.count(_neither(row, headline))} of {text.count(sum(row.values()))} "
            f"{level_words(level)}"
            for level, row in most.rows.items()
        ]
    )
    of = f" of “{most.concept}”" if most.concept else ""
    return (
        f"Of labelled pictures{of} ({most.checked.table.domain}) {counts} were read as neither: "
        f"where that is so here too, the labels alone give {level_words(kept)} too large a share."
    )


def _gap(one: Labelled, headline: Headline) -> float:
    """How much larger a share of the headline's level is left out than of the other."""
    level, against = (
        _neither(one.rows[name], headline) / sum(one.rows[name].values())
        for name in (headline.level, headline.against)
    )
    return level - against


def _neither(row: Mapping[str, int], headline: Headline) -> int:
    return sum(row.values()) - row.get(headline.level, 0) - row.get(headline.against, 0)
