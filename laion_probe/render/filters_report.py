"""``report.html`` of `filters`: who is removed, and by which step of which recipe.

Every number stands in ``result.json``, to which it is tied by a JSON pointer. What is chosen here
is order, words and how many rows of a table are shown: all of them are in ``tables/*.csv``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from markupsafe import Markup

from laion_probe.filters_result import (
    FiltersResult,
    GroupAccount,
    GroupAgreement,
    LevelAccount,
    LevelOverlap,
    LevelRewrite,
    RecipeAccount,
    RewriteEffect,
    StepRemoval,
)
from laion_probe.groups import UNKNOWN
from laion_probe.render import text
from laion_probe.render.figures import file_name
from laion_probe.render.flow import Flow, FlowStep, How, flow_svg, flow_words
from laion_probe.render.html import environment, page, tied
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.scan_report import estimate_digits, scan_removal_words, share_digits
from laion_probe.render.view import Method, methods_of
from laion_probe.results import Estimate, InputRecord, StepEffect

__all__ = ["filters_report_html", "level_removal_words", "step_removal_words", "write_flows"]

_LEVELS_SHOWN, _LEVELS_LEAST = 25, 4
_INPUTS_SHOWN = 25
_CELLS_SHOWN = 25  # of a matrix of languages
_NAME_SHOWN = 80  # of a file's name
#: Rows of all tables of one kind on a page that loads at once; a table has its part of them.
_LEVEL_ROWS, _STEP_ROWS, _SIDE_ROWS = 420, 420, 120

_FORMS: dict[str, text.Form] = {"difference": "points", "ratio": "ratio", "odds_ratio": "ratio"}

#: Levels that name their group.
Named = LevelOverlap | LevelRewrite | GroupAgreement
N = TypeVar("N", bound=Named)
T = TypeVar("T", bound=LevelAccount | Named)


def filters_report_html(result: FiltersResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    full = result.reading.full
    env.globals.update(est=partial(_est, full=full), digits=share_digits, points=_points)
    values = {
        "r": result,
        "v": _view(result),
        # By line, since a line feed in a text would be cleaned away.
        "config": json.dumps(result.config, ensure_ascii=False, indent=2).split("\n"),
    }
    return page(env, "filters.html.j2", values)


def write_flows(result: FiltersResult, folder: Path) -> None:
    """Write ``flow-<recipe>.svg``, one a recipe, into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for recipe in result.recipes:
        file = folder / f"flow-{file_name(recipe.name)[:_NAME_SHOWN]}.svg"
        svg = flow_svg(_flow(recipe, result.reading.full))
        file.write_text(svg, encoding="utf-8", newline="\n")


def step_removal_words(step: StepEffect, total: StepRemoval | None) -> str:
    """Why a step's removal has no number, or an empty string where it has one.

    ``total`` is None for a step that decides nothing.
    """
    why = scan_removal_words(step)
    if why.startswith("no rate") and total is None:
        return "removes nothing by itself: it rewrites or measures"
    return why


def level_removal_words(step: StepEffect, removal: StepRemoval, n: int) -> str:
    """As `step_removal_words`, of the ``n`` rows of one level, none of which it may have judged."""
    why = step_removal_words(step, removal)
    if not why and n and removal.blind >= n:
        return "not evaluable: none of these rows has what the step reads"
    return why


# Numbers


def _est(estimate: Estimate, where: str, *, full: bool) -> Markup:
    """An estimate in the form of its field; a count of all rows has no brackets."""
    form = _FORMS.get(where.rpartition("/")[2], "share")
    exact = estimate.low == estimate.high and (full or estimate.low is not None)
    return tied(estimate, where, "exact" if exact else form, _shown(estimate, form, full))


def _shown(estimate: Estimate, form: text.Form, full: bool) -> text.Shown:
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None:
        return text.Shown("not defined", "")
    signed, scale = form == "points", 1 if form == "ratio" else 100
    unit = f"{text.NBSP}%" if form == "share" else ""  # of points the head of the column says it
    digits = _ratio_digits(value) if form == "ratio" else estimate_digits(estimate)
    said = text.number(scale * value, digits, signed=signed) + unit
    if low is None and high is None:
        return text.Shown(said, "" if full else "(no interval)")
    if low == high:
        return text.Shown(said, "")
    ends = [
        "not bounded" if end is None else text.number(scale * end, digits, signed=signed)
        for end in (low, high)
    ]
    return text.Shown(said, f"[{ends[0]},{text.NBSP}{ends[1]}]")


