"""`laion-probe filters` as a user runs it: files, lists, and inputs that are odd or broken."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from shardmaker import frame, write

from laion_probe import cli
from laion_probe.filters_result import FiltersResult
from laion_probe.groups import load_group
from laion_probe.lexicons.banlists import ban_list, ban_list_names

QUICK = ["--quiet", "--audit-captions", "0", "--runner", "serial"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def result(folder: str = "out") -> FiltersResult:
    return FiltersResult.from_json(Path(folder, "result.json").read_text(encoding="utf-8"))


def test_a_run_writes_its_files_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [f"http://img.site{i % 7}.co.uk/{i}.jpg" for i in range(80)]
    write(tmp_path / "s", frame(80, URL=urls), 2)
    command = ["filters", "s", "--recipe", "laion400m", "--recipe", "c4-ban-list", "--out", "out"]
    assert cli.main([*command, "--by", "script", "domain", "--write-kept", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "laion400m keeps" in said
    assert "c4-ban-list keeps" in said
    files = {str(p.relative_to("out")) for p in Path("out").rglob("*") if p.is_file()}
    assert {
        "report.html",
        "result.json",
        "run.json",
        "kept-laion400m.npy",
        "kept-laion400m.parquet",
        "kept-c4-ban-list.npy",
        "tables/groups.csv",
        "tables/shapley.csv",
        "figures/flow-laion400m.svg",
    } <= files
    found = result()
    # "domain" was settled before counting, and the command that repeats the run names the domains
    (domain,) = (g for g in found.recipes[0].groups if g.name.startswith("domain:"))
    assert {x.level for x in domain.levels} == {f"site{i}.co.uk" for i in range(7)}
    assert domain.name in found.command
    assert str(tmp_path) not in Path("out/result.json").read_text(encoding="utf-8")


def test_a_config_file_does_the_same(tmp_path: Path) -> None:
    write(tmp_path / "s", frame(40), 2)
    Path("words.toml").write_text(
        'name = "mine"\ntitle = "my words"\nsource = "me"\n', encoding="utf-8"
    )
    Path("run.toml").write_text(
        'shards = ["s"]\nrecipe = ["laion400m", "none"]\nby = ["script"]\n'
        'audit_captions = 0\nflag = "10%"\nalready = "laion2B-en"\n',
        encoding="utf-8",
    )
    assert cli.main(["filters", "--config", "run.toml", "--out", "out", "--quiet"]) == 0
    found = result()
    assert [r.name for r in found.recipes] == ["laion400m", "none"]
    assert (found.flag, found.already) == (0.1, "laion5b-en")


@pytest.mark.parametrize(
    ("texts", "kept"),
    [([None] * 6, 0), ([""] * 6, 0), (["a\x00b \x1b[31m<script>" * 3] * 6, 6)],
)
def test_captions_that_are_null_empty_or_hostile(texts: list[str | None], kept: int) -> None:
    table = frame(6, TEXT=pl.Series(texts, dtype=pl.String))
    write(Path("s"), table, 1)
    recipe = ["--recipe", "dalle-mini", "--recipe", "own.toml"]
    Path("own.toml").write_text(
        'name = "own"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "some"\n'
        'kind = "caption-present"\ntitle = "some text"\n'
    )
    assert cli.main(["filters", "s", *recipe, "--out", "out", *QUICK]) == 0
    assert result().recipes[1].n_kept == kept
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "\x1b" not in page
    assert "\x00" not in page


def test_no_rows_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("s"), frame(4).head(0), 1)
    assert cli.main(["filters", "s", "--recipe", "laion400m", "--out", "out", *QUICK]) == 1
    assert "no rows in part-00000.parquet: give shards with rows" in capsys.readouterr().err


def test_no_domain_to_count_by(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("s"), frame(10), 1)  # .example is nobody's to register under
    command = ["filters", "s", "--recipe", "none", "--by", "domain", "--out", "out", *QUICK]
    assert cli.main(command) == 1
    assert "no registered domain in the addresses" in capsys.readouterr().err


def test_a_broken_shard_fails_the_run_or_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("s"), frame(80), 4)
    broken = Path("s/part-00002.parquet")
    broken.write_bytes(broken.read_bytes()[:-40])
    command = ["filters", "s", "--recipe", "laion400m", "--out", "out", *QUICK]
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert "part-00002" in said
    assert not Path("out").exists()
    assert cli.main([*command, "--max-failed-share", "0.5"]) == 0
    found = result()
    assert [f.unit for f in found.failed_units] == ["part-00002.parquet#0"]
    account = found.recipes[0]
    assert account.n == 60
    # 20 rows at least are lost: all of them may be kept, or none
    assert account.kept.low <= account.n_kept / 80
    assert account.kept.high >= (account.n_kept + 20) / 80
    assert "bounds for those that failed" in account.kept.method
    assert any("could not be read" in s for s in found.cannot_say)


def test_of_a_sample_too_what_failed_may_all_be_kept_or_none() -> None:
    write(Path("s"), frame(400), 20)
    command = ["filters", "s", "--recipe", "laion400m", "--max-units", "12", *QUICK]
    assert cli.main([*command, "--out", "whole"]) == 0
    whole = result("whole")
    for i in range(4):
        broken = Path(f"s/part-{i:05d}.parquet")
        broken.write_bytes(broken.read_bytes()[:-40])
    assert cli.main([*command, "--out", "out", "--max-failed-share", "0.5"]) == 0
    found = result()
    assert found.failed_units, "some of the four were drawn"
    before, after = whole.recipes[0].kept, found.recipes[0].kept
    assert "bounds for row groups that failed" in after.method
    assert any("may all be hits, or none" in s for s in after.assumptions)
    assert after.low < before.low
    assert after.high > before.high


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ('params = { wrods = ["a"] }', 7, "unknown key 'wrods'; known keys: "),
        ('params = { lists = ["ldnoobw:english"] }', 7, "ldnoobw:"),
        ('params = { files = ["gone.txt"] }', 7, "gone.txt"),
        ("params = {}", 7, "give lists, words or files"),
    ],
)
def test_a_recipe_of_ones_own_says_which_line_is_wrong(
    body: str, line: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("s"), frame(10), 1)
    Path("mine.toml").write_text(
        'name = "mine"\ntitle = "t"\nsource = "s"\n[[step]]\n'
        f'id = "ban"\nkind = "ban-list"\n{body}\ntitle = "t"\n'
    )
    assert cli.main(["filters", "s", "--recipe", "mine.toml", *QUICK]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"mine.toml, line {line}" in said
    assert words in said


def test_groups_are_listed_and_each_can_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["groups"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"script", "gender-words", "terms:FILE.toml", "domain"} <= set(names)
    for name in names:
        if ":" not in name and name != "domain":
            assert load_group(name).title


def test_every_shipped_recipe_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert len(names) == 33, "31 published ones, a hypothesis, and none"
    for name in names:
        assert cli.main(["recipes", "show", name]) == 0
        said = capsys.readouterr().out
        assert "source:" in said
        assert any(w in said for w in ("verified", "secondary", "from memory", "hypothesis"))


def test_the_ban_lists_are_those_that_their_notice_names() -> None:
    assert len(ban_list("ldnoobw:en")["en"]) == 403
    assert len(ban_list_names()) == 29
    assert len(ban_list("ldnoobw")) == 28
    for entries in ban_list("ldnoobw").values():
        assert len(set(entries)) == len(entries)
        assert all(e == e.strip() != "" for e in entries)


def test_terms_of_ones_own_are_part_of_what_is_kept(tmp_path: Path) -> None:
    write(Path("s"), frame(40), 2)
    counts = []
    for word in ("doctor", "canteen"):
        Path("mine.toml").write_text(
            f'title = "t"\nsource = "me"\n[[list]]\nlevel = "mine"\nterms = ["{word}"]\n'
        )
        command = ["filters", "s", "--recipe", "none", "--by", "terms:mine.toml", *QUICK]
        assert cli.main([*command, "--out", word, "--cache", "cache"]) == 0
        levels = result(word).recipes[0].groups[0].levels
        counts.append({x.level: x.n for x in levels}["mine"])
    assert counts[0] != counts[1], "another list under the same path is another run"
    assert json.loads(Path("doctor/run.json").read_text())["config"]["by"] == ["terms:mine.toml"]
