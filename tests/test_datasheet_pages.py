"""What a datasheet's pages show: all of every table, and a command that runs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import polars as pl
import pytest
from fake_result import fake_result
from shardmaker import frame, write
from test_datasheet import make

from laion_probe.config import make_config
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.questions.datasheet import datasheet
from laion_probe.render.datasheet_markdown import datasheet_markdown
from laion_probe.render.datasheet_report import datasheet_html
from laion_probe.webplaces import known_tlds


def test_nothing_is_cut_from_a_table(tmp_path: Path) -> None:
    captions = [f"photo {i}" for i in range(90)]
    rows = frame(90, TEXT=captions, URL=[f"http://x.{tld}/a.jpg" for tld in known_tlds()[:90]])
    (tmp_path / "result.json").write_text(fake_result().to_json(), encoding="utf-8")
    shards = write(tmp_path / "s", rows)
    cache = str(tmp_path / "c")
    sheet = make(tmp_path / "d", shards, tmp_path / "result.json", by=("tld",), cache=cache)
    levels = {r.level for r in sheet.compositions if r.attribute == "tld"}
    assert len(levels) > 70
    markdown, html = datasheet_markdown(sheet), datasheet_html(sheet)
    table = [line for line in markdown.splitlines() if line.count(" |") == 4]
    shown = [line for line in table if not line.startswith(("| Level |", "| --- |", "| Step |"))]
    assert len([line for line in shown if " addresses |" in line]) == len(levels)
    assert len(re.findall(r'class="est" data-pointer=', html)) == len(sheet.compositions)
    for page in (markdown.replace("\N{NO-BREAK SPACE}", " "), html.replace("\xa0", " ")):
        assert "Brackets hold 95 % intervals; a share without them is a count" in page
        assert "2.2 How many instances are there, of each kind?" in page
    assert markdown.count("<details>") == markdown.count("</details>") > 0
    for e in sheet.evidence:
        assert e.sha256 in markdown
        assert e.sha256 in html


def test_the_command_runs_where_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = write(tmp_path / "elsewhere" / "mine", frame())
    here = tmp_path / "here"
    shutil.copytree(small, here / "data" / "my shards")
    monkeypatch.chdir(here)
    (here / "data" / "mine.toml").write_text('[about]\nname = "x"\n')
    for given in ("data/my shards", here / "data" / "my shards"):
        sheet = make(Path("d"), given, cache="c", answers="data/mine.toml")
        words = shlex.split(sheet.command)
        assert words[:3] == ["laion-probe", "datasheet", "data/my shards"]
        assert words[words.index("--answers") + 1] == "data/mine.toml"
        assert str(tmp_path) not in sheet.command
    elsewhere = make(Path("e"), small, cache="c").command
    assert f" PATH/TO/{small.name} " in elsewhere
    assert str(small.parent) not in elsewhere


def test_the_published_sample(shared: Path, tmp_path: Path) -> None:
    sample = shared / "laion400m-sample-1000.parquet"
    if not sample.is_file():
        pytest.skip("../shared/data/laion400m-sample-1000.parquet is not here")
    given = {"shards": (str(sample),), "out": str(tmp_path / "d"), "cache": str(tmp_path / "c")}
    sheet = datasheet(make_config({**given, "runner": "serial"}, DatasheetConfig))
    assert sheet.n_rows == 1000
    english = next(
        r for r in sheet.compositions if (r.attribute, r.level) == ("language:cld2", "en")
    )
    texts = pl.read_parquet(sample)["TEXT"]
    assert english.count == 993
    repeated = json.loads((tmp_path / "d" / "evidence" / "data.json").read_text())["repeated"]
    assert {r["key"]: r["n_rows"] - r["n_distinct"] for r in repeated}["text"] == (
        texts.len() - texts.n_unique()
    )
