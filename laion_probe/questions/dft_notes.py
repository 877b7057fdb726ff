"""What a reader of a plan has to know beside its numbers: what was merged or left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from laion_probe.config.dft import DftConfig
from laion_probe.questions.dft_lists import folded
from laion_probe.questions.dft_numbers import Cell, Grid, Planned

__all__ = ["notes"]


def notes(
    grid: Grid, planned: Mapping[str, Planned], cells: Sequence[Cell], config: DftConfig
) -> tuple[str, ...]:
    """What the lists, the targets and the run leave without pictures or without a reading."""
    return (
        *_of_lists(grid, config),
        *_of_run(grid, planned),
        *_of_targets(grid),
        *_of_cells(cells),
    )


def _of_lists(grid: Grid, config: DftConfig) -> Iterator[str]:
    for axis in (grid.professions, *grid.axes):
        for name, n in axis.merged.items():
            if n:
                yield (
                    f"{name}: {n:,} of its words stood there already, in it or in a list before "
                    "it, and count once."
                )
    n, n_held = len(grid.professions.terms), len(grid.held_out)
    if n_held < round(config.held_out * n):
        yield (
            f"Held out: {n_held:,} of {n:,} and not the {round(config.held_out * n):,} that were "
            "asked for, so that one is left to train on."
        )


def _of_run(grid: Grid, planned: Mapping[str, Planned]) -> Iterator[str]:
    named = {folded(w) for t in grid.professions.terms for w in (t.term, *t.also)}
    unused = sorted({of[0].concept for key, of in grid.measured.items() if key not in named})
    if unused:
        yield f"Measured, but in no list of professions: {', '.join(unused)}."
    gaps = [gap for p in planned.values() for gap in p.gaps]
    if any(gap.sure and not 0 < gap.target < 1 for gap in gaps):
        yield (
            "A target of 0 or 1 is never reached by adding pictures: training pictures have the "
            "level that is aimed at alone."
        )


def _of_targets(grid: Grid) -> Iterator[str]:
    for axis in grid.axes:
        wanted = grid.targets.get(axis.name, {})
        none = [level for level, share in wanted.items() if share == 0]
        if none:
            yield f"{axis.name}: the target leaves no picture to {', '.join(none)}."
        unread = [t.term for t in axis.terms if axis.attribute and not t.level]
        if unread:
            yield (
                f"{axis.name}: {axis.attribute} reads no level for {', '.join(unread)}, so no gap "
                f"of it is measured and no evaluation shows what became of it."
            )


def _of_cells(cells: Sequence[Cell]) -> Iterator[str]:
    n = sum(cell.n_pictures == 0 for cell in cells)
    if n:
        yield (
            f"{n:,} of {len(cells):,} cells get no picture: the target or a gap leaves them none, "
            "or --per-cell is too small for a whole one."
        )
