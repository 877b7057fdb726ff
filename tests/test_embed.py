"""``laion-probe embed`` on the demo's pictures: layout, resuming, sources, and what is refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import DEMO, ROOT

from laion_probe.config import EmbedConfig
from laion_probe.embed import Embedder, decode, embed_all, load_embedder
from laion_probe.errors import ConfigError, EmbedderMismatch
from laion_probe.pictures import list_downloads
from laion_probe.questions import embedding
from laion_probe.questions.embedding import Embedded, embed
from laion_probe.vectors import open_embeddings

MODEL = f"local-dir:{DEMO / 'clip'}"
N_TARS = 3


@pytest.fixture(scope="module")
def model() -> Embedder:
    return load_embedder(MODEL, None)


@pytest.fixture(autouse=True)
def _one_load(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint is loaded once for all tests here that ask for it as it is."""

    def load(name: str, pretrained: str | None, device: str, precision: str) -> Embedder:
        plain = device in ("auto", "cpu") and precision in ("auto", "fp32")
        return model if plain else load_embedder(name, pretrained, device, precision)

    monkeypatch.setattr(embedding, "load_embedder", load)


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginnings of some of the demo's tars, each beside its parquet."""
    folder = tmp_path_factory.mktemp("images")
    for i in range(N_TARS):
        shutil.copy(DEMO / "images" / f"{i:05}.parquet", folder)
        with (
            tarfile.open(DEMO / "images" / f"{i:05}.tar") as whole,
            tarfile.open(folder / f"{i:05}.tar", "w") as some,
        ):
            for member in islice(whole, 240):
                some.addfile(member, whole.extractfile(member))
    return folder


