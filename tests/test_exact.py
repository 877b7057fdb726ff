"""Exact search: the same as sorting all cosines, however rows are divided and whoever computes."""

from __future__ import annotations

import functools
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from laion_probe.errors import ConfigError, EmbedderMismatch, MergeConflict, ShardError
from laion_probe.index.blocks import divide
from laion_probe.index.exact import SearchOptions, search
from laion_probe.index.hits import BINS, EDGES, Hits, merge
from laion_probe.vectors import Embeddings, open_embeddings

Vectors = NDArray[Any]


def write(folder: Path, vectors: Vectors, cuts: tuple[int, ...] = ()) -> Embeddings:
    """The vectors in parts that end at the cuts, and at the end."""
    (folder / "img_emb").mkdir(parents=True)
    ends = (0, *sorted(cuts), len(vectors))
    for number, (a, b) in enumerate(pairwise(ends)):
        np.save(folder / "img_emb" / f"img_emb_{number:03}.npy", vectors[a:b])
    return open_embeddings(folder)


def brute(vectors: Vectors, queries: Vectors, k: int) -> tuple[Vectors, Vectors, Vectors]:
    """Rows, scores, and all cosines (NaN for rows that are no hit): by sorting everything."""
    rows, given = vectors.astype(np.float64), queries.astype(np.float64)
    usable = np.isfinite(rows).all(axis=1) & (rows != 0).any(axis=1)
    scores = np.full((len(queries), len(rows)), np.nan, np.float32)
    rows = rows[usable] / np.abs(rows[usable]).max(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1)
    scores[:, usable] = given @ rows.T / lengths / np.linalg.norm(given, axis=1)[:, None]
    found = np.full((len(queries), k), -1)
    best = np.full((len(queries), k), -np.inf, np.float32)
    for q, mine in enumerate(scores):
        order = [r for r in np.lexsort((np.arange(len(mine)), -mine)) if usable[r]][:k]
        found[q, : len(order)], best[q, : len(order)] = order, mine[order]
    return found, best, scores


def check(hits: Hits, vectors: Vectors, queries: Vectors, k: int) -> None:
    rows, scores, cosines = brute(vectors, queries, k)
    finite = np.isfinite(vectors.astype(np.float64)).all(axis=1)
    assert hits.n_rows == len(vectors)
    assert hits.n_broken == (~finite).sum()
    assert hits.n_unreadable == (finite & (vectors == 0).all(axis=1)).sum()
    assert hits.spans == (((0, len(vectors)),) if len(vectors) else ())
    np.testing.assert_allclose(hits.scores, scores, atol=1e-6)
    for q in range(len(queries)):
        pairs = list(zip(-hits.scores[q].astype(float), hits.rows[q].tolist(), strict=True))
        assert pairs == sorted(pairs), "best first, ties by the lower row"
        there = hits.rows[q][hits.rows[q] >= 0]
        assert len(set(there.tolist())) == len(there) == (rows[q] >= 0).sum()
        np.testing.assert_allclose(hits.scores[q, : len(there)], cosines[q, there], atol=1e-6)
    assert hits.histogram is not None
    assert hits.histogram.shape == (len(queries), BINS)
    assert (hits.histogram.sum(axis=1) == hits.n_usable).all()
    for q, mine in enumerate(cosines):
        below = np.concatenate([[0], hits.histogram[q].cumsum()])
        ranked = np.sort(mine[~np.isnan(mine)])
        # what another order of summing in float64 could change of a score
        assert (below[1:-1] >= np.searchsorted(ranked, EDGES[1:-1] - 1e-7)).all()
        assert (below[1:-1] <= np.searchsorted(ranked, EDGES[1:-1] + 1e-7)).all()


def same(a: Hits, b: Hits) -> None:
    np.testing.assert_array_equal(a.rows, b.rows)
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.histogram, b.histogram)
    assert (a.n_rows, a.n_unreadable, a.n_broken, a.spans) == (
        (b.n_rows, b.n_unreadable, b.n_broken, b.spans)
    )


