"""What an exploration says in sentences, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from laion_probe.config.exploring import ExploreConfig
from laion_probe.explore_result import Differs, ExploreResult, SpreadOf
from laion_probe.results import Claim, Estimate

__all__ = ["cannot_say", "claims", "finding", "how_measured"]

#: Concepts that the finding names.
_NAMED = 4


def finding(r: ExploreResult) -> tuple[str, ...]:
    """Which concepts spread less in one set than in another; "cannot tell" where none does."""
    shown = r.clusterings[r.shown]
    if shown.differences:
        return tuple(_of_pairs(r))
    spreads = sorted(
        (s for s in shown.spreads if s.entropy.value is not None),
        key=lambda s: s.entropy.value or 0,
    )
    if not spreads:
        return ("These pictures do not say how they spread over clusters.",)
    least, most = spreads[0], spreads[-1]
    words = (
        f"No concept is in two of the sets. Over {shown.k} clusters that no label made, "
        f"{_named(r, least)} spreads least"
    )
    if least is not most:
        words += f" and {_named(r, most)} most"
    return (f"{words}.",)


def _named(r: ExploreResult, s: SpreadOf) -> str:
    return f"“{r.groups[s.group]}” in {_set(r, s.set)} (entropy {_plain(s.entropy)} of its maximum)"


def _set(r: ExploreResult, s: int) -> str:
    return f"{r.sets[s].name}{' (simulated)' if r.sets[s].simulated else ''}"


def _names(r: ExploreResult, found: Sequence[Differs]) -> str:
    """The first concepts by name, in brackets; nothing where there is none."""
    names = [r.groups[d.group] for d in found]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f" ({', '.join(names[:_NAMED])}{more})" if names else ""


def _of_pairs(r: ExploreResult) -> Iterator[str]:
    shown = r.clusterings[r.shown]
    pairs = dict.fromkeys((d.first, d.second) for d in shown.differences)
    for a, b in pairs:
        mine = [d for d in shown.differences if (d.first, d.second) == (a, b)]
        first, second = _set(r, a), _set(r, b)
        less = [d for d in mine if d.n_less == shown.n_seeds]
        more = [d for d in mine if d.n_more == shown.n_seeds]
        if not less and not more:
            yield (
                f"Over {shown.k} clusters that no label made, these data cannot tell whether the "
                f"pictures of {second} spread more or less evenly than those of {first}, for any "
                f"of {len(mine)} concepts."
            )
        else:
            yield (
                f"Over {shown.k} clusters that no label made, the pictures of {second} spread less "
                f"evenly than those of {first} for {len(less)} of {len(mine)} concepts"
                f"{_names(r, less)} and more evenly for {len(more)}{_names(r, more)}; "
                "for the others these data cannot tell."
            )
        apart = [d for d in mine if d.n_apart == shown.n_seeds]
        if not apart:
            yield f"That {first} and {second} fill clusters differently is not shown for any."
            continue
        far = max(apart, key=lambda d: d.distance.low or 0)
        yield (
            f"They fill clusters differently for {len(apart)} of {len(mine)} concepts, most for "
            f"“{r.groups[far.group]}”: {_percent(far.distance)} of its pictures would have to look "
            "otherwise to fill the clusters alike. Clusters see how pictures are drawn as well as "
            "what they show: another style alone makes such a difference."
        )


def claims(r: ExploreResult) -> tuple[Claim, ...]:
    """A claim a concept and pair: of the spread, and of the distance."""
    found = []
    shown = r.clusterings[r.shown]
    for i, d in enumerate(shown.differences):
        at = f"/clusterings/{r.shown}/differences/{i}"
        name, every = f"“{r.groups[d.group]}”", shown.n_seeds
        supported, apart = every in (d.n_less, d.n_more), d.n_apart == every
        first, second = _set(r, d.first), _set(r, d.second)
        how = "less" if d.n_less == every else "more"
        found.append(
            Claim(
                id=f"spread-{i}",
                text=f"{name} spreads {how} evenly over clusters in {second} than in {first}"
                if supported
                else f"these data cannot tell in which of {first} and {second} {name} spreads more "
                "evenly",
                supported=supported,
                estimate=f"{at}/entropy",
            )
        )
        found.append(
            Claim(
                id=f"distance-{i}",
                text=f"{name} fills clusters differently in {second} than in {first}"
                if apart
                else f"that {name} fills clusters differently in {first} and {second} is not shown",
                supported=apart,
                estimate=f"{at}/distance",
            )
        )
    return tuple(found)


def how_measured(r: ExploreResult, config: ExploreConfig) -> tuple[str, ...]:
    """The method, in the order in which it is done."""
    lines = [
        "A generated picture is of its prompt. A picture of a data set is of the concept "
        + (
            "whose words its caption has; of captions that name several, none."
            if config.by == "caption"
            else "whose prompts it is near to, by the threshold that `probe` uses; of several, the "
            "nearest."
        ),
        "The pictures of all sets are embedded by one encoder and clustered together by spherical "
        "k-means, each set with the same weight. Clusters have numbers only. Luccioni et al. "
        "(2023, arXiv:2303.11408) have 12, 24 and 48 clusters, made by Ward's method of pictures "
        "whose prompts name a gender and an ethnicity; here no such prompt is used.",
        "Entropies are over their maximum: 0 is one cluster, 1 all clusters alike. Their bias and "
        "intervals are by leaving out batches (of data: domains) one at a time, since pictures of "
        "one batch are alike, and pictures few.",
        "The distance of two sets is the total variation of their shares, corrected for chance. "
        "Intervals of differences hold together for all concepts and pairs (Bonferroni), those of "
        "single sets one by one. They hold for one clustering as it is, and another seed makes "
        "another: a difference is called shown only where the intervals of the clusterings from "
        "all seeds leave out zero on the same side.",
        "Average pictures are pixel-wise means of up to 400 pictures. They are aligned by the "
        "largest face where at least half of the pictures have a box in face_bboxes (as DataComp's "
        "metadata have it), else plain.",
        "Colourfulness is Hasler and Süsstrunk's (2003) M3 of pixels: 0 is grey, 33 moderate, 109 "
        "extreme.",
    ]
    if config.by == "near":
        lines.append("Nearness and clusters are of the same encoder: its errors are in both.")
    return tuple(lines)


def cannot_say(r: ExploreResult, config: ExploreConfig) -> tuple[str, ...]:
    """What no reader should take from it."""
    lines = [
        "A cluster is what the encoder finds alike: clothes, light, background, faces. It is no "
        "identity, and nobody in it was asked how they identify. Generated persons are nobody.",
        "Clusters see style as well as content: drawing, camera, crop, compression. Two sets of "
        "the same content in another style fill clusters differently, and may differ in entropy; "
        "look at the pictures before anything is said of what they show.",
        "A smaller entropy is not by itself a bias, and the data's spread is no target: the words "
        "of captions choose other pictures than a prompt draws.",
        "An average picture hides those that differ from it, most of all those that are few.",
    ]
    if any(s.kind == "data" for s in r.sets) and config.by == "caption":
        lines.append(
            "Captions that do not name the concept, or name it in another language, are not found."
        )
    lines += [
        f"In {s.name}, {s.n_several:,} pictures name several concepts and are left out."
        for s in r.sets
        if s.n_several
    ]
    lines += [
        f"In {s.name}, {s.n_unreadable:,} pictures could not be read."
        for s in r.sets
        if s.n_unreadable
    ]
    out = [k for k in config.clusters if k not in {c.k for c in r.clusterings}]
    if out:
        lines.append(
            f"Of the numbers of clusters asked for, {', '.join(map(str, sorted(out)))} would have "
            "had too few pictures each, or empty clusters."
        )
    return tuple(lines)


def _plain(e: Estimate) -> str:
    return "not known" if e.value is None else f"{e.value:.2f}"


def _percent(e: Estimate) -> str:
    """A share as the report's tables have it, with its interval."""
    if e.value is None or e.low is None or e.high is None:
        return "a part"
    return f"{100 * e.value:.1f} % [{100 * e.low:.1f}, {100 * e.high:.1f}]"