@pytest.fixture(scope="module")
def whole(tars: Path, model: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted run leaves."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "load_embedder", lambda *a: model)
        run(tars, out, text=True)
    return out


def run(source: Path | str, out: Path, **options: object) -> Embedded:
    values = {"sources": (str(source),), "out": str(out), "model": MODEL, "device": "cpu"}
    return embed(EmbedConfig.model_validate(values | options))


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_rows_are_aligned_and_vectors_are_open_clips(
    whole: Path, tars: Path, model: Embedder
) -> None:
    images, texts = open_embeddings(whole), open_embeddings(whole, "text")
    assert len(images.parts) == len(texts.parts) == N_TARS
    assert images.dtype == "float16"
    assert images.key is not None
    assert {k: v for k, v in images.key.items() if k != "pictures"} == model.key
    rows = np.array([0, 7, images.n_rows - 1])
    found = images.metadata(rows)
    listed = [f for part in list_downloads(str(tars)).parts for f in part.files]
    assert images.n_rows == texts.n_rows == len(listed)
    for row, vector, text, name in zip(
        rows, images.vectors(rows), texts.vectors(rows), found.iter_rows(named=True), strict=True
    ):
        file = listed[row]
        assert (name["id"], name["caption"], name["url"]) == (file.id, file.caption, file.url)
        picture = decode(file.read())
        assert (name["width"], name["height"]) == picture.size
        assert np.allclose(vector, model.images([picture])[0], atol=1e-3)
        assert np.allclose(text, model.texts([file.caption])[0] if file.caption else 0, atol=1e-3)
    names = list(images.columns)
    assert names[:3] == ["image_path", "caption", "url"]
    assert "original_width" in names  # what the source says beside is carried
    assert found["image_path"][0] == found["key"][0] == found["id"][0].partition("/")[2]


def test_the_number_of_workers_changes_no_byte(whole: Path, tars: Path, tmp_path: Path) -> None:
    done = run(tars, tmp_path / "out", text=True, workers=5)
    assert contents(tmp_path / "out") == contents(whole)
    assert done.n_resumed == 0
    assert "success" in done.statuses


DIES = """
import contextlib, os, signal, sys
from laion_probe.config import EmbedConfig
from laion_probe.embed import folder
from laion_probe.questions.embedding import embed

real, left = folder.atomic_file, [int(sys.argv[1])]

@contextlib.contextmanager
def dies(path):
    with real(path) as scratch:
        yield scratch
        left[0] -= 1
        if not left[0]:
            os.truncate(scratch, scratch.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

folder.atomic_file = dies
embed(EmbedConfig.model_validate_json(sys.argv[2]))
"""


def test_a_killed_run_goes_on_to_the_same_files(whole: Path, tars: Path, tmp_path: Path) -> None:
    """Killed while metadata are half written, then while vectors of captions are, then resumed."""
    out = tmp_path / "out"
    config = EmbedConfig(sources=(str(tars),), out=str(out), model=MODEL, device="cpu", text=True)
    for at, n_text in ((6, 1), (3, 1)):
        asked = [sys.executable, "-c", DIES, str(at), config.model_dump_json()]
        assert subprocess.run(asked, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        assert len(list(out.rglob(".*partial*"))) == 1
        assert len(list(out.glob("text_emb/t*"))) == n_text
    assert len(list(out.glob("metadata/m*"))) == 2  # the second run wrote what the first had begun
    kept = (out / "img_emb" / "img_emb_0.npy").stat().st_mtime_ns
    done = run(tars, out, text=True)
    assert done.n_resumed == 2
    assert (out / "img_emb" / "img_emb_0.npy").stat().st_mtime_ns == kept
    assert contents(out) == contents(whole)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_ray_writes_the_same_bytes(whole: Path, tars: Path, tmp_path: Path) -> None:
    done = run(tars, tmp_path / "out", text=True, runner="ray", workers=2)
    assert done.n_parts == N_TARS
    assert contents(tmp_path / "out") == contents(whole)


def test_text_is_added_to_parts_that_are_there(whole: Path, tars: Path, tmp_path: Path) -> None:
    assert not (tmp_path / "out" / "text_emb").exists()
    run(tars, tmp_path / "out")
    assert run(tars, tmp_path / "out", text=True).n_resumed == N_TARS
    assert contents(tmp_path / "out") == contents(whole)


def test_a_probe_takes_the_folder_as_its_cache(
    whole: Path, tars: Path, model: Embedder, tmp_path: Path
) -> None:
    out = shutil.copytree(whole, tmp_path / "out")
    found = embed_all(list_downloads(str(tars)).parts, model, out)
    assert np.array_equal(
        found.image.astype(np.float16)[:50], np.load(whole / "img_emb" / "img_emb_0.npy")[:50]
    )
    assert contents(out) == contents(whole)  # nothing was computed or claimed anew
    (tars_of_two := tmp_path / "two").mkdir()
    for i in (1, 2):
        for suffix in ("tar", "parquet"):
            shutil.copy(tars / f"{i:05}.{suffix}", tars_of_two)
    with pytest.raises(EmbedderMismatch, match="other pictures"):
        embed_all(list_downloads(str(tars_of_two)).parts, model, out)


def test_more_shards_may_follow_and_others_are_refused(
    whole: Path, tars: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    shutil.copytree(tars, few, ignore=shutil.ignore_patterns("00002*"))
    out = tmp_path / "out"
    run(few, out, text=True)
    assert run(tars, out, text=True).n_resumed == 2
    assert contents(out) == contents(whole)
    with pytest.raises(EmbedderMismatch, match="other pictures"):
        run(few / "00001.tar", out)
    key = json.loads((out / "key.json").read_text())
    (out / "key.json").write_text(json.dumps(key | {"weights_sha256": "0" * 64}))
    with pytest.raises(EmbedderMismatch, match="weights 000000000000"):
        run(tars, out)
    (out / "key.json").write_text(json.dumps(key | {"precision": "bf16"}))
    with pytest.raises(EmbedderMismatch, match="bf16, not in fp32"):
        run(tars, out)
    (out / "key.json").unlink()
    with pytest.raises(EmbedderMismatch, match=r"no key\.json"):
        run(tars, out)


def damaged(kind: str, data: bytes) -> bytes:
    if kind == "cut off":
        return data[: len(data) // 2]
    if kind == "without its end":
        return data.rstrip(b"\0")
    if kind == "a header is damaged":
        at = data.index(b"ustar", len(data) // 2)
        return data[: at - 257] + b"\xff" * 512 + data[at + 255 :]
    return b"not a tar at all" * 100


@pytest.mark.parametrize("kind", ["cut off", "without its end", "a header is damaged", "no tar"])
def test_a_broken_tar_is_one_failed_shard_and_is_tried_again(
    kind: str, whole: Path, tars: Path, tmp_path: Path
) -> None:
    some = shutil.copytree(tars, tmp_path / "some")
    (some / "00001.tar").write_bytes(damaged(kind, (tars / "00001.tar").read_bytes()))
    out = tmp_path / "out"
    done = run(some, out, text=True)
    assert [name for name, _ in done.failed] == ["00001"]
    assert "1 shards have no part" in " ".join(done.sentences)
    assert sorted(p.name for p in out.glob("img_emb/*")) == ["img_emb_0.npy", "img_emb_2.npy"]
    assert open_embeddings(out).n_rows == done.n_rows
    shutil.copy(tars / "00001.tar", some)
    assert run(some, out, text=True).n_resumed == 2
    assert contents(out) == contents(whole)


def test_precision_and_tensors(model: Embedder, tars: Path) -> None:
    import torch

    halved = load_embedder(MODEL, None, "cpu", "bf16")
    assert halved.key == model.key | {"precision": "bf16"}  # the hash is of the weights in fp32
    files = list_downloads(str(tars)).parts[0].files[:8]
    pictures = [decode(f.read()) for f in files]
    full = model.images(pictures)
    assert np.array_equal(full, model.images(torch.stack([model.preprocess(p) for p in pictures])))
    low = halved.images(pictures)
    assert not np.array_equal(low, full)
    assert (low * full).sum(axis=1).min() > 0.99
    with pytest.raises(ConfigError, match="device nowhere cannot be used"):
        load_embedder(MODEL, None, "nowhere")
    with pytest.raises(ConfigError, match="cluster's cores, not on cuda"):
        run(tars, Path("unused"), runner="ray", device="cuda")


def test_the_caller_keeps_its_threads_and_warnings(whole: Path, tars: Path, tmp_path: Path) -> None:
    import warnings

    import torch

    threads, filters = torch.get_num_threads(), list(warnings.filters)
    run(tars / "00000.tar", tmp_path / "out")
    assert torch.get_num_threads() == threads
    assert list(warnings.filters) == filters
    assert os.listdir(tmp_path / "out" / "img_emb") == ["img_emb_0.npy"]


def test_out_must_be_a_folder(tars: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        run(tars, tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot write embeddings"):
        run(tars, tmp_path / "file" / "inside")


def test_metadata_can_be_read_by_others(whole: Path) -> None:
    table = pl.read_parquet(io.BytesIO((whole / "metadata" / "metadata_0.parquet").read_bytes()))
    assert table.schema["width"] == pl.Int32
    assert table["error"].null_count() == table["status"].null_count() == 0
