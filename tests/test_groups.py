"""Groups of rows: contracts for whatever is registered, and plain loops as oracles."""

from __future__ import annotations

import tomllib
import unicodedata
from importlib import resources
from pathlib import Path

import polars as pl
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from laion_probe.errors import ConfigError, UnknownName
from laion_probe.groups import GROUPS, NONE_NAMED, SEVERAL, UNKNOWN, load_group
from laion_probe.scripts import MIXED, NO_LETTERS, OTHER_SCRIPT, SCRIPTS, dominant_scripts
from laion_probe.steps import Batch
from laion_probe.webplaces import (
    frequent_domains,
    known_regions,
    known_tlds,
    regions,
    registered_domains,
    tlds,
)

FORMS = ("words:sari", "domain:example.com,example.co.in", "language:cld2")
COLUMNS = ("text", "url", "nsfw", "language")

# what Python's own tables have assigned: newer letters are of no script in some library
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=30)
URL = st.one_of(
    st.none(),
    TEXT,
    st.builds("{}://{}/{}".format, st.sampled_from(["http", "https", "ftp"]), TEXT, TEXT),
    st.builds("http://{}.{}/x".format, TEXT, st.sampled_from(["com", "in", "co.uk", "भारत", "x"])),
)


def levels(spec: str, **columns: list[str | None]) -> list[str]:
    n = len(next(iter(columns.values())))
    rows = pl.DataFrame(
        {c: columns.get(c, [None] * n) for c in COLUMNS}, dict.fromkeys(COLUMNS, pl.String)
    )
    group = load_group(spec)
    found = group.levels(Batch(rows.select(group.needs or ["text"])))
    assert found.dtype == pl.String
    assert found.null_count() == 0
    return found.to_list()


@pytest.mark.parametrize("spec", [*GROUPS, *FORMS])
@settings(max_examples=40)
@given(rows=st.lists(st.tuples(st.one_of(st.none(), TEXT), URL), min_size=1, max_size=6))
def test_every_group_gives_every_row_a_level(
    spec: str, rows: list[tuple[str | None, str | None]]
) -> None:
    text, url = [r[0] for r in rows], [r[1] for r in rows]
    found = levels(spec, text=text, url=url)
    assert len(found) == len(rows)
    assert all(found)
    one_by_one = [levels(spec, text=[t], url=[u])[0] for t, u in rows]
    assert found == one_by_one


@pytest.mark.parametrize("spec", [*GROUPS, *FORMS])
def test_no_group_fails_on_no_rows(spec: str) -> None:
    assert levels(spec, text=[]) == []


@pytest.mark.parametrize("spec", [*GROUPS, *FORMS])
def test_a_group_has_few_levels_whatever_the_rows(spec: str) -> None:
    if set(load_group(spec).needs) & {"nsfw", "language"}:
        return  # the input's own tags
    points = range(0x20, 0x20000, 37)
    texts = [chr(p) * 3 for p in points if unicodedata.category(chr(p)) != "Cs"]
    urls = [f"http://host{i}.site{i}.{a}{b}/" for i, (a, b) in enumerate(_pairs())]
    urls += [f"http://host.made-up-{i}/" for i in range(len(texts) - len(urls))]
    found = levels(spec, text=texts[: len(urls)], url=urls[: len(texts)])
    assert len(set(found)) <= 300


def _pairs() -> list[tuple[str, str]]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [(a, b) for a in letters for b in letters]


def test_registered_groups_say_what_they_are() -> None:
    for name in GROUPS:
        group = GROUPS[name]
        assert group.title
        if set(group.needs) <= {"text", "url"} and name not in ("language", "length", "words"):
            assert group.source, name


def test_an_unknown_group_is_named_with_its_nearest() -> None:
    with pytest.raises(UnknownName, match=r"gender-word'.*gender-words"):
        load_group("gender-word")
    with pytest.raises(UnknownName, match="cld22"):
        load_group("language:cld22")


