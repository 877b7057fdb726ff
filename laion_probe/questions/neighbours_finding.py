"""A neighbourhood in words: the finding, how it was measured, and what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from laion_probe.attributes import UNKNOWN, Attribute
from laion_probe.config import NeighboursConfig
from laion_probe.neighbours_result import ConceptNeighbours, ModelCheck, SearchedBy
from laion_probe.results import Composition, Estimate

__all__ = ["answer", "cannot_say", "finding", "how_measured"]

_SHOWN = 8
#: So the rule begins where captions that name the concept are too few for it.
_FALLBACK = "the median similarity of"
#: A share that the threshold moves by less is told without it.
_MATTERS = 0.02


def answer(c: ConceptNeighbours, n_rows: int, reason: str) -> str:
    """What became of one concept, in a sentence."""
    named = f"{c.n_named:,} of {c.n_captions:,} captions that were read name it"
    if c.status == "found":
        least = "" if c.n_near_is_all else "at least "
        # said where the number is: the same threshold for every concept tells little of this one
        how = ", a fallback, since few captions name it" if _FALLBACK in c.threshold_rule else ""
        return (
            f"{least}{c.n_near:,} of {n_rows:,} embedded pictures lie near “{c.name}” by the "
            f"model’s own measure (cosine {c.threshold:.4f} or more{how}), which does not say that "
            f"they show it; {named}."
        ).replace("at least", "At least", 1)
    if c.status == "no threshold":
        return f"No neighbourhood of “{c.name}” is cut: {reason}."
    return f"No match for “{c.name}”: {reason or 'no row reaches the threshold'}; {named}."


def finding(
    concepts: Sequence[ConceptNeighbours], attributes: Sequence[Attribute], by: SearchedBy
) -> tuple[str, ...]:
    """Sentences that can be quoted: each says whose labels it rests on, and what they cannot do."""
    out = []
    for c in concepts[:_SHOWN]:
        if c.status != "found":
            out.append(c.answer)
            continue
        told = [_share(a, c.compositions[a.name], c, by) for a in attributes]
        out.append(
            f"{c.answer} By uncorrected classifier labels, read from the embeddings by the model "
            f"that found them, {'; '.join(told)}."
        )
        if c.shown is not None:
            out += _by_raters(c, attributes)
    if len(concepts) > _SHOWN:
        found = sum(c.status == "found" for c in concepts)
        out.append(f"{found} of {len(concepts)} concepts were found; the others stand below.")
    if by.kind == "index":
        out.append("The rows are what an index found, which misses some of the nearest.")
    return tuple(out)


def _share(a: Attribute, of: Composition, c: ConceptNeighbours, by: SearchedBy) -> str:
    share = of.contrast
    if share.value is None:
        return f"{a.title}: none of them is read as {a.contrast} or {a.against}"
    said = (
        f"{a.title}: {_percent(share.value, share.n)} of the {share.n:,} read as {a.contrast} or "
        f"{a.against} are read as {a.contrast}"
    )
    known, missed = of.with_known_errors, c.missed.get(a.name)
    more = []
    if known is not None and known.low is not None and known.high is not None:
        side = known.low > a.parity or known.high < a.parity
        more.append(
            (
                f"the classifier’s measured errors, if the same here, put it at {_ends(known)}"
                if known.low < known.high
                else "no error was measured that would move it, which excludes none"
            )
            + ("" if side else f", so these data cannot tell on which side of {_parity(a)} it lies")
        )
    if missed is not None and missed.low is not None and by.recall is not None:
        found = f"{100 * by.recall.least:.1f} %"
        more.append(f"if the index finds {found} of what is near, its gaps allow {_ends(missed)}")
    if unknown := of.counts[UNKNOWN]:
        more.append(f"{unknown:,} unknown rows allow {_ends(of.bounds)}")
    if named := _named_by(a, c.keywords):
        more.append(f"“{named}” is in the question, so that the share says what was asked for")
    curve = c.curves.get(a.name)
    if curve is not None and curve.around is not None and curve.around_rows is not None:
        (low, high), (least, most) = curve.around, curve.around_rows
        if high - low >= _MATTERS:
            more.append(
                f"it depends on the threshold: cut at {least:,} to {most:,} rows, "
                f"{100 * low:.1f} to {100 * high:.1f} %"
            )
    return said + (f" ({'; '.join(more)})" if more else "")


def _named_by(a: Attribute, keywords: Sequence[str]) -> str:
    """The word of a concept that is a level of the attribute, or ''."""
    return next((word for word in keywords if word in a.levels[:-1]), "")


def _by_raters(c: ConceptNeighbours, attributes: Sequence[Attribute]) -> list[str]:
    """What raters say of all rows, beside the neighbourhood."""
    s = c.shown
    assert s is not None
    out = []
    if s.total.value is not None:
        text = (
            f"By raters of {s.n_rated:,} of {s.n_drawn:,} pictures drawn from the whole set, an "
            f"estimated {s.total.value:,.0f} of its rows show “{c.name}”"
        )
        if s.total.low is not None and s.total.high is not None:
            text += f" [{s.total.low:,.0f}, {s.total.high:,.0f}]"
        if s.recall is not None and s.recall.value is not None:
            text += f"; {_interval(s.recall)} of them lie near it"
        if s.precision is not None and s.precision.value is not None:
            text += f", and {_interval(s.precision)} of the near rows show it"
        out.append(text + ".")
    if s.n_drawn > s.n_rated:
        out.append(
            f"{s.n_drawn - s.n_rated:,} of the drawn pictures were not rated (they are gone, or "
            f"nobody has rated them yet): whatever those show, {_ends(s.bounds)} of all rows show "
            f"“{c.name}”."
        )
    for a in attributes:
        of = s.compositions.get(a.name)
        if of is None or of.contrast.value is None:
            continue
        text = (
            f"Of all rows that show it, an estimated {_interval(of.contrast)} of those that raters "
            f"see as {a.contrast} or {a.against} are {a.contrast} ({a.title})"
        )
        if s.n_drawn > s.n_rated and of.bounds.low is not None:
            text += f", {_ends(of.bounds)} whatever those not rated show"
        as_read = c.compositions[a.name].contrast
        if as_read.value is not None:
            text += f"; the classifier read {_percent(as_read.value, as_read.n)} near it"
        out.append(text + ".")
    return out


def _percent(value: float, n: int) -> str:
    digits = 0 if n < 50 else 1
    while digits < 6 and value not in (0, 1) and round(100 * value, digits) in (0, 100):
        digits += 1
    return f"{100 * value:.{digits}f} %"


def _interval(e: Estimate) -> str:
    assert e.value is not None
    if e.low is None or e.high is None:
        return _percent(e.value, e.n)
    digits = 0 if e.n < 50 else 1
    ends = f"[{100 * e.low:.{digits}f}, {100 * e.high:.{digits}f}]"
    return f"{_percent(e.value, e.n)} {ends}"


def _ends(e: Estimate) -> str:
    assert e.low is not None and e.high is not None
    digits = 0 if e.n < 50 else 1
    return f"{100 * e.low:.{digits}f} to {100 * e.high:.{digits}f} %"


def _parity(a: Attribute) -> str:
    return f"{100 * a.parity:g} %"


def how_measured(
    config: NeighboursConfig,
    check: ModelCheck,
    by: SearchedBy,
    concepts: Sequence[ConceptNeighbours],
) -> tuple[str, ...]:
    """What was searched, by what, and how each number came about."""
    out = [
        "Each concept is the mean direction of a few prompts; a row’s similarity is the cosine of "
        "its stored vector with it. No picture was opened: attributes are read from the vectors.",
        check.sentence,
        by.why[:1].upper() + by.why[1:] + ".",
    ]
    if by.kind == "exact":
        out.append(
            "Every row was looked at, and read: shares have no sampling error. What is left is "
            "the classifier’s errors, pictures that retrieval takes for the concept and are not, "
            "and those that it leaves out."
        )
    else:
        out.append(
            "Shares are of the rows that the index found; nothing was sampled. Beside the "
            "classifier’s errors, what the index misses can bend them."
        )
        if by.recall is not None:
            out.append(
                "Ranges for what the index misses take its recall to be no lower than "
                f"{by.recall.least:.3f}: one query in twenty of those held out fared worse (with "
                "under 19 of them, the lower end of the worst tenth); and all that is missed to be "
                "of one level or of the other."
            )
        out += by.notes
    n = max((c.n_captions for c in concepts), default=0)
    if config.threshold is None and n:
        out.append(
            f"Thresholds are set by a rule over {n:,} rows whose captions were read, and counted "
            "for each concept by itself. Captions in another language than the concept’s do not "
            "name it."
        )
    if any(c.strata for c in concepts):
        out.append(
            "The sample for raters is stratified by similarity and drawn by a hash of the seed, so "
            "that the same options draw the same rows; every row had a known chance above zero."
        )
    if any(c.shown is not None for c in concepts):
        out.append(
            "“Shows the concept” is what raters say of the sample, weighted by a stratum’s rows "
            "over its rated ones; it is of all rows, and not only of the nearest. Bounds let every "
            "drawn row that was not rated, or that nobody could tell, show it or not, of any level."
        )
    return tuple(out)


def cannot_say(
    by: SearchedBy,
    concepts: Sequence[ConceptNeighbours],
    known: Mapping[str, bool],
) -> tuple[str, ...]:
    """What must not be read into the shares; ``known`` says whose errors were measured."""
    out = [
        "A row near a concept need not show it, and a row that shows it need not be near: the "
        "neighbourhood is the model’s own idea of the concept. Ratings of a sample (--sample) say "
        "how far the two are apart.",
        "Labels are what a classifier, or a rater, sees in a picture. Perceived gender "
        "presentation and skin tone are not identity, and no ethnicity is inferred from skin tone.",
        "The model that finds the rows also reads them: what it takes to be typical of a concept, "
        "it both finds first and reads so. Composition by threshold shows how far that goes.",
        "Parity is a line to read against, not a target.",
    ]
    blind = [name for name, measured in known.items() if not measured]
    if blind:
        out.append(
            f"How often the classifier is wrong on {', '.join(blind)} is not known for pictures "
            "like these: as read, a share is no finding about the pictures."
        )
    if by.kind == "index" and by.recall is None:
        out.append(
            "Nobody measured what part of the true neighbours the index finds: how far that bends "
            "the shares is not known."
        )
    elif by.kind == "index" and by.recall is not None and not by.recall.by_group:
        out.append(
            "Whether the index finds one group’s pictures more easily than another’s was not "
            "measured when it was built."
        )
    if by.recall is not None:
        out.append(
            "The recall that ranges allow for is that of a tenth of the held-out queries taken "
            "together: of a single concept the index may find less, and the range is then too "
            "narrow."
        )
    if by.recall is not None and "text" not in by.recall.by_query:
        out.append(
            "The index’s recall was measured with stored pictures as queries. A concept’s query is "
            "made of words, and lies elsewhere: an index may find less of its neighbours."
        )
    if not any(c.shown is not None for c in concepts):
        out.append(
            "No rating says how many rows of the whole set show a concept: that count is not known."
        )
    return tuple(out)
