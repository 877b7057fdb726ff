"""What finished runs answer of a datasheet, question by question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from laion_probe.blocked_result import BlockedResult
from laion_probe.compare_result import CompareResult
from laion_probe.compose_result import ComposeResult
from laion_probe.data_result import DataResult
from laion_probe.datasheet_result import Number
from laion_probe.filters_result import FiltersResult, RecipeAccount
from laion_probe.groups import NONE_NAMED, UNKNOWN
from laion_probe.neighbours_result import NeighboursResult
from laion_probe.nonresponse_result import LossBy, NonresponseResult
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.datasheet_data import Said, brief, of_data
from laion_probe.questions.datasheet_numbers import Source, at, say, size_field
from laion_probe.results import Composition, Document
from laion_probe.scan_result import Reading, ScanResult

__all__ = ["statements_of"]

_FLAGGED_SHOWN, _LOST_SHOWN = 6, 4
#: Levels of captions that name none: they differ because the others do.
_RESTS = (NONE_NAMED, UNKNOWN, "no person named", "not found")
_READ = "As a classifier reads pictures: a presentation that is perceived, and nobody's identity."


def statements_of(source: Source, result: Document) -> Iterator[Said]:
    """Every statement that a run supports, each with the question that it answers."""
    for kind, of in _OF.items():
        if isinstance(result, kind):
            yield from of(source, result)
            return
    yield from _findings(source, "finding")


def _findings(s: Source, *parts: str | int, question: str = "uses-impact") -> Iterator[Said]:
    """The sentences of a run's finding, as it says them."""
    found = s.get(at(*parts)) if parts[0] in s.raw else []
    if isinstance(found, dict):
        parts, found = (*parts, "sentences"), found["sentences"]
    for i in range(len(found)):
        yield question, say("{}", s.words(*parts, i))


def _of_filters(s: Source, r: FiltersResult) -> Iterator[Said]:
    yield from _count(s, r.reading)
    for i, recipe in enumerate(r.recipes):
        yield (
            "preprocessing-done",
            say(
                f"Replayed on {_rows(r.reading)}, not done to them: {{}} would keep {{}}.",
                s.count("recipes", i, "n"),
                f"{recipe.title} (recipe {recipe.name})",
                s.share("recipes", i, "kept"),
                caution="" if r.already in ("none", "unknown") else _behind(r.already),
            ),
        )
        yield from _removed_most(s, i, recipe, sampled=not r.reading.full)
    yield from _findings(s, "finding", question="preprocessing-done")


def _behind(already: str) -> str:
    return f"The rows had passed {already} before: what that removed cannot be seen."


def _rows(reading: Reading) -> str:
    """The rows that a replay read, their number left open: all of them, or a sample."""
    return "{} rows" if reading.full else "a random sample of {} rows"


def _removed_most(s: Source, i: int, recipe: RecipeAccount, *, sampled: bool) -> Iterator[Said]:
    """The levels that a recipe removes most above the rest, and most below it."""
    flagged = [
        (abs(x.difference.value), g, j)
        for g, group in enumerate(recipe.groups)
        for j, x in enumerate(group.levels)
        if x.flagged and x.difference is not None and x.difference.value is not None
    ]
    flagged.sort(key=lambda found: (-found[0], found[1:]))
    told = [f for f in flagged if recipe.groups[f[1]].levels[f[2]].level not in _RESTS]
    for _, g, j in told[:_FLAGGED_SHOWN]:
        group, where = recipe.groups[g], ("recipes", i, "groups", g, "levels", j)
        yield (
            "preprocessing-done",
            say(
                f"Of the {{}} {'sampled ' if sampled else ''}rows of level {{}}, {{}} would keep "
                "{}; it would remove a share of them that differs by {} from that of the others "
                "(+: more).",
                s.count(*where, "n"),
                f"“{group.levels[j].level}” ({group.title})",
                recipe.name,
                s.share(*where, "kept"),
                s.points(*where, "difference"),
                caution=brief(group.note, at("recipes", i, "groups", g, "note")),
            ),
        )
    if len(flagged) > len(told[:_FLAGGED_SHOWN]):
        more = len(flagged) - len(told[:_FLAGGED_SHOWN])
        yield (
            "preprocessing-done",
            say(
                f"{more} more levels are flagged for {{}} in its evidence.",
                s.words("recipes", i, "name"),
            ),
        )


