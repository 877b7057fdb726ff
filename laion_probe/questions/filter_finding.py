"""What a filter run found, in sentences, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from laion_probe.filters_result import LevelAccount, Overlap, RecipeAccount
from laion_probe.groups import NONE_NAMED, UNKNOWN
from laion_probe.questions.effects import REMOVES_AGAIN
from laion_probe.recipes import Recipe

__all__ = ["cannot_say", "finding"]

# That short captions are removed is no finding, nor that those are which name nobody.
_ABOUT_FORM = ("length", "words")
_ABSENT = (UNKNOWN, NONE_NAMED, "none", "no person named", "not found")


def finding(
    recipes: Sequence[RecipeAccount],
    overlaps: Sequence[Overlap],
    already: Recipe | None,
    already_note: str,
) -> Iterator[str]:
    """What was found: each recipe, recipes side by side, what the input had passed."""
    for account in recipes:
        if silent := _silent(account):
            yield f"{account.name}: {silent}, so that nothing is said of what it removes."
            continue
        said = _percent(account.kept.value)
        if account.kept.low is not None and account.kept.high is not None:
            said += f" [{_percent(account.kept.low)}, {_percent(account.kept.high)}]"
        yield f"{account.name} keeps {said} of {account.n:,} rows{_without(account)}."
        if largest := _largest(account):
            yield largest
        if shown := _most_excluded(account):
            yield shown
        if blind := _blind(account):
            yield blind
        for effect in account.rewrites:
            if effect.n_emptied:
                yield (
                    f"{effect.title}: {effect.n_emptied:,} captions are left without any text"
                    f"{_who(account, effect.step)}."
                )
    said_nothing = {account.name for account in recipes if _silent(account)}
    for o in overlaps:
        if said_nothing & {o.first, o.second}:
            continue
        yield (
            f"Of the rows that were read, {o.first} keeps {o.n_only_first:,} that {o.second} "
            f"drops; {o.second} keeps {o.n_only_second:,} that {o.first} drops; both keep "
            f"{o.n_both:,}."
        )
    if already is not None:
        yield (
            f"The input has passed {already.name} ({already_note}): what its steps had removed "
            "cannot be seen here, which is not zero."
        )
        yield from _doubts(recipes, already.name, guessed="guessed" in already_note)


def _doubts(recipes: Sequence[RecipeAccount], already: str, *, guessed: bool) -> Iterator[str]:
    """Steps that many rows fail though they are said to have passed them."""
    advice = "say so with --already" if guessed else "correct --already"
    seen: set[str] = set()
    for account in recipes:
        hidden = {
            s.id: s.title for s in account.steps if not s.observable and s.kind not in REMOVES_AGAIN
        }
        for total in account.totals:
            title = hidden.get(total.step, "")
            if title and title not in seen and total.alone > 0.01 * account.n:
                seen.add(title)
                yield (
                    f"Yet {_percent(total.alone / account.n)} of the rows fail “{title}” as it is "
                    f"replayed here: has this input really passed {already}? If not, {advice}."
                )


def _silent(account: RecipeAccount) -> str:
    """Why there is nothing to say of a recipe that has deciding steps, or an empty string."""
    deciding = {t.step for t in account.totals}
    steps = [s for s in account.steps if s.id in deciding]
    if not steps or not account.n or any(s.removed_share.value is not None for s in steps):
        return ""
    if any(s.observable for s in steps):
        return "none of its steps could be judged on these rows"
    return "the input had passed all of its steps before"


def _without(account: RecipeAccount) -> str:
    """Which steps are not in the kept share, though they might remove rows."""
    parts = []
    if account.left_out:
        need = "needs" if len(account.left_out) == 1 else "need"
        parts.append(f"leaving out {' and '.join(account.left_out)}, which {need} every row")
    hidden = [s.id for s in account.steps if not s.observable]
    if hidden:
        parts.append("leaving out the steps that the input had passed before")
    return f" ({'; '.join(parts)})" if parts else ""


def _blind(account: RecipeAccount) -> str:
    """The steps that could not judge more than a hundredth of the rows; these count as kept."""
    titles = [
        s.title
        for s in account.steps
        if s.simulated != "no"
        and s.observable
        and s.id not in account.left_out
        and s.outcomes.get("not_evaluable", 0) > 0.01 * account.n
    ]
    if not titles:
        return ""
    return (
        f"Rows that a step cannot judge count as kept; it cannot judge some or all at: "
        f"{'; '.join(titles)}."
    )


def _largest(account: RecipeAccount) -> str:
    """The step that removes most on its own."""
    seen = {s.id for s in account.steps if s.observable}
    steps = [t for t in account.totals if t.step in seen and t.alone]
    if not steps:
        return ""
    most = max(steps, key=lambda t: t.alone)
    title = next(s.title for s in account.steps if s.id == most.step)
    return (
        f"The step that would remove most by itself: {title} ({_percent(most.alone / account.n)} "
        "of the rows that were read)."
    )


def _most_excluded(account: RecipeAccount) -> str:
    """The flagged levels that lose most against the rest, of groups that say of whom."""
    found: list[tuple[float, str, LevelAccount]] = []
    for group in account.groups:
        for level in group.levels if group.name not in _ABOUT_FORM else ():
            value = level.difference.value if level.difference else None
            if level.flagged and value is not None and value > 0 and level.level not in _ABSENT:
                found.append((value, group.name, level))
    found.sort(key=lambda f: (-f[0], f[1], f[2].level))
    if not found:
        return ""
    parts = []
    for value, name, shown in found[:3]:
        d = shown.difference
        interval = ""
        if d is not None and d.low is not None and d.high is not None:
            interval = f" [{100 * d.low:.1f}, {100 * d.high:.1f}]"
        short = name.partition(":")[0] if name.startswith("domain:") else name
        parts.append(f"{short} “{shown.level}” by {100 * value:.1f} points{interval}")
    return f"Removed more often than the other rows: {'; '.join(parts)}."


def _who(account: RecipeAccount, step: str) -> str:
    """Of which scripts the emptied captions were, if scripts were counted."""
    effect = next(e for e in account.rewrites if e.step == step)
    scripts = [r for r in effect.levels if r.group == "script" and r.n_emptied]
    scripts.sort(key=lambda r: -r.n_emptied)
    listed = ", ".join(f"{r.level} {r.n_emptied:,}" for r in scripts[:4])
    return f" (by script: {listed})" if listed else ""


def cannot_say(recipes: Sequence[RecipeAccount], behind: str, n_failed: int) -> Iterator[str]:
    """What these data cannot tell; ``behind`` is what the input has passed, or "unknown"."""
    if behind == "unknown":
        yield (
            "Which filters the input has passed already was not declared and cannot be guessed "
            "from its columns: what they removed is not in these numbers (use --already)."
        )
    for account in recipes:
        hidden = [s.title for s in account.steps if not s.observable]
        if hidden:
            yield (
                f"What these steps of {account.name} removed before we saw the data, and from "
                f"whom: {'; '.join(hidden)}."
            )
        absent = [s.title for s in account.steps if s.simulated == "no"]
        if absent:
            yield (
                f"What these steps of {account.name} would remove, which captions and metadata "
                f"cannot replay: {'; '.join(absent)}."
            )
        blind = [
            f"{s.title} ({s.outcomes['not_evaluable'] / account.n:.1%} of the rows)"
            for s in account.steps
            if s.outcomes.get("not_evaluable") and s.simulated != "no" and account.n
        ]
        if blind:
            yield (
                f"What these steps of {account.name} would remove of the rows that they cannot "
                f"judge, which count as kept: {'; '.join(blind)}."
            )
    yield (
        "Who is in the pictures. Groups are read from captions and addresses: what a caption "
        "states, in words that are on our lists, and where a domain is registered."
    )
    if n_failed:
        yield (
            f"Whether the {n_failed} row groups that could not be read are like the others; "
            "they are in the kept shares' bounds, and in no other number."
        )


def _percent(share: float | None) -> str:
    return "no share" if share is None else f"{100 * share:.2f} %"
