"""What a step removed, as a datasheet tells it; and that a datasheet is of one set."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from laion_probe.config import DatasheetConfig
from laion_probe.errors import ConfigError
from laion_probe.questions.datasheet import datasheet
from laion_probe.questions.datasheet_numbers import _shown_share
from laion_probe.questions.datasheet_tables import _steps
from laion_probe.results import Estimate, StepEffect


def effect(outcomes: dict[str, int], *, observable: bool = True, reached: int = 90) -> StepEffect:
    none = Estimate(value=None, low=None, high=None, n=0, units=0, method="made up")
    return StepEffect(
        id="a",
        kind="score",
        title="a step",
        source="made up",
        confidence="user",
        simulated="yes",
        note="",
        observable=observable,
        outcomes=outcomes,
        n_reached=reached,
        n_removed_here=outcomes.get("drop", 0),
        removed_share=none,
    )


@pytest.mark.parametrize(
    ("step", "reached", "removed"),
    [
        (effect({"keep": 80, "drop": 20}), 90, 20),
        (effect({"keep": 99, "not_evaluable": 1}), 90, 0),
        (effect({"keep": 70, "rewrite": 30}), 90, 0),  # a rewrite removes nothing, and that is 0
        (effect({"not_evaluable": 100}), 90, None),  # no row could be judged: that is not 0
        (effect({"keep": 100}, observable=False), None, None),
        (effect({"not_evaluable": 0}, reached=0), 0, 0),
    ],
)
def test_what_could_not_be_judged_is_not_zero(
    step: StepEffect, reached: int | None, removed: int | None
) -> None:
    (line,) = _steps("filters", (step,), ("recipes", 0, "steps"))
    assert (line.n_reached, line.n_removed) == (reached, removed)


def test_an_end_that_is_as_good_as_none_has_no_row_of_zeros() -> None:
    assert _shown_share(None, 2.6e-12, 0.142).replace("\N{NO-BREAK SPACE}", " ") == (
        "between 0 and 14.2 %"
    )
    # a rare level is still no level that nobody has
    assert _shown_share(1e-7, None, None).replace("\N{NO-BREAK SPACE}", " ") == "0.000010 %"


def test_two_sets_are_not_one_datasheet(tmp_path: Path) -> None:
    for name, words in (("a", "one"), ("b", "two")):
        shard = tmp_path / f"{name}.parquet"
        rows = {"URL": [f"http://{words}.example/{i}.jpg" for i in range(9)], "TEXT": [words] * 9}
        pl.DataFrame(rows).write_parquet(shard)
        datasheet(DatasheetConfig(shards=(str(shard),), out=str(tmp_path / name), by=()))
    both = tuple(str(tmp_path / name) for name in "ab")
    with pytest.raises(ConfigError, match="a datasheet is of one set: name one of them"):
        datasheet(DatasheetConfig(shards=both, out=str(tmp_path / "c")))
    assert not (tmp_path / "c").exists()
