"""Folders of embeddings, in the layouts that others write, and what is said of broken ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from laion_probe import vectors
from laion_probe.errors import ConfigError, SchemaError, ShardError
from laion_probe.vectors import open_embeddings, same_model

DIM = 4


def vectors_of(start: int, n: int, dim: int = DIM) -> np.ndarray:
    """Rows that tell their own number."""
    return (start + np.arange(n)[:, None] + np.arange(dim) / 8).astype(np.float16)


def write(folder, sizes, *, name="img_emb/img_emb_{}.npy", meta="metadata/metadata_{}.parquet"):
    first = 0
    for number, n in enumerate(sizes):
        npy, parquet = folder / name.format(number), folder / meta.format(number)
        npy.parent.mkdir(parents=True, exist_ok=True)
        parquet.parent.mkdir(parents=True, exist_ok=True)
        np.save(npy, vectors_of(first, n))
        rows = [f"https://a.example/{first + i}" for i in range(n)]
        frame = pl.DataFrame({"url": rows, "caption": [f"picture {i}" for i in range(n)]})
        frame.write_parquet(parquet, row_group_size=3)
        first += n
    return folder


class TestLayouts:
    @pytest.mark.parametrize(
        ("name", "meta"),
        [
            ("img_emb/img_emb_{}.npy", "metadata/metadata_{}.parquet"),
            ("img_emb/img_emb_000{}.npy", "metadata/metadata_000{}.parquet"),
            ("images/img_emb_{}.npy", "metadata/metadata_{}.parquet"),
            ("img_emb_{}.npy", "metadata_{}.parquet"),
        ],
        ids=["clip-retrieval", "laion2b", "laion400m", "flat"],
    )
    def test_rows_are_numbered_across_parts(self, tmp_path, name, meta):
        e = open_embeddings(write(tmp_path, [5, 7, 2], name=name, meta=meta))
        assert (e.n_rows, e.dim, e.dtype, e.key) == (14, DIM, "float16", None)
        rows = np.array([13, 0, 5, 11, 5])
        assert (e.vectors(rows)[:, 0] == rows).all()
        table = e.metadata(rows)
        assert table["row"].to_list() == rows.tolist()
        assert table["url"].to_list() == [f"https://a.example/{i}" for i in rows]
        assert e.canonical() == {"url": "url", "text": "caption"}

    def test_ten_parts_are_in_the_order_of_their_numbers(self, tmp_path):
        e = open_embeddings(write(tmp_path, [1] * 12))
        assert (e.vectors(np.arange(12))[:, 0] == np.arange(12)).all()

    def test_blocks_cover_every_row_once(self, tmp_path):
        e = open_embeddings(write(tmp_path, [5, 7, 2]))
        blocks = list(e.blocks(3))
        assert max(len(b) for _, b in blocks) == 3
        assert np.concatenate([b[:, 0] for _, b in blocks]).tolist() == list(range(14))
        assert [start for start, _ in blocks] == [0, 3, 5, 8, 11, 12]

    def test_datacomp_npz(self, tmp_path):
        for number, name in enumerate(["aa", "bb"]):
            np.savez(
                tmp_path / f"{name}.npz",
                b32_img=vectors_of(10 * number, 3),
                l14_img=vectors_of(10 * number, 3, 6),
            )
            pl.DataFrame({"uid": [f"{name}{i}" for i in range(3)]}).write_parquet(
                tmp_path / f"{name}.parquet"
            )
        large, small = open_embeddings(tmp_path), open_embeddings(tmp_path, member="b32_img")
        assert (large.dim, small.dim) == (6, DIM)
        assert small.vectors(np.array([4]))[0, 0] == 11
        assert small.metadata(np.array([4]))["uid"].to_list() == ["bb1"]
        with pytest.raises(ShardError, match=r"aa\.npz.*c64_img"):
            open_embeddings(tmp_path, member="c64_img")

    def test_text_beside_image(self, tmp_path):
        write(tmp_path, [3])
        with pytest.raises(ConfigError, match="no text embeddings"):
            open_embeddings(tmp_path, "text")
        write(tmp_path, [3], name="text_emb/text_emb_{}.npy")
        assert open_embeddings(tmp_path, "text").n_rows == 3

    def test_without_metadata_vectors_are_read_and_rows_are_not(self, tmp_path):
        np.save(tmp_path / "img_emb_0.npy", vectors_of(0, 3))
        e = open_embeddings(tmp_path)
        assert e.vectors(np.array([2]))[0, 0] == 2
        with pytest.raises(ShardError, match="no metadata"):
            e.metadata(np.array([2]))

    def test_fingerprint_is_of_the_content(self, tmp_path):
        a = open_embeddings(write(tmp_path / "a", [4, 4]))
        b = open_embeddings(write(tmp_path / "b", [4, 4]))
        other = open_embeddings(write(tmp_path / "c", [4, 5]))
        assert a.fingerprint() == b.fingerprint() != other.fingerprint()

    def test_a_row_that_is_not_there(self, tmp_path):
        e = open_embeddings(write(tmp_path, [3]))
        for row in (-1, 3):
            with pytest.raises(IndexError):
                e.vectors(np.array([row]))


class TestKey:
    def test_precision_makes_no_other_space(self):
        key = {"model": "m", "pretrained": "", "weights_sha256": "a", "preprocess": "p"}
        assert same_model({**key, "precision": "fp32"}, {**key, "precision": "bf16"})
        for name in key:
            assert not same_model(key, {**key, name: "other"})

    def test_read_and_refused(self, tmp_path):
        write(tmp_path, [3])
        (tmp_path / "key.json").write_text(json.dumps({"model": "m", "weights_sha256": "a"}))
        assert open_embeddings(tmp_path).key == {"model": "m", "weights_sha256": "a"}
        (tmp_path / "key.json").write_text('["m"]')
        with pytest.raises(ShardError, match=r"key\.json"):
            open_embeddings(tmp_path)


class TestBadInput:
    def test_no_folder_and_an_empty_one(self, tmp_path):
        with pytest.raises(ConfigError, match="does not exist"):
            open_embeddings(tmp_path / "none")
        with pytest.raises(ConfigError, match="holds no image embeddings"):
            open_embeddings(tmp_path)

    def test_vectors_and_metadata_of_different_length(self, tmp_path):
        write(tmp_path, [3, 4])
        np.save(tmp_path / "img_emb" / "img_emb_1.npy", vectors_of(3, 5))
        with pytest.raises(SchemaError, match=r"img_emb_1\.npy: 5 vectors.*has 4 rows"):
            open_embeddings(tmp_path)

    def test_parts_of_two_models(self, tmp_path):
        write(tmp_path, [3, 3])
        np.save(tmp_path / "img_emb" / "img_emb_1.npy", vectors_of(3, 3, 8))
        with pytest.raises(SchemaError, match=r"img_emb_1\.npy: vectors of 8 numbers.*has 4"):
            open_embeddings(tmp_path)

    def test_a_file_that_is_cut_off(self, tmp_path):
        write(tmp_path, [300])
        path = tmp_path / "img_emb" / "img_emb_0.npy"
        for n in (0, 5, 400):
            path.write_bytes(path.read_bytes()[:n])
            with pytest.raises(ShardError, match=r"img_emb_0\.npy: not a readable array"):
                open_embeddings(tmp_path)
            write(tmp_path, [300])

    def test_numbers_of_another_kind(self, tmp_path):
        write(tmp_path, [3])
        path = tmp_path / "img_emb" / "img_emb_0.npy"
        for array in (np.zeros((3, 4), np.int8), np.zeros(3, np.float32)):
            np.save(path, array)
            with pytest.raises(ShardError, match="rows of float16 or float32"):
                open_embeddings(tmp_path)

    def test_pickles_are_not_loaded(self, tmp_path):
        write(tmp_path, [3])
        hostile = np.array([[{"a": 1}]] * 3, dtype=object)
        np.save(tmp_path / "img_emb" / "img_emb_0.npy", hostile, allow_pickle=True)
        with pytest.raises(ShardError, match="not a readable array"):
            open_embeddings(tmp_path)

    def test_two_files_that_could_be_the_metadata(self, tmp_path):
        write(tmp_path, [3])
        pl.DataFrame({"url": ["a"] * 3}).write_parquet(tmp_path / "metadata" / "x_00.parquet")
        with pytest.raises(SchemaError, match="could both be its metadata"):
            open_embeddings(tmp_path)

    def test_metadata_that_is_no_parquet(self, tmp_path):
        write(tmp_path, [3])
        (tmp_path / "metadata" / "metadata_0.parquet").write_text("url\n")
        with pytest.raises(ShardError, match=r"metadata_0\.parquet: not readable as parquet"):
            open_embeddings(tmp_path)


def test_metadata_of_large_row_groups_come_in_the_order_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_BATCH", 7)
    (tmp_path / "img_emb").mkdir()
    (tmp_path / "metadata").mkdir()
    np.save(tmp_path / "img_emb" / "img_emb_0.npy", np.ones((100, 4), np.float16))
    table = pl.DataFrame({"number": range(100)})
    table.write_parquet(tmp_path / "metadata" / "metadata_0.parquet", row_group_size=40)
    rows = np.random.default_rng(0).integers(100, size=60)  # some twice
    found = open_embeddings(tmp_path).metadata(rows)
    assert found["number"].to_list() == rows.tolist() == found["row"].to_list()
    assert open_embeddings(tmp_path).metadata(rows[:1])["number"].to_list() == rows[:1].tolist()


def test_vectors_that_were_written_anew_are_read_anew(tmp_path: Path) -> None:
    (tmp_path / "img_emb").mkdir()
    path = tmp_path / "img_emb" / "img_emb_0.npy"
    for number in (1, 2):
        np.save(tmp_path / "new.npy", np.full((3, 4), number, np.float16))
        os.utime(tmp_path / "new.npy", ns=(number, number))
        (tmp_path / "new.npy").replace(path)
        assert (open_embeddings(tmp_path).vectors(np.array([1])) == number).all()
