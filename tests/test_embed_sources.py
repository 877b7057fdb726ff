"""Where pictures to embed may lie, pictures that cannot be read, and what is refused by name."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import DEMO
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from laion_probe.config import EmbedConfig
from laion_probe.embed import Embedder, decode, load_embedder
from laion_probe.errors import ConfigError, LaionProbeError, ShardError
from laion_probe.pictures import list_picture_shards
from laion_probe.questions import embedding
from laion_probe.questions.embedding import Embedded, embed
from laion_probe.vectors import open_embeddings

N = 6


@pytest.fixture(scope="module")
def model() -> Embedder:
    return load_embedder(f"local-dir:{DEMO / 'clip'}", None)


@pytest.fixture(autouse=True)
def _one_load(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "load_embedder", lambda *asked: model)


def run(source: Path | str, out: Path, **options: object) -> Embedded:
    return embed(EmbedConfig.model_validate({"sources": (str(source),), "out": str(out)} | options))


def encoded(picture: Image.Image, kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures() -> pl.DataFrame:
    """A few of the demo's: key, caption, url, punsafe and, whatever their format, jpg."""
    table = pl.read_parquet(DEMO / "images" / "00000.parquet")
    with tarfile.open(DEMO / "images" / "00000.tar") as tar:
        names = [n for n in tar.getnames() if n.endswith(".webp")][:N]
        data = [tar.extractfile(n).read() for n in names]  # type: ignore[union-attr]
    come = pl.DataFrame({"key": [Path(n).stem for n in names], "jpg": data})
    return come.join(table.select("key", "caption", "url"), on="key").with_columns(
        punsafe=pl.Series(np.linspace(0, 1, N), dtype=pl.Float32)
    )


