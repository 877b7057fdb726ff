"""What can be said of captions alone: languages, and how detectors disagree on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.config import ProbeConfig
from laion_probe.estimate import count_share
from laion_probe.language import DETECTORS, Guesses, make_detector
from laion_probe.questions.concept import Pool
from laion_probe.questions.gallery import seeded_sample
from laion_probe.recipes import Recipe
from laion_probe.results import DetectorAudit
from laion_probe.store import atomic_file, fingerprint

__all__ = ["audit", "language_counts", "language_detector"]

_SHOWN = 12


def language_detector(recipe: Recipe) -> str:
    """The detector whose languages are shown: the recipe's, or CLD2 where it has none."""
    for step in recipe.step:
        if step.kind == "detect-language":
            return str(step.params["detector"])
    return "cld2"


def language_counts(
    pool: Pool, near: NDArray[np.bool_], masks: dict[str, NDArray[np.bool_]], recipe: Recipe
) -> dict[str, dict[str, int]]:
    """Pictures near the concept by caption language, before and after the recipe.

    Without pictures: captions that name the concept. The twelve most frequent languages before the
    recipe; the rest is "other".
    """
    if near.any():
        rows = pool.pictured.filter(pl.Series(near))
        final = masks["neighbourhood"][near]
    else:
        rows = pool.rows.filter(pool.rows["named"])
        final = (rows["removed_at"] == len(recipe.step)).to_numpy()
    if len(rows) == 0:
        return {}
    codes = rows["language"].to_list()
    if all(c is None for c in codes):
        codes = make_detector("cld2")(rows["text"].to_list()).codes
    frame = pl.DataFrame({"code": codes, "final": final})
    top = frame["code"].value_counts().sort(["count", "code"], descending=[True, False])
    names = top["code"].to_list()[:_SHOWN]
    out: dict[str, dict[str, int]] = {}
    for stage, part in (("pool", frame), ("neighbourhood", frame.filter(pl.col("final")))):
        tally = dict(part["code"].value_counts().iter_rows())
        counts = {name: int(tally.get(name, 0)) for name in names}
        counts["other"] = len(part) - sum(counts.values())
        out[stage] = counts
    return out


def audit(
    config: ProbeConfig, rows: pl.DataFrame, recipe: Recipe, cache: Path
) -> DetectorAudit | None:
    """Every detector on one seeded simple random sample of non-empty captions.

    langdetect reads some 300 captions a second, so guesses are kept under ``cache``.
    """
    texts = rows["text"].to_list()
    filled = [i for i, t in enumerate(texts) if t.strip()]
    chosen = seeded_sample(len(texts), config.audit_captions, config.seed, filled)
    if not chosen:
        return None
    sample = [texts[i] for i in chosen]
    mine = [rows["language"][i] == "en" for i in chosen]
    has_language = any(step.kind == "detect-language" for step in recipe.step)
    english, agree = {}, {}
    for name in DETECTORS:
        guesses = _guesses(name, sample, cache)
        verdict = [code == "en" for code in guesses.codes]
        cases = {name: verdict}
        if name == "cld3-5-2000":
            cases[f"{name}, reliable only"] = [
                code == "en" and sure for code, sure in zip(*guesses, strict=True)
            ]
        for label, said in cases.items():
            english[label] = count_share(sum(said), len(said), len(filled), config.level)
            if has_language:
                same = sum(a == b for a, b in zip(said, mine, strict=True))
                agree[label] = count_share(same, len(said), len(filled), config.level)
    return DetectorAudit(
        n=len(sample),
        english=english,
        agree_with_recipe=agree,
        note="share of captions called English, on a seeded random sample of the input's non-empty "
        "captions as given, before any cleaning; this ranks no detector",
    )


def _guesses(name: str, texts: list[str], cache: Path) -> Guesses:
    path = cache / "audits" / f"{fingerprint([__version__, name, texts])}.json"
    if path.exists():
        return Guesses(*json.loads(path.read_text(encoding="utf-8")))
    guesses = make_detector(name)(texts)
    with atomic_file(path) as scratch:
        scratch.write_text(json.dumps(guesses), encoding="utf-8")
    return guesses
