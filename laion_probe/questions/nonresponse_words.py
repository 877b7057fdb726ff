"""Non-response in words: the finding, how it was measured, and what it cannot say."""

from __future__ import annotations

from laion_probe.config import NonresponseConfig
from laion_probe.estimate import excludes_zero
from laion_probe.groups import UNKNOWN
from laion_probe.nonresponse_result import Composed, LossBy, LossLevel, NonresponseResult
from laion_probe.results import Claim, Estimate

__all__ = ["AT_RANDOM", "IF_AT_RANDOM", "cannot_say", "claims", "finding", "how_measured"]

#: What must be said wherever a re-weighted share is shown.
AT_RANDOM = (
    "Re-weighting assumes that loss is random given what is observed of a row; a good fit on "
    "held-out rows is no evidence for that."
)
#: The same, beside the number.
IF_AT_RANDOM = (
    "if loss is random given what the weights use, for which a good fit on held-out rows is no "
    "evidence"
)


def finding(r: NonresponseResult) -> tuple[str, ...]:
    """What came, whom loss fell on, and what shares can still say."""
    when = ""
    if r.fetched is not None:
        first, last = r.fetched
        when = f" when they were tried on {first}" if first == last else _between(first, last)
    whose = f"{r.n_tried:,} pictures"
    if r.by_chance:
        whose = f"the set from which the {whose} that were tried were drawn by strata"
    said = [f"Of {whose}, {_share(r.lost)} did not come{when}."]
    for by in r.loss:
        worst = _furthest(by) if by.depends else None
        if worst is not None:
            said.append(_of_level(by, worst))
    if r.loss and not any(by.depends for by in r.loss):
        said.append("No group was found by which loss differs more than chance would have it.")
    said += [_of_attribute(c) for c in r.composed]
    if r.composed:
        said.append(AT_RANDOM)
    return tuple(said)


def claims(r: NonresponseResult) -> tuple[Claim, ...]:
    """Whether loss depends on each group, and what is sure of each share whatever was lost."""
    found = []
    for i, by in enumerate(r.loss):
        level = _furthest(by)
        at = 0 if level is None else by.levels.index(level)
        if by.p_value is None:
            continue
        tail = f"p {_p(by.adjusted)} after adjustment, by domain"
        word = "depends" if by.depends else "was not found to depend"
        found.append(
            Claim(
                id=f"loss:{by.group}",
                text=f"loss {word} on {by.title} ({tail})",
                supported=by.depends,
                estimate=f"/loss/{i}/levels/{at}/difference",
            )
        )
    for i, c in enumerate(r.composed):
        side = _side(c.worst, c.parity)
        where = f"{side} {100 * c.parity:g} %" if side else "on a side that cannot be told"
        found.append(
            Claim(
                id=f"whatever-was-lost:{c.attribute}",
                text=f"{c.contrast_level} among {c.contrast_level} or {c.against_level}: {where}, "
                "whatever those lost show",
                supported=bool(side),
                estimate=f"/composed/{i}/worst",
            )
        )
    return tuple(found)


def _between(first: str, last: str) -> str:
    return f" when they were tried, from {first} to {last}"


def _furthest(by: LossBy) -> LossLevel | None:
    """The level whose loss is surely furthest from the others'; None where none surely is."""
    sure = [
        level
        for level in by.levels
        if excludes_zero(level.difference) and not level.few and level.level != UNKNOWN
    ]
    if not sure:
        return None
    return max(sure, key=_surely_off)


def _surely_off(x: LossLevel) -> tuple[float, bool]:
    """How far from the rest's its loss surely is; of mirror images, the one with more."""
    d = x.difference
    least = min(abs(d.low or 0.0), abs(d.high or 0.0))
    return round(least, 9), (d.value or 0.0) > 0


def _of_level(by: LossBy, x: LossLevel) -> str:
    d = x.difference
    assert d.value is not None
    assert d.low is not None
    assert d.high is not None
    more, (low, high) = ("more", (d.low, d.high)) if d.value > 0 else ("fewer", (-d.high, -d.low))
    ratio = "" if x.ratio.value is None else f", {x.ratio.value:.2g} times the share"
    return (
        f"Loss depends on {by.title}: of “{x.level}” {_share(x.lost)} were lost, "
        f"{100 * abs(d.value):.1f} points [{100 * low:.1f}, {100 * high:.1f}] {more} than of the "
        f"rest{ratio}."
    )


def _of_attribute(c: Composed) -> str:
    head = c.title[:1].upper() + c.title[1:]
    pair = f"{c.contrast_level} or {c.against_level}"
    if c.complete.value is None:
        return f"{head}: no picture that came is read as {pair}."
    worst = "anything" if c.worst.low is None or c.worst.high is None else _ends(c.worst)
    side = _side(c.worst, c.parity)
    sure = (
        f", so that it is {side} {100 * c.parity:g} % whatever those lost show"
        if side
        else f", so that the side of {100 * c.parity:g} % cannot be told without an assumption"
    )
    return (
        f"{head} ({c.labels}): of the pictures that came and are read as {pair}, "
        f"{_share(c.complete)} are read as {c.contrast_level}; re-weighted for loss, "
        f"{_share(c.reweighted)}, {IF_AT_RANDOM}. If nothing is assumed of those lost or unknown, "
        f"{worst}{sure}."
    )


