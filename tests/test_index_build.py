from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from laion_probe.config.embedding import IndexConfig
from laion_probe.errors import ConfigError, NotEnoughData
from laion_probe.index.build import build_index
from laion_probe.index.exact import SearchOptions, search
from laion_probe.index.held_out import hashed
from laion_probe.index.opening import open_index
from laion_probe.index.recall import Found, found_of, measured_recall
from laion_probe.questions.indexing import index
from laion_probe.vectors import open_embeddings

N, DIM, K = 12_000, 32, 50
BROKEN, UNREADABLE = (7, 5_003), (11, 4_000, 11_999)


def clustered(n: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((80, DIM))
    vectors = centres[rng.integers(80, size=n)] + 0.7 * rng.standard_normal((n, DIM))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run side by side, and FAISS's threads wait for each other at full speed."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("embeddings")
    vectors = clustered(N).astype(np.float16)
    vectors[list(BROKEN)] = np.nan
    vectors[list(UNREADABLE)] = 0
    (root / "img_emb").mkdir()
    (root / "metadata").mkdir()
    for number, start in enumerate(range(0, N, 5_000)):
        part = vectors[start : start + 5_000]
        np.save(root / "img_emb" / f"img_emb_{number}.npy", part)
        group = ["a" if r % 3 else "b" for r in range(start, start + len(part))]
        pl.DataFrame({"caption": ["x"] * len(part), "group": group}).write_parquet(
            root / "metadata" / f"metadata_{number}.parquet"
        )
    key = {"model": "m", "pretrained": "p", "weights_sha256": "0", "preprocess": "c"}
    (root / "key.json").write_text(json.dumps(key))
    return root


def config(folder: Path, out: Path, **options: Any) -> IndexConfig:
    given = {"k": K, "queries": 60, "shard_rows": 4_000, "threads": 1, "kind": "fastscan"}
    return IndexConfig(embeddings=str(folder), out=str(out), **{**given, **options})


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.parametrize("kind", ["flat", "ivf", "ivfpq", "fastscan", "on-disk"])
def test_each_kind_finds_the_exact_neighbours(folder: Path, tmp_path: Path, kind: str) -> None:
    built = build_index(config(folder, tmp_path / "index", kind=kind, group="group"))
    record = built.record
    assert (record.n_indexed, record.n_unreadable, record.n_broken) == (N - 5, 3, 2)
    assert record.recall is not None and record.recall.met
    assert set(record.recall.by_group) == {"a", "b"}
    # the plan's figure of its size is right within a twentieth and a page
    assert abs(record.n_bytes - record.plan.n_bytes) < 0.05 * record.plan.n_bytes + 4_096

    embeddings = open_embeddings(folder)
    opened = open_index(tmp_path / "index", embeddings)
    queries = clustered(40, seed=5)
    rows, scores = opened.search(queries, K)
    exact = search(embeddings, queries, SearchOptions(k=K))
    assert found_of((exact.rows, exact.scores), (rows, scores)).mean() > 0.97
    same = rows == exact.rows
    np.testing.assert_array_equal(scores[same], exact.scores[same])
    assert not np.isin(rows, [*BROKEN, *UNREADABLE, -1]).any()
    assert (np.diff(scores, axis=1) <= 0).all()
    if kind == "flat":
        np.testing.assert_array_equal(rows, exact.rows)


def test_stored_recall_is_what_new_queries_get(folder: Path, tmp_path: Path) -> None:
    k = 600  # several clusters
    build_index(config(folder, tmp_path / "index", k=k, queries=200, recall=0.5))
    opened = open_index(tmp_path / "index", open_embeddings(folder))
    assert opened.recall is not None
    queries = clustered(200, seed=6)
    exact = search(open_embeddings(folder), queries, SearchOptions(k=k))
    found = found_of((exact.rows, exact.scores), opened.search(queries, k)).mean()
    mean = opened.recall.mean
    assert mean.value is not None and mean.low is not None and mean.high is not None
    assert mean.value < 0.9999
    assert mean.low - 0.02 < found < mean.high + 0.02
    each = np.array(opened.recall.query_hits) / np.array(opened.recall.query_true)
    assert each.mean() == pytest.approx(mean.value)
    assert opened.recall.query_kind == ("image",) * mean.units


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fastscan", ("training", "indexing", "merging", "search every row")),
        ("on-disk", ("indexing",)),
    ],
)
def test_killed_builds_end_with_the_same_bytes(
    folder: Path, tmp_path: Path, kind: str, words: tuple[str, ...]
) -> None:
    whole = tmp_path / "whole"
    build_index(config(folder, whole, kind=kind))
    assert set(digests(whole)) == {"image.index", "index.json"}
    killed = tmp_path / "killed"
    for word in words:
        run = subprocess.run(
            [sys.executable, "-c", _DIES, str(folder), str(killed), word, kind],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": "tests:.", "OMP_NUM_THREADS": "1"},
        )
        assert run.returncode == -signal.SIGKILL, run.stderr
        assert not (killed / "index.json").exists()
    built = build_index(config(folder, killed, kind=kind))
    assert built.begun_before == (3 if len(words) > 1 else 1)
    assert digests(killed) == digests(whole)


