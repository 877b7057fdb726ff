"""The gate between img2dataset and the network: what may be asked, and what may come in."""

from __future__ import annotations

import datetime
import hashlib
import io
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fetch_server import Pictures, bomb, picture, serving_pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from laion_probe.errors import ConfigError
from laion_probe.fetching.addresses import Allowed, Refused, is_public, parse_address
from laion_probe.fetching.answers import check_opt_out, picture_size
from laion_probe.fetching.gate import ROW_HOST, Gate, Limits, Wanted, open_gate

LIMITS = Limits(timeout_s=0.4, max_seconds=1.6, max_bytes=500_000, max_pixels=10_000, retries=1)

Ask = Callable[..., tuple[int, str, bytes]]


@pytest.fixture(scope="module")
def server() -> Iterator[Pictures]:
    with serving_pictures() as pictures, serving_pictures() as elsewhere:
        pictures.elsewhere = elsewhere.url("/ok/1.jpg")
        yield pictures
        assert not elsewhere.asked, "nothing went to a private address by a redirect"


class Asking:
    """Asks a gate as img2dataset does, and says status, reason and body."""

    def __init__(self, gate: Gate, wanted: list[Wanted]) -> None:
        self.gate, self.wanted = gate, wanted

    def __call__(self, url: str, digest: str | None = None) -> tuple[int, str, bytes]:
        self.wanted.append(Wanted(url, digest))
        return self.plain(f"http://{ROW_HOST}/0/{len(self.wanted) - 1}", self.gate.proxy)

    def plain(self, url: str, proxy: str) -> tuple[int, str, bytes]:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"http": proxy, "https": proxy})
        )
        try:
            with opener.open(url, timeout=20) as answer:
                return answer.status, answer.reason, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.reason, b""


@pytest.fixture(scope="module")
def ask(server: Pictures) -> Iterator[Asking]:
    wanted: list[Wanted] = []
    allowed = Allowed.of([server.host], [])
    with open_gate(LIMITS, allowed, lambda shard, row: wanted[row]) as gate:
        yield Asking(gate, wanted)
        assert gate.broken is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_pictures_come_as_they_are(ask: Asking, server: Pictures, kind: str) -> None:
    assert ask(server.url(f"/kind/{kind}")) == (200, "OK", picture(1, kind))


def test_redirects_are_followed_and_tried_again(ask: Asking, server: Pictures) -> None:
    assert ask(server.url("/redirect"))[2] == picture(7)
    assert ask(server.url("/flaky"))[2] == picture(8)
    assert server.asked["/flaky"] == 2
    assert ask(server.url("/gone"))[:2] == (410, "Gone"), "the standard phrase, not the server's"
    assert server.asked["/gone"] == 1, "what is gone is not asked for again"


def test_letters_and_spaces_are_encoded(ask: Asking, server: Pictures) -> None:
    assert ask(server.url("/é a.jpg"))[2] == picture(9)
    assert ask(server.url("/%C3%A9%20a.jpg#part"))[2] == picture(9)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/redirect-private", "refused: private address"),
        ("/redirect-file", "refused: no http or https address"),
        ("/redirect-bracket", "refused: malformed address"),
        ("/loop", "refused: too many redirects"),
        ("/gzip", "refused: no raster picture"),
        ("/long-header", "no answer: no proper HTTP"),
        ("/bomb.png", "refused: too many pixels"),
        ("/vector.svg", "refused: no raster picture"),
        ("/text.jpg", "refused: no raster picture"),
        ("/forever", "refused: too many bytes"),
        ("/too-large", "refused: too many bytes"),
        ("/noai", "refused: opted out (X-Robots-Tag: noai)"),
        ("/named", "refused: opted out (X-Robots-Tag: noindex)"),
        ("/reserved", "refused: opted out (tdm-reservation)"),
        ("/cut.jpg", "no answer: broken off"),
        ("/slow", "no answer: timed out"),
        ("/trickle", "no answer: took too long"),
        ("/nothing", "Not Found"),
    ],
)
def test_what_is_not_taken_says_why(ask: Asking, server: Pictures, path: str, why: str) -> None:
    assert ask(server.url(path))[1:] == (why, b"")


