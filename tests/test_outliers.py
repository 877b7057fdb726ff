"""``outliers`` on a small world: a cluster without captions is drawn unasked, and bad inputs."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fake_neighbours import DIM, KEY, FakeEmbedder, direction, write_folder
from PIL import Image

from laion_probe.config import OutliersConfig
from laion_probe.embed import Vectors
from laion_probe.errors import ConfigError, EmbedderMismatch, NotEnoughData, ShardError, UnknownName
from laion_probe.outliers_result import OutliersResult
from laion_probe.questions import outliers_inputs
from laion_probe.questions.outliers import neighbourhood_size, outliers
from laion_probe.questions.outliers_along import read_tags

THINGS = (
    *("balloon", "horse", "doctor", "nurse", "tractor", "piano", "bridge", "apple", "boat", "lamp"),
    *("cat", "rose", "train", "guitar", "mountain", "bread", "clock", "shirt", "bench", "globe"),
)
EACH = 75
PROMPT = "a photo of a doctor"
QUIET: Any = lambda what, done, of: None  # noqa: E731


def near(word: str, n: int, seed: int) -> np.ndarray[Any, Any]:
    """Vectors of pictures that show the thing."""
    rng = np.random.default_rng(zlib.crc32(word.encode()) + seed)
    v = direction(word) + 0.09 * rng.normal(size=(n, DIM))
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True), np.float32)


def training() -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
    """Rows of twenty things alike in number; most balloons have no caption."""
    rng = np.random.default_rng(7)
    captions, vectors = [], []
    for thing in THINGS:
        bare = rng.random(EACH) < (0.7 if thing == "balloon" else 0.05)
        with_pen = rng.random(EACH) < (0.5 if thing == "doctor" else 0.02)
        for b, pen in zip(bare, with_pen, strict=True):
            said = f"a {thing} seen in the morning" + (" with a stethoscope" if pen else "")
            captions.append("" if b else said)
        v = near(thing, EACH, 0)
        v[with_pen] += 0.6 * direction("stethoscope")
        vectors.append(v)
    return pl.DataFrame({"caption": captions}), np.concatenate(vectors)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("data") / "emb", *training(), (700, 800))
    (folder / "DATA_NOTE.txt").write_text("Made up for a test.")
    return folder


def write_outputs(folder: Path, shows: list[str], **columns: list[Any]) -> Path:
    """Pictures in several sizes and formats; what each shows is in its name, for the model."""
    folder.mkdir(parents=True)
    rows = []
    for i, thing in enumerate(shows):
        suffix = ("png", "jpg", "webp")[i % 3]
        name = f"{thing}-{i:03}.{suffix}"
        Image.new("RGB", (8 + i % 5, 8), (i % 256, len(thing) * 9, 40)).save(folder / name)
        rows.append({"file_name": name} | {k: v[i] for k, v in columns.items()})
    if columns:
        text = "\n".join(json.dumps(r) for r in rows)
        (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 outputs of the empty prompt, 40 of them balloons; 30 of a doctor without stethoscopes."""
    rng = np.random.default_rng(3)
    empty = ["balloon"] * 40 + [str(rng.choice(THINGS[1:])) for _ in range(20)]
    return write_outputs(
        tmp_path_factory.mktemp("generated") / "out",
        [*empty, *["doctor"] * 30],
        prompt=[""] * 60 + [PROMPT] * 30,
        batch=[i // 2 for i in range(90)],
        generator=["a test"] * 90,
    )


def fake_embed(parts: Any, embedder: Any, folder: Path, progress: Any = None) -> Vectors:
    """The thing that a file is named after; a file named broken cannot be read."""
    ids = [f.id for part in parts for f in part.files]
    errors = ["not a picture" if i.startswith("broken") else "" for i in ids]
    v = [
        np.zeros((1, DIM), np.float32)
        if error
        else near(i.partition("-")[0], 1, 0 if i.startswith("same") else 1 + zlib.crc32(i.encode()))
        for i, error in zip(ids, errors, strict=True)
    ]
    empty = [""] * len(ids)
    rows = {"id": ids, "caption": empty, "url": empty, "error": errors}
    return Vectors(np.concatenate(v), pl.DataFrame(rows))


@pytest.fixture(autouse=True)
def _fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outliers_inputs, "load_embedder", lambda model, tag: FakeEmbedder())
    monkeypatch.setattr(outliers_inputs, "embed_all", fake_embed)


