"""The public names: there, typed, cheap, and never hidden by a module of the same name."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
import re
import subprocess
import sys
import typing
from pathlib import Path

import polars as pl
import pytest
from fake_scan import fake_scan
from pydantic import ValidationError
from shardmaker import frame, write

import laion_probe
import laion_probe.errors
from laion_probe.cli import main
from laion_probe.commands import COMMANDS
from laion_probe.results import Document

NAMES = [name for name in laion_probe.__all__ if not name.startswith("__")]
FUNCTIONS = [name for name in NAMES if name.islower()]
QUESTIONS = [name for name in FUNCTIONS if name not in ("frames", "open_result", "run")]


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
        found = inspect.unwrap(getattr(laion_probe, name))
        assert found is getattr(sys.modules[str(module)], name)


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


@pytest.mark.parametrize("name", QUESTIONS)
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


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_no_config_is_refused_with_what_to_write(name: str) -> None:
    ask = getattr(laion_probe, name)
    kind = typing.get_type_hints(ask)["config"]
    other = laion_probe.ScanConfig() if name != "scan" else laion_probe.FiltersConfig()
    for given in ("runs/doctor", Path("runs/doctor"), ["runs/doctor"], kind, other):
        with pytest.raises(TypeError) as told:
            ask(given)
        with pytest.raises(TypeError, match=re.escape(str(told.value))):
            ask(config=given)
        said = str(told.value)
        assert said.startswith(f"{name}() takes a {kind.__name__}, not {type(given).__name__}: ")
        written = re.search(rf"laion_probe\.{name}\((laion_probe\..*?\))\);", said)
        assert written
        if isinstance(given, str | Path):
            config = eval(written[1])
            assert type(config) is kind
            assert "runs/doctor" in str(config)
    with pytest.raises(TypeError, match=rf"{name}\(\) takes a {kind.__name__}: laion_probe"):
        ask()
    with pytest.raises(TypeError, match=rf"{name}\(\) takes a {kind.__name__}: laion_probe"):
        ask(concept="doctor", shards="runs/doctor")


def test_a_question_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(laion_probe.scan)) is laion_probe.scan


def test_a_run_is_opened_by_its_folders_name(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(fake_scan().to_json(), encoding="utf-8")
    for place in (tmp_path, str(tmp_path), str(tmp_path / "result.json")):
        kind, result = laion_probe.open_result(place)
        assert kind == "scan"
        assert laion_probe.frames(result)["steps"].height
        for wrong in (place, (kind, result)):
            with pytest.raises(
                TypeError, match=r"frames\(laion_probe.open_result\(folder\)\[1\]\)"
            ):
                laion_probe.frames(wrong)  # type: ignore[arg-type]


def test_one_item_and_a_path_stand_for_what_the_command_line_takes() -> None:
    one = laion_probe.ScanConfig(shards="a", by="language")
    assert (one.shards, one.by) == (("a",), ("language",))
    many = laion_probe.ScanConfig(shards=[Path("a"), "b"], out=Path("c"))
    assert (many.shards, many.out) == (("a", "b"), "c")
    assert laion_probe.ExploreConfig(sets="a", clusters=16).clusters == (16,)
    assert laion_probe.ScanConfig(shards=_Encoded(), out=_Encoded()).shards == ("a/b",)
    with pytest.raises(ValidationError, match="shards"):
        laion_probe.ScanConfig(shards=3)
    with pytest.raises(ValidationError, match="clusters"):
        laion_probe.ExploreConfig(sets="a", clusters=True)


class _Encoded:
    """A path object that gives bytes, as those of `os.scandir(b".")` do."""

    def __fspath__(self) -> bytes:
        return b"a/b"


def test_a_run_from_python_is_that_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "shards", frame(40))
    config = laion_probe.ScanConfig(shards=("shards",), recipe="laion400m", already="none")
    folder = laion_probe.run(config)
    assert folder == Path("runs") / "scan-laion400m"
    assert main(["scan", "shards", "--recipe", "laion400m", "--already", "none", "--quiet"]) == 0
    other = Path("runs") / "scan-laion400m-2"
    assert (folder / "result.json").read_bytes() == (other / "result.json").read_bytes()
    assert {p.name for p in folder.iterdir()} == {p.name for p in other.iterdir()}
    assert json.loads((folder / "run.json").read_text())["config"]["recipe"] == "laion400m"
    assert laion_probe.open_result(folder)[1] == laion_probe.scan(config)
    with pytest.raises(laion_probe.errors.ConfigError, match="runs/scan-laion400m"):
        laion_probe.run(config.model_copy(update={"out": "runs/scan-laion400m"}))


def test_what_has_no_run_folder_is_refused() -> None:
    for given in ("doctor", laion_probe.DatasheetConfig(shards=("shards",))):
        with pytest.raises(TypeError, match=r"run\(\) takes one of ProbeConfig, .*, not "):
            laion_probe.run(given)  # type: ignore[arg-type]


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
