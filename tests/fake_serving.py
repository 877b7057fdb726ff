"""Collections for tests of the search server: small, known, and hostile where it hurts."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from numpy.typing import NDArray
from PIL import Image

from laion_probe.config.serving import ServeConfig
from laion_probe.embed import decode, load_embedder
from laion_probe.questions.face_queries import FACE_PROMPTS
from laion_probe.questions.serving import Collection, Search, Space
from laion_probe.questions.serving_metadata import open_rows
from laion_probe.vectors import Embeddings, open_embeddings
from laion_probe.web.serve import make_app

N, DIM = 60, 8
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "\u202egnp.exe \u0000\u0007\u001b[31mred",
    "{{7*7}} ${7*7} `$(reboot)`",
    "it's; rm -rf ~",
)
Floats = NDArray[np.float32]


def vectors() -> Floats:
    """Unit vectors; rows 20 and 21 are near-identical to row 3, and row 40 to row 41."""
    v = np.random.default_rng(5).normal(size=(N, DIM)).astype(np.float32)
    v[20] = v[3] + 0.001
    v[21] = v[3] - 0.002
    v[40] = v[41] * 3
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def metadata() -> pl.DataFrame:
    number = range(N)
    unsafe = {9: None, 8: float("nan")}
    return pl.DataFrame(
        {
            "image_path": [f"{i:09d}" for i in number],
            "caption": [None if i == 7 else caption(i) for i in number],
            "url": [None if i == 8 else f"https://Pictures.example/{i}.jpg" for i in number],
            "NSFW": ["UNLIKELY"] * N,
            "punsafe": [unsafe.get(i % 10, i / N) for i in number],
            "aesthetic": [None if i == 3 else (i * 7 % 100) / 10 for i in number],
            "LANGUAGE": [("en", "fr", None)[i % 3] for i in number],
            "uid": [f"u{i}" for i in number],
            "secret": ["not answered"] * N,
        }
    )


def caption(i: int) -> str:
    return HOSTILE[i % 11] if i % 11 < len(HOSTILE) else f"picture {i}"


def write_folder(
    root: Path, columns: Sequence[str] | None = None, text: bool = False, parts: int = 2
) -> Path:
    """clip-retrieval's layout, in parts of row groups of 10."""
    v, frame = vectors(), metadata()
    frame = frame.select(columns) if columns is not None else frame
    size = N // parts
    for name in ("img_emb", "metadata", *(["text_emb"] if text else [])):
        (root / name).mkdir(parents=True, exist_ok=True)
    for i in range(parts):
        some = slice(i * size, (i + 1) * size)
        np.save(root / "img_emb" / f"img_emb_{i}.npy", v[some].astype(np.float16))
        if text:
            np.save(root / "text_emb" / f"text_emb_{i}.npy", -v[some].astype(np.float16))
        frame[some].write_parquet(root / "metadata" / f"metadata_{i}.parquet", row_group_size=10)
    return root


class FakeEncoder:
    """Words as a direction of their own; a reddish picture is a face, any other a scene."""

    def texts(self, prompts: Sequence[str]) -> Floats:
        made = []
        for prompt in prompts:
            if prompt in FACE_PROMPTS:
                made.append(np.eye(DIM)[0])
                continue
            seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")
            v = np.random.default_rng(seed).normal(size=DIM)
            v[0] = -abs(v[0])
            made.append(v / np.linalg.norm(v))
        return np.array(made, np.float32)

    captions = texts

    def images(self, pictures: Sequence[Image.Image]) -> Floats:
        def one(picture: Image.Image) -> NDArray[np.float64]:
            r, g, b = np.asarray(picture.resize((1, 1)))[0, 0] / 255
            if r > max(g, b):
                return np.eye(DIM)[0]
            v = np.array([-1, g, b, 0.2, 0.1, 0, 0, 0])
            return v / np.linalg.norm(v)

        return np.array([one(p) for p in pictures], np.float32)


