"""Sets of pictures side by side, without labels: clusters, averages, colour, nearest pictures."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.config import WHO_COMPUTES
from laion_probe.config.exploring import ExploreConfig
from laion_probe.errors import ConfigError
from laion_probe.estimate import Sample, share
from laion_probe.estimators.entropy import Spread, entropy
from laion_probe.explore_result import (
    Clustering,
    ClusterOf,
    ExploredSet,
    ExploreResult,
    ExploreRun,
    SpreadOf,
)
from laion_probe.notes import note_in
from laion_probe.questions.exploring_clusters import (
    Clustered,
    Together,
    cluster_together,
    usable_numbers,
)
from laion_probe.questions.exploring_differences import Placed, differences, ends, spreads
from laion_probe.questions.exploring_pictures import (
    Shown,
    choose_shown,
    medoids,
    see,
    show_pictures,
)
from laion_probe.questions.exploring_sets import Sets, read_sets
from laion_probe.questions.exploring_words import cannot_say, claims, finding, how_measured
from laion_probe.questions.inputs import Progress
from laion_probe.questions.repeating import command, without_folders

__all__ = ["explore"]

Ints = NDArray[np.int64]

_DEMO = Path(__file__).parents[2] / "data" / "demo"


def explore(
    config: ExploreConfig,
    progress: Progress = lambda what, done, of: None,
    folder: Path | None = None,
) -> ExploreResult:
    """Cluster all sets together and show how each concept of each set spreads over the clusters.

    Without sets, the embedded demo data. Holds the vectors of all pictures that show a concept in
    memory. Nothing is written but embeddings; ``folder``, where the run is written, is not used.
    Raises a `LaionProbeError` that says what to do when an input cannot be used.

    >>> explore(ExploreConfig(sets=("a=pictures",))).finding  # doctest: +SKIP
    """
    config = _with_demo(config)
    _ = config.harms
    sets = read_sets(config, progress)
    weights = _weights(sets)
    together = Together(
        np.concatenate([s.vectors for s in sets.sets]),
        np.concatenate(
            [np.full(len(s.group), w, np.float32) for s, w in zip(sets.sets, weights, strict=True)]
        ),
    )
    numbers = usable_numbers(config.clusters, together.vectors)
    found = []
    for done, k in enumerate(numbers):
        progress("clusters", done, len(numbers))
        found.append(cluster_together(together, k, config.seeds, config.seed))
    at = len(found) // 2
    shown = choose_shown(sets.sets, config)
    label = _by_set(found[at].label, sets)
    simulated = [s.name for s in sets.sets if "simulat" in s.generator.lower()]
    result = ExploreResult(
        data_note=config.data_note or note_in(_paths(config)),
        context=config.context,
        harms=config.harms,
        level=config.level,
        groups=sets.groups,
        sets=tuple(
            ExploredSet(
                name=s.name,
                kind="data" if s.kind == "data" else "generated",
                generator=s.generator,
                simulated=s.name in simulated,
                n_pictures=s.n_pictures,
                n_unreadable=s.n_unreadable,
                n_used=len(s.group),
                n_several=s.n_several,
                n_other=s.n_other,
                n_units=len(np.unique(s.unit)),
                weight=w,
            )
            for s, w in zip(sets.sets, weights, strict=True)
        ),
        shown=at,
        show=config.show,
        clusterings=tuple(
            _clustering(sets, one, config, shown if i == at else None)
            for i, one in enumerate(found)
        ),
        seen=see(sets, config, progress),
        pictures=show_pictures(sets, shown, label, config, progress),
        finding=(),
        claims=(),
        how_measured=(),
        cannot_say=(),
        provenance=ExploreRun(
            version=__version__,
            command=command("explore", config, "sets", folders=False),
            config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
            inputs=sets.inputs,
            model=sets.model,
        ),
    )
    return result.model_copy(
        update={
            "finding": finding(result),
            "claims": claims(result),
            "how_measured": how_measured(result, config),
            "cannot_say": cannot_say(result, config),
        }
    )


def _with_demo(config: ExploreConfig) -> ExploreConfig:
    """The demo data where no set is named."""
    if config.sets:
        return config
    if not (_DEMO / "probe.toml").is_file():
        raise ConfigError("no sets given: explore takes FOLDER or NAME=FOLDER, one or more")
    note = tomllib.loads((_DEMO / "probe.toml").read_text(encoding="utf-8"))["data_note"]
    update: dict[str, object] = {
        "sets": (f"data={_DEMO / 'images'}", f"generated={_DEMO / 'generated'}"),
        "model": f"local-dir:{_DEMO / 'clip'}",
        "data_note": config.data_note or note,
    }
    return config.model_copy(update=update)


def _paths(config: ExploreConfig) -> list[str]:
    return [s if Path(s).exists() else s.partition("=")[2] for s in config.sets]


def _weights(sets: Sets) -> tuple[float, ...]:
    """What a picture of each set counts: the same for all sets together, 1 on average."""
    sizes = [len(s.group) for s in sets.sets]
    some = sum(1 for n in sizes if n)
    return tuple(sum(sizes) / some / n if n else 0.0 for n in sizes)


def _by_set(label: Ints, sets: Sets) -> list[Ints]:
    ends = np.cumsum([len(s.group) for s in sets.sets])[:-1]
    return list(np.split(label, ends))


def _placed(label: Ints, sets: Sets) -> list[Placed]:
    return [
        Placed(cluster, s.group, s.unit)
        for cluster, s in zip(_by_set(label, sets), sets.sets, strict=True)
    ]


def _clustering(
    sets: Sets, found: Clustered, config: ExploreConfig, shown: Shown | None
) -> Clustering:
    label = _by_set(found.label, sets)
    near = medoids(shown, sets, found, label) if shown is not None else [[]] * found.k
    mine, *others = (
        spreads(_placed(one, sets), config.level) for one in (found.label, *found.others)
    )
    counts = np.stack([np.bincount(x, minlength=found.k) for x in label])
    mass = (counts * np.array(_weights(sets))[:, None]).sum(axis=0)
    return Clustering(
        k=found.k,
        n_seeds=config.seeds,
        agreement=found.agreement,
        clusters=tuple(
            ClusterOf(
                number=c + 1,
                n=tuple(int(x) for x in counts[:, c]),
                share=float(mass[c] / mass.sum()),
                stability=float(found.stability[c]),
                medoids=tuple(near[c]),
            )
            for c in range(found.k)
        ),
        spreads=tuple(
            _spread_of(key, spread, ends(entropy(other[key]).value for other in others))
            for key, spread in mine.items()
        ),
        differences=differences(mine, others, config.level),
    )


def _spread_of(key: tuple[int, int], spread: Spread, over_seeds: tuple[float, float]) -> SpreadOf:
    batches, k = spread.counts.shape
    cluster = np.repeat(np.tile(np.arange(k), batches), spread.counts.ravel())
    unit = np.repeat(np.arange(batches), spread.counts.sum(axis=1))
    sample = Sample(unit, 0.0, spread.level, spread.assumes)
    every = np.ones(len(cluster), bool)
    counts = spread.counts.sum(axis=0)
    return SpreadOf(
        set=key[0],
        group=key[1],
        counts=tuple(int(x) for x in counts),
        shares={
            str(c + 1): share(cluster == c, every, sample) for c in np.flatnonzero(counts).tolist()
        },
        entropy=entropy(spread),
        over_seeds=over_seeds,
    )