# ---- script ----


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("a woman in a sari", "Latin"),
        ("café", "Latin"),
        ("साड़ी में एक महिला", "Devanagari"),
        ("சேலை அணிந்த பெண்", "Tamil"),
        ("穿红衣服的女人", "Han"),
        ("着物を着た女性", "Japanese"),
        ("한복을 입은 여자 漢字", "Hangul"),
        ("امرأة ترتدي الساري", "Arabic"),
        ("ผู้หญิงสวมส่าหรี", "Thai"),
        ("женщина в сари", "Cyrillic"),
        ("abc где", MIXED),  # three letters each
        ("abcd где", "Latin"),
        ("𐌰𐌱𐌲", OTHER_SCRIPT),  # Gothic
        ("2024 !? 👩", NO_LETTERS),
        ("", NO_LETTERS),
    ],
)
def test_the_dominant_script_of_known_captions(text: str, script: str) -> None:
    assert dominant_scripts(pl.Series([text])).to_list() == [script]


def plain_script(text: str) -> str:
    counts: dict[str, int] = {}
    for char in text:
        if not regex.fullmatch(r"\p{L}", char):
            continue
        if regex.fullmatch(r"\p{Script=Common}|\p{Script=Inherited}", char):
            continue
        if regex.fullmatch(r"\p{Script=Hiragana}|\p{Script=Katakana}", char):
            name = "Japanese"
        else:
            name = next(
                (
                    s
                    for s in SCRIPTS
                    if s != "Japanese"
                    and regex.fullmatch(rf"\p{{Script={s.replace(' ', '_')}}}", char)
                ),
                OTHER_SCRIPT,
            )
        counts[name] = counts.get(name, 0) + 1
    for joined in ("Japanese", "Hangul"):
        if joined in counts:
            counts[joined] += counts.pop("Han", 0)
    if not counts:
        return NO_LETTERS
    best = max(counts, key=lambda s: counts[s])
    return best if 2 * counts[best] > sum(counts.values()) else MIXED


CHAR = st.one_of(
    st.characters(exclude_categories=("Cs", "Cn")),
    st.sampled_from("ab é где 女のカー여 साड़ी ไทย 1!ـª"),
)


@given(st.lists(st.text(CHAR, max_size=12), min_size=1, max_size=6))
def test_scripts_equal_a_plain_count(texts: list[str]) -> None:
    assert dominant_scripts(pl.Series(texts)).to_list() == [plain_script(t) for t in texts]


# ---- words for women and men ----


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Indian woman in a red sari", "woman"),
        ("portraits of brown-skinned ladies sporting saris", "woman"),
        ("लाल साड़ी में एक महिला", "woman"),
        ("ल\u095cकी", "woman"),  # a letter with its nukta
        ("लड\u093cकी", "woman"),  # and a mark of its own
        ("एक आदमी और एक औरत", "both"),
        ("சேலை அணிந்த பெண்கள்", "woman"),
        ("2020 ஆண்டு", "no person named"),  # year, which begins like man
        ("শাড়ি পরা মহিলা", "woman"),
        ("穿旗袍的女医生", "woman"),
        ("着物を着た男性", "man"),
        ("メンズ Tシャツ", "man"),
        ("手拉手的一男一女", "both"),
        ("한복을 입은 여성", "woman"),
        ("صورة المرأة العربية", "woman"),
        ("رجل وامرأة", "both"),
        ("ساڑی میں عورت", "woman"),
        ("ผู้หญิงสวมส่าหรี", "woman"),
        ("ชายหาดภูเก็ต", "no person named"),  # a beach
        ("ผู้ชายบนชายหาด", "man"),
        ("femme en sari", "woman"),
        ("l'homme", "man"),
        ("Frau mit Hut", "woman"),
        ("een man en een vrouw", "both"),
        ("bộ sưu tập áo sơ mi nam", "man"),
        ("du lịch Việt Nam", "no person named"),
        ("her bag", "woman"),
        ("her gün için bir tarif", "no person named"),  # every, in Turkish
        ("vit katt men inte svart", "no person named"),  # but, in Swedish
        ("Men's shoes", "man"),
        ("sac avec son couvercle", "no person named"),  # his or its, in French
        ("Donna Karan perfume", "no person named"),
        ("una donna sulla spiaggia", "woman"),
        ("eine junge Katze", "no person named"),  # young, in German
        ("Notre-Dame de Paris", "no person named"),
        ("man made lake", "no person named"),
        ("human", "person, gender not stated"),  # no man inside
        ("a woman_02.jpg", "woman"),
        ("laptop MR9Q2KS", "no person named"),
        ("a nurse and a child", "person, gender not stated"),
        ("sari, silk, red", "no person named"),
        ("👩 in Paris", "woman"),
        ("γυναίκα με σάρι", UNKNOWN),  # a woman, in a script of no list
        ("γυναίκα 👩", UNKNOWN),
        ("VANS メンズ", "man"),  # as many letters of Latin as of kana
        ("2024 !", "no person named"),
    ],
)
def test_words_for_women_and_men_in_known_captions(text: str, level: str) -> None:
    assert levels("gender-words", text=[text]) == [level]


