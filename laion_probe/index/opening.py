"""Opening a FAISS index that is there: ours, or clip-retrieval's and autofaiss' as they are.

clip-retrieval's folder is ``image.index`` (or ``text.index``) beside ``metadata/`` and, unless it
was removed, ``img_emb/``; autofaiss writes ``knn.index``; lists that autofaiss left on disk are in
``image.index/`` with ``populated.index`` (rom1504/clip-retrieval, ``clip_back.py``, 2.44). None of
these says which model made the vectors, so that rows of the raw embeddings are looked up in the
index as a check. FAISS's format has no pickle in it, and nothing else is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from laion_probe.errors import ConfigError, EmbedderMismatch, SchemaError, ShardError
from laion_probe.index.ann import AnnIndex, IndexRecord, SearchSettings, usable
from laion_probe.vectors import Embeddings, same_model

__all__ = ["RECORD_FILE", "index_file", "open_index", "read_faiss", "read_record"]

RECORD_FILE = "index.json"
_NAMES = ("{}.index", "knn.index")
_ON_DISK = ("populated.index", "merged.index")
#: Candidates of another tool's index that are scored anew, as a multiple of the neighbours.
_FACTOR = 4
#: Rows that are looked up in another tool's index; enough of them must be among these nearest.
_LOOKED_UP, _AMONG, _ENOUGH, _ALMOST_ALL = 32, 200, 0.25, 0.9
Order = tuple[NDArray[np.int64], NDArray[np.int64]]


def open_index(folder: str | Path, embeddings: Embeddings | None = None) -> AnnIndex:
    """The index of a folder (or a file), memory-mapped where FAISS can, checked against its rows.

    Without ``embeddings`` scores are the index's own, and approximate; ``notes`` says so. Raises
    `ConfigError` where there is no index, `ShardError` where it cannot be read, `SchemaError` for a
    metric that is no cosine, `EmbedderMismatch` for an index of another model, of other embeddings
    or another dimension.
    """
    root = Path(folder)
    of = embeddings.kind if embeddings is not None else "image"
    path = root if root.is_file() else index_file(root, of)
    if path is None and embeddings is None:
        path = index_file(root, "text")
    if path is None:
        raise ConfigError(
            f"{folder} holds no {of}.index or knn.index: give the folder of `laion-probe index`, "
            "clip-retrieval or autofaiss"
        )
    record = read_record(path.parent) if (path.parent / RECORD_FILE).is_file() else None
    if record is not None and record.of != path.stem:
        record = None  # of the other index in this folder
    if record is not None:
        _check_size(path, record)
    index = read_faiss(path, mapped=True)
    _check_metric(index, path)
    if record is not None:
        return _ours(index, path, record, embeddings)
    return _theirs(index, path, embeddings)


def index_file(folder: Path, of: str) -> Path | None:
    """The file of the index of "image" or "text" vectors in a folder; None where there is none."""
    for name in _NAMES:
        path = folder / name.format(of)
        if path.is_file():
            return path
        for inner in _ON_DISK:
            if (path / inner).is_file():
                return path / inner
    return None


def read_record(folder: Path) -> IndexRecord:
    """What ``index.json`` says; `ShardError` where it is not ours or damaged."""
    path = folder / RECORD_FILE
    try:
        return IndexRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, ValueError) as error:
        raise ShardError(
            f"{path}: not the record of an index ({str(error).splitlines()[0]}); build it again"
        ) from error


def read_faiss(path: Path, *, mapped: bool = False) -> Any:
    """FAISS's index of a file, with its lists left on disk where ``mapped`` and FAISS can.

    Raises `ShardError` for a file that is cut off or no index.
    """
    import faiss

    flags = faiss.IO_FLAG_ONDISK_SAME_DIR
    try:
        if mapped:
            index = faiss.read_index(
                str(path), flags | faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
            )
            if not _lists_are_elsewhere(index, path):
                return index
        return faiss.read_index(str(path), flags | (faiss.IO_FLAG_READ_ONLY if mapped else 0))
    except (RuntimeError, MemoryError) as error:
        reason = str(error).splitlines()[-1].rpartition("failed: ")[2] if str(error) else "memory"
        raise ShardError(
            f"{path}: not a readable index ({reason}); it may be cut off: fetch or build it again"
        ) from error


def _lists_are_elsewhere(index: Any, path: Path) -> bool:
    """Whether lists are in a file of their own: FAISS then must not be told to map this one."""
    import faiss

    ivf = faiss.try_extract_index_ivf(index)
    lists = faiss.downcast_InvertedLists(ivf.invlists) if ivf is not None else None
    return isinstance(lists, faiss.OnDiskInvertedLists) and lists.filename != str(path)


def _check_size(path: Path, record: IndexRecord) -> None:
    size = path.stat().st_size
    if size != record.n_bytes:
        raise ShardError(
            f"{path}: {size} bytes, where {RECORD_FILE} says {record.n_bytes}: it is cut off or "
            "another one; build it again"
        )


def _check_metric(index: Any, path: Path) -> None:
    import faiss

    if index.metric_type not in (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2):
        raise SchemaError(
            f"{path}: an index by FAISS's metric {index.metric_type}, which is no cosine: build it "
            "by inner product, or by L2 on unit vectors"
        )


def _check_dim(index: Any, path: Path, embeddings: Embeddings) -> None:
    if index.d != embeddings.dim:
        raise EmbedderMismatch(
            f"{path}: an index of {index.d} numbers a row, where {embeddings.folder} has "
            f"{embeddings.dim}: they are of different models"
        )


def _ours(index: Any, path: Path, record: IndexRecord, embeddings: Embeddings | None) -> AnnIndex:
    if int(index.ntotal) != record.n_indexed:
        raise ShardError(
            f"{path}: {index.ntotal} rows, where {RECORD_FILE} says {record.n_indexed}: they are "
            "not of one build; build it again"
        )
    if embeddings is None:
        return AnnIndex(index, None, record.search, record, (_no_embeddings(path),))
    known = record.key is not None and embeddings.key is not None
    if known and not same_model(record.key or {}, embeddings.key or {}):
        raise EmbedderMismatch(
            f"{path} is of vectors by {_named(record.key)}, {embeddings.folder} by "
            f"{_named(embeddings.key)}: build an index of these"
        )
    _check_dim(index, path, embeddings)
    if record.fingerprint != embeddings.fingerprint():
        raise EmbedderMismatch(
            f"{path} is of other embeddings than {embeddings.folder} (or of these before they "
            "changed): its rows would be wrong; build an index of these"
        )
    return AnnIndex(index, embeddings, record.search, record)


def _theirs(index: Any, path: Path, embeddings: Embeddings | None) -> AnnIndex:
    settings = SearchSettings(factor=_FACTOR)
    notes = [
        f"{path} was made by another tool: its recall was not measured; `laion-probe index` builds "
        "one whose recall is."
    ]
    if embeddings is None:
        notes.append(_no_embeddings(path))
        return AnnIndex(index, None, settings, notes=tuple(notes))
    _check_dim(index, path, embeddings)
    if int(index.ntotal) != embeddings.n_rows:
        raise EmbedderMismatch(
            f"{path}: {index.ntotal} rows, where {embeddings.folder} has {embeddings.n_rows}: it "
            "is of other embeddings; give theirs"
        )
    order = _looked_up(index, path, embeddings)
    return AnnIndex(index, embeddings, settings, notes=tuple(notes), order=order)


def _looked_up(index: Any, path: Path, embeddings: Embeddings) -> Order | None:
    """The order of files in which rows of the embeddings are found by their own vectors."""
    rows = np.unique(np.linspace(0, embeddings.n_rows - 1, _LOOKED_UP).astype(np.int64))
    vectors = embeddings.vectors(rows)
    good = usable(vectors)[0]
    if not good.any():
        return None
    own = []
    for order in (None, _by_name(embeddings)):
        opened = AnnIndex(index, None, SearchSettings(), order=order)
        found, _ = opened.search(vectors[good], _AMONG)
        own.append((found == rows[good, None]).any(axis=1).mean())
        if own[-1] > _ALMOST_ALL:
            return order
    if max(own) < _ENOUGH:
        raise EmbedderMismatch(
            f"{path}: of {good.sum()} rows of {embeddings.folder} that were looked up, "
            f"{max(own):.0%} are among their own nearest: it is of other embeddings, of another "
            "model or of files in another order; give theirs, or build one by `laion-probe index`"
        )
    return None if own[0] >= own[1] else _by_name(embeddings)


def _by_name(embeddings: Embeddings) -> Order:
    """Files as autofaiss takes them: 10 before 2 where there are no zeros before the number."""
    parts = sorted(embeddings.parts, key=lambda p: str(p.vectors))
    ends = np.cumsum([p.n_rows for p in parts])
    return ends - [p.n_rows for p in parts], np.array([p.first for p in parts])


def _named(key: Any) -> str:
    return " ".join(str(key[name]) for name in ("model", "pretrained") if key.get(name))


def _no_embeddings(path: Path) -> str:
    return (
        f"{path} was opened without the raw embeddings: similarities are the index's own, "
        "approximate, and candidates are not scored anew."
    )