def _ratio_digits(value: float) -> int:
    digits = 2
    while digits < 6 and value and round(value, digits) == 0:
        digits += 1
    return digits


def _points(value: float, where: str) -> Markup:
    """A difference of shares in points, with its sign, tied to its place in ``result.json``."""
    digits = 2 if value == 0 else share_digits(value)
    return Markup(
        '<span class="num" data-pointer="{}" data-form="percent" data-value="{}">{}</span>'
    ).format(where, repr(value), text.number(100 * value, digits, signed=True))


# What the templates loop over


@dataclass(frozen=True)
class Levels(Generic[T]):
    """Some levels of a group with their places; ``n_more`` are in the CSV only."""

    title: str
    shown: list[tuple[str, T]]
    n_more: int


@dataclass(frozen=True)
class ShownStep:
    """A step with its removal over all rows, or why that has no number, and what is left."""

    at: str
    step: StepEffect
    why: str
    total_at: str
    total: StepRemoval | None
    left_at: str
    left: Estimate
    counted: bool  # whether what it removes is missing from ``left``
    decided_by: str


@dataclass(frozen=True)
class LevelStep:
    """What one step does to one level; ``value`` is None where a step has no Shapley value."""

    number: int
    title: str
    why: str
    at: str
    removal: StepRemoval
    value_at: str
    value: float | None


@dataclass(frozen=True)
class ShownGroup:
    """A group by level, and for some levels what each step does."""

    id: str
    at: str
    group: GroupAccount
    levels: Levels[LevelAccount]
    by_step: list[tuple[LevelAccount, list[LevelStep]]]


@dataclass(frozen=True)
class ShownRewrite:
    """A rewrite, and some levels of the rows that it changed, by group."""

    at: str
    effect: RewriteEffect
    groups: list[Levels[LevelRewrite]]


@dataclass(frozen=True)
class ShownRecipe:
    """A recipe as the page shows it; ``flow`` is an image, ``alt`` what it shows in words."""

    id: str
    at: str
    recipe: RecipeAccount
    flow: str
    alt: str
    steps: list[ShownStep]
    groups: list[ShownGroup]
    rewrites: list[ShownRewrite]

    @property
    def hidden(self) -> str:
        """Whether all or some of the deciding steps cannot be observed, or an empty string."""
        deciding = {removal.step for removal in self.recipe.totals}
        seen = {s.observable for s in self.recipe.steps if s.id in deciding}
        return "" if False not in seen else "some" if True in seen else "all"


@dataclass(frozen=True)
class FiltersView:
    """Everything that the report arranges, in the order in which it shows it."""

    interval: str
    sample: bool
    bare_share: bool  # no share has an interval
    bare: bool
    recipes: list[ShownRecipe]
    overlaps: list[list[Levels[LevelOverlap]]]
    agreement: list[list[Levels[GroupAgreement]]]
    detected: str  # what brackets around the detectors' shares are, or empty without any
    cells_shown: int
    undefined: list[str]
    methods: list[Method]
    inputs: list[tuple[str, InputRecord]]
    more_inputs: list[tuple[str, InputRecord]]
    alike: InputRecord | None  # any of them, where all have passed the same and are noted the same


