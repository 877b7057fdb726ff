"""The demo data drawn again: which rows are downloaded, what is generated, which are rated.

So it is seen how often an interval covers what it claims to, which one data set cannot show.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import UNKNOWN, Attribute
from laion_probe.estimate import Sample, share
from laion_probe.questions.matching import like_prompt
from laion_probe.questions.raters import panel_of, strata
from laion_probe.ratings.sampling import draw
from laion_probe.ratings.table import Ratings
from laion_probe.results import Estimate
from laion_probe.shifts import Labelled, Panel, corrected, shift_nested
from tools.demo_data import generated as simulator
from tools.demo_data.facts import N_ATTEMPTED
from tools.truth_ratings import N_RATED, RATER, TRUTH_COLUMN, Run, alive_at

__all__ = [
    "CHANGE",
    "Again",
    "codes",
    "covers",
    "near_rows",
    "redraw_data",
    "redraw_generated",
    "share_of",
]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: A row without a picture is shown one of the first of these that fits: as alike as there is.
_LIKE = (
    ("code_points", "rendering", "tone_binary"),
    ("concept", "gender", "tone_binary"),
    ("concept",),
)
#: Beside the stages: what the whole recipe changes.
CHANGE = "pool to neighbourhood"
#: Where (gender, tone) says what each attribute is about.
_PLACE = {"gender_presentation": 0, "skin_tone": 1}


@dataclass(frozen=True)
class Pictures:
    """What the classifier and a rater say of pictures, by attribute; ``name`` tells them apart."""

    label: dict[str, Ints]
    true: dict[str, Ints]
    unit: Ints
    name: Ints

    def at(self, chosen: Bools | Ints) -> Pictures:
        """Some of them."""
        return Pictures(
            {name: of[chosen] for name, of in self.label.items()},
            {name: of[chosen] for name, of in self.true.items()},
            self.unit[chosen],
            self.name[chosen],
        )


@dataclass(frozen=True)
class Again:
    """Of ``n`` drawings, how many intervals cover.

    ``claim``: uncorrected ones, what the classifier would report of everything; ``truth``: these,
    the true share; ``corrected``: corrected ones, the true share. ``given`` had a corrected
    interval at all, ``alone`` of them by the labels alone, too few of the rarer kind being there.
    ``width`` is the mean width of corrected intervals, ``read_width`` of uncorrected ones.
    """

    n: int
    machine: float
    true: float
    claim: int
    truth: int
    corrected: int
    given: int
    alone: int
    width: float
    read_width: float


@dataclass(frozen=True)
class _Trial:
    read: Estimate
    corrected: Estimate | None
    estimator: str


def covers(e: Estimate | None, true: float) -> bool:
    """Whether the interval is there and holds ``true``."""
    return e is not None and e.low is not None and e.high is not None and e.low <= true <= e.high


def near_rows(r: Run) -> tuple[Pictures, dict[str, Bools]]:
    """Every row of the data near the concept, with or without a picture; and which each stage has.

    A row without a picture shows what a stored one of the same people in the same rendering shows
    to the encoder, chosen at random once. What is true of it is its own.
    """
    m, labelled = r.measured, r.measured.chain.labelled
    stored = r.pictured.with_row_index("picture")
    shown = stored.select("url", "picture").unique("url", keep="first")
    rows = r.truth.join(shown, on="url", how="left", maintain_order="left")
    donor = rows["picture"].cast(pl.Int64).fill_null(-1).to_numpy().copy()
    rng = np.random.default_rng(0)
    for keys in _LIKE:
        like = {key: of["picture"].to_numpy() for key, of in stored.group_by(keys)}
        for i, key in enumerate(rows.select(keys).iter_rows()):
            if donor[i] < 0 and key in like:
                donor[i] = rng.choice(like[key])
    near = m.chain.masks["pool"][donor]
    alive = alive_at(r)
    if "matched" in alive:
        assert m.outputs is not None
        assert m.inputs.embedder is not None
        prompt, left = m.outputs.summary.prompts[0], near & alive["matched"]
        matched = like_prompt(m.pool.rows["text"], left, prompt, m.inputs.embedder)
        assert matched is not None
        alive["matched"] = matched.mask
    everything = Pictures(
        {name: d.label[donor] for name, d in labelled.items()},
        {name: codes(d.attribute, r.truth[TRUTH_COLUMN[name]]) for name, d in labelled.items()},
        m.pool.rows["unit"].to_numpy(),
        r.truth["url"].rank("dense").to_numpy().astype(np.int64) - 1,
    )
    return everything.at(near), {stage: mask[near] for stage, mask in alive.items()}


def redraw_data(r: Run, trials: int) -> dict[tuple[str, str], Again]:
    """By (attribute, stage or `CHANGE`), when downloads and the raters' sample are drawn anew.

    As the demo data were made: 4 800 rows are asked for at random, those whose download fails
    fail, and every row with the address of a stored picture has it.
    """
    labelled = r.measured.chain.labelled
    everyone, stages = near_rows(r)
    url = r.truth["url"].rank("dense").to_numpy().astype(np.int64) - 1
    answers = (r.truth["expected_status"] == "success").to_numpy()
    rng = np.random.default_rng(1)
    found: dict[tuple[str, str], list[_Trial]] = {
        key: [] for key in itertools.product(labelled, (*stages, CHANGE))
    }
    for trial in range(trials):
        tried = rng.choice(len(url), N_ATTEMPTED, replace=False)
        stored = np.zeros(url.max() + 1, dtype=bool)
        stored[url[tried[answers[tried]]]] = True
        at = stored[everyone.name]
        pictures = everyone.at(at)
        panels = rate_again(labelled, pictures, "data", (N_RATED, trial))
        sample = Sample(pictures.unit, float(stored[url].mean()))
        for (name, stage), made in found.items():
            d = _labelled(labelled[name], pictures, sample, panels)
            if stage == CHANGE:
                made.append(_try_change(d, stages["pool"][at], stages["neighbourhood"][at]))
            else:
                made.append(_try(d, stages[stage][at]))
    out = {}
    for (name, stage), made in found.items():
        a = labelled[name].attribute
        whole = {
            s: (share_of(a, everyone.label[name][rows]), share_of(a, everyone.true[name][rows]))
            for s, rows in stages.items()
        }
        machine, true = (
            (
                after - before
                for after, before in zip(
                    *(whole[s] for s in ("neighbourhood", "pool")), strict=True
                )
            )
            if stage == CHANGE
            else whole[stage]
        )
        out[name, stage] = _count(made, machine, true)
    return out


def redraw_generated(r: Run, n_rated: int, trials: int) -> dict[str, Again]:
    """By attribute, when the simulator draws its batches anew and ``n_rated`` pictures are rated.

    A new picture is read as one of the same people that was drawn; the target is what the
    simulator draws from.
    """
    labelled = r.measured.chain.output_labels
    shares = _simulated_shares(r)
    chance = _chances(shares)
    like = {kind: _alike(r.generated, *kind) for kind in chance}
    # A picture of each kind stands for all of it: the kinds' chances weigh them.
    true = {
        name: codes(d.attribute, pl.Series([kind[_PLACE[name]] for kind in chance]))
        for name, d in labelled.items()
    }
    weight = np.array(list(chance.values()))
    kinds, donors = list(range(len(chance))), list(like.values())
    rng = np.random.default_rng(2)
    n_batches = simulator.PER_PROMPT // simulator.BATCH
    found: dict[str, list[_Trial]] = {name: [] for name in labelled}
    for trial in range(trials):
        batches = [list(_chances(_leaning(rng, shares)).values()) for _ in range(n_batches)]
        kind = np.concatenate([rng.choice(kinds, simulator.BATCH, p=p) for p in batches])
        donor = np.array([rng.choice(donors[k]) for k in kind])
        pictures = Pictures(
            {name: d.label[donor] for name, d in labelled.items()},
            {name: of[kind] for name, of in true.items()},
            np.repeat(np.arange(n_batches), simulator.BATCH),
            np.arange(len(kind)),
        )
        panels = rate_again(labelled, pictures, "generated", (n_rated, trial))
        everything = np.ones(len(kind), dtype=bool)
        for name, made in found.items():
            d = _labelled(labelled[name], pictures, Sample(pictures.unit), panels)
            made.append(_try(d, everything))
    out = {}
    for name, made in found.items():
        d = labelled[name]
        hit, base = (np.array([of[at].mean() for at in donors]) for of in (d.hit, d.base))
        is_hit, is_base = _headline(d.attribute, true[name])
        out[name] = _count(
            made, float(weight @ hit / (weight @ base)), float(weight @ is_hit / (weight @ is_base))
        )
    return out


def rate_again(
    labelled: Mapping[str, Labelled], pictures: Pictures, source: str, drawn: tuple[int, int]
) -> dict[str, Panel | None]:
    """The truth's ratings of a new sample, ``drawn`` with (n, seed), as a probe sees them."""
    attributes = {name: d.attribute for name, d in labelled.items()}
    names = [str(name) for name in pictures.name]
    of = strata(
        {name: [a.levels[i] for i in pictures.label[name]] for name, a in attributes.items()}
    )
    frame = pl.DataFrame({"picture": names, "source": source, "stratum": of}).with_columns(
        pl.Series(name, pictures.true[name]) for name in attributes
    )
    frame = frame.unique("picture", keep="first", maintain_order=True)
    sample = draw(frame, *drawn).join(
        frame.drop("source", "stratum"), on="picture", maintain_order="left"
    )
    parts = [
        sample.select(
            "picture",
            "source",
            pl.lit(RATER).alias("rater"),
            pl.lit(name).alias("attribute"),
            pl.col(name).replace_strict(dict(enumerate(a.levels))).alias("level"),
            pl.lit(None, pl.Int64).alias("monk"),
            pl.lit(None, pl.Int64).alias("confidence"),
            "probability",
            "stratum",
            "stratum_size",
        )
        for name, a in attributes.items()
    ]
    ratings = Ratings(pl.concat(parts), sample.height)
    return {name: panel_of(ratings, a, names, source, of) for name, a in attributes.items()}


