"""Made-up `FiltersResult` values, as a run of ``filters`` would give them, for tests of its report.

Nothing here was measured; counts of different tables need not agree with each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from fake_result import HOSTILE
from fake_scan import ORDER, estimate, no_estimate

from laion_probe.filters_result import (
    Attributed,
    DetectorPair,
    Detectors,
    Example,
    Examples,
    FiltersResult,
    GroupAccount,
    GroupAgreement,
    LevelAccount,
    LevelOverlap,
    LevelRewrite,
    Overlap,
    RecipeAccount,
    RewriteEffect,
    StepRemoval,
)
from laion_probe.results import Estimate, FailedUnit, InputRecord, StepEffect
from laion_probe.scan_result import Reading

MIN_COUNT, FLAG = 50, 0.05
UNDEFINED = "no other row is removed"
NEEDS = "needs every row: not estimable from a sample of row groups"
FULL = "full count: no sampling error"

#: id, kind, title, share of all rows that it would remove, and what happens to those rows.
STEPS: tuple[tuple[str, str, str, float, str], ...] = (
    ("url", "url-substrings", "no .svg, .gif, data:image or javascript: in the URL", 0.012, "drop"),
    ("length", "caption-length", "caption of at least 5 characters", 0.05, "drop"),
    ("clean", "clean-text", "ftfy, newline to space, strip", 0.0, "rewrite"),
    ("names", "mask-names", "names of persons replaced by a placeholder", 0.0, "rewrite"),
    ("detect", "detect-language", "language by a detector (5 to 2000 bytes)", 0.0, "measure"),
    ("english", "keep-language", "detector says English; others go to multi", 0.46, "route"),
    ("dedup", "duplicates", "duplicates of the URL", 0.04, "whole set"),
    ("words", "blocklist", "no word of a list of blocked words", 0.03, "drop or route"),
    ("none", "domain-length", "domain of at most 60 characters", 0.0, "drop"),
    ("similarity", "min-similarity", "CLIP ViT-B/32 similarity of at least 0.28", 0.01, "hidden"),
    ("nsfw", "nsfw-substrings", "underage rule: not tagged UNLIKELY", 0.0, "blind"),
    ("watermark", "max-watermark", "watermark score of at most 0.8", 0.21, "drop"),
    ("file", "image-pixels", "at least 5000 bytes, JPEG, PNG or WebP", 0.0, "not simulated"),
)


@dataclass(frozen=True)
class _Run:
    """What all numbers of one made-up run share; ``wide`` as in `fake_scan.estimate`."""

    n: int
    units: int
    wide: float | None
    hostile: bool

    def share(self, value: float, n: int) -> Estimate:
        made = estimate(value, n, self.units, wide=self.wide)
        # A full scan has no interval at all.
        return made.model_copy(update={"low": None, "high": None}) if self.wide == 0 else made

    def contrast(self, value: float, n: int) -> Estimate:
        half = self.wide or None
        return Estimate(
            value=value,
            low=None if half is None else value - half,
            high=None if half is None else value + half,
            n=n,
            units=self.units,
            method=FULL if self.wide == 0 else "linearised by unit",
            assumptions=() if self.wide == 0 else (ORDER,),
        )


def _effect(run: _Run, spec: tuple[str, str, str, float, str], reached: int) -> StepEffect:
    name, kind, title, rate, how = spec
    gone = round(reached * rate)
    given: dict[str, Any] = {
        "id": name,
        "kind": kind,
        "title": title,
        "source": "rvencu/crawlingathome-gpu-hcloud",
        "confidence": "secondary" if how == "rewrite" else "verified",
        "simulated": "partly" if how == "blind" else "yes",
        "note": "",
        "observable": True,
        "outcomes": {"keep": run.n - gone, "drop": gone},
        "n_reached": reached,
        "n_removed_here": gone,
        "removed_share": run.share(gone / reached, reached),
    }
    rewrites = {"keep": run.n - 561, "rewrite": 505, "emptied": 56}
    none = no_estimate("a rewrite or measure removes nothing")
    blind = {"not_evaluable": run.n}
    change: dict[str, Any] = {
        "route": {"outcomes": {"keep": run.n - gone, "route:multi": gone}},
        "drop or route": {"outcomes": {"keep": 9, "drop": 5, "route:nolang": 4}},
        "rewrite": {"outcomes": rewrites, "removed_share": none},
        "measure": {"outcomes": {"keep": run.n}, "removed_share": none},
        "blind": {"outcomes": blind, "removed_share": none, "note": "needs the NSFW tag"},
        "not simulated": {
            "outcomes": {},
            "removed_share": none,
            "simulated": "no",
            "confidence": "from memory",
        },
        "hidden": {
            "observable": False,
            "removed_share": no_estimate("removal not observable"),
            "note": "removal not observable: the input has passed laion5b-en before",
        },
        "whole set": {}
        if run.wide == 0
        else {"outcomes": blind, "removed_share": none, "note": NEEDS, "n_removed_here": 0},
    }
    return StepEffect(**{**given, **change.get(how, {})})


def _deciding() -> list[tuple[str, float, str]]:
    return [(name, rate, how) for name, _, _, rate, how in STEPS if how not in _CONTEXT]


_CONTEXT = ("rewrite", "measure")


def _removals(run: _Run, n: int, lean: float, *, whole: bool = False) -> tuple[StepRemoval, ...]:
    """Of ``n`` rows that the steps remove ``lean`` times as often as others."""
    removals = []
    for name, rate, how in _deciding():
        unseen = how == "blind" or (how == "whole set" and run.wide != 0)
        alone = 0 if unseen else min(round(n * rate * lean), n)
        given = None if whole or n < MIN_COUNT or how in ("blind", "not simulated") else rate
        removals.append(
            StepRemoval(
                step=name,
                alone=alone,
                only=alone // 3,
                in_order=alone // 2,
                blind=n if unseen else n // 50,
                difference=None if given is None else run.contrast(rate * (lean - 1), n),
            )
        )
    return tuple(removals)


def _level(run: _Run, level: str, n: int, i: int) -> LevelAccount:
    lean = 0.7 + 0.11 * (i % 7)
    risk = min(0.62 * lean, 1.0)
    kept = n - round(n * risk)
    small = n < MIN_COUNT
    ratio = no_estimate(UNDEFINED) if i % 7 == 3 else run.contrast(lean, n)
    flagged = abs(risk - 0.62) > max(FLAG, run.wide or 0) and not small
    return LevelAccount(
        level=level,
        n=n,
        n_kept=kept,
        too_small=small,
        share_before=run.share(n / run.n, run.n),
        share_after=run.share(kept / (0.38 * run.n), round(0.38 * run.n)),
        kept=None if small else run.share(kept / n, n),
        difference=None if small else run.contrast(risk - 0.62, n),
        ratio=None if small else ratio,
        odds_ratio=None if small else run.contrast(lean**2 * 1.01, n),
        flagged=flagged,
        steps=_removals(run, n, lean),
        shapley=tuple(
            Attributed(
                step=name, value=None if how == "blind" else rate * (1 - lean) * n / run.n / 0.38
            )
            for name, rate, how in _deciding()
        ),
    )


def _names(run: _Run, n_groups: int, n_levels: int) -> dict[str, dict[str, int]]:
    """Group to level to rows; the last known level of each is too small."""
    counts = [max(run.n // (4 + 2 * i * i), 60) for i in range(n_levels)]
    names = {
        "gender": ["women", "men", "both", "nonbinary people"],
        "region": ["Northern America", "Western Europe", "South-eastern Asia", "Western Africa"],
    }
    groups = {}
    for g in range(n_groups):
        name = [*names, "language", "length"][g] if g < 4 else f"group{g}"
        known = [*names.get(name, []), *(f"{name} level {i:02}" for i in range(n_levels))]
        levels = dict(zip(known, counts, strict=False))
        levels[known[n_levels - 1]] = 7
        groups[name] = levels | {"unknown": run.n // 3}
    if run.hostile:
        groups["gender"] |= {words: 90 + i for i, words in enumerate((*HOSTILE, "महिलाएँ", "نساء"))}
    return groups


def _recipe(run: _Run, name: str, groups: dict[str, dict[str, int]], first: int) -> RecipeAccount:
    words = HOSTILE if run.hostile else ("", "", "")
    steps, survival, reached = [], [], run.n
    for spec in STEPS[first:]:
        step = _effect(run, spec, reached)
        after = reached - (step.n_removed_here if spec[4] not in _CONTEXT else 0)
        steps.append(step)
        survival.append(run.share(after / run.n, run.n))
        reached = after
    if run.hostile:
        text = {"title": HOSTILE[0], "note": HOSTILE[1], "source": HOSTILE[2]}
        steps[0] = steps[0].model_copy(update=text)
    titles = {
        "gender": "words for a gender in the caption",
        "region": "region of the domain’s registry",
        "language": "language as the recipe’s detector reads it",
    }
    accounts = tuple(
        GroupAccount(
            name=g,
            title=words[1] or titles.get(g, f"{g} of the caption"),
            source=words[2] or "a lexicon of 214 words, by their communities’ usage",
            note=words[0] or "what the caption states, never who is shown",
            levels=tuple(_level(run, x, n, i) for i, (x, n) in enumerate(levels.items())),
            shapley_note="some set of steps keeps nothing" if g == "length" else "",
        )
        for g, levels in groups.items()
    )
    effects = tuple(
        RewriteEffect(
            step=step.id,
            title=step.title,
            n_changed=561,
            n_emptied=56,
            n_kept_with=4000,
            n_kept_without=4100,
            n_only_with=20,
            n_only_without=120,
            levels=tuple(
                LevelRewrite(
                    group=g,
                    level=level,
                    n=n,
                    n_changed=n // 5,
                    n_emptied=n // 50,
                    n_kept_with=n // 3,
                    n_kept_without=n // 3 + 2,
                )
                for g, levels in groups.items()
                for level, n in levels.items()
            ),
        )
        for step in steps
        if step.id in ("clean", "names")
    )
    ids = {step.id for step in steps}
    return RecipeAccount(
        name=name,
        title=words[1] or f"{name}: a caption filter made up",
        source=words[2] or "Schuhmann et al. 2022, section 3",
        confidence="verified",
        chain=("laion-aesthetics",) if first else (),
        n=run.n,
        n_kept=reached,
        kept=run.share(reached / run.n, run.n),
        left_out=tuple(s.id for s in steps if "needs every row" in s.note),
        steps=tuple(steps),
        survival=tuple(survival),
        totals=tuple(x for x in _removals(run, run.n, 1.0, whole=True) if x.step in ids),
        groups=tuple(_only(account, ids) for account in accounts),
        rewrites=effects,
        frozen={"dedup": "the first row of each URL in this input"} if "dedup" in ids else {},
    )


def _only(account: GroupAccount, ids: set[str]) -> GroupAccount:
    """The group's account with the steps that the recipe has."""
    levels = tuple(
        level.model_copy(
            update={
                "steps": tuple(x for x in level.steps if x.step in ids),
                "shapley": tuple(x for x in level.shapley if x.step in ids),
            }
        )
        for level in account.levels
    )
    return account.model_copy(update={"levels": levels})


