"""Fetching the picture that a caller names by its address, and nothing of this machine's network.

What may be asked is `laion_probe.fetching.addresses`' to say. A name is resolved once, all its
addresses are checked, and those are connected to, so that a name that answers otherwise the second
time gains nothing. Every redirect is checked anew. No proxy of the environment is used, no cookie
is kept, and neither the answer's status nor its words reach the caller.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from laion_probe.fetching.addresses import Allowed, Refused, parse_address

__all__ = ["PictureFetcher", "Refused"]

_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)
_MOST_BYTES = 20 << 20
_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "laion-probe"}


class _Checked(AbstractResolver):
    """Resolves names to addresses that may be connected to."""

    def __init__(self, allowed: Allowed) -> None:
        self.allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        ips = self.allowed.public(host, port, [str(sockaddr[0]) for *_, sockaddr in found])
        return [
            ResolveResult(
                hostname=host, host=ip, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
            )
            for ip, (kind, *_) in zip(ips, found, strict=True)
        ]

    async def close(self) -> None:
        """Nothing is held."""


class PictureFetcher:
    """Fetches pictures; ``private`` are hosts, HOST or HOST:PORT, that are asked wherever they are.

    Raises `ConfigError` for a host that is none.
    """

    def __init__(self, private: Collection[str] = ()) -> None:
        self.allowed = Allowed.of(private, ())

    async def fetch(self, url: str) -> bytes:
        """The bytes at an address.

        Raises `Refused`, in a few words, for an address that may not be asked, an answer that is
        no picture's, one over 20 MB, or one that does not come within ten seconds.
        """
        connector = aiohttp.TCPConnector(
            resolver=_Checked(self.allowed), use_dns_cache=False, force_close=True
        )
        try:
            async with aiohttp.ClientSession(
                connector=connector,
                timeout=_TIMEOUT,
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            ) as session:
                return await asyncio.wait_for(self._follow(session, url), _TIMEOUT.total)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
            raise Refused("could not be fetched") from None

    async def _follow(self, session: aiohttp.ClientSession, url: str) -> bytes:
        for _ in range(_MOST_REDIRECTS + 1):
            address = parse_address(url)
            self.allowed.check(address)
            at = URL(address.url, encoded=True)
            async with session.get(at, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    url = str(at.join(URL(response.headers.get("Location", ""))))
                    continue
                if response.status != 200:
                    raise Refused("could not be fetched")
                return await _body(response)
        raise Refused("too many redirects")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        found += chunk
        if len(found) > _MOST_BYTES:
            raise Refused("larger than 20 MB")
    return bytes(found)
