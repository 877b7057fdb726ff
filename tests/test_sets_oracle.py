"""Steps that need the whole set, and random draws, against a plain loop (`plain_steps`)."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plain_steps as plain
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from test_steps_oracle import SCHEMA, batch_of, by_step, levels_one_by_one, tables

from laion_probe import sets
from laion_probe.recipes import Recipe, Step
from laion_probe.sets import SetRows, decide_sets
from laion_probe.steps import Outcome
from laion_probe.unit_scan import Plan, count_rows

TEXTS = (
    *(
        "",
        " ",
        "a",
        "b",
        "a b",
        "ab",
        "a,b",
        "a a a",
        "b.\na",
        "A",
        '"a"',
        "a\tb",
        "a\u00a0b",
        "(a)",
    ),
    *(
        "a woman",
        "a man",
        "a doctor",
        "U.S.",
        "in the U.S. a",
        "café",
        "café!",
        "医者",
        "医者。",
        "医者,",
    ),
)
SCORES = (None, float("nan"), -1.0, -0.5, -0.0, 0.0, 0.1, 0.3, 0.3, 5e-324, float("inf"))
SHARES = (1e-9, 0.07, 0.28, 0.3, 0.5, 0.55, 0.999, 1.0)

rows = st.fixed_dictionaries(
    {
        "url": st.integers(0, 9).map("http://a.example/{}".format),
        "text": st.sampled_from(TEXTS),
        "similarity": st.sampled_from((0.2, 0.3, 0.4, None)),
        "aesthetic": st.one_of(st.sampled_from(SCORES), st.floats()),
    }
)


def frame(part: list[dict[str, Any]], has_url: bool, has_score: bool) -> list[dict[str, Any]]:
    """A unit's rows; a shard may lack a column."""
    lacking = {"url": None} if not has_url else {}
    lacking |= {"aesthetic": None} if not has_score else {}
    return [{**dict.fromkeys(SCHEMA), **row, **lacking} for row in part]


mostly = st.sampled_from([True, True, True, False])
units = st.lists(st.builds(frame, st.lists(rows, max_size=30), mostly, mostly), max_size=5)


def step(kind: str, **params: Any) -> Step:
    return Step(id=kind, kind=kind, title="t", params=params)


small = st.integers(1, 5)
set_steps = st.one_of(
    st.sampled_from([("url",), ("text",), ("url", "text")]).map(
        lambda by: step("duplicates", by=by)
    ),
    small.map(lambda n: step("caption-frequency", max_times=n)),
    st.sampled_from(SHARES).map(lambda s: step("top-share", column="aesthetic", share=s)),
    st.builds(
        lambda t, words, seed: step("balance", t=t, words=words, seed=seed),
        small,
        st.lists(
            st.sampled_from(["a", "a b", "a a", "b", "医者", "café", "zz", "U.S.", "woman"]),
            unique=True,
        ),
        small,
    ),
    st.builds(
        lambda by, seed: step("reweight", by=by, seed=seed),
        st.sampled_from(["gender-words", "length", "words:a"]),
        small,
    ),
)
other_steps = st.one_of(
    st.just(step("score", column="similarity", at_least=0.3)),
    st.just(step("truncate", max_characters=2)),
    st.just(step("word-count", max_words=1)),
)
recipes = st.lists(st.one_of(set_steps, other_steps), min_size=1, max_size=4).map(
    lambda steps: Recipe(
        name="r",
        title="t",
        source="s",
        step=tuple(s.model_copy(update={"id": f"s{i}"}) for i, s in enumerate(steps)),
    )
)


def decided(recipe: Recipe, parts: list[list[dict[str, Any]]]) -> list[list[str]]:
    """The verdicts by `decide_sets`: one list a row, with a name a deciding step."""
    plan = Plan(recipe, sets="keep")
    frames = [
        found
        for i, part in enumerate(parts)
        if (found := count_rows(str(i), pl.DataFrame(part, schema=SCHEMA), plan).rows) is not None
    ]
    hits = np.concatenate([f["hits"].to_numpy() for f in frames] or [np.zeros(0, np.int64)])
    blind = np.concatenate([f["blind"].to_numpy() for f in frames] or [hits])

    def read() -> Iterator[pl.DataFrame]:
        yield from frames

    with tempfile.TemporaryDirectory() as scratch:
        decide_sets(recipe, SetRows(read, len(hits), Path(scratch)), hits)
    return [
        ["hit" if h >> i & 1 else "blind" if b >> i & 1 else "keep" for i in recipe.deciding]
        for h, b in zip(hits.tolist(), blind.tolist(), strict=True)
    ]


