"""The second part of the benchmark: how fast caption filters are replayed, per process."""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.bench import bare, data, measure
from tools.bench.captions import distinct_captions, levels, off_by, write_captions
from tools.bench.figures import MIB, Bar, at_least, spread
from tools.bench.turns import LANGDETECT_ROWS, TURN_ROWS

#: Distinct captions; a round of detectors takes one row group of so many.
ROWS = 240_000
ROUNDS = 3
#: What datatrove and Data-Juicer read.
PEER_ROWS = 40_000
#: How often the large file of the memory runs repeats the captions, and their row groups: small, so
#: that the smaller file has enough of them for the allocator to have settled.
REPEATED = 9
MEMORY_GROUP_ROWS = 20_000

#: A recipe that needs no detector.
RULES = """\
name = "rules"
title = "ban list, lengths, URL rules and thresholds"
source = "the benchmark of this project"

[[step]]
id = "url"
kind = "url-substrings"
title = "no .svg, .gif, data:image or javascript: in the URL"
params = { any_of = [".svg", ".gif", "data:image", "javascript:"] }

[[step]]
id = "domain"
kind = "domain-length"
title = "domain of at most 60 characters"
params = { max_characters = 60 }

[[step]]
id = "length"
kind = "caption-length"
title = "5 to 1000 characters"
params = { min_characters = 5, max_characters = 1000 }

[[step]]
id = "words"
kind = "word-count"
title = "3 to 256 words"
params = { min_words = 3, max_words = 256 }

[[step]]
id = "ban-list"
kind = "ban-list"
title = "no word of the English ban list"
params = { lists = ["ldnoobw:en"] }

[[step]]
id = "side"
kind = "image-side"
title = "shorter side of at least 200 pixels"
params = { min_pixels = 200 }

[[step]]
id = "aspect"
kind = "aspect-ratio"
title = "longer side at most 3 times the shorter"
params = { max_ratio = 3.0 }

[[step]]
id = "similarity"
kind = "score"
title = "similarity of at least 0.28"
params = { column = "similarity", at_least = 0.28 }
"""

#: What datatrove's two filters do: English by fastText with a score of 0.5, no banned word.
SAME_RULE = """\
name = "same-rule"
title = "English by fastText, and no banned word"
source = "the benchmark of this project"

[[step]]
id = "detect"
kind = "detect-language"
title = "language by fastText, from a probability of 0.5"
params = { detector = "fasttext", reliable_only = true }

[[step]]
id = "english"
kind = "keep-language"
title = "English"
params = { keep = ["en"] }

[[step]]
id = "ban-list"
kind = "ban-list"
title = "no word of the English ban list"
params = { lists = ["ldnoobw:en"] }
"""

#: Least ratio of the rows a second of the first to those of the second.
RATIOS = (
    (0.85, "cld2, our step", "cld2, alone"),
    (0.85, "cld3-5-2000, our step", "cld3-5-2000, alone"),
    (0.85, "fasttext, our step", "fasttext, alone"),
    (0.75, "laion5b-en", "cld3-5-2000, alone"),
    (0.75, "laion5b-en, sets kept", "cld3-5-2000, alone"),
    (1.5, "datacomp-basic", "datacomp-basic by pandas, row by row"),
    (1.5, "datacomp-basic", "datacomp-basic by pandas, by column"),
    (95, "laion5b-en", "laion5b-en with langdetect"),
)
#: The detector alone is the most that a filter around it can reach, against these.
CEILINGS = (
    ("fasttext, alone", "datacomp-basic by pandas, row by row"),
    ("fasttext, alone", "datacomp-basic by pandas, by column"),
    ("cld3-5-2000, alone", "laion5b-en with langdetect"),
)
LEAST_RATE = 1_000_000
RATED = ("rules without a detector", "rules without a detector, from parquet")
MOST_GROWTH = 10.0  # %

