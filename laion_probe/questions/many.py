"""Many concepts at once, from pictures: counts by concept for `laion_probe.questions.comparing`.

Everything that does not depend on the concept is done once: rows are judged, pictures embedded and
labelled. A concept is then a mask over labelled pictures of the data and one over each generator's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laion_probe.attributes import UNKNOWN, Attribute
from laion_probe.compare_result import CompareInput
from laion_probe.config import CompareConfig, PicturesConfig, ProbeConfig
from laion_probe.embed import Embedder
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.estimate import Sample, share
from laion_probe.known_error import difference_range, for_concept
from laion_probe.neighbourhood import keywords, prompts
from laion_probe.questions.chain import ToRead, label_pictures
from laion_probe.questions.concept import Pool, build_pool, find_concept, name_rows
from laion_probe.questions.counts_file import DATA, MATCHED, CountsTable
from laion_probe.questions.generators import (
    Drawn,
    Folder,
    label_generated,
    open_folders,
    prompts_of,
)
from laion_probe.questions.inputs import (
    Inputs,
    Progress,
    input_records,
    note_beside,
    open_inputs,
)
from laion_probe.questions.judging import judge
from laion_probe.questions.matching import batched, like_prompt
from laion_probe.results import Estimate, InputRecord, KnownError
from laion_probe.runners import Failure
from laion_probe.shards import file_sha256
from laion_probe.shifts import Labelled, adjusted, effective_size
from laion_probe.store import fingerprint

__all__ = ["AboutPictures", "counts_of_pictures", "read_concepts"]

Bools = NDArray[np.bool_]

_ALL = 1e9  # a full count has no sampling error: a billion pictures stand for no end
_REMEMBERED = 32  # batches of texts whose vectors are kept


@dataclass(frozen=True)
class AboutPictures:
    """What counts of pictures do not say of themselves.

    A share is of ``base``, the levels of the headline, and called even at ``parity``; pictures of
    other levels are counted beside it. ``explained`` has (concept, generator, source) where the
    classifier's measured errors alone could make the difference from that source, or that as read
    may be zero, and ``explained_means`` (generator, source) where they could make the mean
    difference. ``measured`` says whether errors were measured, ``incomplete`` whether concepts of
    the list are left out somewhere, as ``notes`` say.
    """

    base: tuple[str, ...]
    parity: float
    data_note: str
    simulated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    explained: frozenset[tuple[str, str, str]] = frozenset()
    explained_means: frozenset[tuple[str, str]] = frozenset()
    measured: bool = False
    incomplete: bool = False


def read_concepts(path: str) -> tuple[str, ...]:
    r"""The concepts of a text file, a line each; blank lines and those that begin with # are not.

    Raises `ConfigError` for a file that cannot be read, holds none, or names one twice.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "occupations.txt")
    ...     _ = file.write_text("# occupations\ndoctor\n\n police officer\n")
    ...     read_concepts(str(file))
    ('doctor', 'police officer')
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"concepts {path}: {reason}; give a text file, a concept a line"
        ) from None
    rows = [(i, line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
    first: dict[str, int] = {}
    found = []
    for i, concept in rows:
        if concept.startswith("#"):
            continue
        if not keywords(concept):
            raise ConfigError(f"concepts {path}, line {i}: {concept!r} has no letters or digits")
        folded = " ".join(concept.casefold().split())
        if folded in first:
            raise ConfigError(
                f"concepts {path}, line {i}: {concept!r} stands in line {first[folded]} already; "
                "delete one of them"
            )
        first[folded] = i
        found.append(concept)
    if not found:
        raise ConfigError(f"concepts {path}: no concept in it; give a concept a line")
    return tuple(found)


def counts_of_pictures(
    config: CompareConfig, progress: Progress
) -> tuple[CountsTable, AboutPictures]:
    """Count the levels near every concept, after the recipe, and in every generator's pictures.

    Of the attributes, the one that has ``config.reported`` is read, or else the first. Rows whose
    captions are like the prompt are counted beside the others, as the source `MATCHED`. Counts of
    clustered pictures come with the size of a simple random sample that would tell as much. What
    the data do not hold, or no prompt names, is left out and said.
    """
    concepts = read_concepts(config.concepts or "")
    if not config.images:
        raise ConfigError("--concepts are sought in pictures: give --shards and --images")
    if not (config.generated or config.reference):
        raise ConfigError(
            "nothing to compare with: give --generated FOLDER, or shares with --reference"
        )
    folders = open_folders(config)
    first = _asked(config, concepts[0])
    inputs = open_inputs(first)
    attribute = _attribute(config, inputs.attributes)
    assert inputs.embedder is not None  # there are pictures
    e = inputs.embedder
    remembering = _Remembering(e.model, e.preprocess, e.tokenizer, e.key)
    remembering.learn([prompts(concept) for concept in concepts])
    inputs = replace(inputs, attributes=(attribute,), embedder=remembering)
    said: list[str] = []
    drawn = label_generated(inputs, folders, config, progress, said)
    ran = judge(inputs, first, progress)
    pool = build_pool(inputs, first, ran.units, ran.scan, progress)
    count = _Count(attribute, config.reported or attribute.contrast)
    data = _label_data(inputs, pool, config.level, said)
    kept = pool.pictured["removed_at"].to_numpy() >= len(inputs.recipe.step)
    notes = [*_notes(pool, ran.failed), *said]
    for number, concept in enumerate(concepts):
        progress("concepts", number, len(concepts))
        asked = first.model_copy(update={"concept": concept})
        near = find_concept(inputs, asked, name_rows(pool, concept))
        if not near.near.any():
            notes.append(f"“{concept}” is left out. {near.result.answer}")
            continue
        if not (near.near & kept).any():
            notes.append(
                f"“{concept}” is left out: {inputs.recipe.name} removes all "
                f"{int(near.near.sum())} pictures near it."
            )
            continue
        _add(count, inputs, concept, concepts, (data, pool, near.near & kept), drawn, notes)
    progress("concepts", len(concepts), len(concepts))
    if not count.cells:
        raise ConfigError(
            f"none of the {len(concepts)} concepts of {config.concepts} can be compared; "
            + " ".join(notes[-3:])
        )
    for name, without in count.unprompted.items():
        named = ", ".join(f"“{concept}”" for concept in without)
        notes.insert(1, f"{name}: no prompt names {named}; left out there.")
    n_out = len(concepts) - len({concept for concept, _ in count.cells})
    if n_out:
        notes.insert(
            1,
            f"Left out altogether: {n_out:,} of {len(concepts):,} concepts, since the data hold no "
            "picture that is known to show them; each is named below.",
        )
    simulated = tuple(name for name, d in drawn.items() if d.simulated)
    about = AboutPictures(
        base=count.base,
        parity=count.parity,
        data_note=" ".join(
            [
                config.data_note or note_beside(inputs.shards),
                *(f"Drawn by a documented simulator, not by a model: {x}." for x in simulated),
            ]
        ).strip(),
        simulated=simulated,
        notes=tuple(notes),
        explained=frozenset(count.explained),
        explained_means=count.explained_means(),
        measured=bool(count.errors(inputs, concepts[0])),
        incomplete=bool(n_out or count.unprompted),
    )
    sources = dict.fromkeys(source for _, source in count.cells)
    labels = {name: d.labelled.labels for name, d in drawn.items()}
    table = CountsTable(
        levels=attribute.levels,
        cells=count.cells,
        labels={source: labels.get(source, data.labels) for source in sources},
        inputs=_records((*input_records(inputs, first), *pool.records), config, folders),
        effective=count.sizes,
        notes=tuple(_how(inputs, attribute, count, first)),
    )
    return table, about


class _Remembering(Embedder):
    """An embedder that knows the texts again that are asked for with every concept."""

    @functools.cached_property
    def _of(self) -> dict[tuple[str, ...], NDArray[np.float32]]:
        return {}

    @functools.cached_property
    def _learnt(self) -> dict[tuple[str, ...], NDArray[np.float32]]:
        return {}

    def learn(self, groups: Sequence[tuple[str, ...]]) -> None:
        """Embed groups of texts together, which is faster than one by one."""
        texts = [text for group in groups for text in group]
        parts = [super(_Remembering, self).texts(part) for part in batched(texts)]
        ends = np.cumsum([len(group) for group in groups])[:-1]
        self._learnt.update(zip(groups, np.split(np.concatenate(parts), ends), strict=True))

    def texts(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        key = tuple(prompts)
        if key in self._learnt:
            return self._learnt[key]
        known = self._of
        if key not in known:
            if len(known) >= _REMEMBERED:
                known.pop(next(iter(known)))
            known[key] = super().texts(prompts)
        known[key] = known.pop(key)  # the last to go
        return known[key]


def _label_data(inputs: Inputs, pool: Pool, level: float, said: list[str]) -> Labelled:
    captions = pool.pictured["text"].fill_null("")
    to_read = ToRead("data", pool.files, tuple(captions.to_list()), pool.vectors)
    sample = Sample(
        pool.pictured["unit"].to_numpy(),
        pool.sampled,
        level,
        "the readable pictures are a random sample of the rows",
    )
    labels, told = label_pictures(inputs, to_read, (), sample)
    said += [f"data: {words}" for words in told]
    return labels[inputs.attributes[0].name]


# Counts


@dataclass
class _Count:
    """What has been counted; ``sizes`` says how many independent pictures tell as much."""

    attribute: Attribute
    reported: str
    cells: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    sizes: dict[tuple[str, str], float] = field(default_factory=dict)
    shares: dict[tuple[str, str], Estimate] = field(default_factory=dict)
    ranges: dict[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)
    unprompted: dict[str, list[str]] = field(default_factory=dict)  # by generator

    @property
    def pair(self) -> bool:
        """Whether the level is one of the attribute's headline."""
        return self.reported in (self.attribute.contrast, self.attribute.against)

    @property
    def base(self) -> tuple[str, ...]:
        """The levels that the share is of: those of the headline, as in `probe`, or all."""
        a = self.attribute
        headline = (a.contrast, a.against)
        return tuple(x for x in a.levels if (x in headline if self.pair else x != UNKNOWN))

    @property
    def parity(self) -> float:
        a = self.attribute
        if not self.pair:
            return 1 / len(self.base)
        return a.parity if self.reported == a.contrast else 1 - a.parity

    def add(self, data: Labelled, mask: Bools, cell: tuple[str, str]) -> None:
        levels = data.attribute.levels
        self.cells[cell] = {level: int((data.level(level) & mask).sum()) for level in levels}
        base = mask & np.isin(data.label, [levels.index(level) for level in self.base])
        self.shares[cell] = share(data.level(self.reported), base, data.sample)
        if base.any():
            self.sizes[cell] = min(effective_size(self.shares[cell]), _ALL) / int(base.sum())

    def errors(self, inputs: Inputs, concept: str) -> tuple[KnownError, ...]:
        """The classifier's errors as they were measured, for this concept where it was."""
        if not self.pair or self.attribute.reader != "zero-shot":
            return ()
        mine = [e for e in inputs.known_errors if e.attribute == self.attribute.name]
        return tuple(for_concept(e, keywords(concept)) for e in mine)

    @property
    def explained(self) -> set[tuple[str, str, str]]:
        """Where the range of the difference over measured errors has zero in it."""
        return {key for key, (low, high) in self.ranges.items() if low <= 0 <= high}

    def explained_means(self) -> frozenset[tuple[str, str]]:
        """Where the mean of the ranges has zero in it: errors may lie alike in all concepts."""
        found = set()
        for pair in {key[1:] for key in self.ranges}:
            low, high = np.mean([ends for key, ends in self.ranges.items() if key[1:] == pair], 0)
            if low <= 0 <= high:
                found.add(pair)
        return frozenset(found)

    def explain(
        self,
        inputs: Inputs,
        key: tuple[str, str, str],
        data: tuple[Labelled, Bools],
        drawn: Labelled,
    ) -> None:
        """Note the range of a difference over the measured errors; all of it where none is known.

        A share of nothing has no difference.
        """
        concept, generator, source = key
        errors = self.errors(inputs, concept)
        shares = self.shares[concept, source], self.shares[concept, generator]
        if not errors or any(e.value is None for e in shares):
            return
        one, two = (
            adjusted(replace(d, known_errors=errors), mask, seed)
            for seed, (d, mask) in enumerate((data, (drawn, np.ones(len(drawn.label), bool))))
        )
        self.ranges[key] = (-1.0, 1.0)
        if one is not None and two is not None:
            e = difference_range(one, two)
            if e.low is not None and e.high is not None:
                self.ranges[key] = e.low, e.high


def _add(
    count: _Count,
    inputs: Inputs,
    concept: str,
    concepts: Sequence[str],
    found: tuple[Labelled, Pool, Bools],
    drawn: dict[str, Drawn],
    notes: list[str],
) -> None:
    """Count one concept in the data, in their matched part and in every generator's pictures."""
    data, pool, near = found
    assert inputs.embedder is not None
    count.add(data, near, (concept, DATA))
    answers: dict[str, str] = {}
    for name, d in drawn.items():
        fit = prompts_of(concept, d.prompts, concepts)
        if len(fit) == 1:
            answers[name] = fit[0]
        elif fit:
            listed = ", ".join(f"“{p}”" for p in fit[:4]) + (", …" if len(fit) > 4 else "")
            notes.append(
                f"{name}: {len(fit)} different prompts name “{concept}” ({listed}), and none "
                "of them it alone; which one answers is not known, so it is left out there."
            )
        else:
            count.unprompted.setdefault(name, []).append(concept)
    matched = None
    if len(set(answers.values())) == 1:
        prompt = next(iter(answers.values()))
        captions = pool.pictured["text"].fill_null("")
        matched = like_prompt(captions, near, prompt, inputs.embedder)
        if matched is None:
            notes.append(f"No caption near “{concept}” states what “{prompt}” does: none matches.")
    elif answers:
        notes.append(
            f"Captions near “{concept}” are not matched: its generators have different prompts."
        )
    if matched is not None:
        count.add(data, matched.mask, (concept, MATCHED))
    for name, prompt in answers.items():
        mine = drawn[name].of(prompt)
        count.add(mine, np.ones(len(mine.label), dtype=bool), (concept, name))
        count.explain(inputs, (concept, name, DATA), (data, near), mine)
        if matched is not None:
            count.explain(inputs, (concept, name, MATCHED), (data, matched.mask), mine)


# What is said of it


def _how(inputs: Inputs, attribute: Attribute, count: _Count, asked: ProbeConfig) -> Sequence[str]:
    by = inputs.embedder.key["model"] if inputs.embedder else "no model"
    after = f" after {inputs.recipe.name}" if inputs.recipe.step else ""
    said = [
        f"Near each concept{after}: pictures whose cosine with it, by {by}, reaches a threshold "
        "that captions set, as `laion-probe probe` does for one concept.",
        f"{attribute.title[0].upper()}{attribute.title[1:]}: {attribute.about}.",
        f"A share is of pictures read as {' or '.join(count.base)}; other levels are counted "
        "beside it.",
        "Pictures come in row groups and seed batches: each share rests on as many independent "
        "pictures as would give its clustered interval, which is what comparisons count.",
        "Captions like the prompt: of those that state a gender just where the prompt does, the "
        "half nearest to it in caption-embedding space (after Seshadri, Singh and Elazar 2024).",
    ]
    others = [name for name in asked.attributes if name != attribute.name]
    if others:
        said.append(
            f"One attribute is compared at a time; for {' or '.join(others)} give --attributes."
        )
    return said


def _notes(pool: Pool, failed: tuple[Failure, ...]) -> list[str]:
    said = [
        f"{len(pool.pictured):,} of {len(pool.rows) + pool.n_unread:,} rows have a readable "
        f"picture ({100 * pool.sampled:.1f} %)."
    ]
    if failed:
        said.append(
            f"{len(failed)} row groups with about {pool.n_unread:,} rows could not be read: every "
            "number is of the rest."
        )
    return said


def _asked(config: CompareConfig, concept: str) -> ProbeConfig:
    """The same options, as a probe of one concept; references are added to the counts."""
    shared = {name: getattr(config, name) for name in PicturesConfig.model_fields}
    return ProbeConfig(**{**shared, "reference": ()}, concept=concept)


def _attribute(config: CompareConfig, attributes: Sequence[Attribute]) -> Attribute:
    if config.reported is None:
        return attributes[0]
    known = {x: a for a in reversed(attributes) for x in a.levels if x != UNKNOWN}
    if config.reported not in known:
        raise UnknownName("level to report", config.reported, known)
    return known[config.reported]


def _records(
    records: Sequence[InputRecord], config: CompareConfig, folders: Sequence[Folder]
) -> tuple[CompareInput, ...]:
    path = Path(config.concepts or "")
    return (
        CompareInput(kind="concepts", name=path.name, fingerprint=file_sha256(path), n_rows=None),
        *(
            CompareInput(
                kind=r.kind, name=r.name, fingerprint=r.fingerprint, n_rows=r.n_rows, note=r.note
            )
            for r in records
        ),
        *(
            CompareInput(
                kind="generated",
                name=Path(folder.path).resolve().name,
                fingerprint=fingerprint([part.sha256 for part in folder.generated.parts]),
                n_rows=len(folder.generated.rows),
                note="hash over the hashes of all pictures",
            )
            for folder in folders
        ),
    )