# ---- lists of terms ----


@pytest.mark.parametrize(
    ("spec", "text", "level"),
    [
        ("identity-religion", "Sikh man in a turban", "Sikh"),
        ("identity-religion", "Christian Dior perfume", NONE_NAMED),
        ("identity-religion", "Jewish and Muslim women", SEVERAL),
        ("identity-religion", "Jain temple", "Jain"),
        ("identity-orientation", "a gay couple", "gay"),
        ("identity-orientation", "straight jeans", NONE_NAMED),
        ("identity-gender", "trans woman", "transgender"),
        ("identity-gender", "trans fat", NONE_NAMED),
        ("identity-gender", "a non-binary person", "nonbinary"),
        ("identity-ethnicity", "African-American doctor", "Black or African American"),
        ("identity-ethnicity", "black woman", "Black or African American"),
        ("identity-ethnicity", "black women's shoes", NONE_NAMED),
        ("identity-ethnicity", "Native American dancer", "Indigenous"),
        ("identity-ethnicity", "American Indian art", "Indigenous"),
        ("identity-ethnicity", "Indian bride in a sari", "Indian"),
        ("identity-ethnicity", "South Asian bride", "South Asian"),
        ("identity-ethnicity", "Asian and Latina women", SEVERAL),
        ("identity-ethnicity", "German Shepherd puppy", NONE_NAMED),
        ("identity-ethnicity", "portraits of brown-skinned ladies sporting saris", NONE_NAMED),
        ("identity-ethnicity", "Tibetan monks", "Tibetan"),
        ("identity-ethnicity", "Tibetan Mastiff puppy", NONE_NAMED),
        ("identity-ethnicity", "Uyghur women", "Uyghur"),
        ("identity-ethnicity", "Taiwanese actor", "Taiwanese"),
        ("identity-ethnicity", "young Hongkongers", "Hong Konger"),
        ("identity-ethnicity", "Romani musicians", "Roma"),
        ("identity-ethnicity", "Gypsy woman with a shawl", "Roma"),
        ("identity-ethnicity", "gypsy dress", NONE_NAMED),
        ("identity-religion", "मुस्लिम परिवार", UNKNOWN),
        ("identity-religion", "मुस्लिम परिवार का घर, Muslim", UNKNOWN),
        ("identity-religion", "Moschee mit Garten", UNKNOWN),  # a tell: mit
        ("identity-religion", "a mosque", NONE_NAMED),
        ("identity-religion", "12 × 40 ☪", NONE_NAMED),  # no letters
        ("identity-religion", "", NONE_NAMED),
    ],
)
def test_identities_named_in_known_captions(spec: str, text: str, level: str) -> None:
    assert levels(spec, text=[text]) == [level]