def ask(outputs: Path, of: Path, /, folder: Path | None = None, **options: Any) -> OutliersResult:
    given = {"generated": str(outputs), "data": str(of), "seeds": 2, "attributes": ()}
    config = OutliersConfig(**(given | {"neighbourhood": 60} | options))
    return outliers(config, QUIET, folder)


@pytest.fixture(scope="module")
def result(generated: Path, data: Path) -> OutliersResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outliers_inputs, "load_embedder", lambda model, tag: FakeEmbedder())
        patch.setattr(outliers_inputs, "embed_all", fake_embed)
        return ask(generated, data, attributes=("gender_presentation",))


# What is found


def test_what_is_drawn_unasked_comes_first(result: OutliersResult) -> None:
    first = result.clusters[0]
    assert result.prompt == "" and result.n_outputs == 60 and result.n_batches == 30
    assert first.n_outputs == 40 and first.over_represented
    assert first.stability == 1 and first.n_seeds == 2
    assert first.words[0].word == "balloon"
    assert result.n_data == len(THINGS) * EACH


def test_only_what_was_planted_is_supported(result: OutliersResult) -> None:
    (weighed,) = result.clusters[0].weighed
    verdicts = {e.kind: e.verdict for e in weighed.explanations}
    assert verdicts["no-caption"] == "supported"
    assert [kind for kind, v in verdicts.items() if v == "supported"] == ["no-caption"]


def test_the_finding_is_the_missing_conditioning(result: OutliersResult) -> None:
    first = result.finding[0]
    assert first.startswith("With the prompt left empty, 66.7 % [")
    assert "unprompted over-representation" in first and "of 60 outputs" in first
    assert "not itself the finding" in result.finding[1]
    assert "no caption at all (" in result.finding[2]
    # no row has a short caption: that is no contrast that was measured and found small
    assert "Contradicted" not in result.finding[3]
    assert "sets nothing apart: short captions; captions not called" in result.finding[3]
    assert "association" in result.finding[4]
    assert "balloon" not in " ".join(result.finding)
    assert any("laion-probe testbed" in words for words in result.would_need)


def test_pictures_are_picked_by_rule(result: OutliersResult) -> None:
    sets = {s.id: s for s in result.clusters[0].pictures}
    assert set(sets) == {"medoids", "outputs-random", "training-nearest"}
    assert sets["medoids"].n_average == 40
    assert sets["medoids"].average.startswith("data:image/webp")
    assert all(p.image for p in sets["medoids"].pictures)
    # only vectors of the data were given: no picture of theirs can be shown
    nearest = sets["training-nearest"].pictures
    assert not any(p.image for p in nearest) and sets["training-nearest"].average == ""
    assert all(p.id.startswith("id-") and p.caption in ("", BALLOON) for p in nearest)
    assert nearest[0].similarity == max(p.similarity or 0 for p in nearest)


BALLOON = "a balloon seen in the morning"


def test_both_sides_are_read_and_called_what_they_are(result: OutliersResult) -> None:
    sides = result.clusters[0].compositions
    outputs, of_data = (sides[side]["gender_presentation"] for side in ("outputs", "data"))
    assert sum(outputs.counts.values()) == 40 and sum(of_data.counts.values()) == 60
    assert outputs.labels == of_data.labels == "uncorrected classifier labels"
    assert "batch" in " ".join(outputs.shares["woman"].assumptions)
    assert any("how often the classifier" in words.lower() for words in result.cannot_say)


