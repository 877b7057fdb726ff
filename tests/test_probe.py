"""The main job on the embedded demo data, end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import ROOT

from laion_probe import cli
from laion_probe.config import ProbeConfig, load_config
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.probe import probe


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def ask(demo: Path, cache: Path, concept: str, **options: object) -> ProbeResult:
    values = {"concept": concept, "cache": str(cache), "audit_captions": 50, **options}
    return probe(load_config(demo / "probe.toml", values, ProbeConfig))


@pytest.fixture(scope="session")
def doctor(demo: Path, cache: Path) -> ProbeResult:
    return ask(demo, cache, "doctor", recipe="laion400m")


def test_the_chain_runs_from_everything_to_the_generated_pictures(doctor: ProbeResult) -> None:
    ids = [s.id for s in doctor.stages]
    assert ids[:2] == ["all", "pool"]
    assert ids[-3:] == ["neighbourhood", "matched", "generated"]
    steps = [s.n_pictures for s in doctor.stages[1:-1]]
    assert steps == sorted(steps, reverse=True)
    assert 0 < doctor.stage("matched").n_pictures < doctor.stage("neighbourhood").n_pictures
    rows = [s.n_rows for s in doctor.stages[:-2]]
    assert rows == sorted(rows, reverse=True)
    assert doctor.stage("generated").n_pictures == 200
    assert doctor.concept.status == "found"


def test_every_picture_is_counted_at_some_level_unknown_included(doctor: ProbeResult) -> None:
    for stage in doctor.stages:
        assert set(stage.compositions) == {"gender_presentation", "skin_tone"}
        for c in stage.compositions.values():
            assert sum(c.counts.values()) == stage.n_pictures
            assert "unknown" in c.counts
            assert c.labels == "uncorrected classifier labels"
            e = c.contrast
            assert e.low is not None
            assert e.value is not None
            assert e.high is not None
            assert e.low <= e.value <= e.high
            assert c.bounds.low is not None
            assert c.bounds.high is not None
            assert c.bounds.low <= e.value <= c.bounds.high


def test_shifts_are_differences_of_the_compositions(doctor: ProbeResult) -> None:
    assert doctor.shifts
    for shift in doctor.shifts:
        first = doctor.stage(shift.from_stage).compositions[shift.attribute].contrast
        second = doctor.stage(shift.to_stage).compositions[shift.attribute].contrast
        assert first.value is not None
        assert second.value is not None
        assert shift.difference.value == pytest.approx(second.value - first.value)
        assert shift.ratio.value == pytest.approx(second.value / first.value)
        assert shift.paired == (shift.to_stage != "generated")


def test_step_effects_add_up_to_what_is_left(doctor: ProbeResult) -> None:
    n = doctor.stage("all").n_rows
    for step in doctor.steps:
        assert step.n_reached == n
        assert n is not None
        n -= step.n_removed_here
    assert n == doctor.stage("neighbourhood").n_rows
    nsfw = doctor.steps[-1]
    assert nsfw.removals == ()
    assert "step:nsfw" not in {s.id for s in doctor.stages}  # judged on no row: no stage
    assert nsfw.outcomes == {"not_evaluable": doctor.stage("all").n_rows}
    assert nsfw.removed_share.value is None


def test_every_claim_points_to_the_interval_that_decides_it(doctor: ProbeResult) -> None:
    data = json.loads(doctor.to_json())
    assert len(doctor.finding.sentences) == 2
    assert doctor.finding.claims
    for claim in doctor.finding.claims:
        node = data
        for part in claim.estimate.strip("/").split("/"):
            node = node[int(part)] if isinstance(node, list) else node[part]
        excludes_zero = node["low"] > 0 or node["high"] < 0
        assert claim.supported == excludes_zero
        assert ("these data cannot tell" in claim.text) == (not claim.supported)
        assert any(claim.text in s for s in doctor.finding.sentences)


def test_the_result_survives_json(doctor: ProbeResult) -> None:
    assert ProbeResult.from_json(doctor.to_json()) == doctor
    assert str(ROOT) not in doctor.provenance.packages.values()


def test_pictures_are_shown_by_rule_and_labelled(doctor: ProbeResult) -> None:
    sets = {s.id: s for s in doctor.pictures}
    assert set(sets) == {"data-nearest", "data-random", "generated-nearest", "generated-random"}
    for s in sets.values():
        assert 0 < len(s.pictures) <= 24
        assert all(p.image.startswith("data:image/webp;base64,") for p in s.pictures)
    scores = [p.similarity for p in sets["data-nearest"].pictures]
    assert scores == sorted(scores, reverse=True)
    assert doctor.keyword_only is not None
    threshold = doctor.concept.threshold
    assert threshold is not None
    assert all(
        p.similarity is not None and p.similarity < threshold + 1e-4
        for p in doctor.keyword_only.pictures
    )


def test_the_same_question_twice_gives_the_same_bytes_and_truth_is_never_read(
    demo: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    for folder in (here, there):
        (folder / "data").mkdir(parents=True)
        shutil.copytree(demo, folder / "data" / "demo")
    (there / "data" / "demo" / "truth.parquet").unlink()
    found = []
    for folder, warm in ((here, str(cache)), (here, str(cache)), (there, str(tmp_path / "cold"))):
        monkeypatch.chdir(folder)
        argv = [
            "probe",
            "nurse",
            "--recipe",
            "laion5b-en",
            "--cache",
            warm,
            "--audit-captions",
            "50",
        ]
        assert cli.main([*argv, "--out", f"run-{len(found)}"]) == 0
        found.append((folder / f"run-{len(found)}" / "result.json").read_bytes())
    assert found[0] == found[1] == found[2]


def test_a_run_folder_holds_what_the_readme_says(
    demo: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    argv = ["probe", "doctor", "--config", str(demo / "probe.toml"), "--cache", str(cache)]
    assert cli.main([*argv, "--audit-captions", "0", "--out", str(out)]) == 0
    assert "report:" in capsys.readouterr().out
    names = {p.name for p in out.iterdir()}
    assert names == {"report.html", "result.json", "run.json", "tables", "figures"}
    result = ProbeResult.from_json((out / "result.json").read_text(encoding="utf-8"))
    assert result.audit is None
    run = json.loads((out / "run.json").read_text())
    assert set(run) == {"seconds", "host", "python", "working_directory", "out", "config"}
    assert "seconds" not in json.loads((out / "result.json").read_text())


def test_a_concept_without_a_match_is_a_clear_answer(demo: Path, cache: Path) -> None:
    result = ask(demo, cache, "zeppelin hangar")
    assert result.concept.status == "no match"
    assert "No match for “zeppelin hangar”" in result.finding.sentences[0]
    assert "0 of 21600 captions name it" in result.finding.sentences[0]
    assert result.finding.claims == ()
    assert result.stage("pool").n_pictures == 0
    assert result.shifts == ()


def test_a_threshold_of_ones_own_measures_all_the_same(demo: Path, cache: Path) -> None:
    result = ask(demo, cache, "zeppelin hangar", threshold=0.3)
    assert result.concept.status == "found"
    assert result.concept.threshold_rule == "given by the user"


def test_a_model_that_knows_no_such_picture_says_so(demo: Path, cache: Path) -> None:
    result = ask(demo, cache, "quantum entanglement")
    assert result.concept.status == "no match"
    assert "no picture is as similar to it" in result.finding.sentences[0]


def test_captions_that_name_a_concept_without_showing_it_are_reported(doctor: ProbeResult) -> None:
    c = doctor.concept
    assert 0 < c.n_keyword_not_near < c.n_keyword_pictures < c.n_keyword_rows


def test_two_words_and_an_article(demo: Path, cache: Path) -> None:
    result = ask(demo, cache, "a woman in a sari")
    assert result.concept.status == "found"
    assert result.generated is None
    assert any("None of the generated pictures' prompts names" in s for s in result.cannot_say)
    woman = result.stage("pool").compositions["gender_presentation"]
    assert woman.counts["woman"] > 5 * woman.counts["man"]


def test_the_empty_prompt_can_be_asked_for(demo: Path, cache: Path) -> None:
    result = ask(demo, cache, "a woman in a sari", prompt="")
    assert result.generated is not None
    assert result.generated.n_pictures == 400
    assert result.generated.simulated
    assert "In 400 pictures generated from the empty prompt," in result.finding.sentences[1]
    assert "the side that the data favour" not in result.finding.sentences[1]


def test_generated_pictures_are_measured_without_pictures_of_the_data(
    demo: Path, cache: Path
) -> None:
    values = {"concept": "doctor", "cache": str(cache), "audit_captions": 0}
    config = load_config(demo / "probe.toml", values, ProbeConfig).model_copy(
        update={"images": None}
    )
    result = probe(config)
    assert result.concept.status == "no pictures"
    assert "In 200 pictures generated from “a photo of a doctor”" in result.finding.sentences[1]
    assert result.finding.claims == ()
    assert result.stage("generated").compositions["skin_tone"].contrast.value is not None


def test_everything_in_the_input_has_one_range_whatever_is_asked(
    demo: Path, cache: Path, doctor: ProbeResult
) -> None:
    sari = ask(demo, cache, "a woman in a sari", recipe="laion400m")
    first = doctor.stage("all").compositions["gender_presentation"].with_known_errors
    second = sari.stage("all").compositions["gender_presentation"].with_known_errors
    assert first is not None
    assert first == second


def test_pictures_may_stand_for_the_concept(demo: Path, cache: Path, doctor: ProbeResult) -> None:
    import base64

    nearest = next(s for s in doctor.pictures if s.id == "data-nearest").pictures[:5]
    files = []
    for i, picture in enumerate(nearest):
        path = cache / f"example-{i}.webp"
        path.write_bytes(base64.b64decode(picture.image.split(",")[1]))
        files.append(str(path))
    result = ask(demo, cache, "doctor", examples=tuple(files))
    assert result.concept.n_examples == 5
    assert result.concept.prompts == ()
    assert result.concept.status == "found"
    by_text = {p.id for p in nearest}
    shown = next(s for s in result.pictures if s.id == "data-nearest").pictures
    assert by_text & {p.id for p in shown}


def test_captions_alone_say_what_captions_can(shared: Path, cache: Path) -> None:
    sample = str(shared / "laion400m-sample-1000.parquet")
    result = probe(
        ProbeConfig(
            concept="saree",
            shards=(sample,),
            recipe="laion400m",
            cache=str(cache),
            audit_captions=0,
        )
    )
    assert result.concept.status == "no pictures"
    assert "no composition of the data is measured" in result.finding.sentences[0]
    assert all(s.n_pictures == 0 and s.compositions == {} for s in result.stages)
    english = next(s for s in result.steps if s.id == "english")
    assert english.removed_share.value == pytest.approx(0.007)
    assert result.pictures == ()


def test_what_a_declared_filter_removed_is_not_observable(shared: Path, cache: Path) -> None:
    sample = str(shared / "laion400m-sample-1000.parquet")
    result = probe(
        ProbeConfig(
            concept="dog",
            shards=(sample,),
            recipe="laion400m",
            already="laion400m",
            cache=str(cache),
            audit_captions=0,
        )
    )
    assert result.steps
    for step in result.steps:
        assert not step.observable
        assert step.removed_share.value is None
    assert any("cannot be observed here" in s for s in result.cannot_say)


def test_a_killed_embedding_resumes_where_it_was(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from laion_probe.embed import EmbeddingFolder

    real = EmbeddingFolder.write
    written: list[int] = []

    def dies(self, number, vectors, rows, digests):
        if number == 2 and written.count(2) == 0 and len(written) == 2:
            raise KeyboardInterrupt
        written.append(number)
        real(self, number, vectors, rows, digests)

    monkeypatch.setattr(EmbeddingFolder, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        ask(demo, tmp_path, "doctor", generated=None)
    assert written == [0, 1]
    monkeypatch.setattr(
        EmbeddingFolder, "write", lambda self, *a: (written.append(a[0]), real(self, *a))[1]
    )
    resumed = ask(demo, tmp_path, "doctor", generated=None)
    assert written[:10] == list(range(10))  # and then those of the generated pictures
    assert resumed.concept.n_pictures > 4000


def test_vectors_lie_row_aligned_in_clip_retrievals_layout(
    cache: Path, doctor: ProbeResult
) -> None:
    import polars as pl

    folders = [p.parent for p in (cache / "embeddings").glob("*/key.json")]
    assert folders
    for folder in folders:
        for npy in (folder / "img_emb").glob("*.npy"):
            meta = (
                folder
                / "metadata"
                / npy.name.replace("img_emb", "metadata").replace("npy", "parquet")
            )
            vectors = np.load(npy)
            assert vectors.dtype == np.float16
            assert len(vectors) == len(pl.read_parquet(meta))


def test_exchanged_sizes_are_said_where_pictures_show_them(
    demo: Path, cache: Path, tmp_path: Path
) -> None:
    for path in sorted((demo / "shards").glob("*.parquet")):
        table = pl.read_parquet(path).rename({"WIDTH": "HEIGHT", "HEIGHT": "WIDTH"})
        table.write_parquet(tmp_path / path.name, row_group_size=450)
    said = ask(demo, cache, "doctor", shards=[str(tmp_path)]).how_measured
    assert any("WIDTH and HEIGHT look exchanged: " in line for line in said)
    assert not any("exchanged" in line for line in ask(demo, cache, "doctor").how_measured)
