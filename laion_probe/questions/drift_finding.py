"""The finding of a drift run in words, each claim tied to its interval; and what it cannot say."""

from __future__ import annotations

from collections.abc import Sequence

from laion_probe.attributes import UNKNOWN
from laion_probe.config import DriftConfig
from laion_probe.drift_result import AttributeDrift, ColourDrift, Control, UnitRule
from laion_probe.estimate import excludes_zero
from laion_probe.questions.drift_reading import Asked, Sides
from laion_probe.questions.pairs_file import PairsFile
from laion_probe.results import Claim, Estimate, Finding

__all__ = ["cannot_say", "how_measured", "write_finding"]

CANNOT_TELL = "these data cannot tell"

# Above this share of pairs that could not be measured or read, a direction is not told of all: a
# convention of ours, not a statistic.
_MANY_LEFT_OUT = 0.2


def write_finding(
    attributes: Sequence[AttributeDrift],
    colour: ColourDrift | None,
    control: Control | None,
    units: UnitRule,
) -> Finding:
    """A sentence on the colour, one an attribute, one on the control edit, and what was not read.

    A direction is named only where the interval excludes zero, and for levels the exact test agrees
    at the interval's level; otherwise "these data cannot tell". So too where over a fifth of the
    pairs are left out, unless the bounds over all pairs exclude zero. No cause is named: the pairs
    are before and after the edit, and more than the edit may lie between.
    """
    claims: list[Claim] = []
    sentences: list[str] = []
    if colour is not None:
        claim, words = _colour(colour, control)
        claims += claim
        sentences.append(words)
    for i, a in enumerate(attributes):
        claim, words = _attribute(i, a, units)
        claims += claim
        sentences.append(words)
    if control is None:
        sentences.append(
            "There was no control edit (one that asks for nothing), so how much of this any edit "
            "would bring is not known."
        )
    else:
        claim, words = _control(control, attributes, colour)
        claims += claim
        sentences.append(words)
    if colour is not None and not _gender_is_read([a.attribute for a in attributes]):
        sentences.append(
            "Perceived gender presentation was not read, so nothing here is about whether it "
            "changes; to read it, name it with --attributes and a model with --pretrained."
        )
    return Finding(sentences=tuple(sentences), claims=tuple(claims))


def _gender_is_read(attributes: Sequence[str]) -> bool:
    """Whether an attribute is named after gender, a user's own included."""
    return any("gender" in name.casefold() for name in attributes)


def _colour(colour: ColourDrift, control: Control | None) -> tuple[list[Claim], str]:
    if not colour.n_measured:
        return [], (
            f"The skin region could be measured on both sides of none of {_pairs(colour.n_pairs)}: "
            f"{CANNOT_TELL} how its colour changes."
        )
    e = colour.lightness.mean
    n_left_out = colour.n_pairs - colour.n_measured
    of = f"{colour.n_measured} of {_pairs(colour.n_pairs)} in which it could be measured"
    change = f"{_way(e)} by {_size(e)} L* on average {_abs(e)} (typology angle "
    change += f"{_ita(colour.ita.mean)}{_other_centres(colour)})"
    directed = excludes_zero(e)
    supported = directed and not _many(n_left_out, colour.n_pairs)
    if supported:
        text = f"after the edit the skin region is {change}, over {of}"
    elif directed:
        text = (
            f"{CANNOT_TELL} whether the skin region is lighter or darker after the edit, since in "
            f"{n_left_out} of {_pairs(colour.n_pairs)} it could not be measured on both sides; in "
            f"the other {colour.n_measured} it is {change}"
        )
    else:
        text = (
            f"{CANNOT_TELL} whether the skin region is lighter or darker after the edit: the mean "
            f"change is {_number(e.value)} L* {_ends(e)}, over {of}"
        )
    words = f"{_capital(text)}."
    if directed and control is None:
        words += " There are no control pairs: compression or a change of light may have done it."
    return [_claim("colour", text, supported, "/colour/lightness/mean")], words


def _other_centres(colour: ColourDrift) -> str:
    """Other measures of the same change whose interval holds zero, though the mean L* does not."""
    others = {
        "mean typology angle": colour.ita.mean,
        "median L*": colour.lightness.median,
        "median typology angle": colour.ita.median,
    }
    unsure = [name for name, e in others.items() if e.low is not None and not excludes_zero(e)]
    if not unsure:
        return ""
    intervals = "interval of the " if len(unsure) == 1 else "intervals of the "
    verb = "does" if len(unsure) == 1 else "do"
    return f"; the {intervals}{' and the '.join(unsure)} {verb} not exclude zero"


