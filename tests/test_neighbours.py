"""Neighbours of concepts: counted over all rows, cut by a rule, sampled and rated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fake_neighbours import KEY, FakeEmbedder, truth, vectors_of, write_folder

from laion_probe.attributes import load_attribute
from laion_probe.attributes.zero_shot import zero_shot
from laion_probe.config import NeighboursConfig
from laion_probe.errors import ConfigError
from laion_probe.estimators.ann_bounds import Found, worst_case
from laion_probe.neighbours_result import NeighboursResult
from laion_probe.questions import neighbours_captions, neighbours_inputs, neighbours_search
from laion_probe.questions.neighbours import neighbours
from laion_probe.questions.neighbours_inputs import read_concepts
from laion_probe.questions.neighbours_tables import (
    EDGES,
    Plan,
    Tables,
    lookup_of,
    read_levels,
    tabulate,
)
from laion_probe.results import Estimate
from laion_probe.tasks import TaskOptions
from laion_probe.vectors import open_embeddings

GENDER = load_attribute("gender_presentation")
ROWS = truth()
VECTORS = vectors_of(ROWS)
QUIET: Any = lambda what, done, of: None  # noqa: E731


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("emb") / "emb", ROWS, VECTORS, (700, 800))


@pytest.fixture(autouse=True)
def _fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours_inputs, "load_embedder", lambda model, tag: FakeEmbedder())


def config(folder: Path, **options: Any) -> NeighboursConfig:
    given = {
        "concept": ("doctor", "nurse"),
        "attributes": ("gender_presentation",),
        "embeddings": str(folder),
    }
    return NeighboursConfig(**(given | options))


def stored(folder: Path) -> np.ndarray[Any, Any]:
    e = open_embeddings(folder)
    v: np.ndarray[Any, Any] = e.vectors(np.arange(e.n_rows))
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True))


def query(concept: str) -> np.ndarray[Any, Any]:
    from laion_probe.neighbourhood import mean_direction, prompts

    return mean_direction(FakeEmbedder().texts(prompts(concept)))


# One pass over all rows


def test_a_lookup_reads_what_zero_shot_reads() -> None:
    model: Any = FakeEmbedder()
    cooler = GENDER.model_copy(update={"temperature": 2.5, "min_probability": 0.6})
    for attribute in (GENDER, cooler, load_attribute("setting")):
        read = read_levels(VECTORS, lookup_of(attribute, model))
        assert (read == zero_shot(VECTORS, attribute, model)).all()
    assert len(np.unique(read_levels(VECTORS, lookup_of(GENDER, model)))) > 2


def _plan(folder: Path, thresholds: tuple[float, ...]) -> Plan:
    model: Any = FakeEmbedder()
    queries = np.stack([query("doctor"), query("nurse")])
    lookups = (lookup_of(GENDER, model),)
    return Plan(open_embeddings(folder), queries, np.array(thresholds), lookups)


def test_counts_are_those_of_a_plain_loop_over_rows(tmp_path: Path) -> None:
    broken = VECTORS.copy() * np.linspace(0.5, 2, len(VECTORS))[:, None]
    broken[[3, 900]], broken[7], broken[8] = 0, np.nan, np.inf
    folder = write_folder(tmp_path / "e", ROWS, broken, (1, 699, 800))
    found = tabulate(_plan(folder, (0.6, np.nan)), TaskOptions(), QUIET)
    assert (found.n_unreadable, found.n_broken, found.n_usable) == (2, 2, 1496)
    model: Any = FakeEmbedder()
    rows, levels = np.zeros((2, 400), int), np.zeros((2, 400, 4), int)
    near, queries = np.zeros((2, 4), int), [query("doctor"), query("nurse")]
    with np.errstate(invalid="ignore", divide="ignore"):
        levels_of = zero_shot(np.nan_to_num(stored(folder)), GENDER, model)
    for i, v in enumerate(open_embeddings(folder).vectors(np.arange(1500))):
        if not np.isfinite(v).all() or not v.any():
            continue
        unit = (v / np.linalg.norm(v))[None]
        label = int(levels_of[i])
        for c, asked in enumerate(queries):
            cosine = float(unit[0] @ asked)
            place = int(np.searchsorted(EDGES, cosine, side="right")) - 1
            rows[c, place] += 1
            levels[c, place, label] += 1
            near[c, label] += c == 0 and cosine >= 0.6
    assert (found.rows == rows).all()
    assert (found.levels[0] == levels).all()
    assert (found.near[0] == near).all()
    assert found.n_near.tolist() == [near[0].sum(), 0]


def test_tables_of_parts_add_up_in_any_order(folder: Path, tmp_path: Path) -> None:
    whole = tabulate(_plan(folder, (0.5, 0.5)), TaskOptions(), QUIET)
    halves = [
        tabulate(
            _plan(write_folder(tmp_path / str(i), ROWS[part], VECTORS[part]), (0.5, 0.5)),
            TaskOptions(),
            QUIET,
        )
        for i, part in enumerate((slice(700, 1500), slice(0, 700)))
    ]
    total = Tables.empty(_plan(folder, (0.5, 0.5)))
    for half in halves:
        total.add(half)
    assert (total.rows == whole.rows).all()
    assert (total.levels[0] == whole.levels[0]).all()
    assert (total.near[0] == whole.near[0]).all()


# A run


def test_the_neighbourhood_is_counted_over_all_rows(folder: Path, tmp_path: Path) -> None:
    result = neighbours(config(folder, k=40), QUIET, tmp_path / "run")
    assert NeighboursResult.from_json(result.to_json()) == result
    doctor = result.concepts[0]
    cosine = stored(folder) @ query("doctor")
    assert doctor.status == "found"
    assert doctor.threshold is not None
    near = cosine >= doctor.threshold
    assert doctor.n_near == near.sum() > doctor.n_kept == 40
    assert doctor.n_near_is_all
    model: Any = FakeEmbedder()
    label = zero_shot(stored(folder), GENDER, model)
    of = doctor.compositions["gender_presentation"]
    assert of.counts == {x: int((label[near] == i).sum()) for i, x in enumerate(GENDER.levels)}
    women, both = of.counts["woman"], of.counts["woman"] + of.counts["man"]
    assert (of.contrast.value, of.contrast.low, of.contrast.n) == (women / both, women / both, both)
    assert "no sampling error" in of.contrast.method
    assert of.labels == "uncorrected classifier labels"
    # recall of the rule: most pictures of doctors lie near, and few others
    shows = (ROWS["concept"] == "doctor").to_numpy()
    assert (near & shows).sum() > 0.9 * shows.sum()
    table = pl.read_parquet(tmp_path / "run/neighbours.parquet")
    assert table.columns[:8] == [
        *("concept", "rank", "row", "similarity", "id", "url", "text", "near")
    ]
    mine = table.filter(pl.col("concept") == "doctor")
    best = np.lexsort((np.arange(1500), -cosine))[:40]
    assert mine["row"].to_list() == best.tolist()
    assert mine["id"].to_list() == [f"id-{row}" for row in best]
    assert mine["text"].to_list() == ROWS["caption"].gather(best.tolist()).to_list()
    assert mine["near"].all()
    assert mine["gender_presentation"].to_list() == [GENDER.levels[i] for i in label[best]]
    assert not (tmp_path / "run/sample.parquet").exists()


def test_the_curve_ends_in_all_rows_and_has_the_threshold(folder: Path) -> None:
    doctor = neighbours(config(folder, k=100)).concepts[0]
    curve = doctor.curves["gender_presentation"]
    rows = [p.n_rows for p in curve.points]
    assert rows == sorted(rows)
    assert rows[-1] == 1500
    thresholds = [p.threshold for p in curve.points]
    assert thresholds == sorted(thresholds, reverse=True)
    assert doctor.threshold in thresholds
    assert rows[thresholds.index(doctor.threshold)] == doctor.n_near
    cosine = stored(folder) @ query("doctor")
    model: Any = FakeEmbedder()
    label = zero_shot(stored(folder), GENDER, model)
    for p in curve.points:
        inside = cosine >= p.threshold - 1e-6
        assert p.n_rows == pytest.approx(inside.sum(), abs=1)
        assert sum(p.counts.values()) == p.n_rows
        if p.n_rows == inside.sum():
            assert p.counts["woman"] == (label[inside] == 0).sum()
    assert f"all {1500:,}" in curve.changes


def test_what_no_caption_names_is_listed_but_not_measured(folder: Path, tmp_path: Path) -> None:
    found = neighbours(config(folder, concept=("zeppelin",)), QUIET, tmp_path)
    zeppelin = found.concepts[0]
    assert (zeppelin.status, zeppelin.threshold, zeppelin.n_near) == ("no threshold", None, 0)
    assert "no caption that was read names it" in zeppelin.answer
    assert zeppelin.compositions["gender_presentation"].contrast.value is None
    assert not pl.read_parquet(tmp_path / "neighbours.parquet")["near"].any()
    given = neighbours(config(folder, concept=("zeppelin",), threshold=0.1)).concepts[0]
    cosine = stored(folder) @ query("zeppelin")
    assert given.threshold_rule == "given by the user"
    assert given.n_near == (cosine >= 0.1).sum() > 0


def test_captions_are_read_of_stretches_where_there_are_very_many(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours_captions, "_STRETCH", 100)
    monkeypatch.setattr(neighbours_captions, "MOST_CAPTIONS", 900)
    embeddings = open_embeddings(folder)
    rows = neighbours_captions.caption_rows(embeddings, 900, 0)
    assert len(rows) == 900 == len(set(rows.tolist()))
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() != neighbours_captions.caption_rows(embeddings, 900, 1).tolist()
    doctor = neighbours(config(folder)).concepts[0]
    assert doctor.n_captions == 900
    assert doctor.status == "found"
    assert doctor.n_histogram == 1500


# A sample for raters, and what they say


def rate(sample: pl.DataFrame, concept: str, path: Path, **change: Any) -> str:
    """Ratings of a sample as it is true, in the columns of our export."""
    mine = sample.filter(pl.col("concept") == concept)
    said = ROWS[mine["row"].to_list()]
    pl.DataFrame(
        {
            "picture": mine["picture"],
            "source": mine["source"],
            "rater": ["ann"] * len(mine),
            "shows": ["shows" if x == concept else "does not show" for x in said["concept"]],
            "gender_presentation": [
                g if g != "none" else "cannot tell" for g in said["gender"].to_list()
            ],
            "probability": mine["probability"],
            "stratum": mine["stratum"],
            "stratum_size": mine["stratum_size"],
        }
        | change
    ).write_parquet(path)
    return str(path)


def test_a_sample_is_drawn_from_all_rows_with_known_chances(folder: Path, tmp_path: Path) -> None:
    asked = config(folder, sample=150)
    result = neighbours(asked, QUIET, tmp_path / "one")
    neighbours(asked, QUIET, tmp_path / "two")
    one, two = (pl.read_parquet(tmp_path / x / "sample.parquet") for x in ("one", "two"))
    assert one.equals(two)
    other = neighbours(asked.model_copy(update={"seed": 1}), QUIET, tmp_path / "three")
    assert other.concepts[0].strata == result.concepts[0].strata
    third = pl.read_parquet(tmp_path / "three/sample.parquet")
    assert set(third["row"].to_list()) != set(one["row"].to_list())
    for c in result.concepts:
        mine = one.filter(pl.col("concept") == c.name)
        assert len(mine) == 150 == mine["row"].n_unique()
        assert sorted(mine["order"].to_list()) == list(range(150))
        assert mine["picture"].to_list() == [f"row-{row}" for row in mine["row"]]
        assert sum(s.n_rows for s in c.strata) == 1500
        cosine = stored(folder) @ query(c.name)
        for s in c.strata:
            of = mine.filter(pl.col("stratum") == s.name)
            assert len(of) == s.n_drawn >= 2
            assert of["probability"].unique().to_list() == [s.n_drawn / s.n_rows]
            assert of["stratum_size"].unique().to_list() == [s.n_rows]
            if s.floor is not None:
                assert (cosine[of["row"].to_numpy()] >= s.floor - 1e-5).all()
        assert any(s.near for s in c.strata)
        assert not all(s.near for s in c.strata)
    assert one["url"][0] == f"http://example.test/{one['row'][0]}.jpg"


def test_ratings_estimate_what_all_rows_show(folder: Path, tmp_path: Path) -> None:
    asked = config(folder, sample=400)
    neighbours(asked, QUIET, tmp_path)
    sample = pl.read_parquet(tmp_path / "sample.parquet")
    paths = tuple(f"{c}={rate(sample, c, tmp_path / f'{c}.parquet')}" for c in ("doctor", "nurse"))
    result = neighbours(asked.model_copy(update={"ratings": paths}), QUIET)
    for c in result.concepts:
        there = ROWS.filter(pl.col("concept") == c.name)
        assert c.shown is not None
        total, woman = c.shown.total, c.shown.compositions["gender_presentation"].contrast
        assert total.low is not None
        assert total.high is not None
        assert total.low <= len(there) <= total.high
        assert woman.low is not None
        assert woman.high is not None
        assert woman.low <= float((there["gender"] == "woman").to_numpy().mean()) <= woman.high
        assert c.shown.n_rated == 400
        assert sum(s.n_rated for s in c.strata) == 400
        assert c.shown.recall is not None
        assert c.shown.recall.value is not None
        assert c.shown.recall.value > 0.9
        # captions set the threshold; what ratings would set stands beside it
        assert "Lee and Liu" in c.threshold_rule
        assert c.shown.calibrated is not None
    assert "of its rows show “doctor”" in " ".join(result.finding)
    assert not [line for line in result.cannot_say if "that count is not known" in line]


def test_pictures_that_could_not_be_rated_widen_the_bounds(folder: Path, tmp_path: Path) -> None:
    asked = config(folder, concept=("doctor",), sample=300)
    neighbours(asked, QUIET, tmp_path)
    sample = pl.read_parquet(tmp_path / "sample.parquet")
    women = (ROWS["gender"] == "woman").to_numpy()[sample["row"].to_numpy()]
    gone = women & (np.arange(300) % 2 == 0)  # the pictures of women are lost
    paths = [
        rate(some, "doctor", tmp_path / f"{name}.parquet")
        for name, some in (("all", sample), ("there", sample.filter(~gone)))
    ]
    whole, there = (neighbours(asked.model_copy(update={"ratings": (path,)})) for path in paths)
    mine, rest = there.concepts[0].shown, whole.concepts[0].shown
    assert mine is not None and rest is not None
    n = int(gone.sum())
    assert (rest.n_drawn - rest.n_rated, mine.n_drawn, mine.n_rated) == (0, 300, 300 - n)
    doctors = ROWS.filter(pl.col("concept") == "doctor")["gender"]
    truth = float((doctors == "woman").to_numpy().mean())
    of, before = (s.compositions["gender_presentation"] for s in (mine, rest))
    assert of.contrast.value is not None and before.contrast.value is not None
    assert (
        of.contrast.value < before.contrast.value - 0.05
    )  # it is wrong, and says on what it rests
    assert any(f"{n} rows that were drawn and not rated" in a for a in of.contrast.assumptions)
    assert of.bounds.low is not None and of.bounds.high is not None
    assert of.bounds.low < truth < of.bounds.high
    told = " ".join(there.finding)
    assert f"By raters of {300 - n} of 300 pictures drawn" in told
    assert f"{n} of the drawn pictures were not rated (they are gone" in told
    assert "not rated" not in " ".join(whole.finding)


def test_ratings_of_a_machine_that_rounds_otherwise_are_taken(folder: Path, tmp_path: Path) -> None:
    asked = config(folder, concept=("doctor",), sample=150)
    neighbours(asked, QUIET, tmp_path)
    sample = pl.read_parquet(tmp_path / "sample.parquet").sort("similarity", descending=True)
    strata = neighbours(asked).concepts[0].strata
    last = np.cumsum([s.n_rows for s in strata])

    def shifted(by: int) -> str:
        """As if the first boundary lay so many rows farther down."""
        first, second = f"ranks 1 to {last[0] + by}", f"ranks {last[0] + by + 1} to {last[1]}"
        names = {strata[0].name: first, strata[1].name: second}
        sizes = {first: last[0] + by, second: last[1] - last[0] - by}
        moved = sample.with_columns(pl.col("stratum").replace(names))
        size = moved["stratum"].replace_strict(sizes, default=moved["stratum_size"])
        where = tmp_path / f"{by}.parquet"
        return rate(moved.with_columns(stratum_size=size.cast(pl.Int64)), "doctor", where)

    for by in (-1, 1):
        found = neighbours(asked.model_copy(update={"ratings": (shifted(by),)})).concepts[0]
        assert found.strata[0].name == f"ranks 1 to {last[0] + by}"
        assert [s.n_rows for s in found.strata[:2]] == [last[0] + by, last[1] - last[0] - by]
        assert [s.n_rated for s in found.strata] == [s.n_drawn for s in strata]
    with pytest.raises(ConfigError, match="other strata than this run's"):
        neighbours(asked.model_copy(update={"ratings": (shifted(20),)}))


def test_ratings_set_the_threshold_where_captions_cannot(tmp_path: Path) -> None:
    silent = ROWS.with_columns(caption=pl.lit("picture"))
    folder = write_folder(tmp_path / "silent", silent, VECTORS)
    asked = config(folder, concept=("doctor",), sample=400)
    first = neighbours(asked, QUIET, tmp_path)
    assert first.concepts[0].threshold is None
    path = rate(pl.read_parquet(tmp_path / "sample.parquet"), "doctor", tmp_path / "r.parquet")
    doctor = neighbours(asked.model_copy(update={"ratings": (path,)})).concepts[0]
    assert doctor.threshold is not None
    assert doctor.threshold_rule.startswith("set by ratings")
    near = stored(folder) @ query("doctor") >= doctor.threshold
    shows = (ROWS["concept"] == "doctor").to_numpy()
    assert doctor.n_near == near.sum()
    assert (near & shows).sum() > 0.9 * shows.sum()


def test_ratings_that_are_not_of_this_sample_are_refused(folder: Path, tmp_path: Path) -> None:
    asked = config(folder, concept=("doctor",), sample=150)
    neighbours(asked, QUIET, tmp_path)
    sample = pl.read_parquet(tmp_path / "sample.parquet")
    good = rate(sample, "doctor", tmp_path / "good.parquet")

    def refused(message: str, path: str = good, **options: Any) -> None:
        with pytest.raises(ConfigError, match=message):
            neighbours(asked.model_copy(update={"ratings": (path,)} | options))

    refused("other strata than this run's", sample=60)
    refused("other strata than this run's", threshold=0.9)
    refused("give its --sample N too", sample=0)
    refused("rated rows were not drawn by this run", seed=5)
    # as many of each stratum, but picked by hand
    picked = pl.read_parquet(good).with_columns(
        pl.col("picture").replace_strict(
            {p: f"row-{(int(p[4:]) + 1) % len(ROWS)}" for p in pl.read_parquet(good)["picture"]}
        ),
        stratum=pl.lit(None, pl.String),
        stratum_size=pl.lit(None, pl.Int64),
    )
    picked.write_parquet(tmp_path / "picked.parquet")
    refused("rated rows were not drawn|other strata", path=str(tmp_path / "picked.parquet"))
    refused("drawn from all rows", search="index")
    refused("of which concept", concept=("doctor", "nurse"))
    refused("of which concept", path=f"judge={good}")
    elsewhere = rate(sample, "doctor", tmp_path / "a.parquet", picture=sample["picture"] + "0000")
    refused("is none of the 1500 rows here", path=elsewhere)
    unsaid = rate(sample, "doctor", tmp_path / "b.parquet", shows=[None] * len(sample))
    refused("nobody said whether a picture shows", path=unsaid)


# An index


class FakeIndex:
    """An index that misses the second of every ten neighbours."""

    record = None
    notes = ("Made by another tool.",)

    def __init__(self, folder: Path, recall: Any) -> None:
        self._vectors, self.recall = stored(folder), recall

    def search(self, queries: Any, k: int) -> Any:
        cosine = queries @ self._vectors.T
        order = np.argsort(-cosine, axis=1, kind="stable")
        kept = order[:, np.arange(order.shape[1]) % 10 != 1][:, :k]
        return kept.astype(np.int64), np.take_along_axis(cosine, kept, axis=1)


class FakeRecall:
    k = 100
    gap = None

    def __init__(self) -> None:
        self.mean = Estimate(value=0.9, low=0.88, high=0.92, n=4000, units=40, method="fake")
        self.worst_tenth = self.mean.model_copy(update={"value": 0.86, "low": 0.85})
        self.by_group = {"woman": self.mean, "man": self.worst_tenth}
        self.by_query = {"image": self.mean.model_copy(update={"low": 0.84})}
        self.query_kind = self.query_hits = self.query_true = ()


@pytest.mark.parametrize("measured", [True, False])
def test_what_an_index_misses_is_carried_as_a_range(
    folder: Path, monkeypatch: pytest.MonkeyPatch, measured: bool
) -> None:
    index = FakeIndex(folder, FakeRecall() if measured else None)
    monkeypatch.setattr(neighbours_search, "open_index", lambda path, embeddings: index)
    whole = neighbours(config(folder)).concepts[0]
    result = neighbours(config(folder, search="index", k=600))
    doctor = result.concepts[0]
    assert result.searched.kind == "index"
    assert result.n_unreadable is None
    of = doctor.compositions["gender_presentation"]
    assert doctor.n_near == pytest.approx(0.9 * whole.n_near, abs=2)
    assert not doctor.n_near_is_all
    assert doctor.answer.startswith("At least ")
    assert doctor.curves["gender_presentation"].points[-1].n_rows == 600
    if measured:
        share = whole.compositions["gender_presentation"].contrast.value
        missed = doctor.missed["gender_presentation"]
        counts = of.counts
        other = doctor.n_near - counts["woman"] - counts["man"] - counts["unknown"]
        found = Found(counts["woman"], counts["man"], counts["unknown"], "threshold", other)
        assert missed == worst_case(found, 0.84)  # a kind of query fares worse than the tenth
        assert missed.low is not None
        assert missed.high is not None
        assert share is not None
        assert missed.low <= share <= missed.high
        assert result.searched.recall is not None
        assert set(result.searched.recall.by_group) == {"woman", "man"}
        assert "if the index finds 84.0 % of what is near, its gaps allow" in result.finding[0]
        assert "of a single concept the index may find less" in " ".join(result.cannot_say)
        assert "A concept’s query is made of words" in " ".join(result.cannot_say)
    else:
        assert doctor.missed == {}
        assert "Nobody measured what part" in " ".join(result.cannot_say)
        assert "if the index finds" not in " ".join(result.finding)
        assert "Made by another tool." in result.how_measured


def test_the_way_of_searching_is_chosen_by_size_and_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = FakeIndex(folder, None)
    monkeypatch.setattr(neighbours_search, "open_index", lambda path, embeddings: index)
    why = neighbours(config(folder)).searched.why
    assert why.startswith("every one of 1,500 rows was compared: up to 20,000,000")
    monkeypatch.setattr(neighbours_search, "EXACT_ROWS", 1_000)
    none = neighbours(config(folder)).searched
    assert (none.kind, "no index is there" in none.why) == ("exact", True)
    assert neighbours(config(folder, index=str(folder))).searched.kind == "index"
    assert neighbours(config(folder, sample=50)).searched.kind == "exact"
    (folder / "index").mkdir()
    there = neighbours(config(folder)).searched
    (folder / "index").rmdir()
    assert (there.kind, "over 1,000" in there.why) == ("index", True)
    assert neighbours(config(folder, search="exact")).searched.why.endswith("as asked")


# Options


def test_concepts_come_from_words_and_a_file(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "concepts.txt"
    listed.write_text("# professions\nnurse\n\n  a   judge \ndoctor\n", encoding="utf-8")
    asked = config(folder, concept=("doctor", "doctor"), concepts=str(listed))
    assert read_concepts(asked) == ("doctor", "nurse", "a judge")
    with pytest.raises(ConfigError, match="no concept given"):
        read_concepts(config(folder, concept=()))
    with pytest.raises(ConfigError, match="has no letters or digits"):
        read_concepts(config(folder, concept=("!!",)))
    with pytest.raises(ConfigError, match=r"concepts .*none\.txt: No such file"):
        read_concepts(config(folder, concepts=str(tmp_path / "none.txt")))


def test_attributes_that_need_more_than_vectors_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="read by 'colour', which needs more than embeddings"):
        neighbours(config(folder, attributes=("skin_tone_colour",)))
    with pytest.raises(ConfigError, match="no attributes given"):
        neighbours(config(folder, attributes=()))
    assert load_attribute("shows").levels == ("shows", "does not show", "unknown")


def test_the_command_repeats_the_run_and_hashes_its_inputs(folder: Path) -> None:
    run = neighbours(config(folder, k=50)).provenance
    assert run.command == (
        f"laion-probe neighbours {folder.name} --concept doctor nurse --k 50 "
        "--attributes gender_presentation"
    )
    assert [i.kind for i in run.inputs] == ["images", "model"]
    assert run.model == KEY