def looped(recipe: Recipe, parts: list[list[dict[str, Any]]]) -> list[list[str]]:
    """The same by the plain loop."""
    everything = [row for part in parts for row in part]
    levels = {g: levels_one_by_one(g, everything) for s in recipe.step for g in s.groups}
    found = plain.run(by_step(recipe), everything, {}, levels)
    words = {Outcome.DROP: "hit", Outcome.NOT_EVALUABLE: "blind", Outcome.KEEP: "keep"}
    return [[words[o[i]] for i in recipe.deciding] for o in found.outcomes]


@settings(max_examples=60)
@given(recipe=recipes, parts=units, in_memory=st.sampled_from([1, 3, 10, 4_000_000]))
def test_set_steps_equal_the_plain_loop(
    recipe: Recipe, parts: list[list[dict[str, Any]]], in_memory: int
) -> None:
    if not any(s.role == "set" for s in recipe.step):
        parts = []  # nothing is kept of rows that no set step decides
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "ROWS_IN_MEMORY", in_memory)  # more rows are spilled
        got = decided(recipe, parts)
    expected = looped(recipe, parts)
    everything = [row for part in parts for row in part]
    for row, is_, should in zip(everything, got, expected, strict=True):
        assert (is_, row) == (should, row), [(s.kind, s.params) for s in recipe.step]


def numbered(n: int, **columns: list[Any]) -> list[dict[str, Any]]:
    blank = dict.fromkeys(SCHEMA) | {"text": "a"}
    return [{**blank, "url": f"u{i:05}", **{k: v[i] for k, v in columns.items()}} for i in range(n)]


@given(n=st.integers(1, 120), share=st.sampled_from(SHARES))
@example(n=25, share=0.28)
@example(n=100, share=0.07)
def test_top_share_keeps_the_ceiling_of_the_share(n: int, share: float) -> None:
    recipe = Recipe(
        name="r",
        title="t",
        source="s",
        step=(step("top-share", column="aesthetic", share=share),),
    )
    parts = [numbered(n, aesthetic=[float(i * 7 % 121) for i in range(n)])]
    assert decided(recipe, parts) == looped(recipe, parts)


@given(tables(("url",)), st.randoms(use_true_random=False), st.integers(0, 3), st.text(max_size=3))
def test_a_row_draws_the_same_number_wherever_it_lies(
    rows: list[Any], rng: random.Random, seed: int, what: str
) -> None:
    what = what.encode("utf-8", "replace").decode()
    batch = batch_of(rows)
    draws = batch.draws(seed, what).tolist()
    assert draws == [plain.Row(row).draw(seed, what) for row in rows]
    order = rng.sample(range(len(rows)), len(rows))
    shuffled = batch_of([rows[i] for i in order])
    batch.rewritten = pl.Series(["rewritten"] * len(rows), dtype=pl.String)
    assert shuffled.draws(seed, what).tolist() == [draws[i] for i in order]
    assert batch.draws(seed, what).tolist() == draws


def many_draws() -> list[np.ndarray]:
    """Draws of 20 000 rows by seed and purpose, all of which should be independent."""
    n = 20_000
    batch = batch_of([{"url": f"http://a.example/{i}.jpg", "text": f"{i % 50}"} for i in range(n)])
    asked = [(0, "balance"), (1, "balance"), (0, "drop-captions"), (0, "reweight person"), (1, "")]
    return [batch.draws(seed, what) for seed, what in asked]


def test_draws_are_uniform_and_those_of_other_purposes_independent() -> None:
    draws = many_draws()
    n = len(draws[0])
    for one_ in draws:
        assert 0 <= one_.min() <= one_.max() < 1
        # Kolmogorov-Smirnov: sqrt(n) D lies in this band with probability 0.998
        distance = np.sqrt(n) * kstest(one_, "uniform").statistic
        assert 0.35 < distance < 1.95
    for i, first in enumerate(draws):
        for second in draws[:i]:
            assert abs(np.corrcoef(first, second)[0, 1]) * np.sqrt(n) < 4
            table = np.histogram2d(first, second, bins=8, range=[[0, 1], [0, 1]])[0]
            # chi-square of 63 degrees of freedom: 99.9 % lie in this band
            assert 27 < ((table - n / 64) ** 2 / (n / 64)).sum() < 110
