"""The one way out: a proxy on this machine that fetches rows by their number, and nothing else.

img2dataset's processes are given it as their proxy for every protocol, and ask for
``http://row.invalid/SHARD/ROW``. The gate looks the address up, follows redirects itself and checks
every hop (see `laion_probe.fetching.addresses`); a name is resolved once, and the very addresses
that were checked are connected to, so that one that resolves to something else a moment later
(DNS rebinding) gains nothing. What comes back is checked before it is handed on
(`laion_probe.fetching.answers`). Errors are told apart by their reason:

- ``403 refused: WHY``: not asked for, or not taken
- ``504 no answer: WHY``: no server, no name, no time, no end
- any other status is the server's own, with the standard phrase
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import hmac
import http
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from laion_probe.fetching.addresses import Address, Allowed, Refused, parse_address
from laion_probe.fetching.answers import check_hash, check_opt_out, check_picture

__all__ = ["NO_ANSWER", "REFUSED", "ROW_HOST", "Gate", "Limits", "Wanted", "open_gate"]

#: The host under which rows are asked for; no real one has such a name (RFC 6761).
ROW_HOST = "row.invalid"
REFUSED, NO_ANSWER = "refused: ", "no answer: "

_HOPS = 10
_PAUSE_S = 0.5  # before the first new try; each next one is twice as long
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_RESOLVERS = 64


@dataclass(frozen=True)
class Limits:
    """What one picture may take.

    ``timeout_s`` is for a server to connect, and between bytes; ``max_seconds`` for a row, tries
    and redirects included.
    """

    timeout_s: float
    max_seconds: float
    max_bytes: int
    max_pixels: int
    retries: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row's address as given, and the hash of its bytes ("sha256:HEX") where it is known."""

    url: str
    hash: str | None = None


class _NoAnswer(Exception):
    """Nothing whole came; the text says why."""


class _Status(Exception):
    """The server's own refusal."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class _Checked(AbstractResolver):
    """Names to addresses that may be connected to."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM
        )
        ips = {str(sockaddr[0]): kind for kind, _, _, _, sockaddr in found}
        return [
            ResolveResult(
                hostname=host,
                host=ip,
                port=port,
                family=ips[ip],
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for ip in self._allowed.public(host, port, list(ips))
        ]

    async def close(self) -> None:
        """Nothing to release."""


class Gate:
    """A running gate: `proxy` is what to give as http_proxy, `n_answered` counts rows so far.

    ``broken`` is an error of the gate's own: what it answered since is not to be trusted.
    """

    def __init__(
        self, limits: Limits, allowed: Allowed, look_up: Callable[[int, int], Wanted]
    ) -> None:
        self.limits, self.allowed, self._look_up = limits, allowed, look_up
        self.proxy = ""
        self.n_answered = 0
        self.broken: Exception | None = None
        token = secrets.token_urlsafe(18)
        self._user = f"row:{token}"
        self._expected = f"Basic {base64.b64encode(self._user.encode()).decode()}"
        self._session: aiohttp.ClientSession

    @contextlib.asynccontextmanager
    async def listening(self) -> Any:
        """Answer on a free port of this machine until the block ends."""
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        connector = aiohttp.TCPConnector(limit=0, resolver=_Checked(self.allowed))
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.limits.timeout_s, sock_read=self.limits.timeout_s
            ),
        )
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.proxy = f"http://{self._user}@127.0.0.1:{runner.addresses[0][1]}"
            yield
        finally:
            await self._session.close()
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        given = request.headers.get("Proxy-Authorization", "")
        if not hmac.compare_digest(given.encode(), self._expected.encode()):
            return web.Response(status=407, reason=f"{REFUSED}not from img2dataset")
        path = request.raw_path.removeprefix(f"http://{ROW_HOST}/")
        shard, _, row = path.partition("/")
        if request.method != "GET" or not (shard.isdecimal() and row.isdecimal()):
            return web.Response(status=403, reason=f"{REFUSED}no row")
        try:
            wanted = self._look_up(int(shard), int(row))
            data = await self._in_time(wanted, request.headers.get("User-Agent", ""))
            return web.Response(body=data, content_type="application/octet-stream")
        except Refused as why:
            return web.Response(status=403, reason=f"{REFUSED}{why}")
        except _NoAnswer as why:
            return web.Response(status=504, reason=f"{NO_ANSWER}{why}")
        except _Status as why:
            return web.Response(status=why.status, reason=_phrase(why.status))
        except Exception as error:  # of ours: the run ends with it
            self.broken = self.broken or error
            return web.Response(status=500, reason="the gate is broken")
        finally:
            self.n_answered += 1

    async def _in_time(self, wanted: Wanted, agent: str) -> bytes:
        try:
            async with asyncio.timeout(self.limits.max_seconds):
                for n_tried in range(self.limits.retries + 1):
                    try:
                        return await self._fetched(wanted, agent)
                    except (_NoAnswer, _Status) as why:
                        passing = not isinstance(why, _Status) or why.status in _PASSING
                        if not passing or n_tried == self.limits.retries:
                            raise
                    await asyncio.sleep(_PAUSE_S * 2**n_tried)
        except TimeoutError:
            raise _NoAnswer("took too long") from None
        raise AssertionError("the last try returns or raises")

    async def _fetched(self, wanted: Wanted, agent: str) -> bytes:
        """The picture of a row, as it is to be handed on."""
        address = parse_address(wanted.url)
        for _ in range(_HOPS):
            self.allowed.check(address)
            with _told():
                found = await self._hop(address, agent)
            if isinstance(found, bytes):
                check_hash(found, wanted.hash)
                check_picture(found, self.limits.max_pixels)
                return found
            address = _next(address, found)
        raise Refused("too many redirects")

    async def _hop(self, address: Address, agent: str) -> bytes | str:
        """The body, or where a redirect leads."""
        headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
        url = URL(address.url, encoded=True)
        async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
            check_opt_out(
                answer.headers.getall("X-Robots-Tag", []),
                answer.headers.getall("tdm-reservation", []),
            )
            if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                return answer.headers["Location"]
            if not 200 <= answer.status < 300:
                raise _Status(answer.status) if answer.status >= 400 else _NoAnswer("no picture")
            if (answer.content_length or 0) > self.limits.max_bytes:
                raise Refused("too many bytes")
            data = bytearray()
            async for piece in answer.content.iter_chunked(1 << 16):
                data += piece
                if len(data) > self.limits.max_bytes:
                    raise Refused("too many bytes")
            return bytes(data)