def codes(attribute: Attribute, true: pl.Series) -> Ints:
    """What a rater sees, as indices of the attribute's levels."""
    place = {name: i for i, name in enumerate(attribute.levels)}
    unknown = place[UNKNOWN]
    return np.array([place.get(level, unknown) for level in true], dtype=np.int64)


def share_of(attribute: Attribute, level: Ints) -> float:
    """The headline share of these levels."""
    hit, base = _headline(attribute, level)
    return float(hit.sum() / base.sum())


def _headline(attribute: Attribute, level: Ints) -> tuple[Bools, Bools]:
    """Which are the contrast level, and which are either of the two."""
    hit, other = (
        level == attribute.levels.index(name) for name in (attribute.contrast, attribute.against)
    )
    return hit, hit | other


def _labelled(
    like: Labelled, pictures: Pictures, sample: Sample, panels: Mapping[str, Panel | None]
) -> Labelled:
    name = like.attribute.name
    return replace(
        like,
        label=pictures.label[name],
        sample=sample,
        known_errors=(),
        panel=panels[name],
        picture=pictures.name,
    )


def _try(data: Labelled, stage: Bools) -> _Trial:
    read = share(data.hit, data.base & stage, data.sample)
    by_raters, _ = corrected(data, stage)
    if by_raters is None or by_raters.contrast.low is None:
        return _Trial(read, None, "none")
    return _Trial(read, by_raters.contrast, by_raters.estimator)


