"""Tables of a datasheet: compositions, what filters did, and which runs they are from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from laion_probe.blocked_result import BlockedResult
from laion_probe.compare_result import CompareResult
from laion_probe.compose_result import ComposeResult
from laion_probe.data_result import DataResult
from laion_probe.datasheet_result import CompositionRow, Lineage, LineageSample, LineageStep
from laion_probe.errors import UnknownName
from laion_probe.filters_result import FiltersResult
from laion_probe.neighbours_result import NeighboursResult
from laion_probe.nonresponse_result import NonresponseResult
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.datasheet_data_groups import LEVELS
from laion_probe.questions.datasheet_numbers import at, size_field
from laion_probe.recipes import load_recipe
from laion_probe.results import Composition, Document, Estimate, StepEffect
from laion_probe.scan_result import ScanResult

__all__ = [
    "CAPTIONS",
    "RATERS",
    "compositions_of",
    "counted_rows",
    "generators_of",
    "level_title",
    "lineage_of",
    "sample_of",
    "size_of",
    "title_of",
]

#: Whose labels a share rests on, where neither raters nor a classifier looked at the picture, and
#: where raters put right what a classifier said.
CAPTIONS = "what captions and addresses say"
RATERS = "corrected by raters"
#: Languages whose names in cld2 do not say what is meant, and codes that other detectors have.
_LANGUAGES = {
    "fil": "Filipino",
    "he": "Hebrew",
    "jv": "Javanese",
    "lua": "Luba-Lulua",
    "luo": "Luo",
    "nb": "Norwegian Bokmål",
    "nn": "Norwegian Nynorsk",
    "rm": "Romansh",
    "war": "Waray",
    "zh-Hant": "Chinese, traditional script",
    "zh-cn": "Chinese, simplified script",
    "zh-tw": "Chinese, traditional script",
}


def title_of(kind: str, result: Document) -> tuple[str, str]:
    """What a run is called, as part of a file's name and for people."""
    if isinstance(result, DataResult):
        return "", "what the shards hold"
    if isinstance(result, ProbeResult):
        return result.concept.name, f"probe of “{result.concept.name}”"
    if isinstance(result, FiltersResult):
        names = [r.name for r in result.recipes]
        return "-".join(names), f"replay of {', '.join(names)}"
    if isinstance(result, ScanResult):
        return result.recipe, f"scan with the recipe {result.recipe}"
    if isinstance(result, NeighboursResult):
        names = [c.name for c in result.concepts]
        return names[0], f"neighbours of {', '.join(names)}"
    return "", kind


def size_of(result: Document) -> tuple[int | None, bool]:
    """Rows or pictures that a run read, and whether that was everything."""
    if isinstance(result, DataResult | FiltersResult | ScanResult):
        return result.reading.n_rows_read, result.reading.full
    if isinstance(result, ProbeResult):
        return next((s.n_rows for s in result.stages if s.id == "pool"), None), True
    if isinstance(result, NonresponseResult):
        return result.n_tried, True
    if isinstance(result, NeighboursResult):
        return result.n_rows, True
    if isinstance(result, ComposeResult | BlockedResult):
        return result.n_pictures, True
    return None, True


def generators_of(result: Document) -> Iterator[str]:
    """Generators whose pictures a run read."""
    if isinstance(result, ProbeResult) and result.generated is not None:
        yield result.generated.generator
    if isinstance(result, CompareResult):
        yield from (s.name for s in result.sources if s.kind == "generator")
    if isinstance(result, BlockedResult):
        yield from result.generators


