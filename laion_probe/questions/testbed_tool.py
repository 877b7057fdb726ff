"""What the tool says of a testbed's run: it is given the folders, and nothing of the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from laion_probe.config import OutliersConfig
from laion_probe.errors import NotEnoughData
from laion_probe.outliers_result import OutlierCluster, RecipeWeighed, Verdict
from laion_probe.questions.outliers import outliers
from laion_probe.questions.outliers_inputs import open_outliers
from laion_probe.testbed.planting import ARMS, PlantedRows
from laion_probe.testbed_result import How, ToolSaid

__all__ = ["PLANTED_KINDS", "tool_said"]

#: The explanations that the design plants, by the names that `outliers` has for them.
PLANTED_KINDS = ("over-represented", "emptied")

_SHOWN = 50  # training rows by which a cluster of the command's is known
_MOSTLY = 0.5


def tool_said(
    run: Path, arm: str, planted: PlantedRows, asked: OutliersConfig
) -> tuple[ToolSaid, ...]:
    """Ask the tool of one run, as a user would and pointed to the cluster; compare with the plan.

    ``run`` holds data/, with a row for each of ``planted``, and samples/; ``asked`` has the options
    beside those two. An answer is right when, of the two explanations, exactly the planted ones are
    supported: by the command, at its largest cluster of outputs whose nearest training rows are
    mostly planted; pointed, where it is given the outputs whose nearest training row is planted
    (``--picked``), as a person who noticed them would.
    """
    config = asked.model_copy(
        update={
            "generated": str(run / "samples"),
            "data": str(run / "data"),
            "show": _SHOWN,
        }
    )
    ids = {str(i) for i in planted.rows[planted.cluster]}
    # One run answers both: picked outputs are a cluster beside the others, and change none.
    names = run / "picked.txt"
    names.write_text("".join(f"{n}\n" for n in _noticed(config, planted)), encoding="utf-8")
    picked = config.model_copy(update={"picked": str(names)})
    try:
        clusters = outliers(picked).clusters
    except NotEnoughData as error:
        return _by_command(config, arm, ids), _said("pointed", arm, None, str(error))
    return (
        _at_the_planted(clusters[1:], arm, ids),
        _said("pointed", arm, _verdicts(clusters[0].weighed), ""),
    )


def _noticed(config: OutliersConfig, planted: PlantedRows) -> list[str]:
    """Names of the outputs whose nearest training row is a planted one."""
    opened = open_outliers(config, lambda what, done, of: None)
    data, asked = opened.data, opened.asked
    rows = data.vectors(np.arange(data.n_rows))
    cosines = asked.vectors @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T
    picked = planted.cluster[cosines.argmax(axis=1)]
    return [file.id for file, yes in zip(asked.files, picked, strict=True) if yes]


def _by_command(config: OutliersConfig, arm: str, planted: Set[str]) -> ToolSaid:
    try:
        return _at_the_planted(outliers(config).clusters, arm, planted)
    except NotEnoughData as error:
        return _said("command", arm, None, str(error))


def _at_the_planted(clusters: Sequence[OutlierCluster], arm: str, planted: Set[str]) -> ToolSaid:
    """What the command says of its largest cluster beside mostly planted rows."""
    here = [c for c in clusters if _mostly(c, planted)]
    at = max(here, key=lambda c: c.n_outputs, default=None)
    if at is None:
        n = len(clusters)
        return _said("command", arm, None, f"none of {n} described clusters is the planted one")
    note = "" if at.weighed else "the cluster is not surely drawn more often than its share"
    return _said("command", arm, _verdicts(at.weighed), note)


def _said(
    how: How,
    arm: str,
    verdicts: Mapping[str, Verdict] | None,
    note: str,
) -> ToolSaid:
    """An answer; without verdicts (None) there is no such cluster."""
    there = (ARMS[arm].over, ARMS[arm].emptied)
    wanted = tuple(kind for kind, yes in zip(PLANTED_KINDS, there, strict=True) if yes)
    said = dict(verdicts or {})
    supported = tuple(kind for kind in PLANTED_KINDS if said.get(kind) == "supported")
    return ToolSaid(
        how=how,
        planted=wanted,
        supported=supported,
        found=verdicts is not None,
        right=supported == wanted,
        verdicts=said,
        note=note,
    )


def _mostly(cluster: OutlierCluster, planted: Set[str]) -> bool:
    """Whether the training rows shown beside a cluster are mostly planted ones, by their ids."""
    shown = [p.id for s in cluster.pictures if s.id == "training-nearest" for p in s.pictures]
    return bool(shown) and sum(i in planted for i in shown) > _MOSTLY * len(shown)


def _verdicts(weighed: tuple[RecipeWeighed, ...]) -> dict[str, Verdict]:
    return {
        e.kind: e.verdict
        for recipe in weighed
        for e in recipe.explanations
        if e.kind in PLANTED_KINDS
    }
