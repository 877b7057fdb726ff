"""From a probe run to its rater page and back: the sample, what goes wrong, and what stays."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from laion_probe import cli, embed
from laion_probe.attributes import load_attribute
from laion_probe.config import AnnotateConfig
from laion_probe.errors import ConfigError
from laion_probe.questions import annotating
from laion_probe.questions.annotating import Session, annotate, frame_of
from laion_probe.questions.chain import build_chain
from laion_probe.questions.inputs import open_ratings
from laion_probe.questions.measuring import Measured, measure
from laion_probe.questions.raters import panel_of
from laion_probe.ratings.export import export
from laion_probe.ratings.labels import Label
from laion_probe.ratings.store import Look
from laion_probe.ratings.table import RATING_SCHEMA, Ratings

GENDER, SKIN = load_attribute("gender_presentation"), load_attribute("skin_tone")
N = 8


def small_project(demo: Path, root: Path) -> Path:
    """One tar, its shard and forty generated pictures, beside a folder ``runs``."""
    for name in ("images", "shards", "generated/a-photo-of-a-doctor", "runs"):
        (root / name).mkdir(parents=True)
    shutil.copytree(demo / "clip", root / "clip", ignore=shutil.ignore_patterns("known_errors*"))
    for kind in ("tar", "parquet"):
        shutil.copy(min((demo / "images").glob(f"*.{kind}")), root / "images")
    shutil.copy(min((demo / "shards").glob("*.parquet")), root / "shards")
    kept = [f"a-photo-of-a-doctor/{i:05}.webp" for i in range(40)]
    for name in kept:
        shutil.copy(demo / "generated" / name, root / "generated" / name)
    lines = (demo / "generated" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    mine = [line for line in lines if json.loads(line)["file_name"] in kept]
    (root / "generated" / "metadata.jsonl").write_text("\n".join(mine), encoding="utf-8")
    return root


#: As a person types them, in the project's folder.
PROBE = (
    *("probe", "doctor", "--recipe", "laion400m", "--already", "none", "--audit-captions", "0"),
    *("--shards", "shards", "--images", "images", "--generated", "generated", "--show", "1"),
    *("--model", "local-dir:clip", "--quiet", "--out", "runs/doctor"),
)


@pytest.fixture(scope="module")
def project(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = small_project(demo, tmp_path_factory.mktemp("project"))
    with contextlib.chdir(root):
        assert cli.main(PROBE) == 0
    return root


@pytest.fixture(scope="module")
def begun(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with a sample drawn, from elsewhere, by what the probe left cached."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    shutil.copytree(project / "runs" / "doctor", folder)

    def embeds_again(*_: object) -> None:
        raise AssertionError("the run's cache was not used")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        patch.setattr(embed.EmbeddingFolder, "write", embeds_again)
        session = annotate(AnnotateConfig(folder=str(folder), n=N))
        session.store.close()
        assert not (folder.parent / ".cache").exists()
    return folder


@pytest.fixture
def run(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A session of its own for a test; going on must not look at the run again."""

    def measures(*_: object) -> None:
        raise AssertionError("the run was measured again")

    monkeypatch.setattr(annotating, "measure", measures)
    shutil.copytree(begun, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def measured(project: Path) -> Measured:
    return measure(annotating._config_of(project / "runs" / "doctor"))


@contextlib.contextmanager
def opened(run: Path, **options: object) -> Iterator[Session]:
    session = annotate(AnnotateConfig(folder=str(run), **options))
    try:
        yield session
    finally:
        session.store.close()


def rate(run: Path, folder: Path) -> pl.DataFrame:
    """Two raters who agree: every other picture a woman, every third darker. What they said."""
    with opened(run) as session:
        store = session.store
        for name in ("Ann", "Ben"):
            rater = store.begin(name)
            for i in range(store.sample.height):
                tone = 7 if i % 3 == 0 else 3
                gender = Label("woman" if i % 2 else "man")
                skin = Label("darker" if tone > 5 else "lighter", tone)
                labels = {"gender_presentation": gender, "skin_tone": skin}
                store.save(rater, i, Look(labels, 4))
        export(store, folder)
        return store.sample


def says(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a command fails with."""
    assert cli.main(["annotate", *argv, "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("laion-probe: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    return err


def test_the_sample_is_of_pictures_near_the_concept_before_the_recipe(measured: Measured) -> None:
    frame, files = frame_of(measured)
    masks = measured.chain.masks
    data = frame.filter(pl.col("source") == "data")["picture"]
    near = {measured.pool.files[i].id for i in np.flatnonzero(masks["pool"])}
    left = {measured.pool.files[i].id for i in np.flatnonzero(masks["neighbourhood"])}
    assert data.n_unique() == len(data)
    assert set(data) == near
    assert left < near
    generated = frame.filter(pl.col("source") == "generated")["picture"]
    assert sorted(generated) == [f"a-photo-of-a-doctor/{i:05}.webp" for i in range(40)]
    assert {f.id for f in files["data"]} >= near
    read = dict(zip(frame["picture"], frame["stratum"], strict=True))
    for d, of in ((measured.chain.labelled, "data"), (measured.chain.output_labels, "generated")):
        i = int(np.flatnonzero(masks["pool"])[0]) if of == "data" else 0
        words = [d[a.name].attribute.levels[d[a.name].label[i]] for a in (GENDER, SKIN)]
        assert read[files[of][i].id] == ", ".join(words)


def test_a_probe_finds_the_strata_that_raters_pictures_were_drawn_by(
    run: Path, measured: Measured, tmp_path: Path
) -> None:
    sample = rate(run, tmp_path)
    ratings = open_ratings([str(tmp_path / "ratings.parquet")], measured.inputs.attributes)
    config = annotating._config_of(run)

    def chain_of(order: slice) -> dict[str, object]:
        inputs = replace(
            measured.inputs, ratings=ratings, attributes=measured.inputs.attributes[order]
        )
        chain = build_chain(
            inputs, config, measured.ran.scan, measured.pool, measured.concept, measured.outputs
        )
        return {"data": chain.labelled, "generated": chain.output_labels}

    files = {"data": measured.pool.files, "generated": measured.outputs.files}
    drawn = {(r["source"], r["picture"]): r for r in sample.iter_rows(named=True)}
    for source, labelled in chain_of(slice(None)).items():
        panel = labelled["skin_tone"].panel
        rows = np.flatnonzero(panel.level >= 0)
        said = [drawn[source, files[source][i].id] for i in rows]
        assert len({r["picture"] for r in said}) == sum(s == source for s, _ in drawn)
        assert panel.declared
        assert panel.probability[rows].tolist() == [r["probability"] for r in said]
        by_number = set(
            zip(panel.stratum[rows].tolist(), (r["stratum"] for r in said), strict=True)
        )
        assert len(by_number) == len({r["stratum"] for r in said}) > 1
    # Read in another order, they have other names: weights alone undo unequal chances.
    for labelled in chain_of(slice(None, None, -1)).values():
        panel = labelled["skin_tone"].panel
        assert panel.declared
        assert not panel.stratum.any()
        assert len(set(panel.probability[panel.level >= 0])) > 1


def ratings_of(*rows: tuple[str, str, str, str]) -> Ratings:
    """Rows of picture, source, rater, level of gender presentation."""
    rest = (None,) * (len(RATING_SCHEMA) - 5)
    full = [(p, s, r, GENDER.name, level, *rest) for p, s, r, level in rows]
    return Ratings(pl.DataFrame(full, schema=RATING_SCHEMA, orient="row"), len(full))


def test_rows_that_share_a_picture_share_its_rating() -> None:
    ratings = ratings_of(("a", "data", "Ann", "woman"), ("b", "generated", "Ann", "man"))
    panel = panel_of(ratings, GENDER, ["a", "b", "a", "c"], "data", ["x"] * 4)
    assert panel.level.tolist() == [0, -1, 0, -1]
    assert panel_of(ratings, GENDER, ["c"], "data", ["x"]) is None
    assert panel_of(ratings, SKIN, ["a"], "data", ["x"]) is None
    assert panel_of(None, GENDER, ["a"], "data", ["x"]) is None


def test_a_table_without_sources_votes_with_one_that_names_them() -> None:
    votes = [("a", "data", "Ann", "woman"), ("a", "", "Ben", "man"), ("a", "", "Cy", "man")]
    panel = panel_of(ratings_of(*votes), GENDER, ["a", "b"], "data", ["x", "x"])
    assert panel.level.tolist() == [GENDER.levels.index("man"), -1]


def test_a_session_goes_on_without_being_told_how_it_was_drawn(run: Path) -> None:
    with opened(run) as first, opened(run, n=N, seed=0) as second:
        assert first.store.sample.equals(second.store.sample)
        assert [a.name for a in first.attributes] == ["gender_presentation", "skin_tone"]
        read = first.reader()
        for source, picture in first.store.sample.select("source", "picture").rows():
            assert len(read(source, picture)) > 100
    for other in ({"n": 200}, {"seed": 1}, {"n": N, "seed": 2}):
        with pytest.raises(ConfigError, match=f"drawn with --n {N} and --seed 0, which stays"):
            annotate(AnnotateConfig(folder=str(run), **other))


def test_attributes_that_were_asked_for_are_asked_for_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(annotating.__file__).parents[1] / "attributes" / "setting.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace('name = "setting"', 'name = "place"'))
    with opened(run, attributes=("own.toml",)) as session:
        store = session.store
        assert list(store.levels) == ["place"]
        store.save(store.begin("Ann"), 0, Look({"place": Label("indoors")}))
    monkeypatch.chdir("/")
    with opened(run) as session:
        assert [a.name for a in session.attributes] == ["place"]
    own.unlink()
    with pytest.raises(ConfigError, match=r"own\.toml: No such file .* say with --attributes"):
        annotate(AnnotateConfig(folder=str(run)))
    with opened(run, attributes=("skin_tone",)) as session:
        assert list(session.store.levels) == ["place", "skin_tone"]  # what was rated stays


def test_a_project_that_was_moved_as_a_whole_is_found(
    run: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = json.loads((run / "run.json").read_text())
    assert told["config"]["images"] == "images"
    told["working_directory"] = str(tmp_path / "was here")
    (run / "run.json").write_text(json.dumps(told))
    with opened(run) as session:
        with pytest.raises(ConfigError, match="made from cannot be read again: images folder"):
            session.reader()
        monkeypatch.chdir(project)
    with opened(run) as session:
        source, picture = session.store.sample.select("source", "picture").row(0)
        assert len(session.reader()(source, picture)) > 100


def test_a_relative_checkpoint_and_cache_are_those_of_the_run(run: Path, tmp_path: Path) -> None:
    told = json.loads((run / "run.json").read_text())
    told["working_directory"] = str(tmp_path)
    (tmp_path / "weights.pt").touch()
    for weights, cache in (("weights.pt", "kept"), ("openai", None)):
        told["config"] |= {"pretrained": weights, "cache": cache}
        (run / "run.json").write_text(json.dumps(told))
        config = annotating._config_of(run)
        here = str(tmp_path / "weights.pt")
        assert config.pretrained == (here if weights == "weights.pt" else weights)
        assert config.cache == str(tmp_path / (cache or ".cache/laion-probe"))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (None, "does not exist: give the folder that `laion-probe probe` wrote"),
        ("", "is not the folder of a probe run"),
        ("[]", "is not the folder of a probe run"),
        ('{"config": {"shards": []}, "working_directory": "/"}', "the run of another command"),
        ('{"config": {"concept": "x", "y": 1}, "working_directory": "/"}', "unknown key 'y'"),
    ],
)
def test_a_folder_that_is_no_probe_run(
    written: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    if written is not None:
        folder.mkdir()
        (folder / "run.json").write_text(written)
    for more in ([], ["--export", str(tmp_path / "out")]):
        assert told in says(capsys, str(folder), *more)
    assert not (tmp_path / "out").exists()


def test_a_concept_without_pictures_cannot_be_rated(measured: Measured, project: Path) -> None:
    config = annotating._config_of(project / "runs" / "doctor")
    nothing = config.model_copy(update={"concept": "zeppelin hangar"})
    with pytest.raises(ConfigError, match="no picture lies near “zeppelin hangar”: there is"):
        frame_of(measure(nothing))
    words = config.model_copy(update={"images": None, "generated": None})
    with pytest.raises(ConfigError, match="the run of “doctor” had no pictures, only captions"):
        frame_of(measure(words))


def test_ratings_outlive_their_pictures(
    run: Path, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate(run, tmp_path / "before")
    told = json.loads((run / "run.json").read_text())
    told["working_directory"] = str(project)
    some = tmp_path / "some"
    some.mkdir()
    shutil.copy(project / "generated" / "a-photo-of-a-doctor" / "00000.webp", some)
    for generated, words in (
        ("gone", r"generated folder .*gone does not exist"),
        (str(some), r"of the \d+ pictures to rate are no longer there, first a-photo.* put them"),
    ):
        told["config"]["generated"] = generated
        (run / "run.json").write_text(json.dumps(told))
        with pytest.raises(ConfigError, match=words), opened(run) as session:
            session.reader()
        assert "laion-probe: " in says(capsys, str(run))
    (run / "run.json").unlink()
    assert cli.main(["annotate", str(run), "--export", str(tmp_path / "after")]) == 0
    files = [(tmp_path / f / "ratings.csv").read_bytes() for f in ("before", "after")]
    assert files[0] == files[1]


def test_what_stands_in_the_way_of_an_export(
    project: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unrated = str(project / "runs" / "doctor")
    told = says(capsys, unrated, "--export", str(tmp_path / "out"))
    assert f"nothing of {unrated} was rated yet: `laion-probe annotate {unrated}`" in told
    file = tmp_path / "file.csv"
    file.write_text("mine")
    assert "give a folder that you may write to" in says(capsys, str(run), "--export", str(file))
    assert file.read_text() == "mine"


def test_a_spreadsheet_is_taken_in_whole_or_not_at_all(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(run) as session:
        source, picture = session.store.sample.select("source", "picture").row(0)
    table = tmp_path / "sheet.csv"

    def take_in(header: str, *rows: str) -> list[str]:
        table.write_text("\n".join([header, *rows]))
        return [str(run), "--import-ratings", str(table)]

    names = "picture,source,rater,gender_presentation"
    argv = take_in(names, f"{picture},{source},Ann,woman", f"{picture},{source},Ben,wman")
    assert "1 row cannot be read: row 3: 'wman' is no level: write woman, man" in says(
        capsys, *argv
    )
    argv = take_in(names, f"{picture},{source},Ann,woman", "another.jpg,data,Ann,woman")
    assert "picture another.jpg was not drawn. Nothing was taken in" in says(capsys, *argv)
    assert "do not exist" in says(capsys, str(run), "--import-ratings", str(tmp_path / "none.csv"))
    argv = take_in(f"{names},skin_tones", f"{picture},{source},Ann,woman,darker")
    assert cli.main(["annotate", *argv, "--quiet"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "taken in: 1 rating, each of one picture by one rater"
    assert said[1].startswith("not read: the columns skin_tones, which name no attribute that is")
    argv = take_in(f"{names},skin_tone", f"{picture},{source},Ann,woman,darker")
    assert cli.main(["annotate", *argv, "--export", str(tmp_path / "out"), "--quiet"]) == 0
    assert "not read" not in (said := capsys.readouterr().out)
    assert "1 ratings by 1 raters" in said
    row = pl.read_csv(tmp_path / "out" / "ratings.csv").row(0, named=True)
    assert (row["gender_presentation"], row["skin_tone"]) == ("woman", "darker")


def test_what_can_be_said_before_the_run_is_opened(
    project: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The fixture of ``run`` fails the test where a run is measured.
    unrated = str(project / "runs" / "doctor")
    assert "guidance " in says(capsys, unrated, "--guidance", str(tmp_path / "none.txt"))
    assert "unknown attribute 'skin'" in says(capsys, unrated, "--attributes", "skin")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} cannot be used" in says(capsys, str(run), "--port", port)
