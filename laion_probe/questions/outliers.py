"""What a generator draws too often against its training data, and which explanations hold.

The question of the empty prompt: nothing was asked for, and one thing is drawn again and again. The
outputs are laid over the data's own clusters; the training pictures beside those that are drawn too
often are a neighbourhood, and each explanation is measured there and in other neighbourhoods.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.clusters import (
    ClusterOptions,
    FoundCluster,
    FoundClusters,
    Outputs,
    find_clusters,
)
from laion_probe.config import WHO_COMPUTES, OutliersConfig
from laion_probe.errors import NotEnoughData
from laion_probe.notes import note_in
from laion_probe.outliers_result import (
    NullRegion,
    OutlierCluster,
    OutliersResult,
    OutliersRun,
    RecipeWeighed,
)
from laion_probe.questions.explaining import ExplainOptions, weigh
from laion_probe.questions.inputs import Progress, model_record
from laion_probe.questions.neighbours_files import write_parquet
from laion_probe.questions.outliers_along import brought_along, read_tags
from laion_probe.questions.outliers_describing import Describer
from laion_probe.questions.outliers_finding import finding
from laion_probe.questions.outliers_inputs import Opened, open_outliers
from laion_probe.questions.outliers_words import cannot_say, how_measured, would_need
from laion_probe.questions.repeating import command, without_folders
from laion_probe.regions import RegionOptions, neighbourhoods
from laion_probe.results import InputRecord
from laion_probe.shards import file_sha256

__all__ = ["neighbourhood_size", "outliers"]

Ints = NDArray[np.int64]

_PACKAGES = ("faiss-cpu", "numpy", "open_clip_torch", "polars", "pyarrow", "scipy", "torch")
_SMALLEST, _LARGEST = 50, 2_000
#: Neighbourhoods are no larger than this part of the data, so that others fit beside.
_PART = 20
#: Random draws of outputs that picked ones are compared with.
_DRAWS = 1000
#: Odds ratios that are called no difference.
_NULL = NullRegion()


def outliers(
    config: OutliersConfig,
    progress: Progress = lambda what, done, of: None,
    folder: Path | None = None,
) -> OutliersResult:
    """Find what is drawn too often against the data, describe it, and weigh explanations.

    With neither outputs nor data named, the repository's demo data are read. Embeddings are kept
    under ``config.cache``. With ``folder``, ``outputs.parquet`` is written there: each output with
    its cluster and its nearest training row. Raises a `LaionProbeError` that says what to do when
    an input cannot be used.

    Example:
        >>> config = OutliersConfig(generated="outputs", data="embeddings")
        >>> outliers(config).finding  # doctest: +SKIP
    """
    return _Run(config, progress).result(folder)


def neighbourhood_size(cluster: int, rows: int) -> int:
    """Training rows of a neighbourhood, by the cluster's own: from 50 to 2 000.

    No more than a twentieth of all rows, so that others fit beside it.

    >>> neighbourhood_size(300, 4000), neighbourhood_size(20, 10**6)
    (200, 50)
    """
    return int(min(max(cluster, _SMALLEST), max(rows // _PART, _SMALLEST // 2), _LARGEST))


@dataclass
class _Told:
    """What was said on the way: of neighbourhoods, and of what was not weighed."""

    hoods: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class _Run:
    """The steps of one run, in their order."""

    def __init__(self, config: OutliersConfig, progress: Progress) -> None:
        self.progress, self.told = progress, _Told()
        self.tags = read_tags(config.tags)
        self.opened = open_outliers(config, progress)
        self.config = config = self.opened.config
        asked, data = self.opened.asked, self.opened.data
        options = ClusterOptions(
            k=config.clusters,
            seeds=config.seeds,
            linked=config.linked,
            seed=config.seed,
            level=config.level,
        )
        outputs = Outputs(asked.vectors, asked.batch)
        self.found: FoundClusters = find_clusters(outputs, data, options, progress, asked.picked)
        self.describer = Describer(self.opened)

    def clusters(self) -> Iterable[tuple[str, FoundCluster]]:
        """The over-represented clusters that are described, or the largest where there is none.

        Where the config asks for others too, the largest follow.
        """
        over = [c for c in self.found.clusters if c.over_represented or self.config.others]
        chosen = over[: self.config.describe] or self.found.clusters[:1]
        found = [(f"cluster {i}", c) for i, c in enumerate(chosen, 1)]
        picked = self.found.picked
        return found if picked is None else [("the picked outputs", picked), *found]

    def result(self, folder: Path | None) -> OutliersResult:
        """Everything together."""
        config, opened, found = self.config, self.opened, self.found
        clusters = tuple(self._cluster(name, c) for name, c in self.clusters())
        along = brought_along(opened, self.tags, self.progress)
        asked = opened.asked
        result = OutliersResult(
            data_note=config.data_note
            or note_in(p for p in (config.generated, config.data, opened.data.folder) if p),
            context=config.context,
            harms=config.harms,
            level=config.level,
            prompt=asked.prompt,
            generator=asked.generator,
            n_outputs=len(asked.said),
            n_unreadable=asked.n_unreadable,
            n_batches=len(np.unique(asked.batch)),
            n_far=int(found.far.sum()),
            far_cosine=found.far_cosine,
            n_data=found.n_rows,
            n_clusters=found.n_clusters,
            null=_NULL,
            clusters=clusters,
            brought=along.brought,
            titles={a.name: a.title for a in opened.attributes},
            abouts={a.name: a.about for a in opened.attributes},
            finding=(),
            how_measured=(),
            cannot_say=(),
            would_need=(),
            provenance=_provenance(opened),
        )
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_parquet(self._table(), folder / "outputs.parquet")
        return result.model_copy(
            update={
                "finding": finding(result, simulated=asked.simulated),
                "how_measured": how_measured(opened, found, result, self.told.hoods, along),
                "cannot_say": cannot_say(opened, result, self.told.skipped, along),
                "would_need": would_need(result),
            }
        )

    def _cluster(self, name: str, cluster: FoundCluster) -> OutlierCluster:
        here, weighed = self._weighed(name, cluster)
        return OutlierCluster(
            name=name,
            n_outputs=len(cluster.members),
            output_share=cluster.output_share,
            n_data=cluster.n_data,
            data_share=cluster.data_share,
            ratio=cluster.ratio,
            local_ratio=cluster.local_ratio,
            over_represented=cluster.over_represented,
            picked=cluster is self.found.picked,
            alike=self._alike(cluster) if cluster is self.found.picked else None,
            stability=cluster.stability,
            n_seeds=0 if cluster is self.found.picked else self.config.seeds,
            n_far=cluster.n_far,
            pictures=self.describer.pictures(cluster),
            words=self.describer.words(cluster),
            compositions=self.describer.compositions(cluster, here),
            weighed=weighed,
        )

    def _alike(self, cluster: FoundCluster) -> float:
        """Of random draws of as many outputs, the share that are less alike than these."""
        vectors, n = self.opened.asked.vectors.astype(np.float64), len(cluster.members)
        rng = np.random.default_rng(self.config.seed)
        drawn = [rng.choice(len(vectors), n, replace=False) for _ in range(_DRAWS)]
        # the mean of all cosines, each output's with itself among them: as many in every draw
        mean = [float(np.square(vectors[d].mean(axis=0)).sum()) for d in drawn]
        mine = float(np.square(vectors[cluster.members].mean(axis=0)).sum())
        return float(np.mean(np.array(mean) < mine))

    def _weighed(self, name: str, cluster: FoundCluster) -> tuple[Ints, tuple[RecipeWeighed, ...]]:
        """The rows of the cluster's neighbourhood, and its explanations; none where it has none."""
        config, opened = self.config, self.opened
        named = config.others or cluster is self.found.picked
        if not (cluster.over_represented or named):
            self.told.skipped.append(
                f"No cluster is surely over-represented; {name} is the largest of the outputs, and "
                "there is nothing about it to explain."
            )
            return cluster.linked, ()
        if cluster.n_far == len(cluster.members):
            self.told.skipped.append(
                f"The outputs of {name} lie far from every training picture: they are linked to "
                "nothing, and no explanation by the data is weighed."
            )
            return cluster.linked[:0], ()
        size = config.neighbourhood or neighbourhood_size(cluster.n_data, self.found.n_rows)
        region = RegionOptions(size=size, near_duplicate=config.near_duplicate, seed=config.seed)
        try:
            hoods = neighbourhoods(opened.data, cluster.centre, region, self.progress)
        except NotEnoughData as error:
            self.told.skipped.append(f"No explanation of {name} is weighed: {error}.")
            return cluster.linked, ()
        self.told.hoods.append(f"{name[:1].upper()}{name[1:]}: {hoods.note}.")
        options = ExplainOptions(
            short_words=config.short_words,
            near_duplicate=config.near_duplicate,
            level=config.level,
            seed=config.seed,
            already=opened.already,
            null=_NULL,
        )
        return hoods.here, weigh(hoods, opened.data, opened.recipes, options, self.progress)

    def _table(self) -> pl.DataFrame:
        """A row an output: its file, cluster, and the training row nearest to it."""
        asked, found = self.opened.asked, self.found
        n = len(asked.said)
        cluster, nearest = np.full(n, "", object), np.full(n, -1, np.int64)
        for name, c in self.clusters():
            if c is not self.found.picked:
                cluster[c.members] = name
        for c in found.clusters:
            nearest[c.members] = c.nearest[:, 0]
        return pl.DataFrame(
            {
                "file_name": [f.id for f in asked.files],
                "prompt": list(asked.said),
                "batch": asked.batch,
                "cluster": pl.Series(cluster.tolist(), dtype=pl.String),
                "picked": np.zeros(n, bool) if asked.picked is None else asked.picked,
                "far": found.far,
                "nearest_row": nearest,
            }
        )


def _provenance(opened: Opened) -> OutliersRun:
    """What it takes to repeat the run: the command, and every input with its hash."""
    config, key = opened.config, opened.embedder.key
    inputs = [
        InputRecord(
            kind="generated",
            name=Path(config.generated or "").resolve().name,
            fingerprint=opened.digest,
            n_rows=len(opened.asked.said),
            already="",
            note="hash over the hashes of all pictures; n_rows of them are looked at",
        ),
        InputRecord(
            kind="embeddings",
            name=Path(config.data or "").resolve().name,
            fingerprint=opened.data.fingerprint(),
            n_rows=opened.data.n_rows,
            already=opened.already.name if opened.already else (config.already or "unknown"),
            note=f"a hash over shapes and both ends of each file of vectors; {opened.already_note}",
        ),
        model_record(key),
    ]
    if config.tags is not None:
        tags = Path(config.tags)
        inputs.append(
            InputRecord(
                kind="table", name=tags.name, fingerprint=file_sha256(tags), n_rows=None, already=""
            )
        )
    return OutliersRun(
        version=__version__,
        command=command("outliers", config, "generated", folders=False),
        config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
        inputs=tuple(inputs),
        model=dict(key),
        packages={name: metadata.version(name) for name in _PACKAGES},
    )
