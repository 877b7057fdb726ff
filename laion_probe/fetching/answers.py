"""Which answers are taken: no opt-out, a raster picture, not too many pixels, the hash if known."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable

from laion_probe.fetching.addresses import Refused

__all__ = [
    "AGENT",
    "DIRECTIVES",
    "NOT_DECODED",
    "check_hash",
    "check_opt_out",
    "check_picture",
    "picture_size",
]

#: The name by which sites may address us, in X-Robots-Tag, and that our requests carry.
AGENT = "img2dataset"
#: Directives that forbid the use of a picture: img2dataset's own defaults (its README).
DIRECTIVES = ("noai", "noimageai", "noindex", "noimageindex")
#: What has these reasons came, but is no picture to be decoded.
NOT_DECODED = frozenset({"no raster picture", "too many pixels"})

#: "none" stands for noindex, nofollow (Google Search Central, robots meta tag specifications).
_OPT_OUT = frozenset({*DIRECTIVES, "none"})
#: Directives with a value, so that their colon ends no user agent's name (the same page).
_VALUED = frozenset({"max-image-preview", "max-snippet", "max-video-preview", "unavailable_after"})
_AGENT_NAME = re.compile(r"[a-z*][a-z0-9*_./-]*")


def check_opt_out(robots: Iterable[str], reservations: Iterable[str]) -> None:
    """Raises `Refused` where the server says that its pictures are not to be used.

    ``robots`` are the values of X-Robots-Tag; what they say to another user agent is not for us.
    ``reservations`` are those of tdm-reservation, where 1 reserves the rights of text and data
    mining (W3C community group report "TDM Reservation Protocol", section 6).

    >>> check_opt_out(["googlebot: noindex", "max-snippet: -1, all"], [])
    >>> check_opt_out(["img2dataset: nofollow, noai"], [])
    Traceback (most recent call last):
    laion_probe.fetching.addresses.Refused: opted out (X-Robots-Tag: noai)
    """
    for value in robots:
        agent = "*"
        for part in value.lower().split(","):
            name, colon, rest = (p.strip() for p in part.partition(":"))
            directive = name
            if colon and name not in _VALUED and _AGENT_NAME.fullmatch(name):
                agent, directive = name, rest
            if agent in ("*", AGENT) and directive in _OPT_OUT:
                raise Refused(f"opted out (X-Robots-Tag: {directive})")
    if any(value.strip() == "1" for value in reservations):
        raise Refused("opted out (tdm-reservation)")


def check_hash(data: bytes, wanted: str | None) -> None:
    """Raises `Refused` where ``wanted`` ("sha256:HEX" or "md5:HEX", or None) is another's."""
    if wanted is None:
        return
    kind, _, digest = wanted.partition(":")
    if hashlib.new(kind, data, usedforsecurity=False).hexdigest() != digest.lower():
        raise Refused("hash mismatch")


def check_picture(data: bytes, max_pixels: int) -> None:
    """Raises `Refused` for what is no JPEG, PNG, WebP, GIF or BMP, or of too many pixels.

    Only headers are read, so that nothing large is made of something small.
    """
    size = picture_size(data)
    if size is None:
        raise Refused("no raster picture")
    if size[0] * size[1] > max_pixels:
        raise Refused("too many pixels")


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the header says; None where it is not of a known raster format.

    Layouts: PNG (W3C, IHDR), GIF89a (logical screen), BMP (BITMAPCOREHEADER and later), WebP
    (RFC 9649: VP8X, VP8L, VP8), JPEG (ITU-T T.81, SOFn).
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack_from("<HH", data, 6)
        elif data.startswith(b"BM"):
            core = struct.unpack_from("<I", data, 14)[0] == 12
            width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        elif data.startswith(b"\xff\xd8\xff"):
            return _jpeg_size(data)
        else:
            return None
    except struct.error:  # too short
        return None
    return abs(width), abs(height)


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        low, high = data[24:27], data[27:30]
        return int.from_bytes(low, "little") + 1, int.from_bytes(high, "little") + 1
    if kind == b"VP8L" and data[20:21] == b"\x2f":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """The largest of the frames' sizes: a decoder may take any of several."""
    at, found = 2, None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xDA:  # the scan begins
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            if found is None or width * height > found[0] * found[1]:
                found = (width, height)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return found
