"""Names of people by list: what counts as one, what does not, and that rows are not mixed up."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laion_probe.lexicons.names import mentions_name, name_lists, name_matches, replace_names

NAMES = [
    "Salman Khan",
    "Dr. Maria de la Cruz",
    "Mrs Kathy Riley",
    "William J. Carpenter",
    "Sarah Jessica Parker",
    "Akira Takahashi",
    "Anna Svetlana Osher",
    "Mary-Jane Watson",
    "Carolyn Taylor-Smith",
    "Martin O'Neill",
    "Ursula von der Leyen",
    "Abdullah bin Nasser bin Khalifa",
    "José Martínez",
    "Jose Martinez",
    "Gregory Lalonde",  # no listed surname, but capitalised and no ordinary word
    "Will Smith",  # an ordinary word, with a listed surname
    "Robert Miller Jr",
    "JENNIFER LOPEZ",
    "Владимир Путин",
    "Γιώργος Παπαδόπουλος",
    "محمد علي",
    "김민준",
]

NOT_NAMES = [
    "",
    "Rose",
    "a Rose Garden",
    "Summer Dress",
    "Paris Street",
    "Will You Marry",
    "San Francisco Giants",
    "Santa Barbara Beach",
    "El Paso",
    "Maria",
    "Emma Stone Dress",  # a stone dress? not at a place where a surname would end
    "salman khan",  # no capitals
    "Robert, Miller",
    "Sofia Upholstered Sofa",
    "Sofia Charming Ring",
    "https://example.org/Salman_Khan",
    "你好世界",
    "नमस्ते दुनिया",
    "مرحبا بالعالم",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_full_name_is_found_whole(name: str) -> None:
    for text in (name, f"a photo, {name}, 2014", f"{name}'s hat" if name.isascii() else name):
        assert [text[a:b] for a, b in name_matches(text)] == [name]
        assert mentions_name(pl.Series([text])).to_list() == [True]


@pytest.mark.parametrize("text", NOT_NAMES)
def test_what_is_no_full_name_is_left_alone(text: str) -> None:
    assert list(name_matches(text)) == []
    assert replace_names(pl.Series([text])).item() == text


def test_a_surname_that_is_a_word_needs_a_place_to_end() -> None:
    assert replace_names(pl.Series(["Emma Stone at the gala"])).item() == "<PERSON> at the gala"


def test_a_georgian_name_is_found_though_its_letters_are_called_lower_case() -> None:
    lists = name_lists()
    given_name = next(n for n in sorted(lists.given) if "ა" <= n[0] <= "ჿ" and len(n) > 2)
    surname = next(n for n in sorted(lists.surnames) if "ა" <= n[0] <= "ჿ" and len(n) > 2)
    assert mentions_name(pl.Series([f"{given_name} {surname}"])).item()
    assert not mentions_name(pl.Series([given_name])).item()


def test_names_are_replaced_or_taken_out_with_their_space() -> None:
    texts = pl.Series(["Matt Damon and Kate Moss", "a photo of Matt Damon, 2014", "a  cat", ""])
    before = texts.to_list()
    assert replace_names(texts).to_list() == [
        "<PERSON> and <PERSON>",
        "a photo of <PERSON>, 2014",
        "a  cat",
        "",
    ]
    # what held no name is not touched
    assert replace_names(texts, "").to_list() == ["and", "a photo of , 2014", "a  cat", ""]
    assert texts.to_list() == before


def test_lists_are_uneven_and_say_so() -> None:
    sizes = name_lists().sizes
    assert sizes["en"][0] > 50 * sizes["mr_IN"][0]
    assert sizes["ig_NG"][0] <= 40


captions = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from([*NAMES, *NOT_NAMES, " ", ", ", "’s", "-"])).map(" ".join),
)


@settings(max_examples=60)
@given(st.lists(captions, max_size=6))
def test_the_column_agrees_with_one_caption_at_a_time(texts: list[str]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    spans = [list(name_matches(t)) for t in texts]
    assert mentions_name(column).to_list() == [bool(s) for s in spans]
    for text, found, new in zip(texts, spans, replace_names(column), strict=True):
        ends = [0, *(place for span in found for place in span)]
        assert ends == sorted(ends)
        assert new.count("<PERSON>") == len(found)
        assert found or new == text
