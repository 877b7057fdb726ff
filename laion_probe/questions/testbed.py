"""A controlled experiment: a small model trained with and without what explanations name.

The model is DALL·E mini's own design in miniature. Two things are planted, or not, in its training
data: a cluster whose captions the recipe empties, and a cluster that is over-represented. Each of
the four arms is trained anew for every seed and answers the empty prompt. So what causes what is
known, and what `outliers` says of pictures and data can be held against it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laion_probe import __version__
from laion_probe.config import WHO_COMPUTES, OutliersConfig
from laion_probe.config.testbed import TestbedConfig
from laion_probe.embed import Embedder, load_embedder
from laion_probe.errors import ConfigError
from laion_probe.estimate import Sample, share
from laion_probe.questions.inputs import Progress, model_record
from laion_probe.questions.repeating import command, without_folders
from laion_probe.questions.testbed_runs import RunRead, Runs, runs_folder
from laion_probe.questions.testbed_tool import tool_said
from laion_probe.questions.testbed_words import cannot_say, finding, how_measured
from laion_probe.recipes import load_recipe
from laion_probe.results import Estimate, InputRecord, Picture, PictureSet
from laion_probe.store import fingerprint, run_folder
from laion_probe.testbed.effects import EFFECTS, contrast, log_odds, share_between
from laion_probe.testbed.planting import ARMS
from laion_probe.testbed.stored import embed_drawn, embed_originals, read_stored
from laion_probe.testbed_result import (
    HOW,
    ArmShares,
    Confusion,
    How,
    PlantedEffect,
    ReadOutError,
    RunShare,
    TestbedResult,
    TestbedRun,
    ToolSaid,
)

__all__ = ["testbed"]

Floats = NDArray[np.float64]

_PACKAGES = ("numpy", "open_clip_torch", "pillow", "polars", "scipy", "torch")
_DESCRIBED = 6  # clusters of the outputs that are explained
_ON_SHEET, _ACROSS = 48, 12  # pictures of a run on its sheet
_TITLES = {
    "emptied": "captions of the cluster emptied, against kept",
    "over-represented": "cluster over-represented, against not",
    "interaction": "emptied and over-represented together, beyond the sum of both",
}


def testbed(
    config: TestbedConfig,
    progress: Progress = lambda what, done, of: None,  # noqa: PT028 - no test
    folder: Path | None = None,  # noqa: PT028
) -> TestbedResult:
    """Train every arm for every seed, draw, and weigh what the tool says against the plan.

    Finished runs are kept under ``config.cache``, so that a killed testbed goes on where it was.
    With ``folder``, a sheet of samples of each run is written there. Raises a `LaionProbeError`
    that says what to do when an input cannot be used.

    Example:
        >>> testbed(TestbedConfig(seeds=2, steps=100)).finding  # doctest: +SKIP
    """
    runs = _open(config)
    trained = runs.finish(progress)
    encoder, embedder = _encoder(runs, progress)
    vectors = embed_drawn(runs.stored.book.decode(runs.stored.tokens[:, 0]), embedder)
    finished = []
    for arm, seed in trained:
        finished.append(runs.read(arm, seed, vectors, embedder))
        progress("read", len(finished), len(trained))
    said: dict[tuple[str, int], tuple[ToolSaid, ...]] = {}
    if not config.no_verdicts:
        for done, run in enumerate(finished):
            progress("ask the tool", done, len(finished))
            said[run.arm, run.seed] = _asked(runs, run, encoder)
        progress("ask the tool", len(finished), len(finished))
    if folder is not None:
        _write_sheets(runs, finished, folder / "samples")
    level = config.level
    arms = tuple(_arm(name, finished, level) for name in config.arms)
    every = [(arm, answer) for (arm, _), answers in said.items() for answer in answers]
    confusion = tuple(_confusion(how, arm, every) for how in HOW for arm in config.arms)
    result = TestbedResult(
        data_note=config.data_note
        or "the training data are drawn (data/demo): a simulated pool of drawings, of no person",
        level=level,
        concept=config.concept,
        recipe=runs.recipe.name,
        recipe_title=runs.recipe.title,
        n_runs=len(finished),
        n_right={how: sum(s.right for _, s in every if s.how == how) for how in HOW},
        arms=arms,
        effects=_effects(finished, config),
        confusion=confusion if every else (),
        read_out=_read_out(finished, level),
        runs=tuple(_run(r, said.get((r.arm, r.seed), ())) for r in finished),
        pictures=tuple(_shown(runs, name) for name in config.arms),
        finding=(),
        how_measured=how_measured(config),
        cannot_say=cannot_say(),
        provenance=_provenance(runs, embedder.key),
    )
    return result.model_copy(update={"finding": finding(result)})


def _open(config: TestbedConfig) -> Runs:
    demo = Path(config.demo)
    for name in ("images", "truth.parquet", "clip"):
        if not (demo / name).exists():
            raise ConfigError(
                f"{demo} has no {name}: give the folder of the repository's demo data with --demo"
            )
    recipe = load_recipe(config.recipe)
    stored = read_stored(demo, (config.side, config.patch, config.codes))
    known = {s.concept for s in stored.shown} - {"thing"}
    if config.concept not in known:
        raise ConfigError(
            f"concept '{config.concept}' is not in {demo}: choose from {', '.join(sorted(known))}"
        )
    return Runs(config, stored, recipe)


def _encoder(runs: Runs, progress: Progress) -> tuple[str, Embedder]:
    """The demo's encoder, fitted to what the codebook draws; kept beside the runs."""
    from laion_probe.testbed.encoder import FitOptions, fit_encoder, save_encoder

    config, stored, source = runs.config, runs.stored, Path(runs.config.demo) / "clip"
    given = load_embedder(f"local-dir:{source}", None)
    if not config.fit_steps:
        return f"local-dir:{source}", given
    sizes = [config.side, config.patch, config.codes]
    content = [stored.fingerprint, sizes, given.key["weights_sha256"], config.fit_steps]
    folder = runs_folder(config) / f"encoder-{fingerprint(content)}"
    if not folder.exists():
        wanted = embed_originals(Path(config.demo), stored, given)
        fitted = ~stored.held_out
        model = fit_encoder(
            given,
            stored.book,
            stored.tokens[fitted],
            wanted[fitted],
            FitOptions(config.fit_steps),
            lambda done, of: progress("fit the encoder", done, of),
        )
        with run_folder(folder) as scratch:
            save_encoder(model, source, scratch)
    return f"local-dir:{folder}", load_embedder(f"local-dir:{folder}", None)


