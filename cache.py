"""Answers to GET: remembered exactly as long as nothing is committed, with ETag and 304. Stands ahead of the routes."""

import hashlib
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

from bottle import Route

from db import Database
from middleware import Environ, Headers, StartResponse, WSGIApplication

# A process remembers answers of at most so many bytes; when there are more, it starts anew.
MAX_BYTES = 16 * 1024 * 1024

# What a remembered answer takes besides its body and what was asked: headers, objects.
_OVERHEAD_BYTES = 2048

_OF_THE_BODY = ("Content-Type", "Content-Length")


class _Answer(NamedTuple):
    status: str
    headers: Headers
    body: bytes
    etag: str | None
    route: Route | None
    user_id: int | None
    valid_until: float  # seconds since 1970; 0 for an answer that is not to be remembered


def with_cache(app: WSGIApplication, database: Database, max_bytes: int = MAX_BYTES) -> WSGIApplication:
    """Answer a GET that the same caller has sent since the last commit from memory, and any GET with an ETag.

    A route opts in with the option cache=True. What a token opens is not remembered for longer than
    environ["rowboat.valid_until"], which the authentication sets: a token ends without a commit."""
    lock = threading.Lock()
    held = 0

    def remember(remembered: dict[Any, _Answer], key: Any, known: _Answer) -> None:
        nonlocal held
        with lock:
            size = len(known.body) + sum(len(part or "") for part in key) + _OVERHEAD_BYTES
            held = (held if remembered else 0) + size
            if held > max_bytes:
                remembered.clear()
                held = size
            remembered[key] = known

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            return app(environ, start_response)
        key = (environ["PATH_INFO"], environ.get("QUERY_STRING"), environ.get("HTTP_AUTHORIZATION"))
        # Before anything is read: what is read later is remembered for this version, or for none.
        remembered = database.remembered()
        known = remembered.get(key)
        if known is None or known.valid_until < database.clock.seconds():
            known = _ask(app, environ)
            if known.valid_until:
                remember(remembered, key, known)
        else:
            environ["bottle.route"], environ["rowboat.user_id"] = known.route, known.user_id
            environ["rowboat.remembered"] = True
        if known.etag and "HTTP_IF_NONE_MATCH" in environ and _matches(environ["HTTP_IF_NONE_MATCH"], known.etag):
            start_response("304 Not Modified", [each for each in known.headers if each[0] not in _OF_THE_BODY])
            return []
        start_response(known.status, known.headers)
        return [] if method == "HEAD" else [known.body]

    return answer


def _ask(app: WSGIApplication, environ: Environ) -> _Answer:
    """The application's answer, asked as a GET, with the headers of a cacheable one."""
    started: list[Any] = []
    environ["REQUEST_METHOD"] = "GET"
    body = b"".join(app(environ, lambda status, headers, exc_info=None: started.extend((status, headers))))
    status, headers = started
    route = environ.get("bottle.route")
    user_id = environ.get("rowboat.user_id")
    if route is None or route.config.get("secret") or not status.startswith("200"):
        return _Answer(status, headers, body, None, route, user_id, 0)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    whose = "private, no-cache" if "HTTP_AUTHORIZATION" in environ else "no-cache"
    headers = [*headers, ("ETag", etag), ("Cache-Control", whose)]
    until = environ.get("rowboat.valid_until", float("inf")) if route.config.get("cache") else 0
    return _Answer(status, headers, body, etag, route, user_id, until)


def _matches(if_none_match: str, etag: str) -> bool:
    """Whether the header lists this ETag, or any (RFC 9110, section 13.1.2)."""
    return etag in if_none_match or if_none_match.strip() == "*"
