"""Open what ``outliers`` reads: generated pictures, the training data, and the model for both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute, load_attribute
from laion_probe.clusters import MIN_OUTPUTS
from laion_probe.config import OutliersConfig
from laion_probe.config.loading import load_config
from laion_probe.embed import (
    Embedder,
    EmbeddingFolder,
    Pace,
    Source,
    cores,
    embed_all,
    embed_parts,
    load_embedder,
)
from laion_probe.errors import ConfigError, NotEnoughData, ShardError
from laion_probe.neighbours_result import ModelCheck
from laion_probe.pictures import (
    Generated,
    PictureFile,
    list_downloads,
    list_generated,
    list_picture_shards,
)
from laion_probe.questions.inputs import (
    Progress,
    already_passed,
    check_generated,
    known_errors_of,
)
from laion_probe.questions.model_check import check_model
from laion_probe.recipes import Recipe, load_recipe
from laion_probe.results import KnownError
from laion_probe.store import fingerprint
from laion_probe.vectors import Embeddings, open_embeddings

__all__ = ["Asked", "Opened", "open_outliers"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_DEMO = Path("data") / "demo" / "probe.toml"
_CACHE = Path(".cache") / "laion-probe"
_PART_ROWS = 10_000
_SHOWN = 12
_LEAST_PICKED = 5


@dataclass(frozen=True)
class Asked:
    """The outputs that are looked at: n of them, each in a batch of outputs drawn together.

    ``vectors`` (n, d) are of unit length. ``prompt`` is what they answer, None for all;
    ``prompts`` are all those among them. ``n_unreadable`` outputs (of any prompt) are left out;
    ``n_same`` are copies of another of these, and share its batch. ``batches_known`` is False where
    no metadata name them. ``picked`` (n,) marks those that the user named, if any.
    """

    vectors: Floats
    batch: Ints
    files: tuple[PictureFile, ...]
    said: tuple[str, ...]
    prompt: str | None
    prompts: tuple[str, ...]
    generator: str
    n_unreadable: int
    n_same: int
    batches_known: bool
    picked: NDArray[np.bool_] | None = None

    @property
    def simulated(self) -> bool:
        """Whether a simulator drew them, by its own word."""
        return "simulat" in self.generator.lower()


@dataclass(frozen=True)
class Opened:
    """Inputs that can be used; ``config`` has every default filled in.

    ``pictures`` are the training pictures whose bytes are at hand, by the id of their metadata;
    ``digest`` is of the generated pictures.
    """

    config: OutliersConfig
    embedder: Embedder
    data: Embeddings
    pictures: dict[str, PictureFile]
    check: ModelCheck
    asked: Asked
    digest: str
    attributes: tuple[Attribute, ...]
    known_errors: tuple[KnownError, ...]
    recipes: tuple[Recipe, ...]
    already: Recipe | None
    already_note: str
    notes: tuple[str, ...]


def open_outliers(config: OutliersConfig, progress: Progress) -> Opened:
    """Check every name and path, cheapest first, and open what the config names."""
    config, notes = _filled(config)
    assert config.generated is not None and config.data is not None
    attributes = _attributes(config)
    recipes = tuple(load_recipe(name) for name in config.recipe)
    if not recipes or len({r.name for r in recipes}) < len(recipes):
        raise ConfigError(f"recipes: name one or more, each once, not {list(config.recipe)}")
    already, already_note = already_passed(config.already, ())
    embeddings, images = _places(config.data)
    if any(Path(config.generated).glob("*_stats.json")):
        raise ConfigError(
            f"{config.generated}: this is img2dataset's output, so pictures that were downloaded; "
            "give generated pictures first, and training pictures with --data"
        )
    generated = list_generated(config.generated)
    _chosen(config, generated.rows)  # an unknown prompt is told before anything is embedded
    embedder = load_embedder(config.model, config.pretrained)
    asked = _asked(config, generated, embedder, progress)
    if embeddings is None:
        assert images is not None
        data = _embedded(images, embedder, _cache(config), progress)
    else:
        data = open_embeddings(embeddings)
    check = check_model(data, embedder, config.seed)
    return Opened(
        config=config,
        embedder=embedder,
        data=data,
        pictures=_pictures(images),
        check=check,
        asked=asked,
        digest=fingerprint([p.sha256 for p in generated.parts]),
        attributes=attributes,
        known_errors=known_errors_of(config.model, attributes),
        recipes=recipes,
        already=already,
        already_note=already_note,
        notes=notes,
    )


def _filled(config: OutliersConfig) -> tuple[OutliersConfig, tuple[str, ...]]:
    """The config with the demo data where neither input is named, or with what a run names."""
    if config.generated is None and config.data is None:
        if not _DEMO.is_file():
            raise ConfigError(
                "no generated pictures given: name their folder, and the training data with --data"
            )
        demo = load_config(_DEMO, {}, OutliersConfig, shared=True)
        given = {name: getattr(config, name) for name in config.model_fields_set}
        paths = {"generated": demo.generated, "data": str(_DEMO.parent / "images")}
        return demo.model_copy(update=given | paths), ()
    if config.generated is None or config.data is None:
        lacking = (
            "generated pictures: give their folder first"
            if config.generated is None
            else "training data to compare with: give --data"
        )
        raise ConfigError(f"no {lacking} (with neither, the demo data of the repository are read)")
    if not (Path(config.data) / "run.json").is_file():
        return config, ()
    run, where = _told_of(Path(config.data))
    found = run.get("images") or run.get("embeddings") or run.get("data")
    if not isinstance(found, str):
        raise ConfigError(
            f"{config.data}: that run read no pictures and no embeddings of the data; give a folder"
            " of embeddings or img2dataset's output folder with --data"
        )
    update: dict[str, Any] = {}
    for name in ("model", "pretrained", "already"):
        if name not in config.model_fields_set and run.get(name) is not None:
            update[name] = _beside(where, str(run[name]))
    said = ", ".join(sorted(update))
    note = f"The data are those of the run {Path(config.data).name}" + (
        f", which also gave: {said}." if said else "."
    )
    return config.model_copy(update=update), (note,)


def _told_of(run: Path) -> tuple[dict[str, Any], Path]:
    """The config of a run, and the folder that it was run in (or this one, if it is gone)."""
    try:
        told = json.loads((run / "run.json").read_text(encoding="utf-8"))
        where = Path(told["working_directory"])
        return dict(told["config"]), where if where.is_dir() else Path.cwd()
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{run / 'run.json'} does not say what that run read: give the data themselves"
        ) from None


def _beside(where: Path, text: str) -> str:
    """A path of a run, or a ``local-dir:`` model, from here; a name stays."""
    kind, colon, rest = text.rpartition(":")
    return f"{kind}{colon}{where / rest}" if (where / rest).exists() else text


def _places(data: str) -> tuple[str | None, str | None]:
    """Folders of the embeddings and of the pictures of the data; one of them may be None."""
    root = Path(data)
    if not root.is_dir():
        raise ConfigError(
            f"training data {data}: no such folder; give a folder of embeddings, img2dataset's "
            "output folder, or the folder of an earlier run"
        )
    if (root / "run.json").is_file():
        run, where = _told_of(root)
        if isinstance(run.get("data"), str) and not run.get("images"):
            return _places(_beside(where, run["data"]))
        given = [run.get(name) for name in ("embeddings", "images")]
        embeddings, images = (None if p is None else _beside(where, str(p)) for p in given)
        return embeddings, images
    vectors = [*root.glob("img_emb/*.npy"), *root.glob("*.np[yz]"), *root.glob("images/*.npy")]
    return (data, None) if vectors else (None, data)


def _cache(config: OutliersConfig) -> Path:
    return (Path(config.cache) if config.cache else _CACHE) / "embeddings"


def _attributes(config: OutliersConfig) -> tuple[Attribute, ...]:
    if len(set(config.attributes)) != len(config.attributes):
        raise ConfigError(f"an attribute is named twice: {', '.join(config.attributes)}")
    attributes = tuple(load_attribute(name) for name in config.attributes)
    for a in attributes:
        if a.reader != "zero-shot":
            raise ConfigError(
                f"attribute {a.name} is read by '{a.reader}', which needs more than embeddings: "
                "name attributes that are read zero-shot, such as gender_presentation"
            )
    return attributes


def _embedded(folder: str, embedder: Embedder, cache: Path, progress: Progress) -> Embeddings:
    """The pictures of a folder as embeddings in the cache, with all their metadata."""
    shards = list_picture_shards((folder,), _PART_ROWS)
    stamps = [s.stamp for s in shards]
    kept = EmbeddingFolder(cache / fingerprint([embedder.key, stamps]), "--cache")
    kept.claim(embedder.key, "stamp", stamps)
    kept.clear_killed()
    missing = [
        Source(n, s.open, {"stamp": s.stamp}) for n, s in enumerate(shards) if not kept.finished(n)
    ]
    n_done = len(shards) - len(missing)
    for done in embed_parts(missing, embedder, kept, Pace(workers=cores())):
        if done.error:
            raise ShardError(done.error)
        n_done += 1
        progress("embed training pictures", n_done, len(shards))
    return open_embeddings(kept.root)


def _pictures(images: str | None) -> dict[str, PictureFile]:
    """Training pictures by id, where they lie in img2dataset's tars."""
    if images is None or not any(Path(images).glob("*.tar")):
        return {}
    return {f.id: f for part in list_downloads(images).parts for f in part.files}