#: They must keep the same number of rows.
ALIKE = (
    ("cld2, alone", "cld2, our step"),
    ("cld3-5-2000, alone", "cld3-5-2000, our step"),
    ("fasttext, alone", "fasttext, our step"),
    ("laion5b-en", "laion5b-en, sets kept"),
    ("datacomp-basic", "datacomp-basic by pandas, row by row"),
    ("datacomp-basic", "datacomp-basic by pandas, by column"),
    ("rules without a detector", "rules without a detector, from parquet"),
    ("laion-probe, the same rule", "datatrove"),
)

PEERS = {"datatrove": "datatrove", "Data-Juicer": "data-juicer"}
WORDS = data.ROOT / "laion_probe" / "lexicons" / "ldnoobw" / "en.txt"


@dataclass
class Found:
    """What was measured, a value a round: rows a second by turns, by the clock and by processor."""

    wall: dict[str, list[list[float]]] = field(default_factory=dict)
    cpu: dict[str, list[list[float]]] = field(default_factory=dict)
    kept: dict[str, list[int]] = field(default_factory=dict)
    peaks: dict[int, list[float]] = field(default_factory=dict)  # MiB, by rows
    failed: dict[str, str] = field(default_factory=dict)

    def take(self, said: dict[str, Any]) -> None:
        """The times of `tools.bench.turns`."""
        for name, times in said.items():
            for into, seconds in ((self.wall, times["wall_s"]), (self.cpu, times["cpu_s"])):
                rates = [n / s for n, s in zip(times["rows"], seconds, strict=True)]
                into.setdefault(name, []).append(rates)
            self.kept.setdefault(name, []).append(sum(times["kept"]))

    @property
    def differ(self) -> list[str]:
        """Pairs that should have kept the same rows, and did not."""
        known = (pair for pair in ALIKE if all(name in self.kept for name in pair))
        return [f"{a} and {b}" for a, b in known if self.kept[a] != self.kept[b]]


