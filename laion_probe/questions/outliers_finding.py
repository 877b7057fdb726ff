"""The finding of ``outliers``: first what was drawn unasked, then what the data say of reasons."""

from __future__ import annotations

from collections.abc import Sequence

from laion_probe.estimate import excludes_zero
from laion_probe.outliers_result import (
    BroughtAlong,
    Explanation,
    ExplanationKind,
    OutlierCluster,
    OutliersResult,
    RecipeWeighed,
)
from laion_probe.questions.explaining_words import odds_in_words
from laion_probe.results import Estimate

__all__ = ["finding", "percent"]

_AS_GIVEN = " (the rows as given)"
_BY_THESE = "supported by these data"
#: Picked outputs have something in common where so many random draws are less alike.
_ALIKE = 0.975
#: Groups of recipes that are told of; the rest stand in the table.
_GROUPS = 3
#: Clusters of --others that are named; of more, the range of their shares.
_NAMED = 3
_ASSOCIATION = (
    "What is supported is an association between a place in the data and what is drawn: whether a "
    "model trained without it would draw the cluster less, only training can tell."
)
#: Things and words told of a concept.
_BROUGHT = 4


def finding(r: OutliersResult, *, simulated: bool) -> tuple[str, ...]:
    """Sentences that can be quoted; each contrast is an association, and called one."""
    out = []
    if simulated:
        out.append("The outputs are of a documented simulator: no model drew them.")
    for c in (c for c in r.clusters if c.picked):
        out.append(
            f"{c.n_outputs:,} of {r.n_outputs:,} outputs were picked for what they show; whether "
            "they are drawn too often was not tested of them."
        )
        if c.alike is not None and c.alike < _ALIKE:
            out.append(
                f"To the model they are hardly more alike than {c.n_outputs:,} outputs drawn at "
                "random, so that there may be no one place in the data to explain."
            )
        out += [f"Of the picked outputs: {said}" for said in _explained(c)]
    over = [c for c in r.clusters if c.over_represented]
    if not over:
        out.append(
            f"{_when(r)}, none of the {r.n_clusters} clusters of the data is surely drawn more "
            f"often than its share of the training pictures ({r.n_outputs:,} outputs in "
            f"{r.n_batches:,} batches): these data cannot tell of any over-representation."
        )
    else:
        out += _first(r, over[0])
        out += _explained(over[0])
        if more := over[1:]:
            shares = ", ".join(f"{c.name} ({percent(c.output_share)})" for c in more)
            out.append(f"Over-represented too, and weighed below: {shares}.")
    if other := [c for c in r.clusters if c.weighed and not (c.over_represented or c.picked)]:
        shares = ", ".join(f"{c.name} ({percent(c.output_share)})" for c in other)
        if len(other) > _NAMED:
            by_share = sorted((c.output_share for c in other), key=lambda e: e.value or 0)
            ends = f"{percent(by_share[0])} to {percent(by_share[-1])}"
            shares = f"{len(other)} clusters, with from {ends} of the outputs each"
        out.append(
            "Asked for (--others), weighed below, and not surely drawn more often than their share "
            f"of the training pictures: {shares}."
        )
    if any(_supported_kinds(c.weighed) for c in [c for c in r.clusters if c.picked] + over[:1]):
        out.append(_ASSOCIATION)
    out += _brought(r)
    return tuple(out)


def percent(e: Estimate) -> str:
    """A share with its interval; a small one is never told as 0 %."""
    if e.value is None:
        return "an unknown share"
    digits = 0 if e.n < 50 else 1
    while digits < 4 and e.value not in (0, 1) and round(100 * e.value, digits) in (0, 100):
        digits += 1
    said = f"{100 * e.value:.{digits}f} %"
    if e.low is None or e.high is None or e.low == e.high:
        return said
    return f"{said} [{100 * e.low:.{digits}f}, {100 * e.high:.{digits}f}]"


def _when(r: OutliersResult) -> str:
    if r.prompt is None:
        return "With all prompts taken together"
    return "With the prompt left empty" if r.prompt == "" else f"With the prompt “{r.prompt}”"


def _first(r: OutliersResult, c: OutlierCluster) -> list[str]:
    what = "unprompted over-representation" if r.prompt == "" else "over-representation"
    ratio = _ratio(c.ratio)
    text = (
        f"{_when(r)}, {percent(c.output_share)} of {r.n_outputs:,} outputs lie in one cluster that "
        f"holds {percent(c.data_share)} of the {r.n_data:,} training pictures: {what}, {ratio} "
        f"(the interval holds for all {r.n_clusters} clusters looked at; "
        f"{round(c.stability * c.n_seeds)} of {c.n_seeds} other clusterings find the same outputs)."
    )
    out = [text]
    if r.prompt == "":
        out.append(
            "Nobody asked for it: the finding is what is drawn where conditioning is missing. What "
            "the pictures of the cluster show is described below, and is not itself the finding."
        )
    elif r.prompt:
        out.append(
            "A prompt asks for a part of the data: that its pictures are drawn more often than "
            "their share is no surprise."
        )
    return out


