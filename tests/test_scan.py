"""Steps, recipes and the scan: contracts for whatever is registered, and a plain loop as oracle."""

from __future__ import annotations

from pathlib import Path

import ftfy
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shardmaker import frame, write

from laion_probe.counts import ALL, Key, Tally, UnitCounts
from laion_probe.errors import ConfigError, MergeConflict, SchemaError
from laion_probe.groups import UNKNOWN, load_group
from laion_probe.language import make_detector
from laion_probe.measures import WHITE_SPACE, clean_text, clean_texts, domain, row_key
from laion_probe.recipes import Recipe, Step, load_recipe
from laion_probe.shards import list_shards, list_units, read_unit
from laion_probe.steps import STEPS, Batch, Outcome
from laion_probe.unit_scan import (
    OUTCOMES,
    Plan,
    UnitScan,
    count_unit,
    decode_scan,
    encode_scan,
    judge_unit,
    resolve,
)

EXAMPLES: dict[str, dict[str, object]] = {
    "url-substrings": {"any_of": [".svg"]},
    "domain-length": {"max_characters": 60},
    "truncate": {"max_characters": 10},
    "detect-language": {"detector": "cld2"},
    "keep-language": {"keep": ["en"]},
    "caption-length": {"min_characters": 5},
    "duplicates": {"by": ["url"]},
    "image-pixels": {"max_pixels": 1000},
    "score": {"column": "similarity", "at_least": 0.3},
    "nsfw-substrings": {"any_of": ["teen"]},
    "aspect-ratio": {"max_ratio": 3},
    "balance": {"t": 2, "words": ["doctor"]},
    "ban-list": {"words": ["doctor"]},
    "caption-frequency": {"max_times": 2},
    "domains": {"any_of": ["site1.example"]},
    "drop-captions": {"probability": 0.5},
    "empty-other-languages": {"keep": ["en"]},
    "image-side": {"min_pixels": 120},
    "nsfw-tag": {"any_of": ["UNSURE"]},
    "reweight": {"by": "length"},
    "top-share": {"column": "similarity", "share": 0.3},
    "word-count": {"min_words": 3},
}


def batch(table: pl.DataFrame, tmp_path: Path) -> Batch:
    unit = list_units(list_shards([str(write(tmp_path, table, 1, 10_000))]))[0]
    return Batch(read_unit(unit))


@pytest.mark.parametrize("kind", list(STEPS))
def test_every_step_judges_every_row_and_keeps_to_its_role(kind: str, tmp_path: Path) -> None:
    step = Step(id="s", kind=kind, title="t", params=EXAMPLES.get(kind, {}))
    b = batch(frame(40), tmp_path)
    before = b.text.to_list()
    b.rows = b.rows.select("row", "text", *set(step.needs) - {"text"})
    out = step.implementation.judge(b, step.parsed())
    assert out.dtype == np.uint8
    assert len(out) == 40
    seen = {Outcome(int(o)) for o in out}
    if step.role == "rewrite":
        # nothing has told the language here, so that a rewrite by language can judge no row
        blind = {Outcome.NOT_EVALUABLE} if kind == "empty-other-languages" else set()
        assert seen <= ({Outcome.KEEP, Outcome.REWRITE, Outcome.EMPTIED} | blind)
    else:
        assert b.text.to_list() == before
    if step.role == "context":
        assert seen == {Outcome.NOT_EVALUABLE}
    if step.role == "measure":
        assert b.language is not None
    assert step.implementation.judge.__doc__ or type(step.implementation).__doc__


