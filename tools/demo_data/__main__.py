"""`python -m tools.demo_data`: rebuilds data/demo, stage by stage."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tools.demo_data import (
    download,
    generated,
    known_errors,
    licences,
    manifest,
    monk,
    pool,
    readme,
    shards,
    sources,
    truth,
)
from tools.demo_data.catalogue import catalogue
from tools.demo_data.sprites import Sprites

STAGES = (
    "sources", "sprites", "clip", "errors", "world", "images", "generated", "truth", "manifest",
)  # fmt: skip
SEED = 20260
SPRITE_SIZE = 192
# Training allocates and frees large blocks at every step; handing each back to the
# system costs half of the time, so its process keeps them.
_KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}


@dataclass(frozen=True)
class Build:
    """One rebuild: where from, where to, from which seed."""

    out: Path
    cache: Path
    seed: int

    @cached_property
    def packages(self) -> dict[str, Path]:
        """Package folders by source key."""
        return sources.fetch_all(self.cache)

    @cached_property
    def sprites(self) -> Sprites:
        """Drawings of the size that scenes are made from."""
        return Sprites(self.packages, SPRITE_SIZE)

    @property
    def monk_table(self) -> Path:
        """Where the Monk level of every drawing is kept."""
        return self.out / "monk_by_drawing.csv"

    @cached_property
    def monk(self) -> dict[tuple[str, str], int]:
        """Monk level by rendering and code points."""
        return monk.read_table(self.monk_table)

    @cached_property
    def rows(self) -> list[pool.Row]:
        """The pool."""
        return pool.build(self.seed, (self.packages["cldr"], self.packages["cldr-derived"]))

    @cached_property
    def pictures(self) -> list[generated.Picture]:
        """What the simulator "generates"."""
        return generated.simulate(self.rows, self.monk, self.seed)

    def run(self, stage: str) -> None:
        """Does one stage."""
        print(f"{stage} ...", flush=True)
        match stage:
            case "sources":
                _ = self.packages
            case "sprites":
                monk.write_table(Sprites(self.packages, monk.MEASURED_AT), self.monk_table)
            case "clip":
                self._train()
            case "errors":
                drawn_from = catalogue(self.packages, self.monk_table)
                known_errors.write(self.out / "clip", drawn_from, self.sprites, self.seed + 1)
            case "world":
                shards.write(self.rows, self.seed, self.out / "shards")
                truth.write_ban_list(self.out / "banlist.txt")
            case "images":
                download.download(self.rows, self.sprites, self.out / "images")
                note = self.out / "images" / "DATA_NOTE.txt"
                note.write_text(shards.DATA_NOTE, encoding="utf-8")
            case "generated":
                generated.write(self.pictures, self.sprites, self.out / "generated")
            case "truth":
                truth.write(self.rows, self.pictures, self.monk, self.out / "truth.parquet")
            case "manifest":
                licences.write(self.packages, self.out)
                readme.write(self.out, self.seed)
                manifest.write(self.out, self.seed)

    def _train(self) -> None:
        """In a process of its own: its threads and its memory settings stay there."""
        command = [
            sys.executable, "-m", "tools.demo_data.train_clip",
            "--out", str(self.out), "--cache", str(self.cache), "--seed", str(self.seed),
        ]  # fmt: skip
        subprocess.run(command, env={**os.environ, **_KEEP_MEMORY}, check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_data", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path("data/demo"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/demo-sources"))
    parser.add_argument("--stages", default=",".join(STAGES), help="comma-separated, of these")
    parser.add_argument("--keep-clip", action="store_true", help="leave out the training")
    options = parser.parse_args(arguments)
    wanted = options.stages.split(",")
    unknown = sorted(set(wanted) - set(STAGES))
    if unknown:
        parser.error(f"unknown stage: {', '.join(unknown)}; known: {', '.join(STAGES)}")
    build = Build(options.out, options.cache, options.seed)
    for stage in STAGES:
        if stage in wanted and not (stage == "clip" and options.keep_clip):
            build.run(stage)


if __name__ == "__main__":
    main()
