"""A person's answers: kept, taken along, told apart, and never lost."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from fake_result import fake_result
from hypothesis import given
from hypothesis import strategies as st
from shardmaker import frame, write
from test_datasheet import make

from laion_probe.datasheet_result import About
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.questions.datasheet import told, unanswered
from laion_probe.questions.datasheet_files import (
    Answers,
    agreed_answers,
    asked_sections,
    keep_answers,
    read_answers,
    read_datasheet,
)
from laion_probe.render.datasheet_answers import answer_markdown
from laion_probe.render.datasheet_markdown import datasheet_markdown
from laion_probe.render.datasheet_report import datasheet_html


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shards"), frame())


def test_they_survive_every_regeneration(small: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "d", str(tmp_path / "c")
    run = tmp_path / "run" / "result.json"
    run.parent.mkdir()
    run.write_text(fake_result().to_json(), encoding="utf-8")
    first = make(out, small, cache=cache)
    form = out / "answers.toml"
    asked = [q.id for s in asked_sections() for q in s.questions]
    assert list(tomllib.loads(form.read_text())["answers"]) == asked
    mine = (
        form.read_text()
        .replace('motivation-purpose = ""', 'motivation-purpose = """\nTo *see*.\n\nTwo."""')
        .replace('uses-impact = ""', 'uses-impact = "Careful {0}."  # mine')
        .replace('license = ""', 'license = "cc-by-4.0"')
        + "# my own words, at the end\n"
    )
    form.write_text(mine)
    for inputs in ((out,), (small,), (out, run), (out,)):
        sheet = make(out, *inputs, cache=cache)
        assert form.read_text() == mine
        by_id = {a.id: a for s in sheet.sections for a in s.answers}
        assert by_id["motivation-purpose"].person == "To *see*.\n\nTwo."
        assert by_id["motivation-purpose"].status == "person"
        assert by_id["composition-count"].status == "measured"
        assert sheet.about.license == "cc-by-4.0"
        page = datasheet_markdown(sheet)
        assert "To *see*." in page
        assert "Careful {0}." in page
    assert [e.kind for e in sheet.evidence] == ["data", "probe"]
    assert sheet.sections[0].n_answered == 1
    assert (
        len(unanswered(sheet))
        < len(unanswered(first))
        == 57 - sum(s.n_answered for s in first.sections)
    )
    assert read_datasheet(out) == sheet


def test_one_name_may_stand_without_a_list(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    mine = '[about]\ncreators = "A, B"\nlanguages = "en, hi"\ndate_published = 2026-11-22\n'
    (out / "answers.toml").write_text(mine)
    about = make(out, small, cache=str(tmp_path / "c")).about
    assert about.creators == ("A, B",), "a comma may be part of a name"
    assert about.languages == ("en", "hi")
    assert about.date_published == "2026-11-22"
    (out / "answers.toml").write_text('[about]\ncreators = ""\n')
    assert make(out, small, cache=str(tmp_path / "c")).about.creators == ()


def test_a_form_of_fewer_questions_gets_the_others(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    mine = '# mine\n[answers]\nuses-used = "For nothing."\n'
    (out / "answers.toml").write_text(mine)
    make(out, small, cache=str(tmp_path / "c"))
    text = (out / "answers.toml").read_text()
    assert text.startswith(mine)
    asked = {q.id for s in asked_sections() for q in s.questions}
    found = tomllib.loads(text)["answers"]
    assert set(found) == asked
    assert [k for k, v in found.items() if v] == ["uses-used"]


def test_a_form_turned_about_is_left_alone(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    mine = '[answers]\nuses-used = "For nothing."\n[about]\nname = "x"\n'
    (out / "answers.toml").write_text(mine)
    sheet = make(out, small, cache=str(tmp_path / "c"))
    assert (out / "answers.toml").read_text() == mine
    assert sheet.about.name == "x"


@pytest.mark.parametrize(
    ("mine", "error", "says"),
    [
        ('[answers]\nuses-usd = "a"', UnknownName, "uses-used"),
        ('[abuot]\nname = "a"', UnknownName, "about"),
        ('[about]\nlicence = "a"', UnknownName, "license"),
        ("[answers]\nuses-used = 3", ConfigError, "not text"),
        ('[answers]\nuses-used = "a', ConfigError, "not valid TOML"),
        ("[about]\ncreators = 3", ConfigError, r"creators = \["),
        ("[about]\nlanguages = [1]", ConfigError, r'write languages = \["en", "fr"\]'),
        ("[about]\nversion = 1.0", ConfigError, 'version = "..."'),
        ("answers = 3", ConfigError, "not a table"),
    ],
)
def test_a_mistake_is_said_and_nothing_is_lost(
    mine: str, error: type[Exception], says: str, small: Path, tmp_path: Path
) -> None:
    out = tmp_path / "d"
    make(out, small, cache=str(tmp_path / "c"))
    (out / "answers.toml").write_text(mine)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(error, match=says):
        make(out, out)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_answers_of_another_file(small: Path, tmp_path: Path) -> None:
    given, cache = tmp_path / "mine.toml", str(tmp_path / "c")
    given.write_text('[answers]\nuses-used = "For tests."\n[about]\ndate_published = 2026-11-22')
    sheet = make(tmp_path / "d", small, cache=cache, answers=str(given))
    assert (tmp_path / "d" / "answers.toml").read_text() == given.read_text()
    assert sheet.about.date_published == "2026-11-22"
    given.write_text('[answers]\nuses-used = "For more."\n')
    with pytest.raises(ConfigError, match="uses-used differently"):
        make(tmp_path / "d", small, cache=cache, answers=str(given))
    assert read_answers(given).said == {"uses-used": "For more."}


def test_a_form_that_nobody_wrote_into_takes_answers_on(small: Path, tmp_path: Path) -> None:
    """Or the next making, without the file that was named, would lose them without a word."""
    out, given, cache = tmp_path / "d", tmp_path / "mine.toml", str(tmp_path / "c")
    make(out, small, cache=cache)
    given.write_text('[answers]\nuses-used = "For tests."\n')
    make(out, out, answers=str(given))
    form = (out / "answers.toml").read_text()
    assert form.startswith(given.read_text())
    again = make(out, out)
    assert {a.id: a.person for s in again.sections for a in s.answers}["uses-used"] == "For tests."
    mine = form.replace("For tests.", "For more.")
    (out / "answers.toml").write_text(mine)
    given.write_text('[about]\nname = "x"\n')
    assert make(out, out, answers=str(given)).about.name == "x"
    assert (out / "answers.toml").read_text() == mine, "a person's words stay as they are"


def test_line_ends_and_a_mark_of_an_editor_stay(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    mine = '\ufeff[answers]\r\nuses-used = """\r\nFor\r\nnothing."""\r\n'.encode()
    (out / "answers.toml").write_bytes(mine)
    sheet = make(out, small, cache=str(tmp_path / "c"))
    found = (out / "answers.toml").read_bytes()
    assert found.startswith(mine), "byte for byte"
    assert len(found) > len(mine)
    by_id = {a.id: a.person for s in sheet.sections for a in s.answers}
    assert by_id["uses-used"] == "For\nnothing."
    assert make(out, out) == sheet.model_copy(update={"command": make(out, out).command})
    assert (out / "answers.toml").read_bytes() == found


def test_answers_behind_a_link_stay_where_they_are(small: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "d", tmp_path / "mine.toml"
    out.mkdir()
    mine.write_text('[answers]\nuses-used = "For nothing."\n', encoding="utf-8")
    (out / "answers.toml").symlink_to(mine)
    make(out, small, cache=str(tmp_path / "c"))
    assert (out / "answers.toml").is_symlink()
    assert "motivation-purpose" in tomllib.loads(mine.read_text(encoding="utf-8"))["answers"]


def test_text_that_is_not_utf_8_is_said_and_left(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    mine = '[answers]\nuses-used = "F\xfcr nichts."\n'.encode("latin-1")
    (out / "answers.toml").write_bytes(mine)
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        make(out, small, cache=str(tmp_path / "c"))
    assert [(p.name, p.read_bytes()) for p in out.iterdir()] == [("answers.toml", mine)]


def _sheet(folder: Path, small: Path, answers: str) -> Path:
    folder.mkdir()
    (folder / "answers.toml").write_text(answers, encoding="utf-8")
    make(folder, small, cache=str(folder.parent / "c"))
    return folder


def test_an_earlier_datasheet_brings_its_answers_along(small: Path, tmp_path: Path) -> None:
    old = _sheet(tmp_path / "old", small, '[answers]\nuses-used = "For tests."  # mine\n')
    new = tmp_path / "new"
    for inputs in ((old,), (new,), (old, new)):
        sheet = make(new, *inputs)
        by_id = {a.id: a.person for s in sheet.sections for a in s.answers}
        assert by_id["uses-used"] == "For tests."
    assert (new / "answers.toml").read_bytes() == (old / "answers.toml").read_bytes()
    form = (new / "answers.toml").read_text(encoding="utf-8")
    (new / "answers.toml").write_text(form.replace("For tests.", "For more."), encoding="utf-8")
    sheet = make(new, old)
    by_id = {a.id: a.person for s in sheet.sections for a in s.answers}
    assert by_id["uses-used"] == "For more.", "what the folder says itself comes first"


def test_answers_of_several_datasheets_are_put_together(small: Path, tmp_path: Path) -> None:
    one = _sheet(tmp_path / "one", small, '[answers]\nuses-used = "a"\n[about]\nname = "x"\n')
    two = _sheet(tmp_path / "two", small, '[answers]\nuses-tasks = "b"\n[about]\nname = "x"\n')
    make(tmp_path / "both", one, two)
    found = read_answers(tmp_path / "both" / "answers.toml")
    assert {k: v for k, v in found.said.items() if v} == {"uses-used": "a", "uses-tasks": "b"}
    assert found.about.name == "x"
    (two / "answers.toml").write_text('[about]\nname = "y"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="answer name differently"):
        make(tmp_path / "other", one, two)
    assert not (tmp_path / "other").exists()


@given(
    said=st.dictionaries(
        st.sampled_from([q.id for s in asked_sections() for q in s.questions]),
        st.text(st.characters(exclude_categories=["Cs"])).map(str.strip),
        max_size=3,
    ),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    creators=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=2),
)
def test_a_form_that_is_filled_in_reads_back(
    said: dict[str, str],
    name: str,
    creators: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    known = Answers(About(name=name, creators=tuple(creators)), said)
    form = tmp_path_factory.mktemp("form") / "answers.toml"
    keep_answers(form, known=known)
    found = agreed_answers([form], [])
    assert found.about == known.about
    assert found.said == {key: value for key, value in said.items() if value}


def test_what_data_answer_in_part_is_asked_of_a_person(small: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "d", str(tmp_path / "c")
    urls = [f"http://site{i}.com/a.jpg" for i in range(40)]
    shards = write(tmp_path / "s", frame(URL=urls))
    sheet = make(out, shards, cache=cache)
    by_id = {a.id: a for s in sheet.sections for a in s.answers}
    offensive, count, source = (
        by_id[f"{name}"]
        for name in ("composition-offensive", "composition-count", "collection-source")
    )
    assert (offensive.in_part, offensive.is_open, offensive.status) == (True, True, "measured")
    assert (count.in_part, count.is_open) == (False, False)
    assert source.status == "unanswered", "a domain does not say from whom a picture was taken"
    assert source.beside[0].plain() == "The addresses are on 40 registered domains."
    page = datasheet_markdown(sheet)
    open_ = page[page.index("**Open to a person in composition**") :]
    assert "`composition-offensive`. Answered in part, by data." in open_
    assert "  - A hint from data: The addresses are on 40 registered domains." in page
    assert "A hint from data: The addresses are on" in datasheet_html(sheet)
    assert list(told(sheet))[-1].startswith("write answers into answers.toml")
    form = (out / "answers.toml").read_text()
    mine = form.replace('composition-offensive = ""', 'composition-offensive = "Nothing."')
    (out / "answers.toml").write_text(mine)
    again = make(out, out)
    by_id = {a.id: a for s in again.sections for a in s.answers}
    done = by_id["composition-offensive"]
    assert (done.status, done.in_part, done.is_open) == ("both", False, False)
    assert again.sections[1].n_in_part == sheet.sections[1].n_in_part - 1
    assert again.sections[1].n_answered == sheet.sections[1].n_answered
    n_open = sum(a.is_open for a in by_id.values())
    last = list(told(again))[-1]
    assert last == f"{n_open} questions are open to a person, in answers.toml beside it"


def test_what_made_the_numbers_stays_when_answers_are_written(small: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "d", str(tmp_path / "c")
    first = make(out, small, cache=cache)
    assert make(out, out).command == make(out, out).command == first.command
    assert make(out, out).earlier_commands == ()
    other = make(tmp_path / "e", out)
    assert other.command != first.command
    assert other.earlier_commands == (first.command,)
    assert first.command in datasheet_markdown(other)
    assert make(tmp_path / "e", tmp_path / "e") == other
    noted = make(out, out, data_note="Made up.")
    assert "--data-note" in noted.command
    assert noted.earlier_commands == (first.command,)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("# Why\n\n## How\ntext", "#### Why\n\n##### How\ntext"),
        ("- # a\n> ###### b", "- #### a\n> ###### b"),
        ("#hashtag, C# and 5 # 6", "#hashtag, C# and 5 # 6"),
        ("Title\n=====\nOther\n---", "Title\n\\=====\nOther\n\\---"),
        ("a\n\n---\n\nb", "a\n\n---\n\nb"),
        ("<script>x</script> <!-- a", "&lt;script>x&lt;/script> &lt;!-- a"),
        ("see <https://a.org/b>, 5 < 6", "see <https://a.org/b>, 5 < 6"),
        ("`<b>` and <b>", "`<b>` and &lt;b>"),
        ("```\n# no heading\n<b>\n```\n<b>", "```\n# no heading\n<b>\n```\n&lt;b>"),
        ("```\nnever closed", "```\nnever closed\n```"),
        ("To *see*.\n\n| a | b |", "To *see*.\n\n| a | b |"),
    ],
)
def test_an_answer_keeps_its_markup_and_breaks_no_outline(said: str, shown: str) -> None:
    assert answer_markdown(said) == shown


@given(said=st.text(st.sampled_from("#=-` <b/!>\nx~"), max_size=30))
def test_no_answer_opens_a_section_or_a_tag(said: str) -> None:
    fence, before = "", ""
    shown = answer_markdown(said).split("\n")
    for line in shown:
        marks = re.fullmatch(r" {0,3}(`{3,}|~{3,})(.*)", line)
        if fence:
            closes = marks and marks[1].startswith(fence) and not marks[2].strip()
            fence = "" if closes else fence
        elif marks and not (marks[1][0] == "`" and "`" in marks[2]):
            fence, before = marks[1], ""
        else:
            assert not re.match(r"\s*#{1,3}(\s|$)", line)
            assert not (before.strip() and re.fullmatch(r" {0,3}(=+|-+)\s*", line))
            before = line
    assert not fence, "what follows the answer is no code"