@pytest.mark.parametrize("kind", list(STEPS))
def test_every_step_refuses_a_parameter_it_does_not_know(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    params = {**EXAMPLES.get(kind, {}), "mistake": 1}
    body = ", ".join(f"{k} = {v!r}".replace("'", '"') for k, v in params.items())
    path.write_text(
        'name = "mine"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "a"\n'
        f'kind = "{kind}"\ntitle = "t"\nparams = {{ {body} }}\n'
    )
    with pytest.raises(ConfigError, match=r"step 'a': unknown key 'mistake'; known keys:"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("similarity", "score"),
        ("similarity", "top-share"),
        ("NSFW", "nsfw-substrings"),
        ("NSFW", "nsfw-tag"),
        ("WIDTH", "image-pixels"),
        ("WIDTH", "aspect-ratio"),
    ],
)
def test_a_step_without_its_column_is_not_evaluable_never_passed(
    column: str, kind: str, tmp_path: Path
) -> None:
    step = Step(id="s", kind=kind, title="t", params=EXAMPLES[kind])
    out = step.implementation.judge(batch(frame(8, **{column: None}), tmp_path), step.parsed())
    assert set(out.tolist()) == {int(Outcome.NOT_EVALUABLE)}


def test_the_nsfw_substring_rule_is_case_sensitive_and_matches_inside_words(tmp_path: Path) -> None:
    table = frame(
        4,
        TEXT=["the canteen", "Teenager", "a kid", "a kid"],
        NSFW=["UNSURE", "UNSURE", "UNLIKELY", "NSFW"],
    )
    step = load_recipe("laion400m").step[-1]
    out = step.implementation.judge(batch(table, tmp_path), step.parsed())
    assert [Outcome(int(o)).name for o in out] == ["DROP", "NOT_EVALUABLE", "KEEP", "DROP"]


def test_a_rewrite_that_leaves_nothing_is_emptied(tmp_path: Path) -> None:
    b = batch(frame(4, TEXT=["&nbsp;", "", "a &amp; b", " \n "]), tmp_path)
    out = STEPS["clean-text"].judge(b, STEPS["clean-text"].Params())
    # white space alone was no text before either
    assert [Outcome(int(o)).name for o in out] == ["EMPTIED", "KEEP", "REWRITE", "REWRITE"]
    assert b.text.to_list() == ["", "", "a & b", ""]


def test_a_step_that_reads_what_it_does_not_name_is_told_so(tmp_path: Path) -> None:
    b = batch(frame(3), tmp_path)
    b.rows = b.rows.select("row", "url")
    with pytest.raises(SchemaError, match="reads the column 'text' without naming it in `needs`"):
        STEPS["clean-text"].judge(b, STEPS["clean-text"].Params())


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_the_fast_path_of_cleaning_equals_ftfy(text: str) -> None:
    assert clean_text(text) == ftfy.fix_text(text.replace("\n", " ")).strip()


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_cleaning_many_equals_cleaning_each(texts: list[str]) -> None:
    given = [t.encode("utf-8", "replace").decode() for t in texts]
    cleaned = clean_texts(pl.Series(given, dtype=pl.String))
    assert cleaned.to_list() == [clean_text(t) for t in given]


def test_white_space_is_what_python_strips() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert set(WHITE_SPACE) == {c for c in everything if not c.strip()}


def test_row_key_is_the_hash_that_laion_publishes() -> None:
    # the first half of MurmurHash3_x64_128("abc") with seed 0, as a signed integer
    assert row_key(["a", "bc"]) == row_key(["abc"])
    assert row_key(["abc"]) == -5434086359492102041


@pytest.mark.parametrize("url", ["http://[bad/a.jpg", "", "no-host", "http://h.example:80/x"])
def test_domain_never_raises(url: str) -> None:
    assert domain(url) in {"", "h.example"}


def plain_laion400m(table: pl.DataFrame) -> list[int]:
    """The recipe as a plain loop that drops as it goes: indices of the surviving rows."""
    kept, seen = [], set()
    detect = make_detector("cld2")
    for i, r in enumerate(table.iter_rows(named=True)):
        text = r["TEXT"] or ""
        if not text.strip():
            continue
        if any(s in r["URL"] for s in (".svg", ".gif", "data:image", "javascript:")):
            continue
        text = ftfy.fix_text(text.replace("\n", " ")).strip()
        if detect([text]).codes[0] != "en" or len(text) < 5 or (r["URL"], text) in seen:
            continue
        seen.add((r["URL"], text))
        if r["WIDTH"] * r["HEIGHT"] > 89_478_484 or r["similarity"] < 0.30:
            continue
        if r["NSFW"] != "UNLIKELY" and any(s in text for s in ("teen", "kid", "child", "baby")):
            continue
        kept.append(i)
    return kept


