"""The runs of a testbed: planted, passed through the recipe, trained, drawn and kept; then read.

A run that is finished is in a folder of its own under the cache, and is not trained again. What its
pictures show is read anew each time, which takes seconds.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from laion_probe.config.testbed import TestbedConfig
from laion_probe.embed import Embedder, cores
from laion_probe.questions.inputs import Progress
from laion_probe.recipes import Recipe
from laion_probe.steps import Batch
from laion_probe.store import atomic_file, fingerprint
from laion_probe.testbed.folders import write_samples, write_training_data
from laion_probe.testbed.planting import ARMS, Design, PlantedRows, plant
from laion_probe.testbed.reading import ReadOut, read_out
from laion_probe.testbed.running import Drawn, Job, run_job
from laion_probe.testbed.stored import Stored, embed_drawn
from laion_probe.unit_scan import judge_rows

__all__ = ["RunRead", "Runs", "recipe_captions", "runs_folder"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

#: Raised whenever the same config would give other runs.
_VERSION = 2
#: Fields that the training and the drawing do not depend on.
_NOT_OF_A_RUN = {
    "out", "data_note", "seed", "level", "arms", "seeds", "recipe", "no_verdicts", "cache",
    "workers", "demo", "fit_steps",
}  # fmt: skip
_FOLDER = Path(".cache") / "laion-probe"


@dataclass(frozen=True)
class RunRead:
    """One arm and seed: what was planted, what is expected, and what was drawn.

    ``expected`` is the cluster's share among training examples without words, counting each row by
    how often its caption is empty. ``n_hits`` of ``n_drawn`` answers to the empty prompt are read
    as of the cluster; ``n_asked_hits`` of ``n_asked`` to the prompt that names it. ``read_out`` is
    the reading's error.
    """

    arm: str
    seed: int
    n_rows: int
    n_cluster: int
    n_emptied: int
    n_emptied_elsewhere: int
    expected: float
    n_drawn: int
    n_hits: int
    n_asked: int
    n_asked_hits: int
    loss: float
    read_out: ReadOut


def runs_folder(config: TestbedConfig) -> Path:
    """Where testbeds keep what they finish."""
    return (Path(config.cache) if config.cache else _FOLDER) / "testbed"


@dataclass(frozen=True)
class Runs:
    """All runs of a config; ``folder`` holds those that are finished."""

    config: TestbedConfig
    stored: Stored
    recipe: Recipe

    @cached_property
    def folder(self) -> Path:
        """Where the runs of this config are kept; other seeds and arms join those there."""
        asked = self.config.model_dump(mode="json", exclude=_NOT_OF_A_RUN)
        steps = [[step.kind, step.params] for step in self.recipe.step]
        name = fingerprint([_VERSION, asked, self.stored.fingerprint, steps])
        return runs_folder(self.config) / name

    def of(self, arm: str, seed: int) -> Path:
        """The folder of one run: data/, samples/, asked/ and run.json, which comes last."""
        return self.folder / f"{arm}-{seed}"

    def finish(self, progress: Progress) -> list[tuple[str, int]]:
        """Train what is missing, a core a run; every run, arm by arm."""
        c = self.config
        asked = [(arm, c.seed + s) for s in range(c.seeds) for arm in c.arms]
        missing = [(a, s) for a, s in asked if not (self.of(a, s) / "run.json").exists()]
        done = len(asked) - len(missing)
        progress("train", done, len(asked))
        for _ in self._trained(missing):
            done += 1
            progress("train", done, len(asked))
        return sorted(asked, key=lambda run: c.arms.index(run[0]))

    def planted(self, arm: str, seed: int) -> PlantedRows:
        """The rows of one run."""
        c = self.config
        design = Design(c.concept, c.rows, c.share, c.share_over, c.each, c.foreign)
        return plant(self.stored.shown, design, ARMS[arm], seed)

    def _trained(self, missing: list[tuple[str, int]]) -> Iterator[None]:
        workers = min(self.config.workers or cores(), len(missing))
        if workers <= 1:
            for arm, seed in missing:
                self._keep(arm, seed, run_job(self._job(arm, seed)))
                yield
            return
        # spawn: torch's threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            waiting: dict[Future[Drawn], tuple[str, int]] = {}
            left = list(missing)
            while left or waiting:
                while left and len(waiting) < workers:
                    arm, seed = left.pop(0)
                    waiting[pool.submit(run_job, self._job(arm, seed))] = (arm, seed)
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    self._keep(*waiting.pop(future), future.result())
                    yield

    def _job(self, arm: str, seed: int) -> Job:
        c, planted = self.config, self.planted(arm, seed)
        captions, _ = recipe_captions(self._rows(planted), self.recipe)
        return Job(
            captions=tuple(captions),
            tokens=self.stored.tokens[planted.rows],
            codes=c.codes,
            steps=c.steps,
            batch_size=c.batch_size,
            dropped=c.dropped,
            rate=c.rate,
            n_empty=c.samples,
            n_asked=c.asked,
            prompt=_prompt(c.concept),
            guidance=c.guidance,
            temperature=c.temperature,
            top_k=c.top_k,
            seed=seed * len(ARMS) + list(ARMS).index(arm),
        )

    def _rows(self, planted: PlantedRows) -> pl.DataFrame:
        urls = [self.stored.urls[i] for i in planted.rows]
        return pl.DataFrame({"url": urls, "text": list(planted.captions)})

    def _keep(self, arm: str, seed: int, drawn: Drawn) -> None:
        """Write what was drawn, and run.json when it is there."""
        folder, book, prompt = self.of(arm, seed), self.stored.book, _prompt(self.config.concept)
        write_samples(folder / "samples", book.decode(drawn.empty), "", seed)
        write_samples(folder / "asked", book.decode(drawn.asked), prompt, seed)
        with atomic_file(folder / "run.json") as path:
            trained = {"loss": drawn.loss, "seconds": round(drawn.seconds, 1)}
            path.write_text(json.dumps(trained) + "\n", encoding="utf-8")

    def read(self, arm: str, seed: int, vectors: Floats, embedder: Embedder) -> RunRead:
        """Read the pictures of a finished run, and write its data/ for the tool.

        ``vectors`` (n, d) are of the stored pictures as the codebook draws them.
        """
        c, planted, folder = self.config, self.planted(arm, seed), self.of(arm, seed)
        rows = self._rows(planted)
        table = rows.select(pl.Series("id", [str(i) for i in planted.rows]), "url", caption="text")
        write_training_data(folder / "data", vectors[planted.rows], table, embedder.key)
        captions, emptied = recipe_captions(rows, self.recipe)
        weight = np.where([not caption.strip() for caption in captions], 1.0, c.dropped)
        shown = np.array([s.concept == c.concept for s in self.stored.shown])
        reference, inside = vectors[planted.reference], shown[planted.reference]
        samples, asked = _pictures(folder / "samples"), _pictures(folder / "asked")
        tested = np.flatnonzero(self.stored.held_out)
        place = np.full(len(shown), -1)
        place[planted.reference] = np.arange(len(planted.reference))
        held = read_out(vectors[tested], reference, inside, place[tested])
        true = shown[tested]
        return RunRead(
            arm=arm,
            seed=seed,
            n_rows=len(planted.rows),
            n_cluster=int(planted.cluster.sum()),
            n_emptied=int((emptied & planted.cluster).sum()),
            n_emptied_elsewhere=int((emptied & ~planted.cluster).sum()),
            expected=float(weight[planted.cluster].sum() / weight.sum()),
            n_drawn=len(samples),
            n_hits=int(read_out(embed_drawn(samples, embedder), reference, inside).sum()),
            n_asked=len(asked),
            n_asked_hits=int(read_out(embed_drawn(asked, embedder), reference, inside).sum()),
            loss=float(json.loads((folder / "run.json").read_text(encoding="utf-8"))["loss"]),
            read_out=ReadOut(
                int(true.sum()),
                int((held & true).sum()),
                int((~true).sum()),
                int((held & ~true).sum()),
            ),
        )


def _pictures(folder: Path) -> Pixels:
    files = sorted(folder.glob("*.webp"))
    return np.stack([np.asarray(Image.open(f).convert("RGB")) for f in files]) if files else _NONE


_NONE: Pixels = np.zeros((0, 1, 1, 3), np.uint8)


def recipe_captions(rows: pl.DataFrame, recipe: Recipe) -> tuple[list[str], Bools]:
    """Captions of rows (url, text) as the recipe leaves them, and which of them it emptied.

    The product's own `judge_rows` decides; no row is left out, whatever the recipe would drop.
    """
    batch = Batch(rows)
    judge_rows(batch, recipe, "skip")
    after = batch.text.to_list()
    before = rows["text"].to_list()
    emptied = [bool(b.strip()) and not a.strip() for b, a in zip(before, after, strict=True)]
    return after, np.array(emptied)


def _prompt(concept: str) -> str:
    return "a woman in a sari" if concept == "sari" else f"a person who works as a {concept}"