def _attribute(i: int, a: AttributeDrift, units: UnitRule) -> tuple[list[Claim], str]:
    if not a.n_known:
        return [], (
            f"{_capital(a.title)} is unknown before or after in all of "
            f"{_pairs(a.n_pairs)}: {CANNOT_TELL} how it changes. {_capital(_left_out(a))}."
        )
    d = a.main
    at = f"/attributes/{i}/drifts/{a.drifts.index(d)}/difference"
    share = (
        f"{_capital(a.title)} ({a.labels}): read as {_words(a.headline)} in "
        f"{_percent(d.share_before)} of {_pairs(a.n_known)} before the edit and in "
        f"{_percent(d.share_after)} after it"
    )
    points = f"{_difference(d.difference)}{_p(a, units)}"
    n_left_out = a.n_pairs - a.n_known
    directed = excludes_zero(d.difference) and a.p is not None and a.p <= 1 - d.difference.level
    supported = directed and (excludes_zero(a.bounds) or not _many(n_left_out, a.n_pairs))
    if supported:
        text = f"{share}, a change of {points}"
    else:
        text = f"{share}; {CANNOT_TELL} whether this changes: {points}"
    if n_left_out:
        text += f". {_capital(_left_out(a))}"
        if directed:
            text += (
                "; whatever they are, the sign stays"
                if excludes_zero(a.bounds)
                else f"; the {_pairs(n_left_out)} left out as unknown could turn it round"
            )
    return [_claim(f"level:{a.attribute}", text, supported, at)], f"{text}."


def _left_out(a: AttributeDrift) -> str:
    """How many pairs have an unknown level, on which side, and what the bounds allow."""
    level, known = a.headline, [x for x in a.levels if x != UNKNOWN]
    kinds = []
    if n := sum(a.counts[x][UNKNOWN] for x in known):
        kinds.append(
            f"{n} only after the edit ({_words(level)} before in {a.counts[level][UNKNOWN]})"
        )
    if n := sum(a.counts[UNKNOWN][y] for y in known):
        kinds.append(f"{n} only before it ({_words(level)} after in {a.counts[UNKNOWN][level]})")
    if n := a.counts[UNKNOWN][UNKNOWN]:
        kinds.append(f"{n} on both sides")
    return (
        f"{a.n_pairs - a.n_known} of {_pairs(a.n_pairs)} are left out of these shares, their level "
        f"being unknown: {', '.join(kinds)}. Whatever those are, the change over all pairs lies "
        f"within {_ends(a.bounds, 100)} points, sampling included"
    )


def _control(
    control: Control, attributes: Sequence[AttributeDrift], colour: ColourDrift | None
) -> tuple[list[Claim], str]:
    claims: list[Claim] = []
    parts: list[str] = []
    if colour is not None and control.lightness is None:
        parts.append(
            f"{CANNOT_TELL} whether the skin region is lighter or darker (after one of both edits "
            "it could be measured in no pair)"
        )
    elif colour is not None and (e := control.lightness) is not None:
        n = colour.n_pairs + control.n_pairs
        supported = excludes_zero(e) and not _many(n - e.n, n)
        if supported:
            text = f"the skin region is {_way(e)} by {_size(e)} L* {_abs(e)}"
        else:
            text = (
                f"{CANNOT_TELL} whether the skin region is lighter or darker ({_number(e.value)} "
                f"L* {_ends(e)})"
            )
        text += _of_both(e, n, "not measured")
        claims.append(_claim("control:colour", text, supported, "/control/lightness"))
        parts.append(text)
    for a in attributes:
        e = control.differences[a.attribute]
        n = a.n_pairs + control.n_pairs
        supported = excludes_zero(e) and not _many(n - e.n, n)
        share = f"the share read as {_words(a.headline)}"
        edit = a.main.difference.value
        if e.value is None or edit is None:
            text = (
                f"{CANNOT_TELL} whether {share} changes otherwise (no pair of one of both edits is "
                "known before and after)"
            )
        else:
            text = (
                f"{share} changes by {_number(edit, 100)} points after the edit and by "
                f"{_number(edit - e.value, 100)} points after the control edit, a difference of "
                f"{_difference(e)}"
            )
            if not supported:
                text = f"{CANNOT_TELL} whether the edit changes it otherwise: {text}"
            text += _beyond_all(e) + _of_both(e, n, "unknown")
        where = f"/control/differences/{a.attribute}"
        claims.append(_claim(f"control:{a.attribute}", text, supported, where))
        parts.append(text)
    n_control = _pairs(control.n_pairs)
    return claims, f"Compared with the control edit ({n_control}), {'; '.join(parts)}."


def _beyond_all(e: Estimate) -> str:
    """Why a limit may lie beyond 100 points, where one does."""
    if max(abs(e.low or 0), abs(e.high or 0)) <= 1:
        return ""
    return (
        " (two changes of up to 100 points each, in opposite directions, can differ by up to 200)"
    )


def _of_both(e: Estimate, n: int, why: str) -> str:
    """How many of the pairs of both edits are left out, where some are."""
    return f", with {n - e.n} of {n} pairs of both edits left out as {why}" if e.n < n else ""


