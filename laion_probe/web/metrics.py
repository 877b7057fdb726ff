"""What a server counts, for Prometheus: no query, address or token is ever among it.

Times have the names that clip-retrieval gives them (its ``clip_back.py``), so that a dashboard goes
on; the others begin with ``laion_probe``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

__all__ = ["TIMES", "Metrics"]

#: Histograms by what is timed: clip-retrieval's names and our words.
TIMES: Final[Mapping[str, str]] = {
    "full_knn_request_time": "all of a search request",
    "download_time": "fetching the picture at image_url",
    "text_clip_inference_time": "embedding a text",
    "image_clip_inference_time": "decoding and embedding a picture",
    "knn_index_time": "searching, with the wait for other searches",
    "metadata_get_time": "metadata, and what was asked to be left out or re-ranked",
}
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self, rows: Mapping[str, int]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._times = {
            name: Histogram(name, words, buckets=_BUCKETS, registry=self._registry)
            for name, words in TIMES.items()
        }
        self._requests = Counter(
            "laion_probe_requests",
            "answers, by what was asked for and status",
            ("endpoint", "status"),
            registry=self._registry,
        )
        self._refused = Counter(
            "laion_probe_refused", "refusals, by reason", ("reason",), registry=self._registry
        )
        self.waiting = Gauge(
            "laion_probe_searches_waiting",
            "queries that wait for a search to begin",
            registry=self._registry,
        )
        gauge = Gauge(
            "laion_probe_rows", "rows of a collection", ("collection",), registry=self._registry
        )
        for name, n in rows.items():
            gauge.labels(name).set(n)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time the block under one of `TIMES`, also where it raises."""
        with self._times[name].time():
            yield

    def answered(self, endpoint: str, status: int) -> None:
        """Count an answer."""
        self._requests.labels(endpoint, str(status)).inc()

    def refused(self, reason: str) -> None:
        """Count a refusal; ``reason`` is one of a few words."""
        self._refused.labels(reason).inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)