def _try_change(data: Labelled, before: Bools, after: Bools) -> _Trial:
    shift = shift_nested(data, ("pool", before), ("neighbourhood", after))
    alone = shift.corrected is not None and "as if independent" in shift.corrected.method
    return _Trial(shift.difference, shift.corrected, "labels, weighted" if alone else "PPI++")


def _count(trials: Sequence[_Trial], machine: float, true: float) -> Again:
    given = [t.corrected for t in trials if t.corrected is not None]
    return Again(
        len(trials),
        machine,
        true,
        sum(covers(t.read, machine) for t in trials),
        sum(covers(t.read, true) for t in trials),
        sum(covers(e, true) for e in given),
        len(given),
        sum(t.estimator == "labels, weighted" for t in trials),
        _mean_width(given),
        _mean_width([t.read for t in trials]),
    )


def _mean_width(estimates: Sequence[Estimate]) -> float:
    widths = [e.high - e.low for e in estimates if e.low is not None and e.high is not None]
    return float(np.mean(widths)) if widths else float("nan")


def _simulated_shares(r: Run) -> simulator.Shares:
    """What the simulator draws this concept's pictures from."""
    people = r.truth.filter((pl.col("concept") == r.concept) & (pl.col("gender") != "none"))
    gender, tone = (dict(people[c].value_counts().iter_rows()) for c in TRUTH_COLUMN.values())
    pool = simulator.Shares(
        woman=gender["woman"] / (gender["woman"] + gender["man"]),
        neutral=gender["neutral"] / len(people),
        darker=tone["darker"] / (tone["darker"] + tone["lighter"]),
        unspecified=tone["unspecified"] / len(people),
    )
    return simulator.target_shares(pool, r.concept)


def _leaning(rng: np.random.Generator, s: simulator.Shares) -> simulator.Shares:
    """A batch's own shares: beta draws with the planted correlation within batches."""
    strength = 1 / simulator.BATCH_CORRELATION - 1
    woman, darker = (
        float(rng.beta(share * strength, (1 - share) * strength)) for share in (s.woman, s.darker)
    )
    return replace(s, woman=woman, darker=darker)


def _chances(s: simulator.Shares) -> dict[tuple[str, str], float]:
    """How often the simulator draws each (gender, tone)."""
    gender = {"woman": s.woman, "man": 1 - s.woman}
    tone = {"darker": s.darker, "lighter": 1 - s.darker}
    gender = {g: p * (1 - s.neutral) for g, p in gender.items()} | {"neutral": s.neutral}
    tone = {t: p * (1 - s.unspecified) for t, p in tone.items()} | {"unspecified": s.unspecified}
    person = 1 - simulator.WITHOUT_PERSON
    both = {(g, t): person * p * q for g, p in gender.items() for t, q in tone.items()}
    return both | {("none", "none"): simulator.WITHOUT_PERSON}


def _alike(generated: pl.DataFrame, gender: str, tone: str) -> Ints:
    """Generated pictures of such people; of the same gender, where none has the tone too."""
    same = (generated["gender"] == gender).to_numpy()
    both = same & (generated["tone_binary"] == tone).to_numpy()
    return np.flatnonzero(both if both.any() else same)