def test_a_hash_that_is_known_must_be_that_of_the_bytes(ask: Asking, server: Pictures) -> None:
    url, data = server.url("/ok/1.jpg"), picture(1)
    for kind in ("sha256", "md5"):
        digest = hashlib.new(kind, data).hexdigest()
        assert ask(url, f"{kind}:{digest.upper()}")[0] == 200
        assert ask(url, f"{kind}:{digest[::-1]}")[1] == "refused: hash mismatch"


def test_only_what_is_said_to_others_is_passed_over(ask: Asking, server: Pictures) -> None:
    assert ask(server.url("/other-bot"))[0] == 200
    for values in (["noindex"], ["all", " NoImageAI "], ["none"], ["img2dataset: none"]):
        with pytest.raises(Refused, match="opted out"):
            check_opt_out(values, [])
    with pytest.raises(Refused):
        check_opt_out(["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], [])
    check_opt_out(["noarchive, max-image-preview: large", "otherbot: noai, noindex"], ["0"])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1/a.jpg", "private address"),
        ("http://127.0.0.1:1/a.jpg", "private address"),
        ("http://10.1.2.3/a.jpg", "private address"),
        ("http://169.254.169.254/latest/meta-data", "private address"),
        ("http://[::1]/a.jpg", "private address"),
        ("http://[::ffff:127.0.0.1]/a.jpg", "private address"),
        ("http://[64:ff9b::7f00:1]/a.jpg", "private address"),
        ("http://[fe80::1%25eth0]/a.jpg", "private address"),
        ("http://[2606:4700::1%25lo]/a.jpg", "private address"),
        ("http://[fec0::1]/a.jpg", "private address"),
        ("http://192.88.99.1/a.jpg", "private address"),
        ("http://0.0.0.0/a.jpg", "private address"),
        ("http://224.0.0.1/a.jpg", "private address"),
        ("http://127.1/a.jpg", "malformed address"),
        ("http://0177.0.0.1/a.jpg", "malformed address"),
        ("http://2130706433/a.jpg", "malformed address"),
        ("http://0x7f.0x1/a.jpg", "malformed address"),
        ("http://localhost/a.jpg", "name of a private address"),
        ("https://localhost/a.jpg", "name of a private address"),
        ("http://example.com:22/a.jpg", "port that is not for the web"),
        ("http://example.com:0/a.jpg", "port that is not for the web"),
        ("http://user:word@example.com/a.jpg", "address with a user name"),
        ("http://a..b/a.jpg", "malformed address"),
        (f"http://{'a' * 70}.example/a.jpg", "malformed address"),
        ("http:///a.jpg", "malformed address"),
        ("http://[::1/a.jpg", "malformed address"),
        ("file:///etc/passwd", "no http or https address"),
        ("<URL:file:///etc/passwd>", "no http or https address"),
        ("data:image/png;base64,AAAA", "no http or https address"),
        ("ftp://example.com/a.jpg", "no http or https address"),
        ("a.jpg", "no http or https address"),
        ("", "no http or https address"),
    ],
)
def test_addresses_that_are_not_asked(ask: Asking, url: str, why: str) -> None:
    assert ask(url)[:2] == (403, f"refused: {why}")


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(
    server: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when checked and private afterwards (DNS rebinding)."""
    answers = ["93.184.216.34", "127.0.0.1"]
    asked: list[str] = []
    connected: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: object, **more: object) -> object:
        if host != "rebind.example":
            return real(host, port, *rest, **more)  # type: ignore[arg-type]
        asked.append(host)
        ip = answers[min(len(asked) - 1, 1)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))]

    async def connect(addr_infos: list[tuple[object, ...]], **_: object) -> socket.socket:
        connected.extend(str(info[4][0]) for info in addr_infos)  # type: ignore[index]
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("aiohappyeyeballs.start_connection", connect)
    port = int(server.host.rpartition(":")[2])
    wanted: list[Wanted] = []
    limits = Limits(0.5, 5, 1000, 1000, retries=0)
    with open_gate(limits, Allowed.of([], [port]), lambda shard, row: wanted[row]) as gate:
        ask = Asking(gate, wanted)
        url = f"http://rebind.example:{port}/ok/1.jpg"
        before = server.asked.total()
        # the first of them was checked and was public: that very address is connected to
        assert ask(url)[1] == "no answer: connection refused"
        assert connected == ["93.184.216.34"]
        assert len(asked) == 1
    with open_gate(limits, Allowed.of([], [port]), lambda shard, row: wanted[row]) as gate:
        assert Asking(gate, wanted)(url)[1] == "refused: name of a private address"
    assert server.asked.total() == before
    assert connected == ["93.184.216.34"]


def test_the_gate_answers_nothing_but_rows_of_who_knows_its_word(
    ask: Asking, server: Pictures
) -> None:
    port = ask.gate.proxy.rpartition(":")[2]
    before = server.asked.total()
    row = f"http://{ROW_HOST}/0/0"
    ask.wanted.append(Wanted(server.url("/ok/1.jpg")))
    assert ask.plain(row, f"http://127.0.0.1:{port}")[0] == 407
    assert ask.plain(row, f"http://row:guess@127.0.0.1:{port}")[0] == 407
    for url in (server.url("/ok/1.jpg"), f"http://{ROW_HOST}/0/-1", f"http://{ROW_HOST}/"):
        assert ask.plain(url, ask.gate.proxy)[:2] == (403, "refused: no row")
    with pytest.raises(urllib.error.URLError, match="refused: no row"):
        ask.plain(f"https://{server.host}/ok/1.jpg", ask.gate.proxy)
    assert server.asked.total() == before


def test_a_certificate_that_nobody_vouches_for(ask: Asking, tmp_path: Path) -> None:
    with serving_pictures(_own_certificate(tmp_path)) as secure:
        secure_only = Allowed.of([secure.host], [])
        wanted = [Wanted(f"https://{secure.host}/ok/1.jpg")]
        with open_gate(LIMITS, secure_only, lambda shard, row: wanted[row]) as gate:
            answer = Asking(gate, []).plain(f"http://{ROW_HOST}/0/0", gate.proxy)
        assert answer[1] == "no answer: no valid certificate"
        assert not secure.asked


def _own_certificate(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "own.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_an_error_of_the_gate_is_kept() -> None:
    with open_gate(LIMITS, Allowed.of([], []), lambda shard, row: 1 / 0) as gate:  # type: ignore[arg-type,return-value]
        assert Asking(gate, [])("http://example.com/")[0] == 500
        assert isinstance(gate.broken, ZeroDivisionError)


def test_a_host_that_is_none_is_said() -> None:
    with pytest.raises(ConfigError, match="allow_private 'http://x' is no host"):
        Allowed.of(["http://x"], [])


@given(st.text(max_size=60))
def test_any_text_is_an_ascii_address_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://a.example/{text}"):
        try:
            address = parse_address(url)
        except Refused:
            continue
        assert address.url.isascii()
        assert address.url.isprintable()
        assert " " not in address.url
        assert parse_address(address.url) == address


@given(st.ip_addresses(v=4))
def test_an_address_is_as_private_however_it_is_wrapped(ip: object) -> None:
    if not is_public(str(ip)):
        value = int(ip)  # type: ignore[call-overload]
        for wrapped in (f"::ffff:{ip}", f"64:ff9b::{value >> 16:x}:{value & 0xFFFF:x}"):
            assert not is_public(wrapped)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("size", [(1, 1), (640, 481), (3001, 7)])
def test_sizes_are_as_pillow_reads_them(kind: str, size: tuple[int, int]) -> None:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, kind)
    data = out.getvalue()
    assert picture_size(data) == size
    head = min(len(data), 1500)  # sizes stand before; all of a large file would take seconds
    assert all(picture_size(data[:n]) in (None, size) for n in range(head))


def test_webp_of_each_layout_and_odd_files() -> None:
    for options in ({"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0II*\0"}):
        out = io.BytesIO()
        Image.new("RGBA", (130, 77), (1, 2, 3, 4)).save(out, "WEBP", **options)
        assert picture_size(out.getvalue()) == (130, 77)
    assert picture_size(bomb(80)) == (80, 80)
    exif = Path(__file__).parent.parent / "pyproject.toml"
    assert picture_size(exif.read_bytes()) is None
