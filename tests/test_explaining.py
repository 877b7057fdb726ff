"""Explanations of an over-represented neighbourhood, against what is true of the whole pool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import laion_probe.questions.explaining_counts as counts_module
from laion_probe.outliers_result import Explanation, NullRegion, RecipeWeighed
from laion_probe.questions.explaining import ExplainOptions, weigh
from laion_probe.questions.explaining_rows import n_words
from laion_probe.recipes import Recipe, load_recipe
from laion_probe.regions import Neighbourhoods, RegionOptions, neighbourhoods
from laion_probe.shards import list_shards, list_units, read_unit
from laion_probe.unit_scan import judge_unit, resolve
from laion_probe.vectors import Embeddings, open_embeddings

RECIPES = ("none", "dalle-mini", "laion400m", "laion5b-en", "cc12m")
N_PLACES, SIZE = 13, 60


def quiet(what: str, done: int, of: int) -> None:
    """Progress that nobody watches."""


def store(folder: Path, vectors: np.ndarray, metadata: pl.DataFrame) -> Embeddings:
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "img_emb" / "img_emb_0.npy", unit.astype(np.float32))
    metadata.write_parquet(folder / "metadata" / "metadata_0.parquet")
    (folder / "key.json").write_text(json.dumps({"model": "none"}))
    return open_embeddings(folder)


def places(n_rows: int) -> Neighbourhoods:
    """Rows 0 to 59 are here, every further sixty are another neighbourhood."""
    rows = np.arange(N_PLACES * SIZE).reshape(N_PLACES, SIZE)
    masses = tuple((SIZE + 5 * (i % 4), n_rows) for i in range(N_PLACES - 1))
    return Neighbourhoods(
        here=rows[0],
        others=tuple(rows[1:]),
        density=0.8,
        densities=np.full(N_PLACES - 1, 0.8),
        mass=(SIZE, n_rows),
        masses=masses,
        mass_deduplicated=(SIZE, n_rows),
        masses_deduplicated=masses,
        note="",
    )


def plain(n: int = N_PLACES * SIZE) -> pl.DataFrame:
    """Captions of five English words, each on a host of its own."""
    return pl.DataFrame(
        {
            "caption": [f"a photo of thing number {i} on the old table" for i in range(n)],
            "url": [f"http://h{i}.example/{i}.jpg" for i in range(n)],
        }
    )


def scattered(n: int = N_PLACES * SIZE) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 64))


def look(
    data: Embeddings, recipe: Recipe, options: ExplainOptions | None = None
) -> dict[str, Explanation]:
    return by_kind(weighed(data, recipe, options))


def weighed(
    data: Embeddings, recipe: Recipe, options: ExplainOptions | None = None
) -> RecipeWeighed:
    (found,) = weigh(places(data.n_rows), data, [recipe], options or ExplainOptions(), quiet)
    return found


def by_kind(found: RecipeWeighed) -> dict[str, Explanation]:
    return {e.kind: e for e in found.explanations}


def recipe(tmp_path: Path, *steps: str) -> Recipe:
    path = tmp_path / "own.toml"
    head = 'name = "own"\ntitle = "own"\nsource = "test"\n'
    path.write_text(head + "".join(f"[[step]]\n{s}\n" for s in steps), encoding="utf-8")
    return load_recipe(str(path))


# The whole pool: what is true


@pytest.fixture(scope="module")
def pool(demo: Path) -> pl.DataFrame:
    """Concept, caption and address of all 21 600 rows; sizes as they were on the web."""
    truth = pl.read_parquet(demo / "truth.parquet").filter(pl.col("kind") == "pool")
    units = list_units(list_shards([str(demo / "shards")]))
    columns = ("url", "text", "width", "height")
    rows = pl.concat([read_unit(u, columns) for u in units])
    return rows.select(columns).with_columns(truth["concept"])


@pytest.fixture(scope="module")
def embedded(pool: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    """A fifth of the pool, each concept's vectors about a direction of its own."""
    some = pool.gather_every(5)
    rng = np.random.default_rng(1)
    names = sorted(set(pool["concept"]))
    centres = rng.standard_normal((len(names), 48))
    number = some["concept"].replace_strict({c: i for i, c in enumerate(names)}).to_numpy()
    vectors = centres[number] + 0.45 * rng.standard_normal((len(some), 48))
    stray = (some["concept"] == "near_miss").to_numpy()
    vectors[stray] = rng.standard_normal((int(stray.sum()), 48))
    metadata = some.select(
        "url",
        pl.col("text").alias("caption"),
        # as img2dataset stores them: small, beside the picture's own
        *(pl.lit(96, pl.Int64).alias(size) for size in ("width", "height")),
        *(pl.col(size).alias(f"original_{size}") for size in ("width", "height")),
        "concept",
    )
    return store(tmp_path_factory.mktemp("pool"), vectors, metadata)