def how_measured(
    file: PairsFile, sides: Sides, config: DriftConfig, units: UnitRule
) -> tuple[str, ...]:
    """The method, a sentence a part."""
    out = [
        f"Pairs: {len(file.pairs)} rows of {file.name}. Units are {units.words}: {units.n_units} "
        "of them." + (" Some have several pairs." if units.repeated else "")
    ]
    if file.has_pictures:
        out.append(
            f"Pictures: {len(sides.sha256)} different files; the skin region of each is found by "
            "colour, without a face detector, and its median colour taken in CIELAB (D65). Changes "
            "are after minus before: of L*, of the individual typology angle (Chardon et al. "
            "1991), and the CIEDE2000 distance, which has no direction."
        )
    out += [
        f"{_capital(a.title)}: {a.labels}." + (f" {_capital(a.about)}." if a.about else "")
        for a in sides.asked
    ]
    out.append(
        "Shares of a level are of pairs whose level is known on both sides; any other known level "
        "counts as not having it. The bounds are over all pairs, whatever the unknown ones are."
    )
    out.append(
        f"Intervals: {100 * config.level:g} %, for the edit on units like these, clustered by unit "
        "where units repeat. Several attributes and parts are looked at, and none of the intervals "
        "is widened for that."
    )
    return tuple(out)


def cannot_say(
    asked: Sequence[Asked], colour: ColourDrift | None, control: Control | None
) -> tuple[str, ...]:
    """What pairs cannot say."""
    out = []
    if control is None:
        out.append(
            "What any edit would do: compression, lighting, cropping and retouching change a "
            "picture too. Add pairs of a control edit, one that asks for nothing, with control = "
            "yes."
        )
    else:
        out.append("What the control edit does not bring: a change of light, say, that was asked.")
    if colour is not None:
        out.append(
            "Whether skin or light changed: a colour in a picture is both. The region is found "
            "anew on each side and need not be the same part of the person."
        )
        if colour.n_measured < colour.n_pairs:
            out.append(
                f"How the colour changed in the {_pairs(colour.n_pairs - colour.n_measured)} that "
                "could not be measured; the means are of the others."
            )
    if any(not a.given for a in asked):
        out.append(
            "What raters would say: labels read from pictures are not corrected for errors, the "
            "intervals do not contain them, and a reader that errs otherwise on edited pictures "
            "shows a drift where there is none."
        )
    out.append(
        "Who anyone is: perceived gender presentation and skin tone are not identity, and no "
        "ethnicity is inferred from skin tone."
    )
    out.append(
        "Anything that no attribute reads, such as the colour of eyes, hair, the shape of a face. "
        "Give levels as columns (eye_colour_before, eye_colour_after), or an attribute's TOML file "
        "with prompts."
    )
    if colour is not None and not _gender_is_read([a.name for a in asked]):
        out.append(
            "Whether perceived gender presentation changes: it was not read. Name it with "
            "--attributes, and a model with --pretrained."
        )
    out.append("What the edit would do to other people than those it was tried on.")
    return tuple(out)


def _claim(name: str, text: str, supported: bool, where: str) -> Claim:
    return Claim(id=name, text=text, supported=supported, estimate=where)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _pairs(n: int) -> str:
    return f"{n} pair" if n == 1 else f"{n} pairs"


def _words(level: str) -> str:
    return level.replace("_", " ")


def _many(n_left_out: int, n: int) -> bool:
    """Whether so many of the pairs are left out that no direction is told of all."""
    return n_left_out > _MANY_LEFT_OUT * n


def _way(e: Estimate) -> str:
    return "lighter" if (e.value or 0) > 0 else "darker"


def _number(value: float | None, scale: int = 1) -> str:
    if value is None:
        return "not defined"
    shown = f"{scale * value:+.1f}".replace("-", "−")
    return "0.0" if shown[1:] == "0.0" else shown


def _ends(e: Estimate, scale: int = 1) -> str:
    if e.low is None or e.high is None:
        return "(no interval)"
    return f"[{_number(e.low, scale)}, {_number(e.high, scale)}]"


def _difference(e: Estimate) -> str:
    """A difference of shares in points."""
    return f"{_number(e.value, 100)} points {_ends(e, 100)}"


def _size(e: Estimate) -> str:
    return f"{abs(e.value or 0):.1f}"


def _abs(e: Estimate) -> str:
    low, high = sorted((abs(e.low or 0), abs(e.high or 0)))
    return f"[{low:.1f}, {high:.1f}]"


def _ita(e: Estimate) -> str:
    return f"{_number(e.value)}° {_ends(e)}"


def _percent(e: Estimate) -> str:
    return "not defined" if e.value is None else f"{100 * e.value:.0f} %"


def _p(a: AttributeDrift, units: UnitRule) -> str:
    if a.p is None:
        return " (no unit changed)" if units.repeated else " (no pair changed)"
    what = "test over units" if units.repeated else "McNemar test"
    return f" (exact {what}, p {'< 0.0001' if a.p < 1e-4 else f'= {a.p:.2g}'})"