def test_the_same_run_gives_the_same_bytes(
    result: OutliersResult, generated: Path, data: Path, tmp_path: Path
) -> None:
    again = ask(generated, data, attributes=("gender_presentation",), folder=tmp_path / "run")
    assert again.to_json() == result.to_json()
    assert OutliersResult.from_json(result.to_json()) == result
    assert str(generated.parent) not in result.to_json()
    assert result.data_note == "Made up for a test."
    table = pl.read_parquet(tmp_path / "run" / "outputs.parquet")
    assert len(table) == 60 and (table["cluster"] == "cluster 1").sum() == 40
    balloons = table.filter(pl.col("cluster") == "cluster 1")["nearest_row"]
    assert balloons.is_between(0, EACH - 1).all()


def test_a_prompt_brings_things_along(generated: Path, data: Path) -> None:
    found = ask(generated, data, prompt=PROMPT)
    brought = {(b.kind, b.what): b for b in found.brought}
    word, tag = brought["word", "stethoscope"], brought["tag", "stethoscope"]
    assert word.lift.low is not None and word.lift.low > 2 and word.outputs is None
    assert not any(what == "doctor" for _, what in brought)
    assert tag.lift.low is not None and tag.lift.low > 2
    assert tag.outputs is not None and tag.outputs.value == 0
    assert tag.difference is not None and tag.difference.high is not None
    assert tag.difference.high < 0
    assert found.prompt == PROMPT and "unprompted" not in " ".join(found.finding)
    told = " ".join(found.finding)
    assert "the concept brings along" in told and "by uncorrected classifier labels" in told


def test_things_that_no_caption_confirms_are_left_out(
    generated: Path, data: Path, tmp_path: Path
) -> None:
    tags = tmp_path / "tags.txt"
    tags.write_text("# mine\nunicorn\nstethoscope\n\n", encoding="utf-8")
    found = ask(generated, data, prompt=PROMPT, tags=str(tags))
    assert {b.what for b in found.brought if b.kind == "tag"} == {"stethoscope"}
    assert any("Of 2 things on the list" in words for words in found.how_measured)


def test_a_generator_like_its_data_has_no_finding(data: Path, tmp_path: Path) -> None:
    alike = write_outputs(tmp_path / "alike", [THINGS[i % 20] for i in range(120)])
    found = ask(alike, data)
    assert not any(c.over_represented for c in found.clusters)
    assert found.prompt is None and len(found.clusters) == 1
    assert "these data cannot tell" in found.finding[0]
    assert found.clusters[0].weighed == ()
    assert any("batch of its own" in " ".join(words.split()) for words in found.cannot_say)


def test_recipes_that_agree_share_a_sentence(generated: Path, data: Path) -> None:
    found = ask(generated, data, recipe=("none", "laion5b-en"), already="none")
    assert [w.recipe for w in found.clusters[0].weighed] == ["none", "laion5b-en"]
    (said,) = (s for s in found.finding if "supported by these data" in s)
    assert said.startswith("With “none” (the rows as given), supported by these data: no caption")
    assert said.endswith("With “laion5b-en”: none of the explanations weighed.")


