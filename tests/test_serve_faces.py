"""What the check for faces gets right and wrong on the demo's drawings: docs/ethics.md has it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fake_serving import demo_folder

from laion_probe.embed import load_embedder
from laion_probe.questions.face_queries import FACE_PROMPTS, OTHER_PROMPTS, face_margins
from laion_probe.vectors import open_embeddings

NO_PERSON = ("thing", "near_miss")


@pytest.fixture(scope="module")
def refused(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """A row a picture of the demo's first two tars: what it is of, and whether it is refused."""
    folder = demo_folder(demo, tmp_path_factory)
    embeddings = open_embeddings(folder)
    rows = np.arange(embeddings.n_rows)
    embedder = load_embedder(f"local-dir:{demo / 'clip'}", None)
    margins = face_margins(embedder, embeddings.vectors(rows))
    truth = pl.read_parquet(demo / "truth.parquet").filter(kind="pool").unique("url")
    frame = embeddings.metadata(rows, ["url"]).with_columns(refused=pl.Series(margins > 0))
    return frame.join(truth.select("url", "concept", "tone"), on="url")


def share(frame: pl.DataFrame, **where: str) -> float:
    return float(frame.filter(**where)["refused"].mean())  # type: ignore[arg-type]


def test_most_portraits_are_refused_and_things_are_not(refused: pl.DataFrame) -> None:
    assert share(refused, concept="person") >= 0.9
    things = refused.filter(pl.col("concept").is_in(NO_PERSON))
    assert things.height > 150
    assert share(things) <= 0.02


def test_what_the_page_on_ethics_says_of_its_errors_is_so(refused: pl.DataFrame) -> None:
    text = (Path(__file__).parent.parent / "docs" / "ethics.md").read_text(encoding="utf-8")
    said = {name: int(n) for name, n in re.findall(r"^\| ([a-z ,-]+) \| (\d+) % \|", text, re.M)}
    portraits = refused.filter(concept="person")
    at_work = refused.filter(~pl.col("concept").is_in([*NO_PERSON, "person"]))
    tones = {
        "darker": ("medium-dark", "dark"),
        "medium": ("medium",),
        "lighter": ("light", "medium-light"),
    }
    found = {
        "portraits": portraits,
        "people at work": at_work,
        "things": refused.filter(pl.col("concept").is_in(NO_PERSON)),
    }
    for name, levels in tones.items():
        some = pl.col("tone").is_in(levels)
        found[f"people at work, {name} tones"] = at_work.filter(some)
        if name != "medium":  # a dozen portraits are too few for a share
            found[f"portraits, {name} tones"] = portraits.filter(some)
    assert said.keys() == found.keys()
    for name, frame in found.items():
        # the page is of all pictures, these are a fifth of them: three standard errors
        p = said[name] / 100
        error = 3 * np.sqrt(p * (1 - p) / frame.height)
        assert share(frame) == pytest.approx(p, abs=error + 0.01), name


def test_the_prompts_of_a_face_do_not_name_a_scene() -> None:
    assert not set(FACE_PROMPTS) & set(OTHER_PROMPTS)
    assert "a close-up photo of a person's face" in FACE_PROMPTS