def run_filters(scratch: Path, peers: Path | None, rows: int, say: Callable[[str], None]) -> Any:
    """Everything, as facts for machines; what is missing is said."""
    if not data.SAMPLE.is_file():
        return {"skipped": f"the real sample {data.SAMPLE.name} is not there"}
    started = time.monotonic()
    corpus = data.Corpus.load()
    say("filters: drawing the captions")
    texts = distinct_captions(corpus, rows)
    n = len(texts)
    names = ("thirds", "few", "once", "repeated")
    file, few, once, large = files = [scratch / f"captions-{k}.parquet" for k in names]
    write_captions(file, corpus, [texts], -(-n // ROUNDS))
    write_captions(once, corpus, [texts], MEMORY_GROUP_ROWS)
    write_captions(large, corpus, [texts] * REPEATED, MEMORY_GROUP_ROWS)
    write_captions(few, corpus, [texts.head(PEER_ROWS)], TURN_ROWS)
    for name, text in (("rules", RULES), ("same-rule", SAME_RULE)):
        (scratch / f"{name}.toml").write_text(text, encoding="utf-8")
    found = Found()
    for number in range(ROUNDS):
        say(f"filters: round {number + 1} of {ROUNDS}, {time.monotonic() - started:.0f} s so far")
        _round(found, scratch, peers, number, files)
    return {
        "rows": n,
        "rounds": ROUNDS,
        "seconds": round(time.monotonic() - started),
        "turn_rows": TURN_ROWS,
        "langdetect_rows": LANGDETECT_ROWS,
        "memory_group_rows": MEMORY_GROUP_ROWS,
        "peer_rows": min(PEER_ROWS, n),
        "data": _data_facts(texts, corpus),
        "rates": {name: _rates(found, name) for name in found.wall},
        "ceilings": {b: _summary(_ratios(found.wall, a, b)) for a, b in CEILINGS},
        "memory": {str(k): [round(x) for x in v] for k, v in found.peaks.items()},
        "kept_differs": found.differ,
        "failed": found.failed,
        "bars": _bars(found),
    }


def _round(
    found: Found, scratch: Path, peers: Path | None, number: int, files: Sequence[Path]
) -> None:
    file, few, *memory = (str(f) for f in files)
    rules, same = str(scratch / "rules.toml"), str(scratch / "same-rule.toml")
    for task in (
        ("detectors", file, str(number)),
        ("rules", file, rules),
        ("same-rule", few, same),
    ):
        said = _said(found, task[0], _turns(*task), scratch)
        if said:
            found.take(said)
    for name, task in PEERS.items() if peers is not None else ():
        script = Path(__file__).with_name("filter_peers.py")
        command = [str(peers), "-P", str(script), task, few, bare.model_file(), str(WORDS)]
        said = _said(found, name, command, scratch)
        if said:
            found.wall.setdefault(name, []).append([said["rows"] / said["call_s"]])
            found.cpu.setdefault(name, []).append([said["rows"] / said["cpu_s"]])
            found.kept.setdefault(name, []).append(said["kept"])
    for path in memory:
        cache = scratch / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        command = measure.our_command("filters", path, rules, str(cache))
        try:
            run = measure.run(command, scratch, memory=True)
        except measure.TaskError as error:
            found.failed["memory"] = str(error)
            return
        assert run.memory is not None
        found.peaks.setdefault(run.said["rows"], []).append(run.memory.together / MIB)


def _turns(*words: str) -> list[str]:
    return [sys.executable, "-m", "tools.bench.turns", *words]


def _said(found: Found, name: str, command: list[str], scratch: Path) -> dict[str, Any]:
    """What a process says; nothing where it has failed."""
    if name in found.failed:
        return {}
    try:
        return measure.run(command, scratch).said
    except measure.TaskError as error:
        found.failed[name] = str(error)
        return {}


def _data_facts(texts: Any, corpus: data.Corpus) -> dict[str, Any]:
    return {
        "distinct": texts.n_unique(),
        "sample_rows": corpus.n,
        "off_by": {k: round(v, 5) for k, v in off_by(texts, corpus).items()},
        "mean_characters": round(texts.str.len_chars().mean(), 1),
        "sample_mean_characters": round(corpus.texts.str.len_chars().mean(), 1),
        "signs": dict(levels(texts)["signs"].value_counts(normalize=True, sort=True).iter_rows()),
    }


def _rates(found: Found, name: str) -> dict[str, list[int]]:
    """The median rate of each round."""
    return {
        kind: [round(statistics.median(turns)) for turns in rates[name]]
        for kind, rates in (("wall", found.wall), ("cpu", found.cpu))
    }


def _ratios(rates: dict[str, list[list[float]]], a: str, b: str) -> list[float]:
    """Of each round, the median of the ratios of its turns."""
    both = zip(rates.get(a, []), rates.get(b, []), strict=False)
    return [statistics.median(x / y for x, y in zip(p, q, strict=False)) for p, q in both]


def _summary(values: Sequence[float]) -> list[float]:
    return [round(x, 3) for x in spread(values)] if values else []


def _bars(found: Found) -> list[dict[str, Any]]:
    out = []
    for least, a, b in RATIOS:
        bar = at_least(f"{a}, to {b}", least, _ratios(found.wall, a, b))
        out.append({**vars(bar), "cpu": _summary(_ratios(found.cpu, a, b))})
    for name in RATED:
        rates = [statistics.median(turns) for turns in found.wall.get(name, [])]
        bar = at_least(name, LEAST_RATE, rates)
        cpu = [statistics.median(turns) for turns in found.cpu.get(name, [])]
        wanted = f"at least {LEAST_RATE:,} rows/s"
        out.append({**vars(bar), "wanted": wanted, "unit": " rows/s", "cpu": _summary(cpu)})
    sizes = sorted(found.peaks)
    if len(sizes) == 2:
        pairs = zip(*(found.peaks[n] for n in sizes), strict=False)
        growth = [100 * (most / few - 1) for few, most in pairs]
        middle, low, high = spread(growth)
        name = f"growth of peak memory from {sizes[0]:,} to {sizes[1]:,} rows"
        bar = Bar(
            name, f"within {MOST_GROWTH:g} %", middle, (low, high), middle <= MOST_GROWTH, " %"
        )
        out.append({**vars(bar), "cpu": []})
    return out
