"""Real servers on this machine for tests: HTTP with ranges and faults, and S3 (moto).

As fixtures: ``from servers import http_server, s3_server``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec  # noqa: F401  it keeps what FSSPEC_* says when it is first imported
import pytest

from laion_probe import remote


@dataclass
class Fault:
    """What goes wrong with one path, the first ``times`` that its bytes are asked for."""

    status: int = 0  # answer with this
    reset_after: int | None = None  # close the connection after so many bytes of the body
    no_ranges: bool = False  # answer 200 with all of it
    slow_s: float = 0.0  # wait before answering
    before: Callable[[], None] | None = None  # run first: write the file anew, say
    times: int = 10**9
    after: int = 0  # requests that go well first
    location: str = ""  # with a redirecting status


@dataclass
class HttpServer:
    """Serves a folder at ``url``; counts what it sends and how often it is asked."""

    folder: Path
    url: str = ""
    faults: dict[str, Fault] = field(default_factory=dict)
    n_bytes: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)  # path, Range
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        with self.lock:
            self.n_bytes = 0
            self.requests.clear()


def _handler(server: HttpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            wanted = self.headers.get("Range", "")
            with server.lock:
                server.requests.append((path, wanted))
                fault = self._fault(path)
            if fault.before is not None:
                fault.before()
            time.sleep(fault.slow_s)
            if fault.status:
                self._answer(fault.status, {"Location": fault.location} if fault.location else {})
                return
            file = server.folder / path.lstrip("/")
            if file.is_dir():
                links = "".join(f'<a href="{p.name}">{p.name}</a>' for p in sorted(file.iterdir()))
                self._answer(200, {"Content-Type": "text/html"}, links.encode())
                return
            if not file.is_file():
                self._answer(404)
                return
            data = file.read_bytes()
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'}
            status, body = 200, data
            ranges = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
            if ranges and not fault.no_ranges:
                start, stop = int(ranges[1]), min(int(ranges[2]) + 1, len(data))
                if start >= len(data):
                    self._answer(416, {**headers, "Content-Range": f"bytes */{len(data)}"})
                    return
                status, body = 206, data[start:stop]
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            self._answer(status, headers, body, fault.reset_after)

        def _fault(self, path: str) -> Fault:
            fault = server.faults.get(path)
            if fault is None or self.command == "HEAD":
                return Fault()
            if fault.after:
                fault.after -= 1
                return Fault()
            fault.times -= 1
            return fault if fault.times >= 0 else Fault()

        def _answer(
            self,
            status: int,
            headers: dict[str, str] | None = None,
            body: bytes = b"",
            reset_after: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            sent = body if reset_after is None else body[:reset_after]
            with server.lock:  # before it is sent: the reader goes on as soon as it has it
                server.n_bytes += len(sent)
            with contextlib.suppress(ConnectionError):  # the reader may have hung up
                self.wfile.write(sent)
                self.wfile.flush()
            if reset_after is not None:
                self.close_connection = True

    return Handler


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[HttpServer]:
    """Serve ``folder`` until the block ends."""
    server = HttpServer(folder)
    with _listening(_handler(server)) as server.url:
        yield server


@contextlib.contextmanager
def _listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    http.block_on_close = False  # kept-alive connections
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def http_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """An HTTP server over ``tmp_path / "served"``; the library does not wait between tries."""
    monkeypatch.setattr(remote, "DELAY_S", 0.01)
    folder = tmp_path / "served"
    folder.mkdir()
    remote.forget_filesystems()
    with serving(folder) as server:
        yield server
        remote.forget_filesystems()


@contextlib.contextmanager
def hub(folder: Path, *, gated: bool = False) -> Iterator[str]:
    """What of the Hugging Face hub it takes to list and read the data set ``ns/set``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
            named = [f for f in self.files() if f["path"] in unquote(asked)]
            self.answer(200, json.dumps(named).encode())

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if gated and not self.headers.get("Authorization"):
                headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."}
                self.answer(401, b"{}", headers)
            elif path.startswith("/api/datasets/ns/set/tree/"):
                self.answer(200, json.dumps(self.files()).encode())
            elif path.startswith("/api/datasets/ns/set"):
                found = {"id": "ns/set", "sha": "0" * 40, "siblings": [], "private": False}
                self.answer(200, json.dumps({**found, "gated": False, "tags": []}).encode())
            elif path.startswith("/datasets/ns/set/resolve/main/"):
                data = (folder / path.rpartition("/")[2]).read_bytes()
                first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups()  # type: ignore[union-attr]
                self.answer(206, data[int(first) : int(last) + 1])
            else:
                self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def files(self) -> list[dict[str, object]]:
            return [
                {
                    "type": "file",
                    "path": p.name,
                    "size": p.stat().st_size,
                    "oid": hashlib.sha256(p.read_bytes()).hexdigest()[:40],
                }
                for p in sorted(folder.iterdir())
            ]

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    with _listening(Handler) as url:
        yield url


@pytest.fixture(scope="session")
def _moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    # It loads its S3 at the first request, in its own thread: let no warning of that be an error.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _s3_client(endpoint).list_buckets()
    yield endpoint
    server.stop()


def _s3_client(endpoint: str):
    import boto3

    session = boto3.Session("key", "secret", region_name="us-east-1")  # none that is shared
    return session.client("s3", endpoint_url=endpoint)


@dataclass(frozen=True)
class S3Server:
    """An S3 server; ``put`` stores bytes, in a bucket of this test's own."""

    endpoint: str
    bucket: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    def put(self, key: str, data: bytes, acl: str = "private") -> None:
        self._client().put_object(Bucket=self.bucket, Key=key, Body=data, ACL=acl)

    def _client(self):
        return _s3_client(self.endpoint)


@pytest.fixture
def s3_server(_moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A fresh bucket on a real S3 server, and the environment that makes it S3."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_ENDPOINT_URL", _moto)
    monkeypatch.setattr(remote, "DELAY_S", 0.01)
    remote.forget_filesystems()
    server = S3Server(_moto, f"test-{time.monotonic_ns()}")
    server._client().create_bucket(Bucket=server.bucket)
    yield server
    remote.forget_filesystems()