@st.composite
def sets(draw: st.DrawFn) -> tuple[Vectors, Vectors]:
    """Rows with twins, opposites, zeros, NaN, infinities and any length; and queries."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, dim = draw(st.integers(0, 120)), draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([np.float16, np.float32]))
    rows = rng.standard_normal((n, dim)).astype(dtype)
    for _ in range(draw(st.integers(0, 30)) if n else 0):
        at, of = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        most = 1e3 if dtype == np.float16 else 1e37
        by = draw(st.sampled_from([1, -1, 2, 0, most]))
        with np.errstate(invalid="ignore", over="ignore"):
            rows[at] = (rows[of] * np.float64(by)).astype(dtype)
        odd = draw(st.sampled_from([None, np.nan, np.inf, -np.inf, "short"]))
        if odd == "short":
            rows[at] = 1e-7 if dtype == np.float16 else 1e-38
        elif odd is not None:
            rows[at, draw(st.integers(0, dim - 1))] = odd
    queries = rng.standard_normal((draw(st.integers(1, 5)), dim)).astype(np.float32)
    return rows, queries


@settings(max_examples=150)
@given(sets(), st.integers(1, 150), st.data())
def test_it_equals_sorting_all_cosines_for_any_division(
    drawn: tuple[Vectors, Vectors], k: int, data: st.DataObject
) -> None:
    vectors, queries = drawn
    cuts = tuple(data.draw(st.lists(st.integers(0, len(vectors)), max_size=3)))
    block_rows = data.draw(st.integers(1, 130))
    with tempfile.TemporaryDirectory() as folder:
        whole = write(Path(folder) / "whole", vectors)
        cut = write(Path(folder) / "cut", vectors, cuts)
        hits = search(whole, queries, SearchOptions(k, workers=1))
        options = SearchOptions(
            k, block_rows=block_rows, workers=3, task_rows=data.draw(st.integers(1, 130))
        )
        with np.errstate(invalid="ignore"):
            check(hits, vectors, queries, k)
        other = search(cut, queries, options)
        np.testing.assert_array_equal(other.rows, hits.rows)
        np.testing.assert_array_equal(other.scores, hits.scores)
        np.testing.assert_array_equal(other.histogram, hits.histogram)
        with np.errstate(invalid="ignore"):
            check(other, vectors, queries, k)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Embeddings, Vectors, Vectors]:
    """Many rows, with twins, in three parts; and queries."""
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((20_000, 48)).astype(np.float16)
    vectors[rng.integers(20_000, size=4000)] = vectors[rng.integers(50, size=4000)]
    vectors[rng.integers(20_000, size=200)] = 0
    vectors[rng.integers(20_000, size=20), 5] = np.nan
    queries = rng.standard_normal((9, 48)).astype(np.float32)
    queries[0] = vectors[7]
    folder = tmp_path_factory.mktemp("large")
    return write(folder / "e", vectors, (6000, 6001)), vectors, queries


def test_many_rows_and_ties_at_the_last_place(
    large: tuple[Embeddings, Vectors, Vectors],
) -> None:
    embeddings, vectors, queries = large
    first = search(embeddings, queries, SearchOptions(k=300))
    check(first, vectors, queries, 300)
    assert (np.diff(first.scores) == 0).any(), "twins must be among the hits"
    for options in (
        SearchOptions(k=300, block_rows=512, workers=4),
        SearchOptions(k=300, task_rows=4096),
        SearchOptions(k=300, block_rows=100_000, workers=1),
    ):
        same(search(embeddings, queries, options), first)
    without = search(embeddings, queries, SearchOptions(k=300, histogram=False))
    assert without.histogram is None
    np.testing.assert_array_equal(without.rows, first.rows)
    more = search(embeddings, queries, SearchOptions(k=700))
    np.testing.assert_array_equal(more.rows[:, :300], first.rows)


def test_in_processes_it_is_the_same(large: tuple[Embeddings, Vectors, Vectors]) -> None:
    embeddings, _, queries = large
    seen: list[tuple[str, int, int]] = []
    pool = SearchOptions(k=50, runner="processes", workers=2, task_rows=4096)
    hits = search(embeddings, queries, pool, lambda *words: seen.append(words))
    same(hits, search(embeddings, queries, SearchOptions(k=50)))
    assert [d for _, d, _ in seen] == sorted(d for _, d, _ in seen)
    assert seen[0][1:] == (0, 20_000) and seen[-1][1:] == (20_000, 20_000) and len(seen) > 3


def test_a_cosine_at_an_edge_is_counted_by_its_score(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    # cosines of 0.6, 0.8, 0 and their neighbours in float32, in many directions of summing
    queries = rng.standard_normal((3, 512)).astype(np.float32)
    q = queries[0] / np.linalg.norm(queries[0].astype(np.float64))
    across = rng.standard_normal((6000, 512))
    across -= np.outer(across @ q, q)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    at = (np.repeat([0.6, 0.8, 0.0], 2000) + rng.normal(0, 1e-7, 6000))[:, None]
    vectors = (at * q + np.sqrt(1 - at**2) * across).astype(np.float32)
    embeddings = write(tmp_path / "e", vectors)
    whole = search(embeddings, queries, SearchOptions(6000, workers=1))
    listed = np.array([np.histogram(s, EDGES.astype(np.float32))[0] for s in whole.scores])
    np.testing.assert_array_equal(whole.histogram, listed)
    assert min(listed[0, [319, 320, 359, 360]]) > 100, "both sides of the edges have some"
    for options in (SearchOptions(9, block_rows=97), SearchOptions(9, block_rows=1024, workers=3)):
        np.testing.assert_array_equal(
            search(embeddings, queries, options).histogram, whole.histogram
        )
    for threshold in (0.6, 0.8):
        few = search(embeddings, queries, SearchOptions(9)).above(threshold)
        assert few.tolist() == (whole.scores >= np.float32(threshold)).sum(axis=1).tolist()


@settings(max_examples=40)
@given(st.permutations(range(5)), st.data())
def test_partial_hits_merge_in_any_order(order: list[int], data: st.DataObject) -> None:
    parts = partials()
    whole = functools.reduce(merge, parts)
    first = data.draw(st.integers(1, 4))
    left = functools.reduce(merge, [parts[i] for i in order[:first]])
    right = functools.reduce(merge, [parts[i] for i in order[first:]])
    same(merge(left, right), whole)
    same(merge(right, left), whole)
    same(merge(whole, whole), whole)
    with pytest.raises(MergeConflict, match="are in both"):
        merge(whole, parts[order[0]])


@functools.cache
def partials() -> list[Hits]:
    rng = np.random.default_rng(0)
    vectors = rng.integers(-2, 3, (50, 3)).astype(np.float32)  # many ties
    queries = rng.integers(1, 4, (4, 3)).astype(np.float32)
    out = []
    for i in range(5):
        with tempfile.TemporaryDirectory() as folder:
            part = vectors[10 * i : 10 * i + 10]
            hits = search(write(Path(folder) / "e", part), queries, SearchOptions(k=17))
        rows = np.where(hits.rows < 0, -1, hits.rows + 10 * i)
        out.append(
            Hits(
                rows,
                hits.scores,
                hits.histogram,
                hits.n_rows,
                hits.n_unreadable,
                hits.n_broken,
                spans=((10 * i, 10 * i + 10),),
            )
        )
    expected, scores, _ = brute(vectors, queries, 17)
    whole = functools.reduce(merge, out)
    np.testing.assert_array_equal(whole.rows, expected)
    np.testing.assert_array_equal(whole.scores, scores)
    return out


def test_hits_of_other_searches_do_not_merge() -> None:
    a = partials()[0]
    fewer = Hits(a.rows[:, :3], a.scores[:, :3], a.histogram, 10, 0, 0, ((90, 100),))
    with pytest.raises(MergeConflict, match="not of one search"):
        merge(a, fewer)


def test_rows_above_a_threshold(large: tuple[Embeddings, Vectors, Vectors]) -> None:
    embeddings, vectors, queries = large
    hits = search(embeddings, queries, SearchOptions(k=100))
    _, _, cosines = brute(vectors, queries, 1)
    for threshold in (-1.0, -0.3, 0.0, 0.25, 0.9, 1.0):  # edges
        exact = (cosines >= threshold).sum(axis=1)
        near = (np.abs(cosines - threshold) < 1e-6).sum(axis=1)
        assert (np.abs(hits.above(threshold) - exact) <= near).all()
    last = float(hits.scores[:, -1].max())  # for one query, the list ends there
    exact = (cosines >= last + 1e-5).sum(axis=1)
    np.testing.assert_array_equal(hits.above(last + 1e-5), exact)
    between = hits.above(0.1025)
    assert (hits.above(0.105) <= between).all() and (between <= hits.above(0.1)).all()
    assert hits.histogram is not None
    width = hits.histogram[:, round(1.1 / 0.005)]
    assert (np.abs(between - (cosines >= 0.1025).sum(axis=1)) <= width).all()
    alone = search(embeddings, queries, SearchOptions(k=100, histogram=False))
    np.testing.assert_array_equal(alone.above(last + 1e-5), exact)
    with pytest.raises(ValueError, match="more than 100 rows"):
        alone.above(0.0)


def test_arrays_of_npz_and_arrays_by_column(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((700, 16)).astype(np.float16)
    queries = rng.standard_normal((3, 16)).astype(np.float32)
    (tmp_path / "npz").mkdir()
    for i, save in enumerate((np.savez, np.savez_compressed)):
        part = vectors[350 * i : 350 * i + 350]
        save(tmp_path / "npz" / f"{i}.npz", b32_img=part, b32_txt=-part)
    check(search(open_embeddings(tmp_path / "npz"), queries), vectors, queries, 1000)
    options = SearchOptions(k=9, block_rows=100, task_rows=200)
    check(search(open_embeddings(tmp_path / "npz"), queries, options), vectors, queries, 9)
    by_column = write(tmp_path / "f", np.asfortranarray(vectors))
    check(search(by_column, queries, options), vectors, queries, 9)


def test_tasks_hold_every_row_once_and_cut_at_blocks(tmp_path: Path) -> None:
    embeddings = write(tmp_path / "e", np.zeros((1000, 2), np.float16), (3, 3, 400, 999))
    for task_rows in (1, 64, 100, 300, 5000):
        tasks = divide(embeddings, task_rows, 64)
        stretches = [s for task in tasks for s in task]
        starts = [embeddings.parts[s.part].first + s.start for s in stretches]
        ends = [embeddings.parts[s.part].first + s.stop for s in stretches]
        assert [0, *ends[:-1]] == starts and ends[-1] == 1000
        assert all(s.start % 64 == 0 for s in stretches)
        for task in tasks:
            assert sum(s.stop - s.start for s in task) <= max(64, task_rows) + 64
    assert len(divide(embeddings, 5000, 64)) == 1


def test_what_cannot_be_searched_says_why(tmp_path: Path) -> None:
    embeddings = write(tmp_path / "e", np.ones((300, 4), np.float16))
    with pytest.raises(EmbedderMismatch, match="embeddings of 4 numbers"):
        search(embeddings, np.ones((1, 5), np.float32))
    for bad in (0.0, np.nan):
        with pytest.raises(ConfigError, match="query 1 is all zeros or not finite"):
            search(embeddings, np.array([[1, 1, 1, 1], [bad] * 4], np.float32))
    with pytest.raises(ConfigError, match="at least 1"):
        search(embeddings, np.ones((1, 4), np.float32), SearchOptions(k=0))
    path = embeddings.parts[0].vectors
    path.write_bytes(path.read_bytes()[:-100])  # cut off since it was opened
    with pytest.raises(ShardError, match="ends before its 300 rows do"):
        search(embeddings, np.ones((1, 4), np.float32))


def test_threads_of_torch_are_as_before(large: tuple[Embeddings, Vectors, Vectors]) -> None:
    embeddings, _, queries = large
    before = torch.get_num_threads()
    search(embeddings, queries, SearchOptions(k=5, workers=2))
    assert torch.get_num_threads() == before


def test_products_of_low_precision_are_noticed(
    large: tuple[Embeddings, Vectors, Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, _, queries = large
    multiply = torch.mm

    def rough(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        return out.copy_(multiply(a.bfloat16(), b.bfloat16()))

    monkeypatch.setattr(torch, "mm", rough)
    with pytest.raises(ConfigError, match="less than float32"):
        search(embeddings, queries, SearchOptions(k=5))
