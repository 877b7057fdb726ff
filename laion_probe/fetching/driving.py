"""img2dataset at work on a planned folder, until every shard is whole."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from laion_probe.errors import ConfigError, ShardError
from laion_probe.fetching.addresses import Allowed
from laion_probe.fetching.answers import AGENT, DIRECTIVES
from laion_probe.fetching.finishing import (
    finish_shard,
    is_finished,
    read_plan,
    read_stats,
    shard_name,
)
from laion_probe.fetching.gate import Gate, Limits, Wanted, open_gate

__all__ = ["Job", "download"]

Progress = Callable[[str, int, int], None]

_POLL_S = 0.1
_WORK = ".img2dataset-"
_LAST_LINES = 5


@dataclass(frozen=True)
class Job:
    """What img2dataset is to do with a folder whose plan has shards of so many ``rows`` each."""

    folder: Path
    rows: tuple[int, ...]
    shard_rows: int
    image_size: int
    resize_mode: str
    processes: int
    threads: int
    limits: Limits
    allowed: Allowed


def download(job: Job, progress: Progress = lambda what, done, of: None) -> None:
    """Fetch what is missing; returns when every shard is whole.

    Killed at any time, the same call goes on with the shards that are not. Raises `ShardError`
    when img2dataset ends before, with its last words, and `ConfigError` when the folder cannot be
    written.
    """
    missing = [n for n in range(len(job.rows)) if not is_finished(job.folder, shard_name(n))]
    if not missing:
        return
    for left in job.folder.glob(f"{_WORK}*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        with (
            tempfile.TemporaryDirectory(dir=job.folder, prefix=_WORK) as work,
            open_gate(job.limits, job.allowed, _Plans(job.folder)) as gate,
        ):
            _drive(job, Path(work), gate, missing, progress)
    except OSError as error:
        raise ConfigError(
            f"cannot go on in {job.folder}: {error.strerror or error}; run again: the shards that "
            "are finished are kept"
        ) from error


class _Plans:
    """Rows of the plan by number; a few shards are held at a time."""

    def __init__(self, folder: Path) -> None:
        self._rows = functools.lru_cache(maxsize=64)(functools.partial(self._read, folder))

    def __call__(self, shard: int, row: int) -> Wanted:
        return Wanted(*self._rows(shard).row(row))

    @staticmethod
    def _read(folder: Path, shard: int) -> pl.DataFrame:
        plan = read_plan(folder, shard_name(shard))
        return plan.select(pl.col("url").fill_null(""), "hash")


def _drive(job: Job, work: Path, gate: Gate, missing: list[int], progress: Progress) -> None:
    waiting = {f"{shard_name(n)}_stats.json": n for n in missing}
    for n in range(len(job.rows)):  # img2dataset passes over what has statistics
        if (stats := f"{shard_name(n)}_stats.json") not in waiting:
            shutil.copyfile(job.folder / stats, work / stats)
    n_rows = sum(job.rows)
    n_before = n_rows - sum(job.rows[n] for n in missing)
    with _running(_options(job, work), gate, work / "log.txt") as process:
        while waiting:
            ended = process.poll() is not None  # asked first: what it wrote is then all there
            for stats in sorted(waiting.keys() & {entry.name for entry in os.scandir(work)}):
                if read_stats(work / stats) is not None:
                    if gate.broken is not None:
                        raise gate.broken
                    finish_shard(work, job.folder, waiting.pop(stats), job.shard_rows)
            progress("pictures", n_before + gate.n_answered, n_rows)
            if ended and waiting:
                said = (work / "log.txt").read_text("utf-8", "replace").strip().splitlines()
                raise ShardError(
                    f"img2dataset ended with {len(waiting)} of {len(job.rows)} shards missing: "
                    f"{' | '.join(said[-_LAST_LINES:])}; run again to go on"
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)


def _options(job: Job, work: Path) -> dict[str, Any]:
    """The arguments of `img2dataset.download`; each that matters is named, whatever its default."""
    return {
        "url_list": str((job.folder / "plan").absolute()),
        "input_format": "parquet",
        "url_col": "ask",
        "caption_col": "text",
        "output_folder": str(work.absolute()),
        "output_format": "webdataset",
        "number_sample_per_shard": job.shard_rows,
        "image_size": job.image_size,
        "resize_mode": job.resize_mode,
        "resize_only_if_bigger": True,
        "processes_count": job.processes,
        "thread_count": job.threads,
        # The gate gives up first, and tries again itself.
        "timeout": job.limits.max_seconds + 30,
        "retries": 0,
        "compute_hash": "sha256",
        "extract_exif": False,  # where a picture was taken, and with whose camera
        "enable_wandb": False,
        "incremental_mode": "incremental",
        "user_agent_token": AGENT,
        "disallowed_header_directives": list(DIRECTIVES),
    }


@contextlib.contextmanager
def _running(options: dict[str, Any], gate: Gate, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """img2dataset in a process group of its own, which ends with the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "laion_probe.fetching.child"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=_environment(gate),
            start_new_session=True,
        )
    try:
        assert process.stdin is not None, "a pipe"
        process.stdin.write(json.dumps(options).encode() + b"\n")
        process.stdin.flush()  # and stays open: its end is ours
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def _environment(gate: Gate) -> dict[str, str]:
    """Ours, where all that asks for anything asks the gate."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name != "REQUEST_METHOD"  # as in a CGI script
    }
    env |= {f"{scheme}_proxy": gate.proxy for scheme in ("http", "https", "ftp")}
    return env | {
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "WANDB_MODE": "disabled",
        # The gate reads headers before; this is the decoder's own limit.
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(gate.limits.max_pixels),
    }
