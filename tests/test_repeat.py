"""The command that repeats a run can be run, and a result does not say where files lie."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from shardmaker import frame, write

from laion_probe import cli
from laion_probe.commands import COMMANDS, Command
from laion_probe.config import (
    WHO_COMPUTES,
    AnnotateConfig,
    CompareConfig,
    ComposeConfig,
    DriftConfig,
    FiltersConfig,
    PlanConfig,
    ProbeConfig,
    RunConfig,
    ScanConfig,
    load_config,
)
from laion_probe.config.base import HoldsPath
from laion_probe.questions.composing import compose
from laion_probe.questions.drift import drift
from laion_probe.questions.probe import probe
from laion_probe.questions.repeating import command, without_folders

BY_NAME = {c.name: c for c in COMMANDS}

# The command can be run

RUN: dict[str, Any] = {"data_note": "made up: “no people”", "seed": 7, "level": 0.9}
CONTEXT: dict[str, Any] = {
    "context": "a poster; who is 'shown'?",
    "harm": ("stereotyping=who may be seen = as $DOCTOR", "erasing=-"),
}
DATA: dict[str, Any] = {
    "shards": ("in/part-*.parquet", "https://example.org/{0..3}.parquet"),
    "column": ("text=ALT", "width=W"),
    "already": "mine/already.toml",
    "max_failed_share": 0.125,
}
PICTURES: dict[str, Any] = {
    "recipe": "mine/recipe.toml",
    "images": "my pictures",
    "model": "local-dir:nets/clip",
    "pretrained": "nets/weights.pt",
    "embeddings": "emb",
    "attributes": ("skin_tone", "mine/hat.toml"),
    "scores": ("skin_tone=a/s.csv", "hat=b.parquet"),
    "ratings": ("r/one.csv", "-two.csv"),
    "reference": ("skin_tone:census=0.4", "tables/labour.csv"),
}
#: Every field of each config, other than its default.
ALL: dict[str, dict[str, Any]] = {
    "probe": RUN
    | CONTEXT
    | DATA
    | PICTURES
    | {
        "concept": "a woman's sari; $HOME",
        "examples": ("a.png", "b.png"),
        "generated": "out of it",
        "prompt": "",
        "threshold": -0.25,
        "show": 3,
        "audit_captions": 0,
        "preregistered": "mine/plan.toml",
    },
    "filters": RUN
    | DATA
    | {
        "recipe": ("laion400m", "mine/recipe.toml"),
        "by": ("script", "terms:mine/terms.toml"),
        "detectors": ("cld2", "langdetect"),
        "audit_captions": 10,
        "examples": 0,
        "min_count": 2,
        "flag": 0.1,
        "max_rows": 2_000_000,
        "max_units": 3,
        "write_kept": True,
        "write_rows": True,
    },
    "scan": RUN
    | DATA
    | {
        "recipe": "mine/recipe.toml",
        "by": ("nsfw", "terms:mine/terms.toml"),
        "share": "kept:terms:mine/terms.toml=a level",
        "until": 0.005,
        "max_rows": 10**9,
        "max_bytes": 500_000_001,
        "max_units": 5,
        "max_time": 90.5,
        "sequence": "betting",
    },
    "compose": RUN
    | CONTEXT
    | {
        "ratings": ("r/one.csv", "r/two.csv"),
        "scores": ("skin_tone=a/s.csv",),
        "attributes": ("mine/hat.toml",),
        "source": "data",
        "units": "seed batch",
        "population": 12_345,
        "estimator": "wilson",
        "reference": ("skin_tone:census=0.4", "-x.csv"),
    },
    "compare": RUN
    | CONTEXT
    | DATA
    | PICTURES
    | {
        "counts": ("in/a.csv", "in/b.csv"),
        "concepts": "occupations.txt",
        "generated": ("sd=out/sd", "dall-e"),
        "reported": "woman",
        "parity": 0.25,
        "false_discovery_rate": 0.1,
        "draws": 200,
    },
    "drift": RUN
    | {
        "pairs": "in/pairs.csv",
        "attributes": ("skin_tone_colour", "mine/hat.toml"),
        "model": "local-dir:nets/clip",
        "pretrained": "nets/weights.pt",
        "show": 0,
    },
}
ALL["neighbours"] = (
    RUN
    | CONTEXT
    | {
        "embeddings": "my emb",
        "concept": ("a woman's sari; $HOME", "-doctor"),
        "concepts": "occupations.txt",
        "model": "local-dir:nets/clip",
        "pretrained": "nets/weights.pt",
        "npz": "b32_img",
        "k": 7,
        "search": "exact",
        "index": "in/index",
        "attributes": ("skin_tone", "mine/hat.toml"),
        "threshold": -0.25,
        "sample": 300,
        "ratings": ("a woman's sari; $HOME=r/one.csv",),
    }
)
ALL["nonresponse"] = (
    RUN
    | CONTEXT
    | {
        "images": "my pictures",
        "shards": ("in/part-*.parquet", "https://example.org/{0..3}.parquet"),
        "column": ("text=ALT", "width=W"),
        "groups": ("script", "terms:mine/terms.toml"),
        "response_by": ("terms:mine/terms.toml",),
        "attributes": ("skin_tone", "mine/hat.toml"),
        "scores": ("skin_tone=a/s.csv", "hat=b.parquet"),
        "model": "local-dir:nets/clip",
        "pretrained": "nets/weights.pt",
        "embeddings": "emb",
        "crawled": "2022-03-01",
        "fetched": "2026-11-01",
        "population": 5_000_000,
        "folds": 4,
        "false_discovery_rate": 0.1,
    }
)
ALL["outliers"] = (
    RUN
    | CONTEXT
    | {
        "generated": "out of it",
        "data": "my emb",
        "prompt": "a photo of a 'doctor'",
        "recipe": ("laion400m", "mine/recipe.toml"),
        "already": "mine/already.toml",
        "model": "local-dir:nets/clip",
        "pretrained": "nets/weights.pt",
        "attributes": ("skin_tone", "mine/hat.toml"),
        "clusters": 7,
        "seeds": 3,
        "describe": 1,
        "others": True,
        "picked": "mine/noticed.txt",
        "linked": 4,
        "neighbourhood": 200,
        "short_words": 2,
        "near_duplicate": 0.9,
        "tags": "mine/things.txt",
        "max_failed_share": 0.125,
        "show": 3,
    }
)
ALL["explore"] = (
    RUN
    | CONTEXT
    | {
        "sets": ("my pictures", "sd=out/sd"),
        "concepts": "occupations.txt",
        "by": "near",
        "model": "local-dir:nets/clip",
        "pretrained": "nets/weights.pt",
        "clusters": (7,),
        "seeds": 3,
        "most": 50,
        "show": 9,
        "nearest": 2,
        "max_failed_share": 0.125,
    }
)
ALL["blocked"] = (
    RUN
    | CONTEXT
    | {
        "generated": "out of it",
        "attributes": ("skin_tone", "mine/hat.toml"),
        "model": "local-dir:nets/clip",
        "pretrained": "nets/weights.pt",
        "max_failed_share": 0.125,
    }
)
ALL["testbed"] = RUN | {
    "demo": "my demo",
    "concept": "doctor",
    "recipe": "mine/recipe.toml",
    "arms": ("neither", "both"),
    "seeds": 2,
    "rows": 300,
    "share": 0.05,
    "share_over": 0.2,
    "each": 9,
    "side": 16,
    "patch": 8,
    "codes": 64,
    "steps": 7,
    "batch_size": 5,
    "dropped": 0.25,
    "rate": 0.125,
    "samples": 20,
    "asked": 3,
    "guidance": 1.5,
    "temperature": 0.5,
    "top_k": 9,
    "fit_steps": 4,
    "foreign": 0.25,
    "no_verdicts": True,
}
ALL["rebalance"] = (
    RUN
    | CONTEXT
    | {
        "run": "my run",
        "target": (
            "skin_tone:darker=40%",
            "gender_presentation:parity",
            "hat=mine/hats.csv",
            "terms:mine/terms.toml:a=0.5",
        ),
        "unknown": "drop",
        "skip_empty": True,
        "max_weight": 4.5,
        "subset": 2_000,
        "stage": "pool",
        "shards": ("in/part-*.parquet",),
        "column": ("text=ALT",),
        "kept": "mine/kept.npy",
        "before": "runs/filters",
        "scores": ("skin_tone=a/s.csv",),
        "ratings": ("r/one.csv",),
        "attributes": ("skin_tone", "mine/hat.toml"),
    }
)
ALL["dft-plan"] = (
    RUN
    | CONTEXT
    | {
        "folder": "my run",
        "professions": ("profession_isco08", "mine/jobs.toml"),
        "axis": ("gender", "mine/hats.toml"),
        "template": ("a {terms} {profession}",),
        "target": ("gender:parity",),
        "generator": "sd 1.5",
        "per_cell": 9,
        "held_out": 0.25,
        "evaluate": 7,
        "seconds_per_picture": 2.5,
    }
)
ALL["robustness"] = RUN | {
    "folder": "my run",
    "detectors": ("run", "fasttext:reliable"),
    "thresholds": ("run", "-0.25"),
    "prompts": ("run", "a photo of 'one'|a drawing"),
    "raters": ("run", "each"),
    "most": 9,
}
SOME: list[tuple[str, dict[str, Any]]] = [
    ("probe", {"concept": "-doctor", "shards": ("s",), "seed": 1}),
    ("probe", {"concept": "doctor", "shards": ("s",)}),
    ("filters", {"shards": ("-a", "b"), "recipe": ("laion400m",), "write_kept": True}),
    ("compare", {"counts": ("counts.csv",), "draws": 300}),
    ("compare", {"shards": ("s", "t"), "concepts": "c.txt", "generated": ("g",)}),
    ("compose", {"scores": ("skin_tone=s.csv",)}),
]


def parsed(text: str, kind: type[RunConfig]) -> RunConfig:
    program, *words = shlex.split(text)
    assert program == "laion-probe"
    return cli._config(cli._parser().parse_args(words), kind)


def built(name: str, values: dict[str, Any]) -> tuple[Command, RunConfig]:
    return BY_NAME[name], BY_NAME[name].config.model_validate(values)


@pytest.mark.parametrize(("name", "values"), [*((c.name, ALL[c.name]) for c in COMMANDS), *SOME])
def test_a_command_asks_for_what_was_asked(name: str, values: dict[str, Any]) -> None:
    it, config = built(name, values)
    elsewhere = config.model_copy(update={"out": "runs/x"})
    text = command(it.name, elsewhere, it.argument)
    assert parsed(text, it.config) == config
    shown = command(it.name, elsewhere, it.argument, folders=False)
    assert parsed(shown, it.config) == without_folders(config)
    assert "/" not in shown.replace("https://example.org/", "")


@pytest.mark.parametrize("name", BY_NAME)
def test_no_option_is_left_to_its_default_above(name: str) -> None:
    _, config = built(name, ALL[name])
    kept = [
        key
        for key, field in type(config).model_fields.items()
        if key not in WHO_COMPUTES and getattr(config, key) == field.default
    ]
    assert kept == []


def test_the_argument_stands_without_a_flag_and_defaults_are_left_out() -> None:
    assert command("compare", CompareConfig(counts=("a b.csv",)), "counts") == (
        "laion-probe compare 'a b.csv'"
    )
    pictures = CompareConfig(shards=("s",), concepts="c.txt", workers=3, cache="c")
    assert command("compare", pictures, "counts") == (
        "laion-probe compare --shards s --concepts c.txt"
    )


# Where files lie


@pytest.mark.parametrize(
    ("given", "field", "shown"),
    [
        (ProbeConfig(concept="a/b", prompt="c/d"), "concept", "a/b"),
        (ProbeConfig(concept="a/b", prompt="c/d"), "prompt", "c/d"),
        (ProbeConfig(concept="x", shards=("/a/s/", "b/*.parquet", ".")), "shards",
         ("s", "*.parquet", ".")),
        (ProbeConfig(concept="x", shards=("s3://b/k/p.parquet",)), "shards",
         ("s3://b/k/p.parquet",)),
        (ProbeConfig(concept="x", model="hf-hub:org/net"), "model", "hf-hub:org/net"),
        (ProbeConfig(concept="x", generated="a=b/c=d"), "generated", "c=d"),
        (ProbeConfig(concept="x", pretrained="laion2b_s34b"), "pretrained", "laion2b_s34b"),
        (ProbeConfig(concept="x", scores=("hat=/a/b=c.csv",)), "scores", ("hat=b=c.csv",)),
        (ProbeConfig(concept="x", column=("text=a/b",)), "column", ("text=a/b",)),
        (ProbeConfig(concept="x", recipe="r/mine.toml", already="a/b.toml"), "already", "b.toml"),
        (CompareConfig(generated=("sd=a/b", "a/c")), "generated", ("sd=b", "c")),
        (ScanConfig(by=("terms:a/b.toml", "words:a/b")), "by", ("terms:b.toml", "words:a/b")),
        (ComposeConfig(reference=("skin_tone:a/b=0.4",)), "reference", ("skin_tone:a/b=0.4",)),
    ],
)  # fmt: skip
def test_files_go_by_their_names_and_nothing_else_changes(
    given: RunConfig, field: str, shown: object
) -> None:
    assert getattr(without_folders(given), field) == shown
    assert without_folders(without_folders(given)) == without_folders(given)


def test_a_folder_with_an_equals_sign_is_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "seed=3" / "sd=2"
    folder.mkdir(parents=True)
    config = CompareConfig(generated=(str(folder), f"sd={folder}"))
    assert without_folders(config).generated == ("sd=2", "sd=sd=2")


KINDS: tuple[type[RunConfig], ...] = (*(c.config for c in COMMANDS), AnnotateConfig, PlanConfig)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_that_takes_a_file_or_folder_is_marked(kind: type[RunConfig]) -> None:
    says = re.compile(r"\b(files?|FILE|folders?|FOLDER|CSV|parquet|TOML)\b")
    told = {
        name
        for name, field in kind.model_fields.items()
        if says.search(field.description or "") and name not in ("write_kept", "write_rows")
    }
    marked = {
        name
        for name, field in kind.model_fields.items()
        if any(isinstance(m, HoldsPath) for m in field.metadata)
    }
    assert told <= marked
    assert {"out"} < marked


@pytest.mark.parametrize(
    ("kind", "key", "value", "found"),
    [
        (AnnotateConfig, "guidance", '"words.txt"', "{}/words.txt"),
        (DriftConfig, "pretrained", '"weights.pt"', "{}/weights.pt"),
        (DriftConfig, "pretrained", '"nets/other.pt"', "{}/nets/other.pt"),
        (DriftConfig, "pretrained", '"openai"', "openai"),
        (CompareConfig, "generated", '["a=b", "sd=x", "y"]', ("{}/a=b", "sd={}/x", "{}/y")),
        (ProbeConfig, "generated", '"p=q"', "{}/p=q"),
        (ScanConfig, "share", '"kept:terms:t.toml=x"', "kept:terms:{}/t.toml=x"),
        (ScanConfig, "by", '"terms:t.toml"', ("terms:{}/t.toml",)),
        (FiltersConfig, "recipe", '["none", "r.toml"]', ("none", "{}/r.toml")),
        (PlanConfig, "shards", '["/a", "hf://x/y", "z"]', ("/a", "hf://x/y", "{}/z")),
        (ComposeConfig, "scores", '["hat=s.csv"]', ("hat={}/s.csv",)),
        (ComposeConfig, "ratings", '"r.csv"', ("{}/r.csv",)),
    ],
)
def test_paths_in_a_file_are_relative_to_it(
    kind: type[RunConfig], key: str, value: str, found: str | tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "weights.pt").touch()
    (tmp_path / "a=b").mkdir()
    needed = {"concept": "x", "pairs": "p.csv", "folder": "run"}
    more = {k: v for k, v in needed.items() if k in kind.model_fields}
    file = tmp_path / "config.toml"
    file.write_text(f"{key} = {value}\n", encoding="utf-8")
    here = str(tmp_path)
    expected = (
        found.format(here) if isinstance(found, str) else tuple(f.format(here) for f in found)
    )
    assert getattr(load_config(file, more, kind), key) == expected


# The same bytes wherever the inputs lie

HAT = (
    'name = "hat"\ntitle = "hat"\nabout = "x"\ncontrast = "cap"\nagainst = "none"\nparity = 0.5\n'
    'reader = "scores"\n[[level]]\nname = "cap"\n[[level]]\nname = "none"\n'
)
RECIPE = (
    'name = "mine"\ntitle = "mine"\nsource = "me"\nconfidence = "verified"\n[[step]]\n'
    'id = "alt-text"\nkind = "caption-present"\ntitle = "a caption"\nsource = "me"\n'
)


def table(path: Path, rows: list[dict[str, Any]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def composed(folder: Path) -> str:
    levels = ["cap", "none", "none"] * 20
    rows = [{"picture": f"p{i}", "hat": level} for i, level in enumerate(levels[:30])]
    scores = pl.DataFrame({"id": [f"p{i}" for i in range(60)], "level": levels})
    scores.write_csv(folder / "scores.csv")
    (folder / "hat.toml").write_text(HAT, encoding="utf-8")
    config = ComposeConfig(
        ratings=(table(folder / "ratings.csv", rows),),
        scores=(f"hat={folder / 'scores.csv'}",),
        attributes=(str(folder / "hat.toml"),),
        out=str(folder / "run"),
    )
    return compose(config).to_json()


def drifted(folder: Path) -> str:
    rows = [{"hat_before": "cap", "hat_after": level} for level in ["cap", "none", "none"] * 5]
    (folder / "hat.toml").write_text(HAT, encoding="utf-8")
    config = DriftConfig(
        pairs=table(folder / "pairs.csv", rows),
        attributes=(str(folder / "hat.toml"),),
        model=f"local-dir:{folder}/net",
        pretrained=str(folder / "weights.pt"),
    )
    return drift(config).to_json()


def probed(folder: Path) -> str:
    for name in ("recipe.toml", "already.toml"):
        (folder / name).write_text(RECIPE, encoding="utf-8")
    shares = [{"concept": "doctor", "level": "woman", "share": 0.4, "reference": "census"}]
    config = ProbeConfig(
        concept="doctor",
        shards=(str(write(folder / "shards", frame(40))),),
        recipe=str(folder / "recipe.toml"),
        already=str(folder / "already.toml"),
        reference=(table(folder / "labour.csv", shares),),
        model=f"local-dir:{folder}/net",
        cache=str(folder / "cache"),
        runner="serial",
        audit_captions=5,
    )
    return probe(config).to_json()


@pytest.mark.parametrize("made", [composed, drifted, probed])
def test_the_same_inputs_in_two_folders_give_the_same_bytes(
    made: Callable[[Path], str], tmp_path: Path
) -> None:
    texts = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        texts.append(made(tmp_path / name))
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]