def _side(e: Estimate, parity: float) -> str:
    if e.low is not None and e.low > parity:
        return "above"
    return "below" if e.high is not None and e.high < parity else ""


def _ends(e: Estimate) -> str:
    assert e.low is not None
    assert e.high is not None
    return f"{100 * e.low:.1f} to {100 * e.high:.1f} %"


def _share(e: Estimate) -> str:
    if e.value is None:
        return "an unknown part"
    if e.low is None or e.high is None:
        return f"{100 * e.value:.1f} %"
    return f"{100 * e.value:.1f} % [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _p(p: float | None) -> str:
    if p is None:
        return "not given"
    return "under 0.001" if p < 0.001 else f"= {p:.3f}"


def how_measured(r: NonresponseResult, config: NonresponseConfig) -> tuple[str, ...]:
    """The method, a sentence a part."""
    out = [
        f"A picture came where img2dataset's status is success: {r.n_came:,} of {r.n_tried:,} "
        f"rows, of {r.n_domains:,} registered domains. Any other status is loss.",
        "Loss by group: each level against all other rows, as a difference and a ratio, with "
        "domains as clusters. The test of dependence is Pearson's chi-square with the correction "
        "of Rao and Scott (1984) for domains; p-values are adjusted over the groups (Benjamini and "
        "Hochberg 1995). The finding names the level that is surely furthest from the others: its "
        "interval does not know that it was chosen among them.",
    ]
    w = r.weighting
    if w is not None and r.composed:
        by = ", ".join(w.by) or "nothing but the rate"
        out.append(
            f"Re-weighted: each picture that came counts by one over its chance to come, by a "
            f"logistic model of {by} ({w.n_effects} effects), fitted so that the weighted margins "
            f"of these levels are those of all rows tried (off by {100 * w.imbalance:.3f} % of "
            f"the rows at most). The {r.n_came:,} pictures are then worth {w.effective:,.0f} of "
            "equal weight."
        )
        if w.n_trimmed:
            out.append(
                f"{w.n_trimmed} weights above 20 times the median were cut: what these rows stand "
                "for is under-represented."
            )
    if r.composed:
        target = (
            f"a set of {config.population:,} rows that the tried ones are a random sample of"
            if config.population
            else "the very large set that the rows tried are a random sample of; give --population "
            "if its size is known, their own number if they are all of it"
        )
        out.append(f"Shares are of {target}.")
        out.append(
            "Bounds: every lost picture, and every one whose level is unknown, may be of either "
            "level or of none (Manski 1990), with the interval of Imbens and Manski (2004) for the "
            "share itself. Between them and loss at random stand odds: how many times likelier "
            "the level is among those lost than among pictures like them that came."
        )
    if w is not None and w.fit is not None and (w.fit.slope.high or 1.0) < 1:
        out.append(
            "For domains that it has not seen the model is too extreme (a calibration slope below "
            "1): the weights vary more than loss does. Fewer groups in --response-by would help."
        )
    for c in r.composed:
        out += [f"{c.title[:1].upper()}{c.title[1:]}: {note}." for note in c.notes]
    return tuple(out)


def cannot_say(
    r: NonresponseResult, notes: tuple[str, ...], no_labels: tuple[str, ...]
) -> tuple[str, ...]:
    """What must not be read into the numbers."""
    out = [*notes, AT_RANDOM]
    if r.fetched is None:
        out.append(
            "When the links were tried is not known (no _stats.json beside the tables): say it "
            "with --fetched. Links die and come back."
        )
    else:
        crawled = f", of a crawl of {' to '.join(dict.fromkeys(r.crawled))}" if r.crawled else ""
        out.append(
            f"The verdict is of {r.fetched[1]}{crawled}: links die, and some come back. A later "
            "download would lose others."
        )
    out.append(
        "A lost link may be a server that refused this reader, a site that opted out, or a fault "
        "of the network here: the reasons above tell some of that apart. What came may be another "
        "picture than the one that was crawled."
    )
    out.append(
        "A country-code domain is a registry, not where people in a picture live; a caption's "
        "words are not what a picture shows."
    )
    if r.composed:
        out.append(
            "Labels are a classifier's reading unless they say otherwise: their errors are in no "
            "interval here. Perceived gender presentation and skin tone are not identity."
        )
    if r.why_not_weighted:
        out.append(f"No share was re-weighted: {r.why_not_weighted}.")
    if r.weighting is not None and r.weighting.n_together:
        out.append(
            f"{r.weighting.n_together} levels of the response groups have too few pictures that "
            "came: they are weighted together, as if loss fell on them alike."
        )
    if no_labels or not r.composed:
        named = f" of {', '.join(no_labels)}" if no_labels else ""
        out.append(
            f"No labels{named} were given: what loss does to its shares is not known (--scores, or "
            "--model)."
        )
    return tuple(out)
