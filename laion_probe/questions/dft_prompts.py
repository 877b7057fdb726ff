"""From cells to prompts: templates filled in, articles put right, the same words drawn once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from laion_probe.errors import ConfigError
from laion_probe.questions.dft_lists import PROFESSION, Axis, Term, folded
from laion_probe.questions.dft_numbers import Cell

__all__ = ["PlannedPrompt", "check_template", "fill", "prompts_of_cells"]

#: Stands for an article until the word after it is known; lists may not hold it.
_ARTICLE = "\0"
_PLACE = re.compile(r"\{([^{}]*)\}")
_VOWEL = re.compile(r"[aeiou]", re.IGNORECASE)
#: Begins with a vowel that is spoken as a consonant: a European, a Ukrainian, a university.
_CONSONANT = re.compile(r"(eu|ew|u[kst]|uni(?!n)|one\b|uy)", re.IGNORECASE)
_USHER = re.compile(r"(ush|utt)", re.IGNORECASE)
_SILENT = re.compile(r"(hon(est|our|or)|hour|heir)", re.IGNORECASE)


@dataclass(frozen=True)
class PlannedPrompt:
    """A prompt of the training pictures; ``neutral`` is the same without the words of any axis."""

    text: str
    neutral: str
    profession: Term
    terms: tuple[Term, ...]
    n_pictures: int

    @property
    def group(self) -> str:
        """What its words stand for, as `generate` and `blocked` name its group."""
        return ", ".join(term.stands_for for term in self.terms)


def check_template(template: str, axes: Sequence[Axis]) -> None:
    """`ConfigError` where a template lacks a place, or has one that is not known."""
    places = _PLACE.findall(template)
    known = [PROFESSION, "terms", *(axis.name for axis in axes)]
    for place in places:
        if place not in known:
            raise ConfigError(
                f"template {template!r}: unknown place {{{place}}}; known: "
                f"{', '.join('{' + name + '}' for name in known)}"
            )
    if set("{}\n" + _ARTICLE) & set(_PLACE.sub("", template)):
        raise ConfigError(f"template {template!r}: a brace without its pair, or a line end")
    if places.count(PROFESSION) != 1:
        raise ConfigError(f"template {template!r}: it needs {{profession}} once")
    named = [axis.name for axis in axes if axis.name in places]
    missing = [axis.name for axis in axes if axis.name not in places]
    if ("terms" in places and named) or ("terms" not in places and missing):
        raise ConfigError(
            f"template {template!r}: it needs {{terms}} for the words of all axes, or each axis by "
            f"its name: {', '.join('{' + axis.name + '}' for axis in axes)}"
        )


def fill(template: str, profession: Term, terms: Mapping[str, Term]) -> str:
    """The prompt of a cell; ``terms`` by axis, none for the neutral prompt.

    >>> gender = {"gender": Term(term="female")}
    >>> fill("a photo of a {terms} {profession}", Term(term="actor"), gender)
    'a photo of a female actor'
    >>> fill("a photo of a {terms} {profession}", Term(term="actor"), {})
    'a photo of an actor'
    """
    words = {axis: term.term for axis, term in terms.items()}
    words |= {PROFESSION: profession.term, "terms": " ".join(words.values())}
    open_articles = re.sub(r"\b([Aa])n? (?=\{)", rf"\1{_ARTICLE} ", template)
    filled = _PLACE.sub(lambda place: words.get(place[1], ""), open_articles)
    filled = re.sub(r"\s+([,.;:])", r"\1", " ".join(filled.split()))
    said = {t.term.split()[0]: t.article for t in (profession, *terms.values()) if t.article}
    return re.sub(
        rf"{_ARTICLE}( (\S+))?", lambda found: _n(found[2] or "", said) + (found[1] or ""), filled
    )


def _n(word: str, said: Mapping[str, str]) -> str:
    """The n of an article before that word, or nothing."""
    if word in said:
        return "n" if said[word] == "an" else ""
    if _SILENT.match(word):
        return "n"
    vowel = _VOWEL.match(word) and (_USHER.match(word) or not _CONSONANT.match(word))
    return "n" if vowel else ""


def prompts_of_cells(
    cells: Sequence[Cell], axes: Sequence[Axis], templates: Sequence[str]
) -> tuple[tuple[PlannedPrompt, ...], int]:
    """The prompts of all cells that get pictures, and how many came out in another's words.

    A cell's pictures are spread over the templates, the first ones getting what is left over.
    Prompts in the same words (`folded`) are drawn as one, with the pictures of both.
    """
    found: dict[str, PlannedPrompt] = {}
    n_merged = 0
    for cell in cells:
        terms = {axis.name: term for axis, term in zip(axes, cell.terms, strict=True)}
        each, left = divmod(cell.n_pictures, len(templates))
        for i, template in enumerate(templates):
            n = each + (i < left)
            if n == 0:
                continue
            text = fill(template, cell.profession, terms)
            key = folded(text)
            if key in found:
                n_merged += 1
                n += found[key].n_pictures
                first = found[key]
                found[key] = PlannedPrompt(
                    first.text, first.neutral, first.profession, first.terms, n
                )
                continue
            neutral = fill(template, cell.profession, {})
            found[key] = PlannedPrompt(text, neutral, cell.profession, cell.terms, n)
    return tuple(found.values()), n_merged