@pytest.fixture(scope="module")
def of_saris(embedded: Embeddings) -> Neighbourhoods:
    everything = np.arange(embedded.n_rows)
    mine = (embedded.metadata(everything, ["concept"])["concept"] == "sari").to_numpy()
    centre = embedded.vectors(everything[mine]).mean(axis=0)
    options = RegionOptions(size=160)
    return neighbourhoods(embedded, centre / np.linalg.norm(centre), options)


def population(pool: pl.DataFrame, demo: Path, name: str) -> dict[str, float]:
    """Each explanation's odds among saris over those in a typical other concept, of all rows.

    By the scan of shards, which shares neither the reading nor the counting with what is tested.
    """
    own = load_recipe(name)
    steps = tuple(s for s in own.step if not {"similarity", "nsfw"} & set(s.needs))
    reduced = own.model_copy(update={"step": steps})
    units = list_units(list_shards([str(demo / "shards")]))
    scan = resolve(reduced, [judge_unit(u, reduced) for u in units])
    kept = pl.Series(scan.removed_at == len(steps))
    captioned = pool["text"].str.strip_chars() != ""
    frame = pool.with_columns(kept=kept, captioned=captioned).filter(
        pl.col("concept") != "near_miss"
    )
    table = frame.group_by("concept").agg(
        n=pl.len(),
        kept=pl.col("kept").sum(),
        bare=(pl.col("kept") & ~pl.col("captioned")).sum(),
    )
    typical = table["concept"] != "sari"

    def odds_ratio(hits: pl.Series, rows: pl.Series) -> float:
        log = ((hits + 0.5) / (rows - hits + 0.5)).log()
        return float(np.exp(log.filter(~typical).sum() - log.filter(typical).mean()))

    n_kept = pl.repeat(int(kept.sum()), len(table), eager=True)
    found = {
        "over-represented": odds_ratio(table["kept"], n_kept),
        "no-caption": odds_ratio(table["bare"], table["kept"]),
        "survives": odds_ratio(table["kept"], table["n"]),
    }
    if not steps:  # captions as they are
        words = frame.with_columns(short=frame["text"].str.split(" ").list.len() <= 3)
        short = (
            words.filter("captioned")
            .group_by("concept")
            .agg(n=pl.len(), short=pl.col("short").sum())
        )
        typical = short["concept"] != "sari"
        found["short-captions"] = odds_ratio(short["short"], short["n"])
    return found


@pytest.fixture(scope="module")
def by_recipe(embedded: Embeddings, of_saris: Neighbourhoods) -> dict[str, RecipeWeighed]:
    recipes = [load_recipe(name) for name in RECIPES]
    found = weigh(of_saris, embedded, recipes, ExplainOptions(), quiet)
    return {w.recipe: w for w in found}


@pytest.mark.parametrize("name", RECIPES)
def test_intervals_cover_what_is_true_of_the_pool(
    name: str, by_recipe: dict[str, RecipeWeighed], pool: pl.DataFrame, demo: Path
) -> None:
    found = by_kind(by_recipe[name])
    checked = 0
    for kind, true in population(pool, demo, name).items():
        e = found[kind]
        if e.odds_ratio.low is None:
            continue
        high = np.inf if e.odds_ratio.high is None else e.odds_ratio.high
        assert e.odds_ratio.low <= true <= high, (kind, true, e.reason)
        assert not (e.verdict == "supported" and true < 1.25), (kind, true)
        checked += 1
    assert checked >= 2