def _view(result: FiltersResult) -> FiltersView:
    reading, pairs = result.reading, result.detectors.pairs if result.detectors else ()
    inputs = [(pointer("inputs", i), record) for i, record in enumerate(result.inputs)]
    alike = len(inputs) > 1 and len({(i.already, i.note) for i in result.inputs}) == 1
    # The detectors' shares have intervals of their own.
    given = ((where, e) for where, e in walk(result) if not where.startswith("/detectors/"))
    found = [e for _, e in given if e.value is not None]
    bare = not reading.full and all(e.low is None for e in found)
    interval = "" if bare or not found else f"{100 * found[0].level:g}{text.NBSP}% interval"
    if reading.full:
        interval = "bounds" if reading.n_units_failed else ""
    titles = {g.name: g.title for recipe in result.recipes for g in recipe.groups}
    n_sides = sum(len(_groups(x.levels)) for x in result.overlaps)
    side = _room(_SIDE_ROWS, n_sides + sum(len(_groups(x.levels)) for x in pairs))
    return FiltersView(
        interval=interval,
        sample=not reading.full,
        bare_share=bare,
        bare=bare,
        recipes=_recipes(result, titles),
        overlaps=[
            _by_group(pointer("overlaps", i, "levels"), x.levels, titles, side)
            for i, x in enumerate(result.overlaps)
        ],
        agreement=[
            _by_group(pointer("detectors", "pairs", i, "levels"), x.levels, titles, side)
            for i, x in enumerate(pairs)
        ],
        detected=_detected(result),
        cells_shown=_CELLS_SHOWN,
        undefined=sorted({e.method for _, e in walk(result) if e.value is None}),
        methods=methods_of(e for _, e in walk(result) if e.value is not None),
        inputs=inputs[:_INPUTS_SHOWN],
        more_inputs=inputs[_INPUTS_SHOWN:],
        alike=result.inputs[0] if alike else None,
    )


def _detected(result: FiltersResult) -> str:
    """The detectors read a sample of captions, so they have intervals of their own."""
    found = result.detectors.english.values() if result.detectors is not None else ()
    sure = [e for e in found if e.low is not None]
    return f"{100 * sure[0].level:g}{text.NBSP}% interval" if sure else ""


def _recipes(result: FiltersResult, titles: dict[str, str]) -> list[ShownRecipe]:
    groups = [g for recipe in result.recipes for g in recipe.groups]
    rewrites = [x for recipe in result.recipes for x in recipe.rewrites]
    by_level = _room(_LEVEL_ROWS, len(groups))
    by_step = _room(_STEP_ROWS, sum(len(r.totals) * len(r.groups) for r in result.recipes), least=2)
    rewritten = _room(_SIDE_ROWS, sum(len(_groups(x.levels)) for x in rewrites))
    shown = []
    for i, recipe in enumerate(result.recipes):
        at, flow = pointer("recipes", i), _flow(recipe, result.reading.full)
        svg = base64.b64encode(flow_svg(flow).encode()).decode()
        shown.append(
            ShownRecipe(
                id=f"recipe-{i + 1}",
                at=at,
                recipe=recipe,
                flow=f"data:image/svg+xml;base64,{svg}",
                alt=flow_words(flow),
                steps=list(_steps(recipe, at)),
                groups=[
                    _group(recipe, f"recipe-{i + 1}-group-{j + 1}", at, j, (by_level, by_step))
                    for j in range(len(recipe.groups))
                ],
                rewrites=[
                    ShownRewrite(
                        where := at + pointer("rewrites", j),
                        effect,
                        _by_group(f"{where}/levels", effect.levels, titles, rewritten),
                    )
                    for j, effect in enumerate(recipe.rewrites)
                ],
            )
        )
    return shown


def _steps(recipe: RecipeAccount, at: str) -> Iterator[ShownStep]:
    totals = {total.step: i for i, total in enumerate(recipe.totals)}
    for i, (step, left) in enumerate(zip(recipe.steps, recipe.survival, strict=True)):
        place = totals.get(step.id)
        total = None if place is None else recipe.totals[place]
        why = step_removal_words(step, total)
        yield ShownStep(
            at=at + pointer("steps", i),
            step=step,
            why=why,
            total_at="" if place is None else at + pointer("totals", place),
            total=total,
            left_at=at + pointer("survival", i),
            left=left,
            counted=not why.startswith(("not evaluable", "not simulated", "needs every row")),
            decided_by=recipe.frozen.get(step.id, ""),
        )


