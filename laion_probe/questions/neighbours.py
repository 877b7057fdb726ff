"""Concepts in a folder of embeddings: which rows lie near them, and what those look like."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.config import WHO_COMPUTES, NeighboursConfig
from laion_probe.estimators.similarity_strata import (
    Similarities,
    StrataDesign,
    StrataDraw,
    design_strata,
)
from laion_probe.known_error import for_concept
from laion_probe.neighbourhood import keywords, prompts
from laion_probe.neighbours_result import ConceptNeighbours, NeighboursResult, RunOf
from laion_probe.notes import note_in
from laion_probe.questions import neighbours_estimates as estimates
from laion_probe.questions import neighbours_finding as words
from laion_probe.questions import neighbours_raters as raters
from laion_probe.questions.inputs import Progress, model_record
from laion_probe.questions.neighbours_captions import Look, SaidOf, read_captions
from laion_probe.questions.neighbours_files import (
    Nearest,
    nearest_table,
    sample_table,
    write_parquet,
)
from laion_probe.questions.neighbours_inputs import Opened, open_neighbours
from laion_probe.questions.neighbours_search import missed_range, search_concepts
from laion_probe.questions.neighbours_tables import (
    EDGES,
    Plan,
    Tables,
    lookup_of,
    read_levels,
    tabulate,
    unit_rows,
)
from laion_probe.questions.repeating import command, without_folders
from laion_probe.results import InputRecord
from laion_probe.shards import file_sha256
from laion_probe.tasks import TaskOptions

__all__ = ["neighbours"]

Ints = NDArray[np.int64]

_PACKAGES = ("faiss-cpu", "numpy", "open_clip_torch", "polars", "pyarrow", "scipy", "torch")


def neighbours(
    config: NeighboursConfig,
    progress: Progress = lambda what, done, of: None,
    folder: Path | None = None,
) -> NeighboursResult:
    """Find the rows near each concept, and read their composition from the embeddings.

    Any number of rows: vectors stay where they lie and are looked at block by block. With
    ``folder``, ``neighbours.parquet`` and, of a sample, ``sample.parquet`` are written there.
    Raises a `LaionProbeError` that says what to do when an input cannot be used.

    Example:
        >>> config = NeighboursConfig(embeddings="emb", concept=("doctor",))
        >>> neighbours(config).concepts[0].answer  # doctest: +SKIP
    """
    run = _Run(config, open_neighbours(config), progress)
    found = [run.concept(c) for c in range(len(run.opened.concepts))]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        opened = run.opened
        nearest = nearest_table(opened.embeddings, run.nearest, opened.attributes)
        write_parquet(nearest, folder / "neighbours.parquet")
        if run.designs:
            drawn = [
                sample_table(opened.embeddings, name, design, drawn, config.seed)
                for name, design, drawn in zip(opened.concepts, run.designs, run.drawn, strict=True)
            ]
            write_parquet(pl.concat(drawn), folder / "sample.parquet")
    return run.result(found)


class _Run:
    """The steps of one run, in their order, and what each leaves to the next."""

    def __init__(self, config: NeighboursConfig, opened: Opened, progress: Progress) -> None:
        self.config, self.opened = config, opened
        self.lookups = tuple(lookup_of(a, opened.embedder) for a in opened.attributes)
        look = Look(
            embeddings=opened.embeddings,
            embedder=opened.embedder,
            concepts=opened.concepts,
            queries=opened.queries,
            given=config.threshold,
            seed=config.seed,
        )
        self.captions = read_captions(look, progress)
        self.searched = search_concepts(opened, config, progress)
        self.said = list(self.captions.of)
        self.designs = self._designs()
        self.rated = self._rated()
        self.calibrated = [
            None if rated is None else raters.calibrated(design, rated, config.seed)
            for design, rated in zip(self.designs, self.rated, strict=False)
        ]
        for c, by_ratings in enumerate(self.calibrated):
            if by_ratings is None or by_ratings.threshold is None:
                continue
            if self.said[c].threshold.value is None:
                self.said[c] = _by_ratings(self.said[c], by_ratings.threshold, by_ratings.rule)
        self.tables = self._tables(progress)
        self.drawn: list[StrataDraw] = []
        if self.tables is not None and self.designs:
            self.drawn = [of[0] for of in self.tables.drawn]
            for rated, drawn in zip(self.rated, self.drawn, strict=True):
                if rated is not None:
                    raters.check_drawn(rated, drawn)
        self.nearest: list[Nearest] = []

    def _designs(self) -> tuple[StrataDesign, ...]:
        if not self.config.sample:
            return ()
        s = self.searched
        assert s.histogram is not None and s.edges is not None
        designs = []
        for c, name in enumerate(self.opened.concepts):
            rows = Similarities(
                counts=s.histogram[c],
                edges=s.edges,
                top=s.of(c)[1].astype(np.float64),
                n_unscored=(s.n_unreadable or 0) + (s.n_broken or 0),
            )
            design = design_strata(rows, self.config.sample, self.said[c].threshold.value)
            ratings = self.opened.ratings.get(name)
            designs.append(design if ratings is None else raters.as_stated(design, ratings))
        return tuple(designs)

    def _rated(self) -> list[raters.RatedRows | None]:
        out: list[raters.RatedRows | None] = []
        for c, design in enumerate(self.designs):
            ratings = self.opened.ratings.get(self.opened.concepts[c])
            out.append(
                None
                if ratings is None
                else raters.rated_rows(
                    ratings,
                    self.opened.attributes,
                    design,
                    self.opened.embeddings,
                    self.opened.queries[c],
                )
            )
        return out

    def _tables(self, progress: Progress) -> Tables | None:
        """Counts of all rows; None where an index spares looking at them."""
        if self.searched.by.kind == "index":
            return None
        config, opened = self.config, self.opened
        thresholds = [
            np.nan if said.threshold.value is None else said.threshold.value for said in self.said
        ]
        plan = Plan(
            embeddings=opened.embeddings,
            queries=opened.queries,
            thresholds=np.array(thresholds),
            lookups=self.lookups,
            names=opened.concepts,
            designs=self.designs,
            seed=config.seed,
        )
        runner = "serial" if config.runner == "auto" else config.runner
        options = TaskOptions(runner, config.workers, config.ray_address)
        return tabulate(plan, options, progress)

    def concept(self, c: int) -> ConceptNeighbours:
        """What was found of one concept."""
        config, opened, said = self.config, self.opened, self.said[c]
        rows, scores = self.searched.of(c)
        labels = self._labels(rows)
        threshold = said.threshold.value
        n_near, is_all = self._near(c, scores, threshold)
        self.nearest.append(
            Nearest(opened.concepts[c], rows, scores, min(n_near, len(rows)), labels)
        )
        known = tuple(for_concept(e, keywords(opened.concepts[c])) for e in opened.known_errors)
        compositions, curves, missed = {}, {}, {}
        for i, a in enumerate(opened.attributes):
            label = labels[a.name]
            if self.tables is None:
                near = np.bincount(label[:n_near], minlength=len(a.levels))
            else:
                near = self.tables.near[i][c]
            bins = None if self.tables is None else self.tables.levels[i][c]
            method = estimates.FOUND if self.tables is None else estimates.FULL
            compositions[a.name] = estimates.compose_counts(near, a, known, method, config.level)
            counted = estimates.Counted(scores, label, bins, near, threshold, config.level)
            curve = estimates.curve_of(counted, a, config.seed)
            if curve is not None:
                curves[a.name] = curve
            complete = n_near < len(rows)
            reach = missed_range(self.searched.by, near, a, complete, config.level)
            if reach is not None:
                missed[a.name] = reach
        histogram, n_histogram = self._histogram(c)
        design = self.designs[c] if self.designs else None
        rated = self.rated[c] if self.designs else None
        found = ConceptNeighbours(
            name=opened.concepts[c],
            prompts=prompts(opened.concepts[c]),
            keywords=keywords(opened.concepts[c]),
            status=_status(said, threshold, n_near),
            answer="",
            threshold=threshold,
            threshold_rule=said.threshold.rule,
            n_near=n_near,
            n_near_is_all=is_all,
            n_kept=len(rows),
            n_captions=self.captions.n_rows,
            n_named=said.n_named,
            n_named_near=said.n_named_near,
            n_histogram=n_histogram,
            bin_width=float(EDGES[1] - EDGES[0]),
            histogram=histogram,
            compositions=compositions,
            curves=curves,
            missed=missed,
            strata=()
            if design is None
            else raters.strata_of(design, self._drawn_of(c, design), rated),
            strata_rule="" if design is None else design.rule,
            shown=None
            if design is None or rated is None
            else raters.shown_rows(
                design, rated, opened.attributes, self.calibrated[c], config.level
            ),
        )
        told = words.answer(found, opened.embeddings.n_rows, said.reason)
        return found.model_copy(update={"answer": told})

    def _labels(self, rows: Ints) -> dict[str, Ints]:
        """Each attribute's level of these rows, read from their vectors."""
        vectors, where, _, _ = unit_rows(self.opened.embeddings.vectors(rows))
        out = {}
        for a, lookup in zip(self.opened.attributes, self.lookups, strict=True):
            label = np.full(len(rows), a.unknown_at, np.int64)
            label[where] = read_levels(vectors, lookup)
            out[a.name] = label
        return out

    def _near(
        self, c: int, scores: NDArray[np.float32], threshold: float | None
    ) -> tuple[int, bool]:
        """Rows at or above the threshold, and whether these are all that there are."""
        if self.tables is not None:
            return int(self.tables.n_near[c]), True
        if threshold is None:
            return 0, False
        return int((scores >= np.float32(threshold)).sum()), False

    def _histogram(self, c: int) -> tuple[tuple[tuple[float, int, int], ...], int]:
        """Rows by similarity: all, or of an index those whose captions were read."""
        said = self.said[c]
        rows = said.all_bins if self.tables is None else self.tables.rows[c]
        there = np.flatnonzero(rows)
        if not len(there):
            return (), 0
        inside = range(int(there[0]), int(there[-1]) + 1)
        bins = tuple(
            (round(float(EDGES[i]), 4), int(rows[i]), int(said.named_bins[i])) for i in inside
        )
        return bins, int(rows.sum())

    def _drawn_of(self, c: int, design: StrataDesign) -> list[int]:
        taken = np.bincount(self.drawn[c].stratum, minlength=len(design.sizes))
        return [int(n) for n in taken]

    def result(self, found: list[ConceptNeighbours]) -> NeighboursResult:
        """Everything together."""
        config, opened, by = self.config, self.opened, self.searched.by
        measured = {e.attribute for e in opened.known_errors}
        return NeighboursResult(
            data_note=config.data_note or note_in([opened.embeddings.folder]),
            context=config.context,
            harms=config.harms,
            level=config.level,
            n_rows=opened.embeddings.n_rows,
            n_unreadable=self.searched.n_unreadable,
            n_broken=self.searched.n_broken,
            dim=opened.embeddings.dim,
            titles={a.name: a.title for a in opened.attributes},
            abouts={a.name: a.about for a in opened.attributes},
            parity={a.name: a.parity for a in opened.attributes},
            model=opened.check,
            searched=by,
            concepts=tuple(found),
            finding=words.finding(found, opened.attributes, by),
            how_measured=words.how_measured(config, opened.check, by, found),
            cannot_say=words.cannot_say(
                by, found, {a.title: a.name in measured for a in opened.attributes}
            ),
            provenance=_provenance(config, opened),
        )


