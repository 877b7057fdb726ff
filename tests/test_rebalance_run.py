"""`rebalance` of a probe run: what it is asked, which pictures it counts, and what it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from laion_probe.attributes import load_attribute
from laion_probe.config.dft import DftConfig
from laion_probe.config.rebalance import RebalanceConfig
from laion_probe.errors import ConfigError, LaionProbeError
from laion_probe.questions import rebalancing_inputs
from laion_probe.questions.dft import dft_plan
from laion_probe.questions.rebalancing import rebalance
from laion_probe.questions.rebalancing_targets import read_targets
from laion_probe.render.rebalance_report import rebalance_report_html

GENDER = "gender_presentation"
SHARED = Path(__file__).parent.parent / "data" / "references" / "us-labour-2015.csv"


def run_of(folder: Path, **config: object) -> str:
    """A folder with the ``run.json`` of a probe, whose pictures nobody has to read."""
    values = {"concept": "doctor", "threshold": None, "attributes": [GENDER, "skin_tone"]}
    told = {"config": values | config, "working_directory": str(folder)}
    (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")
    return str(folder)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture may be read."""

    def measure(*_: object) -> None:
        raise AssertionError("pictures were read")

    monkeypatch.setattr(rebalancing_inputs, "measure", measure)


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("gender:woman=0.5", {}, r"unknown attribute or group 'gender': did you mean gender_pres"),
        ("tone:parity", {}, r"'tone': did you mean skin_tone"),
        ("gender-wrds:parity", {}, r"did you mean gender-words"),
        (f"{GENDER}:parity", {"ratings": ("no.csv",)}, r"^--ratings no.csv does not exist"),
        ("script:Latin=parity", {}, r"parity is of two levels or more, such as script:Latin,LEVEL"),
    ],
)
@pytest.mark.usefixtures("unread")
def test_what_is_wrong_in_the_words_is_told_before_pictures_are_read(
    tmp_path: Path, target: str, options: dict[str, tuple[str, ...]], said: str
) -> None:
    asked = RebalanceConfig(run=run_of(tmp_path), target=(target,), **options)
    with pytest.raises(LaionProbeError) as error:
        rebalance(asked)
    assert re.search(said, str(error.value)), str(error.value)


def test_a_run_of_another_command_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"config": {}, "working_directory": "."}))
    asked = RebalanceConfig(run=str(tmp_path), target=(f"{GENDER}:parity",))
    with pytest.raises(ConfigError, match="the run of another command: give the folder of a probe"):
        rebalance(asked)
    found = dft_plan(DftConfig(professions=("profession_soc2018",), axis=("gender",)))
    (tmp_path / "result.json").write_text(found.to_json(), encoding="utf-8")
    with pytest.raises(
        ConfigError, match="the run of `dft-plan`: give the folder of a `probe` run"
    ):
        rebalance(asked)


def test_of_a_table_by_concept_the_rows_of_the_runs_concept_are_taken(tmp_path: Path) -> None:
    (found,) = read_targets([f"{GENDER}={SHARED}"], "Doctor")
    assert found.shares == {"woman": pytest.approx(0.379)}
    assert found.concept == "doctor"
    with pytest.raises(
        ConfigError, match=r"none of “astronaut”, which the run is of: give the sha"
    ):
        read_targets([f"{GENDER}={SHARED}"], "astronaut")
    with pytest.raises(ConfigError, match=r"column 'concept'.*technician.*which is meant"):
        read_targets([f"{GENDER}={SHARED}"])
    one = tmp_path / "one.csv"
    one.write_text("concept,level,share\nnurse,woman,90%\nnurse,man,10%\n", encoding="utf-8")
    assert read_targets([f"{GENDER}={one}"])[0].shares == {"woman": 0.9, "man": 0.1}
    with pytest.raises(ConfigError, match="none of “doctor”"):
        read_targets([f"{GENDER}={one}"], "doctor")


@dataclass(frozen=True)
class File:
    """A picture, as far as `rebalance` looks at it."""

    id: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """12 rows in the pool, the last 4 of them filtered: two pairs of rows have one picture each.

    Pictures a to j; a (a woman) stands for rows 0 and 1, j (a man, filtered) for 10 and 11.
    """
    ids = [*"aabcdefghijj"]
    gender = load_attribute(GENDER)
    women = np.isin(ids, [*"abgh"])
    label = np.where(women, gender.levels.index("woman"), gender.levels.index("man"))
    near = np.arange(12) < 8
    labelled = SimpleNamespace(attribute=gender, label=label, labels="made up", panel=None)
    m = SimpleNamespace(
        chain=SimpleNamespace(
            labelled={GENDER: labelled},
            masks={"all": near | True, "pool": near | True, "neighbourhood": near},
            stages=[SimpleNamespace(id="neighbourhood", title="near “doctor”")],
        ),
        pool=SimpleNamespace(
            files=tuple(File(i) for i in ids),
            pictured=pl.DataFrame({"url": ids, "text": ["a doctor"] * 12}),
        ),
        inputs=SimpleNamespace(shards=()),
    )
    monkeypatch.setattr(rebalancing_inputs, "measure", lambda *_: m)
    monkeypatch.setattr(rebalancing_inputs, "input_records", lambda *_: ())
    monkeypatch.setattr(rebalancing_inputs, "note_beside", lambda *_: "")
    return run_of(tmp_path, attributes=[GENDER])


def test_a_picture_of_several_rows_counts_once_before_and_after_and_it_is_told(run: str) -> None:
    r = rebalance(RebalanceConfig(run=run, target=(f"{GENDER}:before",)))
    assert r.n == 7
    assert "(of 8 rows: a picture counts once here, and once a row in the probe's" in r.finding[0]
    woman = next(x for x in r.variables[0].levels if x.level == "woman")
    # a, b and g of the seven from a to g; with h, four of the ten pictures of the pool
    assert woman.share == pytest.approx(3 / 7)
    assert woman.target == pytest.approx(4 / 10)


def test_what_people_would_see_has_no_share_where_nobody_rated(run: str) -> None:
    r = rebalance(RebalanceConfig(run=run, target=(f"{GENDER}={SHARED}",)))
    assert "us-labour-2015.csv (its rows of “doctor”)" in r.finding[0]
    html = rebalance_report_html(r)
    seen = html[html.index('<section id="predicted"') : html.index('<section id="margins"')]
    assert "Not known: no ratings correct these labels." in seen
    assert "<table" not in seen
    assert "hollow circle" not in seen
    assert "data-pointer" not in seen
    assert "37.9" in html
