"""What the pages say can be done can be done: commands, options, links, numbers."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Template

import pytest
from conftest import ROOT
from small_demo import small_demo

from laion_probe import cli
from laion_probe.commands import COMMANDS, JOBS
from laion_probe.config import PlanConfig
from tools import docs, reference

#: Written by hand, and about the program as it is now.
PAGES = [
    page
    for page in docs.pages()
    if page.name != "CHANGELOG.md" and page.parent != reference.FOLDER and "data" not in page.parts
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
PARSERS = reference.parsers()

#: Pages whose commands are run, in their order, on a small copy of the demo data.
RUN = ("README.md", "docs/outliers.md")
#: Commands of those pages that are not run here, by what is in them, and why.
NOT_RUN = {
    "ViT-B-32": "its weights come from the network",
    "hf://": "the network",
    "annotate ": "people rate in the browser (tests/test_annotate.py, test_rater_browser.py)",
    "--ratings": "what people rated (tests/test_rated_probe.py)",
    "serve ": "it serves until it is ended (tests/test_serve.py)",
    "--picked": "outputs that somebody noticed (tests/test_outliers.py)",
    "pictures.zip": "pictures of one's own (tests/test_outliers.py)",
    "--data run": "pictures of one's own (tests/test_outliers.py)",
}
WITHOUT_REPORT = ("plan", "embed", "index", "card")


def blocks(text: str) -> Iterator[str]:
    """The shell of a page: fenced blocks of sh, or without a language."""
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.M | re.S):
        if language in ("", "sh", "bash", "console"):
            yield body.replace("\\\n", " ")


def commands(page: str) -> list[list[str]]:
    """The words of every `laion-probe` command of a page, without the program's name."""
    found = []
    for body in blocks((ROOT / page).read_text(encoding="utf-8")):
        given: dict[str, str] = {}
        for line in body.splitlines():
            if said := re.match(r"(\w+)=(\S+)", line):
                given[said[1]] = said[2]
            if program := re.match(r"(?:\.venv/bin/)?laion-probe ", line):
                line = re.sub(r"\$\([^)]*\)", "of-another-program", line[program.end() :])
                line = Template(line).substitute(given)
                found.append(shlex.split(line, comments=True))
            elif re.match(r"(?:\.venv/bin/)?laion-probe\s*(#|$)", line):
                found.append([])
    return found


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def test_commands_are_found_over_lines_with_variables_and_comments() -> None:
    found = commands("README.md")
    assert found[0][:4] == ["probe", "firefighter", "--shards", "laion2B-en/*.parquet"]
    assert found[0][-2:] == ["--pretrained", "laion2b_s34b_b79k"]
    embed = next(words for words in found if words[0] == "embed")
    assert embed[2:4] == ["--model", "local-dir:data/demo/clip"]


@pytest.mark.parametrize("page", NAMES)
def test_every_command_of_a_page_is_understood(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the demo's options lie
    for words in commands(page):
        args = cli._parser().parse_args(words)
        part = getattr(args, "command", None) or getattr(args, "job", None)
        if part is not None:
            cli._config(args, part.config)
        elif words[0] == "plan":
            cli._config(args, PlanConfig)


@pytest.mark.parametrize("page", NAMES)
def test_every_command_and_option_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    everywhere = set().union(*map(options, PARSERS.values())) | {"--version"}
    for name, rest in re.findall(r"`laion-probe ([a-z][a-z-]*)([^`]*)`", text):
        assert name in PARSERS, f"laion-probe {name}"
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest):
            assert option in options(PARSERS[name]), f"laion-probe {name} {option}"
    for option in re.findall(r"`(--[a-z][a-z-]*)[^`]*`", text):
        assert option in everywhere, option


def test_every_command_is_on_a_page_written_by_hand() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    missing = [name for name in PARSERS if not re.search(rf"laion-probe {name}\b", text)]
    assert missing == []


def test_every_option_says_what_it_is() -> None:
    for name, parser in PARSERS.items():
        for action in parser._actions:
            assert action.help, (name, action.dest)
            assert len(action.help.split()) > 1, (name, action.dest)


