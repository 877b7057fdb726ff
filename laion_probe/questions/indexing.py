"""``laion-probe index``: a FAISS index under a budget, explained, built and measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from laion_probe.config.embedding import IndexConfig
from laion_probe.index.build import BuiltIndex, build_index, planned
from laion_probe.index.plan import IndexPlan
from laion_probe.index.recall import Recall
from laion_probe.results import Estimate

__all__ = ["Indexed", "index"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Indexed:
    """The plan, the index where it was built, and sentences to print."""

    plan: IndexPlan
    built: BuiltIndex | None
    sentences: tuple[str, ...]


def index(config: IndexConfig, progress: Progress = lambda what, done, of: None) -> Indexed:
    """Build what `build_index` builds, or with ``explain`` say only what that would be and why."""
    if config.explain:
        _, plan = planned(config)
        return Indexed(plan, None, (*plan.reasons, "Nothing was built (--explain)."))
    built = build_index(config, progress)
    return Indexed(built.record.plan, built, (*built.record.plan.reasons, *_said(built)))


def _said(built: BuiltIndex) -> list[str]:
    record = built.record
    done = "in one go" if built.n_shards == 1 else f"in {built.n_shards} shards"
    if not built.n_shards:
        done = "finished before, and left as it was"
    said = [
        f"{built.folder}: {record.n_bytes / 2**20:.1f} MiB, "
        f"{record.n_bytes / max(1, record.n_indexed):.0f} bytes a row; {done}"
        + (f", {built.begun_before} of them by an earlier run." if built.begun_before else ".")
    ]
    if record.n_unreadable or record.n_broken:
        said.append(
            f"{record.n_indexed} of {record.n_rows} rows are in it: {record.n_unreadable} are all "
            f"zeros (pictures that could not be read) and {record.n_broken} are not finite."
        )
    if record.key is None:
        said.append("Which model made the vectors is not known: there is no key.json beside them.")
    settings = record.search
    if settings.n_probes:
        again = ", whose vectors are whole" if record.plan.exact else ""
        said.append(
            f"A query looks at {settings.n_probes} of {record.plan.n_lists} lists{again}"
            + (
                "."
                if record.plan.exact
                else f" and scores {settings.factor} times as many rows anew as are asked for."
            )
        )
    if record.recall is None:
        said.append("Recall was not measured: no rows are left to hold out.")
    else:
        said.extend(_recall_said(record.recall))
    return said


def _recall_said(recall: Recall) -> list[str]:
    said = [
        f"Recall@{recall.k} against the exact scan, on {recall.mean.units} held-out queries: "
        f"{_interval(recall.mean)} on average, {_interval(recall.worst_tenth)} in the worst tenth."
    ]
    if len(recall.by_query) > 1:
        kinds = (f"{kind} {_interval(e)}" for kind, e in recall.by_query.items())
        said.append(f"By what the query is a vector of: {'; '.join(kinds)}.")
    if recall.by_group:
        groups = (f"{name} {_interval(e)}" for name, e in recall.by_group.items())
        said.append(f"By {recall.column} of the neighbours: {'; '.join(groups)}.")
    if recall.gap is not None:
        said.append(f"The largest difference between groups is {_interval(recall.gap)}.")
    if not recall.met:
        said.append(
            f"The target of {recall.target:g} was not met by any search of this index: give more "
            "--max-memory, or --kind ivf or flat."
        )
    return said


def _interval(e: Estimate) -> str:
    return f"{e.value:.4f} ({e.low:.4f} to {e.high:.4f})"