def _by_ratings(said: SaidOf, threshold: float, rule: str) -> SaidOf:
    """Captions set no threshold: the one that ratings set stands."""
    there = replace(said.threshold, value=threshold, rule=f"set by ratings: {rule}")
    return replace(said, threshold=there, reason="")


def _status(
    said: SaidOf, threshold: float | None, n_near: int
) -> Literal["found", "no match", "no threshold"]:
    if threshold is not None and n_near:
        return "found"
    return "no match" if threshold is not None or said.n_named else "no threshold"


def _provenance(config: NeighboursConfig, opened: Opened) -> RunOf:
    """What it takes to repeat the run: the command, and every input with its hash."""
    key, folder = opened.embedder.key, opened.embeddings.folder
    tables = [
        path if Path(path).exists() else path.partition("=")[2] for path in config.ratings
    ] + ([config.concepts] if config.concepts else [])
    return RunOf(
        version=__version__,
        command=command("neighbours", config, "embeddings", folders=False),
        config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
        inputs=(
            InputRecord(
                kind="images",
                name=folder.resolve().name,
                fingerprint=opened.embeddings.fingerprint(),
                n_rows=opened.embeddings.n_rows,
                already="",
                note="embeddings: a hash over shapes and both ends of each file",
            ),
            model_record(key),
            *(
                InputRecord(
                    kind="table",
                    name=Path(path).name,
                    fingerprint=file_sha256(Path(path)),
                    n_rows=None,
                    already="",
                )
                for path in tables
            ),
        ),
        model=dict(key),
        packages={name: metadata.version(name) for name in _PACKAGES},
    )
