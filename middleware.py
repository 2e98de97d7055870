"""What surrounds every request, whether a route matches it or not, as WSGI middleware."""

import itertools
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any
from urllib.parse import unquote

from config import Config
from db import Database
from logs import request_log
from metrics import Metrics

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApplication = Callable[[Environ, StartResponse], Iterable[bytes]]
Headers = list[tuple[str, str]]

_LOG = logging.getLogger("rowboat")

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_SECURITY_HEADERS = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
_POLICY = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

# A request whose token is not valid is answered as an anonymous one where a token is optional (RFC 6750, section 3.1).
_TOKEN_INVALID = ("WWW-Authenticate", 'Token error="invalid_token"')

# What stands before the path when a client sends the whole URL (RFC 9112, section 3.2.2).
_ORIGIN = re.compile(r"https?://[^/?]*", re.IGNORECASE)

_KNOWN = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

_OUR_FAULT = b'{"errors": {"server": ["internal error"]}}'

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = "Authorization, Content-Type, If-Match, If-None-Match, X-Requested-With, X-Request-Id"
_EXPOSED = "Link, ETag, Retry-After, WWW-Authenticate, X-Request-Id"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_ASKED_BYTES = 1024
_PREFLIGHT_SECONDS = "86400"


def with_request_id(app: WSGIApplication) -> WSGIApplication:
    """Give each request an id, in environ["rowboat.request_id"] and in X-Request-Id of the answer.

    A well-formed one of the client's is taken over, so that logs of several programs can be joined."""

    process = secrets.token_hex(12)
    numbers = itertools.count(1)

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sent = environ.get("HTTP_X_REQUEST_ID")
        request_id = sent if sent and _WELL_FORMED_ID.fullmatch(sent) else f"{process}{next(numbers):08x}"
        environ["rowboat.request_id"] = request_id
        return app(environ, _adding([("X-Request-Id", request_id)], start_response))

    return answer


def with_records(app: WSGIApplication, database: Database, metrics: Metrics, config: Config) -> WSGIApplication:
    """Count each request, write its line to the log, and name the SQL files that took long, with their plans.

    What ran for it stands in environ["rowboat.ran"]."""
    write = request_log(config, database.clock) if _LOG.isEnabledFor(logging.INFO) else None
    slow_s = config.slow_ms / 1000

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        method = environ["REQUEST_METHOD"]
        environ["rowboat.ran"] = ran = database.record()
        status = ""

        def start(line: str, headers: Headers, exc_info: Any = None) -> Any:
            nonlocal status
            status = line[:3]
            return start_response(line, headers, exc_info)

        body = app(environ, start)
        seconds = time.perf_counter() - began
        route = environ["bottle.route"].rule if "bottle.route" in environ else "unmatched"
        known = method if method in _KNOWN else "other"
        metrics.answered(known, route, status, seconds, ran, remembered="rowboat.remembered" in environ)
        if write:
            request_id = environ["rowboat.request_id"]
            in_sql_s = 0.0
            for name, took in ran:
                in_sql_s += took
                if took > slow_s:
                    _log_slow(name, took, database, request_id)
            size = sum(map(len, body))
            user_id = environ.get("rowboat.user_id")
            write(request_id, method, route, status, 1000 * seconds, 1000 * in_sql_s, size, user_id)
        return body

    return answer


def _log_slow(name: str, seconds: float, database: Database, request_id: str) -> None:
    try:
        plan = "; ".join(database.plan(name))
    except Exception as error:  # a line of the log must not cost the response
        plan = f"not known ({error})"
    _LOG.warning("slow SQL: %s took %d ms; plan: %s", name, 1000 * seconds, plan, extra={"request_id": request_id})


