"""The public names: there, typed, cheap, and never hidden by a module of the same name."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import typing
from pathlib import Path

import polars as pl
import pytest
from shardmaker import frame, write

import laion_probe
from laion_probe.commands import COMMANDS
from laion_probe.results import Document

NAMES = [name for name in laion_probe.__all__ if not name.startswith("__")]
FUNCTIONS = [name for name in NAMES if name.islower()]


def fresh(code: str) -> typing.Any:
    """What the last expression of ``code`` prints as JSON, in a process of its own."""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def test_no_module_hides_a_public_name() -> None:
    """A submodule becomes an attribute of its package as soon as anything imports it."""
    folder = Path(laion_probe.__file__).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules & set(NAMES) == set()


def test_the_names_are_those_that_a_type_checker_sees() -> None:
    tree = ast.parse(Path(laion_probe.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    where = {
        alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(where) == sorted(NAMES)
    for name, module in where.items():
        assert getattr(laion_probe, name) is getattr(sys.modules[str(module)], name)


def test_names_are_listed_and_a_misspelt_one_is_an_error() -> None:
    assert dir(laion_probe) == sorted(laion_probe.__all__)
    with pytest.raises(AttributeError, match="no attribute 'filter'"):
        laion_probe.filter  # type: ignore[attr-defined]  # noqa: B018


def test_naming_everything_loads_nothing_heavy() -> None:
    code = (
        "import json, sys, laion_probe\n"
        "[getattr(laion_probe, n) for n in laion_probe.__all__ if not n.islower()]\n"
        "heavy = 'torch faiss open_clip ray matplotlib polars scipy'.split()\n"
        "print(json.dumps([m for m in heavy if m in sys.modules]))"
    )
    assert fresh(code) == []


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("frames", "open_result")])
def test_a_question_takes_its_config_and_gives_its_result(name: str) -> None:
    function = getattr(laion_probe, name)
    assert inspect.getdoc(function)
    hints = typing.get_type_hints(function)
    kind = name.removesuffix("_plan").capitalize()
    assert hints["config"] is getattr(laion_probe, f"{kind}Config")
    assert hints["return"] is getattr(laion_probe, f"{kind}Result")
    assert issubclass(hints["return"], Document)
    others = list(inspect.signature(function).parameters.values())[1:]
    assert all(p.default is not p.empty for p in others), "a config is enough"


def test_every_report_command_is_a_function() -> None:
    """All but the testbed, which is an experiment of ours and no question of a user's data."""
    assert {c.name.replace("-", "_") for c in COMMANDS} - set(FUNCTIONS) == {"testbed"}


def test_a_question_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "shards", frame(40))
    config = laion_probe.ScanConfig(shards=("shards",), recipe="laion400m", already="none")
    result = laion_probe.scan(config)
    assert isinstance(result, laion_probe.ScanResult)
    steps = laion_probe.frames(result)["steps"].filter(measure="survival")
    assert steps["step"].to_list() == [step.id for step in result.steps]
    assert steps["value"].to_list() == [left.value for left in result.survival]
    assert isinstance(steps, pl.DataFrame)
    assert {path.name for path in tmp_path.iterdir()} <= {"shards", ".cache"}, "no report"