def test_a_list_of_ones_own_makes_a_group(tmp_path: Path) -> None:
    path = tmp_path / "dress.toml"
    path.write_text(
        'title = "dress"\nsource = "mine"\n'
        '[[list]]\nlevel = "sari"\nterms = ["sari", "saree", "साड़ी"]\n'
        '[[list]]\nlevel = "kimono"\nmatch = "inside"\nterms = ["kimono", "着物"]\n',
        encoding="utf-8",
    )
    texts = ["a Saree", "着物の女性", "sari or kimono", "sarin", "लाल साड़ी"]
    found = levels(f"terms:{path}", text=texts)
    assert found == ["sari", "kimono", SEVERAL, NONE_NAMED, "sari"]


def test_a_list_of_ones_own_is_read_in_the_scripts_of_its_terms(tmp_path: Path) -> None:
    def of(terms: str) -> list[str]:
        path = tmp_path / "dress.toml"
        path.write_text(
            'title = "d"\nsource = "s"\n[[list]]\nlevel = "dress"\nmatch = "inside"\n'
            f"terms = {terms}\n",
            encoding="utf-8",
        )
        texts = ["red hat", "Hut und Frau", "लाल साड़ी", "女性の帽子", "红帽子", "red 红帽子", "12"]
        return levels(f"terms:{path}", text=texts)

    none = NONE_NAMED
    assert of('["sari"]') == [none, none, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, none]
    assert of('["着物"]') == [UNKNOWN, UNKNOWN, UNKNOWN, none, none, none, none]
    assert of('["साड़ी", "sari"]') == [none, none, "dress", UNKNOWN, UNKNOWN, none, none]
    assert of('["👗"]') == [none] * 7


@pytest.mark.parametrize(
    ("others", "other_muslims"),
    [
        ("लाल दरवाज़ा और खिड़की", "मुस्लिम परिवार घर पर"),
        ("pintu merah dengan jendela", "keluarga muslim dengan anak"),
    ],
)
def test_an_english_filter_tells_no_level_from_the_rest_by_the_language_of_captions(
    others: str, other_muslims: str
) -> None:
    english = ["a Muslim family at home"] * 100 + ["a red door and a window"] * 300
    texts = english + [other_muslims] * 100 + [others] * 300
    found = pl.Series(levels("identity-religion", text=texts))
    kept = pl.Series([True] * 400 + [False] * 400)  # as the filter keeps them
    assert found.value_counts().sort("count").rows() == [
        ("Muslim", 100),
        (NONE_NAMED, 300),
        (UNKNOWN, 400),
    ]
    assert kept.filter(found == "Muslim").mean() == kept.filter(found == NONE_NAMED).mean() == 1
    assert "Unknown, whatever they name" in GROUPS["identity-religion"].note


# ---- persons, lengths, languages ----


def test_a_person_is_found_by_a_word_else_by_a_name() -> None:
    texts = ["a doctor", "Priya Sharma at the gala", "a red kettle", "γιατρός"]
    assert levels("person", text=texts) == ["person word", "name only", "not found", UNKNOWN]
    assert "not “no person”" in GROUPS["person"].title


def test_words_are_counted_in_buckets() -> None:
    texts = ["", " a ", "a b", "a b c d", "w " * 31, "w\n" * 32]
    assert levels("words", text=texts) == ["none", "1", "2 to 3", "4 to 7", "16 to 31", "over 31"]


def test_a_reference_detector_reads_the_caption_as_given() -> None:
    texts = ["a photograph of a doctor in a hospital", "die Frau steht auf der Straße", ""]
    assert levels("language:cld2", text=texts) == ["en", "de", "und"]


# ---- addresses ----


