"""A part of the demo data, laid out as in the repository: for documented commands to run on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import polars as pl
from conftest import DEMO

__all__ = ["small_demo"]


def small_demo(root: Path, n_generated: int = 40) -> Path:
    """Write ``data/demo`` and the small files that documented commands name; returns ``root``.

    One tar of ten, the rows of a shard that it holds pictures of with a few others, and the first
    generated pictures of each prompt.
    """
    demo = root / "data" / "demo"
    for name in ("shards/DATA_NOTE.txt", "probe.toml"):
        _copy(DEMO / name, demo / name)
    for path in (DEMO / "images").glob("00000*"):
        _copy(path, demo / "images" / path.name)
    pictures = pl.read_parquet(DEMO / "images" / "00000.parquet")["url"].to_list()
    rows = pl.read_parquet(DEMO / "shards" / "part-00000.parquet").with_row_index()
    rows = rows.filter(pl.col("URL").is_in(pictures) | (pl.col("index") < 100)).drop("index")
    rows.write_parquet(demo / "shards" / "part-00000.parquet", row_group_size=120)
    os.symlink(DEMO / "clip", demo / "clip")
    os.symlink(DEMO.parent / "references", demo.parent / "references")
    lines = (DEMO / "generated" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    taken: dict[str, list[str]] = {}
    for line in lines:
        of_prompt = taken.setdefault(json.loads(line)["prompt"], [])
        if len(of_prompt) < n_generated:
            of_prompt.append(line)
            name = json.loads(line)["file_name"]
            _copy(DEMO / "generated" / name, demo / "generated" / name)
    kept = [line for of_prompt in taken.values() for line in of_prompt]
    (demo / "generated" / "metadata.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return root


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
