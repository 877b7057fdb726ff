"""The pages that say how to add a part, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import ROOT
from shardmaker import frame, write

from laion_probe.attributes import load_attribute
from laion_probe.estimate import Sample
from laion_probe.estimators.catalogue import ESTIMATORS, known_estimators, load_estimator
from laion_probe.estimators.weighted import Rated
from laion_probe.groups import GROUPS, load_group
from laion_probe.language import DETECTORS, make_detector
from laion_probe.recipes import load_recipe
from laion_probe.shards import list_shards, list_units
from laion_probe.steps import STEPS, Batch, Outcome
from laion_probe.unit_scan import judge_unit

PAGES = ROOT / "docs" / "contributing"


def block(page: str, language: str) -> str:
    text = (PAGES / page).read_text(encoding="utf-8")
    found = re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)
    assert len(found) == 1, f"{page} has one {language} block"
    return str(found[0])


@pytest.fixture
def unregistered():
    """Registries as they were, whatever a page adds."""
    from laion_probe.render import RENDERERS

    registries = (STEPS, DETECTORS, GROUPS, RENDERERS, ESTIMATORS)
    before = [dict(r._parts) for r in registries]
    yield
    for registry, parts in zip(registries, before, strict=True):
        registry._parts.clear()
        registry._parts.update(parts)


@pytest.mark.usefixtures("unregistered")
def test_add_a_step(tmp_path: Path) -> None:
    exec(block("add-a-step.md", "python"), {})
    recipe_file = tmp_path / "my-recipe.toml"
    recipe_file.write_text(block("add-a-step.md", "toml"), encoding="utf-8")
    recipe = load_recipe(str(recipe_file))
    unit = list_units(list_shards([str(write(tmp_path, frame(16), 1))]))[0]
    scanned = judge_unit(unit, recipe)
    texts = pl.read_parquet(tmp_path / "part-00000.parquet")["TEXT"].to_list()[: len(scanned)]
    expected = [Outcome.DROP if len(t.split()) < 3 else Outcome.KEEP for t in texts]
    assert scanned["outcome_0"].to_list() == [int(o) for o in expected]
    assert len(set(expected)) == 2


@pytest.mark.usefixtures("unregistered")
def test_add_a_detector() -> None:
    exec(block("add-a-detector.md", "python"), {})
    guesses = make_detector("ascii")(["plain", "médecin", " "])
    assert guesses.codes == ["en", "und", "und"]


@pytest.mark.usefixtures("unregistered")
def test_add_a_group(tmp_path: Path) -> None:
    exec(block("add-a-group.md", "python"), {})
    texts = ["two chairs", "2 chairs", "a table and a chair", "१ कुर्सी"]
    rows = pl.DataFrame({"text": texts})
    levels = load_group("digits").levels(Batch(rows))
    assert levels.to_list() == ["none", "a digit", "none", "a digit"]
    path = tmp_path / "mine.toml"
    path.write_text(block("add-a-group.md", "toml"), encoding="utf-8")
    levels = load_group(f"terms:{path}").levels(Batch(rows))
    assert levels.to_list() == ["chair", "chair", "several", "unknown"]


def test_add_an_attribute(tmp_path: Path) -> None:
    path = tmp_path / "setting.toml"
    path.write_text(block("add-an-attribute.md", "toml"), encoding="utf-8")
    assert load_attribute(str(path)).levels == ("outdoors", "indoors", "unknown")


@pytest.mark.usefixtures("unregistered")
def test_add_a_report(tmp_path: Path) -> None:
    from fake_result import fake_result

    from laion_probe.render import render_run

    exec(block("add-a-report.md", "python"), {})
    result = fake_result()
    render_run(result, tmp_path)
    assert (tmp_path / "finding.txt").read_text().startswith(result.finding.sentences[0])
    assert (tmp_path / "report.html").is_file()


def test_contributing_links_to_every_page() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for page in PAGES.glob("*.md"):
        assert f"docs/contributing/{page.name}" in text


@pytest.mark.usefixtures("unregistered")
def test_add_an_estimator() -> None:
    assert "jeffreys" not in known_estimators()
    exec(block("add-an-estimator.md", "python"), {})
    n = 221
    yes, ones = np.arange(n) < 80, np.ones(n)
    data = Rated(yes, ones, ones > 0, yes, ones, ones, np.zeros(n, np.int64))
    share = load_estimator("jeffreys").share
    assert share is not None
    found = share(data, Sample(np.arange(n)))
    assert found.value == pytest.approx(80 / 221)
    assert (found.low, found.high) == pytest.approx((0.3007, 0.4268), abs=1e-3)
