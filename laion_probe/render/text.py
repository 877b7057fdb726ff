"""Numbers and words as a reader sees them; nothing in here computes a statistic.

A share is shown in percent with its interval, ``36.2 % [29.8, 42.5]``, a difference in points with
its sign, ``+7.1 points [+2.0, +12.2]``, a ratio with two decimals; where every row was read there
is "(all counted)" for an interval. What the data do not define is said in words. Text from a data
set is made harmless and legible by `clean`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from laion_probe.estimate import is_full_count
from laion_probe.results import Estimate, StepEffect

__all__ = [
    "NBSP",
    "Form",
    "Shown",
    "attribute_name",
    "clean",
    "confidence_words",
    "count",
    "join",
    "level_name",
    "number",
    "outcome_words",
    "removal_words",
    "show",
]

Form = Literal["share", "points", "ratio", "range", "points-range"]

MINUS = "\N{MINUS SIGN}"
NBSP = "\N{NO-BREAK SPACE}"

# Unbalanced, these reorder what stands around a caption; shown by their code point instead.
_BIDI_CONTROLS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_TABLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # C0, by Unicode's pictures of them
    **dict.fromkeys((9, 10, 13, 8232, 8233), " "),
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{code: f"⟨U+{code:04X}⟩" for code in (*range(0x80, 0xA0), *_BIDI_CONTROLS)},
    # No file format takes these: lone surrogates break UTF-8, the others break XML.
    **dict.fromkeys((*range(55296, 57344), 65534, 65535), "�"),
}

_ATTRIBUTES = {
    "gender": "perceived gender presentation",
    "gender_presentation": "perceived gender presentation",
    "skin": "perceived skin tone",
    "skin_tone": "perceived skin tone",
}

_OUTCOMES = {
    "keep": "kept",
    "drop": "dropped",
    "route": "routed to another set",
    "rewrite": "rewritten",
    "emptied": "emptied by the rewrite",
    "not_evaluable": "not evaluable",
}

_CONFIDENCE = {
    "verified": "read in the source itself",
    "secondary": "from a secondary source",
    "from memory": "from memory, unverified",
    "hypothesis": "a hypothesis; nobody has published that it was done",
    "user": "set by the user",
}


def clean(text: str) -> str:
    r"""Text with control characters, bidi overrides and lone surrogates made visible.

    Examples:
        >>> clean("a\x1b[31mb\u202ec")
        'a␛[31mb⟨U+202E⟩c'
    """
    return text.translate(_TABLE)


def attribute_name(key: str) -> str:
    """What an attribute is called on the page: perception is named as such."""
    return _ATTRIBUTES.get(key, key.replace("_", " "))


def level_name(key: str) -> str:
    """What a level is called on the page."""
    return key.replace("_", " ")


def confidence_words(confidence: str) -> str:
    """How sure we are that a step ran as described, in words."""
    return _CONFIDENCE[confidence]


def outcome_words(outcome: str) -> str:
    """A step's outcome in words, ``route:multi`` as "routed to multi".

    Examples:
        >>> outcome_words("not_evaluable"), outcome_words("route:nolang")
        ('not evaluable', 'routed to nolang')
    """
    verb, _, where = outcome.partition(":")
    if verb == "route" and where:
        return f"routed to {level_name(where)}"
    known = _OUTCOMES.get(verb.replace(" ", "_"), level_name(verb))
    return f"{known} ({level_name(where)})" if where else known


def removal_words(step: StepEffect) -> str:
    """Why a step's removal has no number, or an empty string where it has one.

    Zero is a finding; each of these is the absence of one, and is never shown as 0 %.
    """
    if not step.observable:
        return "not observable: the input had passed this step before we saw it"
    if step.simulated == "no":
        return "not simulated: this step was not run on the rows"
    judged = [n for outcome, n in step.outcomes.items() if _outcome(outcome) != "not_evaluable"]
    if step.outcomes and not any(judged):
        return "not evaluable: the rows lack the column or the score that this step reads"
    if step.removed_share.value is None:
        return f"no rate: {step.removed_share.method}"
    return ""


def _outcome(outcome: str) -> str:
    return outcome.partition(":")[0].replace(" ", "_")


def join(words: list[str] | tuple[str, ...], last: str = "and") -> str:
    """Words as a list in a sentence.

    Examples:
        >>> join(["woman", "man"], "or")
        'woman or man'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def count(n: int) -> str:
    """A count with its thousands set off."""
    return f"{n:,}".replace("-", MINUS)


def number(value: float, digits: int, *, signed: bool = False) -> str:
    """A number with fixed decimals, a real minus sign, and no minus zero.

    Examples:
        >>> number(-0.04, 1), number(3.25, 1, signed=True)
        ('0.0', '+3.2')
    """
    rounded = round(value, digits)
    if rounded == 0:
        return f"{0:.{digits}f}"
    sign = "+" if signed else ""
    return f"{rounded:{sign}.{digits}f}".replace("-", MINUS)


@dataclass(frozen=True)
class Shown:
    """An estimate as text: the number with its unit, and its interval (either may be empty)."""

    value: str
    interval: str

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".strip()


def show(estimate: Estimate, form: Form) -> Shown:
    """The estimate in words of its kind; "not defined" where the data do not define it.

    The two ranges show only their ends, for bounds, which claim no middle.

    Examples:
        >>> e = Estimate(value=0.362, low=0.298, high=0.425, n=221, units=9, method="Wilson")
        >>> str(show(e, "share")).replace(NBSP, " ")
        '36.2 % [29.8, 42.5]'
    """
    if form in ("range", "points-range"):
        if estimate.low is None or estimate.high is None:
            return Shown("not defined", "")
        digits = _digits(estimate, form)
        signed, unit = (False, "%") if form == "range" else (True, "points")
        low, high = (
            number(100 * end, digits, signed=signed) for end in (estimate.low, estimate.high)
        )
        return Shown(f"{low} to {high}{NBSP}{unit}", "")
    if estimate.value is None:
        return Shown("not defined", "")
    signed = form == "points"
    scale = 1 if form == "ratio" else 100
    unit = {"share": f"{NBSP}%", "points": f"{NBSP}points"}.get(form, "")
    digits = _digits(estimate, form)
    value = number(scale * estimate.value, digits, signed=signed) + unit
    if estimate.low is None and estimate.high is None:
        return Shown(value, "(no interval)")
    if is_full_count(estimate):
        return Shown(value, "(all counted)")
    ends = [
        "not bounded" if end is None else number(scale * end, digits, signed=signed)
        for end in (estimate.low, estimate.high)
    ]
    return Shown(value, f"[{ends[0]},{NBSP}{ends[1]}]")


def _digits(estimate: Estimate, form: Form) -> int:
    """Decimals that ``n`` can carry; enough of them that few never reads as 0 %, most as 100 %."""
    digits = 2 if form == "ratio" else 1
    if form != "ratio" and estimate.n < 50:
        digits = 0
    value = estimate.value
    if form == "share" and value not in (None, 0, 1):
        while digits < 6 and round(100 * value, digits) in (0, 100):
            digits += 1
    return digits
