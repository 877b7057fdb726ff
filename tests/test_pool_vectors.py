"""A probe on embeddings that others made: with pictures, without, and of the wrong rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from laion_probe.config import EmbedConfig, ProbeConfig
from laion_probe.errors import ConfigError, EmbedderMismatch, SchemaError
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.annotating import frame_of
from laion_probe.questions.embedding import embed
from laion_probe.questions.measuring import measure
from laion_probe.questions.probe import probe


@pytest.fixture(scope="module")
def project(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tars and their shards, and embeddings of the tars in a folder ``emb``."""
    root = tmp_path_factory.mktemp("project")
    for name in ("images", "shards"):
        (root / name).mkdir()
    shutil.copytree(demo / "clip", root / "clip")
    for tar in sorted((demo / "images").glob("*.tar"))[:2]:
        for path in (tar, tar.with_suffix(".parquet")):
            shutil.copy(path, root / "images")
    for shard in sorted((demo / "shards").glob("*.parquet"))[:2]:
        shutil.copy(shard, root / "shards")
    model = f"local-dir:{root / 'clip'}"
    embed(EmbedConfig(sources=(str(root / "images"),), out=str(root / "emb"), model=model))
    return root


def ask(project: Path, tmp_path: Path, **more: str | None) -> ProbeResult:
    given = {"embeddings": str(project / "emb"), "images": None, **more}
    return probe(
        ProbeConfig(
            concept="doctor",
            shards=(str(project / "shards"),),
            already="none",
            model=f"local-dir:{project / 'clip'}",
            cache=str(tmp_path / "cache"),
            audit_captions=0,
            show=2,
            **given,
        )
    )


def copied(project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(project / "emb", tmp_path / "emb"))


def test_embeddings_alone_give_what_their_pictures_give(project, tmp_path):
    alone = ask(project, tmp_path)
    both = ask(project, tmp_path, images=str(project / "images"))
    pictures = ask(project, tmp_path, images=str(project / "images"), embeddings=None)
    assert pictures.concept.n_neighbours > 20
    for found in (alone, both):
        assert found.concept == pictures.concept
        assert found.stage("pool").compositions == pictures.stage("pool").compositions
    assert not any(p.image for s in alone.pictures for p in s.pictures)
    assert all(p.image for s in both.pictures for p in s.pictures)
    assert any("emb" in line and "found by URL" in line for line in alone.how_measured)
    kinds = [record.kind for record in alone.provenance.inputs]
    assert "embeddings" in kinds
    assert "images" not in kinds


def test_rows_that_others_embedded_are_found_by_url(project, tmp_path):
    """Half of the rows, in another order, without a key: as another tool would leave them."""
    folder = copied(project, tmp_path)
    (folder / "key.json").unlink()
    for npy in (folder / "img_emb").glob("*.npy"):
        meta = (
            folder / "metadata" / npy.name.replace("img_emb", "metadata").replace("npy", "parquet")
        )
        table, vectors = pl.read_parquet(meta), np.load(npy)
        order = np.random.default_rng(0).permutation(len(table))[: len(table) // 2]
        np.save(npy, vectors[order])
        table[order].select("url", "caption").write_parquet(meta)
    everything, half = ask(project, tmp_path), ask(project, tmp_path, embeddings=str(folder))
    ratio = half.concept.n_pictures / everything.concept.n_pictures
    assert 0.4 < ratio < 0.6
    note = next(line for line in half.how_measured if "found by URL" in line)
    assert "No key lies beside the embeddings" in note
    pictures = str(project / "images")
    with_pictures = ask(project, tmp_path, embeddings=str(folder), images=pictures)
    assert with_pictures.concept.n_pictures == half.concept.n_pictures
    assert {"embeddings", "images"} <= {r.kind for r in with_pictures.provenance.inputs}
    note = next(line for line in with_pictures.how_measured if "found by URL" in line)
    assert "pictures that were downloaded have no embedding there: left out" in note


def test_embeddings_alone_cannot_be_rated(project, tmp_path):
    config = ProbeConfig(
        concept="doctor",
        shards=(str(project / "shards"),),
        model=f"local-dir:{project / 'clip'}",
        embeddings=str(project / "emb"),
    )
    with pytest.raises(ConfigError, match="had embeddings, not pictures"):
        frame_of(measure(config))


def test_what_cannot_be_joined_is_said(project, tmp_path):
    with pytest.raises(ConfigError, match="none does not exist"):
        ask(project, tmp_path, embeddings=str(tmp_path / "none"))
    folder = copied(project, tmp_path)
    tables = {path: pl.read_parquet(path) for path in (folder / "metadata").glob("*.parquet")}
    for path, table in tables.items():
        table.with_columns(url=pl.lit("http://elsewhere.example/")).write_parquet(path)
    with pytest.raises(ConfigError, match="has the URL of a row of the shards"):
        ask(project, tmp_path, embeddings=str(folder))
    for path, table in tables.items():
        table.drop("url").write_parquet(path)
    with pytest.raises(SchemaError, match="no column of URLs"):
        ask(project, tmp_path, embeddings=str(folder))
    key = folder / "key.json"
    key.write_text(key.read_text().replace('"weights_sha256": "', '"weights_sha256": "0'))
    with pytest.raises(EmbedderMismatch, match="give that model with --model"):
        ask(project, tmp_path, embeddings=str(folder))
