"""Made-up results of `outliers`, from the bare to the hostile, for tests of what draws them."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, get_args

from fake_result import HOSTILE, average, composition, drawing

from laion_probe.outliers_result import (
    BroughtAlong,
    Explanation,
    ExplanationKind,
    NullRegion,
    OutlierCluster,
    OutliersResult,
    OutliersRun,
    RecipeWeighed,
    Verdict,
)
from laion_probe.results import Estimate, Harm, InputRecord, Picture, PictureSet, WordScore

__all__ = ["NOTHING", "VERDICTS", "cases"]

KINDS: tuple[ExplanationKind, ...] = get_args(ExplanationKind)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
RECIPES = ("none", "dalle-mini", "laion400m", "laion5b-en", "cc12m")
TITLES = {
    "gender_presentation": "perceived gender presentation",
    "skin_tone": "perceived skin tone",
}
NOTHING = Estimate(value=None, low=None, high=None, n=0, units=0, method="no rows")


class _Numbers:
    """Estimates of which no two are alike, so that a swap shows."""

    def __init__(self) -> None:
        self.i = 0

    def share(self, start: float = 0.2) -> Estimate:
        self.i += 1
        value = start + self.i * 7e-5
        return self._made(value, value - 0.0312, value + 0.0417)

    def points(self) -> Estimate:
        return self.share(-0.1)

    def ratio(self, value: float) -> Estimate:
        self.i += 1
        value += self.i * 1e-4
        return self._made(value, value / 1.7, value * 1.9)

    def _made(self, value: float, low: float, high: float) -> Estimate:
        n = 100 + self.i
        return Estimate(value=value, low=low, high=high, n=n, units=self.i, method="made up")


def _explanation(
    make: _Numbers, kind: ExplanationKind, i: int, hits: tuple[str, ...]
) -> Explanation:
    verdict = VERDICTS[i % 5]
    there = i % 5 < 3
    odds = (8.2, 1.0, 1.6, 0.0, 0.0, 0.03, 0.97, 140.0, 0.0, 0.0)[i % 10]
    return Explanation(
        kind=kind,
        title=kind.replace("-", " "),
        verdict=verdict,
        reason=f"because of {kind}" if i != 1 else "",
        of="rows that the recipe keeps",
        n_hits=1000 + make.i if there else 0,
        n_rows=3000 + make.i,
        n_neighbourhoods=16,
        here=make.share() if there else NOTHING,
        elsewhere=make.share(0.05) if there else NOTHING,
        between=0.3 + make.i * 1e-4 if there else None,
        risk_difference=make.points() if there else NOTHING,
        risk_ratio=make.ratio(3.0) if there else NOTHING,
        odds_ratio=make.ratio(odds) if there else NOTHING,
        by={name: 400 + 17 * j + make.i for j, name in enumerate(hits)} if there else {},
        decided_by="the captions as they were before" if verdict != "supported" else "",
    )


def _cluster(
    make: _Numbers,
    number: int,
    recipes: tuple[str, ...],
    words: tuple[str, ...],
    bare: bool = False,
) -> OutlierCluster:
    rng = random.Random(number)

    def pictures(side: str) -> PictureSet:
        drawn = tuple(
            Picture(
                id=f"{side}-{i}",
                caption=words[i % len(words)] if side == "data" else "",
                similarity=None if side != "data" else 0.9 - make.i * 1e-5 - i * 1e-3,
                labels={"gender_presentation": "woman"},
                flagged_unsafe=i == 2,
                image=drawing("woman", "darker", rng, 64) if number == 1 else "",
            )
            for i in range(6 if number == 1 else 2)
        )
        return PictureSet(
            id=f"generated-{side}",
            title={"data": "nearest training pictures"}.get(side, f"{side} shown"),
            rule=f"those nearest the middle of {words[0]}",
            pictures=drawn if not bare else (),
            average=average(rng, 48, 6) if number == 1 and side != "random" else "",
            n_average=230 + number,
        )

    sides = {
        side: {
            "gender_presentation": composition("gender_presentation", ("woman", "man"), counts),
            "skin_tone": composition("skin_tone", ("darker", "lighter"), counts[::-1]),
        }
        for side, counts in (("outputs", (211, 13, 8)), ("data", (137, 46, 9)))
    }
    return OutlierCluster(
        name=f"cluster {number} {words[0]}",
        n_outputs=230 + make.i,
        output_share=make.share(0.5),
        n_data=280 + make.i,
        data_share=make.share(0.05),
        ratio=make.ratio(8.0) if not bare else NOTHING,
        local_ratio=make.ratio(7.0) if not bare else NOTHING,
        over_represented=number % 2 == 1 and not bare,
        stability=0.9,
        n_seeds=10,
        n_far=number - 1,
        pictures=() if bare else tuple(map(pictures, ("outputs", "random", "data"))),
        words=()
        if bare
        else tuple(
            WordScore(word=w, z=9.13 - i, log_odds=2.77 - i / 3, n_near=90 - i, n_rest=31 + i)
            for i, w in enumerate((*words, *(f"word-{c}" for c in "abcdefgh")))
        ),
        compositions={} if bare else sides,
        weighed=tuple(
            RecipeWeighed(
                recipe=recipe,
                title=f"as {recipe} filters",
                n_rows=4090,
                n_kept=3000 + make.i,
                data_share=make.share(0.06),
                explanations=()
                if bare
                else tuple(
                    _explanation(make, kind, i + j, words)
                    for i, kind in enumerate(KINDS[: 9 if j else 10])
                ),
                together=() if bare else KINDS[:3],
                notes=("the step deduplicate was left out",) if j else (),
            )
            for j, recipe in enumerate(recipes)
        ),
    )


def _result(prompt: str | None, clusters: tuple[OutlierCluster, ...], **changes: Any) -> Any:
    values: dict[str, Any] = {
        "data_note": "These pictures and captions are simulated.",
        "context": "A tool draws illustrations where nothing was typed.",
        "harms": (Harm(kind="stereotyping", words="some are shown as a default"),),
        "level": 0.95,
        "prompt": prompt,
        "generator": "a simulator",
        "n_outputs": 417,
        "n_unreadable": 3,
        "n_batches": 41,
        "n_far": 5,
        "far_cosine": 0.437,
        "n_data": 4091,
        "n_clusters": 33,
        "null": NullRegion(low=0.81, high=1.26),
        "clusters": clusters,
        "brought": (),
        "titles": TITLES,
        "abouts": dict.fromkeys(TITLES, "how a person is perceived"),
        "finding": ("Unprompted over-representation: one cluster is 58 % of outputs.",),
        "how_measured": ("Neighbourhoods are the units.",),
        "cannot_say": ("What a model was trained on.",),
        "would_need": ("Training again with the captions put back.",),
        "provenance": OutliersRun(
            version="0.1.0",
            command="laion-probe outliers generated --data run",
            config={},
            inputs=(
                InputRecord(kind="shard", name="a", fingerprint="f00d", n_rows=None, already=""),
            ),
            model={"model": "ViT-B-32"},
            packages={"numpy": "2"},
        ),
    }
    return OutliersResult.model_validate(values | changes)


def _brought(make: _Numbers, names: tuple[str, ...]) -> tuple[BroughtAlong, ...]:
    return tuple(
        BroughtAlong(
            what=name,
            kind="tag" if i % 2 else "word",
            data=make.share(0.3),
            rest=make.share(0.1),
            lift=make.ratio(4.0),
            outputs=make.share(0.4) if i % 2 and i != 3 else None,
            difference=make.points() if i % 2 and i != 3 else None,
        )
        for i, name in enumerate(names)
    )


@cache
def cases() -> dict[str, OutliersResult]:
    make = _Numbers()
    words = ("sari", "silk", "wedding")
    things = ("hospital", "stethoscope", "coat", "desk", "ward", "tie")
    bad = tuple(dict.fromkeys(HOSTILE))
    many = tuple(f"web-{c}.example" for c in "abcdefghijklmn")
    full = tuple(_cluster(make, i, RECIPES, words) for i in (1, 2))
    return {
        "full": _result("", full),
        "doctor": _result(
            "doctor", (_cluster(make, 1, RECIPES[:1], many),), brought=_brought(make, things)
        ),
        "many": _result(None, tuple(_cluster(make, i, RECIPES[:2], words) for i in range(1, 21))),
        "bare": _result("", (_cluster(make, 2, RECIPES[:1], words, bare=True),), harms=()),
        "empty": _result(
            "", (), n_far=0, titles={}, abouts={}, would_need=(), generator="", context=""
        ),
        "hostile": _result(
            HOSTILE[0],
            (_cluster(make, 1, (RECIPES[0], HOSTILE[1]), bad),),
            brought=_brought(make, bad),
            data_note=HOSTILE[5],
            generator=HOSTILE[6],
            finding=HOSTILE[:3],
            context=HOSTILE[2],
        ),
    }
