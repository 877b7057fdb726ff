"""``laion-probe dft-plan``: what a generator would be fine-tuned on, and how it would be judged."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from laion_probe import __version__
from laion_probe.attributes import load_attribute
from laion_probe.compare_result import CompareResult
from laion_probe.compose_result import RunOf
from laion_probe.config import WHO_COMPUTES
from laion_probe.config.dft import DftConfig
from laion_probe.dft_result import (
    AxisPlan,
    DftResult,
    Gap,
    ListUsed,
    Price,
    ProfessionPlan,
    TermPlan,
)
from laion_probe.errors import ConfigError
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.dft_files import Targets, write_evaluation, write_manifest, write_prompts
from laion_probe.questions.dft_gaps import Measured, by_concept, measured_in, targets_of, unnamed
from laion_probe.questions.dft_lists import (
    Axis,
    Term,
    folded,
    list_fingerprint,
    open_axes,
    open_professions,
)
from laion_probe.questions.dft_notes import notes
from laion_probe.questions.dft_numbers import Grid, Planned, spread
from laion_probe.questions.dft_prompts import PlannedPrompt, check_template, prompts_of_cells
from laion_probe.questions.dft_words import (
    CANNOT_SAY,
    PUBLISHED,
    Size,
    divided,
    finding,
    gap_notes,
    how_planned,
)
from laion_probe.questions.inputs import Progress
from laion_probe.questions.opening_runs import open_result
from laion_probe.questions.repeating import command, without_folders
from laion_probe.results import Document, InputRecord
from laion_probe.shards import file_sha256

__all__ = ["dft_plan"]

_MOST_CELLS = 500_000
_MOST_PICTURES = 20_000_000
_NAMED = 12


def dft_plan(
    config: DftConfig,
    progress: Progress = lambda what, done, of: None,
    folder: Path | None = None,
) -> DftResult:
    """Plan a diversity fine-tuning: prompts, numbers, manifest and evaluation.

    With ``folder``, these are written into it; without, the plan is checked as if they were, and
    nothing is left. Nothing is drawn and nothing is trained. Raises `ConfigError` or `UnknownName`
    where no list is named, a list, template or target cannot be used, or the run has no gap that
    an axis stands for.

    >>> lists = {"professions": ("profession_soc2018",), "axis": ("gender",)}
    >>> dft_plan(DftConfig(**lists)).n_pictures
    696
    """
    if folder is None:
        # what generate and compare could not read back is an error all the same
        with tempfile.TemporaryDirectory() as scratch:
            return dft_plan(config, progress, Path(scratch))
    professions, axes = open_professions(config.professions), open_axes(config.axis)
    for template in config.template:
        check_template(template, axes)
    if not config.template:
        raise ConfigError("no template: give --template, or leave it to its default")
    result, measured = _measured(config)
    targets = targets_of(config.target, axes)
    held_out = _held_out(professions.terms, config)
    grid = Grid(professions, axes, targets, measured, held_out)
    trained = tuple(t for t in professions.terms if t.term not in held_out)
    n_cells = _size(trained, axes, config)
    planned = {term.term: grid.of(term) for term in professions.terms}
    if config.folder is not None:
        _check_gaps(config, grid, planned)
    progress("cells", 0, n_cells)
    n_pictures = config.per_cell * n_cells
    pairs = [(term, planned[term.term]) for term in trained]
    cells = spread(axes, pairs, n_pictures, config.seed)
    prompts, n_merged = prompts_of_cells(cells, axes, config.template)
    progress("cells", n_cells, n_cells)
    files = write_prompts(prompts, config, folder)
    write_manifest(prompts, files, axes, folder)
    out = [t for t in professions.terms if t.term in held_out]
    evaluation, unclear = write_evaluation(out, trained, _evaluated(grid), config, folder)
    plans = _professions(grid, planned, prompts)
    axis_plans = tuple(_axis(grid, i, prompts, plans, config) for i in range(len(axes)))
    size = Size(
        n_prompts=len(prompts),
        n_cells=n_cells,
        n_empty=sum(cell.n_pictures == 0 for cell in cells),
    )
    n_evaluation = evaluation.n_pictures
    hours = config.seconds_per_picture
    price = Price(
        n_training=n_pictures,
        n_evaluation=n_evaluation,
        hours=None if hours is None else hours * (n_pictures + n_evaluation) / 3600,
    )
    rule: Literal["equal", "target", "gap"] = (
        "gap" if config.folder is not None else "target" if targets else "equal"
    )
    return DftResult(
        data_note=config.data_note or _note_of(result),
        context=config.context,
        harms=config.harms,
        published=PUBLISHED,
        rule=rule,
        templates=config.template,
        n_cells=size.n_cells,
        n_empty=size.n_empty,
        n_prompts=size.n_prompts,
        n_merged_prompts=n_merged,
        n_pictures=n_pictures,
        lists=tuple(_lists((professions, *axes))),
        axes=axis_plans,
        professions=plans,
        gap_notes=gap_notes(plans),
        prompt_files=files,
        evaluation=evaluation,
        price=price,
        finding=finding(plans, axis_plans, price, size),
        how_planned=how_planned(rule, axis_plans, evaluation, config),
        notes=(*notes(grid, planned, cells, config), *unclear),
        cannot_say=CANNOT_SAY,
        provenance=RunOf(
            version=__version__,
            command=command("dft-plan", config, "folder", folders=False),
            config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
            inputs=tuple(_inputs((professions, *axes), config)),
        ),
    )


def _measured(config: DftConfig) -> tuple[Document | None, Mapping[str, list[Measured]]]:
    if config.folder is None:
        if config.generator is not None:
            raise ConfigError(
                "--generator names one of a compare run's: give the folder of that run, or leave "
                "it out"
            )
        return None, {}
    if not config.target:
        raise ConfigError(
            "a gap is a distance from a target, and none is taken by default: name one with "
            "--target, such as gender:woman=0.5 or gender:parity"
        )
    _, result = open_result(Path(config.folder))
    return result, by_concept(measured_in(result, config))


def _held_out(terms: Sequence[Term], config: DftConfig) -> frozenset[str]:
    """The professions whose seeded hash is smallest; as many as were asked for, never all."""
    n = min(round(config.held_out * len(terms)), len(terms) - 1)
    if config.held_out > 0 and n == 0 and len(terms) > 1:
        n = 1
    by_hash = sorted(
        (hashlib.sha256(f"{config.seed}\0{folded(t.term)}".encode()).hexdigest(), t.term)
        for t in terms
    )
    return frozenset(term for _, term in by_hash[:n])


def _size(trained: Sequence[Term], axes: Sequence[Axis], config: DftConfig) -> int:
    n_cells = len(trained)
    for axis in axes:
        n_cells *= len(axis.terms)
    if n_cells > _MOST_CELLS or n_cells * config.per_cell > _MOST_PICTURES:
        raise ConfigError(
            f"the grid has {n_cells:,} cells and {n_cells * config.per_cell:,} pictures: more than "
            f"{_MOST_CELLS:,} or {_MOST_PICTURES:,}; name fewer lists, or a smaller --per-cell"
        )
    return n_cells


def _check_gaps(config: DftConfig, grid: Grid, planned: Mapping[str, Planned]) -> None:
    """`ConfigError` where nothing that the run measured can be planned for."""
    if any(p.gaps for p in planned.values()):
        return
    attributes = sorted({m.attribute for of in grid.measured.values() for m in of})
    concepts = sorted({m.concept for of in grid.measured.values() for m in of})
    stood_for = [a.name for a in grid.axes if a.attribute in attributes and a.name in grid.targets]
    if stood_for:
        shown = ", ".join(concepts[:_NAMED]) + (", …" if len(concepts) > _NAMED else "")
        raise ConfigError(
            f"run {config.folder} measured no profession of the lists, with words for both levels: "
            f"it measured {shown}; name a list with these words in --professions"
        )
    raise ConfigError(
        f"run {config.folder} measured {', '.join(attributes)}, and no axis with a target stands "
        "for it: name a list of that attribute with --axis, such as gender, and its --target"
    )


def _evaluated(grid: Grid) -> list[Targets]:
    """Each attribute that reads an axis; with the target of its two levels, if one was named."""
    found = []
    for axis in grid.axes:
        if not axis.attribute:
            continue
        gaps = [m for of in grid.measured.values() for m in of if m.attribute == axis.attribute]
        attribute = load_attribute(axis.attribute)
        pair = (gaps[0].level, *gaps[0].others) if gaps else (attribute.contrast, attribute.against)
        wanted = grid.targets.get(axis.name, {})
        whole = sum(wanted.get(level, 0.0) for level in pair)
        share = wanted.get(pair[0], 0.0) / whole if whole > 0 else None
        found.append(Targets(axis.attribute, pair[0], share))
    return found


def _axis(
    grid: Grid,
    place: int,
    prompts: Sequence[PlannedPrompt],
    professions: Sequence[ProfessionPlan],
    config: DftConfig,
) -> AxisPlan:
    axis = grid.axes[place]
    target = dict(grid.targets[axis.name]) if axis.name in grid.targets else None
    n_changed = sum(
        any(gap.axis == axis.name and gap.sure for gap in p.gaps)
        for p in professions
        if not p.held_out
    )
    counts: Counter[str] = Counter()
    for prompt in prompts:
        counts[prompt.terms[place].term] += prompt.n_pictures
    total = counts.total()
    return AxisPlan(
        name=axis.name,
        attribute=axis.attribute,
        divided=divided(target, unnamed(config.target, axis), n_changed),
        target=target,
        terms=tuple(
            TermPlan(
                term=t.term,
                level=t.stands_for,
                code=t.code,
                list=of,
                source=t.source,
                review=t.review,
                n_pictures=counts[t.term],
                share=counts[t.term] / total if total else 0.0,
            )
            for t, of in zip(axis.terms, axis.of, strict=True)
        ),
    )


def _professions(
    grid: Grid, planned: Mapping[str, Planned], prompts: Sequence[PlannedPrompt]
) -> tuple[ProfessionPlan, ...]:
    mine: dict[str, list[PlannedPrompt]] = {}
    for prompt in prompts:
        mine.setdefault(prompt.profession.term, []).append(prompt)
    places = {axis.name: i for i, axis in enumerate(grid.axes)}
    return tuple(
        ProfessionPlan(
            term=term.term,
            also=term.also,
            code=term.code,
            title=term.title,
            list=of,
            source=term.source,
            held_out=term.term in grid.held_out,
            n_pictures=sum(p.n_pictures for p in mine.get(term.term, ())),
            gaps=tuple(
                _realised(gap, mine.get(term.term, ()), places[gap.axis])
                for gap in planned[term.term].gaps
            ),
        )
        for term, of in zip(grid.professions.terms, grid.professions.of, strict=True)
    )


def _realised(gap: Gap, prompts: Sequence[PlannedPrompt], place: int) -> Gap:
    counts: Counter[str] = Counter()
    for prompt in prompts:
        counts[prompt.terms[place].stands_for] += prompt.n_pictures
    whole = counts[gap.level] + sum(counts[level] for level in gap.others)
    share = counts[gap.level] / whole if whole else None
    return gap.model_copy(update={"realised": share})


def _lists(axes: Sequence[Axis]) -> list[ListUsed]:
    return [
        ListUsed(
            name=name,
            axis=axis.name,
            title=one.title,
            source=one.source,
            note=" ".join(one.note.split()),
            review=one.review,
            n_terms=len(one.term) - axis.merged[name],
            n_merged=axis.merged[name],
        )
        for axis in axes
        for name, one in axis.opened
    ]


def _inputs(axes: Sequence[Axis], config: DftConfig) -> list[InputRecord]:
    found = [
        InputRecord(
            kind="table",
            name=name,
            fingerprint=list_fingerprint(one),
            n_rows=len(one.term),
            already="",
            note=f"list of {axis.name}",
        )
        for axis in axes
        for name, one in axis.opened
    ]
    if config.folder is not None:
        path = Path(config.folder)
        file = path / "result.json" if path.is_dir() else path
        found.append(
            InputRecord(
                kind="table",
                name=f"{path.name}/result.json" if path.is_dir() else path.name,
                fingerprint=file_sha256(file),
                n_rows=None,
                already="",
                note="run whose gaps were read",
            )
        )
    return found


def _note_of(result: Document | None) -> str:
    return result.data_note if isinstance(result, ProbeResult | CompareResult) else ""
