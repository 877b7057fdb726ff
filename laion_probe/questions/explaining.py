"""Why a model draws something unasked: each explanation measured at its place in the data.

An explanation is a contrast of one neighbourhood of the training data with others of like size and
density, under a recipe that the data may have passed on the way to the model. What is found is an
association: whether a model draws less of something when its captions are changed, only training
can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from laion_probe.estimate import clopper_pearson, count_share, ratio_independent
from laion_probe.estimators.neighbourhood_contrast import ContrastOptions, neighbourhood_contrast
from laion_probe.outliers_result import Explanation, ExplanationKind, RecipeWeighed, Verdict
from laion_probe.questions.explaining_counts import (
    ALL,
    CAPTIONS,
    KEPT,
    Counts,
    ExplainOptions,
    Places,
    count,
    find_places,
)
from laion_probe.questions.explaining_rows import Replayed, can_empty, replay, takes_words
from laion_probe.questions.explaining_words import (
    TITLES,
    decided_by,
    reason_for,
    too_few,
    without_contrast,
)
from laion_probe.questions.inputs import Progress
from laion_probe.recipes import Recipe
from laion_probe.regions import Neighbourhoods
from laion_probe.results import Estimate
from laion_probe.vectors import Embeddings

__all__ = ["MIN_ROWS", "ExplainOptions", "weigh"]

#: With fewer rows to look at here, an explanation is not weighed.
MIN_ROWS = 20
#: A property that no row has is called absent when its share is surely below this.
_ABSENT = 0.01
_NEEDS_CAPTIONS = ("short-captions", "no-caption", "emptied", "other-languages", "words-removed")


@dataclass(frozen=True)
class _Settled:
    """A verdict that needs no contrast, and why."""

    verdict: Verdict
    reason: str
    decided_by: str = ""


def weigh(
    hoods: Neighbourhoods,
    data: Embeddings,
    recipes: Sequence[Recipe],
    options: ExplainOptions,
    progress: Progress,
) -> tuple[RecipeWeighed, ...]:
    """Weigh every explanation under each recipe, one `RecipeWeighed` a recipe.

    Intervals of the contrasts hold for all explanations of a recipe that needed one. A property
    that no row read has (or that all have) is *contradicted* where its share is surely below 1 %
    (or above 99 %): under that recipe it cannot set this neighbourhood apart. Raises `ShardError`
    where a part of data with metadata has none.

    >>> weighed = weigh(hoods, data, [load_recipe("none")], ExplainOptions(), progress)
    ... # doctest: +SKIP
    >>> [e.verdict for e in weighed[0].explanations if e.kind == "no-caption"]  # doctest: +SKIP
    ['supported']
    """
    places = find_places(hoods, data, options, progress)
    out = []
    for done, recipe in enumerate(recipes, 1):
        replayed = replay(places.read, recipe, options.already)
        out.append(_weigh_one(recipe, replayed, places, data.n_rows))
        progress("weigh explanations", done, len(recipes))
    return tuple(out)


def _weigh_one(recipe: Recipe, replayed: Replayed, places: Places, n_rows: int) -> RecipeWeighed:
    counted: dict[ExplanationKind, Counts] = {}
    settled: dict[ExplanationKind, _Settled] = {}
    for kind in TITLES:
        why = _not_looked_at(kind, recipe, replayed, places)
        if why is None:
            counted[kind] = count(kind, places, replayed)
            why = _not_weighed(kind, counted[kind], places.options, replayed.detector)
        if why is not None:
            settled[kind] = why
    together = tuple(kind for kind in TITLES if kind not in settled)
    null = places.options.null
    options = ContrastOptions(
        level=places.options.level,
        together=max(1, len(together)),
        null=(null.low, null.high),
    )
    return RecipeWeighed(
        recipe=recipe.name,
        title=recipe.title,
        n_rows=n_rows,
        n_kept=round(n_rows * _kept(places, replayed)),
        data_share=_data_share(places, replayed),
        explanations=tuple(
            _explanation(kind, counted.get(kind), settled.get(kind), (places, replayed, options))
            for kind in TITLES
        ),
        together=together,
        notes=(*_notes(places, replayed, n_rows), *replayed.notes),
    )


def _not_looked_at(
    kind: ExplanationKind, recipe: Recipe, replayed: Replayed, places: Places
) -> _Settled | None:
    """Why an explanation has no counts under this recipe, in these metadata; None where it has."""
    already, columns = places.options.already, places.read.columns
    steps = {
        "emptied": [s for s in recipe.step if can_empty(s)],
        "words-removed": [s for s in recipe.step if takes_words(s)],
        "survives": [recipe.step[i] for i in recipe.deciding],
    }
    if kind in steps:
        if not steps[kind]:
            does = {"emptied": "empties captions", "survives": "removes rows"}
            what = does.get(kind, "removes names, or rows by a ban list")
            return _Settled("not in this recipe", f"no step of the recipe {what}")
        if already is not None and all(already.passed(s) for s in steps[kind]):
            return _Settled(
                "not observable",
                f"the data have passed {already.name} before, so that what this step did to them "
                "cannot be seen",
                f"the pool before {already.name}",
            )
    if kind in _NEEDS_CAPTIONS and "text" not in columns:
        why = "the metadata beside the vectors have no captions"
        return _Settled("not decidable here", why, "captions beside the vectors")
    if kind == "few-domains" and "url" not in columns:
        why = "the metadata beside the vectors have no addresses"
        return _Settled("not decidable here", why, "addresses beside the vectors")
    if kind == "survives" and not replayed.decides:
        lacking = " and ".join(replayed.lacking)
        return _Settled(
            "not decidable here",
            "no step of the recipe that removes rows can be replayed on these metadata",
            f"metadata with {lacking}" if lacking else "all rows of the data, or the steps' tables",
        )
    return None


def _not_weighed(
    kind: ExplanationKind, counts: Counts, options: ExplainOptions, detector: str
) -> _Settled | None:
    """Why counts are not contrasted: too few rows here, or no variation anywhere."""
    hits, rows = counts.everywhere
    constant = hits in (0, rows) and rows > 0 and counts.here[1] > 0
    if constant and clopper_pearson(0, rows, options.level)[1] < _ABSENT:
        return _Settled("contradicted", without_contrast(kind, counts, options, detector))
    if counts.here[1] < MIN_ROWS:
        why = too_few(counts)
        return _Settled("not decidable here", why, "more pictures of this neighbourhood")
    return None


def _explanation(
    kind: ExplanationKind,
    counts: Counts | None,
    settled: _Settled | None,
    context: tuple[Places, Replayed, ContrastOptions],
) -> Explanation:
    places, replayed, options = context
    if counts is None:
        of = {"short-captions": CAPTIONS, "other-languages": CAPTIONS}.get(kind, KEPT)
        counts = Counts((0, 0), (), ALL if kind in ("words-removed", "survives") else of, {})
    if kind == "words-removed":
        options = replace(options, direction="either")
    found = neighbourhood_contrast(counts.here, counts.others, options)
    if settled is None:
        reason = reason_for(kind, counts, found, places.options, replayed.detector)
        is_open = found.verdict == "not decidable here"
        settled = _Settled(
            found.verdict, reason, decided_by(kind, counts, found) if is_open else ""
        )
    return Explanation(
        kind=kind,
        title=TITLES[kind],
        verdict=settled.verdict,
        reason=settled.reason,
        of=counts.of,
        n_hits=counts.here[0],
        n_rows=counts.here[1],
        n_neighbourhoods=sum(rows > 0 for _, rows in counts.others),
        here=found.here,
        elsewhere=found.elsewhere,
        between=found.between,
        risk_difference=found.risk_difference,
        risk_ratio=found.risk_ratio,
        odds_ratio=found.odds_ratio,
        by=counts.by,
        decided_by=settled.decided_by,
    )


def _kept(places: Places, replayed: Replayed) -> float:
    """The share of all the data that the recipe keeps."""
    return float(replayed.kept[places.drawn].mean())


def _data_share(places: Places, replayed: Replayed) -> Estimate:
    """The neighbourhood's share of what the recipe keeps.

    The rows within its radius are counted in all the data; the share of them that is kept is that
    of the neighbourhood's rows, and the share kept of all the data that of the rows read.
    """
    level = places.options.level
    mass, n_rows = places.hoods.mass
    here, drawn = replayed.kept[places.at[0]], replayed.kept[places.drawn]
    near = count_share(int(here.sum()), len(here), max(mass, len(here)), level)
    everywhere = count_share(int(drawn.sum()), len(drawn), max(n_rows, len(drawn)), level)
    ratio = ratio_independent(everywhere, near)
    ends = [None if x is None else x * mass / n_rows for x in (ratio.value, ratio.low, ratio.high)]
    whole = len(here) >= mass and len(drawn) >= n_rows
    return ratio.model_copy(
        update={
            "value": ends[0],
            "low": ends[1],
            "high": ends[2],
            "method": "full count: no sampling error"
            if whole
            else "rows within the radius, times the ratio of shares kept (MOVER on logs)",
        }
    )


def _notes(places: Places, replayed: Replayed, n_rows: int) -> list[str]:
    """What was estimated of the recipe, and by which rows."""
    notes = []
    if not places.read.whole:
        notes.append(
            f"what the recipe keeps of all {n_rows:,} rows is estimated from {len(places.drawn):,} "
            "drawn at random"
        )
    if not replayed.kept.all():
        notes.append(
            "over-representation: rows near this place count by the share that the recipe keeps of "
            "the neighbourhood's rows, rows near other places by the shares that it keeps of the "
            "other neighbourhoods, in a random order"
        )
    return notes
