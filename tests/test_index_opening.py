from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from laion_probe.config.embedding import IndexConfig
from laion_probe.errors import ConfigError, EmbedderMismatch, SchemaError, ShardError
from laion_probe.index.build import build_index
from laion_probe.index.exact import SearchOptions, search
from laion_probe.index.opening import open_index
from laion_probe.vectors import open_embeddings

N, DIM, K = 3_000, 32, 20
KEY = {"model": "m", "pretrained": "p", "weights_sha256": "0", "preprocess": "c"}


def vectors_of(n: int, seed: int, dim: int = DIM) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def write(
    root: Path,
    vectors: NDArray[np.float32],
    key: dict[str, str] | None = None,
    *,
    zeros: int = 2,
    rows: int = 1_000,
) -> Path:
    """What ``clip-retrieval inference`` 2.45 writes, as seen of its NumpyWriter.

    Zeros stand before numbers (as many digits as the number of parts has); a part is one float16
    array; columns are image_path, caption, then img2dataset's notes as they came: error_message is
    of no type where there was no error, exif is JSON, and what was nested has a dot in its name.
    """
    for name in ("img_emb", "text_emb", "metadata"):
        (root / name).mkdir(parents=True)
    for number, start in enumerate(range(0, len(vectors), rows)):
        part = vectors[start : start + rows].astype(np.float16)
        for name in ("img_emb", "text_emb"):
            np.save(root / name / f"{name}_{number:0{zeros}d}.npy", part)
        n = len(part)
        names = [f"{start + i:09d}" for i in range(n)]
        failed = None if number else ["", *[None] * (n - 1)]
        table = {
            "image_path": pa.array(names),
            "caption": pa.array(names),
            "url": pa.array([f"https://example.org/{name}.jpg" for name in names]),
            "error_message": pa.nulls(n) if failed is None else pa.array(failed, pa.string()),
            "width": pa.array([256] * n),
            "exif": pa.array(['{"Image Orientation": "1"}'] * n),
            "NSFW": pa.array(["UNLIKELY"] * n),
            "similarity": pa.array([0.31] * n),
            "nested.a": pa.array([1] * n),
        }
        path = root / "metadata" / f"metadata_{number:0{zeros}d}.parquet"
        pq.write_table(pa.table(table), path)
    if key is not None:
        (root / "key.json").write_text(json.dumps(key))
    return root


