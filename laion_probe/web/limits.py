"""How much one address may ask, and how much may wait: token buckets, and searches in batches."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laion_probe.questions.serving import Search

__all__ = ["Batches", "TokenBuckets"]

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

_MOST_ADDRESSES = 10_000
_BATCH = 32


@dataclass
class TokenBuckets:
    """A bucket of tokens an address: it fills at ``rate`` a second and holds ``burst``.

    IPv6 addresses count by their /64, which is what one subscriber has. Of at most 10 000 addresses
    the latest are remembered.

    >>> buckets = TokenBuckets(rate=1, burst=2)
    >>> [buckets.wait_s("192.0.2.1", now=0.0) for _ in range(3)]
    [0.0, 0.0, 1.0]
    """

    rate: float
    burst: float
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait_s(self, address: str, now: float) -> float:
        """Take a token: 0, or the seconds until there is one. ``now`` is any steady clock."""
        name = _network(address)
        left, at = self._left.pop(name, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.rate)
        wait = 0.0 if left >= 1 else (1 - left) / self.rate
        self._left[name] = (left if wait else left - 1, now)
        if len(self._left) > _MOST_ADDRESSES:
            self._left.popitem(last=False)
        return wait


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


@dataclass
class Batches:
    """Searches of one collection: those that wait while another runs become one search.

    A scan of all rows costs about the same for a few queries as for one, so that many callers at
    once wait for two scans and not for all of each other's. ``at_once`` searches run in ``pool``.
    """

    search: Search
    pool: Executor
    at_once: int
    _waiting: list[tuple[Floats, int, asyncio.Future[tuple[Rows, Floats]]]] = field(
        default_factory=list
    )
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def n_waiting(self) -> int:
        """Queries that wait for a search to begin."""
        return len(self._waiting)

    async def ask(self, query: Floats, k: int) -> tuple[Rows, Floats]:
        """Rows and scores of one unit-length query (d,), best first, at most ``k`` of each."""
        future: asyncio.Future[tuple[Rows, Floats]] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, k, future))
        self._begin()
        return await future

    def _begin(self) -> None:
        while self._waiting and len(self._running) < self.at_once:
            k = self._waiting[0][1]
            batch = [one for one in self._waiting if one[1] == k][:_BATCH]
            taken = {id(one) for one in batch}
            self._waiting = [one for one in self._waiting if id(one) not in taken]
            self._running.add(asyncio.create_task(self._run([(q, f) for q, _, f in batch], k)))

    async def _run(
        self, batch: list[tuple[Floats, asyncio.Future[tuple[Rows, Floats]]]], k: int
    ) -> None:
        try:
            await self._answer([(q, f) for q, f in batch if not f.done()], k)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._running.discard(task)
            self._begin()

    async def _answer(
        self, batch: list[tuple[Floats, asyncio.Future[tuple[Rows, Floats]]]], k: int
    ) -> None:
        if not batch:  # all have hung up
            return
        queries = np.stack([q for q, _ in batch])
        try:
            loop = asyncio.get_running_loop()
            rows, scores = await loop.run_in_executor(self.pool, self.search, queries, k)
        except Exception as error:  # it is the callers' to handle
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for i, (_, future) in enumerate(batch):
            if not future.done():
                there = rows[i] >= 0
                future.set_result((rows[i][there], scores[i][there]))