def _group(
    recipe: RecipeAccount, name: str, at: str, index: int, room: tuple[int, int]
) -> ShownGroup:
    group = recipe.groups[index]
    at += pointer("groups", index)
    placed = [(at + pointer("levels", i), level) for i, level in enumerate(group.levels)]
    shown = _few(group.title, placed, room[0])
    # Of the levels that are shown, those of which something can be said, the marked ones first.
    told = sorted(
        (pair for pair in shown.shown if not pair[1].too_small), key=lambda x: not x[1].flagged
    )
    by_step = [
        (level, list(_level_steps(recipe, where, level))) for where, level in told[: room[1]]
    ]
    return ShownGroup(name, at, group, shown, [pair for pair in by_step if pair[1]])


def _level_steps(recipe: RecipeAccount, at: str, level: LevelAccount) -> Iterator[LevelStep]:
    steps = {step.id: (i, step) for i, step in enumerate(recipe.steps, 1)}
    values = {x.step: (i, x.value) for i, x in enumerate(level.shapley)}
    for i, removal in enumerate(level.steps):
        number, step = steps[removal.step]
        place, value = values.get(removal.step, (0, None))
        yield LevelStep(
            number=number,
            title=step.title,
            why=level_removal_words(step, removal, level.n),
            at=at + pointer("steps", i),
            removal=removal,
            value_at=at + pointer("shapley", place, "value"),
            value=value,
        )


def _groups(levels: Sequence[Named]) -> set[str]:
    return {level.group for level in levels}


def _by_group(at: str, levels: tuple[N, ...], titles: dict[str, str], room: int) -> list[Levels[N]]:
    groups: dict[str, list[tuple[str, N]]] = {}
    for i, level in enumerate(levels):
        groups.setdefault(level.group, []).append((f"{at}/{i}", level))
    return [_few(titles.get(name, name), placed, room) for name, placed in groups.items()]


def _few(title: str, placed: list[tuple[str, T]], room: int) -> Levels[T]:
    """The most frequent levels, then *unknown*."""
    known = sorted(
        (pair for pair in placed if pair[1].level != UNKNOWN),
        key=lambda pair: (-pair[1].n, pair[1].level),
    )
    unknown = [pair for pair in placed if pair[1].level == UNKNOWN]
    return Levels(title, [*known[:room], *unknown], len(known[room:]))


def _room(rows: int, n_tables: int, *, least: int = _LEVELS_LEAST) -> int:
    """How many levels each of the tables shows."""
    return min(max(rows // max(n_tables, 1), least), _LEVELS_SHOWN)


# The figure


def _flow(recipe: RecipeAccount, full: bool) -> Flow:
    before = [step.n_reached for step in recipe.steps]
    totals = {total.step: total for total in recipe.totals}
    kept = f"{text.count(recipe.n_kept)} rows, {_shown(recipe.kept, 'share', full)}"
    steps = (
        _flow_step(recipe, step, totals.get(step.id), n_after, full)
        for step, n_after in zip(recipe.steps, [*before[1:], recipe.n_kept], strict=False)
    )
    return Flow(recipe.title, recipe.n, tuple(steps), kept)


def _flow_step(
    recipe: RecipeAccount, step: StepEffect, total: StepRemoval | None, n_after: int, full: bool
) -> FlowStep:
    why = step_removal_words(step, total)
    how: How = "gate" if why else _how(step)
    words = why
    if not why:
        share = _shown(step.removed_share, "share", full)
        words = f"{text.count(step.n_removed_here)} rows {how}, {share} of those it could judge"
    elif total is None and why.startswith("removes nothing"):
        how = "rewrite"
        effect = next((x for x in recipe.rewrites if x.step == step.id), None)
        if effect is not None:
            words = (
                f"rewrites {text.count(effect.n_changed)} captions, "
                f"{text.count(effect.n_emptied)} of them left empty; removes nothing by itself"
            )
    return FlowStep(step.title, step.n_reached, n_after, how, words)


def _how(step: StepEffect) -> How:
    """What becomes of the rows that a step removes."""
    kinds = {outcome.partition(":")[0] for outcome, n in step.outcomes.items() if n}
    if "route" in kinds:
        return "dropped or routed" if "drop" in kinds else "routed"
    return "dropped"
