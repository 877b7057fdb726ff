"""The rater page of a run: which pictures are rated, and what comes of it.

A run is looked at again once, to draw the sample. From then on its ratings need neither the model
nor the shards: going on needs the pictures, and exporting nothing but the file of ratings.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute, load_attribute
from laion_probe.config import AnnotateConfig, ProbeConfig, beside, make_config
from laion_probe.errors import ConfigError, LaionProbeError
from laion_probe.pictures import PictureFile, list_downloads, list_generated
from laion_probe.questions.annotating_sample import (
    SHOWS,
    concept_sample,
    is_of_neighbours,
    sample_store,
)
from laion_probe.questions.inputs import Progress, cache_folder
from laion_probe.questions.measuring import Measured, measure
from laion_probe.questions.raters import strata
from laion_probe.ratings.store import FILE, RatingStore, open_session
from laion_probe.shifts import Labelled

__all__ = ["Session", "annotate", "frame_of", "saved"]

#: Beside a run's result.
FOLDER = "ratings"
#: What a session remembers of the attributes that it was begun with.
_ATTRIBUTES = "attributes"

_LEFT = "; if it was moved, say with --attributes which to rate"

#: Pictures by source: data or generated.
Files = Mapping[str, Sequence[PictureFile]]


@dataclass(frozen=True)
class Session:
    """The sample of a run and its ratings so far, the attributes asked for, and the pictures."""

    store: RatingStore
    attributes: tuple[Attribute, ...]
    run: Path
    files: Callable[[], Files]

    def reader(self) -> Callable[[str, str], bytes]:
        """``read(source, picture)`` gives a picture's bytes.

        Raises `ConfigError` where pictures of the sample are no longer there.
        """
        with _again(self.run):
            there = {(source, f.id): f for source, files in self.files().items() for f in files}
        drawn = self.store.sample.select("source", "picture").rows()
        if gone := [place for place in drawn if place not in there]:
            raise ConfigError(
                f"{len(gone)} of the {len(drawn)} pictures to rate are no longer there, first "
                f"{gone[0][1]} ({gone[0][0]}): put them back; ratings so far can be exported "
                "without them"
            )
        return lambda source, picture: there[source, picture].read()


def annotate(config: AnnotateConfig, progress: Progress = lambda what, done, of: None) -> Session:
    """Draw the sample of a run, or take it up where it was left.

    Ratings lie in ``RUN/ratings``. The sample is of the pictures near the concept before the
    recipe, so that every later stage is a part of what it was drawn from, and of the generated
    pictures of the prompt; each is stratified by what the classifier reads. A sample that was drawn
    stays: ``n`` and ``seed`` may be left out then, and `ConfigError` is raised where they differ.
    """
    run = Path(config.folder)
    if is_of_neighbours(_told_of(run)[0]):
        return _of_sample(run, config)
    _refuse_of_samples(config)
    probe = _config_of(run)
    path = run / FOLDER / FILE
    if path.is_file():
        store = _taken_up(path, config)
        names = config.attributes or _begun_with(store) or probe.attributes
        attributes = _load(names, "" if config.attributes else _LEFT)
        _ask_for(store, names, attributes)
        return Session(store, attributes, run, lambda: _list(probe))
    names = config.attributes or probe.attributes
    attributes = _load(names, "" if config.attributes else _LEFT)
    progress(f"opening {run}", 0, 1)
    with _again(run):
        measured = measure(probe, progress)
    frame, files = frame_of(measured)
    store = open_session(run / FOLDER, frame, config.n, config.seed, attributes)
    _ask_for(store, names, attributes)
    progress(f"opening {run}", 1, 1)
    return Session(store, attributes, run, lambda: files)


def saved(config: AnnotateConfig) -> RatingStore:
    """The ratings of a run as they are; its pictures need not be there. `ConfigError` if none."""
    run = Path(config.folder)
    path = run / FOLDER / FILE
    if not path.is_file():
        if is_of_neighbours(_told_of(run)[0]):
            path = concept_sample(run, config.concept).store_path
        else:
            _config_of(run)
    if not path.is_file():
        raise ConfigError(
            f"nothing of {run} was rated yet: `laion-probe annotate {run}` serves the page"
        )
    return RatingStore.open(path)


def _of_sample(run: Path, config: AnnotateConfig) -> Session:
    """The session of one concept's sample of a neighbours run."""
    if given := [name for name in ("n", "seed") if name in config.model_fields_set]:
        raise ConfigError(
            f"--{given[0]}: the sample was drawn by `laion-probe neighbours`; draw another there"
        )
    values = _told_of(run)[0]
    sample = concept_sample(run, config.concept)
    names = config.attributes or tuple(values["attributes"])
    title = f"shows “{sample.concept}”"
    shows = load_attribute(SHOWS).model_copy(update={"title": title})
    attributes = (shows, *_load([n for n in names if n != SHOWS], ""))
    store, files = sample_store(sample, config.images)
    try:
        store.rate(attributes)
    except ConfigError:
        store.close()
        raise
    return Session(store, attributes, run, lambda: {"data": files})


def _refuse_of_samples(config: AnnotateConfig) -> None:
    for name in ("concept", "images"):
        if getattr(config, name) is not None:
            raise ConfigError(f"--{name} is for the sample of a neighbours run: leave it out")


