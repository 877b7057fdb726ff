"""Which addresses may be asked: http and https, public, on ports for the web."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from yarl import URL

from laion_probe.errors import ConfigError

__all__ = ["Address", "Allowed", "Refused", "is_public", "parse_address"]

#: What a URL holds as it is: all of ASCII that is no space, control character, quote or bracket.
_AS_IT_IS = "!#$%&'()*+,-./:;=?@[]_~|^`{}\\"
_NUMBER = re.compile(r"\d+|0[xX][0-9a-fA-F]*")
_DEFAULT_PORT = {"http": 80, "https": 443}
#: IPv6 networks that carry an IPv4 address in their last 32 bits: NAT64 (RFC 6052, RFC 8215).
_NAT64 = tuple(ipaddress.ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48"))
#: Global to the library, but not for pictures: relays of 6to4 (RFC 7526), site-local addresses
#: (RFC 3879), documentation (RFC 9637), direct delegation of AS112 (RFC 7535).
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(n)
    for n in ("192.88.99.0/24", "192.31.196.0/24", "fec0::/10", "3fff::/20", "2001:4:112::/48")
)


class Refused(Exception):
    """A picture that is not asked for or not taken; the text says why, in a few fixed words."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address as it is sent: ``url`` is ASCII, ``host`` in lower case and without brackets."""

    url: str
    host: str
    port: int


def parse_address(url: str) -> Address:
    """The address that browsers would ask for: non-ASCII letters and spaces are encoded.

    Raises `Refused` for what is no http or https address, and for one that carries a user's name.

    >>> parse_address("https://bücher.example/é.jpg").url
    'https://xn--bcher-kva.example/%C3%A9.jpg'
    """
    text = re.sub(r"[\t\r\n]", "", url.strip())
    try:
        parts = urlsplit(text)
        if parts.scheme.lower() not in _DEFAULT_PORT:
            raise Refused("no http or https address")
        port = _DEFAULT_PORT[parts.scheme.lower()] if parts.port is None else parts.port
        raw = parts.hostname or ""
        host = raw if ":" in raw else (URL.build(scheme="http", host=raw).raw_host or "")
        rest = quote(parts.path or "/", safe=_AS_IT_IS)
        if parts.query:
            rest += "?" + quote(parts.query, safe=_AS_IT_IS)
    except ValueError:
        raise Refused("malformed address") from None
    if "@" in parts.netloc:
        raise Refused("address with a user name")
    host = host.lower()
    if not host or (":" not in host and not re.fullmatch(r"[a-z0-9._-]+", host)):
        raise Refused("malformed address")
    if ":" in host or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        # 127.1, 0177.0.0.1 and 2130706433 are this machine to some and a name to others.
        _require_ip(host)
    shown = f"[{host}]" if ":" in host else host
    given = "" if port == _DEFAULT_PORT[parts.scheme.lower()] else f":{port}"
    return Address(f"{parts.scheme.lower()}://{shown}{given}{rest}", host, port)


def _require_ip(text: str) -> None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        raise Refused("malformed address") from None
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
        # A zone is a network card of this machine, whatever the address before it.
        raise Refused("private address")


def is_public(ip: str) -> bool:
    """Whether an IP address is of the public internet, whatever form it is wrapped in.

    >>> [is_public(ip) for ip in ("1.1.1.1", "127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1")]
    [True, False, False, False]
    """
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(address in network for network in _NAT64):
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.scope_id is not None or not all(is_public(str(i)) for i in inner if i):
            return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local
    )


@dataclass(frozen=True)
class Allowed:
    """Hosts, HOST or HOST:PORT, that may be asked wherever they are, and ports of all others."""

    private: frozenset[str]
    ports: frozenset[int]

    @classmethod
    def of(cls, private: Collection[str], ports: Collection[int]) -> Allowed:
        """From options. Raises `ConfigError` for a host that is none."""
        for host in private:
            try:
                if "/" in host:
                    raise Refused("more than a host")
                parse_address(f"http://{host}/")
            except Refused:
                raise ConfigError(
                    f"allow_private '{host}' is no host: write HOST or HOST:PORT, such as "
                    "127.0.0.1:8080"
                ) from None
        return cls(frozenset(h.lower() for h in private), frozenset({80, 443, *ports}))

    def anywhere(self, host: str, port: int) -> bool:
        """Whether this host may be asked though its address is private."""
        shown = f"[{host}]" if ":" in host else host
        return not self.private.isdisjoint({shown, f"{shown}:{port}"})

    def check(self, address: Address) -> None:
        """Raises `Refused` where the port, or an IP address as it stands, is not allowed."""
        if self.anywhere(address.host, address.port):
            return
        with contextlib.suppress(ValueError):  # a name: its addresses are checked when resolved
            if not is_public(address.host):
                raise Refused("private address")
        if address.port not in self.ports:
            raise Refused("port that is not for the web")

    def public(self, host: str, port: int, found: list[str]) -> list[str]:
        """Those of the IP addresses of a name that may be connected to.

        A name with a private address among public ones is refused whole: it is no mistake that a
        picture's server makes. Raises `Refused`.
        """
        if not self.anywhere(host, port) and not all(is_public(ip) for ip in found):
            raise Refused("name of a private address")
        return found
