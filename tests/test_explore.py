"""`explore` on pieces of the demo data: sets, clusters, report; bad input says what to do."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import DEMO
from fake_result import HOSTILE
from PIL import Image
from test_filters_report import Untied
from test_render import Page, rows

from laion_probe.config import make_config
from laion_probe.config.exploring import ExploreConfig
from laion_probe.errors import ConfigError, NotEnoughData, ShardError
from laion_probe.explore_result import ExploreResult
from laion_probe.questions.exploring import explore
from laion_probe.questions.exploring_clusters import (
    Together,
    adjusted_rand,
    cluster_together,
    usable_numbers,
)
from laion_probe.questions.exploring_differences import Placed, differences, spreads
from laion_probe.questions.exploring_pictures import mean_by_unit
from laion_probe.questions.exploring_sets import _boxes, _by_caption
from laion_probe.render.explore_report import explore_report_html, render_explore
from laion_probe.render.explorer_page import explorer_html
from laion_probe.render.pointers import walk
from laion_probe.render.text import clean

CLIP = f"local-dir:{DEMO / 'clip'}"
PROMPTS = ("a photo of a doctor", "a photo of a teacher", "")
#: Numbers of the pages that are not of the result: of axes, formulas, papers and thresholds.
OWN = {"0", "1", "3", "12", "24", "48", "33", "109", "256", "400", "2003", "2023", "2303.11408"}


def write_generated(folder: Path, words: dict[str, str] | None = None, each: int = 16) -> Path:
    """Some of the demo's generated pictures, with faces' boxes; ``words`` renames prompts."""
    folder.mkdir(parents=True)
    lines = []
    known = pl.read_ndjson(DEMO / "generated/metadata.jsonl").to_dicts()
    for prompt in PROMPTS:
        for row in [r for r in known if r["prompt"] == prompt][:each]:
            name = row["file_name"].replace("/", "-")
            shutil.copyfile(DEMO / "generated" / row["file_name"], folder / name)
            boxes = [[0.3, 0.25, 0.7, 0.65]] if prompt == PROMPTS[0] else []
            said = (words or {}).get(prompt, prompt)
            lines.append({**row, "file_name": name, "prompt": said, "face_bboxes": boxes})
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "metadata.jsonl").write_text(text + "\n", encoding="utf-8")
    return folder


def write_data(folder: Path) -> Path:
    """One of the demo's tars, as img2dataset wrote it."""
    folder.mkdir(parents=True)
    for name in ("00000.tar", "00000.parquet"):
        shutil.copyfile(DEMO / "images" / name, folder / name)
    return folder


