"""Who is calling: tokens, and the sessions that they stand for."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bottle import Route, request

from db import Database, Unavailable
from passwords import digest
from plugins import errors

# A session ends when it was not used for so long.
SESSION_LIFETIME = timedelta(days=30)

# Its last use is written at most so often: else every reading request would be a write.
TOUCH_EVERY = timedelta(hours=1)

# So long does a request wait for that.
_PATIENCE_S = 0.1


class Session(NamedTuple):
    """An open session: whose it is, and until when it need not be looked up again unless something is committed.

    `valid_until` is in seconds since 1970; 0 when its last use is still to be written."""

    user_id: int
    valid_until: float


def token_of(authorization: str) -> str:
    """The token in an Authorization header. What is not one token behind `Token` or `Bearer` is nobody's token."""
    # Blanks as HTTP has them (RFC 9110, section 5.6.3): strip() alone would take U+00A0 and others for such.
    scheme, _, token = authorization.strip(" \t").partition(" ")
    return token.strip(" \t") if scheme.lower() in ("token", "bearer") else ""


def sent_token() -> str:
    """The token of the current request."""
    return token_of(request.environ.get("HTTP_AUTHORIZATION", ""))


def sent_token_hash() -> str:
    """What the database knows of the token of the current request."""
    return digest(sent_token())


def find_session(database: Database, token_hash: str) -> Session | None:
    """The open session of a token; None where there is none. Raises Unavailable."""
    clock = database.clock
    session = database.row(
        "sessions/find",
        token_hash=token_hash,
        expired=clock.ago(SESSION_LIFETIME),
        touch_before=clock.ago(TOUCH_EVERY),
        now=clock.now(),
    )
    if session is None:
        return None
    if not session["due"]:
        last_used = datetime.fromisoformat(session["last_used_at"])
        return Session(session["user_id"], (last_used + TOUCH_EVERY).timestamp())
    # Whoever only reads is served also while nobody can write: the next request tries again.
    noted = database.submit("sessions/touch", token_hash=token_hash, now=clock.now())
    with suppress(Unavailable, TimeoutError):
        noted.result(_PATIENCE_S)
    noted.cancel()
    return Session(session["user_id"], 0)


class AuthenticationPlugin:
    """Passes the caller's user id as `me` to routes with the option auth="required" or "optional".

    Where a valid token is required, its absence is a 401; where it is optional, `me` is None then. The session, or
    None for a token that is not valid, stands in environ["rowboat.session"] (with_cache may have put it there)."""

    name = "authentication"
    api = 2

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(self, callback: Callable[..., Any], route: Route) -> Callable[..., Any]:
        """Surround the routes that name the option."""
        auth = route.config.get("auth")
        if auth is None:
            return callback

        def authenticated(**arguments: Any) -> Any:
            environ = request.environ
            session = None
            if "HTTP_AUTHORIZATION" in environ:
                if "rowboat.session" not in environ:
                    environ["rowboat.session"] = find_session(self._database, sent_token_hash())
                session = environ["rowboat.session"]
            if session is None and auth == "required":
                raise errors.token_invalid() if "HTTP_AUTHORIZATION" in environ else errors.token_missing()
            me = session and session.user_id
            environ["rowboat.user_id"] = me
            return callback(me=me, **arguments)

        return authenticated
