"""README.md of the demo set: every planted fact with the number that the set really has.

The prose is here, the numbers are read back from truth.parquet, from img2dataset's
parquet files and from clip/error.json, so that the text cannot drift from the data.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from tools.demo_data import facts, generated
from tools.demo_data.readme_text import TEXT
from tools.demo_data.sources import SOURCES

Table = pl.DataFrame
_PAIR = ("woman", "man")
_SHADES = ("lighter", "darker")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def share(table: Table, column: str, level: str, among: tuple[str, ...] = ()) -> float:
    """Share of a level in a column, among the levels named, or among all rows."""
    if among:
        table = table.filter(pl.col(column).is_in(among))
    return int((table[column] == level).sum()) / max(1, len(table))


def _mean(flags: pl.Series) -> float:
    return int(flags.sum()) / max(1, len(flags))


def _grid(header: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def composition(pool: Table) -> str:
    concepts = ["doctor", "nurse", "sari", "teacher"]
    concepts += sorted(set(facts.MIXES) - set(concepts))
    lines = []
    for concept in concepts:
        part = pool.filter(pl.col("concept") == concept)
        lines.append(
            [concept, str(len(part))]
            + [_percent(share(part, "gender", level)) for level in ("woman", "man", "neutral")]
            + [_percent(share(part, "tone_binary", "unspecified"))]
            + [_percent(share(part, "tone_binary", "darker", _SHADES))]
        )
    header = [
        "concept",
        "rows",
        "woman",
        "man",
        "neutral",
        "yellow default",
        "darker, of those with a tone",
    ]
    return _grid(header, lines)


def languages(pool: Table) -> str:
    lines = []
    for concept in ("doctor", "nurse", "teacher", "sari"):
        for gender in ("woman", "man", "neutral"):
            part = pool.filter((pl.col("concept") == concept) & (pl.col("gender") == gender))
            if len(part):
                english = part.filter(pl.col("language") == "en")
                spoken = part["language"]
                lines.append(
                    [
                        concept,
                        gender,
                        _percent(_mean(~spoken.is_in(["en", "none"]))),
                        _percent(share(part, "language", "none")),
                        _percent(_mean(english["caption_states_gender"])),
                        _percent(_mean(english["banlist_hit"])),
                    ]
                )
    header = [
        "concept",
        "gender",
        "another language",
        "no words",
        "English: states the gender",
        "English: ban list hit",
    ]
    return _grid(header, lines)


def downloads(pool: Table) -> str:
    tried = pool.filter(pl.col("attempted"))
    lines = []
    for region in sorted(pool["region"].unique()):
        everyone = pool.filter(pl.col("region") == region)
        part = tried.filter(pl.col("region") == region)
        lines.append(
            [
                region,
                str(len(everyone)),
                _percent(1 - share(everyone, "planned_outcome", "success")),
                str(len(part)),
                _percent(1 - share(part, "expected_status", "success")),
            ]
        )
    header = ["region", "rows", "planned failures", "attempted", "not stored (any reason)"]
    return _grid(header, lines)


def amplification(pool: Table, drawn: Table) -> str:
    lines = []
    for concept, prompt in generated.PROMPTS.items():
        before = pool.filter(pl.col("concept") == concept)
        after = drawn.filter(pl.col("prompt") == prompt)
        factor = 1.0 if concept in generated.UNCHANGED else generated.AMPLIFICATION
        line = [prompt, str(len(after))]
        for column, level, among in (
            ("gender", "woman", _PAIR),
            ("tone_binary", "darker", _SHADES),
        ):
            start = share(before, column, level, among)
            line += [
                _percent(start),
                _percent(generated.amplified(start, factor)),
                _percent(share(after, column, level, among)),
            ]
        lines.append([*line, _percent(share(after, "gender", "none"))])
    header = [
        "prompt",
        "pictures",
        "woman: pool",
        "target",
        "drawn",
        "darker: pool",
        "target",
        "drawn",
        "no person",
    ]
    return _grid(header, lines)


def _recall(counts: dict[str, dict[str, int]], level: str) -> str:
    line = counts.get(level, {})
    total = sum(line.values())
    if not total:
        return "–"
    return f"{line.get(level, 0)}/{total} ({_percent(line.get(level, 0) / total)})"


def errors(report: dict[str, Any]) -> str:
    lines = []
    for name, title in (
        ("seen", "renderings seen in training, fresh scenes"),
        ("held_out", "Fluent 3D, never seen"),
    ):
        part = report[name]
        lines.append(
            [
                title,
                str(part["n"]),
                _percent(part["gender_woman_man"]["balanced_accuracy"]),
                _percent(part["tone_lighter_darker"]["balanced_accuracy"]),
                f"{part['precision_at_20']['mean']:.2f}",
            ]
        )
    return _grid(["pictures", "n", "woman/man", "lighter/darker", "precision@20"], lines)


def errors_by_group(report: dict[str, Any]) -> str:
    lines = []
    groups = (
        ("gender_by_tone", "tone"),
        ("gender_by_tone_binary", "Monk half"),
        ("gender_by_concept", "concept"),
    )
    for key, title in groups:
        for level, held_out in report["held_out"][key].items():
            seen = report["seen"][key][level]
            lines.append(
                [
                    title, level,
                    _percent(seen["balanced_accuracy"]),
                    _percent(held_out["balanced_accuracy"]),
                    _recall(held_out["counts"], "woman"),
                    _recall(held_out["counts"], "man"),
                ]
            )  # fmt: skip
    header = [
        "group",
        "level",
        "seen",
        "held out",
        "held out: women called women",
        "held out: men called men",
    ]
    return _grid(header, lines)


def confusion(report: dict[str, Any], key: str, levels: tuple[str, ...]) -> str:
    lines = []
    for name in ("seen", "held_out"):
        counts = report[name][key]["counts"]
        for true in levels:
            line = counts.get(true, {})
            lines.append([name, true, *(str(line.get(level, 0)) for level in levels)])
    return _grid(["pictures", "true", *(f"called {level}" for level in levels)], lines)


def precision(report: dict[str, Any]) -> str:
    held_out, seen = report["held_out"]["precision_at_20"], report["seen"]["precision_at_20"]
    lines = [[name, f"{seen[name]:.2f}", f"{held_out[name]:.2f}"] for name in held_out]
    return _grid(["concept", "seen", "held out"], lines)


def attributions() -> str:
    lines = [
        [f"`{source.package}` {source.version}", source.licence, source.attribution]
        for source in SOURCES
    ]
    return _grid(["package (npm)", "licence", "attribution"], lines)


def write(folder: Path, seed: int) -> None:
    """README.md, from the finished files of `folder`."""
    truth = pl.read_parquet(folder / "truth.parquet")
    pool = truth.filter(pl.col("kind") == "pool")
    drawn = truth.filter(pl.col("kind") == "generated")
    report = json.loads((folder / "clip" / "error.json").read_text("utf-8"))
    training = json.loads((folder / "clip" / "training.json").read_text("utf-8"))
    size = training["training"]["size"]
    empty = drawn.filter(pl.col("prompt") == "")
    darker_saris = empty.filter((pl.col("concept") == "sari") & (pl.col("tone_binary") == "darker"))
    values = {
        "seed": seed,
        "n_rows": len(pool),
        "n_shards": pool["shard"].n_unique(),
        "n_languages": pool.filter(pl.col("language") != "none")["language"].n_unique(),
        "n_attempted": int(pool["attempted"].sum()),
        "n_stored": len(
            pool.filter(pl.col("attempted") & (pl.col("expected_status") == "success"))
        ),
        "n_generated": len(drawn),
        "n_duplicates": int(pool["duplicate_of"].is_not_null().sum()),
        "n_near_miss": int(pool["near_miss"].sum()),
        "n_svg": len(pool.filter(pl.col("url_fault") == "svg")),
        "n_gif": len(pool.filter(pl.col("url_fault") == "gif")),
        "n_script": len(pool.filter(pl.col("url_fault").is_in(["javascript", "data"]))),
        "n_long_domain": len(pool.filter(pl.col("url_fault") == "long_domain")),
        "sari_south_asia": _percent(
            share(pool.filter(pl.col("concept") == "sari"), "region", "south-asia")
        ),
        "empty_sari": _percent(len(darker_saris) / max(1, len(empty))),
        "amplification": generated.AMPLIFICATION,
        "correlation": generated.BATCH_CORRELATION,
        "composition": composition(pool),
        "languages": languages(pool),
        "downloads": downloads(pool),
        "amplified": amplification(pool, drawn),
        "errors": errors(report),
        "errors_by_group": errors_by_group(report),
        "confusion_gender": confusion(
            report, "gender_all_levels", ("woman", "man", "neutral", "none")
        ),
        "confusion_tone": confusion(
            report, "tone_all_levels", ("lighter", "darker", "unspecified", "none")
        ),
        "precision": precision(report),
        "attributions": attributions(),
        "tower": size["image_tower"],
        "n_parameters": f"{training['n_parameters'] / 1e6:.2f}",
        "steps": training["training"]["steps"],
    }
    (folder / "README.md").write_text(TEXT.format(**values), "utf-8")
