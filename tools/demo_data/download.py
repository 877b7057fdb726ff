"""Runs the real img2dataset over a seeded random part of the pool."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tools.demo_data import server
from tools.demo_data.pool import Row
from tools.demo_data.sprites import Sprites

PER_TAR = 500
STORED_SIDE = 96
QUALITY = 50


def download(rows: list[Row], sprites: Sprites, folder: Path) -> None:
    """Tars, parquet files and stats in `folder`, all written by img2dataset itself."""
    wanted = [row for row in rows if row.attempted]
    with tempfile.TemporaryDirectory() as scratch, server.serving(wanted, sprites) as proxy:
        listing = Path(scratch) / "attempted.parquet"
        columns = {
            "URL": pa.array([row.url for row in wanted], pa.string()),
            "TEXT": pa.array([row.written.text for row in wanted], pa.string()),
            "hash": pa.array([row.hash for row in wanted], pa.int64()),
        }
        pq.write_table(pa.table(columns), listing)
        output = Path(scratch) / "images"
        environment = {
            **{k: v for k, v in os.environ.items() if k.lower() not in ("no_proxy", "https_proxy")},
            "http_proxy": proxy,
            "NO_ALBUMENTATIONS_UPDATE": "1",
        }
        subprocess.run(_command(listing, output), env=environment, check=True)
        _replace(output, folder)


def _command(listing: Path, output: Path) -> list[str]:
    options = {
        "url_list": listing,
        "output_folder": output,
        "input_format": "parquet",
        "url_col": "URL",
        "caption_col": "TEXT",
        "save_additional_columns": "[hash]",
        "output_format": "webdataset",
        "encode_format": "webp",
        "encode_quality": QUALITY,
        "image_size": STORED_SIDE,
        "resize_mode": "keep_ratio_largest",
        "number_sample_per_shard": PER_TAR,
        "processes_count": 1,
        "thread_count": 1,
        "retries": 0,
        "timeout": server.CLIENT_TIMEOUT_S,
        "extract_exif": False,
        "compute_hash": "sha256",
        "enable_wandb": False,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "tools.demo_data.steady_img2dataset", *flags]


def _replace(output: Path, folder: Path) -> None:
    """Moves the finished files into place; nothing half-written is ever there."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for path in sorted(output.iterdir()):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
