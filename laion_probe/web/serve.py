"""The search server: clip-retrieval's HTTP interface over embeddings, and a search page.

``/indices-list``, ``/knn-service`` and ``/metadata`` take and give what clip-retrieval's
``clip_back.py`` does (MIT; the facts of it, none of its code), so that its ``ClipClient`` and its
front end work unchanged. What differs is said in docs/serve.md: a request's wishes that bend the
order are honoured, and every answer says in ``X-Applied`` what was done and what could not be;
pictures that are mostly a face are refused (docs/ethics.md). No query is kept or logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from importlib import resources

from aiohttp import web

from laion_probe.config.serving import ServeConfig
from laion_probe.errors import ConfigError
from laion_probe.questions.serving import Collection, open_collections
from laion_probe.web.access import Access, Handler, admit
from laion_probe.web.answering import SearchServer

__all__ = ["make_app", "serve"]

_FILES = {
    "search.css": "text/css",
    "search.js": "text/javascript",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def make_app(collections: Sequence[Collection], settings: ServeConfig) -> web.Application:
    """The interface and the page, at ``/`` and, where there is a token, under ``/TOKEN/`` too.

    The first collection is the one that is searched where a request names none.
    """
    app = web.Application(client_max_size=int(settings.max_request_mb * 1e6))
    server = SearchServer({c.name: c for c in collections}, settings)
    app.middlewares.append(server.in_words)
    token = settings.token
    rules = Access(token, settings.allow_origin, settings.rate, settings.thumbnails)
    admit(app, rules, server.metrics.refused)
    for at in ("", f"/{token}") if token else ("",):
        app.add_routes(
            [
                web.get(f"{at}/", _file("search.html", "text/html")),
                *[web.get(f"{at}/static/{n}", _file(n, kind)) for n, kind in _FILES.items()],
                web.get(f"{at}/settings", server.settings_of_page),
                web.get(f"{at}/indices-list", server.indices),
                web.post(f"{at}/knn-service", server.knn),
                web.post(f"{at}/metadata", server.metadata),
                web.get(f"{at}/metrics", server.metrics_text),
            ]
        )
    app.on_cleanup.append(server.close)
    return app


def serve(config: ServeConfig) -> Iterator[str]:
    """Serve until Ctrl-C; gives lines to print, the last ones when it listens.

    Raises `ConfigError` where the port is taken, and what `open_collections` does.
    """
    collections = open_collections(config)
    for c in collections:
        yield _line_of(c, config)
    with asyncio.Runner() as loop:
        runner = loop.run(_listening(make_app(collections, config), config))
        try:
            yield from _addresses(runner, config, collections)
            loop.run(asyncio.Event().wait())
        except KeyboardInterrupt:
            return
        finally:
            loop.run(runner.cleanup())


async def _listening(app: web.Application, config: ServeConfig) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(
            f"{config.host} port {config.port} cannot be used ({error.strerror}): give another "
            "--host or --port"
        ) from error
    return runner


def _line_of(collection: Collection, config: ServeConfig) -> str:
    kinds = " and ".join(f"{kind} ({s.how})" for kind, s in collection.spaces.items())
    by = ["embedding"]
    if collection.encoder is not None:
        by = ["text", *(["picture"] if config.image_queries != "off" else []), *by]
    said = f"{collection.name}: {collection.n_rows} rows, search of {kinds}, by {', '.join(by)}"
    n = len(collection.removed)
    said += f"; {n} rows are removed" if config.removed else ""
    return said + (f"\n  {collection.model_check}" if collection.model_check else "")


def _addresses(
    runner: web.AppRunner, config: ServeConfig, collections: Sequence[Collection]
) -> Iterator[str]:
    host, port = runner.addresses[0][:2]
    shown = f"[{host}]" if ":" in host else host
    at = f"http://{shown}:{port}/" + (f"{config.token}/" if config.token else "")
    yield f"search page: {at} (Ctrl-C ends)"
    yield f'ClipClient(url="{at}knn-service", indice_name="{collections[0].name}")'


def _file(name: str, kind: str) -> Handler:
    body = (resources.files("laion_probe.web") / "static" / name).read_bytes()

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return page
