"""Which pictures are drawn, in which order and from which seed, before any is."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from laion_probe.generating.prompts import Prompt

__all__ = ["Plan", "Planned"]


@dataclass(frozen=True)
class Planned:
    """Picture ``index`` of the run: the one of that ``number`` (0, 1, …) of its prompt."""

    index: int
    prompt: Prompt
    number: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """``images`` pictures of each prompt, in parts of ``part_rows``.

    All prompts' first pictures come first, so that a run that was ended has as many of each. The
    seed of a picture depends on ``seed``, its prompt's words and its number: not on the other
    prompts, their order or the batch. With ``same_seeds`` it depends on the number alone.

    >>> plan = Plan((Prompt("a"), Prompt("b")), images=2, seed=7, same_seeds=True)
    >>> [(p.prompt.text, p.seed) for p in plan.part(0)]
    [('a', 7), ('b', 7), ('a', 8), ('b', 8)]
    """

    prompts: Sequence[Prompt]
    images: int
    seed: int = 0
    same_seeds: bool = False
    part_rows: int = 256

    def __len__(self) -> int:
        return len(self.prompts) * self.images

    @property
    def n_parts(self) -> int:
        """Parts, of which the last may have fewer pictures."""
        return -(-len(self) // self.part_rows)

    def part(self, number: int) -> list[Planned]:
        """The pictures of one part."""
        first = number * self.part_rows
        return [self._at(i) for i in range(first, min(first + self.part_rows, len(self)))]

    def _at(self, index: int) -> Planned:
        number, which = divmod(index, len(self.prompts))
        return Planned(index, self.prompts[which], number, self._seed(which, number))

    def _seed(self, which: int, number: int) -> int:
        if self.same_seeds:
            return self.seed + number
        text = self.prompts[which].text
        # The same words may stand for two languages: their pictures are no copies.
        words = f"{self.seed}\0{number}\0{self._occurrences[which]}\0{text}"
        digest = hashlib.sha256(words.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8]) >> 11  # 53 bits, which JSON and all readers hold

    @cached_property
    def _occurrences(self) -> list[int]:
        """How many prompts before each have the same words."""
        seen: Counter[str] = Counter()
        out = []
        for prompt in self.prompts:
            out.append(seen[prompt.text])
            seen[prompt.text] += 1
        return out