_NO_PROMPTS = (
    "none with a known prompt: leave --prompt out to take them all, or say the prompts in a "
    "metadata.jsonl (file_name, prompt) beside them"
)


def _chosen(config: OutliersConfig, rows: pl.DataFrame) -> tuple[NDArray[np.bool_], str | None]:
    """Which outputs answer the prompt; and the prompt, None where all are looked at."""
    prompts = rows["prompt"].str.strip_chars()
    if config.prompt is None:
        empty = (prompts == "").fill_null(False).to_numpy()
        return (empty, "") if empty.any() else (np.ones(len(rows), bool), None)
    wanted = config.prompt.strip()
    mask = (prompts == wanted).fill_null(False).to_numpy()
    if not mask.any():
        known = sorted({repr(p) for p in prompts.drop_nulls()})
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        raise ConfigError(
            f"no generated picture has the prompt {config.prompt!r}; there are "
            f"{', '.join(known[:_SHOWN]) or _NO_PROMPTS}{more}"
        )
    return mask, wanted


def _asked(
    config: OutliersConfig, generated: Generated, embedder: Embedder, progress: Progress
) -> Asked:
    parts = generated.parts
    folder = _cache(config) / fingerprint([embedder.key, [p.sha256 for p in parts]])
    vectors = embed_all(
        parts, embedder, folder, lambda done, of: progress("embed outputs", done, of)
    )
    n_broken = check_generated(vectors, config.max_failed_share)
    mask, prompt = _chosen(config, generated.rows)
    mask = mask & (vectors.rows["error"] == "").to_numpy()
    mine = generated.rows.filter(pl.Series(mask))
    image = vectors.image[mask]
    if len(mine) < MIN_OUTPUTS:
        raise NotEnoughData(
            f"{config.generated}: {len(mine)} outputs can be used"
            + ("" if prompt is None else f" of the prompt {prompt!r}")
            + f", too few to say what is drawn too often: give {MIN_OUTPUTS} or more"
        )
    batch, n_same = _batches(mine, image)
    if len(mine) - n_same == 1:
        raise NotEnoughData(
            f"{config.generated}: all {len(mine)} outputs are one and the same picture (a fixed "
            "seed, or a safety checker that blanks them?), so they say no more than one does"
        )
    files = [f for part in parts for f in part.files]
    return Asked(
        vectors=image,
        batch=batch,
        files=tuple(f for f, yes in zip(files, mask, strict=True) if yes),
        said=tuple(p or "" for p in mine["prompt"]),
        prompt=prompt,
        prompts=tuple(sorted({p for p in mine["prompt"] if p is not None})),
        generator=", ".join(sorted(set(mine["generator"]) - {""})),
        n_unreadable=n_broken,
        n_same=n_same,
        batches_known=not mine["batch"].is_null().all(),
        picked=_picked(config.picked, mine["file_name"].to_list()),
    )


