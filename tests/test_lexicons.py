"""Lists of terms: a plain loop as oracle, what ships, and what is refused."""

from __future__ import annotations

import functools
import unicodedata
from importlib import resources
from pathlib import Path

import polars as pl
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from laion_probe.errors import ConfigError, UnknownName
from laion_probe.groups import load_group
from laion_probe.lexicons import (
    Lexicon,
    TermList,
    find_levels,
    has_tell,
    known_lexicons,
    load_lexicon,
)


def plain_named(text: str, lexicon: Lexicon) -> dict[str, bool]:
    """What `find_levels` says, as a plain loop with lookarounds."""
    text = _normal(text)
    tell = _found(text, lexicon.tells)
    tell = tell or any(c in text for c in _normal(lexicon.tell_letters))
    for phrase in lexicon.not_in:
        text = _word(phrase).sub("  ", text)
    for phrase in lexicon.not_inside:
        text = text.replace(_normal(phrase), " ")
    found = {}
    for level in lexicon.levels:
        own = [one for one in lexicon.list if one.level == level]
        rest = text
        for longer in _longer(lexicon, level):
            rest = _word(longer).sub("  ", rest)
        found[level] = any(_named(rest, one, lexicon, tell) for one in own)
    return found


@functools.cache
def _longer(lexicon: Lexicon, level: str) -> list[str]:
    """Terms of other levels that hold one of the level's own as whole words, the longest first."""
    own = {_padded(t) for one in lexicon.list if one.level == level for t in _whole(one)}
    others = {_padded(t) for one in lexicon.list if one.level != level for t in _whole(one)}
    found = {o.strip() for o in others for t in own if t in o and t != o}
    return sorted(found, key=len, reverse=True)


def _named(text: str, one: TermList, lexicon: Lexicon, tell: bool) -> bool:
    terms = one.terms + (one.terms_with_tell if tell else one.terms_without_tell)
    if one.match == "inside":
        return any(_normal(t) in text for t in terms)
    before, after = ("", *one.prefixes), ("", *one.suffixes)
    forms = [p + t + s for t in terms for p in before for s in after]
    if _found(text, tuple(forms)):
        return True
    phrases = [f"{t} {n}" for t in one.terms_before_noun for n in lexicon.nouns]
    return _found(text, tuple(phrases), end="'’")


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


@functools.cache
def _parts(term: str) -> list[str]:
    return regex.split(r"[\s-]+", _normal(term))


def _padded(term: str) -> str:
    return f" {' '.join(_parts(term))} "


def _whole(one: TermList) -> tuple[str, ...]:
    if one.match == "inside":
        return ()
    return one.terms + one.terms_with_tell + one.terms_without_tell + one.terms_before_noun


def _found(text: str, terms: tuple[str, ...], end: str = "") -> bool:
    return bool(terms) and _word(*terms, end=end).search(text) is not None


@functools.cache
def _word(*terms: str, end: str = "") -> regex.Pattern[str]:
    bodies = (r"[\s-]+".join(regex.escape(p) for p in _parts(t)) for t in terms)
    any_of = regex.sub("['’]", "['’]", "|".join(bodies))
    return regex.compile(
        rf"(?<![\p{{L}}\p{{M}}\p{{N}}])(?:{any_of})(?![\p{{L}}\p{{M}}\p{{N}}{end}])"
    )


@functools.cache
def _pieces(name: str) -> list[str]:
    lexicon = load_lexicon(name)
    terms = [t for one in lexicon.list for t in (*_whole(one), *one.terms[:9])]
    return [
        *terms,
        *lexicon.not_in,
        *lexicon.not_inside,
        *lexicon.tells,
        *lexicon.nouns[:9],
        "black",
    ]


@pytest.mark.parametrize("name", known_lexicons())
@given(data=st.data())
def test_terms_are_found_as_a_plain_loop_finds_them(name: str, data: st.DataObject) -> None:
    piece = st.one_of(st.sampled_from(_pieces(name)), st.sampled_from(["x", "é", "'s", "9", "ÅÉ"]))
    glue = st.sampled_from([" ", " ", "-", "_", "", ", ", "’"])
    texts = data.draw(
        st.lists(
            st.lists(st.tuples(piece, glue), max_size=4).map(
                lambda p: "".join(a + b for a, b in p)
            ),
            min_size=1,
            max_size=2,
        )
    )
    lexicon = load_lexicon(name)
    found = find_levels(pl.Series(texts, dtype=pl.String), lexicon)
    assert found.to_dicts() == [plain_named(t, lexicon) for t in texts]