def _asked(runs: Runs, run: RunRead, encoder: str) -> tuple[ToolSaid, ...]:
    c = runs.config
    config = OutliersConfig(
        recipe=(c.recipe,),
        model=encoder,
        attributes=(),
        prompt="",
        describe=_DESCRIBED,
        level=c.level,
        cache=str(runs.folder / "embedded"),
    )
    planted = runs.planted(run.arm, run.seed)
    return tool_said(runs.of(run.arm, run.seed), run.arm, planted, config)


# Numbers


def _arm(name: str, finished: list[RunRead], level: float) -> ArmShares:
    mine = [r for r in finished if r.arm == name]
    fixed = [r.read_out.corrected(r.n_hits / r.n_drawn) for r in mine]
    asked = [r.n_asked_hits / r.n_asked for r in mine if r.n_asked]
    return ArmShares(
        arm=name,
        emptied=ARMS[name].emptied,
        over=ARMS[name].over,
        n_runs=len(mine),
        expected=float(np.mean([r.expected for r in mine])),
        data_share=float(np.mean([r.n_cluster / r.n_rows for r in mine])),
        drawn=share_between(np.array([r.n_hits / r.n_drawn for r in mine]), level),
        corrected=share_between(np.array([f for f in fixed if f is not None]), level),
        asked=share_between(np.array(asked), level),
    )


def _effects(finished: list[RunRead], config: TestbedConfig) -> tuple[PlantedEffect, ...]:
    """Effects within seeds; none unless all arms were run with two seeds or more."""
    if config.seeds < 2 or set(config.arms) != set(ARMS):
        return ()
    by = {(r.arm, r.seed): r for r in finished}
    seeds = sorted({r.seed for r in finished})

    def table(of: str) -> Floats:
        return np.array([[float(getattr(by[a, s], of)) for a in ARMS] for s in seeds])

    hits, n, expected = table("n_hits"), table("n_drawn"), table("expected")
    return tuple(
        PlantedEffect(
            name=name,
            title=_TITLES[name],
            difference=contrast(hits / n, signs, config.level),
            odds_ratio=_exponential(contrast(log_odds(hits, n), signs, config.level)),
            expected_difference=float((expected @ np.array(signs)).mean()),
            expected_odds_ratio=float(
                np.exp((np.log(expected / (1 - expected)) @ np.array(signs)).mean())
            ),
        )
        for name, signs in EFFECTS.items()
    )


