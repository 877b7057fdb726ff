"""The command line: help for newcomers, bad input in one line, nothing half-written."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import ROOT
from PIL import Image
from shardmaker import frame, write

from laion_probe import cli
from laion_probe.config import ProbeConfig


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with small shards and no demo data."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "shards", frame(40))
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run, expect exit 1 and no run folder, and return the one line on stderr."""
    assert cli.main(list(argv)) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("laion-probe: ")
    assert "Traceback" not in captured.err
    assert not Path("runs").exists()
    return captured.err


def big_png(path: Path, side: int = 30_000) -> None:
    """A valid PNG header that claims side x side pixels, with almost no data behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body)


@pytest.mark.usefixtures("here")
class TestBadInput:
    def test_no_shards(self, capsys):
        assert "no shards given: use --shards" in fails(capsys, "probe", "doctor")

    def test_no_such_shards(self, capsys):
        line = fails(capsys, "probe", "doctor", "--shards", "nowhere/*.parquet")
        assert "no parquet shard at 'nowhere/*.parquet'" in line

    def test_a_shard_that_is_not_parquet(self, capsys):
        Path("x.parquet").write_text("URL\tTEXT\n")
        line = fails(capsys, "probe", "doctor", "--shards", "x.parquet")
        assert "x.parquet: not a readable parquet file" in line

    def test_missing_columns(self, capsys):
        pl.DataFrame({"link": ["a"], "words": ["b"]}).write_parquet("x.parquet")
        line = fails(capsys, "probe", "doctor", "--shards", "x.parquet")
        assert "no column for text among link, words" in line

    def test_a_concept_of_only_spaces(self, capsys):
        assert "the concept is empty" in fails(capsys, "probe", "  ", "--shards", "shards")

    def test_a_concept_without_words(self, capsys):
        assert "has no letters or digits" in fails(capsys, "probe", "!!!", "--shards", "shards")

    def test_a_config_that_is_a_folder(self, capsys):
        assert "give a TOML file" in fails(capsys, "probe", "x", "--config", "shards")

    def test_examples_without_pictures_to_compare(self, capsys):
        line = fails(capsys, "probe", "x", "--shards", "shards", "--examples", "a.png")
        assert "give --images too" in line

    def test_an_unknown_recipe(self, capsys):
        line = fails(capsys, "probe", "x", "--shards", "shards", "--recipe", "laion2b")
        assert "unknown recipe 'laion2b'" in line

    def test_an_unknown_filter(self, capsys):
        line = fails(capsys, "probe", "x", "--shards", "shards", "--already", "laion40m")
        assert "did you mean laion400m" in line

    def test_a_config_key_that_is_not_known(self, capsys):
        Path("c.toml").write_text('concpt = "doctor"\n')
        line = fails(capsys, "probe", "x", "--config", "c.toml")
        assert "c.toml: unknown key 'concpt'; known keys: out, data_note" in line

    def test_a_config_that_is_not_there(self, capsys):
        assert "does not exist" in fails(capsys, "probe", "x", "--config", "no.toml")

    def test_a_number_out_of_range(self, capsys):
        line = fails(capsys, "probe", "x", "--shards", "shards", "--level", "1.5")
        assert "'level' input should be less than 1" in line

    def test_an_images_folder_without_tars(self, capsys):
        line = fails(capsys, "probe", "x", "--shards", "shards", "--images", "shards")
        assert "holds no .tar" in line

    def test_an_output_folder_that_exists(self, capsys, here):
        (here / "mine").mkdir()
        line = fails(capsys, "probe", "x", "--shards", "shards", "--out", "mine")
        assert "output folder mine exists already" in line
        assert "give another --out, or remove it" in line
        assert list((here / "mine").iterdir()) == []
        (here / "mine" / "ratings").mkdir()
        line = fails(capsys, "probe", "x", "--shards", "shards", "--out", "mine")
        assert "give another --out; people's ratings are in it" in line

    def test_an_unwritable_output_folder(self, capsys):
        line = fails(
            capsys, "probe", "x", "--shards", "shards", "--out", "shards/part-00000.parquet/a"
        )
        assert "cannot write to" in line

    def test_hostile_names_do_not_reach_the_terminal_raw(self, capsys):
        line = fails(capsys, "probe", "x", "--shards", "a\x1b[31m\u202eb")
        assert "\x1b" not in line
        assert "\u202e" not in line


class TestBadModelsAndPictures:
    @pytest.fixture(autouse=True)
    def _inputs(self, here: Path, demo: Path) -> None:
        self.demo = demo
        pictures = here / "pictures"
        pictures.mkdir()
        for i in range(3):
            Image.fromarray(np.full((32, 32, 3), 60 * i, np.uint8)).save(pictures / f"{i}.png")
        self.base = ["probe", "doctor", "--shards", "shards", "--generated", "pictures"]
        self.model = ["--model", f"local-dir:{demo / 'clip'}"]

    def test_a_model_name_that_open_clip_does_not_know(self, capsys):
        line = fails(capsys, *self.base, "--model", "ViT-B32")
        assert "unknown model 'ViT-B32': did you mean ViT-B-32" in line

    def test_a_weights_tag_that_open_clip_does_not_know(self, capsys):
        line = fails(capsys, *self.base, "--model", "ViT-B-32", "--pretrained", "laion2b_s34b_b79")
        assert "did you mean laion2b_s34b_b79k" in line

    def test_a_model_without_weights(self, capsys):
        line = fails(capsys, *self.base, "--model", "ViT-B-32")
        assert "needs weights: give --pretrained" in line

    def test_a_checkpoint_folder_without_a_config(self, capsys):
        assert "no open_clip_config.json" in fails(
            capsys, *self.base, "--model", "local-dir:shards"
        )

    def test_a_generated_folder_that_is_not_there_or_empty(self, capsys, here):
        base = self.base[:-1]
        assert "does not exist" in fails(capsys, *base, "nowhere", *self.model)
        (here / "none").mkdir()
        assert "holds no pictures" in fails(capsys, *base, "none", *self.model)

    def test_a_broken_generated_picture(self, capsys):
        Path("pictures/3.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
        line = fails(capsys, *self.base, *self.model)
        assert "1 of 4 generated pictures cannot be used, first 3.png: not a readable" in line
        assert cli.main([*self.base, *self.model, "--max-failed-share", "0.5"]) == 0

    def test_several_prompts_that_name_the_concept_are_not_pooled(self, capsys):
        lines = [
            json.dumps({"file_name": f"{i}.png", "prompt": p})
            for i, p in enumerate(["a doctor", "a female doctor", "a dog"])
        ]
        Path("pictures/metadata.jsonl").write_text("\n".join(lines))
        line = fails(capsys, *self.base, *self.model)
        assert "2 different prompts" in line
        assert "choose one with --prompt" in line
        assert cli.main([*self.base, *self.model, "--prompt", "a doctor"]) == 0

    def test_a_picture_too_large_is_refused_before_decoding(self, capsys):
        big_png(Path("pictures/3.png"))
        line = fails(capsys, *self.base, *self.model)
        assert "first 3.png: too many pixels" in line

    def test_embeddings_of_another_model(self, capsys, demo_images):
        shutil.rmtree("shards")
        shutil.copytree(self.demo / "shards", "shards")
        argv = ["probe", "doctor", "--shards", "shards", "--images", str(demo_images), *self.model]
        argv += ["--embeddings", "vectors"]
        assert cli.main([*argv, "--out", "first"]) == 0
        capsys.readouterr()
        shutil.rmtree("first")
        key = Path("vectors/key.json")
        key.write_text(json.dumps({**json.loads(key.read_text()), "weights_sha256": "0" * 64}))
        assert "were made by clip (weights 000000000000), not by clip" in fails(capsys, *argv)
        key.unlink()  # as other tools write it: taken on the user's word, checked by captions
        assert cli.main([*argv, "--out", "second"]) == 0
        assert "No key lies beside the embeddings" in Path("second/result.json").read_text()
        npy = Path("vectors/img_emb/img_emb_0.npy")
        np.save(npy, np.load(npy)[:, ::-1])
        assert "have no key, and do not fit clip" in fails(capsys, *argv)

    @pytest.fixture
    def demo_images(self, tmp_path: Path) -> Path:
        """The first tar of the demo pictures."""
        folder = tmp_path / "images"
        folder.mkdir()
        first = sorted((self.demo / "images").glob("*.tar"))[0]
        for path in (first, first.with_suffix(".parquet")):
            shutil.copy(path, folder)
        return folder


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["prob"], ["probe"], ["probe", "x", "--nonsense"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(argv)
        assert stop.value.code == 2
    assert "usage: laion-probe" in capsys.readouterr().err


def test_help_documents_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["probe", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in ProbeConfig.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text or name == "concept"
        assert str(field.description)[:25] in text


def test_every_command_stands_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = re.findall(r"^    ([\w-]+)  ", capsys.readouterr().out, flags=re.M)
    assert {"probe", "recipes"} <= set(listed)
    for command in listed:
        assert f"laion-probe {command}" in readme


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    assert "laion5b-en" in capsys.readouterr().out
    assert cli.main(["recipes", "show", "laion5b-en"]) == 0
    shown = capsys.readouterr().out
    assert "rvencu/crawlingathome-gpu-hcloud ccpp.py (verified)" in shown
    assert "simulated: partly" in shown
    assert cli.main(["recipes", "show"]) == 1
    assert "recipes show needs a name" in capsys.readouterr().err


def test_debug_shows_the_traceback(here: Path) -> None:
    from laion_probe.errors import ShardError

    with pytest.raises(ShardError):
        cli.main(["probe", "x", "--shards", str(here / "no"), "--debug"])


def test_help_says_which_words_an_option_takes(capsys):
    with pytest.raises(SystemExit):
        cli.main(["index", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--kind {auto,flat,ivf,ivfpq,fastscan,on-disk}" in said
    assert "(default: 4G)" in said


def test_an_option_that_is_no_text_is_an_error_of_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["scan", "caf\udce9.parquet"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "shards" in said and "is not UTF-8; rename it" in said
