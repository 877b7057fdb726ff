"""Concept to rows: words, prompts, and a threshold by rule."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from laion_probe.errors import ConfigError
from laion_probe.index import similarities, top_k
from laion_probe.neighbourhood import choose_threshold, keywords, names_concept, prompts


@pytest.mark.parametrize(
    ("concept", "words"),
    [
        ("doctor", ("doctor",)),
        ("a woman in a sari", ("woman", "sari")),
        ("the", ("the",)),
        ("Ärztin", ("ärztin",)),
        ("???", ()),
    ],
)
def test_keywords(concept: str, words: tuple[str, ...]) -> None:
    assert keywords(concept) == words


@pytest.mark.parametrize("concept", ["", "   ", "\t\n"])
def test_a_concept_of_only_spaces_is_refused(concept: str) -> None:
    with pytest.raises(ConfigError, match="the concept is empty"):
        keywords(concept)


def test_prompts_take_the_right_article() -> None:
    assert "a photo of a doctor" in prompts("doctor")
    assert "a photo of an engineer" in prompts("engineer")
    assert "a photo of a woman in a sari" in prompts("a woman in a sari")


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("A Doctor at work", True),
        ("two doctors, one desk", True),
        ("the doctor's bag", True),
        ("doctor_01.jpg", True),
        ("Doctor Who", True),
        ("doctoral thesis", False),
        ("médico", False),
        ("", False),
    ],
)
def test_whole_words_name_a_concept(caption: str, named: bool) -> None:
    assert names_concept(pl.Series([caption]), ("doctor",)).to_list() == [named]


def test_all_words_must_be_there_and_no_words_name_nothing() -> None:
    texts = pl.Series(["woman wearing a sari", "a sari", "a woman"])
    assert names_concept(texts, ("woman", "sari")).to_list() == [True, False, False]
    assert names_concept(texts, ()).to_list() == [False, False, False]
    assert names_concept(pl.Series(["c++ (x)"]), ("c++",)).to_list() == [True]


def simulated(rng: np.random.Generator, n: int, share: float, gap: float):
    """Similarities where a share of pictures shows the concept and half of these are named."""
    truth = rng.random(n) < share
    similarity = (rng.normal(0.2, 0.05, n) + gap * truth).astype(np.float32)
    named = truth & (rng.random(n) < 0.5)
    return truth, similarity, named


def test_the_threshold_finds_what_the_captions_only_half_name() -> None:
    truth, similarity, named = simulated(np.random.default_rng(0), 4000, 0.08, 0.25)
    t = choose_threshold(similarity, named, np.zeros(0, np.float32))
    assert t.value is not None
    near = similarity >= t.value
    assert (near & truth).sum() / truth.sum() > 0.9
    assert (near & truth).sum() / near.sum() > 0.9


def test_a_model_that_does_not_know_the_concept_gives_no_neighbourhood() -> None:
    _, similarity, named = simulated(np.random.default_rng(0), 4000, 0.08, 0.0)
    t = choose_threshold(similarity, named, np.zeros(0, np.float32))
    assert t.value is None
    assert "does not place their pictures nearer" in t.rule


def test_without_named_captions_near_means_as_near_as_captions_usually_are() -> None:
    similarity = np.linspace(0, 0.5, 100, dtype=np.float32)
    named = np.zeros(100, dtype=bool)
    own = np.full(50, 0.4, dtype=np.float32)
    t = choose_threshold(similarity, named, own)
    assert t.value == pytest.approx(0.4)
    assert "median similarity of 50 pictures" in t.rule
    assert choose_threshold(similarity * 0.5, named, own).value is None


def test_faiss_finds_what_a_matrix_product_finds() -> None:
    rng = np.random.default_rng(1)
    v = rng.normal(size=(500, 16)).astype(np.float32)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    v[10] = v[11]  # a tie
    q = v[0]
    assert similarities(v, q) == pytest.approx(v @ q, abs=1e-6)
    rows, scores = top_k(v, v[10], 5)
    assert rows[:2].tolist() == [10, 11]
    assert (np.diff(scores) <= 0).all()