def _exponential(e: Estimate) -> Estimate:
    ends = [None if x is None else float(np.exp(x)) for x in (e.value, e.low, e.high)]
    return e.model_copy(
        update={
            **dict(zip(("value", "low", "high"), ends, strict=True)),
            "method": f"{e.method}, of empirical log odds",
        }
    )


def _read_out(finished: list[RunRead], level: float) -> ReadOutError:
    """Each seed's own held-out pictures once: its arms have the same."""
    once = {r.seed: r.read_out for r in finished}.values()

    def rate(of: list[tuple[int, int]]) -> Estimate:
        unit = np.concatenate([np.full(n, i) for i, (_, n) in enumerate(of)])
        hit = np.concatenate([np.arange(n) < k for k, n in of])
        return share(hit, np.ones(len(hit), bool), Sample(unit, 0.0, level))

    return ReadOutError(
        found=rate([(r.n_cluster_read, r.n_cluster) for r in once]),
        wrongly=rate([(r.n_others_read, r.n_others) for r in once]),
    )


def _run(run: RunRead, said: tuple[ToolSaid, ...]) -> RunShare:
    drawn = run.n_hits / run.n_drawn
    return RunShare(
        arm=run.arm,
        seed=run.seed,
        n_rows=run.n_rows,
        n_cluster=run.n_cluster,
        n_emptied=run.n_emptied,
        expected=run.expected,
        n_drawn=run.n_drawn,
        n_hits=run.n_hits,
        drawn=drawn,
        corrected=run.read_out.corrected(drawn),
        asked=run.n_asked_hits / run.n_asked if run.n_asked else None,
        loss=run.loss,
        tool=said,
    )


def _confusion(how: How, arm: str, said: list[tuple[str, ToolSaid]]) -> Confusion:
    mine = [s for name, s in said if name == arm and s.how == how]
    names = {(): "neither", ("over-represented",): "over-represented", ("emptied",): "emptied"}
    counts = dict.fromkeys(ARMS, 0)
    for s in mine:
        counts[names.get(s.supported, "both")] += 1
    n_right = sum(s.right for s in mine)
    return Confusion(how=how, arm=arm, n_runs=len(mine), said=counts, n_right=n_right)


# Pictures


def _sheet(run: Path) -> Image.Image:
    """The first samples of a run, as they came, side by side."""
    files = sorted((run / "samples").glob("*.webp"))[:_ON_SHEET]
    pictures = [Image.open(f).convert("RGB") for f in files]
    side = pictures[0].width
    sheet = Image.new("RGB", (side * _ACROSS, side * -(-len(pictures) // _ACROSS)), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (side * (i % _ACROSS), side * (i // _ACROSS)))
    return sheet


def _shown(runs: Runs, arm: str) -> PictureSet:
    """The first run's sheet of one arm."""
    seed = runs.config.seed
    file = io.BytesIO()
    _sheet(runs.of(arm, seed)).save(file, "WEBP", lossless=True)
    uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    n = min(_ON_SHEET, runs.config.samples)
    picture = Picture(
        id=f"{arm}-{seed}",
        caption="the empty prompt",
        similarity=None,
        labels={},
        image=uri,
    )
    return PictureSet(
        id=arm,
        title=arm,
        rule=f"the first {n} answers to the empty prompt of seed {seed}, as they came",
        pictures=(picture,),
    )


def _write_sheets(runs: Runs, finished: list[RunRead], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for run in finished:
        sheet = _sheet(runs.of(run.arm, run.seed))
        sheet.save(folder / f"{run.arm}-{run.seed}.webp", lossless=True)


def _provenance(runs: Runs, key: Mapping[str, str]) -> TestbedRun:
    config = runs.config
    inputs = (
        InputRecord(
            kind="images",
            name=Path(config.demo).resolve().name,
            fingerprint=runs.stored.fingerprint,
            n_rows=len(runs.stored.urls),
            already="",
            note="a hash over the small pictures and their addresses",
        ),
        model_record(key),
    )
    return TestbedRun(
        version=__version__,
        command=command("testbed", config, "", folders=False),
        config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
        inputs=inputs,
        model=dict(key),
        packages={name: metadata.version(name) for name in _PACKAGES},
    )