@pytest.mark.parametrize("name", known_lexicons())
def test_every_shipped_list_has_a_source_and_its_terms_one_level(name: str) -> None:
    lexicon = load_lexicon(name)
    assert lexicon.source
    assert lexicon.note
    level_of: dict[tuple[str, str], str] = {}
    for one in lexicon.list:
        assert one.source, one.level
        for term in (*one.terms, *one.terms_with_tell, *one.terms_without_tell):
            # 👫 and 남녀 name a woman and a man
            if term not in ("👫", "남녀"):
                key = (one.match, " ".join(_parts(term)))
                assert level_of.setdefault(key, one.level) == one.level, term
    assert len(lexicon.levels) <= 30


@pytest.mark.parametrize("name", [*known_lexicons(), "regions"])
def test_every_shipped_list_points_to_the_notice_which_has_its_licence(name: str) -> None:
    folder = resources.files("laion_probe.lexicons")
    first = (folder / f"{name}.toml").read_text("utf-8").splitlines()[0]
    assert first.endswith("the file NOTICE.")
    licence = "CC BY-SA 4.0" if name.startswith("identity_") else "Unicode License v3"
    assert licence in first
    notice = (folder / "NOTICE").read_text("utf-8")
    assert f"{name}.toml" in notice
    assert licence in notice
    unicode = Path(__file__).parents[1] / "data" / "demo" / "LICENSES" / "Unicode-3.0.txt"
    assert unicode.read_text("utf-8").strip() in notice


def test_a_tell_gives_away_captions_in_other_languages() -> None:
    texts = [
        "a red door",
        "Tür und Tor",
        "RØD DØR",
        "la porte du jardin",
        "an_und_aus",
        "a fund",
        "",
    ]
    lexicon = load_lexicon("gender_words")
    found = has_tell(pl.Series(texts), lexicon).to_list()
    assert found == [False, True, True, True, True, False, False]
    assert has_tell(pl.Series(["pa\u030a"]), lexicon).item()  # a letter and its ring


def test_every_language_that_has_words_for_women_has_them_for_men() -> None:
    by_language: dict[str, set[str]] = {}
    for one in load_lexicon("gender_words").list:
        by_language.setdefault(one.language, set()).add(one.level)
    assert len(by_language) >= 24
    assert all(found == {"woman", "man", "person"} for found in by_language.values())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("title = ", "not valid TOML"),
        ('title = "t"\nsource = "s"\nlist = []\n', "'list'"),
        ('title = "t"\nsource = "s"\n[[list]]\nlevel = "a"\n', "level 'a' has an empty list"),
        (
            'title = "t"\nsource = "s"\n[[list]]\nlevel = "a"\nwords = ["x"]\n',
            r"unknown key 'list\.0\.words'; known keys: level, .*terms",
        ),
        (
            'title = "t"\nname = "s"\n[[list]]\nlevel = "a"\nterms = ["x"]\n',
            "'source'|unknown key 'name'; known keys: title, source",
        ),
        (
            'title = "t"\nsource = "s"\n[[list]]\nlevel = "a"\nterms_before_noun = ["x"]\n',
            "needs 'nouns'",
        ),
        (
            'title = "t"\nsource = "s"\n[[list]]\nlevel = "several"\nterms = ["x"]\n',
            "level 'several' has a meaning here",
        ),
    ],
)
def test_a_wrong_list_names_the_file_and_the_known_keys(
    body: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(body, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load_group(f"terms:{path}")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: No such file"):
        load_group(f"terms:{tmp_path / 'gone.toml'}")
    with pytest.raises(ConfigError, match=r"write terms:PATH\.toml"):
        load_group("terms:dress")
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_group(f"terms:{tmp_path / 'latin.toml'}")
    with pytest.raises(UnknownName, match="identity_religion"):
        load_lexicon("identity_religions")
