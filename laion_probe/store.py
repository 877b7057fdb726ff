"""Where results go: a run folder that appears whole or not at all, and a cache by fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from laion_probe.errors import ConfigError

__all__ = ["atomic_file", "fingerprint", "free_run_folder", "run_folder"]


def fingerprint(value: Any) -> str:
    """A hex digest of anything that JSON can hold, independent of key order.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


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
        raise ConfigError(f"output folder {out} exists already: give another --out, or remove it")
    scratch = out.parent / f".{out.name}.partial-{os.getpid()}"
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