def test_what_was_planted_is_found_where_a_recipe_leaves_it(
    by_recipe: dict[str, RecipeWeighed],
) -> None:
    verdict = {r: {e.kind: e.verdict for e in w.explanations} for r, w in by_recipe.items()}
    for name in ("none", "dalle-mini"):
        assert verdict[name]["no-caption"] == "supported"
        # concepts of the pool differ in this, so that the interval is wide
        foreign = by_kind(by_recipe[name])["other-languages"]
        assert foreign.verdict != "contradicted"
        assert foreign.odds_ratio.value == pytest.approx(3.2, rel=0.3)
        assert verdict[name]["survives"] == "not in this recipe"
    for name in ("laion400m", "laion5b-en"):  # English only: no row without a caption is left
        assert verdict[name]["no-caption"] == "contradicted"
        assert verdict[name]["other-languages"] == "contradicted"
        survives = by_kind(by_recipe[name])["survives"]
        assert survives.verdict != "supported"
        assert (survives.odds_ratio.value or 1) < 0.5  # saris survive less
    assert verdict["none"]["emptied"] == "not in this recipe"
    assert verdict["cc12m"]["words-removed"] != "not in this recipe"
    said = by_kind(by_recipe["laion400m"])["no-caption"].reason
    assert "rows that the recipe keeps have no caption here, and 0 of" in said


def test_counts_are_of_rows_that_the_recipe_keeps(by_recipe: dict[str, RecipeWeighed]) -> None:
    none, english = by_recipe["none"], by_recipe["laion400m"]
    assert none.n_kept == none.n_rows == 4320
    assert english.n_kept < none.n_kept
    assert by_kind(none)["no-caption"].n_rows == 160
    survives = by_kind(english)["survives"]
    assert survives.n_rows == 160
    assert by_kind(english)["no-caption"].n_rows == survives.n_hits
    assert english.data_share.value is not None and none.data_share.value is not None
    assert english.data_share.value < none.data_share.value
    assert any("the metadata lack similarity" in note for note in english.notes)


def test_sizes_are_those_of_the_picture_on_the_web(by_recipe: dict[str, RecipeWeighed]) -> None:
    assert by_recipe["cc12m"].n_kept > 500  # sides of more than 400 pixels; stored ones have 96


def test_languages_are_named_as_the_detector_called_them(
    by_recipe: dict[str, RecipeWeighed],
) -> None:
    e = by_kind(by_recipe["none"])["other-languages"]
    assert "cld2" in e.reason
    assert sum(e.by.values()) == e.n_hits
    assert list(e.by.values()) == sorted(e.by.values(), reverse=True)
    assert {"hi", "ta"} <= set(e.by) and "en" not in e.by


# Small data


def test_emptied_captions_are_told_by_step(tmp_path: Path) -> None:
    rows = plain().with_columns(
        caption=pl.when(pl.int_range(pl.len()) < 30).then(pl.lit("...")).otherwise("caption")
    )
    data = store(tmp_path / "e", scattered(), rows)
    found = look(data, load_recipe("dalle-mini"))
    assert found["emptied"].verdict == "supported"
    assert (found["emptied"].n_hits, found["emptied"].n_rows) == (30, 60)
    assert list(found["emptied"].by.values()) == [30]
    assert found["no-caption"].n_hits == 0  # a caption that was emptied was there
    assert found["short-captions"].n_rows == 30  # and is not short


def test_a_ban_list_that_spares_the_neighbourhood_is_a_finding_too(tmp_path: Path) -> None:
    word = pl.when((pl.int_range(pl.len()) >= SIZE) & (pl.int_range(pl.len()) % 2 == 0))
    rows = plain().with_columns(
        caption=pl.col("caption") + word.then(pl.lit(" darn")).otherwise(pl.lit(""))
    )
    data = store(tmp_path / "e", scattered(), rows)
    own = recipe(
        tmp_path, 'id = "ban"\nkind = "ban-list"\ntitle = "no darn"\nparams = { words = ["darn"] }'
    )
    found = look(data, own)
    assert found["words-removed"].verdict == "supported"
    assert found["words-removed"].n_hits == 0
    assert "less than elsewhere" in found["words-removed"].reason
    assert found["survives"].verdict == "supported"
    assert found["short-captions"].n_rows == SIZE