def brute(embeddings: Embeddings) -> Search:
    every = embeddings.vectors(np.arange(embeddings.n_rows))
    every /= np.linalg.norm(every, axis=1, keepdims=True)

    def search(queries: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
        scores = queries @ every.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return order.astype(np.int64), np.take_along_axis(scores, order, axis=1)

    return search


def collection(folder: Path, name: str = "made-up", **changes: Any) -> Collection:
    images = open_embeddings(folder)
    spaces = {"image": Space(images, brute(images), "exact")}
    if (folder / "text_emb").exists():
        texts = open_embeddings(folder, "text")
        spaces["text"] = Space(texts, brute(texts), "exact")
    given = {"spaces": spaces, "rows": open_rows(images), "encoder": FakeEncoder()}
    return Collection(name, **{**given, "removed": np.zeros(0, np.int64), **changes})


def png(colour: str = "#205080", size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


#: A picture of a scene, and one of a face, as the fake encoder sees them.
SCENE, FACE = png(), png("#d02020")


def demo_folder(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the demo's first two tars, embedded with its checkpoint, once a process."""
    out = tmp_path_factory.getbasetemp() / "embedded" / "demo"
    if out.exists():
        return out
    embedder = load_embedder(f"local-dir:{demo / 'clip'}", None)
    for name in ("img_emb", "metadata"):
        (out / name).mkdir(parents=True)
    for number in range(2):
        pictures, rows = [], []
        with tarfile.open(demo / "images" / f"{number:05d}.tar") as tar:
            for member in tar.getmembers():
                file = tar.extractfile(member)
                assert file is not None
                if member.name.endswith(".json"):
                    known = json.load(file)
                    rows.append({"caption": known["caption"], "url": known["url"]})
                elif not member.name.endswith(".txt"):
                    pictures.append(decode(file.read()))
        made = [embedder.images(pictures[i : i + 128]) for i in range(0, len(pictures), 128)]
        np.save(out / "img_emb" / f"img_emb_{number}.npy", np.concatenate(made).astype(np.float16))
        frame = pl.DataFrame(rows).with_row_index("image_path")
        frame.write_parquet(out / "metadata" / f"metadata_{number}.parquet")
    (out / "key.json").write_text(json.dumps(embedder.key), encoding="utf-8")
    return out


@contextlib.contextmanager
def served_here(collections: Sequence[Collection], **options: Any) -> Iterator[str]:
    """The address of a server in a thread of this process, until the block ends."""
    config = ServeConfig(embeddings=("x",), **{"rate": 1e6, **options})
    loop = asyncio.new_event_loop()

    async def begin() -> tuple[web.AppRunner, int]:
        runner = web.AppRunner(make_app(collections, config), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1]

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner, port = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


Scenario = Callable[[TestClient], Awaitable[None]]


def run(collections: Collection | Sequence[Collection], scenario: Scenario, **options: Any) -> None:
    async def main() -> None:
        several = [collections] if isinstance(collections, Collection) else collections
        config = ServeConfig(embeddings=("x",), **{"rate": 1e6, **options})
        async with TestClient(TestServer(make_app(several, config))) as client:
            await scenario(client)

    asyncio.run(main())


async def knn(client: TestClient, **asked: Any) -> Any:
    """The rows that come back; an error fails the test."""
    status, body, _ = await ask(client, **asked)
    assert status == 200, body
    return body


async def ask(client: TestClient, **asked: Any) -> tuple[int, Any, str]:
    """Status, body and X-Applied; sent as clip-retrieval's client does it: JSON of no kind."""
    body = {"modality": "image", "num_images": 5, "indice_name": None, **asked}
    async with client.post("/knn-service", data=json.dumps(body)) as answer:
        assert answer.content_type == "application/json"
        return answer.status, await answer.json(), answer.headers.get("X-Applied", "")


def ranked(query: np.ndarray, k: int = N) -> list[int]:
    v = vectors().astype(np.float16).astype(np.float32)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return np.argsort(-(v @ query), kind="stable")[:k].tolist()
