"""The table of the controlled experiment: docs/testbed.md, and samples of one run.

``python -m tools.testbed_table`` (``make testbed``) trains 24 small models, about three quarters of
an hour on two idle cores, and goes on where it was: finished runs are kept in .cache. It writes
docs/testbed.md and data/testbed/.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from laion_probe.config.testbed import TestbedConfig
from laion_probe.questions.testbed import testbed
from laion_probe.render.testbed_report import render_testbed
from laion_probe.results import Estimate
from laion_probe.testbed_result import TestbedResult

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "testbed.md"
SAMPLES = ROOT / "data" / "testbed"
SEEDS = 6
KEPT = 40  # pictures of one run that are committed
ENLARGED = 3
ARM = "both"

README = """# Samples of the testbed

Pictures that a small text-conditional model drew for the **empty prompt**. The model was really
trained, by `python -m tools.testbed_table`, on pictures of `data/demo`: nothing here is simulated.
Do not take them for `data/demo/generated/empty-prompt`, which a documented simulator drew.

| file | what it is |
| --- | --- |
| `{arm}/` | the first {kept} answers of one run (arm *{arm}*, seed {seed}) |
| `sheet-*.webp` | the first 48 answers of seed {seed} in each arm, three times as large |

All are as they came. In arm *both* captions of the cluster were emptied, and it was
over-represented; single pictures have 24 pixels, and Hugging Face's ImageFolder layout.

What was planted and what was found: `docs/testbed.md`. The patches that the pictures are made of
come from drawings of Noto Emoji (Apache-2.0), Twemoji (CC-BY 4.0) and Fluent Emoji (MIT), as
`data/demo/README.md` lists them.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", help="where finished runs are kept (default: .cache)")
    parser.add_argument("--out", default="runs/testbed", help="folder of the report")
    parser.add_argument("--workers", type=int, help="runs at once (default: one a core)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each arm")
    args = parser.parse_args()
    config = TestbedConfig(
        demo=str(ROOT / "data" / "demo"),
        cache=args.cache,
        workers=args.workers,
        seeds=args.seeds,
    )
    out = Path(args.out)
    result = testbed(config, said, out)
    render_testbed(result, out)
    PAGE.write_text("\n".join(page(result)) + "\n", encoding="utf-8")
    keep_samples(result, config, out)


def said(what: str, done: int, of: int) -> None:
    print(f"{what}: {done} of {of}", file=sys.stderr, flush=True)


