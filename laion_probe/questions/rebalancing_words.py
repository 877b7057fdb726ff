"""A rebalancing in words: what it reaches, what it costs, and what it cannot mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from laion_probe.rebalance_result import Predicted, PredictedStage, PriceOf, RebalanceResult
from laion_probe.results import Claim, Estimate

__all__ = ["cannot_say", "claims", "finding", "how_measured"]


def finding(r: RebalanceResult) -> tuple[str, ...]:
    """The margins, the price, and what raters would see."""
    asked = [item for v in r.variables for item in v.asked]
    price, subset = r.price, r.subset
    said = [
        f"{r.n:,} {r.about} get weights by which their labels have the margins that were asked "
        f"for: {'; '.join(asked)}.",
        *_unchanged(price, asked),
        f"The price: they are worth {price.effective:,.0f} of equal weight (a design effect of "
        f"{price.design_effect:.2f}), the largest weight is {price.largest:.2f} times the mean, "
        f"and {price.n_without:,} get none.",
        f"A subset of {subset.n:,} was drawn by these weights"
        + (
            f"; {subset.largest_exact:,} is the most that keeps the targets."
            if subset.exact
            else f", more than the {subset.largest_exact:,} that would keep the targets: all "
            f"{subset.n_certain:,} of the heaviest are in, and their levels fall behind."
        ),
    ]
    said += [_of(p) for p in r.predicted]
    few = [(v, x) for v in r.variables for x in v.levels if x.few and x.n]
    few.sort(key=lambda pair: pair[1].weight, reverse=True)
    if few:
        named = ", ".join(
            f"{v.variable}:{x.level} ({x.n} {r.what}, {100 * x.share_after:.1f} % of the weight)"
            for v, x in few[:3]
        )
        more = "" if len(few) <= 3 else f", and {len(few) - 3} more"
        said.append(f"Few are {named}{more}: weights repeat them, and add nobody.")
    if price.slow:
        said.append(_slow(price))
    if r.empty_levels or r.n_empty_cells:
        shown = [*r.empty_levels, *r.empty_cells][:3]
        named = "; ".join(" with ".join(f"{v}:{x}" for v, x in c.levels.items()) for c in shown)
        n = len(r.empty_levels) + r.n_empty_cells
        said.append(
            f"By the labels nobody here is {named}{'' if n <= 3 else f', and {n - 3} more'}: no "
            "weight can mend that."
        )
    return tuple(said)


def _unchanged(price: PriceOf, asked: Sequence[str]) -> Iterator[str]:
    """That nothing had to be weighted, and what may be amiss then."""
    if price.largest > 1 + 1e-6 or price.n_without:
        return
    why = ""
    if any(item.endswith(":before") for item in asked):
        why = (
            ", as if nothing had been filtered; of shards, --kept names the rows that a filter left"
        )
    yield f"Every weight is 1: the labels had these margins as they were{why}."


def _slow(price: PriceOf) -> str:
    """Why raking took long, and what that means for the weights."""
    why = "the targets can only just be had"
    if price.slow_margins:
        why = (
            f"the targets of {' and '.join(price.slow_margins)} can only just be had together "
            "(without any one of these it would be quick)"
        )
    return (
        f"Raking took {price.sweeps:,} sweeps: {why}, so that some rows get next to no weight and "
        "a small change of a target may change the weights much."
    )


def _of(p: Predicted) -> str:
    stage = _stage(p, "weighted")
    pair = f"{p.contrast_level} among {p.contrast_level} or {p.against_level}"
    if not p.corrected:
        return f"What people would see of {p.title} by weight is not known: labels are uncorrected."
    read = "" if stage.read is None else f", where the labels say {100 * stage.read:.1f} %"
    words = f"By weight, raters would see {_share(stage.contrast)} {pair}{read}"
    target, e = stage.target, stage.contrast
    if target is None or e.low is None or e.high is None:
        return words + "."
    if e.low <= target <= e.high:
        return f"{words}; the target of {100 * target:.1f} % is in the interval."
    return f"{words}: the target of {100 * target:.1f} % is missed, since labels err."


def claims(r: RebalanceResult) -> tuple[Claim, ...]:
    """Whether what raters would see misses the target, attribute by attribute.

    An interval that holds the target supports nothing: it may only be wide.
    """
    found = []
    for i, p in enumerate(r.predicted):
        stage = _stage(p, "weighted")
        if stage.target is None:
            continue
        e, supported = stage.contrast, False
        target = f"the target of {100 * stage.target:.1f} % {p.contrast_level}"
        seen = f"what raters would see of {p.title} by weight"
        if not p.corrected:
            text = f"labels alone cannot tell how far {seen} is from {target}"
        elif e.low is None or e.high is None or e.low <= stage.target <= e.high:
            text = f"these data cannot tell whether {seen} is off {target}: {_share(e)}"
        else:
            supported = True
            side = "below" if e.high < stage.target else "above"
            text = f"{seen} is {side} {target}: {_share(e)}"
        found.append(
            Claim(
                id=f"target:{p.attribute}",
                text=text,
                supported=supported,
                estimate=f"/predicted/{i}/stages/1/contrast",
            )
        )
    return tuple(found)


def how_measured(r: RebalanceResult) -> tuple[str, ...]:
    """The method, a sentence a part."""
    bound = "" if r.price.bound is None else f", none above {r.price.bound:g} times the mean"
    out = [
        f"Weights are raked over {r.price.n_cells:,} cells in {r.price.sweeps:,} "
        f"sweep{'' if r.price.sweeps == 1 else 's'}: of all weights with these margins{bound}, "
        "those nearest to equal ones (Deming and Stephan 1940; Deville and Särndal 1992).",
        "Levels that were not named keep their shares among each other. Rows of unknown level "
        + (
            "keep their share: targets are shares of the others."
            if r.unknown == "keep"
            else "get no weight: nothing is known of them, and leaving them out may itself select."
        ),
        "The effective size is Kish's (1965), (sum of weights)² over sum of squares: what the rows "
        "are worth for what the weights have nothing to do with.",
        f"The subset is a systematic sample with chances in proportion to weight (seed "
        f"{r.subset.seed}): its size is exact, and each cell has its number up to one row.",
    ]
    if any(p.corrected for p in r.predicted):
        out.append(
            "What raters would see after it is estimated from the pictures that were rated at "
            "random, each by its weight in the plan. The intervals carry the labels' errors and "
            "the draw of the ratings, for the subset also its own draw; the set itself is given."
        )
    return tuple(out)


def cannot_say(r: RebalanceResult, refused: Mapping[str, str]) -> tuple[str, ...]:
    """What must not be read into the numbers."""
    out = [
        "The targets are those of whoever ran this. That they are just, or right for a use, is "
        "nowhere measured.",
        "Equal shares of labels are not equal treatment: within a level, who is shown, how, and in "
        "what role is as it was. Weights repeat the same few pictures of a rare level; they add "
        "nobody.",
        "What a model trained on it would draw is not predicted: the same shares in data can give "
        "other shares in pictures (compare before and after with `laion-probe compare`).",
    ]
    if any(v.labels.startswith("what captions") for v in r.variables):
        out.append(
            "Groups of captions are what words and addresses say, not who is in the picture: their "
            "margins after the plan are of words."
        )
    if any(not p.corrected for p in r.predicted):
        out.append(
            "Where labels are uncorrected, the shares after the plan are exact for the labels "
            "alone; weighting by a classifier's labels leaves its errors in, and moves them from "
            "level to level."
        )
    out += [f"The ratings of {name} were not used: {why}." for name, why in refused.items()]
    return tuple(out)


def _stage(p: Predicted, name: str) -> PredictedStage:
    return next(s for s in p.stages if s.id == name)


def _share(e: Estimate) -> str:
    if e.value is None:
        return "an undefined share of"
    if e.low is None or e.high is None:
        return f"{100 * e.value:.1f} %"
    return f"{100 * e.value:.1f} % [{100 * e.low:.1f}, {100 * e.high:.1f}]"
