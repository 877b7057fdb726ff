"""The pool: every row with its truth, decided by quotas so that planted shares hold.

Quotas, not coin flips, decide concept, gender, tone, language and failure, so that a
planted share is a fact about these rows and not only about where they came from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mmh3
import numpy as np

from tools.demo_data import facts, urls, web_captions
from tools.demo_data.catalogue import names_of
from tools.demo_data.codes import GENDERS, PLAIN_VARIANTS, SARI_VARIANTS, THING_KIND, Person
from tools.demo_data.languages import ENGLISH_REGIONS, INDIAN, LANGUAGES, REGION_OF, Language
from tools.demo_data.monk import binary
from tools.demo_data.scenes import Scene, person_scene, thing_scene
from tools.demo_data.sprites import SEEN
from tools.demo_data.web_captions import NEAR_MISSES, Written

Rng = np.random.Generator
SIDES = (160, 200, 240, 300, 320, 400, 480, 500, 600, 640, 800)


@dataclass(frozen=True)
class Row:
    """One row of the pool, its truth, and what the local server will answer for it."""

    concept: str
    person: Person | None
    thing: str
    near_miss_of: str
    tongue: str
    region: str
    outcome: str
    url_fault: str
    url: str
    written: Written
    scene: Scene
    width: int
    height: int
    duplicate_of: int = -1
    attempted: bool = False

    @property
    def hash(self) -> int:
        """As in laion2B: the first half of mmh3.hash64 of the URL and the text."""
        return int(mmh3.hash64(self.url + (self.written.text or ""))[0])

    @property
    def code(self) -> str:
        """Code points of the person or of the thing."""
        return self.person.code if self.person else self.thing

    def binary_tone(self, monk: dict[tuple[str, str], int]) -> str:
        """`lighter`, `darker`, `unspecified`, or `none` without a person."""
        if self.person is None:
            return "none"
        return binary(self.person.tone, monk.get((self.scene.rendering, self.person.code)))


def quota(rng: Rng, n: int, levels: tuple[str, ...], shares: tuple[float, ...]) -> list[str]:
    """`n` levels in random order, each as often as its share says (largest remainder)."""
    exact = np.asarray(shares, dtype=np.float64) / sum(shares) * n
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: n - int(counts.sum())]] += 1
    out = [level for level, count in zip(levels, counts, strict=True) for _ in range(count)]
    return [out[int(k)] for k in rng.permutation(n)]


def _concepts(n_rows: int) -> dict[str, int]:
    counts = {name: round(share * n_rows) for name, share in facts.CONCEPT_SHARES.items()}
    rest = [name for name in facts.MIXES if name not in counts]
    left = n_rows - sum(counts.values())
    for place, name in enumerate(rest):
        counts[name] = left // len(rest) + (place < left % len(rest))
    return counts


@dataclass(frozen=True)
class Cell:
    """What is decided of a row before its words and its picture are made."""

    concept: str
    gender: str = "none"
    tone: str = "none"
    tongue: str = ""
    rendering: str = ""


def _tongues(rng: Rng, n: int, concept: str, foreign: float, wordless: float) -> list[str]:
    kinds = quota(rng, n, ("foreign", "", "en"), (foreign, wordless, 1 - foreign - wordless))
    from_where: tuple[Language, ...] = INDIAN if concept == "sari" else LANGUAGES
    codes = tuple(lang.code for lang in from_where)
    weights = tuple(lang.weight for lang in from_where)
    spoken = iter(quota(rng, kinds.count("foreign"), codes, weights))
    return [next(spoken) if kind == "foreign" else kind for kind in kinds]


def _renderings(rng: Rng, tones: list[str]) -> list[str]:
    """By quota within each tone, since it is the drawing that has a Monk level."""
    quotas = {
        tone: iter(quota(rng, tones.count(tone), SEEN, (1.0,) * len(SEEN)))
        for tone in facts.TONE_ORDER
    }
    return [next(quotas[tone]) for tone in tones]


def _cells(rng: Rng, concept: str, n: int) -> list[Cell]:
    if concept == "near_miss":
        return [Cell(concept, tongue="en") for _ in range(n)]
    if concept == "thing":
        return [Cell(concept, tongue=t) for t in _tongues(rng, n, concept, 0.37, 0.08)]
    mix = facts.MIXES[concept]
    genders = quota(rng, n, GENDERS, mix.gender)
    cells = []
    for place, gender in enumerate(GENDERS):
        count = genders.count(gender)
        tones = quota(rng, count, facts.TONE_ORDER, mix.tones)
        tongues = _tongues(rng, count, concept, mix.foreign[place], mix.wordless)
        drawn_in = _renderings(rng, tones)
        cells += [
            Cell(concept, gender, tone, tongue, rendering)
            for tone, tongue, rendering in zip(tones, tongues, drawn_in, strict=True)
        ]
    return cells


def _regions(rng: Rng, cells: list[Cell]) -> list[str]:
    """By language; pages in English or without words by quota within concept and gender."""
    regions = [REGION_OF.get(cell.tongue, "") for cell in cells]
    groups: dict[tuple[str, str, bool], list[int]] = {}
    for place, cell in enumerate(cells):
        if not regions[place]:
            groups.setdefault((cell.concept, cell.gender, cell.tongue == ""), []).append(place)
    names, shares = tuple(ENGLISH_REGIONS), tuple(ENGLISH_REGIONS.values())
    for (concept, _, _), places in groups.items():
        wanted = shares
        if concept == "sari":
            home = facts.SARI_SOUTH_ASIA
            wanted = tuple(
                home if name == "south-asia" else share * (1 - home)
                for name, share in ENGLISH_REGIONS.items()
            )
        for place, region in zip(places, quota(rng, len(places), names, wanted), strict=True):
            regions[place] = region
    return regions


def _outcomes(rng: Rng, cells: list[Cell], regions: list[str]) -> list[str]:
    """Success or a failure, by quota within region, concept and gender."""
    out = [""] * len(cells)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for place, cell in enumerate(cells):
        groups.setdefault((regions[place], cell.concept, cell.gender), []).append(place)
    kinds, shares = tuple(facts.FAILURES), tuple(facts.FAILURES.values())
    for (region, _, _), places in groups.items():
        failed = facts.FAILED.get(region, facts.FAILED_DEFAULT)
        levels = ("success", *kinds)
        wanted = (1 - failed, *(failed * share for share in shares))
        drawn = quota(rng, len(places), levels, wanted)
        for place, outcome in zip(places, drawn, strict=True):
            out[place] = outcome
    return out


def _faults(rng: Rng, n: int) -> list[str]:
    levels = (*facts.UNUSABLE_URL, "long_domain", "")
    shares = (*facts.UNUSABLE_URL.values(), facts.LONG_DOMAIN)
    return quota(rng, n, levels, (*shares, 1 - sum(shares)))


def _write(
    rng: Rng, cell: Cell, person: Person | None, thing: str, sources: tuple[Path, Path]
) -> Written:
    names = partial(names_of, *sources)
    if cell.tongue == "":
        return _sari_wordless(rng) if cell.concept == "sari" else web_captions.wordless(rng)
    if person is None:
        english = names("en")[thing]
        local = names(cell.tongue).get(thing)
        tongue = cell.tongue if local else "en"
        return web_captions.thing(rng, tongue, local or english)
    if cell.tongue != "en":
        return web_captions.foreign_person(rng, person, cell.tongue, names(cell.tongue))
    banned = facts.BANNED.get((cell.concept, cell.gender), facts.BANNED_ELSEWHERE)
    banned = 0.0 if cell.concept in facts.NEVER_BANNED else banned
    woman, man = facts.MIXES[cell.concept].states_gender
    states = {"woman": woman, "man": man, "neutral": 0.0}[cell.gender]
    return web_captions.english_person(
        rng, person, bool(rng.random() < states), bool(rng.random() < banned)
    )


def _sari_wordless(rng: Rng) -> Written:
    text = "" if rng.random() < 0.8 else None
    return Written(text, "", False, "missing" if text is None else "empty")


def _stem(cell: Cell, thing: str, english: dict[str, str], rng: Rng) -> str:
    draw = rng.random()
    if draw < 0.45:
        return "img"
    word = english.get(thing, "picture") if thing else cell.concept
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in word.lower()).strip("-")


def build(seed: int, sources: tuple[Path, Path], n_rows: int = facts.N_ROWS) -> list[Row]:
    """All rows in their final, shuffled order."""
    rng = np.random.default_rng([seed, 10])
    cells = [cell for concept, n in _concepts(n_rows).items() for cell in _cells(rng, concept, n)]
    regions = _regions(rng, cells)
    outcomes = _outcomes(rng, cells, regions)
    url_faults = _faults(rng, len(cells))
    english = names_of(*sources, "en")
    # Numbers in addresses say nothing of the concept: they are shuffled.
    numbers = [int(k) for k in rng.permutation(len(cells))]
    rows = []
    for number, cell in enumerate(cells):
        own = np.random.default_rng([seed, 11, number])
        rows.append(
            _row(
                own,
                numbers[number],
                (cell, regions[number], outcomes[number], url_faults[number]),
                sources,
                english,
            )
        )
    _duplicate(rng, rows)
    order = [int(k) for k in rng.permutation(len(rows))]
    new_place = {old: new for new, old in enumerate(order)}
    chosen = {int(k) for k in rng.permutation(len(rows))[: facts.N_ATTEMPTED]}
    return [
        replace(
            rows[old],
            duplicate_of=new_place.get(rows[old].duplicate_of, -1),
            attempted=new in chosen,
        )
        for new, old in enumerate(order)
    ]


def _row(
    rng: Rng,
    number: int,
    decided: tuple[Cell, str, str, str],
    sources: tuple[Path, Path],
    english: dict[str, str],
) -> Row:
    cell, region, outcome, url_fault = decided
    rendering = cell.rendering or str(rng.choice(SEEN))
    person, thing, near = None, "", ""
    if cell.concept == "near_miss":
        near, template, thing = NEAR_MISSES[int(rng.integers(len(NEAR_MISSES)))]
        text = template.format(n=int(rng.integers(1, 400)))
        written = Written(text, "en", False, "near_miss")
        scene = thing_scene(rng, thing, rendering)
    elif cell.concept == "thing":
        thing = str(rng.choice(sorted(THING_KIND)))
        written = _write(rng, cell, None, thing, sources)
        scene = thing_scene(rng, thing, rendering)
    else:
        variants = {"person": PLAIN_VARIANTS, "sari": SARI_VARIANTS}.get(cell.concept, ("",))
        person = Person(cell.concept, cell.gender, cell.tone, str(rng.choice(variants)))
        written = _write(rng, cell, person, "", sources)
        scene = person_scene(rng, person, rendering)
    if written.text and written.style != "near_miss" and rng.random() < facts.OVERLONG:
        written = replace(written, text=web_captions.overlong(rng, written.text))
    side = int(rng.choice(SIDES))
    wide = scene.aspect >= 1
    return Row(
        concept=cell.concept,
        person=person,
        thing=thing,
        near_miss_of=near,
        tongue=cell.tongue,
        region=region,
        outcome=outcome,
        url_fault=url_fault,
        url=urls.address(rng, region, _stem(cell, thing, english, rng), number, url_fault),
        written=written,
        scene=scene,
        width=side if wide else round(side * scene.aspect),
        height=round(side / scene.aspect) if wide else side,
    )


def _group(row: Row) -> tuple[str, ...]:
    """What a copy must share with its original for no planted share to move."""
    gender, tone = (row.person.gender, row.person.tone) if row.person else ("", "")
    place = (row.tongue, row.region, row.outcome, row.scene.rendering)
    return (row.concept, gender, tone, *place)


def _duplicate(rng: Rng, rows: list[Row]) -> None:
    """Makes some rows copies of another row of the same group, in place.

    Both copies keep the group, so that no planted share of concept, gender or tone
    moves; a copy by address and text has the words of its original, too.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(_group(row), []).append(place)
    n_url = round(facts.DUPLICATE_URL * len(rows))
    n_both = round(facts.DUPLICATE_URL_AND_TEXT * len(rows))
    taken: set[int] = set()
    wanted = [False] * n_url + [True] * n_both
    for place in (int(k) for k in rng.permutation(len(rows))):
        if not wanted:
            break
        row = rows[place]
        others = [k for k in groups[_group(row)] if k != place and k not in taken]
        if place in taken or not others or row.url_fault:
            continue
        original = others[int(rng.integers(len(others)))]
        if rows[original].url_fault:
            continue
        both = wanted.pop()
        taken |= {place, original}
        first = rows[original]
        rows[place] = replace(
            row,
            url=first.url,
            person=first.person,
            thing=first.thing,
            near_miss_of=first.near_miss_of,
            scene=first.scene,
            width=first.width,
            height=first.height,
            written=first.written if both else row.written,
            duplicate_of=original,
        )
