"""What was expected beforehand, held against what the claims of a run say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from laion_probe.errors import ConfigError
from laion_probe.preregistration import (
    Direction,
    Expectation,
    Outcome,
    Registered,
    RegisteredClaim,
)
from laion_probe.questions.robustness_verdict import told
from laion_probe.results import Claim, Shift

__all__ = ["Expected", "check_expected", "compared", "counted", "parse_expected"]

_OPPOSITE = {"higher": "lower", "lower": "higher"}
_FORM = re.compile(r"(?P<claim>[^=]+)=(?P<answer>[^:]*)(?::(?P<words>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Expected:
    """An expectation as it is written: a claim of the plan, what is expected, and why in words."""

    claim: str
    answer: Direction
    words: str


def parse_expected(text: str) -> Expected | None:
    """CLAIM=ANSWER or CLAIM=ANSWER: WORDS; None for anything else, such as words alone.

    >>> parse_expected("recipe:skin_tone=higher: few captions of them are English")
    Expected(claim='recipe:skin_tone', answer='higher', words='few captions of them are English')
    >>> parse_expected("fewer women after the recipe")
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    answer = " ".join(found["answer"].lower().split())
    if answer not in get_args(Direction):
        return None
    words = (found["words"] or "").strip()
    return Expected(found["claim"].strip(), cast(Direction, answer), words)


def check_expected(texts: Iterable[str], claims: Sequence[RegisteredClaim]) -> None:
    """Raise `ConfigError` for an expectation that names no claim of a plan, or one named before."""
    known = "; ".join(f"{c.id} ({c.about})" for c in claims)
    seen = set()
    for text in texts:
        if not claims:
            raise ConfigError(
                f"--expect '{text}': this plan makes no claim, since there is nothing to compare; "
                "leave it out, or give pictures with a recipe that removes, or generated pictures"
            )
        one = parse_expected(text)
        if one is None:
            raise ConfigError(
                f"--expect '{text}' is not CLAIM=higher, CLAIM=lower or CLAIM=no change (words of "
                f"your own may follow after a colon); the claims: {known}"
            )
        if one.claim not in {c.id for c in claims}:
            raise ConfigError(
                f"--expect '{text}': this plan makes no claim '{one.claim}'; it makes: {known}"
            )
        if one.claim in seen:
            raise ConfigError(f"--expect names {one.claim} twice: one expectation a claim")
        seen.add(one.claim)


def compared(
    registered: Registered, used: Registered, claims: Sequence[Claim], shifts: Sequence[Shift]
) -> tuple[Expectation, ...]:
    """Every expectation beside what the run says, by the interval of its claim.

    A claim of the same id is another claim where ``used`` says that it is about something else,
    another concept, say: what was expected is then not measured.
    """
    made = {c.id: c for c in claims}
    return tuple(_compared(text, registered, used, made, shifts) for text in registered.expected)


def _compared(
    text: str,
    registered: Registered,
    used: Registered,
    made: Mapping[str, Claim],
    shifts: Sequence[Shift],
) -> Expectation:
    one = parse_expected(text)
    about = {c.id: c.about for c in registered.claims}
    if one is None or one.claim not in about:
        reason = "the plan's words name none of its claims"
        return Expectation(words=text, outcome="not compared", reason=reason)
    open_one = Expectation(
        words=one.words,
        claim=one.claim,
        about=about[one.claim],
        expected=one.answer,
        outcome="not measured",
    )
    claim = made.get(one.claim)
    if reason := _another(one.claim, registered, used):
        return open_one.model_copy(update={"reason": reason})
    if claim is None:
        return open_one.model_copy(update={"reason": "the run makes no such claim"})
    found = told(claim, shifts)
    outcome: Outcome
    if found.verdict == "cannot tell":
        outcome = "cannot tell"
    elif found.verdict == one.answer:
        outcome = "as expected"
    else:
        outcome = "the opposite" if _OPPOSITE.get(one.answer) == found.verdict else "otherwise"
    numbers = {"outcome": outcome, "estimate": found.estimate, "range": found.range}
    return open_one.model_copy(update=numbers)


def _another(claim: str, registered: Registered, used: Registered) -> str:
    """Why a claim of the run is not the one of the plan, whatever its id; '' where it is."""
    was, now = (str(x.options["concept"]) for x in (registered, used))
    if was.casefold() != now.casefold():
        return f"the run is of another concept: {now}"
    planned, mine = ({c.id: c.about for c in x.claims} for x in (registered, used))
    if claim in mine and planned[claim] != mine[claim]:
        return f"the run measures another thing: {mine[claim]}"
    return ""


def counted(expectations: Sequence[Expectation]) -> str:
    """How many expectations came out how, as a sentence; '' where nothing was expected.

    >>> counted([Expectation(words="", outcome="cannot tell")])
    'Of 1 expectation: these data cannot tell in 1.'
    """
    if not expectations:
        return ""
    names: dict[Outcome, str] = {
        "as expected": "as expected in",
        "the opposite": "the opposite in",
        "otherwise": "otherwise than expected in",
        "cannot tell": "these data cannot tell in",
        "not measured": "not measured in",
        "not compared": "not compared in",
    }
    n = Counter(e.outcome for e in expectations)
    said = ", ".join(f"{words} {n[key]}" for key, words in names.items() if key in n)
    return f"Of {len(expectations)} expectation{'s' * (len(expectations) > 1)}: {said}."
