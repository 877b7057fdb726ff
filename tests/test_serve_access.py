"""The search server: what it fetches, whom it answers, and how it stands many callers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from fake_serving import (
    FACE,
    HOSTILE,
    SCENE,
    N,
    as_text,
    ask,
    brute,
    collection,
    knn,
    ranked,
    run,
    vectors,
    write_folder,
)
from servers import Fault, HttpServer, serving

from laion_probe.config import make_config
from laion_probe.config.serving import ServeConfig
from laion_probe.errors import ConfigError
from laion_probe.questions.serving import Space
from laion_probe.web.limits import Batches, TokenBuckets
from laion_probe.web.serve import make_app, serve

TOKEN = "a-token-of-a-test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("embeddings"))


QUERY = vectors()[30].tolist()


# Pictures by their address


@pytest.fixture
def site(tmp_path: Path) -> Any:
    (tmp_path / "scene.png").write_bytes(SCENE)
    (tmp_path / "face.png").write_bytes(FACE)
    (tmp_path / "page.png").write_bytes(b"<html>")
    (tmp_path / "large.png").write_bytes(bytes((20 << 20) + 1))
    with serving(tmp_path) as server:
        yield server


def test_a_picture_is_fetched_from_where_the_operator_allows(
    folder: Path, site: HttpServer
) -> None:
    host = site.url.removeprefix("http://")
    site.faults["/moved.png"] = Fault(status=302, location="/scene.png")
    site.faults["/round.png"] = Fault(status=302, location="/round.png")
    site.faults["/gone.png"] = Fault(status=404)

    async def scenario(client: TestClient) -> None:
        uploaded = await knn(client, image=as_text(SCENE))
        for name in ("scene.png", "moved.png"):
            assert await knn(client, image_url=f"{site.url}/{name}") == uploaded
        wrong = {
            "face.png": (403, "docs/ethics.md"),
            "page.png": (400, "not a readable picture"),
            "large.png": (400, "larger than 20 MB"),
            "round.png": (400, "too many redirects"),
            "gone.png": (400, "could not be fetched"),
        }
        for name, (status, words) in wrong.items():
            found, body, _ = await ask(client, image_url=f"{site.url}/{name}")
            assert (found, words in body["error"]) == (status, True), (name, body)

    run(collection(folder), scenario, allow_private=(host,))


def test_no_private_address_is_asked_whatever_it_is_written_like(
    folder: Path, site: HttpServer
) -> None:
    port = site.url.rpartition(":")[2]
    hosts = [
        "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "0177.0.0.1",
        "127.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "[fe80::1]", "[fc00::1]", "[ff02::1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost",
    ]  # fmt: skip
    urls = [f"http://{host}:{p}/scene.png" for host in hosts for p in (port, 80)]
    urls += ["file:///etc/passwd", "ftp://a.example/x", "data:image/png;base64,AAAA", "//x", "x"]
    urls += [f"http://a@127.0.0.1:{port}/scene.png", "http:///x", "http://[::1/x"]

    async def scenario(client: TestClient) -> None:
        for url in urls:
            status, body, _ = await ask(client, image_url=url)
            assert (status, body["error"].startswith("image_url: ")) == (400, True), url
        assert site.requests == []

    run(collection(folder), scenario)


def test_neither_a_redirect_nor_a_name_leads_to_a_private_address(
    folder: Path, site: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once, and what was checked is what is connected to."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "scene.png").write_bytes(SCENE)
    asked: list[str] = []
    answers = {"rebound.example": ["127.0.0.1"], "two.example": ["1.1.1.1", "127.0.0.1"]}
    resolve = socket.getaddrinfo

    def fake(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in answers:
            return resolve(host, port, *args, **kwargs)
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, int(port))) for ip in answers[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    with serving(inner) as secret:
        site.faults["/to.png"] = Fault(status=302, location=f"{secret.url}/scene.png")
        site.faults["/named.png"] = Fault(status=302, location="http://rebound.example/scene.png")
        urls = [f"{site.url}/to.png", f"{site.url}/named.png"]
        urls += [f"http://{name}/scene.png" for name in answers]

        async def scenario(client: TestClient) -> None:
            for url in urls:
                assert (await ask(client, image_url=url))[0] == 400

        run(collection(folder), scenario, allow_private=(site.url.removeprefix("http://"),))
        assert secret.requests == []
        assert asked == ["rebound.example", "rebound.example", "two.example"]


# Whom it answers

GETS = ("/", "/static/search.js", "/settings", "/indices-list", "/metrics")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "example.org"},
        {"Host": "127.0.0.1"},
        {"Host": "rebound.example:80"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_another_sites_page_is_refused(folder: Path, headers: dict[str, str]) -> None:
    async def scenario(client: TestClient) -> None:
        for path in GETS:
            async with client.get(path, headers=headers) as answer:
                assert answer.status == 403
        async with client.post("/knn-service", data=b"{}", headers=headers) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers

    run(collection(folder), scenario)


def test_a_page_that_the_operator_names_may_ask(folder: Path) -> None:
    front = {"Origin": "http://127.0.0.1:1235", "Sec-Fetch-Site": "same-site"}

    async def scenario(client: TestClient) -> None:
        body = json.dumps({"text": "a cat", "modality": "image", "num_images": 3})
        async with client.post("/knn-service", data=body, headers=front) as answer:
            assert len(await answer.json()) == 3
            assert answer.headers["Access-Control-Allow-Origin"] == front["Origin"]
            assert "X-Applied" in answer.headers["Access-Control-Expose-Headers"]
            assert answer.headers["Vary"] == "Origin"
        async with client.options("/knn-service", headers=front) as answer:
            assert answer.status == 204
        async with client.get("/indices-list", headers={"Origin": "http://other.example"}) as other:
            assert other.status == 403
            assert "Access-Control-Allow-Origin" not in other.headers

    run(collection(folder), scenario, allow_origin=("http://127.0.0.1:1235",))


def test_with_a_token_only_those_who_send_it_are_answered(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for path in GETS:
            async with client.get(path) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert TOKEN not in await answer.text()
            for at, headers in ((path, bearer), (f"/{TOKEN}{path}", {})):
                async with client.get(at, headers=headers) as answer:
                    assert answer.status == 200, at
            for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%00", "é"):
                async with client.get(f"/{wrong}{path}") as answer:
                    assert answer.status == 401
                headers = {"Authorization": f"Bearer {wrong}"}
                async with client.get(path, headers=headers) as answer:
                    assert answer.status == 401
        # Behind a name, as a server for others is.
        async with client.get(f"/{TOKEN}/", headers={"Host": "search.example"}) as answer:
            assert answer.status == 200
        evil = {"Host": "search.example", "Origin": "https://evil.example"}
        async with client.get(f"/{TOKEN}/", headers=evil) as answer:
            assert answer.status == 403
        async with client.get("/metrics", headers=bearer) as answer:
            assert TOKEN not in await answer.text()

    run(collection(folder), scenario, token=TOKEN)


def test_who_asks_too_often_is_told_when_to_come_again(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        seen = []
        for _ in range(14):
            async with client.get("/indices-list") as answer:
                seen.append(answer.status)
                if answer.status == 429:
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert (await answer.json())["error"]
        assert seen[:10] == [200] * 10
        assert seen[-1] == 429

    run(collection(folder), scenario, rate=0.5)


def test_a_request_that_is_too_large_is_refused(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        status, body, _ = await ask(client, image="A" * 200_000)
        assert (status, bool(body["error"])) == (413, True)

    run(collection(folder), scenario, max_request_mb=0.1)


def test_every_answer_runs_nothing_foreign_and_is_kept_nowhere(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        for path in (*GETS, "/nowhere", "/knn-service", "/../x", "/static/../serve.py"):
            async with client.get(path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; script-src 'self'; ")
                assert "img-src 'self' blob:;" in policy
                assert "unsafe" not in policy
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert "Set-Cookie" not in answer.headers
                assert "aiohttp" not in answer.headers["Server"]

    async def shown(client: TestClient) -> None:
        async with client.get("/") as answer:
            policy = answer.headers["Content-Security-Policy"]
        assert "img-src 'self' blob: https: http:;" in policy
        assert "script-src 'self';" in policy

    run(collection(folder), scenario)
    run(collection(folder), shown, thumbnails=True)


def test_the_page_brings_nothing_inline_and_makes_no_markup_of_data(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        async with client.get("/") as answer:
            page = await answer.text()
        assert "style=" not in page
        assert "onclick" not in page
        assert page.count("<script") == page.count('<script type="module" src="static/') == 1
        for name in ("search.js", "page.js"):
            async with client.get(f"/static/{name}") as answer:
                script = await answer.text()
            for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
                assert word not in script

    run(collection(folder), scenario)


def test_hostile_captions_come_back_as_json_and_as_they_are(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        rows = await knn(client, embedding_input=QUERY, num_images=N)
        assert {r["caption"] for r in rows} >= set(HOSTILE)

    run(collection(folder), scenario)


def test_the_pages_settings_name_files_on_this_machine_alone(folder: Path) -> None:
    async def local(client: TestClient) -> None:
        async with client.get("/settings") as answer:
            body = await answer.json()
        assert body["collections"][0]["folder"] == str(folder)
        assert body["thumbnails"] is False

    async def remote(client: TestClient) -> None:
        async with client.get(f"/{TOKEN}/settings") as answer:
            text = await answer.text()
        assert str(folder) not in text
        assert "secret-model" not in text

    run(collection(folder), local)
    run(collection(folder), remote, host="0.0.0.0", token=TOKEN, model="local-dir:secret-model")


# Under load


def test_metrics_count_and_say_nothing_of_what_was_asked(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        await knn(client, text="an unusual query", use_safety_model=True)
        await ask(client, text="another", indice_name="nowhere")
        async with client.get("/metrics") as answer:
            assert answer.content_type == "text/plain"
            text = await answer.text()
        assert "unusual" not in text
        assert "nowhere" not in text
        for line in (
            "full_knn_request_time_count 2.0",
            "text_clip_inference_time_count 1.0",
            "knn_index_time_count 1.0",
            "metadata_get_time_count 1.0",
            'laion_probe_requests_total{endpoint="knn",status="200"} 1.0',
            'laion_probe_requests_total{endpoint="knn",status="404"} 1.0',
            'laion_probe_rows{collection="made-up"} 60.0',
            "laion_probe_searches_waiting 0.0",
        ):
            assert line in text, line

    run(collection(folder), scenario)


def test_searches_that_wait_become_one_and_each_gets_its_own_rows(folder: Path) -> None:
    sizes: list[tuple[int, int]] = []
    images = collection(folder).spaces["image"].embeddings
    plain = brute(images)

    def slow(queries: np.ndarray, k: int) -> Any:
        time.sleep(0.05)
        sizes.append((len(queries), k))
        return plain(queries, k)

    queries = vectors()[:30]

    async def main() -> None:
        with ThreadPoolExecutor(2) as pool:
            batches = Batches(slow, pool, at_once=1)
            asked = [batches.ask(q, 3 + 4 * (i % 2)) for i, q in enumerate(queries)]
            found = await asyncio.gather(*asked)
        for i, (rows, scores) in enumerate(found):
            assert rows.tolist() == ranked(queries[i], 3 + 4 * (i % 2))
            assert len(scores) == len(rows)

    asyncio.run(main())
    assert sum(n for n, _ in sizes) == 30
    assert len(sizes) <= 3


def test_a_search_that_fails_fails_its_callers_and_no_others(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = collection(folder).spaces["image"].embeddings
    plain, broken = brute(images), threading.Event()

    def search(queries: np.ndarray, k: int) -> Any:
        if broken.is_set():
            raise OSError("/secret/file is gone")
        return plain(queries, k)

    made = collection(folder, spaces={"image": Space(images, search, "exact")})

    async def scenario(client: TestClient) -> None:
        broken.set()
        status, body, _ = await ask(client, text="a cat")
        assert (status, "secret" in str(body)) == (500, False)
        broken.clear()
        assert len(await knn(client, text="a cat")) == 5

    run(made, scenario)
    assert "/secret/file is gone" in caplog.text


def test_more_requests_than_there_are_places_for_are_told_to_come_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laion_probe.web.answering._MOST_AT_ONCE", 4)
    images = collection(folder).spaces["image"].embeddings
    plain, go = brute(images), threading.Event()

    def search(queries: np.ndarray, k: int) -> Any:
        assert go.wait(5)
        return plain(queries, k)

    made = collection(folder, spaces={"image": Space(images, search, "exact")})

    async def scenario(client: TestClient) -> None:
        held = [asyncio.create_task(ask(client, embedding_input=QUERY)) for _ in range(4)]
        await asyncio.sleep(0.1)
        status, body, _ = await ask(client, embedding_input=QUERY)
        assert (status, "come again" in body["error"]) == (503, True)
        go.set()
        assert {status for status, _, _ in await asyncio.gather(*held)} == {200}
        assert (await ask(client, embedding_input=QUERY))[0] == 200

    run(made, scenario)


def test_buckets_fill_at_the_rate_and_hold_the_burst() -> None:
    buckets = TokenBuckets(rate=2, burst=3)
    at = [buckets.wait_s("10.0.0.1", now) for now in (0, 0, 0, 0, 0.5, 0.5, 100, 100, 100, 100)]
    assert at == [0, 0, 0, 0.5, 0, 0.5, 0, 0, 0, 0.5]
    assert buckets.wait_s("10.0.0.2", 0) == 0
    # One subscriber has a /64 of addresses.
    assert [buckets.wait_s(f"2001:db8::{i}", 0) for i in range(4)] == [0, 0, 0, 0.5]
    assert buckets.wait_s("2001:db8:0:1::1", 0) == 0
    for i in range(20_000):
        buckets.wait_s(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", 200)
    assert len(buckets._left) == 10_000


# Options, and the command


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, "can be reached by others: give --token"),
        ({"host": "search.example"}, "give --token"),
        ({"token": "short"}, "must be 16 to 200"),
        ({"token": "slash/slash/slash/slash"}, "must be 16 to 200"),
        ({"allow_origin": ("http://a.example/path",)}, "without a path"),
        ({"allow_origin": ("*",)}, "without a path"),
        ({"embeddings": ()}, "embeddings"),
        ({"image_queries": "faces"}, "scenes"),
    ],
)
def test_options_that_would_open_a_door_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_config({"embeddings": ("x",), **options}, ServeConfig)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_this_machines_own_addresses_need_no_token(host: str) -> None:
    assert ServeConfig(embeddings=("x",), host=host).is_local


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_address_that_is_listened_on_is_answered(folder: Path, host: str) -> None:
    async def scenario() -> None:
        app = make_app([collection(folder)], ServeConfig(embeddings=("x",), host=host))
        client = TestClient(TestServer(app, host=host))
        async with client, client.get("/indices-list") as answer:
            assert answer.status == 200

    asyncio.run(scenario())


def test_the_command_says_what_it_serves_and_where(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "removed").write_text("row:mine:3\n", encoding="utf-8")
    config = ServeConfig(embeddings=(f"mine={folder}",), port=0, removed=str(tmp_path / "removed"))
    lines = serve(config)
    assert next(lines) == "mine: 60 rows, search of image (exact), by embedding; 1 rows are removed"
    said = next(lines)
    assert said.startswith("search page: http://127.0.0.1:")
    port = int(said.split(":")[3].partition("/")[0])
    assert (
        next(lines) == f'ClipClient(url="http://127.0.0.1:{port}/knn-service", indice_name="mine")'
    )
    with pytest.raises(ConfigError, match=f"port {port} cannot be used"):
        list(serve(config.model_copy(update={"port": port})))
    lines.close()
    with socket.socket() as free:
        assert free.connect_ex(("127.0.0.1", port)) != 0
