"""``laion-probe generate``: prompts to a folder of pictures, resumable part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from laion_probe.config.generating import GenerateConfig
from laion_probe.errors import ConfigError
from laion_probe.generating import (
    Drawn,
    GeneratedFolder,
    Pipeline,
    Plan,
    Planned,
    load_pipeline,
    read_prompts,
)
from laion_probe.questions.inputs import Progress

__all__ = ["Made", "generate"]


@dataclass(frozen=True)
class Made:
    """What lies in the folder. ``n_blocked`` is None where the safety checker was not asked.

    ``n_cut`` prompts are longer than the text encoder reads; ``n_resumed`` parts were there.
    """

    folder: Path
    generator: str
    n_pictures: int
    n_prompts: int
    n_parts: int
    n_resumed: int
    n_blocked: int | None
    blackened: bool
    n_cut: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """For people."""
        said = [
            f"{self.n_pictures:,} pictures of {self.n_prompts:,} prompts by {self.generator}, in "
            f"{self.n_parts:,} parts in {self.folder}"
            + (f", of which {self.n_resumed:,} were there already." if self.n_resumed else ".")
        ]
        if self.n_blocked is not None:
            became = "blacked out" if self.blackened else "kept, and flagged"
            said.append(
                f"The safety checker would block {self.n_blocked:,} of them: {became}. By group: "
                f"laion-probe blocked {self.folder}"
            )
        if self.n_cut:
            said.append(
                f"{self.n_cut:,} prompts are longer than the text encoder reads: their ends are "
                "not in the pictures (prompt_cut)."
            )
        return tuple(said)


def generate(config: GenerateConfig, progress: Progress = lambda what, done, of: None) -> Made:
    """Fill a folder with pictures of all prompts; parts that are there are kept.

    Raises `ConfigError` where prompts, model or folder cannot be used, or where the folder was
    begun with other parameters; `MissingExtra` without diffusers.

    >>> config = GenerateConfig(model="OWNER/NAME", prompt=("a doctor", ""))
    >>> generate(config).n_pictures  # doctest: +SKIP
    8
    """
    out = Path(config.out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give --out with a folder to fill")
    prompts = read_prompts(config.prompts, config.prompt)
    plan = Plan(prompts, config.images, config.seed, config.same_seeds, config.part_rows)
    pipeline = load_pipeline(config)
    folder = GeneratedFolder(out)
    folder.claim(pipeline, plan)
    missing = [n for n in range(plan.n_parts) if not folder.finished(n)]
    n_there = len(plan) - sum(len(plan.part(n)) for n in missing)
    progress("generate", n_there, len(plan))
    for n in missing:
        first = n_there

        def tell(done: int, before: int = first) -> None:
            progress("generate", before + done, len(plan))

        planned = plan.part(n)
        drawn = _drawn(planned, pipeline, config.batch_size, tell)
        folder.write(n, drawn, pipeline, plan.same_seeds)
        n_there += len(planned)
    return _made(folder, plan, pipeline, plan.n_parts - len(missing))


def _drawn(
    planned: list[Planned], pipeline: Pipeline, batch_size: int, tell: Callable[[int], None]
) -> Iterator[tuple[Planned, Drawn]]:
    for start in range(0, len(planned), batch_size):
        batch = planned[start : start + batch_size]
        yield from zip(batch, pipeline.draw(batch), strict=True)
        tell(start + len(batch))


def _made(folder: GeneratedFolder, plan: Plan, pipeline: Pipeline, n_resumed: int) -> Made:
    columns = ("prompt", "blocked", "prompt_cut")
    rows = pl.concat([folder.rows(n, columns) for n in range(plan.n_parts)])
    key = pipeline.key
    return Made(
        folder=folder.root,
        generator=f"{key['model']} ({key['scheduler']}, {key['steps']} steps, guidance "
        f"{key['guidance']:g})",
        n_pictures=len(rows),
        n_prompts=len(plan.prompts),
        n_parts=plan.n_parts,
        n_resumed=n_resumed,
        n_blocked=None if key["safety"] == "off" else int(rows["blocked"].sum()),
        blackened=key["safety"] == "on",
        n_cut=rows.filter("prompt_cut")["prompt"].n_unique(),
    )