def config(folder: Path, *sets: object, **options: Any) -> ExploreConfig:
    given = {"clusters": (4, 6), "seeds": 2, "show": 24, "nearest": 3, **options}
    values = {"sets": tuple(map(str, sets)), "model": CLIP, "cache": str(folder / "cache"), **given}
    return make_config(values, ExploreConfig)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, ``made`` and ``hostile`` sets, and one cache of embeddings."""
    root = tmp_path_factory.mktemp("explore")
    write_data(root / "data")
    write_generated(root / "made")
    write_generated(root / "hostile" / "<b>x", dict(zip(PROMPTS, HOSTILE[:3], strict=True)))
    return root


@pytest.fixture(scope="module")
def results(place: Path) -> dict[str, ExploreResult]:
    hostile = place / "hostile" / "<b>x"
    return {
        "two": explore(config(place, place / "data", f"outputs={place / 'made'}")),
        "hostile": explore(
            config(
                place, hostile, f"'\"><svg onload>{HOSTILE[6]}={place / 'made'}", context=HOSTILE[2]
            )
        ),
        "one": explore(config(place, place / "made", clusters=(5,), level=0.9)),
    }


CASES = ("two", "hostile", "one")
every_case = pytest.mark.parametrize("case", CASES)


@cache
def _html(result_json: str) -> str:
    return explore_report_html(ExploreResult.from_json(result_json))


def html(result: ExploreResult) -> str:
    return _html(result.to_json())


def test_two_sets_are_matched_by_what_their_prompts_name(results: dict[str, ExploreResult]) -> None:
    r = results["two"]
    assert r.groups == ("a photo of a doctor", "a photo of a teacher", "(empty prompt)")
    assert [(s.name, s.kind, s.simulated) for s in r.sets] == [
        ("data", "data", False),
        ("outputs", "generated", True),
    ]
    truth = pl.read_parquet(DEMO / "images" / "00000.parquet").filter(pl.col("status") == "success")
    english = truth["caption"].fill_null("").str.to_lowercase()
    named = {w: english.str.contains(rf"\b{w}s?\b") for w in ("doctor", "teacher")}
    counted = {(s.set, s.group): s.n for s in r.seen}
    assert counted[0, 0] == (named["doctor"] & ~named["teacher"]).sum() > 5
    assert counted[0, 1] == (named["teacher"] & ~named["doctor"]).sum()
    assert (0, 2) not in counted
    assert counted[1, 2] == 16
    data, outputs = r.sets
    assert data.n_used + data.n_several + data.n_other == data.n_pictures == len(truth)
    assert data.n_used * data.weight == pytest.approx(outputs.n_used * outputs.weight)
    assert outputs.n_units == 12  # batches of four
    assert {(d.group, d.first, d.second) for d in r.clusterings[0].differences} == {
        (0, 0, 1),
        (1, 0, 1),
    }


@every_case
def test_counts_add_up_and_shares_are_theirs(case: str, results: dict[str, ExploreResult]) -> None:
    r = results[case]
    for clustering in r.clusterings:
        assert sum(c.share for c in clustering.clusters) == pytest.approx(1)
        for s in clustering.spreads:
            n = next(x.n for x in r.seen if (x.set, x.group) == (s.set, s.group))
            assert sum(s.counts) == n
            for cluster, e in s.shares.items():
                assert e.value == pytest.approx(s.counts[int(cluster) - 1] / n)
            assert 0 <= (s.entropy.value or 0) <= 1
        by_set = np.array([c.n for c in clustering.clusters]).sum(axis=0)
        assert by_set.tolist() == [s.n_used for s in r.sets]
    for p in r.pictures:
        for number, near in enumerate(p.nearest):
            assert all(r.pictures[n.picture].set == number for n in near)
            assert [n.cosine for n in near] == sorted((n.cosine for n in near), reverse=True)
    for i, p in enumerate(r.pictures):
        assert i not in {n.picture for near in p.nearest for n in near}
        assert p.image.startswith("data:image/webp;base64,")


def test_faces_with_boxes_are_aligned_and_others_are_not(
    results: dict[str, ExploreResult],
) -> None:
    r = results["two"]
    aligned = {(r.sets[s.set].name, r.groups[s.group]): s.aligned for s in r.seen}
    assert [name for name, yes in aligned.items() if yes] == [("outputs", PROMPTS[0])]


def test_at_most_so_many_pictures_of_a_set_are_shown(results: dict[str, ExploreResult]) -> None:
    r = results["two"]
    for s in range(2):
        groups = [p.group for p in r.pictures if p.set == s]
        assert len(groups) == min(24, r.sets[s].n_used)
        if s == 1:
            assert [groups.count(g) for g in range(3)] == [8, 8, 8]


def test_a_run_is_the_same_every_time(results: dict[str, ExploreResult], place: Path) -> None:
    again = explore(config(place, place / "data", f"outputs={place / 'made'}"))
    assert again.to_json() == results["two"].to_json()
    assert str(place) not in again.to_json()
    assert again.provenance.command.startswith("laion-probe explore data outputs=made --model ")


def test_near_pictures_of_a_concept_are_found_without_its_words(
    results: dict[str, ExploreResult], place: Path
) -> None:
    file = place / "concepts.txt"
    file.write_text("doctor\nteacher\n", encoding="utf-8")
    r = explore(
        config(place, place / "data", place / "made", by="near", concepts=str(file), clusters=(4,))
    )
    assert r.groups[:2] == ("doctor", "teacher")
    near = {s.group: s.n for s in r.seen if s.set == 0}
    named = {s.group: s.n for s in results["two"].seen if s.set == 0}
    assert near[0] > named[0]  # captions in other languages
    truth = pl.read_parquet(DEMO / "truth.parquet").filter(pl.col("kind") == "pool")
    hashes = pl.read_parquet(DEMO / "images/00000.parquet").select("key", "hash")
    table = hashes.join(truth.unique("hash"), on="hash", how="left")
    concept = dict(table.select("key", "concept").iter_rows())
    shown = [p for p in r.pictures if p.set == 0 and p.group == 0]
    assert np.mean([concept[p.id.partition("/")[2]] == "doctor" for p in shown]) > 0.8


def test_a_planted_difference_is_found_and_two_halves_of_one_set_do_not_differ(
    tmp_path: Path, place: Path
) -> None:
    known = pl.read_ndjson(DEMO / "generated/metadata.jsonl").to_dicts()
    doctors = [r for r in known if r["prompt"] == PROMPTS[0]]
    nurses = [r for r in known if r["prompt"] == "a photo of a nurse"]
    sets = {"a": doctors[:80], "b": doctors[80:160], "c": nurses[:80]}
    for name, chosen in sets.items():
        (tmp_path / name).mkdir()
        lines = []
        for row in chosen:
            file = row["file_name"].replace("/", "-")
            shutil.copyfile(DEMO / "generated" / row["file_name"], tmp_path / name / file)
            lines.append(json.dumps({**row, "file_name": file, "prompt": "a person"}))
        (tmp_path / name / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    r = explore(config(place, *(tmp_path / name for name in sets), clusters=(6,)))
    told = {
        (d.first, d.second): r.claims[2 * i + 1] for i, d in enumerate(r.clusterings[0].differences)
    }
    assert not told[0, 1].supported
    assert told[0, 2].supported
    assert told[1, 2].supported


@every_case
def test_sections_tags_ids_and_headings_are_in_order(
    case: str, results: dict[str, ExploreResult]
) -> None:
    for text in (html(results[case]), explorer_html(results[case])):
        read = Page(text)
        assert read.open == []
        ids = [a["id"] for _, a in read.tags if "id" in a]
        assert len(ids) == len(set(ids))
        for _, attributes in read.tags:
            assert attributes.get("aria-labelledby", ids[0]) in ids
            href = attributes.get("href", "")
            assert href in ("", "explorer.html", "report.html") or href.removeprefix("#") in ids
        levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert len(read.of("table")) == len(read.of("caption"))
        assert all(a.get("alt") is not None for a in read.of("img"))


def at(stored: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        stored = stored[int(key)] if isinstance(stored, list) else stored[key]
    return stored


@every_case
def test_every_pointer_leads_to_its_number(case: str, results: dict[str, ExploreResult]) -> None:
    stored = json.loads(results[case].to_json())
    shown = [a for _, a in Page(html(results[case])).tags if "data-pointer" in a]
    assert len(shown) > 20
    for a in shown:
        found = at(stored, a["data-pointer"])
        if a["data-form"] in ("number", "percent"):
            assert float(a["data-value"]) == found, a
        else:
            assert a["data-value"] == ("" if found["value"] is None else repr(found["value"])), a
    places = {a["data-pointer"] for a in shown}
    r = results[case]
    for where, _ in walk(r):
        if where.endswith("/entropy") and where.startswith(f"/clusterings/{r.shown}/"):
            assert where in places


@every_case
def test_no_other_number_is_on_the_page(case: str, results: dict[str, ExploreResult]) -> None:
    r = results[case]

    def numbers(text: str) -> set[str]:
        return {n.replace(",", "") for n in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}

    known = numbers(r.to_json() + clean(" ".join(HOSTILE)))
    methods = {(e.method, e.assumptions) for _, e in walk(r) if e.value is not None}
    levels = {f"{100 * e.level:.1f}" for _, e in walk(r)}
    counted = {str(len(methods)), str(len(r.groups)), str(len(r.sets))}
    assert numbers(Untied(html(r)).text) - known - OWN - levels <= counted


@every_case
def test_two_renders_are_the_same_bytes_and_tables_hold_every_estimate(
    case: str, results: dict[str, ExploreResult], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        render_explore(results[case], tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert {"report.html", "explorer.html", "result.json"} <= {str(f) for f in files}
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    read = [
        r for t in ("spreads", "differences", "colourfulness") for r in rows(tmp_path / "one", t)
    ]
    numbers = sorted([r["value"], r["low"], r["high"], r["n"]] for r in read)
    assert numbers == sorted(
        ["" if x is None else repr(x) for x in (e.value, e.low, e.high, e.n)]
        for _, e in walk(results[case])
    )


def test_hostile_text_stays_text(results: dict[str, ExploreResult], tmp_path: Path) -> None:
    render_explore(results["hostile"], tmp_path)
    plain = {tag for tag, _ in Page(html(results["two"])).tags}
    for name in ("report.html", "explorer.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        read = Page(text)
        if name == "report.html":
            assert {tag for tag, _ in read.tags} <= plain
        assert len(read.of("script")) == (1 if name == "report.html" else 2)
        assert not [n for _, a in read.tags for n in a if n.startswith("on")]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", text)
    cells = [c for t in ("spreads", "pictures") for row in rows(tmp_path, t) for c in row.values()]
    assert not [c for c in cells if c.startswith(("=", "+", "@"))]


def test_clusters_follow_the_pictures_and_each_set_counts_alike() -> None:
    rng = np.random.default_rng(0)
    centre = np.eye(6, dtype=np.float32)
    label = np.repeat(np.arange(6), 20)
    x = centre[label] + rng.normal(0, 0.05, (120, 6)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weight = np.where(label == 5, 10, 1).astype(np.float32)
    found = cluster_together(Together(x, weight), 6, 3, 0)
    assert adjusted_rand(found.label, label) == 1
    assert set(found.label[label == 5]) == {0}  # the heaviest comes first
    assert found.agreement == 1
    assert found.stability.tolist() == [1.0] * 6
    again = cluster_together(Together(x, weight), 6, 3, 0)
    assert (again.label == found.label).all()


def test_agreement_is_that_of_hubert_and_arabie() -> None:
    # their index by hand: pairs 2 of 4 and 7 in rows and columns, of 15
    a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
    assert adjusted_rand(a, b) == pytest.approx((2 - 6 * 3 / 15) / ((6 + 3) / 2 - 6 * 3 / 15))
    rng = np.random.default_rng(1)
    by_chance = [adjusted_rand(rng.integers(0, 4, 200), rng.integers(0, 4, 200)) for _ in range(50)]
    assert np.mean(by_chance) == pytest.approx(0, abs=0.01)


def test_a_mean_by_batch_is_wider_than_by_picture() -> None:
    values = np.repeat([1.0, 2.0, 3.0, 4.0], 5)
    alike = mean_by_unit(values, np.repeat(np.arange(4), 5), 0.95)
    apart = mean_by_unit(values, np.arange(20), 0.95)
    assert alike.value == apart.value == 2.5
    assert alike.high - alike.low > 2 * (apart.high - apart.low)  # type: ignore[operator]
    assert mean_by_unit(values, np.zeros(20, np.int64), 0.95).low is None
    assert mean_by_unit(np.zeros(0), np.zeros(0, np.int64), 0.95).value is None


def test_a_caption_with_several_concepts_is_of_none_and_the_longer_one_wins() -> None:
    captions = pl.Series(["a doctor", "a doctor and a nurse", "two police officers", "sky"])
    found = _by_caption(captions, ["doctor", "nurse", "officer", "police officer"])
    assert found.tolist() == [0, -2, 3, -1]


def test_face_boxes_are_read_as_datacomp_has_them(tmp_path: Path) -> None:
    boxes = [[[0.1, 0.1, 0.2, 0.2], [0.3, 0.2, 0.8, 0.9]], []]
    table = pl.DataFrame({"key": ["a", "b"], "face_bboxes": boxes})
    table.write_parquet(tmp_path / "00007.parquet")
    assert _boxes(tmp_path) == {"00007/a": (0.3, 0.2, 0.8, 0.9)}
    (tmp_path / "00008.parquet").write_bytes(b"not parquet")
    with pytest.raises(ShardError, match="not img2dataset metadata"):
        _boxes(tmp_path)


def test_what_generate_wrote_is_no_data_set(place: Path, tmp_path: Path) -> None:
    """Tars beside parquet as img2dataset has them, but without a URL."""
    folder, rows = tmp_path / "drawn", []
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for i, path in enumerate(sorted((place / "made").glob("*.webp"))):
            key = f"{i:09}"
            tar.add(path, f"{key}.webp")
            prompt = PROMPTS[i % 2]
            rows.append({"key": key, "prompt": prompt, "batch": str(i), "generator": "mine"})
    pl.DataFrame(rows).write_parquet(folder / "00000.parquet")
    r = explore(config(tmp_path, folder, clusters=(4,)))
    assert (r.sets[0].kind, r.sets[0].generator) == ("generated", "mine")
    assert r.groups == PROMPTS[:2]


def test_only_what_every_seed_shows_is_counted_so() -> None:
    def placed(*shares: list[int]) -> list[Placed]:
        return [
            Placed(np.repeat([0, 1], counts), np.zeros(40, np.int64), np.arange(40))
            for counts in shares
        ]

    far, near = ([5, 35], [20, 20]), ([20, 20], [20, 20])
    found = [spreads(placed(*x), 0.95) for x in (far, far, near)]
    (two,) = differences(found[0], found[1:], 0.95)
    assert (two.n_apart, two.n_more, two.n_less) == (2, 2, 0)
    assert two.distance_over_seeds[0] == 0
    (three,) = differences(found[0], [found[0]] * 2, 0.95)
    assert (three.n_apart, three.n_more) == (3, 3)


# Bad input


def _pictures(folder: Path, colours: list[int]) -> Path:
    folder.mkdir()
    for i, grey in enumerate(colours):
        buffer = io.BytesIO()
        Image.new("RGB", (40, 40), (grey, 90, 255 - grey)).save(buffer, "PNG")
        (folder / f"{i:02}.png").write_bytes(buffer.getvalue())
    return folder


def test_too_few_and_identical_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="1 picture of the concepts"):
        explore(config(tmp_path, _pictures(tmp_path / "single", [7])))
    with pytest.raises(NotEnoughData, match="all 12 pictures have the same vector"):
        explore(config(tmp_path, _pictures(tmp_path / "same", [50] * 12)))


def test_numbers_of_clusters_fit_the_pictures() -> None:
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    assert usable_numbers((12, 24, 48), x) == (12,)
    assert usable_numbers((24, 48), x) == (15,)
    assert usable_numbers((12,), np.repeat(x[:3], 20, axis=0)) == (3,)


def test_unreadable_files_are_counted_or_refused(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "broken", [10 * i for i in range(20)])
    (folder / "99.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(ShardError, match=r"1 of 21 pictures cannot be read, first 99\.png"):
        explore(config(tmp_path, folder))
    r = explore(config(tmp_path, folder, max_failed_share=0.2))
    assert (r.sets[0].n_unreadable, r.sets[0].n_used) == (1, 20)
    assert r.groups == ("(prompt unknown)",)
    assert "could not be read" in " ".join(r.cannot_say)
    assert "No concept is in two of the sets" in r.finding[0]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["nowhere=gone"], "gone does not exist"),
        (["a={made}", "a={data}"], "two sets are called 'a'"),
        (["{data}"], "which concepts are sought in the data"),
    ],
)
def test_sets_that_cannot_be_used_are_named(sets: list[str], said: str, place: Path) -> None:
    named = [s.format(made=place / "made", data=place / "data") for s in sets]
    with pytest.raises(ConfigError, match=said):
        explore(config(place, *named))


def test_concepts_that_no_picture_shows_are_said(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "concepts.txt"
    file.write_text("zeppelin\n", encoding="utf-8")
    with pytest.raises(NotEnoughData, match="shows any of the 1 concepts"):
        explore(config(place, place / "data", concepts=str(file)))
