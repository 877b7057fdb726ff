"""The cards of a datasheet as people read them: the Hub's card, the summary, the model card."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

import pytest
from fake_datasheet import ABOUT, fake_datasheet, write_evidence
from fake_result import HOSTILE
from huggingface_hub import DatasetCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from laion_probe.config.card import CardConfig
from laion_probe.datasheet_result import About, DatasheetResult
from laion_probe.errors import ConfigError
from laion_probe.questions.card import Card, card, card_of
from laion_probe.questions.card_hub import hub_languages, licence, size_category
from laion_probe.render import text
from laion_probe.render.card import write_card
from laion_probe.render.card_markdown import code, fenced, md
from laion_probe.render.card_model import model_card
from laion_probe.render.card_readme import dataset_card
from laion_probe.render.card_summary import summary_page
from laion_probe.render.card_words import share_words
from laion_probe.render.datasheet_markdown import datasheet_markdown

REQUIRED_DATE = "a date of publication"
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
#: Tags that our own Markdown makes; whatever else stands in the HTML came out of a text.
OURS = {"a", "blockquote", "code", "em", "h1", "h2", "h3", "li", "p", "pre", "strong", "sub"}
OURS |= {"details", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul"}


def _card(sheet: DatasheetResult, folder: Path = Path("none"), **options: object) -> Card:
    return card_of(sheet, CardConfig.model_validate({"folder": str(folder), **options}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A datasheet's folder, before it has cards."""
    write_evidence(tmp_path)
    (tmp_path / "datasheet.json").write_text(fake_datasheet().to_json(), encoding="utf-8")
    return tmp_path


