"""Answers to GET: remembered exactly as long as nothing is committed, with ETag and 304. Stands ahead of the routes."""

import hashlib
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from bottle import Route

from db import Database, Unavailable
from middleware import Environ, Headers, StartResponse, WSGIApplication
from passwords import digest
from plugins.authentication import find_session, token_of

# A process remembers answers of at most so many bytes; when there are more, it starts anew.
MAX_BYTES = 16 * 1024 * 1024

# One that takes more than this share is not remembered: a few of them would drive out all others.
_LARGEST_SHARE = 1 / 8

# What a remembered answer takes besides its body and what was asked: headers, objects; and what a session takes.
_OVERHEAD_BYTES = 2048
_SESSION_BYTES = 512

_OF_THE_BODY = ("Content-Type", "Content-Length")

# The caller of an answer that is the same for everybody; else it is a user id, or None for an anonymous one.
_ANYBODY = 0


class _Answer(NamedTuple):
    status: str
    headers: Headers
    body: bytes
    etag: str | None
    route: Route | None
    caller: int | None


def with_cache(app: WSGIApplication, database: Database, max_bytes: int = MAX_BYTES) -> WSGIApplication:
    """Answer a GET that the same caller has sent since the last commit from memory, and any GET with an ETag.

    A route opts in with the option cache=True. Answers are remembered by user id, and only valid tokens are: no token
    that a stranger makes up takes memory. A session is looked up anew after its `valid_until`: it ends without a
    commit."""
    lock = threading.Lock()
    held = 0

    def remember(remembered: dict[Any, Any], key: Any, value: Any, size: int) -> None:
        nonlocal held
        if size > _LARGEST_SHARE * max_bytes:
            return
        with lock:
            held = (held if remembered else 0) + size
            if held > max_bytes:
                remembered.clear()
                held = size
            remembered[key] = value

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            return app(environ, start_response)
        asked = environ["PATH_INFO"], environ.get("QUERY_STRING")
        # Before anything is read: what is read later is remembered for this version, or for none.
        remembered = database.remembered()
        known = _recall(remembered, asked, environ, database)
        if known is None:
            known = _ask(app, environ)
            if known.etag and known.route and known.route.config.get("cache"):
                size = len(known.body) + sum(len(part or "") for part in asked) + _OVERHEAD_BYTES
                remember(remembered, (*asked, known.caller), known, size)
                if (session := environ.get("rowboat.session")) and session.valid_until:
                    remember(remembered, _token_hash(environ), session, _SESSION_BYTES)
        else:
            environ["bottle.route"], environ["rowboat.user_id"] = known.route, known.caller or None
            environ["rowboat.remembered"] = True
        headers = known.headers
        if known.etag:
            whose = "private, no-cache" if "HTTP_AUTHORIZATION" in environ else "no-cache"
            headers = [*headers, ("ETag", known.etag), ("Cache-Control", whose)]
            if "HTTP_IF_NONE_MATCH" in environ and _matches(environ["HTTP_IF_NONE_MATCH"], known.etag):
                start_response("304 Not Modified", [each for each in headers if each[0] not in _OF_THE_BODY])
                return []
        start_response(known.status, headers)
        return [] if method == "HEAD" else [known.body]

    return answer


def _recall(remembered: dict[Any, Any], asked: tuple[Any, ...], environ: Environ, database: Database) -> _Answer | None:
    """The remembered answer for the caller. A token that is not known here is looked up if it could get an answer."""
    known: _Answer | None = remembered.get((*asked, _ANYBODY))
    if known is None and "HTTP_AUTHORIZATION" not in environ:
        known = remembered.get((*asked, None))
    elif known is None:
        session = remembered.get(_token_hash(environ))
        if session and session.valid_until >= database.clock.seconds():
            known = remembered.get((*asked, session.user_id))
        elif (*asked, None) in remembered:
            with suppress(Unavailable):  # which the application will meet again, and answer
                session = environ["rowboat.session"] = find_session(database, _token_hash(environ))
                known = remembered.get((*asked, session and session.user_id))
    return known


def _token_hash(environ: Environ) -> str:
    return digest(token_of(environ["HTTP_AUTHORIZATION"]))


def _ask(app: WSGIApplication, environ: Environ) -> _Answer:
    """The application's answer, asked as a GET; with an ETag when it may be stored.

    The ETag begins with environ["rowboat.version"], where the handler sets it."""
    started: list[Any] = []
    environ["REQUEST_METHOD"] = "GET"
    body = b"".join(app(environ, lambda status, headers, exc_info=None: started.extend((status, headers))))
    status, headers = started
    route = environ.get("bottle.route")
    etag = None
    if route is not None and not route.config.get("secret") and status.startswith("200"):
        version = f"{environ['rowboat.version']}-" if "rowboat.version" in environ else ""
        etag = f'"{version}{hashlib.sha256(body).hexdigest()[:32]}"'
    caller = environ.get("rowboat.user_id") if route is not None and "auth" in route.config else _ANYBODY
    return _Answer(status, headers, body, etag, route, caller)


def _matches(if_none_match: str, etag: str) -> bool:
    """Whether the header lists this ETag, or any (RFC 9110, section 13.1.2)."""
    return etag in if_none_match or if_none_match.strip() == "*"
