"""Setting a new password without the old one: by a token that is mailed, or that `user reset` prints."""

import json
from typing import Annotated

from pydantic import Field

import audit
import throttle
from config import Config
from db import Database
from handlers.fields import Model, Text, fold
from handlers.users import RESET_LIFETIME, Password
from passwords import digest, hash_password
from plugins import errors


class ResetRequest(Model):
    """Who has forgotten a password."""

    email: Annotated[str, Text(None, trimmed=True)]


class Reset(Model):
    """A new password, and the token that allows it."""

    token: Annotated[str, Text(None, trimmed=True), Field(json_schema_extra={"format": "password"})]
    password: Password


def request_reset(db: Database, config: Config, user: ResetRequest) -> None:
    """Have a token mailed that sets a new password, if anybody has this email: that is not told.

    Where no mail server is set up, the request is noted for those who run the server."""
    email_key = fold(user.email)
    db.write(
        "attempts/must_be_allowed",
        "attempts/count",
        "users/identify_email",
        "audit/note",
        *(["outbox/add"] if config.smtp_url else []),
        me=None,
        email_key=email_key,
        now=db.clock.now(),
        now_ms=db.clock.milliseconds(),
        **throttle.reset_request(email_key, throttle.client_address(config)),
        **audit.of_request("user.request_reset"),
    )


def reset(db: Database, config: Config, user: Reset) -> None:
    """Set a new password by a token; it ends all sessions of the user, and the token with all others of its kind."""
    attempt = throttle.reset(throttle.client_address(config))
    db.write("attempts/must_be_allowed", "attempts/count", now_ms=db.clock.milliseconds(), **attempt)
    token_hash = digest(user.token)
    account = db.row("resets/find", token_hash=token_hash, expired=db.clock.ago(RESET_LIFETIME), now=db.clock.now())
    if account is None:
        raise errors.reset_token_invalid()
    db.write(
        "resets/must_be_valid",
        "users/update",
        "audit/note",
        "sessions/delete_others",
        "resets/delete",
        "attempts/forget",
        me=account["id"],
        changes=json.dumps({"password_hash": hash_password(user.password)}),
        token_hash=token_hash,  # no session has this one: all of them end
        subjects=json.dumps(throttle.guesses_of(account["id"], account["email_key"])),
        most=throttle.MOST_FORGOTTEN,
        now=db.clock.now(),
        **audit.of_request("user.reset_password", user_id=account["id"]),
    )


ROUTES = [
    (
        "POST",
        "/users/password-reset",
        request_reset,
        {"body": ("user", ResetRequest), "config": True, "status": 202, "secret": True, "errors": (429,)},
    ),
    (
        "PUT",
        "/users/password-reset",
        reset,
        {"body": ("user", Reset), "config": True, "status": 204, "secret": True, "slow": True, "errors": (429,)},
    ),
]