def test_every_command_has_its_part_in_the_reference() -> None:
    text = (reference.FOLDER / "commands.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S))
    assert list(parts) == list(PARSERS)
    for part in (*COMMANDS, *JOBS):
        but = {part.argument, *getattr(part, "but", ())}
        for field in set(part.config.model_fields) - but:
            assert f"`--{field.replace('_', '-')}`" in parts[part.name], (part.name, field)


@pytest.mark.parametrize("name", ["commands.md", "api.md", "tables.md"])
def test_the_reference_is_current(name: str) -> None:
    written = (reference.FOLDER / name).read_text(encoding="utf-8")
    assert written == reference.reference()[name], "run `python -m tools.reference`"


def place(heading: str) -> str:
    """The anchor of a heading, as code hosts and the site make it."""
    words = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@pytest.mark.parametrize("page", docs.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, where in docs.links(page):
        target = page.parent / path if path else page
        assert target.exists(), path
        if where:
            text = re.sub(r"^```.*?^```", "", target.read_text("utf-8"), flags=re.M | re.S)
            places = [place(heading) for heading in re.findall(r"^#+ (.*)", text, flags=re.M)]
            assert where in places, f"{path}#{where}"


def test_every_page_is_on_the_site_once() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))

    def listed(nav: object) -> Iterator[str]:
        if isinstance(nav, str):
            yield nav
        elif isinstance(nav, list):
            for item in nav:
                yield from listed(item)
        elif isinstance(nav, dict):
            for item in nav.values():
                yield from listed(item)

    found = sorted(listed(config["project"]["nav"]))
    assert found == sorted(str(page.relative_to(ROOT)) for page in docs.pages())


def test_the_site_is_made_of_the_pages_and_of_what_they_link_to(tmp_path: Path) -> None:
    docs.stage(tmp_path)
    staged = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"README.md", "docs/index.md", "docs/figures/theron-2022.svg"} <= staged
    assert "laion_probe/lexicons/NOTICE" in staged
    assert not [path for path in staged if path.endswith(".py")]


def test_the_demos_numbers_are_those_that_were_measured() -> None:
    """Every interval that journalists are shown stands in a table that a tool wrote."""
    measured = "\n".join(
        (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        for name in ("coverage", "outliers", "testbed")
    ).replace(" %", "")
    said = (ROOT / "docs" / "intervals.md").read_text(encoding="utf-8")
    found = re.findall(r"(\d+(?:\.\d+)?) ?%? ?\**\s*(\[[\d., ]+\])", said)
    assert len(found) >= 6
    for value, interval in found:
        assert f"{value} {interval}" in measured, (value, interval)
    rows = [line for line in measured.splitlines() if "| generated |" in line]
    doctor = next(r for r in rows if r.startswith("| doctor | gender_presentation"))
    assert [cell.strip() for cell in doctor.split("|")][-3] == "26.9"
    for words in ("96.9", "94.2 to 99.6", "99.5", "23.2", "98.0"):
        assert f"{words} %" in said
        assert words in measured
    ran = (ROOT / "notebooks" / "01_probe_doctor.ipynb").read_text(encoding="utf-8")
    assert "by 8.8 points [2.4, 15.2]" in ran
    assert "by 8.8 points [2.4, 15.2]" in said
    assert "+15.0 points [+3.2, +26.3] as read ([−9.5, +28.8] allowing" in ran
    assert re.search(r"15\.0\s+points \[3\.2, 26\.3\].*minus 9\.5 to plus 28\.8", said, flags=re.S)
    limits = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    assert "in 7 of 24 runs; pointed" in measured
    assert "7 of 24 runs: in all 6 where nothing was, and in 1 of 18" in limits
    assert "right in 24 of 24" in limits


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_demo(tmp_path_factory.mktemp("small"))
    (folder / "occupations.txt").write_text("doctor\nnurse\n", encoding="utf-8")
    counts = ["concept,source,level,n", "doctor,data,woman,30", "doctor,data,man,70"]
    counts += ["doctor,sd,woman,10", "doctor,sd,man,90"]
    (folder / "counts.csv").write_text("\n".join(counts) + "\n", encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_commands_and_code_run_as_they_are_written(
    page: str,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(small)
    if not Path("runs/doctor").exists():  # what `make probe CONCEPT=doctor` leaves
        assert cli.main(["probe", "doctor", "--recipe", "laion400m", "--out", "runs/doctor"]) == 0
    ran = 0
    for words in commands(page):
        if any(part in shlex.join(words) + " " for part in NOT_RUN):
            continue
        assert cli.main(words) == 0, shlex.join(words)
        told = re.search(r"^(?:report|datasheet): (.*)$", capsys.readouterr().out, flags=re.M)
        assert words[0] in WITHOUT_REPORT or (told and Path(told[1]).is_file())
        ran += 1
    assert ran
    for code in re.findall(
        r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), flags=re.M | re.S
    ):
        exec(code, {})


def test_what_is_not_run_is_still_there() -> None:
    written = [shlex.join(words) + " " for page in RUN for words in commands(page)]
    for part in NOT_RUN:
        assert any(part in line for line in written), part
