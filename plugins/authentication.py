"""Who is calling: tokens, and the sessions that they stand for."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

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


def sent_token() -> str:
    """The token of the current request. What is not one token behind `Token` or `Bearer` is nobody's token."""
    # Blanks as HTTP has them (RFC 9110, section 5.6.3): strip() alone would take U+00A0 and others for such.
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").strip(" \t").partition(" ")
    return token.strip(" \t") if scheme.lower() in ("token", "bearer") else ""


def sent_token_hash() -> str:
    """What the database knows of the token of the current request."""
    return digest(sent_token())


class AuthenticationPlugin:
    """Passes the caller's user id as `me` to routes with the option auth="required" or "optional".

    Without a token `me` is None where it is optional, and the answer 401 where it is required. A token
    that is not valid is 401 in either case."""

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
            anonymous = "HTTP_AUTHORIZATION" not in request.environ
            if anonymous and auth == "required":
                raise errors.token_missing()
            me = None if anonymous else self._user_of(sent_token_hash())
            request.environ["rowboat.user_id"] = me
            return callback(me=me, **arguments)

        return authenticated

    def _user_of(self, token_hash: str) -> int:
        clock = self._database.clock
        session = self._database.row(
            "sessions/find",
            token_hash=token_hash,
            expired=clock.ago(SESSION_LIFETIME),
            touch_before=clock.ago(TOUCH_EVERY),
            now=clock.now(),
        )
        if session is None:
            raise errors.token_invalid()
        last_used = datetime.fromisoformat(session["last_used_at"])
        # Until when an answer may be remembered without looking at the session again (see cache.py).
        request.environ["rowboat.valid_until"] = 0 if session["due"] else (last_used + TOUCH_EVERY).timestamp()
        if session["due"]:
            # Whoever only reads is served also while nobody can write: the next request tries again.
            noted = self._database.submit("sessions/touch", token_hash=token_hash, now=clock.now())
            with suppress(Unavailable, TimeoutError):
                noted.result(_PATIENCE_S)
            noted.cancel()
        return int(session["user_id"])
