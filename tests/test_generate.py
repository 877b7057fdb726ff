"""Pictures by a diffusers pipeline: a tiny random one, made here and loaded by our own code."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from laion_probe.config.generating import GenerateConfig
from laion_probe.config.loading import make_config
from laion_probe.embed import decode
from laion_probe.errors import ConfigError, MissingExtra, UnknownName
from laion_probe.generating import Pipeline, Plan, Prompt, load_pipeline, read_prompts
from laion_probe.generating.plan import Planned
from laion_probe.pictures import list_generated, list_picture_shards
from laion_probe.questions.generating import Made, generate

# Upstream warns of its own modules while a model is made here; the product loads it as it is.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PROMPTS = (
    ("a photo of a doctor", "occupation", "doctor", "en"),
    ("une photo de médecin", "occupation", "doctor", "fr"),
    ("", "empty", "", ""),
)


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    )


def save_tiny(folder: Path) -> Path:
    """A Stable Diffusion pipeline of random weights, which draws 16 px pictures."""
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel

    folder.mkdir(parents=True)
    tokenizer = _tokenizer(folder)
    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
    }
    text = {
        **small,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    )
    eyes = {**small, "image_size": 30, "patch_size": 10}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(text_config=text, vision_config=eyes, projection_dim=16)
    )
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(**text)),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=checker,
        feature_extractor=CLIPImageProcessor(
            size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30}
        ),
    )
    # Half of what a random model draws is blocked: the thresholds are put where pictures lie.
    pipe.set_progress_bar_config(disable=True)
    seen = pipe(
        [""] * 8,
        generator=[torch.Generator().manual_seed(i) for i in range(8)],
        num_inference_steps=2,
        output_type="pil",
    )
    with torch.no_grad():
        checker.concept_embeds_weights[:] = 2.0  # a cosine that nothing reaches
        checker.special_care_embeds_weights[:] = 2.0
        pixels = pipe.feature_extractor(seen.images, return_tensors="pt").pixel_values
        found = checker.visual_projection(checker.vision_model(pixels)[1])
        checker.concept_embeds[:] = found[0] - found.mean(0)
        unit = torch.nn.functional.normalize
        cosine = unit(found) @ unit(checker.concept_embeds[:1]).T
        checker.concept_embeds_weights[0] = float(cosine.median())
    pipe.save_pretrained(str(folder), safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads wait for each other longer than these nets compute
    yield save_tiny(tmp_path_factory.mktemp("models") / "tiny")
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.toml"
    keys = ("prompt", "group", "concept", "language")
    path.write_text(
        "\n".join(
            "[[prompt]]\n"
            + "\n".join(f"{k} = {json.dumps(v)}" for k, v in zip(keys, row, strict=True))
            for row in PROMPTS
        )
    )
    return path


@pytest.fixture(scope="module")
def config(tiny: Path, prompts: Path) -> Callable[..., GenerateConfig]:
    def make(**given: Any) -> GenerateConfig:
        asked = {
            "model": str(tiny),
            "prompts": str(prompts),
            "device": "cpu",
            "steps": 2,
            "images": 2,
        }
        return make_config(asked | given, GenerateConfig)

    return make


@pytest.fixture(scope="module")
def made(config: Callable[..., GenerateConfig], tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("out") / "generated"
    return generate(config(out=str(out), part_rows=4, batch_size=3))


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {
        f.id.rpartition("/")[2]: np.asarray(decode(f.read()), np.int16)
        for part in list_generated(str(folder)).parts
        for f in part.files
    }


def table(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("*.parquet"))])


def test_a_run_writes_every_parameter(made: Made, tiny: Path) -> None:
    assert (made.n_pictures, made.n_parts, made.n_resumed) == (6, 2, 0)
    rows = table(made.folder)
    assert rows["prompt"].to_list() == [p[0] for p in PROMPTS] * 2
    assert rows["language"].to_list() == ["en", "fr", None] * 2
    assert rows["seed"].n_unique() == rows["batch"].n_unique() == 6
    assert rows["picture_width"].unique().to_list() == [16]
    first = rows.row(0, named=True)
    assert first["scheduler"] == "DDIMScheduler"
    assert json.loads(first["scheduler_config"])["beta_end"] == 0.012
    assert (first["steps"], first["guidance"], first["safety"]) == (2, 7.5, "flag")
    assert first["model"] == tiny.name
    assert len(first["weights_sha256"]) == len(first["safety_checker_sha256"]) == 64
    assert first["diffusers"].startswith("0.")
    with tarfile.open(made.folder / "00000.tar") as tar:
        names = tar.getnames()
        said = json.loads(tar.extractfile("000000001.json").read())  # type: ignore[union-attr]
        assert tar.extractfile("000000002.txt").read() == b""  # type: ignore[union-attr]
    assert names[:3] == ["000000000.png", "000000000.txt", "000000000.json"]
    assert said == rows.row(1, named=True)
    assert "block" in made.sentences[1]


def test_what_it_writes_is_listed_as_generated(made: Made) -> None:
    found = list_generated(str(made.folder))
    assert found.rows["prompt"].to_list() == [p[0] for p in PROMPTS] * 2
    assert found.rows["batch"].n_unique() == 6
    assert set(found.rows["generator"]) == {"tiny"}
    assert found.rows["group"].to_list()[:3] == ["occupation", "occupation", "empty"]
    assert found.rows["blocked"].sum() == made.n_blocked
    shards = list_picture_shards([str(made.folder)], 100)  # as `embed` reads it
    opened = [f for shard in shards for f in shard.open().files]
    assert [f.more["prompt"] for f in opened] == found.rows["prompt"].to_list()
    assert opened[0].more["scheduler"] == "DDIMScheduler"


def test_batch_size_changes_no_picture(
    made: Made, config: Callable[..., GenerateConfig], tmp_path: Path
) -> None:
    alone = generate(config(out=str(tmp_path / "x"), batch_size=1, part_rows=100))
    one, other = pictures(made.folder), pictures(alone.folder)
    assert one.keys() == other.keys()
    assert max(int(abs(one[k] - other[k]).max()) for k in one) <= 1
    assert min(int(abs(one["000000000"] - x).max()) for k, x in one.items() if k[-1] != "0") > 5
    assert table(alone.folder)["seed"].to_list() == table(made.folder)["seed"].to_list()
    assert table(alone.folder)["blocked"].to_list() == table(made.folder)["blocked"].to_list()


def test_a_killed_run_goes_on_to_the_same_bytes(
    made: Made,
    config: Callable[..., GenerateConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "killed"
    asked = config(out=str(out), part_rows=4, batch_size=3)
    real, calls = Pipeline.draw, []

    def dies(self: Pipeline, wanted: list[Planned]) -> list[Any]:
        calls.append(len(wanted))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, wanted)

    monkeypatch.setattr(Pipeline, "draw", dies)
    with pytest.raises(KeyboardInterrupt):
        generate(asked)
    assert sorted(p.name for p in out.iterdir()) == [
        "00000.parquet",
        "00000.tar",
        "generation.json",
    ]
    (out / ".00001.tar.partial-999999999").write_bytes(b"half")
    calls.clear()
    monkeypatch.setattr(Pipeline, "draw", lambda self, w: (calls.append(len(w)), real(self, w))[1])
    told: list[tuple[int, int]] = []
    done = generate(asked, lambda what, n, of: told.append((n, of)))
    assert (calls, done.n_resumed) == ([2], 1)
    assert told == [(4, 6), (6, 6)]
    for name in ("00000.tar", "00001.tar"):
        assert (out / name).read_bytes() == (made.folder / name).read_bytes()
    assert not list(out.glob(".*"))


def test_other_parameters_in_the_same_folder_are_refused(
    made: Made, config: Callable[..., GenerateConfig], tmp_path: Path
) -> None:
    same = {"out": str(made.folder), "part_rows": 4}
    with pytest.raises(ConfigError, match=r"begun with steps 2, not 3.*another --out"):
        generate(config(**same, steps=3))
    with pytest.raises(ConfigError, match=r"prompts_sha256"):
        generate(config(**same, prompt=("another",)))
    with pytest.raises(ConfigError, match="safety"):
        generate(config(**same, safety="on"))
    assert generate(config(**same, batch_size=1)).n_resumed == 2
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="holds other files"):
        generate(config(out=str(tmp_path)))
    with pytest.raises(ConfigError, match="is a file"):
        generate(config(out=str(tmp_path / "mine.txt")))


def test_a_folder_without_a_whole_part_may_be_begun_with_anything(
    config: Callable[..., GenerateConfig], tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(ConfigError, match="cannot draw this"):
        generate(config(out=out, height=63, width=63))
    assert generate(config(out=out, height=32, width=32, images=1)).n_pictures == len(PROMPTS)
    with pytest.raises(ConfigError, match="begun with images 1, not 2"):
        generate(config(out=out, height=32, width=32))


def test_the_checker_flags_or_blackens_what_the_pipeline_would(
    made: Made, config: Callable[..., GenerateConfig], tiny: Path, tmp_path: Path
) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    rows = table(made.folder)
    assert 0 < rows["blocked"].sum() < 6, "the planted checker blocks some"
    on = generate(config(out=str(tmp_path / "on"), safety="on"))
    off = generate(config(out=str(tmp_path / "off"), safety="off"))
    kept, black, plain = (pictures(m.folder) for m in (made, on, off))
    for key, blocked in zip(rows["key"], rows["blocked"], strict=True):
        assert kept[key].any()
        assert black[key].any() != blocked
        assert abs(kept[key] - plain[key]).max() <= 1
    assert table(on.folder)["blocked"].to_list() == rows["blocked"].to_list()
    assert table(off.folder)["blocked"].is_null().all()
    assert (off.n_blocked, on.n_blocked) == (None, rows["blocked"].sum())
    theirs = StableDiffusionPipeline.from_pretrained(str(tiny))
    theirs.set_progress_bar_config(disable=True)
    out = theirs(
        rows["prompt"].to_list(),
        generator=[torch.Generator().manual_seed(s) for s in rows["seed"]],
        num_inference_steps=2,
    )
    assert out.nsfw_content_detected == rows["blocked"].to_list()
    for key, picture in zip(rows["key"], out.images, strict=True):
        assert abs(black[key] - np.asarray(picture, np.int16)).max() <= 1


def test_schedulers_by_name(config: Callable[..., GenerateConfig]) -> None:
    pndm = load_pipeline(config(scheduler="pndm", steps=4, safety="off"))
    assert pndm.key["scheduler"] == "PNDMScheduler"
    assert json.loads(pndm.key["scheduler_config"])["beta_end"] == 0.012
    planned = Plan((Prompt("a nurse"),), 2, same_seeds=True).part(0)
    ddim = load_pipeline(config(safety="off", steps=4))
    drawn = [np.asarray(d.picture, int) for p in (pndm, ddim) for d in p.draw(planned)]
    assert abs(drawn[0] - drawn[2]).max() > 1
    assert {"weights_sha256"} == {
        k for k in ("weights_sha256", "scheduler") if pndm.key[k] == ddim.key[k]
    }
    euler = load_pipeline(config(scheduler="EulerDiscreteScheduler", safety="off"))
    assert euler.key["scheduler"] == "EulerDiscreteScheduler"
    with pytest.raises(ConfigError, match=r"PNDMScheduler cannot draw this.*another --steps"):
        load_pipeline(config(scheduler="PNDM")).draw(planned)  # its first steps need four
    with pytest.raises(UnknownName, match="did you mean PNDM"):
        load_pipeline(config(scheduler="PNDMM"))
    with pytest.raises(UnknownName, match="scheduler"):  # one of diffusers', for other models
        load_pipeline(config(scheduler="FlowMatchEulerDiscrete"))


def test_guidance_leads_away_from_the_negative_prompt(
    config: Callable[..., GenerateConfig],
) -> None:
    planned = Plan((Prompt("a nurse"),), 1).part(0)
    plain, led = (
        np.asarray(load_pipeline(config(negative_prompt=n)).draw(planned)[0].picture, int)
        for n in ("", "a cat")
    )
    assert abs(plain - led).max() > 0
    with pytest.raises(ConfigError, match="does nothing at a guidance of 1"):
        config(negative_prompt="a cat", guidance=1)


def test_seeds_depend_on_the_prompt_alone() -> None:
    a, b = Prompt("a"), Prompt("b")
    few, more = Plan((a,), 2, seed=3), Plan((b, a), 3, seed=3)
    of_a = {(p.number, p.seed) for p in more.part(0) if p.prompt is a}
    assert {(p.number, p.seed) for p in few.part(0)} <= of_a
    twice = Plan((Prompt("taxi", language="fr"), Prompt("taxi", language="de")), 1)
    assert len({p.seed for p in twice.part(0)}) == 2
    assert len({p.seed for p in Plan((a, b), 50).part(0)}) == 100
    assert Plan((a, b), 3, part_rows=4).n_parts == 2
    assert [len(Plan((a, b), 3, part_rows=4).part(n)) for n in (0, 1)] == [4, 2]


def test_size_cut_prompts_and_same_seeds(
    config: Callable[..., GenerateConfig], tmp_path: Path
) -> None:
    asked = config(
        out=str(tmp_path / "x"),
        prompts=None,
        prompt=("x" * 100, "b"),
        height=24,
        width=32,
        images=1,
        same_seeds=True,
        seed=5,
    )
    done = generate(asked)
    assert {p.shape for p in pictures(done.folder).values()} == {(24, 32, 3)}
    assert done.n_cut == 1
    rows = table(done.folder)
    assert rows["seed"].to_list() == [5, 5]
    assert rows["batch"].to_list() == ["seed 5", "seed 5"]
    assert rows["prompt_cut"].to_list() == [True, False]
    with pytest.raises(ConfigError, match=r"cannot draw this.*divisible by 8"):
        generate(config(out=str(tmp_path / "y"), height=25, width=32))
    with pytest.raises(ConfigError, match="give --height and --width, or neither"):
        config(height=24)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.csv", 'prompt,group\n"a, b",x\n,empty\n', [("a, b", "x"), ("", "empty")]),
        ("p.tsv", "language\tprompt\nfr\tune infirmière\n", [("une infirmière", "")]),
        ("p.jsonl", '{"prompt": "a\u2028b"}\n\n{"prompt": "", "group": "e"}', None),
    ],
)
def test_prompts_of_files(
    name: str, text: str, expected: list[tuple[str, str]] | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = [(p.text, p.group) for p in read_prompts(str(tmp_path / name))]
    assert found == (expected or [("a\u2028b", ""), ("", "e")])


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("p.csv", "prompt,grupo\na,b\n", "unknown column 'grupo'; known: prompt, group"),
        ("p.csv", "group\nb\n", "no prompt; the empty prompt is written ''"),
        ("p.csv", "prompt\na,b\n", "unknown column"),
        ("p.jsonl", '{"prompt": 3}\n', "line 1: no prompt"),
        ("p.jsonl", "[1]\n", "not a row"),
        ("p.jsonl", "{\n", "not valid JSONL"),
        ("p.toml", "prompts = []\n", r"write a \[\[prompt\]\]"),
        ("p.toml", "", "holds no prompt"),
        ("p.txt", "a", "give a .toml, .csv, .tsv or .jsonl"),
        ("p.csv", "prompt\na\na\n", "given twice"),
        ("p.jsonl", '{"prompt": "a", "group": 3}', "are texts"),
    ],
)
def test_prompts_that_cannot_be_used(name: str, text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=error):
        read_prompts(str(tmp_path / name))
    with pytest.raises(ConfigError, match="no prompt given"):
        read_prompts(None)


def test_models_that_cannot_be_loaded(
    config: Callable[..., GenerateConfig],
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=r"no model_index\.json"):
        load_pipeline(config(model=str(tmp_path)))
    with pytest.raises(ConfigError, match="neither a folder"):
        load_pipeline(config(model="stable-diffusion"))
    with pytest.raises(ConfigError, match="is a folder"):
        load_pipeline(config(revision="main"))
    with pytest.raises(ConfigError, match="device nowhere"):
        load_pipeline(config(device="nowhere"))
    pickled = tmp_path / "pickled"
    import shutil

    shutil.copytree(tiny, pickled)
    unet = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_suffix(".bin"))
    with pytest.raises(ConfigError, match="weights in safetensors"):
        load_pipeline(config(model=str(pickled)))
    index = json.loads((tiny / "model_index.json").read_text())
    (pickled / "model_index.json").write_text(
        json.dumps(index | {"safety_checker": [None, None], "requires_safety_checker": False})
    )
    unet.with_suffix(".bin").rename(unet)
    with pytest.raises(ConfigError, match=r"no safety checker.*--safety off"):
        load_pipeline(config(model=str(pickled)))
    (pickled / "unet" / "mine.py").write_text("raise SystemExit('code of a model was run')")
    (pickled / "model_index.json").write_text(json.dumps(index | {"unet": ["mine", "Net"]}))
    with pytest.raises(ConfigError, match="could not be loaded"):
        load_pipeline(config(model=str(pickled)))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'laion-probe\[generate\]'"):
        load_pipeline(config())


def test_pictures_without_numbers_are_an_error(config: Callable[..., GenerateConfig]) -> None:
    pipeline = load_pipeline(config(safety="off"))

    class Broken:
        images = np.full((1, 8, 8, 3), np.nan)

    broken = dataclasses.replace(pipeline, pipe=lambda **_: Broken())
    with pytest.raises(ConfigError, match=r"--precision fp32"):
        broken.draw(Plan((Prompt("a"),), 1).part(0))


def test_pngs_are_what_was_drawn(made: Made, config: Callable[..., GenerateConfig]) -> None:
    planned = Plan(read_prompts(config().prompts), 2).part(0)[:1]
    drawn = load_pipeline(config()).draw(planned)[0].picture
    with tarfile.open(made.folder / "00000.tar") as tar:
        data = tar.extractfile("000000000.png").read()  # type: ignore[union-attr]
    stored = Image.open(io.BytesIO(data))
    assert abs(np.asarray(stored, int) - np.asarray(drawn, int)).max() <= 1
