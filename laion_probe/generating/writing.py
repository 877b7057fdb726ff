"""A folder of generated pictures: WebDataset tars, each beside a parquet of every parameter."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from laion_probe.embed import EmbeddingFolder
from laion_probe.errors import ConfigError
from laion_probe.generating.pipeline import Drawn, Pipeline
from laion_probe.generating.plan import Plan, Planned
from laion_probe.store import atomic_file, fingerprint

__all__ = ["GeneratedFolder"]

_KEY_FILE = "generation.json"
#: Columns of a part's parquet: the picture's own, then what all pictures of a run share.
_SCHEMA = {
    "key": pl.String,
    "file_name": pl.String,
    "prompt": pl.String,
    "group": pl.String,
    "concept": pl.String,
    "language": pl.String,
    "number": pl.Int64,
    "seed": pl.Int64,
    "batch": pl.String,
    "blocked": pl.Boolean,
    "prompt_cut": pl.Boolean,
    "picture_width": pl.Int64,
    "picture_height": pl.Int64,
    "generator": pl.String,
    "model": pl.String,
    "revision": pl.String,
    "variant": pl.String,
    "weights_sha256": pl.String,
    "pipeline": pl.String,
    "scheduler": pl.String,
    "scheduler_config": pl.String,
    "steps": pl.Int64,
    "guidance": pl.Float64,
    "negative_prompt": pl.String,
    "height": pl.Int64,
    "width": pl.Int64,
    "safety": pl.String,
    "safety_checker_sha256": pl.String,
    "precision": pl.String,
    "device": pl.String,
    "batch_size": pl.Int64,
    "laion_probe": pl.String,
    "diffusers": pl.String,
    "transformers": pl.String,
    "torch": pl.String,
}


@dataclass(frozen=True)
class GeneratedFolder:
    """Where parts are written: ``00000.tar`` and, last of all, ``00000.parquet`` ..."""

    root: Path

    def tar(self, number: int) -> Path:
        """A part's pictures, each with its prompt (.txt) and its parameters (.json)."""
        return self.root / f"{number:05}.tar"

    def table(self, number: int) -> Path:
        """A part's rows, a picture each."""
        return self.root / f"{number:05}.parquet"

    def finished(self, number: int) -> bool:
        """Whether a part is there."""
        return self.tar(number).exists() and self.table(number).exists()

    def claim(self, pipeline: Pipeline, plan: Plan) -> None:
        """Check that the folder is of this model and this plan, or make it so if it is new.

        A folder without a part that is whole may be begun anew with anything. Raises `ConfigError`
        naming what differs, or where the folder holds something else.
        """
        wanted = {
            **pipeline.key,
            "prompts_sha256": fingerprint([vars(p) for p in plan.prompts]),
            "images": plan.images,
            "seed": plan.seed,
            "same_seeds": plan.same_seeds,
            "part_rows": plan.part_rows,
        }
        path = self.root / _KEY_FILE
        if path.exists():
            found = self._key(path)
            differs = [k for k in wanted if found.get(k) != wanted[k]]
            if differs and any(self.root.glob("*.parquet")):
                name = differs[0]
                more = f" (and {', '.join(differs[1:])} differ)" if differs[1:] else ""
                raise ConfigError(
                    f"{self.root} was begun with {name} {_shown(found.get(name))}, not "
                    f"{_shown(wanted[name])}{more}: ask for the same, or give another --out"
                )
        elif self.root.exists() and any(self.root.iterdir()):
            raise ConfigError(f"{self.root} holds other files: give --out with a folder of its own")
        # what a run that was killed left half written
        EmbeddingFolder(self.root, "--out").clear_killed()
        with self._written(path) as scratch:
            scratch.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")

    def write(
        self, number: int, drawn: Iterator[tuple[Planned, Drawn]], pipeline: Pipeline, same: bool
    ) -> None:
        """Write a part as its pictures are drawn.

        ``batch`` is what pictures share beside the prompt: the seed where it is the ``same`` for
        all prompts; else each picture is a batch of its own, since its noise is.
        """
        rows = []
        with (
            self._written(self.tar(number)) as scratch,
            tarfile.open(scratch, "w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for planned, found in drawn:
                row = _row(planned, found, pipeline, same)
                rows.append(row)
                for suffix, data in _members(row, found):
                    _add(tar, f"{row['key']}.{suffix}", data)
        frame = pl.DataFrame(rows, schema=_SCHEMA)
        with self._written(self.table(number)) as scratch:
            frame.write_parquet(scratch)

    def rows(self, number: int, columns: Sequence[str]) -> pl.DataFrame:
        """Columns of a finished part."""
        return pl.read_parquet(self.table(number), columns=list(columns))

    @contextlib.contextmanager
    def _written(self, path: Path) -> Iterator[Path]:
        try:
            with atomic_file(path) as scratch:
                yield scratch
        except OSError as error:
            raise ConfigError(
                f"cannot write pictures to {self.root}: {error.strerror or error}; give a folder "
                "that you may write to, with space: what is finished is kept"
            ) from error

    def _key(self, path: Path) -> dict[str, Any]:
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise ConfigError(f"{path} is not ours: give another --out") from None


def _row(planned: Planned, found: Drawn, pipeline: Pipeline, same: bool) -> dict[str, Any]:
    key, prompt = f"{planned.index:09}", planned.prompt
    return {
        **pipeline.key,
        **pipeline.run,
        "key": key,
        "file_name": f"{key}.png",
        "prompt": prompt.text,
        "group": prompt.group or None,
        "concept": prompt.concept or None,
        "language": prompt.language or None,
        "number": planned.number,
        "seed": planned.seed,
        "batch": f"seed {planned.seed}" if same else f"picture {planned.index}",
        "blocked": found.blocked,
        "prompt_cut": pipeline.cut(prompt.text),
        "picture_width": found.picture.width,
        "picture_height": found.picture.height,
        "generator": str(pipeline.key["model"]),
    }


def _members(row: Mapping[str, Any], found: Drawn) -> Iterator[tuple[str, bytes]]:
    picture = io.BytesIO()
    found.picture.save(picture, "PNG")
    yield "png", picture.getvalue()
    yield "txt", str(row["prompt"]).encode()
    yield "json", json.dumps(row, ensure_ascii=False).encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """A member without times and owners, so that the same pictures are the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