def faiss_index(vectors: NDArray[np.float32], factory: str, metric: int) -> faiss.Index:
    index = faiss.index_factory(vectors.shape[1], factory, metric)
    index.train(vectors)
    index.add(vectors.astype(np.float16).astype(np.float32))
    return index


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run side by side, and FAISS's threads wait for each other at full speed."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip-retrieval's folder: image.index, metadata/ and img_emb/."""
    root = write(tmp_path_factory.mktemp("theirs") / "folder", vectors_of(N, 0))
    index = faiss_index(vectors_of(N, 0), "IVF16,Flat", faiss.METRIC_INNER_PRODUCT)
    faiss.extract_index_ivf(index).nprobe = 16  # as autofaiss leaves it in the file
    faiss.write_index(index, str(root / "image.index"))
    return root


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write(tmp_path_factory.mktemp("ours") / "folder", vectors_of(N, 1), KEY)
    build_index(IndexConfig(embeddings=str(root), kind="ivf", k=K, queries=40, threads=1))
    return root


@pytest.mark.parametrize("name", ["image.index", "knn.index"])
@pytest.mark.parametrize("factory", ["IVF16,Flat", "HNSW15", "PCAR32,IVF16_HNSW32,PQ8x4", "Flat"])
@pytest.mark.parametrize("metric", [faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2])
def test_other_tools_indexes_open_as_they_are(
    theirs: Path, tmp_path: Path, name: str, factory: str, metric: int
) -> None:
    index = faiss_index(vectors_of(N, 0), factory, metric)
    if "IVF" in factory:
        faiss.extract_index_ivf(index).nprobe = 16
    faiss.write_index(index, str(tmp_path / name))
    embeddings = open_embeddings(theirs)
    opened = open_index(tmp_path, embeddings)
    assert opened.recall is None and opened.key is None
    assert "another tool" in opened.notes[0]
    queries = vectors_of(10, 7)
    rows, scores = opened.search(queries, K)
    exact = search(embeddings, queries, SearchOptions(k=K))
    share = np.mean([np.isin(a, b).mean() for a, b in zip(exact.rows, rows, strict=True)])
    assert share > (0.4 if "PQ" in factory else 0.95)
    same = rows == exact.rows
    np.testing.assert_array_equal(scores[same], exact.scores[same])


def test_a_folder_of_clip_retrieval_reads_as_it_is(theirs: Path) -> None:
    images, texts = open_embeddings(theirs), open_embeddings(theirs, "text")
    assert (images.n_rows, texts.n_rows, images.dtype, images.key) == (N, N, "float16", None)
    rows = np.array([2_999, 0, 1_000])
    found = images.metadata(rows)
    assert found["caption"].to_list() == ["000002999", "000000000", "000001000"]
    assert found["error_message"].to_list() == [None, "", None]
    assert found["nested.a"].to_list() == [1, 1, 1]
    named = {"text": "caption", "url": "url", "nsfw": "NSFW", "similarity": "similarity"}
    assert named.items() <= images.canonical().items()


def test_an_index_of_files_by_name_has_10_before_2(tmp_path: Path) -> None:
    """autofaiss sorts paths as text, and we write no zeros before numbers."""
    vectors = vectors_of(N, 0)
    root = write(tmp_path / "folder", vectors, zeros=1, rows=250)
    names = sorted(path.name for path in (root / "img_emb").iterdir())
    assert names[2] == "img_emb_10.npy"
    by_name = np.concatenate([np.load(root / "img_emb" / name) for name in names])
    faiss.write_index(faiss_index(by_name.astype(np.float32), "Flat", 0), str(root / "image.index"))
    rows, scores = open_index(root, open_embeddings(root)).search(vectors[::7], 1)
    assert rows[:, 0].tolist() == list(range(0, N, 7))
    assert scores.min() > 0.999


def test_without_raw_embeddings(theirs: Path) -> None:
    opened = open_index(theirs)
    assert (opened.n_rows, opened.dim) == (N, DIM)
    assert "without the raw embeddings" in opened.notes[1]
    _, scores = opened.search(vectors_of(N, 0)[:5], K)
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-2)


def test_scores_of_an_l2_index_are_cosines(tmp_path: Path) -> None:
    index = faiss_index(vectors_of(N, 0), "Flat", faiss.METRIC_L2)
    faiss.write_index(index, str(tmp_path / "image.index"))
    rows, scores = open_index(tmp_path).search(vectors_of(3, 7), K)
    truth = np.einsum("qd,qkd->qk", vectors_of(3, 7), vectors_of(N, 0)[rows])
    np.testing.assert_allclose(scores, truth, atol=2e-3)


def test_rows_that_are_zero_or_broken_are_never_found(tmp_path: Path) -> None:
    vectors = vectors_of(N, 3)
    vectors[[5, 6]] = 0
    vectors[[7, 2_500]] = np.nan
    root = write(tmp_path / "f", vectors)
    faiss.write_index(
        faiss_index(vectors, "Flat", faiss.METRIC_INNER_PRODUCT), str(root / "image.index")
    )
    rows, scores = open_index(root, open_embeddings(root)).search(vectors_of(4, 8), N)
    assert not np.isin([5, 6, 7, 2_500], rows).any()
    assert (rows[:, -4:] == -1).all() and np.isneginf(scores[:, -4:]).all()
    assert (rows[:, :-4] >= 0).all()


def test_a_folder_of_lists_on_disk(theirs: Path, tmp_path: Path) -> None:
    index = faiss.read_index(str(theirs / "image.index"))
    lists = faiss.extract_index_ivf(index).invlists
    (tmp_path / "image.index").mkdir()
    inside = tmp_path / "image.index"
    disk = faiss.OnDiskInvertedLists(lists.nlist, lists.code_size, str(inside / "merged.ivfdata"))
    pointers = faiss.InvertedListsPtrVector()
    pointers.push_back(lists)
    disk.merge_from_multiple(pointers.data(), pointers.size())
    faiss.extract_index_ivf(index).replace_invlists(disk, False)
    disk.filename = "/where/it/was/made/merged.ivfdata"
    faiss.write_index(index, str(inside / "populated.index"))
    opened = open_index(tmp_path, open_embeddings(theirs))
    rows, _ = opened.search(vectors_of(N, 0)[:8], K)
    assert rows[:, 0].tolist() == list(range(8))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("factory", ["IVF16,Flat", "IVF16,PQ16x4fsr", "Flat"])
def test_a_truncated_index_is_a_clear_error(tmp_path: Path, share: float, factory: str) -> None:
    path = tmp_path / "image.index"
    faiss.write_index(faiss_index(vectors_of(N, 0), factory, 0), str(path))
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ShardError, match=r"image.index: not a readable index .*cut off"):
        open_index(tmp_path)


def test_no_index(theirs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no image\.index"):
        open_index(tmp_path)
    (tmp_path / "image.index").write_bytes(b"\x80\x04\x95pickle of something")
    with pytest.raises(ShardError, match="not a readable index"):
        open_index(tmp_path)
    bits = faiss_index(vectors_of(N, 0), "Flat", faiss.METRIC_L1)
    faiss.write_index(bits, str(tmp_path / "image.index"))
    with pytest.raises(SchemaError, match="no cosine"):
        open_index(tmp_path, open_embeddings(theirs))


def test_an_index_of_something_else_is_refused(theirs: Path, tmp_path: Path) -> None:
    other_dim = write(tmp_path / "dim", vectors_of(N, 0, dim=16))
    with pytest.raises(EmbedderMismatch, match=r"32 numbers a row, where .* has 16"):
        open_index(theirs, open_embeddings(other_dim))
    fewer = write(tmp_path / "fewer", vectors_of(N - 1, 0))
    with pytest.raises(EmbedderMismatch, match=r"3000 rows, where .* has 2999"):
        open_index(theirs, open_embeddings(fewer))
    other = write(tmp_path / "other", vectors_of(N, 2))
    with pytest.raises(EmbedderMismatch, match="are among their own nearest"):
        open_index(theirs, open_embeddings(other))


def test_our_own_index_knows_its_model_and_its_embeddings(ours: Path, tmp_path: Path) -> None:
    opened = open_index(ours / "index", open_embeddings(ours))
    assert opened.key == KEY and opened.recall is not None and not opened.notes
    model = write(tmp_path / "model", vectors_of(N, 1), {**KEY, "weights_sha256": "1"})
    with pytest.raises(EmbedderMismatch, match=r"is of vectors by m p, .* by m p"):
        open_index(ours / "index", open_embeddings(model))
    others = write(tmp_path / "others", vectors_of(N, 2), KEY)
    with pytest.raises(EmbedderMismatch, match="other embeddings"):
        open_index(ours / "index", open_embeddings(others))
    without = open_index(ours / "index")
    assert without.key == KEY and len(without.notes) == 1


def test_our_own_index_cut_off(ours: Path, tmp_path: Path) -> None:
    copy = tmp_path / "index"
    copy.mkdir()
    for path in (ours / "index").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    os.truncate(copy / "image.index", (copy / "image.index").stat().st_size - 1)
    with pytest.raises(ShardError, match=r"bytes, where index.json says"):
        open_index(copy, open_embeddings(ours))
    (copy / "index.json").write_text("{}")
    with pytest.raises(ShardError, match="not the record of an index"):
        open_index(copy, open_embeddings(ours))


def test_queries_of_another_dimension(ours: Path) -> None:
    opened = open_index(ours / "index", open_embeddings(ours))
    with pytest.raises(ValueError, match="for an index of 32 numbers"):
        opened.search(vectors_of(2, 0, dim=16), K)
