"""True and estimated shares on the demo data, stage by stage, and which intervals cover.

``python -m tools.coverage`` writes docs/coverage.md. Two questions are kept apart:

- *sampling*: does the interval cover the share that the classifier would report had every row of
  the data set (or every picture of the generator) been read? It claims to.
- *truth*: does it cover the true share? It does not claim to: labels are uncorrected.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import Attribute
from laion_probe.compare import Labelled
from laion_probe.config import ProbeConfig, load_config
from laion_probe.estimate import Sample, share
from laion_probe.questions.chain import Chain, build_chain
from laion_probe.questions.concept import Pool, build_pool, find_concept
from laion_probe.questions.inputs import open_inputs
from laion_probe.questions.judging import judge
from laion_probe.questions.outputs import Outputs, embed_outputs
from laion_probe.results import Composition
from laion_probe.scan import Scan

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "data" / "demo"
TRUTH_COLUMN = {"gender_presentation": "gender", "skin_tone": "tone_binary"}
CONCEPTS = ("doctor", "nurse", "teacher")
RECIPE = "laion400m"
TRIALS = 500


@dataclass(frozen=True)
class Run:
    """A probe of one concept, with the truth of every row beside it."""

    config: ProbeConfig
    scan: Scan
    pool: Pool
    chain: Chain
    outputs: Outputs
    truth: pl.DataFrame  # of all rows, in scan order
    pictured: pl.DataFrame  # of the rows with pictures
    generated: pl.DataFrame  # of the generated pictures of the concept


@dataclass(frozen=True)
class Line:
    """One stage of one concept and attribute."""

    concept: str
    attribute: str
    stage: str
    n: int
    value: float
    low: float
    high: float
    true_rows: float  # true share of the concept's rows (or of the process) at this stage
    true_pictures: float  # true share of the very pictures that the estimate rests on
    known: tuple[float, float]  # range of the true share that the measured errors allow
    sampling: int = -1  # of TRIALS re-simulations, those that cover what they claim to
    truth: int = -1  # ... and those that cover the true share

    @property
    def covers(self) -> bool:
        """Whether this data set's interval covers the true share."""
        return self.low <= self.true_rows <= self.high

    @property
    def known_covers(self) -> bool:
        """Whether the range with known errors covers the true share."""
        return self.known[0] <= self.true_rows <= self.known[1]


def run(concept: str, cache: Path, recipe: str = RECIPE) -> Run:
    """Probe ``concept`` on the demo data and lay the truth beside it."""
    values = {"concept": concept, "recipe": recipe, "cache": str(cache)}
    config = load_config(DEMO / "probe.toml", values, ProbeConfig)
    inputs = open_inputs(config)
    ran = judge(inputs, config, lambda *_: None)
    scan = ran.scan
    pool = build_pool(inputs, config, ran.units, scan, lambda *_: None)
    found = find_concept(inputs, config, pool)
    outputs = embed_outputs(inputs, config, found.result.keywords, lambda *_: None)
    assert outputs is not None
    chain = build_chain(inputs, config, scan, pool, found.near, outputs)
    table = pl.read_parquet(DEMO / "truth.parquet")
    rows = table.filter(pl.col("kind") == "pool").sort("shard", "row")
    assert len(rows) == len(scan.rows)
    with_key = pool.rows.with_columns(rows["url"].alias("true_url"))
    assert (with_key["url"] == with_key["true_url"]).all()
    place = {(u, r): i for i, (u, r) in enumerate(pool.rows.select("unit", "row").iter_rows())}
    at = [place[key] for key in pool.pictured.select("unit", "row").iter_rows()]
    by_path = table.filter(pl.col("kind") == "generated")
    ids = pl.DataFrame({"file": [f.id for f in outputs.files]})
    by_path = by_path.with_columns(pl.col("path").str.replace(r"^.*generated/", "").alias("file"))
    generated = ids.join(by_path, on="file", how="left", maintain_order="left")
    assert generated["concept"].null_count() == 0
    return Run(config, scan, pool, chain, outputs, rows, rows[at], generated)


def confusion(data: Labelled, truth: list[str | None]) -> dict[str, NDArray[np.float64]]:
    """P(read level | true level), from the pictures themselves."""
    frame = pl.DataFrame({"true": truth, "read": data.label})
    k = len(data.attribute.levels)
    return {
        str(true): np.bincount(part["read"].to_numpy(), minlength=k) / len(part)
        for (true,), part in frame.sort("true").group_by("true", maintain_order=True)
    }


