"""Filters of ours and what a user would write instead, in one process, turn by turn.

Run as a module it prints, for each part of the rows and each approach, its seconds: of the clock
and of the processor (all threads of the process).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import polars as pl

from laion_probe.counts import ALL
from laion_probe.filtering import FilterPlan, filter_rows
from laion_probe.language import make_detector
from laion_probe.recipes import Recipe, load_recipe
from laion_probe.shards import list_shards, list_units, read_unit
from laion_probe.steps import STEPS, Batch, Outcome
from laion_probe.unit_scan import CountWork, Plan, UnitScan, count_rows
from tools.bench import bare
from tools.bench.interleave import Approach, Times, take_turns

#: Captions of a turn, and of one by langdetect.
TURN_ROWS = 10_000
LANGDETECT_ROWS = 100
#: How often the file is gone through where no detector makes that slow.
PASSES = 4

_COLUMNS = ("url", "text", "width", "height", "similarity", "nsfw")


def native(name: str) -> Approach:
    """A detector alone, in a Python loop that keeps the codes."""
    detect = bare.DETECTORS[name]()
    return Approach(
        f"{name}, alone",
        lambda texts: detect(texts).count("en"),
        lambda rows: rows["text"].to_list(),
    )


def language_step(name: str) -> Approach:
    """Our two steps with the same detector."""
    make_detector(name)
    detect, keep = STEPS["detect-language"], STEPS["keep-language"]
    detect_params = detect.Params.model_validate({"detector": name})
    keep_params = keep.Params.model_validate({"keep": ["en"]})

    def work(rows: pl.DataFrame) -> int:
        batch = Batch(rows)
        detect.judge(batch, detect_params)
        return int((keep.judge(batch, keep_params) == Outcome.KEEP).sum())

    return Approach(f"{name}, our step", work)


def counted(name: str, recipe: Recipe, sets: Literal["keep", "skip"] = "skip") -> Approach:
    """Judge and count, of rows in memory."""
    plan = Plan(recipe, sets=sets)
    return Approach(name, lambda rows: _kept(count_rows("unit", rows, plan)))


def accounted(name: str, recipe: Recipe) -> Approach:
    """What `laion-probe filters` does with a unit: rewrites are also left out, and judged again."""
    plan = FilterPlan((recipe,), groups=("script", "length"))
    return Approach(name, lambda rows: filter_rows("unit", rows, plan).n)


def _kept(scan: UnitScan) -> int:
    return sum(n for group, _, hits, _, n in scan.counts.cells if group == ALL and not hits)


def by_pandas(name: str, filter_of: Callable[[Any], Callable[[Any], Any]]) -> Approach:
    """DataComp's basic filter with pandas."""
    kept = filter_of(bare.fasttext_model())
    return Approach(
        name,
        lambda df: int(kept(df).sum()),
        lambda rows: rows.select("text", "width", "height").to_pandas(),
    )


def detectors(path: str, group: str) -> dict[str, Times]:
    """On one row group: each detector alone, as our step, and what rests on the same detector."""
    rows = read_unit(list_units(list_shards([path]))[int(group)], _COLUMNS)
    parts = list(rows.iter_slices(TURN_ROWS))
    laion = load_recipe("laion5b-en")
    by_langdetect = Approach(
        "laion5b-en with langdetect",
        bare.laion5b_en_by_langdetect(),
        pl.DataFrame.to_dicts,
        LANGDETECT_ROWS,
    )
    out = take_turns([native("cld2"), language_step("cld2")], parts)
    out |= take_turns(
        [
            native("cld3-5-2000"),
            language_step("cld3-5-2000"),
            counted("laion5b-en", laion),
            counted("laion5b-en, sets kept", laion, "keep"),
            by_langdetect,
        ],
        parts,
    )
    out |= take_turns(
        [
            native("fasttext"),
            language_step("fasttext"),
            counted("datacomp-basic", load_recipe("datacomp-basic")),
            by_pandas("datacomp-basic by pandas, row by row", bare.datacomp_by_row),
            by_pandas("datacomp-basic by pandas, by column", bare.datacomp_by_column),
        ],
        parts,
    )
    return out | take_turns([accounted("laion5b-en, with all that is counted", laion)], parts[:3])


def rules(path: str, recipe: str) -> dict[str, Times]:
    """A recipe without a detector, on whole row groups: in memory, and read from the file."""
    plan = Plan(load_recipe(recipe))
    work = CountWork(plan)
    units = list_units(list_shards([path]))
    memory = Approach(
        "rules without a detector",
        lambda rows: _kept(count_rows("unit", rows, plan)),
        lambda unit: read_unit(unit, plan.columns(unit)),
    )
    file = Approach("rules without a detector, from parquet", lambda unit: _kept(work(unit)))
    return take_turns([memory, file], units * PASSES, lambda unit: unit.n_rows)


def same_rule(path: str, recipe: str) -> dict[str, Times]:
    """The rule that is given to the peers, on the file that they read."""
    parts = [read_unit(unit, _COLUMNS) for unit in list_units(list_shards([path]))]
    return take_turns([counted("laion-probe, the same rule", load_recipe(recipe))], parts)


TASKS = {"detectors": detectors, "rules": rules, "same-rule": same_rule}

if __name__ == "__main__":
    found = TASKS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({name: asdict(times) for name, times in found.items()}))
