"""Learns the byte-pair merges of the demo tokenizer and writes them as open_clip reads them.

open_clip's SimpleTokenizer skips the first line of the file, takes one merge a line,
and builds its vocabulary as 512 byte symbols, then one symbol a merge, then two
special tokens: so a file of N merges needs `vocab_size` N + 514.
"""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import regex
from open_clip.tokenizer import basic_clean, bytes_to_unicode, whitespace_clean

HEADER = "#version: 0.2 laion-probe demo"
N_EXTRA = 514
_WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")


def _words(captions: Iterable[str]) -> Counter[tuple[str, ...]]:
    symbol = bytes_to_unicode()
    words: Counter[tuple[str, ...]] = Counter()
    for caption, count in Counter(captions).items():
        text = whitespace_clean(basic_clean(caption)).lower()
        for word in _WORD.findall(text):
            symbols = [symbol[byte] for byte in word.encode("utf-8")]
            symbols[-1] += "</w>"
            words[tuple(symbols)] += count
    return words


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    place = 0
    while place < len(word):
        if place + 1 < len(word) and (word[place], word[place + 1]) == pair:
            out.append(word[place] + word[place + 1])
            place += 2
        else:
            out.append(word[place])
            place += 1
    return tuple(out)


def learn(captions: Iterable[str], n_merges: int) -> list[tuple[str, str]]:
    """The most frequent merges, ties to the smaller pair; fewer when words run out."""
    words = _words(captions)
    pairs: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    for word, count in words.items():
        for pair in pairwise(word):
            pairs[pair] += count
            where[pair].add(word)
    merges: list[tuple[str, str]] = []
    while len(merges) < n_merges and pairs:
        top = max(pairs.values())
        if top < 1:
            break
        best = min(pair for pair, count in pairs.items() if count == top)
        merges.append(best)
        for word in list(where.pop(best)):
            count = words.pop(word, 0)
            if not count:
                continue
            for pair in pairwise(word):
                pairs[pair] -= count
                where[pair].discard(word)
            new = _merged(word, best)
            words[new] += count
            for pair in pairwise(new):
                pairs[pair] += count
                where[pair].add(new)
        pairs.pop(best, None)
    return merges


def write(merges: list[tuple[str, str]], path: Path) -> None:
    """Gzip without a time stamp, and no newline at the end (it would be a merge)."""
    text = "\n".join([HEADER, *(" ".join(merge) for merge in merges)])
    path.write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