def _picked(path: str | None, names: list[str]) -> NDArray[np.bool_] | None:
    """Which outputs the file names; all that it names must be among them."""
    if path is None:
        return None
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"picked {path}: {reason}; give a text file, a name a line") from None
    wanted = {line.strip() for line in lines if line.strip()}
    if missing := sorted(wanted - set(names)):
        raise ConfigError(
            f"picked {path}: {missing[0]!r} ({len(missing)} of {len(wanted)} names) is not among "
            f"the {len(names)} outputs looked at; write them as in outputs.parquet of a run, such "
            f"as {names[0]!r}, and --prompt says whose outputs are looked at"
        )
    if len(wanted) < _LEAST_PICKED:
        raise NotEnoughData(
            f"picked {path}: {len(wanted)} outputs, too few to know a place in the data by; name "
            f"{_LEAST_PICKED} or more"
        )
    return np.array([name in wanted for name in names])


def _batches(rows: pl.DataFrame, vectors: Floats) -> tuple[Ints, int]:
    """The batch of each output, from 0; and how many outputs are copies of another.

    An output without a batch is one of its own, but for copies: those are no draws of their own,
    and lie in the batch of the first.
    """
    _, first, group = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    same = first[group.reshape(-1)]
    keys = [
        (r["generator"], r["prompt"], r["batch"]) if r["batch"] is not None else i
        for i, r in enumerate(rows.iter_rows(named=True))
    ]
    numbers: dict[object, int] = {}
    batch = np.array([numbers.setdefault(keys[i], len(numbers)) for i in same.tolist()], np.int64)
    return batch, len(rows) - len(first)
