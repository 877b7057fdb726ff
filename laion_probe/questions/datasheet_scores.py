"""How numbers are distributed in two sets: sizes and scores that rows give, lengths of captions."""

from __future__ import annotations

from collections.abc import Iterator

from laion_probe.data_result import DataResult, ScoreFacts
from laion_probe.questions.datasheet_data_groups import is_complete
from laion_probe.results import Value

__all__ = [
    "ChangedScore",
    "changed_scores",
    "median_words",
    "quantile_words",
    "score_words",
    "shown",
]

_MEDIAN = "50"


class ChangedScore(Value):
    """A number of rows in the two sets by its quantiles, in percent; None where not measured.

    ``n_before`` and ``n_after`` rows have it. Only where both sets were read ``whole`` is a
    difference of quantiles one of the sets: those of a sample have no interval.
    """

    name: str
    title: str
    n_before: int | None
    n_after: int | None
    before: dict[str, float] | None
    after: dict[str, float] | None
    whole: bool

    @property
    def medians(self) -> tuple[float | None, float | None]:
        """Of the two; None where not measured, or no row has the number."""
        before, after = ((ends or {}).get(_MEDIAN) for ends in (self.before, self.after))
        return before, after

    @property
    def quantiles(self) -> tuple[tuple[str, float | None, float | None], ...]:
        """Each in percent, with its number of the two."""
        one, two = self.before or {}, self.after or {}
        return tuple((at, one.get(at), two.get(at)) for at in dict.fromkeys((*one, *two)))


def changed_scores(a: DataResult | None, b: DataResult | None) -> tuple[ChangedScore, ...]:
    """Every number that the rows of one of the two have, in their order; none if neither counted.

    >>> changed_scores(None, None)
    ()
    """
    one, two = ({s.name: s for s in d.scores} if d else {} for d in (a, b))
    whole = a is not None and b is not None and is_complete(a) and is_complete(b)
    return tuple(_changed(one.get(s), two.get(s), whole) for s in dict.fromkeys((*one, *two)))


def _changed(before: ScoreFacts | None, after: ScoreFacts | None, whole: bool) -> ChangedScore:
    known = before or after
    assert known is not None
    return ChangedScore(
        name=known.name,
        title=known.title,
        n_before=before.n if before else None,
        n_after=after.n if after else None,
        before=before.quantiles if before else None,
        after=after.quantiles if after else None,
        whole=whole,
    )


def median_words(scores: tuple[ChangedScore, ...]) -> Iterator[str]:
    """The medians that are others, of sets that were read whole.

    >>> list(median_words(()))
    []
    """
    for s in scores:
        before, after = s.medians
        if s.whole and before is not None and after is not None and before != after:
            yield f"{score_words(s)} {shown(before)} before, {shown(after)} after"


def score_words(s: ChangedScore) -> str:
    """What is measured, with its name where that is another word."""
    title = s.title.partition(",")[0]
    return title if s.name in title else f"{title} ({s.name})"


def shown(value: float) -> str:
    """A quantile, which has three significant digits.

    >>> shown(0.0127), shown(21.0), shown(12300.0)
    ('0.0127', '21', '12,300')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def quantile_words(percent: str) -> str:
    """What a quantile is called.

    >>> quantile_words("0"), quantile_words("50"), quantile_words("95")
    ('least', 'median', '95 % have no more')
    """
    named = {"0": "least", _MEDIAN: "median", "100": "largest"}
    return named.get(percent, f"{percent} % have no more")