def with_errors(app: WSGIApplication) -> WSGIApplication:
    """Answer 500 where our code fails: the log has the traceback and the request's id, the client the id alone."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        try:
            return app(environ, start_response)
        except Exception:
            _LOG.exception("unexpected error", extra={"request_id": environ["rowboat.request_id"]})
            # A length, for waitress would send the end of a chunked body to a HEAD.
            headers = [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(_OUR_FAULT)))]
            start_response("500 Internal Server Error", headers, sys.exc_info())
            return [] if method == "HEAD" else [_OUR_FAULT]

    return answer


def with_one_spelling(app: WSGIApplication, words: Collection[str]) -> WSGIApplication:
    """Serve a path with a slash at its end like the one without it. Any other second spelling of a path is a 404.

    `words` are the fixed parts of the routes; in other parts any character may be escaped. The path is compared as it
    was sent: waitress decodes it and drops further slashes at its beginning, and a proxy's rule for /api/admin would
    not be applied to //api/admin or /api%2Fadmin."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        sent = _ORIGIN.sub("", environ["REQUEST_URI"], count=1).partition("?")[0] if "REQUEST_URI" in environ else path
        if "//" in sent or ("%" in sent and "REQUEST_URI" in environ and _is_misspelled(sent, words)):
            environ["PATH_INFO"] = "//"  # which no route has
        elif len(path) > 1 and path[-1] == "/":
            environ["PATH_INFO"] = path[:-1]
        return app(environ, start_response)

    return answer


def _is_misspelled(sent: str, words: Collection[str]) -> bool:
    """Whether a path has an escaped slash, or an escaped character in a fixed part of a route."""
    return "%2f" in sent.lower() or any("%" in part and unquote(part) in words for part in sent.split("/"))


def with_security_headers(app: WSGIApplication) -> WSGIApplication:
    """Tell browsers to take each answer for the data that it is, and to run, frame and pass on nothing; and caches to
    store no error.

    A page brings a Content-Security-Policy of its own.
    (https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html)"""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, own: Headers, exc_info: Any = None) -> Any:
            names = {name for name, _ in own}
            added = [] if _POLICY[0] in names else [_POLICY]
            if status >= "4" and "Cache-Control" not in names:
                added.append(("Cache-Control", "no-store"))
            if environ.get("rowboat.session", ...) is None and not status.startswith("401"):
                added.append(_TOKEN_INVALID)
            return start_response(status, own + _SECURITY_HEADERS + added, exc_info)

        return app(environ, start)

    return answer


def with_cors(app: WSGIApplication, origins: tuple[str, ...]) -> WSGIApplication:
    """Let pages of these origins ("*" is any) call the API, and answer the preflights of browsers.

    There are no cookies, so any origin is safe (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
    anyone = "*" in origins

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        origin: str = environ.get("HTTP_ORIGIN", "")
        headers: Headers = [("Vary", "Authorization, Origin")]
        allowed = origin and (anyone or origin in origins)
        if allowed:
            headers.append(("Access-Control-Allow-Origin", "*" if anyone else origin))
            headers.append(("Access-Control-Expose-Headers", _EXPOSED))
        if origin and environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            headers[0] = ("Vary", "Authorization, Origin, Access-Control-Request-Headers")
            if allowed:
                asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
                headers.append(("Access-Control-Allow-Methods", _METHODS))
                headers.append(("Access-Control-Allow-Headers", _allowed_headers(asked)))
                headers.append(("Access-Control-Max-Age", _PREFLIGHT_SECONDS))
            start_response("204 No Content", headers)
            return []
        return app(environ, _adding(headers, start_response))

    return answer


def _allowed_headers(asked: str) -> str:
    """The header names that a preflight asks for; our own where they are none, malformed or too long."""
    names = [name for part in asked.split(",") if (name := part.strip(" \t"))]
    well_formed = names and len(asked) <= _MAX_ASKED_BYTES and all(map(_HEADER_NAME.fullmatch, names))
    return ", ".join(names) if well_formed else _REQUEST_HEADERS


def with_server_timing(app: WSGIApplication) -> WSGIApplication:
    """Name the SQL files that ran for an answer, with their milliseconds, in Server-Timing, for pages of this server.

    Not where the route has the option secret=True: how long a login takes is nobody's business; nor to pages of other
    origins, for which browsers send an Origin. Nothing runs for an answer from memory.
    (https://www.w3.org/TR/server-timing/)"""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        ran = environ["rowboat.ran"]

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            if ran and "HTTP_ORIGIN" not in environ and not environ["bottle.route"].config.get("secret"):
                files = ", ".join(f"{name.replace('/', '.')};dur={1000 * seconds:.3f}" for name, seconds in ran)
                headers = [*headers, ("Server-Timing", files)]
            return start_response(status, headers, exc_info)

        return app(environ, start)

    return answer


def _adding(headers: Headers, start_response: StartResponse) -> StartResponse:
    def start(status: str, own: Headers, exc_info: Any = None) -> Any:
        return start_response(status, own + headers, exc_info)

    return start
