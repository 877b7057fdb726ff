"""What the search server answers, from a request's body to its JSON.

Encoding, searching and reading run in threads; a search waits for others of its collection and runs
with them. Errors are JSON with a sentence. No query is kept.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from aiohttp import web
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from laion_probe.config.serving import ServeConfig
from laion_probe.embed import decode
from laion_probe.questions.face_queries import face_margins
from laion_probe.questions.serving import Collection, Encoder
from laion_probe.questions.serving_search import (
    SAFE_BELOW,
    Applied,
    Asked,
    answer,
    metadata_of,
    n_to_search,
)
from laion_probe.web.access import Handler
from laion_probe.web.limits import Batches
from laion_probe.web.metrics import Metrics
from laion_probe.web.outbound import PictureFetcher, Refused
from laion_probe.web.posted_queries import PostedIds, PostedQuery

__all__ = ["SearchServer"]

T = TypeVar("T")
P = TypeVar("P", bound=BaseModel)
Floats = NDArray[np.float32]

#: Requests in hand at once; a further one is asked to come again.
_MOST_AT_ONCE = 128
_BODY_S = 30.0
_FACE = (
    "this picture looks like mostly one person's face, and people are not searched for by their "
    "face here: see docs/ethics.md. The check is a guess of the encoder and errs; a picture that "
    "shows more of the scene is taken"
)


def _json(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


async def _posted(request: web.Request, shape: type[P]) -> P:
    # Whatever kind it says it is: clip-retrieval's client says none, its front end text.
    try:
        body = await asyncio.wait_for(request.read(), _BODY_S)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the request did not come in time") from None
    return shape.model_validate_json(body)


@dataclass
class SearchServer:
    """Handlers over collections by name, their limits and what is counted."""

    collections: dict[str, Collection]
    settings: ServeConfig
    metrics: Metrics = field(init=False)
    _pool: ThreadPoolExecutor = field(init=False)
    _working: asyncio.Semaphore = field(init=False)
    _fetching: asyncio.Semaphore = field(init=False)
    _fetcher: PictureFetcher = field(init=False)
    _batches: dict[tuple[str, str], Batches] = field(init=False)
    _n_in_hand: int = 0

    def __post_init__(self) -> None:
        at_once = self.settings.at_once
        self._pool = ThreadPoolExecutor(2 * at_once, "laion-probe-serve")
        self._working = asyncio.Semaphore(at_once)
        self._fetching = asyncio.Semaphore(2 * at_once)
        self._fetcher = PictureFetcher(self.settings.allow_private)
        self.metrics = Metrics({name: c.n_rows for name, c in self.collections.items()})
        self._batches = {
            (name, kind): Batches(space.search, self._pool, at_once)
            for name, c in self.collections.items()
            for kind, space in c.spaces.items()
        }

    async def close(self, _: web.Application) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def in_words(self) -> Any:
        """Every answer counted, and every error as JSON with a sentence."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            endpoint = getattr(request.match_info.handler, "__name__", "other")
            try:
                response = await handler(request)
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                words = first["msg"].removeprefix("Value error, ")
                response = _json({"error": f"{where}: {words}" if where else words}, 400)
            except web.HTTPException as error:
                response = _json({"error": error.text}, error.status)
                for name in ("Retry-After", "WWW-Authenticate", "Allow"):
                    if name in error.headers:
                        response.headers[name] = error.headers[name]
            except Exception:
                # Why is for the operator: it may name files.
                request.app.logger.exception("a request failed")
                response = _json({"error": "this failed here; the operator's log says why"}, 500)
            self.metrics.answered(endpoint, response.status)
            return response

        return middleware

    # What is asked for

    async def indices(self, _: web.Request) -> web.Response:
        """The names of collections."""
        return _json(list(self.collections))

    async def metrics_text(self, _: web.Request) -> web.Response:
        """Metrics for Prometheus."""
        self.metrics.waiting.set(sum(b.n_waiting for b in self._batches.values()))
        return web.Response(body=self.metrics.text(), content_type="text/plain", charset="utf-8")

    async def metadata(self, request: web.Request) -> web.Response:
        """Metadata by ids."""
        with self._place():
            posted = await _posted(request, PostedIds)
            self._few(len(posted.ids))
            collection = self._collection(posted.indice_name)
            body = await self._work(
                lambda: json.dumps(metadata_of(collection, posted.ids), allow_nan=False)
            )
        return web.Response(text=body, content_type="application/json")

    async def knn(self, request: web.Request) -> web.Response:
        """A search."""
        with self._place(), self.metrics.timed("full_knn_request_time"):
            posted = await _posted(request, PostedQuery)
            collection, asked = self._collection(posted.indice_name), posted.asked
            self._few(asked.k)
            if asked.modality not in collection.spaces:
                raise web.HTTPBadRequest(
                    text=f"{collection.name} has no {asked.modality} embeddings to search"
                )
            query = await self._query(posted, collection)
            with self.metrics.timed("knn_index_time"):
                batches = self._batches[collection.name, asked.modality]
                rows, scores = await batches.ask(query, n_to_search(asked, collection))
            with self.metrics.timed("metadata_get_time"):
                body, applied = await self._work(lambda: _answered(collection, asked, rows, scores))
        return web.Response(
            text=body, content_type="application/json", headers={"X-Applied": applied}
        )

    async def settings_of_page(self, _: web.Request) -> web.Response:
        """What the search page must know."""
        config = self.settings
        return _json(
            {
                "collections": [
                    {
                        "name": c.name,
                        "rows": c.n_rows,
                        "modalities": list(c.spaces),
                        "search": {kind: space.how for kind, space in c.spaces.items()},
                        "columns": c.rows.names,
                        "encodes": c.encoder is not None,
                        # A path is no caller's business, but for who runs the command here.
                        "folder": str(c.spaces["image"].embeddings.folder)
                        if config.is_local
                        else None,
                    }
                    for c in self.collections.values()
                ],
                "model": config.model if config.is_local else None,
                "pretrained": config.pretrained if config.is_local else None,
                "pictures": config.image_queries,
                "thumbnails": config.thumbnails,
                "max_results": config.max_results,
                "safe_below": SAFE_BELOW,
                "removal_list": config.removed is not None,
            }
        )

    # How it is answered

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._n_in_hand >= _MOST_AT_ONCE:
            self.metrics.refused("busy")
            raise web.HTTPServiceUnavailable(
                text="too many requests at once: come again", headers={"Retry-After": "1"}
            )
        self._n_in_hand += 1
        try:
            yield
        finally:
            self._n_in_hand -= 1

    def _few(self, n: int) -> None:
        if n > self.settings.max_results:
            raise web.HTTPBadRequest(text=f"at most {self.settings.max_results} rows a request")

    def _collection(self, name: str | None) -> Collection:
        if name is None:
            return next(iter(self.collections.values()))
        if name not in self.collections:
            raise web.HTTPNotFound(
                text=f"no collection of that name; there are {', '.join(self.collections)}"
            )
        return self.collections[name]

    async def _work(self, work: Callable[[], T]) -> T:
        async with self._working:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _query(self, posted: PostedQuery, collection: Collection) -> Floats:
        """The unit-length vector to search by; of several things given, the first in this order."""
        if posted.text is not None:
            encoder, texts = _encoder(collection), [posted.text]
            with self.metrics.timed("text_clip_inference_time"):
                found = await self._work(lambda: encoder.captions(texts))
            return np.asarray(found[0])
        if posted.image is not None or posted.image_url is not None:
            return await self._picture(posted, collection)
        if posted.embedding_input is None:
            raise web.HTTPBadRequest(text="give text, image, image_url or embedding_input")
        vector = np.array(posted.embedding_input, np.float64)
        dim = collection.spaces[posted.modality].embeddings.dim
        if len(vector) != dim:
            raise web.HTTPBadRequest(
                text=f"embedding_input has {len(vector)} numbers; {collection.name} needs {dim}"
            )
        vector /= np.abs(vector).max()  # squares of very large or small numbers are lost
        return np.asarray(vector / np.linalg.norm(vector), np.float32)

    async def _picture(self, posted: PostedQuery, collection: Collection) -> Floats:
        if self.settings.image_queries == "off":
            self.metrics.refused("pictures off")
            raise web.HTTPForbidden(text="search by picture is switched off here")
        encoder = _encoder(collection)
        if posted.image is not None:
            try:
                data = base64.b64decode(posted.image)
            except ValueError:
                raise web.HTTPBadRequest(text="image: not base64") from None
        else:
            data = await self._fetched(posted.image_url or "")
        with self.metrics.timed("image_clip_inference_time"):
            try:
                vector, margin = await self._work(lambda: _seen(encoder, data))
            except ValueError as error:
                raise web.HTTPBadRequest(text=f"image: {error}") from None
        if margin > 0:
            self.metrics.refused("face")
            raise web.HTTPForbidden(text=_FACE)
        return vector

    async def _fetched(self, url: str) -> bytes:
        if self.settings.image_queries == "uploads":
            self.metrics.refused("image_url off")
            raise web.HTTPForbidden(text="image_url is not fetched here: send the picture itself")
        async with self._fetching:
            with self.metrics.timed("download_time"):
                try:
                    return await self._fetcher.fetch(url)
                except Refused as error:
                    self.metrics.refused("image_url")
                    raise web.HTTPBadRequest(text=f"image_url: {error}") from None


def _encoder(collection: Collection) -> Encoder:
    if collection.encoder is None:
        raise web.HTTPBadRequest(
            text=f"{collection.name} is searched by embedding alone: its model is not at hand here"
        )
    return collection.encoder


def _seen(encoder: Encoder, data: bytes) -> tuple[Floats, float]:
    """The picture's vector, and how much more it looks like a face than like anything else."""
    vectors = encoder.images([decode(data)])
    return vectors[0], float(face_margins(encoder, vectors)[0])


def _answered(
    collection: Collection, asked: Asked, rows: NDArray[np.int64], scores: Floats
) -> tuple[str, str]:
    found = answer(collection, asked, rows, scores)
    return json.dumps(found.rows, allow_nan=False), ", ".join(map(_header, found.applied))


def _header(applied: Applied) -> str:
    """An item of a structured field (RFC 8941)."""
    note = applied.note.encode("ascii", "replace").decode().replace("\\", "/").replace('"', "'")
    left_out = f";left-out={applied.n_left_out}" if applied.n_left_out else ""
    return f'{applied.name};applied=?{int(applied.done)}{left_out};note="{note}"'
