"""The rater page of a neighbours run: the sample that it drew, with the pictures fetched."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from laion_probe import cli
from laion_probe.config import AnnotateConfig
from laion_probe.errors import ConfigError
from laion_probe.questions.annotating import annotate, saved
from laion_probe.ratings.labels import Label
from laion_probe.ratings.store import Look
from laion_probe.ratings.table import read_ratings


@pytest.fixture
def run(demo: Path, tmp_path: Path) -> Path:
    """A run's folder as `neighbours --sample` leaves it, and one tar of pictures beside it."""
    (tmp_path / "images").mkdir()
    first = min((demo / "images").glob("*.tar"))
    for path in (first, first.with_suffix(".parquet")):
        shutil.copy(path, tmp_path / "images")
    table = pl.read_parquet(first.with_suffix(".parquet"))
    came = table.filter(pl.col("status") == "success")["url"].head(6).to_list()
    urls = [*came, "http://gone.example/1.jpg", "http://gone.example/2.jpg"]
    rows = pl.DataFrame(
        {
            "concept": ["doctor"] * 8 + ["nurse"] * 8,
            "order": [*range(8)] * 2,
            "picture": [f"row-{i}" for i in range(8)] * 2,
            "source": "data",
            "stratum": ["near"] * 3 + ["far"] * 5 + ["near"] * 8,
            "stratum_size": [9] * 3 + [100] * 5 + [80] * 8,
            "stratum_drawn": [3] * 3 + [5] * 5 + [8] * 8,
            "probability": [3 / 9] * 3 + [0.05] * 5 + [0.1] * 8,
            "row": [*range(8)] * 2,
            "url": urls * 2,
            "text": "",
        }
    )
    folder = tmp_path / "run"
    folder.mkdir()
    rows.write_parquet(folder / "sample.parquet")
    config = {"embeddings": "emb", "k": 10, "attributes": ["gender_presentation"]}
    told = {"config": config, "working_directory": str(tmp_path)}
    (folder / "run.json").write_text(json.dumps(told))
    return folder


def asked(run: Path, **more) -> AnnotateConfig:
    return AnnotateConfig(folder=str(run), **more)


def begun(run: Path, concept: str = "doctor"):
    images = str(run.parent / "images")
    return contextlib.closing(annotate(asked(run, concept=concept, images=images)).store)


def test_what_is_rated_is_what_was_drawn_and_fetched(run):
    session = annotate(asked(run, concept="doctor", images=str(run.parent / "images")))
    with contextlib.closing(session.store) as store:
        assert store.sample["picture"].to_list() == [f"row-{i}" for i in range(6)]
        assert store.sample["probability"].to_list() == pytest.approx([3 / 9] * 3 + [0.05] * 3)
        assert store.sample["stratum_drawn"].to_list() == [3] * 3 + [5] * 3  # those gone too
        assert list(store.levels) == ["shows", "gender_presentation"]
        assert session.attributes[0].title == "shows “doctor”"
        read = session.reader()
        assert read("data", "row-0") != read("data", "row-1")


def test_ratings_are_kept_by_concept_and_gone_on_with(run):
    with begun(run) as store:
        rater = store.begin("ada")
        store.save(rater, 0, Look({"shows": Label("shows")}))
    with begun(run, "nurse") as store:
        assert store.rater_named("ada") is None
    # the pictures' folder is remembered
    with contextlib.closing(annotate(asked(run, concept="doctor")).store) as store:
        assert len(store.looks(store.rater_named("ada"))) == 1
    with contextlib.closing(saved(asked(run, concept="doctor"))) as store:
        assert len(store.looks(store.rater_named("ada"))) == 1


def test_drawn_rows_without_a_picture_are_said(run, monkeypatch, capsys):
    monkeypatch.setattr("laion_probe.web.annotate.serve", lambda app, port, announce: None)
    argv = ["annotate", str(run), "--concept", "doctor", "--images", str(run.parent / "images")]
    assert cli.main([*argv, "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "6 data pictures (2 of the 8 rows that were drawn have no picture there)" in said


def test_exported_ratings_say_what_was_drawn(run, capsys):
    with begun(run) as store:
        rater = store.begin("ada")
        store.save(rater, 2, Look({"shows": Label("does not show")}))
    folder = run.parent / "ratings"
    argv = ["annotate", str(run), "--concept", "doctor", "--export", str(folder)]
    assert cli.main(argv) == 0
    assert "1 ratings by 1 raters" in capsys.readouterr().out
    attributes = annotate(asked(run, concept="doctor")).attributes
    frame = read_ratings(str(folder / "ratings.parquet"), attributes).frame
    row = frame.filter(pl.col("attribute") == "shows").row(0, named=True)
    assert (row["picture"], row["level"], row["stratum"]) == ("row-2", "does not show", "near")
    assert row["probability"] == pytest.approx(1 / 9)  # one of three drawn of nine is rated


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"concept": "doctor"}, "has to be fetched first: `laion-probe fetch"),
        ({}, "samples of doctor, nurse: say which with --concept"),
        ({"concept": "judge"}, "'judge' is none of them"),
        ({"concept": "doctor", "n": 20}, "--n: the sample was drawn by `laion-probe neighbours`"),
    ],
)
def test_what_is_missing_is_said(run, more, words):
    with pytest.raises(ConfigError, match=words):
        annotate(asked(run, **more))


def test_a_run_without_a_sample_and_one_without_pictures(run):
    rows = pl.read_parquet(run / "sample.parquet")
    gone = rows.with_columns(url=pl.lit("http://gone.example/3.jpg"))
    gone.write_parquet(run / "sample.parquet")
    with pytest.raises(ConfigError, match="none of the 8 rows of the sample has a picture"):
        annotate(asked(run, concept="doctor", images=str(run.parent / "images")))
    with pytest.raises(ConfigError, match=r"nothing of .* was rated yet"):
        saved(asked(run, concept="doctor"))
    (run / "sample.parquet").unlink()
    with pytest.raises(ConfigError, match=r"drew no sample.*--sample 300"):
        annotate(asked(run))
