"""Post-filtering: which generated pictures a safety checker keeps back, and what that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.attributes import UNKNOWN, Attribute, load_attribute
from laion_probe.attributes.reading import Pictures, read
from laion_probe.blocked_result import BlockedBy, BlockedLevel, BlockedResult, Passed
from laion_probe.compose_result import RunOf
from laion_probe.config import WHO_COMPUTES
from laion_probe.config.generating import BlockedConfig
from laion_probe.embed import Embedder, decode, embed_all, load_embedder
from laion_probe.errors import ConfigError, NotEnoughData
from laion_probe.estimate import Sample, difference_independent, ratio_independent, share
from laion_probe.notes import note_in
from laion_probe.pictures import Generated, PictureFile, list_generated
from laion_probe.questions.blocked_words import cannot_say, claims, finding, how_measured
from laion_probe.questions.inputs import Progress, check_generated, model_record
from laion_probe.questions.repeating import command, without_folders
from laion_probe.results import Estimate, InputRecord
from laion_probe.shifts import Labelled, compose, shift_nested
from laion_probe.store import fingerprint

__all__ = ["blocked"]

Bools = NDArray[np.bool_]

_CACHE = Path(".cache") / "laion-probe"
_FEW = 20
_SOURCES = ("group", "concept", "language")
_TITLES = {
    "group": "group of prompts",
    "concept": "concept",
    "language": "language of the prompt",
    "prompt": "prompt",
}


@dataclass(frozen=True)
class _Property:
    """Levels of the pictures: ``level`` (n,) indexes ``names``."""

    by: str
    title: str
    names: Sequence[str]
    level: NDArray[np.int64]
    labels: str = ""


@dataclass(frozen=True)
class _Read:
    """The pictures that were asked about: their rows, labels by attribute, and the model."""

    rows: pl.DataFrame
    labelled: tuple[Labelled, ...]
    embedder: Embedder | None
    n_unreadable: int


def blocked(
    config: BlockedConfig, progress: Progress = lambda what, done, of: None
) -> BlockedResult:
    """The share that a safety checker blocks, by group, and compositions before and after.

    Pictures are read only where ``config.attributes`` names some. Raises `NotEnoughData` where no
    picture says what a checker said of it.

    >>> blocked(BlockedConfig(generated="generated")).finding  # doctest: +SKIP
    """
    harms = config.harms
    generated = list_generated(config.generated)
    if generated.rows["blocked"].is_null().all():
        raise NotEnoughData(
            f"no picture of {config.generated} says whether a safety checker would block it: "
            "generate with --safety flag, or give metadata with a column blocked"
        )
    found = _read(config, generated, progress)
    rows = found.rows
    hit = rows["blocked"].to_numpy().astype(bool)
    sample = _sample(rows, config.level)
    properties = [*_of_prompts(rows), *(_of_labels(x) for x in found.labelled)]
    n_compared = sum(len(np.unique(p.level)) for p in properties)
    every = np.ones(len(rows), bool)
    generators = tuple(sorted(set(rows["generator"]) - {""}))
    result = BlockedResult(
        data_note=config.data_note or note_in([config.generated]),
        context=config.context,
        harms=harms,
        level=config.level,
        generators=generators,
        simulated=any("simulat" in name.lower() for name in generators),
        n_pictures=len(rows),
        n_prompts=rows["prompt"].n_unique(),
        n_batches=len(np.unique(sample.unit)),
        n_not_checked=int(generated.rows["blocked"].is_null().sum()),
        n_unreadable=found.n_unreadable,
        n_compared=n_compared,
        blocked=share(hit, every, sample),
        by=tuple(_by(p, hit, sample, n_compared) for p in properties),
        passed=tuple(_passed(x, hit) for x in found.labelled),
        finding=(),
        claims=(),
        how_measured=(),
        cannot_say=(),
        provenance=RunOf(
            version=__version__,
            command=command("blocked", config, "generated", folders=False),
            config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
            inputs=_records(config, generated, found.embedder),
        ),
    )
    return result.model_copy(
        update={
            "finding": finding(result),
            "claims": claims(result),
            "how_measured": how_measured(result),
            "cannot_say": cannot_say(result),
        }
    )


def _read(config: BlockedConfig, generated: Generated, progress: Progress) -> _Read:
    """Rows that were checked, with labels of their pictures where attributes are asked for."""
    checked = generated.rows["blocked"].is_not_null().to_numpy()
    if len(set(config.attributes)) != len(config.attributes):
        raise ConfigError(f"an attribute is named twice: {', '.join(config.attributes)}")
    attributes = [load_attribute(name) for name in config.attributes]
    if not attributes:
        return _Read(generated.rows.filter(pl.Series(checked)), (), None, 0)
    files = [file for part in generated.parts for file in part.files]
    hit = generated.rows["blocked"].fill_null(False).to_numpy()
    _refuse_black([f for f, h in zip(files, hit, strict=True) if h])
    embedder = load_embedder(config.model, config.pretrained)
    content = fingerprint([embedder.key, [part.sha256 for part in generated.parts]])
    vectors = embed_all(
        generated.parts,
        embedder,
        Path(config.cache or _CACHE) / "embeddings" / content,
        lambda done, of: progress("embed pictures", done, of),
    )
    check_generated(vectors, config.max_failed_share)
    readable = (vectors.rows["error"] == "").to_numpy()
    mine = np.flatnonzero(checked & readable)
    rows = generated.rows[mine.tolist()]
    pictures = Pictures(
        ids=tuple(rows["file_name"].to_list()),
        captions=tuple(rows["prompt"].fill_null("").to_list()),
        vectors=vectors.image[mine],
        open=lambda i: decode(files[mine[i]].read()),
    )
    sample = _sample(rows, config.level)
    labelled = []
    for a in attributes:
        reading = read(pictures, a, embedder=embedder)
        labelled.append(Labelled(a, reading.label, sample, reading.labels))
    return _Read(rows, tuple(labelled), embedder, int((checked & ~readable).sum()))


def _refuse_black(files: Sequence[PictureFile]) -> None:
    """A checker that ran as the pipeline has it leaves nothing to read of what it blocks."""
    try:
        if files and decode(files[0].read()).getbbox() is None:
            raise ConfigError(
                f"{files[0].id} was blacked out when it was blocked, so that it cannot be read: "
                "generate with --safety flag, or leave --attributes out"
            )
    except (ValueError, OSError):
        return  # counted as unreadable when it is embedded


def _sample(rows: pl.DataFrame, level: float) -> Sample:
    """Pictures of one generator and batch are one unit, whatever the prompt; else each is one."""
    alone = pl.when(pl.col("batch").is_null()).then(pl.int_range(pl.len()))
    unit = rows.select(pl.struct("generator", "batch", alone.alias("alone")).rank("dense") - 1)
    return Sample(
        unit.to_series().to_numpy().astype(np.int64),
        0.0,
        level,
        "seed batches are exchangeable, and the prompts are these",
    )


def _of_prompts(rows: pl.DataFrame) -> list[_Property]:
    """What is known of the prompts and differs; prompts themselves where nothing else does."""
    found: list[_Property] = []
    for name in (*_SOURCES, "prompt"):
        if name == "prompt" and found:
            break
        column = rows[name].fill_null(UNKNOWN)
        if column.n_unique() > 1:
            names = column.unique().sort().to_list()
            at = {level: i for i, level in enumerate(names)}
            codes = np.array([at[x] for x in column.to_list()], np.int64)
            found.append(_Property(name, _TITLES[name], names, codes))
    return found


def _of_labels(data: Labelled) -> _Property:
    a = data.attribute
    return _Property(a.name, a.title, a.levels, data.label, data.labels)


def _by(p: _Property, hit: Bools, sample: Sample, together: int) -> BlockedBy:
    present = [i for i in range(len(p.names)) if (p.level == i).any()]
    return BlockedBy(
        by=p.by,
        title=p.title,
        labels=p.labels,
        levels=tuple(_level(p.names[i], p.level == i, hit, sample, together) for i in present),
    )


def _level(name: str, mine: Bools, hit: Bools, sample: Sample, together: int) -> BlockedLevel:
    stricter = replace(sample, level=1 - (1 - sample.level) / max(1, together))
    here, rest = share(hit, mine, stricter), share(hit, ~mine, stricter)
    return BlockedLevel(
        level=name,
        n=int(mine.sum()),
        n_blocked=int((mine & hit).sum()),
        blocked=share(hit, mine, sample),
        difference=_for_all(difference_independent(rest, here), sample.level, together),
        ratio=_for_all(ratio_independent(rest, here), sample.level, together),
        few=int(mine.sum()) < _FEW,
    )


def _for_all(e: Estimate, level: float, together: int) -> Estimate:
    """An interval made at a stricter level, named by the level that all of them have together."""
    method = f"{e.method}, Bonferroni over {together} levels"
    return e.model_copy(update={"level": level, "method": method})


def _passed(data: Labelled, hit: Bools) -> Passed:
    a: Attribute = data.attribute
    every = np.ones(len(hit), bool)
    return Passed(
        attribute=a.name,
        title=a.title,
        parity=a.parity,
        before=compose(data, every),
        after=compose(data, ~hit),
        shift=shift_nested(data, ("generated", every), ("passed", ~hit)),
    )


def _records(
    config: BlockedConfig, generated: Generated, embedder: Embedder | None
) -> tuple[InputRecord, ...]:
    found = [
        InputRecord(
            kind="generated",
            name=Path(config.generated).name,
            fingerprint=fingerprint([p.sha256 for p in generated.parts]),
            n_rows=len(generated.rows),
            already="",
            note="hash over the hashes of all pictures",
        )
    ]
    if embedder is not None:
        found.append(model_record(embedder.key))
    return tuple(found)
