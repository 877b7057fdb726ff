"""The simulated web: a local HTTP server that answers as the host of each URL would.

It speaks the proxy form of HTTP (`GET http://host/path`), so that img2dataset, sent
here by `http_proxy`, asks for the invented hosts under their own names and no name is
ever looked up. Faults are real: a short body, a closed socket, a page that is no image.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

from tools.demo_data.pool import Row
from tools.demo_data.scenes import draw
from tools.demo_data.sprites import Sprites

DRAWN_SIDE = 256
CLIENT_TIMEOUT_S = 3
_FORMAT = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}
_STATUS = {"http_404": 404, "http_403": 403, "http_500": 500}
_PAGE = b"<!doctype html><title>Gone</title><p>This picture has moved.</p>"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><circle r="9"/></svg>'


def picture(row: Row, sprites: Sprites) -> bytes:
    """The file that the host of this row sends: its real size, in its own format."""
    kind = row.url.rsplit(".", 1)[-1]
    if kind == "svg":
        return _SVG
    scale = DRAWN_SIDE / max(row.width, row.height)
    small = (round(row.width * scale), round(row.height * scale))
    image = draw(row.scene, sprites, *small)
    image = image.resize((row.width, row.height), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    options = {"quality": 85} if kind in ("jpg", "webp") else {}
    image.save(buffer, _FORMAT[kind], **options)
    return buffer.getvalue()


class _Handler(BaseHTTPRequestHandler):
    rows: dict[str, Row]
    sprites: Sprites
    lock: threading.Lock

    def do_GET(self) -> None:
        row = self.rows.get(self.path)
        if row is None:
            self._send(404, b"unknown", "text/plain")
        elif row.outcome in _STATUS:
            self._send(_STATUS[row.outcome], b"no", "text/plain")
        elif row.outcome == "not_an_image":
            self._send(200, _PAGE, "text/html")
        elif row.outcome == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
        elif row.outcome == "timeout":
            time.sleep(CLIENT_TIMEOUT_S + 1)
            self.close_connection = True
        else:
            with self.lock:
                body = picture(row, self.sprites)
            self._send(200, body, "image/*", cut=row.outcome == "truncated")

    def _send(self, status: int, body: bytes, kind: str, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Silent: thousands of requests, of which the failing ones are meant to fail."""


@contextmanager
def serving(rows: list[Row], sprites: Sprites) -> Iterator[str]:
    """The address of the server, to be used as `http_proxy`."""
    handler = type(
        "Handler",
        (_Handler,),
        {"rows": {row.url: row for row in rows}, "sprites": sprites, "lock": threading.Lock()},
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