def compositions_of(evidence: str, result: Document) -> Iterator[CompositionRow]:
    """Every level's share at every stage that a run has, *unknown* included."""
    row = _Rows(evidence)
    if isinstance(result, DataResult):
        for i, group in enumerate(result.groups):
            for j, x in enumerate(group.levels):
                place = at("groups", i, "levels", j, "share")
                yield row.of(("", "captions", group.name, x.level), x.n, x.share, place, CAPTIONS)
    elif isinstance(result, ProbeResult):
        for i, stage in enumerate(result.stages):
            for name, c in stage.compositions.items():
                concept = "" if stage.id == "all" else result.concept.name
                key = (concept, stage.id, name)
                yield from row.all(key, c, ("stages", i, "compositions", name))
    elif isinstance(result, NeighboursResult):
        for i, near in enumerate(result.concepts):
            for name, c in near.compositions.items():
                key = (near.name, "neighbourhood", name)
                yield from row.all(key, c, ("concepts", i, "compositions", name))
    elif isinstance(result, BlockedResult):
        for i, p in enumerate(result.passed):
            yield from row.all(("", "generated", p.attribute), p.before, ("passed", i, "before"))
            yield from row.all(("", "not blocked", p.attribute), p.after, ("passed", i, "after"))
    elif isinstance(result, ComposeResult):
        for i, m in enumerate(result.attributes):
            counts = m.read if m.basis != "raters" else m.rated
            for level, e in m.shares.items():
                place = at("attributes", i, "shares", level)
                n = counts.get(level, 0)
                yield row.of(("", "all", m.attribute, level), n, e, place, m.labels)
    elif isinstance(result, NonresponseResult):
        for i, k in enumerate(result.composed):
            for when, field in (("came", "complete"), ("tried, re-weighted", "reweighted")):
                shares: dict[str, Estimate] = getattr(k, f"{field}_shares")
                for level, e in shares.items():
                    place = at("composed", i, f"{field}_shares", level)
                    n = k.counts.get(level, 0)
                    yield row.of(("", when, k.attribute, level), n, e, place, k.labels)
    elif isinstance(result, CompareResult):
        yield from _compared(row, result)


def _compared(row: _Rows, r: CompareResult) -> Iterator[CompositionRow]:
    """Of a comparison: the share of the reported level among those known."""
    for i, c in enumerate(r.concepts):
        cells = [("data", c.data, at("concepts", i, "data", "share"))]
        if c.matched is not None:
            cells.append(("matched", c.matched, at("concepts", i, "matched", "share")))
        for j, g in enumerate(c.generators):
            place = at("concepts", i, "generators", j, "share")
            cells.append((f"generated by {g.generator}", g, place))
        for stage, cell, place in cells:
            key = (c.name, f"{stage}, of those known", r.attribute, r.reported)
            yield row.of(key, cell.counts.get(r.reported, 0), cell.share, place, r.labels)


def level_title(attribute: str, level: str) -> str:
    """What a level is called where it does not say it itself: a language's name beside its code.

    >>> level_title("language:cld2", "hi"), level_title("script", "none"), level_title("x", "y")
    ('Hindi (hi)', 'no letters', 'y')
    """
    kind = attribute.partition(":")[0]
    if found := LEVELS.get((kind, level)):
        return found
    name = _languages().get(level) if kind in ("language", "language-tag") else None
    return f"{name} ({level})" if name else level


@cache
def _languages() -> Mapping[str, str]:
    """English names of languages by code, as cld2 has them; codes of scripts and jokes are none."""
    import pycld2

    names = {
        code: name.replace("_", " ").title()
        for name, code in pycld2.LANGUAGES
        if not name.startswith("X_") and name != "Ignore"
    }
    return names | _LANGUAGES


def counted_rows(levels: Sequence[CompositionRow]) -> int | None:
    """How many rows or pictures shares are of; None unless the levels' counts make them up."""
    n = sum(row.count or 0 for row in levels)
    whole = all(
        row.count is not None
        and row.share is not None
        and abs(row.share * n - row.count) < 1e-6 * max(1, n)
        for row in levels
    )
    return n if whole and n else None


class _Rows:
    """Rows of one run."""

    def __init__(self, evidence: str) -> None:
        self.evidence = evidence

    def of(
        self,
        key: tuple[str, str, str, str],
        count: int | None,
        e: Estimate,
        pointer: str,
        labels: str,
    ) -> CompositionRow:
        concept, stage, attribute, level = key
        return CompositionRow(
            evidence=self.evidence,
            pointer=pointer,
            concept=concept,
            stage=stage,
            attribute=attribute,
            level=level,
            count=count,
            share=e.value,
            low=e.low,
            high=e.high,
            interval_level=e.level,
            labels=labels,
        )

    def all(
        self, key: tuple[str, str, str], c: Composition, place: tuple[str | int, ...]
    ) -> Iterator[CompositionRow]:
        """The levels of a composition as labelled, and then as raters correct them."""
        for level, e in c.shares.items():
            of = (*key, level)
            yield self.of(of, c.counts[level], e, at(*place, "shares", level), c.labels)
        for level, e in c.corrected.shares.items() if c.corrected else ():
            where = at(*place, "corrected", "shares", level)
            yield self.of((*key, level), None, e, where, RATERS)


