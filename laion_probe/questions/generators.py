"""Folders of generated pictures as sources of a comparison: names, labels, prompts."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import CompareConfig
from laion_probe.errors import ConfigError
from laion_probe.estimate import Sample
from laion_probe.neighbourhood import keywords, names_concept
from laion_probe.pictures import Generated, list_generated
from laion_probe.questions.chain import ToRead, label_pictures
from laion_probe.questions.counts_file import DATA, MATCHED
from laion_probe.questions.inputs import Inputs, Progress, check_generated, embed_parts
from laion_probe.shifts import Labelled

__all__ = ["Drawn", "Folder", "label_generated", "open_folders", "prompts_of"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Folder:
    """A folder of generated pictures, and what its generators are called in the comparison."""

    path: str
    generated: Generated
    names: dict[str, str]  # by the generator of its metadata, '' where that has none


@dataclass(frozen=True)
class Drawn:
    """One generator's pictures, all prompts together: ``labelled`` aligns with ``prompt``."""

    labelled: Labelled
    prompt: pl.Series
    mine: Bools
    simulated: bool

    @functools.cached_property
    def prompts(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(sorted(self.prompt.filter(pl.Series(self.mine)).unique()))

    def of(self, prompt: str) -> Labelled:
        """The pictures of one prompt, alone."""
        chosen = self.mine & (self.prompt == prompt).to_numpy()
        d = self.labelled
        unit = np.unique(d.sample.unit[chosen], return_inverse=True)[1]
        return replace(d, label=d.label[chosen], sample=replace(d.sample, unit=unit), picture=None)


def open_folders(config: CompareConfig) -> list[Folder]:
    """Each folder with the names of its generators: as given, else of its metadata, else its own.

    Several generators of one folder are several sources.
    """
    taken = {DATA: "the data", MATCHED: "the data"}
    found = []
    for item in config.generated:
        name, equals, path = item.partition("=")
        if not equals or Path(item).is_dir():
            name, path = "", item
        generated = list_generated(path)
        if generated.rows["prompt"].is_null().all():
            raise ConfigError(
                f"generated folder {path}: no picture has a known prompt, so which concept it "
                "answers is not known; give metadata.jsonl with file_name and prompt"
            )
        own = name.strip() or Path(path).resolve().name
        makers = sorted({maker.strip() for maker in generated.rows["generator"]})
        names = {maker: maker or own for maker in makers}
        if name.strip():
            alone = len(makers) == 1
            names = {maker: own if alone or not maker else f"{own}, {maker}" for maker in makers}
        for called in names.values():
            if called in taken:
                raise ConfigError(
                    f"--generated {item}: the name {called!r} is taken by {taken[called]}; give "
                    "NAME=FOLDER with a name of its own"
                )
            taken[called] = path
        found.append(Folder(path, generated, names))
    return found


def label_generated(
    inputs: Inputs,
    folders: Sequence[Folder],
    config: CompareConfig,
    progress: Progress,
    said: list[str],
) -> dict[str, Drawn]:
    """Embed and label every folder once; by generator. What readers say is added to ``said``."""
    found: dict[str, Drawn] = {}
    attribute = inputs.attributes[0].name
    for folder in folders:
        parts = folder.generated.parts
        vectors = embed_parts(inputs, parts, f"generated {folder.path}", progress)
        check_generated(vectors, config.max_failed_share)
        read = (vectors.rows["error"] == "").to_numpy()
        rows = folder.generated.rows.filter(pl.Series(read)).with_columns(
            pl.col("generator").str.strip_chars()
        )
        files = [file for part in parts for file in part.files]
        prompt = rows["prompt"].fill_null("")
        to_read = ToRead(
            "generated",
            tuple(file for file, yes in zip(files, read, strict=True) if yes),
            tuple(prompt.to_list()),
            vectors.image[read],
        )
        # A picture without a batch is one of its own.
        alone = pl.when(pl.col("batch").is_null()).then(pl.int_range(pl.len()))
        unit = rows.select(
            pl.struct("generator", "prompt", "batch", alone.alias("alone")).rank("dense") - 1
        )
        sample = Sample(
            unit.to_series().to_numpy().astype(np.int64),
            0.0,
            config.level,
            "seed batches are exchangeable",
        )
        labels, told = label_pictures(inputs, to_read, (), sample)
        said += [f"{Path(folder.path).name}: {words}" for words in told]
        for maker, name in folder.names.items():
            mine = (rows["generator"] == maker).to_numpy()
            found[name] = Drawn(labels[attribute], prompt, mine, "simulat" in maker.lower())
    return found


def prompts_of(
    concept: str, prompts: Sequence[str], concepts: Sequence[str] = ()
) -> tuple[str, ...]:
    """The prompts that answer the concept: one, none, or several that it cannot choose from.

    Prompts that name a longer one of ``concepts`` are that one's ("a photo of a police officer" is
    no officer). Of several that are left, the one without further words answers.

    >>> prompts_of("doctor", ["a photo of a doctor", "a photo of a happy doctor"])
    ('a photo of a doctor',)
    """
    wanted = keywords(concept)
    named = list(prompts)
    longer = [words for c in concepts if set(words := keywords(c)) > set(wanted)]
    for words, keep in ((wanted, True), *((words, False) for words in longer)):
        names = names_concept(pl.Series(named, dtype=pl.String), words)
        named = [p for p, yes in zip(named, names, strict=True) if yes is keep]
    plain = [p for p in named if set(keywords(p)) == set(wanted)]
    return tuple(plain if len(named) > 1 and len(plain) == 1 else named)
