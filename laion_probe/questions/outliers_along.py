"""What a prompt's concept brings along: words of captions, and things seen in pictures.

Words are counted by captions (each counts a word once). Things are read zero-shot: one is "seen" in
a picture that is among the most similar of all the data to the thing's prompts. That is a
classifier that nobody corrected, and its shares are fit for comparing, not for counting things. A
model sees something in every picture for any word, known to it or not: only things that captions
confirm are looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import OutliersConfig
from laion_probe.errors import ConfigError
from laion_probe.estimate import Sample
from laion_probe.estimators.lift import Lift, lift, moved
from laion_probe.lexicons import load_lexicon
from laion_probe.measures import words
from laion_probe.neighbourhood import keywords, mean_direction, names_concept, prompts
from laion_probe.outliers_result import BroughtAlong
from laion_probe.questions.inputs import Progress
from laion_probe.questions.neighbours_captions import (
    MOST_CAPTIONS,
    Look,
    caption_rows,
    read_captions,
    texts_of,
)
from laion_probe.questions.neighbours_tables import unit_rows
from laion_probe.questions.outliers_inputs import Opened
from laion_probe.vectors import Embeddings
from laion_probe.webplaces import registered_domains

__all__ = ["SEEN", "Along", "brought_along", "read_tags"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: A thing is seen in this share of the data's pictures, by rule: those most similar to it.
SEEN = 0.05
#: Words in fewer captions near the concept are not looked at; nor those in fewer of all of them.
_FEWEST, _LEAST = 5, 0.01
#: Captions that must name a thing before they can confirm that the model knows it.
_NAMED = 10
_SHOWN = 20
_BLOCK = 16_384
_ALIKE = "rows are a sample of what such data could be; those of one domain are alike"


@dataclass(frozen=True)
class Along:
    """What was brought along, and in words how near was told and what was looked at.

    ``why_not`` says why there is nothing, or ''.
    """

    brought: tuple[BroughtAlong, ...] = ()
    how: tuple[str, ...] = ()
    why_not: str = ""


@dataclass(frozen=True)
class _Rows:
    """Rows of the data that were looked at: near the concept or not, and how similar to things."""

    near: Bools
    things: Floats  # (n, things)
    texts: pl.Series
    sample: Sample

    def enough(self, i: int) -> np.float32:
        """The cosine from which thing i is seen."""
        return np.float32(np.quantile(self.things[:, i], 1 - SEEN))

    def seen(self, i: int) -> Bools:
        """The rows that thing i is seen in."""
        return np.asarray(self.things[:, i] >= self.enough(i))


def brought_along(opened: Opened, tags: Sequence[str], progress: Progress) -> Along:
    """What goes with the prompt's concept in the data and in the outputs; nothing without words.

    Near is what lies at or above the threshold that `laion_probe.neighbourhood` sets by captions.
    Intervals hold for all words that were looked at, and for all things, not for those shown alone.
    """
    config = opened.config
    wanted = keywords(config.prompt) if config.prompt and config.prompt.strip() else ()
    if not wanted:
        return Along()
    concept = " ".join(wanted)
    query = mean_direction(opened.embedder.texts(prompts(concept)))
    look = Look(opened.data, opened.embedder, (concept,), query[None], seed=config.seed)
    threshold = read_captions(look, progress).of[0].threshold
    if threshold.value is None:
        return Along(why_not=f"No picture of the data is called near “{concept}”: {threshold.rule}")
    directions = np.stack([mean_direction(opened.embedder.texts(prompts(t))) for t in tags])
    rows = _rows(opened.data, config, query, threshold.value, directions, progress)
    found, n_words = _words(rows, wanted)
    known = _confirmed(rows, tags, wanted)
    seen = _tags(opened, rows, {tags[i]: directions[i] for i in known}, known)
    n_near = int(rows.near.sum())
    how = (
        f"Near “{concept}” are {n_near:,} of the {len(rows.near):,} training pictures looked at, "
        f"with a cosine of {threshold.value:.4f} or more: {threshold.rule}.",
        f"{n_words:,} words that {_FEWEST} captions near it or more hold, and 1 in 100 of them, "
        f"and {len(known):,} things were looked at; intervals hold for all words, and for all "
        "things, together. Shown are those that come with the concept most surely.",
        f"Of {len(tags):,} things on the list, those alone are looked for that captions confirm: "
        f"{_NAMED} or more name it, and it is seen in their pictures more often than in others.",
        f"A thing is seen in a picture by rule: the {100 * SEEN:.0f} % of the data’s pictures most "
        "similar to its prompts set how similar is enough, also for outputs. These are uncorrected "
        "classifier labels: they compare, and do not count things.",
        "Intervals take domains, and batches of outputs, as what varies.",
    )
    return Along((*found, *seen), how)


def read_tags(path: str | None) -> tuple[str, ...]:
    """Things to look for: of a text file, one a line (# begins a remark), or the shipped list.

    >>> read_tags(None)[:2]
    ('stethoscope', 'syringe')
    """
    if path is None:
        with resources.as_file(resources.files("laion_probe.lexicons") / "things.toml") as file:
            lists = load_lexicon(str(file)).list
        return tuple(term for one in lists for term in one.terms)
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"tags {path}: {reason}; give a text file with a thing a line") from None
    given = (" ".join(line.split()) for line in lines if not line.lstrip().startswith("#"))
    tags = tuple(dict.fromkeys(line for line in given if words(line)))
    if not tags:
        raise ConfigError(f"tags {path}: no thing in it; give one a line, such as stethoscope")
    return tags


def _rows(
    data: Embeddings,
    config: OutliersConfig,
    query: Floats,
    threshold: float,
    directions: Floats,
    progress: Progress,
) -> _Rows:
    """Each row with a vector among those whose captions are read."""
    rows = caption_rows(data, MOST_CAPTIONS, config.seed)
    columns = np.concatenate([query[None], directions]).T
    kept, cosines = [], []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        vectors, where, _, _ = unit_rows(data.vectors(block))
        kept.append(block[where])
        cosines.append(vectors @ columns)
        progress("look for things", min(start + _BLOCK, len(rows)), len(rows))
    usable, cosine = np.concatenate(kept), np.concatenate(cosines)
    return _Rows(
        near=cosine[:, 0] >= np.float32(threshold),
        things=cosine[:, 1:],
        texts=pl.Series("text", texts_of(data, usable), pl.String),
        sample=Sample(_domains(data, usable), 0.0, config.level, _ALIKE),
    )


def _domains(data: Embeddings, rows: Ints) -> Ints:
    """The number of each row's domain; a row without one is on its own."""
    column = data.canonical().get("url")
    if column is None:
        return np.arange(len(rows))
    urls = data.metadata(rows, [column])[column].cast(pl.String)
    domains = registered_domains(urls).to_list()
    numbers: dict[str | int, int] = {}
    return np.array(
        [numbers.setdefault(i if d is None else d, len(numbers)) for i, d in enumerate(domains)],
        np.int64,
    )


def _words(rows: _Rows, wanted: Sequence[str]) -> tuple[list[BroughtAlong], int]:
    """The words that come with the concept most surely, and how many were looked at."""
    sets = [set(words(text)) for text in rows.texts]
    beside = Counter(w for held, near in zip(sets, rows.near, strict=True) if near for w in held)
    least = max(_FEWEST, _LEAST * rows.near.sum())
    candidates = sorted(
        w for w, n in beside.items() if n >= least and len(w) > 1 and not _names(w, wanted)
    )
    found = []
    for word in candidates:
        hit = np.fromiter((word in held for held in sets), bool, len(sets))
        found.append(_item(word, "word", lift(hit, rows.near, rows.sample, len(candidates))))
    return _surest(found), len(candidates)


def _names(word: str, wanted: Sequence[str]) -> bool:
    """Whether the word is one of the concept's own, in the plural too."""
    return any(word in (w, f"{w}s", f"{w}es", f"{w}'s", f"{w}’s") for w in wanted)


def _confirmed(rows: _Rows, tags: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Things that the model sees more often where captions name them; not the concept itself."""
    found = []
    for i, tag in enumerate(tags):
        named = names_concept(rows.texts, keywords(tag)).to_numpy()
        if named.sum() < _NAMED or set(keywords(tag)) <= set(wanted):
            continue
        low = lift(rows.seen(i), named, rows.sample).ratio.low
        if low is not None and low > 1:
            found.append(i)
    return found


def _tags(
    opened: Opened, rows: _Rows, tags: Mapping[str, Floats], places: Sequence[int]
) -> list[BroughtAlong]:
    """The things that come with the concept, or that outputs have more or less often."""
    asked = opened.asked
    outputs = Sample(asked.batch, 0.0, opened.config.level, "batches are exchangeable")
    found = []
    for (tag, direction), i in zip(tags.items(), places, strict=True):
        of = lift(rows.seen(i), rows.near, rows.sample, len(tags))
        hit = asked.vectors @ direction >= rows.enough(i)
        drawn, change = moved(of.beside, hit, outputs, len(tags))
        found.append(
            _item(tag, "tag", of).model_copy(update={"outputs": drawn, "difference": change})
        )
    return _surest(found)


def _item(what: str, kind: str, of: Lift) -> BroughtAlong:
    return BroughtAlong(
        what=what,
        kind="tag" if kind == "tag" else "word",
        data=of.beside,
        rest=of.rest,
        lift=of.ratio,
        outputs=None,
        difference=None,
    )


def _surest(found: Sequence[BroughtAlong]) -> list[BroughtAlong]:
    """Those of which something can be said, the surest lift first; else the few with the most."""

    def least(b: BroughtAlong) -> float:
        return 0.0 if b.lift.low is None else b.lift.low

    def changes(b: BroughtAlong) -> bool:
        d = b.difference
        return (
            d is not None
            and d.low is not None
            and d.high is not None
            and not (d.low <= 0 <= d.high)
        )

    order = sorted(found, key=lambda b: (-least(b), b.what))
    said = [b for b in order if least(b) > 1 or changes(b)]
    return (said or order[:5])[:_SHOWN]