def lineage_of(evidence: str, result: Document) -> Iterator[Lineage]:
    """The recipe behind the rows of a run, and those that it replayed on them."""
    if isinstance(result, FiltersResult):
        for i, r in enumerate(result.recipes):
            yield Lineage(
                recipe=r.name,
                title=r.title,
                source=r.source,
                already=False,
                n_before=r.n,
                n_after=r.n_kept,
                steps=tuple(_steps(evidence, r.steps, ("recipes", i, "steps"), r.left_out)),
            )
    elif isinstance(result, ScanResult | ProbeResult) and result.recipe != "none":
        yield Lineage(
            recipe=result.recipe,
            title=result.recipe_title,
            source=result.recipe_source,
            already=False,
            n_before=size_of(result)[0],
            n_after=_left(result),
            steps=tuple(_steps(evidence, result.steps, ("steps",))),
        )
    if isinstance(result, DataResult | FiltersResult) and result.already not in ("none", "unknown"):
        n_rows = getattr(result.reading, size_field(result.reading))
        yield _behind(evidence, result.already, n_rows)


def sample_of(evidence: str, result: Document, recipe: str) -> LineageSample | None:
    """What the replay of a recipe on a sample says of all rows; None where it read all."""
    kept: Estimate | None
    left_out: tuple[str, ...] = ()
    if isinstance(result, FiltersResult):
        i = next(i for i, r in enumerate(result.recipes) if r.name == recipe)
        account = result.recipes[i]
        kept, pointer = account.kept, at("recipes", i, "kept")
        left_out = tuple(s.title for s in account.steps if s.id in account.left_out)
    elif isinstance(result, ScanResult):
        last = len(result.survival) - 1
        kept = result.survival[last] if result.survival else None
        pointer = at("survival", last)
    else:
        return None
    if kept is None or result.reading.full:
        return None
    n_rows = result.reading.n_rows
    ends = (kept.value, kept.low, kept.high)
    n_left = [None if n_rows is None or e is None else round(e * n_rows) for e in ends]
    return LineageSample(
        evidence=evidence,
        recipe=recipe,
        pointer=pointer,
        n_read=result.reading.n_rows_read,
        n_rows=n_rows,
        kept=kept.value,
        low=kept.low,
        high=kept.high,
        interval_level=kept.level,
        n_left=n_left[0],
        n_left_low=n_left[1],
        n_left_high=n_left[2],
        left_out=left_out,
    )


def _left(result: ScanResult | ProbeResult) -> int | None:
    """Rows that are left after the last step; None where that is not counted."""
    if isinstance(result, ProbeResult):
        steps = [s for s in result.stages if s.kind == "step"]
        return steps[-1].n_rows if steps else None
    left = result.survival[-1] if result.survival else None
    if left is None or left.value is None or not result.reading.full:
        return None
    return round(left.value * left.n)


def _steps(
    evidence: str,
    steps: tuple[StepEffect, ...],
    place: tuple[str | int, ...],
    left_out: tuple[str, ...] = (),
) -> Iterator[LineageStep]:
    for i, s in enumerate(steps):
        yield LineageStep(
            id=s.id,
            title=s.title,
            source=s.source,
            confidence=s.confidence,
            observable=s.observable,
            n_reached=s.n_reached if s.observable else None,
            n_removed=None if s.id in left_out else _removed(s),
            evidence=evidence,
            pointer=at(*place, i),
        )


def _removed(s: StepEffect) -> int | None:
    """Rows that the step removed; None where none could be judged, which is not 0."""
    judged = any(n and outcome != "not_evaluable" for outcome, n in s.outcomes.items())
    return s.n_removed_here if s.observable and (judged or not s.n_reached) else None


def _behind(evidence: str, name: str, n_rows: int | None) -> Lineage:
    """What the rows had passed before anybody counted them; its steps, where it is known here."""
    try:
        recipe = load_recipe(name)
    except UnknownName:
        return Lineage(
            recipe=name, title=name, source="", already=True, n_before=None, n_after=n_rows
        )
    return Lineage(
        recipe=recipe.name,
        title=recipe.title,
        source=recipe.source,
        already=True,
        n_before=None,
        n_after=n_rows,
        steps=tuple(
            LineageStep(
                id=s.id,
                title=s.title,
                source=s.source,
                confidence=s.confidence or recipe.confidence,
                observable=False,
                n_reached=None,
                n_removed=None,
                evidence=evidence,
                pointer="/already",
            )
            for s in recipe.step
        ),
    )
