"""The report and tables of a scan hold what the result holds, and nothing that data can inject."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from fake_result import HOSTILE
from fake_scan import ASYMPTOTIC, BETTING, CASES, ORDER, estimate, fake_scan
from test_render import Page, rows

from laion_probe.render import render_scan
from laion_probe.render.pointers import walk
from laion_probe.render.scan_report import estimate_digits, scan_removal_words, scan_report_html
from laion_probe.results import StepEffect
from laion_probe.scan_result import ScanResult

SECTIONS = ["finding", "reading", "share", "steps", "groups", "limits", "provenance"]
every_case = pytest.mark.parametrize("case", CASES)


def text(result: ScanResult) -> str:
    return Page(scan_report_html(result)).text


def section(html: str, name: str) -> str:
    """The HTML of one top-level section."""
    opening = f'<section id="{name}"'
    inside = html.split(opening)[1].split("</main>")[0].split('<section id="')[0]
    return opening + inside


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scan")
    render_scan(CASES["hostile"], out)
    return out


# The page


@every_case
def test_sections_tags_ids_and_headings_are_in_order(case: str) -> None:
    read = Page(scan_report_html(CASES[case]))
    assert [a["id"] for a in read.of("section") if "id" in a] == SECTIONS
    assert read.open == []
    ids = [a["id"] for _, a in read.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in read.tags:
        assert attributes.get("aria-labelledby", ids[0]) in ids
        if attributes.get("href"):
            assert attributes["href"].removeprefix("#") in ids
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(read.of("table")) == len(read.of("caption"))
    assert all(a.get("scope") in ("col", "row") for a in read.of("th"))


def test_hostile_text_stays_text() -> None:
    html = scan_report_html(CASES["hostile"])
    plain, attacked = Page(scan_report_html(CASES["sample"])), Page(html)
    assert {tag for tag, _ in attacked.tags} == {tag for tag, _ in plain.tags}
    assert len(attacked.of("script")) == len(attacked.of("style")) == 1
    names = {name for _, attributes in attacked.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"style", "src", "srcset", "action", "data"}
    assert all(a["href"].startswith("#") for a in attacked.of("a"))
    for words in HOSTILE[:3]:
        assert " ".join(words.split()) in attacked.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", html)
    assert "<script>window" not in scan_report_html(CASES["failed"])


def test_the_policy_names_the_hashes_of_the_page_itself() -> None:
    html = scan_report_html(CASES["sample"])
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    for tag in ("style", "script"):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert inside
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]


def test_a_sample_says_so_before_anything_else() -> None:
    words = text(CASES["sample"])
    banner = "A sample: 0.15 % of the rows were read. 90 of 58,500 row groups, in a random order."
    assert 0 < words.index(banner) < words.index("Rows that fake keeps: 28.27%.")
    assert "The intervals allow for which row groups were read, and for nothing else: not" in words
    assert "row groups were read in the random order of seed 7".capitalize() in words
    for part in ("90 of 58,500", "40,500 read, of 26,325,000", "--max-units 90", "Seed7"):
        assert part in words.replace("Seed 7", "Seed7"), part
    full = text(CASES["full"])
    assert "A sample" not in full
    assert "All row groups were read: every number is a count" in full
    assert "interval]" not in full


def test_a_banner_tells_what_data_these_are() -> None:
    noted = CASES["sample"].model_copy(update={"data_note": "Made-up rows."})
    assert "About the data. Made-up rows." in text(noted)
    assert "About the data." not in text(CASES["sample"])


def test_a_part_of_bytes_is_not_called_a_part_of_rows() -> None:
    result = CASES["sample"]
    unknown = result.model_copy(
        update={"reading": result.reading.model_copy(update={"n_rows": None, "share": 3e-7})}
    )
    words = text(unknown)
    assert "A sample: 0.00003 % of the data (by size) was read." in words
    assert "0.00003 % of all bytes" in words
    assert "how many there are in all is not known" in words


@every_case
def test_what_has_an_interval_shows_it_and_what_has_none_says_so(case: str) -> None:
    result = CASES[case]
    html = scan_report_html(result)
    shown = dict(
        re.findall(r'data-pointer="([^"]+)" data-form="(?:share|exact)"[^>]*>(.*?)</span></?', html)
    )
    hidden = {
        f"/steps/{i}/removed_share" for i, s in enumerate(result.steps) if scan_removal_words(s)
    }
    assert set(shown) == {where for where, _ in walk(result)} - hidden
    for where, e in walk(result):
        if where in hidden or e.value is None:
            continue
        said = shown[where]
        if e.low is None:
            assert "(no interval)" in said, where
        elif e.low == e.high:
            assert "[" not in said, where
        else:
            assert re.search(r"\[[\d.]+,\xa0[\d.]+", said), where


def test_a_small_sample_says_why_it_has_no_interval() -> None:
    html = scan_report_html(CASES["small"])
    words = Page(html).text
    assert "without an interval, since too few row groups were read for one" in words
    assert "says nothing of 20 row groups. Read more of them, or take the other method’s." in words
    assert "how far these shares lie from those of all of the data is not known" in words
    assert "<polyline" not in html
    assert "times as wide" not in words
    assert "28.27 % (no interval)" in words
    assert "interval]" not in words
    betting = CASES["small"].share.other
    share = CASES["small"].share.model_copy(update={"estimate": betting, "other": None})
    one = text(CASES["small"].model_copy(update={"share": share}))
    assert "only the share that was followed has an interval, since too few row groups" in one
    assert "28.3 % [21.0, 36.0] of 9,000 rows in 20 row groups" in one
    assert "Too few row groups were read for intervals." in one


def test_decimals_follow_the_width_of_the_interval() -> None:
    def digits(value: float, half: float | None, n: int = 10**6) -> int:
        return estimate_digits(estimate(value, n, 40, wide=half))

    assert [digits(0.3, half) for half in (0.2, 0.03, 0.008, 0.0008, 0.00008)] == [1, 1, 2, 3, 4]
    assert [digits(0.3, 0.0, n) for n in (20, 200, 20000)] == [0, 1, 2]
    assert [digits(v, None) for v in (0.3, 0.00004, 0.99996, 1.0)] == [2, 3, 3, 2]


def test_the_other_method_and_its_price_stand_beside_the_share() -> None:
    words = text(CASES["sample"])
    assert "28.27 % [27.47, 29.07] of 40,500 rows in 90 row groups" in words
    assert "By the other method: 28.3 % [21.0, 36.0]." in words
    assert "the betting interval is 9.4 times as wide as the asymptotic one" in words
    assert f"{ASYMPTOTIC.capitalize()}, level 95 %. It supposes: {ORDER}." in words


# The steps


def test_what_cannot_be_seen_of_a_step_is_said_and_never_zero(tmp_path: Path) -> None:
    result = CASES["sample"]
    html = scan_report_html(result)
    found = {s.id: scan_removal_words(s).partition(":")[0] for s in result.steps}
    assert found == {
        "alt-text": "",
        "clean": "no rate",
        "english": "",
        "dedup": "needs every row",
        "similarity": "not observable",
        "nsfw": "not evaluable",
        "size": "not simulated",
    }
    for i, step in enumerate(result.steps):
        shown = f'data-pointer="/steps/{i}/n_removed_here"' in html
        assert shown is (found[step.id] == ""), step.id
        assert f'data-pointer="/survival/{i}"' in html
    assert "0.0 %" not in Page(section(html, "steps")).text
    assert section(html, "steps").count("this step is not in it") == 3
    words = Page(html).text
    assert "Removal not observable: the input has passed laion5b-en before; yet 7 rows" in words
    assert "From a secondary source: a paper, section 3." in words
    assert words.count("partly simulated") == 2
    assert "routed to multi 35,500" in words
    render_scan(result, tmp_path)
    read = {(r["step"], r["measure"]): r for r in rows(tmp_path, "steps")}
    assert len(read) == 2 * len(result.steps)
    assert read["dedup", "removed_share"]["removal"].startswith("needs every row")
    assert {read[s, "removed_share"]["value"] for s, why in found.items() if why} == {""}
    assert {read[s, "removed_share"]["n_removed_here"] for s, why in found.items() if why} == {""}
    assert read["english", "removed_share"]["n_removed_here"] == "22700"
    assert read["dedup", "survival"]["value"] == "0.41"


def test_a_recipe_without_steps_and_no_groups_are_answers() -> None:
    words = text(CASES["nothing asked"])
    assert "has no steps: every row is kept." in words
    assert "No group was asked for" in words
    assert "No input is recorded." in words
    assert "None: all 48 row groups that were tried could be read." in words


# The groups


@pytest.mark.parametrize(("n_levels", "folded"), [(3, 0), (25, 0), (26, 1), (60, 35)])
def test_the_frequent_levels_are_shown_and_the_others_folded(n_levels: int, folded: int) -> None:
    result = fake_scan(n_levels=n_levels)
    html = section(scan_report_html(result), "groups")
    shown, _, rest = html.split("</section>")[0].partition("<details>")
    found = [re.findall(r"<bdi dir=\"auto\">([^<]+)</bdi></th>", part) for part in (shown, rest)]
    names = [f"l{i:02}" for i in range(n_levels)]
    assert found == [[*names[: n_levels - folded], "unknown"], names[n_levels - folded :]]
    assert (f"{folded} more level" in rest) is (folded > 0)
    assert f"{folded} more levels" not in rest or folded > 1
    for i in range(n_levels + 1):
        for part in ("n", "n_kept", "share", "share_of_kept", "kept"):
            assert f'data-pointer="/groups/0/levels/{i}/{part}"' in html


def test_no_level_is_left_out_of_the_table(tmp_path: Path) -> None:
    render_scan(CASES["sample"], tmp_path)
    read = rows(tmp_path, "groups")
    assert len(read) == 3 * (61 + 2)
    kept = {r["level_name"]: r for r in read if (r["group"], r["measure"]) == ("nsfw", "kept")}
    assert kept["unknown"]["n_rows"] == "3000"
    assert kept["UNLIKELY"]["value"] == repr(1666 / 5000)


# What failed


def test_failed_row_groups_are_named_and_carried() -> None:
    result = CASES["failed"]
    words = text(result)
    assert "2 of 90 row groups could not be read." in words
    assert "as far as if all or none of the other rows were hits" in words
    failed = Page(section(scan_report_html(result), "limits")).text
    assert "2 of the 90 row groups that were tried" in failed
    assert re.search(r"part-00001.parquet:3 ?450 ?<script>window.pwned", failed)
    assert re.search(r"part-00002.parquet ?not known ?truncated", failed)
    assert "A sample" in words
    everything = text(CASES["full, failed"])
    assert "A sample" not in everything
    assert "the brackets are bounds for the row groups that could not be read" in everything
    assert "All row groups were read" not in everything
    assert "28.3 % [25.0, 31.0]" in everything
    assert "[bounds]" in everything


def test_user_text_says_row_groups() -> None:
    """Only methods say units, and a line explains the word."""
    words = text(CASES["failed"]).replace("--max-units", "")
    for line in (ASYMPTOTIC, ASYMPTOTIC.capitalize(), BETTING, BETTING.capitalize(), ORDER):
        words = words.replace(line, "")
    assert re.findall(r"\bunits?\b", words) == ["unit"]
    assert "A unit is one row group of a shard." in words


# The provenance


def test_inputs_have_fingerprints_filters_and_mapping_notes() -> None:
    result = CASES["sample"]
    html = section(scan_report_html(result), "provenance")
    words = Page(html).text
    for record in result.inputs:
        assert record.fingerprint in words
    assert words.count("Mapped from column 0") == words.count("Mapped from column 1") == 15
    assert "5 more inputs" in words
    assert result.command in words
    assert json.dumps(result.config, indent=2) in "".join(Page(html).words)
    same = tuple(i.model_copy(update={"note": "declared"}) for i in result.inputs[:3])
    once = text(result.model_copy(update={"inputs": same}))
    assert once.count("Declared") == 1
    assert "Filters already behind every input, which cannot be seen from here: unknown" in once


# Files


def test_two_renders_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    render_scan(CASES["hostile"], tmp_path)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert [str(f) for f in files if f.suffix == ".csv"] == [
        f"tables/{name}.csv"
        for name in ("failed_units", "groups", "inputs", "looks", "outcomes", "share", "steps")
    ]
    for file in files:
        assert (folder / file).read_bytes() == (tmp_path / file).read_bytes(), file
    written = (folder / "result.json").read_text(encoding="utf-8")
    assert written == CASES["hostile"].to_json()
    assert scan_report_html(ScanResult.from_json(written)) == (folder / "report.html").read_text(
        encoding="utf-8"
    )


@every_case
def test_tables_hold_every_estimate_to_the_last_digit(case: str, tmp_path: Path) -> None:
    result = CASES[case]
    render_scan(result, tmp_path)
    hidden = [s for s in result.steps if scan_removal_words(s)]
    found = [e for name in ("share", "steps", "groups") for e in rows(tmp_path, name)]
    numbers = sorted(
        [r["value"], r["low"], r["high"], r["n"]] for r in found if not _empty(r, hidden)
    )
    expected = sorted(
        ["" if x is None else repr(x) for x in (e.value, e.low, e.high, e.n)]
        for where, e in walk(result)
        if not (where.endswith("removed_share") and scan_removal_words(_at_step(result, where)))
    )
    assert numbers == expected
    looks = rows(tmp_path, "looks")
    assert [float(r["value"]) for r in looks] == [k.value for k in result.share.looks]
    assert [r["low"] for r in looks] == [
        "" if k.low is None else repr(k.low) for k in result.share.looks
    ]
    assert [r["fingerprint"] for r in rows(tmp_path, "inputs")] == [
        i.fingerprint for i in result.inputs
    ]
    assert [r["n_rows"] for r in rows(tmp_path, "failed_units")] == [
        "" if f.n_rows is None else str(f.n_rows) for f in result.failed_units
    ]
    assert sum(int(r["n_rows"]) for r in rows(tmp_path, "outcomes")) == sum(
        n for s in result.steps for n in s.outcomes.values()
    )


def _empty(row: dict[str, str], hidden: list[StepEffect]) -> bool:
    return row.get("measure") == "removed_share" and row["step"] in {s.id for s in hidden}


def _at_step(result: ScanResult, where: str) -> StepEffect:
    return result.steps[int(where.split("/")[2])]


def test_a_level_is_not_a_formula_in_a_spreadsheet(folder: Path) -> None:
    for name in ("groups", "steps", "inputs"):
        cells = [cell for row in rows(folder, name) for cell in row.values()]
        assert not [c for c in cells if c.startswith(("=", "+", "@"))], name
        assert any(c.startswith("'=HYPERLINK") for c in cells), name