def _count(s: Source, reading: Reading) -> Iterator[Said]:
    """How many rows there are, where that is known."""
    rows = size_field(reading)
    if s.get(at("reading", rows)) is not None:
        yield "composition-count", say("There are {} rows.", s.count("reading", rows))


def _of_scan(s: Source, r: ScanResult) -> Iterator[Said]:
    yield from _count(s, r.reading)
    if r.steps:
        yield (
            "preprocessing-done",
            say(
                f"Replayed on {_rows(r.reading)}, not done to them: {{}} leaves {{}} after "
                "its last step.",
                s.count("reading", "n_rows_read"),
                f"{r.recipe_title} (recipe {r.recipe})",
                s.share("survival", len(r.survival) - 1),
            ),
        )


def _of_probe(s: Source, r: ProbeResult) -> Iterator[Said]:
    for i, stage in enumerate(r.stages):
        if stage.id == "pool" and stage.n_rows is not None:
            yield "composition-count", say("There are {} rows.", s.count("stages", i, "n_rows"))
        if stage.id == "all":
            yield (
                "composition-subpopulations",
                say(
                    "The probe of “{}” read {} pictures: those of the rows that had been "
                    "downloaded and could be read. Shares of pictures are of these alone.",
                    s.words("concept", "name"),
                    s.count("stages", i, "n_pictures"),
                ),
            )
        if stage.kind == "step":  # each of them is in the table of compositions
            continue
        for name, c in stage.compositions.items():
            where = ("stages", i, "compositions", name)
            words = stage.title[:1].upper() + stage.title[1:]
            yield from _composed(s, c, where, f"{words} (probe of “{r.concept.name}”)")
    if r.recipe != "none":
        for i, step in enumerate(r.steps):
            if not step.observable or step.removed_share.value is None:
                continue
            yield (
                "preprocessing-done",
                say(
                    "Replayed, not done to these rows: the step {} of {} removes {} of those that "
                    "reach it.",
                    f"“{step.title}”",
                    r.recipe,
                    s.share("steps", i, "removed_share"),
                    caution=step.note,
                ),
            )
    for i, _ in enumerate(r.harms):
        yield (
            "uses-impact",
            say(
                "A harm at stake, in the words of who named it: {} ({}).",
                s.words("harms", i, "words"),
                s.words("harms", i, "kind"),
            ),
        )
    for i, known in enumerate(r.known_errors):
        yield (
            "composition-errors",
            say(
                "The classifier of {} agrees with labelled pictures in {}: {}.",
                known.attribute.replace("_", " "),
                s.share("known_errors", i, "accuracy"),
                known.domain,
                caution=known.note,
            ),
        )
    if r.generated is not None:
        simulated = " (simulated)" if r.generated.simulated else ""
        yield (
            "uses-impact",
            say(
                "Compared with {} pictures of the generator {}.",
                s.count("generated", "n_pictures"),
                f"{r.generated.generator}{simulated}",
            ),
        )
    yield from _findings(s, "finding")


def _composed(
    s: Source, c: Composition, where: tuple[str | int, ...], stage: str
) -> Iterator[Said]:
    """The headline of a composition, as corrected where raters do; and how much is unknown."""
    share, labels, caution = s.share(*where, "contrast"), c.labels, _READ
    among = s.count(*where, "contrast", "n")
    errors: tuple[Number, ...] = ()
    if c.corrected is not None:
        share, labels = s.share(*where, "corrected", "contrast"), "corrected by raters"
        among = s.count(*where, "corrected", "n_rated")
        caution = "“True” means what this panel of raters would say."
    elif c.with_known_errors is not None and c.with_known_errors.low is not None:
        errors = (s.share(*where, "with_known_errors"),)
    two = f"{c.contrast_level} or {c.against_level}".replace("_", " ")
    allowed = "; its measured errors allow {}" if errors else ""
    of = "such pictures" if c.corrected is None else "pictures were rated"
    yield (
        "composition-subpopulations",
        say(
            "{}: {} are read as {} of those that are read as {} ({}"
            f"{allowed}; {{}} {of}).",
            stage,
            share,
            c.contrast_level.replace("_", " "),
            two,
            labels,
            *errors,
            among,
            caution=caution,
        ),
    )


