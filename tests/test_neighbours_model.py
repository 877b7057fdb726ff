"""Whether a model made the embeddings that it is asked to read, as far as that can be known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fake_neighbours import DIM, FakeEmbedder, truth, vectors_of, write_folder

from laion_probe.attributes import load_attribute
from laion_probe.config import NeighboursConfig
from laion_probe.errors import EmbedderMismatch
from laion_probe.index.recall import Recall
from laion_probe.neighbourhood import keywords
from laion_probe.questions import neighbours_finding, neighbours_inputs, neighbours_search
from laion_probe.questions.model_check import check_model, paired_test
from laion_probe.questions.neighbours import neighbours
from laion_probe.results import Estimate
from laion_probe.vectors import open_embeddings

ROWS = truth()
VECTORS = vectors_of(ROWS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("emb") / "emb", ROWS, VECTORS, (700, 800))


def test_embeddings_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    other: Any = FakeEmbedder(weights_sha256="0" * 64)
    with pytest.raises(EmbedderMismatch, match=r"made by fake \(weights ffffffffffff\)"):
        check_model(open_embeddings(folder), other)
    bare = write_folder(tmp_path / "bare", ROWS, VECTORS, key=None)
    small: Any = FakeEmbedder(dim=32)
    with pytest.raises(EmbedderMismatch, match=f"have {DIM} numbers a row, where fake makes 32"):
        check_model(open_embeddings(bare), small)
    turned = write_folder(tmp_path / "turned", ROWS, VECTORS[:, ::-1], key=None)
    model: Any = FakeEmbedder()
    with pytest.raises(EmbedderMismatch, match=r"200 pictures have a mean cosine of .* p = 0\.\d"):
        check_model(open_embeddings(turned), model)


def test_a_turned_space_is_refused_however_it_is_turned(tmp_path: Path) -> None:
    model: Any = FakeEmbedder()
    for seed in range(12):
        turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(DIM, DIM)))
        folder = write_folder(tmp_path / str(seed), ROWS, VECTORS @ turn, key=None)
        with pytest.raises(EmbedderMismatch, match="standard deviations apart"):
            check_model(open_embeddings(folder), model)


def test_embeddings_without_a_key_are_taken_on_ones_word_and_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = FakeEmbedder()
    assert check_model(open_embeddings(folder), model).basis == "key"
    bare = write_folder(tmp_path / "bare", ROWS, VECTORS, key=None)
    found = check_model(open_embeddings(bare), model)
    assert (found.basis, found.n) == ("captions", 200)
    assert found.own is not None
    assert found.others is not None
    assert found.own > found.others + 0.1
    assert found.p_value == pytest.approx(1 / 2000)
    mute = write_folder(tmp_path / "mute", ROWS.with_columns(caption=pl.lit("")), VECTORS, key=None)
    assert check_model(open_embeddings(mute), model).basis == "word"
    monkeypatch.setattr(neighbours_inputs, "load_embedder", lambda name, tag: model)
    asked = NeighboursConfig(embeddings=str(mute), concept=("doctor",), threshold=0.5)
    result = neighbours(asked)
    assert "the word of whoever ran this" in " ".join(result.how_measured)
    assert result.concepts[0].n_named == 0


def test_the_permutation_test_is_one_sided_and_rarely_wrong() -> None:
    rng = np.random.default_rng(0)
    noise = [paired_test(rng.normal(size=(40, 40)), i)[2] for i in range(15)]
    assert 0.2 < np.mean(noise) < 0.8
    assert min(noise) > 0.001
    assert paired_test(-np.eye(40))[2] > 0.99


@pytest.mark.parametrize(
    ("concept", "word"), [("a woman in a sari", "woman"), ("doctor", ""), ("a person at work", "")]
)
def test_a_concept_that_names_a_level_is_told_apart(concept: str, word: str):
    gender = load_attribute("gender_presentation")
    assert neighbours_finding._named_by(gender, keywords(concept)) == word


def recall_of(kinds: list[str], hits: list[int]) -> Recall:
    e = Estimate(value=0.9, low=0.4, high=0.95, n=0, units=len(kinds), method="-")
    return Recall(
        k=100,
        target=0.9,
        met=True,
        mean=e,
        worst_tenth=e,
        by_query={},
        by_group={},
        gap=None,
        query_kind=tuple(kinds),
        query_hits=tuple(hits),
        query_true=(100,) * len(hits),
    )


def test_a_concept_s_recall_is_limited_by_queries_that_are_texts():
    texts, pictures = [90] * 39 + [55], [100] * 40
    both = neighbours_search._recall(recall_of(["text"] * 40 + ["image"] * 40, texts + pictures))
    assert both.least == pytest.approx(0.9)  # the second lowest of forty texts
    assert both.mean.value == pytest.approx((sum(texts) + sum(pictures)) / 8000)
    assert both.mean.high < 1
    alone = neighbours_search._recall(recall_of(["image"] * 40, pictures))
    assert alone.least == 1
    few = neighbours_search._recall(recall_of(["text"] * 18, [90] * 18))
    assert few.least == pytest.approx(0.4)  # the worst tenth's lower end
