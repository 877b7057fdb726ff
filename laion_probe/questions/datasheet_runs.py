"""What finished runs answer of a datasheet, question by question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from laion_probe.blocked_result import BlockedResult
from laion_probe.compare_result import CompareResult
from laion_probe.compose_result import ComposeResult
from laion_probe.data_result import DataResult
from laion_probe.datasheet_result import Number, Statement
from laion_probe.filters_result import FiltersResult, GroupAccount, RecipeAccount
from laion_probe.groups import NONE_NAMED, UNKNOWN
from laion_probe.neighbours_result import NeighboursResult
from laion_probe.nonresponse_result import LossBy, NonresponseResult
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.datasheet_data import Said, brief, of_data
from laion_probe.questions.datasheet_numbers import Source, at, say, size_field
from laion_probe.questions.datasheet_tables import RATERS, level_title
from laion_probe.results import Composition, Document
from laion_probe.scan_result import Reading, ScanResult

__all__ = ["statements_of"]

_FLAGGED_SHOWN, _LOST_SHOWN = 3, 4  # levels removed more often, and as many removed less often
_ALWAYS = ("woman", "man")
_ABOUT_FORM = ("length", "words")
#: Levels of captions that name none: they differ because the others do.
_RESTS = (NONE_NAMED, UNKNOWN, "no person named", "not found", "none", "empty")
_READ = (
    "As a classifier reads pictures: a presentation that is perceived, and nobody's identity. "
    "Pictures in which it reads neither, such as those without a person, are not in the share."
)
_AT_RANDOM = "the readable pictures are a random sample of the rows"
_PICTURES = "Pictures: "  # how `questions.finding` begins to say how many were asked for, and came
_BY_CHANCE = (
    " Their brackets take these rows for a random sample of all: that is why they are there though "
    "every picture was read. Which addresses were tried, and which pictures came, was not chance, "
    "and the brackets do not allow for that."
)


def statements_of(source: Source, result: Document) -> Iterator[Said]:
    """Every statement that a run supports, each with the question that it answers."""
    for kind, of in _OF.items():
        if isinstance(result, kind):
            yield from of(source, result)
            return
    yield from _findings(source, "finding")


def _findings(
    s: Source, *parts: str | int, question: str = "uses-impact", said: tuple[str, ...] = ()
) -> Iterator[Said]:
    """The sentences of a run's finding, as it says them, but for those that begin as ``said``."""
    found = s.get(at(*parts)) if parts[0] in s.raw else []
    if isinstance(found, dict):
        parts, found = (*parts, "sentences"), found["sentences"]
    for i, sentence in enumerate(found):
        if not (said and sentence.startswith(said)):
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
                caution=" ".join(_cautions(r, recipe)),
            ),
        )
        yield from _whom(s, i, r)
    # what each keeps is said already, in as many digits as everything else
    said = tuple(f"{recipe.name} keeps " for recipe in r.recipes)
    yield from _findings(s, "finding", question="preprocessing-done", said=said)


def _cautions(r: FiltersResult, recipe: RecipeAccount) -> Iterator[str]:
    """What a reader must know of the share that a recipe keeps."""
    if r.already not in ("none", "unknown"):
        yield f"The rows had passed {r.already} before: what that removed cannot be seen."
    if not r.reading.full and recipe.kept.low is None:
        yield "It has no interval: too few row groups were read to tell what it is of all rows."


def _rows(reading: Reading) -> str:
    """The rows that a replay read, their number left open: all of them, or a sample."""
    return "{} rows" if reading.full else "a random sample of {} rows"


