"""``report.html``, ``explorer.html`` and tables of `explore`: sets side by side, without labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from laion_probe.explore_result import (
    Clustering,
    ClusterOf,
    Differs,
    ExploredPicture,
    ExploreResult,
    Seen,
    SpreadOf,
)
from laion_probe.render.explorer_page import colour_shown, explorer_html
from laion_probe.render.html import environment, page, tied, write_report
from laion_probe.render.pointers import pointer, walk
from laion_probe.render.tables import ESTIMATE, Row, Tables, estimate_row, write_csv
from laion_probe.render.text import NBSP, Shown, number, show
from laion_probe.render.view import Method, methods_of
from laion_probe.results import Estimate

__all__ = ["explore_report_html", "explore_tables", "render_explore", "write_explore_tables"]


@dataclass(frozen=True)
class ShownLook:
    """One concept in one set: its spread over the clusters shown, and what it looks like."""

    spread_at: str
    spread: SpreadOf
    seen_at: str
    seen: Seen


@dataclass(frozen=True)
class ShownConcept:
    """A concept, its looks by set, and how they differ."""

    at: str
    name: str
    looks: list[ShownLook]


@dataclass(frozen=True)
class ShownDifference:
    """A concept in two sets at one number of clusters."""

    at: str
    k: int
    k_at: str
    n_seeds: int
    n_seeds_at: str
    differs: Differs


@dataclass(frozen=True)
class ShownPair:
    """Two sets, and their differences: concepts in order, and within them numbers of clusters."""

    first: str
    second: str
    rows: list[tuple[str, list[ShownDifference]]]


@dataclass(frozen=True)
class ShownCluster:
    """A cluster with the pictures nearest to its middle."""

    at: str
    cluster: ClusterOf
    pictures: list[ExploredPicture]


@dataclass(frozen=True)
class View:
    """What the template loops over, each beside its place in the result."""

    at: str
    shown: Clustering
    concepts: list[ShownConcept]
    pairs: list[ShownPair]
    clusters: list[ShownCluster]
    methods: list[Method]


def render_explore(result: ExploreResult, out: Path) -> None:
    """Write ``report.html``, ``explorer.html``, ``result.json`` and ``tables/*.csv``.

    The same result gives the same bytes every time.
    """
    result = ExploreResult.from_json(result.to_json())
    write_report(out, explore_report_html(result), result)
    (out / "explorer.html").write_text(explorer_html(result), encoding="utf-8", newline="\n")
    write_explore_tables(result, out / "tables")


def explore_report_html(result: ExploreResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    env = environment()
    env.globals.update(colour=_colour, points=_points, seeds=_seeds)
    return page(env, "explore.html.j2", {"r": result, "v": _view(result)})


def _points(e: Estimate, where: str) -> Markup:
    """A difference of which the head of the column says the unit, tied to its place."""
    shown = show(e, "points")
    plain = Shown(shown.value.removesuffix(f"{NBSP}points"), shown.interval)
    return tied(e, where, "points", plain)


def _colour(e: Estimate, where: str) -> Markup:
    """A colourfulness, tied to its place."""
    return tied(e, where, "ratio", colour_shown(e))


def _seeds(ends: tuple[float, float], where: str, scale: int, signed: bool) -> Markup:
    """The least and the greatest value from other seeds, each tied to its place."""
    parts = [
        Markup(
            '<span class="num" data-pointer="{}" data-form="{}" data-value="{}">{}</span>'
        ).format(
            f"{where}/{i}",
            "number" if scale == 1 else "percent",
            repr(end),
            number(scale * end, 2 if scale == 1 else 1, signed=signed),
        )
        for i, end in enumerate(ends)
    ]
    return Markup("{} to {}").format(*parts)


def _view(r: ExploreResult) -> View:
    at = pointer("clusterings", r.shown)
    shown = r.clusterings[r.shown]
    seen = {(s.set, s.group): (pointer("seen", i), s) for i, s in enumerate(r.seen)}
    looks: dict[int, list[ShownLook]] = {}
    for i, spread in enumerate(shown.spreads):
        of = seen[spread.set, spread.group]
        looks.setdefault(spread.group, []).append(
            ShownLook(at + pointer("spreads", i), spread, *of)
        )
    return View(
        at=at,
        shown=shown,
        concepts=[
            ShownConcept(f"concept-{g + 1}", name, looks[g])
            for g, name in enumerate(r.groups)
            if g in looks
        ],
        pairs=_pairs(r),
        clusters=[
            ShownCluster(at + pointer("clusters", i), c, [r.pictures[m] for m in c.medoids])
            for i, c in enumerate(shown.clusters)
        ],
        methods=methods_of(e for _, e in walk(r) if e.value is not None),
    )


def _pairs(r: ExploreResult) -> list[ShownPair]:
    found: dict[tuple[int, int], dict[int, list[ShownDifference]]] = {}
    for c, clustering in enumerate(r.clusterings):
        for i, d in enumerate(clustering.differences):
            rows = found.setdefault((d.first, d.second), {})
            at = pointer("clusterings", c)
            rows.setdefault(d.group, []).append(
                ShownDifference(
                    at + pointer("differences", i),
                    clustering.k,
                    at + "/k",
                    clustering.n_seeds,
                    at + "/n_seeds",
                    d,
                )
            )
    return [
        ShownPair(
            r.sets[a].name, r.sets[b].name, [(r.groups[g], rows) for g, rows in groups.items()]
        )
        for (a, b), groups in found.items()
    ]


# Tables


def write_explore_tables(result: ExploreResult, folder: Path) -> None:
    """``tables/*.csv``: every number of the result, an estimate a row."""
    write_csv(explore_tables(result), folder)


def explore_tables(result: ExploreResult) -> Tables:
    """The tables of `explore`: name to columns and rows."""
    return {
        "claims": (
            "claim text supported estimate",
            [
                {"claim": c.id, "text": c.text, "supported": c.supported, "estimate": c.estimate}
                for c in result.claims
            ],
        ),
        "sets": (
            "name kind generator simulated n_pictures n_unreadable n_used n_several n_other "
            "n_units weight",
            [s.model_dump() for s in result.sets],
        ),
        "clusterings": (
            "k n_seeds agreement",
            [
                {"k": c.k, "n_seeds": c.n_seeds, "agreement": c.agreement}
                for c in result.clusterings
            ],
        ),
        "clusters": ("k cluster set count share stability", _clusters(result)),
        "spreads": (
            "k set concept measure cluster count seeds_low seeds_high" + ESTIMATE,
            _spreads(result),
        ),
        "differences": (
            "k concept first second measure raw seeds_low seeds_high n_seeds n_less n_more n_apart"
            + ESTIMATE,
            _differences(result),
        ),
        "colourfulness": (
            "set concept n_pictures n_average aligned n_left_out" + ESTIMATE,
            [
                {
                    "set": result.sets[s.set].name,
                    "concept": result.groups[s.group],
                    "n_pictures": s.n,
                    "n_average": s.n_average,
                    "aligned": s.aligned,
                    "n_left_out": s.n_left_out,
                    **estimate_row(s.colourfulness),
                }
                for s in result.seen
            ],
        ),
        "pictures": (
            "picture set concept cluster caption",
            [
                {
                    "picture": p.id,
                    "set": result.sets[p.set].name,
                    "concept": result.groups[p.group],
                    "cluster": p.cluster,
                    "caption": p.caption,
                }
                for p in result.pictures
            ],
        ),
        "nearest": (
            "picture set nearest nearest_set cosine",
            (
                {
                    "picture": p.id,
                    "set": result.sets[p.set].name,
                    "nearest": result.pictures[near.picture].id,
                    "nearest_set": result.sets[other].name,
                    "cosine": near.cosine,
                }
                for p in result.pictures
                for other, rows in enumerate(p.nearest)
                for near in rows
            ),
        ),
        "inputs": (
            "kind name fingerprint n_rows already note",
            [i.model_dump() for i in result.provenance.inputs],
        ),
    }


def _clusters(r: ExploreResult) -> Iterator[Row]:
    for clustering in r.clusterings:
        for c in clustering.clusters:
            for s, n in zip(r.sets, c.n, strict=True):
                row: Row = {"k": clustering.k, "cluster": c.number, "set": s.name, "count": n}
                yield row | {"share": c.share, "stability": c.stability}


def _spreads(r: ExploreResult) -> Iterator[Row]:
    for clustering in r.clusterings:
        for s in clustering.spreads:
            row: Row = {"k": clustering.k, "set": r.sets[s.set].name, "concept": r.groups[s.group]}
            low, high = s.over_seeds
            seeds: Row = {"measure": "entropy", "seeds_low": low, "seeds_high": high}
            yield row | seeds | estimate_row(s.entropy)
            for cluster, e in s.shares.items():
                count = s.counts[int(cluster) - 1]
                of: Row = {"measure": "share", "cluster": int(cluster), "count": count}
                yield row | of | estimate_row(e)


def _differences(r: ExploreResult) -> Iterator[Row]:
    for clustering in r.clusterings:
        for d in clustering.differences:
            row: Row = {
                "k": clustering.k,
                "concept": r.groups[d.group],
                "first": r.sets[d.first].name,
                "second": r.sets[d.second].name,
            }
            low, high = d.entropy_over_seeds
            of: Row = {"n_seeds": clustering.n_seeds, "n_less": d.n_less, "n_more": d.n_more}
            seeds: Row = {"measure": "entropy", "seeds_low": low, "seeds_high": high, **of}
            yield row | seeds | estimate_row(d.entropy)
            low, high = d.distance_over_seeds
            of = {"n_seeds": clustering.n_seeds, "n_apart": d.n_apart}
            seeds = {"measure": "distance", "seeds_low": low, "seeds_high": high, **of}
            yield row | seeds | {"raw": d.raw_distance} | estimate_row(d.distance)