def true_share(a: Attribute, levels: pl.Series) -> float:
    """Share of the contrast level among the two levels of the contrast."""
    hit, against = int((levels == a.contrast).sum()), int((levels == a.against).sum())
    return hit / (hit + against) if hit + against else float("nan")


def known_range(c: Composition) -> tuple[float, float]:
    """The range of the true share that the classifier's measured errors allow."""
    e = c.with_known_errors
    assert e is not None
    assert e.low is not None
    assert e.high is not None
    return e.low, e.high


def lines(r: Run, concept: str) -> list[Line]:
    """All stages of a run, with re-simulated coverage."""
    out: list[Line] = []
    steps = r.scan.recipe.step
    cut = {"pool": -1, "neighbourhood": len(steps) - 1}
    cut |= {f"step:{steps[i].id}": i for i in r.scan.recipe.deciding}
    mine = (r.truth["concept"] == concept).to_numpy()
    for name, data in r.chain.labelled.items():
        column = TRUTH_COLUMN[name]
        reads = confusion(data, r.pictured[column].to_list())
        seen: tuple[int, int] | None = None
        for stage in r.chain.stages:
            if stage.id not in cut:
                continue
            alive = mine & (r.scan.removed_at > cut[stage.id])
            # steps that removed nothing of the concept repeat the line before them
            size = (int(alive.sum()), stage.n_pictures)
            if size == seen and stage.id != "neighbourhood":
                continue
            seen = size
            levels = r.truth[column].filter(pl.Series(alive))
            pictures = r.pictured[column].filter(pl.Series(r.chain.masks[stage.id]))
            unit = r.pool.rows["unit"].to_numpy()[alive]
            hits = resample(data, levels.to_list(), unit, r.pool.sampled, reads)
            e = stage.compositions[name].contrast
            assert e.value is not None
            assert e.low is not None
            assert e.high is not None
            out.append(
                Line(
                    concept,
                    name,
                    stage.id,
                    stage.n_pictures,
                    e.value,
                    e.low,
                    e.high,
                    true_share(data.attribute, levels),
                    true_share(data.attribute, pictures),
                    known_range(stage.compositions[name]),
                    *hits,
                )
            )
        out.append(output_line(r, concept, name))
    return out


def output_line(r: Run, concept: str, name: str) -> Line:
    """The generated pictures: the target is the process that drew them."""
    data = r.chain.output_labels[name]
    a = data.attribute
    levels = r.generated[TRUTH_COLUMN[name]]
    reads = confusion(data, levels.to_list())
    c = next(s for s in r.chain.stages if s.id == "generated").compositions[name]
    e = c.contrast
    assert e.value is not None
    assert e.low is not None
    assert e.high is not None
    # The pictures' own composition stands for the process in the re-simulation.
    p = true_share(a, levels)
    hits = redraw(data, levels.to_list(), reads)
    return Line(
        concept, name, "generated", len(levels), e.value, e.low, e.high, p, p, known_range(c), *hits
    )


def draw_labels(
    rng: np.random.Generator, truth: list[str | None], reads: dict[str, NDArray[np.float64]], k: int
) -> NDArray[np.int64]:
    """One classifier label a row, from its true level's confusion row."""
    out = np.zeros(len(truth), dtype=np.int64)
    names = np.array([str(t) for t in truth])
    for level, p in reads.items():
        where = np.flatnonzero(names == level)
        out[where] = rng.choice(k, size=len(where), p=p)
    return out


def resample(
    data: Labelled,
    truth: list[str | None],
    unit: NDArray[np.int64],
    sampled: float,
    reads: dict[str, NDArray[np.float64]],
) -> tuple[int, int]:
    """Of TRIALS re-simulations of labels and of which rows have pictures, how many cover."""
    rng = np.random.default_rng(0)
    a = data.attribute
    k = len(a.levels)
    hit_at, against_at = a.levels.index(a.contrast), a.levels.index(a.against)
    p = true_share(a, pl.Series(truth, dtype=pl.String))
    claimed = true = 0
    for _ in range(TRIALS):
        label = draw_labels(rng, truth, reads, k)
        base = (label == hit_at) | (label == against_at)
        target = (label == hit_at).sum() / max(1, base.sum())
        took = rng.random(len(label)) < sampled
        e = share(label[took] == hit_at, base[took], Sample(unit[took], sampled))
        if e.low is None or e.high is None:
            continue
        claimed += bool(e.low <= target <= e.high)
        true += bool(e.low <= p <= e.high)
    return claimed, true


