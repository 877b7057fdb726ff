"""A recipe replayed on rows of embedded data: what it keeps of them, and what becomes of captions.

Columns that the metadata lack make steps *not evaluable*; such steps remove nothing here, and the
notes say so.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.groups import load_group
from laion_probe.language import guess_frame
from laion_probe.measures import WHITE_SPACE
from laion_probe.questions.effects import players
from laion_probe.recipes import Recipe, Step
from laion_probe.records import CANONICAL
from laion_probe.sets import SetRows, decide_sets
from laion_probe.steps import Batch, Outcome
from laion_probe.unit_scan import Judged, judge_rows
from laion_probe.vectors import Embeddings

__all__ = [
    "FALLBACK",
    "ReadRows",
    "Replayed",
    "blank",
    "can_empty",
    "n_words",
    "read_rows",
    "replay",
    "takes_words",
]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: The detector that is asked where a recipe has none of its own.
FALLBACK = "cld2"
#: Steps that take words out of captions, or rows for their words.
_WORDS = ("ban-list", "replace-names", "hypernyms")
_DTYPES = {"String": pl.String(), "Int64": pl.Int64(), "Float64": pl.Float64()}

# Scripts that put no space between words.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_WORD = r"[\p{L}\p{N}\p{M}]+(?:['’][\p{L}\p{N}\p{M}]+)*"


@dataclass(frozen=True)
class ReadRows:
    """Metadata of some rows, ready for recipes.

    ``rows`` (n,) are numbers of the data's rows, ascending; ``whole`` says that they are all of
    them, so that steps which need the whole set can be decided. ``batch`` holds every canonical
    column, null where the metadata have none (``columns`` names those they have); ``captioned``
    (n,) tells rows whose caption is not blank as given.
    """

    rows: Ints
    whole: bool
    columns: frozenset[str]
    batch: Batch
    captioned: Bools

    def at(self, rows: Ints) -> Ints:
        """The places of these rows of the data, all of which were read."""
        return np.searchsorted(self.rows, rows).astype(np.int64)


@dataclass(frozen=True)
class Replayed:
    """What a recipe makes of rows, in their order.

    ``text`` are the captions as it leaves them, ``language`` what ``detector`` calls them.
    ``emptied`` and ``worded`` hold, by step title, the rows that a rewrite leaves without words,
    and those that a ban list or a removal of names hits; steps that the data have passed already
    are in neither. ``decides`` says whether any step that can be replayed and seen removes rows,
    and ``lacking`` names the columns that others would need.
    """

    recipe: Recipe
    kept: Bools
    text: pl.Series
    language: pl.Series
    detector: str
    emptied: dict[str, Bools]
    worded: dict[str, Bools]
    decides: bool
    lacking: tuple[str, ...]
    notes: tuple[str, ...]


def read_rows(data: Embeddings, rows: Ints) -> ReadRows:
    """Read the metadata of ``rows`` (ascending, no row twice) in canonical columns.

    Sizes are those of the picture as it was found on the web, where the metadata (img2dataset's)
    have them beside those of the picture as it was stored. Raises `ShardError` where a part of data
    with metadata has none.
    """
    source = data.canonical()
    for size in ("width", "height"):
        if (found := f"original_{size}") in source:
            source[size] = source[found]
    raw = data.metadata(rows, tuple(dict.fromkeys(source.values()))) if source else pl.DataFrame()
    columns = []
    for name, dtype in CANONICAL.items():
        if name in source:
            held = raw[source[name]]
            if dtype == "Int64" and held.dtype == pl.String:
                held = held.cast(pl.Float64, strict=False)  # "640.0", as pandas writes it
            columns.append(held.cast(_DTYPES[dtype], strict=False).alias(name))
        else:
            columns.append(pl.repeat(None, len(rows), dtype=_DTYPES[dtype], eager=True).alias(name))
    frame = pl.DataFrame(columns).with_columns(pl.col("text").fill_null(""))
    captioned = ~blank(frame["text"])
    return ReadRows(rows, len(rows) == data.n_rows, frozenset(source), Batch(frame), captioned)


def replay(read: ReadRows, recipe: Recipe, already: Recipe | None) -> Replayed:
    """Judge the rows by the recipe; steps that ``already`` covers remove nothing, as elsewhere.

    Steps that need captions are left out where the metadata have none, and those that need the
    whole set where not all rows were read.
    """
    whole, (recipe, notes) = recipe, _replayable(recipe, read.columns)
    batch = read.batch.fork()
    judged = judge_rows(batch, recipe, "keep" if read.whole else "skip")
    hits = judged.hits(recipe)
    seen = players(recipe, already)
    mask = sum(1 << i for i in seen)
    if judged.keys:
        _decide(recipe, judged, read.batch, hits, mask)
    captions = "text" in read.columns
    emptied: dict[str, Bools] = {}
    worded: dict[str, Bools] = {}
    for i, step in enumerate(recipe.step):
        if already is not None and already.passed(step):
            continue
        outcome = judged.outcome(i)
        if can_empty(step) and captions:
            emptied[step.title] = outcome == Outcome.EMPTIED
        if takes_words(step) and captions:
            changed = (Outcome.DROP, Outcome.REWRITE, Outcome.EMPTIED)
            worded[step.title] = np.isin(outcome, changed)
    blind = tuple(
        i for i in seen if batch.n and bool((judged.outcome(i) == Outcome.NOT_EVALUABLE).all())
    )
    detectors = [s.params["detector"] for s in recipe.step if s.kind == "detect-language"]
    language = batch.language
    if language is None:
        by_fallback = read.batch.measured(
            f"language: {FALLBACK}", lambda texts: guess_frame(FALLBACK, texts)
        )
        language = by_fallback["code"]
    return Replayed(
        recipe=recipe,
        kept=(hits & mask) == 0,
        text=batch.text,
        language=language,
        detector=detectors[-1] if detectors else FALLBACK,
        emptied=emptied,
        worded=worded,
        decides=len(seen) > len(blind),
        lacking=_lacking([whole.step[i] for i in players(whole, already)], read.columns),
        notes=(*notes, *_not_replayed(recipe, blind, read)),
    )


def n_words(texts: pl.Series) -> pl.Series:
    """Words of each caption: runs of letters, marks and digits.

    Of scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) two characters count as
    a word.

    >>> n_words(pl.Series(["a doctor's desk!", "着物の女性", "साड़ी", "..."])).to_list()
    [3, 3, 1, 0]
    """
    unspaced = texts.str.count_matches(_UNSPACED)
    return texts.str.replace_all(_UNSPACED, " ").str.count_matches(_WORD) + (unspaced + 1) // 2


def blank(texts: pl.Series) -> Bools:
    """Which captions (String, no nulls) have nothing but white space."""
    return np.asarray((texts.str.strip_chars(WHITE_SPACE) == "").to_numpy(), dtype=bool)


def can_empty(step: Step) -> bool:
    """Whether a rewrite can leave a caption without words: not by shortening or replacing it."""
    if step.role != "rewrite" or step.kind in ("collapse-white-space", "truncate"):
        return False
    if step.kind == "drop-captions":
        return bool(step.params["probability"] > 0)
    return step.kind != "replace-names" or not step.params.get("by", "").strip()


def takes_words(step: Step) -> bool:
    """Whether a step removes rows for their words, or names from captions."""
    return step.kind in _WORDS


def _replayable(recipe: Recipe, columns: frozenset[str]) -> tuple[Recipe, list[str]]:
    """The recipe without the steps that read captions, where there are none to read."""
    out = [s for s in recipe.step if "text" in s.needs and "text" not in columns]
    if not out:
        return recipe, []
    steps = tuple(s for s in recipe.step if s not in out)
    said = "; ".join(s.title for s in out)
    return (
        recipe.model_copy(update={"step": steps}),
        [f"left out, since the metadata have no captions: {said}"],
    )


def _decide(recipe: Recipe, judged: Judged, batch: Batch, hits: Ints, mask: int) -> None:
    """Set the bits of the steps that need the whole set as `laion_probe.unit_scan.resolve`."""
    groups = dict.fromkeys(g for s in recipe.step for g in s.groups)
    frame = pl.DataFrame(
        [
            *(key.alias(f"key_{i}") for i, key in judged.keys.items()),
            *(load_group(name).levels(batch).alias(name) for name in groups),
        ]
    )
    with tempfile.TemporaryDirectory() as scratch:
        decide_sets(recipe, SetRows(lambda: iter([frame]), len(hits), Path(scratch)), hits, mask)


def _lacking(steps: list[Step], columns: frozenset[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c for s in steps for c in s.needs if c not in columns))


def _not_replayed(recipe: Recipe, blind: tuple[int, ...], read: ReadRows) -> list[str]:
    """What is not known of the recipe here, a sentence a reason."""
    notes = []
    by_columns: dict[str, list[str]] = {}
    for step in (recipe.step[i] for i in blind):
        if step.role == "set" and not read.whole:
            why = "needs all rows, and a sample was read"
        else:
            lacking = _lacking([step], read.columns)
            why = f"the metadata lack {' and '.join(lacking)}" if lacking else "nothing to judge by"
        by_columns.setdefault(why, []).append(step.title)
    for why, titles in by_columns.items():
        notes.append(f"not evaluable, so that it removes nothing here ({why}): {'; '.join(titles)}")
    if context := [s.title for s in recipe.step if s.role == "context"]:
        notes.append(f"not simulated: {'; '.join(context)}")
    return notes
