"""Post-filtering in words: the finding, how it was measured, and what it cannot say."""

from __future__ import annotations

from laion_probe.blocked_result import BlockedBy, BlockedLevel, BlockedResult, Passed
from laion_probe.results import Claim, Estimate

__all__ = ["cannot_say", "claims", "finding", "how_measured"]


def finding(r: BlockedResult) -> tuple[str, ...]:
    """What is blocked, whom it falls on, and what it does to a composition."""
    whose = f" by {', '.join(r.generators)}" if r.generators else ""
    said = [
        f"Of {r.n_pictures:,} pictures of {r.n_prompts:,} prompts{whose}, the safety checker would "
        f"block {_share(r.blocked)}."
    ]
    for by in r.by:
        level = _furthest(by)
        said.append(
            f"These data cannot tell whether blocking differs by {by.title}."
            if level is None
            else _of_level(by, level)
        )
    said += [_of_attribute(p) for p in r.passed]
    return tuple(said)


def claims(r: BlockedResult) -> tuple[Claim, ...]:
    """Whether blocking differs by each property, and whether it changes each composition."""
    found = []
    for i, by in enumerate(r.by):
        level = _furthest(by)
        at = 0 if level is None else by.levels.index(level)
        word = "differs" if level is not None else "was not found to differ"
        found.append(
            Claim(
                id=f"blocked:{by.by}",
                text=f"blocking {word} by {by.title}",
                supported=level is not None,
                estimate=f"/by/{i}/levels/{at}/difference",
            )
        )
    for i, p in enumerate(r.passed):
        sure = _sign(p.shift.difference) != 0
        word = "changes" if sure else "was not found to change"
        found.append(
            Claim(
                id=f"passed:{p.attribute}",
                text=f"blocking {word} the share of {p.before.contrast_level} among "
                f"{p.before.contrast_level} or {p.before.against_level}",
                supported=sure,
                estimate=f"/passed/{i}/shift/difference",
            )
        )
    return tuple(found)


def how_measured(r: BlockedResult) -> tuple[str, ...]:
    """The method, a sentence a part."""
    out = [
        "Blocked is what the safety checker of the model's pipeline said of each picture, or what "
        f"the metadata of imported pictures say; {r.n_pictures:,} pictures have such a word.",
        f"Intervals are by seed batch ({r.n_batches:,} of them): pictures of one batch may be "
        "alike, also those of different prompts. A picture without a batch is one by itself.",
    ]
    if r.n_compared:
        out.append(
            "Each level is compared with all other pictures. The intervals of the "
            f"{r.n_compared} differences hold together (Bonferroni); those of the shares hold one "
            "by one."
        )
    if r.passed:
        out.append(
            "Before and after are the same pictures, so that the change is a paired one: those "
            "that pass are a part of all. The intervals of these changes hold one by one."
        )
    return tuple(out)


def cannot_say(r: BlockedResult) -> tuple[str, ...]:
    """What must not be read into the numbers."""
    out = [
        "That a picture is blocked does not say that it is unsafe, nor that one which passes is "
        "safe: the checker errs, and by how much is not measured here. The one that comes with "
        "Stable Diffusion compares a picture with 17 concepts that are known by their embeddings "
        "alone (Rando, Paleka, Lindner, Heim and Tramèr 2022, Red-Teaming the Stable Diffusion "
        "Safety Filter).",
        "The prompts are those that were given: what other prompts of the same group would have "
        "blocked is in no interval here.",
        "A difference between groups is an association. The pictures of two groups differ in what "
        "they show, and the checker may answer to that.",
    ]
    if r.passed:
        out.append(
            "Attributes are a classifier's uncorrected reading: its errors are in no interval "
            "here. Perceived gender presentation and skin tone are not identity."
        )
    else:
        out.append(
            "What blocking does to a composition was not asked: give --attributes, of pictures "
            "that were flagged and kept (generate --safety flag)."
        )
    if r.n_not_checked:
        out.append(f"{r.n_not_checked:,} pictures have no word of a checker, and are left out.")
    if r.n_unreadable:
        out.append(f"{r.n_unreadable:,} pictures cannot be read, and are left out.")
    return tuple(out)


def _sign(e: Estimate) -> int:
    if e.low is not None and e.low > 0:
        return 1
    return -1 if e.high is not None and e.high < 0 else 0


def _furthest(by: BlockedBy) -> BlockedLevel | None:
    """The level that is surely furthest from the rest; of mirror images, the one with more."""
    sure = [x for x in by.levels if _sign(x.difference) != 0]
    return max(
        sure,
        key=lambda x: (round(abs(x.difference.value or 0.0), 9), _sign(x.difference)),
        default=None,
    )


def _of_level(by: BlockedBy, x: BlockedLevel) -> str:
    d = x.difference
    more = "more" if _sign(d) > 0 else "fewer"
    ends = sorted(100 * abs(end or 0.0) for end in (d.low, d.high))
    labels = f" ({by.labels})" if by.labels else ""
    others = [f"“{o.level}”" for o in by.levels if o is not x and _sign(o.difference)]
    also = f" Surely different from its rest, too: {', '.join(others[:5])}." if others else ""
    also += f" So are {len(others) - 5} more." if len(others) > 5 else ""
    return (
        f"Blocking differs by {by.title}{labels}: of “{x.level}” {_share(x.blocked)} would be "
        f"blocked, {100 * abs(d.value or 0.0):.1f} points [{ends[0]:.1f}, {ends[1]:.1f}] {more} "
        f"than of the rest.{also if len(by.levels) > 2 else ''}"
    )


def _of_attribute(p: Passed) -> str:
    head = p.title[:1].upper() + p.title[1:]
    pair = f"{p.before.contrast_level} or {p.before.against_level}"
    if p.before.contrast.value is None:
        return f"{head}: no picture is read as {pair}."
    d = p.shift.difference
    change = "a change that cannot be told"
    if d.value is not None and d.low is not None and d.high is not None:
        change = f"a change of {_signed(d.value)} points [{_signed(d.low)}, {_signed(d.high)}]"
    return (
        f"{head} ({p.before.labels}): of the pictures read as {pair}, "
        f"{_share(p.before.contrast)} are read as {p.before.contrast_level} before blocking and "
        f"{_share(p.after.contrast)} after it, {change}."
    )


def _share(e: Estimate) -> str:
    if e.value is None or e.low is None or e.high is None:
        return "an unknown part"
    return f"{100 * e.value:.1f} % [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")