def redraw(
    data: Labelled, truth: list[str | None], reads: dict[str, NDArray[np.float64]]
) -> tuple[int, int]:
    """The same for a generator that draws its batches anew from the batches that it drew."""
    rng = np.random.default_rng(0)
    a = data.attribute
    k = len(a.levels)
    hit_at, against_at = a.levels.index(a.contrast), a.levels.index(a.against)
    names = np.array([str(t) for t in truth])
    expected = np.array([reads[t] for t in names])
    target = expected[:, hit_at].sum() / expected[:, [hit_at, against_at]].sum()
    p = true_share(a, pl.Series(truth, dtype=pl.String))
    unit = data.sample.unit
    members = [np.flatnonzero(unit == u) for u in np.unique(unit)]
    claimed = true = 0
    for _ in range(TRIALS):
        chosen = [members[i] for i in rng.integers(0, len(members), len(members))]
        rows = np.concatenate(chosen)
        batch = np.repeat(np.arange(len(chosen)), [len(c) for c in chosen])
        label = draw_labels(rng, names[rows].tolist(), reads, k)
        base = (label == hit_at) | (label == against_at)
        e = share(label == hit_at, base, Sample(batch))
        if e.low is None or e.high is None:
            continue
        claimed += bool(e.low <= target <= e.high)
        true += bool(e.low <= p <= e.high)
    return claimed, true


def markdown(table: list[Line]) -> str:
    """The page."""
    head = f"""# True and estimated shares on the demo data

Made by `python -m tools.coverage`: {", ".join(CONCEPTS)} (the null concept) through `{RECIPE}` on
the simulated demo data, whose truth is known. Shares are in percent: woman among pictures read as
woman or man, darker among those read as darker or lighter.

- *true, rows*: the true share of all rows of the concept that are left at this stage (for generated
  pictures: of the pictures drawn)
- *true, pictures*: of the very pictures that the estimate rests on, right concept or not
- *with known errors*: the range of the true share that the classifier's measured errors allow;
  the errors of these very renderings and concepts were measured (on other pictures), so this is
  its best case, seen once a line and not re-simulated
- *sampling*: of {TRIALS} re-simulations of labels and of which rows have pictures, how many
  intervals cover what the classifier would report had all been read. This is what they claim.
- *truth*: how many of the same intervals cover the true share. They do not claim to: labels are
  **uncorrected classifier labels**.

The re-simulations let pictures be missing at random, as the intervals assume; that downloads from
one region fail more often, which hits saris most, is not in them.

"""
    rows = [
        "| concept | attribute | stage | pictures | estimate | true, rows | covered "
        "| with known errors | covered "
        "| true, pictures | sampling | truth |",
        "| --- | --- | --- | ---: | --- | ---: | --- | --- | --- | ---: | ---: | ---: |",
    ]
    for x in table:
        rows.append(
            f"| {x.concept} | {x.attribute} | {x.stage} | {x.n} | {100 * x.value:.1f} "
            f"[{100 * x.low:.1f}, {100 * x.high:.1f}] | {100 * x.true_rows:.1f} | "
            f"{'yes' if x.covers else '**no**'} | "
            f"[{100 * x.known[0]:.1f}, {100 * x.known[1]:.1f}] | "
            f"{'yes' if x.known_covers else '**no**'} | {100 * x.true_pictures:.1f} | "
            f"{100 * x.sampling / TRIALS:.1f} % | {100 * x.truth / TRIALS:.1f} % |"
        )
    generated = [x for x in table if x.stage == "generated"]
    misses = "; ".join(
        f"{x.concept}, {x.attribute}: {100 * (x.value - x.true_rows):+.1f}" for x in generated
    )
    tail = f"\nGenerated pictures, estimate minus truth, in points: {misses}.\n"
    return head + "\n".join(rows) + "\n" + tail


def main() -> int:
    """Write docs/coverage.md."""
    cache = ROOT / ".cache" / "laion-probe"
    table = [line for concept in CONCEPTS for line in lines(run(concept, cache), concept)]
    (ROOT / "docs" / "coverage.md").write_text(markdown(table), encoding="utf-8")
    print(markdown(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
