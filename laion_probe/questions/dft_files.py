"""The files of a plan: prompts that `generate` reads, the manifest, and the evaluation."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from laion_probe.config import CompareConfig
from laion_probe.config.dft import DftConfig
from laion_probe.config.loading import load_config
from laion_probe.dft_result import EvaluationPlan, PromptsFile
from laion_probe.errors import ConfigError
from laion_probe.estimate import wilson
from laion_probe.generating import Plan, Prompt, read_prompts
from laion_probe.questions.dft_lists import Axis, Term
from laion_probe.questions.dft_prompts import PlannedPrompt, fill
from laion_probe.questions.generators import prompts_of
from laion_probe.questions.many import read_concepts

__all__ = ["Targets", "layers", "write_evaluation", "write_manifest", "write_prompts"]

_LANGUAGE = "en"
_COLUMNS = ("prompt", "group", "concept", "language")
_HELD_OUT, _TRAINED = "held-out", "trained"


def layers(counts: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Numbers of pictures as few files: (pictures of each, which prompts), to be added up.

    `generate` draws the same number of every prompt of a file. The first file has all prompts, with
    the least number; what is left of each is written in powers of two.

    >>> layers([3, 3, 8])
    [(3, [0, 1, 2]), (1, [2]), (4, [2])]
    """
    least = min(counts, default=0)
    if least <= 0:
        return []
    found = [(least, list(range(len(counts))))]
    for bit in range(max(counts).bit_length()):
        which = [i for i, n in enumerate(counts) if (n - least) >> bit & 1]
        if which:
            found.append((1 << bit, which))
    return found


def write_prompts(
    prompts: Sequence[PlannedPrompt], config: DftConfig, folder: Path
) -> tuple[PromptsFile, ...]:
    """Write ``prompts/*.csv`` and read each back as `generate` will; each has a seed of its own.

    With one seed, a prompt that stands in two files would be drawn twice from the same noise.
    """
    found = []
    for number, (images, which) in enumerate(layers([p.n_pictures for p in prompts])):
        name = "all" if number == 0 else f"plus-{images}"
        path = f"prompts/{name}.csv"
        rows = [_as_prompt(prompts[i]) for i in which]
        _write_csv(folder / path, rows)
        seed = config.seed + number
        into = f"training/{name}"
        found.append(
            PromptsFile(
                path=path,
                folder=into,
                n_prompts=len(rows),
                images=images,
                n_pictures=images * len(rows),
                seed=seed,
                command=_generate(path, images, seed, into),
            )
        )
    return tuple(found)


def _as_prompt(planned: PlannedPrompt) -> Prompt:
    return Prompt(planned.text, planned.group, planned.profession.term, _LANGUAGE)


def _generate(
    path: str, images: int, seed: int, into: str, model: str = "MODEL", *more: str
) -> str:
    words = ["--prompts", path, "--images", str(images), "--seed", str(seed), *more, "--out", into]
    return shlex.join(["laion-probe", "generate", model, *words])


