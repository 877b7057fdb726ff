"""Clusters that are drawn too often: planted ones, null sets, far outputs and bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from laion_probe import clusters
from laion_probe.clusters import ClusterOptions, Outputs, find_clusters
from laion_probe.errors import ConfigError, EmbedderMismatch, NotEnoughData
from laion_probe.vectors import Embeddings, open_embeddings

Floats = NDArray[np.float32]

SUBJECTS, DIM = 20, 24
CENTRES = np.random.default_rng(0).standard_normal((SUBJECTS, DIM))
CENTRES /= np.linalg.norm(CENTRES, axis=1, keepdims=True)
OPTIONS = ClusterOptions(seeds=2)


def pictures(rng: np.random.Generator, subject: NDArray[np.int64]) -> Floats:
    x = CENTRES[subject] + rng.normal(0, 0.08, (len(subject), DIM))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def written(folder: Path, vectors: Floats, part_rows: int = 1500) -> Embeddings:
    (folder / "img_emb").mkdir(parents=True)
    for number, start in enumerate(range(0, len(vectors), part_rows)):
        part = vectors[start : start + part_rows].astype(np.float16)
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", part)
    return open_embeddings(folder)


SUBJECT = np.random.default_rng(1).integers(SUBJECTS, size=4000)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    """4 000 rows of 20 subjects alike in number; rows 0 to 4 are pictures that were not read."""
    vectors = pictures(np.random.default_rng(2), SUBJECT)
    vectors[:5] = 0
    return written(tmp_path_factory.mktemp("data"), vectors)


def drawn(
    odds: NDArray[np.float64], n: int = 400, seed: int = 3
) -> tuple[Outputs, NDArray[np.int64]]:
    """Outputs in batches of ten, each with its own mixture of subjects about ``odds``."""
    rng = np.random.default_rng(seed)
    mixtures = rng.dirichlet(odds / odds.sum() * 30, size=n // 10)
    subject = np.concatenate([rng.choice(SUBJECTS, 10, p=m) for m in mixtures])
    return Outputs(pictures(rng, subject), np.arange(n) // 10), subject


def planted() -> NDArray[np.float64]:
    odds = np.ones(SUBJECTS)
    odds[7] = 15
    return odds


def test_the_planted_subject_is_one_cluster_and_comes_first(data: Embeddings) -> None:
    outputs, subject = drawn(planted())
    found = find_clusters(outputs, data, OPTIONS)
    first = found.clusters[0]
    assert [c.over_represented for c in found.clusters].count(True) == 1
    assert first.over_represented
    assert (subject[first.members] == 7).mean() > 0.95
    assert len(first.members) > 0.95 * (subject == 7).sum()
    assert (SUBJECT[first.linked] == 7).mean() > 0.95
    assert first.stability == 1
    truth = (subject == 7).mean() / (SUBJECT == 7).mean()
    assert first.ratio.value == pytest.approx(truth, rel=0.1)
    assert first.local_ratio.low is not None
    assert first.local_ratio.high is not None
    assert first.local_ratio.low < truth < first.local_ratio.high
    assert float(first.centre @ CENTRES[7]) > 0.98
    assert found.n_rows == 3995


@pytest.mark.parametrize("k", [8, 32, 64])
def test_cells_of_one_subject_are_one_finding(data: Embeddings, k: int) -> None:
    outputs, subject = drawn(planted())
    found = find_clusters(outputs, data, replace(OPTIONS, k=k))
    first = found.clusters[0]
    assert found.n_clusters == k
    assert (subject[first.members] == 7).sum() > 0.8 * (subject == 7).sum()
    assert first.stability > 0.5


def test_without_merging_a_subject_falls_apart(
    data: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_LINKS_ACROSS", 2.0)
    found = find_clusters(drawn(planted())[0], data, replace(OPTIONS, k=64))
    assert [c.over_represented for c in found.clusters].count(True) > 1


def test_every_output_is_in_one_cluster(data: Embeddings) -> None:
    outputs, _ = drawn(planted())
    found = find_clusters(outputs, data, OPTIONS)
    assert sorted(np.concatenate([c.members for c in found.clusters])) == list(range(400))
    shares = [c.output_share.value or 0 for c in found.clusters if not c.over_represented]
    assert shares == sorted(shares, reverse=True)


def test_outputs_like_the_data_raise_nothing(data: Embeddings) -> None:
    raised, locals_ = 0, []
    for seed in range(6):
        found = find_clusters(drawn(np.ones(SUBJECTS), 300, seed)[0], data, ClusterOptions(seeds=1))
        raised += found.clusters[0].over_represented
        locals_ += [c.local_ratio.value for c in found.clusters if len(c.members) > 10]
    assert raised <= 1
    assert 0.7 < float(np.mean([x for x in locals_ if x is not None])) < 1.4


def test_nearest_rows_are_exact_and_unread_pictures_are_none(data: Embeddings) -> None:
    outputs, _ = drawn(planted(), 60)
    found = find_clusters(outputs, data, OPTIONS)
    products = outputs.vectors @ data.vectors(np.arange(data.n_rows)).T
    best = -np.sort(-products, axis=1)[:, :10]
    assert found.compared == 1
    for c in found.clusters:
        got = np.take_along_axis(products[c.members], c.nearest, axis=1)
        assert got == pytest.approx(best[c.members], abs=2e-3)
        assert c.nearest.min() >= 5


def test_few_cells_compared_find_nearly_all(
    data: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, _ = drawn(planted())
    whole = find_clusters(outputs, data, OPTIONS)
    monkeypatch.setattr(clusters, "_PAIRS", 0)
    part = find_clusters(outputs, data, OPTIONS)
    assert part.compared < 0.4
    pairs = zip(whole.clusters, part.clusters, strict=True)
    assert np.mean([np.isin(a.nearest, b.nearest).mean() for a, b in pairs]) > 0.98


def test_the_same_twice_and_in_parts(data: Embeddings, tmp_path: Path) -> None:
    outputs, _ = drawn(planted())
    again = written(tmp_path / "again", data.vectors(np.arange(4000)), 4000)
    a, b = (find_clusters(outputs, d, OPTIONS) for d in (data, again))
    for x, y in zip(a.clusters, b.clusters, strict=True):
        assert np.array_equal(x.members, y.members)
        assert np.array_equal(x.nearest, y.nearest)
        assert (x.ratio, x.local_ratio, x.stability) == (y.ratio, y.local_ratio, y.stability)


def test_far_outputs_are_counted_and_stay(data: Embeddings) -> None:
    outputs, _ = drawn(planted())
    vectors = outputs.vectors.copy()
    odd = np.random.default_rng(5).standard_normal((40, DIM))
    vectors[:40] = odd / np.linalg.norm(odd, axis=1, keepdims=True)
    found = find_clusters(Outputs(vectors, outputs.batch), data, OPTIONS)
    assert found.far[:40].mean() > 0.9
    assert found.far[40:].mean() < 0.05
    assert sum(c.n_far for c in found.clusters) == found.far.sum()
    assert sum(len(c.members) for c in found.clusters) == 400


def test_copies_do_not_make_the_data_look_dense(tmp_path: Path) -> None:
    """Where each row is there twice, the nearest other row is not its copy."""
    vectors = pictures(np.random.default_rng(2), SUBJECT[:1000])
    outputs, _ = drawn(planted())
    once = find_clusters(outputs, written(tmp_path / "once", vectors), OPTIONS)
    both = np.concatenate([vectors, vectors])
    twice = find_clusters(outputs, written(tmp_path / "twice", both), OPTIONS)
    assert twice.far_cosine == pytest.approx(once.far_cosine, abs=0.02)
    assert abs(int(twice.far.sum()) - int(once.far.sum())) < 10


def test_one_batch_alone_has_a_local_ratio_and_says_so(data: Embeddings) -> None:
    outputs, _ = drawn(planted())
    found = find_clusters(Outputs(outputs.vectors, np.zeros(400, np.int64)), data, OPTIONS)
    local = found.clusters[0].local_ratio
    assert (local.value or 0) > 5
    assert "one batch only" in local.assumptions[0]


def test_a_cluster_of_one_batch_has_no_local_interval(data: Embeddings) -> None:
    outputs, subject = drawn(np.ones(SUBJECTS))
    batch = np.where(subject == 7, 0, 1 + outputs.batch)
    found = find_clusters(Outputs(outputs.vectors, batch), data, OPTIONS)
    own = next(c for c in found.clusters if (subject[c.members] == 7).all())
    assert (own.local_ratio.low, own.local_ratio.high) == (0.0, None)
    assert not own.over_represented


def test_bad_input_is_named(data: Embeddings, tmp_path: Path) -> None:
    outputs, _ = drawn(planted())
    with pytest.raises(NotEnoughData, match="3 outputs"):
        find_clusters(Outputs(outputs.vectors[:3], outputs.batch[:3]), data)
    with pytest.raises(NotEnoughData, match="all the same picture"):
        find_clusters(Outputs(outputs.vectors[np.zeros(50, int)], outputs.batch[:50]), data)
    with pytest.raises(EmbedderMismatch, match="24 numbers"):
        find_clusters(Outputs(outputs.vectors[:, :8], outputs.batch), data)
    with pytest.raises(ConfigError, match="3000 clusters"):
        find_clusters(outputs, data, ClusterOptions(k=3000))
    few = written(tmp_path / "few", outputs.vectors[:60])
    with pytest.raises(NotEnoughData, match="60 rows"):
        find_clusters(outputs, few)
    unread = written(tmp_path / "unread", np.zeros((300, DIM), np.float32))
    with pytest.raises(NotEnoughData, match="have a vector"):
        find_clusters(outputs, unread)


def test_outputs_that_are_training_rows_are_refused(data: Embeddings) -> None:
    rows = data.vectors(np.arange(100, 400))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with pytest.raises(NotEnoughData, match="300 of 300 outputs are rows of the training data"):
        find_clusters(Outputs(rows, np.arange(300) // 10), data, OPTIONS)
    # a few that are repeated from training are no such mistake
    outputs, _ = drawn(planted())
    outputs.vectors[:40] = rows[:40]
    assert find_clusters(outputs, data, OPTIONS).clusters


def test_outputs_without_training_neighbours_are_refused(data: Embeddings) -> None:
    odd = np.random.default_rng(5).standard_normal((100, DIM)).astype(np.float32)
    odd /= np.linalg.norm(odd, axis=1, keepdims=True)
    with pytest.raises(NotEnoughData, match="no training neighbours"):
        find_clusters(Outputs(odd, np.arange(100) // 10), data)