def test_what_the_data_have_passed_is_not_observable(tmp_path: Path) -> None:
    data = store(tmp_path / "e", scattered(), plain())
    step = 'id = "ban"\nkind = "ban-list"\ntitle = "no darn"\nparams = { words = ["darn"] }'
    clean = 'id = "empty"\nkind = "drop-captions"\ntitle = "blank"\nparams = { probability = 0.5 }'
    own = recipe(tmp_path, step, clean)
    found = look(data, own, ExplainOptions(already=own))
    for kind in ("words-removed", "survives", "emptied"):
        assert found[kind].verdict == "not observable"
        assert found[kind].decided_by == "the pool before own"
    assert look(data, own)["words-removed"].verdict != "not observable"


def test_missing_columns_are_said(tmp_path: Path) -> None:
    own = recipe(
        tmp_path,
        'id = "s"\nkind = "score"\ntitle = "similar"\n'
        'params = { column = "similarity", at_least = 0.3 }',
    )
    both = store(tmp_path / "both", scattered(), plain())
    survives = look(both, own)["survives"]
    assert survives.verdict == "not decidable here"
    assert survives.decided_by == "metadata with similarity"
    assert weighed(both, own).n_kept == both.n_rows

    bare = store(tmp_path / "bare", scattered(), plain().select("url"))
    found = look(bare, load_recipe("laion400m"))
    assert found["no-caption"].verdict == "not decidable here"
    assert found["no-caption"].decided_by == "captions beside the vectors"
    assert any("no captions" in n for n in weighed(bare, load_recipe("laion400m")).notes)

    nowhere = store(tmp_path / "nowhere", scattered(), plain().select("caption"))
    found = look(nowhere, load_recipe("none"))
    assert found["few-domains"].decided_by == "addresses beside the vectors"
    assert found["short-captions"].verdict == "contradicted"  # none is


def test_few_kept_rows_decide_nothing(tmp_path: Path) -> None:
    short = pl.int_range(pl.len()).is_between(10, SIZE - 1)
    rows = plain().with_columns(caption=pl.when(short).then(pl.lit("a b")).otherwise("caption"))
    data = store(tmp_path / "e", scattered(), rows)
    own = recipe(
        tmp_path, 'id = "w"\nkind = "word-count"\ntitle = "words"\nparams = { min_words = 3 }'
    )
    found = look(data, own)
    assert found["near-duplicates"].verdict == "not decidable here"
    assert found["near-duplicates"].decided_by == "more pictures of this neighbourhood"
    assert "only 10 of the rows" in found["near-duplicates"].reason
    assert found["short-captions"].verdict == "contradicted"  # no such row is left anywhere


def test_near_duplicates_are_sought_among_kept_rows(tmp_path: Path) -> None:
    vectors = scattered()
    vectors[30:60] = vectors[:30]  # pairs, of which half lose a partner
    dropped = pl.int_range(pl.len()).is_between(45, 59)
    rows = plain().with_columns(caption=pl.when(dropped).then(pl.lit("")).otherwise("caption"))
    data = store(tmp_path / "e", vectors, rows)
    own = recipe(tmp_path, 'id = "c"\nkind = "caption-present"\ntitle = "present"')
    assert look(data, load_recipe("none"))["near-duplicates"].n_hits == 60
    found = look(data, own)["near-duplicates"]
    assert (found.n_hits, found.n_rows) == (30, 45)
    assert found.verdict == "supported"


def test_few_domains_are_not_found_among_few_rows(tmp_path: Path) -> None:
    """Counted on the rows they were found in, five domains of sixty would be 8 % of them."""
    data = store(tmp_path / "e", scattered(), plain())
    assert look(data, load_recipe("none"))["few-domains"].n_hits == 0
    same = pl.when(pl.int_range(pl.len()) < 40).then(pl.lit("http://one.example/a.jpg"))
    data = store(tmp_path / "f", scattered(), plain().with_columns(url=same.otherwise("url")))
    found = look(data, load_recipe("none"))["few-domains"]
    assert found.n_hits >= 38 and found.verdict == "supported"
    assert next(iter(found.by.items())) == ("one.example", 40)