_DIES = """
import os, signal, sys
from pathlib import Path
from laion_probe.index.build import build_index
from test_index_build import config

def die(what, done, of):
    if what == sys.argv[3] and done:
        os.kill(os.getpid(), signal.SIGKILL)

build_index(config(Path(sys.argv[1]), Path(sys.argv[2]), kind=sys.argv[4]), die)
"""


def test_a_finished_index_stays_and_another_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    build_index(config(folder, out, kind="flat"))
    before = digests(out)
    assert build_index(config(folder, out, kind="flat")).n_shards == 0
    assert digests(out) == before
    with pytest.raises(ConfigError, match="other embeddings or options"):
        build_index(config(folder, out, kind="flat", seed=1))
    (out / "index.json").unlink()
    with pytest.raises(ConfigError, match="another tool made"):
        build_index(config(folder, out, kind="flat"))


def test_explained_and_told(folder: Path, tmp_path: Path) -> None:
    told = index(config(folder, tmp_path / "index", explain=True))
    assert told.built is None and not (tmp_path / "index").exists()
    assert any("4-bit codes" in line for line in told.sentences)
    told = index(config(folder, tmp_path / "index", group="group", recall=0.9999999))
    text = " ".join(told.sentences)
    assert "11995 of 12000 rows are in it: 3 are all zeros" in text
    assert "Recall@50 against the exact scan, on 30 held-out queries" in text
    assert "By group of the neighbours: a " in text
    with pytest.raises(ConfigError, match="no metadata column 'country'"):
        index(config(folder, tmp_path / "other", group="country"))


def test_captions_are_queries_too(tmp_path: Path) -> None:
    for kind, name, seed in (("img", "image", 0), ("text", "text", 1)):
        (tmp_path / f"{kind}_emb").mkdir()
        np.save(tmp_path / f"{kind}_emb" / f"{kind}_emb_0.npy", clustered(2_000, seed))
        assert name in ("image", "text")
    built = build_index(config(tmp_path, tmp_path / "index", kind="flat"))
    assert built.record.recall is not None and built.record.key is None
    assert set(built.record.recall.by_query) == {"image", "text"}
    text = build_index(config(tmp_path, tmp_path / "index-2", kind="flat", of="text"))
    assert (text.folder / "text.index").is_file()


def test_a_full_disk_is_told_and_leaves_nothing_half_written(folder: Path, tmp_path: Path) -> None:
    """FAISS itself says nothing of the last bytes that did not fit."""
    import resource

    whole = build_index(config(folder, tmp_path / "whole", kind="flat", shard_rows=N)).record
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole.n_bytes - 1, before[1]))
    try:
        with pytest.raises(ConfigError, match="File too large; give --out"):
            build_index(config(folder, tmp_path / "index", kind="flat", shard_rows=N))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)
    assert not list((tmp_path / "index").rglob("shard-*"))
    build_index(config(folder, tmp_path / "index", kind="flat", shard_rows=N))
    assert digests(tmp_path / "index") == digests(tmp_path / "whole")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Not a directory; give --out"):
        build_index(config(folder, tmp_path / "file", kind="flat"))


def test_nothing_to_index(tmp_path: Path) -> None:
    (tmp_path / "img_emb").mkdir()
    np.save(tmp_path / "img_emb" / "img_emb_0.npy", np.zeros((500, DIM), np.float16))
    with pytest.raises(NotEnoughData, match="all zeros"):
        build_index(config(tmp_path, tmp_path / "index", kind="flat"))
    with pytest.raises(NotEnoughData, match="0 usable rows to train on"):
        build_index(config(tmp_path, tmp_path / "index-2", kind="fastscan"))


def test_the_sample_is_of_the_seed_and_the_row() -> None:
    rows = np.arange(100_000)
    np.testing.assert_array_equal(hashed(rows, 3)[500:], hashed(rows[500:], 3))
    picked = [hashed(rows, seed) < 0.1 for seed in (0, 1)]
    assert abs(picked[0].mean() - 0.1) < 0.01
    assert abs((picked[0] & picked[1]).mean() - 0.01) < 0.003


def test_recall_by_group_and_its_gap() -> None:
    true = np.arange(40).reshape(4, 10)
    group = np.tile([0] * 5 + [1] * 5, (4, 1))
    hit = np.ones((4, 10), bool)
    hit[:, 9] = False  # one of five of the second group, in each query
    found = Found(hit, true, np.full(4, "image"), group, ("a", "b"))
    recall = measured_recall(found, 0, 0.9, True)
    assert recall.mean.value == pytest.approx(0.9)
    assert recall.by_group["a"].value == 1
    assert recall.by_group["b"].value == pytest.approx(0.8)
    assert recall.gap is not None and recall.gap.value == pytest.approx(0.2)


def test_copies_stand_for_each_other_only_where_they_tie() -> None:
    scores = np.array([[0.9, 0.5, 0.5]], np.float32)
    true = np.array([[3, 1, 2]]), scores
    assert found_of(true, (np.array([[3, 8, 9]]), scores)).all()
    worse = np.array([[0.9, 0.5, 0.4]], np.float32)
    assert found_of(true, (np.array([[3, 8, 9]]), worse)).sum() == 2
    assert found_of(true, (np.array([[8, 1, 2]]), scores)).tolist() == [[False, True, True]]
