"""Whether a probe's finding outlives other sensible choices: a specification curve.

Simonsohn, Simmons and Nelson (2020), "Specification curve analysis", and Steegen et al. (2016),
"Increasing transparency through a multiverse analysis": the claim is estimated under every
combination of choices that could as well have been made, and all of them are shown. Their joint
test under the null is not done here: specifications share their pictures, and a share of them is
no probability.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from laion_probe import __version__
from laion_probe.compose_result import RunOf
from laion_probe.config import WHO_COMPUTES, ProbeConfig, beside, make_config
from laion_probe.config.robustness import RobustnessConfig
from laion_probe.errors import ConfigError
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.inputs import Progress, cache_folder, input_records
from laion_probe.questions.opening_runs import open_result
from laion_probe.questions.repeating import command, without_folders
from laion_probe.questions.robustness_choices import choices_of, list_specifications
from laion_probe.questions.robustness_curves import Reruns, curve, reproduced
from laion_probe.questions.robustness_overlap import beside_the_run, other_pictures
from laion_probe.questions.robustness_reruns import Again, Opened, open_again
from laion_probe.questions.robustness_words import (
    cannot_say,
    finding_of,
    how_measured,
    title_of,
)
from laion_probe.results import InputRecord
from laion_probe.robustness_result import RobustnessResult, Specification
from laion_probe.shards import file_sha256

__all__ = ["robustness"]


def robustness(
    config: RobustnessConfig, progress: Progress = lambda what, done, of: None
) -> RobustnessResult:
    """Rerun the claims of a probe run under every combination of other choices.

    The run's inputs are read again (embeddings and verdicts come from its cache). A specification
    that cannot be computed is counted and says why. Raises `ConfigError` where the run makes no
    claim, or its inputs are no longer there.

    Example:
        >>> from laion_probe.config.robustness import RobustnessConfig
        >>> robustness(RobustnessConfig(folder="runs/doctor")).finding  # doctest: +SKIP
    """
    asked, run = _run_of(Path(config.folder))
    if not run.finding.claims:
        raise ConfigError(
            f"the run {config.folder} makes no claim ({run.concept.status}), so there "
            "is nothing that other choices could change; give a run with pictures and a "
            "recipe, or generated pictures"
        )
    opened = open_again(asked, progress)
    if not opened.concept.near.any():
        raise ConfigError(
            f"the inputs of {config.folder} are not what they were: nothing is near “"
            f"{asked.concept}” any more; run the probe again"
        )
    choices = choices_of(config, opened.inputs.recipe, asked.concept, opened.inputs.ratings)
    listed = list_specifications(choices, config.most, config.seed)
    again = Again(opened, progress)
    choices = beside_the_run(again, choices)
    said, sizes = [], []
    for i, one in enumerate(listed.specifications):
        found, n = again.says(one)
        said.append(found)
        sizes.append(n)
        progress("specifications", i + 1, len(listed.specifications))
    reruns = Reruns(run, listed, choices, said, config.level)
    titles = {a.name: a.title for a in opened.inputs.attributes}
    claims = tuple(
        curve(reruns, c, title_of(c.id, titles[c.id.partition(":")[2]])) for c in run.finding.claims
    )
    is_same = reproduced(run, said[0])
    return RobustnessResult(
        data_note=config.data_note or run.data_note,
        concept=run.concept.name,
        recipe=run.recipe,
        level=config.level,
        n_possible=listed.n_possible,
        sampled=listed.sampled,
        reproduced=is_same,
        choices=choices,
        specifications=tuple(
            Specification(choices=one, is_run=i == 0, listed=is_listed, n_pictures=sizes[i])
            for i, (one, is_listed) in enumerate(
                zip(listed.specifications, listed.listed, strict=True)
            )
        ),
        claims=claims,
        finding=tuple(finding_of(claims, listed, is_same, other_pictures(choices))),
        how_measured=tuple(how_measured(choices, listed, config.seed, run)),
        cannot_say=tuple(cannot_say(opened.inputs, is_same)),
        provenance=_provenance(config, asked, opened),
    )


def _run_of(folder: Path) -> tuple[ProbeConfig, ProbeResult]:
    """The config of a probe run, with paths as they were seen from where it ran, and its result.

    Where that folder is no longer there, data and run were moved: paths are then relative to the
    working directory.
    """
    kind, result = open_result(folder)
    if not isinstance(result, ProbeResult):
        raise ConfigError(f"{folder} is a run of {kind}: give the folder of a probe run")
    path = (folder.parent if folder.is_file() else folder) / "run.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        values, where = dict(told["config"]), Path(told["working_directory"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{folder} has no run.json that can be read, so its inputs are not known: give the "
            "folder that `laion-probe probe` wrote, with report.html in it"
        ) from None
    where = where if where.is_dir() else Path.cwd()
    config = make_config(beside(where, values, ProbeConfig), ProbeConfig, where=str(path))
    return config.model_copy(update={"cache": str(where / cache_folder(config))}), result


def _provenance(config: RobustnessConfig, asked: ProbeConfig, opened: Opened) -> RunOf:
    return RunOf(
        version=__version__,
        command=command("robustness", config, "folder", folders=False),
        config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
        inputs=tuple(_records(config, asked, opened)),
    )


def _records(config: RobustnessConfig, asked: ProbeConfig, opened: Opened) -> Iterator[InputRecord]:
    """The run, and what it was made of."""
    path = Path(config.folder)
    path = path if path.is_file() else path / "result.json"
    yield InputRecord(
        kind="table",
        name=path.name,
        fingerprint=file_sha256(path),
        n_rows=None,
        already="",
        note="the run's result",
    )
    yield from input_records(opened.inputs, asked)
    yield from opened.pool.records