def test_a_sample_stands_for_data_that_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 4 * N_PLACES * SIZE
    blank = pl.int_range(pl.len()) % 4 == 0
    rows = plain(n).with_columns(caption=pl.when(blank).then(pl.lit("")).otherwise("caption"))
    data = store(tmp_path / "e", scattered(n), rows)
    own = recipe(
        tmp_path,
        'id = "c"\nkind = "caption-present"\ntitle = "present"',
        'id = "d"\nkind = "duplicates"\ntitle = "once"\nparams = { by = ["text"] }',
    )
    whole = weighed(data, own)
    assert whole.n_kept == n * 3 / 4
    monkeypatch.setattr(counts_module, "WHOLE", 1000)
    monkeypatch.setattr(counts_module, "SAMPLED", 1500)
    part = weighed(data, own)
    assert part.n_kept == pytest.approx(n * 3 / 4, rel=0.05)
    assert any("estimated from 1,500 drawn at random" in note for note in part.notes)
    assert any("needs all rows" in note for note in part.notes)
    for kind in ("survives", "no-caption"):  # rows of neighbourhoods are read one and all
        assert by_kind(part)[kind].n_hits == by_kind(whole)[kind].n_hits


def test_over_representation_counts_what_is_kept(tmp_path: Path) -> None:
    """Half of the neighbourhood is dropped, nothing elsewhere."""
    half = pl.int_range(pl.len()) < SIZE // 2
    rows = plain().with_columns(caption=pl.when(half).then(pl.lit("")).otherwise("caption"))
    data = store(tmp_path / "e", scattered(), rows)
    own = recipe(tmp_path, 'id = "c"\nkind = "caption-present"\ntitle = "present"')
    found = look(data, own)["over-represented"]
    assert (found.n_hits, found.n_rows) == (30, 750)
    assert weighed(data, own).data_share.value == pytest.approx(30 / 750)


def test_intervals_hold_for_what_is_weighed_together(tmp_path: Path) -> None:
    bare = pl.int_range(pl.len()) % 3 == 0
    rows = plain().with_columns(caption=pl.when(bare).then(pl.lit("")).otherwise("caption"))
    data = store(tmp_path / "e", scattered(), rows)
    e = look(data, load_recipe("none"))["no-caption"]
    # over-represented twice, no caption, near-duplicates, few domains; no other varies
    assert any("5 explanations" in a for a in e.odds_ratio.assumptions)
    assert weighed(data, load_recipe("none")).together == (
        "over-represented",
        "over-represented-deduplicated",
        "no-caption",
        "near-duplicates",
        "few-domains",
    )


def test_no_difference_is_what_the_options_call_so(tmp_path: Path) -> None:
    bare = (pl.int_range(pl.len()) % 10 == 0) | (pl.int_range(pl.len()) < SIZE // 2)
    rows = plain().with_columns(caption=pl.when(bare).then(pl.lit("")).otherwise("caption"))
    data = store(tmp_path / "e", scattered(), rows)
    e = look(data, load_recipe("none"))["no-caption"]
    assert e.verdict == "supported" and e.odds_ratio.high is not None
    wide = NullRegion(low=0.1, high=2 * e.odds_ratio.high)
    told = look(data, load_recipe("none"), ExplainOptions(null=wide))["no-caption"]
    assert told.odds_ratio == e.odds_ratio and told.verdict == "contradicted"


def words_of(texts: Sequence[str]) -> list[int]:
    return n_words(pl.Series(texts)).to_list()


def test_words_of_scripts_without_spaces_are_two_characters() -> None:
    assert words_of(["", "one, two; three", "साड़ी में महिला", "it's"]) == [0, 3, 3, 1]
    assert words_of(["着物の女性", "ผู้หญิง", "女性 in kimono", "!!"]) == [3, 4, 3, 0]