def _whom(s: Source, i: int, r: FiltersResult) -> Iterator[Said]:
    """What a recipe keeps of captions of women and men, and of levels that differ most."""
    groups, compared = r.recipes[i].groups, dict[tuple[int, int], float]()
    always = []
    for g, group in enumerate(groups):
        for j, x in enumerate(group.levels):
            if group.name == "gender-words" and x.level in _ALWAYS:
                always.append((g, j))
            elif x.flagged and x.difference is not None:
                compared[g, j] = x.difference.value or 0.0
    always.sort(key=lambda place: _ALWAYS.index(groups[place[0]].levels[place[1]].level))
    # who is removed comes before what captions look like, and before levels that name nobody
    last = {
        (g, j)
        for g, j in compared
        if groups[g].name in _ABOUT_FORM or groups[g].levels[j].level in _RESTS
    }
    order = sorted(compared, key=lambda p: (p in last, -abs(compared[p]), p))
    more = [p for p in order if compared[p] > 0]
    less = [p for p in order if compared[p] < 0]
    told = {p for side in (more, less) for p in side[:_FLAGGED_SHOWN] if p not in last}
    for g, j in (*always, *(p for p in (*more, *less) if p in told)):
        yield "preprocessing-done", _kept_of(s, (i, g, j), r)
    rest = [(how, [p for p in of if p not in told]) for how, of in (("more", more), ("less", less))]
    if any(places for _, places in rest):
        words = (f"{how} often: {_by_group(groups, places)}" for how, places in rest if places)
        yield (
            "preprocessing-done",
            say(
                "Of these levels too the share that {} removes differs by at least {} from that "
                "of the other rows; removed {} (their numbers are in the evidence).",
                r.recipes[i].name,
                s.as_points("flag"),
                "; ".join(words),
            ),
        )


def _kept_of(s: Source, place: tuple[int, int, int], r: FiltersResult) -> Statement:
    i, g, j = place
    recipe, group = r.recipes[i], r.recipes[i].groups[g]
    x, where = group.levels[j], ("recipes", i, "groups", g, "levels", j)
    level = f"“{level_title(group.name, x.level)}” ({group.title})"
    sampled = "" if r.reading.full else "sampled "
    if x.kept is None or x.difference is None or x.difference.value is None:
        few = f"Of level {{}} there are {{}} {sampled}rows: too few to tell what {{}} keeps."
        return say(few, level, s.count(*where, "n"), recipe.name)
    return say(
        f"{{}} would keep {{}} of the {{}} {sampled}rows of level {{}}: {{}} than of the other "
        "rows whose level is known.",
        recipe.name,
        s.share(*where, "kept"),
        s.count(*where, "n"),
        level,
        s.more_kept(*where, "difference"),
        caution=brief(group.note, at("recipes", i, "groups", g, "note")),
    )


def _by_group(groups: Sequence[GroupAccount], places: Sequence[tuple[int, int]]) -> str:
    """Levels by the group that they are of: script “Han”, “Thai”; region “Africa”."""
    found: dict[str, list[str]] = {}
    for g, j in places:
        name, level = groups[g].name, groups[g].levels[j].level
        found.setdefault(name, []).append(f"“{level_title(name, level)}”")
    return ", ".join(f"{name} {', '.join(levels)}" for name, levels in found.items())


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
            whole = () if stage.n_rows is None else (s.count("stages", i, "n_rows"),)
            of = " of {}" if whole else ""
            sampled = any(_AT_RANDOM in c.contrast.assumptions for c in stage.compositions.values())
            by_chance = _BY_CHANCE if sampled else ""
            yield (
                "composition-subpopulations",
                say(
                    f"The probe of “{{}}” read the pictures of {{}}{of} rows: of those whose "
                    "picture had been downloaded and could be read.",
                    s.words("concept", "name"),
                    s.count("stages", i, "n_pictures"),
                    *whole,
                    caution=f"Shares of pictures are of these rows alone.{by_chance}",
                ),
            )
            for k, how in enumerate(r.how_measured):
                if how.startswith(_PICTURES):
                    yield "composition-subpopulations", say("{}", s.words("how_measured", k))
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
                    "Replayed, not done to these rows: the step {} of {} removes {} of the {} rows "
                    "that reach it and that it can judge.",
                    f"“{step.title}”",
                    r.recipe,
                    s.share("steps", i, "removed_share"),
                    s.count("steps", i, "removed_share", "n"),
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
            "composition-subpopulations",
            say(
                "The classifier of {} that read the pictures agrees with the labels of {} others "
                "in {}: {}.",
                known.attribute.replace("_", " "),
                s.count("known_errors", i, "accuracy", "n"),
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
        share, labels = s.share(*where, "corrected", "contrast"), RATERS
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
