"""`filters`: counts against plain loops over the rows, and what the account says of them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shardmaker import frame, write

from laion_probe.config import FiltersConfig, make_config
from laion_probe.counts import ALL, Tally
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.filtering import (
    FilterPlan,
    FilterWork,
    decode_filter,
    encode_filter,
    filter_rows,
    overlap_of,
    patterns_of,
)
from laion_probe.filters_result import FiltersResult
from laion_probe.groups import load_group
from laion_probe.questions.filters import filters
from laion_probe.recipes import Recipe, Step, load_recipe
from laion_probe.shards import list_shards, list_units, read_unit
from laion_probe.steps import Batch
from laion_probe.unit_scan import judge_unit, resolve

GROUPS = ("script", "length", "words:doctor")


def run(shards: Path, recipes: tuple[str, ...], cache: Path, **values: Any) -> FiltersResult:
    quiet = {"by": GROUPS, "audit_captions": 0, "examples": 0, "runner": "serial"}
    given = {"shards": (str(shards),), "recipe": recipes, "cache": str(cache), **quiet, **values}
    out = given.pop("folder", None)
    return filters(make_config(given, FiltersConfig), folder=out)


def verdicts(folder: Path, recipe: Recipe) -> tuple[pl.DataFrame, list[dict[int, bool]]]:
    """Every row, and for each the deciding steps that would remove it, by the row-wise scan."""
    units = list_units(list_shards([str(folder)]))
    scan = resolve(recipe, [judge_unit(u, recipe) for u in units])
    removes = {i: scan.rows[f"outcome_{i}"].is_in([1, 2]).to_list() for i in recipe.deciding}
    rows = pl.concat([read_unit(u) for u in units])
    return rows, [{i: bool(removes[i][k]) for i in recipe.deciding} for k in range(len(rows))]


def levels_of(rows: pl.DataFrame, group: str) -> list[str]:
    return load_group(group).levels(Batch(rows)).to_list()


@pytest.mark.parametrize("name", ["laion400m", "laion5b-en", "datacomp-basic", "coyo700m"])
def test_the_account_is_what_a_loop_over_the_rows_counts(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "shards", frame(400), 3, 17)
    result = run(folder, (name,), tmp_path / "cache", min_count=1)
    account, recipe = result.recipes[0], load_recipe(name)
    rows, removed = verdicts(folder, recipe)
    kept = [not any(r.values()) for r in removed]
    assert (account.n, account.n_kept) == (400, sum(kept))
    for total in account.totals:
        i = next(k for k, s in enumerate(recipe.step) if s.id == total.step)
        earlier = [j for j in recipe.deciding if j < i]
        assert total.alone == sum(r[i] for r in removed)
        assert total.only == sum(r[i] and sum(r.values()) == 1 for r in removed)
        assert total.in_order == sum(r[i] and not any(r[j] for j in earlier) for r in removed)
    for group in account.groups:
        truth = levels_of(rows, group.name)
        assert {x.level: x.n for x in group.levels} == Counter(truth)
        for level in group.levels:
            mine = [t == level.level for t in truth]
            n_removed = sum(m and not k for m, k in zip(mine, kept, strict=True))
            rest = [not k for m, k in zip(mine, kept, strict=True) if not m]
            assert level.n_kept == sum(mine) - n_removed
            assert level.difference is not None
            if rest:
                expected = n_removed / sum(mine) - sum(rest) / len(rest)
                assert level.difference.value == pytest.approx(expected)
            assert level.difference.low is None, "a full scan has no interval"
            for step in level.steps:
                i = next(k for k, s in enumerate(recipe.step) if s.id == step.step)
                assert step.alone == sum(m and r[i] for m, r in zip(mine, removed, strict=True))


def test_a_levels_shapley_values_sum_to_the_change_of_its_share(tmp_path: Path) -> None:
    folder = write(tmp_path / "shards", frame(400), 3, 17)
    result = run(folder, ("laion400m",), tmp_path / "cache")
    seen = 0
    for group in result.recipes[0].groups:
        for level in group.levels:
            values = [a.value for a in level.shapley]
            assert None not in values
            before, after = level.share_before.value, level.share_after.value
            assert before is not None
            assert after is not None
            assert sum(v for v in values if v is not None) == pytest.approx(after - before)
            seen += abs(after - before) > 0.01
    assert seen > 3


def test_two_recipes_side_by_side(tmp_path: Path) -> None:
    folder = write(tmp_path / "shards", frame(400), 3, 17)
    result = run(folder, ("laion400m", "laion5b-en"), tmp_path / "cache", examples=3)
    kept = []
    for name in ("laion400m", "laion5b-en"):
        rows, removed = verdicts(folder, load_recipe(name))
        kept.append([not any(r.values()) for r in removed])
    (overlap,) = result.overlaps
    pairs = Counter(zip(*kept, strict=True))
    assert overlap.n_both == pairs[True, True]
    assert overlap.n_only_first == pairs[True, False] > 0
    assert overlap.n_only_second == pairs[False, True]
    assert overlap.n_neither == pairs[False, False]
    scripts = levels_of(rows, "script")
    for level in overlap.levels:
        if level.group == "script":
            mine = [s == level.level for s in scripts]
            both = sum(m and a and b for m, a, b in zip(mine, *kept, strict=True))
            assert (level.n, level.n_both) == (sum(mine), both)


def test_a_rewrites_rerun_is_the_recipe_without_it_on_all_rows(tmp_path: Path) -> None:
    texts = [
        "a photo of a doctor",
        "<b>ein Foto</b> &amp; ein Arzt im Krankenhaus",
        "&nbsp;",
        "👩‍⚕️ 🏥 👩‍⚕️ 🏥 👩‍⚕️",
        "a\u0301 café in Paris with people outside",
    ]
    table = frame(200, TEXT=[f"{texts[i % 5]} {i}" if i % 5 != 2 else texts[2] for i in range(200)])
    folder = write(tmp_path / "shards", table, 2, 30)
    step = lambda **values: Step(title="t", **values)  # noqa: E731
    recipe = Recipe(
        name="mine",
        title="t",
        source="s",
        step=(
            step(id="clean", kind="clean-text"),
            step(id="plain", kind="dalle-mini"),
            step(id="detect", kind="detect-language", params={"detector": "cld2"}),
            step(id="english", kind="keep-language", params={"keep": ["en"]}),
            step(id="length", kind="caption-length", params={"min_characters": 8}),
        ),
    )
    rows = pl.concat([read_unit(u) for u in list_units(list_shards([str(folder)]))])
    unit = filter_rows("u", rows, FilterPlan((recipe,), ("script",)))
    for i in (0, 1):
        without = recipe.model_copy(update={"step": recipe.step[:i] + recipe.step[i + 1 :]})
        full = [filter_rows("u", rows, FilterPlan((r,))).counts.cells for r in (recipe, without)]
        n_with, n_without = (
            sum(n for g, _, hits, _, n in cells if g == patterns_of(0, ALL) and not hits)
            for cells in full
        )
        mine = [c for c in unit.counts.cells if c[0] == f"rewrite|0|{i}|"]
        assert sum(n for *_, hits, _, n in mine if hits & 1) == n_with
        assert sum(n for *_, hits, _, n in mine if hits & 2) == n_without
        by_script = [c for c in unit.counts.cells if c[0] == f"rewrite|0|{i}|script"]
        assert sum(n for *_, n in by_script) == 200
        if i == 1:
            assert n_with != n_without, "emoji in words are English"
    emptied = [c for c in unit.counts.cells if c[0] == "rewrite|0|0|" and c[2] & 8]
    assert sum(n for *_, n in emptied) == 40


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_shards=st.integers(1, 5), group=st.integers(1, 60))
def test_counts_and_examples_of_any_split_are_those_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, n_shards: int, group: int
) -> None:
    recipes = (load_recipe("datacomp-basic"), load_recipe("dalle-mini"))
    detectors = ("cld2", "fasttext", "cld3-5-2000:reliable")
    plan = FilterPlan(recipes, ("script",), detectors=detectors, audited=0.5, examples=2)
    table = frame(120).with_columns(pl.col("TEXT") + pl.Series(map(str, range(120))))

    def total(folder: Path) -> tuple[dict[Any, int], set[Any]]:
        tally, found = Tally(), []
        for unit in list_units(list_shards([str(folder)])):
            done = FilterWork(plan)(unit)
            assert decode_filter(unit, encode_filter(done)).examples == done.examples
            tally.add(done.counts)
            found += done.examples
        best: dict[str, list[Any]] = {}
        for example in sorted(found, key=lambda e: e.draw):
            best.setdefault(example.cell, []).append(example)
        return tally.total(), {e for cell in best.values() for e in cell[:2]}

    split = total(write(tmp_path_factory.mktemp("s"), table, n_shards, group))
    whole = total(write(tmp_path_factory.mktemp("w"), table, 1, 1000))
    assert split == whole
    assert len(whole[1]) > 10


def test_kept_ids_are_sorted_pairs_and_hold_what_is_kept(tmp_path: Path) -> None:
    uids = [f"{(i * 2654435761) % 2**32:08x}" * 4 for i in range(300)]
    folder = write(tmp_path / "shards", frame(300).with_columns(pl.Series("uid", uids)), 2, 40)
    out = tmp_path / "out"
    out.mkdir()
    recipes = ("laion400m", "c4-ban-list")
    result = run(folder, recipes, tmp_path / "cache", write_kept=True, folder=out)
    for account in result.recipes:
        rows, removed = verdicts(folder, load_recipe(account.name))
        expected = sorted(
            uid
            for uid, r in zip(rows["uid"].to_list(), removed, strict=True)
            if not any(r.values())
        )
        ids = np.load(out / f"kept-{account.name}.npy")
        assert ids.dtype == np.dtype("u8,u8")
        assert [f"{high:016x}{low:016x}" for high, low in ids.tolist()] == expected
        assert pl.read_parquet(out / f"kept-{account.name}.parquet")["uid"].to_list() == expected
        assert account.n_kept == len(expected) > 0


def test_kept_rows_are_shards_with_all_that_they_had(tmp_path: Path) -> None:
    whole = frame(300).with_columns(
        pl.Series("mine", [[i, i + 1] for i in range(300)]), pl.Series("no", range(300))
    )
    folder = write(tmp_path / "shards", whole, 3, 40)
    (folder / "DATA_NOTE.txt").write_text("made up\n", encoding="utf-8")
    recipes = ("laion400m", "c4-ban-list")
    result = run(folder, recipes, tmp_path / "cache", write_rows=True, folder=tmp_path)
    for account in result.recipes:
        _, removed = verdicts(folder, load_recipe(account.name))
        keeps = pl.Series([not any(r.values()) for r in removed])
        place = tmp_path / f"rows-{account.name}"
        assert {p.name for p in place.iterdir()} <= {
            "DATA_NOTE.txt",
            *(p.name for p in folder.iterdir()),
        }
        assert (place / "DATA_NOTE.txt").read_text(encoding="utf-8") == "made up\n"
        found = pl.concat(pl.read_parquet(p) for p in sorted(place.glob("*.parquet")))
        assert found.equals(whole.filter(keeps))
        assert 0 < len(found) == account.n_kept
        again = run(place, ("none",), tmp_path / "cache")
        assert again.data_note == "made up"
        assert again.recipes[0].n_kept == account.n_kept
    assert result.recipes[0].n_kept < 300
    assert not list(tmp_path.glob("kept-*"))


def test_rows_of_other_formats_become_parquet(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    for name in ("a", "b"):  # two files of one name
        (folder / name).mkdir(parents=True)
        frame(30 if name == "a" else 20).select("URL", "TEXT").write_csv(folder / name / "x.csv")
    run(folder / "*" / "x.csv", ("none",), tmp_path / "cache", write_rows=True, folder=tmp_path)
    names = sorted(p.name for p in (tmp_path / "rows-none").iterdir())
    assert names == ["x-2.parquet", "x.parquet"]
    assert sorted(len(pl.read_parquet(tmp_path / "rows-none" / n)) for n in names) == [20, 30]


@pytest.mark.parametrize("what", ["write_kept", "write_rows"])
def test_what_is_written_needs_a_folder(tmp_path: Path, what: str) -> None:
    folder = write(tmp_path / "shards", frame(20), 1)
    with pytest.raises(ConfigError, match=r"needs a folder to write into: laion_probe.run"):
        run(folder, ("none",), tmp_path / "cache", **{what: True})


def test_without_a_uid_the_id_is_the_crawlers_md5(tmp_path: Path) -> None:
    import hashlib

    folder = write(tmp_path / "shards", frame(20), 1)
    out = tmp_path / "out"
    out.mkdir()
    run(folder, ("none",), tmp_path / "cache", write_kept=True, folder=out)
    table = frame(20)
    expected = sorted(
        hashlib.md5(f"{u}{t}".encode()).hexdigest()
        for u, t in zip(table["URL"], table["TEXT"], strict=True)
    )
    assert pl.read_parquet(out / "kept-none.parquet")["uid"].to_list() == expected


def test_what_the_input_has_passed_is_not_observable(tmp_path: Path) -> None:
    # laion2B-en's own columns: the recipe behind it is guessed from them, and that is said
    table = frame(300, hash=list(range(300)), pwatermark=[0.2] * 300, NSFW=None)
    folder = write(tmp_path / "shards", table, 2, 50)
    result = run(folder, ("laion5b-en", "datacomp-basic"), tmp_path / "cache", min_count=1)
    assert result.already == "laion5b-en"
    assert "guessed from the column names" in result.already_note
    account, other = result.recipes
    for step in account.steps:
        if step.id in {a.step for a in account.totals}:
            assert not step.observable
            assert step.removed_share.value is None
            assert step.removed_share.method == "removal not observable"
            assert "the input has passed laion5b-en before" in step.note
    for group in account.groups:
        for level in group.levels:
            assert all(s.difference is None for s in level.steps)
            assert all(a.value is None for a in level.shapley)
    english = next(s for s in other.steps if s.kind == "keep-language")
    assert english.observable
    assert "was selected by another rule of this kind before" in english.note
    assert any("cannot be seen here, which is not zero" in s for s in result.finding)
    assert any("removed before we saw the data" in s for s in result.cannot_say)


def test_a_column_that_is_not_there_is_not_evaluable_never_passed(tmp_path: Path) -> None:
    bare = frame(60).select("URL", "TEXT")
    result = run(write(tmp_path / "s", bare, 1), ("laion400m",), tmp_path / "cache")
    similarity = next(s for s in result.recipes[0].steps if s.id == "similarity")
    assert similarity.outcomes == {"not_evaluable": 60}
    assert similarity.removed_share.value is None
    assert any("similarity of at least 0.30 (100.0% of the rows)" in s for s in result.cannot_say)


def test_few_rows_are_too_small_not_zero(tmp_path: Path) -> None:
    texts = ["a photo of a house"] * 195 + ["डॉक्टर"] * 5
    folder = write(tmp_path / "s", frame(200, TEXT=texts), 1)
    result = run(folder, ("laion400m",), tmp_path / "cache")
    scripts = {x.level: x for x in result.recipes[0].groups[0].levels}
    assert scripts["Devanagari"].too_small
    assert scripts["Devanagari"].difference is None
    assert scripts["Devanagari"].kept is None
    assert scripts["Devanagari"].n == 5
    assert not scripts["Latin"].too_small


def test_the_same_bytes_by_any_runner_and_from_the_cache(tmp_path: Path) -> None:
    folder = write(tmp_path / "shards", frame(400), 4, 17)
    values: dict[str, Any] = {"examples": 2, "audit_captions": 100}
    first = run(folder, ("laion400m", "none"), tmp_path / "one", **values)
    again = run(folder, ("laion400m", "none"), tmp_path / "one", **values)
    pool = run(
        folder, ("laion400m", "none"), tmp_path / "two", **values, runner="processes", workers=2
    )
    assert first.to_json() == again.to_json() == pool.to_json()
    assert FiltersResult.from_json(first.to_json()) == first


def test_a_sample_has_intervals_and_leaves_set_steps_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "shards", frame(1200), 6, 10)
    result = run(folder, ("laion400m",), tmp_path / "cache", max_units=60, min_count=20)
    account = result.recipes[0]
    assert not result.reading.full
    assert result.reading.n_units_tried == 60
    assert account.kept.low is not None
    dedup = next(s for s in account.steps if s.kind == "duplicates")
    assert "needs every row" in dedup.note
    latin = next(x for x in account.groups[0].levels if x.level == "Latin")
    assert latin.difference is not None
    assert latin.difference.low is not None
    whole = run(folder, ("laion400m",), tmp_path / "cache", min_count=20)
    assert account.n == 600 < whole.recipes[0].n


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"recipe": ()}, ConfigError, "no recipe given: use --recipe"),
        ({"recipe": ("laion400",)}, UnknownName, "did you mean laion400m"),
        ({"by": ("scripts",)}, UnknownName, "did you mean script"),
        ({"by": ("script", "script")}, ConfigError, "named twice"),
        ({"detectors": ("cld4:reliable",)}, UnknownName, "unknown language detector 'cld4'"),
        ({"write_kept": True, "max_units": 1}, ConfigError, "--write-kept needs every row"),
        ({"write_rows": True, "max_units": 1}, ConfigError, "--write-rows needs every row"),
        ({"recipe": ("none", "none")}, ConfigError, "two recipes have the name none"),
    ],
)
def test_a_wrong_name_is_said_before_anything_is_read(
    values: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "s", frame(20), 2)
    with pytest.raises(error, match=words):
        run(folder, values.pop("recipe", ("none",)), tmp_path / "cache", **values)
    assert not (tmp_path / "cache").exists()


def permuted(recipe: Recipe, order: tuple[int, ...]) -> Recipe:
    """The deciding steps in another order, in the same slots between the rewrites."""
    steps = list(recipe.step)
    for slot, step in zip(recipe.deciding, order, strict=True):
        steps[slot] = recipe.step[step]
    return recipe.model_copy(update={"step": tuple(steps)})


def test_every_order_rerun_for_real_is_near_the_conditional_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The values hold rewrites and set tables fixed; a real other order would change both."""
    said = [
        "a photo of the doctor at work",
        "ein Arzt am Meer, im Winter",
        "the Arzt with a patient in bed",
        "doctor, pen",
        "Arzt &amp; photo of the people",
    ]
    texts = [f"{' ' * (i % 3)}{said[i % 5]} {i % 7}" for i in range(120)]
    urls = [f"http://h{i % 40}.example/{'a.gif' if i % 11 == 0 else 'b.jpg'}" for i in range(120)]
    sizes = [100 + 10 * (i % 7) + 50 * (i % 2) for i in range(120)]
    folder = write(tmp_path / "s", frame(120, TEXT=texts, URL=urls, WIDTH=sizes), 2, 13)
    step = lambda **values: Step(title="t", **values)  # noqa: E731
    recipe = Recipe(
        name="mine",
        title="t",
        source="s",
        step=(
            step(id="detect", kind="detect-language", params={"detector": "cld2"}),
            step(id="url", kind="url-substrings", params={"any_of": [".gif"]}),
            step(id="length", kind="caption-length", params={"min_characters": 15}),
            step(id="clean", kind="clean-text"),
            step(id="side", kind="image-side", params={"min_pixels": 130}),
            step(id="english", kind="keep-language", params={"keep": ["en"]}),
            step(id="dedup", kind="duplicates", params={"by": ["text"]}),
        ),
    )
    rows, removed = verdicts(folder, recipe)
    mine = np.array([("Arzt" in t) for t in rows["text"]])
    unit = filter_rows("u", rows, FilterPlan((recipe,), ("words:Arzt",), sets="skip"))
    assert unit.n == 120

    from laion_probe.attribution import PatternCounts, shapley_of_shares

    masks = np.array([sum(1 << i for i, hit in r.items() if hit) for r in removed], dtype=np.int64)
    counts = np.stack([mine, ~mine]).astype(np.int64)
    conditional = shapley_of_shares(recipe.deciding, PatternCounts(masks, counts)).values[:, 0]

    real = np.zeros(len(recipe.deciding))
    n_orders = 0
    for order in itertools.permutations(recipe.deciding):
        other = permuted(recipe, order)
        units = list_units(list_shards([str(folder)]))
        scan = resolve(other, [judge_unit(u, other) for u in units])
        share = mine.mean()
        for slot, original in zip(other.deciding, order, strict=True):
            left = scan.removed_at > slot
            after = mine[left].mean()
            real[recipe.deciding.index(original)] += after - share
            share = after
        n_orders += 1
    real /= n_orders
    assert n_orders == math.factorial(5)
    gap = np.abs(real - conditional)
    with capsys.disabled():
        names = [recipe.step[i].id for i in recipe.deciding]
        listed = ", ".join(
            f"{n} {100 * c:+.2f} ({100 * r:+.2f})"
            for n, c, r in zip(names, conditional, real, strict=True)
        )
        print(f"\nShapley values in points, conditional (every order rerun): {listed}")  # noqa: T201
        print(f"largest gap {100 * gap.max():.2f} points")  # noqa: T201
    # not the same game: the rerun must differ somewhere, or it has rerun nothing
    assert 1e-6 < gap.max() < 0.05
    # the duplicates' table is made anew in each order, and changes what they do
    assert conditional[-1] != 0


def test_overlaps_count_every_row_once(tmp_path: Path) -> None:
    rows = pl.concat(
        [read_unit(u) for u in list_units(list_shards([str(write(tmp_path, frame(90), 1))]))]
    )
    recipes = tuple(load_recipe(n) for n in ("none", "datacomp-basic", "c4-ban-list"))
    cells = filter_rows("u", rows, FilterPlan(recipes, ("length",))).counts.cells
    assert sum(n for g, *_, n in cells if g == overlap_of(ALL)) == 90
    assert sum(n for g, *_, n in cells if g == overlap_of("length")) == 90
    assert {hits & 1 for g, _, hits, _, _ in cells if g == overlap_of(ALL)} == {1}