def page(r: TestbedResult) -> Iterator[str]:
    yield "# The controlled experiment"
    yield ""
    yield "Written by `python -m tools.testbed_table` (`make testbed`); do not edit."
    yield ""
    if r.n_runs < len(r.arms) * SEEDS:
        yield (
            f"**{r.n_runs} of the {len(r.arms) * SEEDS} runs that are planned**: intervals between "
            "runs are wide, and may change."
        )
        yield ""
    for sentence in r.finding:
        yield f"- {sentence}"
    yield ""
    yield "## What the empty prompt drew"
    yield ""
    yield (
        "Mean over runs, with an interval between runs; *corrected* for the error of the reading; "
        "*asked* is the prompt that names the cluster."
    )
    yield ""
    yield "| planted | runs | of training rows | by the mixture | drawn | corrected | asked |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for a in r.arms:
        shares = " | ".join(percent(e) for e in (a.drawn, a.corrected, a.asked))
        yield (
            f"| {a.arm} | {a.n_runs} | {100 * a.data_share:.1f} % | {100 * a.expected:.1f} % "
            f"| {shares} |"
        )
    yield ""
    yield (
        f"Of stored pictures that the encoder was not fitted to, the reading finds "
        f"{percent(r.read_out.found)} of those of the cluster, and takes "
        f"{percent(r.read_out.wrongly)} of others for it."
    )
    yield ""
    yield "## Effects"
    yield ""
    yield "| effect | points | by the mixture | odds ratio | by the mixture |"
    yield "| --- | --- | --- | --- | --- |"
    for e in r.effects:
        yield (
            f"| {e.title} | {points(e.difference)} | {100 * e.expected_difference:.1f} "
            f"| {ratio(e.odds_ratio)} | {e.expected_odds_ratio:.1f} |"
        )
    yield ""
    yield "## What the tool said"
    for how, words in (
        (
            "command",
            "`outliers`, as a user would ask (where nothing was planted, to say nothing is right)",
        ),
        (
            "pointed",
            "`outliers --picked`, given the outputs that show the cluster (picked by the truth)",
        ),
    ):
        yield ""
        yield f"{words}: right in {r.n_right[how]} of {r.n_runs} runs."
        yield ""
        yield "| planted, and what was supported: | neither | over-represented | emptied | both |"
        yield "| --- | --- | --- | --- | --- |"
        for c in (c for c in r.confusion if c.how == how):
            yield f"| {c.arm} | " + " | ".join(str(n) for n in c.said.values()) + " |"
    yield ""
    yield "## Every run"
    yield ""
    yield "| planted | seed | rows | cluster | by the mixture | drawn | the command | pointed |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for run in r.runs:
        told = " | ".join(
            (" and ".join(t.supported) or "neither")
            + ("" if t.right else " (wrong)")
            + (f": {t.note}" if t.note else "")
            for t in run.tool
        )
        yield (
            f"| {run.arm} | {run.seed} | {run.n_rows} | {run.n_cluster} "
            f"| {100 * run.expected:.1f} % | {100 * run.drawn:.1f} % | {told} |"
        )
    yield ""
    for head, lines in (("How", r.how_measured), ("What it cannot say", r.cannot_say)):
        yield f"## {head}"
        yield ""
        yield from (f"- {line}" for line in lines)
        yield ""


def percent(e: Estimate) -> str:
    if e.value is None:
        return "not defined"
    if e.low is None or e.high is None:
        return f"{100 * e.value:.1f} %"
    return f"{100 * e.value:.1f} % [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def points(e: Estimate) -> str:
    return percent(e).replace(" %", "")


def ratio(e: Estimate) -> str:
    if e.value is None or e.low is None or e.high is None:
        return "not defined"
    return f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]"


def keep_samples(r: TestbedResult, config: TestbedConfig, out: Path) -> None:
    """Sheets of the first seed, larger, and single pictures of one arm."""
    SAMPLES.mkdir(parents=True, exist_ok=True)
    for a in r.arms:
        sheet = Image.open(out / "samples" / f"{a.arm}-{config.seed}.webp")
        size = (ENLARGED * sheet.width, ENLARGED * sheet.height)
        large = sheet.resize(size, Image.Resampling.NEAREST)
        large.save(SAMPLES / f"sheet-{a.arm}.webp", lossless=True)
    run = next(p for p in run_folders(config) if p.name == f"{ARM}-{config.seed}")
    folder = SAMPLES / ARM
    folder.mkdir(exist_ok=True)
    lines = (run / "samples" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    kept = "".join(f"{line}\n" for line in lines[:KEPT])
    (folder / "metadata.jsonl").write_text(kept, encoding="utf-8")
    for file in sorted((run / "samples").glob("*.webp"))[:KEPT]:
        shutil.copyfile(file, folder / file.name)
    text = README.format(arm=ARM, kept=KEPT, seed=config.seed)
    (SAMPLES / "README.md").write_text(text, encoding="utf-8")


def run_folders(config: TestbedConfig) -> list[Path]:
    """Folders of the runs of this config, as `testbed` keeps them."""
    from laion_probe.questions.testbed_runs import Runs
    from laion_probe.recipes import load_recipe
    from laion_probe.testbed.stored import read_stored

    sizes = (config.side, config.patch, config.codes)
    runs = Runs(config, read_stored(Path(config.demo), sizes), load_recipe(config.recipe))
    return sorted(p for p in runs.folder.iterdir() if p.is_dir())


if __name__ == "__main__":
    main()