def _next(address: Address, location: str) -> Address:
    """Where a redirect leads; what a server wrote there may be anything."""
    try:
        target = urljoin(address.url, location)
    except ValueError:  # such as a bracket that is not closed
        raise Refused("malformed address") from None
    return parse_address(target)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What goes wrong on the way, in a few words."""
    try:
        yield
    except aiohttp.ClientConnectorDNSError:
        raise _NoAnswer("the name does not resolve") from None
    except aiohttp.ClientSSLError:
        raise _NoAnswer("no valid certificate") from None
    except aiohttp.ServerTimeoutError:
        raise _NoAnswer("timed out") from None
    except aiohttp.ClientConnectorError as error:
        refused = error.os_error.errno == errno.ECONNREFUSED
        raise _NoAnswer("connection refused" if refused else "no connection") from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientOSError):
        raise _NoAnswer("broken off") from None
    except ValueError:  # such as a name with a label of more than 63 letters
        raise Refused("malformed address") from None
    except aiohttp.ClientError:
        raise _NoAnswer("no proper HTTP") from None


def _phrase(status: int) -> str:
    """The standard phrase: a server's own could be any text."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


@contextlib.contextmanager
def open_gate(
    limits: Limits, allowed: Allowed, look_up: Callable[[int, int], Wanted]
) -> Iterator[Gate]:
    """A gate in a thread of its own; ``look_up`` gives row ``j`` of shard ``i``."""
    gate = Gate(limits, allowed, look_up)
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_RESOLVERS, "resolve"))

    async def serve() -> None:
        async with gate.listening():
            ready.set()
            await over.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except Exception as error:
            gate.broken = error
        finally:
            ready.set()
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=run, name="gate")
    thread.start()
    ready.wait()
    try:
        if gate.broken is not None:
            raise gate.broken
        yield gate
    finally:
        if thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(over.set)
        thread.join()
