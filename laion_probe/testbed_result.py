"""What ``laion-probe testbed`` found: what was planted, what was drawn, and what the tool said."""

from __future__ import annotations

from typing import Literal

from laion_probe.outliers_result import Verdict
from laion_probe.results import SCHEMA_VERSION, Document, Estimate, InputRecord, PictureSet, Value

__all__ = [
    "HOW",
    "ArmShares",
    "Confusion",
    "How",
    "PlantedEffect",
    "ReadOutError",
    "RunShare",
    "TestbedResult",
    "TestbedRun",
    "ToolSaid",
]

#: How the tool is asked: as a user would, or pointed to the cluster.
How = Literal["command", "pointed"]
HOW: tuple[How, ...] = ("command", "pointed")


class ToolSaid(Value):
    """What the tool said of one run, against what was planted.

    ``planted`` and ``supported`` hold names of explanations, of "over-represented" and "emptied".
    ``how`` is "command" for `outliers` as a user calls it, which explains only what is drawn more
    often than its share of the data, or "pointed" where it is given the outputs that show the
    cluster (``--picked``), as by a person who noticed them. ``found`` is False where there is no
    such cluster, or no such outputs; then nothing is supported. ``verdicts`` are those there;
    ``note`` says what stopped it.
    """

    how: How
    planted: tuple[str, ...]
    supported: tuple[str, ...]
    found: bool
    right: bool
    verdicts: dict[str, Verdict]
    note: str = ""


class RunShare(Value):
    """One run: a model trained anew.

    ``expected`` is the cluster's share of training examples without words, ``drawn`` its share of
    the answers to the empty prompt as read, ``corrected`` the same without the read-out's error,
    ``asked`` its share of answers to the prompt that names it (None where none were drawn).
    ``tool`` is empty where verdicts were not asked for.
    """

    arm: str
    seed: int
    n_rows: int
    n_cluster: int
    n_emptied: int
    expected: float
    n_drawn: int
    n_hits: int
    drawn: float
    corrected: float | None
    asked: float | None
    loss: float
    tool: tuple[ToolSaid, ...]


class ArmShares(Value):
    """One cell of the design: means over its runs, with intervals between runs."""

    arm: str
    emptied: bool
    over: bool
    n_runs: int
    expected: float
    data_share: float
    drawn: Estimate
    corrected: Estimate
    asked: Estimate


class PlantedEffect(Value):
    """A main effect or the interaction: differences of shares, and of their log odds.

    ``expected_difference`` and ``expected_odds_ratio`` are what the training mix alone would give.
    """

    name: str
    title: str
    difference: Estimate
    odds_ratio: Estimate
    expected_difference: float
    expected_odds_ratio: float


class Confusion(Value):
    """Of the runs of one arm, in how many the tool supported what.

    ``said`` counts runs by what was supported: "neither", "over-represented", "emptied", "both".
    """

    how: How
    arm: str
    n_runs: int
    said: dict[str, int]
    n_right: int


class ReadOutError(Value):
    """How the experiment's read-out errs on held-out stored pictures, all seeds together."""

    found: Estimate
    wrongly: Estimate


class TestbedRun(Value):
    """What it takes to repeat the run."""

    __test__ = False

    version: str
    command: str
    config: dict[str, object]
    inputs: tuple[InputRecord, ...]
    model: dict[str, str]
    packages: dict[str, str]


class TestbedResult(Document):
    """Everything that one testbed found; its report is drawn from it.

    ``effects`` are empty unless all four arms were run with two seeds or more; ``confusion`` is
    empty where verdicts were not asked for. ``n_right`` counts runs by how the tool was asked.
    """

    __test__ = False

    schema_version: int = SCHEMA_VERSION
    data_note: str
    level: float
    concept: str
    recipe: str
    recipe_title: str
    n_runs: int
    n_right: dict[str, int]
    arms: tuple[ArmShares, ...]
    effects: tuple[PlantedEffect, ...]
    confusion: tuple[Confusion, ...]
    read_out: ReadOutError
    runs: tuple[RunShare, ...]
    pictures: tuple[PictureSet, ...]
    finding: tuple[str, ...]
    how_measured: tuple[str, ...]
    cannot_say: tuple[str, ...]
    provenance: TestbedRun
