"""Planted exclusions of the demo data: found, with intervals that cover; the null concept is not.

The truth of each row stands in for a group here: whom the picture shows, which no caption need say.
Full counts are the target, and samples of row groups must cover them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtri

from laion_probe.filtering import FilterPlan, FilterWork, UnitFilter
from laion_probe.filters_result import LevelAccount
from laion_probe.groups import GROUPS, Group
from laion_probe.measures import row_keys
from laion_probe.questions.counted import Counted
from laion_probe.questions.removals import Rules, recipe_account
from laion_probe.recipes import load_recipe
from laion_probe.shards import list_shards, list_units
from laion_probe.steps import Batch

TRIALS, UNITS, READ = 400, 48, 32
#: Two-sided, three standard errors about 95 %: 380 of 400, plus or minus 13.
LOW, HIGH = 367, 393


@pytest.fixture(scope="module", autouse=True)
def whom_the_picture_shows(demo: Path) -> Iterator[None]:
    truth = pl.read_parquet(demo / "truth.parquet").filter(pl.col("kind") == "pool")
    shown = dict(zip(truth["hash"].to_list(), truth["gender"].to_list(), strict=True))

    def levels(batch: Batch) -> pl.Series:
        keys = row_keys([batch.column(c).to_list() for c in ("url", "text")])
        return pl.Series([shown.get(int(k), "unknown") for k in keys])

    GROUPS.add("shown", Group("shown", "whom the picture shows", ("url", "text"), levels))
    yield
    GROUPS._parts.pop("shown")


@pytest.fixture(scope="module")
def recipe_file(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "banlist.txt").write_text((demo / "banlist.txt").read_text())
    (folder / "mine.toml").write_text(
        'name = "mine"\ntitle = "English, no banned word"\nsource = "test"\n'
        '[[step]]\nid = "detect"\nkind = "detect-language"\ntitle = "d"\n'
        'params = { detector = "cld2" }\n'
        '[[step]]\nid = "english"\nkind = "keep-language"\ntitle = "e"\n'
        'params = { keep = ["en"] }\n'
        '[[step]]\nid = "banned"\nkind = "ban-list"\ntitle = "b"\n'
        'params = { files = ["banlist.txt"] }\n'
    )
    return str(folder / "mine.toml")


@pytest.fixture(scope="module")
def counts(demo: Path, recipe_file: str, tmp_path_factory: pytest.TempPathFactory):
    """The units of one concept's rows, counted once each."""
    truth = pl.read_parquet(demo / "truth.parquet").filter(pl.col("kind") == "pool")

    @cache
    def of(concept: str) -> tuple[UnitFilter, ...]:
        folder = tmp_path_factory.mktemp(concept)
        wanted = truth.filter(pl.col("concept") == concept)
        for number, path in enumerate(sorted((demo / "shards").glob("*.parquet"))):
            mine = wanted.filter(pl.col("shard") == number)
            table = pl.read_parquet(path).with_row_index("row")
            for group, rows in mine.group_by("row_group"):
                part = table.filter(pl.col("row").is_in(rows["row"].implode()))
                part.drop("row").write_parquet(folder / f"{number:02}-{group[0]}.parquet")
        plan = FilterPlan((load_recipe(recipe_file),), ("shown",))
        units = list_units(list_shards([str(folder)]))
        assert len(units) == UNITS
        return tuple(FilterWork(plan)(u) for u in units)

    return of


def level(
    units: tuple[UnitFilter, ...], recipe_file: str, *, sampled: bool, name: str = "woman"
) -> LevelAccount:
    counted = Counted(UNITS, 0.95, sampled=sampled)
    for unit in units:
        counted.add(unit.counts)
    rules = Rules(None, ("shown",), 20, 0.05, skipped=True)
    account = recipe_account(0, load_recipe(recipe_file), counted, rules, {})
    return next(x for x in account.groups[0].levels if x.level == name)


def drawn(units: tuple[UnitFilter, ...], seed: int) -> tuple[UnitFilter, ...]:
    chosen = np.random.default_rng(seed).choice(UNITS, READ, replace=False)
    return tuple(units[i] for i in chosen)


def step(account: LevelAccount, name: str) -> float:
    found = next(s for s in account.steps if s.step == name).difference
    assert found is not None
    assert found.value is not None
    return found.value


def test_the_planted_exclusions_are_there_and_the_null_group_has_none(
    counts, recipe_file: str
) -> None:
    doctor, nurse, teacher = (
        level(counts(c), recipe_file, sampled=False) for c in ("doctor", "nurse", "teacher")
    )
    # 60 % of women doctors' captions are no English ones, 35 % of men's; CLD2 knows short English
    # captions of both alike for something else, which lessens the difference
    assert 0.10 < step(doctor, "english") < 0.25
    assert doctor.flagged
    # the ban list hits captions of women nurses
    assert 0.04 < step(nurse, "banned") < 0.15
    assert abs(step(teacher, "english")) < 0.03
    assert step(teacher, "banned") == 0
    assert not teacher.flagged
    shapley = {a.step: a.value for a in doctor.shapley}
    assert shapley["english"] is not None
    assert shapley["banned"] is not None
    assert shapley["english"] < -0.05 < shapley["banned"]


def z_of_rows(account: LevelAccount, rest: LevelAccount) -> tuple[float, float]:
    """The wrong method: rows taken as independent."""
    p, q = 1 - account.n_kept / account.n, 1 - rest.n_kept / rest.n
    half = ndtri(0.975) * np.sqrt(p * (1 - p) / account.n + q * (1 - q) / rest.n)
    return p - q - half, p - q + half


@pytest.mark.slow
@pytest.mark.parametrize("concept", ["doctor", "nurse", "teacher"])
def test_samples_of_row_groups_cover_and_flag_what_was_planted(
    concept: str, counts, recipe_file: str
) -> None:
    truth = level(counts(concept), recipe_file, sampled=False).difference
    assert truth is not None
    assert truth.value is not None
    covered = flagged = wrong = 0
    for seed in range(TRIALS):
        part = drawn(counts(concept), seed)
        found = level(part, recipe_file, sampled=True)
        d = found.difference
        assert d is not None
        assert d.low is not None
        assert d.high is not None
        covered += d.low <= truth.value <= d.high
        flagged += found.flagged
        others = [level(part, recipe_file, sampled=True, name=n) for n in ("man", "neutral")]
        rest = others[0].model_copy(
            update={"n": sum(o.n for o in others), "n_kept": sum(o.n_kept for o in others)}
        )
        low, high = z_of_rows(found, rest)
        wrong += low <= truth.value <= high
    assert LOW <= covered <= HIGH, covered
    assert not LOW <= wrong <= HIGH, wrong
    if concept == "doctor":
        assert flagged == TRIALS
    if concept == "teacher":
        assert flagged <= 0.06 * TRIALS, flagged