def _detectors(read: _Run, groups: dict[str, dict[str, int]]) -> Detectors:
    # A sample of captions has an interval even where all rows were read.
    run = replace(read, wide=read.wide or 0.018)
    names = ("cld3", "fasttext", "lingua")
    pairs = [(names[0], names[1]), (names[0], names[2]), (names[1], names[2])]
    codes = ["en", "de", "fr", "es", "ja", "hi", "unknown"]
    matrix = [
        (a, b, 900 - 31 * i - 17 * j) for i, a in enumerate(codes) for j, b in enumerate(codes)
    ]
    matrix.sort(key=lambda cell: -cell[2])
    return Detectors(
        names=names,
        n=20000,
        note="a caption shorter than five characters is unknown to cld3",
        english={name: run.share(0.52 + 0.03 * i, 20000) for i, name in enumerate(names)},
        pairs=tuple(
            DetectorPair(
                first=first,
                second=second,
                agree=run.share(0.81 + 0.02 * i, 20000),
                matrix=tuple(matrix),
                n_left_out=31,
                levels=tuple(
                    GroupAgreement(
                        group=g,
                        level=level,
                        n=n // 4,
                        agree=None if n // 4 < MIN_COUNT else run.share(0.7, n // 4),
                    )
                    for g, levels in groups.items()
                    for level, n in levels.items()
                ),
            )
            for i, (first, second) in enumerate(pairs)
        ),
    )


