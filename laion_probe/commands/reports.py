"""Commands that write a run folder: each its config, its question and its report.

A command is one line of `COMMANDS`; torch, FAISS and the reports are imported by the command that
needs them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from laion_probe.config import (
    BlockedConfig,
    CompareConfig,
    ComposeConfig,
    DftConfig,
    DriftConfig,
    ExploreConfig,
    FiltersConfig,
    NeighboursConfig,
    NonresponseConfig,
    OutliersConfig,
    ProbeConfig,
    RebalanceConfig,
    RobustnessConfig,
    RunConfig,
    ScanConfig,
    TestbedConfig,
)
from laion_probe.terminal import Live, Progress

__all__ = ["COMMANDS", "Command", "Said"]

R = TypeVar("R")


@dataclass(frozen=True)
class Said:
    """What a command prints when it is done: sentences, and what failed."""

    sentences: Sequence[str]
    failed: Sequence[str] = ()


@dataclass(frozen=True)
class Command:
    """A command that writes a run folder.

    ``argument`` is the field of the config that is given without a flag ('' for none), ``many``
    says that it takes any number of words; ``run(config, quiet, folder)`` computes and writes,
    ``slug`` names the folder where no ``--out`` does.
    """

    name: str
    help: str
    description: str
    config: type[RunConfig]
    argument: str
    many: bool
    slug: Callable[[Any], str]
    run: Callable[[Any, bool, Path], Said]


def _slug(words: str) -> str:
    return re.sub(r"[^\w]+", "-", words.lower()).strip("-")[:60]


def _stem(path: str) -> str:
    return _slug(Path(path).stem)


def _asked(
    ask: Callable[[Progress], R], write: Callable[[R, Path], None], quiet: bool, folder: Path
) -> R:
    """What the question finds, with its progress shown and its report written."""
    with Progress(quiet=quiet) as progress:
        result = ask(progress)
    write(result, folder)
    return result


def _probe(config: ProbeConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.probe import probe
    from laion_probe.render import render_run

    result = _asked(lambda p: probe(config, p), render_run, quiet, folder)
    return Said(result.finding.sentences)


def _scan(config: ScanConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.scanning import scan
    from laion_probe.render import render_scan

    with Live(quiet=quiet) as watch:
        result = scan(config, watch)
    render_scan(result, folder)
    return Said(result.finding, [failed.reason for failed in result.failed_units])


def _filters(config: FiltersConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.filters import filters
    from laion_probe.render import render_filters

    result = _asked(
        lambda p: filters(
            config, lambda done, of, n: p("filters", done, of, f"{n:,} rows"), folder
        ),
        render_filters,
        quiet,
        folder,
    )
    return Said(result.finding, [failed.reason for failed in result.failed_units])


def _compose(config: ComposeConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.composing import compose
    from laion_probe.render import render_compose

    result = compose(config)
    render_compose(result, folder)
    return Said(result.finding)


def _compare(config: CompareConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.comparing import compare
    from laion_probe.render import render_compare

    result = _asked(lambda p: compare(config, p), render_compare, quiet, folder)
    return Said(result.finding.sentences)


def _drift(config: DriftConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.drift import drift
    from laion_probe.render import render_drift

    result = _asked(lambda p: drift(config, p), render_drift, quiet, folder)
    return Said(result.finding.sentences)


def _neighbours(config: NeighboursConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.neighbours import neighbours
    from laion_probe.render import render_neighbours

    result = _asked(lambda p: neighbours(config, p, folder), render_neighbours, quiet, folder)
    return Said(result.finding)


def _nonresponse(config: NonresponseConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.nonresponse import nonresponse
    from laion_probe.render import render_nonresponse

    result = _asked(lambda p: nonresponse(config, p), render_nonresponse, quiet, folder)
    return Said(result.finding)


def _outliers(config: OutliersConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.outliers import outliers
    from laion_probe.render import render_outliers

    result = _asked(lambda p: outliers(config, p, folder), render_outliers, quiet, folder)
    return Said(result.finding)


def _explore(config: ExploreConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.exploring import explore
    from laion_probe.render import render_explore

    result = _asked(lambda p: explore(config, p, folder), render_explore, quiet, folder)
    return Said(result.finding)


def _blocked(config: BlockedConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.blocked import blocked
    from laion_probe.render import render_blocked

    result = _asked(lambda p: blocked(config, p), render_blocked, quiet, folder)
    return Said(result.finding)


def _testbed(config: TestbedConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.testbed import testbed
    from laion_probe.render import render_testbed

    result = _asked(lambda p: testbed(config, p, folder), render_testbed, quiet, folder)
    return Said(result.finding)


def _rebalance(config: RebalanceConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.rebalancing import rebalance
    from laion_probe.render import render_rebalance

    result = _asked(lambda p: rebalance(config, p, folder), render_rebalance, quiet, folder)
    return Said(result.finding)


def _dft_plan(config: DftConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.dft import dft_plan
    from laion_probe.render import render_dft

    result = _asked(lambda p: dft_plan(config, p, folder), render_dft, quiet, folder)
    return Said(result.finding)


def _robustness(config: RobustnessConfig, quiet: bool, folder: Path) -> Said:
    from laion_probe.questions.robustness import robustness
    from laion_probe.render import render_robustness

    result = _asked(lambda p: robustness(config, p), render_robustness, quiet, folder)
    return Said(result.finding)


COMMANDS = (
    Command(
        "probe",
        "follow a concept from the pool through a recipe to generated pictures",
        "Follow a concept from the pool through a recipe to generated pictures. "
        "Without --shards and --config, the embedded demo data (data/demo) are used.",
        ProbeConfig,
        "concept",
        False,
        lambda config: _slug(config.concept) or "probe",
        _probe,
    ),
    Command(
        "filters",
        "replay recipes side by side: who is filtered out, by which step",
        "Replay published filters on captions and metadata and account for who is "
        "removed, by which step: by script, caption-stated gender, religion ... Everything is "
        "read, or, with --max-units or --max-rows, a random sample of row groups.",
        FiltersConfig,
        "shards",
        True,
        lambda config: "filters-" + "-".join(map(_stem, config.recipe))[:60],
        _filters,
    ),
    Command(
        "scan",
        "run a recipe over any amount of shards: who is left after each step",
        "Run a recipe over shards and count who is left after each step. Everything is "
        "read, or, with --until or a --max, a random sample of row groups, with intervals that "
        "hold whenever one stops. Run the same command again to go on where it was ended.",
        ScanConfig,
        "shards",
        True,
        lambda config: f"scan-{_stem(config.recipe)}",
        _scan,
    ),
    Command(
        "compose",
        "shares from labelled pictures: human ratings, a classifier's labels, or both",
        "Estimate the composition of a set of pictures from a table of human ratings, from a "
        "classifier's labels of all of them, or from both: then the interval holds even if the "
        "classifier is biased. The estimator is chosen by what is there, and named.",
        ComposeConfig,
        "ratings",
        True,
        lambda config: "compose-" + _stem((*config.ratings, "scores")[0]),
        _compose,
    ),
    Command(
        "compare",
        "a data set beside generators and references, for many concepts at once",
        "Compare a data set with one or several generators and with references: from CSV files "
        "of counts (concept, source, level, n), or from pictures with --concepts FILE and the "
        "options of probe.",
        CompareConfig,
        "counts",
        True,
        lambda config: "compare-" + _stem((*config.counts, config.concepts or "concepts")[0]),
        _compare,
    ),
    Command(
        "drift",
        "what an edit changes: the same people before and after, pair by pair",
        "Compare pictures before and after an edit, pair by pair: transitions between levels, "
        "colour change of the skin region, exact tests.",
        DriftConfig,
        "pairs",
        False,
        lambda config: f"drift-{_stem(config.pairs)}",
        _drift,
    ),
    Command(
        "neighbours",
        "concepts in a folder of embeddings of any size: neighbours and their composition",
        "Search a folder of embeddings (as `laion-probe embed` or clip-retrieval writes it, "
        "LAION's published ones, DataComp's npz) for concepts, exactly or by an index, and "
        "estimate the composition of what is near, and how it depends on where near ends. No "
        "picture is needed; --sample draws rows for raters.",
        NeighboursConfig,
        "embeddings",
        False,
        lambda config: "neighbours-" + _stem((*config.concept, config.concepts or "concepts")[0]),
        _neighbours,
    ),
    Command(
        "nonresponse",
        "whose pictures no longer download, and what that does to a composition",
        "Count what became of every URL that was tried, by domain, country, language and group; "
        "estimate the composition with bounds, and re-weighted by a model of response, beside "
        "that of the pictures that came.",
        NonresponseConfig,
        "images",
        False,
        lambda config: f"nonresponse-{_stem(config.images)}",
        _nonresponse,
    ),
    Command(
        "outliers",
        "what a model draws too often when nothing was asked for, and which explanations hold",
        "Find what generated pictures (of the empty prompt, or of --prompt) hold too often beside "
        "the training data, and weigh the explanations: short captions, none, emptied by a recipe, "
        "other languages, near-duplicates, few domains ... Without GENERATED and --data, the "
        "embedded demo data are used.",
        OutliersConfig,
        "generated",
        False,
        lambda config: "outliers-" + _stem(config.prompt or config.generated or "demo"),
        _outliers,
    ),
    Command(
        "explore",
        "sets of pictures side by side, without labels: clusters, averages, nearest pictures",
        "Cluster the pictures of several sets together and show how each concept spreads over the "
        "clusters, average pictures, colourfulness and nearest pictures (explorer.html). Without "
        "a set, the embedded demo data are used.",
        ExploreConfig,
        "sets",
        True,
        lambda config: "explore-" + _stem((*config.sets, "demo")[0].rpartition("=")[2]),
        _explore,
    ),
    Command(
        "blocked",
        "what a safety checker would block of generated pictures, by group of prompts",
        "Count what the safety checker flagged (`laion-probe generate --safety flag`), by group of "
        "prompts and, with --attributes, by what pictures show: a filter after the model, reported "
        "as a stage of its own.",
        BlockedConfig,
        "generated",
        False,
        lambda config: f"blocked-{_stem(config.generated)}",
        _blocked,
    ),
    Command(
        "testbed",
        "a controlled experiment: small models trained with and without what is suspected",
        "Train small text-conditional image models on the demo data, with the captions of a "
        "cluster emptied by a recipe or not and the cluster over-represented or not; ask them for "
        "nothing; compare what they draw, and what `outliers` says, with the plan. All 24 runs "
        "take about half an hour on two cores; the same command goes on where it was ended.",
        TestbedConfig,
        "",
        False,
        lambda config: "testbed",
        _testbed,
    ),
    Command(
        "rebalance",
        "weights and subsets that reach targets you name, and what they cost",
        "Weigh the pictures of a finished probe run, or rows of shards, so that they have the "
        "margins that --target names (none is assumed), by raking; say what that costs and whom no "
        "weight can mend; write weights, a subset and a sampler; predict the composition after it "
        "with the labels' error.",
        RebalanceConfig,
        "run",
        False,
        lambda config: "rebalance-" + _stem((config.run, *config.shards, "labels")[0] or "rows"),
        _rebalance,
    ),
    Command(
        "dft-plan",
        "plan a diversity fine-tuning: prompts, numbers from measured gaps, evaluation, price",
        "Plan which pictures a generator would be fine-tuned on, from lists that you name and the "
        "gaps that a finished probe or compare run measured; nothing is drawn or trained.",
        DftConfig,
        "folder",
        False,
        lambda config: "dft-plan-" + _stem(config.folder or "grid"),
        _dft_plan,
    ),
    Command(
        "robustness",
        "rerun a finding under every combination of other choices: a specification curve",
        "Rerun the claims of a finished probe run under every combination of other sensible "
        "choices: language detector, threshold, prompts, whose ratings count. How many say what "
        "the run says, and on which choice that turns.",
        RobustnessConfig,
        "folder",
        False,
        lambda config: "robustness-" + _stem(config.folder),
        _robustness,
    ),
)