def put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def tar_of(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def img2dataset(rows: pl.DataFrame, root: Path) -> Path:
    tar_of(root / "00000.tar", [(f"{r['key']}.jpg", r["jpg"]) for r in rows.to_dicts()])
    rows.drop("jpg").write_parquet(root / "00000.parquet")
    return root


def webdataset(rows: pl.DataFrame, root: Path) -> Path:
    members = []
    for r in rows.to_dicts():
        notes = json.dumps({"url": r["url"], "punsafe": r["punsafe"]}).encode()
        members += [(f"{r['key']}.json", notes), (f"{r['key']}.jpg", r["jpg"])]
        members.append((f"{r['key']}.txt", r["caption"].encode()))
    return tar_of(root / "any-name.tar", members)


def img2dataset_files(rows: pl.DataFrame, root: Path) -> Path:
    for r in rows.to_dicts():
        put(root / "00000" / f"{r['key']}.jpg", r["jpg"])
    rows.drop("jpg").write_parquet(root / "00000.parquet")
    return root


def img2dataset_parquet(rows: pl.DataFrame, root: Path) -> Path:
    lost = rows.head(1).with_columns(jpg=None, key=pl.lit("lost"), status=pl.lit("failed"))
    both = pl.concat([rows.with_columns(status=pl.lit("success")), lost], how="diagonal_relaxed")
    both.write_parquet(root / "00000.parquet")
    return root


def hugging_face(rows: pl.DataFrame, root: Path) -> Path:
    image = pl.struct(bytes="jpg", path=pl.col("key") + ".jpg").alias("image")
    renamed = rows.select(image, pl.col("caption").alias("text"), "url", "punsafe")
    renamed.write_parquet(root / "train-00000-of-00001.parquet", row_group_size=4)
    return root / "*.parquet"


def folder_with_texts(rows: pl.DataFrame, root: Path) -> Path:
    for r in rows.to_dicts():
        put(root / "in" / f"{r['key']}.jpg", r["jpg"])
        put(root / "in" / f"{r['key']}.txt", r["caption"])
    return root


def image_folder(rows: pl.DataFrame, root: Path) -> Path:
    lines = []
    for r in rows.to_dicts():
        put(root / f"{r['key']}.jpg", r["jpg"])
        lines.append({"file_name": f"{r['key']}.jpg", "text": r["caption"], "url": r["url"]})
    put(root / "metadata.jsonl", "\n".join(json.dumps(line) for line in lines))
    return root


LAYOUTS = [
    img2dataset,
    webdataset,
    img2dataset_files,
    img2dataset_parquet,
    hugging_face,
    folder_with_texts,
    image_folder,
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_every_layout_gives_the_same_vectors_and_captions(
    layout: Callable[[pl.DataFrame, Path], Path],
    pictures: pl.DataFrame,
    model: Embedder,
    tmp_path: Path,
) -> None:
    (root := tmp_path / "in").mkdir()
    done = run(layout(pictures, root), tmp_path / "out")
    assert (done.n_pictures, done.failed, done.empty) == (N, (), ())
    found = open_embeddings(tmp_path / "out")
    rows = found.metadata(np.arange(N))
    assert rows["caption"].to_list() == pictures["caption"].to_list()
    expected = model.images([decode(d) for d in pictures["jpg"]])
    assert np.abs(found.vectors(np.arange(N)) - expected).max() < 1e-3
    assert rows["id"].n_unique() == N
    if layout is not folder_with_texts:
        assert rows["url"].to_list() == pictures["url"].to_list()
    if "punsafe" in rows.columns:
        assert rows["punsafe"].to_list() == pictures["punsafe"].to_list()
    assert ("punsafe" in rows.columns) == (
        layout in (img2dataset, img2dataset_files, img2dataset_parquet, hugging_face)
    )


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 30 000 x 30 000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def test_what_cannot_be_read_is_a_row_of_zeros_with_its_reason(
    pictures: pl.DataFrame, model: Embedder, tmp_path: Path
) -> None:
    fine = encoded(decode(pictures["jpg"][0]), "JPEG")
    frames = [Image.new("RGB", (40, 30), c) for c in ("red", "blue")]
    given = {
        "a.jpg": (fine, "success", ""),
        "b.png": (bomb(), "too_large", "over the limit"),
        "c.svg": ("<?xml version='1.0'?><svg/>", "not_a_picture", "an SVG drawing"),
        "d.gif": (
            encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
            "first_frame",
            "",
        ),
        "e.jpg": (fine[: len(fine) // 2], "broken", "truncated"),
        "f.jpg": ("<!DOCTYPE html><html></html>", "not_a_picture", "a web page"),
        "g.jpg": (b"", "not_a_picture", "no bytes"),
        "h.jpg": (fine, "missing", "No such file"),
        "i.webp": (encoded(frames[0], "WEBP"), "success", ""),
        "j.tiff": (encoded(frames[0], "TIFF"), "not_a_picture", "cannot identify"),
    }
    for name, (data, _, _) in given.items():
        put(tmp_path / "in" / name, data)
    (shard,) = list_picture_shards([str(tmp_path / "in")], 100)
    listed = shard.open().files
    with pytest.MonkeyPatch.context() as patch:  # one goes between listing and reading
        gone = Path.read_bytes
        patch.setattr(
            Path, "read_bytes", lambda p: gone(p if p.name != "h.jpg" else p.with_name("gone"))
        )
        done = run(tmp_path / "in", tmp_path / "out")
    assert len(list(listed)) == len(given)
    found = open_embeddings(tmp_path / "out")
    rows = found.metadata(np.arange(len(given)))
    vectors = found.vectors(np.arange(len(given)))
    for row, vector, (_, status, reason) in zip(
        rows.to_dicts(), vectors, given.values(), strict=True
    ):
        assert row["status"] == status, row
        assert reason in row["error"], row
        assert bool(row["error"]) == (status not in ("success", "first_frame"))
        assert np.linalg.norm(vector) == pytest.approx(0 if row["error"] else 1, abs=1e-2)
        assert (row["width"] is None) == bool(row["error"])
    red = model.images([frames[0]])[0]
    assert vectors[3] @ red > vectors[3] @ model.images([frames[1]])[0]
    assert (rows["width"][3], rows["height"][3]) == (40, 30)
    assert done.n_pictures == 3
    said = " ".join(done.sentences)
    assert "1 animated" in said
    assert "1 too large" in said
    assert "4 of no known picture format" in said


def test_names_and_captions_that_are_no_utf8_are_escaped(
    pictures: pl.DataFrame, model: Embedder, tmp_path: Path
) -> None:
    data = pictures["jpg"][0]
    notes = [
        json.dumps({"caption": c}).encode() for c in ("half a pair \udc00", "a dog \U0001f415")
    ]
    tar = tar_of(tmp_path / "a.tar", [("1.json", notes[0]), ("1.jpg", data), ("2\udcff.jpg", data)])
    run(tar, tmp_path / "out", text=True)
    rows = open_embeddings(tmp_path / "out").metadata(np.arange(2))
    assert rows["caption"].to_list() == ["half a pair \\udc00", ""]
    assert rows["key"].to_list() == ["1", "2\\udcff"]
    tar = tar_of(tmp_path / "b.tar", [("1.json", notes[1]), ("1.jpg", data)])
    run(tar, tmp_path / "whole", text=True)
    assert open_embeddings(tmp_path / "whole").metadata(np.arange(1))["caption"][0] == "a dog 🐕"


def test_a_part_without_a_readable_picture_has_the_models_dimension(
    model: Embedder, pictures: pl.DataFrame, tmp_path: Path
) -> None:
    put(tmp_path / "in" / "a.jpg", b"nothing")
    put(tmp_path / "in" / "b.jpg", pictures["jpg"][0])
    done = run(tmp_path / "in", tmp_path / "out", part_rows=1)
    assert (done.n_parts, done.n_rows, done.n_pictures) == (2, 2, 1)
    assert open_embeddings(tmp_path / "out").dim == model.dim


@given(data=st.data())
def test_no_bytes_bring_a_decoder_down(data: st.DataObject) -> None:
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
    picture = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
    raw = bytearray(encoded(picture, data.draw(st.sampled_from(kinds))))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        assert decode(bytes(raw[: data.draw(st.integers(1, len(raw)))])).mode == "RGB"


def test_two_folders_keep_their_rows_apart(pictures: pl.DataFrame, tmp_path: Path) -> None:
    sources = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        sources.append(str(img2dataset(pictures, tmp_path / name)))
    assert [s.name for s in list_picture_shards(sources, 10)] == ["one/00000", "two/00000"]
    with pytest.raises(ConfigError, match="is given twice"):
        list_picture_shards([sources[0], f"{sources[0]}/00000.tar"], 10)


def urls_alone(root: Path) -> Path:
    pl.DataFrame({"url": ["http://a.test/1.jpg"], "caption": ["a"]}).write_parquet(
        root / "a.parquet"
    )
    return root


def no_pictures_in_parquet(root: Path) -> Path:
    pl.DataFrame({"x": [1]}).write_parquet(root / "a.parquet")
    return root / "a.parquet"


def two_columns(root: Path) -> Path:
    pl.DataFrame({"left": [b"a"], "right": [b"b"]}).write_parquet(root / "a.parquet")
    return root


def file_of(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        put(root / name, data)
        return root / name

    return make


BAD: list[tuple[Callable[[Path], Path | str], type[LaionProbeError], str]] = [
    (lambda root: root, ConfigError, "holds no pictures"),
    (lambda root: root / "gone", ConfigError, "does not exist"),
    (lambda root: "s3://bucket/a.tar", ConfigError, "this machine's files alone"),
    (lambda root: tar_of(root / "a.tar", [("a.txt", b"a")]), ConfigError, "no picture in a"),
    (urls_alone, ConfigError, "run `laion-probe fetch` first"),
    (no_pictures_in_parquet, ConfigError, "no column of bytes"),
    (two_columns, ConfigError, "left, right could all hold the pictures"),
    (file_of("a.zip", b"PK"), ConfigError, "no source of pictures"),
    (file_of("a.tar", b"junk" * 500), ShardError, "no shard can be read.*not a readable tar"),
    (file_of("a.parquet", b"PAR1junk"), ShardError, "no shard can be read.*not readable as parqu"),
]


@pytest.mark.parametrize(("make", "kind", "message"), BAD, ids=lambda x: str(x)[:24])
def test_what_holds_no_pictures_is_refused_in_words(
    make: Callable[[Path], Path | str],
    kind: type[LaionProbeError],
    message: str,
    tmp_path: Path,
) -> None:
    (root := tmp_path / "in").mkdir()
    with pytest.raises(kind, match=message) as caught:
        run(make(root), tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_metadata_of_another_kind_beside_a_tar_fail_that_shard(
    pictures: pl.DataFrame, tmp_path: Path
) -> None:
    (root := tmp_path / "in").mkdir()
    img2dataset(pictures, root)
    shutil.copy(root / "00000.tar", root / "00001.tar")
    pl.DataFrame({"x": [1]}).write_parquet(root / "00001.parquet")
    done = run(root, tmp_path / "out")
    assert [name for name, _ in done.failed] == ["00001"]
    assert "not img2dataset metadata" in done.failed[0][1]