def _write_csv(path: Path, prompts: Sequence[Prompt]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows((p.text, p.group, p.concept, p.language) for p in prompts)
    # What generate could not read would be found out only after the plan was handed on.
    if read_prompts(str(path)) != tuple(prompts):
        raise ConfigError(
            f"prompts {path.name} do not come back as they were written: look for spaces at the "
            "ends of words in the lists"
        )


def write_manifest(
    prompts: Sequence[PlannedPrompt],
    files: Sequence[PromptsFile],
    axes: Sequence[Axis],
    folder: Path,
) -> None:
    """Write ``manifest.parquet``, a row a training picture.

    ``folder``, ``prompt`` and ``number`` find the picture in what `generate` writes (``seed`` is
    that of its row there). ``caption_stated`` says what was asked for, ``caption_neutral`` leaves
    the words of the axes out: which of them a model is trained on is the trainer's choice. Each
    axis has its word and, as ``<axis>_level``, what that stands for.
    """
    facts = pl.DataFrame(
        {
            "prompt": [p.text for p in prompts],
            "caption_stated": [p.text for p in prompts],
            "caption_neutral": [p.neutral for p in prompts],
            "profession": [p.profession.term for p in prompts],
            "profession_code": [p.profession.code for p in prompts],
            "group": [p.group for p in prompts],
            **{
                name: [words(p.terms[i]) for p in prompts]
                for i, axis in enumerate(axes)
                for name, words in ((axis.name, _term), (f"{axis.name}_level", _level))
            },
        },
        schema_overrides={"prompt": pl.String},
    )
    frames = [pl.DataFrame(schema=_PICTURE), *(_pictures(file, folder) for file in files)]
    pictures = pl.concat(frames)
    manifest = pictures.join(facts, on="prompt", how="left", maintain_order="left")
    manifest.write_parquet(folder / "manifest.parquet", compression="zstd")


_PICTURE = {"folder": pl.String, "prompt": pl.String, "number": pl.Int64, "seed": pl.Int64}


def _pictures(file: PromptsFile, folder: Path) -> pl.DataFrame:
    plan = Plan(read_prompts(str(folder / file.path)), file.images, file.seed)
    every = [p for part in range(plan.n_parts) for p in plan.part(part)]
    return pl.DataFrame(
        {
            "folder": [file.folder] * len(every),
            "prompt": [p.prompt.text for p in every],
            "number": [p.number for p in every],
            "seed": [p.seed for p in every],
        },
        schema=_PICTURE,
    )


def _term(term: Term) -> str:
    return term.term


def _level(term: Term) -> str:
    return term.stands_for


@dataclass(frozen=True)
class Targets:
    """An attribute to evaluate, the level that is compared, and the share that was aimed at."""

    attribute: str
    level: str = ""
    share: float | None = None


def write_evaluation(
    held_out: Sequence[Term],
    trained: Sequence[Term],
    targets: Sequence[Targets],
    config: DftConfig,
    folder: Path,
) -> tuple[EvaluationPlan, tuple[str, ...]]:
    """Write ``evaluation/``, read it back as `compare` will, and say what of it cannot be told.

    One file of neutral prompts is drawn before and after, from the same seeds. Professions that
    were held out and those that were trained on are compared apart.
    """
    root = folder / "evaluation"
    sets = {_HELD_OUT: held_out, _TRAINED: trained}
    template = config.template[0]
    prompts = [
        Prompt(fill(template, term, {}), name, term.term, _LANGUAGE)
        for name, terms in sets.items()
        for term in terms
    ]
    _write_csv(root / "prompts.csv", prompts)
    files: list[str] = []
    notes: list[str] = []
    texts = [p.text for p in prompts]
    for name, terms in sets.items():
        if not terms:
            continue
        concepts = [term.term for term in terms]
        file = root / f"{name}.txt"
        file.write_text("\n".join(concepts) + "\n", encoding="utf-8")
        if read_concepts(str(file)) != tuple(concepts):
            raise ConfigError(
                f"{file.name}: compare would not read the professions as they are in the lists: "
                "look for one that begins with # or holds a line end"
            )
        unclear = [c for c in concepts if len(prompts_of(c, texts, concepts)) != 1]
        if unclear:
            notes.append(
                f"compare will leave out {', '.join(unclear)} ({name}): several prompts of the "
                "evaluation name it."
            )
        for target in targets or (Targets(""),):
            ending = f"-{target.attribute}" if len(targets) > 1 else ""
            path = f"evaluation/compare-{name}{ending}.toml"
            lines = "".join(f"{line}\n" for line in _compare_toml(name, target, config))
            (folder / path).write_text(lines, encoding="utf-8")
            load_config(folder / path, {}, CompareConfig)
            files.append(path)
    same = ("--same-seeds",)
    commands = [
        _generate("evaluation/prompts.csv", config.evaluate, config.seed, into, model, *same)
        for model, into in (
            ("MODEL", "evaluation/before"),
            ("FINE_TUNED_MODEL", "evaluation/after"),
        )
    ]
    commands += [
        shlex.join(["laion-probe", "compare", "--config", path, "--shards", "SHARDS", "--images"])
        + " IMAGES"
        for path in files
    ]
    low, high = wilson(config.evaluate / 2, config.evaluate)
    return (
        EvaluationPlan(
            prompts="evaluation/prompts.csv",
            n_held_out=len(held_out),
            n_trained=len(trained),
            images=config.evaluate,
            n_pictures=2 * config.evaluate * len(prompts),
            half_width=(high - low) / 2,
            configs=tuple(files),
            commands=tuple(commands),
        ),
        tuple(notes),
    )


def _compare_toml(name: str, target: Targets, config: DftConfig) -> Iterator[str]:
    yield "# laion-probe compare --config THIS --shards SHARDS --images IMAGES"
    yield f"# Professions: {name}. The data set is the one that the generator was trained on, or"
    yield "# any other that both models are to be seen beside: before and after are each compared"
    yield "# with it."
    yield f"concepts = {json.dumps(f'{name}.txt')}"
    yield 'generated = ["before=before", "after=after"]'
    yield f"seed = {config.seed}"
    yield f"level = {config.level}"
    if target.attribute:
        yield f"attributes = [{_text(target.attribute)}]"
    if target.level:
        yield f"reported = {_text(target.level)}"
    if target.share is not None:
        yield f"reference = [{_text(f'{target.attribute}:target={target.share:.6g}')}]"


def _text(words: str) -> str:
    """A text as TOML has it; JSON would write a character beyond the first plane as two."""
    return json.dumps(words, ensure_ascii=False)
