"""What a claim says of the change that it is of, and the estimates by which it says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from laion_probe.results import Claim, Estimate, Shift
from laion_probe.robustness_result import Verdict

__all__ = ["Told", "told"]


@dataclass(frozen=True)
class Told:
    """A claim's answer. ``estimate`` is the change that it quotes (None where there is none).

    ``by`` names the estimate that decides: "difference", "corrected" (raters') or
    "with_known_errors", which is then the ``range`` beside what is quoted.
    """

    shift: Shift
    verdict: Verdict
    by: str
    estimate: Estimate | None
    range: Estimate | None


def told(claim: Claim, shifts: Sequence[Shift]) -> Told:
    """The answer of a claim of a run (or of a rerun) with these shifts, by its own interval.

    >>> few = {"value": 0.1, "low": 0.02, "high": 0.2, "n": 90, "units": 9, "method": "made up"}
    >>> shift = Shift(attribute="a", contrast_level="b", from_stage="pool", to_stage="generated",
    ...     difference=Estimate(**few), ratio=Estimate(**few), paired=False)
    >>> claim = Claim(id="x:a", text="", supported=True, estimate="/shifts/0/difference")
    >>> told(claim, [shift]).verdict
    'higher'
    """
    index, by = claim.estimate.split("/")[2:]
    shift = shifts[int(index)]
    quoted = shift.corrected if by == "corrected" else shift.difference
    decides = shift.with_known_errors if by == "with_known_errors" else None
    return Told(shift, _verdict(claim, quoted), by, quoted, decides)


def _verdict(claim: Claim, quoted: Estimate | None) -> Verdict:
    if not claim.supported or quoted is None or quoted.value is None:
        return "cannot tell"
    return "higher" if quoted.value > 0 else "lower" if quoted.value < 0 else "no change"
