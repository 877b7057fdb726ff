"""Explanations in words: what each says of a row, why a verdict, what would decide it."""

from __future__ import annotations

import math

from laion_probe.estimators.neighbourhood_contrast import MIN_OTHERS, NeighbourhoodContrast
from laion_probe.outliers_result import ExplanationKind, NullRegion, Verdict
from laion_probe.questions.explaining_counts import ALL, Counts, ExplainOptions
from laion_probe.results import Estimate

__all__ = [
    "MASS",
    "TITLES",
    "decided_by",
    "odds_in_words",
    "reason_for",
    "too_few",
    "without_contrast",
]

TITLES: dict[ExplanationKind, str] = {
    "over-represented": "over-represented in the data",
    "over-represented-deduplicated": "over-represented, near-duplicates counted once",
    "short-captions": "short captions",
    "no-caption": "no caption at all",
    "emptied": "captions emptied by the recipe",
    "other-languages": "captions not called English",
    "words-removed": "ban list or removal of names",
    "near-duplicates": "near-duplicates",
    "few-domains": "few domains",
    "survives": "survives the recipe more often",
}
#: Explanations that compare how many rows lie at places of the data.
MASS = ("over-represented", "over-represented-deduplicated")


def reason_for(
    kind: ExplanationKind,
    counts: Counts,
    found: NeighbourhoodContrast,
    options: ExplainOptions,
    detector: str,
) -> str:
    """The numbers behind a verdict, in one sentence."""
    odds = found.odds_ratio
    if odds.low is None:
        return f"not contrasted: {found.reason}"
    if kind in MASS:
        shares = (
            f"{_percent(found.here)} of the {counts.of} lie in this neighbourhood"
            f"{_does(kind, options, detector)}, "
            f"{_percent(found.elsewhere)} as near to a typical other place of the data"
        )
    else:
        shares = (
            f"{_percent(found.here)} of {counts.here[1]:,} {_rows(counts)} "
            f"{_does(kind, options, detector)} here, "
            f"{_percent(found.elsewhere)} in a typical other neighbourhood"
        )
    return f"{shares}: {odds_in_words(odds)}, {_tail(odds, found.verdict, options.null)}"


def without_contrast(
    kind: ExplanationKind, counts: Counts, options: ExplainOptions, detector: str
) -> str:
    """Why a property that no row has, or every row, sets nothing apart."""
    hits, rows = counts.everywhere
    return (
        f"{counts.here[0]:,} of {counts.here[1]:,} {_rows(counts)} "
        f"{_does(kind, options, detector)} here, and {hits:,} of {rows:,} of all that was read: "
        "under this recipe it cannot set the neighbourhood apart"
    )


def too_few(counts: Counts) -> str:
    """Why nothing is weighed on a few rows."""
    return f"only {counts.here[1]:,} of the {counts.of} are here"


def decided_by(kind: ExplanationKind, counts: Counts, found: NeighbourhoodContrast) -> str:
    """What would decide an explanation that was weighed and is open: rows, or an intervention.

    More rows of this neighbourhood help as long as their number leaves more doubt than the spread
    of other neighbourhoods does.
    """
    if sum(rows > 0 for _, rows in counts.others) < MIN_OTHERS:
        return "more data, with other neighbourhoods of like density"
    hits, rows = counts.here
    noise = 1 / (hits + 0.5) + 1 / (rows - hits + 0.5)
    if kind not in MASS and noise > (found.between or 0.0) ** 2:
        return "more pictures of this neighbourhood"
    return (
        "training with and without it (laion-probe testbed): neighbourhoods differ so much among "
        "themselves that more rows would not decide it"
    )


def _rows(counts: Counts) -> str:
    return "rows" if counts.of == ALL else counts.of


def _does(kind: ExplanationKind, options: ExplainOptions, detector: str) -> str:
    match kind:
        case "over-represented":
            return ""
        case "over-represented-deduplicated":
            return ", near-duplicates counted once"
        case "short-captions":
            words = "word" if options.short_words == 1 else "words"
            return f"have {options.short_words} {words} or fewer"
        case "no-caption":
            return "have no caption"
        case "emptied":
            return "had a caption that the recipe left without words"
        case "other-languages":
            return f"are not called English by {detector}"
        case "words-removed":
            return "are hit by a ban list or a removal of names"
        case "near-duplicates":
            return "have a near-duplicate beside them"
        case "few-domains":
            return "are from the five domains that are most frequent near them"
        case "survives":
            return "are kept by the recipe"


def odds_in_words(e: Estimate) -> str:
    """An odds ratio with its ends; an end that the data leave open is said to be so.

    >>> like = {"level": 0.95, "n": 200, "units": 13, "method": "m"}
    >>> odds_in_words(Estimate(value=7.92, low=0.0058, high=2637.0, **like))
    'odds ratio 7.9 [0.0058, over 1,000]'
    >>> odds_in_words(Estimate(value=None, low=1.9, high=None, **like))
    'odds ratio of 1.9 or more, with no upper end'
    """
    low, high = e.low or 0.0, e.high
    if high is None and low == 0:
        return "odds ratio open at both ends"
    if high is None:
        value = "" if e.value is None else f" {_figures(e.value)},"
        of = "" if value else " of"
        return f"odds ratio{value}{of} {_figures(low)} or more, with no upper end"
    value = "" if e.value is None else f" {_figures(e.value)}"
    return f"odds ratio{value} [{_figures(low)}, {_figures(high)}]"


def _figures(ratio: float) -> str:
    """Two figures, never in powers of ten; what is past telling is said in a word."""
    if ratio >= 1000:
        return "over 1,000"
    if 0 < ratio < 0.001:
        return "under 0.001"
    if ratio == 0:
        return "0"
    return f"{ratio:.{max(0, 1 - math.floor(math.log10(ratio)))}f}"


def _tail(odds: Estimate, verdict: Verdict, null: NullRegion) -> str:
    low, high = odds.low or 0.0, odds.high
    if verdict == "supported":
        return "more than elsewhere" if low > 1 else "less than elsewhere"
    if verdict == "contradicted":
        less = high is not None and high < null.low
        return "less than elsewhere" if less else "no more than elsewhere"
    return f"which does not settle whether it lies beyond {null.low:g} to {null.high:g}"


def _percent(e: Estimate) -> str:
    share = 100 * (e.value or 0.0)
    return f"{share:.2g} %" if 0 < share < 0.1 else f"{share:.1f} %"