def test_the_data_of_an_earlier_run_are_found(generated: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "doctor"
    run.mkdir(parents=True)
    told = {"embeddings": data.name, "already": "none"}
    where = str(data.parent)
    (run / "run.json").write_text(json.dumps({"config": told, "working_directory": where}))
    found = ask(generated, run)
    assert found.clusters[0].n_outputs == 40
    assert any("those of the run doctor, which also gave: already" in w for w in found.how_measured)
    (run / "run.json").write_text(json.dumps({"config": {}, "working_directory": where}))
    with pytest.raises(ConfigError, match="read no pictures and no embeddings"):
        ask(generated, run)


@pytest.mark.parametrize(
    ("cluster", "rows", "size"), [(300, 4_000, 200), (20, 10**6, 50), (10**5, 10**6, 2_000)]
)
def test_a_neighbourhood_leaves_room_for_others(cluster: int, rows: int, size: int) -> None:
    assert neighbourhood_size(cluster, rows) == size


def test_the_shipped_things_are_words_for_no_person() -> None:
    tags = read_tags(None)
    assert len(tags) == len(set(tags)) > 100
    people = {"man", "woman", "person", "people", "child", "doctor", "nurse"}
    assert not people & {word for tag in tags for word in tag.split()}


# Bad input


def test_three_outputs_are_too_few(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="3 outputs can be used, too few"):
        ask(write_outputs(tmp_path / "three", ["balloon"] * 3), data)


def test_outputs_all_alike_say_what_one_does(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(parts: Any, *_: Any) -> Vectors:
        of = fake_embed(parts, None, tmp_path)
        return Vectors(np.repeat(of.image[:1], len(of.rows), axis=0), of.rows)

    monkeypatch.setattr(outliers_inputs, "embed_all", one)
    with pytest.raises(NotEnoughData, match="all 50 outputs are one and the same picture"):
        ask(write_outputs(tmp_path / "same", ["balloon"] * 50), data)


def test_copies_count_in_one_batch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(parts: Any, *_: Any) -> Vectors:
        of = fake_embed(parts, None, tmp_path)
        image = of.image.copy()
        image[:30] = image[0]
        return Vectors(image, of.rows)

    monkeypatch.setattr(outliers_inputs, "embed_all", half)
    found = ask(write_outputs(tmp_path / "half", ["balloon"] * 60), data)
    assert found.n_outputs == 60 and found.n_batches == 31
    assert any("29 outputs are copies" in words for words in found.cannot_say)


def test_outputs_of_other_things_have_no_neighbours(data: Path, tmp_path: Path) -> None:
    other = write_outputs(tmp_path / "other", ["zeppelin"] * 30)
    with pytest.raises(NotEnoughData, match="30 of 30 outputs have no training neighbours"):
        ask(other, data)


def test_embeddings_of_another_model_are_refused(generated: Path, tmp_path: Path) -> None:
    rows, vectors = training()
    other = write_folder(tmp_path / "emb", rows, vectors, key={**KEY, "weights_sha256": "0" * 64})
    with pytest.raises(EmbedderMismatch, match="weights 000000000000"):
        ask(generated, other)


def test_embeddings_without_a_key_are_said_to_be_so(generated: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "emb", *training(), key=None)
    found = ask(generated, other)
    assert any("No key lies beside the embeddings" in words for words in found.cannot_say)


def test_unreadable_outputs_are_counted_or_refused(data: Path, tmp_path: Path) -> None:
    shows = ["broken"] * 2 + ["balloon"] * 60
    folder = write_outputs(tmp_path / "some", shows)
    with pytest.raises(ShardError, match="2 of 62 generated pictures cannot be used"):
        ask(folder, data)
    found = ask(folder, data, max_failed_share=0.05)
    assert found.n_unreadable == 2 and found.n_outputs == 60


def test_an_unknown_prompt_lists_those_there_are(generated: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="there are '', 'a photo of a doctor'"):
        ask(generated, data, prompt="a photo of a docter")


def test_an_unknown_recipe_names_the_nearest(generated: Path, data: Path) -> None:
    with pytest.raises(UnknownName, match="dalle-mini"):
        ask(generated, data, recipe=("dale-mini",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": None}, "no training data to compare with: give --data"),
        ({"generated": None}, "no generated pictures: give their folder"),
        ({"data": "nowhere"}, "training data nowhere: no such folder"),
        ({"generated": "nowhere"}, "nowhere"),
        ({"recipe": ("none", "none")}, "each once"),
        ({"attributes": ("skin_tone", "skin_tone")}, "named twice"),
        ({"attributes": ("gender_caption",)}, "needs more than embeddings"),
        ({"tags": "gone.txt", "prompt": PROMPT}, "tags gone.txt"),
    ],
)
def test_what_is_asked_for_is_checked(
    generated: Path, data: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ask(generated, data, **options)


def test_an_empty_folder_holds_no_pictures(data: Path, generated: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no pictures"):
        ask(tmp_path / "empty", data)
    with pytest.raises(ConfigError, match="holds no pictures"):
        ask(generated, tmp_path / "empty")


def test_without_the_demo_both_inputs_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no generated pictures given"):
        outliers(OutliersConfig())


def test_other_clusters_are_weighed_when_they_are_asked_for(generated: Path, data: Path) -> None:
    found = ask(generated, data, others=True)
    extra = [c for c in found.clusters if not c.over_represented]
    assert extra and all(c.weighed for c in extra)
    told = next(s for s in found.finding if s.startswith("Asked for (--others)"))
    assert all(c.name in told for c in extra) and "not surely drawn more often" in told


def test_a_prompt_where_none_are_noted_says_what_to_do(data: Path, tmp_path: Path) -> None:
    bare = write_outputs(tmp_path / "bare", ["balloon"] * 20)
    with pytest.raises(ConfigError, match="leave --prompt out to take them all"):
        ask(bare, data, prompt="")


def test_downloads_are_not_taken_for_outputs(data: Path, tmp_path: Path) -> None:
    downloads = write_outputs(tmp_path / "images", ["balloon"] * 20)
    (downloads / "00000_stats.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="img2dataset's output"):
        ask(downloads, data)


# What somebody noticed


def test_picked_outputs_are_explained_first_and_not_tested(
    generated: Path, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ask(generated, data, run)
    table = pl.read_parquet(run / "outputs.parquet")
    noticed = table.filter(pl.col("cluster") == "cluster 1")["file_name"].to_list()[:12]
    names = tmp_path / "noticed.txt"
    names.write_text("\n".join(noticed) + "\n", encoding="utf-8")
    found = ask(generated, data, tmp_path / "again", picked=str(names))
    first, second = found.clusters[:2]
    assert (first.name, first.n_outputs, first.picked) == ("the picked outputs", 12, True)
    marked = pl.read_parquet(tmp_path / "again" / "outputs.parquet").filter("picked")
    assert sorted(marked["file_name"]) == sorted(noticed) and not table["picked"].any()
    assert not first.over_represented and first.n_seeds == 0
    assert second.over_represented and not second.picked
    # the balloons that lie nearer to these than to the 28 other outputs that show one
    assert 0 < first.n_data < EACH
    verdicts = {e.kind: e.verdict for e in first.weighed[0].explanations}
    assert verdicts["no-caption"] == "supported"
    assert found.finding[0].startswith("12 of 60 outputs were picked")
    assert (
        first.alike is not None
        and first.alike > 0.98
        and "hardly more alike" not in found.finding[1]
    )


def test_picked_outputs_that_have_nothing_in_common_are_called_so(
    generated: Path, data: Path, tmp_path: Path
) -> None:
    things = sorted(
        p.name for p in generated.iterdir() if p.stem[-3:] < "060" and p.suffix != ".jsonl"
    )
    names = tmp_path / "noticed.txt"
    mixed = np.random.default_rng(0).choice(things, 15, replace=False)
    names.write_text("\n".join(mixed) + "\n", encoding="utf-8")
    found = ask(generated, data, picked=str(names))
    alike = found.clusters[0].alike
    assert alike is not None and alike < 0.975
    assert "hardly more alike than 15 outputs drawn at random" in found.finding[1]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("nobody.png\n", ConfigError, "'nobody.png' (1 of 1 names) is not among the 60"),
        ("\n", NotEnoughData, "0 outputs, too few"),
        (None, ConfigError, "give a text file"),
    ],
)
def test_picked_outputs_must_be_there(
    text: str | None,
    error: type[Exception],
    says: str,
    generated: Path,
    data: Path,
    tmp_path: Path,
) -> None:
    names = tmp_path / "noticed.txt"
    if text is not None:
        names.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=re.escape(says)):
        ask(generated, data, picked=str(names))
