"""A web server with all that can go wrong with a picture, for tests."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

SLOW_S = 2.5
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def picture(number: int, kind: str = "JPEG") -> bytes:
    """A picture of its own for each number, 48 x 32."""
    noise = np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((48, 32)).save(out, kind)
    return out.getvalue()


@functools.cache
def bomb(side: int = 12_000) -> bytes:
    """A sound PNG of 1 bit a pixel: small as a file, large when decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    line = bytes(1 + side // 8)
    body = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@dataclass
class Pictures:
    """Where it listens, and how often each path was asked."""

    host: str = ""
    elsewhere: str = ""  # where /redirect-private leads
    asked: Counter[str] = field(default_factory=Counter)
    agents: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"


def _handler(server: Pictures) -> type[BaseHTTPRequestHandler]:
    large = bomb()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            with server.lock:
                server.asked[path] += 1
                server.agents.add(self.headers.get("User-Agent", ""))
                n_asked = server.asked[path]
            with contextlib.suppress(ConnectionError):  # the reader may have hung up
                self._answer(path, n_asked)

        def _answer(self, path: str, n_asked: int) -> None:
            jpeg = {"Content-Type": "image/jpeg"}
            name = path.strip("/").partition("/")[0]
            if name == "ok":
                self._send(200, picture(int(path[4:-4])), jpeg)
            elif name == "kind":
                self._send(200, picture(1, path[6:]))
            elif name == "gone":
                self._send(410)
            elif name == "redirect":
                self._send(302, b"", {"Location": "/ok/7.jpg"})
            elif name == "redirect-private":
                self._send(302, b"", {"Location": server.elsewhere})
            elif name == "redirect-file":
                self._send(302, b"", {"Location": "file:///etc/passwd"})
            elif name == "redirect-bracket":  # what urljoin raises at
                self._send(302, b"", {"Location": "http://[::1"})
            elif name == "gzip":
                self._send(200, gzip.compress(bytes(10_000_000)), {"Content-Encoding": "gzip"})
            elif name == "long-header":
                self._send(200, picture(1), {"X-Long": "a" * 1_000_000})
            elif name == "loop":
                self._send(302, b"", {"Location": "/loop"})
            elif name == "bomb.png":
                self._send(200, large)
            elif name == "vector.svg":
                self._send(200, SVG, {"Content-Type": "image/svg+xml"})
            elif name == "text.jpg":
                self._send(200, b"this is no picture\n", jpeg)
            elif name == "cut.jpg":  # a whole header, half a picture, and no more
                data = picture(3)
                self._send(200, data[: len(data) // 2], jpeg, length=len(data))
                self.close_connection = True
            elif name == "noisy.jpg":  # the header of a PNG and then nonsense
                self._send(200, picture(4, "PNG")[:33] + b"\0" * 100, jpeg)
            elif name == "slow":
                time.sleep(SLOW_S)
                self._send(200, picture(5), jpeg)
            elif name == "forever":
                self._stream(b"\xff" * 65536, 0.0)
            elif name == "trickle":
                self._stream(b"\xff", 0.2)
            elif name == "too-large":
                self._send(200, b"", jpeg, length=1 << 30)
                self.close_connection = True
            elif name == "noai":
                self._send(200, picture(6), {"X-Robots-Tag": "noai, noimageai"})
            elif name == "named":
                self._send(200, picture(6), {"X-Robots-Tag": "img2dataset: noindex"})
            elif name == "other-bot":
                self._send(200, picture(6), {"X-Robots-Tag": "googlebot: noindex"})
            elif name == "reserved":
                self._send(200, picture(6), {"tdm-reservation": "1"})
            elif name == "flaky":
                if n_asked % 2:
                    self._send(503)
                else:
                    self._send(200, picture(8), jpeg)
            elif path == "/%C3%A9%20a.jpg":
                self._send(200, picture(9), jpeg)
            else:
                self._send(404)

        def _send(
            self,
            status: int,
            body: bytes = b"",
            headers: dict[str, str] | None = None,
            length: int | None = None,
        ) -> None:
            self.send_response(status, "refused: as the server claims")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, piece: bytes, pause_s: float) -> None:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            while True:
                self.wfile.write(piece)
                time.sleep(pause_s)

    return Handler


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that hung up is no news."""


@contextlib.contextmanager
def serving_pictures(secure: ssl.SSLContext | None = None) -> Iterator[Pictures]:
    """Listen on a free port of this machine until the block ends."""
    server = Pictures()
    http = _Quiet(("127.0.0.1", 0), _handler(server))
    if secure is not None:
        http.socket = secure.wrap_socket(http.socket, server_side=True)
    http.daemon_threads = True
    http.block_on_close = False
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.host = f"127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
