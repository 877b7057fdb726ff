"""Who may ask a server that may have a token, and that other pages may be allowed to ask.

Without a token only this machine is answered, under its own names, so that no site's page reaches
it by a name of its own (DNS rebinding). With one, whoever sends it is: as ``Authorization: Bearer``
or as the first part of the path, for clients that take nothing but an address. Pages of other
addresses are refused, but for those that the operator names; and each address may ask so often.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from laion_probe.web.guard import HEADERS
from laion_probe.web.limits import TokenBuckets

__all__ = ["Access", "admit"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Told why a request is refused, in one of a few words.
Refused = Callable[[str], None]

_SHOWN = "X-Applied, Retry-After"


@dataclass(frozen=True)
class Access:
    """The rules: a token or None, other pages' origins, requests a second, pictures from sites."""

    token: str | None
    origins: tuple[str, ...]
    rate: float
    thumbnails: bool = False


def admit(app: web.Application, access: Access, refused: Refused) -> None:
    """Refuse whom the rules do not admit, and set headers on all answers, errors too."""
    buckets = TokenBuckets(access.rate, max(10.0, 2 * access.rate))
    headers = dict(HEADERS)
    if access.thumbnails:
        policy = headers["Content-Security-Policy"]
        headers["Content-Security-Policy"] = policy.replace(
            "img-src 'self'", "img-src 'self' blob: https: http:"
        )
    else:
        policy = headers["Content-Security-Policy"]
        headers["Content-Security-Policy"] = policy.replace(
            "img-src 'self'", "img-src 'self' blob:"
        )

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if wait := buckets.wait_s(request.remote or "", time.monotonic()):
            refused("rate")
            raise web.HTTPTooManyRequests(
                text="too many requests from this address: wait",
                headers={"Retry-After": str(int(wait) + 1)},
            )
        if why := _not_from_here(request, access):
            refused("origin")
            raise web.HTTPForbidden(text=why)
        if request.method == "OPTIONS" and request.headers.get("Origin") in access.origins:
            return web.Response(status=204)
        if access.token is not None and not _has_token(request, access.token):
            refused("token")
            raise web.HTTPUnauthorized(
                text="this server needs its token: as Authorization: Bearer, or in the address",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)
        origin = request.headers.get("Origin", "")
        if origin in access.origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers["Access-Control-Expose-Headers"] = _SHOWN
            response.headers["Vary"] = "Origin"

    app.middlewares.append(check)
    app.on_response_prepare.append(set_headers)


def _not_from_here(request: web.Request, access: Access) -> str:
    """Why the request is refused, in words; '' where it is not."""
    given = request.headers.getall("Host", [])
    if len(given) != 1 or (access.token is None and given[0] not in _own_hosts(request)):
        return "this server is asked for by its address on this machine only"
    own = (f"http://{request.host}", f"https://{request.host}", *access.origins)
    origins = request.headers.getall("Origin", [])
    if any(origin not in own for origin in origins):
        return "another site's page may not ask here (the operator can name it: --allow-origin)"
    if origins:
        return ""
    # A link elsewhere may open the page; no more than that.
    opened = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method == "GET"
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not opened:
        return "another site's page may not ask here"
    return ""


def _own_hosts(request: web.Request) -> tuple[str, ...]:
    """What a caller on this machine calls the address and port that were asked."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    address, port = (name[0], name[1]) if name else ("127.0.0.1", 0)
    names = {"127.0.0.1", "localhost", f"[{address}]" if ":" in address else address}
    return (*(f"{n}:{port}" for n in names), *(names if port == 80 else ()))


def _has_token(request: web.Request, token: str) -> bool:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    first = unquote(request.rel_url.raw_path).lstrip("/").partition("/")[0]
    sent = (bearer.strip() if scheme.lower() == "bearer" else "", first)
    # Both are compared, so that the time it takes says nothing.
    return bool(sum(hmac.compare_digest(one.encode(), token.encode()) for one in sent))
