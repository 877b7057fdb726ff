"""The sets that are explored: pictures, vectors, and which concept or prompt each is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.appearance import Box, largest_box
from laion_probe.config.exploring import ExploreConfig
from laion_probe.embed import Embedder, embed_all, load_embedder
from laion_probe.errors import ConfigError, NotEnoughData, ShardError
from laion_probe.neighbourhood import choose_threshold, keywords, mean_direction, names_concept
from laion_probe.neighbourhood import prompts as prompts_of_concept
from laion_probe.pictures import (
    PictureFile,
    PicturePart,
    list_downloads,
    list_generated,
)
from laion_probe.pictures.files import image_folder_metadata
from laion_probe.questions.generators import prompts_of
from laion_probe.questions.inputs import Progress
from laion_probe.questions.many import read_concepts
from laion_probe.results import InputRecord
from laion_probe.store import fingerprint
from laion_probe.webplaces import registered_domains

__all__ = ["NO_PROMPT", "ReadSet", "Sets", "read_sets"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: What pictures are called that answer no words.
NO_PROMPT = "(empty prompt)"
_UNKNOWN_PROMPT = "(prompt unknown)"
_NONE, _SEVERAL = -1, -2
_CACHE = Path(".cache") / "laion-probe"


@dataclass(frozen=True)
class ReadSet:
    """The pictures of a set that are of one concept, with their unit-length ``vectors`` (n, d).

    ``group`` is a place in `Sets.groups`; ``unit`` the batch, or domain, of each.
    """

    name: str
    kind: str
    generator: str
    files: tuple[PictureFile, ...]
    captions: tuple[str, ...]
    boxes: tuple[Box | None, ...]
    vectors: Floats
    group: Ints
    unit: Ints
    n_pictures: int
    n_unreadable: int
    n_several: int
    n_other: int


@dataclass(frozen=True)
class Sets:
    """All sets, the concepts that any of them has, and what was read."""

    sets: tuple[ReadSet, ...]
    groups: tuple[str, ...]
    model: dict[str, str]
    inputs: tuple[InputRecord, ...]


@dataclass(frozen=True)
class _Listed:
    """A set before anything is embedded: a row a picture with ``words``, ``batch``, ``url``."""

    name: str
    path: Path
    kind: str
    parts: tuple[PicturePart, ...]
    rows: pl.DataFrame
    generator: str
    boxes: dict[str, Box]


def read_sets(config: ExploreConfig, progress: Progress) -> Sets:
    """List, embed and divide the sets. Raises a `LaionProbeError` where that cannot be done."""
    listed = _list_sets(config.sets)
    concepts = _concepts(config, listed)
    embedder = load_embedder(config.model, config.pretrained)
    found = [_read(config, one, concepts, embedder, progress) for one in listed]
    named = [name for _, names in found for name in names]
    groups = tuple(dict.fromkeys([*(c for c in concepts if c in named), *sorted(named)]))
    if not groups:
        raise NotEnoughData(
            f"no picture of {', '.join(one.name for one in listed)} shows any of the "
            f"{len(concepts)} concepts: give --concepts FILE with words that captions have, or "
            "--by near"
        )
    place = {name: i for i, name in enumerate(groups)}
    return Sets(
        tuple(_numbered(one, [place[name] for name in names]) for one, names in found),
        groups,
        embedder.key,
        tuple(_record(one) for one in listed),
    )


def _list_sets(items: Sequence[str]) -> list[_Listed]:
    found: list[_Listed] = []
    for item in items:
        name, equals, path = item.partition("=")
        if not equals or Path(item).exists():
            name, path = "", item
        root = Path(path)
        if not root.exists():
            raise ConfigError(f"set {item}: {path} does not exist; give FOLDER or NAME=FOLDER")
        called = name.strip() or root.resolve().name
        if called in {one.name for one in found}:
            raise ConfigError(f"two sets are called {called!r}: give NAME=FOLDER with other names")
        found.append(_downloads(called, root) if _downloaded(root) else _generated(called, root))
    return found


def _downloaded(root: Path) -> bool:
    """Whether tars stand beside parquet with URLs, as img2dataset writes them.

    `laion-probe generate` writes tars beside parquet too, of which none has a URL.
    """
    for tar in sorted(root.glob("*.tar")) if root.is_dir() else ():
        beside = tar.with_suffix(".parquet")
        if beside.is_file():
            try:
                return "url" in pl.read_parquet_schema(beside)
            except (pl.exceptions.PolarsError, OSError):
                return True  # to be refused, with its name, where it is read
    return False


def _downloads(name: str, root: Path) -> _Listed:
    parts = list_downloads(str(root)).parts
    files = [file for part in parts for file in part.files]
    rows = pl.DataFrame(
        {"words": [f.caption for f in files], "url": [f.url for f in files]},
        schema={"words": pl.String, "url": pl.String},
    )
    domain = registered_domains(rows["url"])
    return _Listed(name, root, "data", parts, rows.with_columns(batch=domain), "", _boxes(root))


def _generated(name: str, root: Path) -> _Listed:
    generated = list_generated(str(root))
    rows = generated.rows.select(pl.col("prompt").alias("words"), "batch")
    makers = ", ".join(sorted({m.strip() for m in generated.rows["generator"]} - {""}))
    boxes = {}
    if root.is_dir():
        for file, said in image_folder_metadata(root).items():
            if (box := largest_box(said.get("face_bboxes"))) is not None:
                boxes[file] = box
    return _Listed(name, root, "generated", generated.parts, rows, makers, boxes)


def _boxes(root: Path) -> dict[str, Box]:
    """Face boxes beside img2dataset's tars, as DataComp's metadata have them, by picture."""
    found = {}
    for table in sorted(root.glob("*.parquet")):
        try:
            if "face_bboxes" not in pl.read_parquet_schema(table):
                continue
            rows = pl.read_parquet(table, columns=["key", "face_bboxes"])
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ShardError(f"{table}: not img2dataset metadata ({reason})") from error
        for key, boxes in rows.iter_rows():
            if (box := largest_box(boxes)) is not None:
                found[f"{table.stem}/{key}"] = box
    return found


def _concepts(config: ExploreConfig, listed: Sequence[_Listed]) -> tuple[str, ...]:
    """As the file has them; else what the prompts of generated sets say."""
    if config.concepts:
        return read_concepts(config.concepts)
    prompts = {
        words
        for one in listed
        if one.kind == "generated"
        for words in one.rows["words"].drop_nulls()
        if words.strip() and keywords(words)
    }
    if not prompts and any(one.kind == "data" for one in listed):
        raise ConfigError(
            "which concepts are sought in the data? give --concepts FILE, or a set of generated "
            "pictures whose prompts name them"
        )
    return tuple(sorted(prompts))


def _read(
    config: ExploreConfig,
    one: _Listed,
    concepts: Sequence[str],
    embedder: Embedder,
    progress: Progress,
) -> tuple[ReadSet, list[str]]:
    """The set without what is of no concept, and the concept of each picture left."""
    content = fingerprint([embedder.key, [p.sha256 for p in one.parts]])
    cache = Path(config.cache) if config.cache else _CACHE
    vectors = embed_all(
        one.parts,
        embedder,
        cache / "embeddings" / content,
        lambda done, of: progress(f"embed {one.name}", done, of),
    )
    readable = (vectors.rows["error"] == "").to_numpy()
    n, n_broken = len(readable), int((~readable).sum())
    if n_broken > config.max_failed_share * n:
        first = vectors.rows.filter(~pl.Series(readable)).row(0, named=True)
        raise ShardError(
            f"set {one.name}: {n_broken} of {n} pictures cannot be read, first {first['id']}: "
            f"{first['error']}; remove them, or allow it with --max-failed-share"
        )
    if one.kind == "generated":
        names, of = _by_prompt(one.rows["words"], concepts)
    else:
        names = list(concepts)
        of = (
            _by_caption(one.rows["words"], concepts)
            if config.by == "caption"
            else _by_nearness(vectors.image, one.rows["words"], concepts, embedder)
        )
    chosen = _sampled(of, readable & (of >= 0), config)
    files = [file for part in one.parts for file in part.files]
    batch = one.rows["batch"]
    unit = [f"{of[i]}\0{batch[i]}" if batch[i] else f"picture {i}" for i in map(int, chosen)]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(unit))}
    read = ReadSet(
        name=one.name,
        kind=one.kind,
        generator=one.generator,
        files=tuple(files[i] for i in chosen),
        captions=tuple(one.rows["words"][int(i)] or "" for i in chosen),
        boxes=tuple(one.boxes.get(files[i].id) for i in chosen),
        vectors=vectors.image[chosen],
        group=of[chosen],
        unit=np.array([numbers[key] for key in unit], dtype=np.int64),
        n_pictures=n,
        n_unreadable=n_broken,
        n_several=int((of == _SEVERAL).sum()),
        n_other=int((of == _NONE).sum()),
    )
    return read, [names[i] for i in of[chosen]]


def _by_prompt(words: pl.Series, concepts: Sequence[str]) -> tuple[list[str], Ints]:
    """The concept that a prompt alone answers, or the prompt itself."""
    prompts = sorted({p for p in words.drop_nulls() if p.strip()})
    name = {p: p for p in prompts}
    for concept in concepts:
        answers = prompts_of(concept, prompts, concepts)
        if len(answers) == 1:
            name[answers[0]] = concept
    said = [_UNKNOWN_PROMPT if w is None else name.get(w, NO_PROMPT) for w in words]
    names = sorted(set(said))
    place = {n: i for i, n in enumerate(names)}
    return names, np.array([place[s] for s in said], dtype=np.int64)


def _by_caption(captions: pl.Series, concepts: Sequence[str]) -> Ints:
    """The concept whose words a caption has; of one within another, the longer."""
    wanted = [keywords(c) for c in concepts]
    named = np.stack([names_concept(captions, w).to_numpy() for w in wanted])
    for i, w in enumerate(wanted):
        for j, longer in enumerate(wanted):
            if set(longer) > set(w):
                named[i] &= ~named[j]
    return _only(named)


def _by_nearness(
    vectors: Floats, captions: pl.Series, concepts: Sequence[str], embedder: Embedder
) -> Ints:
    """The most similar of the concepts whose neighbourhood a picture is in."""
    filled = captions.str.strip_chars().str.len_chars().to_numpy() > 0
    some = np.flatnonzero(filled)[:1000]
    own = np.zeros(0, np.float32)
    if len(some):
        texts = embedder.captions([captions[int(i)] for i in some])
        own = np.asarray((vectors[some] * texts).sum(axis=1))
    similar = np.full((len(concepts), len(vectors)), -np.inf, np.float32)
    for i, concept in enumerate(concepts):
        words = keywords(concept)
        similarity = vectors @ mean_direction(embedder.texts(prompts_of_concept(" ".join(words))))
        named = names_concept(captions, words).to_numpy()
        threshold = choose_threshold(similarity, named, own).value
        if threshold is not None:
            similar[i] = np.where(similarity >= threshold, similarity, -np.inf)
    best = similar.argmax(axis=0)
    return np.where(np.isfinite(similar.max(axis=0)), best, _NONE).astype(np.int64)


def _only(named: NDArray[np.bool_]) -> Ints:
    """The one concept that is named (concepts, n); which of several is not to be said."""
    times = named.sum(axis=0)
    return np.where(times == 1, named.argmax(axis=0), np.where(times == 0, _NONE, _SEVERAL)).astype(
        np.int64
    )


def _sampled(of: Ints, usable: NDArray[np.bool_], config: ExploreConfig) -> Ints:
    """Up to ``most`` pictures of each concept, at random, in their order."""
    rng = np.random.default_rng(config.seed)
    chosen = []
    for i in np.unique(of[usable]):
        rows = np.flatnonzero(usable & (of == i))
        if len(rows) > config.most:
            rows = rng.choice(rows, config.most, replace=False)
        chosen.append(rows)
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def _numbered(one: ReadSet, group: Sequence[int]) -> ReadSet:
    return replace(one, group=np.array(group, dtype=np.int64))


def _record(one: _Listed) -> InputRecord:
    return InputRecord(
        kind="images" if one.kind == "data" else "generated",
        name=one.path.name,
        fingerprint=fingerprint([p.sha256 for p in one.parts]),
        n_rows=len(one.rows),
        already="",
        note="hash over the hashes of all parts",
    )
