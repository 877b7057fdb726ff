"""MANIFEST.json: what every file is, by its hash, and where it all comes from."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.demo_data.sources import SOURCES

NAME = "MANIFEST.json"
MAX_BYTES = 25_000_000
# Written by hand beside the data, and free to change without a rebuild.
NOT_BUILT = ("probe.toml",)
_TOOLS = (
    "img2dataset", "webdataset", "open_clip_torch", "timm", "torch", "resvg_py", "pillow",
    "opencv-python-headless", "numpy", "pyarrow", "mmh3", "safetensors",
)  # fmt: skip


class TooLargeError(RuntimeError):
    """The demo set would not fit into the repository."""


def files(folder: Path) -> list[Path]:
    """Every file that the manifest answers for, sorted."""
    left_out = {NAME, *NOT_BUILT}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).as_posix() not in left_out
    )


def content(folder: Path, seed: int) -> dict[str, Any]:
    entries = {
        path.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in files(folder)
    }
    return {
        "seed": seed,
        "total_bytes": sum(entry["bytes"] for entry in entries.values()),
        "licence": {
            "code and composition": "Apache-2.0",
            "drawings and words": [source.licence for source in SOURCES],
        },
        "sources": [
            {
                "package": source.package,
                "version": source.version,
                "integrity": f"sha512-{source.sha512}",
                "licence": source.licence,
                "attribution": source.attribution,
            }
            for source in SOURCES
        ],
        "built_with": {
            "python": platform.python_version(),
            **{name: version(name) for name in _TOOLS},
        },
        "files": entries,
    }


def write(folder: Path, seed: int) -> None:
    """Writes the manifest; refuses a set that is too large to be committed."""
    described = content(folder, seed)
    if described["total_bytes"] > MAX_BYTES:
        raise TooLargeError(f"{described['total_bytes']} bytes in {folder}, at most {MAX_BYTES}")
    text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
    (folder / NAME).write_text(text, "utf-8")
