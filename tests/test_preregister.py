"""Preregistering a probe, and the probe that is run from it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from shardmaker import frame, write

from laion_probe.config import ProbeConfig, load_config
from laion_probe.config.preregister import PreregisterConfig
from laion_probe.errors import ConfigError
from laion_probe.preregistration import Registered, read_preregistration
from laion_probe.questions import inputs as opened
from laion_probe.questions import preregistering
from laion_probe.questions.inputs import Inputs
from laion_probe.questions.preregistering import preregister
from laion_probe.questions.probe import probe
from laion_probe.render import report_html

KEY = {"model": "x", "weights_sha256": "0" * 64}


def config_of(folder: Path, **options: object) -> ProbeConfig:
    return ProbeConfig.model_validate(
        {
            "concept": "doctor",
            "shards": (str(folder / "shards"),),
            "recipe": "laion400m",
            "already": "none",
            "cache": str(folder / "cache"),
            "runner": "serial",
            "audit_captions": 5,
        }
        | options
    )


def registered(config: ProbeConfig, path: Path, **more: object) -> Registered:
    values = config.model_dump() | {"out": str(path)} | more
    preregister(PreregisterConfig.model_validate(values))
    return read_preregistration(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "shards", frame(40))
    return tmp_path


def test_a_run_as_registered_says_so_and_has_no_deviation(data: Path) -> None:
    plan = registered(config_of(data), data / "plan.toml")
    assert plan.prompts[:2] == ("doctor", "a photo of a doctor")
    assert plan.options == {
        "concept": "doctor", "seed": 0, "level": 0.95, "max_failed_share": 0.01,
        "audit_captions": 5, "already": "none",
    }  # fmt: skip
    result = probe(config_of(data, preregistered=str(data / "plan.toml")))
    kept = result.preregistered
    assert kept is not None
    assert (kept.hash, kept.deviations, kept.expectations) == (plan.hash, (), ())
    assert result.finding.sentences[-1] == kept.sentence
    assert f"hash {plan.hash[:12]}" in kept.sentence
    assert "--preregistered plan.toml" in result.provenance.command
    assert result.provenance.config["preregistered"] == "plan.toml"
    assert type(result).from_json(result.to_json()) == result
    html = report_html(result)
    assert plan.hash in html
    assert "No deviation" in html
    assert "expected" not in html.partition('id="preregistered"')[2].partition("</section>")[0]


def test_without_a_plan_nothing_of_it_is_in_the_result(data: Path) -> None:
    result = probe(config_of(data))
    assert result.preregistered is None
    assert "preregistered" not in result.to_json()
    assert "egistered" not in report_html(result)


def test_what_changes_no_result_is_no_deviation(data: Path, tmp_path: Path) -> None:
    registered(config_of(data), data / "plan.toml")
    moved = tmp_path / "moved"
    (data / "shards").rename(moved)
    file = next(moved.iterdir())
    file.rename(moved / f"renamed-{file.name}")
    result = probe(
        config_of(
            data,
            shards=(str(moved),),
            preregistered=str(data / "plan.toml"),
            cache=str(tmp_path / "other"),
            workers=2,
            retries=0,
            show=3,
            data_note="made up",
            context="a poster",
            harm=("erasing=x",),
        )
    )
    assert result.preregistered is not None
    assert result.preregistered.deviations == ()


def test_what_changes_a_result_is_a_deviation(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered(config_of(data), data / "plan.toml")
    write(data / "more", frame(41))
    monkeypatch.setattr("laion_probe.questions.registered_plan.__version__", "99")
    result = probe(
        config_of(
            data,
            concept="nurse",
            shards=(str(data / "more"),),
            recipe="laion5b-en",
            seed=1,
            threshold=0.25,
            already=None,
            attributes=("gender_caption",),
            reference=("gender_caption:census=0.4",),
            preregistered=str(data / "plan.toml"),
        )
    )
    kept = result.preregistered
    assert kept is not None
    found = [(d.of, d.what) for d in kept.deviations]
    options = {what for of, what in found if of == "option"}
    assert options == {"seed", "concept", "already", "threshold", "reference"}
    assert [what for of, what in found if of == "definition"] == ["recipe", *["attribute"] * 3]
    assert {what.split()[0] for of, what in found if of == "input"} == {"shard"}
    assert ("version", "laion-probe") in found
    html = report_html(result)
    for deviation in kept.deviations:
        assert deviation.used in html
    assert f"{len(kept.deviations)} deviations" in kept.sentence


def test_a_recipe_file_of_the_same_name_with_another_step_is_a_deviation(data: Path) -> None:
    recipe = data / "mine.toml"
    text = (
        'name = "mine"\ntitle = "mine"\nsource = "me"\n[[step]]\nid = "length"\n'
        'kind = "caption-length"\ntitle = "length"\nsource = "me"\n'
        "params = { min_characters = 5 }\n"
    )
    recipe.write_text(text, encoding="utf-8")
    registered(config_of(data, recipe=str(recipe)), data / "plan.toml")
    recipe.write_text(text.replace("= 5", "= 6"), encoding="utf-8")
    used = config_of(data, recipe=str(recipe), preregistered=str(data / "plan.toml"))
    kept = probe(used).preregistered
    assert kept is not None
    assert [(d.of, d.what) for d in kept.deviations] == [("definition", "recipe")]


def test_a_changed_file_stops_the_probe_before_it_reads_anything(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data / "plan.toml"
    registered(config_of(data), path)
    path.write_text(path.read_text().replace("seed = 0", "seed = 3"))
    monkeypatch.setattr("laion_probe.questions.probe.measure", lambda *_: pytest.fail("it read"))
    with pytest.raises(ConfigError, match="was changed after it was written"):
        probe(config_of(data, preregistered=str(path)))


def test_nothing_is_written_over_and_a_plan_has_no_plan(data: Path) -> None:
    registered(config_of(data), data / "plan.toml")
    before = (data / "plan.toml").read_bytes()
    with pytest.raises(ConfigError, match="not written over"):
        registered(config_of(data), data / "plan.toml")
    assert (data / "plan.toml").read_bytes() == before
    with pytest.raises(ConfigError, match="leave it out"):
        registered(config_of(data, preregistered="x.toml"), data / "other.toml")


def test_one_that_was_written_meanwhile_is_not_written_over(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plan_of = data / "plan.toml", preregistering.plan_of

    def slow(config: ProbeConfig, inputs: Inputs, written: str) -> Registered:
        path.write_text("of another run")
        return plan_of(config, inputs, written)

    monkeypatch.setattr(preregistering, "plan_of", slow)
    with pytest.raises(ConfigError, match="not written over"):
        registered(config_of(data), path)
    assert path.read_text() == "of another run"
    assert {p.name for p in data.iterdir()} <= {"shards", "plan.toml", "cache"}


def test_pictures_that_are_still_to_be_generated_are_registered_by_name(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preregistering, "load_embedder", lambda *_: SimpleNamespace(key=KEY))
    config = config_of(data, generated=str(data / "to-come"), attributes=("skin_tone",))
    plan = registered(config, data / "plan.toml")
    assert [i.name for i in plan.inputs if not i.fingerprint] == ["to-come"]
    # Without pictures of the data there is nothing to compare them with.
    assert plan.claims == ()
    assert plan.model == KEY


def test_the_outcome_is_not_looked_at(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pictures, ratings and scores that say nothing readable: none is read."""
    for module in (opened, preregistering):
        for name in ("read_ratings", "read_scores", "embed_parts", "open_ratings", "open_scores"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_: pytest.fail("it looked"))
    monkeypatch.setattr("laion_probe.shards.read_unit", lambda *_: pytest.fail("it looked"))
    monkeypatch.setattr("PIL.Image.open", lambda *_: pytest.fail("it looked"))
    # Loading the demo's model takes longer than all the rest.
    monkeypatch.setattr(preregistering, "load_embedder", lambda *_: SimpleNamespace(key=KEY))
    scores = tmp_path / "scores.csv"
    scores.write_bytes(b"\x00not a table")
    values = {
        "concept": "doctor",
        "recipe": "laion400m",
        "scores": (f"skin_tone={scores}",),
        "ratings": (str(tmp_path / "to-come.csv"),),
        "expect": ("generator:skin_tone=lower: the prompt is English",),
        "out": str(tmp_path / "plan.toml"),
    }
    lines = preregister(load_config(demo / "probe.toml", values, PreregisterConfig))
    plan = read_preregistration(tmp_path / "plan.toml")
    assert [c.id for c in plan.claims] == [
        "recipe:gender_presentation",
        "generator:gender_presentation",
        "recipe:skin_tone",
        "generator:skin_tone",
    ]
    by_kind = pl.DataFrame([i.model_dump() for i in plan.inputs])
    assert by_kind.filter(fingerprint="")["name"].to_list() == ["to-come.csv"]
    assert {"shard", "images", "generated", "model", "known errors"} <= {*by_kind["kind"]}
    assert "scores of skin_tone" in by_kind["kind"].to_list()
    assert [a.reader for a in plan.attributes] == ["zero-shot", "scores"]
    assert plan.attributes[0].prompts["woman"]
    assert plan.model == KEY
    assert plan.expected == ("generator:skin_tone=lower: the prompt is English",)
    assert "no more of them was read here" in lines[0]  # of others, and of before, it knows nothing
    assert "expected: generator:skin_tone lower" in lines
    assert any("to-come.csv" in line for line in lines)
    assert any(plan.hash in line for line in lines)
    assert lines[-1].startswith("then: laion-probe probe doctor ")
    assert f"--preregistered {tmp_path / 'plan.toml'}" in lines[-1]
