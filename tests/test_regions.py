"""Neighbourhoods: disjoint, of like size; masses of mixtures; contrasts of null mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit

from laion_probe.errors import ConfigError, EmbedderMismatch, NotEnoughData
from laion_probe.regions import Neighbourhoods, RegionOptions, near_duplicates, neighbourhoods
from laion_probe.vectors import Embeddings, open_embeddings

Floats = NDArray[np.float32]
Write = Callable[[Floats], Embeddings]


def unit(x: NDArray[np.float64]) -> Floats:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(vectors: Floats) -> Embeddings:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "img_emb").mkdir(parents=True)
        np.save(folder / "img_emb" / "img_emb_0.npy", vectors.astype(np.float16))
        return open_embeddings(folder)

    return written


def mixture(times: int, seed: int) -> tuple[Floats, Floats]:
    """40 subjects of 100 rows, the first ``times`` as many, and 1 000 rows of none in particular.

    Also the first's direction.
    """
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((40, 32)))
    subject = np.concatenate([np.repeat(np.arange(40), 100), np.zeros(100 * (times - 1), int)])
    tight = unit(centres[subject] + rng.normal(0, 0.07, (len(subject), 32)))
    return np.concatenate([tight, unit(rng.standard_normal((1000, 32)))]), centres[0]


def mass_odds(found: Neighbourhoods, deduplicated: bool = False) -> tuple[float, float]:
    """Log odds of the mass here less the mean elsewhere, and half a 95 % prediction interval."""
    mass, masses = found.mass, found.masses
    if deduplicated:
        mass, masses = found.mass_deduplicated, found.masses_deduplicated
    return contrast(mass, masses)


def contrast(
    here: tuple[int, int], others: tuple[tuple[int, int], ...] | list[tuple[int, int]]
) -> tuple[float, float]:
    logits = [math.log((k + 0.5) / (n - k + 0.5)) for k, n in [here, *others]]
    m = len(others)
    spread = float(np.std(logits[1:], ddof=1)) * math.sqrt(1 + 1 / m)
    return logits[0] - float(np.mean(logits[1:])), float(stdtrit(m - 1, 0.975)) * spread


def test_neighbourhoods_are_disjoint_of_one_size_and_here_is_the_nearest(write: Write) -> None:
    vectors, centre = mixture(1, 0)
    data = write(vectors)
    found = neighbourhoods(data, centre, RegionOptions(80))
    cosines = data.vectors(np.arange(data.n_rows)) @ centre
    assert set(found.here) == set(np.argsort(-cosines)[:80])
    assert all(len(rows) == 80 for rows in found.others)
    together = np.concatenate([found.here, *found.others])
    assert len(np.unique(together)) == len(together)
    assert len(found.others) == len(found.densities) >= 12
    assert found.mass[0] == 80
    assert found.mass[1] == len(vectors)


def test_others_are_those_nearest_in_density(write: Write) -> None:
    """Half the subjects are loose: a tight neighbourhood is compared with tight ones."""
    rng = np.random.default_rng(1)
    centres = unit(rng.standard_normal((40, 32)))
    noise = np.repeat(np.where(np.arange(40) < 20, 0.05, 0.15), 100)[:, None]
    vectors = unit(np.repeat(centres, 100, axis=0) + rng.normal(0, 1, (4000, 32)) * noise)
    found = neighbourhoods(write(vectors), centres[0], RegionOptions(80))
    assert found.density > 0.95
    assert np.mean([(rows // 100 < 20).mean() for rows in found.others]) > 0.95


def test_the_same_place_is_not_compared_with_itself(write: Write) -> None:
    vectors, centre = mixture(4, 2)
    found = neighbourhoods(write(vectors), centre, RegionOptions(80))
    first = np.concatenate([np.arange(100), np.arange(4000, 4300)])
    assert not np.isin(np.concatenate(found.others), first).any()


def test_a_subject_four_times_as_large_is_found_and_equal_ones_are_not(write: Write) -> None:
    raised = {1: 0, 4: 0}
    for times, total in raised.items():
        odds = []
        for seed in range(5):
            vectors, centre = mixture(times, seed)
            found = neighbourhoods(write(vectors), centre, RegionOptions(80 * times, seed=seed))
            odds.append(math.exp(mass_odds(found)[0]))
            difference, half = mass_odds(found)
            total += difference - half > math.log(1.25)
        raised[times] = total
        assert 0.7 * times < np.median(odds) < 1.5 * times
    assert raised[1] == 0
    assert raised[4] >= 4


def test_copies_make_mass_and_counting_them_once_does_not(write: Write) -> None:
    vectors, centre = mixture(1, 3)
    rng = np.random.default_rng(3)
    copies = unit(np.repeat(vectors[:100], 3, axis=0) + rng.normal(0, 0.005, (300, 32)))
    found = neighbourhoods(write(np.concatenate([vectors, copies])), centre, RegionOptions(320))
    assert found.mass_deduplicated[0] < 0.35 * found.mass[0]
    assert mass_odds(found)[0] - mass_odds(found, deduplicated=True)[0] > 1
    assert found.masses_deduplicated[0][0] <= found.masses[0][0]


def test_near_duplicates_equal_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laion_probe.regions._BLOCK", 7)
    rng = np.random.default_rng(4)
    x = unit(rng.standard_normal((60, 4)))
    plain = [any(float(x[i] @ x[j]) >= 0.97 for j in range(60) if j != i) for i in range(60)]
    assert near_duplicates(3 * x, 0.97).tolist() == plain
    assert 0 < sum(plain) < 60
    assert near_duplicates(x[:1], 0.97).tolist() == [False]


def test_the_same_twice_and_another_seed_elsewhere(write: Write) -> None:
    vectors, centre = mixture(1, 5)
    data = write(vectors)
    a, b, c = (neighbourhoods(data, centre, RegionOptions(80, seed=s)) for s in (0, 0, 1))
    assert all(np.array_equal(x, y) for x, y in zip(a.others, b.others, strict=True))
    assert np.array_equal(a.here, c.here)
    assert not np.array_equal(a.others[0], c.others[0])


def test_most_is_kept_and_unread_pictures_are_in_none(write: Write) -> None:
    vectors, centre = mixture(1, 6)
    vectors[::9] = 0
    found = neighbourhoods(write(vectors), centre, RegionOptions(40, most=5))
    assert len(found.others) == 5
    assert (np.concatenate([found.here, *found.others]) % 9 > 0).all()
    assert found.mass[1] == (np.arange(len(vectors)) % 9 > 0).sum()


def test_bad_input_is_named(write: Write) -> None:
    vectors, centre = mixture(1, 7)
    data = write(vectors)
    with pytest.raises(NotEnoughData, match="smaller neighbourhoods"):
        neighbourhoods(data, centre, RegionOptions(3000))
    with pytest.raises(NotEnoughData, match="0 other neighbourhoods"):
        neighbourhoods(data, centre, RegionOptions(6000))
    with pytest.raises(EmbedderMismatch, match="32 numbers"):
        neighbourhoods(data, centre[:8], RegionOptions(80))
    with pytest.raises(ConfigError, match="at least"):
        neighbourhoods(data, centre, RegionOptions(1))


def test_null_mixtures_raise_a_contrast_as_often_as_they_should(write: Write) -> None:
    """800 small clusters, each with odds of its own; none of the places is special.

    A row-level odds ratio, which takes rows as independent, must fail.
    """
    rng = np.random.default_rng(8)
    centres = unit(rng.standard_normal((800, 16)))
    cluster = rng.integers(800, size=20_000)
    data = write(unit(centres[cluster] + rng.normal(0, 0.05, (20_000, 16))))
    apart = by_region = by_row = 0
    spreads = []
    for place in range(4):
        found = neighbourhoods(data, centres[place], RegionOptions(200, seed=place))
        assert len(found.others) >= 25
        for _ in range(100):
            odds = rng.normal(math.log(0.3 / 0.7), 0.5, 800)[cluster]
            hit = rng.random(20_000) < 1 / (1 + np.exp(-odds))
            regions = [(int(hit[rows].sum()), 200) for rows in found.others]
            here = int(hit[found.here].sum()), 200
            difference, half = contrast(here, regions)
            spreads.append(float(np.std([math.log(k / (n - k)) for k, n in regions], ddof=1)))
            by_region += abs(difference) > half
            k, n = sum(k for k, _ in regions), 200 * len(regions)
            error = math.sqrt(1 / here[0] + 1 / (200 - here[0]) + 1 / k + 1 / (n - k))
            by_row += abs(difference) > 1.96 * error
            apart += 1
    assert by_region / apart < 0.09
    assert by_row / apart > 0.12
    # binomial noise of 200 rows is 0.155; micro-clusters add to it, averaged over those of a region
    assert 0.17 < np.mean(spreads) < 0.45
