"""A folder of embeddings that is being filled: its key, its parts, and which are finished.

A part is ``img_emb/img_emb_N.npy`` (half precision), ``metadata/metadata_N.parquet`` with as many
rows, and ``text_emb/text_emb_N.npy`` where captions are embedded too: clip-retrieval's layout. Its
metadata come last, and hold digests of the pictures that it is of.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from laion_probe.errors import ConfigError, EmbedderMismatch
from laion_probe.store import atomic_file, fingerprint
from laion_probe.vectors import KEY_FILE

__all__ = ["EmbeddingFolder"]

_MARK = "laion_probe."


@dataclass(frozen=True)
class EmbeddingFolder:
    """Where parts are written. ``option`` is how a user names the folder, for messages."""

    root: Path
    option: str = "--embeddings"

    def vectors(self, number: int, kind: str = "img") -> Path:
        """The file of a part's vectors, of "img" or "text"."""
        return self.root / f"{kind}_emb" / f"{kind}_emb_{number}.npy"

    def metadata(self, number: int) -> Path:
        """The file of a part's rows."""
        return self.root / "metadata" / f"metadata_{number}.parquet"

    def finished(self, number: int) -> bool:
        """Whether a part's pictures are there."""
        return self.vectors(number).exists() and self.metadata(number).exists()

    def claim(self, key: Mapping[str, str], mark: str, digests: Sequence[str]) -> None:
        """Check that the folder is of this model and these pictures, or make it so if it is new.

        ``digests`` has one for each part, known in its file under the name ``mark``. Parts may be
        missing, and more may follow those that are there. Raises `EmbedderMismatch`.
        """
        path = self.root / KEY_FILE
        wanted = {**key, "pictures": fingerprint(list(digests))}
        if path.exists():
            found = self._key(path)
            if {k: v for k, v in found.items() if k != "pictures"} != key:
                raise EmbedderMismatch(self._other_model(found, key))
            if found == wanted:
                return
            self._check_parts(mark, digests)
            if all(self.finished(n) for n in range(len(digests))):
                return  # nothing to write
        elif any(self.root.glob("img_emb/*.npy")):
            raise EmbedderMismatch(
                f"embeddings in {self.root} have no key.json, so their model is unknown; give "
                f"another {self.option} folder, and they are computed anew"
            )
        with self._written(path) as scratch:
            scratch.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")

    def clear_killed(self) -> None:
        """Remove what a run that was killed left half written."""
        for left in self.root.glob("**/.*.partial-*"):
            try:
                os.kill(int(left.name.rpartition("-")[2]), 0)
            except ProcessLookupError:
                left.unlink(missing_ok=True)
            except (ValueError, PermissionError):
                continue

    def write(
        self,
        number: int,
        vectors: NDArray[np.float16],
        rows: pl.DataFrame,
        digests: Mapping[str, str],
    ) -> None:
        """Write a part of as many ``rows`` as ``vectors``."""
        self.write_vectors(number, vectors)
        marks = {_MARK + k: v for k, v in digests.items()}
        with self._written(self.metadata(number)) as path:
            pq.write_table(rows.to_arrow().replace_schema_metadata(marks), path)

    def write_vectors(self, number: int, vectors: NDArray[np.float16], kind: str = "img") -> None:
        """Write a file of vectors."""
        with self._written(self.vectors(number, kind)) as path, path.open("wb") as file:
            np.save(file, vectors)

    @contextlib.contextmanager
    def _written(self, path: Path) -> Iterator[Path]:
        try:
            with atomic_file(path) as scratch:
                yield scratch
        except OSError as error:
            raise ConfigError(
                f"cannot write embeddings to {self.root}: {error.strerror or error}; give a folder "
                "that you may write to, with space: what is finished is kept"
            ) from error

    def _key(self, path: Path) -> dict[str, Any]:
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise EmbedderMismatch(
                f"{path} is not the key of embeddings ({error}); give another {self.option} folder"
            ) from error

    def _check_parts(self, mark: str, digests: Sequence[str]) -> None:
        """Every part that is there is of the pictures that it would be made of now."""
        numbers = [n for n in range(len(digests)) if self.finished(n)]
        more = len(list(self.root.glob("metadata/*.parquet"))) > len(numbers)
        if more or any(self._mark(n, mark) != digests[n] for n in numbers):
            raise EmbedderMismatch(
                f"embeddings in {self.root} are of other pictures than these; give another "
                f"{self.option} folder"
            )

    def _mark(self, number: int, name: str) -> str:
        try:
            found = pq.read_schema(self.metadata(number)).metadata or {}
        except (pa.ArrowException, OSError):
            return ""
        return str(found.get((_MARK + name).encode(), b"").decode())

    def _other_model(self, found: Mapping[str, Any], key: Mapping[str, str]) -> str:
        if all(found.get(k) == v for k, v in key.items() if k != "precision"):
            return (
                f"embeddings in {self.root} were computed in {found.get('precision')}, not in "
                f"{key['precision']}; give --precision, or another {self.option} folder"
            )
        return (
            f"embeddings in {self.root} were made by {found.get('model')} (weights "
            f"{str(found.get('weights_sha256'))[:12]}), not by {key['model']} (weights "
            f"{key['weights_sha256'][:12]}); use that model, or another {self.option} folder"
        )
