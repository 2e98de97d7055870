"""Rowboat's table of contents: the resources, the plugins, and the middleware, in the order in which they act."""

import signal
import sys

if __name__ == "__main__" and sys.argv[1:2] == ["serve"]:
    # For process 1 Linux drops signals without a handler: they wait until serve.py has its handlers. Before
    # the other imports, which take most of a second.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

import functools
import hmac
import importlib
import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bottle import Bottle, HTTPError, HTTPResponse, request

import cli
from cache import with_cache
from config import Config
from db import Database
from handlers import require_consistent
from health import readiness
from metrics import CONTENT_TYPE, Metrics
from middleware import (
    WSGIApplication,
    with_cors,
    with_errors,
    with_one_spelling,
    with_records,
    with_request_id,
    with_security_headers,
    with_server_timing,
)
from plugins.answers import AnswersPlugin
from plugins.authentication import AuthenticationPlugin, sent_token
from plugins.database import DatabasePlugin
from plugins.errors import JSON, ErrorsPlugin, not_found, render, require_declared, token_invalid, token_missing
from plugins.validation import BodyPlugin, QueryPlugin, refuse_unreadable_address

if TYPE_CHECKING:
    from openapi import Route

VERSION = "0.1.0"

# The modules of handlers/ whose routes are served; a new one is added here.
RESOURCES = ["users", "sessions", "resets", "exports", "leaving", "profiles", "articles", "comments", "tags", "admin"]

_ASKED_ANEW = {"Content-Type": JSON, "Cache-Control": "no-store"}

# Where the API stands: its version, and the lasting alias of the newest one.
PREFIXES = ["/api/v1", "/api"]


class Rowboat(Bottle):  # type: ignore[misc]
    """A Bottle whose errors are JSON, those included that no plugin sees: unknown routes and wrong methods."""

    def default_error_handler(self, error: HTTPError) -> str:
        """The body of an error answer."""
        return render(error)


def routes() -> Iterator["Route"]:
    """Every route of the API as (method, path, handler, options)."""
    for name in RESOURCES:
        yield from importlib.import_module(f"handlers.{name}").ROUTES


def make_app(
    config: Config,
    database: Database,
    is_draining: Callable[[], bool] = lambda: False,
    metrics: Metrics | None = None,
) -> WSGIApplication:
    """The whole application on an open database; `is_draining` says whether the process is about to stop.

    Raises StartupError where a table of routes or a guard in sql/ holds a mistake."""
    require_declared(database.files.values())
    metrics = metrics or Metrics()
    database.waited = metrics.waited
    app = Rowboat()
    app.config["catchall"] = False  # with_errors sees what is unexpected
    app.uninstall(True)  # Bottle's own plugins, for dicts and templates
    app.add_hook("before_request", refuse_unreadable_address)
    # The first is outermost: it is asked first, and sees the answer last.
    for plugin in (
        ErrorsPlugin(),
        AnswersPlugin(),
        AuthenticationPlugin(database),
        QueryPlugin(),
        BodyPlugin(config),
        DatabasePlugin(database, config),
    ):
        app.install(plugin)
    for method, path, handler, options in routes():
        require_consistent(method, path, handler, options, database.files)
        app.route([prefix + path for prefix in PREFIXES], method, handler, **options)
    _add_documents(app, config)
    _add_health(app, readiness(config, database, is_draining))
    if config.metrics_token:
        _add_metrics(app, config.metrics_token, database, metrics)
    answers = with_cache(app, database)
    answers = with_errors(with_server_timing(answers) if config.study == "on" else answers)
    answers = with_security_headers(with_cors(answers, config.cors_origins))
    words: set[str] = set()
    whole = with_request_id(with_one_spelling(with_records(answers, database, metrics, config), words))
    _add_study(app, config, database, whole)
    words |= {part for route in app.routes for part in route.rule.split("/") if part and "<" not in part}
    return whole


@functools.cache
def document(prefix: str = "") -> str:
    """The OpenAPI document as JSON text; `prefix` is the path under which a proxy serves all of this."""
    import openapi  # not before somebody asks: it loads a megabyte

    return json.dumps(openapi.build(routes(), VERSION, prefix), ensure_ascii=False)


@functools.cache
def _document_with_samples(prefix: str) -> str:
    from study import reference  # not before somebody asks

    return reference.with_samples(document(prefix), routes(), prefix)


def _add_documents(app: Bottle, config: Config) -> None:
    """What describes the API: the OpenAPI document, a viewer for it at /docs, and at / where to find them."""
    prefix = config.prefix
    at = {"api": "/api/v1", "openapi": "/api/v1/openapi.json", "docs": "/docs"}
    index = json.dumps({"rowboat": VERSION} | {name: prefix + path for name, path in at.items()})
    skip = ["database"]

    def page(name: str) -> HTTPResponse:
        from study import reference  # not before somebody asks

        return reference.page(name, prefix, version=VERSION, study=config.study == "on")

    def home() -> HTTPResponse:
        if request.get_header("Accept", "").startswith("text/html"):  # as browsers do, and programs do not
            return page("home.html")
        return HTTPResponse(index, 200, {"Content-Type": JSON, "Vary": "Accept"})

    def file(name: str) -> HTTPResponse:
        from study import reference

        return reference.file(name)

    app.route([f"{each}/openapi.json" for each in PREFIXES], "GET", lambda: document(prefix), skip=skip)
    app.route(PREFIXES, "GET", lambda: index, skip=skip)
    app.route("/", "GET", home, skip=skip)
    app.route("/docs", "GET", lambda: page("reference.html"), skip=skip)
    app.route("/docs/openapi.json", "GET", lambda: _document_with_samples(prefix), skip=skip)
    app.route("/docs/<name>", "GET", file, skip=skip)


def _add_health(app: Bottle, look: Callable[[], tuple[bool, str]]) -> None:
    """What those ask who keep it running: whether the process answers, and whether it should be sent requests."""

    def ready() -> HTTPResponse:
        is_ready, body = look()
        if not is_ready:
            extra = {"request_id": request.environ["rowboat.request_id"]}
            logging.getLogger("rowboat").warning("not ready: %s", body, extra=extra)
        return HTTPResponse(body, 200 if is_ready else 503, **_ASKED_ANEW)

    app.route("/healthz", "GET", lambda: HTTPResponse('{"alive": true}', **_ASKED_ANEW), secret=True, skip=["database"])
    app.route("/readyz", "GET", ready, secret=True, skip=["database"])


def _add_metrics(app: Bottle, token: str, database: Database, metrics: Metrics) -> None:
    """What Prometheus asks for, with this token."""

    def exposition() -> HTTPResponse:
        if not hmac.compare_digest(sent_token().encode(), token.encode()):
            raise token_invalid() if "HTTP_AUTHORIZATION" in request.environ else token_missing()
        return HTTPResponse(metrics.exposition(database), 200, **_ASKED_ANEW | {"Content-Type": CONTENT_TYPE})

    app.route("/metrics", "GET", exposition, secret=True, skip=["database"])


def _add_study(app: Bottle, config: Config, database: Database, whole: WSGIApplication) -> None:
    """The pages of study/, in study mode alone. Not for pages from elsewhere, for which browsers send an Origin."""
    if config.study != "on":
        return

    def page(path: str = "") -> HTTPResponse:
        if "HTTP_ORIGIN" in request.environ:
            raise not_found("route")
        from study import pages  # not before somebody asks: it loads Pygments

        return pages.answer(database, routes(), whole, config)

    app.route(["/study", "/study/<path:path>"], "GET", page, secret=True, skip=["database"])


if __name__ == "__main__":
    cli.main(make_app, routes)
