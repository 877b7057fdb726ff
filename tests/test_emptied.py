"""Which captions DALL·E mini's pre-processing empties, and what text can say of the press's ideas.

Captions of Indian women, it was said, may have been emptied because they are in Hindi, or because
names were removed; or ban lists hit them more rarely (see docs/filters.md).
"""

from __future__ import annotations

import pytest
from shardmaker import frame, write

from laion_probe.config import FiltersConfig, make_config
from laion_probe.filters_result import FiltersResult, RewriteEffect
from laion_probe.questions.filters import filters

CAPTIONS = {
    "Hindi": ["भारतीय महिला लाल साड़ी में", "साड़ी पहने हुए एक औरत", "दीपिका पादुकोण"],
    "Tamil": ["புடவையில் ஒரு பெண்", "திருமண புடவை"],
    "Bengali": ["শাড়ি পরা একজন মহিলা"],
    "Chinese": ["穿纱丽的印度女人", "红色纱丽"],
    "Arabic": ["امرأة هندية ترتدي الساري"],
    "emoji": ["👩🏽", "🥻🥻"],
    "names": ["Deepika Padukone", "Salman Khan", "<PERSON>"],
    "English": ["a woman in a red saree", "sexy saree photos", "#saree #wedding"],
    "URL": ["https://shop.example/saree.jpg", "http://a.example/b"],
    "marks": ["★★★", "&lt;b&gt;&lt;/b&gt;", "…"],
    "Meitei": ["ꯃꯤꯇꯩ ꯃꯌꯦꯛ"],
    "Ol Chiki": ["ᱥᱟᱱᱛᱟᱲᱤ"],
    "nothing": ["", "  "],
}
KIND = {text: kind for kind, texts in CAPTIONS.items() for text in texts}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> FiltersResult:
    texts = list(KIND)
    folder = write(tmp_path_factory.mktemp("s"), frame(len(texts), TEXT=texts), 1, 100)
    values = {
        "shards": (str(folder),),
        "recipe": ("dalle-mini", "cc12m", "laion400m", "c4-ban-list"),
        "by": ("script",),
        "examples": 50,
        "audit_captions": 0,
        "min_count": 1,
        "cache": str(tmp_path_factory.mktemp("c")),
        "runner": "serial",
    }
    return filters(make_config(values, FiltersConfig))


def normalised(result: FiltersResult) -> RewriteEffect:
    effects = [e for e in result.recipes[0].rewrites if e.n_emptied]
    assert len(effects) == 1
    return effects[0]


def test_what_becomes_empty(result: FiltersResult) -> None:
    (emptied,) = (e for e in result.examples if e.kind == "emptied" and e.recipe == "dalle-mini")
    texts = {row.text for row in emptied.rows}
    assert {KIND[t] for t in texts} == {"URL", "marks", "Meitei", "Ol Chiki"}
    assert emptied.n_of == len(texts) == normalised(result).n_emptied == 7
    assert all((row.rewritten or "").strip() == "" for row in emptied.rows)


def test_who_they_were(result: FiltersResult) -> None:
    by_script = {x.level: x.n_emptied for x in normalised(result).levels if x.group == "script"}
    # Hindi, Tamil, Bengali, Chinese and Arabic come out in Latin letters, not empty
    for script in ("Devanagari", "Tamil", "Bengali", "Han", "Arabic"):
        assert by_script[script] == 0, script
    assert by_script["Ol Chiki"] == 1
    assert by_script["Meetei Mayek"] == 1
    assert any("captions are left without any text" in s for s in result.finding)


def test_romanised_captions_lose_the_word_for_a_sari(result: FiltersResult) -> None:
    (rewritten,) = (
        e for e in result.examples if e.kind == "rewritten" and e.recipe == "dalle-mini"
    )
    as_rewritten = {row.text: row.rewritten for row in rewritten.rows}
    assert as_rewritten["साड़ी पहने हुए एक औरत"].isascii()
    assert "sari" not in as_rewritten["साड़ी पहने हुए एक औरत"]
    assert as_rewritten["🥻🥻"] == " sari, sari"


def test_names_are_replaced_not_emptied(result: FiltersResult) -> None:
    cc12m = next(r for r in result.recipes if r.name == "cc12m")
    assert sum(e.n_emptied for e in cc12m.rewrites) == 0
    (rewritten,) = (e for e in result.examples if e.kind == "rewritten" and e.recipe == "cc12m")
    assert {row.rewritten for row in rewritten.rows if KIND[row.text] == "names"} == {"<PERSON>"}


def test_an_english_only_step_removes_the_picture_with_its_caption(result: FiltersResult) -> None:
    laion = next(r for r in result.recipes if r.name == "laion400m")
    scripts = {x.level: x for x in laion.groups[0].levels}
    assert scripts["Devanagari"].n_kept == scripts["Tamil"].n_kept == 0


def test_an_english_ban_list_cannot_hit_a_hindi_caption(result: FiltersResult) -> None:
    banned = next(r for r in result.recipes if r.name == "c4-ban-list")
    scripts = {x.level: x for x in banned.groups[0].levels}
    assert scripts["Devanagari"].n_kept == scripts["Devanagari"].n
    assert scripts["Latin"].n_kept == scripts["Latin"].n - 1, "“sexy saree photos”"