def frame_of(measured: Measured) -> tuple[pl.DataFrame, dict[str, tuple[PictureFile, ...]]]:
    """The pictures that a sample may be drawn from, once each, with their strata; and all files."""
    chain = measured.chain
    name = measured.concept.result.name
    if measured.inputs.embedder is None:
        raise ConfigError(
            f"the run of “{name}” had no pictures, only captions: there is nothing to rate; run "
            "`laion-probe probe` with --images or --generated"
        )
    if measured.inputs.downloads is None and measured.pool.note:
        raise ConfigError(
            f"the run of “{name}” had embeddings, not pictures: nothing to show to raters; "
            "run `laion-probe probe` with --images, or `laion-probe neighbours --sample`"
        )
    files = {"data": measured.pool.files}
    parts = [_pictures("data", files["data"], chain.labelled, np.flatnonzero(chain.masks["pool"]))]
    if measured.outputs is not None:
        files["generated"] = measured.outputs.files
        everything = np.arange(len(files["generated"]))
        parts.append(_pictures("generated", files["generated"], chain.output_labels, everything))
    frame = pl.concat(parts).unique(("picture", "source"), keep="first", maintain_order=True)
    if not len(frame):
        raise ConfigError(
            f"no picture lies near “{name}”: there is nothing to rate; run `laion-probe probe` "
            "with other words, --examples or a --threshold"
        )
    return frame, files


def _pictures(
    source: str,
    files: Sequence[PictureFile],
    labelled: dict[str, Labelled],
    chosen: NDArray[np.int64],
) -> pl.DataFrame:
    names = strata(
        {name: [d.attribute.levels[i] for i in d.label[chosen]] for name, d in labelled.items()}
    )
    return pl.DataFrame(
        {
            "picture": [files[i].id for i in chosen],
            "source": [source] * len(chosen),
            "stratum": names if len(chosen) else [],
        },
        schema=dict.fromkeys(("picture", "source", "stratum"), pl.String),
    )


def _taken_up(path: Path, config: AnnotateConfig) -> RatingStore:
    """The session that is there. `ConfigError` where another sample than its own is asked for."""
    store = RatingStore.open(path)
    drawn = {"n": store.n, "seed": store.seed}
    if any(getattr(config, name) != drawn[name] for name in drawn.keys() & config.model_fields_set):
        store.close()
        raise ConfigError(
            f"{path.parent} holds a sample drawn with --n {store.n} and --seed {store.seed}, which "
            "stays: leave these options out to go on with it, or move it away for a new sample"
        )
    return store


def _begun_with(store: RatingStore) -> tuple[str, ...]:
    return tuple(json.loads(store.recall(_ATTRIBUTES) or "[]"))


def _load(names: Sequence[str], hint: str) -> tuple[Attribute, ...]:
    try:
        return tuple(load_attribute(name) for name in names)
    except ConfigError as error:
        raise ConfigError(f"{error}{hint}") from error


def _ask_for(store: RatingStore, names: Sequence[str], attributes: Sequence[Attribute]) -> None:
    """Rate these from now on, and the next time that the session is taken up."""
    try:
        store.rate(attributes)
    except ConfigError:
        store.close()
        raise
    kept = [str(Path(name).resolve()) if name.endswith(".toml") else name for name in names]
    store.remember(_ATTRIBUTES, json.dumps(kept))


def _list(probe: ProbeConfig) -> Files:
    """The pictures that a run could show, without looking at them."""
    downloads = list_downloads(probe.images) if probe.images else None
    generated = list_generated(probe.generated) if probe.generated else None
    return {
        "data": [f for part in downloads.parts for f in part.files] if downloads else [],
        "generated": [f for part in generated.parts for f in part.files] if generated else [],
    }


@contextlib.contextmanager
def _again(run: Path) -> Iterator[None]:
    """Say of an error that it stands in the way of a run that went well before."""
    try:
        yield
    except LaionProbeError as error:
        raise ConfigError(
            f"what {run} was made from cannot be read again: {error} (paths are those of its "
            "run.json)"
        ) from error


def _config_of(run: Path) -> ProbeConfig:
    """The config of the probe run, with paths as they were seen from where it was run.

    Where that folder is no longer there, data and run were moved: paths are then relative to the
    working directory.
    """
    values, where = _told_of(run)
    if "concept" not in values:
        raise ConfigError(f"{run} is the run of another command: give the folder of a probe run")
    if not where.is_dir():
        where = Path.cwd()
    values["ratings"] = ()
    path = run / "run.json"
    config = make_config(beside(where, values, ProbeConfig), ProbeConfig, where=str(path))
    return config.model_copy(update={"cache": str(where / cache_folder(config))})


def _told_of(run: Path) -> tuple[dict[str, Any], Path]:
    """The config of a run and the folder that it was run in, from its ``run.json``."""
    try:
        told = json.loads((run / "run.json").read_text(encoding="utf-8"))
        return dict(told["config"]), Path(told["working_directory"])
    except (OSError, ValueError, KeyError, TypeError):
        what = "is not the folder of a probe run (it has no run.json that can be read)"
        raise ConfigError(
            f"{run} {what if run.is_dir() else 'does not exist'}: give the folder that "
            "`laion-probe probe` wrote, the one with report.html in it"
        ) from None