def _ratio(e: Estimate) -> str:
    """How often its share, with an interval; an end that the data leave open is said to be so."""
    least = "" if e.low is None else f"at least {e.low:.1f} times its share"
    if e.value is None:
        return least or "many times its share, which is none"
    if e.low is None or e.high is None:
        return f"{e.value:.1f} times its share" + (f" ({least})" if least else "")
    return f"{e.value:.1f} times its share [{e.low:.1f}, {e.high:.1f}]"


def _explained(c: OutlierCluster) -> list[str]:
    """What is supported, with numbers once, and the others by name."""
    if not c.weighed:
        return [f"No explanation of {c.name} is weighed: see below why."]
    out = [_supported(c.weighed)]
    if rest := _rest(c.weighed, _supported_kinds(c.weighed)):
        out.append(rest)
    return out


def _supported_kinds(weighed: Sequence[RecipeWeighed]) -> set[ExplanationKind]:
    """The explanations that some recipe supports."""
    return {e.kind for w in weighed for e in w.explanations if e.verdict == "supported"}


def _supported(weighed: Sequence[RecipeWeighed]) -> str:
    """A clause for recipes with which the same is supported; numbers are those of the first."""
    groups: dict[tuple[str, ...], list[RecipeWeighed]] = {}
    for w in weighed:
        mine = tuple(e.kind for e in w.explanations if e.verdict == "supported")
        groups.setdefault(mine, []).append(w)
    told: set[str] = set()
    clauses: list[str] = []
    for kinds, recipes in list(groups.items())[:_GROUPS]:
        items = []
        for e in recipes[0].explanations:
            if e.kind in kinds:
                items.append(e.title if e.kind in told else _contrast(e))
        names = _listed([w.recipe for w in recipes])
        head = f"With {names}"
        if not clauses:
            head = f"With {'the recipe ' if len(weighed) == 1 else ''}{names}, {_BY_THESE}"
        if len(recipes) > 1 and set(kinds) - told:
            head += f" (numbers with “{recipes[0].recipe}”)"
        clauses.append(f"{head}: {'; '.join(items) or 'none of the explanations weighed'}.")
        told |= set(kinds)
    if len(groups) > len(clauses):
        clauses.append("The table below has the other recipes.")
    return " ".join(clauses)


def _rest(weighed: Sequence[RecipeWeighed], ever: set[ExplanationKind]) -> str:
    """Explanations that no recipe supports, by name: contradicted with one, or never decided."""
    verdicts: dict[str, list[str]] = {}
    for w in weighed:
        for e in w.explanations:
            if e.kind not in ever:
                # without a contrast: hardly any row that the recipe keeps has it, or every row
                empty = e.verdict == "contradicted" and e.odds_ratio.value is None
                said = "nothing apart" if empty else e.verdict
                verdicts.setdefault(e.title, []).append(said)
    parts = (
        ("Contradicted", "contradicted"),
        ("Not decidable here", "not decidable here"),
        ("In hardly any row (or in every one), so that it sets nothing apart", "nothing apart"),
        ("Not observable, since the data had passed it before", "not observable"),
    )
    told, of = [], len(weighed)
    for head, verdict in parts:
        titles = [
            title + (f" (with {n} of {of} recipes)" if of > 1 else "")
            for title, said in verdicts.items()
            if (n := said.count(verdict))
        ]
        if titles:
            told.append(f"{head}: {'; '.join(titles)}.")
    return " ".join(told)


def _listed(recipes: Sequence[str]) -> str:
    quoted = [f"“{name}”{_AS_GIVEN if name == 'none' else ''}" for name in recipes]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _contrast(e: Explanation) -> str:
    """An explanation with the share here and elsewhere: shares first, odds last."""
    if e.here.value is None or e.elsewhere.value is None:
        return e.title
    return (
        f"{e.title} ({percent(e.here)} here, {percent(e.elsewhere)} elsewhere; "
        f"{odds_in_words(e.odds_ratio)})"
    )


def _brought(r: OutliersResult) -> list[str]:
    out = []
    sure = [b for b in r.brought if b.lift.low is not None and b.lift.low > 1]
    for kind, where in (("word", "captions"), ("tag", "pictures")):
        mine = [b for b in sure if b.kind == kind][:_BROUGHT]
        if mine:
            listed = "; ".join(
                f"{b.what} ({percent(b.data)}, elsewhere {percent(b.rest)})" for b in mine
            )
            by = "" if kind == "word" else ", by uncorrected classifier labels"
            out.append(f"In the data’s {where}, the concept brings along{by}: {listed}.")
    moved = [b for b in r.brought if _moved(b)][:_BROUGHT]
    if moved:
        listed = "; ".join(_change(b) for b in moved)
        out.append(
            "Outputs differ from the data near the concept, by uncorrected classifier labels, "
            f"which style alone can move: {listed}."
        )
    return out


def _moved(b: BroughtAlong) -> bool:
    return b.difference is not None and excludes_zero(b.difference)


def _change(b: BroughtAlong) -> str:
    assert b.outputs is not None and b.difference is not None
    d = b.difference
    ends = [100 * x for x in (d.value, d.low, d.high) if x is not None]
    signed = [f"{x:+.1f}".replace("-", "−") for x in ends]
    return (
        f"{b.what} in {percent(b.outputs)} of outputs, {signed[0]} points [{', '.join(signed[1:])}]"
    )
