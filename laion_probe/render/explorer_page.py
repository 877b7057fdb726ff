"""``explorer.html``: two sets side by side and nearest pictures, one page that asks for nothing."""

from __future__ import annotations

import json
from importlib.resources import files

from markupsafe import Markup

from laion_probe.explore_result import ExploreResult
from laion_probe.render.html import environment, policy_hash
from laion_probe.render.pointers import pointer
from laion_probe.render.text import NBSP, Form, Shown, clean, number, show
from laion_probe.render.view import raster
from laion_probe.results import Estimate

__all__ = ["colour_shown", "explorer_html"]


def explorer_html(result: ExploreResult) -> str:
    """The explorer as one HTML page: its data are JSON in it, which its script writes as text."""
    templates = files("laion_probe.render") / "templates"
    style = "".join(
        (templates / name).read_text(encoding="utf-8") for name in ("report.css", "explorer.css")
    )
    script = (templates / "explorer.js").read_text(encoding="utf-8")
    return (
        environment()
        .get_template("explorer.html.j2")
        .render(
            r=result,
            n_by_set=[
                sum(1 for p in result.pictures if p.set == s) for s in range(len(result.sets))
            ],
            # Markup, since the policy's hashes are of these very bytes; both are ours.
            style=Markup(style),
            script=Markup(script),
            style_hash=policy_hash(style),
            script_hash=policy_hash(script),
            data=_embedded(_data(result)),
        )
    )


def colour_shown(e: Estimate) -> Shown:
    """A colourfulness with one decimal, which is more than an eye can tell."""
    ends = [number(x, 1) for x in (e.value, e.low, e.high) if x is not None]
    if len(ends) == 3:
        return Shown(ends[0], f"[{ends[1]},{NBSP}{ends[2]}]")
    return Shown(ends[0], "(no interval)") if ends else Shown("not defined", "")


def _embedded(data: object) -> Markup:
    """JSON that ends no script element and begins no comment, whatever its strings are."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # nothing in it can be read as markup now


def _data(r: ExploreResult) -> dict[str, object]:
    at, shown = pointer("clusterings", r.shown), r.clusterings[r.shown]
    spreads = {(s.set, s.group): (i, s) for i, s in enumerate(shown.spreads)}
    looks = []
    for j, seen in enumerate(r.seen):
        i, spread = spreads[seen.set, seen.group]
        where = at + pointer("spreads", i)
        looks.append(
            {
                "set": seen.set,
                "group": seen.group,
                "n": _count(seen.n, pointer("seen", j, "n")),
                "units": _count(seen.n_units, pointer("seen", j, "n_units")),
                "average": raster(seen.average),
                "averaged": _count(seen.n_average, pointer("seen", j, "n_average")),
                "aligned": seen.aligned,
                "colour": _tied(
                    seen.colourfulness,
                    pointer("seen", j, "colourfulness"),
                    "ratio",
                    colour_shown(seen.colourfulness),
                ),
                "entropy": _number(spread.entropy, where + "/entropy", "ratio"),
                "shares": [
                    [int(c), _number(e, where + pointer("shares", c), "share"), e.value]
                    for c, e in sorted(
                        spread.shares.items(), key=lambda x: (-(x[1].value or 0), int(x[0]))
                    )
                ],
            }
        )
    differs = [
        {
            "group": d.group,
            "first": d.first,
            "second": d.second,
            "entropy": _number(d.entropy, at + pointer("differences", i, "entropy"), "points"),
            "distance": _number(d.distance, at + pointer("differences", i, "distance"), "share"),
            "n_seeds": _count(shown.n_seeds, at + "/n_seeds"),
            "n_uneven": _count(getattr(d, way), at + pointer("differences", i, way)),
            "n_apart": _count(d.n_apart, at + pointer("differences", i, "n_apart")),
        }
        for i, d in enumerate(shown.differences)
        for way in ("n_less" if d.n_less >= d.n_more else "n_more",)
    ]
    return {
        "sets": [clean(s.name) + (" (simulated)" if s.simulated else "") for s in r.sets],
        "units": ["domains" if s.kind == "data" else "batches" for s in r.sets],
        "groups": [clean(g) for g in r.groups],
        "looks": looks,
        "differs": differs,
        "pictures": [
            {
                "set": p.set,
                "group": p.group,
                "cluster": p.cluster,
                "caption": clean(p.caption),
                "image": raster(p.image),
                "nearest": [
                    [
                        [n.picture, _plain(n.cosine, pointer("pictures", i, "nearest", s, k))]
                        for k, n in enumerate(rows)
                    ]
                    for s, rows in enumerate(p.nearest)
                ],
            }
            for i, p in enumerate(r.pictures)
        ],
    }


def _number(e: Estimate, where: str, form: Form) -> list[str]:
    return _tied(e, where, form, show(e, form))


def _tied(e: Estimate, where: str, form: Form, shown: Shown) -> list[str]:
    """An estimate as text, its place, form and value: what the script puts on the page."""
    return [str(shown), where, form, "" if e.value is None else repr(e.value)]


def _count(n: int, where: str) -> list[str]:
    return [f"{n:,}", where, "number", repr(n)]


def _plain(value: float, where: str) -> list[str]:
    return [number(value, 2), where + "/cosine", "number", repr(value)]
