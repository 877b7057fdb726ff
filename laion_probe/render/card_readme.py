"""``README.md``: the datasheet as a dataset card of the Hugging Face Hub.

The front matter is written by huggingface_hub itself; what it may hold is described at
https://huggingface.co/docs/hub/datasets-cards. The body is the datasheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from laion_probe.datasheet_result import DatasheetResult
from laion_probe.questions.card import Card
from laion_probe.render import text
from laion_probe.render.card_errors import PERCEIVED, errors_words
from laion_probe.render.card_markdown import fenced, md, table
from laion_probe.render.card_tables import FOLDER
from laion_probe.render.card_words import (
    compositions,
    is_generated,
    languages_words,
    published_words,
)
from laion_probe.render.datasheet_blocks import attribute_words
from laion_probe.render.datasheet_markdown import datasheet_markdown

__all__ = ["dataset_card"]


def dataset_card(card: Card) -> str:
    """The card as Markdown; the same datasheet gives the same text."""
    sheet = card.datasheet
    parts = [
        f"# Dataset card for {md(card.title)}" if card.title else "# Dataset card",
        f"> {md(sheet.data_note)}" if sheet.data_note else "",
        _missing(card),
        table(("", ""), _facts(card)),
        _tables(card),
        _reading(card),
        *(("## Citation", fenced(sheet.about.citation)) if sheet.about.citation.strip() else ()),
        _body(sheet),
    ]
    return f"{_front_matter(card)}\n" + "\n\n".join(part for part in parts if part) + "\n"


def _body(sheet: DatasheetResult) -> str:
    """The datasheet under a heading of the card, which has one title only."""
    _, _, rest = datasheet_markdown(sheet).partition("\n")
    return f"## Datasheet\n{rest}".rstrip("\n")


def _front_matter(card: Card) -> str:
    from huggingface_hub import DatasetCardData  # not at the top: it takes half a second

    named = card.licence
    own: dict[str, Any] = {"license_name": named.name} if named and named.name else {}
    if named and named.link:
        own["license_link"] = named.link
    if card.languages.regional:
        own["language_bcp47"] = list(card.languages.regional)
    data = DatasetCardData(
        pretty_name=text.clean(card.title) or None,
        license=named.hub if named else None,
        language=list(card.languages.hub) or None,
        size_categories=[card.size] if card.size else None,
        task_categories=list(card.tasks) or None,
        tags=["image-text", "datasheet"],
        **own,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _missing(card: Card) -> str:
    if not card.missing:
        return ""
    words = text.join([f"**{words}**" for words in card.missing])
    said = f"Nobody has stated {words} of this data set"
    if card.licence is None:
        said += "; without a licence, nothing here says that it may be used"
    return f"> {said}."


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    about, sheet = card.datasheet.about, card.datasheet
    nobody = "not stated"
    yield "Rows", "not known" if sheet.n_rows is None else text.count(sheet.n_rows)
    yield "Licence", md(card.licence.given) if card.licence else nobody
    yield "Made by", md(", ".join(maker.name for maker in card.creators)) or nobody
    yield "Languages, as stated", md(languages_words(card)) or nobody
    yield "Version", md(about.version) or nobody
    yield "Published", md(published_words(card)) or nobody
    url = card.url.replace("|", "%7C")  # which would end the cell
    yield "Homepage", f"<{url}>" if url else md(about.url) or nobody


def _reading(card: Card) -> str:
    """What the shares are of, by whose labels, and what is known of these labels' errors."""
    said: dict[tuple[str, str, str], dict[str, None]] = {}
    for group in compositions(card.datasheet.compositions):
        for row in group.cells.values():
            key = (card.behind.base(row), group.labels, errors_words(group, card.behind))
            said.setdefault(key, {})[attribute_words(group.attribute, group.concept)] = None
    if not said:
        return ""
    lines = (
        f"- **{md('; '.join(names))}**: of {md(of)}; {md(labels)}. {md(errors)}"
        for (of, labels, errors), names in said.items()
    )
    return "\n".join(("## How to read its shares", "", md(PERCEIVED), "", *lines))


def _tables(card: Card) -> str:
    """Where all numbers are."""
    rows = card.datasheet.compositions
    drawn = ", those of generated pictures among them," * any(is_generated(r.stage) for r in rows)
    shares = f"All {text.count(len(rows))} shares that were measured{drawn}"
    shares, name = (shares, "composition") if rows else ("The runs behind it", "evidence")
    return (
        f"{shares} are in [{FOLDER}/{name}.csv]({FOLDER}/{name}.csv) and, as records, in "
        "[croissant.json](croissant.json); one page of it is [summary.pdf](summary.pdf)."
    )