def _of_compose(s: Source, r: ComposeResult) -> Iterator[Said]:
    for i, x in enumerate(r.attributes):
        yield (
            "composition-subpopulations",
            say(
                "{}: {} are {} rather than {}, of {} pictures ({}).",
                x.title[:1].upper() + x.title[1:],
                s.share("attributes", i, "headline"),
                x.contrast_level,
                x.against_level,
                s.count("attributes", i, "n_pictures"),
                x.labels,
                caution=x.warning or x.about,
            ),
        )
    for i, y in enumerate(r.agreement):
        yield (
            "composition-errors",
            say(
                "{} raters agree on {} with Krippendorff's alpha of {}, over {} pictures.",
                s.count("agreement", i, "n_raters"),
                y.attribute.replace("_", " "),
                s.ratio("agreement", i, "alpha"),
                s.count("agreement", i, "n_pictures"),
            ),
        )
    yield from _findings(s, "finding")


def _of_neighbours(s: Source, r: NeighboursResult) -> Iterator[Said]:
    for i, concept in enumerate(r.concepts):
        for name, c in concept.compositions.items():
            where = ("concepts", i, "compositions", name)
            yield from _composed(s, c, where, f"Rows near “{concept.name}”")
    yield from _findings(s, "finding")


def _of_nonresponse(s: Source, r: NonresponseResult) -> Iterator[Said]:
    yield (
        "composition-external",
        say(
            "Of {} addresses that were tried, {} on {} domains still gave a picture; {} did not.",
            s.count("n_tried"),
            s.count("n_came"),
            s.count("n_domains"),
            s.share("lost"),
        ),
    )
    for i, x in enumerate(r.reasons[:3]):
        yield (
            "composition-external",
            say(
                "{} came to “{}”: {} addresses.",
                s.percent("reasons", i, "share"),
                f"{x.status}: {x.reason}" if x.reason else x.status,
                s.count("reasons", i, "n"),
            ),
        )
    for name, what in (("crawled", "The crawl was"), ("fetched", "Addresses were tried")):
        if s.raw.get(name):
            first, last = s.words(name, 0), s.words(name, 1)
            found = say(f"{what} from {{}} to {{}}.", first, last)
            same = say(f"{what} on {{}}.", first)
            yield "collection-timeframe", same if first.value == last.value else found
    for i, by in enumerate(r.loss):
        if not by.depends:
            continue
        yield (
            "composition-sample",
            say(
                "Which pictures still come depends on: {} (adjusted p-value {}).",
                by.title,
                s.p_value("loss", i, "adjusted"),
            ),
        )
        yield from _lost_most(s, i, by)
    yield from _findings(s, "finding")


def _lost_most(s: Source, i: int, by: LossBy) -> Iterator[Said]:
    """The levels whose loss differs for sure, those with most rows first."""
    sure = [
        j
        for j, x in enumerate(by.levels)
        if not x.few and ((x.difference.low or 0) > 0 or (x.difference.high or 0) < 0)
    ]
    sure.sort(key=lambda j: -by.levels[j].n)
    for j in sure[:_LOST_SHOWN]:
        where = ("loss", i, "levels", j)
        yield (
            "composition-external",
            say(
                "Of {} rows of {}, {} are lost; that differs from the share of all others by {}.",
                s.count(*where, "n"),
                f"“{by.levels[j].level}” ({by.title})",
                s.share(*where, "lost"),
                s.points(*where, "difference"),
            ),
        )


def _of_blocked(s: Source, r: BlockedResult) -> Iterator[Said]:
    yield (
        "uses-impact",
        say(
            "Of {} generated pictures a safety checker would keep back {}.",
            s.count("n_pictures"),
            s.share("blocked"),
            caution="Blocked is not unsafe: how often the checker errs is not measured.",
        ),
    )
    yield from _findings(s, "finding")


def _of_compare(s: Source, r: CompareResult) -> Iterator[Said]:
    for i, x in enumerate(r.sources):
        yield (
            "uses-impact",
            say(
                "Compared over {} concepts: {} {}, {} pictures.",
                s.count("sources", i, "n_concepts"),
                {"data": "the data set", "matched": "of it, captions like the prompts:"}.get(
                    x.kind, "the generator"
                ),
                x.name,
                s.count("sources", i, "n_pictures"),
            ),
        )
    yield from _findings(s, "finding")


_OF: dict[type[Document], Callable[[Source, Any], Iterator[Said]]] = {
    DataResult: of_data,
    FiltersResult: _of_filters,
    ScanResult: _of_scan,
    ProbeResult: _of_probe,
    ComposeResult: _of_compose,
    NeighboursResult: _of_neighbours,
    NonresponseResult: _of_nonresponse,
    BlockedResult: _of_blocked,
    CompareResult: _of_compare,
}