def test_domains_are_counted_by_name_and_the_rest_together() -> None:
    urls = [
        "https://cdn.Shop.Example.com/a.jpg",
        "http://notexample.com/x",
        "http://user@img.example.co.in:80/x",
        "no url",
        None,
        "http://[::1]/x",
    ]
    found = levels("domain:example.com, example.co.in", url=urls)
    assert found == ["example.com", "other", "example.co.in", UNKNOWN, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("domain:", "names no domain"),
        ("domain:co.uk", "'co.uk' is no registered domain"),
        ("domain:img.example.com", r"did you mean 'example\.com'"),
    ],
)
def test_what_is_no_domain_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_group(spec)


def test_the_most_frequent_domains_come_first_and_ties_by_name() -> None:
    urls = ["http://b.com/1", "http://x.a.com/1", "http://c.co.uk/1", "http://www.c.co.uk/2", None]
    assert frequent_domains(pl.Series(urls), 2) == ("c.co.uk", "a.com")
    assert frequent_domains(pl.Series([None], dtype=pl.String), 2) == ()
    assert registered_domains(pl.Series(urls)).to_list()[1:] == [
        "a.com",
        "c.co.uk",
        "c.co.uk",
        None,
    ]


@pytest.mark.parametrize(
    ("host", "tld", "region"),
    [
        ("a.co.in", "in", "Southern Asia"),
        ("a.भारत", "in", "Southern Asia"),
        ("a.xn--h2brj9c", "in", "Southern Asia"),
        ("a.co.uk.", "uk", "Northern Europe"),
        ("A.DE", "de", "Western Europe"),
        ("a.com.br", "br", "South America"),
        ("a.io", "io", "generic use of a country code (.io, .tv …)"),
        ("a.com", "com", "generic (.com, .org …)"),
        ("a.eu", "eu", "generic (.com, .org …)"),
        ("a.photography", "other generic", "generic (.com, .org …)"),
        ("10.0.0.1", None, None),
        ("localhost", None, None),
    ],
)
def test_top_level_domains_and_their_regions(
    host: str, tld: str | None, region: str | None
) -> None:
    url = pl.Series([f"http://{host}/a.jpg"])
    assert tlds(url).to_list() == [tld]
    assert regions(url).to_list() == [region]
    assert levels("region", url=url.to_list()) == [region or UNKNOWN]


def test_every_country_code_has_one_region() -> None:
    file = resources.files("laion_probe.lexicons") / "regions.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    codes = [c for listed in table["region"].values() for c in listed.split()]
    codes += table["generic"]["codes"].split()
    assert len(codes) == len(set(codes))
    assert len(codes) > 240
    assert table["source"]
    assert table["generic_source"]
    # all that the public suffix list has of two letters, but the European Union
    missing = {t for t in _two_letter_suffixes() if t not in codes}
    assert missing == {"eu"}
    assert len(known_tlds()) <= 300
    assert len(known_regions()) == len(table["region"]) + 2


def _two_letter_suffixes() -> set[str]:
    import tldextract

    suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None).tlds
    return {t for t in suffixes if len(t) == 2 and t.isascii()}


# ---- a real sample ----


def test_levels_of_a_real_sample(shared: Path) -> None:
    sample = shared / "laion400m-sample-1000.parquet"
    if not sample.is_file():
        pytest.skip("../shared/data/laion400m-sample-1000.parquet is not here")
    rows = pl.read_parquet(sample)
    texts, urls = rows["TEXT"].to_list(), rows["URL"].to_list()
    gender = levels("gender-words", text=texts)
    assert 40 <= gender.count("woman") <= 65
    assert 30 <= gender.count("man") <= 55
    assert gender.count("no person named") > 800
    assert levels("script", text=texts).count("Latin") > 990
    assert levels("region", url=urls).count(UNKNOWN) <= 5
    shop = frequent_domains(pl.Series(urls), 1)
    assert levels(f"domain:{shop[0]}", url=urls).count(shop[0]) > 50