def scan_folder(folder: Path, recipe: Recipe):
    units = list_units(list_shards([str(folder)]))
    return resolve(recipe, [judge_unit(u, recipe) for u in units])


def tally_folder(folder: Path, plan: Plan) -> Tally:
    tally = Tally()
    for unit in list_units(list_shards([str(folder)])):
        tally.add(count_unit(unit, plan).counts)
    return tally


def test_the_scan_keeps_what_a_plain_loop_keeps(tmp_path: Path) -> None:
    table = frame(400)
    scan = scan_folder(write(tmp_path, table, 3, 17), load_recipe("laion400m"))
    survivors = np.flatnonzero(scan.removed_at == len(scan.recipe.step)).tolist()
    assert survivors == plain_laion400m(table)
    assert 0 < len(survivors) < 400


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_shards=st.integers(1, 6), group=st.integers(1, 50))
def test_a_scan_of_any_split_equals_the_scan_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, n_shards: int, group: int
) -> None:
    table, recipe = frame(120), load_recipe("laion5b-en")
    split = scan_folder(write(tmp_path_factory.mktemp("s"), table, n_shards, group), recipe)
    whole = scan_folder(write(tmp_path_factory.mktemp("w"), table, 1, 1000), recipe)
    assert split.removed_at.tolist() == whole.removed_at.tolist()
    for i in range(len(recipe.step)):
        assert split.outcomes(i) == whole.outcomes(i)


def test_duplicates_are_judged_on_every_row_against_survivors_only(tmp_path: Path) -> None:
    table = frame(
        4,
        URL=[
            "http://a.example/1.gif",
            "http://a.example/1.gif",
            "http://b.example/",
            "http://b.example/",
        ],
        TEXT=["the same long caption of a house"] * 4,
        similarity=[0.4] * 4,
    )
    scan = scan_folder(write(tmp_path, table, 1), load_recipe("laion400m"))
    dedup = next(i for i, s in enumerate(scan.recipe.step) if s.kind == "duplicates")
    # rows 0 and 1 fall to the URL rule, so neither makes the other a duplicate
    assert scan.rows[f"outcome_{dedup}"].to_list() == [0, 0, 0, int(Outcome.DROP)]


def test_counts_are_the_row_verdicts_added_up(tmp_path: Path) -> None:
    folder, recipe = write(tmp_path, frame(400), 3, 17), load_recipe("laion400m")
    recipe = recipe.model_copy(update={"step": tuple(s for s in recipe.step if s.role != "set")})
    scan = scan_folder(folder, recipe)
    tally = tally_folder(folder, Plan(recipe, ("length", "words:doctor", "language")))
    mask = sum(1 << i for i in recipe.deciding)
    n_kept = tally.sum(lambda key: key.group == ALL and not key.hits & mask)
    assert n_kept == int((scan.removed_at == len(recipe.step)).sum()) > 0
    assert tally.n_rows == 400
    for i in range(len(recipe.step)):
        counted = {
            k.level.lower(): n for k, n in tally.counts.items() if k.group == f"{OUTCOMES}{i}"
        }
        assert counted == scan.outcomes(i)
    for group in ("length", "words:doctor", "language"):
        assert tally.sum(lambda key, g=group: key.group == g) == 400
    named = frame(400)["TEXT"].str.contains("(?i)doctor").sum()
    assert tally.sum(lambda key: key == ("words:doctor", "named", key.hits, key.blind)) == named
    assert tally.sum(lambda key: key.group == "length" and key.level == "empty") == 50


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_shards=st.integers(1, 6), group=st.integers(1, 50))
def test_counts_of_any_split_are_the_counts_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, n_shards: int, group: int
) -> None:
    plan = Plan(load_recipe("laion5b-en"), ("nsfw", "language"))
    split = tally_folder(write(tmp_path_factory.mktemp("s"), frame(120), n_shards, group), plan)
    whole = tally_folder(write(tmp_path_factory.mktemp("w"), frame(120), 1, 1000), plan)
    assert split.total() == whole.total()
    assert split.n_rows == 120


