"""What is drawn at random from a unit's captions: examples, and a sample to compare detectors on.

A row's draw depends on its URL, its caption and the seed alone, so that any split of the data gives
the same rows. Captions are cut to `MOST_CHARACTERS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.counts import Cell
from laion_probe.groups import load_group
from laion_probe.language import NO_LANGUAGE, guess_frame, primary
from laion_probe.recipes import Recipe
from laion_probe.steps import Batch, Outcome
from laion_probe.unit_scan import Judged

__all__ = [
    "ENGLISH",
    "RELIABLE",
    "Compare",
    "Draw",
    "Found",
    "agreement_of",
    "compare_detectors",
    "drawn_from",
    "examples",
    "pair_of",
]

Bools = NDArray[np.bool_]

#: A detector whose own unreliable guesses count as no language; its name ends so.
RELIABLE = ":reliable"
#: Captions that each detector calls English: the level is the detector, hits is 1 where it does.
ENGLISH = "english"
#: A longer caption is cut: nobody reads more, and one must not make a report unusable.
MOST_CHARACTERS = 500
_LENGTH = "length"  # agreement is always counted by caption length
_SPARE = 8  # rows looked at for each example, since captions repeat


def pair_of(first: str, second: str) -> str:
    """Captions by what two detectors say: the level is "code>code"."""
    return f"pair|{first}|{second}"


def agreement_of(first: str, second: str, group: str) -> str:
    """Captions by level; ``hits`` is 1 where two detectors name the same language."""
    return f"agree|{first}|{second}|{group}"


def drawn_from(cell: str) -> str:
    """How many rows the examples of a cell were drawn from."""
    return f"drawn from|{cell}"


class Found(NamedTuple):
    """An example: what of, its place in the random order, the caption, and what was made of it."""

    cell: str  # "removed|recipe|step", "rewritten|…", "emptied|…", "kept|recipe|other", or
    # what `pair_of` gives and "|code>code"
    draw: float
    text: str
    rewritten: str | None
    note: str


@dataclass(frozen=True)
class Draw:
    """The rows of a unit before any recipe, after each, and what is to be drawn.

    ``masks`` has the bits of the steps that take part, by recipe. Steps that need the whole set are
    left out: at this time they are not decided.
    """

    start: Batch
    recipes: tuple[Recipe, ...]
    after: Sequence[Batch]
    judged: Sequence[Judged]
    masks: Sequence[int]
    n: int
    seed: int


def examples(d: Draw) -> tuple[list[Cell], list[Found]]:
    """Examples of every kind, and how many rows each kind was drawn from."""
    cells: list[Cell] = []
    found: list[Found] = []
    draws, given = d.start.draws(d.seed, "examples"), d.start.column("text")
    for cell, chosen, texts, notes in _kinds(d):
        cells.append((drawn_from(cell), "", 0, 0, int(chosen.sum())))
        for row in _lowest(draws, chosen, given, d.n):
            new = None if texts is None or texts[row] == given[row] else _cut(texts[row])
            found.append(Found(cell, float(draws[row]), _cut(given[row]), new, notes[row]))
    return cells, found


class _Notes:
    """A remark for each row, made when asked for."""

    def __init__(self, language: pl.Series | None = None) -> None:
        self.language = language

    def __getitem__(self, row: int) -> str:
        return "" if self.language is None else f"language: {self.language[row]}"


class _FirstRemover(_Notes):
    def __init__(self, recipe: Recipe, hits: NDArray[np.int64]) -> None:
        self.recipe, self.hits = recipe, hits

    def __getitem__(self, row: int) -> str:
        for i in self.recipe.deciding:
            if (int(self.hits[row]) >> i) & 1:
                return f"dropped by: {self.recipe.step[i].title}"
        return ""


def _kinds(d: Draw) -> Iterator[tuple[str, Bools, pl.Series | None, _Notes]]:
    """Each cell: its rows, their captions as the recipe leaves them, and a remark."""
    kept, hits = [], []
    for r, (recipe, batch, done) in enumerate(zip(d.recipes, d.after, d.judged, strict=True)):
        local = [i for i in recipe.deciding if recipe.step[i].role == "drop"]
        mine = done.hits(recipe) & d.masks[r] & sum(1 << i for i in local)
        alive = np.ones(d.start.n, dtype=bool)
        for i in local:
            here = alive & ((mine >> i) & 1).astype(bool)
            alive &= ~here
            yield f"removed|{r}|{i}", here, batch.text, _Notes(batch.language)
        kept.append(alive)
        hits.append(mine)
        for i, step in enumerate(recipe.step):
            if step.role == "rewrite":
                outcome = done.outcome(i)
                for kind, code in (("rewritten", Outcome.REWRITE), ("emptied", Outcome.EMPTIED)):
                    yield f"{kind}|{r}|{i}", outcome == code, batch.text, _Notes()
    for a, first in enumerate(kept):
        for b, second in enumerate(kept):
            if a != b:
                why = _FirstRemover(d.recipes[b], hits[b])
                yield f"kept|{a}|{b}", first & ~second, d.after[b].text, why


def _lowest(draws: NDArray[np.float64], chosen: Bools, texts: pl.Series, k: int) -> list[int]:
    """The chosen rows with the lowest draws, of different captions as far as there are."""
    rows = np.flatnonzero(chosen)
    if len(rows) > _SPARE * k:
        rows = rows[np.argpartition(draws[rows], _SPARE * k)[: _SPARE * k]]
    out: dict[str, int] = {}
    for row in rows[np.argsort(draws[rows], kind="stable")].tolist():
        out.setdefault(texts[row], row)
    return list(out.values())[:k]


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


@dataclass(frozen=True)
class Compare:
    """Which detectors are compared, on what share of the captions, by which groups."""

    detectors: tuple[str, ...]
    share: float
    groups: tuple[str, ...]
    n_examples: int
    seed: int


def compare_detectors(
    start: Batch, table: pl.DataFrame, compare: Compare
) -> tuple[list[Cell], list[Found]]:
    """What detectors say of a random part of the captions as given; empty captions are left out.

    ``table`` has the levels of the groups. Languages are compared by their primary codes.
    """
    draws = start.draws(compare.seed, "detectors")
    filled = (start.column("text").str.strip_chars() != "").to_numpy()
    chosen = pl.Series(filled & (draws < compare.share))
    part = Batch(start.rows.filter(chosen))
    if part.n == 0:
        return [], []
    said = {name: _codes(name, part.text) for name in compare.detectors}
    language = {name: primary(codes) for name, codes in said.items()}
    levels = pl.DataFrame({_LENGTH: load_group(_LENGTH).levels(part)}).with_columns(
        table[name].filter(chosen) for name in compare.groups
    )
    cells: list[Cell] = []
    for name, codes in language.items():
        english = int((codes == "en").sum())
        cells += [(ENGLISH, name, 1, 0, english), (ENGLISH, name, 0, 0, part.n - english)]
    found: list[Found] = []
    order = draws[chosen.to_numpy()]
    for a, first in enumerate(compare.detectors):
        for second in compare.detectors[a + 1 :]:
            both = said[first] + ">" + said[second]
            pair = pair_of(first, second)
            cells += [(pair, level, 0, 0, n) for level, n in both.value_counts().iter_rows()]
            alike = (language[first] == language[second]).alias("alike")
            for name in levels.columns:
                counted = levels.select(name).with_columns(alike).group_by("alike", name).len("n")
                agree = agreement_of(first, second, name)
                cells += [(agree, level, int(hit), 0, n) for hit, level, n in counted.iter_rows()]
            for cell in both.filter(~alike).unique():
                mine = (both == cell).to_numpy()
                for row in _lowest(order, mine, part.text, compare.n_examples):
                    text = _cut(part.text[row])
                    found.append(Found(f"{pair}|{cell}", float(order[row]), text, None, ""))
    return cells, found


def _codes(detector: str, texts: pl.Series) -> pl.Series:
    frame = guess_frame(detector.removesuffix(RELIABLE), texts)
    if detector.endswith(RELIABLE):
        unsure = pl.lit(NO_LANGUAGE)
        frame = frame.select(pl.when("reliable").then("code").otherwise(unsure).alias("code"))
    return frame["code"]
