"""Steps that drop captions by the words in them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import polars as pl
from pydantic import AfterValidator, model_validator

from laion_probe.lexicons.banlists import UNSPACED, ban_list
from laion_probe.steps.base import Batch, Outcomes, Role, StepKind, StepParams, drop

__all__ = ["KINDS", "Word", "word_matcher"]


def _not_blank(word: str) -> str:
    if not word.strip():
        raise ValueError("no word: leave it out")
    return word


#: A word or phrase, which more than white space must be.
Word = Annotated[str, AfterValidator(_not_blank)]

# Python's \W, which C4's filter was written in; that of polars takes marks for letters.
_ALONE = r"(?:^|[^\p{{L}}\p{{N}}_])(?:{})(?:[^\p{{L}}\p{{N}}_]|$)"


class BanList:
    """Drops captions in which a word of a ban list occurs, in lower case.

    ``lists`` names shipped lists ("ldnoobw:en", or "ldnoobw" for all its languages), ``words``
    gives words, ``files`` text files with a word or phrase a line, beside the recipe's TOML. By
    default a word counts only where no letter, digit or underscore touches it, as in C4 (Raffel et
    al. 2020); entries of languages without spaces (Chinese, Japanese, Thai) count inside other
    words always. With ``whole_word = false`` all do.
    """

    role: ClassVar[Role] = "drop"
    needs: ClassVar[tuple[str, ...]] = ("text",)

    class Params(StepParams):
        lists: tuple[str, ...] = ()
        words: tuple[Word, ...] = ()
        files: tuple[str, ...] = ()
        whole_word: bool = True

        @model_validator(mode="after")
        def _some_words(self) -> Any:
            if not (self.lists or self.words or self.files):
                raise ValueError("give lists, words or files")
            return self

    def judge(self, batch: Batch, params: Any) -> Outcomes:
        matcher = _matcher(params.lists, params.words, params.whole_word)
        name = f"ban list: {params.lists} {params.words} {params.whole_word}"
        return drop(batch.measured(name, matcher))


@functools.lru_cache(16)
def _matcher(
    lists: tuple[str, ...], words: tuple[str, ...], whole_word: bool
) -> Callable[[pl.Series], pl.Series]:
    alone: list[str] = list(words)
    inside: list[str] = []
    for name in lists:
        for language, entries in ban_list(name).items():
            (inside if language in UNSPACED else alone).extend(entries)
    return word_matcher(alone, inside) if whole_word else word_matcher((), (*alone, *inside))


def word_matcher(
    alone: tuple[str, ...] | list[str], inside: tuple[str, ...] | list[str] = ()
) -> Callable[[pl.Series], pl.Series]:
    """A function from captions to whether each holds a word of ``alone``, or has ``inside`` in it.

    One regular expression for all of them: its automaton is faster than Aho-Corasick for the
    candidates and a second look at what touches them.
    """
    parts = []
    for words, form in ((alone, _ALONE), (inside, "(?:{})")):
        wanted = sorted({w.strip().lower() for w in words} - {""})
        if wanted:
            parts.append(form.format("|".join(map(pl.escape_regex, wanted))))
    pattern = "|".join(parts)
    if not pattern:
        return lambda texts: pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    return lambda texts: texts.str.to_lowercase().str.contains(pattern)


KINDS: dict[str, StepKind] = {"ban-list": BanList()}