@pytest.mark.parametrize("name", ["nsfw", "language-tag", "length", "language", "words:doctor"])
def test_a_group_gives_every_row_a_level_and_unknown_where_it_cannot_tell(
    name: str, tmp_path: Path
) -> None:
    group = load_group(name)
    for table in (frame(40), frame(40, NSFW=None)):
        b = batch(table, tmp_path)
        b.rows = b.rows.select("row", *group.needs)
        levels = group.levels(b)
        assert len(levels) == 40
        assert levels.dtype == pl.String
        assert levels.null_count() == 0
        if name == "language-tag" or (name == "nsfw" and "NSFW" not in table.columns):
            assert set(levels) == {UNKNOWN}
        elif name != "language":
            assert levels.n_unique() > 1


def test_what_is_kept_of_a_unit_is_read_back_the_same(tmp_path: Path) -> None:
    unit = list_units(list_shards([str(write(tmp_path, frame(40), 1))]))[0]
    for sets in ("skip", "keep"):
        scanned = count_unit(unit, Plan(load_recipe("laion400m"), ("nsfw",), sets))
        again = decode_scan(unit, encode_scan(scanned))
        assert isinstance(again, UnitScan)
        assert again.counts == scanned.counts
        assert (again.rows is None) == (sets == "skip")
        if again.rows is not None:
            assert again.rows.equals(scanned.rows)


def test_only_needed_columns_are_read_and_another_plan_never_mixes(tmp_path: Path) -> None:
    unit = list_units(list_shards([str(write(tmp_path, frame(20), 1))]))[0]
    recipe = load_recipe("laion400m")
    assert "punsafe" not in Plan(recipe).columns(unit)
    similarity = tuple(s for s in recipe.step if s.kind == "score")
    bare = recipe.model_copy(update={"step": similarity})
    assert Plan(bare).columns(unit) == ("similarity",)
    assert Plan(bare, ("nsfw",)).columns(unit) == ("nsfw", "similarity")
    plans = [Plan(recipe), Plan(recipe, ("nsfw",)), Plan(recipe, (), "keep"), Plan(bare)]
    assert len({p.fingerprint for p in plans}) == 4


def unit_counts(name: str, counts: dict[tuple[int, int], int]) -> UnitCounts:
    return UnitCounts.of(name, [("", "", hits, blind, n) for (hits, blind), n in counts.items()])


tables = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 3)), st.integers(1, 9), min_size=1, max_size=4
)


@given(st.dictionaries(st.sampled_from("abcdef"), tables), st.data())
def test_adding_units_is_associative_commutative_and_idempotent(
    truth: dict[str, dict[tuple[int, int], int]], data: st.DataObject
) -> None:
    once, again = Tally(), Tally()
    for name in sorted(truth):
        once.add(unit_counts(name, truth[name]))
    names = sorted(truth)
    repeats = data.draw(st.lists(st.sampled_from(names))) if names else []
    order = data.draw(st.permutations(names + repeats))
    for name in order:
        again.add(unit_counts(name, truth[name]))
    assert again.total() == once.total()
    assert again.digests == once.digests
    assert again.n_units == len(truth)
    assert once.n_rows == sum(sum(t.values()) for t in truth.values())


def test_the_same_unit_with_other_numbers_is_a_conflict() -> None:
    tally = Tally()
    tally.add(unit_counts("u", {(0, 0): 1}))
    with pytest.raises(MergeConflict, match="unit u was counted twice"):
        tally.add(unit_counts("u", {(0, 0): 2}))
    assert tally.counts == {Key("", "", 0, 0): 1}