def _examples(first: str, second: str) -> tuple[Examples, ...]:
    captions = ("Portrait of a doctor", "डॉक्टर की तस्वीर", "طبيبة في المستشفى", "=cmd()", *HOSTILE)
    rows = tuple(Example(text=c, rewritten=None, note="") for c in captions)
    rewritten = tuple(
        Example(text=c, rewritten=c[:9], note="the name was found by a list") for c in captions
    )
    empty = (Example(text="Jane Doe", rewritten="", note="only a name"),)
    sets = (
        ("removed", "english", "", "Removed by the language step", 18000, rows),
        ("rewritten", "names", "", "Names replaced", 561, rewritten),
        ("emptied", "names", "", "Captions left empty", 56, empty),
        ("kept-by-one", "", second, "Kept by one, removed by the other", 977, rows[:3]),
        ("disagree", "", "", "Two detectors disagree", 0, ()),
    )
    return tuple(
        Examples.model_validate(
            {
                "kind": kind,
                "recipe": "" if kind == "disagree" else first,
                "step": step,
                "other": other,
                "title": title,
                "n_of": n_of,
                "rows": drawn,
            }
        )
        for kind, step, other, title, n_of, drawn in sets
    )


def fake_filters(
    kind: str = "sample", *, hostile: bool = False, n_groups: int = 3, n_levels: int = 6
) -> FiltersResult:
    """A made-up result: a "sample", a "full" read, or a "small" sample without intervals."""
    units, of = {"sample": (90, 58500), "full": (48, 48), "small": (20, 48)}[kind]
    run = _Run(450 * units, units, {"sample": 0.018, "full": 0.0, "small": None}[kind], hostile)
    groups = _names(run, n_groups, n_levels)
    names = (HOSTILE[0], HOSTILE[1]) if hostile else ("laion5b-en", "laion400m")
    first, second = (_recipe(run, name, groups, 3 * i) for i, name in enumerate(names))
    levels = tuple(
        LevelOverlap(
            group=g, level=x, n=n, n_both=n // 4, n_only_first=n // 9, n_only_second=n // 11
        )
        for g, found in groups.items()
        for x, n in found.items()
    )
    return FiltersResult(
        finding=(
            HOSTILE[0] if hostile else "Of 100 rows, fake keeps 38.",
            "Captions in Hindi are removed more often than others.",
        ),
        data_note=HOSTILE[6] if hostile else "Rows that were made up for a test.",
        reading=Reading(
            n_units=of,
            n_units_tried=units,
            n_units_failed=0,
            n_rows=450 * of,
            n_rows_read=run.n,
            n_rows_failed=0,
            share=units / of,
            full=kind == "full",
            stopped_by="everything was read" if kind == "full" else "--max-units",
            assumptions=() if kind == "full" else (ORDER,),
        ),
        already=HOSTILE[3] if hostile else "laion5b-en",
        already_note=HOSTILE[4] if hostile else "declared by who published the set.",
        min_count=MIN_COUNT,
        flag=FLAG,
        recipes=(first, second),
        overlaps=(
            Overlap(
                first=names[0],
                second=names[1],
                n_both=3000,
                n_only_first=977,
                n_only_second=1300,
                n_neither=5000,
                levels=levels,
            ),
        ),
        detectors=_detectors(run, groups),
        examples=_examples(*names),
        notes=(HOSTILE[1] if hostile else "12 captions held null bytes",),
        cannot_say=("Why a recipe was made as it was.",),
        failed_units=(),
        inputs=tuple(
            InputRecord(
                kind="shard",
                name=HOSTILE[0] if hostile else f"part-{i:05}.parquet",
                fingerprint=hashlib.sha256(bytes([i])).hexdigest(),
                n_rows=None if i == 2 else 1800,
                already="laion5b-en",
                note="declared",
            )
            for i in range(3)
        ),
        version="0.1.0",
        command=f"laion-probe filters SHARDS --data-note '{HOSTILE[0] if hostile else 'x'}'",
        config={"recipes": list(names), "seed": 7},
        packages={"polars": "2.1.0"},
    )


def with_failed(result: FiltersResult) -> FiltersResult:
    """The same with a row group that failed."""
    failed = (FailedUnit(unit="part-00001.parquet:3", n_rows=None, reason=HOSTILE[0]),)
    reading = result.reading.model_copy(update={"n_units_failed": 1, "n_rows_failed": None})
    return result.model_copy(update={"failed_units": failed, "reading": reading})


#: One of each kind of result that a report must be able to show.
CASES = {
    "sample": fake_filters(),
    "full": fake_filters("full"),
    "small": fake_filters("small"),
    "hostile": fake_filters(hostile=True),
    "failed": with_failed(fake_filters()),
    "nothing asked": fake_filters("full").model_copy(
        update={
            "recipes": tuple(
                x.model_copy(
                    update={
                        "steps": (),
                        "survival": (),
                        "totals": (),
                        "groups": (),
                        "rewrites": (),
                        "frozen": {},
                    }
                )
                for x in fake_filters("full").recipes
            ),
            "overlaps": (),
            "detectors": None,
            "examples": (),
            "inputs": (),
            "already": "none",
            "already_note": "",
        }
    ),
}