@pytest.fixture
def no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards without the page that takes longest to draw."""
    monkeypatch.setattr("laion_probe.render.card.summary_page", lambda card: {})


# The Hub's card


def test_the_hub_reads_what_a_person_stated() -> None:
    read = DatasetCard(dataset_card(_card(fake_datasheet(), task=("text-to-image",))))
    assert read.data.to_dict() == {
        "language": ["en", "de"],
        "license": "cc-by-4.0",
        "size_categories": ["1K<n<10K"],
        "task_categories": ["text-to-image"],
        "pretty_name": ABOUT.title,
        "tags": ["image-text", "datasheet"],
    }
    assert read.text.lstrip().startswith("# Dataset card for")
    assert str(read) == str(DatasetCard(str(read)))


def test_an_address_does_not_end_its_cell() -> None:
    about = ABOUT.model_copy(update={"url": "https://example.org/a|b"})
    page = dataset_card(card_of(fake_datasheet(about), CardConfig(folder="datasheet")))
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(page)
    assert 'href="https://example.org/a%7Cb"' in shown


def test_what_nobody_stated_is_missing_and_not_made_up() -> None:
    said = dataset_card(_card(fake_datasheet(About(), bare=True)))
    assert DatasetCard(said).data.to_dict() == {"tags": ["image-text", "datasheet"]}
    assert "Nobody has stated **a name**, **a description**, **a licence**" in said
    assert "without a licence, nothing here says that it may be used" in said
    assert "| Licence | not stated |" in said
    assert "| Rows | not known |" in said
    assert "Under what licence or terms of use?" in said


def test_a_text_cannot_leave_the_front_matter() -> None:
    title = "a: b\n---\nlicense: mit\n--- #\x1b[31m"
    said = dataset_card(_card(fake_datasheet(About(title=title))))
    block = REGEX_YAML_BLOCK.search(said)
    assert block is not None
    assert DatasetCard(said).data.license is None
    assert DatasetCard(said).data.pretty_name == text.clean(title)


def test_the_body_is_the_datasheet() -> None:
    sheet = fake_datasheet()
    said = dataset_card(_card(sheet))
    title, _, rest = datasheet_markdown(sheet).partition("\n")
    assert title.startswith("# ")
    assert said.endswith(f"\n## Datasheet\n{rest}")
    assert len(re.findall(r"^# ", said, re.MULTILINE)) == 1
    assert said.index("Simulated data") < said.index("| Rows | 4,090 |")
    assert "````\n@misc{demo,\n  title = {```The demo```},\n}\n````" in said
    page = MARKDOWN.render(said.partition("\n---\n")[2])
    assert set(re.findall(r"<(\w+)", page)) <= OURS
    assert set(re.findall(r'href="([^"]*)"', page)) == {
        "https://example.org/demo_set",
        "croissant.json",
        "evidence/data.json",
        "evidence/probe-doctor.json",
        "summary.pdf",
        "tables/composition.csv",
    }


@given(st.text(max_size=60))
@example("- item\n# head")
@example("1. a_b_ *c* ~~d~~ `e` [f](g) ![h](i) <j> &lt; | $k$ \\")
@example("====")
@example("www.a.b https://c.d")
def test_escaped_text_reads_as_itself(said: str) -> None:
    page = MARKDOWN.render(md(said)).strip()
    shown = re.fullmatch(r"(?:<p>(.*)</p>)?", page, re.DOTALL)
    assert shown is not None
    assert "<" not in (shown[1] or "")
    assert html.unescape(shown[1] or "") == " ".join(text.clean(said).split())


def test_a_block_of_code_ends_where_it_should() -> None:
    said = "```\n<b>\n````\n"
    assert MARKDOWN.render(fenced(said)) == "<pre><code>```\n&lt;b&gt;\n````\n</code></pre>\n"


@pytest.mark.parametrize(
    ("said", "shown"), [("/a", "`/a`"), ("/a`b", "`` /a`b ``"), ("``", "``` `` ```")]
)
def test_ticks_stay_inside_code(said: str, shown: str) -> None:
    assert code(said) == shown
    assert MARKDOWN.render(code(said)) == f"<p><code>{said}</code></p>\n"


# Words that machines know


@pytest.mark.parametrize(
    ("given_", "hub", "croissant"),
    [
        ("cc-by-4.0", "cc-by-4.0", "https://spdx.org/licenses/CC-BY-4.0"),
        (" MIT ", "mit", "https://spdx.org/licenses/MIT"),
        ("ODC-By-1.0", "odc-by", "https://spdx.org/licenses/ODC-By-1.0"),
        ("openrail", "openrail", "openrail"),
        ("https://a.org/terms", "other", "https://a.org/terms"),
        ("Ask us first", "other", "Ask us first"),
    ],
)
def test_licences(given_: str, hub: str, croissant: str) -> None:
    found = licence(given_)
    assert found is not None
    assert (found.hub, found.croissant) == (hub, croissant)
    assert bool(found.name) == (hub == "other")


def test_a_licence_off_the_list_keeps_its_name_and_link() -> None:
    about = About(license="https://a.org/Terms of it".replace(" ", "_"))
    one = _card(fake_datasheet(about))
    data = DatasetCard(dataset_card(one)).data.to_dict()
    assert data["license"] == "other"
    assert data["license_name"] == "a.org-terms-of-it"
    assert data["license_link"] == about.license
    assert "is not on the Hub's list" in one.refused[0]


def test_sizes_and_languages() -> None:
    edges = {0: "n<1K", 1000: "1K<n<10K", 10**12 - 1: "100B<n<1T", 10**12: "n>1T"}
    assert {n: size_category(n) for n in edges} == edges
    assert size_category(None) is None


@pytest.mark.parametrize(
    ("given_", "hub", "tag"),
    [
        ("EN", "en", "en"),
        ("zh-CN", "zh", "zh-CN"),
        ("zh_TW", "zh", "zh-TW"),
        ("sr-Latn-RS", "sr", "sr-Latn-RS"),
        ("es-419", "es", "es-419"),
        ("iw", "he", "he"),
        ("jw", "jv", "jv"),
        ("gsw", "gsw", "gsw"),
        ("multilingual", "multilingual", "mul"),
        ("code", "code", ""),
    ],
)
def test_codes_of_languages(given_: str, hub: str, tag: str) -> None:
    found = hub_languages([given_, f" {given_} ", ""])
    assert (found.hub, found.tags) == ((hub,), (tag,) if tag else ())
    assert found.mapped == (((given_, hub),) if given_.lower() != hub else ())
    assert (found.regional, found.unknown) == ((tag,) if "-" in tag else (), ())


def test_what_is_no_code_of_a_language_is_listed() -> None:
    wrong = ["zz", "xx-YY", "German", "x-klingon", "en-", "no language", "<b>"]
    assert hub_languages(wrong).unknown == tuple(wrong)
    about = About(languages=("zh-CN", "en", "zh-TW", "iw", "German"))
    one = _card(fake_datasheet(about))
    said = dataset_card(one)
    data = DatasetCard(said).data.to_dict()
    assert data["language"] == ["zh", "en", "he"]
    assert data["language_bcp47"] == ["zh-CN", "zh-TW"]
    assert "zh-CN, en, zh-TW, iw, German (zh-CN is zh on the Hub; zh-TW is zh on the Hub;" in said
    assert "German has no ISO 639 code)" in said
    assert [words.split("'")[1] for words in one.refused] == ["German", "zh-CN", "zh-TW", "iw"]


def test_what_cannot_be_taken_as_given_is_said() -> None:
    wrong = About(url="javascript:x", date_published="2026-13-01", version="v1", languages=("xx",))
    one = _card(fake_datasheet(wrong))
    assert (one.url, one.published, one.languages.hub) == ("", "", ())
    assert one.required == ("a name", "a licence", "who made it", "a homepage", REQUIRED_DATE)
    said = " ".join(one.refused)
    for word in ("url", "date_published", "version 'v1'", "language 'xx'"):
        assert word in said
    assert "| Published | 2026-13-01 (as stated; no date) |" in dataset_card(one)
    assert "javascript" in dataset_card(one)
    assert "](javascript" not in dataset_card(one)


@pytest.mark.parametrize("day", ["2026", "2026-11", "2024-02-29"])
def test_dates(day: str) -> None:
    assert _card(fake_datasheet(About(date_published=day))).published == day


def test_shares_that_few_digits_would_turn_into_none_or_all() -> None:
    row = fake_datasheet().compositions[0]
    shown = {
        share: share_words(row.model_copy(update={"share": share, "low": None, "high": None}))
        for share in (0.0, 1.0, 0.00049, 0.99999, 1e-12, None)
    }
    assert shown == {
        0.0: "0 %",
        1.0: "100 %",
        0.00049: "0.049 %",
        0.99999: "99.999 %",
        1e-12: "below 0.00001 %",
        None: "not defined",
    }


# The model card and the summary


def test_a_model_card_shows_what_was_drawn_beside_the_data() -> None:
    said = model_card(_card(fake_datasheet()))
    assert "stub &lt;generator&gt;" in said
    assert "|  | near the concept | matched by caption | generated |" in said
    assert "gender-words" not in said
    assert "Simulated data" in said
    page = MARKDOWN.render(said)
    link = '<a href="evidence/probe-doctor.json" title="/stages/generated/&quot;|woman">'
    assert f"{link}8.0 % [2.0, 15.0]</a>, 16 pictures</td>" in page
    assert "Every level, unknown included, <strong>of all pictures of the stage</strong>:" in page
    assert "perceived gender presentation (uncorrected classifier labels)</h3>" in page
    assert "was not measured, neither on these pictures nor on others" in page
    assert "In brackets: 95 % intervals, where there are any." in page
    assert "not identity, and not what the person would say" in page
    assert set(re.findall(r"<(\w+)", page)) <= OURS
    assert model_card(_card(fake_datasheet(bare=True))) == ""


def test_the_summary_is_one_page_and_stays_inside_it() -> None:
    hostile = fake_datasheet(
        About(
            title="$\\no_such$" + HOSTILE[8],
            description=HOSTILE[8],
            license=HOSTILE[8],
            creators=(HOSTILE[8],),
        )
    )
    for sheet in (fake_datasheet(), hostile, fake_datasheet(About(), bare=True)):
        files = summary_page(_card(sheet))
        page = Image.open(io.BytesIO(files["summary.png"])).convert("L")
        assert page.size == (1240, 1753)
        width, height = page.size
        margins = [
            (0, 0, 55, height),
            (width - 55, 0, width, height),
            (0, height - 25, width, height),
        ]
        for box in margins:
            assert page.crop(box).getextrema() == (255, 255), box
        assert page.getextrema()[0] < 60
        assert files["summary.pdf"].startswith(b"%PDF")
        assert len(re.findall(rb"/Type /Page\b", files["summary.pdf"])) == 1


# Writing


def test_cards_are_the_same_bytes_every_time(folder: Path) -> None:
    one = card(CardConfig(folder=str(folder)))
    lines = list(write_card(one))
    files = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {p.name for p in folder.iterdir()} == {
        "README.md",
        "croissant.json",
        "datasheet.json",
        "evidence",
        "model-card.md",
        "summary.pdf",
        "summary.png",
        "tables",
    }
    assert list(write_card(one)) == lines
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == files
    assert len(lines) == 1
    assert "README.md" in lines[0]


@pytest.mark.usefixtures("no_summary")
def test_what_a_person_changed_is_not_written_over(folder: Path) -> None:
    config = CardConfig(folder=str(folder))
    readme = folder / "README.md"
    readme.write_text("# Mine\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"changed by hand.*--replace"):
        list(write_card(card(config)))
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "datasheet.json", "evidence"]
    list(write_card(card(CardConfig(folder=str(folder), replace=True))))
    list(write_card(card(config)))
    said = readme.read_text(encoding="utf-8")
    readme.write_text(said.replace("Rows", "Lines"), encoding="utf-8")
    with pytest.raises(ConfigError, match="changed by hand"):
        list(write_card(card(config)))
    assert "Lines" in readme.read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_summary")
def test_a_model_card_goes_with_its_generator(folder: Path) -> None:
    config = CardConfig(folder=str(folder))
    list(write_card(card(config)))
    assert (folder / "model-card.md").exists()
    sheet = fake_datasheet(About(version="x")).model_copy(update={"generators": ()})
    lines = list(write_card(card_of(sheet, config)))
    assert not (folder / "model-card.md").exists()
    assert "model-card.md" not in lines[0]
    assert "nobody has stated a name" in lines[1]
    assert "Croissant 1.1 requires a name, a licence, who made it" in lines[2]
    assert lines[3].startswith("note: version 'x'")


@pytest.mark.usefixtures("no_summary")
@pytest.mark.parametrize("replace", [False, True])
def test_a_model_card_of_somebody_else_stays(folder: Path, replace: bool) -> None:
    mine = folder / "model-card.md"
    mine.write_text("# Mine\n", encoding="utf-8")
    sheet = fake_datasheet().model_copy(update={"generators": ()})
    lines = list(write_card(card_of(sheet, CardConfig(folder=str(folder), replace=replace))))
    assert mine.read_text(encoding="utf-8") == "# Mine\n"
    assert "model-card.md" not in lines[0]


@pytest.mark.usefixtures("no_summary")
def test_tasks_that_were_given_once_stay(folder: Path) -> None:
    def tasks(**options: object) -> list[str] | None:
        config = CardConfig.model_validate({"folder": str(folder), **options})
        list(write_card(card(config)))
        return DatasetCard.load(folder / "README.md").data.task_categories

    assert tasks() is None
    given_ = ["text-to-image", "image-to-text"]
    assert tasks(task=given_) == given_
    assert tasks() == given_
    assert tasks(task=["image-to-image"]) == ["image-to-image"]
    assert tasks() == ["image-to-image"]
    assert tasks(task=["none"]) is None
    assert tasks() is None


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("---\ntask_categories: [text-to-image, mine]\nlicense: mit\n---\n", ("text-to-image",)),
        ("---\r\ntask_categories:\r\n- image-to-text\r\n---\r\n", ("image-to-text",)),
        ("---\ntask_categories:\nlicense:\n- text-to-image\n---\n", ()),
        ("# No front matter\n\ntask_categories:\n- text-to-image\n", ()),
        ("---\n{{ broken\n", ()),
        ("---\ntask_categories:\n- none\n---\n", ()),
    ],
)
def test_tasks_of_a_card_that_somebody_wrote(
    folder: Path, said: str, found: tuple[str, ...]
) -> None:
    (folder / "README.md").write_bytes(said.encode())
    assert card(CardConfig(folder=str(folder))).tasks == found


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_evidence_is_what_the_datasheet_was_made_of(folder: Path, damage: str) -> None:
    file = folder / "evidence" / "data.json"
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="make the datasheet anew"):
        card(CardConfig(folder=str(folder)))


def test_a_folder_without_a_datasheet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="laion-probe datasheet"):
        card(CardConfig(folder=str(tmp_path)))


# Answers that came later


def test_answers_that_the_datasheet_was_made_without_are_told(folder: Path) -> None:
    (folder / "answers.toml").write_text('[about]\nlicense = "CC-BY-NC-4.0"\n', encoding="utf-8")
    late = card(CardConfig(folder=str(folder))).refused[0]
    assert late.startswith("answers.toml was changed after the datasheet was made: run")
    given = fake_datasheet().about.license
    (folder / "answers.toml").write_text(f'[about]\nlicense = "{given}"\n', encoding="utf-8")
    assert not any(
        "changed after" in words for words in card(CardConfig(folder=str(folder))).refused
    )


def test_a_licence_in_words_is_the_hubs_where_it_has_it() -> None:
    for words in ("CC BY 4.0", "cc_by_4.0", "CC-BY-4.0"):
        found = licence(words)
        assert found is not None and (found.hub, found.given) == ("cc-by-4.0", words)


def test_a_share_that_raters_corrected_shows_no_count_of_the_classifiers() -> None:
    sheet = fake_datasheet()
    rows = tuple(row.model_copy(update={"count": None}) for row in sheet.compositions)
    said = model_card(_card(sheet.model_copy(update={"compositions": rows})))
    assert "16 pictures" not in said
    assert "16 pictures" in model_card(_card(sheet))
